//! How clients are told of a Lar: which files of theirs say what, and what a person does then. The command line writes
//! them, the page shows them.
//!
//! Names in braces stand for what is known where it is done: `{url}`, `{key}`, `{key_file}`, `{lar}` (the program),
//! `{data_dir}`. Formats are those that the clients document; which of them were run is in `docs/guides/connect.md`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
    pub chats: Option<&'static str>,
    /// Whether it calls the tools of `lar mcp`.
    pub remembers: bool,
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
    pub ours: &'static [&'static str],
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

const ALL: &[&str] = &["inference", "memory:read", "memory:write"];
const MEMORY: &[&str] = &["memory:read", "memory:write"];
const INFERENCE: &[&str] = &["inference"];

/// Every client there is a recipe for.
pub const RECIPES: &[Recipe] = &[
    Recipe {
        name: "claude-code",
        title: "Claude Code",
        about: "Your memory as tools; with --models, its models are Lar's",
        scopes: ALL,
        chats: Some("/v1/messages"),
        remembers: true,
        files: &[
            FileRecipe {
                part: Part::Always,
                root: Root::ClaudeState,
                path: ".claude.json",
                form: Form::Json,
                text: r#"{ "mcpServers": { "lar": { "type": "stdio", "command": "{lar}", "args": ["--data-dir", "{data_dir}", "mcp", "--client", "claude-code"] } } }"#,
                by_hand: Some(
                    r#"{ "mcpServers": { "lar": { "type": "http", "url": "{url}/mcp", "headers": { "Authorization": "Bearer {key}" } } } }"#,
                ),
                ours: &["mcpServers.lar"],
            },
            FileRecipe {
                part: Part::Models,
                root: Root::Claude,
                path: "settings.json",
                form: Form::Json,
                text: r#"{ "apiKeyHelper": "cat '{key_file}'", "env": { "ANTHROPIC_BASE_URL": "{url}", "ANTHROPIC_MODEL": "default", "ANTHROPIC_DEFAULT_HAIKU_MODEL": "small", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1" } }"#,
                by_hand: Some(
                    r#"{ "env": { "ANTHROPIC_AUTH_TOKEN": "{key}", "ANTHROPIC_BASE_URL": "{url}", "ANTHROPIC_MODEL": "default", "ANTHROPIC_DEFAULT_HAIKU_MODEL": "small" } }"#,
                ),
                ours: &[
                    "apiKeyHelper",
                    "env.ANTHROPIC_BASE_URL",
                    "env.ANTHROPIC_MODEL",
                    "env.ANTHROPIC_DEFAULT_HAIKU_MODEL",
                    "env.CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
                ],
            },
            FileRecipe {
                part: Part::Hooks,
                root: Root::Claude,
                path: "settings.json",
                form: Form::Json,
                text: r#"{ "hooks": { "SessionStart": [ { "hooks": [ { "type": "command", "command": "'{lar}' --data-dir '{data_dir}' hook brief --client claude-code", "timeout": 1 } ] } ], "UserPromptSubmit": [ { "hooks": [ { "type": "command", "command": "'{lar}' --data-dir '{data_dir}' hook heard --client claude-code", "timeout": 1 } ] } ] } }"#,
                by_hand: None,
                ours: &["hooks.SessionStart[]", "hooks.UserPromptSubmit[]"],
            },
        ],
        then: "Start it anew: `claude`. Ask it what it remembers of you.",
        example: None,
    },
    Recipe {
        name: "codex",
        title: "Codex",
        about: "Your memory as tools, and a profile whose models are Lar's",
        scopes: ALL,
        chats: Some("/v1/responses"),
        remembers: true,
        files: &[
            FileRecipe {
                part: Part::Always,
                root: Root::Codex,
                path: "config.toml",
                form: Form::Toml,
                text: r#"
[mcp_servers.lar]
command = "{lar}"
args = ["--data-dir", "{data_dir}", "mcp", "--client", "codex"]
"#,
                by_hand: Some(
                    r#"
# with LAR_KEY={key} in the environment
[mcp_servers.lar]
url = "{url}/mcp"
bearer_token_env_var = "LAR_KEY"
"#,
                ),
                ours: &["mcp_servers.lar"],
            },
            FileRecipe {
                part: Part::Always,
                root: Root::Codex,
                path: "lar.config.toml",
                form: Form::Whole,
                text: r#"# Written by `lar connect codex`; used with `codex --profile lar`.
model = "default"
model_provider = "lar"
web_search = "disabled"

[model_providers.lar]
name = "Lar"
base_url = "{url}/v1"
wire_api = "responses"

[model_providers.lar.auth]
command = "cat"
args = ["{key_file}"]
"#,
                by_hand: Some(
                    r#"# with LAR_KEY={key} in the environment; used with `codex --profile lar`
model = "default"
model_provider = "lar"
web_search = "disabled"

[model_providers.lar]
name = "Lar"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "LAR_KEY"
"#,
                ),
                ours: &[],
            },
        ],
        then: "`codex` has your memory now. `codex --profile lar` uses Lar's models too.",
        example: None,
    },
    Recipe {
        name: "cursor",
        title: "Cursor",
        about: "Your memory as tools",
        scopes: MEMORY,
        chats: None,
        remembers: true,
        files: &[FileRecipe {
            part: Part::Always,
            root: Root::Home,
            path: ".cursor/mcp.json",
            form: Form::Json,
            text: r#"{ "mcpServers": { "lar": { "command": "{lar}", "args": ["--data-dir", "{data_dir}", "mcp", "--client", "cursor"] } } }"#,
            by_hand: Some(
                r#"{ "mcpServers": { "lar": { "url": "{url}/mcp", "headers": { "Authorization": "Bearer {key}" } } } }"#,
            ),
            ours: &["mcpServers.lar"],
        }],
        then: "Start Cursor anew, or turn `lar` on in Settings → MCP. Its models go through Cursor's own servers, which cannot reach this machine.",
        example: None,
    },
    Recipe {
        name: "continue",
        title: "Continue",
        about: "Lar's models, and your memory as tools",
        scopes: ALL,
        chats: Some("/v1/chat/completions"),
        remembers: true,
        files: &[
            FileRecipe {
                part: Part::Always,
                root: Root::Home,
                path: ".continue/models/lar.yaml",
                form: Form::Whole,
                text: r#"# Written by `lar connect continue`.
name: Lar
version: 0.0.1
schema: v1
models:
  - name: Lar
    provider: openai
    model: default
    apiBase: "{url}/v1"
    apiKey: "{key}"
    roles: [chat, edit, apply, summarize]
  - name: Lar embeddings
    provider: openai
    model: default-embedding
    apiBase: "{url}/v1"
    apiKey: "{key}"
    roles: [embed]
"#,
                by_hand: None,
                ours: &[],
            },
            FileRecipe {
                part: Part::Always,
                root: Root::Home,
                path: ".continue/mcpServers/lar.yaml",
                form: Form::Whole,
                text: r#"# Written by `lar connect continue`.
name: Lar's memory
version: 0.0.1
schema: v1
mcpServers:
  - name: lar
    command: "{lar}"
    args: ["--data-dir", "{data_dir}", "mcp", "--client", "continue"]
"#,
                by_hand: Some(
                    r#"name: Lar's memory
version: 0.0.1
schema: v1
mcpServers:
  - name: lar
    type: streamable-http
    url: "{url}/mcp"
    requestOptions:
      headers:
        Authorization: "Bearer {key}"
"#,
                ),
                ours: &[],
            },
        ],
        then: "Reload the window of your editor and choose Lar among the models.",
        example: None,
    },
    Recipe {
        name: "openclaw",
        title: "OpenClaw",
        about: "Your memory for its agents; with --models, Lar's models too",
        scopes: ALL,
        chats: Some("/v1/chat/completions"),
        remembers: true,
        files: &[
            FileRecipe {
                part: Part::Always,
                root: Root::Clients,
                path: "openclaw/package.json",
                form: Form::Whole,
                text: include_str!("../../../integrations/openclaw/package.json"),
                by_hand: Some(""),
                ours: &[],
            },
            FileRecipe {
                part: Part::Always,
                root: Root::Clients,
                path: "openclaw/openclaw.plugin.json",
                form: Form::Whole,
                text: include_str!("../../../integrations/openclaw/openclaw.plugin.json"),
                by_hand: Some(""),
                ours: &[],
            },
            FileRecipe {
                part: Part::Always,
                root: Root::Clients,
                path: "openclaw/src/index.ts",
                form: Form::Whole,
                text: include_str!("../../../integrations/openclaw/src/index.ts"),
                by_hand: Some(""),
                ours: &[],
            },
            FileRecipe {
                part: Part::Always,
                root: Root::Clients,
                path: "openclaw/src/lar.ts",
                form: Form::Whole,
                text: include_str!("../../../integrations/openclaw/src/lar.ts"),
                by_hand: Some(""),
                ours: &[],
            },
            FileRecipe {
                part: Part::Always,
                root: Root::Clients,
                path: "openclaw/src/prompt.ts",
                form: Form::Whole,
                text: include_str!("../../../integrations/openclaw/src/prompt.ts"),
                by_hand: Some(""),
                ours: &[],
            },
            FileRecipe {
                part: Part::Always,
                root: Root::Clients,
                path: "openclaw/src/tools.ts",
                form: Form::Whole,
                text: include_str!("../../../integrations/openclaw/src/tools.ts"),
                by_hand: Some(""),
                ours: &[],
            },
            FileRecipe {
                part: Part::Always,
                root: Root::Home,
                path: ".openclaw/openclaw.json",
                form: Form::Json,
                text: r#"{ "plugins": { "load": { "paths": ["{data_dir}/clients/openclaw"] }, "slots": { "memory": "lar" }, "entries": { "lar": { "enabled": true, "hooks": { "allowConversationAccess": true }, "config": { "url": "{url}", "keyFile": "{key_file}" } } } } }"#,
                by_hand: None,
                ours: &["plugins.load.paths[]", "plugins.slots.memory", "plugins.entries.lar"],
            },
            FileRecipe {
                part: Part::Models,
                root: Root::Home,
                path: ".openclaw/openclaw.json",
                form: Form::Json,
                text: r#"{ "models": { "providers": { "lar": { "baseUrl": "{url}/v1", "apiKey": "{key}", "api": "openai-completions", "models": [{ "id": "default", "name": "Lar" }] } } } }"#,
                by_hand: None,
                ours: &["models.providers.lar"],
            },
        ],
        then: "Restart its gateway: `openclaw gateway restart`; then `openclaw plugins inspect lar`. With --models, choose `lar/default`.",
        example: None,
    },
    Recipe {
        name: "open-webui",
        title: "Open WebUI",
        about: "Lar's models; `default+memory` is the default one with your memory",
        scopes: ALL,
        chats: Some("/v1/chat/completions"),
        remembers: false,
        files: &[FileRecipe {
            part: Part::Always,
            root: Root::Clients,
            path: "open-webui.env",
            form: Form::Whole,
            text: r#"# Written by `lar connect open-webui`. From a container this machine is host.docker.internal or its address on the LAN.
OPENAI_API_BASE_URL={url}/v1
OPENAI_API_KEY={key}
ENABLE_OLLAMA_API=false
DEFAULT_MODELS=default
TASK_MODEL_EXTERNAL=small
"#,
            by_hand: None,
            ours: &[],
        }],
        then: "Start it with these settings: `set -a; . '{env_file}'; set +a; open-webui serve`, or `docker run --env-file '{env_file}' …`. One that has run before keeps its own: set the same in Admin → Connections.",
        example: None,
    },
    Recipe {
        name: "home-assistant",
        title: "Home Assistant",
        about: "A voice assistant's models, through Ollama's API",
        scopes: INFERENCE,
        chats: Some("/api/chat"),
        remembers: false,
        files: &[],
        then: "Its Ollama integration sends no key, so give it a listener of its own that is bound to this one, in lar.toml. Then Settings → Devices & services → Add integration → Ollama, with the URL http://THIS-MACHINE:11434.",
        example: Some("[[listener]]\naddr = \"0.0.0.0:11434\"\nkey_file = \"{key_file}\""),
    },
    Recipe {
        name: "python",
        title: "Python",
        about: "The packages openai, anthropic and ollama",
        scopes: ALL,
        chats: Some("/v1/chat/completions"),
        remembers: false,
        files: &[],
        then: "The packages anthropic and ollama take the same key and the same address, without /v1.",
        example: Some(
            "from openai import OpenAI\n\nclient = OpenAI(base_url=\"{url}/v1\", api_key=open(\"{key_file}\").read().strip())\nanswer = client.chat.completions.create(model=\"default\", messages=[{\"role\": \"user\", \"content\": \"Hello\"}])\nprint(answer.choices[0].message.content)",
        ),
    },
    Recipe {
        name: "curl",
        title: "curl",
        about: "Anything that speaks HTTP",
        scopes: ALL,
        chats: Some("/v1/chat/completions"),
        remembers: false,
        files: &[],
        then: "Every API is at the same address; GET /v1/models lists the models.",
        example: Some(
            "curl {url}/v1/chat/completions -H \"Authorization: Bearer $(cat '{key_file}')\" -H 'Content-Type: application/json' \\\n  -d '{\"model\": \"default\", \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'",
        ),
    },
];

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

/// Puts what is known in the place of the names in braces.
#[must_use]
pub fn filled(text: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_whole() {
        for recipe in RECIPES {
            let named = |name: &str| RECIPES.iter().filter(|other| other.name == name).count();
            assert_eq!(named(recipe.name), 1);
            assert!(recipe.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
            for file in recipe.files {
                assert!(!file.path.starts_with('/') && !file.path.contains(".."), "{}", file.path);
                assert_eq!(file.form == Form::Whole, file.ours.is_empty(), "{}", file.path);
                if file.by_hand == Some("") {
                    let values =
                        ["url", "key", "lar", "data_dir", "key_file", "env_file"].map(|name| (name, "?"));
                    assert_eq!(
                        filled(file.text, &values),
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
        assert_eq!(filled("{url}/v1 {\"a\": {b}}", &[("url", "http://x")]), "http://x/v1 {\"a\": {b}}");
    }
}
