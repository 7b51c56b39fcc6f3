//! Reads a table row by row around what cannot be read.
//!
//! A table is walked forwards and backwards; where a walk breaks off it goes on behind the gap, by the next row number,
//! or by the keys that the table's other indexes still name. Rows are copied as the values they are.

use std::collections::BTreeSet;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};

use super::Table;
use crate::Error;

/// After so many row numbers that cannot be read the steps grow by one each hundred: the gap is a branch, not a page.
const STEPS_OF_ONE: u64 = 2_000;

/// A table of the schema.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) name: String,
    columns: Vec<String>,
    /// The columns of its primary key; empty for a table that is walked by row number.
    key: Vec<String>,
    indexes: Vec<String>,
}

/// The tables that a schema has, by name; the search index, which is made of others, is none of them.
pub(super) fn tables(connection: &Connection) -> Result<Vec<Shape>, Error> {
    let mut query = connection.prepare(
        "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
    )?;
    let found = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?)))?;
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
            Ok(Shape {
                columns: list("SELECT name FROM pragma_table_info(?1) ORDER BY cid")?,
                key: if without_rowid { list(key)? } else { Vec::new() },
                // One over some rows only cannot be used for all of them.
                indexes: list("SELECT name FROM pragma_index_list(?1) WHERE partial = 0 AND origin <> 'pk'")?,
                name,
            })
        })
        .collect()
}

/// Copies what can be read of a table.
pub(super) fn copy(source: &Connection, target: &Connection, table: &Shape) -> Result<Table, Error> {
    target.execute_batch("BEGIN")?;
    let mut copying = Copying::new(source, target, table);
    if table.key.is_empty() {
        copying.by_number()?;
    } else {
        copying.by_key()?;
    }
    let Copying { saved, lost, .. } = copying;
    target.execute_batch("COMMIT")?;
    Ok(Table { name: table.name.clone(), saved, lost })
}

struct Copying<'a> {
    source: &'a Connection,
    target: &'a Connection,
    table: &'a Shape,
    insert: String,
    saved: u64,
    lost: u64,
}

impl<'a> Copying<'a> {
    fn new(source: &'a Connection, target: &'a Connection, table: &'a Shape) -> Self {
        let marks = vec!["?"; table.columns.len()].join(", ");
        let insert =
            format!("INSERT OR IGNORE INTO \"{}\" ({}) VALUES ({marks})", table.name, quoted(&table.columns));
        Self { source, target, table, insert, saved: 0, lost: 0 }
    }

    /// Writes a row; one that the table cannot hold counts as lost.
    fn keep(&mut self, values: Vec<Value>) -> Result<(), Error> {
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

    /// Walks a table by its row numbers.
    fn by_number(&mut self) -> Result<(), Error> {
        let (name, columns) = (&self.table.name, quoted(&self.table.columns));
        let walk = format!("SELECT rowid, {columns} FROM \"{name}\" WHERE rowid >= ?1 ORDER BY rowid");
        let last = self.last_number();
        let (mut at, mut tried) = (i64::MIN, 0u64);
        let mut seen: Option<i64> = None;
        while at <= last {
            let (read, ended) = self.walk(&walk, at, &mut seen)?;
            if ended {
                break;
            }
            tried = if read { 0 } else { tried + 1 };
            // Behind the last row that could be read; where none could, behind the last that was tried.
            let from = if read { seen.unwrap_or(0) } else { at.max(seen.unwrap_or(0)) };
            let step = 1 + tried.saturating_sub(STEPS_OF_ONE) / 100;
            at = from.max(0).saturating_add_unsigned(step);
        }
        let known = self.known_numbers();
        let there = self.count()?;
        // What an index still names and is not there was lost; what could not be kept is counted already.
        self.lost = self.lost.max((known.len() as u64).saturating_sub(there));
        Ok(())
    }

    /// Reads rows from `at` on until it breaks off: whether any was read, and whether that was the end.
    fn walk(&mut self, sql: &str, at: i64, seen: &mut Option<i64>) -> Result<(bool, bool), Error> {
        let Ok(mut query) = self.source.prepare_cached(sql) else { return Ok((false, true)) };
        let Ok(mut rows) = query.query([at]) else { return Ok((false, false)) };
        let mut read = false;
        loop {
            match rows.next() {
                Ok(None) => return Ok((read, true)),
                Err(_) => return Ok((read, false)),
                Ok(Some(row)) => {
                    let number: i64 = row.get(0)?;
                    // A damaged page may lead back to rows that were read.
                    if seen.is_some_and(|seen| number <= seen) {
                        return Ok((read, false));
                    }
                    (*seen, read) = (Some(number), true);
                    self.keep(values(row, 1)?)?;
                }
            }
        }
    }

    /// The highest row number that the table or an index knows of, or that was ever given.
    fn last_number(&self) -> i64 {
        let name = &self.table.name;
        let one =
            |sql: &str| self.source.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).ok().flatten();
        let walked = one(&format!("SELECT rowid FROM \"{name}\" ORDER BY rowid DESC LIMIT 1"));
        let given = one(&format!("SELECT seq FROM sqlite_sequence WHERE name = '{name}'"));
        let known = self.known_numbers().last().copied();
        walked.max(given).max(known).unwrap_or(i64::from(u32::MAX))
    }

