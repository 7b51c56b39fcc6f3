//! The test kit: a real Lar as a child process, with a free port and its own data directory, and an HTTP
//! client for it.
//!
//! The models come from the directory that `LAR_TEST_MODELS` names; `make test` fills it. The program is the
//! one that cargo built in this profile.

pub mod crash;
pub mod damage;
mod disk;
mod engine;
pub mod escapes;
pub mod generated_models;
mod lar;
mod memory;
mod models;
pub mod offline;
mod reasoning;
mod senders;
mod split;
mod terminal;
pub mod tool_caller;
mod until;
pub mod vocabulary;

pub use disk::Disk;
pub use engine::{engine_options, load_engine};
pub use lar::{Answer, Lar, free_port};
pub use memory::ProcessMemory;
pub use models::{chat_model, embedder_file, llama_server, models_dir, program};
pub use reasoning::reasoning_model;
pub use senders::half_sent;
pub use split::split_gguf;
pub use terminal::{COLUMNS, Terminal};
pub use until::{StopOnDrop, until};
