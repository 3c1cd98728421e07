//! A store under test: a process that saves, edits, files and syncs as a person would, and says each deed before it begins
//! and when it is confirmed. It is killed at any moment; what it said is what must be found.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::{Parser, ValueEnum};
use qianmo_client_core::{
    ClientConfig, Delivery, DraftId, DraftInput, FieldClient, FieldEdit, FieldValue, ImportedRecord, ImportedState,
    RecordDraft, RecordFilter, RecordId, RecordRow, Repair, Schedule,
};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use tokio::task::JoinSet;

use super::promises::{Deed, Found, split, text, version_of};

/// How long a sync may take before the store goes on.
const SYNC_WITHIN: Duration = Duration::from_secs(5);
/// Records that are filed at the same time, to share one fdatasync.
const AT_ONCE: u32 = 4;
/// Who works on every tablet.
pub const PERSON: &str = "P01";
/// Records read at a time.
const PAGE: usize = 200;

/// What a store under test does.
#[derive(Debug, Clone, Parser)]
#[command(name = "store")]
pub struct StoreOrder {
    /// Its folder.
    #[arg(long)]
    pub data: PathBuf,
    /// Its name, which its markers begin with.
    #[arg(long)]
    pub name: String,
    /// All choices follow from it.
    #[arg(long)]
    pub seed: u64,
    /// What it does most.
    #[arg(long, value_enum)]
    pub mix: Mix,
    /// A ticket to enrol with first.
    #[arg(long)]
    pub ticket: Option<String>,
    /// How many deeds.
    #[arg(long)]
    pub deeds: usize,
    /// The number of the first record.
    #[arg(long, default_value_t = 1)]
    pub next: u32,
}

/// What a store does most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mix {
    /// Saves, without a network.
    Offline,
    /// Saves and syncs.
    Sync,
    /// Large drafts again and again, so that the log is rewritten.
    Heavy,
    /// Enrols, and no more.
    Enrol,
}

struct Store {
    client: FieldClient,
    name: String,
    rng: ChaCha20Rng,
    next: u32,
    /// Own records: id and the version that stands.
    records: BTreeMap<String, (RecordId, u32)>,
    drafts: BTreeMap<String, (DraftId, u32)>,
    acknowledged: BTreeSet<(String, u32)>,
}

/// The store's process.
///
/// # Errors
/// The store does not open, or refuses a deed it must take. A sync that fails is said and is no error.
pub fn run(order: &StoreOrder) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work(order))
}

async fn work(order: &StoreOrder) -> anyhow::Result<()> {
    say(&order.name, "opening")?;
    let client = FieldClient::open(config(&order.data)).await.context("open")?;
    say(&order.name, "open")?;
    for repair in client.diagnostics()?.repairs {
        say(&order.name, &format!("repaired: {}", repair.detail))?;
    }
    let mut store = Store {
        client,
        name: order.name.clone(),
        rng: ChaCha20Rng::seed_from_u64(order.seed),
        next: order.next,
        records: BTreeMap::new(),
        drafts: BTreeMap::new(),
        acknowledged: BTreeSet::new(),
    };
    if let Some(ticket) = &order.ticket {
        store.begin(&Deed::Enrol)?;
        store.client.enroll(ticket).await?;
        store.done(&Deed::Enrol)?;
    }
    store.take_stock()?;
    for _ in 0..order.deeds {
        store.deed(order.mix).await?;
    }
    store.client.close().await?;
    say(&order.name, "closed")
}

/// How a store under test is opened.
#[must_use]
pub fn config(data: &Path) -> ClientConfig {
    ClientConfig::new(data).schedule(Schedule::Manual)
}

/// One line, whole, at once: whoever reads has it even if this process ends with the next instruction.
fn say(name: &str, said: &str) -> anyhow::Result<()> {
    let line = format!("{name} {}\n", said.replace('\n', " "));
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes())?;
    Ok(out.flush()?)
}

impl Store {
    fn begin(&self, deed: &Deed) -> anyhow::Result<()> {
        say(&self.name, &format!("try {deed}"))
    }

    fn done(&self, deed: &Deed) -> anyhow::Result<()> {
        say(&self.name, &format!("did {deed}"))
    }

    /// What is there already.
    fn take_stock(&mut self) -> anyhow::Result<()> {
        for row in rows(&self.client)? {
            let Some((marker, version)) = shown(&row).and_then(|(_, advice)| version_of(&advice)) else { continue };
            self.seen(&marker);
            if split(&marker).0 == format!("{}m", self.name) {
                self.records.insert(marker, (row.id, version));
            }
        }
        for draft in self.client.drafts()? {
            let Some((marker, version)) = version_of(&draft_text(&draft.input)) else { continue };
            self.seen(&marker);
            self.drafts.insert(marker, (draft.id, version));
        }
        Ok(())
    }

