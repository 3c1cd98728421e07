//! What an old ledger has is kept, and what it lacks stops nothing.

use qianmo_forms::{FaultRule, FormKind, Mode, relevance};

use crate::harness::{Typed, answers, form, forms, judged, paths};

/// Everything a row of a ledger may have beside what its kind asks for, as the importer leaves it.
const ROW: Typed = &[
    ("record_no", "ST01-2025-0001"),
    ("service_mode", "onsite"),
    ("activity_date", "2025-01-01"),
    ("start_time", "09:30"),
    ("end_time", "10:00"),
    ("reported_on", "2025-01-08"),
    ("staff_id", "P02"),
    ("target_id", "0123456789abcdef0123456789abcdef"),
    ("town_code", "110117105"),
    ("village_code", "110117105212"),
    ("lat", "40.23604"),
    ("lon", "117.04343"),
    ("coord_system", "cgcs2000"),
    ("crop_id", "peach"),
    ("variety_text", "不知名的桃"),
    ("phenology_id", "peach_dormant"),
    ("pest_id", "gummosis"),
    ("technology_text", "土办法"),
    ("households", "0"),
    ("attendees", "12"),
    ("satisfaction", "5"),
    ("photo_count", "200"),
    ("advice", "按协议跟踪数据"),
    ("remark", "补录"),
    ("import_key", "ledger:2025:ST01-2025-0001"),
    ("import_codes", "DATE_FORMAT TARGET_BY_NAME"),
];

#[test]
fn row_of_a_ledger_is_kept_whole_by_every_kind_of_record() {
    for form in forms().filter(|form| form.kind() == FormKind::Record) {
        let own: Typed = match form.id() {
            "demo" | "pest_report" => &[("area_mu", "0.01")],
            "demand" => &[("demand_category", "other"), ("demand_state", "closed"), ("area_seen_mu", "5000")],
            "visit" | "guidance" | "training" | "transfer" | "outreach" => &[("area_seen_mu", "5000")],
            other => panic!("a new kind of record, `{other}`: say what a ledger calls its area"),
        };
        let values = answers(form, &[ROW, own]);
        let result = judged(form, &values, Mode::Import);
        assert_eq!(paths(&result.errors), Vec::<&str>::new(), "{}: {:?}", form.id(), result.errors);
        let asked = relevance(form, &values, None);
        for path in values.keys() {
            assert!(asked.contains(path), "{} would lose {path}", form.id());
        }
        // A ledger may have an empty text; a new record may not, and the reviewer is told.
        assert!(result.warnings.iter().any(|fault| fault.path == "content" && fault.rule == FaultRule::Required));
        assert!(!judged(form, &values, Mode::Submit).is_ok());
    }
}

#[test]
fn import_forgives_what_is_missing_and_nothing_else() {
    let visit = form("visit");
    let result = judged(visit, &answers(visit, &[]), Mode::Import);
    assert_eq!(paths(&result.errors), Vec::<&str>::new());
    for (path, typed, rule) in [
        ("end_time", "09:29", FaultRule::Constraint),
        ("photo_count", "201", FaultRule::Range),
        ("village_code", "110117106212", FaultRule::Constraint),
        ("activity_date", "2025-06-21", FaultRule::Constraint),
    ] {
        let mut values = answers(visit, &[ROW, &[("reported_on", "")]]);
        values.insert(path.to_owned(), visit.field(path).unwrap().parse_input(typed).unwrap());
        let result = judged(visit, &values, Mode::Import);
        assert_eq!(
            result.errors.iter().map(|fault| (fault.path.as_str(), fault.rule)).collect::<Vec<_>>(),
            [(path, rule)]
        );
    }
}

#[test]
fn hidden_fields_are_judged_as_any_other() {
    let visit = form("visit");
    assert!(visit.field("households").unwrap().hidden);
    let values = answers(visit, &[ROW, &[("content", "查看越冬情况,主干有裂皮"), ("households", "5001")]]);
    assert_eq!(paths(&judged(visit, &values, Mode::Submit).errors), ["households"]);
    assert_eq!(paths(&judged(visit, &values, Mode::Import).errors), ["households"]);
}
