//! Several callers: their turns, their shares of a queue, and the slots that they take from each other.

use super::*;

#[test]
fn callers_take_turns_and_batch_goes_last() {
    let mut s = Script::ready(Limits::default(), 1);
    s.submit(0, "run", "x", Interactive);
    s.submit(1, "batch", "z", Batch);
    for name in ["x1", "x2", "x3"] {
        s.submit(2, name, "x", Interactive);
    }
    s.submit(3, "y1", "y", Interactive);
    let mut order = Vec::new();
    let mut running = "run";
    for ms in 10..15 {
        let granted = s.stopped(ms, running).first().cloned().unwrap_or_default();
        let name = granted.strip_prefix("grant ").unwrap().to_owned();
        running = s.names.values().find(|known| **known == name).copied().unwrap();
        order.push(name);
    }
    assert_eq!(order, ["x1", "y1", "x2", "x3", "batch"]);
}

#[test]
fn batch_does_not_starve() {
    let limits = Limits { batch_wait_max: Duration::from_millis(100), ..Limits::default() };
    let mut s = Script::ready(limits, 1);
    s.submit(0, "a", "x", Interactive);
    s.submit(0, "batch", "z", Batch);
    s.submit(1, "b", "x", Interactive);
    s.submit(1, "c", "x", Interactive);
    assert_eq!(s.stopped(50, "a")[0], "grant b");
    assert_eq!(s.stopped(100, "b")[0], "grant batch");
    assert_eq!(s.stopped(120, "batch")[0], "grant c");
}

#[test]
fn a_key_or_person_may_fill_only_its_share_of_a_queue() {
    let limits = Limits { queue_len_max: 4, ..Limits::default() };
    let mut s = Script::ready(limits, 1);
    s.submit(0, "a", "ana.phone", Interactive);
    for name in ["b", "c"] {
        s.submit(0, name, "ana.phone", Interactive);
    }
    let of_key = "refuse d: ShareFull { owner: Key, waiting: 2, retry_after: 2s }";
    assert_eq!(s.submit(1000, "d", "ana.phone", Interactive), [of_key]);
    s.submit(1000, "e", "ana.desk", Interactive);
    let of_person = "refuse f: ShareFull { owner: Person, waiting: 3, retry_after: 2s }";
    assert_eq!(s.submit(1000, "f", "ana.desk", Interactive), [of_person]);
    assert_eq!(s.submit(1000, "g", "ana.phone", Batch).len(), 1, "each priority has its own queue");
    assert!(s.submit(1000, "h", "bea", Interactive)[0].starts_with("h is 3"));
    assert!(s.submit(1000, "i", "cid", Interactive)[0].starts_with("refuse i: QueueFull { waiting: 4"));
    let mut s = Script::ready(Limits { full_policy: FullPolicy::DropOldest, ..limits }, 1);
    s.submit(0, "other", "bea", Interactive);
    s.submit(1, "first", "bea", Interactive);
    for (ms, name) in [(2, "a"), (3, "b")] {
        s.submit(ms, name, "ana", Interactive);
    }
    assert_eq!(
        s.submit(4, "c", "ana", Interactive)[0],
        "refuse a: Dropped",
        "the oldest of its own share, not of the queue"
    );
}

#[test]
fn a_free_slot_goes_to_the_caller_with_fewest() {
    let mut s = Script::ready(Limits::default(), 3);
    for name in ["a1", "a2", "a3", "a4"] {
        s.submit(0, name, "ana.phone", Interactive);
    }
    s.submit(1, "a5", "ana.desk", Interactive);
    s.submit(2, "b1", "bea", Interactive);
    s.submit(3, "b2", "bea", Interactive);
    assert_eq!(s.stopped(10, "a1")[0], "grant b1", "Bea has no slot");
    assert_eq!(s.stopped(11, "a2")[0], "grant a5", "each person has one, and Ana's other key none");
    assert_eq!(s.stopped(12, "a3")[0], "grant a4", "each person has one, and Ana's phone none");
    assert_eq!(s.stopped(13, "b1")[0], "grant b2");
}

