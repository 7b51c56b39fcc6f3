//! The placeholders of recipes and their values.
//!
//! A placeholder is a name in braces, such as `{url}`. Braces around anything else are left unchanged, since JSON and
//! YAML have braces of their own.

use lar_base::Secret;

/// The placeholder whose value may be unknown.
pub(crate) const CONTEXT_TOKENS: &str = "context_tokens";

/// The values of a recipe's placeholders. Each field has the name of its placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variables {
    /// The address of Lar, without a slash at the end.
    pub url: String,
    /// The client's API key.
    pub key: Secret,
    /// The absolute path of the program `lar`, which a client starts for `lar mcp`.
    pub lar_program: String,
    /// Lar's data directory.
    pub data_dir: String,
    /// The path of the file that contains the client's API key.
    pub key_file: String,
    /// The path of the client's file with environment variables.
    pub env_file: String,
    /// The context length of the default model. If it is unknown, lines that contain its placeholder are omitted.
    pub context_tokens: Option<usize>,
}

impl Variables {
    /// Returns the first value that breaks out of quotes in a client's settings, with the name of its placeholder.
    #[must_use]
    pub fn find_unquotable(&self) -> Option<(&'static str, &str)> {
        self.texts().into_iter().find(|(_, value)| is_unquotable(value))
    }

    /// Replaces the placeholders in `text`.
    pub(crate) fn fill(&self, text: &str) -> String {
        text.split_inclusive('\n').filter_map(|line| self.fill_line(line)).collect()
    }

    /// Returns `None` if the line has a placeholder without a value.
    fn fill_line(&self, line: &str) -> Option<String> {
        let mut filled = String::with_capacity(line.len());
        let mut rest = line;
        while let Some((before, name, after)) = split_at_placeholder(rest) {
            filled.push_str(before);
            filled.push_str(&self.value(name)?);
            rest = after;
        }
        filled.push_str(rest);
        Some(filled)
    }

    fn value(&self, name: &str) -> Option<String> {
        if name == CONTEXT_TOKENS {
            return self.context_tokens.map(|tokens| tokens.to_string());
        }
        self.texts().into_iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
    }

    /// The values that are texts, with the names of their placeholders.
    fn texts(&self) -> [(&'static str, &str); 6] {
        [
            ("url", self.url.as_str()),
            ("key", self.key.expose()),
            ("lar_program", self.lar_program.as_str()),
            ("data_dir", self.data_dir.as_str()),
            ("key_file", self.key_file.as_str()),
            ("env_file", self.env_file.as_str()),
        ]
    }
}

fn is_unquotable(value: &str) -> bool {
    value.contains(['"', '\'', '\\']) || value.chars().any(char::is_control)
}

/// Returns the names of the placeholders in `text`.
pub(crate) fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, name, after) = split_at_placeholder(rest)?;
        rest = after;
        Some(name)
    })
}

/// Whether a value is given for placeholders of this name.
pub(crate) fn is_placeholder(name: &str) -> bool {
    let names = ["url", "key", "lar_program", "data_dir", "key_file", "env_file", CONTEXT_TOKENS];
    names.contains(&name)
}

/// Returns the text before the first placeholder, the placeholder's name, and the text after it.
fn split_at_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    text.match_indices('{').find_map(|(start, _)| {
        let inside = &text[start + 1..];
        let end = inside.find(|next: char| !next.is_ascii_lowercase() && next != '_')?;
        let (name, after) = inside.split_at(end);
        let after = after.strip_prefix('}').filter(|_| !name.is_empty())?;
        Some((&text[..start], name, after))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn variables() -> Variables {
        Variables {
            url: "http://127.0.0.1:4567".into(),
            key: Secret::new("lar_SECRET"),
            lar_program: "/usr/bin/lar".into(),
            data_dir: "/data".into(),
            key_file: "/data/clients/client.key".into(),
            env_file: "/data/clients/client.env".into(),
            context_tokens: Some(8192),
        }
    }

    #[test]
    fn placeholders_are_replaced_and_other_braces_stay() {
        let filled = |text: &str| variables().fill(text);
        assert_eq!(filled("{url}/v1 {\"a\": {\"b\": 1}}"), "http://127.0.0.1:4567/v1 {\"a\": {\"b\": 1}}");
        assert_eq!(filled("{key}{key} {{data_dir}}"), "lar_SECRETlar_SECRET {/data}");
        assert_eq!(filled("{ length: {context_tokens} }\n"), "{ length: 8192 }\n");
        assert_eq!(filled("{} {A} {url {"), "{} {A} {url {");
        assert_eq!(filled("\n"), "\n");
    }

    #[test]
    fn values_are_not_searched_for_placeholders() {
        let variables = Variables { url: "{key}".into(), ..variables() };
        assert_eq!(variables.fill("{url}"), "{key}");
    }

    #[test]
    fn lines_with_an_unknown_context_length_are_omitted() {
        let variables = Variables { context_tokens: None, ..variables() };
        assert_eq!(variables.fill("a\nb = {context_tokens}\nc = {data_dir}\n"), "a\nc = /data\n");
    }

    #[test]
    fn every_placeholder_has_a_value() {
        let variables = variables();
        let mut names = variables.texts().map(|(name, _)| name).to_vec();
        names.push(CONTEXT_TOKENS);
        for name in names {
            assert!(is_placeholder(name) && variables.value(name).is_some(), "{name}");
        }
        assert!(!is_placeholder("other") && variables.value("other").is_none());
    }

    #[test]
    fn values_that_break_out_of_quotes_are_found() {
        assert_eq!(variables().find_unquotable(), None);
        for value in ["/o'brien", "a\"b", "a\\b", "a\nb"] {
            let variables = Variables { data_dir: value.into(), ..variables() };
            assert_eq!(variables.find_unquotable(), Some(("data_dir", value)));
        }
    }
}
