//! The whole thing as people run it: hub and tablets as processes, real folders, QUIC over loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    reason = "test harness: a failed step is the failure"
)]

#[path = "e2e/backup.rs"]
mod backup;
#[path = "e2e/bundle.rs"]
mod bundle;
#[path = "e2e/clones.rs"]
mod clones;
#[path = "e2e/erasure.rs"]
mod erasure;
#[path = "e2e/evict.rs"]
mod evict;
#[path = "e2e/figures.rs"]
mod figures;
#[path = "e2e/import.rs"]
mod import;
#[path = "e2e/office.rs"]
mod office;
#[path = "e2e/pages.rs"]
mod pages;
#[path = "e2e/restore.rs"]
mod restore;
#[path = "e2e/review.rs"]
mod review;

use std::time::Duration;

use office::{Hub, Tablet};

fn conflicts(shown: &serde_json::Value) -> usize {
    shown["open_conflicts"].as_array().map_or(0, Vec::len)
}

#[test]
fn conflicting_edits_of_two_offline_tablets_are_kept_and_shown() {
    let hub = Hub::start();
    let (tablet_a, tablet_b) = (hub.tablet("P01"), hub.tablet("P02"));
    let record = tablet_a.visit("查看越冬情况,主干阳面有轻微日灼裂皮");
    tablet_a.sync().ok();
    tablet_b.sync().ok();
    tablet_a.run(&["edit", &record, "--set", "advice=甲:树干涂白补一遍"]).ok();
    tablet_b.run(&["edit", &record, "--set", "advice=乙:刮除翘皮并集中烧毁"]).ok();
    for tablet in [&tablet_a, &tablet_b, &tablet_a] {
        tablet.sync().ok();
    }
    for tablet in [&tablet_a, &tablet_b] {
        let shown = tablet.show(&record);
        assert_eq!(conflicts(&shown), 1, "{shown:#}");
        let text = shown["open_conflicts"].to_string();
        assert!(text.contains("甲:") && text.contains("乙:"), "{text}");
    }
    let page = hub.get(&format!("/api/v1/records/{record}")).unwrap();
    assert!(page.contains("甲:") && page.contains("乙:"), "{page}");
    tablet_a.run(&["resolve", &record, "advice", "--keep", "1"]).ok();
    tablet_a.sync().ok();
    tablet_b.sync().ok();
    assert_eq!(conflicts(&tablet_b.show(&record)), 0);
}

#[test]
fn remote_edit_that_arrives_while_a_form_is_open_is_not_overwritten() {
    let hub = Hub::start();
    let (tablet_a, tablet_b) = (hub.tablet("P01"), hub.tablet("P02"));
    let record = tablet_a.visit("查看套袋情况,进度过半");
    tablet_a.sync().ok();
    tablet_b.sync().ok();
    let version = tablet_b.show(&record)["version"].as_str().unwrap().to_owned();
    tablet_a.run(&["edit", &record, "--set", "advice=远处先改"]).ok();
    tablet_a.sync().ok();
    tablet_b.sync().ok();
    tablet_b.run(&["edit", &record, "--at", &version, "--set", "advice=表单里的话"]).ok();
    let shown = tablet_b.show(&record);
    assert_eq!(conflicts(&shown), 1, "{shown:#}");
    let text = shown["open_conflicts"].to_string();
    assert!(text.contains("远处先改") && text.contains("表单里的话"), "{text}");
}

