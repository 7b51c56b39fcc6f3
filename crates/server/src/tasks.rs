//! `/lar/v1/tasks`: tasks that are addressed by id, with event streams that can be resumed.

mod error;
mod events;

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use lar_api::Page;
use lar_api::tasks::{
    NewTask, Priority as WirePriority, Task as WireTask, TaskAccepted, TaskState, Workload,
};
use lar_base::{Caller, Problem, TaskId};
use lar_gateway::{Gateway, OnDisconnect, Task, Work};
use lar_inference::{ChatMessage, Priority, Prompt, Sampling, TaskEvent, in_range};
use lar_store::{Outcome, Store, TaskRecord};

use self::error::task_error;
pub(crate) use self::events::{TaskStream, stored_events};
use crate::auth::Inference;
use crate::errors::Failure;
use crate::extract::{self, PageQuery, Path};
use crate::idempotency::{self, IdempotentJson};
use crate::sse;

/// How long a task that is not detached keeps running without a reader.
const RESUME_WITHIN: Duration = Duration::from_secs(30);

/// Create a task
///
/// Lar stores the task before it responds.
#[utoipa::path(post, path = "/lar/v1/tasks", tag = "tasks", request_body = NewTask,
    params(("idempotency-key" = Option<String>, Header)),
    responses((status = 202, body = TaskAccepted), (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn create(
    State(store): State<Store>,
    State(gateway): State<Gateway>,
    Inference(caller): Inference,
    new: IdempotentJson<NewTask>,
) -> Result<Response, Failure> {
    let (new, once) = new.into_parts(&caller);
    if let Some(id) = idempotency::earlier_id(&store, once.as_ref()).await? {
        return Ok(idempotency::mark_replayed(
            (StatusCode::ACCEPTED, axum::Json(acknowledgement(id))).into_response(),
        ));
    }
    let task = convert(caller, new)?;
    let admitted = gateway.admit(task).await?;
    let handle = gateway.dispatch_durably(admitted, once).await?;
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
    State(store): State<Store>,
    Inference(caller): Inference,
    page: PageQuery,
) -> Result<axum::Json<Page<WireTask>>, Failure> {
    let limit = page.limit()?;
    let records = store.task_list(caller.visible_keys(), page.after()?, limit).await?;
    let next =
        (records.len() == limit as usize).then(|| records.last().map(|last| last.id.to_string())).flatten();
    Ok(axum::Json(Page { data: records.into_iter().map(to_wire).collect(), next }))
}

/// Show a task
#[utoipa::path(get, path = "/lar/v1/tasks/{id}", tag = "tasks", params(("id" = String, Path)),
    responses((status = 200, body = WireTask), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn show(
    State(store): State<Store>,
    Inference(caller): Inference,
    Path(id): Path<String>,
) -> Result<axum::Json<WireTask>, Failure> {
    Ok(axum::Json(to_wire(find(&store, &caller, &id).await?)))
}

/// Stream a task's events
///
/// Starts with the first event, or after the event that `Last-Event-ID` names. If the task ended long ago or
/// before the last start of Lar, the stream has only its last event.
#[utoipa::path(get, path = "/lar/v1/tasks/{id}/stream", tag = "tasks",
    params(("id" = String, Path), ("last-event-id" = Option<u64>, Header)),
    responses((status = 200, content_type = "text/event-stream", body = lar_api::tasks::TaskEvent)))]
pub(crate) async fn stream(
    State(store): State<Store>,
    State(gateway): State<Gateway>,
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
    if let Some(handle) = gateway.find(caller.visible_keys(), task) {
        return Ok(sse::response(TaskStream::new(handle, gateway.engines().clone(), from)));
    }
    // The task ended long ago or before the last start, so only its record is left.
    let record = find(&store, &caller, &id).await?;
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
    State(store): State<Store>,
    State(gateway): State<Gateway>,
    Inference(caller): Inference,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    match gateway.find(caller.visible_keys(), extract::id(&id, "task")?) {
        Some(handle) => handle.cancel(),
        None => {
            find(&store, &caller, &id).await?;
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

fn acknowledgement(id: TaskId) -> TaskAccepted {
    TaskAccepted { task_id: id.to_string(), queue_position: 0, predicted_start_ms: 0, backoff_ms: 0 }
}

async fn find(store: &Store, caller: &Caller, id: &str) -> Result<TaskRecord, Problem> {
    let id: TaskId = extract::id(id, "task")?;
    store.task_get(caller.visible_keys(), id).await?.ok_or_else(|| Problem::not_found(format!("task {id}")))
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
                seed: new.seed.unwrap_or_else(|| Sampling::derived_seed(id)),
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
        None => (TaskState::Running, None, None),
        Some(Outcome::End { finish_reason }) => (TaskState::End, Some(finish_reason.clone()), None),
        Some(Outcome::Cancelled) => (TaskState::Cancelled, None, None),
        Some(Outcome::Error { code, message }) => {
            (TaskState::Error, None, Some(task_error(*code, message, None)))
        }
    };
    let number = |of: fn(&lar_store::TaskEnd) -> Option<u64>| end.as_ref().and_then(of);
    WireTask {
        id: record.id.to_string(),
        state,
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
