//! Rules about the source itself that no compiler keeps: import edges, pinned versions, lengths, documents.
//!
//! A boundary not checked by a machine is a wish. Each test collects everything it finds before it fails, and says what to
//! do. The rules read the files git would commit (tracked, or new and not ignored), so scratch files do not matter.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test harness: a failed step is the failure"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use toml::{Table, Value};

/// Which room may import which: `docs` and ARCHITECTURE.md draw it. `tests` may import everything and is imported by nobody.
const EDGES: [(&str, &[&str]); 9] = [
    ("protocol", &[]),
    ("protocol/forms", &["protocol"]),
    ("protocol/look", &[]),
    ("protocol/replica", &["protocol", "protocol/forms"]),
    ("client-core", &["protocol", "protocol/forms", "protocol/replica"]),
    ("client-core/tablet", &["client-core", "protocol/forms", "protocol/look"]),
    ("client-core/bindings", &["client-core", "protocol/forms"]),
    ("server", &["protocol", "protocol/forms", "protocol/look", "protocol/replica"]),
    ("server/bin", &["server", "client-core", "client-core/tablet", "protocol/forms"]),
];

/// The folders of the top level; it stays as drawn.
const TOP_LEVEL: [&str; 8] = [".cargo", ".ci", "client-core", "deploy", "docs", "protocol", "server", "tests"];

/// Most lines of a module without its tests. A ratchet: lower it when the longest module allows, never raise it.
const MODULE_LINES_MAX: usize = 800;

/// Words that must not stand in code under `protocol/src`: it is pure, without IO, clock or global randomness.
const IMPURE: [&str; 12] = [
    "tokio",
    "quinn",
    "rustls",
    "sled",
    "std::fs",
    "std::net",
    "std::thread",
    "std::env",
    "SystemTime",
    "Instant",
    "OsRng",
    "thread_rng",
];

/// The sources whose bytes `docs/wire.md` describes, beside every file of `protocol/src/control/`.
const WIRE_SOURCES: [&str; 15] = [
    "protocol/src/beacon.rs",
    "protocol/src/bundle.rs",
    "protocol/src/close_code.rs",
    "protocol/src/digest.rs",
    "protocol/src/handshake.rs",
    "protocol/src/handshake/enrol.rs",
    "protocol/src/handshake/ticket.rs",
    "protocol/src/ids.rs",
    "protocol/src/limits.rs",
    "protocol/src/pack.rs",
    "protocol/src/pack/references.rs",
    "protocol/src/receipt.rs",
    "protocol/src/session/message.rs",
    "protocol/src/vector.rs",
    "protocol/src/wire.rs",
];

/// Documents with a Chinese twin, whose commands must be the same.
const TWINS: [(&str, &str); 2] = [("README.md", "README.zh-CN.md"), ("deploy/INSTALL.md", "deploy/INSTALL.zh-CN.md")];

// ---- import edges and versions ----

#[test]
fn imports_run_one_way() {
    none(&edge_faults(&manifests()));
}

fn edge_faults(manifests: &BTreeMap<String, Table>) -> Vec<String> {
    let root = &manifests["Cargo.toml"];
    let rooms: BTreeMap<String, String> = manifests
        .iter()
        .filter_map(|(path, table)| Some((table.get("package")?.get("name")?.as_str()?.to_owned(), room_of(path))))
        .collect();
    let mut faults = Vec::new();
    for (path, table) in manifests {
        let room = room_of(path);
        if !table.contains_key("package") || is_in(&room, "tests") {
            continue;
        }
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == room) else {
            faults.push(format!("{path}: this room is not drawn; add it to the design and to EDGES here"));
            continue;
        };
        for (kind, name) in dependencies(table, root) {
            match rooms.get(&name) {
                Some(target) if !allowed.contains(&target.as_str()) => {
                    faults.push(format!("{path}: {kind} {name}: {room} may import only {allowed:?}"));
                }
                None if name.starts_with("qianmo") => faults.push(format!("{path}: {kind} {name} is no room of ours")),
                Some(_) | None => {}
            }
        }
    }
    faults
}

