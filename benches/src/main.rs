//! `make bench`: measures the claims on this machine and writes them into `benches/RESULTS.md` (`results.rs`). With words after it,
//! `target/release/lar-benches gateway` measures the parts whose titles contain one and prints them. Parts that take half an
//! hour or longer are measured only where their whole title is given: `'memory over hours'`.
//!
//! Each figure says how it was taken. Machines are shared and noisy: medians of rounds, and ratios where two
//! things are compared in the same run.

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

/// Measures one claim and tells it as Markdown.
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
        ("What the gateway adds", |_| gateway::measure()),
        ("What each API adds", |_| gateway::apis::measure()),
        ("What clients wait for", |_| clients::measure()),
        ("Start and memory", |_| start::measure()),
        ("Bounded work: bodies", |_| memory_bounds::bodies()),
        ("Durable commits", |runtime| runtime.block_on(commits::measure())),
        ("One conversation beside many", |runtime| runtime.block_on(conversations::measure())),
        ("The engine beside llama-server", |runtime| runtime.block_on(engine::first())),
        ("A second model beside llama-server", |runtime| runtime.block_on(engine::second())),
        ("Requests beside llama-server", |_| requests::quiet()),
        ("Requests after a busy start", |_| requests::after_busy()),
        ("Cores that others want too", |runtime| runtime.block_on(contention::measure())),
        ("Speculative decoding", |runtime| runtime.block_on(decoding::speculation())),
        ("Contexts in fewer bits", |runtime| runtime.block_on(decoding::cache_types())),
        ("Greedy answers", |runtime| runtime.block_on(decoding::beside_server())),
        ("Loading and swapping", |runtime| runtime.block_on(model_loading::load_and_swap())),
        ("A worker's memory", |runtime| runtime.block_on(model_loading::memory())),
        ("Tokenization of long prompts", |runtime| runtime.block_on(tokenization::measure())),
        ("Tool calls", |_| tool_calls::measure()),
        ("Embeddings beside ONNX Runtime", |runtime| runtime.block_on(embeddings::measure())),
        ("Bounded work: embeddings", |_| memory_bounds::embeddings::measure()),
        ("A question beside another's work", |_| fairness::measure()),
        ("Cancellation in prefill", |runtime| runtime.block_on(faults::cancel_in_prefill())),
        ("Stops that race with answers", |runtime| runtime.block_on(correctness::races())),
        ("JSON schemas", |runtime| runtime.block_on(correctness::structure())),
        ("Seeds", |runtime| runtime.block_on(correctness::seeds())),
        ("Finding memories", |runtime| runtime.block_on(memory::quality::measure())),
        ("Deciding what is new", |runtime| runtime.block_on(memory::smart::measure())),
        ("Searching many memories", |runtime| runtime.block_on(memory::scale::searches())),
        ("Remembering", |runtime| runtime.block_on(memory::scale::ingests())),
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
        // After each part, so that a run that is broken off leaves what it measured.
        std::fs::write(path, results.to_string())?;
    }
    Ok(())
}

/// Tells who waits what is going on.
#[expect(clippy::print_stderr, reason = "a long run shows where it is")]
pub(crate) fn progress(what: &str) {
    eprintln!("· {what}");
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

/// The value below which `share` of the sorted values lie.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = (share * (sorted.len().saturating_sub(1)) as f64).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}
