//! An export: rows for a spreadsheet, or JSON for a program. Personal fields only when asked for.
//!
//! A spreadsheet runs what begins with `=`, `+`, `-`, `@`, a tab or a return; such text gets an apostrophe before it, so a
//! record's words stay words. The file begins with a byte order mark, or spreadsheets take Chinese for something else.

use std::collections::BTreeMap;
use std::io::Write;

use qianmo_client_core::{FieldValue, RecordRow};
use qianmo_forms::{Field, FieldType, Form, FormSet, Lang, personal};
use serde_json::Value;

use super::words::{delivery, form_name, form_of, review};
use super::{json, table};
use crate::answers::{REMOVED, display, label};
use crate::clock;
use crate::message::Messages;

/// Whether personal data is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Personal {
    Masked,
    Written,
}

impl Personal {
    fn shows(self, field: &Field) -> bool {
        match self {
            Self::Masked => !field.personal,
            Self::Written => true,
        }
    }

    /// A text without the identity and phone numbers that do not belong in it.
    fn clean(self, text: String) -> String {
        match self {
            Self::Masked => personal::mask(&text).unwrap_or(text),
            Self::Written => text,
        }
    }
}

/// A text that no spreadsheet takes for a formula.
pub(crate) fn neutral(text: &str) -> String {
    let first = qianmo_forms::text::half_width(text).chars().find(|c| *c != ' ');
    if matches!(first, Some('=' | '+' | '-' | '@' | '\t' | '\r')) { format!("'{text}") } else { text.to_owned() }
}

