//! Reading requests for responses: items become a chat of turns, tools become functions.

use std::collections::HashMap;

use lar_api::fields::TokenLimit;
use lar_api::openai::responses::{
    Content, INPUT_TOKENS_FIELDS, InputItem, InputPart, NamedTool, RESPONSE_FIELDS, Response,
    ResponseRequest, Status, TextFormat, Tool, ToolChoice, Truncation,
};
use lar_base::{Code, Problem, TaskId, Timestamp};
use lar_catalog::DEFAULT_CHAT;
use lar_engines::driver::{Chat, Constraint, Prompt, Sampling, ToolCall};
use serde_json::{Map, Value, json};

use super::id_of;
use crate::extract;
use crate::fields::read;
use crate::generate::{self, GenerationRequest, derived_seed, in_range};
use crate::lenient::model_or;
use crate::message_builder::{self, MessageBuilder};
use crate::openai::custom_tools;
use crate::openai::sampling::top_logprobs;
use crate::variables;

/// Items of a request, with those it goes on from, at most.
const ITEMS_MAX: usize = 10_000;
/// OpenAI's limits of `metadata`.
const METADATA_PAIRS_MAX: usize = 16;
const METADATA_KEY_CHARS_MAX: usize = 64;
const METADATA_VALUE_CHARS_MAX: usize = 512;
/// What is included on wish.
const LOGPROBS: &str = "message.output_text.logprobs";

/// A request whose fields were read; what it goes on from is not there yet.
pub(crate) struct UndecodedRequest {
    wire: ResponseRequest,
    raw: Value,
    ignored: Vec<String>,
}

/// A request that was read and checked.
pub(crate) struct ResponsesInput {
    pub(crate) generation: GenerationRequest,
    /// As its caller is told at the beginning; the model is not yet known.
    pub(crate) response: Response,
    pub(crate) tools: OfferedTools,
    /// Its own items: a JSON array.
    pub(crate) input: String,
    /// What becomes of its input if that is beyond the context.
    pub(crate) truncation: Truncation,
}

/// What the names mean that the model is given for tools.
#[derive(Debug, Default)]
pub(crate) struct OfferedTools(HashMap<String, OfferedTool>);

/// A tool as its caller knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OfferedTool {
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    /// Whether it takes a text rather than arguments.
    pub(crate) custom: bool,
}

impl OfferedTools {
    /// What a tool that the model called is; a function where it was not offered.
    pub(crate) fn get(&self, name: &str) -> OfferedTool {
        let unknown = || OfferedTool { name: name.to_owned(), namespace: None, custom: false };
        self.0.get(name).cloned().unwrap_or_else(unknown)
    }

    /// The tools of a response that is stored.
    pub(crate) fn of(response: &Response) -> Self {
        let tools: Vec<Tool> = serde_json::from_value(response.tools.clone()).unwrap_or_default();
        let mut chat = Chat::default();
        self::tools(&mut chat, tools, &mut Vec::new()).unwrap_or_default()
    }
}

impl UndecodedRequest {
    pub(crate) fn read(body: &[u8]) -> Result<Self, Problem> {
        Self::read_by(body, RESPONSE_FIELDS)
    }

    /// Reads a request that is to be counted.
    pub(crate) fn read_to_count(body: &[u8]) -> Result<Self, Problem> {
        Self::read_by(body, INPUT_TOKENS_FIELDS)
    }

    fn read_by(body: &[u8], table: &[lar_api::fields::Field]) -> Result<Self, Problem> {
        let (raw, ignored) = read(body, table)?;
        Ok(Self { wire: extract::from_value(&raw)?, raw, ignored })
    }

    /// The response that it goes on from.
    pub(crate) fn previous(&self) -> Result<Option<TaskId>, Problem> {
        let previous = self.wire.previous_response_id.as_deref();
        previous.map(|id| super::task_of("previous_response_id", id)).transpose()
    }

    /// The ids of the items that it refers to instead of sending them.
    pub(crate) fn references(&self) -> Vec<String> {
        let items = self.wire.input.as_array().into_iter().flatten();
        items.filter_map(|item| reference(item).map(ToOwned::to_owned)).collect()
    }

