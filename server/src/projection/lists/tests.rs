//! Lists and counts against looking at every record, over rows that no history would bring about so densely.

use std::cmp::Reverse;

use proptest::prelude::*;
use rusqlite::params;

use super::*;
use crate::projection::words::Cutter;
use crate::projection::{CURSOR_SCHEMA, Mark, create_records, tally};

const STATIONS: [Option<&str>; 3] = [None, Some("ST01"), Some("ST02")];
const MONTHS: [Option<&str>; 3] = [None, Some("2025-06"), Some("2025-07")];
const FORMS: [&str; 3] = ["visit", "demo", "target"];
const STATES: [&str; 3] = ["pending", "approved", "returned"];
const TEXTS: [&str; 3] = ["梨小食心虫偏多", "套袋过半", "套袋前查梨小食心虫"];

/// What is written of a record, by what stands in each list above.
#[derive(Debug, Clone, Copy)]
struct Row {
    id: u8,
    is_gone: bool,
    created_at: i64,
    station: usize,
    month: usize,
    form: usize,
    state: usize,
    is_changed: bool,
    conflicts: i64,
    is_resubmitted: bool,
    is_unanswered: bool,
    flags: i64,
    text: usize,
}

fn row() -> impl Strategy<Value = Row> {
    let sorts = (0..3_usize, 0..3_usize, 0..3_usize, 0..3_usize, 0..3_usize);
    let marks = (any::<bool>(), 0..3_i64, any::<(bool, bool)>(), prop::sample::select(vec![0_i64, 1, 8, 9]));
    let parts = (0..24_u8, prop::bool::weighted(0.2), 0..6_i64, sorts, marks);
    parts.prop_map(|(id, is_gone, created_at, (station, month, form, state, text), marks)| Row {
        id,
        is_gone,
        created_at,
        station,
        month,
        form,
        state,
        is_changed: marks.0,
        conflicts: marks.1,
        is_resubmitted: marks.2.0,
        is_unanswered: marks.2.1,
        flags: marks.3,
        text,
    })
}

fn filter() -> impl Strategy<Value = Filter> {
    let one =
        |of: &'static [&'static str]| prop::option::of(prop::sample::select(of)).prop_map(|one| one.map(String::from));
    let texts = one(&["梨小", "套袋", "梨小 套袋", "苹果"]);
    let some = || prop::sample::subsequence(Mark::ALL.to_vec(), 0..=2).prop_map(|marks| Marks::of(&marks));
    let marks = (some(), some(), any::<bool>());
    let parts = (one(&["ST01", "ST02"]), one(&["2025-06"]), one(&FORMS), one(&STATES), texts, marks);
    parts.prop_map(|(station, month, form, state, text, (marks, without, is_queue))| Filter {
        station,
        month,
        form,
        state,
        text,
        marks,
        without,
        order: if is_queue { Order::Oldest } else { Order::Newest },
    })
}

const fn is_registry(row: &Row) -> bool {
    row.form == 2
}

fn write(connection: &Connection, row: &Row) {
    let sql = "INSERT INTO record VALUES (NULL, ?1, ?2, 0, '', ?3, ?4, ?5, 1, ?6, 'P01', ?7, ?8, ?9, ?10, '[]', '', '{}', '{}', NULL, x'00', ?11, ?14, ?12, ?13) \
         ON CONFLICT (id) DO UPDATE SET gone = ?2, station = ?3, month = ?4, form = ?5, registry = ?6, created_at = ?7, state = ?8, \
         changed_after_approval = ?9, conflicts = ?10, resubmitted = ?11, flags = ?12, marks = ?13, unanswered = ?14 RETURNING number";
    let values = params![
        [row.id; 16],
        row.is_gone,
        STATIONS[row.station],
        MONTHS[row.month],
        FORMS[row.form],
        is_registry(row),
        row.created_at,
        STATES[row.state],
        row.is_changed,
        row.conflicts,
        row.is_resubmitted,
        row.flags,
        marks(row).bits(),
        row.is_unanswered,
    ];
    let number: i64 = connection.query_row(sql, values, |row| row.get(0)).unwrap();
    connection.execute("DELETE FROM search WHERE rowid = ?1", [number]).unwrap();
    if !row.is_gone {
        let sql = "INSERT INTO search (rowid, chars) VALUES (?1, ?2)";
        connection.execute(sql, params![number, Cutter.index(TEXTS[row.text])]).unwrap();
    }
}

/// Whether a record stands in the place of a filter.
fn is_in_place(filter: &Filter, row: &Row) -> bool {
    let has_words = |text: &str| text.split(' ').all(|word| TEXTS[row.text].contains(word));
    !row.is_gone
        && filter.station.as_deref().is_none_or(|asked| STATIONS[row.station] == Some(asked))
        && filter.month.as_deref().is_none_or(|asked| MONTHS[row.month] == Some(asked))
        && filter.form.as_deref().map_or_else(|| !is_registry(row), |asked| FORMS[row.form] == asked)
        && filter.text.as_deref().is_none_or(has_words)
}