#[test]
fn tablet_killed_in_mid_sync_loses_nothing_and_ends_what_it_began() {
    let hub = Hub::start();
    let tablet_a = hub.tablet("P01");
    let mut records = Vec::new();
    for (round, millis) in [5u64, 20, 40, 60, 90, 130].into_iter().enumerate() {
        records.push(tablet_a.visit(&format!("第{round}轮,修剪进度查看")));
        let mut child = tablet_a.spawn(&["sync", "--timeout", "30"]);
        std::thread::sleep(Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    tablet_a.sync().ok();
    assert_eq!(hub.records(), records.len());
    for record in &records {
        assert_eq!(tablet_a.show(record)["delivery"], "acknowledged");
    }
    let status = tablet_a.run(&["status", "--json"]).ok().json();
    assert!(status["last_success_ms"].as_i64().is_some(), "another process knows of the last sync: {status:#}");
}

#[test]
fn hub_killed_in_mid_ack_keeps_what_it_acknowledged() {
    let mut hub = Hub::start();
    let tablet_a = hub.tablet("P01");
    let mut records = Vec::new();
    for (round, millis) in [10u64, 30, 60, 100].into_iter().enumerate() {
        records.push(tablet_a.visit(&format!("第{round}轮,疏果情况查看")));
        let mut child = tablet_a.spawn(&["sync", "--timeout", "2"]);
        std::thread::sleep(Duration::from_millis(millis));
        hub.kill();
        child.wait().unwrap();
        let told: Vec<_> =
            records.iter().filter(|record| tablet_a.show(record)["delivery"] == "acknowledged").collect();
        hub.serve();
        for record in told {
            assert!(hub.get(&format!("/api/v1/records/{record}")).is_some(), "acknowledged, and gone: {record}");
        }
    }
    tablet_a.sync().ok();
    assert_eq!(hub.records(), records.len());
}

#[test]
fn cloned_tablet_folder_used_on_both_sides_loses_nothing() {
    let hub = Hub::start();
    let tablet_a = hub.tablet("P01");
    tablet_a.visit("两台都有的一条记录");
    tablet_a.sync().ok();
    let clone = tablet_a.cloned();
    tablet_a.visit("原来那台写的记录");
    clone.visit("复制出来那台写的记录");
    for _ in 0..2 {
        tablet_a.sync().ok();
        clone.sync().ok();
    }
    tablet_a.visit("原来那台后来写的");
    clone.visit("复制那台后来写的");
    for _ in 0..2 {
        tablet_a.sync().ok();
        clone.sync().ok();
    }
    assert_eq!(hub.records(), 5);
    for tablet in [&tablet_a, &clone] {
        let list = tablet.run(&["list", "--json"]).ok().json();
        let rows = list.as_array().unwrap().len();
        assert_eq!(rows, 5, "{list:#}");
    }
    let status = [tablet_a.run(&["status"]), clone.run(&["status"])].map(|ran| ran.ok().out);
    assert!(status.iter().any(|text| text.to_lowercase().contains("cop")), "{status:#?}");
}

#[test]
fn hub_restored_from_an_older_backup_is_refilled_with_no_hand_moved_on_the_tablet() {
    let mut hub = Hub::start();
    let (tablet_a, tablet_b) = (hub.tablet("P01"), hub.tablet("P02"));
    tablet_a.visit("备份之前的记录");
    tablet_a.sync().ok();
    let backup = hub.folder.path().join("backup");
    hub.run(&["backup", "--to", backup.to_str().unwrap()]).ok();
    let late = tablet_a.visit("备份之后的记录");
    tablet_a.sync().ok();
    assert_eq!(tablet_a.show(&late)["delivery"], "acknowledged");
    hub.kill();
    let restored = hub.folder.path().join("restored");
    std::fs::rename(hub.data(), hub.folder.path().join("dead")).unwrap();
    hub.run(&["restore", "--from", backup.to_str().unwrap()]).ok();
    assert!(!restored.exists());
    hub.serve();
    assert_eq!(hub.records(), 1);
    tablet_a.sync().ok();
    assert_eq!(hub.records(), 2, "the tablet brings back what the backup did not have");
    assert_eq!(tablet_a.show(&late)["delivery"], "acknowledged");
    hub.run(&["backup", "--to", backup.to_str().unwrap()]).ok();
    tablet_a.sync().ok();
    assert_eq!(tablet_a.show(&late)["delivery"], "backed_up");
    hub.run(&["verify", backup.to_str().unwrap()]).ok();
    // Until the administrator has confirmed it, a device may bring records and gets none.
    let rows = |tablet: &Tablet| tablet.run(&["list", "--json"]).ok().json().as_array().unwrap().len();
    tablet_b.sync().ok();
    assert_eq!(rows(&tablet_b), 0);
    hub.run(&["confirm", "ffffffffffffffff"]).refused();
    hub.run(&["confirm", "--all"]).ok();
    tablet_b.sync().ok();
    assert_eq!(rows(&tablet_b), 2);
}

#[test]
fn unknown_revoked_and_foreign_devices_are_refused_with_a_clear_message() {
    let hub = Hub::start();
    let ticket = hub.ticket("P01", "technician");
    let tablet_a = Tablet::new();
    tablet_a.run(&["sync"]).refused();
    tablet_a.run(&["enroll", "QM1-NOT-A-TICKET"]).refused();
    tablet_a.run(&["enroll", &ticket]).ok();
    Tablet::new().run(&["enroll", &ticket]).refused();
    // Revoked: what it wrote is taken, and it is told.
    tablet_a.visit("停用之前写的记录");
    let devices = hub.run(&["devices", "--json"]).ok().json();
    let status = tablet_a.run(&["status", "--json"]).ok().json();
    let device = status["device"].as_str().unwrap_or_else(|| panic!("{status:#} {devices:#}")).to_owned();
    hub.run(&["revoke", &device, "--reason", "lost"]).ok();
    let told = tablet_a.sync();
    assert!(told.out.to_lowercase().contains("revoked") || told.err.to_lowercase().contains("revoked"), "{told:#?}");
    // Of another organisation: what answers at the address is not the hub this tablet trusts.
    let mut other = Hub::start();
    let tablet_b = other.tablet("P09");
    let record = tablet_b.visit("另一个单位的记录");
    other.kill();
    let impostor = Hub::start_at((other.quic, other.web));
    let told = tablet_b.run(&["sync", "--timeout", "3"]).refused();
    assert!((told.out + &told.err).to_lowercase().contains("organisation"), "it says what answered");
    assert_eq!(impostor.records(), 0);
    assert_eq!(tablet_b.show(&record)["delivery"], "waiting");
}

#[test]
fn bad_input_is_refused_and_says_what_to_do() {
    let hub = Hub::start();
    // A folder in use, a port in use, a file that is no backup, a folder that is no hub.
    hub.run(&["init", "--name", "再来一次"]).refused();
    hub.run(&["serve"]).refused();
    let mut second = Hub::start();
    second.kill();
    second.run(&["serve", "--listen", &format!("127.0.0.1:{}", hub.quic)]).refused();
    hub.run(&["restore", "--from", "/nonexistent"]).refused();
    hub.run(&["verify", "/nonexistent"]).refused();
    hub.run(&["revoke", "ffffffffffffffff", "--reason", "lost"]).refused();
    hub.run(&["enroll", "--station", "没有 这种", "--person", "P01"]).refused();
    let tablet_a = hub.tablet("P01");
    tablet_a.run(&["new", "no-such-form", "--set", "a=b"]).refused();
    tablet_a.run(&["new", "visit", "--set", "activity_date=明天", "--set", "content=x"]).refused();
    tablet_a.run(&["show", "0000"]).refused();
    tablet_a.run(&["edit", "zzzz", "--set", "advice=x"]).refused();
    // A damaged index is rebuilt by itself; a record is still there.
    let record = tablet_a.visit("索引坏了也还在的记录");
    let index = tablet_a.data.join("index");
    std::fs::remove_dir_all(&index).unwrap();
    assert_eq!(tablet_a.show(&record)["delivery"], "waiting");
}
