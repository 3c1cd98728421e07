//! The oldest version of the protocol whose programs are given records (A4).

use qianmo_server::hub::HubCore;
use qianmo_server::protocol::control::Decision;
use qianmo_server::protocol::ids::EntryHash;
use qianmo_server::protocol::session::VERSIONS;
use qianmo_server::protocol::time::UnixMillis;
use serde::{Deserialize, Serialize};

use super::STORE_NEXT;
use crate::failure::{Exit, Failure, OrFail as _};

/// What is required.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VersionAnswer {
    /// The oldest version that receives records; 0 when none is required.
    pub(crate) required: u16,
    /// The newest that this hub speaks.
    pub(crate) newest: u16,
    /// Whether this request changed anything.
    pub(crate) changed: bool,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum VersionOrder {
    /// Only look.
    Show,
    /// From now on at least this version.
    Require(u16),
    /// No requirement any more.
    End,
}

/// Shows, sets or ends what is required.
pub(super) fn require(core: &mut HubCore, now: UnixMillis, order: VersionOrder) -> Result<VersionAnswer, Failure> {
    let decisions = match order {
        VersionOrder::Show => Vec::new(),
        VersionOrder::Require(version) if version == 0 || version > VERSIONS.1 => {
            let what = format!("version {version} cannot be required: this hub speaks 1 to {}", VERSIONS.1);
            let next = "update the hub first; a hub that requires what it does not speak serves nobody";
            return Err(Failure::new(Exit::Refused, what, next));
        }
        VersionOrder::Require(version) if required(core) >= version => Vec::new(),
        VersionOrder::Require(version) => vec![Decision::MinimumVersion { version }],
        VersionOrder::End => standing(core).map(|ends| Decision::EndMinimumVersion { ends }).collect(),
    };
    let changed = !decisions.is_empty();
    if changed {
        core.decide(now, decisions).or_fail(Exit::Failed, "the decision was not written down", STORE_NEXT)?;
    }
    Ok(VersionAnswer { required: required(core), newest: VERSIONS.1, changed })
}

fn required(core: &HubCore) -> u16 {
    core.replica().control().fold().minimum_version()
}

/// The requirements that were not ended.
fn standing(core: &HubCore) -> impl Iterator<Item = EntryHash> {
    let (mut standing, mut ended) = (Vec::new(), Vec::new());
    for (hash, entry) in core.replica().control().iter() {
        if let Decision::MinimumVersion { .. } = &entry.content().decision {
            standing.push(*hash);
        }
        if let Decision::EndMinimumVersion { ends } = &entry.content().decision {
            ended.push(*ends);
        }
    }
    standing.into_iter().filter(move |hash| !ended.contains(hash))
}
