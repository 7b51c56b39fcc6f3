//! `lar doctor`: what is missing, broken or unused on this machine, and the command that mends it.

mod better_model;
mod data;
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
use serde::Serialize;

use crate::config::Config;
use crate::{data_dir, open_files};

/// Less free space than this is worth a warning.
const SPACE_LOW: Bytes = Bytes::mib(2048);

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Fine,
    Note,
    Broken,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    level: Level,
    about: &'static str,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

/// Looks at everything; fails with exit code 4 when something is broken. `invalid` says what is wrong with the
/// configuration; the rest is then looked at with the defaults.
///
/// # Errors
/// When the findings cannot be shown.
pub(crate) async fn run(
    config: &Config,
    invalid: Option<String>,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let mut findings: Vec<Finding> = invalid.map(configuration).into_iter().collect();
    findings.extend(data::run(&config.data_dir));
    findings.extend([disk(&config.models_dir()), port(config)]);
    findings.extend(listeners::run(config).await);
    findings.extend(memory());
    findings.extend(threads::run(config).await);
    findings.push(open_files(config));
    findings.push(graphics());
    findings.push(confinement(config.engines.confinement).await);
    findings.extend(models(config).await);
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
        if let Some(mend) = &finding.mend {
            lines.push(format!("        {:width$}  → {mend}", ""));
        }
    }
    lines.join("\n")
}

fn fine(about: &'static str, found: impl Into<String>) -> Finding {
    Finding { level: Level::Fine, about, found: found.into(), mend: None }
}

fn note(about: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { level: Level::Note, about, found: found.into(), mend: Some(mend.into()) }
}

fn broken(about: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { level: Level::Broken, about, found: found.into(), mend: Some(mend.into()) }
}

fn configuration(reason: String) -> Finding {
    let mend = "correct it: lar config set SETTING VALUE, or unset the variable; the rest is checked with the defaults";
    broken("configuration", reason, mend)
}

fn disk(models: &Path) -> Finding {
    let existing = models.ancestors().find(|path| path.exists()).unwrap_or(models);
    match rustix::fs::statvfs(existing) {
        Ok(disk) => {
            let free = Bytes(disk.f_bavail.saturating_mul(disk.f_frsize));
            if free < SPACE_LOW {
                note(
                    "disk",
                    format!("{free} are free for models"),
                    "keep models elsewhere: lar config set models_dir DIR",
                )
            } else {
                fine("disk", format!("{free} are free for models"))
            }
        }
        Err(error) => note("disk", format!("its free space is unknown: {error}"), "look with `df -h`"),
    }
}

fn port(config: &Config) -> Finding {
    let address = config.listen;
    if let Some(server) = data_dir::running(&config.data_dir).filter(|server| alive(server.pid)) {
        return fine("port", format!("Lar is running at {} (process {})", server.url, server.pid));
    }
    match TcpListener::bind(address) {
        Ok(_) => fine("port", format!("{address} is free")),
        Err(error) => {
            let by = port_owner(address.port()).map(|owner| format!(" by {owner}")).unwrap_or_default();
            broken(
                "port",
                format!("{address} is taken{by} ({error})"),
                "choose another: lar config set listen 127.0.0.1:5271",
            )
        }
    }
}

fn memory() -> Vec<Finding> {
    let Some(memory) = device::memory() else {
        return vec![note("memory", "its size is unknown", "Lar reads /proc/meminfo")];
    };
    let text =
        format!("{} in all, {} available, {} cores", memory.total, memory.available, device::threads());
    vec![fine("memory", text)]
}

/// Whether this user's programs may have as many files open as the configured connections take.
fn open_files(config: &Config) -> Finding {
    let (about, limit, configured) = ("open files", open_files::hard_limit(), config.limits.connections);
    let mend = "raise it: `ulimit -Hn`, LimitNOFILE in a unit, --ulimit nofile of a container";
    if limit < open_files::OPEN_FILES_MIN {
        let found = format!("{limit} at most, and Lar needs {} at least", open_files::OPEN_FILES_MIN);
        return broken(about, found, mend);
    }
    match open_files::connections_within(limit, configured) {
        room if room < configured => {
            let found = format!("{limit} at most, which leaves room for {room} of {configured} connections");
            note(about, found, mend)
        }
        _ => fine(about, format!("{limit} at most, enough for {configured} connections")),
    }
}

