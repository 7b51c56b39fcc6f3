//! Measurements of models on this machine, in the engines' own format.

use lar_base::Timestamp;
use rusqlite::OptionalExtension as _;

use crate::json_columns::TUNING;
use crate::{Error, Store};

impl Store {
    /// Stores the measurements of a model on a machine, and replaces earlier ones.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tuning_set(&self, digest: String, machine: String, tuning: String) -> Result<(), Error> {
        self.write(move |connection| {
            connection.execute(
                "INSERT INTO tunings (model_digest, machine, tuned, measured_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (model_digest, machine)
                 DO UPDATE SET tuned = excluded.tuned, measured_at = excluded.measured_at",
                (digest, machine, TUNING.stamp(&tuning)?, Timestamp::now().as_millis()),
            )?;
            Ok(())
        })
        .await
    }

    /// Returns the measurements of a model on a machine.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tuning_get(&self, digest: String, machine: String) -> Result<Option<String>, Error> {
        self.read(move |connection| {
            let mut query = connection
                .prepare_cached("SELECT tuned FROM tunings WHERE model_digest = ?1 AND machine = ?2")?;
            Ok(query.query_row([digest, machine], |row| TUNING.get(row)).optional()?)
        })
        .await
    }
}
