//! What chat and plain completions share: the sampling fields, the task, waiting for its first word.

use std::collections::VecDeque;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lar_api::openai::{
    CalledFunction, PromptTokensDetails, Sampling as WireSampling, ToolCall, TopLogprob, Usage,
};
use lar_base::{Caller, Problem, TaskId};
use lar_engines::dialect::CallPart;
use lar_engines::driver::{
    Candidate, Constraint, Prompt, RareSampling, SamplerName, Sampling, TokenLogprobs,
};
use lar_engines::scheduler::Priority;
use lar_gateway::{End, HangUp, LogReader, Task, TaskEvent, Work};

use super::about_model;
use crate::App;

/// Stop texts at most.
const STOP_MAX: usize = 32;
/// Bytes of one stop text at most.
const STOP_BYTES_MAX: usize = 1024;
/// Entries of `logit_bias` at most.
const BIAS_MAX: usize = 1024;
/// Answers to one prompt at most.
const ANSWERS_MAX: u32 = 16;
/// Tokens whose probability is told beside the chosen one's, at most.
const TOP_LOGPROBS_MAX: u32 = 20;
/// OpenAI's value for tokens that are out of the question.
const LOGPROB_MIN: f32 = -9999.0;

/// A request for text, read and checked.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) id: TaskId,
    pub(crate) model: String,
    pub(crate) prompt: Prompt,
    pub(crate) sampling: Sampling,
    /// Answers to the same prompt.
    pub(crate) n: u32,
    /// The field that says what an answer must look like.
    pub(crate) constraint_field: &'static str,
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
    let rare = rare(&wire)?;
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
    let constraint = match (&wire.json_schema, wire.grammar) {
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("grammar", "cannot be used together with `json_schema`"));
        }
        (Some(schema), None) => Some(json_schema("json_schema", schema)?),
        (None, Some(grammar)) if grammar.trim().is_empty() => None,
        (None, grammar) => grammar.map(Constraint::Gbnf),
    };
    let shift_keep = match (wire.context_shift, wire.n_keep.unwrap_or(0)) {
        (Some(true), ..=-2) => return Err(Problem::invalid("n_keep", "must not be below -1")),
        // llama.cpp's -1 keeps the whole prompt; half of the context is kept at most.
        (Some(true), keep) => Some(u32::try_from(keep).unwrap_or(u32::MAX)),
        (_, 0) => None,
        _ => return Err(Problem::invalid("n_keep", "needs `context_shift` set to true")),
    };
    Ok(Sampling {
        temperature: in_range("temperature", wire.temperature, 0.0, 2.0)?,
        top_p: in_range("top_p", wire.top_p, 0.0, 1.0)?,
        top_k: wire.top_k,
        min_p: in_range("min_p", wire.min_p, 0.0, 1.0)?,
        presence_penalty: in_range("presence_penalty", wire.presence_penalty, -2.0, 2.0)?,
        frequency_penalty: in_range("frequency_penalty", wire.frequency_penalty, -2.0, 2.0)?,
        repeat_penalty: in_range("repeat_penalty", wire.repeat_penalty, 0.1, 10.0)?,
        repeat_last_n: wire.repeat_last_n,
        rare,
        logit_bias,
        ignore_eos: wire.ignore_eos == Some(true),
        constraint,
        // Folded rather than refused: SDKs send 64-bit seeds, engines take 32.
        seed: wire.seed.map_or_else(|| derived_seed(task), |seed| seed as u32 ^ (seed >> 32) as u32),
        stop,
        tokens_max: tokens_max.unwrap_or(0),
        logprobs: None,
        preserved: Vec::new(),
        shift_keep,
    })
}

