//! `qianmo status`: who this device is, what waits, and whether everything is well. Truthful: a state is what is known here.

use qianmo_client_core::{Diagnostics, SyncStatus, Whoami};

use crate::cli::Status;
use crate::clock;
use crate::failure::Failure;
use crate::message::Messages;
use crate::render::json;
use crate::work::Work;

/// Below this, a warning: a few hundred records need less, photos more.
const FREE_BYTES_LOW: u64 = 200 * 1024 * 1024;

pub(crate) fn run(work: &mut Work<'_, '_>, asked: &Status) -> Result<(), Failure> {
    let status = work.client.status();
    let who = work.whoami()?;
    let diagnostics = work.diagnostics()?;
    if asked.json {
        return work.say_json(&json::status(&status, who.as_ref(), &diagnostics));
    }
    work.warn_of_clock()?;
    for line in lines(&status, who.as_ref(), &diagnostics, work.messages) {
        work.terminal.say(&line)?;
    }
    Ok(())
}

/// The status in words.
pub(crate) fn lines(
    status: &SyncStatus,
    who: Option<&Whoami>,
    diagnostics: &Diagnostics,
    messages: Messages,
) -> Vec<String> {
    let mut lines = Vec::new();
    match who {
        Some(who) => {
            let arguments = [
                ("organisation", who.org_name.as_str().into()),
                ("station", who.station.as_str().into()),
                ("device", who.device.as_str().into()),
            ];
            lines.push(messages.with("status-who", &arguments));
            let persons: Vec<String> =
                who.persons.iter().map(|role| format!("{} ({})", role.person, role.roles.join(", "))).collect();
            lines.push(messages.with("status-persons", &[("persons", persons.join("; ").into())]));
        }
        None => {
            lines.push(messages.text("status-not-enrolled"));
            lines.push(next(&messages.text("next-not-enrolled"), messages));
        }
    }
    let counts = [
        ("records", diagnostics.records.into()),
        ("drafts", status.drafts.into()),
        ("waiting", status.waiting.into()),
        ("held", status.held.into()),
    ];
    lines.push(messages.with("status-counts", &counts));
    if status.waiting > 0 && status.enrolled {
        lines.push(next(&messages.text("next-waiting"), messages));
    }
    if status.held > 0 {
        lines.push(next(&messages.text("status-held-next"), messages));
    }
    match status.last_success_ms {
        Some(at) => lines.push(messages.with("status-last", &[("time", clock::show(at).into())])),
        // A hub that was seen was synced with, though the time is not known any more: nothing is said rather than a lie.
        None if diagnostics.hub.is_some() => {}
        None => lines.push(messages.text("status-never")),
    }
    lines.extend(troubles(status, diagnostics, messages));
    lines
}

fn next(text: &str, messages: Messages) -> String {
    messages.with("error-next", &[("next", text.into())])
}

/// What is not as it should be.
pub(crate) fn troubles(status: &SyncStatus, diagnostics: &Diagnostics, messages: Messages) -> Vec<String> {
    let lang = messages.lang();
    let mut lines = Vec::new();
    if let Some(failure) = &status.last_failure {
        let arguments = [("time", clock::show(failure.at_ms).into()), ("what", failure.message.get(lang).into())];
        lines.push(messages.with("status-failed", &arguments));
        lines.push(next(&messages.text("next-unreachable"), messages));
    }
    if let Some(reason) = status.halted {
        lines.push(messages.with("status-halted", &[("reason", reason.message().get(lang).into())]));
    }
    if let Some(update) = status.update {
        lines.push(messages.with("status-update", &[("what", update.message().get(lang).into())]));
        lines.push(next(&messages.text("next-update"), messages));
    }
    if let Some(erased) = &status.erased {
        let time = clock::show(erased.at_ms);
        lines.push(
            messages.with("status-erased", &[("time", time.into()), ("what", erased.message().get(lang).into())]),
        );
    }
    if let Some(copied) = &status.copied {
        let what = copied.message();
        let arguments = [
            ("time", clock::show(copied.at_ms).into()),
            ("theirs", clock::show(copied.theirs_ms).into()),
            ("what", what.get(lang).into()),
        ];
        lines.push(messages.with("status-copied", &arguments));
        lines.push(next(&messages.text("next-copied"), messages));
        lines.push(next(&messages.text("next-copied-image"), messages));
    }
    if diagnostics.read_only {
        lines.push(messages.text("status-read-only"));
    }
    if let Some(free) = diagnostics.free_bytes.filter(|free| *free < FREE_BYTES_LOW) {
        lines.push(messages.with("status-room", &[("free", bytes(free).into())]));
    }
    if diagnostics.unreadable_drafts > 0 {
        lines.push(messages.with("status-unreadable-drafts", &[("count", diagnostics.unreadable_drafts.into())]));
    }
    lines
}

