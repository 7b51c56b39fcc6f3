//! Consolidation in the database: the cursor, proposals that open and close, and what is never proposed again.

use lar_base::{ChangeId, KeyId, MemoryId, RunId, SpaceId, Timestamp};

use super::*;
use crate::{
    Change, LinkRelation, LinkResolution, MemoryChange, MemoryDecision, MemoryKind, MemoryPatch, NewLink,
    NewMemory, Provenance, Strength,
};

/// A store with a space, and the key that writes to it.
struct Fixture {
    store: Store,
    space: SpaceId,
    key: KeyId,
    _directory: tempfile::TempDir,
}

/// A memory by its number, id and version.
type Saved = (i64, MemoryId, i64);

impl Fixture {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("lar.db")).unwrap();
        let owner = store.owner().await.unwrap();
        let space = store.space_ensure(owner, None).await.unwrap().id;
        Self { store, space, key: KeyId::new(), _directory: directory }
    }

    async fn save(&self, content: &str) -> Saved {
        let mut hash = [0; 32];
        hash[..content.len()].copy_from_slice(content.as_bytes());
        let new = NewMemory {
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
        };
        let id = new.id;
        self.decide(MemoryDecision { new: Some(new), ..MemoryDecision::default() }).await.unwrap();
        let memory = self.store.memory_get(vec![self.space], id).await.unwrap();
        (memory.seq, id, memory.version)
    }

    async fn decide(&self, decision: MemoryDecision) -> Result<ChangeId, Error> {
        let change = Change::new(self.key, "edit", None);
        let id = change.decision;
        self.store.memories_apply_decision(vec![self.space], decision, change, None).await.map(|_| id)
    }

    async fn change(&self, memory: MemoryId, patch: MemoryPatch) -> ChangeId {
        let change = MemoryChange { id: memory, patch, chunks: Vec::new(), expected: None };
        self.decide(MemoryDecision { changes: vec![change], ..MemoryDecision::default() }).await.unwrap()
    }

    async fn start(&self) -> RunId {
        self.store.consolidation_start(self.space, Some(self.key)).await.unwrap().id
    }

    async fn record(&self, run: RunId, found: ComparedMemories) -> bool {
        self.store.memories_compared(self.space, run, found).await.unwrap()
    }

    async fn to_compare(&self) -> Vec<(i64, bool)> {
        let next = self.store.memories_to_compare(self.space, 10).await.unwrap();
        assert_eq!(
            next.is_empty(),
            self.store.memories_to_compare_count(vec![self.space]).await.unwrap() == 0
        );
        next.into_iter().map(|next| (next.memory.seq, next.is_again)).collect()
    }

    async fn open(&self) -> Vec<Proposal> {
        let open = self.store.proposals_open(vec![self.space], None, None, 100).await.unwrap();
        let totals = self.store.consolidation_totals(vec![self.space]).await.unwrap();
        assert_eq!(totals.proposals, open.len() as u64);
        open
    }

    async fn run(&self, id: RunId) -> ConsolidationRun {
        self.store.consolidation_run(vec![self.space], id).await.unwrap()
    }
}

fn duplicate(kept: Saved, repeated: Saved) -> NewDuplicate {
    NewDuplicate {
        kept: (kept.1, kept.2),
        repeated: (repeated.1, repeated.2),
        rule: DuplicateRule::SameWords,
    }
}

fn theme(tag: &str, memories: &[Saved]) -> NewTheme {
    NewTheme { tag: tag.into(), memories: memories.iter().map(|memory| memory.1).collect() }
}

fn link(older: Saved, newer: Saved, key: KeyId) -> FoundLink {
    FoundLink {
        link: NewLink {
            older: older.1,
            newer: newer.1,
            relation: LinkRelation::MayReplace,
            reason: "the same sentence with a new value".into(),
        },
        versions: (older.2, newer.2),
        key,
    }
}

