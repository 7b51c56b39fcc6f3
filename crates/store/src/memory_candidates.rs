//! The inbox: candidates for memories, which wait for a user's decision.
//!
//! A candidate is a user's own words that nobody has accepted yet, so it is as visible as a task is: to the
//! key that added it, and to that user's keys with the scope `conversations`. For all others it does not
//! exist, even if they share its space: each key adds a text for itself, whether or not another key has added
//! it. Callers who see several keys' candidates with one text in one space see only the newest.

use lar_base::{CandidateId, ConversationId, MemoryId, SpaceId, Timestamp, UserId, VisibleKeys};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};

use crate::columns::{parse_column, parse_optional_column, time};
use crate::json_columns::PROVENANCE;
use crate::memories::rows::{exists_in_txn, placeholders, text};
use crate::{Error, MemoryKind, Provenance, Store};

/// The reason of a candidate whose own reason may have named a memory that was erased.
const REASON_AFTER_ERASURE: &str = "it may be worth saving";

/// A candidate for a memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The id, `cand_…`, by which it is accepted or rejected.
    pub id: CandidateId,
    /// The space that the memory would be in.
    pub space: SpaceId,
    /// The text that the memory would have.
    pub content: String,
    /// The kind that the memory would have.
    pub kind: MemoryKind,
    /// Its origin, and the key that added it.
    pub provenance: Provenance,
    /// Why the text is in the inbox, for people.
    pub reason: String,
    /// The time when it was put into the inbox.
    pub created_at: Timestamp,
    /// The memory that it would make outdated; `None` if there is none. That memory may have been deleted or
    /// superseded since: check that it is current and in the same space.
    pub may_replace: Option<MemoryId>,
}

impl Store {
    /// Adds a candidate. A candidate of the same key with this text that still waits stays as it is; if the
    /// new one would make a memory outdated, it takes that memory and the reason over. A memory that was
    /// erased meanwhile is left out, with the reason. Nothing is added from an erased conversation of Lar's.
    /// Returns the id of the candidate that waits, or `None` if nothing was added.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn candidate_create(&self, mut candidate: Candidate) -> Result<Option<CandidateId>, Error> {
        self.write(move |connection| {
            if is_from_an_erased_conversation(connection, &candidate.provenance)? {
                return Ok(None);
            }
            if let Some(id) = candidate.may_replace
                && !exists_in_txn(connection, candidate.space, id)?
            {
                candidate.may_replace = None;
                candidate.reason = REASON_AFTER_ERASURE.into();
            }
            connection.execute(
                "INSERT INTO memory_candidates
                   (id, space_id, key_id, content, kind, source, reason, created_at, may_replace)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT DO UPDATE SET may_replace = excluded.may_replace, reason = excluded.reason
                   WHERE excluded.may_replace IS NOT NULL",
                (
                    candidate.id.to_string(),
                    candidate.space.to_string(),
                    candidate.provenance.key.to_string(),
                    &candidate.content,
                    candidate.kind.as_str(),
                    PROVENANCE.encode(&candidate.provenance)?,
                    &candidate.reason,
                    candidate.created_at.as_millis(),
                    candidate.may_replace.map(|id| id.to_string()),
                ),
            )?;
            let sql = "SELECT id FROM memory_candidates WHERE space_id = ?1 AND key_id = ?2 AND content = ?3";
            let (space, key) = (candidate.space.to_string(), candidate.provenance.key.to_string());
            let mut query = connection.prepare_cached(sql)?;
            Ok(Some(query.query_row((space, key, &candidate.content), |row| parse_column(row, "id"))?))
        })
        .await
    }

    /// Returns at most `limit` candidates that were added since `since`, newest first. They wait in these
    /// spaces and were added by a key that the caller sees. If several of these keys added a text in one
    /// space, only the newest is returned.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn candidate_list(
        &self,
        spaces: Vec<SpaceId>,
        visible: VisibleKeys,
        since: Timestamp,
        after: Option<CandidateId>,
        limit: u32,
    ) -> Result<Vec<Candidate>, Error> {
        self.read(move |connection| {
            // The other columns come from the row with the greatest id (SQLite's documentation of SELECT,
            // 2.5).
            let sql = format!(
                "SELECT *, max(id) FROM memory_candidates WHERE space_id IN ({}) AND {} AND created_at >= {}
                 GROUP BY space_id, content HAVING ? IS NULL OR max(id) < ? ORDER BY max(id) DESC LIMIT {limit}",
                placeholders(spaces.len()),
                created_by(visible),
                since.as_millis()
            );
            let mut query = connection.prepare_cached(&sql)?;
            let after = Value::from(after.map(|id| id.to_string()));
            let values = spaces.iter().map(text).chain([after.clone(), after]);
            let rows = query.query_map(params_from_iter(values), candidate)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns a candidate that waits in one of these spaces and was added by a key that the caller sees.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn candidate_get(
        &self,
        spaces: Vec<SpaceId>,
        visible: VisibleKeys,
        id: CandidateId,
    ) -> Result<Candidate, Error> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT * FROM memory_candidates WHERE id = '{id}' AND space_id IN ({}) AND {}",
                placeholders(spaces.len()),
                created_by(visible)
            );
            let mut query = connection.prepare_cached(&sql)?;
            let found = query.query_row(params_from_iter(spaces.iter().map(text)), candidate).optional()?;
            found.ok_or_else(|| Error::NotFound(format!("candidate {id}")))
        })
        .await
    }

    /// Removes a text from the inbox of a space, for all keys that the caller sees. Returns how many keys had
    /// added it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn candidates_remove(
        &self,
        space: SpaceId,
        visible: VisibleKeys,
        content: String,
    ) -> Result<usize, Error> {
        let remove =
            move |connection: &Connection| remove_in_txn(connection, space, &created_by(visible), &content);
        self.erase(remove, |removed| *removed > 0).await
    }

    /// Removes texts from the inbox of a space in one commit, for all keys of the user. Returns the number of
    /// candidates.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn candidates_remove_of_user(
        &self,
        space: SpaceId,
        user: UserId,
        contents: Vec<String>,
    ) -> Result<usize, Error> {
        let remove = move |connection: &Connection| {
            let (created_by, mut removed) = (created_by_user(user), 0);
            for content in &contents {
                removed += remove_in_txn(connection, space, &created_by, content)?;
            }
            Ok(removed)
        };
        self.erase(remove, |removed| *removed > 0).await
    }

    /// Erases the candidates that were added before `before`; returns their number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn candidates_purge(&self, before: Timestamp) -> Result<usize, Error> {
        self.purge(move |connection| {
            let sql = "DELETE FROM memory_candidates WHERE created_at < ?1";
            Ok(connection.execute(sql, [before.as_millis()])?)
        })
        .await
    }
}

