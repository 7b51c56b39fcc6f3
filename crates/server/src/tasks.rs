//! `/lar/v1/tasks`: tasks that are addressed by id, with event streams that can be resumed.

mod events;

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use lar_api::Page;
use lar_api::tasks::{
    NewTask, Priority as WirePriority, Task as WireTask, TaskAccepted, TaskError, Workload,
};
use lar_base::{Caller, Code, Problem, TaskId};
use lar_gateway::{OnDisconnect, Task, Work};
use lar_inference::{ChatMessage, Priority, Prompt, Sampling, TaskEvent};
use lar_store::{Outcome, TaskRecord};

use crate::auth::Inference;
use crate::errors::{Failure, file_names};
use crate::extract::{self, PageQuery, Path};
use crate::generate::{derived_seed, in_range};
use crate::idempotency::{self, IdempotentJson};
use crate::{App, State, sse};
pub(crate) use events::{TaskStream, stored_events};

/// How long a task that is not detached keeps running without a reader.
const RESUME_WITHIN: Duration = Duration::from_secs(30);

/// Create a task
///
/// Lar stores the task before it responds.
#[utoipa::path(post, path = "/lar/v1/tasks", tag = "tasks", request_body = NewTask,
    params(("idempotency-key" = Option<String>, Header)),
    responses((status = 202, body = TaskAccepted), (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn create(
    app: State,
    Inference(caller): Inference,
    new: IdempotentJson<NewTask>,
) -> Result<Response, Failure> {
    let (new, once) = new.into_parts(&caller);
    if let Some(id) = idempotency::earlier_id(&app, once.as_ref()).await? {
        return Ok(idempotency::mark_replayed(
            (StatusCode::ACCEPTED, axum::Json(acknowledgement(id))).into_response(),
        ));
    }
    let task = convert(caller, new)?;
    let admitted = app.gateway.admit(task).await?;
    let handle = app.gateway.dispatch_durably(admitted, once).await?;
    let mut acknowledgement = acknowledgement(handle.id());
    let mut reader = handle.read(0);
    match reader.next().await {
        Some((_, TaskEvent::Queued { position, predicted_start_ms, .. })) => {
            acknowledgement.queue_position = position as u64;
            acknowledgement.predicted_start_ms = predicted_start_ms;
            acknowledgement.backoff_ms = predicted_start_ms / 2;
        }
        Some((_, TaskEvent::Error(problem))) => return Err(problem.into()),
        _ => {}
    }
    Ok((StatusCode::ACCEPTED, axum::Json(acknowledgement)).into_response())
}

/// List tasks
///
/// Returns the tasks of the key, newest first. A key with the scope `conversations` gets the tasks of all
/// keys of its user.
#[utoipa::path(get, path = "/lar/v1/tasks", tag = "tasks",
    params(("limit" = Option<u32>, Query), ("after" = Option<String>, Query)),
    responses((status = 200, body = Page<WireTask>)))]
pub(crate) async fn list(
    app: State,
    Inference(caller): Inference,
    page: PageQuery,
) -> Result<axum::Json<Page<WireTask>>, Failure> {
    let limit = page.limit()?;
    let records = app.store.task_list(caller.visible_keys(), page.after()?, limit).await?;
    let next =
        (records.len() == limit as usize).then(|| records.last().map(|last| last.id.to_string())).flatten();
    Ok(axum::Json(Page { data: records.into_iter().map(to_wire).collect(), next }))
}

/// Show a task
#[utoipa::path(get, path = "/lar/v1/tasks/{id}", tag = "tasks", params(("id" = String, Path)),
    responses((status = 200, body = WireTask), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn show(
    app: State,
    Inference(caller): Inference,
    Path(id): Path<String>,
) -> Result<axum::Json<WireTask>, Failure> {
    Ok(axum::Json(to_wire(find(&app, &caller, &id).await?)))
}

/// Stream a task's events
///
/// Starts with the first event, or after the event that `Last-Event-ID` names. If the task ended long ago or
/// before the last start of Lar, the stream has only its last event.
#[utoipa::path(get, path = "/lar/v1/tasks/{id}/stream", tag = "tasks",
    params(("id" = String, Path), ("last-event-id" = Option<u64>, Header)),
    responses((status = 200, content_type = "text/event-stream", body = lar_api::tasks::TaskEvent)))]
pub(crate) async fn stream(
    app: State,
    Inference(caller): Inference,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let from = match headers.get("last-event-id").map(|id| id.to_str()) {
        None => 0,
        Some(Ok(text)) => {
            let last: usize = text
                .parse()
                .map_err(|_| Problem::invalid("Last-Event-ID", "must be the number of an event"))?;
            last.saturating_add(1)
        }
        Some(Err(_)) => {
            return Err(Problem::invalid("Last-Event-ID", "must be the number of an event").into());
        }
    };
    let task: TaskId = extract::id(&id, "task")?;
    if let Some(handle) = app.gateway.find(caller.visible_keys(), task) {
        return Ok(sse::response(TaskStream::new(handle, app.gateway.engines().clone(), from)));
    }
    // The task ended long ago or before the last start, so only its record is left.
    let record = find(&app, &caller, &id).await?;
    let end = record.end.as_ref().map(events::of_record);
    let text = end.map(|event| sse::event(Some(event.name()), None, &event.data().to_string()));
    Ok(sse::response(events::SingleEvent(text)))
}

