//! What becomes of each field of the compatible APIs' requests: the tables that decoders read and the reference shows.

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldSupport {
    /// It does what its API says.
    Honoured,
    /// It is accepted and has no effect here; named in `X-Lar-Ignored`.
    NoEffect,
    /// It would change the output and cannot be honoured: an error, unless its value is the default.
    Refused,
}

/// A field of a request and what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What becomes of it.
    pub support: FieldSupport,
    /// Why, for the reference.
    pub note: &'static str,
}

/// How many tokens an answer may have: -1 and -2, which clients of llama.cpp and Ollama know, say that there is no limit but the
/// context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenLimit {
    /// So many.
    AtMost(u32),
    /// As many as the context has room for.
    Unlimited,
}

impl TokenLimit {
    /// The lowest number that is one. Where numbers out of range become the nearest, what is below it is no limit, too.
    pub const LOWEST: i128 = -2;

    /// The number of tokens; `None` where there is no limit.
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
        let wrong = || serde::de::Error::custom("must be a whole number of tokens, or -1 for no limit");
        // Of 128 bits, so that what 64 cannot hold is read as what it is: more than any context has.
        match i128::deserialize(deserializer).map_err(|_| wrong())? {
            TokenLimit::LOWEST..=-1 => Ok(TokenLimit::Unlimited),
            tokens if tokens > u32::MAX.into() => Ok(TokenLimit::Unlimited),
            tokens => u32::try_from(tokens).map(TokenLimit::AtMost).map_err(|_| wrong()),
        }
    }
}

/// A table of fields, by what becomes of them.
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
