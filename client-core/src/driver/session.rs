//! One session on the network: dial, carry frames both ways, close.
//!
//! What the frames mean is the owner's business; when to dial again the engine's.
//!
//! # Limits
//!
//! An answer of the hub is waited for as long as the configuration says, a goodbye [`GOODBYE_WAIT`].

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::session::message::{Bye, ByeReason, Message};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, timeout};

use super::Surroundings;
use super::failure::{Detail, Hint, Trouble};
use crate::codes::HaltReason;
use crate::engine::{Goal, Left, Over, Reading};
use crate::identity::Identity;
use crate::network::{Line, LineReceiver, LineSender};
use crate::owner::{Gone, Harvest, OwnerHandle, SessionFailure, Step};
use crate::status::SyncReport;
use crate::transport::{LinkError, Purpose, Traffic};

/// How long the last frames may take to arrive.
const GOODBYE_WAIT: Duration = Duration::from_secs(3);
/// Pushes that come within this time are looked at together.
const PUSHES_TOGETHER: Duration = Duration::from_millis(200);

/// What the driver tells a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    /// Something was saved.
    News,
    /// Come to an end.
    Leave,
}

/// What a session tells the driver.
#[derive(Debug)]
pub(super) enum SessionEvent {
    /// Everything is exchanged, and the session watches.
    Settled(SyncReport),
    /// It is over.
    Over(Box<Ended>),
}

/// How a session ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) over: Over,
    pub(super) report: SyncReport,
    pub(super) detail: Option<Detail>,
    pub(super) rebuild: bool,
    /// What the control log says of reading; `None` when there was no session.
    pub(super) reading: Option<Reading>,
}

/// How the conversation ended, when it ended regularly.
#[derive(Debug, Clone, Copy)]
pub(super) enum Parting {
    /// Nothing was left, or the driver said so.
    Ours,
    /// The hub left; `finished` says whether nothing was left then.
    Theirs { bye: Bye, finished: bool },
}

pub(super) async fn run(
    around: Surroundings,
    identity: Arc<Identity>,
    goal: Goal,
    mut controls: UnboundedReceiver<Control>,
    tell: impl Fn(SessionEvent) + Send + Sync + 'static,
) {
    let began = Instant::now();
    let timings = around.config.timings;
    let mut ended = match connect(&around, &identity, goal, &mut controls).await {
        Ok(mut line) => {
            let talk = Talk { owner: &around.owner, goal, reply: timings.reply, patience: timings.backoff_max };
            let outcome = talk.converse(line.as_mut(), &mut controls, &tell).await;
            let harvest = around.owner.ask(|owner| owner.end_session()).await;
            let code = outcome.as_ref().map_or_else(|trouble| trouble.code, |_| CloseCode::Done);
            let traffic = line.close(code).await;
            let mut ended = judge(outcome, harvest, timings.backoff_max);
            count_bytes(&mut ended.report, traffic);
            ended
        }
        Err(trouble) => {
            let report = SyncReport::default();
            Ended { over: trouble.over, report, detail: Some(trouble.detail), rebuild: false, reading: None }
        }
    };
    ended.report.duration = began.elapsed();
    tell(SessionEvent::Over(Box::new(ended)));
}

fn count_bytes(report: &mut SyncReport, traffic: Traffic) {
    report.stream_up = traffic.stream_sent;
    report.stream_down = traffic.stream_received;
    report.udp_up = traffic.udp_sent;
    report.udp_down = traffic.udp_received;
}

async fn connect(
    around: &Surroundings,
    identity: &Identity,
    goal: Goal,
    controls: &mut UnboundedReceiver<Control>,
) -> Result<Box<dyn Line>, Trouble> {
    let timings = around.config.timings;
    let purpose = match goal {
        Goal::Once => Purpose::Session,
        Goal::Watch => Purpose::Subscription,
    };
    let mut dialing = pin!(around.network.connect(&identity.connection, &identity.addresses, purpose, timings.connect));
    loop {
        tokio::select! {
            line = &mut dialing => return line.map_err(|error| Trouble::of_connect(&error, timings.backoff_max)),
            control = controls.recv() => match control {
                // What is saved now goes along anyway.
                Some(Control::News) => {}
                Some(Control::Leave) | None => return Err(Trouble::late("given up before the hub answered")),
            },
        }
    }
}

