//! What the demo measured and what it claims: the table a person reads, and the JSON a script reads.
//!
//! Every number was measured, and every claim is compared with what was expected. What does not hold is listed by name, and
//! then the demo fails.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::lang::Lang;
use crate::screen::{self, Table};

/// What went over the network, over all tablets and sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Traffic {
    /// Sessions.
    pub(crate) sessions: usize,
    /// Round trips of the protocol, after the connection was there.
    pub(crate) round_trips: usize,
    /// Bytes of datagrams from tablets to the hub, handshakes included.
    pub(crate) up: u64,
    /// Bytes of datagrams from the hub to tablets, handshakes included.
    pub(crate) down: u64,
    /// Bytes of messages to the hub.
    pub(crate) messages_up: u64,
    /// Bytes of messages from the hub.
    pub(crate) messages_down: u64,
    /// Packs that the hub did not take, and records of which it holds something.
    pub(crate) refused: usize,
}

impl Traffic {
    /// Adds another's.
    pub(crate) const fn add(&mut self, other: &Self) {
        self.sessions += other.sessions;
        self.round_trips += other.round_trips;
        self.up += other.up;
        self.down += other.down;
        self.messages_up += other.messages_up;
        self.messages_down += other.messages_down;
        self.refused += other.refused;
    }
}

/// What one replica holds at the end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ReplicaState {
    /// What it is called.
    pub(crate) name: String,
    /// The station it holds the logbooks of, and the organisation's directory; it holds all if none.
    pub(crate) station: Option<String>,
    /// Records, counted one by one.
    pub(crate) records: usize,
    /// Entries of directories.
    pub(crate) entries: usize,
    /// Fields in conflict, counted record by record.
    pub(crate) conflicts: usize,
    /// Records with changes of two devices, by their histories.
    pub(crate) merged: usize,
    /// State digest by logbook.
    pub(crate) digests: BTreeMap<String, String>,
}

impl ReplicaState {
    /// Whether a logbook should be on it.
    fn should_hold(&self, logbook: &str) -> bool {
        let Some(station) = &self.station else { return true };
        logbook == ORGANISATION || logbook.split('/').next() == Some(station)
    }
}

/// A tablet's own records by where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Deliveries {
    /// 待上传
    pub(crate) waiting: usize,
    /// 已送达
    pub(crate) acknowledged: usize,
    /// 已备份
    pub(crate) backed_up: usize,
    /// 被隔离
    pub(crate) held: usize,
}

/// Where each tablet's own work was at one moment, and where it should have been.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Stage {
    /// What had just been done, in Chinese.
    #[serde(skip)]
    pub(crate) zh: &'static str,
    /// The same in English.
    #[serde(rename = "after")]
    pub(crate) en: &'static str,
    /// By tablet, as its replica says.
    pub(crate) found: BTreeMap<String, Deliveries>,
    /// By tablet, from what was done.
    #[serde(skip)]
    pub(crate) expected: BTreeMap<String, Deliveries>,
}

/// The organisation directory's logbook.
const ORGANISATION: &str = "organisation";

/// What should come out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Expected {
    /// Records on every replica.
    pub(crate) records: usize,
    /// Fields that two tablets wrote differently.
    pub(crate) conflicts: usize,
    /// Records that two tablets edited.
    pub(crate) merged: usize,
}

/// All that was measured.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Measured {
    /// Rows in the ledger, and those that are records now.
    pub(crate) rows: (usize, usize),
    /// Entries of directories that were filed.
    pub(crate) entries: usize,
    /// Visits written while offline, beside the ledger.
    pub(crate) written_offline: usize,
    /// Figures of the hub, from merged records, that are not what the ledger must come to.
    pub(crate) figure_faults: Vec<String>,
    /// Where each tablet's work was, step by step; the last is after the backup.
    pub(crate) stages: Vec<Stage>,
    /// What was found wrong with the backup's files, byte by byte.
    pub(crate) backup_faults: Vec<String>,
    /// Every replica, the hub first.
    pub(crate) replicas: Vec<ReplicaState>,
    /// What went over the network.
    pub(crate) traffic: Traffic,
    /// From the first row to the last check.
    pub(crate) took: Duration,
}

