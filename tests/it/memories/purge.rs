//! The purge erases memories that were deleted long ago, even if another part of the purge fails.

use std::process::Command;

use lar_tests::Lar;
use serde_json::Value;

use super::save_text;

#[test]
fn deleted_memories_are_erased_on_time_even_if_the_inbox_cannot_be_emptied() {
    let data = tempfile::tempdir().unwrap();
    let mut lar = Lar::start_on(data.path());
    let paths = ["The ferry leaves at nine.", "The harbour is closed."]
        .map(|content| format!("/lar/v1/memories/{}", save_text(&lar, content)));
    let [kept, deleted] = &paths;
    assert_eq!(lar.send("DELETE", deleted, &Value::Null).status, 204);
    assert_eq!(lar.get(deleted).status, 200, "a deleted memory can be restored");
    assert_eq!(lar.stop(), Some(0));

    // The retention time passes, and the table of the inbox is lost.
    let changes =
        "UPDATE memories SET deleted_at = 1 WHERE deleted_at IS NOT NULL; DROP TABLE memory_candidates";
    let script = "import sqlite3, sys\nsqlite3.connect(sys.argv[1]).executescript(sys.argv[2])";
    let mut change = Command::new("python3");
    change.args(["-c", script]).arg(data.path().join("lar.db")).arg(changes);
    assert!(change.status().unwrap().success());

    let lar = Lar::start_on(data.path());
    lar.until("the erasure", |lar| (lar.get(deleted).status == 404).then_some(()));
    assert_eq!(lar.get(kept).status, 200);
}
