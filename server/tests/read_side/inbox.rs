//! The inbox: what waits, in order, from one record to the next, and news while a page is open.

use std::time::Duration;

use qianmo_protocol::review::ReviewStatus;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::office::Office;
use crate::signed::{Browser, office_with, status};

const COORDINATOR: &str = "C01";
const TECHNICIAN: &str = "P01";

/// The addresses of the records of a list, in order.
pub(crate) fn rows(body: &str) -> Vec<String> {
    let parts = body.split("href=\"/records/").skip(1);
    parts.map(|part| format!("/records/{}", part.split('"').next().unwrap().replace("&#38;", "&"))).collect()
}

pub(crate) fn id_of(address: &str) -> &str {
    address.trim_start_matches("/records/").split(['?', '&']).next().unwrap()
}

/// The link with this attribute, if there is one.
fn link(body: &str, attribute: &str) -> Option<String> {
    let tag = body.split("<a ").find(|tag| tag.split('>').next().unwrap().contains(attribute))?;
    Some(tag.split("href=\"").nth(1)?.split('"').next()?.replace("&#38;", "&"))
}

/// A form's address.
fn action(body: &str) -> String {
    let tag = body.split("<form ").find(|tag| tag.contains("/act")).unwrap();
    tag.split("action=\"").nth(1).unwrap().split(['"', '#']).next().unwrap().replace("&#38;", "&")
}