#[test]
fn protocol_is_pure() {
    let mut faults = Vec::new();
    let manifests = manifests();
    for (kind, name) in dependencies(&manifests["protocol/Cargo.toml"], &manifests["Cargo.toml"]) {
        if ["tokio", "quinn", "rustls", "sled"].iter().any(|banned| name.starts_with(banned)) {
            faults.push(format!("protocol/Cargo.toml: {kind} {name}: the protocol has no IO; drivers do it"));
        }
    }
    for path in files(".rs").iter().filter(|path| is_in(path, "protocol/src")) {
        let text = read(path);
        for (number, line) in code_lines(&text).take_while(|(number, _)| *number < test_start(&text)) {
            for word in IMPURE.iter().filter(|word| has_word(line, word)) {
                faults.push(format!("{path}:{number}: {word}: pass time, randomness and bytes in as arguments"));
            }
        }
        for (number, line) in code_lines(&text).skip_while(|(number, _)| *number < test_start(&text)) {
            for word in IMPURE[..4].iter().filter(|word| has_word(line, word)) {
                faults.push(format!("{path}:{number}: {word}: tests of the protocol are pure too"));
            }
        }
    }
    none(&faults);
}

#[test]
fn sled_is_used_only_behind_the_index() {
    let manifests = manifests();
    let mut faults = Vec::new();
    for (path, table) in manifests.iter().filter(|(path, _)| *path != "protocol/replica/Cargo.toml") {
        let named = dependencies(table, &manifests["Cargo.toml"]).into_iter().filter(|(_, name)| name == "sled");
        faults.extend(named.map(|(kind, _)| format!("{path}: {kind} sled: use the index of qianmo-replica")));
    }
    let behind = |path: &str| path == "protocol/replica/src/index.rs" || is_in(path, "protocol/replica/src/index");
    for path in files(".rs").iter().filter(|path| !behind(path) && path.as_str() != "tests/tests/tidy.rs") {
        for (number, line) in code_lines(&read(path)) {
            if line.contains("sled::") || line.contains("use sled") {
                faults.push(format!("{path}:{number}: sled outside protocol/replica/src/index"));
            }
        }
    }
    none(&faults);
}

#[test]
fn versions_that_decide_correctness_are_pinned() {
    let manifests = manifests();
    let mut faults = Vec::new();
    for (name, wanted) in [("automerge", "=0.12.0"), ("sled", "=0.34.7")] {
        let stated = &manifests["Cargo.toml"]["workspace"]["dependencies"][name];
        let version = stated.as_str().or_else(|| stated.get("version").and_then(Value::as_str));
        if version != Some(wanted) {
            faults.push(format!("Cargo.toml: {name} must be {wanted:?}, is {version:?}"));
        }
        for (path, table) in &manifests {
            for (kind, key, value) in dependency_tables(table) {
                if key == name && value.get("workspace").and_then(Value::as_bool) != Some(true) {
                    faults.push(format!("{path}: {kind} {name} must take the workspace's version"));
                }
            }
        }
    }
    let lock: Table = read("Cargo.lock").parse().unwrap();
    let mut quinn_proto = 0;
    for package in lock["package"].as_array().unwrap() {
        let version = package["version"].as_str().unwrap();
        if package["name"].as_str() == Some("quinn-proto") {
            quinn_proto += 1;
            if numbers(version) < vec![0, 11, 14] {
                faults.push(format!("Cargo.lock: quinn-proto {version} lacks fixes that 0.11.14 has"));
            }
        }
        let source = package.get("source").and_then(Value::as_str);
        if source.is_some_and(|source| !(source.starts_with("registry+") && source.ends_with("/crates.io-index"))) {
            faults.push(format!("Cargo.lock: {} {version} comes from {source:?}", package["name"]));
        }
    }
    if quinn_proto != 1 {
        faults.push(format!("Cargo.lock: {quinn_proto} versions of quinn-proto, expected one"));
    }
    none(&faults);
}

