//! Clients' configuration files: setting a few places in them, and taking that back. What a person wrote around those
//! places, comments too, stays as it is.
//!
//! Nothing is written before all of it is known to be possible. A file is replaced by a rename, after a copy of it was put
//! beside it.

mod json;
mod toml;

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use lar_api::clients::{FileRecipe, Form, fill_template};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A larger file is none of a person's settings.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// What a copy's name ends in.
const BACKUP: &str = "before-lar";

/// A file that was or will be changed, as it is kept so that it can be taken back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FileEdit {
    /// The file itself, where its path is a link.
    pub(super) path: PathBuf,
    pub(super) form: Form,
    /// The copy of what it was; none where it was not there.
    pub(super) backup: Option<PathBuf>,
    /// The folders that are made for it, the innermost first.
    #[serde(default)]
    pub(super) folders: Vec<PathBuf>,
    /// What was written.
    pub(super) wrote: String,
    pub(super) places: Vec<ConfigEntry>,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ConfigEntry {
    /// Such as `mcpServers.lar`; with `[]` behind it, an element of a list.
    pub(super) at: String,
    /// What was there.
    pub(super) before: Option<Value>,
    pub(super) after: Value,
}

/// What became of a file when it was to be taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RevertOutcome {
    /// It is as it was.
    Restored,
    /// What was set is out of it; the rest has changed since and stays.
    Removed,
    /// It is gone, as it was before.
    Deleted,
    /// Somebody changed these places since; they stay.
    Left(Vec<String>),
}

/// Reads a file and makes what will be written to it. `below` is the folder that it must lie in.
pub(super) fn prepare(
    recipe: &FileRecipe,
    path: &Path,
    below: &Path,
    values: &[(&str, &str)],
) -> anyhow::Result<FileEdit> {
    let path = resolve(path, below)?;
    let shown = path.display().to_string();
    let old = read(&path)?;
    if recipe.form == Form::Whole {
        let wrote = fill_template(recipe.text, values);
        let backup = old.as_ref().map(|_| backup_of(&path));
        let (folders, places) = (missing_folders(&path), Vec::new());
        return Ok(FileEdit { path, form: recipe.form, backup, folders, wrote, places });
    }
    let old_text = old.as_deref().unwrap_or_default();
    let set = |places: &mut Vec<ConfigEntry>| match recipe.form {
        Form::Json => json::set(old_text, &value_of(recipe, values)?, recipe.managed_paths, places),
        _ => toml::set(old_text, &fill_template(recipe.text, values), recipe.managed_paths, places),
    };
    let mut places = Vec::new();
    let wrote = set(&mut places).with_context(|| {
        format!("{shown} cannot be changed, so nothing was. Mend it, or see what to put there with --print")
    })?;
    let backup = old.as_ref().map(|_| backup_of(&path));
    Ok(FileEdit { folders: missing_folders(&path), path, form: recipe.form, backup, wrote, places })
}

/// The folders that a file lies in and that are not there, the innermost first.
fn missing_folders(path: &Path) -> Vec<PathBuf> {
    path.ancestors().skip(1).take_while(|folder| !folder.exists()).map(Path::to_owned).collect()
}

/// Sets the places of another recipe in the same file.
pub(super) fn extend(
    edit: &mut FileEdit,
    recipe: &FileRecipe,
    values: &[(&str, &str)],
) -> anyhow::Result<()> {
    let mut places = Vec::new();
    edit.wrote = match recipe.form {
        Form::Json => json::set(&edit.wrote, &value_of(recipe, values)?, recipe.managed_paths, &mut places)?,
        Form::Toml => {
            toml::set(&edit.wrote, &fill_template(recipe.text, values), recipe.managed_paths, &mut places)?
        }
        Form::Whole => fill_template(recipe.text, values),
    };
    edit.places.append(&mut places);
    Ok(())
}

/// The document of a recipe, with what is known in the place of names: in its texts, so that nothing can break it.
fn value_of(recipe: &FileRecipe, values: &[(&str, &str)]) -> anyhow::Result<Value> {
    fn fill(value: &mut Value, values: &[(&str, &str)]) {
        match value {
            Value::String(text) => *text = fill_template(text, values),
            Value::Array(items) => items.iter_mut().for_each(|item| fill(item, values)),
            Value::Object(fields) => fields.values_mut().for_each(|field| fill(field, values)),
            _ => {}
        }
    }
    let mut value = serde_json::from_str(recipe.text)?;
    fill(&mut value, values);
    Ok(value)
}

