//! Choosing from a list: by number, by any of a choice's names, or by a part of one.

use qianmo_forms::{Choice, Field, FieldType, Lang, Value, Values};

use crate::render::table::width;

/// Choices shown without being asked for.
const SHOWN_MAX: usize = 12;
/// Choices shown for a part of a name.
const FOUND_MAX: usize = 20;

/// The choices of one question, suggested ones first.
#[derive(Debug)]
pub(crate) struct Options<'f> {
    choices: Vec<&'f Choice>,
    /// A scale's ids are its numbers.
    scale: bool,
    several: bool,
}

/// What a typed text means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meant {
    /// These ids, in the form a field reads.
    Ids(String),
    /// One of these, by their places; the text fits all.
    OneOf(Vec<usize>),
    /// None; this part of the text fits nothing.
    Nothing(String),
}

/// How much of a list to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    Short,
    Whole,
}

impl<'f> Options<'f> {
    /// The choices of a field, if it has any. `path` tells the row, whose answers suggest.
    pub(crate) fn of(field: &'f Field, path: &str, values: &Values) -> Option<Self> {
        let list = field.field_type.choices()?;
        let beside = |name: &String| match path.rsplit_once('/') {
            Some((row, _)) => values.get(&format!("{row}/{name}")).or_else(|| values.get(name)),
            None => values.get(name),
        };
        let id = match field.suggested_by.as_ref().and_then(beside) {
            Some(Value::Choice(id) | Value::Reference(id)) => Some(id.as_str()),
            Some(
                Value::Null
                | Value::Bool(_)
                | Value::Int(_)
                | Value::Decimal(_)
                | Value::Text(_)
                | Value::Date(_)
                | Value::Time(_)
                | Value::Choices(_)
                | Value::References(_),
            )
            | None => None,
        };
        let scale = matches!(field.field_type, FieldType::Integer { .. });
        let several = matches!(field.field_type, FieldType::Choices(_));
        Some(Self { choices: list.suggested(id), scale, several })
    }

    pub(crate) const fn takes_several(&self) -> bool {
        self.several
    }

    pub(crate) const fn len(&self) -> usize {
        self.choices.len()
    }

    /// Whether [`Extent::Short`] leaves some out.
    pub(crate) const fn is_long(&self) -> bool {
        self.choices.len() > SHOWN_MAX
    }

    fn entry(&self, at: usize, lang: Lang) -> Option<String> {
        let choice = self.choices.get(at)?;
        let number = if self.scale { choice.id.clone() } else { (at + 1).to_string() };
        Some(format!("{number} {}", choice.label.get(lang)))
    }

    /// The choices as lines of a width.
    pub(crate) fn lines(&self, extent: Extent, lang: Lang, columns: usize) -> Vec<String> {
        let count = match extent {
            Extent::Short if self.is_long() => SHOWN_MAX,
            Extent::Short | Extent::Whole => self.len(),
        };
        let entries = (0..count).filter_map(|at| self.entry(at, lang));
        flow(entries, columns)
    }

    /// Some of the choices, by their places, as lines of a width.
    pub(crate) fn some(&self, places: &[usize], lang: Lang, columns: usize) -> Vec<String> {
        flow(places.iter().filter_map(|at| self.entry(*at, lang)), columns)
    }

    /// What a typed text means: a number or a name first, then a part of a name.
    pub(crate) fn read(&self, typed: &str) -> Meant {
        if !self.several {
            return self.one(typed);
        }
        if let Meant::Ids(id) = self.one(typed) {
            return Meant::Ids(id);
        }
        let mut ids: Vec<String> = Vec::new();
        let parts = typed.split([',', '，', ';', '；', '、', ' ', '\u{3000}']).filter(|part| !part.is_empty());
        for part in parts {
            match self.one(part) {
                Meant::Ids(id) => ids.push(id),
                Meant::OneOf(places) => return Meant::OneOf(places),
                Meant::Nothing(part) => return Meant::Nothing(part),
            }
        }
        Meant::Ids(ids.join(" "))
    }

