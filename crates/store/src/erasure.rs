//! Erasing for good: what is erased leaves the write-ahead log and the copies of older logs, too, and a little later the search
//! index's own tables ([`crate::conversation_search`]) and the unallocated regions of pages ([`crate::unallocated`]).
//!
//! An erasure goes on to its end when its caller is gone, such as a client that disconnected. Otherwise it would be committed
//! and its words would stay in the log. How the log is emptied is in [`crate::writer`], where its copies come from in
//! [`crate::wal`].

use std::sync::atomic::Ordering::Relaxed;

use rusqlite::{Connection, OptionalExtension as _};

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

    /// Erases what was kept for its time; returns how many things that were. The log is emptied when its time comes, and copies of
    /// older logs stay: nobody asked for this erasure, and a person may still want to look at them.
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

    /// Removes what erasures left since this was done last: in answers ([`crate::answer_memories`]), in the search index
    /// ([`crate::conversation_search`]), and then in the unallocated regions of pages ([`crate::unallocated`]) and the write-ahead
    /// log. Others read and write meanwhile. Returns how many pages were cleared; none where nothing was due. A database in which
    /// damage was found is left as it is.
    ///
    /// # Errors
    /// When the database fails, and for a database of 128 GiB or more, of which no page is cleared. Another call tries again.
    pub async fn clear_erased(&self) -> Result<Option<usize>, Error> {
        if !self.health.faults().is_empty() {
            return Ok(None);
        }
        if self.read(erasures_to_clear).await?.is_none() {
            return Ok(None);
        }
        // Each on its own: where one fails the others are cleared all the same. Answers come first, as each step counts as an erasure.
        let answers = self.try_to_remove_from_answers().await;
        let Some(erasures) = self.read(erasures_to_clear).await? else { return Ok(None) };
        let (index, pages) = (self.clear_search_index().await, self.clear_pages().await);
        let is_done = answers.is_ok() && index.is_ok() && pages.is_ok();
        if is_done {
            // An erasure since this began may have left something in a page that was looked at before it.
            self.write(move |connection| subtract_erasures_in_txn(connection, erasures)).await?;
        }
        if !matches!((&index, &pages), (Ok(0), Ok(0))) {
            self.empty_log().await;
        }
        answers.and(index).and(pages).map(Some)
    }

    /// Empties the write-ahead log and removes copies of older logs where that failed after something was erased. Says whether
    /// there was such a case.
    ///
    /// # Errors
    /// When it fails again. Another call tries again.
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

    /// Empties the write-ahead log and removes copies of older logs, so that nothing that was erased is left in them. The erasure
    /// is committed by then: where this fails, the log says so and [`Store::log_empty_retry`] does it later.
    pub(crate) async fn empty_log(&self) {
        if let Err(error) = self.try_to_empty_log().await {
            tracing::warn!(%error, "something was erased, and the write-ahead log or a copy of it still has it; another try comes");
            self.is_log_emptying_due.store(true, Relaxed);
        }
    }

    /// Moves the write-ahead log into the database, as soon as no read is in the way, and removes copies of older logs. The
    /// database may grow by that, for which a full disk has the room that is kept.
    async fn try_to_empty_log(&self) -> Result<(), Error> {
        let path = self.path.clone();
        let removed = tokio::task::spawn_blocking(move || wal::remove_copies(&path)).await;
        self.writer.checkpoint().await.map_err(|error| self.with_path(error))?;
        removed.unwrap_or(Err(Error::Closed))
    }
}

/// Counts an erasure, so that the search index and pages are cleared after it.
pub(crate) fn count_erasure_in_txn(connection: &Connection) -> Result<(), Error> {
    let sql =
        "INSERT INTO erasures_to_clear (id, count) VALUES (1, 1) ON CONFLICT DO UPDATE SET count = count + 1";
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

/// Takes note that everything was cleared after so many erasures; where there were more since, it stays due.
fn subtract_erasures_in_txn(connection: &Connection, count: i64) -> Result<(), Error> {
    connection.execute("DELETE FROM erasures_to_clear WHERE count = ?1", [count])?;
    Ok(())
}

/// Erasures since everything was cleared; none where there was none.
pub(crate) fn erasures_to_clear(connection: &Connection) -> Result<Option<i64>, Error> {
    let mut query = connection.prepare_cached("SELECT count FROM erasures_to_clear")?;
    Ok(query.query_row([], |row| row.get(0)).optional()?)
}

#[cfg(test)]
mod tests {
    use lar_base::{CandidateId, ConversationId, KeyId, MemoryId, SpaceId, TaskId, Timestamp};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn an_erasure_while_pages_are_cleared_stays_due() {
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
    async fn a_database_in_which_damage_was_found_is_not_cleared() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("lar.db")).unwrap();
        let due = store.read(erasures_to_clear).await.unwrap();
        assert!(due.is_some());
        store.health.note_damage(store.path(), &["a fault".into()]);
        assert_eq!(store.clear_erased().await.unwrap(), None);
        assert_eq!(store.read(erasures_to_clear).await.unwrap(), due, "it stays due");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_damaged_memory_keeps_none_from_being_erased_when_its_time_is_over() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("lar.db")).unwrap();
        let owner = store.owner().await.unwrap();
        let space = SpaceId::new();
        let fill = move |connection: &Connection| {
            connection.execute(
                "INSERT INTO spaces (id, user_id, kind, name, created_at) VALUES (?1, ?2, 'personal', '', 1)",
                [space.to_string(), owner.to_string()],
            )?;
            // Tags that are no JSON, a kind that is none, an id that is none, and one that is whole.
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
        assert_eq!(store.memories_purge(Timestamp::from_millis(10)).await.unwrap(), 4);
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
        assert_eq!(store.candidates_remove_of_user(space, owner, "one".into()).await.unwrap(), 1);
        is_counted("what waited in the inbox").await;
        assert_eq!(store.candidates_purge(now).await.unwrap(), 2);
        is_counted("what waited in the inbox past its time").await;
    }
}
