//! Where memories lie: a person's own space, one of each agent that has its own, and those of teams, which people use by
//! grants.

use lar_base::{SpaceId, Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::{Error, Store, parse_column, time};

/// What a space is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpaceKind {
    /// A person's own.
    Personal,
    /// An agent's, by its name.
    Agent(String),
    /// A team's, by its name.
    Team(String),
}

/// What somebody may do in a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Find and read.
    Read,
    /// Also remember and change.
    Write,
    /// It is theirs: also say who else may.
    Own,
}

impl Access {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Access::Read => "read",
            Access::Write => "write",
            Access::Own => "own",
        }
    }
}

/// A space, as one person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    /// Its id.
    pub id: SpaceId,
    /// What it is for.
    pub kind: SpaceKind,
    /// What this person may do there.
    pub access: Access,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Who may use a team's space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub user: UserId,
    /// What they are called.
    pub name: String,
    /// What they may do.
    pub access: Access,
    /// Since when.
    pub granted_at: Timestamp,
}

/// The spaces of a person, theirs and those they have grants of: `?1`.
const VISIBLE_SPACES: &str =
    "SELECT spaces.*, CASE WHEN spaces.user_id = ?1 THEN NULL ELSE grants.access END AS access
     FROM spaces LEFT JOIN grants ON grants.space_id = spaces.id AND grants.user_id = ?1
     WHERE (spaces.user_id = ?1 OR grants.user_id = ?1)";

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
            create_in_txn(connection, user, agent.map_or(SpaceKind::Personal, SpaceKind::Agent))
        })
        .await
    }

    /// Makes a team's space, which is this person's.
    ///
    /// # Errors
    /// [`Error::Conflict`] when there is one of this name.
    pub async fn space_create(&self, user: UserId, name: String) -> Result<Space, Error> {
        self.write(move |connection| {
            let taken = connection
                .prepare_cached("SELECT 1 FROM spaces WHERE kind = 'team' AND name = ?1")?
                .exists([&name])?;
            if taken {
                return Err(Error::Conflict(format!("there is a space `{name}` already")));
            }
            create_in_txn(connection, user, SpaceKind::Team(name))
        })
        .await
    }

    /// The spaces that a person may use: their own first, then those of their agents and of teams, by name.
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

    /// A team's space that this person may use, by its name or id.
    ///
    /// # Errors
    /// [`Error::NotFound`], also when there is one that they may not use.
    pub async fn space_shared(&self, user: UserId, name_or_id: String) -> Result<Space, Error> {
        self.read(move |connection| shared_in_txn(connection, user, &name_or_id)).await
    }

    /// Who may use a team's space beside whose it is, by name.
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

    /// Says what somebody may do in a team's space: nothing more where `access` is absent.
    ///
    /// # Errors
    /// [`Error::NotFound`] when they have no grant to take away.
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
            _ => return Err(crate::bad_column("kind")),
        },
        access: match access.as_deref() {
            None => Access::Own,
            Some("write") => Access::Write,
            Some(_) => Access::Read,
        },
        created_at: time(row, "created_at")?,
    })
}
