//! The inbox: what may be worth remembering and waits for a person to say so.
//!
//! A candidate is a person's own words that nobody has accepted yet, so it is seen as tasks are: by the key that noted
//! it, and by that person's keys with the scope `conversations`. For all others it is not there, also where they share
//! its space: each key notes a text for itself, whether or not another key noted it. Whoever sees several keys' notes of
//! one text in one space sees one line, the newest.

use lar_base::{CandidateId, ConversationId, SpaceId, Timestamp, UserId, VisibleKeys};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};

use crate::memories::{placeholders, text};
use crate::{Error, MemoryKind, Provenance, Store, parse_column, time};

/// Something that may be worth remembering.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its id.
    pub id: CandidateId,
    /// Where it would lie.
    pub space: SpaceId,
    /// The text.
    pub content: String,
    /// What it is about.
    pub kind: MemoryKind,
    /// Where it came from, and the key that noted it.
    pub provenance: Provenance,
    /// Why it waits.
    pub reason: String,
    /// When it was noted.
    pub created_at: Timestamp,
}

impl Store {
    /// Notes a candidate; where the same key noted this text before and it waits still, that is left as it is. Of a conversation of
    /// Lar's that was erased since nothing is noted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn candidate_create(&self, candidate: Candidate) -> Result<(), Error> {
        self.write(move |connection| {
            if is_from_an_erased_conversation(connection, &candidate.provenance)? {
                return Ok(());
            }
            connection.execute(
                "INSERT INTO memory_candidates (id, space_id, key_id, content, kind, source, reason, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
                (
                    candidate.id.to_string(),
                    candidate.space.to_string(),
                    candidate.provenance.key.to_string(),
                    &candidate.content,
                    candidate.kind.as_str(),
                    serde_json::to_string(&candidate.provenance)?,
                    &candidate.reason,
                    candidate.created_at.as_millis(),
                ),
            )?;
            Ok(())
        })
        .await
    }

    /// The candidates that wait in these spaces since `since` and were noted by a key that the caller sees, newest first,
    /// at most `limit`. Of a text that several of these keys noted in one space, the newest.
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
            // The other columns are those of the row with the greatest id (SQLite's documentation of SELECT, 2.5).
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

    /// A candidate that waits in one of these spaces and was noted by a key that the caller sees.
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

    /// Takes a text out of the inbox of a space as far as keys noted it that the caller sees; how many had.
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

    /// Takes a text out of the inbox of a space, whichever keys of the person noted it; how many had.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn candidates_remove_of_user(
        &self,
        space: SpaceId,
        user: UserId,
        content: String,
    ) -> Result<usize, Error> {
        let remove =
            move |connection: &Connection| remove_in_txn(connection, space, &created_by_user(user), &content);
        self.erase(remove, |removed| *removed > 0).await
    }

    /// Forgets the candidates that were noted before `before`; how many there were.
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

/// The condition that a candidate was noted by one of these keys: one key, or every key of a person.
fn created_by(visible: VisibleKeys) -> String {
    match visible.key() {
        Some(own) => format!("key_id = '{own}'"),
        None => created_by_user(visible.user()),
    }
}

fn created_by_user(user: UserId) -> String {
    format!("key_id IN (SELECT id FROM keys WHERE user_id = '{user}')")
}

/// Whether something was said in a conversation that is not there any more; those of other programs are never there.
fn is_from_an_erased_conversation(connection: &Connection, from: &Provenance) -> Result<bool, Error> {
    let messages = from.conversation.as_deref().and_then(|id| id.parse::<ConversationId>().ok());
    let Some(id) = messages else { return Ok(false) };
    let mut query = connection.prepare_cached("SELECT 1 FROM conversations WHERE id = ?1")?;
    Ok(!query.exists([id.to_string()])?)
}

fn remove_in_txn(
    connection: &Connection,
    space: SpaceId,
    created_by: &str,
    content: &str,
) -> Result<usize, Error> {
    let sql = format!("DELETE FROM memory_candidates WHERE space_id = ?1 AND content = ?2 AND {created_by}");
    Ok(connection.execute(&sql, (space.to_string(), content))?)
}

fn candidate(row: &Row<'_>) -> rusqlite::Result<Candidate> {
    let source: String = row.get("source")?;
    Ok(Candidate {
        id: parse_column(row, "id")?,
        space: parse_column(row, "space_id")?,
        content: row.get("content")?,
        kind: parse_column(row, "kind")?,
        provenance: serde_json::from_str(&source).map_err(|_| crate::bad_column("source"))?,
        reason: row.get("reason")?,
        created_at: time(row, "created_at")?,
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
