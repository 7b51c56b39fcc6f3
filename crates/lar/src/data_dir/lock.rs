//! The two locks of a data directory: one on the file `lock` in it, and one on a file beside its database.
//! The second lock is for two data directories that link to one database. Errors name the process that has
//! the lock and the next step.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use lar_base::files::refuse_special;
use lar_store::lock_file;

use super::announcement::{ServerFile, running};
use super::holder::{self, Holder};
use super::ownership::{is_other_users, linked_database_of};

/// The next step if another process has a lock.
pub(crate) const STEP: &str =
    "stop that process, or use another data directory with --data-dir or LAR_DATA_DIR";
/// The next step if that process is a Lar without an announcement. It will soon release the lock, or announce
/// itself.
const WAIT: &str = "try again in a moment, or use another data directory with --data-dir or LAR_DATA_DIR";
/// The name of this program's processes.
const LAR: &str = "lar";
/// The name for a lock holder that the system does not show.
const UNSEEN: &str = "a process that cannot be seen from here";

/// Locks a data directory.
///
/// # Errors
/// If another process has the lock, or the lock file is not a regular file.
pub(super) fn of_directory(data_dir: &Path) -> anyhow::Result<File> {
    let path = directory_file(data_dir);
    refuse_special(&path).with_context(|| cannot_lock(&path))?;
    let file = open(&path)
        .with_context(|| format!("the data directory {} cannot be written", data_dir.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!(directory_in_use(data_dir, holder_of(&file).as_ref(), running(data_dir).as_ref()))
        }
        Err(TryLockError::Error(error)) => Err(error).context("the data directory cannot be locked"),
    }
}

/// Locks the database of a data directory, with a lock file beside the database.
///
/// Returns `None` if the lock file cannot be created: on a read-only or full disk, or in a folder of another
/// user. Also returns `None` if the disk does not support locks.
///
/// # Errors
/// If another process has the lock, or the lock file is not a regular file.
pub(super) fn of_database(data_dir: &Path) -> anyhow::Result<Option<File>> {
    let database = data_dir.join("lar.db");
    let path = lock_file(&database);
    let owner = std::fs::metadata(data_dir)?;
    // Root follows another user's link only if that user also owns the folder of the target.
    if is_other_users(data_dir)
        && database.is_symlink()
        && linked_database_of(data_dir, owner.uid()).is_none()
    {
        return Ok(None);
    }
    check_database_file(&path).with_context(|| cannot_lock(&path))?;
    let is_new = !path.exists();
    let file = match open(&path) {
        Ok(file) => file,
        Err(error) if is_new => {
            let message = "could not create the lock file of the database; continuing without it";
            tracing::debug!(path = %path.display(), %error, "{message}");
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(|| cannot_lock(&path)),
    };
    if is_new && is_other_users(data_dir) {
        // Right away, so that a later server can open the file even if this process is killed.
        std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()))
            .with_context(|| cannot_lock(&path))?;
    }
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => bail!(database_in_use(&path, holder_of(&file).as_ref())),
        Err(TryLockError::Error(error)) => {
            let message = "the disk does not support locks; continuing without a lock on the database";
            tracing::warn!(path = %path.display(), %error, "{message}");
            Ok(None)
        }
    }
}

/// Returns the lock files that `lar serve` cannot lock because they are not regular files, each with its
/// error.
pub(crate) fn find_unlockable(data_dir: &Path) -> Vec<(PathBuf, anyhow::Error)> {
    let (directory, database) = (directory_file(data_dir), lock_file(&data_dir.join("lar.db")));
    let checked = [(refuse_special(&directory), directory), (check_database_file(&database), database)];
    let refused = checked.into_iter().filter_map(|(checked, path)| Some((checked.err()?, path)));
    let named = refused.map(|(error, path)| {
        let error = anyhow::Error::new(error).context(cannot_lock(&path));
        (path, error)
    });
    named.collect()
}

/// Returns the holder of the lock of a data directory, and the holder of the lock of its database. Leaves out
/// the announced server of this directory. A process that holds both locks is only returned as the first.
/// Takes no lock, so that a server can start at the same time.
pub(crate) fn foreign_holders(data_dir: &Path) -> [Option<(PathBuf, Holder)>; 2] {
    let server = running(data_dir).map(|server| server.pid);
    let holder_at = |path: PathBuf| {
        let about = std::fs::metadata(&path).ok().filter(Metadata::is_file)?;
        let holder = holder::find(&about)?;
        Some((path, holder))
    };
    let directory = holder_at(directory_file(data_dir));
    let first = directory.as_ref().map(|(_, holder)| holder.pid);
    let database = holder_at(lock_file(&data_dir.join("lar.db")));
    [
        directory.filter(|(_, holder)| server != Some(holder.pid)),
        database.filter(|(_, holder)| ![server, first].contains(&Some(holder.pid))),
    ]
}

/// Returns whether a process that is visible from here has the lock of a data directory. Takes no lock.
pub(crate) fn is_locked(data_dir: &Path) -> bool {
    let about = std::fs::metadata(directory_file(data_dir)).ok().filter(Metadata::is_file);
    about.is_some_and(|about| holder::find(&about).is_some())
}

fn directory_file(data_dir: &Path) -> PathBuf {
    data_dir.join("lock")
}

fn cannot_lock(path: &Path) -> String {
    format!("{} cannot be locked", path.display())
}

/// Opens a lock file. Creates it if it is missing.
fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
}

/// Refuses everything but a regular file. Also refuses a symbolic link: in a folder of other users it can
/// lead anywhere.
fn check_database_file(path: &Path) -> std::io::Result<()> {
    if path.is_symlink() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is a symbolic link"));
    }
    refuse_special(path)
}

