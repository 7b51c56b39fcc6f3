//! Where memories lie: a person's own space, and one of each agent that has its own.

use lar_base::{SpaceId, Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::{Error, Store, parsed, time};

/// A space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    /// Its id.
    pub id: SpaceId,
    /// Whose it is.
    pub user: UserId,
    /// The agent whose memories lie here; the person's own where absent.
    pub agent: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Store {
    /// A person's own space or the one of an agent of theirs; `None` before something was written there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn space_find(&self, user: UserId, agent: Option<String>) -> Result<Option<Space>, Error> {
        self.read(move |connection| find_in_txn(connection, user, agent.as_deref())).await
    }

    /// As [`Store::space_find`], made where it is not there yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn space_ensure(&self, user: UserId, agent: Option<String>) -> Result<Space, Error> {
        self.write(move |connection| {
            if let Some(found) = find_in_txn(connection, user, agent.as_deref())? {
                return Ok(found);
            }
            let (kind, name) = stored(agent.as_deref());
            let space =
                Space { id: SpaceId::new(), user, agent: agent.clone(), created_at: Timestamp::now() };
            connection.execute(
                "INSERT INTO spaces (id, user_id, kind, name, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
                (space.id.to_string(), user.to_string(), kind, name, space.created_at.as_millis()),
            )?;
            Ok(space)
        })
        .await
    }

    /// The spaces of a person: their own first, then those of their agents by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn space_list(&self, user: UserId) -> Result<Vec<Space>, Error> {
        self.read(move |connection| {
            let mut query =
                connection.prepare_cached("SELECT * FROM spaces WHERE user_id = ?1 ORDER BY name")?;
            let rows = query.query_map([user.to_string()], space)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

fn find_in_txn(connection: &Connection, user: UserId, agent: Option<&str>) -> Result<Option<Space>, Error> {
    let (kind, name) = stored(agent);
    let mut query =
        connection.prepare_cached("SELECT * FROM spaces WHERE user_id = ?1 AND kind = ?2 AND name = ?3")?;
    Ok(query.query_row((user.to_string(), kind, name), space).optional()?)
}

fn stored(agent: Option<&str>) -> (&'static str, &str) {
    agent.map_or(("personal", ""), |name| ("agent", name))
}

fn space(row: &Row<'_>) -> rusqlite::Result<Space> {
    let kind: String = row.get("kind")?;
    let name: String = row.get("name")?;
    Ok(Space {
        id: parsed(row, "id")?,
        user: parsed(row, "user_id")?,
        agent: (kind == "agent").then_some(name),
        created_at: time(row, "created_at")?,
    })
}
