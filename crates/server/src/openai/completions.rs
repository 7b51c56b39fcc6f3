//! `POST /v1/completions`: plain continuation, without a chat template.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use lar_api::openai::{
    COMPLETION_FIELDS, Completion, CompletionChoice, CompletionLogprobs, CompletionPrompt, CompletionRequest,
    Usage,
};
use lar_base::{Code, Problem, TaskId, Timestamp};
use lar_engines::driver::{Constraint, Prompt, TokenLogprobs};
use lar_gateway::{End, TaskEvent};

use super::sampling;
use crate::asker::{Asker, with_told};
use crate::errors::{self, Failure};
use crate::fields::read;
use crate::generate::{self, Begun, Wanted};
use crate::{State, extract, sse};

/// OpenAI's default of `max_tokens` here.
const TOKENS_DEFAULT: u32 = 16;

pub(crate) async fn create(app: State, asker: Asker, request: Request) -> Result<Response, Failure> {
    let wanted = decode(&extract::body(request, &app).await?, TaskId::new())?;
    let (id, stream, include_usage) = (wanted.id, wanted.stream, wanted.include_usage);
    let ignored = wanted.ignored.clone();
    let logprobs = wanted.sampling.logprobs.is_some();
    let begun = generate::begin(&app, &asker, "openai.completion", wanted).await?;
    let noted = begun.noted.clone();
    let model = begun.model.clone();
    let frame = Frame {
        id: format!("cmpl-{id}"),
        created: Timestamp::now().as_seconds(),
        system_fingerprint: sampling::fingerprint(&app, &model),
        model,
    };
    let response = if stream {
        let (ends, written) = (vec![None; begun.answers()], vec![0; begun.answers()]);
        sse::response(Stream { frame, include_usage, logprobs, begun, ends, written, over: false })
    } else {
        let answers = begun.collect().await?;
        let choices = answers.iter().enumerate().map(|(index, answer)| CompletionChoice {
            index,
            text: &answer.content,
            logprobs: logprobs.then(|| told(&answer.logprobs, 0)),
            finish_reason: Some(answer.finish_reason()),
        });
        let choices = choices.collect();
        axum::Json(frame.completion(choices, Some(sampling::usage_of(&answers)))).into_response()
    };
    Ok(with_told(response, &ignored, noted.as_ref()))
}

/// Lists of what is known of tokens; `written` characters came before the first.
fn told(logprobs: &[TokenLogprobs], mut written: usize) -> CompletionLogprobs {
    let mut lists = CompletionLogprobs::default();
    for token in logprobs {
        let chosen = sampling::top_logprob(&token.chosen);
        lists.text_offset.push(written);
        written += chosen.token.chars().count();
        lists.tokens.push(chosen.token);
        lists.token_logprobs.push(chosen.logprob);
        let top = token.top.iter().map(sampling::top_logprob);
        lists.top_logprobs.push(top.map(|top| (top.token, top.logprob)).collect());
    }
    lists
}

/// Reads a request's body; `id` is the task it becomes.
pub(crate) fn decode(body: &[u8], id: TaskId) -> Result<Wanted, Problem> {
    let (body, ignored) = read(body, COMPLETION_FIELDS)?;
    let request: CompletionRequest = extract::from_value(&body)?;
    let suffix = request.suffix.filter(|suffix| !suffix.is_empty());
    let prompt = match (request.prompt, suffix) {
        (CompletionPrompt::Text(prefix), Some(suffix)) => Prompt::Infill { prefix, suffix },
        (_, Some(_)) => return Err(Problem::invalid("suffix", "needs a `prompt` that is one text")),
        (CompletionPrompt::Text(text), None) => Prompt::Text(text),
        (CompletionPrompt::Tokens(tokens), None) if !tokens.is_empty() => Prompt::Tokens(tokens),
        (CompletionPrompt::Texts(mut texts), None) if texts.len() == 1 => Prompt::Text(texts.remove(0)),
        _ => {
            let reason = "must be one text or one list of tokens";
            return Err(Problem::about(Code::UnsupportedParam, "prompt", reason));
        }
    };
    let tokens_max = Some(request.max_tokens.unwrap_or(TOKENS_DEFAULT));
    let mut sampling = sampling::sampling(extract::from_value(&body)?, tokens_max, id)?;
    sampling.logprobs = request.logprobs.map(|top| sampling::top_logprobs("logprobs", top)).transpose()?;
    Ok(Wanted {
        id,
        model: request.model,
        prompt,
        n: sampling::answers(request.n)?,
        constraint_field: match &sampling.constraint {
            Some(Constraint::Gbnf(_)) => "grammar",
            _ => "json_schema",
        },
        stream: request.stream == Some(true),
        include_usage: request.stream_options.is_some_and(|options| options.include_usage),
        ignored,
        sampling,
    })
}

/// What all pieces of one completion have in common.
struct Frame {
    id: String,
    created: i64,
    model: String,
    system_fingerprint: String,
}

impl Frame {
    fn completion<'a>(&'a self, choices: Vec<CompletionChoice<'a>>, usage: Option<Usage>) -> Completion<'a> {
        Completion {
            id: &self.id,
            object: "text_completion",
            created: self.created,
            model: &self.model,
            system_fingerprint: &self.system_fingerprint,
            choices,
            usage,
        }
    }
}

struct Stream {
    frame: Frame,
    include_usage: bool,
    logprobs: bool,
    begun: Begun,
    /// Of the answers that are whole.
    ends: Vec<Option<End>>,
    /// Characters of each answer whose tokens were told.
    written: Vec<usize>,
    over: bool,
}

impl sse::Source for Stream {
    async fn next(&mut self) -> Option<String> {
        loop {
            if self.over {
                return None;
            }
            let (index, event) = self.begun.next().await?;
            match event {
                TaskEvent::Token { text, logprobs, .. } if !text.is_empty() || !logprobs.is_empty() => {
                    let told = self.logprobs.then(|| told(&logprobs, self.written[index]));
                    let tokens = told.iter().flat_map(|told| &told.tokens);
                    self.written[index] += tokens.map(|token| token.chars().count()).sum::<usize>();
                    let choice = CompletionChoice { index, text: &text, logprobs: told, finish_reason: None };
                    return Some(self.encode(vec![choice], None));
                }
                TaskEvent::End(end) => {
                    let finish_reason = Some(end.reason.as_str());
                    let choice = CompletionChoice { index, text: "", logprobs: None, finish_reason };
                    let mut part = self.encode(vec![choice], None);
                    self.ends[index] = Some(end);
                    if self.ends.iter().all(Option::is_some) {
                        self.over = true;
                        if self.include_usage {
                            let usage = sampling::usage(self.ends.iter().flatten());
                            part.push_str(&self.encode(Vec::new(), Some(usage)));
                        }
                        part.push_str("data: [DONE]\n\n");
                    }
                    return Some(part);
                }
                TaskEvent::Error(problem) => {
                    self.over = true;
                    let body = serde_json::to_string(&errors::openai(&problem)).unwrap_or_default();
                    return Some(sse::event(None, None, &body));
                }
                TaskEvent::Cancelled => return None,
                _ => {}
            }
        }
    }
}

impl Stream {
    fn encode(&self, choices: Vec<CompletionChoice<'_>>, usage: Option<Usage>) -> String {
        let completion = self.frame.completion(choices, usage);
        sse::event(None, None, &serde_json::to_string(&completion).unwrap_or_default())
    }
}
