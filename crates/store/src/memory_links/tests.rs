//! Links: when they are open, who sees them, and how they are resolved, opened again, erased and moved.

use lar_base::{ChangeId, KeyId, LinkId, MemoryId, SpaceId, Timestamp};
use rusqlite::Connection;

use super::{LinkRelation, LinkResolution, MemoryLink, NewLink};
use crate::{
    Candidate, Change, Error, MemoryChange, MemoryDecision, MemoryKind, MemoryPatch, NewMemory, Provenance,
    Store, Strength,
};

/// A store with a space, and the key that writes to it.
struct Fixture {
    store: Store,
    space: SpaceId,
    key: KeyId,
    _directory: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("lar.db")).unwrap();
        let owner = store.owner().await.unwrap();
        let space = store.space_ensure(owner, None).await.unwrap().id;
        Self { store, space, key: KeyId::new(), _directory: directory }
    }

    fn new_memory(&self, content: &str) -> NewMemory {
        let mut hash = [0; 32];
        hash[..content.len()].copy_from_slice(content.as_bytes());
        NewMemory {
            id: MemoryId::new(),
            space: self.space,
            kind: MemoryKind::Fact,
            content: content.into(),
            tags: Vec::new(),
            project: None,
            provenance: Provenance { key: self.key, source: None, conversation: None, message: None },
            occurred_at: None,
            valid_from: None,
            valid_to: None,
            after: None,
            pinned: false,
            strength: Strength { stability: 1.0, difficulty: 5.0, reviewed_at: Timestamp::from_millis(1) },
            hash,
            chunks: Vec::new(),
        }
    }

    async fn save(&self, content: &str) -> MemoryId {
        let new = MemoryDecision { new: Some(self.new_memory(content)), ..MemoryDecision::default() };
        self.decide(new, "create").await.unwrap().1[0]
    }

    /// Applies a decision; returns its id, and the ids of the new and the changed memories.
    async fn decide(
        &self,
        decision: MemoryDecision,
        action: &'static str,
    ) -> Result<(ChangeId, Vec<MemoryId>), Error> {
        let change = Change::new(self.key, action, None);
        let id = change.decision;
        let applied = self.store.memories_apply_decision(vec![self.space], decision, change, None).await?;
        Ok((id, applied.memories().map(|memory| memory.id).collect()))
    }

    /// Saves a memory that may replace `older`; returns it and the link.
    async fn save_linked(&self, content: &str, older: MemoryId) -> (MemoryId, MemoryLink) {
        let new = self.new_memory(content);
        let links = vec![link(older, new.id)];
        let decision = MemoryDecision { new: Some(new), links, ..MemoryDecision::default() };
        let change = Change::new(self.key, "create", None);
        let applied =
            self.store.memories_apply_decision(vec![self.space], decision, change, None).await.unwrap();
        (applied.stored.unwrap().memory.id, applied.links[0].clone())
    }

    async fn open(&self) -> Vec<LinkId> {
        ids(&self.store.links_open(vec![self.space], None, 100).await.unwrap())
    }

    async fn get(&self, id: LinkId) -> MemoryLink {
        self.store.link_get(vec![self.space], id).await.unwrap()
    }

    async fn undo(&self, memory: MemoryId, decision: ChangeId) -> Result<(), Error> {
        let change = Change::new(self.key, "undo", None);
        self.store.memory_undo(vec![self.space], memory, decision, Vec::new(), change).await.map(drop)
    }

    /// Applies the decision that replaces the older memory of a link.
    async fn replace(&self, link: &MemoryLink) -> Result<ChangeId, Error> {
        let superseded = Some(Some((link.newer, Timestamp::now())));
        let patch = MemoryPatch { superseded, ..MemoryPatch::default() };
        let decision = MemoryDecision {
            changes: vec![change(link.older, patch)],
            resolved: Some((link.id, LinkResolution::Replace)),
            ..MemoryDecision::default()
        };
        self.decide(decision, "supersede").await.map(|(id, _)| id)
    }
}

fn link(older: MemoryId, newer: MemoryId) -> NewLink {
    NewLink { older, newer, relation: LinkRelation::MayReplace, reason: "another city".into() }
}

fn change(id: MemoryId, patch: MemoryPatch) -> MemoryChange {
    MemoryChange { id, patch, chunks: Vec::new(), expected: None }
}

fn delete(id: MemoryId) -> MemoryDecision {
    let patch = MemoryPatch { deleted_at: Some(Some(Timestamp::now())), ..MemoryPatch::default() };
    MemoryDecision { changes: vec![change(id, patch)], ..MemoryDecision::default() }
}

fn ids(links: &[MemoryLink]) -> Vec<LinkId> {
    links.iter().map(|link| link.id).collect()
}

