//! `/lar/v1/conversations`: the conversations of a user.

pub(crate) mod messages;
pub(crate) mod transfer;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use lar_agents::Turns;
use lar_api::Page;
use lar_api::conversations::{Conversation as Wire, ConversationPatch as WirePatch, NewConversation};
use lar_base::{Caller, ConversationId, Problem};
use lar_catalog::Kind;
use lar_gateway::Gateway;
use lar_memory::Memories;
use lar_store::{Conversation, ConversationPatch, OwnedConversation, Store};

use crate::auth::Conversing;
use crate::errors::Failure;
use crate::extract::{self, Json, PageQuery, Path};
use crate::idempotency::{self, IdempotentJson};
use crate::response_headers::with_etag;

/// The part of the shared state that serves conversations.
#[derive(Clone)]
pub(crate) struct ConversationState {
    pub(crate) store: Store,
    pub(crate) turns: Turns,
    pub(crate) gateway: Gateway,
    pub(crate) memories: Memories,
}

/// The maximum length of a title.
const TITLE_CHARS_MAX: usize = 200;

/// Create a conversation
#[utoipa::path(post, path = "/lar/v1/conversations", tag = "conversations", request_body = NewConversation,
    params(("idempotency-key" = Option<String>, Header)),
    responses((status = 201, body = Wire), (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn create(
    State(state): State<ConversationState>,
    Conversing(caller): Conversing,
    new: IdempotentJson<NewConversation>,
) -> Result<Response, Failure> {
    let (new, once) = new.into_parts(&caller);
    if let Some(id) = idempotency::earlier_id(&state.store, once.as_ref()).await? {
        let found = state.store.conversation_get(caller.user(), id).await?;
        return Ok(idempotency::mark_replayed(
            (StatusCode::CREATED, respond_with_etag(&state, found.get())).into_response(),
        ));
    }
    let title = new.title.map(|title| check_title(&title)).transpose()?.unwrap_or_default();
    if let Some(model) = &new.model {
        state.gateway.route_for(model, Kind::Chat).await?;
    }
    let system = new.system.map(|text| messages::check_content("system", text)).transpose()?;
    let made = lar_store::NewConversation { title, model: new.model, temporary: new.temporary, system };
    let made = state.store.conversation_create(caller.user(), made, once).await?;
    Ok((StatusCode::CREATED, respond_with_etag(&state, &made)).into_response())
}

/// List conversations
///
/// Returns the conversations, most recent turn first. With `q`, returns the conversations that contain
/// its words, best match first.
#[utoipa::path(get, path = "/lar/v1/conversations", tag = "conversations",
    params(("limit" = Option<u32>, Query), ("after" = Option<String>, Query), ("q" = Option<String>, Query)),
    responses((status = 200, body = Page<Wire>)))]
pub(crate) async fn list(
    State(state): State<ConversationState>,
    Conversing(caller): Conversing,
    page: PageQuery,
) -> Result<axum::Json<Page<Wire>>, Failure> {
    let limit = page.limit()?;
    if let Some(words) = page.q.clone() {
        let hits = state.store.conversation_search(caller.user(), words, limit).await?;
        let found = hits
            .into_iter()
            .map(|hit| Wire { snippet: Some(hit.snippet), ..to_wire(&state, &hit.conversation) });
        return Ok(axum::Json(Page { data: found.collect(), next: None }));
    }
    let rows = state.store.conversation_list(caller.user(), page.after()?, limit).await?;
    let next = (rows.len() == limit as usize).then(|| rows.last().map(|last| last.id.to_string())).flatten();
    Ok(axum::Json(Page { data: rows.iter().map(|row| to_wire(&state, row)).collect(), next }))
}

/// Show a conversation
///
/// Returns the conversation with all its messages.
#[utoipa::path(get, path = "/lar/v1/conversations/{id}", tag = "conversations", params(("id" = String, Path)),
    responses((status = 200, body = Wire), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn show(
    State(state): State<ConversationState>,
    Conversing(caller): Conversing,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let found = find_owned(&state, &caller, &id).await?;
    let body = whole(&state, &caller, &found).await?;
    let version = body.version;
    Ok(with_etag(axum::Json(body).into_response(), version))
}

/// Change a conversation
///
/// Sets the title, the model or the current branch, or restores a deleted conversation.
#[utoipa::path(patch, path = "/lar/v1/conversations/{id}", tag = "conversations", request_body = WirePatch,
    params(("id" = String, Path), ("if-match" = Option<String>, Header)),
    responses((status = 200, body = Wire), (status = 412, body = lar_api::ProblemBody)))]
