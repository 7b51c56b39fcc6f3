//! What this machine has: memory, cores, graphics devices. Read from the kernel, never guessed.

use std::path::PathBuf;
use std::sync::OnceLock;

use lar_base::{Bytes, Instant};

/// The memory of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Installed, or allowed to this process's control group, whichever is less.
    pub total: Bytes,
    /// What could be taken now without swapping.
    pub available: Bytes,
}

/// Reads the memory from `/proc/meminfo` and the control group; `None` where the kernel has neither.
#[must_use]
pub fn memory() -> Option<Memory> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let field = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':')
            .trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<u64>()
            .ok()
            .map(|kib| kib << 10)
    };
    let (total, available) = (field("MemTotal")?, field("MemAvailable")?);
    let limit = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok())
        .unwrap_or(u64::MAX);
    Some(Memory { total: Bytes(total.min(limit)), available: Bytes(available.min(limit)) })
}

/// Processors that this process may use: those it may run on, as far as its control group gives it so many.
#[must_use]
pub fn threads() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1))
}

/// Physical cores that this process may use: of its processors, those that are no second thread of a core, as far as its
/// control group gives it so many.
#[must_use]
pub fn cores() -> u32 {
    let all = threads();
    physical_cores(&allowed_processors()).unwrap_or(all).clamp(1, all)
}

/// Numbers of threads that may compute best, the physical cores first: the processor may have two threads a core, or
/// fast cores and slow ones, and memory may be too slow for all of them.
#[must_use]
pub fn thread_counts() -> Vec<u32> {
    let (all, cores) = (threads(), cores());
    // Fast cores, where a processor has two kinds.
    let fast = std::fs::read_to_string("/sys/devices/cpu_core/cpus").ok();
    let fast = fast.map(|list| u32::try_from(numbers(&list).count()).unwrap_or(0));
    let fast = fast.filter(|fast| (1..all).contains(fast));
    let mut counts = vec![cores, all, cores.div_ceil(2), cores.div_ceil(4)];
    counts.extend(fast);
    let mut seen = std::collections::BTreeSet::new();
    counts.retain(|count| seen.insert(*count));
    counts
}

/// The processors that the kernel runs this process on; empty where it does not tell.
fn allowed_processors() -> Vec<u32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.map(|list| numbers(list).collect()).unwrap_or_default()
}

/// Cores that these processors are on, by the kernel's lists of threads that share one.
fn physical_cores(processors: &[u32]) -> Option<u32> {
    let shared = processors.iter().filter_map(|number| {
        let path = format!("/sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list");
        std::fs::read_to_string(path).ok()
    });
    u32::try_from(shared.collect::<std::collections::BTreeSet<_>>().len()).ok().filter(|cores| *cores > 0)
}

/// The numbers of a list such as `0-7,16`.
fn numbers(list: &str) -> impl Iterator<Item = u32> {
    list.trim().split(',').flat_map(|part| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        match (from.parse::<u32>(), to.parse::<u32>()) {
            (Ok(from), Ok(to)) => from..to.saturating_add(1),
            _ => 0..0,
        }
    })
}

/// The processor and its cores: what a measurement of speed holds for.
#[must_use]
pub fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    format!("{}, {} threads", name.trim_start_matches(['\t', ':', ' ']), threads())
}

/// Bytes of weights that this machine probably reads in a second while it decodes, measured once with one thread for each core.
#[must_use]
pub fn weights_per_second() -> f64 {
    static FOUND: OnceLock<f64> = OnceLock::new();
    *FOUND.get_or_init(|| WEIGHTS_SHARE * memory_bandwidth(cores() as usize))
}

/// What decoding reaches of plain reading: see `docs/decisions/0041-starter-for-the-machine.md`.
const WEIGHTS_SHARE: f64 = 0.7;
/// Memory that is read: more than most caches hold, and little enough for any machine.
const READ_BYTES: usize = 96 << 20;
/// How often it is read.
const READ_PASSES: usize = 4;
/// Bytes of which the time is taken: so few that most of them are read without another program in between.
const TIMED_BYTES: usize = 1 << 20;

/// Bytes a second that so many threads read together where no other program takes their cores: the sum of what each thread
/// reads in the median piece. A start right after a build, or beside another program, must not decide for a smaller model.
fn memory_bandwidth(threads: usize) -> f64 {
    let numbers = vec![1u64; READ_BYTES / size_of::<u64>()];
    let of_thread = |numbers: &[u64]| {
        let pieces = numbers.chunks_exact(TIMED_BYTES / size_of::<u64>());
        let mut seconds: Vec<f64> = (0..READ_PASSES)
            .flat_map(|_| pieces.clone())
            .map(|piece| {
                let started = Instant::now();
                std::hint::black_box(piece.iter().fold(0u64, |sum, number| sum.wrapping_add(*number)));
                started.elapsed().as_secs_f64().max(1e-9)
            })
            .collect();
        seconds.sort_unstable_by(f64::total_cmp);
        seconds.get(seconds.len() / 2).map_or(0.0, |median| TIMED_BYTES as f64 / median)
    };
    std::thread::scope(|scope| {
        let parts = numbers.chunks(numbers.len().div_ceil(threads.max(1)));
        let reading: Vec<_> = parts.map(|part| scope.spawn(move || of_thread(part))).collect();
        reading.into_iter().filter_map(|thread| thread.join().ok()).sum()
    })
}

/// Graphics devices that are there, whether this build can use them or not.
#[must_use]
pub fn graphics() -> Vec<String> {
    let mut found = Vec::new();
    if let Ok(cards) = std::fs::read_dir("/proc/driver/nvidia/gpus") {
        for card in cards.flatten() {
            let information = std::fs::read_to_string(card.path().join("information")).unwrap_or_default();
            let model = information.lines().find_map(|line| line.strip_prefix("Model:"));
            found.push(model.map_or("NVIDIA device", str::trim).to_owned());
        }
    }
    if PathBuf::from("/dev/kfd").exists() {
        found.push("AMD device".into());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_counted() {
        assert_eq!(["0-7,16", "0", "", "3-1", "x"].map(|list| numbers(list).count()), [9, 1, 0, 0, 0]);
        assert_eq!(numbers(" 0-1,4\n").collect::<Vec<_>>(), [0, 1, 4]);
    }

    #[test]
    fn thread_counts_start_with_the_cores_and_repeat_none() {
        let counts = thread_counts();
        assert_eq!(counts[0], cores());
        let different: std::collections::BTreeSet<_> = counts.iter().collect();
        assert_eq!(different.len(), counts.len());
        assert!(counts.iter().all(|count| (1..=threads()).contains(count)), "{counts:?}");
    }
}
