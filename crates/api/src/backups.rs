//! The wire types of `/lar/v1/backups`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A backup of the data directory, in a file on the server's machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Backup {
    /// The path of the file on the server's machine.
    pub path: String,
    /// The size of the file, in bytes.
    pub bytes: u64,
    /// When the backup was created (RFC 3339).
    pub created_at: String,
}
