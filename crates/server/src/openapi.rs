//! `GET /openapi.json`: the OpenAPI document of Lar's own API, generated from the handlers.

mod complete;

use lar_base::json::to_value;
use utoipa::OpenApi;

use crate::{
    aliases, backups, capabilities, catalog, clients, conversations, health, keys, memories, metrics, pools,
    sign_in, spaces, tasks, usage, users,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Lar",
        description = "Lar's own API. This document does not describe the compatible APIs, such as OpenAI's.",
        license(name = "Apache-2.0")
    ),
    paths(
        tasks::create,
        tasks::list,
        tasks::show,
        tasks::stream,
        tasks::cancel,
        conversations::create,
        conversations::list,
        conversations::show,
        conversations::update,
        conversations::remove,
        conversations::stop,
        conversations::transfer::export,
        conversations::transfer::import,
        conversations::messages::create,
        conversations::messages::branch,
        conversations::messages::regenerate,
        conversations::messages::feedback,
        memories::create,
        memories::create_batch,
        memories::dry_run::create,
        memories::list,
        memories::stats,
        memories::show,
        memories::update,
        memories::remove,
        memories::smart::smart,
        memories::intent::create,
        memories::intent::create_by_old_path,
        backups::create,
        backups::list,
        clients::list,
        memories::transfer::export,
        memories::transfer::import,
        memories::dry_run::import,
        memories::inbox::list,
        memories::inbox::accept,
        memories::inbox::reject,
        memories::inbox::clients,
        memories::judges::show,
        memories::judges::calibrate,
        memories::links::list,
        memories::links::resolve,
        memories::consolidation::show,
        memories::consolidation::list_runs,
        memories::consolidation::start,
        memories::consolidation::show_one,
        memories::consolidation::accept_run,
        memories::consolidation::undo_run,
        memories::consolidation::list_proposals,
        memories::consolidation::accept,
        memories::consolidation::reject,
        memories::intentions::create,
        memories::intentions::list,
        memories::intentions::check,
        memories::intentions::show,
        memories::intentions::update,
        memories::intentions::remove,
        memories::search::search,
        memories::review::promote,
        memories::review::demote,
        memories::review::feedback,
        memories::review::history,
        memories::review::undo,
        spaces::list,
        spaces::create,
        spaces::grants,
        spaces::grant,
        spaces::revoke,
        users::invite,
        users::list,
        users::remove,
        catalog::list,
        catalog::show,
        catalog::remove,
        catalog::verify,
        catalog::recommended,
        catalog::starter::show,
        catalog::adopt,
        catalog::pulls::create,
        catalog::pulls::list,
        aliases::list,
        aliases::set,
        aliases::remove,
        pools::list,
        pools::health,
        pools::load,
        pools::unload,
        capabilities::show,
        capabilities::devices,
        usage::list,
        keys::create,
        keys::list,
        keys::revoke,
        sign_in::me,
        sign_in::exchange,
        sign_in::create_link,
        sign_in::sign_out,
        health::alive,
        health::ready,
        metrics::show,
    )
)]
struct Document;

/// Returns the OpenAPI document, as Lar serves it and as `openapi/v1.json` has it.
#[must_use]
pub fn document() -> String {
    let mut document = to_value(Document::openapi());
    complete::complete(&mut document);
    serde_json::to_string_pretty(&document).expect("a JSON value serializes")
}

pub(crate) async fn show() -> ([(axum::http::HeaderName, &'static str); 1], String) {
    ([(axum::http::header::CONTENT_TYPE, "application/json")], document())
}
