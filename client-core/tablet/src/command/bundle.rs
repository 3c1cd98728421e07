//! `qianmo bundle`: a sync through a file, for where there is no network: to the hub, or to another tablet.

use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use qianmo_client_core::{BundleError, BundleReport, BundleRequest, BundleScope, BundleTo};
use tokio::time::timeout;

use super::status::bytes;
use crate::cli::{Bundle, BundleAct, BundleExport, BundleImport, BundleWhat, Destination};
use crate::exit::Exit;
use crate::failure::{self, Failure, Told};
use crate::message::Messages;
use crate::terminal::Progress;
use crate::work::Work;

/// Between two looks at whether it is done.
const TICK: Duration = Duration::from_millis(200);

pub(crate) async fn run(work: &mut Work<'_, '_>, asked: &Bundle) -> Result<(), Failure> {
    if !work.client.status().enrolled {
        return Err(failure::not_enrolled(work.messages).into());
    }
    match &asked.act {
        BundleAct::Export(asked) => export(work, asked).await,
        BundleAct::Import(asked) => import(work, asked).await,
    }
}

async fn export(work: &mut Work<'_, '_>, asked: &BundleExport) -> Result<(), Failure> {
    let messages = work.messages;
    let to = match asked.to {
        Destination::Hub => BundleTo::Hub,
        Destination::Tablet => BundleTo::Tablet,
    };
    let what = match (asked.what, asked.to) {
        (Some(BundleWhat::Waiting), _) | (None, Destination::Hub) => BundleScope::Waiting,
        (Some(BundleWhat::Station), _) | (None, Destination::Tablet) => BundleScope::Station,
        (Some(BundleWhat::Everything), _) => BundleScope::Everything,
    };
    let request = BundleRequest { to, what, file: asked.file.clone() };
    let client = work.client.clone();
    let outcome = wait(work, "bundle-exporting", client.export_bundle(request)).await?;
    let made = outcome.map_err(|error| told(&error, &asked.file, messages))?;
    let arguments = [
        ("file", asked.file.display().to_string().into()),
        ("packs", made.packs.into()),
        ("size", bytes(made.bytes).into()),
    ];
    work.terminal.say(&messages.with("bundle-exported", &arguments))?;
    match made.passphrase {
        Some(passphrase) => {
            work.terminal.say(&messages.with("bundle-passphrase", &[("passphrase", passphrase.into())]))?;
            Ok(work.terminal.note(&messages.text("bundle-next-tablet"))?)
        }
        None => Ok(work.terminal.note(&messages.text("bundle-next-hub"))?),
    }
}

async fn import(work: &mut Work<'_, '_>, asked: &BundleImport) -> Result<(), Failure> {
    let messages = work.messages;
    let passphrase = match &asked.passphrase {
        Some(passphrase) => passphrase.clone(),
        None => {
            work.terminal.ask(&messages.text("bundle-ask"))?;
            work.terminal.answer()?.unwrap_or_default()
        }
    };
    let client = work.client.clone();
    let outcome = wait(work, "bundle-importing", client.import_bundle(&asked.file, Some(&passphrase))).await?;
    let report = outcome.map_err(|error| told(&error, &asked.file, messages))?;
    for line in lines(&report, messages) {
        work.terminal.say(&line)?;
    }
    Ok(())
}

/// Shows that something goes on while it does.
async fn wait<T>(work: &mut Work<'_, '_>, key: &str, doing: impl Future<Output = T>) -> Result<T, Failure> {
    let text = work.messages.text(key);
    let bar = match work.terminal.progress() {
        Progress::Bar => {
            let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
                .with_finish(indicatif::ProgressFinish::AndClear);
            bar.set_style(style.unwrap_or_else(|_template| ProgressStyle::default_spinner()));
            bar.set_message(text);
            bar.enable_steady_tick(TICK);
            Some(bar)
        }
        Progress::Lines => {
            work.terminal.note(&text)?;
            None
        }
    };
    let mut doing = std::pin::pin!(doing);
    let outcome = loop {
        if let Ok(outcome) = timeout(TICK, &mut doing).await {
            break outcome;
        }
    };
    drop(bar);
    Ok(outcome)
}

fn lines(report: &BundleReport, messages: Messages) -> Vec<String> {
    let counts = [
        ("records", report.records.into()),
        ("packs", report.packs_new.into()),
        ("known", report.packs.saturating_sub(report.packs_new).into()),
        ("control", report.control.into()),
    ];
    let mut lines = vec![messages.with("bundle-imported", &counts)];
    if report.not_for_us > 0 {
        lines.push(messages.with("bundle-not-for-us", &[("count", report.not_for_us.into())]));
    }
    for code in &report.refused {
        let why = qianmo_client_core::codes::explain_refusal(*code);
        lines.push(messages.with("bundle-refused", &[("why", why.get(messages.lang()).into())]));
    }
    lines
}

fn told(error: &BundleError, file: &Path, messages: Messages) -> Told {
    let told = |exit, what: &str, next: &str| Told::new(exit, messages.text(what)).next(messages.text(next));
    match error {
        BundleError::NotEnrolled => failure::not_enrolled(messages),
        BundleError::Nothing => told(Exit::Rejected, "error-bundle-nothing", "next-bundle-nothing"),
        BundleError::NoHubKey => told(Exit::Rejected, "error-bundle-no-key", "next-bundle-no-key"),
        BundleError::File { detail } => told(Exit::Rejected, "error-bundle-file", "next-bundle-file").why(detail),
        BundleError::ForHub => told(Exit::Rejected, "error-bundle-for-hub", "next-bundle-for-hub"),
        BundleError::OtherOrganisation => told(Exit::Rejected, "error-other-organisation", "next-bundle-file"),
        BundleError::PassphraseMissing | BundleError::WrongPassphrase => {
            told(Exit::Rejected, "error-bundle-passphrase", "next-bundle-passphrase")
        }
        BundleError::Io { path, detail } => failure::of_file(
            &std::io::Error::other(detail.clone()),
            if path.as_os_str().is_empty() { file } else { path },
            messages,
        ),
        BundleError::Store(_) | BundleError::Closed => {
            Told::new(Exit::Failed, messages.text("error-store")).why(error).next(messages.text("next-store-failed"))
        }
    }
}
