//! A write-ahead log that is damaged after the server was killed: what was acknowledged is in the log only, so Lar refuses
//! to start, changes nothing and says how to save it. Of the last transaction nobody can say whether a power failure cut
//! it off: Lar starts, keeps the log and says so.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use lar_tests::Lar;
use lar_tests::damage::flip_bit;
use serde_json::json;

use super::damage::count;
use super::lost::lar;

const CONVERSATIONS: usize = 24;
const MEMORIES: usize = 4;
/// Bytes of a log's header and of a frame with its page (SQLite's file format, 4.1).
const HEADER: usize = 32;
const FRAME: usize = 24 + 4096;

/// The database and what is beside it, by name.
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

/// A data directory whose server was killed: most of what it acknowledged is in the log.
fn killed(data: &Path) {
    let mut lar = Lar::start_on(data);
    for number in 0..CONVERSATIONS {
        let made = lar.post("/lar/v1/conversations", &json!({ "title": format!("Talk {number}") }));
        assert_eq!(made.status, 201, "{}", made.body);
        if number % (CONVERSATIONS / MEMORIES) == 0 {
            let content = format!("Barrel {number} holds salted herring.");
            assert_eq!(lar.post("/lar/v1/memories", &json!({ "content": content })).status, 201);
            assert_eq!(lar.post("/lar/v1/keys", &json!({ "name": format!("app {number}") })).status, 201);
        }
    }
    lar.kill();
}

#[test]
fn a_damaged_log_is_refused_and_what_it_holds_is_saved() {
    let at = tempfile::tempdir().unwrap();
    let data = at.path().join("data");
    killed(&data);
    let left = files(&data);
    assert!(left["lar.db"].len() > 40_000, "the tables are in the database");
    let frames = (left["lar.db-wal"].len() - HEADER) / FRAME;
    assert!(frames > CONVERSATIONS, "{frames} frames: the test needs what it wrote in the log");
    let log = data.join("lar.db-wal");
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
        let (ok, said) = lar(&data, &["serve"]);
        assert!(
            !ok && said.contains(&format!("{} is damaged", data.join("lar.db").display())),
            "{what}: {said}"
        );
        assert!(
            said.contains(expected.as_str()) && said.contains("committed transactions are behind that"),
            "{what}: {said}"
        );
        assert!(said.contains("lar backup restore FILE"), "{what}: {said}");
        assert!(said.contains("lar backup salvage FOLDER"), "{what}: {said}");
        let (ok, said) = lar(&data, &["doctor"]);
        assert!(
            !ok && said.contains("BROKEN  database") && said.contains(expected.as_str()),
            "{what}: {said}"
        );
        for arguments in [vec!["backup", "create"], vec!["keys", "list"]] {
            let (ok, said) = lar(&data, &arguments);
            assert!(!ok && said.contains(expected.as_str()), "{what} {arguments:?}: {said}");
        }
        assert!(files(&data) == damaged, "{what}: nothing is changed");

        let to = at.path().join(what.replace(' ', "-"));
        let (ok, said) = lar(&data, &["backup", "salvage", to.to_str().unwrap()]);
        assert!(ok && said.contains("lar conversations import"), "{what}: {said}");
        assert!(files(&data) == damaged, "{what}: salvage changes nothing either");
        let mut saved = Lar::start_on(&to);
        let found = (count(&saved, "conversations"), count(&saved, "memories"));
        assert_eq!(found, (CONVERSATIONS, MEMORIES), "{what}");
        assert_eq!(saved.stop(), Some(0));
    }
    // As it was it starts, and all is there.
    put_back(&data, &left);
    let lar = Lar::start_on(&data);
    assert_eq!((count(&lar, "conversations"), count(&lar, "memories")), (CONVERSATIONS, MEMORIES));
    assert!(!files(&data).keys().any(|name| name.contains("aside")), "a whole log is not kept");
}

#[test]
fn a_bit_of_the_last_transaction_is_logged_and_the_log_is_kept() {
    let at = tempfile::tempdir().unwrap();
    let data = at.path().join("data");
    killed(&data);
    let log = data.join("lar.db-wal");
    flip_bit(&log, fs::metadata(&log).unwrap().len() - 100, 5);
    let damaged = fs::read(&log).unwrap();
    let (_, said) = lar(&data, &["doctor"]);
    assert!(said.contains("note    database") && said.contains("lar.db-wal is incomplete"), "{said}");
    assert_eq!(fs::read(&log).unwrap(), damaged, "doctor changes nothing");
    let (ok, said) = lar(&data, &["migrate"]);
    assert!(ok && said.contains("the last transaction in the write-ahead log is incomplete"), "{said}");
    let copies: Vec<_> =
        files(&data).into_iter().filter(|(name, _)| name.starts_with("lar.db-wal.aside-")).collect();
    assert!(copies.len() == 1 && copies[0].1 == damaged, "{} copies", copies.len());
    let lar = Lar::start_on(&data);
    assert_eq!(lar.get("/readyz").status, 200);
    // The last transaction may be that of a conversation, or a later one of the server's own.
    assert!(count(&lar, "conversations") >= CONVERSATIONS - 1);
}

#[test]
fn a_log_that_is_being_written_is_not_called_damaged() {
    let at = tempfile::tempdir().unwrap();
    let data = at.path().join("data");
    let house = Lar::start_on(&data);
    std::thread::scope(|threads| {
        let writing = threads.spawn(|| {
            for number in 0..150 {
                let made = house.post("/lar/v1/conversations", &json!({ "title": format!("Talk {number}") }));
                assert_eq!(made.status, 201, "{}", made.body);
            }
        });
        while !writing.is_finished() {
            let (_, said) = lar(&data, &["doctor"]);
            assert!(said.contains("ok      database") && said.contains("whole ("), "{said}");
        }
    });
}
