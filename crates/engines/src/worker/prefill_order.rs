//! In which order prompts are read: pure bookkeeping of what was read for whom.
//!
//! Persons share the time that reading takes, and the keys of one person do. Those for whom about as much was read (to within
//! [`SHARE`]) go by their prompts: the one of which the least is left goes first, so that a question does not wait for a
//! document. In every [`OLDEST_EVERY`]th step the prompt that came first goes first, so that short ones do not keep a long one
//! waiting for ever. Who comes anew starts where the one stands for whom the least was read, as in [`super::fair_queue`].

use std::collections::BTreeMap;
use std::time::Duration;

use crate::protocol::CallerNumbers;

/// Those for whom reading took equally many multiples of this are served alike. Longer than a usual prompt takes, so that
/// usual prompts of several callers are read one after the other rather than all at the pace of the last.
const SHARE: Duration = Duration::from_secs(4);
/// One step of so many goes to the oldest prompt.
const OLDEST_EVERY: u64 = 4;

/// A prompt that is not wholly read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnreadPrompt {
    /// Numbers grow by arrival.
    pub(super) stream: u64,
    pub(super) caller: CallerNumbers,
    /// Tokens of it that are still to be read.
    pub(super) left: usize,
}

/// What was read for each person, and for each key.
#[derive(Debug, Default)]
pub(super) struct PrefillOrder {
    persons: Ledger<u64>,
    keys: Ledger<CallerNumbers>,
    steps: u64,
}

impl PrefillOrder {
    /// Puts all prompts that are read at the moment in the order in which this step is to read them.
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

    /// Notes that reading for a caller took so long.
    pub(super) fn charge(&mut self, caller: CallerNumbers, took: Duration) {
        self.persons.charge(caller.person, took);
        self.keys.charge(caller, took);
    }
}

/// What was read for some who share.
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
    /// Has an entry for all who have something to read, and for others only while somebody with whom they share, and for whom
    /// less was read, has.
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

    /// A person with one key; 100 to 103 are further keys of the first person.
    fn person(number: u64) -> CallerNumbers {
        CallerNumbers { person: if (100..104).contains(&number) { 1 } else { number }, key: number }
    }

    /// Reads prompts (`(caller, steps)` by arrival) to their end, a step of a second at a time, and returns when each was
    /// read. Those of the second list arrive at the given second.
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
        assert!((56..=64).contains(&ends[3]), "half of the time is its: {ends:?}");
        // Four prompts at a time, again and again, leave others their half as well.
        let endless: Vec<(u64, u64, usize)> = (0..200).map(|at| (at, 1, 2)).collect();
        let ends = finish_times(&[(2, 20)], &endless);
        assert!(ends[0] <= 44, "{ends:?}");
    }

    #[test]
    fn persons_share_the_time_regardless_of_their_number_of_keys() {
        // The first person with four keys, and another with one.
        let ends = finish_times(&[(100, 30), (101, 30), (102, 30), (103, 30)], &[(0, 2, 30)]);
        assert!((56..=64).contains(&ends[4]), "half of the time is its: {ends:?}");
        // Of two keys of one person one has three prompts.
        let ends = finish_times(&[(100, 30), (100, 30), (100, 30)], &[(0, 101, 30)]);
        assert!((56..=64).contains(&ends[3]), "half of the time is its: {ends:?}");
    }

    #[test]
    fn usual_prompts_are_read_in_order_of_arrival() {
        assert_eq!(finish_times(&[(1, 3), (2, 3), (3, 3)], &[]), [3, 6, 9]);
    }

    #[test]
    fn short_prompts_of_many_callers_do_not_keep_a_long_one_waiting() {
        let endless: Vec<(u64, u64, usize)> = (0..300).map(|at| (at, 1000 + at, 1)).collect();
        let ends = finish_times(&[(1, 30)], &endless);
        assert!((100..=124).contains(&ends[0]), "a step of four is its: {}", ends[0]);
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
