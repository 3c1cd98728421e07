//! The dialogue as scripts: what is asked, what is refused, what is kept.

use qianmo_forms::{ChoiceLists, FormSet, Lang};

use super::*;

const ROWS: &str = r#"
id = "trial"
version = 1
kind = "record"
labels = { zh = "试验", en = "Trial" }

[[sections]]
name = "a"
labels = { zh = "甲", en = "First" }

[[fields]]
name = "topic"
section = "a"
type = "text"
max_chars = 20
labels = { zh = "主题", en = "Topic" }
required = true

[[fields]]
name = "plots"
section = "a"
type = "boolean"
labels = { zh = "有小区吗", en = "Plots" }

[[fields]]
name = "note"
section = "a"
type = "long_text"
max_chars = 100
labels = { zh = "说明", en = "Note" }
relevant = "${plots} = true()"

[[repeats]]
name = "yields"
section = "a"
labels = { zh = "产量", en = "Yields" }
max_rows = 2

[[repeats.fields]]
name = "kg"
type = "decimal"
decimals = 1
min = 0
labels = { zh = "产量", en = "Yield" }
unit = { zh = "公斤", en = "kg" }
required = true
"#;

fn visit() -> Form {
    FormSet::built_in().unwrap().get("visit").unwrap().clone()
}

fn trial() -> Form {
    Form::parse(ROWS, &ChoiceLists::default()).unwrap()
}

fn start(form: &Form) -> Start<'_> {
    Start {
        form,
        messages: Messages::new(Lang::En),
        columns: 100,
        today: Date::new(2025, 6, 18),
        record: BTreeMap::new(),
        draft: BTreeMap::new(),
        defaults: Values::new(),
        persons: vec!["P01".to_owned()],
        purpose: Purpose::New,
    }
}

/// Answers questions by the field's label; anything else is skipped. Ends when nothing is asked, or after many turns.
fn fill(dialogue: &mut Dialogue<'_>, answers: &[(&str, &str)]) -> Vec<String> {
    let mut notes = Vec::new();
    for _ in 0..200 {
        let Some(question) = dialogue.question() else { break };
        let line = question.lines().find(|line| line.starts_with('(') || line.contains("Add one?")).unwrap();
        let answer = answers.iter().find(|(label, _)| line.contains(label)).map_or("", |(_, answer)| answer);
        let reply = dialogue.answer(answer);
        let stuck = reply.turn == Turn::Ask && answer.is_empty() && !reply.notes.is_empty();
        notes.extend(reply.notes);
        if stuck {
            dialogue.answer(":skip");
        }
    }
    notes
}

fn texts(kept: &BTreeMap<String, FieldValue>) -> Vec<(&str, String)> {
    let shown = |value: &FieldValue| crate::answers::display(None, value, Lang::En);
    kept.iter().map(|(path, value)| (path.as_str(), shown(value))).collect()
}

#[test]
fn visit_is_filled_by_questions_and_the_form_accepts_it() {
    let form = visit();
    let mut begun = start(&form);
    begun.defaults = crate::answers::defaults(&form, begun.today, Some("P01"));
    let mut dialogue = Dialogue::new(begun);
    let answers = [
        ("Mode of service", "现场"),
        ("Target's name", "Zhang farm"),
        ("Town", "110117105"),
        ("Area seen", "3.5亩"),
        ("What was done", "Looked at the bagging of peaches"),
    ];
    fill(&mut dialogue, &answers);
    assert_eq!(dialogue.finish(), Ok(()));
    let kept = dialogue.kept();
    assert_eq!(
        texts(&kept),
        [
            ("activity_date", "2025-06-18".to_owned()),
            ("area_seen_mu", "3.5".to_owned()),
            ("content", "Looked at the bagging of peaches".to_owned()),
            ("service_mode", "onsite".to_owned()),
            ("staff_id", "P01".to_owned()),
            ("target_name", "Zhang farm".to_owned()),
            ("town_code", "110117105".to_owned()),
        ]
    );
}

