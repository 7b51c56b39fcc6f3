//! Writes the frames for a worker and reads its frames, until the worker dies.

use std::sync::Arc;
use std::time::Duration;

use lar_inference::protocol::{FromWorker, HEARTBEAT};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, OutgoingFrame};
use super::start::read_sized;
use crate::stderr::LastLines;

/// A worker that is silent for this long counts as dead.
const SILENCE_MAX: Duration = HEARTBEAT.saturating_mul(15);
/// Texts on standard error when memory ran out: llama.cpp throws a C++ exception, or OpenMP cannot start a
/// thread.
const NO_MEMORY: [&str; 2] = ["foreign exception", "libgomp: Thread creation failed"];

/// Writes frames until the worker has exited. Kills a worker that does not read: a working one reads during
/// any computation.
pub(super) async fn send_frames(
    mut writer: OwnedWriteHalf,
    mut frames: mpsc::Receiver<OutgoingFrame>,
    kill: CancellationToken,
) {
    while let Some(frame) = frames.recv().await {
        match tokio::time::timeout(SILENCE_MAX, writer.write_all(&frame.bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => {
                tracing::warn!("a worker did not read its frames and was killed");
                kill.cancel();
                return;
            }
        }
    }
}

/// Handles the worker's frames until it dies, is killed or breaks the protocol.
pub(super) async fn supervise(
    mut child: Child,
    reader: OwnedReadHalf,
    stderr: LastLines,
    connection: Arc<Connection>,
) {
    // Buffered, because frames are small and many arrive together.
    let mut reader = BufReader::new(reader);
    let mut reader_task = tokio::spawn({
        let connection = connection.clone();
        async move {
            loop {
                match tokio::time::timeout(SILENCE_MAX, read_sized::<FromWorker>(&mut reader)).await {
                    Ok(Ok((frame, bytes))) => {
                        if let Err(reason) = connection.handle_frame(frame, bytes) {
                            return reason;
                        }
                    }
                    Ok(Err(_)) => return "it closed the connection".to_owned(),
                    Err(_) => return format!("it was silent for {} s", SILENCE_MAX.as_secs()),
                }
            }
        }
    });
    let reason = tokio::select! {
        reason = &mut reader_task => Some(reason.unwrap_or_else(|_| "its frames could not be handled".into())),
        () = connection.kill.cancelled() => { reader_task.abort(); None }
    };
    let _ = child.start_kill();
    let status = child.wait().await;
    let reason = match (reason, status) {
        (None, _) => "it was unloaded".to_owned(),
        (Some(reason), Ok(status)) if !status.success() => {
            let lines = stderr.wait_closed().await;
            if lines.is_empty() {
                format!("{reason} ({status})")
            } else if NO_MEMORY.iter().any(|known| lines.contains(known)) {
                format!("{reason} ({status}): llama.cpp aborted, most likely because memory ran out")
            } else {
                format!("{reason} ({status}): {lines}")
            }
        }
        (Some(reason), _) => reason,
    };
    tracing::info!(pid = child.id(), %reason, "a worker ended");
    connection.mark_dead(&reason);
}
