//! A new tablet: a form, then its ticket as text and as a code to scan, shown once.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use qrcode::{Color, EcLevel, QrCode};

use qianmo_forms::{Lang, ReferenceKind};
use qianmo_protocol::control::{Role, Scope};
use qianmo_protocol::handshake::enrol::NAME_BYTES_MAX;
use qianmo_protocol::ids::{Code, PersonCode};

use super::{acts, called, unreadable};
use crate::hub::HubCore;
use crate::pages::account::page_with;
use crate::pages::form::Fields;
use crate::pages::{Chrome, html, rendered, say};
use crate::projection::Names;
use crate::registry::{IssueError, TicketGrant, TicketNote, TicketOrder};
use crate::web::{Asked, Refusal, Signed, WebState, minute};

/// What a tablet's person can be in these pages, with the word in the form. Wider rights are given by a command.
const ROLES: [(&str, Role); 3] =
    [("technician", Role::Technician), ("expert", Role::Expert), ("coordinator", Role::Coordinator)];
/// How long a ticket can be good.
const HOURS: [u32; 3] = [1, 8, 24];
/// Modules of light around the code (ISO/IEC 18004 asks for four).
const QUIET: usize = 4;

/// What was typed.
#[derive(Debug, Default)]
struct Typed {
    station: String,
    person: String,
    role: String,
    label: String,
    hours: String,
}

/// A choice of the form.
struct Choice {
    value: String,
    text: String,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "fleet_enrol.html")]
struct EnrolPage {
    chrome: Chrome,
    action: String,
    typed: Typed,
    /// Codes to choose from, with what they are called.
    stations: Vec<(String, String)>,
    people: Vec<(String, String)>,
    roles: Vec<Choice>,
    hours: Vec<Choice>,
    is_reachable: bool,
    problem: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "fleet_ticket.html")]
struct TicketPage {
    chrome: Chrome,
    ticket: String,
    until: String,
    hours: u32,
    who: String,
    label: String,
    addresses: String,
    code: Option<Drawn>,
    /// What of it no directory has: typed wrongly, or not written down yet.
    unknown: Vec<String>,
}

/// A code as one path of a drawing.
struct Drawn {
    side: usize,
    path: String,
}

/// Draws a text; `None` when it is too long for a code.
fn draw(text: &str) -> Option<Drawn> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let width = code.width();
    let mut path = String::new();
    for (at, _) in code.to_colors().iter().enumerate().filter(|(_, color)| **color == Color::Dark) {
        let (x, y) = (at.checked_rem(width)?.saturating_add(QUIET), at.checked_div(width)?.saturating_add(QUIET));
        write!(path, "M{x} {y}h1v1h-1z").ok()?;
    }
    Some(Drawn { side: width.saturating_add(2 * QUIET), path })
}

fn page(
    state: &WebState,
    lang: Lang,
    signed: &Signed,
    names: &Names,
    typed: Typed,
    problem: Option<&'static str>,
) -> EnrolPage {
    let chrome = Chrome::new(state, lang, "/fleet/enrol").of(signed, names);
    let list = |kind| names.all(kind).map(|(code, name)| (code.to_owned(), name.to_owned())).collect();
    let hours = |hours: &u32| Choice {
        value: hours.to_string(),
        text: match lang {
            Lang::Zh => format!("{hours} 小时"),
            Lang::En if *hours == 1 => "1 hour".to_owned(),
            Lang::En => format!("{hours} hours"),
        },
        is_chosen: typed.hours == hours.to_string(),
    };
    EnrolPage {
        action: chrome.at("/fleet/enrol"),
        stations: list(ReferenceKind::Station),
        people: list(ReferenceKind::Person),
        roles: ROLES
            .iter()
            .map(|(word, role)| Choice {
                value: (*word).to_owned(),
                text: acts::role(*role, lang).to_owned(),
                is_chosen: typed.role == *word,
            })
            .collect(),
        hours: HOURS.iter().map(hours).collect(),
        is_reachable: !state.addresses().is_empty(),
        typed,
        problem,
        chrome,
    }
}

pub(super) async fn form_page(
    State(state): State<WebState>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Refusal> {
    let lang = Asked::only(&uri, &["lang"])?.lang()?;
    let signed = state.visitor(&headers).await?;
    if !signed.may_keep_fleet() {
        return Err(Refusal::NotAllowed);
    }
    let names = state.names().await?;
    let typed = Typed { hours: "8".to_owned(), role: "technician".to_owned(), ..Typed::default() };
    rendered(&page(&state, lang, &signed, &names, typed, None))
}

/// A ticket for what was typed; `Err` is what is wrong with it.
fn ordered(state: &WebState, typed: &Typed, lang: Lang) -> Result<(TicketOrder, PersonCode), &'static str> {
    let station = Code::new(&typed.station)
        .map_err(|_| say(lang, "工作站要写编号，例如 ST01。", "The station is a code, such as ST01."))?;
    let person = Code::new(&typed.person).map_err(|_| {
        say(lang, "使用人要写编号，例如 P02，不要写姓名。", "The person is a code, such as P02, never a name.")
    })?;
    let role = ROLES.iter().find(|(word, _)| *word == typed.role).map(|(_, role)| *role);
    let role = role.ok_or_else(|| say(lang, "请选择角色。", "Please choose a role."))?;
    let hours = HOURS.iter().find(|hours| typed.hours == hours.to_string()).copied();
    let hours = hours.ok_or_else(|| say(lang, "请选择有效时间。", "Please choose how long the ticket is good."))?;
    if typed.label.len() > NAME_BYTES_MAX || typed.label.contains(char::is_control) {
        return Err(say(lang, "名称太长，最多 20 个字。", "The label is too long: at most 60 letters."));
    }
    let grant = TicketGrant { role, scope: Scope::Stations([station.clone()].into()) };
    let persons = BTreeSet::from([person.clone()]);
    let addresses = state.addresses().to_vec();
    Ok((TicketOrder { station, persons, grant: Some(grant), replaces: None, hours, addresses }, person))
}

