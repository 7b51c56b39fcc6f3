//! Numbered, append-only schema migrations. `PRAGMA user_version` stores the number of the last one.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::check::refuse_damaged;
use crate::error::Error;
use crate::private_files::create_private;

/// Every migration in order; the first creates schema 1. Never edit one that has been released.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_start.sql"),
    include_str!("../migrations/0002_once.sql"),
    include_str!("../migrations/0003_tunings.sql"),
    include_str!("../migrations/0004_memories.sql"),
    include_str!("../migrations/0005_sharing.sql"),
    include_str!("../migrations/0006_memory_in_chat.sql"),
    include_str!("../migrations/0007_responses.sql"),
    include_str!("../migrations/0008_memory_anywhere.sql"),
    include_str!("../migrations/0009_taken_place.sql"),
    include_str!("../migrations/0010_reasoning.sql"),
    include_str!("../migrations/0011_conversation_scope.sql"),
    include_str!("../migrations/0012_candidates_by_key.sql"),
    include_str!("../migrations/0013_erased_words.sql"),
    include_str!("../migrations/0014_conversation_search_rows.sql"),
    include_str!("../migrations/0015_erasures_to_clear.sql"),
    include_str!("../migrations/0016_answer_memories.sql"),
    include_str!("../migrations/0017_memory_links.sql"),
    include_str!("../migrations/0018_keyword_versions.sql"),
    include_str!("../migrations/0019_memory_intentions.sql"),
    include_str!("../migrations/0020_judged_links.sql"),
    include_str!("../migrations/0021_memory_counts.sql"),
    include_str!("../migrations/0022_consolidation.sql"),
];

/// The losses that migrations cause: the schema, a query that counts the affected rows, and the warning.
const LOSSES: &[(u32, &str, &str)] = &[(
    11,
    "SELECT count(*) FROM keys WHERE removed_scopes != '[]' AND revoked_at IS NULL",
    "keys of apps can no longer access conversations; `lar keys list` shows which keys these are. Create a \
     key that can with `--scopes inference,conversations`",
)];

/// Migrates the database to the newest schema, each migration in a transaction of its own. Afterwards the
/// changes are in the write-ahead log; the writer truncates it when it starts, before it takes any other
/// change.
///
/// # Errors
/// [`Error::Newer`] when the database has a newer schema than this Lar; [`Error::Backup`] when the copy
/// failed.
pub(crate) fn run(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    let known = newest_schema();
    let found = refuse_newer(connection)?;
    if found > 0 && found < known {
        tracing::info!(
            from = found,
            to = known,
            "copying the database and migrating it; a large one takes minutes"
        );
        back_up(connection, &backup_path(path, found))?;
    }
    if found == known {
        return Ok(());
    }
    // A table that others refer to can be replaced only while foreign keys are not enforced; each commit is
    // preceded by a check of all of them. The setting can change only between transactions.
    connection.pragma_update(None, "foreign_keys", false)?;
    for (number, sql) in (found + 1..=known).zip(&MIGRATIONS[found as usize..]) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        let broken = transaction.prepare("PRAGMA foreign_key_check")?.exists([])?;
        if broken {
            return Err(Error::Conflict(format!("schema {number} would leave dangling references")));
        }
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
        if found > 0 {
            tracing::info!(schema = number, "the database was migrated to a newer schema");
            warn_of_removals(connection, number)?;
        }
    }
    if found == 0 {
        tracing::debug!(schema = known, "a new database was created");
    }
    Ok(connection.pragma_update(None, "foreign_keys", true)?)
}

/// Logs a warning if a migration took something away.
fn warn_of_removals(connection: &Connection, schema: u32) -> Result<(), Error> {
    for (_, count, message) in LOSSES.iter().filter(|(by, ..)| *by == schema) {
        let affected: u32 = connection.query_row(count, [], |row| row.get(0))?;
        if affected > 0 {
            tracing::warn!(affected, "{message}");
        }
    }
    Ok(())
}

/// Returns the schema of a database.
///
/// # Errors
/// [`Error::Newer`] when it is newer than this Lar's newest schema.
pub(crate) fn refuse_newer(connection: &Connection) -> Result<u32, Error> {
    let known = newest_schema();
    match connection.query_row("PRAGMA user_version", [], |row| row.get(0))? {
        found if found > known => Err(Error::Newer { found, known }),
        found => Ok(found),
    }
}

/// Creates the tables of this schema in an empty database.
pub(crate) fn create_schema(connection: &Connection, schema: u32) -> Result<(), Error> {
    make_from(connection, 0, schema)
}

/// Migrates a database from one schema to another, without a copy and without a transaction of its own.
pub(crate) fn make_from(connection: &Connection, from: u32, to: u32) -> Result<(), Error> {
    for sql in MIGRATIONS.iter().take(to as usize).skip(from as usize) {
        connection.execute_batch(sql)?;
    }
    Ok(connection.pragma_update(None, "user_version", to)?)
}

/// Creates the tables of the newest schema in an empty database. Returns the result of `reached` after each
/// migration, from schema 1 on.
pub(crate) fn create_each_schema<T>(
    connection: &Connection,
    reached: impl Fn(&Connection) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let step = |sql: &&str| {
        connection.execute_batch(sql)?;
        reached(connection)
    };
    MIGRATIONS.iter().map(step).collect()
}

/// Returns the newest schema of this Lar.
pub(crate) fn newest_schema() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

fn backup_path(path: &Path, schema: u32) -> PathBuf {
    path.with_extension(format!("before-schema-{}.db", schema + 1))
}

/// Copies the whole database, including the write-ahead log, checks the copy and makes it durable before it
/// gets its name. So an existing copy is replaced only by a complete one.
fn back_up(connection: &Connection, to: &Path) -> Result<(), Error> {
    let partial = to.with_extension("partial");
    let _ = std::fs::remove_file(&partial);
    drop(create_private(&partial)?);
    connection.backup("main", &partial, None::<fn(_)>)?;
    refuse_damaged(&partial)?;
    let file = std::fs::File::open(&partial).map_err(Error::Backup)?;
    file.sync_all().map_err(Error::Backup)?;
    std::fs::rename(&partial, to).map_err(Error::Backup)
}

#[cfg(test)]
mod tests;
