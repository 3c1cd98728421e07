//! What administrators did, newest first: a plain list from the control log.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use qianmo_forms::{Lang, ReferenceKind};
use qianmo_protocol::control::{Role, Scope};
use qianmo_protocol::ids::EntryHash;

use super::{called, people, place, unreadable};
use crate::hub::{ActRow, ActWhat};
use crate::pages::codes::{erase_reason, revoke_reason, why};
use crate::pages::{Chrome, rendered, say, short};
use crate::projection::Names;
use crate::web::{Asked, Refusal, WebState, minute};

/// One act as the page shows it.
struct Act {
    time: String,
    who: String,
    what: String,
}

#[derive(Template)]
#[template(path = "fleet_acts.html")]
struct ActsPage {
    chrome: Chrome,
    acts: Vec<Act>,
    first: Option<String>,
    next: Option<String>,
}

pub(super) fn role(role: Role, lang: Lang) -> &'static str {
    match role {
        Role::Technician => say(lang, "技术员", "technician"),
        Role::Expert => say(lang, "专家", "expert"),
        Role::Coordinator => say(lang, "协调员", "coordinator"),
        Role::Viewer => say(lang, "查看者", "viewer"),
        Role::Admin => say(lang, "管理员", "administrator"),
    }
}

fn scope(scope: &Scope, names: &Names, lang: Lang) -> String {
    match scope {
        Scope::District => say(lang, "全区", "the district").to_owned(),
        Scope::Stations(stations) => {
            stations.iter().map(|station| place(names, Some(station))).collect::<Vec<_>>().join(" · ")
        }
    }
}

/// An act in words.
fn told(what: &ActWhat, names: &Names, lang: Lang) -> String {
    let person = |code: &str| called(names, ReferenceKind::Person, code);
    let pair = |zh: String, en: String| match lang {
        Lang::Zh => zh,
        Lang::En => en,
    };
    match what {
        ActWhat::HubNamed => pair("签发了服务器的密钥".into(), "named the hub’s keys".into()),
        ActWhat::EpochBegun => {
            pair("服务器开始了新的一期（建立或恢复）".into(), "began an epoch: the hub was made or restored".into())
        }
        ActWhat::Enrolled { device, persons, station } => {
            let (device, people, place) = (short(device), people(names, persons), place(names, Some(station)));
            pair(
                format!("登记了设备 {device}：{people}，{place}"),
                format!("enrolled device {device}: {people}, {place}"),
            )
        }
        ActWhat::AtDesk { persons } => {
            let people = people(names, persons);
            pair(format!("{people} 可以在网页上办公"), format!("{people} may work in these pages"))
        }
        ActWhat::Confirmed { device } => {
            pair(format!("确认了设备 {}", short(device)), format!("confirmed device {}", short(device)))
        }
        ActWhat::AdoptionComplete => pair("确认恢复已完成".into(), "said that the restore is complete".into()),
        ActWhat::Granted { person: code, role: granted, scope: place } => {
            let (who, place) = (person(code.as_str()), scope(place, names, lang));
            let role = role(*granted, lang);
            pair(format!("授权 {who}：{role}，{place}"), format!("gave {who} the role {role}, {place}"))
        }
        ActWhat::Withdrawn { grant: Some((code, withdrawn)) } => {
            let (who, role) = (person(code.as_str()), role(*withdrawn, lang));
            pair(format!("收回了 {who} 的权限：{role}"), format!("withdrew from {who} the role {role}"))
        }
        ActWhat::Withdrawn { grant: None } => pair("收回了一项权限".into(), "withdrew a right".into()),
        ActWhat::Revoked { device, reason } => {
            let (device, reason) = (short(device), revoke_reason(*reason, lang));
            pair(format!("停用了设备 {device}：{reason}"), format!("revoked device {device}: {reason}"))
        }
        ActWhat::Form { form, version } => {
            pair(format!("发布了表单 {form} 第 {version} 版"), format!("published form {form}, version {version}"))
        }
        ActWhat::MinimumVersion { version } => {
            pair(format!("要求程序至少为第 {version} 版"), format!("required programs of version {version} or later"))
        }
        ActWhat::MinimumVersionEnded => pair("取消了版本要求".into(), "lifted the required version".into()),
        ActWhat::Erased { reason } => {
            let reason = erase_reason(*reason, lang);
            pair(format!("永久删除了一份内容：{reason}"), format!("erased something for good: {reason}"))
        }
        ActWhat::Released { code, doc } => {
            let why = code.map(|code| why(code, lang)).unwrap_or_default();
            let doc = doc.map(|doc| doc.to_string().chars().take(8).collect::<String>()).unwrap_or_default();
            pair(format!("放行了被隔离的内容 {doc}：{why}"), format!("released what was held, {doc}: {why}"))
        }
    }
}

fn act(row: &ActRow, names: &Names, lang: Lang) -> Act {
    let who = match &row.by {
        Some(person) => called(names, ReferenceKind::Person, person.as_str()),
        None => say(lang, "服务器（命令或自动）", "the hub: a command, or by itself").to_owned(),
    };
    Act { time: minute(row.time.0), who, what: told(&row.what, names, lang) }
}

pub(super) async fn acts_page(
    State(state): State<WebState>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Refusal> {
    let asked = Asked::only(&uri, &["lang", "cursor"])?;
    let lang = asked.lang()?;
    let signed = state.visitor(&headers).await?;
    if !signed.is_admin() {
        return Err(Refusal::NotAllowed);
    }
    let after = asked.cursor(EntryHash::from_hex)?;
    let read = state.ask(move |core| core.acts(after.as_ref())).await?;
    let (rows, has_more) = read.map_err(|error| unreadable(&error))?;
    let names = state.names().await?;
    let here = after.map_or_else(|| "/fleet/acts".to_owned(), |after| format!("/fleet/acts?cursor={after}"));
    let chrome = Chrome::new(&state, lang, &here).of(&signed, &names);
    let last = rows.last().map(|row| row.entry).filter(|_| has_more);
    rendered(&ActsPage {
        acts: rows.iter().map(|row| act(row, &names, lang)).collect(),
        first: after.map(|_| chrome.at("/fleet/acts")),
        next: last.map(|last| chrome.at(&format!("/fleet/acts?cursor={last}"))),
        chrome,
    })
}
