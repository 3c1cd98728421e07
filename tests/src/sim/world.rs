//! The clock, the queue of events, and everybody in it.
//!
//! Everything that happens is an event with a time; events of one time happen in the order in which they were put in. All
//! randomness comes from the plan's seed or from the step's own, so a run repeats itself bit for bit; the trace hash proves
//! it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use qianmo_client_core::HaltReason;
use qianmo_client_core::forms::FormSet;
use qianmo_client_core::simulation::{Tablet, Wish};
use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::ids::{DeviceId, LogId, LogbookId, PackHash};
use qianmo_protocol::session::message::Message;
use qianmo_protocol::time::UnixMillis;
use qianmo_server::hub::{Command, HubOutput, SessionId};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::coverage::{Coverage, State};
use super::field::Seat;
use super::machines::Struck;
use super::model::Model;
use super::network::{self, IDLE_MS, Link, Trouble, Way};
use super::office::Office;
use super::plan::{MINUTE, Plan, Step, What};

/// When every run begins: 2025-06-10T00:00:00Z.
pub const BEGIN_MS: i64 = 1_749_513_600_000;
/// Most events of a run: a run that needs more does not come to rest.
pub const EVENTS_MAX: u64 = 2_000_000;
/// How long a try to connect lasts.
const CONNECT_MS: u64 = 15_000;

/// What happens at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    Step(usize),
    Wake { seat: usize },
    LinkUp { link: u64 },
    NoLink { seat: usize, link: u64 },
    Arrive { link: u64, way: u8 },
    End { link: u64, way: u8 },
    Broken { link: u64 },
    HubRun,
    Reboot { seat: usize },
    RebootHub,
    Offline { seat: usize },
    Confirm,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The first things that were not as they must be; none is good.
    pub problems: Vec<String>,
    /// A digest of everything that happened.
    pub trace: [u8; 32],
    /// Events handled.
    pub events: u64,
    /// Messages that arrived.
    pub messages: u64,
    /// Faults that hit somebody.
    pub faults: u64,
    /// Changes that people made.
    pub changes: usize,
    /// What was reached.
    pub coverage: Coverage,
}

/// A run.
pub struct World<'a> {
    pub(super) plan: &'a Plan,
    pub(super) rng: StdRng,
    pub(super) now: u64,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    queued: u64,
    pub(super) trace: blake3::Hasher,
    pub(super) forms: Arc<FormSet>,
    pub(super) office: Office,
    pub(super) seats: Vec<Seat>,
    pub(super) links: BTreeMap<u64, Link>,
    next_link: u64,
    pub(super) trouble: Trouble,
    pub(super) drop_pushes_until: u64,
    pub(super) model: Model,
    pub(super) coverage: Coverage,
    pub(super) problems: Vec<String>,
    pub(super) has_healed: bool,
    /// Packs by their place: an honest device that was never copied signs one for each.
    places: BTreeMap<(LogbookId, LogId, u32), PackHash>,
    /// Packs that a link has carried, each way.
    carried: BTreeMap<u64, BTreeSet<(Way, PackHash)>>,
    pub(super) copied: BTreeMap<DeviceId, usize>,
    /// Devices that no hub's word about scope binds: their packs are their own.
    pub(super) log: Option<Vec<String>>,
    events: u64,
    pub(super) messages: u64,
    /// Messages that carried something new.
    pub(super) news: u64,
    /// Connections that were opened.
    pub(super) opened: u64,
}

/// Runs a plan to its end.
#[must_use]
pub fn run(plan: &Plan, forms: &Arc<FormSet>) -> Outcome {
    World::new(plan, forms).live()
}

