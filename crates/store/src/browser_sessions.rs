//! The sessions of signed-in browsers. A session belongs to a key and ends with it.

use lar_base::{KeyId, SessionId, Timestamp};
use rusqlite::OptionalExtension as _;

use crate::columns::{parse_column, time};
use crate::{Error, Store};

/// The session of a signed-in browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrowserSession {
    /// The id, which is not secret; only the HMAC of the cookie is stored.
    pub id: SessionId,
    /// The key of the sign-in link, which decides what the session may do.
    pub key: KeyId,
    /// The time from which the cookie is refused.
    pub expires_at: Timestamp,
}

impl Store {
    /// Stores a session under the HMAC of its cookie, and deletes expired ones.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn browser_session_create(
        &self,
        key: KeyId,
        digest: [u8; 32],
        expires_at: Timestamp,
    ) -> Result<SessionId, Error> {
        self.write(move |connection| {
            let (id, now) = (SessionId::new(), Timestamp::now().as_millis());
            connection.execute("DELETE FROM browser_sessions WHERE expires_at < ?1", [now])?;
            connection.execute(
                "INSERT INTO browser_sessions (id, digest, key_id, created_at, expires_at)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                (id.to_string(), &digest[..], key.to_string(), now, expires_at.as_millis()),
            )?;
            Ok(id)
        })
        .await
    }

    /// Finds a session by the HMAC of its cookie, even if it has expired.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn browser_session_by_digest(&self, digest: [u8; 32]) -> Result<Option<BrowserSession>, Error> {
        self.read(move |connection| {
            let mut query = connection
                .prepare_cached("SELECT id, key_id, expires_at FROM browser_sessions WHERE digest = ?1")?;
            let session = query.query_row([&digest[..]], |row| {
                Ok(BrowserSession {
                    id: parse_column(row, "id")?,
                    key: parse_column(row, "key_id")?,
                    expires_at: time(row, "expires_at")?,
                })
            });
            Ok(session.optional()?)
        })
        .await
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn browser_session_remove(&self, digest: [u8; 32]) -> Result<(), Error> {
        self.write_freeing(move |connection| {
            connection.execute("DELETE FROM browser_sessions WHERE digest = ?1", [&digest[..]])?;
            Ok(())
        })
        .await
    }
}
