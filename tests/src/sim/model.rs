//! What the merged records must be, computed from what people did, without Automerge and without our own merge.
//!
//! It knows every act: what was written, over which version, by whom. From a set of changes it computes, naively and from
//! the definitions alone, which values stand at a field, whether they are a conflict and of which kind, and what the
//! reviews fold to.

use std::collections::{BTreeMap, BTreeSet};

use qianmo_protocol::ids::{ChangeHash, DeviceId, DocId};
use qianmo_protocol::record::ConflictKind;
use qianmo_protocol::review::{ReviewKind, ReviewStatus};

/// A change of a record that somebody made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Of which record.
    pub doc: DocId,
    /// On which device.
    pub device: DeviceId,
    /// The version it was made against.
    pub base: BTreeSet<ChangeHash>,
    /// Values put, by field.
    pub puts: BTreeMap<String, String>,
    /// Conflicts settled, by field: the value kept and the changes listed.
    pub resolves: BTreeMap<String, (String, BTreeSet<ChangeHash>)>,
    /// Whether its tablet had ever been told the time by a hub.
    pub has_met_a_hub: bool,
}

/// A review event or comment that somebody made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeEvent {
    /// About which record.
    pub record: DocId,
    /// On which device.
    pub device: DeviceId,
    /// What it does.
    pub kind: ReviewKind,
    /// The state events that were shown.
    pub seen: BTreeSet<DocId>,
    /// The version that was shown.
    pub heads: BTreeSet<ChangeHash>,
}

/// Somebody tried to write and was told that it failed, or was told nothing: it may be there or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// On which device.
    pub device: DeviceId,
    /// Of which record; a new one otherwise.
    pub doc: Option<DocId>,
    /// The values it was to put: words of its own, or the old one that a conflict was to be settled by.
    pub words: BTreeSet<String>,
}

/// Everything that people did.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// Confirmed changes of records.
    pub changes: BTreeMap<ChangeHash, Made>,
    /// Confirmed review events and comments.
    pub events: BTreeMap<DocId, MadeEvent>,
    /// Writes without a confirmation.
    pub attempts: Vec<Attempt>,
    /// Changes that only a lost machine held.
    pub lost: BTreeSet<ChangeHash>,
    /// Review events that only a lost machine held.
    pub lost_events: BTreeSet<DocId>,
    /// Changes of a hostile device: none of them may ever be shown.
    pub hostile: BTreeSet<ChangeHash>,
    /// Records that were erased.
    pub purged: BTreeSet<DocId>,
    /// Devices that were revoked.
    pub revoked: BTreeSet<DeviceId>,
    /// Changes that somebody was told are in a backup.
    pub told_backed_up: BTreeSet<ChangeHash>,
    /// People whose role was cut at some time.
    pub cut_persons: BTreeSet<String>,
    /// What the hub held of a device or person, by name, whenever their rights were taken away.
    pub held_then: BTreeMap<String, BTreeSet<ChangeHash>>,
    /// Whether the administrator released anything.
    pub has_released: bool,
}

/// What stands at one field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Field {
    /// Values that nothing overwrote.
    pub values: BTreeSet<String>,
    /// The conflict, if there is one, with all its candidates.
    pub conflict: Option<(ConflictKind, BTreeSet<ChangeHash>)>,
}

impl Model {
    /// Every confirmed change of a record.
    pub fn changes_of(&self, doc: DocId) -> impl Iterator<Item = (&ChangeHash, &Made)> {
        self.changes.iter().filter(move |(_, made)| made.doc == doc)
    }

    /// Whether a change came after the rights of its device or person were taken away.
    #[must_use]
    pub fn is_beyond(&self, who: &str, change: &ChangeHash) -> bool {
        self.held_then.get(who).is_some_and(|held| !held.contains(change))
    }

    /// Every record.
    #[must_use]
    pub fn docs(&self) -> BTreeSet<DocId> {
        self.changes.values().map(|made| made.doc).collect()
    }

    /// Everything in a change's history.
    #[must_use]
    pub fn history(&self, change: &ChangeHash) -> BTreeSet<ChangeHash> {
        let mut history = BTreeSet::new();
        let mut todo: Vec<ChangeHash> =
            self.changes.get(change).into_iter().flat_map(|made| made.base.clone()).collect();
        while let Some(next) = todo.pop() {
            if history.insert(next) {
                todo.extend(self.changes.get(&next).into_iter().flat_map(|made| made.base.iter().copied()));
            }
        }
        history
    }

