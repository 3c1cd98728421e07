//! Who signs in at the pages, and what they do there.

use std::sync::OnceLock;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use qianmo_protocol::ids::{Code, DocId};
use qianmo_protocol::review::{ReviewKind, ReviewStatus};
use qianmo_protocol::time::UnixMillis;
use qianmo_server::password::PasswordHash;
use qianmo_server::registry::Account;

use crate::office::{Answer, Office, Sample, sample};
use crate::world::{NOW, World};

pub(crate) const PASSWORD: &str = "山桃花开 before-rain";
const NEW: &str = "核桃楸树下 42 亩";
const COORDINATOR: &str = "C01";
const TECHNICIAN: &str = "P01";
pub(crate) const HOST: &str = "127.0.0.1";

/// Hashing is slow by intent: once for all tests.
fn hash() -> PasswordHash {
    static HASH: OnceLock<String> = OnceLock::new();
    PasswordHash::stored(HASH.get_or_init(|| PasswordHash::of(PASSWORD).unwrap().as_str().to_owned()))
}

pub(crate) fn give_account(world: &mut World, person: &str, must_change: bool) {
    let code = Code::new(person).unwrap();
    let account = Account { must_change, ..Account::fresh(code.clone(), code, hash(), UnixMillis(NOW)) };
    world.core.make_account(UnixMillis(NOW), account, None).unwrap();
}

/// A browser: it keeps its cookie, and sends what a page's form carries.
pub(crate) struct Browser<'a> {
    office: &'a Office,
    cookie: Option<String>,
    pub(crate) csrf: String,
}

fn encoded(fields: &[(&str, &str)]) -> String {
    let one = |(name, value): &(&str, &str)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
    fields.iter().map(one).collect::<Vec<_>>().join("&")
}

