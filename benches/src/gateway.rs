//! The latency that Lar and other gateways add between a client and an engine, and their throughput.
//!
//! The engine is a stub that answers immediately. Every gateway gets the same requests for the same stub, and the
//! measurements are interleaved. The stub is measured without a gateway twice in every round: the difference
//! is the noise of the machine.

pub(crate) mod apis;
mod load;
mod stub;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use lar_base::Instant;
use lar_tests::{Lar, free_port};

use crate::process::{Process, resident_mib};
use crate::progress::progress;
use crate::statistics::{median, quantile_of};
use load::{Measured, closed_loop, open_loop};
pub(crate) use stub::serve;

const ROUNDS: usize = 3;
/// Requests per second, and the number of connections that they are spread over.
const RATES: [(u32, u32); 2] = [(100, 16), (1000, 64)];
const OPEN_FOR: Duration = Duration::from_secs(4);
const CLOSED_FOR: Duration = Duration::from_secs(3);
/// Clients of the closed loop, the same number as in the prototype that set the aim.
const CLIENTS: usize = 16;
/// One worker of litellm serves an order of magnitude fewer than 1,000 requests per second. At that rate the
/// benchmark would only measure its queue.
const LITELLM_RATE_MAX: u32 = 100;
/// Requests before the first memory sample, and between the first and the second one.
const GROWTH_WARM: usize = 10_000;
const GROWTH_OVER: usize = 100_000;
/// The longest time that a gateway may take to start.
const START_WITHIN: Duration = Duration::from_secs(90);
const CONFIG: &str = "[engines]\npreload = false\n";

/// A server with the endpoint `/v1/chat/completions`.
struct ChatServer {
    name: &'static str,
    address: SocketAddr,
    key: &'static str,
    rate_max: u32,
    _child: Option<Process>,
}

impl ChatServer {
    fn request(&self, stream: bool) -> Vec<u8> {
        let body = format!(
            r#"{{"model":"stub","messages":[{{"role":"system","content":"You are a helpful assistant."}},{{"role":"user","content":"Say a word sixteen times, please."}}],"max_tokens":64,"temperature":0.7,"stream":{stream}}}"#
        );
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            self.key,
            body.len()
        )
        .into_bytes()
    }

    fn answers(&self) -> bool {
        let one = |stream| open_loop(self.address, &self.request(stream), 1000, 1, Duration::from_millis(1));
        [false, true].into_iter().all(|stream| one(stream).latencies.len() == 1)
    }
}

/// Starts the stub engine and returns its process and address.
fn start_stub() -> anyhow::Result<(Process, SocketAddr)> {
    let mut stub = Process::new(
        Command::new(std::env::current_exe()?)
            .arg("stub")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?,
    );
    let mut line = String::new();
    BufReader::new(
        stub.0.stdout.take().into_iter().next().ok_or_else(|| anyhow::anyhow!("the stub has no output"))?,
    )
    .read_line(&mut line)?;
    Ok((stub, line.trim().parse()?))
}

