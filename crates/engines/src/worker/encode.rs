//! A worker that holds a model of BERT's family: frames in, texts to the encoder's threads, vectors out.
//!
//! One thread reads frames and kills the process at end of file, one sends heartbeats, and as many as the server says
//! compute. A computing thread writes its own results, so that a query's vector waits for no other thread.

use std::io::{BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use lar_base::Instant;
use lar_sandbox::Profile;
use rustix::process::{Signal, getpid, kill_process};

use super::{AbortOnPanic, with_short_message};
use crate::encoder::{Scratch, Service};
use crate::protocol::{self, FromWorker, HEARTBEAT, LoadEncoder, ToWorker};

/// Takes from the machine what the arithmetic wants to know of it, while its files can still be opened.
pub(super) fn prepare() {
    crate::encoder::prepare();
}

/// Loads the model and obeys the socket until it closes.
///
/// # Errors
/// When the model cannot be loaded; the server was told.
pub(super) fn run(load: &LoadEncoder, mut socket: UnixStream, profile: Profile) -> Result<(), String> {
    let reader = socket.try_clone().map_err(|error| error.to_string())?;
    let worker = Arc::new(EncoderWorker {
        socket: Mutex::new(socket.try_clone().map_err(|error| error.to_string())?),
        service: OnceLock::new(),
        step_since_ms: AtomicU64::new(0),
    });
    let reading = worker.clone();
    std::thread::spawn(move || reading.read_frames(reader));
    let service = match Service::load(load).and_then(|service| {
        super::confinement::finish_loading(profile)?;
        Ok(service)
    }) {
        Ok(service) => service,
        Err(message) => {
            let _ = protocol::write(&mut socket, &FromWorker::LoadFailed { message: message.clone() });
            return Err(message);
        }
    };
    let vocabulary = service.vocabulary();
    let _ = worker.service.set(service);
    worker.send(vec![FromWorker::Loaded { vocabulary, tuned: None, draft_refused: None }]);
    for _ in 1..load.threads.max(1) {
        let worker = worker.clone();
        std::thread::spawn(move || worker.compute());
    }
    let beating = worker.clone();
    std::thread::spawn(move || beating.send_heartbeats());
    worker.compute();
    Ok(())
}

struct EncoderWorker {
    socket: Mutex<UnixStream>,
    /// Set once the model is loaded; before that the server sends nothing.
    service: OnceLock<Service>,
    /// When a result was last seen while there was work; 0 when idle.
    step_since_ms: AtomicU64,
}

impl EncoderWorker {
    fn read_frames(&self, socket: UnixStream) {
        let mut socket = BufReader::new(socket);
        while let Ok(Some(frame)) = protocol::read(&mut socket) {
            let Some(service) = self.service.get() else { continue };
            match frame {
                ToWorker::Embed { id, query, texts, more } => {
                    let _ = self.step_since_ms.compare_exchange(
                        0,
                        now_ms(),
                        Ordering::Relaxed,
                        Ordering::Relaxed,
                    );
                    let frames = service.add(id, query, texts, more);
                    if !frames.is_empty() {
                        self.send(frames);
                    }
                }
                ToWorker::Cancel { stream } => service.cancel(stream),
                _ => {}
            }
        }
        // Nothing here needs saving, whatever the other threads do.
        let _ = kill_process(getpid(), Signal::KILL);
    }

    fn compute(&self) {
        let _ends = AbortOnPanic;
        let Some(service) = self.service.get() else { return };
        let mut scratch = Scratch::default();
        loop {
            let taken = service.take();
            service.compute(taken, &mut scratch, |deliver| {
                // The last frame of a request must not overtake another thread's, so that the socket is taken first.
                let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
                let frames = deliver();
                let since = if service.active() == 0 { 0 } else { now_ms() };
                self.step_since_ms.store(since, Ordering::Relaxed);
                write(&mut socket, frames);
            });
        }
    }

    fn send_heartbeats(&self) {
        loop {
            std::thread::sleep(HEARTBEAT);
            let Some(service) = self.service.get() else { return };
            let active = service.active();
            let since = self.step_since_ms.load(Ordering::Relaxed);
            let step_ms = if since == 0 || active == 0 { 0 } else { now_ms().saturating_sub(since) };
            self.send(vec![FromWorker::Heartbeat { active, step_ms }]);
        }
    }

    fn send(&self, frames: Vec<FromWorker>) {
        write(&mut self.socket.lock().unwrap_or_else(PoisonError::into_inner), frames);
    }
}

/// Writes frames together; where the server is gone, the reading thread ends the process.
fn write(socket: &mut UnixStream, frames: Vec<FromWorker>) {
    let frames = frames.into_iter().map(with_short_message);
    let bytes: Vec<u8> = frames.flat_map(|frame| protocol::encode(&frame).unwrap_or_default()).collect();
    let _ = socket.write_all(&bytes);
}

fn now_ms() -> u64 {
    Instant::now().as_millis().max(1)
}
