//! The inbox: a morning's review without the mouse, and what arrives while the page is open.

use serde_json::json;
use thirtyfour::Key;

use super::browser::{Browser, DESKTOP, TABLET};
use super::desk::{begin, quiet};
use super::office::Hub;
use super::page::{Faults, Page, look};
use super::room::play;

/// Records to be reviewed by keys alone.
const RECORDS: usize = 6;

/// Where the keyboard is.
async fn focused(browser: &Browser) -> String {
    let href = browser.run("return document.activeElement?.getAttribute('href') ?? ''").await;
    href.as_str().unwrap().to_owned()
}

#[test]
fn morning_of_records_is_reviewed_by_keys_alone_and_the_inbox_ends_empty() {
    play("inbox-keys", async |room| {
        let hub = Hub::start();
        let tablet = hub.tablet("P01");
        for number in 0..RECORDS {
            tablet.visit(&format!("第{number}块地,套袋过半"));
        }
        tablet.sync().ok();
        let browser = room.browser(hub.web, DESKTOP).await;
        let mut faults = Faults::default();
        begin(&browser, &hub, "C01").await;
        browser.press("nav.places a[href='/inbox']").await;
        browser.sees(&format!("{RECORDS} 条")).await;
        look(&browser, &Page::new("inbox-full", ""), "zh-CN", DESKTOP, &mut faults).await;

        // Times are told to the second: what was written within one stands in the order of the page.
        let script = "return [...document.querySelectorAll('.what span')].map((text) => text.textContent)";
        let order: Vec<String> = serde_json::from_value(browser.run(script).await).unwrap();
        assert_eq!(order.len(), RECORDS, "{order:?}");
        // Down twice and up once is the first but one; it opens with Enter.
        for key in ["j", "j", "j", "k"] {
            browser.keys(key).await;
        }
        let second = focused(&browser).await;
        assert!(second.contains("in=inbox"), "{second}");
        browser.keys("k").await;
        browser.keys(Key::Enter).await;
        browser.sees(&order[0]).await;
        // A key is heard once the page's script runs, which is after its text is there.
        browser.waits_for("#desk[data-ready]").await;
        browser.keys("j").await;
        browser.sees(&order[1]).await;
        browser.waits_for("#desk[data-ready]").await;
        browser.keys("k").await;
        browser.sees(&order[0]).await;
        look(&browser, &Page::new("inbox-record", ""), "zh-CN", TABLET, &mut faults).await;
        browser.resize(DESKTOP).await;

        // One goes back with a note; letters in the note are letters.
        browser.waits_for("#desk[data-ready]").await;
        browser.keys("r").await;
        browser.keys("jak: 哪一块?").await;
        browser.chord(Key::Control, Key::Enter).await;
        browser.sees("已退回").await;
        for content in &order[1..] {
            browser.sees(content).await;
            // A key at once is one that was meant for the record before.
            browser.keys("a").await;
            browser.waits_for("#desk[data-ready]").await;
            browser.sees(content).await;
            browser.keys("a").await;
        }
        browser.sees("都处理完了").await;
        look(&browser, &Page::new("inbox-empty", ""), "zh-CN", DESKTOP, &mut faults).await;
        tablet.sync().ok();
        browser.go("/inbox?state=returned").await;
        browser.sees(&order[0]).await;
        browser.keys("j").await;
        browser.keys(Key::Enter).await;
        browser.sees("jak: 哪一块?").await;
        browser.keys("u").await;
        browser.sees("待审").await;
        quiet(&browser, &[]).await;
        faults.none();
    });
}

#[test]
fn record_that_arrives_appears_below_while_the_keyboard_stays_where_it_is() {
    play("inbox-live", async |room| {
        let hub = Hub::start();
        let tablet = hub.tablet("P01");
        tablet.visit("第一条,早上写的");
        tablet.sync().ok();
        let browser = room.browser(hub.web, DESKTOP).await;
        begin(&browser, &hub, "C01").await;
        browser.go("/inbox").await;
        browser.sees("第一条,早上写的").await;
        browser.keys("j").await;
        let here = focused(&browser).await;
        browser.run("window.mark = 1").await;
        tablet.visit("第二条,刚送到");
        tablet.sync().ok();
        browser.sees("第二条,刚送到").await;
        browser.sees("2 条").await;
        assert_eq!(browser.run("return window.mark").await, json!(1), "the page was not loaded again");
        assert_eq!(focused(&browser).await, here);
        let order =
            browser.run("return [...document.querySelectorAll('.records tbody tr')].map((row) => row.className)");
        assert_eq!(order.await, json!(["", "new"]), "what came last is last");

        // A record that is being looked at says that it moved, and takes nothing away.
        browser.keys(Key::Enter).await;
        browser.sees("第一条,早上写的").await;
        browser.fill("note", "写到一半").await;
        let id = here.trim_start_matches("/records/").split('?').next().unwrap().to_owned();
        tablet.run(&["edit", &id, "--set", "advice=补一句"]).ok();
        tablet.sync().ok();
        browser.sees("这条记录刚刚有改动").await;
        let note = browser.run("return document.querySelector('textarea[name=note]').value").await;
        assert_eq!(note, json!("写到一半"));
        quiet(&browser, &[]).await;
    });
}
