//! Commands of `lar` on a data directory that no server of a test serves.

use std::path::Path;
use std::process::{Command, Output};

use crate::models::program;

/// Whether `lar` on this data directory succeeds, and what it says. It has the environment of every test's server: the
/// tests' models and owner's key.
///
/// # Panics
/// When it cannot be run.
#[must_use]
pub fn lar(data: &Path, arguments: &[&str]) -> (bool, String) {
    outcome(crate::lar::command(data).args(arguments))
}

/// `lar` of a person with this home directory: the data directory is `data` in it, and the models are its own.
#[must_use]
pub fn command_at_home(home: &Path) -> Command {
    let mut command = Command::new(program());
    command.env("HOME", home).env("LAR_DATA_DIR", home.join("data")).env("LAR_LISTEN", "127.0.0.1:0");
    command
}

/// The same with nothing else in its environment.
#[must_use]
pub fn bare_command_at_home(home: &Path) -> Command {
    let mut command = Command::new(program());
    command.env_clear().env("HOME", home).env("LAR_DATA_DIR", home.join("data"));
    command
}

/// Whether a command succeeds, and what it says.
///
/// # Panics
/// When it cannot be run.
#[must_use]
pub fn outcome(command: &mut Command) -> (bool, String) {
    let output = command.output().expect("it can be run");
    (output.status.success(), output_text(&output))
}

/// What a command wrote to standard output and, behind it, to standard error.
#[must_use]
pub fn output_text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}
