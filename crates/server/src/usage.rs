//! `GET /lar/v1/usage`: usage by day, key and model.

use axum::extract::{Request, State};
use lar_api::Page;
use lar_api::models::UsageDay;
use lar_base::{Problem, Timestamp};
use lar_store::Store;

use crate::auth::Inference;
use crate::errors::Failure;

/// List usage
///
/// Returns usage per UTC day, key and model, since the day `from` (`YYYY-MM-DD`; today if missing). A key
/// gets its own usage. A key with the scope `conversations` gets the usage of all keys of its user.
#[utoipa::path(get, path = "/lar/v1/usage", tag = "operate", params(("from" = Option<String>, Query)),
    responses((status = 200, body = Page<UsageDay>)))]
pub(crate) async fn list(
    State(store): State<Store>,
    Inference(caller): Inference,
    request: Request,
) -> Result<axum::Json<Page<UsageDay>>, Failure> {
    let query = request.uri().query().unwrap_or_default();
    let from = query.split('&').find_map(|pair| pair.strip_prefix("from="));
    let from = match from {
        None => Timestamp::now().day(),
        Some(day) => {
            let parsed: Result<Timestamp, _> = format!("{day}T00:00:00Z").parse();
            parsed.map_err(|_| Problem::invalid("from", "must be a day in the form YYYY-MM-DD"))?.day()
        }
    };
    let rows = store.usage_list(caller.visible_keys(), from).await?;
    let wire = |row: lar_store::UsageDay| UsageDay {
        day: row.day,
        key_id: row.key.to_string(),
        model: row.model,
        tasks: row.tasks,
        errors: row.errors,
        tokens_in: row.tokens_in,
        tokens_out: row.tokens_out,
    };
    Ok(axum::Json(Page { data: rows.into_iter().map(wire).collect(), next: None }))
}
