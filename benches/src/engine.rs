//! The embedded engine beside `llama-server` built from the same kind of source for the same machine: same
//! weights, threads and contexts, in one interleaved run.
//!
//! Prompts are tokens chosen at random, the same for both, so that nothing depends on a tokenizer and a
//! prompt is known to an engine only when it was sent before. Answers go on past the end-of-text token.

use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use lar_base::Instant;
use lar_egress::{Egress, Method, Request, Trust};
use lar_engines::driver::{Ability, Driver as _, Event, Job, Prompt, Sampling};
use lar_engines::embedded::{Embedded, EmbeddedOptions};
use lar_engines::protocol::Compute;
use lar_tests::{chat_model, free_port, llama_server, program};
use serde_json::{Value, json};

use crate::{progress, quantile};

const ROUNDS: u64 = 3;
const THREADS: u32 = 2;
const CONTEXT_TOKENS: u32 = 4096;
const SEQUENCES: u32 = 16;
const STREAMS: [u32; 4] = [1, 4, 8, 16];
/// The end-of-text tokens of the starter model.
const ENDS: [i32; 3] = [0, 1, 2];
/// Tokens of the vocabulary that are words, not marks.
const WORDS: std::ops::Range<u64> = 1000..40_000;

/// An engine that answers a prompt.
enum Subject {
    Embedded(Box<Embedded>),
    Server { url: String, egress: Egress, _child: Process },
}

/// A child that is killed when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// When an answer's tokens came, since it was asked for.
struct Answer(Vec<Duration>);

impl Answer {
    fn first(&self) -> Duration {
        self.0.first().copied().unwrap_or_default()
    }
}

impl Subject {
    async fn embedded(sequences: u32) -> anyhow::Result<Self> {
        let engine = Embedded::new(EmbeddedOptions {
            program: program(),
            path: chat_model(),
            template: None,
            ability: Ability::Generate,
            concurrency: sequences,
            context_tokens: CONTEXT_TOKENS,
            compute: Compute::with_threads(THREADS),
            cache: lar_base::Bytes::mib(512),
            memory_max: None,
        });
        engine.load().await?;
        Ok(Self::Embedded(Box::new(engine)))
    }

    async fn server(sequences: u32) -> anyhow::Result<Self> {
        let port = free_port();
        let mut command = Command::new(llama_server());
        command.arg("--model").arg(chat_model());
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--parallel", &sequences.to_string(), "--threads", &THREADS.to_string()]);
        command.args(["--ctx-size", &(sequences * CONTEXT_TOKENS).to_string(), "--no-webui"]);
        let child = Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
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

    /// The tokens of an answer, as many at a time as come together.
    async fn ask(&self, prompt: Vec<u32>, tokens_max: u32) -> anyhow::Result<BoxStream<'static, u32>> {
        match self {
            Self::Embedded(engine) => {
                let logit_bias = ENDS.map(|token| (token, -1000.0)).to_vec();
                let sampling =
                    Sampling { temperature: Some(0.0), tokens_max, logit_bias, ..Sampling::default() };
                let generation =
                    engine.generate(Job { prompt: Prompt::Tokens(prompt), sampling, cache_of: None })?;
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
                let (mut held, mut known) = (Vec::new(), 0);
                let counted = answer.stream().map(move |chunk| {
                    held.extend_from_slice(&chunk.unwrap_or_default());
                    let before = known;
                    while let Some(end) = held.windows(2).position(|pair| pair == b"\n\n") {
                        let event: Vec<u8> = held.drain(..end + 2).collect();
                        let data = event.strip_prefix(b"data: ").unwrap_or_default();
                        let data: Value = serde_json::from_slice(data.trim_ascii()).unwrap_or_default();
                        // A token that ends within a character comes with the next; the count tells of it.
                        let count = data["tokens_predicted"].as_u64().unwrap_or_default();
                        known = known.max(u32::try_from(count).unwrap_or_default());
                    }
                    known - before
                });
                Ok(counted.filter(|tokens| std::future::ready(*tokens > 0)).boxed())
            }
        }
    }

