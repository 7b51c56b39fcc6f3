//! `/api`: Ollama's API, for its unchanged clients. Requests become the same tasks as OpenAI's; answers are JSON lines.

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
use lar_engines::driver::{ChatMessage, Constraint, Sampling, TemplateVariable};
use serde_json::{Map, Value};

use self::lines::{AnswerForm, AnswerLines};
use crate::compat_caller::{CompatCaller, plain_name};
use crate::generate::{GenerationRequest, json_schema};
use crate::tool_call_check::ToolSchemas;
use crate::truncate::{self, Cut};
use crate::{App, extract, fields, openai, variables};

/// Tokens of a prompt that a shift keeps where `num_keep` says nothing: Ollama's default.
const SHIFT_KEEP: i64 = 4;
/// Tokens of the smallest `num_ctx`, as at Ollama.
const CONTEXT_TOKENS_MIN: usize = 4;
/// Longer than any Lar runs.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A request, read and checked.
#[derive(Debug)]
pub(crate) struct OllamaInput {
    /// Absent where nothing is asked: the model is loaded, or let go.
    request: Option<GenerationRequest>,
    model: String,
    stream: bool,
    thinking: bool,
    keep_alive: Option<Duration>,
    /// Whether a prompt beyond the context is cut.
    truncates: bool,
    /// `num_ctx`: the context that a prompt is cut to, in tokens, where it is smaller than the model's.
    context_max: Option<usize>,
    /// Of `generate`: what was said until now, to which the answer is added.
    context: Option<Vec<ChatMessage>>,
}

impl OllamaInput {
    /// A request that only loads the model, or lets it go.
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

/// Answers a request that came at `asked`.
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
    let left_out = if read.truncates {
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
    if let Some(left_out) = left_out {
        truncate::set_truncated_header(&mut response, left_out);
    }
    Ok(response)
}

/// A name without the tag that stands for none.
fn strip_tag(name: String) -> String {
    name.strip_suffix(":latest").map_or(name.clone(), ToOwned::to_owned)
}

/// Whether what the model thinks is shown: where it is not said, as the model does it.
fn shows_thinking(think: Option<&Value>) -> bool {
    think != Some(&Value::Bool(false))
}

/// What `think` says to the chat template.
fn thinking(think: Option<&Value>) -> Result<Vec<TemplateVariable>, Problem> {
    match think {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Bool(on)) => Ok(variables::thinking("think", *on)),
        Some(Value::String(effort)) => variables::effort("think", effort),
        Some(_) => Err(Problem::invalid("think", "must be true, false, or how much: low, medium or high")),
    }
}

/// Reads `num_ctx` of a request's options; a number below 1 says nothing, as at Ollama.
///
/// # Errors
/// When it is no number.
fn context_max(options: &Map<String, Value>) -> Result<Option<usize>, Problem> {
    let Some(tokens) = options.get("num_ctx").filter(|tokens| !tokens.is_null()) else { return Ok(None) };
    let tokens =
        tokens.as_f64().ok_or_else(|| Problem::invalid("options.num_ctx", "must be a number of tokens"))?;
    Ok((tokens >= 1.0).then_some((tokens as usize).max(CONTEXT_TOKENS_MIN)))
}

/// What chat and generate say of an answer, beside the prompt.
struct AnswerOptions {
    options: Map<String, Value>,
    format: Option<Value>,
    logprobs: Option<bool>,
    top_logprobs: Option<u32>,
    shift: Option<bool>,
}

/// Reads what is wished of an answer; the names of options that have no effect are added to `ignored`.
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
    // It says how a prompt is cut, not how an answer is sampled.
    wire.remove("num_ctx");
    let tokens_max = match wire.remove("num_predict") {
        None => None,
        Some(number) => {
            let wrong = |_| Problem::invalid("options.num_predict", "must be a number");
            let number: i64 = extract::from_value_clamped(&number).map_err(wrong)?;
            // -1 and -2 are as long as it goes, and so is 0 of clients that send all options.
            u32::try_from(number).ok().filter(|number| *number > 0)
        }
    };
    // What llama.cpp turns off by a number below 0.
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
        _ => return Err(Problem::invalid("top_logprobs", "needs `logprobs` set to true")),
    }
    sampling.constraint = match format {
        None => None,
        Some(Value::String(name)) if name.is_empty() => None,
        Some(Value::String(name)) if name == "json" => Some(Constraint::JsonObject),
        Some(schema) if schema.is_object() => Some(json_schema("format", &schema)?),
        Some(_) => {
            return Err(Problem::invalid("format", "must be `json` or a JSON Schema, which is an object"));
        }
    };
    Ok(sampling)
}

/// Reads `keep_alive`: seconds, or a text such as `10m` or `1h30m`; what is below 0 is for good.
fn parse_keep_alive(value: Option<&Value>) -> Result<Option<Duration>, Problem> {
    let wrong =
        || Problem::invalid("keep_alive", "must be seconds, or a time such as `10m`; below 0 is for good");
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

/// The seconds of a time as Go writes it: numbers with their units, or one number.
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

/// Lets a model stay as long after its last use as a request says. For less time than is set only those may that
/// may let it go: others use it, too.
fn set_keep_alive(app: &App, caller: &Caller, pool: &str, keep_alive: Duration) {
    let set = app.gateway.engines().keep_alive().unwrap_or(FOREVER);
    if keep_alive >= set || caller.require(Scope::Admin).is_ok() {
        app.gateway.engines().set_keep_alive(pool, Some(keep_alive));
    }
}

/// Loads a model, or lets it go where `keep_alive` is 0; says which.
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
