//! The tablets' pages: who sees them, who acts, and what an act leaves behind.

use qianmo_protocol::control::{Decision, Grant, Role as GrantRole, Scope};
use qianmo_protocol::handshake::{EnrolAsk, Ticket};
use qianmo_protocol::ids::{Code, DeviceId};
use qianmo_protocol::session::message::{About, Bye, ByeReason, Hello, Message};
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::vector::Selection;
use qianmo_server::hub::{Command, SessionId};
use qianmo_server::registry::DeviceStanding;

use crate::office::{Office, file, visit};
use crate::signed::{Browser, give_account};
use crate::world::{NOW, World, june, new_key, station};

const DISTRICT: &str = "C01";
const LOCAL: &str = "C07";
const TECHNICIAN: &str = "P01";
const ADMIN: &str = "ADMIN";
const DAY_MS: i64 = 86_400_000;

/// Grants a right and gives an account.
pub(crate) fn employ(world: &mut World, person: &str, role: GrantRole, scope: Scope) {
    let grant = Grant { person: Code::new(person).unwrap(), role, scope };
    let now = world.now();
    world.core.decide(now, vec![Decision::Grant(grant)]).unwrap();
    give_account(world, person, false);
}

fn staffed(seed: u64) -> World {
    let mut world = World::new(seed);
    employ(&mut world, DISTRICT, GrantRole::Coordinator, Scope::District);
    employ(&mut world, LOCAL, GrantRole::Coordinator, Scope::Stations([Code::new("ST99").unwrap()].into()));
    employ(&mut world, TECHNICIAN, GrantRole::Technician, Scope::Stations([station()].into()));
    give_account(&mut world, ADMIN, false);
    world
}

async fn standing(office: &Office, device: DeviceId) -> DeviceStanding {
    let read = office.hub.run(move |core, _| core.devices().unwrap()).await.unwrap();
    read.into_iter().find(|row| row.device == device).unwrap().standing
}

fn device_of(world: &World, person: &str) -> DeviceId {
    let rows = world.core.devices().unwrap();
    let is_theirs = |persons: &[Code]| persons.iter().any(|code| code.as_str() == person);
    rows.into_iter().find(|row| !row.is_hub && is_theirs(&row.persons)).unwrap().device
}

