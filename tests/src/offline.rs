//! Commands of `lar` on a data directory whose server is not running.

use std::path::Path;
use std::process::{Command, Output};

use crate::models::program;

/// Runs `lar` on this data directory; returns whether it succeeded, and its output.
///
/// Its environment is that of every test server: the models of the tests and their owner key.
///
/// # Panics
/// If `lar` cannot be run.
#[must_use]
pub fn lar(data: &Path, arguments: &[&str]) -> (bool, String) {
    outcome(crate::lar::command(data).args(arguments))
}

/// Returns a command that runs `lar` for a person with this home directory. Its data directory is `data`
/// there, with its own models.
#[must_use]
pub fn command_at_home(home: &Path) -> Command {
    let mut command = Command::new(program());
    command.env("HOME", home).env("LAR_DATA_DIR", home.join("data")).env("LAR_LISTEN", "127.0.0.1:0");
    command
}

/// Returns the same command with nothing else in its environment, and with the default listen address.
#[must_use]
pub fn bare_command_at_home(home: &Path) -> Command {
    let mut command = Command::new(program());
    command.env_clear().env("HOME", home).env("LAR_DATA_DIR", home.join("data"));
    command
}

/// Runs a command; returns whether it succeeded, and its output.
///
/// # Panics
/// If the command cannot be run.
#[must_use]
pub fn outcome(command: &mut Command) -> (bool, String) {
    let output = command.output().expect("the command can be run");
    (output.status.success(), output_text(&output))
}

/// Returns the standard output of a command, followed by its standard error.
#[must_use]
pub fn output_text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}