pub(crate) fn measure() -> anyhow::Result<String> {
    let (_stub, address) = start_stub()?;
    let config = format!(
        "{CONFIG}[limits]\nrequests_per_minute = 0\n[[remote]]\nname = \"stub\"\nurl = \"http://{address}\"\n"
    );
    let lar = Lar::start_logging(&config, "info");
    let mut targets = vec![
        ChatServer { name: "none: the stub alone", address, key: "none", rate_max: u32::MAX, _child: None },
        ChatServer {
            name: "Lar",
            address: lar.address.parse()?,
            key: Lar::KEY,
            rate_max: u32::MAX,
            _child: None,
        },
        ChatServer { name: "none: the stub again", address, key: "none", rate_max: u32::MAX, _child: None },
    ];
    let logs = tempfile::tempdir()?;
    targets.extend(rivals(address, logs.path())?);
    for target in &targets {
        let started_at = Instant::now();
        while !target.answers() {
            anyhow::ensure!(started_at.elapsed() < START_WITHIN, "{} does not answer", target.name);
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    let mut report = String::from(INTRODUCTION);
    for (rate, connections) in RATES {
        for stream in [false, true] {
            progress(&format!("  {rate} requests/s, {}", kind(stream)));
            let mut rounds: BTreeMap<&str, Vec<Measured>> = BTreeMap::new();
            for _ in 0..ROUNDS {
                for target in targets.iter().filter(|target| target.rate_max >= rate) {
                    let request = target.request(stream);
                    let measured = open_loop(target.address, &request, rate, connections, OPEN_FOR);
                    rounds.entry(target.name).or_default().push(measured);
                }
            }
            write_open(&mut report, rate, stream, &targets, &rounds)?;
        }
    }
    for stream in [false, true] {
        progress(&format!("  maximum throughput, {}", kind(stream)));
        let mut rounds: BTreeMap<&str, Vec<(f64, Measured)>> = BTreeMap::new();
        for _ in 0..ROUNDS {
            for target in &targets {
                let measured = closed_loop(target.address, &target.request(stream), CLIENTS, CLOSED_FOR)?;
                rounds.entry(target.name).or_default().push(measured);
            }
        }
        write_closed(&mut report, stream, &targets, &rounds)?;
    }
    report.push_str(PROFILE);
    progress("  memory growth");
    write!(report, "\n{}", growth(&lar, &targets[1])?)?;
    Ok(report)
}

/// From `perf record --call-graph dwarf`, 2026-11.
const PROFILE: &str = "\
\nA prototype that only parsed and forwarded requests carried 45,000 requests/s on such a machine. A\n\
profile shows how Lar spends its time at full load (whole answers):\n\n\
| part of the work | share of the time |\n\
|---|---|\n\
| the caller's connection: reading and checking the request, key, metrics, log line, writing the answer | a third |\n\
| the connection to the engine | a fifth |\n\
| scheduling, and the events of the task | 8 % |\n\
| database | 8 % |\n\
| sending to the engine | 7 % |\n\
| reading the engine's events; Lar always has the engine stream, 16 events for each answer | 6 % |\n\
| the async runtime, and the kernel that wakes threads | the rest |\n\n\
Four busy programs share two cores here. Waking threads is therefore also most of the latency that each\n\
of these gateways adds at the median.\n";

/// Returns the paragraph on the growth of Lar's memory over many requests.
fn growth(lar: &Lar, target: &ChatServer) -> anyhow::Result<String> {
    // Long enough that whole and streamed answers are sent, tasks are evicted from memory and the database
    // grows.
    let run = |count: usize| -> anyhow::Result<usize> {
        let mut answered = 0;
        while answered < count {
            for stream in [false, true] {
                let second = Duration::from_secs(1);
                answered +=
                    closed_loop(target.address, &target.request(stream), CLIENTS, second)?.1.latencies.len();
            }
        }
        Ok(answered)
    };
    let before = run(GROWTH_WARM)?;
    let warm = resident_mib(lar.pid());
    let more = run(GROWTH_OVER)?;
    let after = resident_mib(lar.pid());
    Ok(format!(
        "Resident memory of Lar: {warm:.1} MiB after all requests above and {before} more, {after:.1} MiB\n\
         after another {more}. Growth: {:+.1} MiB (aim: none).\n",
        after - warm
    ))
}

const INTRODUCTION: &str = "\
Latency and throughput of gateways in front of a stub engine, which answers immediately with 16\n\
tokens. A request is a chat of two messages. Lar has its default settings: it checks keys, logs every\n\
request, and stores every task and its usage. The other gateways have their defaults, one process each.\n\
Latency is to the last byte, from the time at which the request was due. Load generator, gateway and stub\n\
share the machine's cores. Medians of 3 interleaved rounds. The difference between the two rows without a\n\
gateway is the noise of the machine.\n";

fn kind(stream: bool) -> &'static str {
    if stream { "streamed answers" } else { "whole answers" }
}

fn write_open(
    report: &mut String,
    rate: u32,
    stream: bool,
    targets: &[ChatServer],
    rounds: &BTreeMap<&str, Vec<Measured>>,
) -> anyhow::Result<()> {
    let of = |name: &str, share: f64| {
        median(rounds[name].iter().map(|round| quantile_of(&round.latencies, share)).collect())
    };
    let alone = [of(targets[0].name, 0.5), of(targets[0].name, 0.99)];
    write!(
        report,
        "\n{rate} requests/s, {}:\n\n| gateway | p50 ms | p99 ms | added p50 | added p99 | failed |\n|---|---|---|---|---|---|\n",
        kind(stream)
    )?;
    for target in targets.iter().filter(|target| rounds.contains_key(target.name)) {
        let (p50, p99) = (of(target.name, 0.5), of(target.name, 0.99));
        let failed: u64 = rounds[target.name].iter().map(|round| round.failed).sum();
        writeln!(
            report,
            "| {} | {p50:.3} | {p99:.3} | {:+.3} | {:+.3} | {failed} |",
            target.name,
            p50 - alone[0],
            p99 - alone[1]
        )?;
    }
    Ok(())
}

fn write_closed(
    report: &mut String,
    stream: bool,
    targets: &[ChatServer],
    rounds: &BTreeMap<&str, Vec<(f64, Measured)>>,
) -> anyhow::Result<()> {
    let of = |name: &str| median(rounds[name].iter().map(|(rate, _)| *rate).collect());
    let lar = of("Lar");
    write!(
        report,
        "\nMaximum throughput with {CLIENTS} clients, {}:\n\n| gateway | requests/s | Lar ÷ gateway | p99 ms | failed |\n|---|---|---|---|---|\n",
        kind(stream)
    )?;
    for target in targets {
        let p99 = rounds[target.name].iter().map(|(_, measured)| quantile_of(&measured.latencies, 0.99));
        let failed: u64 = rounds[target.name].iter().map(|(_, measured)| measured.failed).sum();
        let rate = of(target.name);
        writeln!(
            report,
            "| {} | {rate:.0} | {:.2} × | {:.2} | {failed} |",
            target.name,
            lar / rate,
            median(p99.collect())
        )?;
    }
    Ok(())
}

/// Starts the other gateways, which `scripts/rivals.sh` installs from PyPI.
fn rivals(stub: SocketAddr, logs: &Path) -> anyhow::Result<Vec<ChatServer>> {
    let home = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.build/rivals"));
    anyhow::ensure!(
        home.join("packages").is_file(),
        "the other gateways are not installed: run scripts/rivals.sh"
    );
    let engine = format!("http://{stub}");
    let config = logs.join("litellm.yaml");
    let settings = format!(
        "model_list:\n  - model_name: stub\n    litellm_params:\n      model: openai/stub\n      api_base: {engine}/v1\n      api_key: none\ngeneral_settings:\n  master_key: sk-bench\n"
    );
    std::fs::write(&config, settings)?;
    let config = config.display().to_string();
    let start = |name: &'static str, program: &str, rate_max: u32, arguments: &[&str]| {
        let port = free_port();
        let log = std::fs::File::create(logs.join(format!("{name}.log")))?;
        let child = Command::new("python3")
            .arg(home.join("bin").join(program))
            .args(arguments)
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .env("PYTHONPATH", &home)
            .current_dir(logs)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        anyhow::Ok(ChatServer {
            name,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            key: "sk-bench",
            rate_max,
            _child: Some(Process::new(child)),
        })
    };
    let metrics = [free_port().to_string(), free_port().to_string()];
    Ok(vec![
        start(
            "smg 1.13.0",
            "smg",
            u32::MAX,
            &["launch", "--worker-urls", &engine, "--api-key", "sk-bench", "--prometheus-port", &metrics[0]],
        )?,
        start(
            "vllm-router 0.1.17",
            "vllm-router",
            u32::MAX,
            &["--worker-urls", &engine, "--api-key", "sk-bench", "--prometheus-port", &metrics[1]],
        )?,
        start("litellm 1.106.2", "litellm", LITELLM_RATE_MAX, &["--config", &config])?,
    ])
}
