//! `GET /lar/v1/memories/export` and `POST /lar/v1/memories/import`: memories as JSON lines, with embeddings,
//! history and links, and intentions.

mod intentions;

use std::collections::VecDeque;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::stream;
use lar_api::conversations::ImportResult;
use lar_api::memories::{
    ExportedChange, ExportedIntentionLine, ExportedLine, ExportedLink, ExportedMemory, ExportedPassage,
};
use lar_base::{Problem, SpaceId, Timestamp};
use lar_memory::{Export, ImportLine, Memories};
use lar_store::{
    ChangeRecord, Embedder, LinkRelation, LinkResolution, Memory, MemoryLink, NewChunk, Provenance, Strength,
    Vectors,
};

pub use self::intentions::intention_line;
pub(super) use self::intentions::is_intention;
use self::intentions::parse_intention;
use super::access::Writing;
use super::parse::parse_kind;
use crate::auth::Authenticated;
use crate::body_limits::BodyReceiver;
use crate::errors::Failure;
use crate::extract::{self, LineReaders};
use crate::memory_headers::requested_scope;

/// Export memories
///
/// Streams the memories of the space that the headers select, or of the user's own space, as JSON lines. The
/// export includes deleted memories, and each memory's embeddings, history and links to older memories. After the
/// memories, it has a line for each intention: an object with the only field `intention`.
#[utoipa::path(get, path = "/lar/v1/memories/export", tag = "memories",
    params(("x-agent-id" = Option<String>, Header), ("x-space" = Option<String>, Header)),
    responses((status = 200, content_type = "application/x-ndjson", body = ExportedLine)))]
pub(crate) async fn export(
    State(memories): State<Memories>,
    Authenticated(caller): Authenticated,
    request: Request,
) -> Result<Response, Failure> {
    let export = memories.export(caller, requested_scope(request.headers())?).await?;
    let lines = ExportLines { export, read: VecDeque::new(), part: Part::Memories };
    let kind = [
        (header::CONTENT_TYPE, extract::JSON_LINES),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"memories.ndjson\""),
    ];
    Ok((kind, Body::from_stream(stream::try_unfold(lines, ExportLines::next))).into_response())
}

/// Import memories
///
/// Adds exported memories and intentions to the space that the headers select, or to the user's own space. Those
/// that exist there stay unchanged. Restores the links between memories that exist afterwards. Imports all lines or
/// none.
#[utoipa::path(post, path = "/lar/v1/memories/import", tag = "memories",
    request_body(content = ExportedLine, content_type = "application/x-ndjson"),
    params(("x-agent-id" = Option<String>, Header), ("x-space" = Option<String>, Header)),
    responses((status = 200, body = ImportResult), (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn import(
    State(memories): State<Memories>,
    State(receiver): State<BodyReceiver>,
    Writing(writer): Writing,
    request: Request,
) -> Result<axum::Json<ImportResult>, Failure> {
    let space = writer.space();
    let readers = LineReaders {
        convert: |line| import_memory(space, line),
        is_other: is_intention,
        convert_other: |line| import_intention(space, line),
    };
    let read = extract::json_lines_of_two_kinds(request, &receiver, readers).await?;
    let all = read.len();
    let imported = memories.import(&writer, read).await?;
    Ok(axum::Json(ImportResult { imported, unchanged: all - imported }))
}

/// Parses a line with a memory.
pub(super) fn import_memory(space: SpaceId, line: ExportedMemory) -> Result<ImportLine, Problem> {
    Ok(ImportLine::Memory(Box::new(parse_memory(space, line)?)))
}

/// Parses a line with an intention.
pub(super) fn import_intention(space: SpaceId, line: ExportedIntentionLine) -> Result<ImportLine, Problem> {
    Ok(ImportLine::Intention(Box::new(parse_intention(space, line)?)))
}

/// A part of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Memories,
    Intentions,
    End,
}

/// The lines of an export. The memories and the intentions are read one page at a time.
struct ExportLines {
    export: Export,
    read: VecDeque<Bytes>,
    part: Part,
}

impl ExportLines {
    /// Returns the next line. If memories or intentions could not be read, a last line states how many.
    ///
    /// # Errors
    /// When a page cannot be read. This aborts the connection, so that no caller mistakes a part for the
    /// whole.
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, axum::BoxError> {
        loop {
            if let Some(line) = self.read.pop_front() {
                return Ok(Some((line, self)));
            }
            let page = match self.part {
                Part::Memories => self.memory_lines().await,
                Part::Intentions => self.intention_lines().await,
                Part::End => return Ok(None),
            };
            self.read = page.inspect_err(|error| tracing::error!(%error, "an export failed"))?;
            if self.read.is_empty() {
                self.part = match self.part {
                    Part::Memories => Part::Intentions,
                    Part::Intentions | Part::End => Part::End,
                };
                if self.part == Part::End {
                    let unreadable = extract::unreadable_line("memories", self.export.unreadable());
                    return Ok(unreadable.map(|line| (line, self)));
                }
            }
        }
    }

    async fn memory_lines(&mut self) -> Result<VecDeque<Bytes>, axum::BoxError> {
        let page = self.export.page().await?;
        page.into_iter().map(|moved| Ok(line_bytes(&memory_line(moved)?)?)).collect()
    }

    async fn intention_lines(&mut self) -> Result<VecDeque<Bytes>, axum::BoxError> {
        let page = self.export.intention_page().await?;
        page.into_iter().map(|intention| Ok(line_bytes(&intention_line(intention))?)).collect()
    }
}

fn line_bytes(line: &impl serde::Serialize) -> Result<Bytes, serde_json::Error> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    Ok(bytes.into())
}

