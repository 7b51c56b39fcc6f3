//! The files that a salvage leaves beside the new database: none, unless it is killed; and who removes those.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

use rusqlite::Connection;

use super::{filled, texts};
use crate::Error;
use crate::salvage::{remove_leftovers, salvage};

/// Returns the names of a folder's entries.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_next_salvage_removes_leftovers_of_a_killed_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let original = texts(&path);
    let to = folder.path().join("saved.db");
    for left in ["saved.damaged-copy", "saved.damaged-copy-wal", "saved.unfinished", "saved.new-schema"] {
        fs::write(folder.path().join(left), "left").unwrap();
    }
    fs::write(folder.path().join("saved.toml"), "of somebody else").unwrap();
    salvage(&path, &to).unwrap();
    assert_eq!(names(folder.path()), ["lar.db", "saved.db", "saved.toml"]);
    assert_eq!(texts(&to), original);
    let saved = fs::read(&to).unwrap();
    assert!(matches!(salvage(&path, &to), Err(Error::Backup(_))), "a finished database stays");
    assert_eq!(fs::read(&to).unwrap(), saved);
}

#[test]
fn a_salvage_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lar.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE albums (id INTEGER PRIMARY KEY, title TEXT)").unwrap();
    drop(connection);
    salvage(&path, &folder.path().join("saved.db")).unwrap_err();
    assert_eq!(names(folder.path()), ["lar.db"]);
}

#[test]
fn a_salvage_removes_only_its_own_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let (to, copy) = (folder.path().join("saved.db"), folder.path().join("saved.damaged-copy"));
    let other = folder.path().join("other");
    fs::write(&other, "of somebody else").unwrap();
    symlink(&other, &copy).unwrap();
    assert!(matches!(salvage(&path, &to), Err(Error::Backup(_))), "a link has the name of the copy");
    assert!(copy.is_symlink() && fs::read_to_string(&other).unwrap() == "of somebody else");
    fs::remove_file(&copy).unwrap();

    // The damaged database itself has the name of a working file.
    fs::rename(&path, &copy).unwrap();
    let bytes = fs::read(&copy).unwrap();
    let refused = salvage(&copy, &to).unwrap_err();
    assert!(matches!(&refused, Error::Unusable { path, .. } if *path == copy), "{refused:?}");
    assert_eq!(fs::read(&copy).unwrap(), bytes);
    assert_eq!(names(folder.path()), ["other", "saved.damaged-copy"]);
}

#[test]
fn files_of_a_running_salvage_are_not_leftovers() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let (to, copy) = (folder.path().join("saved.db"), folder.path().join("saved.damaged-copy"));
    let used = File::create(&copy).unwrap();
    used.try_lock().unwrap();
    for refused in [salvage(&path, &to).unwrap_err(), remove_leftovers(&path, &to).unwrap_err()] {
        assert!(matches!(&refused, Error::Unusable { path, .. } if *path == copy), "{refused:?}");
    }
    assert!(copy.exists());
    drop(used);
    remove_leftovers(&path, &to).unwrap();
    assert_eq!(names(folder.path()), ["lar.db"]);
}
