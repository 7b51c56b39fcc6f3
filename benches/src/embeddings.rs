//! The encoder compared with ONNX Runtime and `llama-server`: texts per CPU second, and the time of one
//! query.
//!
//! Each has one thread, f32, and the same weights and texts. They are measured in turns.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context as _;
use lar_base::Instant;
use lar_egress::{Egress, Method, Request, Trust};
use lar_engines::driver::Driver as _;
use lar_engines::embedded::ConfinementPolicy;
use lar_engines::encoder::{Encoder, EncoderOptions};
use lar_tests::generated_models::{POOLING_MEAN, gguf_embedder};
use lar_tests::{embedder_file, free_port, llama_server, program};
use serde_json::{Value, json};

use crate::statistics::quantile;

/// Measured rounds; the medians are reported.
const ROUNDS: usize = 7;
const PASSAGES: usize = 64;
const QUERIES: usize = 40;

const WORDS: &str = "memory model answer house river window paper engine library morning garden question \
                     table mountain letter number station bridge weather music market kitchen doctor island";

/// Returns texts of `words` words each. They all differ, so that no embedding is cached.
fn texts(count: usize, words: usize, round: usize) -> Vec<String> {
    let all: Vec<&str> = WORDS.split_whitespace().collect();
    let word = |index: usize| all[(index * 7 + index / 5) % all.len()];
    (0..count)
        .map(|text| {
            let chosen: Vec<&str> = (0..words).map(|at| word(at * (text + 3) + round)).collect();
            format!("{} {round} {text}", chosen.join(" "))
        })
        .collect()
}

/// ONNX Runtime, in `benches/peers/onnx_encoder.py`.
struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    version: String,
}

