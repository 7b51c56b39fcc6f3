//! Several models: which of them is loaded.

use super::*;

#[test]
fn a_model_that_never_fits_is_refused_with_numbers() {
    let mut script = two_models(Limits::default());
    script.at(0, SchedulerEvent::PoolAdded { pool: "huge".into(), concurrency: 1, memory: Bytes(11) });
    let actions = script.ask(10, "1", "huge");
    assert!(
        actions[1].starts_with("refuse 1: PoolUnavailable") && actions[1].contains("needs 11 B"),
        "{actions:?}"
    );
    assert!(actions[1].contains("may use 10 B (`engines.memory`)"), "{actions:?}");
    assert_eq!(actions[2], "fail huge");
}
