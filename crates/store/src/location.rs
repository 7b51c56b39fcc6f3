//! Finds where a database is, and whether SQLite can open the files beside it.
//!
//! SQLite follows a symbolic link to a database and keeps `-wal` and `-shm` beside the link's target. So
//! every public function of this crate that takes the path of a database resolves it here; all other
//! functions take the resolved path. If `-wal` or `-shm` itself is a link, SQLite does not follow it.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use lar_base::files::kind_of;
use lar_base::shell::quote;
use rustix::fs::{Access, access};
use rustix::io::Errno;

use crate::error::Error;
use crate::sqlite_files::{SHM_SUFFIX, WAL_SUFFIX, beside};

/// Lar's suffix for the file that the server of a database locks.
pub(crate) const LOCK_SUFFIX: &str = ".lock";

/// Resolves a symbolic link at the end of a database's path. A path without a file stays as it is.
///
/// # Errors
/// When a link is dangling or cannot be followed.
pub(crate) fn resolve(database: &Path) -> Result<PathBuf, Error> {
    let cannot = |cause| Error::Open { path: database.to_owned(), cause };
    match fs::symlink_metadata(database) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(database.to_owned()),
        Err(error) => Err(cannot(error)),
        Ok(about) if !about.is_symlink() => Ok(database.to_owned()),
        Ok(_) => match fs::canonicalize(database) {
            Ok(target) => Ok(target),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::Unusable {
                path: database.to_owned(),
                reason: format!("is a symbolic link to {}, which does not exist", target_of(database)),
                step: "mount its disk, put that file back, or restore a backup: lar backup restore FILE"
                    .into(),
            }),
            Err(error) => Err(cannot(error)),
        },
    }
}

/// Like [`resolve`], for a database that is about to be read. Refuses a link that has a write-ahead log
/// beside it.
///
/// # Errors
/// As [`resolve`]; when the target is not a regular file, or a log is beside the link.
pub(crate) fn locate(database: &Path) -> Result<PathBuf, Error> {
    let target = resolve_file(database)?;
    if target != database {
        refuse_stray_log(database, &target)?;
    }
    Ok(target)
}

/// Like [`resolve`], for a file that exists or will be created.
///
/// # Errors
/// As [`resolve`]; when the target is not a regular file.
pub(crate) fn resolve_file(database: &Path) -> Result<PathBuf, Error> {
    let target = resolve(database)?;
    // If this fails, SQLite reports a better error.
    if let Ok(about) = fs::metadata(&target)
        && !about.is_file()
    {
        let what = format!("{}, not a regular file", kind_of(about.file_type()));
        // Of a link, only the link itself should be moved: its target, such as /dev/null, may belong to the
        // system.
        let reason = match target == database {
            true => format!("is {what}"),
            false => format!("is a symbolic link to {}, which is {what}", target.display()),
        };
        let (word, away) = (quote(database), quote(&away_path(database)));
        let step =
            format!("move it away (mv {word} {away}) and restore the database: lar backup restore FILE");
        return Err(Error::Unusable { path: database.to_owned(), reason, step });
    }
    Ok(target)
}

/// Returns the file that the server of the database at `database` locks. It is beside the database itself,
/// even if a link leads there, so that two data directories with the same database share one lock. SQLite's
/// own locks are not enough: they are on the database only while a connection reads or writes.
#[must_use]
pub fn lock_file(database: &Path) -> PathBuf {
    // Opening the database refuses a dangling link and a link to a device.
    beside(&resolve_file(database).unwrap_or_else(|_| database.to_owned()), LOCK_SUFFIX)
}

/// Returns the path to which an operator moves a file out of the way: its own with `.away` appended.
#[must_use]
pub fn away_path(path: &Path) -> PathBuf {
    beside(path, ".away")
}

