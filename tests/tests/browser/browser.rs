//! One browser, used as a person uses it: by what is written on the page, and by the keyboard.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use thirtyfour::components::SelectElement;
use thirtyfour::prelude::*;
use thirtyfour::{Key, TypingData};

use super::office::DEADLINE;

const POLL: Duration = Duration::from_millis(30);
/// Most stops of the Tab key on a way to something.
const STOPS_MAX: usize = 200;

/// Marks the document when it is about to be left: when a form is sent or a link followed, and no script of the page has kept it from that. Where no
/// script runs, no event is heard either, and it is what is pressed that tells.
const LEAVING: &str = "
  const root = document.documentElement, at = arguments[0];
  const leads = (link) => link && !(link.hash && link.pathname === location.pathname && link.search === location.search);
  if (!matchMedia('(scripting: enabled)').matches) {
    if (at) root.dataset.left = leads(at.closest('a[href]')) || at.form && at.type === 'submit' ? 'yes' : '';
  } else if (!('left' in root.dataset)) {
    root.dataset.left = '';
    const leaves = (event) => { if (!event.defaultPrevented) root.dataset.left = 'yes'; };
    addEventListener('submit', leaves);
    addEventListener('click', (event) => { if (leads(event.target.closest('a[href]'))) leaves(event); });
  }";

/// A window's inside, in pixels.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub width: u32,
    pub height: u32,
}

/// An office PC.
pub const DESKTOP: Size = Size { width: 1280, height: 800 };
/// A tablet held upright.
pub const TABLET: Size = Size { width: 800, height: 1280 };

pub struct Browser {
    pub driver: WebDriver,
    /// Where the hub is: the only place that may be asked for anything.
    pub origin: String,
    /// What stands before every path of a page.
    pub base: String,
}

impl Browser {
    pub const fn new(driver: WebDriver, origin: String) -> Self {
        Self { driver, origin, base: String::new() }
    }

