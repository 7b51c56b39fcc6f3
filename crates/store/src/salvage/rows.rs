//! Reads a table row by row, around the unreadable parts.
//!
//! A table is walked forward and, if that fails, backward. Each row that an index names ([`super::indexes`])
//! and that no walk found is looked up. If no index is whole, the gap between the two walks is searched
//! ([`super::gaps`]). Rows are copied with their values as they are.

use std::collections::{BTreeSet, VecDeque};

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};

use super::Table;
use super::gaps::Scale;
use super::indexes::{Index, IndexedKeys};
use super::source::Source;
use crate::json_columns::is_newer;
use crate::{Error, conversation_search};

/// The most known rows that a walk may find in succession. More mean that it goes in a circle; no page has as
/// many.
const REPEATS_MAX: usize = 1_000;
/// The number of rows before a failure whose keys are considered: one of them may be damaged.
const RECENT_ROWS: usize = 8;
/// The most rows of `sqlite_sequence` that are read. Lar has one for each table that never reuses a rowid.
const SEQUENCES_MAX: u32 = 100;
/// The most bytes of rows that are read for one table, per byte of the file. Without damage, rows are read
/// once and their keys twice. In a crafted file, pages can refer to each other so that SQLite reads them
/// endlessly.
const BYTES_READ_MAX: u64 = 32;
/// The fewest bytes that a row takes on its page: its cell and its pointer (SQLite's file format, 1.6).
const ROW_BYTES_MIN: u64 = 6;

/// A table of the schema.
#[derive(Debug)]
pub(super) struct TableShape {
    pub(super) name: String,
    columns: Vec<String>,
    /// The columns of its primary key; empty for a table with rowids.
    key: Vec<String>,
    /// The position of the column that is an alias of the rowid, if there is one.
    number_at: Option<usize>,
    pub(super) indexes: Vec<Index>,
}

impl TableShape {
    pub(super) fn has_row_numbers(&self) -> bool {
        self.key.is_empty()
    }

    /// Returns the expressions that identify a row, each followed by `end`.
    fn key_with(&self, end: &str) -> String {
        let column = |column: &String| format!("\"{column}\"{end}");
        let all: Vec<String> = self.key.iter().map(column).collect();
        if all.is_empty() { format!("rowid{end}") } else { all.join(", ") }
    }

    /// Returns the start of a query for whole rows, with their keys first.
    fn select(&self) -> String {
        format!("SELECT {}, {} FROM \"{}\"", self.key_with(""), quoted(&self.columns), self.name)
    }

    /// Returns two queries for a range of rows, by a key of one part. The first goes upward from `?1` and
    /// below `?2`; the second goes downward from below `?1` and above `?2`.
    pub(super) fn ranges(&self) -> [String; 2] {
        let (select, key) = (self.select(), self.key_with(""));
        [
            format!("{select} WHERE {key} >= ?1 AND {key} < ?2 ORDER BY {key}"),
            format!("{select} WHERE {key} < ?1 AND {key} > ?2 ORDER BY {key} DESC"),
        ]
    }

    /// Splits a row of [`TableShape::select`] into its key and its columns. A column that is an alias of the
    /// rowid gets the rowid: a damaged definition of the table may no longer say so.
    fn split(&self, mut values: Vec<Value>) -> (Key, Vec<Value>) {
        let mut columns = values.split_off(self.key.len().max(1));
        if let (Some(at), [Value::Integer(number)]) = (self.number_at, values.as_slice())
            && let Some(column) = columns.get_mut(at)
        {
            *column = Value::Integer(*number);
        }
        let key = match values.as_slice() {
            [Value::Integer(number)] if self.has_row_numbers() => Key::Row(*number),
            values => Key::Columns(key_parts(values)),
        };
        (key, columns)
    }
}

/// The key of a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// Its rowid.
    Row(i64),
    /// The columns of its primary key.
    Columns(Vec<KeyPart>),
}

impl Key {
    fn values(&self) -> Vec<Value> {
        match self {
            Self::Row(number) => vec![Value::Integer(*number)],
            Self::Columns(columns) => columns.iter().map(KeyPart::value).collect(),
        }
    }
}

