//! A damaged write-ahead log of a killed server. Acknowledged changes are only in the log, so Lar refuses to
//! start, changes nothing and says how to salvage them. Damage to the last transaction may come from a power
//! failure: then Lar starts, keeps a copy of the log and reports it, even on a full disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use lar_tests::damage::{flip_bit, fold_log};
use lar_tests::offline::lar;
use lar_tests::{Disk, Lar, StopOnDrop};
use serde_json::{Value, json};

use super::damage::count;

pub(super) const CONVERSATIONS: usize = 24;
pub(super) const MEMORIES: usize = 4;
/// The maximum of tries to write the test data: the log may be emptied before the server is killed.
const TRIES_MAX: usize = 5;
/// Bytes of a log's header and of a frame with its page (SQLite's file format, 4.1).
const HEADER: usize = 32;
const FRAME: usize = 24 + 4096;

/// The database and its files beside it, by name.
fn files(data: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(data).unwrap().map(Result::unwrap);
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .filter(|(name, _)| name.starts_with("lar.db"))
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect()
}

fn put_back(data: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for (name, bytes) in files {
        fs::write(data.join(name), bytes).unwrap();
    }
}

/// The number of frames of a log.
fn frames(log: &Path) -> usize {
    let bytes = fs::metadata(log).map_or(0, |about| about.len());
    usize::try_from(bytes).unwrap().saturating_sub(HEADER) / FRAME
}

/// Saves conversations, memories and keys.
fn write_some(lar: &Lar) {
    for number in 0..CONVERSATIONS {
        let made = lar.post("/lar/v1/conversations", &json!({ "title": format!("Talk {number}") }));
        assert_eq!(made.status, 201, "{}", made.body);
        if number % (CONVERSATIONS / MEMORIES) == 0 {
            let content = format!("Barrel {number} holds salted herring.");
            assert_eq!(lar.post("/lar/v1/memories", &json!({ "content": content })).status, 201);
            assert_eq!(lar.post("/lar/v1/keys", &json!({ "name": format!("app {number}") })).status, 201);
        }
    }
}

/// Creates a data directory whose server was killed with most acknowledged changes only in the log. A minute
/// after the first change Lar moves the log into the database: if a slow machine took that long, everything
/// is done again.
pub(super) fn killed(data: &Path) {
    for _ in 0..TRIES_MAX {
        let mut lar = Lar::start_on(data);
        write_some(&lar);
        lar.kill();
        if frames(&data.join("lar.db-wal")) > CONVERSATIONS {
            return;
        }
        fs::remove_dir_all(data).unwrap();
    }
    panic!("this machine takes longer than a minute for {CONVERSATIONS} conversations");
}

