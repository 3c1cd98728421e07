//! Tickets: one device, one use, a day at most.

use std::collections::BTreeSet;

use rand::RngCore as _;

use qianmo_protocol::control::{Decision, ENROL_PERSONS_MAX, Grant, Role, Scope};
use qianmo_protocol::handshake::enrol::NAME_BYTES_MAX;
use qianmo_protocol::handshake::{Address, Ticket, Token};
use qianmo_protocol::ids::{DeviceId, PersonCode, StationCode, digest32};
use qianmo_protocol::limits::SELECTION_STATIONS_MAX;
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::wire::{DecodeError, Reader, Wire, Writer};

use crate::hub::{HubCore, HubError};

/// Most hours a ticket is good.
pub const TICKET_HOURS_MAX: u32 = 24;
const HOUR_MS: i64 = 3_600_000;
/// Random bytes stored beside a token's digest are not needed: the token has 128 random bits itself.
const TOKEN_DOMAIN: &str = "qianmo ticket token v1";

/// What an administrator orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketOrder {
    /// Where the device will belong.
    pub station: StationCode,
    /// Who will work on it.
    pub persons: BTreeSet<PersonCode>,
    /// What the persons are to be allowed, in addition to what they are already; `None` to leave that as it is.
    pub grant: Option<TicketGrant>,
    /// The device whose store it takes over.
    pub replaces: Option<DeviceId>,
    /// How long it is good, at most [`TICKET_HOURS_MAX`].
    pub hours: u32,
    /// Where tablets find the hub, the best first.
    pub addresses: Vec<Address>,
}

/// What a ticket allows its persons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketGrant {
    /// What they do.
    pub role: Role,
    /// Where.
    pub scope: Scope,
}

/// Why no ticket is issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// Good for too long, or not at all.
    #[error("a ticket is good for 1 to {max} hours, not {have}")]
    Hours {
        /// Hours asked.
        have: u32,
        /// Most hours.
        max: u32,
    },
    /// Nobody, or too many.
    #[error("a device has 1 to {max} persons, not {have}")]
    Persons {
        /// Persons given.
        have: usize,
        /// Most persons.
        max: usize,
    },
    /// Nowhere to dial.
    #[error("a ticket needs 1 to {max} addresses of the hub, it has {have}; set quic.advertise")]
    Addresses {
        /// Addresses given.
        have: usize,
        /// Most addresses.
        max: usize,
    },
    /// A person without any right.
    #[error("{person} may not write anything yet; give a role with --role")]
    NoGrant {
        /// The person.
        person: PersonCode,
    },
    /// A label that does not fit.
    #[error("a label has at most {max} bytes, not {have}")]
    Label {
        /// Bytes given.
        have: usize,
        /// Most bytes.
        max: usize,
    },
    /// The device to be replaced is not known.
    #[error("there is no device {device} to be replaced")]
    UnknownDevice {
        /// The device.
        device: DeviceId,
    },
    /// The store failed.
    #[error("the ticket could not be stored")]
    Hub(#[from] HubError),
}

/// A ticket as it is stored, under the digest of its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TicketRow {
    pub(super) station: StationCode,
    pub(super) persons: Vec<PersonCode>,
    pub(super) grant: Option<TicketGrant>,
    pub(super) replaces: Option<DeviceId>,
    pub(super) expires: UnixMillis,
    /// The key that used it.
    pub(super) used_by: Option<[u8; 32]>,
    /// What the device is to be called, whatever it says itself.
    pub(super) label: Option<String>,
    /// Who issued it in the hub's pages.
    pub(super) by: Option<PersonCode>,
}

/// What the pages know of a ticket besides its order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TicketNote {
    /// What people will call the device: at most [`NAME_BYTES_MAX`] bytes.
    pub label: Option<String>,
    /// Who issues it.
    pub by: Option<PersonCode>,
}

/// The meta key of a ticket.
pub(super) fn ticket_key(token: &Token) -> Vec<u8> {
    [b"ticket ".as_slice(), &digest32(TOKEN_DOMAIN, &[&token.0])].concat()
}

