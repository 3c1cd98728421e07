//! `qianmo import --dry-run` as a person runs it: what it says, writes and ends with; and every file that is no ledger, explained.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test harness: a failed step is the failure")]

use std::fs;
use std::path::{Path, PathBuf};

use qianmo_tablet::{Environment, Exit, Terminal, run};
use serde_json::Value;
use tempfile::TempDir;

struct Said {
    exit: Exit,
    out: String,
    err: String,
}

fn sample(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../server/bin/data/sample").join(name).display().to_string()
}

/// A run without any data folder: a dry run needs none.
fn import(locale: &str, arguments: &[&str]) -> Said {
    let environment = Environment::default().with("LANG", locale);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let line = ["qianmo", "import"].into_iter().chain(arguments.iter().copied());
    let exit = run(line, &environment, Terminal::new(&b""[..], &mut out, &mut err));
    Said { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

fn dry_run(locale: &str, ledger: &str, with: &str, more: &[&str]) -> Said {
    let arguments = [&[ledger, "--with", with, "--year", "2025", "--dry-run"], more].concat();
    import(locale, &arguments)
}

fn path(folder: &TempDir, name: &str) -> (PathBuf, String) {
    let path = folder.path().join(name);
    (path.clone(), path.to_str().unwrap().to_owned())
}

#[test]
fn dry_run_reports_the_sample_and_writes_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (report, report_name) = path(&folder, "report.json");
    let said = dry_run("zh_CN.UTF-8", &sample("visits-2025.csv"), &sample(""), &["--report", &report_name]);
    assert_eq!(said.exit, Exit::Done, "{}", said.err);
    assert!(said.err.contains("试运行：没有入库"), "{}", said.err);
    let summary =
        "visits-2025.csv（utf-8-bom）：3048行\n跳过42行，拒收159行，接收2847行（其中更正1070行，已通过审核2312行）";
    assert!(said.out.contains(summary), "{}", said.out);
    for (count, name) in
        [("32", "duplicate_record_no"), ("196", "DATE_FORMAT"), ("147", "late_report"), ("24", "blank_row")]
    {
        let line = said.out.lines().find(|line| line.ends_with(&format!(" {name}"))).unwrap();
        assert!(line.split_whitespace().any(|word| word == count), "{line}");
    }
    let written: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    assert_eq!(written["accepted"], 2847);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "only the report");
    let said = dry_run("C.UTF-8", &sample("visits-2025.csv"), &sample(""), &["--json"]);
    assert_eq!(serde_json::from_str::<Value>(&said.out).unwrap(), written);
    let said = dry_run("C.UTF-8", &sample("samples/visits-sample-gb18030.csv"), &sample(""), &[]);
    assert!(said.out.contains("(gb18030): 201 rows\n9 skipped, 24 refused, 168 accepted"), "{}", said.out);
}

#[test]
fn refused_rows_come_back_with_the_same_reasons_until_they_are_corrected() {
    let folder = tempfile::tempdir().unwrap();
    let (refused, refused_name) = path(&folder, "refused.csv");
    let said = dry_run("C", &sample("visits-2025.csv"), &sample(""), &["--rejected", &refused_name, "--json"]);
    let first: Value = serde_json::from_str(&said.out).unwrap();
    let text = fs::read_to_string(&refused).unwrap();
    assert!(text.starts_with("\u{FEFF}拒收原因,记录编号,站点编号,"), "{}", &text[..60]);
    assert!(text.contains("日期无法识别或日历上没有这一天"));
    let (_, again_name) = path(&folder, "again.csv");
    let said = dry_run("C", &refused_name, &sample(""), &["--rejected", &again_name, "--json"]);
    let second: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(second["records"], first["rejected"]);
    for (reason, count) in first["rejected_by_reason"].as_object().unwrap() {
        // What was refused for being there already is new in a file of its own.
        if !reason.starts_with("duplicate_") {
            assert_eq!(&second["rejected_by_reason"][reason], count, "{reason}");
        }
    }
    // Corrected, it is taken.
    let corrected = text.replace("\r\n", "\n").lines().next().unwrap().to_owned();
    let row = text.lines().find(|line| line.contains(",2025/13/5,")).unwrap().replace(",2025/13/5,", ",2025-03-05,");
    fs::write(&refused, format!("{corrected}\n{row}\n")).unwrap();
    let said = dry_run("C", &refused_name, &sample(""), &["--json"]);
    let third: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&third["accepted"], &third["rejected"]), (&1.into(), &0.into()), "{row}");
}

