//! Databases that are damaged in many ways: what is damaged is told from what is whole, nothing is called a backup that
//! is none, and what can be read is saved as it was.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{Salvaged, salvage};
use crate::{Check, Error, Inspection, Store, backup, inspect, migrations};

const CONVERSATIONS: usize = 150;
const MESSAGES: usize = 6;
const MEMORIES: usize = 800;

/// Numbers that look random, the same for the same seed (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// A database in use, without a write-ahead log.
fn filled(folder: &Path) -> PathBuf {
    let path = folder.join("lar.db");
    let mut connection = crate::connect(&path).unwrap();
    migrations::run(&mut connection, &path).unwrap();
    connection.execute_batch("BEGIN").unwrap();
    let id = |kind: &str, number: usize| format!("{kind}_{number:032x}");
    let user = id("user", 1);
    connection.execute("INSERT INTO users (id, name, created_at) VALUES (?1, 'owner', 1)", [&user]).unwrap();
    let space = id("space", 1);
    connection.execute("INSERT INTO spaces VALUES (?1, ?2, 'personal', '', 1)", (&space, &user)).unwrap();
    for number in 0..CONVERSATIONS {
        let conversation = id("conv", number);
        let head = id("msg", number * MESSAGES + MESSAGES - 1);
        connection
            .execute(
                "INSERT INTO conversations (id, user_id, title, head_id, version, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, 1, 1, 1)",
                (&conversation, &user, format!("Talk {number}"), head),
            )
            .unwrap();
        for turn in 0..MESSAGES {
            let at = number * MESSAGES + turn;
            let role = if turn % 2 == 0 { "user" } else { "assistant" };
            connection
                .execute(
                    "INSERT INTO messages (id, conversation_id, parent_id, role, content, status, created_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, 'complete', 1)",
                    (
                        id("msg", at),
                        &conversation,
                        (turn > 0).then(|| id("msg", at - 1)),
                        role,
                        format!("{at} says {}", "what it says ".repeat(12)),
                    ),
                )
                .unwrap();
        }
    }
    for number in 0..MEMORIES {
        connection
            .execute(
                "INSERT INTO memories (id, space_id, kind, content, tags, source, pinned, stability, difficulty,
                                       reviewed_at, hash, version, created_at, updated_at)
                 VALUES (?1, ?2, 'fact', ?3, '[]', ?4, 0, 1, 1, 1, ?5, 1, 1, 1)",
                (
                    id("mem", number),
                    &space,
                    format!("{number} holds {}", "what it holds ".repeat(15)),
                    format!("{{\"key\":\"{}\"}}", id("key", 1)),
                    [&(number as u64).to_be_bytes()[..], &[0; 24]].concat(),
                ),
            )
            .unwrap();
        connection
            .execute(
                "INSERT INTO passages (memory_seq, start, length, words) VALUES (?1, 0, 10, x'00')",
                [connection.last_insert_rowid()],
            )
            .unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
    super::repair::search(&connection).unwrap();
    path
}

/// Every text of conversations, messages and memories, by id.
fn texts(database: &Path) -> BTreeMap<String, String> {
    let connection = Connection::open(database).unwrap();
    let mut query = connection
        .prepare("SELECT id, title FROM conversations UNION SELECT id, content FROM messages UNION SELECT id, content FROM memories")
        .unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn saved(salvaged: &Salvaged, table: &str) -> u64 {
    salvaged.tables.iter().find(|found| found.name == table).unwrap().saved
}

/// Flips `count` random bits.
fn flip(path: &Path, seed: u64, count: u64) {
    let mut bytes = fs::read(path).unwrap();
    let mut random = Random(seed);
    for _ in 0..count {
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << random.below(8);
    }
    fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn random_bits_are_found_or_harmless_and_the_rest_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let whole = filled(folder.path());
    let original = texts(&whole);
    assert_eq!(original.len(), CONVERSATIONS * (MESSAGES + 1) + MEMORIES);
    let (mut refused, mut least) = (0, usize::MAX);
    const SEEDS: u64 = 13;
    for seed in 0..SEEDS {
        let at = folder.path().join(format!("damaged-{seed}"));
        fs::create_dir(&at).unwrap();
        let damaged = at.join("lar.db");
        fs::copy(&whole, &damaged).unwrap();
        flip(&damaged, seed, 60 + seed * 20);
        let before = fs::read(&damaged).unwrap();
        let found = inspect(&damaged);
        assert_eq!(fs::read(&damaged).unwrap(), before, "seed {seed}: looking changes nothing");
        // The writer of a store that was dropped may still be at its file.
        let opened = at.join("opened.db");
        fs::copy(&damaged, &opened).unwrap();
        match (&found, Store::open(&opened)) {
            // What only the full check sees does not keep it from starting; then no backup is made of it.
            (Inspection::Checked { check, .. }, Ok(store)) => {
                let backup = at.join("lar.tar");
                match store.backup(at.clone(), backup.clone()).await {
                    Ok(_) => drop(backup::verify(&backup).unwrap()),
                    Err(error) => {
                        assert!(matches!(error, Error::Corrupt { .. }), "seed {seed}: {error}");
                        assert!(matches!(check, Check::Damaged(_)), "seed {seed}");
                        assert!(!backup.exists(), "seed {seed}");
                        assert!(store.ping().await.is_err(), "seed {seed}: it knows from now on");
                        refused += 1;
                    }
                }
            }
            (_, Err(Error::Corrupt { path, .. })) => {
                assert_eq!(path.as_ref(), Some(&opened), "seed {seed}");
                refused += 1;
            }
            // Its number of the schema was hit.
            (Inspection::Newer { .. }, Err(Error::Newer { .. })) => refused += 1,
            (found, opened) => panic!("seed {seed}: {found:?}, {opened:?}"),
        }
        let to = at.join("saved.db");
        match salvage(&damaged, &to) {
            Ok(salvaged) => {
                let texts = texts(&to);
                let same = texts.iter().filter(|(id, text)| original.get(*id) == Some(text)).count();
                least = least.min(same);
                let rows: u64 = ["conversations", "messages", "memories"]
                    .map(|table| saved(&salvaged, table))
                    .iter()
                    .sum();
                assert!(
                    texts.len() as u64 + salvaged.unlinked >= rows,
                    "seed {seed}: {rows} of {}",
                    texts.len()
                );
            }
            Err(error) => assert!(matches!(error, Error::Newer { .. }), "seed {seed}: {error}"),
        }
    }
    assert!(refused >= SEEDS / 2, "only {refused} of {SEEDS} were damaged");
    assert!(least * 3 > original.len(), "only {least} of {} texts were saved", original.len());
}

#[test]
fn a_cut_file_gives_what_is_left_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let original = texts(&path);
    let bytes = fs::read(&path).unwrap();
    for part in [2, 4] {
        fs::write(&path, &bytes[..bytes.len() / part]).unwrap();
        let _ = fs::remove_file(super::beside(&path, "-wal"));
        assert!(matches!(Store::open(&path), Err(Error::Corrupt { .. })));
        assert!(matches!(inspect(&path), Inspection::Checked { check: Check::Damaged(_), .. }));
        let to = folder.path().join(format!("saved-{part}.db"));
        let salvaged = salvage(&path, &to).unwrap();
        let texts = texts(&to);
        let same = texts.iter().filter(|(id, text)| original.get(*id) == Some(text)).count();
        assert!(same > original.len() / (part * 4), "{same} of {}: {salvaged:?}", original.len());
    }
}

