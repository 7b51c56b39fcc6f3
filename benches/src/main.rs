//! `make bench` runs every benchmark on this machine (`sections.rs`) and writes the results to
//! `benches/RESULTS.md` (`results.rs`).
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
mod machine;
mod memory;
mod memory_bounds;
mod model_loading;
mod process;
mod progress;
mod requests;
mod results;
mod sections;
mod soak;
mod start;
mod statistics;
mod tokenization;
mod tool_calls;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = arguments.first().map(String::as_str);
    if command == Some("stub") {
        return gateway::serve();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match command {
        Some("gate") => runtime.block_on(memory::quality::gate()),
        Some(_) => sections::print(&arguments, &runtime),
        None => sections::measure_all(&runtime),
    }
}
