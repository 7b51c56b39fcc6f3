//! Reads the file of a backup, which can come from anywhere. It contains the manifest, then the manifest's
//! files in order, and nothing else. Each is a regular file with the size and digest that the manifest lists.
//!
//! Anything else that a tar file can contain (links, devices, sparse files, long names) is refused before any
//! of it is written. So unpacking never writes more than the size of the backup.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use lar_base::secret::hex;
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};

use super::manifest::{
    CLIENTS, CLIENTS_MAX, COMPANION_FILES, DATABASE, FORMAT, MANIFEST, Manifest, is_known,
};
use super::unfinished::Folder;
use crate::check::refuse_damaged;
use crate::error::Error;
use crate::private_files::create_private;

/// The maximum size of a manifest in bytes.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// Checks that a backup is whole: the digest of each file, and the structure of the database.
///
/// # Errors
/// [`Error::Damaged`] with the fault; when the backup cannot be read, or there is no space beside it for its
/// database; [`Error::Unusable`] when another check of it runs, or the name of the folder for the check is
/// taken.
pub fn verify(backup: &Path) -> Result<Manifest, Error> {
    let folder = Folder::of_check(backup)?;
    unpack(backup, &folder.path)
}

/// Checks the digest of each file without unpacking any.
///
/// # Errors
/// [`Error::Damaged`] with the fault; when the backup cannot be read.
pub fn check(backup: &Path) -> Result<Manifest, Error> {
    read(backup, |_, entry| digest(entry))
}

/// Unpacks a backup into the empty folder `to`, and checks all of it.
pub(super) fn unpack(backup: &Path, to: &Path) -> Result<Manifest, Error> {
    fs::DirBuilder::new().mode(0o700).create(to.join(CLIENTS)).map_err(Error::Backup)?;
    let manifest = read(backup, |name, entry| {
        let mut out = create_private(&to.join(name))?;
        let found = digest(&mut TeeReader { from: entry, to: &mut out })?;
        out.sync_all().map_err(Error::Backup)?;
        Ok(found)
    })?;
    refuse_damaged(&to.join(DATABASE)).map_err(|error| match error {
        Error::Corrupt { faults, .. } => {
            let fault = faults.first().map_or("", String::as_str);
            damaged(backup, &format!("its database is damaged: {fault}"))
        }
        error => error,
    })?;
    // An empty file is a valid database without tables.
    let schema: u32 =
        Connection::open(to.join(DATABASE))?.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if schema == 0 {
        return Err(damaged(backup, "its database is empty: it has no schema"));
    }
    if schema != manifest.schema {
        let reason = format!("its database has schema {schema}, but its manifest says {}", manifest.schema);
        return Err(damaged(backup, &reason));
    }
    Ok(manifest)
}

/// Passes each file's content to `take`, which returns its length and digest, and compares them with the
/// manifest.
fn read(
    backup: &Path,
    mut take: impl FnMut(&str, &mut dyn Read) -> Result<(u64, String), Error>,
) -> Result<Manifest, Error> {
    let damaged = |reason: &str| damaged(backup, reason);
    // The reader's errors repeat bytes of the file, which may not be a backup but somebody's private file.
    let broken =
        |error: std::io::Error| damaged(&format!("it is not a backup, or is incomplete ({})", error.kind()));
    let file = File::open(backup).map_err(Error::Backup)?;
    let mut archive = tar::Archive::new(file);
    // Raw: long names and extensions appear as entries, and none of them is allowed.
    let mut entries = archive.entries().map_err(broken)?.raw(true);
    let mut next = || entries.next().transpose().map_err(broken);
    let first = next()?.ok_or_else(|| damaged("it is empty"))?;
    if !first.header().entry_type().is_file() || first.path_bytes().as_ref() != MANIFEST.as_bytes() {
        return Err(damaged("it does not begin with a Lar manifest, so it is not a backup"));
    }
    let mut text = Vec::new();
    first.take(MANIFEST_BYTES_MAX).read_to_end(&mut text).map_err(broken)?;
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| damaged(&format!("its manifest cannot be read, so it is not a backup: {error}")))?;
    if manifest.format != FORMAT {
        return Err(damaged(&format!("its format is {}; this Lar reads {FORMAT}", manifest.format)));
    }
    check_names(&manifest).map_err(|reason| damaged(&reason))?;
    for listed in &manifest.files {
        let mut entry = next()?.ok_or_else(|| damaged(&format!("{} is missing", listed.name)))?;
        let found = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        if found != listed.name || !kind.is_file() {
            let what = if kind.is_file() { "" } else { ", which is not a regular file," };
            return Err(damaged(&format!("`{found:.100}`{what} does not belong in a backup")));
        }
        if entry.size() != listed.bytes {
            return Err(damaged(&format!("{found} has {} bytes instead of {}", entry.size(), listed.bytes)));
        }
        let (bytes, sha256) = take(&found, &mut entry).map_err(|error| match error {
            Error::Backup(cause) if cause.kind() == std::io::ErrorKind::UnexpectedEof => {
                damaged(&format!("{found} is incomplete"))
            }
            error => error,
        })?;
        if (bytes, &sha256) != (listed.bytes, &listed.sha256) {
            return Err(damaged(&format!("{found} is damaged: its digest differs")));
        }
    }
    if let Some(more) = next()? {
        let name = String::from_utf8_lossy(&more.path_bytes()).into_owned();
        return Err(damaged(&format!("`{name:.100}` does not belong in a backup")));
    }
    Ok(manifest)
}

/// Checks that the manifest lists only Lar's files, each once, and the database.
fn check_names(manifest: &Manifest) -> Result<(), String> {
    let names: Vec<&str> = manifest.files.iter().map(|entry| entry.name.as_str()).collect();
    if names.len() > CLIENTS_MAX + COMPANION_FILES.len() + 1 {
        return Err(format!("it lists too many files: {}", names.len()));
    }
    if let Some(name) = names.iter().find(|name| !is_known(name)) {
        return Err(format!("`{name:.100}` does not belong in a backup"));
    }
    let mut sorted = names.clone();
    sorted.sort_unstable();
    if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("`{}` appears twice", twice[0]));
    }
    if !names.contains(&DATABASE) {
        return Err("it contains no database".into());
    }
    Ok(())
}

fn damaged(backup: &Path, reason: &str) -> Error {
    Error::Damaged(format!("{}: {reason}", backup.display()))
}

/// Copies everything that is read from it to a writer.
struct TeeReader<'a, W> {
    from: &'a mut dyn Read,
    to: &'a mut W,
}

impl<W: Write> Read for TeeReader<'_, W> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.to.write_all(&buffer[..count])?;
        Ok(count)
    }
}

/// Reads everything; returns its length in bytes and its SHA-256.
pub(super) fn digest(from: &mut (impl Read + ?Sized)) -> Result<(u64, String), Error> {
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