    /// Says something to the browser's own tools.
    pub async fn tool(&self, method: &str, what: Value) -> Value {
        self.driver.cdp().send_raw(method, what).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Looks at the pages below this address from now on.
    pub fn turn_to(&mut self, address: &str) {
        let at = address.match_indices('/').nth(2).unwrap_or_else(|| panic!("{address} has no path")).0;
        let (origin, base) = address.split_at(at);
        (self.origin, self.base) = (origin.to_owned(), base.trim_end_matches('/').to_owned());
    }

    pub async fn resize(&self, size: Size) {
        let what = json!({"width": size.width, "height": size.height, "deviceScaleFactor": 1, "mobile": false});
        self.tool("Emulation.setDeviceMetricsOverride", what).await;
    }

    pub async fn go(&self, path: &str) {
        self.driver
            .goto(format!("{}{}{path}", self.origin, self.base))
            .await
            .unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// The address without the hub's.
    pub async fn path(&self) -> String {
        let url = self.driver.current_url().await.unwrap().to_string();
        url.strip_prefix(&format!("{}{}", self.origin, self.base)).unwrap_or(&url).to_owned()
    }

    /// What can be read on the page.
    pub async fn text(&self) -> String {
        self.run("return document.body?.innerText ?? ''").await.as_str().unwrap().to_owned()
    }

    pub async fn run(&self, script: &str) -> Value {
        self.run_with(script, Value::Null).await
    }

    pub async fn run_with(&self, script: &str, argument: Value) -> Value {
        let ran = self.driver.execute(script, vec![argument]).await;
        ran.unwrap_or_else(|error| panic!("{script:.80}: {error}")).json().clone()
    }

    /// Waits until the page says this.
    pub async fn sees(&self, text: &str) {
        let start = Instant::now();
        loop {
            // A page that is just being left has no text.
            let read = self.driver.execute("return document.body?.innerText ?? ''", vec![]).await;
            let read = read.ok().and_then(|read| read.json().as_str().map(str::to_owned)).unwrap_or_default();
            if read.contains(text) {
                return;
            }
            assert!(start.elapsed() < DEADLINE, "{text} is not on {}:\n{read}", self.path().await);
            tokio::time::sleep(POLL).await;
        }
    }

    pub async fn sees_not(&self, text: &str) {
        let read = self.text().await;
        assert!(!read.contains(text), "{text} is on {}:\n{read}", self.path().await);
    }

    pub async fn find(&self, css: &str) -> WebElement {
        self.driver.find(By::Css(css)).await.unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    /// Waits until there is such a thing.
    pub async fn waits_for(&self, css: &str) {
        let start = Instant::now();
        while self.driver.find(By::Css(css)).await.is_err() {
            assert!(start.elapsed() < DEADLINE, "{css} is not on {}", self.path().await);
            tokio::time::sleep(POLL).await;
        }
    }

    pub async fn count(&self, css: &str) -> usize {
        self.driver.find_all(By::Css(css)).await.unwrap().len()
    }

    /// Clicks what is called this, a link, a button or a summary: in the page's own part, else around it.
    pub async fn click(&self, name: &str) {
        let called = format!("//*[self::a or self::button or self::summary][contains(normalize-space(.), \"{name}\")]");
        let found = match self.driver.find(By::XPath(format!("//main{called}"))).await {
            Ok(found) => Ok(found),
            Err(_) => self.driver.find(By::XPath(called)).await,
        };
        let found = found.unwrap_or_else(|error| panic!("{name}: {error}"));
        self.acts(Some(&found), found.click()).await;
    }

    /// Clicks it, once it is there: the page before may still be the one that is shown.
    pub async fn press(&self, css: &str) {
        self.waits_for(css).await;
        let found = self.find(css).await;
        self.acts(Some(&found), found.click()).await;
    }

    /// Does this to what is found or to what has the keyboard, and when it leads to another page, waits for that one: what is done next must not be
    /// done to the page before.
    async fn acts(&self, found: Option<&WebElement>, action: impl Future<Output = WebDriverResult<()>>) {
        let found = found.map_or(Value::Null, |found| found.to_json().unwrap());
        self.run_with(LEAVING, found).await;
        action.await.unwrap_or_else(|error| panic!("{error}"));
        let start = Instant::now();
        loop {
            // A page that is just being left answers nothing.
            let left = self.driver.execute("return document.documentElement.dataset.left ?? ''", vec![]).await;
            if left.is_ok_and(|left| left.json() != "yes") {
                return;
            }
            assert!(start.elapsed() < DEADLINE, "no page comes after {}", self.path().await);
            tokio::time::sleep(POLL).await;
        }
    }

    /// Writes into the field of this name.
    pub async fn fill(&self, name: &str, text: &str) {
        let field = self.find(&format!("[name='{name}']:not([type=hidden])")).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    pub async fn choose(&self, name: &str, value: &str) {
        let field = self.find(&format!("select[name='{name}']")).await;
        SelectElement::new(&field).await.unwrap().select_by_value(value).await.unwrap();
    }

    /// Types where the keyboard is.
    pub async fn keys(&self, keys: impl Into<TypingData>) {
        self.acts(None, self.driver.action_chain().send_keys(keys).perform()).await;
    }

    /// Presses a key while another is held.
    pub async fn chord(&self, held: Key, key: Key) {
        self.acts(None, self.driver.action_chain().key_down(held.clone()).send_keys(key).key_up(held).perform()).await;
    }

    /// Goes on with the Tab key until what the selector means has the keyboard. Every stop on the way must show that it has it.
    pub async fn tab_to(&self, css: &str) {
        for _ in 0..STOPS_MAX {
            self.keys(Key::Tab).await;
            let at = self
                .run_with(
                    "const at = document.activeElement, style = getComputedStyle(at);
                     const box = at.getBoundingClientRect();
                     return {
                       here: at.matches(arguments[0]),
                       is_marked: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
                       is_in_sight: box.bottom > 0 && box.top < innerHeight && box.right > 0,
                       name: `${at.localName} ${at.textContent.trim().slice(0, 40)}`,
                     }",
                    json!(css),
                )
                .await;
            let name = &at["name"];
            if !name.as_str().unwrap().starts_with("body") {
                assert_eq!(at["is_marked"], true, "nothing shows that {name} has the keyboard");
                assert_eq!(at["is_in_sight"], true, "{name} has the keyboard and is out of sight");
            }
            if at["here"] == true {
                return;
            }
        }
        panic!("no way to {css} with the Tab key on {}", self.path().await);
    }
}
