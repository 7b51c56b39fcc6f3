//! The search indexes of all spaces.
//!
//! An index is built from the database on first use and updated with every change. When the embedder changes
//! or too many chunks are dead, a new index is built in the background while the old one keeps serving. A
//! change of a memory starts that as well as a search does, so that deleted memories take no RAM for long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use lar_base::{Instant, SpaceId, error_chain};
use lar_store::{IndexedMemory, Store};

use crate::Error;
use crate::index::{EmbedderId, Index};

/// The number of memories read together while an index is built.
const PAGE: u32 = 2000;
/// The number of changed memories that are read and applied together. Searches wait while they are applied.
const UPDATED_TOGETHER: usize = 64;

/// The indexes of all spaces. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Indexes {
    store: Store,
    spaces: Arc<Mutex<HashMap<SpaceId, Arc<SpaceIndex>>>>,
}

#[derive(Debug, Default)]
struct SpaceIndex {
    index: RwLock<Option<Index>>,
    /// Locked while an index is being built. Searches wait for it if there is no index yet.
    building: tokio::sync::Mutex<()>,
    /// The memories that changed while an index is being built; `None` if none is.
    changed: Mutex<Option<Vec<i64>>>,
    /// The memories that changed and that the index does not show yet.
    pending: Mutex<Vec<i64>>,
    /// Locked while changes are read and applied. A state that was read before another change must not be applied
    /// after it.
    updating: tokio::sync::Mutex<()>,
}

impl SpaceIndex {
    /// Returns whether there is no index and none is being built.
    fn is_idle(&self) -> bool {
        lock(&self.changed).is_none() && self.index.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Returns the embedder of the present index.
    fn embedder_id(&self) -> Option<EmbedderId> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.as_ref().and_then(|index| index.embedder_id().cloned())
    }

    /// Replaces the index by a new one and returns the old one, or returns the new one if memories changed that
    /// it does not have yet.
    fn replace_if_unchanged(&self, new: Index) -> Result<Option<Index>, Box<Index>> {
        let mut changed = lock(&self.changed);
        if changed.as_ref().is_some_and(|changed| !changed.is_empty()) {
            return Err(Box::new(new));
        }
        let replaced = self.index.write().unwrap_or_else(PoisonError::into_inner).replace(new);
        *changed = None;
        Ok(replaced)
    }
}

