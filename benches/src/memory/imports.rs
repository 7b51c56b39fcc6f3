//! The parts of exports of other programs that `lar memory import` keeps.
//!
//! For each format, an export with known parts is written: texts, links, tags and times, each with a number of its
//! own, and parts that are no memories. After the real import into a new Lar, each part must be in the stored
//! memories or in the report. A part in neither is lost.

mod formats;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use lar_base::Instant;
use lar_tests::Lar;
use serde_json::Value;

use crate::progress::progress;

/// A part of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum PartKind {
    /// A sentence, which must be in the text of a memory.
    Text,
    /// A link or a relation, which must be in the text.
    Link,
    /// A tag or another field, which must be in the tags, in another field or in the text.
    Label,
    /// A time, which must be the time of a memory.
    Time,
    /// A part that is no memory, which the report must name.
    Named,
}

const KINDS: [PartKind; 5] =
    [PartKind::Text, PartKind::Link, PartKind::Label, PartKind::Time, PartKind::Named];

/// An export with known parts.
#[derive(Debug, Default)]
struct Export {
    /// The path of the file or the folder.
    path: PathBuf,
    /// The arguments of the import after the path.
    arguments: Vec<&'static str>,
    parts: Vec<(PartKind, String)>,
}

impl Export {
    fn new(path: &Path, arguments: &[&'static str]) -> Self {
        Self { path: path.to_owned(), arguments: arguments.to_vec(), parts: Vec::new() }
    }

    fn part(&mut self, kind: PartKind, text: impl Into<String>) {
        self.parts.push((kind, text.into()));
    }
}

/// Imports an export of each format and counts its parts afterwards.
pub(crate) fn measure() -> anyhow::Result<String> {
    let mut table = String::from(
        "Exports with known parts, each imported into a new Lar by `lar memory import`. *Named*: parts that are no\n\
         memories, such as attachments, secrets and bad lines, and that the report names. *Lost*: parts that are\n\
         neither stored nor named; there must be none. *Dry run*: whether its numbers were those of the import.\n\
         *Seconds*: the import, in a Lar without an embedder.\n\n\
         | format | memories | texts | links | tags and fields | times | named | lost | dry run | seconds |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut reasons = String::new();
    for (name, write) in formats::ALL {
        progress(&format!("  {name}"));
        let folder = tempfile::tempdir()?;
        let export = write(folder.path())?;
        let result = import(&export).with_context(|| name)?;
        let cells: Vec<String> = KINDS.iter().map(|kind| result.cell(*kind)).collect();
        writeln!(
            table,
            "| {name} | {} | {} | **{}** | {} | {:.2} |",
            result.memories,
            cells.join(" | "),
            result.lost.len(),
            if result.is_dry_run_right { "equal" } else { "**differs**" },
            result.seconds
        )?;
        let shown: Vec<String> =
            result.reasons.iter().map(|(reason, number)| format!("{reason}: {number}")).collect();
        writeln!(
            reasons,
            "- {name}: {}",
            if shown.is_empty() { "nothing".into() } else { shown.join("; ") }
        )?;
        for lost in &result.lost {
            progress(&format!("    lost: {lost}"));
        }
    }
    Ok(format!("{table}\nNamed in the reports, with the number of each:\n\n{reasons}"))
}

/// The result of an import.
struct Imported {
    memories: usize,
    /// The parts of each kind: found, and all.
    counts: BTreeMap<PartKind, (usize, usize)>,
    lost: Vec<String>,
    reasons: BTreeMap<String, usize>,
    is_dry_run_right: bool,
    seconds: f64,
}

impl Imported {
    fn cell(&self, kind: PartKind) -> String {
        match self.counts.get(&kind) {
            Some((found, all)) => format!("{found} of {all}"),
            None => "–".into(),
        }
    }
}

fn import(export: &Export) -> anyhow::Result<Imported> {
    let lar = Lar::start_without_models();
    let dry_run = run(&lar, export, &["--dry-run"])?;
    let started_at = Instant::now();
    let report = run(&lar, export, &[])?;
    let seconds = started_at.elapsed().as_secs_f64();
    let exported = lar.get("/lar/v1/memories/export");
    anyhow::ensure!(exported.status == 200, "{}", exported.body);
    let stored = exported.body.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let stored = Stored::of(&stored);
    let mut notices = Vec::new();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for list in ["skipped", "refused", "failed"] {
        for notice in report[list].as_array().into_iter().flatten() {
            let text = |field: &str| notice[field].as_str().unwrap_or_default().to_owned();
            let line = notice["line"].as_u64().map(|line| format!("line {line}")).unwrap_or_default();
            notices.push(format!("|{}|{line}|{}|{}|", text("file"), text("item"), text("reason")));
            *reasons.entry(format!("{list}, {}", text("reason"))).or_default() += 1;
        }
    }
    let (mut counts, mut lost): (BTreeMap<PartKind, (usize, usize)>, Vec<String>) = Default::default();
    for (kind, text) in &export.parts {
        let is_found = match kind {
            PartKind::Named => notices.iter().any(|notice| notice.contains(text.as_str())),
            _ => stored.has(*kind, text),
        };
        let count = counts.entry(*kind).or_default();
        *count = (count.0 + usize::from(is_found), count.1 + 1);
        if !is_found {
            lost.push(format!("{kind:?} {text}"));
        }
    }
    let numbers = |report: &Value| {
        let counts = ["read", "new", "unchanged"].map(|name| report[name].as_u64());
        let lists = ["refused", "skipped", "failed"].map(|name| report[name].as_array().map(Vec::len));
        (counts, lists)
    };
    let memories = report["new"].as_u64().unwrap_or_default() as usize;
    let is_dry_run_right = numbers(&dry_run) == numbers(&report);
    Ok(Imported { memories, counts, lost, reasons, is_dry_run_right, seconds })
}

/// Runs the import and returns its report.
fn run(lar: &Lar, export: &Export, more: &[&str]) -> anyhow::Result<Value> {
    let path = export.path.display().to_string();
    let done =
        lar.cli(&[&["--json", "memory", "import", path.as_str()], &export.arguments[..], more].concat());
    serde_json::from_slice(&done.stdout)
        .with_context(|| format!("no report: {}", String::from_utf8_lossy(&done.stderr)))
}

/// The fields of all stored memories.
struct Stored {
    texts: String,
    labels: String,
    times: Vec<String>,
}

impl Stored {
    fn of(memories: &[Value]) -> Self {
        let mut stored = Self { texts: String::new(), labels: String::new(), times: Vec::new() };
        for line in memories {
            // A line can be a reminder.
            let memory = if line["intention"].is_object() { &line["intention"] } else { line };
            let text = |field: &str| memory[field].as_str().unwrap_or_default();
            stored.texts.push_str(&format!("{}\n", text("content")));
            for tag in memory["tags"].as_array().into_iter().flatten() {
                stored.labels.push_str(&format!("{}\n", tag.as_str().unwrap_or_default()));
            }
            for field in ["source", "project", "conversation", "message", "kind"] {
                stored.labels.push_str(&format!("{}\n", text(field)));
            }
            let times = ["occurred_at", "valid_from", "valid_to"].map(|field| text(field).to_owned());
            stored.times.extend(times.into_iter().filter(|time| !time.is_empty()));
        }
        stored
    }

    fn has(&self, kind: PartKind, part: &str) -> bool {
        match kind {
            PartKind::Text | PartKind::Link => self.texts.contains(part),
            PartKind::Label => self.labels.contains(part) || self.texts.contains(part),
            PartKind::Time => self.times.iter().any(|time| time.starts_with(part)),
            PartKind::Named => false,
        }
    }
}
