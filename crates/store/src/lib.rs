//! The only crate that knows SQL: what Lar must still know tomorrow.
//!
//! SQLite in WAL mode, one group-committing [`writer`] and many readers. A method that changes something
//! returns once the change is on disk. Methods are named noun first (`key_create`); what runs inside a
//! caller's transaction ends in `_in_txn`. Model files are not kept here: `catalog` describes them beside
//! the files, so that data directories can share them.

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
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use lar_base::Bytes;
use rusqlite::{Connection, OpenFlags};

pub use aliases::Alias;
pub use browser_sessions::BrowserSession;
pub use check::{Check, Inspection, inspect, wal_copies};
pub use chunks::{Embedder, IndexedChunk, IndexedMemory, NewChunk, UnembeddedChunk, Vectors};
pub use conversations::{Conversation, ConversationPatch, NewConversation, OwnedConversation, SearchHit};
pub use error::Error;
pub use idempotency::IdempotentRequest;
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

/// Connections kept for reading. Reads are short; two cores gain nothing from more.
const READERS: usize = 4;
/// What checking a database may add to a start. A database of 100 MB takes a tenth of it; of a larger one the rest is
/// checked in the background.
const START_CHECK_MAX: Duration = Duration::from_secs(1);
/// The background compares indexes with their tables, too, up to this size: beyond it that takes a core for too long.
const FULL_CHECK_MAX: Bytes = Bytes::mib(1024);
/// How long a connection waits for another one.
const BUSY_MAX: Duration = Duration::from_secs(5);

/// The database of one data directory. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    writer: writer::Writer,
    readers: Arc<readers::Readers>,
    health: Arc<health::Health>,
    reserve: Arc<Reserve>,
    /// Whether the log could not be emptied after something was erased.
    is_log_emptying_due: Arc<AtomicBool>,
    path: PathBuf,
}

impl Store {
    /// Opens the database at `path`, made or upgraded where needed; before an upgrade the old file is
    /// copied beside it. A database that is there is checked first, for a second at most. Its write-ahead log is checked
    /// before SQLite sees it; one whose last transaction is incomplete is copied beside the database. On a full disk the
    /// reserve makes room for that copy. Where `path` is a symbolic link, its target is the database.
    ///
    /// # Errors
    /// When the file cannot be opened or written, is damaged or no database, or is of a newer Lar; when it is a link to
    /// nothing, or what is beside it is nothing that SQLite opens. Where the write-ahead log is damaged, no file was changed.
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
            tracing::warn!(%error, "the search index could not be repaired; the next start tries again");
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

    /// Where the database lies; a link to it was followed.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks that the database still takes a write, unless it just did, and that no damage was found in it.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), Error> {
        let faults = self.health.faults();
        if !faults.is_empty() {
            return Err(Error::Corrupt { path: Some(self.path.clone()), faults });
        }
        if self.health.has_recent_write() {
            return self.read(|connection| Ok(connection.query_row("SELECT 1", [], |_| Ok(()))?)).await;
        }
        // The same number again: it changes nothing, and is written and synced like any change.
        self.write(|connection| {
            let schema: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            Ok(connection.pragma_update(None, "user_version", schema)?)
        })
        .await
    }

    /// What SQLite finds wrong in the database: rows, indexes, and references to what is not there. It reads all of it.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub async fn faults(&self) -> Result<Vec<String>, Error> {
        self.read(check::full).await
    }

    /// Checks all of the database on a connection of its own, in the background. What it finds is logged, and
    /// [`Store::ping`] fails from then on.
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
            Ok(Err(error)) => tracing::warn!(%error, "the database could not be checked"),
            Err(error) => tracing::warn!(%error, "checking the database broke off"),
        }
    }

    /// Keeps room for changes that take something back, for when the disk is full.
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

    /// As [`Store::write`], for a change that takes something back: on a full disk it uses the room that is kept for that.
    async fn write_freeing<T, F>(&self, change: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, Error> + Send + 'static,
    {
        self.note_outcome(self.writer.run_freeing(change).await)
    }

    /// Notes that a change was written, or the damage that it found.
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

    /// The error with the database's path; damage is noted.
    fn with_path(&self, error: Error) -> Error {
        if let Error::Corrupt { faults, .. } = &error {
            self.health.note_damage(&self.path, faults);
        }
        error.at(&self.path)
    }
}

/// Opens a connection that writes; a file that is made is for its owner alone, and so is what SQLite puts beside it.
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

/// Opens a connection that only reads.
fn connect_reader(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags).map_err(Error::from).and_then(|connection| {
        configure(&connection)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    });
    opened.map_err(|error| explain_open_failure(path, error))
}

/// SQLite says of everything that keeps it from opening a file that it cannot open it; the system says why.
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
    // What is erased is overwritten rather than left on a free page.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// A file that SQLite keeps beside a database: its name with this end.
fn beside(database: &Path, end: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// A value as a column of JSON holds it.
fn json(value: &impl serde::Serialize) -> Result<String, Error> {
    Ok(serde_json::to_string(value)?)
}

/// Reads an id or another parsed type out of a text column.
fn parse_column<T: std::str::FromStr>(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    text.parse().map_err(|_| bad_column(column))
}

/// As [`parse_column`], for a column that may be NULL.
fn parse_optional_column<T: std::str::FromStr>(
    row: &rusqlite::Row<'_>,
    column: &str,
) -> rusqlite::Result<Option<T>> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| text.parse().map_err(|_| bad_column(column))).transpose()
}

fn time(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<lar_base::Timestamp> {
    row.get(column).map(lar_base::Timestamp::from_millis)
}

fn optional_time(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<Option<lar_base::Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(lar_base::Timestamp::from_millis))
}

fn bad_column(column: &str) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnName(format!("{column} holds a value of another kind"))
}
