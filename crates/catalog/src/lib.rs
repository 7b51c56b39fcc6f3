//! Models on disk: getting them, describing them, naming them.
//!
//! Files are content-addressed (`blobs/sha256-…`) and each model is one manifest beside them
//! (`manifests/NAME.json`), so that several data directories can share a models directory; what one data
//! directory calls them (aliases) is in its own database. A manifest is written last, in one rename: a pull
//! that breaks anywhere leaves nothing half-registered. Engines get plain values from here.

mod adopt;
mod blobs;
mod catalog;
mod error;
pub mod gguf;
mod model;
mod names;
mod pull;
mod recommended;
pub mod safetensors;
mod source;
mod speed;
mod split;
mod starter;

pub use adopt::{AdoptableModel, ModelFolderSettings, ModelFolders};
pub use catalog::{Catalog, DEFAULT_CHAT, DEFAULT_EMBEDDING, DEFAULT_RERANK, ResolvedModel};
pub use error::Error;
pub use model::{File, FileLocation, FileRole, Kind, Model, ModelFacts};
pub use pull::{HUB, Progress, Pull};
pub use recommended::{ModelRecommendation, RECOMMENDED};
pub use source::Source;
pub use speed::{DecodeSpeed, MeasuredModel};
pub use starter::{
    Choice, Machine, STARTER_CHAT, STARTER_EMBEDDING, STARTERS, Starter, TOKENS_PER_SECOND_MIN,
};
