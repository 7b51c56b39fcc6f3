//! The order of prefill. Pure bookkeeping of the prefill time of each caller.
//!
//! Users share the prefill time, and so do the keys of one user. Between callers with about the same time (to
//! within [`SHARE`]), the prompt with the fewest tokens left goes first: a question does not wait for a
//! document. In every [`OLDEST_EVERY`]th step the oldest prompt goes first, so that short prompts cannot
//! starve a long one. A new caller starts at the time of the caller with the least, as in
//! [`super::fair_queue`].

use std::collections::BTreeMap;
use std::time::Duration;

use lar_inference::protocol::CallerNumbers;

/// The unit in which prefill times are compared: callers with equally many whole units count as equal. It is
/// longer than a usual prompt takes, so that usual prompts of several callers are read one after the other
/// instead of all finishing late.
const SHARE: Duration = Duration::from_secs(4);
/// One step in this many goes to the oldest prompt.
const OLDEST_EVERY: u64 = 4;

/// A prompt in prefill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnreadPrompt {
    /// The stream; the numbers grow with arrival.
    pub(super) stream: u64,
    pub(super) caller: CallerNumbers,
    /// The number of tokens left to read.
    pub(super) left: usize,
}

/// The prefill time of each user and key.
#[derive(Debug, Default)]
pub(super) struct PrefillOrder {
    persons: Ledger<u64>,
    keys: Ledger<CallerNumbers>,
    steps: u64,
}

impl PrefillOrder {
    /// Sorts the unread prompts into the order in which this step reads them.
    pub(super) fn arrange(&mut self, unread: &mut [UnreadPrompt]) {
        let callers = || unread.iter().map(|prompt| prompt.caller);
        self.persons.open(|| callers().map(|caller| caller.person), |_, _| true);
        self.keys.open(callers, |one, other| one.person == other.person);
        self.steps += 1;
        let oldest_first = self.steps.is_multiple_of(OLDEST_EVERY);
        unread.sort_by_key(|prompt| {
            let shares = (self.persons.shares(prompt.caller.person), self.keys.shares(prompt.caller));
            let by_need = (shares, prompt.left);
            (if oldest_first { ((0, 0), 0) } else { by_need }, prompt.stream)
        });
    }

    /// Records the time of a caller's prefill.
    pub(super) fn charge(&mut self, caller: CallerNumbers, took: Duration) {
        self.persons.charge(caller.person, took);
        self.keys.charge(caller, took);
    }
}

/// The prefill time of each member of a group that shares it.
#[derive(Debug)]
struct Ledger<K> {
    served: BTreeMap<K, Duration>,
}

impl<K> Default for Ledger<K> {
    fn default() -> Self {
        Self { served: BTreeMap::new() }
    }
}

impl<K: Copy + Ord> Ledger<K> {
    /// Adds an entry for every caller with something to read. Keeps another caller's entry only while a
    /// caller with less time that shares with it has something to read.
    fn open<R: Iterator<Item = K>>(&mut self, readers: impl Fn() -> R, share: impl Fn(K, K) -> bool) {
        let level = |served: &BTreeMap<K, Duration>, of: K| {
            let mut rivals = readers().filter(|reader| share(*reader, of)).peekable();
            rivals.peek()?;
            Some(rivals.filter_map(|reader| served.get(&reader).copied()).min().unwrap_or_default())
        };
        let before = self.served.clone();
        self.served.retain(|one, served| {
            readers().any(|reader| reader == *one)
                || level(&before, *one).is_some_and(|level| *served > level)
        });
        for reader in readers() {
            self.served.entry(reader).or_insert_with(|| level(&before, reader).unwrap_or_default());
        }
    }

    fn charge(&mut self, one: K, took: Duration) {
        if let Some(served) = self.served.get_mut(&one) {
            *served += took;
        }
    }

