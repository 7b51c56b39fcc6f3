//! `/v1/responses`: OpenAI's Responses API.
//!
//! Stored responses are visible to the key that created them, and are deleted after 30 days.
//!
//! Invariant: a response with `store` is on disk before it is reported as completed. A background response is
//! on disk before its id is returned. If the server stops while it runs, it has the status `failed`.
//!
//! Decoding is in [`mod@decode`], the conversion of events in [`encode`], the stream in [`stream`].

mod decode;
mod encode;
mod stream;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use axum::extract::Request;
use axum::http::Uri;
use axum::response::{IntoResponse as _, Response};
use lar_api::openai::responses::{
    Deleted, InputItem, InputItems, InputTokens, OutputItem, Response as Wire, Status, Truncation,
};
use lar_base::{Caller, Code, KeyId, Problem, TaskId, Timestamp, error_chain};
use lar_gateway::TaskHandle;
use lar_memory::MemoryActivityIds;
use lar_store::{Response as Stored, ResponseState};
use serde::Deserialize;
use serde_json::Value;

use crate::auth::Inference;
use crate::compat_caller::{CompatCaller, plain_name, with_lar_headers};
use crate::errors::Failure;
use crate::extract::{self, Path};
use crate::fields::with_ignored;
use crate::generate::{self, AnswerStream};
use crate::json::to_json;
use crate::tool_call_check::ToolSchemas;
use crate::truncate::{self, Cut};
use crate::{App, State, sse};
use decode::{OfferedTools, ResponsesInput};
use encode::{Encoder, failure};
use stream::{ResponseStream, StoreOnEnd};

/// The time for which a response is stored.
pub const RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);
/// The name of this API in usage records.
const API: &str = "openai.responses";
/// The default number of input items on a page.
const ITEMS_PAGE: usize = 20;
/// The maximum number of input items on a page.
const ITEMS_PAGE_MAX: usize = 100;
/// The maximum number of responses whose items a request references.
const REFERENCED_RESPONSES_MAX: usize = 1_000;
/// The maximum size in bytes of all referenced items. An item counts once per reference.
const REFERENCED_BYTES_MAX: usize = 16 << 20;
/// The number of digits at the end of an item's id, after those of its task. They are the item's index.
const ITEM_DIGITS: usize = 4;

pub(crate) async fn create(
    app: State,
    compat_caller: CompatCaller,
    request: Request,
) -> Result<Response, Failure> {
    let mut request = decode::UndecodedRequest::read(&extract::body(request, &app).await?)?;
    let (store, background) = request.store_and_background();
    let previous = request.previous()?;
    resolve_references(&app, compat_caller.caller.key(), &mut request).await?;
    let earlier = load_earlier_items(&app, compat_caller.caller.key(), previous).await?;
    let mut read = request.decode(earlier, TaskId::new())?;
    let removed = truncate_to_context(&app, compat_caller.caller.key(), &mut read).await?;
    let (mut response, ignored, memory_activity) = if background {
        run_in_background(&app, &compat_caller, previous, read).await?
    } else {
        run_in_foreground(&app, &compat_caller, previous, read, store).await?
    };
    if let Some(removed) = removed {
        truncate::set_truncated_header(&mut response, removed);
    }
    Ok(with_lar_headers(response, &ignored, memory_activity.as_ref()))
}

/// Removes the oldest messages of an input that exceeds the context, with `truncation: "auto"`. Returns their number.
async fn truncate_to_context(
    app: &App,
    key: KeyId,
    read: &mut ResponsesInput,
) -> Result<Option<usize>, Problem> {
    match read.truncation {
        Truncation::Auto => truncate::fit(app, key, &mut read.generation, Cut::Messages, None).await,
        Truncation::Disabled => Ok(None),
    }
}