/// What the engine and the app hear of a session.
pub(super) fn judge(
    outcome: Result<Parting, Trouble>,
    harvest: Result<Result<Harvest, SessionFailure>, Gone>,
    patience: Duration,
) -> Ended {
    let harvest = match harvest {
        Ok(Ok(harvest)) => harvest,
        Ok(Err(failure)) => return unharvested(outcome, &failure, patience),
        Err(Gone) => return unharvested(outcome, &SessionFailure::NoSession, patience),
    };
    let Harvest { mut report, left, revoked, reading, has_met, rebuild } = harvest;
    report.sessions = 1;
    let (over, detail) = match outcome {
        Ok(parting) => parted(parting, left, revoked),
        Err(trouble) if trouble.over == INCOMPATIBLE && has_met => sent_away(trouble, reading, left),
        Err(trouble) => (trouble.over, Some(trouble.detail)),
    };
    if !matches!(over, Over::Well { .. }) {
        report.complete = false;
    }
    Ended { over, report, detail, rebuild, reading: Some(reading) }
}

/// A session of which the store does not say what it brought.
fn unharvested(outcome: Result<Parting, Trouble>, failure: &SessionFailure, patience: Duration) -> Ended {
    let trouble = outcome.err().unwrap_or_else(|| Trouble::of_session(failure, patience));
    let report = SyncReport { sessions: 1, ..SyncReport::default() };
    Ended { over: trouble.over, report, detail: Some(trouble.detail), rebuild: false, reading: None }
}

const INCOMPATIBLE: Over = Over::Halting(HaltReason::PeerIncompatible);

/// A hub with which a session was possible says that the versions do not meet: the organisation requires a newer one
/// (A4). It took what there was; uploading goes on.
fn sent_away(trouble: Trouble, reading: Reading, left: Left) -> (Over, Option<Detail>) {
    match reading {
        Reading::Closed => (Over::Well { left, retry_after: None }, None),
        // The decision itself did not arrive: the next session brings it.
        Reading::Open => (Over::Broken { retry_after: None }, Some(trouble.detail)),
    }
}

fn parted(parting: Parting, left: Left, revoked: bool) -> (Over, Option<Detail>) {
    let halting = |reason: HaltReason| {
        let detail = Detail { text: reason.message().en, hint: Hint::Likely(reason) };
        (Over::Halting(reason), Some(detail))
    };
    // A revoked device may still bring what it has; then there is nothing more to come for.
    let well = |retry_after| match (revoked, left) {
        (true, Left::Nothing | Left::AsMuch) => halting(HaltReason::Revoked),
        (true, Left::Less) | (false, _) => (Over::Well { left, retry_after }, None),
    };
    match parting {
        Parting::Ours => well(None),
        Parting::Theirs { bye, finished } => {
            let retry_after = bye.retry_after_ms.map(|ms| Duration::from_millis(u64::from(ms)));
            match bye.reason {
                ByeReason::NotEnrolled => halting(HaltReason::NotEnrolled),
                ByeReason::Revoked => halting(HaltReason::Revoked),
                ByeReason::Done | ByeReason::Later if finished => well(retry_after),
                ByeReason::Done | ByeReason::Later => {
                    let detail = Detail { text: "the hub asked to come back later".to_owned(), hint: Hint::Later };
                    (Over::Broken { retry_after }, Some(detail))
                }
            }
        }
    }
}

/// The conversation of one session.
#[derive(Debug, Clone, Copy)]
struct Talk<'a> {
    owner: &'a OwnerHandle,
    goal: Goal,
    reply: Duration,
    /// How long to stay away from a hub that breaks rules.
    patience: Duration,
}