#[test]
fn a_key_with_every_slot_loses_one_while_others_wait() {
    let limits = Limits { slot_hold_max: Some(Duration::from_secs(60)), ..Limits::default() };
    let mut s = Script::ready(limits, 2);
    s.submit(0, "a", "x", Interactive);
    s.submit(10_000, "b", "x", Interactive);
    s.submit(20_000, "c", "x", Interactive);
    assert_eq!(s.at(100_000, SchedulerEvent::Tick), [""; 0], "nobody else waits");
    assert_eq!(s.scheduler.next_deadline(), None);
    assert_eq!(without_positions(&s.submit(110_000, "d", "y", Batch)), ["stop a: SlotHoldLimit"]);
    assert_eq!(s.at(120_000, SchedulerEvent::Tick), [""; 0], "a slot is already being freed");
    assert_eq!(without_positions(&s.stopped(120_001, "a")), ["grant c"], "interactive goes before batch");
    assert_eq!(s.scheduler.next_deadline(), Some(Instant::from_millis(70_000)));
    assert_eq!(s.at(120_002, SchedulerEvent::Tick), ["stop b: SlotHoldLimit"]);
    assert_eq!(without_positions(&s.stopped(120_003, "b")), ["grant d"]);
    assert_eq!(s.at(900_000, SchedulerEvent::Tick), [""; 0], "two keys share the slots");
}

#[test]
fn keys_of_one_person_leave_half_of_the_paused_slots_to_others() {
    let mut s = Script::ready_pausing(Limits::default(), 2, 4);
    for (name, key) in [("a1", "ana.1"), ("a2", "ana.2"), ("a3", "ana.3"), ("a4", "ana.4"), ("a5", "ana.5")] {
        s.submit(0, name, key, Interactive);
    }
    // Each of her keys has a task; others of hers were paused for two of them.
    assert_eq!(without_positions(&s.at(100_000, SchedulerEvent::Tick)), ["grant a3", "grant a4"]);
    s.submit(100_000, "b1", "bea", Interactive);
    assert_eq!(without_positions(&s.at(101_000, SchedulerEvent::Tick)), ["grant b1"]);
}

#[test]
fn a_person_with_several_keys_loses_a_slot_while_others_wait() {
    let limits = Limits { slot_hold_max: Some(Duration::from_secs(60)), ..Limits::default() };
    let mut s = Script::ready(limits, 2);
    s.submit(0, "a", "ana.1", Interactive);
    s.submit(10_000, "b", "ana.2", Interactive);
    s.submit(20_000, "c", "ana.3", Interactive);
    assert_eq!(s.at(100_000, SchedulerEvent::Tick), [""; 0], "her keys share the slots");
    assert_eq!(without_positions(&s.submit(110_000, "d", "bea", Interactive)), ["stop a: SlotHoldLimit"]);
    assert_eq!(without_positions(&s.stopped(110_001, "a")), ["grant d"]);
}

#[test]
fn a_slot_that_cannot_be_paused_is_taken_after_the_hold_limit() {
    let limits = Limits { slot_hold_max: Some(Duration::from_secs(1800)), ..Limits::default() };
    let hour = 3_600_000;
    let mut s = Script::ready_pausing(limits, 2, 2);
    for name in ["a1", "a2"] {
        s.submit(0, name, "ana", Interactive);
        s.started(0, name);
    }
    s.submit(hour, "b1", "bea", Interactive);
    assert_eq!(without_positions(&s.at(hour + 1000, SchedulerEvent::Tick)), ["grant b1"]);
    assert_eq!(without_positions(&s.started(hour + 9000, "b1")), [""; 0]);
    assert_eq!(
        without_positions(&s.at(hour + 900_000, SchedulerEvent::Tick)),
        [""; 0],
        "Bea has a slot, even if only her long prompt is read"
    );
    s.stopped(hour + 900_000, "b1");
    s.submit(2 * hour, "b2", "bea", Interactive);
    assert_eq!(without_positions(&s.at(2 * hour + 1000, SchedulerEvent::Tick)), ["grant b2"]);
    assert_eq!(
        without_positions(&s.at(2 * hour + 300_999, SchedulerEvent::Tick)),
        [""; 0],
        "its turn may come"
    );
    assert_eq!(s.scheduler.next_deadline(), Some(Instant::from_millis(2 * hour + 301_000)));
    assert_eq!(
        without_positions(&s.at(2 * hour + 301_000, SchedulerEvent::Tick)),
        ["stop a1: SlotHoldLimit"]
    );
    assert_eq!(
        without_positions(&s.at(2 * hour + 301_001, SchedulerEvent::Tick)),
        [""; 0],
        "a slot is already being freed"
    );
}

