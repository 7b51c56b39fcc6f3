//! `/api`: Ollama's API, for its unchanged clients. Requests become the same tasks as OpenAI's; answers are JSON lines.

pub(crate) mod chat;
pub(crate) mod embed;
pub(crate) mod generate;
mod lines;
pub(crate) mod models;
pub(crate) mod pull;

use axum::response::Response;
use lar_api::ollama::OPTIONS;
use lar_base::{Caller, Instant, Problem, Scope, TaskId};
use lar_engines::driver::{Constraint, Sampling};
use serde_json::{Map, Value};

use self::lines::{Form, Lines};
use crate::asker::{Asker, plain_name};
use crate::generate::{Wanted, json_schema};
use crate::{App, extract, fields, openai};

/// A request, read and checked.
#[derive(Debug)]
pub(crate) struct Read {
    /// Absent where nothing is asked: the model is loaded, or let go.
    wanted: Option<Wanted>,
    model: String,
    stream: bool,
    thinking: bool,
    keep_alive: Option<Value>,
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
        let done = keep(app, &asker.caller, &read.model, read.keep_alive.as_ref()).await?;
        return Ok(lines::kept(form, read.model, done, read.stream));
    };
    let ignored = wanted.ignored.clone();
    let begun = crate::generate::begin(app, asker, form.api(), wanted).await?;
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

/// Loads a model, or lets it go where `keep_alive` is 0; says which.
async fn keep(
    app: &App,
    caller: &Caller,
    model: &str,
    keep_alive: Option<&Value>,
) -> Result<&'static str, Problem> {
    let route = app.gateway.route(plain_name(model)).await.map_err(crate::generate::about_model)?;
    let none = match keep_alive {
        Some(Value::Number(seconds)) => seconds.as_f64() == Some(0.0),
        Some(Value::String(text)) => text.trim_end_matches(char::is_alphabetic) == "0",
        _ => false,
    };
    if !none {
        app.gateway.engines().load(&route.pool);
        return Ok("load");
    }
    caller.require(Scope::Admin)?;
    crate::pools::refuse_active(app, &route.pool)?;
    app.gateway.engines().unload(&route.pool);
    Ok("unload")
}
