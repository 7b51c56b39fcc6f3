//! Spaces, which are sets of memories. Users have their own, agents can have their own, and teams have spaces
//! that users access through grants.

use lar_base::{SpaceId, Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::columns::{bad_column, parse_column, time};
use crate::{Error, Store};

/// The kind of a space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpaceKind {
    /// A user's own space.
    Personal,
    /// An agent's space, with the agent's name.
    Agent(String),
    /// A team's space, with its name.
    Team(String),
}

/// The access that a user has to a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Search and read memories.
    Read,
    /// Also save and change memories.
    Write,
    /// Also grant access: the user owns the space.
    Own,
}

impl Access {
    /// Returns the stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Access::Read => "read",
            Access::Write => "write",
            Access::Own => "own",
        }
    }
}

/// A space, as one user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    /// The id, `space_…`.
    pub id: SpaceId,
    /// Whether it belongs to a user, to an agent or to a team.
    pub kind: SpaceKind,
    /// The access of the user who asks for the space.
    pub access: Access,
    /// The time of its creation: for a user or an agent, the first use.
    pub created_at: Timestamp,
}

/// A user's access to a team space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The user who has the access.
    pub user: UserId,
    /// The name of the user, for people.
    pub name: String,
    /// The level of access; never [`Access::Own`].
    pub access: Access,
    /// The time of the last grant to this user.
    pub granted_at: Timestamp,
}

/// Selects the spaces of the user `?1`: their own and those that they have grants for.
const VISIBLE_SPACES: &str =
    "SELECT spaces.*, CASE WHEN spaces.user_id = ?1 THEN NULL ELSE grants.access END AS access
     FROM spaces LEFT JOIN grants ON grants.space_id = spaces.id AND grants.user_id = ?1
     WHERE (spaces.user_id = ?1 OR grants.user_id = ?1)";