    /// Puts items in the place of the references to them; `items` is by their ids.
    ///
    /// # Errors
    /// [`Code::NotFound`] with the first reference whose item is not there.
    pub(crate) fn replace_references(&mut self, items: &HashMap<String, Value>) -> Result<(), Problem> {
        let Value::Array(input) = &mut self.wire.input else { return Ok(()) };
        let mut changed = false;
        for (index, item) in input.iter_mut().enumerate() {
            let Some(id) = reference(item) else { continue };
            let found = items.get(id).cloned();
            *item = found.ok_or_else(|| {
                let reason = format!(
                    "`{id:.80}` is no item of a stored response of this key: send the item itself; items are not kept where `store` is false"
                );
                Problem::about(Code::NotFound, format!("input[{index}].id"), reason)
            })?;
            changed = true;
        }
        if changed {
            self.raw["input"] = self.wire.input.clone();
        }
        Ok(())
    }

    /// Whether it is to be kept, and whether it is to go on by itself.
    pub(crate) fn store_and_background(&self) -> (bool, bool) {
        (self.wire.store != Some(false), self.wire.background == Some(true))
    }

    /// Makes a task of it, after the items `earlier`.
    pub(crate) fn decode(self, earlier: Vec<InputItem>, id: TaskId) -> Result<ResponsesInput, Problem> {
        let (store, background) = self.store_and_background();
        let Self { wire, raw, mut ignored } = self;
        if background && !store {
            return Err(Problem::invalid("background", "needs `store`: nobody could fetch it"));
        }
        let tokens_max = wire.max_output_tokens.and_then(TokenLimit::get);
        if tokens_max == Some(0) {
            return Err(Problem::invalid("max_output_tokens", "must be at least 1"));
        }
        let metadata = check_metadata(wire.metadata.unwrap_or_default())?;
        let top = top_logprobs("top_logprobs", wire.top_logprobs.unwrap_or(0))?;
        let includes_logprobs = wire.include.iter().any(|name| name == LOGPROBS);
        if top > 0 && !includes_logprobs {
            return Err(Problem::invalid("top_logprobs", format!("needs `{LOGPROBS}` in `include`")));
        }
        ignored.extend(wire.include.iter().filter(|name| *name != LOGPROBS).map(|name| {
            let name: String = name.chars().filter(char::is_ascii_graphic).take(40).collect();
            format!("include.{name}")
        }));
        let sampling = Sampling {
            temperature: in_range("temperature", wire.temperature, 0.0, 2.0)?,
            top_p: in_range("top_p", wire.top_p, 0.0, 1.0)?,
            seed: derived_seed(id),
            tokens_max: tokens_max.unwrap_or(0),
            strict: wire.text.as_ref().and_then(|text| text.format.as_ref()?.strict) == Some(true),
            constraint: wire.text.and_then(|text| text.format).map(constraint).transpose()?.flatten(),
            logprobs: includes_logprobs.then_some(top),
            ..Sampling::default()
        };
        let input = items(wire.input)?;
        let mut chat = chat(wire.instructions.clone(), earlier, input)?;
        chat.parallel_calls = wire.parallel_tool_calls != Some(false);
        let offered = tools(&mut chat, wire.tools, &mut ignored)?;
        choose(&mut chat, &offered, wire.tool_choice)?;
        if let Some(effort) = wire.reasoning.and_then(|reasoning| reasoning.effort) {
            chat.variables = variables::effort("reasoning.effort", &effort)?;
        }
        let model = model_or(wire.model, DEFAULT_CHAT);
        let truncation = truncation(wire.truncation.as_deref())?;
        let echo_field = |field: &str, usual: Value| raw.get(field).cloned().unwrap_or(usual);
        let response = Response {
            id: id_of(id),
            object: "response".into(),
            created_at: Timestamp::now().as_seconds(),
            status: Status::InProgress,
            background,
            completed_at: None,
            error: None,
            incomplete_details: None,
            instructions: wire.instructions,
            max_output_tokens: tokens_max,
            metadata,
            model: model.clone(),
            output: Vec::new(),
            parallel_tool_calls: wire.parallel_tool_calls != Some(false),
            previous_response_id: wire.previous_response_id,
            store,
            temperature: wire.temperature,
            text: echo_field("text", json!({ "format": { "type": "text" } })),
            tool_choice: echo_field("tool_choice", json!("auto")),
            tools: echo_field("tools", json!([])),
            top_logprobs: top,
            top_p: wire.top_p,
            truncation,
            usage: None,
            timings: None,
        };
        let generation = GenerationRequest {
            id,
            model,
            constraint_field: "text.format",
            prompt: Prompt::Chat(chat),
            sampling,
            n: 1,
            stream: wire.stream == Some(true),
            include_usage: true,
            ignored,
        };
        let input = match echo_field("input", json!([])) {
            Value::String(text) => json!([{ "type": "message", "role": "user", "content": text }]),
            items => items,
        };
        Ok(ResponsesInput { generation, response, tools: offered, input: input.to_string(), truncation })
    }
}

