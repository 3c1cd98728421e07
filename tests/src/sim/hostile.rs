//! Devices and programs that misbehave: what an enrolled device can do with an altered program, and programs of other
//! protocol versions. None of it may be shown, and none of it may hold up honest work.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use automerge::transaction::Transactable as _;
use automerge::{ActorId as LibraryActor, Automerge, Change, ExpandedChange, ObjType, ROOT, ReadDoc as _};
use qianmo_protocol::change::{ActorId, RawChange, Scalar};
use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::ids::{Code, DeviceId, DocId, LogbookName};
use qianmo_protocol::record::{Document, FieldEdit, FieldPath, Origin, RecordRoot, create, edit};
use qianmo_protocol::session::message::{Hello, Message};
use qianmo_protocol::session::{Effect, Opening, Session, Shelf as _, Stay, Toward};
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::vector::{Selection, WireVector};
use qianmo_server::hub::{Command, HubOutput, SessionId};
use rand::Rng as _;
use rand::rngs::StdRng;

use super::office::STATION;
use super::world::World;

/// What a hostile device writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attack {
    /// A first change that says more than it may.
    Message,
    /// The next number of another's actor.
    Squat,
    /// An operation counter near the end of its range.
    Counter,
    /// A change that depends on one nobody has.
    MissingDeps,
    /// A map within a map within a map …
    Deep,
    /// As many operations as fit.
    ManyOps,
    /// A key of an existing record deleted.
    Delete,
    /// A record that names another logbook.
    Elsewhere,
    /// A number left out.
    Gap,
}

impl Attack {
    const ALL: [Self; 9] = [
        Self::Message,
        Self::Squat,
        Self::Counter,
        Self::MissingDeps,
        Self::Deep,
        Self::ManyOps,
        Self::Delete,
        Self::Elsewhere,
        Self::Gap,
    ];
}

