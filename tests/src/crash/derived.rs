//! What may be deleted is deleted, cut, flipped and overwritten: the index of hub and tablet, and the hub's read model.
//!
//! One organisation is made with the real programs. Again and again its folders are copied, something derived is damaged in
//! the copy, and the copy is opened as ever: everything that was confirmed must be there, without a hand moved. Where all of
//! it is gone or worthless, a person must be told that it was built anew: by the tablet's repairs and in the hub's log.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser;
use qianmo_client_core::RepairKind;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use serde_json::{Value, json};

use super::index_state::{IndexState, damage_file};
use super::process::{self, Hub, Speaker, look_at_hub};
use super::promises::{Line, Promises};
use super::store::{self, PERSON};
use super::watched_disk::copy_folder;
use super::{complain, scratch};
use crate::bench::{bar, commit};

/// One damage in so many is looked at through the hub's log as well.
const SERVE_ONE_IN: usize = 12;

/// How much.
#[derive(Debug, Clone, Parser)]
pub struct DerivedOrder {
    /// How many damages.
    #[arg(long, default_value_t = 600)]
    pub damages: usize,
    /// All choices follow from it.
    #[arg(long, default_value_t = 20_260_505)]
    pub seed: u64,
    /// Copies opened at the same time.
    #[arg(long, default_value_t = 4)]
    pub jobs: usize,
}

/// What is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    TabletIndex,
    HubIndex,
    ReadModel,
}

impl Part {
    const fn word(self) -> &'static str {
        match self {
            Self::TabletIndex => "tablet_index",
            Self::HubIndex => "hub_index",
            Self::ReadModel => "hub_read_model",
        }
    }
}

#[derive(Debug, Default)]
struct Score {
    damages: BTreeMap<String, usize>,
    told: usize,
    lost: Vec<String>,
    untold: Vec<String>,
    unopenable: Vec<String>,
}

/// An organisation whose folders are copied.
struct Template {
    hub: PathBuf,
    tablet: PathBuf,
    promises: Promises,
}

/// Damages and opens; answers the JSON line and whether nothing was found.
///
/// # Errors
/// The harness itself fails.
pub fn run(order: &DerivedOrder) -> anyhow::Result<(Value, bool)> {
    // At the end another one may be checked out.
    let (start, commit) = (Instant::now(), commit());
    let folder = scratch("derived")?;
    let template = template(folder.path(), order.seed)?;
    let bar = bar(order.damages, "damage");
    let (next, score) = (AtomicUsize::new(0), Mutex::new(Score::default()));
    let one_job = || -> anyhow::Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= order.damages {
                return Ok(());
            }
            one_damage(&template, number, order.seed, &score)?;
            bar.inc(1);
        }
    };
    let done: Vec<anyhow::Result<()>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..order.jobs.max(1)).map(|_| scope.spawn(one_job)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    bar.finish_and_clear();
    done.into_iter().collect::<anyhow::Result<Vec<()>>>()?;
    let score = score.into_inner().unwrap();
    for found in score.lost.iter().chain(&score.untold).chain(&score.unopenable) {
        complain(found);
    }
    let is_clean = score.lost.is_empty() && score.untold.is_empty() && score.unopenable.is_empty();
    if !is_clean {
        let DerivedOrder { damages, seed, .. } = order;
        complain(&format!("kept: {}", folder.keep().display()));
        complain(&format!(
            "again: cargo run --release -p qianmo-tests --bin crash -- derived --damages {damages} --seed {seed}"
        ));
    }
    let n = f64::from(u32::try_from(order.damages)?);
    let line = json!({
        "figure": "crash derived", "commit": commit, "seed": order.seed, "damages": order.damages,
        "kinds": score.damages, "acknowledged": template.promises.kept(), "told": score.told, "lost": score.lost.len(),
        "untold": score.untold.len(), "unopenable": score.unopenable.len(),
        "bound_95_per_damage": if is_clean { 3.0 / n.max(1.0) } else { 1.0 },
        "seconds": start.elapsed().as_secs_f64().round(),
    });
    Ok((line, is_clean))
}