/// Returns the tables of a schema by name, except those of the search index, which are rebuilt from others.
pub(super) fn tables(connection: &Connection) -> Result<Vec<TableShape>, Error> {
    let mut query = connection.prepare(
        "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%'
         AND name <> ?1 ORDER BY name",
    )?;
    let found = query.query_map([conversation_search::ROWS_TABLE], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?))
    })?;
    let found = found.collect::<Result<Vec<_>, _>>()?;
    found
        .into_iter()
        .map(|(name, without_rowid)| {
            let list = |sql: &str| -> Result<Vec<String>, Error> {
                let mut query = connection.prepare(sql)?;
                let rows = query.query_map([&name], |row| row.get(0))?;
                Ok(rows.collect::<Result<_, _>>()?)
            };
            let key = "SELECT name FROM pragma_table_info(?1) WHERE pk > 0 ORDER BY pk";
            let columns = list("SELECT name FROM pragma_table_info(?1) ORDER BY cid")?;
            let number = "SELECT name FROM pragma_table_info(?1) WHERE pk > 0 AND type = 'INTEGER'";
            let (number, key) = match without_rowid {
                true => (None, list(key)?),
                false => (list(number)?.pop(), Vec::new()),
            };
            // An index over only some of the rows cannot be used for all of them.
            let indexes =
                list("SELECT name FROM pragma_index_list(?1) WHERE partial = 0 AND origin <> 'pk'")?;
            let indexes = indexes.into_iter().map(|name| Index::read(connection, name, &key));
            Ok(TableShape {
                indexes: indexes.collect::<Result<_, _>>()?,
                number_at: columns.iter().position(|column| Some(column) == number.as_ref()),
                columns,
                key,
                name,
            })
        })
        .collect()
}

/// Copies the readable rows of a table.
pub(super) fn copy(source: &Source, target: &Connection, table: &TableShape) -> Result<Table, Error> {
    target.execute_batch("BEGIN")?;
    let mut copying = TableCopy::new(source, target, table)?;
    copying.run()?;
    let TableCopy { saved, lost, unsearched, is_unreadable, .. } = copying;
    target.execute_batch("COMMIT")?;
    Ok(Table { name: table.name.clone(), saved, lost, unsearched, damaged_pages: 0, is_unreadable })
}

