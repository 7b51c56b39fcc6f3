//! Where a database lies, whether SQLite opens what lies there, and what else lies beside it that is Lar's.
//!
//! SQLite follows a symbolic link to a database and keeps `-wal` and `-shm` beside the link's target. So every public
//! function of this crate that gets the path of a database resolves it here, and everything else gets the resolved path. In
//! the place of `-wal` and `-shm` SQLite follows no link.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use lar_base::files::kind_of;
use lar_base::shell::quote;
use rustix::fs::{Access, access};
use rustix::io::Errno;

use crate::{Error, beside, reserve};

/// What SQLite calls the log of a database: its name with this end.
pub(crate) const WAL_SUFFIX: &str = "-wal";
/// What Lar calls the file that whoever serves a database locks.
const LOCK_SUFFIX: &str = ".lock";
/// What the folders begin with in which a restore, and a start without a lost database, put what was there before.
pub(crate) const BEFORE_RESTORE: &str = "before-restore";
const BEFORE_START: &str = "before-start";
/// What SQLite calls the file through which connections share the log.
const SHM_SUFFIX: &str = "-shm";

/// The path of a database, with a symbolic link at its end followed. A path where nothing is stays as it is.
///
/// # Errors
/// When a link leads nowhere or cannot be followed.
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
                reason: format!("is a symbolic link to {}, which is not there", target_of(database)),
                step: "mount its disk or bring that file back, or restore a backup: lar backup restore FILE"
                    .into(),
            }),
            Err(error) => Err(cannot(error)),
        },
    }
}

/// As [`resolve`], for a database that is about to be read: nothing that belongs to it lies elsewhere.
///
/// # Errors
/// As [`resolve`]; when it is no regular file; when the database is a link beside which a log lies.
pub(crate) fn locate(database: &Path) -> Result<PathBuf, Error> {
    let target = resolve_file(database)?;
    if target != database {
        refuse_stray_log(database, &target)?;
    }
    Ok(target)
}

/// As [`resolve`], for a file that is there or is to be made.
///
/// # Errors
/// As [`resolve`]; when it is no regular file.
pub(crate) fn resolve_file(database: &Path) -> Result<PathBuf, Error> {
    let target = resolve(database)?;
    // What cannot be looked at is left to SQLite, which says more.
    if let Ok(about) = fs::metadata(&target)
        && !about.is_file()
    {
        let what = format!("{}, not a regular file", kind_of(about.file_type()));
        // Where it is a link, that is what is to be moved: what it leads to, such as /dev/null, is the system's.
        let reason = match target == database {
            true => format!("is {what}"),
            false => format!("is a symbolic link to {}, which is {what}", target.display()),
        };
        let (word, away) = (quote(database), quote(&away_path(database)));
        let step =
            format!("move it away (mv {word} {away}) and bring the database back: lar backup restore FILE");
        return Err(Error::Unusable { path: database.to_owned(), reason, step });
    }
    Ok(target)
}

/// A database that a symbolic link leads to, and what belongs to it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedDatabase {
    /// The file at the end of the link.
    pub database: PathBuf,
    /// The folder that it is in, which may hold files of others.
    pub folder: PathBuf,
}

impl LinkedDatabase {
    /// Follows the link at `database`; none where there is no link, or none that leads to a file.
    #[must_use]
    pub fn at(database: &Path) -> Option<Self> {
        fs::symlink_metadata(database).ok().filter(fs::Metadata::is_symlink)?;
        let database = fs::canonicalize(database).ok().filter(|target| target.is_file())?;
        Some(Self { folder: database.parent()?.to_owned(), database })
    }

    /// Where SQLite keeps the database's log and the file through which connections share it.
    #[must_use]
    pub fn log_files(&self) -> [PathBuf; 2] {
        [WAL_SUFFIX, SHM_SUFFIX].map(|end| beside(&self.database, end))
    }

