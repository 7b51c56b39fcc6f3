//! The data directory: who may use it, and the secrets in it.

mod lost;
mod private;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use lar_base::files::{KEY_BYTES_MAX, read_small, read_small_text, refuse_special};
use lar_base::{Secret, secret};
use lar_store::{Reserve, Store};
use serde::{Deserialize, Serialize};

pub(crate) use lost::{Loss, newest_backup};
pub(crate) use private::{is_secret, wider_than_owner};

/// A data directory that this process alone serves.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl Drop for DataDir {
    fn drop(&mut self) {
        hand_over(&self.path);
    }
}

/// Whether root uses another's data directory.
pub(crate) fn is_anothers(path: &Path) -> bool {
    let owned = std::fs::metadata(path).is_ok_and(|owner| owner.uid() != 0);
    owned && rustix::process::geteuid().is_root()
}

/// Gives what root made in another's data directory, such as that of the machine's service, to whom the directory belongs.
pub(crate) fn hand_over(path: &Path) {
    let Ok(owner) = std::fs::metadata(path) else { return };
    if !is_anothers(path) {
        return;
    }
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else { continue };
            if found.is_dir() {
                folders.push(entry.path());
            }
            if found.uid() == 0 {
                let given = std::os::unix::fs::lchown(entry.path(), Some(owner.uid()), Some(owner.gid()));
                if let Err(error) = given {
                    tracing::warn!(path = %entry.path().display(), %error, "a file of root's stays root's");
                }
            }
        }
    }
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
    /// When another server has it, or it cannot be written.
    pub(crate) fn lock(path: &Path) -> anyhow::Result<Self> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder
            .create(path)
            .with_context(|| format!("the data directory {} cannot be made", path.display()))?;
        let lock = path.join("lock");
        refuse_special(&lock).with_context(|| format!("{} cannot be locked", lock.display()))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(lock)
            .with_context(|| format!("the data directory {} cannot be written", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {
                private::narrow(path);
                lost::remove_unfinished(path);
                Ok(Self { path: path.to_owned(), _lock: lock })
            }
            Err(std::fs::TryLockError::WouldBlock) => match running(path) {
                Some(server) => bail!(
                    "the data directory {} is served already by process {} at {}",
                    path.display(),
                    server.pid,
                    server.url
                ),
                None => bail!("the data directory {} is in use by another lar", path.display()),
            },
            Err(std::fs::TryLockError::Error(error)) => {
                Err(error).context("the data directory cannot be locked")
            }
        }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("lar.db")
    }

    /// Opens the database, which is made where nothing says that there was one.
    ///
    /// # Errors
    /// When it is lost, damaged, of a newer Lar or cannot be written, with what to do about it.
    pub(crate) fn open_store(&self, loss: Loss) -> anyhow::Result<Store> {
        // Before the database is looked at: that takes room, too.
        Reserve::beside(&self.database()).release_to_start();
        lost::check_database(&self.path, loss)?;
        Store::open(&self.database()).map_err(|error| lost::explained(error, &self.path))
    }

    /// The key under which secrets are hashed, made on first use: `keys` are stored under it.
    ///
    /// # Errors
    /// When it is lost, or cannot be read or written.
    pub(crate) fn pepper(&self, keys: u64, loss: Loss) -> anyhow::Result<Secret> {
        lost::check_secret(&self.path, keys, loss)?;
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

    /// Tells clients where the server is.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn announce(&self, url: &str) -> anyhow::Result<()> {
        let server = ServerFile { url: url.to_owned(), pid: std::process::id() };
        let partial = self.path.join("server.json.new");
        let path = self.path.join("server.json");
        let text = serde_json::to_vec(&server)?;
        let written = new_file(&partial)
            .and_then(|mut file| file.write_all(&text))
            .and_then(|()| std::fs::rename(&partial, &path));
        written.with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Tells clients that there is no server any more.
    pub(crate) fn withdraw(&self) {
        let _ = std::fs::remove_file(self.path.join("server.json"));
    }
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
