//! How to call this program in a shell, for messages that name a command to run.
//!
//! After `make run`, the PATH has no `lar`, or another one. So a message says `lar` only if a shell finds
//! this program under that name. Otherwise it contains the program's path.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use lar_base::shell;
use lar_sandbox::Inherit;

use crate::config::{Config, Environment, Flags};

/// The name of the program on the PATH.
const NAME: &str = "lar";

/// Returns how to call this program: `lar` if a shell finds it under that name, otherwise its path.
pub(crate) fn program() -> String {
    match std::env::current_exe() {
        Ok(program) => name_of(&program, search_path().as_deref()),
        Err(_) => NAME.to_owned(),
    }
}

/// Returns how to call this program for the same data directory: with `--data-dir` if that flag chose the
/// directory.
pub(crate) fn with_data_dir(config: &Config, environment: &Environment) -> String {
    program() + &data_dir_flag(config, environment)
}

/// As [`with_data_dir`], for another program, such as that of another release.
pub(crate) fn of_program(program: &Path, config: &Config, environment: &Environment) -> String {
    name_of(program, search_path().as_deref()) + &data_dir_flag(config, environment)
}

/// Returns ` --data-dir DIR` if commands without that flag would use another data directory; otherwise
/// nothing.
fn data_dir_flag(config: &Config, environment: &Environment) -> String {
    match Config::fallback(&Flags::default(), environment) {
        Ok(without_flags) if without_flags.data_dir != config.data_dir => {
            format!(" --data-dir {}", shell::quote(&config.data_dir))
        }
        _ => String::new(),
    }
}

/// Returns the PATH that child processes of this process get.
fn search_path() -> Option<OsString> {
    let command = lar_sandbox::command(NAME, Inherit::Tool);
    command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value.map(OsStr::to_owned))
}

fn name_of(program: &Path, search: Option<&OsStr>) -> String {
    let is_program = |path: &Path| {
        path.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
    };
    let folders = search.into_iter().flat_map(std::env::split_paths);
    // An entry without a leading slash depends on the current folder of the shell.
    let mut found = folders.filter(|folder| folder.is_absolute()).map(|folder| folder.join(NAME));
    let first = found.find(|path| is_program(path));
    match first.and_then(|path| path.canonicalize().ok()) {
        Some(path) if program.canonicalize().is_ok_and(|program| program == path) => NAME.to_owned(),
        _ => shell::quote(program),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_program_on_the_path_is_called_by_its_name() {
        let home = tempfile::tempdir().unwrap();
        let [real, links, others] = ["real", "links", "others"].map(|name| home.path().join(name));
        for folder in [&real, &links, &others] {
            std::fs::create_dir(folder).unwrap();
        }
        let program = real.join("lar");
        for path in [&program, &others.join("lar")] {
            std::fs::write(path, "").unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        symlink(&program, links.join("lar")).unwrap();
        let called = |folders: &[&Path]| {
            let search = std::env::join_paths(folders).unwrap();
            name_of(&program, Some(&search))
        };
        let path = program.display().to_string();
        assert_eq!(called(&[&links]), "lar");
        assert_eq!(called(&[home.path(), &links, &others]), "lar");
        assert_eq!(called(&[&others, &links]), path);
        assert_eq!(called(&[home.path(), Path::new("")]), path);
        assert_eq!(name_of(&program, None), path);
    }
}
