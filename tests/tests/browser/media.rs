//! Every page as a person's system asks for it: in its few colours, with more contrast, on paper, and in an old WebView.
//!
//! Where colours are taken away or backgrounds are not printed, nothing may lose its meaning: controls keep an edge, what is
//! chosen is told from what is not, the map keeps its lines, the keyboard is seen. Larger text is a matter of `page`.

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::browser::{Browser, DESKTOP, Size, TABLET};
use super::demo::Demo;
use super::office::Hub;
use super::old;
use super::page::{Faults, Page, address, audit_with, complaints, picture, strangers};
use super::room::{Room, play, screenshots};
use super::walk::{ADMINISTRATION, OPEN, PLACES, SIGNED, SIGNED_PLACES, find, sign_in};

/// A sheet of A4 without the margins of a centimetre that a browser leaves, in pixels of the style sheet.
const SHEET: Size = Size { width: 718, height: 1047 };

/// Told by the rules alone: their pictures would say what others say.
const UNPICTURED: [&str; 2] = ["forced-light", "contrast-dark"];

/// How a page is shown.
struct Showing {
    name: &'static str,
    /// What the browser is told that the system asks for.
    media: Value,
    /// What the rules are told of it.
    options: Value,
    size: Size,
}

impl Showing {
    fn new(name: &'static str, size: Size, features: &[(&str, &str)], mut options: Value) -> Self {
        let features: Vec<Value> = features.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let medium = if name == "print" { "print" } else { "" };
        options["lang"] = json!("zh-CN");
        Self { name, media: json!({"media": medium, "features": features}), options, size }
    }
}

/// WCAG 1.4.6 asks for 7 where somebody asks for more contrast; the system's own colours are what the person chose.
fn showings() -> [Showing; 5] {
    let (light, dark) = (("prefers-color-scheme", "light"), ("prefers-color-scheme", "dark"));
    let (forced, more) = (("forced-colors", "active"), ("prefers-contrast", "more"));
    [
        Showing::new("forced-light", TABLET, &[forced, light], json!({"edges": true})),
        Showing::new("forced-dark", TABLET, &[forced, dark], json!({"edges": true})),
        Showing::new("contrast-light", TABLET, &[more, light], json!({"edges": true, "contrast": 7})),
        Showing::new("contrast-dark", TABLET, &[more, dark], json!({"edges": true, "contrast": 7})),
        // Who works in the dark prints on white paper all the same.
        Showing::new("print", SHEET, &[dark], json!({"print": true})),
    ]
}

/// Shows the page so; answers what is wrong with it.
async fn shown(browser: &Browser, showing: &Showing) -> Vec<String> {
    browser.resize(showing.size).await;
    browser.tool("Emulation.setEmulatedMedia", showing.media.clone()).await;
    audit_with(browser, showing.options.clone()).await
}

async fn look_at_all(browser: &Browser, pages: &[Page], places: &[(&str, String)], faults: &mut Faults) {
    for page in pages {
        browser.go(&address(page, places)).await;
        faults.pages += 1;
        for showing in showings() {
            let found = shown(browser, &showing).await;
            if !UNPICTURED.contains(&showing.name) {
                picture(browser, &format!("{}-{}", page.name, showing.name), showing.size).await;
            }
            for fault in found {
                faults.add(&format!("{} {}", page.name, showing.name), fault);
            }
        }
        browser.tool("Emulation.setEmulatedMedia", json!({"media": "", "features": []})).await;
        browser.resize(TABLET).await;
        for fault in complaints(browser, page.status).await.into_iter().chain(strangers(browser).await) {
            faults.add(page.name, fault);
        }
        old::dress(browser).await;
        for fault in audit_with(browser, json!({"lang": "zh-CN", "apart": true})).await {
            faults.add(&format!("{} old", page.name), fault);
        }
        picture(browser, &format!("{}-old", page.name), TABLET).await;
    }
}