/// Returns the SQL condition for candidates of these keys: of one key, or of every key of a user.
fn created_by(visible: VisibleKeys) -> String {
    match visible.key() {
        Some(own) => format!("key_id = '{own}'"),
        None => created_by_user(visible.user()),
    }
}

fn created_by_user(user: UserId) -> String {
    format!("key_id IN (SELECT id FROM keys WHERE user_id = '{user}')")
}

/// Returns whether a memory comes from a conversation of Lar's that no longer exists. Other programs'
/// conversations do not count.
fn is_from_an_erased_conversation(connection: &Connection, from: &Provenance) -> Result<bool, Error> {
    let messages = from.conversation.as_deref().and_then(|id| id.parse::<ConversationId>().ok());
    let Some(id) = messages else { return Ok(false) };
    let mut query = connection.prepare_cached("SELECT 1 FROM conversations WHERE id = ?1")?;
    Ok(!query.exists([id.to_string()])?)
}

/// Removes an erased memory from the candidates that would have made it outdated. Their reasons may quote it.
/// A lost inbox does not keep a memory from being erased.
pub(crate) fn remove_memory_in_txn(connection: &Connection, memory: &str) -> Result<(), Error> {
    if !connection.table_exists(None, "memory_candidates")? {
        return Ok(());
    }
    let sql = "UPDATE memory_candidates SET may_replace = NULL, reason = ?2 WHERE may_replace = ?1";
    connection.prepare_cached(sql)?.execute([memory, REASON_AFTER_ERASURE])?;
    Ok(())
}

fn remove_in_txn(
    connection: &Connection,
    space: SpaceId,
    created_by: &str,
    content: &str,
) -> Result<usize, Error> {
    let sql = format!("DELETE FROM memory_candidates WHERE space_id = ?1 AND content = ?2 AND {created_by}");
    Ok(connection.prepare_cached(&sql)?.execute((space.to_string(), content))?)
}

fn candidate(row: &Row<'_>) -> rusqlite::Result<Candidate> {
    Ok(Candidate {
        id: parse_column(row, "id")?,
        space: parse_column(row, "space_id")?,
        content: row.get("content")?,
        kind: parse_column(row, "kind")?,
        provenance: PROVENANCE.decode(row)?,
        reason: row.get("reason")?,
        created_at: time(row, "created_at")?,
        may_replace: parse_optional_column(row, "may_replace")?,
    })
}

#[cfg(test)]
mod tests {
    use lar_base::KeyId;

    use super::*;
    use crate::NewConversation;

    #[tokio::test(flavor = "multi_thread")]
    async fn an_erased_conversation_adds_no_candidates() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("lar.db")).unwrap();
        let (owner, key) = (store.owner().await.unwrap(), KeyId::new());
        let space = store.space_ensure(owner, None).await.unwrap().id;
        let [kept, erased] = [(), ()].map(|()| NewConversation::default());
        let kept = store.conversation_create(owner, kept, None).await.unwrap().id;
        let erased = store.conversation_create(owner, erased, None).await.unwrap().id;
        let owned = store.conversation_get(owner, erased).await.unwrap();
        store.conversation_erase(&owned).await.unwrap();
        let messages = [kept.to_string(), erased.to_string(), "a session of another program".into()];
        for conversation in messages.clone() {
            let candidate = Candidate {
                id: CandidateId::new(),
                space,
                content: conversation.clone(),
                kind: MemoryKind::Fact,
                provenance: Provenance { key, source: None, conversation: Some(conversation), message: None },
                reason: String::new(),
                created_at: Timestamp::now(),
                may_replace: None,
            };
            store.candidate_create(candidate).await.unwrap();
        }
        let contents = |connection: &Connection| {
            let mut query = connection.prepare("SELECT content FROM memory_candidates ORDER BY id")?;
            let rows = query.query_map([], |row| row.get::<_, String>(0))?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        };
        assert_eq!(store.read(contents).await.unwrap(), [messages[0].clone(), messages[2].clone()]);
    }
}
