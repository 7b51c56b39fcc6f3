//! The two times of a memory: when it was true, and when Lar knew it.
//!
//! *Valid time* is the time in which a memory is true. It starts at `valid_from`, or else when the event
//! happened or the statement was made, or else when the memory was saved. It ends at `valid_to`, or else when
//! the memory was superseded. *System time* is the time in which Lar took the memory for current: from when it
//! was saved until it was superseded. A memory of 2024 that was imported today was true in 2024, and Lar knows
//! it since today.

use lar_base::Timestamp;
use lar_store::IndexedMemory;

/// The valid time and the system time of a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    true_from: Timestamp,
    valid_to: Option<Timestamp>,
    created_at: Timestamp,
    superseded_at: Option<Timestamp>,
}

/// The times for which a search looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period {
    /// The time at which memories must be true; `None` for now.
    pub(super) as_of: Option<Timestamp>,
    /// The time at which Lar must know memories; `None` for now.
    pub(super) known_at: Option<Timestamp>,
    /// Whether memories that were superseded or are no longer true are found too.
    pub(super) superseded: bool,
    /// The time of the search.
    pub(super) now: Timestamp,
}

impl Validity {
    /// Returns the times of a memory.
    pub(super) fn of(memory: &IndexedMemory) -> Self {
        Self {
            true_from: memory.valid_from.or(memory.occurred_at).unwrap_or(memory.created_at),
            valid_to: memory.valid_to,
            created_at: memory.created_at,
            superseded_at: memory.superseded_at,
        }
    }

    /// Returns whether a search for this period finds the memory.
    ///
    /// Without `as_of`, a memory may be about the future: then its start is not compared.
    pub(super) fn holds(&self, period: &Period) -> bool {
        if period.known_at.is_some_and(|known| self.created_at > known) {
            return false;
        }
        // A memory that was superseded later was current by what Lar knew then.
        let superseded_at = self.superseded_at.filter(|at| period.known_at.is_none_or(|known| *at <= known));
        match period.as_of {
            Some(at) => {
                let end = self.valid_to.or(superseded_at);
                self.true_from <= at && (period.superseded || end.is_none_or(|end| at < end))
            }
            None => {
                let at = period.known_at.unwrap_or(period.now);
                let is_current = superseded_at.is_none() && self.valid_to.is_none_or(|end| at < end);
                period.superseded || is_current
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = day(100);

    const fn day(number: i64) -> Timestamp {
        Timestamp::from_millis(number * 86_400_000)
    }

    /// Returns the times of a memory that was saved on day 50.
    fn saved_on_day_50() -> Validity {
        Validity { true_from: day(50), valid_to: None, created_at: day(50), superseded_at: None }
    }

    fn now() -> Period {
        Period { as_of: None, known_at: None, superseded: false, now: NOW }
    }

    fn as_of(number: i64) -> Period {
        Period { as_of: Some(day(number)), ..now() }
    }

    fn known_at(number: i64) -> Period {
        Period { known_at: Some(day(number)), ..now() }
    }

    #[test]
    fn a_memory_is_true_from_its_validity_or_its_event_or_its_saving() {
        let mut memory = IndexedMemory {
            seq: 1,
            version: 1,
            kind: lar_store::MemoryKind::Fact,
            tags: Vec::new(),
            project: None,
            occurred_at: Some(day(20)),
            valid_from: Some(day(10)),
            valid_to: Some(day(80)),
            superseded_at: Some(day(90)),
            pinned: false,
            stability: 1.0,
            reviewed_at: day(50),
            created_at: day(50),
            chunks: Vec::new(),
            words_before: None,
            words_after: None,
        };
        assert_eq!(Validity::of(&memory).true_from, day(10));
        memory.valid_from = None;
        assert_eq!(Validity::of(&memory).true_from, day(20));
        memory.occurred_at = None;
        assert_eq!(Validity::of(&memory).true_from, day(50));
    }

    #[test]
    fn a_memory_that_was_imported_later_was_true_before() {
        let imported = Validity { true_from: day(10), ..saved_on_day_50() };
        assert!(imported.holds(&as_of(10)) && imported.holds(&as_of(30)) && imported.holds(&now()));
        assert!(!imported.holds(&as_of(9)), "it was not true yet");
        assert!(!imported.holds(&known_at(30)), "Lar did not know it yet");
        assert!(imported.holds(&known_at(50)));
    }

    #[test]
    fn the_end_of_validity_counts_before_the_time_of_the_correction() {
        let ended = Validity { valid_to: Some(day(60)), superseded_at: Some(day(90)), ..saved_on_day_50() };
        assert!(ended.holds(&as_of(59)));
        assert!(!ended.holds(&as_of(60)) && !ended.holds(&as_of(75)) && !ended.holds(&now()));
        let corrected = Validity { superseded_at: Some(day(90)), ..saved_on_day_50() };
        assert!(corrected.holds(&as_of(89)));
        assert!(!corrected.holds(&as_of(90)) && !corrected.holds(&now()));
    }

    #[test]
    fn lar_knew_a_memory_until_it_was_superseded() {
        let corrected = Validity { superseded_at: Some(day(90)), ..saved_on_day_50() };
        assert!(!corrected.holds(&known_at(49)));
        assert!(corrected.holds(&known_at(50)) && corrected.holds(&known_at(89)));
        assert!(!corrected.holds(&known_at(90)));
        // On day 70, Lar knew no end of the memory, so it took it to be true on day 95.
        let both = Period { as_of: Some(day(95)), known_at: Some(day(70)), ..now() };
        assert!(corrected.holds(&both));
        // On day 95, Lar knew that it was true until day 90.
        let both = Period { as_of: Some(day(60)), known_at: Some(day(95)), ..now() };
        assert!(corrected.holds(&both));
    }

    #[test]
    fn an_expired_memory_was_current_when_lar_knew_it() {
        let expired = Validity { valid_to: Some(day(80)), ..saved_on_day_50() };
        assert!(expired.holds(&known_at(70)) && !expired.holds(&known_at(80)) && !expired.holds(&now()));
    }

    #[test]
    fn plans_are_current_and_superseded_memories_are_found_on_request() {
        let plan = Validity { true_from: day(200), ..saved_on_day_50() };
        assert!(plan.holds(&now()) && plan.holds(&known_at(60)));
        assert!(!plan.holds(&as_of(100)) && plan.holds(&as_of(200)));
        let ended = Validity { valid_to: Some(day(60)), superseded_at: Some(day(90)), ..saved_on_day_50() };
        assert!(ended.holds(&Period { superseded: true, ..now() }));
        assert!(ended.holds(&Period { superseded: true, ..as_of(95) }));
        assert!(!ended.holds(&Period { superseded: true, ..as_of(49) }), "it was not true yet");
        assert!(!ended.holds(&Period { superseded: true, ..known_at(49) }), "Lar did not know it yet");
    }
}
