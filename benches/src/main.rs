//! `make bench` runs every benchmark on this machine and writes the results to `benches/RESULTS.md`
//! (`results.rs`).
//!
//! With arguments, `target/release/lar-benches gateway` runs the benchmarks whose titles contain one of them
//! and prints the results. A benchmark of half an hour or longer runs only if its whole title is given:
//! `'memory over hours'`.
//!
//! Every result says how it was measured. Machines are shared and noisy, so results are medians of several
//! rounds. Two systems that are compared run in the same rounds, and their ratio is reported.

mod clients;
mod commits;
mod contention;
mod conversations;
mod correctness;
mod decoding;
mod embeddings;
mod engine;
mod fairness;
mod faults;
mod gateway;
mod memory;
mod memory_bounds;
mod model_loading;
mod requests;
mod results;
mod soak;
mod start;
mod tokenization;
mod tool_calls;

use std::path::Path;
use std::process::Command;

use self::results::Results;

/// Runs one benchmark and returns its section of the results as Markdown.
type Measure = fn(&tokio::runtime::Runtime) -> anyhow::Result<String>;

fn main() -> anyhow::Result<()> {
    let titles: Vec<String> = std::env::args().skip(1).collect();
    if titles.first().is_some_and(|first| first == "stub") {
        return gateway::serve();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if titles.first().is_some_and(|first| first == "gate") {
        return runtime.block_on(memory::quality::gate());
    }
    let parts: [(&str, Measure); 33] = [
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
        ("Smart ingest decisions", |runtime| runtime.block_on(memory::smart::measure())),
        ("Memory search latency", |runtime| runtime.block_on(memory::scale::searches())),
        ("Memory ingest throughput", |runtime| runtime.block_on(memory::scale::ingests())),
        ("Crash matrix", |_| faults::crash_matrix()),
        ("Killed servers", |_| faults::kill_servers()),
        ("Killed workers", |_| faults::kill_workers()),
    ];
    let long_parts: [(&str, Measure); 1] = [("Memory over hours", |_| soak::measure())];
    for (title, measure) in long_parts {
        if titles.iter().any(|words| words.eq_ignore_ascii_case(title)) {
            progress(&format!("{title}\n\n{}", measure(&runtime)?));
        }
    }
    let (commit, machine) = (output("git", &["rev-parse", "--short", "HEAD"]), machine());
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md"));
    let mut results = Results::read(path, &machine)?;
    let order = parts.map(|(title, _)| title);
    for (title, measure) in parts {
        if !titles.is_empty() {
            if titles.iter().any(|word| title.to_lowercase().contains(&word.to_lowercase())) {
                progress(&format!("{title}\n\n{}", measure(&runtime)?));
            }
            continue;
        }
        progress(title);
        results.set(title, &measure(&runtime)?, &commit, &machine, &order);
        // After each section, so that an interrupted run keeps the sections that it measured.
        std::fs::write(path, results.to_string())?;
    }
    Ok(())
}

/// Prints a line of progress to standard error.
#[expect(clippy::print_stderr, reason = "a long run shows its progress")]
pub(crate) fn progress(line: &str) {
    eprintln!("· {line}");
}

fn machine() -> String {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name\t: "))
        .unwrap_or("unknown")
        .to_owned();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} cores, {}", output("uname", &["-sr"]))
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// Returns the quantile `share` (0 to 1) of sorted values; NaN if there are none.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = (share * (sorted.len().saturating_sub(1)) as f64).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}