#[test]
fn a_damaged_log_is_refused_and_its_transactions_are_salvaged() {
    let at = tempfile::tempdir().unwrap();
    let data = at.path().join("data");
    killed(&data);
    let left = files(&data);
    assert!(left["lar.db"].len() > 40_000, "the tables are in the database");
    let log = data.join("lar.db-wal");
    let frames = frames(&log);
    let frame = |number: usize| HEADER + number * FRAME;
    let page_of = |number: usize| &left["lar.db-wal"][frame(number)..frame(number) + 4];
    // A frame whose page is written again later: then salvage has the newest version of every page.
    let superseded = |from: usize| {
        let is_superseded =
            |number: &usize| (number + 1..frames).any(|later| page_of(later) == page_of(*number));
        (from..frames).find(is_superseded).expect("pages are written again")
    };
    let (early, middle, late) = (superseded(2), superseded(frames / 2), superseded(frames * 2 / 3));
    let at_frame =
        |number: usize| format!("its write-ahead log is damaged at frame {} of {frames}", number + 1);
    let damages = [
        ("header salt", 16, "the header of its write-ahead log is damaged".to_owned()),
        ("early page", frame(early) + 24 + 1000, at_frame(early)),
        ("frame header", frame(middle) + 3, at_frame(middle)),
        ("late checksum", frame(late) + 16, at_frame(late)),
    ];
    for (what, place, expected) in &damages {
        put_back(&data, &left);
        flip_bit(&log, *place as u64, 2);
        let damaged = files(&data);
        let (ok, output) = lar(&data, &["serve"]);
        assert!(
            !ok && output.contains(&format!("{} is damaged", data.join("lar.db").display())),
            "{what}: {output}"
        );
        assert!(
            output.contains(expected.as_str()) && output.contains("committed transactions follow the damage"),
            "{what}: {output}"
        );
        assert!(output.contains("lar backup restore FILE"), "{what}: {output}");
        assert!(output.contains("lar backup salvage FOLDER"), "{what}: {output}");
        let (ok, output) = lar(&data, &["doctor"]);
        assert!(
            !ok && output.contains("BROKEN  database") && output.contains(expected.as_str()),
            "{what}: {output}"
        );
        for arguments in [vec!["backup", "create"], vec!["keys", "list"]] {
            let (ok, output) = lar(&data, &arguments);
            assert!(!ok && output.contains(expected.as_str()), "{what} {arguments:?}: {output}");
        }
        assert!(files(&data) == damaged, "{what}: no file is changed");

        let to = at.path().join(what.replace(' ', "-"));
        let (ok, output) = lar(&data, &["backup", "salvage", to.to_str().unwrap()]);
        assert!(ok && output.contains("lar conversations import"), "{what}: {output}");
        assert!(files(&data) == damaged, "{what}: salvage changes nothing either");
        let mut saved = Lar::start_on(&to);
        let found = (count(&saved, "conversations"), count(&saved, "memories"));
        assert_eq!(found, (CONVERSATIONS, MEMORIES), "{what}");
        assert_eq!(saved.stop(), Some(0));
    }
    // With the undamaged files the server starts, and all data is there.
    put_back(&data, &left);
    let lar = Lar::start_on(&data);
    assert_eq!((count(&lar, "conversations"), count(&lar, "memories")), (CONVERSATIONS, MEMORIES));
    assert!(!files(&data).keys().any(|name| name.contains("aside")), "an undamaged log is not copied");
}

#[test]
fn damage_to_the_last_transaction_is_logged_and_the_log_is_kept() {
    let at = tempfile::tempdir().unwrap();
    let data = at.path().join("data");
    killed(&data);
    let log = data.join("lar.db-wal");
    flip_bit(&log, fs::metadata(&log).unwrap().len() - 100, 5);
    let damaged = fs::read(&log).unwrap();
    let (_, output) = lar(&data, &["doctor"]);
    assert!(output.contains("note    database") && output.contains("lar.db-wal is incomplete"), "{output}");
    assert_eq!(fs::read(&log).unwrap(), damaged, "doctor changes nothing");
    let (ok, output) = lar(&data, &["migrate"]);
    assert!(ok && output.contains("the last transaction in the write-ahead log is incomplete"), "{output}");
    let copies: Vec<_> =
        files(&data).into_iter().filter(|(name, _)| name.starts_with("lar.db-wal.aside-")).collect();
    assert!(copies.len() == 1 && copies[0].1 == damaged, "{} copies", copies.len());
    // The copy stays until the next erasure, because it may contain the erased data.
    let (_, output) = lar(&data, &["doctor"]);
    assert!(output.contains("note    log copies") && output.contains(copies[0].0.as_str()), "{output}");
    let lar_again = Lar::start_on(&data);
    assert_eq!(lar_again.get("/readyz").status, 200);
    // The last transaction may be that of a conversation, or a later one of the server itself.
    assert!(count(&lar_again, "conversations") >= CONVERSATIONS - 1);
    let made =
        lar_again.post("/lar/v1/memories", &json!({ "content": "The spare key is under the blue pot." }));
    let made = made.json();
    let id = made["memory"]["id"].as_str().or(made["id"].as_str()).unwrap();
    let erased = lar_again.send("DELETE", &format!("/lar/v1/memories/{id}?erase=true"), &Value::Null);
    assert!(matches!(erased.status, 200 | 204), "{}", erased.body);
    assert!(!files(&data).keys().any(|name| name.contains("aside")), "the copy is gone");
    let (_, output) = lar(&data, &["doctor"]);
    assert!(!output.contains("log copies"), "{output}");
}

