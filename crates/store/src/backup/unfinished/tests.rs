//! Leftovers of backups, checks and restores: which are removed, by whom, and which files stay.

use std::os::unix::fs::{MetadataExt as _, symlink};

use super::*;
use crate::Store;
use crate::backup::{SettingsPolicy, copy_to, restore, verify};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// Creates a backup of a new data directory.
fn backup(to: &Path) {
    let made = tempfile::tempdir().unwrap();
    fs::write(made.path().join("secret.key"), "restored").unwrap();
    let store = Store::open(&made.path().join(DATABASE)).unwrap();
    runtime().block_on(store.backup(made.path().to_owned(), to.to_owned())).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// Creates a folder as a killed restore or check leaves it.
fn unpacked(folder: &Path) {
    fs::create_dir_all(folder.join(CLIENTS)).unwrap();
    for name in ["lar.db", "lar.db-wal", "secret.key", "clients/curl"] {
        fs::write(folder.join(name), "left").unwrap();
    }
}

fn step_of(refused: Error, at: &Path) -> String {
    match refused {
        Error::Unusable { path, step, .. } if path == at => step,
        other => panic!("{other:?}"),
    }
}

#[test]
fn leftovers_of_killed_restores_are_removed_and_links_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().canonicalize().unwrap();
    let (data, disk, other) = (at.join("data"), at.join("disk"), at.join("other"));
    for folder in [&data, &disk] {
        fs::create_dir(folder).unwrap();
    }
    unpacked(&other);
    symlink("../disk/main.db", data.join(DATABASE)).unwrap();
    let (here, there) = (data.join(RESTORE_FOLDER), disk.join("main.db.restore.partial"));
    // Also if the link is dangling, as after a restore that was killed between two moves.
    for is_there in [true, false] {
        if is_there {
            fs::write(disk.join("main.db"), "a database").unwrap();
        } else {
            fs::remove_file(disk.join("main.db")).unwrap();
        }
        unpacked(&here);
        unpacked(&there);
        symlink(&other, here.join("link")).unwrap();
        let left = [here.clone(), there.clone()];
        assert_eq!(find_unfinished_restores(&data), left);
        assert_eq!(remove_unfinished_restores(&data), left);
        assert!(!here.exists() && !there.exists());
    }
    symlink(&other, &here).unwrap();
    assert_eq!(find_unfinished_restores(&data), Vec::<PathBuf>::new());
    assert_eq!(remove_unfinished_restores(&data), Vec::<PathBuf>::new());
    assert!(here.is_symlink(), "it is not Lar's");
    let file = at.join("lar.tar");
    backup(&file);
    let step = step_of(restore(&file, &data, SettingsPolicy::Leave).unwrap_err(), &here);
    assert_eq!(step, format!("move it away: mv {0} {0}.away", here.display()));
    assert_eq!(names(&other), [CLIENTS, "lar.db", "lar.db-wal", "secret.key"]);
}

#[test]
fn files_of_a_running_restore_are_not_leftovers() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("lar.tar"));
    fs::create_dir(&data).unwrap();
    backup(&file);
    let running = Folder::of_restore(&data, None).unwrap();
    fs::write(running.path.join(DATABASE), "so far").unwrap();
    assert_eq!(find_unfinished_restores(&data), Vec::<PathBuf>::new());
    assert_eq!(remove_unfinished_restores(&data), Vec::<PathBuf>::new());
    let refused = restore(&file, &data, SettingsPolicy::Leave).unwrap_err();
    assert_eq!(step_of(refused, &running.path), "wait until it ends");
    assert_eq!(fs::read(running.path.join(DATABASE)).unwrap(), b"so far");
    drop(running);
    assert_eq!(names(&data), Vec::<String>::new());

    unpacked(&data.join(RESTORE_FOLDER));
    restore(&file, &data, SettingsPolicy::Leave).unwrap();
    assert_eq!(names(&data), [CLIENTS, DATABASE, "secret.key"]);
}

/// The most readings of the kernel's list of locks. If none shows that the restore waits, it has not started
/// yet.
const READINGS_MAX: usize = 100_000;

/// Returns whether a process waits for a lock on the file or folder with this inode number.
fn is_waited_for(inode: u64) -> bool {
    let file = format!(":{inode} ");
    let list = fs::read_to_string("/proc/locks").unwrap_or_default();
    list.lines().any(|line| line.contains("->") && line.contains(&file))
}

#[test]
fn a_restore_waits_for_a_process_that_looks_for_leftovers() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("lar.tar"));
    backup(&file);
    unpacked(&data.join(RESTORE_FOLDER));
    let looking = File::open(data.join(RESTORE_FOLDER)).unwrap();
    looking.try_lock_shared().unwrap();
    let inode = looking.metadata().unwrap().ino();
    assert_eq!(
        find_unfinished_restores(&data),
        [data.join(RESTORE_FOLDER)],
        "another process looks at it, too"
    );
    let restoring = std::thread::spawn({
        let data = data.clone();
        move || restore(&file, &data, SettingsPolicy::Leave)
    });
    for _ in 0..READINGS_MAX {
        if restoring.is_finished() || is_waited_for(inode) {
            break;
        }
        std::thread::yield_now();
    }
    drop(looking);
    restoring.join().unwrap().unwrap();
    assert_eq!(names(&data), [CLIENTS, DATABASE, "secret.key"]);
}

