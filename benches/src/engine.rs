//! The embedded engine compared with `llama-server`, and with the limit that llama.cpp's own benchmarks
//! reach.
//!
//! All are built for the same machine and have the same weights, threads and contexts. They are measured in
//! the same rounds. Prompts are random tokens, the same for both engines, so that nothing depends on a
//! tokenizer, and a prompt is cached only if the benchmark sent it before. Answers continue past the
//! end-of-text token.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use lar_base::Instant;
use lar_egress::{Egress, Method, Request, Trust};
use lar_engines::driver::{Ability, Driver as _};
use lar_engines::embedded::{ConfinementPolicy, Embedded, EmbeddedOptions};
use lar_inference::protocol::Compute;
use lar_inference::{Event, GenerationRequest, Prompt, Sampling};
use lar_tests::{chat_model, free_port, llama_server, program};
use serde_json::{Value, json};

use crate::process::Process;
use crate::progress::progress;
use crate::statistics::quantile;

const ROUNDS: u64 = 3;
const THREADS: u32 = 2;
const STREAMS: [u32; 4] = [1, 4, 8, 16];
/// Prompt tokens of the decoding benchmark.
const READ_TOKENS: usize = 32;
/// Generated tokens of the decoding benchmark.
const WRITTEN_TOKENS: u32 = 128;

/// The model and the contexts of a comparison.
pub(crate) struct Setup {
    name: &'static str,
    model: PathBuf,
    context_tokens: u32,
    sequences: u32,
    /// The token ids that prompts are drawn from. They are text, not special tokens.
    words: std::ops::Range<u64>,
}

impl Setup {
    /// Returns the setup of the model that the engine was tuned with.
    pub(crate) fn first() -> Self {
        Self {
            name: "SmolLM2-135M Q4_1",
            model: chat_model(),
            context_tokens: 4096,
            sequences: 16,
            words: 1000..40_000,
        }
    }

    /// Returns the setup of a model of another family, size, quantization and context, with sliding-window
    /// attention.
    fn second() -> Self {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.build/bench/second.gguf");
        Self { name: "Gemma 3 270M Q4_K_M", model, context_tokens: 3072, sequences: 16, words: 1000..200_000 }
    }

    /// Returns random text tokens; the same seed gives the same tokens (xorshift64*).
    fn random(&self, count: usize, seed: u64) -> Vec<u32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let Range { start, end } = self.words;
        let mut next = || {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            u32::try_from(start + state.wrapping_mul(0x2545_f491_4f6c_dd1d) % (end - start))
                .unwrap_or_default()
        };
        (0..count).map(|_| next()).collect()
    }
}

/// An engine of the comparison.
pub(crate) enum Subject {
    Embedded(Box<Embedded>),
    Server { url: String, egress: Egress, _child: Process },
}

/// The arrival time of each token of an answer, counted from the request.
struct TokenTimes(Vec<Duration>);

impl TokenTimes {
    fn first(&self) -> Duration {
        self.0.first().copied().unwrap_or_default()
    }
}

impl Subject {
    pub(crate) async fn embedded(setup: &Setup, sequences: u32) -> anyhow::Result<Self> {
        let engine = Embedded::new(EmbeddedOptions {
            program: program(),
            path: setup.model.clone(),
            template: None,
            ability: Ability::Generate,
            concurrency: sequences,
            context_tokens: setup.context_tokens,
            compute: Compute::with_threads(THREADS),
            tuning: None,
            draft: None,
            cache: lar_base::Bytes::mib(512),
            memory_max: None,
            confinement: ConfinementPolicy::BestEffort,
        });
        engine.load().await?;
        Ok(Self::Embedded(Box::new(engine)))
    }

