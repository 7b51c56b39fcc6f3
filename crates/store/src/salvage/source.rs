//! The copy of a damaged database, opened so that SQLite reads past damage. The queries on each table have a
//! limit: in a crafted file, pages can refer to each other so that a query finds no row and never ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, OpenFlags};

use super::pages;
use crate::Error;

/// The most steps of SQLite's virtual machine for all queries on one table, per byte of the file. One pass
/// through a table takes at most two steps per byte: one for each column of a row, which has a byte in the
/// row's header, and another for each column of its key. A row takes three more, and five more bytes.
const STEPS_PER_BYTE: u64 = 16;
/// That limit in a small file.
const STEPS_MIN: u64 = 5_000_000;
/// The number of steps between two checks of the limit.
const STEPS_AT_ONCE: u16 = 10_000;

/// The copy of a damaged database.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    steps_max: u64,
    /// The steps that queries may still take; at 0, each is interrupted.
    steps_left: Arc<AtomicU64>,
}

impl Source {
    /// Opens a copy for reading. Wrong page counts and damaged texts in the schema are tolerated.
    ///
    /// # Errors
    /// When the file cannot be opened, or SQLite would never finish reading its definitions.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        if !pages::is_schema_tree_finite(path)? {
            let faults = vec!["the pages of its definitions refer to each other endlessly".into()];
            return Err(Error::Corrupt { path: None, faults });
        }
        let length = std::fs::metadata(path).map_err(Error::Backup)?.len();
        let steps_max = length.saturating_mul(STEPS_PER_BYTE).max(STEPS_MIN);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        let source = Self::limited(connection, path, steps_max)?;
        source.connection.execute_batch(
            "PRAGMA writable_schema = ON; PRAGMA query_only = ON; PRAGMA cell_size_check = ON",
        )?;
        Ok(source)
    }

    /// Limits the steps of a connection.
    fn limited(mut connection: Connection, path: &Path, steps_max: u64) -> Result<Self, Error> {
        let steps_left = Arc::new(AtomicU64::new(steps_max));
        let left = Arc::clone(&steps_left);
        let is_over = move || {
            let before = left.load(Ordering::Relaxed);
            left.store(before.saturating_sub(STEPS_AT_ONCE.into()), Ordering::Relaxed);
            before == 0
        };
        connection.progress_handler(STEPS_AT_ONCE.into(), Some(is_over))?;
        Ok(Self { connection, path: path.to_owned(), steps_max, steps_left })
    }

    /// Allows the next queries as many steps as one table may take.
    pub(super) fn allow_steps(&self) {
        self.steps_left.store(self.steps_max, Ordering::Relaxed);
    }

    /// Returns whether queries may take more steps.
    pub(super) fn has_steps(&self) -> bool {
        self.steps_left.load(Ordering::Relaxed) > 0
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ErrorCode;

    use super::*;

    #[test]
    fn an_endless_query_is_interrupted_at_its_step_limit() {
        const STEPS: u64 = 1_000_000;
        let source = Source::limited(Connection::open_in_memory().unwrap(), Path::new(""), STEPS).unwrap();
        let rows = |below: u64| {
            let sql = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < ?1)
                       SELECT x FROM n WHERE x < 0";
            source.connection.prepare(sql).and_then(|mut query| query.exists([below]))
        };
        assert!(matches!(rows(1_000), Ok(false)), "it ends");
        assert!(source.has_steps());
        let broken = rows(1 << 60).unwrap_err();
        assert_eq!(broken.sqlite_error_code(), Some(ErrorCode::OperationInterrupted));
        assert!(!source.has_steps());
        assert!(rows(100_000).is_err(), "so is every later query");
        source.allow_steps();
        assert!(matches!(rows(1_000), Ok(false)));
    }
}
