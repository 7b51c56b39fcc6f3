//! The search indexes of all spaces.
//!
//! An index is built from the database on first use and updated with every change. When the embedder changes
//! or too many chunks are dead, a new index is built in the background while the old one keeps serving.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use lar_base::{Instant, SpaceId, error_chain};
use lar_store::{IndexedMemory, Store};

use crate::Error;
use crate::index::{EmbedderId, Index};

/// The number of memories read together while an index is built.
const PAGE: u32 = 2000;

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
}

impl SpaceIndex {
    /// Returns whether there is no index and none is being built.
    fn is_idle(&self) -> bool {
        lock(&self.changed).is_none() && self.index.read().unwrap_or_else(PoisonError::into_inner).is_none()
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
    /// When the database fails.
    pub(crate) async fn update(&self, space: SpaceId, seqs: &[i64]) -> Result<(), Error> {
        let space_index = self.space_index(space);
        for seq in seqs {
            self.update_one(&space_index, *seq, Index::put).await?;
        }
        if space_index.is_idle() {
            return Ok(());
        }
        let neighbours = self.store.neighbours_to_index(seqs.to_vec()).await?;
        for seq in neighbours.into_iter().filter(|seq| !seqs.contains(seq)) {
            self.update_one(&space_index, seq, Index::put_for_neighbours).await?;
        }
        Ok(())
    }

    async fn update_one(
        &self,
        space_index: &SpaceIndex,
        seq: i64,
        put: fn(&mut Index, &IndexedMemory),
    ) -> Result<(), Error> {
        if let Some(changed) = lock(&space_index.changed).as_mut() {
            changed.push(seq);
        }
        if space_index.index.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            return Ok(());
        }
        let found = self.store.memory_to_index(seq).await?;
        let mut index = space_index.index.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = index.as_mut() {
            match &found {
                Some(memory) => put(index, memory),
                None => index.remove(seq),
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
                if let Ok(building) = space_index.clone().building.try_lock() {
                    drop(building);
                    let (indexes, space_index, embedder_id) =
                        (self.clone(), space_index.clone(), embedder_id.cloned());
                    tokio::spawn(async move {
                        if let Err(error) = indexes.build(space, &space_index, embedder_id.as_ref()).await {
                            tracing::warn!(
                                error = %error_chain(&error),
                                %space,
                                "could not rebuild a memory index"
                            );
                        }
                    });
                }
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
        *lock(&space_index.changed) = Some(Vec::new());
        let built = self.read(space, embedder_id).await;
        let mut index = match built {
            Ok(index) => index,
            Err(error) => {
                *lock(&space_index.changed) = None;
                return Err(error);
            }
        };
        // Memories that changed meanwhile are read again until none did. The last check and the swap happen
        // under one lock.
        loop {
            let changed = lock(&space_index.changed).as_mut().map(std::mem::take).unwrap_or_default();
            for seq in changed {
                match self.store.memory_to_index(seq).await? {
                    Some(memory) => index.put(&memory),
                    None => index.remove(seq),
                }
            }
            let mut changed = lock(&space_index.changed);
            if changed.as_ref().is_none_or(Vec::is_empty) {
                let (memories, bytes) = (index.len(), index.bytes());
                *space_index.index.write().unwrap_or_else(PoisonError::into_inner) = Some(index);
                *changed = None;
                let took_ms = started.elapsed().as_millis() as u64;
                tracing::info!(%space, memories, bytes, took_ms, "memory index built");
                return Ok(());
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
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use lar_base::{KeyId, MemoryId, Timestamp};
    use lar_store::{Change, MemoryKind, NewMemory, Provenance};

    use super::*;
    use crate::index::{Filter, Query};
    use crate::{ingest, strength};
    use lar_text::terms::QueryTerms;

    const WRITERS: u64 = 4;
    const EACH: u64 = 60;

    fn memory(space: SpaceId, key: KeyId, number: u64) -> NewMemory {
        let content = format!("The buoy number{number} lies in the bay.");
        NewMemory {
            id: MemoryId::new(),
            space,
            kind: MemoryKind::Fact,
            chunks: ingest::chunks(&content, &[], None),
            hash: ingest::hash(&content, &[], None, None, None),
            content,
            tags: Vec::new(),
            project: None,
            provenance: Provenance { key, source: None, conversation: None, message: None },
            occurred_at: None,
            valid_from: None,
            valid_to: None,
            after: None,
            pinned: false,
            strength: strength::new(Timestamp::now()),
        }
    }

    /// The words of a turn find its neighbours as long as it is there, also if an index is built in between.
    #[tokio::test(flavor = "multi_thread")]
    async fn words_of_a_turn_find_its_neighbours() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("lar.db")).unwrap();
        let space = store.space_ensure(store.owner().await.unwrap(), None).await.unwrap().id;
        let (indexes, key) = (Indexes::new(store.clone()), KeyId::new());
        let mut turns: Vec<NewMemory> = (0..3).map(|number| memory(space, key, number)).collect();
        let ids: Vec<MemoryId> = turns.iter().map(|turn| turn.id).collect();
        turns[1].after = Some(ids[0]);
        turns[2].after = Some(ids[1]);
        for (number, turn) in (0..).zip(turns) {
            assert_eq!(count_hits(&indexes, space, 9).await, 0, "builds the index");
            let stored =
                store.memories_create(vec![turn], Change::new(key, "create", None), None).await.unwrap();
            indexes.update(space, &[stored[0].memory.seq]).await.unwrap();
            assert_eq!(count_hits(&indexes, space, number).await, if number == 0 { 1 } else { 2 });
        }
        let counts = async |numbers: [u64; 3]| {
            let mut counts = Vec::new();
            for number in numbers {
                counts.push(count_hits(&indexes, space, number).await);
            }
            counts
        };
        assert_eq!(counts([0, 1, 2]).await, [2, 3, 2]);
        indexes.forget(space);
        assert_eq!(counts([0, 1, 2]).await, [2, 3, 2], "the same after a new build");
        let erased = store.memories_erase(vec![space], vec![ids[1]]).await.unwrap();
        indexes.update(space, &erased).await.unwrap();
        assert_eq!(counts([0, 1, 2]).await, [1, 0, 1]);
    }

    async fn count_hits(indexes: &Indexes, space: SpaceId, number: u64) -> usize {
        let words = QueryTerms::of(&format!("number{number}"));
        let look = move |index: &Index| {
            let filter = Filter::default();
            let now = Timestamp::now();
            let query = Query {
                words: &words,
                share_min: 0.0,
                vector: None,
                times: &[],
                filter: &filter,
                now,
                limit: 10,
                weight: 1.0,
            };
            index.search(&query).hits.len()
        };
        indexes.search(space, None, look).await.unwrap()
    }

    /// The index is dropped repeatedly while memories are written. The next search must find each stored
    /// memory exactly once.
    #[tokio::test(flavor = "multi_thread")]
    async fn dropping_an_index_under_load_hides_no_memory() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("lar.db")).unwrap();
        let space = store.space_ensure(store.owner().await.unwrap(), None).await.unwrap().id;
        let indexes = Indexes::new(store.clone());
        let (over, dropped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let dropper = tokio::spawn({
            let (indexes, over, dropped) = (indexes.clone(), over.clone(), dropped.clone());
            async move {
                while !over.load(Ordering::Relaxed) {
                    indexes.forget(space);
                    dropped.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
            }
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (store, indexes) = (store.clone(), indexes.clone());
                tokio::spawn(async move {
                    let key = KeyId::new();
                    for number in (0..EACH).map(|at| at * WRITERS + writer) {
                        let new = vec![memory(space, key, number)];
                        let stored =
                            store.memories_create(new, Change::new(key, "create", None), None).await.unwrap();
                        indexes.update(space, &[stored[0].memory.seq]).await.unwrap();
                        assert_eq!(count_hits(&indexes, space, number).await, 1, "memory {number}");
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        over.store(true, Ordering::Relaxed);
        dropper.await.unwrap();
        assert!(dropped.load(Ordering::Relaxed) > 10);
        for number in 0..WRITERS * EACH {
            assert_eq!(count_hits(&indexes, space, number).await, 1, "memory {number} at the end");
        }
    }
}
