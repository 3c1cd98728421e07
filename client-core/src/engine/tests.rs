//! Transition tables: an engine in some state, one input, the effects and the next wake.

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn timings() -> Timings {
    Timings {
        after_save: seconds(3),
        interval: seconds(600),
        interval_metered: seconds(3_600),
        backoff_min: seconds(2),
        backoff_max: seconds(64),
        ..Timings::default()
    }
}

struct Bench {
    engine: Engine,
    rng: StdRng,
}

impl Bench {
    fn new(schedule: Schedule) -> Self {
        Self { engine: Engine::new(timings(), schedule), rng: StdRng::seed_from_u64(1) }
    }

    fn enrolled(schedule: Schedule) -> Self {
        let mut bench = Self::new(schedule);
        bench.at(0, Input::Enrolled);
        bench
    }

    fn at(&mut self, now: u64, input: Input) -> Vec<Effect> {
        self.engine.handle(input, seconds(now), &mut self.rng);
        std::iter::from_fn(|| self.engine.poll_effect()).collect()
    }

    fn wake(&self) -> Option<Moment> {
        self.engine.poll_wake()
    }
}

const DONE: Over = Over::Well { left: Left::Nothing, retry_after: None };
const BROKEN: Over = Over::Broken { retry_after: None };

#[test]
fn enrolled_device_syncs_at_once_and_then_at_intervals() {
    let mut bench = Bench::new(Schedule::Automatic);
    assert_eq!(bench.at(0, Input::LocalNews), []);
    assert_eq!(bench.wake(), None);
    assert_eq!(bench.at(1, Input::Enrolled), [Effect::Dial(Goal::Once)]);
    assert_eq!(bench.at(2, Input::Over(DONE)), []);
    assert_eq!(bench.wake(), Some(seconds(602)));
    assert_eq!(bench.at(602, Input::Tick), [Effect::Dial(Goal::Once)]);
}

#[test]
fn manual_schedule_syncs_only_when_asked() {
    let mut bench = Bench::enrolled(Schedule::Manual);
    assert_eq!(bench.at(1, Input::Connectivity(Connectivity::Unmetered)), []);
    assert_eq!(bench.at(2, Input::LocalNews), []);
    assert_eq!(bench.wake(), None);
    assert_eq!(bench.at(3, Input::Asked(1, seconds(30))), [Effect::Dial(Goal::Once)]);
    assert_eq!(bench.at(4, Input::Over(DONE)), [Effect::Answer(1, Answer::Done)]);
    assert_eq!(bench.wake(), None);
}

#[test]
fn saves_in_a_row_are_sent_together_after_a_moment() {
    let mut bench = Bench::enrolled(Schedule::Automatic);
    bench.at(1, Input::Over(DONE));
    assert_eq!(bench.at(10, Input::LocalNews), []);
    assert_eq!(bench.at(11, Input::LocalNews), []);
    assert_eq!(bench.wake(), Some(seconds(13)));
    assert_eq!(bench.at(13, Input::Tick), [Effect::Dial(Goal::Once)]);
    // A save during the session asks for another one.
    assert_eq!(bench.at(14, Input::LocalNews), []);
    bench.at(15, Input::Over(Over::Well { left: Left::Less, retry_after: None }));
    assert!(bench.engine.is_running());
}

#[test]
fn unmetered_network_is_watched_and_news_pushed() {
    let mut bench = Bench::enrolled(Schedule::Automatic);
    bench.at(1, Input::Over(DONE));
    assert_eq!(bench.at(2, Input::Connectivity(Connectivity::Unmetered)), [Effect::Dial(Goal::Watch)]);
    assert_eq!(bench.at(3, Input::Settled), []);
    assert!(bench.engine.is_watching());
    assert_eq!(bench.at(4, Input::LocalNews), [Effect::PushNews]);
    // The hub goes down and says for how long.
    let bye = Over::Well { left: Left::Nothing, retry_after: Some(seconds(20)) };
    assert_eq!(bench.at(5, Input::Over(bye)), []);
    assert_eq!(bench.wake(), Some(seconds(25)));
    assert_eq!(bench.at(25, Input::Tick), [Effect::Dial(Goal::Watch)]);
    // The network becomes metered: watching ends.
    bench.at(26, Input::Settled);
    assert_eq!(bench.at(27, Input::Connectivity(Connectivity::Metered)), [Effect::Leave]);
    bench.at(28, Input::Over(BROKEN));
    assert!(bench.engine.is_running(), "a session on the metered network");
    bench.at(29, Input::Over(DONE));
    assert_eq!(bench.wake(), Some(seconds(29 + 3_600)));
}

#[test]
fn offline_ends_the_session_and_nothing_is_tried_until_the_network_is_back() {
    let mut bench = Bench::enrolled(Schedule::Automatic);
    assert_eq!(bench.at(1, Input::Connectivity(Connectivity::Offline)), [Effect::Leave]);
    assert_eq!(bench.at(2, Input::Over(BROKEN)), []);
    assert_eq!(bench.at(3, Input::LocalNews), []);
    assert_eq!(bench.wake(), None);
    assert_eq!(bench.at(4, Input::Connectivity(Connectivity::Metered)), [Effect::Dial(Goal::Once)]);
}