/// The id that an item is nothing but a reference to.
fn reference(item: &Value) -> Option<&str> {
    let absent = |name: &str| item.get(name).is_none_or(Value::is_null);
    let is_reference = match item.get("type").filter(|kind| !kind.is_null()) {
        Some(kind) => kind == "item_reference",
        None => absent("role") && absent("content"),
    };
    item.get("id")?.as_str().filter(|_| is_reference)
}

/// The items of a request; a text is what a user says.
fn items(input: Value) -> Result<Vec<InputItem>, Problem> {
    match input {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => {
            let (role, content) = (Some("user".into()), Some(Content::Text(text)));
            Ok(vec![InputItem { role, content, ..InputItem::default() }])
        }
        Value::Array(items) => {
            let read = |(index, item): (usize, &Value)| {
                extract::from_value(item).map_err(|problem| match problem.fields.is_empty() {
                    true => Problem::invalid(format!("input[{index}]"), "must be an object"),
                    false => problem.within(&format!("input[{index}]")),
                })
            };
            items.iter().enumerate().map(read).collect()
        }
        _ => Err(Problem::invalid("input", "must be a text or a list of items")),
    }
}

fn truncation(named: Option<&str>) -> Result<Truncation, Problem> {
    match named {
        None | Some("" | "disabled") => Ok(Truncation::Disabled),
        Some("auto") => Ok(Truncation::Auto),
        Some(_) => Err(Problem::invalid("truncation", "must be auto or disabled")),
    }
}

fn check_metadata(metadata: Map<String, Value>) -> Result<Map<String, Value>, Problem> {
    if metadata.len() > METADATA_PAIRS_MAX {
        let reason = format!("has {} pairs; {METADATA_PAIRS_MAX} at most", metadata.len());
        return Err(Problem::invalid("metadata", reason));
    }
    let fits = |(key, value): (&String, &Value)| {
        key.chars().count() <= METADATA_KEY_CHARS_MAX
            && value.as_str().is_some_and(|value| value.chars().count() <= METADATA_VALUE_CHARS_MAX)
    };
    if metadata.iter().all(fits) {
        return Ok(metadata);
    }
    let reason = format!(
        "must map names of up to {METADATA_KEY_CHARS_MAX} characters to texts of up to {METADATA_VALUE_CHARS_MAX}"
    );
    Err(Problem::invalid("metadata", reason))
}

fn constraint(format: TextFormat) -> Result<Option<Constraint>, Problem> {
    match format.kind.as_str() {
        "text" => Ok(None),
        "json_object" => Ok(Some(Constraint::JsonObject)),
        "json_schema" => {
            let field = "text.format.schema";
            let schema = format.schema.ok_or_else(|| Problem::invalid(field, "is missing"))?;
            generate::json_schema(field, &schema).map(Some)
        }
        _ => Err(Problem::invalid("text.format.type", "must be text, json_object or json_schema")),
    }
}

