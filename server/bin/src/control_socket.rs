//! How the other commands talk to a hub that runs: a Unix socket in its data folder.
//!
//! The running hub holds the store's lock, so `enroll`, `revoke`, `backup` and the rest ask it; when none runs they open the
//! store themselves. One connection carries one request and one answer, each one line of JSON. Who may open the socket
//! (mode 0600, in a folder of mode 0700) is the administrator; there is no other check.
//!
//! # Flow
//!
//! ```text
//! command -> connect DIR/admin.sock -> {"ask":"devices"}\n -> {"done":{…}}\n or {"refused":{…}}\n
//!                └ no socket, or nobody listens: no hub runs here
//! ```
//!
//! # Limits
//!
//! [`REQUEST_BYTES_MAX`], [`ANSWER_BYTES_MAX`], [`REQUEST_WITHIN`], [`ANSWER_WITHIN`], [`CONNECTIONS_MAX`], [`PATH_BYTES_MAX`].
//!
//! # Failure
//!
//! [`BindError`]; a request that cannot be read is answered with what is wrong with it.

use std::future::Future;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::failure::{Exit, Failure};
use crate::office::{AccountAsked, PurgeAsked, VersionOrder};

/// The socket's name in the data folder.
pub(crate) const SOCKET_FILE: &str = "admin.sock";
/// Most bytes of a request.
pub(crate) const REQUEST_BYTES_MAX: u64 = 64 * 1024;
/// Most bytes of an answer: the list of some ten thousand devices.
pub(crate) const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Until when a request must be there.
pub(crate) const REQUEST_WITHIN: Duration = Duration::from_secs(5);
/// How long an answer may take: a backup copies everything.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(2 * 60 * 60);
/// Most requests at a time.
pub(crate) const CONNECTIONS_MAX: usize = 8;
/// Most bytes of a socket's path on Linux, without its end mark.
pub(crate) const PATH_BYTES_MAX: usize = 107;

/// Why a running hub cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    /// The system does not take paths this long.
    #[error("the path {} has {have} bytes, a socket's has at most {PATH_BYTES_MAX}", path.display())]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its bytes.
        have: usize,
    },
    /// The socket could not be made.
    #[error("cannot make the socket {}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// A ticket.
    Enroll(TicketOrder),
    /// The devices.
    Devices,
    /// Ends a device.
    Revoke {
        /// Which.
        device: String,
        /// Why, as a code.
        reason: u16,
    },
    /// Accounts of the pages.
    Account(AccountAsked),
    /// After a restore: a device is what it says it is; without one, all are.
    Confirm {
        /// Which.
        device: Option<String>,
    },
    /// What is held.
    Held,
    /// Lets something through: one by its id, all of a device, or all with a code.
    Release {
        /// The beginning of its id.
        id: Option<String>,
        /// Which device.
        device: Option<String>,
        /// Which code.
        code: Option<u16>,
    },
    /// State and counts.
    Stats,
    /// The figures of a year.
    Figures {
        /// Which; without it, the newest there are records of.
        year: Option<i16>,
    },
    /// The read model, built anew.
    Rebuild,
    /// All records into a new file.
    Export {
        /// Which; an absolute path.
        to: PathBuf,
        /// With personal data.
        personal: bool,
    },
    /// A look at every byte.
    Verify,
    /// A backup into a folder.
    Backup {
        /// Which; an absolute path.
        to: PathBuf,
    },
    /// What an erasure would take along.
    PurgePlan(PurgeAsked),
    /// An erasure.
    Purge(PurgeAsked),
    /// What was erased, and what waits for it.
    Erasures,
    /// The oldest version whose programs receive records.
    RequireVersion {
        /// Shown, set or ended.
        order: VersionOrder,
    },
    /// A bundle is to be taken in.
    ImportBundle {
        /// The file; an absolute path.
        file: PathBuf,
    },
}

/// What kind of ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TicketOrder {
    /// The station's code.
    pub(crate) station: String,
    /// The persons' codes.
    pub(crate) persons: Vec<String>,
    /// Their role, as a word.
    pub(crate) role: String,
    /// For the whole district.
    pub(crate) district: bool,
    /// How long it is good.
    pub(crate) valid_hours: u32,
    /// The device that is replaced.
    pub(crate) replaces: Option<String>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// It is done.
    Done(serde_json::Value),
    /// It is not.
    Refused(Refusal),
}

