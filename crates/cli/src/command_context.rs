//! The folders, program and server of a command.

use std::path::PathBuf;

/// The folders, program and server of a command.
#[derive(Debug, Clone)]
pub struct CommandContext {
    /// The user's home directory.
    pub home: Option<PathBuf>,
    /// The folder of Codex, if it is not `~/.codex`.
    pub codex_home: Option<PathBuf>,
    /// The folder of Claude Code, if it is not `~/.claude`.
    pub claude_home: Option<PathBuf>,
    /// The absolute path of the data directory.
    pub data_dir: PathBuf,
    /// The absolute path of this program, for clients that start it.
    pub program: PathBuf,
    /// How to call this program in a shell, with the options that make it use the same Lar.
    pub invocation: String,
    /// Whether the server is found through the data directory, not through `LAR_URL`.
    pub local: bool,
}
