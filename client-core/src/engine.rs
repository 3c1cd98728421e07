//! When to sync: decisions without a network, a clock or a thread.
//!
//! One session runs at a time. Who asks for it (a person, a save, the timer, the network coming back) and how the last one
//! ended decide when the next begins and whether it stays to watch. What happens inside a session is not its business.
//!
//! # Calling order
//!
//! [`Engine::handle`] with each input and the time; then [`Engine::poll_effect`] until it is empty; then wait until
//! [`Engine::poll_wake`] or the next input. After [`Effect::Dial`] exactly one [`Input::Over`] comes; after
//! [`Effect::Leave`] it comes soon.
//!
//! # Invariants
//!
//! 1. At most one session: `Dial` is given out only while none runs.
//! 2. A person's request is always tried, also while halted; nothing else is.
//! 3. Every request is answered: when nothing is left, when its time is up, or with why it cannot be.
//!
//! # Limits
//!
//! [`ROUNDS_MAX`] sessions for one request; waits lie between `backoff_min` and `backoff_max`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand::RngCore;

use crate::codes::HaltReason;
use crate::config::{Schedule, Timings};
use crate::status::Connectivity;

/// Most sessions in a row for one request: each has to make progress anyway.
pub(crate) const ROUNDS_MAX: usize = 64;

/// Time since the driver started.
pub(crate) type Moment = Duration;

/// A person's request, by its number.
pub(crate) type AskId = u64;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// The device belongs to an organisation now.
    Enrolled,
    /// The app says what the network is.
    Connectivity(Connectivity),
    /// Something was saved.
    LocalNews,
    /// A person asks for a sync, until a moment.
    Asked(AskId, Moment),
    /// The running session has exchanged everything and watches.
    Settled,
    /// What the control log says of programs as old as this one; told before [`Input::Over`].
    Reading(Reading),
    /// The session is over.
    Over(Over),
    /// The time of [`Engine::poll_wake`] has come.
    Tick,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// Both sides hold what the other held, unless something is left that the hub did not receipt.
    Well {
        /// Whether something is left to send.
        left: Left,
        /// The hub asks to stay away so long.
        retry_after: Option<Duration>,
    },
    /// It broke off. Trying again can help.
    Broken {
        /// The hub asks to stay away so long.
        retry_after: Option<Duration>,
    },
    /// Trying again does not help until something changes.
    Halting(HaltReason),
}

/// Whether the hub gives records to a program of this version (A4). Uploading never stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It does.
    Open,
    /// It does not, and ends a session that would watch: there is nothing to watch for.
    Closed,
}

/// What is left after a session that ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing.
    Nothing,
    /// Something, and the session brought some forward.
    Less,
    /// As much as before.
    AsMuch,
}

/// What the driver must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Open a session.
    Dial(Goal),
    /// Send what is new in the watching session.
    PushNews,
    /// End the running session.
    Leave,
    /// Answer a request.
    Answer(AskId, Answer),
}

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Exchange everything and leave.
    Once,
    /// Exchange everything and stay for what is new.
    Watch,
}

/// The answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A session brought both sides together.
    Done,
    /// The time was up.
    TimeUp,
    /// It does not help to go on.
    Halted(HaltReason),
    /// The device belongs to no organisation.
    NotEnrolled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Running(Goal),
    Watching,
    /// A session was told to end.
    Leaving,
}

/// The decisions.
#[derive(Debug)]
pub(crate) struct Engine {
    timings: Timings,
    schedule: Schedule,
    connectivity: Connectivity,
    is_enrolled: bool,
    halted: Option<HaltReason>,
    reading: Reading,
    phase: Phase,
    failures: u32,
    rounds: usize,
    /// Not before, whoever but a person asks.
    not_before: Moment,
    next: Option<Moment>,
    asks: BTreeMap<AskId, Moment>,
    effects: VecDeque<Effect>,
}

impl Engine {
    pub(crate) const fn new(timings: Timings, schedule: Schedule) -> Self {
        Self {
            timings,
            schedule,
            connectivity: Connectivity::Unknown,
            is_enrolled: false,
            halted: None,
            reading: Reading::Open,
            phase: Phase::Idle,
            failures: 0,
            rounds: 0,
            not_before: Duration::ZERO,
            next: None,
            asks: BTreeMap::new(),
            effects: VecDeque::new(),
        }
    }

