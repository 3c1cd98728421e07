//! Bundles from end to end: tablet to hub, tablet to tablet, by a file that somebody carries.

use crate::office::{Hub, Tablet};

fn shown(tablet: &Tablet) -> usize {
    tablet.run(&["list", "--json"]).ok().json().as_array().unwrap().len()
}

fn passphrase(out: &str) -> String {
    out.lines().find_map(|line| line.strip_prefix("Passphrase: ")).unwrap().to_owned()
}

#[test]
fn bundle_for_the_hub_is_carried_by_anyone_read_by_nobody_and_taken_in_twice_without_harm() {
    let mut hub = Hub::start();
    let (tablet_a, tablet_b) = (hub.tablet("P01"), hub.tablet("P02"));
    let marker = "捎给管理端的ZQ55012";
    let first = tablet_a.visit(&format!("{marker} 一"));
    let second = tablet_a.visit(&format!("{marker} 二"));
    let file = hub.folder.path().join("st01.qmb");
    let path = file.to_str().unwrap();
    let refused = tablet_b.run(&["bundle", "export", "--to", "hub", path]).refused();
    assert!(refused.err.contains("nothing"), "{refused:#?}");
    tablet_a.run(&["bundle", "export", "--to", "hub", path]).ok();
    let bytes = std::fs::read(&file).unwrap();
    assert!(!bytes.windows(marker.len()).any(|window| window == marker.as_bytes()));
    let refused = tablet_b.run(&["bundle", "import", path, "--passphrase", "x"]).refused();
    assert!(refused.err.contains("hub"), "only the hub can open it: {refused:#?}");
    assert_eq!(tablet_a.show(&first)["delivery"], "waiting", "a file is no delivery");

    // Into the running hub, then once more, then into the stopped one.
    let done = hub.run(&["bundle", "import", path, "--json"]).ok().json();
    assert_eq!((done["packs"].as_u64(), done["held"].as_u64()), (Some(1), Some(1)), "{done:#}");
    assert_eq!(done["records_new"], 2, "{done:#}");
    assert_eq!(hub.records(), 2);
    let again = hub.run(&["bundle", "import", path, "--json"]).ok().json();
    assert_eq!((again["held"].as_u64(), again["records_new"].as_u64()), (Some(1), Some(0)), "{again:#}");
    hub.kill();
    let stopped = hub.run(&["bundle", "import", path, "--json"]).ok().json();
    assert_eq!((stopped["held"].as_u64(), stopped["records_new"].as_u64()), (Some(1), Some(0)), "{stopped:#}");
    hub.run(&["verify"]).ok();
    hub.serve();
    // The tablet learns of it when it comes itself, and sends nothing twice.
    tablet_a.sync().ok();
    for record in [&first, &second] {
        assert_eq!(tablet_a.show(record)["delivery"], "acknowledged");
    }
    tablet_b.sync().ok();
    assert_eq!(shown(&tablet_b), 2);
    assert_eq!(hub.records(), 2);
}

#[test]
fn bundle_for_a_tablet_opens_with_the_passphrase_shown_and_carries_on_to_the_hub() {
    let hub = Hub::start();
    let (tablet_a, tablet_b) = (hub.tablet("P01"), hub.tablet("P02"));
    // Both know each other's enrolment, and have no network from now on.
    tablet_a.sync().ok();
    let record = tablet_a.visit("两台平板之间用文件传的一条");
    let file = hub.folder.path().join("a.qmb");
    let path = file.to_str().unwrap();
    let made = tablet_a.run(&["bundle", "export", "--to", "tablet", path]).ok();
    let passphrase = passphrase(&made.out);
    let refused = tablet_b.run(&["bundle", "import", path, "--passphrase", "wrong-wrong"]).refused();
    assert!(refused.err.contains("passphrase"), "{refused:#?}");
    let done = tablet_b.run(&["bundle", "import", path, "--passphrase", &passphrase.to_uppercase()]).ok();
    assert!(done.out.contains("1 record"), "{done:#?}");
    assert_eq!(shown(&tablet_b), 1);
    let again = tablet_b.run(&["bundle", "import", path, "--passphrase", &passphrase]).ok();
    assert!(again.out.contains("0 new packs, 1 known"), "{again:#?}");
    // tablet_b meets the hub first: what tablet_a wrote arrives through it.
    tablet_b.run(&["edit", &record, "--set", "advice=看到了"]).ok();
    tablet_b.sync().ok();
    assert_eq!(tablet_b.show(&record)["delivery"], "acknowledged");
    tablet_a.sync().ok();
    assert_eq!(tablet_a.show(&record)["delivery"], "acknowledged");
    assert!(tablet_a.show(&record).to_string().contains("看到了"));
}

