//! An old ledger, read and filed: rows a second, and the most memory it takes.
//!
//! The ledger is the shipped one of 3,048 rows, and the same many times over: each further copy has other record numbers,
//! and plain dates and times are moved, so that almost no row is a duplicate. Every import is what a person runs, `qianmo
//! import`, in a process of its own, so that the peaks of memory do not mix: a dry run, which only reads and cleans, and a
//! filing on a tablet that was just enrolled and has no network.

mod grow;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use qianmo_protocol::control::{Role, Scope};
use qianmo_server::registry::TicketGrant;
use qianmo_tablet::{Environment, Exit, Terminal, ledger};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use super::{Lines, count, merged, millis, per_second, ratio};
use crate::loopback;

/// Rows that the importer hands to the store at once: what the disk is asked to make durable together.
const ROWS_PER_SYNC: usize = 512;
const YEAR: &str = "2025";

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct ImportOrder {
    /// Rows of the ledgers, about; the shipped one has 3,048.
    #[arg(long, value_delimiter = ',', default_values_t = [3_048, 100_000])]
    pub rows: Vec<usize>,
}

/// One import.
#[derive(Debug, Clone, clap::Args)]
pub struct ChildOrder {
    /// The ledger.
    #[arg(long)]
    pub ledger: PathBuf,
    /// The folder of the enrolled tablet; without it, a dry run.
    #[arg(long)]
    pub data: Option<PathBuf>,
}

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/bin/data/sample")
}

/// Measures dry runs and filings.
///
/// # Errors
/// When a step does not do what it must.
pub fn run(lines: &mut Lines<'_>, order: &ImportOrder) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let shipped = fs::read_to_string(sample().join("visits-2025.csv"))?;
    let tablets: Vec<PathBuf> = order.rows.iter().map(|rows| folder.path().join(format!("tablet{rows}"))).collect();
    tokio::runtime::Runtime::new()?.block_on(enrol(&folder.path().join("hub"), lines.seed, &tablets))?;
    for (rows, tablet) in order.rows.iter().zip(&tablets) {
        let ledger = folder.path().join(format!("ledger{rows}.csv"));
        fs::write(&ledger, grow::to_rows(&shipped, *rows))?;
        let asked = json!({ "rows_asked_for": rows });
        lines.say("import_dry_run", merged(asked.clone(), spawn(&ledger, None)?))?;
        lines.say("import_filing", merged(asked, spawn(&ledger, Some(tablet))?))?;
    }
    Ok(())
}

/// Tablets of a coordinator of the district, which have met the hub once.
async fn enrol(folder: &Path, seed: u64, tablets: &[PathBuf]) -> anyhow::Result<()> {
    let (handle, quic, running) = loopback::hub(folder, seed).await?;
    for (number, tablet) in tablets.iter().enumerate() {
        let grant = TicketGrant { role: Role::Coordinator, scope: Scope::District };
        let client = loopback::tablet(&handle, quic, tablet, (&format!("C{number:02}"), grant)).await?;
        loopback::sync(&client).await?;
        client.close().await?;
    }
    handle.shutdown();
    Ok(running.await??)
}