/// Cancel a task
///
/// Changes nothing if the task has ended.
#[utoipa::path(post, path = "/lar/v1/tasks/{id}/cancel", tag = "tasks", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn cancel(
    app: State,
    Inference(caller): Inference,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    match app.gateway.find(caller.visible_keys(), extract::id(&id, "task")?) {
        Some(handle) => handle.cancel(),
        None => {
            find(&app, &caller, &id).await?;
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

fn acknowledgement(id: TaskId) -> TaskAccepted {
    TaskAccepted { task_id: id.to_string(), queue_position: 0, predicted_start_ms: 0, backoff_ms: 0 }
}

async fn find(app: &App, caller: &Caller, id: &str) -> Result<TaskRecord, Problem> {
    let id: TaskId = extract::id(id, "task")?;
    app.store
        .task_get(caller.visible_keys(), id)
        .await?
        .ok_or_else(|| Problem::not_found(format!("task {id}")))
}

fn convert(caller: Caller, new: NewTask) -> Result<Task, Problem> {
    let id = TaskId::new();
    let work = match new.workload {
        Workload::Completion => {
            let prompt = match (new.messages, new.prompt) {
                (Some(messages), None) if !messages.is_empty() => {
                    Prompt::Chat(messages.into_iter().map(chat).collect::<Result<Vec<_>, _>>()?.into())
                }
                (None, Some(text)) => Prompt::Text(text),
                (Some(_), Some(_)) => {
                    return Err(Problem::invalid("prompt", "cannot be used together with `messages`"));
                }
                _ => return Err(Problem::invalid("messages", "or `prompt` is needed for a completion")),
            };
            let stop = new.stop.unwrap_or_default();
            if stop.len() > 32 || stop.iter().any(|text| text.is_empty() || text.len() > 1024) {
                return Err(Problem::invalid("stop", "must have at most 32 strings of 1 to 1024 bytes"));
            }
            if new.max_tokens == Some(0) {
                return Err(Problem::invalid("max_tokens", "must be at least 1"));
            }
            let sampling = Sampling {
                temperature: in_range("temperature", new.temperature, 0.0, 2.0)?,
                top_p: in_range("top_p", new.top_p, 0.0, 1.0)?,
                seed: new.seed.unwrap_or_else(|| derived_seed(id)),
                stop,
                tokens_max: new.max_tokens.unwrap_or(0),
                ..Sampling::default()
            };
            Work::Generate { prompt, sampling }
        }
        Workload::Embedding => match new.input {
            Some(texts) if !texts.is_empty() => Work::Embed { texts },
            _ => return Err(Problem::invalid("input", "is needed for an embedding")),
        },
        Workload::Rerank => match (new.query, new.input) {
            (Some(query), Some(texts)) if !query.is_empty() && !texts.is_empty() => {
                Work::Rank { query, texts }
            }
            _ => return Err(Problem::invalid("query", "and `input` are needed for a ranking")),
        },
    };
    let default = match work {
        Work::Generate { .. } => "default",
        Work::Embed { .. } => "default-embedding",
        Work::Rank { .. } => "default-rerank",
    };
    Ok(Task {
        id,
        caller,
        api: "lar.task",
        model: new.model.unwrap_or_else(|| default.into()),
        priority: match new.priority {
            WirePriority::Interactive => Priority::Interactive,
            WirePriority::Batch => Priority::Batch,
        },
        deadline: new.deadline_ms.map(Duration::from_millis),
        conversation: None,
        memory: None,
        on_disconnect: if new.detached {
            OnDisconnect::KeepRunning
        } else {
            OnDisconnect::CancelAfter(RESUME_WITHIN)
        },
        work,
    })
}

fn chat(message: lar_api::tasks::ChatMessage) -> Result<ChatMessage, Problem> {
    match message.role.as_str() {
        "system" | "user" | "assistant" => Ok(ChatMessage::new(message.role, message.content)),
        _ => Err(Problem::invalid("messages.role", "must be system, user or assistant")),
    }
}

fn to_wire(record: TaskRecord) -> WireTask {
    let end = record.end;
    let (state, finish_reason, error) = match end.as_ref().map(|end| &end.outcome) {
        None => ("running", None, None),
        Some(Outcome::End { finish_reason }) => ("end", Some(finish_reason.clone()), None),
        Some(Outcome::Cancelled) => ("cancelled", None, None),
        Some(Outcome::Error { code, message }) => ("error", None, Some(task_error(*code, message, None))),
    };
    let number = |of: fn(&lar_store::TaskEnd) -> Option<u64>| end.as_ref().and_then(of);
    WireTask {
        id: record.id.to_string(),
        state: state.into(),
        model: record.model,
        workload: record.workload,
        priority: record.priority,
        api: record.api,
        memory: record.memory.and_then(|memory| serde_json::from_str(&memory).ok()),
        conversation_id: record.conversation.map(|id| id.to_string()),
        created_at: record.created_at.to_string(),
        ended_at: end.as_ref().map(|end| end.ended_at.to_string()),
        finish_reason,
        error,
        tokens_in: number(|end| Some(end.tokens_in)),
        tokens_out: number(|end| Some(end.tokens_out)),
        queue_ms: number(|end| end.queue_ms),
        ttft_ms: number(|end| end.ttft_ms),
        decode_ms: number(|end| end.decode_ms),
    }
}

/// Returns the error of a task as every caller with access to the task may read it. The full error was logged
/// when the task ended.
fn task_error(code: Code, message: &str, retry_after: Option<Duration>) -> TaskError {
    let message = if code.status() < 500 { message.into() } else { file_names(message) };
    TaskError {
        code: code.as_str().into(),
        message: message.into_owned(),
        retriable: code.retriable(),
        retry_after_ms: retry_after.map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)),
    }
}