fn graphics() -> Finding {
    match device::graphics().as_slice() {
        [] => fine("graphics", "none found; models run on the processor"),
        found => note(
            "graphics",
            format!("{} is there and not used: this build runs on the processor", found.join(", ")),
            "a GPU build of llama.cpp can be used through its server: lar config set engines.llama_server PATH",
        ),
    }
}

/// Starts a worker that confines itself and tells how.
async fn confinement(policy: ConfinementPolicy) -> Finding {
    let about = "workers";
    let outcome = match std::env::current_exe() {
        Ok(program) => lar_engines::embedded::confinement(&program).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match outcome {
        Ok(missing) if missing.is_empty() => {
            fine(about, "confined: no network, no other programs, only their model's files")
        }
        Ok(missing) => {
            let found = format!("not confined in every way: {}", missing.join("; "));
            let newer = "a newer kernel, or one that allows it, protects better from a hostile model file";
            match policy {
                ConfinementPolicy::BestEffort => note(about, found, newer),
                ConfinementPolicy::Require => broken(
                    about,
                    format!("{found}; no model is loaded, as `engines.confinement` is `require`"),
                    format!("{newer}; or: lar config set engines.confinement best-effort"),
                ),
            }
        }
        Err(error) => broken(about, format!("cannot be started: {error}"), "install Lar again"),
    }
}

async fn models(config: &Config) -> Vec<Finding> {
    let mut installed = installed(&config.models_dir());
    if let Some(included) = &config.included_models_dir {
        installed.extend(self::installed(included));
    }
    let chat = installed.iter().filter(|(_, kind, _)| *kind == Kind::Chat);
    let names: Vec<&str> = chat.clone().map(|(name, _, _)| name.as_str()).collect();
    let mut findings = vec![if names.is_empty() {
        broken("chat model", "none is installed", "lar models pull --starter")
    } else {
        fine("chat model", names.join(", "))
    }];
    findings.push(if installed.iter().any(|(_, kind, _)| *kind == Kind::Embedding) {
        fine("embedder", "installed")
    } else {
        note("embedder", "none is installed", "lar models pull --starter")
    });
    let only_starter = chat.clone().all(|(_, _, digest)| digest == lar_catalog::STARTER_CHAT.sha256);
    if only_starter {
        findings.extend(better_model::run(config).await);
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
        fine("pip", "is there, for models from Python packages")
    } else {
        note(
            "pip",
            "is not there; models from Python packages cannot be pulled",
            "sudo apt-get install python3-pip",
        )
    }
}

/// What building Lar needs; of no interest to those who only run it, so it is mentioned only where absent.
fn compiler() -> Vec<Finding> {
    let missing: Vec<&str> =
        ["cc", "cmake", "clang"].into_iter().filter(|tool| !succeeds(tool, &["--version"])).collect();
    if missing.is_empty() {
        return vec![fine("compiler", "is there, for building Lar on this machine")];
    }
    let found = format!("{} not there; needed only to build Lar", missing.join(", "));
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

fn alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

/// The process that listens on a port, as far as this user may see it.
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
            fine("disk", "80 GiB are free for models"),
            note("graphics", "NVIDIA device is there and not used", "use it"),
            broken("chat model", "none is installed", "lar models pull --starter"),
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
    fn the_name_of_a_ports_process_does_not_steer_the_terminal() {
        let at = tempfile::tempdir().unwrap();
        let program = at.path().join("a\u{202e}b\u{1b}c");
        symlink("/bin/sh", &program).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // The child alone has the listener then, as its standard input.
        let mut child = lar_sandbox::command(&program, Inherit::Tool)
            .arg0("sh")
            .args(["-c", "echo up; kill -STOP $$"])
            .stdin(OwnedFd::from(listener))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It has its name before it writes.
        child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        let owner = port_owner(port);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(owner, Some(format!("a\u{fffd}b\u{fffd}c (process {})", child.id())));
    }
}
