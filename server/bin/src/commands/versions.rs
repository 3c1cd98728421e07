//! `require-version`: which programs still receive records.

use crate::cli::{Common, RequireVersion};
use crate::control_socket::Request;
use crate::failure::Failure;
use crate::lang::Lang;
use crate::office::{Office, VersionAnswer, VersionOrder};
use crate::screen::{self, line};

/// Shows, sets or ends the requirement.
///
/// # Errors
/// The hub does not speak that version; the store cannot be read.
pub(crate) fn require(common: &Common, args: &RequireVersion, lang: Lang) -> Result<(), Failure> {
    let order = match (args.version, args.end) {
        (_, true) => VersionOrder::End,
        (Some(version), false) => VersionOrder::Require(version),
        (None, false) => VersionOrder::Show,
    };
    let answer: VersionAnswer = Office::open(common)?.ask(Request::RequireVersion { order })?;
    if args.json {
        return Ok(screen::json(&answer)?);
    }
    if answer.required == 0 {
        line(lang.say("没有版本要求:所有平板照常收发。", "No version is required: every tablet sends and receives."))?;
    } else {
        let label = lang.label("要求的协议版本不低于", "required protocol version, at least:");
        line(format!("{label} {}", answer.required))?;
        let zh = "更旧的平板照常上传,但不再接收记录,并提示升级应用。取消:qianmo-server require-version --end";
        let en = "Older tablets still upload, receive no records and are told to update. To end it: qianmo-server require-version --end";
        line(lang.say(zh, en))?;
    }
    line(format!("{} {}", lang.label("本机支持到", "this hub speaks up to:"), answer.newest))?;
    Ok(())
}
