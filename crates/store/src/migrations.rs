//! Numbered, append-only changes of the schema. `PRAGMA user_version` holds the number reached.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::Error;

/// Every migration in order; the first makes schema 1. Never edit one that has been released.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_start.sql"),
    include_str!("../migrations/0002_once.sql"),
    include_str!("../migrations/0003_tunings.sql"),
    include_str!("../migrations/0004_memories.sql"),
];

/// Brings the database to the newest schema, each migration in a transaction of its own.
///
/// # Errors
/// [`Error::Newer`] when the database is ahead of this program; [`Error::Backup`] when the copy failed.
pub(crate) fn run(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > known {
        return Err(Error::Newer { found, known });
    }
    if found > 0 && found < known {
        back_up(connection, &backup_path(path, found))?;
    }
    for (number, sql) in (found + 1..=known).zip(&MIGRATIONS[found as usize..]) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
        tracing::info!(schema = number, "the database was brought to a newer schema");
    }
    Ok(())
}

fn backup_path(path: &Path, schema: u32) -> PathBuf {
    path.with_extension(format!("before-schema-{}.db", schema + 1))
}

/// Copies the whole database, write-ahead log included, and makes the copy durable before it gets its name.
fn back_up(connection: &Connection, to: &Path) -> Result<(), Error> {
    let partial = to.with_extension("partial");
    let _ = std::fs::remove_file(&partial);
    connection.backup("main", &partial, None::<fn(_)>)?;
    let file = std::fs::File::open(&partial).map_err(Error::Backup)?;
    file.sync_all().map_err(Error::Backup)?;
    std::fs::rename(&partial, to).map_err(Error::Backup)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_database_is_refused_untouched() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lar.db");
        let mut connection = Connection::open(&path).unwrap();
        run(&mut connection, &path).unwrap();
        connection.pragma_update(None, "user_version", 999).unwrap();
        assert!(matches!(run(&mut connection, &path), Err(Error::Newer { found: 999, .. })));
    }

    #[test]
    fn a_backup_is_a_whole_database() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lar.db");
        let mut connection = Connection::open(&path).unwrap();
        crate::configure(&connection).unwrap();
        run(&mut connection, &path).unwrap();
        connection.execute("INSERT INTO users VALUES ('user_x', 'someone', 1)", []).unwrap();
        let copy = backup_path(&path, 1);
        back_up(&connection, &copy).unwrap();
        let name: String = Connection::open(&copy)
            .unwrap()
            .query_row("SELECT name FROM users", [], |row| row.get(0))
            .unwrap();
        assert_eq!(
            (name.as_str(), copy.file_name().unwrap()),
            ("someone", "lar.before-schema-2.db".as_ref())
        );
    }
}
