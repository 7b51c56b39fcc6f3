//! Streams on few sequences, a second at a time: nobody waits for ever, and nobody is paused without having got on.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A stream of the simulation.
#[derive(Debug, Clone, Copy)]
struct Stream {
    caller: u64,
    /// Seconds until its prompt is read.
    reads: u64,
    /// Whether host memory has room for its state.
    can_be_kept: bool,
}

/// What became of a stream.
#[derive(Debug, Clone, Default)]
struct History {
    /// Seconds in a sequence, and how often it was paused.
    computed: u64,
    paused: u64,
    /// The longest it was without a sequence.
    waited_max: u64,
    first: Option<u64>,
}

struct World {
    sequences: usize,
    now: u64,
    streams: Vec<Stream>,
    /// By stream: since when it waits, and whether it is new.
    waiting: BTreeMap<u64, (u64, bool)>,
    /// By stream: seconds of its prompt that are left, and since when it is ready.
    running: BTreeMap<u64, (u64, Option<u64>)>,
    histories: Vec<History>,
}

impl World {
    fn new(sequences: usize) -> Self {
        let empty = (Vec::new(), BTreeMap::new(), BTreeMap::new(), Vec::new());
        let (streams, waiting, running, histories) = empty;
        Self { sequences, now: 0, streams, waiting, running, histories }
    }

    fn arrive(&mut self, stream: Stream) -> usize {
        let id = self.streams.len();
        self.streams.push(stream);
        self.histories.push(History::default());
        self.waiting.insert(id as u64, (self.now, true));
        id
    }

    fn at(second: u64) -> Instant {
        Instant::from_millis(second * 1000)
    }

    fn choose(&self) -> Option<Choice> {
        let waiting: Vec<Waiter> = self
            .waiting
            .iter()
            .map(|(stream, (since, is_new))| Waiter {
                stream: *stream,
                caller: self.streams[*stream as usize].caller,
                since: Self::at(*since),
                is_new: *is_new,
            })
            .collect();
        let running: Vec<Runner> = self
            .running
            .iter()
            .map(|(stream, (left, ready))| {
                let about = self.streams[*stream as usize];
                Runner {
                    stream: *stream,
                    caller: about.caller,
                    is_runnable: true,
                    may_be_paused: true,
                    ready_since: ready.map(Self::at),
                    tokens: 1000 * (about.reads - left) as usize,
                    can_be_kept: about.can_be_kept,
                    must_be_kept: false,
                }
            })
            .collect();
        let callers: Vec<u64> = waiting.iter().map(|waiter| waiter.caller).collect();
        choose(&waiting, &callers, &running, self.running.len() < self.sequences, Self::at(self.now))
    }

    /// Starts what is to be started, then lets a second pass.
    fn second(&mut self) {
        let mut choices = 0;
        while let Some(Choice { starts, pauses }) = self.choose() {
            choices += 1;
            assert!(choices <= 2 * self.streams.len(), "it comes to no rest");
            if let Some(stream) = pauses {
                let (_, ready) = self.running.remove(&stream).unwrap();
                let about = self.streams[stream as usize];
                let had_its_slice = ready.is_some_and(|since| self.now - since >= SLICE.as_secs());
                let read_little = about.reads <= 1 || ready.is_none();
                assert!(about.can_be_kept || had_its_slice || read_little, "work is lost");
                self.histories[stream as usize].paused += 1;
                self.waiting.insert(stream, (self.now, false));
            }
            let (since, is_new) = self.waiting.remove(&starts).unwrap();
            let history = &mut self.histories[starts as usize];
            history.waited_max = history.waited_max.max(self.now - since);
            history.first = history.first.or(Some(self.now));
            let about = self.streams[starts as usize];
            // What could not be kept is read again.
            let left = if is_new || !about.can_be_kept { about.reads } else { 0 };
            self.running.insert(starts, (left, (left == 0).then_some(self.now)));
        }
        self.now += 1;
        for (stream, (left, ready)) in &mut self.running {
            self.histories[*stream as usize].computed += 1;
            *left = left.saturating_sub(1);
            *ready = ready.or((*left == 0).then_some(self.now));
        }
    }

    fn seconds(&mut self, seconds: u64) {
        (0..seconds).for_each(|_| self.second());
    }
}

