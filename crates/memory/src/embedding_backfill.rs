//! Embedding backfill: embeds chunks without a vector of the current embedder.
//!
//! Chunks lack one when the embedder was missing, busy or another model when they were stored. The backfill
//! runs with the lowest priority (`batch`) and starts from the first chunk whenever it is woken. It changes
//! only vectors. A memory that is edited meanwhile gets new chunks, which are later in the order.

use std::sync::Arc;
use std::time::Duration;

use lar_base::{Caller, Problem};
use lar_inference::Priority;
use lar_store::{Store, Vectors};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::embed::{Embeddings, TextRole};
use crate::indexes::Indexes;
use lar_text::chunking;

/// The interval between runs without a wake-up, in case an embedder was installed.
const EVERY: Duration = Duration::from_secs(60);
/// The number of chunks loaded and embedded together.
const PAGE: u32 = 32;

/// A handle that starts the next run of the backfill immediately.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wake(Arc<Notify>);

impl Wake {
    pub(crate) fn wake(&self) {
        self.0.notify_one();
    }
}

/// The background task. It shares the state of the memory service.
#[derive(Debug)]
pub(crate) struct Backfill {
    store: Store,
    embeddings: Embeddings,
    indexes: Indexes,
    wake: Wake,
}

impl Backfill {
    pub(crate) fn new(store: Store, embeddings: Embeddings, indexes: Indexes, wake: Wake) -> Self {
        Self { store, embeddings, indexes, wake }
    }

    /// Runs until the server stops: now, after each wake-up, and every [`EVERY`].
    pub(crate) async fn run(self, stopping: CancellationToken) {
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                backfilled = self.backfill() => match backfilled {
                    Ok(0) => {}
                    Ok(chunks) => tracing::info!(chunks, "embeddings backfilled"),
                    Err(problem) => tracing::debug!(%problem, "could not backfill embeddings"),
                },
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = self.wake.0.notified() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Embeds every chunk without a vector of the current embedder. Returns the number of chunks.
    async fn backfill(&self) -> Result<usize, Problem> {
        // Resolving the embedder registers it with the engines, so it is left alone until there is a memory.
        if !self.store.chunks_exist().await? {
            return Ok(0);
        }
        let digest = self.embeddings.digest().await?;
        let (mut backfilled, mut after) = (0, 0);
        loop {
            let page = self.store.chunks_unembedded(digest.clone(), after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(backfilled) };
            after = last.seq;
            backfilled += page.len();
            // One task for each key, so that usage is recorded under the key that saved the memories.
            for some in page.chunk_by(|a, b| (a.user, a.key) == (b.user, b.key)) {
                let caller = Caller::internal(some[0].user, some[0].key);
                let pieces: Vec<Vec<String>> = some
                    .iter()
                    .map(|chunk| chunking::pieces(&chunk.text).into_iter().map(str::to_owned).collect())
                    .collect();
                let texts = pieces.iter().flatten().cloned().collect();
                let embedded =
                    self.embeddings.embed(&caller, texts, TextRole::Passage, Priority::Batch).await?;
                let mut vectors = embedded.vectors.into_iter();
                let made = some.iter().zip(&pieces).map(|(chunk, pieces)| {
                    let mut bytes = Vec::new();
                    vectors.by_ref().take(pieces.len()).for_each(|vector| vector.encode(&mut bytes));
                    (chunk.seq, Vectors { embedder: embedded.embedder.clone(), bytes })
                });
                self.store.chunks_embed(made.collect()).await?;
                for chunk in some {
                    self.indexes.update(chunk.space, &[chunk.memory_seq]).await?;
                }
            }
        }
    }
}
