//! The paths of the files that SQLite keeps beside a database.

use std::path::{Path, PathBuf};

/// SQLite's suffix for the write-ahead log of a database.
pub(crate) const WAL_SUFFIX: &str = "-wal";
/// SQLite's suffix for the file through which connections share the write-ahead log.
pub(crate) const SHM_SUFFIX: &str = "-shm";
/// The suffixes of a database's own file and of SQLite's files beside it.
pub(crate) const SQLITE_SUFFIXES: [&str; 4] = ["", WAL_SUFFIX, SHM_SUFFIX, "-journal"];

/// Returns the path of a file that SQLite keeps beside a database: the database's path plus a suffix.
pub(crate) fn beside(database: &Path, end: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Returns the paths of a database and of SQLite's files beside it.
pub(crate) fn database_files(database: &Path) -> [PathBuf; 4] {
    SQLITE_SUFFIXES.map(|end| beside(database, end))
}