impl Indexes {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, spaces: Arc::default() }
    }

    /// Runs a search on the index of a space.
    ///
    /// `embedder_id` is the embedder of the query's vector. The index may still have vectors of another one.
    ///
    /// # Errors
    /// When the database fails; [`Error::Index`] if the index was dropped meanwhile.
    pub(crate) async fn search<T: Send + 'static>(
        &self,
        space: SpaceId,
        embedder_id: Option<&EmbedderId>,
        search: impl FnOnce(&Index) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let space_index = self.ready(space, embedder_id).await?;
        let searched = tokio::task::spawn_blocking(move || {
            let index = space_index.index.read().unwrap_or_else(PoisonError::into_inner);
            index.as_ref().map(search)
        });
        searched.await.map_err(Error::abort_error("the search"))?.ok_or(Error::Index)
    }

    /// Updates the index of a space with the current state of these memories in the database. The words of a
    /// turn also find its neighbours, so these are updated too.
    ///
    /// # Errors
    /// When the database fails. The next update then repeats this one.
    pub(crate) async fn update(&self, space: SpaceId, seqs: &[i64]) -> Result<(), Error> {
        let space_index = self.space_index(space);
        lock(&space_index.pending).extend(seqs);
        {
            let _updating = space_index.updating.lock().await;
            // Whoever held the lock may have applied these changes together with its own: then none is pending.
            let mut pending = std::mem::take(&mut *lock(&space_index.pending));
            pending.sort_unstable();
            pending.dedup();
            if let Err(error) = self.apply(&space_index, &pending).await {
                lock(&space_index.pending).extend(pending);
                return Err(error);
            }
        }
        // Whoever deletes memories need not search: without this, the index would keep their words and vectors.
        if matches!(index_state(&space_index, None), IndexState::Stale) {
            self.build_in_background(space, &space_index, None);
        }
        Ok(())
    }

    /// Applies the current state of these memories, which are in order, and of their neighbours.
    async fn apply(&self, space_index: &SpaceIndex, changed: &[i64]) -> Result<(), Error> {
        self.apply_with(space_index, changed, Index::put).await?;
        if changed.is_empty() || space_index.is_idle() {
            return Ok(());
        }
        let mut neighbours = self.store.neighbours_to_index(changed.to_vec()).await?;
        neighbours.retain(|seq| changed.binary_search(seq).is_err());
        self.apply_with(space_index, &neighbours, Index::put_for_neighbours).await
    }

    async fn apply_with(
        &self,
        space_index: &SpaceIndex,
        seqs: &[i64],
        put: fn(&mut Index, &IndexedMemory),
    ) -> Result<(), Error> {
        if let Some(changed) = lock(&space_index.changed).as_mut() {
            changed.extend(seqs);
        }
        for seqs in seqs.chunks(UPDATED_TOGETHER) {
            if space_index.index.read().unwrap_or_else(PoisonError::into_inner).is_none() {
                return Ok(());
            }
            let found = self.store.memories_to_index_by_seq(seqs.to_vec()).await?;
            let mut found = found.iter().peekable();
            let mut index = space_index.index.write().unwrap_or_else(PoisonError::into_inner);
            let Some(index) = index.as_mut() else { return Ok(()) };
            for seq in seqs {
                match found.next_if(|memory| memory.seq == *seq) {
                    Some(memory) => put(index, memory),
                    None => index.remove(*seq),
                }
            }
        }
        Ok(())
    }

    /// Drops the index of a space. The next search rebuilds it.
    pub(crate) fn forget(&self, space: SpaceId) {
        self.spaces().remove(&space);
    }

    /// Returns the bytes and memories of a space's index, or `None` if it is not built.
    pub(crate) fn size(&self, space: SpaceId) -> Option<(usize, usize)> {
        let space_index = self.spaces().get(&space)?.clone();
        let index = space_index.index.read().unwrap_or_else(PoisonError::into_inner);
        index.as_ref().map(|index| (index.bytes(), index.len()))
    }

    /// Returns a space with an index, which may be a stale one whose successor is being built.
    async fn ready(
        &self,
        space: SpaceId,
        embedder_id: Option<&EmbedderId>,
    ) -> Result<Arc<SpaceIndex>, Error> {
        let space_index = self.space_index(space);
        match index_state(&space_index, embedder_id) {
            IndexState::Current => return Ok(space_index),
            IndexState::Stale => {
                // The stale index serves while the next one is built.
                self.build_in_background(space, &space_index, embedder_id);
                return Ok(space_index);
            }
            IndexState::Missing => {}
        }
        // The build runs on its own task, so that a disconnect does not waste the work done so far.
        let (indexes, built, embedder_id) = (self.clone(), space_index.clone(), embedder_id.cloned());
        let building = tokio::spawn(async move { indexes.build(space, &built, embedder_id.as_ref()).await });
        building.await.map_err(Error::abort_error("building the index"))??;
        Ok(space_index)
    }

    /// Starts to build the successor of a stale index, unless one is being built.
    fn build_in_background(
        &self,
        space: SpaceId,
        space_index: &Arc<SpaceIndex>,
        embedder_id: Option<&EmbedderId>,
    ) {
        let Ok(building) = space_index.building.try_lock() else { return };
        drop(building);
        let (indexes, space_index, embedder_id) = (self.clone(), space_index.clone(), embedder_id.cloned());
        tokio::spawn(async move {
            // So many memories may be deleted meanwhile that the new index is stale as well. No later change would
            // start the next build if these were the last ones.
            while matches!(index_state(&space_index, embedder_id.as_ref()), IndexState::Stale) {
                if let Err(error) = indexes.build(space, &space_index, embedder_id.as_ref()).await {
                    tracing::warn!(error = %error_chain(&error), %space, "could not rebuild a memory index");
                    return;
                }
            }
        });
    }

    /// Builds the index of a space from the database and replaces the present one. Without `embedder_id`, the
    /// new index has the vectors of the same embedder as the present one.
    async fn build(
        &self,
        space: SpaceId,
        space_index: &SpaceIndex,
        embedder_id: Option<&EmbedderId>,
    ) -> Result<(), Error> {
        let _building = space_index.building.lock().await;
        if matches!(index_state(space_index, embedder_id), IndexState::Current) {
            return Ok(());
        }
        let started = Instant::now();
        let embedder_id = embedder_id.cloned().or_else(|| space_index.embedder_id());
        *lock(&space_index.changed) = Some(Vec::new());
        let built = match self.read(space, embedder_id.as_ref()).await {
            Ok(index) => self.catch_up(space_index, index).await,
            Err(error) => Err(error),
        };
        let (memories, bytes, replaced) = match built {
            Ok(built) => built,
            Err(error) => {
                *lock(&space_index.changed) = None;
                return Err(error);
            }
        };
        let took_ms = started.elapsed().as_millis() as u64;
        tracing::info!(%space, memories, bytes, took_ms, "memory index built");
        // Freeing the postings of a large index takes time, for which nothing waits.
        drop(tokio::task::spawn_blocking(move || {
            if replaced.is_some() {
                drop(replaced);
                lar_sandbox::return_freed_allocations();
            }
        }));
        Ok(())
    }

    /// Adds the memories that changed while an index was read, and replaces the present index. Returns the
    /// memories and bytes of the new index, and the old one.
    async fn catch_up(
        &self,
        space_index: &SpaceIndex,
        mut index: Index,
    ) -> Result<(usize, usize, Option<Index>), Error> {
        // Memories that changed meanwhile are read again until none did. The last check and the swap happen
        // under one lock.
        loop {
            let mut changed = lock(&space_index.changed).as_mut().map(std::mem::take).unwrap_or_default();
            changed.sort_unstable();
            changed.dedup();
            for seqs in changed.chunks(PAGE as usize) {
                let found = self.store.memories_to_index_by_seq(seqs.to_vec()).await?;
                let mut found = found.iter().peekable();
                for seq in seqs {
                    match found.next_if(|memory| memory.seq == *seq) {
                        Some(memory) => index.put(memory),
                        None => index.remove(*seq),
                    }
                }
            }
            let (memories, bytes) = (index.len(), index.bytes());
            match space_index.replace_if_unchanged(index) {
                Ok(replaced) => return Ok((memories, bytes, replaced)),
                Err(unfinished) => index = *unfinished,
            }
        }
    }

    async fn read(&self, space: SpaceId, embedder_id: Option<&EmbedderId>) -> Result<Index, Error> {
        let mut index = Index::new(embedder_id.cloned());
        let mut after = 0;
        loop {
            let page = self.store.memories_to_index(space, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(index) };
            after = last.seq;
            index = tokio::task::spawn_blocking(move || {
                page.iter().for_each(|memory| index.put(memory));
                index
            })
            .await
            .map_err(Error::abort_error("building the index"))?;
        }
    }

    fn space_index(&self, space: SpaceId) -> Arc<SpaceIndex> {
        self.spaces().entry(space).or_default().clone()
    }

    fn spaces(&self) -> MutexGuard<'_, HashMap<SpaceId, Arc<SpaceIndex>>> {
        lock(&self.spaces)
    }
}

enum IndexState {
    Current,
    /// The index can serve but should be rebuilt.
    Stale,
    Missing,
}

fn index_state(space_index: &SpaceIndex, embedder_id: Option<&EmbedderId>) -> IndexState {
    let index = space_index.index.read().unwrap_or_else(PoisonError::into_inner);
    match index.as_ref() {
        None => IndexState::Missing,
        Some(index) if index.is_stale() || embedder_id.is_some() && index.embedder_id() != embedder_id => {
            IndexState::Stale
        }
        Some(_) => IndexState::Current,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
