//! The hub's own thread: it takes what has gathered, has it handled as one batch, and hands out the answers.
//!
//! Connection tasks and the web give work through a bounded queue; while the disk syncs one batch the next one gathers,
//! which is what makes group commit work. A session's answers go into a bounded queue of its own; a peer that does not
//! take them is closed, so that it cannot hold up the others.
//!
//! # Limits
//!
//! [`QUEUE_MAX`], [`BATCH_MAX`], [`OUTBOUND_MAX`].
//!
//! # Failure
//!
//! When the store fails every session is closed without an answer, [`HubHandle::failed`] returns, and the process should
//! end: only opening the store again finds out what is durable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot, watch};

use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::ids::DeviceId;
use qianmo_protocol::session::message::Message;
use qianmo_protocol::time::UnixMillis;

use super::{Command, HubCore, HubError, HubOutput, SessionId};

/// Most pieces of work that wait for the hub.
const QUEUE_MAX: usize = 256;
/// Most pieces of work in one batch.
const BATCH_MAX: usize = 256;
/// Most batches of messages that wait to be sent on one session.
const OUTBOUND_MAX: usize = 64;

/// Where the hub's time comes from.
pub type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// Looks at the hub after every batch, on its thread: the projection.
pub trait RoundFollower: Send + 'static {
    /// A batch is durable, and its answers are on their way.
    fn follow(&mut self, core: &mut HubCore);
}

/// What a session's connection gets from the hub.
#[derive(Debug)]
pub enum Outbound {
    /// Messages to send, in order.
    Messages(Vec<Message>),
    /// Send what came before, then close.
    Close(CloseCode),
}

/// A session as its connection sees it.
#[derive(Debug)]
pub struct SessionLink {
    /// Its id.
    pub id: SessionId,
    /// What the hub says. When it ends without [`Outbound::Close`], the peer was too slow or the hub failed.
    pub outbound: mpsc::Receiver<Outbound>,
}

/// The hub is not running any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the hub has stopped")]
pub struct HubStopped;

type Job = Box<dyn FnOnce(&mut HubCore, UnixMillis) + Send>;

enum Work {
    Open { session: SessionId, device: DeviceId, device_key: [u8; 32], outbound: mpsc::Sender<Outbound> },
    Message { session: SessionId, message: Box<Message> },
    Ended { session: SessionId },
    Job(Job),
    SayLater,
    Stop,
}

/// The hub's thread. [`HubThread::join`] waits for its end.
#[derive(Debug)]
pub struct HubThread {
    join: JoinHandle<Result<(), HubError>>,
}

impl HubThread {
    /// Waits until the thread has ended. Blocks: not on a runtime thread.
    ///
    /// # Errors
    /// [`HubError`] with which it ended.
    pub fn join(self) -> Result<(), HubError> {
        self.join.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Gives work to the hub. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HubHandle {
    work: mpsc::Sender<Work>,
    next_session: Arc<AtomicU64>,
    failed: watch::Receiver<bool>,
}

impl core::fmt::Debug for Work {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Open { .. } => "Open",
            Self::Message { .. } => "Message",
            Self::Ended { .. } => "Ended",
            Self::Job(_) => "Job",
            Self::SayLater => "SayLater",
            Self::Stop => "Stop",
        })
    }
}

impl HubHandle {
    /// Starts the hub's thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(
        core: HubCore,
        clock: Clock,
        follower: Option<Box<dyn RoundFollower>>,
    ) -> std::io::Result<(Self, HubThread)> {
        let (work, queue) = mpsc::channel(QUEUE_MAX);
        let (fail, failed) = watch::channel(false);
        let hub = HubLoop { core, queue, clock, follower, outbounds: BTreeMap::new(), full: Vec::new() };
        let run = move || {
            let ended = hub.run();
            if let Err(error) = &ended {
                tracing::error!(error = error as &dyn core::error::Error, "the hub stops: its store failed");
                fail.send_replace(true);
            }
            ended
        };
        let join = std::thread::Builder::new().name("qianmo-hub".to_owned()).spawn(run)?;
        Ok((Self { work, next_session: Arc::default(), failed }, HubThread { join }))
    }

    /// Opens a session for a proven device.
    ///
    /// # Errors
    /// [`HubStopped`].
    pub async fn open(&self, device: DeviceId, device_key: [u8; 32]) -> Result<SessionLink, HubStopped> {
        let id = SessionId(self.next_session.fetch_add(1, Ordering::Relaxed));
        let (sender, outbound) = mpsc::channel(OUTBOUND_MAX);
        self.give(Work::Open { session: id, device, device_key, outbound: sender }).await?;
        Ok(SessionLink { id, outbound })
    }

    /// Hands over a message. Waits while the hub has too much to do, and with it the peer.
    ///
    /// # Errors
    /// [`HubStopped`].
    pub async fn message(&self, session: SessionId, message: Message) -> Result<(), HubStopped> {
        self.give(Work::Message { session, message: Box::new(message) }).await
    }

    /// The peer of a session ended its direction, or is gone.
    ///
    /// # Errors
    /// [`HubStopped`].
    pub async fn ended(&self, session: SessionId) -> Result<(), HubStopped> {
        self.give(Work::Ended { session }).await
    }

    /// Runs something on the hub between two batches. Keep it short: everybody waits.
    ///
    /// # Errors
    /// [`HubStopped`].
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut HubCore, UnixMillis) -> T + Send + 'static,
    ) -> Result<T, HubStopped> {
        let (job, answer) = with_answer(job);
        self.give(Work::Job(job)).await?;
        answer.await.map_err(|_| HubStopped)
    }

    /// As [`HubHandle::run`], for a thread that may block.
    ///
    /// # Errors
    /// [`HubStopped`].
    pub fn run_blocking<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut HubCore, UnixMillis) -> T + Send + 'static,
    ) -> Result<T, HubStopped> {
        let (job, answer) = with_answer(job);
        self.work.blocking_send(Work::Job(job)).map_err(|_| HubStopped)?;
        answer.blocking_recv().map_err(|_| HubStopped)
    }

    /// Tells every session to come back later and takes no new ones.
    ///
    /// # Errors
    /// [`HubStopped`].
    pub async fn say_later(&self) -> Result<(), HubStopped> {
        self.give(Work::SayLater).await
    }

    /// Finishes what was begun, closes the store and ends the thread.
    ///
    /// # Errors
    /// [`HubStopped`] when it has ended already.
    pub async fn stop(&self) -> Result<(), HubStopped> {
        self.give(Work::Stop).await
    }

    /// Returns when the hub's thread has failed or ended. Dropping the future does nothing.
    pub async fn failed(&self) {
        let mut failed = self.failed.clone();
        // An error means that the thread is gone, which is the same news.
        failed.wait_for(|failed| *failed).await.map(drop).unwrap_or_default();
    }

    async fn give(&self, work: Work) -> Result<(), HubStopped> {
        self.work.send(work).await.map_err(|_| HubStopped)
    }
}

