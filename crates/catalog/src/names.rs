//! What models are called: made from file names, and checked when a person chooses.

use crate::Error;

/// Names are path components and command-line words; longer ones help nobody.
pub(crate) const NAME_CHARS_MAX: usize = 128;

/// Checks a name that a person chose.
pub(crate) fn check(name: &str) -> Result<(), Error> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if first && name.len() <= NAME_CHARS_MAX && name.chars().all(fine) {
        return Ok(());
    }
    Err(Error::Name(name.chars().take(NAME_CHARS_MAX).collect()))
}

/// Makes a name from a file's: lower case, without `.gguf` and without the quantisation at its end.
pub(crate) fn from_file(file: &str) -> String {
    let lower = file.to_ascii_lowercase();
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

    #[test]
    fn names_come_from_files() {
        let cases = [
            ("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct"),
            ("Qwen3-4B-Q4_K_M.gguf", "qwen3-4b"),
            ("gpt-oss-20b-mxfp4.gguf", "gpt-oss-20b"),
            ("llama 3.gguf", "llama-3"),
            ("-.gguf", "model"),
            ("qwen3-8b.gguf", "qwen3-8b"),
        ];
        for (file, name) in cases {
            assert_eq!(from_file(file), name);
            check(name).unwrap();
        }
        for name in ["", "../x", "a/b", ".hidden", "a b", "a\0", &"x".repeat(129)] {
            assert!(check(name).is_err(), "{name:?}");
        }
    }
}
