//! The surroundings of a command.

use std::path::PathBuf;

/// The surroundings of a command: folders, this program, and the kind of connection.
#[derive(Debug, Clone)]
pub struct CommandContext {
    /// The user's home directory.
    pub home: Option<PathBuf>,
    /// The folder of Codex, if it is not `~/.codex`.
    pub codex_home: Option<PathBuf>,
    /// The folder of Claude Code, if it is not `~/.claude`.
    pub claude_home: Option<PathBuf>,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The path of this program.
    pub program: PathBuf,
    /// How to call this program in a shell, with the options that make it use the same Lar.
    pub invocation: String,
    /// Whether the Lar serves the data directory.
    pub local: bool,
}
