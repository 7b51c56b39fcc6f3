//! `POST /v1/completions`: continues prompts without a chat template.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use lar_api::fields::TokenLimit;
use lar_api::openai::{
    COMPLETION_FIELDS, Completion, CompletionChoice, CompletionLogprobs, CompletionRequest, CompletionUsage,
    Timings,
};
use lar_base::{Code, KeyId, Problem, TaskId, Timestamp};
use lar_catalog::DEFAULT_CHAT;
use lar_inference::{FinishReason, Prompt, TaskEvent, TaskSummary, TokenLogprobs, cancelled_problem};

use super::prompts::{self, PromptInput};
use super::sampling;
use crate::bodies::BodyShare;
use crate::compat_caller::{CompatCaller, plain_name, with_lar_headers};
use crate::errors::{self, Failure};
use crate::fields::read;
use crate::generate::{self, AnswerStream, GenerationRequest};
use crate::json::to_json;
use crate::lenient::model_or;
use crate::{State, extract, sse};

/// The name of this API in usage records.
const API: &str = "openai.completion";
/// OpenAI's default for `max_tokens` on this path.
const TOKENS_DEFAULT: u32 = 16;
/// The maximum size in bytes of all prompts that `echo` repeats in several answers: the default size limit of a body.
const ECHO_BYTES_MAX: usize = 16 << 20;

pub(crate) async fn create(
    app: State,
    compat_caller: CompatCaller,
    request: Request,
) -> Result<Response, Failure> {
    let read = decode(&extract::body(request, &app).await?, TaskId::new())?;
    respond(&app, &compat_caller, read).await
}

/// Responds to a decoded request.
pub(crate) async fn respond(
    app: &State,
    compat_caller: &CompatCaller,
    read: CompletionsInput,
) -> Result<Response, Failure> {
    let CompletionsInput { generation, prompts, echo, prefill_only } = read;
    let sent = if echo { prompts.clone() } else { Vec::new() };
    let (id, stream, include_usage) = (generation.id, generation.stream, generation.include_usage);
    let answers_per_prompt = generation.n as usize;
    let (logprobs, scored) = (generation.sampling.logprobs.is_some(), generation.sampling.prompt_logprobs);
    let name = plain_name(&generation.model).to_owned();
    let all = for_prompts(app, compat_caller.caller.key(), generation, prompts, "n").await?;
    let admitted = generate::admit_all(app, compat_caller, API, all).await.map_err(about_prompt)?;
    let echoed = texts(app, compat_caller.caller.key(), &name, sent).await?;
    let bytes: usize = echoed.iter().map(String::len).sum();
    if answers_per_prompt > 1 && bytes.saturating_mul(answers_per_prompt) > ECHO_BYTES_MAX {
        let reason = format!(
            "would repeat {bytes} bytes of prompts in {answers_per_prompt} answers each; the limit is \
             {ECHO_BYTES_MAX} bytes in total"
        );
        return Err(Problem::invalid("echo", reason).into());
    }
    if !echo {
        compat_caller.body.release();
    }
    let answer_stream = admitted.begin(app).await.map_err(about_prompt)?;
    let (memory_activity, ignored) = (answer_stream.memory_activity.clone(), answer_stream.ignored.clone());
    let model = answer_stream.model.clone();
    let envelope = Envelope {
        id: format!("cmpl-{id}"),
        created: Timestamp::now().as_seconds(),
        system_fingerprint: sampling::fingerprint(app, &model),
        model,
        answers_per_prompt,
    };
    let response = if stream {
        let ends = vec![None; answer_stream.answers()];
        // With logprobs of the prompt, the offsets start at the prompt, else after it.
        let characters =
            |answer: usize| echoed.get(answer / answers_per_prompt).map_or(0, |text| text.chars().count());
        let written =
            (0..answer_stream.answers()).map(|answer| if scored { 0 } else { characters(answer) }).collect();
        let share = echo.then(|| compat_caller.body.clone());
        sse::response(CompletionStream {
            envelope,
            include_usage,
            logprobs,
            prefill_only,
            answer_stream,
            ends,
            echoed,
            written,
            over: false,
            _share: share,
        })
    } else {
        let mut answers = answer_stream.collect().await?;
        answers.iter_mut().filter(|_| prefill_only).for_each(leave_out_answer);
        let prompt = |answer: usize| echoed.get(answer / answers_per_prompt).cloned().unwrap_or_default();
        let texts: Vec<String> =
            answers.iter().enumerate().map(|(index, answer)| prompt(index) + &answer.content).collect();
        let choices =
            answers.iter().zip(&texts).enumerate().map(|(index, (answer, text))| CompletionChoice {
                index,
                text,
                logprobs: logprobs.then(|| {
                    let written = text.chars().count() - answer.content.chars().count();
                    logprob_lists(&answer.logprobs, if scored { 0 } else { written }, scored)
                }),
                finish_reason: Some(answer.finish_reason()),
            });
        let choices = choices.collect();
        let (usage, timings) =
            (sampling::usage_of(&answers, answers_per_prompt), sampling::timings_of(&answers));
        axum::Json(envelope.completion(choices, Some(usage), timings)).into_response()
    };
    Ok(with_lar_headers(response, &ignored, memory_activity.as_ref()))
}

