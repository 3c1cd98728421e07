//! A coordinator's work, signed in: the first password, decisions, conflicts, sessions, and two people at once.

use serde_json::json;
use thirtyfour::Key;

use super::browser::{Browser, DESKTOP, TABLET};
use super::office::{Hub, Tablet};
use super::page::{Faults, Page, complaints, look, strangers};
use super::room::play;

/// What somebody chooses who had to change a password.
const OWN: &str = "桃花依旧笑春风2026";
const NOTE: &str = "哪个地块?进度请写明。";

/// A coordinator's account; answers the password that is handed over.
fn account(hub: &Hub, login: &str) -> String {
    let ran = hub.run(&["account", "add", login, "--role", "coordinator", "--district", "--json"]).ok();
    ran.json()["password"].as_str().unwrap_or_else(|| panic!("{ran:#?}")).to_owned()
}

async fn sign_in(browser: &Browser, login: &str, password: &str) {
    browser.go("/sign-in").await;
    browser.fill("login", login).await;
    browser.fill("password", password).await;
    browser.press("main form button").await;
}

/// Signs in for the first time and chooses a password.
pub async fn begin(browser: &Browser, hub: &Hub, login: &str) {
    let password = account(hub, login);
    sign_in(browser, login, &password).await;
    browser.sees("请先把管理员给的密码改成自己的").await;
    browser.go("/account").await;
    browser.fill("present", &password).await;
    browser.fill("new", OWN).await;
    browser.fill("again", OWN).await;
    browser.click("修改密码").await;
    browser.sees("密码已修改").await;
}

/// A visit with a conflict, and another one without; answers them with the tablet that wrote them.
fn filed(hub: &Hub) -> (Tablet, String, String) {
    let (tablet_a, tablet_b) = (hub.tablet("P01"), hub.tablet("P02"));
    let plain = tablet_a.visit("查看套袋情况,进度过半");
    let disputed = tablet_a.visit("诱捕器里梨小食心虫成虫增多");
    tablet_a.sync().ok();
    tablet_b.sync().ok();
    tablet_a.run(&["edit", &disputed, "--set", "advice=甲:主干涂白补一遍"]).ok();
    tablet_b.run(&["edit", &disputed, "--set", "advice=乙:刮除翘皮并集中烧毁"]).ok();
    for tablet in [&tablet_a, &tablet_b, &tablet_a] {
        tablet.sync().ok();
    }
    (tablet_a, plain, disputed)
}

/// Nothing went wrong that nobody saw. `statuses` are the refusals that were meant to come.
pub async fn quiet(browser: &Browser, statuses: &[u16]) {
    let meant = |fault: &String| statuses.iter().any(|status| fault.contains(&format!("status of {status}")));
    let found: Vec<String> = complaints(browser, 200).await.into_iter().filter(|fault| !meant(fault)).collect();
    assert_eq!(found, Vec::<String>::new());
    assert_eq!(strangers(browser).await, Vec::<String>::new());
}

#[test]
fn password_of_the_administrator_is_changed_before_anything_else_is_done() {
    play("first-password", async |room| {
        let hub = Hub::start();
        let (_, record, _) = filed(&hub);
        let password = account(&hub, "C01");
        let browser = room.browser(hub.web, DESKTOP).await;
        // Looking at a record, one is led back to it.
        browser.go(&format!("/records/{record}")).await;
        browser.click("登录").await;
        browser.fill("login", "C01").await;
        browser.fill("password", &password).await;
        browser.keys(Key::Enter).await;
        browser.sees("请先把管理员给的密码改成自己的").await;
        assert_eq!(browser.path().await, format!("/records/{record}"));
        // Nothing is done with a password that somebody else knows.
        if browser.count("button[value=approve]").await > 0 {
            browser.press("button[value=approve]").await;
            browser.sees("修改密码").await;
        }
        browser.go("/account").await;
        for (new, again, told) in [
            ("short", "short", "10 个字符"),
            ("C01C01C01C01", "C01C01C01C01", "不要包含账号"),
            ("aaaaaaaaaaaa", "aaaaaaaaaaaa", "太简单"),
            (password.as_str(), password.as_str(), "和现在的一样"),
            (OWN, "桃花依旧笑春风2025", "两次输入的新密码不一样"),
        ] {
            browser
                .run("document.querySelectorAll('input').forEach((input) => input.removeAttribute('minlength'))")
                .await;
            browser.fill("present", &password).await;
            browser.fill("new", new).await;
            browser.fill("again", again).await;
            browser.click("修改密码").await;
            browser.sees(told).await;
        }
        browser.fill("present", "not the present one").await;
        browser.fill("new", OWN).await;
        browser.fill("again", OWN).await;
        browser.click("修改密码").await;
        browser.sees("现在的密码不对").await;
        browser.fill("present", &password).await;
        browser.fill("new", OWN).await;
        browser.fill("again", OWN).await;
        browser.click("修改密码").await;
        browser.sees("密码已修改").await;
        browser.sees_not("请先把管理员给的密码").await;
        browser.go(&format!("/records/{record}")).await;
        browser.press("button[value=approve]").await;
        browser.sees("已通过。").await;
        quiet(&browser, &[401, 422]).await;
    });
}