impl Wire for TicketRow {
    fn write(&self, writer: &mut Writer) {
        writer.code(&self.station);
        writer.list(&self.persons, |writer, person| writer.code(person));
        writer.option(self.grant.as_ref(), |writer, grant| {
            writer.u8(grant.role.number());
            let stations: Option<Vec<StationCode>> = match &grant.scope {
                Scope::District => None,
                Scope::Stations(stations) => Some(stations.iter().cloned().collect()),
            };
            writer.option(stations.as_ref(), |writer, stations| {
                writer.list(stations, |writer, station| writer.code(station));
            });
        });
        writer.option(self.replaces.as_ref(), |writer, device| writer.raw(&device.0));
        writer.i64(self.expires.0);
        writer.option(self.used_by.as_ref(), |writer, key| writer.raw(key));
        writer.option(self.label.as_ref(), |writer, label| writer.bytes(label.as_bytes()));
        writer.option(self.by.as_ref(), |writer, by| writer.code(by));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut row = Self {
            station: reader.code("station")?,
            persons: reader.list("persons", ENROL_PERSONS_MAX, |reader| reader.code("person"))?,
            grant: reader.option("grant", read_grant)?,
            replaces: reader.option("replaces", |reader| Ok(DeviceId(reader.array("device")?)))?,
            expires: UnixMillis(reader.i64("expires")?),
            used_by: reader.option("used by", |reader| reader.array("key"))?,
            label: None,
            by: None,
        };
        // A ticket of an earlier version ends here.
        if reader.remaining() > 0 {
            let label = reader.option("label", |reader| reader.text("label", NAME_BYTES_MAX))?;
            row.label = label.map(ToOwned::to_owned);
            row.by = reader.option("by", |reader| reader.code("by"))?;
        }
        Ok(row)
    }
}

fn read_grant(reader: &mut Reader<'_>) -> Result<TicketGrant, DecodeError> {
    let offset = reader.offset();
    let number = reader.u8("role")?;
    let role =
        Role::from_number(number).ok_or_else(|| DecodeError::Unknown { field: "role", offset, have: number.into() })?;
    let stations =
        reader.option("stations", |reader| reader.list("stations", SELECTION_STATIONS_MAX, |r| r.code("station")))?;
    let scope = stations.map_or(Scope::District, |stations| Scope::Stations(stations.into_iter().collect()));
    Ok(TicketGrant { role, scope })
}

impl HubCore {
    /// Issues a ticket. It is durable when this returns.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn issue_ticket(&mut self, now: UnixMillis, order: &TicketOrder) -> Result<Ticket, IssueError> {
        self.issue_ticket_noted(now, order, &TicketNote::default())
    }

    /// As [`HubCore::issue_ticket`], with what the pages know besides.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn issue_ticket_noted(
        &mut self,
        now: UnixMillis,
        order: &TicketOrder,
        note: &TicketNote,
    ) -> Result<Ticket, IssueError> {
        if let Some(have) = note.label.as_ref().map(String::len).filter(|have| *have > NAME_BYTES_MAX) {
            return Err(IssueError::Label { have, max: NAME_BYTES_MAX });
        }
        let addresses_max = qianmo_protocol::handshake::ticket::ADDRESSES_MAX;
        if order.hours == 0 || order.hours > TICKET_HOURS_MAX {
            return Err(IssueError::Hours { have: order.hours, max: TICKET_HOURS_MAX });
        }
        if order.persons.is_empty() || order.persons.len() > ENROL_PERSONS_MAX {
            return Err(IssueError::Persons { have: order.persons.len(), max: ENROL_PERSONS_MAX });
        }
        if order.addresses.is_empty() || order.addresses.len() > addresses_max {
            return Err(IssueError::Addresses { have: order.addresses.len(), max: addresses_max });
        }
        let fold = self.replica().control().fold();
        let has_grant = |person: &PersonCode| self.grants_now(person).next().is_some();
        if let Some(person) = order.persons.iter().find(|person| order.grant.is_none() && !has_grant(person)) {
            return Err(IssueError::NoGrant { person: person.clone() });
        }
        if let Some(device) = order.replaces.filter(|device| fold.device(device).is_none()) {
            return Err(IssueError::UnknownDevice { device });
        }
        let mut token = Token([0; 16]);
        self.rng_mut().fill_bytes(&mut token.0);
        let expires = UnixMillis(now.0.saturating_add(i64::from(order.hours).saturating_mul(HOUR_MS)));
        let row = TicketRow {
            station: order.station.clone(),
            persons: order.persons.iter().cloned().collect(),
            grant: order.grant.clone(),
            replaces: order.replaces,
            expires,
            used_by: None,
            label: note.label.clone(),
            by: note.by.clone(),
        };
        self.put_durable(&ticket_key(&token), &row.encode())?;
        let authority_key = *self.replica().control().authority();
        Ok(Ticket { addresses: order.addresses.clone(), authority_key, token, expires })
    }

    /// Gives persons a right they have not yet.
    pub(crate) fn missing_grants(&self, persons: &[PersonCode], grant: &TicketGrant) -> Vec<Decision> {
        let wanted =
            |person: &PersonCode| Grant { person: person.clone(), role: grant.role, scope: grant.scope.clone() };
        let is_there = |wanted: &Grant| self.grants_now(&wanted.person).any(|known| known == wanted);
        persons.iter().map(wanted).filter(|wanted| !is_there(wanted)).map(Decision::Grant).collect()
    }
}
