//! The one async loop: it carries out what the engine decides, and tells it what happened.
//!
//! It runs on a thread and a small runtime of its own, so the app may use any executor or none. Sessions and enrolments
//! are tasks beside the loop; they talk to the store's owner and to the network, never to one another.
//!
//! # Flow
//!
//! ```text
//! requests (app, owner) ─┐
//! session events ────────┼─> engine.handle ─> poll_effect: dial, leave, push news, answer
//! timer (poll_wake) ─────┘
//! ```
//!
//! # Limits
//!
//! [`LEAVE_WAIT`] for a session to say goodbye when the core closes.

mod enrolling;
mod failure;
mod session;
#[cfg(feature = "simulation")]
pub mod simulation;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::calendar::Clock;
use crate::codes::HaltReason;
use crate::config::ClientConfig;
use crate::engine::{Answer, AskId, Effect, Engine, Goal, Input, Moment, Over};
use crate::error::{EnrollError, SyncError};
use crate::event::Event;
use crate::identity::Identity;
use crate::network::Network;
use crate::owner::{IndexFate, OwnerHandle, Shared};
use crate::status::{Connectivity, SyncFailure, SyncPhase, SyncReport};

use enrolling::Enrolling;
use session::{Control, SessionEvent};

/// How long a session may take to say goodbye when the core closes.
const LEAVE_WAIT: Duration = Duration::from_secs(3);

/// What the app and the owner ask of the driver.
#[derive(Debug)]
pub(crate) enum Request {
    Sync { within: Duration, answer: oneshot::Sender<Result<SyncReport, SyncError>> },
    Connectivity(Connectivity),
    LocalNews,
    Enroll { ticket: String, answer: oneshot::Sender<Result<String, EnrollError>> },
    Close { done: oneshot::Sender<()> },
}

/// What the driver needs.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) owner: OwnerHandle,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) config: ClientConfig,
    pub(crate) clock: Clock,
}

impl core::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Surroundings").field("network", &self.network).finish_non_exhaustive()
    }
}

/// What tasks beside the loop tell it.
#[derive(Debug)]
enum Happened {
    Session(SessionEvent),
    /// An enrolment ended; whoever asked is answered when the driver knows of it.
    Enrolled(Box<Result<Identity, EnrollError>>, oneshot::Sender<Result<String, EnrollError>>),
}

/// A person who waits for a sync.
#[derive(Debug)]
struct Asking {
    answer: oneshot::Sender<Result<SyncReport, SyncError>>,
    since: Instant,
    report: SyncReport,
}

#[derive(Debug)]
struct Driver {
    around: Surroundings,
    engine: Engine,
    began: Instant,
    identity: Option<Arc<Identity>>,
    asks: BTreeMap<AskId, Asking>,
    next_ask: AskId,
    /// Tells the running session what to do, and what it is for.
    session: Option<(mpsc::UnboundedSender<Control>, Goal)>,
    happened: mpsc::UnboundedSender<Happened>,
    last_failure: Option<String>,
    last_store_failure: Option<String>,
    /// The next try as the engine has it, and as it was told.
    next_try: Option<(Moment, i64)>,
    has_rebuilt: bool,
}

/// Starts the driver's thread.
pub(crate) fn start(
    around: Surroundings,
    identity: Option<Identity>,
    requests: mpsc::UnboundedReceiver<Request>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("qianmo-sync".to_owned());
    thread.spawn(move || {
        runtime.block_on(run(around, identity, requests));
        // What still closes in the background has had its time.
        runtime.shutdown_timeout(Duration::from_millis(100));
    })?;
    Ok(())
}

async fn run(around: Surroundings, identity: Option<Identity>, mut requests: mpsc::UnboundedReceiver<Request>) {
    let (happened, mut happenings) = mpsc::unbounded_channel();
    let engine = Engine::new(around.config.timings, around.config.schedule);
    let mut driver = Driver {
        around,
        engine,
        began: Instant::now(),
        identity: identity.map(Arc::new),
        asks: BTreeMap::new(),
        next_ask: 0,
        session: None,
        happened,
        last_failure: None,
        last_store_failure: None,
        next_try: None,
        has_rebuilt: false,
    };
    if driver.identity.is_some() {
        driver.input(Input::Enrolled);
    }
    let mut closing = None;
    while closing.is_none() {
        let wake = driver.engine.poll_wake();
        tokio::select! {
            request = requests.recv() => match request {
                None => break,
                Some(Request::Close { done }) => closing = Some(done),
                Some(request) => driver.on_request(request),
            },
            Some(event) = happenings.recv() => driver.on_happened(event).await,
            () = sleep_until(driver.began, wake) => driver.input(Input::Tick),
        }
    }
    driver.leave(&mut happenings).await;
    if let Some(done) = closing {
        done.send(()).unwrap_or_default();
    }
}