impl World<'_> {
    /// A tablet turns hostile: from now on only attacks are written on it.
    pub(super) fn hostile(&mut self, seat: usize, draw: &mut StdRng) {
        let hostile = self.seats.iter().filter(|seat| seat.is_hostile).count();
        if !self.seats[seat].is_hostile && (self.seats[seat].is_coordinator || hostile * 3 >= self.seats.len()) {
            return;
        }
        if self.copied.contains_key(&self.seats[seat].device()) {
            return;
        }
        // What its person wrote before stays honest work; it must not be lost either.
        self.seats[seat].is_hostile = true;
        let attack = Attack::ALL[draw.random_range(0..Attack::ALL.len())];
        let Some((logbook, doc, change)) = self.attack(seat, attack, draw) else { return };
        self.coverage.mark("attack written");
        self.model.hostile.insert(change.hash());
        self.on_tablet(seat, |tablet| drop(tablet.write_raw(&logbook, vec![(doc, change)])));
        self.goes_online(seat, super::plan::HOUR);
    }

    fn attack(&self, seat: usize, attack: Attack, draw: &mut StdRng) -> Option<(LogbookName, DocId, RawChange)> {
        let core = self.seats[seat].core.as_ref()?;
        let replica = core.replica();
        let origin = Origin {
            actor: ActorId(draw.random()),
            person: self.seats[seat].person.clone(),
            time: self.seats[seat].clock(self.now),
        };
        let month = self.hub_time().month_in_shanghai()?;
        let home = LogbookName::StationMonth(Code::new(STATION).unwrap(), month);
        let records = replica.all_records().ok()?;
        let existing = records.get(draw.random_range(0..records.len().max(1))).copied();
        let fresh = |logbook: &LogbookName| first_change(&origin, logbook, &self.office.org());
        match attack {
            Attack::Message => {
                Some(rooted(home.clone(), changed(&fresh(&home), |one| one.message = Some("hello".to_owned()))?))
            }
            Attack::Deep => Some(rooted(home, deep(&origin)?)),
            Attack::ManyOps => Some(rooted(home, many_ops(&origin)?)),
            Attack::Elsewhere => {
                let other = LogbookName::StationDirectory(Code::new("ST99").unwrap());
                Some(rooted(home, fresh(&other)))
            }
            Attack::Squat | Attack::Counter | Attack::MissingDeps | Attack::Delete | Attack::Gap => {
                let doc = existing?;
                let document = replica.document(&doc).ok()??;
                let logbook = replica.home_of(&doc).ok()??;
                let word = Scalar::Text(format!("hostile {}", draw.random::<u32>()));
                let edits = [FieldEdit::Set(FieldPath::Field("remark".to_owned()), word)];
                // What this device wrote before passed no gate here: the library may panic over its own document.
                let written = AssertUnwindSafe(|| edit(&document, &document.heads(), &origin, &edits));
                let honest = catch_unwind(written).ok()?.ok()??.change;
                let last = document.changes().last()?.clone();
                let change = match attack {
                    Attack::Counter => changed(&honest, |one| {
                        one.start_op = core::num::NonZeroU64::new(u64::from(u32::MAX) - 2).unwrap()
                    })?,
                    Attack::MissingDeps => changed(&honest, |one| one.deps.push(automerge::ChangeHash([7; 32])))?,
                    Attack::Gap => changed(&honest, |one| one.seq = 5)?,
                    Attack::Delete => deletion(&origin, &document)?,
                    _ => {
                        let squatted = Change::from_bytes(last.bytes().to_vec()).ok()?;
                        changed(&honest, |one| {
                            one.actor_id = squatted.actor_id().clone();
                            one.seq = squatted.seq() + 1;
                        })?
                    }
                };
                Some((logbook, doc, change))
            }
        }
    }

    /// A program of another protocol version says hello.
    pub(super) fn stranger(&mut self, versions: (u16, u16), _draw: &mut StdRng) {
        let Some(core) = &self.office.core else { return };
        let seat = self.rng.random_range(0..self.seats.len());
        let device_key = self.seats[seat].who.key.verifying_key().to_bytes();
        let device = DeviceId::from_key(&device_key);
        let opening = Opening {
            selection: Selection::everything(),
            live: Vec::new(),
            unreceipted: Vec::new(),
            toward: Toward::Hub,
            epoch: None,
            stay: Stay::Leave,
            about: None,
        };
        let hub = core.replica().device();
        let session = match &self.seats[seat].core {
            Some(tablet) => Session::initiate(tablet.replica(), hub, &opening),
            None => return,
        };
        let Some(mut message) = hello_of(session) else { return };
        message.versions = versions;
        message.follow = 0;
        // It asks for everything there is, as a program that was altered would.
        message.selection = Selection::everything();
        message.vectors = core.replica().logbooks().into_iter().map(|name| (name, WireVector::default())).collect();
        let session = SessionId(u64::MAX / 2 - self.now);
        let now = self.hub_time();
        let commands = vec![
            Command::Open { session, device, device_key },
            Command::Message { session, message: Box::new(Message::Hello(message)) },
        ];
        let meets = versions.0 <= 1 && versions.1 >= 1;
        let mut answer = None;
        self.with_hub(|core| {
            let mut outputs = core.handle(now, commands)?;
            outputs.extend(core.handle(now, vec![Command::Ended { session }])?);
            answer = Some(outputs.clone());
            Ok(outputs.into_iter().filter(|output| !is_of(output, session)).collect())
        });
        let Some(answer) = answer else { return };
        let closed = answer.iter().any(|output| {
            matches!(output, HubOutput::Close { session: of, code: CloseCode::IncompatibleVersion } if *of == session)
        });
        let welcomed = answer.iter().any(|output| {
            matches!(output, HubOutput::Send { session: of, message } if *of == session && matches!(**message, Message::Welcome(_)))
        });
        let beyond = answer.iter().find_map(|output| match output {
            HubOutput::Send { session: of, message } if *of == session => match &**message {
                Message::Pack(pack) if !self.office.may_read(&device, &pack.header.logbook) => {
                    Some(&pack.header.logbook)
                }
                _ => None,
            },
            _ => None,
        });
        if let Some(logbook) = beyond {
            self.problem(format!("I23: {device} asked for everything and was sent a pack of {logbook}"));
        }
        if !meets && (!closed || welcomed) {
            self.problem(format!("I25: a program of versions {versions:?} was not told that the versions do not meet"));
        }
        if meets && closed {
            self.problem(format!("I25: a program of versions {versions:?} was sent away though the versions meet"));
        }
        self.coverage.mark(if meets { "newer program served" } else { "other version sent away" });
    }
}

