//! The token limit of a request, which may mean no limit.

/// The maximum number of tokens of an answer.
///
/// Clients of llama.cpp and Ollama send -1 or -2 for an answer that only the context limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenLimit {
    /// At most this number of tokens.
    AtMost(u32),
    /// As many tokens as the context has room for.
    Unlimited,
}

impl TokenLimit {
    /// The lowest valid number. APIs that clamp numbers raise lower ones to it, so they also mean no limit.
    pub(crate) const LOWEST: i128 = -2;

    /// Returns the number of tokens, or `None` without a limit.
    #[must_use]
    pub const fn get(self) -> Option<u32> {
        match self {
            TokenLimit::AtMost(tokens) => Some(tokens),
            TokenLimit::Unlimited => None,
        }
    }
}

impl<'de> serde::Deserialize<'de> for TokenLimit {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = || serde::de::Error::custom("must be an integer number of tokens, or -1 for no limit");
        // 128 bits, so that a number beyond 64 bits is read as no limit instead of failing.
        match i128::deserialize(deserializer).map_err(|_| wrong())? {
            TokenLimit::LOWEST..=-1 => Ok(TokenLimit::Unlimited),
            tokens if tokens > u32::MAX.into() => Ok(TokenLimit::Unlimited),
            tokens => u32::try_from(tokens).map(TokenLimit::AtMost).map_err(|_| wrong()),
        }
    }
}
