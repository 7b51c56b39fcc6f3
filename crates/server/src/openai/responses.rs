//! `/v1/responses`: OpenAI's Responses API. What is stored is there for the key that made it, for 30 days.
//!
//! Invariant: a response that is told to be completed and is to be kept is on disk. One that goes on in the background
//! is on disk before its caller hears of it; if the server dies meanwhile, it has failed.

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
use lar_base::{Caller, Code, KeyId, Problem, TaskId, Timestamp};
use lar_gateway::TaskHandle;
use lar_memory::MemoryActivityIds;
use lar_store::{Response as Stored, ResponseState};
use serde::Deserialize;
use serde_json::Value;

use crate::asker::{Asker, plain_name, with_told};
use crate::auth::Inference;
use crate::errors::Failure;
use crate::extract::{self, Path};
use crate::fields::with_ignored;
use crate::generate::{self, Begun};
use crate::misfits::Schemas;
use crate::truncate::{self, Cut};
use crate::{App, State, sse};
use decode::{Offered, Read};
use encode::{Encoder, failure};
use stream::{Keep, Stream};

/// How long a response is kept.
pub const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// What its tasks are recorded as.
const API: &str = "openai.responses";
/// Input items on a page.
const ITEMS_PAGE: usize = 20;
const ITEMS_PAGE_MAX: usize = 100;
/// Responses whose items a request refers to, at most, and bytes of these items: a request may repeat a reference.
const REFERRED_MAX: usize = 1_000;
const REFERRED_BYTES_MAX: usize = 16 << 20;
/// The digits of an item's id behind those of its task: its place.
const ITEM_DIGITS: usize = 4;

pub(crate) async fn create(app: State, asker: Asker, request: Request) -> Result<Response, Failure> {
    let mut request = decode::Request::read(&extract::body(request, &app).await?)?;
    let (store, background) = request.kept();
    let previous = request.previous()?;
    put_in_items(&app, asker.caller.key(), &mut request).await?;
    let earlier = earlier(&app, asker.caller.key(), previous).await?;
    let mut read = request.decode(earlier, TaskId::new())?;
    let left_out = cut_to_context(&app, asker.caller.key(), &mut read).await?;
    let (mut response, ignored, noted) = if background {
        in_background(&app, &asker, previous, read).await?
    } else {
        at_once(&app, &asker, previous, read, store).await?
    };
    if let Some(left_out) = left_out {
        truncate::name_left_out(&mut response, left_out);
    }
    Ok(with_told(response, &ignored, noted.as_ref()))
}

/// Leaves out the oldest messages of an input beyond the context, where the request asks for that; returns how many.
async fn cut_to_context(app: &App, key: KeyId, read: &mut Read) -> Result<Option<usize>, Problem> {
    match read.truncation {
        Truncation::Auto => truncate::fit(app, key, &mut read.wanted, Cut::Messages, None).await,
        Truncation::Disabled => Ok(None),
    }
}

