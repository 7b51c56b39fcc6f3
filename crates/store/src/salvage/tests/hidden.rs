//! Pages that a changed pointer or count hides. SQLite continues without an error, and the report of a
//! salvage says that something is missing. It never says so of a database without damage.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::crafted::{child_offsets, short};
use super::{PAGE_BYTES, filled, numbers, spoil};
use crate::migrations;
use crate::salvage::{SalvageReport, Table, salvage};
use crate::sqlite_files::beside;

/// The number of rows in each table of [`with_many_rows`].
const ROWS: u64 = 1_500;
/// Tables with an interior page that has many children, and whether an index names their rows.
const TABLES: [(&str, bool); 6] = [
    ("users", true),
    ("keys", true),
    ("spaces", true),
    ("memory_candidates", true),
    ("aliases", false),
    ("usage_daily", false),
];

/// Creates a database with many rows in small tables, without a write-ahead log.
pub(super) fn with_many_rows(folder: &Path) -> PathBuf {
    let path = folder.join("lar.db");
    let mut connection = crate::connection::connect(&path).unwrap();
    migrations::run(&mut connection, &path).unwrap();
    let inserts = [
        "INSERT INTO users (id, name, created_at) SELECT printf('user_%032x', n), printf('person %d', n), 1",
        "INSERT INTO keys (id, user_id, name, digest, fingerprint, scopes, created_at)
         SELECT printf('key_%032x', n), printf('user_%032x', n), 'of an app', CAST(printf('%032d', n) AS BLOB), '00000000',
                '[\"inference\"]', 1",
        "INSERT INTO spaces (id, user_id, kind, name, created_at)
         SELECT printf('space_%032x', n), printf('user_%032x', 1), 'agent', printf('agent %d', n), 1",
        "INSERT INTO memory_candidates (id, space_id, key_id, content, kind, source, reason, created_at)
         SELECT printf('cand_%032x', n), printf('space_%032x', 1), 'key', printf('%d was noted', n), 'fact', '{}', 'why', 1",
        "INSERT INTO aliases (name, target, updated_at) SELECT printf('model-%05d', n), 'of a large model', 1",
        "INSERT INTO usage_daily (day, key_id, model, tasks, errors, tokens_in, tokens_out)
         SELECT printf('2026-%05d', n), 'key', 'model', 1, 0, 100, 100",
    ];
    connection.execute_batch("BEGIN").unwrap();
    for insert in inserts {
        let numbers = format!(
            "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {ROWS})"
        );
        connection.execute(&format!("{numbers} {insert} FROM numbers"), []).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
    path
}

fn of<'a>(salvaged: &'a SalvageReport, table: &str) -> &'a Table {
    salvaged.tables.iter().find(|found| found.name == table).unwrap()
}

/// Makes an interior page refer to its first child twice, and no longer to its second one.
fn lead_to_a_sibling(page: &mut [u8]) {
    let offsets = child_offsets(page, 0);
    page.copy_within(offsets[0]..offsets[0] + 4, offsets[1]);
}

/// Removes the last cell from a page.
fn count_one_less(page: &mut [u8]) {
    let cells = u16::try_from(short(page, 3) - 1).unwrap();
    page[3..5].copy_from_slice(&cells.to_be_bytes());
}

#[test]
fn rows_on_hidden_pages_or_the_pages_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = with_many_rows(folder.path());
    let whole = fs::read(&path).unwrap();
    type Damage = fn(&mut [u8]);
    let damages: [(&str, Damage); 2] = [("sibling", lead_to_a_sibling), ("count", count_one_less)];
    for (table, is_named) in TABLES {
        fs::write(&path, &whole).unwrap();
        let interior = "pagetype = 'internal' ORDER BY ncell DESC LIMIT 1";
        let interior = format!("SELECT pageno FROM dbstat WHERE name = '{table}' AND {interior}");
        let number = numbers(&Connection::open(&path).unwrap(), &interior).pop_first().unwrap();
        let range = (number - 1) * PAGE_BYTES..number * PAGE_BYTES;
        let page = &whole[range.clone()];
        assert!(
            page[0] == 2 && short(page, 3) > 2,
            "{table}: an interior page with many children, in a table without rowids"
        );
        for (what, damage) in damages {
            let mut damaged = whole.clone();
            damage(&mut damaged[range.clone()]);
            fs::write(&path, damaged).unwrap();
            let salvaged = salvage(&path, &folder.path().join(format!("saved-{table}-{what}.db"))).unwrap();
            let about = of(&salvaged, table);
            let lost = if is_named { ROWS - about.saved } else { 0 };
            assert!(about.saved > 0 && about.saved < ROWS, "{table}, {what}: {about:?}");
            let pages = (about.damaged_pages, salvaged.unreached_pages);
            assert_eq!((about.lost, pages), (lost, (1, 1)), "{table}, {what}");
            let others = salvaged.tables.iter().filter(|other| other.name != table);
            assert_eq!(
                others.map(|other| other.lost + other.damaged_pages).sum::<u64>(),
                0,
                "{table}, {what}"
            );
        }
    }
}

