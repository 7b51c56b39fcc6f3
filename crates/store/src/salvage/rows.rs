//! Reads a table row by row, around the unreadable parts.
//!
//! A table is walked forward and, if that fails, backward ([`super::table_copy`]). Each row that an index
//! names ([`super::indexes`]) and that no walk found is looked up. If no index is whole, the gap between the
//! two walks is searched ([`super::gaps`]). Rows are copied with their values as they are.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::indexes::{IndexedKeys, read_indexed_keys};
use super::report::Table;
use super::row_keys::Key;
use super::source::Source;
use super::table_copy::{TableCopy, Walk, bytes, values};
use super::table_shape::TableShape;
use crate::Error;
use crate::json_columns::is_newer;

/// Copies the readable rows of a table.
pub(super) fn copy(source: &Source, target: &Connection, table: &TableShape) -> Result<Table, Error> {
    target.execute_batch("BEGIN")?;
    let mut copying = TableCopy::new(source, target, table)?;
    copying.run()?;
    let TableCopy { saved, lost, unsearched, is_unreadable, .. } = copying;
    target.execute_batch("COMMIT")?;
    Ok(Table { name: table.name.clone(), saved, lost, unsearched, damaged_pages: 0, is_unreadable })
}

impl TableCopy<'_> {
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
        let indexed = read_indexed_keys(self.source, self.table)?;
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
}

/// Removes rows from the new database that this Lar could not read.
pub(super) fn refuse_unreadable(target: &Connection, tables: &mut [Table]) -> Result<(), Error> {
    type Reader = fn(&Row<'_>) -> rusqlite::Result<()>;
    let readers: [(&str, &str, Reader); 5] = [
        ("users", "id", |row| crate::users::user(row).map(drop)),
        ("keys", "id", |row| crate::keys::record(row).map(drop)),
        ("conversations", "id", |row| crate::conversations::rows::read_conversation(row).map(drop)),
        ("messages", "id", |row| crate::messages::message(row).map(drop)),
        ("memories", "seq", |row| crate::memories::rows::read_memory(row).map(drop)),
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