/// Splits a request into one request per prompt. `n_field` is the field that sets the number of answers per prompt.
///
/// # Errors
/// If the request has too many answers, or a prompt has more tokens than the model's context. Both are
/// checked before any prompt is tokenized.
pub(crate) async fn for_prompts(
    app: &State,
    key: KeyId,
    generation: GenerationRequest,
    prompts: Vec<PromptInput>,
    n_field: &str,
) -> Result<Vec<GenerationRequest>, Problem> {
    generate::check_answers(app, &generation.model, n_field, prompts.len() * generation.n as usize).await?;
    if matches!(generation.prompt, Prompt::Infill { .. }) {
        return Ok(vec![generation]);
    }
    let name = plain_name(&generation.model).to_owned();
    let longest = prompts.iter().map(PromptInput::tokens_min).max().unwrap_or(0);
    if longest > 0
        && let Some(context) = app.gateway.context_tokens(&name).await.map_err(generate::about_model)?
        && longest >= context
    {
        let why = format!(
            "this model's maximum context length is {context} tokens, shared by prompt and answer (`{name}`)"
        );
        return Err(Problem::context_too_long(longest, context.saturating_sub(1), &why));
    }
    let mut all = Vec::with_capacity(prompts.len());
    for (index, prompt) in prompts.into_iter().enumerate() {
        let prompt = prompt.resolve(app, key, &name).await.map_err(about_prompt)?;
        let id = if index == 0 { generation.id } else { TaskId::new() };
        all.push(GenerationRequest { id, prompt, ..generation.clone() });
    }
    Ok(all)
}

/// Returns the text of each prompt.
pub(crate) async fn texts(
    app: &State,
    key: KeyId,
    model: &str,
    prompts: Vec<PromptInput>,
) -> Result<Vec<String>, Problem> {
    let mut texts = Vec::with_capacity(prompts.len());
    for prompt in prompts {
        texts.push(prompt.text(app, key, model).await.map_err(about_prompt)?);
    }
    Ok(texts)
}

/// Renames the field `messages` of an error to `prompt`, for a request without a chat.
pub(crate) fn about_prompt(mut problem: Problem) -> Problem {
    if let [about] = problem.fields.as_mut_slice()
        && about.field == "messages"
    {
        about.field = "prompt".into();
        problem.detail = format!("`prompt` {}", about.reason);
    }
    generate::about_model(problem)
}

/// Removes the generated token from an answer with `max_tokens: 0` and keeps the logprobs of its prompt.
///
/// The engine generates one token, because it reads a prompt only to generate.
fn leave_out_answer(answer: &mut generate::Answer) {
    answer.content.clear();
    if let Some(end) = &mut answer.end {
        answer.logprobs.truncate(usize::try_from(end.tokens_in).unwrap_or(usize::MAX));
        *end = without_answer(end.clone());
    }
}

fn without_answer(end: TaskSummary) -> TaskSummary {
    TaskSummary { reason: FinishReason::Length, tokens_out: 0, ..end }
}

