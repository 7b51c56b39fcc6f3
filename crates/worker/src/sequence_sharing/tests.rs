//! Simulates streams on few sequences, second by second: nobody waits forever, and no stream is paused
//! without progress.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A stream of the simulation.
#[derive(Debug, Clone, Copy)]
struct SimStream {
    caller: u64,
    /// Seconds of prefill, and tokens per second of it.
    reads: u64,
    tokens_per_second: u64,
    /// Whether host memory has room for its state.
    can_be_saved: bool,
    /// Whether its state cannot be computed again.
    must_be_saved: bool,
    /// Whether its client reads nothing, so that it computes nothing after its prefill.
    is_stalled: bool,
}

/// The history of a stream.
#[derive(Debug, Clone, Default)]
struct History {
    /// Seconds with a sequence, and the number of pauses.
    computed: u64,
    paused: u64,
    /// The longest time without a sequence.
    waited_max: u64,
    first: Option<u64>,
}

struct World {
    sequences: usize,
    now: u64,
    streams: Vec<SimStream>,
    /// Per stream: since when it waits, and whether it is new.
    waiting: BTreeMap<u64, (u64, bool)>,
    /// Per stream: seconds of prefill left, and since when it has its sequence or its prefill is complete.
    running: BTreeMap<u64, (u64, u64)>,
    histories: Vec<History>,
    /// Per paused stream: seconds of prefill left.
    left: Vec<u64>,
}

/// Returns a user with one key. 100 to 103 are further keys of the first user.
fn numbers(caller: u64) -> CallerNumbers {
    CallerNumbers { person: if (100..104).contains(&caller) { 1 } else { caller }, key: caller }
}

impl World {
    fn new(sequences: usize) -> Self {
        let empty = (Vec::new(), BTreeMap::new(), BTreeMap::new(), Vec::new());
        let (streams, waiting, running, histories) = empty;
        Self { sequences, now: 0, streams, waiting, running, histories, left: Vec::new() }
    }

    fn arrive(&mut self, stream: SimStream) -> usize {
        let id = self.streams.len();
        self.streams.push(stream);
        self.histories.push(History::default());
        self.left.push(0);
        self.waiting.insert(id as u64, (self.now, true));
        id
    }

    fn at(second: u64) -> Instant {
        Instant::from_millis(second * 1000)
    }

    fn choose(&self) -> Option<Assignment> {
        let waiting: Vec<Waiter> = self
            .waiting
            .iter()
            .filter(|(stream, (_, is_new))| *is_new || !self.streams[**stream as usize].is_stalled)
            .map(|(stream, (since, is_new))| Waiter {
                stream: *stream,
                caller: numbers(self.streams[*stream as usize].caller),
                since: Self::at(*since),
                is_new: *is_new,
            })
            .collect();
        let running: Vec<Runner> = self
            .running
            .iter()
            .map(|(stream, (left, since))| {
                let about = self.streams[*stream as usize];
                Runner {
                    stream: *stream,
                    caller: numbers(about.caller),
                    is_runnable: !about.is_stalled || *left > 0,
                    may_be_paused: true,
                    since: Self::at(*since),
                    was_paused: self.histories[*stream as usize].paused > 0,
                    is_read: *left == 0,
                    tokens: (about.tokens_per_second * (about.reads - left)) as usize,
                    read_again: Duration::from_secs(about.reads - left),
                    can_be_saved: about.can_be_saved,
                    must_be_saved: about.must_be_saved,
                }
            })
            .collect();
        let callers: Vec<CallerNumbers> =
            self.waiting.keys().map(|stream| numbers(self.streams[*stream as usize].caller)).collect();
        choose(&waiting, &callers, &running, self.running.len() < self.sequences, Self::at(self.now))
    }

