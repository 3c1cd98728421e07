//! The tablets: which there are, which have gone silent, what is held; and enrolling, revoking, releasing.
//!
//! A coordinator sees the tablets of the stations they look after; acts are for a coordinator or administrator of the whole
//! district, the list of acts for an administrator. The server checks each of these anew with every form. What is shown of a
//! tablet is what the hub knows itself; nothing here counts or compares people.
//!
//! # Layout
//!
//! ```text
//! enrol    a form, then the ticket with its code, once       revoke   a question, then the end of a device
//! held     what is held, and letting one through             acts     what administrators did, newest first
//! ```

mod acts;
mod enrol;
mod held;
mod revoke;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::get;

use qianmo_forms::{Lang, ReferenceKind};
use qianmo_protocol::ids::{PersonCode, StationCode};

use super::{Badge, Chrome, rendered, say, short};
use crate::hub::HubError;
use crate::projection::Names;
use crate::registry::{AboutRow, DeviceRow, DeviceStanding};
use crate::web::{Asked, Refusal, Signed, WebState, minute};

/// Days without a contact after which a tablet is silent. Stations are days without a network as a matter of course; field
/// platforms that watch replication alarm after three.
pub(super) const SILENT_DAYS: i64 = 3;
const DAY_MS: i64 = 86_400_000;
/// Minutes by which a tablet's clock may be off before somebody is told.
const CLOCK_MINUTES_MAX: i64 = 10;
/// Free bytes below which a tablet may not be able to keep what is written.
const FREE_BYTES_LOW: u64 = 500_000_000;
const GIGABYTE: u64 = 1_000_000_000;

pub(super) fn routes() -> Router<WebState> {
    Router::new()
        .route("/fleet", get(fleet_page))
        .route("/fleet/enrol", get(enrol::form_page).post(enrol::enrol))
        .route("/fleet/devices/{id}/revoke", get(revoke::question).post(revoke::revoke))
        .route("/fleet/held", get(held::list_page))
        .route("/fleet/held/{id}", get(held::question).post(held::release))
        .route("/fleet/acts", get(acts::acts_page))
        .route("/fleet/numbers", get(super::numbers::list))
}

pub(super) fn unreadable(error: &HubError) -> Refusal {
    tracing::error!(error = error as &dyn core::error::Error, "the devices could not be read or decided on");
    Refusal::Internal
}

/// A code and what it is called.
fn called(names: &Names, kind: ReferenceKind, code: &str) -> String {
    names.of(kind, code).map_or_else(|| code.to_owned(), |name| format!("{name} {code}"))
}

fn people<'a, P: IntoIterator<Item = &'a PersonCode>>(names: &Names, persons: P) -> String {
    let persons = persons.into_iter().map(|person| called(names, ReferenceKind::Person, person.as_str()));
    persons.collect::<Vec<_>>().join(" · ")
}

fn place(names: &Names, station: Option<&StationCode>) -> String {
    station.map(|station| called(names, ReferenceKind::Station, station.as_str())).unwrap_or_default()
}

/// How long ago, in the largest unit that says something.
fn ago(since_ms: i64, now_ms: i64, lang: Lang) -> String {
    let minutes = now_ms.saturating_sub(since_ms).max(0).div_euclid(60_000);
    let (hours, days) = (minutes.div_euclid(60), minutes.div_euclid(60 * 24));
    let (count, zh, one, many) = if days > 0 {
        (days, "天前", "day ago", "days ago")
    } else if hours > 0 {
        (hours, "小时前", "hour ago", "hours ago")
    } else if minutes > 0 {
        (minutes, "分钟前", "minute ago", "minutes ago")
    } else {
        return say(lang, "刚刚", "just now").to_owned();
    };
    match lang {
        Lang::Zh => format!("{count}{zh}"),
        Lang::En => format!("{count} {}", if count == 1 { one } else { many }),
    }
}

/// Where a tablet stands in the list: what needs somebody comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Silent,
    Care,
    Well,
    Over,
}

fn rank(row: &DeviceRow, now: i64) -> Rank {
    match row.standing {
        DeviceStanding::Revoked => Rank::Over,
        DeviceStanding::NotConfirmed | DeviceStanding::Refused => Rank::Care,
        DeviceStanding::Active if is_silent(row, now) => Rank::Silent,
        DeviceStanding::Active if row.is_copied => Rank::Care,
        DeviceStanding::Active => Rank::Well,
    }
}

/// Since when a tablet was not heard of.
fn heard(row: &DeviceRow) -> i64 {
    row.last_contact.or(row.enrolled).map_or(i64::MIN, |time| time.0)
}

fn is_silent(row: &DeviceRow, now: i64) -> bool {
    !row.is_connected
        && row.standing == DeviceStanding::Active
        && now.saturating_sub(heard(row)) >= SILENT_DAYS.saturating_mul(DAY_MS)
}

