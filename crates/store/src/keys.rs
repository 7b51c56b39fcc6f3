//! API keys. Only the HMAC of a key's secret is stored; `server` computes it.

use lar_base::{KeyId, MemoryMode, Scopes, Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::columns::{optional_time, parse_column, time};
use crate::idempotency::record_request_in_txn;
use crate::json_columns::{names, read_names};
use crate::{Error, IdempotentRequest, Store};

/// A stored key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The id, `key_…`, which is not secret.
    pub id: KeyId,
    /// The user whose conversations and memories the key can reach.
    pub user: UserId,
    /// The name for people: one line of 1 to 100 characters.
    pub name: String,
    /// The agent it belongs to, whose memories are separate from the user's; `None` for the user's own keys.
    pub agent: Option<String>,
    /// Eight hexadecimal digits that identify the key in lists and logs.
    pub fingerprint: String,
    /// The permissions that its requests have.
    pub scopes: Scopes,
    /// The scopes that an upgrade of Lar removed.
    pub removed_scopes: Scopes,
    /// Its own rate limit, in requests per minute; `None` for the general one of the settings.
    pub requests_per_minute: Option<u32>,
    /// The memory mode of its requests that do not set one.
    pub memory: MemoryMode,
    /// The client that uses it; `None` if it was not created by connecting one.
    pub client: Option<String>,
    /// The time of its creation.
    pub created_at: Timestamp,
    /// When it was last used, accurate to about a minute; `None` if it never was.
    pub last_seen_at: Option<Timestamp>,
    /// When it expires; `None` if it does not.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked; `None` if it is not.
    pub revoked_at: Option<Timestamp>,
}

/// A key to store.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The user whose conversations and memories the key can reach.
    pub user: UserId,
    /// The name for people: one line of 1 to 100 characters.
    pub name: String,
    /// The agent it belongs to; `None` for a key of the user's own.
    pub agent: Option<String>,
    /// The HMAC-SHA-256 of its secret.
    pub digest: [u8; 32],
    /// The permissions that its requests have.
    pub scopes: Scopes,
    /// Its own rate limit, in requests per minute; `None` for the general one of the settings.
    pub requests_per_minute: Option<u32>,
    /// The memory mode of its requests that do not set one.
    pub memory: MemoryMode,
    /// The client that will use it; `None` if it is for no particular one.
    pub client: Option<String>,
    /// When it expires; `None` if it does not.
    pub expires_at: Option<Timestamp>,
}

