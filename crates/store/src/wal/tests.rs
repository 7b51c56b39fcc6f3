//! Logs that SQLite wrote, damaged or interrupted in many ways. Committed transactions after damage are never
//! dropped, and a log that a crash can leave is never refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lar_base::{Timestamp, UserId};
use rusqlite::Connection;

use super::*;
use crate::salvage::salvage;
use crate::{
    Check, ConversationPatch, Inspection, NewConversation, OwnedConversation, Reserve, Store, inspect,
    migrations, wal_copies,
};

/// The number of bytes that a disk writes atomically.
const SECTOR_BYTES: usize = 512;
/// The sizes of a log's header, of a frame's header and of a page.
const SIZES: [usize; 3] = [32, 24, 4096];

/// Returns the offset of a frame, counted from 0.
fn frame_at(frame: usize) -> usize {
    SIZES[0] + frame * (SIZES[1] + SIZES[2])
}

/// A database whose log is not checkpointed automatically. Its connection stays open, as in a killed process.
struct Writing {
    path: PathBuf,
    connection: Connection,
    rows: usize,
}

impl Writing {
    fn new(path: PathBuf, page_bytes: usize) -> Self {
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "page_size", page_bytes).unwrap();
        crate::configure(&connection).unwrap();
        connection.execute_batch("PRAGMA wal_autocheckpoint = 0").unwrap();
        connection.execute_batch("CREATE TABLE IF NOT EXISTS notes (n INTEGER PRIMARY KEY, text)").unwrap();
        Self { path, connection, rows: 0 }
    }

    /// Continues in a copy of a database and its log.
    fn copied_from(other: &Self, path: PathBuf) -> Self {
        fs::copy(&other.path, &path).unwrap();
        fs::write(beside(&path, WAL_SUFFIX), other.log()).unwrap();
        Self { rows: other.rows, ..Self::new(path, SIZES[2]) }
    }

    /// Commits one transaction with this many rows of 1,000 letters.
    fn commit(&mut self, rows: usize) {
        self.connection.execute_batch("BEGIN").unwrap();
        for _ in 0..rows {
            let text = format!("{:<1000}", self.rows);
            self.connection.execute("INSERT INTO notes VALUES (?1, ?2)", (self.rows, text)).unwrap();
            self.rows += 1;
        }
        self.connection.execute_batch("COMMIT").unwrap();
    }

    fn log(&self) -> Vec<u8> {
        fs::read(beside(&self.path, WAL_SUFFIX)).unwrap()
    }

    /// Creates the files that a starting process finds, with this log.
    fn left(&self, folder: &Path, log: &[u8]) -> PathBuf {
        fs::create_dir_all(folder).unwrap();
        let path = folder.join("left.db");
        let _ = fs::remove_file(beside(&path, "-shm"));
        fs::copy(&self.path, &path).unwrap();
        fs::write(beside(&path, WAL_SUFFIX), log).unwrap();
        path
    }
}

fn rows(database: &Path) -> usize {
    let connection = Connection::open(database).unwrap();
    connection.query_row("SELECT count(*) FROM notes", [], |row| row.get(0)).unwrap()
}

fn look(database: &Path) -> Verdict {
    Log::read(database, database).and_then(|log| log.verdict()).unwrap()
}

/// Returns the frames of a log, without those in holes.
fn frames_of(database: &Path) -> Vec<frames::Frame> {
    let mut list = Vec::new();
    let log = Log::read(database, database).unwrap();
    let keep = |_, frame: &frames::Frame| {
        list.push(*frame);
        ControlFlow::Continue(())
    };
    log.frames.each(keep).unwrap();
    list
}

/// Returns the number of frames that SQLite accepts.
fn accepted(database: &Path) -> usize {
    Log::read(database, database).unwrap().summary.accepted
}

#[test]
fn intact_logs_are_whole_even_after_reuse() {
    let folder = tempfile::tempdir().unwrap();
    for page_bytes in [512, 4096, 65_536] {
        let mut writing = Writing::new(folder.path().join(format!("{page_bytes}.db")), page_bytes);
        assert_eq!(look(&writing.path), Verdict::Whole);
        for _ in 0..10 {
            writing.commit(3);
            assert_eq!(look(&writing.path), Verdict::Whole, "{page_bytes}");
        }
        assert!(
            frames_of(&writing.path).iter().all(|frame| frame.is_intact && frame.is_current),
            "{page_bytes}"
        );
        let before = writing.log().len();
        writing.connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").unwrap();
        for _ in 0..4 {
            writing.commit(1);
            assert_eq!(look(&writing.path), Verdict::Whole, "{page_bytes}");
        }
        assert_eq!(writing.log().len(), before, "frames of the older generation follow the new ones");
        writing.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        assert_eq!((writing.log().len(), look(&writing.path)), (0, Verdict::Whole));
    }
}

