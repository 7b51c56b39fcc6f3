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
    include_str!("../migrations/0005_sharing.sql"),
    include_str!("../migrations/0006_memory_in_chat.sql"),
    include_str!("../migrations/0007_responses.sql"),
    include_str!("../migrations/0008_memory_anywhere.sql"),
    include_str!("../migrations/0009_taken_place.sql"),
];

/// Brings the database to the newest schema, each migration in a transaction of its own.
///
/// # Errors
/// [`Error::Newer`] when the database is ahead of this program; [`Error::Backup`] when the copy failed.
pub(crate) fn run(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    let known = known();
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > known {
        return Err(Error::Newer { found, known });
    }
    if found > 0 && found < known {
        back_up(connection, &backup_path(path, found))?;
    }
    if found == known {
        return Ok(());
    }
    // A table that others refer to can be made anew only while nothing is enforced; all of it is checked before each
    // commit. The setting holds between transactions only.
    connection.pragma_update(None, "foreign_keys", false)?;
    for (number, sql) in (found + 1..=known).zip(&MIGRATIONS[found as usize..]) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        let broken = transaction.prepare("PRAGMA foreign_key_check")?.exists([])?;
        if broken {
            return Err(Error::Conflict(format!("schema {number} would leave rows that refer to none")));
        }
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
        tracing::info!(schema = number, "the database was brought to a newer schema");
    }
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(())
}

/// The newest schema that this program knows.
pub(crate) fn known() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
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
    fn memories_outlive_the_new_table_of_spaces() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lar.db");
        let mut connection = Connection::open(&path).unwrap();
        crate::configure(&connection).unwrap();
        for sql in &MIGRATIONS[..4] {
            connection.execute_batch(sql).unwrap();
        }
        connection.pragma_update(None, "user_version", 4).unwrap();
        connection
            .execute_batch(
                "INSERT INTO users VALUES ('user_x', 'someone', 1);
                 INSERT INTO spaces VALUES ('space_x', 'user_x', 'personal', '', 1);
                 INSERT INTO memories (id, space_id, kind, content, tags, source, pinned, stability, difficulty, reviewed_at,
                                       hash, version, created_at, updated_at)
                 VALUES ('mem_x', 'space_x', 'fact', 'kept', '[]', '{}', 0, 1, 1, 1, x'00', 1, 1, 1);",
            )
            .unwrap();
        run(&mut connection, &path).unwrap();
        let kept =
            "SELECT content FROM memories JOIN spaces ON spaces.id = space_id WHERE spaces.kind = 'personal'";
        let content: String = connection.query_row(kept, [], |row| row.get(0)).unwrap();
        assert_eq!(content, "kept");
        let orphan = "INSERT INTO spaces VALUES ('space_y', 'user_none', 'team', 'y', 1)";
        assert!(connection.execute(orphan, []).is_err(), "what refers to none is refused again");
    }

    #[test]
    fn a_backup_is_a_whole_database() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lar.db");
        let mut connection = Connection::open(&path).unwrap();
        crate::configure(&connection).unwrap();
        run(&mut connection, &path).unwrap();
        connection.execute("INSERT INTO users VALUES ('user_x', 'someone', 1, NULL)", []).unwrap();
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
