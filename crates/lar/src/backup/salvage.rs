//! `lar backup salvage`: saves what can still be read from a damaged database.
//!
//! Writes a new data directory that Lar can serve, and files for `lar conversations import` and `lar memory
//! import`. Does not change the damaged database. `lar_store::salvage` reads the rows.

mod companions;

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use lar_base::SpaceId;
use lar_base::shell::quote;
use lar_cli::Output;
use lar_store::backup::write_private;
use lar_store::salvage::{LogReport, Schema, Table, find_leftovers, remove_leftovers, salvage};
use lar_store::{Access, SpaceKind, Store};
use serde::Serialize;

use crate::config::Config;
use crate::data_dir::DataDir;
use crate::invocation;
use companions::SkippedFile;

/// The number of memories per read.
const PAGE: u32 = 200;

/// The JSON output of the command.
#[derive(Debug, Serialize)]
struct Report {
    /// The folder of the damaged database.
    damaged: PathBuf,
    folder: PathBuf,
    /// The schema of the saved rows.
    schema: Schema,
    tables: Vec<Table>,
    /// The number of pages with data that no other page refers to any more.
    unreached_pages: u64,
    /// The number of rows that referred to a lost row.
    unlinked: u64,
    /// The result of reading the write-ahead log.
    log: LogReport,
    /// Files beside the database that were skipped.
    left_out: Vec<SkippedFile>,
    exports: Vec<Export>,
}

/// An export file.
#[derive(Debug, Serialize)]
struct Export {
    file: PathBuf,
    lines: u64,
    import: String,
}

/// Saves what can be read from `database`, or from the data directory's database if it is `None`, into the
/// new folder `folder`.
///
/// # Errors
/// If nothing can be read, or the folder is not empty or cannot be written.
pub(super) async fn run(
    folder: &Path,
    database: Option<PathBuf>,
    config: &Config,
    output: &Output,
) -> anyhow::Result<()> {
    let (database, _lock) = match database {
        Some(database) => (database, None),
        None => {
            let data_dir = DataDir::lock(&config.data_dir)?;
            (data_dir.database(), Some(data_dir))
        }
    };
    ensure!(database.is_file(), "{} is missing, or not a regular file", database.display());
    let cannot = || format!("{} cannot be created", folder.display());
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(cannot)?;
    let new = folder.join("lar.db");
    // Check this before leftovers in the folder are removed.
    refuse_used(folder, &new)?;
    remove_leftovers(&database, &new)?;
    output.remark("Reading every row…");
    let saved =
        salvage(&database, &new).with_context(|| format!("{} cannot be salvaged", database.display()))?;
    let left_out = companions::copy(&database, folder)?;
    for file in &left_out {
        output.note(&file.text());
    }
    let lar = invocation::program();
    let exports = export(&Store::open(&new)?, folder, &lar).await?;
    let folder = std::path::absolute(folder)?;
    let damaged = std::path::absolute(database.parent().unwrap_or(Path::new(".")))?;
    let report = Report {
        damaged,
        folder,
        schema: saved.schema,
        tables: saved.tables,
        unreached_pages: saved.unreached_pages,
        unlinked: saved.unlinked,
        log: saved.log,
        left_out,
        exports,
    };
    output.show(&report, || screen(&report, &lar))
}

/// Refuses a folder that contains anything except the leftovers of a killed salvage into the new database
/// `new`.
fn refuse_used(folder: &Path, new: &Path) -> anyhow::Result<()> {
    let leftovers = find_leftovers(new);
    let cannot = || format!("{} cannot be read", folder.display());
    for entry in std::fs::read_dir(folder).with_context(cannot)? {
        ensure!(leftovers.contains(&entry?.path()), "{} is not empty: choose a new folder", folder.display());
    }
    Ok(())
}

