//! Erasing for good: what is erased leaves the write-ahead log and the copies of older logs, too.
//!
//! An erasure goes on to its end when its caller is gone, such as a client that disconnected. Otherwise it would be committed
//! and its words would stay in the log. How the log is emptied is in [`crate::writer`], where its copies come from in
//! [`crate::wal`].

use std::sync::atomic::Ordering::Relaxed;

use rusqlite::Connection;

use crate::{Error, Store, wal};

/// What one step of an erasure did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// Things that are wholly gone since this step.
    pub(crate) erased: usize,
    /// Whether nothing is left to be erased.
    pub(crate) is_last: bool,
}

impl Store {
    /// As [`Store::erase`], in steps of a transaction each, between which others write. Returns how many things were erased.
    pub(crate) async fn erase_in_steps<F>(&self, step: F) -> Result<usize, Error>
    where
        F: Fn(&Connection) -> Result<Step, Error> + Clone + Send + 'static,
    {
        let store = self.clone();
        let work = async move {
            let (mut erased, mut has_changed) = (0, false);
            let done = loop {
                match store.write_freeing(step.clone()).await {
                    Ok(done) => {
                        erased += done.erased;
                        has_changed |= done.erased > 0 || !done.is_last;
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
        let work = async move {
            let done = store.write_freeing(change).await;
            if done.as_ref().is_ok_and(has_erased) {
                store.empty_log().await;
            }
            done
        };
        tokio::spawn(work).await.unwrap_or(Err(Error::Closed))
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
    async fn empty_log(&self) {
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
