//! Many erase at once on a full disk: all succeed, and room is kept again.

use std::process::{Child, Command, Stdio};
use std::sync::Barrier;

use lar_tests::{Disk, Lar};
use serde_json::{Value, json};

const ERASERS: usize = 16;

/// Makes a conversation for each eraser, with a text that takes several pages: the room that is left by a conversation that did
/// not fit is too little to erase them.
fn import(lar: &Lar) -> Vec<String> {
    let ids: Vec<String> = (0..ERASERS).map(|number| format!("conv_{number:032x}")).collect();
    let line = |(number, id): (usize, &String)| {
        let message = json!({
            "id": format!("msg_{number:032x}"), "role": "user", "status": "complete",
            "content": "words upon words ".repeat(1000), "created_at": "2026-11-21T10:00:00.000Z",
        });
        let line = json!({
            "id": id, "title": format!("Talk {number}"), "version": 1, "messages": [message],
            "created_at": "2026-11-21T10:00:00.000Z", "updated_at": "2026-11-21T10:00:00.000Z",
        });
        format!("{line}\n")
    };
    let lines: String = ids.iter().enumerate().map(line).collect();
    let head = lar.head("POST", "/lar/v1/conversations/import", lines.len());
    let taken = lar.raw(&head.replace("application/json", "application/x-ndjson"), lines.as_bytes());
    assert_eq!(
        (taken.status, taken.json()["imported"].as_u64()),
        (200, Some(ERASERS as u64)),
        "{}",
        taken.body
    );
    ids
}

/// A process that keeps Lar from writing to its database, until its standard input ends.
fn lock_database(lar: &Lar) -> Child {
    const LOCK: &str = "import sqlite3, sys\n\
                        database = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
                        database.execute('BEGIN IMMEDIATE')\n\
                        print('locked', flush=True)\n\
                        sys.stdin.read()\n";
    let mut command = Command::new("nsenter");
    command.args(["--target", &lar.pid().to_string(), "--mount", "--user", "--preserve-credentials"]);
    command.args(["python3", "-c", LOCK]).arg(lar.data().join("lar.db"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let stdout = child.stdout.as_mut().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    assert_eq!(line, "locked\n");
    child
}

#[test]
fn many_who_erase_at_once_on_a_full_disk_all_succeed() {
    let disk = Disk::new("size=24m");
    let mut lar = disk.start();
    let reserve = disk.outside().join("lar.reserve");
    assert!(reserve.exists(), "room is kept");
    let ids = import(&lar);
    let filler = disk.fill();
    let refused =
        (0..400).map(|_| super::conversation(&lar, &"x".repeat(200))).find(|(status, _)| *status != 201);
    assert_eq!(refused.expect("the disk is full").0, 503);
    super::fill_up(&filler);

    // They wait for the lock together, so that they share the commit that finds no room.
    let mut lock = lock_database(&lar);
    let together = Barrier::new(ERASERS + 1);
    let erase = |id: &String| {
        together.wait();
        lar.send("DELETE", &format!("/lar/v1/conversations/{id}?erase=true"), &Value::Null)
    };
    std::thread::scope(|scope| {
        let erasers: Vec<_> = ids.iter().map(|id| scope.spawn(move || erase(id))).collect();
        together.wait();
        // By the time these are answered, the server most likely has the requests that came before them. That changes share the
        // commit that fails is certain in the writer's unit test: all_changes_that_free_something_get_the_reserve_and_others_do_not.
        for _ in 0..2 * ERASERS {
            assert_eq!(lar.get("/healthz").status, 200);
        }
        drop(lock.stdin.take());
        for eraser in erasers {
            let answer = eraser.join().unwrap();
            assert_eq!(answer.status, 204, "{}", answer.body);
        }
    });
    assert!(lock.wait().unwrap().success());
    assert!(reserve.exists(), "room is kept again");
    for id in &ids {
        assert_eq!(lar.get(&format!("/lar/v1/conversations/{id}")).status, 404, "{id}");
    }
    assert_eq!(lar.stop(), Some(0));
}
