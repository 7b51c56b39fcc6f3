//! What the indexes of a table name: also rows that the table has lost.
//!
//! Indexes are read without SQLite. It does not know that the index of a `UNIQUE` column covers the primary key of a table without
//! row numbers. So it looks up the row of each entry, and passes over those that are lost.

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
    /// How many values an entry has.
    values: usize,
    /// Which of these are the key of the row, in the order of that.
    key_at: Vec<usize>,
}

impl Index {
    /// Reads which values the entries of an index have; `key` are the columns of its table's primary key, none where its rows have
    /// numbers.
    pub(super) fn read(connection: &Connection, name: String, key: &[String]) -> Result<Self, Error> {
        // Also the columns that SQLite puts behind those of the index, to name the row: the last one is a row's number.
        let mut query = connection.prepare("SELECT name FROM pragma_index_xinfo(?1) ORDER BY seqno")?;
        let columns = query.query_map([&name], |row| row.get::<_, Option<String>>(0))?;
        let columns: Vec<Option<String>> = columns.collect::<Result<_, _>>()?;
        let place = |column: &String| columns.iter().position(|other| other.as_ref() == Some(column));
        let key_at = match key {
            [] => columns.len().checked_sub(1).into_iter().collect(),
            key => key.iter().filter_map(place).collect(),
        };
        Ok(Self { name, values: columns.len(), key_at })
    }

    /// The key of the row that an entry names; none where it is not an entry of this index.
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

/// What the indexes of a table name.
#[derive(Debug, Default)]
pub(super) struct IndexedKeys {
    pub(super) keys: BTreeSet<Key>,
    /// Whether one of the indexes is whole and names each row once, so that no row is missing here.
    pub(super) is_complete: bool,
}

impl TableCopy<'_> {
    /// The keys that the table's other indexes name, as far as they can be read.
    pub(super) fn read_indexed_keys(&self) -> Result<IndexedKeys, Error> {
        let mut indexed = IndexedKeys::default();
        for index in &self.table.indexes {
            let (mut keys, is_whole) = self.read_index(index)?;
            indexed.is_complete |= is_whole && !keys.is_empty();
            indexed.keys.append(&mut keys);
        }
        Ok(indexed)
    }

    /// The keys that an index names, as far as its pages can be read; says whether all of these are whole and name each row once.
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
