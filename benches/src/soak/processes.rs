//! What the processes of a Lar take: memory from `/proc/PID/smaps_rollup`, open descriptors, threads.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use lar_tests::{Lar, chat_model, embedder_file};

use crate::quantile;

const WORKERS: [&str; 3] = ["chat worker", "vocabulary worker", "embedding worker"];

/// Memory in MiB; NaN where the process is not there or the kernel does not tell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// With files that are mapped.
    pub(super) resident: f64,
    /// What only this process has and has written.
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
        // The kernel may keep the rollup from those who do not own the process, but not this.
        let resident = if resident.is_nan() { crate::start::resident_mib(pid) } else { resident };
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
    /// Tells the workers apart by the weights that they have mapped: the one that holds a vocabulary has none. One that is
    /// being started has none yet either; it counts as a vocabulary for that moment.
    pub(super) fn look(lar: &Lar) -> Self {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (chat, embedder) = (name(&chat_model()), name(&embedder_file("weights")));
        let mut found = Self([Memory::NONE; WORKERS.len()]);
        for pid in lar.workers() {
            let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
            // One that has ended and is not reaped yet has no memory.
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

    /// Each kind's name and its private memory at each of these times.
    pub(super) fn lives(all: &[Self]) -> impl Iterator<Item = (&'static str, String)> {
        WORKERS.into_iter().enumerate().map(|(kind, name)| {
            let lives = all.iter().map(|workers| workers.0[kind].private).filter(|mib| !mib.is_nan());
            let lives: Vec<String> = lives.map(|mib| format!("{mib:.1}")).collect();
            (name, lives.join(", "))
        })
    }
}

/// All processes of a Lar at one time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Since the clients began.
    pub(super) at: Duration,
    pub(super) server: Memory,
    workers: Workers,
    descriptors: f64,
    threads: f64,
    stored_mib: f64,
    /// Of all clients so far.
    pub(super) requests: u64,
}

impl Sample {
    /// Looks at all processes.
    ///
    /// # Errors
    /// When the server is gone.
    pub(super) fn take(lar: &Lar, at: Duration, requests: u64) -> anyhow::Result<Self> {
        let server = Memory::of(lar.pid());
        anyhow::ensure!(!server.resident.is_nan(), "the server is gone after {:.0} s", at.as_secs_f64());
        let entries = |what: &str| {
            let entries = std::fs::read_dir(format!("/proc/{}/{what}", lar.pid()));
            entries.map_or(f64::NAN, |entries| entries.count() as f64)
        };
        let (descriptors, threads) = (entries("fd"), entries("task"));
        let stored_mib = stored_bytes(lar.data()) as f64 / f64::from(1 << 20);
        Ok(Self { at, server, workers: Workers::look(lar), descriptors, threads, stored_mib, requests })
    }

    /// The medians of these samples; the number of requests is the last one's.
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

    /// One line for those who watch.
    pub(super) fn line(&self) -> String {
        format!("{:.1} min | {}", self.at.as_secs_f64() / 60.0, Figure(*self))
    }
}

/// A sample as the columns of the table.
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

/// The median of those that are numbers; NaN where none is.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
    values.sort_by(f64::total_cmp);
    quantile(&values, 0.5)
}

/// Bytes of all files in a directory and those below it; one that goes away meanwhile counts nothing.
fn stored_bytes(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let about = entry.metadata().ok()?;
            Some(if about.is_dir() { stored_bytes(&entry.path()) } else { about.len() })
        })
        .sum()
}
