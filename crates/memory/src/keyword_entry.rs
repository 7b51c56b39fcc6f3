//! The keyword entry of a chunk, made of its text and the labels of its memory.

use lar_base::Timestamp;
use lar_text::days::Day;
use lar_text::terms::{Labels, encode_entry};

/// Returns the keyword entry of a chunk. The first chunk of a memory has the words of its labels as well.
pub(crate) fn keyword_entry(
    chunk_text: &str,
    is_first: bool,
    tags: &[String],
    occurred_at: Option<Timestamp>,
) -> Vec<u8> {
    let labels = match is_first {
        true => Labels { tags, day: occurred_at.map(|at| Day::of_millis(at.as_millis())) },
        false => Labels::default(),
    };
    encode_entry(chunk_text, labels)
}