#[test]
fn coordinator_returns_settles_and_approves_and_the_tablet_hears_of_it() {
    play("desk", async |room| {
        let hub = Hub::start();
        let (tablet, plain, disputed) = filed(&hub);
        let browser = room.browser(hub.web, TABLET).await;
        begin(&browser, &hub, "C01").await;
        browser.go(&format!("/records/{plain}")).await;
        browser.press("input[name=reason][value=evidence_insufficient]").await;
        browser.press("button[value=return]").await;
        browser.sees("请写明意见").await;
        assert_eq!(browser.count("[name=reason]:checked").await, 1, "what was chosen is not chosen again");
        let mut faults = Faults::default();
        look(&browser, &Page::new("desk-note-missing", "").with_status(422), "zh-CN", TABLET, &mut faults).await;
        browser.choose("field", "content").await;
        browser.fill("field_note", "东侧还是西侧?").await;
        browser.fill("note", NOTE).await;
        browser.press("button[value=return]").await;
        browser.sees("已退回").await;
        for text in [NOTE, "东侧还是西侧?", "退回"] {
            browser.sees(text).await;
        }
        look(&browser, &Page::new("desk-returned", ""), "zh-CN", TABLET, &mut faults).await;

        browser.go(&format!("/records/{disputed}")).await;
        assert_eq!(browser.count(".sides button").await, 2);
        browser.press(".sides li:not(.shown) button").await;
        browser.sees("冲突已处理").await;
        browser.sees_not("需要有人决定").await;
        browser.sees("处理了冲突").await;
        browser.press("button[value=approve]").await;
        browser.sees("已通过。").await;
        browser.go("/?state=approved").await;
        browser.sees("1 条").await;

        tablet.sync().ok();
        let shown = tablet.show(&plain);
        assert_eq!(shown["review"], "returned", "{shown:#}");
        assert!(shown["reviews"].to_string().contains(NOTE), "{shown:#}");
        let shown = tablet.show(&disputed);
        assert_eq!((&shown["review"], shown["open_conflicts"].as_array().map(Vec::len)), (&json!("approved"), Some(0)));
        tablet.run(&["edit", &plain, "--set", "content=东侧地块套袋六成,周五前完成"]).ok();
        tablet.run(&["review", "comment", &plain, "改好了"]).ok();
        tablet.sync().ok();
        browser.go(&format!("/records/{plain}")).await;
        for text in ["东侧地块套袋六成", "改好了", "查看套袋情况"] {
            browser.sees(text).await;
        }
        browser.press("button[value=approve]").await;
        browser.sees("已通过。").await;
        quiet(&browser, &[422]).await;
        faults.none();
    });
}

#[test]
fn review_is_done_with_the_keyboard_alone_with_every_stop_in_sight() {
    play("desk-keyboard", async |room| {
        let hub = Hub::start();
        filed(&hub);
        let password = account(&hub, "C01");
        let browser = room.browser(hub.web, DESKTOP).await;
        browser.go("/sign-in").await;
        browser.keys("C01").await;
        browser.tab_to("[name=password]").await;
        browser.keys(password.as_str()).await;
        browser.keys(Key::Enter).await;
        browser.sees("请先把管理员给的密码改成自己的").await;
        browser.tab_to(".notice a").await;
        browser.keys(Key::Enter).await;
        browser.sees("我的账号").await;
        for (field, text) in [("present", password.as_str()), ("new", OWN), ("again", OWN)] {
            browser.tab_to(&format!("[name={field}]")).await;
            browser.keys(text).await;
        }
        browser.keys(Key::Enter).await;
        browser.sees("密码已修改").await;
        browser.tab_to(".brand").await;
        browser.keys(Key::Enter).await;
        browser.sees("2 条").await;
        browser.tab_to("td.what a").await;
        browser.keys(Key::Enter).await;
        browser.sees("梨小食心虫").await;
        browser.tab_to(".sides li:not(.shown) button").await;
        browser.keys(Key::Enter).await;
        browser.sees("冲突已处理").await;
        browser.tab_to("[name=note]").await;
        browser.keys(NOTE).await;
        browser.tab_to("input[name=reason]").await;
        browser.keys(Key::Space).await;
        browser.tab_to("button[value=return]").await;
        browser.keys(Key::Enter).await;
        browser.sees("已退回").await;
        browser.tab_to("button[value=approve]").await;
        browser.keys(Key::Enter).await;
        browser.sees("已通过。").await;
        quiet(&browser, &[]).await;
    });
}

