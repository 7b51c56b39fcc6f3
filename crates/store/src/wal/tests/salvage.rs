//! A salvage reads a damaged log past the damage, and goes on without a log that cannot be read.

use super::*;
use crate::salvage::salvage;

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
