//! Saves the readable part of a damaged database into a new database that is whole. Every table is read row
//! by row, around the unreadable pages. [`rows`] reads a table, [`gaps`] searches for readable rows between
//! damaged pages, [`identify`] decides which schema the database has, and [`schema`] replaces damaged
//! definitions of tables. Damage that SQLite does not notice is found without it: [`page_account`] counts
//! pages that nothing refers to any more, and [`indexes`] reads which lost rows the indexes name. Every query
//! ends ([`source`]).
//!
//! The damaged file is not changed. A copy is read, whose header is repaired if it is damaged or names more
//! pages than exist. Committed transactions of the write-ahead log are written into the copy first
//! ([`crate::wal`]). If the log is damaged, that includes everything intact after the damage, which SQLite
//! would drop. A log that the disk cannot read is skipped, and the report says so. A changed letter in a text
//! is not found: SQLite has no checksums for it.

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

use lar_base::error_chain;
use lar_base::files::is_disk_full;
use rusqlite::Connection;

pub use self::files::{find_leftovers, remove_leftovers};

use self::definitions::Definitions;
use self::files::WorkingFiles;
use self::source::Source;
use crate::backup::refuse_damaged;
use crate::{Error, answer_memories, beside, conversation_search, location, migrations, wal};

/// The result for one table.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The number of rows in the new database.
    pub saved: u64,
    /// The number of rows that are known to have existed, but could not be read or had invalid values. If a
    /// whole branch of a table is lost, its number of rows is unknown.
    pub lost: u64,
    /// The number of gaps between rows that were not searched to the end. Searching them would take too long,
    /// or the keys in them cannot be guessed. 0 if every readable row was found.
    pub unsearched: u64,
    /// The number of its pages that are damaged or refer to a page that is not the table's. Rows on or below
    /// such pages may be missing without being counted in [`Table::lost`].
    pub damaged_pages: u64,
    /// Whether the table could be read neither from its start nor from its end. Then its number of rows is
    /// unknown.
    pub is_unreadable: bool,
}

/// The result of a salvage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SalvageReport {
    /// The path of the new database.
    pub database: PathBuf,
    /// The schema of the damaged database. The new database has the newest schema, if it could be migrated.
    pub schema: Schema,
    /// Every table, by name.
    pub tables: Vec<Table>,
    /// The number of pages with content that nothing in the database refers to any more. Rows on them are
    /// lost and not counted, unless an index names them ([`Table::lost`]). The pages may also have belonged
    /// to indexes, which are rebuilt. If the header is lost, free pages with content count, too.
    pub unreached_pages: u64,
    /// The number of rows that refer to a lost row. They were changed to stand alone, or left out.
    pub unlinked: u64,
    /// The changes read from the write-ahead log.
    pub log: LogReport,
}

/// The schema of a damaged database, and how it was determined.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Schema {
    /// Its number, from 1.
    pub number: u32,
    /// The number in the damaged header; `None` if that is lost. If it differs from [`Schema::number`], the
    /// definitions of tables contradict it, and they decide.
    pub in_header: Option<u32>,
    /// Tables, and columns as `table.column`, that the new database may lack. The damaged one has them if its
    /// schema is newer than [`Schema::number`]; too many definitions are damaged to tell. Usually empty.
    pub may_lack: Vec<String>,
    /// The tables that no schema of this Lar has, such as another program's. They were not saved.
    pub unknown_tables: Vec<String>,
}

/// The changes that were read from the write-ahead log.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct LogReport {
    /// The number of committed transactions that were read.
    pub transactions: u64,
    /// The numbers of the database's pages, from 1 and in order, whose newest version in the log is damaged.
    /// An older version was read instead, so the last changes to its rows are missing. Empty if the log is
    /// whole.
    pub skipped_pages: Vec<u32>,
    /// Whether the log ends in an incomplete transaction, after a power failure or damage. Then the last
    /// change is missing.
    pub is_incomplete: bool,
    /// Why the log could not be read, in the system's words. Then none of its changes were saved. `None` if
    /// it was read.
    pub unreadable: Option<String>,
}

/// Saves the readable part of the database at `damaged` into the new file `to`. Working files are beside `to`
/// meanwhile ([`remove_leftovers`]); `to` itself exists only once it is complete.
///
/// # Errors
/// When `to` exists or cannot be written; when another salvage writes it; when nothing in the database can be
/// read; when a newer Lar or another program made it; when it is a link that has a log beside it; when the
/// log is written to meanwhile. An unreadable write-ahead log is not an error: see [`LogReport::unreadable`].
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
    // Lar's own definitions fit any file, even one that never was a database.
    if is_mended && tables.iter().all(|table| table.saved == 0) {
        return Err(Error::Corrupt { path: None, faults: vec!["nothing in it can be read".into()] });
    }
    let unlinked = repair::repair_references(&target)?;
    // One transaction writes the search index for all texts together: ten times faster than text by text, and
    // 1 % smaller. No `VACUUM`: it made a new database of 8 MB only 2 % smaller (November 2026), and takes as
    // much space again.
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

/// Migrates the new database to the newest schema, if possible. Without it, the migration at the next start
/// would take missing memories for erased ones, although they may be lost.
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
        tracing::warn!(
            error = %error_chain(error),
            schema,
            "could not migrate the new database; it keeps its old schema"
        );
    }
    Ok(target.execute_batch(if brought.is_ok() { "COMMIT" } else { "ROLLBACK" })?)
}

/// Creates the tables of a schema in an empty database, without the rows that migrations insert.
fn make_empty(connection: &Connection, schema: u32) -> Result<(), Error> {
    migrations::create_schema(connection, schema)?;
    for table in rows::tables(connection)? {
        connection.execute(&format!("DELETE FROM \"{}\"", table.name), [])?;
    }
    Ok(())
}

/// Writes the committed transactions of the damaged database's write-ahead log into the copy. Writes none if
/// the log cannot be read to its end.
///
/// # Errors
/// When the log changed meanwhile, or there is no space for the copy.
fn apply_log(damaged: &Path, files: &WorkingFiles) -> Result<LogReport, Error> {
    let applied = match wal::Log::read(damaged, &files.copy).and_then(|log| log.apply()) {
        Ok(applied) => applied,
        // A full disk says nothing about the log.
        Err(error) if is_disk_full(&error) => return Err(Error::Backup(error)),
        // The database is in use. Its log can be saved when it no longer is.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            return Err(Error::Unusable {
                path: beside(damaged, location::WAL_SUFFIX),
                reason: "changed while it was read, so nothing was saved".into(),
                step: "stop the Lar that uses this database, then try again".into(),
            });
        }
        Err(error) => {
            let database = damaged.display();
            tracing::error!(
                %database,
                error = %error_chain(&error),
                "the write-ahead log cannot be read and is skipped"
            );
            // The copy may have some of the log's pages without others that belong to them.
            files.fill(damaged)?;
            return Ok(LogReport { unreadable: Some(error.to_string()), ..LogReport::default() });
        }
    };
    let wal::Applied { transactions, skipped_pages, is_incomplete } = applied;
    if !skipped_pages.is_empty() {
        tracing::error!(
            pages = ?skipped_pages,
            "the newest versions of these pages are damaged in the write-ahead log; older versions are used"
        );
    }
    Ok(LogReport { transactions, skipped_pages, is_incomplete, unreadable: None })
}
