//! Positions: degrees in several forms, exchanged or offset, inside the district or dropped.

use std::collections::BTreeSet;

use qianmo_forms::flags::Position;

use super::outcome::Correction;

/// The district, in degrees.
const LAT: core::ops::RangeInclusive<f64> = 39.99..=40.38;
const LON: core::ops::RangeInclusive<f64> = 116.90..=117.45;

/// The position of a row: what is kept, and what was done to it.
pub(super) fn position(lat: &str, lon: &str, is_gcj02: bool, codes: &mut BTreeSet<Correction>) -> Option<Position> {
    let (mut lat, mut lon) = (lat, lon);
    if lat.is_empty() && lon.is_empty() {
        return None;
    }
    if lon.is_empty()
        && let Some((first, second)) = lat.split_once(',')
        && let (first, second) = (first.trim(), second.trim())
        && decimal(first).is_some()
        && decimal(second).is_some()
    {
        (lat, lon) = (first, second);
        codes.insert(Correction::GpsFormat);
    }
    let (parsed_lat, parsed_lon) = (degrees(lat), degrees(lon));
    if [parsed_lat, parsed_lon].into_iter().flatten().any(|(_, is_plain)| !is_plain) {
        codes.insert(Correction::GpsFormat);
    }
    if (parsed_lat.is_none() && !lat.is_empty()) || (parsed_lon.is_none() && !lon.is_empty()) {
        codes.insert(Correction::GpsInvalid);
        return None;
    }
    let (Some((lat, _)), Some((lon, _))) = (parsed_lat, parsed_lon) else {
        codes.insert(Correction::GpsIncomplete);
        return None;
    };
    let mut position = Position { lat, lon };
    if LON.contains(&position.lat) && LAT.contains(&position.lon) {
        position = Position { lat: position.lon, lon: position.lat };
        codes.insert(Correction::GpsSwapped);
    }
    if is_gcj02 {
        position = from_gcj02(position);
        codes.insert(Correction::GpsGcj02);
    }
    if !LAT.contains(&position.lat) || !LON.contains(&position.lon) {
        codes.insert(Correction::GpsOutOfArea);
        return None;
    }
    Some(Position { lat: rounded(position.lat), lon: rounded(position.lon) })
}

/// With six decimals, about ten centimetres.
fn rounded(degrees: f64) -> f64 {
    (degrees * 1e6).round() / 1e6
}

/// Degrees, and whether they were plain decimals.
fn degrees(cell: &str) -> Option<(f64, bool)> {
    if let Some(value) = decimal(cell) {
        return Some((value, true));
    }
    let text = cell.strip_prefix("北纬").or_else(|| cell.strip_prefix("东经")).unwrap_or(cell);
    let text = text.strip_suffix(['N', 'E']).unwrap_or(text);
    if let Some(value) = decimal(text.strip_suffix('°').unwrap_or(text)) {
        return Some((value, false));
    }
    let (whole, rest) = text.split_once('°')?;
    let (minutes, rest) = rest.split_once(['′', '\''])?;
    let seconds = rest.strip_suffix(['″', '"'])?;
    let (whole, minutes, seconds) = (unsigned(whole)?, unsigned(minutes)?, unsigned(seconds)?);
    Some((whole + minutes / 60.0 + seconds / 3600.0, false))
}

fn decimal(text: &str) -> Option<f64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1.0, text), |digits| (-1.0, digits));
    unsigned(digits).map(|value| sign * value)
}

fn unsigned(text: &str) -> Option<f64> {
    const CHARS_MAX: usize = 24;
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = text.len() <= CHARS_MAX && all_digits(whole) && fraction.is_none_or(all_digits);
    if is_number { text.parse().ok() } else { None }
}

/// Inverts the offset of Chinese maps: the usual function has no inverse in closed form, so it is approached; each step gains three digits.
fn from_gcj02(gcj: Position) -> Position {
    let mut guess = gcj;
    for _ in 0..8 {
        let (lat, lon) = offset(guess);
        guess = Position { lat: gcj.lat - lat, lon: gcj.lon - lon };
    }
    guess
}