#[test]
fn a_lost_header_or_first_page_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let original = texts(&path);
    let bytes = fs::read(&path).unwrap();
    for lost in [16, 100, 4096] {
        let mut damaged = bytes.clone();
        damaged[..lost].fill(0);
        fs::write(&path, &damaged).unwrap();
        assert!(matches!(Store::open(&path), Err(Error::Corrupt { .. })), "{lost}");
        assert!(matches!(inspect(&path), Inspection::Checked { check: Check::Damaged(_), .. }), "{lost}");
        let to = folder.path().join(format!("saved-{lost}.db"));
        salvage(&path, &to).unwrap();
        assert_eq!(texts(&to), original, "{lost}");
    }
}

#[test]
fn a_bad_log_is_passed_over_and_a_good_one_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0").unwrap();
    writer.execute("UPDATE conversations SET title = 'In the log'", []).unwrap();
    let log = fs::read(super::beside(&path, "-wal")).unwrap();
    let at = folder.path().join("copy");
    fs::create_dir(&at).unwrap();
    let copy = at.join("lar.db");
    fs::copy(&path, &copy).unwrap();
    let title = |log: &[u8], to: &str| {
        fs::write(super::beside(&copy, "-wal"), log).unwrap();
        let to = at.join(to);
        salvage(&copy, &to).unwrap();
        let saved = Connection::open(to).unwrap();
        saved.query_row("SELECT min(title) FROM conversations", [], |row| row.get::<_, String>(0)).unwrap()
    };
    assert_eq!(title(&log, "good.db"), "In the log");
    let mut torn = log;
    torn[40] ^= 1;
    assert_eq!(title(&torn, "torn.db"), "Talk 0");
    assert_eq!(title(&[7; 8192], "noise.db"), "Talk 0");
}

#[test]
fn rows_that_lost_what_they_refer_to_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "PRAGMA foreign_keys = OFF;
             DELETE FROM users; DELETE FROM spaces;
             DELETE FROM conversations WHERE title = 'Talk 3';
             DELETE FROM messages WHERE content LIKE '7 says%';",
        )
        .unwrap();
    drop(connection);
    let to = folder.path().join("saved.db");
    let salvaged = salvage(&path, &to).unwrap();
    assert_eq!((saved(&salvaged, "messages"), saved(&salvaged, "memories")), (899, 800));
    let saved = Connection::open(&to).unwrap();
    let count = |sql: &str| saved.query_row(sql, [], |row| row.get::<_, u64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM messages"), 899);
    assert_eq!(count("SELECT count(*) FROM memories JOIN spaces ON spaces.id = space_id"), 800);
    assert_eq!(count("SELECT count(*) FROM conversations WHERE title = 'recovered'"), 1);
    assert_eq!(count("SELECT count(*) FROM conversations JOIN users ON users.id = user_id"), 150);
    assert_eq!(count("SELECT count(*) FROM messages WHERE content LIKE '8 says%' AND parent_id IS NULL"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_passes_over_what_it_cannot_read_and_counts_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let connection = Connection::open(&path).unwrap();
    connection.execute("UPDATE memories SET tags = 'no JSON' WHERE seq IN (3, 4, 700)", []).unwrap();
    drop(connection);
    let store = Store::open(&path).unwrap();
    let space = store.space_list(store.owner().await.unwrap()).await.unwrap()[0].id;
    let (mut read, mut unreadable, mut after) = (0, 0, 0);
    loop {
        let page = store.memories_export(space, after, 200).await.unwrap();
        let Some(last) = page.last else { break };
        (read, unreadable, after) = (read + page.memories.len(), unreadable + page.unreadable, last);
    }
    assert_eq!((read, unreadable), (797, 3));
}
