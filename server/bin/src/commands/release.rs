//! `release`: what is held, why, and letting it through.

use qianmo_client_core::codes::explain;
use serde::{Deserialize, Serialize};

use crate::cli::{Common, Release};
use crate::control_socket::Request;
use crate::failure::Failure;
use crate::lang::Lang;
use crate::office::Office;
use crate::screen::{self, line};
use crate::times;

/// Something that is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeldAnswer {
    /// What `release` takes.
    pub(crate) id: String,
    /// `content`, `carrier`, `pack`, `log` or `undecided`.
    pub(crate) what: String,
    /// Who wrote it, or may have.
    pub(crate) persons: Vec<String>,
    /// On which device.
    pub(crate) device: Option<String>,
    /// In which logbook.
    pub(crate) logbook: Option<String>,
    /// Of which document.
    pub(crate) document: Option<String>,
    /// Why, as a number.
    pub(crate) code: u16,
    /// Since when, in milliseconds since 1970.
    pub(crate) since_ms: i64,
}

/// What was released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReleaseAnswer {
    /// The ids.
    pub(crate) released: Vec<String>,
    /// What depended on them and did not pass.
    pub(crate) held_instead: usize,
}

/// Lists what is held, or releases some of it.
///
/// # Errors
/// Nothing is held under that name; the store cannot be read.
pub(crate) fn run(common: &Common, args: Release, lang: Lang) -> Result<(), Failure> {
    let office = Office::open(common)?;
    if args.id.is_none() && args.device.is_none() && args.all_of.is_none() {
        let held: Vec<HeldAnswer> = office.ask(Request::Held)?;
        return if args.json { Ok(screen::json(&held)?) } else { show(&held, lang) };
    }
    let request = Request::Release { id: args.id, device: args.device, code: args.all_of };
    let done: ReleaseAnswer = office.ask(request)?;
    if args.json {
        return Ok(screen::json(&done)?);
    }
    line(format!("{} {}", lang.label("已放行", "released:"), done.released.join(" ")))?;
    let zh = "平板下次同步就能看到;等着它的后续改动已一并判断。";
    let en = "Tablets see it at their next sync; what waited for it was judged too.";
    line(lang.say(zh, en))?;
    if done.held_instead > 0 {
        let label = lang.label("后续改动中仍被隔离的", "of what waited, still held:");
        line(format!("{label} {}", done.held_instead))?;
    }
    Ok(())
}

fn show(held: &[HeldAnswer], lang: Lang) -> Result<(), Failure> {
    if held.is_empty() {
        line(lang.say("没有被隔离的内容。", "Nothing is held."))?;
        return Ok(());
    }
    for one in held {
        let person = if one.persons.is_empty() { "–".to_owned() } else { one.persons.join("/") };
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
        let since = times::minute(one.since_ms);
        line(format!("{}  {since}  {person}  {}", one.id, or_dash(&one.logbook)))?;
        line(format!("  {} ({})", reason(one, lang), one.code))?;
        line(format!(
            "  {} {}  {} {}",
            lang.label("设备", "device"),
            or_dash(&one.device),
            lang.label("文档", "document"),
            or_dash(&one.document)
        ))?;
    }
    line("")?;
    line(format!("{}: {}", lang.label("共", "held"), held.len()))?;
    let zh = "核实之后放行:qianmo-server release 编号;不放行就一直留着,不会丢,也不会显示。";
    let en =
        "Once you have checked: qianmo-server release ID. What is not released stays held: never lost, never shown.";
    line(lang.say(zh, en))?;
    Ok(())
}

/// Why it is held, in words.
fn reason(held: &HeldAnswer, lang: Lang) -> String {
    let mut text = match words(held.code) {
        Some((zh, en)) => lang.label(zh, en),
        None => {
            let why = explain(held.code).what;
            lang.label(&why.zh, &why.en)
        }
    };
    if held.what == "undecided" {
        let zh = "恢复以前写的,只在本机判为不合格,未告知任何设备,等您决定";
        let en = "written before the restore; it failed only here, nobody was told, it waits for you";
        text = format!("{text}; {}", lang.say(zh, en));
    }
    text
}

/// The codes that only a hub gives.
const fn words(code: u16) -> Option<(&'static str, &'static str)> {
    Some(match code {
        280 => (
            "这台设备在这个日志本里不合格的太多,之后的都先隔离",
            "Too much of this device failed in this logbook: all that follows is held",
        ),
        281 => (
            "这台设备的存储被复制过多次,多出来的分支先隔离",
            "This device's store was copied again and again: the branches too many are held",
        ),
        282 => ("这台设备在这个日志本里重开的次数太多", "This device began anew in this logbook too often"),
        283 => (
            "记录的月份太靠后:请先核对平板和服务器的时钟",
            "The record's month lies too far ahead: check the clocks of tablet and server first",
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(code: u16, what: &str) -> HeldAnswer {
        HeldAnswer {
            id: "0011223344556677".to_owned(),
            what: what.to_owned(),
            persons: vec!["P01".to_owned()],
            device: None,
            logbook: None,
            document: None,
            code,
            since_ms: 0,
        }
    }

    #[test]
    fn every_code_a_hub_publishes_has_words_in_both_languages() {
        let unknown = reason(&held(4_000, "content"), Lang::En);
        for code in [1, 20, 30, 41, 57, 64, 72, 257, 259, 260, 261, 262, 263, 264, 270, 271, 280, 281, 282, 283, 284] {
            let (zh, en) = (reason(&held(code, "carrier"), Lang::Zh), reason(&held(code, "carrier"), Lang::En));
            assert_ne!(en, unknown, "{code}");
            assert!(zh.ends_with(&en) && zh != en, "{code}: {zh}");
        }
        assert!(reason(&held(41, "undecided"), Lang::En).contains("waits for you"));
    }
}
