//! The tables of `docs/measured.md`, from the lines that the other commands printed.
//!
//! Lines of one figure that differ in nothing but what was measured are repeats of it: the table has their median, and says
//! how many there were. A figure that was not measured has no row.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::{Map, Value};

/// What tells figures of one name apart.
const APART: [&str; 7] = ["records", "tablets", "rows_asked_for", "case", "query", "of", "level"];

/// Repeats of one figure.
#[derive(Debug, Default)]
struct Figure {
    name: String,
    runs: Vec<Map<String, Value>>,
}

impl Figure {
    fn text(&self, key: &str) -> &str {
        self.runs.first().and_then(|run| run.get(key)).and_then(Value::as_str).unwrap_or_default()
    }

    /// The median of the repeats; of an even number of them, the lower one in the middle.
    fn number(&self, key: &str) -> f64 {
        let mut values: Vec<f64> = self.runs.iter().filter_map(|run| run.get(key)?.as_f64()).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
    }

    fn show(&self, key: &str) -> String {
        shown(self.number(key))
    }
}

/// As people read it: thousands apart, decimals only where they say something.
fn shown(number: f64) -> String {
    if number.is_nan() {
        return "–".to_owned();
    }
    let decimals = match number.abs() {
        size if size >= 100.0 || number.fract() == 0.0 => 0,
        size if size >= 1.0 => 1,
        _ => 2,
    };
    let text = format!("{number:.decimals$}");
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let mut apart = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 && digit.is_ascii_digit() {
            apart.push(',');
        }
        apart.push(digit);
    }
    if rest.is_empty() { apart } else { format!("{apart}.{rest}") }
}

/// How far a figure is from its aim, where less is better.
fn distance(measured: f64, aim: f64) -> String {
    if measured <= aim { "met".to_owned() } else { format!("{} ×", shown(measured / aim)) }
}

/// All figures, in the order in which they came first.
#[derive(Debug, Default)]
struct Figures(Vec<Figure>);

impl Figures {
    fn read(texts: &[String]) -> anyhow::Result<Self> {
        let mut figures = Self::default();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for line in texts.iter().flat_map(|text| text.lines()).filter(|line| !line.trim().is_empty()) {
            let run: Map<String, Value> = serde_json::from_str(line).with_context(|| format!("no figure: {line}"))?;
            let name = run.get("figure").and_then(Value::as_str).context("a line without a figure")?.to_owned();
            let apart: Vec<String> = APART.iter().filter_map(|key| Some(format!("{key}={}", run.get(*key)?))).collect();
            let place = *places.entry(format!("{name} {}", apart.join(" "))).or_insert(figures.0.len());
            if place == figures.0.len() {
                figures.0.push(Figure { name, runs: Vec::new() });
            }
            figures.0[place].runs.push(run);
        }
        Ok(figures)
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Figure> {
        self.0.iter().filter(move |figure| figure.name == name)
    }

    /// Every value that a key has, apart with commas.
    fn every(&self, key: &str) -> String {
        let runs = self.0.iter().flat_map(|figure| &figure.runs);
        let values: BTreeSet<String> =
            runs.filter_map(|run| run.get(key)).map(|value| value.to_string().replace('"', "")).collect();
        values.into_iter().collect::<Vec<_>>().join(", ")
    }
}

/// A table, and how its rows are added.
struct Table(String);

impl Table {
    fn new(title: &str) -> Self {
        Self(format!("## {title}\n\n| figure | measured | aim or floor | distance | runs |\n|---|---|---|---|---|\n"))
    }

    fn row(&mut self, figure: &Figure, title: &str, measured: &str, aim: &str, distance: &str) {
        let runs = figure.runs.len();
        writeln!(self.0, "| {title} | {measured} | {aim} | {distance} | {runs} |").unwrap();
    }
}

/// The tables of these files.
///
/// # Errors
/// When a file cannot be read or has a line that is no figure.
pub fn of_files(files: &[PathBuf]) -> anyhow::Result<String> {
    let read = |path: &PathBuf| fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()));
    let texts = files.iter().map(read).collect::<anyhow::Result<Vec<String>>>()?;
    let figures = Figures::read(&texts)?;
    let (seeds, commits) = (figures.every("seed"), figures.every("commit"));
    let tables = [
        sync(&figures),
        epochs(&figures),
        connections(&figures),
        import(&figures),
        projection(&figures),
        pages(&figures),
    ];
    Ok(format!("Seed {seeds}; commit {commits}.\n\n{}", tables.map(|table| table.0).join("\n")))
}

