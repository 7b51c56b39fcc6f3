//! A database that was moved to another disk, with a link in its place. SQLite keeps the log beside the link's target, so that
//! is where Lar looks; a log that stayed beside the link is never passed over.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use lar_tests::Lar;
use lar_tests::damage::flip_bit;

use super::damage::count;
use super::lost::lar;
use super::wal::{CONVERSATIONS, MEMORIES, killed};

/// Moves the files of a killed server's database into a new folder `disk`, and links to the database there.
fn moved(data: &Path, disk: &Path, names: &[&str]) -> PathBuf {
    fs::create_dir(disk).unwrap();
    for name in names {
        fs::rename(data.join(name), disk.join(name)).unwrap();
    }
    let _ = fs::remove_file(data.join("lar.db-shm"));
    symlink(disk.join("lar.db"), data.join("lar.db")).unwrap();
    disk.join("lar.db")
}

#[test]
fn the_log_of_a_database_that_is_linked_to_is_checked_where_it_lies() {
    let at = tempfile::tempdir().unwrap();
    let at = at.path().canonicalize().unwrap();
    let data = at.join("data");
    killed(&data);
    let database = moved(&data, &at.join("disk"), &["lar.db", "lar.db-wal"]);
    let log = database.with_file_name("lar.db-wal");
    let whole = fs::read(&log).unwrap();
    flip_bit(&log, whole.len() as u64 / 3, 2);
    let damaged = fs::read(&log).unwrap();
    let (ok, said) = lar(&data, &["serve"]);
    assert!(!ok && said.contains(&format!("{} is damaged", database.display())), "{said}");
    assert!(said.contains("committed transactions are behind that"), "{said}");
    let (ok, said) = lar(&data, &["doctor"]);
    assert!(
        !ok && said.contains("BROKEN  database") && said.contains("write-ahead log is damaged"),
        "{said}"
    );
    let (ok, said) = lar(&data, &["backup", "salvage", at.join("saved").to_str().unwrap()]);
    assert!(ok && said.contains("lar conversations import"), "{said}");
    assert_eq!(fs::read(&log).unwrap(), damaged, "nothing is changed");

    fs::write(&log, whole).unwrap();
    let mut house = Lar::start_on(&data);
    assert_eq!((count(&house, "conversations"), count(&house, "memories")), (CONVERSATIONS, MEMORIES));
    assert!(database.with_file_name("lar.reserve").exists(), "room is kept on the disk of the database");
    assert_eq!(house.stop(), Some(0));

    // The disk is not mounted.
    fs::rename(&database, at.join("elsewhere")).unwrap();
    let what = format!("lar.db is a symbolic link to {}", database.display());
    for command in [vec!["serve"], vec!["migrate"], vec!["doctor"]] {
        let (ok, said) = lar(&data, &command);
        assert!(!ok && said.contains(&what) && said.contains("lar backup restore"), "{command:?}: {said}");
    }
    assert!(!database.exists(), "nothing begins anew there");
}

#[test]
fn a_log_that_stayed_beside_the_link_is_refused_until_it_is_moved() {
    let at = tempfile::tempdir().unwrap();
    let at = at.path().canonicalize().unwrap();
    let data = at.join("data");
    killed(&data);
    let database = moved(&data, &at.join("disk"), &["lar.db"]);
    let (stray, log) = (data.join("lar.db-wal"), database.with_file_name("lar.db-wal"));
    let left = fs::read(&stray).unwrap();
    let step = format!("→ move it there: mv {} {}", stray.display(), log.display());
    let saved = at.join("saved");
    for command in [vec!["serve"], vec!["doctor"], vec!["backup", "salvage", saved.to_str().unwrap()]] {
        let (ok, said) = lar(&data, &command);
        assert!(!ok && said.contains(&step), "{command:?}: {said}");
    }
    assert!(fs::read(&stray).unwrap() == left && !log.exists(), "nothing is changed");
    fs::rename(&stray, &log).unwrap();
    let house = Lar::start_on(&data);
    assert_eq!((count(&house, "conversations"), count(&house, "memories")), (CONVERSATIONS, MEMORIES));
}