    /// The database and the files and folders beside it that only Lar and SQLite make: its logs and their copies, copies from
    /// before a change of the schema, what a restore or a start put aside, and the room that is kept for a full disk.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let name = self.database.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = self.database.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let starts = [
            format!("{name}-"),
            format!("{name}{LOCK_SUFFIX}"),
            format!("{name}.restore."),
            format!("{stem}.before-schema-"),
            format!("{BEFORE_RESTORE}-"),
            format!("{BEFORE_START}-"),
        ];
        let is_ours = |path: &PathBuf| {
            let found = path.file_name().unwrap_or_default().to_string_lossy();
            found == name.as_str()
                || found == reserve::NAME
                || starts.iter().any(|start| found.starts_with(start.as_str()))
        };
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_ours).collect();
        files.sort_unstable();
        files
    }
}

/// The file that whoever serves the database at `database` locks: beside the database, also where a link leads to it, so that
/// two data directories with the same database have the same lock. SQLite's own locks are on the database and are not held
/// while nobody reads or writes.
#[must_use]
pub fn lock_file(database: &Path) -> PathBuf {
    // A link that leads nowhere, or to a device, is refused when the database is opened.
    beside(&resolve_file(database).unwrap_or_else(|_| database.to_owned()), LOCK_SUFFIX)
}

/// The path that a file gets which a person moves out of the way: its own with `.away` appended.
#[must_use]
pub fn away_path(path: &Path) -> PathBuf {
    beside(path, ".away")
}

/// Refuses a log beside a link to a database: it was left there when the database was moved, and SQLite would not find it.
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
            "{} is there, too: keep copies of both, and leave only the one that belongs to the database",
            log.display()
        ),
    };
    let reason = format!(
        "has changes of the database {}, and SQLite looks for them beside that file only",
        target.display()
    );
    Err(Error::Unusable { path: stray, reason, step })
}

/// Refuses what SQLite does not open in the place of the files that it keeps beside a database.
///
/// # Errors
/// When a link, a folder or a special file is there.
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
                format!("put the log itself there; if there is none, its changes are lost: mv {word} {away}")
            }
            _ => format!("move it away, SQLite makes it anew: mv {word} {away}"),
        };
        let reason = match kind.is_symlink() {
            true => format!("is a symbolic link to {}, and SQLite follows none there", target_of(&path)),
            false => format!("is {}, not a regular file", kind_of(kind)),
        };
        return Err(Error::Unusable { path, reason, step });
    }
    Ok(())
}

/// Refuses a database, and files beside it, that this user may not write to. On a disk that is only read it says nothing.
///
/// # Errors
/// When one may not be written.
pub(crate) fn refuse_other_users(database: &Path) -> Result<(), Error> {
    for path in [database.to_owned(), beside(database, WAL_SUFFIX), beside(database, SHM_SUFFIX)] {
        if let Err(cause @ (Errno::ACCESS | Errno::PERM)) = access(&path, Access::WRITE_OK) {
            return Err(Error::Open { path, cause: io::Error::from(cause) });
        }
    }
    Ok(())
}