fn sync(figures: &Figures) -> Table {
    let mut table = Table::new("Sync");
    for day in figures.all("day_sync") {
        let title = format!("a day at {} records (20 + 5 up, 30 + 5 down)", day.show("records"));
        let turns = day.show("round_trips");
        table.row(
            day,
            &format!("{title}: round trips after connect"),
            &turns,
            "1",
            &distance(day.number("round_trips"), 1.0),
        );
        let bytes = format!("{} / {}", day.show("message_bytes_up"), day.show("message_bytes_down"));
        let floor = format!("1.3 × floor ({} + {})", day.show("floor_bytes_up"), day.show("floor_bytes_down"));
        let of_floor = format!("{:.2} × floor", day.number("ratio_to_floor"));
        table.row(day, "the same: message bytes up / down", &bytes, &floor, &of_floor);
        let cpu = format!("{} / {} ms", day.show("cpu_tablet_ms"), day.show("cpu_hub_ms"));
        table.row(day, "the same: processor time, tablet / hub", &cpu, "–", "–");
    }
    for nothing in figures.all("nothing_to_do") {
        let title = format!("nothing to do at {} records: round trips, message bytes", nothing.show("records"));
        let measured = format!("{}, {}", nothing.show("round_trips"), nothing.show("message_bytes"));
        table.row(nothing, &title, &measured, "1, 1,000", &distance(nothing.number("message_bytes"), 1_000.0));
    }
    for lost in figures.all("lost_cursor") {
        let title = format!(
            "one new record when the tablet's idea of live logbooks is lost ({} records): round trips, message bytes",
            lost.show("records")
        );
        let measured = format!("{}, {}", lost.show("round_trips"), lost.show("message_bytes"));
        table.row(lost, &title, &measured, "2 round trips", &distance(lost.number("round_trips"), 2.0));
    }
    for pulled in figures.all("new_tablet") {
        let title = format!("a new tablet pulls {} records: message bytes", pulled.show("records"));
        let floor = format!("floor {}", pulled.show("floor_bytes_down"));
        let of_floor = format!("{:.2} × floor", pulled.number("ratio_to_floor"));
        table.row(pulled, &title, &pulled.show("message_bytes_down"), &floor, &of_floor);
        let speed = pulled.show("records_per_tablet_core_second");
        table.row(pulled, "the same: records per core-second of the tablet", &speed, "–", "–");
    }
    for rush in figures.all("evening_rush") {
        let title =
            format!("evening rush of {} tablets, 20 records each: hub processor time per tablet", rush.show("tablets"));
        let key = "cpu_hub_ms_per_tablet";
        let measured =
            format!("{} ms, of which handshake {} ms", rush.show(key), rush.show("cpu_hub_ms_per_handshake"));
        table.row(rush, &title, &measured, "1 ms", &distance(rush.number(key), 1.0));
    }
    table
}

fn epochs(figures: &Figures) -> Table {
    let mut table = Table::new("A hub restored from a backup");
    for epoch in figures.all("new_epoch") {
        let what = match epoch.text("case") {
            "nothing_new" => "nothing new",
            "one_new_record" => "one new record",
            _ => "the backup lacks the tablet's last 20 records",
        };
        let title = format!("first session at {} records, {what}: round trips, message bytes", epoch.show("records"));
        let measured = format!("{}, {}", epoch.show("round_trips"), epoch.show("message_bytes"));
        let before = format!("{} bytes with nothing to do before", epoch.show("message_bytes_before_the_restore"));
        let then = ["message_bytes_second_session", "message_bytes_third_session"].map(|key| epoch.show(key));
        table.row(epoch, &title, &measured, &before, &format!("then {}", then.join(", ")));
    }
    table
}

fn connections(figures: &Figures) -> Table {
    let mut table = Table::new("Connections");
    for shake in figures.all("quic_handshake") {
        let title = "QUIC handshake with mutual TLS, one message each way, close: processor time, hub / tablet";
        let measured = format!("{} / {} ms", shake.show("cpu_hub_ms"), shake.show("cpu_tablet_ms"));
        let floor = format!("{} ms: one signature made, two checked", shake.show("floor_signatures_ms"));
        let of_floor = format!("{} × floor", shake.show("hub_ratio_to_floor"));
        table.row(shake, title, &measured, &floor, &of_floor);
    }
    let udp = |figure: &Figure| figure.number("udp_bytes_up") + figure.number("udp_bytes_down");
    for nothing in figures.all("quic_nothing_to_do") {
        let title = "nothing to do over QUIC: datagram bytes, handshake included";
        table.row(nothing, title, &shown(udp(nothing)), "4,500", &distance(udp(nothing), 4_500.0));
    }
    for push in figures.all("quic_push") {
        let title = "push of 20 short visits over QUIC: datagram bytes, handshake included";
        table.row(push, title, &shown(udp(push)), "–", "–");
    }
    table
}