/// Writes rows for a spreadsheet: one column for each field, one for each repeat.
pub(crate) fn write(
    out: &mut dyn Write,
    rows: &[RecordRow],
    forms: &FormSet,
    personal: Personal,
    messages: Messages,
) -> std::io::Result<()> {
    let mut ids: Vec<&str> = rows.iter().map(|row| row.form.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let known: Vec<&Form> = ids.iter().filter_map(|id| forms.get(id)).collect();
    let columns = columns(&known, personal, messages.lang());
    out.write_all("\u{FEFF}".as_bytes())?;
    let mut file = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
    let fixed = ["id", "form", "station", "logbook", "author", "created", "delivery", "review", "conflicts"];
    let headings = fixed.into_iter().map(|name| messages.text(heading(name)));
    file.write_record(headings.chain(columns.iter().map(|column| column.heading.clone())))?;
    for row in rows {
        let form = form_of(forms, &row.form, row.form_version);
        let mut cells = vec![
            row.id.to_string(),
            neutral(&form_name(forms, &row.form, messages)),
            neutral(row.station.as_deref().unwrap_or_default()),
            neutral(&row.logbook),
            neutral(&row.author),
            clock::show(row.created_at_ms),
            delivery(row.delivery, messages),
            review(row.review, messages),
            row.conflicts.to_string(),
        ];
        cells.extend(columns.iter().map(|column| cell(column, row, form, personal, messages)));
        file.write_record(cells)?;
    }
    file.flush()
}

fn heading(name: &str) -> &'static str {
    match name {
        "id" => "column-record",
        "form" => "column-form",
        "station" => "column-station",
        "logbook" => "column-logbook",
        "author" => "column-author",
        "created" => "column-created",
        "delivery" => "column-delivery",
        "review" => "column-review",
        _ => "column-conflicts",
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Column {
    name: String,
    heading: String,
}

/// The columns of several forms: those with the same name and heading are one.
fn columns(forms: &[&Form], personal: Personal, lang: Lang) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for form in forms {
        let fields = form.fields().iter().filter(|field| personal.shows(field));
        let fields = fields.map(|field| Column { name: field.name.clone(), heading: neutral(&label(field, lang)) });
        let repeats = form.repeats().iter();
        let repeats =
            repeats.map(|repeat| Column { name: repeat.name.clone(), heading: neutral(repeat.label.get(lang)) });
        for column in fields.chain(repeats) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
    }
    columns
}

fn cell(column: &Column, row: &RecordRow, form: Option<&Form>, personal: Personal, messages: Messages) -> String {
    let Some(form) = form else { return String::new() };
    let lang = messages.lang();
    if form.repeat(&column.name).is_some() {
        return neutral(&personal.clean(rows_in_words(&column.name, row, form, personal, lang)));
    }
    // A form whose field has another heading has a column of its own for it.
    let Some(field) = form.field(&column.name).filter(|field| neutral(&label(field, lang)) == column.heading) else {
        return String::new();
    };
    let Some(kept) = row.fields.get(&column.name) else { return String::new() };
    let shown = personal.clean(display(Some(field), kept, lang));
    if is_number(field, kept) { shown } else { neutral(&shown) }
}

/// A number that begins with a minus sign is no formula.
fn is_number(field: &Field, kept: &FieldValue) -> bool {
    let numeric =
        field.field_type.decimals().is_some() || matches!(field.field_type, FieldType::Integer { scale: None });
    numeric && crate::answers::read(field, kept).is_some()
}

/// The rows of a repeat in one cell: `label: value; label: value`, one row a line.
fn rows_in_words(name: &str, row: &RecordRow, form: &Form, personal: Personal, lang: Lang) -> String {
    let mut lines: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (path, kept) in &row.fields {
        let mut parts = path.split('/');
        let (Some(repeat), Some(key), Some(cell)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let removed = row.fields.get(&format!("{repeat}/{key}/{REMOVED}")) == Some(&FieldValue::Bool(true));
        let field = form.repeat(repeat).and_then(|repeat| repeat.field(cell));
        if let Some(field) =
            field.filter(|field| personal.shows(field) && repeat == name && !removed && !kept.is_null())
        {
            let shown = table::one_line(&display(Some(field), kept, lang));
            lines.entry(key).or_default().push(format!("{}: {shown}", label(field, lang)));
        }
    }
    lines.into_values().map(|cells| cells.join("; ")).collect::<Vec<_>>().join("\n")
}

/// A record for a program, without what is not to be written.
pub(crate) fn record(row: &RecordRow, forms: &FormSet, personal: Personal) -> Value {
    let form = form_of(forms, &row.form, row.form_version);
    let mut row = row.clone();
    if personal == Personal::Masked {
        row.fields.retain(|path, _| match form {
            Some(form) => form.field_at(path).is_none_or(|field| personal.shows(field)),
            // Which fields of an unknown form are personal is unknown too.
            None => false,
        });
        for kept in row.fields.values_mut() {
            if let FieldValue::Text(text) = kept {
                *text = personal.clean(core::mem::take(text));
            }
        }
    }
    json::row(&row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::visit_row;

    fn exported(personal: Personal, lang: Lang) -> String {
        let mut row = visit_row();
        row.fields.insert("target_name".to_owned(), FieldValue::from("张三"));
        row.fields.insert("content".to_owned(), FieldValue::from("=HYPERLINK(\"x\"),电话15412345678"));
        row.fields.insert("lon".to_owned(), FieldValue::from("-3.5"));
        let forms = FormSet::built_in().unwrap();
        let mut bytes = Vec::new();
        write(&mut bytes, &[row], &forms, personal, Messages::new(lang)).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn text_that_a_spreadsheet_would_run_stays_text() {
        for text in ["=1+1", "+1", "-1", "@x", "\tx", "＝1", " =1"] {
            assert_eq!(neutral(text), format!("'{text}"));
        }
        assert_eq!(neutral("套袋"), "套袋");
    }

    #[test]
    fn export_has_no_personal_data_unless_it_is_asked_for() {
        let masked = exported(Personal::Masked, Lang::Zh);
        assert!(masked.starts_with("\u{FEFF}记录,表单,"), "{masked}");
        assert!(masked.contains("\"'=HYPERLINK(\"\"x\"\"),电话154****5678\""), "{masked}");
        assert!(!masked.contains("张三") && !masked.contains("对象名称") && !masked.contains("-3.5"), "{masked}");
        let written = exported(Personal::Written, Lang::En);
        assert!(
            written.contains("Target's name") && written.contains("张三") && written.contains(",-3.5,"),
            "{written}"
        );
        assert!(written.contains("15412345678"), "{written}");
    }

    #[test]
    fn export_for_programs_masks_the_same() {
        let mut row = visit_row();
        row.fields.insert("target_name".to_owned(), FieldValue::from("张三"));
        let forms = FormSet::built_in().unwrap();
        let masked = record(&row, &forms, Personal::Masked);
        assert_eq!(masked.pointer("/fields/target_name"), None);
        assert_eq!(masked.pointer("/fields/activity_date"), Some(&Value::from("2025-06-18")));
        let written = record(&row, &forms, Personal::Written);
        assert_eq!(written.pointer("/fields/target_name"), Some(&Value::from("张三")));
    }
}
