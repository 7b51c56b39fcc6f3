//! The tool `codebase` of Vestige: remembers patterns and decisions of a code base, and returns them.
//!
//! They are memories like others, of the kinds `pattern` and `decision`. Their project is the code base. Their text
//! contains all arguments, and a list of the files at its end.

use lar_base::{Problem, Timestamp};
use lar_memory::strength;
use lar_memory::{Item, ReadAccess};
use lar_store::{Memory, MemoryKind, MemoryList};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::mcp::ToolContext;

/// The number of patterns and of decisions without `limit`, and the maximum.
const LIMIT_DEFAULT: usize = 10;
const LIMIT_MAX: usize = 50;
/// The number of newest memories of each kind that are considered.
const NEWEST: u32 = 1000;
/// The most files and the most alternatives.
const LIST_MAX: usize = 100;
/// The tag of all memories that this tool saves.
const TAG: &str = "codebase";
/// The heading of the list of files in a text.
const FILES: &str = "Files:";

/// The arguments of the tool.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CodebaseArguments {
    action: String,
    name: Option<String>,
    description: Option<String>,
    decision: Option<String>,
    rationale: Option<String>,
    #[serde(default)]
    alternatives: Vec<String>,
    #[serde(default)]
    files: Vec<String>,
    #[serde(alias = "project")]
    codebase: Option<String>,
    limit: Option<usize>,
}

/// Calls the tool.
///
/// # Errors
/// [`lar_base::Code::InvalidParams`], naming the argument; errors of the memories.
pub(super) async fn call(context: &ToolContext<'_>, arguments: CodebaseArguments) -> Result<Value, Problem> {
    for (field, list) in [("files", &arguments.files), ("alternatives", &arguments.alternatives)] {
        if list.len() > LIST_MAX {
            return Err(Problem::invalid(field, format!("must have at most {LIST_MAX} items")));
        }
    }
    match arguments.action.as_str() {
        "remember_pattern" => {
            let name = line("name", arguments.name.as_deref())?;
            let content = pattern_text(&name, &text("description", arguments.description.as_deref())?);
            let id = save(context, MemoryKind::Pattern, content, arguments).await?;
            Ok(json!({
                "success": true, "action": "remember_pattern", "nodeId": id, "patternName": name,
                "message": format!("Pattern '{name}' remembered successfully"),
            }))
        }
        "remember_decision" => {
            let decision = text("decision", arguments.decision.as_deref())?;
            let rationale = text("rationale", arguments.rationale.as_deref())?;
            let content = decision_text(&decision, &rationale, &arguments.alternatives);
            let id = save(context, MemoryKind::Decision, content, arguments).await?;
            Ok(json!({
                "success": true, "action": "remember_decision", "nodeId": id,
                "message": "Architectural decision remembered successfully",
            }))
        }
        "get_context" => get_context(context, arguments).await,
        _ => Err(Problem::invalid("action", "must be remember_pattern, remember_decision or get_context")),
    }
}

/// Returns an argument that must have a text.
fn text(field: &str, value: Option<&str>) -> Result<String, Problem> {
    match value.map(str::trim) {
        None => Err(Problem::invalid(field, "is missing")),
        Some("") => Err(Problem::invalid(field, "must not be empty")),
        Some(text) => Ok(text.to_owned()),
    }
}

/// Returns an argument that must have a text, on one line.
fn line(field: &str, value: Option<&str>) -> Result<String, Problem> {
    Ok(one_line(&text(field, value)?))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn pattern_text(name: &str, description: &str) -> String {
    format!("Pattern: {name}\n\n{description}")
}

fn decision_text(decision: &str, rationale: &str, alternatives: &[String]) -> String {
    let mut content = format!("Decision: {decision}\n\nRationale: {rationale}");
    add_list(&mut content, "Alternatives considered:", alternatives);
    content
}

fn add_list(content: &mut String, heading: &str, items: &[String]) {
    let items = items.iter().map(|item| one_line(item)).filter(|item| !item.is_empty());
    for (at, item) in items.enumerate() {
        if at == 0 {
            content.push_str(&format!("\n\n{heading}"));
        }
        content.push_str(&format!("\n- {item}"));
    }
}

/// Saves a memory and returns its id.
async fn save(
    context: &ToolContext<'_>,
    kind: MemoryKind,
    mut content: String,
    arguments: CodebaseArguments,
) -> Result<String, Problem> {
    add_list(&mut content, FILES, &arguments.files);
    let item = Item {
        content,
        kind: Some(kind),
        tags: vec![TAG.into()],
        project: arguments.codebase.map(|name| line("codebase", Some(&name))).transpose()?,
        ..Item::default()
    };
    let writer = context.authorize_write().await?;
    let made = context.memories.ingest(&writer, item, None).await.map_err(|problem| {
        match problem.fields.first() {
            // The tool has another name for the project.
            Some(field) if field.field.ends_with("project") => {
                Problem::invalid("codebase", field.reason.clone())
            }
            _ => problem,
        }
    })?;
    Ok(made.memory.id.to_string())
}

async fn get_context(context: &ToolContext<'_>, arguments: CodebaseArguments) -> Result<Value, Problem> {
    let limit = arguments.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::invalid("limit", format!("must be between 1 and {LIMIT_MAX}")));
    }
    let reader = context.authorize_read().await?;
    let patterns = of_kind(context, &reader, MemoryKind::Pattern, &arguments, limit).await?;
    let decisions = of_kind(context, &reader, MemoryKind::Decision, &arguments, limit).await?;
    Ok(json!({
        "success": true, "action": "get_context", "codebase": arguments.codebase,
        "patterns": { "count": patterns.len(), "items": patterns },
        "decisions": { "count": decisions.len(), "items": decisions },
    }))
}