fn holder_of(file: &File) -> Option<Holder> {
    holder::find(&file.metadata().ok()?)
}

/// Returns the error message for a data directory that is in use: the process and the next step.
/// `server.json` may be from a killed server, so `server` counts only if its process is the holder.
fn directory_in_use(data_dir: &Path, holder: Option<&Holder>, server: Option<&ServerFile>) -> String {
    let what = match (holder, server) {
        (Some(holder), Some(server)) if holder.pid == server.pid => {
            format!("is already served by {holder} at {} (`lar open` opens it in a browser)", server.url)
        }
        // Lar takes the lock before it announces itself, and releases it after it withdraws the announcement.
        (Some(holder), _) if holder.program.as_deref() == Some(LAR) => {
            return format!(
                "the data directory {} is in use by {holder}, which is starting, stopping or running a \
                 command; {WAIT}",
                data_dir.display()
            );
        }
        (Some(holder), _) => format!("is in use: its lock is held by {holder}"),
        (None, Some(server)) => format!(
            "is in use: its lock is held by {UNSEEN}, perhaps the server that was process {} at {}",
            server.pid, server.url
        ),
        (None, None) => format!("is in use: its lock is held by {UNSEEN}"),
    };
    format!("the data directory {} {what}; {STEP}", data_dir.display())
}

/// Returns the error message for a database that is in use: the process and the next step.
fn database_in_use(lock: &Path, holder: Option<&Holder>) -> String {
    let holder = holder.map_or_else(|| UNSEEN.to_owned(), ToString::to_string);
    format!(
        "the database {} is in use through another data directory: its lock is held by {holder}; {STEP}",
        lock.with_extension("").display()
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::data_dir::DataDir;

    #[test]
    fn two_data_directories_with_one_database_are_not_used_at_the_same_time() {
        let at = tempfile::tempdir().unwrap();
        let [disk, first, second] = ["disk", "first", "second"].map(|name| at.path().join(name));
        for folder in [&disk, &first, &second] {
            std::fs::create_dir(folder).unwrap();
        }
        std::fs::write(disk.join("lar.db"), b"").unwrap();
        symlink("../disk/lar.db", first.join("lar.db")).unwrap();
        symlink(first.join("lar.db"), second.join("lar.db")).unwrap();
        let holder = format!("its lock is held by process {} (", std::process::id());
        for (one, other) in [(&first, &second), (&second, &first), (&disk, &second), (&second, &disk)] {
            let used = DataDir::lock(one).unwrap();
            let refused = DataDir::lock(other).unwrap_err().to_string();
            assert!(refused.contains("disk/lar.db is in use") && refused.contains(&holder), "{refused}");
            assert!(refused.ends_with(STEP), "{refused}");
            drop(used);
        }
        // A directory with its own database can be locked, and so can one whose link has no target.
        let _used = DataDir::lock(&first).unwrap();
        let own = at.path().join("own");
        drop(DataDir::lock(&own).unwrap());
        symlink("../away/lar.db", own.join("lar.db")).unwrap();
        assert!(DataDir::lock(&own).is_ok());
    }

    #[test]
    fn a_link_instead_of_the_lock_file_of_the_database_is_refused_and_not_followed() {
        let at = tempfile::tempdir().unwrap();
        let data = at.path().join("data");
        std::fs::create_dir(&data).unwrap();
        symlink(at.path().join("elsewhere"), data.join("lar.db.lock")).unwrap();
        let refused = format!("{:#}", DataDir::lock(&data).unwrap_err());
        assert!(refused.contains("lar.db.lock cannot be locked: it is a symbolic link"), "{refused}");
        assert!(!at.path().join("elsewhere").exists());
    }

    #[test]
    fn an_error_names_the_lock_holder_even_if_another_server_was_announced_last() {
        let data = Path::new("/data");
        let holder = |pid, program: &str| Holder { pid, program: Some(program.to_owned()) };
        let server = ServerFile { url: "http://127.0.0.1:5270".into(), pid: 12 };
        let message = |holder: Option<&Holder>, server| directory_in_use(data, holder, server);
        let start = "the data directory /data is";
        assert_eq!(
            message(Some(&holder(12, "lar")), Some(&server)),
            format!(
                "{start} already served by process 12 (lar) at http://127.0.0.1:5270 (`lar open` opens it in a \
                 browser); {STEP}"
            )
        );
        let passing = format!(
            "{start} in use by process 12 (lar), which is starting, stopping or running a command; {WAIT}"
        );
        assert_eq!(message(Some(&holder(12, "lar")), None), passing);
        let dead = ServerFile { url: server.url.clone(), pid: 11 };
        assert_eq!(message(Some(&holder(12, "lar")), Some(&dead)), passing);
        let by_flock = format!("{start} in use: its lock is held by process 123 (flock); {STEP}");
        assert_eq!(message(Some(&holder(123, "flock")), None), by_flock);
        assert_eq!(
            message(Some(&holder(123, "flock")), Some(&server)),
            by_flock,
            "the announced server was killed"
        );
        assert_eq!(message(None, None), format!("{start} in use: its lock is held by {UNSEEN}; {STEP}"));
        let unsure = message(None, Some(&server));
        assert!(
            unsure.contains("perhaps the server that was process 12 at http://127.0.0.1:5270"),
            "{unsure}"
        );
        let database = |holder: Option<&Holder>| database_in_use(Path::new("/disk/lar.db.lock"), holder);
        let start = "the database /disk/lar.db is in use through another data directory: its lock is held by";
        assert_eq!(database(Some(&holder(7, "lar"))), format!("{start} process 7 (lar); {STEP}"));
        assert_eq!(database(None), format!("{start} {UNSEEN}; {STEP}"));
    }
}