    async fn answer(&self, prompt: Vec<u32>, tokens_max: u32) -> anyhow::Result<Answer> {
        let begun = Instant::now();
        let mut tokens = self.ask(prompt, tokens_max).await?;
        let mut times = Vec::new();
        while let Some(count) = tokens.next().await {
            times.extend(std::iter::repeat_n(begun.elapsed(), count as usize));
        }
        anyhow::ensure!(!times.is_empty(), "an answer had no tokens");
        Ok(Answer(times))
    }

    /// Tokens a second of all streams together, while all of them run.
    async fn decode(&self, streams: u32, seed: u64) -> anyhow::Result<f64> {
        const TOKENS: u32 = 128;
        let asked = (0..streams).map(|stream| self.answer(random(32, seed + u64::from(stream)), TOKENS));
        let answers: Vec<Answer> = join_all(asked).await.into_iter().collect::<anyhow::Result<_>>()?;
        let from = answers.iter().map(Answer::first).max().unwrap_or_default();
        let to = answers.iter().filter_map(|answer| answer.0.last().copied()).min().unwrap_or_default();
        let within = answers.iter().flat_map(|answer| &answer.0).filter(|at| from < **at && **at <= to);
        Ok(within.count() as f64 / (to.saturating_sub(from)).as_secs_f64())
    }

    /// Milliseconds to the first token.
    async fn first(&self, prompt: Vec<u32>) -> anyhow::Result<f64> {
        Ok(self.answer(prompt, 1).await?.first().as_secs_f64() * 1000.0)
    }

    async fn shared(&self, seed: u64) -> anyhow::Result<f64> {
        let prefix = random(900, seed);
        let with = |more: u64| [prefix.clone(), random(100, seed + more)].concat();
        self.first(with(1)).await?;
        self.first(with(2)).await
    }

    /// A session goes on after as many others as there are places came in between.
    async fn returned(&self, seed: u64, places: u64) -> anyhow::Result<f64> {
        let session = random(1000, seed);
        self.first(session.clone()).await?;
        for other in 1..=places {
            self.first(random(1000, seed + other)).await?;
        }
        self.first([session, random(20, seed + places + 1)].concat()).await
    }

    /// The times between the tokens of a running answer while a prompt of 2,000 tokens is read: p99 and
    /// median, and how long that prompt waits for its first token; all in milliseconds.
    async fn disturbed(&self, seed: u64) -> anyhow::Result<[f64; 3]> {
        let begun = Instant::now();
        let mut running = self.ask(random(32, seed), 1500).await?;
        let mut times = Vec::new();
        while times.len() < 20 {
            running.next().await.ok_or_else(|| anyhow::anyhow!("the answer ended early"))?;
            times.push(begun.elapsed());
        }
        let mut arriving = std::pin::pin!(self.first(random(2000, seed + 1)));
        let first = loop {
            tokio::select! {
                biased;
                Some(_) = running.next() => times.push(begun.elapsed()),
                first = &mut arriving => break first?,
            }
        };
        // The token that the prompt's last piece held up.
        if running.next().await.is_some() {
            times.push(begun.elapsed());
        }
        let mut gaps: Vec<f64> =
            times[19..].windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64() * 1000.0).collect();
        gaps.sort_by(f64::total_cmp);
        Ok([quantile(&gaps, 0.99), quantile(&gaps, 0.5), first])
    }
}

/// Tokens that look like text to an engine and are the same for the same seed (xorshift64*).
fn random(count: usize, seed: u64) -> Vec<u32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let word = WORDS.start + state.wrapping_mul(0x2545_f491_4f6c_dd1d) % (WORDS.end - WORDS.start);
        u32::try_from(word).unwrap_or_default()
    };
    (0..count).map(|_| next()).collect()
}

