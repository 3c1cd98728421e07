//! `qianmo enroll`: a ticket makes this device one of an organisation's.

use crate::cli::Enroll;
use crate::failure::{self, Failure};
use crate::work::Work;

pub(crate) async fn run(work: &mut Work<'_, '_>, asked: &Enroll) -> Result<(), Failure> {
    let messages = work.messages;
    // On the command line a ticket stays in the shell's history; it works once and not for long, so both ways are fine.
    let text = if asked.ticket == "-" {
        work.terminal.ask(&messages.text("enroll-ask"))?;
        work.terminal.answer()?.unwrap_or_default()
    } else {
        asked.ticket.clone()
    };
    work.warn_of_clock()?;
    work.terminal.note(&messages.text("enroll-begin"))?;
    let station = work.client.enroll(text.trim()).await.map_err(|error| failure::of_enroll(&error, messages))?;
    let who = work.whoami()?;
    let name = who.as_ref().map(|who| who.org_name.clone()).unwrap_or_default();
    let persons: Vec<String> = who.iter().flat_map(|who| &who.persons).map(|role| role.person.clone()).collect();
    let arguments =
        [("organisation", name.into()), ("station", station.into()), ("persons", persons.join(", ").into())];
    work.terminal.say(&messages.with("enroll-done", &arguments))?;
    Ok(work.terminal.note(&messages.text("enroll-next"))?)
}
