//! The uses of the soak test: each is a small session of a person or an app. Clients run them in turn.
//!
//! Bad requests and unfinished connections are in `uses/misuse.rs`.

mod misuse;

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use lar_base::Instant;
use serde_json::{Value, json};

use super::client::{Client, shown};

/// Runs a use as a client. An error names the unexpected answer.
type Use = fn(&mut Client<'_>) -> anyhow::Result<()>;

pub(super) const USES: [(&str, Use); 15] = [
    ("chats", chat),
    ("streamed chats", streamed_chat),
    ("chats with a JSON schema", structured_chat),
    ("chats with tools", chat_with_tools),
    ("chats whose client disconnects", disconnected_chat),
    ("conversations", conversation),
    ("memories", memory),
    ("embeddings", embeddings),
    ("tokenizations", tokenization),
    ("MCP sessions", mcp_session),
    ("Responses API", responses),
    ("Anthropic's and Ollama's APIs", other_apis),
    ("reads", reads),
    ("bad requests", misuse::bad_requests),
    ("connections", misuse::connections),
];

/// Turns of a conversation that run to their end.
const TURNS: usize = 3;
/// The wait of a client that disconnects without reading anything.
const PATIENCE: Duration = Duration::from_millis(100);
/// A sentence of 44 bytes.
const SENTENCE: &str = "the quick brown fox jumps over the lazy dog ";

/// Runs one use after another as this client, until the run is over.
pub(super) fn work(client: &mut Client<'_>) {
    let shared = client.shared;
    while !shared.is_over() {
        let at = client.next_use();
        let done = {
            let _busy = shared.quiet.read().unwrap_or_else(PoisonError::into_inner);
            let started_at = Instant::now();
            run_use(client, at).map_err(|error| (error, client.describe_failure(started_at)))
        };
        shared.uses[at].times.fetch_add(1, Ordering::Relaxed);
        if let Err((error, state)) = done {
            shared.record_failure(USES[at].0, &error, &state);
        }
    }
}

/// Runs the use with this index in [`USES`] once.
pub(super) fn run_use(client: &mut Client<'_>, at: usize) -> anyhow::Result<()> {
    client.start_use(at);
    let (_, run) = USES[at];
    run(client)
}

/// Returns a question. In one of four rounds through all uses it follows a long text.
fn question(client: &Client<'_>) -> String {
    let text = if client.variant(4) == 0 { SENTENCE.repeat(60) } else { String::new() };
    format!("{text}What is {} plus two?", client.number())
}

fn chat_body(client: &Client<'_>, tokens: u32, more: &Value) -> Value {
    let mut body = json!({
        "model": "default", "max_tokens": tokens, "temperature": 0.8,
        "messages": [{ "role": "user", "content": question(client) }],
    });
    if let (Some(fields), Some(more)) = (body.as_object_mut(), more.as_object()) {
        fields.extend(more.clone());
    }
    body
}

fn chat(client: &mut Client<'_>) -> anyhow::Result<()> {
    let more = if client.variant(3) == 0 {
        json!({ "logprobs": true, "top_logprobs": 3, "n": 2 })
    } else {
        Value::Null
    };
    client.post("/v1/chat/completions", &chat_body(client, 24, &more)).map(drop)
}

fn streamed_chat(client: &mut Client<'_>) -> anyhow::Result<()> {
    stream_chat(client, 48, json!({}))
}

/// Returns a schema. Its names differ each time, as those of different apps do.
fn schema(client: &Client<'_>) -> Value {
    let name = format!("name_{}", client.number());
    json!({
        "type": "object", "required": [name], "additionalProperties": false,
        "properties": { name: { "type": "string", "maxLength": 12 }, "age": { "type": "integer", "maximum": 200 } },
    })
}

fn structured_chat(client: &mut Client<'_>) -> anyhow::Result<()> {
    let format =
        json!({ "type": "json_schema", "json_schema": { "name": "person", "schema": schema(client) } });
    let more = json!({ "response_format": format });
    if client.variant(2) == 0 {
        return stream_chat(client, 40, more);
    }
    client.post("/v1/chat/completions", &chat_body(client, 40, &more)).map(drop)
}

fn chat_with_tools(client: &mut Client<'_>) -> anyhow::Result<()> {
    let function =
        json!({ "name": "find_person", "description": "Finds a person.", "parameters": schema(client) });
    let choice = if client.variant(2) == 0 { "auto" } else { "required" };
    let more = json!({ "tools": [{ "type": "function", "function": function }], "tool_choice": choice });
    if client.variant(4) < 2 {
        return stream_chat(client, 40, more);
    }
    client.post("/v1/chat/completions", &chat_body(client, 40, &more)).map(drop)
}

fn stream_chat(client: &Client<'_>, tokens: u32, mut more: Value) -> anyhow::Result<()> {
    more["stream"] = true.into();
    let answer = client.post("/v1/chat/completions", &chat_body(client, tokens, &more))?;
    anyhow::ensure!(answer.body.contains("[DONE]"), "the stream has no end: {}", shown(&answer.body));
    Ok(())
}

/// Disconnects before the first token, after it, halfway, or before an answer that is not streamed.
fn disconnected_chat(client: &mut Client<'_>) -> anyhow::Result<()> {
    let (is_streamed, events) = [(true, 0), (true, 2), (true, 20), (false, 0)][client.variant(4)];
    let more = json!({ "stream": is_streamed, "ignore_eos": true });
    let socket = client.open("/v1/chat/completions", &chat_body(client, 400, &more));
    read_events(socket, events)
}

/// Reads this many events of a stream and disconnects. If `events` is 0, waits a moment and disconnects.
fn read_events(socket: TcpStream, events: usize) -> anyhow::Result<()> {
    if events == 0 {
        std::thread::sleep(PATIENCE);
    }
    let (mut reader, mut line) = (BufReader::new(socket), String::new());
    let mut seen = 0;
    while seen < events {
        line.clear();
        let read = reader.read_line(&mut line)?;
        anyhow::ensure!(read > 0, "the stream ended after {seen} events");
        seen += usize::from(line.starts_with("data: "));
    }
    Ok(())
}

fn conversation(client: &mut Client<'_>) -> anyhow::Result<()> {
    let made = client.expect(
        201,
        "POST",
        "/lar/v1/conversations",
        &json!({ "system": "Answer in a few words." }),
    )?;
    let id = made.json()["id"].as_str().context("the conversation has no id")?.to_owned();
    let path = format!("/lar/v1/conversations/{id}");
    let send = |path: &str, body: &Value| {
        let events = client.post(path, body)?.events();
        anyhow::ensure!(
            events.last().is_some_and(|(name, _)| name == "end"),
            "a turn has no `end` event: {events:?}"
        );
        Ok(events[0].1["answer"]["id"].as_str().unwrap_or_default().to_owned())
    };
    let mut answer = String::new();
    for turn in 0..TURNS {
        let message = json!({ "content": format!("{turn}. {}", question(client)), "max_tokens": 16 });
        answer = send(&format!("{path}/messages"), &message)?;
    }
    send(&format!("{path}/messages/{answer}/regenerate"), &json!({ "max_tokens": 8 }))?;
    if client.variant(2) == 0 {
        // The user closes the page during an answer, and stops the answer from another page.
        let message = json!({ "content": "Tell a long story.", "max_tokens": 200 });
        read_events(client.open(&format!("{path}/messages"), &message), 3)?;
        client.expect(204, "POST", &format!("{path}/stop"), &Value::Null)?;
    }
    client.expect(200, "GET", &path, &Value::Null)?;
    client.expect(204, "DELETE", &format!("{path}?erase=true"), &Value::Null).map(drop)
}

fn memory(client: &mut Client<'_>) -> anyhow::Result<()> {
    let number = client.number();
    let content = format!("Parcel {number} lies in drawer {} of room {}.", number % 31, number % 7);
    let new = json!({ "content": content, "kind": "fact", "tags": ["parcels"] });
    let made = client.expect(201, "POST", "/lar/v1/memories", &new)?.json();
    let id = made["id"].as_str().context("the memory has no id")?.to_owned();
    client.post("/lar/v1/memories/search", &json!({ "query": format!("where is parcel {number}?") }))?;
    let changed = json!({ "content": format!("{content} It weighs {number} grams.") });
    client.expect(200, "PATCH", &format!("/lar/v1/memories/{id}"), &changed)?;
    client.post("/lar/v1/memories/search", &json!({ "query": "parcels in a room", "limit": 5 }))?;
    client.keep_memory(&id)
}

fn embeddings(client: &mut Client<'_>) -> anyhow::Result<()> {
    let count = [1, 4, 16][client.variant(3)];
    let texts: Vec<String> = (0..count).map(|at| format!("{at} {}", question(client))).collect();
    client
        .post("/v1/embeddings", &json!({ "model": "default-embedding", "input": texts, "truncate": true }))
        .map(drop)
}

fn tokenization(client: &mut Client<'_>) -> anyhow::Result<()> {
    let text = format!("{} {}", client.number(), SENTENCE.repeat([5, 50, 1500][client.variant(3)]));
    let tokens = client.post("/tokenize", &json!({ "content": text }))?.json();
    client.post("/detokenize", &tokens)?;
    client.post("/v1/chat/completions/input_tokens", &chat_body(client, 8, &Value::Null)).map(drop)
}

fn mcp_session(client: &mut Client<'_>) -> anyhow::Result<()> {
    let hello = json!({
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "soak", "version": "1" },
    });
    client.mcp("initialize", &hello)?;
    client.mcp("tools/list", &json!({}))?;
    let call = |tool: &str, arguments: Value| {
        client.mcp("tools/call", &json!({ "name": tool, "arguments": arguments }))
    };
    call("memory_brief", json!({ "token_budget": 300 }))?;
    call("memory_search", json!({ "query": "which parcels are there?" }))?;
    let content = format!("The meeting about project {} is on Monday.", client.number());
    let saved = call("memory_save", json!({ "content": content }))?;
    // A text without new content is not saved.
    match saved["structuredContent"]["memory"]["id"].as_str() {
        Some(id) => client.keep_memory(id),
        None => Ok(()),
    }
}

