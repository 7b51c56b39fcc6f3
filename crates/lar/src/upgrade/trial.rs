//! A program that is started to see whether it becomes ready, and stopped again.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use lar_base::Instant;
use lar_egress::{Egress, Method, Request, Trust};
use lar_sandbox::Inherit;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::data_dir;

/// A Lar that does not listen after this is not going to: large databases are migrated first.
const LISTENS_WITHIN: Duration = Duration::from_secs(600);
/// One that listens and is not ready after this is not going to be: large models are read from slow disks.
const READY_WITHIN: Duration = Duration::from_secs(180);
/// An answer is not longer than this.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// A Lar that has not stopped after this is killed.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
/// How often it is asked.
const POLL_EVERY: Duration = Duration::from_millis(100);
/// What is quoted of what it said.
const QUOTED_CHARS: usize = 500;

/// How a program is tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial<'a> {
    pub(super) program: &'a Path,
    pub(super) data_dir: &'a Path,
    pub(super) models_dir: &'a Path,
    /// Whether it is to load the default model. Where another Lar has it loaded, there may be no room for it twice.
    pub(super) loads: bool,
}

/// Starts the program on a port of its own, waits until it is ready and stops it.
///
/// # Errors
/// What it said where it did not become ready.
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
    let mut said = child.stderr.take().context("what it says cannot be heard")?;
    let said = tokio::spawn(async move {
        let mut text = Vec::new();
        let _ = said.read_to_end(&mut text).await;
        String::from_utf8_lossy(&text).into_owned()
    });
    let pid = child.id();
    let became = tokio::select! {
        ended = child.wait() => Err(anyhow!("it ended, {}", ended?)),
        became = ready(data_dir, |found| Some(found) == pid, || true) => became,
    };
    stop(&mut child).await?;
    let Err(reason) = became else { return Ok(()) };
    let said = said.await.unwrap_or_default();
    let skipped = said.trim().chars().count().saturating_sub(QUOTED_CHARS);
    let quoted: String = said.trim().chars().skip(skipped).collect();
    bail!("{reason}: {quoted}")
}

/// Waits until the server of a data directory whose process `is_it` is ready, and loads no model any more.
///
/// # Errors
/// When it is not in time, or not there any more, as `is_there` says.
pub(super) async fn ready(
    data_dir: &Path,
    is_it: impl Fn(u32) -> bool,
    is_there: impl Fn() -> bool,
) -> anyhow::Result<()> {
    let egress = Egress::new()?;
    let started_at = Instant::now();
    let (mut listens_since, mut reason) = (None, String::from("it does not listen"));
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
        ensure!(is_there(), "it ended");
        if late {
            bail!("{reason} after {} s", started_at.elapsed().as_secs());
        }
        sleep(POLL_EVERY).await;
    }
}

/// Asks a server whether it is ready.
async fn check_ready(egress: &Egress, data_dir: &Path, url: &str) -> anyhow::Result<()> {
    let get = |path: &str| {
        Request::new(Method::Get, format!("{url}{path}"), Trust::Operator).timeout(Duration::from_secs(5))
    };
    let ready = egress.send(get("/readyz")).await?;
    if ready.status() != 200 {
        let body = ready.bytes(ANSWER_BYTES_MAX).await?;
        bail!("it is not ready: {}", String::from_utf8_lossy(&body));
    }
    let key = data_dir::owner_key(data_dir)?.context("there is no owner's key")?;
    let bearer = format!("Bearer {}", key.expose());
    let pools = egress.send(get("/lar/v1/pools").header("authorization", bearer)).await?;
    let pools: serde_json::Value = serde_json::from_slice(&pools.bytes(ANSWER_BYTES_MAX).await?)?;
    let loading = pools["data"].as_array().into_iter().flatten().find(|pool| pool["state"] == "loading");
    match loading {
        Some(pool) => bail!("it still loads {}", pool["id"]),
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