async fn sleep_until(began: Instant, wake: Option<Moment>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(began + wake).await,
        None => std::future::pending().await,
    }
}

impl Driver {
    fn now(&self) -> Moment {
        self.began.elapsed()
    }

    fn input(&mut self, input: Input) {
        self.engine.handle(input, self.now(), &mut rand::rng());
        let mut answers = Vec::new();
        while let Some(effect) = self.engine.poll_effect() {
            match effect {
                Effect::Dial(goal) => self.dial(goal),
                Effect::PushNews => self.tell_session(Control::News),
                Effect::Leave => self.tell_session(Control::Leave),
                Effect::Answer(id, answer) => answers.push((id, answer)),
            }
        }
        // Whoever is answered finds the status as the answer has it.
        self.publish();
        answers.into_iter().for_each(|(id, answer)| self.answer(id, answer));
    }

    fn on_request(&mut self, request: Request) {
        match request {
            Request::Sync { within, answer } => {
                let id = self.next_ask;
                self.next_ask += 1;
                self.asks.insert(id, Asking { answer, since: Instant::now(), report: SyncReport::default() });
                self.input(Input::Asked(id, self.now().saturating_add(within)));
            }
            Request::Connectivity(connectivity) => self.input(Input::Connectivity(connectivity)),
            Request::LocalNews => self.input(Input::LocalNews),
            Request::Enroll { ticket, answer } => self.enroll(ticket, answer),
            // The loop takes this one itself.
            Request::Close { done } => done.send(()).unwrap_or_default(),
        }
    }

    fn enroll(&self, ticket: String, answer: oneshot::Sender<Result<String, EnrollError>>) {
        let may_enrol_again = matches!(
            self.engine.halted(),
            Some(HaltReason::Revoked | HaltReason::DeviceRefused | HaltReason::NotEnrolled)
        );
        let enrolling = Enrolling {
            around: self.around.clone(),
            present: self.identity.clone(),
            may_enrol_again: may_enrol_again || self.around.shared.status().copied.is_some(),
        };
        let happened = self.happened.clone();
        tokio::spawn(async move {
            let outcome = enrolling.run(&ticket).await;
            drop(happened.send(Happened::Enrolled(Box::new(outcome), answer)));
        });
    }

    fn dial(&mut self, goal: Goal) {
        let Some(identity) = self.identity.clone() else { return };
        let (control, controls) = mpsc::unbounded_channel();
        self.session = Some((control, goal));
        let happened = self.happened.clone();
        tokio::spawn(session::run(self.around.clone(), identity, goal, controls, move |event| {
            drop(happened.send(Happened::Session(event)));
        }));
    }

    /// A session that is gone needs no telling; its end is on the way.
    fn tell_session(&self, control: Control) {
        if let Some((session, _)) = &self.session {
            session.send(control).unwrap_or_default();
        }
    }

    async fn on_happened(&mut self, event: Happened) {
        match event {
            Happened::Enrolled(outcome, answer) => {
                let told = outcome.map(|identity| {
                    let station = identity.station.to_string();
                    self.identity = Some(Arc::new(identity));
                    self.last_failure = None;
                    self.input(Input::Enrolled);
                    station
                });
                drop(answer.send(told));
            }
            Happened::Session(SessionEvent::Settled(report)) => {
                self.succeeded(&report);
                self.input(Input::Settled);
            }
            Happened::Session(SessionEvent::Over(ended)) => {
                // A watch that made place for a request was not part of it.
                let was_asked = self.session.take().is_some_and(|(_, goal)| goal == Goal::Once);
                for asking in self.asks.values_mut().filter(|_| was_asked) {
                    asking.report.add(&ended.report);
                }
                match ended.over {
                    Over::Well { .. } => self.succeeded(&ended.report),
                    Over::Broken { .. } | Over::Halting(_) => self.failed(ended.over, ended.detail),
                }
                if ended.rebuild && !self.has_rebuilt {
                    self.has_rebuilt = true;
                    self.rebuild().await;
                }
                if let Some(reading) = ended.reading {
                    self.input(Input::Reading(reading));
                }
                self.input(Input::Over(ended.over));
            }
        }
    }

