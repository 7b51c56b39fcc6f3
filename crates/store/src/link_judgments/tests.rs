//! Judgments about links: which links a judge is asked about, and which texts its judgment is about.

use lar_base::{KeyId, LinkId, MemoryId, SpaceId, Timestamp};

use super::LinkJudgment;
use crate::{
    Change, LinkRelation, LinkResolution, MemoryChange, MemoryDecision, MemoryKind, MemoryPatch, NewLink,
    NewMemory, Provenance, Store, Strength,
};

const JUDGE: &str = "weights#1";

/// A store with a space, and the key that writes to it.
struct JudgedStore {
    store: Store,
    space: SpaceId,
    key: KeyId,
    _directory: tempfile::TempDir,
}

impl JudgedStore {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("lar.db")).unwrap();
        let owner = store.owner().await.unwrap();
        let space = store.space_ensure(owner, None).await.unwrap().id;
        Self { store, space, key: KeyId::new(), _directory: directory }
    }

    async fn apply(&self, decision: MemoryDecision) -> Vec<LinkId> {
        let change = Change::new(self.key, "create", None);
        let applied = self.store.memories_apply_decision(vec![self.space], decision, change, None);
        applied.await.unwrap().links.iter().map(|link| link.id).collect()
    }

    /// Saves a memory, with a link to an older one.
    async fn save(&self, content: &str, older: Option<(MemoryId, LinkRelation)>) -> (MemoryId, Vec<LinkId>) {
        let id = MemoryId::new();
        let new = NewMemory {
            id,
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
            hash: hash(content),
            chunks: Vec::new(),
        };
        let links =
            older.map(|(older, relation)| NewLink { older, newer: id, relation, reason: "why".into() });
        let links = links.into_iter().collect();
        let decision = MemoryDecision { new: Some(new), links, ..MemoryDecision::default() };
        (id, self.apply(decision).await)
    }

    async fn edit(&self, id: MemoryId, content: &str) {
        let patch = MemoryPatch { content: Some((content.into(), hash(content))), ..MemoryPatch::default() };
        let change = MemoryChange { id, patch, chunks: Vec::new(), expected: None };
        self.apply(MemoryDecision { changes: vec![change], ..MemoryDecision::default() }).await;
    }

    async fn unjudged(&self, judge: &str, before: Option<LinkId>, limit: u32) -> Vec<LinkId> {
        let found = self.store.links_unjudged(judge.into(), before, limit).await.unwrap();
        found.iter().map(|found| found.link.id).collect()
    }

    async fn judge(&self, link: LinkId, older: &str, newer: &str) -> bool {
        let (older, newer) = (older.to_owned(), newer.to_owned());
        self.store.link_judge(LinkJudgment { link, judge: JUDGE.into(), older, newer }).await.unwrap()
    }
}

fn hash(content: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash[..content.len()].copy_from_slice(content.as_bytes());
    hash
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_is_asked_only_about_open_links_that_may_replace() {
    let own = JudgedStore::new().await;
    let (berlin, _) = own.save("Anna lives in Berlin", None).await;
    let mut links = Vec::new();
    for city in ["Porto", "Oslo", "Rome"] {
        let may_replace = Some((berlin, LinkRelation::MayReplace));
        links.extend(own.save(&format!("Anna lives in {city}"), may_replace).await.1);
    }
    let contradicts = Some((berlin, LinkRelation::Contradicts));
    assert_eq!(
        own.save("Anna may live in Bonn", contradicts).await.1.len(),
        1,
        "a link that nothing can act on"
    );
    let [first, second, third] = links[..] else { panic!("{links:?}") };
    assert_eq!(own.unjudged(JUDGE, None, 10).await, [third, second, first]);
    assert_eq!(own.unjudged(JUDGE, None, 1).await, [third]);
    assert_eq!(own.unjudged(JUDGE, Some(third), 1).await, [second]);
    assert_eq!(own.unjudged(JUDGE, Some(first), 10).await, []);
    own.store.link_resolve(vec![own.space], second, LinkResolution::KeepBoth).await.unwrap();
    assert_eq!(own.unjudged(JUDGE, None, 10).await, [third, first]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judgment_holds_for_the_texts_that_were_read() {
    let (old, new) = ("Anna lives in Berlin", "Anna lives in Porto");
    let own = JudgedStore::new().await;
    let (older, _) = own.save(old, None).await;
    let (newer, links) = own.save(new, Some((older, LinkRelation::MayReplace))).await;
    let link = links[0];
    assert!(!own.judge(LinkId::new(), old, new).await, "no such link");
    // While the judge was asked, a person changed a text.
    own.edit(older, "Anna works in Berlin").await;
    assert!(!own.judge(link, old, new).await);
    assert_eq!(own.unjudged(JUDGE, None, 10).await, [link], "asked again");
    let found = own.store.links_unjudged(JUDGE.into(), None, 1).await.unwrap();
    assert_eq!((found[0].older.as_str(), found[0].newer.as_str()), ("Anna works in Berlin", new));
    own.edit(older, old).await;
    own.edit(newer, "Anna loves Porto").await;
    assert!(!own.judge(link, old, new).await);
    own.edit(newer, new).await;
    assert!(own.judge(link, old, new).await);
    assert_eq!(own.unjudged(JUDGE, None, 10).await, []);
    assert_eq!(own.unjudged("weights#2", None, 10).await, [link], "another judge");

    own.store.link_judge_again(link, "weights#2".into()).await.unwrap();
    assert_eq!(own.unjudged(JUDGE, None, 10).await, [], "the judgment of another judge");
    own.store.link_judge_again(link, JUDGE.into()).await.unwrap();
    assert_eq!(own.unjudged(JUDGE, None, 10).await, [link]);
}
