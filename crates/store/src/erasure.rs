//! Permanent erasure. Erased content also leaves the write-ahead log and the copies of older logs, and a
//! little later the search index's own tables ([`crate::conversation_search`]) and the unallocated regions of
//! pages ([`crate::unallocated`]).
//!
//! An erasure runs to its end even if its caller leaves, such as a client that disconnects. Otherwise it
//! would be committed, but its text would stay in the log. [`crate::writer`] truncates the log;
//! [`crate::wal`] makes its copies.

use std::sync::atomic::Ordering::Relaxed;

use lar_base::error_chain;
use rusqlite::{Connection, OptionalExtension as _};

use crate::{Error, Store, wal};

/// The result of one step of an erasure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// The number of items that this step has erased completely.
    pub(crate) erased: usize,
    /// Whether nothing is left to erase.
    pub(crate) is_last: bool,
}

impl Step {
    fn has_changed(self) -> bool {
        self.erased > 0 || !self.is_last
    }
}

impl Store {
    /// Like [`Store::erase`], in steps of one transaction each, between which others can write. Returns the
    /// number of erased items.
    pub(crate) async fn erase_in_steps<F>(&self, step: F) -> Result<usize, Error>
    where
        F: Fn(&Connection) -> Result<Step, Error> + Clone + Send + 'static,
    {
        let store = self.clone();
        let step = move |connection: &Connection| {
            let done = step(connection)?;
            if done.has_changed() {
                count_erasure_in_txn(connection)?;
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
            // Even if a step failed: the steps before it erased something.
            if has_changed {
                store.empty_log().await;
            }
            done
        };
        tokio::spawn(work).await.unwrap_or(Err(Error::Closed))
    }

    /// Like [`Store::write_freeing`], for a change that erases. If `has_erased` is true for its result, the
    /// log is truncated and copies of older logs are removed afterwards. A caller that drops this future
    /// stops none of that.
    pub(crate) async fn erase<T, F>(&self, change: F, has_erased: fn(&T) -> bool) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, Error> + Send + 'static,
    {
        let store = self.clone();
        let change = move |connection: &Connection| {
            let done = change(connection)?;
            if has_erased(&done) {
                count_erasure_in_txn(connection)?;
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

    /// Erases expired items; returns their number. The log is truncated when it is next due, and copies of
    /// older logs stay: nobody asked for this erasure, and a person may still want to examine them.
    pub(crate) async fn purge<F>(&self, change: F) -> Result<usize, Error>
    where
        F: Fn(&Connection) -> Result<usize, Error> + Send + 'static,
    {
        self.write_freeing(move |connection| {
            let erased = change(connection)?;
            if erased > 0 {
                count_erasure_in_txn(connection)?;
            }
            Ok(erased)
        })
        .await
    }

    /// Removes what earlier erasures left behind. It clears answers ([`crate::answer_memories`]), the search
    /// index ([`crate::conversation_search`]), and then unallocated regions of pages ([`crate::unallocated`])
    /// and the write-ahead log. Others can read and write meanwhile. Returns the number of cleared pages;
    /// `None` if nothing was due. A database with known damage is left as it is.
    ///
    /// # Errors
    /// When the database fails, and for a database of 128 GiB or more, whose pages are not cleared. The next
    /// call tries again.
    pub async fn clear_erased(&self) -> Result<Option<usize>, Error> {
        if !self.health.faults().is_empty() {
            return Ok(None);
        }
        if self.read(erasures_to_clear).await?.is_none() {
            return Ok(None);
        }
        // If one part fails, the others run all the same. Answers come first, because each of their steps
        // counts as an erasure.
        let answers = self.try_to_remove_from_answers().await;
        let Some(erasures) = self.read(erasures_to_clear).await? else { return Ok(None) };
        let (index, pages) = (self.clear_search_index().await, self.clear_pages().await);
        let is_done = answers.is_ok() && index.is_ok() && pages.is_ok();
        if is_done {
            // An erasure since the start may have left content on a page that was examined before it.
            self.write(move |connection| subtract_erasures_in_txn(connection, erasures)).await?;
        }
        if !matches!((&index, &pages), (Ok(0), Ok(0))) {
            self.empty_log().await;
        }
        answers.and(index).and(pages).map(Some)
    }

    /// Truncates the write-ahead log and removes copies of older logs, if that failed after an erasure.
    /// Returns whether it was due.
    ///
    /// # Errors
    /// When it fails again. The next call tries again.
    pub async fn log_empty_retry(&self) -> Result<bool, Error> {
        if !self.is_log_emptying_due.swap(false, Relaxed) {
            return Ok(false);
        }
        let emptied = self.try_to_empty_log().await;
        if emptied.is_err() {
            self.is_log_emptying_due.store(true, Relaxed);
        }
        emptied.map(|()| true)
    }

    /// Truncates the write-ahead log and removes copies of older logs, so that nothing erased is left in
    /// them. The erasure is committed by then: a failure is logged, and [`Store::log_empty_retry`] tries
    /// again.
    pub(crate) async fn empty_log(&self) {
        if let Err(error) = self.try_to_empty_log().await {
            tracing::warn!(
                error = %error_chain(&error),
                "the write-ahead log or a copy of it still has erased content; retrying"
            );
            self.is_log_emptying_due.store(true, Relaxed);
        }
    }

    /// Checkpoints and truncates the write-ahead log, and removes copies of older logs. The checkpoint waits
    /// until no read blocks it. The database may grow; on a full disk, the reserve makes room for that.
    async fn try_to_empty_log(&self) -> Result<(), Error> {
        let path = self.path.clone();
        let removed = tokio::task::spawn_blocking(move || wal::remove_copies(&path)).await;
        self.writer.checkpoint().await.map_err(|error| self.with_path(error))?;
        removed?
    }
}

/// Counts an erasure, so that the search index and the pages are cleared after it.
pub(crate) fn count_erasure_in_txn(connection: &Connection) -> Result<(), Error> {
    let sql =
        "INSERT INTO erasures_to_clear (id, count) VALUES (1, 1) ON CONFLICT DO UPDATE SET count = count + 1";
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

/// Records that everything was cleared after this many erasures. If there were more since, clearing stays
/// due.
fn subtract_erasures_in_txn(connection: &Connection, count: i64) -> Result<(), Error> {
    connection.execute("DELETE FROM erasures_to_clear WHERE count = ?1", [count])?;
    Ok(())
}

/// Returns the number of erasures since everything was cleared; `None` if there was none.
pub(crate) fn erasures_to_clear(connection: &Connection) -> Result<Option<i64>, Error> {
    let mut query = connection.prepare_cached("SELECT count FROM erasures_to_clear")?;
    Ok(query.query_row([], |row| row.get(0)).optional()?)
}

#[cfg(test)]
mod tests {
    use lar_base::{CandidateId, ConversationId, KeyId, MemoryId, SpaceId, TaskId, Timestamp};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn clearing_stays_due_after_an_erasure_during_it() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("lar.db")).unwrap();
        store.clear_erased().await.unwrap();
        store.write(count_erasure_in_txn).await.unwrap();
        let counted = store.read(erasures_to_clear).await.unwrap();
        store.write(count_erasure_in_txn).await.unwrap();
        let due = store.read(erasures_to_clear).await.unwrap();
        assert_eq!((counted, due), (Some(1), Some(2)));
        store.write(move |connection| subtract_erasures_in_txn(connection, 1)).await.unwrap();
        assert_eq!(store.read(erasures_to_clear).await.unwrap(), due);
        assert!(store.clear_erased().await.unwrap().is_some());
        assert_eq!(store.read(erasures_to_clear).await.unwrap(), None);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_damaged_database_is_not_cleared() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("lar.db")).unwrap();
        let due = store.read(erasures_to_clear).await.unwrap();
        assert!(due.is_some());
        store.health.note_damage(store.path(), &["a fault".into()]);
        assert_eq!(store.clear_erased().await.unwrap(), None);
        assert_eq!(store.read(erasures_to_clear).await.unwrap(), due, "clearing stays due");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_damaged_memory_does_not_block_the_purge_of_others() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("lar.db")).unwrap();
        let owner = store.owner().await.unwrap();
        let space = SpaceId::new();
        let fill = move |connection: &Connection| {
            connection.execute(
                "INSERT INTO spaces (id, user_id, kind, name, created_at) VALUES (?1, ?2, 'personal', '', 1)",
                [space.to_string(), owner.to_string()],
            )?;
            // Tags that are not JSON, an invalid kind, an invalid id, and a valid memory.
            for (id, kind, tags) in [
                ("mem_1", "fact", "no"),
                ("mem_2", "fakt", "[]"),
                ("m\u{1}", "fact", "[]"),
                ("mem_4", "fact", "[]"),
            ] {
                connection.execute(
                    "INSERT INTO memories (id, space_id, kind, content, tags, source, pinned, stability, difficulty, reviewed_at,
                                           hash, version, created_at, updated_at, deleted_at)
                     VALUES (?1, ?2, ?3, 'text', ?4, '{}', 0, 1, 1, 1, randomblob(32), 1, 1, 1, 1)",
                    [id, &space.to_string(), kind, tags],
                )?;
            }
            Ok(())
        };
        store.write(fill).await.unwrap();
        assert_eq!(store.memories_purge(Timestamp::from_millis(10)).await.unwrap().count, 4);
        let left = |connection: &Connection| {
            Ok(connection.query_row("SELECT count(*) FROM memories", [], |row| row.get::<_, u32>(0))?)
        };
        assert_eq!(store.read(left).await.unwrap(), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_erasure_is_counted_so_that_pages_are_cleared() {
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
        is_counted("erasures before an upgrade").await;
        // If nothing is erased, nothing is counted.
        store.memories_purge(long_ago).await.unwrap();
        store.conversations_purge(long_ago, long_ago).await.unwrap();
        store.responses_purge(long_ago).await.unwrap();
        store.candidates_purge(long_ago).await.unwrap();
        assert_eq!(store.clear_erased().await.unwrap(), None);

        store.memories_erase(vec![space], vec![memories[0]]).await.unwrap();
        is_counted("a memory").await;
        assert_eq!(store.memories_purge(now).await.unwrap().count, 1);
        is_counted("expired memories").await;
        let owned = store.conversation_get(owner, conversations[0]).await.unwrap();
        store.conversation_erase(&owned).await.unwrap();
        is_counted("a conversation").await;
        assert_eq!(store.conversations_purge(now, long_ago).await.unwrap(), 1);
        is_counted("expired conversations").await;
        store.response_delete(key, tasks[0]).await.unwrap();
        is_counted("a response").await;
        assert_eq!(store.responses_purge(now).await.unwrap(), 1);
        is_counted("expired responses").await;
        assert_eq!(store.candidates_remove_of_user(space, owner, vec!["one".into()]).await.unwrap(), 1);
        is_counted("a candidate in the inbox").await;
        assert_eq!(store.candidates_purge(now).await.unwrap(), 2);
        is_counted("expired candidates in the inbox").await;
    }
}