/// One logbook's proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LogbookProof {
    /// Its name.
    logbook: String,
    /// The digest, if there is one.
    digest: String,
    /// How many replicas hold it with this digest.
    replicas: usize,
}

/// The result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Report {
    converged: bool,
    totals_match: bool,
    backed_up: bool,
    replicas: usize,
    records: usize,
    records_expected: usize,
    directory_entries: usize,
    rows: usize,
    figures_match: bool,
    merged: usize,
    conflicts: usize,
    conflicts_expected: usize,
    refused: usize,
    logbooks: usize,
    sessions: usize,
    round_trips: usize,
    bytes_up: u64,
    bytes_down: u64,
    message_bytes_up: u64,
    message_bytes_down: u64,
    seconds: f64,
    backup_verified: bool,
    stages: Vec<Stage>,
    digests: Vec<LogbookProof>,
    not_held: Vec<String>,
    #[serde(skip)]
    measured: Measured,
}

impl Report {
    /// Compares what was measured with what was expected.
    pub(crate) fn judge(measured: Measured, expected: &Expected) -> Self {
        let mut not_held = Vec::new();
        let digests = compare_digests(&measured.replicas, &mut not_held);
        let converged = not_held.is_empty() && !digests.is_empty();
        if digests.is_empty() {
            not_held.push("no replica holds a logbook".to_owned());
        }
        let counts: [(&str, usize, Count); 3] = [
            (RECORDS, expected.records, |replica| replica.records),
            ("fields in conflict", expected.conflicts, |replica| replica.conflicts),
            ("records edited on two tablets", expected.merged, |replica| replica.merged),
        ];
        not_held.extend(measured.figure_faults.iter().map(|fault| format!("after the first meeting: {fault}")));
        let figures_match = measured.figure_faults.is_empty();
        let before = not_held.len();
        for (what, wanted, count) in counts {
            // Whoever holds one station has all its edits, but not all records.
            let asked = measured.replicas.iter().filter(|replica| what != RECORDS || replica.station.is_none());
            compare_counts(asked.collect(), what, wanted, count, &mut not_held);
        }
        let entries = measured.replicas.iter().filter(|replica| replica.station.is_none());
        compare_counts(
            entries.collect(),
            "directory entries",
            measured.entries,
            |replica| replica.entries,
            &mut not_held,
        );
        let totals_match = not_held.len() == before && figures_match && !measured.replicas.is_empty();
        let backed_up = compare_stages(&measured.stages, &mut not_held);
        not_held.extend(measured.backup_faults.iter().map(|fault| format!("the backup: {fault}")));
        if measured.traffic.refused > 0 {
            not_held.push(format!("{} packs were refused or records held", measured.traffic.refused));
        }
        let hub = measured.replicas.first();
        let traffic = measured.traffic;
        Self {
            converged,
            totals_match,
            backed_up,
            replicas: measured.replicas.len(),
            records: hub.map_or(0, |hub| hub.records),
            records_expected: expected.records,
            directory_entries: hub.map_or(0, |hub| hub.entries),
            rows: measured.rows.0,
            figures_match,
            merged: hub.map_or(0, |hub| hub.merged),
            conflicts: hub.map_or(0, |hub| hub.conflicts),
            conflicts_expected: expected.conflicts,
            refused: traffic.refused,
            logbooks: digests.len(),
            sessions: traffic.sessions,
            round_trips: traffic.round_trips,
            bytes_up: traffic.up,
            bytes_down: traffic.down,
            message_bytes_up: traffic.messages_up,
            message_bytes_down: traffic.messages_down,
            seconds: (measured.took.as_secs_f64() * 1_000.0).round() / 1_000.0,
            backup_verified: measured.backup_faults.is_empty(),
            stages: measured.stages.clone(),
            digests,
            not_held,
            measured,
        }
    }

    /// What does not hold. Empty when all is well.
    pub(crate) fn not_held(&self) -> &[String] {
        &self.not_held
    }

    /// What a person reads.
    pub(crate) fn render(&self, lang: Lang) -> String {
        [self.counts(lang), self.states(lang), self.replicas(lang), self.proofs(lang), self.verdict(lang)].join("\n\n")
    }

