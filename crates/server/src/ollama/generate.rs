//! `POST /api/generate`.
//!
//! `context`, which clients hand back unread, is the conversation so far: its messages as JSON, a number for each byte. Ollama's
//! own are tokens; those of another server are refused.

use axum::extract::Request;
use axum::response::Response;
use lar_api::ollama::{GENERATE_FIELDS, GenerateRequest};
use lar_base::{Instant, Problem, TaskId};
use lar_engines::driver::{Chat, ChatMessage, Prompt};

use super::chat::MESSAGES_MAX;
use super::lines::Form;
use super::{Read, Wishes, answer, lasting, sampling, shows_thinking, untagged};
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
    let request: GenerateRequest = extract::from_value(&body)?;
    let (model, stream) = (untagged(request.model), request.stream != Some(false));
    let (thinking, variables) =
        (shows_thinking(request.think.as_ref()), super::thinking(request.think.as_ref())?);
    let keep_alive = lasting(request.keep_alive.as_ref())?;
    let truncates = request.truncate != Some(false);
    let context_max = super::context_max(&request.options)?;
    let wishes = Wishes {
        options: request.options,
        format: request.format,
        logprobs: request.logprobs,
        top_logprobs: request.top_logprobs,
        shift: request.shift,
    };
    let sampling = sampling(wishes, id, &mut ignored)?;
    let (suffix, system) = (request.suffix.filter(|suffix| !suffix.is_empty()), request.system);
    if request.prompt.is_empty() && suffix.is_none() {
        return Ok(Read::load(model, stream, keep_alive));
    }
    let earlier = request.context.filter(|context| !context.is_empty());
    let mut context = None;
    let prompt = match (suffix, request.raw == Some(true)) {
        (None, false) => {
            let mut said = earlier.map(|earlier| decode_context(&earlier)).transpose()?.unwrap_or_default();
            if let Some(system) = system.filter(|system| !system.is_empty()) {
                said.retain(|message| message.role != "system");
                said.insert(0, ChatMessage::new("system", system));
            }
            said.push(ChatMessage::new("user", request.prompt));
            context = Some(said.clone());
            Prompt::Chat(Chat { variables, ..Chat::from(said) })
        }
        _ if earlier.is_some() => {
            return Err(Problem::invalid("context", "cannot be used together with `raw` or `suffix`"));
        }
        (Some(suffix), _) => Prompt::Infill { prefix: request.prompt, suffix },
        (None, true) => Prompt::Text(request.prompt),
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
    Ok(Read { wanted: Some(wanted), model, stream, thinking, keep_alive, truncates, context_max, context })
}

/// The conversation so far, as an answer tells it.
pub(super) fn encode_context(said: &[ChatMessage]) -> Vec<u32> {
    let said: Vec<(&str, &str)> =
        said.iter().map(|message| (message.role.as_str(), message.content.as_str())).collect();
    serde_json::to_vec(&said).unwrap_or_default().into_iter().map(u32::from).collect()
}

fn decode_context(context: &[u32]) -> Result<Vec<ChatMessage>, Problem> {
    let bytes: Option<Vec<u8>> = context.iter().map(|byte| u8::try_from(*byte).ok()).collect();
    let said: Option<Vec<(String, String)>> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let said = said.filter(|said| {
        said.len() <= MESSAGES_MAX
            && said.iter().all(|(role, _)| matches!(role.as_str(), "system" | "user" | "assistant"))
    });
    let said = said.ok_or_else(|| Problem::invalid("context", "is none that this server gave"))?;
    Ok(said.into_iter().map(|(role, content)| ChatMessage::new(role, content)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_read_as_it_was_given() {
        let said =
            vec![ChatMessage::new("user", "Grüße".to_owned()), ChatMessage::new("assistant", "x".to_owned())];
        assert_eq!(decode_context(&encode_context(&said)).unwrap(), said);
        for other in
            [&[128_009, 3, 7][..], &[1, 2, 3], &encode_context(&[ChatMessage::new("tool", String::new())])]
        {
            assert!(decode_context(other).is_err(), "{other:?}");
        }
    }
}
