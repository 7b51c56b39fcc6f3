//! The soak test: several clients use one Lar for half an hour or longer, in most of the ways that people and
//! apps do. Meanwhile the memory of its processes is sampled.
//!
//! `soak/uses.rs` has the actions of the clients, `soak/client.rs` sends their requests, `soak/shared.rs`
//! counts them, and `soak/processes.rs` samples the processes. A client erases what it stores, so that the
//! stored data grows only by the record of each task. `model_loading.rs` measures the memory of one worker
//! over many requests, without unloading.

mod client;
mod processes;
mod shared;
mod uses;

use std::fmt::Write as _;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use lar_base::Instant;
use lar_tests::Lar;
use serde_json::Value;

use crate::progress::progress;
use crate::statistics::{quantile, slope};
use client::Client;
use processes::{Sample, Workers};
use shared::{EndsRun, Shared, count};
use uses::{USES, run_use, work};

/// The environment variable that sets how many minutes the clients work.
const MINUTES_VARIABLE: &str = "LAR_BENCH_SOAK_MINUTES";
const MINUTES_DEFAULT: f64 = 30.0;
/// The number of clients, each with its own key and memories. There are more than the model has slots.
const CLIENTS: usize = 6;
const CONFIG: &str = "[engines]\nconcurrency = 4\n";
const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// Samples whose median is one figure in the table. The last of them is the sample of that time.
const SAMPLES_PER_FIGURE: usize = 5;
/// The time between two unloads of the models. If a sixth of the whole run is shorter, that is used.
const UNLOAD_EVERY: Duration = Duration::from_secs(240);
/// The longest time that a model may take to unload.
const UNLOADED_MAX: Duration = Duration::from_secs(30);
const POLL_EVERY: Duration = Duration::from_millis(100);
const MODELS: [&str; 2] = ["smollm2-135m-instruct", "all-minilm-l6-v2"];
/// The run fails if more than one use in this many failed.
const USES_PER_FAILURE_MIN: u64 = 100;

/// The samples of a run.
struct Run {
    samples: Vec<Sample>,
    /// The memory of the workers just before each unload.
    before_unloads: Vec<Workers>,
}

pub(crate) fn measure() -> anyhow::Result<String> {
    let length = length()?;
    let lar = Lar::start_with(CONFIG);
    let shared = Shared::new(CLIENTS, USES.len());
    let mut clients: Vec<Client<'_>> = (0..CLIENTS).map(|index| Client::new(&lar, &shared, index)).collect();
    progress("  each use once");
    for (at, (name, _)) in USES.iter().enumerate() {
        run_use(&mut clients[0], at).with_context(|| format!("{name} failed before the run"))?;
    }
    let run = run(&lar, &shared, &mut clients, length)?;
    let (failed, failures) = shared.failures();
    let uses = shared.uses.iter().map(|counter| count(&counter.times)).sum::<u64>();
    let mut text = report(&run, length)?;
    let done = USES.iter().zip(&shared.uses).map(|((name, _), counter)| {
        format!("{name} {} ({:.1} s)", count(&counter.times), counter.longest_seconds())
    });
    let done: Vec<String> = done.collect();
    writeln!(
        text,
        "\n{uses} uses. The number of runs of each, and in brackets the longest of its requests: {}.",
        done.join(", ")
    )?;
    if failed > 0 {
        writeln!(text, "\n{failed} of them got an unexpected answer. The first of these: {failures}.")?;
    }
    // The measurements are printed even if the run fails.
    if failed * USES_PER_FAILURE_MIN > uses {
        progress(&text);
        anyhow::bail!("{failed} of {uses} uses failed");
    }
    Ok(text)
}

/// Returns the duration of the run, which the environment may set.
#[expect(clippy::disallowed_methods, reason = "the environment sets the duration of the benchmark")]
fn length() -> anyhow::Result<Duration> {
    let minutes = match std::env::var(MINUTES_VARIABLE) {
        Ok(text) => text.parse().with_context(|| format!("{MINUTES_VARIABLE} must be a number: `{text}`"))?,
        Err(_) => MINUTES_DEFAULT,
    };
    anyhow::ensure!(minutes > 0.0 && minutes.is_finite(), "{MINUTES_VARIABLE} must be greater than 0");
    Ok(Duration::from_secs_f64(minutes * 60.0))
}

