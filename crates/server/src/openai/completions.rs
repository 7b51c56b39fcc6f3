//! `POST /v1/completions`: plain continuation, without a chat template.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use lar_api::fields::TokenLimit;
use lar_api::openai::{
    COMPLETION_FIELDS, Completion, CompletionChoice, CompletionLogprobs, CompletionRequest, Timings, Usage,
};
use lar_base::{Code, KeyId, Problem, TaskId, Timestamp};
use lar_catalog::DEFAULT_CHAT;
use lar_engines::driver::{FinishReason, Prompt, TokenLogprobs};
use lar_gateway::{End, TaskEvent, cancelled_problem};

use super::prompts::{self, PromptInput};
use super::sampling;
use crate::bodies::BodyShare;
use crate::compat_caller::{CompatCaller, plain_name, with_lar_headers};
use crate::errors::{self, Failure};
use crate::fields::read;
use crate::generate::{self, AnswerStream, GenerationRequest};
use crate::lenient::model_or;
use crate::{State, extract, sse};

/// What its tasks are recorded as.
const API: &str = "openai.completion";
/// OpenAI's default of `max_tokens` here.
const TOKENS_DEFAULT: u32 = 16;
/// Bytes of prompts that stand before several answers each, in all at most: as many as a large body has.
const ECHO_BYTES_MAX: usize = 16 << 20;

pub(crate) async fn create(
    app: State,
    compat_caller: CompatCaller,
    request: Request,
) -> Result<Response, Failure> {
    let read = decode(&extract::body(request, &app).await?, TaskId::new())?;
    respond(&app, &compat_caller, read).await
}

/// Answers a request that was read.
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
            "stands for {bytes} bytes before each of {answers_per_prompt} answers: {ECHO_BYTES_MAX} in all at most"
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
        // Where the prompt's tokens are told, they begin with the text.
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

/// The same request for each of its prompts; `n_field` says how many answers each gets. No work is done for a request that can
/// never be answered: one of too many answers, or with more tokens than its model's context.
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
            "this model's maximum context length is {context} tokens, which the answer needs a part of (`{name}`)"
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

/// The texts of prompts, one each.
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

/// An error of a prompt that is no chat.
pub(crate) fn about_prompt(mut problem: Problem) -> Problem {
    if let [about] = problem.fields.as_mut_slice()
        && about.field == "messages"
    {
        about.field = "prompt".into();
        problem.detail = format!("`prompt` {}", about.reason);
    }
    generate::about_model(problem)
}

/// Leaves of an answer what was told of its prompt: one token is written where none was wanted, as the prompt is read for
/// it.
fn leave_out_answer(answer: &mut generate::Answer) {
    answer.content.clear();
    if let Some(end) = &mut answer.end {
        answer.logprobs.truncate(usize::try_from(end.tokens_in).unwrap_or(usize::MAX));
        *end = without_answer(end.clone());
    }
}

fn without_answer(end: End) -> End {
    End { reason: FinishReason::Length, tokens_out: 0, ..end }
}

/// Lists of what is known of tokens; `written` characters came before the first, of which nothing is known where it begins
/// a prompt.
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

/// A request that was read; its prompts are resolved when its model is known.
#[derive(Debug)]
pub(crate) struct CompletionsInput {
    /// With the first prompt.
    pub(crate) generation: GenerationRequest,
    pub(crate) prompts: Vec<PromptInput>,
    /// Whether the prompt stands before its answer.
    pub(crate) echo: bool,
    /// Whether nothing is to be written.
    pub(crate) prefill_only: bool,
}

/// Reads a request's body; `id` is the task it becomes.
pub(crate) fn decode(body: &[u8], id: TaskId) -> Result<CompletionsInput, Problem> {
    let (body, mut ignored) = read(body, COMPLETION_FIELDS)?;
    ignored.extend(sampling::unused_of_constraint(&body));
    let request: CompletionRequest = extract::from_value(&body)?;
    let prompts = prompts::read(&request.prompt)?;
    let suffix = request.suffix.filter(|suffix| !suffix.is_empty());
    let prompt = match (prompts.as_slice(), suffix) {
        ([PromptInput::Text(prefix)], Some(suffix)) => Prompt::Infill { prefix: prefix.clone(), suffix },
        (_, Some(_)) => return Err(Problem::invalid("suffix", "needs a `prompt` that is one text")),
        (_, None) => Prompt::Text(String::new()),
    };
    let tokens_max = request.max_tokens.unwrap_or(TokenLimit::AtMost(TOKENS_DEFAULT)).get();
    let prefill_only = tokens_max == Some(0);
    let tokens_max = tokens_max.map(|tokens| tokens.max(1));
    let mut sampling = sampling::sampling(extract::from_value(&body)?, tokens_max, id)?;
    sampling.logprobs = request.logprobs.map(|top| sampling::top_logprobs("logprobs", top)).transpose()?;
    let n = sampling::answers("n", request.n, &body)?;
    if request.best_of.is_some_and(|best_of| best_of > n) {
        let reason = "must not be above `n`: all answers are returned";
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

/// What all pieces of one completion have in common.
struct Envelope {
    id: String,
    created: i64,
    model: String,
    system_fingerprint: String,
    /// Answers to each prompt.
    answers_per_prompt: usize,
}

impl Envelope {
    fn completion<'a>(
        &'a self,
        choices: Vec<CompletionChoice<'a>>,
        usage: Option<Usage>,
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
    /// Whether only what is told of the prompts is wanted.
    prefill_only: bool,
    answer_stream: AnswerStream,
    /// Of the answers that are whole.
    ends: Vec<Option<End>>,
    /// The prompts that stand before the answers; none where they do not.
    echoed: Vec<String>,
    /// Characters of each answer whose tokens were told.
    written: Vec<usize>,
    over: bool,
    /// Of the body that the prompts came in, while they are kept.
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
    /// The last of an answer; with the last of all answers, what they took.
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
        let body = serde_json::to_string(&errors::openai(problem)).unwrap_or_default();
        sse::event(None, None, &body) + sse::DONE
    }

    fn encode(
        &self,
        choices: Vec<CompletionChoice<'_>>,
        usage: Option<Usage>,
        timings: Option<Timings>,
    ) -> String {
        encode(&self.envelope.completion(choices, usage, timings))
    }
}

fn encode(part: &Completion<'_>) -> String {
    sse::event(None, None, &serde_json::to_string(part).unwrap_or_default())
}
