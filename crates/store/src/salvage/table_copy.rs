//! The copy of one table in progress: walks over readable rows, and the rows that were read and saved.

use std::collections::{BTreeSet, VecDeque};

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};

use super::row_keys::Key;
use super::source::Source;
use super::table_shape::{TableShape, quoted};
use crate::Error;

/// The most known rows that a walk may find in succession. More mean that it goes in a circle; no page has as
/// many.
const REPEATS_MAX: usize = 1_000;
/// The number of rows before a failure whose keys are considered: one of them may be damaged.
const RECENT_ROWS: usize = 8;
/// The most bytes of rows that are read for one table, per byte of the file. Without damage, rows are read
/// once and their keys twice. In a crafted file, pages can refer to each other so that SQLite reads them
/// endlessly.
const BYTES_READ_MAX: u64 = 32;
/// The fewest bytes that a row takes on its page: its cell and its pointer (SQLite's file format, 1.6).
const ROW_BYTES_MIN: u64 = 6;

/// A table copy in progress.
pub(super) struct TableCopy<'a> {
    pub(super) source: &'a Source,
    target: &'a Connection,
    pub(super) table: &'a TableShape,
    insert: String,
    /// The number of bytes of rows that may still be read.
    pub(super) bytes_left: u64,
    /// The keys of all rows that were read.
    pub(super) read: BTreeSet<Key>,
    /// Rows, as text, that have another row's key.
    others: BTreeSet<String>,
    pub(super) saved: u64,
    pub(super) lost: u64,
    pub(super) unsearched: u64,
    pub(super) is_unreadable: bool,
}

/// The result of a walk.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The keys of its last rows, in order.
    pub(super) recent: VecDeque<Key>,
    /// Whether it came to its end and not to an unreadable part.
    pub(super) ended: bool,
}

impl<'a> TableCopy<'a> {
    /// Starts the copy of a table, which may take its own number of steps and bytes.
    pub(super) fn new(
        source: &'a Source,
        target: &'a Connection,
        table: &'a TableShape,
    ) -> Result<Self, Error> {
        source.allow_steps();
        let pages: u64 = source.connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        let page_bytes: u64 = source.connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let placeholders = vec!["?"; table.columns.len()].join(", ");
        let insert = format!(
            "INSERT OR IGNORE INTO \"{}\" ({}) VALUES ({placeholders})",
            table.name,
            quoted(&table.columns)
        );
        Ok(Self {
            source,
            target,
            table,
            insert,
            bytes_left: pages.saturating_mul(page_bytes).saturating_mul(BYTES_READ_MAX),
            read: BTreeSet::new(),
            others: BTreeSet::new(),
            saved: 0,
            lost: 0,
            unsearched: 0,
            is_unreadable: false,
        })
    }

    /// Stores a row; a row that the table does not accept counts as lost.
    pub(super) fn insert_row(&mut self, values: Vec<Value>) -> Result<(), Error> {
        match self.target.prepare_cached(&self.insert)?.execute(params_from_iter(values)) {
            Ok(1) => self.saved += 1,
            Ok(_) => self.lost += 1,
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                self.lost += 1;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Counts a row as lost if it has the key of another row: one of the two keys is damaged. The rows differ
    /// in other values, or follow each other. For tables without an index, since an index names the lost row.
    fn count_other(&mut self, key: &Key, columns: &[Value], is_next: bool) -> Result<(), Error> {
        let tests = self.table.key_with(" = ?").replace(", ", " AND ");
        let columns_of_table = quoted(&self.table.columns);
        let sql = format!("SELECT {columns_of_table} FROM \"{}\" WHERE {tests}", self.table.name);
        let mut query = self.target.prepare_cached(&sql)?;
        let saved = query.query_row(params_from_iter(key.values()), |row| values(row, 0)).optional()?;
        let is_other = is_next || saved.is_some_and(|saved| saved != columns);
        self.lost += u64::from(is_other && self.others.insert(format!("{columns:?}")));
        Ok(())
    }

    /// Stores the new rows of a query, until it ends, fails or goes in a circle. A row out of order, because
    /// a damaged page changed its rowid, is stored like any other.
    pub(super) fn walk(&mut self, sql: &str, parameters: &[Value]) -> Result<Walk, Error> {
        let (mut walk, mut repeats) = (Walk::default(), 0);
        if !self.has_budget() {
            return Ok(walk);
        }
        let source = self.source;
        let Ok(mut query) = source.connection.prepare_cached(sql) else { return Ok(walk) };
        let Ok(mut rows) = query.query(params_from_iter(parameters)) else { return Ok(walk) };
        loop {
            match rows.next() {
                Ok(None) => {
                    walk.ended = true;
                    return Ok(walk);
                }
                Err(_) => return Ok(walk),
                Ok(Some(row)) => {
                    let values = values(row, 0)?;
                    let bytes = bytes(&values);
                    let (key, columns) = self.table.split(values);
                    let is_next = walk.recent.back() == Some(&key);
                    if walk.recent.len() == RECENT_ROWS {
                        walk.recent.pop_front();
                    }
                    walk.recent.push_back(key.clone());
                    let is_new = self.read.insert(key.clone());
                    if is_new {
                        self.insert_row(columns)?;
                    } else if self.table.indexes.is_empty() {
                        self.count_other(&key, &columns, is_next)?;
                    }
                    repeats = if is_new { 0 } else { repeats + 1 };
                    if !self.count_row(bytes, repeats) {
                        return Ok(walk);
                    }
                }
            }
        }
    }

    /// Counts a row that was read after `repeats` known rows; returns whether another one may be read.
    fn count_row(&mut self, bytes: u64, repeats: usize) -> bool {
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        self.bytes_left > 0 && repeats <= REPEATS_MAX
    }

    /// Returns whether more may be read for this table; a crafted file would be read endlessly.
    pub(super) fn has_budget(&self) -> bool {
        self.bytes_left > 0 && self.source.has_steps()
    }
}

/// Returns the values of a row from a column on. Invalid UTF-8 is replaced.
pub(super) fn values(row: &Row<'_>, from: usize) -> rusqlite::Result<Vec<Value>> {
    let count = row.as_ref().column_count();
    (from..count)
        .map(|column| {
            Ok(match row.get_ref(column)? {
                ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
                other => other.try_into().map_err(|_| rusqlite::Error::InvalidQuery)?,
            })
        })
        .collect()
}

/// Returns the fewest bytes that a row takes in the file.
pub(super) fn bytes(values: &[Value]) -> u64 {
    let lengths = values.iter().map(|value| match value {
        Value::Text(text) => text.len() as u64,
        Value::Blob(bytes) => bytes.len() as u64,
        Value::Null | Value::Integer(_) | Value::Real(_) => 0,
    });
    ROW_BYTES_MIN + lengths.sum::<u64>()
}
