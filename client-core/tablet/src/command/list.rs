//! `qianmo list`: records on this device, newest first.

use qianmo_client_core::RecordRow;

use crate::cli::{List, State};
use crate::clock;
use crate::failure::Failure;
use crate::message::Messages;
use crate::names::Names;
use crate::render::json;
use crate::render::table::table;
use crate::render::words::{form_name, form_of, gist, short, states};
use crate::work::Work;

pub(crate) fn run(work: &mut Work<'_, '_>, asked: &List) -> Result<(), Failure> {
    let messages = work.messages;
    let mut filter = work.filter(&asked.which)?;
    filter.delivery = asked.state.and_then(State::delivery);
    filter.review = asked.state.and_then(State::review);
    let limit = usize::try_from(asked.limit).unwrap_or(usize::MAX);
    let mut rows: Vec<RecordRow> = Vec::new();
    let mut more = false;
    work.each(filter, |row| {
        more = rows.len() == limit;
        if !more {
            rows.push(row);
        }
        !more
    })?;
    if asked.json {
        return work.say_json(&rows.iter().map(json::row).collect());
    }
    if rows.is_empty() {
        let key = if asked.state.is_some() || asked.which.is_narrow() { "list-none-such" } else { "list-none" };
        return Ok(work.terminal.note(&messages.text(key))?);
    }
    for line in lines(&named(work, &rows)?, &work.forms, messages, work.columns) {
        work.terminal.say(&line)?;
    }
    let key = if more { "list-more" } else { "list-next" };
    Ok(work.terminal.note(&messages.with(key, &[("count", rows.len().into())]))?)
}

/// The records with names in place of codes.
pub(crate) fn named(work: &Work<'_, '_>, rows: &[RecordRow]) -> Result<Vec<RecordRow>, Failure> {
    let names = Names::read(work)?;
    let shown = |row: &RecordRow| names.shown(&work.forms, form_of(&work.forms, &row.form, row.form_version), row);
    Ok(rows.iter().map(shown).collect())
}

/// The records as a table.
pub(crate) fn lines(
    rows: &[RecordRow],
    forms: &qianmo_forms::FormSet,
    messages: Messages,
    columns: usize,
) -> Vec<String> {
    let headings = ["column-record", "column-created", "column-form", "column-state", "column-gist"];
    let headings = headings.map(|key| messages.text(key));
    let cells = |row: &RecordRow| {
        vec![
            short(&row.id.to_string()).to_owned(),
            clock::show(row.created_at_ms),
            form_name(forms, &row.form, messages),
            states(row, messages),
            gist(form_of(forms, &row.form, row.form_version), row, messages),
        ]
    };
    table(&headings, &rows.iter().map(cells).collect::<Vec<_>>(), columns)
}

#[cfg(test)]
mod tests {
    use qianmo_forms::{FormSet, Lang};

    use super::*;
    use crate::render::table::width;
    use crate::testing::visit_row;

    #[test]
    fn list_says_where_each_record_is_in_either_language() {
        let forms = FormSet::built_in().unwrap();
        let zh = lines(&[visit_row()], &forms, Messages::new(Lang::Zh), 120);
        assert_eq!(
            zh,
            [
                "记录      写于              表单      状态                     内容",
                "1a2b3c4d  2025-06-18 09:30  走访巡田  待上传 · 退回 · 冲突1处  2025-06-18 T017 查看套袋情况 梨小零星",
            ]
        );
        let en = lines(&[visit_row()], &forms, Messages::new(Lang::En), 100);
        assert!(en.iter().any(|line| line.contains("waiting · returned · 1 conflict")), "{en:?}");
        assert!(en.iter().all(|line| width(line) <= 100), "{en:?}");
    }
}
