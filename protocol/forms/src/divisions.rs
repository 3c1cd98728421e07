//! What towns and villages are called, by their statistical codes.
//!
//! The shipped list is public fact (the statistical division codes of one district). A district puts its own `divisions.csv` beside its forms. How a
//! ledger's cells name a place is the importer's business; here is only what a code means.
//!
//! # Layout
//!
//! ```text
//! code,name,level,parent_code      town: nine digits     village: twelve digits, the first nine its town's
//! ```
//!
//! # Limits
//!
//! [`DIVISIONS_MAX`] lines.

use std::{collections::BTreeMap, sync::Arc};

/// The most lines of a list: more than a province has.
pub const DIVISIONS_MAX: usize = 100_000;
/// The file's name in a district's folder.
pub const DIVISIONS_FILE: &str = "divisions.csv";

const SHIPPED: &str = include_str!("../built-in/divisions.csv");
const HEADER: [&str; 4] = ["code", "name", "level", "parent_code"];

/// Why a list cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DivisionsError {
    /// The columns are others.
    #[error("line 1: the columns must be code,name,level,parent_code")]
    Header,
    /// A line that says something else.
    #[error("line {line}: {detail}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        detail: &'static str,
    },
}

/// Names of towns and villages. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Divisions {
    names: Arc<BTreeMap<String, String>>,
}

impl Divisions {
    /// The shipped list.
    ///
    /// # Errors
    /// The shipped list has a fault; a test holds that it has none.
    pub fn built_in() -> Result<Self, DivisionsError> {
        Self::parse(SHIPPED)
    }

    /// Reads a list: commas, no quotes.
    ///
    /// # Errors
    /// [`DivisionsError`] with the line.
    pub fn parse(text: &str) -> Result<Self, DivisionsError> {
        let mut lines = text.trim_start_matches('\u{feff}').lines();
        if !lines.next().is_some_and(|header| header.split(',').map(str::trim).eq(HEADER)) {
            return Err(DivisionsError::Header);
        }
        let mut names = BTreeMap::new();
        for (number, line) in lines.enumerate() {
            let wrong = |detail| DivisionsError::Line { line: number + 2, detail };
            if number >= DIVISIONS_MAX {
                return Err(wrong("too many lines; is this the list of one district?"));
            }
            if line.trim().is_empty() {
                continue;
            }
            let cells: Vec<&str> = line.split(',').map(str::trim).collect();
            let [code, name, level, _] = cells.as_slice() else { return Err(wrong("not four cells")) };
            let digits = match *level {
                "town" => 9,
                "village" => 12,
                _ => return Err(wrong("the level is neither town nor village")),
            };
            if code.len() != digits || !code.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(wrong("a town's code has nine digits, a village's twelve"));
            }
            if name.is_empty() {
                return Err(wrong("no name"));
            }
            names.insert((*code).to_owned(), (*name).to_owned());
        }
        Ok(Self { names: Arc::new(names) })
    }

    /// What a town or a village is called.
    #[must_use]
    pub fn name(&self, code: &str) -> Option<&str> {
        self.names.get(code).map(String::as_str)
    }

    /// Every code with its name, ascending: a town stands before its villages.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names.iter().map(|(code, name)| (code.as_str(), name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_list_names_every_town_and_village() {
        let list = Divisions::built_in().unwrap();
        assert_eq!(list.iter().filter(|(code, _)| code.len() == 9).count(), 18);
        assert_eq!(list.iter().filter(|(code, _)| code.len() == 12).count(), 323);
        assert!(list.iter().all(|(code, _)| code.len() == 9 || list.name(&code[..9]).is_some()));
        assert_eq!(list.name("110117"), None);
    }

    #[test]
    fn line_with_a_fault_is_named() {
        let told = |rest: &str| Divisions::parse(&format!("code,name,level,parent_code\n{rest}")).unwrap_err();
        assert_eq!(Divisions::parse("name,code\n"), Err(DivisionsError::Header));
        for (rest, line) in [
            ("110117105,大华山镇,town,110117\n110117105208,西牛峪,hamlet,110117105\n", 3),
            ("11011710,大华山镇,town,110117\n", 2),
            ("110117105,,town,110117\n", 2),
            ("110117105,大华山镇\n", 2),
        ] {
            assert!(matches!(told(rest), DivisionsError::Line { line: at, .. } if at == line), "{rest}");
        }
        assert_eq!(Divisions::parse("\u{feff}code,name,level,parent_code\r\n\r\n"), Ok(Divisions::default()));
    }
}
