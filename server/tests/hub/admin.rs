//! Folders: init, open, backup, restore, verify.

use std::path::Path;

use qianmo_protocol::ids::Code;
use qianmo_protocol::time::UnixMillis;
use qianmo_server::admin::{
    Folder, FolderError, InitError, InitOrder, Manifest, OpenedHub, RestoreError, backup, init, open, restore, verify,
};
use qianmo_server::hub::{ClockCheck, HubLimits};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::world::NOW;

fn make(dir: &Path) {
    let admin = Code::new("ADMIN").unwrap();
    let order = InitOrder { dir: dir.to_owned(), organisation: "样例区推广站".to_owned(), admin, password: None };
    init(&order, UnixMillis(NOW), StdRng::seed_from_u64(1)).unwrap();
}

fn opened(dir: &Path) -> OpenedHub {
    let rng = StdRng::seed_from_u64(2);
    open(&Folder::new(dir), HubLimits::default(), ClockCheck::Strict, UnixMillis(NOW), rng).unwrap()
}

#[test]
fn founded_hub_opens_again_and_is_never_founded_twice() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("hub");
    make(&dir);
    let first = opened(&dir);
    assert_eq!(first.organisation, "样例区推广站");
    let control = first.core.replica().control().len();
    assert_eq!(control, 4, "the hub, its epoch, its device, its administrator");
    assert_eq!(first.core.devices().unwrap().len(), 1);
    first.core.close().unwrap();
    let again = opened(&dir);
    assert_eq!(again.core.replica().control().len(), control);
    again.core.close().unwrap();
    let order = InitOrder { dir, organisation: "别家".to_owned(), admin: Code::new("X").unwrap(), password: None };
    let refused = init(&order, UnixMillis(NOW), StdRng::seed_from_u64(3));
    assert!(matches!(refused, Err(InitError::Folder(FolderError::NotEmpty { .. }))));
}

#[cfg(unix)]
#[test]
fn keys_and_folders_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("hub");
    make(&dir);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("keys")), 0o700);
    let mut keys = 0;
    for entry in std::fs::read_dir(dir.join("keys")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        keys += 1;
    }
    assert_eq!(keys, 5);
}

#[test]
fn folder_without_a_hub_says_so() {
    let empty = tempfile::tempdir().unwrap();
    let rng = StdRng::seed_from_u64(2);
    let refused =
        open(&Folder::new(empty.path()), HubLimits::default(), ClockCheck::Strict, UnixMillis(NOW), rng).unwrap_err();
    let chain = format!("{refused}: {}", std::error::Error::source(&refused).unwrap());
    assert!(chain.contains("there is no hub in"), "{chain}");
}

#[test]
fn backup_is_incremental_verifies_and_restores_into_a_new_epoch() {
    let parent = tempfile::tempdir().unwrap();
    let (dir, to, restored) = (parent.path().join("hub"), parent.path().join("backup"), parent.path().join("restored"));
    make(&dir);
    let folder = Folder::new(&dir);
    let mut hub = opened(&dir);
    let now = UnixMillis(NOW + 1_000);
    let first = backup(&mut hub.core, &folder, &to, None, now).unwrap();
    assert_eq!(first.files, first.copied_files);
    assert_eq!(hub.core.watermark(), first.commit);
    assert!(verify(&to).unwrap().is_sound());

    // Nothing but the watermark and its beacon came since; keys are small and copied each time.
    let device = hub.core.replica().device();
    hub.core.confirm(now, &device).unwrap();
    let second = backup(&mut hub.core, &folder, &to, None, UnixMillis(NOW + 2_000)).unwrap();
    assert!(second.commit > first.commit);
    let third = backup(&mut hub.core, &folder, &to, None, UnixMillis(NOW + 3_000)).unwrap();
    assert!(third.commit >= second.commit);
    let report = verify(&dir).unwrap();
    assert!(report.is_sound(), "{report:?}");
    let old = hub.core.epoch();
    hub.core.close().unwrap();

    let target = Folder::new(&restored);
    let done = restore(&to, &target, ClockCheck::Strict, UnixMillis(NOW + 4_000), StdRng::seed_from_u64(9)).unwrap();
    assert_ne!(done.epoch, old);
    assert_eq!(done.commit, third.commit);
    let again = opened(&restored);
    assert_eq!(again.core.epoch(), done.epoch);
    assert_eq!(again.core.watermark(), third.commit);
    assert!(verify(&restored).unwrap().is_sound());
    let refused = restore(&to, &target, ClockCheck::Strict, UnixMillis(NOW), StdRng::seed_from_u64(9));
    assert!(matches!(refused, Err(RestoreError::Folder(FolderError::NotEmpty { .. }))));
}

#[test]
fn damaged_backup_is_found_and_never_restored() {
    let parent = tempfile::tempdir().unwrap();
    let (dir, to) = (parent.path().join("hub"), parent.path().join("backup"));
    make(&dir);
    let mut hub = opened(&dir);
    backup(&mut hub.core, &Folder::new(&dir), &to, None, UnixMillis(NOW + 1_000)).unwrap();
    let manifest = Manifest::read(&to).unwrap();
    let segment = manifest.files.iter().find(|file| file.name.starts_with("log/")).unwrap();
    let path = to.join(&segment.name);
    let sound = std::fs::read(&path).unwrap();
    for at in [200, sound.len() / 2, sound.len() - 1] {
        let mut spoilt = sound.clone();
        spoilt[at] ^= 1;
        std::fs::write(&path, &spoilt).unwrap();
        let report = verify(&to).unwrap();
        assert!(!report.is_sound(), "a bit at {at} is flipped");
        let restored = parent.path().join(format!("restored-{at}"));
        let refused =
            restore(&to, &Folder::new(&restored), ClockCheck::Strict, UnixMillis(NOW), StdRng::seed_from_u64(9));
        assert!(matches!(refused, Err(RestoreError::Damaged { .. })), "a bit at {at} is flipped");
    }
    std::fs::write(&path, &sound).unwrap();
    assert!(verify(&to).unwrap().is_sound());
}

#[test]
fn backup_never_mixes_with_what_is_not_its_own() {
    let parent = tempfile::tempdir().unwrap();
    let (dir, to) = (parent.path().join("hub"), parent.path().join("backup"));
    make(&dir);
    let mut hub = opened(&dir);
    std::fs::create_dir_all(&to).unwrap();
    std::fs::write(to.join("holiday.jpg"), b"x").unwrap();
    let refused = backup(&mut hub.core, &Folder::new(&dir), &to, None, UnixMillis(NOW)).unwrap_err();
    assert!(refused.to_string().contains("holiday.jpg"), "{refused}");
    assert_eq!(hub.core.watermark(), 0);
}
