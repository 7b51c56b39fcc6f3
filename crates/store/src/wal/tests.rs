//! Logs that SQLite wrote, damaged or interrupted in many ways. Committed transactions after damage are never
//! dropped, and a log that a crash can leave is never refused.

mod erasure;
mod salvage;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::*;
use crate::{Check, Inspection, Reserve, Store, inspect, migrations};

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
        crate::connection::configure(&connection).unwrap();
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
    let mut connection = crate::connection::connect(&path).unwrap();
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