/// llama.cpp's further samplers, if any is asked for.
fn rare(wire: &WireSampling) -> Result<Option<Box<RareSampling>>, Problem> {
    let unit = |field, value| in_range(field, value, 0.0, 1.0);
    let positive = |field, value| in_range(field, value, 0.0, 100.0);
    if wire.mirostat.is_some_and(|version| version > 2) {
        return Err(Problem::invalid("mirostat", "must be 0, 1 or 2"));
    }
    if let Some(breakers) = &wire.dry_sequence_breakers
        && (breakers.len() > STOP_MAX
            || breakers
                .iter()
                .any(|text| text.is_empty() || text.len() > STOP_BYTES_MAX || text.contains('\0')))
    {
        let reason = format!("must be up to {STOP_MAX} texts of 1 to {STOP_BYTES_MAX} bytes, none a null");
        return Err(Problem::invalid("dry_sequence_breakers", reason));
    }
    if wire.dry_allowed_length.is_some_and(|length| length < 0) {
        return Err(Problem::invalid("dry_allowed_length", "must not be negative"));
    }
    let rare = RareSampling {
        typical_p: unit("typical_p", wire.typical_p)?,
        top_n_sigma: in_range("top_n_sigma", wire.top_n_sigma, -1.0, 100.0)?,
        xtc_probability: unit("xtc_probability", wire.xtc_probability)?,
        xtc_threshold: unit("xtc_threshold", wire.xtc_threshold)?,
        dynatemp_range: positive("dynatemp_range", wire.dynatemp_range)?,
        dynatemp_exponent: positive("dynatemp_exponent", wire.dynatemp_exponent)?,
        dry_multiplier: positive("dry_multiplier", wire.dry_multiplier)?,
        dry_base: positive("dry_base", wire.dry_base)?,
        dry_allowed_length: wire.dry_allowed_length,
        dry_penalty_last_n: wire.dry_penalty_last_n,
        dry_sequence_breakers: wire.dry_sequence_breakers.clone(),
        mirostat: wire.mirostat,
        mirostat_tau: positive("mirostat_tau", wire.mirostat_tau)?,
        mirostat_eta: positive("mirostat_eta", wire.mirostat_eta)?,
        min_keep: wire.min_keep,
        samplers: wire.samplers.as_deref().map(samplers).transpose()?,
    };
    Ok((rare != RareSampling::default()).then(|| Box::new(rare)))
}

/// Reads llama.cpp's names of samplers.
fn samplers(names: &[String]) -> Result<Vec<SamplerName>, Problem> {
    let mut samplers = Vec::with_capacity(names.len().min(SamplerName::ORDER.len()));
    for name in names {
        let known: Result<SamplerName, _> = serde_json::from_value(name.as_str().into());
        let known = known.map_err(|_| {
            Problem::invalid(
                "samplers",
                format!("`{name:.40}` is none of llama.cpp's samplers that are here"),
            )
        })?;
        if samplers.contains(&known) {
            return Err(Problem::invalid("samplers", format!("names `{name}` twice")));
        }
        samplers.push(known);
    }
    Ok(samplers)
}

/// Checks that a schema is an object; what it says is checked by whoever must keep to it.
pub(super) fn json_schema(field: &str, schema: &serde_json::Value) -> Result<Constraint, Problem> {
    if schema.is_object() {
        Ok(Constraint::JsonSchema(schema.to_string()))
    } else {
        Err(Problem::invalid(field, "must be a JSON Schema, which is an object"))
    }
}

/// Checks how many answers are wanted.
pub(super) fn answers(n: Option<u32>) -> Result<u32, Problem> {
    match n.unwrap_or(1) {
        n @ 1..=ANSWERS_MAX => Ok(n),
        n => Err(Problem::invalid("n", format!("must be from 1 to {ANSWERS_MAX}, is {n}"))),
    }
}

