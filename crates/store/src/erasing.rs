//! Erasing for good: what is erased leaves the write-ahead log and the copies of older logs, too, and a little later the search
//! index's own tables ([`crate::conversation_search`]) and the unallocated regions of pages ([`crate::unallocated`]).
//!
//! An erasure goes on to its end when its caller is gone, such as a client that disconnected. Otherwise it would be committed
//! and its words would stay in the log. How the log is emptied is in [`crate::writer`], where its copies come from in
//! [`crate::wal`].

use std::sync::atomic::Ordering::Relaxed;

use rusqlite::Connection;

use crate::unallocated::note_erasure_in_txn;
use crate::{Error, Store, wal};

/// What one step of an erasure did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// Things that are wholly gone since this step.
    pub(crate) erased: usize,
    /// Whether nothing is left to be erased.
    pub(crate) is_last: bool,
}

impl Step {
    fn has_changed(self) -> bool {
        self.erased > 0 || !self.is_last
    }
}

impl Store {
    /// As [`Store::erase`], in steps of a transaction each, between which others write. Returns how many things were erased.
    pub(crate) async fn erase_in_steps<F>(&self, step: F) -> Result<usize, Error>
    where
        F: Fn(&Connection) -> Result<Step, Error> + Clone + Send + 'static,
    {
        let store = self.clone();
        let step = move |connection: &Connection| {
            let done = step(connection)?;
            if done.has_changed() {
                note_erasure_in_txn(connection)?;
            }
            Ok(done)
        };
        let work = async move {
            let (mut erased, mut has_changed) = (0, false);
            let done = loop {
                match store.write_freeing(step.clone()).await {
                    Ok(done) => {
                        erased += done.erased;
                        has_changed |= done.has_changed();
                        if done.is_last {
                            break Ok(erased);
                        }
                    }
                    Err(error) => break Err(error),
                }
            };
            // Also where a step failed: those before it erased something.
            if has_changed {
                store.empty_log().await;
            }
            done
        };
        tokio::spawn(work).await.unwrap_or(Err(Error::Closed))
    }

    /// As [`Store::write_freeing`], for a change that erases: where `has_erased` says of its result that it did, the log is
    /// emptied and copies of older logs are removed after it. A caller that drops this future stops nothing of that.
    pub(crate) async fn erase<T, F>(&self, change: F, has_erased: fn(&T) -> bool) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, Error> + Send + 'static,
    {
        let store = self.clone();
        let change = move |connection: &Connection| {
            let done = change(connection)?;
            if has_erased(&done) {
                note_erasure_in_txn(connection)?;
            }
            Ok(done)
        };
        let work = async move {
            let done = store.write_freeing(change).await;
            if done.as_ref().is_ok_and(has_erased) {
                store.empty_log().await;
            }
            done
        };
        tokio::spawn(work).await.unwrap_or(Err(Error::Closed))
    }

    /// Erases what was kept for its time; returns how many things that were. The log is emptied when its time comes, and copies of
    /// older logs stay: nobody asked for this erasure, and a person may still want to look at them.
    pub(crate) async fn purge<F>(&self, change: F) -> Result<usize, Error>
    where
        F: Fn(&Connection) -> Result<usize, Error> + Send + 'static,
    {
        self.write_freeing(move |connection| {
            let erased = change(connection)?;
            if erased > 0 {
                note_erasure_in_txn(connection)?;
            }
            Ok(erased)
        })
        .await
    }

    /// Empties the write-ahead log and removes copies of older logs where that failed after something was erased. Says whether
    /// there was such a case.
    ///
    /// # Errors
    /// When it fails again. Another call tries again.
    pub async fn log_empty_again(&self) -> Result<bool, Error> {
        if !self.is_log_due.swap(false, Relaxed) {
            return Ok(false);
        }
        let emptied = self.try_to_empty_log().await;
        if emptied.is_err() {
            self.is_log_due.store(true, Relaxed);
        }
        emptied.map(|()| true)
    }

    /// Empties the write-ahead log and removes copies of older logs, so that nothing that was erased is left in them. The erasure
    /// is committed by then: where this fails, the log says so and [`Store::log_empty_again`] does it later.
    pub(crate) async fn empty_log(&self) {
        if let Err(error) = self.try_to_empty_log().await {
            tracing::warn!(%error, "something was erased, and the write-ahead log or a copy of it still has it; another try comes");
            self.is_log_due.store(true, Relaxed);
        }
    }

