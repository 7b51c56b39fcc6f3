//! The hardware of this machine: memory, cores and GPUs, as the kernel reports them.

use std::path::PathBuf;
use std::sync::OnceLock;

use lar_base::{Bytes, Instant};

/// The memory of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// The installed memory, or the limit of this process's control group if that is lower.
    pub total: Bytes,
    /// The memory that can be allocated now without swapping.
    pub available: Bytes,
}

/// Reads the memory from `/proc/meminfo` and the control group. Returns `None` if `/proc/meminfo` cannot be
/// read.
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

/// Returns the number of logical processors that this process may use, within the CPU limit of its control
/// group.
#[must_use]
pub fn threads() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1))
}

/// Returns the number of physical cores that this process may use, within the CPU limit of its control group.
/// Two threads of one core count once.
#[must_use]
pub fn cores() -> u32 {
    let all = threads();
    physical_cores(&allowed_processors()).unwrap_or(all).clamp(1, all)
}

/// Returns the thread counts that may be fastest, the number of physical cores first. Fewer or more threads
/// can win: a processor may have two threads per core or fast and slow cores, and memory bandwidth may limit
/// all of them.
#[must_use]
pub fn thread_counts() -> Vec<u32> {
    let (all, cores) = (threads(), cores());
    // The fast cores, if the processor has two kinds.
    let fast = std::fs::read_to_string("/sys/devices/cpu_core/cpus").ok();
    let fast = fast.map(|list| u32::try_from(numbers(&list).count()).unwrap_or(0));
    let fast = fast.filter(|fast| (1..all).contains(fast));
    let mut counts = vec![cores, all, cores.div_ceil(2), cores.div_ceil(4)];
    counts.extend(fast);
    let mut seen = std::collections::BTreeSet::new();
    counts.retain(|count| seen.insert(*count));
    counts
}

/// Returns the processors on which the kernel runs this process; empty if the kernel does not report them.
fn allowed_processors() -> Vec<u32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.map(|list| numbers(list).collect()).unwrap_or_default()
}

/// Counts the cores of these processors, by the kernel's lists of threads that share a core.
fn physical_cores(processors: &[u32]) -> Option<u32> {
    let shared = processors.iter().filter_map(|number| {
        let path = format!("/sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list");
        std::fs::read_to_string(path).ok()
    });
    u32::try_from(shared.collect::<std::collections::BTreeSet<_>>().len()).ok().filter(|cores| *cores > 0)
}

/// Parses a list such as `0-7,16` into its numbers.
fn numbers(list: &str) -> impl Iterator<Item = u32> {
    list.trim().split(',').flat_map(|part| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        match (from.parse::<u32>(), to.parse::<u32>()) {
            (Ok(from), Ok(to)) => from..to.saturating_add(1),
            _ => 0..0,
        }
    })
}

/// Returns the processor's name and number of threads. Speed measurements are valid for this processor only.
#[must_use]
pub fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    format!("{}, {} threads", name.trim_start_matches(['\t', ':', ' ']), threads())
}

/// Returns the estimated bytes of weights that this machine reads per second while it decodes: what the memory
/// provides, or what the cores can compute with, if that is less. The memory bandwidth is measured once, with
/// one thread per core.
#[must_use]
pub fn weights_per_second() -> f64 {
    static FOUND: OnceLock<f64> = OnceLock::new();
    *FOUND.get_or_init(|| decode_rate(memory_bandwidth(cores() as usize), cores()))
}

/// The share of the plain read bandwidth that decoding reaches: see
/// `docs/decisions/0041-starter-for-the-machine.md`.
const WEIGHTS_SHARE: f64 = 0.7;
/// The bytes of 4-bit weights that one core computes with per second, at most: see the same decision.
const WEIGHTS_PER_CORE: f64 = 10e9;
/// The memory that the measurement reads: larger than most caches, and small enough for any machine.
const READ_BYTES: usize = 96 << 20;
/// The number of passes over that memory.
const READ_PASSES: usize = 4;
/// The size of one timed piece: so small that most pieces are read without another program interrupting.
const TIMED_BYTES: usize = 1 << 20;

/// Returns the bytes of weights per second while a machine with this bandwidth and number of cores decodes.
fn decode_rate(bandwidth: f64, cores: u32) -> f64 {
    (WEIGHTS_SHARE * bandwidth).min(WEIGHTS_PER_CORE * f64::from(cores))
}

/// Measures the bytes per second that this many threads read together when no other program uses their cores.
/// The result is the sum of every thread's speed in its median piece. The median keeps the result right when
/// Lar starts right after a build or beside another program; a lower result would select a smaller model.
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

/// Returns the names of the GPUs in this machine, whether this build can use them or not.
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
    fn processor_lists_are_parsed() {
        assert_eq!(["0-7,16", "0", "", "3-1", "x"].map(|list| numbers(list).count()), [9, 1, 0, 0, 0]);
        assert_eq!(numbers(" 0-1,4\n").collect::<Vec<_>>(), [0, 1, 4]);
    }

    #[test]
    fn the_slower_of_memory_and_cores_limits_decoding() {
        assert_eq!(decode_rate(20e9, 2), 14e9, "the memory");
        assert_eq!(decode_rate(62e9, 2), 20e9, "the cores");
        assert_eq!(decode_rate(62e9, 16), 0.7 * 62e9, "many cores");
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
