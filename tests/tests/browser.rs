//! The hub's pages as people use them: real Chromium, the real program, real tablets; driven over WebDriver.
//!
//! Left out, and said so, where chromium or chromedriver is missing; `QIANMO_BROWSER=required` makes that a failure, `off`
//! leaves everything out. Pictures of every page go to a folder `browser` in the target folder, or to `QIANMO_SCREENSHOTS`.
//!
//! # Layout
//!
//! ```text
//! room      the driver and its browsers     browser   one browser, used as a person uses it
//! page      what every page must pass       page.js   the rules, run in the page
//! walk      every page, from the demo       reading   without signing in       desk   a coordinator's work
//! places    tablets and complaints          hostile   texts that mean harm        inbox  review by keys, and news
//! media     the system's colours, on paper  old       an old WebView              sheet  a style sheet, taken apart
//! unscripted   a day at the desk without scripts           tablet   the tablet's own pages
//! ```
//!
//! A new page is one line in `walk`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    reason = "test harness: a failed step is the failure"
)]

#[path = "browser/browser.rs"]
mod browser;
#[path = "browser/demo.rs"]
mod demo;
#[path = "browser/desk.rs"]
mod desk;
#[path = "browser/hostile.rs"]
mod hostile;
#[path = "browser/inbox.rs"]
mod inbox;
#[path = "browser/media.rs"]
mod media;
#[path = "e2e/office.rs"]
#[allow(dead_code, reason = "shared with the end to end tests, which use all of it")]
mod office;
#[path = "browser/old.rs"]
mod old;
#[path = "browser/page.rs"]
mod page;
#[path = "browser/places.rs"]
mod places;
#[path = "browser/reading.rs"]
mod reading;
#[path = "browser/room.rs"]
mod room;
#[path = "browser/sheet.rs"]
mod sheet;
#[path = "browser/tablet.rs"]
mod tablet;
#[path = "browser/unscripted.rs"]
mod unscripted;
#[path = "browser/walk.rs"]
mod walk;
