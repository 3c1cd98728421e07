//! Judging answers: drafts may miss anything, submissions are judged whole, and what is not asked does not count.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test harness: a failed step is the failure")]

use std::sync::LazyLock;

use proptest::prelude::*;
use qianmo_forms::{
    ChoiceLists, Context, Date, Fault, FaultRule, Form, FormSet, Mode, Validation, Value, Values, relevance, validate,
};

const ROWS: &str = include_str!("fixtures/rows.toml");

static FORMS: LazyLock<(Form, Form)> = LazyLock::new(|| {
    let visit = FormSet::built_in().unwrap().get("visit").unwrap().clone();
    (visit, Form::parse(ROWS, &ChoiceLists::built_in().unwrap()).unwrap())
});

fn visit() -> Form {
    FORMS.0.clone()
}

fn rows() -> Form {
    FORMS.1.clone()
}

fn context(mode: Mode) -> Context {
    Context { mode, today: Date::new(2025, 6, 20) }
}

/// Answers as typed, by path.
fn answers(form: &Form, typed: &[(&str, &str)]) -> Values {
    let value = |path: &str, typed: &str| {
        form.field_at(path).unwrap().parse_input(typed).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    typed.iter().map(|(path, typed)| ((*path).to_owned(), value(path, typed))).collect()
}

const GOOD: [(&str, &str); 14] = [
    ("service_mode", "现场"),
    ("activity_date", "2025-06-18"),
    ("start_time", "06:30"),
    ("end_time", "08:10"),
    ("staff_id", "P02"),
    ("target_id", "T017"),
    ("town_code", "110117105"),
    ("village_code", "110117105208"),
    ("lat", "40.2551"),
    ("lon", "117.0712"),
    ("accuracy_m", "12"),
    ("crop_id", "大桃"),
    ("content", "查看套袋情况,梨小零星发生,约定复查"),
    ("satisfaction", "满意"),
];

/// A good visit with some answers changed; an empty one is taken away.
fn judged_with(changes: &[(&str, &str)]) -> Validation {
    let form = visit();
    let mut values = answers(&form, &GOOD);
    values.extend(answers(&form, changes));
    validate(&form, &values, &context(Mode::Submit))
}

fn found(faults: &[Fault]) -> Vec<(&str, FaultRule)> {
    faults.iter().map(|fault| (fault.path.as_str(), fault.rule)).collect()
}

fn assert_said_in_both_languages(judged: &Validation) {
    for fault in judged.errors.iter().chain(&judged.warnings) {
        assert!(fault.message.zh.chars().any(|c| ('\u{4E00}'..='\u{9FFF}').contains(&c)), "{fault:?}");
        assert!(fault.message.en.chars().any(|c| c.is_ascii_alphabetic()), "{fault:?}");
    }
}

#[test]
fn good_visit_has_neither_error_nor_warning() {
    assert_eq!(judged_with(&[]), Validation::default());
}

#[test]
fn empty_draft_is_fine_and_empty_submission_says_what_is_missing() {
    let form = visit();
    assert_eq!(validate(&form, &Values::new(), &context(Mode::Draft)), Validation::default());
    let judged = validate(&form, &Values::new(), &context(Mode::Submit));
    assert_eq!(
        found(&judged.errors),
        ["service_mode", "activity_date", "staff_id", "target_id", "town_code", "content"]
            .map(|path| (path, FaultRule::Required))
    );
    assert_eq!(found(&judged.warnings), [("crop_id", FaultRule::Advice)]);
    assert_said_in_both_languages(&judged);
    assert_eq!(judged.errors.iter().find(|fault| fault.path == "content").unwrap().message.zh, "请填写“服务内容”");
}

#[test]
fn each_rule_of_the_visit_form_is_judged() {
    use FaultRule::{Choice, Constraint, Length, Range, Required};
    for (changes, path, rule) in [
        (&[("activity_date", "2025-06-21")][..], "activity_date", Constraint),
        (&[("activity_date", "1999-12-31")], "activity_date", Constraint),
        (&[("end_time", "06:29")], "end_time", Constraint),
        (&[("reported_on", "2025-06-17")], "reported_on", Constraint),
        (&[("follow_up_on", "2025-06-17")], "follow_up_on", Constraint),
        (&[("town_code", "11011710")], "town_code", Constraint),
        (&[("town_code", "11011710x"), ("village_code", "")], "town_code", Constraint),
        (&[("town_code", "110117.05"), ("village_code", "")], "town_code", Constraint),
        (&[("village_code", "110117106208")], "village_code", Constraint),
        (&[("target_id", "")], "target_id", Required),
        (&[("town_code", ""), ("village_code", "")], "town_code", Required),
        (&[("lat", "")], "lat", Required),
        (&[("lon", "")], "lon", Required),
        (&[("lat", "91")], "lat", Range),
        (&[("lon", "-181")], "lon", Range),
        (&[("accuracy_m", "-1")], "accuracy_m", Range),
        (&[("area_seen_mu", "0")], "area_seen_mu", Range),
        (&[("area_seen_mu", "5000.01")], "area_seen_mu", Range),
        (&[("photo_count", "201")], "photo_count", Range),
        (&[("record_no", &"ST01-2025-0001".repeat(6))], "record_no", Length),
    ] {
        let judged = judged_with(changes);
        assert_eq!(found(&judged.errors), [(path, rule)], "{changes:?}");
        assert_said_in_both_languages(&judged);
    }
    let form = visit();
    for (path, value, rule) in [
        ("crop_id", Value::Choice("dragon_fruit".to_owned()), Choice),
        ("satisfaction", Value::Int(6), Choice),
        ("content", Value::Text("长".repeat(5_001)), Length),
        ("area_seen_mu", Value::Decimal("1.234".parse().unwrap()), FaultRule::Decimals),
        ("content", Value::Text(String::new()), Required),
    ] {
        let mut values = answers(&form, &GOOD);
        values.insert(path.to_owned(), value);
        let judged = validate(&form, &values, &context(Mode::Submit));
        assert_eq!(found(&judged.errors), [(path, rule)]);
        assert_said_in_both_languages(&judged);
    }
}

#[test]
fn what_is_allowed_is_not_refused() {
    for changes in [
        &[("target_id", ""), ("target_name", "样例农户九")][..],
        &[("town_code", "")],
        &[("village_code", "")],
        &[("lat", ""), ("lon", ""), ("accuracy_m", "")],
        &[("start_time", "")],
        &[("end_time", "06:30")],
        &[("start_time", "22:00"), ("end_time", "23:30")],
        &[("activity_date", "2025-06-20")],
        &[("area_seen_mu", "0.01")],
    ] {
        assert_eq!(judged_with(changes).errors, [], "{changes:?}");
    }
    let form = visit();
    let mut values = answers(&form, &GOOD);
    values.insert("content".to_owned(), Value::Text("长".repeat(5_000)));
    assert!(validate(&form, &values, &context(Mode::Submit)).is_ok());
}

#[test]
fn dead_clock_never_blocks_a_submission() {
    let form = visit();
    let values = answers(&form, &[&GOOD[..], &[("activity_date", "2031-01-01")]].concat());
    assert!(!validate(&form, &values, &context(Mode::Submit)).is_ok());
    let untrusted = Context { mode: Mode::Submit, today: None };
    assert_eq!(validate(&form, &values, &untrusted), Validation::default());
}

#[test]
fn warnings_are_given_and_stop_nothing() {
    use FaultRule::{Advice, PersonalNumber};
    for (changes, path, rule) in [
        (&[("content", "看了看")][..], "content", Advice),
        (&[("content", "电话15412345678,约定周五复查套袋情况")], "content", PersonalNumber),
        (&[("content", "电话１５４１２３４５６７８,约定周五复查")], "content", PersonalNumber),
        (&[("remark", "身份证110117197013010018")], "remark", PersonalNumber),
        (&[("advice", "打药前看标签")], "advice", Advice),
        (&[("solved", "partly")], "solved", Advice),
        (&[("crop_id", "")], "crop_id", Advice),
        (&[("activity_date", "2025-05-20")], "activity_date", Advice),
        (&[("lat", "85"), ("lon", "40.2")], "lat", Advice),
    ] {
        let judged = judged_with(changes);
        assert_eq!(found(&judged.errors), [], "{changes:?}");
        assert_eq!(found(&judged.warnings), [(path, rule)], "{changes:?}");
        assert_said_in_both_languages(&judged);
    }
    for changes in
        [&[("solved", "yes"), ("advice", "清园后涂白")][..], &[("solved", "no")], &[("activity_date", "2025-05-21")]]
    {
        assert_eq!(judged_with(changes), Validation::default(), "{changes:?}");
    }
}

#[test]
fn draft_is_warned_only_about_what_is_written() {
    let form = visit();
    let values = answers(&form, &[("content", "电话15412345678"), ("activity_date", "2030-01-01")]);
    let judged = validate(&form, &values, &context(Mode::Draft));
    assert_eq!(found(&judged.errors), []);
    assert_eq!(found(&judged.warnings), [("content", FaultRule::PersonalNumber)]);
}

#[test]
fn messages_never_carry_the_answer() {
    let judged =
        judged_with(&[("content", "电话15412345678"), ("record_no", &"秘".repeat(81)), ("area_seen_mu", "77777")]);
    assert_eq!((judged.errors.len(), judged.warnings.len()), (2, 1));
    for fault in judged.errors.iter().chain(&judged.warnings) {
        for secret in ["154", "秘", "7777"] {
            assert!(!fault.message.zh.contains(secret) && !fault.message.en.contains(secret), "{fault:?}");
        }
    }
}

#[test]
fn wrong_kind_and_unknown_field_are_told_even_in_a_draft() {
    let form = visit();
    let values = Values::from([
        ("content".to_owned(), Value::Int(5)),
        ("staff_id".to_owned(), Value::Reference("not an id".to_owned())),
        ("of_a_newer_form".to_owned(), Value::Int(1)),
        ("content/r1/x".to_owned(), Value::Null),
    ]);
    let judged = validate(&form, &values, &context(Mode::Draft));
    assert_eq!(found(&judged.errors), [("content", FaultRule::Type), ("staff_id", FaultRule::Type)]);
    assert_eq!(
        found(&judged.warnings),
        [("content/r1/x", FaultRule::UnknownField), ("of_a_newer_form", FaultRule::UnknownField)]
    );
    assert_said_in_both_languages(&judged);
}

#[test]
fn what_is_not_relevant_does_not_count_and_is_not_seen_by_others() {
    let form = rows();
    let submit = context(Mode::Submit);
    let judged = |typed: &[(&str, &str)]| validate(&form, &answers(&form, typed), &submit);
    // `detail` is asked because of `why`, which is asked because nothing was picked; the file has them in the other order.
    assert_eq!(found(&judged(&[("picked", "否"), ("why", "other")]).errors), [("detail", FaultRule::Required)]);
    assert_eq!(
        found(&judged(&[("picked", "否"), ("why", "peach"), ("detail", "十个字以上的说明不被判断")]).errors),
        []
    );
    // `why` still holds `other`, but is no longer asked, so `detail` is not asked either.
    let hidden = [("picked", "是"), ("why", "other"), ("harvest/r1/weight", "5")];
    assert_eq!(judged(&hidden), Validation::default());
    let asked = relevance(&form, &answers(&form, &hidden), None);
    assert_eq!(asked.iter().collect::<Vec<_>>(), ["contact_phone", "harvest", "harvest/r1/weight", "kinds", "picked"]);
    assert!(asked.contains("harvest") && !asked.contains("detail"));
}

#[test]
fn rows_are_counted_and_judged_each_by_itself() {
    use FaultRule::{Decimals, Range, Required, Rows};
    let form = rows();
    let judged = |typed: &[(&str, &str)]| {
        let values = answers(&form, &[&[("picked", "是")], typed].concat());
        validate(&form, &values, &context(Mode::Submit))
    };
    assert_eq!(found(&judged(&[]).errors), [("harvest", Rows)]);
    let four =
        [("harvest/a/weight", "1"), ("harvest/b/weight", "1"), ("harvest/c/weight", "1"), ("harvest/d/weight", "1")];
    assert_eq!(found(&judged(&four).errors), [("harvest", Rows)]);
    let mixed = [("harvest/a/weight", "0"), ("harvest/b/weight", ""), ("harvest/c/weight", "-1")];
    let result = judged(&mixed);
    assert_eq!(
        found(&result.errors),
        [("harvest/a/reason", Required), ("harvest/b/weight", Required), ("harvest/c/weight", Range)]
    );
    assert_said_in_both_languages(&result);
    assert_said_in_both_languages(&judged(&[]));

    let mut values = answers(&form, &[&[("picked", "是")], &four[..]].concat());
    values.insert("harvest/d/removed".to_owned(), Value::Bool(true));
    values.insert("harvest/d/weight".to_owned(), Value::Decimal("0.123".parse().unwrap()));
    assert_eq!(validate(&form, &values, &context(Mode::Submit)), Validation::default());
    values.insert("harvest/d/removed".to_owned(), Value::Bool(false));
    assert_eq!(
        found(&validate(&form, &values, &context(Mode::Submit)).errors),
        [("harvest", Rows), ("harvest/d/weight", Decimals)]
    );
    values.insert("harvest/d/removed".to_owned(), Value::Text("yes".to_owned()));
    assert_eq!(
        found(&validate(&form, &values, &context(Mode::Draft)).warnings),
        [("harvest/d/removed", FaultRule::UnknownField)]
    );
}

#[test]
fn several_choices_are_judged_by_constraint_and_list() {
    let form = rows();
    let judged = |kinds: &[&str]| {
        let mut values = answers(&form, &[("picked", "否")]);
        values.insert("kinds".to_owned(), Value::Choices(kinds.iter().map(|id| (*id).to_owned()).collect()));
        validate(&form, &values, &context(Mode::Submit)).errors.into_iter().map(|fault| fault.rule).collect::<Vec<_>>()
    };
    assert_eq!(judged(&["peach", "pear"]), []);
    assert_eq!(judged(&["peach", "pear", "apple"]), [FaultRule::Constraint]);
    assert_eq!(judged(&["peach", "nothing"]), [FaultRule::Choice]);
}

#[test]
fn a_personal_field_may_hold_a_phone_number() {
    let form = rows();
    let values = answers(&form, &[("picked", "否"), ("contact_phone", "15412345678")]);
    assert_eq!(validate(&form, &values, &context(Mode::Submit)), Validation::default());
}

fn any_loose_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        "\\PC{0,12}".prop_map(Value::Text),
        "\\PC{0,8}".prop_map(Value::Choice),
        prop::sample::select(vec!["onsite", "peach", "yes", "other", "T017", "110117105"])
            .prop_map(|id| Value::Choice(id.to_owned())),
        "\\PC{0,8}".prop_map(Value::Reference),
        prop::collection::btree_set("\\PC{0,4}", 0..3).prop_map(Value::Choices),
        (any::<i64>(), 0..=9_u8).prop_map(
            |(mantissa, scale)| qianmo_forms::Decimal::new(mantissa, scale).map_or(Value::Null, Value::Decimal)
        ),
        (-25_567..=84_005_i64).prop_map(|day| Date::from_days_since_1970(day).map_or(Value::Null, Value::Date)),
    ]
}

