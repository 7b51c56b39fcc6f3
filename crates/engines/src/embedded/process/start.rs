//! A worker's beginning: the process and the socket to it, and what is said before it has loaded.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Once, OnceLock};
use std::time::Duration;

use lar_base::Instant;
use lar_sandbox::Inherit;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};

use crate::Error;
use crate::embedded::ConfinementPolicy;
use crate::protocol::{self, FromWorker, Load, ToWorker, TuningResult};

/// How long a worker may take to say hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a thread of a worker looks whether the others have arrived before it sleeps. OpenMP's own milliseconds hold a core
/// that another program wants; with a quarter of this, threads sleep hundreds of times for one token. Measured: decision 0018.
const BARRIER_WAIT: Duration = Duration::from_micros(30);

/// How often a thread looks in [`BARRIER_WAIT`], which is what OpenMP wants to be told; between two looks lies one hint to the
/// processor, of which some take ten times as long as others.
fn barrier_spins() -> u64 {
    /// Hints that are timed at once, and how often; the quickest counts.
    const HINTS: u32 = 2000;
    const PASSES: u32 = 8;
    static FOUND: OnceLock<u64> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let pass = |_| {
            let started = Instant::now();
            (0..HINTS).for_each(|_| std::hint::spin_loop());
            started.elapsed()
        };
        let quickest = (0..PASSES).map(pass).min().unwrap_or_default().max(Duration::from_nanos(1));
        let spins = BARRIER_WAIT.as_secs_f64() / quickest.as_secs_f64() * f64::from(HINTS);
        (spins as u64).clamp(100, 20_000)
    })
}

/// Starts a process, has it confine itself and lets it go; what the kernel would not hold it to.
pub(in crate::embedded) async fn confinement(program: &Path) -> Result<Vec<String>, Error> {
    let (child, mut reader, mut writer) = spawn(program)?;
    let _child = child;
    greet(&mut reader, &mut writer, Load::Vocabulary { path: "nothing".into(), files: Vec::new() }).await
}

/// The process, and the two halves of the socket to it.
pub(super) fn spawn(program: &Path) -> Result<(Child, OwnedReadHalf, OwnedWriteHalf), Error> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(to_error)?;
    ours.set_nonblocking(true).map_err(to_error)?;
    // Its folder is not this one, so that what it is told by path must not depend on it.
    let program = std::path::absolute(program).map_err(to_error)?;
    let child = Command::from(lar_sandbox::command(&program, Inherit::Engine))
        .arg("worker")
        .env("GOMP_SPINCOUNT", barrier_spins().to_string())
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // Ctrl+C in a terminal reaches all of a group: the server lets answers finish first.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Error::Missing(format!("{} cannot be started: {error}", program.display())))?;
    let (reader, writer) = UnixStream::from_std(ours).map_err(to_error)?.into_split();
    Ok((child, reader, writer))
}

/// Logs once what the kernel does not confine workers in; an error where the setting requires all of it.
pub(super) fn check_confinement(missing: &[String], policy: ConfinementPolicy) -> Result<(), Error> {
    static LOGGED: Once = Once::new();
    if let Some(missing) = policy.allow("its worker", missing).map_err(Error::Load)? {
        LOGGED.call_once(|| tracing::warn!(%missing, "workers are not confined in every way"));
    }
    Ok(())
}

/// Says what to load, and hears how the process is confined.
pub(super) async fn greet(
    reader: &mut OwnedReadHalf,
    writer: &mut OwnedWriteHalf,
    load: Load,
) -> Result<Vec<String>, Error> {
    let hello = tokio::time::timeout(HELLO_TIMEOUT, read::<FromWorker>(reader));
    match hello.await.map_err(|_| Error::Failed("it did not say hello".into()))?? {
        FromWorker::Hello { version: protocol::VERSION, .. } => {}
        FromWorker::Hello { version, .. } => {
            return Err(Error::Failed(format!("it speaks version {version}, not {}", protocol::VERSION)));
        }
        _ => return Err(Error::Failed("it did not begin with hello".into())),
    }
    for frame in [ToWorker::Hello { version: protocol::VERSION }, ToWorker::Load(load)] {
        writer.write_all(&protocol::encode(&frame).map_err(to_error)?).await.map_err(to_error)?;
    }
    match read::<FromWorker>(reader).await? {
        FromWorker::Confined { missing } => Ok(missing),
        _ => Err(Error::Failed("it did not say how it is confined".into())),
    }
}

pub(super) async fn wait_until_loaded(reader: &mut OwnedReadHalf) -> Result<Option<TuningResult>, Error> {
    // Loading may take as long as the disk needs; whoever waits for it has a deadline of their own.
    match read::<FromWorker>(reader).await? {
        FromWorker::Loaded { tuned, draft_refused, .. } => {
            if let Some(reason) = draft_refused {
                tracing::warn!(%reason, "the draft model does not guess for this one");
            }
            Ok(tuned)
        }
        FromWorker::LoadFailed { message } => Err(Error::Load(message)),
        _ => Err(Error::Failed("it said something else than whether it loaded".into())),
    }
}

async fn read<T: for<'a> Deserialize<'a>>(reader: &mut OwnedReadHalf) -> Result<T, Error> {
    read_sized(reader).await.map(|(frame, _)| frame)
}

/// A frame, and how many bytes its body has.
pub(super) async fn read_sized<T: for<'a> Deserialize<'a>>(
    reader: &mut (impl AsyncRead + Unpin),
) -> Result<(T, usize), Error> {
    let mut head = [0; 4];
    reader.read_exact(&mut head).await.map_err(to_error)?;
    let mut body = vec![0; protocol::body_length(head).map_err(to_error)?];
    reader.read_exact(&mut body).await.map_err(to_error)?;
    Ok((protocol::decode(&body).map_err(to_error)?, body.len()))
}

fn to_error(error: std::io::Error) -> Error {
    Error::Failed(match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "it ended before it answered".into(),
        _ => error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partly_confined_worker_is_refused_when_confinement_is_required() {
        let missing = ["no network: it is busy", "system call filter (seccomp): none"].map(ToOwned::to_owned);
        let refused = check_confinement(&missing, ConfinementPolicy::Require).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the model could not be loaded: its worker cannot be confined in every way, and `engines.confinement` \
             requires that: no network: it is busy; system call filter (seccomp): none"
        );
        check_confinement(&missing, ConfinementPolicy::BestEffort).unwrap();
        check_confinement(&[], ConfinementPolicy::Require).unwrap();
    }
}
