//! States as people say them.

use qianmo_client_core::{Delivery, RecordRow, ReviewStatus, SyncPhase, SyncStatus};

use crate::message::Messages;
use crate::render::words;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A mark beside a record.
pub(super) struct Badge {
    pub(super) class: &'static str,
    pub(super) text: String,
}

/// How long ago something was, as it is said; a clock that went back makes it a moment ago.
pub(super) fn ago(at_ms: i64, now_ms: i64, m: Messages) -> String {
    let past = now_ms.saturating_sub(at_ms).max(0);
    if past < MINUTE_MS {
        m.text("ui-ago-moment")
    } else if past < HOUR_MS {
        m.with("ui-ago-minutes", &[("count", (past / MINUTE_MS).into())])
    } else if past < DAY_MS {
        m.with("ui-ago-hours", &[("count", (past / HOUR_MS).into())])
    } else {
        m.with("ui-ago-days", &[("count", (past / DAY_MS).into())])
    }
}

/// The line at the top of every page, and how it looks.
pub(super) fn state(status: &SyncStatus, is_offline: bool, now_ms: i64, m: Messages) -> (String, &'static str) {
    if !status.enrolled {
        return (m.text("ui-state-not-enrolled"), "warn");
    }
    let waiting = if status.waiting == 0 {
        m.text("ui-state-nothing-waits")
    } else {
        m.with("ui-state-waiting", &[("count", status.waiting.into())])
    };
    let last = status
        .last_success_ms
        .map_or_else(|| m.text("ui-state-never"), |at| m.with("ui-state-last", &[("ago", ago(at, now_ms, m).into())]));
    let (now, class) = if is_offline {
        (m.text("ui-state-offline"), "wait")
    } else if status.halted.is_some() {
        (m.text("ui-state-halted"), "bad")
    } else if status.phase == SyncPhase::Running {
        (m.text("ui-state-running"), "info")
    } else if status.last_failure.is_some() {
        (m.text("ui-state-unreachable"), "wait")
    } else if status.phase == SyncPhase::Watching {
        (m.text("ui-state-connected"), "good")
    } else {
        (String::new(), if status.waiting == 0 { "good" } else { "wait" })
    };
    let parts: Vec<String> = [waiting, now, last].into_iter().filter(|part| !part.is_empty()).collect();
    (parts.join(" · "), class)
}

/// Why nothing moves, if something is wrong.
pub(super) fn trouble(status: &SyncStatus, m: Messages) -> Option<String> {
    let lang = m.lang();
    if let Some(reason) = status.halted {
        return Some(reason.message().get(lang).to_owned());
    }
    if let Some(update) = status.update {
        return Some(update.message().get(lang).to_owned());
    }
    if let Some(copied) = &status.copied {
        return Some(copied.message().get(lang).to_owned());
    }
    status.last_failure.as_ref().map(|failure| failure.message.get(lang).to_owned())
}

/// Where a record is and stands: delivery first, for that is what its author asks first.
pub(super) fn badges(row: &RecordRow, m: Messages) -> Vec<Badge> {
    let mut badges = Vec::new();
    let mut mark = |class, text| badges.push(Badge { class, text });
    match row.delivery {
        Delivery::Elsewhere => {}
        Delivery::Held { .. } => mark("bad", words::delivery(row.delivery, m)),
        Delivery::Waiting => mark("wait", words::delivery(row.delivery, m)),
        Delivery::Acknowledged => mark("info", words::delivery(row.delivery, m)),
        Delivery::BackedUp => mark("good", words::delivery(row.delivery, m)),
    }
    let class = match row.review {
        ReviewStatus::Returned => "bad",
        ReviewStatus::Approved => "good",
        ReviewStatus::Disagreed | ReviewStatus::Unsettled => "warn",
        ReviewStatus::Pending | ReviewStatus::Unsubmitted | ReviewStatus::Withdrawn => "plain",
    };
    mark(class, words::review(row.review, m));
    if row.changed_after_approval {
        mark("warn", m.text("review-changed-after"));
    }
    if row.conflicts > 0 {
        mark("warn", m.with("state-conflicts", &[("count", row.conflicts.into())]));
    }
    badges
}

#[cfg(test)]
mod tests {
    use qianmo_forms::Lang;

    use super::*;

    #[test]
    fn time_since_is_said_in_the_largest_unit_that_fits_and_never_negative() {
        let m = Messages::new(Lang::Zh);
        let said = |past| ago(1_000_000_000_000 - past, 1_000_000_000_000, m);
        assert_eq!(said(0), "刚刚");
        assert_eq!(said(-5 * DAY_MS), "刚刚");
        assert_eq!(said(12 * MINUTE_MS), "12分钟前");
        assert_eq!(said(HOUR_MS * 23), "23小时前");
        assert_eq!(said(DAY_MS * 9), "9天前");
    }
}