/// Refuses a log beside a link to a database. It stayed there when the database was moved, and SQLite would
/// not find it.
fn refuse_stray_log(link: &Path, target: &Path) -> Result<(), Error> {
    let (stray, log) = (beside(link, WAL_SUFFIX), beside(target, WAL_SUFFIX));
    let Ok(about) = fs::metadata(&stray) else { return Ok(()) };
    let there = fs::metadata(&log).ok();
    let is_same = there.as_ref().is_some_and(|log| (log.dev(), log.ino()) == (about.dev(), about.ino()));
    if !about.is_file() || about.len() == 0 || is_same {
        return Ok(());
    }
    let step = match there.filter(|log| log.len() > 0) {
        None => format!("move it there: mv {} {}", quote(&stray), quote(&log)),
        Some(_) => format!(
            "{} exists, too: keep copies of both, and leave only the one that belongs to the database",
            log.display()
        ),
    };
    let reason = format!(
        "contains changes of the database {}, but SQLite looks for them only beside that file",
        target.display()
    );
    Err(Error::Unusable { path: stray, reason, step })
}

/// Refuses a `-wal` or `-shm` file that SQLite cannot open.
///
/// # Errors
/// When it is a link, a folder or a special file.
pub(crate) fn refuse_unopenable(database: &Path) -> Result<(), Error> {
    for end in [WAL_SUFFIX, SHM_SUFFIX] {
        let path = beside(database, end);
        let kind = match fs::symlink_metadata(&path) {
            Ok(about) if about.is_file() => continue,
            Ok(about) => about.file_type(),
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(cause) => return Err(Error::Open { path, cause }),
        };
        let (word, away) = (quote(&path), quote(&away_path(&path)));
        let step = match (end, fs::canonicalize(&path)) {
            (WAL_SUFFIX, Ok(target)) if kind.is_symlink() && target.is_file() => {
                format!("put the file itself there: mv {word} {away} && mv {} {word}", quote(&target))
            }
            (WAL_SUFFIX, _) => {
                format!("put the log itself there; without it, its changes are lost: mv {word} {away}")
            }
            _ => format!("move it away; SQLite creates it again: mv {word} {away}"),
        };
        let reason = match kind.is_symlink() {
            true => format!("is a symbolic link to {}, and SQLite does not follow it", target_of(&path)),
            false => format!("is {}, not a regular file", kind_of(kind)),
        };
        return Err(Error::Unusable { path, reason, step });
    }
    Ok(())
}

/// Refuses a database that this user may not write to, or with such files beside it. A read-only disk is no
/// reason to refuse.
///
/// # Errors
/// When a file may not be written.
pub(crate) fn refuse_other_users(database: &Path) -> Result<(), Error> {
    for path in [database.to_owned(), beside(database, WAL_SUFFIX), beside(database, SHM_SUFFIX)] {
        if let Err(cause @ (Errno::ACCESS | Errno::PERM)) = access(&path, Access::WRITE_OK) {
            return Err(Error::Open { path, cause: io::Error::from(cause) });
        }
    }
    Ok(())
}

