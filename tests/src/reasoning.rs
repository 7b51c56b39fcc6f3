//! A reasoning model: the starter chat model with a template whose prompts end inside reasoning.

use std::path::{Path, PathBuf};

use crate::models::chat_model;

/// The metadata key of the chat template in a GGUF file.
const KEY: &[u8] = b"tokenizer.chat_template";
/// A template like those of models that start each answer with reasoning.
const TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + \
    '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}";

/// Writes the model into `folder`. It was not trained on `</think>`, so its whole output is reasoning.
///
/// # Panics
/// If the starter model is missing, or its template is too short.
#[must_use]
pub fn reasoning_model(folder: &Path) -> PathBuf {
    let mut bytes = std::fs::read(chat_model()).expect("the starter model exists");
    let found = bytes.windows(KEY.len()).position(|bytes| bytes == KEY).expect("the model has a template");
    // The type of the value and the length of the text follow the key (`docs/gguf.md` of the ggml
    // repository).
    let (_, rest) = bytes.split_at_mut(found + KEY.len() + 4);
    let (length, rest) = rest.split_at_mut(8);
    let length = u64::from_le_bytes(length.try_into().expect("eight bytes"));
    let length = usize::try_from(length).expect("the template is small");
    // A comment pads the template to the old length. It contains the end tag, so that Lar detects it.
    let blanks = length - TEMPLATE.len() - "{##}".len();
    let template = format!("{TEMPLATE}{{#{:<blanks$}#}}", " </think>");
    rest[..length].copy_from_slice(template.as_bytes());
    let path = folder.join("reasoning.gguf");
    std::fs::write(&path, bytes).expect("the file can be written");
    path
}
