//! Reads the metadata of a GGUF file without loading the model.
//!
//! Format: `docs/gguf.md` of the ggml repository, versions 2 and 3, little endian. The file is untrusted:
//! each count and length has a limit. The end of the tensor data is compared with the file size, to detect a
//! truncated file before an engine maps it.

mod error;
mod split;
mod types;
mod unusable;

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

pub use error::GgufError;
pub use split::read_files;
use types::{quantization, scalar_bytes, tensor_block};

/// The maximum number of key-value pairs in a file. Real files have fewer than 100.
const PAIRS_MAX: u64 = 10_000;
/// The maximum number of tensors in a file. The largest models have a few thousand.
const TENSORS_MAX: u64 = 100_000;
/// The size limit of one string. The longest real strings are chat templates of a few kB.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// The size limit of all keys and strings in memory. Real files have less than 100 kB.
const KEPT_BYTES_MAX: u64 = 16 << 20;
/// The maximum number of elements of one array. Vocabularies have up to 300,000.
const ARRAY_ITEMS_MAX: u64 = 4_000_000;

/// A metadata value. Only the length of an array is kept.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Number(f64),
    Text(String),
    /// The number of elements.
    Array(u64),
}

/// The metadata of a GGUF file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata {
    /// `general.architecture`, such as `llama`.
    pub architecture: String,
    /// The model's name for people (`general.name`); `None` if the file has none.
    pub name: Option<String>,
    /// The license (`general.license`), such as `apache-2.0`; `None` if the file names none.
    pub license: Option<String>,
    /// The quantization of most of the weights, such as `Q4_K_M`.
    pub quantization: Option<String>,
    /// The context size that the model was trained for, in tokens.
    pub context_tokens: u32,
    /// The number of weights in all tensors of the file.
    pub parameters: u64,
    /// The bytes per token of an f16 KV cache.
    pub cache_bytes_per_token: u64,
    /// The chat template, if the model has one.
    pub chat_template: Option<String>,
    /// The text of the token that starts a prompt (BOS); `None` if the vocabulary has none.
    pub start_token: Option<String>,
    /// The text of the token that ends an answer (EOS); `None` if the vocabulary has none.
    pub end_token: Option<String>,
    /// The pooling type of an embedder or reranker (`*.pooling_type`, llama.cpp's numbers); `None` for a
    /// model that generates text.
    pub pooling: Option<u64>,
    /// The number of tensors in this file, which may be a part of a split model.
    pub tensors: u64,
    /// The number of tokens in the vocabulary.
    pub vocabulary: u64,
    /// The number of files of a split model; 0 or 1 for a single file.
    pub split_count: u64,
}

/// Reads the metadata of one file of `size` bytes. Reads only the header, which is at most a few MB.
///
/// # Errors
/// Fails if the file is not GGUF, is truncated, or exceeds a limit.
pub fn parse(reader: impl Read + Seek, size: u64) -> Result<Metadata, GgufError> {
    let mut reader = Reader { inner: reader, at: 0, size, keep: KEPT_BYTES_MAX };
    let Header { values, parameters, tensors, tokens_at } = reader.header()?;
    let mut metadata = Metadata { tensors, ..describe(&values, parameters)? };
    if let Some(at) = tokens_at {
        metadata.start_token = token(&mut reader, at, &values, "tokenizer.ggml.bos_token_id")?;
        metadata.end_token = token(&mut reader, at, &values, "tokenizer.ggml.eos_token_id")?;
    }
    Ok(metadata)
}

/// Reads a file's metadata and number of weights without interpreting the metadata.
fn header(reader: impl Read + Seek, size: u64) -> Result<(BTreeMap<String, Value>, u64), GgufError> {
    let Header { values, parameters, .. } =
        Reader { inner: reader, at: 0, size, keep: KEPT_BYTES_MAX }.header()?;
    Ok((values, parameters))
}

struct Header {
    values: BTreeMap<String, Value>,
    parameters: u64,
    /// The number of tensors in the file.
    tensors: u64,
    /// The offset of the vocabulary in the file.
    tokens_at: Option<u64>,
}