#[test]
fn panics_unwind_in_every_profile() {
    let mut faults = Vec::new();
    let mut tables = manifests();
    tables.insert(".cargo/config.toml".into(), read(".cargo/config.toml").parse().unwrap());
    for (path, table) in &tables {
        for (name, profile) in table.get("profile").and_then(Value::as_table).into_iter().flatten() {
            if profile.get("panic").is_some_and(|panic| panic.as_str() != Some("unwind")) {
                faults.push(format!(
                    "{path}: profile {name}: the gate catches Automerge's panics, which needs unwinding"
                ));
            }
        }
        for section in ["source", "registries", "registry"] {
            if table.contains_key(section) {
                faults.push(format!("{path}: [{section}] belongs into a developer's own configuration"));
            }
        }
    }
    none(&faults);
}

#[test]
fn every_crate_keeps_the_workspace_lints() {
    let manifests = manifests();
    let own_workspace = |table: &Table| table.contains_key("workspace");
    let faults: Vec<_> = manifests
        .iter()
        .filter(|(_, table)| !own_workspace(table))
        .filter(|(_, table)| table.get("lints").and_then(|lints| lints.get("workspace")) != Some(&Value::Boolean(true)))
        .map(|(path, _)| format!("{path}: add [lints] workspace = true"))
        .collect();
    none(&faults);
}

// ---- modules ----

#[test]
fn every_module_says_what_it_is() {
    let first = |text: &str| text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
    let faults: Vec<_> = files(".rs")
        .into_iter()
        .filter(|path| !first(&read(path)).starts_with("//!"))
        .map(|path| format!("{path}: begin with //! and one line that says what the module is"))
        .collect();
    none(&faults);
}

#[test]
fn modules_stay_short() {
    let mut faults = Vec::new();
    for path in files(".rs").iter().filter(|path| path.contains("src/")) {
        let lines = test_start(&read(path)) - 1;
        if lines > MODULE_LINES_MAX {
            faults.push(format!(
                "{path}: {lines} lines without tests, at most {MODULE_LINES_MAX}; split where the idea splits"
            ));
        }
    }
    none(&faults);
}

#[test]
fn no_unfinished_work_reaches_main() {
    let words = [["FIX", "ME"].concat(), ["TO", "DO"].concat(), ["to", "do!"].concat()];
    let mut faults = Vec::new();
    let source = |path: &&String| !path.ends_with(".md") && path.as_str() != "Cargo.lock" && !path.contains("LICENSE");
    for path in all_files().iter().filter(source) {
        let Some(text) = text_of(path) else { continue };
        for (number, line) in (1..).zip(text.lines()) {
            for word in words.iter().filter(|word| has_word(line, word)) {
                faults.push(format!("{path}:{number}: {word}: finish it, or file it as an issue"));
            }
        }
    }
    none(&faults);
}

#[test]
fn modules_are_files_beside_their_folder() {
    let faults: Vec<_> = files("/mod.rs").into_iter().map(|path| format!("{path}: use foo.rs beside foo/")).collect();
    none(&faults);
}

// ---- the tree ----

#[test]
fn top_level_stays_as_drawn() {
    let folders: BTreeSet<String> =
        all_files().iter().filter_map(|path| Some(path.split_once('/')?.0.to_owned())).collect();
    let faults: Vec<_> = folders
        .iter()
        .filter(|folder| !TOP_LEVEL.contains(&folder.as_str()))
        .map(|folder| format!("{folder}/: the top level has only {TOP_LEVEL:?}"))
        .collect();
    none(&faults);
}

#[test]
fn no_text_names_a_machine_or_a_registry_host() {
    let mut faults = Vec::new();
    for path in all_files().iter().filter(|path| path.as_str() != "Cargo.lock") {
        let Some(text) = text_of(path) else { continue };
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(found) = machine_path(line) {
                faults
                    .push(format!("{path}:{number}: {found}: a path of one machine; make it relative or configurable"));
            }
            if let Some(host) = registry_host(line) {
                faults.push(format!("{path}:{number}: {host}: a package registry's host; clients know their own"));
            }
        }
    }
    none(&faults);
}

