//! A field that is a string or a list of strings.

use serde::Deserialize;

/// One string or several.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be a string or an array of strings")]
pub enum OneOrMany {
    /// A single string.
    One(String),
    /// A list of strings, which may be empty.
    Many(Vec<String>),
}

impl OneOrMany {
    /// Returns the strings as a list.
    #[must_use]
    pub fn into_vec(self) -> Vec<String> {
        match self {
            OneOrMany::One(text) => vec![text],
            OneOrMany::Many(texts) => texts,
        }
    }
}