/// Returns the line of a memory in an export.
///
/// # Errors
/// When the history cannot be serialized as JSON.
pub fn memory_line(moved: lar_store::ExportedMemory) -> Result<ExportedMemory, serde_json::Error> {
    let to_text = |time: Option<Timestamp>| time.map(|time| time.to_string());
    let memory = moved.memory;
    let passages = moved.chunks.into_iter().filter_map(|passage| {
        let Vectors { embedder, bytes } = passage.vectors?;
        Some(ExportedPassage {
            start: passage.start,
            length: passage.length,
            embedder: embedder.digest,
            embedder_name: embedder.name,
            dimension: embedder.dimension,
            vectors: BASE64_STANDARD.encode(bytes),
        })
    });
    let history = moved.history.into_iter().map(|change| {
        Ok(ExportedChange {
            id: change.id.to_string(),
            at: change.at.to_string(),
            by: change.key.to_string(),
            action: change.action,
            reason: change.reason,
            decision: change.decision.to_string(),
            before: serde_json::to_value(change.before)?,
            undone_by: change.undone_by.map(|id| id.to_string()),
        })
    });
    Ok(ExportedMemory {
        id: memory.id.to_string(),
        content: memory.content,
        kind: memory.kind.as_str().into(),
        tags: memory.tags,
        source: memory.provenance.source,
        project: memory.project,
        written_by: memory.provenance.key.to_string(),
        conversation: memory.provenance.conversation,
        message: memory.provenance.message,
        occurred_at: to_text(memory.occurred_at),
        valid_from: to_text(memory.valid_from),
        valid_to: to_text(memory.valid_to),
        after: memory.after.map(|id| id.to_string()),
        superseded_by: memory.superseded.map(|(by, _)| by.to_string()),
        superseded_at: to_text(memory.superseded.map(|(_, at)| at)),
        pinned: memory.pinned,
        stability: memory.strength.stability,
        difficulty: memory.strength.difficulty,
        reviewed_at: memory.strength.reviewed_at.to_string(),
        version: memory.version,
        created_at: memory.created_at.to_string(),
        updated_at: memory.updated_at.to_string(),
        deleted_at: to_text(memory.deleted_at),
        passages: passages.collect(),
        history: history.collect::<Result<_, serde_json::Error>>()?,
        links: moved.links.into_iter().map(show_link).collect(),
    })
}

fn show_link(link: MemoryLink) -> ExportedLink {
    ExportedLink {
        id: link.id.to_string(),
        older: link.older.to_string(),
        relation: link.relation.as_str().into(),
        reason: link.reason,
        by: link.key.to_string(),
        created_at: link.created_at.to_string(),
        resolution: link.resolution.map(|(resolution, _)| resolution.as_str().into()),
        resolved_at: link.resolution.map(|(_, at)| at.to_string()),
        decision: link.decision.map(|id| id.to_string()),
    }
}

