//! The native endpoints of llama.cpp's server, for editors that complete code and programs that count tokens.
//!
//! Each endpoint has its own module; [`lar_compat::llama_cpp`] decodes its requests and encodes its
//! responses. OpenAI's paths without `/v1` use the handlers of [`crate::openai`].

pub(crate) mod completion;
pub(crate) mod embedding;
pub(crate) mod properties;
pub(crate) mod tokens;