/// Returns the current memories of a kind that belong to the code base or concern one of the files: those that
/// concern a file first, then the strongest and newest ones.
async fn of_kind(
    context: &ToolContext<'_>,
    reader: &ReadAccess,
    kind: MemoryKind,
    arguments: &CodebaseArguments,
    limit: usize,
) -> Result<Vec<Value>, Problem> {
    let now = Timestamp::now();
    let list = MemoryList { kind: Some(kind), limit: NEWEST, ..MemoryList::default() };
    let mut found: Vec<(bool, Memory)> = context
        .memories
        .list(reader, list)
        .await?
        .into_iter()
        .filter(|memory| memory.superseded.is_none() && memory.valid_to.is_none_or(|to| to > now))
        .map(|memory| (arguments.files.iter().any(|file| concerns(&memory.content, file)), memory))
        .filter(|(concerns_file, memory)| {
            let wants_all = arguments.codebase.is_none() && arguments.files.is_empty();
            let is_of_codebase = arguments.codebase.as_deref().is_some_and(|name| is_of(memory, name));
            wants_all || is_of_codebase || *concerns_file
        })
        .collect();
    let retention = |memory: &Memory| strength::retrievability(&memory.strength, now);
    // The list is sorted by age and the sort is stable, so the newest of equal strength come first.
    found.sort_by(|(one_concerns, one), (other_concerns, other)| {
        let by_strength = || retention(other).total_cmp(&retention(one));
        other_concerns.cmp(one_concerns).then(other.pinned.cmp(&one.pinned)).then_with(by_strength)
    });
    found.truncate(limit);
    let show = |(_, memory): &(bool, Memory)| {
        json!({
            "id": memory.id.to_string(), "content": memory.content, "tags": memory.tags,
            "retentionStrength": retention(memory), "createdAt": memory.created_at.to_string(),
        })
    };
    Ok(found.iter().map(show).collect())
}

/// Returns whether a memory belongs to a code base: by its project, or by the tag that Vestige gave it.
fn is_of(memory: &Memory, codebase: &str) -> bool {
    let is_same = |name: &str| name.trim().to_lowercase() == codebase.trim().to_lowercase();
    let tags = || memory.tags.iter().filter_map(|tag| tag.strip_prefix("codebase:"));
    memory.project.as_deref().is_some_and(is_same) || tags().any(is_same)
}

/// Returns whether the lists of a text name a file, as a whole path or by the end of one.
fn concerns(content: &str, file: &str) -> bool {
    let file = file.trim().replace('\\', "/");
    let is_end = |long: &str, short: &str| {
        long == short || long.strip_suffix(short).is_some_and(|rest| rest.ends_with('/'))
    };
    let items = content.lines().filter_map(|line| line.trim().strip_prefix("- "));
    !file.is_empty()
        && items
            .map(|item| item.trim().replace('\\', "/"))
            .any(|item| !item.is_empty() && (is_end(&item, &file) || is_end(&file, &item)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_contain_all_arguments() {
        let mut content = decision_text("Use SQLite.", "One file.", &["Postgres".into(), " ".into()]);
        add_list(&mut content, FILES, &["src/store.rs".into()]);
        let expected = "Decision: Use SQLite.\n\nRationale: One file.\n\nAlternatives considered:\n- Postgres\n\n\
                        Files:\n- src/store.rs";
        assert_eq!(content, expected);
        assert_eq!(pattern_text("Errors", "Use one enum."), "Pattern: Errors\n\nUse one enum.");
    }

    #[test]
    fn files_are_found_by_their_whole_path_or_its_end() {
        let content = "Pattern: x\n\ny\n\nFiles:\n- crates/store/src/lib.rs\n- Makefile";
        for (file, found) in [
            ("crates/store/src/lib.rs", true),
            ("/home/me/lar/crates/store/src/lib.rs", true),
            ("src/lib.rs", true),
            ("ib.rs", false),
            ("web/lib.rs", false),
            ("C:\\lar\\Makefile", true),
            ("", false),
        ] {
            assert_eq!(concerns(content, file), found, "{file}");
        }
    }
}
