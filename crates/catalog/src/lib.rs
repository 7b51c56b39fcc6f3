//! The models on disk: pulls, metadata, names and aliases.
//!
//! Files are content-addressed (`blobs/sha256-…`). Each model has one manifest (`manifests/NAME.json`), so
//! that several data directories can share a models directory. Aliases are in the database of each data
//! directory. A pull writes the manifest last, in one rename, so a failed pull never leaves a half-registered
//! model. This crate does not load models: `engines` does, from the plain values that it gets from here.

mod adopt;
mod aliases;
mod blobs;
mod catalog;
mod error;
pub mod gguf;
mod kind;
mod model;
mod name_derivation;
mod name_syntax;
mod prompts;
mod pull;
mod recommended;
pub mod safetensors;
mod source;
mod speed;
mod split;
mod starter;

pub use adopt::{AdoptableModel, ModelFolderSettings, ModelFolders};
pub use aliases::ResolvedModel;
pub use catalog::Catalog;
pub use error::Error;
pub use kind::Kind;
pub use lar_base::default_models::{DEFAULT_CHAT, DEFAULT_EMBEDDING, DEFAULT_RERANK};
pub use model::{File, FileLocation, FileRole, Model, ModelFacts};
pub use prompts::EmbeddingPrompts;
pub use pull::{HUB, Progress, Pull};
pub use recommended::{ModelRecommendation, RECOMMENDED};
pub use source::Source;
pub use speed::{DecodeSpeed, MeasuredModel, TOKENS_PER_SECOND_MIN};
pub use starter::{Choice, Machine, STARTER_CHAT, STARTER_EMBEDDING, STARTERS, Starter};
