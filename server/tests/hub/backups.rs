//! Backups that are cut short, find no room, lose their disk or meet another one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use qianmo_protocol::control::Role as GrantRole;
use qianmo_protocol::time::UnixMillis;
use qianmo_replica::replica::ErasureReach;
use qianmo_server::admin::{
    BackupError, BackupPlan, Folder, Manifest, OpenedHub, PurgeOrder, Unsaved, backup, backup_files, open, purge,
    restore, verify,
};
use qianmo_server::hub::{ClockCheck, HubLimits};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::world::{NOW, World};

const MARKER: &str = "某农户ZQ7734";

struct Place {
    root: tempfile::TempDir,
    clock: i64,
}

impl Place {
    /// A hub with records, in a folder.
    fn new(records: usize) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut world = World::of_folder(&root.path().join("hub"), 41);
        let mut tablet = world.enrol("P01", GrantRole::Technician);
        for number in 0..records {
            world.file(&mut tablet, &format!("第{number}条 {MARKER}"));
        }
        world.meet(&mut tablet);
        world.save(&root.path().join("hub"));
        Self { root, clock: world.clock }
    }

    fn folder(&self) -> Folder {
        Folder::new(self.root.path().join("hub"))
    }

    fn to(&self) -> PathBuf {
        self.root.path().join("backup")
    }

    fn now(&mut self) -> UnixMillis {
        self.clock += 1_000;
        UnixMillis(self.clock)
    }

    fn open(&mut self) -> OpenedHub {
        let now = self.now();
        open(&self.folder(), HubLimits::default(), ClockCheck::Strict, now, StdRng::seed_from_u64(2)).unwrap()
    }

    fn restored(&mut self, name: &str) -> Folder {
        let to = Folder::new(self.root.path().join(name));
        let now = self.now();
        restore(&self.to(), &to, ClockCheck::Strict, now, StdRng::seed_from_u64(9)).unwrap();
        to
    }
}

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned()).collect()
}

#[test]
fn second_backup_copies_only_what_is_new_and_says_how_far_it_went() {
    let mut place = Place::new(40);
    let mut hub = place.open();
    let (folder, to) = (place.folder(), place.to());
    let now = place.now();
    let first = backup(&mut hub.core, &folder, &to, None, now).unwrap();
    assert_eq!((first.copied_files, first.watermark_before), (first.files, 0));
    // The log goes on in a new segment: the old ones stay.
    hub.core.keep_house().unwrap();
    let device = hub.core.replica().device();
    let now = place.now();
    hub.core.confirm(now, &device).unwrap();
    let now = place.now();
    let second = backup(&mut hub.core, &folder, &to, None, now).unwrap();
    assert_eq!(second.watermark_before, first.commit);
    assert!(second.commit > first.commit);
    assert_eq!(second.copied_files, 1, "the segment that grew, no key: {second:?}");
    assert_eq!(hub.core.watermark(), second.commit);
    assert!(verify(&to).unwrap().is_sound());
}

#[test]
fn backup_cut_short_at_any_moment_leaves_the_one_before_restorable() {
    let mut place = Place::new(10);
    let config = place.root.path().join("qianmo.toml");
    std::fs::write(&config, "first = 1\n").unwrap();
    let mut hub = place.open();
    let (folder, to) = (place.folder(), place.to());
    let now = place.now();
    let first = backup(&mut hub.core, &folder, &to, Some(&config), now).unwrap();
    let kept = contents(&to);
    // Everything changes: the configuration, the log.
    std::fs::write(&config, "second = 2, and longer\n").unwrap();
    let device = hub.core.replica().device();
    let now = place.now();
    hub.core.confirm(now, &device).unwrap();
    let now = place.now();
    let plan = BackupPlan::of(&hub.core, folder, to.clone(), now).unwrap();
    backup_files(&plan, Some(&config)).unwrap();
    // As if it had been killed when all was copied: the list is written after that, and what is stale goes after the list.
    for (name, bytes) in &kept {
        if name == "manifest.json" || !to.join(name).exists() {
            std::fs::write(to.join(name), bytes).unwrap();
        }
    }
    std::fs::write(to.join("log/00000009-0000.part"), b"half a segm").unwrap();
    let report = verify(&to).unwrap();
    assert!(report.is_sound() && report.notes.len() >= 2, "{report:?}");
    assert_eq!(report.commit, first.commit);
    let restored = place.restored("restored");
    assert_eq!(std::fs::read_to_string(restored.root().join("qianmo.toml")).unwrap(), "first = 1\n");
    // The watermark never moved, and the next run ends what this one began.
    assert_eq!(hub.core.watermark(), first.commit);
    let now = place.now();
    backup(&mut hub.core, &place.folder(), &to, Some(&config), now).unwrap();
    assert!(!names(&to.join("log")).iter().any(|name| name.ends_with(".part")));
    let report = verify(&to).unwrap();
    assert!(report.is_sound() && report.notes.is_empty(), "{report:?}");
}