#[test]
fn failures_are_retried_with_growing_jittered_waits_up_to_the_cap() {
    let mut bench = Bench::enrolled(Schedule::Automatic);
    let mut now = seconds(1);
    let mut whole = seconds(2);
    for _ in 0..10 {
        bench.engine.handle(Input::Over(BROKEN), now, &mut bench.rng);
        let wake = bench.wake().unwrap();
        let wait = wake - now;
        assert!(wait >= whole / 2 && wait <= whole, "{wait:?} of {whole:?}");
        assert_eq!(bench.engine.poll_effect(), None);
        bench.engine.handle(Input::Tick, wake, &mut bench.rng);
        assert_eq!(bench.engine.poll_effect(), Some(Effect::Dial(Goal::Once)));
        now = wake;
        whole = (whole * 2).min(seconds(64));
    }
    // A save does not cut the wait short.
    bench.engine.handle(Input::Over(BROKEN), now, &mut bench.rng);
    let wake = bench.wake();
    bench.engine.handle(Input::LocalNews, now, &mut bench.rng);
    assert_eq!(bench.wake(), wake);
}

#[test]
fn hub_that_asks_for_time_gets_it() {
    let mut bench = Bench::enrolled(Schedule::Automatic);
    bench.at(1, Input::Over(Over::Broken { retry_after: Some(seconds(300)) }));
    assert_eq!(bench.wake(), Some(seconds(301)));
    bench.at(2, Input::LocalNews);
    assert_eq!(bench.wake(), Some(seconds(301)));
}

#[test]
fn halt_stops_everything_but_a_person_and_an_enrolment() {
    let mut bench = Bench::enrolled(Schedule::Automatic);
    bench.at(1, Input::Over(Over::Halting(HaltReason::Revoked)));
    assert_eq!(bench.engine.halted(), Some(HaltReason::Revoked));
    assert_eq!(bench.at(2, Input::LocalNews), []);
    assert_eq!(bench.at(3, Input::Connectivity(Connectivity::Unmetered)), []);
    assert_eq!(bench.wake(), None);
    assert_eq!(bench.at(4, Input::Asked(1, seconds(30))), [Effect::Dial(Goal::Once)]);
    let halting = Over::Halting(HaltReason::Revoked);
    assert_eq!(bench.at(5, Input::Over(halting)), [Effect::Answer(1, Answer::Halted(HaltReason::Revoked))]);
    assert_eq!(bench.at(6, Input::Enrolled), [Effect::Dial(Goal::Watch)]);
    assert_eq!(bench.engine.halted(), None);
}

#[test]
fn request_goes_on_until_nothing_is_left() {
    let mut bench = Bench::enrolled(Schedule::Manual);
    bench.at(1, Input::Asked(1, seconds(60)));
    let less = Over::Well { left: Left::Less, retry_after: None };
    assert_eq!(bench.at(2, Input::Over(less)), [Effect::Dial(Goal::Once)]);
    let as_much = Over::Well { left: Left::AsMuch, retry_after: None };
    assert_eq!(bench.at(3, Input::Over(as_much)), [Effect::Answer(1, Answer::Done)]);
}

#[test]
fn request_is_answered_when_its_time_is_up() {
    let mut bench = Bench::enrolled(Schedule::Manual);
    assert_eq!(bench.at(1, Input::Asked(1, seconds(10))), [Effect::Dial(Goal::Once)]);
    assert_eq!(bench.wake(), Some(seconds(10)));
    let time_up = [Effect::Answer(1, Answer::TimeUp), Effect::Leave];
    assert_eq!(bench.at(10, Input::Tick), time_up);
    assert_eq!(bench.at(11, Input::Over(BROKEN)), []);
    assert_eq!(bench.wake(), None);
}

#[test]
fn request_is_retried_after_a_failure_while_there_is_time() {
    let mut bench = Bench::enrolled(Schedule::Manual);
    bench.at(1, Input::Asked(1, seconds(30)));
    assert_eq!(bench.at(2, Input::Over(BROKEN)), []);
    let wake = bench.wake().unwrap();
    assert!(wake > seconds(2) && wake <= seconds(4));
    bench.engine.handle(Input::Tick, wake, &mut bench.rng);
    assert_eq!(bench.engine.poll_effect(), Some(Effect::Dial(Goal::Once)));
}

#[test]
fn request_while_watching_gets_a_session_of_its_own_and_watching_goes_on_after() {
    let mut bench = Bench::enrolled(Schedule::Automatic);
    bench.at(1, Input::Over(DONE));
    bench.at(2, Input::Connectivity(Connectivity::Unmetered));
    bench.at(3, Input::Settled);
    assert_eq!(bench.at(4, Input::Asked(7, seconds(60))), [Effect::Leave]);
    assert_eq!(bench.at(5, Input::Over(DONE)), [Effect::Dial(Goal::Once)]);
    let answered = bench.at(6, Input::Over(DONE));
    assert_eq!(answered, [Effect::Answer(7, Answer::Done), Effect::Dial(Goal::Watch)]);
}

#[test]
fn request_before_enrolment_is_answered_at_once() {
    let mut bench = Bench::new(Schedule::Automatic);
    assert_eq!(bench.at(1, Input::Asked(1, seconds(9))), [Effect::Answer(1, Answer::NotEnrolled)]);
}

#[test]
fn program_that_is_too_old_does_not_watch_and_still_sends_what_is_saved() {
    let mut bench = Bench::enrolled(Schedule::Automatic);
    bench.at(1, Input::Over(DONE));
    assert_eq!(bench.at(2, Input::Connectivity(Connectivity::Unmetered)), [Effect::Dial(Goal::Watch)]);
    bench.at(3, Input::Reading(Reading::Closed));
    assert_eq!(bench.at(3, Input::Over(DONE)), []);
    assert_eq!(bench.wake(), Some(seconds(603)), "it comes again, but not at once");
    bench.at(10, Input::LocalNews);
    assert_eq!(bench.at(13, Input::Tick), [Effect::Dial(Goal::Once)]);
    bench.at(14, Input::Reading(Reading::Open));
    assert_eq!(bench.at(14, Input::Over(DONE)), [Effect::Dial(Goal::Watch)], "the requirement has ended");
}
