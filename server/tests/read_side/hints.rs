//! What reviewers are asked to look at twice: in the inbox, and beside the record.

use qianmo_protocol::change::Scalar;
use qianmo_protocol::control::Role as GrantRole;
use qianmo_protocol::ids::DocId;
use qianmo_protocol::review::{ReviewKind, ReviewStatus};

use crate::find::enter;
use crate::inbox::{id_of, rows};
use crate::office::{Office, file, visit};
use crate::signed::{Browser, give_account, status};
use crate::world::{Tablet, World, june};

const COORDINATOR: &str = "C01";
const TECHNICIAN: &str = "P01";
const CLEAN: &str = "查看套袋情况，约八成。";

/// A visit to the target, changed a little.
fn visited(world: &mut World, tablet: &mut Tablet, day: u32, target: DocId, other: &[(&'static str, &str)]) -> DocId {
    let mut answers = visit(day, "peach", CLEAN, "继续观察。");
    answers.push(("target_id", Scalar::Text(target.to_string())));
    answers.push(("reported_on", Scalar::Text(format!("2025-06-{day:02}"))));
    answers.retain(|(name, _)| other.iter().all(|(changed, _)| changed != name));
    answers.extend(other.iter().map(|(name, value)| (*name, Scalar::Text((*value).to_owned()))));
    file(world, tablet, &june(), &answers)
}

struct Hints {
    office: Office,
    clean: DocId,
    far: DocId,
    first: DocId,
    second: DocId,
    late: DocId,
    again: DocId,
}

async fn office_with_hints(seed: u64) -> Hints {
    let mut world = World::new(seed);
    let mut desk = world.enrol("C01", GrantRole::Coordinator);
    let mut tablet = world.enrol("P01", GrantRole::Technician);
    let place = [("code", "T012"), ("lat", "40.163245"), ("lon", "117.108712")];
    let target = enter(&mut world, &mut desk, "target", &place);
    world.meet(&mut desk);
    let clean = visited(&mut world, &mut tablet, 2, target, &[("end_time", "10:30")]);
    let far = visited(&mut world, &mut tablet, 3, target, &[("end_time", "10:30"), ("lat", "40.203245")]);
    let first = visited(&mut world, &mut tablet, 4, target, &[("end_time", "10:30")]);
    let second = visited(&mut world, &mut tablet, 4, target, &[("start_time", "10:00"), ("end_time", "11:00")]);
    let late = visited(&mut world, &mut tablet, 5, target, &[("end_time", "10:30"), ("reported_on", "2025-06-14")]);
    let again = visited(&mut world, &mut tablet, 6, target, &[("end_time", "10:30")]);
    world.meet(&mut tablet);
    world.meet(&mut desk);
    world.review(&mut desk, again, ReviewKind::Return);
    world.meet(&mut desk);
    world.meet(&mut tablet);
    world.edit(&mut tablet, again, "content", "查看套袋情况，约八成，已补写。");
    world.review(&mut tablet, again, ReviewKind::Submit);
    world.meet(&mut tablet);
    give_account(&mut world, COORDINATOR, false);
    give_account(&mut world, TECHNICIAN, false);
    Hints { office: Office::open(world).await, clean, far, first, second, late, again }
}

#[tokio::test(flavor = "multi_thread")]
async fn inbox_chooses_what_is_flagged_late_or_handed_in_again_among_what_waits() {
    let sample = office_with_hints(511).await;
    let browser = Browser::signed_in(&sample.office, COORDINATOR).await;
    let page = browser.get("/inbox").await.body;
    assert_eq!(rows(&page).len(), 6);
    let ids = |mut ids: Vec<DocId>| {
        ids.sort();
        ids.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for (address, word, wanted) in [
        ("/inbox?state=pending&flagged=true", "有提示", vec![sample.far, sample.first, sample.second, sample.late]),
        ("/inbox?state=pending&late=true", "补录", vec![sample.late]),
        ("/inbox?state=pending&resubmitted=true", "已重新提交", vec![sample.again]),
    ] {
        let chip = page.split("<a class=\"chip").find(|chip| chip.contains(&format!(">{word} ")));
        let chip = chip.unwrap_or_else(|| panic!("{word}: {page}"));
        assert!(chip.contains(&format!("href=\"{}\"", address.replace('&', "&#38;"))), "{chip}");
        assert!(chip.contains(&format!("<b>{}</b>", wanted.len())), "{chip}");
        let chosen = browser.get(address).await.body;
        let mut found: Vec<String> = rows(&chosen).iter().map(|row| id_of(row).to_owned()).collect();
        found.sort();
        assert_eq!(found, ids(wanted), "{address}");
    }
    // Without a state, in the inbox, what is flagged is looked for among what waits.
    assert_eq!(rows(&browser.get("/inbox?flagged=true").await.body).len(), 4);
    assert_eq!(browser.get("/inbox?flagged=maybe").await.status, 400);
    let feed = sample.office.get("/api/v1/records?flagged=true").await;
    assert_eq!((feed.status, feed.json()["error"]["code"].as_str()), (400, Some("unknown_parameter")));
}

#[tokio::test(flavor = "multi_thread")]
async fn record_says_what_to_look_at_twice_only_to_who_reviews_it() {
    let sample = office_with_hints(512).await;
    let browser = Browser::signed_in(&sample.office, COORDINATOR).await;
    let far = browser.get(&format!("/records/{}", sample.far)).await.body;
    for word in ["佐证", "位置离服务对象超过3公里", "距服务对象约 4.4 公里", "不要求补拍补定位", "正北", "有提示 1"]
    {
        let word = if word == "正北" { "在服务对象北方向约 4.4 公里" } else { word };
        assert!(far.contains(word), "{word}: {far}");
    }
    let first = browser.get(&format!("/records/{}", sample.first)).await.body;
    assert!(first.contains("同一人时间重叠") && first.contains(&format!("href=\"/records/{}\"", sample.second)));
    let clean = browser.get(&format!("/records/{}", sample.clean)).await.body;
    assert!(
        clean.contains("佐证") && clean.contains("2025-06-02 09:30 – 10:30") && !clean.contains("有提示"),
        "{clean}"
    );
    // Whoever is not signed in learns nothing of where it was.
    let masked = sample.office.get(&format!("/records/{}", sample.far)).await.body;
    assert!(!masked.contains("佐证") && !masked.contains("距服务对象"), "{masked}");
    let english = browser.get(&format!("/records/{}?lang=en", sample.late)).await.body;
    assert!(english.contains("Reported more than 7 days after") && !english.contains("佐证"), "{english}");
}

/// Every record that a summary would approve, as its form says it.
fn ticked(page: &str) -> Vec<String> {
    let boxes = page.split("<input type=\"checkbox\" name=\"record\" value=\"").skip(1);
    boxes.map(|tag| tag.split('"').next().unwrap().to_owned()).collect()
}

async fn approve(browser: &mut Browser<'_>, chosen: &[String]) -> crate::office::Answer {
    let csrf = browser.csrf.clone();
    let mut fields = vec![("csrf", csrf.as_str())];
    fields.extend(chosen.iter().map(|value| ("record", value.as_str())));
    browser.post("/inbox/approve", &fields).await
}

#[tokio::test(flavor = "multi_thread")]
async fn records_without_hints_are_approved_together_after_a_summary_and_others_are_left() {
    let sample = office_with_hints(513).await;
    let mut browser = Browser::signed_in(&sample.office, COORDINATOR).await;
    let inbox = browser.get("/inbox").await.body;
    assert!(inbox.contains("href=\"/inbox/approve\">一次通过无提示的记录 <b>2</b>"), "{inbox}");
    let page = browser.get("/inbox/approve").await.body;
    let chosen = ticked(&page);
    assert_eq!(chosen.len(), 2, "{page}");
    assert!(page.contains("请逐条看： 4") && page.contains("走访巡田 <b>2</b>"), "{page}");
    let done = approve(&mut browser, &chosen).await;
    assert_eq!(
        (done.status, done.header("location")),
        (303, Some("/inbox?state=pending&done=approved_2")),
        "{}",
        done.body
    );
    let said = browser.get("/inbox?state=pending&done=approved_2").await.body;
    assert!(said.contains("勾选的 2 条已通过") && rows(&said).len() == 4 && !said.contains("一次通过"), "{said}");
    for (record, wanted) in [(sample.clean, true), (sample.again, true), (sample.far, false), (sample.first, false)] {
        let is_approved = status(&sample.office, record).await.0 == ReviewStatus::Approved;
        assert_eq!(is_approved, wanted, "{record}");
    }
    // The same once more, as a reloaded page sends it: nothing is approved twice, and both are named.
    let again = approve(&mut browser, &chosen).await;
    assert!(again.status == 200 && again.body.matches("已经是通过，不用再点").count() == 2, "{}", again.body);
    assert!(browser.get("/inbox/approve").await.body.contains("没有可以一次通过的记录"));
}

#[tokio::test(flavor = "multi_thread")]
async fn record_that_changed_after_the_summary_is_passed_over_and_named() {
    let sample = office_with_hints(514).await;
    let mut browser = Browser::signed_in(&sample.office, COORDINATOR).await;
    let chosen = ticked(&browser.get("/inbox/approve").await.body);
    let page = browser.get(&format!("/records/{}", sample.again)).await.body;
    assert_eq!(browser.act(&sample.again, &page, "return", &[("note", "请补面积")]).await.status, 303);
    let done = approve(&mut browser, &chosen).await;
    assert!(done.status == 200 && done.body.contains(&format!("href=\"/records/{}\"", sample.again)), "{}", done.body);
    assert!(done.body.contains("其余已通过： 1"), "{}", done.body);
    assert_eq!(status(&sample.office, sample.clean).await.0, ReviewStatus::Approved);
    assert_eq!(status(&sample.office, sample.again).await.0, ReviewStatus::Returned);
    for wrong in ["", "nothing", "00 ff"] {
        assert_eq!(approve(&mut browser, &[wrong.to_owned()]).await.status, 400, "{wrong}");
    }
    let many = vec![chosen[0].clone(); 51];
    assert_eq!(approve(&mut browser, &many).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_decides_nothing_approves_nothing_together() {
    let sample = office_with_hints(515).await;
    let mut technician = Browser::signed_in(&sample.office, TECHNICIAN).await;
    assert_eq!(technician.get("/inbox/approve").await.status, 403);
    let mut coordinator = Browser::signed_in(&sample.office, COORDINATOR).await;
    let chosen = ticked(&coordinator.get("/inbox/approve").await.body);
    assert_eq!(approve(&mut technician, &chosen).await.status, 403);
    coordinator.csrf = "x".to_owned();
    assert_eq!(approve(&mut coordinator, &chosen).await.status, 403);
    assert_eq!(status(&sample.office, sample.clean).await.0, ReviewStatus::Pending);
    let nobody = sample.office.get("/inbox/approve?lang=en").await;
    assert_eq!(nobody.header("location"), Some("/sign-in?next=%2Finbox%2Fapprove%3Flang%3Den&lang=en"));
}
