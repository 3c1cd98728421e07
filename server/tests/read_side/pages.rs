//! The pages, as a browser gets them.

use crate::office::{Office, sample};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn list_shows_states_counts_and_pages_in_both_languages() {
    let sample = sample(11, 60);
    let office = Office::open(sample.world).await;
    let page = office.get("/").await;
    assert_eq!(page.status, 200);
    for text in [
        "工作日志",
        "66 条",
        "待审 <b>62</b>",
        "退回 <b>1</b>",
        "通过 <b>2</b>",
        "批后改动 <b>1</b>",
        "意见不一致 <b>1</b>",
        "有冲突 <b>1</b>",
    ] {
        assert!(page.body.contains(text), "{text}");
    }
    assert!(page.body.contains("平谷&#60;样例&#62;推广站"));
    assert_eq!(page.body.matches("href=\"/records/").count(), 50);
    let next = link(&page.body, "rel=\"next\"");
    let second = office.get(&next).await;
    assert_eq!(second.body.matches("href=\"/records/").count(), 16);
    assert!(!second.body.contains("rel=\"next\"") && second.body.contains("rel=\"first\""));

    let english = office.get("/?lang=en&state=returned").await;
    assert!(english.body.contains("<html lang=\"en\">") && english.body.contains("Field log"));
    assert!(english.body.contains("1 record<") && english.body.contains("?lang=en\"><strong>Field visit"));
    let conflicts = office.get("/?conflicts=true&station=ST01&month=2025-06").await;
    assert_eq!(conflicts.body.matches("href=\"/records/").count(), 1);
    assert!(conflicts.body.contains("冲突 1"));
}

/// The address of the link that has this attribute.
fn link(body: &str, attribute: &str) -> String {
    let tag = body.split("<a ").find(|tag| tag.contains(attribute)).unwrap();
    let address = tag.split("href=\"").nth(1).unwrap().split('"').next().unwrap();
    address.replace("&#38;", "&").replace("&amp;", "&")
}

#[tokio::test(flavor = "multi_thread")]
async fn record_page_shows_both_sides_of_a_conflict_with_who_and_when() {
    let sample = sample(12, 0);
    let (conflict, changed, disagreed) = (sample.conflict, sample.changed, sample.disagreed);
    let office = Office::open(sample.world).await;
    let page = office.get(&format!("/records/{conflict}")).await;
    assert_eq!(page.status, 200);
    let sides = page.body.split("class=\"sides\"").nth(1).unwrap().split("</ul>").next().unwrap();
    assert_eq!(sides.matches("<li").count(), 2);
    assert_eq!(sides.matches("当前显示").count(), 1);
    for text in ["P01", "P02", "东边地块最重", "未见卵", "2025-06-1"] {
        assert!(sides.contains(text), "{text}: {sides}");
    }
    for text in ["查看面积", "12.5 亩", "15 亩", "已隐去", "40.16", "走访巡田", "新建了这条记录", "平板"]
    {
        assert!(page.body.contains(text), "{text}");
    }
    assert!(!page.body.contains("王小明") && !page.body.contains("40.163"));
    assert!(office.get(&format!("/records/{changed}")).await.body.contains("批后改动"));
    let english = office.get(&format!("/records/{disagreed}?lang=en")).await;
    assert!(
        english.body.contains(">Disagreed<")
            && english.body.contains(">Returned<")
            && english.body.contains(">Approved<")
    );
}

