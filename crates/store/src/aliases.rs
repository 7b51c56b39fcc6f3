//! Aliases of models: `default`, `default-embedding`, and those that the operator adds.

use lar_base::Timestamp;
use rusqlite::OptionalExtension as _;

use crate::{Error, Store};

/// An alias and its model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// The name that callers use.
    pub name: String,
    /// The name of an installed model.
    pub target: String,
}

impl Store {
    /// Makes `name` an alias of `target`, and replaces its earlier target.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn alias_set(&self, name: String, target: String) -> Result<(), Error> {
        self.write(move |connection| {
            connection.execute(
                "INSERT INTO aliases (name, target, updated_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT (name) DO UPDATE SET target = excluded.target, updated_at = excluded.updated_at",
                (name, target, Timestamp::now().as_millis()),
            )?;
            Ok(())
        })
        .await
    }

    /// Removes an alias; returns whether it existed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn alias_remove(&self, name: String) -> Result<bool, Error> {
        self.write_freeing(move |connection| {
            Ok(connection.execute("DELETE FROM aliases WHERE name = ?1", [&name])? > 0)
        })
        .await
    }

    /// Returns all aliases by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn alias_list(&self) -> Result<Vec<Alias>, Error> {
        self.read(|connection| {
            let mut query = connection.prepare_cached("SELECT name, target FROM aliases ORDER BY name")?;
            let rows = query.query_map([], |row| Ok(Alias { name: row.get(0)?, target: row.get(1)? }))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns the model of an alias.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn alias_get(&self, name: String) -> Result<Option<String>, Error> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached("SELECT target FROM aliases WHERE name = ?1")?;
            Ok(query.query_row([name], |row| row.get(0)).optional()?)
        })
        .await
    }
}
