//! The users of this Lar.

use lar_base::{Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::columns::{parse_column, time};
use crate::idempotency::record_request_in_txn;
use crate::{Error, IdempotentRequest, Store};

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The id, `user_…`, to which keys, conversations and spaces refer.
    pub id: UserId,
    /// The user's name; `owner` is the user who set this Lar up.
    pub name: String,
    /// When the user was invited.
    pub created_at: Timestamp,
}

impl Store {
    /// Returns the owner of this Lar, who is created on the first call.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn owner(&self) -> Result<UserId, Error> {
        self.write(|connection| {
            if let Some(found) = by_name(connection, "owner")? {
                return Ok(found.id);
            }
            Ok(create_in_txn(connection, "owner")?.id)
        })
        .await
    }

    /// Adds a user.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the name is taken, or a concurrent copy of the same request came first.
    pub async fn user_create(&self, name: String, once: Option<IdempotentRequest>) -> Result<User, Error> {
        self.write(move |connection| {
            if by_name(connection, &name)?.is_some() {
                return Err(Error::Conflict(format!("the name `{name}` is taken; choose another one")));
            }
            let user = create_in_txn(connection, &name)?;
            if let Some(once) = &once {
                record_request_in_txn(connection, once, &user.id.to_string())?;
            }
            Ok(user)
        })
        .await
    }

    /// Returns all users, the earliest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn user_list(&self) -> Result<Vec<User>, Error> {
        self.read(|connection| {
            let mut query =
                connection.prepare_cached("SELECT * FROM users WHERE removed_at IS NULL ORDER BY id")?;
            let rows = query.query_map([], user)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns all users, including removed ones.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn user_list_with_removed(&self) -> Result<Vec<User>, Error> {
        self.read(|connection| {
            let mut query = connection.prepare_cached("SELECT * FROM users ORDER BY id")?;
            let rows = query.query_map([], user)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns a user by name or id.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn user_named(&self, name: String) -> Result<User, Error> {
        self.read(move |connection| {
            let mut query = connection
                .prepare_cached("SELECT * FROM users WHERE (name = ?1 OR id = ?1) AND removed_at IS NULL")?;
            let found = query.query_row([&name], user).optional()?;
            found.ok_or_else(|| Error::NotFound(format!("user `{name}`")))
        })
        .await
    }

    /// Removes a user: revokes their keys, and deletes their sessions and grants. The owner gets their team
    /// spaces. Their content stays, and their name becomes free.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] for the owner.
    pub async fn user_remove(&self, id: UserId) -> Result<(), Error> {
        self.write_freeing(move |connection| {
            let (now, id) = (Timestamp::now().as_millis(), id.to_string());
            let name: Option<String> = connection
                .query_row("SELECT name FROM users WHERE id = ?1 AND removed_at IS NULL", [&id], |row| {
                    row.get(0)
                })
                .optional()?;
            match name.as_deref() {
                None => return Err(Error::NotFound(format!("user {id}"))),
                Some("owner") => return Err(Error::Conflict("the owner of Lar cannot be removed".into())),
                Some(_) => {}
            }
            connection.execute(
                "DELETE FROM browser_sessions WHERE key_id IN (SELECT id FROM keys WHERE user_id = ?1)",
                [&id],
            )?;
            connection.execute(
                "UPDATE keys SET revoked_at = coalesce(revoked_at, ?2) WHERE user_id = ?1",
                (&id, now),
            )?;
            connection.execute("DELETE FROM grants WHERE user_id = ?1", [&id])?;
            // Their team spaces stay, and need somebody who can grant access.
            connection.execute(
                "UPDATE spaces SET user_id = (SELECT id FROM users WHERE name = 'owner')
                 WHERE user_id = ?1 AND kind = 'team'",
                [&id],
            )?;
            connection.execute(
                "UPDATE users SET removed_at = ?2, name = name || ' ' || id WHERE id = ?1",
                (&id, now),
            )?;
            Ok(())
        })
        .await
    }
}

fn create_in_txn(connection: &Connection, name: &str) -> Result<User, Error> {
    let user = User { id: UserId::new(), name: name.to_owned(), created_at: Timestamp::now() };
    connection.execute(
        "INSERT INTO users (id, name, created_at) VALUES (?1, ?2, ?3)",
        (user.id.to_string(), name, user.created_at.as_millis()),
    )?;
    Ok(user)
}

fn by_name(connection: &Connection, name: &str) -> Result<Option<User>, Error> {
    let mut query = connection.prepare_cached("SELECT * FROM users WHERE name = ?1")?;
    Ok(query.query_row([name], user).optional()?)
}

pub(crate) fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User { id: parse_column(row, "id")?, name: row.get("name")?, created_at: time(row, "created_at")? })
}