/// A page without the one script that it may have.
fn without_ours(body: &str) -> String {
    let ours = "<script type=\"module\" src=\"/static/desk.js\"></script>";
    assert_eq!(body.matches(ours).count(), 1);
    body.replace(ours, "")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_wrote_is_text_and_never_markup() {
    let sample = sample(13, 0);
    let office = Office::open(sample.world).await;
    for path in ["/".to_owned(), format!("/records/{}", sample.script), "/?lang=en".to_owned()] {
        let page = office.get(&path).await;
        assert!(!without_ours(&page.body).contains("<script") && !page.body.contains("<img"), "{path}");
        assert!(page.body.contains("&#60;script&#62;alert"), "{path}");
        assert!(!page.body.contains("13812345678"), "{path}");
    }
    for path in ["/?station=%3Cscript%3E", "/?%3Cscript%3E=1", "/%3Cscript%3E", "/?lang=%22%3E%3Cscript%3E"] {
        let page = office.get(path).await;
        assert!(matches!(page.status, 400 | 404), "{path}");
        assert!(!without_ours(&page.body).contains("<script"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_the_policy_and_foreign_hosts_get_none() {
    let office = Office::open(sample(14, 0).world).await;
    for path in ["/", "/?month=x", "/nothing", "/static/style.css", "/api/v1/records", "/healthz"] {
        let answer = office.get(path).await;
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: same-origin",
        ] {
            assert!(answer.head.contains(header), "{header} of {path}: {}", answer.head);
        }
        assert!(!answer.body.contains("style=\"") && !answer.body.contains(" onclick"), "{path}");
    }
    assert!(office.get("/").await.head.contains("cache-control: no-store"));
    for host in ["evil.example", "localhost.evil.example", "192.0.2.1", ""] {
        let answer = office.ask("GET", "/", host).await;
        assert_eq!(answer.status, 421, "{host}");
        assert!(!answer.body.contains("/records/"));
        let answer = office.ask("GET", "/api/v1/records", host).await;
        assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (421, Some("wrong_host")), "{host}");
    }
    for host in ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080"] {
        assert_eq!(office.ask("GET", "/", host).await.status, 200, "{host}");
    }
    assert_eq!(office.ask("POST", "/", "localhost").await.status, 405);
    assert_eq!(office.ask("HEAD", "/", "localhost").await.status, 200);
    assert_eq!(office.get(&format!("/?station={}", "A".repeat(5_000))).await.status, 414);
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_and_wrong_pages_say_in_words_what_to_do() {
    let office = Office::open(World::new(15)).await;
    let page = office.get("/").await;
    assert!(page.body.contains("还没有记录") && page.body.contains("qianmo-server enroll"));
    assert!(office.get("/?lang=en").await.body.contains("No records yet"));
    let page = office.get("/?state=approved").await;
    assert!(page.body.contains("没有符合条件的记录") && page.body.contains("查看全部记录"));
    let page = office.get("/records/00112233445566778899aabbccddeeff").await;
    assert_eq!(page.status, 404);
    assert!(page.body.contains("没有这条记录") && page.body.contains("There is no such record"));
    let page = office.get("/?month=2025-99&lang=en").await;
    assert_eq!(page.status, 400);
    assert!(page.body.contains("like 2025-06") && page.body.contains("写成 2025-06"));
    assert!(
        page.body.find("The value").unwrap() < page.body.find("的值不对").unwrap(),
        "the language asked for is first"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "serves the sample for a look in a browser, until the file named by QIANMO_LOOK is removed"]
async fn sample_pages_are_served_for_a_look() {
    let file = std::env::var("QIANMO_LOOK").unwrap();
    let sample = sample(16, 60);
    let (conflict, disagreed) = (sample.conflict, sample.disagreed);
    let office = Office::open(sample.world).await;
    let empty = Office::open(World::new(17)).await;
    let text = format!("{} {conflict} {disagreed} {}", office.address, empty.address);
    std::fs::write(&file, text).unwrap();
    while std::fs::exists(&file).unwrap() {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn record_that_moved_since_its_last_review_shows_just_the_difference_to_it() {
    let sample = sample(18, 0);
    let (changed, approved, conflict) = (sample.changed, sample.approved, sample.conflict);
    let office = Office::open(sample.world).await;
    let page = office.get(&format!("/records/{changed}")).await.body;
    let part = page.split("上次审核之后的改动").nth(1).unwrap().split("</section>").next().unwrap();
    assert_eq!(part.matches("class=\"edit\"").count(), 2, "{part}");
    for text in [
        "通过</strong> C01",
        "<del>雨前完成套袋。</del>",
        "<ins>雨前完成套袋，套袋前喷一次保护剂。</ins>",
        "<del>大桃</del>",
        "<ins>梨</ins>",
    ] {
        assert!(part.contains(text), "{text}: {part}");
    }
    assert!(office.get(&format!("/records/{changed}?lang=en")).await.body.contains("Changed since the last review"));
    // Nobody decided on the one, and the other stands as it was.
    for record in [conflict, approved] {
        assert!(!office.get(&format!("/records/{record}")).await.body.contains("上次审核之后的改动"));
    }
}