/// What another wrote and lost since waits for nobody's receipt here: a file with everything brings it to the hub all the
/// same, and without a sync of its carrier.
#[test]
fn file_with_everything_brings_the_hub_what_only_its_carrier_still_has() {
    let hub = Hub::start();
    let (tablet_a, tablet_b) = (hub.tablet("P01"), hub.tablet("P02"));
    tablet_a.sync().ok();
    let record = tablet_a.visit("只剩在别人平板上的一条");
    let (shared, file) = (hub.folder.path().join("a.qmb"), hub.folder.path().join("b.qmb"));
    let made = tablet_a.run(&["bundle", "export", "--to", "tablet", shared.to_str().unwrap()]).ok();
    drop(tablet_a);
    let passphrase = passphrase(&made.out);
    tablet_b.run(&["bundle", "import", shared.to_str().unwrap(), "--passphrase", &passphrase]).ok();
    let path = file.to_str().unwrap();
    tablet_b.run(&["bundle", "export", "--to", "hub", "--what", "everything", path]).ok();
    let done = hub.run(&["bundle", "import", path, "--json"]).ok().json();
    assert_eq!(done["records_new"], 1, "{done:#}");
    assert_eq!(hub.records(), 1);
    assert_eq!(tablet_b.show(&record)["delivery"], "elsewhere", "another's work");
}

#[test]
fn cut_changed_foreign_and_misdirected_bundles_are_refused_and_say_what_to_do() {
    let hub = Hub::start();
    let tablet_a = hub.tablet("P01");
    for number in 0..3 {
        tablet_a.visit(&format!("第{number}条"));
    }
    let dir = hub.folder.path();
    let (whole, broken) = (dir.join("whole.qmb"), dir.join("broken.qmb"));
    let (path, broken_path) = (whole.to_str().unwrap(), broken.to_str().unwrap());
    tablet_a.run(&["bundle", "export", "--to", "hub", path]).ok();
    let bytes = std::fs::read(&whole).unwrap();
    for cut in [5, 30, 200, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&broken, &bytes[..cut]).unwrap();
        let refused = hub.run(&["bundle", "import", broken_path]).refused();
        assert!(refused.err.contains("again") || refused.err.contains("choose"), "{cut}: {refused:#?}");
    }
    let mut changed = bytes;
    *changed.last_mut().unwrap() ^= 1;
    std::fs::write(&broken, changed).unwrap();
    hub.run(&["bundle", "import", broken_path]).refused();
    assert_eq!(hub.records(), 0);
    // Another organisation's, one for a tablet, a folder, nothing at all.
    let other = Hub::start();
    let stranger = other.tablet("P09");
    stranger.visit("另一个单位的记录");
    stranger.run(&["bundle", "export", "--to", "hub", broken_path]).ok();
    let refused = hub.run(&["bundle", "import", broken_path]).refused();
    assert!(refused.err.contains("another organisation"), "{refused:#?}");
    let made = tablet_a.run(&["bundle", "export", "--to", "tablet", broken_path]).ok();
    assert!(hub.run(&["bundle", "import", broken_path]).refused().err.contains("for a tablet"));
    let opened = ["bundle", "import", broken_path, "--passphrase", &passphrase(&made.out)];
    assert!(stranger.run(&opened).refused().err.contains("organisation"));
    hub.run(&["bundle", "import", dir.to_str().unwrap()]).refused();
    hub.run(&["bundle", "import", "/nonexistent.qmb"]).refused();
    tablet_a.run(&["bundle", "import", "/nonexistent.qmb", "--passphrase", "x"]).refused();
    tablet_a.run(&["bundle", "export", "--to", "hub", "/nonexistent/x.qmb"]).refused();
    // What was whole is taken in all the same.
    hub.run(&["bundle", "import", path]).ok();
    assert_eq!(hub.records(), 3);
}
