//! Links between memories. The newer memory of a link may make the older one outdated, or contradicts it.
//! Both stay until a person decides.
//!
//! A link is *open* while nobody decided about it and both memories are current: neither deleted nor
//! superseded. [`Store::memories_apply_decision`] creates links, and resolves one together with the changes
//! of its memories; [`Store::memory_undo`] opens it again. Erasing a memory erases its links.

pub(crate) mod record;
pub(crate) mod rows;
#[cfg(test)]
mod tests;

use lar_base::{LinkId, MemoryId, SpaceId};
use rusqlite::params_from_iter;
use rusqlite::types::Value;

pub use self::record::{LinkRelation, LinkResolution, MemoryLink, NewLink};

use self::rows::{OPEN, link_in_txn, read_link, resolve_link_in_txn};
use crate::memories::rows::{placeholders, text};
use crate::{Error, Store};

/// The most links that [`Store::links_of`] returns.
const LINKS_OF_MAX: u32 = 1000;

impl Store {
    /// Returns at most `limit` open links in these spaces, newest first; with `after`, only those before it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn links_open(
        &self,
        spaces: Vec<SpaceId>,
        after: Option<LinkId>,
        limit: u32,
    ) -> Result<Vec<MemoryLink>, Error> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT * FROM memory_links
                 WHERE space_id IN ({}) AND {OPEN} AND (? IS NULL OR id < ?) ORDER BY id DESC LIMIT ?",
                placeholders(spaces.len())
            );
            let after = Value::from(after.map(|id| id.to_string()));
            let values = spaces.iter().map(text).chain([after.clone(), after, Value::from(limit)]);
            let mut query = connection.prepare_cached(&sql)?;
            let rows = query.query_map(params_from_iter(values), read_link)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns the open links in these spaces that touch these memories, newest first: at most a thousand.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn links_of(
        &self,
        spaces: Vec<SpaceId>,
        memories: Vec<MemoryId>,
    ) -> Result<Vec<MemoryLink>, Error> {
        self.read(move |connection| {
            let (memory, space) = (placeholders(memories.len()), placeholders(spaces.len()));
            // A space may have many links, and a memory has few: its own index is the wrong one, so `+`
            // keeps SQLite from using it.
            let sql = format!(
                "SELECT * FROM (
                   SELECT * FROM memory_links WHERE older_id IN ({memory}) AND +space_id IN ({space}) AND {OPEN}
                   UNION
                   SELECT * FROM memory_links WHERE newer_id IN ({memory}) AND +space_id IN ({space}) AND {OPEN}
                 ) ORDER BY id DESC LIMIT {LINKS_OF_MAX}"
            );
            let ids = || memories.iter().map(|id| Value::from(id.to_string()));
            let side = || ids().chain(spaces.iter().map(text));
            let mut query = connection.prepare_cached(&sql)?;
            let rows = query.query_map(params_from_iter(side().chain(side())), read_link)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns a link in one of these spaces, open or not.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn link_get(&self, spaces: Vec<SpaceId>, id: LinkId) -> Result<MemoryLink, Error> {
        self.read(move |connection| link_in_txn(connection, &spaces, id)).await
    }

    /// Resolves a link without a change of its memories.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] when the link is not open.
    pub async fn link_resolve(
        &self,
        spaces: Vec<SpaceId>,
        id: LinkId,
        resolution: LinkResolution,
    ) -> Result<(), Error> {
        self.write(move |connection| resolve_link_in_txn(connection, &spaces, id, resolution, None)).await
    }
}
