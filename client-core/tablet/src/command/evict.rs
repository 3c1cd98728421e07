//! `qianmo evict` and `qianmo bring-back`: freeing the space of old months, and taking them back.
//!
//! A month goes only when the hub has all of it and a backup of the hub, too; the core decides. Several are tried one by
//! one, and what cannot go yet is told with what to do.

use std::collections::BTreeSet;

use qianmo_client_core::{DeliveryFilter, EvictError, RecordFilter};
use serde_json::json;

use crate::cli::{BringBack, Evict};
use crate::exit::Exit;
use crate::failure::{self, Failure, Told};
use crate::message::Messages;
use crate::work::Work;

pub(crate) async fn run(work: &mut Work<'_, '_>, asked: &Evict) -> Result<(), Failure> {
    let messages = work.messages;
    if asked.list {
        return list(work, asked);
    }
    let logbooks = match &asked.before {
        Some(month) => older(work, month)?,
        None => asked.logbooks.clone(),
    };
    if logbooks.is_empty() {
        return Ok(work.terminal.note(&messages.text("evict-none-before"))?);
    }
    let mut kept: Vec<(String, Told)> = Vec::new();
    let mut gone = Vec::new();
    for logbook in logbooks {
        match work.client.evict(&logbook).await {
            Ok(()) => {
                if !asked.json {
                    work.terminal.say(&messages.with("evict-done", &[("logbook", logbook.as_str().into())]))?;
                }
                gone.push(logbook);
            }
            Err(error) => kept.push((logbook, told(&error, messages))),
        }
    }
    if asked.json {
        let kept: Vec<_> = kept
            .iter()
            .map(|(logbook, told)| json!({ "logbook": logbook, "why": told.what, "next": told.next }))
            .collect();
        work.say_json(&json!({ "evicted": gone, "kept": kept }))?;
    }
    match kept.len() {
        0 => Ok(()),
        1 => Err(kept.remove(0).1.into()),
        count => {
            let mut all = Told::new(Exit::Rejected, messages.with("evict-kept", &[("count", count.into())]));
            all.details = kept.iter().map(|(_, told)| told.what.clone()).collect();
            for next in kept.into_iter().flat_map(|(_, told)| told.next) {
                if !all.next.contains(&next) {
                    all.next.push(next);
                }
            }
            Err(all.into())
        }
    }
}

/// Station months here that are older than a month, oldest first.
fn older(work: &mut Work<'_, '_>, month: &str) -> Result<Vec<String>, Failure> {
    let mut held: BTreeSet<String> = work.diagnostics()?.state_digests.into_keys().collect();
    if work.client.status().waiting > 0 {
        // What was saved and never sent is in no vector yet, and is told as what must be sent first.
        let waiting = RecordFilter { delivery: Some(DeliveryFilter::Waiting), ..RecordFilter::default() };
        work.each(waiting, |row| {
            held.insert(row.logbook);
            true
        })?;
    }
    let mut older: Vec<(String, String)> = held
        .into_iter()
        .filter_map(|logbook| Some((logbook.split_once('/')?.1.to_owned(), logbook)))
        .filter(|(of, _)| of.as_str() < month)
        .collect();
    older.sort();
    Ok(older.into_iter().map(|(_, logbook)| logbook).collect())
}

fn list(work: &mut Work<'_, '_>, asked: &Evict) -> Result<(), Failure> {
    let messages = work.messages;
    let evicted = work.client.evicted().map_err(|error| failure::of_read(&error, messages))?;
    if asked.json {
        return work.say_json(&json!(evicted));
    }
    if evicted.is_empty() {
        return Ok(work.terminal.note(&messages.text("evict-list-none"))?);
    }
    evicted.iter().try_for_each(|logbook| work.terminal.say(logbook))?;
    Ok(work.terminal.note(&messages.text("evict-list-next"))?)
}

