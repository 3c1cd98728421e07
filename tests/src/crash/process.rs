//! The processes of a run: the hub's program, the tablet's program and stores under test, each this very executable in
//! another part, in folders of their own, over loopback.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Parser as _;
use qianmo_protocol::change::Scalar;
use qianmo_server::admin::{self, Folder};
use qianmo_server::hub::{ClockCheck, HubLimits};
use qianmo_server::projection::{Filter, Projection};
use qianmo_server::server::wall_clock;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::promises::{Found, version_of};
use super::store::{self, StoreOrder};
use super::traced::{self, SceneOrder};

/// How long a process may take to come up or to end.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// Which part a process plays.
const PART: &str = "QIANMO_CRASH_PART";
/// How often a port that another program took in between is asked for again.
const SERVE_TRIES: usize = 5;

/// The part this process plays, if it is not the conductor.
#[must_use]
pub fn part() -> Option<ExitCode> {
    Some(match std::env::var(PART).ok()?.as_str() {
        "hub" => qianmo_server_bin::main_from_env(),
        "tablet" => qianmo_tablet::main_from_env(),
        "scene" => ended("scene", traced::scene(&SceneOrder::parse())),
        _ => ended("store", store::run(&StoreOrder::parse())),
    })
}

fn ended(part: &str, done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            super::complain(&format!("{part}: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// A command of this executable in a part.
///
/// # Errors
/// The executable is not known.
pub fn command(part: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env_clear();
    // Nobody syncs as often as a store under test.
    command.env("QIANMO_LIMITS_SESSIONS_PER_DEVICE_PER_MINUTE_MAX", "100000");
    command.env(PART, part).env("LANG", "en_US.UTF-8").env("HOME", "/nonexistent").stdin(Stdio::null());
    Ok(command)
}

/// What a finished command said.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; `None` when it was killed.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// Runs a command to its end.
///
/// # Errors
/// It cannot be started.
pub fn ran(command: &mut Command) -> anyhow::Result<Ran> {
    let output = command.output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) })
}

/// A process whose lines are heard, and that may be killed.
pub struct Speaker {
    child: Child,
    lines: Receiver<String>,
}

impl Speaker {
    /// Starts it. What it says on standard error goes to the end of a file.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command, errors: &Path) -> anyhow::Result<Self> {
        let errors: File = OpenOptions::new().create(true).append(true).open(errors)?;
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn()?;
        let out = child.stdout.take().context("no standard output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(out);
            let mut line = String::new();
            // A line without an end was not said: the process was killed while it wrote it.
            while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 0) && line.ends_with('\n') {
                if sender.send(std::mem::take(&mut line)).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// The next line, if it comes in time.
    pub fn next(&self, within: Duration) -> Option<String> {
        self.lines.recv_timeout(within).ok()
    }

    /// Lets it run for a while. Answers what it says and whether it ended by itself.
    pub fn run_for(&self, time: Duration) -> (Vec<String>, bool) {
        let end = Instant::now() + time;
        let mut said = Vec::new();
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => said.push(line),
                Err(RecvTimeoutError::Timeout) => return (said, false),
                Err(RecvTimeoutError::Disconnected) => return (said, true),
            }
        }
    }

    /// kill -9, if it has not ended. Answers what it still said, and its exit code if it ended by itself.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn kill(mut self) -> anyhow::Result<(Vec<String>, Option<i32>)> {
        self.child.kill()?;
        let status = self.child.wait()?;
        Ok((self.lines.iter().collect(), status.code()))
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        // A run that ends with an error leaves no process behind.
        if self.child.kill().is_ok() {
            self.child.wait().map(drop).unwrap_or_default();
        }
    }
}

/// Two ports nobody uses now: UDP and TCP.
///
/// # Errors
/// The system gives none.
pub fn free_ports() -> anyhow::Result<(u16, u16)> {
    let udp = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
    Ok((udp, TcpListener::bind("127.0.0.1:0")?.local_addr()?.port()))
}

/// A hub's folder, and the process that serves it.
pub struct Hub {
    /// Where everything of the run is.
    pub root: PathBuf,
    data: PathBuf,
    ports: (u16, u16),
    /// Free bytes below which it takes nothing, if not the usual.
    reserve: Option<&'static str>,
    serving: Option<Speaker>,
}

impl Hub {
    /// A new organisation under a folder. Its hub does not run yet.
    ///
    /// # Errors
    /// `init` fails.
    pub fn init(root: &Path) -> anyhow::Result<Self> {
        Self::init_at(root, &root.join("hub"))
    }

    /// Likewise, with its data in another folder.
    ///
    /// # Errors
    /// `init` fails.
    pub fn init_at(root: &Path, data: &Path) -> anyhow::Result<Self> {
        let hub =
            Self { root: root.to_owned(), data: data.to_owned(), ports: free_ports()?, reserve: None, serving: None };
        let (listen, web) = hub.addresses();
        let ran = hub.run(&["init", "--name", "QM", "--listen", &listen, "--advertise", &listen, "--web", &web])?;
        ensure!(ran.code == Some(0), "init: {ran:?}");
        Ok(hub)
    }

    /// The hub of a folder, on ports of its own. It does not run yet.
    ///
    /// # Errors
    /// There are no free ports.
    pub fn at(root: &Path, data: &Path) -> anyhow::Result<Self> {
        let (root, data) = (root.to_owned(), data.to_owned());
        Ok(Self { root, data, ports: free_ports()?, reserve: None, serving: None })
    }

    /// Sets the free bytes below which it takes nothing.
    pub const fn reserve(&mut self, bytes: &'static str) {
        self.reserve = Some(bytes);
    }

