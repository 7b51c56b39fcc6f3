//! The files of a connected client in the data directory: its key, and the journal of what was written.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use lar_base::files::{TEXT_BYTES_MAX, read_small};
use serde::{Deserialize, Serialize};

use super::files::FileChange;

/// The record of a connected client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Journal {
    pub(super) key_id: String,
    pub(super) url: String,
    /// Whether the client uses this data directory's own server, whose port may change.
    pub(super) local: bool,
    pub(super) files: Vec<FileChange>,
}

/// The paths of a client's files in the data directory.
pub(super) struct ClientState {
    pub(super) folder: PathBuf,
    pub(super) key: PathBuf,
    pub(super) journal: PathBuf,
}

impl ClientState {
    pub(super) fn of(data_dir: &Path, client: &str) -> anyhow::Result<Self> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if client.is_empty() || client.len() > 64 || !client.bytes().all(is_plain) {
            bail!("`{client:.64}` is not the name of a client");
        }
        let folder = data_dir.join("clients");
        let [key, journal] = ["key", "json"].map(|kind| folder.join(format!("{client}.{kind}")));
        Ok(Self { folder, key, journal })
    }

    pub(super) fn journal(&self) -> anyhow::Result<Option<Journal>> {
        match read_small(&self.journal, TEXT_BYTES_MAX) {
            Ok(text) => {
                let journal = serde_json::from_slice(&text);
                journal.map(Some).with_context(|| format!("{} cannot be read", self.journal.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", self.journal.display())),
        }
    }
}
