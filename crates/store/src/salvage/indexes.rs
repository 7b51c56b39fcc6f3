//! Reads the rows that the indexes of a table name, including rows that the table has lost.
//!
//! Indexes are read without SQLite. SQLite does not know that the index of a `UNIQUE` column covers the
//! primary key of a table without rowids. So it looks up the row of each entry, and skips entries whose rows
//! are lost.

use std::collections::BTreeSet;

use super::row_keys::Key;
use super::source::Source;
use super::table_shape::{Index, TableShape};
use super::trees::{Tree, Trees};
use crate::Error;

/// The rows that the indexes of a table name.
#[derive(Debug, Default)]
pub(super) struct IndexedKeys {
    pub(super) keys: BTreeSet<Key>,
    /// Whether one of the indexes is whole and names each row once, so that no row is missing here.
    pub(super) is_complete: bool,
}

/// Returns the keys in the readable pages of the table's other indexes.
pub(super) fn read_indexed_keys(source: &Source, table: &TableShape) -> Result<IndexedKeys, Error> {
    let mut indexed = IndexedKeys::default();
    for index in &table.indexes {
        let (mut keys, is_whole) = read_index(source, table, index)?;
        indexed.is_complete |= is_whole && !keys.is_empty();
        indexed.keys.append(&mut keys);
    }
    Ok(indexed)
}

/// Returns the keys in the readable pages of an index. Also returns whether all its pages are whole and name
/// each row once.
fn read_index(source: &Source, table: &TableShape, index: &Index) -> Result<(BTreeSet<Key>, bool), Error> {
    let mut keys = BTreeSet::new();
    let begins = "SELECT rootpage FROM sqlite_schema WHERE type = 'index' AND name = ?1";
    let root = source.connection.query_row(begins, [&index.name], |row| row.get::<_, u32>(0));
    let (Ok(root), Some(mut trees)) = (root, Trees::open(&source.path)?) else {
        return Ok((keys, false));
    };
    let mut is_whole = true;
    let mut add = |entry: &[u8]| match index.key(entry, table) {
        Some(key) => is_whole &= keys.insert(key),
        None => is_whole = false,
    };
    let damaged_pages = trees.walk(root, Tree::Entries, &mut add);
    Ok((keys, is_whole && damaged_pages == 0))
}