    /// The next thing to do.
    pub(crate) fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to come back with a tick.
    pub(crate) fn poll_wake(&self) -> Option<Moment> {
        let dial = self.next.filter(|_| self.phase == Phase::Idle);
        dial.into_iter().chain(self.asks.values().copied()).min()
    }

    /// When the next automatic session begins.
    pub(crate) fn next_try(&self) -> Option<Moment> {
        self.next.filter(|_| self.phase == Phase::Idle)
    }

    pub(crate) const fn halted(&self) -> Option<HaltReason> {
        self.halted
    }

    pub(crate) const fn connectivity(&self) -> Connectivity {
        self.connectivity
    }

    pub(crate) const fn is_running(&self) -> bool {
        !matches!(self.phase, Phase::Idle | Phase::Watching)
    }

    pub(crate) const fn is_watching(&self) -> bool {
        matches!(self.phase, Phase::Watching)
    }

    /// Takes one input.
    pub(crate) fn handle(&mut self, input: Input, now: Moment, rng: &mut dyn RngCore) {
        match input {
            Input::Enrolled => self.on_enrolled(now),
            Input::Connectivity(connectivity) => self.on_connectivity(connectivity, now),
            Input::LocalNews => self.on_news(now),
            Input::Asked(id, until) => self.on_asked(id, until, now),
            Input::Settled => self.on_settled(),
            Input::Reading(reading) => self.reading = reading,
            Input::Over(over) => self.on_over(over, now, rng),
            Input::Tick => {}
        }
        self.expire(now);
        self.begin(now);
    }

    fn on_enrolled(&mut self, now: Moment) {
        self.is_enrolled = true;
        self.halted = None;
        self.failures = 0;
        self.not_before = now;
        self.plan(now);
    }

    fn on_connectivity(&mut self, connectivity: Connectivity, now: Moment) {
        let before = self.connectivity;
        self.connectivity = connectivity;
        if connectivity == before {
            return;
        }
        let watches = matches!(self.phase, Phase::Watching | Phase::Running(Goal::Watch));
        if connectivity == Connectivity::Offline || (watches && connectivity != Connectivity::Unmetered) {
            self.next = None;
            if self.asks.is_empty() {
                self.leave();
            }
        }
        if connectivity != Connectivity::Offline {
            // Another network: what failed on the last one says nothing about this one.
            self.failures = 0;
            self.not_before = now;
            self.plan(now);
        }
    }

    fn on_news(&mut self, now: Moment) {
        match self.phase {
            Phase::Watching => self.effects.push_back(Effect::PushNews),
            Phase::Idle | Phase::Running(_) | Phase::Leaving => self.plan(now.saturating_add(self.timings.after_save)),
        }
    }

    fn on_asked(&mut self, id: AskId, until: Moment, now: Moment) {
        if !self.is_enrolled {
            self.effects.push_back(Effect::Answer(id, Answer::NotEnrolled));
            return;
        }
        if self.asks.is_empty() {
            self.rounds = 0;
        }
        self.asks.insert(id, until);
        // A request gets a session of its own: what the running one has exchanged already may be out of date.
        self.not_before = now;
        match self.phase {
            Phase::Watching | Phase::Running(Goal::Watch) => self.leave(),
            Phase::Idle | Phase::Running(Goal::Once) | Phase::Leaving => {}
        }
    }

    fn on_settled(&mut self) {
        if self.phase == Phase::Running(Goal::Watch) {
            self.phase = Phase::Watching;
            self.failures = 0;
            self.halted = None;
        }
    }