/// Creates a response that runs while its client is connected.
async fn run_in_foreground(
    app: &State,
    compat_caller: &CompatCaller,
    previous: Option<TaskId>,
    read: ResponsesInput,
    store: bool,
) -> Result<(Response, Vec<String>, Option<MemoryActivityIds>), Problem> {
    let ResponsesInput { generation, mut response, tools, input, .. } = read;
    let (task, streams, key) = (generation.id, generation.stream, compat_caller.caller.key());
    let schemas = ToolSchemas::of(&generation);
    // The input is in memory until it is stored, so the permits of the body are held until then.
    let mut answer_stream =
        generate::admit_all(app, compat_caller, API, vec![generation]).await?.begin(app).await?;
    let share = compat_caller.body.clone();
    let (memory_activity, mut ignored) =
        (answer_stream.memory_activity.clone(), answer_stream.ignored.clone());
    response.model.clone_from(&answer_stream.model);
    let mut encoder = Encoder::new(task, response, tools);
    let stored = move |body: &Wire| {
        let _counted = &share;
        let (state, created_at) = (ResponseState::Over, Timestamp::now());
        Stored { task, key, previous, state, input, body: to_json(body), created_at }
    };
    if streams {
        let request_id = compat_caller.caller.request_id().cloned();
        let store_on_end = store.then(|| StoreOnEnd::new(app.store.clone(), request_id, stored));
        return Ok((
            sse::response(ResponseStream::new(answer_stream, encoder, store_on_end)),
            ignored,
            memory_activity,
        ));
    }
    while let Some((_, event)) = answer_stream.next_unredacted().await {
        match event {
            lar_inference::TaskEvent::Error(problem) => return Err(problem),
            event => encoder.handle_event(event),
        }
    }
    if encoder.response.status == Status::Cancelled {
        return Err(lar_inference::cancelled_problem());
    }
    if !encoder.is_over() {
        return Err(Problem::new(Code::EngineFailed, "the task was stopped"));
    }
    let calls: Vec<(String, &str)> = encoder.response.output.iter().filter_map(function_call_of).collect();
    ignored.extend(schemas.violations(calls.iter().map(|(name, arguments)| (name.as_str(), *arguments))));
    if store {
        app.store.response_create(stored(&encoder.response), None).await?;
    }
    Ok((axum::Json(encoder.response).into_response(), ignored, memory_activity))
}

/// Returns the function's full name and its arguments if the item is a function call.
fn function_call_of(item: &OutputItem) -> Option<(String, &str)> {
    match item {
        OutputItem::FunctionCall { name, namespace, arguments, .. } => {
            Some((decode::full_name(namespace.as_deref(), name), arguments))
        }
        _ => None,
    }
}

/// Creates a background response. Returns it in the status `queued`, or its stream.
async fn run_in_background(
    app: &State,
    compat_caller: &CompatCaller,
    previous: Option<TaskId>,
    read: ResponsesInput,
) -> Result<(Response, Vec<String>, Option<MemoryActivityIds>), Problem> {
    let ResponsesInput { mut generation, mut response, tools, input, .. } = read;
    let task = generation.id;
    let (admitted, memory_activity) =
        generate::admit_detached(app, compat_caller, API, &mut generation).await?;
    response.model = admitted.model().to_owned();
    response.status = Status::Queued;
    let stored = Stored {
        task,
        key: compat_caller.caller.key(),
        previous,
        state: ResponseState::Running,
        input,
        body: to_json(&response),
        created_at: Timestamp::now(),
    };
    app.store.response_create(stored, Some(admitted.start())).await?;
    let handle = app.gateway.dispatch_recorded(admitted);
    let (store, follower) = (app.store.clone(), AnswerStream::of(&handle));
    let mut encoder = Encoder::new(task, response.clone(), OfferedTools::of(&response));
    app.tasks.spawn(async move {
        follow(follower, &mut encoder).await;
        if let Err(error) = store.response_end(task, to_json(&encoder.response)).await {
            tracing::error!(error = %error_chain(&error), %task, "could not store the end of a response");
        }
    });
    if generation.stream {
        let encoder = Encoder::new(task, response, tools);
        let response = sse::response(ResponseStream::new(AnswerStream::of(&handle), encoder, None));
        return Ok((response, generation.ignored, memory_activity));
    }
    Ok((axum::Json(response).into_response(), generation.ignored, memory_activity))
}

