//! The embeddable core of a Qianmo tablet: keeps what is written, and brings it to the hub when there is a network.
//!
//! An app holds a [`FieldClient`]. What a person fills in is kept as a draft at every field; a finished record is durable
//! when [`FieldClient::create`] returns, network or not. A driver thread takes it to the hub when it can, and brings what
//! others wrote. Conflicts, reviews and what the hub holds back are shown, never settled silently.
//!
//! # Layout
//!
//! ```text
//! client, names, draft, views, status, event, error, config, codes   what an app sees: plain owned values
//! engine        when to sync: decisions without a network or a clock
//! driver        the one async loop: dials, carries frames, answers
//! owner         the one thread that holds the store
//! identity      who this device is, on disk
//! network       what the driver asks of a network; transport and enroll are QUIC
//! ```
//!
//! # Example
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use qianmo_client_core::{ClientConfig, FieldClient, RecordDraft};
//!
//! let client = FieldClient::open(ClientConfig::new("tablet-data")).await?;
//! let station = client.enroll("QM1-…").await?;
//! let visit = RecordDraft::new("visit").with("activity_date", "2025-06-18").with("content", "查看套袋情况");
//! let record = client.create(visit).await?;
//! let report = client.sync_now(Duration::from_secs(30)).await?;
//! println!("{station}: {record} sent, {} records received", report.records_down);
//! client.close().await?;
//! # Ok(())
//! # }
//! ```

mod answers;
mod bundle;
mod calendar;
mod client;
pub mod codes;
mod config;
mod draft;
mod draws;
mod driver;
mod engine;
pub mod enroll;
mod error;
mod event;
mod evict;
mod identity;
mod names;
pub mod network;
mod owner;
mod status;
pub mod transport;
mod views;

pub use bundle::{BundleError, BundleMade, BundleReport, BundleRequest, BundleScope, BundleTo};
pub use client::{FieldClient, Outside};
pub use codes::HaltReason;
pub use config::{ClientConfig, Schedule, Timings};
pub use draft::{
    ConflictChoice, Decision, DraftInput, DraftView, FieldEdit, FieldValue, ImportRights, ImportedRecord,
    ImportedState, Keep, RecordDraft, ReviewNotes, WithdrawReason,
};
#[cfg(feature = "simulation")]
pub use driver::simulation;
pub use error::{
    CloseError, EnrollError, FieldFault, OpenError, ReadError, StoreFailure, SyncError, TicketRefusal, WriteError,
};
pub use event::{Event, EventStream};
pub use evict::EvictError;
pub use names::{Cursor, DraftId, FieldPath, NameError, RecordId, RecordVersion};
pub use qianmo_forms as forms;
pub use status::{
    Connectivity, CopiedNotice, Diagnostics, ErasedNotice, PersonRole, RefusedPack, Repair, RepairKind, SyncFailure,
    SyncPhase, SyncReport, SyncStatus, UpdateNeed, Whoami,
};
pub use views::{
    Candidate, ConflictKind, Delivery, DeliveryFilter, FieldConflict, HistoryEntry, RecordFilter, RecordPage,
    RecordRow, RecordView, ReviewAct, ReviewStatus, ReviewView,
};
