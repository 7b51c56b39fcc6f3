//! Renders memories for a terminal.

use lar_api::memories::{
    IngestDecision, IngestResult, Memory, MemoryChange, MemoryStats, NeighbourSide, SearchResult,
    SmartIngestResult, WrittenMemory,
};

use crate::output::{plain, size, table};

/// The maximum number of characters of a memory in a list.
const LINE_CHARS: usize = 80;

pub(super) fn render_ingested(made: &IngestResult) -> String {
    let mut rendered = if made.created { "Saved" } else { "Already saved" }.to_owned();
    rendered.push_str(&format!(" as {}.", made.memory.id));
    if !made.redacted.is_empty() {
        rendered.push_str(&format!("\nRemoved secrets: {}.", made.redacted.join(", ")));
    }
    if let Some(reason) = &made.unembedded {
        rendered.push_str(&format!("\nFound by keywords only until embedded: {reason}"));
    }
    rendered
}

pub(super) fn render_decision(decided: &SmartIngestResult, lar: &str) -> String {
    let id = decided.memory.as_ref().map(|memory| memory.id.as_str()).unwrap_or_default();
    let mut rendered = match decided.decision {
        IngestDecision::Reject => format!("Not saved: {}.", decided.reason.as_deref().unwrap_or_default()),
        IngestDecision::Reinforce => format!("Already saved as {id}; strengthened."),
        IngestDecision::Update => format!("Updated {id}."),
        IngestDecision::Merge => format!("Merged into {id}."),
        IngestDecision::Create | IngestDecision::Supersede => format!("Saved as {id}."),
        IngestDecision::Unknown if id.is_empty() => "Not saved.".into(),
        IngestDecision::Unknown => format!("The text is now in {id}."),
    };
    if let Some(known) = decided
        .against
        .as_ref()
        .filter(|known| decided.decision != IngestDecision::Reinforce && known.id != id)
    {
        let known = known.content.as_ref().unwrap_or(&known.id);
        match &decided.link {
            Some(link) => rendered.push_str(&format!(
                "\nMay replace: {}\nTo replace it: {lar} memory links replace {}",
                plain(known),
                link.id
            )),
            None => rendered.push_str(&format!("\nSupersedes: {}", plain(known))),
        }
    }
    for part in &decided.diff {
        let sign = match part.change.as_str() {
            "removed" => "−",
            "added" => "+",
            _ => continue,
        };
        rendered.push_str(&format!("\n  {sign} {}", plain(part.text.trim())));
    }
    if decided.against.is_some() {
        rendered.push_str(&format!("\nTo undo: {lar} memory undo {id}"));
    }
    if !decided.redacted.is_empty() {
        rendered.push_str(&format!("\nRemoved secrets: {}.", decided.redacted.join(", ")));
    }
    if let Some(reason) = &decided.unembedded {
        rendered.push_str(&format!("\nFound by keywords only until embedded: {reason}"));
    }
    rendered
}

pub(super) fn results(results: &[SearchResult], why: bool) -> String {
    if results.is_empty() {
        return "No memories found.".into();
    }
    let rendered = results.iter().map(|result| {
        let day = result.occurred_at.as_deref().unwrap_or(&result.created_at);
        let mut rendered = format!("{}  {}  {}", &day[..day.len().min(10)], result.kind, result.id);
        if !result.tags.is_empty() {
            rendered.push_str(&format!("  {}", plain(&result.tags.join(", "))));
        }
        if let Some(source) = &result.source {
            rendered.push_str(&format!("  from {}", plain(source)));
        }
        for neighbour in result.neighbours.iter().filter(|neighbour| neighbour.side == NeighbourSide::Before)
        {
            rendered.push_str(&format!("\n  … {}", plain(&neighbour.content)));
        }
        for line in result.content.lines() {
            rendered.push_str(&format!("\n  {}", plain(line)));
        }
        if result.truncated {
            rendered.push_str(" …");
        }
        if let Some(before) = &result.supersedes {
            let until: String = before.until.chars().take(10).collect();
            rendered.push_str(&format!("\n  (until {until}: {})", plain(&before.content)));
        }
        if result.possibly_outdated {
            rendered.push_str("\n  (possibly outdated)");
        }
        for neighbour in result.neighbours.iter().filter(|neighbour| neighbour.side == NeighbourSide::After) {
            rendered.push_str(&format!("\n  … {}", plain(&neighbour.content)));
        }
        if why {
            let parts = &result.parts;
            let reranked = parts.relevance.map_or(String::new(), |given| format!("reranked {given:.2}, "));
            let embedding = parts.similarity.map_or("none".into(), |score| format!("{score:.2}"));
            rendered.push_str(&format!(
                "\n  score {:.2}: {reranked}keywords {:.2}, embedding {embedding}, retrievability {:.2}, \
                 recency {:.2}",
                result.score, parts.keyword, parts.retrievability, parts.recency
            ));
        }
        rendered
    });
    rendered.collect::<Vec<_>>().join("\n\n")
}