impl Peer {
    fn start() -> anyhow::Result<Self> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let script = format!("{root}/benches/peers/onnx_encoder.py");
        let mut child = Command::new("python3")
            .arg(script)
            .args([embedder_file("weights"), embedder_file("tokenizer"), embedder_file("config")])
            .env("PYTHONPATH", format!("{root}/.build/rivals"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("python3 cannot be started")?;
        let input = child.stdin.take().context("the child has no input")?;
        let mut output = BufReader::new(child.stdout.take().context("the child has no output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let answer_json: Value =
            serde_json::from_str(&line).context("ONNX Runtime is not installed: run scripts/rivals.sh")?;
        let version = answer_json["onnxruntime"].as_str().unwrap_or_default().to_owned();
        Ok(Self { child, input, output, version })
    }

    /// Embeds texts; returns the CPU seconds and the vectors.
    fn embed(&mut self, texts: &[String]) -> anyhow::Result<(f64, Vec<Vec<f32>>)> {
        writeln!(self.input, "{}", json!({ "texts": texts }))?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let answer_json: Value = serde_json::from_str(&line)?;
        let vectors = serde_json::from_value(answer_json["vectors"].clone())?;
        Ok((answer_json["cpu_s"].as_f64().context("the peer reported no CPU time")?, vectors))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `llama-server` with the same weights in a GGUF file.
struct Server {
    child: Child,
    url: String,
    egress: Egress,
    _folder: tempfile::TempDir,
}

impl Server {
    async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let model = gguf_embedder(folder.path(), POOLING_MEAN);
        let port = free_port();
        let child = Command::new(llama_server())
            .arg("--model")
            .arg(&model)
            .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--embedding", "--threads", "1"])
            .args(["--threads-batch", "1", "--parallel", "1", "--no-webui"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server =
            Self { child, url: format!("http://127.0.0.1:{port}"), egress: Egress::new()?, _folder: folder };
        for _ in 0..300 {
            let request = Request::new(Method::Get, format!("{}/health", server.url), Trust::Operator);
            if server.egress.send(request).await.is_ok_and(|answer| answer.status() == 200) {
                return Ok(server);
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        anyhow::bail!("llama-server did not start")
    }

    async fn embed(&self, texts: &[String]) -> anyhow::Result<Vec<Vec<f32>>> {
        let request = Request::new(Method::Post, format!("{}/v1/embeddings", self.url), Trust::Operator);
        let answer = self.egress.send(request.json(&json!({ "input": texts }))).await?;
        let answer_json: Value = serde_json::from_slice(&answer.bytes(64 << 20).await?)?;
        let rows =
            answer_json["data"].as_array().with_context(|| format!("llama-server answered {answer_json}"))?;
        rows.iter().map(|row| Ok(serde_json::from_value(row["embedding"].clone())?)).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the CPU seconds that a process has used, with a resolution of 0.01 s.
fn cpu_seconds(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

pub(crate) async fn measure() -> anyhow::Result<String> {
    let encoder = Encoder::new(EncoderOptions {
        program: program(),
        memory_max: None,
        confinement: ConfinementPolicy::BestEffort,
        ranks: false,
        weights: embedder_file("weights"),
        tokenizer: embedder_file("tokenizer"),
        config: embedder_file("config"),
        pooling: None,
        tokens_max: 256,
        threads: 1,
    });
    encoder.load().await?;
    // The CPU time of both ends of the socket to the worker.
    let worker = encoder.worker_pid().context("the encoder has no worker")?.to_string();
    let our_seconds = || cpu_seconds("self") + cpu_seconds(&worker);
    let mut peer = Peer::start()?;
    let mut worst = 1.0f64;
    let server = Server::start().await?;
    let server_process = server.child.id().to_string();
    let (mut ours, mut theirs, mut servers) = (Vec::new(), Vec::new(), Vec::new());
    let (mut our_queries, mut their_queries, mut server_queries) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let passages = texts(PASSAGES, 110, round);
        let started_at = our_seconds();
        let found = encoder.embed(passages.clone(), None).await?.vectors;
        let our_rate = PASSAGES as f64 / (our_seconds() - started_at);
        let started_at = cpu_seconds(&server_process);
        server.embed(&passages).await?;
        let server_rate = PASSAGES as f64 / (cpu_seconds(&server_process) - started_at);
        let (took, oracle) = peer.embed(&passages)?;
        let dots = found
            .iter()
            .zip(&oracle)
            .map(|(a, b)| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>());
        worst = dots.fold(worst, f64::min);
        // The first round is a warm-up.
        if round == 0 {
            continue;
        }
        ours.push(our_rate);
        theirs.push(PASSAGES as f64 / took);
        servers.push(server_rate);
        for query in texts(QUERIES, 8, 1000 + round) {
            let started_at = Instant::now();
            encoder.embed(vec![query.clone()], None).await?;
            our_queries.push(started_at.elapsed().as_secs_f64() * 1000.0);
            let started_at = Instant::now();
            server.embed(std::slice::from_ref(&query)).await?;
            server_queries.push(started_at.elapsed().as_secs_f64() * 1000.0);
            their_queries.push(peer.embed(&[query])?.0 * 1000.0);
        }
    }
    let lists =
        [&mut ours, &mut theirs, &mut servers, &mut our_queries, &mut their_queries, &mut server_queries];
    for values in lists {
        values.sort_by(f64::total_cmp);
    }
    let median = |values: &[f64]| quantile(values, 0.5);
    let repeated = texts(1, 8, 5000);
    encoder.embed(repeated.clone(), None).await?;
    let started_at = Instant::now();
    for _ in 0..100 {
        encoder.embed(repeated.clone(), None).await?;
    }
    let again = started_at.elapsed().as_secs_f64() * 1000.0 / 100.0;
    Ok(format!(
        "all-MiniLM-L6-v2, f32, one thread each, the same texts in turns, with tokenization; medians of\n\
         {ROUNDS} rounds. ONNX Runtime {} with its fused operators (`benches/peers/onnx_encoder.py`), in\n\
         batches of 16 sorted by length. llama-server's GGUF file has the same weights\n\
         (`tests/src/generated_models.rs`). The query time is from call to answer for Lar, CPU time only for\n\
         ONNX Runtime, and over HTTP for llama-server.\n\n\
         | measure | Lar | ONNX Runtime | llama-server | Lar ÷ ONNX Runtime | Lar ÷ llama-server |\n\
         |---|---|---|---|---|---|\n\
         | texts of 110 words per CPU second (more is better) | {:.1} | {:.1} | {:.1} | {:.2} | {:.2} |\n\
         | query of 8 words, ms, p50 (less is better) | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |\n\n\
         A repeated query takes {again:.3} ms: Lar caches its embedding. The lowest cosine similarity of {}\n\
         vectors to those of ONNX Runtime is {worst:.7}.\n",
        peer.version,
        median(&ours),
        median(&theirs),
        median(&servers),
        median(&ours) / median(&theirs),
        median(&ours) / median(&servers),
        median(&our_queries),
        median(&their_queries),
        median(&server_queries),
        median(&our_queries) / median(&their_queries),
        median(&our_queries) / median(&server_queries),
        PASSAGES * (ROUNDS + 1),
    ))
}
