//! Files whose pages refer to each other in so many ways that SQLite never finishes reading a tree. A salvage
//! ends nevertheless.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use super::hidden::with_many_rows;
use super::{MEMORIES, PAGE_BYTES, filled, numbers, texts};
use crate::salvage::pages::is_schema_tree_finite;
use crate::salvage::{Table, salvage};

/// The number of pages that are put between the root of a tree and a leaf. SQLite reads trees of 20 levels.
const LEVELS: usize = 17;

pub(super) fn short(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]))
}

/// Returns the offsets of the children's numbers on an interior page (SQLite's file format, 1.6). The page's
/// own header is at `at`.
pub(super) fn child_offsets(page: &[u8], at: usize) -> Vec<usize> {
    (0..short(page, at + 3)).map(|cell| short(page, at + 12 + 2 * cell)).chain([at + 8]).collect()
}

/// Makes every child of an interior page the same page.
fn lead_to(page: &mut [u8], at: usize, child: usize) {
    let child = u32::try_from(child).unwrap().to_be_bytes();
    for offset in child_offsets(page, at) {
        page[offset..offset + 4].copy_from_slice(&child);
    }
}

/// Puts copies of the interior page `level` under the root of a tree, each below the one before. The root's
/// first child is below the last. With ten children per page, there are 10^18 paths to that child.
fn multiply(path: &Path, root: usize, level: &[u8]) {
    let mut bytes = fs::read(path).unwrap();
    let at = if root == 1 { 100 } else { 0 };
    let pages = bytes.len() / PAGE_BYTES;
    let page = &mut bytes[(root - 1) * PAGE_BYTES..root * PAGE_BYTES];
    let first = child_offsets(page, at)[0];
    let leaf = u32::from_be_bytes(page[first..first + 4].try_into().unwrap()) as usize;
    lead_to(page, at, pages + 1);
    for number in 1..=LEVELS {
        let mut page = level.to_vec();
        lead_to(&mut page, 0, if number == LEVELS { leaf } else { pages + number + 1 });
        bytes.extend(page);
    }
    fs::write(path, bytes).unwrap();
}

/// Returns the number and the bytes of the root page of a table or index.
fn root_of(path: &Path, name: &str) -> (usize, Vec<u8>) {
    let sql = format!("SELECT rootpage FROM sqlite_schema WHERE name = '{name}'");
    let root = numbers(&Connection::open(path).unwrap(), &sql).pop_first().unwrap();
    (root, fs::read(path).unwrap()[(root - 1) * PAGE_BYTES..root * PAGE_BYTES].to_vec())
}

/// Returns the result of a salvage for the table of memories.
fn memories(path: &Path, to: &Path) -> Table {
    let salvaged = salvage(path, to).unwrap();
    salvaged.tables.into_iter().find(|table| table.name == "memories").unwrap()
}

#[test]
fn an_endless_index_costs_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let original = texts(&path);
    let (root, page) = root_of(&path, "memories_by_space");
    assert!(page[0] == 2 && child_offsets(&page, 0).len() > 5, "an interior page of an index");
    multiply(&path, root, &page);
    let to = folder.path().join("saved.db");
    let table = memories(&path, &to);
    assert_eq!((table.saved, table.lost, table.unsearched), (MEMORIES as u64, 0, 0));
    assert_eq!(texts(&to), original);
}

/// Makes the root of a tree refer to two copies of the page `level`, which refer to each other.
fn lead_in_a_circle(path: &Path, root: usize, level: &[u8]) {
    let mut bytes = fs::read(path).unwrap();
    let pages = bytes.len() / PAGE_BYTES;
    lead_to(&mut bytes[(root - 1) * PAGE_BYTES..root * PAGE_BYTES], 0, pages + 1);
    for other in [pages + 2, pages + 1] {
        let mut page = level.to_vec();
        lead_to(&mut page, 0, other);
        bytes.extend(page);
    }
    fs::write(path, bytes).unwrap();
}

/// SQLite looks up the row of each entry, and returns no row that could be counted.
#[test]
fn an_endless_index_of_lost_rows_does_not_stall_a_salvage() {
    let folder = tempfile::tempdir().unwrap();
    let path = with_many_rows(folder.path());
    let bytes = fs::read(&path).unwrap();
    let ((table, _), (index, level)) = (root_of(&path, "keys"), root_of(&path, "sqlite_autoindex_keys_2"));
    assert!(level[0] == 2 && child_offsets(&level, 0).len() > 5, "an interior page of an index");
    for (name, craft) in [
        ("ways", multiply as fn(&Path, usize, &[u8])),
        ("circle", lead_in_a_circle as fn(&Path, usize, &[u8])),
    ] {
        fs::write(&path, &bytes).unwrap();
        craft(&path, index, &level);
        let mut crafted = fs::read(&path).unwrap();
        let page = &mut crafted[(table - 1) * PAGE_BYTES..table * PAGE_BYTES];
        page.fill(0);
        // An empty leaf.
        page[0] = 10;
        page[5..7].copy_from_slice(&(PAGE_BYTES as u16).to_be_bytes());
        fs::write(&path, crafted).unwrap();
        let salvaged = salvage(&path, &folder.path().join(format!("saved-{name}.db"))).unwrap();
        let keys = salvaged.tables.iter().find(|table| table.name == "keys").unwrap();
        assert!(keys.saved == 0 && keys.lost > 0, "{name}: {keys:?}");
        assert!(salvaged.unreached_pages > 0, "{name}: the pages of its rows");
    }
}

#[test]
fn reading_an_endless_table_ends_and_its_rows_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let (root, page) = root_of(&path, "memories");
    assert!(page[0] == 5 && child_offsets(&page, 0).len() > 5, "an interior page of a table");
    multiply(&path, root, &page);
    let table = memories(&path, &folder.path().join("saved.db"));
    assert!(table.saved > 0 && !table.is_unreadable, "{table:?}");
    assert_eq!(table.saved + table.lost, MEMORIES as u64);
}

#[test]
fn endless_definitions_cost_no_row() {
    const CELLS: usize = 10;
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let original = texts(&path);
    assert!(is_schema_tree_finite(&path).unwrap());
    // An interior page of a table: each cell has the number of a child and a rowid.
    let mut level = vec![0; PAGE_BYTES];
    level[0] = 5;
    level[4] = CELLS as u8;
    for cell in 0..CELLS {
        let offset = PAGE_BYTES - 5 * (cell + 1);
        level[12 + 2 * cell..14 + 2 * cell].copy_from_slice(&(offset as u16).to_be_bytes());
        level[5..7].copy_from_slice(&(offset as u16).to_be_bytes());
        level[offset + 4] = cell as u8 + 1;
    }
    multiply(&path, 1, &level);
    assert!(!is_schema_tree_finite(&path).unwrap());
    let to = folder.path().join("saved.db");
    salvage(&path, &to).unwrap();
    assert_eq!(texts(&to), original);
}
