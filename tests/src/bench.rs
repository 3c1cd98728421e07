//! What the benchmark program measures, and how it says it.
//!
//! Every figure is one JSON line with the seed and the commit it was made with. Whatever can be compared is compared within
//! one run, and where something physical bounds a figure (bytes after compression, the disk, signatures) the line says
//! what that bound took in the same run.

pub mod epoch;
pub mod handshake;
pub mod import;
pub mod projection;
pub mod read;
pub mod sync;
pub mod table;

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

/// Where figures go.
pub struct Lines<'a> {
    seed: u64,
    commit: String,
    out: &'a mut dyn Write,
}

impl<'a> Lines<'a> {
    /// Figures made from this seed.
    pub fn new(seed: u64, out: &'a mut dyn Write) -> Self {
        Self { seed, commit: commit(), out }
    }

    /// One figure, as a line.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn say(&mut self, figure: &str, values: Value) -> anyhow::Result<()> {
        let line = json!({ "figure": figure, "seed": self.seed, "commit": self.commit });
        writeln!(self.out, "{}", merged(line, values))?;
        Ok(self.out.flush()?)
    }
}

/// The commit of the tree, marked when something is not committed.
#[must_use]
pub fn commit() -> String {
    let arguments = ["describe", "--always", "--abbrev=12", "--exclude=*", "--dirty"];
    let output = Command::new("git").args(arguments).output();
    let text = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    text.map_or_else(|| "unknown".to_owned(), |text| String::from_utf8_lossy(&text).trim().to_owned())
}

pub(crate) fn bar(length: usize, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:>24} {wide_bar} {pos}/{len} {eta}");
    let bar = ProgressBar::new(u64::try_from(length).unwrap_or(u64::MAX)).with_message(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// How many a second.
fn per_second(count: usize, time: Duration) -> f64 {
    (f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / time.as_secs_f64().max(1e-9)).round()
}

fn ratio(a: f64, b: f64) -> f64 {
    (a / b.max(1e-9) * 1e3).round() / 1e3
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

fn merged(mut a: Value, b: Value) -> Value {
    if let (Some(a), Value::Object(b)) = (a.as_object_mut(), b) {
        a.extend(b);
    }
    a
}

/// The time that so many of a hundred stay under.
fn percentile(times: &[Duration], of_hundred: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * of_hundred).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Duration::from_millis(100));
        assert_eq!(percentile(&times, 95), Duration::from_millis(190));
        assert_eq!(percentile(&times[..1], 95), Duration::from_millis(200));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}
