//! What a reviewer sees beside a record: when it was, was written and was handed in, how far from its target, and what to look
//! at twice, with what that means. None of it is a verdict.

use qianmo_forms::Lang;
use qianmo_forms::flags::{Flag, Position};
use qianmo_protocol::change::Scalar;
use qianmo_protocol::record::FieldPath;
use qianmo_protocol::review::{ReviewKind, Standing};

use super::{address, help, say};
use crate::projection::Evidence;
use crate::web::{Full, Teller, minute};

/// Side of the little map, and how far from its middle what is farthest stands, in its own units.
const MAP_SIDE: f64 = 200.0;
const MAP_REACH: f64 = 80.0;
/// The map shows at least this far, in metres.
const MAP_METRES_MIN: f64 = 250.0;
/// Beyond this a position has nothing to do with the target, and a map of both shows neither.
const MAP_METRES_MAX: f64 = 200_000.0;

/// The section of the page.
pub(super) struct Beside {
    pub(super) hints: Vec<Hint>,
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) map: Option<Map>,
}

/// Something to look at twice.
pub(super) struct Hint {
    pub(super) label: String,
    pub(super) meaning: &'static str,
    /// The other records it speaks of.
    pub(super) others: Vec<String>,
}

/// The target in the middle, north above.
pub(super) struct Map {
    /// In words, for whoever does not see it.
    pub(super) told: String,
    pub(super) x: String,
    pub(super) y: String,
    /// How exact the position is.
    pub(super) blur: Option<String>,
    pub(super) scale: String,
    pub(super) scale_end: String,
}

fn number(full: &Full, name: &str) -> Option<f64> {
    match full.detail.row.view.fields.get(name)? {
        Scalar::Text(text) => text.parse().ok().filter(|number: &f64| number.is_finite()),
        Scalar::Null | Scalar::Bool(_) | Scalar::Int(_) | Scalar::Bytes(_) => None,
    }
}

/// A distance as people say it.
pub(super) fn distance(metres: f64, lang: Lang) -> String {
    if metres < 1_000.0 {
        let metres = (metres / 10.0).round() * 10.0;
        return format!("{metres:.0} {}", say(lang, "米", "m"));
    }
    format!("{:.1} {}", metres / 1_000.0, say(lang, "公里", "km"))
}

/// The greatest of 1, 2 or 5 times a power of ten that is not beyond a number of metres.
fn round_metres(most: f64) -> f64 {
    let mut step = 1.0;
    while step * 10.0 <= most {
        step *= 10.0;
    }
    [5.0, 2.0].into_iter().map(|times| times * step).find(|metres| *metres <= most).unwrap_or(step)
}

/// East and north of one point seen from another, in metres; right for the few kilometres of a map.
fn offset(position: Position, from: Position) -> (f64, f64) {
    let north = Position { lon: from.lon, ..position }.metres_to(from);
    let east = Position { lat: from.lat, ..position }.metres_to(from);
    let signed = |metres: f64, is_less: bool| if is_less { -metres } else { metres };
    (signed(east, position.lon < from.lon), signed(north, position.lat < from.lat))
}

fn map(evidence: &Evidence, accuracy: Option<f64>, lang: Lang) -> Option<Map> {
    let (position, target) = (evidence.position?, evidence.target?);
    let metres = evidence.metres().filter(|metres| *metres <= MAP_METRES_MAX)?;
    let (east, north) = offset(position, target);
    let per_metre = MAP_REACH / metres.max(MAP_METRES_MIN);
    let scale = round_metres(MAP_REACH / per_metre);
    let middle = MAP_SIDE / 2.0;
    let way = match (north > metres / 3.0, north < -metres / 3.0, east > metres / 3.0, east < -metres / 3.0) {
        (true, _, true, _) => say(lang, "东北", "north-east"),
        (true, _, _, true) => say(lang, "西北", "north-west"),
        (_, true, true, _) => say(lang, "东南", "south-east"),
        (_, true, _, true) => say(lang, "西南", "south-west"),
        (true, ..) => say(lang, "北", "north"),
        (_, true, ..) => say(lang, "南", "south"),
        (_, _, true, _) => say(lang, "东", "east"),
        _ => say(lang, "西", "west"),
    };
    let told = match lang {
        Lang::Zh => format!("记录位置在服务对象{way}方向约 {}", distance(metres, lang)),
        Lang::En => format!("The position is about {} {way} of the target", distance(metres, lang)),
    };
    let units = |value: f64| format!("{value:.1}");
    Some(Map {
        told,
        x: units(middle + east * per_metre),
        y: units(middle - north * per_metre),
        blur: accuracy.map(|metres| metres * per_metre).filter(|blur| (4.0..=middle).contains(blur)).map(units),
        scale: distance(scale, lang).replace(".0 ", " "),
        scale_end: units(12.0 + scale * per_metre),
    })
}

