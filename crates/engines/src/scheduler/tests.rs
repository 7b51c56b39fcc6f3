//! Scripted scenarios: an event on the left, the expected actions on the right. `tests/sim` has the seeded
//! simulator that checks the invariants over a million steps.

use lar_base::{KeyId, UserId};

use super::*;

struct Script {
    scheduler: Scheduler,
    concurrency: u32,
    paused_max: u32,
    names: BTreeMap<TaskId, &'static str>,
    tasks: BTreeMap<&'static str, TaskId>,
    callers: BTreeMap<&'static str, KeyId>,
    /// The users. A caller named `ANA.phone` is a key of the user ANA.
    persons: BTreeMap<&'static str, UserId>,
}

impl Script {
    fn new(limits: Limits, concurrency: u32) -> Self {
        let mut script = Self {
            scheduler: Scheduler::new(limits),
            concurrency,
            paused_max: 0,
            names: BTreeMap::new(),
            tasks: BTreeMap::new(),
            callers: BTreeMap::new(),
            persons: BTreeMap::new(),
        };
        script.at(0, SchedulerEvent::PoolAdded { pool: "m".into(), concurrency, memory: Bytes(1) });
        script
    }

    fn ready(limits: Limits, concurrency: u32) -> Self {
        Self::ready_pausing(limits, concurrency, 0)
    }

    fn ready_pausing(limits: Limits, concurrency: u32, paused_max: u32) -> Self {
        let mut script = Self { paused_max, ..Self::new(limits, concurrency) };
        script.up(0);
        script
    }

    fn up(&mut self, ms: u64) -> Vec<String> {
        let (concurrency, paused_max) = (self.concurrency, self.paused_max);
        self.at(ms, SchedulerEvent::PoolReady { pool: "m".into(), concurrency, paused_max })
    }

    fn at(&mut self, ms: u64, event: SchedulerEvent) -> Vec<String> {
        let actions = self.scheduler.step(Instant::from_millis(ms), event);
        actions.iter().map(|action| self.describe(action)).collect()
    }

    fn task(&mut self, name: &'static str) -> TaskId {
        let id = *self.tasks.entry(name).or_default();
        self.names.insert(id, name);
        id
    }

    fn submit(
        &mut self,
        ms: u64,
        name: &'static str,
        caller: &'static str,
        priority: Priority,
    ) -> Vec<String> {
        self.submit_until(ms, name, caller, priority, None)
    }

    fn submit_until(
        &mut self,
        ms: u64,
        name: &'static str,
        caller: &'static str,
        priority: Priority,
        deadline_ms: Option<u64>,
    ) -> Vec<String> {
        let request = Request {
            task: self.task(name),
            pool: "m".into(),
            caller: *self.callers.entry(caller).or_default(),
            person: *self.persons.entry(caller.split('.').next().unwrap_or(caller)).or_default(),
            priority,
            deadline: deadline_ms.map(Instant::from_millis),
        };
        self.at(ms, SchedulerEvent::Submit(request))
    }

    fn started(&mut self, ms: u64, name: &'static str) -> Vec<String> {
        let task = self.task(name);
        self.at(ms, SchedulerEvent::Started { task })
    }

    fn paused(&mut self, ms: u64, name: &'static str) -> Vec<String> {
        let task = self.task(name);
        self.at(ms, SchedulerEvent::Paused { task })
    }

    fn stopped(&mut self, ms: u64, name: &'static str) -> Vec<String> {
        let task = self.task(name);
        self.at(ms, SchedulerEvent::Stopped { task })
    }

    fn cancel(&mut self, ms: u64, name: &'static str) -> Vec<String> {
        let task = self.task(name);
        self.at(ms, SchedulerEvent::Cancel { task })
    }

    fn describe(&self, action: &Action) -> String {
        match action {
            Action::Load { pool } => format!("load {pool}"),
            Action::Unload { pool } => format!("unload {pool}"),
            Action::Fail { pool, .. } => format!("fail {pool}"),
            Action::ReportPosition { task, position, predicted_start, wait_reason } => {
                format!(
                    "{} is {position} in {} ms ({wait_reason:?})",
                    self.names[task],
                    predicted_start.as_millis()
                )
            }
            Action::Grant { task, .. } => format!("grant {}", self.names[task]),
            Action::Refuse { task, refusal } => format!("refuse {}: {refusal:?}", self.names[task]),
            Action::Stop { task, cause } => format!("stop {}: {cause:?}", self.names[task]),
        }
    }
}