fn chat(
    instructions: Option<String>,
    earlier: Vec<InputItem>,
    input: Vec<InputItem>,
) -> Result<Chat, Problem> {
    if input.is_empty() {
        return Err(Problem::invalid("input", "must hold at least one item"));
    }
    if earlier.len() + input.len() > ITEMS_MAX {
        return Err(Problem::invalid(
            "input",
            format!("holds more than {ITEMS_MAX} items, with those before"),
        ));
    }
    let mut builder = MessageBuilder::default();
    if let Some(instructions) = instructions {
        builder.add_text("system", instructions);
    }
    for item in earlier {
        if item.status.as_deref() != Some("incomplete") || item.call_id.is_none() {
            add(&mut builder, "previous_response_id", item)?;
        }
    }
    for (index, item) in input.into_iter().enumerate() {
        add(&mut builder, &format!("input[{index}]"), item)?;
    }
    Ok(Chat::from(builder.messages))
}

fn add(builder: &mut MessageBuilder, field: &str, item: InputItem) -> Result<(), Problem> {
    let kind = item.kind.as_deref().unwrap_or("message");
    let missing = |name: &str| Problem::invalid(format!("{field}.{name}"), "is missing");
    match kind {
        "message" => {
            let role = match item.role.as_deref() {
                Some("system" | "developer") => "system",
                Some("user") => "user",
                Some("assistant") => "assistant",
                _ => {
                    let reason = "must be user, assistant, system or developer";
                    return Err(Problem::invalid(format!("{field}.role"), reason));
                }
            };
            let content = item.content.ok_or_else(|| missing("content"))?;
            builder.add_text(role, texts(&format!("{field}.content"), content)?);
        }
        "function_call" | "custom_tool_call" => {
            let id = item.call_id.ok_or_else(|| missing("call_id"))?;
            let name = item.name.ok_or_else(|| missing("name"))?;
            let arguments = if kind == "function_call" {
                message_builder::arguments(item.arguments.unwrap_or_default())
            } else {
                custom_tools::arguments(&item.input.ok_or_else(|| missing("input"))?)
            };
            builder.add_call(ToolCall { id, name: full_name(item.namespace.as_deref(), &name), arguments });
        }
        "function_call_output" | "custom_tool_call_output" => {
            let id = item.call_id.ok_or_else(|| missing("call_id"))?;
            let output = item.output.ok_or_else(|| missing("output"))?;
            builder.add_result(format!("{field}.call_id"), id, texts(&format!("{field}.output"), output)?)?;
        }
        "reasoning" => builder.add_reasoning(reasoning(item.content, item.summary)),
        "item_reference" => {
            return Err(Problem::invalid(format!("{field}.id"), "must be the id of an item"));
        }
        kind => {
            let reason = format!("is `{kind:.64}`, which is not taken here");
            return Err(Problem::about(Code::UnsupportedParam, format!("{field}.type"), reason));
        }
    }
    Ok(())
}

/// The text of a content that may hold nothing else.
fn texts(field: &str, content: Content) -> Result<String, Problem> {
    let parts = match content {
        Content::Text(text) => return Ok(text),
        Content::Parts(parts) if parts.is_empty() => {
            return Err(Problem::invalid(field, "must not be empty"));
        }
        Content::Parts(parts) => parts,
    };
    let texts = parts.into_iter().enumerate().map(|(index, part)| {
        match (part.kind.as_str(), part.text, part.refusal) {
            ("input_text" | "output_text" | "text", Some(text), _) | ("refusal", _, Some(text)) => Ok(text),
            ("input_text" | "output_text" | "text", None, _) => {
                Err(Problem::invalid(format!("{field}[{index}].text"), "is missing"))
            }
            (kind, ..) => {
                let reason = match kind {
                    "input_image" | "input_file" | "input_audio" => {
                        format!("is `{kind}`: this model reads text only")
                    }
                    _ => format!("is `{kind:.64}`, which does not belong there"),
                };
                Err(Problem::about(Code::UnsupportedParam, format!("{field}[{index}].type"), reason))
            }
        }
    });
    Ok(texts.collect::<Result<Vec<String>, Problem>>()?.join("\n"))
}

