//! `POST /completion`, `/completions` and `/infill`: completion and fill-in-the-middle in llama.cpp's native form.

use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use lar_api::fields::TokenLimit;
use lar_api::llama_cpp::{
    COMPLETION_FIELDS, LlamaCppCompletion, LlamaCppCompletionRequest, Part, Probability,
};
use lar_api::openai::TopLogprob;
use lar_base::{Problem, TaskId};
use lar_catalog::DEFAULT_CHAT;
use lar_inference::{
    Candidate, Constraint, FinishReason, PrefillProgress, Prompt, TaskEvent, TaskSummary, TokenLogprobs,
    TokenizerQuery, cancelled_problem,
};
use serde_json::{Map, Value, json};

use super::{logit_bias, settings};
use crate::bodies::BodyShare;
use crate::compat_caller::{CompatCaller, plain_name, with_lar_headers};
use crate::errors::{self, Failure};
use crate::fields::read;
use crate::generate::{self, AnswerStream, GenerationRequest, LineLimits};
use crate::json::to_value;
use crate::lenient::model_or;
use crate::openai::completions::{about_prompt, for_prompts, texts};
use crate::openai::prompts::{self, PromptInput};
use crate::openai::{completions, sampling};
use crate::{State, extract, sse};

/// The name of this API in usage records.
const API: &str = "llama.completion";
/// The maximum number of files in `input_extra`.
const EXTRA_MAX: usize = 256;
/// The maximum size in bytes of the prompts in all answers together.
///
/// Above it, only the first answer to each prompt repeats the prompt.
const PROMPTS_BYTES_MAX: usize = 16 << 20;
/// The fields that only llama.cpp's form has. A body with one of them gets a response in that form.
const OWN_NAMES: [&str; 3] = ["n_predict", "input_prefix", "input_suffix"];

pub(crate) async fn create(
    app: State,
    compat_caller: CompatCaller,
    request: Request,
) -> Result<Response, Failure> {
    let (body, ignored) = read(&extract::body(request, &app).await?, COMPLETION_FIELDS)?;
    respond(&app, &compat_caller, body, ignored, false).await
}

pub(crate) async fn infill(
    app: State,
    compat_caller: CompatCaller,
    request: Request,
) -> Result<Response, Failure> {
    let (body, ignored) = read(&extract::body(request, &app).await?, COMPLETION_FIELDS)?;
    respond(&app, &compat_caller, body, ignored, true).await
}

/// Handles `/completions`: OpenAI's form if the body names a model and has none of [`OWN_NAMES`], else llama.cpp's.
///
/// Clients of OpenAI's API use this path if their base URL has no `/v1`.
pub(crate) async fn either(
    app: State,
    compat_caller: CompatCaller,
    request: Request,
) -> Result<Response, Failure> {
    let bytes = extract::body(request, &app).await?;
    if is_openais(&crate::lenient::parse(&bytes)?) {
        let read = completions::decode(&bytes, TaskId::new())?;
        drop(bytes);
        return completions::respond(&app, &compat_caller, read).await;
    }
    let (body, ignored) = read(&bytes, COMPLETION_FIELDS)?;
    drop(bytes);
    respond(&app, &compat_caller, body, ignored, false).await
}

fn is_openais(body: &Value) -> bool {
    body.get("model").is_some_and(Value::is_string) && OWN_NAMES.iter().all(|name| body.get(name).is_none())
}

/// A decoded and validated request.
#[derive(Debug)]
struct LlamaCppInput {
    generation: GenerationRequest,
    prompts: Vec<PromptInput>,
    response_options: ResponseOptions,
    stream: bool,
    limits: LineLimits,
    /// The field that sets the number of answers per prompt.
    n_field: &'static str,
}

