//! Why a confirmed change may be missing at the end although its author's rights and machine are as they were.

use qianmo_protocol::control::{Carrier, QuarantineScope};
use qianmo_protocol::ids::{ChangeHash, DeviceId, DocId, LogbookName};
use qianmo_protocol::limits::{HOME_CLOCK_DAYS_MAX, MONTHS_AHEAD_MAX};
use qianmo_protocol::session::Shelf as _;
use qianmo_protocol::time::UnixMillis;
use qianmo_replica::replica::Replica;
use qianmo_server::hub::CODE_MONTH_AHEAD;

use super::office::HUB_CLOCK_DAYS_MAX;
use super::plan::DAY;
use super::world::{BEGIN_MS, World};

impl World<'_> {
    /// Whether the hub held a change for its month by what its clock showed then, while a tablet may have filed so: it
    /// believes a time that the hub said before, and so many days more (A7). Without a hub's clock that went back no
    /// month is both.
    pub(super) fn is_ahead_of_the_clock(
        &self,
        replica: &Replica,
        doc: &DocId,
        is_it: impl Fn(&ChangeHash) -> bool,
    ) -> bool {
        let Ok(Some(LogbookName::StationMonth(_, month))) = replica.home_of(doc) else { return false };
        let days = HUB_CLOCK_DAYS_MAX + i64::from(HOME_CLOCK_DAYS_MAX);
        let latest = BEGIN_MS + i64::try_from(self.now).unwrap() + days * i64::try_from(DAY).unwrap();
        if UnixMillis(latest).month_in_shanghai().is_none_or(|latest| month > latest) {
            return false;
        }
        replica.control().fold().holding().any(|(entry, scope, code)| {
            let QuarantineScope::Change { change, carrier: Carrier::Pack(_) } = scope else { return false };
            let then = replica.control().entry(&entry).and_then(|entry| entry.content().time.month_in_shanghai());
            let is_ahead = then.is_some_and(|then| month.number() > then.number() + MONTHS_AHEAD_MAX);
            code == CODE_MONTH_AHEAD && is_ahead && is_it(&change)
        })
    }

    /// Whether what a tablet lost, because it was put back to an old image, is only where it was carried to by hand, on
    /// tablets whose people may not read its logbook any more. They and the hub leave such logbooks out of their sessions
    /// (B); a tablet that was revoked is asked for everything it has (A10).
    pub(super) fn is_stranded(
        &self,
        hub: &Replica,
        author: &DeviceId,
        is_held_by: impl Fn(&Replica) -> bool,
        doc: &DocId,
    ) -> bool {
        let holders = self.seats.iter().filter_map(|seat| Some((seat.device(), seat.core.as_ref()?.replica())));
        let mut holders = holders.filter(|(_, replica)| is_held_by(replica)).peekable();
        self.copied.contains_key(author)
            && !is_held_by(hub)
            && holders.peek().is_some()
            && holders.all(|(device, replica)| {
                let home = replica.home_of(doc).ok().flatten();
                device != *author
                    && !self.model.revoked.contains(&device)
                    && home.is_some_and(|home| !hub.may_read(&device, &home))
            })
    }
}
