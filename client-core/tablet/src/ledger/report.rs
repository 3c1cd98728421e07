//! The report of an import, in the shape that the sample's expected files have.

use std::collections::BTreeMap;

use qianmo_forms::indicators::Tasks;
use serde_json::{Map, Value, json};

use super::cleaner::Summary;
use super::directory::Directory;
use super::source::SourceFacts;

/// What a report says about the ledger itself.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The file's name.
    pub file: &'a str,
    /// What its bytes are.
    pub source: &'a SourceFacts,
    /// The directory it was read with.
    pub directory: &'a Directory,
    /// The year of the ledger.
    pub year: u16,
}

fn counts<T: Ord + Copy>(items: impl Iterator<Item = T>, name: impl Fn(T) -> &'static str) -> Value {
    let mut counts: BTreeMap<T, u64> = BTreeMap::new();
    items.for_each(|item| *counts.entry(item).or_default() += 1);
    Value::Object(counts.into_iter().map(|(item, count)| (name(item).to_owned(), json!(count))).collect())
}

impl Summary {
    /// The whole report.
    #[must_use]
    pub fn to_json(&self, about: &About<'_>) -> Value {
        let mut report = Map::new();
        let tasks: Tasks = about.directory.tasks();
        let source = about.source;
        let entries = [
            ("schema_version", json!(1)),
            ("dataset", json!(about.directory.dataset)),
            ("file", json!(about.file)),
            ("sha256", json!(source.sha256)),
            ("bytes", json!(source.bytes)),
            ("encoding", json!(source.encoding.name())),
            ("newline", json!(if source.crlf { "CRLF" } else { "LF" })),
            ("ledger_year", json!(about.year)),
            ("generator", json!(concat!("qianmo ", env!("CARGO_PKG_VERSION")))),
            ("fictional", json!(about.directory.fictional)),
            ("records", json!(self.rows)),
            ("skipped", counts(self.skipped.iter().map(|(_, reason)| *reason), super::SkipReason::name)),
            ("skipped_total", json!(self.skipped.len())),
            ("accepted", json!(self.accepted)),
            ("accepted_clean", json!(self.accepted.saturating_sub(whole(self.corrected.len())))),
            ("accepted_corrected", json!(self.corrected.len())),
            ("rejected", json!(self.rejected.len())),
            ("rejected_by_reason", counts(self.rejected.iter().map(|(_, reason)| *reason), super::RejectReason::name)),
            (
                "corrections_by_code",
                counts(self.corrected.iter().flat_map(|(_, codes)| codes.iter().copied()), super::Correction::name),
            ),
            (
                "flags",
                Value::Object(
                    self.flags.iter().map(|(flag, rows)| (flag.name().to_owned(), json!(rows.len()))).collect(),
                ),
            ),
            ("accepted_aggregates", self.of_accepted.to_json()),
            ("approved_aggregates", self.of_approved.to_json()),
            ("approved_task_completion", self.of_approved.completion_json(&tasks)),
            ("row_level", self.row_level()),
            ("gps_samples", self.samples()),
        ];
        report.extend(entries.into_iter().map(|(key, value)| (key.to_owned(), value)));
        Value::Object(report)
    }

    fn row_level(&self) -> Value {
        let skipped: Vec<Value> = self.skipped.iter().map(|(row, reason)| json!([row, reason.name()])).collect();
        let rejected: Vec<Value> = self.rejected.iter().map(|(row, reason)| json!([row, reason.name()])).collect();
        let corrected: Vec<Value> = self
            .corrected
            .iter()
            .map(|(row, codes)| json!([row, codes.iter().map(|code| code.name()).collect::<Vec<_>>()]))
            .collect();
        let flagged: Map<String, Value> =
            self.flags.iter().map(|(flag, rows)| (flag.name().to_owned(), json!(rows))).collect();
        json!({ "skipped": skipped, "rejected": rejected, "corrected": corrected, "flagged": flagged })
    }

    fn samples(&self) -> Value {
        let sample = |sample: &super::GpsSample| {
            json!({
                "row": sample.row,
                "record_no": sample.record_no,
                "lat": sample.position.lat,
                "lon": sample.position.lon,
            })
        };
        Value::Array(self.gps_samples.iter().map(sample).collect())
    }
}

fn whole(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
