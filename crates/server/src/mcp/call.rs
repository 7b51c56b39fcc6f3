//! Calls of the MCP tools.
//!
//! An error goes to the model that called the tool, as the protocol requires. It names the field and the
//! reason, so that the model can correct its call.

pub(crate) mod vestige;

use std::sync::Arc;

use axum::http::HeaderMap;
use lar_api::memories::{Filters, NewMemory, SearchRequest, SmartIngestResult};
use lar_base::{Caller, Problem};
use lar_memory::{Decision, Edit};
use rmcp::model::{CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::errors::{Audience, log_and_redact};
use crate::json::to_json;
use crate::memories::view::{WriterView, whole};
use crate::memories::{item, memory_id, requested_scope, review, search};
use crate::{App, extract};

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
    app: &Arc<App>,
    caller: Caller,
    headers: &HeaderMap,
    request: CallToolRequestParams,
) -> Result<CallToolResponse, ErrorData> {
    let mut arguments = Value::Object(request.arguments.unwrap_or_default());
    extract::normalize_values(&mut arguments);
    let request_id = caller.request_id().cloned();
    let done = match request.name.as_ref() {
        "memory_search" => find(app, caller, headers, arguments).await,
        "memory_save" => save(app, caller, headers, arguments).await,
        "memory_get" => get(app, caller, headers, arguments).await,
        "memory_feedback" => feedback(app, caller, headers, arguments).await,
        "memory_forget" => forget(app, caller, headers, arguments).await,
        "memory_brief" => brief(app, caller, headers, arguments).await,
        other if vestige::is_tool(other) => {
            let done = vestige::call(app, caller, headers, other, arguments).await;
            done.map(|value| answer(vec![value.to_string()], &value))
        }
        other => {
            let shown: String = other.chars().take(64).collect();
            return Err(ErrorData::invalid_params(format!("there is no tool `{shown}`"), None));
        }
    };
    Ok(done.unwrap_or_else(|problem| failed(problem, request_id.as_deref())).into())
}

/// Decodes a tool call and returns its arguments as text, for tests of the decoders.
#[cfg(test)]
pub(crate) fn check(body: &[u8]) -> Result<String, Problem> {
    use rmcp::model::{ClientJsonRpcMessage, ClientRequest, JsonRpcMessage};
    let wrong = || Problem::new(lar_base::Code::InvalidParams, "the body must call a tool by JSON-RPC 2.0");
    let body = crate::lenient::rewrite(body.to_vec());
    let message: ClientJsonRpcMessage = serde_json::from_slice(&body).map_err(|_| wrong())?;
    let JsonRpcMessage::Request(request) = message else { return Err(wrong()) };
    let ClientRequest::CallToolRequest(call) = request.request else { return Err(wrong()) };
    let mut arguments = Value::Object(call.params.arguments.unwrap_or_default());
    extract::normalize_values(&mut arguments);
    Ok(match call.params.name.as_ref() {
        "memory_search" => format!("{:?}", extract::from_value::<SearchArguments>(&arguments)?),
        "memory_save" => format!("{:?}", extract::from_value::<NewMemory>(&arguments)?),
        "memory_get" | "memory_forget" => format!("{:?}", extract::from_value::<IdArguments>(&arguments)?),
        "memory_feedback" => format!("{:?}", extract::from_value::<FeedbackArguments>(&arguments)?),
        "memory_brief" => format!("{:?}", extract::from_value::<BriefArguments>(&arguments)?),
        other => vestige::check(other, arguments)?,
    })
}

async fn find(
    app: &App,
    caller: Caller,
    headers: &HeaderMap,
    arguments: Value,
) -> Result<CallToolResult, Problem> {
    let arguments: SearchArguments = extract::from_value(&arguments)?;
    let reader = app.memories.authorize_read(caller, requested_scope(headers)?).await?;
    let request = SearchRequest {
        query: arguments.query,
        limit: Some(arguments.limit.unwrap_or(LIMIT_DEFAULT)),
        filters: Some(Filters {
            kinds: arguments.kinds,
            tags: arguments.tags,
            project: arguments.project,
            ..Filters::default()
        }),
        as_of: arguments.as_of,
        detail: arguments.detail,
        token_budget: arguments.token_budget,
        ..SearchRequest::default()
    };
    let found = search::response(app.memories.search(&reader, search::to_search(request)?).await?);
    let texts = found.results.iter().map(|hit| {
        let day = hit.occurred_at.as_deref().unwrap_or(&hit.created_at);
        let about = [Some(hit.kind.clone()), hit.project.clone(), hit.source.clone()];
        let mut text = render_memory(&hit.id, day, about, &hit.tags, &hit.content);
        if let Some(before) = &hit.supersedes {
            let until: String = before.until.chars().take(10).collect();
            text.push_str(&format!("\n(until {until}: “{}”)", before.content));
        }
        text
    });
    Ok(answer(texts.collect(), &found))
}