fn with_answer<T: Send + 'static>(
    job: impl FnOnce(&mut HubCore, UnixMillis) -> T + Send + 'static,
) -> (Job, oneshot::Receiver<T>) {
    let (give, answer) = oneshot::channel();
    let job: Job = Box::new(move |core, now| {
        // Whoever asked may have stopped waiting.
        drop(give.send(job(core, now)));
    });
    (job, answer)
}

struct HubLoop {
    core: HubCore,
    queue: mpsc::Receiver<Work>,
    clock: Clock,
    follower: Option<Box<dyn RoundFollower>>,
    outbounds: BTreeMap<SessionId, mpsc::Sender<Outbound>>,
    /// Sessions whose peer does not take what it is sent.
    full: Vec<SessionId>,
}

impl HubLoop {
    fn run(mut self) -> Result<(), HubError> {
        let mut is_stopping = false;
        while !is_stopping {
            let mut works = Vec::new();
            // What a batch left undone goes on with the next one, whether there is other work or not.
            if !self.core.has_more_to_do() {
                let Some(first) = self.queue.blocking_recv() else { break };
                works.push(first);
            }
            while works.len() < BATCH_MAX
                && let Ok(work) = self.queue.try_recv()
            {
                works.push(work);
            }
            is_stopping = self.batch(works)?;
        }
        self.queue.close();
        let now = (self.clock)();
        self.handle(now, vec![Command::Stop])?;
        self.core.close()
    }

    /// One batch; answers whether the hub was told to stop.
    fn batch(&mut self, works: Vec<Work>) -> Result<bool, HubError> {
        let mut commands: Vec<Command> = self.full.drain(..).map(|session| Command::Ended { session }).collect();
        let mut jobs: Vec<Job> = Vec::new();
        let mut is_stopping = false;
        for work in works {
            match work {
                Work::Open { session, device, device_key, outbound } => {
                    self.outbounds.insert(session, outbound);
                    commands.push(Command::Open { session, device, device_key });
                }
                Work::Message { session, message } => commands.push(Command::Message { session, message }),
                Work::Ended { session } => commands.push(Command::Ended { session }),
                Work::Job(job) => jobs.push(job),
                Work::SayLater => commands.push(Command::Stop),
                Work::Stop => is_stopping = true,
            }
        }
        let now = (self.clock)();
        self.handle(now, commands)?;
        if !jobs.is_empty() {
            jobs.into_iter().for_each(|job| job(&mut self.core, now));
            self.handle(now, Vec::new())?;
        }
        Ok(is_stopping)
    }

    fn handle(&mut self, now: UnixMillis, commands: Vec<Command>) -> Result<(), HubError> {
        let outputs = self.core.handle_some(now, commands)?;
        let mut messages: BTreeMap<SessionId, Vec<Message>> = BTreeMap::new();
        for output in outputs {
            match output {
                HubOutput::Send { session, message } => messages.entry(session).or_default().push(*message),
                HubOutput::Close { session, code } => {
                    if let Some(messages) = messages.remove(&session) {
                        self.deliver(session, Outbound::Messages(messages));
                    }
                    self.deliver(session, Outbound::Close(code));
                    self.outbounds.remove(&session);
                }
            }
        }
        for (session, messages) in messages {
            self.deliver(session, Outbound::Messages(messages));
        }
        if let Some(follower) = &mut self.follower {
            follower.follow(&mut self.core);
        }
        Ok(())
    }

    fn deliver(&mut self, session: SessionId, outbound: Outbound) {
        let Some(sender) = self.outbounds.get(&session) else { return };
        if sender.try_send(outbound).is_err() {
            // Full or gone: the connection sees the end of the queue and closes.
            self.outbounds.remove(&session);
            self.full.push(session);
        }
    }
}
