//! The counts are exact after every change, after a migration and after a salvage.

use lar_base::{KeyId, MemoryId, SpaceId, Timestamp};
use proptest::prelude::*;
use rusqlite::Connection;

use super::{TABLE, read, rebuild};
use crate::{
    Change, Embedder, Error, MemoryChange, MemoryDecision, MemoryKind, MemoryPatch, MemoryStats, NewChunk,
    NewMemory, Provenance, Store, Strength, Vectors, migrations,
};

/// A change of a space, with the positions of the memories that it changes.
#[derive(Debug, Clone)]
enum Step {
    Create { chunks: u8, embedded: bool, pinned: bool },
    Rewrite { memory: usize, chunks: u8 },
    Delete { memory: usize, deleted: bool },
    Pin { memory: usize, pinned: bool },
    Supersede { older: usize, newer: usize },
    Undo { memory: usize },
    Embed,
    Erase { memory: usize },
    Purge,
    MoveToNewSpace,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let at = || 0..12_usize;
    let step = prop_oneof![
        5 => (0..3_u8, any::<bool>(), any::<bool>())
            .prop_map(|(chunks, embedded, pinned)| Step::Create { chunks, embedded, pinned }),
        1 => (at(), 0..4_u8).prop_map(|(memory, chunks)| Step::Rewrite { memory, chunks }),
        3 => (at(), any::<bool>()).prop_map(|(memory, deleted)| Step::Delete { memory, deleted }),
        1 => (at(), any::<bool>()).prop_map(|(memory, pinned)| Step::Pin { memory, pinned }),
        2 => (at(), at()).prop_map(|(older, newer)| Step::Supersede { older, newer }),
        1 => at().prop_map(|memory| Step::Undo { memory }),
        1 => Just(Step::Embed),
        2 => at().prop_map(|memory| Step::Erase { memory }),
        1 => Just(Step::Purge),
        1 => Just(Step::MoveToNewSpace),
    ];
    prop::collection::vec(step, 1..25)
}

fn embedder() -> Embedder {
    Embedder { digest: "digest".into(), name: "test".into(), dimension: 1 }
}

fn chunks(count: u8, embedded: bool) -> Vec<NewChunk> {
    let vectors = || embedded.then(|| Vectors { embedder: embedder(), bytes: vec![0; 5] });
    let chunk = |at| NewChunk { start: u32::from(at), length: 1, words: vec![0; 8], vectors: vectors() };
    (0..count).map(chunk).collect()
}

/// A store whose spaces get changes, one after another.
struct Spaces {
    store: Store,
    key: KeyId,
    spaces: Vec<SpaceId>,
    memories: Vec<MemoryId>,
    made: u8,
    _directory: tempfile::TempDir,
}

