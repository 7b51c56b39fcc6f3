//! `lar launch`: a process that confines itself and then becomes the `llama-server` that Lar manages.
//!
//! The program belongs to the operator and does not confine itself, so this process does it first. The
//! program can read its model, the system's libraries and its own libraries by name. It cannot read anything
//! else in its folder, which may be a home directory. It cannot write files, run other programs or open
//! connections, and it can listen on one TCP port only. It keeps the machine's network namespace, because the
//! server must reach that port.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use lar_sandbox::{Confinement, Profile};

use crate::confinement_policy::ConfinementPolicy;

/// The program to become, and its permissions.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The process id of the server that started this process. The process ends when that server does.
    pub server: u32,
    /// The TCP port on which the program may listen, and the only one.
    pub port: u16,
    /// The files to read: those of the model.
    pub files: Vec<PathBuf>,
    /// Whether to exit rather than run without the whole confinement.
    pub require: bool,
    /// The path of the `llama-server` program.
    pub program: PathBuf,
    /// The command line of the program, without its name.
    pub arguments: Vec<OsString>,
}

/// The folders and name prefixes of the loaders of dynamically linked programs.
const LOADERS: &[(&str, &str)] =
    &[("/lib64", "ld-"), ("/lib", "ld-"), ("/usr/lib64", "ld-"), ("/usr/lib", "ld-")];

/// The number of libraries in one folder that may be read; builds of llama.cpp have about twenty.
const LIBRARIES_MAX: usize = 1024;
/// The prefix of llama.cpp's backends for one kind of CPU. A program that has them lists its folder to find
/// the best one.
const CPU_BACKEND_PREFIX: &str = "libggml-cpu-";
/// The folders of a program's libraries, relative to its own folder.
const LIBRARY_FOLDERS: &[&str] = &["", "../lib", "../lib64"];

/// Confines this process and becomes the program. Returns only on failure, with the reason.
#[must_use]
pub fn launch(launch: Launch) -> String {
    lar_sandbox::close_descriptors();
    if let Err(reason) = die_with_server(launch.server) {
        return reason;
    }
    let missing = lar_sandbox::confine(&confinement(&launch));
    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    match check_confinement(&launch, &missing) {
        Err(reason) => return reason,
        Ok(None) => {}
        #[expect(clippy::print_stderr, reason = "the server reads it")]
        Ok(Some(missing)) => eprintln!("llama-server is not fully confined: {missing}"),
    }
    let error = lar_sandbox::exec_program(launch.program.as_os_str(), &launch.arguments);
    format!("{} cannot be started: {error}", launch.program.display())
}

/// Makes the kernel kill this process when the server dies for any reason.
#[cfg(target_os = "linux")]
fn die_with_server(server: u32) -> Result<(), String> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())?;
    let parent = getppid().map(|pid| pid.as_raw_pid().unsigned_abs());
    // The server may have died before the call.
    if parent == Some(server) { Ok(()) } else { Err("the server that started it has exited".into()) }
}

#[cfg(not(target_os = "linux"))]
fn die_with_server(_: u32) -> Result<(), String> {
    Ok(())
}

/// Returns the missing parts of the confinement, or an error if the program must not run without them.
fn check_confinement(launch: &Launch, missing: &[String]) -> Result<Option<String>, String> {
    let policy = match launch.require {
        true => ConfinementPolicy::Require,
        false => ConfinementPolicy::BestEffort,
    };
    policy.allow("llama-server", missing)
}

fn confinement(launch: &Launch) -> Confinement {
    let graphics = lar_sandbox::find_gpu_files();
    let (libraries, list) = libraries(&launch.program);
    let read = [launch.files.clone(), libraries, graphics.read].concat();
    let mut execute = vec![launch.program.clone()];
    for (folder, beginning) in LOADERS {
        let names = Path::new(folder).read_dir().into_iter().flatten().flatten();
        let loaders = names.filter(|entry| entry.file_name().to_string_lossy().starts_with(beginning));
        execute.extend(loaders.map(|entry| entry.path()));
    }
    Confinement {
        profile: Profile::Server { port: launch.port },
        read,
        list,
        execute,
        write: graphics.write,
        memory_max: None,
    }
}

