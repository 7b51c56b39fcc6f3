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

use super::prompts::{self, Sent};
use super::sampling;
use crate::asker::{Asker, plain_name, with_told};
use crate::bodies::BodyShare;
use crate::errors::{self, Failure};
use crate::fields::read;
use crate::generate::{self, Begun, Wanted};
use crate::lenient::model_or;
use crate::{State, extract, sse};

/// What its tasks are recorded as.
const API: &str = "openai.completion";
/// OpenAI's default of `max_tokens` here.
const TOKENS_DEFAULT: u32 = 16;
/// Bytes of prompts that stand before several answers each, in all at most: as many as a large body has.
const ECHO_BYTES_MAX: usize = 16 << 20;

pub(crate) async fn create(app: State, asker: Asker, request: Request) -> Result<Response, Failure> {
    let read = decode(&extract::body(request, &app).await?, TaskId::new())?;
    respond(&app, &asker, read).await
}

/// Answers a request that was read.
pub(crate) async fn respond(app: &State, asker: &Asker, read: Read) -> Result<Response, Failure> {
    let Read { wanted, prompts, echo, only_reads } = read;
    let sent = if echo { prompts.clone() } else { Vec::new() };
    let (id, stream, include_usage) = (wanted.id, wanted.stream, wanted.include_usage);
    let each = wanted.n as usize;
    let (logprobs, scored) = (wanted.sampling.logprobs.is_some(), wanted.sampling.prompt_logprobs);
    let name = plain_name(&wanted.model).to_owned();
    let all = for_prompts(app, asker.caller.key(), wanted, prompts, "n").await?;
    let admitted = generate::admit_all(app, asker, API, all).await.map_err(about_prompt)?;
    let echoed = texts(app, asker.caller.key(), &name, sent).await?;
    let bytes: usize = echoed.iter().map(String::len).sum();
    if each > 1 && bytes.saturating_mul(each) > ECHO_BYTES_MAX {
        let reason = format!(
            "stands for {bytes} bytes before each of {each} answers: {ECHO_BYTES_MAX} in all at most"
        );
        return Err(Problem::invalid("echo", reason).into());
    }
    if !echo {
        asker.body.release();
    }
    let begun = admitted.begin(app).await.map_err(about_prompt)?;
    let (noted, ignored) = (begun.noted.clone(), begun.ignored.clone());
    let model = begun.model.clone();
    let frame = Frame {
        id: format!("cmpl-{id}"),
        created: Timestamp::now().as_seconds(),
        system_fingerprint: sampling::fingerprint(app, &model),
        model,
        each,
    };
    let response = if stream {
        let ends = vec![None; begun.answers()];
        // Where the prompt's tokens are told, they begin with the text.
        let characters = |answer: usize| echoed.get(answer / each).map_or(0, |text| text.chars().count());
        let written =
            (0..begun.answers()).map(|answer| if scored { 0 } else { characters(answer) }).collect();
        let share = echo.then(|| asker.body.clone());
        sse::response(Stream {
            frame,
            include_usage,
            logprobs,
            only_reads,
            begun,
            ends,
            echoed,
            written,
            over: false,
            _share: share,
        })
    } else {
        let mut answers = begun.collect().await?;
        answers.iter_mut().filter(|_| only_reads).for_each(leave_out_answer);
        let prompt = |answer: usize| echoed.get(answer / each).cloned().unwrap_or_default();
        let texts: Vec<String> =
            answers.iter().enumerate().map(|(index, answer)| prompt(index) + &answer.content).collect();
        let choices =
            answers.iter().zip(&texts).enumerate().map(|(index, (answer, text))| CompletionChoice {
                index,
                text,
                logprobs: logprobs.then(|| {
                    let written = text.chars().count() - answer.content.chars().count();
                    told(&answer.logprobs, if scored { 0 } else { written }, scored)
                }),
                finish_reason: Some(answer.finish_reason()),
            });
        let choices = choices.collect();
        let (usage, timings) = (sampling::usage_of(&answers, each), sampling::timings_of(&answers));
        axum::Json(frame.completion(choices, Some(usage), timings)).into_response()
    };
    Ok(with_told(response, &ignored, noted.as_ref()))
}

/// The same request for each of its prompts; `n_field` says how many answers each gets. No work is done for a request that can
/// never be answered: one of too many answers, or with more tokens than its model's context.
pub(crate) async fn for_prompts(
    app: &State,
    key: KeyId,
    wanted: Wanted,
    prompts: Vec<Sent>,
    n_field: &str,
) -> Result<Vec<Wanted>, Problem> {
    generate::check_answers(app, &wanted.model, n_field, prompts.len() * wanted.n as usize).await?;
    if matches!(wanted.prompt, Prompt::Infill { .. }) {
        return Ok(vec![wanted]);
    }
    let name = plain_name(&wanted.model).to_owned();
    let longest = prompts.iter().map(Sent::tokens_min).max().unwrap_or(0);
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
        let id = if index == 0 { wanted.id } else { TaskId::new() };
        all.push(Wanted { id, prompt, ..wanted.clone() });
    }
    Ok(all)
}

