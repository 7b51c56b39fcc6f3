//! What sequences and host memory still hold of earlier prompts, and what of it a new prompt can use.
//!
//! Bookkeeping only: nothing here calls the engine, which copies states when it is told to. Invariant: what
//! one owner left is never offered to another.

use std::collections::BTreeSet;

use lar_base::KeyId;

/// Fewer shared tokens are not worth a choice of place.
const SHARED_TOKENS_MIN: usize = 16;
/// A state in host memory is copied back when it knows so many tokens more than any free sequence.
const RESTORED_TOKENS_MIN: usize = 64;
/// Fewer tokens are read again rather than kept in host memory.
const SHELVED_TOKENS_MIN: usize = 64;

/// Whose a prompt is; `None` is everyone's.
pub(crate) type Owner = Option<KeyId>;

/// The free sequences with what they hold, and the shelf of states in host memory.
#[derive(Debug)]
pub(super) struct Cache<S> {
    free: Vec<Place>,
    running: BTreeSet<i32>,
    /// Oldest first.
    shelf: Vec<Shelved<S>>,
    bytes_max: u64,
    /// Of them, what the states of paused streams take, which nothing displaces.
    held: u64,
    clock: u64,
}

/// A free sequence.
#[derive(Debug)]
struct Place {
    id: i32,
    holds: Prompt,
    used: u64,
}

/// Tokens that were read, and for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Prompt {
    pub(crate) tokens: Vec<u32>,
    pub(crate) owner: Owner,
}

impl Prompt {
    /// Tokens at the beginning of a prompt that this one has too, if its owner may know of them; short of the
    /// whole prompt, whose last token must be computed.
    pub(super) fn shared_with(&self, prompt: &Prompt) -> usize {
        if self.owner != prompt.owner {
            return 0;
        }
        let same = self.tokens.iter().zip(&prompt.tokens).take_while(|(a, b)| a == b).count();
        same.min(prompt.tokens.len().saturating_sub(1))
    }
}

#[derive(Debug)]
struct Shelved<S> {
    holds: Prompt,
    state: S,
    bytes: u64,
}

/// A sequence for a prompt.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seat<S> {
    pub(super) id: i32,
    /// Leading tokens of the prompt that need not be read; at least one is left to read.
    pub(super) known: usize,
    /// What the sequence holds and should be shelved before it is changed.
    pub(super) leaving: Option<Prompt>,
    /// What it is to hold instead, before it is cut to what is known.
    pub(super) restore: Option<S>,
}

impl<S> Cache<S> {
    /// A cache of so many empty sequences, and so many bytes of host memory.
    pub(super) fn new(sequences: u32, bytes_max: u64) -> Self {
        let place = |id| Place { id, holds: Prompt::default(), used: 0 };
        let free = (0..i32::try_from(sequences).unwrap_or(i32::MAX)).map(place).collect();
        Self { free, running: BTreeSet::new(), shelf: Vec::new(), bytes_max, held: 0, clock: 0 }
    }

    /// Takes a sequence for a prompt; `None` when all are taken. `copied` is the state of a running sequence,
    /// and how many of the prompt's tokens it knows: it is used in place of what is found here.
    pub(super) fn take(&mut self, prompt: &Prompt, copied: Option<(usize, S)>) -> Option<Seat<S>> {
        let (place, there) = self.best_free(prompt)?;
        let shelved = self
            .best_shelved(prompt)
            .filter(|(_, known)| copied.is_none() && *known >= there + RESTORED_TOKENS_MIN);
        let (place, known, restore) = match (copied, shelved) {
            (Some((known, state)), _) => (self.emptiest(), known, Some(state)),
            (None, Some((at, known))) => (self.emptiest(), known, Some(self.shelf.remove(at).state)),
            (None, None) if there >= SHARED_TOKENS_MIN => (place, there, None),
            (None, None) => (self.emptiest(), 0, None),
        };
        let Place { id, holds, .. } = self.free.swap_remove(place);
        self.running.insert(id);
        let lost = holds.tokens.len() - if restore.is_none() { known } else { 0 };
        let leaving = (self.bytes_max > 0 && lost >= SHELVED_TOKENS_MIN).then_some(holds);
        Some(Seat { id, known, leaving, restore })
    }

    /// Whether a running sequence that knows so many of a prompt's tokens is to be copied: no other knows
    /// nearly as many.
    pub(super) fn is_worth_copying(&self, prompt: &Prompt, known: usize) -> bool {
        let free = self.best_free(prompt).map_or(0, |(_, there)| there);
        let shelved = self.best_shelved(prompt).map_or(0, |(_, there)| there);
        self.bytes_max > 0 && known >= free.max(shelved) + RESTORED_TOKENS_MIN
    }

