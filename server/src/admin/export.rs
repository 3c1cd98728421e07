//! All records as lines of JSON, for other programs. Personal data is masked unless the administrator asks for it.

use std::io::{self, Write};
use std::sync::Arc;

use qianmo_forms::FormSet;

use crate::api::record_json;
use crate::hub::HubCore;
use crate::projection::{Filter, Mask, Personal, ProjectionError, Reader};

/// Records read at a time.
const PAGE: usize = 500;

/// Why not everything was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The read model cannot be read.
    #[error("the records cannot be read")]
    Projection(#[from] ProjectionError),
    /// The file cannot be written.
    #[error("the export cannot be written")]
    Write(#[from] io::Error),
}

/// Writes every record that is not erased as one line of JSON, in the order of the log; answers how many.
///
/// # Errors
/// [`ExportError`].
pub fn export(
    reader: &Reader,
    forms: Arc<FormSet>,
    personal: Personal,
    out: &mut dyn Write,
) -> Result<u64, ExportError> {
    let mask = Mask::new(personal, forms);
    let mut after = None;
    let mut count = 0_u64;
    loop {
        let Some(page) = reader.feed(&Filter::default(), after, PAGE)? else { return Ok(count) };
        for record in page.records.iter().filter(|record| !record.is_gone) {
            serde_json::to_writer(&mut *out, &record_json(&mask, record)).map_err(io::Error::from)?;
            out.write_all(b"\n")?;
            count += 1;
        }
        if !page.has_more {
            out.flush()?;
            return Ok(count);
        }
        after = Some(page.next);
    }
}

/// State and counts of a hub, for people and scripts.
#[must_use]
pub fn stats(core: &HubCore) -> serde_json::Value {
    let figures = crate::api::figures(core);
    let replica = core.replica();
    let beacon = replica.newest_beacon();
    serde_json::json!({
        "org": core.org().to_string(),
        "hub": core.hub().to_string(),
        "epoch": core.epoch().to_string(),
        "commit": figures.commit,
        "backup_watermark": figures.watermark,
        "log_bytes": figures.log_bytes,
        "free_bytes": figures.free_bytes,
        "control_entries": replica.control().len(),
        "devices": replica.control().fold().devices().count(),
        "logbooks": replica.state_digests().len(),
        "packs_unjudged": figures.unjudged,
        "sessions": figures.sessions,
        "beacon_time": beacon.map(|beacon| beacon.time.0),
        "is_adopting": replica.control().fold().epoch(&core.epoch()).is_some_and(|facts| facts.is_adopting()),
    })
}
