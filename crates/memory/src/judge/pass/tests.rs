//! Passes over links of which some cannot be judged: the others are judged, and failed ones get their turn later.

use std::collections::HashSet;
use std::time::Duration;

use lar_base::{Code, Instant, KeyId, LinkId, MemoryId, Problem, SpaceId, Timestamp};
use lar_store::{
    Change, LinkJudgment, LinkRelation, MemoryDecision, MemoryKind, NewLink, NewMemory, Provenance, Store,
    UnjudgedLink,
};

use super::{FAILURES_MAX, KEY_REST, LINK_REST, Pass, RESTING_MAX, Resting};
use crate::{ingest, strength};

const JUDGE: &str = "weights#1";

/// A store with a space.
struct LinkedStore {
    store: Store,
    space: SpaceId,
    _folder: tempfile::TempDir,
}

impl LinkedStore {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("lar.db")).unwrap();
        let space = store.space_ensure(store.owner().await.unwrap(), None).await.unwrap().id;
        Self { store, space, _folder: folder }
    }

    async fn save(&self, key: KeyId, content: String, older: Option<MemoryId>) -> (MemoryId, Option<LinkId>) {
        let new = NewMemory {
            id: MemoryId::new(),
            space: self.space,
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
        };
        let (id, relation) = (new.id, LinkRelation::MayReplace);
        let links = older.map(|older| NewLink { older, newer: id, relation, reason: "why".into() });
        let links = links.into_iter().collect();
        let decision = MemoryDecision { new: Some(new), links, ..MemoryDecision::default() };
        let change = Change::new(key, "create", None);
        let applied =
            self.store.memories_apply_decision(vec![self.space], decision, change, None).await.unwrap();
        (id, applied.links.first().map(|link| link.id))
    }

    /// Saves pairs of linked memories; returns the links, oldest first.
    async fn save_linked(&self, key: KeyId, pairs: usize) -> Vec<LinkId> {
        let mut links = Vec::new();
        for pair in 0..pairs {
            let (older, _) = self.save(key, format!("{key}: buoy {pair} is red"), None).await;
            links.extend(self.save(key, format!("{key}: buoy {pair} is blue"), Some(older)).await.1);
        }
        assert_eq!(links.len(), pairs);
        links
    }

    /// Runs a pass in which the judgments of some links and keys fail. Returns the links in the order in which they
    /// were asked about.
    async fn pass(&self, resting: &mut Resting, failing: &HashSet<LinkId>, without: &[KeyId]) -> Vec<LinkId> {
        let mut asked = Vec::new();
        let mut pass = Pass::new(&self.store, JUDGE.into(), resting);
        while let Some(judged) = pass.next().await.unwrap() {
            let UnjudgedLink { link, key, older, newer, .. } = judged;
            asked.push(link.id);
            if failing.contains(&link.id) || without.contains(&key) {
                pass.record(link.id, key, Err(Problem::new(Code::RateLimited, "not now")));
                continue;
            }
            let judgment = LinkJudgment { link: link.id, judge: JUDGE.into(), older, newer };
            assert!(self.store.link_judge(judgment).await.unwrap());
            pass.record(link.id, key, Ok(()));
        }
        asked
    }

    async fn unjudged(&self) -> Vec<LinkId> {
        let found = self.store.links_unjudged(JUDGE.into(), None, 1000).await.unwrap();
        found.iter().map(|found| found.link.id).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_cannot_be_judged_does_not_stop_the_others() {
    let own = LinkedStore::new().await;
    let links = own.save_linked(KeyId::new(), 3).await;
    let failing = HashSet::from([links[2]]);
    let mut resting = Resting::default();
    // The newest link is asked about first, and fails.
    assert_eq!(own.pass(&mut resting, &failing, &[]).await, [links[2], links[1], links[0]]);
    assert_eq!(own.unjudged().await, [links[2]]);
    assert_eq!(own.pass(&mut resting, &failing, &[]).await, [], "it rests");
    assert_eq!(own.pass(&mut Resting::default(), &HashSet::new(), &[]).await, [links[2]], "after its rest");
    assert_eq!(own.unjudged().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_not_use_the_model_does_not_stop_the_others() {
    let own = LinkedStore::new().await;
    let (other, blocked) = (KeyId::new(), KeyId::new());
    let others = own.save_linked(other, 2).await;
    // More than a page of links, all of them newer.
    let links = own.save_linked(blocked, 40).await;
    let mut resting = Resting::default();
    assert_eq!(
        own.pass(&mut resting, &HashSet::new(), &[blocked]).await,
        [links[39], links[38], others[1], others[0]]
    );
    assert_eq!(own.pass(&mut resting, &HashSet::new(), &[]).await, [], "the key rests");
    assert_eq!(own.unjudged().await.len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_ends_if_the_model_itself_fails() {
    let own = LinkedStore::new().await;
    let mut keys = Vec::new();
    for _ in 0..FAILURES_MAX {
        let key = KeyId::new();
        own.save_linked(key, 2).await;
        keys.push(key);
    }
    let mut resting = Resting::default();
    assert_eq!(own.pass(&mut resting, &HashSet::new(), &keys).await.len(), FAILURES_MAX);
    assert_eq!(
        own.pass(&mut resting, &HashSet::new(), &keys).await.len(),
        FAILURES_MAX,
        "those of other keys"
    );
    assert_eq!(own.pass(&mut resting, &HashSet::new(), &keys).await, []);
}

#[test]
fn a_failed_link_rests_longer_than_its_key() {
    let (first, second, key) = (LinkId::new(), LinkId::new(), KeyId::new());
    let start = Instant::from_millis(1000);
    let mut resting = Resting::default();
    assert!(resting.record_failure(first, key, start), "news");
    assert!(resting.includes(first, key, start) && !resting.includes(second, key, start));
    assert!(!resting.record_failure(second, key, start));
    let third = LinkId::new();
    assert!(resting.includes(third, key, start), "the key rests");
    assert!(!resting.includes(third, KeyId::new(), start));
    let rested = start.after(KEY_REST);
    assert!(!resting.includes(third, key, rested) && resting.includes(first, key, rested));
    assert!(!resting.record_failure(third, key, rested), "the key failed before");
    assert!(resting.includes(LinkId::new(), key, rested), "one failure more is enough");
    resting.record_success(LinkId::new(), key);
    assert!(!resting.includes(LinkId::new(), key, rested));
    let end = start.after(LINK_REST);
    assert!(!resting.includes(first, key, end) && resting.includes(third, key, end));
    assert!(!resting.record_failure(first, key, end), "the link failed before");
}

#[test]
fn a_limited_number_of_failures_is_kept() {
    let start = Instant::from_millis(1000);
    let mut resting = Resting::default();
    let links: Vec<LinkId> = (0..RESTING_MAX + 2).map(|_| LinkId::new()).collect();
    for (at, link) in (0..).zip(&links) {
        let now = start.after(Duration::from_millis(at));
        assert!(resting.record_failure(*link, KeyId::new(), now));
    }
    assert_eq!((resting.links.len(), resting.keys.len()), (RESTING_MAX, RESTING_MAX));
    let is_known = |link: &LinkId| resting.links.contains_key(link);
    assert_eq!(links.iter().filter(|link| !is_known(link)).count(), 2);
    assert!(!is_known(&links[0]) && !is_known(&links[1]));
}