/// Every file of a backup, by name.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for sub in ["", "log/", "small/"] {
        for name in names(&dir.join(sub)) {
            let path = dir.join(sub).join(&name);
            if path.is_file() {
                files.insert(format!("{sub}{name}"), std::fs::read(path).unwrap());
            }
        }
    }
    files
}

#[test]
fn erased_bytes_leave_the_backup_at_the_next_run() {
    let mut place = Place::new(3);
    let mut hub = place.open();
    let (folder, to) = (place.folder(), place.to());
    let now = place.now();
    backup(&mut hub.core, &folder, &to, None, now).unwrap();
    let before = names(&to.join("log"));
    let page = hub.core.replica().records(&Default::default(), None, 10).unwrap();
    for row in page.rows {
        let order = PurgeOrder { doc: row.id, reach: ErasureReach::Record, reason: 2, unsaved: Unsaved::Refuse };
        let now = place.now();
        purge(&mut hub.core, now, &order).unwrap();
    }
    hub.core.keep_house().unwrap();
    let now = place.now();
    let second = backup(&mut hub.core, &folder, &to, None, now).unwrap();
    assert!(second.left_over.is_empty());
    assert!(names(&to.join("log")).is_disjoint(&before), "every segment of before is gone");
    let report = verify(&to).unwrap();
    assert!(report.is_sound() && report.erased_entries > 0, "{report:?}");
    hub.core.close().unwrap();
    let restored = place.restored("restored");
    assert!(verify(restored.root()).unwrap().is_sound());
}

#[test]
fn forms_and_keys_and_configuration_come_back_and_what_lies_there_is_kept() {
    let mut place = Place::new(1);
    let forms = place.folder().root().join("forms");
    std::fs::create_dir_all(forms.join("lists")).unwrap();
    let list = "id = \"果品\"\n";
    std::fs::write(forms.join("lists/果品.toml"), list).unwrap();
    std::fs::write(forms.join("笔记.txt"), "not a form").unwrap();
    let config = place.root.path().join("elsewhere.toml");
    std::fs::write(&config, "x = 1\n").unwrap();
    let mut hub = place.open();
    let now = place.now();
    backup(&mut hub.core, &place.folder(), &place.to(), Some(&config), now).unwrap();
    hub.core.close().unwrap();
    let restored = place.restored("restored");
    let root = restored.root();
    assert_eq!(std::fs::read_to_string(root.join("forms/lists/果品.toml")).unwrap(), list);
    assert!(!root.join("forms/笔记.txt").exists());
    assert_eq!(std::fs::read_to_string(root.join("qianmo.toml")).unwrap(), "x = 1\n");
    for name in ["authority.key", "hub.key", "device.key", "bundle.key", "server-tls.key"] {
        let original = std::fs::read(place.folder().root().join("keys").join(name)).unwrap();
        assert_eq!(std::fs::read(root.join("keys").join(name)).unwrap(), original, "{name}");
    }
    // A configuration that was put there for the new machine stays.
    let fresh = Folder::new(place.root.path().join("fresh"));
    std::fs::create_dir(fresh.root()).unwrap();
    std::fs::write(fresh.root().join("qianmo.toml"), "new = true\n").unwrap();
    let now = place.now();
    let report = restore(&place.to(), &fresh, ClockCheck::Strict, now, StdRng::seed_from_u64(9)).unwrap();
    assert_eq!(report.config, None);
    assert_eq!(std::fs::read_to_string(fresh.root().join("qianmo.toml")).unwrap(), "new = true\n");
}