/// The contents of a response, as the request asks for them.
#[derive(Debug, Clone)]
struct ResponseOptions {
    /// The paths of the requested response fields; empty for all fields.
    fields: Vec<String>,
    /// Whether the response has token ids.
    tokens: bool,
    /// The number of candidates in the probabilities of each token; 0 for no probabilities.
    n_probs: u32,
    /// Whether probabilities are those after sampling.
    post_sampling: bool,
    /// Whether every part of a stream has timings.
    timings_per_token: bool,
    /// Whether `n_predict` is 0. The engine still generates one token, which the response leaves out.
    prefill_only: bool,
    /// The requested token limit; 0 for none.
    tokens_max: u64,
    stop: Vec<String>,
    settings: Value,
    /// The texts of the prompts; empty if the response has no `prompt`.
    prompts: Vec<String>,
    /// The number of answers to each prompt.
    answers_per_prompt: usize,
    /// The permits of the request's body, held while the prompts are in memory.
    _share: BodyShare,
}

async fn respond(
    app: &State,
    compat_caller: &CompatCaller,
    mut body: Value,
    mut ignored: Vec<String>,
    is_infill: bool,
) -> Result<Response, Failure> {
    remove_infill_sampler(&mut body, &mut ignored);
    let model = model_or(body["model"].as_str().map(ToOwned::to_owned), DEFAULT_CHAT);
    let key = compat_caller.caller.key();
    logit_bias::resolve(app, key, plain_name(&model), &mut body).await.map_err(generate::about_model)?;
    let LlamaCppInput { generation, prompts, response_options, stream, limits, n_field } =
        decode(&body, ignored, is_infill, TaskId::new())?;
    drop(body);
    let sent = if response_options.includes("prompt") { prompts.clone() } else { Vec::new() };
    let all = for_prompts(app, key, generation, prompts, n_field).await?;
    let admitted = generate::admit_all(app, compat_caller, API, all).await.map_err(about_prompt)?;
    let prompts = texts(app, key, plain_name(&model), sent).await?;
    let mut response_options =
        ResponseOptions { prompts, _share: compat_caller.body.clone(), ..response_options };
    let mut answer_stream = admitted.begin(app).await.map_err(about_prompt)?;
    if limits.is_any() {
        answer_stream.limit_lines(limits);
    }
    if response_options.ignores_eos() && response_options.includes("generation_settings") {
        // Without the end tokens, the settings stay as they are.
        let ends = app.gateway.text_for(key, plain_name(&model), TokenizerQuery::EndTokens).await;
        let ends = ends.unwrap_or_default();
        settings::forbid(&mut response_options.settings, &ends.tokens);
    }
    let (memory_activity, ignored) = (answer_stream.memory_activity.clone(), answer_stream.ignored.clone());
    let response = if stream {
        let outputs = vec![AnswerOutput::default(); answer_stream.answers()];
        sse::response(LlamaCppStream { answer_stream, response_options, outputs, over: false })
    } else {
        let model = answer_stream.model.clone();
        let answers = answer_stream.collect().await?;
        let whole = |(index, answer): (usize, generate::Answer)| {
            let output = AnswerOutput {
                content: answer.content,
                tokens: token_ids(&answer.logprobs),
                logprobs: answer.logprobs,
                is_cut: answer.is_cut,
            };
            response_options.whole(index, &model, output, answer.end.as_ref())
        };
        let mut bodies: Vec<Value> = answers.into_iter().enumerate().map(whole).collect();
        let only = if bodies.len() == 1 { bodies.pop() } else { None };
        axum::Json(only.unwrap_or(Value::Array(bodies))).into_response()
    };
    Ok(with_lar_headers(response, &ignored, memory_activity.as_ref()))
}

/// Removes the sampler `infill`, which editors name and which Lar does not have, and adds it to `ignored`.
fn remove_infill_sampler(body: &mut Value, ignored: &mut Vec<String>) {
    if let Some(Value::Array(names)) = body.get_mut("samplers") {
        let before = names.len();
        names.retain(|name| name != "infill");
        if names.len() < before {
            ignored.push("samplers.infill".into());
        }
    }
}