/// Follows a response to its end for the caller who waits for it.
async fn at_once(
    app: &State,
    asker: &Asker,
    previous: Option<TaskId>,
    read: Read,
    store: bool,
) -> Result<(Response, Vec<String>, Option<MemoryActivityIds>), Problem> {
    let Read { wanted, mut response, tools, input, .. } = read;
    let (task, streams, key) = (wanted.id, wanted.stream, asker.caller.key());
    let schemas = Schemas::of(&wanted);
    // The input is kept until it is stored, and the body's share of the budget with it.
    let mut begun = generate::admit_all(app, asker, API, vec![wanted]).await?.begin(app).await?;
    let share = asker.body.clone();
    let (noted, mut ignored) = (begun.noted.clone(), begun.ignored.clone());
    response.model.clone_from(&begun.model);
    let mut encoder = Encoder::new(task, response, tools);
    let stored = move |body: &Wire| {
        let _counted = &share;
        let (state, created_at) = (ResponseState::Over, Timestamp::now());
        Stored { task, key, previous, state, input, body: json(body), created_at }
    };
    if streams {
        let request_id = asker.caller.request_id().cloned();
        let keep = store.then(|| Keep::new(app.store.clone(), request_id, stored));
        return Ok((sse::response(Stream::new(begun, encoder, keep)), ignored, noted));
    }
    while let Some((_, event)) = begun.next_whole().await {
        match event {
            lar_gateway::TaskEvent::Error(problem) => return Err(problem),
            event => encoder.hear(event),
        }
    }
    if encoder.response.status == Status::Cancelled {
        return Err(lar_gateway::cancelled_problem());
    }
    if !encoder.is_over() {
        return Err(Problem::new(Code::EngineFailed, "the task was stopped"));
    }
    let calls: Vec<(String, &str)> = encoder.response.output.iter().filter_map(called).collect();
    ignored.extend(schemas.misfits(calls.iter().map(|(name, arguments)| (name.as_str(), *arguments))));
    if store {
        app.store.response_create(stored(&encoder.response), None).await?;
    }
    Ok((axum::Json(encoder.response).into_response(), ignored, noted))
}

/// The name that the model knows a function by, and its arguments, where an item calls one.
fn called(item: &OutputItem) -> Option<(String, &str)> {
    match item {
        OutputItem::FunctionCall { name, namespace, arguments, .. } => {
            Some((decode::full_name(namespace.as_deref(), name), arguments))
        }
        _ => None,
    }
}

/// Has a response go on by itself; answers at once, or with its stream.
async fn in_background(
    app: &State,
    asker: &Asker,
    previous: Option<TaskId>,
    read: Read,
) -> Result<(Response, Vec<String>, Option<MemoryActivityIds>), Problem> {
    let Read { mut wanted, mut response, tools, input, .. } = read;
    let task = wanted.id;
    let (admitted, noted) = generate::admit_detached(app, asker, API, &mut wanted).await?;
    response.model = admitted.model().to_owned();
    response.status = Status::Queued;
    let stored = Stored {
        task,
        key: asker.caller.key(),
        previous,
        state: ResponseState::Running,
        input,
        body: json(&response),
        created_at: Timestamp::now(),
    };
    app.store.response_create(stored, Some(admitted.start())).await?;
    let handle = app.gateway.dispatch_recorded(admitted);
    let (store, follower) = (app.store.clone(), Begun::of(&handle));
    let mut encoder = Encoder::new(task, response.clone(), Offered::of(&response));
    app.tasks.spawn(async move {
        follow(follower, &mut encoder).await;
        if let Err(error) = store.response_end(task, json(&encoder.response)).await {
            tracing::error!(%error, %task, "a response's end could not be stored");
        }
    });
    if wanted.stream {
        let encoder = Encoder::new(task, response, tools);
        let response = sse::response(Stream::new(Begun::of(&handle), encoder, None));
        return Ok((response, wanted.ignored, noted));
    }
    Ok((axum::Json(response).into_response(), wanted.ignored, noted))
}

/// Follows a task to its end.
async fn follow(mut begun: Begun, encoder: &mut Encoder) {
    while let Some((_, event)) = begun.next().await {
        encoder.hear(event);
        while encoder.next().is_some() {}
    }
}

