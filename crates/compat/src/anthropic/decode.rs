//! Decodes requests: messages with content blocks become the messages of a chat.

use lar_base::default_models::DEFAULT_CHAT;
use lar_base::{Code, Problem, TaskId};
use lar_inference::{Chat, Constraint, Prompt, Sampling, TemplateVariable, ToolCall, ToolChoice, in_range};

use super::blocks;
use super::wire::{
    AnthropicContent, AnthropicTool, AnthropicToolChoice, COUNT_TOKENS_FIELDS, InputBlock, InputMessage,
    MESSAGES_FIELDS, MessagesRequest, OutputFormat, Thinking,
};
use crate::fields::read;
use crate::lenient::{self, OutOfRange};
use crate::message_builder::MessageBuilder;
use crate::model_name::model_or;
use crate::request::{json_schema, stop_texts, take_prefill};
use crate::tools::{add_tool, choose_named};
use crate::{DecodedRequest, Request, reasoning_effort};

/// The maximum number of messages in a request.
const MESSAGES_MAX: usize = 10_000;

/// The parts of a request for a message that its response depends on.
#[derive(Debug, Clone, Default)]
pub struct MessagesStyle {
    /// Whether the response contains the model's thinking.
    pub(super) shows_thinking: bool,
    /// The stop sequences, in the order of the request.
    pub(super) stop_sequences: Vec<String>,
}

/// A decoded request to count tokens.
#[derive(Debug)]
pub struct CountTokensInput {
    /// The model's name as it was sent, with the memory suffix if it has one.
    pub model: String,
    /// The prompt to count, which equals that of a request for a message with the same fields.
    pub prompt: Prompt,
    /// The fields that have no effect.
    pub ignored: Vec<String>,
}

/// Decodes a request for a message; `id` is the id of its task.
///
/// # Errors
/// If the body is not a valid request. The error names the field.
pub(super) fn decode(body: &[u8], id: TaskId) -> Result<DecodedRequest<MessagesStyle>, Problem> {
    let (body, ignored) = read(body, MESSAGES_FIELDS).map_err(about_thread)?;
    let request: MessagesRequest = lenient::from_value(&body, OutOfRange::Refused)?;
    let tokens_max = request.max_tokens.ok_or_else(|| Problem::invalid("max_tokens", "is missing"))?;
    if tokens_max == 0 {
        return Err(Problem::invalid("max_tokens", "must be at least 1"));
    }
    if request.top_k.is_some_and(|k| k < 0) {
        return Err(Problem::invalid("top_k", "must not be negative"));
    }
    let config = request.output_config.unwrap_or_default();
    let format = config.format.or(request.output_format);
    let sampling = Sampling {
        temperature: in_range("temperature", request.temperature, 0.0, 1.0)?,
        top_p: in_range("top_p", request.top_p, 0.0, 1.0)?,
        top_k: request.top_k,
        stop: stop_texts("stop_sequences", request.stop_sequences)?,
        seed: Sampling::derived_seed(id),
        tokens_max,
        constraint: format.map(constraint).transpose()?,
        ..Sampling::default()
    };
    let (shows_thinking, variables) = thinking(request.thinking.as_ref(), config.effort.as_deref())?;
    let mut chat = chat(request.system, request.messages, request.tools, request.tool_choice)?;
    chat.variables = variables;
    if !chat.assistant_prefill.is_empty() && sampling.constraint.is_some() {
        let reason = "cannot be used together with a prefill; end `messages` with a user message";
        return Err(Problem::invalid("output_config", reason));
    }
    let style = MessagesStyle { shows_thinking, stop_sequences: sampling.stop.clone() };
    let request = Request {
        id,
        model: model_or(request.model, DEFAULT_CHAT),
        prompt: Prompt::Chat(chat),
        sampling,
        n: 1,
        constraint_field: "output_config",
        stream: request.stream == Some(true),
        ignored,
    };
    Ok(DecodedRequest { request, style })
}