impl Store {
    /// Stores a key and returns it. If a key with this digest exists, it is returned unchanged.
    ///
    /// # Errors
    /// [`Error::Conflict`] when a concurrent copy of the same request came first; when the database fails.
    pub async fn key_create(&self, key: NewKey, once: Option<IdempotentRequest>) -> Result<KeyRecord, Error> {
        self.write(move |connection| {
            if let Some(found) = by_digest(connection, &key.digest)? {
                return Ok(found);
            }
            let id = KeyId::new();
            if let Some(once) = &once {
                record_request_in_txn(connection, once, &id.to_string())?;
            }
            let scopes = names(&key.scopes)?;
            connection.execute(
                "INSERT INTO keys (id, user_id, name, digest, fingerprint, scopes, requests_per_minute,
                                   created_at, expires_at, agent, memory, client)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                (
                    id.to_string(),
                    key.user.to_string(),
                    &key.name,
                    &key.digest[..],
                    lar_base::secret::hex(&key.digest[..4]),
                    scopes,
                    key.requests_per_minute,
                    Timestamp::now().as_millis(),
                    key.expires_at.map(Timestamp::as_millis),
                    &key.agent,
                    key.memory.as_str(),
                    &key.client,
                ),
            )?;
            by_digest(connection, &key.digest)?.ok_or_else(|| Error::NotFound(format!("key {id}")))
        })
        .await
    }

    /// Finds a key by the HMAC of its secret, even if it is revoked or expired.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn key_by_digest(&self, digest: [u8; 32]) -> Result<Option<KeyRecord>, Error> {
        self.read(move |connection| by_digest(connection, &digest)).await
    }

    /// Returns a key by its id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn key_get(&self, id: KeyId) -> Result<Option<KeyRecord>, Error> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached("SELECT * FROM keys WHERE id = ?1")?;
            Ok(query.query_row([id.to_string()], record).optional()?)
        })
        .await
    }

    /// Returns the number of keys that are not revoked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn key_count(&self) -> Result<u64, Error> {
        self.read(|connection| {
            let sql = "SELECT count(*) FROM keys WHERE revoked_at IS NULL";
            Ok(connection.query_row(sql, [], |row| row.get(0))?)
        })
        .await
    }

    /// Returns the keys of a user, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn key_list(&self, user: UserId) -> Result<Vec<KeyRecord>, Error> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached("SELECT * FROM keys WHERE user_id = ?1 ORDER BY id")?;
            let rows = query.query_map([user.to_string()], record)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Records when keys were last used; an earlier time never replaces a later one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keys_record_use(&self, seen: Vec<(KeyId, Timestamp)>) -> Result<(), Error> {
        self.write(move |connection| {
            let mut update = connection.prepare_cached(
                "UPDATE keys SET last_seen_at = max(coalesce(last_seen_at, 0), ?2) WHERE id = ?1",
            )?;
            for (key, at) in &seen {
                update.execute((key.to_string(), at.as_millis()))?;
            }
            Ok(())
        })
        .await
    }

    /// Returns the scopes that a user's keys may have: all for the owner, otherwise those of the user's valid
    /// keys.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn user_scopes(&self, user: UserId) -> Result<Scopes, Error> {
        if user == self.owner().await? {
            return Ok(Scopes::all());
        }
        let now = Timestamp::now();
        let keys = self.key_list(user).await?;
        let good =
            keys.iter().filter(|key| key.revoked_at.is_none() && key.expires_at.is_none_or(|at| at > now));
        Ok(Scopes::of(good.flat_map(|key| key.scopes.iter())))
    }

    /// Revokes a key of this user, and ends every browser session that belongs to it.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the user has no such key; [`Error::Conflict`] when it is the user's last key
    /// with the scope `admin`, or the last of those without an expiry.
    pub async fn key_revoke(&self, user: UserId, id: KeyId) -> Result<(), Error> {
        self.write_freeing(move |connection| {
            let now = Timestamp::now().as_millis();
            let last_admin: bool = connection.query_row(
                "WITH admins AS (SELECT id, expires_at IS NULL AS stays FROM keys
                                 WHERE user_id = ?2 AND revoked_at IS NULL
                                 AND (expires_at IS NULL OR expires_at > ?3) AND scopes LIKE '%\"admin\"%'),
                      own AS (SELECT stays FROM admins WHERE id = ?1)
                 SELECT EXISTS (SELECT 1 FROM own)
                    AND NOT EXISTS (SELECT 1 FROM admins, own WHERE id <> ?1 AND admins.stays >= own.stays)",
                (id.to_string(), user.to_string(), now),
                |row| row.get(0),
            )?;
            if last_admin {
                return Err(Error::Conflict(format!(
                    "revoking {id} would leave no lasting key with the scope `admin`; create one first: \
                     lar keys create NAME --scopes admin"
                )));
            }
            let changed = connection.execute(
                "UPDATE keys SET revoked_at = coalesce(revoked_at, ?3) WHERE id = ?1 AND user_id = ?2",
                (id.to_string(), user.to_string(), now),
            )?;
            if changed == 0 {
                return Err(Error::NotFound(format!("key {id}")));
            }
            connection.execute("DELETE FROM browser_sessions WHERE key_id = ?1", [id.to_string()])?;
            Ok(())
        })
        .await
    }
}