    fn counts(&self, lang: Lang) -> String {
        let mut table = Table::plain();
        let mut row = |zh: &str, en: &str, value: String| table.row([lang.label(zh, en), value]);
        let (rows, filed) = self.measured.rows;
        let made = lang.say("离线新写", "written offline");
        let of = lang.say("台账", "of the ledger's rows");
        let records = format!("{} = {filed} ({of} {rows}) + {} ({made})", self.records, self.measured.written_offline);
        row("记录", "records", records);
        row("名录条目", "directory entries", self.directory_entries.to_string());
        let figures = if self.figures_match {
            lang.say("与台账的真值全部一致", "all equal to the ledger's truth")
        } else {
            lang.say("与台账的真值不一致", "not equal to the ledger's truth")
        };
        row("首次同步后的统计", "figures after the first meeting", figures.to_owned());
        row("两台平板都改过", "edited on two tablets", self.merged.to_string());
        let expected = lang.say("应有", "expected");
        row("冲突的字段", "fields in conflict", format!("{} ({expected} {})", self.conflicts, self.conflicts_expected));
        row("被拒或被隔离", "refused or held", self.refused.to_string());
        let messages = lang.say("其中消息", "messages");
        let bytes = |all, some| format!("{} ({messages} {})", screen::bytes(all), screen::bytes(some));
        row("上行字节", "bytes up", bytes(self.bytes_up, self.message_bytes_up));
        row("下行字节", "bytes down", bytes(self.bytes_down, self.message_bytes_down));
        let sessions = lang.say("次会话", "sessions");
        row("往返", "round trips", format!("{} ({} {sessions})", self.round_trips, self.sessions));
        row("用时", "time", format!("{:.2} s", self.seconds));
        table.render()
    }

    fn states(&self, lang: Lang) -> String {
        let mut table = Table::new([
            lang.label("之后", "after"),
            lang.label("平板", "tablet"),
            "待上传 waiting".to_owned(),
            "已送达 acknowledged".to_owned(),
            "已备份 backed up".to_owned(),
            "被隔离 held".to_owned(),
        ]);
        for stage in &self.stages {
            for (name, found) in &stage.found {
                table.row([
                    lang.label(stage.zh, stage.en),
                    name.clone(),
                    found.waiting.to_string(),
                    found.acknowledged.to_string(),
                    found.backed_up.to_string(),
                    found.held.to_string(),
                ]);
            }
        }
        table.render()
    }

    fn replicas(&self, lang: Lang) -> String {
        let mut table = Table::new([
            lang.label("副本", "replica"),
            lang.label("记录", "records"),
            lang.label("两边改过", "edited twice"),
            lang.label("冲突", "conflicts"),
            lang.label("日志本", "logbooks"),
        ]);
        for replica in &self.measured.replicas {
            table.row([
                replica.name.clone(),
                replica.records.to_string(),
                replica.merged.to_string(),
                replica.conflicts.to_string(),
                replica.digests.len().to_string(),
            ]);
        }
        table.render()
    }

    fn proofs(&self, lang: Lang) -> String {
        let mut table = Table::new([
            lang.label("日志本", "logbook"),
            lang.label("副本数", "replicas"),
            lang.label("状态摘要", "state digest"),
        ]);
        // All replicas hold these; the others are on the hub and on the coordinator's tablet.
        let (shared, others): (Vec<&LogbookProof>, Vec<&LogbookProof>) =
            self.digests.iter().partition(|proof| proof.replicas == self.replicas);
        for proof in shared {
            table.row([proof.logbook.clone(), proof.replicas.to_string(), proof.digest.clone()]);
        }
        let mut text = table.render();
        if let Some(least) = others.iter().map(|proof| proof.replicas).min() {
            let zh =
                format!("另有 {} 本日志各在 {least} 个以上的副本上,每本只有一个状态摘要(全部见 --json)", others.len());
            let en = format!(
                "{} more logbooks are on {least} replicas or more, each with one state digest (all of them with --json)",
                others.len()
            );
            text = format!("{text}\n\n{}", lang.say(&zh, &en));
        }
        text
    }