/// Decodes a request to count tokens.
///
/// # Errors
/// If the body is not a valid request. The error names the field.
pub fn decode_count(body: &[u8]) -> Result<CountTokensInput, Problem> {
    let (body, ignored) = read(body, COUNT_TOKENS_FIELDS)?;
    let request: MessagesRequest = lenient::from_value(&body, OutOfRange::Refused)?;
    let config = request.output_config.unwrap_or_default();
    let (_, variables) = thinking(request.thinking.as_ref(), config.effort.as_deref())?;
    let mut chat = chat(request.system, request.messages, request.tools, request.tool_choice)?;
    chat.variables = variables;
    let model = model_or(request.model, DEFAULT_CHAT);
    Ok(CountTokensInput { model, prompt: Prompt::Chat(chat), ignored })
}

/// Returns whether thinking is shown, and the chat template variables for it.
fn thinking(
    thinking: Option<&Thinking>,
    effort: Option<&str>,
) -> Result<(bool, Vec<TemplateVariable>), Problem> {
    let shown = match thinking.map(|thinking| thinking.kind.as_str()) {
        None | Some("disabled") => false,
        Some("enabled" | "adaptive" | "between_tools") => true,
        Some(_) => {
            let reason = "must be enabled, adaptive, between_tools or disabled";
            return Err(Problem::invalid("thinking.type", reason));
        }
    };
    let mut variables = Vec::new();
    if thinking.is_some() {
        variables = reasoning_effort::thinking("thinking", shown);
    }
    if let Some(effort) = effort {
        variables.extend(reasoning_effort::effort("output_config.effort", effort)?.into_iter().filter(
            // `thinking`, not the effort, switches thinking on and off.
            |variable| variable.name == "reasoning_effort",
        ));
    }
    Ok((shown, variables))
}

/// Adds advice to the error of a client that stores its conversation at the server.
fn about_thread(problem: Problem) -> Problem {
    match problem.fields.as_slice() {
        [about] if about.field == "thread" => {
            Problem::about(problem.code, "thread", "is not supported: send the whole conversation without it")
        }
        _ => problem,
    }
}

fn constraint(format: OutputFormat) -> Result<Constraint, Problem> {
    if format.kind != "json_schema" {
        return Err(Problem::invalid("output_config.format.type", "must be json_schema"));
    }
    let field = "output_config.format.schema";
    let schema = format.schema.ok_or_else(|| Problem::invalid(field, "is missing"))?;
    json_schema(field, &schema)
}

fn chat(
    system: Option<AnthropicContent>,
    messages: Vec<InputMessage>,
    tools: Vec<AnthropicTool>,
    choice: Option<AnthropicToolChoice>,
) -> Result<Chat, Problem> {
    if messages.is_empty() || messages.len() > MESSAGES_MAX {
        let reason = format!("must have 1 to {MESSAGES_MAX} messages, got {}", messages.len());
        return Err(Problem::invalid("messages", reason));
    }
    let mut builder = MessageBuilder::default();
    if let Some(system) = system {
        builder.add_text("system", blocks::texts("system", system)?);
    }
    for (index, message) in messages.into_iter().enumerate() {
        self::message(&mut builder, &format!("messages[{index}]"), message)?;
    }
    let mut chat = Chat::from(builder.messages);
    for (index, tool) in tools.into_iter().enumerate() {
        let field = |rest: &str| format!("tools[{index}].{rest}");
        if tool.kind.as_deref().is_some_and(|kind| kind != "custom") {
            let reason = "must be `custom`: Anthropic's server tools are not supported";
            return Err(Problem::about(Code::UnsupportedParam, field("type"), reason));
        }
        let names = ["name", "input_schema"].map(field);
        let AnthropicTool { name, description, input_schema, strict, .. } = tool;
        add_tool(&mut chat.tools, names, name, description, input_schema, strict)?;
    }
    choose(&mut chat, choice)?;
    take_prefill(&mut chat);
    match chat.messages.last() {
        Some(last) if last.role == "assistant" => {
            let reason =
                "must end with a user message, or with a prefill of the answer if no tool call is required";
            Err(Problem::invalid("messages", reason))
        }
        _ => Ok(chat),
    }
}

fn choose(chat: &mut Chat, choice: Option<AnthropicToolChoice>) -> Result<(), Problem> {
    let Some(choice) = choice else { return Ok(()) };
    chat.parallel_calls = choice.disable_parallel_tool_use != Some(true);
    match (choice.kind.as_str(), choice.name) {
        ("auto", _) => {}
        ("none", _) => chat.tools.clear(),
        ("any", _) if !chat.tools.is_empty() => chat.tool_choice = ToolChoice::Required,
        ("tool", Some(name)) => choose_named(chat, name)?,
        ("any", _) => return Err(Problem::invalid("tool_choice", "is `any`, but the request has no tools")),
        ("tool", None) => return Err(Problem::invalid("tool_choice.name", "is missing")),
        _ => return Err(Problem::invalid("tool_choice.type", "must be auto, any, tool or none")),
    }
    Ok(())
}

