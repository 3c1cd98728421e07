//! Enrolment: a ticket becomes a device.

use qianmo_protocol::control::{Decision, Enrolment, ReplaceProof, Replaces};
use qianmo_protocol::handshake::enrol::{CONTROL_ENTRY_BYTES_MAX, ENROL_REPLY_BYTES_MAX};
use qianmo_protocol::handshake::{EnrolAsk, EnrolRefusal};
use qianmo_protocol::ids::{DeviceId, EntryHash, HubId, PersonCode, StationCode};
use qianmo_protocol::limits::CONTROL_ENTRIES_PER_MESSAGE_MAX;
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::wire::Wire as _;

use super::device::label_key;
use super::ticket::{TicketRow, ticket_key};
use crate::hub::{HubCore, HubError};

/// Bytes of a reply that are not control entries: certificates, names, persons.
const REPLY_REST_BYTES: usize = 16 * 1024;

/// A device that was enrolled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// The hub.
    pub hub: HubId,
    /// The device.
    pub device: DeviceId,
    /// Where it belongs.
    pub station: StationCode,
    /// Who works on it.
    pub persons: Vec<PersonCode>,
    /// Control entries that prove it, parents first.
    pub control_entries: Vec<Vec<u8>>,
}

impl HubCore {
    /// Judges an ask whose signature was found good. What it decides is durable when this returns.
    ///
    /// # Errors
    /// [`HubError`] when the store fails; the inner refusal is for the tablet.
    pub fn enrol(&mut self, now: UnixMillis, ask: &EnrolAsk) -> Result<Result<Enrolled, EnrolRefusal>, HubError> {
        let key = ticket_key(&ask.token);
        let stored = self.replica().meta(&key)?;
        let Some(mut row) = stored.and_then(|bytes| TicketRow::decode(&bytes).ok()) else {
            return Ok(Err(EnrolRefusal::UnknownToken));
        };
        match row.used_by {
            Some(used_by) if used_by != ask.device_key => return Ok(Err(EnrolRefusal::UsedToken)),
            None if row.expires < now => return Ok(Err(EnrolRefusal::Expired)),
            Some(_) | None => {}
        }
        let replaces = match self.judged_replaces(ask, &row) {
            Ok(replaces) => replaces,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let fold = self.replica().control().fold();
        let known = fold.device(&ask.device());
        // Another key under this id, or a key that was revoked, is never enrolled again.
        if known
            .is_some_and(|known| known.is_revoked() || (known.is_enrolled() && known.key() != Some(&ask.device_key)))
            || ask.device() == self.replica().device()
        {
            return Ok(Err(EnrolRefusal::WrongKey));
        }
        // A repeated ask finds its enrolment there, unless a crash came between the ticket and the entries.
        let is_done = row.used_by.is_some() && known.is_some();
        if !is_done {
            row.used_by = Some(ask.device_key);
            let store = |core: &mut Self| core.store_enrolment(now, ask, &key, &row, replaces);
            match row.by.clone() {
                Some(by) => self.acting(&by, store)?,
                None => store(self)?,
            }
        }
        let device = ask.device();
        tracing::info!(%device, station = %row.station, "a device is enrolled");
        let control_entries = self.entries_for(&device);
        Ok(Ok(Enrolled { hub: self.hub(), device, station: row.station, persons: row.persons, control_entries }))
    }

    /// The ticket's mark, the enrolment and its grants: one group, one fdatasync, the mark first.
    fn store_enrolment(
        &mut self,
        now: UnixMillis,
        ask: &EnrolAsk,
        key: &[u8],
        row: &TicketRow,
        replaces: Option<Replaces>,
    ) -> Result<(), HubError> {
        let enrolment = Enrolment {
            key: ask.device_key,
            persons: row.persons.iter().cloned().collect(),
            station: row.station.clone(),
            replaces,
        };
        let mut decisions = vec![Decision::Enrol(enrolment)];
        if let Some(grant) = &row.grant {
            decisions.extend(self.missing_grants(&row.persons, grant));
        }
        self.put_meta(key, &row.encode())?;
        if let Some(label) = row.label.as_ref().or(ask.label.as_ref()) {
            self.put_meta(&label_key(&ask.device()), label.as_bytes())?;
        }
        self.decide_in_one_group(now, decisions)
    }

    /// What the new device replaces, by the ticket's word or the old key's (A15).
    fn judged_replaces(&self, ask: &EnrolAsk, row: &TicketRow) -> Result<Option<Replaces>, EnrolRefusal> {
        let by_ticket = row.replaces.map(|device| Replaces { device, proof: ReplaceProof::Ticket });
        match &ask.replaces {
            None => Ok(by_ticket),
            Some(asked) => match &asked.proof {
                ReplaceProof::Ticket if by_ticket.as_ref() == Some(asked) => Ok(by_ticket),
                ReplaceProof::Ticket => Err(EnrolRefusal::WrongKey),
                ReplaceProof::OldKey { .. } if asked.proves(&self.org(), &ask.device_key) => Ok(Some(asked.clone())),
                ReplaceProof::OldKey { .. } => Err(EnrolRefusal::WrongKey),
            },
        }
    }

    /// Control entries for a new device: all of them while they fit; else what its own enrolment stands on.
    ///
    /// They are given parents first, so what is left out at the end comes with the first session.
    fn entries_for(&self, device: &DeviceId) -> Vec<Vec<u8>> {
        let control = self.replica().control();
        let all: Vec<Vec<u8>> = control.iter().map(|(_, entry)| entry.encode()).collect();
        if fits(&all) {
            return all;
        }
        let own: Vec<EntryHash> =
            control.fold().device(device).into_iter().flat_map(|device| device.enrolments().iter().copied()).collect();
        let is_needed = |hash: &EntryHash| own.iter().any(|own| control.closure_contains(own, hash));
        let mut needed = Vec::new();
        for (_, entry) in control.iter().filter(|(hash, _)| is_needed(hash)) {
            needed.push(entry.encode());
            if !fits(&needed) {
                needed.pop();
                break;
            }
        }
        needed
    }
}

fn fits(entries: &[Vec<u8>]) -> bool {
    let bytes: usize = entries.iter().map(|entry| entry.len() + 4).sum();
    entries.len() <= CONTROL_ENTRIES_PER_MESSAGE_MAX
        && bytes + REPLY_REST_BYTES <= ENROL_REPLY_BYTES_MAX
        && entries.iter().all(|entry| entry.len() <= CONTROL_ENTRY_BYTES_MAX)
}