#[test]
fn decisions_of_two_coordinators_at_once_are_both_kept_and_shown() {
    play("desk-two", async |room| {
        let hub = Hub::start();
        let (_, record, _) = filed(&hub);
        let (first, second) = (room.browser(hub.web, DESKTOP).await, room.browser(hub.web, TABLET).await);
        begin(&first, &hub, "C01").await;
        begin(&second, &hub, "C02").await;
        let page = format!("/records/{record}");
        first.go(&page).await;
        second.go(&page).await;
        first.press("button[value=approve]").await;
        first.sees("已通过。").await;
        second.fill("note", NOTE).await;
        second.press("input[name=reason][value=evidence_insufficient]").await;
        second.press("button[value=return]").await;
        second.sees("意见不一致").await;
        first.go(&page).await;
        for text in ["意见不一致", "通过", "退回", "C01", "C02", NOTE] {
            first.sees(text).await;
        }
        let mut faults = Faults::default();
        look(&second, &Page::new("desk-disagreed", ""), "zh-CN", TABLET, &mut faults).await;
        // Who decides again, having seen both, ends it.
        first.press("button[value=approve]").await;
        first.sees("已通过。").await;
        first.sees_not("意见不一致").await;
        quiet(&first, &[]).await;
        quiet(&second, &[]).await;
        faults.none();
    });
}

#[test]
fn decision_on_a_record_that_moved_meanwhile_is_not_done_and_shows_what_is_new() {
    play("desk-moved", async |room| {
        let hub = Hub::start();
        let (tablet, record, _) = filed(&hub);
        let browser = room.browser(hub.web, TABLET).await;
        begin(&browser, &hub, "C01").await;
        browser.go(&format!("/records/{record}")).await;
        tablet.run(&["edit", &record, "--set", "content=东侧地块套袋六成"]).ok();
        tablet.sync().ok();
        browser.fill("note", NOTE).await;
        browser.press("button[value=approve]").await;
        browser.sees("您查看期间这条记录有改动").await;
        assert_eq!(browser.count(".events li.new").await, 1);
        browser.sees("东侧地块套袋六成").await;
        let kept = browser.run("return document.querySelector('[name=note]').value").await;
        assert_eq!(kept, json!(NOTE), "what was typed is not typed again");
        let mut faults = Faults::default();
        look(&browser, &Page::new("desk-moved", "").with_status(409), "zh-CN", TABLET, &mut faults).await;
        // The same address, asked for again, is the record's page and no refusal.
        browser.go(&format!("/records/{record}/act?lang=en")).await;
        assert_eq!(browser.path().await, format!("/records/{record}?lang=en"));
        browser.go(&format!("/records/{record}")).await;
        browser.press("button[value=approve]").await;
        browser.sees("已通过。").await;
        quiet(&browser, &[409]).await;
        faults.none();
    });
}

#[test]
fn signing_out_ends_one_session_and_signing_out_everywhere_ends_all() {
    play("sign-out", async |room| {
        let hub = Hub::start();
        let (_, record, _) = filed(&hub);
        let (office, home) = (room.browser(hub.web, DESKTOP).await, room.browser(hub.web, TABLET).await);
        begin(&office, &hub, "C01").await;
        sign_in(&home, "C01", OWN).await;
        home.sees("C01").await;
        home.click("退出").await;
        home.sees("协调员登录后").await;
        office.go("/account").await;
        office.sees("我的账号").await;
        sign_in(&home, "C01", OWN).await;
        home.sees("退出").await;
        home.go(&format!("/records/{record}")).await;
        home.sees("审核").await;
        office.click("在所有设备上退出").await;
        office.sees("协调员登录后").await;
        // A page that was open at home does nothing any more, and says why.
        home.press("button[value=approve]").await;
        home.sees("登录已过期").await;
        home.go("/account").await;
        assert!(home.path().await.starts_with("/sign-in"), "{}", home.path().await);
        // An account that is closed lets nobody in.
        hub.run(&["account", "close", "C01"]).ok();
        sign_in(&home, "C01", OWN).await;
        home.sees("账号或密码不对").await;
        quiet(&home, &[401]).await;
    });
}
