//! The simulator as a test: some seeds of each size, and the stories that seeds once told of faults in the product.
//!
//! A story is a plan that was shrunk to what is needed: `tests/stories/*.json`. Its name says what must be true in the end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test harness: a failed step is the failure")]

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use qianmo_client_core::forms::FormSet;
use qianmo_tests::sim::{Plan, Scale, run};

static FORMS: LazyLock<Arc<FormSet>> = LazyLock::new(|| Arc::new(FormSet::open(None).unwrap()));

fn holds(seeds: core::ops::Range<u64>, scale: Scale) {
    for seed in seeds {
        let outcome = run(&Plan::draw(seed, scale), &FORMS);
        assert_eq!(outcome.problems, Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn same_seed_gives_the_same_trace_and_another_seed_another() {
    let trace = |seed| run(&Plan::draw(seed, Scale::Short), &FORMS).trace;
    for seed in 7_000..7_004 {
        assert_eq!(trace(seed), trace(seed), "seed {seed}");
        assert_ne!(trace(seed), trace(seed + 1), "seed {seed}");
    }
}

#[test]
fn short_runs_lose_nothing_and_come_to_rest() {
    holds(1..25, Scale::Short);
}

#[test]
fn short_plans_have_ten_faults_and_at_most_forty_writes() {
    use qianmo_tests::sim::plan::{Act, What};
    for seed in 0..500 {
        let plan = Plan::draw(seed, Scale::Short);
        let writes = plan.steps.iter().filter(|step| matches!(step.what, What::Act(act) if Act::WRITES.contains(&act)));
        assert!(writes.count() <= 40, "seed {seed}");
        assert!(plan.faults() >= 10, "seed {seed}");
    }
}

#[test]
fn every_story_ends_as_its_name_says() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("stories");
    let mut stories: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    stories.sort();
    assert!(!stories.is_empty());
    for story in stories {
        let plan: Plan = serde_json::from_slice(&std::fs::read(&story).unwrap()).unwrap();
        let outcome = run(&plan, &FORMS);
        assert_eq!(outcome.problems, Vec::<String>::new(), "{}", story.display());
    }
}