#[tokio::test(flavor = "multi_thread")]
async fn fleet_is_seen_by_whoever_looks_after_the_station_and_by_nobody_else() {
    let mut world = staffed(401);
    let mut tablet = world.enrol(TECHNICIAN, GrantRole::Technician);
    world.meet(&mut tablet);
    let office = Office::open(world).await;
    let stranger = office.get("/fleet").await;
    assert_eq!(stranger.status, 303);
    assert!(stranger.header("location").unwrap().starts_with("/sign-in?next=%2Ffleet"));
    assert!(!office.get("/").await.body.contains("href=\"/fleet\""));

    let technician = Browser::signed_in(&office, TECHNICIAN).await;
    let refused = technician.get("/fleet").await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("没有权限") && refused.body.contains("You may not do this"));
    assert!(!technician.get("/").await.body.contains("href=\"/fleet\""));

    let district = Browser::signed_in(&office, DISTRICT).await;
    let page = district.get("/fleet").await.body;
    for text in ["平板", "P01", "ST01", "可用", "登记新平板", "停用…", "被隔离的内容", "aria-current=\"page\">设备"]
    {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(!page.contains("管理操作记录") && !page.contains("失联"));
    assert_eq!(district.get("/fleet/acts").await.status, 403);

    let local = Browser::signed_in(&office, LOCAL).await;
    let page = local.get("/fleet").await.body;
    assert!(page.contains("还没有平板") && !page.contains("P01") && !page.contains("停用…"));
    for path in ["/fleet/enrol", "/fleet/acts"] {
        assert_eq!(local.get(path).await.status, 403, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tablet_without_a_contact_for_three_days_stands_first_with_an_alarm() {
    let mut world = staffed(402);
    let mut quiet = world.enrol("P02", GrantRole::Technician);
    world.meet(&mut quiet);
    world.clock += 3 * DAY_MS;
    let mut busy = world.enrol("P03", GrantRole::Technician);
    world.meet(&mut busy);
    let now = world.clock;
    let office = Office::open_at(world, UnixMillis(now)).await;
    let district = Browser::signed_in(&office, DISTRICT).await;
    let page = district.get("/fleet").await.body;
    assert!(page.contains("1 台平板失联") && page.contains("role=\"alert\""));
    let (silent, well) = (page.find("P02").unwrap(), page.find("P03").unwrap());
    assert!(silent < well, "the silent one stands first");
    assert_eq!(page.matches("badge bad\">失联").count(), 1);
    assert!(page.contains("3天前") && page.contains("请打电话问一问"));
    let english = district.get("/fleet?lang=en").await.body;
    assert!(english.contains("1 silent") && english.contains("3 days ago"));
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_fleet_says_how_to_enrol() {
    let office = Office::open(staffed(403)).await;
    let district = Browser::signed_in(&office, DISTRICT).await;
    let page = district.get("/fleet").await.body;
    assert!(page.contains("还没有平板") && page.contains("/fleet/enrol") && page.contains("qianmo-server enroll"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ticket_made_on_the_page_enrols_a_tablet_under_its_label_and_names_who_made_it() {
    let mut world = staffed(404);
    let key = new_key(&mut world.rng);
    let office = Office::open(world).await;
    let mut district = Browser::signed_in(&office, DISTRICT).await;
    let csrf = district.csrf.clone();
    let order = |label: &'static str, person: &'static str| {
        vec![("station", "st01"), ("person", person), ("role", "technician"), ("label", label), ("hours", "8")]
    };
    let mut fields = order("东山<平板>", "p05");
    assert_eq!(district.post("/fleet/enrol", &fields).await.status, 403, "without the form's secret");
    fields.push(("csrf", &csrf));
    let page = district.post("/fleet/enrol", &fields).await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.head.contains("cache-control: no-store"));
    for text in ["<svg", "role=\"img\"", "东山&#60;平板&#62;", "2025-06-16 07:23", "hub.example.org:4433", "只能用一次"]
    {
        assert!(page.body.contains(text), "{text}");
    }
    assert!(!page.body.contains("style=") && !page.body.contains("<平板>"));
    let text = page.body.split("qianmo enroll ").nth(1).unwrap().split('<').next().unwrap();
    let ticket: Ticket = text.parse().unwrap();
    let ask = EnrolAsk {
        token: ticket.token,
        device_key: key.verifying_key().to_bytes(),
        label: Some("它自己的名字".to_owned()),
        replaces: None,
    };
    let enrolled = office.hub.run(move |core, now| core.enrol(now, &ask).unwrap()).await.unwrap().unwrap();
    let page = district.get("/fleet").await.body;
    assert!(page.contains("东山&#60;平板&#62;") && page.contains("P05") && !page.contains("它自己的名字"));

    let admin = Browser::signed_in(&office, ADMIN).await;
    let acts = admin.get("/fleet/acts").await.body;
    let short: String = enrolled.device.to_string().chars().take(8).collect();
    let row = acts.split("<tr>").find(|row| row.contains(&format!("登记了设备 {short}"))).unwrap();
    assert!(row.contains("P05") && row.contains("<td>C01</td>"), "{row}");

    let mut wrong = order("x", "王小明");
    wrong.push(("csrf", &csrf));
    let page = district.post("/fleet/enrol", &wrong).await;
    assert_eq!(page.status, 422);
    assert!(page.body.contains("不要写姓名") && page.body.contains("role=\"alert\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn ticket_is_refused_to_whoever_has_no_right_and_for_an_administrators_person() {
    let office = Office::open(staffed(405)).await;
    let fields = |person: &'static str, csrf: &str| {
        let text = |text: &str| text.to_owned();
        vec![
            ("station", text("ST01")),
            ("person", text(person)),
            ("role", text("technician")),
            ("hours", text("1")),
            ("csrf", text(csrf)),
        ]
    };
    for (login, person, status) in [
        (TECHNICIAN, "P09", 403),
        (LOCAL, "P09", 403),
        (DISTRICT, ADMIN, 403),
        (ADMIN, ADMIN, 200),
        (DISTRICT, "P09", 200),
    ] {
        let mut browser = Browser::signed_in(&office, login).await;
        let fields = fields(person, &browser.csrf);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(browser.post("/fleet/enrol", &fields).await.status, status, "{login} {person}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_asks_first_says_what_stays_and_stands_in_the_list_of_acts() {
    let mut world = staffed(406);
    let mut tablet = world.enrol(TECHNICIAN, GrantRole::Technician);
    let record = file(&mut world, &mut tablet, &june(), &visit(9, "peach", "停用之前写好并且送到的。", ""));
    world.meet(&mut tablet);
    let device = device_of(&world, TECHNICIAN);
    let office = Office::open(world).await;
    let path = format!("/fleet/devices/{device}/revoke");
    let mut local = Browser::signed_in(&office, LOCAL).await;
    assert_eq!(local.get(&path).await.status, 403);
    let csrf = local.csrf.clone();
    assert_eq!(local.post(&path, &[("csrf", &csrf), ("reason", "2")]).await.status, 403);
    let mut district = Browser::signed_in(&office, DISTRICT).await;
    let question = district.get(&path).await;
    assert_eq!(question.status, 200);
    for text in ["已经送到的内容都保留", "先被隔离", "不能撤销", "丢失"] {
        assert!(question.body.contains(text), "{text}");
    }
    assert_eq!(standing(&office, device).await, DeviceStanding::Active, "looking changes nothing");
    let csrf = district.csrf.clone();
    assert_eq!(district.post(&path, &[("csrf", "x"), ("reason", "2")]).await.status, 403);
    assert_eq!(district.post(&path, &[("csrf", &csrf), ("reason", "77")]).await.status, 400);
    assert_eq!(district.post_from(&path, &[("csrf", &csrf), ("reason", "2")], "http://evil.example").await.status, 403);
    assert_eq!(standing(&office, device).await, DeviceStanding::Active);
    let done = district.post(&path, &[("csrf", &csrf), ("reason", "2")]).await;
    assert_eq!((done.status, done.header("location")), (303, Some("/fleet?done=revoked")));
    assert_eq!(standing(&office, device).await, DeviceStanding::Revoked);
    let page = district.get("/fleet?done=revoked").await.body;
    assert!(page.contains("已停用") && page.contains("设备已停用") && !page.contains(&path));
    assert_eq!(district.get(&format!("/records/{record}")).await.status, 200, "what it wrote before stays");

    let admin = Browser::signed_in(&office, ADMIN).await;
    let acts = admin.get("/fleet/acts?lang=en").await.body;
    let newest = acts.split("<tr>").nth(2).unwrap();
    assert!(
        newest.contains("revoked device") && newest.contains("lost") && newest.contains("<td>C01</td>"),
        "{newest}"
    );
    assert!(acts.contains("the hub: a command, or by itself"));
    let own = format!("/fleet/devices/{}/revoke", "00".repeat(8));
    assert_eq!(district.get(&own).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn held_change_is_told_in_words_and_released_by_the_district_alone() {
    let mut world = staffed(407);
    let mut tablet = world.enrol("P20", GrantRole::Technician);
    let other = qianmo_protocol::ids::LogbookName::StationMonth(
        Code::new("ST02").unwrap(),
        qianmo_protocol::time::Month::new(2025, 6).unwrap(),
    );
    let record = world.file_in(&mut tablet, &other, "给别的站写的");
    world.meet(&mut tablet);
    let held = world.core.held().unwrap();
    assert!(!held.is_empty());
    let id = held.iter().find(|row| row.doc == Some(record)).unwrap().id.clone();
    let office = Office::open(world).await;
    let path = format!("/fleet/held/{id}");
    let mut technician = Browser::signed_in(&office, TECHNICIAN).await;
    let csrf = technician.csrf.clone();
    assert_eq!(technician.get("/fleet/held").await.status, 403);
    assert_eq!(technician.post(&path, &[("csrf", &csrf)]).await.status, 403);
    let local = Browser::signed_in(&office, LOCAL).await;
    assert!(local.get("/fleet/held").await.body.contains("没有被隔离的内容"), "another station's");
    let mut district = Browser::signed_in(&office, DISTRICT).await;
    let page = district.get("/fleet/held").await.body;
    assert!(page.contains("署名的人没有这个工作站的权限") && page.contains("P20") && page.contains(&path), "{page}");
    assert!(district.get(&path).await.body.contains("放行这处改动？"));
    let csrf = district.csrf.clone();
    let done = district.post(&path, &[("csrf", &csrf)]).await;
    assert_eq!(done.status, 303, "{}", done.body);
    assert_eq!(office.get(&format!("/records/{record}")).await.status, 200);
    assert_eq!(district.post(&path, &[("csrf", &csrf)]).await.status, 409, "it is released already");
    let admin = Browser::signed_in(&office, ADMIN).await;
    let acts = admin.get("/fleet/acts").await.body;
    assert!(acts.split("<tr>").any(|row| row.contains("放行了被隔离的内容") && row.contains("<td>C01</td>")), "{acts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn acts_are_paged_newest_first_and_none_is_missed() {
    let mut world = staffed(408);
    for number in 0..70 {
        let scope = Scope::Stations([station()].into());
        let grant = Grant { person: Code::new(&format!("X{number:03}")).unwrap(), role: GrantRole::Viewer, scope };
        let now = world.now();
        world.core.decide(now, vec![Decision::Grant(grant)]).unwrap();
    }
    let office = Office::open(world).await;
    let admin = Browser::signed_in(&office, ADMIN).await;
    let first = admin.get("/fleet/acts").await.body;
    assert!(first.contains("X069") && first.contains("X020") && !first.contains("X019"));
    assert!(first.find("X069").unwrap() < first.find("X068").unwrap());
    let next = first.split("<a ").find(|tag| tag.contains("rel=\"next\"")).unwrap();
    let next = next.split("href=\"").nth(1).unwrap().split('"').next().unwrap();
    let second = admin.get(next).await.body;
    assert!(second.contains("X019") && second.contains("X000") && !second.contains("rel=\"next\""));
    assert_eq!(admin.get("/fleet/acts?cursor=zz").await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn fleet_pages_speak_one_language_each() {
    let mut world = staffed(409);
    let mut tablet = world.enrol(TECHNICIAN, GrantRole::Technician);
    world.meet(&mut tablet);
    let device = device_of(&world, TECHNICIAN);
    world.clock = NOW;
    let office = Office::open(world).await;
    let admin = Browser::signed_in(&office, ADMIN).await;
    for path in ["/fleet", "/fleet/enrol", "/fleet/held", "/fleet/acts", &format!("/fleet/devices/{device}/revoke")] {
        let page = admin.get(&format!("{path}?lang=en")).await.body;
        // The organisation, the product, the other language's name and what a person called the tablet are as they are.
        let main = page.split("<main").nth(1).unwrap().split("</main>").next().unwrap().replace("平板", "");
        let han: String = main.chars().filter(|letter| ('\u{4e00}'..='\u{9fff}').contains(letter)).collect();
        assert_eq!(han, "", "{path}");
        let page = admin.get(path).await.body;
        let main = page.split("<main").nth(1).unwrap().split("</main>").next().unwrap();
        for word in ["Devices", "Person<", "Station<", "Revoke", "Enrol", "held<", "device "] {
            assert!(!main.contains(word), "{path}: {word}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tablet_says_of_itself_is_shown_until_it_says_otherwise_and_lasts_through_a_restart() {
    let mut world = staffed(410);
    let tablet = world.enrol(TECHNICIAN, GrantRole::Technician);
    let device = device_of(&world, TECHNICIAN);
    let about = |unsent| About {
        program: "qianmo <b>9.9</b>".to_owned(),
        clock: UnixMillis(NOW - 2 * 3_600_000),
        unsent,
        oldest: Some(UnixMillis(NOW - 5 * DAY_MS)),
        free_bytes: Some(300_000_000),
    };
    let open = |world: &mut World, session: u64, unsent| {
        let hello = Message::Hello(Hello {
            versions: (1, 1),
            control_heads: world.core.replica().control().heads().iter().copied().collect(),
            epoch: None,
            selection: Selection { months: None, ..Selection::everything() },
            rest_digest: [0; 32],
            vectors: Vec::new(),
            follow: 0,
            about: Some(about(unsent)),
        });
        let session = SessionId(session);
        let device_key = tablet.key.verifying_key().to_bytes();
        let now = world.now();
        let commands =
            vec![Command::Open { session, device, device_key }, Command::Message { session, message: Box::new(hello) }];
        world.core.handle(now, commands).unwrap();
    };
    open(&mut world, 900, 7);
    world.restart().unwrap();
    let row = world.core.devices().unwrap().into_iter().find(|row| row.device == device).unwrap();
    assert_eq!(row.about.unwrap().unsent(), 7);
    open(&mut world, 901, 2);
    let bye = Message::Bye(Bye { reason: ByeReason::Later, retry_after_ms: None });
    let now = world.now();
    let left = Command::Message { session: SessionId(901), message: Box::new(bye) };
    world.core.handle(now, vec![left]).unwrap();
    let mut image = World::new(411);
    core::mem::swap(&mut image, &mut world);
    let office = Office::open(image).await;
    let district = Browser::signed_in(&office, DISTRICT).await;
    let page = district.get("/fleet").await.body;
    for text in [
        "2 条记录",
        "2025-06-10",
        "qianmo &#60;b&#62;9.9",
        "慢 2 小时",
        "0.3 GB",
        "时钟不准",
        "空间不足",
        "以上是平板自己说的",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(!page.contains("<b>9.9"));
    let done = office.hub.run(move |core, _| core.devices().unwrap()).await.unwrap();
    assert!(!done.into_iter().find(|row| row.device == device).unwrap().about.unwrap().has_ended_well);
    let english = district.get("/fleet?lang=en").await.body;
    assert!(english.contains("2 records") && english.contains("2 h behind"));
}

#[test]
fn tablet_whose_session_came_to_its_end_has_nothing_left_to_send() {
    let mut world = World::new(412);
    let mut tablet = world.enrol(TECHNICIAN, GrantRole::Technician);
    let device = device_of(&world, TECHNICIAN);
    file(&mut world, &mut tablet, &june(), &visit(9, "peach", "还在路上的一条。", ""));
    tablet.about =
        Some(About { program: "qianmo".to_owned(), clock: UnixMillis(NOW), unsent: 1, oldest: None, free_bytes: None });
    world.meet(&mut tablet);
    let row = world.core.devices().unwrap().into_iter().find(|row| row.device == device).unwrap();
    let about = row.about.unwrap();
    assert!(about.has_ended_well);
    assert_eq!((about.about.unsent, about.unsent()), (1, 0));
}