fn responses(client: &mut Client<'_>) -> anyhow::Result<()> {
    let body = json!({ "model": "default", "input": question(client), "max_output_tokens": 24 });
    let made = client.post("/v1/responses", &body)?.json();
    let id = made["id"].as_str().context("the response has no id")?;
    client.expect(200, "GET", &format!("/v1/responses/{id}"), &Value::Null)?;
    client.expect(200, "DELETE", &format!("/v1/responses/{id}"), &Value::Null).map(drop)
}

fn other_apis(client: &mut Client<'_>) -> anyhow::Result<()> {
    let is_streamed = client.variant(2) == 0;
    client.post("/v1/messages", &chat_body(client, 16, &json!({ "stream": is_streamed })))?;
    let messages = json!([{ "role": "user", "content": question(client) }]);
    let options = json!({ "num_predict": 16 });
    let answer = client.post(
        "/api/chat",
        &json!({ "model": "default", "messages": messages, "options": options, "stream": is_streamed }),
    )?;
    anyhow::ensure!(answer.body.contains("\"done\":true"), "the stream has no end: {}", shown(&answer.body));
    let body =
        json!({ "model": "default", "prompt": question(client), "max_tokens": 8, "stream": is_streamed });
    client.post("/v1/completions", &body).map(drop)
}

fn reads(client: &mut Client<'_>) -> anyhow::Result<()> {
    for path in [
        "/",
        "/v1/models",
        "/api/tags",
        "/props",
        "/openapi.json",
        "/lar/v1/me",
        "/lar/v1/pools",
        "/lar/v1/tasks?limit=20",
        "/lar/v1/conversations?limit=20",
        "/lar/v1/memories?limit=20",
        "/lar/v1/memories/stats",
    ] {
        client.expect(200, "GET", path, &Value::Null)?;
    }
    // Only an admin key may read metrics.
    client.count_request();
    let metrics = client.lar.get("/metrics");
    anyhow::ensure!(metrics.status == 200, "/metrics: {}", metrics.status);
    Ok(())
}