/// A table copy in progress.
pub(super) struct TableCopy<'a> {
    pub(super) source: &'a Source,
    target: &'a Connection,
    pub(super) table: &'a TableShape,
    insert: String,
    /// The number of bytes of rows that may still be read.
    bytes_left: u64,
    /// The keys of all rows that were read.
    pub(super) read: BTreeSet<Key>,
    /// Rows, as text, that have another row's key.
    others: BTreeSet<String>,
    saved: u64,
    lost: u64,
    pub(super) unsearched: u64,
    is_unreadable: bool,
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
    fn new(source: &'a Source, target: &'a Connection, table: &'a TableShape) -> Result<Self, Error> {
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

    fn run(&mut self) -> Result<(), Error> {
        let select = self.table.select();
        if self.source.connection.prepare(&select).is_err() {
            self.is_unreadable = true;
            return Ok(());
        }
        let forwards = self.walk(&format!("{select} ORDER BY {}", self.table.key_with("")), &[])?;
        let backwards = match forwards.ended {
            true => Walk::default(),
            false => self.walk(&format!("{select} ORDER BY {}", self.table.key_with(" DESC")), &[])?,
        };
        let indexed = self.read_indexed_keys()?;
        self.look_up(&indexed)?;
        if !forwards.ended && !indexed.is_complete {
            self.search_gap(&forwards, &backwards, &indexed)?;
        }
        self.is_unreadable = !forwards.ended && !indexed.is_complete && self.saved == 0;
        // A row that an index names and that was not read is lost; rows that could not be stored are counted
        // already.
        self.lost += indexed.keys.difference(&self.read).count() as u64;
        Ok(())
    }

    /// Stores a row; a row that the table does not accept counts as lost.
    fn insert_row(&mut self, values: Vec<Value>) -> Result<(), Error> {
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

    /// Stores the rows that indexes name and that no walk found.
    fn look_up(&mut self, indexed: &IndexedKeys) -> Result<(), Error> {
        let (select, key) = (self.table.select(), self.table.key_with(""));
        let tests = self.table.key_with(" = ?").replace(", ", " AND ");
        let placeholders = vec!["?"; self.table.key.len().max(1)].join(", ");
        // SQLite finds the first row from the key on through the page before it, or the last row up to the
        // key through the page after it. One of the two pages may be damaged.
        let ways = [
            format!("{select} WHERE {tests}"),
            format!(
                "{select} WHERE ({key}) <= ({placeholders}) ORDER BY {} LIMIT 1",
                self.table.key_with(" DESC")
            ),
        ];
        let missing: Vec<Key> = indexed.keys.difference(&self.read).cloned().collect();
        let source = self.source;
        for key in missing {
            if !self.has_budget() {
                break;
            }
            for way in &ways {
                let found = source.connection.prepare_cached(way).and_then(|mut query| {
                    query.query_row(params_from_iter(key.values()), |row| values(row, 0))
                });
                let Ok(found) = found else { continue };
                self.bytes_left = self.bytes_left.saturating_sub(bytes(&found));
                let (found, columns) = self.table.split(found);
                if found == key && self.read.insert(found) {
                    self.insert_row(columns)?;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Returns the highest rowid that was ever used, if the table records it.
    pub(super) fn highest_row_number(&self) -> Option<i64> {
        let sql = "SELECT seq FROM (SELECT name, seq FROM sqlite_sequence LIMIT ?2) WHERE name = ?1";
        self.source.connection.query_row(sql, (&self.table.name, SEQUENCES_MAX), |row| row.get(0)).ok()
    }

    /// Returns how the keys of this table map to numbers, if they do.
    pub(super) fn scale(&self, indexed: &IndexedKeys) -> Option<Scale> {
        match self.table.key.len() {
            0 => Some(Scale::Rows),
            1 => {
                let some = if self.read.is_empty() { &indexed.keys } else { &self.read };
                // The first and last keys may be damaged.
                some.iter().skip(some.len() / 2).find_map(|key| match key {
                    Key::Columns(columns) => Scale::of_ids(columns),
                    Key::Row(_) => None,
                })
            }
            _ => None,
        }
    }
}

/// Removes rows from the new database that this Lar could not read.
pub(super) fn refuse_unreadable(target: &Connection, tables: &mut [Table]) -> Result<(), Error> {
    type Reader = fn(&Row<'_>) -> rusqlite::Result<()>;
    let readers: [(&str, &str, Reader); 5] = [
        ("users", "id", |row| crate::users::user(row).map(drop)),
        ("keys", "id", |row| crate::keys::record(row).map(drop)),
        ("conversations", "id", |row| crate::conversations::conversation(row).map(drop)),
        ("messages", "id", |row| crate::messages::message(row).map(drop)),
        ("memories", "seq", |row| crate::memories::memory(row).map(drop)),
    ];
    for (name, key, reader) in readers {
        // Older schemas do not have all of these tables.
        if !target.table_exists(None, name)? {
            continue;
        }
        let mut bad: Vec<Value> = Vec::new();
        {
            let mut query = target.prepare(&format!("SELECT * FROM {name}"))?;
            let mut rows = query.query([])?;
            while let Some(row) = rows.next()? {
                match reader(row) {
                    Ok(()) => {}
                    // A column that this schema does not have yet says nothing about the row.
                    Err(rusqlite::Error::InvalidColumnName(_)) => break,
                    Err(error) if is_newer(&error) => return Err(error.into()),
                    Err(_) => bad.push(row.get(key)?),
                }
            }
        }
        for value in &bad {
            target.execute(&format!("DELETE FROM {name} WHERE {key} = ?1"), [value])?;
        }
        if let Some(table) = tables.iter_mut().find(|table| table.name == name) {
            table.saved = table.saved.saturating_sub(bad.len() as u64);
            table.lost += bad.len() as u64;
        }
    }
    Ok(())
}

/// Returns the values of a row from a column on. Invalid UTF-8 is replaced.
fn values(row: &Row<'_>, from: usize) -> rusqlite::Result<Vec<Value>> {
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
fn bytes(values: &[Value]) -> u64 {
    let lengths = values.iter().map(|value| match value {
        Value::Text(text) => text.len() as u64,
        Value::Blob(bytes) => bytes.len() as u64,
        Value::Null | Value::Integer(_) | Value::Real(_) => 0,
    });
    ROW_BYTES_MIN + lengths.sum::<u64>()
}

fn quoted(columns: &[String]) -> String {
    columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ")
}

/// A value of a key, with an order of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KeyPart {
    Null,
    Integer(i64),
    Text(String),
    Other(Vec<u8>),
}

impl KeyPart {
    fn value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Integer(number) => Value::Integer(*number),
            Self::Text(text) => Value::Text(text.clone()),
            Self::Other(bytes) => Value::Blob(bytes.clone()),
        }
    }
}

pub(super) fn key_parts(values: &[Value]) -> Vec<KeyPart> {
    let one = |value: &Value| match value {
        Value::Null => KeyPart::Null,
        Value::Integer(number) => KeyPart::Integer(*number),
        Value::Text(text) => KeyPart::Text(text.clone()),
        Value::Blob(bytes) => KeyPart::Other(bytes.clone()),
        Value::Real(number) => KeyPart::Other(number.to_be_bytes().to_vec()),
    };
    values.iter().map(one).collect()
}
