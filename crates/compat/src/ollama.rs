//! Ollama's API, `/api`: chats, completions, embeddings, and requests about models.
//!
//! Chat and generate differ in their prompts. [`OllamaInput`] is the decoded request of both, and
//! [`OllamaEncoder`] and [`whole`] make the responses of both.

pub mod chat;
mod context;
pub mod embed;
mod encode;
pub mod error;
pub mod generate;
mod input;
mod keep_alive;
pub mod models;
mod options;
pub mod wire;

pub use encode::{OllamaEncoder, load_answer, whole};
pub use input::{OllamaInput, OllamaPath, OllamaStyle};
pub use keep_alive::FOREVER;
