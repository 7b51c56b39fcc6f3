//! Changes to clients' configuration files, and their reversal. Only Lar's own settings change. The rest of a file
//! stays as the user wrote it, with its comments and its order.
//!
//! A change is prepared as a whole before anything is written. A file is copied to a backup beside it, then replaced
//! by a rename.

mod config_entry;
mod json;
mod toml;

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use lar_base::Bytes;
use lar_base::files::{read_at_most, read_text_at_most};
use lar_clients::{Document, Format, RenderedFile};
use serde::{Deserialize, Serialize};

use config_entry::ConfigEntry;

/// The largest file that is read. Settings that a person writes are smaller.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// The end of a backup's name.
const BACKUP: &str = "before-lar";

/// A change to one file, as the journal keeps it for `--undo`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FileChange {
    /// The file, with symbolic links resolved.
    pub(super) path: PathBuf,
    #[serde(rename = "form")]
    pub(super) format: Format,
    /// The copy of the file before the change; `None` if there was no file.
    pub(super) backup: Option<PathBuf>,
    /// The folders that are created for the file, the innermost first.
    #[serde(default)]
    pub(super) folders: Vec<PathBuf>,
    /// The content after the change.
    #[serde(rename = "wrote")]
    pub(super) written: String,
    #[serde(rename = "places")]
    pub(super) entries: Vec<ConfigEntry>,
}

/// The result of undoing the change to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RevertOutcome {
    /// The file is as it was before.
    Restored,
    /// The rest of the file has changed since, so only Lar's settings were removed.
    Removed,
    /// There was no file before, so it was deleted.
    Deleted,
    /// Somebody changed these settings since, so they stay.
    Left(Vec<String>),
}

/// Reads a file and prepares its change. `root` is the folder that the file must be in.
pub(super) fn prepare(file: &RenderedFile<'_>, path: &Path, root: &Path) -> anyhow::Result<FileChange> {
    let path = resolve(path, root)?;
    let old = read(&path)?;
    let mut entries = Vec::new();
    let written = apply(file, old.as_deref().unwrap_or_default(), &mut entries).with_context(|| {
        format!(
            "{} cannot be changed, so nothing was changed; correct the file, or use --print to see what to put \
             there",
            path.display()
        )
    })?;
    let backup = old.map(|_| backup_path(&path));
    Ok(FileChange {
        folders: missing_folders(&path),
        path,
        format: file.document.format(),
        backup,
        written,
        entries,
    })
}

/// Adds another edit to the change of the same file.
pub(super) fn extend(change: &mut FileChange, file: &RenderedFile<'_>) -> anyhow::Result<()> {
    change.written = apply(file, &change.written, &mut change.entries)?;
    Ok(())
}

/// Returns `text` after an edit, and adds the settings that were written to `entries`.
fn apply(file: &RenderedFile<'_>, text: &str, entries: &mut Vec<ConfigEntry>) -> anyhow::Result<String> {
    match &file.document {
        Document::Json(new) => json::set(text, new, &file.edit.settings, entries),
        Document::Toml(new) => toml::set(text, new, &file.edit.settings, entries),
        Document::Whole(new) => Ok(new.clone()),
    }
}

/// Returns the parent folders that do not exist, the innermost first.
fn missing_folders(path: &Path) -> Vec<PathBuf> {
    path.ancestors().skip(1).take_while(|folder| !folder.exists()).map(Path::to_owned).collect()
}

/// Resolves symbolic links. A link may lead to another path in `root`, since people keep such files in a repository,
/// but not out of it.
fn resolve(path: &Path, root: &Path) -> anyhow::Result<PathBuf> {
    let Ok(real) = path.canonicalize() else {
        if path.symlink_metadata().is_ok() {
            bail!("{} is a broken link; remove it first", path.display());
        }
        // The folder may be a link, too.
        let mut existing = path.parent().context("the path has no folder")?;
        while existing.symlink_metadata().is_err() {
            existing = existing.parent().context("the path has no folder")?;
        }
        check_within(path, &existing.canonicalize()?, root)?;
        return Ok(path.to_owned());
    };
    check_within(path, &real, root)?;
    if !real.is_file() {
        bail!("{} is not a file", path.display());
    }
    Ok(real)
}

