//! Power cuts on the real file operations of real folders.
//!
//! Two tablets and a hub live on real folders with the real index; a shadow beside each folder knows what is durable
//! ([`super::watched_disk`]). At operations drawn from the seed an image is taken of what a power cut would leave: what was
//! not synced is dropped, torn or reordered, names are an ordered prefix of what was done since the folder's last fsync. Each
//! image is written to another real folder with an index in one of the states that sled may leave, opened as ever, and
//! compared with what was confirmed when it was taken; while that recovery runs, the power is cut again.
//!
//! # Flow
//!
//! ```text
//! step of the story ─> operations ─> images ─┬─> folder + index state ─> open ─> promises hold? takes writes? ─┐
//!                                            └──────── images of the recovery itself, at most DEPTH deep <────┘
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use clap::Parser;
use indicatif::ProgressBar;
use qianmo_protocol::change::Scalar;
use qianmo_protocol::control::{Decision, Purge, PurgeTarget, Role as GrantRole};
use qianmo_protocol::ids::DocId;
use qianmo_replica::disk::{Disk, MemoryDisk};
use qianmo_replica::frames::DraftId;
use qianmo_replica::index::SledIndex;
use qianmo_replica::replica::{Delivery, Foreign, Identity, OpenReport, Replica, Role};
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use serde_json::{Value, json};

use super::index_state::IndexState;
use super::promises::{Broken, Deed, Found, Line, Promises, text, version_of};
use super::watched_disk::{Image, Watch, WatchedDisk};
use super::{complain, scratch};
use crate::bench::{bar, commit};
use crate::world::{DiskMaker, Storage, Tablet, World, june};

/// Memory for an index.
const INDEX_CACHE_BYTES: u64 = 8 << 20;
/// How often a power cut may interrupt the recovery from a power cut.
const DEPTH: usize = 3;
/// Images of one organisation; then another begins.
const IMAGES_OF_A_STORY: usize = 250;
/// One operation in so many is cut.
const ONE_IN: u32 = 10;
/// Likewise while a store recovers.
const ONE_IN_RECOVERY: u32 = 40;

/// How many images.
#[derive(Debug, Clone, Parser)]
pub struct PowerOrder {
    /// How many images at least.
    #[arg(long, default_value_t = 5_000)]
    pub images: usize,
    /// The first organisation's seed; each next one has the next.
    #[arg(long, default_value_t = 20_260_502)]
    pub seed: u64,
    /// Organisations at the same time.
    #[arg(long, default_value_t = 4)]
    pub jobs: usize,
}

/// What the images came to.
#[derive(Debug, Default)]
struct Score {
    images: usize,
    of_recovery: usize,
    modes: BTreeMap<String, usize>,
    operations: BTreeMap<String, usize>,
    indexes: BTreeMap<&'static str, usize>,
    rebuilt: usize,
    /// Opened a second time because damage of the index showed only when it was read.
    reopened: usize,
    promises: u64,
    kept: u64,
    lost: Vec<String>,
    invented: Vec<String>,
    unopenable: Vec<String>,
    unsynced: Vec<String>,
}

impl Score {
    fn is_clean(&self) -> bool {
        [&self.lost, &self.invented, &self.unopenable, &self.unsynced].iter().all(|found| found.is_empty())
    }

    fn add(&mut self, other: Self) {
        self.images += other.images;
        self.of_recovery += other.of_recovery;
        other.modes.into_iter().for_each(|(key, count)| *self.modes.entry(key).or_default() += count);
        other.operations.into_iter().for_each(|(key, count)| *self.operations.entry(key).or_default() += count);
        other.indexes.into_iter().for_each(|(key, count)| *self.indexes.entry(key).or_default() += count);
        self.rebuilt += other.rebuilt;
        self.reopened += other.reopened;
        self.promises += other.promises;
        self.kept += other.kept;
        self.lost.extend(other.lost);
        self.invented.extend(other.invented);
        self.unopenable.extend(other.unopenable);
        self.unsynced.extend(other.unsynced);
    }