#[test]
fn every_page_keeps_its_meaning_in_the_systems_colours_on_paper_and_in_an_old_webview() {
    play("media", async |room| {
        let demo = Demo::shared();
        let browser = room.browser(demo.web, TABLET).await;
        let mut places = Vec::new();
        let mut faults = Faults::default();
        find(&browser, &PLACES, &mut places).await;
        look_at_all(&browser, &OPEN, &places, &mut faults).await;
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

#[test]
fn record_printed_on_a4_has_all_of_its_length_on_its_sheets() {
    play("print", async |room| {
        let hub = Hub::start();
        let tablet = hub.tablet("P01");
        // One word without an end would make a sheet wide, and a browser then prints everything smaller.
        let record =
            tablet.visit(&format!("{}{}", "W".repeat(400), "第一段:雨后排水不畅,指导开挖排水沟。".repeat(150)));
        tablet.sync().ok();
        let browser = room.browser(hub.web, DESKTOP).await;
        browser.go(&format!("/records/{record}")).await;
        let print = showings().into_iter().last().unwrap();
        assert_eq!(shown(&browser, &print).await, Vec::<String>::new());
        let tall = browser.run("return document.scrollingElement.scrollHeight").await.as_u64().unwrap();
        browser.tool("Emulation.setEmulatedMedia", json!({"media": "", "features": []})).await;
        // Inches, as the browser's tools have them; the margins are those of its own window for printing.
        let sheet = json!({"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": false});
        let told = browser.tool("Page.printToPDF", sheet).await;
        let printed = BASE64.decode(told["data"].as_str().unwrap().as_bytes()).unwrap();
        std::fs::write(screenshots().join("record-print.pdf"), &printed).unwrap();
        let text = String::from_utf8_lossy(&printed);
        let sheets = u64::try_from(text.matches("/Type /Page\n").count()).unwrap();
        let least = tall.div_ceil(u64::from(SHEET.height));
        assert!(least > 1, "the record is too short to tell anything: {tall}");
        // What must not be torn apart leaves room at the end of a sheet.
        assert!((least..=least + 1).contains(&sheets), "{sheets} sheets for {tall} pixels, {least} expected");
    });
}

/// Each spoils the page as it is shown in one way, and is found by this rule.
const SPOILT: [(&str, &str, &str); 14] = [
    ("forced-dark", "edge", "main button { border: 0 !important }"),
    ("contrast-light", "edge", "main input { border-color: #ddd !important }"),
    ("forced-dark", "color-contrast", "main .primary { forced-color-adjust: auto !important }"),
    ("contrast-light", "color-contrast", "main { color: #666 }"),
    ("forced-light", "chosen", ".chip.on { background: Canvas !important; border-color: CanvasText !important }"),
    ("forced-dark", "focus", "main button:focus-visible { outline: 0 !important }"),
    ("contrast-dark", "focus", "main input:focus-visible { outline-color: #222 !important }"),
    ("print", "print-control", "form.stack { display: grid !important }"),
    ("print", "print-ink", "main { background: #eee }"),
    ("print", "print-link", "footer { color: #000 } .brand { color: #00f !important }"),
    ("print", "print-heading", ".brand span { display: none !important }"),
    ("print", "scroll-horizontal", "main { min-width: 60rem }"),
    ("forced-light", "badge", ""),
    ("forced-dark", "map", ".map .scale { stroke: #222 }"),
];

/// What a page is given to be spoilt with, beside a style.
const SPOILING: &str = "
    document.querySelector('main').insertAdjacentHTML('beforeend', `
      <p class=chips><a class='chip on' href='#main'>x</a><a class=chip href='#main'>y</a></p>
      <p class=marks><span class='badge good'>x</span> <span class=badge>x</span></p>
      <svg class=map aria-hidden=true><line class=scale x1=0 y1=0 x2=9 y2=9 /></svg>`);
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(arguments[0]);
    document.adoptedStyleSheets = [sheet];";

async fn spoilt(browser: &Browser, showing: &Showing, style: &str) -> Vec<String> {
    browser.go("/sign-in").await;
    browser.run_with(SPOILING, json!(style)).await;
    shown(browser, showing).await
}

async fn each_is_found(room: &Room) {
    let hub = Hub::start();
    let browser = room.browser(hub.web, DESKTOP).await;
    for showing in showings() {
        browser.go("/sign-in").await;
        assert_eq!(shown(&browser, &showing).await, Vec::<String>::new(), "{}", showing.name);
        for (_, rule, style) in SPOILT.iter().filter(|(name, ..)| *name == showing.name) {
            let found = spoilt(&browser, &showing, style).await;
            assert!(found.iter().any(|fault| fault.starts_with(&format!("{rule}: "))), "{rule}: {found:#?}");
        }
    }
    // Without room between them, a sign and its text, and a name and a button, read as one.
    browser.tool("Emulation.setEmulatedMedia", json!({"media": "", "features": []})).await;
    browser.resize(TABLET).await;
    browser.go("/sign-in").await;
    old::dress(&browser).await;
    let options = json!({"lang": "zh-CN", "apart": true});
    assert_eq!(audit_with(&browser, options.clone()).await, Vec::<String>::new());
    browser.run("document.querySelectorAll('.bar *').forEach((node) => node.style.setProperty('margin', '0'))").await;
    let found = audit_with(&browser, options).await;
    assert!(found.iter().any(|fault| fault.starts_with("gap: ")), "{found:#?}");
}

#[test]
fn checks_of_colours_paper_and_old_layouts_find_what_they_forbid() {
    play("media-spoilt", async |room| each_is_found(room).await);
}
