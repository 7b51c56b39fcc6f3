//! The data directory: its locks, its owner, its permissions, and the secrets in it.

mod holder;
mod lock;
mod missing_data;
mod permissions;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use lar_base::files::{KEY_BYTES_MAX, read_small, read_small_text};
use lar_base::{Secret, secret};
use lar_store::{LinkedDatabase, Reserve, Store, backup};
use serde::{Deserialize, Serialize};

pub(crate) use holder::program_of;
pub(crate) use lock::{STEP as FREE_THE_LOCK, find_unlockable, foreign_holders, is_locked};
pub(crate) use missing_data::{DataLossPolicy, newest_backup};
pub(crate) use permissions::{find_exposed, is_secret};

/// The depth of the search for symbolic links. Lar's files are in the data directory and its folders, not
/// deeper.
const LINK_DEPTH: usize = 2;

/// A locked data directory: only this process uses it.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
    /// The lock of the database, which another data directory may link to.
    _database_lock: Option<File>,
}

impl Drop for DataDir {
    fn drop(&mut self) {
        chown_to_owner(&self.path);
    }
}

/// Returns whether this process is root and the data directory belongs to another user.
pub(crate) fn is_other_users(path: &Path) -> bool {
    let owned = std::fs::metadata(path).is_ok_and(|owner| owner.uid() != 0);
    owned && rustix::process::geteuid().is_root()
}

/// Changes the owner of files that root created in another user's data directory, such as that of the system
/// service, to the owner of the directory.
pub(crate) fn chown_to_owner(path: &Path) {
    let Ok(owner) = std::fs::metadata(path) else { return };
    if !is_other_users(path) {
        return;
    }
    let mut folders = vec![path.to_owned()];
    let give = |path: &Path, found: &std::fs::Metadata| {
        if found.uid() != 0 {
            return;
        }
        if let Err(error) = std::os::unix::fs::lchown(path, Some(owner.uid()), Some(owner.gid())) {
            tracing::warn!(path = %path.display(), %error, "could not change the owner of a file of root");
        }
    };
    // The files beside a linked database, but only in a folder of the same owner: a link can lead to a file
    // of root.
    for path in linked_database_of(path, owner.uid()).iter().flat_map(LinkedDatabase::files) {
        let Ok(found) = std::fs::symlink_metadata(&path) else { continue };
        give(&path, &found);
        if found.is_dir() {
            folders.push(path);
        }
    }
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else { continue };
            if found.is_dir() {
                folders.push(entry.path());
            }
            give(&entry.path(), &found);
        }
    }
}

/// Returns the linked database of a data directory if `owner` owns the folder that contains it.
fn linked_database_of(data_dir: &Path, owner: u32) -> Option<LinkedDatabase> {
    let linked = LinkedDatabase::at(&data_dir.join("lar.db"))?;
    std::fs::metadata(&linked.folder).is_ok_and(|about| about.uid() == owner).then_some(linked)
}

/// The URL and process of the server of a data directory, for its clients.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ServerFile {
    pub(crate) url: String,
    pub(crate) pid: u32,
}