    /// The free sequence that knows most of a prompt, the one used last of several.
    fn best_free(&self, prompt: &Prompt) -> Option<(usize, usize)> {
        let free = self.free.iter().enumerate().map(|(at, place)| (at, place.holds.shared_with(prompt)));
        free.max_by_key(|(at, there)| (*there, self.free[*at].used))
    }

    fn best_shelved(&self, prompt: &Prompt) -> Option<(usize, usize)> {
        let shelved = self.shelf.iter().enumerate().map(|(at, held)| (at, held.holds.shared_with(prompt)));
        shelved.max_by_key(|(_, known)| *known)
    }

    /// Gives a sequence back with what it holds.
    pub(super) fn give_back(&mut self, id: i32, holds: Prompt) {
        self.clock += 1;
        self.running.remove(&id);
        self.free.push(Place { id, holds, used: self.clock });
    }

    /// Whether a sequence is free.
    pub(super) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// Whether host memory has room for a state of so many bytes, were the shelf empty.
    pub(super) fn can_hold(&self, bytes: u64) -> bool {
        self.held.saturating_add(bytes) <= self.bytes_max
    }

    /// Sets so many bytes of the host memory aside, until they are released; says whether there is room.
    pub(super) fn hold(&mut self, bytes: u64) -> bool {
        let has_room = self.make_room(bytes);
        if has_room {
            self.held += bytes;
        }
        has_room
    }

    /// Gives back what was set aside.
    pub(super) fn release(&mut self, bytes: u64) {
        self.held = self.held.saturating_sub(bytes);
    }

    /// Makes room for a state of so many bytes, letting go of the oldest; says whether it can fit at all.
    pub(super) fn make_room(&mut self, bytes: u64) -> bool {
        if !self.can_hold(bytes) {
            return false;
        }
        while self.held + self.shelved_bytes() + bytes > self.bytes_max {
            self.shelf.remove(0);
        }
        true
    }

    /// Keeps a state in host memory where it fits, in place of what it knows too.
    pub(super) fn shelve(&mut self, holds: Prompt, state: S, bytes: u64) {
        // What the new one knows too is kept once.
        self.shelf
            .retain(|held| held.holds.owner != holds.owner || !holds.tokens.starts_with(&held.holds.tokens));
        if self.make_room(bytes) {
            self.shelf.push(Shelved { holds, state, bytes });
        }
    }

    fn shelved_bytes(&self) -> u64 {
        self.shelf.iter().map(|held| held.bytes).sum()
    }

