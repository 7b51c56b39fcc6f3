//! `POST /v1/messages/count_tokens`: counts the tokens of a request's prompt.

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use lar_api::anthropic::TokenCount;

use super::decode_count;
use crate::auth::Inference;
use crate::compat_caller::plain_name;
use crate::errors::Failure;
use crate::fields::with_ignored;
use crate::generate::about_model;
use crate::{State, extract};

pub(crate) async fn create(
    app: State,
    Inference(caller): Inference,
    request: Request,
) -> Result<Response, Failure> {
    let (model, prompt, ignored) = decode_count(&extract::body(request, &app).await?)?;
    let counted = app.gateway.count_tokens_for(caller.key(), plain_name(&model), &prompt).await;
    let counted = counted.map_err(about_model)?;
    let response = axum::Json(TokenCount { input_tokens: counted.tokens }).into_response();
    Ok(with_ignored(response, &ignored))
}
