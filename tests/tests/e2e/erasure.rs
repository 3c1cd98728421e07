//! Erasure from end to end: what was erased is in no file of hub, tablets, read model and later backup.

use std::path::{Path, PathBuf};

use qianmo_protocol::wire::Wire as _;
use qianmo_replica::disk::{Disk as _, MemoryDisk};
use qianmo_replica::frames::{LocalFrame, PackFrame};
use qianmo_replica::pack_log::{FrameKind, PackLog, PackLogConfig, ScanFrom};

use crate::office::{Hub, Ran, Tablet};

const MARKER: &str = "ZQ7734KLMNOPQ";

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&entry.path(), found);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
}

fn has(bytes: &[u8]) -> bool {
    bytes.windows(MARKER.len()).any(|window| window.eq_ignore_ascii_case(MARKER.as_bytes()))
}

/// Where the marker stands: in files as they are, and in what the frames of pack logs hold once inflated.
fn traces(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    files(folder, &mut all);
    let mut traces = Vec::new();
    for path in &all {
        // A file may go while it is being looked for: then it holds nothing.
        if has(&std::fs::read(path).unwrap_or_default()) {
            traces.push(path.display().to_string());
        }
    }
    let mut logs: Vec<&Path> = all
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "seg"))
        .filter_map(|path| path.parent())
        .collect();
    logs.sort_unstable();
    logs.dedup();
    for log in logs {
        if in_frames(log) {
            traces.push(format!("a frame of {}", log.display()));
        }
    }
    traces
}

fn in_frames(log: &Path) -> bool {
    let mut disk = MemoryDisk::new();
    for entry in std::fs::read_dir(log).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".seg") {
            disk.restore_file(&name, std::fs::read(entry.path()).unwrap());
        }
    }
    disk.sync_dir().unwrap();
    let (log, _) = PackLog::open(Box::new(disk), PackLogConfig::new([0; 16])).unwrap();
    log.scan_from(ScanFrom::Start).unwrap().any(|found| {
        let (_, frame) = found.unwrap();
        let entries = match frame.kind {
            FrameKind::Pack => PackFrame::decode(&frame.payload).unwrap().pack.open().unwrap(),
            FrameKind::Local => LocalFrame::decode(&frame.payload).unwrap().entries,
            FrameKind::Draft
            | FrameKind::Control
            | FrameKind::Verdict
            | FrameKind::Receipt
            | FrameKind::Meta
            | FrameKind::Blob
            | FrameKind::Unknown(_) => return has(&frame.payload),
        };
        entries.iter().filter_map(|entry| entry.change()).any(|change| has(change.bytes()))
    })
}

fn none(what: &str, folder: &Path) {
    let traces = traces(folder);
    assert!(traces.is_empty(), "{what}: {traces:#?}");
}

fn said(ran: &Ran) -> String {
    format!("{}{}", ran.out, ran.err)
}

fn edit(tablet: &Tablet, record: &str, value: &str) {
    tablet.run(&["edit", record, "--set", &format!("advice={value}")]).ok();
}

#[test]
fn erased_record_is_in_no_file_of_hub_tablets_read_model_and_later_backup() {
    let mut hub = Hub::start();
    let (tablet_a, tablet_b) = (hub.tablet("P01"), hub.tablet("P02"));
    let record = tablet_a.visit(&format!("某户情况 {MARKER}"));
    let kept = tablet_a.visit("要留着的一条");
    tablet_a.sync().ok();
    tablet_b.sync().ok();
    assert!(!traces(&hub.data()).is_empty() && !traces(&tablet_b.data).is_empty(), "the search finds what is there");
    let backup = hub.folder.path().join("backup");
    hub.run(&["backup", "--to", backup.to_str().unwrap()]).ok();
    assert!(!traces(&backup).is_empty());
    // tablet_b goes on offline: an unsent edit.
    edit(&tablet_b, &record, &format!("补充 {MARKER}"));

    let refused = hub.run(&["purge", &record, "--reason", "request"]).refused();
    assert!(said(&refused).contains("--yes"), "{refused:#?}");
    hub.run(&["purge", &"0".repeat(32), "--reason", "request", "--yes"]).refused();
    let done = hub.run(&["purge", &record, "--reason", "request", "--yes", "--json"]).ok().json();
    assert_eq!((done["records"].as_u64(), done["reviews"].as_u64()), (Some(1), Some(1)), "{done:#}");
    assert!(hub.get(&format!("/api/v1/records/{record}")).is_none());
    assert!(hub.get(&format!("/api/v1/records/{kept}")).is_some());
    let listed = hub.run(&["purge", "--list", "--json"]).ok().json();
    assert_eq!(listed["carried_out"], true, "{listed:#}");
    none("the running hub", &hub.data());

    let told = tablet_a.sync().ok();
    assert!(said(&told).contains("erased"), "{told:#?}");
    let told = tablet_b.sync().ok();
    assert!(said(&told).contains("erased"), "{told:#?}");
    let status = tablet_b.run(&["status", "--json"]).ok().json();
    assert_eq!(status["erased"]["records"], 1, "{status:#}");
    for tablet in [&tablet_a, &tablet_b] {
        none("a tablet", &tablet.data);
        tablet.run(&["show", &record]).refused();
        assert!(tablet.show(&kept)["delivery"].is_string());
    }
    // What tablet_b brought along was not kept, and nothing resurrects it.
    none("the hub after tablet_b's edit came", &hub.data());
    hub.run(&["backup", "--to", backup.to_str().unwrap()]).ok();
    none("the later backup", &backup);
    hub.run(&["verify", backup.to_str().unwrap()]).ok();
    hub.kill();
    hub.serve();
    none("the hub started again", &hub.data());
    hub.run(&["verify"]).ok();
    assert_eq!(hub.records(), 1);
}

#[test]
fn erasure_on_a_stopped_hub_does_the_same_and_late_arrivals_are_listed() {
    let mut hub = Hub::start();
    let (tablet_a, tablet_b) = (hub.tablet("P01"), hub.tablet("P02"));
    let record = tablet_a.visit(&format!("某户情况 {MARKER}"));
    tablet_a.sync().ok();
    tablet_b.sync().ok();
    // tablet_b names it in a visit of its own, offline.
    let late = tablet_b.visit(&format!("提到 {record} {MARKER}"));
    hub.kill();
    hub.run(&["purge", &record, "--target", "--reason", "request", "--yes"]).ok();
    none("the stopped hub", &hub.data());
    hub.serve();
    none("the hub started again", &hub.data());
    tablet_b.sync().ok();
    let listed = hub.run(&["purge", "--list", "--json"]).ok().json();
    let waiting = listed["waiting"].as_array().unwrap();
    assert!(waiting.iter().any(|one| one["doc"] == late.as_str()), "{listed:#}");
    hub.run(&["purge", &record, "--target", "--reason", "request", "--yes"]).ok();
    let listed = hub.run(&["purge", "--list", "--json"]).ok().json();
    assert!(listed["waiting"].as_array().unwrap().is_empty(), "{listed:#}");
    none("the hub", &hub.data());
    tablet_b.sync().ok();
    none("tablet_b", &tablet_b.data);
}