    /// Its folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    fn addresses(&self) -> (String, String) {
        (format!("127.0.0.1:{}", self.ports.0), format!("127.0.0.1:{}", self.ports.1))
    }

    /// A command of the hub's program on its folder.
    ///
    /// # Errors
    /// The executable is not known.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = command("hub")?;
        command.args(arguments).arg("--data").arg(self.data());
        if let Some(bytes) = self.reserve {
            command.env("QIANMO_LIMITS_DISK_RESERVE_BYTES", bytes);
        }
        Ok(command)
    }

    /// Runs a command of the hub's program to its end.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        ran(&mut self.command(arguments)?)
    }

    /// Starts `serve`, without waiting for it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self) -> anyhow::Result<Speaker> {
        let (listen, web) = self.addresses();
        let mut command = self.command(&["serve", "--listen", &listen, "--advertise", &listen, "--web", &web])?;
        Speaker::start(&mut command, &self.root.join("hub.log"))
    }

    /// Serves, and answers how long it took until tablets were served.
    ///
    /// # Errors
    /// It does not come up.
    pub fn serve(&mut self) -> anyhow::Result<Duration> {
        let mut said = Vec::new();
        for _ in 0..SERVE_TRIES {
            let start = Instant::now();
            let speaker = self.start()?;
            while let Some(line) = speaker.next(DEADLINE) {
                if line.starts_with("pages:") {
                    self.serving = Some(speaker);
                    return Ok(start.elapsed());
                }
                said.push(line);
            }
            speaker.kill()?;
            let port_taken = std::fs::read_to_string(self.root.join("hub.log"))?.contains("used by another program");
            ensure!(port_taken, "the hub does not come up: {said:?}; see {}", self.root.join("hub.log").display());
        }
        bail!("the hub's ports stay taken")
    }

    /// kill -9.
    ///
    /// # Errors
    /// It ended by itself before, or cannot be killed.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let Some(serving) = self.serving.take() else { return Ok(()) };
        let (_, code) = serving.kill()?;
        ensure!(code.is_none(), "the hub had ended by itself with {code:?}; see {}", self.root.display());
        Ok(())
    }

    /// Waits for it to end by itself, then kills it.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn stop_if_running(&mut self, within: Duration) -> anyhow::Result<()> {
        let Some(serving) = self.serving.take() else { return Ok(()) };
        serving.run_for(within);
        serving.kill().map(drop)
    }

    /// What it said last on standard error.
    #[must_use]
    pub fn log_end(&self) -> String {
        tail(&self.root.join("hub.log"), 600)
    }

    /// A ticket for a person.
    ///
    /// # Errors
    /// None is given.
    pub fn ticket(&self, person: &str) -> anyhow::Result<String> {
        let ran = self.run(&["enroll", "--station", "ST01", "--person", person, "--no-qr", "--json"])?;
        let answer: serde_json::Value = serde_json::from_str(ran.out.trim()).with_context(|| format!("{ran:?}"))?;
        Ok(answer["ticket"].as_str().context("no ticket")?.to_owned())
    }
}

/// What a hub's folder holds.
#[derive(Debug)]
pub struct HubFound {
    /// Its records.
    pub found: Found,
    /// Their ids by marker.
    pub ids: BTreeMap<String, String>,
    /// Whether the bytes of all that was erased are gone.
    pub is_erased: bool,
}

/// What a hub's folder holds, after opening it as `serve` does. The read model must say the same.
///
/// # Errors
/// It does not open or read, or the read model differs.
pub fn look_at_hub(data: &Path) -> anyhow::Result<HubFound> {
    let folder = Folder::new(data);
    let (limits, rng) = (HubLimits::default(), StdRng::from_os_rng());
    let opened = admin::open(&folder, limits, ClockCheck::Strict, wall_clock(), rng).context("open")?;
    let mut core = opened.core;
    ensure!(opened.report.log.read_only.is_none(), "the hub takes no writes: {:?}", opened.report);
    let mut found = Found { is_enrolled: true, ..Found::default() };
    let (mut ids, mut markers) = (BTreeSet::new(), BTreeMap::new());
    for id in core.replica().all_records()? {
        let Some(row) = core.replica().record_row(&id)? else { continue };
        let text = |name: &str| {
            if let Some(Scalar::Text(text)) = row.view.fields.get(name) { text.clone() } else { String::new() }
        };
        if let Some((marker, _)) = version_of(&text("content")) {
            markers.insert(marker, id.to_string());
        }
        found.records.push((text("content"), text("advice")));
        ids.insert(id);
    }
    let mut projection = Projection::open(&folder.projection(), folder.open_forms()?)?;
    projection.catch_up(&mut core)?;
    let reader = projection.into_reader();
    let (mut listed, mut after) = (BTreeSet::new(), None);
    loop {
        let page = reader.first(&Filter::default(), after, 500)?;
        listed.extend(page.records.iter().map(|record| record.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let is_erased = admin::erasures(&core)?.is_carried_out;
    ensure!(listed == ids, "the read model lists {} records of {}", listed.len(), ids.len());
    core.close()?;
    Ok(HubFound { found, ids: markers, is_erased })
}

/// The end of a file, for a report.
#[must_use]
pub fn tail(path: &Path, bytes: usize) -> String {
    let mut text = String::new();
    if let Ok(mut file) = File::open(path) {
        file.read_to_string(&mut text).unwrap_or_default();
    }
    let start = text.char_indices().rev().nth(bytes).map_or(0, |(at, _)| at);
    text[start..].to_owned()
}