async fn save(
    app: &App,
    caller: Caller,
    headers: &HeaderMap,
    arguments: Value,
) -> Result<CallToolResult, Problem> {
    let new: NewMemory = extract::from_value(&arguments)?;
    let writer = app.memories.authorize_write(caller, requested_scope(headers)?).await?;
    let view = WriterView::of(&writer);
    // A turn of a dialogue is saved unchanged.
    if new.after.is_some() {
        let made = app.memories.ingest(&writer, vec![item(new)?], None).await?;
        let Some(made) = made.first() else { return Err(Problem::not_found("memory")) };
        return Ok(answer(vec![format!("Saved as {}.", made.memory.id)], &view.show_ingested(made)));
    }
    let decided = app.memories.ingest_smart(&writer, item(new)?, None).await?;
    let shown = view.show_decision(&decided);
    Ok(answer(vec![describe_decision(decided.decision, &shown)], &shown))
}

/// Describes a decision of smart ingest to a model. `shown` is the part that the caller may read.
fn describe_decision(decision: Decision, shown: &SmartIngestResult) -> String {
    let id = shown.memory.as_ref().map(|memory| memory.id.as_str()).unwrap_or_default();
    match (decision, &shown.against) {
        (Decision::Reject, _) => format!("Not saved: {}.", shown.reason.as_deref().unwrap_or_default()),
        (Decision::Reinforce, _) => format!("Already saved as {id}; strengthened."),
        (Decision::Update, _) => format!("Updated {id}."),
        (Decision::Merge, _) => format!("Merged into {id}."),
        (Decision::Supersede, Some(known)) if known.id != id => match &known.content {
            Some(content) => format!("Saved as {id}. Supersedes {}: “{content}”", known.id),
            None => format!("Saved as {id}. Supersedes {}.", known.id),
        },
        (Decision::Supersede | Decision::Create, _) => format!("Saved as {id}."),
    }
}

async fn get(
    app: &App,
    caller: Caller,
    headers: &HeaderMap,
    arguments: Value,
) -> Result<CallToolResult, Problem> {
    let IdArguments { id } = extract::from_value(&arguments)?;
    let reader = app.memories.authorize_read(caller, requested_scope(headers)?).await?;
    let memory = whole(&reader, &app.memories.get(&reader, memory_id(&id)?).await?);
    let day = memory.occurred_at.as_deref().unwrap_or(&memory.created_at);
    let about = [Some(memory.kind.clone()), memory.project.clone(), memory.source.clone()];
    let text = render_memory(&memory.id, day, about, &memory.tags, &memory.content);
    Ok(answer(vec![text], &memory))
}

async fn feedback(
    app: &App,
    caller: Caller,
    headers: &HeaderMap,
    arguments: Value,
) -> Result<CallToolResult, Problem> {
    let feedback: FeedbackArguments = extract::from_value(&arguments)?;
    let writer = app.memories.authorize_write(caller, requested_scope(headers)?).await?;
    let memory =
        review::apply_feedback(app, &writer, memory_id(&feedback.id)?, &feedback.feedback, feedback.reason)
            .await?;
    Ok(answer(vec!["Feedback recorded.".into()], &memory))
}

async fn forget(
    app: &App,
    caller: Caller,
    headers: &HeaderMap,
    arguments: Value,
) -> Result<CallToolResult, Problem> {
    let IdArguments { id } = extract::from_value(&arguments)?;
    let writer = app.memories.authorize_write(caller, requested_scope(headers)?).await?;
    let edit = Edit { deleted: Some(true), ..Edit::default() };
    let memory = app.memories.edit(&writer, memory_id(&id)?, edit, None).await?;
    Ok(answer(
        vec!["Forgotten. The user can restore it for 30 days.".into()],
        &WriterView::of(&writer).memory(&memory),
    ))
}

async fn brief(
    app: &App,
    caller: Caller,
    headers: &HeaderMap,
    arguments: Value,
) -> Result<CallToolResult, Problem> {
    let arguments: BriefArguments = extract::from_value(&arguments)?;
    let reader = app.memories.authorize_read(caller, requested_scope(headers)?).await?;
    let budget = arguments.token_budget.unwrap_or(BRIEF_TOKENS);
    let memories = app.memories.brief(&reader, arguments.project.as_deref(), budget, "default").await?;
    let memories: Vec<_> = memories.iter().map(|memory| whole(&reader, memory)).collect();
    let texts = memories.iter().map(|memory| {
        let day = memory.occurred_at.as_deref().unwrap_or(&memory.created_at);
        render_memory(&memory.id, day, [Some(memory.kind.clone()), None, None], &[], &memory.content)
    });
    Ok(answer(texts.collect(), &json!({ "memories": memories })))
}

/// Renders a memory for a model: its properties on one line, its text below.
fn render_memory(id: &str, day: &str, about: [Option<String>; 3], tags: &[String], content: &str) -> String {
    let day: String = day.chars().take(10).collect();
    let tags = (!tags.is_empty()).then(|| tags.join(", "));
    let about: Vec<String> = about.into_iter().flatten().chain(tags).collect();
    format!("[{id}] {day} · {}\n{content}", about.join(" · "))
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
