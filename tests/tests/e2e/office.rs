//! A hub and tablets as processes, each with its folder, over loopback.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take before a test gives up.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// An organisation's hub.
pub struct Hub {
    pub folder: TempDir,
    pub quic: u16,
    pub web: u16,
    child: Option<Child>,
}

/// A person's tablet.
pub struct Tablet {
    pub data: PathBuf,
    _folder: TempDir,
}

/// The pages of a tablet, while its program runs.
pub struct Ui {
    pub address: String,
    child: Child,
}

impl Ui {
    /// Ends it without a word, as the system of a tablet ends what it needs the memory of.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Ui {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What a command gave back.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Failed, in words a person can use: no panic, no backtrace.
    pub fn refused(self) -> Self {
        assert!(self.code.is_some_and(|code| code != 0 && code != 101), "{self:#?}");
        for word in ["panicked", "backtrace", "RUST_BACKTRACE", "Err(", "Error {"] {
            assert!(!self.err.contains(word) && !self.out.contains(word), "{word}: {self:#?}");
        }
        assert!(!self.err.trim().is_empty() || !self.out.trim().is_empty(), "{self:#?}");
        self
    }

    pub fn json(&self) -> Value {
        let text = self.out.trim();
        serde_json::from_str(text)
            .or_else(|_| serde_json::from_str(text.lines().last().unwrap_or_default()))
            .unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

fn hub_program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hub-under-test"));
    command.env_clear().env("LANG", "en_US.UTF-8").stdin(Stdio::null());
    command
}

fn tablet_program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tablet-under-test"));
    command.env_clear().env("LANG", "en_US.UTF-8").env("HOME", "/nonexistent").stdin(Stdio::null());
    command
}

/// A port nobody uses now.
fn free_ports() -> (u16, u16) {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    (udp, tcp)
}

impl Hub {
    /// A new organisation, with its hub running.
    pub fn start() -> Self {
        Self::start_at(free_ports())
    }

    /// Likewise, at these UDP and TCP ports.
    pub fn start_at((quic, web): (u16, u16)) -> Self {
        let folder = TempDir::new().unwrap();
        let mut hub = Self { folder, quic, web, child: None };
        let (listen, web) = (format!("127.0.0.1:{}", hub.quic), format!("127.0.0.1:{}", hub.web));
        hub.run(&["init", "--name", "样例区推广站", "--listen", &listen, "--advertise", &listen, "--web", &web]).ok();
        hub.serve();
        hub
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("hub")
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        hub_program().args(arguments).arg("--data").arg(self.data()).output().unwrap().into()
    }

    /// Starts `serve` and waits until its pages answer.
    pub fn serve(&mut self) {
        self.serve_from(&self.data());
    }