fn stream(caller: u64) -> Stream {
    Stream { caller, reads: 0, can_be_kept: true }
}

#[test]
fn a_newcomer_starts_at_once_where_somebody_has_several() {
    let mut world = World::new(2);
    for _ in 0..2 {
        world.arrive(stream(1));
    }
    world.seconds(3);
    let bea = world.arrive(stream(2));
    world.seconds(1);
    assert_eq!(world.histories[bea].first, Some(3));
    // One of the first caller's waits now, so that a third caller's goes before its other one.
    let cid = world.arrive(stream(3));
    world.seconds(1);
    assert_eq!(world.histories[cid].first, Some(4));
    world.seconds(100);
    let shares: Vec<u64> = world.histories.iter().map(|history| history.computed).collect();
    assert!(shares.iter().all(|share| *share >= 25), "{shares:?}");
}

#[test]
fn equals_share_a_sequence_in_slices_and_nothing_is_swapped_back() {
    let mut world = World::new(1);
    world.arrive(stream(1));
    world.seconds(4);
    world.arrive(stream(2));
    world.seconds(96);
    let paused: u64 = world.histories.iter().map(|history| history.paused).sum();
    assert!((8..=10).contains(&paused), "{:?}", world.histories);
    // Two of one caller and one of another on two sequences: each caller keeps one.
    let mut world = World::new(2);
    for caller in [1, 1, 2] {
        world.arrive(stream(caller));
    }
    world.seconds(100);
    assert_eq!((world.histories[2].computed, world.histories[2].paused), (100, 0), "{:?}", world.histories);
    assert!(world.histories[..2].iter().all(|history| history.computed >= 40), "{:?}", world.histories);
}

#[test]
fn what_cannot_be_kept_is_not_read_over_and_over() {
    let mut world = World::new(2);
    let long = Stream { reads: 40, can_be_kept: false, ..stream(1) };
    let documents = [world.arrive(long), world.arrive(long)];
    for _ in 0..40 {
        world.seconds(3);
        world.arrive(stream(2));
        // The question is answered within a second.
        world.seconds(1);
        let question = (world.streams.len() - 1) as u64;
        if world.running.remove(&question).is_none() {
            world.waiting.remove(&question);
        }
    }
    for document in documents {
        assert!(world.histories[document].computed >= 70, "{:?}", world.histories[document]);
        assert!(world.histories[document].paused <= 4, "{:?}", world.histories[document]);
    }
}

proptest! {
    /// Any streams of any callers that never end, and arrive at any time.
    #[test]
    fn everybody_gets_on(
        sequences in 1usize..4,
        streams in prop::collection::vec((1u64..4, 0u64..3, any::<bool>(), 0u64..40), 1..7),
    ) {
        let mut world = World::new(sequences);
        let mut later = streams.clone();
        later.sort_by_key(|(.., at)| *at);
        for (caller, reads, can_be_kept, at) in later {
            world.seconds(at.saturating_sub(world.now));
            // What cannot be kept takes no turns; it is paused at once only. Here all can, or have read little.
            let can_be_kept = can_be_kept || reads > 0;
            world.arrive(Stream { caller, reads, can_be_kept });
        }
        let begun = world.now;
        world.seconds(400);
        for (stream, history) in world.histories.iter().enumerate() {
            prop_assert!(history.waited_max <= 120, "{} waited: {:?}", stream, history);
            prop_assert!(history.computed >= (world.now - begun) / 20, "{}: {:?}", stream, history);
            prop_assert!(history.paused <= 60, "{}: {:?}", stream, history);
        }
        let callers: Vec<u64> = streams.iter().map(|(caller, ..)| *caller).collect();
        let mut distinct = callers;
        distinct.sort_unstable();
        distinct.dedup();
        // Nobody has much less than their share while there are as many callers as sequences.
        if distinct.len() <= sequences {
            for caller in distinct {
                let computed: u64 = world.histories.iter().enumerate()
                    .filter(|(stream, _)| world.streams[*stream].caller == caller)
                    .map(|(_, history)| history.computed).sum();
                prop_assert!(computed >= 390, "caller {} computed for {} s", caller, computed);
            }
        }
    }
}
