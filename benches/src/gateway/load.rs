//! The load generators of the gateway benchmark.
//!
//! The open loop sends requests at fixed times. Latency counts from the time at which a request was due, so
//! that a server that falls behind gets no advantage. The closed loop sends as many requests as the server
//! answers, over a few connections.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lar_base::Instant;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The longest time that an answer may take before it counts as failed.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The latencies and failures of one run.
#[derive(Debug, Default, Clone)]
pub(super) struct Measured {
    /// The latency of every successful answer in ms, unsorted.
    pub(super) latencies: Vec<f64>,
    /// The number of answers with another status than 200, and of broken connections.
    pub(super) failed: u64,
}

/// Sends `rate` requests per second for `duration`, on `connections` connections in turn.
pub(super) fn open_loop(
    address: SocketAddr,
    request: &[u8],
    rate: u32,
    connections: u32,
    duration: Duration,
) -> Measured {
    let interval = Duration::from_secs(1) / rate * connections;
    let rounds = (duration.as_secs_f64() / interval.as_secs_f64()) as u32;
    let begin = Instant::now().after(Duration::from_millis(100));
    let mut all = Measured::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|number| {
                let first = begin.after(Duration::from_secs(1) / rate * number);
                scope.spawn(move || {
                    let mut measured = Measured::default();
                    let Ok(mut socket) = connect(address) else {
                        measured.failed = u64::from(rounds);
                        return measured;
                    };
                    for round in 0..rounds {
                        let due = first.after(interval * round);
                        std::thread::sleep(due.since(Instant::now()));
                        if exchange(&mut socket, request) {
                            measured.latencies.push(due.elapsed().as_secs_f64() * 1000.0);
                            continue;
                        }
                        measured.failed += 1;
                        match connect(address) {
                            Ok(fresh) => socket = fresh,
                            Err(_) => return measured,
                        }
                    }
                    measured
                })
            })
            .collect();
        for thread in threads {
            let part = thread.join().unwrap_or_default();
            all.latencies.extend(part.latencies);
            all.failed += part.failed;
        }
    });
    all
}

/// Sends requests on `connections` connections, each request after the previous one is answered.
///
/// Returns the answers per second, and the latencies and failures.
pub(super) fn closed_loop(
    address: SocketAddr,
    request: &[u8],
    connections: usize,
    duration: Duration,
) -> anyhow::Result<(f64, Measured)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let failed = std::rc::Rc::new(AtomicU64::new(0));
    let local = tokio::task::LocalSet::new();
    let started_at = Instant::now();
    let latencies = local.block_on(&runtime, async {
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let (request, failed) = (request.to_vec(), failed.clone());
            tasks.push(tokio::task::spawn_local(async move {
                let mut latencies = Vec::new();
                let Ok(mut socket) = tokio::net::TcpStream::connect(address).await else { return latencies };
                let _ = socket.set_nodelay(true);
                let mut buffer = vec![0; 64 << 10];
                while started_at.elapsed() < duration {
                    let sent = Instant::now();
                    let answered = async {
                        socket.write_all(&request).await.ok()?;
                        let mut answer = PartialAnswer::default();
                        loop {
                            let count = socket.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
                            if let Some(good) = answer.receive(&buffer[..count]) {
                                return good.then_some(());
                            }
                        }
                    };
                    match tokio::time::timeout(TIMEOUT, answered).await {
                        Ok(Some(())) => latencies.push(sent.elapsed().as_secs_f64() * 1000.0),
                        _ => {
                            failed.fetch_add(1, Ordering::Relaxed);
                            let Ok(fresh) = tokio::net::TcpStream::connect(address).await else { break };
                            socket = fresh;
                        }
                    }
                }
                latencies
            }));
        }
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.unwrap_or_default());
        }
        all
    });
    let rate = latencies.len() as f64 / started_at.elapsed().as_secs_f64();
    Ok((rate, Measured { latencies, failed: failed.load(Ordering::Relaxed) }))
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    Ok(socket)
}

/// Sends a request and returns whether it got a complete answer with status 200.
fn exchange(socket: &mut TcpStream, request: &[u8]) -> bool {
    if socket.write_all(request).is_err() {
        return false;
    }
    let (mut answer, mut buffer) = (PartialAnswer::default(), [0; 16 << 10]);
    loop {
        match socket.read(&mut buffer) {
            Ok(0) | Err(_) => return false,
            Ok(count) => {
                if let Some(good) = answer.receive(&buffer[..count]) {
                    return good;
                }
            }
        }
    }
}

/// An HTTP answer that arrives in parts.
#[derive(Debug, Default)]
struct PartialAnswer {
    bytes: Vec<u8>,
    head: Option<Head>,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    good: bool,
    length: usize,
    /// The length of the body; `None` if the body is chunked.
    body: Option<usize>,
}

impl PartialAnswer {
    /// Appends received bytes. Once the answer is complete, returns whether its status is 200.
    fn receive(&mut self, bytes: &[u8]) -> Option<bool> {
        self.bytes.extend_from_slice(bytes);
        if self.head.is_none() {
            self.head = head(&self.bytes);
        }
        let head = self.head?;
        let whole = match head.body {
            Some(length) => self.bytes.len() >= head.length + length,
            None => self.bytes.ends_with(b"0\r\n\r\n"),
        };
        whole.then_some(head.good)
    }
}

fn head(bytes: &[u8]) -> Option<Head> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(length)) = response.parse(bytes) else { return None };
    let body = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let body = body.and_then(|field| std::str::from_utf8(field.value).ok()?.parse().ok());
    Some(Head { good: response.code == Some(200), length, body })
}