fn decode(body: &Value, ignored: Vec<String>, is_infill: bool, id: TaskId) -> Result<LlamaCppInput, Problem> {
    let request: LlamaCppCompletionRequest = extract::from_value_clamped(body)?;
    let (prompt, prompts) = if is_infill {
        read_infill(&request)?
    } else {
        (Prompt::Text(String::new()), prompts::read(&request.prompt)?)
    };
    let tokens_max = request.n_predict.or(request.max_tokens).and_then(TokenLimit::get);
    let prefill_only = tokens_max == Some(0);
    let tokens_max = tokens_max.map(|tokens| tokens.max(1));
    let wire = extract::from_value_clamped(body)?;
    let mut sampling = sampling::sampling_clamped(wire, tokens_max, id)?;
    let n_probs = request.n_probs.unwrap_or(0).min(sampling::TOP_LOGPROBS_MAX);
    let (n, n_field) = match request.n_cmpl {
        None => (request.n, "n"),
        n_cmpl => (n_cmpl, "n_cmpl"),
    };
    let n = sampling::answers(n_field, n, body)?;
    let stream = request.stream == Some(true);
    let limits = LineLimits {
        indent_min: request.n_indent.and_then(|indent| usize::try_from(indent).ok()).unwrap_or(0),
        time_max: request
            .t_max_predict_ms
            .and_then(|millis| u64::try_from(millis).ok())
            .filter(|millis| *millis > 0)
            .map(Duration::from_millis),
    };
    let timings_per_token = request.timings_per_token == Some(true);
    let tokens = stream || request.return_tokens == Some(true);
    sampling.logprobs = (n_probs > 0 || tokens).then_some(n_probs);
    sampling.post_sampling = request.post_sampling_probs == Some(true);
    let response_options = ResponseOptions {
        fields: request.response_fields,
        tokens,
        n_probs,
        post_sampling: sampling.post_sampling,
        timings_per_token,
        prefill_only,
        tokens_max: sampling.tokens_max.into(),
        stop: sampling.stop.clone(),
        settings: settings::of(&sampling, stream, n_probs, timings_per_token),
        prompts: Vec::new(),
        answers_per_prompt: n as usize,
        _share: BodyShare::default(),
    };
    let generation = GenerationRequest {
        id,
        model: model_or(request.model, DEFAULT_CHAT),
        prompt,
        n,
        constraint_field: match &sampling.constraint {
            Some(Constraint::Gbnf(_)) => "grammar",
            _ => "json_schema",
        },
        // With line limits, the engine sends each token separately, as for a stream.
        stream: stream || limits.is_any(),
        include_usage: false,
        ignored,
        sampling,
    };
    Ok(LlamaCppInput { generation, prompts, response_options, stream, limits, n_field })
}

/// Returns the fill-in-the-middle prompt. `prompt` is the end of the text before the gap.
fn read_infill(request: &LlamaCppCompletionRequest) -> Result<(Prompt, Vec<PromptInput>), Problem> {
    let missing = |field: &str| Problem::invalid(field, "is missing");
    let before = request.input_prefix.as_deref().ok_or_else(|| missing("input_prefix"))?;
    let suffix = request.input_suffix.clone().ok_or_else(|| missing("input_suffix"))?;
    if request.input_extra.len() > EXTRA_MAX {
        let reason = format!("has {} files; the limit is {EXTRA_MAX}", request.input_extra.len());
        return Err(Problem::invalid("input_extra", reason));
    }
    let end = match &request.prompt {
        Value::Null => "",
        Value::String(text) => text,
        _ => return Err(Problem::invalid("prompt", "must be a string")),
    };
    let mut prefix = String::new();
    for extra in &request.input_extra {
        for part in [extra.filename.as_deref().unwrap_or_default(), &extra.text] {
            prefix.push_str(part);
            if !part.is_empty() && !part.ends_with('\n') {
                prefix.push('\n');
            }
        }
    }
    prefix.push_str(before);
    prefix.push_str(end);
    let sent = PromptInput::Text(prefix.clone());
    Ok((Prompt::Infill { prefix, suffix }, vec![sent]))
}

fn token_ids(logprobs: &[TokenLogprobs]) -> Vec<u32> {
    logprobs.iter().map(|token| token.chosen.id).collect()
}

/// The output of an answer.
#[derive(Debug, Clone, Default)]
struct AnswerOutput {
    content: String,
    tokens: Vec<u32>,
    logprobs: Vec<TokenLogprobs>,
    /// Whether a line limit ended the answer.
    is_cut: bool,
}