#[test]
fn an_interrupted_last_transaction_is_never_refused() {
    let folder = tempfile::tempdir().unwrap();
    for is_reused in [false, true] {
        let mut writing = Writing::new(folder.path().join(format!("{is_reused}.db")), SIZES[2]);
        if is_reused {
            writing.commit(60);
            writing.connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").unwrap();
        }
        for _ in 0..5 {
            writing.commit(2);
        }
        let (old, synced_rows) = (writing.log(), writing.rows);
        let synced = frame_at(accepted(&writing.path));
        writing.commit(9);
        let new = writing.log();
        let end = frame_at(accepted(&writing.path));
        let judge = |log: &[u8], what: &str| {
            let left = writing.left(folder.path(), log);
            let verdict = look(&left);
            assert!(!matches!(verdict, Verdict::Damaged(_)), "{is_reused} {what}: {verdict:?}");
            let rows = rows(&left);
            assert!(rows == synced_rows || rows == writing.rows, "{is_reused} {what}: {rows}");
        };
        // A kill: the transaction was written up to here.
        for written in (synced..=end).step_by(SECTOR_BYTES) {
            let log = [&new[..written], old.get(written..).unwrap_or_default()].concat();
            judge(&log, &format!("killed at {written}"));
        }
        // A power failure: some sectors were written, in any order; where the file was not extended there are
        // zeros.
        for seed in 1..=200_u64 {
            let mut log = new.clone();
            for (number, sector) in (synced..end).step_by(SECTOR_BYTES).enumerate() {
                let mixed = (seed * 1000 + number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                if mixed >> 40 & 7 < seed % 8 {
                    let sector = sector..(sector + SECTOR_BYTES).min(end);
                    for at in sector {
                        log[at] = old.get(at).copied().unwrap_or(0);
                    }
                }
            }
            judge(&log, &format!("power failed, seed {seed}"));
        }
    }
}

#[test]
fn a_flipped_bit_before_the_last_transaction_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let mut writing = Writing::new(folder.path().join("test.db"), SIZES[2]);
    for rows in 1..12 {
        writing.commit(rows % 4 + 1);
    }
    let before_last = writing.log().len();
    writing.commit(3);
    let log = writing.log();
    let last_page = SIZES[1] + SIZES[2];
    for at in (0..before_last).step_by(61).chain(0..SIZES[0]) {
        let mut damaged = log.clone();
        damaged[at] ^= 1 << (at % 8);
        let left = writing.left(folder.path(), &damaged);
        let Verdict::Damaged(found) = look(&left) else { panic!("a flipped bit at {at} is not found") };
        let frame = at.checked_sub(SIZES[0]).map_or(0, |at| at / last_page + 1);
        assert_eq!((found.frame, found.frames), (frame, (log.len() - SIZES[0]) / last_page), "{at}");
        assert!(found.commits >= 2, "{at}: {found}");
    }
}

#[test]
fn a_flipped_bit_in_the_last_transaction_is_reported_and_the_log_is_copied() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("filled");
    fs::create_dir(&at).unwrap();
    let (path, _connection) = filled(&at, 5);
    let log = fs::read(beside(&path, WAL_SUFFIX)).unwrap();
    let folder = folder.path().join("killed");
    fs::create_dir(&folder).unwrap();
    for round in 0..copies::COPIES_MAX + 2 {
        let mut damaged = log.clone();
        let last = damaged.len() - 100 - round;
        damaged[last] ^= 4;
        let left = folder.join("lar.db");
        let _ = fs::remove_file(beside(&left, "-shm"));
        fs::copy(&path, &left).unwrap();
        fs::write(beside(&left, WAL_SUFFIX), &damaged).unwrap();
        let inspection = inspect(&left);
        assert!(
            matches!(inspection, Inspection::Checked { check: Check::Whole, is_log_incomplete: true, .. }),
            "{inspection:?}"
        );
        let Verdict::Unclear(found) = examine(&left).unwrap() else { panic!("round {round}") };
        keep_copy(&left, &found, &Reserve::beside(&left)).unwrap();
        let copies: BTreeMap<String, Vec<u8>> =
            files(&folder).into_iter().filter(|(name, _)| name.contains(copies::COPY_SUFFIX)).collect();
        assert_eq!(copies.len(), (round + 1).min(copies::COPIES_MAX));
        assert_eq!(copies.last_key_value().unwrap().1, &damaged);
        let users: usize = Connection::open(&left)
            .unwrap()
            .query_row("SELECT count(*) FROM users", [], |row| row.get(0))
            .unwrap();
        assert_eq!(users, 4, "only the last transaction is missing");
    }
    // A store opens although the last transaction is incomplete.
    let left = folder.join("store.db");
    fs::copy(&path, &left).unwrap();
    let mut damaged = log;
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(beside(&left, WAL_SUFFIX), &damaged).unwrap();
    drop(Store::open(&left).unwrap());
    assert!(
        files(&folder).iter().any(|(name, log)| name.starts_with("store.db-wal.aside-") && *log == damaged)
    );
}