    /// What stands at every field of a record that consists of these changes.
    #[must_use]
    pub fn fields(&self, set: &BTreeSet<ChangeHash>) -> BTreeMap<String, Field> {
        let known: BTreeMap<ChangeHash, &Made> =
            set.iter().filter_map(|hash| Some((*hash, self.changes.get(hash)?))).collect();
        let histories: BTreeMap<ChangeHash, BTreeSet<ChangeHash>> =
            known.keys().map(|hash| (*hash, self.history(hash))).collect();
        let mut paths: BTreeSet<&String> = known.values().flat_map(|made| made.puts.keys()).collect();
        paths.extend(known.values().flat_map(|made| made.resolves.keys()));
        paths.into_iter().map(|path| (path.clone(), field(path, &known, &histories))).collect()
    }

    /// What a record's events fold to: the state, and whether a latest one covers exactly these heads.
    #[must_use]
    pub fn review(&self, events: &BTreeSet<DocId>, heads: &BTreeSet<ChangeHash>) -> (ReviewStatus, bool) {
        let known: Vec<(&DocId, &MadeEvent)> =
            events.iter().filter_map(|id| Some((id, self.events.get(id)?))).collect();
        let counted: Vec<_> = known.into_iter().filter(|(_, event)| event.kind != ReviewKind::Comment).collect();
        let hidden: BTreeSet<DocId> = counted.iter().flat_map(|(_, event)| event.seen.iter().copied()).collect();
        let latest: Vec<_> = counted.into_iter().filter(|(id, _)| !hidden.contains(id)).collect();
        let states: BTreeSet<ReviewStatus> = latest
            .iter()
            .map(|(_, event)| match event.kind {
                ReviewKind::Submit | ReviewKind::Reopen => ReviewStatus::Pending,
                ReviewKind::Approve => ReviewStatus::Approved,
                ReviewKind::Return => ReviewStatus::Returned,
                ReviewKind::Withdraw => ReviewStatus::Withdrawn,
                ReviewKind::Comment => ReviewStatus::Unsubmitted,
            })
            .collect();
        let status = match states.len() {
            0 => ReviewStatus::Unsubmitted,
            1 => *states.first().unwrap(),
            _ => ReviewStatus::Disagreed,
        };
        let covered = latest.iter().any(|(_, event)| event.heads == *heads);
        (status, status == ReviewStatus::Approved && !covered)
    }
}

/// A value that a change stands for at a field.
struct Stand<'a> {
    hash: ChangeHash,
    value: &'a String,
    listed: Option<&'a BTreeSet<ChangeHash>>,
}

fn field(
    path: &str,
    known: &BTreeMap<ChangeHash, &Made>,
    histories: &BTreeMap<ChangeHash, BTreeSet<ChangeHash>>,
) -> Field {
    let mut stands = Vec::new();
    for (hash, made) in known {
        if let Some((value, listed)) = made.resolves.get(path) {
            stands.push(Stand { hash: *hash, value, listed: Some(listed) });
        } else if let Some(value) = made.puts.get(path) {
            stands.push(Stand { hash: *hash, value, listed: None });
        }
    }
    let knows = |later: &Stand<'_>, earlier: &Stand<'_>| histories[&later.hash].contains(&earlier.hash);
    let newest = |among: Vec<usize>| -> Vec<usize> {
        let is_covered = |one: &usize| among.iter().any(|other| knows(&stands[*other], &stands[*one]));
        among.iter().copied().filter(|one| !is_covered(one)).collect()
    };
    let front = newest((0..stands.len()).collect());
    let values: BTreeSet<String> = front.iter().map(|at| stands[*at].value.clone()).collect();
    let mut candidates: BTreeSet<ChangeHash> = front.iter().map(|at| stands[*at].hash).collect();
    let mut is_overwritten = false;
    for (at, stand) in stands.iter().enumerate() {
        let covered = newest((0..stands.len()).filter(|other| *other != at && knows(stand, &stands[*other])).collect());
        if covered.len() < 2 {
            continue;
        }
        let mut told: BTreeSet<&String> = BTreeSet::new();
        if let Some(listed) = stand.listed {
            told.extend(covered.iter().filter(|at| listed.contains(&stands[**at].hash)).map(|at| stands[*at].value));
            told.insert(stand.value);
        }
        let values: BTreeSet<&String> = covered.iter().map(|at| stands[*at].value).collect();
        let is_lost = match stand.listed {
            None => values.len() > 1,
            Some(_) => values.iter().any(|value| !told.contains(value)),
        };
        let is_settled = stands
            .iter()
            .any(|later| later.listed.is_some_and(|listed| listed.contains(&stand.hash)) && knows(later, stand));
        if is_lost && !is_settled {
            is_overwritten = true;
            candidates.insert(stand.hash);
            candidates.extend(covered.iter().map(|at| stands[*at].hash));
        }
    }
    let kind = if values.len() > 1 {
        Some(ConflictKind::Concurrent)
    } else if is_overwritten {
        Some(ConflictKind::OverwrittenUnseen)
    } else {
        None
    };
    Field { values, conflict: kind.map(|kind| (kind, candidates)) }
}
