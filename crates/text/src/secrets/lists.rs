//! Lists of words that the rules use, read from the files of `lists/`.

use std::collections::{HashMap, HashSet};

/// Named lists of words in lower case.
pub(super) struct Lists(HashMap<String, HashSet<String>>);

impl Lists {
    /// Reads the lists of a TOML file: each key is a list of strings.
    pub(super) fn read(source: &str) -> Self {
        let table: toml::Table = toml::from_str(source).unwrap_or_else(|error| {
            tracing::error!(%error, "could not read a list of the secret scan");
            toml::Table::new()
        });
        let words = |list: &toml::Value| -> HashSet<String> {
            list.as_array().into_iter().flatten().filter_map(|word| Some(word.as_str()?.to_owned())).collect()
        };
        Self(table.iter().map(|(name, list)| (name.clone(), words(list))).collect())
    }

    /// Returns whether a word is on a list.
    pub(super) fn has(&self, list: &str, word: &str) -> bool {
        self.0.get(list).is_some_and(|words| words.contains(word))
    }

    /// Iterates over the words of a list, in no order.
    pub(super) fn words(&self, list: &str) -> impl Iterator<Item = &str> {
        self.0.get(list).into_iter().flatten().map(String::as_str)
    }
}
