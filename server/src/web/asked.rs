//! The query of a request: known parameters only, each once, each with a value that can be.

use std::collections::BTreeMap;

use axum::extract::Query;
use axum::http::Uri;

use qianmo_forms::Lang;
use qianmo_protocol::ids::Code;
use qianmo_protocol::time::Month;

use super::refusal::{Fault, Refusal};
use crate::projection::{Filter, Mark, Marks, Order, PAGE_MAX, QUERY_CHARS_MAX, STATE_WORDS};

/// Parameters that choose records of a list.
const FILTERS: [&str; 11] = [
    "station",
    "month",
    "form",
    "state",
    "text",
    "conflicts",
    "changed",
    "flagged",
    "late",
    "resubmitted",
    "unanswered",
];

/// What was asked, by parameter. A parameter with an empty value is as if it were not there: forms send such.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    values: BTreeMap<String, String>,
}

impl Asked {
    /// Reads a query that may hold the filters and these parameters.
    pub(crate) fn read(uri: &Uri, others: &[&str]) -> Result<Self, Refusal> {
        Self::only(uri, &[&FILTERS, others].concat())
    }

    /// Reads a query that may hold just these parameters.
    pub(crate) fn only(uri: &Uri, known: &[&str]) -> Result<Self, Refusal> {
        let pairs =
            Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| Refusal::parameter(Fault::Value, "query"))?;
        let mut values = BTreeMap::new();
        for (name, value) in pairs.0 {
            if !known.contains(&name.as_str()) {
                return Err(Refusal::parameter(Fault::Unknown, &shortened(&name)));
            }
            if value.is_empty() {
                continue;
            }
            if values.insert(name.clone(), value).is_some() {
                return Err(Refusal::parameter(Fault::Twice, &name));
            }
        }
        Ok(Self { values })
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The records that a person means who looks for them on a page: a question mark in the box looks for nothing.
    pub(crate) fn page_filter(&self) -> Result<Filter, Refusal> {
        match self.text("text") {
            Some(text) if text.chars().count() <= QUERY_CHARS_MAX && !Filter::is_searchable(text) => {
                let mut without = self.values.clone();
                without.remove("text");
                Self { values: without }.filter()
            }
            _ => self.filter(),
        }
    }

    /// The records that are meant.
    pub(crate) fn filter(&self) -> Result<Filter, Refusal> {
        let month = self.checked("month", |text| Month::parse(text).is_some())?;
        let state = self.checked("state", |text| STATE_WORDS.contains(&text))?;
        Ok(Filter {
            station: self.checked("station", |text| Code::new(text).is_ok())?,
            month,
            form: self.checked("form", |text| Code::new(text).is_ok())?,
            state,
            text: self.checked("text", Filter::is_searchable)?,
            marks: self.marks()?,
            without: Marks::NONE,
            order: Order::Newest,
        })
    }

    /// A year, of four digits.
    pub(crate) fn year(&self) -> Result<Option<i16>, Refusal> {
        let is_year = |text: &str| text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit());
        Ok(self.checked("year", is_year)?.and_then(|text| text.parse().ok()))
    }

    /// Most records wanted.
    pub(crate) fn limit(&self, otherwise: usize) -> Result<usize, Refusal> {
        let Some(text) = self.text("limit") else { return Ok(otherwise) };
        let number = text.parse().ok().filter(|number| (1..=PAGE_MAX).contains(number));
        number.ok_or_else(|| Refusal::parameter(Fault::Value, "limit"))
    }

    /// Where to go on.
    pub(crate) fn cursor<T>(&self, decode: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, Refusal> {
        self.text("cursor")
            .map(|text| decode(text).ok_or_else(|| Refusal::parameter(Fault::Value, "cursor")))
            .transpose()
    }

    /// The language of a page.
    pub(crate) fn lang(&self) -> Result<Lang, Refusal> {
        match self.text("lang") {
            None | Some("zh") => Ok(Lang::Zh),
            Some("en") => Ok(Lang::En),
            Some(_) => Err(Refusal::parameter(Fault::Value, "lang")),
        }
    }

    fn marks(&self) -> Result<Marks, Refusal> {
        let mut marks = Marks::NONE;
        for mark in Mark::ALL {
            marks = marks.with(mark, self.flag(mark.word())?);
        }
        Ok(marks)
    }

    fn flag(&self, name: &'static str) -> Result<bool, Refusal> {
        match self.text(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Refusal::parameter(Fault::Value, name)),
        }
    }

    fn checked(&self, name: &'static str, can_be: impl FnOnce(&str) -> bool) -> Result<Option<String>, Refusal> {
        match self.text(name) {
            Some(text) if !can_be(text) => Err(Refusal::parameter(Fault::Value, name)),
            text => Ok(text.map(ToOwned::to_owned)),
        }
    }
}

/// A name that somebody made up is repeated, but not at any length.
fn shortened(name: &str) -> String {
    name.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(query: &str) -> Result<Filter, Refusal> {
        let uri = format!("/?{query}").parse().unwrap();
        Asked::read(&uri, &["limit"])?.filter()
    }

    #[test]
    fn parameters_are_known_given_once_and_possible() {
        let all = filter(
            "station=ST01&month=2025-06&form=visit&state=pending&text=%E6%A2%A8%E5%B0%8F&conflicts=true&changed=false",
        )
        .unwrap();
        assert_eq!(all.text.as_deref(), Some("梨小"));
        assert_eq!((all.station.as_deref(), all.month.as_deref()), (Some("ST01"), Some("2025-06")));
        assert_eq!(all.marks, Marks::of(&[Mark::Conflict]));
        assert_eq!(filter("flagged=true&late=true").unwrap().marks, Marks::of(&[Mark::Flagged, Mark::Late]));
        assert_eq!(filter("station=&state=").unwrap(), Filter::default());
        assert_eq!(filter("staton=ST01"), Err(Refusal::parameter(Fault::Unknown, "staton")));
        assert_eq!(filter("state=pending&state=approved"), Err(Refusal::parameter(Fault::Twice, "state")));
        for (query, name) in [
            ("month=2025-13", "month"),
            ("month=6", "month"),
            ("state=done", "state"),
            ("station=a%20b", "station"),
            ("form=%3Cscript%3E", "form"),
            ("conflicts=1", "conflicts"),
            ("text=%22%20%21", "text"),
        ] {
            assert_eq!(filter(query), Err(Refusal::parameter(Fault::Value, name)), "{query}");
        }
    }
}