    /// The free sequence that is best given away: an empty one, else one beside those that run, since
    /// llama.cpp computes neighbouring sequences together; of several, the one that was used longest ago.
    fn emptiest(&self) -> usize {
        let cost = |place: &Place| {
            let apart = self.running.iter().map(|id| id.abs_diff(place.id)).min().unwrap_or(0);
            (!place.holds.tokens.is_empty(), apart, place.used, place.id)
        };
        (0..self.free.len()).min_by_key(|at| cost(&self.free[*at])).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prompt(first: u32, length: u32) -> Vec<u32> {
        (first..first + length).collect()
    }

    fn of(first: u32, length: u32, owner: Owner) -> Prompt {
        Prompt { tokens: prompt(first, length), owner }
    }

    fn ended(cache: &mut Cache<&'static str>, seat: &Seat<&'static str>, tokens: Vec<u32>, owner: Owner) {
        cache.give_back(seat.id, Prompt { tokens, owner });
    }

    #[test]
    fn a_prompt_goes_where_most_of_it_is_known() {
        let mut cache = Cache::new(3, 0);
        let (a, b) =
            (cache.take(&of(0, 100, None), None).unwrap(), cache.take(&of(500, 100, None), None).unwrap());
        assert_eq!((a.id, a.known, b.id), (0, 0, 1));
        ended(&mut cache, &a, prompt(0, 100), None);
        ended(&mut cache, &b, prompt(500, 100), None);
        let longer = cache.take(&of(500, 130, None), None).unwrap();
        assert_eq!((longer.id, longer.known), (1, 100));
        let same = cache.take(&of(0, 100, None), None).unwrap();
        assert_eq!((same.id, same.known), (0, 99), "the last token is computed again");
        assert_eq!(cache.take(&of(0, 10, None), None).unwrap().id, 2);
        assert_eq!(cache.take(&of(0, 10, None), None), None, "all are taken");
    }

    #[test]
    fn nothing_is_shared_between_owners() {
        let (mine, yours) = (Some(KeyId::new()), Some(KeyId::new()));
        let mut cache = Cache::new(1, 1000);
        let seat = cache.take(&of(0, 100, mine), None).unwrap();
        ended(&mut cache, &seat, prompt(0, 100), mine);
        let other = cache.take(&of(0, 100, yours), None).unwrap();
        assert_eq!((other.known, other.restore), (0, None));
        cache.shelve(other.leaving.clone().unwrap(), "mine", 10);
        ended(&mut cache, &other, prompt(0, 100), yours);
        let again = cache.take(&of(0, 101, yours), None).unwrap();
        assert_eq!((again.known, again.restore), (100, None));
        ended(&mut cache, &again, prompt(0, 101), None);
        assert_eq!(cache.take(&of(0, 101, mine), None).unwrap().restore, Some("mine"));
    }

    #[test]
    fn a_session_that_was_put_away_comes_back() {
        let mut cache = Cache::new(1, 100);
        let first = cache.take(&of(0, 100, None), None).unwrap();
        ended(&mut cache, &first, prompt(0, 100), None);
        let second = cache.take(&of(500, 100, None), None).unwrap();
        cache.shelve(second.leaving.clone().unwrap(), "first", 60);
        ended(&mut cache, &second, prompt(500, 100), None);
        let back = cache.take(&of(0, 120, None), None).unwrap();
        assert_eq!((back.known, back.restore), (100, Some("first")));
        assert_eq!(back.leaving, Some(Prompt { tokens: prompt(500, 100), owner: None }));
    }

    #[test]
    fn a_running_sequence_is_copied_when_none_that_is_free_knows_as_much() {
        let mut cache = Cache::new(2, 100);
        let first = cache.take(&of(0, 200, None), None).unwrap();
        let arriving = of(0, 210, None);
        assert!(cache.is_worth_copying(&arriving, 200));
        assert!(!cache.is_worth_copying(&arriving, RESTORED_TOKENS_MIN - 1));
        let second = cache.take(&arriving, Some((200, "copy"))).unwrap();
        assert_eq!((second.known, second.restore), (200, Some("copy")));
        ended(&mut cache, &first, prompt(0, 200), None);
        assert!(!cache.is_worth_copying(&arriving, 200), "the free one knows it too");
        let none: Cache<()> = Cache::new(2, 0);
        assert!(!none.is_worth_copying(&arriving, 200), "host memory may not be used");
    }

    #[test]
    fn host_memory_has_a_limit_and_holds_nothing_twice() {
        let mut cache: Cache<&str> = Cache::new(1, 100);
        let holds = |length| Prompt { tokens: prompt(0, length), owner: None };
        cache.shelve(holds(100), "short", 60);
        cache.shelve(holds(200), "long", 60);
        assert_eq!(
            (cache.shelf.len(), cache.shelved_bytes()),
            (1, 60),
            "the longer one knows all of the shorter"
        );
        cache.shelve(Prompt { tokens: prompt(900, 100), owner: None }, "other", 60);
        assert_eq!((cache.shelf.len(), cache.shelf[0].state), (1, "other"), "the oldest goes");
        cache.shelve(holds(100), "too large", 101);
        assert_eq!(cache.shelf.len(), 1, "what cannot fit pushes nothing out");
    }

    #[test]
    fn running_sequences_are_kept_beside_each_other() {
        let mut cache: Cache<&str> = Cache::new(4, 0);
        let seats: Vec<_> = (0..4).map(|at| cache.take(&of(at * 1000, 50, None), None).unwrap()).collect();
        for (at, seat) in (0..).zip(&seats).filter(|(at, _)| *at != 2) {
            ended(&mut cache, seat, prompt(at * 1000, 50), None);
        }
        assert_eq!(cache.take(&of(9000, 50, None), None).unwrap().id, 1, "beside 2, and older than 3");
    }

    proptest! {
        #[test]
        fn every_sequence_is_in_one_place(steps in proptest::collection::vec((0u32..4, 1u32..200, any::<bool>()), 1..60)) {
            let mut cache: Cache<u32> = Cache::new(3, 500);
            let mut running: Vec<(i32, Vec<u32>)> = Vec::new();
            for (which, length, end) in steps {
                if end && !running.is_empty() {
                    let (id, tokens) = running.remove(0);
                    cache.give_back(id, Prompt { tokens, owner: None });
                } else {
                    let tokens = prompt(which * 1000, length);
                    let Some(seat) = cache.take(&Prompt { tokens: tokens.clone(), owner: None }, None) else {
                        prop_assert_eq!(running.len(), 3);
                        continue;
                    };
                    prop_assert!(seat.known < tokens.len());
                    prop_assert!(running.iter().all(|(id, _)| *id != seat.id));
                    if let Some(holds) = seat.leaving {
                        let bytes = holds.tokens.len() as u64;
                        cache.shelve(holds, which, bytes);
                    }
                    prop_assert!(cache.shelved_bytes() <= 500);
                    running.push((seat.id, tokens));
                }
                prop_assert_eq!(cache.free.len() + running.len(), 3);
            }
        }
    }
}
