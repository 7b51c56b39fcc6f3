//! Changes to the database together with the search indexes.
//!
//! Both run on a detached task, so that a disconnect in between cannot leave an index behind the database.

use lar_base::{MemoryId, Problem, SpaceId};
use lar_store::{
    Change, ExportedMemory, IdempotentRequest, Memory, MemoryChange, NewChunk, NewMemory, StoredMemory,
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
            let stored = memories.store.memories_create(new, change, once).await?;
            let seqs = stored.iter().filter(|stored| stored.created).map(|stored| stored.memory.seq);
            memories.indexes.update(space, &seqs.collect::<Vec<_>>()).await?;
            Ok(stored)
        })
        .await
    }

    /// Applies a decision: stores the new memory, if any, and changes others. Returns them all, the new one
    /// first.
    pub(crate) async fn commit_decision(
        &self,
        spaces: Vec<SpaceId>,
        new: Option<NewMemory>,
        changes: Vec<MemoryChange>,
        change: Change,
        once: Option<IdempotentRequest>,
    ) -> Result<Vec<Memory>, Problem> {
        let memories = self.clone();
        run_detached(async move {
            let (stored, changed) =
                memories.store.memories_apply_decision(spaces, new, changes, change, once).await?;
            let all: Vec<Memory> = stored.into_iter().map(|stored| stored.memory).chain(changed).collect();
            memories.index(&all).await?;
            Ok(all)
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
            let undone = memories.store.memory_undo(spaces, id, decision, chunks, change).await?;
            memories.index(&undone).await?;
            Ok(undone)
        })
        .await
    }

    /// Erases a memory permanently.
    pub(crate) async fn commit_erasure(&self, space: SpaceId, id: MemoryId) -> Result<(), Problem> {
        let memories = self.clone();
        run_detached(async move {
            let erased = memories.store.memories_erase(vec![space], vec![id]).await?;
            let updated = memories.indexes.update(space, &erased).await;
            memories.store.remove_from_answers().await;
            Ok(updated?)
        })
        .await
    }

    /// Stores imported memories. Returns how many are new.
    pub(crate) async fn commit_import(
        &self,
        space: SpaceId,
        moved: Vec<ExportedMemory>,
    ) -> Result<usize, Problem> {
        let memories = self.clone();
        run_detached(async move {
            let stored = memories.store.memories_import(space, moved).await?;
            memories.indexes.update(space, &stored).await?;
            Ok(stored.len())
        })
        .await
    }

    /// Updates the indexes with these memories.
    async fn index(&self, memories: &[Memory]) -> Result<(), Error> {
        for memory in memories {
            self.indexes.update(memory.space, &[memory.seq]).await?;
        }
        Ok(())
    }
}

/// Runs `work` to its end, even if the returned future is dropped.
async fn run_detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    tokio::spawn(work).await.map_err(Error::abort_error("a memory change"))?
}
