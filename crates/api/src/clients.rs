//! How clients are told of a Lar: which files of theirs say what, and what a person does then. The command line writes
//! them, the page shows them.
//!
//! Names in braces stand for what is known where it is done: `{url}`, `{key}`, `{key_file}`, `{lar}` (the program),
//! `{data_dir}`, `{context_tokens}` (of the default model). Formats are those that the clients document; which of them were run
//! is in `docs/guides/connect.md`.

mod recipes;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use recipes::RECIPES;

/// A client and how it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    /// As it is written on the command line.
    pub name: &'static str,
    /// As people know it.
    pub title: &'static str,
    /// What it gets, on one line.
    pub about: &'static str,
    /// What its key may do.
    pub scopes: &'static [&'static str],
    /// The path of the API that it chats through, for a try; none where it only remembers.
    pub chat_path: Option<&'static str>,
    /// Whether it calls the tools of `lar mcp`.
    pub has_memory_tools: bool,
    /// Its files.
    pub files: &'static [FileRecipe],
    /// What a person does then.
    pub then: &'static str,
    /// Something to copy for that.
    pub example: Option<&'static str>,
}

/// A file and what is set in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileRecipe {
    /// When it is written.
    pub part: Part,
    /// What its path is below.
    pub root: Root,
    /// Its path.
    pub path: &'static str,
    /// What it holds.
    pub form: Form,
    /// What is set, as a document of this form.
    pub text: &'static str,
    /// The same for those who do it by hand, without files of Lar's; as `text` where it is absent, not by hand where it is empty.
    pub by_hand: Option<&'static str>,
    /// The places in it that are set, such as `mcpServers.lar`; with `[]` behind it one is added to a list. All of the file where
    /// there are none.
    pub managed_paths: &'static [&'static str],
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// In any case.
    Always,
    /// Its models are to be Lar's.
    Models,
    /// A session is to begin with what is remembered.
    Hooks,
}

/// Where a path begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// The home directory.
    Home,
    /// Codex' own: `$CODEX_HOME`, else `~/.codex`.
    Codex,
    /// Claude Code's own: `$CLAUDE_CONFIG_DIR`, else `~/.claude`.
    Claude,
    /// Where Claude Code keeps `.claude.json`: `$CLAUDE_CONFIG_DIR`, else the home directory.
    ClaudeState,
    /// The folder `clients` of Lar's data directory.
    Clients,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// JSON, with the comments and looser spellings that some clients allow.
    Json,
    /// TOML.
    Toml,
    /// Anything; the whole file is Lar's.
    Whole,
}

/// A client, as the page shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ClientCard {
    pub name: String,
    pub title: String,
    pub about: String,
    /// What writes its files where Lar is.
    pub command: String,
    /// What its key may do.
    pub scopes: Vec<String>,
    /// What a person writes by hand: its files and what goes into them, something to run.
    pub by_hand: Vec<Snippet>,
    /// What a person does then.
    pub then: String,
    /// Its key, while one is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// When its key was last used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_at: Option<String>,
}

/// Something to copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Snippet {
    /// Where it goes; absent for what is run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What.
    pub text: String,
}

/// Puts what is known in the place of the names in braces. A line with a name whose value is empty, since it is not known, is
/// left out.
#[must_use]
pub fn fill_template(text: &str, values: &[(&str, &str)]) -> String {
    let braced: Vec<(String, &str)> =
        values.iter().map(|(name, value)| (format!("{{{name}}}"), *value)).collect();
    let unknown = |line: &&str| braced.iter().any(|(name, value)| value.is_empty() && line.contains(name));
    let text: String = text.split_inclusive('\n').filter(|line| !unknown(line)).collect();
    braced.iter().fold(text, |text, (name, value)| text.replace(name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_unknown_values_are_left_out() {
        let text = "a = {url}\nb = {context_tokens}\nc = {other}\n";
        assert_eq!(fill_template(text, &[("url", "x"), ("context_tokens", "")]), "a = x\nc = {other}\n");
        assert_eq!(fill_template("{url} {url}", &[("url", "x")]), "x x");
    }

    #[test]
    fn recipes_are_complete() {
        for recipe in RECIPES {
            let named = |name: &str| RECIPES.iter().filter(|other| other.name == name).count();
            assert_eq!(named(recipe.name), 1);
            assert!(recipe.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
            for file in recipe.files {
                assert!(!file.path.starts_with('/') && !file.path.contains(".."), "{}", file.path);
                assert_eq!(file.form == Form::Whole, file.managed_paths.is_empty(), "{}", file.path);
                if file.by_hand == Some("") {
                    let names = ["url", "key", "lar", "data_dir", "key_file", "env_file", "context_tokens"];
                    let values = names.map(|name| (name, "?"));
                    assert_eq!(
                        fill_template(file.text, &values),
                        file.text,
                        "{} is a program, not a recipe",
                        file.path
                    );
                }
                if file.form == Form::Json {
                    serde_json::from_str::<serde_json::Value>(file.text).unwrap();
                }
            }
        }
    }

    #[test]
    fn names_in_braces_are_filled_in_and_other_braces_stay() {
        assert_eq!(
            fill_template("{url}/v1 {\"a\": {b}}", &[("url", "http://x")]),
            "http://x/v1 {\"a\": {b}}"
        );
    }
}
