//! Changes to the database together with the search indexes.
//!
//! Both run on a detached task, so that a disconnect in between cannot leave an index behind the database.

use std::collections::HashMap;

use lar_base::{MemoryId, Problem, SpaceId};
use lar_store::{
    AppliedDecision, Change, ExportedMemory, IdempotentRequest, Intention, Memory, MemoryDecision, NewChunk,
    NewMemory, StoredMemory,
};

use crate::{Error, Memories};

impl Memories {
    /// Stores new memories.
    pub(crate) async fn commit_new(
        &self,
        space: SpaceId,
        new: Vec<NewMemory>,
        change: Change,
        once: Option<IdempotentRequest>,
    ) -> Result<Vec<StoredMemory>, Problem> {
        let memories = self.clone();
        run_detached(async move {
            let _use = memories.foreground.start();
            let stored = memories.store.memories_create(new, change, once).await?;
            let seqs = stored.iter().filter(|stored| stored.created).map(|stored| stored.memory.seq);
            memories.indexes.update(space, &seqs.collect::<Vec<_>>()).await?;
            Ok(stored)
        })
        .await
    }

    /// Applies a decision: stores the new memory, if any, changes others, and stores and resolves links.
    pub(crate) async fn commit_decision(
        &self,
        spaces: Vec<SpaceId>,
        decision: MemoryDecision,
        change: Change,
        once: Option<IdempotentRequest>,
    ) -> Result<AppliedDecision, Problem> {
        let memories = self.clone();
        run_detached(async move {
            let _use = memories.foreground.start();
            let applied = memories.store.memories_apply_decision(spaces, decision, change, once).await?;
            memories.index(applied.memories().map(numbered).collect()).await?;
            Ok(applied)
        })
        .await
    }

    /// Undoes a decision.
    pub(crate) async fn commit_undo(
        &self,
        spaces: Vec<SpaceId>,
        id: MemoryId,
        decision: lar_base::ChangeId,
        chunks: Vec<(MemoryId, Vec<NewChunk>)>,
        change: Change,
    ) -> Result<Vec<Memory>, Problem> {
        let memories = self.clone();
        run_detached(async move {
            let _use = memories.foreground.start();
            let undone = memories.store.memory_undo(spaces, id, decision, chunks, change).await?;
            memories.index(undone.iter().map(numbered).collect()).await?;
            Ok(undone)
        })
        .await
    }

    /// Erases a memory permanently.
    pub(crate) async fn commit_erasure(&self, space: SpaceId, id: MemoryId) -> Result<(), Problem> {
        let memories = self.clone();
        run_detached(async move {
            let _use = memories.foreground.start();
            let erased = memories.store.memories_erase(vec![space], vec![id]).await?;
            let updated = memories.indexes.update(space, &erased).await;
            memories.store.remove_from_answers().await;
            Ok(updated?)
        })
        .await
    }

    /// Stores imported memories and intentions. Returns how many of both are new.
    pub(crate) async fn commit_import(
        &self,
        space: SpaceId,
        moved: Vec<ExportedMemory>,
        intentions: Vec<Intention>,
    ) -> Result<usize, Problem> {
        let memories = self.clone();
        run_detached(async move {
            let _use = memories.foreground.start();
            let imported = memories.store.memories_import(space, moved, intentions).await?;
            memories.indexes.update(space, &imported.memories).await?;
            Ok(imported.memories.len() + imported.intentions)
        })
        .await
    }

    /// Updates the indexes with these memories, by space and number.
    async fn index(&self, memories: Vec<(SpaceId, i64)>) -> Result<(), Error> {
        let mut by_space: HashMap<SpaceId, Vec<i64>> = HashMap::new();
        for (space, seq) in memories {
            by_space.entry(space).or_default().push(seq);
        }
        for (space, seqs) in by_space {
            self.indexes.update(space, &seqs).await?;
        }
        Ok(())
    }
}

/// Returns the space and the number of a memory.
fn numbered(memory: &Memory) -> (SpaceId, i64) {
    (memory.space, memory.seq)
}

/// Runs `work` to its end, even if the returned future is dropped.
async fn run_detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    tokio::spawn(work).await.map_err(Error::abort_error("a memory change"))?
}
