//! Backups.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Backup {
    /// The file, on the machine of the server.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// When it was made.
    pub created_at: String,
}
