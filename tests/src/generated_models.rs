//! Models that are generated from the weights of the starter embedder: the embedder as a GGUF file for
//! llama.cpp, and a cross-encoder in both formats.
//!
//! The classifier of the cross-encoder has random weights. Its scores have no meaning, but are always the
//! same. The GGUF format is described in `docs/gguf.md` of the ggml repository. Names of tensors and keys are
//! those that llama.cpp reads for BERT.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

use crate::models::embedder_file;

/// Mean pooling, as llama.cpp numbers pooling types.
pub const POOLING_MEAN: u32 = 1;
/// Pooling by the vector of the first token.
pub const POOLING_CLS: u32 = 2;
/// A classifier on the first token.
pub const POOLING_RANK: u32 = 4;

/// The alignment of tensors in bytes.
const ALIGNMENT: usize = 32;

/// A builder of GGUF files.
#[derive(Default)]
pub(crate) struct Gguf {
    pairs: u64,
    head: Vec<u8>,
    infos: Vec<u8>,
    tensors: u64,
    data: Vec<u8>,
}

impl Gguf {
    pub(crate) fn text(bytes: &mut Vec<u8>, text: &str) {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    }

    pub(crate) fn pair(&mut self, key: &str, kind: u32, value: &[u8]) {
        Self::text(&mut self.head, key);
        self.head.extend(kind.to_le_bytes());
        self.head.extend(value);
        self.pairs += 1;
    }

    fn number(&mut self, key: &str, value: u64) {
        self.pair(key, 4, &u32::try_from(value).expect("the value fits 32 bits").to_le_bytes());
    }

    pub(crate) fn string(&mut self, key: &str, value: &str) {
        let mut bytes = Vec::new();
        Self::text(&mut bytes, value);
        self.pair(key, 8, &bytes);
    }

    /// Adds an f32 tensor. Its shape is in row-major order, outermost dimension first.
    fn tensor(&mut self, name: &str, shape: &[usize], values: &[u8]) {
        Self::text(&mut self.infos, name);
        self.infos.extend((shape.len() as u32).to_le_bytes());
        for size in shape.iter().rev() {
            self.infos.extend((*size as u64).to_le_bytes());
        }
        self.infos.extend(0u32.to_le_bytes());
        self.infos.extend((self.data.len() as u64).to_le_bytes());
        self.tensors += 1;
        self.data.extend(values);
        self.data.resize(self.data.len().next_multiple_of(ALIGNMENT), 0);
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3u32.to_le_bytes());
        bytes.extend(self.tensors.to_le_bytes());
        bytes.extend(self.pairs.to_le_bytes());
        bytes.extend(self.head);
        bytes.extend(self.infos);
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes.extend(self.data);
        bytes
    }
}

/// Writes the starter embedder as a GGUF file with this pooling into `folder`, and returns its path.
///
/// # Panics
/// If the starter embedder is missing.
#[must_use]
pub fn gguf_embedder(folder: &Path, pooling: u32) -> PathBuf {
    let (config, tokens) = (json("config"), vocabulary());
    let weights = std::fs::read(embedder_file("weights")).expect("the weights exist");
    let weights = SafeTensors::deserialize(&weights).expect("the weights are safetensors");
    let mut gguf = Gguf::default();
    let size = |key: &str| config[key].as_u64().expect("the config has this size");
    gguf.string("general.architecture", "bert");
    gguf.string("general.name", "made of the starter embedder");
    gguf.number("general.file_type", 0);
    for (key, value) in [
        ("context_length", "max_position_embeddings"),
        ("embedding_length", "hidden_size"),
        ("feed_forward_length", "intermediate_size"),
        ("block_count", "num_hidden_layers"),
        ("attention.head_count", "num_attention_heads"),
    ] {
        gguf.number(&format!("bert.{key}"), size(value));
    }
    gguf.pair("bert.attention.layer_norm_epsilon", 6, &1e-12f32.to_le_bytes());
    gguf.pair("bert.attention.causal", 7, &[0]);
    gguf.number("bert.pooling_type", pooling.into());
    gguf.string("tokenizer.ggml.model", "bert");
    gguf.number("tokenizer.ggml.token_type_count", 2);
    let mut texts = [8u32.to_le_bytes().to_vec(), (tokens.len() as u64).to_le_bytes().to_vec()].concat();
    let mut kinds = [5u32.to_le_bytes().to_vec(), (tokens.len() as u64).to_le_bytes().to_vec()].concat();
    for token in &tokens {
        let special = token.starts_with('[') && token.ends_with(']') && token.len() > 2;
        let text = match token.strip_prefix("##") {
            _ if special => token.clone(),
            Some(rest) if !rest.is_empty() => rest.to_owned(),
            _ => format!("\u{2581}{token}"),
        };
        Gguf::text(&mut texts, &text);
        kinds.extend((if special { 3i32 } else { 1 }).to_le_bytes());
    }
    gguf.pair("tokenizer.ggml.tokens", 9, &texts);
    gguf.pair("tokenizer.ggml.token_type", 9, &kinds);

    let mut copy = |from: &str, to: &str| {
        let view = weights.tensor(from).expect("the tensor exists");
        gguf.tensor(to, view.shape(), view.data());
    };
    copy("embeddings.word_embeddings.weight", "token_embd.weight");
    copy("embeddings.position_embeddings.weight", "position_embd.weight");
    copy("embeddings.token_type_embeddings.weight", "token_types.weight");
    let mut both = |from: &str, to: &str| {
        copy(&format!("{from}.weight"), &format!("{to}.weight"));
        copy(&format!("{from}.bias"), &format!("{to}.bias"));
    };
    both("embeddings.LayerNorm", "token_embd_norm");
    for layer in 0..size("num_hidden_layers") {
        for (from, to) in [
            ("attention.self.query", "attn_q"),
            ("attention.self.key", "attn_k"),
            ("attention.self.value", "attn_v"),
            ("attention.output.dense", "attn_output"),
            ("attention.output.LayerNorm", "attn_output_norm"),
            ("intermediate.dense", "ffn_up"),
            ("output.dense", "ffn_down"),
            ("output.LayerNorm", "layer_output_norm"),
        ] {
            both(&format!("encoder.layer.{layer}.{from}"), &format!("blk.{layer}.{to}"));
        }
    }
    if pooling == POOLING_RANK {
        let width = size("hidden_size") as usize;
        for ClassifierTensor { gguf: name, shape, values, .. } in classifier(width) {
            gguf.tensor(name, &shape, &values);
        }
    }
    let path = folder.join("made.gguf");
    std::fs::write(&path, gguf.bytes()).expect("the file can be written");
    path
}

