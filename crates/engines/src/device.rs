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
