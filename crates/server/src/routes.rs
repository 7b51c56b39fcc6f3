//! The route table: one router per API, with the format of its errors.
//!
//! A path names the file of its handler: `conversations/messages.rs` serves
//! `POST /lar/v1/conversations/{id}/messages`.

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, delete, get, patch, post};

use crate::api::Api;
use crate::middleware::RouterScope;
use crate::state::{App, SharedApp};
use crate::{
    aliases, anthropic, backups, bridge, capabilities, catalog, clients, conversations, health, keys,
    llama_cpp, mcp, mcp_auth, memories, metrics, middleware, ollama, openai, openapi, page, pools, sign_in,
    spaces, tasks, usage, users,
};

type Routes = Router<SharedApp>;

/// Returns the router of the server.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let within = |api: Api, routes: Routes| {
        let scope = RouterScope { app: app.clone(), api };
        let routes = routes.method_not_allowed_fallback(middleware::method_not_allowed);
        routes.layer(axum::middleware::from_fn_with_state(scope, middleware::apply))
    };
    let below = |api: Api, routes: Routes| within(api, routes.fallback(middleware::not_found));
    let router = within(Api::Lar, root().fallback(page::show))
        .merge(within(Api::Mcp, mcp(app)))
        .merge(within(Api::LlamaCpp, llama_cpp()))
        .merge(within(Api::OpenAi, openai_at_root()))
        .nest("/v1", below(Api::OpenAi, openai_v1()))
        .nest("/v1/messages", below(Api::Anthropic, anthropic()))
        .nest("/api", below(Api::Ollama, ollama()))
        .nest("/bridge", below(Api::Bridge, bridge()))
        .nest("/lar/v1", below(Api::Lar, lar()));
    let doubled = |router: Routes, (api, paths): (Api, &[&str])| router.merge(within(api, unknown(paths)));
    OF_SLASHED_BASE_URLS.into_iter().fold(router, doubled).with_state(SharedApp(app.clone()))
}

/// The paths that a client requests whose base URL ends with a slash, by the API whose client it is.
const OF_SLASHED_BASE_URLS: [(Api, &[&str]); 5] = [
    (
        Api::OpenAi,
        &[
            "/v1/",
            "//v1/{*path}",
            "//chat/{*path}",
            "//embeddings",
            "//models",
            "//models/{*path}",
            "//rerank",
            "//reranking",
            "//responses",
        ],
    ),
    (Api::Anthropic, &["//v1/messages", "//v1/messages/{*path}"]),
    (Api::Ollama, &["/api/", "//api/{*path}"]),
    (Api::Bridge, &["/bridge/", "//bridge/{*path}"]),
    (
        Api::LlamaCpp,
        &[
            "//completion",
            "//completions",
            "//infill",
            "//tokenize",
            "//detokenize",
            "//apply-template",
            "//embedding",
            "//props",
            "//slots",
        ],
    ),
];

/// Returns a router that answers these paths with "not found", and with the advice about the base URL.
fn unknown(paths: &[&str]) -> Routes {
    paths.iter().fold(Router::new(), |router, path| router.route(path, any(middleware::not_found)))
}

/// Lar's health, metrics and OpenAPI paths.
fn root() -> Routes {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/health", get(health::ready))
        .route("/ready", get(health::ready))
        .route("/metrics", get(metrics::show))
        .route("/openapi.json", get(openapi::show))
}

fn mcp(app: &Arc<App>) -> Routes {
    let service = mcp::service(app.auth.clone(), app.receiver.clone(), app.memories.clone());
    Router::new()
        .route(mcp_auth::PATH, any(move |request| mcp::serve(service.clone(), request)))
        .route(mcp_auth::METADATA, get(mcp_auth::metadata))
        .route(mcp_auth::METADATA_OF_PATH, get(mcp_auth::metadata))
}

/// The paths of llama.cpp's server.
fn llama_cpp() -> Routes {
    Router::new()
        .route("/completion", post(llama_cpp::completion::create))
        .route("/completions", post(llama_cpp::completion::create_in_either_form))
        .route("/infill", post(llama_cpp::completion::infill))
        .route("/tokenize", post(llama_cpp::tokens::tokenize))
        .route("/detokenize", post(llama_cpp::tokens::detokenize))
        .route("/apply-template", post(llama_cpp::tokens::apply_template))
        .route("/embedding", post(llama_cpp::embedding::create))
        .route("/props", get(llama_cpp::properties::props))
        .route("/slots", get(llama_cpp::properties::slots))
        .route("/lora-adapters", get(llama_cpp::properties::lora_adapters))
}

