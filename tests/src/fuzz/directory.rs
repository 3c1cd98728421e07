//! The files that stand beside a ledger: stations, divisions, vocabulary.

use qianmo_forms::vocabulary::Vocabulary;
use qianmo_tablet::ledger::{Directory, Divisions};

use super::corpus::repository;

pub(super) const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"id\"",
    "\"name\"",
    "\"aliases\"",
    "\"stations\"",
    "\"annual_tasks\"",
    "\"targets\"",
    "null",
    "1e999",
    "-0",
    "110117101",
    "110117101201",
    "town",
    "village",
    "code,name,level,parent_code\n",
    "\\u0000",
    "\u{FEFF}",
];
const DIVISIONS: &str =
    "code,name,level,parent_code\n110117101,甲镇,town,110117\n110117101201,乙村,village,110117101\n";

/// First byte: stations, divisions, the shipped kind of divisions, or a vocabulary.
pub(super) fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 4 {
        0 => match Directory::parse(bytes, DIVISIONS.as_bytes()) {
            Ok(directory) => {
                assert!(directory.stations.iter().all(|station| directory.station(&station.id) == Some(station)));
                assert!(directory.staff.iter().all(|person| directory.person(&person.id) == Some(person)));
                assert!(directory.targets.iter().all(|target| directory.target(&target.id) == Some(target)));
                assert!(directory.tasks().len() <= directory.stations.len());
                let mut positions =
                    directory.targets.iter().filter_map(qianmo_tablet::ledger::directory::Target::position);
                assert!(positions.all(|at| at.lat.is_finite() && at.lon.is_finite()));
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        },
        1 => match Divisions::parse(bytes) {
            Ok(divisions) => drop(divisions.town_of("110117101201").map(|town| divisions.name(town).map(str::len))),
            Err(error) => assert!(!error.to_string().is_empty()),
        },
        2 => {
            let text = String::from_utf8_lossy(bytes);
            if let Ok(divisions) = qianmo_forms::Divisions::parse(&text) {
                assert!(divisions.iter().all(|(code, name)| divisions.name(code) == Some(name)));
            }
        }
        _ => match Vocabulary::parse(bytes) {
            Ok(vocabulary) => drop((vocabulary.column("日期").map(str::len), vocabulary.is_null("无"))),
            Err(error) => assert!(!error.to_string().is_empty()),
        },
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let sample = |name: &str| std::fs::read(repository().join(name)).unwrap();
    let stations: serde_json::Value = serde_json::from_slice(&sample("server/bin/data/sample/stations.json")).unwrap();
    let vocabulary: serde_json::Value = serde_json::from_slice(&sample("protocol/forms/built-in/vocab.json")).unwrap();
    let divisions = sample("protocol/forms/built-in/divisions.csv");
    let lines = divisions.split_inclusive(|byte| *byte == b'\n').take(12).collect::<Vec<_>>().concat();
    vec![
        [&[0], shortened(stations).as_slice()].concat(),
        [&[1], DIVISIONS.as_bytes()].concat(),
        [&[2], lines.as_slice()].concat(),
        [&[3], shortened(vocabulary).as_slice()].concat(),
    ]
}

/// The first two of every list: enough to be one.
fn shortened(value: serde_json::Value) -> Vec<u8> {
    fn cut(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Array(values) => {
                values.truncate(2);
                values.iter_mut().for_each(cut);
            }
            serde_json::Value::Object(map) => map.values_mut().for_each(cut),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_) => {}
        }
    }
    let mut value = value;
    cut(&mut value);
    value.to_string().into_bytes()
}