/// A stream whose context was shifted may never be paused again. A task that was paused for it then waits.
#[test]
fn paused_tasks_wait_for_a_slot_like_new_ones() {
    let limits = Limits { slot_hold_max: Some(Duration::from_secs(1800)), ..Limits::default() };
    let hour = 3_600_000;
    let mut s = Script::ready_pausing(limits, 1, 2);
    s.submit(0, "a", "ana", Interactive);
    s.started(0, "a");
    s.submit(1000, "b", "bea", Interactive);
    assert_eq!(without_positions(&s.at(31_000, SchedulerEvent::Tick)), ["grant b"]);
    s.paused(31_000, "a");
    s.started(31_000, "b");
    s.paused(41_000, "b");
    s.started(41_000, "a");
    assert_eq!(without_positions(&s.at(hour / 2 - 1, SchedulerEvent::Tick)), [""; 0]);
    assert_eq!(without_positions(&s.at(hour / 2, SchedulerEvent::Tick)), ["stop a: SlotHoldLimit"]);
}

#[test]
fn a_caller_without_a_slot_gets_one_from_a_caller_with_several() {
    let mut s = Script::ready_pausing(Limits::default(), 2, 4);
    for name in ["a1", "a2", "a3"] {
        s.submit(0, name, "ana.phone", Interactive);
    }
    assert_eq!(s.submit(500, "b1", "bea", Interactive), ["b1 is 1 in 1000 ms (Busy)"]);
    assert_eq!(s.scheduler.next_deadline(), Some(Instant::from_millis(1500)));
    assert_eq!(s.at(1499, SchedulerEvent::Tick), [""; 0]);
    assert_eq!(without_positions(&s.at(1500, SchedulerEvent::Tick)), ["grant b1"]);
    s.submit(9000, "a4", "ana.desk", Interactive);
    assert_eq!(
        without_positions(&s.at(10_000, SchedulerEvent::Tick)),
        ["grant a4"],
        "Ana's phone gives up a slot for her other key"
    );
    s.submit(10_000, "b2", "bea", Interactive);
    assert_eq!(without_positions(&s.at(12_000, SchedulerEvent::Tick)), [""; 0], "Bea has a slot");
    s.submit(12_000, "c1", "cid", Interactive);
    s.submit(12_000, "a5", "ana.watch", Interactive);
    assert_eq!(
        without_positions(&s.at(14_000, SchedulerEvent::Tick)),
        ["grant c1"],
        "the remaining extra leases are not for Ana's third key"
    );
    s.submit(14_000, "d1", "dora", Interactive);
    s.submit(14_000, "e1", "eve", Interactive);
    assert_eq!(
        without_positions(&s.at(16_000, SchedulerEvent::Tick)),
        ["grant d1"],
        "the engine can pause no more"
    );
    assert_eq!(s.stopped(16_001, "a1")[0], "grant e1");
    assert_eq!(without_positions(&s.stopped(16_002, "a2")), [""; 0], "the free slot goes to a paused task");
}

#[test]
fn a_caller_without_a_slot_shares_the_only_one_after_a_while() {
    let mut s = Script::ready_pausing(Limits::default(), 1, 1);
    s.submit(0, "a", "ana", Interactive);
    s.submit(1000, "b", "bea", Batch);
    s.submit(2000, "c", "cid", Interactive);
    assert_eq!(s.scheduler.next_deadline(), Some(Instant::from_millis(30_000)));
    assert_eq!(without_positions(&s.at(30_000, SchedulerEvent::Tick)), ["grant c"]);
    assert_eq!(
        without_positions(&s.at(59_999, SchedulerEvent::Tick)),
        [""; 0],
        "nothing is paused for a batch task"
    );
}
