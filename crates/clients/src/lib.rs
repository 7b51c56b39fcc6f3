//! The recipes of `lar connect`. A recipe lists a client's configuration files, the settings to write in each, and the
//! step that is left to the user.
//!
//! Recipes are data: one file `recipes/NAME.toml` per client, compiled into the program. To add a client, write its
//! file and add its name to the list in `load.rs`. The settings follow the client's documentation;
//! `docs/guides/connect.md` says which clients were tested.
//!
//! The command line and the page show the same text, because both call [`Recipe::render`]. This crate does not read or
//! write a client's files: `crates/cli/src/connect/` does.

mod load;
mod render;
mod variables;

use lar_base::Scope;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use load::{find, recipes};
pub use render::{Rendered, RenderedFile};
pub use variables::Variables;

/// The recipe for one client.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The client's name on the command line, such as `claude-code`.
    pub name: String,
    /// The client's name for people, such as `Claude Code`.
    pub title: String,
    /// The features that the client gets from Lar, on one line.
    pub about: String,
    /// The scopes of the client's API key.
    pub scopes: Vec<Scope>,
    /// The API through which the client chats. `None` if the client uses only memory.
    pub chat_api: Option<ChatApi>,
    /// Whether the client starts `lar mcp` and calls its memory tools. False if missing.
    #[serde(default)]
    pub has_memory_tools: bool,
    /// The edits of the client's files, in the order in which `lar connect` makes them.
    #[serde(default)]
    pub files: Vec<FileEdit>,
    /// The step that is left to the user.
    pub next_step: Step,
}

/// A chat API of Lar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChatApi {
    /// OpenAI's Chat Completions API.
    ChatCompletions,
    /// OpenAI's Responses API.
    Responses,
    /// Anthropic's Messages API.
    Messages,
    /// Ollama's API, `/api/chat`.
    OllamaChat,
}

impl ChatApi {
    /// Returns the path of the API.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
            Self::OllamaChat => "/api/chat",
        }
    }
}

/// One edit of one file. Several edits of a recipe may change the same file.
///
/// In a recipe, `content` and `by_hand` are documents with placeholders ([`Variables`]). A file of a plugin has
/// `copy_of` instead: the path of a file in Lar's repository.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "load::FileFields")]
pub struct FileEdit {
    /// The options with which `lar connect` makes this edit.
    pub when: When,
    /// The folder that `path` starts from.
    pub folder: Folder,
    /// The path of the file below `folder`.
    pub path: String,
    /// The settings that are written, such as `mcpServers.lar`. With `[]` at its end, a setting is a JSON list that
    /// gets one more element. Empty if Lar writes the whole file.
    pub settings: Vec<String>,
    /// The source of the values of these settings, or of the whole file.
    pub content: Content,
}

impl FileEdit {
    /// Returns the path at which the file usually is, such as `~/.codex/config.toml`.
    #[must_use]
    pub fn usual_path(&self) -> String {
        let folder = match self.folder {
            Folder::Home | Folder::ClaudeState => "~/",
            Folder::Codex => "~/.codex/",
            Folder::Claude => "~/.claude/",
            Folder::Clients => "",
        };
        format!("{folder}{}", self.path)
    }
}

/// The options with which `lar connect` makes an edit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// With any options.
    #[default]
    Always,
    /// With `--models`: the client also uses Lar's models.
    Models,
    /// With `--hooks`: sessions start with memories, and prompts can save memories.
    Hooks,
}

/// The folder that a path starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Folder {
    /// The user's home directory, `~`.
    Home,
    /// Codex's folder: `$CODEX_HOME`, or `~/.codex` if the variable is not set.
    Codex,
    /// Claude Code's folder: `$CLAUDE_CONFIG_DIR`, or `~/.claude` if the variable is not set.
    Claude,
    /// The folder of Claude Code's `.claude.json`: `$CLAUDE_CONFIG_DIR`, or the home directory if it is not set.
    ClaudeState,
    /// The folder `clients` in Lar's data directory.
    Clients,
}

/// The source of the text of an edit.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Documents with placeholders.
    Template {
        /// The document that `lar connect` writes.
        document: Document,
        /// The document that a user writes by hand, without the files that `lar connect` creates. `None` if it is
        /// the same as `document`.
        by_hand: Option<Document>,
    },
    /// The text of a plugin's file, which is copied unchanged. Nobody writes it by hand.
    Copy(&'static str),
}

/// The content of a file, or the settings to write in it.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// JSON with the settings to write.
    Json(Value),
    /// TOML with the settings to write.
    Toml(String),
    /// The whole file, in any format.
    Whole(String),
}

impl Document {
    /// Returns the document's format.
    #[must_use]
    pub const fn format(&self) -> Format {
        match self {
            Self::Json(_) => Format::Json,
            Self::Toml(_) => Format::Toml,
            Self::Whole(_) => Format::Whole,
        }
    }
}

/// The format of a file, which decides how it is edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// JSON, with the comments and trailing commas that some clients allow. Single settings are edited.
    Json,
    /// TOML. Single settings are edited.
    Toml,
    /// Any format. The whole file belongs to Lar.
    Whole,
}

/// The step that is left to the user after `lar connect` has written the files.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The instructions, as plain text for a person.
    pub text: String,
    /// A command, a program or settings to copy.
    pub example: Option<String>,
}
