//! Every setting once: its key, its type, what it is for.

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Setting {
    /// Dotted, as in `lar.toml`.
    pub(super) key: &'static str,
    /// Its JSON type.
    pub(super) kind: &'static str,
    /// What it is for.
    pub(super) about: &'static str,
}

impl Setting {
    /// The name of its variable in the environment.
    pub(super) fn variable(&self) -> String {
        format!("LAR_{}", self.key.replace('.', "_").to_ascii_uppercase())
    }
}

macro_rules! settings {
    ($($key:literal $kind:literal $about:literal)+) => {
        /// In the order of the reference.
        pub(super) const SETTINGS: &[Setting] = &[$(Setting { key: $key, kind: $kind, about: $about },)+];
    };
}

settings! {
    "data_dir" "string" "Where everything is kept; ~/.local/share/lar where absent"
    "models_dir" "string" "Where models are kept, may be shared between data directories; DATA_DIR/models where absent"
    "included_models_dir" "string" "Models that came with Lar, in a directory like `models_dir` that is only read; the container image sets it"
    "hub" "string" "Where hf: models come from; a mirror of the Hugging Face hub may be on the LAN"
    "listen" "string" "Where the server listens"
    "allowed_hosts" "array" "Host names, beside loopback's, that requests may be addressed to"
    "allowed_origins" "array" "Web pages and apps of other origins that may use the model APIs and /mcp with a key, such as app://obsidian.md, http://localhost:* or *; none where absent"
    "insecure_lan" "boolean" "Lets the server listen beyond loopback without TLS"
    "log" "string" "What is logged: error, warn, info, debug, or a filter such as info,lar_engines=debug"
    "engines.concurrency" "integer" "Tasks that run at once, per model"
    "engines.context_tokens_max" "integer" "Tokens of context that each task gets at most; as much as fits in half of the memory left where absent"
    "engines.memory" "string" "Memory that loaded models may take together; four fifths of the machine's where absent"
    "engines.keep_alive_s" "integer" "Seconds after which a model that nobody uses is let go"
    "engines.threads" "integer" "Threads that compute; where absent one for each core at first, then as many as are measured to be fastest"
    "engines.flash_attention" "boolean" "Computes attention without its whole matrix in memory; the engine chooses where absent"
    "engines.cache_type" "string" "How contexts are kept: f16, or q8 or q4 in about half or a quarter of the memory, at some cost in quality"
    "engines.gpu_layers" "integer" "Layers of each model on the GPU, in a build with one; as many as fit where absent"
    "engines.speculative" "boolean" "Computes likely next tokens along, where that is faster; the answer is the same"
    "engines.draft_model" "string" "An installed model that guesses next tokens for larger ones with the same vocabulary"
    "engines.background_model" "string" "The model for what apps ask beside a chat, such as titles and tags, rather than the one they name; `small` for one"
    "engines.gbnf" "boolean" "Takes recursive GBNF grammars; their cost has no bound, so that a hostile one holds a model up for minutes"
    "engines.preload" "boolean" "Loads the default model at start"
    "engines.llama_server" "string" "Runs models with this llama-server program instead of the embedded engine"
    "engines.prompt_cache" "string" "RAM per model for KV caches that were evicted from their slot: answers that are paused for other callers first, then prompts that may be needed again"
    "engines.share_prompt_cache" "boolean" "Lets prompts of one key save work for those of others; they can then tell by the time what others asked"
    "engines.confinement" "string" "What happens where the kernel cannot confine a model's worker in every way: best-effort (the log and lar doctor say what is missing), or require (no model is loaded)"
    "memory.secrets" "string" "What is done about secrets in what is to be remembered: refuse, redact (the rest is kept), or quarantine (the rest waits in the inbox)"
    "memory.chat" "string" "What memory does in the page and in lar chat: remember (what is asked for and corrected), recall alone, or off"
    "limits.body" "string" "A request's body at most"
    "limits.bodies" "string" "The bodies of all requests together, until their prompts are tokens or they are answered; those of one key may take half of it"
    "limits.connections" "integer" "Open connections at most, as far as this process may have files open; beyond it idle ones are closed first"
    "limits.connections_per_address" "integer" "Open connections of one other address at most; this machine's programs may have seven eighths of all"
    "limits.requests_per_minute" "integer" "Requests per minute of a key without a limit of its own; 0 is none"
    "limits.queue_len_max" "integer" "Tasks that may wait, per model and priority"
    "limits.queue_full" "string" "What happens beyond that: reject, or drop-lru (the one that waited longest)"
    "limits.batch_wait_max_s" "integer" "After waiting this long a batch task goes before interactive ones"
    "limits.slot_hold_max_s" "integer" "While one person or key has every slot of a model and others wait for whom nothing can be paused, a task of it that has run this long is stopped; 0 never does"
    "limits.shutdown_grace_s" "integer" "How long answers may take to finish when the server stops"
    "listener" "array" "Further places to listen: [[listener]] addr, key_file (the key of requests without one), cert_file and private_key_file (TLS)"
    "remote" "array" "llama-servers that run elsewhere: [[remote]] name, url, key_file"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, leaves};

    #[test]
    fn every_setting_is_listed_once() {
        let mut config = Config { models_dir: Some("x".into()), ..Config::default() };
        config.included_models_dir = Some("x".into());
        config.engines.threads = Some(1);
        config.engines.flash_attention = Some(true);
        config.engines.gpu_layers = Some(1);
        config.engines.draft_model = Some(String::new());
        config.engines.background_model = Some(String::new());
        config.engines.context_tokens_max = Some(128);
        config.engines.memory = Some(lar_base::Bytes(1));
        config.engines.llama_server = Some("x".into());
        let table = toml::Table::try_from(config).unwrap();
        let mut keys = leaves(&table);
        let mut listed: Vec<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
        keys.sort();
        listed.sort_unstable();
        assert_eq!(keys, listed);
    }

    #[test]
    fn the_reference_has_a_row_for_each() {
        let reference = include_str!("../../../../docs/reference/configuration.md");
        for setting in SETTINGS {
            let Setting { key, kind, about } = setting;
            let row = format!("| `{key}` | `{}` | {kind} | {about} |\n", setting.variable());
            assert!(reference.contains(&row), "{row}");
        }
    }
}
