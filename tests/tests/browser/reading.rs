//! Reading without signing in: lists, filters, search, a record with its conflict and its story.

use serde_json::json;
use thirtyfour::Key;

use super::browser::{DESKTOP, TABLET};
use super::office::{Hub, Tablet};
use super::room::play;

/// Three visits, one of them written differently on two tablets that did not see each other. Answers the one in conflict.
fn filed(hub: &Hub) -> (Tablet, String) {
    let (tablet_a, tablet_b) = (hub.tablet("P01"), hub.tablet("P02"));
    tablet_a.visit("查看套袋情况,进度过半");
    let record = tablet_a.visit("诱捕器里梨小食心虫成虫增多,建议一周后复查");
    tablet_a.visit("雨后排水不畅,指导开挖排水沟");
    tablet_a.sync().ok();
    tablet_b.sync().ok();
    tablet_a.run(&["edit", &record, "--set", "advice=甲:主干涂白补一遍"]).ok();
    tablet_b.run(&["edit", &record, "--set", "advice=乙:刮除翘皮并集中烧毁"]).ok();
    for tablet in [&tablet_a, &tablet_b] {
        tablet.sync().ok();
    }
    (tablet_a, record)
}

const ROWS: &str = "table.records tbody tr";

#[test]
fn list_is_narrowed_by_filters_and_search_and_widened_again_in_both_languages() {
    play("filters", async |room| {
        let hub = Hub::start();
        filed(&hub);
        let browser = room.browser(hub.web, TABLET).await;
        browser.go("/").await;
        browser.sees("3 条").await;
        assert_eq!(browser.count(ROWS).await, 3);
        browser.fill("text", "梨小").await;
        browser.click("筛选").await;
        browser.sees("1 条").await;
        browser.sees("梨小食心虫").await;
        browser.sees_not("排水沟").await;
        browser.click("有冲突").await;
        browser.sees("1 条").await;
        browser.click("“梨小”").await;
        browser.click("全部").await;
        browser.sees("3 条").await;
        browser.choose("station", "ST01").await;
        browser.fill("text", "火星").await;
        browser.click("筛选").await;
        browser.sees("没有符合条件的记录").await;
        browser.click("查看全部记录").await;
        browser.sees("3 条").await;

        browser.click("English").await;
        browser.sees("3 records").await;
        browser.fill("text", "排水").await;
        browser.keys(Key::Enter).await;
        browser.sees("1 record").await;
        assert_eq!(browser.count(ROWS).await, 1);
        assert!(browser.path().await.contains("lang=en"), "a search keeps the language");
        browser.choose("form", "visit").await;
        browser.click("Filter").await;
        browser.sees("Field visit").await;
        browser.click("中文").await;
        browser.sees("1 条").await;
    });
}

#[test]
fn record_shows_its_conflict_with_both_sides_and_its_story_as_sentences() {
    play("record", async |room| {
        let hub = Hub::start();
        let (_, record) = filed(&hub);
        let browser = room.browser(hub.web, DESKTOP).await;
        browser.go("/?conflicts=true").await;
        browser.click("梨小食心虫").await;
        browser.sees("冲突：需要有人决定").await;
        assert_eq!(browser.path().await, format!("/records/{record}"));
        for text in ["甲:主干涂白补一遍", "乙:刮除翘皮并集中烧毁", "当前显示", "新建了这条记录", "改动了 1 项"]
        {
            browser.sees(text).await;
        }
        browser.sees_not("样例农户").await;
        browser.click("查看填写的内容").await;
        assert_eq!(browser.count("details[open]").await, 1);
        assert_eq!(browser.count("form[action*='/act'], form[action*='/settle']").await, 0, "nobody is signed in");
        browser.click("English").await;
        browser.sees("Conflicts: somebody has to decide").await;
        browser.click("in conflict, see above").await;
        browser.click("All records").await;
        browser.sees("3 records").await;
    });
}

#[test]
fn keyboard_alone_leads_from_the_list_to_a_record_and_back_with_every_stop_in_sight() {
    play("keyboard", async |room| {
        let hub = Hub::start();
        filed(&hub);
        let browser = room.browser(hub.web, DESKTOP).await;
        browser.go("/").await;
        browser.tab_to("a.skip").await;
        browser.keys(Key::Enter).await;
        browser.tab_to("main a").await;
        browser.tab_to("input[name=text]").await;
        browser.keys("梨小").await;
        browser.keys(Key::Enter).await;
        browser.sees("1 条").await;
        browser.tab_to("td.what a").await;
        browser.keys(Key::Enter).await;
        browser.sees("经过").await;
        browser.tab_to("summary").await;
        browser.keys(Key::Space).await;
        assert_eq!(browser.count("details[open]").await, 1);
        browser.go(&browser.path().await).await;
        browser.tab_to(".back a").await;
        browser.keys(Key::Enter).await;
        browser.sees("3 条").await;
    });
}

#[test]
fn wrong_password_is_told_counted_and_lets_nobody_in() {
    play("wrong-password", async |room| {
        let hub = Hub::start();
        let browser = room.browser(hub.web, DESKTOP).await;
        browser.go("/account").await;
        browser.sees("协调员登录后").await;
        let at = browser.run("return document.activeElement.name").await;
        assert_eq!(at, json!("login"), "one can type at once");
        for _ in 0..6 {
            browser.fill("login", "C01").await;
            browser.fill("password", "not the password").await;
            browser.keys(Key::Enter).await;
            browser.sees("账号或密码不对").await;
        }
        let login = browser.find("input[name=login]").await.value().await.unwrap();
        assert_eq!(login.as_deref(), Some("C01"), "the name is not typed twice");
        browser.fill("password", "not the password").await;
        browser.keys(Key::Enter).await;
        browser.sees("秒后再试").await;
        browser.go("/sign-in?lang=en").await;
        browser.fill("login", "C01").await;
        browser.fill("password", "x").await;
        browser.press("main button").await;
        browser.sees("Too many wrong passwords").await;
        browser.go("/account").await;
        browser.sees("账号").await;
        assert!(browser.path().await.starts_with("/sign-in"), "nobody is signed in");
    });
}
