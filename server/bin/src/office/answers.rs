//! What the office answers: plain values that cross the control socket and are printed or given out as JSON.

use std::path::{Path, PathBuf};

use qianmo_server::admin::{BackupReport, VerifyReport};
use serde::{Deserialize, Serialize};

use crate::screen;

/// A ticket, as it is handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TicketAnswer {
    /// Its text.
    pub(crate) ticket: String,
    /// Until when it is good, in milliseconds since 1970.
    pub(crate) expires_ms: i64,
    /// What it tells the tablet to dial.
    pub(crate) addresses: Vec<String>,
}

/// A device in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeviceAnswer {
    /// Its id.
    pub(crate) device: String,
    /// What people call it.
    pub(crate) label: Option<String>,
    /// Where it belongs.
    pub(crate) station: Option<String>,
    /// Who works on it.
    pub(crate) persons: Vec<String>,
    /// `active`, `revoked`, `not-confirmed` or `refused`.
    pub(crate) standing: String,
    /// Whether its store was copied: two of them wrote in its name.
    pub(crate) copied: bool,
    /// Whether it has a session now.
    pub(crate) connected: bool,
    /// Whether it is the hub's own.
    pub(crate) hub: bool,
    /// When it was last here, in milliseconds since 1970.
    pub(crate) last_contact_ms: Option<i64>,
}

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BackupAnswer {
    /// Where it is.
    pub(crate) to: PathBuf,
    /// It contains everything up to this commit.
    pub(crate) commit: u64,
    /// Its files.
    pub(crate) files: usize,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Files that were copied this time; the rest was there.
    pub(crate) copied_files: usize,
    /// Their bytes.
    pub(crate) copied_bytes: u64,
    /// Copies that had changed since they were made, and were made anew.
    pub(crate) mended_files: usize,
    /// Everything up to this commit was in a backup before.
    pub(crate) watermark_before: u64,
    /// Files of former backups that could not be removed.
    pub(crate) left_over: Vec<String>,
    /// The backup would be lost with the hub's disk.
    pub(crate) on_same_disk: bool,
}

impl BackupAnswer {
    /// What a report says of this folder.
    pub(crate) fn of(to: &Path, report: &BackupReport) -> Self {
        let BackupReport { commit, watermark_before, files, bytes, copied_files, copied_bytes, .. } = *report;
        Self {
            to: to.to_owned(),
            commit,
            files,
            bytes,
            copied_files,
            copied_bytes,
            mended_files: report.mended_files,
            watermark_before,
            left_over: report.left_over.clone(),
            on_same_disk: report.is_on_same_disk,
        }
    }
}

/// An export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExportAnswer {
    /// The file.
    pub(crate) to: PathBuf,
    /// Its records.
    pub(crate) records: u64,
}

/// State and counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StatsAnswer {
    /// The organisation's id.
    pub(crate) org: String,
    /// The hub's id.
    pub(crate) hub: String,
    /// Its epoch.
    pub(crate) epoch: String,
    /// Records of something done.
    pub(crate) records: usize,
    /// Entries of directories: stations, people, service targets and so on.
    pub(crate) directory_entries: usize,
    /// Fields that need a person's decision.
    pub(crate) conflicts: usize,
    /// Logbooks that hold something.
    pub(crate) logbooks: usize,
    /// Devices, the hub's own left out, and those of them that may do everything.
    pub(crate) devices: usize,
    /// Those of them that may do everything their persons may.
    pub(crate) devices_active: usize,
    /// Open sessions.
    pub(crate) sessions: usize,
    /// The last durable commit.
    pub(crate) commit: u64,
    /// The last commit that is in a backup.
    pub(crate) backed_up: u64,
    /// Bytes of the pack log.
    pub(crate) log_bytes: u64,
    /// Its segments.
    pub(crate) segments: usize,
    /// Free bytes on the disk, where known.
    pub(crate) free_bytes: Option<u64>,
    /// Whether the store takes no more writes.
    pub(crate) read_only: bool,
    /// Packs judged since the hub was opened.
    pub(crate) packs_judged: u64,
    /// Quarantine entries published since the hub was opened.
    pub(crate) quarantines: u64,
    /// Sessions that broke the protocol since the hub was opened.
    pub(crate) misbehaved: u64,
}

impl StatsAnswer {
    /// What a person reads: label in Chinese and English, value.
    pub(crate) fn lines(&self) -> Vec<(&'static str, &'static str, String)> {
        let free = self.free_bytes.map_or_else(|| "?".to_owned(), screen::bytes);
        let commits = format!("{} / {}", self.backed_up, self.commit);
        vec![
            ("单位", "organisation", self.org.clone()),
            ("管理端", "hub", self.hub.clone()),
            ("世代", "epoch", self.epoch.clone()),
            ("记录", "records", self.records.to_string()),
            ("名录条目", "directory entries", self.directory_entries.to_string()),
            ("冲突的字段", "fields in conflict", self.conflicts.to_string()),
            ("日志本", "logbooks", self.logbooks.to_string()),
            ("设备(可用/全部)", "devices (active/all)", format!("{}/{}", self.devices_active, self.devices)),
            ("在线会话", "sessions", self.sessions.to_string()),
            ("已备份/已落盘", "backed up/durable commit", commits),
            ("存储", "store", format!("{} · {}", screen::bytes(self.log_bytes), self.segments)),
            ("磁盘剩余", "free on disk", free),
            ("启动后判断的批次", "packs judged since start", self.packs_judged.to_string()),
            ("启动后的隔离", "quarantines since start", self.quarantines.to_string()),
            ("违规的会话", "sessions that broke the protocol", self.misbehaved.to_string()),
        ]
    }
}

/// What `verify` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VerifyAnswer {
    /// Whether everything holds.
    pub(crate) sound: bool,
    /// The last commit.
    pub(crate) commit: u64,
    /// Frames that were read.
    pub(crate) frames: u64,
    /// Segments that were read.
    pub(crate) segments: usize,
    /// Packs whose signature, contents and place were checked.
    pub(crate) packs: u64,
    /// Entries of them whose bytes were erased by a decision.
    pub(crate) erased_entries: u64,
    /// Signed receipts that were checked.
    pub(crate) receipts: u64,
    /// The commit up to which tablets were told that a backup has everything.
    pub(crate) watermark: u64,
    /// Control entries that count.
    pub(crate) control_entries: usize,
    /// Logbooks whose state was computed anew.
    pub(crate) logbooks: usize,
    /// Whether the running hub's own states were compared.
    pub(crate) states_compared: bool,
    /// Everything that does not hold.
    pub(crate) faults: Vec<String>,
    /// What holds, and may still be of interest.
    pub(crate) notes: Vec<String>,
}

impl From<VerifyReport> for VerifyAnswer {
    fn from(report: VerifyReport) -> Self {
        Self {
            sound: report.is_sound(),
            commit: report.commit,
            frames: report.frames,
            segments: report.segments,
            packs: report.packs,
            erased_entries: report.erased_entries,
            receipts: report.receipts,
            watermark: report.watermark,
            control_entries: report.control_entries,
            logbooks: report.logbooks,
            states_compared: report.states_compared,
            faults: report.faults,
            notes: report.notes,
        }
    }
}
