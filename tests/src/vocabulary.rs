//! Vocabularies: reads the special tokens of a GGUF file, and generates small vocabularies. Each of these has
//! a kind of token that is hard to keep out of content.
//!
//! The format is described in `docs/gguf.md` of the ggml repository. Token types are numbered as in
//! llama.cpp.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::generated_models::Gguf;

/// The most bytes of a GGUF file that are read. The metadata comes first. With 262,144 tokens and their
/// merges it has some 16 MiB.
const METADATA_BYTES_MAX: u64 = 64 << 20;

/// The token types of llama.cpp.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const BYTE: i32 = 6;

/// The vocabulary of a GGUF file.
#[derive(Debug, Default)]
pub struct Vocabulary {
    /// The texts of the tokens.
    pub texts: Vec<String>,
    /// The types of the tokens.
    pub kinds: Vec<i32>,
}

impl Vocabulary {
    /// Reads the vocabulary of a GGUF file.
    ///
    /// # Panics
    /// If the file is not a GGUF file or has no vocabulary.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let (file, mut bytes) = (std::fs::File::open(path).expect("the file exists"), Vec::new());
        file.take(METADATA_BYTES_MAX).read_to_end(&mut bytes).expect("the file can be read");
        let mut reader = MetadataReader { bytes: &bytes, at: 8 };
        let (_tensors, pairs) = (reader.long(), reader.long());
        let mut vocabulary = Self::default();
        for _ in 0..pairs {
            let key = reader.text();
            let kind = reader.word();
            if kind == 9 {
                let (kind, length) = (reader.word(), reader.long());
                for _ in 0..length {
                    match (key.as_str(), kind) {
                        ("tokenizer.ggml.tokens", _) => vocabulary.texts.push(reader.text()),
                        ("tokenizer.ggml.token_type", _) => {
                            vocabulary.kinds.push(i32::try_from(reader.word()).expect("types are small"));
                        }
                        _ => reader.skip(kind),
                    }
                }
            } else {
                reader.skip(kind);
            }
        }
        assert_eq!(vocabulary.texts.len(), vocabulary.kinds.len(), "every token has a type");
        vocabulary
    }

    /// Returns the control and user-defined tokens by their ids.
    #[must_use]
    pub fn special(&self) -> BTreeMap<u32, String> {
        let kinds = self.kinds.iter().zip(&self.texts).zip(0..);
        let special = kinds.filter(|((kind, _), _)| matches!(**kind, CONTROL | USER_DEFINED));
        special.map(|((_, text), token)| (token, text.clone())).collect()
    }
}

struct MetadataReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl MetadataReader<'_> {
    fn take(&mut self, length: usize) -> &[u8] {
        self.at += length;
        &self.bytes[self.at - length..self.at]
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().expect("4 bytes"))
    }

    fn long(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().expect("8 bytes"))
    }

    fn text(&mut self) -> String {
        let length = usize::try_from(self.long()).expect("the length fits memory");
        String::from_utf8_lossy(self.take(length)).into_owned()
    }

    fn skip(&mut self, kind: u32) {
        match kind {
            0 | 1 | 7 => _ = self.take(1),
            2 | 3 => _ = self.take(2),
            4..=6 => _ = self.take(4),
            8 => _ = self.text(),
            9 => {
                let (kind, length) = (self.word(), self.long());
                (0..length).for_each(|_| self.skip(kind));
            }
            _ => _ = self.take(8),
        }
    }
}

