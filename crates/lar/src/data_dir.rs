//! The data directory: who may use it, and the secrets in it.

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

/// Lar's own files lie in the data directory and in folders of it, no deeper.
const LINK_DEPTH: usize = 2;

/// A data directory that this process alone serves.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
    /// Of its database, which another data directory may link to.
    _database_lock: Option<File>,
}

impl Drop for DataDir {
    fn drop(&mut self) {
        chown_to_owner(&self.path);
    }
}

/// Whether root uses another's data directory.
pub(crate) fn is_other_users(path: &Path) -> bool {
    let owned = std::fs::metadata(path).is_ok_and(|owner| owner.uid() != 0);
    owned && rustix::process::geteuid().is_root()
}

/// Gives what root made in another's data directory, such as that of the machine's service, to whom the directory belongs.
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
            tracing::warn!(path = %path.display(), %error, "a file of root's stays root's");
        }
    };
    // What lies beside a linked database, and only where that folder is the owner's: a link can lead to a file of root's.
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

/// The linked database of a data directory, where the folder that it lies in is `owner`'s.
fn linked_database_of(data_dir: &Path, owner: u32) -> Option<LinkedDatabase> {
    let linked = LinkedDatabase::at(&data_dir.join("lar.db"))?;
    std::fs::metadata(&linked.folder).is_ok_and(|about| about.uid() == owner).then_some(linked)
}

/// Where the server of a data directory is, for its clients.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ServerFile {
    pub(crate) url: String,
    pub(crate) pid: u32,
}