/// A figure of both engines, in every round.
struct Row {
    what: String,
    unit: &'static str,
    more_is_better: bool,
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

#[derive(Default)]
struct Rows(Vec<Row>);

impl Rows {
    fn put(&mut self, what: &str, unit: &'static str, more_is_better: bool, both: [f64; 2]) {
        let at = self.0.iter().position(|row| row.what == what).unwrap_or_else(|| {
            let (ours, theirs) = (Vec::new(), Vec::new());
            self.0.push(Row { what: what.to_owned(), unit, more_is_better, ours, theirs });
            self.0.len() - 1
        });
        self.0[at].ours.push(both[0]);
        self.0[at].theirs.push(both[1]);
    }

    fn table(mut self) -> anyhow::Result<String> {
        let mut text = String::from("| what | Lar | llama-server | Lar is |\n|---|---|---|---|\n");
        for row in &mut self.0 {
            let mut median = |values: fn(&mut Row) -> &mut Vec<f64>| {
                let values = values(row);
                values.sort_by(f64::total_cmp);
                quantile(values, 0.5)
            };
            let (ours, theirs) = (median(|row| &mut row.ours), median(|row| &mut row.theirs));
            let times = if row.more_is_better { ours / theirs } else { theirs / ours };
            writeln!(text, "| {}, {} | {ours:.1} | {theirs:.1} | {times:.2} × |", row.what, row.unit)?;
        }
        Ok(text)
    }
}

pub(crate) async fn measure() -> anyhow::Result<String> {
    let many = [Subject::embedded(SEQUENCES).await?, Subject::server(SEQUENCES).await?];
    let one = [Subject::embedded(1).await?, Subject::server(1).await?];
    let mut rows = Rows::default();
    // Once without being counted: pages come from disk, and engines learn their speed.
    for round in 0..=ROUNDS {
        progress(&format!("  round {round} of {ROUNDS}"));
        let seed = round * 1_000_000;
        let mut figures: Vec<(String, &'static str, bool, [f64; 2])> = Vec::new();
        for streams in STREAMS {
            let mut both = [0.0; 2];
            for (subject, value) in many.iter().zip(&mut both) {
                *value = subject.decode(streams, seed + u64::from(streams) * 100).await?;
            }
            figures.push((format!("decode, {streams} streams"), "tokens/s", true, both));
        }
        let (mut cold, mut shared, mut returned) = ([0.0; 2], [0.0; 2], [0.0; 2]);
        let mut disturbed = [[0.0; 3]; 2];
        for at in 0..2 {
            cold[at] = many[at].first(random(1000, seed + 10_000)).await?;
            shared[at] = many[at].shared(seed + 20_000).await?;
            returned[at] = one[at].returned(seed + 30_000, 1).await?;
            disturbed[at] = many[at].disturbed(seed + 40_000).await?;
        }
        figures.push(("prompt of 1,000 tokens".into(), "tokens/s", true, cold.map(|ms| 1e6 / ms)));
        figures.push(("first token, 1,000 tokens cold".into(), "ms", false, cold));
        figures.push(("first token, 900 of 1,000 tokens known".into(), "ms", false, shared));
        figures.push(("first token, a session that returns".into(), "ms", false, returned));
        let pick = |at: usize| disturbed.map(|figures| figures[at]);
        figures.push(("time per token while 2,000 arrive, p99".into(), "ms", false, pick(0)));
        figures.push(("time per token while 2,000 arrive, median".into(), "ms", false, pick(1)));
        figures.push(("first token of those 2,000".into(), "ms", false, pick(2)));
        if round > 0 {
            for (what, unit, more_is_better, both) in figures {
                rows.put(&what, unit, more_is_better, both);
            }
        }
    }
    Ok(format!(
        "SmolLM2-135M Q4_1, {THREADS} threads, {CONTEXT_TOKENS} tokens of context for each of {SEQUENCES} sequences (of one for \
         the session that returns), greedy; `llama-server` built for this machine with its defaults. Medians of {ROUNDS} \
         interleaved rounds. Above 1 × Lar is faster.\n\n{}",
        rows.table()?
    ))
}
