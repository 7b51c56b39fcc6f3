//! The commands that run Lar in tests, with their environment and configuration.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::models::{models_dir, program};

/// The owner's key of every test server.
pub(super) const OWNER_KEY: &str = "lar_test_owner_key_of_this_suite";

/// Returns a command that runs `lar` with the environment of a test.
pub(crate) fn command(data: &Path) -> Command {
    as_test(Command::new(program()), data)
}

/// Returns a command that runs `lar` in a mount namespace where `data` is a tmpfs.
pub(super) fn on_disk(data: &Path, options: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c"]);
    command.arg("mount -t tmpfs -o \"$1\" tmpfs \"$2\" && shift 2 && exec \"$@\"");
    command.arg("sh").arg(options).arg(data).arg(program());
    as_test(command, data)
}

/// Sets the environment of every Lar of the tests.
pub(crate) fn as_test(mut command: Command, data: &Path) -> Command {
    command
        .env("LAR_DATA_DIR", data)
        .env("LAR_MODELS_DIR", models_dir())
        // A fixed number of threads skips the measurement of each model.
        .env("LAR_ENGINES_THREADS", "2")
        .env("LAR_LISTEN", "127.0.0.1:0")
        .env("LAR_OWNER_KEY", OWNER_KEY)
        .env("LAR_LOG", "error")
        .stdin(Stdio::null());
    command
}

/// Adds a small context, which loads quickly, to a configuration that sets none. Tests run many servers in
/// parallel.
pub(super) fn modest(config: &str) -> String {
    const CONTEXT: &str = "[engines]\ncontext_tokens_max = 4096\n";
    if config.contains("context_tokens_max") {
        config.to_owned()
    } else if config.contains("[engines]\n") {
        config.replace("[engines]\n", CONTEXT)
    } else {
        format!("{config}\n{CONTEXT}")
    }
}