fn check_within(path: &Path, real: &Path, root: &Path) -> anyhow::Result<()> {
    let root = root.canonicalize().with_context(|| format!("{} does not exist", root.display()))?;
    if real.starts_with(&root) {
        return Ok(());
    }
    bail!(
        "{} leads to {}, outside of {}; change it by hand: --print shows what to put there",
        path.display(),
        real.display(),
        root.display()
    )
}

fn read(path: &Path) -> anyhow::Result<Option<String>> {
    let about = match path.metadata() {
        Ok(about) => about,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    // Root could still write the file, but its owner does not want it to be changed.
    if about.permissions().mode() & 0o200 == 0 {
        bail!("{} is read-only; nothing was changed", path.display());
    }
    if about.len() > FILE_BYTES_MAX {
        bail!("{} is larger than the limit of {FILE_BYTES_MAX} bytes", path.display());
    }
    let text = std::fs::File::open(path).and_then(|file| read_text_at_most(file, Bytes(FILE_BYTES_MAX)));
    Ok(Some(text.with_context(|| format!("{} cannot be read", path.display()))?))
}

fn read_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    read_at_most(std::fs::File::open(path)?, Bytes(FILE_BYTES_MAX))
}

fn backup_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(BACKUP);
    path.with_file_name(name)
}

/// Copies the file to its backup, then writes it.
pub(super) fn write(change: &FileChange) -> anyhow::Result<()> {
    if let Some(backup) = &change.backup {
        let old = read_bytes(&change.path)?;
        replace(backup, &old, mode_of(&change.path))
            .with_context(|| format!("{} cannot be written", backup.display()))?;
    }
    replace(&change.path, change.written.as_bytes(), mode_of(&change.path))
        .with_context(|| format!("{} cannot be written", change.path.display()))
}

/// Reverses a change, except where somebody has changed the file since.
pub(super) fn undo(change: &FileChange) -> anyhow::Result<RevertOutcome> {
    let Some(now) = read(&change.path)? else { return Ok(RevertOutcome::Deleted) };
    if now == change.written {
        return match &change.backup {
            Some(backup) if backup.exists() => {
                replace(&change.path, &read_bytes(backup)?, mode_of(&change.path))?;
                std::fs::remove_file(backup)?;
                Ok(RevertOutcome::Restored)
            }
            Some(_) => remove_entries(change, &now),
            None => {
                std::fs::remove_file(&change.path)?;
                // A folder that is not empty stays.
                for folder in &change.folders {
                    let _ = std::fs::remove_dir(folder);
                }
                Ok(RevertOutcome::Deleted)
            }
        };
    }
    remove_entries(change, &now)
}

fn remove_entries(change: &FileChange, now: &str) -> anyhow::Result<RevertOutcome> {
    let mut left = Vec::new();
    let text = match change.format {
        Format::Json => json::unset(now, &change.entries, &mut left)?,
        Format::Toml => toml::unset(now, &change.entries, &mut left)?,
        Format::Whole => return Ok(RevertOutcome::Left(vec!["the file".into()])),
    };
    if text != now {
        replace(&change.path, text.as_bytes(), mode_of(&change.path))?;
    }
    Ok(if left.is_empty() { RevertOutcome::Removed } else { RevertOutcome::Left(left) })
}

fn mode_of(path: &Path) -> u32 {
    path.metadata().map_or(0o600, |about| about.permissions().mode() & 0o777)
}

/// Replaces a file atomically, and creates missing folders.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let folder = path.parent().context("the path has no folder")?;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lar-new");
    let partial = path.with_file_name(name);
    let _ = std::fs::remove_file(&partial);
    let mut file = std::fs::OpenOptions::new().create_new(true).write(true).mode(mode).open(&partial)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    // The umask limits the mode of a new file.
    let written = written.and_then(|()| file.set_permissions(std::fs::Permissions::from_mode(mode)));
    match written.and_then(|()| std::fs::rename(&partial, path)) {
        Ok(()) => Ok(()),
        Err(error) => {
            let _ = std::fs::remove_file(&partial);
            Err(error.into())
        }
    }
}
