//! Lost headers and damaged definitions of tables.

use std::fs;

use rusqlite::Connection;

use super::{Random, filled, numbers, spoil, texts};
use crate::salvage::salvage;
use crate::{Check, Error, Inspection, Store, inspect};

#[test]
fn a_lost_header_or_first_page_is_replaced() {
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
fn damaged_definitions_cost_no_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let original = texts(&path);
    let bytes = fs::read(&path).unwrap();
    let found = |text: &str| bytes.windows(text.len()).position(|at| at == text.as_bytes()).unwrap();
    // A letter of a definition, of a table's name in it and before it, and of a column's name.
    let places = [
        found("CREATE TABLE memories "),
        found("CREATE TABLE memories ") + 15,
        found("memoriesmemories"),
        found("memoriesmemories") + 10,
        found("conversation_id TEXT NOT NULL REFERENCES conversations") + 3,
        found("role            TEXT"),
    ];
    for place in places {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1;
        fs::write(&path, &damaged).unwrap();
        let to = folder.path().join(format!("saved-{place}.db"));
        salvage(&path, &to).unwrap();
        assert_eq!(texts(&to), original, "{place}");
    }
    // A root page that does not exist, is of no use, or is another table's.
    for root in ["1", "3", "99999999", "(SELECT rootpage FROM sqlite_schema WHERE name = 'memories')"] {
        fs::write(&path, &bytes).unwrap();
        let connection = Connection::open(&path).unwrap();
        let other = format!("UPDATE sqlite_schema SET rootpage = {root} WHERE name = 'messages'");
        connection.execute_batch(&format!("PRAGMA writable_schema = ON; {other}")).unwrap();
        drop(connection);
        let to = folder.path().join(format!("saved-{}.db", root.len()));
        let _ = fs::remove_file(&to);
        salvage(&path, &to).unwrap();
        assert_eq!(texts(&to), original, "{root}");
    }
    // All pages of the definitions but the first.
    fs::write(&path, &bytes).unwrap();
    let pages = numbers(
        &Connection::open(&path).unwrap(),
        "SELECT pageno FROM dbstat WHERE name = 'sqlite_schema' AND pageno > 1",
    );
    assert!(pages.len() > 2);
    spoil(&path, &pages);
    let to = folder.path().join("saved.db");
    salvage(&path, &to).unwrap();
    assert_eq!(texts(&to), original);
}

#[test]
fn an_unreadable_table_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let pages = numbers(
        &Connection::open(&path).unwrap(),
        "SELECT rootpage FROM sqlite_schema WHERE tbl_name = 'memories'",
    );
    spoil(&path, &pages);
    let salvaged = salvage(&path, &folder.path().join("saved.db")).unwrap();
    let unreadable = salvaged.tables.iter().filter(|table| table.is_unreadable);
    assert_eq!(unreadable.map(|table| table.name.as_str()).collect::<Vec<_>>(), ["memories"]);
}

#[test]
fn an_unreadable_file_is_not_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let (path, to) = (folder.path().join("lar.db"), folder.path().join("saved.db"));
    let mut random = Random(1);
    let noise: Vec<u8> = (0..100_000).map(|_| random.below(256) as u8).collect();
    for bytes in [noise, vec![0; 100_000]] {
        fs::write(&path, bytes).unwrap();
        assert!(matches!(salvage(&path, &to), Err(Error::Corrupt { .. })));
        assert!(!to.exists());
    }
}
