//! The handle of an open database: how it is opened, checked, read and written.
//!
//! The methods for each kind of data are in the file of that kind. They run their SQL through
//! [`Store::read`], [`Store::write`] and [`Store::write_freeing`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use lar_base::{Bytes, error_chain};
use rusqlite::Connection;

use crate::check::{self, Check};
use crate::connection::{connect, connect_reader};
use crate::error::Error;
use crate::health::Health;
use crate::readers::Readers;
use crate::reserve::Reserve;
use crate::wal::{self, Verdict};
use crate::writer::Writer;
use crate::{conversation_search, location, migrations};

/// The number of read connections. Reads are short; a machine with two cores gains nothing from more.
const READERS: usize = 4;
/// The time that the database check may add to a start. A database of 100 MB takes a tenth of it; the rest of
/// a larger one is checked in the background.
const START_CHECK_MAX: Duration = Duration::from_secs(1);
/// The largest database whose indexes the background check compares with their tables. For a larger one, the
/// comparison occupies a core for too long.
const FULL_CHECK_MAX: Bytes = Bytes::mib(1024);

/// The database of one data directory. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) writer: Writer,
    readers: Arc<Readers>,
    pub(crate) health: Arc<Health>,
    reserve: Arc<Reserve>,
    /// Whether the write-ahead log still has to be truncated after an erasure.
    pub(crate) is_log_emptying_due: Arc<AtomicBool>,
    pub(crate) path: PathBuf,
}

impl Store {
    /// Opens the database at `path`; creates or upgrades it if necessary. If `path` is a symbolic link, its
    /// target is the database.
    ///
    /// An existing database is first checked for up to a second. Its write-ahead log is checked before SQLite
    /// opens it. If the last transaction in the log is incomplete, a copy of the log is kept beside the
    /// database; on a full disk, the reserve is released to make room for that copy. Before an upgrade, the
    /// old file is copied beside the database.
    ///
    /// # Errors
    /// When the file cannot be opened or written, is damaged, is not a database, or was upgraded by a newer
    /// Lar; when `path` is a dangling link, or SQLite cannot open a file beside the database. If the
    /// write-ahead log is damaged, no file is changed.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let path = &location::locate(path)?;
        location::refuse_unopenable(path)?;
        let reserve = Reserve::beside(path);
        match wal::examine(path)? {
            Verdict::Whole => {}
            Verdict::Unclear(found) => wal::keep_copy(path, &found, &reserve)?,
            Verdict::Damaged(found) => {
                return Err(Error::Corrupt { path: Some(path.to_owned()), faults: vec![found.to_string()] });
            }
        }
        let mut connection = connect(path)?;
        let at = |error: Error| error.at(path);
        migrations::refuse_newer(&connection).map_err(at)?;
        match check::quick(&connection, START_CHECK_MAX).map_err(at)? {
            Check::Damaged(faults) => return Err(Error::Corrupt { path: Some(path.to_owned()), faults }),
            Check::Whole | Check::Unfinished => {}
        }
        migrations::run(&mut connection, path).map_err(at)?;
        if let Err(error) = conversation_search::remap_if_needed(&mut connection) {
            tracing::warn!(
                error = %error_chain(&error),
                "the search index could not be repaired; the next start tries again"
            );
        }
        let readers = Readers::open(path.to_owned(), READERS).map_err(at)?;
        let reserve = Arc::new(reserve);
        Ok(Self {
            writer: Writer::start(connection, path.to_owned(), reserve.clone()),
            readers: Arc::new(readers),
            health: Arc::default(),
            reserve,
            is_log_emptying_due: Arc::default(),
            path: path.to_owned(),
        })
    }

    /// Returns the path of the database, with a symbolic link resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks that the database accepts writes and that no damage was found in it. A write within the last
    /// seconds counts; otherwise a test write is made.
    ///
    /// # Errors
    /// When the database is damaged, or cannot be read or written.
    pub async fn ping(&self) -> Result<(), Error> {
        let faults = self.health.faults();
        if !faults.is_empty() {
            return Err(Error::Corrupt { path: Some(self.path.clone()), faults });
        }
        if self.health.has_recent_write() {
            return self.read(|connection| Ok(connection.query_row("SELECT 1", [], |_| Ok(()))?)).await;
        }
        // Setting the same number changes nothing, but is written and synced like any other change.
        self.write(|connection| {
            let schema: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            Ok(connection.pragma_update(None, "user_version", schema)?)
        })
        .await
    }

    /// Returns the faults in the database: in rows, indexes, foreign keys and the search index. Reads all of
    /// it.
    ///
    /// # Errors
    /// When the database cannot be read at all.
    pub async fn faults(&self) -> Result<Vec<String>, Error> {
        self.read(check::full).await
    }

    /// Checks the whole database in the background, on a connection of its own. Logs the faults it finds;
    /// from then on [`Store::ping`] fails.
    pub async fn check_in_background(&self) {
        let (path, health) = (self.path.clone(), self.health.clone());
        let work = move || {
            let size = std::fs::metadata(&path).map_or(0, |about| about.len());
            let connection = connect_reader(&path)?;
            let faults = match size <= FULL_CHECK_MAX.get() {
                true => check::full(&connection)?,
                false => match check::quick(&connection, Duration::MAX)? {
                    Check::Damaged(faults) => faults,
                    Check::Whole | Check::Unfinished => Vec::new(),
                },
            };
            if !faults.is_empty() {
                health.note_damage(&path, &faults);
            }
            Ok::<_, Error>(())
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(
                    error = %error_chain(&error),
                    "the database could not be checked"
                );
            }
            Err(error) => tracing::warn!(error = %error_chain(&error), "the database check did not finish"),
        }
    }

    /// Reserves disk space, so that deletions and revocations still work on a full disk.
    pub fn keep_reserve(&self) {
        self.reserve.keep();
    }

    /// Runs `change` in the next group commit and returns once it is on disk.
    pub(crate) async fn write<T, F>(&self, change: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        self.note_outcome(self.writer.run(change).await)
    }

    /// Like [`Store::write`], for deletions and revocations: on a full disk, the change runs again with the
    /// reserve released.
    pub(crate) async fn write_freeing<T, F>(&self, change: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, Error> + Send + 'static,
    {
        self.note_outcome(self.writer.run_freeing(change).await)
    }

    /// Records a successful write, or the damage that the change found.
    fn note_outcome<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_ok() {
            self.health.note_write();
        }
        result.map_err(|error| self.with_path(error))
    }

    /// Runs `query` on a read connection and returns its result.
    pub(crate) async fn read<T, F>(&self, query: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        self.readers.run(query).await.map_err(|error| self.with_path(error))
    }

    /// Adds the database's path to the error, and records damage.
    pub(crate) fn with_path(&self, error: Error) -> Error {
        if let Error::Corrupt { faults, .. } = &error {
            self.health.note_damage(&self.path, faults);
        }
        error.at(&self.path)
    }
}
