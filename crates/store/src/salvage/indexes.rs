//! Reads the rows that the indexes of a table name, including rows that the table has lost.
//!
//! Indexes are read without SQLite. SQLite does not know that the index of a `UNIQUE` column covers the
//! primary key of a table without rowids. So it looks up the row of each entry, and skips entries whose rows
//! are lost.

use std::collections::BTreeSet;

use rusqlite::Connection;
use rusqlite::types::Value;

use super::record;
use super::rows::{Key, TableCopy, TableShape, key_parts};
use super::trees::{Tree, Trees};
use crate::Error;

/// An index over all rows of a table.
#[derive(Debug)]
pub(super) struct Index {
    name: String,
    /// The number of values in an entry.
    values: usize,
    /// The positions of the row's key among them, in the key's order.
    key_at: Vec<usize>,
}

impl Index {
    /// Reads which values the entries of an index have. `key` has the columns of the table's primary key; it
    /// is empty if the table has rowids.
    pub(super) fn read(connection: &Connection, name: String, key: &[String]) -> Result<Self, Error> {
        // Includes the columns that SQLite appends to name the row; in a table with rowids, the last one is
        // the rowid.
        let mut query = connection.prepare("SELECT name FROM pragma_index_xinfo(?1) ORDER BY seqno")?;
        let columns = query.query_map([&name], |row| row.get::<_, Option<String>>(0))?;
        let columns: Vec<Option<String>> = columns.collect::<Result<_, _>>()?;
        let position_of = |column: &String| columns.iter().position(|other| other.as_ref() == Some(column));
        let key_at = match key {
            [] => columns.len().checked_sub(1).into_iter().collect(),
            key => key.iter().filter_map(position_of).collect(),
        };
        Ok(Self { name, values: columns.len(), key_at })
    }

    /// Returns the key of the row that an entry names; `None` if it is not an entry of this index.
    fn key(&self, entry: &[u8], table: &TableShape) -> Option<Key> {
        let values = record::values(entry).filter(|values| values.len() == self.values)?;
        let key: Vec<Value> = self.key_at.iter().map(|at| values[*at].clone()).collect();
        match key.as_slice() {
            [Value::Integer(number)] if table.has_row_numbers() => Some(Key::Row(*number)),
            _ if table.has_row_numbers() => None,
            key => Some(Key::Columns(key_parts(key))),
        }
    }
}

/// The rows that the indexes of a table name.
#[derive(Debug, Default)]
pub(super) struct IndexedKeys {
    pub(super) keys: BTreeSet<Key>,
    /// Whether one of the indexes is whole and names each row once, so that no row is missing here.
    pub(super) is_complete: bool,
}

impl TableCopy<'_> {
    /// Returns the keys in the readable pages of the table's other indexes.
    pub(super) fn read_indexed_keys(&self) -> Result<IndexedKeys, Error> {
        let mut indexed = IndexedKeys::default();
        for index in &self.table.indexes {
            let (mut keys, is_whole) = self.read_index(index)?;
            indexed.is_complete |= is_whole && !keys.is_empty();
            indexed.keys.append(&mut keys);
        }
        Ok(indexed)
    }

    /// Returns the keys in the readable pages of an index. Also returns whether all its pages are whole and
    /// name each row once.
    fn read_index(&self, index: &Index) -> Result<(BTreeSet<Key>, bool), Error> {
        let mut keys = BTreeSet::new();
        let begins = "SELECT rootpage FROM sqlite_schema WHERE type = 'index' AND name = ?1";
        let root = self.source.connection.query_row(begins, [&index.name], |row| row.get::<_, u32>(0));
        let (Ok(root), Some(mut trees)) = (root, Trees::open(&self.source.path)?) else {
            return Ok((keys, false));
        };
        let mut is_whole = true;
        let mut add = |entry: &[u8]| match index.key(entry, self.table) {
            Some(key) => is_whole &= keys.insert(key),
            None => is_whole = false,
        };
        let damaged_pages = trees.walk(root, Tree::Entries, &mut add);
        Ok((keys, is_whole && damaged_pages == 0))
    }
}
