//! The hub's own thread: it takes what has gathered, has it handled as one batch, and hands out the answers.
//!
//! Connection tasks and the web give work through a bounded queue; while the disk syncs one batch the next one gathers,
//! which is what makes group commit work. A session gives no more than [`ROOM_BYTES`] at a time: the rest waits in its
//! connection until the hub has looked at what it gave, so that one peer that sends without end fills neither the queue nor
//! the memory. A session's answers go into a bounded queue of its own; a peer that does not take them is closed, so that it
//! cannot hold up the others.
//!
//! # Limits
//!
//! [`QUEUE_MAX`], [`BATCH_MAX`], [`ROOM_BYTES`], [`OUTBOUND_MAX`], [`OUTBOUND_BYTES_MAX`].
//!
//! # Failure
//!
//! When the store fails every session is closed without an answer, [`HubHandle::failed`] returns, and the process should
//! end: only opening the store again finds out what is durable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::ids::DeviceId;
use qianmo_protocol::limits::PACK_BYTES_PER_TURN_MAX;
use qianmo_protocol::session::message::Message;
use qianmo_protocol::time::UnixMillis;

use super::{Command, HubCore, HubError, HubOutput, SessionId};

/// Most pieces of work that wait for the hub.
const QUEUE_MAX: usize = 256;
/// Most pieces of work in one batch.
const BATCH_MAX: usize = 256;
/// Most batches of messages that wait to be sent on one session.
const OUTBOUND_MAX: usize = 64;
/// Bytes of messages that wait to be sent on one session, beyond which it takes no further batch: a turn and some pushes.
const OUTBOUND_BYTES_MAX: usize = 4 * PACK_BYTES_PER_TURN_MAX;
/// Bytes of messages that one session may have given and the hub not looked at.
const ROOM_BYTES: u32 = 1024 * 1024;
/// What the smallest message takes of that: its place in the queue has a price too.
const ROOM_BYTES_LEAST: u32 = 16 * 1024;

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
    /// Its id, and its place in the hub's queue.
    pub room: Room,
    /// What the hub says.
    pub outbound: Answers,
}

/// A session's place in the hub's queue. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Room {
    session: SessionId,
    free: Arc<Semaphore>,
}

/// What the hub says on one session.
#[derive(Debug)]
pub struct Answers {
    receiver: mpsc::Receiver<(Outbound, usize)>,
    waiting: Arc<AtomicUsize>,
}

impl Answers {
    /// The next answer. When it ends without [`Outbound::Close`], the peer was too slow or the hub failed. Dropping the
    /// future loses nothing.
    pub async fn recv(&mut self) -> Option<Outbound> {
        let (outbound, bytes) = self.receiver.recv().await?;
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        Some(outbound)
    }
}

/// Where a session's answers go.
#[derive(Debug)]
struct Outlet {
    sender: mpsc::Sender<(Outbound, usize)>,
    waiting: Arc<AtomicUsize>,
}

impl Outlet {
    /// Whether it could be queued.
    fn give(&self, outbound: Outbound) -> bool {
        let bytes = match &outbound {
            Outbound::Messages(messages) => messages.iter().map(weight).sum(),
            Outbound::Close(_) => 0,
        };
        let before = self.waiting.fetch_add(bytes, Ordering::Relaxed);
        // Whatever one answer needs may wait; a second one only if both are of a bearable size.
        (before == 0 || before.saturating_add(bytes) <= OUTBOUND_BYTES_MAX)
            && self.sender.try_send((outbound, bytes)).is_ok()
    }
}

/// Bytes of a message, roughly for the large ones.
fn weight(message: &Message) -> usize {
    match message {
        Message::Pack(pack) => pack.body.len().saturating_add(512),
        Message::Hello(_)
        | Message::Welcome(_)
        | Message::Vectors(_)
        | Message::Ack(_)
        | Message::Refuse(_)
        | Message::NeedAncestors(..)
        | Message::Subscribe
        | Message::Push { .. }
        | Message::Blob(_)
        | Message::Bye(_)
        | Message::Control(_)
        | Message::Receipt(_) => message.encode_frame().len(),
    }
}

/// The hub is not running any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the hub has stopped")]
pub struct HubStopped;

