//! Restores: tablets refill the hub with no hand moved, and everything that was decided since comes back.

use crate::office::{Hub, Tablet, copy};

fn count(tablet: &Tablet) -> usize {
    tablet.contents().len()
}

#[test]
fn hub_of_yesterday_gets_back_records_revocations_erasures_and_enrolments() {
    let mut hub = Hub::start();
    let (tablet_a, tablet_b, lost) = (hub.tablet("P01"), hub.tablet("P02"), hub.tablet("P03"));
    let kept = tablet_a.visit("备份之前");
    let erased = tablet_a.visit("后来被抹除");
    for tablet in [&tablet_a, &tablet_b, &lost] {
        tablet.sync().ok();
    }
    hub.back_up("yesterday");
    tablet_a.sync().ok();
    assert_eq!(tablet_a.delivery(&kept), "backed_up");
    // All this happens after the backup.
    let late = tablet_a.visit("备份之后");
    tablet_a.sync().ok();
    tablet_b.sync().ok();
    tablet_b.run(&["edit", &kept, "--set", "advice=乙的补充"]).ok();
    tablet_b.sync().ok();
    let newcomer = hub.tablet("P04");
    let newest = newcomer.visit("备份之后才登记的人写的");
    newcomer.sync().ok();
    hub.run(&["purge", &erased, "--reason", "request", "--yes", "--even-if-unsaved"]).ok();
    hub.run(&["revoke", &lost.device(), "--reason", "lost"]).ok();
    tablet_a.sync().ok();
    let unsent = tablet_b.visit("只在待上传里");
    assert_eq!((tablet_a.delivery(&late), tablet_b.delivery(&unsent)), ("acknowledged".into(), "waiting".into()));
    let (lost_device, new_device) = (lost.device(), newcomer.device());

    let said = hub.lose_and_restore("lost", "yesterday").out;
    assert!(said.contains("Never run the old machine again") && said.contains("Nobody touches a tablet"), "{said}");
    assert!(said.contains(&tablet_a.device()) && said.contains(&lost_device), "whom to confirm: {said}");
    assert_eq!(hub.records(), 2, "what the backup had");
    assert_eq!(hub.devices()[&lost_device]["standing"], "not-confirmed", "the backup knew nothing of the revocation");
    // What follows from the logs is gone at the same time, here and there.
    std::fs::remove_dir_all(tablet_b.data.join("index")).unwrap();

    tablet_a.sync().ok();
    assert_eq!(tablet_a.delivery(&late), "acknowledged");
    assert_eq!(tablet_a.delivery(&kept), "backed_up", "the backup has it");
    assert_eq!(hub.devices()[&lost_device]["standing"], "revoked");
    assert!(hub.get(&format!("/api/v1/records/{erased}")).is_none(), "the erasure came back");
    assert!(hub.get(&format!("/api/v1/records/{late}")).is_some());
    tablet_b.sync().ok();
    assert_eq!(tablet_b.delivery(&unsent), "acknowledged");
    newcomer.sync().ok();
    assert_eq!(newcomer.delivery(&newest), "acknowledged", "no new ticket");
    assert_eq!(hub.devices()[&new_device]["standing"], "not-confirmed");
    assert_eq!(hub.records(), 4);
    let told = lost.sync();
    assert!((told.out + &told.err).contains("revoked"));

    hub.run(&["confirm", "--all"]).ok();
    hub.kill();
    std::fs::remove_dir_all(hub.data().join("index")).unwrap();
    std::fs::remove_file(hub.data().join("projection.sqlite")).unwrap();
    hub.serve();
    let tablets = [&tablet_a, &tablet_b, &newcomer];
    for _ in 0..2 {
        tablets.iter().for_each(|tablet| drop(tablet.sync().ok()));
    }
    assert_eq!(hub.records(), 4);
    for tablet in tablets {
        assert_eq!(count(tablet), 4);
        assert_eq!(tablet.show(&kept)["fields"]["advice"], "乙的补充");
        tablet.run(&["show", &erased]).refused();
        assert_eq!(tablet.status()["waiting"], 0);
    }
    assert_eq!(tablet_a.delivery(&late), "acknowledged", "no backup has it yet");
    hub.back_up("today");
    tablet_a.sync().ok();
    assert_eq!(tablet_a.delivery(&late), "backed_up");
    for verified in [hub.run(&["verify"]), hub.run(&["verify", hub.beside("today").to_str().unwrap()])] {
        verified.ok();
    }
}

#[test]
fn hub_restored_again_and_again_from_backups_of_several_lives_loses_nothing() {
    let mut hub = Hub::start();
    let (tablet_a, tablet_b) = (hub.tablet("P01"), hub.tablet("P02"));
    let mut records = Vec::new();
    let mut write = |content: &str| {
        records.push(tablet_a.visit(content));
        tablet_a.sync().ok();
    };
    write("第一条");
    hub.back_up("one");
    write("第二条");
    hub.back_up("two");
    write("第三条");
    // Back to the older backup, though a newer one is there.
    hub.lose_and_restore("lost-1", "one");
    tablet_a.sync().ok();
    assert_eq!(hub.records(), 3);
    write("第四条,在第二世");
    hub.back_up("three");
    // Back to a backup of the first life: the second is no ancestor of the third.
    hub.lose_and_restore("lost-2", "two");
    assert_eq!(hub.records(), 2);
    tablet_a.sync().ok();
    assert_eq!(hub.records(), 4);
    write("第五条,在第三世");
    // Twice in a row, without anybody having come in between.
    hub.back_up("four");
    hub.lose_and_restore("lost-3", "three");
    hub.lose_and_restore("lost-4", "four");
    tablet_a.sync().ok();
    write("第六条");
    hub.run(&["confirm", "--all"]).ok();
    for _ in 0..2 {
        tablet_a.sync().ok();
        tablet_b.sync().ok();
    }
    assert_eq!((hub.records(), count(&tablet_a), count(&tablet_b)), (6, 6, 6));
    for record in &records {
        assert_ne!(tablet_a.delivery(record), "waiting");
    }
    hub.run(&["verify"]).ok();
    hub.back_up("five");
    tablet_a.sync().ok();
    for record in &records {
        assert_eq!(tablet_a.delivery(record), "backed_up");
    }
}

