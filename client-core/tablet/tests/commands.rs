//! The program as a person runs it, on a device that no organisation knows yet: what it says, and what it ends with.
#![allow(clippy::unwrap_used, reason = "test harness: a failed step is the failure")]

use qianmo_tablet::{Environment, Exit, Terminal, run};
use tempfile::TempDir;

/// 2025-06-18 09:30 in Shanghai.
const MORNING_MS: i64 = 1_750_210_200_000;

/// A tablet with a folder of its own.
struct Tablet {
    folder: TempDir,
    locale: &'static str,
    now_ms: i64,
}

/// What a run said.
struct Said {
    exit: Exit,
    out: String,
    err: String,
}

impl Tablet {
    fn new(locale: &'static str) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), locale, now_ms: MORNING_MS }
    }

    fn run(&self, line: &[&str]) -> Said {
        self.answer(line, "")
    }

    fn answer(&self, line: &[&str], input: &str) -> Said {
        let folder = self.folder.path().to_str().unwrap();
        let environment = Environment::default().with("LANG", self.locale).with("QIANMO_DATA", folder).at(self.now_ms);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let arguments = std::iter::once("qianmo").chain(line.iter().copied());
        let exit = run(arguments, &environment, Terminal::new(input.as_bytes(), &mut out, &mut err));
        Said { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
    }
}

fn zh() -> Tablet {
    Tablet::new("zh_CN.UTF-8")
}

fn en() -> Tablet {
    Tablet::new("C.UTF-8")
}

#[test]
fn new_device_is_told_how_to_enrol() {
    let said = zh().run(&["status"]);
    assert_eq!(said.exit, Exit::Done, "{}", said.err);
    assert!(said.out.contains("这台设备还没有登记\n  下一步：向管理员要一张登记票"), "{}", said.out);
    assert!(said.out.contains("记录0条；草稿0份；待上传0条；被隔离0条\n还没有同步过"), "{}", said.out);
    let said = en().run(&["sync"]);
    assert_eq!(said.exit, Exit::NotEnrolled);
    assert!(said.err.starts_with("Error: this device is not enrolled\n  next: ask the administrator"), "{}", said.err);
}

#[test]
fn text_that_is_no_ticket_is_refused_as_a_usage_error() {
    let said = zh().answer(&["enroll", "-", "--label", "三号"], "not a ticket\n");
    assert_eq!(said.exit, Exit::Usage, "{}", said.err);
    assert!(said.err.contains("登记票：") && said.err.contains("错误：登记票读不懂\n  详情："), "{}", said.err);
}

#[test]
fn answers_survive_the_end_of_input_as_a_draft_and_can_be_resumed() {
    let tablet = zh();
    let said = tablet.answer(&["new", "visit"], "\n现场\n\n\n\n");
    assert_eq!(said.exit, Exit::Done, "{}", said.err);
    assert!(said.err.contains("这台设备还没有登记：填写的内容会存为草稿"), "{}", said.err);
    assert!(said.err.contains(") 日期 ＊必填 [2025-06-18]"), "{}", said.err);
    assert!(said.err.contains("已存在本机，不会上传。接着写：qianmo drafts resume"), "{}", said.err);

    let listed = tablet.run(&["drafts"]);
    assert!(listed.out.contains("走访巡田") && listed.out.contains("新记录"), "{}", listed.out);
    let json: serde_json::Value = serde_json::from_str(&tablet.run(&["drafts", "--json"]).out).unwrap();
    assert_eq!(json.pointer("/0/fields/service_mode"), Some(&"onsite".into()));
    assert_eq!(json.pointer("/0/fields/activity_date"), Some(&"2025-06-18".into()));

    let id = json.pointer("/0/draft").and_then(|id| id.as_str()).unwrap().to_owned();
    let (start, _) = id.split_at(5);
    let resumed = tablet.answer(&["drafts", "resume", start], ":skip\n:skip\n:back\n:save\n");
    assert_eq!(resumed.exit, Exit::Done, "{}", resumed.err);
    assert!(resumed.err.contains("服务方式 ＊必填 [现场]"), "{}", resumed.err);
    let discarded = tablet.run(&["drafts", "discard", start]);
    assert_eq!(discarded.out, format!("草稿 {id} 已删掉\n"));
    assert!(tablet.run(&["drafts"]).err.starts_with("没有草稿"));
}

#[test]
fn clock_of_1970_fills_in_no_date_and_says_so() {
    let mut tablet = zh();
    tablet.now_ms = 0;
    let said = tablet.answer(&["new", "visit"], "\n现场\n");
    assert!(said.err.contains("设备时间是 1970-01-01 08:00，显然不对"), "{}", said.err);
    assert!(said.err.contains(") 日期 ＊必填\n"), "{}", said.err);
}

#[test]
fn script_can_leave_a_draft_before_enrolment_but_no_record() {
    let tablet = en();
    let set = ["new", "visit", "--set", "Mode of service=现场", "--set", "content=bagging checked"];
    let saved = tablet.run(&[&set[..], &["--draft"]].concat());
    assert_eq!(saved.exit, Exit::Done, "{}", saved.err);
    assert!(saved.out.starts_with("Draft saved: Field visit "), "{}", saved.out);
    let refused = tablet.run(&set);
    assert_eq!(refused.exit, Exit::NotEnrolled);
    assert!(refused.err.contains("next: ask the administrator for a ticket"), "{}", refused.err);
}

#[test]
fn unknown_names_are_told_with_what_there_is() {
    let tablet = en();
    let form = tablet.run(&["new", "vist"]);
    assert_eq!(form.exit, Exit::Usage);
    assert!(
        form.err.contains("there is no form “vist”\n") && form.err.contains("why: visit Field visit"),
        "{}",
        form.err
    );
    let field = tablet.run(&["new", "visit", "--set", "area=3"]);
    assert_eq!(field.exit, Exit::Usage);
    assert!(field.err.contains("why: area_seen_mu Area seen\n"), "{}", field.err);
    assert!(!field.err.contains("remark"), "{}", field.err);
    let record = tablet.run(&["show", "1a2b3c"]);
    assert_eq!(record.exit, Exit::Failed);
    assert!(record.err.contains("record 1a2b3c is not on this device"), "{}", record.err);
    let digits = tablet.run(&["show", "1a2"]);
    assert_eq!(digits.exit, Exit::Usage);
    assert!(digits.err.contains("hexadecimal digits, 4 at least"), "{}", digits.err);
}

#[test]
fn empty_device_lists_and_exports_nothing_and_says_what_to_do() {
    let tablet = en();
    let listed = tablet.run(&["list"]);
    assert_eq!((listed.exit, listed.out.as_str()), (Exit::Done, ""));
    assert!(listed.err.starts_with("No records on this device yet."), "{}", listed.err);
    assert_eq!(tablet.run(&["list", "--json"]).out, "[]\n");
    let file = tablet.folder.path().join("all.csv");
    let exported = tablet.run(&["export", "--to", file.to_str().unwrap()]);
    assert_eq!(exported.exit, Exit::Done, "{}", exported.err);
    assert_eq!(exported.err, "Records exported: 0, without personal data\n");
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("\u{FEFF}record,form,station,"));
    assert!(!tablet.folder.path().join("all.csv.part").exists());
    let nowhere = tablet.run(&["export", "--to", "/no/such/folder/x.json"]);
    assert_eq!(nowhere.exit, Exit::Failed);
    assert!(nowhere.err.contains("next: check the path"), "{}", nowhere.err);
}

