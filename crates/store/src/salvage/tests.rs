//! Databases that are damaged in many ways. Damage is detected and never gets into a backup, and the readable
//! part is saved unchanged.

mod crafted;
mod definitions;
mod hidden;
mod leftovers;
mod schemas;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{SalvageReport, salvage};
use crate::{Check, Error, Inspection, Store, backup, inspect, migrations};

const CONVERSATIONS: usize = 150;
const MESSAGES: usize = 6;
const MEMORIES: usize = 800;
/// SQLite's default page size.
const PAGE_BYTES: usize = 4096;
/// The tables whose rows are counted by the pages that have them.
const TABLES: [&str; 4] = ["conversations", "messages", "memories", "passages"];

/// Pseudorandom numbers, the same for the same seed (SplitMix64).
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

/// Creates a database with content, without a write-ahead log.
fn filled(folder: &Path) -> PathBuf {
    let path = folder.join("lar.db");
    let mut connection = crate::connection::connect(&path).unwrap();
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
    crate::conversation_search::rebuild(&connection).unwrap();
    path
}

/// Returns every text of conversations, messages and memories, by id.
fn texts(database: &Path) -> BTreeMap<String, String> {
    let connection = Connection::open(database).unwrap();
    let mut query = connection
        .prepare("SELECT id, title FROM conversations UNION SELECT id, content FROM messages UNION SELECT id, content FROM memories")
        .unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn saved(salvaged: &SalvageReport, table: &str) -> u64 {
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

/// Counts the rows on the reachable leaf pages of a table. A salvage must find them.
fn reachable(whole: &Connection, table: &str, lost: &BTreeSet<usize>) -> u64 {
    let mut query =
        whole.prepare("SELECT pageno, path, pagetype = 'leaf', ncell FROM dbstat WHERE name = ?1").unwrap();
    let rows = query.query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)));
    let pages: Vec<(usize, String, bool, u64)> = rows.unwrap().collect::<Result<_, _>>().unwrap();
    let gone: Vec<&String> =
        pages.iter().filter(|(page, ..)| lost.contains(page)).map(|(_, path, ..)| path).collect();
    let is_there = |path: &str| !gone.iter().any(|gone| path.starts_with(gone.as_str()));
    pages.iter().filter(|(_, path, is_leaf, _)| *is_leaf && is_there(path)).map(|(.., rows)| rows).sum()
}

/// Overwrites pages with noise.
fn spoil(path: &Path, pages: &BTreeSet<usize>) {
    let mut bytes = fs::read(path).unwrap();
    for page in pages {
        bytes[(page - 1) * PAGE_BYTES..page * PAGE_BYTES].fill(0xa7);
    }
    fs::write(path, bytes).unwrap();
}

fn numbers(connection: &Connection, sql: &str) -> BTreeSet<usize> {
    let mut query = connection.prepare(sql).unwrap();
    let rows = query.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[test]
fn pages_of_noise_cost_their_own_rows_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let whole = filled(folder.path());
    let connection = Connection::open(&whole).unwrap();
    // A table that is no longer in the schema is not salvaged.
    let schema = numbers(&connection, "SELECT pageno FROM dbstat WHERE name = 'sqlite_schema'");
    let count = fs::metadata(&whole).unwrap().len() / PAGE_BYTES as u64;
    let mut unreadable = 0;
    for seed in 0..15 {
        let mut random = Random(seed);
        let noisy = [1, 3, 10, 40, 100][seed as usize % 5];
        let mut lost: BTreeSet<usize> = (0..noisy).map(|_| random.below(count) as usize + 1).collect();
        lost.retain(|page| !schema.contains(page));
        let damaged = folder.path().join("damaged.db");
        fs::copy(&whole, &damaged).unwrap();
        spoil(&damaged, &lost);
        let to = folder.path().join(format!("saved-{seed}.db"));
        let salvaged = salvage(&damaged, &to).unwrap();
        for table in TABLES {
            let (saved, least) = (saved(&salvaged, table), reachable(&connection, table, &lost));
            // Rows without rowids are found only from both ends and through indexes. If all of these are
            // lost, the report says so.
            let is_named = salvaged.tables.iter().any(|about| about.name == table && about.is_unreadable);
            unreadable += usize::from(is_named && least > 0);
            assert!(saved >= least || is_named, "seed {seed}: {saved} of {least} {table}: {lost:?}");
        }
    }
    assert!(unreadable <= 1, "{unreadable} tables were unreadable");
}

