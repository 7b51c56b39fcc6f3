//! Models in name only, which are refused when they are installed rather than when they are loaded.

use super::Metadata;

impl Metadata {
    /// Why it is a model in name only: a header around nothing that an engine could run. The first of several files may
    /// have no tensor of its own.
    #[must_use]
    pub fn unusable_reason(&self) -> Option<&'static str> {
        match self {
            Self { tensors: 0, split_count: 0 | 1, .. } => Some("it has no weights"),
            Self { parameters: 0, split_count: 0 | 1, .. } => Some("its tensors have no elements"),
            Self { vocabulary: 0, .. } => Some("it has no vocabulary"),
            Self { context_tokens: 0, .. } => Some("it says no context length"),
            _ => None,
        }
    }
}