/// Returns the target of a link, relative to the folder of the link.
fn target_of(link: &Path) -> String {
    let target = fs::read_link(link).unwrap_or_default();
    link.parent().unwrap_or(Path::new("")).join(target).display().to_string()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;
    use crate::salvage::salvage;
    use crate::{Check, Inspection, Reserve, Store, inspect, migrations, wal_copies};

    const USERS: usize = 40;

    /// Creates a database whose changes are only in its log, as after a kill. The files are copies of an open
    /// database's.
    fn killed(folder: &Path) -> PathBuf {
        let (made, left) = (folder.join("made"), folder.join("left"));
        fs::create_dir(&made).unwrap();
        fs::create_dir(&left).unwrap();
        let path = made.join("lar.db");
        let mut connection = crate::connection::connect(&path).unwrap();
        connection.execute_batch("PRAGMA wal_autocheckpoint = 0").unwrap();
        migrations::run(&mut connection, &path).unwrap();
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        for number in 0..USERS {
            let row = (format!("user_{number:032x}"), format!("{number} {}", "x".repeat(400)));
            connection.execute("INSERT INTO users (id, name, created_at) VALUES (?1, ?2, 1)", row).unwrap();
        }
        for end in ["", WAL_SUFFIX] {
            fs::copy(beside(&path, end), beside(&left.join("lar.db"), end)).unwrap();
        }
        left.join("lar.db")
    }

    fn users(store: &Store) -> usize {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let count = store.read(|connection| {
            Ok(connection.query_row("SELECT count(*) FROM users", [], |row| row.get::<_, usize>(0))?)
        });
        runtime.block_on(count).unwrap()
    }

    fn unusable(error: Error) -> (PathBuf, String, String) {
        match error {
            Error::Unusable { path, reason, step } => (path, reason, step),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_log_of_a_linked_database_is_checked_where_sqlite_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let target = killed(folder.path());
        let link = folder.path().join("lar.db");
        symlink("left/lar.db", &link).unwrap();
        let log = beside(&target, WAL_SUFFIX);
        let whole = fs::read(&log).unwrap();
        let mut damaged = whole.clone();
        damaged[whole.len() / 3] ^= 4;
        fs::write(&log, &damaged).unwrap();

        let refused = Store::open(&link).unwrap_err();
        let Error::Corrupt { path: Some(named), faults } = &refused else { panic!("{refused:?}") };
        assert_eq!(named, &target.canonicalize().unwrap());
        assert!(faults[0].contains("committed transactions follow the damage"), "{faults:?}");
        let found = inspect(&link);
        assert!(matches!(found, Inspection::Checked { check: Check::Damaged(_), .. }), "{found:?}");
        assert_eq!(fs::read(&log).unwrap(), damaged, "nothing changed");
        let saved = salvage(&link, &folder.path().join("saved.db")).unwrap();
        assert!(saved.log.transactions > USERS as u64 / 2, "{:?}", saved.log);

        // Only the last transaction is damaged: a copy is kept beside the target, and the link's path finds
        // and removes it.
        let mut incomplete = whole;
        *incomplete.last_mut().unwrap() ^= 1;
        fs::write(&log, &incomplete).unwrap();
        let store = Store::open(&link).unwrap();
        assert_eq!(users(&store), USERS - 1);
        assert_eq!(store.path(), target.canonicalize().unwrap());
        let copies = wal_copies(&link);
        assert!(copies.len() == 1 && copies[0].starts_with(target.parent().unwrap()), "{copies:?}");
        store.keep_reserve();
        assert!(target.with_file_name("lar.reserve").exists() && Reserve::beside(&link).release());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(store.memories_erase(Vec::new(), Vec::new())).unwrap();
        assert_eq!(wal_copies(&link), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_log_left_beside_the_link_is_refused_with_its_correct_path() {
        let folder = tempfile::tempdir().unwrap();
        let target = killed(folder.path()).canonicalize().unwrap();
        let link = folder.path().join("lar.db");
        symlink(&target, &link).unwrap();
        let (stray, log) = (beside(&link, WAL_SUFFIX), beside(&target, WAL_SUFFIX));
        fs::rename(&log, &stray).unwrap();
        let left = fs::read(&stray).unwrap();
        let moves = format!("move it there: mv {} {}", stray.display(), log.display());
        let (path, reason, step) = unusable(Store::open(&link).unwrap_err());
        assert!(path == stray && reason.contains(target.to_str().unwrap()), "{reason}");
        assert_eq!(step, moves);
        let Inspection::Unreadable(error) = inspect(&link) else { panic!("the log is not found") };
        assert_eq!(unusable(error).2, moves);
        assert_eq!(unusable(salvage(&link, &folder.path().join("saved.db")).unwrap_err()).2, moves);
        assert_eq!((fs::read(&stray).unwrap(), log.exists()), (left, false), "nothing changed");

        fs::write(&log, "another").unwrap();
        assert!(unusable(Store::open(&link).unwrap_err()).2.contains("keep copies of both"));
        fs::rename(&stray, &log).unwrap();
        // A link to the same log is fine.
        symlink(&log, &stray).unwrap();
        assert_eq!(users(&Store::open(&link).unwrap()), USERS);
    }

    /// `tests/it/disk/links.rs` runs such steps in a shell.
    #[test]
    fn steps_quote_paths_and_move_files_away_rather_than_remove_them() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap().join("my data");
        fs::create_dir(&at).unwrap();
        let target = killed(&at);
        let link = at.join("lar.db");
        symlink(&target, &link).unwrap();
        let (stray, log) = (beside(&link, WAL_SUFFIX), beside(&target, WAL_SUFFIX));
        let step = || unusable(Store::open(&link).unwrap_err()).2;
        let moved = |from: &Path, to: &Path| format!("mv '{}' '{}'", from.display(), to.display());
        fs::rename(&log, &stray).unwrap();
        assert_eq!(step(), format!("move it there: {}", moved(&stray, &log)));

        let elsewhere = at.join("log of lar");
        fs::rename(&stray, &elsewhere).unwrap();
        symlink(&elsewhere, &log).unwrap();
        let (first, second) = (moved(&log, &away_path(&log)), moved(&elsewhere, &log));
        assert_eq!(step(), format!("put the file itself there: {first} && {second}"));

        fs::remove_file(&log).unwrap();
        fs::create_dir(&log).unwrap();
        assert!(step().ends_with(&format!("its changes are lost: {first}")), "{}", step());
        fs::remove_dir(&log).unwrap();
        let shared = beside(&target, SHM_SUFFIX);
        fs::create_dir(&shared).unwrap();
        assert!(step().ends_with(&moved(&shared, &away_path(&shared))), "{}", step());
    }

    #[test]
    fn a_dangling_link_is_refused_and_its_target_is_not_created() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("lar.db");
        symlink("away/lar.db", &link).unwrap();
        fs::create_dir(folder.path().join("away")).unwrap();
        let expected =
            format!("is a symbolic link to {}/away/lar.db, which does not exist", folder.path().display());
        let (path, reason, _) = unusable(Store::open(&link).unwrap_err());
        assert_eq!((path, reason), (link.clone(), expected));
        assert!(matches!(inspect(&link), Inspection::Unreadable(Error::Unusable { .. })));
        assert_eq!(fs::read_dir(folder.path().join("away")).unwrap().count(), 0);
        assert!(matches!(inspect(&folder.path().join("none.db")), Inspection::Missing));
    }

    /// `Store::open` and `inspect` give the same reason.
    #[test]
    fn links_and_special_files_beside_a_database_are_refused() {
        type Put = fn(&Path);
        let puts: [(&str, Put); 5] = [
            ("is a symbolic link to", |path| {
                let real = path.with_file_name("real");
                fs::rename(path, &real).or_else(|_| fs::write(&real, "")).unwrap();
                symlink(real, path).unwrap();
            }),
            ("is a symbolic link to /nowhere, and", |path| symlink("/nowhere", path).unwrap()),
            ("is a symbolic link to /dev/zero, and", |path| symlink("/dev/zero", path).unwrap()),
            ("is a folder", |path| fs::create_dir(path).unwrap()),
            ("is a pipe", |path| {
                mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
            }),
        ];
        for end in [WAL_SUFFIX, SHM_SUFFIX] {
            for (number, (expected, put)) in puts.iter().enumerate() {
                let folder = tempfile::tempdir().unwrap();
                let database = killed(folder.path());
                let path = beside(&database, end);
                if number > 0 {
                    let _ = fs::remove_file(&path);
                }
                put(&path);
                let (named, reason, step) = unusable(Store::open(&database).unwrap_err());
                assert_eq!(named, path, "{end}");
                assert!(reason.starts_with(expected), "{end}: {reason}");
                assert!(step.contains(path.to_str().unwrap()), "{end}: {step}");
                let Inspection::Unreadable(error) = inspect(&database) else { panic!("{end}: {expected}") };
                assert_eq!(unusable(error).1, reason);
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("lar.db");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert_eq!(unusable(Store::open(&pipe).unwrap_err()).1, "is a pipe, not a regular file");
        assert!(matches!(inspect(&pipe), Inspection::Unreadable(Error::Unusable { .. })));
    }

    /// The step must move the user's own link, not a device of the system.
    #[test]
    fn the_step_for_a_link_to_a_special_file_moves_the_link_only() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("lar.db");
        symlink("/dev/null", &link).unwrap();
        let (path, reason, step) = unusable(Store::open(&link).unwrap_err());
        assert_eq!(path, link);
        assert_eq!(reason, "is a symbolic link to /dev/null, which is a device, not a regular file");
        assert!(step.starts_with(&format!("move it away (mv {0} {0}.away)", link.display())), "{step}");
        assert!(step.ends_with("lar backup restore FILE") && !step.contains("/dev/null"), "{step}");
        let Inspection::Unreadable(error) = inspect(&link) else { panic!("the link is not refused") };
        assert_eq!(unusable(error), (path, reason, step));
    }
}