// ---- documents ----

#[test]
fn every_document_has_one_title() {
    let mut faults = Vec::new();
    for path in files(".md") {
        let titles = outside_fences(&read(&path)).filter(|line| line.starts_with("# ")).count();
        if titles != 1 {
            faults.push(format!("{path}: {titles} titles (lines that begin with '# '), expected one"));
        }
    }
    none(&faults);
}

/// The schedules of the protocol's rules, each with the tests that play it.
#[test]
fn every_schedule_names_tests_that_exist() {
    let text = read("docs/reliability.md");
    let section = text.split("\n## ").find(|section| section.starts_with("Schedules")).unwrap_or_default();
    let known = test_names();
    let mut faults = Vec::new();
    let mut rules = BTreeSet::new();
    for line in section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| rule")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [rule, schedule, tests] = cells.as_slice() else {
            faults.push(format!("docs/reliability.md: {line:?} has not three cells"));
            continue;
        };
        rules.insert((*rule).to_owned());
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            faults.push(format!("docs/reliability.md: {rule}, {schedule}: no test plays it"));
        }
        let missing = named.into_iter().filter(|name| !known.contains(*name));
        faults.extend(missing.map(|name| format!("docs/reliability.md: {rule}: there is no test {name}")));
    }
    let wanted = (1..=15).map(|number| format!("A{number}")).chain(["B".to_owned()]);
    let without = wanted.filter(|rule| !rules.contains(rule));
    faults.extend(without.map(|rule| format!("docs/reliability.md: no schedule of rule {rule}")));
    none(&faults);
}

/// The name of every test in the tree: a function that follows `#[test]` or its like, or a property.
fn test_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in files(".rs") {
        let text = read(&path);
        let mut is_next = false;
        for line in text.lines().map(str::trim) {
            is_next |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            let function = line.strip_prefix("fn ").or_else(|| line.strip_prefix("async fn "));
            if let Some(name) = function.filter(|_| is_next).and_then(|rest| rest.split('(').next()) {
                names.insert(name.to_owned());
                is_next = false;
            }
        }
    }
    names
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut faults = Vec::new();
    for path in files(".md") {
        let folder = root().join(&path).parent().unwrap().to_owned();
        for line in outside_fences(&read(&path)).collect::<Vec<_>>() {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let file = target.split(['#', ' ']).next().unwrap_or_default();
                if !file.is_empty()
                    && !target.contains("://")
                    && !target.starts_with("mailto:")
                    && !folder.join(file).exists()
                {
                    faults.push(format!("{path}: {target} does not exist"));
                }
            }
        }
    }
    none(&faults);
}

#[test]
fn documents_everyone_needs_exist() {
    let wanted = [
        "README.md",
        "README.zh-CN.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "docs/wire.md",
        "docs/storage.md",
        "docs/threats.md",
        "deploy/INSTALL.md",
        "deploy/INSTALL.zh-CN.md",
    ];
    let there = all_files();
    let faults: Vec<_> =
        wanted.iter().filter(|path| !there.contains(**path)).map(|path| format!("{path} is missing")).collect();
    none(&faults);
}

/// Whoever changes how bytes are written must look at the page that describes them, and says so by copying the new hash.
#[test]
fn wire_page_describes_these_sources() {
    let mut sources: BTreeSet<String> = WIRE_SOURCES.iter().map(|path| (*path).to_owned()).collect();
    sources.extend(files(".rs").into_iter().filter(|path| is_in(path, "protocol/src/control")));
    let mut hasher = blake3::Hasher::new();
    for path in &sources {
        hasher.update(read(path).as_bytes());
    }
    let hash = hasher.finalize().to_hex();
    let list: Vec<_> = sources.iter().map(String::as_str).collect();
    let page = fs::read_to_string(root().join("docs/wire.md")).unwrap_or_default();
    assert!(
        page.contains(hash.as_str()),
        "\nthe sources of the wire format changed since docs/wire.md was read against them.\n\
         Read the page against your change, correct it, then put this hash in place of the old one:\n\n  {hash}\n\n\
         It is BLAKE3 over the bytes of, in this order: {}\n",
        list.join(" ")
    );
}

