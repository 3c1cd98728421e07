//! The words for states: where a record is, where it stands in review, and what a person can do about it.

use qianmo_client_core::{Delivery, DraftView, RecordRow, ReviewAct, ReviewStatus};
use qianmo_forms::{Form, FormSet};

use crate::message::Messages;

/// Hex digits of an id in a list: enough to name it in a command.
pub(crate) const ID_DIGITS: usize = 8;

/// The start of an id.
pub(crate) fn short(id: &str) -> &str {
    id.get(..ID_DIGITS).unwrap_or(id)
}

/// Where the work of this device in a record is.
pub(crate) fn delivery(delivery: Delivery, messages: Messages) -> String {
    messages.text(match delivery {
        Delivery::Held { .. } => "state-held",
        Delivery::Waiting => "state-waiting",
        Delivery::Acknowledged => "state-acknowledged",
        Delivery::BackedUp => "state-backed-up",
        Delivery::Elsewhere => "state-elsewhere",
    })
}

/// What that means and what to do.
pub(crate) fn delivery_next(delivery: Delivery, messages: Messages) -> String {
    messages.text(match delivery {
        Delivery::Held { .. } => "next-held",
        Delivery::Waiting => "next-waiting",
        Delivery::Acknowledged => "next-acknowledged",
        Delivery::BackedUp => "next-backed-up",
        Delivery::Elsewhere => "next-elsewhere",
    })
}

/// For programs.
pub(crate) const fn delivery_code(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Held { .. } => "held",
        Delivery::Waiting => "waiting",
        Delivery::Acknowledged => "acknowledged",
        Delivery::BackedUp => "backed_up",
        Delivery::Elsewhere => "elsewhere",
    }
}

/// Where a record stands in review.
pub(crate) fn review(status: ReviewStatus, messages: Messages) -> String {
    messages.text(match status {
        ReviewStatus::Unsubmitted => "review-unsubmitted",
        ReviewStatus::Pending => "review-pending",
        ReviewStatus::Approved => "review-approved",
        ReviewStatus::Returned => "review-returned",
        ReviewStatus::Withdrawn => "review-withdrawn",
        ReviewStatus::Disagreed => "review-disagreed",
        ReviewStatus::Unsettled => "review-unsettled",
    })
}

/// For programs.
pub(crate) const fn review_code(status: ReviewStatus) -> &'static str {
    match status {
        ReviewStatus::Unsubmitted => "unsubmitted",
        ReviewStatus::Pending => "pending",
        ReviewStatus::Approved => "approved",
        ReviewStatus::Returned => "returned",
        ReviewStatus::Withdrawn => "withdrawn",
        ReviewStatus::Disagreed => "disagreed",
        ReviewStatus::Unsettled => "unsettled",
    }
}

/// What a person did in a review.
pub(crate) fn act(act: ReviewAct, messages: Messages) -> String {
    messages.text(match act {
        ReviewAct::Submit => "act-submit",
        ReviewAct::Approve => "act-approve",
        ReviewAct::Return => "act-return",
        ReviewAct::Reopen => "act-reopen",
        ReviewAct::Withdraw => "act-withdraw",
        ReviewAct::Comment => "act-comment",
    })
}

/// For programs.
pub(crate) const fn act_code(act: ReviewAct) -> &'static str {
    match act {
        ReviewAct::Submit => "submit",
        ReviewAct::Approve => "approve",
        ReviewAct::Return => "return",
        ReviewAct::Reopen => "reopen",
        ReviewAct::Withdraw => "withdraw",
        ReviewAct::Comment => "comment",
    }
}

/// The states of a record in one cell: delivery, review, and what needs a look.
pub(crate) fn states(row: &RecordRow, messages: Messages) -> String {
    let mut words = vec![delivery(row.delivery, messages), review(row.review, messages)];
    if row.changed_after_approval {
        words.push(messages.text("review-changed-after"));
    }
    if row.conflicts > 0 {
        words.push(messages.with("state-conflicts", &[("count", row.conflicts.into())]));
    }
    words.join(" · ")
}

/// The form a record was written with; if this version does not know it, its newest.
pub(crate) fn form_of<'f>(forms: &'f FormSet, id: &str, version: u32) -> Option<&'f Form> {
    forms.for_record(id, version)
}

/// What a form is called.
pub(crate) fn form_name(forms: &FormSet, id: &str, messages: Messages) -> String {
    forms.get(id).map_or_else(|| id.to_owned(), |form| form.label().get(messages.lang()).to_owned())
}

/// A line about what a record says: its first date, then its first answers in words.
pub(crate) fn gist(form: Option<&Form>, row: &RecordRow, messages: Messages) -> String {
    const PARTS_MAX: usize = 4;
    /// Answers that tell records apart, where a form has them.
    const TELLING: [&str; 11] = [
        "activity_date",
        "code",
        "name",
        "target_name",
        "target_id",
        "topic",
        "theme",
        "technology_id",
        "crop_id",
        "pest_id",
        "content",
    ];
    let part = |name: &str| {
        let shown =
            crate::answers::display(form.and_then(|form| form.field(name)), row.fields.get(name)?, messages.lang());
        (!shown.is_empty()).then_some(shown)
    };
    let telling: Vec<String> = TELLING.into_iter().filter_map(part).take(PARTS_MAX).collect();
    if !telling.is_empty() {
        return telling.join(" ");
    }
    let names = form.map(|form| form.fields().iter().map(|field| field.name.as_str()).collect::<Vec<_>>());
    names.unwrap_or_default().into_iter().filter_map(part).take(PARTS_MAX).collect::<Vec<_>>().join(" ")
}

/// What a draft is for.
pub(crate) fn draft_purpose(draft: &DraftView, messages: Messages) -> String {
    match (&draft.input.record, draft.input.held_code) {
        (Some(record), Some(_)) => {
            messages.with("draft-returned-edit", &[("record", short(&record.to_string()).to_owned().into())])
        }
        (None, Some(_)) => messages.text("draft-returned-new"),
        (Some(record), None) => {
            messages.with("draft-edit", &[("record", short(&record.to_string()).to_owned().into())])
        }
        (None, None) => messages.text("draft-new"),
    }
}