/// Where a file really is. A link may lead elsewhere in `below` (people keep such files in a repository), and nowhere else.
fn resolve(path: &Path, below: &Path) -> anyhow::Result<PathBuf> {
    let Ok(real) = path.canonicalize() else {
        if path.symlink_metadata().is_ok() {
            bail!("{} is a link that leads nowhere; remove it first", path.display());
        }
        // The folder may be a link, too.
        let mut there = path.parent().context("the path has no folder")?;
        while there.symlink_metadata().is_err() {
            there = there.parent().context("the path has no folder")?;
        }
        within(path, &there.canonicalize()?, below)?;
        return Ok(path.to_owned());
    };
    within(path, &real, below)?;
    if !real.is_file() {
        bail!("{} is no file", path.display());
    }
    Ok(real)
}

fn within(path: &Path, real: &Path, below: &Path) -> anyhow::Result<()> {
    let below = below.canonicalize().with_context(|| format!("{} is not there", below.display()))?;
    if real.starts_with(&below) {
        return Ok(());
    }
    bail!(
        "{} leads to {}, outside of {}; change it by hand: --print shows what to put there",
        path.display(),
        real.display(),
        below.display()
    )
}

fn read(path: &Path) -> anyhow::Result<Option<String>> {
    let about = match path.metadata() {
        Ok(about) => about,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    // Whoever is root could write it all the same, and would not be meant to.
    if about.permissions().mode() & 0o200 == 0 {
        bail!("{} is read-only; nothing was changed", path.display());
    }
    if about.len() > FILE_BYTES_MAX {
        bail!("{} is larger than {FILE_BYTES_MAX} bytes", path.display());
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(Some(text))
}

fn backup_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(BACKUP);
    path.with_file_name(name)
}

/// Copies the file as it is, then writes it.
pub(super) fn write(edit: &FileEdit) -> anyhow::Result<()> {
    if let Some(backup) = &edit.backup {
        let old = std::fs::read(&edit.path)?;
        replace(backup, &old, mode_of(&edit.path))
            .with_context(|| format!("{} cannot be written", backup.display()))?;
    }
    replace(&edit.path, edit.wrote.as_bytes(), mode_of(&edit.path))
        .with_context(|| format!("{} cannot be written", edit.path.display()))
}

/// Takes a file back to what it was, as far as nobody changed it since.
pub(super) fn undo(edit: &FileEdit) -> anyhow::Result<RevertOutcome> {
    let Some(now) = read(&edit.path)? else { return Ok(RevertOutcome::Deleted) };
    if now == edit.wrote {
        return match &edit.backup {
            Some(backup) if backup.exists() => {
                replace(&edit.path, &std::fs::read(backup)?, mode_of(&edit.path))?;
                std::fs::remove_file(backup)?;
                Ok(RevertOutcome::Restored)
            }
            Some(_) => remove_edits(edit, &now),
            None => {
                std::fs::remove_file(&edit.path)?;
                // As far as nothing else is in them.
                for folder in &edit.folders {
                    let _ = std::fs::remove_dir(folder);
                }
                Ok(RevertOutcome::Deleted)
            }
        };
    }
    remove_edits(edit, &now)
}

fn remove_edits(edit: &FileEdit, now: &str) -> anyhow::Result<RevertOutcome> {
    let mut left = Vec::new();
    let text = match edit.form {
        Form::Json => json::unset(now, &edit.places, &mut left)?,
        Form::Toml => toml::unset(now, &edit.places, &mut left)?,
        Form::Whole => return Ok(RevertOutcome::Left(vec!["the file".into()])),
    };
    if text != now {
        replace(&edit.path, text.as_bytes(), mode_of(&edit.path))?;
    }
    Ok(if left.is_empty() { RevertOutcome::Removed } else { RevertOutcome::Left(left) })
}

fn mode_of(path: &Path) -> u32 {
    path.metadata().map_or(0o600, |about| about.permissions().mode() & 0o777)
}

/// Writes a file whole or not at all; folders that are missing are made.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let folder = path.parent().context("the path has no folder")?;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lar-new");
    let partial = path.with_file_name(name);
    let _ = std::fs::remove_file(&partial);
    let mut file = std::fs::OpenOptions::new().create_new(true).write(true).mode(mode).open(&partial)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    // The mode of a new file is subject to the umask.
    let written = written.and_then(|()| file.set_permissions(std::fs::Permissions::from_mode(mode)));
    match written.and_then(|()| std::fs::rename(&partial, path)) {
        Ok(()) => Ok(()),
        Err(error) => {
            let _ = std::fs::remove_file(&partial);
            Err(error.into())
        }
    }
}
