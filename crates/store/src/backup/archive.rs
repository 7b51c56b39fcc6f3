//! A backup's file, read as what it is: bytes from anywhere. It has the manifest, then the manifest's files in their
//! order, and nothing else; each is a plain file of the size and digest that the manifest names.
//!
//! What a tar file can have beside that (links, devices, sparse files, long names) is refused before anything of it is
//! written, so that what is unpacked is never more than the file itself.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use lar_base::secret::hex;
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};

use super::unfinished::Folder;
use super::{
    CLIENTS, CLIENTS_MAX, COMPANION_FILES, DATABASE, FORMAT, MANIFEST, Manifest, create_private,
    refuse_damaged,
};
use crate::Error;

/// A manifest is not longer than this.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// Checks that a backup is whole: each file's digest, and the database's own structure.
///
/// # Errors
/// [`Error::Damaged`] with what is wrong; when it cannot be read, or there is no room beside it for its database;
/// [`Error::Unusable`] when another check of it runs, or something else has the name of the folder for that.
pub fn verify(backup: &Path) -> Result<Manifest, Error> {
    let folder = Folder::of_check(backup)?;
    unpack(backup, &folder.path)
}

/// Checks each file's digest without unpacking any.
///
/// # Errors
/// [`Error::Damaged`] with what is wrong; when it cannot be read.
pub fn check(backup: &Path) -> Result<Manifest, Error> {
    read(backup, |_, entry| digest(entry))
}

/// Takes a backup apart into the empty folder `to`, and checks all of it.
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
    // An empty file is a whole database, too: one without tables.
    let schema: u32 =
        Connection::open(to.join(DATABASE))?.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if schema == 0 {
        return Err(damaged(backup, "its database has no schema: it is empty"));
    }
    if schema != manifest.schema {
        let reason = format!("its database has schema {schema}, its manifest says {}", manifest.schema);
        return Err(damaged(backup, &reason));
    }
    Ok(manifest)
}

/// Hands each file's content to `take`, which returns its length and digest, and compares those with the manifest's.
fn read(
    backup: &Path,
    mut take: impl FnMut(&str, &mut dyn Read) -> Result<(u64, String), Error>,
) -> Result<Manifest, Error> {
    let damaged = |reason: &str| damaged(backup, reason);
    // What the reader says of a file that is no archive repeats its bytes, and it may be anybody's.
    let broken =
        |error: std::io::Error| damaged(&format!("it is no backup, or broken off ({})", error.kind()));
    let file = File::open(backup).map_err(Error::Backup)?;
    let mut archive = tar::Archive::new(file);
    // Raw: long names and extensions are entries like others, and no kind of them belongs here.
    let mut entries = archive.entries().map_err(broken)?.raw(true);
    let mut next = || entries.next().transpose().map_err(broken);
    let first = next()?.ok_or_else(|| damaged("it is empty"))?;
    if !first.header().entry_type().is_file() || first.path_bytes().as_ref() != MANIFEST.as_bytes() {
        return Err(damaged("it does not begin with a manifest of Lar's, so it is no backup"));
    }
    let mut text = Vec::new();
    first.take(MANIFEST_BYTES_MAX).read_to_end(&mut text).map_err(broken)?;
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|_| damaged("it does not begin with a manifest of Lar's, so it is no backup"))?;
    if manifest.format != FORMAT {
        return Err(damaged(&format!("its format is {}; this program knows {FORMAT}", manifest.format)));
    }
    check_names(&manifest).map_err(|reason| damaged(&reason))?;
    for listed in &manifest.files {
        let mut entry = next()?.ok_or_else(|| damaged(&format!("{} is missing", listed.name)))?;
        let found = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        if found != listed.name || !kind.is_file() {
            let what = if kind.is_file() { "" } else { ", which is no plain file," };
            return Err(damaged(&format!("`{found:.100}`{what} does not belong there")));
        }
        if entry.size() != listed.bytes {
            return Err(damaged(&format!("{found} has {} bytes of {}", entry.size(), listed.bytes)));
        }
        let (bytes, sha256) = take(&found, &mut entry).map_err(|error| match error {
            Error::Backup(cause) if cause.kind() == std::io::ErrorKind::UnexpectedEof => {
                damaged(&format!("{found} is broken off"))
            }
            error => error,
        })?;
        if (bytes, &sha256) != (listed.bytes, &listed.sha256) {
            return Err(damaged(&format!("{found} is not what was written: its digest differs")));
        }
    }
    if let Some(more) = next()? {
        let name = String::from_utf8_lossy(&more.path_bytes()).into_owned();
        return Err(damaged(&format!("`{name:.100}` does not belong there")));
    }
    Ok(manifest)
}

/// The manifest's files are Lar's, each once, and the database is one of them.
fn check_names(manifest: &Manifest) -> Result<(), String> {
    let names: Vec<&str> = manifest.files.iter().map(|entry| entry.name.as_str()).collect();
    if names.len() > CLIENTS_MAX + COMPANION_FILES.len() + 1 {
        return Err(format!("it lists {} files", names.len()));
    }
    if let Some(name) = names.iter().find(|name| !is_known(name)) {
        return Err(format!("`{name:.100}` does not belong there"));
    }
    let mut sorted = names.clone();
    sorted.sort_unstable();
    if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("`{}` is there twice", twice[0]));
    }
    if !names.contains(&DATABASE) {
        return Err("there is no database in it".into());
    }
    Ok(())
}

fn damaged(backup: &Path, reason: &str) -> Error {
    Error::Damaged(format!("{}: {reason}", backup.display()))
}

/// Whether a file of this name may be in a backup. Longer names would take a tar file's extensions.
pub(super) fn is_known(name: &str) -> bool {
    if let Some(client) = name.strip_prefix("clients/") {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        return !client.is_empty()
            && name.len() < 100
            && !client.starts_with('.')
            && client.bytes().all(plain);
    }
    name == DATABASE || COMPANION_FILES.contains(&name)
}

/// Writes what is read.
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

/// How much there is to read, and its SHA-256.
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
