//! `lar doctor`: checks the installation and the machine, and names the command that fixes each problem.

mod better_model;
mod data;
mod finding;
mod listeners;
mod running;
mod threads;

use std::net::TcpListener;
use std::path::Path;
use std::process::{ExitCode, Stdio};

use lar_base::Bytes;
use lar_base::files::{TEXT_BYTES_MAX, read_small};
use lar_catalog::Kind;
use lar_cli::Output;
use lar_engines::device;
use lar_engines::embedded::ConfinementPolicy;
use lar_sandbox::Inherit;

use crate::config::{Config, Environment};
use crate::{data_dir, invocation, open_files};
use finding::{Finding, Level, broken, fine, note};

/// The free disk space below which there is a warning.
const SPACE_LOW: Bytes = Bytes::mib(2048);

/// Runs all checks. Returns exit code 4 if something is broken. `invalid` is the error of an invalid
/// configuration; the other checks then use the default settings.
///
/// # Errors
/// If the findings cannot be printed.
pub(crate) async fn run(
    config: &Config,
    environment: &Environment,
    invalid: Option<String>,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let lar = &invocation::with_data_dir(config, environment);
    let mut findings: Vec<Finding> = invalid.map(|reason| configuration(reason, lar)).into_iter().collect();
    findings.extend(data::run(&config.data_dir, lar));
    findings.extend([disk(&config.models_dir(), lar), port(config, lar)]);
    findings.extend(listeners::run(config, lar).await);
    findings.extend(memory());
    findings.extend(threads::run(config, lar).await);
    findings.push(open_files(config));
    findings.push(graphics(lar));
    findings.push(confinement(config.engines.confinement, lar).await);
    findings.extend(models(config, lar).await);
    findings.push(pip());
    findings.extend(compiler());
    output.show(&findings, || screen(&findings))?;
    let broken = findings.iter().any(|finding| finding.level == Level::Broken);
    Ok(if broken { ExitCode::from(4) } else { ExitCode::SUCCESS })
}

fn screen(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.about.len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for finding in findings {
        let mark = match finding.level {
            Level::Fine => "ok    ",
            Level::Note => "note  ",
            Level::Broken => "BROKEN",
        };
        lines.push(format!("{mark}  {:width$}  {}", finding.about, finding.found));
        if let Some(fix) = &finding.fix {
            lines.push(format!("        {:width$}  → {fix}", ""));
        }
    }
    lines.join("\n")
}

fn configuration(reason: String, lar: &str) -> Finding {
    let mend = format!(
        "correct it: {lar} config set SETTING VALUE, or unset the environment variable; the other checks use \
         the defaults"
    );
    broken("configuration", reason, mend)
}

fn disk(models: &Path, lar: &str) -> Finding {
    let existing = models.ancestors().find(|path| path.exists()).unwrap_or(models);
    match rustix::fs::statvfs(existing) {
        Ok(disk) => {
            let free = Bytes(disk.f_bavail.saturating_mul(disk.f_frsize));
            if free < SPACE_LOW {
                note(
                    "disk",
                    format!("{free} free for models"),
                    format!("use another folder for models: {lar} config set models_dir DIR"),
                )
            } else {
                fine("disk", format!("{free} free for models"))
            }
        }
        Err(error) => note("disk", format!("free space unknown: {error}"), "check it with `df -h`"),
    }
}

fn port(config: &Config, lar: &str) -> Finding {
    let address = config.listen;
    if let Some(server) = running::server(config) {
        return fine("port", format!("Lar is running at {} (process {})", server.url, server.pid));
    }
    match TcpListener::bind(address) {
        Ok(_) => fine("port", format!("{address} is free")),
        Err(error) => {
            let by = port_owner(address.port()).map(|owner| format!(" by {owner}")).unwrap_or_default();
            broken(
                "port",
                format!("{address} is in use{by} ({error})"),
                format!("choose another: {lar} config set listen 127.0.0.1:5271"),
            )
        }
    }
}

fn memory() -> Vec<Finding> {
    let Some(memory) = device::memory() else {
        return vec![note("memory", "size unknown", "check that /proc/meminfo is readable")];
    };
    let text =
        format!("{} in total, {} available, {} cores", memory.total, memory.available, device::threads());
    vec![fine("memory", text)]
}

/// Checks whether the limit on open files is high enough for the configured number of connections.
fn open_files(config: &Config) -> Finding {
    let (about, limit, configured) = ("open files", open_files::hard_limit(), config.limits.connections);
    let mend = "raise the limit: `ulimit -Hn`, LimitNOFILE in a unit, or --ulimit nofile for a container";
    if limit < open_files::OPEN_FILES_MIN {
        let found = format!("limit {limit}, and Lar needs at least {}", open_files::OPEN_FILES_MIN);
        return broken(about, found, mend);
    }
    match open_files::connections_within(limit, configured) {
        room if room < configured => {
            let found = format!("limit {limit}, enough for {room} of {configured} connections");
            note(about, found, mend)
        }
        _ => fine(about, format!("limit {limit}, enough for {configured} connections")),
    }
}

fn graphics(lar: &str) -> Finding {
    match device::graphics().as_slice() {
        [] => fine("graphics", "no GPU found; models run on the CPU"),
        found => note(
            "graphics",
            format!("{} found but not used: this build runs models on the CPU", found.join(", ")),
            format!("to use a GPU build of llama.cpp: {lar} config set engines.llama_server PATH"),
        ),
    }
}