impl Beside {
    /// For somebody who reviews this record's station.
    pub(super) fn new(full: &Full, evidence: &Evidence, teller: &Teller<'_>, lang: Lang) -> Self {
        let root = &full.detail.row.view.root;
        let answer = |name: &str| -> Option<String> {
            let value = full.detail.row.view.fields.get(name)?;
            let text = teller.text(&FieldPath::Field(name.to_owned()), value, lang);
            Some(text).filter(|text| !text.is_empty())
        };
        let mut facts = Vec::new();
        if let Some(day) = answer("activity_date") {
            let times = [answer("start_time"), answer("end_time")];
            let times: Vec<String> = times.into_iter().flatten().collect();
            facts.push((say(lang, "服务时间", "Done"), format!("{day} {}", times.join(" – ")).trim_end().to_owned()));
        }
        facts.push((say(lang, "填写时间", "Written"), minute(root.created_at.0)));
        let submits = full
            .detail
            .reviews
            .iter()
            .filter(|review| review.event.kind == ReviewKind::Submit && review.standing == Standing::Admitted);
        if let Some(last) = submits.map(|review| review.event.time.0).max() {
            facts.push((say(lang, "提交时间", "Handed in"), minute(last)));
        }
        let accuracy = number(full, "accuracy_m");
        let place = match (evidence.position, evidence.metres()) {
            (None, _) => say(lang, "没有（可以不填）", "None (it is optional)").to_owned(),
            (Some(_), None) => {
                say(lang, "有；服务对象没有登记位置", "There is one; the target’s is not registered").to_owned()
            }
            (Some(_), Some(metres)) => match lang {
                Lang::Zh => format!("距服务对象约 {}", distance(metres, lang)),
                Lang::En => format!("About {} from the target", distance(metres, lang)),
            },
        };
        let exact = accuracy.filter(|_| evidence.position.is_some());
        let exact = exact.map(|metres| distance(metres.max(10.0), lang));
        let exact = exact.map(|metres| match lang {
            Lang::Zh => format!("（±{metres}）"),
            Lang::En => format!(" (±{metres})"),
        });
        let exact = exact.unwrap_or_default();
        facts.push((say(lang, "位置", "Position"), format!("{place}{exact}")));
        if let Some(photos) = answer("photo_count") {
            facts.push((say(lang, "照片", "Photos"), photos));
        }
        Self {
            hints: evidence.flags.iter().map(|flag| hint(flag, evidence, lang)).collect(),
            facts,
            map: map(evidence, accuracy, lang),
        }
    }
}

fn hint(flag: Flag, evidence: &Evidence, lang: Lang) -> Hint {
    let (zh, en) = help::flag_meaning(flag);
    let others = evidence.others.iter().filter(|(of, _)| *of == flag).flat_map(|(_, others)| others);
    Hint {
        label: flag.label().get(lang).to_owned(),
        meaning: say(lang, zh, en),
        others: others.map(|id| address(&format!("/records/{id}"), lang)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_told_as_people_say_them() {
        for (metres, zh, en) in [
            (0.0, "0 米", "0 m"),
            (47.0, "50 米", "50 m"),
            (1_240.0, "1.2 公里", "1.2 km"),
            (13_000.0, "13.0 公里", "13.0 km"),
        ] {
            assert_eq!(distance(metres, Lang::Zh), zh);
            assert_eq!(distance(metres, Lang::En), en);
        }
    }

    #[test]
    fn map_puts_the_position_where_it_lies_and_inside_its_frame() {
        let target = Position { lat: 40.2, lon: 117.1 };
        for (lat, lon, way) in [
            (40.3, 117.1, "north of"),
            (40.1, 117.1, "south of"),
            (40.2, 117.2, "east of"),
            (40.2, 117.0, "west of"),
            (40.25, 117.16, "north-east of"),
            (40.2001, 117.1, "north of"),
        ] {
            let evidence = Evidence {
                flags: crate::projection::FlagSet::default(),
                position: Some(Position { lat, lon }),
                target: Some(target),
                others: Vec::new(),
            };
            let map = map(&evidence, Some(30.0), Lang::En).unwrap();
            assert!(map.told.contains(way), "{}", map.told);
            let (x, y): (f64, f64) = (map.x.parse().unwrap(), map.y.parse().unwrap());
            assert!((0.0..=MAP_SIDE).contains(&x) && (0.0..=MAP_SIDE).contains(&y), "{x} {y}");
            assert_eq!((x > 101.0, y > 101.0), (lon > 117.1, lat < 40.2), "{way}");
        }
        for (most, metres) in [(250.0, 200.0), (999.0, 500.0), (1_000.0, 1_000.0), (19.0, 10.0)] {
            assert!((round_metres(most) - metres).abs() < 1e-9);
        }
    }
}