impl DataDir {
    /// Creates the directory if it is missing, and locks it.
    ///
    /// # Errors
    /// If another process has the lock, or the directory cannot be written. The message names the process and
    /// the next step.
    pub(crate) fn lock(path: &Path) -> anyhow::Result<Self> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder
            .create(path)
            .with_context(|| format!("the data directory {} cannot be created", path.display()))?;
        refuse_links_to_others(path)?;
        let directory_lock = lock::of_directory(path)?;
        let database_lock = lock::of_database(path)?;
        permissions::restrict(path);
        // No other process makes backups here while this one has the lock.
        backup::remove_unfinished_backups(&path.join(backup::FOLDER));
        Ok(Self { path: path.to_owned(), _lock: directory_lock, _database_lock: database_lock })
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("lar.db")
    }

    /// As root in another user's data directory, refuses to replace a linked database in a folder of a third
    /// user. The user who created the link could have chosen any file.
    ///
    /// # Errors
    /// If the linked database is in a folder that the owner of the data directory does not own.
    pub(crate) fn refuse_other_users_database(&self) -> anyhow::Result<()> {
        let Some(linked) = LinkedDatabase::at(&self.database()).filter(|_| is_other_users(&self.path)) else {
            return Ok(());
        };
        let owner = std::fs::metadata(&self.path)?.uid();
        if linked_database_of(&self.path, owner).is_none() {
            bail!(
                "{} is a symbolic link to {}, which is in a folder of another user: run this command as the \
                 owner of the data directory",
                self.database().display(),
                linked.database.display()
            );
        }
        Ok(())
    }

    /// Opens the database. Creates it if there is no sign of an earlier database. `lar` is how to call this
    /// program in a shell, for error messages.
    ///
    /// # Errors
    /// If the database is missing, damaged, from a newer Lar, or not writable. The message names the next
    /// step.
    pub(crate) fn open_store(&self, loss: DataLossPolicy, lar: &str) -> anyhow::Result<Store> {
        // Before the check of the database, which needs disk space.
        Reserve::beside(&self.database()).release_to_start();
        if loss == DataLossPolicy::Accept {
            self.refuse_other_users_database()?;
        }
        missing_data::check_database(&self.path, loss, lar)?;
        Store::open(&self.database())
            .map_err(|error| missing_data::explain_open_error(error, &self.path, lar))
    }

    /// Removes the leftovers of a killed restore, which contain a copy of data and keys. No restore runs
    /// while this process has the lock. Call it only after the database and `secret.key` were found:
    /// otherwise the restore must run again.
    pub(crate) fn remove_unfinished_restores(&self) {
        backup::remove_unfinished_restores(&self.path);
    }

    /// Returns the pepper of the hashes of API keys, from `secret.key`. Creates it on first use. `keys` is
    /// the number of keys in the database, `lar` is how to call this program in a shell.
    ///
    /// # Errors
    /// If `secret.key` is missing although there are keys, or if it cannot be read or written.
    pub(crate) fn pepper(&self, keys: u64, loss: DataLossPolicy, lar: &str) -> anyhow::Result<Secret> {
        missing_data::check_secret(&self.path, keys, loss, lar)?;
        self.secret("secret.key", || Secret::new(secret::hex(&secret::random_bytes::<32>())))
    }

    /// Returns the owner's key from `owner.key`. If that file is missing, stores `given`, or a new key if it
    /// is `None`.
    ///
    /// # Errors
    /// If the file cannot be read or written, or `given` is too short.
    pub(crate) fn owner_key(&self, given: Option<Secret>) -> anyhow::Result<Secret> {
        if let Some(given) = &given
            && given.expose().len() < 16
        {
            bail!("LAR_OWNER_KEY is too short: it needs at least 16 characters");
        }
        let differs = given.as_ref().map(|given| given.expose().to_owned());
        let kept = self.secret("owner.key", || given.unwrap_or_else(lar_server::new_secret))?;
        if differs.is_some_and(|given| given != kept.expose()) {
            tracing::warn!(
                "LAR_OWNER_KEY is not the key in {}/owner.key, so it is ignored; remove that file to use \
                 LAR_OWNER_KEY",
                self.path.display()
            );
        }
        Ok(kept)
    }

    fn secret(&self, name: &str, make: impl FnOnce() -> Secret) -> anyhow::Result<Secret> {
        let path = self.path.join(name);
        if let Some(secret) = read_secret(&path)? {
            return Ok(secret);
        }
        let made = make();
        let partial = self.path.join(format!("{name}.new"));
        let mut file =
            new_file(&partial).with_context(|| format!("{} cannot be written", partial.display()))?;
        let written = file
            .write_all(made.expose().as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::rename(&partial, &path));
        written.with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(made)
    }

    /// Announces the URL of the server to clients until the returned value is dropped.
    ///
    /// # Errors
    /// If `server.json` cannot be written.
    pub(crate) fn announce(&self, url: &str) -> anyhow::Result<Announcement> {
        let server = ServerFile { url: url.to_owned(), pid: std::process::id() };
        let partial = self.path.join("server.json.new");
        let path = self.path.join("server.json");
        let text = serde_json::to_vec(&server)?;
        let written = new_file(&partial)
            .and_then(|mut file| file.write_all(&text))
            .and_then(|()| std::fs::rename(&partial, &path));
        written.with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Announcement { path })
    }
}

/// The file `server.json`, which announces the server. Dropping the value removes the file. Drop it before
/// the lock is released: the next server writes the same file.
#[derive(Debug)]
pub(crate) struct Announcement {
    path: PathBuf,
}

