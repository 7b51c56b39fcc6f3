//! `POST /v1/completions`: plain continuation, without a chat template.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use lar_api::openai::{
    COMPLETION_FIELDS, Completion, CompletionChoice, CompletionPrompt, CompletionRequest, Usage,
};
use lar_base::{Code, Problem, TaskId, Timestamp};
use lar_engines::driver::Prompt;
use lar_gateway::{LogReader, TaskEvent};

use super::generate::{self, Wanted};
use super::{read, with_ignored};
use crate::auth::Inference;
use crate::errors::{self, Failure};
use crate::{State, extract, sse};

/// OpenAI's default of `max_tokens` here.
const TOKENS_DEFAULT: u32 = 16;

pub(crate) async fn create(
    app: State,
    Inference(caller): Inference,
    request: Request,
) -> Result<Response, Failure> {
    let wanted = decode(&extract::body(request, &app).await?, TaskId::new())?;
    let (id, stream, include_usage) = (wanted.id, wanted.stream, wanted.include_usage);
    let ignored = wanted.ignored.clone();
    let begun = generate::begin(&app, caller, "openai.completion", wanted).await?;
    let model = begun.handle.model().to_owned();
    let frame = Frame {
        id: format!("cmpl-{id}"),
        created: Timestamp::now().as_seconds(),
        system_fingerprint: generate::fingerprint(&app, &model),
        model,
    };
    let response = if stream {
        sse::response(Stream { frame, include_usage, reader: begun.reader, over: false })
    } else {
        let (content, end) = generate::collect(begun).await?;
        axum::Json(frame.completion(&content, Some(end.reason.as_str()), Some(generate::usage(&end))))
            .into_response()
    };
    Ok(with_ignored(response, &ignored))
}

/// Reads a request's body; `id` is the task it becomes.
pub(crate) fn decode(body: &[u8], id: TaskId) -> Result<Wanted, Problem> {
    let (body, ignored) = read(body, COMPLETION_FIELDS)?;
    let request: CompletionRequest = extract::from_value(&body)?;
    let prompt = match request.prompt {
        CompletionPrompt::Text(text) => Prompt::Text(text),
        CompletionPrompt::Tokens(tokens) if !tokens.is_empty() => Prompt::Tokens(tokens),
        CompletionPrompt::Texts(mut texts) if texts.len() == 1 => Prompt::Text(texts.remove(0)),
        _ => {
            let reason = "must be one text or one list of tokens";
            return Err(Problem::about(Code::UnsupportedParam, "prompt", reason));
        }
    };
    let tokens_max = Some(request.max_tokens.unwrap_or(TOKENS_DEFAULT));
    Ok(Wanted {
        id,
        model: request.model,
        prompt,
        sampling: generate::sampling(extract::from_value(&body)?, tokens_max, id)?,
        stream: request.stream == Some(true),
        include_usage: request.stream_options.is_some_and(|options| options.include_usage),
        ignored,
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
    fn completion<'a>(
        &'a self,
        text: &'a str,
        finish_reason: Option<&'static str>,
        usage: Option<Usage>,
    ) -> Completion<'a> {
        Completion {
            id: &self.id,
            object: "text_completion",
            created: self.created,
            model: &self.model,
            system_fingerprint: &self.system_fingerprint,
            choices: vec![CompletionChoice { index: 0, text, logprobs: None, finish_reason }],
            usage,
        }
    }
}

struct Stream {
    frame: Frame,
    include_usage: bool,
    reader: LogReader,
    over: bool,
}

impl sse::Source for Stream {
    async fn next(&mut self) -> Option<String> {
        loop {
            let (_, event) = self.reader.next().await.filter(|_| !self.over)?;
            let encode = |completion: &Completion<'_>| {
                sse::event(None, None, &serde_json::to_string(completion).unwrap_or_default())
            };
            match event {
                TaskEvent::Token { text, .. } if !text.is_empty() => {
                    return Some(encode(&self.frame.completion(&text, None, None)));
                }
                TaskEvent::End(end) => {
                    self.over = true;
                    let mut part = encode(&self.frame.completion("", Some(end.reason.as_str()), None));
                    if self.include_usage {
                        let mut last = self.frame.completion("", None, Some(generate::usage(&end)));
                        last.choices.clear();
                        part.push_str(&encode(&last));
                    }
                    return Some(part + "data: [DONE]\n\n");
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
