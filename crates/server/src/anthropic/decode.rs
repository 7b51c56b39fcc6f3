//! Reading requests: messages of blocks become a chat of turns.

use lar_api::anthropic::{
    COUNT_TOKENS_FIELDS, Content, InputBlock, InputMessage, MESSAGES_FIELDS, MessagesRequest, OutputFormat,
    Tool, ToolChoice,
};
use lar_base::{Code, Problem, TaskId};
use lar_engines::driver::{self, Chat, Constraint, Prompt, Sampling, ToolCall};

use crate::extract;
use crate::fields::read;
use crate::generate::{self, Wanted, derived_seed, in_range};
use crate::turns::Turns;

/// Messages of a request at most.
const MESSAGES_MAX: usize = 10_000;

/// Reads a request for a message, and whether its thinking is to be shown; `id` is the task it becomes.
pub(crate) fn messages(body: &[u8], id: TaskId) -> Result<(Wanted, bool), Problem> {
    let (body, ignored) = read(body, MESSAGES_FIELDS)?;
    let request: MessagesRequest = extract::from_value(&body)?;
    let tokens_max = request.max_tokens.ok_or_else(|| Problem::invalid("max_tokens", "is missing"))?;
    if tokens_max == 0 {
        return Err(Problem::invalid("max_tokens", "must be at least 1"));
    }
    if request.top_k.is_some_and(|k| k < 0) {
        return Err(Problem::invalid("top_k", "must not be negative"));
    }
    let format = request.output_config.and_then(|config| config.format).or(request.output_format);
    let sampling = Sampling {
        temperature: in_range("temperature", request.temperature, 0.0, 1.0)?,
        top_p: in_range("top_p", request.top_p, 0.0, 1.0)?,
        top_k: request.top_k,
        stop: generate::stop_texts("stop_sequences", request.stop_sequences)?,
        seed: derived_seed(id),
        tokens_max,
        constraint: format.map(constraint).transpose()?,
        ..Sampling::default()
    };
    let shown = match request.thinking.as_ref().map(|thinking| thinking.kind.as_str()) {
        None | Some("disabled") => false,
        Some("enabled" | "adaptive" | "between_tools") => true,
        Some(_) => {
            let reason = "must be enabled, adaptive, between_tools or disabled";
            return Err(Problem::invalid("thinking.type", reason));
        }
    };
    let chat = chat(request.system, request.messages, request.tools, request.tool_choice)?;
    if !chat.tools.is_empty() && sampling.constraint.is_some() {
        return Err(Problem::invalid("output_config", "cannot be used together with tools"));
    }
    if !chat.begun.is_empty() && sampling.constraint.is_some() {
        let reason = "cannot be kept to where `messages` ends with the beginning of an answer";
        return Err(Problem::invalid("output_config", reason));
    }
    let wanted = Wanted {
        id,
        model: request.model,
        constraint_field: if chat.tools.is_empty() { "output_config" } else { "tools" },
        prompt: Prompt::Chat(chat),
        sampling,
        n: 1,
        stream: request.stream == Some(true),
        include_usage: true,
        ignored,
    };
    Ok((wanted, shown))
}

/// Reads a request to be counted: its model, its prompt and the fields that have no effect.
pub(crate) fn count(body: &[u8]) -> Result<(String, Prompt, Vec<String>), Problem> {
    let (body, ignored) = read(body, COUNT_TOKENS_FIELDS)?;
    let request: MessagesRequest = extract::from_value(&body)?;
    let chat = chat(request.system, request.messages, request.tools, request.tool_choice)?;
    Ok((request.model, Prompt::Chat(chat), ignored))
}

fn constraint(format: OutputFormat) -> Result<Constraint, Problem> {
    if format.kind != "json_schema" {
        return Err(Problem::invalid("output_config.format.type", "must be json_schema"));
    }
    let field = "output_config.format.schema";
    let schema = format.schema.ok_or_else(|| Problem::invalid(field, "is missing"))?;
    generate::json_schema(field, &schema)
}

fn chat(
    system: Option<Content>,
    messages: Vec<InputMessage>,
    tools: Vec<Tool>,
    choice: Option<ToolChoice>,
) -> Result<Chat, Problem> {
    if messages.is_empty() || messages.len() > MESSAGES_MAX {
        return Err(Problem::invalid("messages", format!("must hold 1 to {MESSAGES_MAX} messages")));
    }
    let mut turns = Turns::default();
    if let Some(system) = system {
        turns.say("system", texts("system", system)?);
    }
    for (index, message) in messages.into_iter().enumerate() {
        self::message(&mut turns, &format!("messages[{index}]"), message)?;
    }
    let mut chat = Chat::from(turns.said);
    for (index, tool) in tools.into_iter().enumerate() {
        let field = |rest: &str| format!("tools[{index}].{rest}");
        if tool.kind.as_deref().is_some_and(|kind| kind != "custom") {
            let reason = "must be `custom`: tools that Anthropic's servers run are not here";
            return Err(Problem::about(Code::UnsupportedParam, field("type"), reason));
        }
        let names = ["name", "input_schema"].map(field);
        generate::add_tool(&mut chat.tools, names, tool.name, tool.description, tool.input_schema)?;
    }
    choose(&mut chat, choice)?;
    generate::go_on(&mut chat);
    match chat.messages.last() {
        Some(last) if last.role == "assistant" => {
            let reason = "must end with a user's message, or with the beginning of an answer where no tool must be called";
            Err(Problem::invalid("messages", reason))
        }
        _ => Ok(chat),
    }
}

