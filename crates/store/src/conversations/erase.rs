//! Erases conversations in steps, between which others can write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use lar_base::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};

use super::record::OwnedConversation;
use super::rows::get_in_txn;
use crate::conversation_search as search;
use crate::erasure::Step;
use crate::{Error, Store};

impl Store {
    /// Erases a conversation, its messages and the memory candidates from it. They leave the write-ahead log,
    /// too, as soon as no long read blocks that. Others can write between its steps. If it is interrupted,
    /// the next purge continues it.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it was erased meanwhile.
    pub async fn conversation_erase(&self, owned: &OwnedConversation) -> Result<(), Error> {
        let (user, id) = (owned.user(), owned.id());
        let has_started = Arc::new(AtomicBool::new(false));
        self.erase_in_steps(move |connection| {
            match get_in_txn(connection, user, id) {
                Ok(_) => {}
                // A purge continued this erasure meanwhile.
                Err(Error::NotFound(_)) if has_started.load(Relaxed) => {
                    return Ok(Step { erased: 0, is_last: true });
                }
                Err(error) => return Err(error),
            }
            let is_erased = erase_some_in_txn(connection, &id.to_string())?;
            has_started.store(true, Relaxed);
            Ok(Step { erased: usize::from(is_erased), is_last: is_erased })
        })
        .await
        .map(drop)
    }

    /// Erases the conversations that were deleted before `deleted`, and temporary ones without a message
    /// since `temporary`. Returns the number of erased conversations. Others can write between its steps.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn conversations_purge(
        &self,
        deleted: Timestamp,
        temporary: Timestamp,
    ) -> Result<usize, Error> {
        let due =
            "SELECT id FROM conversations WHERE deleted_at < ?1 OR temporary = 1 AND updated_at < ?2 LIMIT 1";
        let times = [deleted.as_millis(), temporary.as_millis()];
        self.erase_in_steps(move |connection| {
            // The id as it is stored: damage may have made it an invalid id.
            let next: Option<String> =
                connection.prepare_cached(due)?.query_row(times, |row| row.get("id")).optional()?;
            match next {
                Some(id) => {
                    let is_erased = erase_some_in_txn(connection, &id)?;
                    Ok(Step { erased: usize::from(is_erased), is_last: false })
                }
                None => Ok(Step { erased: 0, is_last: true }),
            }
        })
        .await
    }
}

