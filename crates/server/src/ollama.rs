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
use lar_engines::driver::{Constraint, Sampling};
use serde_json::{Map, Value};

use self::lines::{Form, Lines};
use crate::asker::{Asker, plain_name};
use crate::generate::{Wanted, json_schema};
use crate::{App, extract, fields, openai};

/// Longer than any Lar runs.
const FOR_GOOD: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A request, read and checked.
#[derive(Debug)]
pub(crate) struct Read {
    /// Absent where nothing is asked: the model is loaded, or let go.
    wanted: Option<Wanted>,
    model: String,
    stream: bool,
    thinking: bool,
    keep_alive: Option<Duration>,
}

/// Answers a request that came at `asked`.
async fn answer(
    app: &App,
    asker: &Asker,
    form: Form,
    read: Read,
    asked: Instant,
) -> Result<Response, Problem> {
    let Some(wanted) = read.wanted else {
        let done = load(app, &asker.caller, &read.model, read.keep_alive).await?;
        return Ok(lines::kept(form, read.model, done, read.stream));
    };
    let ignored = wanted.ignored.clone();
    let begun = crate::generate::begin(app, asker, form.api(), wanted).await?;
    if let Some(keep_alive) = read.keep_alive {
        let route = app.gateway.route(plain_name(&read.model)).await;
        if let Ok(route) = route {
            keep(app, &asker.caller, &route.pool, keep_alive);
        }
    }
    Lines::new(form, read.model, begun, read.thinking, asked).respond(read.stream, &ignored).await
}

/// A name without the tag that stands for none.
fn untagged(name: String) -> String {
    name.strip_suffix(":latest").map_or(name.clone(), ToOwned::to_owned)
}

/// Whether what the model thinks is shown: where it is not said, as the model does it.
fn shows_thinking(think: Option<&Value>) -> bool {
    think != Some(&Value::Bool(false))
}

/// Reads `options`; the names of those that have no effect are added to `ignored`.
fn sampling(
    options: Map<String, Value>,
    format: Option<Value>,
    id: TaskId,
    ignored: &mut Vec<String>,
) -> Result<Sampling, Problem> {
    let within = |problem: Problem| problem.within("options");
    let mut options = Value::Object(options);
    let unused = fields::check_fields(&mut options, OPTIONS)?;
    let known = |(name, _): &(String, Value)| unused.iter().all(|unused| unused != name);
    let Value::Object(all) = options else { return Err(Problem::invalid("options", "must be an object")) };
    let mut wire: Map<String, Value> = all.into_iter().filter(known).collect();
    ignored.extend(unused.into_iter().map(|name| format!("options.{name}")));
    let tokens_max = match wire.remove("num_predict") {
        None => None,
        Some(number) => {
            let number =
                number.as_i64().ok_or_else(|| Problem::invalid("options.num_predict", "must be a number"))?;
            // -1 and -2 are as long as it goes, and so is 0 of clients that send all options.
            u32::try_from(number).ok().filter(|number| *number > 0)
        }
    };
    let wire = extract::from_value(&Value::Object(wire)).map_err(within)?;
    let mut sampling = openai::sampling::sampling(wire, tokens_max, id).map_err(within)?;
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
fn lasting(value: Option<&Value>) -> Result<Option<Duration>, Problem> {
    let wrong =
        || Problem::invalid("keep_alive", "must be seconds, or a time such as `10m`; below 0 is for good");
    let seconds = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(seconds)) => seconds.as_f64().ok_or_else(wrong)?,
        Some(Value::String(text)) => seconds(text.trim()).ok_or_else(wrong)?,
        Some(_) => return Err(wrong()),
    };
    if seconds < 0.0 {
        return Ok(Some(FOR_GOOD));
    }
    Ok(Some(Duration::try_from_secs_f64(seconds).map_or(FOR_GOOD, |kept| kept.min(FOR_GOOD))))
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
fn keep(app: &App, caller: &Caller, pool: &str, keep_alive: Duration) {
    let set = app.gateway.engines().keep_alive().unwrap_or(FOR_GOOD);
    if keep_alive >= set || caller.require(Scope::Admin).is_ok() {
        app.gateway.engines().keep(pool, Some(keep_alive));
    }
}

/// Loads a model, or lets it go where `keep_alive` is 0; says which.
async fn load(
    app: &App,
    caller: &Caller,
    model: &str,
    keep_alive: Option<Duration>,
) -> Result<&'static str, Problem> {
    let route = app.gateway.route(plain_name(model)).await.map_err(crate::generate::about_model)?;
    if keep_alive != Some(Duration::ZERO) {
        app.gateway.engines().load(&route.pool);
        if let Some(keep_alive) = keep_alive {
            keep(app, caller, &route.pool, keep_alive);
        }
        return Ok("load");
    }
    caller.require(Scope::Admin)?;
    crate::pools::refuse_active(app, &route.pool)?;
    app.gateway.engines().unload(&route.pool);
    Ok("unload")
}
