//! `POST /api/generate`: answers a prompt, and continues a conversation with `context`.
//!
//! Clients send back the `context` of a response without reading it. Here it is the conversation as JSON,
//! with one number per byte. At Ollama it is token ids, so the `context` of another server is rejected.

use axum::extract::Request;
use axum::response::Response;
use lar_api::ollama::{GENERATE_FIELDS, GenerateRequest};
use lar_base::{Instant, Problem, TaskId};
use lar_inference::{Chat, ChatMessage, Prompt};

use super::chat::MESSAGES_MAX;
use super::lines::AnswerForm;
use super::{AnswerOptions, OllamaInput, answer, parse_keep_alive, sampling, shows_thinking, strip_tag};
use crate::compat_caller::CompatCaller;
use crate::errors::Failure;
use crate::fields::read;
use crate::generate::GenerationRequest;
use crate::{State, extract, json};

pub(crate) async fn create(
    app: State,
    compat_caller: CompatCaller,
    request: Request,
) -> Result<Response, Failure> {
    let received_at = Instant::now();
    let read = decode(&extract::body(request, &app).await?, TaskId::new())?;
    Ok(answer(&app, &compat_caller, AnswerForm::Generate, read, received_at).await?)
}

/// Decodes a request body; `id` is the id of its task.
pub(crate) fn decode(body: &[u8], id: TaskId) -> Result<OllamaInput, Problem> {
    let (body, mut ignored) = read(body, GENERATE_FIELDS)?;
    let request: GenerateRequest = extract::from_value(&body)?;
    let (model, stream) = (strip_tag(request.model), request.stream != Some(false));
    let (thinking, variables) =
        (shows_thinking(request.think.as_ref()), super::thinking(request.think.as_ref())?);
    let keep_alive = parse_keep_alive(request.keep_alive.as_ref())?;
    let truncates = request.truncate != Some(false);
    let context_max = super::context_max(&request.options)?;
    let answer_options = AnswerOptions {
        options: request.options,
        format: request.format,
        logprobs: request.logprobs,
        top_logprobs: request.top_logprobs,
        shift: request.shift,
    };
    let sampling = sampling(answer_options, id, &mut ignored)?;
    let (suffix, system) = (request.suffix.filter(|suffix| !suffix.is_empty()), request.system);
    if request.prompt.is_empty() && suffix.is_none() {
        return Ok(OllamaInput::load(model, stream, keep_alive));
    }
    let earlier = request.context.filter(|context| !context.is_empty());
    let mut context = None;
    let prompt = match (suffix, request.raw == Some(true)) {
        (None, false) => {
            let mut messages =
                earlier.map(|earlier| decode_context(&earlier)).transpose()?.unwrap_or_default();
            if let Some(system) = system.filter(|system| !system.is_empty()) {
                messages.retain(|message| message.role != "system");
                messages.insert(0, ChatMessage::new("system", system));
            }
            messages.push(ChatMessage::new("user", request.prompt));
            context = Some(messages.clone());
            Prompt::Chat(Chat { variables, ..Chat::from(messages) })
        }
        _ if earlier.is_some() => {
            return Err(Problem::invalid("context", "cannot be used together with `raw` or `suffix`"));
        }
        (Some(suffix), _) => Prompt::Infill { prefix: request.prompt, suffix },
        (None, true) => Prompt::Text(request.prompt),
    };
    let generation = GenerationRequest {
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
    Ok(OllamaInput {
        request: Some(generation),
        model,
        stream,
        thinking,
        keep_alive,
        truncates,
        context_max,
        context,
    })
}

/// Encodes a conversation as the `context` of a response.
pub(super) fn encode_context(messages: &[ChatMessage]) -> Vec<u32> {
    let messages: Vec<(&str, &str)> =
        messages.iter().map(|message| (message.role.as_str(), message.content.as_str())).collect();
    json::to_json(&messages).into_bytes().into_iter().map(u32::from).collect()
}

fn decode_context(context: &[u32]) -> Result<Vec<ChatMessage>, Problem> {
    let bytes: Option<Vec<u8>> = context.iter().map(|byte| u8::try_from(*byte).ok()).collect();
    let messages: Option<Vec<(String, String)>> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let messages = messages.filter(|messages| {
        messages.len() <= MESSAGES_MAX
            && messages.iter().all(|(role, _)| matches!(role.as_str(), "system" | "user" | "assistant"))
    });
    let messages = messages.ok_or_else(|| {
        Problem::invalid("context", "must be the `context` of an earlier response of this server")
    })?;
    Ok(messages.into_iter().map(|(role, content)| ChatMessage::new(role, content)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_context_is_decoded_and_another_one_refused() {
        let messages =
            vec![ChatMessage::new("user", "Grüße".to_owned()), ChatMessage::new("assistant", "x".to_owned())];
        assert_eq!(decode_context(&encode_context(&messages)).unwrap(), messages);
        for other in
            [&[128_009, 3, 7][..], &[1, 2, 3], &encode_context(&[ChatMessage::new("tool", String::new())])]
        {
            assert!(decode_context(other).is_err(), "{other:?}");
        }
    }
}
