//! The prefix cache: which earlier prompts the free sequences and host memory contain, and what a new prompt
//! can reuse.
//!
//! Pure bookkeeping: nothing here calls the engine; the caller copies the states. Invariant: the cached
//! prompt of one owner is never used for another.

use std::collections::BTreeSet;

use lar_base::KeyId;

/// A shorter common prefix does not decide which sequence a prompt gets.
const SHARED_TOKENS_MIN: usize = 16;
/// A state in host memory is restored if its common prefix is this many tokens longer than that of any free
/// sequence.
const RESTORED_TOKENS_MIN: usize = 64;
/// A shorter prefix is computed again instead of stored in host memory.
const CACHED_TOKENS_MIN: usize = 64;

/// The key that owns a prompt; `None` is shared by all requests that have `None`.
pub(crate) type Owner = Option<KeyId>;

/// The free sequences with their content, and the states in host memory.
#[derive(Debug)]
pub(super) struct PrefixCache<S> {
    free: Vec<FreeSlot>,
    running: BTreeSet<i32>,
    /// Oldest first.
    host_cache: Vec<CachedState<S>>,
    bytes_max: u64,
    /// The part of `bytes_max` that is reserved for the states of paused streams and is never evicted.
    reserved: u64,
    clock: u64,
}

/// A free sequence.
#[derive(Debug)]
struct FreeSlot {
    id: i32,
    holds: PromptTokens,
    used: u64,
}

/// The tokens that a sequence contains, and their owner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PromptTokens {
    pub(crate) tokens: Vec<u32>,
    pub(crate) owner: Owner,
}

impl PromptTokens {
    /// Returns the length of the common prefix with a prompt of the same owner, else 0. At least the last
    /// token of the prompt is left, because it must be computed.
    pub(super) fn shared_with(&self, prompt: &PromptTokens) -> usize {
        if self.owner != prompt.owner {
            return 0;
        }
        let same = self.tokens.iter().zip(&prompt.tokens).take_while(|(a, b)| a == b).count();
        same.min(prompt.tokens.len().saturating_sub(1))
    }
}

#[derive(Debug)]
struct CachedState<S> {
    holds: PromptTokens,
    state: S,
    bytes: u64,
}

/// A sequence that is granted to a prompt.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SlotGrant<S> {
    pub(super) id: i32,
    /// The length of the cached prefix; at least one token of the prompt is left to compute.
    pub(super) cached_tokens: usize,
    /// The content of the sequence, to be stored in host memory before it is overwritten.
    pub(super) evicted: Option<PromptTokens>,
    /// The state to restore, before the sequence is cut to the cached prefix.
    pub(super) restore: Option<S>,
}

impl<S> PrefixCache<S> {
    /// Makes a cache of this many empty sequences, with a limit on host memory.
    pub(super) fn new(sequences: u32, bytes_max: u64) -> Self {
        let slot = |id| FreeSlot { id, holds: PromptTokens::default(), used: 0 };
        let free = (0..i32::try_from(sequences).unwrap_or(i32::MAX)).map(slot).collect();
        Self { free, running: BTreeSet::new(), host_cache: Vec::new(), bytes_max, reserved: 0, clock: 0 }
    }

    /// Takes a sequence for a prompt; `None` if none is free. `copied` is the state of a running sequence
    /// with the length of its common prefix; it is used instead of anything cached here.
    pub(super) fn take(&mut self, prompt: &PromptTokens, copied: Option<(usize, S)>) -> Option<SlotGrant<S>> {
        let (slot, there) = self.best_free(prompt)?;
        let cached = self
            .best_cached(prompt)
            .filter(|(_, cached_tokens)| copied.is_none() && *cached_tokens >= there + RESTORED_TOKENS_MIN);
        let (slot, cached_tokens, restore) = match (copied, cached) {
            (Some((cached_tokens, state)), _) => (self.best_to_evict(), cached_tokens, Some(state)),
            (None, Some((at, cached_tokens))) => {
                (self.best_to_evict(), cached_tokens, Some(self.host_cache.remove(at).state))
            }
            (None, None) if there >= SHARED_TOKENS_MIN => (slot, there, None),
            (None, None) => (self.best_to_evict(), 0, None),
        };
        let FreeSlot { id, holds, .. } = self.free.swap_remove(slot);
        self.running.insert(id);
        let lost = holds.tokens.len() - if restore.is_none() { cached_tokens } else { 0 };
        let evicted = (self.bytes_max > 0 && lost >= CACHED_TOKENS_MIN).then_some(holds);
        Some(SlotGrant { id, cached_tokens, evicted, restore })
    }

    /// Returns whether a running sequence with this common prefix should be copied, because no cached prefix
    /// is nearly as long.
    pub(super) fn is_worth_copying(&self, prompt: &PromptTokens, cached_tokens: usize) -> bool {
        let free = self.best_free(prompt).map_or(0, |(_, there)| there);
        let cached = self.best_cached(prompt).map_or(0, |(_, there)| there);
        self.bytes_max > 0 && cached_tokens >= free.max(cached) + RESTORED_TOKENS_MIN
    }