    pub(crate) async fn server(setup: &Setup, sequences: u32) -> anyhow::Result<Self> {
        let port = free_port();
        let mut command = Command::new(llama_server());
        command.arg("--model").arg(&setup.model);
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--parallel", &sequences.to_string(), "--threads", &THREADS.to_string()]);
        command.args(["--ctx-size", &(sequences * setup.context_tokens).to_string(), "--no-webui"]);
        let child = Process::new(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        let (url, egress) = (format!("http://127.0.0.1:{port}"), Egress::new()?);
        for _ in 0..300 {
            let request = Request::new(Method::Get, format!("{url}/health"), Trust::Operator);
            if egress.send(request).await.is_ok_and(|answer| answer.status() == 200) {
                return Ok(Self::Server { url, egress, _child: child });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!("llama-server did not start")
    }

    /// Starts an answer and returns a stream of token counts: how many tokens arrived together.
    async fn ask(&self, prompt: Vec<u32>, tokens_max: u32) -> anyhow::Result<BoxStream<'static, u32>> {
        match self {
            Self::Embedded(engine) => {
                let sampling =
                    Sampling { temperature: Some(0.0), tokens_max, ignore_eos: true, ..Sampling::default() };
                let generation = engine.generate(GenerationRequest {
                    prompt: Prompt::Tokens(prompt),
                    sampling,
                    caller: None,
                    cache_of: None,
                })?;
                Ok(stream::unfold(generation, |mut generation| async {
                    loop {
                        match generation.events.next().await? {
                            Event::Delta { tokens, .. } => return Some((tokens, generation)),
                            event if event.is_terminal() => return None,
                            _ => {}
                        }
                    }
                })
                .boxed())
            }
            Self::Server { url, egress, .. } => {
                let body = json!({
                    "prompt": prompt, "n_predict": tokens_max, "stream": true, "temperature": 0.0,
                    "ignore_eos": true, "cache_prompt": true,
                });
                let request = Request::new(Method::Post, format!("{url}/completion"), Trust::Operator);
                let request = request.json(&body).repeatable();
                let answer = egress.send(request).await?;
                anyhow::ensure!(answer.status() == 200, "llama-server answered {}", answer.status());
                let (mut buffer, mut known) = (Vec::new(), 0);
                let counted = answer.stream().map(move |chunk| {
                    buffer.extend_from_slice(&chunk.unwrap_or_default());
                    let before = known;
                    while let Some(end) = buffer.windows(2).position(|pair| pair == b"\n\n") {
                        let event: Vec<u8> = buffer.drain(..end + 2).collect();
                        let data = event.strip_prefix(b"data: ").unwrap_or_default();
                        let data: Value = serde_json::from_slice(data.trim_ascii()).unwrap_or_default();
                        // A token that ends within a character is sent with the next one. `tokens_predicted`
                        // counts it.
                        let count = data["tokens_predicted"].as_u64().unwrap_or_default();
                        known = known.max(u32::try_from(count).unwrap_or_default());
                    }
                    known - before
                });
                Ok(counted.filter(|tokens| std::future::ready(*tokens > 0)).boxed())
            }
        }
    }

    async fn answer(&self, prompt: Vec<u32>, tokens_max: u32) -> anyhow::Result<TokenTimes> {
        let started_at = Instant::now();
        let mut tokens = self.ask(prompt, tokens_max).await?;
        let mut times = Vec::new();
        while let Some(count) = tokens.next().await {
            times.extend(std::iter::repeat_n(started_at.elapsed(), count as usize));
        }
        anyhow::ensure!(!times.is_empty(), "an answer had no tokens");
        Ok(TokenTimes(times))
    }

    /// Returns the tokens per second of all streams together, while all of them run.
    pub(crate) async fn decode(&self, setup: &Setup, streams: u32, seed: u64) -> anyhow::Result<f64> {
        let prompt = |stream: u32| setup.random(READ_TOKENS, seed + u64::from(stream));
        let asked = (0..streams).map(|stream| self.answer(prompt(stream), WRITTEN_TOKENS));
        let answers: Vec<TokenTimes> = join_all(asked).await.into_iter().collect::<anyhow::Result<_>>()?;
        let from = answers.iter().map(TokenTimes::first).max().unwrap_or_default();
        let to = answers.iter().filter_map(|answer| answer.0.last().copied()).min().unwrap_or_default();
        let within = answers.iter().flat_map(|answer| &answer.0).filter(|at| from < **at && **at <= to);
        Ok(within.count() as f64 / (to.saturating_sub(from)).as_secs_f64())
    }

    /// Returns the milliseconds to the first token.
    async fn first(&self, prompt: Vec<u32>) -> anyhow::Result<f64> {
        Ok(self.answer(prompt, 1).await?.first().as_secs_f64() * 1000.0)
    }

    /// Returns the milliseconds to the first token of a prompt whose first 900 of 1,000 tokens are cached.
    async fn shared(&self, setup: &Setup, seed: u64) -> anyhow::Result<f64> {
        let prefix = setup.random(900, seed);
        let with = |more: u64| [prefix.clone(), setup.random(100, seed + more)].concat();
        self.first(with(1)).await?;
        self.first(with(2)).await
    }

    /// Returns the milliseconds to the first token of a session that continues after `slots` other sessions,
    /// as many as the engine has slots.
    async fn resumed(&self, setup: &Setup, seed: u64, slots: u64) -> anyhow::Result<f64> {
        let session = setup.random(1000, seed);
        self.first(session.clone()).await?;
        for other in 1..=slots {
            self.first(setup.random(1000, seed + other)).await?;
        }
        self.first([session, setup.random(20, seed + slots + 1)].concat()).await
    }

    /// Measures a running answer while a prompt of 2,000 tokens is prefilled. Returns the p99 and the median
    /// of the times between its tokens, and the time to the first token of that prompt, in milliseconds.
    async fn decode_gaps(&self, setup: &Setup, seed: u64) -> anyhow::Result<[f64; 3]> {
        let started_at = Instant::now();
        let mut running = self.ask(setup.random(READ_TOKENS, seed), 1500).await?;
        let mut times = Vec::new();
        while times.len() < 20 {
            running.next().await.ok_or_else(|| anyhow::anyhow!("the answer ended early"))?;
            times.push(started_at.elapsed());
        }
        let mut arriving = std::pin::pin!(self.first(setup.random(2000, seed + 1)));
        let first = loop {
            tokio::select! {
                biased;
                Some(_) = running.next() => times.push(started_at.elapsed()),
                first = &mut arriving => break first?,
            }
        };
        // The token that the last chunk of the prefill delayed.
        if running.next().await.is_some() {
            times.push(started_at.elapsed());
        }
        let mut gaps: Vec<f64> =
            times[19..].windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64() * 1000.0).collect();
        gaps.sort_by(f64::total_cmp);
        Ok([quantile(&gaps, 0.99), quantile(&gaps, 0.5), first])
    }
}

/// The limit: what llama.cpp's own benchmarks reach on this machine, built from the same source as
/// `llama-server`.
mod limit {
    use super::{Path, READ_TOKENS, STREAMS, Setup, THREADS, WRITTEN_TOKENS};
    use anyhow::Context as _;
    use serde_json::Value;