fn screen(report: &Report, lar: &str) -> String {
    let mut lines = vec!["table: saved rows, lost rows".to_owned()];
    for table in report.tables.iter().filter(|table| table.saved + table.lost > 0 && !table.is_unreadable) {
        lines.push(format!("  {}: {}, {}", table.name, table.saved, table.lost));
    }
    for table in report.tables.iter().filter(|table| table.is_unreadable) {
        lines.push(format!("  {}: unreadable; its number of rows is unknown", table.name));
    }
    for table in report.tables.iter().filter(|table| table.unsearched > 0) {
        let gaps = counted(table.unsearched, "gap", "gaps");
        let verb = if table.unsearched == 1 { "was" } else { "were" };
        lines.push(format!(
            "{gaps} in {} {verb} not searched to the end: more rows may be there.",
            table.name
        ));
    }
    lines.extend(about_pages(report, lar));
    lines.extend(about_schema(&report.schema));
    if report.unlinked > 0 {
        lines.push(counted(
            report.unlinked,
            "row referred to a lost row; its reference was removed, or the row was skipped.",
            "rows referred to lost rows; their references were removed, or the rows were skipped.",
        ));
    }
    if let Some(reason) = &report.log.unreadable {
        lines.push(format!("The write-ahead log cannot be read ({reason}): the changes in it are missing."));
    }
    if report.log.is_incomplete {
        lines.push(
            "The write-ahead log ends with a transaction that cannot be read: the last change is missing."
                .into(),
        );
    }
    let skipped = &report.log.skipped_pages;
    if !skipped.is_empty() {
        let pages = counted(
            skipped.len() as u64,
            "page as it was last; salvage used an older version",
            "pages as they were last; salvage used older versions",
        );
        lines.push(format!("The write-ahead log has no readable version of {pages}."));
    }
    let (folder, damaged) = (quote(&report.folder), quote(&report.damaged));
    lines.push(format!(
        "{folder} is a data directory with the saved data. To look at it: {lar} --data-dir {folder} serve\n\
         To replace the damaged one: {lar} --data-dir {folder} backup create FILE, \
         then {lar} --data-dir {damaged} backup restore FILE\n\
         Or import parts of it into another Lar:"
    ));
    lines.extend(
        report
            .exports
            .iter()
            .map(|export| format!("  {}  ({})", export.import, counted(export.lines, "line", "lines"))),
    );
    lines.join("\n")
}

/// Renders notes on damaged and unreachable pages: rows may be missing that are not counted as lost. Returns
/// nothing if all pages are intact.
fn about_pages(report: &Report, lar: &str) -> Vec<String> {
    let damaged = report.tables.iter().filter(|table| table.damaged_pages > 0);
    let mut lines: Vec<String> = damaged
        .map(|table| {
            let pages = counted(table.damaged_pages, "damaged page", "damaged pages");
            format!("{}: {pages}; more rows may be missing than are counted as lost.", table.name)
        })
        .collect();
    if report.unreached_pages > 0 {
        let pages = counted(report.unreached_pages, "page with data", "pages with data");
        lines.push(format!(
            "Not reachable: {pages}; more rows of any table may be missing than are counted as lost."
        ));
    }
    if !lines.is_empty() {
        let damaged = quote(&report.damaged);
        lines.push(format!(
            "A backup from before the damage may have these rows: {lar} --data-dir {damaged} backup restore \
             FILE"
        ));
    }
    lines
}

/// Returns a number with the singular or plural of what is counted.
fn counted(number: u64, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}

/// Renders notes on the schema that was used. Returns nothing if nothing is unusual.
fn about_schema(schema: &Schema) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(in_header) = schema.in_header.filter(|number| *number != schema.number) {
        lines.push(format!(
            "The header has schema {in_header}, but the table definitions are those of schema {}, which was \
             used.",
            schema.number
        ));
    }
    if !schema.may_lack.is_empty() {
        lines.push(format!(
            "Too many definitions are damaged to rule out a schema newer than {}; if it is newer, these are \
             missing: {}.",
            schema.number,
            schema.may_lack.join(", ")
        ));
    }
    if !schema.unknown_tables.is_empty() {
        lines.push(format!(
            "Not saved, because Lar has no such tables: {}.",
            schema.unknown_tables.join(", ")
        ));
    }
    lines
}