    fn on_over(&mut self, over: Over, now: Moment, rng: &mut dyn RngCore) {
        let was_asked = self.phase == Phase::Running(Goal::Once) && !self.asks.is_empty();
        let was_told = self.phase == Phase::Leaving;
        let watched = matches!(self.phase, Phase::Watching | Phase::Running(Goal::Watch));
        self.phase = Phase::Idle;
        match over {
            Over::Well { left, retry_after } => {
                self.failures = 0;
                self.halted = None;
                self.rounds += 1;
                let goes_on = left == Left::Less && self.rounds < ROUNDS_MAX;
                if was_asked && !goes_on {
                    self.answer_all(Answer::Done);
                }
                // A hub that ends a watch is not dialled in the same moment again.
                let pause = if watched { self.timings.backoff_min } else { Duration::ZERO };
                let pause = pause.max(retry_after.unwrap_or_default());
                self.not_before = now.saturating_add(pause);
                self.next = None;
                let wait = if self.is_watch_wanted() { pause } else { self.interval().max(pause) };
                self.plan(now.saturating_add(wait));
                if left == Left::Less {
                    self.plan(self.not_before);
                }
            }
            // It was told to end, so that it ended says nothing about the network.
            Over::Broken { .. } if was_told => self.plan(now),
            Over::Broken { retry_after } => {
                self.failures = self.failures.saturating_add(1);
                let wait = self.backoff(rng).max(retry_after.unwrap_or_default());
                self.not_before = now.saturating_add(wait);
                self.next = None;
                self.plan(self.not_before);
            }
            Over::Halting(reason) => {
                self.halted = Some(reason);
                self.next = None;
                self.answer_all(Answer::Halted(reason));
            }
        }
    }

    /// Requests whose time is up are answered; a session that ran only for them ends.
    fn expire(&mut self, now: Moment) {
        let over: Vec<AskId> = self.asks.iter().filter(|(_, until)| **until <= now).map(|(id, _)| *id).collect();
        for id in &over {
            self.asks.remove(id);
            self.effects.push_back(Effect::Answer(*id, Answer::TimeUp));
        }
        let is_automatic = self.schedule == Schedule::Automatic && self.connectivity != Connectivity::Offline;
        if !over.is_empty() && self.asks.is_empty() && !is_automatic {
            self.leave();
        }
    }

    /// Opens a session if it is time for one.
    fn begin(&mut self, now: Moment) {
        if self.phase != Phase::Idle || !self.is_enrolled || now < self.not_before {
            return;
        }
        let is_due = self.next.is_some_and(|next| next <= now);
        let goal = if !self.asks.is_empty() {
            Goal::Once
        } else if !is_due {
            return;
        } else if self.is_watch_wanted() {
            Goal::Watch
        } else {
            Goal::Once
        };
        self.next = None;
        self.phase = Phase::Running(goal);
        self.effects.push_back(Effect::Dial(goal));
    }

    /// An automatic session at this moment, unless one comes earlier or none is wanted.
    fn plan(&mut self, at: Moment) {
        let is_wanted = self.schedule == Schedule::Automatic
            && self.connectivity != Connectivity::Offline
            && self.is_enrolled
            && self.halted.is_none();
        if is_wanted {
            let at = at.max(self.not_before);
            self.next = Some(self.next.map_or(at, |next| next.min(at)));
        } else if !self.asks.is_empty() {
            self.next = Some(self.not_before);
        }
    }

    fn is_watch_wanted(&self) -> bool {
        self.schedule == Schedule::Automatic
            && self.connectivity == Connectivity::Unmetered
            && self.reading == Reading::Open
    }

    const fn interval(&self) -> Duration {
        match self.connectivity {
            Connectivity::Metered => self.timings.interval_metered,
            Connectivity::Unknown | Connectivity::Offline | Connectivity::Unmetered => self.timings.interval,
        }
    }

    fn leave(&mut self) {
        if matches!(self.phase, Phase::Running(_) | Phase::Watching) {
            self.phase = Phase::Leaving;
            self.effects.push_back(Effect::Leave);
        }
    }

    fn answer_all(&mut self, answer: Answer) {
        for (id, _) in core::mem::take(&mut self.asks) {
            self.effects.push_back(Effect::Answer(id, answer));
        }
    }

    /// Doubling from the shortest wait to the longest, of which a random half to whole is taken, so that tablets which
    /// lost the hub together do not come back together.
    fn backoff(&self, rng: &mut dyn RngCore) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        let whole = self.timings.backoff_min.saturating_mul(1 << doublings).min(self.timings.backoff_max);
        let half = whole / 2;
        let jitter = f64::from(rng.next_u32()) / f64::from(u32::MAX);
        half.saturating_add(half.mul_f64(jitter))
    }
}

#[cfg(test)]
#[path = "engine/tests.rs"]
mod tests;
