//! Benchmarks: one JSON line for each figure, with its seed and commit.
//!
//! `bench sync` runs the day's work of `docs/` on real folders (pack log with fdatasync, sled index), tablet and hub on one
//! thread with the session's frames between them, so that each side's processor time is its own; then a hub and a tablet
//! over loopback QUIC, for datagram bytes. Message bytes are exact; times are of this machine and are meant to be compared
//! within one run.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program speaks through them")]

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use qianmo_protocol::change::Scalar;
use qianmo_protocol::control::Role;
use qianmo_protocol::ids::DocId;
use qianmo_tests::world::{Meeting, Storage, Tablet, World, assert_same_states, thread_cpu};
use qianmo_tests::{loopback, workload};
use serde_json::{Value, json};

/// Measures; prints one JSON line for each figure.
#[derive(Parser)]
#[command(name = "bench", version, about)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The day's sync, nothing to do, a new tablet, the evening rush.
    Sync(SyncArguments),
}

#[derive(Parser, Clone)]
struct SyncArguments {
    /// All randomness follows from it.
    #[arg(long, default_value_t = 20_260_417)]
    seed: u64,
    /// Records a tablet holds before the day's work.
    #[arg(long, default_value_t = 2_000)]
    day_records: usize,
    /// Records a new tablet pulls, and which are there when there is nothing to do.
    #[arg(long, default_value_t = 10_000)]
    records: usize,
    /// Tablets of the evening rush, smallest run first.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1_000])]
    rush: Vec<usize>,
    /// Zstandard's level for sealing packs.
    #[arg(long, default_value_t = 19)]
    level: i32,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.what {
        What::Sync(arguments) => sync(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn sync(arguments: &SyncArguments) -> anyhow::Result<()> {
    day(arguments)?;
    bootstrap(arguments)?;
    for tablets in &arguments.rush {
        rush(arguments, *tablets)?;
    }
    let runtime = tokio::runtime::Runtime::new()?;
    for (figure, values) in runtime.block_on(loopback::figures(arguments.seed, 20))? {
        report(arguments, figure, merged(values, json!({ "aim_udp_bytes_nothing_to_do": 4_500 })));
    }
    Ok(())
}

/// One figure, as a line.
fn report(arguments: &SyncArguments, figure: &str, values: Value) {
    let mut line = json!({ "figure": figure, "seed": arguments.seed, "commit": commit(), "level": arguments.level });
    if let (Some(line), Value::Object(values)) = (line.as_object_mut(), values) {
        line.extend(values);
    }
    println!("{line}");
}

fn commit() -> String {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    let text = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    text.map_or_else(|| "unknown".to_owned(), |text| String::from_utf8_lossy(&text).trim().to_owned())
}

fn bar(length: usize, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:>24} {wide_bar} {pos}/{len} {eta}");
    let bar = ProgressBar::new(u64::try_from(length).unwrap_or(u64::MAX)).with_message(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn ratio(a: usize, b: usize) -> f64 {
    let share =
        f64::from(u32::try_from(a).unwrap_or(u32::MAX)) / f64::from(u32::try_from(b.max(1)).unwrap_or(u32::MAX));
    (share * 1e3).round() / 1e3
}

/// Files records and gives them back with their fields.
fn fill(
    world: &mut World,
    tablet: &mut Tablet,
    count: usize,
) -> anyhow::Result<Vec<(DocId, BTreeMap<String, Scalar>)>> {
    let bar = bar(count, "records");
    let mut records = Vec::new();
    for number in 0..count {
        let fields = workload::record(&mut world.rng);
        records.push((tablet.file_fields(world, &fields), fields));
        if number % 256 == 255 {
            tablet.replica.sync()?;
        }
        bar.inc(1);
    }
    tablet.replica.sync()?;
    bar.finish_and_clear();
    Ok(records)
}

/// New records and edits; answers the JSON that a plain client would send for them.
fn work(
    world: &mut World,
    tablet: &mut Tablet,
    known: &[(DocId, BTreeMap<String, Scalar>)],
    (new, edits): (usize, usize),
) -> anyhow::Result<String> {
    let mut delta = String::new();
    for (_, fields) in fill(world, tablet, new)? {
        delta.push_str(&workload::json(&fields));
        delta.push('\n');
    }
    for (doc, fields) in known.iter().take(edits) {
        let edit = workload::edit(&mut world.rng, fields);
        tablet.edit_fields(world, *doc, &edit);
        delta.push_str(&format!("{{\"id\":\"{doc}\",\"set\":{}}}\n", workload::json(&edit)));
    }
    tablet.replica.sync()?;
    Ok(delta)
}

fn floor(delta: &str) -> anyhow::Result<usize> {
    Ok(zstd::bulk::compress(delta.as_bytes(), 19).context("zstd")?.len())
}

fn meeting(values: &Meeting) -> Value {
    json!({
        "message_bytes_up": values.bytes_up,
        "message_bytes_down": values.bytes_down,
        "round_trips": values.tally.turns_received,
        "packs_up": values.tally.packs_sent,
        "packs_down": values.tally.packs_received,
        "cpu_tablet_ms": millis(values.cpu_tablet),
        "cpu_hub_ms": millis(values.cpu_hub),
    })
}

fn merged(mut a: Value, b: Value) -> Value {
    if let (Some(a), Value::Object(b)) = (a.as_object_mut(), b) {
        a.extend(b);
    }
    a
}

fn world(arguments: &SyncArguments, folder: &tempfile::TempDir) -> World {
    let mut world = World::with_storage(arguments.seed, Storage::Folder(folder.path().to_owned()));
    world.level = arguments.level;
    world
}

/// A tablet with synced records adds 20 and edits 5 while others bring 30 and 5 edits; then there is nothing to do.
fn day(arguments: &SyncArguments) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut world = world(arguments, &folder);
    let mut tablet = world.enrol("P01", Role::Technician);
    let mut other = world.enrol("P02", Role::Technician);
    let known = fill(&mut world, &mut other, arguments.day_records)?;
    world.meet(&mut other);
    world.meet(&mut tablet);
    let down = work(&mut world, &mut other, &known, (30, 5))?;
    world.meet(&mut other);
    let up = work(&mut world, &mut tablet, known.get(10..).unwrap_or_default(), (20, 5))?;
    let day = world.meet(&mut tablet);
    let (floor_up, floor_down) = (floor(&up)?, floor(&down)?);
    let bytes = day.bytes_up + day.bytes_down;
    let values = json!({
        "records": arguments.day_records,
        "floor_bytes_up": floor_up,
        "floor_bytes_down": floor_down,
        "ratio_to_floor": ratio(bytes, floor_up + floor_down),
        "aim_ratio": 1.3,
    });
    report(arguments, "day_sync", merged(meeting(&day), values));
    let nothing = world.meet(&mut tablet);
    let values = json!({ "records": arguments.day_records, "aim_message_bytes": 1_000 });
    report(arguments, "nothing_to_do_small", merged(meeting(&nothing), values));
    world.meet(&mut other);
    assert_same_states(&[&world.hub.replica, &tablet.replica, &other.replica]);
    Ok(())
}

/// A new tablet pulls everything; then there is nothing to do; then it has lost its cursor and one record is new.
fn bootstrap(arguments: &SyncArguments) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut world = world(arguments, &folder);
    let mut other = world.enrol("P02", Role::Technician);
    let known = fill(&mut world, &mut other, arguments.records)?;
    let all: String = known.iter().map(|(_, fields)| workload::json(fields) + "\n").collect();
    let pushed = world.meet(&mut other);
    report(arguments, "push_all", merged(meeting(&pushed), json!({ "records": arguments.records })));
    let mut tablet = world.enrol("P01", Role::Technician);
    let start = Instant::now();
    let pulled = world.meet(&mut tablet);
    let per_core_second = f64::from(u32::try_from(arguments.records)?) / pulled.cpu_tablet.as_secs_f64();
    let values = json!({
        "records": arguments.records,
        "wall_ms": millis(start.elapsed()),
        "floor_bytes_down": floor(&all)?,
        "ratio_to_floor": ratio(pulled.bytes_down, floor(&all)?),
        "records_per_tablet_core_second": per_core_second.round(),
    });
    report(arguments, "new_tablet", merged(meeting(&pulled), values));
    let nothing = world.meet(&mut tablet);
    let values = json!({ "records": arguments.records, "aim_message_bytes": 1_000 });
    report(arguments, "nothing_to_do", merged(meeting(&nothing), values));
    // A tablet that does not know any more which logbooks are live: it states one digest, and one more round trip finds
    // what is new.
    fill(&mut world, &mut other, 1)?;
    world.meet(&mut other);
    tablet.live.clear();
    let lost = world.meet(&mut tablet);
    let values = json!({ "records": arguments.records, "new": 1, "aim_round_trips": 2 });
    report(arguments, "lost_cursor", merged(meeting(&lost), values));
    assert_same_states(&[&world.hub.replica, &tablet.replica, &other.replica]);
    Ok(())
}

/// Many tablets push 20 records each into an empty hub.
fn rush(arguments: &SyncArguments, tablets: usize) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut world = world(arguments, &folder);
    let bar = bar(tablets, "tablets");
    let (mut hub, mut up, mut down) = (Duration::ZERO, 0, 0);
    for number in 0..tablets {
        // Each tablet's store is in memory: what is measured is the hub.
        world.storage = Storage::Memory;
        let mut tablet = world.enrol(&format!("P{number}"), Role::Technician);
        fill(&mut world, &mut tablet, 20)?;
        let before = thread_cpu();
        let met = world.meet_pushing(&mut tablet);
        anyhow::ensure!(met.finished, "tablet {number} did not finish after {:?}", thread_cpu() - before);
        hub += met.cpu_hub;
        up += met.bytes_up;
        down += met.bytes_down;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let each = u32::try_from(tablets)?;
    let values = json!({
        "tablets": tablets,
        "records_each": 20,
        "cpu_hub_ms_per_tablet": millis(hub / each),
        "aim_cpu_hub_ms_per_tablet": 1.0,
        "message_bytes_up_per_tablet": up / tablets,
        "message_bytes_down_per_tablet": down / tablets,
        "handshake": "not included",
    });
    report(arguments, "evening_rush", values);
    Ok(())
}