fn by_digest(connection: &Connection, digest: &[u8; 32]) -> Result<Option<KeyRecord>, Error> {
    let mut query = connection.prepare_cached("SELECT * FROM keys WHERE digest = ?1")?;
    Ok(query.query_row([&digest[..]], record).optional()?)
}

pub(crate) fn record(row: &Row<'_>) -> rusqlite::Result<KeyRecord> {
    Ok(KeyRecord {
        id: parse_column(row, "id")?,
        user: parse_column(row, "user_id")?,
        name: row.get("name")?,
        agent: row.get("agent")?,
        fingerprint: row.get("fingerprint")?,
        scopes: read_names(row, "scopes")?,
        removed_scopes: read_names(row, "removed_scopes")?,
        requests_per_minute: row.get("requests_per_minute")?,
        memory: parse_column(row, "memory")?,
        client: row.get("client")?,
        last_seen_at: optional_time(row, "last_seen_at")?,
        created_at: time(row, "created_at")?,
        expires_at: optional_time(row, "expires_at")?,
        revoked_at: optional_time(row, "revoked_at")?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lar_base::Scope;

    use super::*;

    async fn make(store: &Store, number: u8, scopes: Scopes, expires_in: Option<Duration>) -> KeyId {
        let key = NewKey {
            user: store.owner().await.unwrap(),
            name: format!("key {number}"),
            agent: None,
            digest: [number; 32],
            scopes,
            requests_per_minute: None,
            memory: MemoryMode::Off,
            client: None,
            expires_at: expires_in.map(|time| Timestamp::now().after(time)),
        };
        store.key_create(key, None).await.unwrap().id
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn keys_of_a_user_may_have_the_scopes_of_the_users_usable_keys() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("lar.db")).unwrap();
        let owner = store.owner().await.unwrap();
        assert_eq!(store.user_scopes(owner).await.unwrap(), Scopes::all());
        let guest = store.user_create("guest".into(), None).await.unwrap().id;
        assert_eq!(store.user_scopes(guest).await.unwrap(), Scopes::of([]));
        let add = async |number: u8, scope: Scope, expires_at: Option<Timestamp>| {
            let key = NewKey {
                user: guest,
                name: format!("key {number}"),
                agent: None,
                digest: [number; 32],
                scopes: Scopes::of([scope]),
                requests_per_minute: None,
                memory: MemoryMode::Off,
                client: None,
                expires_at,
            };
            store.key_create(key, None).await.unwrap().id
        };
        add(1, Scope::Inference, None).await;
        let revoked = add(2, Scope::MemoryRead, None).await;
        add(3, Scope::Admin, Some(Timestamp::from_millis(1))).await;
        store.key_revoke(guest, revoked).await.unwrap();
        assert_eq!(store.user_scopes(guest).await.unwrap(), Scopes::of([Scope::Inference]));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_last_lasting_admin_key_cannot_be_revoked() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("lar.db")).unwrap();
        let user = store.owner().await.unwrap();
        let is_refused = async |id: KeyId| match store.key_revoke(user, id).await {
            Ok(()) => false,
            Err(Error::Conflict(_)) => true,
            Err(other) => panic!("{other:?}"),
        };
        let hour = Some(Duration::from_secs(3600));
        let first = make(&store, 1, Scopes::all(), None).await;
        let app = make(&store, 2, Scopes::of([Scope::Inference]), None).await;
        let expiring =
            [make(&store, 3, Scopes::all(), hour).await, make(&store, 4, Scopes::all(), hour).await];
        assert!(is_refused(first).await, "the others expire or lack the scope");
        assert!(!is_refused(expiring[0]).await && !is_refused(app).await);
        let second = make(&store, 5, Scopes::all(), None).await;
        assert!(!is_refused(first).await, "another one is left");
        assert!(is_refused(second).await, "a revoked key does not count");
        assert!(!is_refused(expiring[1]).await);
        assert!(is_refused(second).await);
    }
}