fn parse_memory(space: SpaceId, line: ExportedMemory) -> Result<lar_store::ExportedMemory, Problem> {
    let superseded = match (line.superseded_by, line.superseded_at) {
        (Some(by), Some(at)) => Some((parse("superseded_by", &by)?, parse("superseded_at", &at)?)),
        (None, None) => None,
        _ => {
            return Err(Problem::invalid(
                "superseded_at",
                "must be present if `superseded_by` is, and only then",
            ));
        }
    };
    let at = |field: &str, time: Option<String>| time.map(|time| parse(field, &time)).transpose();
    let memory = Memory {
        id: parse("id", &line.id)?,
        seq: 0,
        space,
        kind: parse_kind("kind", &line.kind)?,
        content: line.content,
        tags: line.tags,
        project: line.project,
        provenance: Provenance {
            key: parse("written_by", &line.written_by)?,
            source: line.source,
            conversation: line.conversation,
            message: line.message,
        },
        occurred_at: at("occurred_at", line.occurred_at)?,
        valid_from: at("valid_from", line.valid_from)?,
        valid_to: at("valid_to", line.valid_to)?,
        after: line.after.map(|id| parse("after", &id)).transpose()?,
        superseded,
        pinned: line.pinned,
        strength: Strength {
            stability: line.stability,
            difficulty: line.difficulty,
            reviewed_at: parse("reviewed_at", &line.reviewed_at)?,
        },
        hash: [0; 32],
        version: line.version.max(1),
        created_at: parse("created_at", &line.created_at)?,
        updated_at: parse("updated_at", &line.updated_at)?,
        deleted_at: at("deleted_at", line.deleted_at)?,
    };
    let history = line.history.into_iter().map(|change| parse_change(&memory, change));
    let history = history.collect::<Result<_, _>>()?;
    let passages = line.passages.into_iter().map(parse_passage).collect::<Result<_, _>>()?;
    let links = line.links.into_iter().map(|link| parse_link(&memory, link)).collect::<Result<_, _>>()?;
    Ok(lar_store::ExportedMemory { memory, chunks: passages, history, links })
}

fn parse_link(newer: &Memory, link: ExportedLink) -> Result<MemoryLink, Problem> {
    let resolution = match (link.resolution, link.resolved_at) {
        (Some(resolution), Some(at)) => {
            let resolution = resolution.parse::<LinkResolution>();
            let resolution = resolution.map_err(|reason| Problem::invalid("links.resolution", reason))?;
            Some((resolution, parse("links.resolved_at", &at)?))
        }
        (None, None) => None,
        _ => {
            let reason = "must be present if `resolution` is, and only then";
            return Err(Problem::invalid("links.resolved_at", reason));
        }
    };
    let relation = link.relation.parse::<LinkRelation>();
    Ok(MemoryLink {
        id: parse("links.id", &link.id)?,
        space: newer.space,
        older: parse("links.older", &link.older)?,
        newer: newer.id,
        relation: relation.map_err(|reason| Problem::invalid("links.relation", reason))?,
        reason: link.reason,
        key: parse("links.by", &link.by)?,
        created_at: parse("links.created_at", &link.created_at)?,
        resolution,
        decision: link.decision.map(|id| parse("links.decision", &id)).transpose()?,
    })
}

fn parse_change(memory: &Memory, change: ExportedChange) -> Result<ChangeRecord, Problem> {
    Ok(ChangeRecord {
        id: parse("history.id", &change.id)?,
        memory: memory.id,
        at: parse("history.at", &change.at)?,
        key: parse("history.by", &change.by)?,
        action: change.action,
        reason: change.reason,
        decision: parse("history.decision", &change.decision)?,
        before: extract::from_own_value(&change.before)
            .map_err(|problem| problem.within("history.before"))?,
        undone_by: change.undone_by.map(|id| parse("history.undone_by", &id)).transpose()?,
    })
}

fn parse_passage(passage: ExportedPassage) -> Result<NewChunk, Problem> {
    let bytes = BASE64_STANDARD.decode(&passage.vectors);
    let bytes = bytes.map_err(|_| Problem::invalid("passages.vectors", "must be base64"))?;
    let embedder =
        Embedder { digest: passage.embedder, name: passage.embedder_name, dimension: passage.dimension };
    // The import derives the words from the content.
    Ok(NewChunk {
        start: passage.start,
        length: passage.length,
        words: Vec::new(),
        vectors: Some(Vectors { embedder, bytes }),
    })
}

fn parse<T: std::str::FromStr>(field: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::invalid(field, "does not have the format that exports use"))
}
