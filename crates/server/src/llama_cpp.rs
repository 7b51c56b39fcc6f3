//! llama.cpp's server's own endpoints, for its clients: editors that fill in code, programs that count tokens. Each has
//! its file; OpenAI's paths without `/v1` lead to the handlers of [`crate::openai`].

pub(crate) mod completion;
pub(crate) mod embedding;
mod logit_bias;
pub(crate) mod properties;
mod settings;
pub(crate) mod tokens;