/// What a response is asked for with.
#[derive(Debug, Deserialize)]
struct Shown {
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
    let shown: Shown = extract::query(&uri)?;
    let stored = app.store.response_get(caller.key(), task).await?;
    if !shown.stream {
        return Ok(axum::Json(body(&stored)?).into_response());
    }
    let handle = handle(&app, &caller, task).ok_or_else(|| {
        let reason = "cannot be followed: it was not made in the background, or was over long ago";
        Problem::invalid("stream", reason)
    })?;
    let begun: Wire = parsed(&stored.body)?;
    let begun = Wire {
        status: Status::Queued,
        output: Vec::new(),
        usage: None,
        error: None,
        incomplete_details: None,
        completed_at: None,
        timings: None,
        ..begun
    };
    let encoder = Encoder::new(task, begun.clone(), Offered::of(&begun));
    let stream = Stream::new(Begun::of(&handle), encoder, None).after(shown.starting_after);
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

/// Stops a response that goes on in the background; one that is over stays as it is.
pub(crate) async fn cancel(
    app: State,
    Inference(caller): Inference,
    Path(id): Path<String>,
) -> Result<axum::Json<Wire>, Failure> {
    let task = task_of("response_id", &id)?;
    let stored = app.store.response_get(caller.key(), task).await?;
    let wire = body(&stored)?;
    if !wire.background {
        let detail = "only a response that was made with `background` can be cancelled";
        return Err(Problem::new(Code::InvalidParams, detail).into());
    }
    let Some(handle) = handle(&app, &caller, task).filter(|_| stored.state == ResponseState::Running) else {
        return Ok(axum::Json(wire));
    };
    handle.cancel();
    let mut encoder = Encoder::new(task, wire.clone(), Offered::of(&wire));
    follow(Begun::of(&handle), &mut encoder).await;
    app.store.response_end(task, json(&encoder.response)).await?;
    Ok(axum::Json(body(&app.store.response_get(caller.key(), task).await?)?))
}

/// What a page of input items is asked for with.
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
        return Err(Problem::invalid("limit", format!("must be from 1 to {ITEMS_PAGE_MAX}")).into());
    }
    let stored = app.store.response_get(caller.key(), task).await?;
    let mut items = named_input(&stored)?;
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
            at.ok_or_else(|| Problem::invalid("after", "must be the id of an item"))? + 1
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

/// The items that a response was asked with, each with an id.
fn named_input(stored: &Stored) -> Result<Vec<Value>, Problem> {
    let mut items: Vec<Value> = parsed(&stored.input)?;
    for (index, item) in items.iter_mut().enumerate() {
        if let Value::Object(fields) = item {
            let named = format!("item_{:032x}{index:04x}", stored.task.as_u128());
            fields.entry("id").or_insert(Value::String(named));
            fields.entry("type").or_insert_with(|| "message".into());
        }
    }
    Ok(items)
}

/// Puts the items that a request refers to in the place of its references: those of stored responses of the same key.
async fn put_in_items(app: &App, key: KeyId, request: &mut decode::Request) -> Result<(), Problem> {
    let ids = request.references();
    let tasks: BTreeSet<TaskId> = ids.iter().filter_map(|id| task_of_item(id)).collect();
    if tasks.len() > REFERRED_MAX {
        let reason = format!("refers to items of more than {REFERRED_MAX} responses");
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
            // It is told with the item's place.
            Err(problem) if problem.code == Code::NotFound => continue,
            Err(problem) => return Err(problem),
        };
        let wire: Wire = parsed(&stored.body)?;
        let output: Vec<Value> = parsed(&json(&wire.output))?;
        for item in named_input(&stored)?.into_iter().chain(output) {
            let Some(times) = item["id"].as_str().and_then(|id| repeated.get(id)) else { continue };
            bytes += times * item.to_string().len();
            if bytes > REFERRED_BYTES_MAX {
                let reason = format!("refers to items of more than {REFERRED_BYTES_MAX} bytes together");
                return Err(Problem::invalid("input", reason));
            }
            items.insert(item["id"].as_str().unwrap_or_default().to_owned(), item);
        }
    }
    request.put_in(&items)
}

/// The task of the response that an item is of, by the item's id.
fn task_of_item(id: &str) -> Option<TaskId> {
    let (_, digits) = id.rsplit_once('_')?;
    let task = digits.get(..digits.len().checked_sub(ITEM_DIGITS)?)?;
    format!("task_{task}").parse().ok()
}

