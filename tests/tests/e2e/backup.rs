//! Backups of a running hub as people run them: killed in the middle, without room, in haste.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::office::{DEADLINE, Hub};

/// A visit with much to say: some kilobytes.
fn long(number: usize) -> String {
    format!("第{number}次 {}", "果园情况".repeat(400))
}

#[test]
fn hub_killed_in_the_middle_of_a_backup_leaves_a_backup_that_restores() {
    let mut hub = Hub::start();
    let tablet = hub.tablet("P01");
    tablet.visit(&long(0));
    tablet.sync().ok();
    let mut commit = hub.back_up("backup")["commit"].as_u64().unwrap();
    let to = hub.beside("backup");
    for round in 1..=12 {
        tablet.visit(&long(round));
        tablet.sync().ok();
        let mut running = hub.spawn(&["backup", "--to", to.to_str().unwrap()]);
        std::thread::sleep(Duration::from_millis(3 * u64::try_from(round).unwrap()));
        hub.kill();
        running.wait().unwrap();
        let found = hub.run(&["verify", "--json", to.to_str().unwrap()]).ok().json();
        assert!(found["commit"].as_u64().unwrap() >= commit, "never less than before: {found:#}");
        hub.serve();
        // What tablets are told is in a backup is in it.
        let stats = hub.run(&["stats", "--json"]).ok().json();
        assert!(stats["backed_up"].as_u64().unwrap() <= found["commit"].as_u64().unwrap(), "{stats:#} {found:#}");
        commit = hub.back_up("backup")["commit"].as_u64().unwrap();
    }
    hub.lose_and_restore("lost", "backup");
    assert_eq!(hub.records(), 13);
    hub.run(&["verify"]).ok();
}

#[test]
fn two_backups_at_once_into_one_folder_leave_one_sound_backup() {
    let hub = Hub::start();
    let tablet = hub.tablet("P01");
    tablet.visit(&long(0));
    tablet.sync().ok();
    let to = hub.beside("backup");
    let arguments = ["backup", "--to", to.to_str().unwrap()];
    for _ in 0..4 {
        let running: Vec<_> = (0..4).map(|_| hub.spawn(&arguments)).collect();
        let codes: Vec<_> = running.into_iter().map(|mut one| one.wait().unwrap().code()).collect();
        assert!(codes.contains(&Some(0)), "{codes:?}");
        assert!(codes.iter().all(|code| matches!(code, Some(0 | 1))), "done, or told to wait: {codes:?}");
        hub.run(&["verify", to.to_str().unwrap()]).ok();
    }
}

#[test]
fn what_is_copied_and_how_far_it_went_is_said_in_both_languages() {
    let hub = Hub::start();
    let to = hub.beside("backup");
    let first = hub.run(&["backup", "--to", to.to_str().unwrap(), "--lang", "en"]).ok().out;
    assert!(first.contains("copied this time") && first.contains("0 →"), "{first}");
    assert!(first.contains("own disk"), "both lie on one disk here: {first}");
    let second = hub.run(&["backup", "--to", to.to_str().unwrap(), "--lang", "zh"]).ok().out;
    assert!(second.contains("本次复制") && second.contains("同一块盘"), "{second}");
    let third = hub.back_up("backup");
    assert!(third["copied_files"].as_u64().unwrap() <= 1 && third["files"].as_u64().unwrap() >= 7, "{third:#}");
    // No disk, not a backup's folder, inside the hub's own.
    let refused = hub.run(&["backup", "--to", hub.beside("stick/qianmo").to_str().unwrap()]).refused();
    assert!(refused.err.contains("mounted"), "{refused:#?}");
    let refused = hub.run(&["backup", "--to", hub.data().join("b").to_str().unwrap()]).refused();
    assert!(refused.err.contains("lost together"), "{refused:#?}");
    std::fs::remove_dir_all(&to).unwrap();
    let refused = hub.run(&["backup", "--to", to.to_str().unwrap()]).refused();
    assert!(refused.err.contains("is empty now"), "{refused:#?}");
}

/// A disk of this size at a folder, for one process and its children. `None` where the system does not allow it.
fn with_small_disk(at: &Path, kilobytes: u32, script: &str) -> Option<Command> {
    std::fs::create_dir_all(at).unwrap();
    let mount = format!("mount -t tmpfs -o size={kilobytes}k tmpfs {}", at.display());
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-ec"]).stdin(Stdio::null());
    let tried = unshare.arg(format!("{mount}; true")).output().ok()?;
    if !tried.status.success() {
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-ec"]).arg(format!("{mount}; {script}"));
    command.stdin(Stdio::null());
    Some(command)
}

#[test]
fn full_disk_of_the_backup_is_told_and_the_backup_before_restores() {
    let mut hub = Hub::start();
    let tablet = hub.tablet("P01");
    tablet.visit(&long(0));
    tablet.sync().ok();
    hub.kill();
    let (stick, out) = (hub.beside("stick"), hub.beside("out"));
    let program = env!("CARGO_BIN_EXE_hub-under-test");
    let (data, to) = (hub.data().display().to_string(), stick.join("b").display().to_string());
    // On the same small disk: a backup that fits, then more than fits, then what is left is looked at and taken out.
    let filler = stick.join("filler").display().to_string();
    let script = format!(
        "P='{program}'; D='{data}'; B='{to}'; export LANG=en_US.UTF-8
         $P backup --data $D --to $B
         while head -c 4096 /dev/zero >> {filler} 2>/dev/null; do :; done
         $P confirm --all --data $D
         if $P backup --data $D --to $B; then echo NO-ROOM-YET-DONE; exit 9; fi
         $P verify $B
         rm {filler}
         cp -r $B {out}
         $P backup --data $D --to $B
         $P verify $B",
        out = out.display()
    );
    let Some(mut command) = with_small_disk(&stick, 256, &script) else {
        return assert!(std::env::var_os("QIANMO_TEST_NEEDS_MOUNTS").is_none(), "this system allows no small disk");
    };
    let ran = command.output().unwrap();
    let (said, told) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said}\n{told}");
    assert!(told.contains("disk of the backup is full"), "{told}");
    assert!(DEADLINE > Duration::ZERO && told.contains("the backup before is as it was"), "{told}");
    // The backup that was there before the disk was full.
    hub.lose_and_restore("lost", "out");
    assert_eq!(hub.records(), 1);
}
