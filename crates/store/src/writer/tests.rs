//! The writer with real connections: grouping, rollback, the use of the reserve, and truncation of the WAL.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::RecvTimeoutError;

use rusqlite::ErrorCode;
use tokio::task::JoinSet;

use super::*;
use crate::sqlite_files::beside;
use crate::{NewConversation, Store, reserve};

fn writer(directory: &Path) -> (Writer, Connection) {
    let path = directory.join("test.db");
    let connection = crate::connection::connect(&path).unwrap();
    connection.execute_batch("CREATE TABLE numbers (n INTEGER PRIMARY KEY)").unwrap();
    (Writer::start(connection, path.clone(), reserve_of(&path)), Connection::open(path).unwrap())
}

fn reserve_of(path: &Path) -> Arc<Reserve> {
    Arc::new(Reserve::beside(path))
}

/// Keeps the writer busy until the returned sender is dropped, so that other jobs wait together.
async fn keep_busy(writer: &Writer) -> std::sync::mpsc::SyncSender<()> {
    let (gate, opened) = std::sync::mpsc::sync_channel::<()>(1);
    let (started, has_started) = oneshot::channel();
    let writer = writer.clone();
    tokio::spawn(async move {
        let change = move |_: &Connection| {
            let _ = started.send(());
            let _ = opened.recv();
            Ok(())
        };
        writer.run(change).await
    });
    has_started.await.unwrap();
    gate
}

/// Returns when this many jobs wait for the busy writer.
async fn until_waiting(writer: &Writer, jobs: usize) {
    let started_at = Instant::now();
    while QUEUE_MAX - writer.jobs.capacity() < jobs {
        assert!(started_at.elapsed() < Duration::from_secs(20), "the jobs do not wait");
        tokio::task::yield_now().await;
    }
}

