//! The read model over many records: building it, lists, the change feed, searches, a year's figures.
//!
//! The records are made by coordinators' tablets in memory and pushed to one hub in a folder, judged like any other: twelve
//! stations, eight months, five forms, and reviews of which six in ten are approvals. The model is then built from that hub
//! as after its deletion, and asked over a connection of its own, as pages and the API do.

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use qianmo_forms::FormSet;
use qianmo_protocol::change::Scalar;
use qianmo_protocol::control::Role;
use qianmo_protocol::ids::{Code, LogbookName};
use qianmo_protocol::record::{RecordRoot, create};
use qianmo_protocol::review::{Provenance, ReviewEvent, ReviewKind};
use qianmo_protocol::time::Month;
use qianmo_server::projection::{
    Filter, ListCursor, Mark, Marks, Position, ProjectedRecord, Projection, Reader, STATE_WORDS,
};
use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha20Rng;
use serde_json::json;

use super::{Lines, bar, count, millis, per_second, percentile, ratio};
use crate::workload;
use crate::world::{Storage, Tablet, World};

/// Records that one tablet brings.
const RECORDS_OF_TABLET: usize = 2_000;
pub(super) const STATIONS: u32 = 12;
/// Months 1 to this one of 2025: a hub of June takes records of the next two months.
const MONTHS: u8 = 8;
/// Records of a list's page, and of one of the feed.
const LIST: usize = 50;
const FEED: usize = 100;
const AIM_P95_MS: u32 = 50;
/// One record in so many has one of the rare words.
const RARE_ONE_IN: u32 = 200;

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct ProjectionOrder {
    /// Records.
    #[arg(long, default_value_t = 100_000)]
    pub records: usize,
    /// Queries of each sort.
    #[arg(long, default_value_t = 200)]
    pub queries: usize,
}

/// Measures all of it.
///
/// # Errors
/// When a step does not do what it must.
pub fn run(lines: &mut Lines<'_>, order: &ProjectionOrder) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let start = Instant::now();
    let mut world = World::with_storage(lines.seed, Storage::Folder(folder.path().to_owned()));
    fill(&mut world, order.records)?;
    let made = start.elapsed();
    let replica = &world.hub.replica;
    let forms = Arc::new(FormSet::built_in()?);
    // The dictionary of the search is read once in a process; that is no part of a build.
    black_box(Filter::is_searchable("桃"));

    let start = Instant::now();
    let ids = replica.all_records()?;
    for id in &ids {
        black_box(ProjectedRecord::read(replica, id)?);
    }
    let read = start.elapsed();
    ensure!(ids.len() == order.records, "{} records reached the hub", ids.len());
    let path = folder.path().join("model.sqlite");
    let position = Position { epoch: world.hub.epoch, commit: replica.durable_commit().0 };
    let start = Instant::now();
    Projection::open(&path, Arc::clone(&forms))?.rebuild(replica, position)?;
    let built = start.elapsed();
    let start = Instant::now();
    let kept = Projection::open(&path, Arc::clone(&forms))?;
    let opened = start.elapsed();
    ensure!(kept.position()? == Some(position), "the model was not kept");
    let values = json!({
        "records": order.records,
        "made_in_s": made.as_secs(),
        "rebuild_ms": millis(built),
        "records_per_second": per_second(order.records, built),
        "of_which_reading_the_replica_ms": millis(read),
        "open_and_check_ms": millis(opened),
        "bytes_per_record": (count(usize::try_from(std::fs::metadata(&path)?.len())?) / count(order.records)).round(),
    });
    lines.say("projection_rebuild", values)?;
    let reader = Reader::open(&path)?;
    let mut asking = Asking { lines, order, rng: world.rng, reader };
    asking.lists()?;
    asking.feed()?;
    asking.searches()?;
    asking.report(&forms)
}

/// Files records from as many tablets as it takes; the hub judges them.
pub(super) fn fill(world: &mut World, records: usize) -> anyhow::Result<()> {
    world.storage = Storage::Memory;
    world.level = 3;
    let bar = bar(records, "records");
    for number in 0..records.div_ceil(RECORDS_OF_TABLET) {
        let mut tablet = world.enrol(&format!("C{number:03}"), Role::Coordinator);
        for _ in 0..RECORDS_OF_TABLET.min(records - number * RECORDS_OF_TABLET) {
            file(world, &mut tablet)?;
            bar.inc(1);
        }
        tablet.replica.sync()?;
        let met = world.meet_pushing(&mut tablet);
        ensure!(met.finished, "tablet {number} did not finish");
    }
    bar.finish_and_clear();
    Ok(())
}

pub(super) fn station(rng: &mut ChaCha20Rng) -> String {
    format!("ST{:02}", rng.random_range(1..=STATIONS))
}

pub(super) fn month(rng: &mut ChaCha20Rng) -> u8 {
    rng.random_range(1..=MONTHS)
}

