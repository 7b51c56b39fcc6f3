//! Decodes requests for responses: items become the messages of a chat, and tools become functions.

use std::collections::HashMap;

use lar_api::fields::TokenLimit;
use lar_api::openai::responses::{
    INPUT_TOKENS_FIELDS, InputItem, InputPart, NamedTool, RESPONSE_FIELDS, Response, ResponseContent,
    ResponseRequest, ResponseTool, ResponseToolChoice, Status, TextFormat, Truncation,
};
use lar_base::{Code, Problem, TaskId, Timestamp};
use lar_catalog::DEFAULT_CHAT;
use lar_inference::{Chat, Constraint, Prompt, Sampling, ToolCall};
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

/// The maximum number of items in a request, including those of previous responses.
const ITEMS_MAX: usize = 10_000;
/// The maximum number of pairs in `metadata`, as at OpenAI.
const METADATA_PAIRS_MAX: usize = 16;
/// The maximum length of a key in `metadata`, as at OpenAI.
const METADATA_KEY_CHARS_MAX: usize = 64;
/// The maximum length of a value in `metadata`, as at OpenAI.
const METADATA_VALUE_CHARS_MAX: usize = 512;
/// The value of `include` that adds logprobs to the output.
const LOGPROBS: &str = "message.output_text.logprobs";

/// A request whose fields are read, without the items of its previous response.
pub(crate) struct UndecodedRequest {
    wire: ResponseRequest,
    raw: Value,
    ignored: Vec<String>,
}

/// A decoded and validated request.
pub(crate) struct ResponsesInput {
    pub(crate) generation: GenerationRequest,
    /// The response before any output. Its model is the requested name, not yet resolved.
    pub(crate) response: Response,
    pub(crate) tools: OfferedTools,
    /// The request's own items as a JSON array.
    pub(crate) input: String,
    /// The treatment of an input that exceeds the context.
    pub(crate) truncation: Truncation,
}

/// The tools of a request by the names that the model sees.
#[derive(Debug, Default)]
pub(crate) struct OfferedTools(HashMap<String, OfferedTool>);

/// A tool as the request defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OfferedTool {
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    /// Whether its input is a text, not JSON arguments.
    pub(crate) custom: bool,
}

impl OfferedTools {
    /// Returns the tool with the name that the model called. An unknown name is treated as a function.
    pub(crate) fn get(&self, name: &str) -> OfferedTool {
        let unknown = || OfferedTool { name: name.to_owned(), namespace: None, custom: false };
        self.0.get(name).cloned().unwrap_or_else(unknown)
    }

    /// Returns the tools of a stored response.
    pub(crate) fn of(response: &Response) -> Self {
        let tools: Vec<ResponseTool> = serde_json::from_value(response.tools.clone()).unwrap_or_default();
        let mut chat = Chat::default();
        self::tools(&mut chat, tools, &mut Vec::new()).unwrap_or_default()
    }
}

impl UndecodedRequest {
    pub(crate) fn read(body: &[u8]) -> Result<Self, Problem> {
        Self::read_by(body, RESPONSE_FIELDS)
    }

    /// Reads a request to count tokens.
    pub(crate) fn read_to_count(body: &[u8]) -> Result<Self, Problem> {
        Self::read_by(body, INPUT_TOKENS_FIELDS)
    }

    fn read_by(body: &[u8], table: &[lar_api::fields::Field]) -> Result<Self, Problem> {
        let (raw, ignored) = read(body, table)?;
        Ok(Self { wire: extract::from_value(&raw)?, raw, ignored })
    }

    /// Returns the task of the previous response, if the request names one.
    pub(crate) fn previous(&self) -> Result<Option<TaskId>, Problem> {
        let previous = self.wire.previous_response_id.as_deref();
        previous.map(|id| super::task_of("previous_response_id", id)).transpose()
    }

    /// Returns the ids of the items that the request references.
    pub(crate) fn references(&self) -> Vec<String> {
        let items = self.wire.input.as_array().into_iter().flatten();
        items.filter_map(|item| reference(item).map(ToOwned::to_owned)).collect()
    }