/// What a link names, from the folder that it is in.
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

    /// A database whose changes are in its log, as a killed server leaves it: the files are copies.
    fn killed(folder: &Path) -> PathBuf {
        let (made, left) = (folder.join("made"), folder.join("left"));
        fs::create_dir(&made).unwrap();
        fs::create_dir(&left).unwrap();
        let path = made.join("lar.db");
        let mut connection = crate::connect(&path).unwrap();
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
        assert!(faults[0].contains("committed transactions are behind that"), "{faults:?}");
        let found = inspect(&link);
        assert!(matches!(found, Inspection::Checked { check: Check::Damaged(_), .. }), "{found:?}");
        assert_eq!(fs::read(&log).unwrap(), damaged, "nothing is changed");
        let saved = salvage(&link, &folder.path().join("saved.db")).unwrap();
        assert!(saved.log.transactions > USERS as u64 / 2, "{:?}", saved.log);

        // Only the last transaction: a copy is kept beside the target, and found and removed by the link's path.
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
    fn a_log_that_stayed_beside_the_link_is_refused_with_where_it_belongs() {
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
        let Inspection::Unreadable(error) = inspect(&link) else { panic!("it is found") };
        assert_eq!(unusable(error).2, moves);
        assert_eq!(unusable(salvage(&link, &folder.path().join("saved.db")).unwrap_err()).2, moves);
        assert_eq!((fs::read(&stray).unwrap(), log.exists()), (left, false), "nothing is changed");

        fs::write(&log, "another").unwrap();
        assert!(unusable(Store::open(&link).unwrap_err()).2.contains("keep copies of both"));
        fs::rename(&stray, &log).unwrap();
        // A link to the same log is no other log.
        symlink(&log, &stray).unwrap();
        assert_eq!(users(&Store::open(&link).unwrap()), USERS);
    }

    /// `tests/it/disk/links.rs` has a shell run such steps.
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
    fn only_files_of_a_linked_database_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        let (disk, data) = (at.join("disk"), at.join("data"));
        for folder in [&disk, &data, &disk.join("before-restore-20261129T060430000Z")] {
            fs::create_dir(folder).unwrap();
        }
        let (ours, theirs) = (
            [
                "lar.before-schema-9.db",
                "lar.db",
                "lar.db-shm",
                "lar.db-wal",
                "lar.db-wal.aside-1-00",
                "lar.db.lock",
                "lar.reserve",
            ],
            ["lar.db2", "lar.reserve2", "other.db", "other.db-wal", "before-noon"],
        );
        for name in ours.iter().chain(&theirs) {
            fs::write(disk.join(name), "").unwrap();
        }
        let link = data.join("lar.db");
        assert_eq!(LinkedDatabase::at(&link), None);
        symlink("../disk/lar.db", &link).unwrap();
        let linked = LinkedDatabase::at(&link).unwrap();
        assert_eq!((&linked.database, &linked.folder), (&disk.join("lar.db"), &disk));
        let mut expected: Vec<PathBuf> = ours.iter().map(|name| disk.join(name)).collect();
        expected.insert(0, disk.join("before-restore-20261129T060430000Z"));
        assert_eq!(linked.files(), expected);
        assert_eq!(lock_file(&link), lock_file(&disk.join("lar.db")), "both ways to it have one lock");
        assert_eq!(LinkedDatabase::at(&disk.join("lar.db")), None, "that is no link");
        let device = data.join("device.db");
        symlink("/dev/zero", &device).unwrap();
        assert_eq!(lock_file(&device), data.join("device.db.lock"), "nothing is made beside a device");
    }

    #[test]
    fn a_link_that_leads_nowhere_is_refused_and_nothing_is_made_there() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("lar.db");
        symlink("away/lar.db", &link).unwrap();
        fs::create_dir(folder.path().join("away")).unwrap();
        let expected =
            format!("is a symbolic link to {}/away/lar.db, which is not there", folder.path().display());
        let (path, reason, _) = unusable(Store::open(&link).unwrap_err());
        assert_eq!((path, reason), (link.clone(), expected));
        assert!(matches!(inspect(&link), Inspection::Unreadable(Error::Unusable { .. })));
        assert_eq!(fs::read_dir(folder.path().join("away")).unwrap().count(), 0);
        assert!(matches!(inspect(&folder.path().join("none.db")), Inspection::Missing));
    }

    /// What SQLite does not open beside a database is refused with its reason, and an inspection finds it, too.
    #[test]
    fn links_and_special_files_beside_a_database_are_refused_and_found() {
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

    /// Whoever follows the step moves their own link, and not a device of the system.
    #[test]
    fn a_link_to_a_special_file_is_what_the_step_moves_away() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("lar.db");
        symlink("/dev/null", &link).unwrap();
        let (path, reason, step) = unusable(Store::open(&link).unwrap_err());
        assert_eq!(path, link);
        assert_eq!(reason, "is a symbolic link to /dev/null, which is a device, not a regular file");
        assert!(step.starts_with(&format!("move it away (mv {0} {0}.away)", link.display())), "{step}");
        assert!(step.ends_with("lar backup restore FILE") && !step.contains("/dev/null"), "{step}");
        let Inspection::Unreadable(error) = inspect(&link) else { panic!("it is found") };
        assert_eq!(unusable(error), (path, reason, step));
    }
}