    async fn rebuild(&self) {
        match self.around.owner.reopen(IndexFate::Rebuild).await {
            Ok(Ok(())) => self.around.shared.tell(Event::Repaired),
            Ok(Err(error)) => tracing::error!(%error, "the store could not be opened again"),
            Err(_gone) => {}
        }
    }

    fn succeeded(&mut self, report: &SyncReport) {
        let now = (self.around.clock)().0;
        self.last_failure = None;
        self.around.shared.update(|status| {
            status.last_success_ms = Some(now);
            status.last_failure = None;
        });
        self.around.shared.tell(Event::Synced(Arc::new(report.clone())));
    }

    fn failed(&mut self, over: Over, detail: Option<failure::Detail>) {
        let Some(detail) = detail else { return };
        tracing::info!(detail = %detail.text, "a session with the hub did not end well");
        let message = match over {
            Over::Halting(reason) => reason.message(),
            Over::Well { .. } | Over::Broken { .. } => detail.hint.message(),
        };
        if over == Over::Halting(HaltReason::StoreFailed) {
            self.last_store_failure = Some(detail.text.clone());
        }
        let failure = SyncFailure { at_ms: (self.around.clock)().0, detail: detail.text.clone(), message };
        self.last_failure = Some(detail.text);
        self.around.shared.update(|status| status.last_failure = Some(failure));
    }

    fn answer(&mut self, id: AskId, answer: Answer) {
        let Some(asking) = self.asks.remove(&id) else { return };
        let mut report = asking.report;
        report.duration = asking.since.elapsed();
        let outcome = match answer {
            Answer::Done => Ok(report),
            Answer::TimeUp if report.sessions > 0 => Ok(SyncReport { complete: false, ..report }),
            Answer::TimeUp => Err(match &self.last_failure {
                Some(detail) => SyncError::Unreachable { detail: detail.clone() },
                None => SyncError::TimedOut,
            }),
            Answer::Halted(HaltReason::StoreFailed) => {
                let detail = self.last_store_failure.clone().unwrap_or_default();
                Err(SyncError::Store(crate::error::StoreFailure { detail }))
            }
            Answer::Halted(reason) => Err(SyncError::Halted(reason)),
            Answer::NotEnrolled => Err(SyncError::NotEnrolled),
        };
        // Whoever asked may have stopped waiting; the work was done all the same.
        drop(asking.answer.send(outcome));
    }

    fn publish(&mut self) {
        let next = self.engine.next_try();
        if self.next_try.map(|(moment, _)| moment) != next {
            let now = (self.around.clock)().0;
            let told = |moment: Moment| {
                let wait = moment.saturating_sub(self.began.elapsed()).as_millis();
                now.saturating_add(i64::try_from(wait).unwrap_or(i64::MAX))
            };
            self.next_try = next.map(|moment| (moment, told(moment)));
        }
        let next_try_ms = self.next_try.map(|(_, at)| at);
        let phase = if self.engine.is_watching() {
            SyncPhase::Watching
        } else if self.engine.is_running() {
            SyncPhase::Running
        } else {
            SyncPhase::Idle
        };
        let (connectivity, halted) = (self.engine.connectivity(), self.engine.halted());
        self.around.shared.update(|status| {
            status.phase = phase;
            status.connectivity = connectivity;
            status.halted = halted;
            status.next_try_ms = next_try_ms;
        });
    }

    /// Ends the running session politely, within a bound.
    async fn leave(&mut self, happenings: &mut mpsc::UnboundedReceiver<Happened>) {
        if self.session.is_none() {
            return;
        }
        self.tell_session(Control::Leave);
        let over = async {
            while let Some(event) = happenings.recv().await {
                if matches!(event, Happened::Session(SessionEvent::Over(_))) {
                    break;
                }
            }
        };
        if tokio::time::timeout(LEAVE_WAIT, over).await.is_err() {
            tracing::debug!("closed while a session was still saying goodbye");
        }
    }
}
