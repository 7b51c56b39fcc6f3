//! One generation of a llama-server: turns its events into Lar's, and confirms a stop.
//!
//! Chats that the server renders go to `/v1/chat/completions`; gaps to fill go to `/infill`. Texts, tokens
//! and rendered chats go to `/completion`. All of them stream `data: {…}` lines.

use std::borrow::Cow;
use std::future::Future as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use lar_egress::{Method, Request, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::client::{Client, refusal};
use super::probabilities::{Chosen, ChosenList};
use crate::driver::Generation;
use lar_chat_format;
use lar_chat_format::template;
use lar_inference::Error;
use lar_inference::{
    Chat, ChatMessage, Constraint, Event, ExtraSampling, FinishReason, GenerationRequest, Prompt, Sampling,
    TokenLogprobs, ToolCall,
};

/// The first wait before asking `/slots` whether a stopped generation has ended. The wait doubles until it
/// reaches [`CONFIRM_SOON`]: during decoding the server notices a closed socket at its next token.
const CONFIRM_FIRST: Duration = Duration::from_millis(20);
const CONFIRM_SOON: Duration = Duration::from_millis(320);
/// The wait after that. During prefill the server checks its sockets only after a second in which it answered
/// no request (measured: asked every 50 ms, it read the whole prompt first).
const CONFIRM_LATER: Duration = Duration::from_millis(1200);
/// The longest event, in bytes; a llama-server sends none that is longer.
const LINE_BYTES_MAX: usize = 4 << 20;
/// The number of events that may wait to be read. The server's next line is read once there is room.
const EVENTS_MAX: usize = 64;
/// The bytes of a refusal that are read.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// The body of a request, with the server's field names.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(flatten)]
    input: Input<'a>,
    stream: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    return_progress: bool,
    /// Chats report their token counts at the end only if requested.
    stream_options: StreamOptions,
    /// Reasoning stays in the text, as in the embedded engine.
    reasoning_format: &'static str,
    cache_prompt: bool,
    id_slot: u32,
    n_predict: u32,
    seed: u32,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat_last_n: Option<i32>,
    #[serde(flatten)]
    extra: Option<&'a ExtraSampling>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    logit_bias: &'a [(i32, f32)],
    ignore_eos: bool,
    preserved_tokens: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    json_schema: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grammar: Option<&'a str>,
    /// The parameter of `/completion` for logprobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    n_probs: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    post_sampling_probs: bool,
    /// The parameters of chats for logprobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u32>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Input<'a> {
    Chat(Value),
    Text { prompt: &'a str },
    Infill { input_prefix: &'a str, input_suffix: &'a str },
    Tokens { prompt: &'a [u32] },
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// An event of any of the streams.
#[derive(Deserialize)]
struct Chunk<'a> {
    /// Only in `/completion` and `/infill`.
    #[serde(default, borrow)]
    content: Cow<'a, str>,
    #[serde(default)]
    tokens: Vec<u32>,
    #[serde(default)]
    stop: bool,
    #[serde(default, borrow)]
    stop_type: Cow<'a, str>,
    #[serde(default, borrow)]
    stopping_word: Cow<'a, str>,
    tokens_evaluated: Option<u32>,
    #[serde(default)]
    completion_probabilities: Vec<Chosen>,
    /// Only in `/v1/chat/completions`.
    #[serde(default, borrow)]
    choices: Vec<Choice<'a>>,
    usage: Option<Usage>,
    /// In every stream, during prefill.
    prompt_progress: Option<PromptProgress>,
    error: Option<Value>,
}

/// The number of prompt tokens, and how many of them are in the KV cache.
#[derive(Deserialize)]
struct PromptProgress {
    total: u32,
    processed: u32,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    delta: Delta<'a>,
    logprobs: Option<ChosenList>,
    #[serde(borrow)]
    finish_reason: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(default, borrow)]
    content: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: u32,
    completion_tokens: u32,
}

/// Returns the fields of a chat request that affect how the template renders it.
pub(super) fn chat_body(chat: &Chat, supports_tools: bool) -> Value {
    let explained = (!supports_tools).then(|| lar_chat_format::explain_tools(chat));
    let messages = explained.as_deref().unwrap_or(&chat.messages);
    let call = |call: &ToolCall| {
        // The server accepts only the text of an object.
        let arguments = match template::arguments(&call.arguments) {
            arguments if arguments.is_object() => arguments.to_string(),
            other => json!({ "arguments": other }).to_string(),
        };
        json!({ "id": call.id, "type": "function", "function": { "name": call.name, "arguments": arguments } })
    };
    let message = |message: &ChatMessage| {
        let mut object = json!({ "role": message.role, "content": message.content });
        if !message.tool_calls.is_empty() {
            object["tool_calls"] = message.tool_calls.iter().map(call).collect();
        }
        if let Some(id) = &message.tool_call_id {
            object["tool_call_id"] = json!(id);
        }
        if let Some(name) = &message.name {
            object["name"] = json!(name);
        }
        if !message.reasoning.is_empty() {
            object["reasoning_content"] = json!(message.reasoning);
        }
        object
    };
    let mut body = json!({ "messages": messages.iter().map(message).collect::<Vec<_>>() });
    if explained.is_none() && !chat.tools.is_empty() {
        body["tools"] = chat.tools.iter().map(lar_chat_format::tool_json).collect();
    }
    if !chat.adds_generation_prompt {
        body["add_generation_prompt"] = json!(false);
    }
    if !chat.variables.is_empty() {
        let variables = chat.variables.iter().map(|variable| {
            (variable.name.clone(), serde_json::from_str(&variable.value).unwrap_or_default())
        });
        body["chat_template_kwargs"] = Value::Object(variables.collect());
    }
    body
}

/// Builds the request for `generation` on the slot numbered `slot`.
pub(super) fn request(client: &Client, generation: &GenerationRequest, slot: u32) -> Request {
    let chat = matches!(generation.prompt, Prompt::Chat(_));
    let (path, input) = match &generation.prompt {
        Prompt::Chat(chat) => ("/v1/chat/completions", Input::Chat(chat_body(chat, true))),
        Prompt::Text(prompt) => ("/completion", Input::Text { prompt }),
        Prompt::Infill { prefix, suffix } => {
            ("/infill", Input::Infill { input_prefix: prefix, input_suffix: suffix })
        }
        Prompt::Tokens(prompt) => ("/completion", Input::Tokens { prompt }),
    };
    let Sampling { tokens_max, seed, ref stop, ref logit_bias, .. } = generation.sampling;
    let body = Body {
        input,
        stream: true,
        return_progress: generation.sampling.reports_prefill,
        stream_options: StreamOptions { include_usage: true },
        reasoning_format: "none",
        cache_prompt: false,
        id_slot: slot,
        n_predict: tokens_max,
        seed,
        stop,
        temperature: generation.sampling.temperature,
        top_p: generation.sampling.top_p,
        top_k: generation.sampling.top_k,
        min_p: generation.sampling.min_p,
        presence_penalty: generation.sampling.presence_penalty,
        frequency_penalty: generation.sampling.frequency_penalty,
        repeat_penalty: generation.sampling.repeat_penalty,
        repeat_last_n: generation.sampling.repeat_last_n,
        extra: generation.sampling.extra.as_deref(),
        logit_bias,
        ignore_eos: generation.sampling.ignore_eos,
        preserved_tokens: &generation.sampling.preserved,
        json_schema: generation.sampling.constraint.as_ref().and_then(|constraint| match constraint {
            Constraint::JsonObject => Some(json!({ "type": "object" })),
            Constraint::JsonSchema(schema) => serde_json::from_str(schema).ok(),
            Constraint::Lark(_) | Constraint::Gbnf(_) | Constraint::ToolCalls(_) => None,
        }),
        grammar: match &generation.sampling.constraint {
            Some(Constraint::Gbnf(source)) => Some(source),
            _ => None,
        },
        n_probs: generation.sampling.logprobs.filter(|_| !chat).map(|top| top.max(1)),
        post_sampling_probs: generation.sampling.post_sampling && !chat,
        logprobs: generation.sampling.logprobs.filter(|_| chat).map(|_| true),
        top_logprobs: generation.sampling.logprobs.filter(|_| chat),
    };
    // A long prompt may delay the first byte for any time; health checks find a dead server.
    client.request(Method::Post, path).json(&body).read_timeout(None)
}

/// The slots of a server, from one load to the next.
#[derive(Debug, Default)]
pub(super) struct Session {
    free: Mutex<Vec<u32>>,
    /// Cancelled when the server died or was unloaded and sends no further answers.
    pub(super) gone: CancellationToken,
}

impl Session {
    pub(super) fn new(slots: u32) -> Self {
        Self { free: Mutex::new((0..slots).rev().collect()), gone: CancellationToken::new() }
    }

    fn free(&self) -> MutexGuard<'_, Vec<u32>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A slot of the server; dropping it frees it.
pub(super) struct Slot {
    pub(super) number: u32,
    session: Arc<Session>,
}

impl Slot {
    pub(super) fn take(session: &Arc<Session>) -> Option<Self> {
        let number = session.free().pop()?;
        Some(Self { number, session: session.clone() })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.session.free().push(self.number);
    }
}

/// Starts a generation with these stop texts. Its slot is freed once the server has confirmed that it
/// stopped. All work happens while the event stream is polled.
pub(super) fn start(client: Client, request: Request, stops: Vec<String>, slot: Slot) -> Generation {
    let (sender, mut events) = mpsc::channel(EVENTS_MAX);
    let stop = CancellationToken::new();
    let stop_requested = stop.clone();
    let work = async move {
        let end = tokio::select! {
            // Dropping the request closes its socket, which asks the server to stop.
            () = stop_requested.cancelled() => None,
            () = slot.session.gone.cancelled() => {
                Some(Err(Error::Failed("llama-server was unloaded or died".into())))
            }
            end = run(&client, request, stops, &sender) => Some(end),
        };
        let end = match end {
            Some(Ok(end)) => Event::Finished(end),
            Some(Err(error)) => {
                if !slot.session.gone.is_cancelled() {
                    confirm(&client, slot.number).await;
                }
                Event::Failed(error)
            }
            None => confirm(&client, slot.number).await,
        };
        drop(slot);
        let _ = sender.send(end).await;
    };
    let mut work = Box::pin(work.fuse());
    let events = stream::poll_fn(move |context| {
        let _ = work.as_mut().poll(context);
        events.poll_recv(context)
    });
    Generation { events: events.boxed(), stop, has_slot: None }
}

/// Waits until the server confirms that it no longer works on `slot_id`. If the server does not answer, no
/// slot can be freed anyway: the pool's supervisor will find it dead.
async fn confirm(client: &Client, slot_id: u32) -> Event {
    let mut wait = CONFIRM_FIRST;
    loop {
        tokio::time::sleep(wait).await;
        wait = if wait < CONFIRM_SOON { wait * 2 } else { CONFIRM_LATER };
        let slots = match client.get("/slots").await {
            Ok(slots) => slots,
            Err(error) => return Event::Failed(error),
        };
        let ours = slots.as_array().into_iter().flatten().find(|slot| slot["id"] == json!(slot_id));
        if ours.is_none_or(|slot| slot["is_processing"] != json!(true)) {
            return Event::Cancelled;
        }
    }
}

async fn run(
    client: &Client,
    request: Request,
    stops: Vec<String>,
    sender: &mpsc::Sender<Event>,
) -> Result<FinishReason, Error> {
    let failed = |reason: &str| Error::Failed(format!("llama-server {reason}"));
    let response = client.egress.send(request).await.map_err(|error| Error::Failed(error.to_string()))?;
    if response.status() != 200 {
        return Err(read_refusal(response).await);
    }
    let mut chunks = std::pin::pin!(response.stream());
    let mut buffer: Vec<u8> = Vec::new();
    let mut answer = Answer { stops, ..Answer::default() };
    while let Some(chunk) = chunks.next().await {
        buffer.extend_from_slice(&chunk.map_err(|error| Error::Failed(error.to_string()))?);
        let mut read = 0;
        while let Some(length) = buffer[read..].iter().position(|byte| *byte == b'\n') {
            let line = &buffer[read..read + length];
            read += length + 1;
            let Some(data) = line.strip_prefix(b"data: ") else { continue };
            let (events, end) = answer.parse_event(data)?;
            for event in events {
                let _ = sender.send(event).await;
            }
            if let Some(end) = end {
                return Ok(end);
            }
        }
        buffer.drain(..read);
        if buffer.len() > LINE_BYTES_MAX {
            return Err(failed("sent an event that is too long"));
        }
    }
    Err(failed("ended the stream before the answer was complete"))
}

async fn read_refusal(response: Response) -> Error {
    let status = response.status();
    let body = response.bytes(REFUSAL_BYTES_MAX).await.unwrap_or_default();
    refusal("refused", status, &body)
}

/// The state of an answer while it is read.
#[derive(Default)]
struct Answer {
    /// The stop texts of the request.
    stops: Vec<String>,
    has_started: bool,
    /// Prompt tokens in the KV cache, by the last report.
    prefilled: Option<u32>,
    tokens: u32,
    /// A chat reports its end before its token counts.
    end: Option<FinishReason>,
}

impl Answer {
    /// Parses one event. Returns Lar's events and, at the end, the reason why the answer ended.
    fn parse_event(&mut self, data: &[u8]) -> Result<(Vec<Event>, Option<FinishReason>), Error> {
        if data == b"[DONE]" {
            return Ok((Vec::new(), self.end));
        }
        let chunk: Chunk<'_> = serde_json::from_slice(data)
            // The message of serde_json may quote the answer, which must not be logged.
            .map_err(|error| {
                let (kind, column) = (error.classify(), error.column());
                let reason =
                    format!("an event that it does not document ({kind:?} error at column {column})");
                Error::Failed(format!("llama-server sent {reason}"))
            })?;
        if let Some(error) = chunk.error {
            return Err(refusal(
                "failed during an answer",
                200,
                json!({ "error": error }).to_string().as_bytes(),
            ));
        }
        if let Some(progress) = chunk.prompt_progress {
            return Ok((self.prefilling(&progress), None));
        }
        let mut events = Vec::new();
        if !std::mem::replace(&mut self.has_started, true) {
            events.push(Event::Prefilled { cached_tokens: 0 });
        }
        for choice in chunk.choices {
            let logprobs: Vec<TokenLogprobs> = choice
                .logprobs
                .map(|list| list.content.into_iter().map(Into::into).collect())
                .unwrap_or_default();
            if let Some(text) = choice.delta.content.as_deref().filter(|text| !text.is_empty()) {
                events.push(self.delta(text, 1, logprobs));
            }
            if let Some(reason) = choice.finish_reason.as_deref() {
                self.end = Some(if reason == "length" { FinishReason::Length } else { FinishReason::Stop });
            }
        }
        if let Some(usage) = chunk.usage {
            events.push(Event::Counted { tokens: usage.prompt_tokens });
            let unreported = usage.completion_tokens.saturating_sub(self.tokens);
            if unreported > 0 {
                events.push(self.delta("", unreported, Vec::new()));
            }
        }
        let tokens = u32::try_from(chunk.tokens.len()).unwrap_or(u32::MAX);
        if !chunk.content.is_empty() || tokens > 0 {
            let logprobs = chunk.completion_probabilities.into_iter().map(Into::into).collect();
            events.push(self.delta(&chunk.content, tokens, logprobs));
        }
        if !chunk.stop {
            return Ok((events, None));
        }
        if let Some(tokens) = chunk.tokens_evaluated {
            events.push(Event::Counted { tokens });
        }
        let which = || self.stops.iter().position(|stop| *stop == chunk.stopping_word);
        let end = match &*chunk.stop_type {
            "limit" => FinishReason::Length,
            "word" => which().map_or(FinishReason::Stop, FinishReason::StopText),
            _ => FinishReason::Stop,
        };
        Ok((events, Some(end)))
    }

    /// Handles a prefill report. The rest of its chunk is ignored: the token in it does not count.
    fn prefilling(&mut self, progress: &PromptProgress) -> Vec<Event> {
        let tokens = progress.processed.min(progress.total);
        if self.prefilled.is_some_and(|before| before >= tokens) {
            return Vec::new();
        }
        let counted = Event::Counted { tokens: progress.total };
        let counted = self.prefilled.replace(tokens).is_none().then_some(counted);
        counted.into_iter().chain([Event::Prefilling { tokens }]).collect()
    }

    fn delta(&mut self, text: &str, tokens: u32, logprobs: Vec<TokenLogprobs>) -> Event {
        self.tokens += tokens;
        Event::Delta { text: text.to_owned(), tokens, logprobs }
    }
}
