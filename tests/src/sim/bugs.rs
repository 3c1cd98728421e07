//! Bugs put back one at a time, and how long the checkers take to find each.
//!
//! The switch is one for the whole process, so every bug has a process of its own: the program starts itself again, as many
//! times at once as it has threads, and each child plays fresh seeds from 1 until a checker objects.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use qianmo_client_core::forms::FormSet;
use qianmo_protocol::bugs::{Bug, inject};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::plan::{Plan, Scale};
use super::world::Outcome;

/// How long a bug may stay unfound, on one core.
pub const CPU_SECONDS_MAX: f64 = 60.0;
/// How long a child may take by the clock on the wall: a machine may be busy with other things, and a bug may never end.
const WALL_MAX: Duration = Duration::from_secs(600);

/// What became of one bug.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Its name.
    pub bug: String,
    /// Which checker objected; nothing when none did in time.
    pub checker: Option<String>,
    /// What it said.
    pub said: Option<String>,
    /// Seeds played, the last included.
    pub seeds: u64,
    /// Processor time that took.
    pub seconds: f64,
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The checker's name in what it said: all before the colon, or the first words.
#[must_use]
pub fn checker_of(problem: &str) -> String {
    let (head, _) = problem.split_once(':').unwrap_or((problem, ""));
    if head.len() <= 12 { head.to_owned() } else { super::shrink::kind_of(problem).trim().to_owned() }
}

/// Plays seeds from 1 with a bug switched on, until a checker objects or the time is up. For a process of its own.
pub fn hunt(bug: Bug, forms: &Arc<FormSet>, play: impl Fn(&Plan, &Arc<FormSet>) -> Outcome) -> Found {
    inject(Some(bug));
    let began = cpu_seconds();
    let mut found = Found { bug: bug.name().to_owned(), checker: None, said: None, seeds: 0, seconds: 0.0 };
    while found.said.is_none() && cpu_seconds() - began < CPU_SECONDS_MAX {
        found.seeds += 1;
        let outcome = play(&Plan::draw(found.seeds, Scale::Short), forms);
        found.said = outcome.problems.into_iter().next();
    }
    found.checker = found.said.as_deref().map(checker_of);
    found.seconds = cpu_seconds() - began;
    found
}

/// Hunts for every one of these bugs, each in a process of its own, some at a time. `tell` hears of each as it is done.
pub fn hunt_all(bugs: &[Bug], threads: usize, mut tell: impl FnMut(&Found)) -> Vec<Found> {
    let next = AtomicUsize::new(0);
    let (done, results) = channel();
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            let (done, next) = (done.clone(), &next);
            scope.spawn(move || {
                while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    done.send(in_child(*bug)).unwrap();
                }
            });
        }
        drop(done);
        results.iter().inspect(|found| tell(found)).collect()
    })
}

fn in_child(bug: Bug) -> Found {
    let program = std::env::current_exe().unwrap();
    let mut child =
        Command::new(program).args(["--bug", bug.name()]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    let last = last_line(&mut child);
    child.wait().unwrap();
    last.and_then(|line| serde_json::from_str(&line).ok()).unwrap_or_else(|| Found {
        bug: bug.name().to_owned(),
        checker: None,
        said: None,
        seeds: 0,
        seconds: began.elapsed().as_secs_f64(),
    })
}

/// What a child printed last; one that takes too long is stopped.
fn last_line(child: &mut Child) -> Option<String> {
    let output = child.stdout.take()?;
    let (line, lines) = channel();
    let reader = std::thread::spawn(move || {
        BufReader::new(output).lines().map_while(Result::ok).for_each(|read| drop(line.send(read)));
    });
    let deadline = Instant::now() + WALL_MAX;
    let mut last = None;
    while let Ok(read) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        last = Some(read);
    }
    if !reader.is_finished() && Instant::now() >= deadline {
        child.kill().unwrap();
    }
    reader.join().unwrap();
    last
}