    /// The row numbers that the table's other indexes name, as far as they can be read.
    fn known_numbers(&self) -> BTreeSet<i64> {
        let mut known = BTreeSet::new();
        for index in &self.table.indexes {
            let sql = format!("SELECT rowid FROM \"{}\" INDEXED BY \"{index}\"", self.table.name);
            let Ok(mut query) = self.source.prepare(&sql) else { continue };
            let Ok(mut rows) = query.query([]) else { continue };
            while let Ok(Some(row)) = rows.next() {
                known.extend(row.get::<_, i64>(0));
            }
        }
        known
    }

    fn count(&self) -> Result<u64, Error> {
        let sql = format!("SELECT count(*) FROM \"{}\"", self.table.name);
        Ok(self.target.query_row(&sql, [], |row| row.get(0))?)
    }

    /// Walks a table by its key in both directions, then looks up what its indexes name beside that.
    fn by_key(&mut self) -> Result<(), Error> {
        let (name, columns, key) = (&self.table.name, quoted(&self.table.columns), quoted(&self.table.key));
        let mut read: BTreeSet<Vec<Sortable>> = BTreeSet::new();
        let backwards =
            self.table.key.iter().map(|column| format!("\"{column}\" DESC")).collect::<Vec<_>>().join(", ");
        for order in [key.clone(), backwards] {
            let sql = format!("SELECT {columns} FROM \"{name}\" ORDER BY {order}");
            self.take_new(&sql, &mut read)?;
        }
        let mut known: BTreeSet<Vec<Sortable>> = BTreeSet::new();
        for index in &self.table.indexes {
            let sql = format!("SELECT {key} FROM \"{name}\" INDEXED BY \"{index}\"");
            let Ok(mut query) = self.source.prepare(&sql) else { continue };
            let Ok(mut rows) = query.query([]) else { continue };
            while let Ok(Some(row)) = rows.next() {
                known.insert(sortable(&values(row, 0)?));
            }
        }
        let tests = self.table.key.iter().map(|column| format!("\"{column}\" IS ?"));
        let lookup =
            format!("SELECT {columns} FROM \"{name}\" WHERE {}", tests.collect::<Vec<_>>().join(" AND "));
        for key in known.difference(&read.clone()) {
            let found = self.source.prepare_cached(&lookup).and_then(|mut query| {
                query.query_row(params_from_iter(key.iter().map(Sortable::value)), |row| values(row, 0))
            });
            match found {
                Ok(values) => self.keep(values)?,
                Err(_) => self.lost += 1,
            }
        }
        Ok(())
    }

    /// Keeps the rows of a query whose keys are new, until it breaks off.
    fn take_new(&mut self, sql: &str, read: &mut BTreeSet<Vec<Sortable>>) -> Result<(), Error> {
        let places: Vec<usize> = self
            .table
            .key
            .iter()
            .filter_map(|key| self.table.columns.iter().position(|column| column == key))
            .collect();
        let Ok(mut query) = self.source.prepare(sql) else { return Ok(()) };
        let Ok(mut rows) = query.query([]) else { return Ok(()) };
        while let Ok(Some(row)) = rows.next() {
            let values = values(row, 0)?;
            let key: Vec<Value> = places.iter().map(|place| values[*place].clone()).collect();
            // A walk that meets what it read before goes in a circle, or is at what the other direction read.
            if !read.insert(sortable(&key)) {
                break;
            }
            self.keep(values)?;
        }
        Ok(())
    }
}

/// Takes rows out of the new database that this program could not read there.
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
        let mut bad: Vec<Value> = Vec::new();
        {
            let mut query = target.prepare(&format!("SELECT * FROM {name}"))?;
            let mut rows = query.query([])?;
            while let Some(row) = rows.next()? {
                match reader(row) {
                    Ok(()) => {}
                    // A column that this schema has not yet says nothing of the row.
                    Err(rusqlite::Error::InvalidColumnName(column)) if !column.contains(' ') => break,
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

/// The values of a row from a column on; text that is no UTF-8 is kept as far as it is.
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

fn quoted(columns: &[String]) -> String {
    columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ")
}

/// A value of a key, in an order of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Sortable {
    Null,
    Integer(i64),
    Text(String),
    Other(Vec<u8>),
}

impl Sortable {
    fn value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Integer(number) => Value::Integer(*number),
            Self::Text(text) => Value::Text(text.clone()),
            Self::Other(bytes) => Value::Blob(bytes.clone()),
        }
    }
}

fn sortable(values: &[Value]) -> Vec<Sortable> {
    let one = |value: &Value| match value {
        Value::Null => Sortable::Null,
        Value::Integer(number) => Sortable::Integer(*number),
        Value::Text(text) => Sortable::Text(text.clone()),
        Value::Blob(bytes) => Sortable::Other(bytes.clone()),
        Value::Real(number) => Sortable::Other(number.to_be_bytes().to_vec()),
    };
    values.iter().map(one).collect()
}
