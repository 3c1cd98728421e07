//! `qianmo sync`: brings what waits to the hub, and what is new here; and says truthfully what moved.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use qianmo_client_core::{Connectivity, Event, SyncReport, UpdateNeed};
use tokio::time::timeout;

use super::status::bytes;
use crate::cli::Sync;
use crate::exit::Exit;
use crate::failure::{self, Failure, Told};
use crate::message::Messages;
use crate::terminal::Progress;
use crate::work::Work;

/// The time for one sync if none is given.
const USUAL: Duration = Duration::from_secs(60);
/// Between two looks at how far it is.
const TICK: Duration = Duration::from_millis(200);

pub(crate) async fn run(work: &mut Work<'_, '_>, asked: &Sync) -> Result<(), Failure> {
    if !work.client.status().enrolled {
        return Err(failure::not_enrolled(work.messages).into());
    }
    let within = asked.timeout.map(Duration::from_secs);
    if asked.watch { watch(work, within).await } else { once(work, within.unwrap_or(USUAL)).await }
}

async fn once(work: &mut Work<'_, '_>, within: Duration) -> Result<(), Failure> {
    let messages = work.messages;
    let erased_before = work.client.status().erased.map(|notice| notice.at_ms);
    let outcome = {
        let bar = match work.terminal.progress() {
            Progress::Bar => Some(progress_bar()),
            Progress::Lines => {
                work.terminal.note(&messages.text("sync-begin"))?;
                None
            }
        };
        let mut syncing = std::pin::pin!(work.client.sync_now(within));
        loop {
            if let Some(bar) = &bar {
                let waiting = work.client.status().waiting;
                bar.set_message(messages.with("sync-running", &[("waiting", waiting.into())]));
            }
            if let Ok(outcome) = timeout(TICK, &mut syncing).await {
                break outcome;
            }
        }
    };
    let report = outcome.map_err(|error| failure::of_sync(&error, messages))?;
    for line in lines(&report, messages) {
        work.terminal.say(&line)?;
    }
    // The store's thread carries an erasure out before it answers this.
    work.diagnostics()?;
    if let Some(notice) = work.client.status().erased.filter(|notice| erased_before.is_none_or(|at| notice.at_ms > at))
    {
        work.terminal.say(&erased(notice.records, notice.drafts, notice.unsent, messages))?;
    }
    if let Some(update) = work.client.status().update {
        let told = failure::must_update(update, messages);
        match update {
            // A script hears it, too: the sync did not bring what is new, and never will.
            UpdateNeed::MinimumVersion { .. } if report.complete => return Err(told.into()),
            UpdateNeed::MinimumVersion { .. } | UpdateNeed::UnknownDecision => {
                told.lines(messages).iter().try_for_each(|line| work.terminal.note(line))?;
            }
        }
    }
    if !report.complete {
        let mut told = Told::new(Exit::Network, messages.text("sync-incomplete"));
        if let Some(failure) = work.client.status().last_failure {
            told = told.why(failure.message.get(messages.lang()));
        }
        return Err(told.next(messages.text("next-unreachable")).into());
    }
    if report.refused.iter().any(|refused| refused.code.is_permanent()) {
        let told = Told::new(Exit::Rejected, messages.text("sync-refused-some"));
        return Err(told.next(messages.text("next-refused")).into());
    }
    Ok(())
}

/// A line that moves while a person waits. It is gone when it is dropped.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        .with_finish(indicatif::ProgressFinish::AndClear);
    bar.set_style(style.unwrap_or_else(|_template| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(TICK);
    bar
}

/// Stays connected and says what comes and goes, until interrupted, halted or the time is up.
async fn watch(work: &mut Work<'_, '_>, within: Option<Duration>) -> Result<(), Failure> {
    let messages = work.messages;
    let mut events = work.client.subscribe();
    work.client.set_connectivity(Connectivity::Unmetered);
    work.terminal.note(&messages.text("sync-watching"))?;
    let ended = async {
        match within {
            Some(within) => tokio::time::sleep(within).await,
            None => core::future::pending().await,
        }
    };
    let mut ended = std::pin::pin!(ended);
    let mut told = None;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = &mut ended => None,
            _interrupted = tokio::signal::ctrl_c() => None,
        };
        let Some(event) = event else { return Ok(()) };
        for line in heard(&event, messages) {
            work.terminal.say(&line)?;
        }
        let status = work.client.status();
        // What is written is still sent, so it goes on; but it is said.
        if let Some(update) = status.update.filter(|update| told != Some(*update)) {
            told = Some(update);
            let lines = failure::must_update(update, messages).lines(messages);
            lines.iter().try_for_each(|line| work.terminal.note(line))?;
        }
        if let Some(reason) = status.halted {
            return Err(failure::halted(reason, messages).into());
        }
    }
}