/// Bytes as people read them: `512 B`, `1.2 KB`, `3.4 MB`.
pub(crate) fn bytes(count: u64) -> String {
    let mut unit = "B";
    let (mut whole, mut tenths) = (count, 0);
    for larger in ["KB", "MB", "GB", "TB"] {
        if whole < 1_000 {
            break;
        }
        tenths = whole % 1_000 / 100;
        whole /= 1_000;
        unit = larger;
    }
    if unit == "B" { format!("{whole} B") } else { format!("{whole}.{tenths} {unit}") }
}

#[cfg(test)]
mod tests {
    use qianmo_client_core::{Connectivity, HaltReason, PersonRole, SyncFailure, SyncPhase, UpdateNeed};
    use qianmo_forms::{Label, Lang};

    use super::*;
    use crate::testing::MORNING_MS;

    fn enrolled() -> (SyncStatus, Whoami, Diagnostics) {
        let status = SyncStatus {
            enrolled: true,
            connectivity: Connectivity::Unknown,
            phase: SyncPhase::Idle,
            waiting: 2,
            held: 1,
            drafts: 1,
            last_success_ms: Some(MORNING_MS),
            last_failure: Some(SyncFailure {
                at_ms: MORNING_MS,
                detail: "no route".to_owned(),
                message: Label::new("没有网络", "no network"),
            }),
            halted: Some(HaltReason::Revoked),
            next_try_ms: None,
            update: Some(UpdateNeed::UnknownDecision),
            copied: None,
            erased: None,
        };
        let who = Whoami {
            device: "15d405ac3cf067b8".to_owned(),
            org: "o".to_owned(),
            org_name: "平谷".to_owned(),
            station: "ST01".to_owned(),
            stations: vec!["ST01".to_owned()],
            persons: vec![PersonRole { person: "P01".to_owned(), roles: vec!["technician".to_owned()] }],
            person: Some("P01".to_owned()),
            label: String::new(),
        };
        let diagnostics = Diagnostics { records: 9, free_bytes: Some(10_000_000), ..Diagnostics::default() };
        (status, who, diagnostics)
    }

    #[test]
    fn status_tells_every_trouble_with_its_next_step() {
        let (status, who, diagnostics) = enrolled();
        let expected = [
            "平谷 · 工作站 ST01 · 设备 15d405ac3cf067b8",
            "使用人：P01 (technician)",
            "记录9条；草稿1份；待上传2条；被隔离1条",
            "  下一步：已存在本机；有网时运行 qianmo sync 送出",
            "  下一步：看被隔离的：qianmo list --state 被隔离",
            "上次同步成功：2025-06-18 09:30",
            "上次同步没有成功（2025-06-18 09:30）：没有网络",
            "  下一步：已存的都在本机；有网时再运行 qianmo sync，会接着送，不会重复",
            "已停止同步：这台设备已被停用:不再接收数据。要继续使用,请找管理员重新登记",
            "注意：管理端有新的规定,这个版本读不懂,记录暂不显示:请升级应用;写和上传照常",
            "  下一步：请升级 qianmo",
            "存储空间只剩10.0 MB：请删去不用的文件",
        ];
        assert_eq!(lines(&status, Some(&who), &diagnostics, Messages::new(Lang::Zh)), expected);
    }

    #[test]
    fn device_that_met_a_hub_is_not_said_to_have_never_synced() {
        let (mut status, who, mut diagnostics) = enrolled();
        status.last_success_ms = None;
        let never = Messages::new(Lang::En).text("status-never");
        assert!(lines(&status, Some(&who), &diagnostics, Messages::new(Lang::En)).contains(&never));
        diagnostics.hub = Some(("h".to_owned(), "e".to_owned()));
        assert!(!lines(&status, Some(&who), &diagnostics, Messages::new(Lang::En)).contains(&never));
    }

    #[test]
    fn bytes_read_as_people_say_them() {
        let shown: Vec<String> = [0, 999, 1_000, 1_999, 26_000_000, 3_000_000_000_000].into_iter().map(bytes).collect();
        assert_eq!(shown, ["0 B", "999 B", "1.0 KB", "1.9 KB", "26.0 MB", "3.0 TB"]);
    }
}
