//! A record as a person reads it: answers, where it is, review, conflicts, history.

use qianmo_client_core::{Candidate, ConflictKind, FieldConflict, FieldValue, HistoryEntry, RecordView, ReviewView};
use qianmo_forms::Form;

use super::table::{block, one_line, pad, width};
use super::words::{act, delivery, delivery_next, review, short};
use crate::answers::{REMOVED, display, label};
use crate::clock;
use crate::message::Messages;

/// Everything about a record.
pub(crate) fn record(view: &RecordView, form: Option<&Form>, messages: Messages) -> Vec<String> {
    let row = &view.row;
    let mut lines = Vec::new();
    let title = form.map_or(row.form.as_str(), |form| form.label().get(messages.lang()));
    lines.push(format!("{title} {}", row.id));
    let facts = [
        ("author", one_line(&row.author).into()),
        ("time", clock::show(row.created_at_ms).into()),
        ("logbook", one_line(&row.logbook).into()),
    ];
    lines.push(messages.with("show-facts", &facts));
    if form.is_none() {
        lines.push(messages.with("show-form-unknown", &[("form", row.form.as_str().into())]));
    }
    lines.push(messages.with("show-where", &[("state", delivery(row.delivery, messages).into())]));
    lines.push(format!("  {}", delivery_next(row.delivery, messages)));
    lines.extend(held(view, messages));
    lines.push(messages.with("show-review", &[("state", review(row.review, messages).into())]));
    if row.changed_after_approval {
        lines.push(format!("  {}", messages.text("show-changed-after")));
    }
    lines.push(String::new());
    lines.extend(answers(view, form, messages));
    lines.extend(conflicts(view, form, messages));
    lines.extend(reviews(view, form, messages));
    lines.extend(history(view, form, messages));
    lines
}

/// What does not count, counts for nobody here, or cannot be shown: why, and what to do.
fn held(view: &RecordView, messages: Messages) -> Vec<String> {
    let mut lines = Vec::new();
    for held in &view.held {
        let (what, next) = (held.what.get(messages.lang()), held.next.get(messages.lang()));
        let arguments = [("code", held.code.into()), ("what", what.into()), ("next", next.into())];
        lines.push(messages.with("show-held", &arguments));
    }
    for held in &view.held_here {
        let what = held.what.get(messages.lang());
        lines.push(messages.with("show-held-here", &[("code", held.code.into()), ("what", what.into())]));
    }
    if view.unshown > 0 {
        lines.push(messages.with("show-unshown", &[("count", view.unshown.into())]));
    }
    lines
}

/// The name of a path, in words where the form knows it.
pub(crate) fn path_label(form: Option<&Form>, path: &str, messages: Messages) -> String {
    let mut parts = path.split('/');
    let (first, row, name) = (parts.next().unwrap_or(path), parts.next(), parts.next());
    let Some(form) = form else { return one_line(path) };
    match (row, name) {
        (Some(row), Some(name)) => {
            let Some(repeat) = form.repeat(first) else { return one_line(path) };
            let field = if name == REMOVED {
                messages.text("show-row-removed")
            } else {
                repeat.field(name).map_or_else(|| one_line(name), |field| label(field, messages.lang()))
            };
            format!("{} {} · {field}", repeat.label.get(messages.lang()), one_line(short(row)))
        }
        (_, _) => form.field(first).map_or_else(|| one_line(path), |field| label(field, messages.lang())),
    }
}

/// A value in words, or a word for none.
pub(crate) fn value(form: Option<&Form>, path: &str, kept: &FieldValue, messages: Messages) -> String {
    let shown = display(form.and_then(|form| form.field_at(path)), kept, messages.lang());
    if shown.is_empty() { messages.text("show-empty") } else { shown }
}

fn answers(view: &RecordView, form: Option<&Form>, messages: Messages) -> Vec<String> {
    let fields = &view.row.fields;
    let is_removed = |path: &str| {
        path.rsplit_once('/')
            .is_some_and(|(row, _)| fields.get(&format!("{row}/{REMOVED}")) == Some(&FieldValue::Bool(true)))
    };
    let place = |path: &str| {
        let root = path.split('/').next().unwrap_or(path);
        let form = form?;
        let field = form.fields().iter().position(|field| field.name == root);
        field.or_else(|| Some(form.fields().len() + form.repeats().iter().position(|repeat| repeat.name == root)?))
    };
    let mut shown: Vec<(&String, &FieldValue)> =
        fields.iter().filter(|(path, value)| !value.is_null() && !is_removed(path)).collect();
    shown.sort_by_key(|(path, _)| (place(path).unwrap_or(usize::MAX), (*path).clone()));
    let labels: Vec<String> = shown.iter().map(|(path, _)| path_label(form, path, messages)).collect();
    let columns = labels.iter().map(|label| width(label)).max().unwrap_or_default();
    let line = |((path, kept), label): (&(&String, &FieldValue), &String)| {
        let conflict = view.conflicts.iter().any(|conflict| conflict.path.as_str() == path.as_str());
        let mark = if conflict { messages.text("show-mark-conflict") } else { String::new() };
        format!("  {}  {}{mark}", pad(label, columns), block(&value(form, path, kept, messages), columns + 4))
    };
    shown.iter().zip(&labels).map(line).collect()
}