/// Returns the logprobs of tokens as OpenAI's parallel lists.
///
/// `written` is the number of characters before the first token. The first token of a prompt has no logprob.
fn logprob_lists(logprobs: &[TokenLogprobs], mut written: usize, begins_prompt: bool) -> CompletionLogprobs {
    let mut lists = CompletionLogprobs::default();
    for (index, token) in logprobs.iter().enumerate() {
        let known = !(begins_prompt && index == 0);
        let chosen = sampling::top_logprob(&token.chosen);
        lists.text_offset.push(written);
        written += chosen.token.chars().count();
        lists.tokens.push(chosen.token);
        lists.token_logprobs.push(known.then_some(chosen.logprob));
        let top = token.top.iter().map(sampling::top_logprob);
        lists.top_logprobs.push(known.then(|| top.map(|top| (top.token, top.logprob)).collect()));
    }
    lists
}

/// A decoded request whose prompts are not yet tokenized.
#[derive(Debug)]
pub(crate) struct CompletionsInput {
    /// The request. Its prompt is a placeholder unless it fills in the middle.
    pub(crate) generation: GenerationRequest,
    pub(crate) prompts: Vec<PromptInput>,
    /// Whether each answer starts with its prompt.
    pub(crate) echo: bool,
    /// Whether `max_tokens` is 0, so that only the prompt is processed.
    pub(crate) prefill_only: bool,
}

/// Decodes a request body; `id` is the id of the task of its first prompt.
pub(crate) fn decode(body: &[u8], id: TaskId) -> Result<CompletionsInput, Problem> {
    let (body, mut ignored) = read(body, COMPLETION_FIELDS)?;
    ignored.extend(sampling::unused_of_constraint(&body));
    let request: CompletionRequest = extract::from_value(&body)?;
    let prompts = prompts::read(&request.prompt)?;
    let suffix = request.suffix.filter(|suffix| !suffix.is_empty());
    let prompt = match (prompts.as_slice(), suffix) {
        ([PromptInput::Text(prefix)], Some(suffix)) => Prompt::Infill { prefix: prefix.clone(), suffix },
        (_, Some(_)) => {
            return Err(Problem::invalid("suffix", "requires a `prompt` that is a single string"));
        }
        (_, None) => Prompt::Text(String::new()),
    };
    let tokens_max = request.max_tokens.unwrap_or(TokenLimit::AtMost(TOKENS_DEFAULT)).get();
    let prefill_only = tokens_max == Some(0);
    let tokens_max = tokens_max.map(|tokens| tokens.max(1));
    let mut sampling = sampling::sampling(extract::from_value(&body)?, tokens_max, id)?;
    sampling.logprobs = request.logprobs.map(|top| sampling::top_logprobs("logprobs", top)).transpose()?;
    let n = sampling::answers("n", request.n, &body)?;
    if request.best_of.is_some_and(|best_of| best_of > n) {
        let reason = "must not be greater than `n`, because all answers are returned";
        return Err(Problem::about(Code::UnsupportedParam, "best_of", reason));
    }
    let echo = request.echo == Some(true);
    sampling.prompt_logprobs = echo && sampling.logprobs.is_some();
    let generation = GenerationRequest {
        id,
        model: model_or(request.model, DEFAULT_CHAT),
        prompt,
        n,
        constraint_field: sampling::constraint_field(&body, "json_schema"),
        stream: request.stream == Some(true),
        include_usage: request.stream_options.is_some_and(|options| options.include_usage),
        ignored,
        sampling,
    };
    Ok(CompletionsInput { generation, prompts, echo, prefill_only })
}

/// The fields that all chunks of a completion share.
struct Envelope {
    id: String,
    created: i64,
    model: String,
    system_fingerprint: String,
    /// The number of answers to each prompt.
    answers_per_prompt: usize,
}

impl Envelope {
    fn completion<'a>(
        &'a self,
        choices: Vec<CompletionChoice<'a>>,
        usage: Option<CompletionUsage>,
        timings: Option<Timings>,
    ) -> Completion<'a> {
        Completion {
            id: &self.id,
            object: "text_completion",
            created: self.created,
            model: &self.model,
            system_fingerprint: &self.system_fingerprint,
            choices,
            usage,
            timings,
            prompt_progress: None,
        }
    }
}