    fn verdict(&self, lang: Lang) -> String {
        if self.not_held.is_empty() {
            let zh = "全部核对通过:每本日志在持有它的每个副本上状态相同,记录数一致,首次同步后的统计与台账真值一致,冲突数等于两边都改的字段数,全部已备份,备份逐字节核对无误。";
            let en = "All checks hold: every logbook has one state on every replica that holds it, the counts agree, the figures after the first meeting are the ledger's truth, the conflicts are the fields edited twice, all is 已备份 backed up, and the backup verifies byte by byte.";
            return lang.say(zh, en).to_owned();
        }
        let lines = self.not_held.iter().map(|claim| format!("\n  - {claim}")).collect::<String>();
        format!("{}:{lines}", lang.label("有检查没有通过", "these do not hold"))
    }
}

/// One digest a logbook, on every replica.
fn compare_digests(replicas: &[ReplicaState], not_held: &mut Vec<String>) -> Vec<LogbookProof> {
    let mut by_logbook: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for replica in replicas {
        for (logbook, digest) in &replica.digests {
            by_logbook.entry(logbook).or_default().push((&replica.name, digest));
        }
    }
    let mut proofs = Vec::new();
    for (logbook, holders) in by_logbook {
        let Some((_, digest)) = holders.first() else { continue };
        let equal = holders.iter().filter(|(_, other)| other == digest).count();
        if equal != holders.len() {
            let all: Vec<String> = holders.iter().map(|(name, digest)| format!("{name} {digest}")).collect();
            not_held.push(format!("{logbook}: the states differ: {}", all.join(", ")));
        }
        let wanted = replicas.iter().filter(|replica| replica.should_hold(logbook)).count();
        if equal == holders.len() && equal < wanted {
            not_held.push(format!("{logbook}: {equal} of {wanted} replicas hold it"));
        }
        proofs.push(LogbookProof { logbook: logbook.to_owned(), digest: (*digest).to_owned(), replicas: equal });
    }
    proofs
}

type Count = fn(&ReplicaState) -> usize;

const RECORDS: &str = "records";

fn compare_counts(replicas: Vec<&ReplicaState>, what: &str, wanted: usize, count: Count, not_held: &mut Vec<String>) {
    let wrong = replicas.into_iter().filter(|replica| count(replica) != wanted);
    not_held.extend(wrong.map(|replica| format!("{}: {} {what}, expected {wanted}", replica.name, count(replica))));
}

