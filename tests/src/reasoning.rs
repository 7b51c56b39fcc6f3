//! A model that reasons: the starter chat model with a template whose prompts end inside of a thought.

use std::path::{Path, PathBuf};

use crate::models::chat_model;

/// The file's key of its template.
const KEY: &[u8] = b"tokenizer.chat_template";
/// As that of models which begin each answer by a thought.
const TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + \
    '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}";

/// Writes the model into `folder`. It was never taught `</think>`, so that all it produces is reasoning.
///
/// # Panics
/// When the starter model is not there or has a template that is too short.
#[must_use]
pub fn reasoning_model(folder: &Path) -> PathBuf {
    let mut bytes = std::fs::read(chat_model()).expect("the starter model is there");
    let found = bytes.windows(KEY.len()).position(|bytes| bytes == KEY).expect("it has a template");
    // Behind the key: the type of its value, and the length of the text (`docs/gguf.md` of the ggml repository).
    let (_, behind) = bytes.split_at_mut(found + KEY.len() + 4);
    let (length, behind) = behind.split_at_mut(8);
    let length = u64::from_le_bytes(length.try_into().expect("eight bytes"));
    let length = usize::try_from(length).expect("it is small");
    // As long as it was, by a comment, which names the mark that ends a thought.
    let blanks = length - TEMPLATE.len() - "{##}".len();
    let template = format!("{TEMPLATE}{{#{:<blanks$}#}}", " </think>");
    behind[..length].copy_from_slice(template.as_bytes());
    let path = folder.join("reasoning.gguf");
    std::fs::write(&path, bytes).expect("the file can be written");
    path
}
