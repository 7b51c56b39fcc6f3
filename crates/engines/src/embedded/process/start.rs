//! The start of a worker: the process, its socket, and the handshake up to the end of loading.

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

use crate::confinement_policy::ConfinementPolicy;
use lar_inference::Error;
use lar_inference::protocol;
use lar_inference::protocol::{FromWorker, Load, ToWorker, TuningResult};

/// The longest wait for a worker's hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a thread of a worker spins at a barrier before it sleeps. OpenMP's default of milliseconds
/// occupies a core that another program needs; with a quarter of this, threads sleep hundreds of times per
/// token. Measured: decision 0018.
const BARRIER_WAIT: Duration = Duration::from_micros(30);

/// Returns the number of spins in [`BARRIER_WAIT`], the unit of OpenMP's setting. Each spin is one hint to
/// the processor, and some processors take ten times as long for it as others.
fn barrier_spins() -> u64 {
    /// Hints per timed pass, and passes; the fastest pass counts.
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

/// Starts a process, lets it confine itself and kills it. Returns the missing parts of the confinement.
pub(in crate::embedded) async fn confinement(program: &Path) -> Result<Vec<String>, Error> {
    let (child, mut reader, mut writer) = spawn(program)?;
    let _child = child;
    greet(&mut reader, &mut writer, Load::Vocabulary { path: "nothing".into(), files: Vec::new() }).await
}

/// Starts the process and returns it with the two halves of its socket.
pub(super) fn spawn(program: &Path) -> Result<(Child, OwnedReadHalf, OwnedWriteHalf), Error> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(to_error)?;
    ours.set_nonblocking(true).map_err(to_error)?;
    // The worker runs in another folder, so a relative path would not lead to the program.
    let program = std::path::absolute(program).map_err(to_error)?;
    let child = Command::from(lar_sandbox::command(&program, Inherit::Engine))
        .arg("worker")
        .env("GOMP_SPINCOUNT", barrier_spins().to_string())
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // Ctrl+C in a terminal signals the whole process group, but the server lets answers finish first.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Error::Missing(format!("{} cannot be started: {error}", program.display())))?;
    let (reader, writer) = UnixStream::from_std(ours).map_err(to_error)?.into_split();
    Ok((child, reader, writer))
}

/// Logs the missing parts of the confinement once. Returns an error if the policy requires all of it.
pub(super) fn check_confinement(missing: &[String], policy: ConfinementPolicy) -> Result<(), Error> {
    static LOGGED: Once = Once::new();
    if let Some(missing) = policy.allow("its worker", missing).map_err(Error::Load)? {
        LOGGED.call_once(|| tracing::warn!(%missing, "workers are not fully confined"));
    }
    Ok(())
}

/// Exchanges hellos and sends `Load`. Returns the missing parts of the process's confinement.
pub(super) async fn greet(
    reader: &mut OwnedReadHalf,
    writer: &mut OwnedWriteHalf,
    load: Load,
) -> Result<Vec<String>, Error> {
    let hello = tokio::time::timeout(HELLO_TIMEOUT, read::<FromWorker>(reader));
    match hello.await.map_err(|_| Error::Failed("it sent no hello in time".into()))?? {
        FromWorker::Hello { version: protocol::VERSION, .. } => {}
        FromWorker::Hello { version, .. } => {
            return Err(Error::Failed(format!("it speaks version {version}, not {}", protocol::VERSION)));
        }
        _ => return Err(Error::Failed("its first frame was not hello".into())),
    }
    for frame in [ToWorker::Hello { version: protocol::VERSION }, ToWorker::Load(load)] {
        writer.write_all(&protocol::encode(&frame).map_err(to_error)?).await.map_err(to_error)?;
    }
    match read::<FromWorker>(reader).await? {
        FromWorker::Confined { missing } => Ok(missing),
        _ => Err(Error::Failed("it did not report its confinement".into())),
    }
}

pub(super) async fn wait_until_loaded(reader: &mut OwnedReadHalf) -> Result<Option<TuningResult>, Error> {
    // Loading takes as long as the disk needs; the tasks that wait for it have their own deadlines.
    match read::<FromWorker>(reader).await? {
        FromWorker::Loaded { tuned, draft_refused, .. } => {
            if let Some(reason) = draft_refused {
                tracing::warn!(%reason, "the draft model cannot be used with this model");
            }
            Ok(tuned)
        }
        FromWorker::LoadFailed { message } => Err(Error::Load(message)),
        _ => Err(Error::Failed("it sent another frame before it reported the load".into())),
    }
}

async fn read<T: for<'a> Deserialize<'a>>(reader: &mut OwnedReadHalf) -> Result<T, Error> {
    read_sized(reader).await.map(|(frame, _)| frame)
}

/// Reads a frame and returns it with the number of bytes of its body.
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
        std::io::ErrorKind::UnexpectedEof => "it closed the connection before it answered".into(),
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
            "the model could not be loaded: its worker cannot be fully confined, which `engines.confinement` \
             requires; missing: no network: it is busy; system call filter (seccomp): none"
        );
        check_confinement(&missing, ConfinementPolicy::BestEffort).unwrap();
        check_confinement(&[], ConfinementPolicy::Require).unwrap();
    }
}
