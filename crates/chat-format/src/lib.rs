//! Chat formats: messages become a prompt, and an answer's text becomes text, reasoning and tool calls.
//!
//! Pure: no model, no input or output.
//! - [`template`] renders a model's chat template.
//! - [`ModelFormat`] knows how a model family writes reasoning and tool calls, and builds the grammars for
//!   them. `worker` applies these grammars.
//! - [`OutputParser`] parses an answer while it streams.
//! - [`schema_loosening`] loosens JSON schemas to what grammars can express.
//! - [`gbnf`] parses llama.cpp's grammars.

mod formats;
pub mod gbnf;
mod json;
mod model_format;
mod names;
mod output_parser;
mod partial_match;
mod pythonic_calls;
mod reasoning;
pub mod schema_loosening;
mod schema_validation;
pub mod template;
mod tool_call_format;
mod tool_call_parser;
mod tool_grammar;
mod tools;

pub use model_format::{ModelFormat, OutputFormat, THINKING_SWITCHES};
pub use names::with_plain_names;
pub use output_parser::OutputParser;
pub use partial_match::partial_match_len;
pub use schema_loosening::bound_whitespace;
pub use schema_validation::schema_violation;
pub use tools::{arguments_schema, explain_tools, tool_json};

#[cfg(test)]
mod tests;