/// Writes the conversations of every user and the memories of every space as export files.
async fn export(store: &Store, folder: &Path, lar: &str) -> anyhow::Result<Vec<Export>> {
    let mut exports = Vec::new();
    for person in store.user_list_with_removed().await? {
        let mut lines = Vec::new();
        for id in store.conversation_ids(person.id).await? {
            let found = store.conversation_get(person.id, id).await?;
            let messages = store.message_list(&found).await?;
            lines.push(serde_json::to_string(&lar_server::exports::conversation_line(
                found.get(),
                &messages,
            ))?);
        }
        let name = plain(&person.name);
        exports.extend(write(folder, &format!("conversations-{name}"), lines, |file| {
            format!("{lar} conversations import {file}")
        })?);
        for space in store.space_list(person.id).await? {
            if space.access != Access::Own {
                continue;
            }
            let (file, option) = match &space.kind {
                SpaceKind::Personal => (format!("memories-{name}"), String::new()),
                SpaceKind::Agent(agent) => (format!("memories-{name}-agent-{}", plain(agent)), String::new()),
                SpaceKind::Team(team) => {
                    (format!("memories-team-{}", plain(team)), format!(" --space {team}"))
                }
            };
            let lines = memories(store, space.id).await?;
            exports
                .extend(write(folder, &file, lines, |file| format!("{lar} memory import {file}{option}"))?);
        }
    }
    Ok(exports)
}

async fn memories(store: &Store, space: SpaceId) -> anyhow::Result<Vec<String>> {
    let (mut lines, mut after) = (Vec::new(), 0);
    loop {
        let page = store.memories_export(space, after, PAGE).await?;
        let Some(last) = page.last else { break };
        after = last;
        for moved in page.memories {
            lines.push(serde_json::to_string(&lar_server::exports::memory_line(moved)?)?);
        }
    }
    let mut after = None;
    loop {
        let page = store.intentions_export(space, after, PAGE).await?;
        let Some(last) = page.last else { return Ok(lines) };
        after = Some(last);
        for intention in page.intentions {
            lines.push(serde_json::to_string(&lar_server::exports::intention_line(intention))?);
        }
    }
}

/// Writes an export file, unless it would have no line.
fn write(
    folder: &Path,
    name: &str,
    lines: Vec<String>,
    import: impl FnOnce(String) -> String,
) -> anyhow::Result<Option<Export>> {
    if lines.is_empty() {
        return Ok(None);
    }
    let file = std::path::absolute(folder.join(format!("{name}.ndjson")))?;
    let text = lines.join("\n") + "\n";
    write_private(&file, text.as_bytes()).with_context(|| format!("{} cannot be written", file.display()))?;
    let import = import(quote(&file));
    Ok(Some(Export { file, lines: lines.len() as u64, import }))
}

