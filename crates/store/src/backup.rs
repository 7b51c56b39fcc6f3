//! Backups: a tar file with a copy of the database and of the files that it is useless without. A manifest
//! comes first. A backup contains no models and no list of them: a model can be pulled again by its name.
//!
//! The copy is a snapshot of the database, taken while Lar serves it. A backup contains secrets and every
//! memory, so only its owner may read it. Success is reported only after the copy and the file were checked.
//! [`archive`] reads a backup, [`restore()`] replaces a data directory with it, and [`unfinished`] handles
//! leftovers of killed commands.

mod archive;
mod file_name;
mod manifest;
mod moves;
mod restore;
mod unfinished;
pub(crate) mod working_files;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use lar_base::Timestamp;
use lar_base::files::NoRoom;
use rusqlite::{Connection, OpenFlags};

pub use self::archive::{check, verify};
pub use self::file_name::{FOLDER, is_backup, next_path};
pub use self::manifest::{Entry, Manifest};
pub use self::restore::{RestoreReport, SettingsPolicy, restore};
pub use self::unfinished::{
    find_unfinished_backups, find_unfinished_restores, remove_unfinished_backups, remove_unfinished_restores,
};
pub use crate::private_files::write_private;

use self::archive::digest;
use self::manifest::{CLIENTS, CLIENTS_MAX, COMPANION_FILES, DATABASE, FORMAT, MANIFEST, is_known};
use self::unfinished::{BackupFiles, NewFile};
use crate::check::refuse_damaged;
use crate::error::Error;
use crate::store::Store;

impl Store {
    /// Backs up the data directory `folder`, which has this database, to the new file `to`. Checks the copy
    /// of the database as [`verify`] does, and reads the file back. Removes leftovers of killed backups from
    /// the folder of `to`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the database is damaged; when `to` exists or cannot be written; when the
    /// database fails. Then no part of the new backup is left, and other backups are unchanged.
    pub async fn backup(&self, folder: PathBuf, to: PathBuf) -> Result<Manifest, Error> {
        let (database, place) = (self.path().to_owned(), to.clone());
        let work = move || {
            if to.exists() {
                return Err(Error::Backup(ErrorKind::AlreadyExists.into()));
            }
            if let Some(folder) = to.parent() {
                remove_unfinished_backups(folder);
            }
            // Both are created first, so that nobody else can ever read them, and new, so that no other
            // backup uses them.
            let BackupFiles { written, copy } = BackupFiles::make(&to)?;
            let source = Connection::open_with_flags(&database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            // One snapshot for the whole copy: without it, SQLite starts again after each change by another
            // connection.
            let snapshot = source.unchecked_transaction()?;
            snapshot.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
            source.backup("main", &copy.0, None::<fn(_)>)?;
            drop(snapshot);
            let schema = source.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            drop(source);
            refuse_damaged(&copy.0)?;
            let manifest = pack(&folder, &copy.0, schema, &written.file)?;
            archive::check(&written.path)?;
            // The copy is removed first, because the lock of `written` protects it, too.
            drop(copy);
            written.finish(&to)?;
            Ok(manifest)
        };
        let made = tokio::task::spawn_blocking(work).await?;
        made.map_err(|error| self.with_path(full_at(error, &place)))
    }
}

/// Adds the path of the backup `to` to an error that reports a full disk.
fn full_at(error: Error, to: &Path) -> Error {
    match error {
        Error::Backup(cause) => match NoRoom::of(&cause) {
            Some(why) => Error::Full { path: Some(to.to_owned()), why: Some(why) },
            None => Error::Backup(cause),
        },
        error => error,
    }
}

/// Copies the backup `from` to the new file `to`, an absolute path, and checks the copy.
///
/// # Errors
/// When `to` exists or cannot be written; [`Error::Damaged`] when the copy does not match its digests. Then
/// no copy is left.
pub fn copy_to(from: &Path, to: &Path) -> Result<(), Error> {
    let copy = NewFile::for_copy(to)?;
    let copied = File::open(from).and_then(|mut from| io::copy(&mut from, &mut &copy.file));
    copied.map_err(Error::Backup)?;
    check(&copy.path)?;
    copy.finish(to)
}

fn pack(folder: &Path, database: &Path, schema: u32, to: &File) -> Result<Manifest, Error> {
    let mut sources = vec![(DATABASE.to_owned(), database.to_owned())];
    sources.extend(COMPANION_FILES.map(|name| (name.to_owned(), folder.join(name))));
    let clients = folder.join(CLIENTS);
    if clients.is_dir() {
        let mut names: Vec<String> = fs::read_dir(&clients)
            .map_err(Error::Backup)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .map(|name| format!("{CLIENTS}/{name}"))
            .filter(|name| is_known(name))
            .take(CLIENTS_MAX)
            .collect();
        names.sort_unstable();
        sources.extend(names.into_iter().map(|name| (name.clone(), folder.join(name))));
    }
    sources.retain(|(_, path)| path.is_file());
    let mut files = Vec::with_capacity(sources.len());
    for (name, path) in &sources {
        let (bytes, sha256) = digest(&mut File::open(path).map_err(Error::Backup)?)?;
        files.push(Entry { name: name.clone(), bytes, sha256 });
    }
    let version = env!("CARGO_PKG_VERSION").into();
    let manifest =
        Manifest { format: FORMAT, version, schema, created_at: Timestamp::now().to_string(), files };
    let mut archive = tar::Builder::new(to);
    let text = serde_json::to_vec_pretty(&manifest)?;
    append(&mut archive, MANIFEST, text.len() as u64, text.as_slice())?;
    for (entry, (name, path)) in manifest.files.iter().zip(&sources) {
        let file = File::open(path).map_err(Error::Backup)?;
        append(&mut archive, name, entry.bytes, file.take(entry.bytes))?;
    }
    archive.into_inner().map_err(Error::Backup)?;
    Ok(manifest)
}

fn append(
    archive: &mut tar::Builder<&File>,
    name: &str,
    bytes: u64,
    content: impl Read,
) -> Result<(), Error> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_mtime(u64::try_from(Timestamp::now().as_seconds()).unwrap_or_default());
    archive.append_data(&mut header, name, content).map_err(Error::Backup)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use super::*;

    /// The copy takes a hundred steps, and another connection writes during each of them.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_backup_is_a_snapshot_and_finishes_during_writes() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("lar.db")).unwrap();
        let fill = |connection: &Connection| {
            connection.execute_batch("CREATE TABLE filling (bytes BLOB); CREATE TABLE counts (n INTEGER)")?;
            for _ in 0..10_000 {
                connection.execute("INSERT INTO filling VALUES (zeroblob(4000))", [])?;
            }
            Ok(())
        };
        store.write(fill).await.unwrap();
        let is_done = Arc::new(AtomicBool::new(false));
        let writer = tokio::spawn({
            let (store, is_done) = (store.clone(), is_done.clone());
            async move {
                while !is_done.load(Relaxed) {
                    let count = |connection: &Connection| {
                        Ok(connection.execute("INSERT INTO counts VALUES (1)", [])?)
                    };
                    store.write(count).await.unwrap();
                }
            }
        });
        let folder = directory.path().to_owned();
        // Without a snapshot, the backup would end only after the writes end, which is never.
        store.backup(folder.clone(), folder.join("backup.tar")).await.unwrap();
        is_done.store(true, Relaxed);
        writer.await.unwrap();
    }
}
