//! Every rule of every shipped form is met once and missed once, and the tables forget none.

use std::collections::BTreeSet;

use qianmo_forms::{FaultRule, Form, FormKind, Mode, Required};

use crate::harness::{Typed, answers, fields, form, forms, judged, minimal, paths};
use crate::{records, registries};

/// A field with a constraint: the answers it takes to ask it, one answer that passes and one that does not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) path: &'static str,
    pub(crate) with: Typed,
    pub(crate) passes: &'static str,
    pub(crate) fails: &'static str,
}

#[test]
fn minimal_record_of_every_form_may_be_submitted() {
    for form in forms() {
        let (typed, _) = minimal(form.id());
        let result = judged(form, &answers(form, &[typed]), Mode::Submit);
        assert_eq!(paths(&result.errors), Vec::<&str>::new(), "{}: {:?}", form.id(), result.errors);
    }
}

#[test]
fn every_field_that_must_be_filled_in_is_named_in_both_languages() {
    for form in forms() {
        let (typed, needed) = minimal(form.id());
        let empty = judged(form, &answers(form, &[]), Mode::Submit);
        assert_eq!(paths(&empty.errors), needed, "{}", form.id());
        for path in needed {
            // Taken away alone, it alone is missed.
            let mut values = answers(form, &[typed]);
            values.remove(*path);
            let result = judged(form, &values, Mode::Submit);
            let lacking: Vec<&str> = paths(&result.errors);
            assert!(lacking.contains(path), "{} {path}: {lacking:?}", form.id());
            let fault = result.errors.iter().find(|fault| fault.path == *path).unwrap();
            assert_eq!(fault.rule, FaultRule::Required);
            let field = form.field(path).unwrap();
            if field.required_message.is_none() {
                assert!(fault.message.zh.contains(&field.label.zh) && fault.message.en.contains(&field.label.en));
            }
        }
        let draft = judged(form, &answers(form, &[]), Mode::Draft);
        assert_eq!(paths(&draft.errors), Vec::<&str>::new(), "{}: a draft may miss anything", form.id());
    }
}

#[test]
fn every_constraint_has_an_answer_that_passes_and_one_that_does_not() {
    let mut met: BTreeSet<(String, String)> = BTreeSet::new();
    let mut check = |form: &'static Form, case: &Case| {
        let (typed, _) = minimal(form.id());
        for (answer, rules) in [(case.passes, vec![]), (case.fails, vec![(case.path, FaultRule::Constraint)])] {
            let mut values = answers(form, &[typed, case.with]);
            let field = form.field_at(case.path).unwrap();
            values.insert(case.path.to_owned(), field.parse_input(answer).unwrap());
            let result = judged(form, &values, Mode::Submit);
            paths(&result.errors);
            let found: Vec<_> = result.errors.iter().map(|fault| (fault.path.as_str(), fault.rule)).collect();
            assert_eq!(found, rules, "{} {} {answer}", form.id(), case.path);
        }
        met.insert((form.id().to_owned(), case.path.to_owned()));
    };
    for form in forms().filter(|form| form.kind() == FormKind::Record) {
        records::SHARED_CONSTRAINTS.iter().for_each(|case| check(form, case));
    }
    for (id, case) in records::CONSTRAINTS.iter().chain(registries::CONSTRAINTS) {
        check(form(id), case);
    }
    for form in forms() {
        for (path, _) in fields(form).iter().filter(|(_, field)| field.constraint.is_some()) {
            assert!(met.contains(&(form.id().to_owned(), path.clone())), "{}: no case for {path}", form.id());
        }
    }
}

#[test]
fn what_is_required_sometimes_is_required_then_and_only_then() {
    let mut met: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (id, changes, lacking) in records::SOMETIMES.iter().chain(registries::SOMETIMES) {
        let (typed, _) = minimal(id);
        let result = judged(form(id), &answers(form(id), &[typed, changes]), Mode::Submit);
        assert_eq!(paths(&result.errors), *lacking, "{id} {changes:?}");
        met.extend(lacking.iter().map(|path| (*id, *path)));
    }
    // Fields that are alike in all records are met in one of them.
    let alike =
        ["lat", "lon", "metric_value", "target_id", "town_code", "pesticide_advice/r1/pesticide_registration_no"];
    for form in forms() {
        let (_, needed) = minimal(form.id());
        for (path, field) in fields(form) {
            let is_sometimes = match &field.required {
                Required::No => false,
                Required::Yes => !needed.contains(&path.as_str()),
                Required::When(_) => true,
            };
            let is_met = met.contains(&(form.id(), path.as_str())) || needed.contains(&path.as_str());
            assert!(!is_sometimes || is_met || alike.contains(&path.as_str()), "{}: no case for {path}", form.id());
        }
    }
}

