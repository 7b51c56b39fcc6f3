//! The benchmarks, each with the title of its section in the results.

use std::path::Path;

use tokio::runtime::Runtime;

use crate::progress::progress;
use crate::results::Results;
use crate::{
    clients, commits, contention, conversations, correctness, decoding, embeddings, engine, fairness, faults,
    gateway, machine, memory, memory_bounds, model_loading, requests, soak, start, tokenization, tool_calls,
};

/// Runs one benchmark and returns its section of the results as Markdown.
type Measure = fn(&Runtime) -> anyhow::Result<String>;

/// All benchmarks, in the order of the results.
const SECTIONS: [(&str, Measure); 42] = [
    ("Gateway overhead compared with other gateways", |_| gateway::measure()),
    ("Overhead of each API", |_| gateway::apis::measure()),
    ("Hook and MCP latency", |_| clients::measure()),
    ("Startup time and idle memory", |_| start::measure()),
    ("Server memory for unfinished bodies", |_| memory_bounds::bodies()),
    ("Durable commits", |runtime| runtime.block_on(commits::measure())),
    ("Conversation changes in a large database", |runtime| runtime.block_on(conversations::measure())),
    ("Engine compared with llama-server: SmolLM2", |runtime| runtime.block_on(engine::first())),
    ("Engine compared with llama-server: Gemma 3", |runtime| runtime.block_on(engine::second())),
    ("HTTP requests compared with llama-server", |_| requests::quiet()),
    ("HTTP requests after a start on a busy machine", |_| requests::after_busy()),
    ("Decoding on contended cores", |runtime| runtime.block_on(contention::measure())),
    ("Speculative decoding", |runtime| runtime.block_on(decoding::speculation())),
    ("KV cache precision", |runtime| runtime.block_on(decoding::cache_types())),
    ("Greedy answers compared with llama-server", |runtime| runtime.block_on(decoding::beside_server())),
    ("Model load, unload and swap", |runtime| runtime.block_on(model_loading::load_and_swap())),
    ("Worker memory over many requests", |runtime| runtime.block_on(model_loading::memory())),
    ("Tokenization of long prompts", |runtime| runtime.block_on(tokenization::measure())),
    ("Tool call accuracy", |_| tool_calls::measure()),
    ("Embeddings compared with ONNX Runtime", |runtime| runtime.block_on(embeddings::measure())),
    ("Memory for large embedding requests", |_| memory_bounds::embeddings::measure()),
    ("First token under the load of another key", |_| fairness::measure()),
    ("Cancellation during prefill", |runtime| runtime.block_on(faults::cancel_in_prefill())),
    ("Cancellation races with completion", |runtime| runtime.block_on(correctness::races())),
    ("JSON schema conformance", |runtime| runtime.block_on(correctness::structure())),
    ("Reproducible seeds", |runtime| runtime.block_on(correctness::seeds())),
    ("Memory search quality", |runtime| runtime.block_on(memory::quality::measure())),
    ("Memory search in other languages", |runtime| runtime.block_on(memory::multilingual::measure())),
    ("Smart ingest decisions", |runtime| runtime.block_on(memory::smart::measure())),
    ("Model as judge of memories", |runtime| runtime.block_on(memory::judge::measure())),
    ("Memory requests in chat messages", |runtime| runtime.block_on(memory::chats::measure())),
    ("Secrets in texts", |_| memory::secrets::measure()),
    ("Memory search latency", |runtime| runtime.block_on(memory::scale::searches())),
    ("Memory ingest throughput", |runtime| runtime.block_on(memory::scale::ingests())),
    ("Embedding of batches beside searches", |runtime| runtime.block_on(memory::batches::measure())),
    ("Consolidation in idle hours", |runtime| runtime.block_on(memory::consolidation::measure())),
    ("A space of 200,000 memories", |runtime| runtime.block_on(memory::large_space::measure())),
    ("Server memory over 100,000 writes", |_| memory::growth::measure()),
    ("Imports of other programs", |_| memory::imports::measure()),
    ("Crash matrix", |_| faults::crash_matrix()),
    ("Killed servers", |_| faults::kill_servers()),
    ("Killed workers", |_| faults::kill_workers()),
];

/// Benchmarks of half an hour or longer. Each runs only if its whole title is given.
const LONG_SECTIONS: [(&str, Measure); 1] = [("Memory over hours", |_| soak::measure())];

/// Runs every benchmark and writes its section to `benches/RESULTS.md`.
///
/// # Errors
/// If a benchmark fails, or if the file cannot be read or written.
pub(crate) fn measure_all(runtime: &Runtime) -> anyhow::Result<()> {
    let (commit, machine) = (machine::commit(), machine::machine());
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md"));
    let mut results = Results::read(path, &machine)?;
    let order = SECTIONS.map(|(title, _)| title);
    for (title, measure) in SECTIONS {
        progress(title);
        results.set(title, &measure(runtime)?, &commit, &machine, &order);
        // After each section, so that an interrupted run keeps the sections that it measured.
        std::fs::write(path, results.to_string())?;
    }
    Ok(())
}

/// Runs the benchmarks whose titles contain one of the words, and prints their sections.
///
/// # Errors
/// If a benchmark fails.
pub(crate) fn print(words: &[String], runtime: &Runtime) -> anyhow::Result<()> {
    let is_long_chosen = |title: &str| words.iter().any(|word| word.eq_ignore_ascii_case(title));
    let is_chosen =
        |title: &str| words.iter().any(|word| title.to_lowercase().contains(&word.to_lowercase()));
    let long = LONG_SECTIONS.into_iter().filter(|(title, _)| is_long_chosen(title));
    for (title, measure) in long.chain(SECTIONS.into_iter().filter(|(title, _)| is_chosen(title))) {
        progress(&format!("{title}\n\n{}", measure(runtime)?));
    }
    Ok(())
}