/// Reads a task's events to its end.
async fn follow(mut answer_stream: AnswerStream, encoder: &mut Encoder) {
    while let Some((_, event)) = answer_stream.next().await {
        encoder.handle_event(event);
        while encoder.next().is_some() {}
    }
}

/// The query parameters of a response.
#[derive(Debug, Deserialize)]
struct ShowQuery {
    #[serde(default)]
    stream: bool,
    starting_after: Option<u64>,
}

pub(crate) async fn show(
    app: State,
    Inference(caller): Inference,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Failure> {
    let task = task_of("response_id", &id)?;
    let query: ShowQuery = extract::query(&uri)?;
    let stored = app.store.response_get(caller.key(), task).await?;
    if !query.stream {
        return Ok(axum::Json(body(&stored)?).into_response());
    }
    let handle = handle(&app, &caller, task).ok_or_else(|| {
        let reason =
            "is not available: the response was not created with `background`, or ended too long ago";
        Problem::invalid("stream", reason)
    })?;
    let started: Wire = parse_stored(&stored.body)?;
    let started = Wire {
        status: Status::Queued,
        output: Vec::new(),
        usage: None,
        error: None,
        incomplete_details: None,
        completed_at: None,
        timings: None,
        ..started
    };
    let encoder = Encoder::new(task, started.clone(), OfferedTools::of(&started));
    let stream = ResponseStream::new(AnswerStream::of(&handle), encoder, None).after(query.starting_after);
    Ok(sse::response(stream))
}

pub(crate) async fn remove(
    app: State,
    Inference(caller): Inference,
    Path(id): Path<String>,
) -> Result<axum::Json<Deleted>, Failure> {
    let task = task_of("response_id", &id)?;
    let stored = app.store.response_get(caller.key(), task).await?;
    if stored.state == ResponseState::Running
        && let Some(handle) = handle(&app, &caller, task)
    {
        handle.cancel();
    }
    app.store.response_delete(caller.key(), task).await?;
    Ok(axum::Json(Deleted { id: id_of(task), object: "response", deleted: true }))
}

/// Cancels a background response. A response that has ended is returned unchanged.
pub(crate) async fn cancel(
    app: State,
    Inference(caller): Inference,
    Path(id): Path<String>,
) -> Result<axum::Json<Wire>, Failure> {
    let task = task_of("response_id", &id)?;
    let stored = app.store.response_get(caller.key(), task).await?;
    let wire = body(&stored)?;
    if !wire.background {
        let detail = "only a response that was created with `background` can be cancelled";
        return Err(Problem::new(Code::InvalidParams, detail).into());
    }
    let Some(handle) = handle(&app, &caller, task).filter(|_| stored.state == ResponseState::Running) else {
        return Ok(axum::Json(wire));
    };
    handle.cancel();
    let mut encoder = Encoder::new(task, wire.clone(), OfferedTools::of(&wire));
    follow(AnswerStream::of(&handle), &mut encoder).await;
    app.store.response_end(task, to_json(&encoder.response)).await?;
    Ok(axum::Json(body(&app.store.response_get(caller.key(), task).await?)?))
}

/// The query parameters of a page of input items.
#[derive(Debug, Deserialize)]
struct ItemsQuery {
    limit: Option<usize>,
    order: Option<String>,
    after: Option<String>,
}

pub(crate) async fn input_items(
    app: State,
    Inference(caller): Inference,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<axum::Json<InputItems>, Failure> {
    let task = task_of("response_id", &id)?;
    let query: ItemsQuery = extract::query(&uri)?;
    let limit = query.limit.unwrap_or(ITEMS_PAGE);
    if !(1..=ITEMS_PAGE_MAX).contains(&limit) {
        return Err(Problem::invalid("limit", format!("must be between 1 and {ITEMS_PAGE_MAX}")).into());
    }
    let stored = app.store.response_get(caller.key(), task).await?;
    let mut items = input_with_ids(&stored)?;
    match query.order.as_deref() {
        Some("asc") => {}
        None | Some("desc") => items.reverse(),
        Some(_) => return Err(Problem::invalid("order", "must be asc or desc").into()),
    }
    let named = |item: &Value| item["id"].as_str().map(ToOwned::to_owned);
    let from = match &query.after {
        None => 0,
        Some(after) => {
            let at = items.iter().position(|item| named(item).as_ref() == Some(after));
            at.ok_or_else(|| Problem::invalid("after", "must be the id of an item of this response"))? + 1
        }
    };
    let data: Vec<Value> = items.iter().skip(from).take(limit).cloned().collect();
    Ok(axum::Json(InputItems {
        object: "list",
        has_more: from + data.len() < items.len(),
        first_id: data.first().and_then(named),
        last_id: data.last().and_then(named),
        data,
    }))
}

/// Returns the input items of a stored response, each with an id.
fn input_with_ids(stored: &Stored) -> Result<Vec<Value>, Problem> {
    let mut items: Vec<Value> = parse_stored(&stored.input)?;
    for (index, item) in items.iter_mut().enumerate() {
        if let Value::Object(fields) = item {
            let named = format!("item_{:032x}{index:04x}", stored.task.as_u128());
            fields.entry("id").or_insert(Value::String(named));
            fields.entry("type").or_insert_with(|| "message".into());
        }
    }
    Ok(items)
}

/// Replaces a request's item references by the items of the key's stored responses.
async fn resolve_references(
    app: &App,
    key: KeyId,
    request: &mut decode::UndecodedRequest,
) -> Result<(), Problem> {
    let ids = request.references();
    let tasks: BTreeSet<TaskId> = ids.iter().filter_map(|id| task_of_item(id)).collect();
    if tasks.len() > REFERENCED_RESPONSES_MAX {
        let reason =
            format!("references items of too many responses; the limit is {REFERENCED_RESPONSES_MAX}");
        return Err(Problem::invalid("input", reason));
    }
    let mut repeated: HashMap<&str, usize> = HashMap::new();
    for id in &ids {
        *repeated.entry(id).or_default() += 1;
    }
    let (mut items, mut bytes) = (HashMap::new(), 0);
    for task in tasks {
        let stored = match app.store.response_get(key, task).await.map_err(Problem::from) {
            Ok(stored) => stored,
            // `replace_references` reports the missing item with its path.
            Err(problem) if problem.code == Code::NotFound => continue,
            Err(problem) => return Err(problem),
        };
        let wire: Wire = parse_stored(&stored.body)?;
        let output: Vec<Value> = parse_stored(&to_json(&wire.output))?;
        for item in input_with_ids(&stored)?.into_iter().chain(output) {
            let Some(times) = item["id"].as_str().and_then(|id| repeated.get(id)) else { continue };
            bytes += times * item.to_string().len();
            if bytes > REFERENCED_BYTES_MAX {
                let reason = format!(
                    "references items that are too large; the limit is {REFERENCED_BYTES_MAX} bytes in total"
                );
                return Err(Problem::invalid("input", reason));
            }
            items.insert(item["id"].as_str().unwrap_or_default().to_owned(), item);
        }
    }
    request.replace_references(&items)
}

/// Returns the task of the response to which an item belongs, from the item's id.
fn task_of_item(id: &str) -> Option<TaskId> {
    let (_, digits) = id.rsplit_once('_')?;
    let task = digits.get(..digits.len().checked_sub(ITEM_DIGITS)?)?;
    format!("task_{task}").parse().ok()
}

/// Counts the tokens of a request's prompt.
pub(crate) async fn input_tokens(
    app: State,
    Inference(caller): Inference,
    request: Request,
) -> Result<Response, Failure> {
    let mut request = decode::UndecodedRequest::read_to_count(&extract::body(request, &app).await?)?;
    resolve_references(&app, caller.key(), &mut request).await?;
    let earlier = load_earlier_items(&app, caller.key(), request.previous()?).await?;
    let mut read = request.decode(earlier, TaskId::new())?;
    let removed = truncate_to_context(&app, caller.key(), &mut read).await?;
    let generation = read.generation;
    let model = plain_name(&generation.model);
    let counted = app.gateway.count_tokens_for(caller.key(), model, &generation.prompt).await;
    let input_tokens = counted.map_err(generate::about_model)?.tokens;
    let mut body = axum::Json(InputTokens { object: "response.input_tokens", input_tokens }).into_response();
    if let Some(removed) = removed {
        truncate::set_truncated_header(&mut body, removed);
    }
    Ok(with_ignored(body, &generation.ignored))
}

/// Decodes a request body without earlier items.
pub(crate) fn decode(body: &[u8], id: TaskId) -> Result<generate::GenerationRequest, Problem> {
    Ok(decode::UndecodedRequest::read(body)?.decode(Vec::new(), id)?.generation)
}

/// Decodes a request to count tokens, like [`decode()`]; for tests of the decoders.
#[cfg(test)]
pub(crate) fn decode_to_count(body: &[u8], id: TaskId) -> Result<generate::GenerationRequest, Problem> {
    Ok(decode::UndecodedRequest::read_to_count(body)?.decode(Vec::new(), id)?.generation)
}

/// Returns the items of the previous response and of those before it, oldest first.
async fn load_earlier_items(
    app: &App,
    key: KeyId,
    previous: Option<TaskId>,
) -> Result<Vec<InputItem>, Problem> {
    let Some(last) = previous else { return Ok(Vec::new()) };
    let chain = app.store.response_chain(key, last).await.map_err(|error| {
        let problem = Problem::from(error);
        if problem.code != Code::NotFound {
            return problem;
        }
        let reason = format!("must be the id of a stored response of this key: {}", problem.detail);
        Problem::about(Code::NotFound, "previous_response_id", reason)
    })?;
    let mut items: Vec<InputItem> = Vec::new();
    for stored in chain {
        if stored.state == ResponseState::Running {
            let detail = format!("{} is still in progress; wait until it has ended", id_of(stored.task));
            return Err(Problem::new(Code::Conflict, detail));
        }
        items.append(&mut parse_stored(&stored.input)?);
        let wire: Wire = parse_stored(&stored.body)?;
        items.append(&mut parse_stored(&to_json(&wire.output))?);
    }
    Ok(items)
}

/// Returns the task of a response if it is running or ended recently. It belongs to the same key as the response.
fn handle(app: &App, caller: &Caller, task: TaskId) -> Option<TaskHandle> {
    app.gateway.find(caller.visible_keys(), task)
}

/// Returns a stored response as clients see it.
fn body(stored: &Stored) -> Result<Wire, Problem> {
    let wire: Wire = parse_stored(&stored.body)?;
    Ok(match stored.state {
        ResponseState::Running | ResponseState::Over => wire,
        ResponseState::Abandoned => {
            let detail = "Lar stopped while the task was running; send the request again";
            let error = Some(failure(&Problem::new(Code::EngineFailed, detail)));
            Wire { status: Status::Failed, error, ..wire }
        }
    })
}

/// Returns the id of a task's response: it has the same digits.
fn id_of(task: TaskId) -> String {
    format!("resp_{:032x}", task.as_u128())
}

fn task_of(field: &str, id: &str) -> Result<TaskId, Problem> {
    let digits = id.strip_prefix("resp_").unwrap_or_default();
    let unknown = |_| {
        let reason = format!("is `{id:.64}`, which is not a response of this key");
        Problem::about(Code::NotFound, field, reason)
    };
    format!("task_{digits}").parse().map_err(unknown)
}

fn parse_stored<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Problem> {
    serde_json::from_str(text)
        .map_err(|error| Problem::new(Code::Internal, format!("could not parse a stored response: {error}")))
}