impl DataDir {
    /// Makes the directory where it is missing and takes its lock.
    ///
    /// # Errors
    /// When another process has it, with who that is and what to do, or it cannot be written.
    pub(crate) fn lock(path: &Path) -> anyhow::Result<Self> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder
            .create(path)
            .with_context(|| format!("the data directory {} cannot be made", path.display()))?;
        refuse_links_to_others(path)?;
        let directory_lock = lock::of_directory(path)?;
        let database_lock = lock::of_database(path)?;
        permissions::restrict(path);
        // Nobody else makes backups here now.
        backup::remove_unfinished_backups(&path.join(backup::FOLDER));
        Ok(Self { path: path.to_owned(), _lock: directory_lock, _database_lock: database_lock })
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("lar.db")
    }

    /// Refuses to replace, as root, a database that a link in another's data directory leads to, unless the folder where it lies
    /// is the data directory's owner's, too: whoever made the link chose the file.
    ///
    /// # Errors
    /// When it lies in somebody else's folder.
    pub(crate) fn refuse_other_users_database(&self) -> anyhow::Result<()> {
        let Some(linked) = LinkedDatabase::at(&self.database()).filter(|_| is_other_users(&self.path)) else {
            return Ok(());
        };
        let owner = std::fs::metadata(&self.path)?.uid();
        if linked_database_of(&self.path, owner).is_none() {
            bail!(
                "{} is a symbolic link to {}, which is in a folder of another user: run this as the data directory's owner",
                self.database().display(),
                linked.database.display()
            );
        }
        Ok(())
    }

    /// Opens the database, which is made where nothing says that there was one.
    ///
    /// # Errors
    /// When it is lost, damaged, of a newer Lar or cannot be written, with what to do about it.
    pub(crate) fn open_store(&self, loss: DataLossPolicy) -> anyhow::Result<Store> {
        // Before the database is looked at: that takes room, too.
        Reserve::beside(&self.database()).release_to_start();
        if loss == DataLossPolicy::Accept {
            self.refuse_other_users_database()?;
        }
        missing_data::check_database(&self.path, loss)?;
        Store::open(&self.database()).map_err(|error| missing_data::explain_open_error(error, &self.path))
    }

    /// Removes what a restore left that was killed: it holds a copy of data and keys. No restore runs while this process has the
    /// lock. It is for a start that found the database and its secret: without these the restore is to be run again.
    pub(crate) fn remove_unfinished_restores(&self) {
        backup::remove_unfinished_restores(&self.path);
    }

    /// The key under which secrets are hashed, made on first use: `keys` are stored under it.
    ///
    /// # Errors
    /// When it is lost, or cannot be read or written.
    pub(crate) fn pepper(&self, keys: u64, loss: DataLossPolicy) -> anyhow::Result<Secret> {
        missing_data::check_secret(&self.path, keys, loss)?;
        self.secret("secret.key", || Secret::new(secret::hex(&secret::random_bytes::<32>())))
    }

    /// The owner's key: the one in `owner.key`; where there is none yet, `given`, else a new one.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub(crate) fn owner_key(&self, given: Option<Secret>) -> anyhow::Result<Secret> {
        if let Some(given) = &given
            && given.expose().len() < 16
        {
            bail!("LAR_OWNER_KEY is shorter than 16 characters");
        }
        let differs = given.as_ref().map(|given| given.expose().to_owned());
        let kept = self.secret("owner.key", || given.unwrap_or_else(lar_server::new_secret))?;
        if differs.is_some_and(|given| given != kept.expose()) {
            tracing::warn!(
                "LAR_OWNER_KEY is not the key in {}/owner.key, which counts; remove that file to have the other one taken",
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

    /// Tells clients where the server is, until what it returns is dropped.
    ///
    /// # Errors
    /// When the file cannot be written.
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

/// Says where the server is. Dropping it tells clients that there is none; that happens before the lock is released, because the
/// next server announces itself at the same place.
#[derive(Debug)]
pub(crate) struct Announcement {
    path: PathBuf,
}

impl Drop for Announcement {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Refuses, as root in another's data directory, every link in it that leads to what is not that user's: whoever made the link
/// would have root read, change or make the file that it leads to.
///
/// # Errors
/// With the link, and whose the directory is.
fn refuse_links_to_others(data_dir: &Path) -> anyhow::Result<()> {
    if !is_other_users(data_dir) {
        return Ok(());
    }
    let owner = std::fs::metadata(data_dir)?.uid();
    match link_to_others(data_dir, owner) {
        Some(link) => bail!(
            "{} is a symbolic link to what is not its user's; root follows none such in another's data directory: run this as the \
             user with the id {owner}, or remove the link",
            link.display()
        ),
        None => Ok(()),
    }
}

/// A link in a data directory, or in a folder of it, that leads to nothing, or to what is not `owner`'s or lies in a folder
/// that is not.
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

/// The server that says it serves this directory; it may have died since.
pub(crate) fn running(path: &Path) -> Option<ServerFile> {
    serde_json::from_slice(&read_small(&path.join("server.json"), KEY_BYTES_MAX).ok()?).ok()
}

/// A new file for its owner alone, in the place of what an earlier process left: writing to that may wait, or reach another
/// file.
fn new_file(path: &Path) -> std::io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Says of each key of a directory that is there and cannot be read why not.
pub(crate) fn unreadable_keys(path: &Path) -> Vec<(&'static str, anyhow::Error)> {
    let keys = ["secret.key", "owner.key"].into_iter();
    keys.filter_map(|name| Some((name, read_secret(&path.join(name)).err()?))).collect()
}

/// The owner's key of a directory, if it has one.
///
/// # Errors
/// When it is there and cannot be read.
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
    fn a_link_to_files_of_another_user_is_found_anywhere() {
        let at = tempfile::tempdir().unwrap();
        let data = at.path().join("data");
        std::fs::create_dir_all(data.join("clients")).unwrap();
        let owner = std::fs::metadata(&data).unwrap().uid();
        std::fs::write(at.path().join("main.db"), b"").unwrap();
        symlink("../main.db", data.join("lar.db")).unwrap();
        assert_eq!(link_to_others(&data, owner), None, "its target and the folder are the owner's");
        assert_eq!(link_to_others(&data, owner + 1), Some(data.join("lar.db")), "they are somebody else's");
        let link = data.join("clients/x");
        symlink("../../missing", &link).unwrap();
        assert_eq!(link_to_others(&data, owner), Some(link), "root would make what is missing");
    }

    #[test]
    fn a_server_is_announced_until_the_announcement_is_dropped() {
        let at = tempfile::tempdir().unwrap();
        let data_dir = DataDir::lock(at.path()).unwrap();
        // Of a server that was killed.
        std::fs::write(at.path().join("server.json"), r#"{"url":"http://127.0.0.1:1","pid":1}"#).unwrap();
        let announcement = data_dir.announce("http://127.0.0.1:5270").unwrap();
        let server = running(at.path()).unwrap();
        assert_eq!((server.url.as_str(), server.pid), ("http://127.0.0.1:5270", std::process::id()));
        drop(announcement);
        assert!(running(at.path()).is_none() && !at.path().join("server.json").exists());
    }

    /// Only root can make what is another's.
    #[test]
    fn files_that_root_created_beside_a_linked_database_get_its_owner() {
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