/// `.ci/run` runs the blocks marked `sh ci` as they stand, the gate's own lines once, and the demo in its own step.
/// A test's name in a table of threats is a promise that somebody checks it.
#[test]
fn tests_that_the_threats_page_names_exist() {
    let page = read("docs/threats.md");
    let is_name = |text: &&str| {
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        text.chars().all(is_word) && text.matches('_').count() >= 3
    };
    let named: BTreeSet<&str> = page.split('`').skip(1).step_by(2).filter(is_name).collect();
    let sources: Vec<String> = files(".rs").iter().map(|path| read(path)).collect();
    let is_there = |name: &str| sources.iter().any(|source| source.contains(&format!("fn {name}(")));
    let missing = named.iter().filter(|name| !is_there(name));
    none(&missing.map(|name| format!("docs/threats.md names {name}, and no test is called so")).collect::<Vec<_>>());
    assert!(named.len() >= 80, "the table of threats names its tests: {}", named.len());
}

#[test]
fn readme_shows_only_commands_that_ci_runs() {
    let ci = read(".ci/run");
    let blocks = fences(&read("README.md"));
    let run: Vec<&str> =
        blocks.iter().filter(|(info, _)| info == "sh ci").flat_map(|(_, body)| body.lines()).map(command).collect();
    let shown =
        blocks.iter().filter(|(info, _)| info == "sh" || info.starts_with("sh ")).flat_map(|(_, body)| body.lines());
    let mut faults: Vec<_> = shown
        .map(command)
        .filter(|line| line.starts_with("cargo "))
        .filter(|line| !run.contains(line) && !ci.contains(&format!("'{line}'")))
        .map(|line| format!("README.md: `{line}` is not run by .ci/run; mark its block ```sh ci"))
        .collect();
    for wanted in ["cargo test --workspace", "cargo run --release --bin qianmo-server -- demo"] {
        let told = blocks
            .iter()
            .any(|(info, body)| info.starts_with("sh") && body.lines().map(command).any(|line| line == wanted));
        if !told {
            faults.push(format!("README.md: no sh block shows `{wanted}`"));
        }
    }
    none(&faults);
}

#[test]
fn chinese_pages_show_the_same_commands() {
    let mut faults = Vec::new();
    let commands = |path: &str| -> Vec<String> {
        fences(&read(path))
            .into_iter()
            .filter(|(info, _)| info == "sh" || info.starts_with("sh "))
            .flat_map(|(_, body)| body.lines().map(|line| command(line).to_owned()).collect::<Vec<_>>())
            .filter(|line| !line.is_empty())
            .collect()
    };
    let there = all_files();
    for (english, chinese) in TWINS {
        if let Some(missing) = [english, chinese].into_iter().find(|path| !there.contains(*path)) {
            faults.push(format!("{missing} is missing"));
            continue;
        }
        let (left, right) = (commands(english), commands(chinese));
        if left != right {
            let first = left.iter().zip(&right).find(|(a, b)| a != b);
            faults.push(format!("{english} and {chinese} show different commands; first: {first:?}"));
        }
    }
    none(&faults);
}

// ---- the rules' own tests ----