/// After a power failure on a full disk, Lar starts. It keeps a copy of the log if the reserve has enough
/// space for it, and no copy if that would take the space that the start needs.
#[test]
fn a_server_starts_with_an_incomplete_log_on_a_full_disk() {
    let disk = Disk::new("size=100m");
    let mut server = disk.start();
    let (log, reserve) = (disk.outside().join("lar.db-wal"), disk.outside().join("lar.reserve"));
    // More conversations if the log was emptied in between.
    let _ = (0..TRIES_MAX * CONVERSATIONS)
        .find(|number| {
            assert_eq!(super::conversation(&server, &format!("Talk {number}")).0, 201);
            *number >= CONVERSATIONS && frames(&log) > CONVERSATIONS
        })
        .expect("the log contains the conversations");
    server.kill();
    let copies = || files(&disk.outside()).into_iter().filter(|(name, _)| name.contains("aside"));
    let damage = || {
        flip_bit(&log, fs::metadata(&log).unwrap().len() - 100, 5);
        fs::read(&log).unwrap()
    };
    let open = || {
        let opened = disk.command(&["migrate"]).env("LAR_LOG", "error").output().unwrap();
        let output = String::from_utf8_lossy(&[opened.stdout, opened.stderr].concat()).into_owned();
        assert!(opened.status.success(), "{output}");
        output
    };
    assert!(reserve.metadata().unwrap().len() > 8 << 20, "space is reserved");
    let damaged = damage();
    let left = files(&disk.outside());
    let filler = disk.fill();
    let output = open();
    assert!(output.contains("A copy of the log is kept"), "{output}");
    assert_eq!(copies().map(|(_, copy)| copy).collect::<Vec<_>>(), [damaged]);
    assert!(!reserve.exists(), "the reserve made room for the copy");

    // Half a megabyte more than the copy takes.
    for (name, _) in copies() {
        fs::remove_file(disk.outside().join(name)).unwrap();
    }
    put_back(&disk.outside(), &left);
    let room = fs::metadata(&log).unwrap().len() + (512 << 10);
    super::fill_up(&filler);
    let filler = fs::File::options().write(true).open(filler).unwrap();
    filler.set_len(filler.metadata().unwrap().len() - room).unwrap();
    let output = open();
    assert!(output.contains("No copy of the log could be kept: its disk is full"), "{output}");
    assert_eq!(copies().count(), 0);
    let server = disk.start();
    assert_eq!(server.get("/readyz").status, 200);
    assert!(count(&server, "conversations") >= CONVERSATIONS - 1);
}

#[test]
fn a_log_that_is_being_written_is_not_called_damaged() {
    /// The runs of `lar doctor` that must overlap a write, and the maximum of runs.
    const ROUNDS: [usize; 2] = [8, 100];
    let at = tempfile::tempdir().unwrap();
    let data = at.path().join("data");
    let server = Lar::start_on(&data);
    let (written, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !is_over.load(Relaxed) {
                let title = format!("Talk {}", written.load(Relaxed));
                let made = server.post("/lar/v1/conversations", &json!({ "title": title }));
                assert_eq!(made.status, 201, "{}", made.body);
                written.fetch_add(1, Relaxed);
            }
        });
        let _stop = StopOnDrop(&is_over);
        let mut beside_writes = 0;
        for _ in 0..ROUNDS[1] {
            let before = written.load(Relaxed);
            let (_, output) = lar(&data, &["doctor"]);
            assert!(output.contains("ok      database") && output.contains("intact ("), "{output}");
            beside_writes += usize::from(written.load(Relaxed) > before);
            if beside_writes == ROUNDS[0] {
                return;
            }
        }
        panic!("only {beside_writes} runs overlapped a write");
    });
}

/// A log that the disk cannot read: reading `/proc/self/mem` at offset 0 fails, as reading a bad sector does.
#[test]
fn the_salvage_command_continues_without_an_unreadable_log() {
    let at = tempfile::tempdir().unwrap();
    let data = at.path().join("data");
    let mut server = Lar::start_on(&data);
    write_some(&server);
    assert_eq!(server.stop(), Some(0));
    fold_log(&data);
    std::os::unix::fs::symlink("/proc/self/mem", data.join("lar.db-wal")).unwrap();
    let (ok, output) = lar(&data, &["serve"]);
    assert!(!ok && output.contains("lar.db-wal is a symbolic link to /proc/self/mem"), "{output}");
    let to = at.path().join("saved");
    let (ok, output) = lar(&data, &["backup", "salvage", to.to_str().unwrap()]);
    assert!(ok && output.contains("The write-ahead log cannot be read (Input/output error"), "{output}");
    let saved = Lar::start_on(&to);
    assert_eq!((count(&saved, "conversations"), count(&saved, "memories")), (CONVERSATIONS, MEMORIES));
}
