//! Intentions: who sees them, their limits, when they are shown again, and how they are moved and erased.

use lar_base::{IntentionId, KeyId, SpaceId, Timestamp};
use rusqlite::Connection;

use super::rows::ACTIVE_MAX;
use super::*;
use crate::{Imported, Provenance};

const HOUR: Duration = Duration::from_secs(3600);

/// A store with a space.
struct Fixture {
    store: Store,
    space: SpaceId,
    directory: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("lar.db")).unwrap();
        let owner = store.owner().await.unwrap();
        let space = store.space_ensure(owner, None).await.unwrap().id;
        Self { store, space, directory }
    }

    fn intention(&self, content: &str) -> Intention {
        Intention {
            id: IntentionId::new(),
            space: self.space,
            content: content.into(),
            trigger: IntentionTrigger::Event { condition: "the invoice".into() },
            priority: IntentionPriority::High,
            deadline: Some(Timestamp::from_millis(9)),
            status: IntentionStatus::Active,
            snoozed_until: None,
            provenance: Provenance { key: KeyId::new(), source: None, conversation: None, message: None },
            created_at: Timestamp::from_millis(1),
            updated_at: Timestamp::from_millis(1),
            last_shown_at: None,
        }
    }

    async fn save(&self, content: &str) -> Intention {
        self.store.intention_create(self.intention(content)).await.unwrap().0
    }

    async fn list(&self, status: Option<IntentionStatus>) -> Vec<String> {
        let list = IntentionList { spaces: vec![self.space], status, after: None, limit: 5000 };
        let found = self.store.intention_list(list).await.unwrap();
        found.into_iter().map(|intention| intention.content).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn intentions_are_stored_listed_and_changed() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let first = fixture.save("Send the invoice.").await;
    assert_eq!(store.intention_get(vec![fixture.space], first.id).await.unwrap(), first);
    let (same, is_new) = store.intention_create(fixture.intention("Send the invoice.")).await.unwrap();
    assert_eq!((same.id, is_new), (first.id, false), "the same text and trigger");
    let triggers = [
        IntentionTrigger::Time { at: Timestamp::from_millis(1_764_000_000_123) },
        IntentionTrigger::Context {
            project: Some("lar".into()),
            codebase: None,
            file_pattern: Some("*.rs".into()),
            topics: vec!["the tests".into()],
        },
        IntentionTrigger::Manual,
    ];
    for trigger in triggers {
        let other = Intention { trigger: trigger.clone(), ..fixture.intention("Another.") };
        let (stored, is_new) = store.intention_create(other.clone()).await.unwrap();
        assert_eq!((stored, is_new), (other, true), "{trigger:?}");
    }
    let nowhere = vec![SpaceId::new()];
    assert!(matches!(store.intention_get(nowhere.clone(), first.id).await, Err(Error::NotFound(_))));
    let patch = IntentionPatch {
        content: Some("Send both invoices.".into()),
        deadline: Some(None),
        snoozed_until: Some(Some(Timestamp::from_millis(50))),
        ..IntentionPatch::default()
    };
    let refused = store.intention_update(nowhere.clone(), first.id, patch.clone()).await;
    assert!(matches!(refused, Err(Error::NotFound(_))));
    let changed = store.intention_update(vec![fixture.space], first.id, patch).await.unwrap();
    assert_eq!(changed, store.intention_get(vec![fixture.space], first.id).await.unwrap());
    assert_eq!((changed.deadline, changed.snoozed_until), (None, Some(Timestamp::from_millis(50))));
    let awake = |at| store.intentions_awake(vec![fixture.space], Timestamp::from_millis(at));
    assert_eq!((awake(49).await.unwrap().len(), awake(50).await.unwrap().len()), (3, 4));
    let status = |status| IntentionPatch { status: Some(status), ..IntentionPatch::default() };
    let done = store.intention_update(vec![fixture.space], first.id, status(IntentionStatus::Done)).await;
    assert_eq!(done.unwrap().snoozed_until, None);
    let snooze =
        IntentionPatch { snoozed_until: Some(Some(Timestamp::from_millis(99))), ..IntentionPatch::default() };
    let refused = store.intention_update(vec![fixture.space], first.id, snooze).await;
    assert!(matches!(refused, Err(Error::Conflict(reason)) if reason.contains("is done")));
    assert_eq!(fixture.list(Some(IntentionStatus::Done)).await, ["Send both invoices."]);
    assert_eq!(
        (fixture.list(Some(IntentionStatus::Active)).await.len(), fixture.list(None).await.len()),
        (3, 4)
    );
    assert!(matches!(store.intention_erase(nowhere, first.id).await, Err(Error::NotFound(_))));
    store.intention_erase(vec![fixture.space], first.id).await.unwrap();
    assert_eq!(fixture.list(None).await.len(), 3);
    let bytes = std::fs::read(fixture.directory.path().join("lar.db-wal")).unwrap_or_default();
    assert!(!bytes.windows(13).any(|at| at == b"both invoices"), "the log has no erased text");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_space_has_a_limited_number_of_intentions() {
    let fixture = Fixture::new().await;
    let (space, template) = (fixture.space, fixture.intention("1"));
    let fill = move |connection: &Connection| {
        for number in 0..ACTIVE_MAX {
            let content = number.to_string();
            put_in_txn(connection, &Intention { id: IntentionId::new(), content, ..template.clone() })?;
        }
        Ok(())
    };
    fixture.store.write(fill).await.unwrap();
    let refused = fixture.store.intention_create(fixture.intention("one more")).await;
    assert!(matches!(refused, Err(Error::Conflict(reason)) if reason.contains("1000 active")));
    let refused = fixture.store.memories_import(space, Vec::new(), vec![fixture.intention("one more")]).await;
    assert!(matches!(refused, Err(Error::Conflict(_))));
    let end = move |connection: &Connection| {
        connection.execute("UPDATE memory_intentions SET status = 'done'", [])?;
        Ok(())
    };
    fixture.store.write(end).await.unwrap();
    let last = fixture.save("one more").await;
    let cancelled = IntentionPatch { status: Some(IntentionStatus::Cancelled), ..IntentionPatch::default() };
    fixture.store.intention_update(vec![space], last.id, cancelled).await.unwrap();
    let kept = fixture.list(None).await;
    assert_eq!((kept.len(), kept[0].as_str()), (1000, "one more"), "the one that ended first is removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intention_is_shown_to_a_viewer_once_an_hour() {
    let fixture = Fixture::new().await;
    let (one, other) = (fixture.save("One.").await.id, fixture.save("Another.").await.id);
    let show = |ids: &[IntentionId], viewer: &str, at: i64| {
        fixture.store.intentions_show(ids.to_vec(), viewer.to_owned(), Timestamp::from_millis(at), HOUR, 2)
    };
    let hour = 3_600_000;
    assert_eq!(show(&[one], "conv_1", hour).await.unwrap(), [one]);
    assert_eq!(show(&[one, other], "conv_1", 2 * hour - 1).await.unwrap(), [other]);
    assert_eq!(show(&[one], "conv_2", 2 * hour - 1).await.unwrap(), [one], "each viewer for itself");
    assert_eq!(show(&[one, IntentionId::new()], "conv_1", 2 * hour).await.unwrap(), [one]);
    let shown = fixture.store.intention_get(vec![fixture.space], one).await.unwrap();
    assert_eq!(shown.last_shown_at, Some(Timestamp::from_millis(2 * hour)));
    // A change is a wish to be reminded again.
    let patch = IntentionPatch { priority: Some(IntentionPriority::Low), ..IntentionPatch::default() };
    fixture.store.intention_update(vec![fixture.space], one, patch).await.unwrap();
    assert_eq!(show(&[one], "conv_1", 2 * hour + 1).await.unwrap(), [one]);
}

#[tokio::test(flavor = "multi_thread")]
async fn intentions_are_exported_and_imported_whole() {
    let [from, to] = [Fixture::new().await, Fixture::new().await];
    for content in ["one", "two", "three"] {
        from.save(content).await;
    }
    let first = from.store.intentions_export(from.space, None, 2).await.unwrap();
    let rest = from.store.intentions_export(from.space, first.last.clone(), 2).await.unwrap();
    let all: Vec<Intention> = first.intentions.into_iter().chain(rest.intentions).collect();
    assert_eq!(all.len(), 3);
    let imported = to.store.memories_import(to.space, Vec::new(), all.clone()).await.unwrap();
    assert_eq!(imported, Imported { memories: Vec::new(), intentions: 3 });
    let again = to.store.memories_import(to.space, Vec::new(), all.clone()).await.unwrap();
    assert_eq!(again.intentions, 0);
    let moved = to.store.intentions_export(to.space, None, 9).await.unwrap().intentions;
    assert_eq!(moved, all.into_iter().map(|one| Intention { space: to.space, ..one }).collect::<Vec<_>>());
    let other = to.store.owner().await.unwrap();
    let other = to.store.space_ensure(other, Some("agent".into())).await.unwrap().id;
    let refused = to.store.memories_import(other, Vec::new(), moved).await;
    assert!(matches!(refused, Err(Error::Conflict(reason)) if reason.contains("another space")));
}
