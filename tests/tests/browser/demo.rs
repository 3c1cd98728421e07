//! The demo, as a newcomer runs it: a year's ledger, conflicts, and an account whose password it prints.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tempfile::TempDir;

/// The one that journeys at the same time look at: to write a year's ledger takes longer than most of them.
static SHARED: Mutex<Weak<Demo>> = Mutex::new(Weak::new());

/// The demo's hub, while it stays up.
pub struct Demo {
    pub web: u16,
    /// What it printed until it stayed up.
    pub said: String,
    child: Child,
    _folder: TempDir,
}

impl Demo {
    /// The one that is up, or a new one. One journey alone may decide there; the others look, and must not count.
    pub fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let started = Arc::new(Self::start());
            *shared = Arc::downgrade(&started);
            started
        })
    }

    /// Runs it, and waits until it stays up.
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let web = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new(env!("CARGO_BIN_EXE_hub-under-test"))
            .env_clear()
            .env("LANG", "en_US.UTF-8")
            .args(["demo", "--web", &format!("127.0.0.1:{web}"), "--data"])
            .arg(folder.path().join("demo"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in &mut lines {
            let line = line.unwrap();
            said.push_str(&line);
            said.push('\n');
            if line.contains("Ctrl-C") {
                break;
            }
        }
        assert!(said.contains("Ctrl-C"), "the demo ended by itself:\n{said}");
        std::thread::spawn(move || lines.for_each(drop));
        Self { web, said, child, _folder: folder }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
