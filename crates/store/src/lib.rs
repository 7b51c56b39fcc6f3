//! The only crate that contains SQL: everything that Lar keeps across restarts.
//!
//! SQLite in WAL mode, with one group-committing [`writer`] and several readers. A method that changes data
//! returns once the change is on disk. Method names start with the noun (`key_create`). Functions that run
//! inside the caller's transaction end in `_in_txn`. Model files are not stored here: `catalog` keeps their
//! manifests beside them, so that data directories can share models.

mod aliases;
mod answer_memories;
pub mod backup;
mod browser_sessions;
mod check;
mod chunks;
mod conversation_search;
mod conversations;
mod erasure;
mod error;
mod health;
mod idempotency;
mod json_columns;
mod keys;
mod location;
mod memories;
mod memory_candidates;
mod memory_changes;
mod memory_clients;
mod memory_transfer;
mod messages;
mod migrations;
mod page;
mod readers;
mod reserve;
mod responses;
pub mod salvage;
mod spaces;
mod sparse_file;
mod tasks;
mod tunings;
mod unallocated;
mod users;
mod wal;
mod writer;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use lar_base::{Bytes, error_chain};
use rusqlite::{Connection, OpenFlags};

pub use aliases::Alias;
pub use browser_sessions::BrowserSession;
pub use check::{Check, Inspection, inspect, wal_copies};
pub use chunks::{Embedder, IndexedChunk, IndexedMemory, NewChunk, UnembeddedChunk, Vectors};
pub use conversations::{Conversation, ConversationPatch, NewConversation, OwnedConversation, SearchHit};
pub use error::Error;
pub use idempotency::IdempotentRequest;
pub use json_columns::NewerValue;
use json_columns::bad_column;
pub use keys::{KeyRecord, NewKey};
pub use location::{LinkedDatabase, away_path, lock_file};
pub use memories::{
    Memory, MemoryChange, MemoryKind, MemoryList, MemoryPatch, MemoryStats, NewMemory, Provenance,
    StoredMemory, Strength,
};
pub use memory_candidates::Candidate;
pub use memory_changes::{Change, ChangeRecord};
pub use memory_clients::{MemoryClient, SpaceUse};
pub use memory_transfer::{ExportedMemory, ExportedPage};
pub use messages::{AnswerEnd, Message, NewMessage, NewTurn, Rating, Role, Status};
pub use reserve::Reserve;
pub use responses::{Response, ResponseState};
pub use spaces::{Access, Grant, Space, SpaceKind};
pub use tasks::{Outcome, TaskEnd, TaskRecord, TaskStart, UsageDay};
pub use users::User;
use wal::Verdict;

/// The number of read connections. Reads are short; a machine with two cores gains nothing from more.
const READERS: usize = 4;
/// The time that the database check may add to a start. A database of 100 MB takes a tenth of it; the rest of
/// a larger one is checked in the background.
const START_CHECK_MAX: Duration = Duration::from_secs(1);
/// The largest database whose indexes the background check compares with their tables. For a larger one, the
/// comparison occupies a core for too long.
const FULL_CHECK_MAX: Bytes = Bytes::mib(1024);
/// How long a connection waits for another connection's lock.
const BUSY_MAX: Duration = Duration::from_secs(5);

/// The database of one data directory. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    writer: writer::Writer,
    readers: Arc<readers::Readers>,
    health: Arc<health::Health>,
    reserve: Arc<Reserve>,
    /// Whether the write-ahead log still has to be truncated after an erasure.
    is_log_emptying_due: Arc<AtomicBool>,
    path: PathBuf,
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
        let readers = readers::Readers::open(path.to_owned(), READERS).map_err(at)?;
        let reserve = Arc::new(reserve);
        Ok(Self {
            writer: writer::Writer::start(connection, path.to_owned(), reserve.clone()),
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
    async fn write<T, F>(&self, change: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        self.note_outcome(self.writer.run(change).await)
    }

    /// Like [`Store::write`], for deletions and revocations: on a full disk, the change runs again with the
    /// reserve released.
    async fn write_freeing<T, F>(&self, change: F) -> Result<T, Error>
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

    async fn read<T, F>(&self, query: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        self.readers.run(query).await.map_err(|error| self.with_path(error))
    }

    /// Adds the database's path to the error, and records damage.
    fn with_path(&self, error: Error) -> Error {
        if let Error::Corrupt { faults, .. } = &error {
            self.health.note_damage(&self.path, faults);
        }
        error.at(&self.path)
    }
}

/// Opens the write connection. Only the owner may read a new database; SQLite gives the files beside it the
/// same mode.
fn connect(path: &Path) -> Result<Connection, Error> {
    if !path.exists() {
        let made = backup::create_new_private(path);
        made.map_err(|cause| Error::Open { path: path.to_owned(), cause })?;
    }
    let opened = Connection::open(path).map_err(Error::from).and_then(|connection| {
        configure(&connection)?;
        Ok(connection)
    });
    opened.map_err(|error| explain_open_failure(path, error))
}

/// Opens a read-only connection.
fn connect_reader(path: &Path) -> Result<Connection, Error> {
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

fn configure(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(BUSY_MAX)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Erased content is overwritten with zeros instead of staying on free pages.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Returns the path of a file that SQLite keeps beside a database: the database's path plus a suffix.
fn beside(database: &Path, end: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Parses an id or another typed value from a text column.
fn parse_column<T>(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<T>
where
    T: FromStr<Err: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    let text: String = row.get(column)?;
    text.parse().map_err(|cause| bad_column(column, cause))
}

/// Like [`parse_column`], for a column that may be NULL.
fn parse_optional_column<T>(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<Option<T>>
where
    T: FromStr<Err: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    let text: Option<String> = row.get(column)?;
    text.map(|text| text.parse().map_err(|cause| bad_column(column, cause))).transpose()
}

fn time(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<lar_base::Timestamp> {
    row.get(column).map(lar_base::Timestamp::from_millis)
}

fn optional_time(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<Option<lar_base::Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(lar_base::Timestamp::from_millis))
}
