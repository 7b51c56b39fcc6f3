//! Connections to a database: how they are opened and configured.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::error::Error;
use crate::private_files::create_new_private;

/// How long a connection waits for another connection's lock.
pub(crate) const BUSY_MAX: Duration = Duration::from_secs(5);

/// Opens the write connection. Only the owner may read a new database; SQLite gives the files beside it the
/// same mode.
pub(crate) fn connect(path: &Path) -> Result<Connection, Error> {
    if !path.exists() {
        let made = create_new_private(path);
        made.map_err(|cause| Error::Open { path: path.to_owned(), cause })?;
    }
    let opened = Connection::open(path).map_err(Error::from).and_then(|connection| {
        configure(&connection)?;
        Ok(connection)
    });
    opened.map_err(|error| explain_open_failure(path, error))
}

/// Opens a read-only connection.
pub(crate) fn connect_reader(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags).map_err(Error::from).and_then(|connection| {
        configure(&connection)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    });
    opened.map_err(|error| explain_open_failure(path, error))
}

/// Explains why SQLite could not open a file: SQLite does not say, the operating system does.
fn explain_open_failure(path: &Path, error: Error) -> Error {
    if let Error::ReadOnly { .. } = error
        && let Err(cause) = std::fs::File::options().read(true).append(true).open(path)
    {
        return Error::Open { path: path.to_owned(), cause };
    }
    error.at(path)
}

/// Sets the pragmas that every connection of Lar uses.
pub(crate) fn configure(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(BUSY_MAX)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Erased content is overwritten with zeros instead of staying on free pages.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}