struct CompletionStream {
    envelope: Envelope,
    include_usage: bool,
    logprobs: bool,
    /// Whether only the prompts are processed, so that generated tokens are left out.
    prefill_only: bool,
    answer_stream: AnswerStream,
    /// The summary of each finished answer.
    ends: Vec<Option<TaskSummary>>,
    /// The prompts with which the answers start; empty without `echo`.
    echoed: Vec<String>,
    /// The number of characters before each answer's next token.
    written: Vec<usize>,
    over: bool,
    /// The permits of the request's body, held while the prompts are in memory.
    _share: Option<BodyShare>,
}

impl sse::Source for CompletionStream {
    async fn next(&mut self) -> Option<String> {
        loop {
            if self.over {
                return None;
            }
            let (index, event) = self.answer_stream.next().await?;
            match event {
                TaskEvent::Started { .. } => {
                    let text = self
                        .echoed
                        .get(index / self.envelope.answers_per_prompt)
                        .filter(|text| !text.is_empty());
                    let Some(text) = text else { continue };
                    let choice = CompletionChoice { index, text, logprobs: None, finish_reason: None };
                    return Some(self.encode(vec![choice], None, None));
                }
                TaskEvent::Prefilling(progress) => {
                    let choice = CompletionChoice { index, text: "", logprobs: None, finish_reason: None };
                    let prompt_progress = Some(sampling::prompt_progress(&progress));
                    let part = self.envelope.completion(vec![choice], None, None);
                    return Some(encode(&Completion { prompt_progress, ..part }));
                }
                TaskEvent::Token { index: written, .. } if self.prefill_only && written > 0 => {}
                TaskEvent::Token { text, logprobs, index: so_far }
                    if !text.is_empty() || !logprobs.is_empty() =>
                {
                    let begins_prompt = so_far == 0 && self.written[index] == 0;
                    let logprob_lists =
                        self.logprobs.then(|| logprob_lists(&logprobs, self.written[index], begins_prompt));
                    let tokens = logprob_lists.iter().flat_map(|logprob_lists| &logprob_lists.tokens);
                    self.written[index] += tokens.map(|token| token.chars().count()).sum::<usize>();
                    let choice =
                        CompletionChoice { index, text: &text, logprobs: logprob_lists, finish_reason: None };
                    return Some(self.encode(vec![choice], None, None));
                }
                TaskEvent::End(end) => {
                    let end = if self.prefill_only { without_answer(end) } else { end };
                    let finish_reason = Some(end.reason.as_str());
                    let choice = CompletionChoice { index, text: "", logprobs: None, finish_reason };
                    self.ends[index] = Some(end);
                    return Some(self.end_answer(choice));
                }
                TaskEvent::Error(problem) => return Some(self.fail(&problem)),
                TaskEvent::Cancelled => return Some(self.fail(&cancelled_problem())),
                _ => {}
            }
        }
    }
}

impl CompletionStream {
    /// Encodes the last chunk of an answer. After the last answer, usage and the end of the stream follow.
    fn end_answer(&mut self, last: CompletionChoice<'_>) -> String {
        if self.ends.iter().any(Option::is_none) {
            return self.encode(vec![last], None, None);
        }
        self.over = true;
        let timings = sampling::timings(self.ends.iter().flatten());
        let part = if self.include_usage {
            let usage = sampling::usage(self.ends.iter().flatten(), self.envelope.answers_per_prompt);
            self.encode(vec![last], None, None) + &self.encode(Vec::new(), Some(usage), timings)
        } else {
            self.encode(vec![last], None, timings)
        };
        part + sse::DONE
    }

    fn fail(&mut self, problem: &Problem) -> String {
        self.over = true;
        let body = to_json(&errors::openai(problem));
        sse::event(None, None, &body) + sse::DONE
    }

    fn encode(
        &self,
        choices: Vec<CompletionChoice<'_>>,
        usage: Option<CompletionUsage>,
        timings: Option<Timings>,
    ) -> String {
        encode(&self.envelope.completion(choices, usage, timings))
    }
}

fn encode(part: &Completion<'_>) -> String {
    sse::event(None, None, &to_json(part))
}
