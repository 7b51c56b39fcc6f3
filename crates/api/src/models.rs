//! The catalog, pools, devices and what Lar can do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An installed model, or one that a remote engine serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
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
    /// Memory that loading it takes with the present settings, about.
    pub memory_bytes: u64,
    /// How that is made up.
    #[serde(default)]
    pub memory: MemoryParts,
    /// Tokens a second of one answer, once measured on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    pub digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantization: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Who made it, where its licence asks that this is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<String>,
    /// The file with the text of its licence on the server's machine, where Lar keeps one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license_file: Option<String>,
    pub parameters: u64,
    pub source: String,
    /// Aliases that stand for it.
    pub aliases: Vec<String>,
    /// Whether it only proves that everything works.
    pub starter: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added_at: Option<String>,
}

/// The memory that loading a model takes: the sum of all but the last is the model's `memory_bytes`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryParts {
    /// The weights, all files.
    pub weights_bytes: u64,
    /// The KV caches: `slots` times `context_tokens`.
    pub context_bytes: u64,
    /// Tasks at once.
    pub slots: u32,
    /// What is computed in between.
    pub compute_bytes: u64,
    /// The draft model with its context.
    pub draft_bytes: u64,
    /// Taken further as it is needed: KV caches that were evicted from their slots, at most.
    pub prompt_cache_max_bytes: u64,
}

/// A model of the list, and what this machine makes of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct RecommendedModel {
    pub name: String,
    pub source: String,
    pub about: String,
    pub license: String,
    pub size_bytes: u64,
    pub memory_bytes: u64,
    pub context_tokens: u32,
    /// Whether it fits this machine's memory.
    pub fits: bool,
    /// Tokens a second of one answer on this machine.
    pub tokens_per_second: f64,
    /// How that is known: `estimated` or `measured`.
    pub speed: String,
    /// Whether it fits the memory and is fast enough to read along.
    pub recommended: bool,
    pub installed: bool,
}

/// A model to begin with, chosen for this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StarterModel {
    /// What it is called once installed.
    pub name: String,
    /// `chat` or `embedding`.
    pub kind: String,
    /// Where it comes from.
    pub source: String,
    /// The size of the download.
    pub size_bytes: u64,
    /// Tokens a second that are expected of a chat model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// Whether it is there already.
    pub installed: bool,
    /// Why it was chosen.
    pub reason: String,
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
    /// Threads that compute single tokens, while it is loaded and where the engine tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// Physical cores of the machine.
    #[serde(default)]
    pub cores: u32,
    /// Why there are fewer threads than cores, where there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads_note: Option<String>,
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
    pub confinement: Confinement,
}

/// How the kernel confines the processes that hold models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Confinement {
    /// `best-effort` or `require`, as `engines.confinement` says.
    pub policy: String,
    /// Whether they are confined in every way.
    pub complete: bool,
    /// What this kernel lacks, or has in part only.
    pub missing: Vec<String>,
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