/// Whether the work was where it should have been at every step, and all of it in the backup after the last.
fn compare_stages(stages: &[Stage], not_held: &mut Vec<String>) -> bool {
    for stage in stages.iter().filter(|stage| stage.found != stage.expected) {
        not_held.push(format!("after {}: {:?}, expected {:?}", stage.en, stage.found, stage.expected));
    }
    let is_backed_up = |found: &Deliveries| found.backed_up > 0 && found.waiting + found.acknowledged + found.held == 0;
    let last = stages.last().filter(|last| !last.found.is_empty());
    let all = last.is_some_and(|last| last.found.values().all(is_backed_up));
    if !all {
        not_held.push("not everything is 已备份 backed up after the backup".to_owned());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(name: &str, digest: &str) -> ReplicaState {
        ReplicaState {
            name: name.to_owned(),
            station: None,
            records: 47,
            entries: 30,
            conflicts: 5,
            merged: 8,
            digests: BTreeMap::from([("ST01/2025-06".to_owned(), digest.to_owned())]),
        }
    }

    fn good() -> (Measured, Expected) {
        let deliveries =
            BTreeMap::from([("tablet_a".to_owned(), Deliveries { backed_up: 20, ..Deliveries::default() })]);
        let stage = Stage { zh: "备份", en: "the backup", found: deliveries.clone(), expected: deliveries };
        let measured = Measured {
            rows: (45, 43),
            entries: 30,
            written_offline: 4,
            figure_faults: Vec::new(),
            stages: vec![stage],
            backup_faults: Vec::new(),
            replicas: vec![replica("hub", "aa"), replica("tablet_a", "aa")],
            traffic: Traffic { sessions: 3, round_trips: 5, up: 40_000, down: 50_000, ..Traffic::default() },
            took: Duration::from_millis(1_234),
        };
        (measured, Expected { records: 47, conflicts: 5, merged: 8 })
    }

    #[test]
    fn result_has_the_shape_that_scripts_rely_on() {
        let (measured, expected) = good();
        let json = serde_json::to_value(Report::judge(measured, &expected)).unwrap();
        for (key, value) in [
            ("converged", serde_json::json!(true)),
            ("totals_match", serde_json::json!(true)),
            ("backed_up", serde_json::json!(true)),
            ("replicas", serde_json::json!(2)),
            ("records", serde_json::json!(47)),
            ("merged", serde_json::json!(8)),
            ("backup_verified", serde_json::json!(true)),
            ("figures_match", serde_json::json!(true)),
            ("directory_entries", serde_json::json!(30)),
            ("rows", serde_json::json!(45)),
            ("conflicts", serde_json::json!(5)),
            ("conflicts_expected", serde_json::json!(5)),
            ("refused", serde_json::json!(0)),
            ("logbooks", serde_json::json!(1)),
            ("bytes_up", serde_json::json!(40_000)),
            ("bytes_down", serde_json::json!(50_000)),
            ("round_trips", serde_json::json!(5)),
            ("seconds", serde_json::json!(1.234)),
            ("not_held", serde_json::json!([])),
        ] {
            assert_eq!(json.get(key), Some(&value), "{key}");
        }
    }

    #[test]
    fn each_claim_that_does_not_hold_is_named() {
        type Harm = fn(&mut Measured);
        type Shows = fn(&Report) -> bool;
        fn of_tablet(measured: &mut Measured) -> &mut Deliveries {
            measured.stages[0].found.get_mut("tablet_a").unwrap()
        }
        let harms: [(&str, Harm, Shows); 11] = [
            ("29 directory entries", |m| m.replicas[0].entries = 29, |r| !r.totals_match),
            (
                "after the first meeting: visits is 1",
                |m| m.figure_faults.push("visits is 1, expected 2".into()),
                |r| !r.totals_match && !r.figures_match,
            ),
            ("states differ", |m| m.replicas[1].digests = replica("x", "bb").digests, |r| !r.converged),
            ("1 of 2 replicas hold it", |m| m.replicas[1].digests.clear(), |r| !r.converged),
            ("no replica holds a logbook", |m| m.replicas.iter_mut().for_each(|r| r.digests.clear()), |r| !r.converged),
            ("46 records", |m| m.replicas[1].records = 46, |r| !r.totals_match && r.converged),
            ("4 fields in conflict", |m| m.replicas[0].conflicts = 4, |r| !r.totals_match),
            ("7 records edited on two", |m| m.replicas[1].merged = 7, |r| !r.totals_match),
            ("not everything is 已备份", |m| of_tablet(m).waiting = 1, |r| !r.backed_up),
            ("after the backup: ", |m| of_tablet(m).backed_up = 19, |r| r.backed_up),
            (
                "the backup: log/1 has changed",
                |m| m.backup_faults.push("log/1 has changed".into()),
                |r| !r.backup_verified,
            ),
        ];
        for (said, harm, shows) in harms {
            let (mut measured, expected) = good();
            harm(&mut measured);
            let report = Report::judge(measured, &expected);
            assert!(report.not_held().iter().any(|claim| claim.contains(said)), "{said}: {:?}", report.not_held());
            assert!(shows(&report), "{said}");
            assert!(report.render(Lang::En).contains(said));
        }
        let (mut measured, expected) = good();
        measured.traffic.refused = 1;
        assert_eq!(Report::judge(measured, &expected).not_held().len(), 1);
    }

    #[test]
    fn table_shows_states_in_chinese_in_both_languages() {
        let (measured, expected) = good();
        let report = Report::judge(measured, &expected);
        for lang in [Lang::Zh, Lang::En] {
            let text = report.render(lang);
            assert!(text.contains("已备份") && text.contains("ST01/2025-06") && text.contains("47"), "{text}");
        }
    }
}
