//! The two locks of whoever uses a data directory: one on the file `lock` in it, and one on a file beside its database, for two
//! directories that link to one database. A refusal says which process has the lock, whatever program that is, and what to do.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use lar_base::files::refuse_special;
use lar_store::lock_file;

use super::holder::{self, Holder};
use super::{ServerFile, is_other_users, linked_database_of, running};

/// What to do where another process has a lock.
pub(crate) const STEP: &str =
    "stop that process, or use another data directory with --data-dir or LAR_DATA_DIR";
/// What to do where that process is Lar and is not announced: it lets go of the lock, or can be reached soon.
const WAIT: &str = "try again in a moment, or use another data directory with --data-dir or LAR_DATA_DIR";
/// The name of this program's processes.
const LAR: &str = "lar";
/// Who has a lock where the system does not say it.
const UNSEEN: &str = "a process that cannot be seen from here";

/// Locks a data directory.
///
/// # Errors
/// When another process has its lock, or something else is in the place of the file.
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

/// Locks the database of a data directory, beside which the lock's file lies. Where no such file can be made (a disk that is
/// only read or full, a folder of somebody else's), and where the disk has no locks, there is none: no server can write to that
/// database, or nobody can say.
///
/// # Errors
/// When another process has the lock, or something else is in the place of the file.
pub(super) fn of_database(data_dir: &Path) -> anyhow::Result<Option<File>> {
    let database = data_dir.join("lar.db");
    let path = lock_file(&database);
    let owner = std::fs::metadata(data_dir)?;
    // Root makes no file where another's link leads to, unless that folder is the other's.
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
            tracing::debug!(path = %path.display(), %error, "the database has no lock");
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(|| cannot_lock(&path)),
    };
    if is_new && is_other_users(data_dir) {
        // At once: whoever serves it later must be able to open it, also when this process is killed.
        std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()))
            .with_context(|| cannot_lock(&path))?;
    }
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => bail!(database_in_use(&path, holder_of(&file).as_ref())),
        Err(TryLockError::Error(error)) => {
            tracing::warn!(path = %path.display(), %error, "the database has no lock: its disk has none");
            Ok(None)
        }
    }
}

/// What is in the place of a lock's file and keeps `lar serve` from locking it, with its path.
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

/// Who has the lock of a data directory, and who that of its database, unless it is the server that says it serves this
/// directory. Who has both is named as the holder of the first. This takes no lock, so that a server that starts meanwhile is
/// not refused.
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

/// Whether a process that can be seen from here has the lock of a data directory. This takes no lock.
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

/// Opens a file to be locked, which is made where it is missing.
fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
}

/// Refuses what is not a regular file. A symbolic link is none here: in a folder of others it can lead anywhere.
fn check_database_file(path: &Path) -> std::io::Result<()> {
    if path.is_symlink() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is a symbolic link"));
    }
    refuse_special(path)
}

fn holder_of(file: &File) -> Option<Holder> {
    holder::find(&file.metadata().ok()?)
}

/// Says that a data directory is in use, by whom, and what to do. A `server.json` of a server that was killed says nothing of
/// who has the lock now.
fn directory_in_use(data_dir: &Path, holder: Option<&Holder>, server: Option<&ServerFile>) -> String {
    let what = match (holder, server) {
        (Some(holder), Some(server)) if holder.pid == server.pid => {
            format!("is served already by {holder} at {}", server.url)
        }
        // Lar takes the lock before it announces itself and has it for a while after it took that back.
        (Some(holder), _) if holder.program.as_deref() == Some(LAR) => {
            return format!(
                "the data directory {} is in use by {holder}, which is starting, stopping or at work on it; {WAIT}",
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

/// Says that a database is in use, by whom, and what to do.
fn database_in_use(lock: &Path, holder: Option<&Holder>) -> String {
    let holder = holder.map_or_else(|| UNSEEN.to_owned(), ToString::to_string);
    format!(
        "the database {} is in use outside this data directory: its lock is held by {holder}; {STEP}",
        lock.with_extension("").display()
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::data_dir::DataDir;

    #[test]
    fn two_data_directories_with_one_database_are_not_used_at_once() {
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
        // A directory with a database of its own is in nobody's way, nor is one whose link leads nowhere.
        let _used = DataDir::lock(&first).unwrap();
        let own = at.path().join("own");
        drop(DataDir::lock(&own).unwrap());
        symlink("../away/lar.db", own.join("lar.db")).unwrap();
        assert!(DataDir::lock(&own).is_ok());
    }

    #[test]
    fn a_link_in_the_place_of_the_databases_lock_is_refused_and_not_followed() {
        let at = tempfile::tempdir().unwrap();
        let data = at.path().join("data");
        std::fs::create_dir(&data).unwrap();
        symlink(at.path().join("elsewhere"), data.join("lar.db.lock")).unwrap();
        let refused = format!("{:#}", DataDir::lock(&data).unwrap_err());
        assert!(refused.contains("lar.db.lock cannot be locked: it is a symbolic link"), "{refused}");
        assert!(!at.path().join("elsewhere").exists());
    }

    #[test]
    fn a_refusal_says_who_holds_the_lock_whatever_server_was_announced_last() {
        let data = Path::new("/data");
        let holder = |pid, program: &str| Holder { pid, program: Some(program.to_owned()) };
        let server = ServerFile { url: "http://127.0.0.1:5270".into(), pid: 12 };
        let said = |holder: Option<&Holder>, server| directory_in_use(data, holder, server);
        let start = "the data directory /data is";
        assert_eq!(
            said(Some(&holder(12, "lar")), Some(&server)),
            format!("{start} served already by process 12 (lar) at http://127.0.0.1:5270; {STEP}")
        );
        let passing = format!(
            "{start} in use by process 12 (lar), which is starting, stopping or at work on it; {WAIT}"
        );
        assert_eq!(said(Some(&holder(12, "lar")), None), passing);
        let dead = ServerFile { url: server.url.clone(), pid: 11 };
        assert_eq!(said(Some(&holder(12, "lar")), Some(&dead)), passing);
        let by_flock = format!("{start} in use: its lock is held by process 123 (flock); {STEP}");
        assert_eq!(said(Some(&holder(123, "flock")), None), by_flock);
        assert_eq!(said(Some(&holder(123, "flock")), Some(&server)), by_flock, "that server was killed");
        assert_eq!(said(None, None), format!("{start} in use: its lock is held by {UNSEEN}; {STEP}"));
        let unsure = said(None, Some(&server));
        assert!(
            unsure.contains("perhaps the server that was process 12 at http://127.0.0.1:5270"),
            "{unsure}"
        );
        let database = |holder: Option<&Holder>| database_in_use(Path::new("/disk/lar.db.lock"), holder);
        let start = "the database /disk/lar.db is in use outside this data directory: its lock is held by";
        assert_eq!(database(Some(&holder(7, "lar"))), format!("{start} process 7 (lar); {STEP}"));
        assert_eq!(database(None), format!("{start} {UNSEEN}; {STEP}"));
    }
}