    /// Assigns sequences, then lets a second pass.
    fn second(&mut self) {
        let mut choices = 0;
        while let Some(Assignment { starts, pauses }) = self.choose() {
            choices += 1;
            assert!(choices <= 2 * self.streams.len(), "the assignment never settles");
            if let Some(stream) = pauses {
                let (left, since) = self.running.remove(&stream).unwrap();
                let about = self.streams[stream as usize];
                let had_its_slice = left == 0 && self.now - since >= SLICE.as_secs();
                let read_little = (about.tokens_per_second * (about.reads - left)) as usize <= READ_AGAIN_MAX;
                assert!(about.can_be_saved || had_its_slice || read_little, "work is lost");
                self.left[stream as usize] = if about.can_be_saved { left } else { about.reads };
                assert!(about.can_be_saved || !about.must_be_saved, "a state is lost");
                self.histories[stream as usize].paused += 1;
                self.waiting.insert(stream, (self.now, false));
            }
            let (since, is_new) = self.waiting.remove(&starts).unwrap();
            let history = &mut self.histories[starts as usize];
            history.waited_max = history.waited_max.max(self.now - since);
            history.first = history.first.or(Some(self.now));
            let about = self.streams[starts as usize];
            // The tokens of a state that could not be saved are computed again.
            let left = if is_new { about.reads } else { self.left[starts as usize] };
            self.running.insert(starts, (left, self.now));
        }
        self.now += 1;
        for (stream, (left, since)) in &mut self.running {
            self.histories[*stream as usize].computed += 1;
            if *left == 1 {
                *since = self.now;
            }
            *left = left.saturating_sub(1);
        }
    }

    /// Ends a stream, running or waiting.
    fn end(&mut self, stream: usize) {
        self.running.remove(&(stream as u64));
        self.waiting.remove(&(stream as u64));
    }

    /// Lets seconds pass in which each of these callers sends one stream after another. Each stream ends
    /// after it has run for the given time.
    fn seconds_beside(&mut self, seconds: u64, short: &[(u64, u64)]) {
        let mut present: Vec<usize> = short.iter().map(|(caller, _)| self.arrive(stream(*caller))).collect();
        for _ in 0..seconds {
            self.second();
            for (present, (caller, length)) in present.iter_mut().zip(short) {
                if self.histories[*present].computed >= *length {
                    self.end(*present);
                    *present = self.arrive(stream(*caller));
                }
            }
        }
        present.into_iter().for_each(|stream| self.end(stream));
    }

    /// Returns the seconds for which the streams of a user have run.
    fn computed_by(&self, person: u64) -> u64 {
        let theirs = self.streams.iter().zip(&self.histories);
        theirs
            .filter(|(stream, _)| numbers(stream.caller).person == person)
            .map(|(_, history)| history.computed)
            .sum()
    }

    fn seconds(&mut self, seconds: u64) {
        (0..seconds).for_each(|_| self.second());
    }
}

fn stream(caller: u64) -> SimStream {
    SimStream {
        caller,
        reads: 0,
        tokens_per_second: 1000,
        can_be_saved: true,
        must_be_saved: false,
        is_stalled: false,
    }
}

#[test]
fn a_new_caller_starts_at_once_when_another_has_several_sequences() {
    let mut world = World::new(2);
    for _ in 0..2 {
        world.arrive(stream(1));
    }
    world.seconds(3);
    let bea = world.arrive(stream(2));
    world.seconds(1);
    assert_eq!(world.histories[bea].first, Some(3));
    // One of the first caller's streams waits now, but a third caller's new stream goes first.
    let cid = world.arrive(stream(3));
    world.seconds(1);
    assert_eq!(world.histories[cid].first, Some(4));
    world.seconds(100);
    let shares: Vec<u64> = world.histories.iter().map(|history| history.computed).collect();
    assert!(shares.iter().all(|share| *share >= 25), "{shares:?}");
}

#[test]
fn equal_callers_share_a_sequence_in_time_slices() {
    let mut world = World::new(1);
    world.arrive(stream(1));
    world.seconds(4);
    world.arrive(stream(2));
    world.seconds(96);
    let paused: u64 = world.histories.iter().map(|history| history.paused).sum();
    assert!((8..=10).contains(&paused), "{:?}", world.histories);
    // One caller has two streams and another has one, on two sequences: each caller keeps one.
    let mut world = World::new(2);
    for caller in [1, 1, 2] {
        world.arrive(stream(caller));
    }
    world.seconds(100);
    assert_eq!((world.histories[2].computed, world.histories[2].paused), (100, 0), "{:?}", world.histories);
    assert!(world.histories[..2].iter().all(|history| history.computed >= 40), "{:?}", world.histories);
}