fn message(builder: &mut MessageBuilder, field: &str, message: InputMessage) -> Result<(), Problem> {
    let role = message.role.as_str();
    if !matches!(role, "user" | "assistant" | "system") {
        return Err(Problem::invalid(format!("{field}.role"), "must be user or assistant"));
    }
    let blocks = match message.content {
        AnthropicContent::Text(text) => {
            vec![InputBlock { kind: "text".into(), text: Some(text), ..InputBlock::default() }]
        }
        AnthropicContent::Blocks(blocks) => blocks,
    };
    // An empty assistant message is allowed: a model may answer with nothing.
    if blocks.is_empty() && role != "assistant" {
        return Err(Problem::invalid(format!("{field}.content"), "must not be empty"));
    }
    for (index, block) in blocks.into_iter().enumerate() {
        let field = format!("{field}.content[{index}]");
        match (block.kind.as_str(), role) {
            ("tool_use", "assistant") => call(builder, &field, block)?,
            ("tool_result", "user") => result(builder, &field, block)?,
            ("thinking", "assistant") => builder.add_reasoning(block.thinking.unwrap_or_default()),
            // It is encrypted for Anthropic's servers.
            ("redacted_thinking", "assistant") => {}
            _ => {
                if let Some(text) = blocks::text(&field, block)? {
                    builder.add_text(role, text);
                }
            }
        }
    }
    Ok(())
}

fn call(builder: &mut MessageBuilder, field: &str, block: InputBlock) -> Result<(), Problem> {
    let (Some(id), Some(name)) = (block.id, block.name) else {
        return Err(Problem::invalid(
            field,
            "must have an `id` and a `name`, because it is a `tool_use` block",
        ));
    };
    let input = block.input.unwrap_or_else(|| serde_json::json!({}));
    if !input.is_object() {
        return Err(Problem::invalid(format!("{field}.input"), "must be an object"));
    }
    builder.add_call(ToolCall { id, name, arguments: input.to_string() });
    Ok(())
}

fn result(builder: &mut MessageBuilder, field: &str, block: InputBlock) -> Result<(), Problem> {
    let content = blocks::content(&format!("{field}.content"), block.content)?;
    let content = blocks::texts(&format!("{field}.content"), content)?;
    let content = if block.is_error == Some(true) { format!("Error: {content}") } else { content };
    builder.add_result(format!("{field}.tool_use_id"), block.tool_use_id.unwrap_or_default(), content)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_missing_or_blank_model_is_the_default() {
        for model in [json!({}), json!({ "model": null }), json!({ "model": "" }), json!({ "model": " " })] {
            let mut body = json!({ "max_tokens": 8, "messages": [{ "role": "user", "content": "?" }] });
            body.as_object_mut().unwrap().extend(model.as_object().unwrap().clone());
            let body = body.to_string();
            let input = decode(body.as_bytes(), TaskId::new()).unwrap();
            assert_eq!(input.request.model, DEFAULT_CHAT, "{model}");
            assert_eq!(decode_count(body.as_bytes()).unwrap().model, DEFAULT_CHAT, "{model}");
        }
    }

    #[test]
    fn the_counted_prompt_equals_the_generated_one() {
        let tool = json!({ "name": "look", "input_schema": { "type": "object" } });
        for more in [
            json!({}),
            json!({ "thinking": { "type": "disabled" } }),
            json!({ "thinking": { "type": "enabled", "budget_tokens": 1024 }, "tools": [tool] }),
            json!({ "output_config": { "effort": "low" }, "system": "x", "tools": [tool], "tool_choice": { "type": "none" } }),
        ] {
            let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "?" }] });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let counted = decode_count(body.to_string().as_bytes()).unwrap();
            body["max_tokens"] = 8.into();
            let sent = decode(body.to_string().as_bytes(), TaskId::new()).unwrap().request;
            assert_eq!((counted.model, counted.prompt), (sent.model, sent.prompt), "{more}");
        }
    }
}
