//! Decoding: speculative decoding on code and on prose, the precision of the KV cache, and how far greedy
//! answers agree with those of `llama-server`.

use std::fmt::Write as _;
use std::sync::Arc;

use futures_util::StreamExt as _;
use lar_base::{Bytes, Instant};
use lar_engines::driver::{Ability, Driver as _};
use lar_engines::embedded::{ConfinementPolicy, Embedded, EmbeddedOptions};
use lar_engines::llama_server::{LlamaServer, LlamaServerOptions};
use lar_inference::protocol::{CacheType, Compute};
use lar_inference::{Event, GenerationRequest, Prompt, Sampling, TokenLogprobs};
use lar_tests::{chat_model, llama_server, program};

use crate::progress::progress;
use crate::statistics::quantile;

const ROUNDS: usize = 5;
const THREADS: u32 = 2;
const PROMPTS: usize = 200;
/// Tokens of the answers that are compared with those of `llama-server`.
const COMPARED_TOKENS: u32 = 64;
/// Positions of a text at which the next token is compared.
const POSITIONS: usize = 400;

/// A prompt whose answer mostly repeats it: the best case for prompt lookup.
const CODE: &str = "Here is a file:\n\n```rust\npub struct Account {\n    pub id: u64,\n    pub owner: String,\n    pub balance: i64,\n}\n\nimpl Account {\n    pub fn deposit(&mut self, amount: i64) {\n        self.balance += amount;\n    }\n\n    pub fn withdraw(&mut self, amount: i64) {\n        self.balance -= amount;\n    }\n}\n```\n\nThe same file with a comment above every function:\n\n```rust\npub struct Account {\n";
const PROSE: &str =
    "The history of lighthouses begins long before electricity. In the oldest harbours of the sea, people";

async fn engine(compute: Compute, context_tokens: u32) -> anyhow::Result<Arc<Embedded>> {
    let engine = Embedded::new(EmbeddedOptions {
        program: program(),
        path: chat_model(),
        template: None,
        ability: Ability::Generate,
        concurrency: 1,
        context_tokens,
        compute,
        tuning: None,
        draft: None,
        cache: Bytes(0),
        memory_max: None,
        confinement: ConfinementPolicy::BestEffort,
    });
    engine.load().await?;
    Ok(Arc::new(engine))
}

/// An answer and its measurements.
#[derive(Default)]
struct MeasuredAnswer {
    text: String,
    logprobs: Vec<TokenLogprobs>,
    /// The decoding speed after the first token.
    tokens_per_second: f64,
    /// The numbers of draft tokens and of accepted ones.
    speculated: [u32; 2],
}

async fn answer(
    engine: &dyn lar_engines::driver::Driver,
    job: GenerationRequest,
) -> anyhow::Result<MeasuredAnswer> {
    let mut generation = engine.generate(job)?;
    let (mut answer, mut first, mut tokens) = (MeasuredAnswer::default(), None, 0u32);
    while let Some(event) = generation.events.next().await {
        match event {
            Event::Delta { text, tokens: more, logprobs } => {
                first.get_or_insert_with(Instant::now);
                tokens += more;
                answer.text.push_str(&text);
                answer.logprobs.extend(logprobs);
            }
            Event::Speculated { tokens, accepted } => answer.speculated = [tokens, accepted],
            Event::Failed(error) => anyhow::bail!("an answer failed: {error}"),
            _ => {}
        }
    }
    let took = first.map_or(0.0, |first: Instant| first.elapsed().as_secs_f64());
    answer.tokens_per_second = f64::from(tokens.saturating_sub(1)) / took.max(1e-9);
    Ok(answer)
}

fn greedy(tokens_max: u32) -> Sampling {
    Sampling { temperature: Some(0.0), tokens_max, ignore_eos: true, ..Sampling::default() }
}