#[test]
fn a_stream_whose_state_cannot_be_saved_is_rarely_read_again() {
    let mut world = World::new(2);
    let long = SimStream { reads: 40, can_be_saved: false, ..stream(1) };
    let documents = [world.arrive(long), world.arrive(long)];
    for _ in 0..40 {
        world.seconds(3);
        world.arrive(stream(2));
        // The question is answered within a second.
        world.seconds(1);
        world.end(world.streams.len() - 1);
    }
    for document in documents {
        assert!(world.histories[document].computed >= 70, "{:?}", world.histories[document]);
        assert!(world.histories[document].paused <= 4, "{:?}", world.histories[document]);
    }
}

/// A single sequence is shared even if a long prompt must be computed again for that, which takes at most
/// half of the time.
#[test]
fn a_stream_whose_state_cannot_be_saved_gets_slices_as_long_as_its_prefill() {
    let mut world = World::new(1);
    let document = world.arrive(SimStream { reads: 40, can_be_saved: false, ..stream(1) });
    world.seconds(45);
    let question = world.arrive(stream(2));
    world.seconds(35);
    assert_eq!(world.histories[question].first, None);
    world.seconds(1);
    assert_eq!(world.histories[question].first, Some(80));
    world.seconds(500);
    let [document, question] = [document, question].map(|stream| world.histories[stream].clone());
    assert!(document.paused <= 8 && question.waited_max <= 80, "{document:?} {question:?}");
}

/// On a slow machine a prompt is not finished within one turn.
#[test]
fn slow_prompts_that_cannot_be_saved_are_finished() {
    let mut world = World::new(1);
    let slow = |caller| SimStream { reads: 50, tokens_per_second: 20, can_be_saved: false, ..stream(caller) };
    let documents = [world.arrive(slow(1)), world.arrive(slow(2))];
    world.seconds(600);
    for document in documents {
        let history = &world.histories[document];
        assert!(history.paused <= 6 && history.waited_max <= 120, "{history:?}");
    }
}

#[test]
fn a_waiting_stream_gets_the_sequence_of_a_stalled_one() {
    for (about, starts) in [
        (SimStream { is_stalled: true, ..stream(1) }, 10),
        // Its tokens would be computed again, so it has its slice first.
        (SimStream { is_stalled: true, reads: 5, can_be_saved: false, ..stream(1) }, 15),
    ] {
        let mut world = World::new(1);
        world.arrive(about);
        world.seconds(10);
        let question = world.arrive(stream(2));
        world.seconds(20);
        assert_eq!(world.histories[question].first, Some(starts));
        assert_eq!((world.histories[question].computed, world.histories[question].paused), (30 - starts, 0));
    }
}

#[test]
fn a_state_that_cannot_be_recomputed_is_never_dropped() {
    let mut world = World::new(1);
    world.arrive(SimStream { can_be_saved: false, must_be_saved: true, ..stream(1) });
    world.seconds(1);
    let question = world.arrive(stream(2));
    world.seconds(1000);
    // The scheduler stops the first one eventually.
    assert_eq!(world.histories[question].first, None);
}

/// The keys of one user count together: a user without a sequence waits neither for the slice of each key nor
/// for their prompts.
#[test]
fn a_new_caller_starts_at_once_when_a_person_has_several_keys() {
    let mut world = World::new(4);
    for key in 100..104 {
        world.arrive(SimStream { reads: 60, ..stream(key) });
    }
    world.seconds(3);
    let bea = world.arrive(stream(2));
    world.seconds(1);
    assert_eq!(world.histories[bea].first, Some(3));
    // A fifth key of the first user takes turns with the others.
    let fifth = world.arrive(stream(1));
    world.seconds(8);
    assert_eq!(world.histories[fifth].first, Some(10));
    world.seconds(100);
    let computed: Vec<u64> = world.histories.iter().map(|history| history.computed).collect();
    assert!(computed[bea] >= 100 && computed.iter().all(|computed| *computed >= 30), "{computed:?}");
}

