//! Backups: one tar file with a copy of the database and of the files beside it that it is no use without, and a manifest
//! first. Models are not in it; the manifest does not need them either, since a model is found again by its name.
//!
//! The copy is one moment of the database, taken while it serves. A backup holds secrets and every memory: it is for its owner
//! alone to read. It is called made once the copy and the file were checked. Reading one is in [`archive`], putting one in
//! the place of what is there in [`restore()`], and what each of them leaves when it is killed in [`unfinished`].

mod archive;
mod moves;
mod restore;
mod unfinished;
pub(crate) mod working_files;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use lar_base::Timestamp;
use lar_base::files::NoRoom;
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};

pub use self::archive::{check, verify};
pub use self::restore::{RestoreReport, SettingsPolicy, restore};
pub use self::unfinished::{
    find_unfinished_backups, find_unfinished_restores, remove_unfinished_backups, remove_unfinished_restores,
};
pub(crate) use self::working_files::create_new_private;
pub use self::working_files::write_private;

use self::archive::{digest, is_known};
use self::unfinished::{BackupFiles, NewFile};
use crate::{Error, Store};

/// What the manifest is called in the file.
const MANIFEST: &str = "manifest.json";
/// What the database is called, there and in a data directory.
const DATABASE: &str = "lar.db";
/// The settings, which can name programs to run.
const SETTINGS: &str = "lar.toml";
/// The files beside it: the keys would not be known without the first.
const COMPANION_FILES: [&str; 3] = ["secret.key", "owner.key", SETTINGS];
/// The folder of clients that were connected.
const CLIENTS: &str = "clients";
/// Files in that folder at most.
const CLIENTS_MAX: usize = 1000;
const FORMAT: u32 = 1;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of the file.
    pub format: u32,
    /// The program that made it.
    pub version: String,
    /// The database's schema.
    pub schema: u32,
    /// When: RFC 3339.
    pub created_at: String,
    /// Its files, in the order in which they come.
    pub files: Vec<Entry>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Entry {
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
}

/// The folder of a data directory's own backups.
pub const FOLDER: &str = "backups";
/// What their names begin and end with; in between is the time.
const NAME_AFFIXES: (&str, &str) = ("lar-", ".tar");

/// Where the next backup of the data directory `folder` goes; its folder is made.
///
/// # Errors
/// When the folder cannot be made.
pub fn next_path(folder: &Path) -> Result<PathBuf, Error> {
    let backups = folder.join(FOLDER);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&backups).map_err(Error::Backup)?;
    Ok(backups.join(format!("{}{}{}", NAME_AFFIXES.0, time_stamp(), NAME_AFFIXES.1)))
}

/// Whether a file of this name is a backup.
#[must_use]
pub fn is_backup(name: &str) -> bool {
    name.starts_with(NAME_AFFIXES.0) && name.ends_with(NAME_AFFIXES.1)
}

/// The time, as part of a name.
fn time_stamp() -> String {
    Timestamp::now().to_string().chars().filter(char::is_ascii_alphanumeric).collect()
}

impl Store {
    /// Writes a backup of the data directory `folder`, whose database this is, to the new file `to`. The copy of the database
    /// is checked as [`verify`] does it, and the file is read back. What killed backups left in the folder of `to` is removed.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the database is damaged; when `to` is there already or cannot be written; when the database
    /// fails. Then nothing is left of it, and other backups are as they were.
    pub async fn backup(&self, folder: PathBuf, to: PathBuf) -> Result<Manifest, Error> {
        let (database, place) = (self.path().to_owned(), to.clone());
        let work = move || {
            if to.exists() {
                return Err(Error::Backup(ErrorKind::AlreadyExists.into()));
            }
            if let Some(folder) = to.parent() {
                remove_unfinished_backups(folder);
            }
            // Made first, so that nobody else can ever read them, and anew, so that no other backup is making the same.
            let BackupFiles { written, copy } = BackupFiles::make(&to)?;
            let source = Connection::open_with_flags(&database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            // One state of the database for the whole copy: SQLite would begin again after each change by another connection.
            let snapshot = source.unchecked_transaction()?;
            snapshot.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
            source.backup("main", &copy.0, None::<fn(_)>)?;
            drop(snapshot);
            let schema = source.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            drop(source);
            refuse_damaged(&copy.0)?;
            let manifest = pack(&folder, &copy.0, schema, &written.file)?;
            archive::check(&written.path)?;
            // First: the lock of what is written counts for the copy, too.
            drop(copy);
            written.finish(&to)?;
            Ok(manifest)
        };
        let made = tokio::task::spawn_blocking(work).await.map_err(|_| Error::Closed)?;
        made.map_err(|error| self.with_path(full_at(error, &place)))
    }
}

/// The same error; where the disk has no room for the backup `to`, it says so.
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
/// When `to` is there already or cannot be written; when the copy is not what was written ([`Error::Damaged`]). Then nothing
/// is left of it.
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

/// Checks a copy of a database as a whole.
///
/// # Errors
/// [`Error::Corrupt`] with what is wrong; it names no path, since the fault is the original's.
pub(crate) fn refuse_damaged(copy: &Path) -> Result<(), Error> {
    // Not read-only: what SQLite puts beside a database it takes away again only where it may write.
    let faults = crate::check::full(&Connection::open(copy)?)?;
    if faults.is_empty() { Ok(()) } else { Err(Error::Corrupt { path: None, faults }) }
}

/// A new file for its owner alone, in the place of what is there.
pub(crate) fn create_private(path: &Path) -> Result<File, Error> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path).map_err(Error::Backup)
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use super::*;

    /// Copied in a hundred steps, in each of which others write.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_backup_is_of_one_moment_and_ends_beside_writes() {
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
        // Without one state for all steps this ends when the writes do, which is never.
        store.backup(folder.clone(), folder.join("backup.tar")).await.unwrap();
        is_done.store(true, Relaxed);
        writer.await.unwrap();
    }
}
