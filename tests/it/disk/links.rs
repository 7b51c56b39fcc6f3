//! A database on another disk, with a symbolic link to it in the data directory. SQLite keeps the log beside
//! the link's target, so Lar looks for it there, and a log that was left beside the link is an error. A
//! restore replaces the target, other users cannot read it, and only one server at a time uses it, through
//! whichever data directory.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use lar_tests::Lar;
use lar_tests::damage::{flip_bit, fold_log};
use lar_tests::offline::lar;
use serde_json::{Value, json};

use super::damage::count;
use super::wal::{CONVERSATIONS, MEMORIES, killed};

/// Moves these files of a database to a new folder `disk`, and puts a link to the database in its old place.
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
fn the_log_of_a_linked_database_is_checked_beside_the_link_target() {
    let at = tempfile::tempdir().unwrap();
    let at = at.path().canonicalize().unwrap();
    let data = at.join("data");
    killed(&data);
    let database = moved(&data, &at.join("disk"), &["lar.db", "lar.db-wal"]);
    let log = database.with_file_name("lar.db-wal");
    let whole = fs::read(&log).unwrap();
    flip_bit(&log, whole.len() as u64 / 3, 2);
    let damaged = fs::read(&log).unwrap();
    let (ok, output) = lar(&data, &["serve"]);
    assert!(!ok && output.contains(&format!("{} is damaged", database.display())), "{output}");
    assert!(output.contains("committed transactions follow the damage"), "{output}");
    let (ok, output) = lar(&data, &["doctor"]);
    assert!(
        !ok && output.contains("BROKEN  database") && output.contains("write-ahead log is damaged"),
        "{output}"
    );
    let (ok, output) = lar(&data, &["backup", "salvage", at.join("saved").to_str().unwrap()]);
    assert!(ok && output.contains("lar conversations import"), "{output}");
    assert_eq!(fs::read(&log).unwrap(), damaged, "nothing is changed");

    fs::write(&log, whole).unwrap();
    let mut server = Lar::start_on(&data);
    assert_eq!((count(&server, "conversations"), count(&server, "memories")), (CONVERSATIONS, MEMORIES));
    assert!(database.with_file_name("lar.reserve").exists(), "the reserve is on the disk of the database");
    assert_eq!(server.stop(), Some(0));

    // The disk is not mounted.
    fs::rename(&database, at.join("elsewhere")).unwrap();
    let what = format!("lar.db is a symbolic link to {}", database.display());
    for command in [vec!["serve"], vec!["migrate"], vec!["doctor"]] {
        let (ok, output) = lar(&data, &command);
        assert!(
            !ok && output.contains(&what) && output.contains("lar backup restore"),
            "{command:?}: {output}"
        );
    }
    assert!(!database.exists(), "no new database is created there");
}

#[test]
fn a_log_left_beside_the_link_is_refused_until_it_is_moved() {
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
        let (ok, output) = lar(&data, &command);
        assert!(!ok && output.contains(&step), "{command:?}: {output}");
    }
    assert!(fs::read(&stray).unwrap() == left && !log.exists(), "nothing is changed");
    fs::rename(&stray, &log).unwrap();
    let server = Lar::start_on(&data);
    assert_eq!((count(&server, "conversations"), count(&server, "memories")), (CONVERSATIONS, MEMORIES));
}

#[test]
fn a_backup_is_restored_to_the_link_target() {
    let at = tempfile::tempdir().unwrap();
    let at = at.path().canonicalize().unwrap();
    let (data, disk) = (at.join("data"), at.join("disk"));
    let mut server = Lar::start_on(&data);
    let made = |server: &Lar, title: &str| {
        assert_eq!(server.post("/lar/v1/conversations", &json!({ "title": title })).status, 201);
    };
    made(&server, "before");
    let backup = server.post("/lar/v1/backups", &Value::Null).json()["path"].as_str().unwrap().to_owned();
    assert_eq!(server.stop(), Some(0));
    fold_log(&data);
    let database = moved(&data, &disk, &["lar.db"]);
    let mut server = Lar::start_on(&data);
    made(&server, "after");
    server.kill();

    let (ok, output) = lar(&data, &["backup", "restore", &backup]);
    assert!(ok && output.contains(&format!("The database is {}.", database.display())), "{output}");
    let there = format!("The previous database is in {}/before-restore-", disk.display());
    assert!(output.contains(&there), "{output}");
    assert_eq!(fs::read_link(data.join("lar.db")).unwrap(), database, "the link stays");
    let aside = fs::read_dir(&disk).unwrap().map(|entry| entry.unwrap().path());
    let aside: Vec<PathBuf> = aside.filter(|path| path.is_dir()).collect();
    assert!(aside.len() == 1 && aside[0].join("lar.db").exists(), "{aside:?}");
    let server = Lar::start_on(&data);
    let titles = server.get("/lar/v1/conversations").body;
    assert!(titles.contains("\"before\"") && !titles.contains("\"after\""), "{titles}");
}

