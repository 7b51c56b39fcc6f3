//! Detects GGUF files that no engine can run, so that Lar rejects them at installation and not at loading.

use super::Metadata;

impl Metadata {
    /// Returns the reason why no engine can run the model, or `None`. The first file of a split model may
    /// have no tensors.
    #[must_use]
    pub fn unusable_reason(&self) -> Option<&'static str> {
        match self {
            Self { tensors: 0, split_count: 0 | 1, .. } => Some("it has no weights"),
            Self { parameters: 0, split_count: 0 | 1, .. } => Some("its tensors have no elements"),
            Self { vocabulary: 0, .. } => Some("it has no vocabulary"),
            Self { context_tokens: 0, .. } => Some("it has no context length"),
            _ => None,
        }
    }
}
