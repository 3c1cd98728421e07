//! The tablet's own pages, in real Chromium against the real program: what a form says, and texts that mean harm.

use serde_json::json;

use super::browser::TABLET;
use super::hostile::MARKUP;
use super::office::{Hub, Tablet};
use super::page::{Faults, Page, look};
use super::room::play;

const SECOND: &str = "写到一半，程序被系统结束";

#[test]
fn form_says_that_it_is_not_saved_when_the_program_was_ended() {
    play("tablet-unsaved", async |room| {
        let tablet = Tablet::new();
        let ui = tablet.ui();
        let mut browser = room.browser(0, TABLET).await;
        browser.turn_to(&ui.address);
        browser.go("/new/visit").await;
        ui.kill();
        browser.fill("a.content", SECOND).await;
        browser.sees("没有存上").await;
        assert_eq!(browser.find("[name='a.content']").await.value().await.unwrap().as_deref(), Some(SECOND));
    });
}

#[test]
fn hostile_texts_on_the_tablet_are_shown_as_text() {
    play("tablet-hostile", async |room| {
        let hub = Hub::start();
        let tablet = hub.tablet("P01");
        let record = tablet.visit(&format!("{MARKUP} {}", "W".repeat(4_000)));
        tablet.run(&["edit", &record, "--set", &format!("target_name={MARKUP}")]).ok();
        let ui = tablet.ui();
        let mut browser = room.browser(hub.web, TABLET).await;
        browser.turn_to(&ui.address);
        let mut faults = Faults::default();
        browser.go(&format!("/records/{record}")).await;
        browser.press("form[action$='/edit'] button").await;
        browser.waits_for("#fill").await;
        let draft = browser.path().await;
        let places = ["/".to_owned(), "/records".to_owned(), format!("/records/{record}"), draft];
        for path in places {
            browser.go(&path).await;
            let shown = browser.run("return document.body.innerText + Array.from(document.querySelectorAll('input, textarea')).map((one) => one.value)").await;
            assert!(shown.as_str().unwrap().contains("<script>window.hacked=1</script>"), "{path}");
            look(&browser, &Page::new("tablet-hostile", "/"), "zh-CN", TABLET, &mut faults).await;
            assert_eq!(browser.run("return window.hacked ?? 0").await, json!(0));
        }
        browser.go("/records?q=%3Cscript%3Ewindow.hacked%3D1%3C%2Fscript%3E%22%27").await;
        assert_eq!(browser.run("return window.hacked ?? 0").await, json!(0));
        faults.none();
    });
}
