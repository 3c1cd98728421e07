//! Running inputs: made from a seed and a number, measured, and made smaller when they break something.
//!
//! Input number n of a target depends on the seed, n and the corpus alone, so any execution is repeated without those
//! before it. Bytes are changed by `mutatis`; splices, words and numbers at the edge are added to its changes.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::fuzz::Target;
use crate::fuzz::corpus::Input;
use crate::world::thread_cpu;

/// Executions that making an input smaller may take.
const SHRINK_EXECUTIONS_MAX: usize = 4_000;
/// And how long.
const SHRINK_TIME_MAX: Duration = Duration::from_secs(20);
const EDGES: [u64; 10] = [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, i64::MAX.unsigned_abs(), u64::MAX];

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Makes panics of this process silent and remembered: many are caught where they belong.
pub fn listen_to_panics() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(|place| format!("{}:{}", place.file(), place.line())).unwrap_or_default();
        let message = info.payload_as_str().unwrap_or("a panic without words");
        let message: String = message.chars().take(400).collect();
        LAST_PANIC.with_borrow_mut(|last| *last = Some(format!("{place}: {message}")));
    }));
}

/// What an execution came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How long it took.
    pub time: Duration,
    /// Memory it took at its peak, where the process counts it (`peak_alloc`).
    pub peak_bytes: usize,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// Runs a target on an input. Memory over the target's room is a failure too, if it is so a second time: the first pays
/// for what is made once.
#[must_use]
pub fn execute(target: &Target, bytes: &[u8]) -> Outcome {
    let first = execute_once(target, bytes);
    if first.failure.is_some() || first.peak_bytes <= target.room.of(bytes.len()) {
        return first;
    }
    let second = execute_once(target, bytes);
    if second.failure.is_some() || second.peak_bytes <= target.room.of(bytes.len()) {
        return second;
    }
    let (have, room) = (second.peak_bytes, target.room.of(bytes.len()));
    Outcome { failure: Some(format!("{} bytes cost {have} bytes of memory, at most {room}", bytes.len())), ..second }
}

fn execute_once(target: &Target, bytes: &[u8]) -> Outcome {
    PeakAlloc.reset_peak_usage();
    let before = PeakAlloc.current_usage();
    let start = Instant::now();
    let run = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(bytes)));
    let time = start.elapsed();
    let peak_bytes = PeakAlloc.peak_usage().saturating_sub(before);
    let unheard = || "a panic".to_owned();
    let failure = run.err().map(|_| LAST_PANIC.with_borrow_mut(Option::take).unwrap_or_else(unheard));
    Outcome { time, peak_bytes, failure }
}

/// Processor time of an input that seemed slow: the least of three runs, so that a busy machine does not count.
#[must_use]
pub fn confirmed_time(target: &Target, bytes: &[u8], seen: Duration) -> Duration {
    let run = |_| {
        let start = thread_cpu();
        drop(execute_once(target, bytes));
        thread_cpu() - start
    };
    (0..3).map(run).fold(seen, Duration::min)
}

/// The inputs of one target.
pub struct Inputs {
    target: &'static Target,
    known: Vec<Vec<u8>>,
    seed: u64,
}

impl Inputs {
    /// From what is known of a target.
    #[must_use]
    pub fn new(target: &'static Target, known: Vec<Input>, seed: u64) -> Self {
        let mut known: Vec<Vec<u8>> = known.into_iter().map(|input| input.bytes).collect();
        if known.is_empty() {
            known.push(Vec::new());
        }
        Self { target, known, seed }
    }

    /// Input number n: those that are known first, then mutations of them.
    #[must_use]
    pub fn input(&self, number: u64) -> Vec<u8> {
        if let Some(known) = usize::try_from(number).ok().and_then(|number| self.known.get(number)) {
            return known.clone();
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number);
        let mut bytes = self.known.choose(&mut rng).unwrap().clone();
        let times = 1 << rng.random_range(0..4u8);
        for _ in 0..rng.random_range(1..=times) {
            self.mutate(&mut rng, &mut bytes);
        }
        bytes.truncate(self.target.bytes_max);
        bytes
    }

    fn mutate(&self, rng: &mut ChaCha8Rng, bytes: &mut Vec<u8>) {
        let at = rng.random_range(0..=bytes.len());
        let length = rng.random_range(0..=32usize).min(bytes.len() - at);
        match rng.random_range(0..12u8) {
            0..=4 => {
                let mut session = mutatis::Session::new().seed(rng.random()).shrink(rng.random_range(0..4u8) == 0);
                // Nothing left to change is no failure.
                session.mutate(bytes).ok();
            }
            5 | 6 => {
                let other = self.known.choose(rng).unwrap();
                let from = rng.random_range(0..=other.len());
                let taken = rng.random_range(0..=64usize).min(other.len() - from);
                bytes.splice(at..at + length, other[from..from + taken].iter().copied());
            }
            7 if !self.target.words.is_empty() => {
                let word = self.target.words.choose(rng).unwrap();
                bytes.splice(at..at + rng.random_range(0..=length), word.bytes());
            }
            7 | 8 => {
                let number = EDGES.choose(rng).unwrap().to_be_bytes();
                let width = [1, 2, 4, 8][rng.random_range(0..4usize)];
                let end = (at + width).min(bytes.len());
                bytes.splice(at..end, number[8 - width..].iter().copied());
            }
            9 => drop(bytes.drain(at..at + length)),
            10 => {
                let part = bytes[at..at + length].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = byte.wrapping_add(*[1, 255, 16, 128].choose(rng).unwrap());
                }
            }
        }
    }
}

/// Makes an input smaller, as long as it fails.
#[must_use]
pub fn shrink(bytes: &[u8], fails: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let start = Instant::now();
    let mut best = bytes.to_vec();
    let mut executions = 0;
    let mut step = best.len().div_ceil(2);
    while step > 0 {
        let mut at = 0;
        while at < best.len() {
            if executions >= SHRINK_EXECUTIONS_MAX || start.elapsed() > SHRINK_TIME_MAX {
                return best;
            }
            let mut shorter = best.clone();
            shorter.drain(at..(at + step).min(best.len()));
            executions += 1;
            if fails(&shorter) {
                best = shorter;
            } else {
                at += step;
            }
        }
        step /= 2;
    }
    for at in 0..best.len() {
        let mut plainer = best.clone();
        plainer[at] = 0;
        if executions < SHRINK_EXECUTIONS_MAX && best[at] != 0 && fails(&plainer) {
            best = plainer;
        }
        executions += 1;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failing_input_is_made_as_small_as_it_can_be() {
        let fails = |bytes: &[u8]| bytes.contains(&7) && bytes.contains(&9);
        let mut bytes = vec![3; 500];
        bytes[99] = 7;
        bytes[400] = 9;
        assert_eq!(shrink(&bytes, fails), [7, 9]);
    }

    #[test]
    fn input_of_a_number_is_the_same_whatever_was_made_before() {
        let target = crate::fuzz::target_named("expression").unwrap();
        let known = || vec![Input { name: "a".to_owned(), bytes: b". > 1".to_vec() }];
        let one = Inputs::new(target, known(), 5);
        let late: Vec<Vec<u8>> = (90..100).map(|number| one.input(number)).collect();
        let other = Inputs::new(target, known(), 5);
        assert_eq!((0..100).map(|number| other.input(number)).skip(90).collect::<Vec<_>>(), late);
        assert_ne!(Inputs::new(target, known(), 6).input(90), late[0]);
    }
}
