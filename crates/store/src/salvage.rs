//! Saves what can still be read of a damaged database: every table row by row, around the pages that cannot be read, into
//! a new database that is whole. How a table is read is in [`rows`], how readable rows between damaged pages are searched for
//! in [`gaps`], which schema the database has is decided in [`identify`], and what stands in for damaged definitions of tables is
//! in [`schema`].
//!
//! Nothing is written to the damaged file: a copy is read, whose header is repaired where it is broken or names more
//! pages than there are. What was committed to the write-ahead log is written into the copy first ([`crate::wal`]): where
//! the log is damaged, what is intact behind the damage, too, which SQLite would leave out. A log that the disk does not
//! read any more is left out, and the report says so. What SQLite cannot tell, a changed letter in a text, is not found
//! here either.

mod definitions;
mod files;
mod gaps;
mod identify;
mod pages;
mod repair;
mod rows;
mod schema;
#[cfg(test)]
mod tests;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use lar_base::files::is_disk_full;
use rusqlite::{Connection, OpenFlags};

pub use self::files::remove_leftovers;

use self::files::Files;
use crate::backup::refuse_damaged;
use crate::{Error, beside, conversation_search, location, migrations, wal};

/// What became of the rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Rows that are in the new database.
    pub saved: u64,
    /// Rows that are known to have been there and could not be read, or held what the table never holds. Where a whole
    /// branch of a table is lost nobody knows how many there were.
    pub lost: u64,
    /// Gaps between rows that were not searched to the end because that would have taken too long. Zero when every row
    /// that can be read was found.
    pub unsearched: u64,
    /// Whether the table could not be read from its beginning nor from its end, so that nobody knows how many rows it had.
    pub is_unreadable: bool,
}

/// What was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvaged {
    /// The new database.
    pub database: PathBuf,
    /// Which schema the damaged database has, and so the new one.
    pub schema: Schema,
    /// Every table, by name.
    pub tables: Vec<Table>,
    /// Rows that refer to one that was lost: they were changed so that they stand alone, or left out.
    pub unlinked: u64,
    /// What the write-ahead log gave.
    pub log: Log,
}

/// The schema of a damaged database, and what that is known by.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Schema {
    /// Its number, from 1.
    pub number: u32,
    /// The number in the damaged header; none where that is lost. Where it is not [`Schema::number`], the definitions of tables
    /// contradict it, and they were believed.
    pub in_header: Option<u32>,
    /// Tables, and columns as `table.column`, that the database has if it is of a newer schema than [`Schema::number`]: so many
    /// definitions are damaged that they do not tell. Nothing of these was saved. Empty in most cases.
    pub may_lack: Vec<String>,
    /// Tables that no schema of this program has, such as another program's. Nothing of these was saved.
    pub unknown_tables: Vec<String>,
}

/// What was taken from the write-ahead log.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Log {
    /// Committed transactions whose changes were read.
    pub transactions: u64,
    /// Numbers of the database's pages, from 1 and in order, whose newest version is damaged in the log. An older version
    /// was read in its place, so the last changes to its rows are missing. Empty when the log is whole.
    pub skipped_pages: Vec<u32>,
    /// Why the log could not be read, in the system's words: then nothing of it was saved. None when it was read.
    pub unreadable: Option<String>,
}

/// Saves what can be read of the database at `damaged` into the new file `to`. Working files lie beside that meanwhile
/// ([`remove_leftovers`]); `to` itself is there once it is whole.
///
/// # Errors
/// When `to` is there already or cannot be written; when another salvage writes it; when nothing of the database can be read;
/// when a newer Lar or another program made it; when it is a link and its log lies beside that; when somebody writes to its log
/// meanwhile. A write-ahead log that cannot be read is no error: [`Log::unreadable`] says so.
pub fn salvage(damaged: &Path, to: &Path) -> Result<Salvaged, Error> {
    let damaged = &location::locate(damaged)?;
    let files = Files::make(damaged, to)?;
    let log = apply_log(damaged, &files)?;
    let header = repair::header(&files.copy)?;
    let schema = identify::schema(&files.copy, damaged, header)?;
    let is_mended = schema::mend(&files.copy, schema.number)?;
    let source = open_damaged(&files.copy)?;
    let target = Connection::open(&files.unfinished)?;
    target
        .execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF")?;
    make_empty(&target, schema.number)?;
    let mut tables = Vec::new();
    for table in rows::tables(&target)? {
        tables.push(rows::copy(&source, &target, &table)?);
    }
    rows::refuse_unreadable(&target, &mut tables)?;
    // Definitions of our own fit any file, also one that was no database.
    if is_mended && tables.iter().all(|table| table.saved == 0) {
        return Err(Error::Corrupt { path: None, faults: vec!["nothing of it can be read".into()] });
    }
    let unlinked = repair::links(&target)?;
    conversation_search::rebuild(&target)?;
    target.execute_batch("PRAGMA synchronous = FULL; PRAGMA journal_mode = DELETE")?;
    drop((source, target));
    refuse_damaged(&files.unfinished)?;
    let database = files.finish()?;
    Ok(Salvaged { database, schema, tables, unlinked, log })
}

/// Makes the tables of a schema in a database that has none, without the rows that migrations put into them.
fn make_empty(connection: &Connection, schema: u32) -> Result<(), Error> {
    migrations::make(connection, schema)?;
    for table in rows::tables(connection)? {
        connection.execute(&format!("DELETE FROM \"{}\"", table.name), [])?;
    }
    Ok(())
}

/// Writes what was committed to the write-ahead log of the damaged database into the copy; nothing where the log cannot be
/// read to its end.
///
/// # Errors
/// When the log changed meanwhile, or there is no room for the copy.
fn apply_log(damaged: &Path, files: &Files) -> Result<Log, Error> {
    let applied = match wal::Log::read(damaged, &files.copy).and_then(|log| log.apply()) {
        Ok(applied) => applied,
        // No room for the copy says nothing of the log.
        Err(error) if is_disk_full(&error) => return Err(Error::Backup(error)),
        // Somebody uses the database. What the log has now can be saved when nobody does.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            return Err(Error::Unusable {
                path: beside(damaged, location::LOG),
                reason: "changed while it was read, so nothing was saved".into(),
                step: "stop the Lar that uses this database, then try again".into(),
            });
        }
        Err(error) => {
            tracing::error!(database = %damaged.display(), %error, "the write-ahead log cannot be read and is left out");
            // Some of its pages may be in the copy, without those that belong to them.
            files.fill(damaged)?;
            return Ok(Log { unreadable: Some(error.to_string()), ..Log::default() });
        }
    };
    let wal::Applied { transactions, skipped_pages } = applied;
    if !skipped_pages.is_empty() {
        tracing::error!(
            pages = ?skipped_pages,
            "the newest versions of these pages are damaged in the write-ahead log: older ones are read in their place"
        );
    }
    Ok(Log { transactions, skipped_pages, unreadable: None })
}

/// A connection that reads on where others stop: page counts and the schema's text are not insisted on.
///
/// # Errors
/// When the file cannot be opened; when SQLite would not come to the end of its definitions.
fn open_damaged(path: &Path) -> Result<Connection, Error> {
    if !pages::do_definitions_end(path)? {
        let faults = vec!["the pages of its definitions lead to each other without end".into()];
        return Err(Error::Corrupt { path: None, faults });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection
        .execute_batch("PRAGMA writable_schema = ON; PRAGMA query_only = ON; PRAGMA cell_size_check = ON")?;
    Ok(connection)
}
