//! The program as an administrator runs it: real processes, one hub, each command beside it and without it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test harness: a failed step is the failure"
)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// A hub's folder, and the program pointed at it.
struct Place {
    root: tempfile::TempDir,
}

/// A hub that runs; killed if a test fails.
struct Serving {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Place {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    fn data(&self) -> std::path::PathBuf {
        self.root.path().join("hub")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qianmo-server"));
        command.args(arguments).arg("--data").arg(self.data()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("QIANMO_")) {
            command.env_remove(name);
        }
        command.env("QIANMO_LANG", "en");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must do what was asked.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.done(arguments)).unwrap()
    }

    /// Runs a command that must fail, and gives its exit code and what it said.
    fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!said.contains("panicked") && !said.contains("RUST_BACKTRACE"), "{said}");
        (output.status.code().unwrap(), said)
    }

    /// Makes the organisation, on ports that are free now: a hub that serves wants fixed ones.
    fn init(&self) -> String {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let advertise = "hub.example.org:4433";
        self.done(&["init", "--name", "样例站", "--listen", &udp, "--advertise", advertise, "--web", &tcp])
    }

    fn serve(&self) -> Serving {
        let mut child = self.command(&["serve"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut serving = Serving { child, lines };
        assert!(serving.next_line().starts_with("tablets: UDP 127.0.0.1:"));
        assert!(serving.next_line().starts_with("pages: http://127.0.0.1:"));
        serving
    }
}

impl Serving {
    fn next_line(&mut self) -> String {
        match self.lines.next() {
            Some(line) => line.unwrap(),
            None => {
                let said = std::io::read_to_string(self.child.stderr.take().unwrap()).unwrap();
                panic!("the hub ended: {said}");
            }
        }
    }

    /// Ends it as a service manager does, and gives its log.
    fn terminate(mut self) -> String {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let said = std::io::read_to_string(self.child.stderr.take().unwrap()).unwrap();
        assert!(self.child.wait().unwrap().success(), "{said}");
        said
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        self.child.kill().unwrap_or_default();
    }
}

fn enroll(place: &Place) -> Value {
    place.json(&["enroll", "--station", "ST01", "--person", "P02", "--json"])
}

#[test]
fn commands_answer_alike_beside_a_running_hub_and_without_it() {
    let place = Place::new();
    let said = place.init();
    assert!(said.contains("qianmo-server serve --data"), "{said}");
    for beside in [false, true, false] {
        let serving = beside.then(|| place.serve());
        let ticket = enroll(&place);
        assert!(ticket["ticket"].as_str().unwrap().starts_with("QM1-"));
        assert_eq!(ticket["addresses"], serde_json::json!(["hub.example.org:4433"]));
        let devices = place.json(&["devices", "--json"]);
        assert_eq!(devices.as_array().unwrap().len(), 1, "the hub itself: {devices}");
        assert_eq!(devices[0]["hub"], true);
        let stats = place.json(&["stats", "--json"]);
        assert_eq!((&stats["records"], &stats["devices"]), (&Value::from(0), &Value::from(0)));
        let found = place.json(&["verify", "--json"]);
        assert_eq!((&found["sound"], &found["states_compared"]), (&Value::from(true), &Value::from(true)));
        let (code, said) = place.fails(&["revoke", "0011223344556677", "--reason", "lost"]);
        assert_eq!(code, 5, "{said}");
        assert!(said.contains("there is no device 0011223344556677") && said.contains("next: "), "{said}");
        if let Some(serving) = serving {
            let log = serving.terminate();
            assert!(!log.contains("ERROR"), "{log}");
        }
        assert!(!place.data().join("admin.sock").exists());
    }
}

#[test]
fn release_says_that_nothing_is_held_and_refuses_what_it_does_not_know() {
    let place = Place::new();
    place.init();
    assert_eq!(place.done(&["release"]), "Nothing is held.\n");
    assert_eq!(place.json(&["release", "--json"]), serde_json::json!([]));
    let (code, said) = place.fails(&["release", "0123456789abcdef"]);
    assert!(code == 5 && said.contains("nothing is held that this names"), "{said}");
    assert!(said.contains("next: see what is held with: qianmo-server release"), "{said}");
    let (code, said) = place.fails(&["release", "12"]);
    assert!(code == 2 && said.contains("at least 8"), "{said}");
}

#[test]
fn version_is_required_shown_and_ended_beside_a_running_hub_and_without_one() {
    let place = Place::new();
    place.init();
    for serving in [None, Some(place.serve())] {
        let none = place.json(&["require-version", "--json"]);
        assert_eq!((&none["required"], &none["changed"]), (&0.into(), &false.into()));
        let set = place.json(&["require-version", "1", "--json"]);
        assert_eq!((&set["required"], &set["changed"]), (&1.into(), &true.into()));
        let again = place.json(&["require-version", "1", "--json"]);
        assert_eq!((&again["required"], &again["changed"]), (&1.into(), &false.into()), "nothing is written twice");
        assert!(place.done(&["require-version"]).contains("at least: 1\nOlder tablets still upload"));
        let (code, said) = place.fails(&["require-version", "65535"]);
        assert!(code == 5 && said.contains("this hub speaks 1 to") && said.contains("next: update the hub"), "{said}");
        let ended = place.json(&["require-version", "--end", "--json"]);
        assert_eq!((&ended["required"], &ended["changed"]), (&0.into(), &true.into()));
        if let Some(serving) = serving {
            let log = serving.terminate();
            assert!(!log.contains("ERROR"), "{log}");
        }
    }
}

#[test]
fn accounts_are_made_reset_closed_and_listed_beside_a_running_hub_and_without_one() {
    let place = Place::new();
    let said = place.init();
    assert!(said.contains("the pages' administrator: A01 / "), "{said}");
    for (serving, login) in [(None, "C01"), (Some(place.serve()), "C02")] {
        let made = place.json(&["account", "add", login, "--role", "coordinator", "--district", "--json"]);
        assert_eq!((&made["login"], &made["must_change"]), (&login.into(), &true.into()));
        assert_eq!(made["rights"], serde_json::json!([{ "role": "coordinator", "stations": [] }]));
        assert_eq!(made["password"].as_str().unwrap().len(), 19, "{made}");
        let (code, said) = place.fails(&["account", "add", login]);
        assert!(code == 5 && said.contains("there is an account") && said.contains("account reset"), "{said}");
        let (code, said) = place.fails(&["account", "add", "C09", "--role", "viewer"]);
        assert!(code == 2 && said.contains("no scope is given"), "{said}");
        let (code, said) = place.fails(&["account", "reset", "C09"]);
        assert!(code == 5 && said.contains("there is no account C09"), "{said}");
        let closed = place.json(&["account", "close", login, "--json"]);
        assert_eq!(closed["closed"], true);
        let reset = place.json(&["account", "reset", login, "--json"]);
        assert_eq!((&reset["closed"], &reset["must_change"]), (&false.into(), &true.into()));
        assert_ne!(reset["password"], made["password"]);
        if let Some(serving) = serving {
            let log = serving.terminate();
            assert!(!log.contains("ERROR") && !log.contains(made["password"].as_str().unwrap()), "{log}");
        }
    }
    let bare = place.done(&["account", "add", "P07", "--person", "P08"]);
    assert!(bare.contains("account: P07 (none (reads only))") && bare.contains("no grant yet"), "{bare}");
    let listed = place.done(&["account", "list"]);
    assert!(listed.contains("admin (district)") && listed.contains("password to be changed"), "{listed}");

    let to = place.root.path().join("backup");
    place.done(&["backup", "--to", to.to_str().unwrap()]);
    let restored = Place { root: tempfile::tempdir().unwrap() };
    restored.done(&["restore", "--from", to.to_str().unwrap()]);
    let logins = |place: &Place| {
        let accounts = place.json(&["account", "list", "--json"]);
        let logins = accounts.as_array().unwrap().iter().map(|one| one["login"].as_str().unwrap().to_owned());
        logins.collect::<Vec<_>>()
    };
    assert_eq!(logins(&place), ["A01", "C01", "C02", "P07"]);
    assert_eq!(logins(&restored), logins(&place));
}

#[test]
fn backup_of_a_running_hub_verifies_and_restores_into_a_new_epoch() {
    let place = Place::new();
    place.init();
    let serving = place.serve();
    let to = place.root.path().join("backup");
    let backup = place.json(&["backup", "--json", "--to", to.to_str().unwrap()]);
    assert!(backup["files"].as_u64().unwrap() >= 6, "{backup}");
    let stats = place.json(&["stats", "--json"]);
    assert_eq!(stats["backed_up"], backup["commit"]);
    serving.terminate();

    assert_eq!(place.json(&["verify", "--json", to.to_str().unwrap()])["sound"], true);
    let (code, said) = place.fails(&["restore", "--from", to.to_str().unwrap()]);
    assert_eq!(code, 4, "never over a hub: {said}");
    let restored = Place { root: tempfile::tempdir().unwrap() };
    restored.done(&["restore", "--from", to.to_str().unwrap()]);
    let after = restored.json(&["stats", "--json"]);
    assert_eq!(after["org"], stats["org"]);
    assert_ne!(after["epoch"], stats["epoch"]);

    flip_last_byte(&to.join("manifest.json"));
    let (code, said) = place.fails(&["verify", to.to_str().unwrap()]);
    assert_eq!(code, 3, "{said}");
}

fn flip_last_byte(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn export_writes_a_new_file_and_never_over_one() {
    let place = Place::new();
    place.init();
    let to = place.root.path().join("records.jsonl");
    place.done(&["export", "--to", to.to_str().unwrap()]);
    assert_eq!(std::fs::read(&to).unwrap(), b"", "no records, no lines");
    let (code, said) = place.fails(&["export", "--to", to.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(said.contains("records.jsonl") && said.contains("next: "), "{said}");
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_its_exit_code() {
    let place = Place::new();
    let (code, said) = place.fails(&["devices"]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("qianmo-server init"), "{said}");
    let (code, said) = place.fails(&["init"]);
    assert_eq!(code, 2);
    assert!(said.contains("--name"), "{said}");
    place.init();
    let (code, said) = place.fails(&["init", "--name", "再来一次"]);
    assert_eq!(code, 4, "{said}");
    let (code, said) = place.fails(&["enroll", "--station", "样例站", "--person", "P02"]);
    assert_eq!(code, 2);
    assert!(said.contains("is no station code"), "{said}");
    let serving = place.serve();
    let (code, said) = place.fails(&["serve"]);
    assert_eq!(code, 1, "two hubs on one folder: {said}");
    serving.terminate();
    let (code, said) = place.fails(&["serve", "--listen", "0.0.0.0:0", "--config", "/nowhere/qianmo.toml"]);
    assert_eq!(code, 2);
    assert!(said.contains("/nowhere/qianmo.toml"), "{said}");
}

#[test]
fn configuration_is_checked_without_a_hub() {
    let place = Place::new();
    std::fs::create_dir(place.data()).unwrap();
    std::fs::write(place.data().join("qianmo.toml"), "[organisation]\nname = '站'\n[quic]\nadvertise = ['h:1']\n")
        .unwrap();
    assert_eq!(place.done(&["serve", "--check-config"]), "the configuration can be used\n");
    std::fs::create_dir(place.data().join("forms")).unwrap();
    std::fs::write(place.data().join("forms/own.toml"), "id = 3\n").unwrap();
    let (code, said) = place.fails(&["serve", "--check-config"]);
    assert!(code == 2 && said.contains("own.toml") && said.contains("qianmo forms check"), "{said}");
    std::fs::remove_dir_all(place.data().join("forms")).unwrap();
    std::fs::write(place.data().join("qianmo.toml"), "[organisation]\nnmae = '站'\n").unwrap();
    let (code, said) = place.fails(&["serve", "--check-config"]);
    assert_eq!(code, 2);
    assert!(said.contains("line 2, column 1"), "{said}");
    let mut command = place.command(&["serve", "--check-config"]);
    let output = command.env("QIANMO_WEB_LISTN", "127.0.0.1:1").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "a misspelt variable is a fault");
}

#[test]
fn reader_that_goes_away_is_no_failure() {
    let place = Place::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_qianmo-server"))
        .arg("--help")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert!(output.status.success());
    place.init();
    let mut child = place.command(&["devices"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert!(output.status.success());
}
