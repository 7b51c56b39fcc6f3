//! The only crate that knows SQL: what Lar must still know tomorrow.
//!
//! SQLite in WAL mode, one group-committing [`writer`] and many readers. A method that changes something
//! returns once the change is on disk. Methods are named noun first (`key_create`); what runs inside a
//! caller's transaction ends in `_in_txn`. Model files are not kept here: `catalog` describes them beside
//! the files, so that data directories can share them.

mod aliases;
pub mod backup;
mod browser_sessions;
mod conversations;
mod error;
mod idempotency;
mod keys;
mod memories;
mod memory_candidates;
mod memory_changes;
mod memory_clients;
mod memory_transfer;
mod messages;
mod migrations;
mod passages;
mod readers;
mod responses;
mod spaces;
mod tasks;
mod tunings;
mod users;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};

pub use aliases::Alias;
pub use browser_sessions::BrowserSession;
pub use conversations::{Conversation, ConversationPatch, SearchHit};
pub use error::Error;
pub use idempotency::Once;
pub use keys::{KeyRecord, NewKey};
pub use memories::{
    Memory, MemoryChange, MemoryKind, MemoryList, MemoryPatch, MemoryStats, NewMemory, Provenance, Stored,
    Strength,
};
pub use memory_candidates::Candidate;
pub use memory_changes::{Change, ChangeRecord};
pub use memory_clients::{MemoryClient, Used};
pub use memory_transfer::Moved;
pub use messages::{AnswerEnd, Message, NewMessage, NewTurn, Rating, Role, Status};
pub use passages::{Embedder, IndexedMemory, IndexedPassage, NewPassage, Unembedded, Vectors};
pub use responses::{Response, ResponseState};
pub use spaces::{Access, Grant, Space, SpaceKind};
pub use tasks::{Outcome, TaskEnd, TaskRecord, TaskStart, UsageDay};
pub use users::User;

/// Connections kept for reading. Reads are short; two cores gain nothing from more.
const READERS: usize = 4;

/// The database of one data directory. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    writer: writer::Writer,
    readers: Arc<readers::Readers>,
    path: PathBuf,
}

impl Store {
    /// Opens the database at `path`, made or upgraded where needed; before an upgrade the old file is
    /// copied beside it.
    ///
    /// # Errors
    /// When the file cannot be opened or written, is no database, or is of a newer Lar.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let mut connection = Connection::open(path)?;
        configure(&connection)?;
        migrations::run(&mut connection, path)?;
        let readers = (0..READERS)
            .map(|_| {
                let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let reader = Connection::open_with_flags(path, flags)?;
                configure(&reader)?;
                reader.pragma_update(None, "query_only", true)?;
                Ok(reader)
            })
            .collect::<Result<Vec<_>, rusqlite::Error>>()?;
        Ok(Self {
            writer: writer::Writer::start(connection),
            readers: Arc::new(readers::Readers::new(readers)),
            path: path.to_owned(),
        })
    }

    /// Where the database lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks that the database still answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), Error> {
        self.read(|connection| Ok(connection.query_row("SELECT 1", [], |_| Ok(()))?)).await
    }

    /// What SQLite finds wrong in the database: rows, indexes, and references to what is not there. It reads all of it.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub async fn faults(&self) -> Result<Vec<String>, Error> {
        self.read(|connection| {
            let mut query = connection.prepare("PRAGMA integrity_check")?;
            let rows = query.query_map([], |row| row.get(0))?;
            let mut faults: Vec<String> = rows.collect::<Result<_, _>>()?;
            faults.retain(|fault| fault != "ok");
            if connection.prepare("PRAGMA foreign_key_check")?.exists([])? {
                faults.push("a row refers to one that is not there".into());
            }
            Ok(faults)
        })
        .await
    }

    /// Runs `change` in the next group commit and returns once it is on disk.
    async fn write<T, F>(&self, change: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        self.writer.run(change).await
    }

    async fn read<T, F>(&self, query: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        self.readers.run(query).await
    }
}

fn configure(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What is erased is overwritten rather than left on a free page.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Reads an id or another parsed type out of a text column.
fn parsed<T: std::str::FromStr>(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    text.parse().map_err(|_| bad_column(column))
}

/// As [`parsed`], for a column that may be NULL.
fn parsed_option<T: std::str::FromStr>(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<Option<T>> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| text.parse().map_err(|_| bad_column(column))).transpose()
}

fn time(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<lar_base::Timestamp> {
    row.get(column).map(lar_base::Timestamp::from_millis)
}

fn time_option(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<Option<lar_base::Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(lar_base::Timestamp::from_millis))
}

fn bad_column(column: &str) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnName(format!("{column} holds a value of another kind"))
}
