//! Scripted scenarios: an event on the left, the expected actions on the right.
//!
//! `tests/fairness.rs` has those of several callers, `tests/loading.rs` and `tests/eviction.rs` those of
//! several models. The seeded simulator that checks the invariants over a million steps is in `tests/sim` of
//! the repository.

mod eviction;
mod fairness;
mod loading;

use lar_base::{KeyId, UserId};

use Priority::{Batch, Interactive};

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

/// Adds two models of which only one fits in memory.
fn two_models(limits: Limits) -> Script {
    let limits = Limits { memory: Bytes(10), ..limits };
    let mut script = Script { concurrency: 1, ..Script::new(limits, 1) };
    script.at(0, SchedulerEvent::PoolRemoved { pool: "m".into() });
    for pool in ["a", "b"] {
        script.at(0, SchedulerEvent::PoolAdded { pool: pool.into(), concurrency: 1, memory: Bytes(6) });
    }
    script
}

/// Returns the actions without the position reports.
fn without_positions(actions: &[String]) -> Vec<&str> {
    actions.iter().map(String::as_str).filter(|action| !action.contains(" is ")).collect()
}

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
