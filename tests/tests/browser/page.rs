//! What every page must pass, and pictures of it.
//!
//! A page is looked at light and dark, and with text half as large again; everything that it asked for, and everything that the
//! browser complained of, is looked at too. Faults are collected, so that one run tells all of them.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::browser::{Browser, Size};
use super::room::screenshots;

/// Runs in the page; has the rules.
const AUDIT: &str = include_str!("page.js");
const SCHEMES: [&str; 2] = ["light", "dark"];
/// How much of a long page a picture shows.
const PICTURE_HEIGHT_MAX: u64 = 2_400;

/// A page by its name and address, as `{key}` in the address names a record.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    pub name: &'static str,
    pub path: &'static str,
    /// The status it has; a browser complains of the ones that are no success.
    pub status: u16,
}

impl Page {
    pub const fn new(name: &'static str, path: &'static str) -> Self {
        Self { name, path, status: 200 }
    }

    /// Likewise, a page that says that something is wrong.
    pub const fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }
}

/// What was wrong, page by page.
#[derive(Debug, Default)]
pub struct Faults {
    pub pages: usize,
    found: BTreeMap<String, Vec<String>>,
}

impl Faults {
    /// # Panics
    /// When anything is wrong, or no page was looked at.
    pub fn none(self) {
        assert!(self.pages > 0, "no page was looked at");
        let told: Vec<String> =
            self.found.iter().map(|(fault, pages)| format!("{fault}\n    on {}", pages.join(", "))).collect();
        assert!(told.is_empty(), "{} faults on {} pages:\n{}", told.len(), self.pages, told.join("\n"));
    }

    pub fn add(&mut self, page: &str, fault: String) {
        self.found.entry(fault).or_default().push(page.to_owned());
    }
}

/// Where a page is, with the ids that its keys stand for.
pub fn address(page: &Page, places: &[(&str, String)]) -> String {
    let path = places.iter().fold(page.path.to_owned(), |path, (key, id)| path.replace(&format!("{{{key}}}"), id));
    assert!(!path.contains('{'), "{path}: no such record");
    path
}

/// Looks at a page in both languages and sizes.
pub async fn look_at_all(browser: &Browser, pages: &[Page], places: &[(&str, String)], faults: &mut Faults) {
    for page in pages {
        let path = address(page, places);
        for (tag, query) in [("zh-CN", ""), ("en", "lang=en")] {
            let joint = if query.is_empty() {
                ""
            } else if path.contains('?') {
                "&"
            } else {
                "?"
            };
            browser.go(&format!("{path}{joint}{query}")).await;
            for size in [super::browser::DESKTOP, super::browser::TABLET] {
                browser.resize(size).await;
                look(browser, page, tag, size, faults).await;
            }
        }
    }
}

/// Looks at the page that is shown.
pub async fn look(browser: &Browser, page: &Page, lang: &str, size: Size, faults: &mut Faults) {
    faults.pages += 1;
    let at = format!("{} {lang} {}x{}", page.name, size.width, size.height);
    for scheme in SCHEMES {
        let feature = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        browser.tool("Emulation.setEmulatedMedia", feature).await;
        picture(browser, &format!("{}-{lang}-{}x{}-{scheme}", page.name, size.width, size.height), size).await;
        for fault in audit(browser, lang).await {
            faults.add(&format!("{at} {scheme}"), fault);
        }
    }
    browser.tool("Emulation.setEmulatedMedia", json!({"features": []})).await;
    text_of(browser, 24, 20).await;
    picture(browser, &format!("{}-{lang}-{}x{}-150", page.name, size.width, size.height), size).await;
    for fault in audit(browser, lang).await {
        faults.add(&format!("{at} at 150 %"), fault);
    }
    text_of(browser, 16, 13).await;
    for fault in complaints(browser, page.status).await.into_iter().chain(strangers(browser).await) {
        faults.add(&at, fault);
    }
}

/// The size of letters that a person sets in the browser; queries for the width of a page follow it.
async fn text_of(browser: &Browser, standard: u8, fixed: u8) {
    browser.tool("Page.setFontSizes", json!({"fontSizes": {"standard": standard, "fixed": fixed}})).await;
    let now = browser.run("return getComputedStyle(document.documentElement).fontSize").await;
    assert_eq!(now, json!(format!("{standard}px")), "the browser does not take sizes of letters");
}

/// What the rules say of the page as it is shown.
pub async fn audit(browser: &Browser, lang: &str) -> Vec<String> {
    audit_with(browser, json!({"lang": lang})).await
}

/// Likewise, with what the rules are told of how it is shown.
pub async fn audit_with(browser: &Browser, options: Value) -> Vec<String> {
    let told = browser.run_with(AUDIT, options).await;
    let texts = |key: &str| -> Vec<String> { serde_json::from_value(told[key].clone()).unwrap() };
    let mut faults = texts("faults");
    let others = texts("origins").into_iter().filter(|origin| *origin != browser.origin);
    faults.extend(others.map(|origin| format!("other-host: something was asked of {origin}")));
    faults
}

/// What the browser complained of: errors of scripts, what the policy for content forbids, what could not be loaded.
pub async fn complaints(browser: &Browser, status: u16) -> Vec<String> {
    let log = browser.driver.browser_log().await.unwrap();
    let own = format!("status of {status}");
    let is_own = |message: &str| status >= 400 && message.contains(&own);
    log.into_iter()
        .filter(|entry| matches!(entry.level.as_str(), "SEVERE" | "WARNING") && !is_own(&entry.message))
        .map(|entry| format!("console: {}", entry.message))
        .collect()
}

/// What was asked of others than the hub since the last look, by the browser's own record of its requests.
pub async fn strangers(browser: &Browser) -> Vec<String> {
    let log = browser.driver.get_log("performance").await.unwrap();
    let asked = log.iter().filter_map(|entry| {
        let told: Value = serde_json::from_str(&entry.message).ok()?;
        let message = &told["message"];
        let is_request = message["method"] == "Network.requestWillBeSent";
        is_request.then(|| message["params"]["request"]["url"].as_str().unwrap_or_default().to_owned())
    });
    // A browser draws its own fields for dates with pictures that it brings along.
    let is_own = |url: &String| url.starts_with(&format!("{}/", browser.origin)) || url.starts_with("data:image/");
    asked.filter(|url| !is_own(url)).map(|url| format!("other-host: {url} was asked for")).collect()
}

/// A picture of the page, down to a certain length.
pub async fn picture(browser: &Browser, name: &str, size: Size) {
    let height = browser.run("return Math.ceil(document.scrollingElement.scrollHeight)").await.as_u64().unwrap();
    let height = height.clamp(u64::from(size.height), PICTURE_HEIGHT_MAX);
    // The window grows for it: a picture of what is beyond the window would set the size of letters back.
    browser.resize(Size { height: u32::try_from(height).unwrap(), ..size }).await;
    let told = browser.tool("Page.captureScreenshot", json!({"format": "png"})).await;
    browser.resize(size).await;
    let bytes = BASE64.decode(told["data"].as_str().unwrap().as_bytes()).unwrap();
    std::fs::write(screenshots().join(format!("{name}.png")), bytes).unwrap();
}