/// Runs a plan and prints what happens.
#[must_use]
pub fn run_told(plan: &Plan, forms: &Arc<FormSet>) -> (Outcome, Vec<String>) {
    let mut world = World::new(plan, forms);
    world.log = Some(Vec::new());
    world.live_told()
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan, forms: &Arc<FormSet>) -> Self {
        let mut rng = StdRng::seed_from_u64(plan.seed);
        let office = Office::found(&mut rng);
        let mut world = Self {
            plan,
            rng,
            now: 0,
            queue: BinaryHeap::new(),
            queued: 0,
            trace: blake3::Hasher::new(),
            forms: Arc::clone(forms),
            office,
            seats: Vec::new(),
            links: BTreeMap::new(),
            next_link: 1,
            trouble: Trouble::default(),
            drop_pushes_until: 0,
            model: Model::default(),
            coverage: Coverage::default(),
            problems: Vec::new(),
            has_healed: false,
            places: BTreeMap::new(),
            carried: BTreeMap::new(),
            copied: BTreeMap::new(),
            log: None,
            events: 0,
            messages: 0,
            news: 0,
            opened: 0,
        };
        for number in 0..plan.tablets {
            world.enrol(number + 1 == plan.tablets);
        }
        for (at, step) in plan.steps.iter().enumerate() {
            world.at(step.at, Event::Step(at));
        }
        world
    }

    fn live(self) -> Outcome {
        self.live_told().0
    }

    fn live_told(mut self) -> (Outcome, Vec<String>) {
        self.run_until(self.plan.heals_at);
        if self.problems.is_empty() {
            self.heal_and_check();
        }
        let outcome = Outcome {
            trace: *self.trace.finalize().as_bytes(),
            events: self.events,
            messages: self.messages,
            faults: self.coverage.fault_count(),
            changes: self.model.changes.len() + self.model.events.len(),
            coverage: core::mem::take(&mut self.coverage),
            problems: core::mem::take(&mut self.problems),
        };
        (outcome, self.log.take().unwrap_or_default())
    }

    /// The hub's clock.
    pub(super) fn hub_time(&self) -> UnixMillis {
        UnixMillis(BEGIN_MS + i64::try_from(self.now).unwrap() + self.office.clock_offset)
    }

    pub(super) fn problem(&mut self, text: String) {
        self.tell(|| format!("PROBLEM {text}"));
        if self.problems.len() < 8 {
            self.problems.push(text);
        }
    }

    pub(super) fn tell(&mut self, text: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(log) = &mut self.log {
            let (day, rest) = (now / 86_400_000, now % 86_400_000);
            log.push(format!(
                "{day}d {:02}:{:02}:{:02}.{:03}  {}",
                rest / 3_600_000,
                rest / 60_000 % 60,
                rest / 1_000 % 60,
                rest % 1_000,
                text()
            ));
        }
    }

    pub(super) fn note(&mut self, what: u8, who: u64, bytes: &[u8]) {
        self.trace.update(&self.now.to_be_bytes());
        self.trace.update(&[what]);
        self.trace.update(&who.to_be_bytes());
        self.trace.update(bytes);
    }

    pub(super) fn at(&mut self, at: u64, event: Event) {
        self.queued += 1;
        self.queue.push(Reverse((at.max(self.now), self.queued, event)));
    }

    pub(super) fn after(&mut self, wait: u64, event: Event) {
        self.at(self.now + wait, event);
    }

    /// Handles events until a moment, or until something is not as it must be.
    pub(super) fn run_until(&mut self, until: u64) {
        while let Some(Reverse((at, _, _))) = self.queue.peek() {
            if *at > until || !self.problems.is_empty() {
                break;
            }
            let Some(Reverse((at, _, event))) = self.queue.pop() else { break };
            self.now = at;
            self.events += 1;
            if self.events > EVENTS_MAX {
                self.problem(format!("{EVENTS_MAX} events did not bring it to rest"));
                return;
            }
            self.handle(event);
        }
        self.now = self.now.max(until);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Step(at) => self.step(self.plan.steps[at]),
            Event::Wake { seat } => self.wake(seat),
            Event::LinkUp { link } => self.link_up(link),
            Event::NoLink { seat, link } => self.no_link(seat, link),
            Event::Arrive { link, way } => self.arrive(link, if way == 0 { Way::Up } else { Way::Down }),
            Event::End { link, way } => self.end_arrives(link, if way == 0 { Way::Up } else { Way::Down }),
            Event::Broken { link } => self.broken(link),
            Event::HubRun => self.hub_run(),
            Event::Reboot { seat } => self.reboot(seat),
            Event::RebootHub => self.reboot_hub(),
            Event::Offline { seat } => self.goes_offline(seat),
            Event::Confirm => self.confirm_devices(),
        }
    }

    fn step(&mut self, step: Step) {
        let mut draw = StdRng::seed_from_u64(step.draw);
        self.tell(|| format!("step {} {:?}", step.number, step.what));
        match step.what {
            What::Act(act) => self.act(act, step.number, &mut draw),
            What::Fault(fault) => self.fault(fault, &mut draw),
        }
    }

    // ---- tablets ----

    /// Lets a tablet's program do something, if it runs.
    pub(super) fn on_tablet<T>(&mut self, seat: usize, work: impl FnOnce(&mut Tablet) -> T) -> Option<T> {
        let mut core = self.seats[seat].core.take()?;
        core.set_time(Duration::from_millis(self.now - self.seats[seat].booted_at), self.seats[seat].clock(self.now));
        let out = work(&mut core);
        self.seats[seat].core = Some(core);
        self.after_tablet(seat);
        Some(out)
    }

    /// What a tablet wants after it did something.
    fn after_tablet(&mut self, seat: usize) {
        match self.seats[seat].machine.struck() {
            Struck::PowerCut => return self.tablet_loses_power(seat),
            Struck::Failed => self.start_again_later(seat),
            Struck::No => {}
        }
        let halted = self.seats[seat].core.as_ref().and_then(Tablet::halted);
        if halted == Some(HaltReason::StoreFailed) {
            self.start_again_later(seat);
        }
        while let Some(wish) = self.seats[seat].core.as_mut().and_then(Tablet::poll) {
            match wish {
                Wish::Dial => self.dial(seat),
                Wish::Send(frame) => self.tablet_sends(seat, &frame),
                Wish::Close(_code) => {
                    if let Some(link) = self.seats[seat].link.take() {
                        self.ends(link, Way::Up);
                        if let Some(link) = self.links.get_mut(&link) {
                            link.down.packets.clear();
                        }
                    }
                }
            }
        }
        self.plan_wake(seat);
    }

    /// A tablet's store is of no use any more: a person starts the program again.
    pub(super) fn start_again_later(&mut self, seat: usize) {
        if self.seats[seat].reboot_at.is_none() {
            let wait = self.rng.random_range(1_000..10 * MINUTE);
            self.seats[seat].reboot_at = Some(self.now + wait);
            self.after(wait, Event::Reboot { seat });
        }
    }

    fn plan_wake(&mut self, seat: usize) {
        let Some(core) = &self.seats[seat].core else { return };
        let Some(wake) = core.wake() else { return };
        let at = (self.seats[seat].booted_at + u64::try_from(wake.as_millis()).unwrap() + 1).max(self.now + 1);
        if self.seats[seat].wake_at.is_none_or(|planned| planned > at || planned <= self.now) {
            self.seats[seat].wake_at = Some(at);
            self.at(at, Event::Wake { seat });
        }
    }

    fn wake(&mut self, seat: usize) {
        if self.seats[seat].wake_at == Some(self.now) {
            self.seats[seat].wake_at = None;
            self.on_tablet(seat, Tablet::tick);
        }
    }

    fn dial(&mut self, seat: usize) {
        let link = self.next_link;
        self.next_link += 1;
        self.links.insert(link, Link::new(seat));
        self.seats[seat].link = Some(link);
        self.note(1, seat as u64, &link.to_be_bytes());
        let there = self.travels(Way::Up);
        let back = self.travels(Way::Down);
        self.tell(|| format!("  seat {seat} dials link {link}: {there:?} {back:?}"));
        let is_reachable = self.seats[seat].is_online(self.now) && self.office.core.is_some();
        match (is_reachable, there, back) {
            (true, Some(there), Some(back)) => self.after(there + back, Event::LinkUp { link }),
            _ => self.after(CONNECT_MS, Event::NoLink { seat, link }),
        }
    }

    fn travels(&mut self, way: Way) -> Option<u64> {
        network::travel(&mut self.rng, self.plan.weather, self.trouble, way, self.now).map(|at| at - self.now)
    }

    fn no_link(&mut self, seat: usize, link: u64) {
        self.links.remove(&link);
        if self.seats[seat].link == Some(link) {
            self.seats[seat].link = None;
            self.on_tablet(seat, |tablet| tablet.not_connected(None));
        }
    }

    fn link_up(&mut self, link: u64) {
        let Some(seat) = self.links.get(&link).map(|link| link.tablet) else { return };
        if self.seats[seat].link != Some(link) {
            self.links.remove(&link);
            return;
        }
        if self.office.core.is_none() || !self.seats[seat].is_online(self.now) {
            return self.no_link(seat, link);
        }
        self.opened += 1;
        self.links.get_mut(&link).unwrap().is_open = true;
        let who = &self.seats[seat].who;
        let device_key = who.key.verifying_key().to_bytes();
        let device = DeviceId::from_key(&device_key);
        self.give_hub(Command::Open { session: SessionId(link), device, device_key });
        self.on_tablet(seat, Tablet::connected);
    }

    fn tablet_sends(&mut self, seat: usize, frame: &[u8]) {
        // A disk that failed under it may hold what a rewrite left when it gave up, after the frame was made.
        let machine = &self.seats[seat].machine;
        if machine.struck() == Struck::No && machine.disk.unsynced() > 0 {
            self.problem(format!("I2: tablet {seat} sends a frame while something it wrote is not durable"));
        }
        let Some(link) = self.seats[seat].link else { return };
        self.sends(link, Way::Up, frame);
    }

    pub(super) fn sends(&mut self, id: u64, way: Way, frame: &[u8]) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let sent = network::send(&mut self.rng, self.plan.weather, self.trouble, way, self.now, link.pipe(way), frame);
        match sent {
            Some(arrivals) => {
                for at in arrivals {
                    self.at(at, Event::Arrive { link: id, way: u8::from(way == Way::Down) });
                }
            }
            None => self.after(IDLE_MS, Event::Broken { link: id }),
        }
    }

    pub(super) fn ends(&mut self, id: u64, way: Way) {
        let weather = self.plan.weather;
        let Some(link) = self.links.get_mut(&id) else { return };
        let at = network::end(link.pipe(way), self.now, weather);
        self.at(at, Event::End { link: id, way: u8::from(way == Way::Down) });
    }

    fn arrive(&mut self, id: u64, way: Way) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&id) else { return };
        let seat = link.tablet;
        let pipe = link.pipe(way);
        let mut arrived = Vec::new();
        while let Some((at, _)) = pipe.packets.front() {
            if *at > now {
                break;
            }
            if let Some((_, packet)) = pipe.packets.pop_front() {
                arrived.extend_from_slice(&packet);
            }
        }
        pipe.reader.push(&arrived);
        self.note(2 + u8::from(way == Way::Down), id, &arrived);
        loop {
            let Some(link) = self.links.get_mut(&id) else { return };
            match link.pipe(way).reader.next_message() {
                Ok(Some(message)) => {
                    self.messages += 1;
                    self.hears(id, seat, way, message);
                }
                Ok(None) => return,
                Err(error) => return self.problem(format!("a frame of link {id} ({way:?}) is no message: {error}")),
            }
        }
    }

    fn hears(&mut self, id: u64, seat: usize, way: Way, message: Message) {
        self.tell(|| format!("  link {id} seat {seat} {way:?} {}", message.name()));
        self.watch(id, seat, way, &message);
        match way {
            Way::Up => {
                if let Some(link) = self.links.get_mut(&id)
                    && link.heard.len() < 64
                {
                    link.heard.push(message.encode_frame());
                }
                self.give_hub(Command::Message { session: SessionId(id), message: Box::new(message) });
            }
            Way::Down => {
                if self.seats[seat].link == Some(id) {
                    self.on_tablet(seat, |tablet| tablet.received(message));
                    self.hears_of_epoch(seat);
                    let waiting = self.seats[seat].core.as_ref().map(|core| core.status().waiting);
                    self.tell(|| format!("    {waiting:?} waiting"));
                }
            }
        }
    }

    /// What must be true of every message.
    fn watch(&mut self, id: u64, seat: usize, way: Way, message: &Message) {
        let is_news = match message {
            Message::Pack(_)
            | Message::Control(_)
            | Message::Receipt(_)
            | Message::Refuse(_)
            | Message::NeedAncestors(..) => true,
            Message::Hello(_)
            | Message::Welcome(_)
            | Message::Vectors(_)
            | Message::Ack(_)
            | Message::Subscribe
            | Message::Push { .. }
            | Message::Blob(_)
            | Message::Bye(_) => false,
        };
        self.news += u64::from(is_news);
        let Message::Pack(pack) = message else { return };
        let device = DeviceId::from_key(&self.seats[seat].who.key.verifying_key().to_bytes());
        let org = self.office.org();
        let hash = pack.header.hash(&org);
        let place = (pack.header.logbook.id(&org), pack.header.log, pack.header.seq);
        let known = *self.places.entry(place).or_insert(hash);
        if known != hash && !self.copied.contains_key(&pack.header.log.device) {
            self.problem(format!(
                "I3: {} signed two packs at place {} of a log",
                pack.header.log.device, pack.header.seq
            ));
        }
        if !self.carried.entry(id).or_default().insert((way, hash)) {
            self.coverage.mark("pack sent twice in a session");
        }
        if way == Way::Down && !self.office.may_read(&device, &pack.header.logbook) {
            self.problem(format!("I23: {device} was sent a pack of {}", pack.header.logbook));
        }
    }

    fn end_arrives(&mut self, id: u64, way: Way) {
        let Some(link) = self.links.get(&id) else { return };
        let seat = link.tablet;
        match way {
            Way::Up => {
                self.give_hub(Command::Ended { session: SessionId(id) });
                self.links.remove(&id);
                self.carried.remove(&id);
            }
            Way::Down => {
                let code = self.office.closing.remove(&id);
                self.links.remove(&id);
                self.carried.remove(&id);
                if self.seats[seat].link == Some(id) {
                    self.seats[seat].link = None;
                    self.on_tablet(seat, |tablet| tablet.ended(code));
                }
            }
        }
    }

    /// Both sides find out that a connection is gone.
    pub(super) fn broken(&mut self, id: u64) {
        let Some(link) = self.links.remove(&id) else { return };
        self.carried.remove(&id);
        self.office.last_heard = link.heard;
        if link.is_open {
            self.give_hub(Command::Ended { session: SessionId(id) });
        }
        let seat = link.tablet;
        if self.seats[seat].link == Some(id) {
            self.seats[seat].link = None;
            self.on_tablet(seat, |tablet| tablet.ended(None));
        }
    }

    // ---- the hub ----

    pub(super) fn give_hub(&mut self, command: Command) {
        if self.office.core.is_none() {
            return;
        }
        self.office.commands.push(command);
        self.run_hub_soon();
    }

    pub(super) fn run_hub_soon(&mut self) {
        if !self.office.is_run_planned {
            self.office.is_run_planned = true;
            let wait = self.rng.random_range(0..4);
            self.after(wait, Event::HubRun);
        }
    }

    fn hub_run(&mut self) {
        self.office.is_run_planned = false;
        let commands = core::mem::take(&mut self.office.commands);
        let now = self.hub_time();
        self.with_hub(|core| core.handle_some(now, commands));
        if self.office.core.as_ref().is_some_and(qianmo_server::hub::HubCore::has_more_to_do) {
            self.run_hub_soon();
        }
        if self.office.wants_house || self.rng.random_range(0..16) == 0 {
            self.office.wants_house = false;
            self.with_hub(|core| core.keep_house().map(|_| Vec::new()));
        }
    }

    /// Lets the hub do something, and sends what it says.
    pub(super) fn with_hub(
        &mut self,
        work: impl FnOnce(&mut qianmo_server::hub::HubCore) -> Result<Vec<HubOutput>, qianmo_server::hub::HubError>,
    ) {
        let Some(mut core) = self.office.core.take() else { return };
        let outcome = work(&mut core);
        match self.office.machine.struck() {
            Struck::PowerCut => return self.hub_loses_power(),
            Struck::Failed | Struck::No => {}
        }
        match outcome {
            Ok(outputs) => {
                self.office.core = Some(core);
                if self.office.machine.disk.unsynced() > 0 && !outputs.is_empty() {
                    self.problem("I2: the hub answers while something it wrote is not durable".to_owned());
                }
                self.hub_says(outputs);
            }
            Err(error) => {
                self.tell(|| format!("the hub's store failed: {error}"));
                drop(core);
                self.hub_is_down();
            }
        }
    }

    fn hub_says(&mut self, outputs: Vec<HubOutput>) {
        for output in outputs {
            match output {
                HubOutput::Send { session, message } => {
                    let is_push = matches!(*message, Message::Push { .. });
                    self.check_may_be_sent(session.0, &message);
                    if is_push && self.drop_pushes_until > self.now {
                        self.coverage.mark("push dropped");
                        self.broken(session.0);
                        continue;
                    }
                    self.sends(session.0, Way::Down, &message.encode_frame());
                }
                HubOutput::Close { session, code } => {
                    if self.links.contains_key(&session.0) {
                        if code != CloseCode::Done {
                            self.tell(|| format!("  the hub closes link {} with {code}", session.0));
                        }
                        if code == CloseCode::ProtocolViolation {
                            self.problem(format!(
                                "the hub says that seat {} broke the protocol",
                                self.links[&session.0].tablet
                            ));
                        }
                        self.office.closing.insert(session.0, code);
                        self.ends(session.0, Way::Down);
                    }
                }
            }
        }
    }

    /// What a seat was doing, for the coverage.
    pub(super) fn state_of(&self, seat: usize) -> State {
        let this = &self.seats[seat];
        let Some(core) = &this.core else { return State::Off };
        match this.link.and_then(|link| self.links.get(&link)) {
            None if core.is_busy() => State::Dialing,
            None => State::Idle,
            Some(link) if !link.is_open => State::Dialing,
            Some(link) if link.heard.is_empty() => State::Opening,
            Some(_) if core.is_busy() => State::Exchanging,
            Some(_) => State::Watching,
        }
    }

    /// What the organisation as a whole was doing: the busiest of its seats.
    pub(super) fn state_of_all(&self) -> State {
        if self.office.core.is_none() {
            return State::Off;
        }
        (0..self.seats.len()).map(|seat| self.state_of(seat)).max().unwrap_or(State::Idle)
    }
}
