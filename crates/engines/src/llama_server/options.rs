//! The options for a `llama-server`, which runs already or which Lar starts.

use std::path::PathBuf;

use lar_base::Secret;

use crate::confinement_policy::ConfinementPolicy;

/// The location of the server and how it runs.
#[derive(Debug, Clone)]
pub enum LlamaServerOptions {
    /// A server that already runs.
    Remote {
        /// The base URL, such as `http://127.0.0.1:8080`.
        url: String,
        /// The bearer token that the server expects.
        key: Option<Secret>,
    },
    /// A server that Lar starts.
    Managed {
        /// The path of Lar itself, which confines the program when it is started with the argument `launch`.
        launcher: PathBuf,
        /// The policy if the kernel cannot apply every part of the confinement.
        confinement: ConfinementPolicy,
        /// The path of the `llama-server` program, from the setting `engines.llama_server`.
        program: PathBuf,
        /// The path of the GGUF file.
        model: PathBuf,
        /// The number of generations that can run at the same time.
        concurrency: u32,
        /// The context size of each generation, in tokens.
        context_tokens: u32,
        /// The number of threads that compute.
        threads: u32,
    },
}