#[test]
fn edges_against_the_drawing_are_found() {
    let text = |name: &str, rest: &str| format!("[package]\nname = '{name}'\n{rest}").parse::<Table>().unwrap();
    let with = |rest: &str| {
        BTreeMap::from([
            ("Cargo.toml".to_owned(), Table::new()),
            ("protocol/Cargo.toml".to_owned(), text("qianmo-protocol", "")),
            ("protocol/forms/Cargo.toml".to_owned(), text("qianmo-forms", "[dependencies]\nqianmo-protocol = {}")),
            ("tests/Cargo.toml".to_owned(), text("qianmo-tests", "[dependencies]\nqianmo-server = {}")),
            ("server/Cargo.toml".to_owned(), text("qianmo-server", rest)),
        ])
    };
    assert_eq!(edge_faults(&with("[dependencies]\nqianmo-forms = {}\nserde = '1'")), Vec::<String>::new());
    for kind in ["dependencies", "dev-dependencies", "build-dependencies", "target.'cfg(unix)'.dependencies"] {
        assert_eq!(edge_faults(&with(&format!("[{kind}]\nqianmo-tests = {{}}"))).len(), 1, "{kind}");
        assert_eq!(edge_faults(&with(&format!("[{kind}]\nother = {{ package = 'qianmo-tests' }}"))).len(), 1, "{kind}");
    }
    assert_eq!(edge_faults(&with("[dependencies]\nqianmo-unknown = {}")).len(), 1);
    let mut undrawn = with("");
    undrawn.insert("extra/Cargo.toml".into(), text("extra", ""));
    assert_eq!(edge_faults(&undrawn).len(), 1);
}

#[test]
fn rules_find_what_they_forbid() {
    let path = |rest: &str| ["/", rest].concat();
    for name in ["work/a", "root/.cargo", "Users/li/x", "home/li"] {
        assert!(machine_path(&format!("see {} there", path(name))).is_some(), "{name}");
        assert!(machine_path(&format!("see docs{} there", path(name))).is_none(), "{name}");
    }
    assert!(machine_path("ExecStart=/usr/local/bin/qianmo-server").is_none());
    assert!(registry_host(&["https://", "registry.example.net", "/x"].concat()).is_some());
    assert!(registry_host(&["see http://", "mirrors.some.edu", "."].concat()).is_some());
    assert!(registry_host("https://docs.rs/index/static").is_none());
    assert!(has_word("let x = sled::open", "sled") && !has_word("unsettled", "sled"));
    assert_eq!(test_start("a\nb\n#[cfg(test)]\nmod tests {\n}\n"), 3);
    assert_eq!(test_start("a\n#[cfg(test)]\nfn f() {}\n"), 4);
    assert_eq!(fences("```sh ci\ncargo a\n```\ntext\n```\nx\n```\n").len(), 2);
    assert_eq!(command("cargo a   # why"), "cargo a");
    let manifest: Table = "[target.'cfg(unix)'.dev-dependencies]\nb = { package = 'sled' }".parse().unwrap();
    assert_eq!(dependencies(&manifest, &Table::new()), [("dev-dependencies".to_owned(), "sled".to_owned())]);
    assert!(numbers("0.11.9") < numbers("0.11.14"));
}

// ---- reading the tree ----

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Relative paths of the files git would commit; outside a git checkout, of all files but build output.
fn all_files() -> &'static BTreeSet<String> {
    static FILES: LazyLock<BTreeSet<String>> = LazyLock::new(list_files);
    &FILES
}

fn list_files() -> BTreeSet<String> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .ok()
        .filter(|output| output.status.success() && !output.stdout.is_empty());
    let mut paths = BTreeSet::new();
    match listed {
        Some(output) => paths.extend(
            String::from_utf8(output.stdout).unwrap().split('\0').filter(|path| !path.is_empty()).map(str::to_owned),
        ),
        None => walk(&root(), "", &mut paths),
    }
    paths.retain(|path| root().join(path).is_file());
    assert!(paths.contains("Cargo.toml"), "the workspace was not found at {}", root().display());
    paths
}

fn walk(folder: &Path, prefix: &str, paths: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{prefix}{name}");
        if !entry.file_type().unwrap().is_dir() {
            paths.insert(path);
        } else if name != "target" && name != ".git" {
            walk(&entry.path(), &format!("{path}/"), paths);
        }
    }
}