use Priority::{Batch, Interactive};

#[test]
fn only_the_engine_frees_a_lease() {
    let mut s = Script::ready(Limits::default(), 1);
    assert_eq!(s.submit(0, "a", "x", Interactive), ["grant a"]);
    assert_eq!(s.submit(1, "b", "x", Interactive), ["b is 0 in 2999 ms (Busy)"]);
    assert_eq!(s.cancel(2, "a"), ["stop a: Cancelled"]);
    assert_eq!(s.cancel(3, "a"), [""; 0], "a second cancel does nothing");
    assert_eq!(s.at(9, SchedulerEvent::Tick), [""; 0], "b waits until the engine confirms");
    assert_eq!(s.stopped(10, "a"), ["grant b"]);
    assert_eq!(s.stopped(11, "a"), [""; 0], "a second confirmation frees nothing");
}

#[test]
fn waiting_tasks_load_a_model_once_and_learn_their_position() {
    let mut s = Script::new(Limits::default(), 2);
    assert_eq!(s.submit(0, "a", "x", Interactive), ["a is 0 in 2000 ms (Loading)", "load m"]);
    assert_eq!(s.submit(1, "b", "x", Interactive), ["b is 1 in 2000 ms (Loading)"]);
    assert_eq!(s.up(500), ["grant a", "grant b"]);
}

