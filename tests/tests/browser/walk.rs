//! Every page there is, light and dark, in both languages and sizes: a new page is one line here, and `media` looks at it too.

use serde_json::json;
use thirtyfour::Key;

use super::browser::{Browser, DESKTOP};
use super::demo::Demo;
use super::desk::quiet;
use super::office::Hub;
use super::page::{Faults, Page, audit, complaints, look_at_all};
use super::room::play;

/// Pages that need nobody to sign in. `{key}` is a record that the list of [`PLACES`] shows first.
pub const OPEN: [Page; 18] = [
    Page::new("list", "/"),
    Page::new("list-filtered", "/?state=approved&station=ST01&text=%E6%A2%A8%E5%B0%8F"),
    Page::new("list-conflicts", "/?conflicts=true"),
    Page::new("list-empty", "/?text=%E6%B2%A1%E6%9C%89%E8%BF%99%E7%A7%8D%E8%AF%8D"),
    Page::new("record", "/records/{record}"),
    Page::new("record-conflict", "/records/{conflict}"),
    Page::new("record-returned", "/records/{returned}"),
    Page::new("sign-in", "/sign-in"),
    Page::new("find", "/find"),
    Page::new("found", "/find?q=%E6%A2%A8%E5%B0%8F"),
    Page::new("found-by-initials", "/find?q=dhs"),
    Page::new("found-nothing", "/find?q=qqqqqq"),
    Page::new("target", "/targets/T005"),
    Page::new("person", "/people/P01"),
    Page::new("complaints", "/complaints"),
    Page::new("help", "/help"),
    Page::new("about-my-data", "/about-my-data"),
    Page::new("problem", "/nowhere").with_status(404),
];

/// Pages for somebody who is signed in.
pub const SIGNED: [Page; 14] = [
    Page::new("account", "/account"),
    Page::new("inbox", "/inbox"),
    Page::new("inbox-changed", "/inbox?changed=true"),
    Page::new("inbox-approve", "/inbox/approve"),
    Page::new("inbox-conflict", "/records/{conflict}?in=inbox&state=pending"),
    Page::new("signed-list", "/"),
    Page::new("signed-record", "/records/{record}"),
    Page::new("signed-conflict", "/records/{conflict}"),
    Page::new("fleet", "/fleet"),
    Page::new("fleet-enrol", "/fleet/enrol"),
    Page::new("fleet-revoke", "/fleet/devices/{device}/revoke"),
    Page::new("fleet-held", "/fleet/held"),
    Page::new("signed-complaints", "/complaints"),
    Page::new("not-allowed", "/fleet/acts").with_status(403),
];

/// Pages for the administrator.
pub const ADMINISTRATION: [Page; 3] = [
    Page::new("fleet-acts", "/fleet/acts"),
    Page::new("fleet-numbers", "/fleet/numbers"),
    Page::new("admin-fleet", "/fleet"),
];

/// What a `{key}` stands for: what this link on this page leads to.
pub const PLACES: [(&str, &str, &str); 3] = [
    ("record", "/?state=approved", "td.what a"),
    ("conflict", "/?conflicts=true", "td.what a"),
    ("returned", "/?state=returned", "td.what a"),
];
pub const SIGNED_PLACES: [(&str, &str, &str); 1] = [("device", "/fleet", "a[href^='/fleet/devices/']")];