#[test]
fn a_damaged_header_is_harmless_if_the_database_has_the_whole_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut writing = Writing::new(folder.path().join("test.db"), SIZES[2]);
    for _ in 0..6 {
        writing.commit(2);
    }
    let damaged = || {
        let mut log = writing.log();
        log[14] ^= 1;
        look(&writing.left(folder.path(), &log))
    };
    assert!(matches!(damaged(), Verdict::Damaged(Break { frame: 0, .. })));
    writing.connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").unwrap();
    assert_eq!(damaged(), Verdict::Whole, "as after a power failure while the header was replaced");
    let noise = writing.left(folder.path(), &[7; 10_000]);
    assert!(matches!(look(&noise), Verdict::Unclear(Break { frame: 0, .. })));
}

/// A commit whose sync fails is rolled back, but its frames stay until others overwrite them.
#[test]
fn frames_of_failed_transactions_are_not_damage() {
    let folder = tempfile::tempdir().unwrap();
    let mut base = Writing::new(folder.path().join("base.db"), SIZES[2]);
    for _ in 0..4 {
        base.commit(2);
    }
    let mut log = Vec::new();
    let mut committed = 0;
    for rows in [40, 20, 1] {
        let mut next = Writing::copied_from(&base, folder.path().join(format!("{rows}.db")));
        next.commit(rows);
        let written = next.log();
        assert_eq!(written[..SIZES[0]], base.log()[..SIZES[0]], "the same generation");
        let longer = log.get(written.len()..).unwrap_or_default().to_vec();
        log = [written, longer].concat();
        committed = next.rows;
    }
    let left = base.left(&folder.path().join("left"), &log);
    let verdict = look(&left);
    assert!(matches!(verdict, Verdict::Unclear(Break { commits: 2, .. })), "{verdict:?}");
    assert_eq!(rows(&left), committed);
}