#[test]
fn question_shows_label_unit_mark_default_hint_and_choices() {
    let form = visit();
    let mut begun = start(&form);
    begun.messages = Messages::new(Lang::Zh);
    begun.defaults = crate::answers::defaults(&form, begun.today, Some("P01"));
    let mut dialogue = Dialogue::new(begun);
    let first = dialogue.question().unwrap();
    assert!(first.starts_with("\n── 时间与人员 ──\n(1/"), "{first}");
    assert!(first.contains(") 记录编号\n  台账里的编号,没有就不填\n> "), "{first}");
    dialogue.answer("");
    let mode = dialogue.question().unwrap();
    assert!(mode.contains(") 服务方式 ＊必填\n  1 现场"), "{mode}");
    assert!(!mode.contains("──"), "the heading is said once: {mode}");
    dialogue.answer("1");
    let date = dialogue.question().unwrap();
    assert!(date.contains(") 日期 ＊必填 [2025-06-18]"), "{date}");
}

#[test]
fn answer_the_form_refuses_is_asked_again_with_the_reason() {
    let form = visit();
    let mut dialogue = Dialogue::new(start(&form));
    dialogue.answer("");
    assert_eq!(dialogue.answer("by balloon").turn, Turn::Ask);
    assert_eq!(dialogue.answer("1").turn, Turn::Save);
    let future = dialogue.answer("2025-06-19");
    assert_eq!(future.notes, ["The date cannot be after today, nor before 2000"]);
    assert_eq!(dialogue.answer("yesterday").notes, ["Not a date; write it like 2025-06-18"]);
    assert!(!dialogue.kept().contains_key("activity_date"));
    let old = dialogue.answer("2025-01-01");
    assert_eq!(old.turn, Turn::Save);
    assert!(old.notes.iter().any(|note| note.contains("More than 30 days ago")), "{:?}", old.notes);
}

#[test]
fn required_question_is_left_for_the_end_and_comes_back() {
    let form = trial();
    let mut dialogue = Dialogue::new(start(&form));
    let refused = dialogue.answer("");
    assert_eq!(refused.notes.first().map(String::as_str), Some("“Topic” is required"));
    dialogue.answer(":skip");
    dialogue.answer("no");
    dialogue.answer("");
    assert_eq!(dialogue.question(), None);
    let open = dialogue.finish().unwrap_err();
    assert_eq!(open.turn, Turn::Ask);
    assert!(open.notes.iter().any(|note| note.contains("“Topic” is required")), "{:?}", open.notes);
    assert!(dialogue.question().unwrap().contains("Topic"));
    dialogue.answer("soil");
    assert_eq!(dialogue.question(), None, "only what was open is asked again");
    assert_eq!(dialogue.finish(), Ok(()));
}

#[test]
fn question_that_another_answer_may_make_needless_does_not_hold_a_person_up() {
    let form = visit();
    let mut dialogue = Dialogue::new(start(&form));
    let target = |question: Option<String>| question.is_some_and(|question| question.contains(") Service target"));
    while !target(dialogue.question()) {
        dialogue.answer(":skip");
    }
    assert_eq!(dialogue.answer(""), Reply::ask(Vec::new()));
    assert!(dialogue.question().unwrap().contains("Target's name"));
    while dialogue.question().is_some() {
        dialogue.answer(":skip");
    }
    let open = dialogue.finish().unwrap_err();
    assert!(open.notes.iter().any(|note| note.contains("Choose a target, or write its name")), "{:?}", open.notes);
}

#[test]
fn answers_open_and_close_questions_and_back_returns() {
    let form = trial();
    let mut dialogue = Dialogue::new(start(&form));
    dialogue.answer("soil");
    dialogue.answer("yes");
    assert!(dialogue.question().unwrap().contains("Note"));
    assert_eq!(dialogue.answer("first \\").turn, Turn::More);
    dialogue.answer("second");
    assert_eq!(dialogue.kept().get("note"), Some(&FieldValue::from("first \nsecond")));
    dialogue.answer(":back");
    dialogue.answer("：上");
    assert!(dialogue.question().unwrap().contains("Plots [Yes]"));
    dialogue.answer("否");
    assert!(dialogue.question().unwrap().contains("Add one?"), "the note is not asked any more");
}

