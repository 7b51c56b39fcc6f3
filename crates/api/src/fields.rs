//! How Lar treats each request field of the compatible APIs.
//!
//! The decoders read these tables, and the tables in `docs/reference/` are generated from them.

/// How Lar treats a request field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldSupport {
    /// Lar applies the field as its API specifies.
    Supported,
    /// Lar accepts the field, does not use it, and names it in `X-Lar-Ignored`.
    Ignored,
    /// Lar rejects the request unless the value is the default, because the field would change the output.
    Rejected,
}

/// A request field and its support.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The name of the field.
    pub name: &'static str,
    /// How Lar treats the field.
    pub support: FieldSupport,
    /// Details for the reference page; may be empty.
    pub note: &'static str,
}

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
    pub const LOWEST: i128 = -2;

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

/// Defines a table of fields, grouped by their support.
macro_rules! fields {
    ($(#[$doc:meta])* $table:ident: $($support:ident { $($name:literal $(= $note:literal)?),* $(,)? })*) => {
        $(#[$doc])*
        pub const $table: &[$crate::fields::Field] = &[$($($crate::fields::Field {
            name: $name,
            support: $crate::fields::FieldSupport::$support,
            note: concat!("" $(, $note)?),
        },)*)*];
    };
}

pub(crate) use fields;
