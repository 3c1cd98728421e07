//! Complaints and suggestions, help, and what is kept of people: open to everybody, in one language at a time.

use std::collections::BTreeSet;

use qianmo_forms::Lang;
use qianmo_forms::flags::Flag;
use qianmo_protocol::control::{Decision, Grant, Role as GrantRole, Scope};
use qianmo_protocol::ids::Code;
use qianmo_protocol::time::UnixMillis;
use qianmo_server::registry::{ComplaintError, ComplaintKind, ENTRIES_MAX, PER_DAY_MAX, PER_HOUR_MAX, TEXT_CHARS_MAX};

use crate::office::Office;
use crate::signed::{Browser, give_account};
use crate::world::{NOW, World, station};

const DISTRICT: &str = "C01";
const LOCAL: &str = "C07";
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

fn staffed(seed: u64) -> World {
    let mut world = World::new(seed);
    for (person, scope) in [(DISTRICT, Scope::District), (LOCAL, Scope::Stations([station()].into()))] {
        let grant = Grant { person: Code::new(person).unwrap(), role: GrantRole::Coordinator, scope };
        let now = world.now();
        world.core.decide(now, vec![Decision::Grant(grant)]).unwrap();
        give_account(&mut world, person, false);
    }
    world
}

/// What stands between the page's bar and its foot.
fn main_of(page: &str) -> &str {
    page.split("<main").nth(1).unwrap().split("</main>").next().unwrap()
}

fn code_of(page: &str) -> String {
    page.split("ticket-text\"><code>").nth(1).unwrap().split('<').next().unwrap().to_owned()
}

fn han(text: &str) -> String {
    text.chars().filter(|letter| ('\u{3400}'..='\u{9fff}').contains(letter)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn complaint_without_a_name_is_answered_and_its_code_finds_the_answer() {
    let office = Office::open(staffed(501)).await;
    let mut farmer = Browser::new(&office);
    let form = farmer.get("/complaints").await.body;
    assert!(form.contains("不用登录") && !form.contains("全部来信"));
    let text = "<script>alert('坏')</script> 技术员很好，\r\n但平板太慢。我的电话13812345678";
    let sent = farmer.post("/complaints", &[("kind", "suggestion"), ("text", text)]).await;
    assert_eq!(sent.status, 200, "{}", sent.body);
    assert!(sent.head.contains("cache-control: no-store"));
    let code = code_of(&sent.body);
    assert_eq!(code.len(), 19, "{code}");
    assert!(!farmer.get("/complaints").await.body.contains(&code), "shown once");
    let look = farmer.post("/complaints/look", &[("code", &code)]).await;
    assert!(look.status == 200 && look.body.contains("待答复") && look.body.contains("平板太慢"));

    let local = Browser::signed_in(&office, LOCAL).await;
    assert!(
        !local.get("/complaints").await.body.contains("平板太慢"),
        "a station's coordinator may be what it is about"
    );
    let mut district = Browser::signed_in(&office, DISTRICT).await;
    let page = district.get("/complaints").await.body;
    assert!(page.contains("全部来信") && page.contains("&#60;script&#62;alert") && page.contains("平板太慢"));
    assert!(!page.contains("<script>") && !page.contains("13812345678") && page.contains("138****5678"), "{page}");
    let (csrf, answer) = (district.csrf.clone(), "谢谢，<b>已经</b>换了新的。");
    let path = "/complaints/0/answer";
    assert_eq!(district.post(path, &[("text", answer), ("csrf", "x")]).await.status, 403);
    assert_eq!(farmer.post(path, &[("text", answer), ("csrf", "")]).await.status, 401);
    let mut local = local;
    let local_csrf = local.csrf.clone();
    assert_eq!(local.post(path, &[("text", answer), ("csrf", &local_csrf)]).await.status, 403);
    assert_eq!(district.post("/complaints/9/answer", &[("text", answer), ("csrf", &csrf)]).await.status, 404);
    assert_eq!(district.post(path, &[("text", answer), ("csrf", &csrf)]).await.status, 303);

    let typed = code.to_lowercase().replace('-', " ");
    let look = farmer.post("/complaints/look", &[("code", &typed)]).await.body;
    assert!(look.contains("已答复") && look.contains("&#60;b&#62;已经&#60;/b&#62;换了新的"), "{look}");
    assert!(!look.contains("C01"), "the organisation answers, not a person");
    assert_eq!(farmer.post("/complaints/look", &[("code", "AAAA-AAAA-AAAA-AAAA")]).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn complaint_too_long_empty_or_from_elsewhere_is_not_taken_and_nothing_typed_is_lost() {
    let office = Office::open(staffed(502)).await;
    let mut farmer = Browser::new(&office);
    let long = "字".repeat(TEXT_CHARS_MAX + 1);
    let refused = farmer.post("/complaints", &[("kind", "complaint"), ("text", &long)]).await;
    assert_eq!(refused.status, 422);
    assert!(
        refused.body.contains(&long) && refused.body.contains("写得太长了") && refused.body.contains("role=\"alert\"")
    );
    let refused = farmer.post("/complaints?lang=en", &[("kind", "complaint"), ("text", " \r\n\t ")]).await;
    assert!(refused.status == 422 && refused.body.contains("Please write"));
    assert_eq!(farmer.post("/complaints", &[("kind", "praise"), ("text", "好")]).await.status, 400);
    let foreign =
        farmer.post_from("/complaints", &[("kind", "complaint"), ("text", "好")], "http://evil.example").await;
    assert_eq!(foreign.status, 403);
    let odd = "\u{202e}右到左 🍑\u{0}\u{7}结束";
    let sent = farmer.post("/complaints", &[("kind", "complaint"), ("text", odd)]).await;
    assert_eq!(sent.status, 200);
    let entries = office.hub.run(|core, _| core.complaints().unwrap()).await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].text, "\u{202e}右到左 🍑结束");
}

#[tokio::test(flavor = "multi_thread")]
async fn complaints_over_the_hours_share_wait_and_keep_what_was_typed() {
    let office = Office::open(staffed(503)).await;
    let filled = office
        .hub
        .run(|core, now| (0..PER_HOUR_MAX).all(|_| core.complain(now, ComplaintKind::Complaint, "又一条").is_ok()));
    assert!(filled.await.unwrap());
    let mut farmer = Browser::new(&office);
    let refused = farmer.post("/complaints", &[("kind", "complaint"), ("text", "我想说的话")]).await;
    assert_eq!(refused.status, 429);
    assert!(refused.body.contains("我想说的话") && refused.body.contains("请过一小时再提交"));
}

#[test]
fn complaints_are_bounded_by_hour_day_and_number_and_last_through_a_restart() {
    let mut world = World::new(504);
    let at = |minutes: i64| UnixMillis(NOW + minutes * MINUTE_MS);
    for _ in 0..PER_HOUR_MAX {
        world.core.complain(at(0), ComplaintKind::Complaint, "甲").unwrap();
    }
    let one_more = |world: &mut World, at| world.core.complain(at, ComplaintKind::Complaint, "乙");
    assert!(matches!(one_more(&mut world, at(59)), Err(ComplaintError::TooMany)));
    let code = one_more(&mut world, at(61)).unwrap();
    world.restart().unwrap();
    let found = world.core.complaint_of(&code).unwrap().unwrap();
    assert_eq!((found.text.as_str(), found.sent), ("乙", at(61)));

    let mut world = World::new(505);
    for hour in 0..7 {
        for _ in 0..PER_HOUR_MAX.min(PER_DAY_MAX - hour * PER_HOUR_MAX) {
            world
                .core
                .complain(
                    UnixMillis(NOW + i64::try_from(hour).unwrap() * (HOUR_MS + 1)),
                    ComplaintKind::Complaint,
                    "甲",
                )
                .unwrap();
        }
    }
    assert!(matches!(one_more(&mut world, at(10 * 60)), Err(ComplaintError::TooMany)), "the day's share");

    let mut world = World::new(506);
    let codes: Vec<String> = (0..ENTRIES_MAX)
        .map(|number| {
            let now = at(15 * i64::try_from(number).unwrap());
            world.core.complain(now, ComplaintKind::Suggestion, &format!("第{number}条")).unwrap()
        })
        .collect();
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), ENTRIES_MAX);
    let later = at(15 * i64::try_from(ENTRIES_MAX).unwrap());
    assert!(matches!(one_more(&mut world, later), Err(ComplaintError::Full)), "none that waits is thrown away");
    world.core.answer_complaint(later, 3, &Code::new("C01").unwrap(), "好的").unwrap();
    one_more(&mut world, later).unwrap();
    assert_eq!(world.core.complaint_of(&codes[3]).unwrap(), None, "the oldest that was answered made room");
    assert_eq!(world.core.complaint_of(&codes[2]).unwrap().unwrap().text, "第2条");
    assert_eq!(world.core.complaints().unwrap().len(), ENTRIES_MAX);
    world.restart().unwrap();
    assert_eq!(world.core.complaints().unwrap().len(), ENTRIES_MAX);
}

