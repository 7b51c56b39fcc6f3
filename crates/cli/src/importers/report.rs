//! The report of an import: how many memories are new, and each item that was not imported, with the reason.
//!
//! A dry run has the same report. An import succeeds if everything was read, also if the server refused some
//! memories. It fails if a file or a line could not be read, or if the server refused everything.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::Output;
use crate::output::counted;

/// The number of skipped items per reason that the report names. The JSON output names all.
const SHOWN_PER_REASON: usize = 5;

/// The number of failures that an error names.
const FAILED_SHOWN: usize = 100;

/// The place of an item in an export.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Location {
    /// The file, relative to the folder that is imported.
    file: String,
    /// The line, starting at 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// The item in the file, such as `item 3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<String>,
}

impl Location {
    /// Creates the location of a file.
    pub(crate) fn file(name: impl Into<String>) -> Self {
        Self { file: name.into(), line: None, item: None }
    }

    /// Returns the location of a line of the file.
    pub(crate) fn line(&self, number: usize) -> Self {
        Self { line: Some(number), ..self.clone() }
    }

    /// Returns the location of an item of the file.
    pub(crate) fn item(&self, name: impl Into<String>) -> Self {
        Self { item: Some(name.into()), ..self.clone() }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        self.item.iter().try_for_each(|item| write!(f, ", {item}"))
    }
}

/// An item that was not imported, or not as it is, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Notice {
    #[serde(flatten)]
    pub(crate) location: Location,
    pub(crate) reason: String,
}

/// The report of an import or of its dry run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ImportReport {
    pub(crate) dry_run: bool,
    /// The number of memories in the export.
    pub(crate) read: usize,
    #[serde(rename = "new")]
    pub(crate) created: usize,
    /// The number of changed memories; `None` for an import that changes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) changed: Option<usize>,
    pub(crate) unchanged: usize,
    /// The memories that the server refused.
    pub(crate) refused: Vec<Notice>,
    /// The items that are no memories, or that could not be kept.
    pub(crate) skipped: Vec<Notice>,
    /// The files and lines that could not be read.
    pub(crate) failed: Vec<Notice>,
}

/// The JSON output of an import.
#[derive(Debug, Serialize)]
struct ReportWithOldNames<'a> {
    #[serde(flatten)]
    report: &'a ImportReport,
    /// Deprecated: use `new`.
    made: usize,
    /// Deprecated: use `new`.
    imported: usize,
    /// Deprecated: use `skipped` and `refused`.
    left_out: BTreeMap<&'a str, usize>,
}

impl ImportReport {
    /// Prints the report of the import of `shown`, with `preview` below it.
    ///
    /// # Errors
    /// As [`ImportReport::check`]; if standard output is closed.
    pub(crate) fn finish(self, output: &Output, shown: &str, preview: &[String]) -> anyhow::Result<()> {
        output.show(&self.with_old_names(), || self.render(shown, preview))?;
        self.check(shown)
    }

    /// Checks that everything was read, and that the server did not refuse all of it.
    ///
    /// # Errors
    /// With each file and line that could not be read.
    pub(crate) fn check(&self, shown: &str) -> anyhow::Result<()> {
        if !self.failed.is_empty() {
            let named = self.failed.iter().take(FAILED_SHOWN).map(|one| format!("\n  {}", one.render()));
            let mut lines: Vec<String> = named.collect();
            if self.failed.len() > FAILED_SHOWN {
                lines.push(format!("\n  and {} more (--json names all)", self.failed.len() - FAILED_SHOWN));
            }
            let number = counted(self.failed.len(), "item", "items");
            anyhow::bail!("{number} of {shown} could not be imported:{}", lines.concat());
        }
        let imported = self.created + self.changed.unwrap_or(0) + self.unchanged;
        anyhow::ensure!(
            imported > 0 || self.refused.is_empty(),
            "Lar refuses every memory of {shown}; the reasons are above"
        );
        Ok(())
    }

    /// Prints the report of an import that an error has stopped, and returns the error. What was imported before
    /// stays imported. If nothing was, and after a dry run, there is only the error.
    pub(crate) fn stop(self, output: &Output, shown: &str, error: anyhow::Error) -> anyhow::Error {
        let done = self.created + self.changed.unwrap_or(0) + self.unchanged + self.refused.len();
        if self.dry_run || done == 0 {
            return error;
        }
        let error = error.context("the import stopped; run it again to import the rest");
        match self.finish(output, shown, &[]) {
            Ok(()) => error,
            Err(unread) => error.context(unread),
        }
    }

