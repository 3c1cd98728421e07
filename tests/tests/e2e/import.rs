//! A ledger brought in by tablets: once, again, by two that had not met, and by one that may not.

use std::path::Path;

use serde_json::Value;

use super::office::{Hub, Ran, Tablet};

/// Accepted rows of the small sample, and rows of it that are approved.
const ACCEPTED: usize = 168;

fn sample(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/bin/data/sample").join(name).display().to_string()
}

fn import(tablet: &Tablet, more: &[&str]) -> Ran {
    import_with(tablet, &sample(""), more)
}

fn import_with(tablet: &Tablet, with: &str, more: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let refused = folder.path().join("refused.csv");
    let ledger = sample("samples/visits-sample-gb18030.csv");
    let line = ["import", &ledger, "--with", with, "--year", "2025", "--rejected", refused.to_str().unwrap()];
    let ran = tablet.run(&[&line, more].concat());
    assert!(ran.code == Some(2) || refused.exists(), "the refused rows are there in any case: {ran:#?}");
    ran
}

fn coordinator(hub: &Hub, person: &str) -> Tablet {
    let tablet = Tablet::new();
    tablet.run(&["enroll", &hub.ticket(person, "coordinator")]).ok();
    tablet
}

fn list(tablet: &Tablet, more: &[&str]) -> Vec<Value> {
    let line = [&["list", "--json", "--limit", "10000"], more].concat();
    tablet.run(&line).ok().json().as_array().unwrap().clone()
}

/// Records of something done; entries of directories left out.
fn done(tablet: &Tablet) -> Vec<Value> {
    list(tablet, &[]).into_iter().filter(|row| row["fields"]["import_key"].is_string()).collect()
}

#[test]
fn ledger_imported_again_changes_nothing_and_its_states_reach_the_hub() {
    let hub = Hub::start();
    let desk = coordinator(&hub, "C01");
    let said = import(&desk, &[]).ok();
    assert!(said.err.contains("168 new, 0 here already"), "{said:#?}");
    let rows = done(&desk);
    assert_eq!(rows.len(), ACCEPTED);
    let demo = rows.iter().find(|row| row["fields"]["record_no"] == "ST01-2025-0001").unwrap();
    assert_eq!(demo["logbook"], "ST01/2025-03", "the month of the activity: {demo:#}");
    let target = demo["fields"]["target_id"].as_str().unwrap();
    assert_eq!(desk.show(target)["fields"]["code"], "T004", "targets are named by their entries");
    let approved = rows.iter().filter(|row| row["review"] == "approved").count();
    let report: Value =
        serde_json::from_slice(&std::fs::read(sample("samples/visits-sample-gb18030.expected.json")).unwrap()).unwrap();
    assert_eq!(report["accepted_aggregates"]["by_review_state"]["approved"], approved);
    let before = desk.run(&["status", "--json"]).ok().json();
    let said = import(&desk, &[]).ok();
    assert!(said.err.contains("0 new, 168 here already"), "{said:#?}");
    assert!(said.err.contains("Directory: 0 new, 0 changed, 259 unchanged"), "{said:#?}");
    assert_eq!(desk.run(&["status", "--json"]).ok().json()["waiting"], before["waiting"]);

    let folder = tempfile::tempdir().unwrap();
    let stations = std::fs::read_to_string(sample("stations.json")).unwrap();
    let renamed = stations.replace("样例农业大学园艺学院", "样例农业大学园艺与植保学院");
    std::fs::write(folder.path().join("stations.json"), renamed).unwrap();
    std::fs::copy(sample("pinggu-divisions.csv"), folder.path().join("pinggu-divisions.csv")).unwrap();
    let said = import_with(&desk, folder.path().to_str().unwrap(), &[]).ok();
    assert!(said.err.contains("Directory: 0 new, 1 changed, 258 unchanged"), "{said:#?}");

    desk.sync().ok();
    assert!(list(&desk, &["--state", "held"]).is_empty(), "the hub holds nothing back");
    let other = coordinator(&hub, "C02");
    other.sync().ok();
    assert_eq!(done(&other).len(), ACCEPTED);
    let said = import(&other, &[]).ok();
    assert!(said.err.contains("0 new, 168 here already"), "{said:#?}");
}

#[test]
fn two_tablets_that_import_before_they_meet_withdraw_the_same_duplicates() {
    let hub = Hub::start();
    let (first, second) = (coordinator(&hub, "C01"), coordinator(&hub, "C02"));
    import(&first, &[]).ok();
    import(&second, &[]).ok();
    for tablet in [&first, &second, &first] {
        tablet.sync().ok();
    }
    let groups = [&first, &second].map(|tablet| tablet.run(&["duplicates", "--json"]).ok().json());
    assert_eq!(groups[0], groups[1], "both see the same, and would withdraw the same");
    let records = groups[0].as_array().unwrap().iter().filter(|group| group["form"] != "target").count();
    assert!(records >= ACCEPTED, "{records}");
    first.run(&["duplicates", "--withdraw"]).ok();
    first.sync().ok();
    second.sync().ok();
    for tablet in [&first, &second] {
        assert_eq!(done(tablet).len(), ACCEPTED);
        assert!(tablet.run(&["duplicates"]).ok().err.contains("No record is there twice"));
        assert!(list(tablet, &["--state", "held"]).is_empty());
    }
    let said = import(&second, &[]).ok();
    assert!(said.err.contains("0 new, 168 here already"), "what was withdrawn does not come back: {said:#?}");
}

#[test]
fn who_may_not_bring_in_states_or_stations_is_told_before_anything_is_filed() {
    let hub = Hub::start();
    let tablet = hub.tablet("P01");
    let told = import(&tablet, &[]);
    assert_eq!(told.code, Some(5), "{told:#?}");
    assert!(told.err.contains("ST02") && !told.err.contains("ST01"), "{told:#?}");
    let told = import(&tablet, &["--station", "ST01"]);
    assert_eq!(told.code, Some(5), "{told:#?}");
    assert!(told.err.contains("states of review") && told.err.contains("--without-states"), "{told:#?}");
    assert!(list(&tablet, &[]).is_empty());
    let said = import(&tablet, &["--station", "ST01", "--without-states"]).ok();
    assert!(said.err.contains("stations, people and organisations are not filed"), "{said:#?}");
    let rows = done(&tablet);
    assert!(!rows.is_empty() && rows.iter().all(|row| row["station"] == "ST01"), "{}", rows.len());
    assert!(rows.iter().all(|row| row["review"] == "pending" || row["review"] == "unsubmitted"));
    tablet.sync().ok();
    assert!(list(&tablet, &["--state", "held"]).is_empty(), "the hub holds nothing back");
}

/// A duplicate that was refused stands alone in the file of refused rows; it was filed once more when that was imported.
#[test]
fn refused_rows_imported_as_they_are_add_nothing() {
    let hub = Hub::start();
    let desk = coordinator(&hub, "C01");
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (refused, again) = (place("refused.csv"), place("again.csv"));
    let run = |ledger: &str, refused: &str| {
        desk.run(&["import", ledger, "--with", &sample(""), "--year", "2025", "--rejected", refused]).ok()
    };
    run(&sample("samples/visits-sample-gb18030.csv"), &refused);
    let before = list(&desk, &[]).len();
    let said = run(&refused, &again);
    assert!(said.err.contains("Records: 0 new"), "{said:#?}");
    assert!(said.err.contains("has the same station, type, date, person, target and start"), "{said:#?}");
    assert_eq!(list(&desk, &[]).len(), before);
}