/// Renders one line per memory. A key without the scope `memory:read` gets only ids and days.
pub(super) fn list(memories: impl Iterator<Item = WrittenMemory>) -> String {
    let rows = memories.map(|memory| {
        let day = memory.occurred_at.as_ref().or(memory.created_at.as_ref()).or(memory.updated_at.as_ref());
        let day: String = day.map(|day| day.chars().take(10).collect()).unwrap_or_default();
        let kind = memory.kind.map(|kind| kind.to_string()).unwrap_or_default();
        let (summary, tags) = (summary(&memory), memory.tags.unwrap_or_default());
        vec![memory.id, day, kind, plain(&tags.join(",")), summary]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    if rows.is_empty() {
        return "No memories.".into();
    }
    table(&["id", "day", "kind", "tags", "memory"], rows)
}

pub(super) fn render_memory(memory: &Memory, history: &[MemoryChange]) -> String {
    let mut rows = vec![vec!["id".into(), memory.id.clone()], vec!["kind".into(), memory.kind.to_string()]];
    let mut row = |name: &str, value: &Option<String>| {
        if let Some(value) = value {
            rows.push(vec![name.into(), plain(value)]);
        }
    };
    row("source", &memory.source);
    row("project", &memory.project);
    row("occurred", &memory.occurred_at);
    row("valid from", &memory.valid_from);
    row("valid until", &memory.valid_to);
    row("superseded by", &memory.superseded_by);
    row("deleted", &memory.deleted_at);
    row("written by", &Some(memory.written_by.clone()));
    let strength = if memory.pinned {
        "pinned, does not decay".into()
    } else {
        format!(
            "retrievability {:.0}%, stability {:.1} days",
            memory.retrievability * 100.0,
            memory.stability
        )
    };
    row("strength", &Some(strength));
    if !memory.tags.is_empty() {
        row("tags", &Some(memory.tags.join(", ")));
    }
    let changes = history.iter().map(|change| {
        let undone = if change.undone_by.is_some() { "undone" } else { "" };
        let reason = change.reason.as_deref().map(plain).unwrap_or_default();
        vec![change.at.chars().take(19).collect(), change.action.clone(), reason, undone.into()]
    });
    let content: Vec<String> = memory.content.lines().map(plain).collect();
    format!(
        "{}\n\n{}\n\n{}",
        content.join("\n"),
        table(&["", ""], rows).trim_start(),
        table(&["when", "what", "why", ""], changes)
    )
}

pub(super) fn strength(what: &str, memory: &WrittenMemory) -> String {
    match memory.stability {
        Some(days) => format!("{what}: the stability is now {days:.1} days."),
        None => format!("{what}."),
    }
}

pub(super) fn render_stats(stats: &MemoryStats) -> String {
    table(
        &["memories>", "superseded>", "pinned>", "deleted>", "passages>", "not embedded>", "index size>"],
        [vec![
            stats.memories.to_string(),
            stats.superseded.to_string(),
            stats.pinned.to_string(),
            stats.deleted.to_string(),
            stats.chunks.to_string(),
            stats.chunks_without_embeddings.to_string(),
            size(stats.index_bytes),
        ]],
    )
}

/// Renders the start of a memory on one line, marked if it is superseded.
fn summary(memory: &WrittenMemory) -> String {
    let mark = if memory.superseded_by.is_some() { "(superseded) " } else { "" };
    format!("{mark}{}", line(memory.content.as_deref().unwrap_or_default()))
}

/// Returns the start of a text on one line.
fn line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let whole = plain(&words.join(" "));
    if whole.chars().count() <= LINE_CHARS {
        return whole;
    }
    whole.chars().take(LINE_CHARS - 1).chain(['…']).collect()
}
