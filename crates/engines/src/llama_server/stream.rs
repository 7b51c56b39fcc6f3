//! One `/completion` of a llama-server: its events as ours, and the confirmation of a stop.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use lar_egress::{Egress, Request, Response};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::driver::{Event, FinishReason, Generation, Job};

/// How often `/slots` is asked whether a stopped job is gone.
const CONFIRM_EVERY: Duration = Duration::from_millis(20);
/// An event longer than this is no event of a llama-server.
const LINE_BYTES_MAX: usize = 4 << 20;

/// The body of the request for `job` on the place numbered `place`.
pub(super) fn body(job: &Job, place: u32) -> Value {
    let sampling = &job.sampling;
    let mut body = Map::new();
    let mut set = |name: &str, value: Value| {
        if !value.is_null() {
            body.insert(name.into(), value);
        }
    };
    set("prompt", json!(job.prompt.tokens));
    set("stream", json!(true));
    set("cache_prompt", json!(false));
    set("id_slot", json!(place));
    set("n_predict", json!(sampling.tokens_max));
    set("seed", json!(sampling.seed));
    set("stop", json!(sampling.stop));
    set("temperature", json!(sampling.temperature));
    set("top_p", json!(sampling.top_p));
    set("top_k", json!(sampling.top_k));
    set("min_p", json!(sampling.min_p));
    set("presence_penalty", json!(sampling.presence_penalty));
    set("frequency_penalty", json!(sampling.frequency_penalty));
    set("repeat_penalty", json!(sampling.repeat_penalty));
    if !sampling.logit_bias.is_empty() {
        set("logit_bias", json!(sampling.logit_bias));
    }
    Value::Object(body)
}

/// Starts the request; the place goes back once the server is known to be done with it.
pub(super) fn start(
    egress: Egress,
    request: Request,
    slots: Request,
    place: u32,
    places: Arc<Mutex<Vec<u32>>>,
) -> Generation {
    let (sender, events) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        let end = tokio::select! {
            // Dropping the request closes its socket, which asks the server to stop.
            () = asked.cancelled() => None,
            end = run(&egress, request, &sender) => Some(end),
        };
        let end = match end {
            Some(end @ Event::Finished(_)) => end,
            Some(end) => {
                confirm(&egress, &slots, place).await;
                end
            }
            None => confirm(&egress, &slots, place).await,
        };
        places.lock().unwrap_or_else(PoisonError::into_inner).push(place);
        let _ = sender.send(end);
    });
    Generation { events, stop }
}

/// Waits until the server says that it no longer works on `place`. A server that does not answer works on
/// nothing that Lar could give away: the pool's supervisor will find it dead.
async fn confirm(egress: &Egress, slots: &Request, place: u32) -> Event {
    loop {
        let answer = match egress.send(slots.clone()).await {
            Ok(answer) if answer.status() == 200 => answer.bytes(LINE_BYTES_MAX).await,
            Ok(answer) => return Event::Failed(format!("/slots answers with status {}", answer.status())),
            Err(error) => Err(error),
        };
        let slots: Value = match answer {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            Err(error) => return Event::Failed(error.to_string()),
        };
        let ours = slots.as_array().into_iter().flatten().find(|slot| slot["id"] == json!(place));
        if ours.is_none_or(|slot| slot["is_processing"] != json!(true)) {
            return Event::Cancelled;
        }
        tokio::time::sleep(CONFIRM_EVERY).await;
    }
}

async fn run(egress: &Egress, request: Request, sender: &mpsc::UnboundedSender<Event>) -> Event {
    let response = match egress.send(request).await {
        Ok(response) => response,
        Err(error) => return Event::Failed(error.to_string()),
    };
    if response.status() != 200 {
        return refused(response).await;
    }
    let mut chunks = std::pin::pin!(response.stream());
    let mut buffer: Vec<u8> = Vec::new();
    let mut begun = false;
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => buffer.extend_from_slice(&chunk),
            Err(error) => return Event::Failed(error.to_string()),
        }
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            let Some(data) = line.strip_prefix(b"data: ") else { continue };
            let Ok(event) = serde_json::from_slice::<Value>(data) else {
                return Event::Failed("llama-server sent an event that is no JSON".into());
            };
            if !std::mem::replace(&mut begun, true) {
                let _ = sender.send(Event::Prefilled);
            }
            if let Some(end) = hear(&event, sender) {
                return end;
            }
        }
        if buffer.len() > LINE_BYTES_MAX {
            return Event::Failed("llama-server sent an event without end".into());
        }
    }
    Event::Failed("llama-server ended the stream before the answer was whole".into())
}

async fn refused(response: Response) -> Event {
    let status = response.status();
    let bytes = response.bytes(LINE_BYTES_MAX).await.unwrap_or_default();
    let answer: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let message = answer["error"]["message"].as_str().unwrap_or("no reason given");
    Event::Failed(format!("llama-server answered with status {status}: {message}"))
}

/// Passes one event on; returns the terminal one if it was that.
fn hear(event: &Value, sender: &mpsc::UnboundedSender<Event>) -> Option<Event> {
    if let Some(message) = event["error"]["message"].as_str() {
        return Some(Event::Failed(message.to_owned()));
    }
    let text = event["content"].as_str().unwrap_or_default().to_owned();
    let stopped = event["stop"] == json!(true);
    let tokens = event["tokens"]
        .as_array()
        .map_or(u32::from(!stopped), |tokens| u32::try_from(tokens.len()).unwrap_or(u32::MAX));
    if !text.is_empty() || tokens > 0 {
        let _ = sender.send(Event::Delta { text, tokens });
    }
    let limit = event["stop_type"] == json!("limit");
    stopped.then_some(Event::Finished(if limit { FinishReason::Length } else { FinishReason::Stop }))
}