pub(super) fn form(rng: &mut ChaCha20Rng) -> &'static str {
    ["visit", "visit", "visit", "guidance", "guidance", "training", "demo", "demand"].choose(rng).copied().unwrap()
}

/// What is in a record of a form: the fields of the workload, and what the form counts.
fn fields(rng: &mut ChaCha20Rng, form: &str, month: u8) -> BTreeMap<String, Scalar> {
    let mut fields = workload::record(rng);
    let mut put = |name: &str, value: Scalar| {
        fields.insert(name.to_owned(), value);
    };
    put("activity_date", Scalar::Text(format!("2025-{month:02}-{:02}", rng.random_range(1..=28))));
    match form {
        "training" => put("attendees", Scalar::Int(rng.random_range(5..80))),
        "demo" => put("area_mu", Scalar::Text(format!("{}.5", rng.random_range(1..200)))),
        _ => {}
    }
    if rng.random_ratio(1, RARE_ONE_IN) {
        put("remark", Scalar::Text(format!("见{}一处", workload::RARE_WORDS.choose(rng).unwrap())));
    }
    fields
}

/// Files a record with its state of review, as one act.
fn file(world: &mut World, tablet: &mut Tablet) -> anyhow::Result<()> {
    let (station, month, form) = (Code::new(&station(&mut world.rng))?, month(&mut world.rng), form(&mut world.rng));
    let fields = fields(&mut world.rng, form, month);
    let name = LogbookName::StationMonth(station.clone(), Month::new(2025, month).context("month")?);
    let logbook = name.id(&world.org);
    let origin = tablet.origin(world);
    let root = RecordRoot {
        form: Code::new(form)?,
        form_version: 1,
        station: Some(station),
        logbook,
        author: tablet.person.clone(),
        created_at: origin.time,
    };
    let record = create(&origin, &root, &fields, &BTreeMap::new())?;
    let doc = record.change.doc_id_if_root().context("a new record has a root")?;
    let (kind, provenance) = match world.rng.random_range(0..10) {
        0..6 => (ReviewKind::Approve, Provenance::Imported),
        6 => (ReviewKind::Return, Provenance::Imported),
        _ => (ReviewKind::Submit, Provenance::Written),
    };
    let event = ReviewEvent {
        record: doc,
        logbook,
        kind,
        heads: BTreeSet::from([record.change.hash()]),
        seen: BTreeSet::new(),
        reasons: BTreeSet::new(),
        field_notes: BTreeMap::new(),
        note: String::new(),
        provenance,
        person: tablet.person.clone(),
        time: origin.time,
    };
    let event = event.author(&tablet.origin(world))?;
    let event_doc = event.change.doc_id_if_root().context("a new event has a root")?;
    tablet.replica.write(&name, &[(doc, record), (event_doc, event)], None)?;
    Ok(())
}

/// One who asks the model.
struct Asking<'a, 'l> {
    lines: &'a mut Lines<'l>,
    order: &'a ProjectionOrder,
    rng: ChaCha20Rng,
    reader: Reader,
}

impl Asking<'_, '_> {
    /// Asks so many times, and says how long it took. `ask` answers how many records came.
    fn ask(
        &mut self,
        query: &str,
        mut ask: impl FnMut(&Reader, &mut ChaCha20Rng) -> anyhow::Result<usize>,
    ) -> anyhow::Result<()> {
        let (mut times, mut found) = (Vec::new(), 0);
        for _ in 0..self.order.queries {
            let start = Instant::now();
            found += ask(&self.reader, &mut self.rng)?;
            times.push(start.elapsed());
        }
        let p95 = millis(percentile(&times, 95));
        let values = json!({
            "records": self.order.records,
            "query": query,
            "queries": self.order.queries,
            "p50_ms": millis(percentile(&times, 50)),
            "p95_ms": p95,
            "aim_p95_ms": AIM_P95_MS,
            "ratio_to_aim": ratio(p95, f64::from(AIM_P95_MS)),
            "records_answered": (count(found) / count(self.order.queries.max(1))).round(),
        });
        self.lines.say("projection_query", values)
    }