pub(crate) async fn bring_back(work: &mut Work<'_, '_>, asked: &BringBack) -> Result<(), Failure> {
    let messages = work.messages;
    for logbook in &asked.logbooks {
        work.client.bring_back(logbook).await.map_err(|error| told(&error, messages))?;
        work.terminal.say(&messages.with("bring-back-done", &[("logbook", logbook.as_str().into())]))?;
    }
    Ok(())
}

/// Why a logbook stays, or does not come back, and what to do.
fn told(error: &EvictError, messages: Messages) -> Told {
    let about = |exit, what: &str, logbook: &str, next: &str| {
        Told::new(exit, messages.with(what, &[("logbook", logbook.into())])).next(messages.text(next))
    };
    let counted = |what: &str, logbook: &str, count: usize, next: &str| {
        let arguments = [("logbook", logbook.into()), ("count", count.into())];
        Told::new(Exit::Rejected, messages.with(what, &arguments)).next(messages.text(next))
    };
    match error {
        EvictError::Name { text } => about(Exit::Usage, "error-evict-name", text, "next-evict-name"),
        EvictError::Directory { logbook } => about(Exit::Usage, "error-evict-directory", logbook, "next-evict-name"),
        EvictError::NotHere { logbook } => about(Exit::Failed, "error-evict-not-here", logbook, "next-evict-list"),
        EvictError::NotEvicted { logbook } => {
            about(Exit::Failed, "error-evict-not-evicted", logbook, "next-evict-list")
        }
        EvictError::Unsettled { logbook, count } => {
            counted("error-evict-unsettled", logbook, *count, "next-evict-sync")
        }
        EvictError::Unreceipted { logbook, count } => {
            counted("error-evict-unreceipted", logbook, *count, "next-evict-sync")
        }
        EvictError::NotBackedUp { logbook, count } => {
            counted("error-evict-not-backed-up", logbook, *count, "next-evict-backup")
        }
        EvictError::TooMany { max } => {
            Told::new(Exit::Rejected, messages.with("error-evict-too-many", &[("max", (*max).into())]))
                .next(messages.text("next-evict-too-many"))
        }
        EvictError::Busy => {
            Told::new(Exit::Failed, messages.text("error-evict-busy")).next(messages.text("next-evict-busy"))
        }
        EvictError::Store(_) => failure::store(error, messages),
        EvictError::Closed => failure::closed(messages),
    }
}

#[cfg(test)]
mod tests {
    use qianmo_forms::Lang;

    use super::*;
    use crate::testing::store_failure;

    #[test]
    fn every_reason_to_keep_a_logbook_is_told_with_what_to_do_in_both_languages() {
        let logbook = "ST01/2025-06".to_owned();
        let all = [
            EvictError::Name { text: "ST01/June".to_owned() },
            EvictError::Directory { logbook: "ST01".to_owned() },
            EvictError::NotHere { logbook: logbook.clone() },
            EvictError::NotEvicted { logbook: logbook.clone() },
            EvictError::Unsettled { logbook: logbook.clone(), count: 3 },
            EvictError::Unreceipted { logbook: logbook.clone(), count: 3 },
            EvictError::NotBackedUp { logbook, count: 3 },
            EvictError::TooMany { max: 1_024 },
            EvictError::Busy,
            EvictError::Store(store_failure("cut")),
            EvictError::Closed,
        ];
        for lang in Lang::ALL {
            let mut whats = BTreeSet::new();
            for error in &all {
                let told = told(error, Messages::new(lang));
                let text = told.lines(Messages::new(lang)).join("\n");
                assert!(!told.next.is_empty() && !text.contains("Unknown localization"), "{text}");
                assert!(whats.insert(told.what.clone()), "{} is said twice", told.what);
                if error.is_retryable() && *error != EvictError::Busy {
                    assert!(text.contains("ST01/2025-06") && text.contains('3'), "{text}");
                }
            }
        }
    }
}
