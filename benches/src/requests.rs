//! HTTP requests to Lar compared with `llama-server`: short sampled answers and long greedy streams.
//!
//! They are measured on a quiet machine, and after a start while other programs were busy. Both servers are
//! built for this machine, have the same model and are measured in turns.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use lar_base::Instant;
use lar_tests::{Lar, chat_model, free_port, llama_server};
use serde_json::{Value, json};

use crate::contention::Busy;
use crate::process::Process;
use crate::progress::progress;
use crate::statistics::quantile;

const ROUNDS: usize = 4;
const STREAMS: [usize; 3] = [1, 4, 8];
const CONTEXT_TOKENS: u32 = 1024;
/// Requests that each stream sends, one after another.
const REQUESTS: usize = 2;
/// Rounds that both servers run beside busy programs before these end.
const BUSY_ROUNDS: usize = 2;
/// A short request has about 45 tokens of prompt.
const SHORT: &str = "Write a few plain sentences about the harbour of a small town in the north, about the boats that lie there \
                     in winter, and about the people who mend their nets on the quay.";

/// A kind of request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Sampled, not streamed, 96 tokens.
    Short,
    /// Greedy, streamed, 128 tokens.
    Long,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Short, Self::Long];

    fn name(self) -> &'static str {
        match self {
            Self::Short => "short, sampled",
            Self::Long => "long, greedy, streamed",
        }
    }

    fn body(self, number: usize) -> Value {
        let (tokens, temperature, stream) = match self {
            Self::Short => (96, 0.8, false),
            Self::Long => (128, 0.0, true),
        };
        json!({
            "model": "default", "prompt": format!("{number}. {SHORT}"), "max_tokens": tokens, "seed": number,
            "temperature": temperature, "stream": stream, "ignore_eos": true,
        })
    }

    fn tokens(self) -> usize {
        match self {
            Self::Short => 96,
            Self::Long => 128,
        }
    }
}

/// A running Lar or `llama-server`.
struct Target {
    address: String,
    /// Stops the server when dropped.
    _lar: Option<Lar>,
    _directory: Option<tempfile::TempDir>,
    _process: Option<Process>,
}

impl Target {
    fn lar(slots: usize) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let config = format!(
            "[engines]\ncontext_tokens_max = {CONTEXT_TOKENS}\nconcurrency = {slots}\n[limits]\nrequests_per_minute = 100000\n"
        );
        std::fs::write(directory.path().join("lar.toml"), config)?;
        let lar = Lar::start_measuring_on(directory.path());
        let address = lar.address.clone();
        Ok(Self { address, _lar: Some(lar), _directory: Some(directory), _process: None })
    }

    fn llama_server(slots: usize) -> anyhow::Result<Self> {
        let port = free_port();
        let mut command = Command::new(llama_server());
        command.arg("--model").arg(chat_model()).args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--parallel", &slots.to_string(), "--no-webui"]);
        command.args(["--ctx-size", &(slots as u32 * CONTEXT_TOKENS).to_string()]);
        let child = Process::new(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        let address = format!("127.0.0.1:{port}");
        let started_at = Instant::now();
        while !get(&address, "/health").is_ok_and(|answer| answer.contains(" 200 ")) {
            anyhow::ensure!(started_at.elapsed() < Duration::from_secs(60), "llama-server did not start");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(Self { address, _lar: None, _directory: None, _process: Some(child) })
    }

    /// Returns the tokens per second of all streams together.
    fn measure(&self, kind: Kind, streams: usize, seed: usize) -> anyhow::Result<f64> {
        let started_at = Instant::now();
        std::thread::scope(|scope| {
            let ask = |stream: usize| {
                move || -> anyhow::Result<()> {
                    for request in 0..REQUESTS {
                        let number = seed + stream * REQUESTS + request;
                        let body = kind.body(number).to_string();
                        let answer = post(&self.address, "/v1/completions", &body)?;
                        anyhow::ensure!(answer.contains(" 200 "), "an answer failed: {answer}");
                    }
                    Ok(())
                }
            };
            let asking: Vec<_> = (0..streams).map(|stream| scope.spawn(ask(stream))).collect();
            asking
                .into_iter()
                .try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))?)
        })?;
        let tokens = kind.tokens() * REQUESTS * streams;
        Ok(tokens as f64 / started_at.elapsed().as_secs_f64())
    }
}

fn get(address: &str, path: &str) -> std::io::Result<String> {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"))
}

fn post(address: &str, path: &str, body: &str) -> std::io::Result<String> {
    let key = Lar::KEY;
    let length = body.len();
    exchange(
        address,
        &format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        ),
    )
}

fn exchange(address: &str, request: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(address)?;
    socket.write_all(request.as_bytes())?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Measures requests on a quiet machine.
pub(crate) fn quiet() -> anyhow::Result<String> {
    let targets = [Target::lar(8)?, Target::llama_server(8)?];
    Ok(format!(
        "SmolLM2-135M Q4_1, 8 slots of {CONTEXT_TOKENS} tokens. Each server chooses its number of threads.\n\
         Each stream sends {REQUESTS} requests, one after another, with about 45 prompt tokens. A short\n\
         answer has 96 tokens, sampled at temperature 0.8. A long answer has 128 greedy tokens. Tokens per\n\
         second of all streams together; medians of {ROUNDS} interleaved rounds. A ratio above 1 means that\n\
         Lar is faster.\n\n\
         {}",
        table(&targets)?
    ))
}

/// Measures the same requests after both servers were started and used beside programs that kept every core
/// busy. These programs have ended before the measurement.
pub(crate) fn after_busy() -> anyhow::Result<String> {
    let busy = Busy::new();
    let targets = [Target::lar(8)?, Target::llama_server(8)?];
    for round in 0..BUSY_ROUNDS {
        for target in &targets {
            target.measure(Kind::Short, 4, 900_000 + round * 1000)?;
        }
    }
    drop(busy);
    Ok(format!(
        "The requests of the section above. Both servers were started, and first used, while other programs\n\
         kept every core busy. The measurement began after these programs had ended.\n\n\
         {}",
        table(&targets)?
    ))
}

fn table(targets: &[Target; 2]) -> anyhow::Result<String> {
    let mut rows: Vec<[Vec<f64>; 2]> = vec![Default::default(); Kind::ALL.len() * STREAMS.len()];
    for round in 0..=ROUNDS {
        progress(&format!("  round {round} of {ROUNDS}"));
        for (kind_at, kind) in Kind::ALL.into_iter().enumerate() {
            for (streams_at, streams) in STREAMS.into_iter().enumerate() {
                let seed = 1 + round * 10_000 + kind_at * 5000 + streams_at * 1000;
                // The order of the two servers changes from round to round.
                for turn in 0..2 {
                    let at = (turn + round) % 2;
                    let speed = targets[at].measure(kind, streams, seed)?;
                    if round > 0 {
                        rows[kind_at * STREAMS.len() + streams_at][at].push(speed);
                    }
                }
            }
        }
    }
    let mut text = String::from(
        "| requests | streams | Lar | llama-server | Lar ÷ llama-server |\n|---|---|---|---|---|\n",
    );
    let kinds = Kind::ALL.into_iter().flat_map(|kind| STREAMS.map(|streams| (kind, streams)));
    for ((kind, streams), speeds) in kinds.zip(rows) {
        let [lar, other] = speeds.map(|mut speeds| {
            speeds.sort_by(f64::total_cmp);
            quantile(&speeds, 0.5)
        });
        writeln!(text, "| {} | {streams} | {lar:.0} | {other:.0} | {:.2} × |", kind.name(), lar / other)?;
    }
    Ok(text)
}
