//! Codecs of the compatible APIs: OpenAI's, Anthropic's, Ollama's and llama.cpp's.
//!
//! A codec is pure. It knows no server, no engine and no clock: it decodes the bytes of a body into a
//! [`Request`], and encodes the events of the request's tasks as that API's response.
//!
//! - Each endpoint that generates text has a type that implements [`Codec`], such as [`anthropic::Messages`]:
//!   `decode` reads a body, `encoder` creates the [`Encoder`] of a stream, and `whole` returns the body with
//!   complete [`Answer`]s. An encoder's `push` returns the [`Frame`]s of one event.
//! - The Responses API has an [`Encoder`], but no [`Codec`]: [`openai::responses`] says why.
//! - Endpoints that generate no text, such as embeddings, have the functions `decode` and `whole`.
//! - Bodies are read by [`lenient`], and [`fields`] lists the support of each field.
//! - Each API has an `error` module with the body of its errors.
//!
//! Invariant: the same events give the same frames. Times and ids come from the code that calls the codec.

mod answer;
pub mod anthropic;
mod call_id;
mod codec;
mod encoder;
mod error_kinds;
pub mod fields;
mod frame;
pub mod lenient;
mod line_limits;
pub mod llama_cpp;
mod message_builder;
mod model_name;
pub mod ollama;
pub mod openai;
mod prompts;
mod reasoning_effort;
mod request;
mod sampling;
mod token_limit;
mod token_usage;
mod tool_schemas;
mod tools;

pub use answer::Answer;
pub use codec::{Codec, DecodedRequest};
pub use encoder::{AnswerEvent, Encoder, Head};
pub use error_kinds::is_overload;
pub use fields::ignored_name;
pub use frame::Frame;
pub use line_limits::LineLimits;
pub use model_name::{MEMORY_SUFFIX, plain_name};
pub use prompts::{PromptInput, PromptPiece};
pub use request::Request;
pub use token_limit::TokenLimit;
pub use tool_schemas::ToolSchemas;

use fields::Field;

/// Returns how Lar treats each request field of the compatible APIs, for the reference pages.
///
/// The result has one item per API: its name, and a Markdown table for each of its paths.
#[must_use]
pub fn field_tables() -> [(&'static str, Vec<(&'static str, String)>); 4] {
    let openai: [(&str, &[Field]); 6] = [
        ("/v1/chat/completions", openai::wire::CHAT_FIELDS),
        ("/v1/completions", openai::wire::COMPLETION_FIELDS),
        ("/v1/responses", openai::responses::wire::RESPONSE_FIELDS),
        ("/v1/responses/input_tokens", openai::responses::wire::INPUT_TOKENS_FIELDS),
        ("/v1/embeddings", openai::wire::EMBEDDING_FIELDS),
        ("/v1/rerank", openai::rerank::wire::RERANK_FIELDS),
    ];
    let anthropic: [(&str, &[Field]); 2] = [
        ("/v1/messages", anthropic::wire::MESSAGES_FIELDS),
        ("/v1/messages/count_tokens", anthropic::wire::COUNT_TOKENS_FIELDS),
    ];
    let ollama: [(&str, &[Field]); 5] = [
        ("/api/chat", ollama::wire::CHAT_FIELDS),
        ("/api/generate", ollama::wire::GENERATE_FIELDS),
        ("/api/embed", ollama::wire::EMBED_FIELDS),
        ("/api/embeddings", ollama::wire::EMBEDDINGS_FIELDS),
        ("/api/chat, /api/generate: options", ollama::wire::OPTIONS),
    ];
    let llama_cpp: [(&str, &[Field]); 4] = [
        ("/completion, /infill", llama_cpp::wire::COMPLETION_FIELDS),
        ("/tokenize", llama_cpp::wire::TOKENIZE_FIELDS),
        ("/detokenize", llama_cpp::wire::DETOKENIZE_FIELDS),
        ("/embedding", llama_cpp::wire::EMBEDDING_FIELDS),
    ];
    let tables = |paths: &[(&'static str, &[Field])]| {
        paths.iter().map(|(path, table)| (*path, fields::markdown(table))).collect::<Vec<_>>()
    };
    [
        ("openai", tables(&openai)),
        ("anthropic", tables(&anthropic)),
        ("ollama", tables(&ollama)),
        ("llama-cpp", tables(&llama_cpp)),
    ]
}