    fn run(program: &str, setup: &Setup, arguments: &[String]) -> anyhow::Result<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.build/llama-server").join(program);
        let output = std::process::Command::new(&path)
            .arg("-m")
            .arg(&setup.model)
            .args(["-t", &THREADS.to_string()])
            .args(arguments)
            .output()
            .with_context(|| {
                format!(
                    "{} does not exist: run scripts/llama-server.sh llama-bench llama-batched-bench",
                    path.display()
                )
            })?;
        anyhow::ensure!(
            output.status.success(),
            "{program} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Returns the prefill speed for 1,000 tokens, in tokens per second.
    pub(super) fn prompt(setup: &Setup) -> anyhow::Result<f64> {
        let arguments = ["-p", "1000", "-n", "0", "-r", "1", "-o", "json"].map(ToOwned::to_owned);
        let report: Value = serde_json::from_str(&run("llama-bench", setup, &arguments)?)?;
        report[0]["avg_ts"].as_f64().context("llama-bench reported no speed")
    }

    /// Returns the tokens per second of all streams together, for each number of streams.
    pub(super) fn decode(setup: &Setup) -> anyhow::Result<Vec<f64>> {
        let streams = STREAMS.map(|count| count.to_string()).join(",");
        let context = (setup.context_tokens * setup.sequences).to_string();
        let (read, written) = (READ_TOKENS.to_string(), WRITTEN_TOKENS.to_string());
        let arguments =
            ["-npp", &read, "-ntg", &written, "-npl", &streams, "-c", &context, "--output-format", "jsonl"];
        let report = run("llama-batched-bench", setup, &arguments.map(ToOwned::to_owned))?;
        let rows = report.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let speeds: Vec<f64> = rows.filter_map(|row| row["speed_tg"].as_f64()).collect();
        anyhow::ensure!(
            speeds.len() == STREAMS.len(),
            "llama-batched-bench reported {} speeds",
            speeds.len()
        );
        Ok(speeds)
    }
}

/// The values of one measure in every round: of Lar, of `llama-server`, and of the limit if there is one.
struct Row {
    what: String,
    unit: &'static str,
    more_is_better: bool,
    values: [Vec<f64>; 3],
}

#[derive(Default)]
struct Rows(Vec<Row>);

impl Rows {
    fn put(&mut self, what: &str, unit: &'static str, both: [f64; 2], limit: Option<f64>) {
        let at = self.0.iter().position(|row| row.what == what).unwrap_or_else(|| {
            let more_is_better = unit == "tokens/s";
            self.0.push(Row { what: what.to_owned(), unit, more_is_better, values: Default::default() });
            self.0.len() - 1
        });
        for (values, value) in self.0[at].values.iter_mut().zip([Some(both[0]), Some(both[1]), limit]) {
            values.extend(value);
        }
    }