/// Returns the libraries of a program, and the folders that it lists to find some of them.
fn libraries(program: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    // A program that is started through a link also finds libraries beside the link: Lar names that folder to
    // the loader.
    let mut programs = vec![program.to_owned()];
    programs.extend(program.canonicalize().ok().filter(|real| real != program));
    let (mut found, mut list) = (Vec::new(), Vec::new());
    for beside in programs.iter().filter_map(|program| program.parent()) {
        for folder in LIBRARY_FOLDERS.iter().map(|name| beside.join(name)) {
            let names = folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.file_name());
            let names = names.filter_map(|name| name.into_string().ok()).filter(|name| is_library(name));
            let names: Vec<String> = names.take(LIBRARIES_MAX).collect();
            if names.iter().any(|name| name.starts_with(CPU_BACKEND_PREFIX)) {
                list.push(folder.clone());
            }
            found.extend(names.iter().map(|name| folder.join(name)));
        }
    }
    (found, list)
}

/// Returns whether a file has the name of a shared library: `libNAME.so` or `libNAME.so.1.2`.
fn is_library(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("lib") else { return false };
    let version = |rest: &str| rest.chars().all(|c| c.is_ascii_digit() || c == '.');
    rest.ends_with(".so") || rest.rsplit_once(".so.").is_some_and(|(_, rest)| version(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(program: &Path, require: bool) -> Launch {
        Launch {
            server: 1,
            port: 1,
            files: vec!["/models/m.gguf".into()],
            require,
            program: program.to_owned(),
            arguments: Vec::new(),
        }
    }

    #[test]
    fn a_partly_confined_server_is_refused_when_confinement_is_required() {
        let (required, missing) = (launch(Path::new("/s"), true), ["read-only files: none".to_owned()]);
        assert_eq!(
            check_confinement(&required, &missing).unwrap_err(),
            "llama-server cannot be fully confined, which `engines.confinement` requires; missing: read-only \
             files: none"
        );
        let best_effort = check_confinement(&launch(Path::new("/s"), false), &missing);
        assert_eq!(best_effort, Ok(Some("read-only files: none".into())));
        assert_eq!(check_confinement(&required, &[]), Ok(None));
    }

    #[test]
    fn a_program_may_read_only_libraries_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().canonicalize().unwrap().join("home");
        let make = |name: &str| {
            let path = home.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            path
        };
        let program = make("bin/llama-server");
        let libraries = ["bin/libllama.so", "bin/libggml.so.0.9", "lib/libgomp.so.1"].map(make);
        for secret in ["bin/owner.key", "bin/.ssh/id", "bin/notes.so.key", "lib/libx.a", "secret"] {
            make(secret);
        }
        let allowed = |program: &Path| {
            let Confinement { read, list, .. } = confinement(&launch(program, false));
            let system = lar_sandbox::find_gpu_files().read;
            let own = read.into_iter().filter(|path| !system.contains(path));
            let mut own: Vec<PathBuf> = own.map(|path| path.canonicalize().unwrap_or(path)).collect();
            own.sort();
            (own, list)
        };
        let mut expected = [vec!["/models/m.gguf".into()], libraries.to_vec()].concat();
        expected.sort();
        assert_eq!(allowed(&program), (expected.clone(), Vec::new()));
        // Through a link in another folder.
        let link = home.join("llama-server");
        std::os::unix::fs::symlink(&program, &link).unwrap();
        assert_eq!(allowed(&link), (expected, Vec::new()));
        // The folder may be listed only if it has CPU backends.
        make("bin/libggml-cpu-haswell.so");
        assert_eq!(allowed(&program).1, [home.join("bin")]);
    }
}