/// The value of a hidden field.
pub(crate) fn hidden(page: &str, name: &str) -> String {
    let tag = page.split("<input ").find(|tag| tag.contains(&format!("name=\"{name}\"")));
    let tag = tag.unwrap_or_else(|| panic!("no field {name}: {page}"));
    tag.split("value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

impl<'a> Browser<'a> {
    pub(crate) fn new(office: &'a Office) -> Self {
        Self { office, cookie: None, csrf: String::new() }
    }

    pub(crate) async fn signed_in(office: &'a Office, login: &str) -> Self {
        let mut browser = Self::new(office);
        let answer = browser.sign_in(login, PASSWORD).await;
        // Whoever decides begins with what waits.
        assert_eq!(answer.status, 303, "{}", answer.body);
        assert!(matches!(answer.header("location"), Some("/" | "/inbox")), "{:?}", answer.header("location"));
        browser
    }

    pub(crate) async fn sign_in(&mut self, login: &str, password: &str) -> Answer {
        let answer = self.post("/sign-in", &[("login", login), ("password", password), ("next", "/")]).await;
        if answer.status == 303 {
            self.csrf = hidden(&self.get("/account").await.body, "csrf");
        }
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let cookie = self.cookie.clone().unwrap_or_default();
        self.office.send("GET", path, &[("Host", HOST), ("Cookie", &cookie)], "").await
    }

    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post_from(path, fields, &format!("http://{HOST}")).await
    }

    pub(crate) async fn post_from(&mut self, path: &str, fields: &[(&str, &str)], origin: &str) -> Answer {
        let cookie = self.cookie.clone().unwrap_or_default();
        let headers = [
            ("Host", HOST),
            ("Origin", origin),
            ("Cookie", cookie.as_str()),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        let answer = self.office.send("POST", path, &headers, &encoded(fields)).await;
        if let Some(set) = answer.header("set-cookie") {
            self.cookie = Some(set.split(';').next().unwrap().to_owned());
        }
        answer
    }

    /// Acts on a record as its page is now.
    pub(crate) async fn act(&mut self, record: &DocId, page: &str, kind: &str, fields: &[(&str, &str)]) -> Answer {
        self.act_at(&format!("/records/{record}/act"), page, kind, fields).await
    }

    /// Acts at the address that a page's form names.
    pub(crate) async fn act_at(&mut self, path: &str, page: &str, kind: &str, fields: &[(&str, &str)]) -> Answer {
        let (csrf, heads, seen) = (self.csrf.clone(), hidden(page, "heads"), hidden(page, "seen"));
        let mut all = vec![("csrf", csrf.as_str()), ("heads", &heads), ("seen", &seen), ("kind", kind)];
        all.extend(fields);
        self.post(path, &all).await
    }
}

pub(crate) async fn status(office: &Office, record: DocId) -> (ReviewStatus, usize) {
    let read = office.hub.run(move |core, _| core.replica().record_row(&record).unwrap().unwrap());
    let row = read.await.unwrap();
    (row.review.status, row.conflicts.len())
}

pub(crate) async fn office_with(seed: u64, accounts: &[(&str, bool)]) -> (Office, Sample) {
    let mut sample = sample(seed, 2);
    for (person, must_change) in accounts {
        give_account(&mut sample.world, person, *must_change);
    }
    let world = core::mem::replace(&mut sample.world, World::new(1));
    (Office::open(world).await, sample)
}

#[tokio::test(flavor = "multi_thread")]
async fn coordinator_approves_returns_with_a_reason_and_settles_in_their_own_name() {
    let (office, sample) = office_with(301, &[(COORDINATOR, false)]).await;
    let mut browser = Browser::signed_in(&office, COORDINATOR).await;
    let record = sample.plain[0];
    let page = browser.get(&format!("/records/{record}")).await;
    for text in ["审核", "通过</button>", "退回修改</button>", "退回原因"] {
        assert!(page.body.contains(text), "{text}");
    }
    let done = browser.act(&record, &page.body, "approve", &[]).await;
    assert_eq!(done.status, 303, "{}", done.body);
    assert!(browser.get(done.header("location").unwrap()).await.body.contains("已通过。"));
    assert_eq!(status(&office, record).await.0, ReviewStatus::Approved);

    let record = sample.plain[1];
    let page = browser.get(&format!("/records/{record}")).await;
    let wordless = browser.act(&record, &page.body, "return", &[("note", " \r\n")]).await;
    assert_eq!(wordless.status, 422);
    assert!(wordless.body.contains("请写明意见") && wordless.body.contains("role=\"alert\""));
    let fields = [("note", "请补充<地块>"), ("reason", "unclear"), ("field", "content"), ("field_note", "哪一块地？")];
    assert_eq!(browser.act(&record, &page.body, "return", &fields).await.status, 303);
    assert_eq!(status(&office, record).await.0, ReviewStatus::Returned);
    let page = browser.get(&format!("/records/{record}")).await.body;
    for text in ["请补充&#60;地块&#62;", "哪一块地？", "C01"] {
        assert!(page.contains(text), "{text}");
    }
    let read = office.hub.run(move |core, _| core.replica().reviews(&record).unwrap());
    let event = read.await.unwrap().pop().unwrap().event;
    assert_eq!((event.kind, event.person.as_str()), (ReviewKind::Return, COORDINATOR));

    let record = sample.conflict;
    let page = browser.get(&format!("/records/{record}")).await.body;
    assert_eq!(status(&office, record).await.1, page.matches("采用这个").count() / 2);
    let csrf = browser.csrf.clone();
    let (heads, path, keep) = (hidden(&page, "heads"), hidden(&page, "path"), hidden(&page, "keep"));
    let fields = [("csrf", csrf.as_str()), ("heads", &heads), ("path", &path), ("keep", &keep)];
    let before = status(&office, record).await.1;
    assert_eq!(browser.post(&format!("/records/{record}/settle"), &fields).await.status, 303);
    assert_eq!(status(&office, record).await.1, before - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn decision_on_a_version_that_moved_shows_what_is_new_and_keeps_what_was_typed() {
    let (office, sample) = office_with(302, &[(COORDINATOR, false)]).await;
    let (mut first, mut second) =
        (Browser::signed_in(&office, COORDINATOR).await, Browser::signed_in(&office, COORDINATOR).await);
    let record = sample.conflict;
    let page = first.get(&format!("/records/{record}")).await.body;
    let csrf = second.csrf.clone();
    let (heads, path, keep) = (hidden(&page, "heads"), hidden(&page, "path"), hidden(&page, "keep"));
    let fields = [("csrf", csrf.as_str()), ("heads", &heads), ("path", &path), ("keep", &keep)];
    assert_eq!(second.post(&format!("/records/{record}/settle"), &fields).await.status, 303);
    let moved = first.act(&record, &page, "return", &[("note", "写了很久的意见")]).await;
    assert_eq!(moved.status, 409);
    assert!(moved.body.contains("您查看期间这条记录有改动") && moved.body.contains("写了很久的意见</textarea>"));
    assert!(moved.body.contains("class=\"new\""));
    assert_eq!(status(&office, record).await.0, ReviewStatus::Pending);
    assert_eq!(first.act(&record, &moved.body, "return", &[("note", "写了很久的意见")]).await.status, 303);
    assert_eq!(status(&office, record).await.0, ReviewStatus::Returned);
}

#[tokio::test(flavor = "multi_thread")]
async fn form_without_session_token_or_from_elsewhere_does_nothing() {
    let (office, sample) = office_with(303, &[(COORDINATOR, false), (TECHNICIAN, false)]).await;
    let record = sample.plain[0];
    let mut signed = Browser::signed_in(&office, COORDINATOR).await;
    let page = signed.get(&format!("/records/{record}")).await.body;
    let (heads, seen, csrf) = (hidden(&page, "heads"), hidden(&page, "seen"), signed.csrf.clone());
    let path = format!("/records/{record}/act");
    let fields = |csrf: &'static str| [("csrf", csrf), ("kind", "approve")];
    for (answer, why) in [
        (Browser::new(&office).post(&path, &fields("x")).await, "nobody is signed in"),
        (signed.post(&path, &fields("")).await, "no token"),
        (signed.post(&path, &fields("AAAA")).await, "another token"),
    ] {
        assert!(matches!(answer.status, 401 | 403), "{why}: {}", answer.status);
    }
    let good = [("csrf", csrf.as_str()), ("kind", "approve"), ("heads", &heads), ("seen", &seen)];
    let foreign = signed.post_from(&path, &good, "https://evil.example").await;
    assert_eq!(foreign.status, 403);
    assert_eq!(office.send("PUT", &path, &[("Host", HOST)], "").await.status, 405);

    // A technician reads and comments; a decision is refused, whatever the form says.
    let mut technician = Browser::signed_in(&office, TECHNICIAN).await;
    let page = technician.get(&format!("/records/{record}")).await.body;
    assert!(!page.contains("value=\"approve\"") && page.contains("value=\"comment\""));
    let refused = technician.act(&record, &page, "approve", &[]).await;
    assert_eq!(refused.status, 403);
    assert_eq!(status(&office, record).await.0, ReviewStatus::Pending);
    assert_eq!(technician.act(&record, &page, "comment", &[("note", "请看照片")]).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_password_closed_account_and_unknown_name_are_refused_alike_and_guessing_waits() {
    let (office, _) = office_with(304, &[(COORDINATOR, false), (TECHNICIAN, false)]).await;
    let technician = Code::new(TECHNICIAN).unwrap();
    let closed = office.hub.run(move |core, now| core.change_account(&technician, |account| account.close(now)));
    closed.await.unwrap().unwrap();
    let mut said = Vec::new();
    for (login, password) in [(COORDINATOR, "wrong-password"), (TECHNICIAN, PASSWORD), ("X99", PASSWORD), ("<b>", "x")]
    {
        let answer = Browser::new(&office).sign_in(login, password).await;
        assert_eq!(answer.status, 401);
        assert!(answer.header("set-cookie").is_none() && !answer.body.contains("<b>"), "{login}");
        said.push(answer.body.split("role=\"alert\">").nth(1).unwrap().split('<').next().unwrap().to_owned());
    }
    assert!(said.iter().all(|one| one == "账号或密码不对。"), "{said:?}");
    for _ in 0..5 {
        Browser::new(&office).sign_in(COORDINATOR, "wrong-password").await;
    }
    let waiting = Browser::new(&office).sign_in(COORDINATOR, PASSWORD).await;
    assert_eq!(waiting.status, 429, "even the right one");
    assert!(waiting.body.contains("秒后再试"));
}

#[tokio::test(flavor = "multi_thread")]
async fn given_password_is_changed_before_anything_else_and_ends_other_sessions() {
    let (office, sample) = office_with(305, &[(COORDINATOR, true)]).await;
    let mut browser = Browser::signed_in(&office, COORDINATOR).await;
    let other = Browser::signed_in(&office, COORDINATOR).await;
    let record = sample.plain[0];
    let page = browser.get(&format!("/records/{record}")).await.body;
    assert!(page.contains("请先把管理员给的密码改成自己的"));
    let sent_on = browser.act(&record, &page, "approve", &[]).await;
    assert_eq!(sent_on.header("location"), Some("/account"));
    assert_eq!(status(&office, record).await.0, ReviewStatus::Pending);

    let csrf = browser.csrf.clone();
    let change = |present: &'static str, new: &'static str, again: &'static str| {
        vec![("present", present), ("new", new), ("again", again)]
    };
    for (fields, said) in [
        (change(PASSWORD, NEW, "别的密码 42 亩 x"), "两次输入的新密码不一样"),
        (change(PASSWORD, "short", "short"), "新密码至少要 10 个字符"),
        (change(PASSWORD, PASSWORD, PASSWORD), "新密码和现在的一样"),
        (change("不是这个密码 at all", NEW, NEW), "现在的密码不对"),
    ] {
        let fields: Vec<_> = fields.into_iter().chain([("csrf", csrf.as_str())]).collect();
        let answer = browser.post("/account", &fields).await;
        assert!(matches!(answer.status, 401 | 422) && answer.body.contains(said), "{said}: {}", answer.status);
    }
    let fields: Vec<_> = change(PASSWORD, NEW, NEW).into_iter().chain([("csrf", csrf.as_str())]).collect();
    assert_eq!(browser.post("/account", &fields).await.header("location"), Some("/account?done=yes"));
    assert!(browser.get("/account?done=yes").await.body.contains("密码已修改"));
    assert_eq!(other.get("/account").await.status, 303, "the other session is over");
    browser.csrf = hidden(&browser.get("/account").await.body, "csrf");
    let page = browser.get(&format!("/records/{record}")).await.body;
    assert_eq!(browser.act(&record, &page, "approve", &[]).await.status, 303);
    assert_eq!(status(&office, record).await.0, ReviewStatus::Approved);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_one_session_and_everywhere_ends_all() {
    let (office, _) = office_with(306, &[(COORDINATOR, false)]).await;
    let mut one = Browser::signed_in(&office, COORDINATOR).await;
    let mut two = Browser::signed_in(&office, COORDINATOR).await;
    let kept = one.cookie.clone();
    let csrf = one.csrf.clone();
    assert_eq!(one.post("/sign-out", &[("csrf", &csrf)]).await.header("location"), Some("/sign-in"));
    one.cookie = kept;
    assert_eq!(one.get("/account").await.status, 303, "its cookie is worth nothing any more");
    assert_eq!(two.get("/account").await.status, 200);
    let three = Browser::signed_in(&office, COORDINATOR).await;
    let csrf = two.csrf.clone();
    assert_eq!(two.post("/sign-out", &[("csrf", &csrf), ("everywhere", "yes")]).await.status, 303);
    assert_eq!(three.get("/account").await.status, 303);
    assert!(three.get("/").await.body.contains("登录</a>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_for_who_is_signed_in_are_in_one_language_and_have_no_script() {
    let (office, sample) = office_with(307, &[(COORDINATOR, false)]).await;
    let browser = Browser::signed_in(&office, COORDINATOR).await;
    let sign_in = Browser::new(&office).get("/sign-in?lang=en&next=/").await;
    let account = browser.get("/account?lang=en").await;
    for (page, words) in [(&sign_in, ["Sign in", "Password"]), (&account, ["Change password", "Sign out everywhere"])] {
        assert_eq!(page.status, 200);
        let plain = page.body.replace("中文", "").replace("平谷&#60;样例&#62;推广站", "");
        assert!(!plain.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)), "{plain}");
        assert!(words.iter().all(|word| page.body.contains(word)), "{}", page.body);
        assert_eq!(page.header("cache-control"), Some("no-store"));
    }
    let record = browser.get(&format!("/records/{}?lang=en", sample.plain[0])).await;
    assert!(record.body.contains("Send back</button>") && record.body.contains("A decision covers the version"));
}