/// Checks how many likely tokens are to be told beside each.
pub(super) fn top_logprobs(field: &str, top: u32) -> Result<u32, Problem> {
    if top <= TOP_LOGPROBS_MAX {
        Ok(top)
    } else {
        Err(Problem::invalid(field, format!("must be at most {TOP_LOGPROBS_MAX}, is {top}")))
    }
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

/// Tasks that an engine has begun, or that wait and whose caller may be told so: one for each answer.
pub(super) struct Begun {
    pub(super) model: String,
    readers: Vec<LogReader>,
    /// Read already, to be handled before the readers'.
    first: VecDeque<(usize, TaskEvent)>,
}

/// Dispatches a request's tasks and waits for their first events, so that what is refused at once is an
/// error of the request and not of a stream.
pub(super) async fn begin(
    app: &App,
    caller: Caller,
    api: &'static str,
    wanted: Wanted,
) -> Result<Begun, Problem> {
    let Wanted { id, model, prompt, sampling, n, constraint_field, .. } = wanted;
    let mut begun = Begun { model: String::new(), readers: Vec::new(), first: VecDeque::new() };
    for answer in 0..n {
        let sampling = Sampling { seed: sampling.seed.wrapping_add(answer), ..sampling.clone() };
        let task = Task {
            id: if answer == 0 { id } else { TaskId::new() },
            caller: caller.clone(),
            api,
            model: model.clone(),
            priority: Priority::Interactive,
            deadline: None,
            conversation: None,
            hang_up: HangUp::Cancel,
            work: Work::Generate { prompt: prompt.clone(), sampling },
        };
        let admitted = app.gateway.admit(task).await;
        let admitted = admitted.map_err(|problem| match problem.fields.as_slice() {
            [about] if about.field == lar_engines::CONSTRAINT_FIELD => {
                Problem::invalid(constraint_field, format!("cannot be kept to: {}", about.reason))
            }
            _ => about_model(problem),
        })?;
        let handle = app.gateway.dispatch(admitted);
        handle.model().clone_into(&mut begun.model);
        begun.readers.push(handle.read(0));
    }
    for (answer, reader) in begun.readers.iter_mut().enumerate() {
        match reader.next().await {
            Some((_, TaskEvent::Error(problem))) => return Err(problem),
            Some((_, first)) => begun.first.push_back((answer, first)),
            None => return Err(gone()),
        }
    }
    Ok(begun)
}

impl Begun {
    pub(super) fn answers(&self) -> usize {
        self.readers.len()
    }

    /// The next event of any answer; `None` when all have ended. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<(usize, TaskEvent)> {
        if let Some(first) = self.first.pop_front() {
            return Some(first);
        }
        if let [reader] = self.readers.as_mut_slice() {
            return reader.next().await.map(|(_, event)| (0, event));
        }
        let readers = self.readers.iter_mut().enumerate();
        let mut waiting: FuturesUnordered<_> =
            readers.map(async |(answer, reader)| (answer, reader.next().await)).collect();
        while let Some((answer, event)) = waiting.next().await {
            if let Some((_, event)) = event {
                return Some((answer, event));
            }
        }
        None
    }

    /// Reads the tasks to their ends.
    pub(super) async fn collect(mut self) -> Result<Vec<Answer>, Problem> {
        let mut answers: Vec<Answer> = (0..self.answers()).map(|_| Answer::default()).collect();
        while let Some((answer, event)) = self.next().await {
            let answer = &mut answers[answer];
            match event {
                TaskEvent::Token { text, logprobs, .. } => {
                    answer.content.push_str(&text);
                    answer.logprobs.extend(logprobs.iter().cloned());
                }
                TaskEvent::Reasoning { text, .. } => answer.reasoning.push_str(&text),
                TaskEvent::Call(part) => answer.call(part),
                TaskEvent::End(end) => answer.end = Some(end),
                TaskEvent::Error(problem) => return Err(problem),
                TaskEvent::Cancelled => return Err(gone()),
                TaskEvent::Queued { .. }
                | TaskEvent::Started { .. }
                | TaskEvent::Vectors(_)
                | TaskEvent::Scores(_) => {}
            }
        }
        if answers.iter().any(|answer| answer.end.is_none()) {
            return Err(gone());
        }
        Ok(answers)
    }
}

/// A whole answer.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) content: String,
    pub(super) reasoning: String,
    pub(super) calls: Vec<ToolCall>,
    pub(super) logprobs: Vec<TokenLogprobs>,
    end: Option<End>,
}

impl Answer {
    fn call(&mut self, part: CallPart) {
        if part.index >= self.calls.len() {
            self.calls.push(ToolCall {
                id: call_id(),
                kind: "function".into(),
                function: CalledFunction { name: String::new(), arguments: String::new() },
            });
        }
        if let Some(ToolCall { function, .. }) = self.calls.get_mut(part.index) {
            function.name.push_str(part.name.as_deref().unwrap_or_default());
            function.arguments.push_str(&part.arguments);
        }
    }

    pub(super) fn finish_reason(&self) -> &'static str {
        self.end.as_ref().map_or("stop", |end| end.reason.as_str())
    }
}

/// A name for a tool call that nobody else has.
pub(super) fn call_id() -> String {
    format!("call_{:032x}", TaskId::new().as_u128())
}

/// What all answers took together; they share one prompt.
pub(super) fn usage<'a>(ends: impl IntoIterator<Item = &'a End>) -> Usage {
    let mut usage = Usage {
        prompt_tokens: 0,
        completion_tokens: Some(0),
        total_tokens: 0,
        prompt_tokens_details: Some(PromptTokensDetails { cached_tokens: 0 }),
    };
    for (index, end) in ends.into_iter().enumerate() {
        if index == 0 {
            usage.prompt_tokens = end.tokens_in;
            usage.prompt_tokens_details = Some(PromptTokensDetails { cached_tokens: end.tokens_cached });
        }
        usage.completion_tokens = usage.completion_tokens.map(|tokens| tokens + end.tokens_out);
    }
    usage.total_tokens = usage.prompt_tokens + usage.completion_tokens.unwrap_or_default();
    usage
}

/// The usage of whole answers.
pub(super) fn usage_of(answers: &[Answer]) -> Usage {
    usage(answers.iter().filter_map(|answer| answer.end.as_ref()))
}

/// A token in OpenAI's words; a part of a character shows as the replacement character, its bytes beside it.
pub(super) fn top_logprob(candidate: &Candidate) -> TopLogprob {
    TopLogprob {
        token: String::from_utf8_lossy(&candidate.bytes).into_owned(),
        // JSON has no infinity.
        logprob: candidate.logprob.max(LOGPROB_MIN),
        bytes: candidate.bytes.clone(),
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
