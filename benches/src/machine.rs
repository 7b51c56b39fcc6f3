//! The machine and the commit that a result names.

use std::process::Command;

/// Returns the processor, the number of its cores and the kernel of this machine.
pub(crate) fn machine() -> String {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name\t: "))
        .unwrap_or("unknown")
        .to_owned();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} cores, {}", output("uname", &["-sr"]))
}

/// Returns the short hash of the commit that is checked out; empty without Git.
pub(crate) fn commit() -> String {
    output("git", &["rev-parse", "--short", "HEAD"])
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