/// The walks read nothing, and the only index that names rows lost its first page.
#[test]
fn the_row_before_the_first_one_that_an_index_names_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let connection = Connection::open(&path).unwrap();
    let pages = |name: &str, rest: &str| {
        numbers(&connection, &format!("SELECT pageno FROM dbstat WHERE name = '{name}' {rest}"))
    };
    let mut lost = pages("sqlite_autoindex_memories_1", "");
    for (name, order) in [("memories", "ASC"), ("memories", "DESC"), ("memories_by_space", "ASC")] {
        lost.extend(pages(name, &format!("AND pagetype = 'leaf' ORDER BY path {order} LIMIT 1")));
    }
    let least = reachable(&connection, "memories", &lost);
    assert!(least > 700, "{least}");
    spoil(&path, &lost);
    let salvaged = salvage(&path, &folder.path().join("saved.db")).unwrap();
    assert_eq!(saved(&salvaged, "memories"), least);
}

/// Decodes the varint at `at`; returns its value and its end.
fn varint(bytes: &[u8], at: usize) -> (u64, usize) {
    let end = at + bytes[at..].iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    (bytes[at..end].iter().fold(0, |sum, byte| sum << 7 | u64::from(byte & 0x7f)), end)
}

/// Returns the offset of a rowid in a file, given the leaves of its table (SQLite's file format, 1.6).
fn offset_of_rowid(bytes: &[u8], leaves: &BTreeSet<usize>, number: u64) -> usize {
    let short = |at: usize| usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
    let numbers = leaves.iter().flat_map(|page| {
        let start = (page - 1) * PAGE_BYTES;
        let cells = (0..short(start + 3)).map(move |cell| start + short(start + 8 + 2 * cell));
        cells.map(|cell| varint(bytes, cell).1)
    });
    numbers.into_iter().find(|at| varint(bytes, *at).0 == number).unwrap()
}

#[test]
fn a_flipped_bit_in_a_rowid_costs_one_row_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let original = texts(&path);
    let leaves = numbers(
        &Connection::open(&path).unwrap(),
        "SELECT pageno FROM dbstat WHERE name = 'memories' AND pagetype = 'leaf'",
    );
    let bytes = fs::read(&path).unwrap();
    // 300 becomes 4396, which is above all rowids; 428 and 301, which exist; and 172, which is below.
    let offset = offset_of_rowid(&bytes, &leaves, 300);
    for (at, bit, becomes) in [(0, 0x20, 4396), (0, 0x01, 428), (1, 0x01, 301), (0, 0x03, 172)] {
        let mut damaged = bytes.clone();
        damaged[offset + at] ^= bit;
        assert_eq!(varint(&damaged, offset).0, becomes);
        fs::write(&path, damaged).unwrap();
        let to = folder.path().join(format!("saved-{becomes}.db"));
        salvage(&path, &to).unwrap();
        let texts = texts(&to);
        let same = texts.iter().filter(|(id, text)| original.get(*id) == Some(text)).count();
        assert!(same >= original.len() - 1, "{becomes}: {same} of {}", original.len());
    }
}