#[test]
fn a_short_prompt_waits_at_most_one_slice_for_long_ones() {
    let mut world = World::new(4);
    for person in 1..5 {
        world.arrive(SimStream { reads: 60, ..stream(person) });
    }
    world.seconds(3);
    let question = world.arrive(stream(9));
    world.seconds(8);
    assert_eq!(world.histories[question].first, Some(10));
}

/// A caller with several streams keeps the share of one stream, however many short answers others request.
#[test]
fn consecutive_short_answers_leave_an_endless_one_its_share() {
    for length in [1, 2, 5] {
        // Two endless answers of one user next to two other users, on two sequences: each user should get two
        // thirds of one.
        let mut world = World::new(2);
        world.arrive(stream(1));
        world.arrive(stream(1));
        world.seconds_beside(600, &[(2, length), (3, length)]);
        let computed: Vec<u64> = (1..4).map(|person| world.computed_by(person)).collect();
        assert!(computed.iter().all(|computed| *computed >= 150), "{length}: {computed:?}");
        // Two keys of one user next to one other user, on one sequence.
        let mut world = World::new(1);
        world.arrive(stream(100));
        world.arrive(stream(101));
        world.seconds_beside(600, &[(2, length)]);
        let computed: Vec<u64> = world.histories[..2].iter().map(|history| history.computed).collect();
        assert!(computed.iter().all(|computed| *computed >= 60), "{length}: {computed:?}");
    }
}

proptest! {
    /// Endless answers next to callers that send short ones, each after the last one has ended.
    #[test]
    fn nobody_starves_beside_short_answers(
        sequences in 1usize..4,
        endless in prop::collection::vec((prop_oneof![1u64..4, 100u64..103], 0u64..12, any::<bool>()), 1..5),
        short in prop::collection::vec((prop_oneof![1u64..7, 100u64..103], 1u64..8), 1..5),
        tokens_per_second in prop_oneof![Just(1000u64), Just(20)],
    ) {
        let mut world = World::new(sequences);
        for (caller, reads, can_be_saved) in &endless {
            let can_be_saved = *can_be_saved;
            world.arrive(SimStream { reads: *reads, tokens_per_second, can_be_saved, ..stream(*caller) });
        }
        world.seconds_beside(800, &short);
        for (caller, ..) in &endless {
            let computed = world.computed_by(numbers(*caller).person);
            prop_assert!(computed >= 40, "person of {} computed for {} s", caller, computed);
        }
        for history in &world.histories {
            prop_assert!(history.waited_max <= 300, "{:?}", history);
        }
    }

    /// Endless streams of any callers that arrive at any time.
    #[test]
    fn every_stream_makes_progress(
        sequences in 1usize..4,
        streams in prop::collection::vec((prop_oneof![1u64..4, 100u64..103], 0u64..12, any::<bool>(), 0u64..40), 1..7),
        tokens_per_second in prop_oneof![Just(1000u64), Just(20)],
    ) {
        let mut world = World::new(sequences);
        let mut later = streams.clone();
        later.sort_by_key(|(.., at)| *at);
        for (caller, reads, can_be_saved, at) in later {
            world.seconds(at.saturating_sub(world.now));
            world.arrive(SimStream { reads, tokens_per_second, can_be_saved, ..stream(caller) });
        }
        let started = world.now;
        world.seconds(400);
        for (stream, history) in world.histories.iter().enumerate() {
            prop_assert!(history.waited_max <= 200, "{} waited: {:?}", stream, history);
            prop_assert!(history.computed >= (world.now - started) / 40, "{}: {:?}", stream, history);
            prop_assert!(history.paused <= 60, "{}: {:?}", stream, history);
        }
        let persons: Vec<u64> = streams.iter().map(|(caller, ..)| numbers(*caller).person).collect();
        let mut distinct = persons;
        distinct.sort_unstable();
        distinct.dedup();
        // With at most as many users as sequences, nobody gets much less than their share: only a prompt in
        // prefill and the slice after it may come first.
        if distinct.len() <= sequences {
            for person in distinct {
                let computed = world.computed_by(person);
                prop_assert!(computed >= 370, "person {} computed for {} s", person, computed);
            }
        }
    }
}
