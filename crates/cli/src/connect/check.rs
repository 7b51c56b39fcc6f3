//! Tries what a client was told: a chat through the API that it speaks, and a memory that is saved, found and forgotten through
//! the program that it starts.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use lar_api::clients::Recipe;
use lar_base::Instant;
use lar_sandbox::Inherit;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use crate::{Client, CommandContext};

/// A model may have to be loaded first.
const CHAT_TIMEOUT: Duration = Duration::from_secs(120);
const MEMORY_TIMEOUT: Duration = Duration::from_secs(30);

/// What was tried and how it went.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    pub(super) what: &'static str,
    pub(super) passed: bool,
    #[serde(rename = "told")]
    pub(super) detail: String,
}

impl Check {
    fn of(what: &'static str, outcome: anyhow::Result<String>) -> Self {
        match outcome {
            Ok(detail) => Self { what, passed: true, detail },
            Err(error) => Self { what, passed: false, detail: format!("{error:#}") },
        }
    }
}

pub(super) async fn run(client: &Client, recipe: &Recipe, context: &CommandContext) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(api) = recipe.chat_path {
        checks.push(Check::of("a chat", within(CHAT_TIMEOUT, chat(client, api)).await));
    }
    if recipe.has_memory_tools {
        let tried = within(MEMORY_TIMEOUT, memory(client, recipe.name, context)).await;
        checks.push(Check::of("a memory saved, found and forgotten", tried));
    }
    checks
}

async fn within(
    limit: Duration,
    tried: impl Future<Output = anyhow::Result<String>>,
) -> anyhow::Result<String> {
    match tokio::time::timeout(limit, tried).await {
        Ok(outcome) => outcome,
        Err(_) => bail!("nothing came within {} s", limit.as_secs()),
    }
}

async fn chat(client: &Client, api: &str) -> anyhow::Result<String> {
    let messages = json!([{ "role": "user", "content": "Say hello." }]);
    let body = match api {
        "/v1/responses" => {
            json!({ "model": "default", "input": messages, "max_output_tokens": 8, "store": false })
        }
        "/api/chat" => {
            json!({ "model": "default", "messages": messages, "options": { "num_predict": 8 }, "stream": false })
        }
        _ => json!({ "model": "default", "messages": messages, "max_tokens": 8 }),
    };
    let started_at = Instant::now();
    let answer: Value = client.post_compatible(api, &body).await?;
    let model = answer["model"].as_str().unwrap_or("default");
    Ok(format!("{model} answered in {:.1} s", started_at.elapsed().as_secs_f64()))
}

/// Speaks to the program as the client will.
async fn memory(client: &Client, name: &str, context: &CommandContext) -> anyhow::Result<String> {
    let mut program = Command::from(lar_sandbox::command(&context.program, Inherit::Lar))
        .arg("--data-dir")
        .arg(&context.data_dir)
        .args(["mcp", "--client", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("`lar mcp` cannot be started")?;
    let started_at = Instant::now();
    let mut input = program.stdin.take().context("it has no standard input")?;
    let mut lines = BufReader::new(program.stdout.take().context("it has no standard output")?).lines();
    let mut ask = async |id: u32, method: &str, params: Value| -> anyhow::Result<Value> {
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        input.write_all(format!("{message}\n").as_bytes()).await?;
        let line = lines.next_line().await?.context("`lar mcp` ended")?;
        let answer: Value = serde_json::from_str(&line)?;
        if let Some(error) = answer["error"]["message"].as_str() {
            bail!("{error}");
        }
        let result = answer["result"].clone();
        if result["isError"] == true {
            bail!("{}", result["content"][0]["text"].as_str().unwrap_or("the tool failed"));
        }
        Ok(result)
    };
    let client_info = json!({ "name": "lar connect", "version": env!("CARGO_PKG_VERSION") });
    let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client_info });
    ask(1, "initialize", hello).await?;
    let content = format!("Lar tried the connection of {name} with the word {}.", word());
    let call = |tool: &str, arguments: Value| json!({ "name": tool, "arguments": arguments });
    let saved = ask(2, "tools/call", call("memory_save", json!({ "content": content }))).await?;
    let id =
        saved["structuredContent"]["memory"]["id"].as_str().context("what was saved has no id")?.to_owned();
    let search = call("memory_search", json!({ "query": content, "limit": 3 }));
    let found = ask(3, "tools/call", search).await;
    let forgotten = ask(4, "tools/call", call("memory_forget", json!({ "id": id }))).await;
    // Of a try nothing is to be left.
    let erased: anyhow::Result<Value> = client.delete(&format!("memories/{id}?erase=true")).await;
    let found = found?;
    let results = found["structuredContent"]["results"].as_array().cloned().unwrap_or_default();
    if results.iter().all(|hit| hit["id"] != id.as_str()) {
        bail!("what was saved was not found");
    }
    forgotten?;
    erased?;
    Ok(format!("in {:.1} s", started_at.elapsed().as_secs_f64()))
}

/// A word that is in no other memory.
fn word() -> String {
    lar_base::secret::hex(&lar_base::secret::random_bytes::<6>())
}
