//! Derives the names of models from the names of their files.

use crate::name_syntax::NAME_CHARS_MAX;
use crate::split::SplitName;

/// Derives a model's name from a file name: lower case, without the extension and the quantization at the
/// end.
pub(crate) fn from_file(file: &str) -> String {
    let lower = file.to_ascii_lowercase();
    // The file number is not part of a split model's name.
    let lower = match SplitName::parse(&lower) {
        Some(name) => format!("{}.gguf", name.stem),
        None => lower,
    };
    let stem = lower.strip_suffix(".gguf").or_else(|| lower.strip_suffix(".safetensors")).unwrap_or(&lower);
    let cut = stem.rfind(['.', '-']).filter(|at| is_quantization(&stem[at + 1..])).unwrap_or(stem.len());
    let clean = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let name: String = stem[..cut].chars().map(clean).take(NAME_CHARS_MAX).collect();
    let name = name.trim_start_matches(['.', '_', '-']);
    if name.is_empty() { "model".into() } else { name.into() }
}

fn is_quantization(text: &str) -> bool {
    let text = text.strip_prefix("ud_").unwrap_or(text);
    let rest = text.strip_prefix("iq").or_else(|| text.strip_prefix('q'));
    let numbered = rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    numbered || matches!(text, "f16" | "f32" | "bf16" | "mxfp4")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name_syntax::is_valid;

    #[test]
    fn names_are_derived_from_file_names() {
        let cases = [
            ("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct"),
            ("Big-Model-Q4_K_M-00001-of-00003.gguf", "big-model"),
            ("Qwen3-4B-Q4_K_M.gguf", "qwen3-4b"),
            ("gpt-oss-20b-mxfp4.gguf", "gpt-oss-20b"),
            ("llama 3.gguf", "llama-3"),
            ("-.gguf", "model"),
            ("qwen3-8b.gguf", "qwen3-8b"),
        ];
        for (file, name) in cases {
            assert_eq!(from_file(file), name);
            assert!(is_valid(name), "{name}");
        }
    }
}