#[test]
fn copy_that_changed_in_the_backup_is_made_anew_before_the_watermark_moves() {
    let mut place = Place::new(5);
    let mut hub = place.open();
    let (folder, to) = (place.folder(), place.to());
    let now = place.now();
    let report = backup(&mut hub.core, &folder, &to, None, now).unwrap();
    assert_eq!(report.mended_files, 0);
    // The log is not written to any more, as after a rewrite; what was copied goes bad on the backup's disk.
    let plan = BackupPlan::of(&hub.core, folder, to.clone(), UnixMillis(NOW)).unwrap();
    backup_files(&plan, None).unwrap();
    let manifest = Manifest::read(&to).unwrap();
    for file in manifest.files.iter().filter(|file| !file.name.ends_with("server-tls.key")) {
        let path = to.join(file.stored());
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let report = backup_files(&plan, None).unwrap();
        assert_eq!(report.mended_files, 1, "{}", file.name);
        assert!(verify(&to).unwrap().is_sound(), "{}", file.name);
    }
}

#[test]
fn damaged_log_of_the_hub_is_never_taken_for_a_backup() {
    let mut place = Place::new(20);
    let mut hub = place.open();
    let (folder, to) = (place.folder(), place.to());
    let now = place.now();
    let first = backup(&mut hub.core, &folder, &to, None, now).unwrap();
    let device = hub.core.replica().device();
    let now = place.now();
    hub.core.confirm(now, &device).unwrap();
    let segment = names(&folder.root().join("log")).into_iter().find(|name| name.ends_with(".seg")).unwrap();
    let path = folder.root().join("log").join(&segment);
    let sound = std::fs::read(&path).unwrap();
    for at in [20, 300, sound.len() / 2] {
        let mut spoilt = sound.clone();
        spoilt[at] ^= 4;
        std::fs::write(&path, spoilt).unwrap();
        let now = place.now();
        let refused = backup(&mut hub.core, &folder, &to, None, now);
        assert!(matches!(refused, Err(BackupError::SourceDamaged { .. })), "{at}: {refused:?}");
        assert_eq!(hub.core.watermark(), first.commit);
        assert!(verify(&to).unwrap().is_sound(), "the backup before is as it was");
    }
    std::fs::write(&path, sound).unwrap();
    let now = place.now();
    backup(&mut hub.core, &folder, &to, None, now).unwrap();
}

#[test]
fn two_backups_at_once_into_one_folder_are_refused() {
    let mut place = Place::new(1);
    let mut hub = place.open();
    let (folder, to) = (place.folder(), place.to());
    let now = place.now();
    backup(&mut hub.core, &folder, &to, None, now).unwrap();
    let held = std::fs::File::open(to.join("LOCK")).unwrap();
    held.try_lock().unwrap();
    let now = place.now();
    let refused = backup(&mut hub.core, &folder, &to, None, now);
    assert!(matches!(refused, Err(BackupError::Busy { .. })), "{refused:?}");
    held.unlock().unwrap();
    let now = place.now();
    backup(&mut hub.core, &folder, &to, None, now).unwrap();
}

#[test]
fn disk_that_is_not_mounted_is_not_taken_for_an_empty_one() {
    let mut place = Place::new(1);
    let mut hub = place.open();
    let folder = place.folder();
    let stick = place.root.path().join("stick");
    let to = stick.join("qianmo");
    let now = place.now();
    let refused = backup(&mut hub.core, &folder, &to, None, now);
    assert!(matches!(refused, Err(BackupError::NoParent { .. })), "{refused:?}");
    assert!(!stick.exists());
    std::fs::create_dir(&stick).unwrap();
    let now = place.now();
    backup(&mut hub.core, &folder, &to, None, now).unwrap();
    let watermark = hub.core.watermark();
    // Unmounted: the place is there and empty.
    std::fs::rename(&stick, place.root.path().join("drawer")).unwrap();
    std::fs::create_dir(&stick).unwrap();
    let now = place.now();
    let refused = backup(&mut hub.core, &folder, &to, None, now);
    assert!(matches!(refused, Err(BackupError::Vanished { .. })), "{refused:?}");
    assert!(names(&stick).is_empty());
    assert_eq!(hub.core.watermark(), watermark);
    std::fs::remove_dir(&stick).unwrap();
    std::fs::rename(place.root.path().join("drawer"), &stick).unwrap();
    let now = place.now();
    backup(&mut hub.core, &folder, &to, None, now).unwrap();
    // Inside one another: never.
    let inside = folder.root().join("backup");
    let now = place.now();
    let refused = backup(&mut hub.core, &folder, &inside, None, now);
    assert!(matches!(refused, Err(BackupError::Inside { .. })), "{refused:?}");
}