fn is_of(output: &HubOutput, wanted: SessionId) -> bool {
    match output {
        HubOutput::Send { session, .. } | HubOutput::Close { session, .. } => *session == wanted,
    }
}

fn hello_of(mut session: Session) -> Option<Hello> {
    while let Some(effect) = session.poll_effect() {
        if let Effect::Send(Message::Hello(hello)) = effect {
            return Some(hello);
        }
    }
    None
}

/// A change that deletes what others see.
fn deletion(origin: &Origin, document: &Document) -> Option<RawChange> {
    let mut copy = Automerge::new();
    let changes: Vec<Change> =
        document.changes().filter_map(|change| Change::from_bytes(change.bytes().to_vec()).ok()).collect();
    copy.apply_changes(changes).ok()?;
    copy.set_actor(LibraryActor::from(origin.actor.0.as_slice()));
    let key = copy.keys(ROOT).next()?;
    let mut transaction = copy.transaction();
    transaction.delete(ROOT, key).ok()?;
    transaction.commit();
    RawChange::parse(copy.get_last_local_change()?.raw_bytes()).ok()
}

fn rooted(logbook: LogbookName, change: RawChange) -> (LogbookName, DocId, RawChange) {
    (logbook, DocId::from_root(&change.hash()), change)
}

fn first_change(origin: &Origin, logbook: &LogbookName, org: &qianmo_protocol::ids::OrgId) -> RawChange {
    let root = RecordRoot {
        form: Code::new("visit").unwrap(),
        form_version: 1,
        station: Some(Code::new(STATION).unwrap()),
        logbook: logbook.id(org),
        author: origin.person.clone(),
        created_at: UnixMillis(origin.time.0),
    };
    let fields = BTreeMap::from([("content".to_owned(), Scalar::Text("hostile".to_owned()))]);
    create(origin, &root, &fields, &BTreeMap::new()).unwrap().change
}

/// The same change with something else in it, its hash made good.
fn changed(change: &RawChange, how: impl FnOnce(&mut ExpandedChange)) -> Option<RawChange> {
    let mut expanded = Change::from_bytes(change.bytes().to_vec()).ok()?.decode();
    how(&mut expanded);
    RawChange::parse(Change::from(expanded).raw_bytes()).ok()
}

fn written(origin: &Origin, write: impl FnOnce(&mut automerge::transaction::Transaction<'_>)) -> Option<RawChange> {
    let mut document = Automerge::new();
    document.set_actor(LibraryActor::from(origin.actor.0.as_slice()));
    let mut transaction = document.transaction();
    write(&mut transaction);
    transaction.commit();
    let change = document.get_last_local_change()?;
    RawChange::parse(change.raw_bytes()).ok()
}

fn deep(origin: &Origin) -> Option<RawChange> {
    written(origin, |transaction| {
        let mut at = ROOT;
        for _ in 0..300 {
            at = transaction.put_object(&at, "a", ObjType::Map).unwrap();
        }
    })
}

/// Twice as many operations as a change may have. The library needs 60 ms to write them, so they are written once and
/// then given the author.
fn many_ops(origin: &Origin) -> Option<RawChange> {
    static MODEL: OnceLock<Option<RawChange>> = OnceLock::new();
    let model = MODEL.get_or_init(|| {
        written(origin, |transaction| {
            for number in 0..8_000 {
                transaction.put(ROOT, number.to_string(), number).unwrap();
            }
        })
    });
    changed(model.as_ref()?, |one| {
        one.actor_id = LibraryActor::from(origin.actor.0.as_slice());
        one.time = origin.time.0;
    })
}
