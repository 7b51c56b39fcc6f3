//! Child processes of the benchmarks, and the memory of a process.

use std::process::Child;

use lar_tests::ProcessMemory;

/// A child process that is killed when dropped.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn new(child: Child) -> Self {
        Self(child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the resident memory of a process in MiB; NaN if the process does not exist.
pub(crate) fn resident_mib(pid: u32) -> f64 {
    ProcessMemory::of(pid).map_or(f64::NAN, |memory| memory.resident as f64 / f64::from(1 << 20))
}