#[tokio::test(flavor = "multi_thread")]
async fn help_explains_every_flag_and_state_to_everybody_in_both_languages() {
    let office = Office::open(staffed(507)).await;
    let (zh, en) = (office.get("/help").await, office.get("/help?lang=en").await);
    assert_eq!((zh.status, en.status), (200, 200));
    for flag in Flag::ALL {
        assert!(zh.body.contains(flag.label().get(Lang::Zh)), "{}", flag.name());
        assert!(en.body.contains(flag.label().get(Lang::En)), "{}", flag.name());
    }
    for word in ["待审", "退回", "意见不一致", "批后改动", "被隔离", "待上传", "已送达", "已备份", "找谁", "不打卡"]
    {
        assert!(main_of(&zh.body).contains(word), "{word}");
    }
    let about = office.get("/about-my-data").await.body;
    for word in ["谁能看到什么", "保存多久", "更正", "删除", "个人信息保护法", "国办函〔2026〕12号"]
    {
        assert!(main_of(&about).contains(word), "{word}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_words_speak_one_language_each_and_every_page_links_to_them() {
    let office = Office::open(staffed(508)).await;
    for path in ["/help", "/about-my-data", "/complaints"] {
        for home in ["/", "/sign-in", "/nothing"] {
            assert!(office.get(home).await.body.contains(&format!("href=\"{path}\"")), "{home} {path}");
        }
        let english = office.get(&format!("{path}?lang=en")).await.body;
        assert_eq!(han(main_of(&english)), "", "{path}");
        assert!(english.contains("aria-current=\"page\""), "{path}");
        let chinese = office.get(path).await.body;
        for word in ["Help", "Who ", "What ", "The ", "Send", "Answer", "Complaint"] {
            assert!(!main_of(&chinese).contains(word), "{path}: {word}");
        }
    }
}
