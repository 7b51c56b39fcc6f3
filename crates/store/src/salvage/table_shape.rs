//! The tables of a schema: their columns, keys and indexes, and the queries that read their rows.

use rusqlite::Connection;
use rusqlite::types::Value;

use super::record;
use super::row_keys::{Key, key_parts};
use crate::{Error, conversation_search, memory_counts};

/// A table of the schema.
#[derive(Debug)]
pub(super) struct TableShape {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    /// The columns of its primary key; empty for a table with rowids.
    pub(super) key: Vec<String>,
    /// The position of the column that is an alias of the rowid, if there is one.
    number_at: Option<usize>,
    pub(super) indexes: Vec<Index>,
}

impl TableShape {
    /// Returns whether its rows have rowids, and so no other key.
    pub(super) fn has_row_numbers(&self) -> bool {
        self.key.is_empty()
    }

    /// Returns the expressions that identify a row, each followed by `end`.
    pub(super) fn key_with(&self, end: &str) -> String {
        let column = |column: &String| format!("\"{column}\"{end}");
        let all: Vec<String> = self.key.iter().map(column).collect();
        if all.is_empty() { format!("rowid{end}") } else { all.join(", ") }
    }

    /// Returns the start of a query for whole rows, with their keys first.
    pub(super) fn select(&self) -> String {
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
    pub(super) fn split(&self, mut values: Vec<Value>) -> (Key, Vec<Value>) {
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

/// An index over all rows of a table.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) name: String,
    /// The number of values in an entry.
    values: usize,
    /// The positions of the row's key among them, in the key's order.
    key_at: Vec<usize>,
}

impl Index {
    /// Reads which values the entries of an index have. `key` has the columns of the table's primary key; it
    /// is empty if the table has rowids.
    fn read(connection: &Connection, name: String, key: &[String]) -> Result<Self, Error> {
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
    pub(super) fn key(&self, entry: &[u8], table: &TableShape) -> Option<Key> {
        let values = record::values(entry).filter(|values| values.len() == self.values)?;
        let key: Vec<Value> = self.key_at.iter().map(|at| values[*at].clone()).collect();
        match key.as_slice() {
            [Value::Integer(number)] if table.has_row_numbers() => Some(Key::Row(*number)),
            _ if table.has_row_numbers() => None,
            key => Some(Key::Columns(key_parts(key))),
        }
    }
}

/// Returns the tables of a schema by name, except those of the search index and the counts of memories, which
/// are rebuilt from others.
pub(super) fn tables(connection: &Connection) -> Result<Vec<TableShape>, Error> {
    let mut query = connection.prepare(
        "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%'
         AND name NOT IN (?1, ?2) ORDER BY name",
    )?;
    let found = query.query_map([conversation_search::ROWS_TABLE, memory_counts::TABLE], |row| {
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

/// Returns a list of quoted column names for SQL.
pub(super) fn quoted(columns: &[String]) -> String {
    columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ")
}