impl Spaces {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("lar.db")).unwrap();
        let space = store.space_ensure(store.owner().await.unwrap(), None).await.unwrap().id;
        let (key, memories) = (KeyId::new(), Vec::new());
        Self { store, key, spaces: vec![space], memories, made: 0, _directory: directory }
    }

    /// Applies a step. A step about a memory that does not exist, or one that the store refuses, changes
    /// nothing.
    async fn apply(&mut self, step: &Step) {
        let at = |memory: &usize| self.memories.get(*memory).copied();
        let change = || Change::new(self.key, "test", None);
        match step {
            Step::Create { chunks: count, embedded, pinned } => {
                self.made += 1;
                let new = self.new_memory(chunks(*count, *embedded), *pinned);
                self.memories.push(new.id);
                self.store.memories_create(vec![new], change(), None).await.unwrap();
            }
            Step::Rewrite { memory, chunks: count } => {
                let Some(id) = at(memory) else { return };
                self.made += 1;
                let content = Some((format!("text {}", self.made), [self.made; 32]));
                let patch = MemoryPatch { content, ..MemoryPatch::default() };
                self.change(id, patch, chunks(*count, false)).await;
            }
            Step::Delete { memory, deleted } => {
                let Some(id) = at(memory) else { return };
                let deleted_at = Some(deleted.then(Timestamp::now));
                self.change(id, MemoryPatch { deleted_at, ..MemoryPatch::default() }, Vec::new()).await;
            }
            Step::Pin { memory, pinned } => {
                let Some(id) = at(memory) else { return };
                let patch = MemoryPatch { pinned: Some(*pinned), ..MemoryPatch::default() };
                self.change(id, patch, Vec::new()).await;
            }
            Step::Supersede { older, newer } => {
                let (Some(older), Some(newer)) = (at(older), at(newer)) else { return };
                let superseded = Some(Some((newer, Timestamp::now())));
                let patch = MemoryPatch { superseded, ..MemoryPatch::default() };
                self.change(older, patch, Vec::new()).await;
            }
            Step::Undo { memory } => {
                let Some(id) = at(memory) else { return };
                let last = self.store.memory_last_decision(self.spaces.clone(), id).await.unwrap();
                let Some(decision) = last.first().map(|record| record.decision) else { return };
                let rewritten = last.iter().filter(|record| record.before.content.is_some());
                let chunks = rewritten.map(|record| (record.memory, chunks(2, true))).collect();
                let _ = self.store.memory_undo(self.spaces.clone(), id, decision, chunks, change()).await;
            }
            Step::Embed => {
                let found = self.store.chunks_unembedded("digest".into(), 0, 100).await.unwrap();
                let vectors = |seq| (seq, Vectors { embedder: embedder(), bytes: vec![0; 5] });
                let gone = std::iter::once(vectors(1_000_000));
                let embedded = found.iter().map(|chunk| vectors(chunk.seq)).chain(gone);
                self.store.chunks_embed(embedded.collect()).await.unwrap();
            }
            Step::Erase { memory } => {
                let Some(id) = at(memory) else { return };
                self.memories.retain(|other| *other != id);
                self.store.memories_erase(self.spaces.clone(), vec![id]).await.unwrap();
            }
            Step::Purge => {
                self.store
                    .memories_purge(Timestamp::now().after(std::time::Duration::from_secs(9)))
                    .await
                    .unwrap();
                let left =
                    self.store.memories_by_id(self.spaces.clone(), self.memories.clone()).await.unwrap();
                self.memories.retain(|id| left.iter().any(|memory| memory.id == *id));
            }
            Step::MoveToNewSpace => self.move_to_new_space().await,
        }
    }

    /// Exports the first space, erases its memories, and imports them into a new space.
    async fn move_to_new_space(&mut self) {
        let first = self.spaces[0];
        let moved = self.store.memories_export(first, 0, 100).await.unwrap().memories;
        let ids: Vec<MemoryId> = moved.iter().map(|moved| moved.memory.id).collect();
        self.store.memories_erase(vec![first], ids).await.unwrap();
        let owner = self.store.owner().await.unwrap();
        let agent = format!("agent{}", self.spaces.len());
        let new = self.store.space_ensure(owner, Some(agent)).await.unwrap().id;
        self.store.memories_import(new, moved, Vec::new()).await.unwrap();
        self.spaces.push(new);
    }

    async fn change(&self, id: MemoryId, patch: MemoryPatch, chunks: Vec<NewChunk>) {
        let changes = vec![MemoryChange { id, patch, chunks, expected: None }];
        let decision = MemoryDecision { changes, ..MemoryDecision::default() };
        let change = Change::new(self.key, "test", None);
        match self.store.memories_apply_decision(self.spaces.clone(), decision, change, None).await {
            Ok(_) | Err(Error::Conflict(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn new_memory(&self, chunks: Vec<NewChunk>, pinned: bool) -> NewMemory {
        NewMemory {
            id: MemoryId::new(),
            space: self.spaces[0],
            kind: MemoryKind::Fact,
            content: format!("text {}", self.made),
            tags: Vec::new(),
            project: None,
            provenance: Provenance { key: self.key, source: None, conversation: None, message: None },
            occurred_at: None,
            valid_from: None,
            valid_to: None,
            after: None,
            pinned,
            strength: Strength { stability: 1.0, difficulty: 5.0, reviewed_at: Timestamp::from_millis(1) },
            hash: [self.made; 32],
            chunks,
        }
    }

    fn database(&self) -> Connection {
        Connection::open(self.store.path()).unwrap()
    }

    /// Compares the counts of each space and of all together with those of the rows.
    async fn check(&self, after: &Step) {
        let mut all = MemoryStats::default();
        for space in &self.spaces {
            let counts = self.store.memory_stats(vec![*space]).await.unwrap();
            assert_eq!(counts, count_rows(&self.database(), *space), "{after:?}");
            all.memories += counts.memories;
            all.chunks += counts.chunks;
        }
        let together = self.store.memory_stats(self.spaces.clone()).await.unwrap();
        assert_eq!((together.memories, together.chunks), (all.memories, all.chunks), "{after:?}");
    }
}

/// Counts the rows of a space one by one.
fn count_rows(connection: &Connection, space: SpaceId) -> MemoryStats {
    let number = |sql: &str| connection.query_row(sql, [space.to_string()], |row| row.get(0)).unwrap();
    let memories = |condition: &str| {
        number(&format!("SELECT count(*) FROM memories WHERE space_id = ?1 AND {condition}"))
    };
    let chunks = |condition: &str| {
        number(&format!(
            "SELECT count(*) FROM passages JOIN memories ON memories.seq = memory_seq
             WHERE space_id = ?1 AND deleted_at IS NULL AND {condition}"
        ))
    };
    MemoryStats {
        memories: memories("deleted_at IS NULL"),
        superseded: memories("deleted_at IS NULL AND superseded_by IS NOT NULL"),
        deleted: memories("deleted_at IS NOT NULL"),
        pinned: memories("deleted_at IS NULL AND pinned"),
        chunks: chunks("true"),
        chunks_without_vectors: chunks("vectors IS NULL"),
        open_links: 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn counts_are_exact_after_any_changes(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async {
            let mut spaces = Spaces::new().await;
            for step in &steps {
                spaces.apply(step).await;
                spaces.check(step).await;
            }
            // A second count of all rows changes nothing.
            let counts = |connection: &Connection| read(connection, &spaces.spaces).unwrap();
            let connection = spaces.database();
            let before = counts(&connection);
            rebuild(&connection).unwrap();
            assert_eq!(counts(&connection), before);
        });
    }
}

/// A failed change must leave the counts as they are, though it took the memory out of them first.
#[tokio::test(flavor = "multi_thread")]
async fn refused_changes_leave_the_counts_unchanged() {
    let mut spaces = Spaces::new().await;
    let create = Step::Create { chunks: 1, embedded: false, pinned: false };
    spaces.apply(&create).await;
    spaces.apply(&create).await;
    let patch = MemoryPatch { content: Some(("text 1".into(), [1; 32])), ..MemoryPatch::default() };
    let changes = vec![MemoryChange { id: spaces.memories[1], patch, chunks: Vec::new(), expected: None }];
    let decision = MemoryDecision { changes, ..MemoryDecision::default() };
    let change = Change::new(spaces.key, "edit", None);
    let refused = spaces.store.memories_apply_decision(spaces.spaces.clone(), decision, change, None).await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    spaces.check(&create).await;
    assert_eq!(spaces.store.memory_stats(spaces.spaces.clone()).await.unwrap().memories, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_migration_counts_what_exists() {
    let mut spaces = Spaces::new().await;
    for (chunks, embedded, pinned) in [(2, true, false), (1, false, true), (0, false, false), (3, true, true)]
    {
        spaces.apply(&Step::Create { chunks, embedded, pinned }).await;
    }
    spaces.apply(&Step::Delete { memory: 3, deleted: true }).await;
    spaces.apply(&Step::Supersede { older: 0, newer: 1 }).await;
    let connection = spaces.database();
    let expected = count_rows(&connection, spaces.spaces[0]);
    connection.execute_batch(&format!("DROP TABLE {TABLE}")).unwrap();
    migrations::make_from(&connection, 20, 21).unwrap();
    assert_eq!(read(&connection, &spaces.spaces).unwrap(), expected);
    assert_eq!((expected.memories, expected.deleted, expected.chunks, expected.superseded), (3, 1, 3, 1));
    assert_eq!((expected.pinned, expected.chunks_without_vectors), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_salvage_counts_what_it_saves() {
    let mut spaces = Spaces::new().await;
    spaces.apply(&Step::Create { chunks: 2, embedded: true, pinned: false }).await;
    spaces.apply(&Step::Create { chunks: 1, embedded: false, pinned: true }).await;
    // Damaged counts are not copied.
    spaces.database().execute_batch(&format!("UPDATE {TABLE} SET memories = 77")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    spaces.database().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    let saved = folder.path().join("saved.db");
    let report = crate::salvage::salvage(&copy, &saved).unwrap();
    assert!(report.tables.iter().all(|table| table.name != TABLE && table.lost == 0), "{:?}", report.tables);
    let connection = Connection::open(&saved).unwrap();
    let counts = read(&connection, &spaces.spaces).unwrap();
    assert_eq!(counts, count_rows(&connection, spaces.spaces[0]));
    assert_eq!((counts.memories, counts.chunks), (2, 3));
}
