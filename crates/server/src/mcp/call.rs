//! Calls of the MCP tools.
//!
//! An error goes to the model that called the tool, as the protocol requires. It names the field and the
//! reason, so that the model can correct its call.

pub(crate) mod vestige;

use lar_api::memories::{DueIntention, NewMemory};
use lar_base::json::to_json;
use lar_base::{IntentionId, Problem, Timestamp};
use lar_memory::{Decision, Edit, Filter, Hit, Search, SmartIngestResult, check_token_budget};
use lar_store::{IntentionPatch, IntentionStatus, Memory};
use rmcp::model::{CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData};
use serde::Deserialize;
use serde_json::{Value, json};

use super::tool_context::ToolContext;
use crate::errors::{Audience, log_and_redact};
use crate::extract;
use crate::memories::feedback::apply_feedback;
use crate::memories::parse::{
    parse_detail, parse_item, parse_kind, parse_limit, parse_memory_id, parse_time,
};
use crate::memories::view::{WriterView, show_intention, show_results, whole};

/// The number of results of a search without `limit`.
const LIMIT_DEFAULT: usize = 8;
/// The number of tokens of a brief without `token_budget`.
const BRIEF_TOKENS: usize = 600;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchArguments {
    query: String,
    limit: Option<usize>,
    #[serde(default)]
    kinds: Vec<String>,
    #[serde(default)]
    tags: Vec<String>,
    project: Option<String>,
    as_of: Option<String>,
    known_at: Option<String>,
    detail: Option<String>,
    token_budget: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IdArguments {
    id: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FeedbackArguments {
    id: String,
    feedback: String,
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BriefArguments {
    project: Option<String>,
    token_budget: Option<usize>,
}

/// Calls a tool.
///
/// # Errors
/// When the tool does not exist.
pub(super) async fn call(
    context: &ToolContext<'_>,
    request: CallToolRequestParams,
) -> Result<CallToolResponse, ErrorData> {
    let mut arguments = Value::Object(request.arguments.unwrap_or_default());
    lar_compat::lenient::normalize_values(&mut arguments);
    let done = match request.name.as_ref() {
        "memory_search" => find(context, arguments).await,
        "memory_save" => save(context, arguments).await,
        "memory_get" => get(context, arguments).await,
        "memory_feedback" => feedback(context, arguments).await,
        "memory_forget" => forget(context, arguments).await,
        "memory_brief" => brief(context, arguments).await,
        other if vestige::is_tool(other) => {
            let done = vestige::call(context, other, arguments).await;
            done.map(|value| answer(vec![value.to_string()], &value))
        }
        other => {
            let shown: String = other.chars().take(64).collect();
            return Err(ErrorData::invalid_params(format!("there is no tool `{shown}`"), None));
        }
    };
    Ok(done.unwrap_or_else(|problem| failed(problem, context.caller.request_id().map(AsRef::as_ref))).into())
}

/// Decodes a tool call and returns its arguments as text, for tests of the decoders.
#[cfg(test)]
pub(crate) fn check(body: &[u8]) -> Result<String, Problem> {
    use rmcp::model::{ClientJsonRpcMessage, ClientRequest, JsonRpcMessage};
    let wrong = || Problem::new(lar_base::Code::InvalidParams, "the body must call a tool by JSON-RPC 2.0");
    let body = lar_compat::lenient::rewrite(body.to_vec());
    let message: ClientJsonRpcMessage = serde_json::from_slice(&body).map_err(|_| wrong())?;
    let JsonRpcMessage::Request(request) = message else { return Err(wrong()) };
    let ClientRequest::CallToolRequest(call) = request.request else { return Err(wrong()) };
    let mut arguments = Value::Object(call.params.arguments.unwrap_or_default());
    lar_compat::lenient::normalize_values(&mut arguments);
    Ok(match call.params.name.as_ref() {
        "memory_search" => format!("{:?}", extract::from_value::<SearchArguments>(&arguments)?),
        "memory_save" => format!("{:?}", extract::from_value::<NewMemory>(&arguments)?),
        "memory_get" | "memory_forget" => format!("{:?}", extract::from_value::<IdArguments>(&arguments)?),
        "memory_feedback" => format!("{:?}", extract::from_value::<FeedbackArguments>(&arguments)?),
        "memory_brief" => format!("{:?}", extract::from_value::<BriefArguments>(&arguments)?),
        other => vestige::check(other, arguments)?,
    })
}

async fn find(context: &ToolContext<'_>, arguments: Value) -> Result<CallToolResult, Problem> {
    let arguments: SearchArguments = extract::from_value(&arguments)?;
    let reader = context.authorize_read().await?;
    let kinds = arguments.kinds.iter().map(|kind| parse_kind("kinds", kind));
    let search = Search {
        query: arguments.query,
        limit: parse_limit(arguments.limit, LIMIT_DEFAULT)?,
        filter: Filter {
            kinds: kinds.collect::<Result<_, _>>()?,
            tags: arguments.tags,
            project: arguments.project,
            as_of: arguments.as_of.map(|time| parse_time("as_of", &time)).transpose()?,
            known_at: arguments.known_at.map(|time| parse_time("known_at", &time)).transpose()?,
            ..Filter::default()
        },
        detail: parse_detail(arguments.detail.as_deref())?,
        token_budget: arguments.token_budget,
        ..Search::default()
    };
    let found = context.memories.search(&reader, search).await?;
    let texts = found.hits.iter().map(render_hit).collect();
    Ok(answer(texts, &show_results(found)))
}

/// Renders a search result for a model, with the memory that it superseded.
fn render_hit(hit: &Hit) -> String {
    let mut text = render_memory(&hit.memory, &hit.text);
    if let Some(before) = &hit.supersedes {
        text.push_str(&format!("\n(until {}: “{}”)", day(before.until), before.text));
    }
    if hit.is_possibly_outdated() {
        text.push_str("\n(possibly outdated: see the newer memory)");
    }
    text
}

async fn save(context: &ToolContext<'_>, arguments: Value) -> Result<CallToolResult, Problem> {
    let new: NewMemory = extract::from_value(&arguments)?;
    let writer = context.authorize_write().await?;
    let view = WriterView::of(&writer);
    // A turn of a dialogue is saved unchanged.
    if new.after.is_some() {
        let made = context.memories.ingest(&writer, parse_item(new)?, None).await?;
        return Ok(answer(vec![format!("Saved as {}.", made.memory.id)], &view.show_ingested(&made)));
    }
    let decided = context.memories.ingest_smart(&writer, parse_item(new)?, None).await?;
    Ok(answer(vec![describe_decision(view, &decided)], &view.show_decision(&decided)))
}

/// Describes a decision of smart ingest to a model, as far as the writer may know it.
fn describe_decision(view: WriterView, decided: &SmartIngestResult) -> String {
    let id = decided.memory.as_ref().map(|memory| memory.id.to_string()).unwrap_or_default();
    match (decided.decision, &decided.against) {
        (Decision::Reject, _) => format!("Not saved: {}.", view.reason(decided).unwrap_or_default()),
        (Decision::Reinforce, _) => format!("Already saved as {id}; strengthened."),
        (Decision::Update, _) => format!("Updated {id}."),
        (Decision::Merge, _) => format!("Merged into {id}."),
        (Decision::Supersede, Some(known)) if known.id.to_string() != id => match view.readable(known) {
            Some(known) => format!("Saved as {id}. Supersedes {}: “{}”", known.id, known.content),
            None => format!("Saved as {id}. Supersedes {}.", known.id),
        },
        (Decision::Create, Some(known)) if decided.link.is_some() => match view.readable(known) {
            Some(known) => format!(
                "Saved as {id}. It may make {} outdated: “{}”. Both are kept until the user decides.",
                known.id, known.content
            ),
            None => format!("Saved as {id}. It may make {} outdated.", known.id),
        },
        (Decision::Supersede | Decision::Create, _) => format!("Saved as {id}."),
    }
}

async fn get(context: &ToolContext<'_>, arguments: Value) -> Result<CallToolResult, Problem> {
    let IdArguments { id } = extract::from_value(&arguments)?;
    let reader = context.authorize_read().await?;
    let memory = context.memories.get(&reader, parse_memory_id(&id)?).await?;
    Ok(answer(vec![render_memory(&memory, &memory.content)], &whole(&reader, &memory)))
}

async fn feedback(context: &ToolContext<'_>, arguments: Value) -> Result<CallToolResult, Problem> {
    let FeedbackArguments { id, feedback, reason } = extract::from_value(&arguments)?;
    let writer = context.authorize_write().await?;
    let memory = apply_feedback(context.memories, &writer, parse_memory_id(&id)?, &feedback, reason).await?;
    Ok(answer(vec!["Feedback recorded.".into()], &WriterView::of(&writer).memory(&memory)))
}

async fn forget(context: &ToolContext<'_>, arguments: Value) -> Result<CallToolResult, Problem> {
    let IdArguments { id } = extract::from_value(&arguments)?;
    let writer = context.authorize_write().await?;
    if let Ok(id) = id.parse::<IntentionId>() {
        let patch = IntentionPatch { status: Some(IntentionStatus::Cancelled), ..IntentionPatch::default() };
        let cancelled = context.memories.update_intention(&writer, id, patch).await?;
        let shown = WriterView::of(&writer).intention(&cancelled);
        return Ok(answer(vec!["The user will not be reminded of it again.".into()], &shown));
    }
    let edit = Edit { deleted: Some(true), ..Edit::default() };
    let memory = context.memories.edit(&writer, parse_memory_id(&id)?, edit, None).await?;
    Ok(answer(
        vec!["Forgotten. The user can restore it for 30 days.".into()],
        &WriterView::of(&writer).memory(&memory),
    ))
}

async fn brief(context: &ToolContext<'_>, arguments: Value) -> Result<CallToolResult, Problem> {
    let arguments: BriefArguments = extract::from_value(&arguments)?;
    let reader = context.authorize_read().await?;
    let budget = arguments.token_budget.unwrap_or(BRIEF_TOKENS);
    check_token_budget(budget)?;
    let project = arguments.project.as_deref();
    // Reminders take at most half of the tokens, and memories the rest.
    let reminders = context.memories.brief_intentions(&reader, project, budget / 2, "default").await?;
    let rest = budget - reminders.tokens;
    let memories = context.memories.brief(&reader, project, rest, "default").await?;
    let mut texts = reminders.lines();
    texts.extend(memories.iter().map(|memory| render(memory, memory.kind.as_str(), &memory.content)));
    let shown: Vec<_> = memories.iter().map(|memory| whole(&reader, memory)).collect();
    let due = reminders.due.iter().map(|due| DueIntention {
        intention: show_intention(&reader, &due.intention),
        cause: due.cause.as_str().into(),
        reason: due.reason.clone(),
    });
    let upcoming = reminders.upcoming.iter().map(|intention| show_intention(&reader, intention));
    let (due, upcoming): (Vec<_>, Vec<_>) = (due.collect(), upcoming.collect());
    Ok(answer(texts, &json!({ "memories": shown, "reminders": { "due": due, "upcoming": upcoming } })))
}

/// Renders a memory for a model: its id, its day and its properties on one line, `text` below.
fn render_memory(memory: &Memory, text: &str) -> String {
    let tags = memory.tags.join(", ");
    let mut properties = vec![memory.kind.as_str()];
    properties.extend(memory.project.as_deref());
    properties.extend(memory.provenance.source.as_deref());
    if !memory.tags.is_empty() {
        properties.push(&tags);
    }
    render(memory, &properties.join(" · "), text)
}

/// Renders a memory with these properties.
fn render(memory: &Memory, properties: &str, text: &str) -> String {
    let day = day(memory.occurred_at.unwrap_or(memory.created_at));
    format!("[{}] {day} · {properties}\n{text}", memory.id)
}

/// Returns the day of a time in UTC, as in 2026-11-26.
fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

/// Returns a result with one block per text, and with `value` as its structured content.
fn answer(texts: Vec<String>, value: &impl serde::Serialize) -> CallToolResult {
    let mut result = CallToolResult::success(texts.into_iter().map(ContentBlock::text).collect());
    // Serialized to text first, because a direct conversion would show an `f32` with the digits of an `f64`.
    let content = serde_json::from_str(&to_json(value)).expect("serialized JSON parses");
    result.structured_content = Some(content);
    result
}

fn failed(problem: Problem, request_id: Option<&str>) -> CallToolResult {
    let problem = log_and_redact(Audience::Everybody, problem, request_id);
    CallToolResult::error(vec![ContentBlock::text(format!("{} ({})", problem.detail, problem.code))])
}