    /// Returns the JSON output, with the names that it had before for one release.
    fn with_old_names(&self) -> ReportWithOldNames<'_> {
        let mut left_out = BTreeMap::new();
        for one in &self.skipped {
            *left_out.entry(one.reason.as_str()).or_default() += 1;
        }
        if !self.refused.is_empty() {
            left_out.insert("rejected by Lar", self.refused.len());
        }
        ReportWithOldNames { report: self, made: self.created, imported: self.created, left_out }
    }

    fn render(&self, shown: &str, preview: &[String]) -> String {
        let start = if self.dry_run { "Dry run, nothing is changed. " } else { "Imported " };
        let mut counts = vec![format!("{} read", self.read), format!("{} new", self.created)];
        counts.extend(self.changed.map(|changed| format!("{changed} changed")));
        counts.push(format!("{} unchanged", self.unchanged));
        for (number, name) in
            [(self.refused.len(), "refused"), (self.skipped.len(), "skipped"), (self.failed.len(), "failed")]
        {
            if number > 0 {
                counts.push(format!("{number} {name}"));
            }
        }
        let mut lines = vec![format!("{start}{shown}: {}.", counts.join(", "))];
        if !self.refused.is_empty() {
            lines.push("Refused:".into());
            lines.extend(self.refused.iter().map(|one| format!("  {}", one.render())));
        }
        if !self.skipped.is_empty() {
            lines.push("Skipped:".into());
            lines.extend(self.skipped_by_reason());
        }
        if !preview.is_empty() {
            lines.push("New:".into());
            lines.extend(preview.iter().map(|line| format!("  {line}")));
        }
        lines.join("\n")
    }

    fn skipped_by_reason(&self) -> Vec<String> {
        let mut by_reason: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for one in &self.skipped {
            by_reason.entry(&one.reason).or_default().push(one.location.to_string());
        }
        let line = |(reason, locations): (&str, Vec<String>)| {
            let named = locations[..locations.len().min(SHOWN_PER_REASON)].join("; ");
            let more = match locations.len().saturating_sub(SHOWN_PER_REASON) {
                0 => String::new(),
                more => format!("; and {more} more (--json names all)"),
            };
            format!("  {} {reason}: {named}{more}", locations.len())
        };
        by_reason.into_iter().map(line).collect()
    }
}

impl Notice {
    fn render(&self) -> String {
        format!("{}: {}", self.location, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(location: Location, reason: &str) -> Notice {
        Notice { location, reason: reason.into() }
    }

    fn report() -> ImportReport {
        let file = Location::file("mem0.json");
        let skipped = (1..=7).map(|number| notice(file.item(format!("item {number}")), "without text"));
        ImportReport {
            read: 4,
            created: 2,
            unchanged: 1,
            refused: vec![notice(file.item("item 9"), "`content` contains what looks like a secret")],
            skipped: skipped.chain([notice(file.line(3), "deleted")]).collect(),
            ..ImportReport::default()
        }
    }

    #[test]
    fn a_report_names_each_refused_item_and_the_reasons_of_skipped_ones() {
        let expected = "Imported mem0.json: 4 read, 2 new, 1 unchanged, 1 refused, 8 skipped.\n\
            Refused:\n  mem0.json, item 9: `content` contains what looks like a secret\n\
            Skipped:\n  1 deleted: mem0.json, line 3\n  7 without text: mem0.json, item 1; mem0.json, item 2; \
            mem0.json, item 3; mem0.json, item 4; mem0.json, item 5; and 2 more (--json names all)";
        assert_eq!(report().render("mem0.json", &[]), expected);
        let dry_run = ImportReport { dry_run: true, refused: Vec::new(), skipped: Vec::new(), ..report() };
        assert_eq!(
            dry_run.render("mem0.json", &["Likes tea".into()]),
            "Dry run, nothing is changed. mem0.json: 4 read, 2 new, 1 unchanged.\nNew:\n  Likes tea"
        );
    }

    #[test]
    fn an_import_fails_if_something_was_not_read_or_everything_was_refused() {
        let output = Output { json: true, terminal: false };
        assert!(report().finish(&output, "mem0.json", &[]).is_ok(), "a refusal alone is no failure");
        let failed = vec![notice(Location::file("a.md"), "it is not UTF-8 text")];
        let error = ImportReport { failed, ..report() }.finish(&output, "notes", &[]).unwrap_err();
        assert_eq!(error.to_string(), "1 item of notes could not be imported:\n  a.md: it is not UTF-8 text");
        let refused = ImportReport { created: 0, unchanged: 0, ..report() };
        assert!(refused.finish(&output, "mem0.json", &[]).is_err());
        assert!(ImportReport::default().finish(&output, "empty.json", &[]).is_ok());
    }

    #[test]
    fn the_json_report_names_files_lines_and_items() {
        let value = serde_json::to_value(report().with_old_names()).unwrap();
        assert_eq!((&value["made"], &value["imported"]), (&value["new"], &value["new"]));
        assert_eq!(
            value["left_out"],
            serde_json::json!({ "deleted": 1, "rejected by Lar": 1, "without text": 7 })
        );
        assert_eq!((&value["new"], &value["changed"]), (&2.into(), &serde_json::Value::Null));
        assert_eq!(value["skipped"][0]["item"], "item 1");
        assert_eq!(
            (&value["skipped"][7]["line"], &value["skipped"][7]["file"]),
            (&3.into(), &"mem0.json".into())
        );
    }
}
