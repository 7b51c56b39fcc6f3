//! `POST /api/generate`: decodes prompts, and conversations that are continued with `context`.

use lar_base::{Problem, TaskId};
use lar_inference::{Chat, ChatMessage, Prompt};

use super::context;
use super::input::{OllamaInput, OllamaPath, SharedInput};
use super::wire::{GENERATE_FIELDS, GenerateRequest};
use crate::fields::read;
use crate::lenient::{self, OutOfRange};

/// Decodes a request body; `id` is the id of its task.
///
/// # Errors
/// If the body is not a valid request. The error names the field.
pub(super) fn decode(body: &[u8], id: TaskId) -> Result<OllamaInput, Problem> {
    let (body, ignored) = read(body, GENERATE_FIELDS)?;
    let request: GenerateRequest = lenient::from_value(&body, OutOfRange::Refused)?;
    let mut shared = SharedInput::decode(&body, id, ignored)?;
    let suffix = request.suffix.filter(|suffix| !suffix.is_empty());
    if request.prompt.is_empty() && suffix.is_none() {
        return Ok(shared.without_prompt(OllamaPath::Generate));
    }
    let earlier = request.context.filter(|context| !context.is_empty());
    let prompt = match (suffix, request.raw == Some(true)) {
        (None, false) => {
            let mut messages =
                earlier.map(|earlier| context::decode(&earlier)).transpose()?.unwrap_or_default();
            if let Some(system) = request.system.filter(|system| !system.is_empty()) {
                messages.retain(|message| message.role != "system");
                messages.insert(0, ChatMessage::new("system", system));
            }
            messages.push(ChatMessage::new("user", request.prompt));
            let variables = std::mem::take(&mut shared.variables);
            Prompt::Chat(Chat { variables, ..Chat::from(messages) })
        }
        _ if earlier.is_some() => {
            return Err(Problem::invalid("context", "cannot be used together with `raw` or `suffix`"));
        }
        (Some(suffix), _) => Prompt::Infill { prefix: request.prompt, suffix },
        (None, true) => Prompt::Text(request.prompt),
    };
    Ok(shared.with_prompt(OllamaPath::Generate, prompt))
}