fn files(ending: &str) -> Vec<String> {
    all_files().iter().filter(|path| path.ends_with(ending)).cloned().collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The file's text; `None` for binary files.
fn text_of(path: &str) -> Option<String> {
    String::from_utf8(fs::read(root().join(path)).unwrap()).ok().filter(|text| !text.contains('\0'))
}

fn is_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{} faults:\n  {}\n", faults.len(), faults.join("\n  "));
}

// ---- reading manifests ----

fn manifests() -> BTreeMap<String, Table> {
    files("Cargo.toml").into_iter().map(|path| (path.clone(), read(&path).parse().unwrap())).collect()
}

/// `protocol/Cargo.toml` is the room `protocol`.
fn room_of(manifest: &str) -> String {
    manifest.trim_end_matches("Cargo.toml").trim_end_matches('/').to_owned()
}

/// Every dependency of every kind: (kind, key, value).
fn dependency_tables(manifest: &Table) -> Vec<(String, String, Value)> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables = std::iter::once(manifest).chain(targets.filter_map(Value::as_table));
    let mut found = Vec::new();
    for table in tables {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (key, value) in table.get(kind).and_then(Value::as_table).into_iter().flatten() {
                found.push((kind.to_owned(), key.clone(), value.clone()));
            }
        }
    }
    found
}

/// The same by package name: renames are looked through, also those of the workspace.
fn dependencies(manifest: &Table, root: &Table) -> Vec<(String, String)> {
    let shared = root.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    let named = |value: Option<&Value>| Some(value?.get("package")?.as_str()?.to_owned());
    dependency_tables(manifest)
        .into_iter()
        .map(|(kind, key, value)| {
            let name = named(Some(&value)).or_else(|| named(shared.and_then(|shared| shared.get(&key)))).unwrap_or(key);
            (kind, name)
        })
        .collect()
}

fn numbers(version: &str) -> Vec<u64> {
    version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
}

// ---- reading sources ----

/// Numbered lines without comments.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(number, line)| (number, line.split(" // ").next().unwrap_or_default()))
}

/// The number of the first line of `mod tests`, or one past the last line.
fn test_start(text: &str) -> usize {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let starts = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{');
    lines.windows(2).position(starts).unwrap_or(lines.len()) + 1
}

fn has_word(line: &str, word: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].bytes().next_back().is_some_and(inside);
        let after = line[at + word.len()..].bytes().next().is_some_and(inside);
        !before && !after
    })
}

/// An absolute path below somebody's home or a build machine's work folder.
fn machine_path(line: &str) -> Option<String> {
    if !line.contains('/') {
        return None;
    }
    ["work", "root", "Users", "home"].iter().map(|name| format!("/{name}/")).find(|path| {
        line.match_indices(path.as_str()).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + path.len()..].chars().next();
            before.is_none_or(|c| !(c.is_alphanumeric() || "_.~-})]$*".contains(c)))
                && after.is_some_and(|c| c.is_alphanumeric() || c == '.')
        })
    })
}

/// The host of a URL, if one of its labels says that packages are served there.
fn registry_host(line: &str) -> Option<&str> {
    const LABELS: [&str; 9] =
        ["registry", "mirror", "mirrors", "index", "static", "proxy", "artifactory", "nexus", "pypi"];
    line.split("://").skip(1).find_map(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-')).unwrap_or(rest.len());
        let host = &rest[..end];
        host.split('.').any(|label| LABELS.contains(&label)).then_some(host)
    })
}

// ---- reading documents ----

/// Fenced blocks: (what follows the fence, the text inside).
fn fences(markdown: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in markdown.lines() {
        match (line.trim_start().strip_prefix("```"), open.as_mut()) {
            (Some(info), None) => open = Some((info.trim().to_owned(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some((_, body))) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fenced block is not closed");
    blocks
}

fn outside_fences(markdown: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    markdown.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    })
}

/// A shell line without its comment.
fn command(line: &str) -> &str {
    let code = if line.trim_start().starts_with('#') { "" } else { line };
    code.split(" #").next().unwrap_or_default().trim()
}
