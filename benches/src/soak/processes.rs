//! Samples of the processes of a Lar: memory from `/proc/PID/smaps_rollup`, open descriptors and threads.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use lar_tests::{Lar, chat_model, embedder_file};

use crate::process::resident_mib;
use crate::statistics;

const WORKERS: [&str; 3] = ["chat worker", "vocabulary worker", "embedding worker"];

/// The memory of a process in MiB; NaN if the process does not exist or the kernel hides the value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// Resident memory, mapped files included.
    pub(super) resident: f64,
    /// Private and dirty memory: only this process has it, and has written to it.
    pub(super) private: f64,
}

impl Memory {
    const NONE: Self = Self { resident: f64::NAN, private: f64::NAN };

    fn of(pid: u32) -> Self {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let mib = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(f64::NAN) / 1024.0
        };
        let resident = mib("Rss:");
        // The kernel may hide the rollup from other users, but not the resident size.
        let resident = if resident.is_nan() { resident_mib(pid) } else { resident };
        Self { resident, private: mib("Private_Dirty:") }
    }

    fn median(all: impl Iterator<Item = Self> + Clone) -> Self {
        Self {
            resident: median(all.clone().map(|one| one.resident)),
            private: median(all.map(|one| one.private)),
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.resident.is_nan() {
            f.write_str("–")
        } else {
            write!(f, "{:.1} ({:.1})", self.resident, self.private)
        }
    }
}

/// The memory of each kind of worker, in the order of [`WORKERS`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Workers([Memory; WORKERS.len()]);

impl Workers {
    /// Samples the workers and identifies each by its mapped weights. The vocabulary worker has none. A
    /// worker that is just starting has none yet either, and counts as the vocabulary worker for that moment.
    pub(super) fn sample(lar: &Lar) -> Self {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (chat, embedder) = (name(&chat_model()), name(&embedder_file("weights")));
        let mut found = Self([Memory::NONE; WORKERS.len()]);
        for pid in lar.workers() {
            let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
            // A process that has ended but is not reaped yet has no memory.
            if maps.is_empty() {
                continue;
            }
            let kind = if maps.contains(&chat) {
                0
            } else if maps.contains(&embedder) {
                2
            } else {
                1
            };
            found.0[kind] = Memory::of(pid);
        }
        found
    }

    /// Returns the name of each kind of worker and its private memory in each of these samples.
    pub(super) fn lives(all: &[Self]) -> impl Iterator<Item = (&'static str, String)> {
        WORKERS.into_iter().enumerate().map(|(kind, name)| {
            let lives = all.iter().map(|workers| workers.0[kind].private).filter(|mib| !mib.is_nan());
            let lives: Vec<String> = lives.map(|mib| format!("{mib:.1}")).collect();
            (name, lives.join(", "))
        })
    }
}

/// A sample of all processes of a Lar.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// The time since the clients started.
    pub(super) at: Duration,
    pub(super) server: Memory,
    workers: Workers,
    descriptors: f64,
    threads: f64,
    stored_mib: f64,
    /// The requests of all clients so far.
    pub(super) requests: u64,
}

impl Sample {
    /// Samples all processes.
    ///
    /// # Errors
    /// If the server process has ended.
    pub(super) fn take(lar: &Lar, at: Duration, requests: u64) -> anyhow::Result<Self> {
        let server = Memory::of(lar.pid());
        anyhow::ensure!(
            !server.resident.is_nan(),
            "the server process ended after {:.0} s",
            at.as_secs_f64()
        );
        let entries = |folder: &str| {
            let entries = std::fs::read_dir(format!("/proc/{}/{folder}", lar.pid()));
            entries.map_or(f64::NAN, |entries| entries.count() as f64)
        };
        let (descriptors, threads) = (entries("fd"), entries("task"));
        let stored_mib = stored_bytes(lar.data()) as f64 / f64::from(1 << 20);
        Ok(Self { at, server, workers: Workers::sample(lar), descriptors, threads, stored_mib, requests })
    }

    /// Returns the medians of these samples, with the number of requests of the last one.
    pub(super) fn median(samples: &[&Self]) -> Figure {
        let of = |value: fn(&Self) -> f64| median(samples.iter().map(|sample| value(sample)));
        let worker = |kind: usize| Memory::median(samples.iter().map(move |sample| sample.workers.0[kind]));
        Figure(Self {
            at: samples.last().map_or(Duration::ZERO, |last| last.at),
            server: Memory::median(samples.iter().map(|sample| sample.server)),
            workers: Workers([worker(0), worker(1), worker(2)]),
            descriptors: of(|sample| sample.descriptors),
            threads: of(|sample| sample.threads),
            stored_mib: of(|sample| sample.stored_mib),
            requests: samples.last().map_or(0, |last| last.requests),
        })
    }

    /// Returns one line of progress.
    pub(super) fn line(&self) -> String {
        format!("{:.1} min | {}", self.at.as_secs_f64() / 60.0, Figure(*self))
    }
}

/// A sample that is displayed as the columns of the table.
pub(super) struct Figure(Sample);

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sample { server, workers: Workers(workers), descriptors, threads, stored_mib, requests, .. } =
            &self.0;
        write!(f, "{server}")?;
        workers.iter().try_for_each(|worker| write!(f, " | {worker}"))?;
        write!(f, " | {descriptors:.0} | {threads:.0} | {stored_mib:.1} | {requests}")
    }
}

/// Returns the median of the values that are not NaN; NaN if there are none.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    statistics::median(values.filter(|value| !value.is_nan()).collect())
}

/// Returns the bytes of all files in a directory and its subdirectories. A file that disappears meanwhile
/// counts zero.
fn stored_bytes(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let about = entry.metadata().ok()?;
            Some(if about.is_dir() { stored_bytes(&entry.path()) } else { about.len() })
        })
        .sum()
}
