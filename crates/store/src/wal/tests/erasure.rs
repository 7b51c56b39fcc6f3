//! Erased content leaves the log and the copies of older logs.

use lar_base::{Timestamp, UserId};

use super::*;
use crate::{ConversationPatch, NewConversation, OwnedConversation, wal_copies};

#[test]
fn an_erasure_removes_copies_of_logs() {
    let folder = tempfile::tempdir().unwrap();
    let (path, connection) = filled(folder.path(), 3);
    drop(connection);
    let store = Store::open(&path).unwrap();
    fs::write(beside(&path, "-wal.aside-20261129T060430000Z-00"), "what is erased").unwrap();
    fs::write(folder.path().join("other.db-wal.aside-20261129T060430000Z-00"), "another database's").unwrap();
    assert_eq!(wal_copies(&path).len(), 1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(store.memories_erase(Vec::new(), Vec::new())).unwrap();
    assert_eq!(wal_copies(&path), Vec::<PathBuf>::new());
    assert!(folder.path().join("other.db-wal.aside-20261129T060430000Z-00").exists());
    assert_eq!(fs::metadata(beside(&path, WAL_SUFFIX)).unwrap().len(), 0, "the log is empty, too");
}

/// The erasure is on disk by then, so its caller gets a success, and truncating the log is retried.
#[test]
fn an_erasure_succeeds_although_a_log_copy_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (path, connection) = filled(folder.path(), 3);
    drop(connection);
    let store = Store::open(&path).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let user: UserId = format!("user_{:032x}", 1).parse().unwrap();
    let new = NewConversation { title: "wisteria".into(), ..Default::default() };
    let made = runtime.block_on(store.conversation_create(user, new, None)).unwrap();
    let owned = runtime.block_on(store.conversation_get(user, made.id)).unwrap();
    assert!(!runtime.block_on(store.log_empty_retry()).unwrap(), "nothing is due");
    // `remove_file` cannot remove a folder.
    let copy = beside(&path, "-wal.aside-20261129T060430000Z-00");
    fs::create_dir(&copy).unwrap();
    runtime.block_on(store.conversation_erase(&owned)).unwrap();
    let gone = runtime.block_on(store.conversation_get(user, made.id));
    assert!(matches!(gone, Err(Error::NotFound(_))), "{gone:?}");
    assert_eq!(
        fs::metadata(beside(&path, WAL_SUFFIX)).unwrap().len(),
        0,
        "the log is empty although the copy stays"
    );
    assert!(runtime.block_on(store.memories_erase(Vec::new(), Vec::new())).is_ok());
    let later = Timestamp::from_millis(Timestamp::now().as_millis() + 60_000);
    let new = NewConversation { temporary: true, ..Default::default() };
    runtime.block_on(store.conversation_create(user, new, None)).unwrap();
    assert_eq!(runtime.block_on(store.conversations_purge(later, later)).unwrap(), 1);

    assert!(runtime.block_on(store.log_empty_retry()).is_err(), "the copy is still there");
    fs::remove_dir(&copy).unwrap();
    assert!(runtime.block_on(store.log_empty_retry()).unwrap(), "a retry was due");
    assert!(!runtime.block_on(store.log_empty_retry()).unwrap(), "and is not any more");
}

/// However a conversation is removed for good, no file contains its text afterwards, not even the log.
#[test]
fn an_erased_conversation_is_in_no_file() {
    type Ending = fn(&Store, &OwnedConversation) -> Result<(), Error>;
    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
    }
    let erase: Ending = |store, owned| runtime().block_on(store.conversation_erase(owned));
    let purge: Ending = |store, owned| {
        let (deletion, now) =
            (ConversationPatch { deleted: Some(true), ..Default::default() }, Timestamp::now());
        runtime().block_on(store.conversation_patch(owned, deletion, None))?;
        let later = Timestamp::from_millis(now.as_millis() + 60_000);
        runtime().block_on(store.conversations_purge(later, later)).map(|purged| assert_eq!(purged, 1))
    };
    for (name, end) in [("erased", erase), ("purged", purge)] {
        let folder = tempfile::tempdir().unwrap();
        let (path, connection) = filled(folder.path(), 3);
        drop(connection);
        let store = Store::open(&path).unwrap();
        let holds = |word: &str| {
            let holds =
                |(_, bytes): &(String, Vec<u8>)| bytes.windows(word.len()).any(|at| at == word.as_bytes());
            files(folder.path()).into_iter().filter(holds).map(|(name, _)| name).collect::<Vec<_>>()
        };
        let user: UserId = format!("user_{:032x}", 1).parse().unwrap();
        let new = NewConversation {
            title: "wisteria".into(),
            system: Some("laburnum".into()),
            ..Default::default()
        };
        let made = runtime().block_on(store.conversation_create(user, new, None)).unwrap();
        assert_eq!(
            (holds("wisteria"), holds("laburnum")),
            (vec!["lar.db-wal".into()], vec!["lar.db-wal".into()])
        );
        let owned = runtime().block_on(store.conversation_get(user, made.id)).unwrap();
        end(&store, &owned).unwrap();
        assert_eq!((holds("wisteria"), holds("laburnum")), (vec![], vec![]), "{name}");
    }
}