#[test]
fn forms_are_listed_when_none_is_named() {
    let said = zh().run(&["new"]);
    assert_eq!(said.exit, Exit::Done);
    assert!(said.out.contains("visit") && said.out.contains("走访巡田"), "{}", said.out);
}

#[test]
fn language_of_the_command_line_wins_over_the_locale() {
    let said = zh().run(&["--lang", "en", "frobnicate"]);
    assert_eq!(said.exit, Exit::Usage);
    assert_eq!(said.err, "Error: there is no command “frobnicate”\n  next: add --help for usage and examples\n");
    let said = en().run(&["list", "--lang=zh", "--help"]);
    assert_eq!(said.exit, Exit::Done);
    assert!(said.out.starts_with("列出本机的记录") && said.out.contains("用法： qianmo list"), "{}", said.out);
    assert!(said.out.contains("--data <DIR>") && said.out.contains("数据文件夹"), "{}", said.out);
}

#[test]
fn data_folder_in_use_is_named_with_the_way_out() {
    let tablet = en();
    // While one run waits for an answer, another one starts.
    struct Second<'t>(&'t Tablet, Option<Said>);
    impl std::io::Read for Second<'_> {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            self.1.get_or_insert_with(|| {
                std::thread::scope(|scope| scope.spawn(|| self.0.run(&["status"])).join().unwrap())
            });
            Ok(0)
        }
    }
    let mut second = Second(&tablet, None);
    let folder = tablet.folder.path().to_str().unwrap();
    let environment = Environment::default().with("QIANMO_DATA", folder).at(MORNING_MS);
    let input = std::io::BufReader::new(&mut second);
    let first = run(["qianmo", "new", "visit"], &environment, Terminal::new(input, std::io::sink(), std::io::sink()));
    assert_eq!(first, Exit::Done);
    let said = second.1.unwrap();
    assert_eq!(said.exit, Exit::Failed);
    assert!(said.err.contains("is in use by another program\n  next: close the other qianmo"), "{}", said.err);
}

