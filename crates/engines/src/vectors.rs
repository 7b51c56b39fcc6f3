//! Vectors of short texts that were asked before: queries come again and again. Both kinds of embedders have one.

use std::collections::{HashMap, VecDeque};

use lar_base::KeyId;
use sha2::{Digest as _, Sha256};

/// Longer texts are passages, which are stored rather than asked again.
const TEXT_BYTES_MAX: usize = 1024;
/// Vectors that are kept; 384 numbers take 1.5 KiB.
const VECTORS_MAX: usize = 4096;

/// Which text of whose.
pub(crate) type Digest = [u8; 32];

/// The newest vectors.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    vectors: HashMap<Digest, (Vec<f32>, u64)>,
    order: VecDeque<Digest>,
}

/// The name under which a text's vector is kept; `None` for what is not kept. Keys do not share: an answer
/// that comes sooner would tell that someone else asked the same.
pub(crate) fn digest(text: &str, cache_of: Option<KeyId>) -> Option<Digest> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let mut hash = Sha256::new();
    hash.update(cache_of.map_or(0, |key| key.as_u128()).to_le_bytes());
    hash.update(text.as_bytes());
    Some(hash.finalize().into())
}

impl Cache {
    /// The vector and its text's tokens.
    pub(crate) fn get(&self, digest: &Digest) -> Option<(Vec<f32>, u64)> {
        self.vectors.get(digest).cloned()
    }

    pub(crate) fn put(&mut self, digest: Digest, vector: Vec<f32>, tokens: u64) {
        if self.vectors.insert(digest, (vector, tokens)).is_none() {
            self.order.push_back(digest);
        }
        while self.order.len() > VECTORS_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.vectors.remove(&oldest);
            }
        }
    }
}
