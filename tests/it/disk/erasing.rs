//! Erased text disappears from the database file a little later. Concurrent erasures on a full disk all
//! succeed, and the reserve is restored.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;

use lar_tests::{Disk, Lar};
use serde_json::{Value, json};

const ERASERS: usize = 16;

/// Imports one conversation for each eraser and returns their ids. A text takes several pages: the last bytes
/// of the full disk are too few to erase it.
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

/// Starts a process that locks the database against writes until its standard input ends.
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
fn concurrent_erasures_on_a_full_disk_all_succeed() {
    let disk = Disk::new("size=24m");
    let mut lar = disk.start();
    let reserve = disk.outside().join("lar.reserve");
    assert!(reserve.exists(), "space is reserved");
    let ids = import(&lar);
    let filler = disk.fill();
    let refused =
        (0..400).map(|_| super::conversation(&lar, &"x".repeat(200))).find(|(status, _)| *status != 201);
    assert_eq!(refused.expect("the disk is full").0, 503);
    super::fill_up(&filler);

    // The erasures wait for the lock together, so that they share the commit that finds no space.
    let mut lock = lock_database(&lar);
    let together = Barrier::new(ERASERS + 1);
    let erase = |id: &String| {
        together.wait();
        lar.send("DELETE", &format!("/lar/v1/conversations/{id}?erase=true"), &Value::Null)
    };
    std::thread::scope(|scope| {
        let erasers: Vec<_> = ids.iter().map(|id| scope.spawn(move || erase(id))).collect();
        together.wait();
        // When these are answered, the server most likely has the requests that were sent before them. A unit
        // test of the writer proves that such changes share the commit that fails:
        // `only_changes_that_free_something_get_the_reserve`.
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
    assert!(reserve.exists(), "space is reserved again");
    for id in &ids {
        assert_eq!(lar.get(&format!("/lar/v1/conversations/{id}")).status, 404, "{id}");
    }
    assert_eq!(lar.stop(), Some(0));
}

const CONVERSATIONS: usize = 1000;

fn title(number: usize) -> String {
    format!("laburnum{number:04}{}", " and so on".repeat(10 + number % 7))
}

/// Counts the titles in the database file: those of every second conversation, from `first` on.
fn titles_in(data: &Path, first: usize) -> usize {
    let bytes = std::fs::read(data.join("lar.db")).unwrap();
    let is_there = |number: &usize| {
        let start = format!("laburnum{number:04} and");
        bytes.windows(start.len()).any(|at| at == start.as_bytes())
    };
    (first..CONVERSATIONS).step_by(2).filter(is_there).count()
}

#[test]
fn a_server_clears_erased_text_from_database_pages() {
    let data = tempfile::tempdir().unwrap();
    let mut lar = Lar::start_on(data.path());
    let path = |made: (u16, Value)| format!("/lar/v1/conversations/{}", made.1["id"].as_str().unwrap());
    let paths: Vec<String> = (0..CONVERSATIONS).map(|_| path(super::conversation(&lar, "short"))).collect();
    // Rows that grow move to other pages. 77 and 1000 are coprime, so each row is renamed once.
    for step in 0..CONVERSATIONS {
        let number = step * 77 % CONVERSATIONS;
        let renamed = lar.send("PATCH", &paths[number], &json!({ "title": title(number) }));
        assert_eq!(renamed.status, 200, "{}", renamed.body);
    }
    for path in paths.iter().step_by(2) {
        assert_eq!(lar.send("DELETE", &format!("{path}?erase=true"), &Value::Null).status, 204);
    }
    assert_eq!(lar.stop(), Some(0));
    assert!(titles_in(data.path(), 0) > 0, "SQLite left no erased title, so this test shows nothing");
    // A start clears pages without waiting for half a minute after the erasure.
    let mut lar = Lar::start_on(data.path());
    lar.until("the clearing of pages", |_| (titles_in(data.path(), 0) == 0).then_some(()));
    assert_eq!(titles_in(data.path(), 1), CONVERSATIONS / 2);
    assert_eq!(lar.get("/readyz").status, 200);
    assert_eq!(lar.stop(), Some(0));
}