    fn one(&self, typed: &str) -> Meant {
        let typed = qianmo_forms::text::structural(typed);
        let named = |choice: &&&Choice| names(choice).any(|name| same(name, &typed));
        if let Some(choice) = self.choices.iter().find(named) {
            return Meant::Ids(choice.id.clone());
        }
        if !self.scale
            && let Some(choice) =
                typed.parse::<usize>().ok().and_then(|number| self.choices.get(number.checked_sub(1)?))
        {
            return Meant::Ids(choice.id.clone());
        }
        let part = key(&typed);
        let fits = |choice: &Choice| !part.is_empty() && names(choice).any(|name| key(name).contains(&part));
        let found = self.choices.iter().enumerate().filter(|(_, choice)| fits(choice));
        let places: Vec<usize> = found.map(|(at, _)| at).take(FOUND_MAX).collect();
        match (places.as_slice(), places.first().and_then(|at| self.choices.get(*at))) {
            ([_], Some(choice)) => Meant::Ids(choice.id.clone()),
            ([], _) | (_, None) => Meant::Nothing(typed),
            (_, Some(_)) => Meant::OneOf(places),
        }
    }
}

fn names(choice: &Choice) -> impl Iterator<Item = &str> {
    [choice.id.as_str(), choice.label.zh.as_str(), choice.label.en.as_str()]
        .into_iter()
        .chain(choice.aliases.iter().map(String::as_str))
}

/// The form under which two names are the same to a person.
fn key(name: &str) -> String {
    let half = qianmo_forms::text::half_width(name);
    half.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect()
}

fn same(one: &str, other: &str) -> bool {
    key(one) == key(other)
}

/// Entries side by side, as many as fit.
fn flow(entries: impl Iterator<Item = String>, columns: usize) -> Vec<String> {
    const GAP: &str = "   ";
    let mut lines: Vec<String> = Vec::new();
    for entry in entries {
        match lines.last_mut() {
            Some(line) if width(line) + GAP.len() + width(&entry) <= columns => {
                line.push_str(GAP);
                line.push_str(&entry);
            }
            Some(_) | None => lines.push(format!("  {entry}")),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use qianmo_forms::{Form, FormSet};

    use super::*;

    fn visit() -> Form {
        FormSet::built_in().unwrap().get("visit").unwrap().clone()
    }

    fn read(field: &str, typed: &str) -> Meant {
        let form = visit();
        Options::of(form.field(field).unwrap(), field, &Values::new()).unwrap().read(typed)
    }

    #[test]
    fn choice_is_taken_by_number_name_id_or_a_part_that_fits_one() {
        let heavy = || Meant::Ids("heavy".to_owned());
        for typed in ["6", "６", "重", "heavy", "HEAVY", "严重", "重度"] {
            assert_eq!(read("severity", typed), heavy(), "{typed}");
        }
        assert_eq!(read("severity", "sporad"), Meant::Ids("sporadic".to_owned()));
    }

    #[test]
    fn part_that_fits_several_asks_and_part_that_fits_none_says_so() {
        assert_eq!(read("severity", "moderately"), Meant::OneOf(vec![2, 4]));
        assert_eq!(read("severity", "7"), Meant::Nothing("7".to_owned()));
        assert_eq!(read("severity", "0"), Meant::Nothing("0".to_owned()));
    }

    #[test]
    fn number_on_a_scale_is_its_point_and_not_its_place() {
        assert_eq!(read("satisfaction", "5"), Meant::Ids("5".to_owned()));
        assert_eq!(read("satisfaction", "1"), Meant::Ids("1".to_owned()));
        assert_eq!(read("satisfaction", "非常满意"), Meant::Ids("5".to_owned()));
    }

    #[test]
    fn suggested_choices_come_first_and_long_lists_are_cut() {
        let form = visit();
        let values = Values::from([("crop_id".to_owned(), Value::Choice("grape".to_owned()))]);
        let field = form.field("pest_id").unwrap();
        let with = Options::of(field, "pest_id", &values).unwrap();
        let without = Options::of(field, "pest_id", &Values::new()).unwrap();
        assert!(with.is_long());
        assert_ne!(with.lines(Extent::Short, Lang::Zh, 60), without.lines(Extent::Short, Lang::Zh, 60));
        let lines = with.lines(Extent::Whole, Lang::Zh, 60);
        assert!(lines.iter().all(|line| width(line) <= 60), "{lines:?}");
        assert!(lines.len() > with.lines(Extent::Short, Lang::Zh, 60).len());
    }
}
