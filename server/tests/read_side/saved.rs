//! Filters that people keep under names of their own.

use crate::inbox::rows;
use crate::signed::{Browser, office_with};

const COORDINATOR: &str = "C01";
const OTHER: &str = "P01";

async fn keep(browser: &mut Browser<'_>, name: &str, place: &str) -> crate::office::Answer {
    let csrf = browser.csrf.clone();
    browser.post("/filters", &[("csrf", &csrf), ("name", name), ("place", place)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn filter_is_kept_shown_above_the_list_and_deleted_and_is_nobody_elses() {
    let (office, _) = office_with(811, &[(COORDINATOR, false), (OTHER, false)]).await;
    let mut browser = Browser::signed_in(&office, COORDINATOR).await;
    assert!(!browser.get("/inbox").await.body.contains("保存这个筛选"), "the inbox itself needs no name");
    let place = "/inbox?state=pending&text=%E5%A5%97%E8%A2%8B";
    let chosen = browser.get(place).await.body;
    assert!(chosen.contains("保存这个筛选") && chosen.contains("name=\"place\""), "{chosen}");
    let done = keep(&mut browser, " 套袋<季> ", &format!("{place}&late=false&month=")).await;
    assert_eq!((done.status, done.header("location")), (303, Some(place)), "{}", done.body);
    for address in ["/inbox", "/"] {
        let page = browser.get(address).await.body;
        assert!(page.contains(&format!("href=\"{}\">套袋&#60;季&#62;</a>", place.replace('&', "&#38;"))), "{page}");
    }
    let english = browser.get(&format!("{place}&lang=en")).await.body;
    assert!(
        english.contains("aria-current=\"true\">套袋&#60;季&#62;</a>") && english.contains("Delete “"),
        "{english}"
    );
    assert_eq!(rows(&english).len(), rows(&chosen).len());
    // The same name takes the place of the one before.
    assert_eq!(keep(&mut browser, "套袋<季>", "/?changed=true").await.status, 303);
    let page = browser.get("/").await.body;
    assert_eq!(page.matches("套袋&#60;季&#62;").count(), 1, "{page}");
    assert!(page.contains("href=\"/?changed=true\">套袋"), "{page}");
    let other = Browser::signed_in(&office, OTHER).await;
    assert!(!other.get("/inbox").await.body.contains("套袋&#60;"));
    assert!(!office.get("/").await.body.contains("套袋&#60;"));
    let csrf = browser.csrf.clone();
    let fields = [("csrf", csrf.as_str()), ("name", "套袋<季>"), ("place", "/?changed=true")];
    assert_eq!(browser.post("/filters/delete", &fields).await.header("location"), Some("/?changed=true"));
    assert!(!browser.get("/").await.body.contains("套袋&#60;"));
}

#[tokio::test(flavor = "multi_thread")]
async fn filter_without_a_name_of_another_host_or_one_too_many_is_refused() {
    let (office, _) = office_with(812, &[(COORDINATOR, false)]).await;
    let mut browser = Browser::signed_in(&office, COORDINATOR).await;
    let long = "长".repeat(31);
    for (name, place) in [
        ("", "/?changed=true"),
        ("  ", "/?changed=true"),
        ("a\nb", "/?changed=true"),
        (long.as_str(), "/?changed=true"),
        ("好", "https://evil.example/?changed=true"),
        ("好", "//evil.example/"),
        ("好", "/fleet"),
        ("好", "javascript:alert(1)"),
        ("好", "/?nothing=1"),
        ("好", ""),
    ] {
        let answer = keep(&mut browser, name, place).await;
        assert_eq!(answer.status, 400, "{name} {place}: {}", answer.body);
    }
    assert_eq!(browser.post("/filters", &[("csrf", "0"), ("name", "好"), ("place", "/")]).await.status, 403);
    for number in 0..20 {
        let place = format!("/?month=20{:02}-06", number + 10);
        assert_eq!(keep(&mut browser, &format!("第{number}个"), &place).await.status, 303);
    }
    let full = keep(&mut browser, "再一个", "/?changed=true").await;
    assert!(full.status == 409 && full.body.contains("最多保存 20 个"), "{}", full.body);
    assert_eq!(keep(&mut browser, "第3个", "/?changed=true").await.status, 303, "a kept one can be changed");
    assert_eq!(browser.get("/").await.body.matches("个</a>").count(), 20);
}