/// OpenAI's paths that are the same with and without `/v1`.
fn openai() -> Routes {
    Router::new()
        .route("/chat/completions", post(openai::chat_completions::create))
        .route("/chat/completions/input_tokens", post(openai::chat_completions::input_tokens))
        .route("/responses", post(openai::responses::create))
        .route("/responses/input_tokens", post(openai::responses::input_tokens))
        .route("/rerank", post(openai::rerank::create))
        .route("/reranking", post(openai::rerank::create))
        .route("/models", get(openai::models::list))
        .route("/models/{*id}", get(openai::models::show))
}

/// OpenAI's paths below `/v1`.
fn openai_v1() -> Routes {
    openai()
        .route("/completions", post(openai::completions::create))
        .route("/embeddings", post(openai::embeddings::create))
        .route("/responses/{id}", get(openai::responses::show).delete(openai::responses::remove))
        .route("/responses/{id}/cancel", post(openai::responses::cancel))
        .route("/responses/{id}/input_items", get(openai::responses::input_items))
        .route("/health", get(health::ready))
        .route("/capabilities", get(capabilities::show))
}

/// OpenAI's paths for clients whose base URL has no `/v1`. llama.cpp's server has some of them, too.
fn openai_at_root() -> Routes {
    openai().route("/embeddings", post(llama_cpp::embedding::create_in_either_form))
}

fn anthropic() -> Routes {
    Router::new()
        .route("/", post(anthropic::messages::create))
        .route("/count_tokens", post(anthropic::count_tokens::create))
}

fn ollama() -> Routes {
    Router::new()
        .route("/chat", post(ollama::chat::create))
        .route("/generate", post(ollama::generate::create))
        .route("/embed", post(ollama::embed::embed))
        .route("/embeddings", post(ollama::embed::embeddings))
        .route("/tags", get(ollama::models::tags))
        .route("/show", post(ollama::models::show))
        .route("/ps", get(ollama::models::ps))
        .route("/pull", post(ollama::pull::pull))
        .route("/delete", delete(ollama::pull::delete))
        .route("/version", get(ollama::models::version))
}

fn bridge() -> Routes {
    Router::new()
        .route("/health", get(bridge::health))
        .route("/readyz", get(bridge::health))
        .route("/{tool}", post(bridge::call))
}

/// Lar's own API.
fn lar() -> Routes {
    Router::new()
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
        .route("/memories/batch/dry-run", post(memories::dry_run::create))
        .route("/memories/smart", post(memories::smart::smart))
        .route("/memories/search", post(memories::search::search))
        .route("/memories/intents", post(memories::intent::create))
        .route("/memories/heard", post(memories::intent::create_by_old_path))
        .route("/memories/stats", get(memories::stats))
        .route("/memories/export", get(memories::transfer::export))
        .route("/memories/import", post(memories::transfer::import))
        .route("/memories/import/dry-run", post(memories::dry_run::import))
        .route("/memories/inbox", get(memories::inbox::list))
        .route("/memories/inbox/{id}/accept", post(memories::inbox::accept))
        .route("/memories/inbox/{id}/reject", post(memories::inbox::reject))
        .route("/memories/clients", get(memories::inbox::clients))
        .route("/memories/judges", get(memories::judges::show))
        .route("/memories/judges", post(memories::judges::calibrate))
        .route("/memories/links", get(memories::links::list))
        .route("/memories/links/{id}", post(memories::links::resolve))
        .route("/memories/consolidation", get(memories::consolidation::show))
        .route("/memories/consolidation/runs", get(memories::consolidation::list_runs))
        .route("/memories/consolidation/runs", post(memories::consolidation::start))
        .route("/memories/consolidation/runs/{id}", get(memories::consolidation::show_one))
        .route("/memories/consolidation/runs/{id}/accept", post(memories::consolidation::accept_run))
        .route("/memories/consolidation/runs/{id}/undo", post(memories::consolidation::undo_run))
        .route("/memories/consolidation/proposals", get(memories::consolidation::list_proposals))
        .route("/memories/consolidation/proposals/{id}/accept", post(memories::consolidation::accept))
        .route("/memories/consolidation/proposals/{id}/reject", post(memories::consolidation::reject))
        .route("/memories/intentions", post(memories::intentions::create).get(memories::intentions::list))
        .route("/memories/intentions/check", post(memories::intentions::check))
        .route("/memories/intentions/{id}", get(memories::intentions::show))
        .route("/memories/intentions/{id}", patch(memories::intentions::update))
        .route("/memories/intentions/{id}", delete(memories::intentions::remove))
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
        .route("/catalog/starter", get(catalog::starter::show))
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
        .route("/backups", post(backups::create).get(backups::list))
        .route("/clients", get(clients::list))
        .route("/keys", get(keys::list).post(keys::create))
        .route("/keys/{id}", delete(keys::revoke))
        .route("/users", get(users::list).post(users::invite))
        .route("/users/{id}", delete(users::remove))
        .route("/me", get(sign_in::me))
        .route("/sign-in", post(sign_in::exchange))
        .route("/sign-in/links", post(sign_in::create_link))
        .route("/sign-out", post(sign_in::sign_out))
}
