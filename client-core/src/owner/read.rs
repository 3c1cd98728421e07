//! Reading: records, drafts, reviews, and what support asks for.

use qianmo_protocol::control::Role;
use qianmo_protocol::ids::Code;
use qianmo_protocol::session::VERSIONS;
use qianmo_protocol::time::Month;
use qianmo_protocol::wire::Wire as _;
use qianmo_replica::replica::{PAGE_RECORDS_MAX, RecordFilter as StoreFilter, ReplicaError};

use super::Owner;
use super::selection;
use super::session::{EPOCH_KEY, SeenHub};
use crate::draft;
use crate::draft::DraftView;
use crate::error::ReadError;
use crate::names::{Cursor, DraftId, RecordId, RecordVersion};
use crate::status::{Diagnostics, PersonRole, Whoami};
use crate::views::{
    self, Delivery, DeliveryFilter, FieldConflict, RecordFilter, RecordPage, RecordRow, RecordView, ReviewStatus,
    ReviewView,
};

/// Records on a page when the app does not say.
const PAGE_USUAL: usize = 50;
/// Pages of the store that are looked through for one page of an app, when most records do not match.
const STEPS_MAX: usize = 1_000;

impl From<ReplicaError> for ReadError {
    fn from(error: ReplicaError) -> Self {
        Self::Store(error.into())
    }
}

fn code(what: &'static str, text: Option<&String>) -> Result<Option<Code>, ReadError> {
    let read = |text: &String| Code::new(text).map_err(|_| ReadError::Code { what, text: text.clone() });
    text.map(read).transpose()
}

impl Owner {
    /// A decision that this version cannot read and must not ignore stops reading: what stands here may be erased, held or
    /// no longer this person's to see. Writing and uploading go on (A4).
    fn readable(&self) -> Result<(), ReadError> {
        if self.replica.control().fold().must_update() { Err(ReadError::MustUpdate) } else { Ok(()) }
    }

    pub(crate) fn record(&self, record: RecordId) -> Result<Option<RecordView>, ReadError> {
        self.readable()?;
        Ok(self.replica.record(&record.0)?.map(|detail| views::detail(&detail)))
    }

    pub(crate) fn records(&self, filter: &RecordFilter) -> Result<RecordPage, ReadError> {
        self.readable()?;
        let wrong = |what, text: &str| ReadError::Code { what, text: text.to_owned() };
        let month = match &filter.month {
            Some(text) => Some(Month::parse(text).ok_or_else(|| wrong("month (YYYY-MM)", text))?),
            None => None,
        };
        let asked = StoreFilter {
            station: code("station", filter.station.as_ref())?,
            month,
            form: code("form", filter.form.as_ref())?,
            author: code("person", filter.author.as_ref())?,
        };
        let limit = if filter.limit == 0 { PAGE_USUAL } else { filter.limit.min(PAGE_RECORDS_MAX) };
        let mut page = RecordPage::default();
        let mut after = match &filter.after {
            Some(cursor) => Some(cursor.bytes().ok_or_else(|| wrong("cursor", cursor.as_str()))?),
            None => None,
        };
        for _ in 0..STEPS_MAX {
            let found = self.replica.records(&asked, after.as_deref(), limit - page.rows.len())?;
            let rows = found.rows.iter().map(views::row);
            page.rows.extend(rows.filter(|row| shows(filter, row)));
            page.next = found.next.as_deref().map(Cursor::of);
            after = found.next;
            if after.is_none() || page.rows.len() >= limit {
                break;
            }
        }
        Ok(page)
    }

    pub(crate) fn conflicts(&self, record: RecordId) -> Result<Vec<FieldConflict>, ReadError> {
        self.readable()?;
        let Some(row) = self.replica.record_row(&record.0)? else { return Ok(Vec::new()) };
        let version = RecordVersion::of(&row.heads);
        Ok(row.conflicts.iter().map(|conflict| views::conflict(conflict, &version)).collect())
    }

