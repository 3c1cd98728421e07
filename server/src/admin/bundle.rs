//! Taking in a bundle that a tablet exported for this hub: a session through a file.
//!
//! The hub answers what a bundle brings as it answers a tablet, on a session of its own: control entries are adopted, packs
//! verified, stored, judged, published and receipted by the same code. The device on this session is the hub's own; whose the
//! packs are, their signatures say. Receipts reach the tablet when it comes itself, for it is told of what is held.
//!
//! # Flow
//!
//! ```text
//! file ─> opened ─> turns of parts ─> HubCore::handle, or the running hub's session ─> acks, refusals, receipts counted
//! ```
//!
//! # Failure
//!
//! [`ImportError`]. What came before a fault in the file is kept; importing again is harmless.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use qianmo_protocol::bundle::{BundleFor, BundlePart};
use qianmo_protocol::ids::{EntryHash, LogbookName};
use qianmo_protocol::limits::CONTROL_PARENTS_MAX;
use qianmo_protocol::session::VERSIONS;
use qianmo_protocol::session::message::{Bye, ByeReason, Hello, Message, RefuseCode, Turn, Vectors};
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::vector::{Selection, Stations};
use qianmo_replica::bundle::{OpenBundleError, OpenKey, OpenedBundle, peek};

use super::{Folder, HubKeyFiles, KeyError};
use crate::hub::{Command, HubCore, HubError, HubHandle, HubOutput, HubStopped, Outbound, SessionId};

/// Most parts of one turn.
const TURN_PARTS_MAX: usize = 256;
/// Bytes of packs after which a turn is full.
const TURN_BYTES: usize = 1024 * 1024;
/// The session that an import uses on a hub nobody else talks to.
const OFFLINE_SESSION: SessionId = SessionId(u64::MAX);

/// What an import came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// The device that made the bundle.
    pub from: String,
    /// When, by its clock.
    pub made_at: i64,
    /// Packs in the bundle that were whole.
    pub packs: usize,
    /// Of those, packs that are durable here now, new or known.
    pub held: usize,
    /// Packs that were not taken, by why.
    pub refused: BTreeMap<String, usize>,
    /// Control entries that were new here.
    pub control: usize,
    /// Records that are new here.
    pub records_new: usize,
}

