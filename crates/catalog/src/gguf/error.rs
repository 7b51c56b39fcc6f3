//! The reasons why a file is not a usable GGUF file.

/// The reason why a file is not a usable GGUF file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GgufError {
    /// The file does not start with the bytes `GGUF`.
    #[error("it is not a GGUF file")]
    NotGguf,
    /// The file has this version of the format, which Lar does not support.
    #[error("its GGUF version is {0}; Lar supports 2 and 3")]
    Version(u32),
    /// The file is shorter than its own metadata says.
    #[error("it is truncated: {have} of {need} bytes")]
    Truncated {
        /// The size of the file, in bytes.
        have: u64,
        /// The least size of the complete file, in bytes, as far as its metadata was read.
        need: u64,
    },
    /// The metadata is invalid or exceeds a limit. The text says which part, for a person.
    #[error("its metadata is corrupt: {0}")]
    Corrupt(String),
    /// The file could not be opened or read. The text is the message of the system.
    #[error("it cannot be read: {0}")]
    Io(String),
}
