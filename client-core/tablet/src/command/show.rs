//! `qianmo show`: everything about one record.

use crate::cli::Show;
use crate::failure::Failure;
use crate::names::Names;
use crate::render::words::form_of;
use crate::render::{json, record};
use crate::work::Work;

pub(crate) fn run(work: &mut Work<'_, '_>, asked: &Show) -> Result<(), Failure> {
    let mut view = work.record(&asked.record)?;
    if asked.json {
        return work.say_json(&json::record(&view));
    }
    let form = form_of(&work.forms, &view.row.form, view.row.form_version);
    view.row = Names::read(work)?.shown(&work.forms, form, &view.row);
    for line in record::record(&view, form, work.messages) {
        work.terminal.say(&line)?;
    }
    Ok(())
}