    /// Pages of the list, at random places of it.
    fn lists(&mut self) -> anyhow::Result<()> {
        let (mut places, mut after) = (vec![None], None);
        while let Some(next) = self.reader.first(&Filter::default(), after, 500)?.next {
            places.push(Some(next));
            after = Some(next);
        }
        let anywhere = |rng: &mut ChaCha20Rng| -> Option<ListCursor> { places.choose(rng).copied().flatten() };
        let of_place = |rng: &mut ChaCha20Rng| Filter {
            station: Some(station(rng)),
            month: Some(format!("2025-{:02}", month(rng))),
            ..Filter::default()
        };
        let of_form = |rng: &mut ChaCha20Rng| Filter {
            form: Some(form(rng).to_owned()),
            state: STATE_WORDS.first_chunk::<3>().and_then(|words| words.choose(rng)).map(|word| (*word).to_owned()),
            ..Filter::default()
        };
        self.ask("list: 50 at any place", |reader, rng| {
            Ok(reader.first(&Filter::default(), anywhere(rng), LIST)?.records.len())
        })?;
        self.ask("list: newest 50 of a station and month", |reader, rng| {
            Ok(reader.first(&of_place(rng), None, LIST)?.records.len())
        })?;
        self.ask("list: newest 50 of a form and state", |reader, rng| {
            Ok(reader.first(&of_form(rng), None, LIST)?.records.len())
        })?;
        let conflicts = Filter { marks: Marks::of(&[Mark::Conflict]), ..Filter::default() };
        self.ask("list: newest 50 with a conflict (there is none)", |reader, _| {
            Ok(reader.first(&conflicts, None, LIST)?.records.len())
        })?;
        self.ask("whole page: no filter", |reader, _| page(reader, &Filter::default()))?;
        self.ask("whole page: a station and month", |reader, rng| page(reader, &of_place(rng)))
    }

    /// Pages of the change feed, at random places of it.
    fn feed(&mut self) -> anyhow::Result<()> {
        let (mut places, mut after) = (vec![None], None);
        loop {
            let feed = self.reader.feed(&Filter::default(), after, 500)?.context("the cursor is of this epoch")?;
            places.push(Some(feed.next));
            after = Some(feed.next);
            if !feed.has_more {
                break;
            }
        }
        let page = |reader: &Reader, filter: &Filter, rng: &mut ChaCha20Rng| -> anyhow::Result<usize> {
            let after = places.choose(rng).copied().flatten();
            Ok(reader.feed(filter, after, FEED)?.context("the cursor is of this epoch")?.records.len())
        };
        self.ask("change feed: 100 after any place", |reader, rng| page(reader, &Filter::default(), rng))?;
        self.ask("change feed: 100 of a station after any place", |reader, rng| {
            let filter = Filter { station: Some(station(rng)), ..Filter::default() };
            page(reader, &filter, rng)
        })
    }

    /// Searches for one rare word, one frequent one, and two.
    fn searches(&mut self) -> anyhow::Result<()> {
        let word = |words: &[&'static str], rng: &mut ChaCha20Rng| words.choose(rng).copied().unwrap();
        let rare = |rng: &mut ChaCha20Rng| word(&workload::RARE_WORDS, rng).to_owned();
        let frequent = |rng: &mut ChaCha20Rng| word(&workload::FREQUENT_WORDS, rng).to_owned();
        let two = |rng: &mut ChaCha20Rng| {
            let pair: Vec<&str> = workload::FREQUENT_WORDS.choose_multiple(rng, 2).copied().collect();
            pair.join(" ")
        };
        let of = |text: String| Filter { text: Some(text), ..Filter::default() };
        self.ask("search: a rare word, newest 50", |reader, rng| newest(reader, &of(rare(rng))))?;
        self.ask("search: a frequent word, newest 50", |reader, rng| newest(reader, &of(frequent(rng))))?;
        self.ask("search: two frequent words, newest 50", |reader, rng| newest(reader, &of(two(rng))))?;
        self.ask("whole page: a rare word", |reader, rng| page(reader, &of(rare(rng))))?;
        self.ask("whole page: a frequent word", |reader, rng| page(reader, &of(frequent(rng))))
    }

    /// The figures of a year, over everything and of one station.
    fn report(mut self, forms: &FormSet) -> anyhow::Result<()> {
        let mut of = |name: &str, times: usize, one_station: bool| -> anyhow::Result<()> {
            let mut taken = Vec::new();
            for _ in 0..times {
                let station = one_station.then(|| station(&mut self.rng));
                let filter = Filter { station, ..Filter::default() };
                let start = Instant::now();
                let report = self.reader.report(forms, &filter, Some(2025))?;
                taken.push(start.elapsed());
                let counted = report.to_json()["accepted_aggregates"]["records"].as_u64();
                let all = u64::try_from(self.order.records)?;
                ensure!(counted.is_some_and(|counted| one_station || counted == all), "counted {counted:?} of {all}");
            }
            let values = json!({
                "records": self.order.records,
                "of": name,
                "times": times,
                "p50_ms": millis(percentile(&taken, 50)),
                "p95_ms": millis(percentile(&taken, 95)),
            });
            self.lines.say("year_figures", values)
        };
        of("everything", 5, false)?;
        of("one station", 12, true)
    }
}

fn newest(reader: &Reader, filter: &Filter) -> anyhow::Result<usize> {
    Ok(reader.first(filter, None, LIST)?.records.len())
}

/// What a page of the list asks for: the records, how many there are of each state, and what the filters offer.
fn page(reader: &Reader, filter: &Filter) -> anyhow::Result<usize> {
    let records = newest(reader, filter)?;
    black_box((reader.counts(filter)?, reader.places()?));
    Ok(records)
}