/// Counts what a request's prompt would take.
pub(crate) async fn input_tokens(
    app: State,
    Inference(caller): Inference,
    request: Request,
) -> Result<Response, Failure> {
    let mut request = decode::Request::read_to_count(&extract::body(request, &app).await?)?;
    put_in_items(&app, caller.key(), &mut request).await?;
    let earlier = earlier(&app, caller.key(), request.previous()?).await?;
    let mut read = request.decode(earlier, TaskId::new())?;
    let left_out = cut_to_context(&app, caller.key(), &mut read).await?;
    let wanted = read.wanted;
    let model = plain_name(&wanted.model);
    let counted = app.gateway.count_tokens_for(caller.key(), model, &wanted.prompt).await;
    let input_tokens = counted.map_err(generate::about_model)?.tokens;
    let mut body = axum::Json(InputTokens { object: "response.input_tokens", input_tokens }).into_response();
    if let Some(left_out) = left_out {
        truncate::name_left_out(&mut body, left_out);
    }
    Ok(with_ignored(body, &wanted.ignored))
}

/// Reads a request's body as if it went on from nothing.
pub(crate) fn decode(body: &[u8], id: TaskId) -> Result<generate::Wanted, Problem> {
    Ok(decode::Request::read(body)?.decode(Vec::new(), id)?.wanted)
}

/// As [`decode`], of a request that is to be counted; for tests of the decoders.
#[cfg(test)]
pub(crate) fn decode_to_count(body: &[u8], id: TaskId) -> Result<generate::Wanted, Problem> {
    Ok(decode::Request::read_to_count(body)?.decode(Vec::new(), id)?.wanted)
}

/// The items of what a request goes on from, oldest first.
async fn earlier(app: &App, key: KeyId, previous: Option<TaskId>) -> Result<Vec<InputItem>, Problem> {
    let Some(last) = previous else { return Ok(Vec::new()) };
    let chain = app.store.response_chain(key, last).await.map_err(|error| {
        let problem = Problem::from(error);
        if problem.code != Code::NotFound {
            return problem;
        }
        let reason = format!("names one that is not there for this key: {}", problem.detail);
        Problem::about(Code::NotFound, "previous_response_id", reason)
    })?;
    let mut items: Vec<InputItem> = Vec::new();
    for stored in chain {
        if stored.state == ResponseState::Running {
            let detail = format!("{} is still being written", id_of(stored.task));
            return Err(Problem::new(Code::Conflict, detail));
        }
        items.append(&mut parsed(&stored.input)?);
        let wire: Wire = parsed(&stored.body)?;
        items.append(&mut parsed(&json(&wire.output))?);
    }
    Ok(items)
}

/// The task behind a response, where it is under way or was over not long ago. It is the key's, as the response is.
fn handle(app: &App, caller: &Caller, task: TaskId) -> Option<TaskHandle> {
    app.gateway.find(caller.visible_keys(), task)
}

/// What a stored response's caller is told.
fn body(stored: &Stored) -> Result<Wire, Problem> {
    let wire: Wire = parsed(&stored.body)?;
    Ok(match stored.state {
        ResponseState::Running | ResponseState::Over => wire,
        ResponseState::Abandoned => {
            let detail = "Lar stopped while this was under way; send it again";
            let error = Some(failure(&Problem::new(Code::EngineFailed, detail)));
            Wire { status: Status::Failed, error, ..wire }
        }
    })
}

/// The name of the response that a task writes: the task's digits.
fn id_of(task: TaskId) -> String {
    format!("resp_{:032x}", task.as_u128())
}

fn task_of(field: &str, id: &str) -> Result<TaskId, Problem> {
    let digits = id.strip_prefix("resp_").unwrap_or_default();
    let unknown = || Problem::about(Code::NotFound, field, format!("`{id:.64}` is no response of this key"));
    format!("task_{digits}").parse().map_err(|_| unknown())
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn parsed<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Problem> {
    serde_json::from_str(text)
        .map_err(|error| Problem::new(Code::Internal, format!("a stored response cannot be read: {error}")))
}
