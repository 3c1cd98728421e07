//! What an app says when it opens the core.

use std::path::PathBuf;
use std::time::Duration;

use qianmo_forms::Lang;

/// How the core is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// The folder of everything this device keeps. One process at a time.
    pub data_dir: PathBuf,
    /// The folder of the district's own forms and changes to the shipped ones; `None`: the shipped forms as they are.
    pub forms_dir: Option<PathBuf>,
    /// What people call the device. Told to the hub when it enrols, never written into a log.
    pub label: String,
    /// The language of messages that are made here.
    pub lang: Lang,
    /// When to sync without being asked.
    pub schedule: Schedule,
    /// Months of records to hold before the present one, for those who do not hold all.
    pub months_back: u8,
    /// Months to hold after the present one.
    pub months_ahead: u8,
    /// How long things take.
    pub timings: Timings,
    /// Memory for the index, in bytes.
    pub index_cache_bytes: u64,
}

impl ClientConfig {
    /// The usual set-up in a folder.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            forms_dir: None,
            label: String::new(),
            lang: Lang::Zh,
            schedule: Schedule::Automatic,
            months_back: 11,
            months_ahead: 2,
            timings: Timings::default(),
            index_cache_bytes: 8 * 1024 * 1024,
        }
    }

    /// With another name of the device.
    #[must_use]
    pub fn label(mut self, label: &str) -> Self {
        label.clone_into(&mut self.label);
        self
    }

    /// With a district's folder of forms.
    #[must_use]
    pub fn forms_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.forms_dir = Some(folder.into());
        self
    }

    /// With another schedule.
    #[must_use]
    pub const fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }
}

/// When to sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// Only in [`crate::FieldClient::sync_now`].
    Manual,
    /// Also after each save, at intervals, and on an unmetered network all the time.
    Automatic,
}

/// How long things take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// Until a connection is given up.
    pub connect: Duration,
    /// Until an answer of the hub is given up.
    pub reply: Duration,
    /// From a save to the session that sends it: a person saves several times in a row.
    pub after_save: Duration,
    /// Between sessions.
    pub interval: Duration,
    /// Between sessions on a metered network.
    pub interval_metered: Duration,
    /// Shortest wait after a failure.
    pub backoff_min: Duration,
    /// Longest wait after failures.
    pub backoff_max: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            reply: Duration::from_secs(60),
            after_save: Duration::from_secs(3),
            interval: Duration::from_secs(10 * 60),
            interval_metered: Duration::from_secs(60 * 60),
            backoff_min: Duration::from_secs(2),
            backoff_max: Duration::from_secs(15 * 60),
        }
    }
}
