//! Several models: which of them is unloaded or drained for another one, or because nothing uses it.

use super::*;

#[test]
fn an_idle_model_is_evicted_for_a_requested_one() {
    let mut script = two_models(Limits::default());
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
    let mut script = two_models(Limits { swap_wait_max: Duration::from_secs(1), ..Limits::default() });
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
fn an_unused_model_is_unloaded() {
    let mut script = two_models(Limits { keep_alive: Some(Duration::from_secs(5)), ..Limits::default() });
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
    let mut script = two_models(Limits { keep_alive: Some(Duration::from_secs(5)), ..Limits::default() });
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
    let mut script = two_models(Limits { swap_wait_max: Duration::from_secs(1), ..Limits::default() });
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
    let mut script = two_models(Limits::default());
    script.ask(0, "1", "a");
    assert!(script.at(5, SchedulerEvent::PoolUnloadRequested { pool: "a".into() }).is_empty());
    assert_eq!(script.ready_now(10, "a"), ["grant 1"]);
    assert_eq!(script.stopped(20, "1"), ["unload a"]);
}
