//! Backups: one tar file with a copy of the database and of the files beside it that it is no use without, and a manifest
//! first. Models are not in it; the manifest does not need them either, since a model is found again by its name.
//!
//! The copy is one moment of the database, taken while it serves. A backup holds secrets and every memory: it is for its owner
//! alone to read. Nothing of a data directory is replaced before the whole backup was checked, and what is replaced is
//! put aside rather than removed.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use lar_base::Timestamp;
use lar_base::secret::hex;
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Error, Store, migrations};

/// What the manifest is called in the file.
const MANIFEST: &str = "manifest.json";
/// What the database is called, there and in a data directory.
const DATABASE: &str = "lar.db";
/// The files beside it: the keys would not be known without the first.
const BESIDE: [&str; 3] = ["secret.key", "owner.key", "lar.toml"];
/// The folder of clients that were connected.
const CLIENTS: &str = "clients";
/// Files in that folder at most.
const CLIENTS_MAX: usize = 1000;
/// A manifest is not longer than this.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;
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

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What was restored.
    pub manifest: Manifest,
    /// Where what was there before is now; none where nothing was.
    pub aside: Option<PathBuf>,
}

/// The folder of a data directory's own backups.
pub const FOLDER: &str = "backups";
/// What their names begin and end with; in between is the time.
const NAME: (&str, &str) = ("lar-", ".tar");

/// Where the next backup of the data directory `folder` goes; its folder is made.
///
/// # Errors
/// When the folder cannot be made.
pub fn next(folder: &Path) -> Result<PathBuf, Error> {
    let backups = folder.join(FOLDER);
    fs::create_dir_all(&backups).map_err(Error::Backup)?;
    Ok(backups.join(format!("{}{}{}", NAME.0, stamp(), NAME.1)))
}

/// Whether a file of this name is a backup.
#[must_use]
pub fn is_backup(name: &str) -> bool {
    name.starts_with(NAME.0) && name.ends_with(NAME.1)
}

/// The time, as part of a name.
fn stamp() -> String {
    Timestamp::now().to_string().chars().filter(char::is_ascii_alphanumeric).collect()
}

impl Store {
    /// Writes a backup of the data directory `folder`, whose database this is, to the new file `to`.
    ///
    /// # Errors
    /// When `to` is there already or cannot be written; when the database fails. Then nothing is left of it.
    pub async fn backup(&self, folder: PathBuf, to: PathBuf) -> Result<Manifest, Error> {
        let database = self.path().to_owned();
        let work = move || {
            let copy = Removed(to.with_extension("db-copy"));
            let written = Removed(to.with_extension("partial"));
            if to.exists() {
                return Err(Error::Backup(std::io::ErrorKind::AlreadyExists.into()));
            }
            // Made first, so that nobody else can ever read it.
            drop(private(&copy.0)?);
            let source = Connection::open_with_flags(&database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            source.backup("main", &copy.0, None::<fn(_)>)?;
            let schema = source.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            drop(source);
            let manifest = pack(&folder, &copy.0, schema, &written.0)?;
            fs::rename(&written.0, &to).map_err(Error::Backup)?;
            Ok(manifest)
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Error::Closed)?
    }
}

/// Checks that a backup is whole: each file's digest, and the database's own structure.
///
/// # Errors
/// [`Error::Damaged`] with what is wrong; when it cannot be read, or there is no room beside it for its database.
pub fn verify(backup: &Path) -> Result<Manifest, Error> {
    let folder = Removed(backup.with_extension("verify"));
    unpack(backup, &folder.0)
}

/// Puts a backup in the place of what is in the data directory `folder`, which nobody may be using.
///
/// # Errors
/// As [`verify`]; [`Error::Newer`] for one of a newer program. Then nothing was changed.
pub fn restore(backup: &Path, folder: &Path) -> Result<Restored, Error> {
    let unpacked = Removed(folder.join("restore.partial"));
    let manifest = unpack(backup, &unpacked.0)?;
    if manifest.schema > migrations::known() {
        return Err(Error::Newer { found: manifest.schema, known: migrations::known() });
    }
    let aside = folder.join(format!("before-restore-{}", stamp()));
    let here = ["lar.db", "lar.db-wal", "lar.db-shm"].into_iter().chain(BESIDE).chain([CLIENTS]);
    let here: Vec<&str> = here.filter(|name| folder.join(name).exists()).collect();
    if !here.is_empty() {
        fs::create_dir(&aside).map_err(Error::Backup)?;
        fs::set_permissions(&aside, fs::Permissions::from_mode(0o700)).map_err(Error::Backup)?;
    }
    for name in &here {
        fs::rename(folder.join(name), aside.join(name)).map_err(Error::Backup)?;
    }
    for name in fs::read_dir(&unpacked.0).map_err(Error::Backup)? {
        let name = name.map_err(Error::Backup)?.file_name();
        fs::rename(unpacked.0.join(&name), folder.join(&name)).map_err(Error::Backup)?;
    }
    sync(folder)?;
    Ok(Restored { manifest, aside: (!here.is_empty()).then_some(aside) })
}

/// A file or folder that is in the way until it is done with.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn pack(folder: &Path, database: &Path, schema: u32, to: &Path) -> Result<Manifest, Error> {
    let mut sources = vec![(DATABASE.to_owned(), database.to_owned())];
    sources.extend(BESIDE.map(|name| (name.to_owned(), folder.join(name))));
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
    let mut archive = tar::Builder::new(private(to)?);
    let text = serde_json::to_vec_pretty(&manifest).unwrap_or_default();
    append(&mut archive, MANIFEST, text.len() as u64, text.as_slice())?;
    for (entry, (name, path)) in manifest.files.iter().zip(&sources) {
        let file = File::open(path).map_err(Error::Backup)?;
        append(&mut archive, name, entry.bytes, file.take(entry.bytes))?;
    }
    let file = archive.into_inner().map_err(Error::Backup)?;
    file.sync_all().map_err(Error::Backup)?;
    Ok(manifest)
}

