//! What chat and plain completions share: the sampling fields, the task, waiting for its first word.

use lar_api::openai::{PromptTokensDetails, Sampling as WireSampling, Usage};
use lar_base::{Caller, Problem, TaskId};
use lar_engines::driver::{Prompt, Sampling};
use lar_engines::scheduler::Priority;
use lar_gateway::{End, HangUp, LogReader, Task, TaskEvent, TaskHandle, Work};

use super::about_model;
use crate::App;

/// Stop texts at most.
const STOP_MAX: usize = 32;
/// Bytes of one stop text at most.
const STOP_BYTES_MAX: usize = 1024;
/// Entries of `logit_bias` at most.
const BIAS_MAX: usize = 1024;

/// A request for text, read and checked.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) id: TaskId,
    pub(crate) model: String,
    pub(crate) prompt: Prompt,
    pub(crate) sampling: Sampling,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    /// The fields that have no effect.
    pub(crate) ignored: Vec<String>,
}

/// Checks the sampling fields.
pub(super) fn sampling(
    wire: WireSampling,
    tokens_max: Option<u32>,
    task: TaskId,
) -> Result<Sampling, Problem> {
    if tokens_max == Some(0) {
        return Err(Problem::invalid("max_tokens", "must be at least 1"));
    }
    let stop = wire.stop.map(lar_api::openai::OneOrMany::into_vec).unwrap_or_default();
    if stop.len() > STOP_MAX {
        return Err(Problem::invalid("stop", format!("has {} texts; {STOP_MAX} at most", stop.len())));
    }
    if stop.iter().any(|text| text.is_empty() || text.len() > STOP_BYTES_MAX) {
        return Err(Problem::invalid(
            "stop",
            format!("holds a text that is empty or over {STOP_BYTES_MAX} bytes"),
        ));
    }
    let bias = wire.logit_bias.unwrap_or_default();
    if bias.len() > BIAS_MAX {
        return Err(Problem::invalid(
            "logit_bias",
            format!("has {} entries; {BIAS_MAX} at most", bias.len()),
        ));
    }
    let logit_bias = bias
        .into_iter()
        .map(|(token, bias)| {
            let id = token.parse::<i32>().ok().filter(|id| *id >= 0);
            let id = id.ok_or_else(|| Problem::invalid("logit_bias", format!("`{token}` is no token id")))?;
            in_range("logit_bias", Some(bias), -100.0, 100.0)?;
            Ok((id, bias))
        })
        .collect::<Result<_, Problem>>()?;
    if wire.top_k.is_some_and(|k| k < 0) {
        return Err(Problem::invalid("top_k", "must not be negative"));
    }
    Ok(Sampling {
        temperature: in_range("temperature", wire.temperature, 0.0, 2.0)?,
        top_p: in_range("top_p", wire.top_p, 0.0, 1.0)?,
        top_k: wire.top_k,
        min_p: in_range("min_p", wire.min_p, 0.0, 1.0)?,
        presence_penalty: in_range("presence_penalty", wire.presence_penalty, -2.0, 2.0)?,
        frequency_penalty: in_range("frequency_penalty", wire.frequency_penalty, -2.0, 2.0)?,
        repeat_penalty: in_range("repeat_penalty", wire.repeat_penalty, 0.1, 10.0)?,
        logit_bias,
        // Folded rather than refused: SDKs send 64-bit seeds, engines take 32.
        seed: wire.seed.map_or_else(|| derived_seed(task), |seed| seed as u32 ^ (seed >> 32) as u32),
        stop,
        tokens_max: tokens_max.unwrap_or(0),
    })
}

/// The seed of a task that names none: its id's random end.
pub(crate) fn derived_seed(task: TaskId) -> u32 {
    task.as_u128() as u32
}

/// Checks that a number is finite and between `low` and `high`.
pub(crate) fn in_range(field: &str, value: Option<f32>, low: f32, high: f32) -> Result<Option<f32>, Problem> {
    match value {
        Some(value) if !(low..=high).contains(&value) => {
            Err(Problem::invalid(field, format!("must be from {low} to {high}, is {value}")))
        }
        value => Ok(value),
    }
}

/// A task that an engine has begun, or that waits and whose caller may be told so.
pub(super) struct Begun {
    pub(super) handle: TaskHandle,
    pub(super) reader: LogReader,
    /// Read already, to be handled before the reader's.
    pub(super) first: TaskEvent,
}

/// Dispatches a generating task and waits for its first event, so that what is refused at once is an
/// error of the request and not of a stream.
pub(super) async fn begin(
    app: &App,
    caller: Caller,
    api: &'static str,
    wanted: Wanted,
) -> Result<Begun, Problem> {
    let Wanted { id, model, prompt, sampling, .. } = wanted;
    let task = Task {
        id,
        caller,
        api,
        model,
        priority: Priority::Interactive,
        deadline: None,
        conversation: None,
        hang_up: HangUp::Cancel,
        work: Work::Generate { prompt, sampling },
    };
    let admitted = app.gateway.admit(task).await.map_err(about_model)?;
    let handle = app.gateway.dispatch(admitted);
    let mut reader = handle.read(0);
    match reader.next().await {
        Some((_, TaskEvent::Error(problem))) => Err(problem),
        Some((_, first)) => Ok(Begun { handle, reader, first }),
        None => Err(gone()),
    }
}

/// Reads a task to its end.
pub(super) async fn collect(mut begun: Begun) -> Result<(String, End), Problem> {
    let mut content = String::new();
    let mut event = Some(begun.first);
    loop {
        match event {
            Some(TaskEvent::Token { text, .. }) => content.push_str(&text),
            Some(TaskEvent::End(end)) => return Ok((content, end)),
            Some(TaskEvent::Error(problem)) => return Err(problem),
            Some(TaskEvent::Cancelled) | None => return Err(gone()),
            Some(_) => {}
        }
        event = begun.reader.next().await.map(|(_, event)| event);
    }
}

pub(super) fn usage(end: &End) -> Usage {
    Usage {
        prompt_tokens: end.tokens_in,
        completion_tokens: Some(end.tokens_out),
        total_tokens: end.tokens_in + end.tokens_out,
        prompt_tokens_details: Some(PromptTokensDetails { cached_tokens: end.tokens_cached }),
    }
}

/// OpenAI's `system_fingerprint`: what must be the same for a seed to mean the same.
pub(super) fn fingerprint(app: &App, model: &str) -> String {
    let digest = app.catalog.resolve(model).map(|found| found.model.digest().to_owned()).unwrap_or_default();
    format!("lar-{}-{}", env!("CARGO_PKG_VERSION"), digest.get(..8).unwrap_or("remote"))
}

fn gone() -> Problem {
    Problem::new(lar_base::Code::EngineFailed, "the task was stopped")
}