/// A [`Failure`] on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    exit: u8,
    what: String,
    because: Vec<String>,
    next: String,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let mut chain = failure.error.chain().map(ToString::to_string);
        let what = chain.next().unwrap_or_default();
        Self { exit: failure.exit.number(), what, because: chain.collect(), next: failure.next }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let exits = Exit::MEANINGS.into_iter().map(|(exit, _)| exit);
        let exit = exits.into_iter().find(|exit| exit.number() == refusal.exit).unwrap_or(Exit::Failed);
        let chain = refusal.because.into_iter().rev().chain([refusal.what]);
        let error = chain.fold(None, |cause: Option<anyhow::Error>, text| {
            Some(cause.map_or_else(|| anyhow::anyhow!("{text}"), |cause| cause.context(text.clone())))
        });
        Self { exit, error: error.unwrap_or_else(|| anyhow::anyhow!("no reason given")), next: refusal.next }
    }
}

/// Who carries out requests.
pub(crate) trait Desk: Send + Sync + 'static {
    /// Carries one out. Dropping the future may leave it done.
    fn carry_out(&self, request: Request) -> impl Future<Output = Result<serde_json::Value, Failure>> + Send;
}

/// The socket of a running hub. The file is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Makes the socket. Only the holder of the store's lock may: a socket that is there is of a hub that died.
    ///
    /// # Errors
    /// [`BindError`].
    pub(crate) fn bind(data_dir: &Path) -> Result<Self, BindError> {
        let path = data_dir.join(SOCKET_FILE);
        let have = path.as_os_str().len();
        if have > PATH_BYTES_MAX {
            return Err(BindError::PathTooLong { path, have });
        }
        let failed = |source| BindError::Io { path: path.clone(), source };
        match std::fs::remove_file(&path) {
            Ok(()) => tracing::debug!("removed the socket of a hub that did not end cleanly"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let listener = UnixListener::bind(&path).map_err(failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, path })
    }

    /// Answers requests until `stop` says so, then finishes those under way.
    pub(crate) async fn run<D: Desk>(self, desk: Arc<D>, mut stop: watch::Receiver<bool>) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
                        let desk = Arc::clone(&desk);
                        tasks.spawn(async move {
                            if let Err(error) = serve_one(stream, desk.as_ref()).await {
                                tracing::debug!(%error, "a command went away before its answer");
                            }
                            drop(slot);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the control socket could not accept");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(ended) = tasks.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a request ended in a panic");
                    }
                }
                () = stopped(&mut stop) => break,
            }
        }
        while tasks.join_next().await.is_some() {}
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "the control socket was gone already");
        }
    }
}

/// Returns once `stop` says so, or whoever would say so is gone.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    stop.wait_for(|stop| *stop).await.map(drop).unwrap_or_default();
}

async fn serve_one<D: Desk>(mut stream: UnixStream, desk: &D) -> io::Result<()> {
    let mut line = Vec::new();
    let (reader, _) = stream.split();
    let mut limited = tokio::io::BufReader::new(reader.take(REQUEST_BYTES_MAX));
    let read = timeout(REQUEST_WITHIN, limited.read_until(b'\n', &mut line)).await;
    let answer = match read {
        Err(_late) => refused("no request came in time"),
        Ok(Err(error)) => return Err(error),
        Ok(Ok(_)) if line.last() != Some(&b'\n') => refused("the request is cut or too long"),
        Ok(Ok(_)) => match serde_json::from_slice(&line) {
            Ok(request) => match desk.carry_out(request).await {
                Ok(value) => Answer::Done(value),
                Err(failure) => Answer::Refused(failure.into()),
            },
            Err(error) => refused(&format!("the request cannot be read: {error}")),
        },
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    stream.write_all(&text).await?;
    stream.shutdown().await
}

fn refused(what: &str) -> Answer {
    Answer::Refused(Failure::new(Exit::Usage, what, "use the same version of qianmo-server for both").into())
}

/// Asks the hub that runs on this data folder. `None` when none runs.
///
/// # Errors
/// The hub's refusal, or a broken connection.
pub(crate) fn ask(data_dir: &Path, request: &Request) -> Result<Option<serde_json::Value>, Failure> {
    let path = data_dir.join(SOCKET_FILE);
    let stream = match BlockingStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) if is_nobody_there(&error, &path) => return Ok(None),
        Err(error) => {
            let what = format!("cannot ask the running hub through {}", path.display());
            return Err(Failure {
                exit: Exit::Failed,
                error: anyhow::Error::new(error).context(what),
                next: "run the command as the user that runs the hub".to_owned(),
            });
        }
    };
    let broken = |error: anyhow::Error| Failure {
        exit: Exit::Failed,
        error: error.context("the hub went away before it answered"),
        next: "look at its log; the command may or may not have been carried out".to_owned(),
    };
    match exchange(stream, request).map_err(broken)? {
        Answer::Done(value) => Ok(Some(value)),
        Answer::Refused(refusal) => Err(refusal.into()),
    }
}

fn is_nobody_there(error: &io::Error, path: &Path) -> bool {
    // No hub can listen at a path that is too long, so none does.
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
        || path.as_os_str().len() > PATH_BYTES_MAX
}