fn template(root: &Path, seed: u64) -> anyhow::Result<Template> {
    let mut hub = Hub::init(root)?;
    hub.serve()?;
    let ticket = hub.ticket(PERSON)?;
    let (tablet, mut promises) = (root.join("t1"), Promises::default());
    for (mix, deeds, ticket) in [("enrol", 0, Some(&ticket)), ("sync", 120, None), ("offline", 20, None)] {
        let mut command = process::command("store")?;
        command.args(["--name", "t1", "--seed", &seed.to_string(), "--mix", mix, "--deeds", &deeds.to_string()]);
        command.arg("--data").arg(&tablet).args(ticket.iter().flat_map(|ticket| ["--ticket", ticket]));
        let store = Speaker::start(&mut command, &root.join("t1.log"))?;
        let (mut said, _) = store.run_for(process::DEADLINE);
        let (rest, code) = store.kill()?;
        said.extend(rest);
        ensure!(code == Some(0), "the store ended with {code:?}: {}", process::tail(&root.join("t1.log"), 400));
        for (store, line) in said.iter().filter_map(|line| Line::parse(line)) {
            promises.hear(&store, &line);
        }
    }
    hub.stop_if_running(Duration::ZERO)?;
    Ok(Template { hub: hub.data().to_owned(), tablet, promises })
}

fn one_damage(template: &Template, number: usize, seed: u64, score: &Mutex<Score>) -> anyhow::Result<()> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed.wrapping_add(u64::try_from(number)?));
    let part = *[Part::TabletIndex, Part::HubIndex, Part::ReadModel].choose(&mut rng).context("no part")?;
    let state = *IndexState::ALL.choose(&mut rng).context("no state")?;
    let what = format!("{} {}, number {number}", part.word(), state.word());
    let copy = scratch("damage")?;
    let data = copy.path().join("data");
    let from = if part == Part::TabletIndex { &template.tablet } else { &template.hub };
    copy_folder(from, &data)?;
    match part {
        Part::TabletIndex | Part::HubIndex => {
            std::fs::remove_dir_all(data.join("index"))?;
            state.put(&from.join("index"), &data.join("index"), &mut rng)?;
        }
        Part::ReadModel => damage_read_model(state, &data, &mut rng)?,
    }
    // Nothing of it is left, or another boot left it: then it must be built anew, and said.
    let must_be_told = matches!(state, IndexState::Absent | IndexState::OtherBoot) && part != Part::ReadModel;
    let mut promises = template.promises.clone();
    let mut told = false;
    let outcome = if part == Part::TabletIndex {
        store::look(&data).map(|(found, repairs)| {
            told = repairs
                .iter()
                .any(|repair| matches!(repair.kind, RepairKind::IndexRebuilt | RepairKind::IndexInMemory));
            promises.check_tablet("t1", &found)
        })
    } else if number.is_multiple_of(SERVE_ONE_IN) {
        let log = served(&data, copy.path())?;
        told = log.contains("built anew") || log.contains("made anew");
        look_at_hub(&data).map(|seen| promises.check_hub(&seen.found))
    } else {
        told = true;
        look_at_hub(&data).map(|seen| promises.check_hub(&seen.found))
    };
    let mut score = score.lock().unwrap();
    *score.damages.entry(format!("{} {}", part.word(), state.word())).or_default() += 1;
    score.told += usize::from(told);
    if must_be_told && !told {
        score.untold.push(format!("{what}: nobody is told"));
    }
    match outcome {
        Ok(broken) => {
            score.lost.extend(broken.lost.into_iter().chain(broken.invented).map(|lost| format!("{what}: {lost}")))
        }
        Err(error) => score.unopenable.push(format!("{what}: {error:#}")),
    }
    Ok(())
}

/// What the hub's log says when it serves a damaged folder.
fn served(data: &Path, root: &Path) -> anyhow::Result<String> {
    let mut copy = Hub::at(root, data)?;
    copy.serve()?;
    copy.kill()?;
    Ok(std::fs::read_to_string(root.join("hub.log"))?)
}

fn damage_read_model(state: IndexState, data: &Path, rng: &mut ChaCha20Rng) -> std::io::Result<()> {
    let model = data.join("projection.sqlite");
    match state {
        IndexState::Absent | IndexState::Missing => std::fs::remove_file(&model),
        // Left behind by another process, with whatever in them.
        IndexState::Generating | IndexState::Killed | IndexState::OtherBoot => {
            let mut noise = vec![0; rng.random_range(0..5_000)];
            rng.fill(noise.as_mut_slice());
            let name = if rng.random_bool(0.5) { "projection.sqlite-wal" } else { "projection.sqlite-journal" };
            std::fs::write(data.join(name), noise)
        }
        IndexState::Torn | IndexState::Flipped | IndexState::Overwritten => damage_file(state, &model, rng),
    }
}