/// Removes some of a conversation's texts from the index, or the conversation itself if none is left there.
/// Returns whether the conversation is gone.
fn erase_some_in_txn(connection: &Connection, id: &str) -> Result<bool, Error> {
    if search::remove_some_in_txn(connection, id)? {
        // Deleting a message deletes its answers, too, but SQLite recurses only a thousand levels deep.
        connection.execute("UPDATE messages SET parent_id = NULL WHERE conversation_id = ?1", [id])?;
        // Candidates for memories come from the conversation; damage may have left a source that is not JSON.
        connection.execute(
            "DELETE FROM memory_candidates
             WHERE CASE WHEN json_valid(source) THEN source ->> 'conversation' END = ?1",
            [id],
        )?;
        // Without an error, a purge would find the row again and again.
        return match connection.execute("DELETE FROM conversations WHERE id = ?1", [id])? {
            0 => Err(Error::Corrupt {
                path: None,
                faults: vec![format!("conversation {id} cannot be found by its id")],
            }),
            _ => Ok(true),
        };
    }
    // It is in no list from now on. If this erasure is interrupted, the next purge continues it.
    connection.execute("UPDATE conversations SET deleted_at = 0 WHERE id = ?1", [id])?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use lar_base::ConversationId;

    use super::*;
    use crate::NewConversation;

    #[tokio::test(flavor = "multi_thread")]
    async fn an_interrupted_erasure_is_finished_by_the_next_purge() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("lar.db")).unwrap();
        let owner = store.owner().await.unwrap();
        let system = Some(format!("{}wisteria", "word ".repeat(20_000)));
        let new = NewConversation { title: "Barrels".into(), system, ..NewConversation::default() };
        let erased = store.conversation_create(owner, new.clone(), None).await.unwrap().id;
        let kept = store.conversation_create(owner, new, None).await.unwrap().id;
        assert!(
            !store.write(move |connection| erase_some_in_txn(connection, &erased.to_string())).await.unwrap()
        );
        let listed = store.conversation_list(owner, None, 9).await.unwrap();
        assert_eq!(
            listed.iter().map(|found| found.id).collect::<Vec<_>>(),
            [kept],
            "it is in no list any more"
        );

        let long_ago = Timestamp::from_millis(1);
        assert_eq!(store.conversations_purge(long_ago, long_ago).await.unwrap(), 1);
        assert!(matches!(store.conversation_get(owner, erased).await, Err(Error::NotFound(_))));
        // An id that damage changed.
        let damage = move |connection: &Connection| {
            let sql =
                "INSERT INTO conversations (id, user_id, title, version, created_at, updated_at, deleted_at)
                       VALUES (?1, ?2, 'damaged', 1, 1, 1, 0)";
            let id = ConversationId::new().to_string().to_uppercase().replacen("CONV", "conv", 1);
            Ok(connection.execute(sql, (id, owner.to_string()))?)
        };
        store.write(damage).await.unwrap();
        assert_eq!(store.conversations_purge(long_ago, long_ago).await.unwrap(), 1);
        let found = store.conversation_search(owner, "wisteria".into(), 9).await.unwrap();
        assert_eq!(found.iter().map(|hit| hit.conversation.id).collect::<Vec<_>>(), [kept]);

        // Candidates for memories are erased with the conversation that they come from.
        let suggested = |connection: &Connection| {
            let count = "SELECT group_concat(id, ' ') FROM (SELECT id FROM memory_candidates ORDER BY id)";
            Ok(connection.query_row(count, [], |row| row.get::<_, Option<String>>(0))?)
        };
        let suggest = move |connection: &Connection| {
            connection.execute_batch(&format!(
                r#"INSERT INTO spaces (id, user_id, kind, name, created_at) VALUES ('s', '{owner}', 'personal', '', 1);
                   INSERT INTO memory_candidates (id, space_id, key_id, content, kind, source, reason, created_at) VALUES
                     ('1', 's', 'k', 'said in it', 'fact', '{{"key":"k","conversation":"{kept}"}}', '', 1),
                     ('2', 's', 'k', 'said in another', 'fact', '{{"key":"k","conversation":"{erased}"}}', '', 1),
                     ('3', 's', 'k', 'said in none', 'fact', '{{"key":"k"}}', '', 1),
                     ('4', 's', 'k', 'damaged', 'fact', '{{"conversation":"{kept}"', '', 1)"#
            ))?;
            Ok(())
        };
        store.write(suggest).await.unwrap();
        assert_eq!(store.read(suggested).await.unwrap().as_deref(), Some("1 2 3 4"));
        // Two thousand messages, each an answer to the one before.
        let chain = move |connection: &Connection| {
            for number in 0..2000 {
                connection.execute(
                    "INSERT INTO messages (id, conversation_id, parent_id, role, content, status, created_at)
                     VALUES ('msg_' || ?2, ?1, (SELECT id FROM messages WHERE id = 'msg_' || (?2 - 1)), 'user', '', 'complete', 1)",
                    (kept.to_string(), number),
                )?;
            }
            Ok(())
        };
        store.write(chain).await.unwrap();
        let owned = store.conversation_get(owner, kept).await.unwrap();
        store.conversation_erase(&owned).await.unwrap();
        assert!(matches!(store.conversation_erase(&owned).await, Err(Error::NotFound(_))));
        assert_eq!(store.read(suggested).await.unwrap().as_deref(), Some("2 3 4"));
        assert_eq!(store.conversation_search(owner, "wisteria".into(), 9).await.unwrap(), []);
    }
}
