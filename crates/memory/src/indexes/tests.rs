//! Indexes while memories change: no memory is hidden, and no deleted one takes RAM for long.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lar_base::{KeyId, MemoryId, Timestamp};
use lar_store::{Change, MemoryChange, MemoryDecision, MemoryKind, MemoryPatch, NewMemory, Provenance};

use super::*;
use crate::index::{Filter, Query};
use crate::{ingest, strength};
use lar_text::terms::QueryTerms;

const WRITERS: u64 = 4;
const EACH: u64 = 60;
/// The number added to a memory's number for one that is erased at once.
const GONE: u64 = 100_000;
/// The updates of each memory.
const UPDATES: usize = 12;
/// The longest wait for a background task.
const WAIT_MAX: Duration = Duration::from_secs(30);

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
        let stored = store.memories_create(vec![turn], Change::new(key, "create", None), None).await.unwrap();
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
                tokio::time::sleep(Duration::from_millis(1)).await;
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

/// Waits until a condition holds that other tasks bring about.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(WAIT_MAX, waiting).await.is_ok(), "waited for {what}");
}

/// A deletion and a restoration update the index at the same time. The memory must be found afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_state_is_never_applied_after_a_newer_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("lar.db")).unwrap();
    let space = store.space_ensure(store.owner().await.unwrap(), None).await.unwrap().id;
    let (indexes, key) = (Indexes::new(store.clone()), KeyId::new());
    let new = memory(space, key, 7);
    let id = new.id;
    let stored = store.memories_create(vec![new], Change::new(key, "create", None), None).await.unwrap();
    let seq = stored[0].memory.seq;
    assert_eq!(count_hits(&indexes, space, 7).await, 1, "builds the index");
    for round in 0..200 {
        let mut updates = Vec::new();
        for deleted_at in [Some(Timestamp::now()), None] {
            let patch = MemoryPatch { deleted_at: Some(deleted_at), ..MemoryPatch::default() };
            let changes = vec![MemoryChange { id, patch, chunks: Vec::new(), expected: None }];
            let decision = MemoryDecision { changes, ..MemoryDecision::default() };
            let change = Change::new(key, "change", None);
            store.memories_apply_decision(vec![space], decision, change, None).await.unwrap();
            let indexes = indexes.clone();
            updates.push(tokio::spawn(async move { indexes.update(space, &[seq]).await }));
        }
        for update in updates {
            update.await.unwrap().unwrap();
        }
        assert_eq!(count_hits(&indexes, space, 7).await, 1, "round {round}");
    }
}

/// Nobody searches after the deletion.
#[tokio::test(flavor = "multi_thread")]
async fn deleting_memories_shrinks_the_index_without_a_search() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("lar.db")).unwrap();
    let space = store.space_ensure(store.owner().await.unwrap(), None).await.unwrap().id;
    let (indexes, key) = (Indexes::new(store.clone()), KeyId::new());
    let new: Vec<NewMemory> = (0..3000).map(|number| memory(space, key, number)).collect();
    let ids: Vec<MemoryId> = new.iter().map(|memory| memory.id).collect();
    store.memories_create(new, Change::new(key, "create", None), None).await.unwrap();
    assert_eq!(count_hits(&indexes, space, 7).await, 1, "builds the index");
    let (full, memories) = indexes.size(space).unwrap();
    assert_eq!(memories, 3000);
    let deleted = ids.iter().skip(100).copied().collect();
    let erased = store.memories_erase(vec![space], deleted).await.unwrap();
    indexes.update(space, &erased).await.unwrap();
    until("a smaller index", || indexes.size(space).is_some_and(|(bytes, _)| bytes * 2 < full)).await;
    assert_eq!(indexes.size(space).unwrap().1, 100);
    assert_eq!(count_hits(&indexes, space, 7).await, 1);
    assert_eq!(count_hits(&indexes, space, 2000).await, 0);
}