#[test]
fn damaged_index_is_rebuilt_without_losing_a_draft_and_said_once() {
    let tablet = en();
    let saved = tablet.run(&["new", "visit", "--set", "content=bagging checked", "--draft"]);
    assert_eq!(saved.exit, Exit::Done, "{}", saved.err);
    let index = tablet.folder.path().join("index");
    assert!(index.is_dir());
    std::fs::remove_dir_all(&index).unwrap();
    std::fs::create_dir_all(index.join("sled")).unwrap();
    std::fs::write(index.join("sled/conf"), b"not a configuration").unwrap();
    let listed = tablet.run(&["drafts"]);
    assert_eq!(listed.exit, Exit::Done, "{}", listed.err);
    assert!(listed.err.starts_with("The index was built anew at opening; no record is changed"), "{}", listed.err);
    assert!(listed.out.contains("Field visit"), "{}", listed.out);
    assert!(!tablet.run(&["drafts"]).err.contains("built anew"));
}

#[test]
fn damaged_log_is_never_said_to_be_whole() {
    let tablet = en();
    for content in ["first", "second", "third"] {
        let saved = tablet.run(&["new", "visit", "--set", &format!("content=bagging checked {content}"), "--draft"]);
        assert_eq!(saved.exit, Exit::Done, "{}", saved.err);
    }
    let segment = tablet.folder.path().join("log/00000001-0000.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    std::fs::remove_dir_all(tablet.folder.path().join("index")).unwrap();
    let listed = tablet.run(&["drafts"]);
    assert_eq!(listed.exit, Exit::Done, "{}", listed.err);
    assert!(listed.err.contains("records saved there may be missing"), "{}", listed.err);
    assert!(!listed.err.contains("every saved record is kept"), "{}", listed.err);
    let told = tablet.run(&["--lang", "zh", "drafts"]).err;
    assert!(told.contains("损坏处的记录可能缺了"), "{told}");
}

#[test]
fn reader_that_goes_away_ends_the_run_quietly() {
    struct Gone;
    impl std::io::Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let tablet = en();
    let environment = Environment::default().with("QIANMO_DATA", tablet.folder.path().to_str().unwrap());
    let mut err = Vec::new();
    let exit = run(["qianmo", "status"], &environment, Terminal::new(&b""[..], Gone, &mut err));
    assert_eq!((exit, err.as_slice()), (Exit::Done, &b""[..]));
    let exit = run(["qianmo", "--help"], &environment, Terminal::new(&b""[..], Gone, &mut err));
    assert_eq!((exit, err.as_slice()), (Exit::Done, &b""[..]));
}

#[test]
fn folder_that_nothing_names_is_asked_for() {
    let mut err = Vec::new();
    let exit = run(["qianmo", "list"], &Environment::default(), Terminal::new(&b""[..], std::io::sink(), &mut err));
    assert_eq!(exit, Exit::Usage);
    assert!(String::from_utf8(err).unwrap().contains("next: name a folder with --data"));
}

#[test]
fn evict_says_what_it_cannot_let_go_of_and_lists_what_is_gone() {
    let said = en().run(&["evict", "ST01/2025-06"]);
    assert_eq!(said.exit, Exit::Failed);
    assert!(said.err.starts_with("Error: nothing of ST01/2025-06 is on this device\n  next: "), "{}", said.err);
    let said = zh().run(&["evict", "ST01/2025-06", "ST01/六月"]);
    assert_eq!(said.exit, Exit::Rejected);
    assert!(said.err.contains("有2个日志本还不能移走") && said.err.contains("“ST01/六月”不是日志本"), "{}", said.err);
    let said = zh().run(&["evict", "--before", "2025-01"]);
    assert_eq!((said.exit, said.out.as_str()), (Exit::Done, ""), "{}", said.err);
    let said = zh().run(&["evict", "--list", "--json"]);
    assert_eq!((said.exit, said.out.trim()), (Exit::Done, "[]"), "{}", said.err);
    let said = en().run(&["bring-back", "ST01/2025-06"]);
    assert_eq!(said.exit, Exit::Failed);
    assert!(said.err.contains("was not let go of here") && said.err.contains("qianmo evict --list"), "{}", said.err);
}