type Job = Box<dyn FnOnce(&mut HubCore, UnixMillis) + Send>;

enum Work {
    Open { session: SessionId, device: DeviceId, device_key: [u8; 32], outlet: Outlet },
    Message { session: SessionId, message: Box<Message>, room: OwnedSemaphorePermit },
    Ended { session: SessionId },
    Job(Job),
    SayLater,
    Stop,
}

/// The hub's thread. [`HubThread::join`] waits for its end.
#[derive(Debug)]
pub struct HubThread {
    join: JoinHandle<Result<u64, HubError>>,
}

impl HubThread {
    /// Waits until the thread has ended, and answers the last durable commit. Blocks: not on a runtime thread.
    ///
    /// # Errors
    /// [`HubError`] with which it ended.
    pub fn join(self) -> Result<u64, HubError> {
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
        let hub = HubLoop {
            core,
            queue,
            clock,
            follower,
            outlets: BTreeMap::new(),
            full: Vec::new(),
            behind: BTreeMap::new(),
        };
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
        let session = SessionId(self.next_session.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = mpsc::channel(OUTBOUND_MAX);
        let waiting = Arc::<AtomicUsize>::default();
        let outlet = Outlet { sender, waiting: Arc::clone(&waiting) };
        self.give(Work::Open { session, device, device_key, outlet }).await?;
        let room = Room { session, free: Arc::new(Semaphore::new(usize::try_from(ROOM_BYTES).unwrap_or_default())) };
        Ok(SessionLink { room, outbound: Answers { receiver, waiting } })
    }

    /// Hands over a message of so many bytes. Waits while the hub has too much to do, of this session or of all, and with it
    /// the peer.
    ///
    /// # Errors
    /// [`HubStopped`].
    pub async fn message(&self, room: &Room, message: Message, bytes: usize) -> Result<(), HubStopped> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).clamp(ROOM_BYTES_LEAST, ROOM_BYTES);
        let permit = Arc::clone(&room.free).acquire_many_owned(bytes).await.map_err(|_| HubStopped)?;
        self.give(Work::Message { session: room.session, message: Box::new(message), room: permit }).await
    }

    /// The peer of a session ended its direction, or is gone.
    ///
    /// # Errors
    /// [`HubStopped`].
    pub async fn ended(&self, room: &Room) -> Result<(), HubStopped> {
        self.give(Work::Ended { session: room.session }).await
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
    outlets: BTreeMap<SessionId, Outlet>,
    /// Sessions whose peer does not take what it is sent.
    full: Vec<SessionId>,
    /// What sessions gave and the hub has not looked at takes room until then.
    behind: BTreeMap<SessionId, Vec<OwnedSemaphorePermit>>,
}

impl HubLoop {
    fn run(mut self) -> Result<u64, HubError> {
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
        let end = self.core.replica().durable_commit().0;
        self.core.close()?;
        Ok(end)
    }

    /// One batch; answers whether the hub was told to stop.
    fn batch(&mut self, works: Vec<Work>) -> Result<bool, HubError> {
        let mut commands: Vec<Command> = self.full.drain(..).map(|session| Command::Ended { session }).collect();
        let mut jobs: Vec<Job> = Vec::new();
        let mut is_stopping = false;
        for work in works {
            match work {
                Work::Open { session, device, device_key, outlet } => {
                    self.outlets.insert(session, outlet);
                    commands.push(Command::Open { session, device, device_key });
                }
                Work::Message { session, message, room } => {
                    self.behind.entry(session).or_default().push(room);
                    commands.push(Command::Message { session, message });
                }
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
                    self.outlets.remove(&session);
                }
            }
        }
        for (session, messages) in messages {
            self.deliver(session, Outbound::Messages(messages));
        }
        self.behind.retain(|session, _| self.core.is_behind(*session));
        if let Some(follower) = &mut self.follower {
            follower.follow(&mut self.core);
        }
        Ok(())
    }

    fn deliver(&mut self, session: SessionId, outbound: Outbound) {
        let Some(outlet) = self.outlets.get(&session) else { return };
        if !outlet.give(outbound) {
            // Full or gone: the connection sees the end of the queue and closes.
            self.outlets.remove(&session);
            self.full.push(session);
        }
    }
}
