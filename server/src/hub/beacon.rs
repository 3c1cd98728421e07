//! Control time: when the hub says its clock and its watermark (A7).

use std::path::Path;

use qianmo_protocol::beacon::{Beacon, SignedBeacon};
use qianmo_protocol::bugs::{Bug, injected};
use qianmo_protocol::ids::digest32;
use qianmo_protocol::time::UnixMillis;

use super::{HubCore, HubError};

/// A beacon is signed again after this time.
const BEACON_EVERY_MS: i64 = 60_000;
/// A hub that nobody visits says the time this often, so that its next start can judge its clock.
const IDLE_BEACON_EVERY_MS: i64 = 24 * 3_600_000;
/// The meta key of the backup watermark.
pub(crate) const WATERMARK_KEY: &[u8] = b"hub watermark";
/// The meta key of what a backup folder was seen to contain; its path follows.
const BACKUP_KEY: &[u8] = b"hub backup ";

impl HubCore {
    /// The last commit that is in a backup.
    #[must_use]
    pub const fn watermark(&self) -> u64 {
        self.watermark
    }

    /// A backup contains everything up to this commit: says so durably, and in a new beacon.
    ///
    /// # Errors
    /// [`HubError`].
    pub fn set_watermark(&mut self, now: UnixMillis, commit: u64) -> Result<(), HubError> {
        if commit <= self.watermark {
            return Ok(());
        }
        self.replica.put_meta(WATERMARK_KEY, &commit.to_be_bytes())?;
        self.watermark = commit;
        self.sign_beacon(now)?;
        self.replica.sync()?;
        self.sessions.values_mut().for_each(|session| session.has_control_news = true);
        Ok(())
    }

    /// A backup in a folder contains everything up to this commit: moves the watermark, and remembers the folder.
    ///
    /// # Errors
    /// [`HubError`].
    pub fn note_backup(&mut self, now: UnixMillis, to: &Path, commit: u64) -> Result<(), HubError> {
        let value = [self.epoch.0.as_slice(), &commit.to_be_bytes()].concat();
        self.replica.put_meta(&backup_key(to), &value)?;
        self.set_watermark(now, commit)?;
        self.replica.sync()?;
        Ok(())
    }

    /// What a folder contained when it was last backed up into in this epoch.
    ///
    /// # Errors
    /// [`HubError::Store`].
    pub fn noted_backup(&self, to: &Path) -> Result<Option<u64>, HubError> {
        let Some(value) = self.replica.meta(&backup_key(to))? else { return Ok(None) };
        let commit = value.strip_prefix(self.epoch.0.as_slice()).and_then(|commit| commit.try_into().ok());
        Ok(commit.map(u64::from_be_bytes))
    }

    /// Says the time once a day, also when no tablet comes. Call it now and then.
    ///
    /// # Errors
    /// [`HubError`].
    pub fn keep_time(&mut self, now: UnixMillis) -> Result<(), HubError> {
        let known = self.replica.newest_beacon();
        let is_due = known.is_none_or(|beacon| now.0.saturating_sub(beacon.time.0).abs() >= IDLE_BEACON_EVERY_MS);
        if is_due { self.sign_beacon(now) } else { Ok(()) }
    }

    /// Signs a beacon when the last one is old, or speaks of another watermark. Seen only after the next sync.
    pub(super) fn beacon_if_due(&mut self, now: UnixMillis) -> Result<(), HubError> {
        let known = self.replica.newest_beacon().filter(|beacon| beacon.epoch == self.epoch && beacon.hub == self.hub);
        let is_due = known.is_none_or(|beacon| {
            beacon.watermark != self.watermark || now.0.saturating_sub(beacon.time.0).abs() >= BEACON_EVERY_MS
        });
        if is_due { self.sign_beacon(now) } else { Ok(()) }
    }

    /// The number follows from the beacon that is stored, and a beacon is shown only once it is stored: none is used twice.
    pub(super) fn sign_beacon(&mut self, now: UnixMillis) -> Result<(), HubError> {
        let known = self.replica.newest_beacon().filter(|beacon| beacon.epoch == self.epoch);
        let durable = self.replica.durable_commit().0;
        let beacon = Beacon {
            hub: self.hub,
            epoch: self.epoch,
            sequence: known.map_or(1, |beacon| beacon.sequence.saturating_add(1)),
            time: now,
            commit: durable,
            watermark: if injected(Bug::WatermarkAhead) { durable } else { self.watermark },
        };
        let signed = SignedBeacon::sign(&self.org, &self.signing, beacon)?;
        self.replica.take_beacon(&signed)?;
        self.counters.beacons += 1;
        // A second beacon before the sync would take the same number.
        self.replica.sync()?;
        Ok(())
    }
}

/// Paths may be long, keys may not.
fn backup_key(to: &Path) -> Vec<u8> {
    let digest = digest32("qianmo backup folder v1", &[to.as_os_str().as_encoded_bytes()]);
    [BACKUP_KEY, digest.as_slice()].concat()
}