    fn seen(&mut self, marker: &str) {
        self.next = self.next.max(split(marker).1 + 1);
    }

    fn marker(&mut self, kind: char) -> String {
        self.next += 1;
        format!("{}{kind}{}", self.name, self.next - 1)
    }

    async fn deed(&mut self, mix: Mix) -> anyhow::Result<()> {
        let dice = self.rng.random_range(0..100);
        match mix {
            Mix::Enrol => Ok(()),
            Mix::Heavy if dice < 85 => self.draft('h').await,
            Mix::Sync if dice < 30 => self.sync().await,
            Mix::Sync if dice < 34 => self.evict().await,
            Mix::Heavy | Mix::Sync | Mix::Offline => match self.rng.random_range(0..100_u32) {
                0..25 => self.file(None).await,
                25..55 => self.edit().await,
                55..70 => self.draft('d').await,
                70..76 => self.discard().await,
                76..84 => self.file_draft().await,
                84..92 => self.import().await,
                92.. => self.file_together().await,
            },
        }
    }

    async fn file(&mut self, draft: Option<(String, DraftId)>) -> anyhow::Result<()> {
        let marker = self.marker('m');
        let (deed, id) = match draft {
            Some((draft, id)) => (Deed::File(draft.clone(), marker.clone()), self.drafts.remove(&draft).map(|_| id)),
            None => (Deed::New(marker.clone()), None),
        };
        self.begin(&deed)?;
        let record = self.client.create(RecordDraft { draft: id, ..visit(&marker) }).await?;
        self.done(&deed)?;
        self.records.insert(marker, (record, 0));
        Ok(())
    }

    async fn file_draft(&mut self) -> anyhow::Result<()> {
        let draft = self.pick_draft();
        self.file(draft).await
    }

    fn pick_draft(&mut self) -> Option<(String, DraftId)> {
        let at = self.rng.random_range(0..self.drafts.len().max(1));
        self.drafts.iter().nth(at).map(|(marker, (id, _))| (marker.clone(), *id))
    }

    async fn file_together(&mut self) -> anyhow::Result<()> {
        let mut set = JoinSet::new();
        for _ in 0..AT_ONCE {
            let marker = self.marker('m');
            self.begin(&Deed::New(marker.clone()))?;
            let (client, name) = (self.client.clone(), self.name.clone());
            set.spawn(async move {
                let record = client.create(visit(&marker)).await?;
                say(&name, &format!("did {}", Deed::New(marker.clone())))?;
                anyhow::Ok((marker, record))
            });
        }
        while let Some(done) = set.join_next().await {
            let (marker, record) = done??;
            self.records.insert(marker, (record, 0));
        }
        Ok(())
    }

    async fn import(&mut self) -> anyhow::Result<()> {
        let count = self.rng.random_range(2..7);
        let markers: Vec<String> = (0..count).map(|_| self.marker('m')).collect();
        let deed = Deed::Import(markers[0].clone(), count);
        let import = |marker: &String| ImportedRecord { draft: visit(marker), state: ImportedState::HandedIn };
        self.begin(&deed)?;
        let filed = self.client.import(markers.iter().map(import).collect()).await?;
        let filed = filed.into_iter().collect::<Result<Vec<_>, _>>()?;
        self.done(&deed)?;
        self.records.extend(markers.into_iter().zip(filed.into_iter().map(|id| (id, 0))));
        Ok(())
    }

    async fn edit(&mut self) -> anyhow::Result<()> {
        let at = self.rng.random_range(0..self.records.len().max(1));
        let Some((marker, (id, version))) = self.records.iter().nth(at).map(|(m, r)| (m.clone(), *r)) else {
            return self.file(None).await;
        };
        let Some(view) = self.client.record(id)? else {
            // Erased by the hub, or let go of with its month.
            self.records.remove(&marker);
            return Ok(());
        };
        let deed = Deed::Edit(marker.clone(), version + 1);
        self.begin(&deed)?;
        let value = text(&marker, version + 1);
        self.client.edit(id, view.row.version, vec![FieldEdit::set("advice", value)]).await?;
        self.done(&deed)?;
        self.records.insert(marker, (id, version + 1));
        Ok(())
    }

