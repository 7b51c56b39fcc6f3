//! The files that a backup may contain, and the manifest that lists them.

use serde::{Deserialize, Serialize};

/// The name of the manifest in a backup.
pub(super) const MANIFEST: &str = "manifest.json";
/// The name of the database in a backup and in a data directory.
pub(super) const DATABASE: &str = "lar.db";
/// The settings, which can name programs that Lar runs.
pub(super) const SETTINGS: &str = "lar.toml";
/// The files beside the database. Without the first, Lar recognizes no API key.
pub(super) const COMPANION_FILES: [&str; 3] = ["secret.key", "owner.key", SETTINGS];
/// The folder with the records of connected clients.
pub(super) const CLIENTS: &str = "clients";
/// The most files of that folder in a backup.
pub(super) const CLIENTS_MAX: usize = 1000;
/// The version of the file format that this Lar reads and writes.
pub(super) const FORMAT: u32 = 1;

/// The description of a backup, which is its first file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the file format.
    pub format: u32,
    /// The version of the Lar that made it.
    pub version: String,
    /// The number of the newest migration in the database; a Lar that supports fewer refuses it.
    pub schema: u32,
    /// The time when it was made, as RFC 3339.
    pub created_at: String,
    /// The other files of the backup, in the order in which they follow.
    pub files: Vec<Entry>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its path in the data directory, such as `secret.key` or `clients/NAME`.
    pub name: String,
    /// The size of its content, in bytes.
    pub bytes: u64,
    /// The SHA-256 of its content, in lower-case hexadecimal digits.
    pub sha256: String,
}

/// Returns whether a backup may contain a file of this name. Longer names would need tar extensions.
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