#[test]
fn old_hub_started_again_beside_its_successor_splits_nothing() {
    let mut hub = Hub::start();
    let (tablet_a, tablet_b) = (hub.tablet("P01"), hub.tablet("P02"));
    tablet_a.visit("快照之前");
    tablet_a.sync().ok();
    tablet_b.sync().ok();
    hub.back_up("backup");
    hub.kill();
    copy(&hub.data(), &hub.beside("snapshot"));
    // The successor, with decisions of its own.
    hub.lose_and_restore("lost", "backup");
    hub.run(&["confirm", "--all"]).ok();
    tablet_a.visit("在新机器上");
    tablet_a.sync().ok();
    let newcomer = hub.tablet("P03");
    newcomer.visit("新机器登记的人");
    newcomer.sync().ok();
    hub.kill();
    // Somebody boots the snapshot at the same address. It knows nothing of the successor.
    hub.serve_from(&hub.beside("snapshot"));
    tablet_b.visit("送到了旧快照上");
    tablet_b.sync().ok();
    tablet_a.visit("也送到了旧快照上");
    tablet_a.sync().ok();
    newcomer.sync().ok();
    hub.kill();
    // The successor again, for good.
    hub.serve();
    for _ in 0..3 {
        [&tablet_a, &tablet_b, &newcomer].iter().for_each(|tablet| drop(tablet.sync().ok()));
    }
    hub.run(&["confirm", "--all"]).ok();
    for _ in 0..2 {
        [&tablet_a, &tablet_b, &newcomer].iter().for_each(|tablet| drop(tablet.sync().ok()));
    }
    assert_eq!(hub.records(), 5);
    for tablet in [&tablet_a, &tablet_b, &newcomer] {
        assert_eq!(count(tablet), 5);
        assert_eq!(tablet.status()["waiting"], 0);
    }
    hub.run(&["verify"]).ok();
}

#[test]
fn month_that_was_freed_and_brought_back_refills_a_hub_from_before_it() {
    let mut hub = Hub::start();
    let tablet = hub.tablet("P01");
    hub.back_up("early");
    let record = tablet.visit("移走过、又取回的");
    for _ in 0..2 {
        tablet.sync().ok();
    }
    for _ in 0..2 {
        hub.back_up("late");
        tablet.sync().ok();
    }
    let done = tablet.run(&["evict", "--before", "2199-01", "--json"]).ok().json();
    assert_eq!(count(&tablet), 0);
    tablet.run(&["bring-back", done["evicted"][0].as_str().unwrap()]).ok();
    tablet.sync().ok();
    assert_eq!(count(&tablet), 1);
    hub.lose_and_restore("lost", "early");
    assert_eq!(hub.records(), 0);
    tablet.sync().ok();
    assert_eq!(hub.records(), 1);
    assert_eq!(tablet.show(&record)["fields"]["content"], "移走过、又取回的");
    // And a device that was enrolled after that backup has it from there.
    hub.run(&["confirm", "--all"]).ok();
    let other = hub.tablet("P02");
    other.sync().ok();
    assert_eq!(count(&other), 1);
}

#[test]
fn damaged_backup_is_refused_with_the_file_and_what_to_do() {
    let mut hub = Hub::start();
    let tablet = hub.tablet("P01");
    tablet.visit("一条");
    tablet.sync().ok();
    hub.back_up("backup");
    hub.kill();
    let log = hub.beside("backup").join("log");
    let segment = std::fs::read_dir(log).unwrap().next().unwrap().unwrap().path();
    let sound = std::fs::read(&segment).unwrap();
    let mut spoilt = sound.clone();
    let middle = spoilt.len() / 2;
    spoilt[middle] ^= 1;
    std::fs::write(&segment, spoilt).unwrap();
    let name = segment.file_name().unwrap().to_str().unwrap().to_owned();
    let backup = hub.beside("backup");
    let found = hub.run(&["verify", "--json", backup.to_str().unwrap()]);
    assert_eq!(found.code, Some(3));
    let faults = serde_json::from_str::<serde_json::Value>(found.out.lines().next().unwrap()).unwrap();
    assert!(faults["faults"].to_string().contains(&name) && faults["sound"] == false, "{faults:#}");
    std::fs::rename(hub.data(), hub.beside("lost")).unwrap();
    let refused = hub.run(&["restore", "--from", backup.to_str().unwrap()]).refused();
    assert_eq!(refused.code, Some(3));
    assert!(refused.err.contains(&name) && refused.err.contains("older backup or another copy"), "{refused:#?}");
    assert!(!hub.data().join("keys").exists(), "nothing was written");
    std::fs::write(&segment, sound).unwrap();
    hub.run(&["restore", "--from", backup.to_str().unwrap()]).ok();
    hub.serve();
    assert_eq!(hub.records(), 1);
    // Never over anything.
    let refused = hub.run(&["restore", "--from", backup.to_str().unwrap()]).refused();
    assert!(refused.err.contains("not empty"), "{refused:#?}");
}
