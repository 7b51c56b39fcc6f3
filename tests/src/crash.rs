//! The crash matrix: a program that writes memories is ended at each of its writes, and what is there afterwards is
//! compared with what it had said to be on disk.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How a process is ended at a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Before it, as `kill -9` would.
    Kill,
    /// In the middle of it.
    Torn,
    /// Before it, with all writes lost that were not synced.
    PowerAll,
    /// The same, with about half of them lost.
    PowerSome,
}

/// What the matrix found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Matrix {
    /// Writes at which the process was ended.
    pub points: usize,
    /// Steps that were acknowledged before an end, over all points.
    pub acknowledged: usize,
    /// Points after which what is there is neither what was acknowledged last nor that and the step under way.
    pub lost: usize,
    /// Points after which a memory's passages are not those of its text.
    pub disagree: usize,
    /// Points after which the database was not sound.
    pub broken: usize,
}

/// Ends the program at every `every`-th write.
///
/// # Panics
/// When the fault layer cannot be built or the program does not run without it.
#[must_use]
pub fn matrix(how: How, every: usize) -> Matrix {
    let folder = tempfile::tempdir().expect("a directory can be made");
    let layer = folder.path().join("crash.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/faults/crash.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&layer)
        .arg(source)
        .arg("-ldl")
        .status();
    assert!(built.is_ok_and(|status| status.success()), "the fault layer is built by cc");

    // A database of the newest schema, so that no point is spent on making it.
    let fresh = folder.path().join("fresh.db");
    let _ = run(&fresh, &["look"], None, &layer);
    let whole = folder.path().join("whole.db");
    copy(&fresh, &whole);
    let count = folder.path().join("count");
    let steps = run(&whole, &[], Some((0, how, &count)), &layer);
    assert!(steps.len() > 5, "the program runs to its end: {steps:?}");
    let writes: usize = std::fs::read_to_string(&count).expect("a count").trim().parse().expect("a number");

    let mut found = Matrix::default();
    for at in (1..=writes).step_by(every) {
        let database = folder.path().join(format!("{at}.db"));
        copy(&fresh, &database);
        let said = run(&database, &[], Some((at, how, &count)), &layer);
        let there = run(&database, &["look"], None, &layer);
        let faults = there.iter().find_map(|line| line.strip_prefix("faults "));
        let state = there.iter().find_map(|line| line.strip_prefix("state "));
        found.points += 1;
        found.acknowledged += said.len();
        found.broken += usize::from(faults != Some("[]"));
        // What it said last, or that with the step that was under way.
        let last = said.len();
        let may_be = [steps.get(last.wrapping_sub(1)), steps.get(last)];
        let is = |step: &&String| step.split(' ').nth(1) == state;
        // Before anything was said nothing was there.
        let is_initial = last == 0 && state.is_some_and(|state| steps[0].ends_with(state));
        found.lost += usize::from(!is_initial && !may_be.into_iter().flatten().any(|step| is(&step)));
        found.disagree += usize::from(state.is_none_or(|state| !state.ends_with("-0")));
        for ending in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{ending}", database.display()));
        }
    }
    found
}

/// The lines that the program wrote.
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
