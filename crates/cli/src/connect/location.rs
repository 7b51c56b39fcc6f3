//! The location of a client's file on this machine.

use std::path::PathBuf;

use anyhow::Context as _;
use lar_clients::{FileEdit, Folder};

use crate::CommandContext;

/// Returns the path of a file, and the folder that the path must not leave.
pub(super) fn locate(edit: &FileEdit, context: &CommandContext) -> anyhow::Result<(PathBuf, PathBuf)> {
    let home = || context.home.clone().context("HOME is not set, so clients' settings cannot be found");
    let folder = match edit.folder {
        Folder::Home => home()?,
        Folder::Codex => {
            context.codex_home.clone().map_or_else(|| home().map(|home| home.join(".codex")), Ok)?
        }
        Folder::Claude => {
            context.claude_home.clone().map_or_else(|| home().map(|home| home.join(".claude")), Ok)?
        }
        Folder::ClaudeState => context.claude_home.clone().map_or_else(home, Ok)?,
        Folder::Clients => context.data_dir.join("clients"),
    };
    let root = match (edit.folder, &context.home) {
        (Folder::Clients, _) => context.data_dir.clone(),
        (_, Some(home)) if folder.starts_with(home) => home.clone(),
        _ => folder.clone(),
    };
    Ok((folder.join(&edit.path), root))
}
