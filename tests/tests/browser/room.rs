//! The room that pages are tried in: one driver, its browsers, and what happens to them when a journey fails.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use thirtyfour::LoggingPrefsLogLevel;
use thirtyfour::prelude::*;

use super::browser::{Browser, Size};
use super::office::DEADLINE;

/// Says what a missing browser means: `required` makes it a failure, `off` leaves every journey out.
const WISH: &str = "QIANMO_BROWSER";
/// Where screenshots go; a folder `browser` in the target folder when it is not set.
const SCREENSHOTS: &str = "QIANMO_SCREENSHOTS";
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// A driver with the browsers that a journey opened.
pub struct Room {
    name: &'static str,
    browser: PathBuf,
    driver: Child,
    address: String,
    open: RefCell<Vec<WebDriver>>,
    /// What browsers leave behind.
    _folder: TempDir,
}

/// Plays a journey, and closes its browsers however it ends; leaves it out where there is no browser.
pub fn play(name: &'static str, journey: impl AsyncFnOnce(&Room)) {
    let Some(room) = Room::enter(name) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(journey(&room))));
    runtime.block_on(room.leave(ended.is_err()));
    if let Err(failed) = ended {
        resume_unwind(failed);
    }
}

/// The folder of the screenshots.
pub fn screenshots() -> PathBuf {
    let beside_target = || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("browser");
    let folder = std::env::var_os(SCREENSHOTS).map_or_else(beside_target, PathBuf::from);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn on_path(names: &[&str]) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&folders).collect();
    names.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file()))
}

impl Room {
    #[expect(clippy::print_stderr, reason = "who reads a test's output must know that it tried nothing")]
    fn enter(name: &'static str) -> Option<Self> {
        let wish = std::env::var(WISH).unwrap_or_default();
        let found = (wish != "off").then(|| Some((on_path(&BROWSERS)?, on_path(&["chromedriver"])?)));
        let Some(Some((browser, driver))) = found else {
            assert!(wish != "required", "{WISH}=required, and chromium or chromedriver is not on the path");
            eprintln!("{name}: SKIPPED: install chromium and chromium-driver, and leave {WISH} unset, to play it");
            return None;
        };
        let folder = TempDir::new().unwrap();
        let mut driver = Command::new(driver)
            .env("TMPDIR", folder.path())
            .args(["--port=0", "--allowed-ips=127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = said.find_map(|line| {
            let line = line.unwrap();
            Some(line.strip_prefix("ChromeDriver was started successfully on port ")?.trim_end_matches('.').to_owned())
        });
        // Reads on, so that the driver never waits for a full pipe.
        std::thread::spawn(move || said.for_each(drop));
        let address = format!("http://127.0.0.1:{}", port.expect("the driver says where it listens"));
        Some(Self { name, browser, driver, address, open: RefCell::default(), _folder: folder })
    }

    /// A browser of its own, with its own cookies, that looks at this hub.
    pub async fn browser(&self, web: u16, size: Size) -> Browser {
        let mut wanted = DesiredCapabilities::chrome();
        wanted.set_binary(self.browser.to_str().unwrap()).unwrap();
        for argument in [
            "--headless=new",
            // Containers of CI have no user namespaces; the only pages are our own.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-extensions",
            "--force-color-profile=srgb",
            "--no-first-run",
            // Nothing but this machine has an address.
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        ] {
            wanted.add_arg(argument).unwrap();
        }
        for log in ["browser", "performance"] {
            wanted.set_logging_prefs(log, LoggingPrefsLogLevel::All).unwrap();
        }
        let driver = WebDriver::builder(self.address.as_str(), wanted).request_timeout(DEADLINE).connect();
        let driver = driver.await.unwrap();
        driver.set_page_load_timeout(DEADLINE).await.unwrap();
        self.open.borrow_mut().push(driver.clone());
        let browser = Browser::new(driver, format!("http://127.0.0.1:{web}"));
        browser.resize(size).await;
        browser
    }

    /// Closes every browser; those of a journey that failed leave a picture of where they were.
    async fn leave(mut self, is_failed: bool) {
        for (number, driver) in self.open.take().into_iter().enumerate() {
            if is_failed {
                let picture = screenshots().join(format!("failed-{}-{number}.png", self.name));
                driver.screenshot(&picture).await.ok();
            }
            driver.quit().await.ok();
        }
        self.driver.kill().unwrap();
        self.driver.wait().unwrap();
    }
}