/// The texts of prompts, one each.
pub(crate) async fn texts(
    app: &State,
    key: KeyId,
    model: &str,
    prompts: Vec<Sent>,
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
fn told(logprobs: &[TokenLogprobs], mut written: usize, begins_prompt: bool) -> CompletionLogprobs {
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
pub(crate) struct Read {
    /// With the first prompt.
    pub(crate) wanted: Wanted,
    pub(crate) prompts: Vec<Sent>,
    /// Whether the prompt stands before its answer.
    pub(crate) echo: bool,
    /// Whether nothing is to be written.
    pub(crate) only_reads: bool,
}

/// Reads a request's body; `id` is the task it becomes.
pub(crate) fn decode(body: &[u8], id: TaskId) -> Result<Read, Problem> {
    let (body, mut ignored) = read(body, COMPLETION_FIELDS)?;
    ignored.extend(sampling::unused_of_constraint(&body));
    let request: CompletionRequest = extract::from_value(&body)?;
    let prompts = prompts::read(&request.prompt)?;
    let suffix = request.suffix.filter(|suffix| !suffix.is_empty());
    let prompt = match (prompts.as_slice(), suffix) {
        ([Sent::Text(prefix)], Some(suffix)) => Prompt::Infill { prefix: prefix.clone(), suffix },
        (_, Some(_)) => return Err(Problem::invalid("suffix", "needs a `prompt` that is one text")),
        (_, None) => Prompt::Text(String::new()),
    };
    let tokens_max = request.max_tokens.unwrap_or(TokenLimit::AtMost(TOKENS_DEFAULT)).get();
    let only_reads = tokens_max == Some(0);
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
    let wanted = Wanted {
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
    Ok(Read { wanted, prompts, echo, only_reads })
}

/// What all pieces of one completion have in common.
struct Frame {
    id: String,
    created: i64,
    model: String,
    system_fingerprint: String,
    /// Answers to each prompt.
    each: usize,
}

impl Frame {
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

struct Stream {
    frame: Frame,
    include_usage: bool,
    logprobs: bool,
    /// Whether only what is told of the prompts is wanted.
    only_reads: bool,
    begun: Begun,
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

impl sse::Source for Stream {
    async fn next(&mut self) -> Option<String> {
        loop {
            if self.over {
                return None;
            }
            let (index, event) = self.begun.next().await?;
            match event {
                TaskEvent::Started { .. } => {
                    let text = self.echoed.get(index / self.frame.each).filter(|text| !text.is_empty());
                    let Some(text) = text else { continue };
                    let choice = CompletionChoice { index, text, logprobs: None, finish_reason: None };
                    return Some(self.encode(vec![choice], None, None));
                }
                TaskEvent::Prefilling(progress) => {
                    let choice = CompletionChoice { index, text: "", logprobs: None, finish_reason: None };
                    let prompt_progress = Some(sampling::prompt_progress(&progress));
                    let part = self.frame.completion(vec![choice], None, None);
                    return Some(encode(&Completion { prompt_progress, ..part }));
                }
                TaskEvent::Token { index: written, .. } if self.only_reads && written > 0 => {}
                TaskEvent::Token { text, logprobs, index: so_far }
                    if !text.is_empty() || !logprobs.is_empty() =>
                {
                    let begins_prompt = so_far == 0 && self.written[index] == 0;
                    let told = self.logprobs.then(|| told(&logprobs, self.written[index], begins_prompt));
                    let tokens = told.iter().flat_map(|told| &told.tokens);
                    self.written[index] += tokens.map(|token| token.chars().count()).sum::<usize>();
                    let choice = CompletionChoice { index, text: &text, logprobs: told, finish_reason: None };
                    return Some(self.encode(vec![choice], None, None));
                }
                TaskEvent::End(end) => {
                    let end = if self.only_reads { without_answer(end) } else { end };
                    let finish_reason = Some(end.reason.as_str());
                    let choice = CompletionChoice { index, text: "", logprobs: None, finish_reason };
                    self.ends[index] = Some(end);
                    return Some(self.ended(choice));
                }
                TaskEvent::Error(problem) => return Some(self.fail(&problem)),
                TaskEvent::Cancelled => return Some(self.fail(&cancelled_problem())),
                _ => {}
            }
        }
    }
}

impl Stream {
    /// The last of an answer; with the last of all answers, what they took.
    fn ended(&mut self, last: CompletionChoice<'_>) -> String {
        if self.ends.iter().any(Option::is_none) {
            return self.encode(vec![last], None, None);
        }
        self.over = true;
        let timings = sampling::timings(self.ends.iter().flatten());
        let part = if self.include_usage {
            let usage = sampling::usage(self.ends.iter().flatten(), self.frame.each);
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
        encode(&self.frame.completion(choices, usage, timings))
    }
}

fn encode(part: &Completion<'_>) -> String {
    sse::event(None, None, &serde_json::to_string(part).unwrap_or_default())
}
