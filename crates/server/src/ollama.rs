//! `/api`: Ollama's API for unmodified clients. Requests become the same tasks as those of OpenAI's API.
//!
//! [`lar_compat::ollama`] decodes requests and encodes responses. This file answers chats and prompts,
//! with the steps that other APIs do not have: loading and unloading, `keep_alive`, and truncation.

pub(crate) mod chat;
pub(crate) mod embed;
pub(crate) mod generate;
pub(crate) mod models;
pub(crate) mod pull;

use std::time::Duration;

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use lar_agents::about_model;
use lar_agents::truncation::{self, Cut};
use lar_base::json::to_json;
use lar_base::{Caller, Problem, Scope, TaskId, Timestamp};
use lar_compat::ollama::{FOREVER, OllamaInput, OllamaStyle, load_answer};
use lar_compat::{Codec, ToolSchemas, plain_name};
use lar_engines::Engines;
use lar_gateway::Gateway;
use serde::Serialize;

use crate::answers::{self, AnswerState};
use crate::body_limits::ReceivedBody;
use crate::compat_caller::CompatCaller;
use crate::extract::JSON_LINES;
use crate::pools;
use crate::response_headers::with_removed_messages;

/// Responds to a body of a path with this codec. `api` is the name of the API in usage records.
async fn answer<C: Codec<Input = OllamaInput, Style = OllamaStyle>>(
    state: &AnswerState,
    compat_caller: &CompatCaller,
    api: &'static str,
    body: ReceivedBody,
) -> Result<Response, Problem> {
    let OllamaInput { request, mut style, stream, keep_alive, truncates, context_max } =
        body.read(|body| C::decode(body, TaskId::new()))?;
    let Some(mut request) = request else {
        let done_reason = load(&state.gateway, compat_caller.caller(), &style.model, keep_alive).await?;
        return Ok(respond_once(&load_answer(&style, done_reason, Timestamp::now()), stream));
    };
    let removed = if truncates {
        let key = compat_caller.key();
        truncation::fit(&state.gateway, key, &mut request, Cut::MessagesAndText, context_max).await?
    } else {
        None
    };
    style.set_context(&request.prompt);
    // The style keeps the conversation in memory until the response ends.
    let share = style.has_context().then(|| compat_caller.body.clone());
    let schemas = ToolSchemas::of(&request);
    let answers = answers::begin(state, compat_caller, api, request, share.as_ref()).await?;
    if let Some(keep_alive) = keep_alive {
        let route = state.gateway.route(plain_name(&style.model)).await;
        if let Ok(route) = route {
            set_keep_alive(state.gateway.engines(), compat_caller.caller(), &route.pool, keep_alive);
        }
    }
    let response = answers.respond::<C>(stream, style, &schemas, share).await?;
    Ok(with_removed_messages(response, removed))
}

/// Responds with one object, as the only line of a stream if `stream` is set.
fn respond_once(object: &impl Serialize, stream: bool) -> Response {
    if stream {
        return ([(header::CONTENT_TYPE, JSON_LINES)], to_json(object) + "\n").into_response();
    }
    axum::Json(object).into_response()
}

/// Sets how long a model stays loaded after its last use, as a request asks.
///
/// Only an admin may set less than the default, because other callers use the model, too.
fn set_keep_alive(engines: &Engines, caller: &Caller, pool: &str, keep_alive: Duration) {
    let set = engines.keep_alive().unwrap_or(FOREVER);
    if keep_alive >= set || caller.require(Scope::Admin).is_ok() {
        engines.set_keep_alive(pool, Some(keep_alive));
    }
}

/// Loads a model, or unloads it if `keep_alive` is 0. Returns the response's `done_reason`.
async fn load(
    gateway: &Gateway,
    caller: &Caller,
    model: &str,
    keep_alive: Option<Duration>,
) -> Result<&'static str, Problem> {
    let engines = gateway.engines();
    let route = gateway.route_for(plain_name(model), lar_catalog::Kind::Chat).await;
    let route = route.map_err(about_model)?;
    if keep_alive != Some(Duration::ZERO) {
        engines.load(&route.pool);
        if let Some(keep_alive) = keep_alive {
            set_keep_alive(engines, caller, &route.pool, keep_alive);
        }
        return Ok("load");
    }
    caller.require(Scope::Admin)?;
    pools::refuse_active(engines, &route.pool)?;
    engines.unload(&route.pool);
    Ok("unload")
}