    fn note(&mut self, at: &str, broken: Broken) {
        self.lost.extend(broken.lost.into_iter().map(|lost| format!("{at}: {lost}")));
        self.invented.extend(broken.invented.into_iter().map(|invented| format!("{at}: {invented}")));
    }
}

/// Takes and opens the images; answers the JSON line and whether nothing was found.
///
/// # Errors
/// The harness itself fails.
pub fn run(order: &PowerOrder) -> anyhow::Result<(Value, bool)> {
    // At the end another one may be checked out.
    let (start, commit) = (Instant::now(), commit());
    let bar = bar(order.images, "power cuts");
    let (next, images, stop) = (AtomicU64::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let one_job = || -> anyhow::Result<Score> {
        let mut all = Score::default();
        while images.load(Ordering::Relaxed) < order.images && !stop.load(Ordering::Relaxed) {
            let story = tell(order.seed.wrapping_add(next.fetch_add(1, Ordering::Relaxed)), &bar)?;
            images.fetch_add(story.images, Ordering::Relaxed);
            stop.fetch_or(!story.is_clean(), Ordering::Relaxed);
            all.add(story);
        }
        Ok(all)
    };
    let scores: Vec<anyhow::Result<Score>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..order.jobs.max(1)).map(|_| scope.spawn(one_job)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut score = Score::default();
    for one in scores {
        score.add(one?);
    }
    bar.finish_and_clear();
    for found in score.lost.iter().chain(&score.invented).chain(&score.unopenable).chain(&score.unsynced) {
        complain(found);
    }
    let is_clean = score.is_clean();
    let seconds = start.elapsed().as_secs_f64();
    let n = f64::from(u32::try_from(score.images).unwrap_or(u32::MAX));
    let line = json!({
        "figure": "crash power", "commit": commit, "seed": order.seed, "stories": next.into_inner(),
        "images": score.images, "of_recovery": score.of_recovery, "modes": score.modes, "operations": score.operations,
        "indexes": score.indexes, "indexes_rebuilt": score.rebuilt, "opened_twice": score.reopened,
        "acknowledged": score.kept, "promises_checked": score.promises, "lost": score.lost.len(),
        "invented": score.invented.len(), "unopenable": score.unopenable.len(),
        "confirmed_before_sync": score.unsynced.len(),
        "bound_95_per_image": if is_clean { 3.0 / n.max(1.0) } else { 1.0 }, "seconds": seconds.round(),
    });
    Ok((line, is_clean))
}

/// One story, from its beginning until enough images of it were opened.
fn tell(seed: u64, bar: &ProgressBar) -> anyhow::Result<Score> {
    let folder = scratch("power")?;
    let mut score = Score::default();
    let mut story = Story::begin(folder.path(), seed)?;
    while score.images < IMAGES_OF_A_STORY && score.is_clean() {
        story.step(&mut score, bar).with_context(|| format!("the story of seed {seed}"))?;
    }
    score.kept += story.promises.kept();
    if !score.is_clean() {
        complain(&format!("kept: {}", folder.keep().display()));
        let images = IMAGES_OF_A_STORY;
        complain(&format!(
            "again: cargo run --release -p qianmo-tests --bin crash -- power --images {images} --jobs 1 --seed {seed}"
        ));
    }
    Ok(score)
}

/// A store of the story, by the name of its folder and of its markers.
#[derive(Debug, Clone)]
struct Store {
    folder: String,
    name: String,
    identity: Identity,
    watch: Watch,
}

/// A small organisation whose power is cut at any moment.
struct Story {
    root: PathBuf,
    rng: ChaCha20Rng,
    world: World,
    tablets: Vec<Tablet>,
    /// The hub's, then the tablets'.
    stores: Vec<Store>,
    promises: Promises,
    /// Records by marker: whose, which, the version that stands.
    records: BTreeMap<String, (usize, DocId, u32)>,
    drafts: BTreeMap<String, (usize, u32)>,
    next: u32,
    cuts: u64,
}

impl Story {
    fn begin(root: &Path, seed: u64) -> anyhow::Result<Self> {
        let watches: Arc<Mutex<BTreeMap<String, Watch>>> = Arc::default();
        let (made, copies) = (Arc::clone(&watches), root.join("copies"));
        let maker: DiskMaker = Arc::new(move |name: &str, log: &Path| {
            let index = log.with_file_name("index");
            let watch = Watch::new(seed ^ u64::from(name.as_bytes().last().copied().unwrap_or(0)), ONE_IN);
            let watch = watch.with_index(index, copies.join(name));
            made.lock().unwrap().insert(name.to_owned(), watch.clone());
            Box::new(WatchedDisk::open(log, watch).unwrap()) as Box<dyn Disk>
        });
        let mut world = World::with_storage(seed, Storage::Over(root.join("live"), maker));
        let tablets: Vec<Tablet> =
            ["P01", "P02"].iter().map(|person| world.enrol(person, GrantRole::Technician)).collect();
        let watch = |name: &str| watches.lock().unwrap().get(name).cloned().context("a store without a disk");
        let mut hub = tablets[0].identity(&world);
        hub.role = Role::Hub { hub: world.hub.id, epoch: world.hub.epoch };
        let mut stores = vec![Store { folder: "hub".into(), name: "hub".into(), identity: hub, watch: watch("hub")? }];
        for (at, tablet) in tablets.iter().enumerate() {
            let folder = format!("tablet{}", at + 1);
            let watch = watch(&folder)?;
            stores.push(Store { folder, name: format!("t{}", at + 1), identity: tablet.identity(&world), watch });
        }
        Ok(Self {
            root: root.to_owned(),
            rng: ChaCha20Rng::seed_from_u64(seed),
            world,
            tablets,
            stores,
            promises: Promises::default(),
            records: BTreeMap::new(),
            drafts: BTreeMap::new(),
            next: 1,
            cuts: 0,
        })
    }

    /// Something happens; then every image that was taken meanwhile is opened.
    fn step(&mut self, score: &mut Score, bar: &ProgressBar) -> anyhow::Result<()> {
        let at = self.rng.random_range(0..self.tablets.len());
        let mut said = match self.rng.random_range(0..100_u32) {
            0..45 => self.write(at)?,
            45..65 => self.meet(at)?,
            65..72 => self.erase()?,
            72..80 => self.compact(at)?,
            80..84 => self.evict(at)?,
            84.. => self.reopen(at)?,
        };
        for store in &self.stores {
            if !store.watch.is_durable() {
                score.unsynced.push(format!("{} confirms {said:?} before it is durable", store.name));
            }
        }
        let before = self.promises.clone();
        for line in said.drain(..) {
            self.promises.hear(&line.0, &line.1);
        }
        for at in 0..self.stores.len() {
            let mut images: Vec<(Image, Promises)> =
                self.stores[at].watch.take_images().into_iter().map(|image| (image, before.clone())).collect();
            if self.rng.random_range(0..3) == 0 {
                // Everything that was said must be in what a cut leaves now.
                images.push((self.stores[at].watch.image(), self.promises.clone()));
            }
            for (image, promises) in images {
                self.open_image(at, image, promises, 0, score, bar)?;
            }
        }
        Ok(())
    }

    /// What is begun counts from now on; the answer is said when it is done.
    fn begun(&mut self, at: usize, deed: Deed) -> (String, Line) {
        let store = self.stores[at + 1].name.clone();
        self.promises.hear(&store, &Line::Try(deed.clone()));
        (store, Line::Did(deed))
    }

    fn marker(&mut self, at: usize, kind: char) -> String {
        self.next += 1;
        format!("{}{kind}{}", self.stores[at + 1].name, self.next - 1)
    }

    /// A tablet saves some things as one group.
    fn write(&mut self, at: usize) -> anyhow::Result<Vec<(String, Line)>> {
        let mut said = Vec::new();
        let mut touched = Vec::new();
        for _ in 0..self.rng.random_range(1..5) {
            let own: Vec<String> =
                self.records.iter().filter(|(_, record)| record.0 == at).map(|(marker, _)| marker.clone()).collect();
            match self.rng.random_range(0..10) {
                0..4 => {
                    let marker = self.marker(at, 'm');
                    said.push(self.begun(at, Deed::New(marker.clone())));
                    let fields = fields(&[("content", text(&marker, 0)), ("advice", text(&marker, 0))]);
                    let doc = self.tablets[at].file_fields(&mut self.world, &fields);
                    touched.push(marker.clone());
                    self.records.insert(marker, (at, doc, 0));
                }
                4..7 => {
                    let Some(marker) = own.choose(&mut self.rng).filter(|marker| !touched.contains(*marker)) else {
                        continue;
                    };
                    let (_, doc, version) = self.records[marker];
                    if self.tablets[at].replica.document(&doc)?.is_none() {
                        continue;
                    }
                    said.push(self.begun(at, Deed::Edit(marker.clone(), version + 1)));
                    let fields = fields(&[("advice", text(marker, version + 1))]);
                    self.tablets[at].edit_fields(&mut self.world, doc, &fields);
                    touched.push(marker.clone());
                    self.records.insert(marker.clone(), (at, doc, version + 1));
                }
                _ => said.extend(self.draft(at)?),
            }
        }
        self.tablets[at].replica.sync()?;
        Ok(said)
    }

    fn draft(&mut self, at: usize) -> anyhow::Result<Option<(String, Line)>> {
        let own: Vec<String> =
            self.drafts.iter().filter(|(_, draft)| draft.0 == at).map(|(marker, _)| marker.clone()).collect();
        let again = own.choose(&mut self.rng).cloned().filter(|_| self.rng.random_bool(0.7));
        if let Some(marker) = again.clone().filter(|_| self.rng.random_bool(0.3)) {
            let line = self.begun(at, Deed::Discard(marker.clone()));
            self.drafts.remove(&marker);
            self.tablets[at].replica.put_draft(draft_id(&marker), None)?;
            return Ok(Some(line));
        }
        let marker = again.unwrap_or_else(|| self.marker(at, 'd'));
        let version = self.drafts.get(&marker).map_or(0, |(_, version)| version + 1);
        let line = self.begun(at, Deed::Draft(marker.clone(), version));
        self.tablets[at].replica.put_draft(draft_id(&marker), Some(text(&marker, version).into_bytes()))?;
        self.drafts.insert(marker, (at, version));
        Ok(Some(line))
    }

    /// A tablet syncs. What its store then says is acknowledged must be at the hub.
    fn meet(&mut self, at: usize) -> anyhow::Result<Vec<(String, Line)>> {
        self.world.meet(&mut self.tablets[at]);
        let mut said = Vec::new();
        for (marker, (whose, doc, version)) in &self.records {
            let delivery = self.tablets[at].replica.delivery(doc)?;
            if *whose == at && matches!(delivery, Delivery::Acknowledged | Delivery::BackedUp) {
                said.push((self.stores[at + 1].name.clone(), Line::Acknowledged(marker.clone(), *version)));
            }
        }
        Ok(said)
    }

    /// The hub erases a record for good; hub and tablets rewrite their logs.
    fn erase(&mut self) -> anyhow::Result<Vec<(String, Line)>> {
        let pick = self.rng.random_range(0..1_000);
        let Some(marker) = self.promises.erasable(pick) else { return Ok(Vec::new()) };
        let Some((_, doc, _)) = self.records.remove(&marker) else { return Ok(Vec::new()) };
        self.promises.hear("hub", &Line::Try(Deed::Purge(marker.clone())));
        let target = PurgeTarget::Document { doc, logbook: june().id(&self.world.org) };
        self.world.decide(Decision::Purge(Purge { target, reason: 1, is_standing: false, memory: None }));
        self.world.hub.replica.rewrite()?;
        self.world.hub.replica.sync()?;
        for tablet in &mut self.tablets {
            self.world.meet(tablet);
            tablet.replica.rewrite()?;
            tablet.replica.sync()?;
        }
        Ok(vec![("hub".to_owned(), Line::Did(Deed::Purge(marker)))])
    }

    fn compact(&mut self, at: usize) -> anyhow::Result<Vec<(String, Line)>> {
        let replica =
            if self.rng.random_bool(0.3) { &mut self.world.hub.replica } else { &mut self.tablets[at].replica };
        replica.rewrite()?;
        replica.sync()?;
        Ok(Vec::new())
    }

    /// A tablet lets go of the month once a backup of the hub has it, and takes it back by its next meetings.
    fn evict(&mut self, at: usize) -> anyhow::Result<Vec<(String, Line)>> {
        self.meet(at)?;
        self.world.hub.watermark = self.world.hub.replica.durable_commit().0;
        self.meet(at)?;
        let line = self.begun(at, Deed::Evict);
        let tablet = &mut self.tablets[at];
        if tablet.replica.evict(&june(), Foreign::BackedUp).is_ok() {
            tablet.replica.sync()?;
            tablet.replica.rewrite()?;
            tablet.replica.sync()?;
        }
        Ok(vec![line])
    }

    /// A store is opened again, as after a kill -9 or in order.
    fn reopen(&mut self, at: usize) -> anyhow::Result<Vec<(String, Line)>> {
        let at = if self.rng.random_bool(0.3) { 0 } else { at + 1 };
        let store = self.stores[at].clone();
        let folder = self.root.join("live").join(&store.folder);
        let (closed, _) = crate::world::open(&MemoryDisk::new(), store.identity.clone(), &mut self.rng);
        let place = match at.checked_sub(1) {
            None => &mut self.world.hub.replica,
            Some(tablet) => &mut self.tablets[tablet].replica,
        };
        drop(std::mem::replace(place, closed));
        let disk = WatchedDisk::open(folder.join("log"), store.watch)?;
        *place = in_folder(Box::new(disk), &folder, store.identity, &mut self.rng)?.0;
        ensure!(
            WatchedDisk::is_same(&folder.join("log"), &self.stores[at].watch.shadow())?,
            "the shadow of {} is not like its folder",
            self.stores[at].name
        );
        Ok(Vec::new())
    }

    /// Writes an image to a folder, opens it and compares; then does the same with the images of that opening.
    fn open_image(
        &mut self,
        at: usize,
        image: Image,
        mut promises: Promises,
        depth: usize,
        score: &mut Score,
        bar: &ProgressBar,
    ) -> anyhow::Result<()> {
        let store = self.stores[at].clone();
        self.cuts += 1;
        let folder = self.root.join(format!("image{depth}"));
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        let state = *IndexState::ALL.choose(&mut self.rng).unwrap();
        let state = if image.index.is_some() { state } else { IndexState::Absent };
        write_image(&folder, &image, state, &mut self.rng)?;
        if let Some(copy) = &image.index {
            std::fs::remove_dir_all(copy)?;
        }
        score.images += 1;
        bar.inc(1);
        score.of_recovery += usize::from(depth > 0);
        *score.modes.entry(format!("{:?}", image.mode)).or_default() += 1;
        *score.operations.entry(image.during.to_string()).or_default() += 1;
        *score.indexes.entry(state.word()).or_default() += 1;
        score.promises += promises.kept();
        let what = format!(
            "{} at operation {} ({}), {:?}, index {}, depth {depth}",
            store.name,
            image.operation,
            image.during,
            image.mode,
            state.word()
        );
        let one_in = if depth + 1 < DEPTH { ONE_IN_RECOVERY } else { 0 };
        let watch = Watch::over(image.files.clone(), self.rng.random(), one_in)
            .with_index(folder.join("index"), self.root.join(format!("copies{depth}")));
        let unseen = promises.clone();
        match self.look(&folder, &store, &watch, score) {
            Ok(found) => {
                let broken = match at {
                    0 => promises.check_hub(&found),
                    _ => promises.check_tablet(&store.name, &found),
                };
                score.note(&what, broken);
            }
            Err(error) => score.unopenable.push(format!("{what}: {error:#}")),
        }
        if !score.is_clean() {
            return Ok(());
        }
        for image in watch.take_images() {
            self.open_image(at, image, unseen.clone(), depth + 1, score, bar)?;
        }
        if one_in > 0 && self.rng.random_range(0..8) == 0 {
            // What was shown after the recovery is promised: the next cut must keep it.
            self.open_image(at, watch.image(), promises, depth + 1, score, bar)?;
        }
        Ok(())
    }

    /// Opens an image's folder as ever, reads everything, and writes.
    fn look(&mut self, folder: &Path, store: &Store, watch: &Watch, score: &mut Score) -> anyhow::Result<Found> {
        let mut tries = 0;
        loop {
            let disk = WatchedDisk::open(folder.join("log"), watch.clone()).context("taking the folder")?;
            let opened = in_folder(Box::new(disk), folder, store.identity.clone(), &mut self.rng);
            let (mut replica, report) = opened.context("opening")?;
            score.rebuilt += usize::from(report.rebuilt.is_some());
            match read_all(&mut replica, &report) {
                Ok(found) => return Ok(found),
                // Damage of the index that shows only when it is read: the next opening must make it good.
                Err(error) if tries == 0 => {
                    ensure!(is_of_index(&error), "reading: {error:#}");
                    score.reopened += 1;
                    tries += 1;
                }
                Err(error) => return Err(error.context("reading, opened for the second time")),
            }
        }
    }
}

/// Opens a store over a disk, with its index in a folder.
pub(super) fn in_folder(
    disk: Box<dyn Disk>,
    folder: &Path,
    identity: Identity,
    rng: &mut ChaCha20Rng,
) -> anyhow::Result<(Replica, OpenReport)> {
    let (index, _) = SledIndex::open(folder.join("index"), INDEX_CACHE_BYTES)?;
    Ok(Replica::open(disk, Box::new(index), identity, rng)?)
}

fn is_of_index(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.to_string().contains("index"))
}