/// A longer transaction failed, and the power fails while a shorter one overwrites it. The middle of the
/// shorter one may be missing although its end is there, and the end of the longer one follows it.
#[test]
fn a_power_failure_over_a_failed_transaction_is_not_damage() {
    let folder = tempfile::tempdir().unwrap();
    let mut base = Writing::new(folder.path().join("base.db"), SIZES[2]);
    for _ in 0..4 {
        base.commit(2);
    }
    let committed = accepted(&base.path);
    let written = |rows: usize| {
        let mut next = Writing::copied_from(&base, folder.path().join(format!("{rows}.db")));
        next.commit(rows);
        (next.log(), next.rows)
    };
    let ((failed, failed_rows), (last, last_rows)) = (written(40), written(16));
    let mut middle_is_missing = 0;
    for seed in 0..400_u64 {
        let mut log = [&last[..], &failed[last.len()..]].concat();
        for (number, sector) in (frame_at(committed)..last.len()).step_by(SECTOR_BYTES).enumerate() {
            let mixed = (seed * 1000 + number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            if mixed >> 40 & 7 < seed % 8 {
                let sector = sector..(sector + SECTOR_BYTES).min(last.len());
                log[sector.clone()].copy_from_slice(&failed[sector]);
            }
        }
        let left = base.left(&folder.path().join("left"), &log);
        let frames = frames_of(&left);
        let (before, after) = frames.split_at(accepted(&left));
        let commits = after.iter().filter(|frame| frame.is_current && frame.is_commit()).count();
        middle_is_missing += usize::from(!before.last().unwrap().is_commit() && commits == 2);
        let verdict = look(&left);
        assert!(!matches!(verdict, Verdict::Damaged(_)), "seed {seed}: {verdict:?}");
        let rows = rows(&left);
        assert!([base.rows, last_rows, failed_rows].contains(&rows), "seed {seed}: {rows}");
    }
    assert!(middle_is_missing > 20, "{middle_is_missing} logs have a good frame before the bad one");
}

#[test]
fn a_verdict_needs_two_equal_reads_of_an_unchanged_log() {
    let found = |frame| Break { frame, frames: 9, commits: 2 };
    let damaged = |frame| Verdict::Damaged(found(frame));
    let settled = |looks: Vec<(u32, Verdict)>| {
        let mut looks = looks.into_iter().enumerate();
        let mut looked = 0;
        let verdict = settle(
            || {
                let (number, look) = looks.next().expect("no more reads are needed");
                looked = number + 1;
                // A size of 0: the log was truncated while it was read.
                if look.0 == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(look) }
            },
            Duration::ZERO,
        );
        (verdict.unwrap(), looked)
    };
    assert_eq!(settled(vec![(1, Verdict::Whole)]), (Verdict::Whole, 1));
    assert_eq!(settled(vec![(1, damaged(3)), (1, damaged(3))]), (damaged(3), 2));
    assert_eq!(settled(vec![(1, damaged(3)), (2, damaged(3)), (2, Verdict::Whole)]), (Verdict::Whole, 3));
    let unclear = Verdict::Unclear(found(3));
    assert_eq!(
        settled(vec![(1, damaged(3)), (0, damaged(3)), (2, unclear.clone()), (2, unclear.clone())]),
        (unclear, 4)
    );
    // The log is written to before every read.
    let all = |frame: fn(usize) -> usize| {
        (0..LOOKS_MAX).map(|number| (number as u32 + 1, damaged(frame(number)))).collect::<Vec<_>>()
    };
    assert_eq!(settled(all(|number| number)), (Verdict::Whole, LOOKS_MAX), "it is being written");
    assert_eq!(settled(all(|_| 3)), (damaged(3), LOOKS_MAX), "it is damaged");
}

#[test]
fn a_log_that_is_being_written_is_never_called_damaged() {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    const LEAST: usize = 150;
    let folder = tempfile::tempdir().unwrap();
    let mut writing = Writing::new(folder.path().join("test.db"), SIZES[2]);
    let path = writing.path.clone();
    let (looks, mut transactions) = (AtomicUsize::new(0), 0);
    std::thread::scope(|threads| {
        let writer = threads.spawn(|| {
            // Until both threads have done enough, whichever is slower.
            while transactions < LEAST || looks.load(Relaxed) < LEAST {
                writing.commit(transactions % 7 + 1);
                transactions += 1;
                if transactions % 50 == 0 {
                    let mode = if transactions % 100 == 0 { "TRUNCATE" } else { "PASSIVE" };
                    writing.connection.execute_batch(&format!("PRAGMA wal_checkpoint({mode})")).unwrap();
                }
            }
        });
        while !writer.is_finished() {
            let verdict = examine(&path);
            looks.fetch_add(1, Relaxed);
            assert!(matches!(verdict, Ok(Verdict::Whole)), "{verdict:?}");
        }
    });
}

/// Creates a database of Lar with this many users, each in a transaction of its own. The connection keeps its
/// log.
fn filled(folder: &Path, users: usize) -> (PathBuf, Connection) {
    let path = folder.join("lar.db");
    let mut connection = crate::connect(&path).unwrap();
    connection.execute_batch("PRAGMA wal_autocheckpoint = 0").unwrap();
    migrations::run(&mut connection, &path).unwrap();
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    assert_eq!(fs::metadata(beside(&path, WAL_SUFFIX)).unwrap().len(), 0, "the tables are in the database");
    for number in 0..users {
        let row = (format!("user_{number:032x}"), format!("{number} {}", "x".repeat(400)));
        connection.execute("INSERT INTO users (id, name, created_at) VALUES (?1, ?2, 1)", row).unwrap();
    }
    (path, connection)
}

/// Returns every file of a folder, by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

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