/// The last rows are lost, together with the record of how many there were.
#[test]
fn a_search_ends_although_a_damaged_number_makes_the_gap_wide() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let connection = Connection::open(&path).unwrap();
    connection.execute("UPDATE sqlite_sequence SET seq = 1 << 60 WHERE name = 'memories'", []).unwrap();
    let mut lost = numbers(
        &connection,
        "SELECT rootpage FROM sqlite_schema WHERE tbl_name = 'memories' AND type = 'index'",
    );
    let leaf = "SELECT pageno FROM dbstat WHERE name = 'memories' AND pagetype = 'leaf' ORDER BY path";
    lost.extend(numbers(&connection, &format!("{leaf} DESC LIMIT 1")));
    lost.extend(numbers(&connection, &format!("{leaf} LIMIT 1 OFFSET 40")));
    let (least, all) =
        (reachable(&connection, "memories", &lost), reachable(&connection, "memories", &BTreeSet::new()));
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(connection);
    spoil(&path, &lost);
    let salvaged = salvage(&path, &folder.path().join("saved.db")).unwrap();
    let table = salvaged.tables.iter().find(|table| table.name == "memories").unwrap();
    assert_eq!((table.saved, all), (least, MEMORIES as u64));
    assert!(table.unsearched > 0, "the report says that the search did not end");
    let others = salvaged.tables.iter().filter(|other| other.name != "memories");
    assert_eq!(others.map(|table| table.unsearched).sum::<u64>(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn flipped_bits_are_found_or_harmless_and_the_rest_is_saved() {
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
        assert_eq!(fs::read(&damaged).unwrap(), before, "seed {seed}: inspecting changes nothing");
        // The writer of a dropped store may still use its file.
        let opened = at.join("opened.db");
        fs::copy(&damaged, &opened).unwrap();
        match (&found, Store::open(&opened)) {
            // Damage that only the full check finds does not prevent a start, but it prevents a backup.
            (Inspection::Checked { check, .. }, Ok(store)) => {
                let backup = at.join("lar.tar");
                match store.backup(at.clone(), backup.clone()).await {
                    Ok(_) => drop(backup::verify(&backup).unwrap()),
                    Err(error) => {
                        assert!(matches!(error, Error::Corrupt { .. }), "seed {seed}: {error}");
                        assert!(matches!(check, Check::Damaged(_)), "seed {seed}");
                        assert!(!backup.exists(), "seed {seed}");
                        assert!(store.ping().await.is_err(), "seed {seed}: the store knows of the damage");
                        refused += 1;
                    }
                }
            }
            (_, Err(Error::Corrupt { path, .. })) => {
                assert_eq!(path.as_ref(), Some(&opened), "seed {seed}");
                refused += 1;
            }
            // The damage hit its schema number.
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
            Err(error) => assert!(matches!(error, Error::Newer { .. }), "seed {seed}: {error:?}"),
        }
    }
    assert!(refused >= SEEDS / 2, "only {refused} of {SEEDS} were damaged");
    assert!(least * 3 > original.len(), "only {least} of {} texts were saved", original.len());
}

#[test]
fn the_rest_of_a_truncated_file_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let original = texts(&path);
    let bytes = fs::read(&path).unwrap();
    let whole = folder.path().join("whole.db");
    fs::copy(&path, &whole).unwrap();
    let whole = Connection::open(&whole).unwrap();
    // The first quarter is taken up by empty tables.
    for part in [2, 3] {
        fs::write(&path, &bytes[..bytes.len() / part]).unwrap();
        let _ = fs::remove_file(super::beside(&path, "-wal"));
        assert!(matches!(Store::open(&path), Err(Error::Corrupt { .. })));
        assert!(matches!(inspect(&path), Inspection::Checked { check: Check::Damaged(_), .. }));
        let to = folder.path().join(format!("saved-{part}.db"));
        let salvaged = salvage(&path, &to).unwrap();
        let texts = texts(&to);
        let same = texts.iter().filter(|(id, text)| original.get(*id) == Some(text)).count();
        assert!(same > original.len() / (part * 4), "{same} of {}: {salvaged:?}", original.len());
        // The page at the cut may be lost.
        let left = bytes.len() / part / PAGE_BYTES;
        let lost: BTreeSet<usize> = (left + 1..=bytes.len() / PAGE_BYTES).collect();
        for table in TABLES {
            let least = reachable(&whole, table, &lost);
            assert!(saved(&salvaged, table) >= least, "{least} {table}: {salvaged:?}");
        }
    }
}

#[test]
fn salvage_skips_a_damaged_log_and_reads_an_intact_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0").unwrap();
    for title in ["Before that", "In the log"] {
        writer.execute("UPDATE conversations SET title = ?1", [title]).unwrap();
    }
    let log = fs::read(super::beside(&path, "-wal")).unwrap();
    let at = folder.path().join("copy");
    fs::create_dir(&at).unwrap();
    let copy = at.join("lar.db");
    fs::copy(&path, &copy).unwrap();
    let title = |log: &[u8], to: &str| {
        fs::write(super::beside(&copy, "-wal"), log).unwrap();
        let is_torn = ["last.db", "noise.db"].contains(&to);
        let to = at.join(to);
        assert_eq!(salvage(&copy, &to).unwrap().log.is_incomplete, is_torn, "{}", to.display());
        let saved = Connection::open(to).unwrap();
        saved.query_row("SELECT min(title) FROM conversations", [], |row| row.get::<_, String>(0)).unwrap()
    };
    assert_eq!(title(&log, "good.db"), "In the log");
    // The last transaction cannot be read.
    let mut last = log.clone();
    let end = last.len();
    last[end - 100] ^= 1;
    assert_eq!(title(&last, "last.db"), "Before that");
    let mut bad = log;
    // Checksums do not cover salts: the frame is intact, although SQLite ends the log there, and another
    // transaction follows.
    bad[40] ^= 1;
    assert_eq!(title(&bad, "salts.db"), "In the log");
    // Only the first frame, with a flipped bit in its page.
    bad[60] ^= 1;
    assert_eq!(title(&bad[..32 + 24 + PAGE_BYTES], "torn.db"), "Talk 0");
    assert_eq!(title(&[7; 8192], "noise.db"), "Talk 0");
}

#[test]
fn rows_that_refer_to_lost_rows_are_kept() {
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
    let mapped = "SELECT count(*) FROM conversation_search_rows s JOIN conversation_search c
                  ON c.rowid = s.search_row AND c.conversation_id = s.conversation_id";
    assert_eq!(count(mapped), 899 + 150, "each text can be searched and erased");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_skips_and_counts_unreadable_memories() {
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