    async fn draft(&mut self, kind: char) -> anyhow::Result<()> {
        let of_kind: Vec<String> = self.drafts.keys().filter(|marker| marker.contains(kind)).cloned().collect();
        let again = of_kind.get(self.rng.random_range(0..3_usize));
        let (marker, id, version) = match again.and_then(|marker| Some((marker, self.drafts.get(marker)?))) {
            Some((marker, (id, version))) => (marker.clone(), *id, version + 1),
            None => (self.marker(kind), self.client.new_draft(), 0),
        };
        let fields = BTreeMap::from([("advice".to_owned(), FieldValue::Text(text(&marker, version)))]);
        let input = DraftInput { form: "visit".to_owned(), fields, ..DraftInput::default() };
        let deed = Deed::Draft(marker.clone(), version);
        self.begin(&deed)?;
        self.client.save_draft(id, input).await?;
        self.done(&deed)?;
        self.drafts.insert(marker, (id, version));
        Ok(())
    }

    async fn discard(&mut self) -> anyhow::Result<()> {
        let Some((marker, id)) = self.pick_draft() else { return self.draft('d').await };
        let deed = Deed::Discard(marker.clone());
        self.begin(&deed)?;
        self.client.discard_draft(id).await?;
        self.done(&deed)?;
        self.drafts.remove(&marker);
        Ok(())
    }

    async fn sync(&mut self) -> anyhow::Result<()> {
        say(&self.name, "syncing")?;
        match self.client.sync_now(SYNC_WITHIN).await {
            Ok(report) if report.complete => {}
            Ok(report) => say(&self.name, &format!("syncing did not end: {report:?}"))?,
            Err(error) => say(&self.name, &format!("syncing failed: {error}"))?,
        }
        for row in rows(&self.client)? {
            let is_there = matches!(row.delivery, Delivery::Acknowledged | Delivery::BackedUp);
            let version = shown(&row).filter(|_| is_there).and_then(|(_, advice)| version_of(&advice));
            if let Some((marker, version)) = version
                && self.acknowledged.insert((marker.clone(), version))
            {
                say(&self.name, &format!("acknowledged {marker} {version}"))?;
            }
        }
        Ok(())
    }

    async fn evict(&mut self) -> anyhow::Result<()> {
        let Some(row) = self.client.records(RecordFilter { limit: 1, ..RecordFilter::default() })?.rows.pop() else {
            return Ok(());
        };
        self.begin(&Deed::Evict)?;
        match self.client.evict(&row.logbook).await {
            Ok(()) => self.done(&Deed::Evict)?,
            Err(error) => return say(&self.name, &format!("evicting refused: {error}")),
        }
        self.records.clear();
        self.client.bring_back(&row.logbook).await?;
        say(&self.name, "wants it back")
    }
}

/// A visit with a marker.
fn visit(marker: &str) -> RecordDraft {
    RecordDraft::new("visit")
        .with("activity_date", "2025-06-18")
        .with("service_mode", "onsite")
        .with("staff_id", PERSON)
        .with("target_name", "样例农户")
        .with("town_code", "110117105")
        .with("content", text(marker, 0))
        .with("advice", text(marker, 0))
}

fn field(fields: &BTreeMap<String, FieldValue>, name: &str) -> String {
    match fields.get(name) {
        Some(FieldValue::Text(text)) => text.clone(),
        Some(FieldValue::Null | FieldValue::Bool(_) | FieldValue::Int(_)) | None => String::new(),
    }
}

/// The two texts of a record of ours.
fn shown(row: &RecordRow) -> Option<(String, String)> {
    (row.form == "visit").then(|| (field(&row.fields, "content"), field(&row.fields, "advice")))
}

fn draft_text(input: &DraftInput) -> String {
    field(&input.fields, "advice")
}

fn rows(client: &FieldClient) -> anyhow::Result<Vec<RecordRow>> {
    let mut filter = RecordFilter { limit: PAGE, with_withdrawn: true, ..RecordFilter::default() };
    let mut all = Vec::new();
    loop {
        let page = client.records(filter.clone())?;
        all.extend(page.rows);
        match page.next {
            Some(next) => filter.after = Some(next),
            None => return Ok(all),
        }
    }
}

/// What a tablet's folder holds, after opening it as a person's app does, and whether it takes a draft.
///
/// # Errors
/// It does not open, does not read, or does not take a draft.
pub fn look(data: &Path) -> anyhow::Result<(Found, Vec<Repair>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = FieldClient::open(config(data)).await.context("open")?;
        let found = Found {
            records: rows(&client)?.iter().filter_map(shown).collect(),
            drafts: client.drafts()?.iter().map(|draft| draft_text(&draft.input)).collect(),
            is_enrolled: client.whoami()?.is_some(),
        };
        let diagnostics = client.diagnostics()?;
        ensure!(!diagnostics.read_only, "the store takes no writes: {:?}", diagnostics.repairs);
        let probe = client.new_draft();
        client.save_draft(probe, DraftInput::default()).await.context("a draft after opening")?;
        client.discard_draft(probe).await.context("discarding it")?;
        client.close().await.context("close")?;
        Ok((found, diagnostics.repairs))
    })
}
