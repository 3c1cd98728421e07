//! The handle an app holds.
//!
//! Reads answer at once: they wait for the store's thread, which is microseconds unless it is taking in many records.
//! Writes are durable when they return. The network is the driver's business; nothing but [`FieldClient::enroll`] needs it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use qianmo_forms::FormSet;
use tokio::sync::{mpsc, oneshot};

use crate::bundle::{self, BundleError, BundleMade, BundleReport, BundleRequest};
use crate::calendar::{Clock, system_clock};
use crate::config::ClientConfig;
use crate::draft::{
    ConflictChoice, Decision, DraftInput, DraftView, FieldEdit, ImportRights, ImportedRecord, RecordDraft, ReviewNotes,
    WithdrawReason,
};
use crate::draws::Draws;
use crate::driver::{self, Request, Surroundings};
use crate::error::{CloseError, EnrollError, OpenError, ReadError, StoreFailure, SyncError, WriteError};
use crate::event::EventStream;
use crate::evict::{AfterEvict, EvictError};
use crate::names::{DraftId, FieldPath, RecordId, RecordVersion};
use crate::network::{Network, Quic};
use crate::owner::{Owner, OwnerHandle, Setup, Shared};
use crate::status::{Connectivity, Diagnostics, SyncReport, SyncStatus, Whoami};
use crate::views::{FieldConflict, RecordFilter, RecordPage, RecordView, ReviewView};

/// How long the session after a change of what is wanted may take to come about.
const RESELECT_WITHIN: Duration = Duration::from_secs(60);

/// One device's records, drafts and sync. Cheap to clone; all clones are one core.
#[derive(Debug, Clone)]
pub struct FieldClient {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    owner: OwnerHandle,
    driver: mpsc::UnboundedSender<Request>,
    shared: Arc<Shared>,
    forms: Arc<FormSet>,
}

/// What the core takes from outside: for tests, simulators and other networks.
#[derive(Clone)]
pub struct Outside {
    /// Reaches hubs.
    pub network: Arc<dyn Network>,
    /// Milliseconds since 1970.
    pub clock: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl core::fmt::Debug for Outside {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Outside").field("network", &self.network).finish_non_exhaustive()
    }
}

impl FieldClient {
    /// Opens and recovers the local store. Never waits for the network. Dropping the future opens it all the same and
    /// closes it again.
    ///
    /// # Errors
    /// [`OpenError`] when the folder is in use or cannot be read.
    pub async fn open(config: ClientConfig) -> Result<Self, OpenError> {
        Self::open_over(config, Arc::new(Quic::default()), system_clock()).await
    }

    /// As [`FieldClient::open`], over another network and clock.
    ///
    /// # Errors
    /// As [`FieldClient::open`].
    pub async fn open_with(config: ClientConfig, outside: Outside) -> Result<Self, OpenError> {
        let clock = outside.clock;
        let clock: Clock = Arc::new(move || qianmo_protocol::time::UnixMillis(clock()));
        Self::open_over(config, outside.network, clock).await
    }

    async fn open_over(config: ClientConfig, network: Arc<dyn Network>, clock: Clock) -> Result<Self, OpenError> {
        let not_started = |error: &dyn std::error::Error| OpenError::Start(StoreFailure::of(error));
        let forms = Arc::new(FormSet::open(config.forms_dir.as_deref()).map_err(OpenError::Forms)?);
        let shared = Arc::new(Shared::new());
        let (driver, requests) = mpsc::unbounded_channel();
        // Weak, so that the driver ends when the last handle is gone, and the owner after it.
        let to_driver = driver.downgrade();
        let news = move || {
            if let Some(driver) = to_driver.upgrade() {
                drop(driver.send(Request::LocalNews));
            }
        };
        let setup = Setup {
            config: config.clone(),
            clock: Arc::clone(&clock),
            forms: Arc::clone(&forms),
            shared: Arc::clone(&shared),
            draws: Draws::System,
            news: Arc::new(news),
        };
        let owner = OwnerHandle::start(setup).await?;
        let gone = |_| not_started(&StoreFailure { detail: "the store's thread stopped".to_owned() });
        let identity = owner.ask(|owner| owner.identity().cloned()).await.map_err(gone)?;
        let around = Surroundings { owner: owner.clone(), network, shared: Arc::clone(&shared), config, clock };
        driver::start(around, identity, requests).map_err(|error| not_started(&error))?;
        Ok(Self { inner: Arc::new(Inner { owner, driver, shared, forms }) })
    }

