//! Reads the configuration and the tokenizer of a model, with a limit on their size.

use std::path::Path;

use lar_base::Bytes;
use lar_base::files::read_text_at_most;

/// The size limit of `config.json` and of the pooling configuration. Those with the names of some ten
/// thousand classes have less than 1 MiB.
pub(super) const CONFIG_BYTES_MAX: Bytes = Bytes::mib(4);
/// The size limit of `tokenizer.json`. One with a vocabulary of 256,000 tokens has about 33 MiB.
pub(super) const TOKENIZER_BYTES_MAX: Bytes = Bytes::mib(256);

/// Reads a file of the model. The process may open it but not look at its metadata by path.
///
/// # Errors
/// The file's name and the error.
pub(super) fn read_text(path: &Path, max: Bytes) -> Result<String, String> {
    let text = std::fs::File::open(path).and_then(|file| read_text_at_most(file, max));
    text.map_err(|error| format!("{}: {error}", path.file_name().unwrap_or_default().display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, "{ }").unwrap();
        assert_eq!(read_text(&path, Bytes(3)).unwrap(), "{ }");
        let refused = read_text(&path, Bytes(2)).unwrap_err();
        assert_eq!(refused, "config.json: it is larger than the limit of 2 B");
        let missing = read_text(&folder.path().join("tokenizer.json"), Bytes(2)).unwrap_err();
        assert!(missing.starts_with("tokenizer.json: "), "{missing}");
    }
}
