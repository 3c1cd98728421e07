//! The day's sync, nothing to do, a new tablet, the evening rush.
//!
//! Real folders (pack log with fdatasync, sled index), tablet and hub on one thread with the session's frames between them,
//! so that each side's processor time is its own. Message bytes are exact; times are of this machine.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use qianmo_protocol::change::Scalar;
use qianmo_protocol::control::Role;
use qianmo_protocol::ids::DocId;
use serde_json::{Value, json};

use super::handshake::Handshake;
use super::{Lines, bar, count, epoch, handshake, merged, millis, per_second, ratio};
use crate::world::{Meeting, Storage, Tablet, World, assert_same_states, thread_cpu};
use crate::{loopback, workload};

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct SyncOrder {
    /// Records a tablet holds before the day's work.
    #[arg(long, default_value_t = 2_000)]
    pub day_records: usize,
    /// Records a new tablet pulls, and which are there when there is nothing to do.
    #[arg(long, default_value_t = 10_000)]
    pub records: usize,
    /// Tablets of the evening rush, smallest run first.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1_000])]
    pub rush: Vec<usize>,
    /// Records a tablet holds when the hub comes back from a backup.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 4_000])]
    pub epoch_records: Vec<usize>,
    /// Handshakes that are measured.
    #[arg(long, default_value_t = 200)]
    pub handshakes: usize,
    /// Zstandard's level for sealing packs.
    #[arg(long, default_value_t = 19)]
    pub level: i32,
}

/// Measures all of it.
///
/// # Errors
/// When a step does not do what it must.
pub fn run(lines: &mut Lines<'_>, order: &SyncOrder) -> anyhow::Result<()> {
    day(lines, order)?;
    bootstrap(lines, order)?;
    for records in &order.epoch_records {
        epoch::run(lines, *records, order.level)?;
    }
    let handshake = handshake::measure(lines.seed, order.handshakes)?;
    lines.say("quic_handshake", handshake.values())?;
    for tablets in &order.rush {
        rush(lines, order, *tablets, &handshake)?;
    }
    let runtime = tokio::runtime::Runtime::new()?;
    for (figure, values) in runtime.block_on(loopback::figures(lines.seed, 20))? {
        lines.say(figure, merged(values, json!({ "aim_udp_bytes_nothing_to_do": 4_500 })))?;
    }
    Ok(())
}

/// Files records and gives them back with their fields.
pub(super) fn fill(
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

pub(super) fn meeting(values: &Meeting) -> Value {
    json!({
        "message_bytes_up": values.bytes_up,
        "message_bytes_down": values.bytes_down,
        "message_bytes": values.bytes_up + values.bytes_down,
        "round_trips": values.tally.turns_received,
        "packs_up": values.tally.packs_sent,
        "packs_down": values.tally.packs_received,
        "cpu_tablet_ms": millis(values.cpu_tablet),
        "cpu_hub_ms": millis(values.cpu_hub),
    })
}

fn world(lines: &Lines<'_>, order: &SyncOrder, folder: &tempfile::TempDir) -> World {
    let mut world = World::with_storage(lines.seed, Storage::Folder(folder.path().to_owned()));
    world.level = order.level;
    world
}

/// A tablet with synced records adds 20 and edits 5 while others bring 30 and 5 edits; then there is nothing to do.
fn day(lines: &mut Lines<'_>, order: &SyncOrder) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut world = world(lines, order, &folder);
    let mut tablet = world.enrol("P01", Role::Technician);
    let mut other = world.enrol("P02", Role::Technician);
    let known = fill(&mut world, &mut other, order.day_records)?;
    world.meet(&mut other);
    world.meet(&mut tablet);
    let down = work(&mut world, &mut other, &known, (30, 5))?;
    world.meet(&mut other);
    let up = work(&mut world, &mut tablet, known.get(10..).unwrap_or_default(), (20, 5))?;
    let day = world.meet(&mut tablet);
    let (floor_up, floor_down) = (floor(&up)?, floor(&down)?);
    let bytes = day.bytes_up + day.bytes_down;
    let values = json!({
        "records": order.day_records,
        "level": order.level,
        "floor_bytes_up": floor_up,
        "floor_bytes_down": floor_down,
        "ratio_to_floor": ratio(count(bytes), count(floor_up + floor_down)),
        "aim_ratio": 1.3,
    });
    lines.say("day_sync", merged(meeting(&day), values))?;
    let nothing = world.meet(&mut tablet);
    let values = json!({ "records": order.day_records, "aim_message_bytes": 1_000 });
    lines.say("nothing_to_do", merged(meeting(&nothing), values))?;
    world.meet(&mut other);
    assert_same_states(&[&world.hub.replica, &tablet.replica, &other.replica]);
    Ok(())
}

/// A new tablet pulls everything; then there is nothing to do; then it has lost its cursor and one record is new.
fn bootstrap(lines: &mut Lines<'_>, order: &SyncOrder) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut world = world(lines, order, &folder);
    let mut other = world.enrol("P02", Role::Technician);
    let known = fill(&mut world, &mut other, order.records)?;
    let all: String = known.iter().map(|(_, fields)| workload::json(fields) + "\n").collect();
    let pushed = world.meet(&mut other);
    lines.say("push_all", merged(meeting(&pushed), json!({ "records": order.records, "level": order.level })))?;
    let mut tablet = world.enrol("P01", Role::Technician);
    let start = Instant::now();
    let pulled = world.meet(&mut tablet);
    let wall = start.elapsed();
    let floor = floor(&all)?;
    let values = json!({
        "records": order.records,
        "level": order.level,
        "wall_ms": millis(wall),
        "floor_bytes_down": floor,
        "ratio_to_floor": ratio(count(pulled.bytes_down), count(floor)),
        "records_per_tablet_core_second": per_second(order.records, pulled.cpu_tablet),
    });
    lines.say("new_tablet", merged(meeting(&pulled), values))?;
    let nothing = world.meet(&mut tablet);
    let values = json!({ "records": order.records, "aim_message_bytes": 1_000 });
    lines.say("nothing_to_do", merged(meeting(&nothing), values))?;
    // A tablet that does not know any more which logbooks are live: it states one digest, and one more round trip finds
    // what is new.
    fill(&mut world, &mut other, 1)?;
    world.meet(&mut other);
    tablet.live.clear();
    let lost = world.meet(&mut tablet);
    let values = json!({ "records": order.records, "new": 1, "aim_round_trips": 2 });
    lines.say("lost_cursor", merged(meeting(&lost), values))?;
    assert_same_states(&[&world.hub.replica, &tablet.replica, &other.replica]);
    Ok(())
}

/// Many tablets push 20 records each into an empty hub.
fn rush(lines: &mut Lines<'_>, order: &SyncOrder, tablets: usize, handshake: &Handshake) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut world = world(lines, order, &folder);
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
        "level": order.level,
        "cpu_hub_ms_per_tablet_without_handshake": millis(hub / each),
        "cpu_hub_ms_per_handshake": millis(handshake.hub),
        "cpu_hub_ms_per_tablet": millis(hub / each + handshake.hub),
        "aim_cpu_hub_ms_per_tablet": 1.0,
        "message_bytes_up_per_tablet": up / tablets,
        "message_bytes_down_per_tablet": down / tablets,
        "handshake": "included, from the figure quic_handshake of this run",
    });
    lines.say("evening_rush", values)
}