    /// Replaces references by the items, which `items` has by id.
    ///
    /// # Errors
    /// [`Code::NotFound`] for the first reference whose item is missing.
    pub(crate) fn replace_references(&mut self, items: &HashMap<String, Value>) -> Result<(), Problem> {
        let Value::Array(input) = &mut self.wire.input else { return Ok(()) };
        let mut changed = false;
        for (index, item) in input.iter_mut().enumerate() {
            let Some(id) = reference(item) else { continue };
            let found = items.get(id).cloned();
            *item = found.ok_or_else(|| {
                let reason = format!(
                    "is `{id:.80}`, which is not an item of a stored response of this key; send the item \
                     itself, or set `store` to true when you create the response"
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

    /// Returns `store` and `background`, with their defaults.
    pub(crate) fn store_and_background(&self) -> (bool, bool) {
        (self.wire.store != Some(false), self.wire.background == Some(true))
    }

    /// Decodes the request. The items `earlier` come before its own.
    pub(crate) fn decode(self, earlier: Vec<InputItem>, id: TaskId) -> Result<ResponsesInput, Problem> {
        let (store, background) = self.store_and_background();
        let Self { wire, raw, mut ignored } = self;
        if background && !store {
            return Err(Problem::invalid(
                "background",
                "requires `store`, so that the response can be retrieved",
            ));
        }
        let tokens_max = wire.max_output_tokens.and_then(TokenLimit::get);
        if tokens_max == Some(0) {
            return Err(Problem::invalid("max_output_tokens", "must be at least 1"));
        }
        let metadata = check_metadata(wire.metadata.unwrap_or_default())?;
        let top = top_logprobs("top_logprobs", wire.top_logprobs.unwrap_or(0))?;
        let includes_logprobs = wire.include.iter().any(|name| name == LOGPROBS);
        if top > 0 && !includes_logprobs {
            return Err(Problem::invalid("top_logprobs", format!("requires `{LOGPROBS}` in `include`")));
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
        let echo_field = |field: &str, default: Value| raw.get(field).cloned().unwrap_or(default);
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
            Value::Null => json!([]),
            Value::String(text) => json!([{ "type": "message", "role": "user", "content": text }]),
            items => items,
        };
        Ok(ResponsesInput { generation, response, tools: offered, input: input.to_string(), truncation })
    }
}

/// Returns the id of the referenced item if this item is a reference.
fn reference(item: &Value) -> Option<&str> {
    let absent = |name: &str| item.get(name).is_none_or(Value::is_null);
    let is_reference = match item.get("type").filter(|kind| !kind.is_null()) {
        Some(kind) => kind == "item_reference",
        None => absent("role") && absent("content"),
    };
    item.get("id")?.as_str().filter(|_| is_reference)
}

/// Reads the items of a request. A text is a user message.
fn items(input: Value) -> Result<Vec<InputItem>, Problem> {
    match input {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => {
            let (role, content) = (Some("user".into()), Some(ResponseContent::Text(text)));
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
        _ => Err(Problem::invalid("input", "must be a string or an array of items")),
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
        let reason = format!("has {} pairs; the limit is {METADATA_PAIRS_MAX}", metadata.len());
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
        "must map keys of up to {METADATA_KEY_CHARS_MAX} characters to strings of up to \
         {METADATA_VALUE_CHARS_MAX} characters"
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
        return Err(Problem::invalid("input", "must have at least one item"));
    }
    if earlier.len() + input.len() > ITEMS_MAX {
        let reason = format!("has too many items; the limit is {ITEMS_MAX}, including previous responses");
        return Err(Problem::invalid("input", reason));
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
            return Err(Problem::invalid(format!("{field}.id"), "must be the id of a stored item"));
        }
        kind => {
            let reason = format!("is `{kind:.64}`, which is not supported");
            return Err(Problem::about(Code::UnsupportedParam, format!("{field}.type"), reason));
        }
    }
    Ok(())
}

/// Joins the texts of a content. Parts that are not text are errors.
fn texts(field: &str, content: ResponseContent) -> Result<String, Problem> {
    let parts = match content {
        ResponseContent::Text(text) => return Ok(text),
        ResponseContent::Parts(parts) if parts.is_empty() => {
            return Err(Problem::invalid(field, "must not be empty"));
        }
        ResponseContent::Parts(parts) => parts,
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
                        format!("is `{kind}`, which is not supported: this model reads text only")
                    }
                    _ => format!("is `{kind:.64}`, which is not allowed here"),
                };
                Err(Problem::about(Code::UnsupportedParam, format!("{field}[{index}].type"), reason))
            }
        }
    });
    Ok(texts.collect::<Result<Vec<String>, Problem>>()?.join("\n"))
}

/// Returns the text of a reasoning item: its content, or else its summary.
fn reasoning(content: Option<ResponseContent>, summary: Vec<InputPart>) -> String {
    let parts = match content {
        Some(ResponseContent::Text(text)) => return text,
        Some(ResponseContent::Parts(parts)) if !parts.is_empty() => parts,
        _ => summary,
    };
    parts.into_iter().filter_map(|part| part.text).collect::<Vec<_>>().join("\n")
}

/// Returns the name of a tool that the model sees.
pub(super) fn full_name(namespace: Option<&str>, name: &str) -> String {
    namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}__{name}"))
}

/// Adds the tools that the client runs to the chat. OpenAI's hosted tools are left out and added to `ignored`.
fn tools(
    chat: &mut Chat,
    tools: Vec<ResponseTool>,
    ignored: &mut Vec<String>,
) -> Result<OfferedTools, Problem> {
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
    tool: ResponseTool,
) -> Result<(), Problem> {
    let custom = match tool.kind.as_str() {
        "function" => false,
        "custom" => true,
        _ => {
            let reason = "must be `function` or `custom` within a namespace";
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

fn choose(
    chat: &mut Chat,
    offered: &OfferedTools,
    choice: Option<ResponseToolChoice>,
) -> Result<(), Problem> {
    let full =
        |tool: &NamedTool| full_name(tool.namespace.as_deref(), tool.name.as_deref().unwrap_or_default());
    match choice {
        None => Ok(()),
        Some(ResponseToolChoice::Mode(mode)) => generate::choose_mode(chat, &mode),
        Some(ResponseToolChoice::Named(tool)) => match tool.kind.as_str() {
            "function" | "custom" => generate::choose_named(chat, full(&tool)),
            "allowed_tools" => {
                let allowed: Vec<String> = tool.tools.iter().map(full).collect();
                if let Some(unknown) = allowed.iter().find(|name| !offered.0.contains_key(*name)) {
                    let reason = format!("names `{unknown:.128}`, which is not a tool of the request");
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