#[test]
fn a_page_of_noise_in_a_table_without_an_index_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = with_many_rows(folder.path());
    let leaf = "SELECT pageno FROM dbstat WHERE name = 'aliases' AND pagetype = 'leaf' ORDER BY path LIMIT 1 OFFSET 3";
    let leaf = numbers(&Connection::open(&path).unwrap(), leaf);
    spoil(&path, &leaf);
    let salvaged = salvage(&path, &folder.path().join("saved.db")).unwrap();
    let about = of(&salvaged, "aliases");
    assert!(about.saved > 0 && about.saved < ROWS, "{about:?}");
    assert_eq!((about.lost, about.unsearched, about.damaged_pages, about.is_unreadable), (0, 1, 1, false));
    assert_eq!(salvaged.unreached_pages, 0);
}

/// Asserts that a salvage reports no loss.
fn assert_is_whole(path: &Path, what: &str) {
    let to = path.with_file_name(format!("saved-{what}.db"));
    let salvaged = salvage(path, &to).unwrap();
    assert_eq!(salvaged.unreached_pages, 0, "{what}");
    for table in salvaged.tables {
        let Table { name, lost, unsearched, damaged_pages, is_unreadable, .. } = table;
        assert_eq!((lost, unsearched, damaged_pages, is_unreadable), (0, 0, 0, false), "{what}: {name}");
    }
}

#[test]
fn every_page_of_an_undamaged_database_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    assert_is_whole(&path, "filled");

    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "UPDATE messages SET content = hex(zeroblob(9000)) WHERE id LIKE '%7';
             DELETE FROM passages WHERE seq > 300; DELETE FROM memories WHERE seq > 300;",
        )
        .unwrap();
    let free: u64 = connection.query_row("PRAGMA freelist_count", [], |row| row.get(0)).unwrap();
    assert!(free > 10, "{free}");
    let copy = folder.path().join("copy.db");
    connection.backup("main", &copy, None::<fn(_)>).unwrap();
    drop(connection);
    assert_is_whole(&path, "deleted");
    assert_is_whole(&copy, "backup");

    // Changes that are only in the write-ahead log, which frees pages, too.
    let writer = Connection::open(&path).unwrap();
    writer
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; PRAGMA secure_delete = OFF;
             UPDATE messages SET content = hex(zeroblob(5000)) WHERE id LIKE '%5';
             DELETE FROM passages WHERE seq > 100; DELETE FROM memories WHERE seq > 100;",
        )
        .unwrap();
    let logged = folder.path().join("logged.db");
    fs::copy(&path, &logged).unwrap();
    fs::copy(beside(&path, "-wal"), beside(&logged, "-wal")).unwrap();
    assert_is_whole(&logged, "logged");

    // Another program made SQLite move its pages.
    writer
        .execute_batch(
            "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = FULL; VACUUM;
             DELETE FROM passages WHERE seq > 50; DELETE FROM memories WHERE seq > 50;",
        )
        .unwrap();
    drop(writer);
    assert_ne!(fs::read(&path).unwrap()[52..56], [0; 4]);
    assert_is_whole(&path, "moved");
}

#[test]
fn a_row_with_the_key_of_another_row_is_counted_as_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = with_many_rows(folder.path());
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("UPDATE usage_daily SET tokens_in = rowid_of FROM (SELECT day AS d, row_number() OVER () AS rowid_of FROM usage_daily) WHERE d = day; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(connection);
    let bytes = fs::read(&path).unwrap();
    for (table, letters, others) in
        [("aliases", "model-00500of", "model-00501of"), ("usage_daily", "2026-00500key", "2026-00510key")]
    {
        let places = |text: &str| {
            bytes
                .windows(text.len())
                .enumerate()
                .filter(|(_, at)| *at == text.as_bytes())
                .map(|(at, _)| at)
                .collect::<Vec<_>>()
        };
        assert!(!places(others).is_empty());
        let mut damaged = bytes.clone();
        for place in places(letters) {
            damaged[place..place + letters.len()].copy_from_slice(others.as_bytes());
        }
        let path = folder.path().join(format!("{table}.db"));
        fs::write(&path, damaged).unwrap();
        let salvaged = salvage(&path, &folder.path().join(format!("saved-{table}.db"))).unwrap();
        let found = of(&salvaged, table);
        assert_eq!((found.saved, found.lost), (ROWS - 1, 1), "{table}");
    }
}

#[test]
fn nonempty_pages_after_the_last_page_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = with_many_rows(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    // Two pages of noise, one of zeros, and an incomplete one.
    bytes.extend([0xa7; 2 * PAGE_BYTES]);
    bytes.extend([0; PAGE_BYTES]);
    bytes.extend([0xa7; 100]);
    fs::write(&path, bytes).unwrap();
    let salvaged = salvage(&path, &folder.path().join("saved.db")).unwrap();
    assert_eq!(salvaged.unreached_pages, 2);
    assert_eq!(salvaged.tables.iter().map(|table| table.lost + table.damaged_pages).sum::<u64>(), 0);
}
