//! Embedding and ranking steps that the embedded engine and the BERT encoder share.
//!
//! Texts are truncated before they go to a worker, and embeddings are normalized to unit length. The
//! embeddings of short texts are cached, because queries repeat.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lar_base::KeyId;
use sha2::{Digest as _, Sha256};

use crate::embedded::{EmbeddedTexts, Worker};
use lar_inference::Error;
use lar_inference::{Embeddings, Ranking};

/// The longest text that is cached, in bytes. Longer texts are chunks, which are stored and not embedded
/// again.
const TEXT_BYTES_MAX: usize = 1024;
/// The number of cached embeddings; one of 384 numbers takes 1.5 KiB.
const VECTORS_MAX: usize = 4096;
/// The bytes of a text that are sent for each token that the model reads. Ordinary text has 2 to 6 bytes per
/// token. Only long runs of spaces or meaningless strings have more than this, and the model does not read
/// the end of such texts.
const BYTES_PER_TOKEN: usize = 256;

/// Truncates texts to the length that the model can read, so that the rest costs no transfer and no
/// tokenizing. Returns the indexes of the truncated texts.
fn truncate_texts(texts: &mut [String], tokens_max: u32) -> Vec<usize> {
    let most = (tokens_max as usize).saturating_mul(BYTES_PER_TOKEN);
    let mut cut = Vec::new();
    for (index, text) in texts.iter_mut().enumerate().filter(|(_, text)| text.len() > most) {
        text.truncate(text.floor_char_boundary(most));
        text.shrink_to_fit();
        cut.push(index);
    }
    cut
}

/// Shortens texts to the bytes that [`embed`] and [`rank`] need to truncate them and to report that they did,
/// so that waiting texts take little memory.
pub(crate) fn shorten(texts: &mut [String], tokens_max: u32) {
    let most = (tokens_max as usize).saturating_mul(BYTES_PER_TOKEN);
    // The longest character has four bytes, so at least one byte beyond the limit remains.
    for text in texts.iter_mut().filter(|text| text.len() > most.saturating_add(4)) {
        text.truncate(text.floor_char_boundary(most.saturating_add(4)));
        text.shrink_to_fit();
    }
}

/// Computes the embeddings of texts. The embedding of a single short text is cached, because queries repeat
/// and chunks do not.
pub(crate) async fn embed(
    worker: &Worker,
    cache: &Mutex<EmbeddingCache>,
    mut texts: Vec<String>,
    cache_of: Option<KeyId>,
    tokens_max: u32,
) -> Result<Embeddings, Error> {
    let digest = match texts.as_slice() {
        [text] => digest(text, cache_of),
        _ => None,
    };
    if let Some((vector, tokens)) = digest.and_then(|digest| lock(cache).get(&digest)) {
        return Ok(normalize(&[vector], tokens, Vec::new()));
    }
    let cut = truncate_texts(&mut texts, tokens_max);
    let EmbeddedTexts { values, tokens, truncated } = worker.embed(None, texts).await?;
    if let (Some(digest), [vector], []) = (digest, values.as_slice(), truncated.as_slice()) {
        lock(cache).put(digest, vector.clone(), tokens);
    }
    Ok(normalize(&values, tokens, merge_indexes(truncated, cut)))
}

/// Scales vectors to unit length and reports their original lengths. A zero vector stays zero.
fn normalize(computed: &[Vec<f32>], tokens: u64, truncated: Vec<usize>) -> Embeddings {
    let unit = |values: &Vec<f32>| {
        let length = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
        let vector: Vec<f32> = values.iter().map(|value| (f64::from(*value) * scale) as f32).collect();
        (vector, length)
    };
    let (vectors, lengths) = computed.iter().map(unit).unzip();
    Embeddings { vectors, lengths, tokens, truncated }
}

/// Scores texts for a query.
pub(crate) async fn rank(
    worker: &Worker,
    query: String,
    mut texts: Vec<String>,
    tokens_max: u32,
) -> Result<Ranking, Error> {
    let mut query = [query];
    let query_cut = !truncate_texts(&mut query, tokens_max).is_empty();
    let texts_cut = truncate_texts(&mut texts, tokens_max);
    let cut = if query_cut { (0..texts.len()).collect() } else { texts_cut };
    let [query] = query;
    let EmbeddedTexts { values, tokens, truncated } = worker.embed(Some(query), texts).await?;
    let scores = values.iter().map(|classes| Ranking::score(classes)).collect();
    Ok(Ranking { scores, tokens, truncated: merge_indexes(truncated, cut) })
}

/// Merges two lists of indexes, sorted and without duplicates.
fn merge_indexes(mut truncated: Vec<usize>, cut: Vec<usize>) -> Vec<usize> {
    truncated.extend(cut);
    truncated.sort_unstable();
    truncated.dedup();
    truncated
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The cache key: a hash of the text and the owner of the cache entry.
pub(crate) type Digest = [u8; 32];

/// The newest embeddings, as the model computed them.
#[derive(Debug, Default)]
pub(crate) struct EmbeddingCache {
    vectors: HashMap<Digest, (Vec<f32>, u64)>,
    order: VecDeque<Digest>,
}

/// Returns the cache key of a text; `None` if the text is too long to be cached. API keys do not share
/// entries: a faster answer would reveal that someone else sent the same text.
pub(crate) fn digest(text: &str, cache_of: Option<KeyId>) -> Option<Digest> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let mut hash = Sha256::new();
    hash.update(cache_of.map_or(0, |key| key.as_u128()).to_le_bytes());
    hash.update(text.as_bytes());
    Some(hash.finalize().into())
}

impl EmbeddingCache {
    /// Returns the embedding and the number of tokens of its text.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_normalized_and_report_their_length() {
        let found = normalize(&[vec![3.0, -4.0], vec![0.0, 0.0]], 7, vec![1]);
        let vectors = vec![vec![0.6, -0.8], vec![0.0, 0.0]];
        assert_eq!(found, Embeddings { vectors, lengths: vec![5.0, 0.0], tokens: 7, truncated: vec![1] });
    }

    #[test]
    fn only_long_texts_are_truncated_at_character_boundaries() {
        let long = "ä".repeat(10 * BYTES_PER_TOKEN);
        let mut texts = vec!["short".to_owned(), format!("x{long}"), String::new(), long];
        assert_eq!(truncate_texts(&mut texts, 3), [1, 3]);
        let lengths: Vec<usize> = texts.iter().map(String::len).collect();
        assert_eq!(lengths, [5, 3 * BYTES_PER_TOKEN - 1, 0, 3 * BYTES_PER_TOKEN]);
        let mut shortened = vec!["short".to_owned(), "ä".repeat(10 * BYTES_PER_TOKEN), "x".repeat(10_000)];
        shorten(&mut shortened, 3);
        assert_eq!(
            truncate_texts(&mut shortened, 3),
            [1, 2],
            "a shortened text is still reported as truncated"
        );
        assert!(shortened.iter().all(|text| text.capacity() < 4 * BYTES_PER_TOKEN));
        assert_eq!(merge_indexes(vec![3, 0], vec![1, 3]), [0, 1, 3]);
    }
}