fn text(content: &str) -> MemoryPatch {
    let mut hash = [0; 32];
    hash[..content.len()].copy_from_slice(content.as_bytes());
    MemoryPatch { content: Some((content.into(), hash)), ..MemoryPatch::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_memory_is_compared_once_and_again_after_it_changed() {
    let own = Fixture::new().await;
    let (one, two) = (own.save("one").await, own.save("two").await);
    assert_eq!(own.to_compare().await, [(one.0, false), (two.0, false)]);
    let run = own.start().await;
    own.record(run, ComparedMemories { compared: vec![one], pairs: 0, ..ComparedMemories::default() }).await;
    assert_eq!(own.to_compare().await, [(two.0, false)]);
    own.change(two.1, text("deux")).await;
    own.record(run, ComparedMemories { compared: vec![two], pairs: 1, ..ComparedMemories::default() }).await;
    assert_eq!(own.to_compare().await, [(two.0, true)], "it changed after it was read");
    let changed = (two.0, two.1, 2);
    own.record(run, ComparedMemories { compared: vec![changed], pairs: 1, ..ComparedMemories::default() })
        .await;
    assert_eq!(own.to_compare().await, []);

    own.change(one.1, MemoryPatch { pinned: Some(true), ..MemoryPatch::default() }).await;
    assert_eq!(own.to_compare().await, [], "its text is the same");
    own.change(one.1, text("un")).await;
    let deleted = MemoryPatch { deleted_at: Some(Some(Timestamp::now())), ..MemoryPatch::default() };
    own.change(two.1, deleted).await;
    assert_eq!(own.to_compare().await, [(one.0, true)]);
    own.change(two.1, MemoryPatch { deleted_at: Some(None), ..MemoryPatch::default() }).await;
    assert_eq!(own.to_compare().await, [(one.0, true), (two.0, true)], "it was restored");
    own.store.memories_erase(vec![own.space], vec![one.1, two.1]).await.unwrap();
    assert_eq!(own.to_compare().await, []);
    let counted = own.run(run).await;
    assert_eq!((counted.memories, counted.pairs), (3, 2));
    assert_eq!(own.store.spaces_to_compare().await.unwrap()[0].run, Some(run), "it goes on");
    own.store.consolidation_end(run).await.unwrap();
    assert_eq!(own.store.spaces_to_compare().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_memories_are_proposed_once() {
    let own = Fixture::new().await;
    let (one, two, three) = (own.save("one").await, own.save("two").await, own.save("three").await);
    let run = own.start().await;
    let found = |duplicates: Vec<NewDuplicate>, links: Vec<FoundLink>| ComparedMemories {
        duplicates,
        links,
        ..ComparedMemories::default()
    };
    own.record(run, found(vec![duplicate(one, two)], vec![link(one, three, own.key)])).await;
    let open = own.open().await;
    assert_eq!(open.len(), 1);
    let expected = ProposedChange::Duplicate { kept: one.1, repeated: two.1, rule: DuplicateRule::SameWords };
    assert_eq!((&open[0].change, open[0].run), (&expected, run));
    let repeated = found(
        vec![duplicate(one, two), duplicate(two, one), duplicate(three, one)],
        vec![link(two, one, own.key), link(three, one, own.key)],
    );
    own.record(run, repeated.clone()).await;
    own.store.proposal_reject(vec![own.space], open[0].id).await.unwrap();
    own.record(run, repeated).await;
    assert_eq!(own.open().await, []);
    let rejected = own.store.proposal_reject(vec![own.space], open[0].id).await;
    assert!(matches!(rejected, Err(Error::Conflict(_))), "{rejected:?}");
    let counted = own.run(run).await;
    assert_eq!((counted.duplicates, counted.links, counted.open), (1, 1, 1));
    own.change(three.1, text("trois")).await;
    own.record(run, found(vec![duplicate(two, three)], Vec::new())).await;
    assert_eq!(own.open().await, [], "its text changed after it was read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_is_open_while_its_memories_are_current_and_nobody_decided() {
    let own = Fixture::new().await;
    let (one, two) = (own.save("one").await, own.save("two").await);
    let run = own.start().await;
    let found = ComparedMemories { duplicates: vec![duplicate(one, two)], ..ComparedMemories::default() };
    own.record(run, found).await;
    let open = own.open().await;
    let superseded = Some(Some((one.1, Timestamp::now())));
    let accept = || MemoryDecision {
        changes: vec![MemoryChange {
            id: two.1,
            patch: MemoryPatch { superseded, ..MemoryPatch::default() },
            chunks: Vec::new(),
            expected: None,
        }],
        proposal: Some(open[0].id),
        ..MemoryDecision::default()
    };
    let decision = own.decide(accept()).await.unwrap();
    assert_eq!((own.open().await, own.run(run).await.accepted), (Vec::new(), 1));
    assert!(matches!(own.decide(accept()).await, Err(Error::Conflict(_))));
    let decisions = own.store.consolidation_decisions(run).await.unwrap();
    assert_eq!(decisions, [RunDecision { decision, memory: two.1 }]);

    let undo = Change::new(own.key, "undo", None);
    own.store.memory_undo(vec![own.space], two.1, decision, Vec::new(), undo).await.unwrap();
    assert_eq!(own.open().await, open);
    assert_eq!(own.store.consolidation_decisions(run).await.unwrap(), []);
    own.change(one.1, text("un")).await;
    assert_eq!(own.open().await, [], "a new text has to be compared first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_theme_grows_and_ends_with_its_memories() {
    let own = Fixture::new().await;
    let mut memories = Vec::new();
    for content in ["one", "two", "three", "four", "five"] {
        memories.push(own.save(content).await);
    }
    let run = own.start().await;
    let found = |themes: Vec<NewTheme>| ComparedMemories { themes, ..ComparedMemories::default() };
    own.record(run, found(vec![theme("falcon", &memories[..4])])).await;
    own.record(run, found(vec![theme("falcon", &memories[1..]), theme("hawk", &memories[1..])])).await;
    let open = own.open().await;
    assert_eq!(open.len(), 1, "half of the others are in a theme already");
    let members = |saved: &[Saved]| ProposedChange::Theme {
        tag: "falcon".into(),
        memories: saved.iter().map(|memory| memory.1).collect(),
    };
    assert_eq!(open[0].change, members(&memories));

    own.store.memories_erase(vec![own.space], vec![memories[0].1]).await.unwrap();
    assert_eq!(own.open().await[0].change, members(&memories[1..]));
    let deleted = MemoryPatch { deleted_at: Some(Some(Timestamp::now())), ..MemoryPatch::default() };
    own.change(memories[4].1, deleted).await;
    assert_eq!(own.open().await, []);
    own.change(memories[4].1, MemoryPatch { deleted_at: Some(None), ..MemoryPatch::default() }).await;
    assert_eq!(own.open().await.len(), 1);
    own.store.proposal_reject(vec![own.space], open[0].id).await.unwrap();
    own.record(run, found(vec![theme("falcon", &memories[1..])])).await;
    assert_eq!(own.open().await, []);

    own.store.memories_erase(vec![own.space], vec![memories[1].1]).await.unwrap();
    let tags = own.store.read(|connection| {
        Ok(connection
            .query_row("SELECT count(*) FROM consolidation_proposals", [], |row| row.get::<_, u32>(0))?)
    });
    assert_eq!(tags.await.unwrap(), 0, "the word of too few memories is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undone_run_withdraws_what_is_open_and_stores_nothing_more() {
    let own = Fixture::new().await;
    let (one, two, three) = (own.save("one").await, own.save("two").await, own.save("three").await);
    let run = own.start().await;
    let found = ComparedMemories {
        compared: vec![one],
        pairs: 2,
        duplicates: vec![duplicate(one, two)],
        links: vec![link(one, three, own.key)],
        ..ComparedMemories::default()
    };
    assert!(own.record(run, found).await);
    assert_eq!(own.store.consolidation_withdraw(run).await.unwrap(), 2);
    assert_eq!((own.open().await, own.run(run).await.open), (Vec::new(), 0));
    let links = own.store.links_open(vec![own.space], None, 10).await.unwrap();
    assert_eq!(links, []);
    let late = ComparedMemories { compared: vec![two], ..ComparedMemories::default() };
    assert!(!own.record(run, late).await, "it has ended");
    assert_eq!(own.to_compare().await, [(two.0, false), (three.0, false)]);

    let next = own.start().await;
    assert_ne!(next, run);
    let again = ComparedMemories {
        duplicates: vec![duplicate(one, two)],
        links: vec![link(one, three, own.key)],
        ..ComparedMemories::default()
    };
    own.record(next, again).await;
    let counted = own.run(next).await;
    assert_eq!((counted.duplicates, counted.links), (0, 0), "withdrawn findings are not repeated");
    own.store.consolidation_end(next).await.unwrap();
    let runs = own.store.consolidation_runs(vec![own.space], None, 10).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [next, run]);
    let other = own.start().await;
    assert_eq!(own.start().await, other, "a space has one run at a time");
    let kept = own.store.consolidation_runs(vec![own.space], None, 10).await.unwrap();
    assert_eq!(kept.iter().map(|run| run.id).collect::<Vec<_>>(), [other, run], "an empty run is removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_about_a_link_belongs_to_its_run() {
    let own = Fixture::new().await;
    let (one, two) = (own.save("one").await, own.save("two").await);
    let run = own.start().await;
    own.record(run, ComparedMemories { links: vec![link(one, two, own.key)], ..ComparedMemories::default() })
        .await;
    let open = own.store.links_open(vec![own.space], None, 10).await.unwrap();
    let totals = own.store.consolidation_totals(vec![own.space]).await.unwrap();
    assert_eq!((open.len(), totals.links), (1, 1));
    let superseded = Some(Some((two.1, Timestamp::now())));
    let patch = MemoryPatch { superseded, ..MemoryPatch::default() };
    let decision = MemoryDecision {
        changes: vec![MemoryChange { id: one.1, patch, chunks: Vec::new(), expected: None }],
        resolved: Some((open[0].id, LinkResolution::Replace)),
        ..MemoryDecision::default()
    };
    let decision = own.decide(decision).await.unwrap();
    let decisions = own.store.consolidation_decisions(run).await.unwrap();
    assert_eq!(decisions, [RunDecision { decision, memory: one.1 }]);
}