#[test]
fn only_leftovers_of_killed_backups_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // Killed while copying, while checking the copy, while writing, and after the backup got its name.
    let left = [
        "lar-1.partial",
        "lar-1.db-copy",
        "lar-1.db-copy-journal",
        "lar-2.partial",
        "lar-2.db-copy",
        "lar-2.db-copy-wal",
        "lar-2.db-copy-shm",
        "lar-3.db-copy",
    ];
    let others = ["lar-3.tar", "photos.partial", "photos.db-copy", "lar-3.db-copy.txt", "lar-4", "notes"];
    for name in left.iter().chain(&others) {
        fs::write(at(name), "a file").unwrap();
    }
    unpacked(&at("lar-3.verify-unpacked"));
    // Links, a folder with files of other programs, and a backup in progress.
    symlink("notes", at("lar-5.partial")).unwrap();
    symlink("lar-3.verify-unpacked", at("lar-5.verify-unpacked")).unwrap();
    fs::create_dir(at("lar-6.verify-unpacked")).unwrap();
    fs::write(at("lar-6.verify-unpacked/notes"), "a file").unwrap();
    let running = BackupFiles::make(&at("lar-7.tar")).unwrap();
    fs::write(at("lar-7.db-copy-wal"), "a file").unwrap();

    let mut found = find_unfinished_backups(folder.path());
    let mut expected: Vec<PathBuf> =
        left.iter().chain(&["lar-3.verify-unpacked"]).map(|name| at(name)).collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
    let mut removed = remove_unfinished_backups(folder.path());
    removed.sort_unstable();
    assert_eq!(removed, expected);
    let mut stay: Vec<&str> = others.to_vec();
    stay.extend(["lar-5.partial", "lar-5.verify-unpacked", "lar-6.verify-unpacked"]);
    stay.extend(["lar-7.db-copy", "lar-7.db-copy-wal", "lar-7.partial"]);
    stay.sort_unstable();
    assert_eq!(names(folder.path()), stay);
    drop(running);
    assert_eq!(names(folder.path()).iter().filter(|name| name.starts_with("lar-7")).count(), 0);
}

#[test]
fn a_backup_replaces_leftovers_of_a_killed_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["mine.partial", "mine.db-copy", "mine.db-copy-wal", "lar-1.db-copy"] {
        fs::write(at(name), "left").unwrap();
    }
    backup(&at("mine.tar"));
    assert_eq!(names(folder.path()), ["mine.tar"]);
    verify(&at("mine.tar")).unwrap();

    let running = BackupFiles::make(&at("other.tar")).unwrap();
    let store = Store::open(&at(DATABASE)).unwrap();
    let again = store.backup(folder.path().to_owned(), at("other.tar"));
    let refused = runtime().block_on(again).unwrap_err();
    assert!(
        matches!(&refused, Error::Backup(cause) if cause.kind() == ErrorKind::AlreadyExists),
        "{refused:?}"
    );
    assert!(running.written.path.exists() && running.copy.0.exists());
}

#[test]
fn a_check_removes_leftovers_of_a_killed_check_and_no_other_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (file, checked) = (folder.path().join("mine.tar"), folder.path().join("mine.verify-unpacked"));
    backup(&file);
    unpacked(&checked);
    verify(&file).unwrap();
    assert_eq!(names(folder.path()), ["mine.tar"]);

    unpacked(&checked);
    fs::write(checked.join("photo.jpeg"), "of others").unwrap();
    let step = step_of(verify(&file).unwrap_err(), &checked);
    assert!(step.starts_with("move it away: mv "), "{step}");
    assert_eq!(names(&checked), [CLIENTS, "lar.db", "lar.db-wal", "photo.jpeg", "secret.key"]);
}

#[test]
fn a_copy_of_a_backup_replaces_only_leftovers_of_a_killed_copy() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (from, to, left) = (at("lar-1.tar"), at("mine.tar"), at("mine.tar.partial"));
    backup(&from);
    let whole = fs::read(&from).unwrap();
    fs::write(&left, &whole[..whole.len() / 2]).unwrap();
    copy_to(&from, &to).unwrap();
    assert_eq!(names(folder.path()), ["lar-1.tar", "mine.tar"]);
    assert_eq!(fs::read(&to).unwrap(), whole);

    // Existing files stay: a backup, a file of another program, a link.
    let refused = copy_to(&from, &to).unwrap_err();
    assert!(
        matches!(&refused, Error::Backup(cause) if cause.kind() == ErrorKind::AlreadyExists),
        "{refused:?}"
    );
    fs::remove_file(&to).unwrap();
    fs::write(&left, "a download").unwrap();
    step_of(copy_to(&from, &to).unwrap_err(), &left);
    assert_eq!(fs::read(&left).unwrap(), b"a download");
    fs::remove_file(&left).unwrap();
    fs::write(at("empty"), "").unwrap();
    symlink("empty", &left).unwrap();
    step_of(copy_to(&from, &to).unwrap_err(), &left);
    assert!(left.is_symlink() && fs::read(at("empty")).unwrap().is_empty() && !to.exists());
}
