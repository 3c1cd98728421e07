//! A tablet of the demo: a real client with a folder of its own, talking QUIC to the hub over loopback.
//!
//! It counts what its sessions cost, and reads its own replica back record by record for the checks at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use qianmo_client_core::{
    ClientConfig, Connectivity, Delivery, FieldClient, FieldEdit, FieldValue, RecordDraft, RecordFilter, RecordId,
    RecordRow, Schedule,
};
use qianmo_forms::{FormKind, Lang};
use qianmo_tablet::{Pages, PagesOf};

use crate::demo::report::{Deliveries, ReplicaState, Traffic};
use crate::sample::{Imported, Sample};

/// How long one sync may take: on loopback far more than it needs.
const SYNC_WITHIN: Duration = Duration::from_secs(60);
/// Months held before the present one: the sample is of 2025.
const MONTHS_BACK: u8 = 240;
const FORM: &str = "visit";

/// One tablet.
#[derive(Debug)]
pub(crate) struct Tablet {
    name: String,
    folder: PathBuf,
    /// The station it holds the logbooks of; all if none.
    station: Option<String>,
    client: FieldClient,
    traffic: Traffic,
    own: BTreeSet<RecordId>,
    unsent: BTreeSet<RecordId>,
}

impl Tablet {
    /// Opens a tablet in a folder of its own and enrols it with a ticket. It is offline afterwards.
    pub(crate) async fn enroll(name: &str, station: Option<&str>, folder: &Path, ticket: &str) -> anyhow::Result<Self> {
        let client = open(name, folder, Schedule::Manual).await?;
        client.enroll(ticket).await.with_context(|| format!("{name} could not enrol"))?;
        client.set_connectivity(Connectivity::Offline);
        Ok(Self {
            name: name.to_owned(),
            folder: folder.to_owned(),
            station: station.map(ToOwned::to_owned),
            client,
            traffic: Traffic::default(),
            own: BTreeSet::new(),
            unsent: BTreeSet::new(),
        })
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What its sessions cost so far.
    pub(crate) const fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Records it wrote or edited, and those of them that it did since it last met the hub.
    pub(crate) fn written(&self) -> (usize, usize) {
        (self.own.len(), self.unsent.len())
    }

    /// Files a visit; durable when this returns.
    pub(crate) async fn file(&mut self, person: &str, answers: &[(&str, String)]) -> anyhow::Result<()> {
        let mut draft = RecordDraft::new(FORM);
        draft.person = Some(person.to_owned());
        for (path, text) in answers {
            draft = draft.with(path, text.as_str());
        }
        let filed = self.client.create(draft).await;
        let id = filed.with_context(|| format!("{}: a visit of {person} could not be filed", self.name))?;
        self.own.insert(id);
        self.unsent.insert(id);
        Ok(())
    }

    /// Imports the sample ledger and its directory; durable when this returns.
    pub(crate) async fn import(&mut self, sample: &Sample) -> anyhow::Result<Imported> {
        let imported = sample.import(&self.client).await.with_context(|| format!("{}: importing", self.name))?;
        for row in self.rows()? {
            self.own.insert(row.id);
            self.unsent.insert(row.id);
        }
        Ok(imported)
    }

    /// The first visits of a station's ledger, by their numbers.
    pub(crate) fn visits_of(&self, station: &str, count: usize) -> anyhow::Result<Vec<RecordId>> {
        let mut numbered = BTreeMap::new();
        for row in self.rows()? {
            if let (FORM, Some(FieldValue::Text(number)), true) =
                (row.form.as_str(), row.fields.get("record_no"), row.station.as_deref() == Some(station))
            {
                numbered.insert(number.clone(), row.id);
            }
        }
        ensure!(numbered.len() >= count, "{}: {} visits of {station}, {count} wanted", self.name, numbered.len());
        Ok(numbered.into_values().take(count).collect())
    }

    /// The document of a service target, by its code.
    pub(crate) fn target(&self, code: &str) -> anyhow::Result<RecordId> {
        let is_it = |row: &RecordRow| {
            row.form == "target" && row.fields.get("code") == Some(&FieldValue::Text(code.to_owned()))
        };
        let found = self.rows()?.into_iter().find(is_it).map(|row| row.id);
        found.with_context(|| format!("{}: the directory has no target {code}", self.name))
    }

    /// Edits fields at the version that this tablet shows.
    pub(crate) async fn edit(&mut self, record: RecordId, edits: &[(&str, &str)]) -> anyhow::Result<()> {
        let shown = self.client.record(record)?.with_context(|| format!("{}: {record} is not here", self.name))?;
        let edits = edits.iter().map(|(path, text)| FieldEdit::set(path, *text)).collect();
        self.client.edit(record, shown.row.version, edits).await?;
        self.own.insert(record);
        self.unsent.insert(record);
        Ok(())
    }

    /// Meets the hub until nothing is left either way, then goes offline again.
    pub(crate) async fn meet_hub(&mut self) -> anyhow::Result<()> {
        self.client.set_connectivity(Connectivity::Metered);
        let met = self.client.sync_now(SYNC_WITHIN).await;
        self.client.set_connectivity(Connectivity::Offline);
        let report = met.with_context(|| format!("{} could not meet the hub", self.name))?;
        self.traffic.add(&Traffic {
            sessions: report.sessions,
            round_trips: report.round_trips,
            up: report.udp_up,
            down: report.udp_down,
            messages_up: report.stream_up,
            messages_down: report.stream_down,
            refused: report.refused.len() + report.held,
        });
        ensure!(report.complete, "{}: after {} sessions something was left to exchange", self.name, report.sessions);
        self.unsent.clear();
        Ok(())
    }

    /// What its replica holds now, read record by record.
    pub(crate) fn state(&self) -> anyhow::Result<ReplicaState> {
        let mut state =
            ReplicaState { name: self.name.clone(), station: self.station.clone(), ..ReplicaState::default() };
        let forms = self.client.forms();
        let is_entry = |row: &RecordRow| forms.get(&row.form).is_some_and(|form| form.kind() == FormKind::Registry);
        for row in self.rows()? {
            if is_entry(&row) {
                state.entries += 1;
                continue;
            }
            let record = self.client.record(row.id)?.with_context(|| format!("{} is listed, but not here", row.id))?;
            let devices: BTreeSet<&String> =
                record.history.iter().filter_map(|change| change.device.as_ref()).collect();
            state.records += 1;
            state.conflicts += record.conflicts.len();
            state.merged += usize::from(devices.len() > 1);
        }
        state.digests = self.client.diagnostics()?.state_digests;
        Ok(state)
    }

    /// Where its own work is.
    pub(crate) fn deliveries(&self) -> anyhow::Result<Deliveries> {
        let mut deliveries = Deliveries::default();
        for row in self.rows()? {
            match row.delivery {
                Delivery::Waiting => deliveries.waiting += 1,
                Delivery::Acknowledged => deliveries.acknowledged += 1,
                Delivery::BackedUp => deliveries.backed_up += 1,
                Delivery::Held { .. } => deliveries.held += 1,
                Delivery::Elsewhere => {}
            }
        }
        Ok(deliveries)
    }

    fn rows(&self) -> anyhow::Result<Vec<RecordRow>> {
        let mut rows = Vec::new();
        let mut filter = RecordFilter { with_withdrawn: true, ..RecordFilter::default() };
        loop {
            let page = self.client.records(filter.clone())?;
            rows.extend(page.rows);
            match page.next {
                Some(next) => filter.after = Some(next),
                None => return Ok(rows),
            }
        }
    }

    /// Opens it once more as a person would have it in the hand: it syncs by itself, and shows its pages.
    pub(crate) async fn hand_over(mut self, person: &str, lang: Lang) -> anyhow::Result<(Self, Pages)> {
        self.client.close().await.with_context(|| format!("{} did not close", self.name))?;
        self.client = open(&self.name, &self.folder, Schedule::Automatic).await?;
        self.client.act_as(person).await.with_context(|| format!("{}: {person} cannot use it", self.name))?;
        let of = PagesOf { client: self.client.clone(), lang, folder: self.folder.clone(), now_ms: None };
        let pages = Pages::open(of, 0).await.with_context(|| format!("{}: its pages", self.name))?;
        Ok((self, pages))
    }

    /// Stops it; what it saved is saved.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        self.client.close().await.with_context(|| format!("{} did not close", self.name))
    }
}

async fn open(name: &str, folder: &Path, schedule: Schedule) -> anyhow::Result<FieldClient> {
    let mut config = ClientConfig::new(folder).label(name).schedule(schedule);
    config.months_back = MONTHS_BACK;
    FieldClient::open(config).await.with_context(|| format!("{name} does not open"))
}
