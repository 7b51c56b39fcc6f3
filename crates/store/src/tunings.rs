//! What engines measured of models on this machine, in their own words.

use lar_base::Timestamp;
use rusqlite::OptionalExtension as _;

use crate::{Error, Store};

impl Store {
    /// Keeps what was measured of a model on a machine, in place of what was known.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tuning_set(&self, digest: String, machine: String, tuning: String) -> Result<(), Error> {
        self.write(move |connection| {
            connection.execute(
                "INSERT INTO tunings (model_digest, machine, tuned, measured_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (model_digest, machine)
                 DO UPDATE SET tuned = excluded.tuned, measured_at = excluded.measured_at",
                (digest, machine, tuning, Timestamp::now().as_millis()),
            )?;
            Ok(())
        })
        .await
    }

    /// What was measured of a model on a machine.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tuning_get(&self, digest: String, machine: String) -> Result<Option<String>, Error> {
        self.read(move |connection| {
            let mut query = connection
                .prepare_cached("SELECT tuned FROM tunings WHERE model_digest = ?1 AND machine = ?2")?;
            Ok(query.query_row([digest, machine], |row| row.get(0)).optional()?)
        })
        .await
    }
}
