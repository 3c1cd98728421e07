//! What this device wants to hold, and which logbooks it tells of first.

use std::collections::{BTreeMap, BTreeSet};

use qianmo_protocol::control::{Fold, Role, Scope};
use qianmo_protocol::ids::{DeviceId, EntryHash, LogbookName, StationCode};
use qianmo_protocol::time::Month;
use qianmo_protocol::vector::{Selection, Stations};
use qianmo_protocol::wire::{DecodeError, Reader, Wire, Writer};

/// How many months a device holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) back: u8,
    pub(super) ahead: u8,
}

/// The stations the persons of a device may read, its own first; `None` for all of the district.
pub(super) fn stations(fold: &Fold, device: &DeviceId, home: &StationCode) -> Option<Vec<StationCode>> {
    let mut stations = vec![home.clone()];
    for (hash, grant) in fold.persons_of(device).flat_map(|person| fold.grants_of(person)) {
        if fold.is_cut(hash) || grant.role == Role::Viewer {
            continue;
        }
        match &grant.scope {
            Scope::District => return None,
            Scope::Stations(granted) => stations.extend(granted.iter().cloned()),
        }
    }
    let mut seen = BTreeSet::new();
    stations.retain(|station| seen.insert(station.clone()));
    Some(stations)
}

/// What a device wants by its persons' grants: a coordinator of the district everything, others a window of months.
pub(super) fn wanted(fold: &Fold, device: &DeviceId, home: &StationCode, month: Month, window: Window) -> Selection {
    let all = Selection::everything();
    let stations = match stations(fold, device, home) {
        Some(stations) => Stations::These(stations.into_iter().collect()),
        None => Stations::All,
    };
    let mut grants = fold.persons_of(device).flat_map(|person| fold.grants_of(person));
    let holds_everything = grants.any(|(hash, grant)| {
        let reviews = matches!(grant.role, Role::Coordinator | Role::Admin);
        reviews && grant.scope == Scope::District && !fold.is_cut(hash)
    });
    let first = month.plus(-i32::from(window.back));
    let months = if holds_everything { all.months } else { Some((first, month.plus(i32::from(window.ahead)))) };
    Selection { stations, months, without: BTreeSet::new() }
}

/// Logbooks whose vectors are told in the hello, most likely to differ first.
pub(super) fn live(
    changed: impl IntoIterator<Item = LogbookName>,
    stations: &[StationCode],
    month: Month,
) -> Vec<LogbookName> {
    let mut live: Vec<LogbookName> = changed.into_iter().collect();
    for month in [month, month.plus(-1)] {
        live.extend(stations.iter().map(|station| LogbookName::StationMonth(station.clone(), month)));
    }
    live.push(LogbookName::OrgDirectory);
    live.extend(stations.iter().cloned().map(LogbookName::StationDirectory));
    let mut seen = BTreeSet::new();
    live.retain(|name| seen.insert(name.clone()));
    live
}

/// All stations that the control log or the held logbooks name: where a district's news is likely.
pub(super) fn known_stations(fold: &Fold, held: &[LogbookName]) -> Vec<StationCode> {
    let enrolled = fold.devices().filter_map(|(_, device)| device.station()).cloned();
    let held = held.iter().filter_map(LogbookName::station).cloned();
    let all: BTreeMap<StationCode, ()> = enrolled.chain(held).map(|station| (station, ())).collect();
    all.into_keys().collect()
}

/// What was asked, and what the hub agreed to: used again as long as the same is asked and nothing was decided since.
///
/// A hub gives less for what was decided: a role that was cut, a device that nobody has confirmed after a restore. Whatever
/// may end that is decided, too, so with every decision the whole is asked for again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Agreement {
    pub(super) asked: Selection,
    pub(super) agreed: Selection,
    /// The newest decision that was known.
    pub(super) decided: Option<EntryHash>,
}

impl Wire for Agreement {
    fn write(&self, writer: &mut Writer) {
        self.asked.write(writer);
        self.agreed.write(writer);
        writer.option(self.decided.as_ref(), |writer, entry| writer.raw(&entry.0));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (asked, agreed) = (Selection::read(reader)?, Selection::read(reader)?);
        let decided = reader.option("decided", |reader| Ok(EntryHash(reader.array("entry")?)))?;
        Ok(Self { asked, agreed, decided })
    }
}

#[cfg(test)]
mod tests {
    use qianmo_protocol::ids::Code;

    use super::*;

    #[test]
    fn changed_logbooks_come_first_and_none_comes_twice() {
        let st1 = Code::new("ST01").unwrap();
        let july = Month::new(2025, 7).unwrap();
        let old = LogbookName::StationMonth(st1.clone(), Month::new(2024, 3).unwrap());
        let this = LogbookName::StationMonth(st1.clone(), july);
        let live = live([old.clone(), this.clone()], std::slice::from_ref(&st1), july);
        let last = LogbookName::StationMonth(st1.clone(), july.plus(-1));
        assert_eq!(live, [old, this, last, LogbookName::OrgDirectory, LogbookName::StationDirectory(st1)]);
    }

    #[test]
    fn agreement_reads_back() {
        let all = Selection::everything();
        let less = Selection { stations: Stations::These([Code::new("ST01").unwrap()].into()), ..all.clone() };
        let agreement = Agreement { asked: all, agreed: less, decided: Some(EntryHash([3; 32])) };
        assert_eq!(Agreement::decode(&agreement.encode()), Ok(agreement));
    }
}
