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
mod report;
mod row_keys;
mod rows;
mod schema;
mod source;
mod table_copy;
mod table_shape;
#[cfg(test)]
mod tests;
mod trees;

use std::io::ErrorKind;
use std::path::Path;

use lar_base::error_chain;
use lar_base::files::is_disk_full;
use rusqlite::Connection;

pub use self::files::{find_leftovers, remove_leftovers};
pub use self::report::{LogReport, SalvageReport, Schema, Table};

use self::definitions::Definitions;
use self::files::WorkingFiles;
use self::schema::make_empty;
use self::source::Source;
use crate::check::refuse_damaged;
use crate::error::Error;
use crate::sqlite_files::{WAL_SUFFIX, beside};
use crate::{answer_memories, conversation_search, location, memory_counts, migrations, wal};

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
    for table in table_shape::tables(&target)? {
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
    memory_counts::rebuild(&target)?;
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
                path: beside(damaged, WAL_SUFFIX),
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