pub(crate) async fn update(
    State(state): State<ConversationState>,
    Conversing(caller): Conversing,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(patch): Json<WirePatch>,
) -> Result<Response, Failure> {
    let owned = find_owned(&state, &caller, &id).await?;
    if let Some(model) = &patch.model {
        state.gateway.route_for(model, Kind::Chat).await?;
    }
    let patch = ConversationPatch {
        title: patch.title.map(|title| check_title(&title)).transpose()?,
        model: patch.model,
        head: patch.head.map(|head| extract::id(&head, "message")).transpose()?,
        deleted: patch.deleted,
    };
    let expected = extract::if_match(&headers)?;
    let changed = state.store.conversation_patch(&owned, patch, expected).await?;
    Ok(respond_with_etag(&state, &changed))
}

/// Delete a conversation
///
/// The conversation can be restored for 30 days. With `erase=true`, it is erased immediately and permanently.
#[utoipa::path(delete, path = "/lar/v1/conversations/{id}", tag = "conversations",
    params(("id" = String, Path), ("erase" = Option<bool>, Query)),
    responses((status = 204), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn remove(
    State(state): State<ConversationState>,
    Conversing(caller): Conversing,
    Path(id): Path<String>,
    request: axum::extract::Request,
) -> Result<StatusCode, Failure> {
    let owned = find_owned(&state, &caller, &id).await?;
    let erases = extract::erases(request.uri())?;
    state.turns.stop(&owned);
    if erases {
        state.store.conversation_erase(&owned).await?;
    } else {
        let patch = ConversationPatch { deleted: Some(true), ..ConversationPatch::default() };
        state.store.conversation_patch(&owned, patch, None).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Stop the current answer
///
/// Cancels the answer that is being written, and keeps the text so far.
#[utoipa::path(post, path = "/lar/v1/conversations/{id}/stop", tag = "conversations", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn stop(
    State(state): State<ConversationState>,
    Conversing(caller): Conversing,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    state.turns.stop(&find_owned(&state, &caller, &id).await?);
    Ok(StatusCode::NO_CONTENT)
}

fn check_title(title: &str) -> Result<String, Problem> {
    let title = title.trim();
    match title.chars().count() {
        1..=TITLE_CHARS_MAX if !title.chars().any(char::is_control) => Ok(title.to_owned()),
        _ => Err(Problem::invalid("title", format!("must be one line of 1 to {TITLE_CHARS_MAX} characters"))),
    }
}

fn to_wire(state: &ConversationState, found: &Conversation) -> Wire {
    let running_task = state.turns.running_task(found.id).map(|task| task.to_string());
    Wire { running_task, ..summary(found) }
}

/// Returns a conversation as stored, without its messages.
fn summary(found: &Conversation) -> Wire {
    Wire {
        id: found.id.to_string(),
        title: found.title.clone(),
        model: found.model.clone(),
        head: found.head.map(|id| id.to_string()),
        temporary: found.temporary,
        version: found.version,
        created_at: found.created_at.to_string(),
        updated_at: found.updated_at.to_string(),
        deleted_at: found.deleted_at.map(|at| at.to_string()),
        running_task: None,
        messages: None,
        snippet: None,
    }
}

/// Returns the conversation that a path names, if it belongs to the caller. Call it before any access.
async fn find_owned(
    state: &ConversationState,
    caller: &Caller,
    id: &str,
) -> Result<OwnedConversation, Problem> {
    let id: ConversationId = extract::id(id, "conversation")?;
    Ok(state.store.conversation_get(caller.user(), id).await?)
}

/// Returns a conversation with all its messages.
async fn whole(
    state: &ConversationState,
    caller: &Caller,
    owned: &OwnedConversation,
) -> Result<Wire, lar_store::Error> {
    let all = state.store.message_list(owned).await?;
    let messages = all.iter().map(|message| messages::message_for(caller, message)).collect();
    Ok(Wire { messages: Some(messages), ..to_wire(state, owned.get()) })
}

/// Returns the line of a conversation in an export.
#[must_use]
pub fn conversation_line(found: &Conversation, all: &[lar_store::Message]) -> Wire {
    // A damaged database may have lost a message that others refer to, and an import rejects such references.
    let is_there = |id: &String| all.iter().any(|message| message.id.to_string() == *id);
    let mut line = Wire { messages: Some(all.iter().map(messages::to_wire).collect()), ..summary(found) };
    line.head = line.head.filter(is_there);
    for message in line.messages.iter_mut().flatten() {
        message.parent = message.parent.take().filter(is_there);
    }
    line
}

fn respond_with_etag(state: &ConversationState, found: &Conversation) -> Response {
    with_etag(axum::Json(to_wire(state, found)).into_response(), found.version)
}
