//! Text as the search index takes it: words and characters.
//!
//! Chinese has no spaces, so an index of words depends on where a dictionary cuts. A record is indexed twice: by the words
//! of a dictionary (jieba, with the labels and aliases of our choice lists beside its own), and by single characters. A
//! part of a query matches where it stands as a word, or where its characters stand one after another: whatever the
//! dictionary thinks, text that is there is found.
//!
//! # Invariants
//!
//! 1. Every run of characters of an indexed text finds its record (`prop_any_run_of_characters_finds_its_text`).
//! 2. What a form marks as personal, and numbers of persons in free text, are in no index.
//! 3. A query is data: nothing of it is read as the index's own language.
//!
//! # Limits
//!
//! [`QUERY_CHARS_MAX`], [`QUERY_WORDS_MAX`].

use std::collections::BTreeSet;
use std::sync::OnceLock;

use jieba_rs::Jieba;
use serde_json::Value;

use qianmo_forms::{FieldType, Form, FormSet, Lang, ReferenceKind, Value as FormValue, personal};

use super::ProjectedRecord;

/// Most characters of a query.
pub const QUERY_CHARS_MAX: usize = 100;
/// Most words of a query.
pub const QUERY_WORDS_MAX: usize = 16;

/// A text in the two ways it is indexed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Indexed {
    /// Words of the dictionary, with spaces between.
    pub(super) words: String,
    /// Single Han characters and whole words of other scripts, with spaces between.
    pub(super) chars: String,
}

/// Cuts texts into words. The dictionary is read once in a process.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cutter;

fn dictionary() -> &'static Jieba {
    static DICTIONARY: OnceLock<Jieba> = OnceLock::new();
    DICTIONARY.get_or_init(|| {
        let mut jieba = Jieba::new();
        let forms = FormSet::built_in().ok();
        let fields = forms.iter().flat_map(FormSet::iter).flat_map(Form::fields);
        let lists = fields.filter_map(|field| field.field_type.choices());
        for choice in lists.flat_map(|list| list.iter()) {
            let names = std::iter::once(choice.label.zh.as_str()).chain(choice.aliases.iter().map(String::as_str));
            for name in names.filter(|name| name.chars().count() > 1 && name.chars().all(is_han)) {
                jieba.add_word(name, None, None);
            }
        }
        jieba
    })
}

/// Whether a character is written without spaces around its words.
const fn is_han(char: char) -> bool {
    matches!(char,
        '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}' | '〇')
}

/// Characters of one script together, Han ones apart.
fn single(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len().saturating_mul(2));
    for char in text.chars() {
        if is_han(char) {
            spaced.extend([' ', char, ' ']);
        } else if char.is_alphanumeric() {
            spaced.extend(char.to_lowercase());
        } else {
            spaced.push(' ');
        }
    }
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Cutter {
    /// A text as it is indexed.
    pub(super) fn index(self, text: &str) -> Indexed {
        let lower = text.to_lowercase();
        let tokens = dictionary().cut_for_search(&lower, true);
        let words: Vec<&str> =
            tokens.iter().map(|token| token.word).filter(|word| word.chars().any(char::is_alphanumeric)).collect();
        Indexed { words: words.join(" "), chars: single(text) }
    }

    /// A query in the index's language; `None` if there is nothing in it to look for, or too much.
    pub(super) fn query(self, text: &str) -> Option<String> {
        if text.chars().count() > QUERY_CHARS_MAX {
            return None;
        }
        let lower = text.to_lowercase();
        let tokens = dictionary().cut(&lower, true);
        let words: BTreeSet<&str> =
            tokens.iter().map(|token| token.word).filter(|word| word.chars().any(char::is_alphanumeric)).collect();
        if words.is_empty() || words.len() > QUERY_WORDS_MAX {
            return None;
        }
        let parts: Vec<String> = words.into_iter().map(part).collect();
        Some(parts.join(" AND "))
    }
}

/// One word of a query: as a word, or as its characters one after another. The last of other scripts may go on.
fn part(word: &str) -> String {
    let chars = single(word);
    let more = if chars.chars().last().is_some_and(is_han) { "" } else { " *" };
    format!("({{words}} : {} OR {{chars}} : {}{more})", quoted(word), quoted(&chars))
}

/// A text in the quotation marks of the index's language.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// What of a record can be searched: its codes, the answers that are not personal, as people read them.
pub(super) fn text_of(forms: &FormSet, record: &ProjectedRecord) -> String {
    let form = forms.for_record(&record.form, record.form_version);
    let mut lines: Vec<String> = vec![record.author.clone()];
    lines.extend(record.station.clone());
    if let Some(form) = form {
        lines.extend([form.label().zh.clone(), form.label().en.clone()]);
        add_cells(&mut lines, forms, form, None, &record.fields);
        if let Value::Object(repeats) = &record.repeats {
            for (repeat, rows) in repeats {
                let rows = rows.as_object().into_iter().flat_map(|rows| rows.values());
                let is_there = |row: &&Value| row.get("removed") != Some(&Value::Bool(true));
                for cells in rows.filter(is_there).filter_map(|row| row.get("cells")) {
                    add_cells(&mut lines, forms, form, Some(repeat), cells);
                }
            }
        }
    }
    lines.join("\n")
}