/// Runs all clients for this long, while models are unloaded and samples are taken.
fn run(lar: &Lar, shared: &Shared, clients: &mut [Client<'_>], length: Duration) -> anyhow::Result<Run> {
    std::thread::scope(|scope| {
        for client in clients {
            scope.spawn(move || {
                let _ends = EndsRun(shared);
                work(client);
            });
        }
        let unloading = scope.spawn(|| unload_now_and_then(lar, shared, UNLOAD_EVERY.min(length / 6)));
        let ends = EndsRun(shared);
        let samples = take_samples(lar, shared, length);
        drop(ends);
        let before_unloads =
            unloading.join().map_err(|_| anyhow::anyhow!("the unloading thread panicked"))?;
        Ok(Run { samples: samples?, before_unloads })
    })
}

/// Returns the time between two samples. A short run also gets twenty samples.
fn sample_every(length: Duration) -> Duration {
    SAMPLE_EVERY.min(length / 20)
}

fn take_samples(lar: &Lar, shared: &Shared, length: Duration) -> anyhow::Result<Vec<Sample>> {
    let started_at = Instant::now();
    let every = sample_every(length);
    let mut samples: Vec<Sample> = Vec::new();
    while started_at.elapsed() < length {
        let due = started_at.after(every * (samples.len() as u32 + 1));
        std::thread::sleep(due.since(Instant::now()));
        anyhow::ensure!(
            !shared.is_over(),
            "a client ended after {:.0} s",
            started_at.elapsed().as_secs_f64()
        );
        let sample = Sample::take(lar, started_at.elapsed(), count(&shared.requests))?;
        if samples.len().is_multiple_of(6) {
            progress(&format!("  {}", sample.line()));
        }
        samples.push(sample);
    }
    Ok(samples)
}

/// Unloads all models at intervals. Every other time it loads them again; otherwise the next request does.
/// Returns the memory of the workers before each unload.
fn unload_now_and_then(lar: &Lar, shared: &Shared, every: Duration) -> Vec<Workers> {
    let mut before = Vec::new();
    let mut due = Instant::now().after(every);
    while !shared.is_over() {
        std::thread::sleep(POLL_EVERY);
        if Instant::now() < due {
            continue;
        }
        due = Instant::now().after(every);
        let quiet = shared.quiet.write().unwrap_or_else(PoisonError::into_inner);
        before.push(Workers::sample(lar));
        for model in MODELS {
            if let Err(error) = unload(lar, shared, model) {
                shared.record_failure("an unload", &error, "");
            }
        }
        drop(quiet);
        if before.len().is_multiple_of(2) {
            for model in MODELS {
                shared.requests.fetch_add(1, Ordering::Relaxed);
                let _ = lar.post(&format!("/lar/v1/pools/{model}/load"), &Value::Null);
            }
        }
    }
    before
}

/// Unloads a model as soon as no task runs on it, and waits until it is unloaded.
fn unload(lar: &Lar, shared: &Shared, model: &str) -> anyhow::Result<()> {
    let started_at = Instant::now();
    let mut is_accepted = false;
    loop {
        shared.requests.fetch_add(1, Ordering::Relaxed);
        if is_accepted {
            let health = lar.get(&format!("/lar/v1/pools/{model}/health")).json();
            if health["state"] == "unloaded" {
                return Ok(());
            }
        } else {
            // A task that a client abandoned may still run for a moment; the answer is then 409.
            is_accepted = lar.post(&format!("/lar/v1/pools/{model}/unload"), &Value::Null).status == 202;
        }
        anyhow::ensure!(
            started_at.elapsed() < UNLOADED_MAX,
            "{model} was not unloaded within {UNLOADED_MAX:?}"
        );
        std::thread::sleep(POLL_EVERY);
    }
}

fn report(run: &Run, length: Duration) -> anyhow::Result<String> {
    let minutes = length.as_secs_f64() / 60.0;
    let Some(last) = run.samples.last() else { anyhow::bail!("no sample was taken") };
    let mut text = format!(
        "{CLIENTS} clients, each with its own key, use one Lar for {minutes:.1} minutes. It has the starter\n\
         models, four slots and a new data directory. The models are unloaded {} times meanwhile. Memory in\n\
         MiB: resident, and in brackets private and dirty (`smaps_rollup`). Each figure is the median of the\n\
         {SAMPLES_PER_FIGURE} samples before that time, one every {:.0} s. The model files are mapped into\n\
         the workers, so they count as resident.\n\n\
         | after | server | chat worker | vocabulary worker | embedding worker | descriptors of the server | its threads | stored data | requests |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        run.before_unloads.len(),
        sample_every(length).as_secs_f64(),
    );
    for (name, share) in [("a tenth, warm", 0.1), ("half", 0.5), ("the end", 1.0)] {
        let until = length.mul_f64(share);
        // The sample of a time is taken a moment after it.
        let is_before = |sample: &&Sample| sample.at <= until + sample_every(length) / 2;
        let samples: Vec<&Sample> = run.samples.iter().filter(is_before).collect();
        let figure = Sample::median(&samples[samples.len().saturating_sub(SAMPLES_PER_FIGURE)..]);
        writeln!(text, "| {:.1} min, {name} | {figure} |", until.as_secs_f64() / 60.0)?;
    }
    let half: Vec<&Sample> = run.samples.iter().filter(|sample| sample.at >= length / 2).collect();
    let trend = |value: fn(&Sample) -> f64| {
        let points: Vec<(f64, f64)> =
            half.iter().map(|sample| (sample.at.as_secs_f64() / 3600.0, value(sample))).collect();
        let mut values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
        values.sort_by(f64::total_cmp);
        (slope(&points), quantile(&values, 0.0), quantile(&values, 1.0))
    };
    let (resident, least, most) = trend(|sample| sample.server.resident);
    let (private, _, _) = trend(|sample| sample.server.private);
    let first = half.first().map_or(0, |sample| sample.requests);
    let hours = half.first().map_or(f64::NAN, |first| (last.at - first.at).as_secs_f64() / 3600.0);
    writeln!(
        text,
        "\nThe server in the second half, by least squares: resident {resident:+.2} MiB per hour, private and\n\
         dirty {private:+.2} MiB per hour, at {:.0} requests per hour. Its resident memory was between\n\
         {least:.1} and {most:.1} MiB.",
        (last.requests - first) as f64 / hours
    )?;
    writeln!(text, "\nPrivate and dirty memory of the workers before each unload, in MiB:\n")?;
    for (name, lives) in Workers::lives(&run.before_unloads) {
        writeln!(text, "- {name}: {lives}")?;
    }
    Ok(text)
}