fn describe(values: &BTreeMap<String, Value>, parameters: u64) -> Result<Metadata, GgufError> {
    let text = |key: &str| match values.get(key) {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    };
    let architecture =
        text("general.architecture").ok_or_else(|| GgufError::Corrupt("it has no architecture".into()))?;
    let number = |key: &str| match values.get(&format!("{architecture}.{key}")) {
        Some(Value::Number(number)) if (0.0..1e12).contains(number) => Some(*number as u64),
        _ => None,
    };
    let heads = number("attention.head_count").unwrap_or(0);
    let width = number("embedding_length").unwrap_or(0);
    let head = width.checked_div(heads).unwrap_or(0);
    let key = number("attention.key_length").unwrap_or(head);
    let value = number("attention.value_length").unwrap_or(head);
    let cached_heads = number("attention.head_count_kv").unwrap_or(heads);
    let layers = number("block_count").unwrap_or(0);
    Ok(Metadata {
        name: text("general.name"),
        license: text("general.license"),
        quantization: match values.get("general.file_type") {
            Some(Value::Number(kind)) => quantization(*kind as u32).map(ToOwned::to_owned),
            _ => None,
        },
        context_tokens: number("context_length").and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        parameters,
        cache_bytes_per_token: layers
            .saturating_mul(cached_heads)
            .saturating_mul(key.saturating_add(value))
            .saturating_mul(2),
        chat_template: text("tokenizer.chat_template"),
        start_token: None,
        end_token: None,
        pooling: number("pooling_type"),
        tensors: 0,
        vocabulary: match values.get("tokenizer.ggml.tokens") {
            Some(Value::Array(count)) => *count,
            _ => 0,
        },
        split_count: match values.get("split.count") {
            Some(Value::Number(count)) if (0.0..1e6).contains(count) => *count as u64,
            _ => 0,
        },
        architecture,
    })
}

fn alignment(values: &BTreeMap<String, Value>) -> Result<u64, GgufError> {
    match values.get("general.alignment") {
        None => Ok(32),
        Some(Value::Number(n)) if (1.0..=65536.0).contains(n) && n.fract() == 0.0 => Ok(*n as u64),
        Some(_) => Err(GgufError::Corrupt("its alignment is out of range".into())),
    }
}

fn token<R: Read + Seek>(
    reader: &mut Reader<R>,
    tokens_at: u64,
    values: &BTreeMap<String, Value>,
    key: &str,
) -> Result<Option<String>, GgufError> {
    let Some(Value::Number(id)) = values.get(key) else { return Ok(None) };
    reader.seek(tokens_at)?;
    if reader.u32()? != STRING {
        return Ok(None);
    }
    let count = reader.count("tokens", ARRAY_ITEMS_MAX)?;
    if !(0.0..count as f64).contains(id) {
        return Ok(None);
    }
    for _ in 0..*id as u64 {
        reader.skip_text()?;
    }
    reader.text().map(Some)
}

const STRING: u32 = 8;
const ARRAY: u32 = 9;

struct Reader<R> {
    inner: R,
    at: u64,
    size: u64,
    /// The bytes left of [`KEPT_BYTES_MAX`].
    keep: u64,
}

impl<R: Read + Seek> Reader<R> {
    /// Reads everything before the weights.
    fn header(&mut self) -> Result<Header, GgufError> {
        if self.bytes(4)? != b"GGUF" {
            return Err(GgufError::NotGguf);
        }
        let version = self.u32()?;
        if !(2..=3).contains(&version) {
            return Err(GgufError::Version(version));
        }
        let tensors = self.count("tensors", TENSORS_MAX)?;
        let pairs = self.count("metadata pairs", PAIRS_MAX)?;
        let mut values = BTreeMap::new();
        let mut tokens_at = None;
        for _ in 0..pairs {
            let key = self.kept_text()?;
            let kind = self.u32()?;
            if key == "tokenizer.ggml.tokens" {
                tokens_at = Some(self.at);
            }
            let value = self.value(kind)?;
            values.insert(key, value);
        }
        let parameters = self.tensors(tensors, alignment(&values)?)?;
        Ok(Header { values, parameters, tensors, tokens_at })
    }

