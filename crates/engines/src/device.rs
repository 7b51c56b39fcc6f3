//! What this machine has: memory, cores, graphics devices. Read from the kernel, never guessed.

use std::path::PathBuf;

use lar_base::Bytes;

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

/// Threads that compute best: one per core that this process may use.
#[must_use]
pub fn threads() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1))
}

/// Numbers of threads that may compute best, the usual one first: the processor may have two threads a core, or
/// fast cores and slow ones, and memory may be too slow for all of them.
#[must_use]
pub fn thread_counts() -> Vec<u32> {
    let all = threads();
    let mut counts = vec![all];
    let physical = physical_cores().filter(|cores| *cores < all);
    // Fast cores, where a processor has two kinds.
    let fast = std::fs::read_to_string("/sys/devices/cpu_core/cpus").ok().map(|list| count_of(&list));
    counts.extend(
        [physical, fast.filter(|cores| (1..all).contains(cores)), Some(all.div_ceil(2))]
            .into_iter()
            .flatten(),
    );
    let mut seen = std::collections::BTreeSet::new();
    counts.retain(|count| seen.insert(*count));
    counts
}

/// Cores that are cores of their own, by the kernel's list of threads that share one.
fn physical_cores() -> Option<u32> {
    let cpus = std::fs::read_dir("/sys/devices/system/cpu").ok()?.flatten();
    let shared =
        cpus.filter_map(|cpu| std::fs::read_to_string(cpu.path().join("topology/thread_siblings_list")).ok());
    u32::try_from(shared.collect::<std::collections::BTreeSet<_>>().len()).ok().filter(|cores| *cores > 0)
}

/// How many numbers a list such as `0-7,16` has.
fn count_of(list: &str) -> u32 {
    let range = |part: &str| match part.split_once('-') {
        None => u32::from(part.parse::<u32>().is_ok()),
        Some((from, to)) => match (from.parse::<u32>(), to.parse::<u32>()) {
            (Ok(from), Ok(to)) if from <= to => to - from + 1,
            _ => 0,
        },
    };
    list.trim().split(',').map(range).sum()
}

/// The processor and its cores: what a measurement of speed holds for.
#[must_use]
pub fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    format!("{}, {} threads", name.trim_start_matches(['\t', ':', ' ']), threads())
}

/// The part of the last ten seconds, in percent, that somebody waited for a processor (the kernel's pressure
/// stall information); `None` where the kernel does not tell.
#[must_use]
pub fn processor_pressure() -> Option<f64> {
    pressure(&std::fs::read_to_string("/proc/pressure/cpu").ok()?)
}

fn pressure(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with("some "))?;
    line.split_whitespace().find_map(|pair| pair.strip_prefix("avg10="))?.parse().ok()
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
        assert_eq!(["0-7,16", "0", "", "3-1", "x"].map(count_of), [9, 1, 0, 0, 0]);
    }

    #[test]
    fn pressure_is_read_as_the_kernel_writes_it() {
        let text = "some avg10=12.50 avg60=3.00 avg300=1.00 total=9\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!([text, "", "some avg60=1"].map(pressure), [Some(12.5), None, None]);
    }

    #[test]
    fn the_usual_number_of_threads_comes_first_and_each_once() {
        let counts = thread_counts();
        assert_eq!(counts[0], threads());
        let different: std::collections::BTreeSet<_> = counts.iter().collect();
        assert_eq!(different.len(), counts.len());
        assert!(counts.iter().all(|count| (1..=threads()).contains(count)), "{counts:?}");
    }
}