pub(super) fn read_all(replica: &mut Replica, report: &OpenReport) -> anyhow::Result<Found> {
    ensure!(report.log.read_only.is_none(), "it takes no writes: {:?}", report.log.read_only);
    ensure!(report.unreadable.is_empty(), "frames cannot be read: {:?}", report.unreadable);
    let mut found = Found { is_enrolled: true, ..Found::default() };
    for id in replica.all_records()? {
        let Some(row) = replica.record_row(&id)? else { continue };
        let text = |name: &str| {
            if let Some(Scalar::Text(text)) = row.view.fields.get(name) { text.clone() } else { String::new() }
        };
        found.records.push((text("content"), text("advice")));
    }
    for (_, content) in replica.drafts()? {
        let content = String::from_utf8_lossy(&content).into_owned();
        if version_of(&content).is_some() {
            found.drafts.push(content);
        }
    }
    replica.put_draft(DraftId([0xff; 8]), Some(b"probe".to_vec()))?;
    replica.sync()?;
    replica.put_draft(DraftId([0xff; 8]), None)?;
    replica.sync()?;
    Ok(found)
}

pub(super) fn write_image(
    folder: &Path,
    image: &Image,
    state: IndexState,
    rng: &mut ChaCha20Rng,
) -> anyhow::Result<()> {
    let log = folder.join("log");
    std::fs::create_dir_all(&log)?;
    for entry in image.files.list()? {
        std::fs::write(log.join(&entry.name), image.files.contents(&entry.name).unwrap_or_default())?;
    }
    if let Some(copy) = &image.index {
        state.put(copy, &folder.join("index"), rng)?;
    }
    Ok(())
}

fn fields(values: &[(&str, String)]) -> BTreeMap<String, Scalar> {
    values.iter().map(|(name, value)| ((*name).to_owned(), Scalar::Text(value.clone()))).collect()
}

fn draft_id(marker: &str) -> DraftId {
    let mut id = [0; 8];
    for (to, from) in id.iter_mut().zip(marker.bytes()) {
        *to = from;
    }
    DraftId(id)
}