#[test]
fn rows_are_added_removed_and_bounded() {
    let form = trial();
    let mut dialogue = Dialogue::new(start(&form));
    dialogue.answer("soil");
    dialogue.answer("no");
    dialogue.answer("y");
    assert!(dialogue.question().unwrap().contains("Yield (kg) row 1 * required"), "{:?}", dialogue.question());
    dialogue.answer("12.5");
    dialogue.answer("y");
    assert_eq!(dialogue.answer("-1").turn, Turn::Ask);
    dialogue.answer("7");
    assert_eq!(dialogue.question(), None, "two rows are the most");
    assert_eq!(texts(&dialogue.kept()).last(), Some(&("yields/new002/kg", "7".to_owned())));
    dialogue.answer(":back");
    dialogue.answer(":remove");
    assert!(dialogue.question().unwrap().contains("1 so far"));
    assert_eq!(texts(&dialogue.kept()).last(), Some(&("yields/new001/kg", "12.5".to_owned())));
}

fn record() -> BTreeMap<String, FieldValue> {
    let fields = [("topic", "soil"), ("yields/00000000000000aa/kg", "5"), ("yields/00000000000000bb/kg", "6")];
    fields.into_iter().map(|(path, value)| (path.to_owned(), FieldValue::from(value))).collect()
}

#[test]
fn edit_writes_only_what_was_changed() {
    let form = trial();
    let mut dialogue = Dialogue::new(Start { record: record(), purpose: Purpose::Edit, ..start(&form) });
    assert!(dialogue.question().unwrap().contains("Topic * required [soil]"));
    dialogue.answer("");
    assert!(dialogue.question().unwrap().contains("Plots [empty]"));
    dialogue.answer("");
    dialogue.answer("5.5");
    dialogue.answer(":remove");
    assert_eq!(dialogue.answer("y").turn, Turn::Ask);
    dialogue.answer("9");
    assert_eq!(dialogue.finish(), Ok(()));
    let expected = [
        FieldEdit::set("yields/00000000000000aa/kg", "5.5"),
        FieldEdit::RemoveRow { repeat: "yields".to_owned(), row: "00000000000000bb".to_owned() },
        FieldEdit::AddRow {
            repeat: "yields".to_owned(),
            cells: BTreeMap::from([("kg".to_owned(), FieldValue::from("9"))]),
        },
    ];
    assert_eq!(dialogue.edits(), expected);
}

#[test]
fn edit_does_not_ask_to_mend_what_was_wrong_before() {
    let form = trial();
    let without_topic = BTreeMap::from([("plots".to_owned(), FieldValue::Bool(false))]);
    let mut dialogue = Dialogue::new(Start { record: without_topic, purpose: Purpose::Edit, ..start(&form) });
    dialogue.answer(":skip");
    dialogue.answer("");
    dialogue.answer("");
    assert_eq!(dialogue.question(), None);
    assert_eq!(dialogue.finish(), Ok(()));
    assert_eq!(dialogue.edits(), []);
}

#[test]
fn clearing_an_answer_is_a_change_of_its_own() {
    let form = trial();
    let mut dialogue = Dialogue::new(Start { record: record(), purpose: Purpose::Edit, ..start(&form) });
    dialogue.answer(":clear");
    assert_eq!(dialogue.edits(), [FieldEdit::set("topic", FieldValue::Null)]);
}

#[test]
fn draft_goes_on_where_it_was_and_keeps_what_the_form_cannot_read() {
    let form = trial();
    let draft = BTreeMap::from([
        ("topic".to_owned(), FieldValue::from("soil")),
        ("later_field".to_owned(), FieldValue::from("x")),
    ]);
    let mut dialogue = Dialogue::new(Start { draft, ..start(&form) });
    assert!(dialogue.question().unwrap().contains("[soil]"));
    assert_eq!(dialogue.answer(":save").turn, Turn::Leave);
    let kept = dialogue.kept();
    assert_eq!(kept.keys().collect::<Vec<_>>(), ["later_field", "topic"]);
}

#[test]
fn long_list_is_searched_by_a_part_of_a_name() {
    let form = visit();
    let mut dialogue = Dialogue::new(start(&form));
    let notes = fill(&mut dialogue, &[("Crop", "ap")]);
    assert!(notes.iter().any(|note| note == "Several fit; choose one:" || note.starts_with("  → ")), "{notes:?}");
}