/// Returns a name in a form that can be a part of a file name.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            damaged: "/data".into(),
            folder: "/saved".into(),
            schema: Schema {
                number: 15,
                in_header: Some(15),
                may_lack: Vec::new(),
                unknown_tables: Vec::new(),
            },
            tables: Vec::new(),
            unreached_pages: 0,
            unlinked: 0,
            log: LogReport::default(),
            left_out: Vec::new(),
            exports: Vec::new(),
        }
    }

    #[test]
    fn a_folder_with_nothing_but_leftovers_of_a_salvage_can_be_used() {
        let at = tempfile::tempdir().unwrap();
        let new = at.path().join("lar.db");
        assert!(refuse_used(at.path(), &new).is_ok());
        for name in ["lar.damaged-copy", "lar.unfinished-journal"] {
            std::fs::write(at.path().join(name), "left").unwrap();
        }
        assert!(refuse_used(at.path(), &new).is_ok());
        // A link is not a leftover, whatever its name.
        std::os::unix::fs::symlink("lar.unfinished-journal", at.path().join("lar.unfinished")).unwrap();
        let refused = refuse_used(at.path(), &new).unwrap_err().to_string();
        assert!(refused.ends_with("is not empty: choose a new folder"), "{refused}");
        assert_eq!(std::fs::read_dir(at.path()).unwrap().count(), 3, "nothing was removed");
    }

    #[test]
    fn pages_that_may_have_contained_rows_are_reported_as_text_and_json() {
        let table = |name: &str, damaged_pages: u64| Table {
            name: name.into(),
            saved: 5,
            lost: 0,
            unsearched: 0,
            damaged_pages,
            is_unreadable: false,
        };
        let whole = Report { tables: vec![table("keys", 0)], ..report() };
        assert!(!screen(&whole, "lar").contains("page"), "{}", screen(&whole, "lar"));
        let damaged =
            Report { tables: vec![table("keys", 0), table("users", 2)], unreached_pages: 3, ..report() };
        let shown = screen(&damaged, "lar");
        let start = shown.find("users: 2 damaged").expect("it is named");
        let about: Vec<&str> = shown[start..].lines().take(3).collect();
        let expected = [
            "users: 2 damaged pages; more rows may be missing than are counted as lost.",
            "Not reachable: 3 pages with data; more rows of any table may be missing than are counted as \
             lost.",
            "A backup from before the damage may have these rows: lar --data-dir /data backup restore FILE",
        ];
        assert_eq!(about, expected);
        let json = serde_json::to_value(&damaged).unwrap();
        assert_eq!(json["unreached_pages"], 3);
        assert_eq!(json["tables"][1]["damaged_pages"], 2);
    }

    #[test]
    fn a_count_of_one_is_in_the_singular() {
        let table = Table {
            name: "users".into(),
            saved: 1,
            lost: 1,
            unsearched: 1,
            damaged_pages: 1,
            is_unreadable: false,
        };
        let export = Export { file: "x".into(), lines: 1, import: "lar memory import x".into() };
        let one = Report {
            tables: vec![table],
            unreached_pages: 1,
            unlinked: 1,
            log: LogReport { skipped_pages: vec![7], ..LogReport::default() },
            exports: vec![export],
            ..report()
        };
        let shown = screen(&one, "lar");
        let expected = [
            "1 gap in users was not searched to the end: more rows may be there.",
            "users: 1 damaged page; more rows may be missing than are counted as lost.",
            "Not reachable: 1 page with data; more rows of any table may be missing than are counted as \
             lost.",
            "1 row referred to a lost row; its reference was removed, or the row was skipped.",
            "The write-ahead log has no readable version of 1 page as it was last; salvage used an older \
             version.",
            "  lar memory import x  (1 line)",
        ];
        for line in expected {
            assert!(shown.lines().any(|found| found == line), "{line}: {shown}");
        }
    }

    #[test]
    fn an_unusual_schema_is_reported() {
        assert!(!screen(&report(), "lar").contains("schema"));
        let schema = Schema {
            number: 14,
            in_header: Some(6),
            may_lack: vec!["erasures_to_clear".into()],
            unknown_tables: vec!["notes".into()],
        };
        let shown = screen(&Report { schema, ..report() }, "lar");
        for part in
            ["has schema 6", "of schema 14", "these are missing: erasures_to_clear", "such tables: notes"]
        {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }

    #[test]
    fn an_unreadable_log_is_reported_as_text_and_json() {
        let log =
            LogReport { unreadable: Some("Input/output error (os error 5)".into()), ..LogReport::default() };
        let report = Report { log, ..report() };
        let reason = "Input/output error (os error 5)";
        let expected =
            format!("The write-ahead log cannot be read ({reason}): the changes in it are missing.");
        let shown = screen(&report, "lar");
        assert!(shown.lines().any(|line| line == expected), "{shown}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["log"]["unreadable"], "Input/output error (os error 5)");
        let read = Report { log: LogReport::default(), ..report };
        assert!(!screen(&read, "lar").contains("write-ahead log"), "{}", screen(&read, "lar"));
    }
}
