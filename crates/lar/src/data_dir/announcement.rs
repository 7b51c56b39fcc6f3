//! The announcement of the running server to its clients: `server.json` in the data directory.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use lar_base::files::{KEY_BYTES_MAX, read_small};
use serde::{Deserialize, Serialize};

use super::permissions::new_file;

/// The URL and process of the server of a data directory, for its clients.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ServerFile {
    pub(crate) url: String,
    pub(crate) pid: u32,
}

/// Returns the server that `server.json` announces. That server may have been killed.
pub(crate) fn running(path: &Path) -> Option<ServerFile> {
    serde_json::from_slice(&read_small(&path.join("server.json"), KEY_BYTES_MAX).ok()?).ok()
}

/// The file `server.json`, which announces the server. Dropping the value removes the file. Drop it before
/// the lock is released: the next server writes the same file.
#[derive(Debug)]
pub(crate) struct Announcement {
    path: PathBuf,
}

impl Announcement {
    /// Announces the URL of this process's server.
    ///
    /// # Errors
    /// If `server.json` cannot be written.
    pub(super) fn write(data_dir: &Path, url: &str) -> anyhow::Result<Self> {
        let server = ServerFile { url: url.to_owned(), pid: std::process::id() };
        let partial = data_dir.join("server.json.new");
        let path = data_dir.join("server.json");
        let text = serde_json::to_vec(&server)?;
        let written = new_file(&partial)
            .and_then(|mut file| file.write_all(&text))
            .and_then(|()| std::fs::rename(&partial, &path));
        written.with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::DataDir;

    #[test]
    fn a_server_is_announced_until_the_announcement_is_dropped() {
        let at = tempfile::tempdir().unwrap();
        let data_dir = DataDir::lock(at.path()).unwrap();
        // The file of a killed server.
        std::fs::write(at.path().join("server.json"), r#"{"url":"http://127.0.0.1:1","pid":1}"#).unwrap();
        let announcement = data_dir.announce("http://127.0.0.1:5270").unwrap();
        let server = running(at.path()).unwrap();
        assert_eq!((server.url.as_str(), server.pid), ("http://127.0.0.1:5270", std::process::id()));
        drop(announcement);
        assert!(running(at.path()).is_none() && !at.path().join("server.json").exists());
    }
}