impl Talk<'_> {
    /// Carries frames both ways at once, so that neither side waits for the other to read.
    async fn converse(
        self,
        line: &mut dyn Line,
        controls: &mut UnboundedReceiver<Control>,
        tell: &(impl Fn(SessionEvent) + Sync),
    ) -> Result<Parting, Trouble> {
        let (sender, receiver) = line.split();
        // Bounded by the frames of one turn, which the protocol limits.
        let (frames, queue) = unbounded_channel();
        let mut writing = pin!(write_frames(sender, queue));
        let talked = {
            let mut talking = pin!(self.talk(receiver, controls, frames, tell));
            tokio::select! {
                talked = &mut talking => talked?,
                written = &mut writing => {
                    written.map_err(|error| Trouble::of_link(&error, self.patience))?;
                    return talking.await;
                }
            }
        };
        match timeout(GOODBYE_WAIT, writing).await {
            Ok(Ok(())) => {}
            // Everything that counts was acknowledged before; only the goodbye did not arrive.
            Ok(Err(error)) => tracing::debug!(%error, "the goodbye did not arrive"),
            Err(_late) => tracing::debug!("the goodbye did not arrive in time"),
        }
        Ok(talked)
    }

    async fn talk(
        self,
        receiver: &mut dyn LineReceiver,
        controls: &mut UnboundedReceiver<Control>,
        frames: UnboundedSender<Vec<u8>>,
        tell: &(impl Fn(SessionEvent) + Sync),
    ) -> Result<Parting, Trouble> {
        let goal = self.goal;
        let mut step = self.step(self.owner.ask(move |owner| owner.begin_session(goal))).await?;
        let mut finished = false;
        let mut is_settled = false;
        let mut has_pushes = false;
        loop {
            finished |= step.finished;
            let has_frames = !step.frames.is_empty();
            for frame in step.frames {
                // The writer is gone only when the line is, and then receiving fails too.
                drop(frames.send(frame));
            }
            if let Some(bye) = step.bye {
                return Ok(Parting::Theirs { bye, finished });
            }
            match (step.finished, self.goal) {
                (true, Goal::Once) => return Ok(Parting::Ours),
                (true, Goal::Watch) => {
                    is_settled = true;
                    has_pushes = false;
                    self.settle(tell).await?;
                }
                (false, _) => is_settled &= !has_frames,
            }
            step = tokio::select! {
                message = receive(receiver, (!is_settled).then_some(self.reply)) => {
                    has_pushes |= is_settled;
                    let message = message.map_err(|error| self.unheard(error))?;
                    self.step(self.owner.ask(move |owner| owner.session_message(message))).await?
                }
                control = controls.recv() => match control {
                    Some(Control::News) => self.step(self.owner.ask(|owner| owner.session_news())).await?,
                    Some(Control::Leave) | None => {
                        let last = self.step(self.owner.ask(|owner| owner.leave_session())).await?;
                        last.frames.into_iter().for_each(|frame| drop(frames.send(frame)));
                        return Ok(Parting::Ours);
                    }
                },
                () = sleep(PUSHES_TOGETHER), if has_pushes && is_settled => {
                    has_pushes = false;
                    self.settle(tell).await?;
                    Step::default()
                }
            };
        }
    }

    async fn step(
        self,
        asked: impl Future<Output = Result<Result<Step, SessionFailure>, Gone>> + Send,
    ) -> Result<Step, Trouble> {
        let step = asked.await.unwrap_or(Err(SessionFailure::NoSession));
        let mut step = step.map_err(|failure| Trouble::of_session(&failure, self.patience))?;
        // Each call is a place in the store's queue of its own, so readers come in between.
        while step.more {
            let next = self.owner.ask(|owner| owner.session_on()).await.unwrap_or(Err(SessionFailure::NoSession));
            let next = next.map_err(|failure| Trouble::of_session(&failure, self.patience))?;
            step.frames.extend(next.frames);
            step.finished |= next.finished;
            step.more = next.more;
            step.bye = step.bye.or(next.bye);
        }
        Ok(step)
    }

    /// Tells the driver what came so far.
    async fn settle(self, tell: &(impl Fn(SessionEvent) + Sync)) -> Result<(), Trouble> {
        let harvest = self.owner.ask(|owner| owner.harvest()).await.unwrap_or(Err(SessionFailure::NoSession));
        let harvest = harvest.map_err(|failure| Trouble::of_session(&failure, self.patience))?;
        tell(SessionEvent::Settled(harvest.report));
        Ok(())
    }

    fn unheard(self, unheard: Unheard) -> Trouble {
        match unheard {
            Unheard::Late => Trouble::late("the hub did not answer in time"),
            Unheard::Ended => Trouble::late("the hub ended the session without a goodbye"),
            Unheard::Link(error) => Trouble::of_link(&error, self.patience),
        }
    }
}

/// Why no message came.
#[derive(Debug)]
enum Unheard {
    Late,
    Ended,
    Link(LinkError),
}

/// The next message, within a time if there is one. May be dropped at any time.
async fn receive(receiver: &mut dyn LineReceiver, within: Option<Duration>) -> Result<Message, Unheard> {
    let received = match within {
        Some(within) => timeout(within, receiver.recv_message()).await.map_err(|_late| Unheard::Late)?,
        None => receiver.recv_message().await,
    };
    received.map_err(Unheard::Link)?.ok_or(Unheard::Ended)
}

/// Sends what is queued until nothing more can come, then waits until the hub has it.
async fn write_frames(sender: &mut dyn LineSender, mut queue: UnboundedReceiver<Vec<u8>>) -> Result<(), LinkError> {
    while let Some(frame) = queue.recv().await {
        sender.send_frame(&frame).await?;
    }
    sender.flush().await
}
