//! Registries: stations, people, organisations, targets, agreements, plots, annual tasks, campaigns.

use qianmo_forms::{FormKind, RegistryHome};

use crate::harness::{Typed, form, forms};
use crate::rules::Case;

/// Form, the least that may be submitted, and what an empty submission lacks.
pub(crate) const MINIMAL: &[(&str, Typed, &[&str])] = &[
    ("station", &[("code", "ST01"), ("name", "样例站"), ("kind", "科技小院")], &["code", "name", "kind"]),
    ("staff", &[("code", "P01"), ("name", "样例人"), ("role", "专家")], &["code", "name", "role"]),
    ("organisation", &[("code", "O01"), ("name", "样例学会"), ("kind", "学会")], &["code", "name", "kind"]),
    (
        "target",
        &[("code", "T001"), ("name", "样例农户"), ("kind", "农户"), ("town_code", "110117105")],
        &["code", "name", "kind", "town_code"],
    ),
    (
        "agreement",
        &[("code", "XY-1"), ("target_id", "T001"), ("signed_on", "2025-01-01"), ("valid_until", "2027-12-31")],
        &["code", "target_id", "signed_on", "valid_until"],
    ),
    ("plot", &[("code", "D01"), ("name", "样例示范点")], &["code", "name"]),
    (
        "annual_task",
        &[("code", "ST01-2025-visits"), ("year", "2025"), ("indicator", "走访次数"), ("target_value", "97")],
        &["code", "year", "indicator", "target_value"],
    ),
    ("campaign", &[("code", "A01"), ("name", "千人进千企"), ("kind", "行动")], &["code", "name", "kind"]),
];

/// Constraints: form, and a case of each.
pub(crate) const CONSTRAINTS: &[(&str, Case)] = &[
    ("station", CODE),
    ("staff", CODE),
    ("organisation", CODE),
    ("target", CODE),
    ("agreement", CODE),
    ("plot", CODE),
    ("annual_task", CODE),
    ("campaign", CODE),
    (
        "station",
        Case {
            path: "closed_on",
            with: &[("founded_on", "2020-01-01"), ("status", "终止")],
            passes: "2020-01-01",
            fails: "2019-12-31",
        },
    ),
    ("station", Case { path: "base_village_code", with: &[], passes: "110117105208", fails: "110117105" }),
    ("organisation", Case { path: "credit_code", with: &[], passes: "91110117MA00000000", fails: "91110117" }),
    (
        "target",
        Case {
            path: "credit_code", with: &[("kind", "农业企业")], passes: "91110117MA00000000", fails: "91110117"
        },
    ),
    ("target", Case { path: "town_code", with: &[], passes: "110117105", fails: "110117" }),
    ("target", Case { path: "village_code", with: &[], passes: "110117105208", fails: "110117106208" }),
    (
        "target",
        Case { path: "consent_given_on", with: &[("consent_given", "是")], passes: "2025-06-20", fails: "2025-06-21" },
    ),
    (
        "target",
        Case {
            path: "consent_withdrawn_on",
            with: &[("consent_given", "是"), ("consent_given_on", "2025-01-02")],
            passes: "2025-01-02",
            fails: "2025-01-01",
        },
    ),
    ("agreement", Case { path: "valid_until", with: &[], passes: "2025-01-01", fails: "2024-12-31" }),
    (
        "plot",
        Case { path: "ended_on", with: &[("started_on", "2024-03-01")], passes: "2024-03-01", fails: "2024-02-29" },
    ),
    ("plot", Case { path: "town_code", with: &[], passes: "110117105", fails: "110117" }),
    (
        "plot",
        Case {
            path: "village_code",
            with: &[("town_code", "110117105")],
            passes: "110117105208",
            fails: "110117106208",
        },
    ),
    (
        "campaign",
        Case { path: "ends_on", with: &[("starts_on", "2025-03-01")], passes: "2025-03-01", fails: "2025-02-28" },
    ),
];

const CODE: Case = Case { path: "code", with: &[], passes: "ST-01", fails: "ST 01" };

/// What is required or asked only sometimes: form, answers over the minimal ones, and what is then lacking.
pub(crate) const SOMETIMES: &[(&str, Typed, &[&str])] = &[
    ("station", &[("status", "合并")], &["merged_into_id"]),
    ("station", &[("lat", "40.2")], &["lon"]),
    ("staff", &[("public_profile", "是")], &["consent_given_on"]),
    ("staff", &[("public_profile", "否")], &[]),
    ("target", &[("consent_given", "是")], &["consent_given_on"]),
    ("target", &[("consent_given", "否")], &[]),
    ("target", &[("town_code", ""), ("village_code", "110117105208")], &[]),
    (
        "plot",
        &[("yearly_results/r1/value_before", "11")],
        &["yearly_results/r1/result_year", "yearly_results/r1/result_metric", "yearly_results/r1/value_after"],
    ),
];

/// Warnings: form, field, the answers that bring it, and those that do not.
pub(crate) const WARNINGS: &[(&str, &str, Typed, Typed)] = &[
    ("agreement", "valid_until", &[("valid_until", "2025-08-18")], &[("valid_until", "2025-08-19")]),
    (
        "annual_task",
        "target_value",
        &[("quarter_1", "20"), ("quarter_2", "30"), ("quarter_3", "30"), ("quarter_4", "10")],
        &[("quarter_1", "20"), ("quarter_2", "30"), ("quarter_3", "30"), ("quarter_4", "17")],
    ),
];

#[test]
fn every_registry_has_a_code_and_a_home() {
    let mut shared = Vec::new();
    for form in forms().filter(|form| form.kind() == FormKind::Registry) {
        assert!(form.field("code").is_some(), "{}", form.id());
        if form.home() == RegistryHome::Organisation {
            shared.push(form.id());
        }
    }
    assert_eq!(shared, ["campaign", "organisation", "staff", "station"]);
}

#[test]
fn registries_ask_for_no_identity_number_bank_card_or_birth() {
    for form in forms() {
        for field in form.fields().iter().chain(form.repeats().iter().flat_map(|repeat| repeat.fields())) {
            for word in ["身份证", "银行", "出生", "生日"] {
                assert!(!field.label.zh.contains(word), "{} {}", form.id(), field.name);
            }
        }
    }
}

#[test]
fn who_and_where_a_farmer_is_is_personal() {
    let target = form("target");
    let personal: Vec<&str> =
        target.fields().iter().filter(|field| field.personal).map(|field| field.name.as_str()).collect();
    assert_eq!(personal, ["name", "aliases", "lat", "lon", "contact_name", "contact_phone"]);
    for form in forms() {
        for (name, field) in ["target_name", "phone", "contact_name", "contact_phone", "amount_yuan", "lecturer_names"]
            .iter()
            .filter_map(|name| Some((name, form.field(name)?)))
        {
            assert!(field.personal, "{} {name}", form.id());
        }
        // A station is public; everything else that has a position is somebody's land.
        let place = form.field("lat").filter(|_| form.id() != "station");
        assert!(place.is_none_or(|field| field.personal), "{}", form.id());
    }
    let hours = form("outreach").repeat("volunteers").unwrap();
    assert!(hours.field("volunteer_name").unwrap().personal);
}
