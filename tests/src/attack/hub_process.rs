//! A hub in a process of its own that says what it used up.
//!
//! The parent writes a command on each line of the child's input and reads one JSON object back for it. The child closes
//! when its input ends, so it never outlives its parent.

use std::collections::BTreeSet;
use std::io::{BufRead as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use qianmo_protocol::control::{Role, Scope};
use qianmo_protocol::handshake::{Address, Ticket};
use qianmo_protocol::ids::Code;
use qianmo_protocol::time::UnixMillis;
use qianmo_server::admin::{InitOrder, init};
use qianmo_server::config::ServerConfig;
use qianmo_server::metrics::Metrics;
use qianmo_server::registry::{TicketGrant, TicketOrder};
use qianmo_server::server::{Server, ServerHandle, StartOptions};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// How the heap of a process is counted: its global allocator says.
#[derive(Clone, Copy)]
pub struct Heap {
    /// Bytes that are allocated.
    pub current: fn() -> usize,
    /// The most there were since the last reset.
    pub peak: fn() -> usize,
    /// Forgets the most.
    pub reset: fn(),
}

/// What the parent asks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    /// A ticket for a technician of ST01.
    Ticket(String),
    /// From now on costs are counted.
    Mark,
    /// What was used since the mark.
    Read,
}

/// What the hub's process used since the last mark.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Processor time of all its threads, in microseconds.
    pub cpu_us: u64,
    /// The most heap beyond what it had at the mark.
    pub heap_peak: u64,
    /// Heap beyond what it had at the mark, now.
    pub heap_kept: u64,
    /// Memory of the process as the system counts it.
    pub resident: u64,
    /// Connection attempts answered with a Retry.
    pub retried: u64,
    /// Attempts refused.
    pub refused: u64,
    /// Connections now, half-open ones included.
    pub open: u64,
    /// Handshakes under way.
    pub half_open: u64,
    /// Control entries.
    pub control: u64,
}

/// A running hub.
pub struct HubProcess {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl HubProcess {
    /// Starts `program hub FOLDER`, which calls [`serve`].
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .arg("hub")
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the hub's process does not start")?;
        let orders = child.stdin.take().context("no input")?;
        let mut answers = BufReader::new(child.stdout.take().context("no output")?);
        let address = read_line(&mut answers).await?.trim().parse().context("the hub said no address")?;
        Ok(Self { child, orders, answers, address })
    }

    async fn ask(&mut self, order: &Order) -> anyhow::Result<String> {
        let line = serde_json::to_string(order)? + "\n";
        self.orders.write_all(line.as_bytes()).await?;
        self.orders.flush().await?;
        read_line(&mut self.answers).await
    }

    /// A ticket for a technician of ST01 who has this code.
    ///
    /// # Errors
    /// When the hub is gone.
    pub async fn ticket(&mut self, person: &str) -> anyhow::Result<Ticket> {
        let text: String = serde_json::from_str(&self.ask(&Order::Ticket(person.to_owned())).await?)?;
        Ok(Ticket::parse(&text)?)
    }

    /// From now on costs are counted.
    ///
    /// # Errors
    /// When the hub is gone.
    pub async fn mark(&mut self) -> anyhow::Result<()> {
        self.ask(&Order::Mark).await.map(drop)
    }

    /// What was used since the mark, once the hub has nothing to do.
    ///
    /// # Errors
    /// When the hub is gone.
    pub async fn cost(&mut self) -> anyhow::Result<Cost> {
        Ok(serde_json::from_str(&self.ask(&Order::Read).await?)?)
    }

    /// Stops it.
    ///
    /// # Errors
    /// When it ended with an error.
    pub async fn stop(self) -> anyhow::Result<()> {
        let Self { mut child, orders, .. } = self;
        drop(orders);
        let status = tokio::time::timeout(super::STEP, child.wait()).await.context("the hub does not stop")??;
        anyhow::ensure!(status.success(), "the hub ended with {status}");
        Ok(())
    }
}

async fn read_line(answers: &mut BufReader<ChildStdout>) -> anyhow::Result<String> {
    let mut line = String::new();
    let read =
        tokio::time::timeout(super::STEP, answers.read_line(&mut line)).await.context("the hub says nothing")??;
    if read == 0 {
        bail!("the hub's process has ended");
    }
    Ok(line)
}

