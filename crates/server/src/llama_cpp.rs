//! The native endpoints of llama.cpp's server, for editors that complete code and programs that count tokens.
//!
//! Each endpoint has its own module. OpenAI's paths without `/v1` use the handlers of [`crate::openai`].

pub(crate) mod completion;
pub(crate) mod embedding;
mod logit_bias;
pub(crate) mod properties;
mod settings;
pub(crate) mod tokens;
