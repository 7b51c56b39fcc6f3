//! `/api`: Ollama's API for unmodified clients. Requests become the same tasks as those of OpenAI's API.
//!
//! Decoding of the options that chat and generate share is here. Responses, which are JSON lines, are in [`lines`].

pub(crate) mod chat;
pub(crate) mod embed;
pub(crate) mod generate;
mod lines;
pub(crate) mod models;
pub(crate) mod pull;

use std::time::Duration;

use axum::response::Response;
use lar_api::ollama::OPTIONS;
use lar_base::{Caller, Instant, Problem, Scope, TaskId};
use lar_inference::{ChatMessage, Constraint, Sampling, TemplateVariable};
use serde_json::{Map, Value};

use self::lines::{AnswerForm, AnswerLines};
use crate::compat_caller::{CompatCaller, plain_name};
use crate::generate::{GenerationRequest, json_schema};
use crate::tool_call_check::ToolSchemas;
use crate::truncate::{self, Cut};
use crate::{App, extract, fields, openai, variables};

/// The number of prompt tokens that a context shift keeps without `num_keep`: Ollama's default.
const SHIFT_KEEP: i64 = 4;
/// The smallest `num_ctx` in tokens, as at Ollama.
const CONTEXT_TOKENS_MIN: usize = 4;
/// A time longer than any process runs.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A decoded and validated request.
#[derive(Debug)]
pub(crate) struct OllamaInput {
    /// `None` without a prompt: the request only loads or unloads the model.
    request: Option<GenerationRequest>,
    model: String,
    stream: bool,
    thinking: bool,
    keep_alive: Option<Duration>,
    /// Whether a prompt that exceeds the context is truncated.
    truncates: bool,
    /// `num_ctx`: the context in tokens to which a prompt is truncated, if it is smaller than the model's.
    context_max: Option<usize>,
    /// The conversation so far, for the `context` of a generate response.
    context: Option<Vec<ChatMessage>>,
}

impl OllamaInput {
    /// Creates a request that only loads or unloads the model.
    fn load(model: String, stream: bool, keep_alive: Option<Duration>) -> Self {
        Self {
            request: None,
            model,
            stream,
            thinking: false,
            keep_alive,
            truncates: false,
            context_max: None,
            context: None,
        }
    }
}

/// Responds to a decoded request. `received_at` is the start of the durations in the response.
async fn answer(
    app: &App,
    compat_caller: &CompatCaller,
    form: AnswerForm,
    read: OllamaInput,
    received_at: Instant,
) -> Result<Response, Problem> {
    let Some(mut request) = read.request else {
        let done = load(app, &compat_caller.caller, &read.model, read.keep_alive).await?;
        return Ok(lines::load_answer(form, read.model, done, read.stream));
    };
    let key = compat_caller.caller.key();
    let removed = if read.truncates {
        truncate::fit(app, key, &mut request, Cut::MessagesAndText, read.context_max).await?
    } else {
        None
    };
    let schemas = ToolSchemas::of(&request);
    let answer_stream = crate::generate::begin(app, compat_caller, form.api(), request).await?;
    if let Some(keep_alive) = read.keep_alive {
        let route = app.gateway.route(plain_name(&read.model)).await;
        if let Ok(route) = route {
            set_keep_alive(app, &compat_caller.caller, &route.pool, keep_alive);
        }
    }
    let lines = AnswerLines::new(form, read.model, answer_stream, read.thinking, read.context, received_at);
    let mut response = lines.respond(read.stream, &schemas).await?;
    if let Some(removed) = removed {
        truncate::set_truncated_header(&mut response, removed);
    }
    Ok(response)
}

/// Removes the tag `:latest`, which Ollama's clients add to names without a tag.
fn strip_tag(name: String) -> String {
    name.strip_suffix(":latest").map_or(name.clone(), ToOwned::to_owned)
}

/// Returns whether the response shows reasoning: unless `think` is false.
fn shows_thinking(think: Option<&Value>) -> bool {
    think != Some(&Value::Bool(false))
}

/// Returns the chat template variables for `think`.
fn thinking(think: Option<&Value>) -> Result<Vec<TemplateVariable>, Problem> {
    match think {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Bool(on)) => Ok(variables::thinking("think", *on)),
        Some(Value::String(effort)) => variables::effort("think", effort),
        Some(_) => {
            Err(Problem::invalid("think", "must be a boolean, or a level such as low, medium or high"))
        }
    }
}

/// Reads `num_ctx` of a request's options. A number below 1 sets no limit, as at Ollama.
///
/// # Errors
/// If it is not a number.
fn context_max(options: &Map<String, Value>) -> Result<Option<usize>, Problem> {
    let Some(tokens) = options.get("num_ctx").filter(|tokens| !tokens.is_null()) else { return Ok(None) };
    let tokens =
        tokens.as_f64().ok_or_else(|| Problem::invalid("options.num_ctx", "must be a number of tokens"))?;
    Ok((tokens >= 1.0).then_some((tokens as usize).max(CONTEXT_TOKENS_MIN)))
}

/// The fields that chat and generate share, apart from the prompt.
struct AnswerOptions {
    options: Map<String, Value>,
    format: Option<Value>,
    logprobs: Option<bool>,
    top_logprobs: Option<u32>,
    shift: Option<bool>,
}