    fn shares(&self, one: K) -> u128 {
        self.served.get(&one).map_or(0, |served| served.as_millis() / SHARE.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a user with one key. 100 to 103 are further keys of the first user.
    fn person(number: u64) -> CallerNumbers {
        CallerNumbers { person: if (100..104).contains(&number) { 1 } else { number }, key: number }
    }

    /// Reads prompts (`(caller, steps)` in order of arrival) to their end, one step per second, and returns
    /// when each was finished. The prompts of the second list arrive at the given second.
    fn finish_times(first: &[(u64, usize)], later: &[(u64, u64, usize)]) -> Vec<u64> {
        let mut order = PrefillOrder::default();
        let mut unread: Vec<UnreadPrompt> = Vec::new();
        let mut ends = vec![0; first.len() + later.len()];
        for (stream, (caller, left)) in (0..).zip(first.iter().copied()) {
            unread.push(UnreadPrompt { stream, caller: person(caller), left });
        }
        for second in 0..1000 {
            for (stream, (at, caller, left)) in (first.len() as u64..).zip(later.iter().copied()) {
                if at == second {
                    unread.push(UnreadPrompt { stream, caller: person(caller), left });
                }
            }
            order.arrange(&mut unread);
            let Some(next) = unread.first_mut() else { continue };
            next.left -= 1;
            order.charge(next.caller, Duration::from_secs(1));
            if next.left == 0 {
                ends[next.stream as usize] = second + 1;
                unread.remove(0);
            }
        }
        ends
    }

    #[test]
    fn a_short_prompt_is_read_before_long_ones() {
        assert_eq!(finish_times(&[(1, 30)], &[(5, 2, 1)])[1], 6);
        assert_eq!(finish_times(&[(1, 30); 4], &[(5, 2, 1)])[4], 6);
        assert_eq!(finish_times(&[(1, 30); 4], &[(5, 1, 1)])[4], 6);
    }

    #[test]
    fn callers_share_the_prefill_time() {
        let ends = finish_times(&[(1, 30), (1, 30), (1, 30)], &[(0, 2, 30)]);
        assert!((56..=64).contains(&ends[3]), "it gets half of the time: {ends:?}");
        // A caller with four prompts at a time, again and again, also leaves others their half.
        let endless: Vec<(u64, u64, usize)> = (0..200).map(|at| (at, 1, 2)).collect();
        let ends = finish_times(&[(2, 20)], &endless);
        assert!(ends[0] <= 44, "{ends:?}");
    }

    #[test]
    fn persons_share_the_time_regardless_of_their_number_of_keys() {
        // The first user with four keys, and another with one.
        let ends = finish_times(&[(100, 30), (101, 30), (102, 30), (103, 30)], &[(0, 2, 30)]);
        assert!((56..=64).contains(&ends[4]), "it gets half of the time: {ends:?}");
        // One of two keys of the same user has three prompts.
        let ends = finish_times(&[(100, 30), (100, 30), (100, 30)], &[(0, 101, 30)]);
        assert!((56..=64).contains(&ends[3]), "it gets half of the time: {ends:?}");
    }

    #[test]
    fn usual_prompts_are_read_in_order_of_arrival() {
        assert_eq!(finish_times(&[(1, 3), (2, 3), (3, 3)], &[]), [3, 6, 9]);
    }

    #[test]
    fn short_prompts_of_many_callers_do_not_keep_a_long_one_waiting() {
        let endless: Vec<(u64, u64, usize)> = (0..300).map(|at| (at, 1000 + at, 1)).collect();
        let ends = finish_times(&[(1, 30)], &endless);
        assert!((100..=124).contains(&ends[0]), "it gets one step in four: {}", ends[0]);
    }

    #[test]
    fn the_ledger_is_empty_when_nothing_is_read() {
        let mut order = PrefillOrder::default();
        let mut unread = [UnreadPrompt { stream: 1, caller: person(7), left: 9 }];
        order.arrange(&mut unread);
        order.charge(person(7), Duration::from_secs(60));
        order.charge(person(8), Duration::from_secs(60));
        order.arrange(&mut []);
        assert!(order.persons.served.is_empty() && order.keys.served.is_empty());
    }
}