fn is_conflict<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Conflict(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_listed_newest_first_in_pages_and_by_memory() {
    let own = Fixture::new().await;
    let berlin = own.save("Anna lives in Berlin").await;
    let (porto, first) = own.save_linked("Anna lives in Porto", berlin).await;
    let (_, second) = own.save_linked("Anna lives in Oslo", berlin).await;
    let (_, third) = own.save_linked("Anna moved from Porto", porto).await;
    assert_eq!(
        own.get(first.id).await,
        MemoryLink {
            id: first.id,
            space: own.space,
            older: berlin,
            newer: porto,
            relation: LinkRelation::MayReplace,
            reason: "another city".into(),
            key: own.key,
            created_at: first.created_at,
            resolution: None,
            decision: None,
        }
    );
    assert_eq!(own.open().await, [third.id, second.id, first.id]);
    let page = own.store.links_open(vec![own.space], Some(third.id), 1).await.unwrap();
    assert_eq!(ids(&page), [second.id]);
    let of =
        async |memories: Vec<MemoryId>| ids(&own.store.links_of(vec![own.space], memories).await.unwrap());
    assert_eq!(of(vec![berlin]).await, [second.id, first.id]);
    assert_eq!(of(vec![porto]).await, [third.id, first.id], "on both sides");
    assert_eq!(of(vec![berlin, porto]).await, [third.id, second.id, first.id], "each once");
    assert_eq!(of(Vec::new()).await, []);
    assert_eq!(own.store.memory_stats(vec![own.space]).await.unwrap().open_links, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_memories_are_linked_once_and_never_across_spaces() {
    let own = Fixture::new().await;
    let berlin = own.save("Anna lives in Berlin").await;
    let (porto, first) = own.save_linked("Anna lives in Porto", berlin).await;
    // The same text again: the memory that exists is linked, and it is linked already.
    let again = own.new_memory("Anna lives in Porto");
    let links = vec![link(berlin, again.id), link(again.id, porto)];
    let again = MemoryDecision { new: Some(again), links, ..MemoryDecision::default() };
    assert_eq!(own.decide(again, "create").await.unwrap().1, [porto]);
    let back = MemoryDecision { links: vec![link(porto, berlin)], ..MemoryDecision::default() };
    own.decide(back, "create").await.unwrap();
    assert_eq!(own.open().await, [first.id]);

    let agent = own.store.space_ensure(own.store.owner().await.unwrap(), Some("robot".into())).await.unwrap();
    let its = NewMemory { space: agent.id, ..own.new_memory("Anna lives in Rome") };
    let its =
        MemoryDecision { links: vec![link(berlin, its.id)], new: Some(its), ..MemoryDecision::default() };
    let both = vec![own.space, agent.id];
    let linked =
        own.store.memories_apply_decision(both, its, Change::new(own.key, "create", None), None).await;
    assert!(matches!(linked, Err(Error::NotFound(_))), "{linked:?}");
    assert_eq!(own.store.memory_stats(vec![agent.id]).await.unwrap().memories, 0, "nothing was stored");

    let other = vec![agent.id];
    assert_eq!(own.store.links_open(other.clone(), None, 10).await.unwrap(), []);
    assert_eq!(own.store.links_of(other.clone(), vec![berlin, porto]).await.unwrap(), []);
    let hidden = own.store.link_get(other.clone(), first.id).await;
    assert!(matches!(hidden, Err(Error::NotFound(_))));
    let hidden = own.store.link_resolve(other, first.id, LinkResolution::KeepBoth).await;
    assert!(matches!(hidden, Err(Error::NotFound(_))));
    assert_eq!(own.open().await, [first.id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_resolved_once_and_the_undo_of_its_decision_opens_it_again() {
    let own = Fixture::new().await;
    let berlin = own.save("Anna lives in Berlin").await;
    let (porto, first) = own.save_linked("Anna lives in Porto", berlin).await;
    let replaced = own.replace(&first).await.unwrap();
    let resolved = own.get(first.id).await;
    assert_eq!(resolved.resolution.map(|(resolution, _)| resolution), Some(LinkResolution::Replace));
    assert_eq!(resolved.decision, Some(replaced));
    assert_eq!(own.open().await, []);
    assert!(is_conflict(&own.replace(&first).await));
    let kept = own.store.link_resolve(vec![own.space], first.id, LinkResolution::KeepBoth).await;
    assert!(is_conflict(&kept));

    own.undo(berlin, replaced).await.unwrap();
    assert_eq!(own.get(first.id).await, first);
    assert_eq!(own.open().await, [first.id]);
    let older = own.store.memory_get(vec![own.space], berlin).await.unwrap();
    assert_eq!(older.superseded, None);

    own.store.link_resolve(vec![own.space], first.id, LinkResolution::Unrelated).await.unwrap();
    let resolved = own.get(first.id).await;
    assert_eq!(resolved.resolution.map(|(resolution, _)| resolution), Some(LinkResolution::Unrelated));
    assert_eq!((resolved.decision, own.open().await), (None, Vec::new()));
    let (created, _) = own.decide(delete(porto), "forget").await.unwrap();
    own.undo(porto, created).await.unwrap();
    assert_eq!(own.open().await, [], "the undo of another decision opens nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_decision_leaves_its_link_open() {
    let own = Fixture::new().await;
    let berlin = own.save("Anna lives in Berlin").await;
    let (porto, first) = own.save_linked("Anna lives in Porto", berlin).await;
    let stale = MemoryChange { expected: Some(7), ..change(berlin, MemoryPatch::default()) };
    let decision = MemoryDecision {
        changes: vec![stale],
        resolved: Some((first.id, LinkResolution::Replace)),
        ..MemoryDecision::default()
    };
    assert!(matches!(own.decide(decision, "supersede").await, Err(Error::Version { .. })));
    assert_eq!(own.open().await, [first.id]);
    // A text that is the older memory's own cannot supersede it.
    let same = own.new_memory("Anna lives in Berlin");
    let superseded = Some(Some((same.id, Timestamp::now())));
    let patch = MemoryPatch { superseded, ..MemoryPatch::default() };
    let decision =
        MemoryDecision { new: Some(same), changes: vec![change(berlin, patch)], ..MemoryDecision::default() };
    assert!(is_conflict(&own.decide(decision, "supersede").await));
    // A text that exists already supersedes as the memory that it is.
    let same = own.new_memory("Anna lives in Porto");
    let superseded = Some(Some((same.id, Timestamp::now())));
    let patch = MemoryPatch { superseded, ..MemoryPatch::default() };
    let decision =
        MemoryDecision { new: Some(same), changes: vec![change(berlin, patch)], ..MemoryDecision::default() };
    own.decide(decision, "supersede").await.unwrap();
    let older = own.store.memory_get(vec![own.space], berlin).await.unwrap();
    assert_eq!(older.superseded.map(|(by, _)| by), Some(porto));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_open_only_while_both_memories_are_current() {
    let own = Fixture::new().await;
    let berlin = own.save("Anna lives in Berlin").await;
    let new = own.new_memory("Anna lives in Porto");
    let porto = new.id;
    let links = vec![link(berlin, porto)];
    let decision = MemoryDecision { new: Some(new), links, ..MemoryDecision::default() };
    let (created, _) = own.decide(decision, "create").await.unwrap();
    let all = own.open().await;
    assert_eq!(all.len(), 1);

    own.undo(porto, created).await.unwrap();
    assert_eq!(own.open().await, [], "the newer memory was never saved");
    let resolved = own.store.link_resolve(vec![own.space], all[0], LinkResolution::KeepBoth).await;
    assert!(is_conflict(&resolved), "{resolved:?}");
    let undo = own.store.memory_last_decision(vec![own.space], porto).await.unwrap()[0].decision;
    own.undo(porto, undo).await.unwrap();
    assert_eq!(own.open().await, all, "and now it is there again");

    let (forgotten, _) = own.decide(delete(berlin), "forget").await.unwrap();
    assert_eq!(own.open().await, []);
    assert_eq!(own.store.memory_stats(vec![own.space]).await.unwrap().open_links, 0);
    own.undo(berlin, forgotten).await.unwrap();
    assert_eq!(own.open().await, all);
    let rome = own.save("Anna lives in Rome").await;
    let superseded = Some(Some((rome, Timestamp::now())));
    let patch = MemoryPatch { superseded, ..MemoryPatch::default() };
    let changes = vec![change(porto, patch)];
    own.decide(MemoryDecision { changes, ..MemoryDecision::default() }, "supersede").await.unwrap();
    assert_eq!(own.open().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_memory_takes_its_links_and_the_reasons_of_candidates_with_it() {
    let own = Fixture::new().await;
    let (word, other) = (b"Zwetschkenstadt", b"Quittenstadt");
    let berlin = own.save("Anna lives in Berlin").await;
    let new = own.new_memory("Anna lives in Porto");
    let reason = |word: &[u8]| format!("Anna lives in {}", String::from_utf8_lossy(word));
    let links = vec![NewLink { reason: reason(word), ..link(berlin, new.id) }];
    own.decide(MemoryDecision { new: Some(new), links, ..MemoryDecision::default() }, "create")
        .await
        .unwrap();
    let candidate = Candidate {
        id: lar_base::CandidateId::new(),
        space: own.space,
        content: "Anna lives in Rome".into(),
        kind: MemoryKind::Fact,
        provenance: Provenance { key: own.key, source: None, conversation: None, message: None },
        reason: "it may be worth saving".into(),
        created_at: Timestamp::now(),
        may_replace: None,
    };
    own.store.candidate_create(candidate.clone()).await.unwrap();
    let better = Candidate {
        id: lar_base::CandidateId::new(),
        reason: reason(other),
        may_replace: Some(berlin),
        ..candidate.clone()
    };
    own.store.candidate_create(better).await.unwrap();
    own.store.candidate_create(candidate.clone()).await.unwrap();
    let stored = |connection: &Connection| {
        let sql = "SELECT id, reason, may_replace FROM memory_candidates";
        Ok(connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?)
    };
    let waiting: (String, String, Option<String>) = own.store.read(stored).await.unwrap();
    assert_eq!(waiting, (candidate.id.to_string(), reason(other), Some(berlin.to_string())));
    let holds = |word: &[u8]| {
        let folder = own.store.path().parent().unwrap();
        let files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()));
        files.flatten().any(|bytes| bytes.windows(word.len()).any(|some| some == word))
    };
    assert!(holds(word) && holds(other));
    own.store.memories_erase(vec![own.space], vec![berlin]).await.unwrap();
    own.store.clear_erased().await.unwrap();
    assert!(!holds(word) && !holds(other));
    let left = |connection: &Connection| {
        Ok(connection.query_row("SELECT count(*) FROM memory_links", [], |row| row.get::<_, u32>(0))?)
    };
    assert_eq!(own.store.read(left).await.unwrap(), 0);
    let waiting: (String, String, Option<String>) = own.store.read(stored).await.unwrap();
    assert_eq!(waiting, (candidate.id.to_string(), candidate.reason.clone(), None));
    // A candidate that was found before the erasure, and is stored after it.
    let late =
        Candidate { reason: reason(other), may_replace: Some(berlin), content: "Late".into(), ..candidate };
    own.store.candidates_purge(Timestamp::from_millis(i64::MAX)).await.unwrap();
    own.store.candidate_create(late.clone()).await.unwrap();
    let waiting: (String, String, Option<String>) = own.store.read(stored).await.unwrap();
    assert_eq!(waiting, (late.id.to_string(), "it may be worth saving".into(), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_restores_every_link_once() {
    let from = Fixture::new().await;
    let berlin = from.save("Anna lives in Berlin").await;
    let (porto, replaced) = from.save_linked("Anna lives in Porto", berlin).await;
    let (_, kept) = from.save_linked("Anna works in Porto", porto).await;
    let (_, open) = from.save_linked("Anna studies in Porto", porto).await;
    let decision = from.replace(&replaced).await.unwrap();
    from.store.link_resolve(vec![from.space], kept.id, LinkResolution::KeepBoth).await.unwrap();
    let mut exported = from.store.memories_export(from.space, 0, 100).await.unwrap().memories;
    assert_eq!(exported.iter().map(|moved| moved.links.len()).collect::<Vec<_>>(), [0, 1, 1, 1]);
    exported.reverse();

    let to = Fixture::new().await;
    assert_eq!(
        to.store.memories_import(to.space, exported.clone(), Vec::new()).await.unwrap().memories.len(),
        4
    );
    for id in [replaced.id, kept.id, open.id] {
        assert_eq!(to.get(id).await, MemoryLink { space: to.space, ..from.get(id).await });
    }
    assert_eq!(to.open().await, [open.id]);
    assert_eq!(
        to.store.memories_import(to.space, exported.clone(), Vec::new()).await.unwrap().memories,
        [0; 0]
    );
    let count = |connection: &Connection| {
        Ok(connection.query_row("SELECT count(*) FROM memory_links", [], |row| row.get::<_, u32>(0))?)
    };
    assert_eq!(to.store.read(count).await.unwrap(), 3);
    to.undo(berlin, decision).await.unwrap();
    assert_eq!(to.open().await, [open.id, replaced.id], "an undo after the import opens the link again");

    // Without the older memory, and to a space that has other memories of the same ids.
    let lone = Fixture::new().await;
    exported.retain(|moved| moved.memory.id != berlin);
    exported[0].links[0].older = exported[0].memory.id;
    lone.store.memories_import(lone.space, exported.clone(), Vec::new()).await.unwrap();
    assert_eq!(lone.open().await, [], "one is linked with itself, and one with a memory that is not there");
    assert_eq!(lone.get(kept.id).await.resolution.map(|(how, _)| how), Some(LinkResolution::KeepBoth));
}
