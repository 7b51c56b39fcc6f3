//! Where a restore puts the backup and the previous files, and what it leaves if it fails.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;
use crate::Store;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// Creates a backup of a new data directory with a key and a client.
fn backup(at: &Path) -> PathBuf {
    let (made, file) = (at.join("made"), at.join("lar.tar"));
    fs::create_dir_all(made.join(CLIENTS)).unwrap();
    fs::write(made.join("secret.key"), "restored").unwrap();
    fs::write(made.join(CLIENTS).join("curl"), "a client").unwrap();
    let store = Store::open(&made.join(DATABASE)).unwrap();
    runtime().block_on(store.backup(made, file.clone())).unwrap();
    file
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_linked_database_is_restored_at_its_target_and_the_link_stays() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().canonicalize().unwrap();
    let file = backup(&at);
    let (data, disk) = (at.join("data"), at.join("disk"));
    for folder in [&data, &disk] {
        fs::create_dir(folder).unwrap();
    }
    fs::write(data.join("secret.key"), "old").unwrap();
    for name in ["main.db", "main.db-wal", "main.db-shm"] {
        fs::write(disk.join(name), format!("old {name}")).unwrap();
    }
    fs::write(disk.join("other"), "another's").unwrap();
    symlink("../disk/main.db", data.join(DATABASE)).unwrap();

    let restored = restore(&file, &data, SettingsPolicy::Leave).unwrap();
    assert_eq!(fs::read_link(data.join(DATABASE)).unwrap(), Path::new("../disk/main.db"));
    assert_eq!(restored.database, disk.join("main.db"));
    let (beside, there) = (restored.aside.unwrap(), restored.database_aside.unwrap());
    assert_eq!((beside.parent(), there.parent()), (Some(data.as_path()), Some(disk.as_path())));
    assert_eq!(
        (names(&beside), names(&there)),
        (
            vec!["secret.key".to_owned()],
            vec!["main.db".to_owned(), "main.db-shm".to_owned(), "main.db-wal".to_owned()]
        )
    );
    assert_eq!(fs::read_to_string(there.join("main.db-wal")).unwrap(), "old main.db-wal");
    let aside = there.file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(names(&disk), [aside.clone(), "main.db".into(), "other".into()]);
    assert_eq!(names(&data), [aside, CLIENTS.into(), DATABASE.into(), "secret.key".into()]);
    assert_eq!(fs::read_to_string(data.join("secret.key")).unwrap(), "restored");
    assert_eq!(fs::read_to_string(data.join(CLIENTS).join("curl")).unwrap(), "a client");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        [mode(&there), mode(&disk.join("main.db")), mode(&data.join("secret.key"))],
        [0o700, 0o600, 0o600]
    );
    assert_eq!(Store::open(&data.join(DATABASE)).unwrap().path(), disk.join("main.db"));
}

#[test]
fn a_dangling_link_is_moved_aside_and_keeps_its_target() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().canonicalize().unwrap();
    let file = backup(&at);
    let data = at.join("data");
    fs::create_dir(&data).unwrap();
    symlink("../away/lar.db", data.join(DATABASE)).unwrap();
    let restored = restore(&file, &data, SettingsPolicy::Leave).unwrap();
    assert_eq!(restored.database, data.join(DATABASE));
    assert!(data.join(DATABASE).symlink_metadata().unwrap().is_file());
    let led = fs::read_link(restored.aside.unwrap().join(DATABASE)).unwrap();
    assert_eq!(led, data.join("../away/lar.db"));
}

#[test]
fn a_link_to_a_device_is_refused_and_nothing_is_moved() {
    let folder = tempfile::tempdir().unwrap();
    let file = backup(folder.path());
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    symlink("/dev/zero", data.join(DATABASE)).unwrap();
    let refused = restore(&file, &data, SettingsPolicy::Leave).unwrap_err();
    assert!(matches!(refused, Error::Unusable { .. }), "{refused:?}");
    assert_eq!(names(&data), [DATABASE]);
}

