//! The recipes, one for each client.

use super::{FileRecipe, Form, Part, Recipe, Root};

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
        chat_path: Some("/v1/messages"),
        has_memory_tools: true,
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
                managed_paths: &["mcpServers.lar"],
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
                managed_paths: &[
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
                managed_paths: &["hooks.SessionStart[]", "hooks.UserPromptSubmit[]"],
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
        chat_path: Some("/v1/responses"),
        has_memory_tools: true,
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
                managed_paths: &["mcp_servers.lar"],
            },
            FileRecipe {
                part: Part::Always,
                root: Root::Codex,
                path: "lar.config.toml",
                form: Form::Whole,
                text: r#"# Written by `lar connect codex`; used with `codex --profile lar`.
model = "default"
model_context_window = {context_tokens}
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
model_context_window = {context_tokens}
model_provider = "lar"
web_search = "disabled"

[model_providers.lar]
name = "Lar"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "LAR_KEY"
"#,
                ),
                managed_paths: &[],
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
        chat_path: None,
        has_memory_tools: true,
        files: &[FileRecipe {
            part: Part::Always,
            root: Root::Home,
            path: ".cursor/mcp.json",
            form: Form::Json,
            text: r#"{ "mcpServers": { "lar": { "command": "{lar}", "args": ["--data-dir", "{data_dir}", "mcp", "--client", "cursor"] } } }"#,
            by_hand: Some(
                r#"{ "mcpServers": { "lar": { "url": "{url}/mcp", "headers": { "Authorization": "Bearer {key}" } } } }"#,
            ),
            managed_paths: &["mcpServers.lar"],
        }],
        then: "Start Cursor anew, or turn `lar` on in Settings → MCP. Its models go through Cursor's own servers, which cannot reach this machine.",
        example: None,
    },
    Recipe {
        name: "continue",
        title: "Continue",
        about: "Lar's models, and your memory as tools",
        scopes: ALL,
        chat_path: Some("/v1/chat/completions"),
        has_memory_tools: true,
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
    defaultCompletionOptions: { contextLength: {context_tokens} }
  - name: Lar embeddings
    provider: openai
    model: default-embedding
    apiBase: "{url}/v1"
    apiKey: "{key}"
    roles: [embed]
"#,
                by_hand: None,
                managed_paths: &[],
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
                managed_paths: &[],
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
        chat_path: Some("/v1/chat/completions"),
        has_memory_tools: true,
        files: &[
            FileRecipe {
                part: Part::Always,
                root: Root::Clients,
                path: "openclaw/package.json",
                form: Form::Whole,
                text: include_str!("../../../../integrations/openclaw/package.json"),
                by_hand: Some(""),
                managed_paths: &[],
            },
            FileRecipe {
                part: Part::Always,
                root: Root::Clients,
                path: "openclaw/openclaw.plugin.json",
                form: Form::Whole,
                text: include_str!("../../../../integrations/openclaw/openclaw.plugin.json"),
                by_hand: Some(""),
                managed_paths: &[],
            },
            FileRecipe {
                part: Part::Always,
                root: Root::Clients,
                path: "openclaw/src/index.ts",
                form: Form::Whole,
                text: include_str!("../../../../integrations/openclaw/src/index.ts"),
                by_hand: Some(""),
                managed_paths: &[],
            },
            FileRecipe {
                part: Part::Always,
                root: Root::Clients,
                path: "openclaw/src/lar.ts",
                form: Form::Whole,
                text: include_str!("../../../../integrations/openclaw/src/lar.ts"),
                by_hand: Some(""),
                managed_paths: &[],
            },
            FileRecipe {
                part: Part::Always,
                root: Root::Clients,
                path: "openclaw/src/prompt.ts",
                form: Form::Whole,
                text: include_str!("../../../../integrations/openclaw/src/prompt.ts"),
                by_hand: Some(""),
                managed_paths: &[],
            },
            FileRecipe {
                part: Part::Always,
                root: Root::Clients,
                path: "openclaw/src/tools.ts",
                form: Form::Whole,
                text: include_str!("../../../../integrations/openclaw/src/tools.ts"),
                by_hand: Some(""),
                managed_paths: &[],
            },
            FileRecipe {
                part: Part::Always,
                root: Root::Home,
                path: ".openclaw/openclaw.json",
                form: Form::Json,
                text: r#"{ "plugins": { "load": { "paths": ["{data_dir}/clients/openclaw"] }, "slots": { "memory": "lar" }, "entries": { "lar": { "enabled": true, "hooks": { "allowConversationAccess": true }, "config": { "url": "{url}", "keyFile": "{key_file}" } } } } }"#,
                by_hand: None,
                managed_paths: &["plugins.load.paths[]", "plugins.slots.memory", "plugins.entries.lar"],
            },
            FileRecipe {
                part: Part::Models,
                root: Root::Home,
                path: ".openclaw/openclaw.json",
                form: Form::Json,
                text: r#"{ "models": { "providers": { "lar": { "baseUrl": "{url}/v1", "apiKey": "{key}", "api": "openai-completions", "models": [{ "id": "default", "name": "Lar" }] } } } }"#,
                by_hand: None,
                managed_paths: &["models.providers.lar"],
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
        chat_path: Some("/v1/chat/completions"),
        has_memory_tools: false,
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
            managed_paths: &[],
        }],
        then: "Start it with these settings: `set -a; . '{env_file}'; set +a; open-webui serve`, or `docker run --env-file '{env_file}' …`. One that has run before keeps its own: set the same in Admin → Connections.",
        example: None,
    },
    Recipe {
        name: "home-assistant",
        title: "Home Assistant",
        about: "A voice assistant's models, through Ollama's API",
        scopes: INFERENCE,
        chat_path: Some("/api/chat"),
        has_memory_tools: false,
        files: &[],
        then: "Its Ollama integration sends no key, so give it a listener of its own that is bound to this one, in lar.toml. Then Settings → Devices & services → Add integration → Ollama, with the URL http://THIS-MACHINE:11434.",
        example: Some("[[listener]]\naddr = \"0.0.0.0:11434\"\nkey_file = \"{key_file}\""),
    },
    Recipe {
        name: "python",
        title: "Python",
        about: "The packages openai, anthropic and ollama",
        scopes: ALL,
        chat_path: Some("/v1/chat/completions"),
        has_memory_tools: false,
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
        chat_path: Some("/v1/chat/completions"),
        has_memory_tools: false,
        files: &[],
        then: "Every API is at the same address; GET /v1/models lists the models.",
        example: Some(
            "curl {url}/v1/chat/completions -H \"Authorization: Bearer $(cat '{key_file}')\" -H 'Content-Type: application/json' \\\n  -d '{\"model\": \"default\", \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'",
        ),
    },
];
