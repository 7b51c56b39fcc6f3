//! Saves what can still be read of a damaged database: every table row by row, around the pages that cannot be read, into
//! a new database that is whole. How a table is read is in [`rows`], how readable rows between damaged pages are searched for
//! in [`gaps`], which schema the database has is decided in [`identify`], and what stands in for damaged definitions of tables is
//! in [`schema`]. What SQLite does not notice is found without it: pages that nothing leads to any more are counted in
//! [`reached`], and what indexes name of lost rows is read in [`indexes`]. No query is without end ([`source`]).
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
mod indexes;
mod page_account;
mod pages;
mod record;
mod repair;
mod rows;
mod schema;
mod source;
#[cfg(test)]
mod tests;
mod trees;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use lar_base::files::is_disk_full;
use rusqlite::Connection;

pub use self::files::{find_leftovers, remove_leftovers};

use self::definitions::Definitions;
use self::files::WorkingFiles;
use self::source::Source;
use crate::backup::refuse_damaged;
use crate::{Error, answer_memories, beside, conversation_search, location, migrations, wal};

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
    /// Gaps between rows that were not searched to the end, because that would have taken too long or because nobody can say
    /// which keys are in one. Zero when every row that can be read was found.
    pub unsearched: u64,
    /// Its pages that are damaged, or that lead to what is no page of it. Rows that were on them, or behind them, may be missing
    /// without being counted in [`Table::lost`].
    pub damaged_pages: u64,
    /// Whether the table could not be read from its beginning nor from its end, so that nobody knows how many rows it had.
    pub is_unreadable: bool,
}

/// What was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SalvageReport {
    /// The new database.
    pub database: PathBuf,
    /// Which schema the damaged database has. The new one has the newest.
    pub schema: Schema,
    /// Every table, by name.
    pub tables: Vec<Table>,
    /// Pages that hold something and that nothing in the database leads to any more. Rows that were on them are lost and
    /// counted nowhere, unless an index names them ([`Table::lost`]); they may also have held indexes only, which are made anew.
    /// Where the header is lost, free pages with something on them are among these.
    pub unreached_pages: u64,
    /// Rows that refer to one that was lost: they were changed so that they stand alone, or left out.
    pub unlinked: u64,
    /// What the write-ahead log gave.
    pub log: LogReport,
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
pub struct LogReport {
    /// Committed transactions whose changes were read.
    pub transactions: u64,
    /// Numbers of the database's pages, from 1 and in order, whose newest version is damaged in the log. An older version
    /// was read in its place, so the last changes to its rows are missing. Empty when the log is whole.
    pub skipped_pages: Vec<u32>,
    /// Whether the log ends in a transaction that cannot be read, after a power failure or by damage: the last change is missing.
    pub is_incomplete: bool,
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
pub fn salvage(damaged: &Path, to: &Path) -> Result<SalvageReport, Error> {
    let damaged = &location::locate(damaged)?;
    let files = WorkingFiles::make(damaged, to)?;
    let log = apply_log(damaged, &files)?;
    let before = page_account::OriginalFile::read(&files.copy)?;
    let header = repair::repair_header(&files.copy)?;
    let schema = identify::schema(&files.copy, damaged, header)?;
    let unmended = Definitions::of_copy(&files.copy);
    let is_mended = schema::repair_definitions(&files.copy, schema.number)?;
    let source = Source::open(&files.copy)?;
    let accounts =
        page_account::count_pages(&files.copy, &before, &Definitions::of_copy(&files.copy), &unmended)?;
    let target = Connection::open(&files.unfinished)?;
    target
        .execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF")?;
    make_empty(&target, schema.number)?;
    let mut tables = Vec::new();
    for table in rows::tables(&target)? {
        let damaged_pages = accounts.damaged.get(&table.name).copied().unwrap_or_default();
        tables.push(Table { damaged_pages, ..rows::copy(&source, &target, &table)? });
    }
    rows::refuse_unreadable(&target, &mut tables)?;
    // Definitions of our own fit any file, also one that was no database.
    if is_mended && tables.iter().all(|table| table.saved == 0) {
        return Err(Error::Corrupt { path: None, faults: vec!["nothing of it can be read".into()] });
    }
    let unlinked = repair::repair_references(&target)?;
    // As one transaction, so that words are written together and not text by text: ten times faster, and 1 % smaller. Without
    // `VACUUM` all the same: it made a new database of 8 MB 2 % smaller (November 2026), and takes as much room again.
    target.execute_batch("BEGIN")?;
    conversation_search::rebuild(&target)?;
    answer_memories::add_missing(&target)?;
    target.execute_batch("COMMIT")?;
    bring_to_newest(&target, schema.number)?;
    target.execute_batch("PRAGMA synchronous = FULL; PRAGMA journal_mode = DELETE")?;
    drop((source, target));
    refuse_damaged(&files.unfinished)?;
    let database = files.finish()?;
    Ok(SalvageReport { database, schema, tables, unreached_pages: accounts.unreached, unlinked, log })
}

/// Brings the new database to the newest schema, where that can be done. When it is opened otherwise, a migration takes memories that
/// are not there for erased ones, and here they may be lost.
fn bring_to_newest(target: &Connection, schema: u32) -> Result<(), Error> {
    if schema >= migrations::newest_schema() {
        return Ok(());
    }
    target.execute_batch("BEGIN")?;
    let mut brought = migrations::make_from(target, schema, migrations::newest_schema());
    if schema < answer_memories::SCHEMA {
        brought = brought.and_then(|()| answer_memories::keep_lost(target));
    }
    if let Err(error) = &brought {
        tracing::warn!(%error, schema, "the new database keeps the schema of the damaged one");
    }
    Ok(target.execute_batch(if brought.is_ok() { "COMMIT" } else { "ROLLBACK" })?)
}

/// Makes the tables of a schema in a database that has none, without the rows that migrations put into them.
fn make_empty(connection: &Connection, schema: u32) -> Result<(), Error> {
    migrations::create_schema(connection, schema)?;
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
fn apply_log(damaged: &Path, files: &WorkingFiles) -> Result<LogReport, Error> {
    let applied = match wal::Log::read(damaged, &files.copy).and_then(|log| log.apply()) {
        Ok(applied) => applied,
        // No room for the copy says nothing of the log.
        Err(error) if is_disk_full(&error) => return Err(Error::Backup(error)),
        // Somebody uses the database. What the log has now can be saved when nobody does.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            return Err(Error::Unusable {
                path: beside(damaged, location::WAL_SUFFIX),
                reason: "changed while it was read, so nothing was saved".into(),
                step: "stop the Lar that uses this database, then try again".into(),
            });
        }
        Err(error) => {
            tracing::error!(database = %damaged.display(), %error, "the write-ahead log cannot be read and is left out");
            // Some of its pages may be in the copy, without those that belong to them.
            files.fill(damaged)?;
            return Ok(LogReport { unreadable: Some(error.to_string()), ..LogReport::default() });
        }
    };
    let wal::Applied { transactions, skipped_pages, is_incomplete } = applied;
    if !skipped_pages.is_empty() {
        tracing::error!(
            pages = ?skipped_pages,
            "the newest versions of these pages are damaged in the write-ahead log: older ones are read in their place"
        );
    }
    Ok(LogReport { transactions, skipped_pages, is_incomplete, unreadable: None })
}
