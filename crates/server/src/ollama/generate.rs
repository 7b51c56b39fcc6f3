//! `POST /api/generate`.

use axum::extract::Request;
use axum::response::Response;
use lar_api::ollama::{GENERATE_FIELDS, GenerateRequest};
use lar_base::{Instant, Problem, TaskId};
use lar_engines::driver::{Chat, ChatMessage, Prompt};

use super::chat::refuse_logprobs;
use super::lines::Form;
use super::{Read, answer, lasting, sampling, shows_thinking, untagged};
use crate::asker::Asker;
use crate::errors::Failure;
use crate::fields::read;
use crate::generate::Wanted;
use crate::{State, extract};

pub(crate) async fn create(app: State, asker: Asker, request: Request) -> Result<Response, Failure> {
    let asked = Instant::now();
    let read = decode(&extract::body(request, &app).await?, TaskId::new())?;
    Ok(answer(&app, &asker, Form::Generate, read, asked).await?)
}

/// Reads a request's body; `id` is the task it becomes.
pub(crate) fn decode(body: &[u8], id: TaskId) -> Result<Read, Problem> {
    let (body, mut ignored) = read(body, GENERATE_FIELDS)?;
    refuse_logprobs(&body)?;
    let request: GenerateRequest = extract::from_value(&body)?;
    let (model, stream) = (untagged(request.model), request.stream != Some(false));
    let thinking = shows_thinking(request.think.as_ref());
    let keep_alive = lasting(request.keep_alive.as_ref())?;
    let sampling = sampling(request.options, request.format, id, &mut ignored)?;
    let (suffix, system) = (request.suffix.filter(|suffix| !suffix.is_empty()), request.system);
    if request.prompt.is_empty() && suffix.is_none() {
        return Ok(Read { wanted: None, model, stream, thinking, keep_alive });
    }
    let prompt = match (suffix, request.raw == Some(true)) {
        (Some(suffix), _) => Prompt::Infill { prefix: request.prompt, suffix },
        (None, true) => Prompt::Text(request.prompt),
        (None, false) => {
            let system = system.filter(|system| !system.is_empty());
            let mut said: Vec<ChatMessage> =
                system.map(|system| ChatMessage::new("system", system)).into_iter().collect();
            said.push(ChatMessage::new("user", request.prompt));
            Prompt::Chat(Chat::from(said))
        }
    };
    let wanted = Wanted {
        id,
        model: model.clone(),
        constraint_field: "format",
        prompt,
        sampling,
        n: 1,
        stream,
        include_usage: true,
        ignored,
    };
    Ok(Read { wanted: Some(wanted), model, stream, thinking, keep_alive })
}
