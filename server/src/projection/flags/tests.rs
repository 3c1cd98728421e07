//! Flags that are kept in step, against the rules over all records at once.

use proptest::prelude::*;
use serde_json::json;

use qianmo_protocol::ids::DocId;

use super::*;
use crate::projection::create_records;
use crate::projection::row;

const STATIONS: [&str; 2] = ["ST01", "ST02"];
const PEOPLE: [&str; 3] = ["P01", "P02", "P03"];
const TARGETS: [&str; 2] = ["T1", "T2"];
const TEXTS: [&str; 3] = ["", "套袋", "查看套袋情况，提醒雨后及时查看梨小食心虫，建议用性诱剂迷向，下周再来看一次效果"];
const PLACES: [(&str, &str); 2] = [("40.20", "117.10"), ("40.30", "117.10")];

/// What is written of one document: a record, or an entry of a directory.
#[derive(Debug, Clone)]
struct Written {
    id: u8,
    is_gone: bool,
    state: &'static str,
    form: &'static str,
    station: usize,
    fields: Value,
}

fn some<T: Clone + core::fmt::Debug + 'static>(of: &[T]) -> impl Strategy<Value = T> + use<T> {
    prop::sample::select(of.to_vec())
}

fn visit() -> impl Strategy<Value = (&'static str, Value)> {
    let times = (prop::option::weighted(0.8, 0..40_u16), 0..10_u16);
    let place = (0..TEXTS.len(), prop::option::of(0..TARGETS.len()), prop::option::of(0..PLACES.len()));
    let parts = (some(&["visit", "training"]), some(&PEOPLE), 1..5_u8, times, place, any::<[bool; 3]>());
    parts.prop_map(|(form, staff, day, (start, lasts), (text, target, place), [onsite, late, dated])| {
        let clock = |quarters: u16| format!("{:02}:{:02}", 8 + quarters / 4, quarters % 4 * 15);
        let mut fields = json!({
            "service_mode": if onsite { "onsite" } else { "phone" },
            "staff_id": staff,
            "content": TEXTS[text],
            "import_key": "x",
            "reported_on": if late { "2025-06-20" } else { "2025-06-06" },
        });
        let mut put = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                fields[name] = json!(value);
            }
        };
        put("activity_date", dated.then(|| format!("2025-06-0{day}")));
        put("start_time", start.map(clock));
        put("end_time", start.map(|start| clock(start + lasts)));
        put("target_id", target.map(|target| TARGETS[target].to_owned()));
        put("lat", place.map(|place| PLACES[place].0.to_owned()));
        put("lon", place.map(|place| PLACES[place].1.to_owned()));
        (form, fields)
    })
}

fn entry() -> impl Strategy<Value = (&'static str, Value)> {
    let target = (some(&TARGETS), 0..PLACES.len())
        .prop_map(|(code, at)| ("target", json!({ "code": code, "lat": PLACES[at].0, "lon": PLACES[at].1 })));
    let doc = |id: u8| DocId([id; 16]).to_string();
    let stations = some(&["ST01".to_owned(), "ST02".to_owned(), "ST01 ST02".to_owned(), doc(20), String::new()]);
    let staff = (some(&PEOPLE), stations)
        .prop_map(|(code, stations)| ("staff", json!({ "code": code, "station_ids": stations })));
    let station = some(&STATIONS).prop_map(|code| ("station", json!({ "code": code })));
    prop_oneof![target, staff, station]
}

fn written() -> impl Strategy<Value = Written> {
    let kind = prop_oneof![3 => (0..12_u8, visit()), 1 => (18..23_u8, entry())];
    let state = some(&["pending", "pending", "approved", "withdrawn"]);
    (kind, state, prop::bool::weighted(0.1), 0..STATIONS.len()).prop_map(
        |((id, (form, fields)), state, is_gone, station)| Written { id, is_gone, state, form, station, fields },
    )
}

