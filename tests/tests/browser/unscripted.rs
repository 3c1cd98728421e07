//! A coordinator's day in a browser that runs no script: everything is a link or a form.

use serde_json::json;

use super::browser::{Browser, TABLET};
use super::demo::Demo;
use super::desk::quiet;
use super::room::play;
use super::walk::sign_in;

const NOTE: &str = "哪个地块?请补一句。";
const ROWS: &str = "table.records tbody tr";

/// Whether the browser runs the scripts of a page; it runs the test's own ones all the same.
async fn runs_scripts(browser: &Browser) -> bool {
    browser.run("return matchMedia('(scripting: enabled)').matches").await.as_bool().unwrap()
}

/// How many entries a list says that it has.
async fn total(browser: &Browser) -> u64 {
    let text = browser.find(".total").await.text().await.unwrap();
    text.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap_or_else(|_| panic!("{text}"))
}

async fn inbox_is_narrowed(browser: &Browser) {
    browser.press("nav.places a[href='/inbox']").await;
    let all = total(browser).await;
    browser.click("有冲突").await;
    assert!(browser.find("nav.chips .on").await.text().await.unwrap().contains("有冲突"));
    assert!((1..all).contains(&total(browser).await), "the conflicts are some of {all}");
    browser.press("nav.chips a.chip").await;
    assert_eq!(total(browser).await, all);
    browser.fill("text", "梨小").await;
    browser.click("筛选").await;
    let found = total(browser).await;
    assert!((1..all).contains(&found), "{found} of {all} have the word");
    browser.click("“梨小”").await;
    assert_eq!(total(browser).await, all, "the word is taken off again");
}

/// Opens the first that waits, comments, returns and approves it.
async fn record_is_decided(browser: &Browser) {
    browser.go("/?state=pending").await;
    browser.press("td.what a").await;
    browser.waits_for("#desk").await;
    browser.fill("note", "先记一句。").await;
    browser.press("button[value=comment]").await;
    browser.sees("先记一句。").await;
    // What is missing is said, and nothing typed is lost.
    browser.press("input[name=reason]").await;
    browser.press("button[value=return]").await;
    browser.sees("请写明意见").await;
    assert_eq!(browser.count("[name=reason]:checked").await, 1);
    browser.fill("note", NOTE).await;
    browser.press("button[value=return]").await;
    browser.sees("已退回").await;
    browser.sees(NOTE).await;
    browser.press("button[value=approve]").await;
    browser.sees("已通过。").await;
}

async fn conflict_is_settled(browser: &Browser) {
    browser.go("/?conflicts=true").await;
    browser.press("td.what a").await;
    let conflicts = browser.count(".conflict").await;
    assert!(conflicts > 0);
    browser.press(".sides li:not(.shown) button").await;
    browser.sees("冲突已处理").await;
    assert_eq!(browser.count(".conflict").await, conflicts - 1);
}

/// From the inbox: a decision leads on to the next record, and what raises no question is approved together but for one.
async fn inbox_is_worked_off(browser: &Browser) {
    browser.go("/inbox").await;
    let waiting = total(browser).await;
    browser.press("td.what a").await;
    let first = browser.path().await;
    // Of a record in conflict is said first which value stands.
    while browser.count(".conflict").await > 0 {
        let conflicts = browser.count(".conflict").await;
        browser.press("#decision button[value=approve]").await;
        browser.sees("这条记录还有冲突").await;
        browser.press(".sides li.shown button").await;
        browser.sees("冲突已处理").await;
        assert_eq!(browser.count(".conflict").await, conflicts - 1);
    }
    browser.press("button[value=approve]").await;
    browser.sees("已通过。").await;
    assert_ne!(browser.path().await, first, "the next record is there");
    browser.click("待审").await;
    assert_eq!(total(browser).await, waiting - 1);
    browser.press("a[href^='/inbox/approve']").await;
    let together = u64::try_from(browser.count("[name=record]").await).unwrap();
    assert!(together > 1, "{together} to be approved together");
    browser.press("[name=record]").await;
    browser.click("通过选中的记录").await;
    browser.sees("已通过").await;
    browser.go("/inbox").await;
    assert_eq!(total(browser).await, waiting - together, "all but the one that was unticked");
}

#[test]
fn day_at_the_desk_without_scripts_is_done_with_links_and_forms() {
    play("unscripted", async |room| {
        let demo = Demo::shared();
        let browser = room.browser(demo.web, TABLET).await;
        browser.go("/").await;
        assert!(runs_scripts(&browser).await);
        browser.tool("Emulation.setScriptExecutionDisabled", json!({"value": true})).await;
        sign_in(&browser, &demo, "C01").await;
        assert!(!runs_scripts(&browser).await);
        inbox_is_narrowed(&browser).await;
        record_is_decided(&browser).await;
        conflict_is_settled(&browser).await;
        inbox_is_worked_off(&browser).await;
        assert_eq!(browser.count("[data-ready]").await, 0, "no script has touched a page");

        browser.press("nav.places a[href='/fleet']").await;
        browser.sees("台平板").await;
        assert!(browser.count(".tablets > li").await > 0);
        browser.press("nav.places a[href='/find']").await;
        browser.fill("q", "梨小").await;
        browser.press("main form button").await;
        browser.sees("梨小食心虫").await;
        assert!(browser.count(ROWS).await > 0);
        browser.click("退出").await;
        browser.sees("协调员登录后").await;
        assert_eq!(browser.count(".who-am-i form").await, 0, "nobody is signed in");
        assert!(!runs_scripts(&browser).await);
        quiet(&browser, &[422]).await;
    });
}