pub(crate) async fn speculation() -> anyhow::Result<String> {
    let plain = Compute { speculate: false, ..Compute::with_threads(THREADS) };
    let (without, with) = (engine(plain, 2048).await?, engine(Compute::with_threads(THREADS), 2048).await?);
    let mut text = String::from(
        "| text | without, tokens/s | with, tokens/s | with ÷ without | drafted | accepted | same tokens |\n|---|---|---|---|---|---|---|\n",
    );
    for (name, prompt) in [("code, repeated with changes", CODE), ("prose", PROSE)] {
        let prompt = with.prepare(Prompt::Text(prompt.into())).await?.prompt;
        let job = || GenerationRequest {
            prompt: prompt.clone(),
            sampling: greedy(256),
            caller: None,
            cache_of: None,
        };
        let (mut speeds, mut same, mut speculated) = ([Vec::new(), Vec::new()], true, [0; 2]);
        for round in 0..=ROUNDS {
            let (a, b) = (answer(&*without, job()).await?, answer(&*with, job()).await?);
            same &= a.text == b.text;
            speculated = b.speculated;
            if round > 0 {
                speeds[0].push(a.tokens_per_second);
                speeds[1].push(b.tokens_per_second);
            }
        }
        let [without, with] = speeds.map(|mut speeds| {
            speeds.sort_by(f64::total_cmp);
            quantile(&speeds, 0.5)
        });
        let ratio = with / without;
        writeln!(
            text,
            "| {name} | {without:.1} | {with:.1} | {ratio:.2} × | {} | {} | {} |",
            speculated[0],
            speculated[1],
            if same { "yes" } else { "no" }
        )?;
    }
    Ok(format!(
        "256 greedy tokens by SmolLM2-135M Q4_1, one stream, {THREADS} threads; medians of {ROUNDS}\n\
         interleaved rounds. Draft tokens come from the text in the context (prompt lookup).\n\n\
         {text}"
    ))
}

/// Measures how the precision of the KV cache changes the next token at many positions of a text, and the
/// speed.
pub(crate) async fn cache_types() -> anyhow::Result<String> {
    let story = format!(
        "{PROSE} {} {CODE} {}",
        include_str!("../../README.md"),
        include_str!("../../ARCHITECTURE.md")
    );
    let kinds = [
        ("f16", CacheType::F16, None),
        ("f16, flash attention off", CacheType::F16, Some(false)),
        ("q8", CacheType::Q8, None),
        ("q4", CacheType::Q4, None),
    ];
    let mut text = String::from(
        "| KV cache | bytes per token | same next token | mean change of its log probability | tokens/s at 2,000 tokens |\n|---|---|---|---|---|\n",
    );
    let mut reference: Vec<TokenLogprobs> = Vec::new();
    for (name, cache_type, flash_attention) in kinds {
        progress(&format!("  {name}"));
        let compute =
            Compute { cache_type, flash_attention, speculate: false, ..Compute::with_threads(THREADS) };
        let engine = engine(compute, 4096).await?;
        let Prompt::Tokens(tokens) = engine.prepare(Prompt::Text(story.clone())).await?.prompt else {
            anyhow::bail!("the prompt was not prepared as tokens");
        };
        let mut found = Vec::new();
        for position in 0..POSITIONS {
            let length = 200 + position * 4;
            anyhow::ensure!(length < tokens.len(), "the text has only {} tokens", tokens.len());
            let sampling = Sampling { logprobs: Some(20), ..greedy(1) };
            let job = GenerationRequest {
                prompt: Prompt::Tokens(tokens[..length].to_vec()),
                sampling,
                caller: None,
                cache_of: None,
            };
            found.extend(answer(&*engine, job).await?.logprobs.into_iter().next());
        }
        if reference.is_empty() {
            reference.clone_from(&found);
        }
        let pairs = reference.iter().zip(&found);
        let same = pairs.clone().filter(|(a, b)| a.chosen.bytes == b.chosen.bytes).count();
        let changes = pairs.map(|(a, b)| {
            let now = b.top.iter().find(|candidate| candidate.bytes == a.chosen.bytes);
            f64::from((now.map_or(-10.0, |candidate| candidate.logprob) - a.chosen.logprob).abs())
        });
        let change = changes.sum::<f64>() / reference.len() as f64;
        let deep = GenerationRequest {
            prompt: Prompt::Tokens(tokens[..2000].to_vec()),
            sampling: greedy(64),
            caller: None,
            cache_of: None,
        };
        let mut speeds = Vec::new();
        for _ in 0..3 {
            speeds.push(answer(&*engine, deep.clone()).await?.tokens_per_second);
        }
        speeds.sort_by(f64::total_cmp);
        // 30 layers, 3 heads of 64 numbers for keys and as many for values.
        let numbers = 30.0 * 3.0 * 64.0 * 2.0;
        let bits = match cache_type {
            CacheType::F16 => 16.0,
            CacheType::Q8 => 8.5,
            CacheType::Q4 => 4.5,
        };
        writeln!(
            text,
            "| {name} | {:.0} | {:.1} % | {change:.4} | {:.1} |",
            numbers * bits / 8.0,
            100.0 * same as f64 / reference.len() as f64,
            quantile(&speeds, 0.5)
        )?;
        engine.unload().await;
    }
    Ok(format!(
        "SmolLM2-135M Q4_1. The most likely next token at {POSITIONS} positions of an English text with\n\
         code, 200 to {} tokens into it, compared with a KV cache of 16 bits. Small models suffer most.\n\n\
         {text}",
        200 + POSITIONS * 4
    ))
}

