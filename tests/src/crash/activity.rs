//! What was under way when a process was killed, as far as its last line and its files tell.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::promises::{Deed, Line};

/// What a process was killed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Activity {
    /// A tablet's store was opened and made good.
    Open,
    /// A record was written.
    Save,
    /// A draft was kept, discarded or filed.
    Draft,
    /// Records of a ledger were filed.
    Import,
    /// The tablet's side of a sync.
    Sync,
    /// The hub's side of a sync.
    HubSync,
    /// A month was let go of.
    Eviction,
    /// A tablet's log was rewritten because most of it was superseded.
    Compaction,
    /// A tablet's log was rewritten because the hub erased something.
    TabletErasure,
    /// A device was enrolled.
    Enrolment,
    /// The tablet's program did what a person typed.
    CommandLine,
    /// The hub opened.
    HubOpen,
    /// The hub served and had nothing to do.
    HubIdle,
    /// An erasure was asked for and nothing of it was decided.
    ErasureAsked,
    /// An erasure was decided, and its bytes were not all gone.
    Erasure,
    /// A backup was written.
    Backup,
    /// Index and read model were built anew.
    Rebuild,
    /// Between two deeds.
    Between,
    /// The kill came too late: the process had ended by itself.
    HadEnded,
}

impl Activity {
    /// What a long run must hit.
    pub const ASKED_FOR: [Self; 15] = [
        Self::Open,
        Self::Save,
        Self::Draft,
        Self::Import,
        Self::Sync,
        Self::HubSync,
        Self::Eviction,
        Self::Compaction,
        Self::Enrolment,
        Self::CommandLine,
        Self::HubOpen,
        Self::HubIdle,
        Self::Erasure,
        Self::Backup,
        Self::Rebuild,
    ];

    /// What a store was in after it said this line as its last.
    #[must_use]
    pub fn of_store(line: &str) -> Self {
        match Line::parse(line) {
            None => Self::Open,
            Some((_, Line::Try(deed))) => match deed {
                Deed::New(_) | Deed::Edit(..) => Self::Save,
                Deed::Draft(..) | Deed::Discard(_) | Deed::File(..) => Self::Draft,
                Deed::Import(..) => Self::Import,
                Deed::Evict => Self::Eviction,
                Deed::Enrol => Self::Enrolment,
                Deed::Purge(_) => Self::Erasure,
            },
            Some((_, Line::Note(note))) if note == "opening" => Self::Open,
            Some((_, Line::Note(note))) if note == "syncing" => Self::Sync,
            Some((_, Line::Note(note))) if note == "closed" => Self::HadEnded,
            Some((_, Line::Did(_) | Line::Acknowledged(..) | Line::Note(_))) => Self::Between,
        }
    }

    /// Its name in a figure.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Save => "save",
            Self::Draft => "draft",
            Self::Import => "import",
            Self::Sync => "sync",
            Self::HubSync => "hub_sync",
            Self::Eviction => "eviction",
            Self::Compaction => "compaction",
            Self::TabletErasure => "tablet_erasure",
            Self::Enrolment => "enrolment",
            Self::CommandLine => "command_line",
            Self::HubOpen => "hub_open",
            Self::HubIdle => "hub_idle",
            Self::ErasureAsked => "erasure_asked_for",
            Self::Erasure => "erasure",
            Self::Backup => "backup",
            Self::Rebuild => "rebuild",
            Self::Between => "between_deeds",
            Self::HadEnded => "had_ended",
        }
    }
}

/// The folder of a pack log, seen from outside.
#[derive(Debug)]
pub struct LogFolder(PathBuf);

impl LogFolder {
    /// That of a tablet's folder.
    #[must_use]
    pub fn of_tablet(data: &Path) -> Self {
        Self(data.join("log"))
    }

    /// That of a hub's folder.
    #[must_use]
    pub fn of_hub(data: &Path) -> Self {
        Self(data.join("log"))
    }

    /// Its files and their lengths. One that vanishes meanwhile is none.
    #[must_use]
    pub fn listing(&self) -> BTreeMap<String, u64> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().filter_map(Result::ok);
        let sized = |entry: std::fs::DirEntry| {
            Some((entry.file_name().to_string_lossy().into_owned(), entry.metadata().ok()?.len()))
        };
        entries.filter_map(sized).collect()
    }

    /// Whether a rewrite was cut short: a generation being written, or two generations of one segment.
    #[must_use]
    pub fn is_rewritten(&self) -> bool {
        let mut segments: BTreeMap<String, usize> = BTreeMap::new();
        for name in self.listing().into_keys() {
            if name.ends_with(".tmp") {
                return true;
            }
            if let Some((segment, _)) = name.strip_suffix(".seg").and_then(|name| name.split_once('-')) {
                *segments.entry(segment.to_owned()).or_default() += 1;
            }
        }
        segments.values().any(|generations| *generations > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_line_of_a_store_tells_what_it_was_killed_in() {
        let told = |line| Activity::of_store(line);
        assert_eq!(told("t1 opening\n"), Activity::Open);
        assert_eq!(told("t1 try import t1m4 3\n"), Activity::Import);
        assert_eq!(told("t1 did import t1m4 3\n"), Activity::Between);
        assert_eq!(told("t1 syncing\n"), Activity::Sync);
        assert_eq!(told("t1 syncing failed: no\n"), Activity::Between);
    }

    #[test]
    fn log_is_told_to_be_rewritten_while_two_generations_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFolder::of_hub(folder.path());
        std::fs::create_dir(folder.path().join("log")).unwrap();
        let put = |name: &str| std::fs::write(folder.path().join("log").join(name), b"x").unwrap();
        put("00000001-0000.seg");
        put("00000002-0000.seg");
        assert!(!log.is_rewritten());
        put("00000001-0001.seg");
        assert!(log.is_rewritten());
    }
}
