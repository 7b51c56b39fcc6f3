//! What the clients do, in turn: each is a small session of a person or an app.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context as _;
use lar_tests::Lar;
use serde_json::{Value, json};

use super::client::{Client, shown};

/// Does something as a client. An error says which answer was not the expected one.
pub(super) type Use = fn(&mut Client<'_>) -> anyhow::Result<()>;

pub(super) const USES: [(&str, Use); 15] = [
    ("chats", chat),
    ("streamed chats", streamed_chat),
    ("chats held to a JSON schema", structured_chat),
    ("chats with tools", chat_with_tools),
    ("chats cut off by their reader", cut_off_chat),
    ("conversations", conversation),
    ("memories", memory),
    ("embeddings", embeddings),
    ("tokenizations", tokenization),
    ("MCP sessions", mcp_session),
    ("Responses API", responses),
    ("Anthropic's and Ollama's APIs", other_apis),
    ("reads", reads),
    ("bad requests", bad_requests),
    ("connections", connections),
];

/// Turns of a conversation that are read to their end.
const TURNS: usize = 3;
/// How long a client waits that leaves before the first token.
const PATIENCE: Duration = Duration::from_millis(100);
/// Requests over one connection.
const REQUESTS_PER_CONNECTION: usize = 5;
const SILENT_CONNECTIONS: usize = 4;
/// More than `limits.body` allows.
const BODY_BYTES_TOO_MANY: usize = 20_000_000;
/// A sentence of 44 bytes.
const SENTENCE: &str = "the quick brown fox jumps over the lazy dog ";

/// A question; every fourth has a long text before it.
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

/// The names in it differ each time, as those of different apps do.
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

/// Leaves before the first token, after it, half way, or before an answer that is not streamed.
fn cut_off_chat(client: &mut Client<'_>) -> anyhow::Result<()> {
    let (is_streamed, events) = [(true, 0), (true, 2), (true, 20), (false, 0)][client.variant(4)];
    let more = json!({ "stream": is_streamed, "ignore_eos": true });
    let socket = client.open("/v1/chat/completions", &chat_body(client, 400, &more));
    read_events(socket, events)
}

/// Reads so many events of a stream, or waits a moment where it is none, and disconnects.
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
    let id = made.json()["id"].as_str().context("a conversation has an id")?.to_owned();
    let path = format!("/lar/v1/conversations/{id}");
    let say = |path: &str, body: &Value| {
        let events = client.post(path, body)?.events();
        anyhow::ensure!(
            events.last().is_some_and(|(name, _)| name == "end"),
            "a turn has no end: {events:?}"
        );
        Ok(events[0].1["answer"]["id"].as_str().unwrap_or_default().to_owned())
    };
    let mut answer = String::new();
    for turn in 0..TURNS {
        let said = json!({ "content": format!("{turn}. {}", question(client)), "max_tokens": 16 });
        answer = say(&format!("{path}/messages"), &said)?;
    }
    say(&format!("{path}/messages/{answer}/regenerate"), &json!({ "max_tokens": 8 }))?;
    if client.variant(2) == 0 {
        // Somebody closes the page during an answer, and stops it from another one.
        let said = json!({ "content": "Tell a long story.", "max_tokens": 200 });
        read_events(client.open(&format!("{path}/messages"), &said), 3)?;
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
    let id = made["id"].as_str().context("a memory has an id")?.to_owned();
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
    // What says nothing new is not saved.
    match saved["structuredContent"]["memory"]["id"].as_str() {
        Some(id) => client.keep_memory(id),
        None => Ok(()),
    }
}

fn responses(client: &mut Client<'_>) -> anyhow::Result<()> {
    let body = json!({ "model": "default", "input": question(client), "max_output_tokens": 24 });
    let made = client.post("/v1/responses", &body)?.json();
    let id = made["id"].as_str().context("a response has an id")?;
    client.expect(200, "GET", &format!("/v1/responses/{id}"), &Value::Null)?;
    client.expect(200, "DELETE", &format!("/v1/responses/{id}"), &Value::Null).map(drop)
}

fn other_apis(client: &mut Client<'_>) -> anyhow::Result<()> {
    let is_streamed = client.variant(2) == 0;
    client.post("/v1/messages", &chat_body(client, 16, &json!({ "stream": is_streamed })))?;
    let messages = json!([{ "role": "user", "content": question(client) }]);
    let options = json!({ "num_predict": 16 });
    client.post(
        "/api/chat",
        &json!({ "model": "default", "messages": messages, "options": options, "stream": is_streamed }),
    )?;
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
    // Only an administrator may read this.
    client.count_request();
    let metrics = client.lar.get("/metrics");
    anyhow::ensure!(metrics.status == 200, "/metrics: {}", metrics.status);
    Ok(())
}

fn bad_requests(client: &mut Client<'_>) -> anyhow::Result<()> {
    let number = client.number();
    let messages = json!([{ "role": "user", "content": "Hello" }]);
    let chat = "/v1/chat/completions";
    for (status, method, path, body) in [
        (400, "POST", chat, json!({ "model": "default" })),
        (400, "POST", chat, json!({ "model": "default", "messages": messages, "temperature": number + 3 })),
        (404, "POST", chat, json!({ "model": format!("none-{number}"), "messages": messages })),
        (405, "DELETE", chat, Value::Null),
        (404, "GET", &format!("/v1/none-{number}"), Value::Null),
        (400, "POST", "/lar/v1/memories", json!({ "content": "" })),
        (400, "GET", &format!("/lar/v1/memories/none-{number}"), Value::Null),
        (403, "GET", "/lar/v1/users", Value::Null),
    ] {
        client.expect(status, method, path, &body)?;
    }
    let key = format!("authorization: Bearer lar_wrong_{number}\r\n");
    let head = |key: &str, length: usize| {
        format!(
            "POST {chat} HTTP/1.1\r\nhost: {}\r\n{key}content-type: application/json\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n",
            client.lar.address
        )
    };
    for (status, head, body) in [
        (401, head(&key, 2), "{}"),
        (413, head(&client.key, BODY_BYTES_TOO_MANY), "{"),
        (400, head(&client.key, 9), "{\"model\":"),
        (400, "no HTTP at all\r\n\r\n".to_owned(), ""),
    ] {
        client.count_request();
        let answer = client.lar.raw(&head, body.as_bytes());
        anyhow::ensure!(
            answer.status == status,
            "{status} expected: {} {}",
            answer.status,
            shown(&answer.body)
        );
    }
    Ok(())
}

/// Connections that say nothing, half of a head or half of a body and disconnect; one that is used several times.
fn connections(client: &mut Client<'_>) -> anyhow::Result<()> {
    let Lar { address, .. } = client.lar;
    let silent: Vec<TcpStream> =
        (0..SILENT_CONNECTIONS).map(|_| TcpStream::connect(address)).collect::<Result<_, _>>()?;
    let start = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\n{}", client.key);
    let mut half_head = TcpStream::connect(address)?;
    half_head.write_all(start.as_bytes())?;
    let mut half_body = TcpStream::connect(address)?;
    half_body.write_all(
        format!("{start}content-type: application/json\r\ncontent-length: 500\r\n\r\n{{").as_bytes(),
    )?;

    let mut used = BufReader::new(TcpStream::connect(address)?);
    let request = format!("GET /lar/v1/me HTTP/1.1\r\nhost: {address}\r\n{}\r\n", client.key);
    for _ in 0..REQUESTS_PER_CONNECTION {
        client.count_request();
        used.get_mut().write_all(request.as_bytes())?;
        read_answer(&mut used)?;
    }
    drop((silent, half_head, half_body));
    Ok(())
}

/// Reads one answer of a connection that stays open.
fn read_answer(reader: &mut BufReader<TcpStream>) -> anyhow::Result<()> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        anyhow::ensure!(reader.read_line(&mut head)? > 0, "the connection was closed: {}", shown(&head));
    }
    anyhow::ensure!(head.starts_with("HTTP/1.1 200"), "{}", shown(&head));
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.context("the answer has no length")?];
    reader.read_exact(&mut body)?;
    Ok(())
}
