//! The times when each key last read and wrote the memories of a space.

use lar_base::{KeyId, SpaceId, Timestamp};
use rusqlite::params_from_iter;

use crate::columns::{optional_time, parse_column};
use crate::memories::rows::{placeholders, text};
use crate::{Error, Store};

/// The last use of a space by a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryClient {
    /// The key that used the space.
    pub key: KeyId,
    /// The name of the key, for people.
    pub name: String,
    /// The space that the key used.
    pub space: SpaceId,
    /// When it last searched or read there; `None` if it never did.
    pub read_at: Option<Timestamp>,
    /// When it last changed something there; `None` if it never did.
    pub written_at: Option<Timestamp>,
}

/// A use of a space by a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceUse {
    /// The key that used the space.
    pub key: KeyId,
    /// The space that the key used.
    pub space: SpaceId,
    /// When it was read; `None` if it was only written.
    pub read_at: Option<Timestamp>,
    /// When it was written; `None` if it was only read.
    pub written_at: Option<Timestamp>,
}

impl Store {
    /// Records uses; an earlier time never replaces a later one. Uses of missing keys or spaces are ignored.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn memory_clients_record(&self, used: Vec<SpaceUse>) -> Result<(), Error> {
        self.write(move |connection| {
            let mut note = connection.prepare_cached(
                "INSERT INTO memory_clients (key_id, space_id, read_at, written_at)
                 SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM keys WHERE id = ?1)
                                         AND EXISTS (SELECT 1 FROM spaces WHERE id = ?2)
                 ON CONFLICT DO UPDATE SET read_at = coalesce(max(read_at, excluded.read_at), read_at, excluded.read_at),
                   written_at = coalesce(max(written_at, excluded.written_at), written_at, excluded.written_at)",
            )?;
            let millis = |time: Option<Timestamp>| time.map(Timestamp::as_millis);
            for used in &used {
                let (key, space) = (used.key.to_string(), used.space.to_string());
                note.execute((key, space, millis(used.read_at), millis(used.written_at)))?;
            }
            Ok(())
        })
        .await
    }

    /// Returns the keys that used these spaces, the most recent first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn memory_clients(&self, spaces: Vec<SpaceId>) -> Result<Vec<MemoryClient>, Error> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT memory_clients.*, keys.name FROM memory_clients JOIN keys ON keys.id = key_id
                 WHERE space_id IN ({}) ORDER BY max(coalesce(read_at, 0), coalesce(written_at, 0)) DESC",
                placeholders(spaces.len())
            );
            let mut query = connection.prepare_cached(&sql)?;
            let rows = query.query_map(params_from_iter(spaces.iter().map(text)), |row| {
                Ok(MemoryClient {
                    key: parse_column(row, "key_id")?,
                    name: row.get("name")?,
                    space: parse_column(row, "space_id")?,
                    read_at: optional_time(row, "read_at")?,
                    written_at: optional_time(row, "written_at")?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}
