//! What is said of a record and of its answers, from both sides.

use std::collections::BTreeMap;

use qianmo_protocol::control::Role as GrantRole;
use qianmo_protocol::ids::DocId;
use qianmo_protocol::record::FieldPath;
use qianmo_protocol::review::{ReviewKind, ReviewStatus};

use crate::inbox::rows;
use crate::office::Office;
use crate::signed::{Browser, give_account, status};
use crate::world::{Tablet, World};

const COORDINATOR: &str = "C01";

fn content() -> FieldPath {
    FieldPath::Field("content".to_owned())
}

/// The author says something of the content.
fn say(world: &mut World, tablet: &mut Tablet, record: DocId, text: &str) {
    let notes = BTreeMap::from([(content(), text.to_owned())]);
    world.review_with(tablet, record, ReviewKind::Comment, notes);
}

fn conversation(seed: u64) -> (World, DocId) {
    let mut world = World::new(seed);
    let mut desk = world.enrol(COORDINATOR, GrantRole::Coordinator);
    let mut tablet = world.enrol("P01", GrantRole::Technician);
    let record = world.file(&mut tablet, "查看套袋情况");
    world.file(&mut tablet, "疏果");
    world.meet(&mut tablet);
    world.meet(&mut desk);
    let notes = BTreeMap::from([(content(), "哪一块地？<b>".to_owned())]);
    world.review_with(&mut desk, record, ReviewKind::Return, notes);
    world.meet(&mut desk);
    world.meet(&mut tablet);
    say(&mut world, &mut tablet, record, "东沟那块，电话15412345678");
    world.meet(&mut tablet);
    give_account(&mut world, COORDINATOR, false);
    give_account(&mut world, "P01", false);
    (world, record)
}

/// The answer's part of the page.
fn thread(page: &str) -> &str {
    let part = page.split("<div id=\"answer-content\"").nth(1).unwrap_or_else(|| panic!("no answer: {page}"));
    part.split("<div id=\"answer-").next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn comments_stand_at_their_answer_oldest_first_and_an_answer_is_given_there() {
    let (world, record) = conversation(711);
    let office = Office::open(world).await;
    let mut browser = Browser::signed_in(&office, COORDINATOR).await;
    let page = browser.get(&format!("/records/{record}")).await.body;
    let said = thread(&page);
    let places = ["退回时", "哪一块地？&#60;b&#62;", "东沟那块，电话154****5678", "回复", "name=\"field_note\""]
        .map(|word| said.find(word).unwrap_or_else(|| panic!("{word}: {said}")));
    assert!(places.is_sorted(), "{said}");
    assert!(page.contains("href=\"#answer-content\""), "the event leads to the answer");
    let answer = [("field", "content"), ("field_note", "知道了，谢谢")];
    let done = browser.act(&record, &page, "comment", &answer).await;
    assert_eq!(done.status, 303, "{}", done.body);
    assert_eq!(status(&office, record).await.0, ReviewStatus::Returned, "a comment decides nothing");
    let page = browser.get(&format!("/records/{record}")).await.body;
    assert!(thread(&page).contains("知道了，谢谢"), "{page}");
    // Without anything said, an answer has a link that leads to the form, with the answer chosen there.
    let link = format!("/records/{record}?about=satisfaction#desk");
    assert!(page.contains(&format!("href=\"{link}\"")), "{page}");
    let about = browser.get(&format!("/records/{record}?about=satisfaction")).await.body;
    assert!(about.contains("<option value=\"satisfaction\" selected>"), "{about}");
    // Whoever is not signed in reads it, and has nothing to answer with.
    let masked = office.get(&format!("/records/{record}")).await.body;
    assert!(
        thread(&masked).contains("154****5678") && !masked.contains("<textarea") && !masked.contains("class=\"say\"")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn record_with_a_reply_is_found_in_the_inbox_until_somebody_answers() {
    let (world, record) = conversation(712);
    let office = Office::open(world).await;
    let mut browser = Browser::signed_in(&office, COORDINATOR).await;
    let inbox = browser.get("/inbox").await.body;
    assert!(inbox.contains("href=\"/inbox?unanswered=true\">有回复 <b>1</b>"), "{inbox}");
    let chosen = browser.get("/inbox?unanswered=true").await.body;
    assert_eq!(rows(&chosen).len(), 1, "{chosen}");
    assert!(rows(&chosen)[0].contains(&record.to_string()) && chosen.contains(">有回复</span>"));
    let page = browser.get(&format!("/records/{record}")).await.body;
    browser.act(&record, &page, "comment", &[("note", "收到")]).await;
    assert!(rows(&browser.get("/inbox?unanswered=true").await.body).is_empty());
    let inbox = browser.get("/inbox").await.body;
    assert!(!inbox.contains("有回复"), "{inbox}");
    let wrong = browser.get("/inbox?unanswered=perhaps").await;
    assert!(wrong.status == 400 && wrong.body.contains("true"), "{}", wrong.body);
}