    /// Returns the free sequence with the longest common prefix; of several, the one used last.
    fn best_free(&self, prompt: &PromptTokens) -> Option<(usize, usize)> {
        let free = self.free.iter().enumerate().map(|(at, slot)| (at, slot.holds.shared_with(prompt)));
        free.max_by_key(|(at, there)| (*there, self.free[*at].used))
    }

    fn best_cached(&self, prompt: &PromptTokens) -> Option<(usize, usize)> {
        let cached =
            self.host_cache.iter().enumerate().map(|(at, entry)| (at, entry.holds.shared_with(prompt)));
        cached.max_by_key(|(_, cached_tokens)| *cached_tokens)
    }

    /// Returns a sequence with its content.
    pub(super) fn give_back(&mut self, id: i32, holds: PromptTokens) {
        self.clock += 1;
        self.running.remove(&id);
        self.free.push(FreeSlot { id, holds, used: self.clock });
    }

    /// Returns whether a sequence is free.
    pub(super) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// Returns whether host memory could hold a state of this size if all cached states were evicted.
    pub(super) fn can_reserve(&self, bytes: u64) -> bool {
        self.reserved.saturating_add(bytes) <= self.bytes_max
    }

    /// Reserves host memory until it is released. Returns whether there is room.
    pub(super) fn reserve(&mut self, bytes: u64) -> bool {
        let has_room = self.make_room(bytes);
        if has_room {
            self.reserved += bytes;
        }
        has_room
    }

    /// Releases reserved host memory.
    pub(super) fn release(&mut self, bytes: u64) {
        self.reserved = self.reserved.saturating_sub(bytes);
    }

    /// Evicts the oldest states until a state of this size fits. Returns whether it can fit.
    pub(super) fn make_room(&mut self, bytes: u64) -> bool {
        if !self.can_reserve(bytes) {
            return false;
        }
        while self.reserved + self.cached_bytes() + bytes > self.bytes_max {
            self.host_cache.remove(0);
        }
        true
    }

    /// Stores a state in host memory if it fits.
    pub(super) fn store_state(&mut self, holds: PromptTokens, state: S, bytes: u64) {
        // States that are a prefix of the new one are redundant.
        self.host_cache.retain(|entry| {
            entry.holds.owner != holds.owner || !holds.tokens.starts_with(&entry.holds.tokens)
        });
        if self.make_room(bytes) {
            self.host_cache.push(CachedState { holds, state, bytes });
        }
    }

    fn cached_bytes(&self) -> u64 {
        self.host_cache.iter().map(|entry| entry.bytes).sum()
    }