#[test]
fn other_users_cannot_read_a_linked_database() {
    let at = tempfile::tempdir().unwrap();
    let at = at.path().canonicalize().unwrap();
    let data = at.join("data");
    killed(&data);
    let database = moved(&data, &at.join("disk"), &["lar.db", "lar.db-wal"]);
    let log = database.with_file_name("lar.db-wal");
    for path in [&database, &log] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let (_, output) = lar(&data, &["doctor"]);
    for path in [&database, &log] {
        assert!(
            output.contains(&format!("other users can access {} (mode 644)", path.display())),
            "{output}"
        );
        assert!(output.contains(&format!("→ chmod 600 {}", path.display())), "{output}");
        assert_eq!(mode(path), 0o644, "doctor changes nothing");
    }
    let _server = Lar::start_on(&data);
    assert_eq!([mode(&database), mode(&log)], [0o600; 2]);
}

#[test]
fn two_data_directories_linked_to_one_database_are_not_served_together() {
    let at = tempfile::tempdir().unwrap();
    let (data, other) = (at.path().join("data"), at.path().join("other"));
    let mut server = Lar::start_on(&data);
    fs::create_dir(&other).unwrap();
    symlink(data.join("lar.db"), other.join("lar.db")).unwrap();
    let holder = format!("process {} (lar)", server.pid());
    for command in [vec!["serve"], vec!["migrate"]] {
        let (ok, output) = lar(&other, &command);
        let expected =
            format!("lar.db is in use through another data directory: its lock is held by {holder}; stop");
        assert!(!ok && output.contains(&expected), "{command:?}: {output}");
    }
    let lock_line = format!("lar.db.lock is locked by {holder}");
    let (ok, output) = lar(&other, &["doctor"]);
    assert!(!ok && output.contains("BROKEN  lock") && output.contains(&lock_line), "{output}");
    let (_, output) = lar(&data, &["doctor"]);
    assert!(!output.contains("is locked by"), "a lock of its own server is in order: {output}");
    assert_eq!(server.stop(), Some(0));
    let (ok, output) = lar(&other, &["migrate"]);
    assert!(ok, "{output}");
}

/// Runs the command that Lar printed, as a person who pastes it into a shell.
fn follow(output: &str) {
    let step = output.lines().find_map(|line| line.strip_prefix("→ ")).expect("a step is named");
    let command = &step[step.find("mv ").expect("it is a command")..];
    let done = Command::new("sh").args(["-c", command]).current_dir("/").status().unwrap();
    assert!(done.success(), "{command}");
}

/// A printed step acts on the files that it names, whatever characters their names have, and removes none.
#[test]
fn printed_steps_work_when_pasted_into_a_shell() {
    let at = tempfile::tempdir().unwrap();
    let at = at.path().canonicalize().unwrap().join("it's my data; $HOME");
    fs::create_dir(&at).unwrap();
    let data = at.join("data");
    killed(&data);
    let database = moved(&data, &at.join("disk"), &["lar.db"]);
    let log = database.with_file_name("lar.db-wal");
    let (ok, output) = lar(&data, &["migrate"]);
    assert!(!ok, "{output}");
    follow(&output);
    assert!(log.exists() && !data.join("lar.db-wal").exists());

    // The log is a link to the log elsewhere.
    let elsewhere = at.join("the log");
    fs::rename(&log, &elsewhere).unwrap();
    symlink(&elsewhere, &log).unwrap();
    let (ok, output) = lar(&data, &["migrate"]);
    assert!(!ok, "{output}");
    follow(&output);
    assert!(log.symlink_metadata().unwrap().is_file());
    assert!(database.with_file_name("lar.db-wal.away").is_symlink(), "the link is kept");
    let server = Lar::start_on(&data);
    assert_eq!((count(&server, "conversations"), count(&server, "memories")), (CONVERSATIONS, MEMORIES));
}