    pub fn serve_from(&mut self, data: &Path) {
        let (listen, web) = (format!("127.0.0.1:{}", self.quic), format!("127.0.0.1:{}", self.web));
        let child = hub_program()
            .args(["serve", "--listen", &listen, "--advertise", &listen, "--web", &web, "--data"])
            .arg(data)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let start = Instant::now();
        while self.get("/healthz").is_none() {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
            if ended.is_some() || start.elapsed() > DEADLINE {
                let mut said = String::new();
                let child = self.child.as_mut().and_then(|child| child.stderr.take());
                child.unwrap().read_to_string(&mut said).unwrap();
                panic!("the hub did not come up: {ended:?} {said}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the hub without a word, as a power cut does to a process.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts a command beside the hub.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = hub_program();
        command.args(arguments).arg("--data").arg(self.data());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// A folder beside the hub's.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Backs up into a folder beside the hub's.
    pub fn back_up(&self, name: &str) -> Value {
        self.run(&["backup", "--json", "--to", self.beside(name).to_str().unwrap()]).ok().json()
    }

    /// The machine is lost: what it had is put aside under a name, a backup restored in its place, and started.
    pub fn lose_and_restore(&mut self, aside: &str, backup: &str) -> Ran {
        self.kill();
        std::fs::rename(self.data(), self.beside(aside)).unwrap();
        let said = self.run(&["restore", "--from", self.beside(backup).to_str().unwrap()]).ok();
        self.serve();
        said
    }

    /// Devices by id, with what is said of them.
    pub fn devices(&self) -> std::collections::BTreeMap<String, Value> {
        let listed = self.run(&["devices", "--json"]).ok().json();
        let rows = listed.as_array().unwrap().iter();
        rows.map(|row| (row["device"].as_str().unwrap().to_owned(), row.clone())).collect()
    }

    /// A page or JSON, if the hub answers with success.
    pub fn get(&self, path: &str) -> Option<String> {
        use std::io::Write as _;
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.web)).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n", self.web).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
    }

    pub fn ticket(&self, person: &str, role: &str) -> String {
        let mut arguments = vec!["enroll", "--station", "ST01", "--person", person, "--role", role, "--json"];
        if role == "coordinator" {
            arguments.push("--district");
        }
        let ran = self.run(&arguments).ok();
        ran.json()["ticket"].as_str().unwrap_or_else(|| panic!("{ran:#?}")).to_owned()
    }

    /// A tablet with its person, enrolled.
    pub fn tablet(&self, person: &str) -> Tablet {
        let tablet = Tablet::new();
        tablet.run(&["enroll", &self.ticket(person, "technician")]).ok();
        tablet
    }

    /// How many records the hub shows.
    pub fn records(&self) -> usize {
        self.run(&["stats", "--json"]).ok().json()["records"].as_u64().unwrap().try_into().unwrap()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Tablet {
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        Self { data: folder.path().join("tablet"), _folder: folder }
    }

    /// A second tablet with a copy of this one's folder, as a cloned image has.
    pub fn cloned(&self) -> Self {
        let clone = Self::new();
        copy(&self.data, &clone.data);
        clone
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tablet_program();
        command.args(arguments).arg("--data").arg(&self.data);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().unwrap().into()
    }

    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Shows the tablet's pages.
    pub fn ui(&self) -> Ui {
        let mut child = self.command(&["ui", "--no-open", "--lang", "zh"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = lines.next().expect("it says where its pages are").unwrap();
        let address = said.split_whitespace().chain(said.split('：')).find(|word| word.starts_with("http://"));
        let address = address.unwrap_or_else(|| panic!("no address: {said}")).to_owned();
        std::thread::spawn(move || lines.for_each(drop));
        Ui { address, child }
    }

    /// Files a visit; answers the record's id.
    pub fn visit(&self, content: &str) -> String {
        let content = format!("content={content}");
        let ran = self
            .run(&[
                "new",
                "visit",
                "--json",
                "--set",
                "activity_date=2025-06-18",
                "--set",
                "service_mode=onsite",
                "--set",
                "target_name=样例农户",
                "--set",
                "town_code=110117105",
                "--set",
                &content,
            ])
            .ok();
        ran.json()["record"].as_str().unwrap_or_else(|| panic!("{ran:#?}")).to_owned()
    }

    pub fn status(&self) -> Value {
        self.run(&["status", "--json"]).ok().json()
    }

    /// This device's id.
    pub fn device(&self) -> String {
        self.status()["device"].as_str().unwrap().to_owned()
    }

    /// The contents of all records here, sorted.
    pub fn contents(&self) -> Vec<String> {
        let list = self.run(&["list", "--json"]).ok().json();
        let content = |row: &Value| row["fields"]["content"].as_str().unwrap_or_default().to_owned();
        let mut contents: Vec<String> = list.as_array().unwrap().iter().map(content).collect();
        contents.sort_unstable();
        contents
    }

    /// How far a record is.
    pub fn delivery(&self, record: &str) -> String {
        self.show(record)["delivery"].as_str().unwrap().to_owned()
    }

    /// What lies in another tablet's folder takes the place of this one's: an old image is written back.
    pub fn return_to(&self, image: &Self) {
        std::fs::remove_dir_all(&self.data).unwrap();
        copy(&image.data, &self.data);
    }

    pub fn sync(&self) -> Ran {
        self.run(&["sync", "--timeout", "30"])
    }

    pub fn show(&self, record: &str) -> Value {
        self.run(&["show", record, "--json"]).ok().json()
    }
}

/// Copies a folder, as `cp -a` does.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