/// The child: a hub with a fresh store in `folder`, until its input ends.
///
/// # Errors
/// When the hub fails.
pub fn serve(folder: &Path, heap: Heap) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (server, config) = runtime.block_on(bind(folder))?;
    let (handle, metrics, address) = (server.handle(), server.metrics(), server.quic_address());
    let running = runtime.spawn(server.run());
    let mut out = std::io::stdout();
    writeln!(out, "{address}")?;
    out.flush()?;
    let mut mark = (Duration::ZERO, 0);
    for line in std::io::stdin().lock().lines() {
        let answer = match serde_json::from_str(&line?)? {
            Order::Ticket(person) => {
                let ticket = runtime.block_on(ticket(&handle, address, &person))?;
                serde_json::to_string(&ticket.to_string())?
            }
            Order::Mark => {
                runtime.block_on(settle(&handle))?;
                (heap.reset)();
                mark = (process_cpu()?, (heap.current)());
                "{}".to_owned()
            }
            Order::Read => {
                runtime.block_on(settle(&handle))?;
                let cpu = process_cpu()?.saturating_sub(mark.0);
                let control = runtime.block_on(handle.hub().run(|core, _| core.replica().control().iter().count()))?;
                serde_json::to_string(&cost(cpu, mark.1, heap, &metrics, control)?)?
            }
        };
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    handle.shutdown();
    runtime.block_on(running)??;
    drop(config);
    Ok(())
}

fn cost(cpu: Duration, had: usize, heap: Heap, metrics: &Metrics, control: usize) -> anyhow::Result<Cost> {
    let wide = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    let counts = metrics.counts();
    Ok(Cost {
        cpu_us: u64::try_from(cpu.as_micros())?,
        heap_peak: wide((heap.peak)().saturating_sub(had)),
        heap_kept: wide((heap.current)().saturating_sub(had)),
        resident: resident()?,
        retried: counts.retried,
        refused: counts.refused,
        open: wide(counts.open),
        half_open: wide(counts.half_open),
        control: wide(control),
    })
}

async fn bind(folder: &Path) -> anyhow::Result<(Server, ServerConfig)> {
    let mut config = ServerConfig { data_dir: folder.join("hub"), ..ServerConfig::default() };
    "样例区推广站".clone_into(&mut config.organisation.name);
    config.quic.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.web.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.limits.disk_reserve_bytes = 0;
    // One honest tablet stands for many here: it syncs far more often than one may.
    config.limits.sessions_per_device_per_minute_max = 100_000;
    let organisation = config.organisation.name.clone();
    let order = InitOrder { dir: config.data_dir.clone(), organisation, admin: Code::new("A01")?, password: None };
    init(&order, wall_clock()?, StdRng::seed_from_u64(20_260_417))?;
    Ok((Server::bind(&config, StartOptions::default()).await?, config))
}

async fn ticket(handle: &ServerHandle, address: SocketAddr, person: &str) -> anyhow::Result<Ticket> {
    let station = Code::new("ST01")?;
    let scope = Scope::Stations(BTreeSet::from([station.clone()]));
    let order = TicketOrder {
        station,
        persons: BTreeSet::from([Code::new(person)?]),
        grant: Some(TicketGrant { role: Role::Technician, scope }),
        replaces: None,
        hours: 1,
        addresses: vec![Address::new(&address.to_string())?],
    };
    Ok(handle.hub().run(move |core, now| core.issue_ticket(now, &order)).await??)
}

/// Returns when the hub has done what it was given.
async fn settle(handle: &ServerHandle) -> anyhow::Result<()> {
    for _ in 0..2 {
        handle.hub().run(|_, _| ()).await?;
    }
    Ok(())
}

fn process_cpu() -> anyhow::Result<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Ok(Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec)?))
}

/// Resident memory: the second number of `statm` is in pages of 4 KiB.
fn resident() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text.split_whitespace().nth(1).context("statm has no second number")?.parse()?;
    Ok(pages * 4_096)
}

fn wall_clock() -> anyhow::Result<UnixMillis> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(UnixMillis(i64::try_from(since.as_millis())?))
}