/// What an event tells a person; most tell the app only.
fn heard(event: &Event, messages: Messages) -> Vec<String> {
    match event {
        Event::Synced(report) => lines(report, messages),
        Event::Held { records, drafts } => {
            vec![messages.with("sync-held", &[("count", records.len().into()), ("drafts", (*drafts).into())])]
        }
        Event::Erased { records, drafts, unsent } => {
            vec![erased(records.len(), *drafts, *unsent, messages)]
        }
        Event::BaseVanished { record, fields } => {
            let named = [("record", record.to_string().into()), ("count", fields.len().into())];
            vec![messages.with("sync-base-vanished", &named)]
        }
        Event::Copied => vec![messages.text("sync-copied")],
        Event::Repaired => vec![messages.text("sync-repaired")],
        Event::RecordsChanged(_) | Event::StatusChanged | Event::Lagged => Vec::new(),
    }
}

/// What was erased from this device, in words.
pub(crate) fn erased(records: usize, drafts: usize, unsent: usize, messages: Messages) -> String {
    let counts = [("records", records.into()), ("drafts", drafts.into()), ("unsent", unsent.into())];
    messages.with("sync-erased", &counts)
}

/// What a sync did, in words.
pub(crate) fn lines(report: &SyncReport, messages: Messages) -> Vec<String> {
    let mut lines = Vec::new();
    let moved = report.records_up + report.records_down + report.packs_up + report.packs_down;
    if moved == 0 {
        // That both agree is known only when everything was compared.
        lines.extend(report.complete.then(|| messages.text("sync-nothing")));
    } else {
        let arguments = [
            ("up", report.records_up.into()),
            ("down", report.records_down.into()),
            ("acknowledged", report.acknowledged.into()),
        ];
        lines.push(messages.with("sync-moved", &arguments));
    }
    let cost = [
        ("up", bytes(report.udp_up).into()),
        ("down", bytes(report.udp_down).into()),
        ("trips", report.round_trips.into()),
        ("seconds", format!("{}.{}", report.duration.as_secs(), report.duration.subsec_millis() / 100).into()),
    ];
    lines.push(messages.with("sync-cost", &cost));
    if report.conflicts_new > 0 {
        lines.push(messages.with("sync-conflicts", &[("count", report.conflicts_new.into())]));
    }
    if report.held > 0 {
        lines.push(messages.with("sync-held-records", &[("count", report.held.into())]));
    }
    if report.waiting > 0 {
        lines.push(messages.with("sync-waiting", &[("count", report.waiting.into())]));
    }
    for refused in &report.refused {
        let why = qianmo_client_core::codes::explain_refusal(refused.code);
        let arguments = [("pack", refused.pack.as_str().into()), ("why", why.get(messages.lang()).into())];
        lines.push(messages.with("sync-refused", &arguments));
    }
    lines
}

#[cfg(test)]
mod tests {
    use qianmo_client_core::RefusedPack;
    use qianmo_client_core::codes::RefusalCode;
    use qianmo_forms::Lang;

    use super::*;

    #[test]
    fn report_says_what_moved_what_it_cost_and_what_is_left() {
        let report = SyncReport {
            records_up: 3,
            records_down: 1,
            packs_up: 1,
            packs_down: 1,
            acknowledged: 1,
            waiting: 1,
            conflicts_new: 2,
            round_trips: 1,
            udp_up: 2_345,
            udp_down: 999,
            duration: Duration::from_millis(1_260),
            refused: vec![RefusedPack { pack: "ab12".to_owned(), code: RefusalCode::Quota }],
            ..SyncReport::default()
        };
        assert_eq!(
            lines(&report, Messages::new(Lang::Zh)),
            [
                "送出3条，取回1条；管理端签收1批",
                "用了1.2秒，往返1次，发2.3 KB，收999 B",
                "新出现2处冲突：qianmo list --state 冲突",
                "还有1批没有签收，下次接着送",
                "管理端没有收 ab12：管理端空间不足,请告诉管理员",
            ]
        );
        let quiet = SyncReport { complete: true, ..SyncReport::default() };
        let quiet = lines(&quiet, Messages::new(Lang::En));
        let cut_short = lines(&SyncReport::default(), Messages::new(Lang::En));
        assert_eq!(cut_short, quiet[1..], "that both agree is not said of a sync that did not end");
        assert_eq!(quiet.first().map(String::as_str), Some("Both sides agree; nothing to send or fetch."));
    }
}
