//! A noun that names a secret, with the words around it.

use std::ops::Range;

use super::language::Noun;
use super::text::StatedText;
use super::words::SecretWord;

/// A noun that names a secret, with the words around it.
pub(super) struct StatedSecret<'a> {
    pub(super) stated: &'a StatedText<'a>,
    pub(super) noun: &'a Noun,
    /// The same noun in all languages that have it.
    pub(super) nouns: &'a [Noun],
    pub(super) at: Range<usize>,
    pub(super) after: &'a [SecretWord],
    /// The last word first.
    pub(super) before: &'a [SecretWord],
}