    async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Owner) -> Result<T, WriteError> + Send + 'static,
    ) -> Result<T, WriteError> {
        self.inner.owner.write(write).await.unwrap_or(Err(WriteError::Closed))
    }

    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Owner) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        self.inner.owner.read(read).unwrap_or(Err(ReadError::Closed))
    }

    /// Makes this a device of the organisation whose administrator gave out the ticket (its text, or what its QR code
    /// holds). Answers the device's station. Once for each device; the only call that must have a network. A device that
    /// was revoked, refused or copied may enrol again over its store.
    ///
    /// Dropping the future does not stop it: the enrolment is finished in the background, and asking again with the same
    /// ticket gives the same answer.
    ///
    /// # Errors
    /// [`EnrollError`]; `is_retryable` tells a bad line from a bad ticket.
    pub async fn enroll(&self, ticket: &str) -> Result<String, EnrollError> {
        let (answer, answered) = oneshot::channel();
        let request = Request::Enroll { ticket: ticket.to_owned(), answer };
        self.inner.driver.send(request).map_err(|_| EnrollError::Closed)?;
        answered.await.unwrap_or(Err(EnrollError::Closed))
    }

    /// Files a record and hands it in. The draft it came from is gone with the same act. Durable when it returns.
    ///
    /// Dropping the future may leave the record filed, or not, but never half.
    ///
    /// # Errors
    /// [`WriteError`]; nothing is kept then, and the draft stays.
    pub async fn create(&self, draft: RecordDraft) -> Result<RecordId, WriteError> {
        self.write(move |owner| owner.create(&draft)).await
    }

    /// Files records that come from a ledger, a few thousand at a time: many share one frame of the log, and all one sync. What the form
    /// does not take stops nothing else; the answer has one result for each record, in order. Durable when it returns. Dropping the
    /// future may leave some filed, each whole: import again by a key of the records' own.
    ///
    /// # Errors
    /// [`WriteError`] when the store fails or there is nobody to write; some records may be filed then.
    pub async fn import(&self, records: Vec<ImportedRecord>) -> Result<Vec<Result<RecordId, WriteError>>, WriteError> {
        self.write(move |owner| owner.import(&records)).await
    }

    /// What the present person may bring in for stations. What is not among it would be held back by the hub.
    ///
    /// # Errors
    /// [`WriteError`] before enrolment, and for a station without a usable code.
    pub async fn import_rights(&self, stations: BTreeSet<String>) -> Result<ImportRights, WriteError> {
        let rights = self.inner.owner.ask(move |owner| owner.import_rights(&stations)).await;
        rights.unwrap_or(Err(WriteError::Closed))
    }

    /// Changes fields of a record, all or none, at the version the person was looking at: a value that arrived meanwhile
    /// becomes a visible conflict. A record that was sent back is handed in again with the same act. Durable when it
    /// returns. Dropping the future may leave it done or not done.
    ///
    /// # Errors
    /// [`WriteError`]; nothing is kept then.
    pub async fn edit(
        &self,
        record: RecordId,
        version: RecordVersion,
        edits: Vec<FieldEdit>,
    ) -> Result<(), WriteError> {
        self.write(move |owner| owner.edit(record, &version, &edits)).await
    }

    /// Hands a record in again as it is. Durable when it returns. Dropping the future may leave it done or not done.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn submit(&self, record: RecordId, version: RecordVersion) -> Result<(), WriteError> {
        self.write(move |owner| owner.submit(record, &version)).await
    }

    /// Hides a record and keeps its history. Durable when it returns. Dropping the future may leave it done or not done.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn withdraw(&self, record: RecordId, reason: WithdrawReason) -> Result<(), WriteError> {
        self.write(move |owner| owner.withdraw(record, &reason)).await
    }

    /// Says something about a record or its fields. Durable when it returns. Dropping the future may leave it done or not
    /// done.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn comment(
        &self,
        record: RecordId,
        version: RecordVersion,
        notes: ReviewNotes,
    ) -> Result<(), WriteError> {
        self.write(move |owner| owner.comment(record, &version, &notes)).await
    }

    /// Approves a record, sends it back or opens it again: a coordinator's word about exactly the version shown. Durable
    /// when it returns. Dropping the future may leave it done or not done.
    ///
    /// # Errors
    /// [`WriteError::NotAllowed`] without the right; else as for the other writes.
    pub async fn decide(
        &self,
        record: RecordId,
        version: RecordVersion,
        decision: Decision,
        notes: ReviewNotes,
    ) -> Result<(), WriteError> {
        self.write(move |owner| owner.decide(record, &version, decision, &notes)).await
    }

    /// Settles one conflict, exactly as far as the person saw it. Syncs like any edit. Durable when it returns. Dropping
    /// the future may leave it done or not done.
    ///
    /// # Errors
    /// [`WriteError::NoConflict`] when there is none in that version; else as for the other writes.
    pub async fn resolve(&self, record: RecordId, path: FieldPath, choice: ConflictChoice) -> Result<(), WriteError> {
        self.write(move |owner| owner.resolve(record, &path, &choice)).await
    }

    /// An id for a new draft.
    #[must_use]
    pub fn new_draft(&self) -> DraftId {
        Owner::new_draft_id()
    }

    /// Keeps unfinished input, which may miss anything. Local, never sent. Durable when it returns, so it can be called at
    /// every field. Dropping the future may leave it kept or not.
    ///
    /// # Errors
    /// [`WriteError::DraftTooLarge`], or when the store fails.
    pub async fn save_draft(&self, id: DraftId, input: DraftInput) -> Result<(), WriteError> {
        self.write(move |owner| owner.save_draft(id, &input)).await
    }

    /// Forgets a draft; forgetting one that is not there is no error. Durable when it returns.
    ///
    /// # Errors
    /// [`WriteError`] when the store fails.
    pub async fn discard_draft(&self, id: DraftId) -> Result<(), WriteError> {
        self.write(move |owner| owner.discard_draft(id)).await
    }

    /// Drafts on this device, the last saved first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn drafts(&self) -> Result<Vec<DraftView>, ReadError> {
        self.read(Owner::drafts)
    }

    /// A record with its history, reviews and conflicts; `None` when it is not here.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn record(&self, record: RecordId) -> Result<Option<RecordView>, ReadError> {
        self.read(move |owner| owner.record(record))
    }

    /// A page of records, newest first.
    ///
    /// # Errors
    /// [`ReadError`], also for a filter that holds no usable codes.
    pub fn records(&self, filter: RecordFilter) -> Result<RecordPage, ReadError> {
        self.read(move |owner| owner.records(&filter))
    }

    /// Every concurrent value of a record, with who and when.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn conflicts(&self, record: RecordId) -> Result<Vec<FieldConflict>, ReadError> {
        self.read(move |owner| owner.conflicts(record))
    }

    /// Review events and comments of a record, each after those it has seen.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn reviews(&self, record: RecordId) -> Result<Vec<ReviewView>, ReadError> {
        self.read(move |owner| owner.reviews(record))
    }

    /// Frees the space of a station's month, named as it is shown (`ST01/2025-06`). It leaves the device and what the device
    /// asks for; what is written into it later is sent as ever. Only when the hub has all of it and a backup of the hub,
    /// too, so it can always be brought back. Durable when it returns; the bytes go soon after. Dropping the future may leave
    /// it done or not done.
    ///
    /// # Errors
    /// [`EvictError`] says what is missing; nothing is changed then.
    pub async fn evict(&self, logbook: &str) -> Result<(), EvictError> {
        let logbook = logbook.to_owned();
        let done = self.inner.owner.write(move |owner| owner.evict(&logbook)).await;
        self.reselect(done.unwrap_or(Err(EvictError::Closed))?);
        Ok(())
    }

    /// Wants an evicted logbook back: the next session brings it whole. Durable when it returns. Dropping the future may
    /// leave it done or not done.
    ///
    /// # Errors
    /// [`EvictError::NotEvicted`] for one that was not let go of.
    pub async fn bring_back(&self, logbook: &str) -> Result<(), EvictError> {
        let logbook = logbook.to_owned();
        let done = self.inner.owner.write(move |owner| owner.bring_back(&logbook)).await;
        self.reselect(done.unwrap_or(Err(EvictError::Closed))?);
        Ok(())
    }

    /// Logbooks that this device let go of, as they are shown, by name.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn evicted(&self) -> Result<Vec<String>, ReadError> {
        self.read(|owner| {
            let names = owner.evicted().map_err(|error| ReadError::Store(error.into()))?;
            Ok(names.iter().map(ToString::to_string).collect())
        })
    }

    /// A watching session asks for what was wanted when it began: it ends, and another begins.
    fn reselect(&self, after: AfterEvict) {
        match after {
            AfterEvict::Nothing => {}
            AfterEvict::SessionIsOutdated => {
                let (answer, _nobody_waits) = oneshot::channel();
                let request = Request::Sync { within: RESELECT_WITHIN, answer };
                // After close there is nobody to tell.
                drop(self.inner.driver.send(request));
            }
        }
    }

    /// The app reports the network; the core decides what to do.
    pub fn set_connectivity(&self, connectivity: Connectivity) {
        // After close there is nobody to tell.
        drop(self.inner.driver.send(Request::Connectivity(connectivity)));
    }

    /// Syncs with the hub until nothing is left either way, or the time is up. Failed tries are repeated within the time.
    ///
    /// Dropping the future stops the waiting, not the sync.
    ///
    /// # Errors
    /// [`SyncError`] when no session came about, or trying again does not help.
    pub async fn sync_now(&self, within: Duration) -> Result<SyncReport, SyncError> {
        let (answer, answered) = oneshot::channel();
        self.inner.driver.send(Request::Sync { within, answer }).map_err(|_| SyncError::Closed)?;
        answered.await.unwrap_or(Err(SyncError::Closed))
    }

    /// Writes what a session would send into a file, for the hub or another tablet, sealed. What was saved is in it; nothing
    /// is taken for delivered because of it. Dropping the future leaves the former file, or none.
    ///
    /// # Errors
    /// [`BundleError`]; a file that was there is as it was.
    pub async fn export_bundle(&self, request: BundleRequest) -> Result<BundleMade, BundleError> {
        bundle::export(&self.inner.owner, &request).await
    }

    /// Takes in a file that another tablet exported: the same as a session with it. Importing it again changes nothing, and
    /// after an error in the middle what came before it is kept. Dropping the future stops it between two batches.
    ///
    /// # Errors
    /// [`BundleError`].
    pub async fn import_bundle(&self, file: &Path, passphrase: Option<&str>) -> Result<BundleReport, BundleError> {
        bundle::import(&self.inner.owner, file, passphrase).await
    }

    /// Where things stand. Never waits.
    #[must_use]
    pub fn status(&self) -> SyncStatus {
        self.inner.shared.status()
    }

    /// What happens from now on. Bounded: after an overflow one [`crate::Event::Lagged`], then re-read.
    #[must_use]
    pub fn subscribe(&self) -> EventStream {
        EventStream::new(self.inner.shared.listen())
    }

    /// The forms this version knows.
    #[must_use]
    pub fn forms(&self) -> Arc<FormSet> {
        Arc::clone(&self.inner.forms)
    }

    /// Who and what this device is; `None` before enrolment.
    ///
    /// # Errors
    /// [`ReadError::Closed`].
    pub fn whoami(&self) -> Result<Option<Whoami>, ReadError> {
        self.read(|owner| Ok(owner.whoami()))
    }

    /// Says which of the device's persons writes from now on. Kept over restarts. Dropping the future may leave it done or
    /// not done.
    ///
    /// # Errors
    /// [`WriteError::UnknownPerson`] for anyone else.
    pub async fn act_as(&self, person: &str) -> Result<(), WriteError> {
        let person = person.to_owned();
        self.write(move |owner| owner.act_as(&person)).await
    }

    /// Ids, counts and versions for support; no contents, no keys.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn diagnostics(&self) -> Result<Diagnostics, ReadError> {
        self.read(Owner::diagnostics)
    }

    /// Ends the running session, flushes and stops. Other clones then answer `Closed`. A drop of the last clone without it
    /// loses nothing that was saved, but does not say when the folder is free again. Dropping the future closes all the
    /// same.
    ///
    /// # Errors
    /// [`CloseError`]; what was saved is saved all the same.
    pub async fn close(self) -> Result<(), CloseError> {
        let (done, is_done) = oneshot::channel();
        self.inner.driver.send(Request::Close { done }).map_err(|_| CloseError::Closed)?;
        is_done.await.map_err(|_| CloseError::Closed)?;
        match self.inner.owner.close().await {
            Ok(closed) => closed.map_err(CloseError::Store),
            Err(_gone) => Err(CloseError::Closed),
        }
    }
}
