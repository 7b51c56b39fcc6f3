//! The keys that use memories, for the page and the API. [`crate::client_uses`] records the uses.

use lar_base::{Problem, error_chain};
use lar_store::MemoryClient;

use crate::{Memories, ReadAccess};

impl Memories {
    /// Returns the keys that used the reader's spaces, most recent first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn clients(&self, reader: &ReadAccess) -> Result<Vec<MemoryClient>, Problem> {
        // A failed write must not fail this read. On a full disk, the uses of the last minute are missing.
        if let Err(error) = self.client_uses.flush().await {
            tracing::warn!(error = %error_chain(&error), "could not store the last uses of memories");
        }
        Ok(self.store.memory_clients(reader.spaces.clone()).await?)
    }
}