impl Drop for Announcement {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// As root in another user's data directory, refuses every symbolic link to files that the owner of the
/// directory does not own. With such a link, that user could make root read, change or create the target.
///
/// # Errors
/// If there is such a link; the message names it and the owner's user id.
fn refuse_links_to_others(data_dir: &Path) -> anyhow::Result<()> {
    if !is_other_users(data_dir) {
        return Ok(());
    }
    let owner = std::fs::metadata(data_dir)?.uid();
    match link_to_others(data_dir, owner) {
        Some(link) => bail!(
            "{} is a symbolic link to a file that the owner of the data directory does not own, and root \
             does not follow such a link: run this command as the user with the id {owner}, or remove the \
             link",
            link.display()
        ),
        None => Ok(()),
    }
}

/// Returns a symbolic link in a data directory or its folders whose target is missing, is not owned by
/// `owner`, or is in a folder that `owner` does not own.
fn link_to_others(data_dir: &Path, owner: u32) -> Option<PathBuf> {
    let is_owners = |path: &Path| std::fs::metadata(path).is_ok_and(|about| about.uid() == owner);
    let leads_to_owners = |link: &Path| {
        let target = std::fs::canonicalize(link);
        target.is_ok_and(|target| is_owners(&target) && target.parent().is_some_and(is_owners))
    };
    let mut folders = vec![(data_dir.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_symlink() && !leads_to_owners(&entry.path()) {
                return Some(entry.path());
            }
            if kind.is_dir() && depth < LINK_DEPTH {
                folders.push((entry.path(), depth + 1));
            }
        }
    }
    None
}

/// Returns the server that `server.json` announces. That server may have been killed.
pub(crate) fn running(path: &Path) -> Option<ServerFile> {
    serde_json::from_slice(&read_small(&path.join("server.json"), KEY_BYTES_MAX).ok()?).ok()
}

/// Creates a file that only its owner can read, and removes any file of that name before. Writing to an
/// existing file could block, or follow a link to another file.
fn new_file(path: &Path) -> std::io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Returns the key files of a directory that exist and cannot be read, each with its error.
pub(crate) fn unreadable_keys(path: &Path) -> Vec<(&'static str, anyhow::Error)> {
    let keys = ["secret.key", "owner.key"].into_iter();
    keys.filter_map(|name| Some((name, read_secret(&path.join(name)).err()?))).collect()
}

/// Returns the owner's key of a directory, if it has one.
///
/// # Errors
/// If `owner.key` exists and cannot be read.
pub(crate) fn owner_key(path: &Path) -> anyhow::Result<Option<Secret>> {
    read_secret(&path.join("owner.key"))
}

fn read_secret(path: &Path) -> anyhow::Result<Option<Secret>> {
    match read_small_text(path, KEY_BYTES_MAX) {
        Ok(text) => {
            let text = text.trim();
            anyhow::ensure!(!text.is_empty(), "{} is empty", path.display());
            Ok(Some(Secret::new(text)))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_to_a_file_of_another_user_is_found_in_folders_too() {
        let at = tempfile::tempdir().unwrap();
        let data = at.path().join("data");
        std::fs::create_dir_all(data.join("clients")).unwrap();
        let owner = std::fs::metadata(&data).unwrap().uid();
        std::fs::write(at.path().join("main.db"), b"").unwrap();
        symlink("../main.db", data.join("lar.db")).unwrap();
        assert_eq!(link_to_others(&data, owner), None, "the owner owns the target and its folder");
        assert_eq!(link_to_others(&data, owner + 1), Some(data.join("lar.db")), "another user owns them");
        let link = data.join("clients/x");
        symlink("../../missing", &link).unwrap();
        assert_eq!(link_to_others(&data, owner), Some(link), "root would create the missing target");
    }

    #[test]
    fn each_data_directory_gets_an_owner_key_of_its_own() {
        let keys = [(); 2].map(|()| {
            let at = tempfile::tempdir().unwrap();
            let created = DataDir::lock(at.path()).unwrap().owner_key(None).unwrap();
            assert_eq!(owner_key(at.path()).unwrap().unwrap().expose(), created.expose(), "it is kept");
            created
        });
        assert_ne!(keys[0].expose(), keys[1].expose());
    }

    #[test]
    fn a_server_is_announced_until_the_announcement_is_dropped() {
        let at = tempfile::tempdir().unwrap();
        let data_dir = DataDir::lock(at.path()).unwrap();
        // The file of a killed server.
        std::fs::write(at.path().join("server.json"), r#"{"url":"http://127.0.0.1:1","pid":1}"#).unwrap();
        let announcement = data_dir.announce("http://127.0.0.1:5270").unwrap();
        let server = running(at.path()).unwrap();
        assert_eq!((server.url.as_str(), server.pid), ("http://127.0.0.1:5270", std::process::id()));
        drop(announcement);
        assert!(running(at.path()).is_none() && !at.path().join("server.json").exists());
    }

    /// Runs as root only: only root can create files of another user.
    #[test]
    fn files_that_root_created_beside_a_linked_database_get_the_owner_of_the_data_directory() {
        const OTHER: u32 = 65534;
        let at = tempfile::tempdir().unwrap();
        let (data, disk) = (at.path().join("data"), at.path().join("disk"));
        for folder in [&data, &disk] {
            std::fs::create_dir(folder).unwrap();
        }
        for name in ["lar.db", "lar.db-wal", "lar.reserve", "photos.db"] {
            std::fs::write(disk.join(name), b"").unwrap();
        }
        symlink("../disk/lar.db", data.join("lar.db")).unwrap();
        for path in [&data, &disk, &disk.join("lar.db")] {
            if std::os::unix::fs::chown(path, Some(OTHER), Some(OTHER)).is_err() {
                return;
            }
        }
        chown_to_owner(&data);
        let owner = |name: &str| std::fs::metadata(disk.join(name)).unwrap().uid();
        assert_eq!(["lar.db-wal", "lar.reserve", "photos.db"].map(owner), [OTHER, OTHER, 0]);
    }
}