/// One tablet as the page shows it.
struct Tablet {
    short: String,
    label: String,
    people: String,
    place: String,
    marks: Vec<Badge>,
    contact: String,
    ago: String,
    enrolled: String,
    is_silent: bool,
    /// What it said of itself, with what it is about.
    said: Vec<(&'static str, String)>,
    /// When it said so.
    said_at: String,
    /// What to do about it.
    advice: Vec<&'static str>,
    /// Where to revoke it, when that can be done.
    revoke: Option<String>,
}

fn tablet(row: &DeviceRow, now: i64, names: &Names, chrome: &Chrome, may_act: bool) -> Tablet {
    let badge = |class, zh, en| Badge { class, text: chrome.say(zh, en).to_owned() };
    let is_silent = is_silent(row, now);
    let mut marks = vec![match row.standing {
        DeviceStanding::Active => badge("good", "可用", "Active"),
        DeviceStanding::Revoked => badge("plain", "已停用", "Revoked"),
        DeviceStanding::NotConfirmed => badge("warn", "待确认", "Not confirmed"),
        DeviceStanding::Refused => badge("bad", "需重新登记", "Must enrol again"),
    }];
    let mut advice = Vec::new();
    if is_silent {
        marks.push(badge("bad", "失联", "Silent"));
        advice.push(chrome.say(
            "请打电话问一问：平板还在吗，有没有网络？里面可能有还没送到的记录。确认丢失后再停用。",
            "Please call: is the tablet there, has it a network? It may hold records that have not arrived. Revoke it only when it is lost.",
        ));
    }
    if row.is_copied {
        marks.push(badge("warn", "被复制", "Copied"));
        advice.push(chrome.say(
            "有两份同样的数据以它的名义写过。内容都已合并，没有丢。两台都在用的话，请给其中一台重新登记。",
            "Two copies of its data wrote in its name. Both are merged, nothing is lost. If both are in use, enrol one of them anew.",
        ));
    }
    match row.standing {
        DeviceStanding::NotConfirmed => advice.push(chrome.say(
            "服务器恢复过备份。确认是本单位的平板之后，请在服务器上运行 qianmo-server confirm。",
            "The hub was restored from a backup. Once you know the tablet is yours, run qianmo-server confirm on the hub.",
        )),
        DeviceStanding::Refused => advice.push(chrome.say(
            "有两把密钥用同一个设备编号。请给它重新登记。",
            "Two keys claim its id. Please enrol it anew.",
        )),
        DeviceStanding::Active | DeviceStanding::Revoked => {}
    }
    if row.about.as_ref().is_some_and(|about| about.clock_ahead_ms().saturating_abs() >= CLOCK_MINUTES_MAX * 60_000) {
        marks.push(badge("warn", "时钟不准", "Clock is off"));
        advice.push(chrome.say(
            "平板的时间不对。记录照样有效；请在平板的设置里校正时间。",
            "The tablet’s time is wrong. Its records count all the same; please set its clock.",
        ));
    }
    if row.about.as_ref().and_then(|about| about.about.free_bytes).is_some_and(|free| free < FREE_BYTES_LOW) {
        marks.push(badge("warn", "空间不足", "Little space"));
        advice.push(chrome.say(
            "平板快没有空间了，可能写不下新记录。请清理其他应用和照片。",
            "The tablet is nearly full and may not be able to keep new records. Please remove other apps and photos.",
        ));
    }
    let contact = row.last_contact.map(|contact| contact.0);
    Tablet {
        short: short(&row.device),
        label: row.label.clone().unwrap_or_else(|| chrome.say("（没有名称）", "(no label)").to_owned()),
        people: people(names, &row.persons),
        place: place(names, row.station.as_ref()),
        marks,
        contact: contact.map_or_else(|| chrome.say("还没有来过", "never yet").to_owned(), minute),
        ago: match contact {
            _ if row.is_connected => chrome.say("正在连接", "connected now").to_owned(),
            Some(contact) => ago(contact, now, chrome.lang),
            None => String::new(),
        },
        enrolled: row.enrolled.map(|time| minute(time.0)).unwrap_or_default(),
        is_silent,
        said: row.about.as_ref().map(|about| said(about, chrome)).unwrap_or_default(),
        said_at: row.about.as_ref().map(|about| minute(about.at.0)).unwrap_or_default(),
        advice,
        revoke: (may_act && row.standing != DeviceStanding::Revoked)
            .then(|| chrome.at(&format!("/fleet/devices/{}/revoke", row.device))),
    }
}

/// What a tablet said of itself when it was last here.
fn said(row: &AboutRow, chrome: &Chrome) -> Vec<(&'static str, String)> {
    let lang = chrome.lang;
    let about = &row.about;
    let unsent = match (row.unsent(), lang) {
        (0, _) => chrome.say("全部送到了", "all of it arrived").to_owned(),
        (count, Lang::Zh) => format!("{count} 条记录"),
        (1, Lang::En) => "1 record".to_owned(),
        (count, Lang::En) => format!("{count} records"),
    };
    let mut said = vec![(chrome.say("待上传", "Not yet sent"), unsent)];
    if let Some(oldest) = about.oldest.filter(|_| row.unsent() > 0) {
        said.push((chrome.say("其中最早一条建于", "The oldest of it begun"), minute(oldest.0)));
    }
    said.push((chrome.say("程序", "Program"), about.program.clone()));
    said.push((chrome.say("平板的时钟", "Its clock"), clock(row.clock_ahead_ms(), lang)));
    if let Some(free) = about.free_bytes {
        let tenths = free.div_euclid(GIGABYTE / 10);
        let text = format!("{}.{} GB", tenths.div_euclid(10), tenths.rem_euclid(10));
        said.push((chrome.say("剩余空间", "Free space"), text));
    }
    said
}

/// How far a clock is off, to the minute; a network's delay is less.
fn clock(ahead_ms: i64, lang: Lang) -> String {
    let minutes = ahead_ms.saturating_abs().div_euclid(60_000);
    if minutes < CLOCK_MINUTES_MAX {
        return say(lang, "准", "right").to_owned();
    }
    let (hours, days) = (minutes.div_euclid(60), minutes.div_euclid(24 * 60));
    let (count, unit) = if days > 0 {
        (days, say(lang, "天", "d"))
    } else if hours > 0 {
        (hours, say(lang, "小时", "h"))
    } else {
        (minutes, say(lang, "分钟", "min"))
    };
    match (lang, ahead_ms > 0) {
        (Lang::Zh, true) => format!("快 {count} {unit}"),
        (Lang::Zh, false) => format!("慢 {count} {unit}"),
        (Lang::En, true) => format!("{count} {unit} ahead"),
        (Lang::En, false) => format!("{count} {unit} behind"),
    }
}

#[derive(Template)]
#[template(path = "fleet.html")]
struct FleetPage {
    chrome: Chrome,
    may_act: bool,
    is_admin: bool,
    silent_days: i64,
    silent: usize,
    held: usize,
    tablets: Vec<Tablet>,
    done: Option<&'static str>,
}

async fn fleet_page(State(state): State<WebState>, headers: HeaderMap, uri: Uri) -> Result<Response, Refusal> {
    let asked = Asked::only(&uri, &["lang", "done"])?;
    let lang = asked.lang()?;
    let signed = state.visitor(&headers).await?;
    if !signed.may_review() {
        return Err(Refusal::NotAllowed);
    }
    let read = state.tell(|core, now| Ok::<_, HubError>((core.devices()?, core.held()?, now))).await?;
    let (rows, held, now) = read.map_err(|error| unreadable(&error))?;
    let names = state.names().await?;
    let chrome = Chrome::new(&state, lang, "/fleet").of(&signed, &names);
    let may_act = signed.may_keep_fleet();
    let mut rows: Vec<DeviceRow> =
        rows.into_iter().filter(|row| !row.is_hub && sees(&signed, row.station.as_ref())).collect();
    rows.sort_by_key(|row| {
        let rank = rank(row, now.0);
        // Silent ones: the longest first. The others: who was here last.
        let order = if rank == Rank::Silent { heard(row) } else { heard(row).saturating_neg() };
        (rank, order, row.device)
    });
    let done = asked.text("done").map(|done| match done {
        "revoked" => {
            chrome.say("设备已停用。停用前送到的内容都还在。", "The device is revoked. All that had arrived stays.")
        }
        _ => chrome.say("已完成。", "Done."),
    });
    rendered(&FleetPage {
        may_act,
        is_admin: signed.is_admin(),
        silent_days: SILENT_DAYS,
        silent: rows.iter().filter(|row| is_silent(row, now.0)).count(),
        held: held.iter().filter(|row| held::sees(&signed, row)).count(),
        tablets: rows.iter().map(|row| tablet(row, now.0, &names, &chrome, may_act)).collect(),
        done,
        chrome,
    })
}

/// Whether somebody sees what belongs to a station; what belongs to none is the district's.
fn sees(signed: &Signed, station: Option<&StationCode>) -> bool {
    match station {
        Some(_) => signed.may_decide(station),
        None => signed.may_keep_fleet(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_passed_is_told_in_its_largest_unit() {
        for (ms, zh, en) in [
            (0, "刚刚", "just now"),
            (-5, "刚刚", "just now"),
            (61_000, "1分钟前", "1 minute ago"),
            (7_200_000, "2小时前", "2 hours ago"),
            (3 * DAY_MS, "3天前", "3 days ago"),
            (DAY_MS, "1天前", "1 day ago"),
        ] {
            assert_eq!(ago(1_000, 1_000 + ms, Lang::Zh), zh);
            assert_eq!(ago(1_000, 1_000 + ms, Lang::En), en);
        }
    }
}