fn append(archive: &mut tar::Builder<File>, name: &str, bytes: u64, content: impl Read) -> Result<(), Error> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_mtime(u64::try_from(Timestamp::now().as_seconds()).unwrap_or_default());
    archive.append_data(&mut header, name, content).map_err(Error::Backup)
}

/// Takes a backup apart into the new folder `to`, and checks all of it.
fn unpack(backup: &Path, to: &Path) -> Result<Manifest, Error> {
    let file = File::open(backup).map_err(Error::Backup)?;
    let mut archive = tar::Archive::new(file);
    let damaged = |reason: &str| Error::Damaged(format!("{}: {reason}", backup.display()));
    let broken = |error: std::io::Error| damaged(&format!("it is no backup, or broken off ({error})"));
    let mut entries = archive.entries().map_err(broken)?;
    let mut next = || entries.next().transpose().map_err(broken);
    let first = next()?.ok_or_else(|| damaged("it is empty"))?;
    let mut text = Vec::new();
    first.take(MANIFEST_BYTES_MAX).read_to_end(&mut text).map_err(broken)?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|_| damaged("it does not begin with a manifest of Lar's"))?;
    if manifest.format != FORMAT {
        return Err(damaged(&format!("its format is {}; this program knows {FORMAT}", manifest.format)));
    }
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to.join(CLIENTS)).map_err(Error::Backup)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).map_err(Error::Backup)?;
    for wanted in &manifest.files {
        let mut entry = next()?.ok_or_else(|| damaged(&format!("{} is missing", wanted.name)))?;
        let named = entry.path().map_err(broken)?.to_string_lossy().into_owned();
        // What is not Lar's has no place in a data directory, whatever it is called.
        if named != wanted.name || !is_known(&named) {
            return Err(damaged(&format!("`{named:.100}` does not belong there")));
        }
        let mut out = private(&to.join(&named))?;
        let mut copied = Copied { from: &mut entry, to: &mut out };
        let (bytes, sha256) = digest(&mut copied).map_err(|_| damaged(&format!("{named} is broken off")))?;
        if (bytes, &sha256) != (wanted.bytes, &wanted.sha256) {
            return Err(damaged(&format!("{named} is not what was written: its digest differs")));
        }
        out.sync_all().map_err(Error::Backup)?;
    }
    if !manifest.files.iter().any(|entry| entry.name == DATABASE) {
        return Err(damaged("there is no database in it"));
    }
    // Not read-only: what SQLite puts beside a database it takes away again only where it may write.
    let checked = Connection::open(to.join(DATABASE)).and_then(|database| {
        database.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0))
    });
    let fault = checked.map_err(|error| damaged(&format!("its database is damaged: {error}")))?;
    match fault.as_str() {
        "ok" => Ok(manifest),
        fault => Err(damaged(&format!("its database is damaged: {fault}"))),
    }
}

/// Whether a file of this name may be in a backup.
fn is_known(name: &str) -> bool {
    if let Some(client) = name.strip_prefix("clients/") {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        return !client.is_empty() && !client.starts_with('.') && client.bytes().all(plain);
    }
    name == DATABASE || BESIDE.contains(&name)
}

/// Writes what is read.
struct Copied<'a, R, W> {
    from: &'a mut R,
    to: &'a mut W,
}

impl<R: Read, W: Write> Read for Copied<'_, R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.to.write_all(&buffer[..count])?;
        Ok(count)
    }
}

/// How much there is to read, and its SHA-256.
fn digest(from: &mut impl Read) -> Result<(u64, String), Error> {
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        match from.read(&mut buffer).map_err(Error::Backup)? {
            0 => return Ok((bytes, hex(&hash.finalize()))),
            count => {
                hash.update(&buffer[..count]);
                bytes += count as u64;
            }
        }
    }
}

/// A new file for its owner alone.
fn private(path: &Path) -> Result<File, Error> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path).map_err(Error::Backup)
}

fn sync(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::Backup)
}
