//! The APIs that Lar serves. A nested router belongs to one of them, which decides the format of its errors and
//! whether pages of other origins may use it.

use axum::http::HeaderMap;

use crate::errors::ErrorFormat;

/// The header that Anthropic's clients send with every request.
pub(crate) const ANTHROPIC_VERSION: &str = "anthropic-version";

/// The API of a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// Lar's own API, the web page, health and metrics.
    Lar,
    /// The Model Context Protocol.
    Mcp,
    /// OpenAI's API.
    OpenAi,
    /// The list of models, which OpenAI's and Anthropic's APIs have at the same path.
    Models,
    /// Anthropic's API.
    Anthropic,
    /// Ollama's API.
    Ollama,
    /// llama.cpp's server.
    LlamaCpp,
    /// The bridge of the memory service Vestige.
    Bridge,
}

impl Api {
    /// Returns whether the API may be opened to pages of other origins.
    pub(crate) const fn serves_other_pages(self) -> bool {
        match self {
            Api::Mcp | Api::OpenAi | Api::Models | Api::Anthropic | Api::Ollama | Api::LlamaCpp => true,
            Api::Lar | Api::Bridge => false,
        }
    }

    /// Returns the format of the errors of a request with these headers.
    pub(crate) fn error_format(self, headers: &HeaderMap) -> ErrorFormat {
        match self {
            Api::Lar | Api::Mcp => ErrorFormat::Lar,
            Api::Models if headers.contains_key(ANTHROPIC_VERSION) => ErrorFormat::Anthropic,
            Api::OpenAi | Api::Models => ErrorFormat::OpenAi,
            Api::Anthropic => ErrorFormat::Anthropic,
            Api::Ollama => ErrorFormat::Ollama,
            Api::LlamaCpp => ErrorFormat::LlamaCpp,
            Api::Bridge => ErrorFormat::Bridge,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_lists_have_the_errors_of_the_client() {
        let mut headers = HeaderMap::new();
        assert_eq!(Api::Models.error_format(&headers), ErrorFormat::OpenAi);
        headers.insert(ANTHROPIC_VERSION, "2023-06-01".parse().unwrap());
        assert_eq!(Api::Models.error_format(&headers), ErrorFormat::Anthropic);
        assert_eq!(Api::OpenAi.error_format(&headers), ErrorFormat::OpenAi);
    }
}
