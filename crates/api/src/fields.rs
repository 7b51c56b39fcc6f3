//! What becomes of each field of the compatible APIs' requests: the tables that decoders read and the reference shows.

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
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
    pub treatment: Treatment,
    /// Why, for the reference.
    pub note: &'static str,
}

/// A table of fields, by what becomes of them.
macro_rules! fields {
    ($(#[$doc:meta])* $table:ident: $($treatment:ident { $($name:literal $(= $note:literal)?),* $(,)? })*) => {
        $(#[$doc])*
        pub const $table: &[$crate::fields::Field] = &[$($($crate::fields::Field {
            name: $name,
            treatment: $crate::fields::Treatment::$treatment,
            note: concat!("" $(, $note)?),
        },)*)*];
    };
}

pub(crate) use fields;