fn spawn(ledger: &Path, data: Option<&Path>) -> anyhow::Result<Value> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("import-child").arg("--ledger").arg(ledger);
    if let Some(data) = data {
        command.arg("--data").arg(data);
    }
    let output = command.output()?;
    ensure!(output.status.success(), "an import failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// One import in this process, which does nothing else.
///
/// # Errors
/// When the import does not end well, or files another number of records than it accepted.
pub fn child(order: &ChildOrder) -> anyhow::Result<Value> {
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a path that is no text");
    let mut line = vec!["qianmo".to_owned(), "import".to_owned(), text(&order.ledger)?];
    line.extend(["--with".to_owned(), text(&sample())?, "--year".to_owned(), YEAR.to_owned(), "--json".to_owned()]);
    match &order.data {
        Some(data) => line.extend(["--data".to_owned(), text(data)?]),
        None => line.push("--dry-run".to_owned()),
    }
    let environment = Environment::default().with("LANG", "C.UTF-8");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (start, cpu) = (Instant::now(), process_cpu());
    let exit = qianmo_tablet::run(line, &environment, Terminal::new(&b""[..], &mut out, &mut err));
    let (wall, cpu) = (start.elapsed(), process_cpu() - cpu);
    let peak = peak_kib();
    let said = String::from_utf8_lossy(&err);
    ensure!(exit == Exit::Done, "the import ended with {exit:?}: {said}");
    let report: Value = serde_json::from_slice(&out)?;
    let number = |key: &str| report[key].as_u64().and_then(|number| usize::try_from(number).ok());
    let accepted = number("accepted").context("the report does not say what was accepted")?;
    let rows = grow::rows_of(&fs::read_to_string(&order.ledger)?);
    let values = json!({
        "rows": rows,
        "rows_accepted": accepted,
        "ledger_bytes": fs::metadata(&order.ledger)?.len(),
        "wall_ms": millis(wall),
        "cpu_ms": millis(cpu),
        "rows_per_second": per_second(rows, wall),
        "peak_mib": peak.map(|kib| (kib / 102.4).round() / 10.0),
    });
    let floor = match &order.data {
        None => inspected(&order.ledger, wall)?,
        Some(data) => {
            ensure!(said.contains(&format!("{accepted} new, 0 here already")), "not everything was filed: {said}");
            let filed = json!({ "records_per_second": per_second(accepted, wall) });
            merged(filed, written(data, accepted, wall)?)
        }
    };
    Ok(merged(values, floor))
}

/// What only reading the bytes takes: their hash, and whether they are UTF-8.
fn inspected(ledger: &Path, whole: Duration) -> anyhow::Result<Value> {
    let start = Instant::now();
    ledger::inspect(File::open(ledger)?)?;
    let floor = start.elapsed();
    let ratio = ratio(whole.as_secs_f64(), floor.as_secs_f64());
    Ok(json!({ "floor_read_and_hash_ms": millis(floor), "ratio_to_floor": ratio }))
}

/// What only writing takes: as many bytes as the pack log got, in as many groups, each made durable.
fn written(data: &Path, accepted: usize, whole: Duration) -> anyhow::Result<Value> {
    let bytes = segment_bytes(data)?;
    let groups = accepted.div_ceil(ROWS_PER_SYNC).max(1);
    let group = vec![0xA5_u8; usize::try_from(bytes)?.div_ceil(groups)];
    let path = data.join("floor.bin");
    let mut file = File::create(&path)?;
    let start = Instant::now();
    for _ in 0..groups {
        file.write_all(&group)?;
        file.sync_data()?;
    }
    let floor = start.elapsed();
    drop(file);
    fs::remove_file(path)?;
    Ok(json!({
        "log_bytes": bytes,
        "log_bytes_per_record": (count(usize::try_from(bytes)?) / count(accepted.max(1))).round(),
        "durable_groups": groups,
        "floor_write_and_sync_ms": millis(floor),
        "ratio_to_floor": ratio(whole.as_secs_f64(), floor.as_secs_f64()),
    }))
}

/// Bytes of the pack log's segments under a folder.
fn segment_bytes(folder: &Path) -> anyhow::Result<u64> {
    let (mut bytes, mut folders) = (0, BTreeSet::from([folder.to_owned()]));
    while let Some(folder) = folders.pop_first() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.insert(entry.path());
            } else if entry.path().extension().is_some_and(|extension| extension == "seg") {
                bytes += entry.metadata()?.len();
            }
        }
    }
    ensure!(bytes > 0, "no pack log was found");
    Ok(bytes)
}

/// Processor time of this process, all its threads.
fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap())
}

/// The most memory this process ever held, where the system says so.
fn peak_kib() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