/// Writes a SentencePiece vocabulary.
///
/// Its tokenizer merges any two pieces that form a token, also a special one. `</` and `s>` become the end
/// token without a search for its text.
///
/// # Panics
/// If the file cannot be written.
#[must_use]
pub fn sentence_pieces(folder: &Path) -> PathBuf {
    let mut tokens: Vec<(String, i32, f32)> = vec![
        ("<unk>".into(), UNKNOWN, 0.0),
        ("<s>".into(), CONTROL, 0.0),
        ("</s>".into(), CONTROL, 0.0),
        ("<|im_start|>".into(), USER_DEFINED, 0.0),
        ("<|im_end|>".into(), CONTROL, 0.0),
        ("\n\n".into(), USER_DEFINED, 0.0),
        ("<table>".into(), USER_DEFINED, 0.0),
    ];
    tokens.extend((0..=255u8).map(|byte| (format!("<0x{byte:02X}>"), BYTE, 0.0)));
    let pieces =
        ["\u{2581}", "</", "s>", "<s", "\u{2581}a", "th", "the", "\u{2581}the", "in", "er", "an", "im"];
    tokens.extend(pieces.map(|piece| (piece.to_owned(), NORMAL, -(piece.len() as f32))));
    tokens.extend((b'!'..=b'~').map(|byte| (char::from(byte).to_string(), NORMAL, -100.0)));
    let mut gguf = head("llama", &tokens);
    gguf.pair("tokenizer.ggml.bos_token_id", 4, &1u32.to_le_bytes());
    gguf.pair("tokenizer.ggml.eos_token_id", 4, &2u32.to_le_bytes());
    write(folder, "sentence-pieces.gguf", gguf)
}

/// Writes a byte-pair vocabulary with user-defined tokens: tokens that a template writes, and others that are
/// ordinary text (a run of spaces, a tag).
///
/// # Panics
/// If the file cannot be written.
#[must_use]
pub fn byte_pairs(folder: &Path) -> PathBuf {
    let mut tokens: Vec<(String, i32, f32)> = vec![
        ("<|endoftext|>".into(), CONTROL, 0.0),
        ("<|im_start|>".into(), CONTROL, 0.0),
        ("<|im_end|>".into(), CONTROL, 0.0),
        ("<think>".into(), USER_DEFINED, 0.0),
        ("</think>".into(), USER_DEFINED, 0.0),
        ("<|channel|>".into(), USER_DEFINED, 0.0),
        ("[INST]".into(), CONTROL, 0.0),
        ("    ".into(), USER_DEFINED, 0.0),
        ("<table>".into(), USER_DEFINED, 0.0),
        ("<|fim_prefix|>".into(), CONTROL, 0.0),
        ("<|fim_suffix|>".into(), CONTROL, 0.0),
        ("<|fim_middle|>".into(), CONTROL, 0.0),
    ];
    tokens.extend(byte_letters().into_iter().map(|letter| (letter.to_string(), NORMAL, 0.0)));
    let merges = ["t h", "th e", "i n", "e r", "\u{120} the", "a n", "< |", "| >", "i m"];
    tokens.extend(merges.map(|merge| (merge.replace(' ', ""), NORMAL, 0.0)));
    let mut gguf = head("gpt2", &tokens);
    gguf.string("tokenizer.ggml.pre", "gpt-2");
    let mut list = [8u32.to_le_bytes().to_vec(), (merges.len() as u64).to_le_bytes().to_vec()].concat();
    merges.iter().for_each(|merge| Gguf::text(&mut list, merge));
    gguf.pair("tokenizer.ggml.merges", 9, &list);
    gguf.pair("tokenizer.ggml.eos_token_id", 4, &2u32.to_le_bytes());
    write(folder, "byte-pairs.gguf", gguf)
}

/// Returns the characters that represent bytes in GPT-2 vocabularies.
fn byte_letters() -> Vec<char> {
    let mut others = 256u32..;
    let letter = |byte: u8| match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
        _ => others.next().and_then(char::from_u32).expect("there are letters"),
    };
    (0..=255u8).map(letter).collect()
}

fn head(kind: &str, tokens: &[(String, i32, f32)]) -> Gguf {
    let mut gguf = Gguf::default();
    gguf.string("general.architecture", "llama");
    gguf.string("tokenizer.ggml.model", kind);
    let list =
        |kind: u32| [kind.to_le_bytes().to_vec(), (tokens.len() as u64).to_le_bytes().to_vec()].concat();
    let (mut texts, mut kinds, mut scores) = (list(8), list(5), list(6));
    for (text, kind, score) in tokens {
        Gguf::text(&mut texts, text);
        kinds.extend(kind.to_le_bytes());
        scores.extend(score.to_le_bytes());
    }
    gguf.pair("tokenizer.ggml.tokens", 9, &texts);
    gguf.pair("tokenizer.ggml.token_type", 9, &kinds);
    gguf.pair("tokenizer.ggml.scores", 9, &scores);
    gguf
}

fn write(folder: &Path, name: &str, gguf: Gguf) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, gguf.bytes()).expect("the file can be written");
    path
}
