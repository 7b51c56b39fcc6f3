//! The memory of a process, as reported by `/proc/PID/status` (proc_pid_status(5)).

/// The memory of a process in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessMemory {
    /// The resident memory.
    pub resident: u64,
    /// The peak of the resident memory since the process started, or since [`crate::Lar::forget_peak`].
    pub peak: u64,
    /// The resident memory without mapped files.
    pub anonymous: u64,
}

impl ProcessMemory {
    /// Reads the memory of a process; `None` if it has ended, or there is no `/proc`.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
    }

    fn parse(status: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            value.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
        };
        Some(Self { resident: bytes("VmRSS")?, peak: bytes("VmHWM")?, anonymous: bytes("RssAnon")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_parsed_from_proc_status() {
        let status =
            "Name:\tlar\nVmHWM:\t   40000 kB\nVmRSS:\t   30000 kB\nRssAnon:\t   20000 kB\nThreads:\t2\n";
        let expected = ProcessMemory { resident: 30_720_000, peak: 40_960_000, anonymous: 20_480_000 };
        assert_eq!(ProcessMemory::parse(status), Some(expected));
        assert_eq!(ProcessMemory::parse("Name:\tlar\nState:\tZ (zombie)\n"), None);
        let own = ProcessMemory::of(std::process::id()).unwrap();
        assert!(own.anonymous <= own.resident && own.resident <= own.peak, "{own:?}");
    }
}