    fn bytes(&mut self, length: u64) -> Result<Vec<u8>, GgufError> {
        self.need(length)?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        self.inner.read_exact(&mut bytes).map_err(|error| GgufError::Io(error.to_string()))?;
        self.at += length;
        Ok(bytes)
    }

    fn need(&self, length: u64) -> Result<(), GgufError> {
        let need = self.at.saturating_add(length);
        if need > self.size { Err(GgufError::Truncated { have: self.size, need }) } else { Ok(()) }
    }

    fn skip(&mut self, length: u64) -> Result<(), GgufError> {
        self.need(length)?;
        self.seek(self.at + length)
    }

    fn seek(&mut self, at: u64) -> Result<(), GgufError> {
        let by = i64::try_from(at).unwrap_or(i64::MAX) - i64::try_from(self.at).unwrap_or(i64::MAX);
        self.inner.seek(SeekFrom::Current(by)).map_err(|error| GgufError::Io(error.to_string()))?;
        self.at = at;
        Ok(())
    }

    fn u32(&mut self) -> Result<u32, GgufError> {
        let bytes = self.bytes(4)?;
        Ok(bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte)))
    }

    fn u64(&mut self) -> Result<u64, GgufError> {
        Ok(u64::from(self.u32()?) | u64::from(self.u32()?) << 32)
    }

    fn count(&mut self, what: &str, limit: u64) -> Result<u64, GgufError> {
        match self.u64()? {
            count if count <= limit => Ok(count),
            count => {
                Err(GgufError::Corrupt(format!("it claims to have {count} {what}; the limit is {limit}")))
            }
        }
    }

    fn text_length(&mut self) -> Result<u64, GgufError> {
        match self.u64()? {
            length if length <= TEXT_BYTES_MAX => Ok(length),
            length => Err(GgufError::Corrupt(format!(
                "it claims to have a string of {length} bytes; the limit is {TEXT_BYTES_MAX}"
            ))),
        }
    }

    fn text(&mut self) -> Result<String, GgufError> {
        let length = self.text_length()?;
        Ok(String::from_utf8_lossy(&self.bytes(length)?).into_owned())
    }

    /// Reads a string to keep in memory, and counts it toward [`KEPT_BYTES_MAX`].
    fn kept_text(&mut self) -> Result<String, GgufError> {
        let text = self.text()?;
        let left = self.keep.checked_sub(text.len() as u64);
        self.keep = left.ok_or_else(|| {
            GgufError::Corrupt(format!("its keys and strings exceed {KEPT_BYTES_MAX} bytes"))
        })?;
        Ok(text)
    }

    fn skip_text(&mut self) -> Result<(), GgufError> {
        let length = self.text_length()?;
        self.skip(length)
    }

    fn value(&mut self, kind: u32) -> Result<Value, GgufError> {
        let number = |bytes: &[u8], signed: bool| {
            let word = bytes.iter().rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
            let spare = 64 - 8 * bytes.len() as u32;
            if signed { ((word << spare) as i64 >> spare) as f64 } else { word as f64 }
        };
        Ok(match kind {
            0 | 7 => Value::Number(number(&self.bytes(1)?, false)),
            1 => Value::Number(number(&self.bytes(1)?, true)),
            2 => Value::Number(number(&self.bytes(2)?, false)),
            3 => Value::Number(number(&self.bytes(2)?, true)),
            4 => Value::Number(number(&self.bytes(4)?, false)),
            5 => Value::Number(number(&self.bytes(4)?, true)),
            6 => Value::Number(f64::from(f32::from_bits(self.u32()?))),
            10 => Value::Number(number(&self.bytes(8)?, false)),
            11 => Value::Number(number(&self.bytes(8)?, true)),
            12 => Value::Number(f64::from_bits(self.u64()?)),
            STRING => Value::Text(self.kept_text()?),
            ARRAY => {
                let item = self.u32()?;
                let count = self.count("items in an array", ARRAY_ITEMS_MAX)?;
                match item {
                    STRING => (0..count).try_for_each(|_| self.skip_text())?,
                    _ => self.skip(count * scalar_bytes(item)?)?,
                }
                Value::Array(count)
            }
            kind => return Err(GgufError::Corrupt(format!("it has a value of unknown type {kind}"))),
        })
    }

    /// Reads the descriptions of the tensors. Checks that the file has all their data. Returns the number of
    /// weights.
    fn tensors(&mut self, count: u64, alignment: u64) -> Result<u64, GgufError> {
        let (mut parameters, mut end) = (0u64, 0u64);
        for _ in 0..count {
            self.skip_text()?;
            let dimensions = self.u32()?;
            if dimensions > 4 {
                return Err(GgufError::Corrupt(format!(
                    "a tensor has {dimensions} dimensions; the limit is 4"
                )));
            }
            let mut elements = 1u64;
            for _ in 0..dimensions {
                elements = elements.saturating_mul(self.u64()?);
            }
            let kind = self.u32()?;
            let offset = self.u64()?;
            parameters = parameters.saturating_add(elements);
            if let Some((block, bytes)) = tensor_block(kind) {
                end = end.max(offset.saturating_add((elements / block).saturating_mul(bytes)));
            }
        }
        let data = self.at.div_ceil(alignment) * alignment;
        let need = data.saturating_add(end);
        if need > self.size { Err(GgufError::Truncated { have: self.size, need }) } else { Ok(parameters) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn text(bytes: &mut Vec<u8>, text: &str) {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    }

    /// Builds a small complete file: four pairs, with a vocabulary of three tokens, and an f32 tensor of 8
    /// elements.
    fn sample() -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3u32.to_le_bytes());
        bytes.extend(1u64.to_le_bytes());
        bytes.extend(4u64.to_le_bytes());
        text(&mut bytes, "general.architecture");
        bytes.extend(8u32.to_le_bytes());
        text(&mut bytes, "llama");
        text(&mut bytes, "llama.context_length");
        bytes.extend(4u32.to_le_bytes());
        bytes.extend(2048u32.to_le_bytes());
        text(&mut bytes, "tokenizer.ggml.tokens");
        bytes.extend(9u32.to_le_bytes());
        bytes.extend(8u32.to_le_bytes());
        bytes.extend(3u64.to_le_bytes());
        for token in ["a", "<s>", "</s>"] {
            text(&mut bytes, token);
        }
        text(&mut bytes, "tokenizer.ggml.bos_token_id");
        bytes.extend(4u32.to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        text(&mut bytes, "weight");
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(8u64.to_le_bytes());
        bytes.extend(0u32.to_le_bytes());
        bytes.extend(0u64.to_le_bytes());
        let data = bytes.len().div_ceil(32) * 32;
        bytes.resize(data + 32, 0);
        bytes
    }

    fn parse_bytes(bytes: &[u8]) -> Result<Metadata, GgufError> {
        parse(Cursor::new(bytes), bytes.len() as u64)
    }

    #[test]
    fn metadata_is_read() {
        let metadata = parse_bytes(&sample()).unwrap();
        let expected = Metadata {
            architecture: "llama".into(),
            context_tokens: 2048,
            parameters: 8,
            start_token: Some("<s>".into()),
            tensors: 1,
            vocabulary: 3,
            ..Metadata::default()
        };
        assert_eq!(metadata, expected);
    }

    #[test]
    fn a_file_truncated_anywhere_is_an_error() {
        let whole = sample();
        for length in 0..whole.len() {
            assert!(parse_bytes(&whole[..length]).is_err(), "cut at {length}");
        }
        let cut = &whole[..whole.len() - 1];
        let (have, need) = (cut.len() as u64, whole.len() as u64);
        assert_eq!(parse_bytes(cut), Err(GgufError::Truncated { have, need }));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic_or_allocate_much(
            at in 0usize..320, with: [u8; 8], tail in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut bytes = sample();
            for (target, byte) in bytes[at..].iter_mut().zip(with) { *target = byte; }
            bytes.extend(tail);
            let _ = parse_bytes(&bytes);
            let _ = parse_bytes(&with);
        }
    }
}