/// The log is truncated or replaced between the two reads of a salvage: the copied database keeps its
/// content.
#[test]
fn a_log_that_changes_between_two_reads_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (name, changes) in [("cut", 0), ("shortened", frame_at(1)), ("zeroed", usize::MAX)] {
        let mut writing = Writing::new(folder.path().join(format!("{name}.db")), SIZES[2]);
        writing.commit(4);
        let whole = writing.log();
        let left = writing.left(&folder.path().join(name), &whole);
        let before = fs::read(&left).unwrap();
        let log = Log::read(&left, &left).unwrap();
        let changed = match changes {
            usize::MAX => vec![0; whole.len()],
            length => whole[..length].to_vec(),
        };
        fs::write(beside(&left, WAL_SUFFIX), changed).unwrap();
        let error = log.apply().unwrap_err();
        assert_eq!(error.to_string(), "the write-ahead log changed while it was read", "{name}");
        assert_eq!(fs::read(&left).unwrap(), before, "{name}: no page is written or cut off");

        // One more frame: the pages found before are still there, but nobody knows what was written in
        // between.
        fs::write(beside(&left, WAL_SUFFIX), &whole).unwrap();
        let log = Log::read(&left, &left).unwrap();
        fs::write(beside(&left, WAL_SUFFIX), [&whole[..], &whole[frame_at(0)..frame_at(1)]].concat())
            .unwrap();
        let error = log.apply().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{name}: {error}");
        assert!(fs::metadata(&left).unwrap().len() >= before.len() as u64, "{name}");
    }
}

/// A log that its disk cannot read. On Linux, reading `/proc/self/mem` at 0 fails with EIO, as a bad sector
/// does.
#[test]
fn salvage_continues_without_an_unreadable_log() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("filled");
    fs::create_dir(&at).unwrap();
    let (path, connection) = filled(&at, 7);
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let left = folder.path().join("lar.db");
    fs::copy(&path, &left).unwrap();
    std::os::unix::fs::symlink("/proc/self/mem", beside(&left, WAL_SUFFIX)).unwrap();
    assert!(matches!(examine(&left), Err(Error::Open { .. })), "Lar does not start with it");
    let saved = salvage(&left, &folder.path().join("saved.db")).unwrap();
    let reason = saved.log.unreadable.as_deref().unwrap();
    assert!(reason.contains("Input/output error"), "{reason}");
    assert_eq!((saved.log.transactions, saved.log.skipped_pages), (0, Vec::new()));
    let users = saved.tables.iter().find(|table| table.name == "users").unwrap();
    assert_eq!((users.saved, users.lost), (7, 0));
}

#[test]
fn a_damaged_log_is_refused_unchanged_and_salvage_reads_past_the_damage() {
    const USERS: usize = 60;
    let folder = tempfile::tempdir().unwrap();
    let (path, _connection) = filled(folder.path(), USERS);
    let log = fs::read(beside(&path, WAL_SUFFIX)).unwrap();
    let frames = frames_of(&path);
    let page = SIZES[1];
    let stored_checksum = 16;
    let salt = 8;
    // Each third of the log, and each part of a frame. If only a frame's header is damaged, its page is known
    // to be intact.
    for third in 0..3 {
        for (what, within) in [("page", page + 700), ("checksum", stored_checksum), ("salt", salt)] {
            let frame = frames.len() * third / 3 + 3;
            let at = folder.path().join(format!("{third}-{what}"));
            fs::create_dir(&at).unwrap();
            let left = at.join("lar.db");
            fs::copy(&path, &left).unwrap();
            let mut damaged = log.clone();
            damaged[frame_at(frame) + within] ^= 0x10;
            fs::write(beside(&left, WAL_SUFFIX), &damaged).unwrap();
            let before = files(&at);

            let refused = Store::open(&left).unwrap_err();
            let Error::Corrupt { path: Some(named), faults } = &refused else { panic!("{refused}") };
            assert_eq!(named, &left);
            let commits = frames[frame..].iter().filter(|frame| frame.is_commit()).count();
            let expected = format!(
                "its write-ahead log is damaged at frame {} of {}; {commits} committed transactions follow \
                 the damage",
                frame + 1,
                frames.len()
            );
            assert_eq!(faults, &[expected]);
            let inspection = inspect(&left);
            assert!(
                matches!(inspection, Inspection::Checked { check: Check::Damaged(_), .. }),
                "{inspection:?}"
            );
            assert_eq!(files(&at), before, "{third} {what}: nothing changed");

            let salvaged = salvage(&left, &at.join("saved.db")).unwrap();
            let table = salvaged.tables.iter().find(|table| table.name == "users").unwrap();
            let lost = USERS as u64 - table.saved;
            let is_superseded = frames[frame + 1..].iter().any(|later| later.page == frames[frame].page);
            let is_skipped = what == "page" && !is_superseded;
            let expected = if is_skipped { vec![frames[frame].page] } else { Vec::new() };
            assert_eq!(salvaged.log.skipped_pages, expected, "{third} {what}");
            // A row has 450 bytes: nine fit on a page.
            assert!(lost <= if is_skipped { 9 } else { 0 }, "{third} {what}: {lost} rows are lost");
            let after = files(&at).into_iter().filter(|(name, _)| name != "saved.db").collect();
            assert_eq!(before, after, "{third} {what}: salvage changes nothing");
        }
    }
}

