//! A `llama-server` that runs as a child process, started through [`mod@super::launch`], which confines it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use lar_base::Secret;
use lar_base::secret::{hex, random_bytes};
use lar_sandbox::Inherit;
use tokio::process::Command;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::options::LlamaServerOptions;
use crate::confinement_policy::ConfinementPolicy;
use crate::stderr::LastLines;
use lar_inference::Error;

/// The batch size of its prefill, in tokens. The server notices a stop only between two batches. Its default
/// of 2048 takes seconds on a CPU, and it computes in pieces of 512 in any case.
const BATCH_TOKENS: &str = "512";

/// A running child. It is killed when dropped.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) url: String,
    /// The child's API key. Nobody else on this machine can use the child, and another server on its port
    /// cannot pass for it.
    pub(super) key: Secret,
    death: watch::Receiver<Option<String>>,
    kill: CancellationToken,
}

impl Child {
    /// Starts the child, which may read `files`, its own libraries and the system's, and nothing else.
    ///
    /// # Errors
    /// The options are not those of a managed server, or the program cannot be started.
    pub(super) async fn start(options: &LlamaServerOptions, files: &[PathBuf]) -> Result<Self, Error> {
        let LlamaServerOptions::Managed {
            launcher,
            confinement,
            program,
            model,
            concurrency,
            context_tokens,
            threads,
        } = options
        else {
            return Err(Error::Failed("this llama-server is remote and cannot be started".into()));
        };
        if !program.is_file() {
            return Err(Error::Missing(format!(
                "{} cannot be started: the file does not exist",
                program.display()
            )));
        }
        // The server cannot report a port that it chose, so Lar chooses a free one. If another program takes
        // it first, the child exits and the load fails with the child's message.
        let free =
            tokio::net::TcpListener::bind("127.0.0.1:0").await.and_then(|listener| listener.local_addr());
        let port = free.map_err(|error| Error::Load(error.to_string()))?.port();
        let key = Secret::new(hex(&random_bytes::<16>()));
        let folder = program.parent().unwrap_or(Path::new("."));
        let (server, port) = (std::process::id().to_string(), port.to_string());
        let mut command = Command::from(lar_sandbox::command(launcher, Inherit::Engine));
        command.args(["launch", "--server", &server, "--port", &port]);
        for file in files {
            command.arg("--read").arg(file);
        }
        if *confinement == ConfinementPolicy::Require {
            command.arg("--require-confinement");
        }
        let mut child = command
            .arg("--")
            .arg(program)
            .arg("-m")
            .arg(model)
            .args(["--host", "127.0.0.1", "--port", &port, "--slots", "--no-webui"])
            .args(["-np", &concurrency.to_string(), "-t", &threads.to_string()])
            .args(["-b", BATCH_TOKENS])
            .args(["-c", &context_tokens.saturating_mul(*concurrency).to_string()])
            .env("LD_LIBRARY_PATH", folder)
            // Other users can see the arguments of a process, but not its environment.
            .env("LLAMA_API_KEY", key.expose())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl+C in a terminal signals the whole process group, but the server lets answers finish first.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Error::Missing(format!("{} cannot be started: {error}", program.display())))?;
        // The launcher's message about confinement comes before the program's own.
        let is_first = AtomicBool::new(true);
        let lines = LastLines::of(&mut child, move |line| {
            if is_first.swap(false, Ordering::Relaxed) && line.contains("is not fully confined") {
                tracing::warn!("{line}");
            }
        });
        let (dead, death) = watch::channel(None);
        let kill = CancellationToken::new();
        let stop_requested = kill.clone();
        tokio::spawn(async move {
            let status = tokio::select! {
                status = child.wait() => status,
                () = stop_requested.cancelled() => {
                    let _ = child.start_kill();
                    child.wait().await
                }
            };
            let last = lines.wait_closed().await;
            let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            let _ = dead.send(Some(format!("llama-server ended ({status}): {last}")));
        });
        Ok(Self { url: format!("http://127.0.0.1:{port}"), key, death, kill })
    }

    pub(super) fn death(&self) -> Option<String> {
        self.death.borrow().clone()
    }

    pub(super) async fn wait_for_death(&self) -> String {
        let mut death = self.death.clone();
        match death.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "its handle was dropped".into(),
        }
    }

    pub(super) async fn stop(&self) {
        self.kill.cancel();
        self.wait_for_death().await;
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill.cancel();
    }
}