fn conflicts(view: &RecordView, form: Option<&Form>, messages: Messages) -> Vec<String> {
    let mut lines = Vec::new();
    for conflict in &view.conflicts {
        lines.push(String::new());
        lines.extend(candidates(conflict, form, messages));
        let arguments =
            [("record", short(&view.row.id.to_string()).to_owned().into()), ("field", conflict.path.as_str().into())];
        lines.push(format!("  {}", messages.with("conflict-next", &arguments)));
    }
    lines
}

/// A conflict with all its values.
pub(crate) fn candidates(conflict: &FieldConflict, form: Option<&Form>, messages: Messages) -> Vec<String> {
    let path = conflict.path.as_str();
    let kind = messages.text(match conflict.kind {
        ConflictKind::Concurrent => "conflict-concurrent",
        ConflictKind::OverwrittenUnseen => "conflict-overwritten",
        ConflictKind::RemovedRowEdited => "conflict-removed-row",
    });
    let mut lines = vec![
        messages.with("conflict-title", &[("field", path_label(form, path, messages).into()), ("kind", kind.into())]),
    ];
    let line = |(number, candidate): (usize, &Candidate)| {
        let arguments = [
            ("number", number.into()),
            ("value", block(&value(form, path, &candidate.value, messages), 6).into()),
            ("person", person(candidate.person.as_deref(), messages).into()),
            ("time", clock::show(candidate.recorded_at_ms).into()),
        ];
        format!("  {}", messages.with("conflict-candidate", &arguments))
    };
    lines.extend((1..).zip(&conflict.candidates).map(line));
    lines
}

fn person(code: Option<&str>, messages: Messages) -> String {
    code.map_or_else(|| messages.text("show-nobody"), one_line)
}

fn reviews(view: &RecordView, form: Option<&Form>, messages: Messages) -> Vec<String> {
    if view.reviews.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![String::new(), messages.text("show-reviews")];
    for event in &view.reviews {
        lines.extend(review_event(event, form, messages));
    }
    lines
}

fn review_event(event: &ReviewView, form: Option<&Form>, messages: Messages) -> Vec<String> {
    let mut line =
        format!("  {}  {}  {}", clock::show(event.recorded_at_ms), one_line(&event.person), act(event.act, messages));
    if event.imported {
        line.push_str(&messages.text("show-imported"));
    }
    if !event.counts {
        line.push_str(&messages.text("show-does-not-count"));
    }
    let mut lines = vec![line];
    if !event.reasons.is_empty() {
        let reasons = one_line(&event.reasons.join(", "));
        lines.push(format!("    {}", messages.with("show-reasons", &[("reasons", reasons.into())])));
    }
    if !event.note.is_empty() {
        lines.push(format!("    {}", block(&event.note, 4)));
    }
    let notes = event.field_notes.iter();
    lines.extend(notes.map(|(path, note)| format!("    {}: {}", path_label(form, path, messages), block(note, 6))));
    lines
}

fn history(view: &RecordView, form: Option<&Form>, messages: Messages) -> Vec<String> {
    let mut lines = vec![String::new(), messages.text("show-history")];
    for entry in &view.history {
        lines.extend(change(entry, form, messages));
    }
    lines
}

fn change(entry: &HistoryEntry, form: Option<&Form>, messages: Messages) -> Vec<String> {
    let device = entry.device.as_deref().map_or_else(|| messages.text("show-this-device"), |id| short(id).to_owned());
    let who = person(entry.person.as_deref(), messages);
    let mut lines = vec![format!("  {}  {who}  {device}", clock::show(entry.recorded_at_ms))];
    for (path, before, after) in &entry.edits {
        let label = path_label(form, path, messages);
        let after = one_line(&value(form, path, after, messages));
        lines.push(match before {
            Some(before) => format!("    {label}: {} → {after}", one_line(&value(form, path, before, messages))),
            None => format!("    {label}: {after}"),
        });
    }
    for path in &entry.resolved {
        let field = path_label(form, path, messages);
        lines.push(format!("    {}", messages.with("show-resolved", &[("field", field.into())])));
    }
    lines
}