#[test]
fn a_dead_engine_is_loaded_again_while_tasks_wait() {
    let mut s = Script::ready(Limits::default(), 1);
    s.submit(0, "a", "x", Interactive);
    s.submit(1, "b", "x", Interactive);
    assert_eq!(s.at(2, SchedulerEvent::PoolDown { pool: "m".into() }), ["load m"]);
    assert_eq!(s.stopped(3, "a"), [""; 0]);
    assert_eq!(s.up(4), ["grant b"]);
    let failed = SchedulerEvent::PoolFailed { pool: "m".into(), reason: "corrupt".into() };
    s.submit(5, "c", "x", Interactive);
    assert_eq!(s.at(6, failed), ["refuse c: PoolUnavailable { reason: \"corrupt\" }"]);
}

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
fn a_full_queue_refuses_or_drops_the_oldest() {
    let limits = Limits { queue_len_max: 1, ..Limits::default() };
    let mut s = Script::ready(limits, 1);
    s.submit(0, "a", "x", Interactive);
    s.submit(0, "b", "x", Interactive);
    assert_eq!(
        s.submit(1000, "c", "y", Interactive),
        ["refuse c: QueueFull { waiting: 1, retry_after: 2s }"]
    );
    let mut s = Script::ready(Limits { full_policy: FullPolicy::DropOldest, ..limits }, 1);
    s.submit(0, "a", "x", Interactive);
    s.submit(0, "b", "x", Interactive);
    assert_eq!(s.submit(1, "c", "y", Interactive)[0], "refuse b: Dropped");
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

#[test]
fn an_unread_task_is_stopped_once() {
    let mut s = Script::ready(Limits::default(), 1);
    s.submit(0, "a", "x", Interactive);
    s.submit(0, "b", "y", Interactive);
    let unread = |s: &mut Script, name| {
        let task = s.task(name);
        s.at(5, SchedulerEvent::Unread { task })
    };
    assert_eq!(unread(&mut s, "a"), ["stop a: Unread"]);
    assert_eq!(unread(&mut s, "a"), [""; 0]);
    assert_eq!(unread(&mut s, "b"), [""; 0], "b waits and does not run");
    assert_eq!(s.stopped(6, "a")[0], "grant b");
}

#[test]
fn deadlines_apply_at_submission_while_waiting_and_while_running() {
    let mut s = Script::ready(Limits::default(), 1);
    assert_eq!(s.submit_until(0, "a", "x", Interactive, Some(500)), ["grant a"]);
    assert_eq!(
        s.submit_until(0, "b", "x", Interactive, Some(100)),
        ["refuse b: DeadlineUnmet { predicted_start: 3s }"]
    );
    s.submit_until(0, "c", "x", Interactive, Some(4000));
    assert_eq!(s.scheduler.next_deadline(), Some(Instant::from_millis(500)));
    assert_eq!(s.at(500, SchedulerEvent::Tick), ["stop a: Deadline"]);
    assert_eq!(s.at(4000, SchedulerEvent::Tick), ["refuse c: DeadlineExceeded"]);
}

#[test]
fn predicted_starts_follow_measured_times() {
    let mut s = Script::ready(Limits::default(), 1);
    s.submit(0, "a", "x", Interactive);
    s.stopped(1000, "a");
    s.submit(2000, "b", "x", Interactive);
    assert_eq!(s.submit(2400, "c", "x", Interactive), ["c is 0 in 600 ms (Busy)"]);
    assert_eq!(s.submit(2400, "d", "x", Interactive), ["d is 1 in 1600 ms (Busy)"]);
}

/// Adds two models of which only one fits in memory.
fn two(limits: Limits) -> Script {
    let limits = Limits { memory: Bytes(10), ..limits };
    let mut script = Script { concurrency: 1, ..Script::new(limits, 1) };
    script.at(0, SchedulerEvent::PoolRemoved { pool: "m".into() });
    for pool in ["a", "b"] {
        script.at(0, SchedulerEvent::PoolAdded { pool: pool.into(), concurrency: 1, memory: Bytes(6) });
    }
    script
}

impl Script {
    fn ask(&mut self, ms: u64, name: &'static str, pool: &str) -> Vec<String> {
        let request = Request {
            task: self.task(name),
            pool: pool.into(),
            caller: *self.callers.entry("c").or_default(),
            person: *self.persons.entry("c").or_default(),
            priority: Priority::Interactive,
            deadline: None,
        };
        self.at(ms, SchedulerEvent::Submit(request))
    }

    fn ready_now(&mut self, ms: u64, pool: &str) -> Vec<String> {
        self.at(ms, SchedulerEvent::PoolReady { pool: pool.into(), concurrency: 1, paused_max: 0 })
    }

    fn down(&mut self, ms: u64, pool: &str) -> Vec<String> {
        self.at(ms, SchedulerEvent::PoolDown { pool: pool.into() })
    }
}

/// Returns the actions without the position reports.
fn without_positions(actions: &[String]) -> Vec<&str> {
    actions.iter().map(String::as_str).filter(|action| !action.contains(" is ")).collect()
}

#[test]
fn an_idle_model_is_evicted_for_a_requested_one() {
    let mut script = two(Limits::default());
    assert_eq!(without_positions(&script.ask(0, "1", "a")), ["load a"]);
    assert_eq!(script.ready_now(10, "a"), ["grant 1"]);
    assert!(script.stopped(20, "1").is_empty());
    let actions = script.ask(30, "2", "b");
    assert_eq!(without_positions(&actions), ["unload a"]);
    assert!(actions.iter().any(|action| action.ends_with("(Memory)")), "{actions:?}");
    assert!(without_positions(&script.ask(35, "3", "a")).is_empty(), "its memory is not free yet");
    assert_eq!(without_positions(&script.down(40, "a")), ["load b"]);
    assert_eq!(without_positions(&script.ready_now(50, "b")), ["grant 2"]);
    assert_eq!(without_positions(&script.stopped(60, "2")), ["unload b"], "3 waits for the other model");
    assert_eq!(without_positions(&script.down(70, "b")), ["load a"]);
    assert_eq!(without_positions(&script.ready_now(80, "a")), ["grant 3"]);
}

#[test]
fn a_busy_model_drains_instead_of_being_evicted() {
    let mut script = two(Limits { swap_wait_max: Duration::from_secs(1), ..Limits::default() });
    script.ask(0, "1", "a");
    script.ready_now(10, "a");
    script.ask(20, "2", "b");
    assert!(script.at(500, SchedulerEvent::Tick).is_empty());
    script.ask(600, "3", "a");
    let actions = script.at(1020, SchedulerEvent::Tick);
    assert!(
        actions.len() == 1 && actions[0].starts_with("3 is 0") && actions[0].ends_with("(Memory)"),
        "{actions:?}"
    );
    assert_eq!(
        without_positions(&script.stopped(1100, "1")),
        ["unload a"],
        "3 waits although its model was ready"
    );
    assert_eq!(without_positions(&script.down(1200, "a")), ["load b"]);
    assert_eq!(without_positions(&script.ready_now(1300, "b")), ["grant 2"]);
}

#[test]
fn a_model_that_never_fits_is_refused_with_numbers() {
    let mut script = two(Limits::default());
    script.at(0, SchedulerEvent::PoolAdded { pool: "huge".into(), concurrency: 1, memory: Bytes(11) });
    let actions = script.ask(10, "1", "huge");
    assert!(
        actions[1].starts_with("refuse 1: PoolUnavailable") && actions[1].contains("needs 11 B"),
        "{actions:?}"
    );
    assert!(actions[1].contains("may use 10 B (`engines.memory`)"), "{actions:?}");
    assert_eq!(actions[2], "fail huge");
}

#[test]
fn an_unused_model_is_unloaded() {
    let mut script = two(Limits { keep_alive: Some(Duration::from_secs(5)), ..Limits::default() });
    assert_eq!(script.at(0, SchedulerEvent::PoolLoadRequested { pool: "a".into() }), ["load a"]);
    script.ready_now(10, "a");
    assert!(script.at(4000, SchedulerEvent::Tick).is_empty());
    assert_eq!(script.ask(4500, "1", "a"), ["grant 1"]);
    assert!(script.at(60_000, SchedulerEvent::Tick).is_empty(), "it is in use");
    assert!(script.stopped(60_100, "1").is_empty());
    assert_eq!(script.scheduler.next_deadline(), Some(Instant::from_millis(65_100)));
    assert_eq!(script.at(65_100, SchedulerEvent::Tick), ["unload a"]);
}

#[test]
fn a_keep_alive_applies_until_the_model_is_unloaded() {
    let mut script = two(Limits { keep_alive: Some(Duration::from_secs(5)), ..Limits::default() });
    let keep_alive = |seconds| SchedulerEvent::PoolKeepAliveSet {
        pool: "a".into(),
        keep_alive: Some(Duration::from_secs(seconds)),
    };
    script.at(0, SchedulerEvent::PoolLoadRequested { pool: "a".into() });
    script.ready_now(0, "a");
    assert!(script.at(100, keep_alive(60)).is_empty());
    assert!(script.at(59_000, SchedulerEvent::Tick).is_empty());
    assert_eq!(script.ask(59_500, "1", "a"), ["grant 1"]);
    assert!(script.at(59_600, keep_alive(0)).is_empty(), "it is in use");
    assert_eq!(script.stopped(59_700, "1"), ["unload a"]);
    script.at(59_800, SchedulerEvent::PoolDown { pool: "a".into() });
    script.at(60_000, SchedulerEvent::PoolLoadRequested { pool: "a".into() });
    script.ready_now(60_000, "a");
    assert!(script.at(64_000, SchedulerEvent::Tick).is_empty(), "the request does not apply to this load");
    assert_eq!(script.at(65_000, SchedulerEvent::Tick), ["unload a"]);
}

#[test]
fn draining_ends_when_nobody_waits_for_the_memory() {
    let mut script = two(Limits { swap_wait_max: Duration::from_secs(1), ..Limits::default() });
    script.ask(0, "1", "a");
    script.ready_now(10, "a");
    script.ask(20, "2", "b");
    script.ask(30, "3", "a");
    script.at(1100, SchedulerEvent::Tick);
    assert!(without_positions(&script.cancel(1200, "2")).contains(&"refuse 2: Cancelled"));
    assert_eq!(
        without_positions(&script.stopped(1300, "1")),
        ["grant 3"],
        "nobody wants its memory any more"
    );
}

#[test]
fn an_unload_requested_while_loading_serves_waiting_tasks_first() {
    let mut script = two(Limits::default());
    script.ask(0, "1", "a");
    assert!(script.at(5, SchedulerEvent::PoolUnloadRequested { pool: "a".into() }).is_empty());
    assert_eq!(script.ready_now(10, "a"), ["grant 1"]);
    assert_eq!(script.stopped(20, "1"), ["unload a"]);
}
