//! A program that is started to see whether it becomes ready, and stopped again.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use lar_egress::{Egress, Method, Request, Trust};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::data_dir;

/// A Lar that is not ready after this is not going to be: large databases are migrated in it, too.
const READY_WITHIN: Duration = Duration::from_secs(300);
/// A Lar that has not stopped after this is killed.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
/// How often it is asked.
const ASKED_EVERY: Duration = Duration::from_millis(100);
/// What is quoted of what it said.
const QUOTED_CHARS: usize = 500;

/// Starts `program` on the data directory, on a port of its own, waits until it is ready and stops it.
///
/// # Errors
/// What it said where it did not become ready.
pub(super) async fn run(program: &Path, data_dir: &Path, models_dir: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.arg("--data-dir").arg(data_dir).args(["--listen", "127.0.0.1:0", "serve"]);
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
    let over = async { Some(child.wait().await) };
    let became = tokio::select! {
        ended = over => Err(ended),
        became = ready(data_dir, |found| Some(found) == pid) => Ok(became),
    };
    let reason = match became {
        Ok(Ok(())) => {
            stop(&mut child).await?;
            return Ok(());
        }
        Ok(Err(error)) => {
            let _ = stop(&mut child).await;
            error.to_string()
        }
        Err(ended) => match ended {
            Some(Ok(status)) => format!("it ended, {status}"),
            _ => "it ended".into(),
        },
    };
    let said = said.await.unwrap_or_default();
    let skipped = said.trim().chars().count().saturating_sub(QUOTED_CHARS);
    let quoted: String = said.trim().chars().skip(skipped).collect();
    bail!("{reason}: {quoted}")
}

/// Waits until the server of a data directory whose process `is_it` is ready.
///
/// # Errors
/// When it is not in time.
pub(super) async fn ready(data_dir: &Path, is_it: impl Fn(u32) -> bool) -> anyhow::Result<()> {
    let egress = Egress::new()?;
    let end = Instant::now() + READY_WITHIN;
    while Instant::now() < end {
        if let Some(server) = data_dir::running(data_dir).filter(|server| is_it(server.pid)) {
            let request = Request::new(Method::Get, format!("{}/readyz", server.url), Trust::Operator);
            let answer = egress.send(request.timeout(Duration::from_secs(5))).await;
            if answer.is_ok_and(|answer| answer.status() == 200) {
                return Ok(());
            }
        }
        sleep(ASKED_EVERY).await;
    }
    bail!("it was not ready within {} s", READY_WITHIN.as_secs())
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