/// Starts a worker that confines itself and reports which parts of the confinement are missing.
async fn confinement(policy: ConfinementPolicy, lar: &str) -> Finding {
    let about = "workers";
    let outcome = match std::env::current_exe() {
        Ok(program) => lar_engines::embedded::confinement(&program).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match outcome {
        Ok(missing) if missing.is_empty() => {
            fine(about, "confined: no network, no other programs, no files except those of their model")
        }
        Ok(missing) => {
            let found = format!("not fully confined: {}", missing.join("; "));
            let newer = "to protect against hostile model files, use a newer kernel, or one that allows this";
            match policy {
                ConfinementPolicy::BestEffort => note(about, found, newer),
                ConfinementPolicy::Require => broken(
                    about,
                    format!("{found}; Lar loads no model, because `engines.confinement` is `require`"),
                    format!("{newer}; or: {lar} config set engines.confinement best-effort"),
                ),
            }
        }
        Err(error) => broken(about, format!("could not be started: {error}"), "install Lar again"),
    }
}

async fn models(config: &Config, lar: &str) -> Vec<Finding> {
    let pull = format!("{lar} models pull --starter");
    let mut installed = installed(&config.models_dir());
    if let Some(included) = &config.included_models_dir {
        installed.extend(self::installed(included));
    }
    let chat = installed.iter().filter(|(_, kind, _)| *kind == Kind::Chat);
    let names: Vec<&str> = chat.clone().map(|(name, _, _)| name.as_str()).collect();
    let mut findings = vec![if names.is_empty() {
        broken("chat model", "none installed", pull.clone())
    } else {
        fine("chat model", names.join(", "))
    }];
    findings.push(if installed.iter().any(|(_, kind, _)| *kind == Kind::Embedding) {
        fine("embedder", "installed")
    } else {
        note("embedder", "none installed", pull)
    });
    let only_starter = chat.clone().all(|(_, _, digest)| digest == lar_catalog::STARTER_CHAT.sha256);
    if only_starter {
        findings.extend(better_model::run(config, lar).await);
    }
    findings
}

fn installed(models: &Path) -> Vec<(String, Kind, String)> {
    let folder = std::fs::read_dir(models.join("manifests")).into_iter().flatten().flatten();
    let model = |entry: std::fs::DirEntry| {
        let text = read_small(&entry.path(), TEXT_BYTES_MAX).ok()?;
        let model: lar_catalog::Model = serde_json::from_slice(&text).ok()?;
        Some((model.name.clone(), model.kind, model.digest().to_owned()))
    };
    folder.filter_map(model).collect()
}

fn pip() -> Finding {
    if succeeds("python3", &["-I", "-m", "pip", "--version"]) {
        fine("pip", "installed, for models from Python packages")
    } else {
        note(
            "pip",
            "not installed; Lar cannot pull models from Python packages",
            "sudo apt-get install python3-pip",
        )
    }
}

/// Checks the tools that are needed to build Lar. They are not needed to run it, so a missing tool is only a
/// note.
fn compiler() -> Vec<Finding> {
    let missing: Vec<&str> =
        ["cc", "cmake", "clang"].into_iter().filter(|tool| !succeeds(tool, &["--version"])).collect();
    if missing.is_empty() {
        return vec![fine("compiler", "installed, for building Lar on this machine")];
    }
    let found = format!("{} not installed; needed only to build Lar", missing.join(", "));
    vec![note("compiler", found, "sudo apt-get install build-essential cmake clang libclang-dev")]
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let status = lar_sandbox::command(program, Inherit::Tool)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// Returns the process that listens on a port, or `None` if this user cannot see it.
pub(crate) fn port_owner(port: u16) -> Option<String> {
    let hex_port = format!(":{port:04X}");
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|path| {
        let text = std::fs::read_to_string(path).ok()?;
        text.lines().skip(1).find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let listening = fields.get(3) == Some(&"0A") && fields.get(1)?.ends_with(&hex_port);
            listening.then(|| fields.get(9).map(|inode| format!("socket:[{inode}]"))).flatten()
        })
    })?;
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<u32>() else { continue };
        let sockets = std::fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        let holds = sockets
            .filter_map(|fd| std::fs::read_link(fd.path()).ok())
            .any(|link| link.to_string_lossy() == inode);
        if holds {
            let program = data_dir::program_of(pid);
            return Some(
                program.map_or_else(|| format!("process {pid}"), |name| format!("{name} (process {pid})")),
            );
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::symlink;
    use std::os::unix::process::CommandExt as _;

    use super::*;

    #[test]
    fn screens() {
        let findings = [
            fine("disk", "80 GiB free for models"),
            note("graphics", "NVIDIA device found but not used", "use it"),
            broken("chat model", "none installed", "lar models pull --starter"),
        ];
        insta::assert_snapshot!("doctor", screen(&findings));
    }

    #[test]
    fn finds_the_process_that_listens_on_a_port() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let owner = port_owner(listener.local_addr().unwrap().port()).unwrap();
        assert!(owner.ends_with(&format!("(process {})", std::process::id())), "{owner}");
    }

    #[test]
    fn the_name_of_a_process_on_a_port_does_not_control_the_terminal() {
        let at = tempfile::tempdir().unwrap();
        let program = at.path().join("a\u{202e}b\u{1b}c");
        symlink("/bin/sh", &program).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // From now on only the child has the listener, as its standard input.
        let mut child = lar_sandbox::command(&program, Inherit::Tool)
            .arg0("sh")
            .args(["-c", "echo up; kill -STOP $$"])
            .stdin(OwnedFd::from(listener))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // The process has its name before it writes.
        child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        let owner = port_owner(port);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(owner, Some(format!("a\u{fffd}b\u{fffd}c (process {})", child.id())));
    }
}