/// Compares greedy answers of the embedded engine with those of `llama-server`.
pub(crate) async fn beside_server() -> anyhow::Result<String> {
    let ours = engine(Compute { speculate: false, ..Compute::with_threads(THREADS) }, 1024).await?;
    let theirs = LlamaServer::new(
        LlamaServerOptions::Managed {
            launcher: lar_tests::program(),
            confinement: ConfinementPolicy::BestEffort,
            program: llama_server(),
            model: chat_model(),
            concurrency: 1,
            context_tokens: 1024,
            threads: THREADS,
        },
        lar_egress::Egress::new()?,
    );
    lar_engines::driver::Driver::load(&theirs).await?;
    let subjects = [
        "a river",
        "the moon",
        "bread",
        "a lighthouse",
        "chess",
        "rain",
        "an owl",
        "steel",
        "a violin",
        "the desert",
        "a library",
        "snow",
        "glass",
        "a bicycle",
        "honey",
        "a bridge",
        "the sea",
        "a clock",
        "coffee",
        "a mountain",
    ];
    let openings = [
        "Tell me about",
        "Write a short poem about",
        "The history of",
        "A list of facts about",
        "Why do people like",
        "def draw(): # draws",
        "In the year 1850,",
        "Translate into French:",
        "Once upon a time there was",
        "Q: What is",
    ];
    let (mut same, mut diverged) = (0, Vec::new());
    for number in 0..PROMPTS {
        if number % 50 == 0 {
            progress(&format!("  prompt {number} of {PROMPTS}"));
        }
        let prompt = format!("{} {}", openings[number % 10], subjects[number / 10]);
        let prompt = ours.prepare(Prompt::Text(prompt)).await?.prompt;
        let sampling = Sampling { logprobs: Some(5), ..greedy(COMPARED_TOKENS) };
        let job = GenerationRequest { prompt, sampling, caller: None, cache_of: None };
        let (a, b) = (answer(&*ours, job.clone()).await?, answer(&theirs, job).await?);
        let divergence =
            a.logprobs.iter().zip(&b.logprobs).position(|(a, b)| a.chosen.bytes != b.chosen.bytes);
        match divergence {
            None => same += 1,
            Some(at) => {
                let top = &a.logprobs[at].top;
                let gap = top.first().zip(top.get(1)).map_or(f32::NAN, |(a, b)| a.logprob - b.logprob);
                diverged.push((at, f64::from(gap)));
            }
        }
    }
    lar_engines::driver::Driver::unload(&theirs).await;
    diverged.sort_by_key(|(at, _)| *at);
    let mut gaps: Vec<f64> = diverged.iter().map(|(_, gap)| *gap).collect();
    gaps.sort_by(f64::total_cmp);
    let positions: Vec<f64> = diverged.iter().map(|(at, _)| *at as f64).collect();
    let mut text = format!(
        "{PROMPTS} prompts, {COMPARED_TOKENS} greedy tokens each, by SmolLM2-135M Q4_1: {same} answers are\n\
         identical token for token, {} diverge.",
        diverged.len()
    );
    if !diverged.is_empty() {
        write!(
            text,
            "\nThe earliest diverges at token {:.0}, the median one at token {:.0}. There the log probability\n\
             of the embedded engine's first choice exceeds that of its second by {:.3} at the median and by\n\
             {:.3} at most.",
            positions[0],
            quantile(&positions, 0.5),
            quantile(&gaps, 0.5),
            quantile(&gaps, 1.0)
        )?;
    }
    Ok(text + " The two engines are built from versions of llama.cpp that are some weeks apart.\n")
}