    /// Moves the write-ahead log into the database, as soon as no read is in the way, and removes copies of older logs. The
    /// database may grow by that, for which a full disk has the room that is kept.
    async fn try_to_empty_log(&self) -> Result<(), Error> {
        let path = self.path.clone();
        let removed = tokio::task::spawn_blocking(move || wal::remove_copies(&path)).await;
        self.writer.checkpoint().await.map_err(|error| self.noted(error))?;
        removed.unwrap_or(Err(Error::Closed))
    }
}

#[cfg(test)]
mod tests {
    use lar_base::{CandidateId, ConversationId, KeyId, MemoryId, SpaceId, TaskId, Timestamp};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn whatever_erases_is_counted_so_that_pages_are_cleared() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("lar.db")).unwrap();
        let (owner, key, space) = (store.owner().await.unwrap(), KeyId::new(), SpaceId::new());
        let (long_ago, now) = (Timestamp::from_millis(1), Timestamp::from_millis(10));
        let memories = [MemoryId::new(), MemoryId::new()];
        let conversations = [ConversationId::new(), ConversationId::new()];
        let tasks = [TaskId::new(), TaskId::new()];
        let fill = move |connection: &Connection| {
            connection.execute(
                "INSERT INTO spaces (id, user_id, kind, name, created_at) VALUES (?1, ?2, 'personal', '', 1)",
                [space.to_string(), owner.to_string()],
            )?;
            connection.execute(
                "INSERT INTO keys (id, user_id, name, digest, fingerprint, scopes, created_at)
                 VALUES (?1, ?2, '', x'00', '', '[]', 1)",
                [key.to_string(), owner.to_string()],
            )?;
            for (at, id) in memories.iter().enumerate() {
                connection.execute(
                    "INSERT INTO memories (id, space_id, kind, content, tags, source, pinned, stability, difficulty,
                                           reviewed_at, hash, version, created_at, updated_at, deleted_at)
                     VALUES (?1, ?2, 'fact', ?1, '[]', ?3, 0, 1, 1, 1, randomblob(32), 1, 1, 1, ?4)",
                    (id.to_string(), space.to_string(), format!(r#"{{"key":"{key}"}}"#), at + 1),
                )?;
            }
            for id in conversations {
                connection.execute(
                    "INSERT INTO conversations (id, user_id, title, version, created_at, updated_at, deleted_at)
                     VALUES (?1, ?2, '', 1, 1, 1, 1)",
                    [id.to_string(), owner.to_string()],
                )?;
            }
            for id in tasks {
                connection.execute(
                    "INSERT INTO responses (task_id, key_id, state, input, body, created_at) VALUES (?1, ?2, 'over', '', '', 1)",
                    [id.to_string(), key.to_string()],
                )?;
            }
            for (text, at) in [("one", 1), ("two", 1), ("three", 1)] {
                connection.execute(
                    "INSERT INTO memory_candidates (id, space_id, key_id, content, kind, source, reason, created_at)
                     VALUES (?1, ?2, ?3, ?4, 'fact', '{}', '', ?5)",
                    (CandidateId::new().to_string(), space.to_string(), key.to_string(), text, at),
                )?;
            }
            Ok(())
        };
        store.write(fill).await.unwrap();
        let is_counted = async |what: &str| {
            assert!(store.clear_erased().await.unwrap().is_some(), "{what}");
            assert_eq!(store.clear_erased().await.unwrap(), None);
        };
        is_counted("what was erased before an upgrade").await;
        // Where nothing was erased nothing is counted.
        store.memories_purge(long_ago).await.unwrap();
        store.conversations_purge(long_ago, long_ago).await.unwrap();
        store.responses_purge(long_ago).await.unwrap();
        store.candidates_purge(long_ago).await.unwrap();
        assert_eq!(store.clear_erased().await.unwrap(), None);

        store.memories_erase(vec![space], vec![memories[0]]).await.unwrap();
        is_counted("a memory").await;
        assert_eq!(store.memories_purge(now).await.unwrap(), 1);
        is_counted("memories past their time").await;
        let owned = store.conversation_get(owner, conversations[0]).await.unwrap();
        store.conversation_erase(&owned).await.unwrap();
        is_counted("a conversation").await;
        assert_eq!(store.conversations_purge(now, long_ago).await.unwrap(), 1);
        is_counted("conversations past their time").await;
        store.response_delete(key, tasks[0]).await.unwrap();
        is_counted("a response").await;
        assert_eq!(store.responses_purge(now).await.unwrap(), 1);
        is_counted("responses past their time").await;
        assert_eq!(store.candidates_remove_of_person(space, owner, "one".into()).await.unwrap(), 1);
        is_counted("what waited in the inbox").await;
        assert_eq!(store.candidates_purge(now).await.unwrap(), 2);
        is_counted("what waited in the inbox past its time").await;
    }
}
