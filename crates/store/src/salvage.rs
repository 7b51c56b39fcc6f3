//! Saves what can still be read of a damaged database: every table row by row, around the pages that cannot be read, into
//! a new database that is whole. How a table is read is in [`rows`], how readable rows between damaged pages are searched for
//! in [`gaps`], and what stands in for damaged definitions of tables is in [`schema`].
//!
//! Nothing is written to the damaged file: a copy is read, whose header is repaired where it is broken or names more
//! pages than there are. What was committed to the write-ahead log is written into the copy first ([`crate::wal`]): where
//! the log is damaged, what is intact behind the damage, too, which SQLite would leave out. A log that the disk does not
//! read any more is left out, and the report says so. What SQLite cannot tell, a changed letter in a text, is not found
//! here either.

mod gaps;
mod repair;
mod rows;
mod schema;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use lar_base::files::is_disk_full;
use rusqlite::{Connection, OpenFlags};

use crate::backup::{new_private, refuse_damaged};
use crate::{Error, beside, conversation_search, holes, location, migrations, wal};

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
    /// Every table, by name.
    pub tables: Vec<Table>,
    /// Rows that refer to one that was lost: they were changed so that they stand alone, or left out.
    pub unlinked: u64,
    /// What the write-ahead log gave.
    pub log: Log,
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

/// Saves what can be read of the database at `damaged` into the new file `to`.
///
/// # Errors
/// When `to` is there already or cannot be written; when nothing of the database can be read; when it is a link and its log
/// lies beside that; when somebody writes to its log meanwhile. A write-ahead log that cannot be read is no error:
/// [`Log::unreadable`] says so.
pub fn salvage(damaged: &Path, to: &Path) -> Result<Salvaged, Error> {
    let damaged = &location::locate(damaged)?;
    let copy = DamagedCopy::of(damaged, to)?;
    let log = apply_log(damaged, &copy)?;
    let schema = repair::header(&copy.path)?;
    if schema > migrations::known() {
        return Err(Error::Newer { found: schema, known: migrations::known() });
    }
    let is_mended = schema::mend(&copy.path, schema)?;
    let source = open_damaged(&copy.path)?;
    drop(new_private(to).map_err(Error::Backup)?);
    let target = Connection::open(to)?;
    target
        .execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF")?;
    migrations::make(&target, schema)?;
    let mut tables = Vec::new();
    for table in rows::tables(&target)? {
        tables.push(rows::copy(&source, &target, &table)?);
    }
    rows::refuse_unreadable(&target, &mut tables)?;
    // Definitions of our own fit any file, also one that was no database.
    if is_mended && tables.iter().all(|table| table.saved == 0) {
        drop(target);
        let _ = fs::remove_file(to);
        return Err(Error::Corrupt { path: None, faults: vec!["nothing of it can be read".into()] });
    }
    let unlinked = repair::links(&target)?;
    conversation_search::rebuild(&target)?;
    target.execute_batch("PRAGMA synchronous = FULL; PRAGMA journal_mode = DELETE")?;
    drop(target);
    refuse_damaged(to)?;
    fs::File::open(to).and_then(|file| file.sync_all()).map_err(Error::Backup)?;
    Ok(Salvaged { database: to.to_owned(), tables, unlinked, log })
}

/// Writes what was committed to the write-ahead log of the damaged database into the copy; nothing where the log cannot be
/// read to its end.
///
/// # Errors
/// When the log changed meanwhile, or there is no room for the copy.
fn apply_log(damaged: &Path, copy: &DamagedCopy) -> Result<Log, Error> {
    let applied = match wal::Log::read(damaged, &copy.path).and_then(|log| log.apply()) {
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
            copy.fill(damaged)?;
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

/// A copy of the damaged database without its write-ahead log, which goes when it was read.
struct DamagedCopy {
    path: PathBuf,
}

impl DamagedCopy {
    fn of(damaged: &Path, to: &Path) -> Result<Self, Error> {
        let copy = Self { path: to.with_extension("damaged-copy") };
        copy.fill(damaged)?;
        Ok(copy)
    }

    /// Makes it what the damaged database is.
    fn fill(&self, damaged: &Path) -> Result<(), Error> {
        self.remove();
        let copied = fs::File::open(damaged)
            .and_then(|from| new_private(&self.path).and_then(|to| holes::copy(&from, &to)));
        copied.map_err(Error::Backup)
    }

    fn remove(&self) {
        for end in ["-wal", "-shm", ""] {
            let _ = fs::remove_file(beside(&self.path, end));
        }
    }
}

impl Drop for DamagedCopy {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A connection that reads on where others stop: page counts and the schema's text are not insisted on.
fn open_damaged(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection
        .execute_batch("PRAGMA writable_schema = ON; PRAGMA query_only = ON; PRAGMA cell_size_check = ON")?;
    Ok(connection)
}
