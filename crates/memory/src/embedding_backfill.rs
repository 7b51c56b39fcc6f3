//! Vectors for what was stored without: the embedder was absent, busy or another one.
//!
//! Runs behind everything else (`batch`), from the beginning whenever it is woken, and changes nothing but
//! vectors: a memory that is edited meanwhile has new passages, which come later in the order.

use std::sync::Arc;
use std::time::Duration;

use lar_base::{Caller, Problem, Scope};
use lar_engines::scheduler::Priority;
use lar_store::Vectors;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{Memories, chunking};

/// How often it looks by itself: an embedder may have been installed.
const EVERY: Duration = Duration::from_secs(60);
/// Passages at once.
const PAGE: u32 = 32;

/// Has the filling look at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wake(Arc<Notify>);

impl Wake {
    pub(crate) fn wake(&self) {
        self.0.notify_one();
    }
}

pub(crate) async fn run(memories: Memories, stopping: CancellationToken) {
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            backfilled = backfill(&memories) => match backfilled {
                Ok(0) => {}
                Ok(chunks) => tracing::info!(chunks, "passages that had no vectors of the embedder have them"),
                Err(problem) => tracing::debug!(%problem, "passages wait for an embedder"),
            },
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = memories.backfill.0.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Gives every passage vectors of the embedder in use; how many there were.
async fn backfill(memories: &Memories) -> Result<usize, Problem> {
    // Asking for the embedder makes it known to the engines, which is for those who remember something.
    if !memories.store.chunks_exist().await? {
        return Ok(0);
    }
    let digest = memories.embeddings.digest().await?;
    let (mut backfilled, mut after) = (0, 0);
    loop {
        let page = memories.store.chunks_unembedded(digest.clone(), after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(backfilled) };
        after = last.seq;
        backfilled += page.len();
        // Those of one writer together, as their task.
        for some in page.chunk_by(|a, b| (a.user, a.key) == (b.user, b.key)) {
            let caller = Caller::internal(some[0].user, some[0].key, Scope::Inference);
            let pieces: Vec<Vec<String>> = some
                .iter()
                .map(|chunk| chunking::pieces(&chunk.text).into_iter().map(str::to_owned).collect())
                .collect();
            let texts = pieces.iter().flatten().cloned().collect();
            let embedded = memories.embeddings.embed(&caller, texts, Priority::Batch).await?;
            let mut vectors = embedded.vectors.into_iter();
            let made = some.iter().zip(&pieces).map(|(chunk, pieces)| {
                let mut bytes = Vec::new();
                vectors.by_ref().take(pieces.len()).for_each(|vector| vector.encode(&mut bytes));
                (chunk.seq, Vectors { embedder: embedded.embedder.clone(), bytes })
            });
            memories.store.chunks_embed(made.collect()).await?;
            for chunk in some {
                memories.indexes.update(chunk.space, &[chunk.memory_seq]).await?;
            }
        }
    }
}