/// The length in bytes of a data directory's path at which a restore fails to move a key aside. The folder
/// for the previous files has a longer name than the folder for unpacking. Linux accepts paths of up to 4095
/// bytes.
const LONG_PATH_BYTES: usize = 4055;

/// Creates a folder whose path has at least that length.
fn make_long_folder(at: &Path) -> PathBuf {
    let mut path = at.to_owned();
    while path.as_os_str().len() < LONG_PATH_BYTES {
        let room = LONG_PATH_BYTES + 8 - path.as_os_str().len() - 1;
        path.push("x".repeat(room.min(100)));
    }
    fs::create_dir_all(&path).unwrap();
    path
}

fn unusable(error: Error) -> (PathBuf, String, String) {
    match error {
        Error::Unusable { path, reason, step } => (path, reason, step),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_restore_that_fails_between_two_moves_moves_everything_back() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().canonicalize().unwrap();
    let file = backup(&at);
    let (data, disk) = (make_long_folder(&at), at.join("disk"));
    fs::create_dir(&disk).unwrap();
    fs::write(data.join("secret.key"), "old key").unwrap();
    for name in ["main.db", "main.db-wal"] {
        fs::write(disk.join(name), format!("old {name}")).unwrap();
    }
    symlink(disk.join("main.db"), data.join(DATABASE)).unwrap();

    let (_, reason, step) = unusable(restore(&file, &data, SettingsPolicy::Leave).unwrap_err());
    assert!(reason.ends_with("; all files were moved back, and nothing changed"), "{reason}");
    assert_eq!(step, format!("fix the cause, and restore again: lar backup restore {}", file.display()));
    assert_eq!(
        (names(&data), names(&disk)),
        (
            vec![DATABASE.to_owned(), "secret.key".to_owned()],
            vec!["main.db".to_owned(), "main.db-wal".to_owned()]
        )
    );
    assert_eq!(fs::read_to_string(data.join(DATABASE)).unwrap(), "old main.db");
    assert_eq!(fs::read_to_string(data.join("secret.key")).unwrap(), "old key");
}

#[test]
fn a_failed_undo_is_reported_and_the_unpacked_backup_stays() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().canonicalize().unwrap();
    let file = backup(&at);
    let data = at.join("data");
    fs::create_dir(&data).unwrap();
    for name in [DATABASE, "secret.key"] {
        fs::write(data.join(name), format!("old {name}")).unwrap();
    }
    let unpacked = Folder::of_restore(&data, None).unwrap();
    let (left, aside) = (unpacked.path.clone(), data.join("before-restore-1"));
    fs::write(left.join(DATABASE), "new").unwrap();
    let mut moves = Moves::default();
    moves.put_aside(&[DATABASE, "secret.key"].map(|name| data.join(name)), &aside).unwrap();
    fs::write(data.join("secret.key"), "made meanwhile").unwrap();
    let busy = Failure::new(&data.join(CLIENTS), "cannot be moved", ErrorKind::ResourceBusy.into());
    let (path, reason, step) =
        unusable(take_back(&busy, moves, vec![unpacked], "lar backup restore lar.tar"));

    assert_eq!(path, data.join(CLIENTS));
    for part in [
        format!(
            "Moving the files back failed, too: {} cannot be moved back to ",
            aside.join("secret.key").display()
        ),
        format!("The previous files that were not moved back are in {}. ", aside.display()),
        format!("the unpacked backup is in {}", left.display()),
    ] {
        assert!(reason.contains(&part), "{part}: {reason}");
    }
    let expected = "if something is mounted there, as in a container, unmount it, and restore again: lar backup restore lar.tar";
    assert_eq!(step, expected);
    // Lar refuses to start: there is a folder of a restore, but no database.
    assert!(!data.join(DATABASE).exists());
    assert_eq!(find_unfinished_restores(&data), [left]);
    restore(&file, &data, SettingsPolicy::Leave).unwrap();
    assert_eq!(fs::read_to_string(data.join("secret.key")).unwrap(), "restored");
    assert_eq!(fs::read_to_string(aside.join(DATABASE)).unwrap(), "old lar.db");
    assert_eq!(find_unfinished_restores(&data), Vec::<PathBuf>::new());
}

