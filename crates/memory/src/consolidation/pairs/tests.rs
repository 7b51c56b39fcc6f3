//! Pairs of memories that are repetitions, changes, or neither.

use lar_base::{KeyId, MemoryId, SpaceId, Timestamp};
use lar_store::Provenance;

use super::*;
use crate::strength;

/// Creates a memory with a number and a text.
pub(in crate::consolidation) fn memory(seq: i64, content: &str) -> Memory {
    let now = Timestamp::from_millis(1_700_000_000_000);
    Memory {
        id: MemoryId::new(),
        seq,
        space: SpaceId::new(),
        kind: MemoryKind::Fact,
        content: content.to_owned(),
        tags: Vec::new(),
        project: None,
        provenance: Provenance { key: KeyId::new(), source: None, conversation: None, message: None },
        occurred_at: None,
        valid_from: None,
        valid_to: None,
        after: None,
        superseded: None,
        pinned: false,
        strength: strength::new(now),
        hash: [0; 32],
        version: 1,
        created_at: now,
        updated_at: now,
        deleted_at: None,
    }
}

fn compare(one: &Memory, other: &Memory) -> Option<PairFinding> {
    let [first, second] = [one, other].map(|memory| Statement::of(&memory.content));
    compare_pair(
        ParsedMemory { memory: one, statement: &first },
        ParsedMemory { memory: other, statement: &second },
        None,
    )
}

/// Returns the text of the repeated memory and the rule, for the texts of an older and a newer memory.
fn repeated(older: &str, newer: &str) -> Option<(String, DuplicateRule)> {
    let (older, newer) = (memory(1, older), memory(2, newer));
    match compare(&older, &newer)? {
        PairFinding::Duplicate(found) if found.repeated.0 == older.id => Some((older.content, found.rule)),
        PairFinding::Duplicate(found) => Some((newer.content, found.rule)),
        PairFinding::Link(_) => None,
    }
}

#[test]
fn the_memory_that_says_less_is_repeated() {
    let cases = [
        ("The gate code is 4711.", "the gate code is 4711", 1, DuplicateRule::SameText),
        ("Anna lives in Porto.", "Anna lives in Porto with her sister.", 0, DuplicateRule::Contained),
        ("Anna lives in Porto with her sister.", "Anna lives in Porto.", 1, DuplicateRule::Contained),
        (
            "Anna lives in Porto.",
            "Tom called. Anna lives in Porto. He sends greetings.",
            0,
            DuplicateRule::Contained,
        ),
        (
            "Wir haben zwei Katzen. Sie heißen Tim und Tom.",
            "Wir haben zwei Katzen.",
            1,
            DuplicateRule::Contained,
        ),
    ];
    for (older, newer, at, rule) in cases {
        let expected = [older, newer][at].to_owned();
        assert_eq!(repeated(older, newer), Some((expected, rule)), "{older} | {newer}");
    }
}

#[test]
fn unlike_statements_are_no_repetitions() {
    for (older, newer) in [
        ("I take 5 mg of lisinopril.", "I take 10 mg of lisinopril."),
        ("Take 20 mg of ibuprofen in the morning.", "Take 20 mg of ibuprofen in the evening."),
        ("Anna lives in Porto.", "Ben lives in Porto."),
        ("Yoga is on Monday.", "Yoga is on Thursday."),
        ("Anna likes olives.", "Anna does not like olives."),
        ("Anna lives in Porto.", "I dreamt that. Anna lives in Porto. It was nice."),
        ("Use tabs in Go files.", "Use spaces in Python files."),
        ("Room 12 has 30 seats.", "Room 14 has 30 seats."),
        ("Service A calls service B.", "Service B calls service A."),
        ("Ich mag Hunde.", "Ich mag keine Hunde."),
    ] {
        assert_eq!(repeated(older, newer), None, "{older} | {newer}");
        assert_eq!(repeated(newer, older), None, "{newer} | {older}");
    }
}

#[test]
fn only_texts_that_show_a_change_are_linked() {
    let links = |older: &str, newer: &str| match compare(&memory(1, older), &memory(2, newer)) {
        Some(PairFinding::Link(found)) => Some(found.link.reason),
        _ => None,
    };
    assert_eq!(
        links("Anna lives in Berlin.", "Anna lives in Porto.").as_deref(),
        Some("the same sentence with a new value")
    );
    assert_eq!(links("Anna likes olives.", "Anna does not like olives.").as_deref(), Some("denies a memory"));
    assert_eq!(links("LOG_LEVEL=info", "LOG_LEVEL=warn").as_deref(), Some("the same key with a new value"),);
    for (older, newer) in [
        ("Anna's flat in Berlin has a balcony.", "Anna's flat in Berlin has two rooms."),
        ("Anna lives in Porto.", "The oven is hot."),
    ] {
        assert_eq!(links(older, newer), None, "{older} | {newer}");
    }
}

#[test]
fn the_time_of_an_event_decides_which_memory_is_older() {
    let mut saved_first = memory(1, "Anna lives in Porto.");
    let mut saved_later = memory(2, "Anna lives in Berlin.");
    saved_first.occurred_at = Some(Timestamp::from_millis(2_000));
    saved_later.occurred_at = Some(Timestamp::from_millis(1_000));
    let Some(PairFinding::Link(found)) = compare(&saved_first, &saved_later) else { panic!() };
    assert_eq!((found.link.older, found.link.newer), (saved_later.id, saved_first.id));
    assert_eq!(found.key, saved_first.provenance.key);
}

#[test]
fn a_memory_that_has_more_than_its_text_is_not_superseded() {
    let (plain, later) = (memory(1, "The fair opens at nine."), memory(2, "the fair opens at nine"));
    let with = |change: fn(&mut Memory)| {
        let mut changed = later.clone();
        change(&mut changed);
        match compare(&plain, &changed) {
            Some(PairFinding::Duplicate(found)) => Some(found.repeated.0 == changed.id),
            _ => None,
        }
    };
    assert_eq!(with(|_| {}), Some(true), "the one that was saved later");
    assert_eq!(with(|memory| memory.pinned = true), Some(false), "not the pinned one");
    assert_eq!(with(|memory| memory.kind = MemoryKind::Event), Some(false), "not the one with a kind");
    assert_eq!(with(|memory| memory.occurred_at = Some(Timestamp::from_millis(5))), Some(false));
    assert_eq!(with(|memory| memory.valid_to = Some(Timestamp::from_millis(5))), None, "both have a time");
}
