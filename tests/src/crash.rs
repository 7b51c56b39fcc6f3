//! The crash matrix: ends a program that writes memories at each of its writes, and compares the database
//! with the state that the program had acknowledged.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The way in which a process is ended at a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Before the write, as `kill -9` does.
    Kill,
    /// During the write.
    Torn,
    /// Before the write; all writes that were not synced are lost.
    PowerAll,
    /// Before the write; about half of the writes that were not synced are lost.
    PowerSome,
}

/// The results of the matrix.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Matrix {
    /// The number of writes at which the process was ended.
    pub points: usize,
    /// The number of steps that were acknowledged before the end, over all points.
    pub acknowledged: usize,
    /// Points after which the database has neither the last acknowledged state nor that state plus the next
    /// step.
    pub lost: usize,
    /// Points after which a memory's passages do not match its text.
    pub disagree: usize,
    /// Points after which the check of the database found faults.
    pub broken: usize,
}

/// Ends the program at every `every`-th write and checks the database each time.
///
/// # Panics
/// If the fault layer cannot be built, or the program does not run without it.
#[must_use]
pub fn matrix(how: How, every: usize) -> Matrix {
    let folder = tempfile::tempdir().expect("a directory can be created");
    let layer = folder.path().join("crash.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/faults/crash.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&layer)
        .arg(source)
        .arg("-ldl")
        .status();
    assert!(built.is_ok_and(|status| status.success()), "cc could not build the fault layer");

    // The database has the newest schema already, so that no point is spent on creating it.
    let fresh = folder.path().join("fresh.db");
    let _ = run(&fresh, &["look"], None, &layer);
    let whole = folder.path().join("whole.db");
    copy(&fresh, &whole);
    let count = folder.path().join("count");
    let steps = run(&whole, &[], Some((0, how, &count)), &layer);
    assert!(steps.len() > 5, "the program did not run to its end: {steps:?}");
    let writes: usize = std::fs::read_to_string(&count).expect("a count").trim().parse().expect("a number");

    let mut found = Matrix::default();
    for at in (1..=writes).step_by(every) {
        let database = folder.path().join(format!("{at}.db"));
        copy(&fresh, &database);
        let acknowledged = run(&database, &[], Some((at, how, &count)), &layer);
        let report = run(&database, &["look"], None, &layer);
        let faults = report.iter().find_map(|line| line.strip_prefix("faults "));
        let state = report.iter().find_map(|line| line.strip_prefix("state "));
        found.points += 1;
        found.acknowledged += acknowledged.len();
        found.broken += usize::from(faults != Some("[]"));
        // The last acknowledged state, or that state plus the step in progress.
        let last = acknowledged.len();
        let allowed = [steps.get(last.wrapping_sub(1)), steps.get(last)];
        let is = |step: &&String| step.split(' ').nth(1) == state;
        // Before the first step the database is empty.
        let is_initial = last == 0 && state.is_some_and(|state| steps[0].ends_with(state));
        found.lost += usize::from(!is_initial && !allowed.into_iter().flatten().any(|step| is(&step)));
        found.disagree += usize::from(state.is_none_or(|state| !state.ends_with("-0")));
        for ending in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{ending}", database.display()));
        }
    }
    found
}

/// Runs the program and returns the lines of its output.
fn run(
    database: &Path,
    arguments: &[&str],
    crash: Option<(usize, How, &PathBuf)>,
    layer: &Path,
) -> Vec<String> {
    let program = crate::program().with_file_name("memory_writer");
    let mut command = Command::new(&program);
    command.arg(database).args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
    if let Some((at, how, count)) = crash {
        let (name, seed) = match how {
            How::Kill => ("kill", 0),
            How::Torn => ("torn", 0),
            How::PowerAll => ("power", 0),
            How::PowerSome => ("power", at),
        };
        command.env("LD_PRELOAD", layer).env("CRASH_HOW", name).env("CRASH_SEED", seed.to_string());
        command.env("CRASH_AT", at.to_string()).env("CRASH_COUNT", count);
    }
    let output = command.output().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

fn copy(from: &Path, to: &Path) {
    for ending in ["", "-wal"] {
        let name = |path: &Path| PathBuf::from(format!("{}{ending}", path.display()));
        if name(from).exists() {
            std::fs::copy(name(from), name(to)).expect("a database can be copied");
        }
    }
}