/// What a reasoning item tells: its content, or else its summary.
fn reasoning(content: Option<Content>, summary: Vec<InputPart>) -> String {
    let parts = match content {
        Some(Content::Text(text)) => return text,
        Some(Content::Parts(parts)) if !parts.is_empty() => parts,
        _ => summary,
    };
    parts.into_iter().filter_map(|part| part.text).collect::<Vec<_>>().join("\n")
}

/// The name that the model knows a tool by.
pub(super) fn full_name(namespace: Option<&str>, name: &str) -> String {
    namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}__{name}"))
}

/// Offers the tools that the caller runs; those that OpenAI's servers would run are left out and named.
fn tools(chat: &mut Chat, tools: Vec<Tool>, ignored: &mut Vec<String>) -> Result<OfferedTools, Problem> {
    let mut offered = OfferedTools::default();
    for (index, tool) in tools.into_iter().enumerate() {
        let field = format!("tools[{index}]");
        match tool.kind.as_str() {
            "namespace" => {
                let namespace =
                    tool.name.ok_or_else(|| Problem::invalid(format!("{field}.name"), "is missing"))?;
                for (index, tool) in tool.tools.into_iter().enumerate() {
                    offer(chat, &mut offered, &format!("{field}.tools[{index}]"), Some(&namespace), tool)?;
                }
            }
            "function" | "custom" => offer(chat, &mut offered, &field, None, tool)?,
            kind => {
                let kind: String = kind.chars().filter(char::is_ascii_graphic).take(40).collect();
                ignored.push(format!("tools.{kind}"));
            }
        }
    }
    Ok(offered)
}

fn offer(
    chat: &mut Chat,
    offered: &mut OfferedTools,
    field: &str,
    namespace: Option<&str>,
    tool: Tool,
) -> Result<(), Problem> {
    let custom = match tool.kind.as_str() {
        "function" => false,
        "custom" => true,
        _ => {
            let reason = "must be `function` or `custom` in a namespace";
            return Err(Problem::about(Code::UnsupportedParam, format!("{field}.type"), reason));
        }
    };
    let name = tool.name.unwrap_or_default();
    let full = full_name(namespace, &name);
    let (description, parameters) = if custom {
        let format = tool.format.unwrap_or_default();
        let (description, parameters) =
            custom_tools::as_function(tool.description, format.syntax, format.definition);
        (description, Some(parameters))
    } else {
        (tool.description, tool.parameters)
    };
    let names = ["name", "parameters"].map(|name| format!("{field}.{name}"));
    generate::add_tool(&mut chat.tools, names, full.clone(), description, parameters, tool.strict)?;
    offered.0.insert(full, OfferedTool { name, namespace: namespace.map(ToOwned::to_owned), custom });
    Ok(())
}

fn choose(chat: &mut Chat, offered: &OfferedTools, choice: Option<ToolChoice>) -> Result<(), Problem> {
    let full =
        |tool: &NamedTool| full_name(tool.namespace.as_deref(), tool.name.as_deref().unwrap_or_default());
    match choice {
        None => Ok(()),
        Some(ToolChoice::Mode(mode)) => generate::choose_mode(chat, &mode),
        Some(ToolChoice::Named(tool)) => match tool.kind.as_str() {
            "function" | "custom" => generate::choose_named(chat, full(&tool)),
            "allowed_tools" => {
                let allowed: Vec<String> = tool.tools.iter().map(full).collect();
                if let Some(unknown) = allowed.iter().find(|name| !offered.0.contains_key(*name)) {
                    let reason = format!("names `{unknown:.128}`, which is not among `tools`");
                    return Err(Problem::invalid("tool_choice.tools", reason));
                }
                chat.tools.retain(|tool| allowed.contains(&tool.name));
                generate::choose_mode(chat, tool.mode.as_deref().unwrap_or("auto"))
            }
            _ => {
                let reason = "must be function, custom or allowed_tools";
                Err(Problem::about(Code::UnsupportedParam, "tool_choice.type", reason))
            }
        },
    }
}