fn add_cells(lines: &mut Vec<String>, forms: &FormSet, form: &Form, repeat: Option<&str>, cells: &Value) {
    let Value::Object(cells) = cells else { return };
    for (name, value) in cells {
        let field = match repeat {
            None => form.field(name),
            Some(repeat) => form.repeat(repeat).and_then(|known| known.field(name)),
        };
        let Some(field) = field.filter(|field| !field.personal) else { continue };
        let Value::String(text) = value else { continue };
        match &field.field_type {
            FieldType::Choice(_) | FieldType::Choices(_) => {
                let stored = qianmo_forms::Scalar::Text(text.clone());
                let read = FormValue::from_scalar(field, &stored).ok();
                lines.extend(read.iter().flat_map(|value| [Lang::Zh, Lang::En].map(|lang| value.display(field, lang))));
            }
            FieldType::Reference(ReferenceKind::Town | ReferenceKind::Village) => {
                lines.extend(forms.divisions().name(text).map(ToOwned::to_owned));
                lines.push(text.clone());
            }
            FieldType::Text { .. }
            | FieldType::LongText { .. }
            | FieldType::Date
            | FieldType::Reference(_)
            | FieldType::References(_) => lines.push(personal::mask(text).unwrap_or_else(|| text.clone())),
            FieldType::Integer { .. }
            | FieldType::Decimal { .. }
            | FieldType::Latitude
            | FieldType::Longitude
            | FieldType::Accuracy
            | FieldType::Time
            | FieldType::Boolean => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusqlite::Connection;

    use super::*;

    fn index(texts: &[&str]) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(super::super::SEARCH_SCHEMA).unwrap();
        for (number, text) in (1_i64..).zip(texts) {
            let indexed = Cutter.index(text);
            let values = rusqlite::params![number, indexed.words, indexed.chars];
            connection.execute("INSERT INTO search (rowid, words, chars) VALUES (?1, ?2, ?3)", values).unwrap();
        }
        connection
    }

    fn found(connection: &Connection, query: &str) -> Vec<i64> {
        let Some(query) = Cutter.query(query) else { return Vec::new() };
        let mut statement =
            connection.prepare("SELECT rowid FROM search WHERE search MATCH ?1 ORDER BY rowid").unwrap();
        statement.query_map([query], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    const TEXTS: [&str; 4] = [
        "果园东侧约20亩大桃,梨小食心虫虫梢率偏高,滴灌带堵塞严重",
        "温室草莓白粉病,建议通风降湿,记录编号ST03-2025-0142",
        "Peach orchard, drip line blocked; 建议先清洗过滤器",
        "板栗红蜘蛛轻度发生,农户希望学习绿色防控",
    ];

    #[test]
    fn words_parts_of_words_and_other_scripts_are_found() {
        let connection = index(&TEXTS);
        for (query, expected) in [
            ("梨小", vec![1]),
            ("梨小食心虫", vec![1]),
            ("滴灌带", vec![1]),
            ("灌带堵", vec![1]),
            ("建议", vec![2, 3]),
            ("建议 过滤器", vec![3]),
            ("st03", vec![2]),
            ("ST03-2025-0142", vec![2]),
            ("orch", vec![3]),
            ("红蜘蛛", vec![4]),
            ("防控绿色", vec![4]),
            ("苹果", vec![]),
        ] {
            assert_eq!(found(&connection, query), expected, "{query}");
        }
    }

    #[test]
    fn query_is_data_whatever_is_in_it() {
        let connection = index(&TEXTS);
        for (query, expected) in [
            ("\"", vec![]),
            ("梨小\" OR \"建议", vec![]),
            ("words:建议 NOT 过滤器", vec![]),
            ("建议 * 过滤器", vec![3]),
            ("-建议", vec![2, 3]),
            ("建议 AND", vec![]),
            ("NEAR(建议 过滤器)", vec![]),
            ("%", vec![]),
        ] {
            assert_eq!(found(&connection, query), expected, "{query}");
        }
        assert_eq!(Cutter.query(" ，。!? "), None);
        assert_eq!(Cutter.query(&"桃".repeat(QUERY_CHARS_MAX + 1)), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn prop_any_run_of_characters_finds_its_text(from in 0_usize..30, length in 1_usize..12, text in 0_usize..4) {
            let whole: Vec<char> = TEXTS[text].chars().collect();
            let run: String = whole.iter().skip(from).take(length).filter(|char| is_han(**char)).collect();
            let is_one_run = TEXTS[text].contains(&run);
            prop_assume!(!run.is_empty() && is_one_run);
            prop_assert!(found(&index(&TEXTS), &run).contains(&(text as i64 + 1)), "{run}");
        }

        #[test]
        fn prop_no_query_fails(query in "\\PC{0,40}") {
            found(&index(&TEXTS), &query);
        }
    }
}