impl ResponseOptions {
    /// Returns whether the response has a field.
    fn includes(&self, field: &str) -> bool {
        self.fields.is_empty() || self.fields.iter().any(|path| path.split('/').next() == Some(field))
    }

    /// Returns whether the answer ignores end tokens.
    fn ignores_eos(&self) -> bool {
        self.settings["ignore_eos"] == true
    }

    /// Returns the prompt for an answer. Above [`PROMPTS_BYTES_MAX`], only the first answer to a prompt has it.
    fn prompt(&self, index: usize) -> String {
        let bytes: usize = self.prompts.iter().map(String::len).sum();
        if bytes.saturating_mul(self.answers_per_prompt) > PROMPTS_BYTES_MAX
            && !index.is_multiple_of(self.answers_per_prompt)
        {
            return String::new();
        }
        self.prompts.get(index / self.answers_per_prompt).cloned().unwrap_or_default()
    }

    fn probabilities(&self, logprobs: &[TokenLogprobs]) -> Option<Vec<Probability>> {
        let one = |token: &TokenLogprobs| {
            let chosen = self.probability(&token.chosen);
            let top = Some(token.top.iter().map(|candidate| self.probability(candidate)).collect());
            match self.post_sampling {
                true => Probability { top_probs: top, ..chosen },
                false => Probability { top_logprobs: top, ..chosen },
            }
        };
        (self.n_probs > 0 && !logprobs.is_empty()).then(|| logprobs.iter().map(one).collect())
    }

    fn probability(&self, candidate: &Candidate) -> Probability {
        let TopLogprob { token, bytes, logprob } = sampling::top_logprob(candidate);
        let (logprob, prob) = match self.post_sampling {
            true => (None, Some(candidate.logprob.exp())),
            false => (Some(logprob), None),
        };
        Probability { id: candidate.id, token, bytes, logprob, prob, top_logprobs: None, top_probs: None }
    }

    /// Encodes a complete answer, or the last part of a stream, whose output is empty.
    fn whole(&self, index: usize, model: &str, output: AnswerOutput, end: Option<&TaskSummary>) -> Value {
        let (stop_type, stopping_word) = match end.map(|end| end.reason) {
            Some(FinishReason::Length) | None => ("limit", String::new()),
            Some(FinishReason::StopText(which)) => {
                ("word", self.stop.get(which).cloned().unwrap_or_default())
            }
            Some(FinishReason::Stop | FinishReason::ToolCalls) => ("eos", String::new()),
        };
        let (stop_type, output, end) = match end {
            Some(end) if self.prefill_only => {
                ("limit", AnswerOutput::default(), Some(TaskSummary { tokens_out: 0, ..end.clone() }))
            }
            end => (stop_type, output, end.cloned()),
        };
        let end = end.as_ref();
        let (tokens_in, tokens_out) = end.map_or((0, 0), |end| (end.tokens_in, end.tokens_out));
        let completion = LlamaCppCompletion {
            index,
            has_new_line: output.content.contains('\n'),
            content: output.content,
            tokens: if self.tokens { output.tokens } else { Vec::new() },
            id_slot: -1,
            stop: true,
            model: model.to_owned(),
            tokens_predicted: tokens_out,
            tokens_evaluated: tokens_in,
            generation_settings: self.settings.clone(),
            prompt: self.prompt(index),
            // Whether the context, not a limit of the request, ended the answer.
            truncated: stop_type == "limit"
                && !self.prefill_only
                && !output.is_cut
                && (self.tokens_max == 0 || tokens_out < self.tokens_max),
            stop_type,
            stopping_word,
            tokens_cached: tokens_in + tokens_out,
            timings: sampling::timings(end).unwrap_or_default(),
            completion_probabilities: self.probabilities(&output.logprobs),
        };
        select_fields(&self.fields, to_value(completion))
    }
}

/// Returns the requested fields, or all fields if none is requested.
///
/// The path `a/b` selects the member `b` of `a` and is its name in the result.
fn select_fields(fields: &[String], whole: Value) -> Value {
    if fields.is_empty() {
        return whole;
    }
    let found = fields.iter().filter_map(|path| {
        let value = path.split('/').try_fold(&whole, |value, name| value.get(name))?;
        Some((path.clone(), value.clone()))
    });
    Value::Object(found.collect::<Map<_, _>>())
}