#[cfg(test)]
mod tests {
    use qianmo_client_core::Delivery;
    use qianmo_forms::{FormSet, Lang};

    use super::*;
    use crate::testing::visit_view;

    fn shown(view: &RecordView, lang: Lang) -> String {
        let forms = FormSet::built_in().unwrap();
        record(view, forms.get("visit"), Messages::new(lang)).join("\n")
    }

    #[test]
    fn record_reads_in_chinese_with_state_review_conflict_and_history() {
        let expected = "\
走访巡田 1a2b3c4d5e6f708192a3b4c5d6e7f809
记录人 P01 · 写于 2025-06-18 09:30 · 日志本 ST03/2025-06
在哪里：待上传
  已存在本机；有网时运行 qianmo sync 送出
  代码262：署名的人没有这个工作站的权限。内容没有丢;请把代码告诉管理员或协调员,由他们放行
审核：退回

  服务方式        现场
  日期            2025-06-18
  服务对象        T017
  查看面积（亩）  3.5  ⚠ 有冲突
  服务内容        查看套袋情况
                  梨小零星
  满意度          非常满意

冲突：查看面积（亩）（两人同时写的）
  1. 3.5  —— P01 2025-06-18 09:35
  2. 5  —— P02 2025-06-18 09:36
  决定留哪个：qianmo resolve 1a2b3c4d area_seen_mu --keep 编号

审核意见
  2025-06-18 09:40  P09  退回
    原因：vague
    内容笼统
    服务内容: 写明虫情

历史
  2025-06-18 09:35  P01  本机
    查看面积（亩）: 3 → 3.5";
        assert_eq!(shown(&visit_view(), Lang::Zh), expected);
    }

    #[test]
    fn record_reads_in_english_and_says_the_next_step_of_each_state() {
        let mut view = visit_view();
        view.held.clear();
        for (delivery, word, next) in [
            (Delivery::Waiting, "waiting", "run qianmo sync"),
            (Delivery::Acknowledged, "arrived", "durable at the hub"),
            (Delivery::BackedUp, "backed up", "in the hub's backup"),
            (Delivery::Held { code: 262 }, "held", "nothing is lost"),
            (Delivery::Elsewhere, "received", "another device"),
        ] {
            view.row.delivery = delivery;
            let text = shown(&view, Lang::En);
            assert!(text.starts_with("Field visit 1a2b3c4d"), "{text}");
            assert!(text.contains(&format!("Where: {word}\n  ")) && text.contains(next), "{text}");
            assert!(text.contains("  1. 3.5  — P01 2025-06-18 09:35"), "{text}");
        }
    }

    #[test]
    fn what_only_this_device_holds_and_what_it_cannot_show_are_told_with_the_next_step() {
        let mut view = visit_view();
        view.held.clear();
        view.held_here = vec![qianmo_client_core::codes::explain(60)];
        view.unshown = 2;
        let zh = shown(&view, Lang::Zh);
        assert!(zh.contains("  代码60：解决冲突的改动不合规则；只是本机这样判断，管理端没有这么说。请先同步"), "{zh}");
        assert!(zh.contains("  有2处改动此版本无法显示：请升级 qianmo，升级后自动显示；内容没有丢"), "{zh}");
        let en = shown(&view, Lang::En);
        assert!(en.contains("only this device says so"), "{en}");
        assert!(en.contains("Changes this version cannot show: 2. Update qianmo"), "{en}");
        assert!(!shown(&visit_view(), Lang::En).contains("cannot show"));
    }

    #[test]
    fn record_of_an_unknown_form_is_shown_as_it_is() {
        let mut view = visit_view();
        view.row.form = "soil".to_owned();
        let text = record(&view, None, Messages::new(Lang::En)).join("\n");
        assert!(text.starts_with("soil 1a2b3c4d"), "{text}");
        assert!(text.contains("does not know the form “soil”") && text.contains("area_seen_mu   3.5"), "{text}");
    }

    #[test]
    fn text_of_a_record_cannot_steer_the_terminal() {
        let mut view = visit_view();
        view.row.fields.insert("content".to_owned(), FieldValue::from("\u{1b}]0;x\u{7}内容"));
        assert!(!shown(&view, Lang::Zh).contains(['\u{1b}', '\u{7}']));
    }
}