/// Every shipped form, and the one with rows.
fn any_form() -> impl Strategy<Value = Form> {
    let shipped = FormSet::built_in().unwrap();
    prop::sample::select(shipped.iter().cloned().chain([rows()]).collect::<Vec<Form>>())
}

fn any_values(form: &Form) -> impl Strategy<Value = Values> + use<> {
    let mut paths: Vec<String> = form.fields().iter().map(|field| field.name.clone()).collect();
    for row in ["r1", "r2"] {
        paths.extend(form.repeats().iter().flat_map(|repeat| {
            let fields = repeat.fields().iter().map(|field| field.name.as_str()).chain(["removed"]);
            fields.map(move |field| format!("{}/{row}/{field}", repeat.name)).collect::<Vec<_>>()
        }));
    }
    let path = prop_oneof![4 => prop::sample::select(paths), 1 => "[a-z/]{0,12}|\\PC{0,12}"];
    prop::collection::btree_map(path, any_loose_value(), 0..24)
}

proptest! {
    #[test]
    fn prop_submit_is_stricter_than_import_and_import_than_draft((form, values) in any_form().prop_flat_map(|form| {
        let values = any_values(&form);
        (Just(form), values)
    })) {
        let draft = validate(&form, &values, &context(Mode::Draft));
        let submit = validate(&form, &values, &context(Mode::Submit));
        let import = validate(&form, &values, &context(Mode::Import));
        for fault in &draft.errors {
            prop_assert_eq!(fault.rule, FaultRule::Type);
            prop_assert!(import.errors.contains(fault));
        }
        // What an import forgives is told all the same.
        for fault in &submit.errors {
            prop_assert!(import.errors.contains(fault) || import.warnings.contains(fault));
        }
        prop_assert!(import.errors.iter().all(|fault| submit.errors.contains(fault) && fault.rule != FaultRule::Required));
        prop_assert_eq!(validate(&form, &values, &context(Mode::Submit)), submit);
    }

    #[test]
    fn prop_only_relevant_answers_have_errors_other_than_kind(values in any_values(&rows())) {
        let form = rows();
        let asked = relevance(&form, &values, context(Mode::Submit).today);
        for fault in validate(&form, &values, &context(Mode::Submit)).errors {
            prop_assert!(fault.rule == FaultRule::Type || asked.contains(&fault.path), "{:?}", fault);
        }
    }
}
