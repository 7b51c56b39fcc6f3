//! `lar launch`: a process that confines itself and then becomes the `llama-server` that a Lar manages.
//!
//! That program is the operator's, not Lar's, so that it cannot confine itself. It reads its own folder, the system's
//! libraries and its model, writes no file, runs no other program, and serves one TCP port; it connects to nothing. It
//! keeps the machine's network namespace, since its server must reach that port.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use lar_sandbox::{Confinement, Profile};

/// What to become.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The process that started this one; without it nobody would ever stop this.
    pub server: u32,
    /// The port that it serves.
    pub port: u16,
    /// The GGUF file, the first one of a split model.
    pub model: PathBuf,
    /// Ends rather than running with less than the whole confinement.
    pub require: bool,
    /// The `llama-server` program.
    pub program: PathBuf,
    /// What it is called with.
    pub arguments: Vec<OsString>,
}

/// Where the loader of dynamically linked programs lies, by the beginning of its name.
const LOADERS: &[(&str, &str)] =
    &[("/lib64", "ld-"), ("/lib", "ld-"), ("/usr/lib64", "ld-"), ("/usr/lib", "ld-")];

/// Confines this process and becomes the program. Returns why that failed.
#[must_use]
pub fn launch(launch: Launch) -> String {
    lar_sandbox::close_descriptors();
    if let Err(reason) = end_with(launch.server) {
        return reason;
    }
    let missing = lar_sandbox::confine(&confinement(&launch));
    if !missing.is_empty() {
        let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
        let missing = missing.join("; ");
        if launch.require {
            return format!(
                "llama-server cannot be confined in every way, and `engines.confinement` requires that: {missing}"
            );
        }
        #[expect(clippy::print_stderr, reason = "the server reads it")]
        {
            eprintln!("llama-server is not confined in every way: {missing}");
        }
    }
    let error = lar_sandbox::become_program(launch.program.as_os_str(), &launch.arguments);
    format!("{} cannot be started: {error}", launch.program.display())
}

/// Has the kernel kill this process when the server dies, however it dies.
#[cfg(target_os = "linux")]
fn end_with(server: u32) -> Result<(), String> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())?;
    let parent = getppid().map(|pid| pid.as_raw_pid().unsigned_abs());
    // It may have died before that.
    if parent == Some(server) { Ok(()) } else { Err("its server ended".into()) }
}

#[cfg(not(target_os = "linux"))]
fn end_with(_: u32) -> Result<(), String> {
    Ok(())
}

fn confinement(launch: &Launch) -> Confinement {
    let graphics = lar_sandbox::graphics();
    let mut read = crate::worker::model_files(&launch.model);
    read.extend(launch.program.parent().map(Path::to_owned));
    read.extend(graphics.read);
    let mut execute = vec![launch.program.clone()];
    for (folder, beginning) in LOADERS {
        let names = Path::new(folder).read_dir().into_iter().flatten().flatten();
        let loaders = names.filter(|entry| entry.file_name().to_string_lossy().starts_with(beginning));
        execute.extend(loaders.map(|entry| entry.path()));
    }
    Confinement {
        profile: Profile::Server { port: launch.port },
        read,
        execute,
        write: graphics.write,
        memory_max: None,
    }
}