    pub(crate) fn reviews(&self, record: RecordId) -> Result<Vec<ReviewView>, ReadError> {
        self.readable()?;
        Ok(self.replica.reviews(&record.0)?.iter().map(views::review).collect())
    }

    /// Drafts that this version can read, the newest first.
    pub(crate) fn drafts(&self) -> Result<Vec<DraftView>, ReadError> {
        let kept = self.replica.drafts()?;
        let mut drafts: Vec<DraftView> =
            kept.into_iter().filter_map(|(id, content)| draft::decode(DraftId(id.0), &content)).collect();
        drafts.sort_by_key(|draft| (core::cmp::Reverse(draft.recorded_at_ms), draft.id));
        Ok(drafts)
    }

    pub(crate) fn whoami(&self) -> Option<Whoami> {
        let identity = self.identity.as_ref()?;
        let fold = self.replica.control().fold();
        let stations = selection::stations(fold, &identity.device, &identity.station);
        let stations = stations.unwrap_or_else(|| selection::known_stations(fold, &[]));
        let role = |person: &Code| PersonRole {
            person: person.to_string(),
            roles: fold
                .grants_of(person)
                .filter(|(hash, _)| !fold.is_cut(hash))
                .map(|(_, grant)| role_word(grant.role).to_owned())
                .collect(),
        };
        Some(Whoami {
            device: identity.device.to_string(),
            org: identity.org.to_string(),
            org_name: identity.org_name.clone(),
            station: identity.station.to_string(),
            stations: stations.iter().map(ToString::to_string).collect(),
            persons: self.persons().iter().map(role).collect(),
            person: self.person(None).ok().map(|person| person.to_string()),
            label: self.setup.config.label.clone(),
        })
    }

    pub(crate) fn diagnostics(&self) -> Result<Diagnostics, ReadError> {
        let stats = self.replica.log_stats();
        let outbox = self.replica.outbox()?;
        let seen = self.replica.meta(EPOCH_KEY)?.and_then(|bytes| SeenHub::decode(&bytes).ok());
        let readable = self.drafts()?.len();
        Ok(Diagnostics {
            core_version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol_versions: VERSIONS,
            device: self.identity.as_ref().map(|identity| identity.device.to_string()),
            org: self.identity.as_ref().map(|identity| identity.org.to_string()),
            hub: seen.map(|seen| (seen.hub.to_string(), seen.epoch.to_string())),
            records: self.replica.count_records(&StoreFilter::default())?,
            unsealed: outbox.unsealed,
            unreceipted: outbox.unreceipted,
            control_entries: self.replica.control().len(),
            segments: stats.segments,
            log_bytes: stats.durable_bytes,
            last_commit: stats.durable_commit.0,
            free_bytes: stats.free_bytes,
            read_only: stats.is_poisoned,
            repairs: self.repairs.clone(),
            state_digests: self
                .replica
                .state_digests()
                .into_iter()
                .map(|(name, digest)| (name.to_string(), data_encoding::HEXLOWER.encode(&digest.to_bytes())))
                .collect(),
            unreadable_drafts: self.drafts.len().saturating_sub(readable),
        })
    }
}

fn shows(filter: &RecordFilter, row: &RecordRow) -> bool {
    let delivery = match filter.delivery {
        None => true,
        Some(DeliveryFilter::Waiting) => row.delivery == Delivery::Waiting,
        Some(DeliveryFilter::Held) => matches!(row.delivery, Delivery::Held { .. }),
        Some(DeliveryFilter::Conflicting) => row.conflicts > 0,
    };
    let is_hidden = row.review == ReviewStatus::Withdrawn
        && !filter.with_withdrawn
        && filter.review != Some(ReviewStatus::Withdrawn);
    delivery && !is_hidden && filter.review.is_none_or(|review| review == row.review)
}

const fn role_word(role: Role) -> &'static str {
    match role {
        Role::Technician => "technician",
        Role::Expert => "expert",
        Role::Coordinator => "coordinator",
        Role::Viewer => "viewer",
        Role::Admin => "admin",
    }
}