/// Converts the options of a request. The names of options without effect are added to `ignored`.
fn sampling(
    answer_options: AnswerOptions,
    id: TaskId,
    ignored: &mut Vec<String>,
) -> Result<Sampling, Problem> {
    let AnswerOptions { options, format, logprobs, top_logprobs, shift } = answer_options;
    let within = |problem: Problem| problem.within("options");
    let mut options = Value::Object(options);
    extract::normalize_values(&mut options);
    let unused = fields::check_fields(&mut options, OPTIONS)?;
    let known = |(name, _): &(String, Value)| unused.iter().all(|unused| unused != name);
    let Value::Object(all) = options else { return Err(Problem::invalid("options", "must be an object")) };
    let mut wire: Map<String, Value> = all.into_iter().filter(known).collect();
    ignored.extend(unused.into_iter().map(|name| format!("options.{name}")));
    // It limits the prompt and is read by `context_max`.
    wire.remove("num_ctx");
    let tokens_max = match wire.remove("num_predict") {
        None => None,
        Some(number) => {
            let wrong = |_| Problem::invalid("options.num_predict", "must be a number");
            let number: i64 = extract::from_value_clamped(&number).map_err(wrong)?;
            // -1 and -2 mean no limit, and so does 0, which clients send that always send all options.
            u32::try_from(number).ok().filter(|number| *number > 0)
        }
    };
    // A negative number turns `top_k` off in llama.cpp.
    if wire.get("top_k").and_then(Value::as_i64).is_some_and(|k| k < 0) {
        wire.insert("top_k".into(), 0.into());
    }
    if wire.get("seed").and_then(Value::as_i64) == Some(-1) {
        wire.remove("seed");
    }
    let keep = wire.remove("num_keep");
    if shift == Some(true) {
        wire.insert("context_shift".into(), true.into());
        wire.insert("n_keep".into(), keep.unwrap_or_else(|| SHIFT_KEEP.into()));
    } else if keep.is_some() {
        ignored.push("options.num_keep".into());
    }
    let wire = extract::from_value_clamped(&Value::Object(wire)).map_err(within)?;
    let mut sampling = openai::sampling::sampling_clamped(wire, tokens_max, id).map_err(within)?;
    let top = openai::sampling::top_logprobs("top_logprobs", top_logprobs.unwrap_or(0))?;
    match (logprobs, top) {
        (Some(true), top) => sampling.logprobs = Some(top),
        (_, 0) => {}
        _ => return Err(Problem::invalid("top_logprobs", "requires `logprobs` to be true")),
    }
    sampling.constraint = match format {
        None => None,
        Some(Value::String(name)) if name.is_empty() => None,
        Some(Value::String(name)) if name == "json" => Some(Constraint::JsonObject),
        Some(schema) if schema.is_object() => Some(json_schema("format", &schema)?),
        Some(_) => {
            return Err(Problem::invalid("format", "must be `json` or a JSON Schema object"));
        }
    };
    Ok(sampling)
}

/// Reads `keep_alive`: a number of seconds, or a duration such as `10m` or `1h30m`. A negative value means forever.
fn parse_keep_alive(value: Option<&Value>) -> Result<Option<Duration>, Problem> {
    let wrong = || {
        let reason =
            "must be a number of seconds or a duration such as `10m`; a negative value means forever";
        Problem::invalid("keep_alive", reason)
    };
    let seconds = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(seconds)) => seconds.as_f64().ok_or_else(wrong)?,
        Some(Value::String(text)) => seconds(text.trim()).ok_or_else(wrong)?,
        Some(_) => return Err(wrong()),
    };
    if seconds < 0.0 {
        return Ok(Some(FOREVER));
    }
    Ok(Some(Duration::try_from_secs_f64(seconds).map_or(FOREVER, |kept| kept.min(FOREVER))))
}

/// Parses a duration in Go's format, numbers with units, or a plain number of seconds.
fn seconds(text: &str) -> Option<f64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    if let Ok(number) = rest.parse::<f64>() {
        return number.is_finite().then_some(sign * number);
    }
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit = &rest[digits..];
        let letters = unit.find(|character: char| character.is_ascii_digit()).unwrap_or(unit.len());
        sum += number
            * match &unit[..letters] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &unit[letters..];
    }
    (!text.is_empty()).then_some(sign * sum)
}

/// Sets how long a model stays loaded after its last use, as a request asks.
///
/// Only an admin may set less than the default, because other callers use the model, too.
fn set_keep_alive(app: &App, caller: &Caller, pool: &str, keep_alive: Duration) {
    let set = app.gateway.engines().keep_alive().unwrap_or(FOREVER);
    if keep_alive >= set || caller.require(Scope::Admin).is_ok() {
        app.gateway.engines().set_keep_alive(pool, Some(keep_alive));
    }
}

/// Loads a model, or unloads it if `keep_alive` is 0. Returns the response's `done_reason`.
async fn load(
    app: &App,
    caller: &Caller,
    model: &str,
    keep_alive: Option<Duration>,
) -> Result<&'static str, Problem> {
    let route = app
        .gateway
        .route_for(plain_name(model), lar_catalog::Kind::Chat)
        .await
        .map_err(crate::generate::about_model)?;
    if keep_alive != Some(Duration::ZERO) {
        app.gateway.engines().load(&route.pool);
        if let Some(keep_alive) = keep_alive {
            set_keep_alive(app, caller, &route.pool, keep_alive);
        }
        return Ok("load");
    }
    caller.require(Scope::Admin)?;
    crate::pools::refuse_active(app, &route.pool)?;
    app.gateway.engines().unload(&route.pool);
    Ok("unload")
}