#[test]
fn file_that_is_no_ledger_is_explained_in_both_languages() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let (place, name) = path(&folder, name);
        fs::write(place, bytes).unwrap();
        name
    };
    let here = folder.path().to_str().unwrap().to_owned();
    let quote = format!("记录编号,日期\n1,\"{}", "x\n".repeat(800_000));
    for (ledger, why, next) in [
        (write("empty.csv", b""), "empty", "right file"),
        (write("book.xlsx", b"PK\x03\x04"), "workbook", "CSV UTF-8"),
        (write("utf16.csv", &[0xFF, 0xFE, 1, 2]), "UTF-16", "CSV UTF-8"),
        (write("binary.csv", &[0, 1, 2]), "binary", "text file"),
        (write("header.csv", "甲,乙\n1,2\n".as_bytes()), "begins with \"甲,乙\"", "must be the header"),
        (write("quote.csv", quote.as_bytes()), "a quote may be open", "not closed"),
        (write("bytes.csv", b"\xC8\xD5\xC6\xDA\n\xFF\xFF\n"), "line 2, column 1: bytes that are neither", "UTF-8"),
        (write("wide.csv", "日期,".repeat(201).as_bytes()), "202 columns, at most 200", "that line"),
        (here.clone(), "directory", "name the file in it"),
        (format!("{here}/none.csv"), "cannot be read", "path"),
    ] {
        let said = dry_run("C.UTF-8", &ledger, &sample(""), &[]);
        assert_eq!(said.exit, Exit::Failed, "{ledger}: {}", said.err);
        assert!(said.err.contains(why) && said.err.contains(next), "{ledger}: {}", said.err);
        let said = dry_run("zh_CN.UTF-8", &ledger, &sample(""), &[]);
        assert!(said.err.contains("错误：") && said.err.contains("下一步："), "{ledger}: {}", said.err);
    }
}

#[test]
fn ledger_is_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, name) = path(&folder, "ledger.csv");
    fs::copy(sample("visits-2025.csv"), &ledger).unwrap();
    for option in ["--report", "--rejected"] {
        let said = dry_run("C.UTF-8", &name, &sample(""), &[option, &name]);
        assert_eq!(said.exit, Exit::Usage, "{}", said.err);
        assert!(said.err.contains("cannot go into the ledger itself"), "{}", said.err);
    }
    assert_eq!(fs::read(&ledger).unwrap(), fs::read(sample("visits-2025.csv")).unwrap());
}

#[test]
fn folder_that_is_no_directory_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let with = folder.path().to_str().unwrap().to_owned();
    let ledger = sample("visits-2025.csv");
    let said = dry_run("C.UTF-8", &ledger, &with, &[]);
    assert_eq!(said.exit, Exit::Failed);
    assert!(said.err.contains("stations.json cannot be read"), "{}", said.err);
    assert!(said.err.contains("must have stations.json and pinggu-divisions.csv"), "{}", said.err);
    fs::copy(sample("pinggu-divisions.csv"), folder.path().join("pinggu-divisions.csv")).unwrap();
    fs::write(folder.path().join("stations.json"), "{\n \"stations\": [}").unwrap();
    let said = dry_run("C.UTF-8", &ledger, &with, &[]);
    assert!(said.err.contains("stations.json, line 2, column"), "{}", said.err);
    fs::copy(sample("stations.json"), folder.path().join("stations.json")).unwrap();
    fs::write(folder.path().join("vocab.json"), "{}").unwrap();
    let said = dry_run("C.UTF-8", &ledger, &with, &[]);
    assert!(said.err.contains("vocab.json: line 1") && said.err.contains("null_tokens"), "{}", said.err);
    fs::remove_file(folder.path().join("vocab.json")).unwrap();
    fs::write(folder.path().join("pinggu-divisions.csv"), "code,name,level,parent_code\n1,某村,village,2\n").unwrap();
    let said = dry_run("C.UTF-8", &ledger, &with, &[]);
    assert!(said.err.contains("pinggu-divisions.csv: line 2: "), "{}", said.err);
}

#[test]
fn filing_needs_an_enrolment_and_a_dry_run_a_year() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let (ledger, with) = (sample("visits-2025.csv"), sample(""));
    let said = import("C.UTF-8", &[&ledger, "--with", &with, "--year", "2025", "--data", data]);
    assert_eq!(said.exit, Exit::NotEnrolled, "{}", said.err);
    let said = import("C.UTF-8", &[&ledger, "--with", &with, "--dry-run"]);
    assert_eq!(said.exit, Exit::Usage, "{}", said.err);
    let said = import("C.UTF-8", &[&ledger, "--with", &with, "--year", "25", "--dry-run"]);
    assert_eq!(said.exit, Exit::Usage, "{}", said.err);
}