    fn table(self) -> anyhow::Result<String> {
        let mut text = String::from(
            "| measure | Lar | llama-server | limit | speed ÷ server | speed ÷ limit |\n|---|---|---|---|---|---|\n",
        );
        for Row { what, unit, more_is_better, values } in self.0 {
            let [ours, theirs, limit] = values.map(|mut values| {
                values.sort_by(f64::total_cmp);
                quantile(&values, 0.5)
            });
            let times = if more_is_better { ours / theirs } else { theirs / ours };
            let (limit, share) = if limit.is_nan() {
                ("–".into(), "–".into())
            } else {
                (format!("{limit:.1}"), format!("{:.2} ×", ours / limit))
            };
            writeln!(
                text,
                "| {what}, {unit} | {ours:.1} | {theirs:.1} | {limit} | {times:.2} × | {share} |"
            )?;
        }
        Ok(text)
    }
}

pub(crate) async fn first() -> anyhow::Result<String> {
    measure(&Setup::first()).await
}

pub(crate) async fn second() -> anyhow::Result<String> {
    measure(&Setup::second()).await
}

async fn measure(setup: &Setup) -> anyhow::Result<String> {
    let many =
        [Subject::embedded(setup, setup.sequences).await?, Subject::server(setup, setup.sequences).await?];
    let one = [Subject::embedded(setup, 1).await?, Subject::server(setup, 1).await?];
    let mut rows = Rows::default();
    // The first round does not count: it reads pages from disk, and the engines learn their speed.
    for round in 0..=ROUNDS {
        progress(&format!("  round {round} of {ROUNDS}"));
        let seed = round * 1_000_000;
        let mut figures: Vec<(String, &'static str, [f64; 2], Option<f64>)> = Vec::new();
        let limits = limit::decode(setup)?;
        for (streams, limit) in STREAMS.into_iter().zip(limits) {
            let mut both = [0.0; 2];
            for (subject, value) in many.iter().zip(&mut both) {
                *value = subject.decode(setup, streams, seed + u64::from(streams) * 100).await?;
            }
            figures.push((format!("decode, {streams} streams"), "tokens/s", both, Some(limit)));
        }
        let (mut cold, mut shared, mut resumed) = ([0.0; 2], [0.0; 2], [0.0; 2]);
        let mut decode_gaps = [[0.0; 3]; 2];
        for at in 0..2 {
            cold[at] = many[at].first(setup.random(1000, seed + 10_000)).await?;
            shared[at] = many[at].shared(setup, seed + 20_000).await?;
            resumed[at] = one[at].resumed(setup, seed + 30_000, 1).await?;
            decode_gaps[at] = many[at].decode_gaps(setup, seed + 40_000).await?;
        }
        let prompt = limit::prompt(setup)?;
        figures.push(("prefill of 1,000 tokens".into(), "tokens/s", cold.map(|ms| 1e6 / ms), Some(prompt)));
        figures.push(("first token, 1,000 tokens, none cached".into(), "ms", cold, None));
        figures.push(("first token, 900 of 1,000 tokens cached".into(), "ms", shared, None));
        figures.push(("first token, returning session".into(), "ms", resumed, None));
        let pick = |at: usize| decode_gaps.map(|figures| figures[at]);
        figures.push(("time per token during a prefill, p99".into(), "ms", pick(0), None));
        figures.push(("time per token during a prefill, median".into(), "ms", pick(1), None));
        figures.push(("first token after that prefill".into(), "ms", pick(2), None));
        if round > 0 {
            for (what, unit, both, limit) in figures {
                rows.put(&what, unit, both, limit);
            }
        }
    }
    let Setup { name, context_tokens, sequences, .. } = setup;
    Ok(format!(
        "{name}, {THREADS} threads, greedy. Each of {sequences} sequences has {context_tokens} tokens of\n\
         context; the returning session has one sequence. `llama-server` is built for this machine and has\n\
         its default settings. The *limit* is what `llama-batched-bench` and `llama-bench` reach, built from\n\
         the same source as `llama-server`. Medians of {ROUNDS} interleaved rounds. A ratio above 1 means\n\
         that Lar is faster.\n\n\
         *Returning session*: the next turn of a session of 1,000 tokens, after another session used the\n\
         slot. *During a prefill*: a running answer, while a prompt of 2,000 tokens of another request is\n\
         prefilled.\n\n\
         {}",
        rows.table()?
    ))
}
