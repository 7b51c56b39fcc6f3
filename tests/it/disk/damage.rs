//! A database that its disk damaged: it is refused at the start with the next step, reported while a server
//! runs, and never backed up. Readable rows are salvaged, and another server can import them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use lar_tests::Lar;
use lar_tests::damage::{flip_bits, fold_log};
use lar_tests::offline::lar;
use serde_json::{Value, json};

use super::pages::{PAGE, Pages};

const CONVERSATIONS: usize = 120;
const MEMORIES: usize = 30;

/// Creates a data directory with conversations and memories whose server was stopped. Returns the path of its
/// backup.
fn used(data: &Path) -> PathBuf {
    let mut server = Lar::start_on(data);
    let lines: String = (0..CONVERSATIONS)
        .map(|number| {
            let id = |kind: &str, at: usize| format!("{kind}_{at:032x}");
            let messages: Vec<Value> = (0..4)
                .map(|turn| {
                    let at = number * 4 + turn;
                    json!({
                        "id": id("msg", at), "parent": (turn > 0).then(|| id("msg", at - 1)),
                        "role": if turn % 2 == 0 { "user" } else { "assistant" }, "status": "complete",
                        "content": format!("{at}: {}", "words upon words ".repeat(20)),
                        "created_at": "2026-11-21T10:00:00.000Z",
                    })
                })
                .collect();
            let line = json!({
                "id": id("conv", number), "title": format!("Talk {number}"), "version": 1, "messages": messages,
                "head": id("msg", number * 4 + 3), "temporary": false,
                "created_at": "2026-11-21T10:00:00.000Z", "updated_at": "2026-11-21T10:00:00.000Z",
            });
            format!("{line}\n")
        })
        .collect();
    let head = server.head("POST", "/lar/v1/conversations/import", lines.len());
    let head = head.replace("application/json", "application/x-ndjson");
    let taken = server.raw(&head, lines.as_bytes());
    assert_eq!(
        (taken.status, taken.json()["imported"].as_u64()),
        (200, Some(CONVERSATIONS as u64)),
        "{}",
        taken.body
    );
    for number in 0..MEMORIES {
        let content = format!("Barrel {number} holds salted herring.");
        assert_eq!(server.post("/lar/v1/memories", &json!({ "content": content })).status, 201);
    }
    let backup = server.post("/lar/v1/backups", &Value::Null).json()["path"].as_str().unwrap().into();
    assert_eq!(server.stop(), Some(0));
    fold_log(data);
    backup
}

/// The number of conversations or memories: the lines of an export, without those for unreadable rows.
pub(super) fn count(server: &Lar, export: &str) -> usize {
    let answer = server.get(&format!("/lar/v1/{export}/export"));
    assert_eq!(answer.status, 200);
    answer.body.lines().filter(|line| !line.starts_with("{\"unreadable\"")).count()
}