    /// Returns the free sequence to overwrite: an empty one, else one next to a running sequence, because
    /// llama.cpp computes neighboring sequences together. Of several, the one unused for longest.
    fn best_to_evict(&self) -> usize {
        let cost = |slot: &FreeSlot| {
            let apart = self.running.iter().map(|id| id.abs_diff(slot.id)).min().unwrap_or(0);
            (!slot.holds.tokens.is_empty(), apart, slot.used, slot.id)
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

    fn of(first: u32, length: u32, owner: Owner) -> PromptTokens {
        PromptTokens { tokens: prompt(first, length), owner }
    }

    fn finish(
        cache: &mut PrefixCache<&'static str>,
        grant: &SlotGrant<&'static str>,
        tokens: Vec<u32>,
        owner: Owner,
    ) {
        cache.give_back(grant.id, PromptTokens { tokens, owner });
    }

    #[test]
    fn a_prompt_gets_the_slot_with_the_longest_cached_prefix() {
        let mut cache = PrefixCache::new(3, 0);
        let (a, b) =
            (cache.take(&of(0, 100, None), None).unwrap(), cache.take(&of(500, 100, None), None).unwrap());
        assert_eq!((a.id, a.cached_tokens, b.id), (0, 0, 1));
        finish(&mut cache, &a, prompt(0, 100), None);
        finish(&mut cache, &b, prompt(500, 100), None);
        let longer = cache.take(&of(500, 130, None), None).unwrap();
        assert_eq!((longer.id, longer.cached_tokens), (1, 100));
        let same = cache.take(&of(0, 100, None), None).unwrap();
        assert_eq!((same.id, same.cached_tokens), (0, 99), "the last token is computed again");
        assert_eq!(cache.take(&of(0, 10, None), None).unwrap().id, 2);
        assert_eq!(cache.take(&of(0, 10, None), None), None, "none is free");
    }

    #[test]
    fn cached_prefixes_are_not_shared_between_owners() {
        let (mine, yours) = (Some(KeyId::new()), Some(KeyId::new()));
        let mut cache = PrefixCache::new(1, 1000);
        let grant = cache.take(&of(0, 100, mine), None).unwrap();
        finish(&mut cache, &grant, prompt(0, 100), mine);
        let other = cache.take(&of(0, 100, yours), None).unwrap();
        assert_eq!((other.cached_tokens, other.restore), (0, None));
        cache.store_state(other.evicted.clone().unwrap(), "mine", 10);
        finish(&mut cache, &other, prompt(0, 100), yours);
        let again = cache.take(&of(0, 101, yours), None).unwrap();
        assert_eq!((again.cached_tokens, again.restore), (100, None));
        finish(&mut cache, &again, prompt(0, 101), None);
        assert_eq!(cache.take(&of(0, 101, mine), None).unwrap().restore, Some("mine"));
    }

    #[test]
    fn an_evicted_session_is_restored_from_host_memory() {
        let mut cache = PrefixCache::new(1, 100);
        let first = cache.take(&of(0, 100, None), None).unwrap();
        finish(&mut cache, &first, prompt(0, 100), None);
        let second = cache.take(&of(500, 100, None), None).unwrap();
        cache.store_state(second.evicted.clone().unwrap(), "first", 60);
        finish(&mut cache, &second, prompt(500, 100), None);
        let back = cache.take(&of(0, 120, None), None).unwrap();
        assert_eq!((back.cached_tokens, back.restore), (100, Some("first")));
        assert_eq!(back.evicted, Some(PromptTokens { tokens: prompt(500, 100), owner: None }));
    }

    #[test]
    fn a_running_sequence_is_copied_when_no_free_slot_caches_as_much() {
        let mut cache = PrefixCache::new(2, 100);
        let first = cache.take(&of(0, 200, None), None).unwrap();
        let arriving = of(0, 210, None);
        assert!(cache.is_worth_copying(&arriving, 200));
        assert!(!cache.is_worth_copying(&arriving, RESTORED_TOKENS_MIN - 1));
        let second = cache.take(&arriving, Some((200, "copy"))).unwrap();
        assert_eq!((second.cached_tokens, second.restore), (200, Some("copy")));
        finish(&mut cache, &first, prompt(0, 200), None);
        assert!(!cache.is_worth_copying(&arriving, 200), "the free one has the same prefix");
        let none: PrefixCache<()> = PrefixCache::new(2, 0);
        assert!(!none.is_worth_copying(&arriving, 200), "host memory may not be used");
    }

    #[test]
    fn host_memory_is_bounded_and_stores_no_prefix_twice() {
        let mut cache: PrefixCache<&str> = PrefixCache::new(1, 100);
        let holds = |length| PromptTokens { tokens: prompt(0, length), owner: None };
        cache.store_state(holds(100), "short", 60);
        cache.store_state(holds(200), "long", 60);
        assert_eq!(
            (cache.host_cache.len(), cache.cached_bytes()),
            (1, 60),
            "the longer prefix contains the shorter one"
        );
        cache.store_state(PromptTokens { tokens: prompt(900, 100), owner: None }, "other", 60);
        assert_eq!((cache.host_cache.len(), cache.host_cache[0].state), (1, "other"), "evicts the oldest");
        cache.store_state(holds(100), "too large", 101);
        assert_eq!(cache.host_cache.len(), 1, "a state that cannot fit evicts nothing");
    }

    #[test]
    fn slots_next_to_running_sequences_are_preferred() {
        let mut cache: PrefixCache<&str> = PrefixCache::new(4, 0);
        let grants: Vec<_> = (0..4).map(|at| cache.take(&of(at * 1000, 50, None), None).unwrap()).collect();
        for (at, grant) in (0..).zip(&grants).filter(|(at, _)| *at != 2) {
            finish(&mut cache, grant, prompt(at * 1000, 50), None);
        }
        assert_eq!(cache.take(&of(9000, 50, None), None).unwrap().id, 1, "beside 2, and older than 3");
    }

    proptest! {
        #[test]
        fn every_sequence_is_free_or_running(steps in proptest::collection::vec((0u32..4, 1u32..200, any::<bool>()), 1..60)) {
            let mut cache: PrefixCache<u32> = PrefixCache::new(3, 500);
            let mut running: Vec<(i32, Vec<u32>)> = Vec::new();
            for (which, length, end) in steps {
                if end && !running.is_empty() {
                    let (id, tokens) = running.remove(0);
                    cache.give_back(id, PromptTokens { tokens, owner: None });
                } else {
                    let tokens = prompt(which * 1000, length);
                    let Some(grant) = cache.take(&PromptTokens { tokens: tokens.clone(), owner: None }, None) else {
                        prop_assert_eq!(running.len(), 3);
                        continue;
                    };
                    prop_assert!(grant.cached_tokens < tokens.len());
                    prop_assert!(running.iter().all(|(id, _)| *id != grant.id));
                    if let Some(holds) = grant.evicted {
                        let bytes = holds.tokens.len() as u64;
                        cache.store_state(holds, which, bytes);
                    }
                    prop_assert!(cache.cached_bytes() <= 500);
                    running.push((grant.id, tokens));
                }
                prop_assert_eq!(cache.free.len() + running.len(), 3);
            }
        }
    }
}
