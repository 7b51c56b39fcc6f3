//! The caller of a compatible API and the memory mode of the request.
//!
//! The mode comes from the `X-Lar-Memory` header, else from the model's name (`NAME+memory`), else from the key.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use lar_agents::compat_memory::RequestActivity;
use lar_base::{Caller, MemoryMode, Problem, Scope};
use lar_catalog::DEFAULT_CHAT;
use lar_inference::Prompt;
use lar_memory::{MemoryActivityIds, MemoryScope};

use crate::App;
use crate::auth::Inference;
use crate::bodies::BodyShare;
use crate::errors::Failure;
use crate::fields::with_ignored;
use crate::generate::GenerationRequest;
use crate::memories::requested_scope;

/// The header that sets the memory mode of a request.
const MEMORY: &str = "x-lar-memory";
/// The suffix of a model's name that means `X-Lar-Memory: remember`, or `recall` if the key may not write memories.
const SUFFIX: &str = "+memory";

/// Returns a model's name without the memory suffix.
pub(crate) fn plain_name(model: &str) -> &str {
    model.strip_suffix(SUFFIX).unwrap_or(model)
}

/// Returns the default model's name with the memory suffix, for lists of models.
///
/// Returns `None` if the key may not read memories.
pub(crate) fn default_with_memory(caller: &Caller) -> Option<String> {
    caller.has(Scope::MemoryRead).then(|| format!("{DEFAULT_CHAT}{SUFFIX}"))
}

/// An authenticated caller with permission to use models, and the memory headers of the request.
pub(crate) struct CompatCaller {
    pub(crate) caller: Caller,
    /// The permits of the request's body.
    pub(crate) body: BodyShare,
    memory_mode: Option<MemoryMode>,
    agent: Option<String>,
    space: Option<String>,
}

impl FromRequestParts<Arc<App>> for CompatCaller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let Inference(caller) = Inference::from_request_parts(parts, app).await?;
        let memory_mode = parts.headers.get(MEMORY).map(|value| {
            let mode = value.to_str().unwrap_or_default().trim().to_ascii_lowercase().parse();
            mode.map_err(|reason: String| Problem::invalid("X-Lar-Memory", reason))
        });
        let MemoryScope { agent, space } = requested_scope(&parts.headers)?;
        let [agent, space] = [agent, space].map(|name| name.map(ToOwned::to_owned));
        let body = parts.extensions.get::<BodyShare>().cloned().unwrap_or_default();
        Ok(Self { caller, body, memory_mode: memory_mode.transpose()?, agent, space })
    }
}

impl CompatCaller {
    /// Applies memory to a request as its mode says, and removes the memory suffix from the model's name.
    ///
    /// # Errors
    /// If the model does not exist, or the key lacks the scope or the space for the mode.
    pub(crate) async fn apply_memory(
        &self,
        app: &App,
        api: &'static str,
        request: &mut GenerationRequest,
    ) -> Result<RequestActivity, Problem> {
        let named = plain_name(&request.model).to_owned();
        let suffixed = named != request.model;
        request.model = named;
        let mode = match (self.memory_mode, suffixed) {
            (Some(memory_mode), _) => memory_mode,
            (None, true) if self.caller.has(Scope::MemoryWrite) => MemoryMode::Remember,
            (None, true) => MemoryMode::Recall,
            (None, false) => self.caller.memory(),
        };
        let Prompt::Chat(chat) = &mut request.prompt else { return Ok(RequestActivity::default()) };
        if mode == MemoryMode::Off {
            return Ok(RequestActivity::default());
        }
        let context_tokens = app.gateway.context_tokens(&request.model).await;
        let context_tokens = context_tokens.map_err(crate::generate::about_model)?.unwrap_or(usize::MAX);
        // A structured answer is for a program, not for a user, so nothing is saved.
        let mode = if request.sampling.constraint.is_some() { mode.min(MemoryMode::Recall) } else { mode };
        let scope = MemoryScope { agent: self.agent.as_deref(), space: self.space.as_deref() };
        app.request_memory
            .process_request((&self.caller, scope), mode, api, chat, (&request.model, context_tokens))
            .await
    }
}

/// Adds the headers that name the fields without effect and the memories that were recalled, saved and forgotten.
pub(crate) fn with_lar_headers(
    response: Response,
    ignored: &[String],
    memory_activity: Option<&MemoryActivityIds>,
) -> Response {
    let mut response = with_ignored(response, ignored);
    let Some(memory_activity) = memory_activity else { return response };
    for (name, ids) in [
        ("x-lar-recalled", &memory_activity.recalled),
        ("x-lar-saved", &memory_activity.saved),
        ("x-lar-forgotten", &memory_activity.forgotten),
    ] {
        if let (false, Ok(value)) = (ids.is_empty(), HeaderValue::from_str(&ids.join(", "))) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}