#[test]
fn a_damaged_database_is_refused_and_readable_rows_are_salvaged() {
    let at = tempfile::tempdir().unwrap();
    let data = at.path().join("data");
    let backup = used(&data);
    let database = data.join("lar.db");
    let whole = fs::read(&database).unwrap();
    let pages = Pages(&whole);
    let none = BTreeSet::new();
    let rows = |lost: &BTreeSet<usize>| ["conversations", "memories"].map(|table| pages.rows(table, lost));
    // Rows on interior pages of `WITHOUT ROWID` tables are not counted.
    assert!(rows(&none)[0] > CONVERSATIONS - 10 && rows(&none)[1] == MEMORIES, "{:?}", rows(&none));
    let half = whole.len() / 2;
    let noisy = [pages.count() / 3 + 1, pages.count() / 2 + 1, pages.count() - 1];
    type Damage<'a> = (&'a str, [usize; 2], Box<dyn Fn() + 'a>);
    // Each with the conversations and memories that must be left, by the pages that they are on. Random bits
    // may hit any page: for them it is a minimum that a broken salvage did not reach.
    let damages: [Damage<'_>; 4] = [
        ("bits", [CONVERSATIONS / 4, 1], Box::new(|| flip_bits(&database, 7, 300, 0))),
        (
            "cut in half",
            rows(&(half / PAGE + 1..=pages.count()).collect()),
            Box::new(|| fs::write(&database, &whole[..half]).unwrap()),
        ),
        (
            "zeroed header",
            [CONVERSATIONS, MEMORIES],
            Box::new(|| {
                let mut bytes = whole.clone();
                bytes[..100].fill(0);
                fs::write(&database, bytes).unwrap();
            }),
        ),
        (
            "pages of noise",
            rows(&noisy.into()),
            Box::new(|| {
                let mut bytes = whole.clone();
                for page in noisy {
                    bytes[(page - 1) * PAGE..page * PAGE].fill(0xa7);
                }
                fs::write(&database, bytes).unwrap();
            }),
        ),
    ];
    for (what, least, damage) in &damages {
        damage();
        let damaged = fs::read(&database).unwrap();
        let (ok, output) = lar(&data, &["serve"]);
        assert!(!ok && output.contains(&format!("{} is damaged", database.display())), "{what}: {output}");
        assert!(output.contains(&format!("lar backup restore {}", backup.display())), "{what}: {output}");
        assert!(output.contains("lar backup salvage FOLDER"), "{what}: {output}");
        let (ok, output) = lar(&data, &["doctor"]);
        assert!(!ok && output.contains("BROKEN  database"), "{what}: {output}");
        let (ok, output) = lar(&data, &["backup", "create"]);
        assert!(!ok && output.contains("is damaged"), "{what}: {output}");
        assert_eq!(fs::read(&database).unwrap(), damaged, "{what}: no file is changed");

        let to = at.path().join(what.replace(' ', "-"));
        let (ok, output) = lar(&data, &["backup", "salvage", to.to_str().unwrap()]);
        assert!(ok && output.contains("lar conversations import"), "{what}: {output}");
        let mut server = Lar::start_on(&to);
        let saved = (count(&server, "conversations"), count(&server, "memories"));
        assert!(saved.0 >= least[0] && saved.1 >= least[1], "{what}: {saved:?} of {least:?}");
        assert_eq!(server.stop(), Some(0));
        if *what == "bits" {
            let mut other = Lar::start();
            let import = |file: &str, what: &str| {
                let done = other.cli(&[what, "import", to.join(file).to_str().unwrap()]);
                assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            };
            import("conversations-owner.ndjson", "conversations");
            import("memories-owner.ndjson", "memory");
            assert_eq!((count(&other, "conversations"), count(&other, "memories")), saved);
            assert_eq!(other.stop(), Some(0));
        }
    }
    // The backup that the error names restores everything.
    let (ok, output) = lar(&data, &["backup", "restore", backup.to_str().unwrap()]);
    assert!(ok, "{output}");
    let server = Lar::start_on(&data);
    assert_eq!((count(&server, "conversations"), count(&server, "memories")), (CONVERSATIONS, MEMORIES));
}

#[test]
fn damage_found_while_serving_is_reported_and_never_backed_up() {
    let at = tempfile::tempdir().unwrap();
    let data = at.path().join("data");
    let backup = used(&data);
    let good = fs::read(&backup).unwrap();
    let server = Lar::start_on(&data);
    assert_eq!(server.get("/readyz").status, 200);
    flip_bits(&data.join("lar.db"), 11, 300, 4096);
    let made = server.post("/lar/v1/backups", &Value::Null);
    assert_eq!((made.status, made.json()["code"].as_str()), (503, Some("STORE_DAMAGED")), "{}", made.body);
    let ready = server.get("/readyz");
    assert_eq!((ready.status, ready.json()["code"].as_str()), (503, Some("STORE_DAMAGED")), "{}", ready.body);
    let left: Vec<PathBuf> =
        fs::read_dir(data.join("backups")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, std::slice::from_ref(&backup));
    assert_eq!(fs::read(&backup).unwrap(), good);
    let (_, output) = lar(&data, &["doctor"]);
    assert!(output.contains("BROKEN  database"), "{output}");
    assert_eq!(server.get("/healthz").status, 200, "the server is alive");
}
