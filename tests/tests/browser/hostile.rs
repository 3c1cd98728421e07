//! What people write is text, whatever it is: markup, formulas, letters that turn the line round, pictures, and very much of it.

use serde_json::json;
use thirtyfour::Key;

use super::browser::{DESKTOP, TABLET};
use super::office::Hub;
use super::page::{Faults, Page, look};
use super::room::play;

pub const MARKUP: &str =
    "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'>\"'><svg/onload=alert(1)>{{7*7}}";
const FORMULA: &str = "=cmd|'/c calc'!A1 +1 -1 @SUM(A1)";
const TURNED: &str = "\u{202e}gnp.exe\u{202c} \u{2067}שלום\u{2069} ﷽ Z\u{351}\u{36b}\u{343}algo";
const EMOJI: &str = "👩🏽‍🌾🍑🏳️‍🌈👨‍👩‍👧‍👦";
/// Scripts that are not files of ours, and what they would have done.
const FOREIGN: &str = "const foreign = (script) => script.text || !script.src.startsWith(`${location.origin}/static/`);
    const scripts = Array.from(document.scripts).filter(foreign).map((script) => script.outerHTML);
    return {hacked: window.hacked ?? 0, scripts};";
/// Fields of a visit, and most characters each takes.
const SHORT: [(&str, usize); 7] = [
    ("record_no", 80),
    ("target_name", 200),
    ("variety_text", 200),
    ("phenology_text", 200),
    ("pest_text", 200),
    ("technology_text", 200),
    ("import_key", 80),
];
const LONG: [&str; 3] = ["content", "advice", "remark"];

/// All of it, then one word without an end, so that a line cannot be broken at a space.
fn hostile(chars: usize) -> String {
    let bad = format!("{MARKUP} {FORMULA} {TURNED} {EMOJI} ");
    let chars_left = chars.saturating_sub(bad.chars().count());
    bad.chars().take(chars).chain(std::iter::repeat_n('W', chars_left)).collect()
}

#[test]
fn hostile_texts_in_every_field_are_shown_as_text_and_break_no_page() {
    play("hostile", async |room| {
        let hub = Hub::start();
        let tablet = hub.tablet("P01");
        let record = tablet.visit("改之前的内容");
        let mut arguments = vec!["edit".to_owned(), record.clone()];
        let fields = SHORT.into_iter().chain(LONG.map(|name| (name, 5_000)));
        for (name, chars) in fields {
            arguments.extend(["--set".to_owned(), format!("{name}={}", hostile(chars))]);
        }
        tablet.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).ok();
        let comment = hostile(900);
        tablet.run(&["review", "comment", &record, &comment]).ok();
        tablet.sync().ok();

        let browser = room.browser(hub.web, DESKTOP).await;
        let mut faults = Faults::default();
        for (name, path) in [("hostile-list", "/".to_owned()), ("hostile-record", format!("/records/{record}"))] {
            browser.go(&path).await;
            browser.sees("<script>window.hacked=1</script>").await;
            for size in [DESKTOP, TABLET] {
                browser.resize(size).await;
                look(&browser, &Page::new(name, "/"), "zh-CN", size, &mut faults).await;
            }
            let told = browser.run(FOREIGN).await;
            assert_eq!(told, json!({"hacked": 0, "scripts": []}));
        }
        for text in [FORMULA, EMOJI, "{{7*7}}", &"W".repeat(4_000)] {
            browser.sees(text).await;
        }
        // What is searched for is text, too, and so is what an address says.
        for (page, field) in [("/", "text"), ("/find", "q")] {
            browser.go(page).await;
            browser.fill(field, "<script>window.hacked=1</script>\"'>").await;
            browser.keys(Key::Enter).await;
            browser.sees("走访巡田").await;
            let kept = browser.find(&format!("[name={field}]")).await.value().await.unwrap();
            assert_eq!(kept.as_deref(), Some("<script>window.hacked=1</script>\"'>"));
            assert_eq!(browser.run("return window.hacked ?? 0").await, json!(0));
        }
        browser.go("/sign-in?next=javascript:window.hacked=1").await;
        assert_eq!(browser.find("[name=next]").await.value().await.unwrap().as_deref(), Some("/"));
        faults.none();
    });
}
