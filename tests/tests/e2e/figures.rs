//! The numbers officials use: the ledger's truth, from merged records, and again after everything derived was deleted.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::office::{Hub, Tablet};

const FIGURES: [&str; 4] = ["accepted_aggregates", "approved_aggregates", "approved_task_completion", "flags"];

fn sample(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/bin/data/sample").join(name).display().to_string()
}

fn truth() -> Value {
    let text = std::fs::read(sample("samples/visits-sample-gb18030.expected.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// Compares as numbers do: 90 and 90.0 are the same.
fn assert_same(path: &str, found: &Value, expected: &Value) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            // In what order a map's keys come is not said: a crate elsewhere in the build may change it.
            let (keys, wanted): (BTreeSet<_>, BTreeSet<_>) = (found.keys().collect(), expected.keys().collect());
            assert_eq!(keys, wanted, "{path}");
            expected.iter().for_each(|(key, value)| assert_same(&format!("{path}.{key}"), &found[key], value));
        }
        _ => assert!(found == expected || found.as_f64() == expected.as_f64(), "{path}: {found}, expected {expected}"),
    }
}

fn assert_figures(hub: &Hub, when: &str) {
    let told = hub.run(&["stats", "--year", "2025", "--json"]).ok().json();
    let truth = truth();
    FIGURES.iter().for_each(|figure| assert_same(&format!("{when}: {figure}"), &told[figure], &truth[figure]));
    assert_eq!(told["records"], truth["accepted"], "{when}");
}

/// Everything that follows from the pack log.
fn delete_derived(data: &Path) {
    std::fs::remove_dir_all(data.join("index")).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let file = data.join(format!("projection.sqlite{suffix}"));
        assert!(std::fs::remove_file(file).is_ok() || !suffix.is_empty());
    }
}

#[test]
fn figures_are_the_ledgers_truth_after_a_sync_and_after_rebuilding_index_and_read_model() {
    let mut hub = Hub::start();
    let desk = Tablet::new();
    desk.run(&["enroll", &hub.ticket("C01", "coordinator")]).ok();
    let ledger = sample("samples/visits-sample-gb18030.csv");
    let refused = tempfile::NamedTempFile::new().unwrap();
    let refused = refused.path().to_str().unwrap();
    desk.run(&["import", &ledger, "--with", &sample(""), "--year", "2025", "--rejected", refused]).ok();
    desk.sync().ok();
    assert_figures(&hub, "beside the running hub");
    let api: Value = serde_json::from_str(&hub.get("/api/v1/stats?year=2025").unwrap()).unwrap();
    FIGURES.iter().for_each(|figure| assert_same(figure, &api[figure], &truth()[figure]));
    let rebuilt = hub.run(&["rebuild", "--json"]).ok().json();
    assert_eq!(rebuilt["records"], truth()["accepted"]);
    assert_figures(&hub, "after rebuilding beside the running hub");

    hub.kill();
    delete_derived(&hub.data());
    assert_figures(&hub, "from the log alone");
    hub.serve();
    assert_figures(&hub, "served again");
    desk.sync().ok();
    assert_eq!(desk.run(&["status", "--json"]).ok().json()["waiting"], 0);
}