impl Store {
    /// Returns a user's own space, or that of one of their agents. `None` if nothing was written to it yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn space_find(&self, user: UserId, agent: Option<String>) -> Result<Option<Space>, Error> {
        self.read(move |connection| find_in_txn(connection, user, agent.as_deref())).await
    }

    /// Returns a space as [`Store::space_find`] does, and creates it if it does not exist.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn space_ensure(&self, user: UserId, agent: Option<String>) -> Result<Space, Error> {
        self.write(move |connection| {
            if let Some(found) = find_in_txn(connection, user, agent.as_deref())? {
                return Ok(found);
            }
            create_in_txn(connection, user, agent.map_or(SpaceKind::Personal, SpaceKind::Agent))
        })
        .await
    }

    /// Creates a team space that this user owns.
    ///
    /// # Errors
    /// [`Error::Conflict`] when a team space has this name.
    pub async fn space_create(&self, user: UserId, name: String) -> Result<Space, Error> {
        self.write(move |connection| {
            let taken = connection
                .prepare_cached("SELECT 1 FROM spaces WHERE kind = 'team' AND name = ?1")?
                .exists([&name])?;
            if taken {
                return Err(Error::Conflict(format!("the space `{name}` exists already")));
            }
            create_in_txn(connection, user, SpaceKind::Team(name))
        })
        .await
    }

    /// Returns the spaces that a user may use. Their own comes first, then those of their agents and of
    /// teams, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn space_list(&self, user: UserId) -> Result<Vec<Space>, Error> {
        self.read(move |connection| {
            let sql = format!("{VISIBLE_SPACES} ORDER BY kind = 'personal' DESC, kind, name");
            let mut query = connection.prepare_cached(&sql)?;
            let rows = query.query_map([user.to_string()], space)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns a team space that this user may use, by its name or id.
    ///
    /// # Errors
    /// [`Error::NotFound`], also when the user may not use the space.
    pub async fn space_shared(&self, user: UserId, name_or_id: String) -> Result<Space, Error> {
        self.read(move |connection| shared_in_txn(connection, user, &name_or_id)).await
    }

    /// Returns the grants of a team space, by the users' names. The owner needs none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn grant_list(&self, space: SpaceId) -> Result<Vec<Grant>, Error> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT grants.*, users.name FROM grants JOIN users ON users.id = grants.user_id
                 WHERE space_id = ?1 ORDER BY users.name",
            )?;
            let rows = query.query_map([space.to_string()], |row| {
                let write = row.get::<_, String>("access")? == "write";
                Ok(Grant {
                    user: parse_column(row, "user_id")?,
                    name: row.get("name")?,
                    access: if write { Access::Write } else { Access::Read },
                    granted_at: time(row, "granted_at")?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Sets a user's access to a team space; `None` removes it.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no grant to remove.
    pub async fn grant_set(&self, space: SpaceId, user: UserId, access: Option<Access>) -> Result<(), Error> {
        self.write_freeing(move |connection| {
            let (space, user) = (space.to_string(), user.to_string());
            let changed = match access {
                Some(access) => connection.execute(
                    "INSERT INTO grants (space_id, user_id, access, granted_at) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT DO UPDATE SET access = excluded.access, granted_at = excluded.granted_at",
                    (&space, &user, access.as_str(), Timestamp::now().as_millis()),
                )?,
                None => connection
                    .execute("DELETE FROM grants WHERE space_id = ?1 AND user_id = ?2", (&space, &user))?,
            };
            if changed == 0 {
                return Err(Error::NotFound(format!("grant of {user} in {space}")));
            }
            Ok(())
        })
        .await
    }
}

fn find_in_txn(connection: &Connection, user: UserId, agent: Option<&str>) -> Result<Option<Space>, Error> {
    let (kind, name) = agent.map_or(("personal", ""), |name| ("agent", name));
    let mut query = connection.prepare_cached(
        "SELECT *, NULL AS access FROM spaces WHERE user_id = ?1 AND kind = ?2 AND name = ?3",
    )?;
    Ok(query.query_row((user.to_string(), kind, name), space).optional()?)
}

fn shared_in_txn(connection: &Connection, user: UserId, name_or_id: &str) -> Result<Space, Error> {
    let sql = format!("{VISIBLE_SPACES} AND kind = 'team' AND (name = ?2 OR id = ?2)");
    let mut query = connection.prepare_cached(&sql)?;
    let found = query.query_row((user.to_string(), name_or_id), space).optional()?;
    found.ok_or_else(|| Error::NotFound(format!("space `{name_or_id}`")))
}

fn create_in_txn(connection: &Connection, user: UserId, kind: SpaceKind) -> Result<Space, Error> {
    let space = Space { id: SpaceId::new(), kind, access: Access::Own, created_at: Timestamp::now() };
    let (kind, name) = match &space.kind {
        SpaceKind::Personal => ("personal", ""),
        SpaceKind::Agent(name) => ("agent", name.as_str()),
        SpaceKind::Team(name) => ("team", name.as_str()),
    };
    connection.execute(
        "INSERT INTO spaces (id, user_id, kind, name, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        (space.id.to_string(), user.to_string(), kind, name, space.created_at.as_millis()),
    )?;
    Ok(space)
}

fn space(row: &Row<'_>) -> rusqlite::Result<Space> {
    let (kind, name): (String, String) = (row.get("kind")?, row.get("name")?);
    let access: Option<String> = row.get("access")?;
    Ok(Space {
        id: parse_column(row, "id")?,
        kind: match kind.as_str() {
            "personal" => SpaceKind::Personal,
            "agent" => SpaceKind::Agent(name),
            "team" => SpaceKind::Team(name),
            other => return Err(bad_column("kind", format!("`{other}` is not a kind of space"))),
        },
        access: match access.as_deref() {
            None => Access::Own,
            Some("write") => Access::Write,
            Some(_) => Access::Read,
        },
        created_at: time(row, "created_at")?,
    })
}
