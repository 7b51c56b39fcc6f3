//! The encoder: models of the BERT family (safetensors) that compute embeddings or rank texts, in pure Rust.

mod bert;
mod files;
mod kernels;
mod queue;
mod service;
mod text_tokenizer;
mod weights;

pub(crate) use bert::Scratch;
pub(crate) use kernels::prepare;
pub(crate) use service::Service;