#[tokio::test(flavor = "multi_thread")]
async fn inbox_shows_what_waits_oldest_first_and_asks_others_to_sign_in() {
    let (office, _) = office_with(311, &[(COORDINATOR, false), (TECHNICIAN, false)]).await;
    let nobody = office.get("/inbox").await;
    assert_eq!((nobody.status, nobody.header("location")), (303, Some("/sign-in?next=%2Finbox")));
    let browser = Browser::signed_in(&office, COORDINATOR).await;
    let page = browser.get("/inbox").await.body;
    assert!(page.contains("<h1>待审</h1>") && page.contains("aria-current=\"page\">待审"), "{page}");
    let newest = rows(&browser.get("/?state=pending").await.body);
    let mut waiting: Vec<String> = rows(&page).iter().map(|row| id_of(row).to_owned()).collect();
    waiting.reverse();
    assert_eq!(waiting, newest.iter().map(|row| id_of(row).to_owned()).collect::<Vec<_>>());
    assert!(rows(&page).iter().all(|row| row.contains("?in=inbox&state=pending")), "{:?}", rows(&page));
    for (chip, word) in [("/inbox?state=returned", "退回"), ("/inbox?changed=true", "批后改动")] {
        assert!(page.contains(&format!("href=\"{chip}\"")), "{chip}");
        let chosen = browser.get(chip).await.body;
        assert_eq!(rows(&chosen).len(), 1, "{chip}");
        assert!(chosen.contains(word));
    }
    // Who decides nothing has no inbox above, and can look at it all the same.
    let technician = Browser::signed_in(&office, TECHNICIAN).await;
    assert!(!technician.get("/").await.body.contains(">待审</a>"));
    assert_eq!(technician.get("/inbox").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn decision_leads_to_the_next_record_and_the_last_one_to_an_empty_inbox() {
    let (office, _) = office_with(312, &[(COORDINATOR, false)]).await;
    let mut browser = Browser::signed_in(&office, COORDINATOR).await;
    let queue = rows(&browser.get("/inbox").await.body);
    assert!(queue.len() >= 4, "{queue:?}");
    let first = browser.get(&queue[0]).await.body;
    assert!(link(&first, "rel=\"prev\"").is_none());
    assert_eq!(link(&first, "rel=\"next\"").as_ref(), Some(&queue[1]));
    let second = browser.get(&queue[1]).await.body;
    assert_eq!(link(&second, "rel=\"prev\"").as_ref(), Some(&queue[0]));

    // A mistake does not lose the place in the queue.
    let path = action(&first);
    let wordless = browser.act_at(&path, &first, "return", &[("note", "")]).await;
    assert_eq!(wordless.status, 422);
    assert_eq!((action(&wordless.body), link(&wordless.body, "rel=\"next\"")), (path.clone(), Some(queue[1].clone())));
    // A comment stays with its record.
    let comment = browser.act_at(&path, &first, "comment", &[("note", "请补照片")]).await;
    let stays = comment.header("location").unwrap().to_owned();
    assert!(stays.starts_with(&queue[0]) && stays.ends_with("#reviews"), "{stays}");

    let mut at = queue[0].clone();
    for number in 0..queue.len() {
        let page = browser.get(&at).await.body;
        if page.contains("class=\"conflict\"") {
            let refused = browser.act_at(&action(&page), &page, "approve", &[("note", "看过")]).await;
            assert_eq!(refused.status, 422, "which value stands is to be said first");
            assert!(
                refused.body.contains("这条记录还有冲突") && refused.body.contains(">看过</textarea>"),
                "{}",
                refused.body
            );
        }
        let is_returned = number == 1 || page.contains("class=\"conflict\"");
        let (kind, fields) = if is_returned { ("return", vec![("note", "面积不对")]) } else { ("approve", vec![]) };
        let done = browser.act_at(&action(&page), &page, kind, &fields).await;
        assert_eq!(done.status, 303, "{}", done.body);
        at = done.header("location").unwrap().to_owned();
        let said = browser.get(&at).await.body;
        let word = if is_returned { "已退回" } else { "已通过。" };
        assert!(said.contains(word) && said.contains(&format!("href=\"/records/{}\"", id_of(&queue[number]))), "{at}");
        if let Some(next) = queue.get(number + 1) {
            assert_eq!(id_of(&at), id_of(next));
        }
    }
    assert!(at.starts_with("/inbox?state=pending&done=") && at.contains("&last="), "{at}");
    assert!(browser.get("/inbox").await.body.contains("都处理完了"));
    let returned = qianmo_protocol::ids::DocId::from_hex(id_of(&queue[1])).unwrap();
    assert_eq!(status(&office, returned).await.0, ReviewStatus::Returned);
}

#[tokio::test(flavor = "multi_thread")]
async fn inbox_in_english_has_no_chinese_word_of_ours_and_refuses_what_it_does_not_know() {
    let (office, _) = office_with(313, &[(COORDINATOR, false)]).await;
    let browser = Browser::signed_in(&office, COORDINATOR).await;
    let page = browser.get("/inbox?lang=en").await.body;
    for word in ["<h1>Inbox</h1>", "Keys", "Enter opens", "There are new records"] {
        assert!(page.contains(word), "{word}");
    }
    let next = link(&browser.get(&rows(&page)[0]).await.body, "rel=\"next\"").unwrap();
    assert!(next.ends_with("&lang=en"), "{next}");
    for (path, status) in [
        ("/inbox?state=done", 400),
        ("/inbox?colour=red", 400),
        ("/inbox?cursor=%3Cb%3E", 400),
        // A mark looks for nothing: the list is as it is without.
        ("/inbox?text=%22", 200),
    ] {
        assert_eq!(browser.get(path).await.status, status, "{path}");
    }
}

/// Reads of a stream until it holds a word.
async fn until(stream: &mut TcpStream, word: &str) -> String {
    let mut text = String::new();
    let reading = async {
        let mut part = [0; 1024];
        while !text.contains(word) {
            let read = stream.read(&mut part).await.unwrap();
            assert!(read > 0, "the stream ended: {text}");
            text.push_str(&String::from_utf8_lossy(&part[..read]));
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reading).await.expect("news within half a minute");
    text
}

async fn listen(office: &Office) -> TcpStream {
    let mut stream = TcpStream::connect(office.address).await.unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn open_page_hears_of_every_change_and_its_stream_ends_with_the_hub() {
    let (office, sample) = office_with(314, &[(COORDINATOR, false)]).await;
    let mut browser = Browser::signed_in(&office, COORDINATOR).await;
    let mut stream = listen(&office).await;
    let head = until(&mut stream, "\r\n\r\n").await.to_lowercase();
    assert!(head.contains("content-type: text/event-stream") && head.contains("cache-control: no-cache"), "{head}");
    let page = browser.get(&format!("/records/{}", sample.plain[0])).await.body;
    assert_eq!(browser.act(&sample.plain[0], &page, "approve", &[]).await.status, 303);
    let told = until(&mut stream, "event: news").await;
    assert!(!told.contains(&sample.plain[0].to_string()), "numbers only: {told}");
    office.stop();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the stream outlived the hub");
}