struct LlamaCppStream {
    answer_stream: AnswerStream,
    response_options: ResponseOptions,
    outputs: Vec<AnswerOutput>,
    over: bool,
}

impl sse::Source for LlamaCppStream {
    async fn next(&mut self) -> Option<String> {
        loop {
            if self.over {
                return None;
            }
            let (index, event) = self.answer_stream.next().await?;
            match event {
                TaskEvent::Queued { position, .. } => {
                    return Some(format!(": queued, position {position}\n\n"));
                }
                TaskEvent::Prefilling(progress) => return Some(self.prefilling(index, &progress)),
                TaskEvent::Token { .. } if self.response_options.prefill_only => {}
                TaskEvent::Token { text, logprobs, .. } if !text.is_empty() || !logprobs.is_empty() => {
                    return Some(self.part(index, &text, &logprobs));
                }
                TaskEvent::End(end) => {
                    let output = std::mem::take(&mut self.outputs[index]);
                    let has_new_line = output.content.contains('\n');
                    let empty =
                        AnswerOutput { is_cut: self.answer_stream.is_cut(index), ..AnswerOutput::default() };
                    let mut last =
                        self.response_options.whole(index, &self.answer_stream.model, empty, Some(&end));
                    if let Some(field) = last.get_mut("has_new_line") {
                        *field = json!(has_new_line);
                    }
                    return Some(event_of(&last));
                }
                TaskEvent::Error(problem) => return Some(self.fail(&problem)),
                TaskEvent::Cancelled => return Some(self.fail(&cancelled_problem())),
                _ => {}
            }
        }
    }
}

impl LlamaCppStream {
    fn part(&mut self, index: usize, text: &str, logprobs: &[TokenLogprobs]) -> String {
        let output = &mut self.outputs[index];
        output.content.push_str(text);
        let tokens = token_ids(logprobs);
        output.tokens.extend(&tokens);
        let so_far = || sampling::timings_so_far(&self.answer_stream, index);
        let timings = self.response_options.timings_per_token.then(so_far).flatten();
        let part = Part {
            index,
            content: text.to_owned(),
            tokens_predicted: output.tokens.len() as u64,
            tokens_evaluated: self.answer_stream.tokens_in(index),
            tokens,
            stop: false,
            id_slot: -1,
            timings,
            prompt_progress: None,
            completion_probabilities: self.response_options.probabilities(logprobs),
        };
        event_of(&to_value(part))
    }

    /// Encodes the progress of the prefill in a part without content.
    fn prefilling(&self, index: usize, progress: &PrefillProgress) -> String {
        let timings = self.response_options.timings_per_token.then(|| sampling::timings_of_prefill(progress));
        let part = Part {
            index,
            tokens_evaluated: progress.total,
            id_slot: -1,
            timings: timings.flatten(),
            prompt_progress: Some(sampling::prompt_progress(progress)),
            ..Part::default()
        };
        event_of(&to_value(part))
    }

    fn fail(&mut self, problem: &Problem) -> String {
        self.over = true;
        event_of(&to_value(errors::llama_cpp(problem)))
    }
}

fn event_of(value: &Value) -> String {
    sse::event(None, None, &value.to_string())
}

/// Decodes a body of any of these paths, for tests of the decoders.
#[cfg(test)]
pub(crate) fn check(
    body: &[u8],
) -> Result<(Prompt, Vec<PromptInput>, lar_inference::Sampling, LineLimits), Problem> {
    let (mut body, mut ignored) = read(body, COMPLETION_FIELDS)?;
    let is_infill = body.get("input_prefix").is_some();
    remove_infill_sampler(&mut body, &mut ignored);
    if body["logit_bias"].is_array() {
        body["logit_bias"] = Value::Null;
    }
    let LlamaCppInput { generation, prompts, limits, .. } = decode(&body, ignored, is_infill, TaskId::new())?;
    Ok((generation.prompt, prompts, generation.sampling, limits))
}

#[cfg(test)]
mod tests;
