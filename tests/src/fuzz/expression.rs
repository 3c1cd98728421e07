//! Constraints and relevance: read, printed, evaluated.

use std::collections::BTreeMap;

use qianmo_forms::constraint::{EXPRESSION_BYTES_MAX, Scope};
use qianmo_forms::{Date, Decimal, Expression, Value};

use super::corpus::repository;

pub(super) const WORDS: &[&str] = &[
    ".",
    "${a}",
    "${b}",
    "${c}",
    " and ",
    " or ",
    "not(",
    "selected(${c}, 'x')",
    "today()",
    "string-length(.)",
    "count-selected(",
    "coalesce(",
    "if(",
    "true()",
    "false()",
    "'x'",
    "\"",
    " = ",
    " != ",
    " <= ",
    " + ",
    " - ",
    " * ",
    " div ",
    " mod ",
    "-",
    "(",
    ")",
    ",",
    "9223372036854775807",
    "0.000000001",
    "1e5",
    "'2025-06-15'",
    "桃",
];

/// The day on which everything is judged.
pub(super) fn day() -> Date {
    Date::new(2025, 6, 15).unwrap()
}

pub(super) fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let expression = match Expression::parse(&text) {
        Ok(expression) => expression,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!(text.len() <= EXPRESSION_BYTES_MAX);
    let printed = expression.to_string();
    if printed.len() <= EXPRESSION_BYTES_MAX {
        let again = Expression::parse(&printed).unwrap_or_else(|error| panic!("{printed}: {error}"));
        assert_eq!(again, expression, "printed as {printed}");
        assert_eq!(again.to_string(), printed);
    }
    let all = answers();
    let none = BTreeMap::new();
    let day = day();
    for (this, answers, today) in [
        (None, &none, None),
        (all.get("a"), &all, Some(day)),
        (all.get("b"), &all, None),
        (all.get("c"), &all, Some(day)),
    ] {
        let scope = Scope { this, answers, today };
        let outcome = expression.evaluate(&scope);
        assert_eq!(expression.holds(&scope), outcome.is_true());
        assert_eq!(outcome, expression.evaluate(&scope));
    }
    assert!(expression.fields().iter().all(|name| text.contains(*name)));
}

fn answers() -> BTreeMap<String, Value> {
    let decimal = Decimal::new(i64::MAX, 9).unwrap();
    BTreeMap::from([
        ("a".to_owned(), Value::Int(i64::MIN)),
        ("b".to_owned(), Value::Decimal(decimal)),
        ("c".to_owned(), Value::Choices(["x".to_owned(), "桃".to_owned()].into())),
        ("d".to_owned(), Value::Date(day())),
        ("e".to_owned(), Value::Text("九十九".to_owned())),
    ])
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let own = [
        ". >= 0 and . <= 100",
        "${a} + ${b} * 2 > -1",
        "selected(${c}, 'x') or not(${d} > today())",
        "if(${a} = '', 1, 2) mod 3 div 4",
        "string-length(.) <= 20",
        "((((. = 1))))",
        "- - -1 = .",
    ];
    let mut seeds: Vec<Vec<u8>> = own.iter().map(|text| text.as_bytes().to_vec()).collect();
    // What the shipped forms say.
    let folder = repository().join("protocol/forms/built-in");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files.iter().filter(|path| path.extension().is_some_and(|ending| ending == "toml")) {
        let table: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
        expressions(&toml::Value::Table(table), &mut seeds);
    }
    seeds.sort_unstable();
    seeds.dedup();
    seeds
}

fn expressions(value: &toml::Value, out: &mut Vec<Vec<u8>>) {
    match value {
        toml::Value::String(text) if Expression::parse(text).is_ok() && text.contains(['$', '.', '(']) => {
            out.push(text.clone().into_bytes());
        }
        toml::Value::Table(table) => table.values().for_each(|value| expressions(value, out)),
        toml::Value::Array(values) => values.iter().for_each(|value| expressions(value, out)),
        toml::Value::String(_)
        | toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_) => {}
    }
}