/// A log that was extended to 40 GiB: only its stored part is read.
#[test]
fn holes_in_a_log_cost_neither_time_nor_memory_and_hide_nothing() {
    use std::io::{Seek as _, Write as _};
    use std::os::unix::fs::MetadataExt as _;
    const LONG: u64 = 40 << 30;
    let folder = tempfile::tempdir().unwrap();
    let mut writing = Writing::new(folder.path().join("test.db"), SIZES[2]);
    for rows in 1..12 {
        writing.commit(rows % 4 + 1);
    }
    let log = writing.log();
    let frames = accepted(&writing.path);
    let page = SIZES[1] + SIZES[2];
    let all = (LONG as usize - SIZES[0]) / page;
    // The frames from `from` on follow `hole` frames that are not stored.
    let left = |log: &[u8], from: usize, hole: usize| {
        let left = writing.left(&folder.path().join("left"), &log[..frame_at(from)]);
        let mut file = fs::File::options().write(true).open(beside(&left, WAL_SUFFIX)).unwrap();
        file.seek(io::SeekFrom::Start(frame_at(from + hole) as u64)).unwrap();
        file.write_all(&log[frame_at(from)..]).unwrap();
        file.set_len(LONG).unwrap();
        left
    };
    assert_eq!(look(&left(&log, frames, 0)), Verdict::Whole);
    let mut damaged = log.clone();
    damaged[frame_at(2) + 500] ^= 1;
    let verdict = look(&left(&damaged, frames, 0));
    assert!(matches!(verdict, Verdict::Damaged(Break { frame: 3, .. })), "{verdict:?}");
    // The disk lost the frames in between: the damage is found after the hole.
    let verdict = look(&left(&log, frames / 2, 1_000_000));
    let Verdict::Damaged(found) = &verdict else { panic!("{verdict:?}") };
    assert_eq!((found.frame, found.frames), (frames / 2 + 1, all));
    assert!(found.commits >= 2, "{found:?}");

    // Only a hole: the copy takes no disk space.
    let empty = writing.left(&folder.path().join("left"), &[]);
    fs::File::options().write(true).open(beside(&empty, WAL_SUFFIX)).unwrap().set_len(LONG).unwrap();
    let Ok(Verdict::Unclear(found)) = examine(&empty) else { panic!("nothing of it can be read") };
    assert_eq!((found.frame, found.frames, found.commits), (0, all, 0));
    keep_copy(&empty, &found, &Reserve::beside(&empty)).unwrap();
    let copy = fs::metadata(&find_copies(&empty).unwrap()[0]).unwrap();
    assert!(copy.len() == LONG && copy.blocks() < 64, "{} blocks", copy.blocks());
}

/// Reading a pipe that nobody writes to would block.
#[test]
fn a_log_that_is_not_a_regular_file_is_not_opened() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("filled");
    fs::create_dir(&at).unwrap();
    let (path, connection) = filled(&at, 7);
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    for kind in ["a pipe", "a device", "a folder"] {
        let left = folder.path().join(kind).join("lar.db");
        fs::create_dir(left.parent().unwrap()).unwrap();
        fs::copy(&path, &left).unwrap();
        let log = beside(&left, WAL_SUFFIX);
        match kind {
            "a pipe" => mknodat(CWD, &log, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap(),
            "a device" => std::os::unix::fs::symlink("/dev/zero", &log).unwrap(),
            _ => fs::create_dir(&log).unwrap(),
        }
        assert!(matches!(examine(&left), Err(Error::Open { .. })), "{kind}");
        let saved = salvage(&left, &left.with_file_name("saved.db")).unwrap();
        let reason = saved.log.unreadable.unwrap();
        assert_eq!(reason, format!("it is {kind}, not a regular file"));
        let users = saved.tables.iter().find(|table| table.name == "users").unwrap();
        assert_eq!((users.saved, users.lost), (7, 0), "{kind}");
    }
}
