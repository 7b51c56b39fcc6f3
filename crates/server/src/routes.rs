//! The table of paths. `POST /lar/v1/conversations/{id}/messages` is served by
//! `conversations/messages.rs`, and so on.

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, delete, get, patch, post};

use crate::{
    App, aliases, capabilities, catalog, conversations, frame, health, keys, mcp, memories, openai, openapi,
    page, pools, sign_in, spaces, tasks, usage, users,
};

pub(crate) fn router(app: &Arc<App>) -> Router {
    let openai = Router::new()
        .route("/chat/completions", post(openai::chat_completions::create))
        .route("/completions", post(openai::completions::create))
        .route("/embeddings", post(openai::embeddings::create))
        .route("/rerank", post(openai::rerank::create))
        .route("/models", get(openai::models::list))
        .route("/models/{*id}", get(openai::models::show))
        .route("/capabilities", get(capabilities::show));

    let ours = Router::new()
        .route("/capabilities", get(capabilities::show))
        .route("/tasks", post(tasks::create).get(tasks::list))
        .route("/tasks/{id}", get(tasks::show))
        .route("/tasks/{id}/stream", get(tasks::stream))
        .route("/tasks/{id}/cancel", post(tasks::cancel))
        .route("/conversations", post(conversations::create).get(conversations::list))
        .route("/conversations/export", get(conversations::transfer::export))
        .route("/conversations/import", post(conversations::transfer::import))
        .route("/conversations/{id}", get(conversations::show))
        .route("/conversations/{id}", patch(conversations::update))
        .route("/conversations/{id}", delete(conversations::remove))
        .route("/conversations/{id}/messages", post(conversations::messages::create))
        .route("/conversations/{id}/messages/{message}/branch", post(conversations::messages::branch))
        .route("/conversations/{id}/messages/{message}/regenerate", post(conversations::messages::regenerate))
        .route("/conversations/{id}/messages/{message}/feedback", post(conversations::messages::feedback))
        .route("/conversations/{id}/stop", post(conversations::stop))
        .route("/memories", post(memories::create).get(memories::list))
        .route("/memories/batch", post(memories::create_batch))
        .route("/memories/smart", post(memories::smart::smart))
        .route("/memories/search", post(memories::search::search))
        .route("/memories/stats", get(memories::stats))
        .route("/memories/export", get(memories::transfer::export))
        .route("/memories/import", post(memories::transfer::import))
        .route("/memories/inbox", get(memories::inbox::list))
        .route("/memories/inbox/{id}/accept", post(memories::inbox::accept))
        .route("/memories/inbox/{id}/reject", post(memories::inbox::reject))
        .route("/memories/clients", get(memories::inbox::clients))
        .route("/memories/{id}", get(memories::show))
        .route("/memories/{id}", patch(memories::update))
        .route("/memories/{id}", delete(memories::remove))
        .route("/memories/{id}/promote", post(memories::review::promote))
        .route("/memories/{id}/demote", post(memories::review::demote))
        .route("/memories/{id}/feedback", post(memories::review::feedback))
        .route("/memories/{id}/history", get(memories::review::history))
        .route("/memories/{id}/undo", post(memories::review::undo))
        .route("/spaces", get(spaces::list).post(spaces::create))
        .route("/spaces/{id}/grants", get(spaces::grants).post(spaces::grant))
        .route("/spaces/{id}/grants/{user}", delete(spaces::revoke))
        .route("/catalog/models", get(catalog::list))
        .route("/catalog/models/{name}", get(catalog::show))
        .route("/catalog/models/{name}", delete(catalog::remove))
        .route("/catalog/models/{name}/verify", post(catalog::verify))
        .route("/catalog/recommended", get(catalog::recommended))
        .route("/catalog/pulls", post(catalog::pulls::create).get(catalog::pulls::list))
        .route("/catalog/adopt", post(catalog::adopt))
        .route("/aliases", get(aliases::list).post(aliases::set))
        .route("/aliases/{name}", delete(aliases::remove))
        .route("/pools", get(pools::list))
        .route("/pools/{id}/health", get(pools::health))
        .route("/pools/{id}/load", post(pools::load))
        .route("/pools/{id}/unload", post(pools::unload))
        .route("/devices", get(capabilities::devices))
        .route("/usage", get(usage::list))
        .route("/keys", get(keys::list).post(keys::create))
        .route("/keys/{id}", delete(keys::revoke))
        .route("/users", get(users::list).post(users::invite))
        .route("/users/{id}", delete(users::remove))
        .route("/me", get(sign_in::me))
        .route("/sign-in", post(sign_in::exchange))
        .route("/sign-in/links", post(sign_in::create_link))
        .route("/sign-out", post(sign_in::sign_out));

    let mcp = mcp::service(app);
    Router::new()
        .route("/mcp", any(move |request| mcp::serve(mcp.clone(), request)))
        .route(mcp::METADATA, get(mcp::metadata))
        .nest("/v1", openai)
        .nest("/lar/v1", ours)
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/health", get(health::ready))
        .route("/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::show))
        .method_not_allowed_fallback(frame::method_not_allowed)
        .fallback(page::show)
        .layer(axum::middleware::from_fn_with_state(app.clone(), frame::frame))
        .with_state(app.clone())
}