fn is_stored(reader: &Connection, n: i64) -> bool {
    reader.query_row("SELECT EXISTS (SELECT 1 FROM numbers WHERE n = ?1)", [n], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_means_committed_and_errors_do_not_affect_other_changes() {
    let directory = tempfile::tempdir().unwrap();
    let (writer, reader) = writer(directory.path());
    let mut waiting = JoinSet::new();
    for n in 0..300 {
        let writer = writer.clone();
        waiting.spawn(async move {
            let result = writer
                .run(move |connection| {
                    connection.execute("INSERT INTO numbers VALUES (?1)", [n])?;
                    if n % 3 == 0 { Err(Error::Conflict("by three".into())) } else { Ok(n) }
                })
                .await;
            (n, result)
        });
    }
    while let Some(done) = waiting.join_next().await {
        let (n, result) = done.unwrap();
        let stored = is_stored(&reader, n);
        assert_eq!(stored, n % 3 != 0, "{n}: {result:?}");
        assert_eq!(result.is_ok(), stored);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_undoes_its_own_change_and_the_writer_continues() {
    let directory = tempfile::tempdir().unwrap();
    let (writer, reader) = writer(directory.path());
    let mut waiting = JoinSet::new();
    for n in 0..40 {
        let writer = writer.clone();
        waiting.spawn(async move {
            let result = writer
                .run(move |connection| {
                    let mut insert = connection.prepare_cached("INSERT INTO numbers VALUES (?1)")?;
                    insert.execute([n])?;
                    assert!(n % 4 != 0, "change {n} panics while it has a cached statement");
                    Ok(())
                })
                .await;
            (n, result)
        });
    }
    while let Some(done) = waiting.join_next().await {
        let (n, result) = done.unwrap();
        let panicked = matches!(result, Err(Error::Panicked));
        assert_eq!((panicked, is_stored(&reader, n)), (n % 4 == 0, n % 4 != 0), "{n}: {result:?}");
    }
    let last = writer.run(|connection| Ok(connection.execute("INSERT INTO numbers VALUES (1000)", [])?));
    assert_eq!(last.await.unwrap(), 1);
    assert!(is_stored(&reader, 1000));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_checkpointed_while_no_change_waits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.db");
    let connection = crate::connection::connect(&path).unwrap();
    connection.execute_batch("CREATE TABLE numbers (n INTEGER PRIMARY KEY)").unwrap();
    let after = Duration::from_millis(20);
    let writer = Writer::start_with(connection, path.clone(), reserve_of(&path), after);
    let reader = Connection::open(&path).unwrap();
    let log_bytes = || std::fs::metadata(beside(&path, "-wal")).unwrap().len();
    // The second round begins with a blocking reader, which no change waits for.
    for n in 0..2 {
        reader.execute_batch("BEGIN; SELECT count(*) FROM numbers").unwrap();
        writer
            .run(move |connection| Ok(connection.execute("INSERT INTO numbers VALUES (?1)", [n])?))
            .await
            .unwrap();
        assert!(log_bytes() > 0);
        reader.execute_batch("COMMIT").unwrap();
        let started_at = Instant::now();
        while log_bytes() > 0 {
            assert!(started_at.elapsed() < Duration::from_secs(20), "the WAL is not empty");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(is_stored(&reader, n));
    }
}

/// Callers wait only briefly for a long read. The WAL is truncated soon after the read ends, even under a
/// constant stream of changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_read_does_not_delay_erasures_and_the_log_is_truncated_when_it_ends() {
    const ERASERS: i64 = 20;
    let directory = tempfile::tempdir().unwrap();
    let (writer, reader) = writer(directory.path());
    let log_bytes = || std::fs::metadata(beside(&directory.path().join("test.db"), "-wal")).unwrap().len();
    let insert = |n: i64| {
        writer.run(move |connection| Ok(connection.execute("INSERT INTO numbers VALUES (?1)", [n])?))
    };
    insert(0).await.unwrap();
    assert_eq!(writer.checkpoint().await.unwrap(), EmptyLogOutcome::Now);
    assert_eq!(log_bytes(), 0);

    insert(1).await.unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM numbers").unwrap();
    insert(2).await.unwrap();
    let started_at = Instant::now();
    for n in 3..3 + ERASERS {
        insert(n).await.unwrap();
        assert_eq!(writer.checkpoint().await.unwrap(), EmptyLogOutcome::Later);
    }
    // Includes their commits. If each erasure waited for `BUSY_MAX`, it would take five times as long.
    assert!(started_at.elapsed() < BUSY_MAX * 4, "{:?}", started_at.elapsed());
    assert!(log_bytes() > 0);
    reader.execute_batch("COMMIT").unwrap();
    // Only a truncation makes the file shorter.
    let (ended, mut longest) = (Instant::now(), log_bytes());
    for n in 1000.. {
        assert!(ended.elapsed() < Duration::from_secs(20), "the WAL is not truncated");
        insert(n).await.unwrap();
        if log_bytes() < longest {
            break;
        }
        longest = log_bytes();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_checkpoint_requests_share_one_attempt() {
    let directory = tempfile::tempdir().unwrap();
    let (writer, reader) = writer(directory.path());
    let insert = |n: i64| {
        writer.run(move |connection| Ok(connection.execute("INSERT INTO numbers VALUES (?1)", [n])?))
    };
    insert(1).await.unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM numbers").unwrap();
    insert(2).await.unwrap();
    let gate = keep_busy(&writer).await;
    let mut asking = JoinSet::new();
    for _ in 0..20 {
        let writer = writer.clone();
        asking.spawn(async move { writer.checkpoint().await });
    }
    until_waiting(&writer, 20).await;
    let started_at = Instant::now();
    drop(gate);
    while let Some(asked) = asking.join_next().await {
        assert_eq!(asked.unwrap().unwrap(), EmptyLogOutcome::Later);
    }
    assert!(started_at.elapsed() < EMPTY_WAIT * 10, "{:?}", started_at.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_transaction_begin_returns_its_error() {
    let directory = tempfile::tempdir().unwrap();
    let (writer, _) = writer(directory.path());
    let closed = writer.run(|connection| Ok(connection.pragma_update(None, "query_only", true)?)).await;
    closed.unwrap();
    let refused = writer.run(|connection| Ok(connection.execute("INSERT INTO numbers VALUES (1)", [])?));
    assert!(matches!(refused.await, Err(Error::ReadOnly { path: None })));
}

/// A database whose WAL was left by a killed process. The files are copies of an open database's files.
fn left_by_a_killed_process(folder: &Path) -> PathBuf {
    let (made, left) = (folder.join("made.db"), folder.join("left.db"));
    let connection = crate::connection::connect(&made).unwrap();
    let changes = "PRAGMA wal_autocheckpoint = 0; CREATE TABLE numbers (n INTEGER PRIMARY KEY); \
                   INSERT INTO numbers VALUES (1); DELETE FROM numbers";
    connection.execute_batch(changes).unwrap();
    for end in ["", "-wal"] {
        std::fs::copy(beside(&made, end), beside(&left, end)).unwrap();
    }
    left
}

/// Erased content must not stay in the WAL until the next change, or for a minute.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_killed_process_is_truncated_at_start_or_after_a_blocking_read() {
    const NEVER: Duration = Duration::from_secs(3600);
    for is_read in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let path = left_by_a_killed_process(directory.path());
        let log_bytes = || std::fs::metadata(beside(&path, "-wal")).unwrap().len();
        let reader = Connection::open(&path).unwrap();
        if is_read {
            reader.execute_batch("BEGIN; SELECT count(*) FROM numbers").unwrap();
        }
        assert!(log_bytes() > 0);
        let connection = crate::connection::connect(&path).unwrap();
        let writer = Writer::start_with(connection, path.clone(), reserve_of(&path), NEVER);
        if is_read {
            // The insert waits for the read only briefly.
            let insert =
                writer.run(|connection| Ok(connection.execute("INSERT INTO numbers VALUES (2)", [])?));
            assert_eq!(insert.await.unwrap(), 1);
            assert!(log_bytes() > 0, "the read uses the WAL");
            reader.execute_batch("COMMIT").unwrap();
        }
        let started_at = Instant::now();
        while log_bytes() > 0 {
            assert!(started_at.elapsed() < Duration::from_secs(20), "the WAL is not empty; read: {is_read}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(is_stored(&reader, 2), is_read);
    }
}

/// A truncation that fails at start is retried later.
#[test]
fn a_failed_truncation_of_the_log_at_start_is_retried() {
    let directory = tempfile::tempdir().unwrap();
    let path = left_by_a_killed_process(directory.path());
    let connection = crate::connection::connect(&path).unwrap();
    let (_jobs, receiver) = mpsc::channel(1);
    let mut queue = Queue::new(receiver, Duration::from_secs(3600));
    // SQLite runs no checkpoint within a transaction.
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    queue.empty_at_start(&connection);
    assert!(queue.has_failed && queue.time_until_due().unwrap() <= EMPTY_AGAIN_AFTER);
    connection.execute_batch("COMMIT").unwrap();
    assert_eq!(queue.empty(&connection, EMPTY_AGAIN_WAIT).unwrap(), EmptyLogOutcome::Now);
    assert_eq!((queue.time_until_due(), queue.has_failed), (None, false));
}

/// The changes fail in one commit. Each runs again while the reserve is released, and no other change runs
/// then.
#[tokio::test(flavor = "multi_thread")]
async fn only_changes_that_free_something_get_the_reserve() {
    const FREEING: usize = 16;
    /// More than fit in one commit, so that some wait while the reserve is released.
    const OTHERS: usize = 2 * GROUP_MAX;
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("test.db")).unwrap();
    let table = store.write(|connection| Ok(connection.execute_batch("CREATE TABLE numbers (n INTEGER)")?));
    table.await.unwrap();
    store.keep_reserve();
    let reserve = directory.path().join(reserve::NAME);
    assert!(reserve.exists(), "space is reserved");

    let gate = keep_busy(&store.writer).await;
    let (mut freeing, mut others) = (JoinSet::new(), JoinSet::new());
    for _ in 0..FREEING {
        let (store, reserve) = (store.clone(), reserve.clone());
        // Simulates a disk that has space only while the reserve is released.
        let change = move |connection: &Connection| match reserve.exists() {
            true => Err(Error::Full { path: None, why: None }),
            false => Ok(connection.execute("INSERT INTO numbers VALUES (1)", [])?),
        };
        freeing.spawn(async move { store.write_freeing(change).await });
    }
    until_waiting(&store.writer, FREEING).await;
    for _ in 0..OTHERS {
        let (store, reserve) = (store.clone(), reserve.clone());
        others.spawn(async move { store.write(move |_| Ok(reserve.exists())).await });
    }
    until_waiting(&store.writer, FREEING + OTHERS).await;
    drop(gate);
    while let Some(freed) = freeing.join_next().await {
        assert_eq!(freed.unwrap().unwrap(), 1);
    }
    while let Some(is_kept) = others.join_next().await {
        assert!(is_kept.unwrap().unwrap(), "no other change uses the reserve");
    }
    assert!(reserve.exists(), "space is reserved again");
    let count = "SELECT count(*) FROM numbers";
    let stored =
        store.read(move |connection| Ok(connection.query_row(count, [], |row| row.get::<_, usize>(0))?));
    assert_eq!(stored.await.unwrap(), FREEING);
}

/// When the disk is full for one change, SQLite rolls back all changes in the transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_frees_something_runs_again_after_another_one_ended_the_transaction() {
    let directory = tempfile::tempdir().unwrap();
    let (writer, reader) = writer(directory.path());
    // SQLite raises a smaller limit to the current number of pages.
    let limit = "CREATE TABLE texts (text BLOB); PRAGMA max_page_count = 1";
    writer.run(move |connection| Ok(connection.execute_batch(limit)?)).await.unwrap();
    let gate = keep_busy(&writer).await;
    let freed = tokio::spawn({
        let writer = writer.clone();
        async move {
            let small = "INSERT INTO numbers VALUES (1)";
            writer.run_freeing(move |connection| Ok(connection.execute(small, [])?)).await
        }
    });
    until_waiting(&writer, 1).await;
    let refused = tokio::spawn({
        let writer = writer.clone();
        async move {
            let large = "INSERT INTO texts VALUES (zeroblob(100000))";
            writer.run(move |connection| Ok(connection.execute(large, [])?)).await
        }
    });
    until_waiting(&writer, 2).await;
    drop(gate);
    assert_eq!(freed.await.unwrap().unwrap(), 1);
    assert!(refused.await.unwrap().unwrap_err().is_full_disk());
    assert!(is_stored(&reader, 1));
}

fn insert(connection: &Connection, n: i64) -> Result<usize, Error> {
    Ok(connection.execute("INSERT INTO numbers VALUES (?1)", [n])?)
}

/// Inserts numbers until SQLite is interrupted; SQLite then rolls back the whole transaction.
fn insert_until_interrupted(connection: &Connection) -> Result<usize, Error> {
    let endless = "WITH RECURSIVE counted (n) AS (SELECT 10 UNION ALL SELECT n + 1 FROM counted)
                   INSERT INTO numbers SELECT n FROM counted";
    let mut insert = connection.prepare(endless)?;
    let handle = connection.get_interrupt_handle();
    let (ended, wait) = std::sync::mpsc::sync_channel::<()>(1);
    let interrupter = std::thread::spawn(move || {
        while wait.recv_timeout(Duration::from_millis(1)) == Err(RecvTimeoutError::Timeout) {
            handle.interrupt();
        }
    });
    let inserted = insert.execute([]);
    drop(ended);
    interrupter.join().unwrap();
    Ok(inserted?)
}

/// The rollback has a cause other than a full disk: the reserve stays, and the whole group gets that cause.
#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_group_gets_its_error_and_later_changes_get_a_new_transaction() {
    let directory = tempfile::tempdir().unwrap();
    let (writer, reader) = writer(directory.path());
    let gate = keep_busy(&writer).await;
    let runs = Arc::new(AtomicUsize::new(0));
    let freeing = tokio::spawn({
        let (writer, runs) = (writer.clone(), runs.clone());
        let change = move |connection: &Connection| {
            runs.fetch_add(1, Relaxed);
            insert(connection, 1)
        };
        async move { writer.run_freeing(change).await }
    });
    until_waiting(&writer, 1).await;
    let interrupted = tokio::spawn({
        let writer = writer.clone();
        async move { writer.run(insert_until_interrupted).await }
    });
    until_waiting(&writer, 2).await;
    let next = tokio::spawn({
        let writer = writer.clone();
        async move { writer.run(|connection| insert(connection, 2)).await }
    });
    until_waiting(&writer, 3).await;
    drop(gate);
    for lost in [freeing.await.unwrap(), interrupted.await.unwrap()] {
        let Err(Error::Sqlite { cause, .. }) = &lost else { panic!("{lost:?}") };
        assert_eq!(cause.sqlite_error_code(), Some(ErrorCode::OperationInterrupted));
    }
    assert_eq!(next.await.unwrap().unwrap(), 1);
    assert_eq!(runs.load(Relaxed), 1, "more space would not have helped");
    assert_eq!([1, 2, 10].map(|n| is_stored(&reader, n)), [false, true, false]);
}

/// The erasure is committed nevertheless, so its text must leave the WAL, too.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_whose_caller_left_truncates_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lar.db");
    let store = Store::open(&path).unwrap();
    let user = store.owner().await.unwrap();
    let new = NewConversation { title: "wisteria".into(), ..NewConversation::default() };
    let made = store.conversation_create(user, new, None).await.unwrap();
    let owned = store.conversation_get(user, made.id).await.unwrap();
    let is_in_log = || {
        let log = std::fs::read(beside(&path, "-wal")).unwrap();
        log.windows(8).any(|at| at == b"wisteria")
    };
    assert!(is_in_log());

    let gate = keep_busy(&store.writer).await;
    let erasing = tokio::spawn({
        let store = store.clone();
        async move { store.conversation_erase(&owned).await }
    });
    until_waiting(&store.writer, 1).await;
    erasing.abort();
    assert!(erasing.await.unwrap_err().is_cancelled());
    drop(gate);
    let started_at = Instant::now();
    while is_in_log() {
        assert!(started_at.elapsed() < Duration::from_secs(20), "the erased text stays in the WAL");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let found = store.conversation_get(user, made.id).await;
    assert!(matches!(found, Err(Error::NotFound(_))), "{found:?}");
}