/// Writes a cross-encoder as safetensors into `folder`: the starter embedder with a classifier on top.
///
/// Both token types have the same embedding, as in llama.cpp. Returns the paths of the weights and of
/// `config.json`.
///
/// # Panics
/// If the starter embedder is missing.
#[must_use]
pub fn cross_encoder(folder: &Path) -> (PathBuf, PathBuf) {
    let mut config = json("config");
    config["architectures"] = serde_json::json!(["BertForSequenceClassification"]);
    config["id2label"] = serde_json::json!({ "0": "LABEL_0" });
    let width = config["hidden_size"].as_u64().expect("the config has this size") as usize;
    let weights = std::fs::read(embedder_file("weights")).expect("the weights exist");
    let weights = SafeTensors::deserialize(&weights).expect("the weights are safetensors");
    let kinds = weights.tensor("embeddings.token_type_embeddings.weight").expect("the tensor exists");
    let first = &kinds.data()[..width * 4];
    let alike = [first, first].concat();
    let made = classifier(width);
    let mut tensors: Vec<(String, TensorView<'_>)> = Vec::new();
    for (name, view) in weights.tensors() {
        if name.starts_with("pooler.") {
            continue;
        }
        let view = if name == "embeddings.token_type_embeddings.weight" {
            TensorView::new(Dtype::F32, vec![2, width], &alike).expect("the shape fits")
        } else {
            view
        };
        tensors.push((format!("bert.{name}"), view));
    }
    for ClassifierTensor { safetensors: name, shape, values, .. } in &made {
        let view = TensorView::new(Dtype::F32, shape.clone(), values).expect("the shape fits");
        tensors.push(((*name).to_owned(), view));
    }
    let bytes = safetensors::serialize(tensors, None).expect("the tensors can be serialized");
    let (path, config_path) = (folder.join("made.safetensors"), folder.join("config.json"));
    std::fs::write(&path, bytes).expect("the file can be written");
    std::fs::write(&config_path, config.to_string()).expect("the file can be written");
    (path, config_path)
}

/// A tensor of the classifier.
struct ClassifierTensor {
    gguf: &'static str,
    safetensors: &'static str,
    shape: Vec<usize>,
    values: Vec<u8>,
}

fn classifier(width: usize) -> Vec<ClassifierTensor> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    // xorshift64, scaled to small values around zero.
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state as i32 as f32) / (i32::MAX as f32) * 0.1
    };
    let mut made = |gguf, safetensors, shape: &[usize]| {
        let count: usize = shape.iter().product();
        let values = (0..count).flat_map(|_| next().to_le_bytes()).collect();
        ClassifierTensor { gguf, safetensors, shape: shape.to_vec(), values }
    };
    vec![
        made("cls.weight", "bert.pooler.dense.weight", &[width, width]),
        made("cls.bias", "bert.pooler.dense.bias", &[width]),
        made("cls.output.weight", "classifier.weight", &[1, width]),
        made("cls.output.bias", "classifier.bias", &[1]),
    ]
}

fn json(role: &str) -> Value {
    let text = std::fs::read_to_string(embedder_file(role)).expect("the file exists");
    serde_json::from_str(&text).expect("the file is JSON")
}

/// Returns the tokens in the order of their ids.
fn vocabulary() -> Vec<String> {
    let tokenizer = json("tokenizer");
    let words = tokenizer["model"]["vocab"].as_object().expect("the tokenizer has a vocabulary");
    let mut tokens = vec![String::new(); words.len()];
    for (word, id) in words {
        tokens[id.as_u64().expect("the id is a number") as usize].clone_from(word);
    }
    tokens
}
