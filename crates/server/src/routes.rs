//! The route table. A path names the file of its handler: `conversations/messages.rs` serves
//! `POST /lar/v1/conversations/{id}/messages`.

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, any, delete, get, patch, post};

use crate::errors::ErrorFormat;
use crate::{
    App, aliases, anthropic, backups, bridge, capabilities, catalog, clients, conversations, health, keys,
    llama_cpp, mcp, memories, middleware, ollama, openai, openapi, page, pools, sign_in, spaces, tasks,
    usage, users,
};

pub(crate) fn router(app: &Arc<App>) -> Router {
    let compatible = Router::new()
        .route("/chat/completions", post(openai::chat_completions::create))
        .route("/completions", post(openai::completions::create))
        .route("/embeddings", post(openai::embeddings::create))
        .route("/responses", post(openai::responses::create))
        .route("/responses/input_tokens", post(openai::responses::input_tokens))
        .route("/responses/{id}", get(openai::responses::show).delete(openai::responses::remove))
        .route("/responses/{id}/cancel", post(openai::responses::cancel))
        .route("/responses/{id}/input_items", get(openai::responses::input_items))
        .route("/chat/completions/input_tokens", post(llama_cpp::tokens::input_tokens))
        .route("/rerank", post(openai::rerank::create))
        .route("/reranking", post(openai::rerank::create))
        .route("/health", get(health::ready))
        .route("/messages", post(anthropic::messages::create))
        .route("/messages/count_tokens", post(anthropic::count_tokens::create))
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
        .route("/memories/intents", post(memories::intent::create))
        .route("/memories/heard", post(memories::intent::create_by_old_path))
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
        .route("/sign-out", post(sign_in::sign_out));

    let ollama = Router::new()
        .route("/chat", post(ollama::chat::create))
        .route("/generate", post(ollama::generate::create))
        .route("/embed", post(ollama::embed::embed))
        .route("/embeddings", post(ollama::embed::embeddings))
        .route("/tags", get(ollama::models::tags))
        .route("/show", post(ollama::models::show))
        .route("/ps", get(ollama::models::ps))
        .route("/pull", post(ollama::pull::pull))
        .route("/delete", delete(ollama::pull::delete))
        .route("/version", get(ollama::models::version));

    let bridge = Router::new()
        .route("/health", get(bridge::health))
        .route("/readyz", get(bridge::health))
        .route("/{tool}", post(bridge::call));

    let mcp = mcp::service(app);
    let root =
        at_root().into_iter().fold(Router::new(), |router, (path, _, handler)| router.route(path, handler));
    root.route("/mcp", any(move |request| mcp::serve(mcp.clone(), request)))
        .route(mcp::METADATA, get(mcp::metadata))
        .route(mcp::METADATA_OF_PATH, get(mcp::metadata))
        .nest("/v1", compatible)
        .nest("/api", ollama)
        .nest("/bridge", bridge)
        .nest("/lar/v1", ours)
        .method_not_allowed_fallback(middleware::method_not_allowed)
        .fallback(page::show)
        .layer(axum::middleware::from_fn_with_state(app.clone(), middleware::apply))
        .with_state(app.clone())
}

/// Returns the routes without a prefix, each with its error format.
///
/// These are the paths of llama.cpp's server, OpenAI's paths without `/v1`, and Lar's health, metrics and
/// OpenAPI paths.
pub(crate) fn at_root() -> Vec<(&'static str, ErrorFormat, MethodRouter<Arc<App>>)> {
    use ErrorFormat::{Lar, LlamaCpp, OpenAi};
    vec![
        ("/completion", LlamaCpp, post(llama_cpp::completion::create)),
        ("/completions", LlamaCpp, post(llama_cpp::completion::either)),
        ("/infill", LlamaCpp, post(llama_cpp::completion::infill)),
        ("/tokenize", LlamaCpp, post(llama_cpp::tokens::tokenize)),
        ("/detokenize", LlamaCpp, post(llama_cpp::tokens::detokenize)),
        ("/apply-template", LlamaCpp, post(llama_cpp::tokens::apply_template)),
        ("/embedding", LlamaCpp, post(llama_cpp::embedding::create)),
        ("/props", LlamaCpp, get(llama_cpp::properties::props)),
        ("/slots", LlamaCpp, get(llama_cpp::properties::slots)),
        ("/lora-adapters", LlamaCpp, get(llama_cpp::properties::lora_adapters)),
        ("/chat/completions", OpenAi, post(openai::chat_completions::create)),
        ("/chat/completions/input_tokens", OpenAi, post(llama_cpp::tokens::input_tokens)),
        ("/embeddings", OpenAi, post(llama_cpp::embedding::either)),
        ("/responses", OpenAi, post(openai::responses::create)),
        ("/responses/input_tokens", OpenAi, post(openai::responses::input_tokens)),
        ("/rerank", OpenAi, post(openai::rerank::create)),
        ("/reranking", OpenAi, post(openai::rerank::create)),
        ("/models", OpenAi, get(openai::models::list)),
        ("/models/{*id}", OpenAi, get(openai::models::show)),
        ("/healthz", Lar, get(health::alive)),
        ("/readyz", Lar, get(health::ready)),
        ("/health", Lar, get(health::ready)),
        ("/ready", Lar, get(health::ready)),
        ("/metrics", Lar, get(health::metrics)),
        ("/openapi.json", Lar, get(openapi::show)),
    ]
}