/// Each update of a memory leaves dead chunks, so the index is rebuilt again and again meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn rebuilding_an_index_under_load_hides_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("lar.db")).unwrap();
    let space = store.space_ensure(store.owner().await.unwrap(), None).await.unwrap().id;
    let indexes = Indexes::new(store.clone());
    assert_eq!(count_hits(&indexes, space, 0).await, 0, "builds the index");
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, indexes) = (store.clone(), indexes.clone());
            tokio::spawn(async move {
                let key = KeyId::new();
                for number in (0..EACH).map(|at| at * WRITERS + writer) {
                    let (kept, gone) = (memory(space, key, number), memory(space, key, number + GONE));
                    let erased = gone.id;
                    let change = Change::new(key, "create", None);
                    let stored = store.memories_create(vec![kept, gone], change, None).await.unwrap();
                    let seqs: Vec<i64> = stored.iter().map(|stored| stored.memory.seq).collect();
                    for _ in 0..UPDATES {
                        indexes.update(space, &seqs).await.unwrap();
                    }
                    assert_eq!(count_hits(&indexes, space, number + GONE).await, 1, "memory {number}");
                    let erased = store.memories_erase(vec![space], vec![erased]).await.unwrap();
                    indexes.update(space, &erased).await.unwrap();
                    assert_eq!(count_hits(&indexes, space, number).await, 1, "memory {number}");
                    assert_eq!(count_hits(&indexes, space, number + GONE).await, 0, "memory {number}");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    for number in 0..WRITERS * EACH {
        assert_eq!(count_hits(&indexes, space, number).await, 1, "memory {number} at the end");
        assert_eq!(count_hits(&indexes, space, number + GONE).await, 0, "memory {number} at the end");
    }
    // Without a rebuild, it would have a dead chunk for each update.
    until("few dead chunks", || {
        let index = indexes.space_index(space);
        let index = index.index.read().unwrap();
        index.as_ref().is_some_and(|index| !index.is_stale())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_for_a_search_by_keywords_keeps_the_vectors() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("lar.db")).unwrap();
    let space = store.space_ensure(store.owner().await.unwrap(), None).await.unwrap().id;
    let (indexes, key) = (Indexes::new(store.clone()), KeyId::new());
    let new: Vec<NewMemory> = (0..1500).map(|number| memory(space, key, number)).collect();
    let ids: Vec<MemoryId> = new.iter().map(|memory| memory.id).collect();
    store.memories_create(new, Change::new(key, "create", None), None).await.unwrap();
    let embedder_id = EmbedderId { digest: "digest".into(), dimension: 4 };
    indexes.search(space, Some(&embedder_id), |_| ()).await.unwrap();
    let (full, _) = indexes.size(space).unwrap();
    let erased = store.memories_erase(vec![space], ids.into_iter().skip(10).collect()).await.unwrap();
    indexes.update(space, &erased).await.unwrap();
    assert_eq!(count_hits(&indexes, space, 1).await, 1);
    until("a smaller index", || indexes.size(space).is_some_and(|(bytes, _)| bytes < full)).await;
    assert_eq!(indexes.space_index(space).embedder_id(), Some(embedder_id));
}

/// The memories that an erased one had superseded are current again, also if that was deleted long before.
#[tokio::test(flavor = "multi_thread")]
async fn erasing_a_memory_shows_what_it_superseded() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("lar.db")).unwrap();
    let space = store.space_ensure(store.owner().await.unwrap(), None).await.unwrap().id;
    let (indexes, key) = (Indexes::new(store.clone()), KeyId::new());
    let apply = async |id, patch| {
        let changes = vec![MemoryChange { id, patch, chunks: Vec::new(), expected: None }];
        let decision = MemoryDecision { changes, ..MemoryDecision::default() };
        let change = Change::new(key, "change", None);
        let applied = store.memories_apply_decision(vec![space], decision, change, None).await.unwrap();
        indexes.update(space, &[applied.changed[0].seq]).await.unwrap();
    };
    for (number, is_purged) in [(1, false), (3, true)] {
        let (older, newer) = (memory(space, key, number), memory(space, key, number + 1));
        let (older_id, newer_id) = (older.id, newer.id);
        let change = Change::new(key, "create", None);
        let stored = store.memories_create(vec![older, newer], change, None).await.unwrap();
        let seqs: Vec<i64> = stored.iter().map(|stored| stored.memory.seq).collect();
        indexes.update(space, &seqs).await.unwrap();
        assert_eq!(count_hits(&indexes, space, number).await, 1);
        let past = Timestamp::now().before(Duration::from_secs(9));
        let superseded = Some(Some((newer_id, past)));
        apply(older_id, MemoryPatch { superseded, ..MemoryPatch::default() }).await;
        assert_eq!(count_hits(&indexes, space, number).await, 0);
        let changed = if is_purged {
            apply(newer_id, MemoryPatch { deleted_at: Some(Some(past)), ..MemoryPatch::default() }).await;
            let purged = store.memories_purge(Timestamp::now()).await.unwrap();
            assert_eq!((purged.count, &purged.restored), (1, &vec![(space, seqs[0])]));
            purged.restored.into_iter().map(|(_, seq)| seq).collect()
        } else {
            store.memories_erase(vec![space], vec![newer_id]).await.unwrap()
        };
        indexes.update(space, &changed).await.unwrap();
        assert_eq!(count_hits(&indexes, space, number).await, 1, "{is_purged}");
    }
}