/// Why a bundle is not taken in, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be opened.
    #[error("cannot open {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no bundle for this hub, or not a whole one.
    #[error("{} cannot be taken in, or not to its end", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        #[source]
        source: OpenBundleError,
    },
    /// The hub's keys cannot be read.
    #[error("the hub's bundle key cannot be read")]
    Key(#[from] KeyError),
    /// The hub's store failed.
    #[error("the hub could not take it in")]
    Hub(#[from] HubError),
    /// The hub has stopped.
    #[error("the bundle is not taken in, or not to its end")]
    Stopped(#[from] HubStopped),
    /// The hub ended the import's session: it is full, or busy.
    #[error("the hub took {turns} pieces and then no more: its disk is nearly full, or it is busy; import again later")]
    Refused {
        /// Pieces that were answered.
        turns: usize,
    },
    /// The import ended in a panic.
    #[error("the import was cut short")]
    CutShort,
}

/// What the hub must be asked before its messages can be made.
#[derive(Debug, Clone)]
struct Standing {
    org: qianmo_protocol::ids::OrgId,
    hub: qianmo_protocol::ids::HubId,
    device: qianmo_protocol::ids::DeviceId,
    device_key: [u8; 32],
    heads: Vec<EntryHash>,
    control: usize,
    records: usize,
}

impl Standing {
    fn of(core: &HubCore) -> Result<Self, HubError> {
        let replica = core.replica();
        let device = replica.device();
        let key = replica.control().fold().device(&device).and_then(|device| device.key()).copied();
        Ok(Self {
            org: core.org(),
            hub: core.hub(),
            device,
            device_key: key.unwrap_or_default(),
            heads: replica.control().heads().iter().copied().take(CONTROL_PARENTS_MAX).collect(),
            control: replica.control().len(),
            records: replica.all_records()?.len(),
        })
    }
}

/// A bundle, being cut into turns.
struct Turns {
    path: PathBuf,
    bundle: OpenedBundle,
    heads: Vec<EntryHash>,
    is_first: bool,
    report: ImportReport,
    fault: Option<OpenBundleError>,
    is_over: bool,
}

impl Turns {
    fn open(path: &Path, folder: &Folder, standing: &Standing) -> Result<Self, ImportError> {
        let failed = |source| ImportError::Io { path: path.to_owned(), source };
        let unusable = |source| ImportError::Bundle { path: path.to_owned(), source };
        let (header, _) = peek(&mut File::open(path).map_err(failed)?).map_err(unusable)?;
        if header.org != standing.org {
            return Err(unusable(OpenBundleError::OtherOrganisation));
        }
        match header.to {
            BundleFor::Tablet => return Err(unusable(OpenBundleError::ForTablet)),
            BundleFor::Hub(hub) if hub != standing.hub => return Err(unusable(OpenBundleError::OtherHub)),
            BundleFor::Hub(_) => {}
        }
        let secret = HubKeyFiles::load(&folder.keys())?.bundle.to_bytes();
        let bundle = OpenedBundle::open(File::open(path).map_err(failed)?, &OpenKey::Hub(secret)).map_err(unusable)?;
        let report =
            ImportReport { from: header.from.to_string(), made_at: header.made_at.0, ..ImportReport::default() };
        let heads = standing.heads.clone();
        Ok(Self { path: path.to_owned(), bundle, heads, is_first: true, report, fault: None, is_over: false })
    }

    /// The messages of the next turn; empty when there is none.
    fn next_turn(&mut self) -> Vec<Message> {
        let mut follow = Vec::new();
        let mut bytes = 0;
        while !self.is_over && follow.len() < TURN_PARTS_MAX && bytes < TURN_BYTES {
            match self.bundle.next_part() {
                Ok(Some(BundlePart::Control(entries))) => follow.push(Message::Control(entries)),
                Ok(Some(BundlePart::Pack(pack))) => {
                    self.report.packs += 1;
                    bytes += pack.body.len();
                    follow.push(Message::Pack(pack));
                }
                // Of a former epoch: a restored hub is shown what its predecessor passed before it judges (A2).
                Ok(Some(BundlePart::Receipt(receipt))) => follow.push(Message::Receipt(receipt)),
                // The hub itself says the time.
                Ok(Some(BundlePart::Beacon(_))) => {}
                Ok(None) => self.is_over = true,
                Err(error) => {
                    self.fault = Some(error);
                    self.is_over = true;
                }
            }
        }
        if follow.is_empty() {
            return Vec::new();
        }
        let header = if core::mem::take(&mut self.is_first) {
            Message::Hello(Hello {
                versions: VERSIONS,
                control_heads: self.heads.clone(),
                epoch: None,
                selection: nothing(),
                rest_digest: [0; 32],
                vectors: Vec::new(),
                follow: follow.len(),
                about: None,
            })
        } else {
            let turn = Turn { more: true, follow: follow.len(), ..Turn::default() };
            Message::Vectors(Vectors { control_heads: Vec::new(), turn })
        };
        core::iter::once(header).chain(follow).collect()
    }

    fn take(&mut self, message: &Message) -> usize {
        match message {
            Message::Ack(ack) => {
                self.report.held += ack.items.len();
                0
            }
            Message::Refuse(refuse) => {
                *self.report.refused.entry(why(refuse.code).to_owned()).or_insert(0) += 1;
                0
            }
            Message::Welcome(welcome) => 1 + welcome.turn.follow,
            Message::Vectors(vectors) => 1 + vectors.turn.follow,
            Message::Hello(_)
            | Message::Pack(_)
            | Message::NeedAncestors(..)
            | Message::Subscribe
            | Message::Push { .. }
            | Message::Blob(_)
            | Message::Bye(_)
            | Message::Control(_)
            | Message::Receipt(_) => 0,
        }
    }

    fn end(mut self, before: &Standing, after: &Standing) -> Result<ImportReport, ImportError> {
        self.report.control = after.control.saturating_sub(before.control);
        self.report.records_new = after.records.saturating_sub(before.records);
        match self.fault {
            Some(source) => Err(ImportError::Bundle { path: self.path, source }),
            None => Ok(self.report),
        }
    }
}

/// An import takes and asks for nothing.
fn nothing() -> Selection {
    let none = Stations::These(std::collections::BTreeSet::new());
    Selection { stations: none, months: None, without: [LogbookName::OrgDirectory].into() }
}

const fn why(code: RefuseCode) -> &'static str {
    match code {
        RefuseCode::MissingPrev => "what came before it is missing; the tablet must bring it",
        RefuseCode::UnknownDevice => "its device is not enrolled here",
        RefuseCode::UnprovenStub => "the entry of an erasure is missing",
        RefuseCode::Quota => "the quota is used up",
        RefuseCode::BadSignature => "its signature is wrong",
        RefuseCode::BadBody => "its contents are not what was signed",
        RefuseCode::OverLimit => "it breaks a limit",
    }
}

fn bye() -> Message {
    Message::Bye(Bye { reason: ByeReason::Done, retry_after_ms: None })
}

/// Takes in a bundle on a hub that nobody else uses.
///
/// # Errors
/// [`ImportError`].
pub fn import_bundle(
    core: &mut HubCore,
    folder: &Folder,
    now: UnixMillis,
    path: &Path,
) -> Result<ImportReport, ImportError> {
    let before = Standing::of(core)?;
    let mut turns = Turns::open(path, folder, &before)?;
    let session = OFFLINE_SESSION;
    let mut commands = vec![Command::Open { session, device: before.device, device_key: before.device_key }];
    let mut answered = 0;
    loop {
        let turn = turns.next_turn();
        if turn.is_empty() {
            break;
        }
        commands.extend(turn.into_iter().map(|message| Command::Message { session, message: Box::new(message) }));
        let mut is_closed = false;
        for output in core.handle(now, core::mem::take(&mut commands))? {
            match output {
                HubOutput::Send { message, .. } => drop(turns.take(&message)),
                HubOutput::Close { .. } => is_closed = true,
            }
        }
        if is_closed {
            return Err(ImportError::Refused { turns: answered });
        }
        answered += 1;
    }
    if answered > 0 {
        core.handle(now, vec![Command::Message { session, message: Box::new(bye()) }])?;
    }
    let after = Standing::of(core)?;
    turns.end(&before, &after)
}

/// Takes in a bundle on a hub that runs. Tablets are served meanwhile.
///
/// # Errors
/// [`ImportError`].
pub async fn import_bundle_on(hub: &HubHandle, folder: &Folder, path: PathBuf) -> Result<ImportReport, ImportError> {
    let before = hub.run(|core, _| Standing::of(core)).await??;
    let (folder, standing) = (folder.clone(), before.clone());
    let opened = tokio::task::spawn_blocking(move || Turns::open(&path, &folder, &standing)).await;
    let mut turns = opened.unwrap_or(Err(ImportError::CutShort))?;
    let mut link = hub.open(before.device, before.device_key).await?;
    let mut answered = 0;
    loop {
        let next = tokio::task::spawn_blocking(move || {
            let turn = turns.next_turn();
            (turns, turn)
        });
        let (given, turn) = next.await.map_err(|_| ImportError::CutShort)?;
        turns = given;
        if turn.is_empty() {
            break;
        }
        for message in turn {
            // They come from a file, one turn after the other.
            hub.message(&link.room, message, 0).await?;
        }
        // An answer is a header and what it announced; acks come before it.
        let mut missing: Option<usize> = None;
        while missing != Some(0) {
            match link.outbound.recv().await {
                Some(Outbound::Messages(messages)) => {
                    for message in &messages {
                        let announced = turns.take(message);
                        let is_followed = !matches!(message, Message::Ack(_));
                        missing = match (missing, announced) {
                            (None, 0) => None,
                            (None, announced) => Some(announced - 1),
                            (Some(left), _) if is_followed => Some(left.saturating_sub(1)),
                            (Some(left), _) => Some(left),
                        };
                    }
                }
                Some(Outbound::Close(_)) | None => return Err(ImportError::Refused { turns: answered }),
            }
        }
        answered += 1;
    }
    if answered > 0 {
        hub.message(&link.room, bye(), 0).await?;
    }
    hub.ended(&link.room).await?;
    let after = hub.run(|core, _| Standing::of(core)).await??;
    turns.end(&before, &after)
}
