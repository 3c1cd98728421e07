//! `qianmo status`: who this device is, what waits, and whether everything is well. Truthful: a state is what is known here.

use qianmo_client_core::{Diagnostics, SyncStatus, Whoami};

use crate::cli::Status;
use crate::clock;
use crate::failure::Failure;
use crate::message::Messages;
use crate::render::json;
use crate::work::Work;

/// Below this, a warning: a few hundred records need less, photos more.
const FREE_BYTES_LOW: u64 = 200 * 1024 * 1024;

pub(crate) fn run(work: &mut Work<'_, '_>, asked: &Status) -> Result<(), Failure> {
    let status = work.client.status();
    let who = work.whoami()?;
    let diagnostics = work.diagnostics()?;
    if asked.json {
        return work.say_json(&json::status(&status, who.as_ref(), &diagnostics));
    }
    work.warn_of_clock()?;
    for line in lines(&status, who.as_ref(), &diagnostics, work.messages) {
        work.terminal.say(&line)?;
    }
    Ok(())
}

/// The status in words.
pub(crate) fn lines(
    status: &SyncStatus,
    who: Option<&Whoami>,
    diagnostics: &Diagnostics,
    messages: Messages,
) -> Vec<String> {
    let mut lines = Vec::new();
    match who {
        Some(who) => {
            let arguments = [
                ("organisation", who.org_name.as_str().into()),
                ("station", who.station.as_str().into()),
                ("device", who.device.as_str().into()),
            ];
            lines.push(messages.with("status-who", &arguments));
            let persons: Vec<String> =
                who.persons.iter().map(|role| format!("{} ({})", role.person, role.roles.join(", "))).collect();
            lines.push(messages.with("status-persons", &[("persons", persons.join("; ").into())]));
        }
        None => {
            lines.push(messages.text("status-not-enrolled"));
            lines.push(next(&messages.text("next-not-enrolled"), messages));
        }
    }
    let counts = [
        ("records", diagnostics.records.into()),
        ("drafts", status.drafts.into()),
        ("waiting", status.waiting.into()),
        ("held", status.held.into()),
    ];
    lines.push(messages.with("status-counts", &counts));
    if status.waiting > 0 && status.enrolled {
        lines.push(next(&messages.text("next-waiting"), messages));
    }
    if status.held > 0 {
        lines.push(next(&messages.text("status-held-next"), messages));
    }
    lines.push(match status.last_success_ms {
        Some(at) => messages.with("status-last", &[("time", clock::show(at).into())]),
        None => messages.text("status-never"),
    });
    lines.extend(troubles(status, diagnostics, messages));
    lines
}

fn next(text: &str, messages: Messages) -> String {
    messages.with("error-next", &[("next", text.into())])
}

/// What is not as it should be.
fn troubles(status: &SyncStatus, diagnostics: &Diagnostics, messages: Messages) -> Vec<String> {
    let lang = messages.lang();
    let mut lines = Vec::new();
    if let Some(failure) = &status.last_failure {
        let arguments = [("time", clock::show(failure.at_ms).into()), ("detail", failure.detail.as_str().into())];
        lines.push(messages.with("status-failed", &arguments));
        lines.push(next(&messages.text("next-unreachable"), messages));
    }
    if let Some(reason) = status.halted {
        lines.push(messages.with("status-halted", &[("reason", reason.message().get(lang).into())]));
    }
    if status.must_update {
        lines.push(messages.text("status-must-update"));
    }
    if let Some(copied) = &status.copied {
        lines.push(messages.with("status-copied", &[("what", copied.message().get(lang).into())]));
    }
    if diagnostics.read_only {
        lines.push(messages.text("status-read-only"));
    }
    if let Some(free) = diagnostics.free_bytes.filter(|free| *free < FREE_BYTES_LOW) {
        lines.push(messages.with("status-room", &[("free", bytes(free).into())]));
    }
    if diagnostics.unreadable_drafts > 0 {
        lines.push(messages.with("status-unreadable-drafts", &[("count", diagnostics.unreadable_drafts.into())]));
    }
    for repair in &diagnostics.repairs {
        lines.push(messages.with("status-repaired", &[("what", repair.as_str().into())]));
    }
    lines
}

/// Bytes as people read them: `512 B`, `1.2 KB`, `3.4 MB`.
pub(crate) fn bytes(count: u64) -> String {
    let mut unit = "B";
    let (mut whole, mut tenths) = (count, 0);
    for larger in ["KB", "MB", "GB", "TB"] {
        if whole < 1_000 {
            break;
        }
        tenths = whole % 1_000 / 100;
        whole /= 1_000;
        unit = larger;
    }
    if unit == "B" { format!("{whole} B") } else { format!("{whole}.{tenths} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_as_people_say_them() {
        let shown: Vec<String> = [0, 999, 1_000, 1_999, 26_000_000, 3_000_000_000_000].into_iter().map(bytes).collect();
        assert_eq!(shown, ["0 B", "999 B", "1.0 KB", "1.9 KB", "26.0 MB", "3.0 TB"]);
    }
}