/// The ids that the keys stand for.
pub async fn find(browser: &Browser, wanted: &[(&'static str, &str, &str)], places: &mut Vec<(&'static str, String)>) {
    for (key, page, css) in wanted {
        browser.go(page).await;
        let script = "return document.querySelector(arguments[0])?.pathname.match(/[0-9a-f]{8,}/)[0]";
        let id = browser.run_with(script, json!(css)).await;
        places.push((key, id.as_str().unwrap_or_else(|| panic!("no {css} on {page}")).to_owned()));
    }
}

/// Signs in as the demo says: "sign in: ADDRESS  LOGIN / PASSWORD", a line for each account.
pub async fn sign_in(browser: &Browser, demo: &Demo, login: &str) {
    let mut told = demo.said.lines().filter_map(|line| line.split_once("/sign-in  ")?.1.split_once(" / "));
    let (login, password) =
        told.find(|(name, _)| *name == login).unwrap_or_else(|| panic!("no account: {}", demo.said));
    browser.go("/sign-in").await;
    browser.fill("login", login).await;
    browser.fill("password", password).await;
    browser.press("main form button").await;
    browser.sees("退出").await;
}

/// By what people type on a keyboard without thinking: initials, a pest's everyday name, a code.
async fn one_box_leads_to_timelines(browser: &Browser) {
    browser.go("/").await;
    browser.press("nav.places a[href='/find']").await;
    browser.fill("q", "lxsxc").await;
    browser.keys(Key::Enter).await;
    browser.sees("梨小食心虫").await;
    browser.fill("q", "T005").await;
    browser.keys(Key::Enter).await;
    browser.press("ul.results a[href^='/targets/T005']").await;
    browser.sees("这个服务对象的全部记录").await;
    browser.press("td.what a").await;
    browser.sees("T005").await;
    browser.go("/find?q=P01&lang=en").await;
    browser.press("ul.results a[href^='/people/P01']").await;
    browser.sees("Records this person took part in").await;
    browser.go("/find").await;
    browser.fill("q", "，。！").await;
    browser.press("main form button").await;
    browser.sees("没有可以查找的字").await;
    quiet(browser, &[400]).await;
}

#[test]
fn every_page_passes_the_checks_in_both_languages_and_sizes_light_and_dark() {
    play("walk", async |room| {
        let demo = Demo::shared();
        let browser = room.browser(demo.web, DESKTOP).await;
        let mut places = Vec::new();
        let mut faults = Faults::default();
        find(&browser, &PLACES, &mut places).await;
        look_at_all(&browser, &OPEN, &places, &mut faults).await;
        one_box_leads_to_timelines(&browser).await;
        sign_in(&browser, &demo, "C01").await;
        find(&browser, &SIGNED_PLACES, &mut places).await;
        look_at_all(&browser, &SIGNED, &places, &mut faults).await;
        browser.go("/").await;
        browser.click("退出").await;
        browser.sees("协调员登录后").await;
        sign_in(&browser, &demo, "A01").await;
        look_at_all(&browser, &ADMINISTRATION, &places, &mut faults).await;
        faults.none();
    });
}

/// Each spoils the page in one way, and is found by this rule.
const SPOILT: [(&str, &str); 20] = [
    ("document-title", "document.title = ''"),
    ("html-has-lang", "document.documentElement.lang = ''"),
    ("meta-viewport", "document.querySelector('meta[name=viewport]').content += ', user-scalable=no'"),
    ("landmark-one-main", "main.insertAdjacentHTML('beforeend', '<div role=main>x</div>')"),
    ("page-has-heading-one", "main.insertAdjacentHTML('beforeend', '<h1>x</h1>')"),
    ("heading-order", "main.insertAdjacentHTML('beforeend', '<h5>x</h5>')"),
    ("region", "document.body.insertAdjacentHTML('beforeend', '<p>x</p>')"),
    ("bypass", "document.querySelectorAll('a[href^=\"#\"]').forEach((link) => link.remove())"),
    ("duplicate-id", "main.insertAdjacentHTML('beforeend', '<p id=main>x</p>')"),
    ("label", "main.insertAdjacentHTML('beforeend', '<input name=x>')"),
    ("select-name", "main.insertAdjacentHTML('beforeend', '<select><option>x</select>')"),
    ("button-name", "main.insertAdjacentHTML('beforeend', '<button class=button></button>')"),
    ("link-name", "main.insertAdjacentHTML('beforeend', '<a href=/></a>')"),
    ("image-alt", "main.insertAdjacentHTML('beforeend', '<img src=/static/icon.svg>')"),
    ("aria-prohibited-attr", "main.insertAdjacentHTML('beforeend', '<span aria-label=x>y</span>')"),
    ("list", "main.insertAdjacentHTML('beforeend', '<ul><p>x</p></ul>')"),
    ("color-contrast", "main.style.color = '#999'"),
    ("target-size", "document.querySelector('main button').style.minHeight = '1rem'"),
    ("scroll-horizontal", "main.style.minWidth = '200vw'"),
    ("text-cut", "main.style.cssText = 'width: 3rem; overflow: hidden'"),
];

#[test]
fn checks_find_what_they_forbid_and_nothing_on_a_page_that_is_well() {
    play("spoilt", async |room| {
        let hub = Hub::start();
        let browser = room.browser(hub.web, DESKTOP).await;
        browser.go("/sign-in").await;
        assert_eq!(audit(&browser, "zh-CN").await, Vec::<String>::new());
        assert_eq!(complaints(&browser, 200).await, Vec::<String>::new());
        for (rule, spoil) in SPOILT {
            browser.go("/sign-in").await;
            browser.run(&format!("const main = document.querySelector('main'); {spoil}")).await;
            let found = audit(&browser, "zh-CN").await;
            assert!(found.iter().any(|fault| fault.starts_with(&format!("{rule}: "))), "{rule}: {found:#?}");
        }
        browser.run("console.error('something failed')").await;
        browser.run("document.body.setAttribute('style', 'color: red')").await;
        let found = complaints(&browser, 200).await.join("\n");
        assert!(found.contains("something failed") && found.contains("Content Security Policy"), "{found}");
        browser.run("fetch('http://127.0.0.1:9/').catch(() => {})").await;
        let found = complaints(&browser, 200).await.join("\n");
        assert!(found.contains("127.0.0.1:9"), "{found}");
    });
}