#[test]
fn every_warning_is_given_when_it_should_be_and_stops_nothing() {
    let mut met: BTreeSet<(String, String)> = BTreeSet::new();
    let mut check = |form: &'static Form, path: &str, brings: Typed, does_not: Typed| {
        let (typed, _) = minimal(form.id());
        for (changes, is_given) in [(brings, true), (does_not, false)] {
            let result = judged(form, &answers(form, &[typed, changes]), Mode::Submit);
            paths(&result.warnings);
            let given = result.warnings.iter().any(|fault| fault.path == path && fault.rule == FaultRule::Advice);
            assert_eq!(given, is_given, "{} {path} {changes:?}", form.id());
            let stopped = result.errors.iter().any(|fault| fault.path == path && fault.rule != FaultRule::Required);
            assert!(!stopped, "{} {path}", form.id());
        }
        met.insert((form.id().to_owned(), path.to_owned()));
    };
    for (path, brings, does_not) in records::SHARED_WARNINGS {
        let has_it = |form: &&Form| form.field(path).is_some_and(|field| !field.warnings.is_empty());
        for form in forms().filter(has_it).filter(|form| form.kind() == FormKind::Record) {
            check(form, path, brings, does_not);
        }
    }
    for (id, path, brings, does_not) in records::WARNINGS.iter().chain(registries::WARNINGS) {
        check(form(id), path, brings, does_not);
    }
    for form in forms() {
        for (path, _) in fields(form).iter().filter(|(_, field)| !field.warnings.is_empty()) {
            let is_met = met.contains(&(form.id().to_owned(), path.clone()));
            assert!(is_met || path == "lat", "{}: no case for {path}", form.id());
        }
    }
}

#[test]
fn numbers_outside_their_range_are_refused() {
    let mut judged_fields = 0;
    for form in forms() {
        let (typed, _) = minimal(form.id());
        for (path, field) in fields(form) {
            for (bound, away) in [(field.min, -1.0), (field.max, 1.0)] {
                let Some(bound) = bound else { continue };
                // By the smallest step that the field can be told.
                let step = 10_f64.powi(-i32::from(field.field_type.decimals().unwrap_or_default()));
                let beyond = bound.to_string().parse::<f64>().unwrap() + away * step;
                let value = field.parse_input(&beyond.to_string()).unwrap();
                let mut values = answers(form, &[typed]);
                values.insert(path.clone(), value);
                let asked = qianmo_forms::relevance(form, &values, None).contains(&path);
                let result = judged(form, &values, Mode::Submit);
                let refused = result.errors.iter().any(|fault| fault.path == path && fault.rule == FaultRule::Range);
                assert_eq!(refused, asked, "{} {path} {beyond}", form.id());
                judged_fields += usize::from(asked);
            }
        }
    }
    assert!(judged_fields > 60, "{judged_fields}");
}

#[test]
fn labels_of_a_form_are_told_apart_in_both_languages() {
    for form in forms() {
        for lang in qianmo_forms::Lang::ALL {
            let mut said = BTreeSet::new();
            for field in form.fields() {
                assert!(said.insert(field.label.get(lang).to_lowercase()), "{} {}", form.id(), field.name);
            }
        }
    }
}

/// Lists, screens and searches treat records of all kinds alike, so what is called alike is alike.
#[test]
fn fields_of_one_name_are_of_one_kind_in_all_records() {
    let differ_in_words = ["content", "attendees", "target_id", "satisfaction"];
    let all: Vec<&Form> = forms().filter(|form| form.kind() == FormKind::Record).collect();
    assert_eq!(all.len(), 8);
    let visit = form("visit");
    for field in visit.fields() {
        for other in all.iter().filter_map(|form| form.field(&field.name)) {
            assert_eq!(field.field_type, other.field_type, "{}", field.name);
            assert_eq!(
                (field.personal, &field.max, &field.suggested_by),
                (other.personal, &other.max, &other.suggested_by)
            );
            assert_eq!(field.indicators.is_empty(), other.indicators.is_empty() || other.name == "attendees");
            if !differ_in_words.contains(&field.name.as_str()) {
                assert_eq!((&field.label, &field.unit), (&other.label, &other.unit), "{}", field.name);
            }
        }
    }
}
