//! What is erased is nowhere in the database's file a little later. Many who erase at once on a full disk all succeed, and room
//! is kept again.

use std::path::Path;
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

const CONVERSATIONS: usize = 1000;

fn title(number: usize) -> String {
    format!("laburnum{number:04}{}", " and so on".repeat(10 + number % 7))
}

/// How many of every second title, from `first` on, are in the database's file.
fn titles_in(data: &Path, first: usize) -> usize {
    let bytes = std::fs::read(data.join("lar.db")).unwrap();
    let is_there = |number: &usize| {
        let start = format!("laburnum{number:04} and");
        bytes.windows(start.len()).any(|at| at == start.as_bytes())
    };
    (first..CONVERSATIONS).step_by(2).filter(is_there).count()
}

#[test]
fn a_server_clears_pages_of_what_was_erased() {
    let data = tempfile::tempdir().unwrap();
    let mut lar = Lar::start_on(data.path());
    let path = |made: (u16, Value)| format!("/lar/v1/conversations/{}", made.1["id"].as_str().unwrap());
    let paths: Vec<String> = (0..CONVERSATIONS).map(|_| path(super::conversation(&lar, "short"))).collect();
    // Rows that grow are spread over other pages; 77 and 1000 have no common divisor.
    for step in 0..CONVERSATIONS {
        let number = step * 77 % CONVERSATIONS;
        let renamed = lar.send("PATCH", &paths[number], &json!({ "title": title(number) }));
        assert_eq!(renamed.status, 200, "{}", renamed.body);
    }
    for path in paths.iter().step_by(2) {
        assert_eq!(lar.send("DELETE", &format!("{path}?erase=true"), &Value::Null).status, 204);
    }
    assert_eq!(lar.stop(), Some(0));
    assert!(titles_in(data.path(), 0) > 0, "SQLite left none, so that this shows nothing");
    // Not half a minute after the erasure, but at the next start.
    let mut lar = Lar::start_on(data.path());
    lar.until("pages are cleared", |_| (titles_in(data.path(), 0) == 0).then_some(()));
    assert_eq!(titles_in(data.path(), 1), CONVERSATIONS / 2);
    assert_eq!(lar.get("/readyz").status, 200);
    assert_eq!(lar.stop(), Some(0));
}
