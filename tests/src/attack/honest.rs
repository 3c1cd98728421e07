//! An honest tablet beside the attackers: what it feels of them.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use qianmo_client_core::{ClientConfig, FieldClient, RecordDraft, Schedule};

use super::STEP;
use super::hub_process::HubProcess;

/// An enrolled tablet of the product.
pub struct Honest {
    client: FieldClient,
    person: String,
    written: usize,
}

impl Honest {
    /// Enrols one with its store in `folder`.
    ///
    /// # Errors
    /// When the hub does not take it.
    pub async fn enrol(hub: &mut HubProcess, folder: &Path, person: &str) -> anyhow::Result<Self> {
        let ticket = hub.ticket(person).await?;
        let mut config = ClientConfig::new(folder);
        config.schedule = Schedule::Manual;
        let client = FieldClient::open(config).await?;
        client.enroll(&ticket.to_string()).await?;
        Ok(Self { client, person: person.to_owned(), written: 0 })
    }

    /// Writes a visit and delivers it: how long the session took, handshake included.
    ///
    /// # Errors
    /// When it is not delivered.
    pub async fn deliver(&mut self) -> anyhow::Result<Duration> {
        self.written += 1;
        let visit = RecordDraft::new("visit")
            .with("activity_date", "2025-06-18")
            .with("service_mode", "onsite")
            .with("staff_id", self.person.as_str())
            .with("target_name", format!("样例农户{:03}", self.written))
            .with("town_code", "110117105")
            .with("content", "查看套袋情况");
        self.client.create(visit).await?;
        let began = Instant::now();
        let report = self.client.sync_now(STEP).await?;
        ensure!(report.complete && report.waiting == 0, "not delivered: {report:?}");
        Ok(began.elapsed())
    }

    /// Delivers so many visits one after the other: how many arrived, and the middle time.
    pub async fn deliver_many(&mut self, count: usize) -> (usize, Duration) {
        let mut times = Vec::new();
        for _ in 0..count {
            if let Ok(time) = self.deliver().await {
                times.push(time);
            }
        }
        times.sort_unstable();
        (times.len(), times.get(times.len() / 2).copied().unwrap_or_default())
    }

    /// Closes its store.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn close(self) -> anyhow::Result<()> {
        Ok(self.client.close().await?)
    }
}
