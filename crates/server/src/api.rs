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
    /// OpenAI's API. Anthropic's clients use its list of models, too.
    OpenAi,
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
            Api::Mcp | Api::OpenAi | Api::Anthropic | Api::Ollama | Api::LlamaCpp => true,
            Api::Lar | Api::Bridge => false,
        }
    }

    /// Returns whether a body is read as JSON whatever its `Content-Type` is, as the makers' servers do.
    ///
    /// curl sends a form's type, and some clients send none. A web page of another site could do the same without
    /// a CORS preflight. In Ollama's API, [`crate::origin_guard`] rejects such a page by its `Origin`. In the other
    /// APIs the request must also have a key in a header (`has_key`), which forces a preflight.
    pub(crate) const fn takes_any_media_type(self, has_key: bool) -> bool {
        match self {
            Api::Ollama => true,
            Api::OpenAi | Api::Anthropic | Api::LlamaCpp => has_key,
            Api::Lar | Api::Mcp | Api::Bridge => false,
        }
    }

    /// Returns the format of the errors of a request with these headers.
    pub(crate) fn error_format(self, headers: &HeaderMap) -> ErrorFormat {
        match self {
            Api::Lar | Api::Mcp => ErrorFormat::Lar,
            Api::OpenAi if headers.contains_key(ANTHROPIC_VERSION) => ErrorFormat::Anthropic,
            Api::OpenAi => ErrorFormat::OpenAi,
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
    fn errors_below_v1_have_the_format_of_the_client() {
        let mut headers = HeaderMap::new();
        assert_eq!(Api::OpenAi.error_format(&headers), ErrorFormat::OpenAi);
        headers.insert(ANTHROPIC_VERSION, "2023-06-01".parse().unwrap());
        assert_eq!(Api::OpenAi.error_format(&headers), ErrorFormat::Anthropic);
        assert_eq!(Api::LlamaCpp.error_format(&headers), ErrorFormat::LlamaCpp);
    }
}
