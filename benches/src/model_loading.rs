//! The time to load, unload and swap models, and the memory of a worker over many requests.

use std::sync::Arc;

use futures_util::StreamExt as _;
use lar_base::{Bytes, Instant};
use lar_engines::driver::{Ability, Driver as _};
use lar_engines::embedded::{ConfinementPolicy, Embedded, EmbeddedOptions};
use lar_inference::protocol::Compute;
use lar_inference::{Constraint, Event, GenerationRequest, Prompt, Sampling};
use lar_tests::{ProcessMemory, chat_model, program};

use crate::progress::progress;
use crate::statistics::quantile;

const ROUNDS: usize = 7;
const REQUESTS: usize = 10_000;
const STREAMS: usize = 8;

fn engine(path: std::path::PathBuf, concurrency: u32) -> Arc<Embedded> {
    Arc::new(Embedded::new(EmbeddedOptions {
        program: program(),
        path,
        template: None,
        ability: Ability::Generate,
        concurrency,
        context_tokens: 2048,
        compute: Compute::with_threads(lar_engines::device::threads()),
        tuning: None,
        draft: None,
        cache: Bytes::mib(64),
        memory_max: None,
        confinement: ConfinementPolicy::BestEffort,
    }))
}

async fn one_token(engine: &Embedded) -> anyhow::Result<()> {
    let prompt = engine.prepare(Prompt::Text("Hello".into())).await?.prompt;
    let sampling = Sampling { temperature: Some(0.0), tokens_max: 1, ..Sampling::default() };
    let mut generation =
        engine.generate(GenerationRequest { prompt, sampling, caller: None, cache_of: None })?;
    while generation.events.next().await.is_some() {}
    Ok(())
}

pub(crate) async fn load_and_swap() -> anyhow::Result<String> {
    let second = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../.build/bench/second.gguf");
    let (a, b) = (engine(chat_model(), 4), engine(second, 4));
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        let mut started_at = Instant::now();
        let mut lap = || {
            let took = started_at.elapsed().as_secs_f64() * 1000.0;
            started_at = Instant::now();
            took
        };
        a.load().await?;
        let load = lap();
        one_token(&a).await?;
        lap();
        a.unload().await;
        let unload = lap();
        b.load().await?;
        one_token(&b).await?;
        lap();
        b.unload().await;
        a.load().await?;
        one_token(&a).await?;
        let swap = lap();
        a.unload().await;
        if round > 0 {
            for (times, time) in times.iter_mut().zip([load, unload, swap]) {
                times.push(time);
            }
        }
    }
    let [load, unload, swap] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        quantile(&times, 0.5)
    });
    Ok(format!(
        "SmolLM2-135M Q4_1 with 4 contexts of 2,048 tokens; its file is in the page cache. Medians of\n\
         {ROUNDS}.\n\n\
         | step | ms |\n|---|---|\n\
         | load | {load:.0} |\n\
         | unload, until the process has ended | {unload:.0} |\n\
         | swap: unload Gemma 3 270M, load SmolLM2, first token | {swap:.0} |\n"
    ))
}

/// Returns the anonymous resident memory of a process in MiB. It excludes the mapped model file.
fn private_mib(pid: u32) -> f64 {
    ProcessMemory::of(pid).map_or(f64::NAN, |memory| memory.anonymous as f64 / f64::from(1 << 20))
}

pub(crate) async fn memory() -> anyhow::Result<String> {
    let engine = engine(chat_model(), STREAMS as u32);
    engine.load().await?;
    let pid = engine.worker_pid().ok_or_else(|| anyhow::anyhow!("the engine has no worker"))?;
    let words =
        engine.prepare(Prompt::Text("The owl flew over the quiet river and saw a boat. ".repeat(30))).await?;
    let Prompt::Tokens(words) = words.prompt else { anyhow::bail!("the prompt was not prepared as tokens") };
    let run = |number: usize| {
        let (engine, words) = (engine.clone(), words.clone());
        async move {
            // Prompts of many lengths, with and without a constraint, penalties and log probabilities, some
            // cancelled.
            let length = 1 + (number * 37) % 40;
            let from = (number * 13) % 10;
            let sampling = Sampling {
                temperature: Some(if number.is_multiple_of(3) { 0.0 } else { 0.9 }),
                seed: u32::try_from(number).unwrap_or(0),
                tokens_max: 1 + u32::try_from(number % 5).unwrap_or(0),
                repeat_penalty: (number.is_multiple_of(4)).then_some(1.1),
                logprobs: (number.is_multiple_of(7)).then_some(5),
                constraint: (number.is_multiple_of(10)).then_some(Constraint::JsonObject),
                ..Sampling::default()
            };
            let prompt = Prompt::Tokens(words[from..from + length].to_vec());
            let mut generation =
                engine.generate(GenerationRequest { prompt, sampling, caller: None, cache_of: None })?;
            if number.is_multiple_of(9) {
                generation.stop.cancel();
            }
            while let Some(event) = generation.events.next().await {
                if let Event::Failed(error) = event {
                    anyhow::bail!("a request failed: {error}");
                }
            }
            anyhow::Ok(())
        }
    };
    let mut sizes = Vec::new();
    for block in 0..10 {
        let requests =
            futures_util::stream::iter(block * REQUESTS / 10..(block + 1) * REQUESTS / 10).map(run);
        let ended: Vec<_> = requests.buffer_unordered(STREAMS).collect().await;
        ended.into_iter().collect::<anyhow::Result<Vec<()>>>()?;
        sizes.push(private_mib(pid));
        progress(&format!("  {} requests: {:.1} MiB", (block + 1) * REQUESTS / 10, private_mib(pid)));
    }
    let samples: Vec<String> = sizes.iter().map(|mib| format!("{mib:.1}")).collect();
    Ok(format!(
        "{REQUESTS} requests, {STREAMS} at a time: prompts of 1 to 40 tokens; a tenth are constrained to JSON,\n\
         a ninth are cancelled immediately, some have penalties or log probabilities. The worker's anonymous\n\
         memory in MiB after each tenth of the requests: {}. From half of the requests to the end: {:+.1}\n\
         MiB (aim: no growth).\n",
        samples.join(", "),
        sizes[9] - sizes[4]
    ))
}
