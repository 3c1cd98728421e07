//! Text as the search index takes it, and a query in the index's language.
//!
//! Chinese has no spaces, so an index of words depends on where a dictionary cuts. A record is indexed by single characters:
//! a word of a query matches where its characters stand one after another, so whatever a dictionary thinks, text that is
//! there is found. A dictionary (jieba, with the names of our choice lists beside its own) only cuts queries: words that were
//! typed without spaces may stand apart. A word also finds what else its thing is called ([`Terms`]), and numbers that are
//! written the other way; width and case do not matter.
//!
//! # Invariants
//!
//! 1. Every run of characters of an indexed text finds its record (`prop_any_run_of_characters_finds_its_text`).
//! 2. What a form marks as personal, and numbers of persons in free text, are in no index.
//! 3. A query is data: nothing of it is read as the index's own language.
//!
//! # Limits
//!
//! [`QUERY_CHARS_MAX`], [`QUERY_WORDS_MAX`]. Other names are those of the shipped lists, not of a district's own.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use jieba_rs::Jieba;
use serde_json::Value;

use qianmo_forms::text::half_width;
use qianmo_forms::{FieldType, Form, FormSet, Lang, ReferenceKind, Value as FormValue, personal};

use super::ProjectedRecord;
use super::numerals;
use super::terms::Terms;

/// Most characters of a query.
pub const QUERY_CHARS_MAX: usize = 100;
/// Most words of a query.
pub const QUERY_WORDS_MAX: usize = 16;

/// Cuts texts. The dictionary is read once in a process.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cutter;

fn dictionary() -> &'static Jieba {
    static DICTIONARY: OnceLock<Jieba> = OnceLock::new();
    DICTIONARY.get_or_init(|| {
        let mut jieba = Jieba::new();
        for name in Terms::shipped().names() {
            jieba.add_word(name, None, None);
        }
        jieba
    })
}

/// Reads the dictionary and the names now, so that the first who looks for something does not wait for it.
pub(crate) fn read_dictionary() {
    dictionary();
}

/// Whether a character is written without spaces around its words.
pub(super) const fn is_han(char: char) -> bool {
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

/// Width and case aside.
pub(super) fn folded(text: &str) -> String {
    half_width(text).to_lowercase()
}

/// What a query asks for: parts between white space, each of them words.
pub(super) fn asked(text: &str) -> Option<Vec<Vec<String>>> {
    if text.chars().count() > QUERY_CHARS_MAX {
        return None;
    }
    let folded = folded(text);
    let mut parts: Vec<&str> = folded.split_whitespace().collect();
    let joined = parts.concat();
    // Pinyin is often typed with spaces between its syllables.
    if parts.len() > 1 && joined.bytes().all(|byte| byte.is_ascii_alphabetic()) && Terms::shipped().knows(&joined) {
        parts = vec![&joined];
    }
    let asked: Vec<Vec<String>> = parts.into_iter().map(Cutter::words).filter(|words| !words.is_empty()).collect();
    (!asked.is_empty() && asked.iter().map(Vec::len).sum::<usize>() <= QUERY_WORDS_MAX).then_some(asked)
}

impl Cutter {
    /// A text as it is indexed.
    pub(super) fn index(self, text: &str) -> String {
        single(&folded(text))
    }

    /// The words of a part of a query; one that names something, or is part of such a name, is one word.
    fn words(part: &str) -> Vec<String> {
        let terms = Terms::shipped();
        if part.chars().all(char::is_alphanumeric) && (terms.knows(part) || !terms.others(part).is_empty()) {
            return vec![part.to_owned()];
        }
        let mut words = BTreeSet::new();
        for run in numerals::apart(part) {
            if numerals::is_number(&run) {
                words.insert(run);
                continue;
            }
            let tokens = dictionary().cut(&run, true);
            let of_run = tokens.iter().map(|token| token.word).filter(|word| word.chars().any(char::is_alphanumeric));
            words.extend(of_run.map(ToOwned::to_owned));
        }
        words.into_iter().collect()
    }

    /// A query in the index's language; `None` if there is nothing in it to look for, or too much.
    pub(super) fn query(self, text: &str) -> Option<String> {
        let words: BTreeSet<String> = asked(text)?.into_iter().flatten().collect();
        let parts: Vec<String> = words.iter().map(|word| part(word)).collect();
        Some(parts.join(" AND "))
    }
}

/// Everything that a word of a query finds: itself, the other names of its thing, its number written the other way.
pub(super) fn ways(word: &str) -> BTreeSet<String> {
    let is_long = word.chars().nth(1).is_some();
    let numbers = if is_long { numerals::other_ways(word) } else { Vec::new() };
    let names = Terms::shipped().others(word).into_iter().map(ToOwned::to_owned);
    std::iter::once(word.to_owned()).chain(names).chain(numbers).collect()
}

/// A word of a query in the index's language, in any of its ways.
fn part(word: &str) -> String {
    let ways: Vec<String> = ways(word).iter().map(|way| phrase(way)).collect();
    format!("({})", ways.join(" OR "))
}

/// The characters of a word one after another. The last of other scripts may go on.
fn phrase(word: &str) -> String {
    let chars = single(word);
    let more = if chars.chars().last().is_some_and(is_han) { "" } else { " *" };
    format!("{}{more}", quoted(&chars))
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
            let values = rusqlite::params![number, Cutter.index(text)];
            connection.execute("INSERT INTO search (rowid, chars) VALUES (?1, ?2)", values).unwrap();
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
            ("山楂叶螨", vec![4]),
            ("叶螨", vec![4]),
            ("hongzhizhu", vec![4]),
            ("lxsxc", vec![1]),
            ("li xiao shi xin chong", vec![1]),
            ("ＳＴ０３", vec![2]),
            ("二十亩", vec![1]),
            ("贰拾亩", vec![1]),
            ("20亩", vec![1]),
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