fn choose(chat: &mut Chat, choice: Option<ToolChoice>) -> Result<(), Problem> {
    let Some(choice) = choice else { return Ok(()) };
    chat.parallel_calls = choice.disable_parallel_tool_use != Some(true);
    match (choice.kind.as_str(), choice.name) {
        ("auto", _) => {}
        ("none", _) => chat.tools.clear(),
        ("any", _) if !chat.tools.is_empty() => chat.tool_choice = driver::ToolChoice::Required,
        ("tool", Some(name)) => generate::choose_named(chat, name)?,
        ("any" | "tool", _) => {
            return Err(Problem::invalid("tool_choice", "names a tool that is not among `tools`"));
        }
        _ => return Err(Problem::invalid("tool_choice.type", "must be auto, any, tool or none")),
    }
    Ok(())
}

fn message(turns: &mut Turns, field: &str, message: InputMessage) -> Result<(), Problem> {
    let role = message.role.as_str();
    if !matches!(role, "user" | "assistant" | "system") {
        return Err(Problem::invalid(format!("{field}.role"), "must be user or assistant"));
    }
    let blocks = match message.content {
        Content::Text(text) => {
            vec![InputBlock { kind: "text".into(), text: Some(text), ..InputBlock::default() }]
        }
        Content::Blocks(blocks) => blocks,
    };
    if blocks.is_empty() {
        return Err(Problem::invalid(format!("{field}.content"), "must not be empty"));
    }
    for (index, block) in blocks.into_iter().enumerate() {
        let field = format!("{field}.content[{index}]");
        match (block.kind.as_str(), role) {
            ("text", _) => {
                let text =
                    block.text.ok_or_else(|| Problem::invalid(format!("{field}.text"), "is missing"))?;
                turns.say(role, text);
            }
            ("tool_use", "assistant") => call(turns, &field, block)?,
            ("tool_result", "user") => result(turns, &field, block)?,
            // Of earlier turns; models think anew.
            ("thinking" | "redacted_thinking", "assistant") => {}
            (kind, _) => return Err(unread(&field, kind)),
        }
    }
    Ok(())
}

fn call(turns: &mut Turns, field: &str, block: InputBlock) -> Result<(), Problem> {
    let (Some(id), Some(name)) = (block.id, block.name) else {
        return Err(Problem::invalid(field, "`tool_use` needs an `id` and a `name`"));
    };
    let input = block.input.unwrap_or_else(|| serde_json::json!({}));
    if !input.is_object() {
        return Err(Problem::invalid(format!("{field}.input"), "must be an object"));
    }
    turns.call(ToolCall { id, name, arguments: input.to_string() });
    Ok(())
}

fn result(turns: &mut Turns, field: &str, block: InputBlock) -> Result<(), Problem> {
    let content = texts(&format!("{field}.content"), block.content.unwrap_or_default())?;
    let content = if block.is_error == Some(true) { format!("Error: {content}") } else { content };
    turns.result(format!("{field}.tool_use_id"), block.tool_use_id.unwrap_or_default(), content)
}

/// The text of a content that may hold nothing else.
fn texts(field: &str, content: Content) -> Result<String, Problem> {
    let blocks = match content {
        Content::Text(text) => return Ok(text),
        Content::Blocks(blocks) => blocks,
    };
    let texts =
        blocks.into_iter().enumerate().map(|(index, block)| match (block.kind.as_str(), block.text) {
            ("text", Some(text)) => Ok(text),
            (kind, _) => Err(unread(&format!("{field}[{index}]"), kind)),
        });
    Ok(texts.collect::<Result<Vec<String>, Problem>>()?.join("\n"))
}

fn unread(field: &str, kind: &str) -> Problem {
    let kind: String = kind.chars().take(64).collect();
    let reason = match kind.as_str() {
        "image" | "document" => format!("is `{kind}`: this model reads text only"),
        _ => format!("is `{kind}`, which does not belong there"),
    };
    Problem::about(Code::UnsupportedParam, format!("{field}.type"), reason)
}
