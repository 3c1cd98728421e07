//! The counts that are kept, against counting the records.

use std::collections::BTreeSet;

use qianmo_forms::flags::Flag;
use qianmo_server::projection::{Counts, Filter, FlagSet, Mark, Marks, Projection, Reader};

use crate::office::forms;
use crate::projection::{position, projector, random_work, shown};
use crate::world::World;

/// Counts and places, by looking at every record the change feed tells.
fn assert_counted(reader: &Reader, what: &str) {
    let records = shown(reader);
    let months: BTreeSet<Option<String>> = records.values().map(|record| record.month.clone()).collect();
    for month in months.iter().cloned().chain([None, Some("2031-01".to_owned())]).collect::<BTreeSet<_>>() {
        let filter = Filter { month: month.clone(), ..Filter::default() };
        let mut counts = Counts::default();
        for record in records.values().filter(|record| month.is_none() || record.month == month) {
            let marks = Marks::NONE
                .with(Mark::Changed, record.changed_after_approval)
                .with(Mark::Conflict, !record.conflicts.is_empty())
                .with(Mark::Resubmitted, record.is_resubmitted)
                .with(Mark::Unanswered, record.is_unanswered)
                .with(Mark::Flagged, record.flags != FlagSet::default())
                .with(Mark::Late, record.flags.iter().any(|flag| flag == Flag::LateReport));
            counts.add(&record.state, marks, 1);
        }
        assert_eq!(reader.counts(&filter).unwrap(), counts, "{what}, {month:?}");
    }
    let newest_first: Vec<String> = months.into_iter().flatten().rev().collect();
    assert_eq!(reader.places().unwrap().months, newest_first, "{what}");
}

#[test]
fn tally_equals_counting_all_records_after_random_histories() {
    for seed in 300..306 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("projection.sqlite");
        let mut world = World::new(seed);
        let mut projector = projector(&mut world, &path);
        let reader = Reader::open(&path).unwrap();
        for round in 0..2 {
            random_work(&mut world, &mut projector, seed * 10 + round);
            assert!(!shown(&reader).is_empty());
            assert_counted(&reader, &format!("seed {seed}, round {round}"));
        }
        drop(projector);
        let mut again = Projection::open(&path, forms()).unwrap();
        again.rebuild(world.core.replica(), position(&world)).unwrap();
        assert_counted(&reader, &format!("seed {seed}, built anew"));
    }
}

#[test]
fn tally_that_says_something_else_is_noticed_and_built_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("projection.sqlite");
    let mut world = World::new(310);
    let mut work = projector(&mut world, &path);
    random_work(&mut world, &mut work, 310);
    drop(work);
    for spoil in ["UPDATE tally SET records = records + 1", "DELETE FROM tally"] {
        assert!(rusqlite::Connection::open(&path).unwrap().execute(spoil, []).unwrap() > 0);
        world.restart().unwrap();
        drop(projector(&mut world, &path));
        assert_counted(&Reader::open(&path).unwrap(), spoil);
    }
}