fn import(figures: &Figures) -> Table {
    let mut table = Table::new("Import of a ledger");
    for dry in figures.all("import_dry_run") {
        let title = format!("dry run of {} rows: rows per second", dry.show("rows"));
        let floor = format!("reading and hashing alone: {} ms", dry.show("floor_read_and_hash_ms"));
        let of_floor = format!("{} × floor", dry.show("ratio_to_floor"));
        table.row(dry, &title, &dry.show("rows_per_second"), &floor, &of_floor);
        table.row(dry, "the same: most memory", &format!("{} MiB", dry.show("peak_mib")), "–", "–");
    }
    for filed in figures.all("import_filing") {
        let title = format!(
            "filing of {} rows ({} accepted): records per second",
            filed.show("rows"),
            filed.show("rows_accepted")
        );
        let floor = format!(
            "writing {} MB in {} durable groups alone: {} ms",
            shown((filed.number("log_bytes") / 1e6).round()),
            filed.show("durable_groups"),
            filed.show("floor_write_and_sync_ms")
        );
        let of_floor = format!("{} × floor", filed.show("ratio_to_floor"));
        table.row(filed, &title, &filed.show("records_per_second"), &floor, &of_floor);
        table.row(filed, "the same: most memory", &format!("{} MiB", filed.show("peak_mib")), "–", "–");
    }
    table
}

fn projection(figures: &Figures) -> Table {
    let mut table = Table::new("The read model");
    for built in figures.all("projection_rebuild") {
        let title = format!("built anew from {} records: seconds, records per second", built.show("records"));
        let measured = format!("{}, {}", shown(built.number("rebuild_ms") / 1e3), built.show("records_per_second"));
        let floor =
            format!("reading the store alone: {} s", shown(built.number("of_which_reading_the_replica_ms") / 1e3));
        let share = built.number("rebuild_ms") / built.number("of_which_reading_the_replica_ms");
        table.row(built, &title, &measured, &floor, &format!("{} × floor", shown(share)));
        let opened = format!("{} s", shown(built.number("open_and_check_ms") / 1e3));
        table.row(built, "the same: opened and checked at a start", &opened, "–", "–");
        let bytes = built.show("bytes_per_record");
        table.row(built, "the same: bytes of the database per record", &bytes, "–", "–");
    }
    for query in figures.all("projection_query") {
        let title = format!("{}: p50 / p95", query.text("query"));
        let measured = format!("{} / {} ms", query.show("p50_ms"), query.show("p95_ms"));
        let aim = query.number("aim_p95_ms");
        table.row(query, &title, &measured, &format!("p95 {} ms", shown(aim)), &distance(query.number("p95_ms"), aim));
    }
    for year in figures.all("year_figures") {
        let title = format!("a year's figures of {}: p50", year.text("of"));
        table.row(year, &title, &format!("{} ms", year.show("p50_ms")), "–", "–");
    }
    table
}

fn pages(figures: &Figures) -> Table {
    let mut table = Table::new("Pages over HTTP");
    for page in figures.all("list_page") {
        let title = format!("{} ({} records): p50 / p95", page.text("query"), page.show("records"));
        let measured = format!("{} / {} ms", page.show("p50_ms"), page.show("p95_ms"));
        let aim = page.number("aim_p95_ms");
        table.row(page, &title, &measured, &format!("p95 {} ms", shown(aim)), &distance(page.number("p95_ms"), aim));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_become_one_row_with_their_median() {
        let line = |tablets: u32, ms: f64| {
            format!(
                "{{\"figure\":\"evening_rush\",\"seed\":1,\"commit\":\"c\",\"tablets\":{tablets},\"cpu_hub_ms_per_tablet\":{ms},\"cpu_hub_ms_per_handshake\":0.5}}\n"
            )
        };
        let texts = [line(100, 9.0) + &line(1_000, 12.25) + &line(100, 0.5), line(100, 7.0)];
        let table = sync(&Figures::read(&texts).unwrap()).0;
        let rows: Vec<&str> = table.lines().skip(4).collect();
        assert_eq!(rows.len(), 2, "{table}");
        assert!(rows[0].ends_with("| 7 ms, of which handshake 0.50 ms | 1 ms | 7 × | 3 |"), "{table}");
        assert!(
            rows[1].contains("1,000 tablets")
                && rows[1].ends_with("| 12.2 ms, of which handshake 0.50 ms | 1 ms | 12.2 × | 1 |"),
            "{table}"
        );
    }

    #[test]
    fn numbers_are_shown_with_thousands_apart_and_few_decimals() {
        let shown = [0.0, 0.123, 7.0, 7.25, 99.94, 123.4, 1_234_567.0, f64::NAN].map(shown);
        assert_eq!(shown, ["0", "0.12", "7", "7.2", "99.9", "123", "1,234,567", "–"]);
        assert_eq!((distance(1.0, 1.0), distance(2.5, 1.0)), ("met".to_owned(), "2.5 ×".to_owned()));
    }

    #[test]
    fn line_that_is_no_figure_is_an_error() {
        assert!(Figures::read(&["{\"seed\":1}".to_owned()]).is_err());
        assert!(Figures::read(&["Compiling".to_owned()]).is_err());
    }
}