fn exchange(mut stream: BlockingStream, request: &Request) -> anyhow::Result<Answer> {
    stream.set_write_timeout(Some(REQUEST_WITHIN))?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    let mut line = Vec::new();
    BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_until(b'\n', &mut line)?;
    anyhow::ensure!(line.last() == Some(&b'\n'), "the answer is cut after {} bytes", line.len());
    Ok(serde_json::from_slice(&line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;

    impl Desk for Echo {
        async fn carry_out(&self, request: Request) -> Result<serde_json::Value, Failure> {
            match request {
                Request::Revoke { device, .. } => {
                    let error = anyhow::anyhow!("no such key").context(format!("there is no device {device}"));
                    Err(Failure { exit: Exit::Refused, error, next: "see devices".to_owned() })
                }
                other @ (Request::Enroll(_)
                | Request::Devices
                | Request::Confirm { .. }
                | Request::Held
                | Request::Release { .. }
                | Request::Stats
                | Request::Figures { .. }
                | Request::Rebuild
                | Request::Export { .. }
                | Request::Verify
                | Request::Backup { .. }
                | Request::PurgePlan(_)
                | Request::Purge(_)
                | Request::Erasures
                | Request::RequireVersion { .. }
                | Request::Account(_)
                | Request::ImportBundle { .. }) => Ok(serde_json::to_value(other)?),
            }
        }
    }

    impl From<serde_json::Error> for Failure {
        fn from(error: serde_json::Error) -> Self {
            Self { exit: Exit::Failed, error: error.into(), next: String::new() }
        }
    }

    struct Running {
        folder: tempfile::TempDir,
        stop: watch::Sender<bool>,
        task: tokio::task::JoinHandle<()>,
    }

    fn start() -> Running {
        let folder = tempfile::tempdir().unwrap();
        let socket = ControlSocket::bind(folder.path()).unwrap();
        let (stop, stopping) = watch::channel(false);
        let task = tokio::spawn(socket.run(Arc::new(Echo), stopping));
        Running { folder, stop, task }
    }

    async fn asked(folder: &Path, request: Request) -> Result<Option<serde_json::Value>, Failure> {
        let folder = folder.to_owned();
        tokio::task::spawn_blocking(move || ask(&folder, &request)).await.unwrap()
    }

    #[tokio::test]
    async fn request_is_answered_by_the_running_hub_and_by_nobody_after_it_stopped() {
        let running = start();
        let order = TicketOrder {
            station: "ST01".to_owned(),
            persons: vec!["P02".to_owned()],
            role: "technician".to_owned(),
            district: false,
            valid_hours: 24,
            replaces: None,
        };
        let request = Request::Enroll(order);
        let answer = asked(running.folder.path(), request.clone()).await.unwrap().unwrap();
        assert_eq!(serde_json::from_value::<Request>(answer).unwrap(), request);
        running.stop.send_replace(true);
        running.task.await.unwrap();
        assert!(!running.folder.path().join(SOCKET_FILE).exists());
        assert!(asked(running.folder.path(), Request::Stats).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn refusal_arrives_with_exit_code_causes_and_what_to_do() {
        let running = start();
        let request = Request::Revoke { device: "x".to_owned(), reason: 2 };
        let failure = asked(running.folder.path(), request).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Refused);
        assert_eq!(
            failure.render(crate::lang::Lang::En),
            "error: there is no device x\n  because: no such key\n  next: see devices"
        );
    }

    #[tokio::test]
    async fn request_that_cannot_be_read_is_refused_and_the_socket_lives_on() {
        let running = start();
        let path = running.folder.path().join(SOCKET_FILE);
        for line in ["\n", "{}\n", "{\"ask\":\"fly\"}\n", "{\"ask\":\"devices\"", "\u{fffd}\n"] {
            let mut stream = UnixStream::connect(&path).await.unwrap();
            stream.write_all(line.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("{\"refused\":"), "{line:?}: {answer}");
        }
        assert!(asked(running.folder.path(), Request::Devices).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn request_over_the_limit_is_refused_without_being_kept() {
        let running = start();
        let mut stream = UnixStream::connect(running.folder.path().join(SOCKET_FILE)).await.unwrap();
        let long = vec![b' '; usize::try_from(REQUEST_BYTES_MAX).unwrap()];
        stream.write_all(&long).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("too long"), "{answer}");
    }

    #[tokio::test]
    async fn socket_is_for_its_owner_only_and_a_dead_one_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SOCKET_FILE);
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(asked(folder.path(), Request::Stats).await.unwrap().is_none(), "nobody listens");
        let socket = ControlSocket::bind(folder.path()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(socket);
        let long = folder.path().join("x".repeat(PATH_BYTES_MAX));
        assert!(matches!(ControlSocket::bind(&long), Err(BindError::PathTooLong { .. })));
        assert!(asked(&long, Request::Stats).await.unwrap().is_none());
    }
}