fn marks(row: &Row) -> Marks {
    Marks::NONE
        .with(Mark::Changed, row.is_changed)
        .with(Mark::Conflict, row.conflicts > 0)
        .with(Mark::Resubmitted, row.is_resubmitted)
        .with(Mark::Unanswered, row.is_unanswered)
        .with(Mark::Flagged, row.flags != 0)
        .with(Mark::Late, row.flags >= 8)
}

fn is_chosen(filter: &Filter, row: &Row) -> bool {
    is_in_place(filter, row)
        && filter.state.as_deref().is_none_or(|asked| STATES[row.state] == asked)
        && marks(row).has_all(filter.marks)
        && marks(row).has_none(filter.without)
}

fn counted(filter: &Filter, rows: &[Row]) -> Counts {
    let mut counts = Counts::default();
    for row in rows.iter().filter(|row| is_in_place(filter, row)) {
        counts.add(STATES[row.state], marks(row), 1);
    }
    counts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Rows come, change in every way, go and come back; then every list says what looking at each of them says.
    #[test]
    fn prop_lists_and_counts_say_what_looking_at_every_record_says(
        written in prop::collection::vec(row(), 1..80),
        deleted in prop::collection::vec(0..24_u8, 0..4),
        filters in prop::collection::vec(filter(), 12),
        limit in 1..9_usize,
    ) {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(CURSOR_SCHEMA).unwrap();
        create_records(&connection).unwrap();
        for row in &written {
            write(&connection, row);
        }
        for id in &deleted {
            connection.execute("DELETE FROM record WHERE id = ?1", [[*id; 16]]).unwrap();
        }
        prop_assert!(tally::is_sound(&connection).unwrap());
        let mut rows: Vec<Row> = Vec::new();
        for row in written.iter().rev().filter(|row| !deleted.contains(&row.id)) {
            if rows.iter().all(|other| other.id != row.id) {
                rows.push(*row);
            }
        }
        rows.sort_by_key(|row| Reverse((row.created_at, row.id)));
        let reader = Reader::over(connection);
        for filter in &filters {
            let counts = counted(filter, &rows);
            prop_assert_eq!(&reader.counts(filter).unwrap(), &counts);
            let mut expected: Vec<u8> = rows.iter().filter(|row| is_chosen(filter, row)).map(|row| row.id).collect();
            if filter.order == Order::Oldest {
                expected.reverse();
            }
            for (at, id) in expected.iter().enumerate() {
                let around = reader.around(filter, &DocId([*id; 16])).unwrap().map(|one| one.map(|id| id.0[0]));
                let before = at.checked_sub(1).and_then(|before| expected.get(before)).copied();
                prop_assert_eq!(around, [before, expected.get(at + 1).copied()]);
            }
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let listed = reader.list(filter, after, limit).unwrap();
                prop_assert_eq!(&listed.counts, &counts);
                prop_assert!(listed.page.records.len() <= limit);
                seen.extend(listed.page.records.iter().map(|record| record.id.0[0]));
                let Some(next) = listed.page.next else { break };
                after = Some(next);
            }
            prop_assert_eq!(seen, expected, "{:?}", filter);
        }
        let places = reader.places().unwrap();
        let months: Vec<&str> = MONTHS.into_iter().rev().flatten().filter(|month| {
            rows.iter().any(|row| !row.is_gone && MONTHS[row.month] == Some(*month))
        }).collect();
        prop_assert_eq!(places.months, months);
    }
}

#[test]
fn every_list_without_a_text_is_answered_from_one_index_alone() {
    let connection = Connection::open_in_memory().unwrap();
    create_records(&connection).unwrap();
    let some = || Some("x".to_owned());
    for bits in 0..256_u32 {
        let is = |bit: u32| bits & (1 << bit) != 0;
        let filter = Filter {
            station: is(0).then(some).flatten(),
            month: is(1).then(some).flatten(),
            form: is(2).then(some).flatten(),
            state: is(3).then(some).flatten(),
            text: None,
            marks: Marks::NONE.with(Mark::Conflict, is(4)).with(Mark::Late, is(5)),
            without: Marks::NONE.with(Mark::Flagged, is(6)),
            order: if is(7) { Order::Oldest } else { Order::Newest },
        };
        let (index, asked) = (index_for(&filter), asked(&filter, true));
        let sql = first_sql(index, &asked, filter.order);
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let nothing = rusqlite::types::Null;
        let values = params![0, [0_u8; 16], nothing, nothing, nothing, nothing, 1];
        let plan: Vec<String> = statement.query_map(values, |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert!(
            plan.iter().any(|step| step.contains(&format!("USING COVERING INDEX {index}"))),
            "{filter:?}: {plan:?}"
        );
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{filter:?}: {plan:?}");
    }
}