/// What GCJ-02 adds to a position of WGS84, in degrees.
fn offset(at: Position) -> (f64, f64) {
    use core::f64::consts::PI;
    const AXIS: f64 = 6_378_245.0;
    const ECCENTRICITY: f64 = 0.006_693_421_622_965_943;
    let (x, y) = (at.lon - 105.0, at.lat - 35.0);
    let waves = (20.0 * (6.0 * x * PI).sin() + 20.0 * (2.0 * x * PI).sin()) * 2.0 / 3.0;
    let lat = -100.0
        + 2.0 * x
        + 3.0 * y
        + 0.2 * y * y
        + 0.1 * x * y
        + 0.2 * x.abs().sqrt()
        + waves
        + (20.0 * (y * PI).sin() + 40.0 * (y / 3.0 * PI).sin()) * 2.0 / 3.0
        + (160.0 * (y / 12.0 * PI).sin() + 320.0 * (y * PI / 30.0).sin()) * 2.0 / 3.0;
    let lon = 300.0
        + x
        + 2.0 * y
        + 0.1 * x * x
        + 0.1 * x * y
        + 0.1 * x.abs().sqrt()
        + waves
        + (20.0 * (x * PI).sin() + 40.0 * (x / 3.0 * PI).sin()) * 2.0 / 3.0
        + (150.0 * (x / 12.0 * PI).sin() + 300.0 * (x / 30.0 * PI).sin()) * 2.0 / 3.0;
    let radians = at.lat.to_radians();
    let magic = 1.0 - ECCENTRICITY * radians.sin() * radians.sin();
    let root = magic.sqrt();
    let lat = lat * 180.0 / ((AXIS * (1.0 - ECCENTRICITY)) / (magic * root) * PI);
    let lon = lon * 180.0 / (AXIS / root * radians.cos() * PI);
    (lat, lon)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(lat: &str, lon: &str, is_gcj02: bool) -> (Option<Position>, Vec<&'static str>) {
        let mut codes = BTreeSet::new();
        let position = position(lat, lon, is_gcj02, &mut codes);
        (position, codes.into_iter().map(Correction::name).collect())
    }

    #[test]
    fn positions_are_read_in_every_form_of_the_rules() {
        let here = Some(Position { lat: 40.25, lon: 117.0625 });
        assert_eq!(read("40.25", "117.0625", false), (here, vec![]));
        for (lat, lon) in [
            ("40.25,117.0625", ""),
            ("北纬40.25°", "东经117.0625°"),
            ("40.25N", "117.0625E"),
            ("40°15′0″", "117°3'45\""),
            ("40.25", "117°3′45.00″"),
        ] {
            assert_eq!(read(lat, lon, false), (here, vec!["GPS_FORMAT"]), "{lat} {lon}");
        }
        assert_eq!(read("117.0625", "40.25", false), (here, vec!["GPS_SWAPPED"]));
        assert_eq!(read("117.0625,40.25", "", false), (here, vec!["GPS_FORMAT", "GPS_SWAPPED"]));
        assert_eq!(read("", "", true), (None, vec![]));
        assert_eq!(read("40.25", "", false), (None, vec!["GPS_INCOMPLETE"]));
        assert_eq!(read("定位失败", "117.1", false), (None, vec!["GPS_INVALID"]));
        assert_eq!(read("40度多", "", false), (None, vec!["GPS_INVALID"]));
        assert_eq!(read("NaN", "117.1", false), (None, vec!["GPS_INVALID"]));
        // What was read before the position was dropped is said, too.
        assert_eq!(read("北纬40.25°", "", false), (None, vec!["GPS_FORMAT", "GPS_INCOMPLETE"]));
        assert_eq!(read("", "117.0625E", false), (None, vec!["GPS_FORMAT", "GPS_INCOMPLETE"]));
        assert_eq!(read("40.25N", "定位失败", false), (None, vec!["GPS_FORMAT", "GPS_INVALID"]));
        assert_eq!(read("0", "0", false), (None, vec!["GPS_OUT_OF_AREA"]));
        assert_eq!(read("39.98", "117.1", false), (None, vec!["GPS_OUT_OF_AREA"]));
    }

    proptest! {
        #[test]
        fn prop_gcj02_is_inverted_to_less_than_a_metre(lat in 39.99_f64..40.38, lon in 116.90_f64..117.45) {
            let here = Position { lat, lon };
            let (more_lat, more_lon) = offset(here);
            let moved = Position { lat: lat + more_lat, lon: lon + more_lon };
            prop_assert!((300.0..900.0).contains(&here.metres_to(moved)), "{}", here.metres_to(moved));
            prop_assert!(from_gcj02(moved).metres_to(here) < 0.01);
        }

        #[test]
        fn prop_cells_never_panic(lat in "\\PC{0,30}", lon in "\\PC{0,30}", is_gcj02: bool) {
            if let Some(position) = read(&lat, &lon, is_gcj02).0 {
                prop_assert!(LAT.contains(&position.lat) && LON.contains(&position.lon));
            }
        }
    }
}
