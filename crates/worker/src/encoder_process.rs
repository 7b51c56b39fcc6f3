//! The worker process of a BERT model: frames in, texts to the encoder's threads, vectors out.
//!
//! One thread reads frames and kills the process at end of file, one sends heartbeats, and the configured
//! number of threads compute. A computing thread writes its own results, so that a query's vector does not
//! wait for another thread.

use std::io::{BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use lar_base::Instant;
use lar_sandbox::Profile;
use rustix::process::{Signal, getpid, kill_process};

use super::encoder::{Scratch, Service};
use super::outbox::{AbortOnPanic, encode_frame, with_short_message};
use lar_inference::protocol;
use lar_inference::protocol::{FromWorker, HEARTBEAT, LoadEncoder, ToWorker};

/// Reads what the kernels need to know about the processor, while files can still be opened.
pub(super) fn prepare() {
    super::encoder::prepare();
}

/// Loads the model and serves the socket until it closes.
///
/// # Errors
/// The model cannot be loaded; the server was informed.
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
    /// Set once the model is loaded; the server sends nothing before that.
    service: OnceLock<Service>,
    /// When the last result was sent while there was work; 0 when idle.
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
        // Nothing needs saving, whatever the other threads do.
        let _ = kill_process(getpid(), Signal::KILL);
    }

    fn compute(&self) {
        let _ends = AbortOnPanic;
        let Some(service) = self.service.get() else { return };
        let mut scratch = Scratch::default();
        loop {
            let taken = service.take();
            service.compute(taken, &mut scratch, |deliver| {
                // The socket is locked first, because the last frame of a request must not overtake another
                // thread's frame.
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

/// Writes frames together. If the server is gone, the reading thread ends the process.
fn write(socket: &mut UnixStream, frames: Vec<FromWorker>) {
    let frames = frames.into_iter().map(with_short_message);
    let _ends = AbortOnPanic;
    let bytes: Vec<u8> = frames.flat_map(|frame| encode_frame(&frame)).collect();
    let _ = socket.write_all(&bytes);
}

fn now_ms() -> u64 {
    Instant::now().as_millis().max(1)
}