fn record(written: &Written) -> ProjectedRecord {
    let empty = ProjectedRecord::gone(DocId([written.id; 16]), 1);
    if written.is_gone {
        return empty;
    }
    ProjectedRecord {
        is_gone: false,
        state: written.state.to_owned(),
        form: written.form.to_owned(),
        form_version: 1,
        station: Some(STATIONS[written.station].to_owned()),
        author: "P01".to_owned(),
        fields: written.fields.clone(),
        ..empty
    }
}

/// Whether the model says what judging all of it at once says, and how many flags there are.
fn judged(connection: &Connection, rules: &Rules) -> (bool, usize) {
    let mut whole = Whole::with_directories(connection).unwrap();
    let mut count = 0;
    let mut all = connection.prepare(&format!("SELECT {}, number FROM record", row::COLUMNS)).unwrap();
    let mut rows = all.query([]).unwrap();
    while let Some(one) = rows.next().unwrap() {
        let record = row::read(one).unwrap();
        count += record.flags.iter().count();
        whole.take(rules, one.get("number").unwrap(), &record);
    }
    (whole.agrees(connection).unwrap(), count)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Records and entries of directories come, change, are withdrawn and go, a few at a time.
    #[test]
    fn prop_flags_equal_judging_all_records_at_once_after_random_histories(
        batches in prop::collection::vec(prop::collection::vec(written(), 1..12), 1..8),
    ) {
        let connection = Connection::open_in_memory().unwrap();
        create_records(&connection).unwrap();
        let rules = Rules::new(Arc::new(FormSet::built_in().unwrap())).unwrap();
        for batch in &batches {
            let mut touched = Touched::default();
            for one in batch {
                row::put(&connection, &rules, &record(one), &mut touched).unwrap();
            }
            judge(&connection, &rules, touched).unwrap();
            prop_assert!(judged(&connection, &rules).0);
        }
    }
}

#[test]
fn flag_that_was_lost_or_made_up_is_noticed() {
    let connection = Connection::open_in_memory().unwrap();
    create_records(&connection).unwrap();
    let rules = Rules::new(Arc::new(FormSet::built_in().unwrap())).unwrap();
    let visit = |id: u8, start: &str| {
        let fields = json!({
            "service_mode": "onsite", "activity_date": "2025-06-01", "staff_id": "P01", "content": "套袋",
            "start_time": start, "end_time": "10:00", "crop_id": "peach", "photo_count": 1,
        });
        record(&Written { id, is_gone: false, state: "pending", form: "visit", station: 0, fields })
    };
    let mut touched = Touched::default();
    for (id, start) in [(1, "09:00"), (2, "09:30"), (3, "09:55")] {
        row::put(&connection, &rules, &visit(id, start), &mut touched).unwrap();
    }
    judge(&connection, &rules, touched).unwrap();
    let flags = |id: u8| -> Vec<Flag> {
        let sql = "SELECT flags FROM record WHERE id = ?1";
        FlagSet::from_bits(connection.query_row(sql, [[id; 16]], |row| row.get(0)).unwrap()).iter().collect()
    };
    assert_eq!(flags(1), [Flag::TimeOverlap]);
    assert_eq!(flags(3), [Flag::ShortVisit, Flag::TimeOverlap]);
    assert_eq!(judged(&connection, &rules), (true, 4));
    for spoil in ["UPDATE record SET flags = 0 WHERE number = 2", "UPDATE fact SET day = day + 1 WHERE number = 1"] {
        connection.execute_batch("SAVEPOINT whole").unwrap();
        connection.execute(spoil, []).unwrap();
        assert!(!judged(&connection, &rules).0, "{spoil}");
        connection.execute_batch("ROLLBACK TO whole").unwrap();
    }
}

#[test]
fn late_reports_have_the_bit_that_the_marks_ask_for() {
    assert_eq!(FlagSet::bit(Flag::LateReport), LATE_BIT);
}

#[test]
fn flags_are_told_apart() {
    for flag in Flag::ALL {
        let one: FlagSet = [flag].into_iter().collect();
        assert_eq!(one.iter().collect::<Vec<_>>(), [flag]);
        assert_eq!(FlagSet::from_bits(i64::from(one.0)), one);
    }
}
