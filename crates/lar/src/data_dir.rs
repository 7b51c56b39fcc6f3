//! The data directory: its locks, its owner, its permissions, and the secrets in it.

mod announcement;
mod holder;
mod lock;
mod missing_data;
mod ownership;
mod permissions;

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use lar_base::files::{KEY_BYTES_MAX, read_small_text};
use lar_base::{Secret, secret};
use lar_store::{LinkedDatabase, Reserve, Store, backup};

pub(crate) use announcement::{Announcement, ServerFile, running};
pub(crate) use holder::program_of;
pub(crate) use lock::{STEP as FREE_THE_LOCK, find_unlockable, foreign_holders, is_locked};
pub(crate) use missing_data::{DataLossPolicy, newest_backup};
use ownership::linked_database_of;
pub(crate) use ownership::{chown_to_owner, is_other_users};
use permissions::new_file;
pub(crate) use permissions::{find_exposed, is_secret};

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
        ownership::refuse_links_to_others(path)?;
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
        Announcement::write(&self.path, url)
    }
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
    use super::*;

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
}