/// Whether a person has wider rights than these pages give: their tablets are an administrator's affair.
fn is_administrator(core: &HubCore, person: &PersonCode) -> bool {
    core.grants_now(person).any(|grant| grant.role == Role::Admin)
}

pub(super) async fn enrol(
    State(state): State<WebState>,
    headers: HeaderMap,
    uri: Uri,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let lang = Asked::only(&uri, &["lang"])?.lang()?;
    let fields = Fields::read(pairs, &["csrf", "station", "person", "role", "label", "hours"])?;
    let signed = state.keeper(&headers, fields.text("csrf")).await?;
    let text = |name: &str| fields.text(name).trim().to_owned();
    let typed = Typed {
        station: text("station").to_uppercase(),
        person: text("person").to_uppercase(),
        role: text("role"),
        label: text("label"),
        hours: text("hours"),
    };
    let names = state.names().await?;
    let (order, person) = match ordered(&state, &typed, lang) {
        Ok(ordered) => ordered,
        Err(problem) => return again(&state, lang, &signed, &names, typed, problem),
    };
    let note = TicketNote {
        label: Some(typed.label.clone()).filter(|label| !label.is_empty()),
        by: Some(signed.person().clone()),
    };
    let (hours, is_admin, of) = (order.hours, signed.is_admin(), person.clone());
    let issued = state.tell(move |core, now| {
        // A tablet writes in its person's name: a coordinator cannot make one for an administrator.
        (is_admin || !is_administrator(core, &of)).then(|| core.issue_ticket_noted(now, &order, &note))
    });
    let ticket = match issued.await?.ok_or(Refusal::NotAllowed)? {
        Ok(ticket) => ticket,
        Err(IssueError::Hub(error)) => return Err(unreadable(&error)),
        Err(error) => {
            tracing::info!(%error, "no ticket was issued");
            return again(&state, lang, &signed, &names, typed, refusal(&error, lang));
        }
    };
    let text = ticket.to_string();
    let is_known = |kind, code: &str| names.of(kind, code).is_some();
    let unknown = [(ReferenceKind::Station, typed.station.as_str()), (ReferenceKind::Person, typed.person.as_str())];
    rendered(&TicketPage {
        chrome: Chrome::new(&state, lang, "/fleet/enrol").of(&signed, &names),
        code: draw(&text),
        ticket: text,
        until: minute(ticket.expires.0),
        hours,
        who: called(&names, ReferenceKind::Person, person.as_str()),
        unknown: unknown
            .into_iter()
            .filter(|(kind, code)| !is_known(*kind, code))
            .map(|(_, code)| code.to_owned())
            .collect(),
        label: typed.label,
        addresses: ticket.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    })
}

fn again(
    state: &WebState,
    lang: Lang,
    signed: &Signed,
    names: &Names,
    typed: Typed,
    problem: &'static str,
) -> Result<Response, Refusal> {
    let page = page(state, lang, signed, names, typed, Some(problem));
    Ok(page_with(StatusCode::UNPROCESSABLE_ENTITY, html(&page)?))
}

const fn refusal(error: &IssueError, lang: Lang) -> &'static str {
    match error {
        IssueError::Addresses { .. } => say(
            lang,
            "服务器还没有写明平板该连接的地址。请管理员在配置里写 quic.advertise，或用 serve --advertise 主机:端口。",
            "The hub does not say what tablets dial. Set quic.advertise, or serve --advertise HOST:PORT.",
        ),
        IssueError::Hours { .. }
        | IssueError::Persons { .. }
        | IssueError::NoGrant { .. }
        | IssueError::Label { .. }
        | IssueError::UnknownDevice { .. }
        | IssueError::Hub(_) => {
            say(lang, "没有开出票，请检查后再试。", "No ticket was issued; please check and try again.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_drawn_with_its_quiet_zone_and_a_text_too_long_is_not() {
        let drawn = draw("QM1-0123456789ABCDEFGHJKMNPQRSTVWXYZ").unwrap();
        assert!(drawn.side >= 21 + 2 * QUIET);
        assert!(drawn.path.starts_with("M4 4h1v1h-1z"), "the finder's first module stands after four of light");
        assert!(
            !drawn.path.contains("M3 ")
                && drawn.path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" -".contains(&byte))
        );
        assert!(draw(&"x".repeat(5_000)).is_none());
    }
}
