//! A trial of a release: starts its program, waits until it is ready, and stops it.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use lar_base::Instant;
use lar_base::lines::read_tail;
use lar_egress::{Egress, Method, Request, Trust};
use lar_sandbox::Inherit;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::data_dir;

/// How long Lar can take until it listens. It migrates a large database first.
const LISTENS_WITHIN: Duration = Duration::from_secs(600);
/// How long Lar can take from listening until it is ready. It may load a large model from a slow disk.
const READY_WITHIN: Duration = Duration::from_secs(180);
/// The maximum size of a response.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// How long Lar can take to stop before it is killed.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
/// The time between two requests for the state.
const POLL_EVERY: Duration = Duration::from_millis(100);
/// The number of characters of the program's output that an error quotes.
const QUOTED_CHARS: usize = 500;
/// The maximum size of the quoted characters in UTF-8, which takes up to four bytes for each.
const QUOTED_BYTES_MAX: usize = QUOTED_CHARS * 4;

/// The arguments of a trial.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial<'a> {
    pub(super) program: &'a Path,
    pub(super) data_dir: &'a Path,
    pub(super) models_dir: &'a Path,
    /// Whether the program loads the default model. If another Lar has it loaded, memory may not be enough
    /// for two.
    pub(super) loads: bool,
}

/// Starts the program on a free port, waits until it is ready, and stops it.
///
/// # Errors
/// If it does not become ready; the message quotes its output.
pub(super) async fn run(trial: Trial<'_>) -> anyhow::Result<()> {
    let Trial { program, data_dir, models_dir, loads } = trial;
    let mut command = Command::from(lar_sandbox::command(std::path::absolute(program)?, Inherit::Lar));
    command.arg("--data-dir").arg(data_dir).args(["--listen", "127.0.0.1:0", "serve"]);
    if !loads {
        command.env("LAR_ENGINES_PRELOAD", "false");
    }
    command.env("LAR_MODELS_DIR", models_dir).env("LAR_LOG", "warn").kill_on_drop(true);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.with_context(|| format!("{} cannot be started", program.display()))?;
    let stderr = child.stderr.take().context("the program has no standard error")?;
    let error_output = tokio::spawn(async move {
        let text = read_tail(stderr, QUOTED_BYTES_MAX).await;
        String::from_utf8_lossy(&text).into_owned()
    });
    let pid = child.id();
    let outcome = tokio::select! {
        status = child.wait() => Err(anyhow!("the program ended, {}", status?)),
        outcome = ready(data_dir, |found| Some(found) == pid, || true) => outcome,
    };
    stop(&mut child).await?;
    let Err(reason) = outcome else { return Ok(()) };
    let error_output = error_output.await.unwrap_or_default();
    let skipped = error_output.trim().chars().count().saturating_sub(QUOTED_CHARS);
    let quoted: String = error_output.trim().chars().skip(skipped).collect();
    bail!("{reason}: {quoted}")
}

/// Waits until the server of a data directory is ready and has no model left to load. `is_it` recognizes its
/// process id.
///
/// # Errors
/// If that takes too long, or `is_there` returns false because the server has ended.
pub(super) async fn ready(
    data_dir: &Path,
    is_it: impl Fn(u32) -> bool,
    is_there: impl Fn() -> bool,
) -> anyhow::Result<()> {
    let egress = Egress::new()?;
    let started_at = Instant::now();
    let (mut listens_since, mut reason) = (None, String::from("the program does not listen"));
    loop {
        if let Some(server) = data_dir::running(data_dir).filter(|server| is_it(server.pid)) {
            listens_since.get_or_insert_with(Instant::now);
            match check_ready(&egress, data_dir, &server.url).await {
                Ok(()) => return Ok(()),
                Err(error) => reason = error.to_string(),
            }
        }
        let late = listens_since
            .map_or(started_at.elapsed() > LISTENS_WITHIN, |since| since.elapsed() > READY_WITHIN);
        ensure!(is_there(), "the program ended");
        if late {
            bail!("{reason} after {} s", started_at.elapsed().as_secs());
        }
        sleep(POLL_EVERY).await;
    }
}

/// Checks whether a server is ready and has no model left to load.
async fn check_ready(egress: &Egress, data_dir: &Path, url: &str) -> anyhow::Result<()> {
    let get = |path: &str| {
        Request::new(Method::Get, format!("{url}{path}"), Trust::Operator).timeout(Duration::from_secs(5))
    };
    let ready = egress.send(get("/readyz")).await?;
    if ready.status() != 200 {
        let body = ready.bytes(ANSWER_BYTES_MAX).await?;
        bail!("the server is not ready: {}", String::from_utf8_lossy(&body));
    }
    let key = data_dir::owner_key(data_dir)?.context("owner.key is missing")?;
    let bearer = format!("Bearer {}", key.expose());
    let pools = egress.send(get("/lar/v1/pools").header("authorization", bearer)).await?;
    let pools: serde_json::Value = serde_json::from_slice(&pools.bytes(ANSWER_BYTES_MAX).await?)?;
    let loading = pools["data"].as_array().into_iter().flatten().find(|pool| pool["state"] == "loading");
    match loading {
        Some(pool) => bail!("the server is still loading {}", pool["id"]),
        None => Ok(()),
    }
}

async fn stop(child: &mut Child) -> anyhow::Result<ExitStatus> {
    let pid = child.id().and_then(|pid| rustix::process::Pid::from_raw(i32::try_from(pid).ok()?));
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    if timeout(STOPPED_WITHIN, child.wait()).await.is_err() {
        child.start_kill()?;
    }
    Ok(child.wait().await?)
}
