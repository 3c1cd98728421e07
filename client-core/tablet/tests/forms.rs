//! `qianmo forms` as a person runs it: on a machine that no organisation knows, with files that someone else wrote.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test harness: a failed step is the failure")]

use std::fs;
use std::path::Path;

use qianmo_tablet::{Environment, Exit, Terminal, run};
use serde_json::Value as Json;
use tempfile::TempDir;

const SOIL: &str = "id = 'local_soil'\nversion = 1\nkind = 'record'\nlabels = { zh = '测土', en = 'Soil test' }\n\
    [[sections]]\nname = 'all'\nlabels = { zh = '全部', en = 'All' }\n\
    [[fields]]\nname = 'ph'\nsection = 'all'\ntype = 'decimal'\ndecimals = 1\nlabels = { zh = '酸碱度', en = 'pH' }\nrequired = true\n";

const OVERLAY: &str = "form = 'visit'\nlocal_version = 1\n[[changes]]\nname = 'crop_id'\nrequired = true\n";

/// What a run said.
struct Said {
    exit: Exit,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Json {
        serde_json::from_str(&self.out).unwrap()
    }
}

/// Runs a line with a data folder that does not exist yet.
fn said(data: &Path, locale: &str, line: &[&str]) -> Said {
    let environment = Environment::default()
        .with("LANG", locale)
        .with("QIANMO_DATA", data.to_str().unwrap())
        .with("COLUMNS", "160")
        .at(1_750_210_200_000);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let arguments = std::iter::once("qianmo").chain(line.iter().copied());
    let exit = run(arguments, &environment, Terminal::new(&b""[..], &mut out, &mut err));
    Said { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

fn zh(data: &Path, line: &[&str]) -> Said {
    said(data, "zh_CN.UTF-8", line)
}

fn en(data: &Path, line: &[&str]) -> Said {
    said(data, "C.UTF-8", line)
}

/// A folder, and a data folder that is not there.
fn place() -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    (folder, data)
}

#[test]
fn forms_are_listed_with_counts_and_nothing_is_opened() {
    let (_folder, data) = place();
    let listed = zh(&data, &["forms"]);
    assert_eq!(listed.exit, Exit::Done, "{}", listed.err);
    for (id, name) in
        [("visit", "走访巡田"), ("annual_task", "年度任务"), ("station", "名录（单位）"), ("target", "名录（站点）")]
    {
        assert!(listed.out.lines().any(|line| line.starts_with(id) && line.contains(name)), "{}", listed.out);
    }
    assert!(listed.err.contains("16张表单，32个列表"), "{}", listed.err);
    assert!(!data.exists(), "no store is made");
    let json = zh(&data, &["forms", "--json"]).json();
    let visit = json.as_array().unwrap().iter().find(|form| form["form"] == "visit").unwrap();
    assert_eq!(
        (&visit["kind"], &visit["labels"]["en"], &visit["home"]),
        (&"record".into(), &"Field visit".into(), &Json::Null)
    );
    assert_eq!((visit["personal"].as_u64(), visit["hidden"].as_u64()), (Some(3), Some(6)));
}

#[test]
fn form_is_shown_in_both_languages_by_id_or_label() {
    let (_folder, data) = place();
    for line in [["forms", "show", "demo"], ["forms", "show", "示范推广"]] {
        let shown = en(&data, &line);
        assert_eq!(shown.exit, Exit::Done, "{}", shown.err);
        for part in [
            "demo  示范推广 / Demonstration",
            "── 时间与人员 / When and who ──",
            "area_mu  示范推广面积 / Promoted area  [decimal .2; required; 亩 / mu]",
            "asked when: ${earlier_demo_id} = ''",
            "constraint: ${start_time} = '' or . >= ${start_time}",
            "says: 结束时间不能早于开始时间 / The end cannot be before the start",
            "results  测得结果 / Measured results  0 to 50 rows",
            "import_key  导入标识 / Import key  [text ≤80; hidden]",
        ] {
            assert!(shown.out.contains(part), "{part}\n{}", shown.out);
        }
    }
    let json = zh(&data, &["forms", "show", "demo", "--json"]).json();
    let field = json["fields"].as_array().unwrap().iter().find(|field| field["name"] == "area_mu").unwrap();
    assert_eq!((&field["max"], &field["required"], &field["type"]), (&"5000".into(), &true.into(), &"decimal".into()));
    assert_eq!(json["repeats"][1]["name"], "results");
    let unknown = zh(&data, &["forms", "show", "测土"]);
    assert_eq!(unknown.exit, Exit::Usage);
    assert!(unknown.err.contains("visit 走访巡田"), "{}", unknown.err);
}

#[test]
fn every_fault_of_a_form_by_someone_else_is_explained_in_the_person_s_language() {
    let (folder, data) = place();
    let bad = folder.path().join("soil.toml");
    fs::write(&bad, SOIL.replace("en = 'Soil test'", "").replace("decimals = 1\n", "constraint = '. >'\n")).unwrap();
    let path = bad.to_str().unwrap();
    let checked = zh(&data, &["forms", "check", path]);
    assert_eq!(checked.exit, Exit::Rejected);
    for part in [
        format!("{path}\n"),
        "  表单: labels: 缺少 `en` 的文字\n    → 中文 zh 和英文 en 都要写".to_owned(),
        "  项目 `ph`: decimals: 缺少这一项\n    → 补上".to_owned(),
        "  项目 `ph`: constraint: 第3字节处:该有值的地方表达式就结束了".to_owned(),
        "  项目 `ph`: constraint_message: 缺少这一项".to_owned(),
    ] {
        assert!(checked.out.contains(&part), "{part}\n{}", checked.out);
    }
    assert!(checked.err.contains("1个文件里有4处错误"), "{}", checked.err);
    let json = en(&data, &["forms", "check", path, "--json"]);
    assert_eq!(json.exit, Exit::Rejected);
    let faults = json.json();
    assert_eq!(faults["faults"].as_array().unwrap().len(), 4);
    assert_eq!(faults["faults"][0]["message"]["en"], "no text in `en`");
    assert_eq!(faults["faults"][0]["file"], path);
    for name in ["no-such-file.toml", folder.path().join("none").to_str().unwrap()] {
        let missing = en(&data, &["forms", "check", name]);
        assert_eq!(missing.exit, Exit::Rejected);
        assert!(missing.out.contains("cannot be read") && missing.out.contains("check the path"), "{}", missing.out);
    }
    let none = en(&data, &["forms", "check"]);
    assert_eq!(none.exit, Exit::Usage);
}

#[test]
fn good_files_and_folders_pass_the_check() {
    let (folder, data) = place();
    let own = folder.path().join("forms");
    fs::create_dir_all(own.join("overlays")).unwrap();
    fs::write(own.join("soil.toml"), SOIL).unwrap();
    fs::write(own.join("overlays/visit.toml"), OVERLAY).unwrap();
    for file in [own.as_path(), &own.join("soil.toml"), &own.join("overlays/visit.toml")] {
        let checked = en(&data, &["forms", "check", file.to_str().unwrap()]);
        assert_eq!((checked.exit, checked.err.as_str()), (Exit::Done, ""), "{}", checked.out);
        assert!(checked.out.contains("no fault"), "{}", checked.out);
    }
    // A form without the prefix is in order, but not for a district's folder.
    fs::write(own.join("soil.toml"), SOIL.replace("local_soil", "soil")).unwrap();
    let single = en(&data, &["forms", "check", own.join("soil.toml").to_str().unwrap()]);
    assert_eq!(single.exit, Exit::Done, "{}", single.err);
    assert!(single.out.contains("has to begin with local_"), "{}", single.out);
    let whole = en(&data, &["forms", "check", own.to_str().unwrap()]);
    assert_eq!(whole.exit, Exit::Rejected);
    assert!(whole.out.contains("put `local_` before the name"), "{}", whole.out);
}

#[test]
fn district_s_forms_are_used_by_every_command_and_a_faulty_folder_opens_nothing() {
    let (_folder, data) = place();
    let own = data.join("forms");
    fs::create_dir_all(own.join("overlays")).unwrap();
    fs::write(own.join("soil.toml"), SOIL).unwrap();
    fs::write(own.join("overlays/visit.toml"), OVERLAY).unwrap();
    let listed = en(&data, &["forms"]);
    assert!(listed.out.contains("local_soil") && listed.out.contains("1+1"), "{}", listed.out);
    let draft = en(&data, &["new", "local_soil", "--set", "ph=6.5", "--draft"]);
    assert_eq!(draft.exit, Exit::Done, "{}", draft.err);
    // What nobody is asked cannot be seen either in the list of forms, but may be set by name.
    let hidden = en(&data, &["new", "visit", "--set", "households=12", "--draft"]);
    assert_eq!(hidden.exit, Exit::Done, "{}", hidden.err);

    fs::write(own.join("soil.toml"), "id = ").unwrap();
    let refused = en(&data, &["status"]);
    assert_eq!(refused.exit, Exit::Failed);
    assert!(refused.err.contains("has 1 faults; nothing was opened"), "{}", refused.err);
    assert!(refused.err.contains("soil.toml: file: -: not TOML: line 1"), "{}", refused.err);
    assert!(refused.err.contains("qianmo forms check"), "{}", refused.err);
    // Another folder may be named.
    let with = en(&data, &["forms", "--with", data.join("nowhere").to_str().unwrap()]);
    assert_eq!(with.exit, Exit::Failed);
}