#[test]
fn a_restore_after_a_killed_one_writes_to_the_target_of_the_link() {
    // One link, and a link to a link.
    for first in ["../disk/main.db", "../link.db"] {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        let file = backup(&at);
        let (data, disk) = (at.join("data"), at.join("disk"));
        // Killed after the old database and its keys were moved aside.
        let unpacked = [disk.join("main.db.restore.partial"), data.join("restore.partial")];
        for folder in [&data, &disk, &unpacked[0], &unpacked[1], &disk.join("before-restore-1")] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(unpacked[0].join(DATABASE), "left").unwrap();
        fs::write(unpacked[1].join("secret.key"), "left").unwrap();
        symlink("disk/main.db", at.join("link.db")).unwrap();
        symlink(first, data.join(DATABASE)).unwrap();

        // A restore that fails before it unpacks anything changes none of that.
        fs::write(at.join("none.tar"), "no backup").unwrap();
        restore(&at.join("none.tar"), &data, SettingsPolicy::Leave).unwrap_err();
        assert_eq!(find_unfinished_restores(&data), [unpacked[0].clone()], "{first}");

        let restored = restore(&file, &data, SettingsPolicy::Leave).unwrap();
        assert_eq!(restored.database, disk.join("main.db"), "{first}");
        assert_eq!((restored.aside, restored.database_aside), (None, None));
        assert_eq!(fs::read_link(data.join(DATABASE)).unwrap(), Path::new(first));
        assert_eq!(names(&data), [CLIENTS, DATABASE, "secret.key"]);
        assert_eq!(names(&disk), ["before-restore-1", "main.db"]);
        assert_eq!(Store::open(&data.join(DATABASE)).unwrap().path(), disk.join("main.db"));
    }
}

#[test]
fn a_restore_after_a_killed_one_is_refused_while_the_disk_of_the_link_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().canonicalize().unwrap();
    let file = backup(&at);
    let (data, link) = (at.join("data"), at.join("data/lar.db"));
    fs::create_dir_all(data.join("restore.partial")).unwrap();
    fs::write(data.join("restore.partial/secret.key"), "left").unwrap();
    symlink("../away/main.db", &link).unwrap();
    let (path, reason, step) = unusable(restore(&file, &data, SettingsPolicy::Leave).unwrap_err());
    assert_eq!(path, link);
    assert!(
        reason.ends_with("away/main.db, which does not exist, and a restore to it did not complete"),
        "{reason}"
    );
    assert!(step.starts_with("mount its disk and restore again; or, "), "{step}");
    assert_eq!(names(&data), [DATABASE, "restore.partial"]);
    // A restore that was killed while unpacking into the data directory had moved nothing.
    fs::write(data.join("restore.partial/lar.db"), "left").unwrap();
    let restored = restore(&file, &data, SettingsPolicy::Leave).unwrap();
    assert_eq!(restored.database, link);
    assert!(!link.is_symlink());
}

#[test]
fn a_failed_restore_after_a_killed_one_still_blocks_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().canonicalize().unwrap();
    let (data, none) = (at.join("data"), at.join("none.tar"));
    let left = data.join("restore.partial");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join(DATABASE), "left").unwrap();
    fs::write(&none, "no backup").unwrap();
    restore(&none, &data, SettingsPolicy::Leave).unwrap_err();
    assert_eq!(find_unfinished_restores(&data), [left], "a start is still refused");
    // If the database exists, the killed restore had moved nothing.
    fs::write(data.join(DATABASE), "a database").unwrap();
    restore(&none, &data, SettingsPolicy::Leave).unwrap_err();
    assert_eq!(names(&data), [DATABASE]);
    let file = backup(&at);
    restore(&file, &data, SettingsPolicy::Leave).unwrap();
    assert_eq!(find_unfinished_restores(&data), Vec::<PathBuf>::new());
}
