//! Tests a connection: a chat through the API that the client uses, and a memory that is saved, found and forgotten
//! through the program that the client starts. The test memory is erased at the end.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use lar_base::Instant;
use lar_base::lines::read_line;
use lar_clients::{ChatApi, Recipe};
use lar_sandbox::Inherit;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use crate::mcp::LINE_BYTES_MAX;
use crate::{Client, CommandContext};

/// Long enough for a model to be loaded first.
const CHAT_TIMEOUT: Duration = Duration::from_secs(120);
const MEMORY_TIMEOUT: Duration = Duration::from_secs(30);

/// The result of one test.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    /// The tested feature.
    pub(super) what: &'static str,
    pub(super) passed: bool,
    /// The measured time, or the error.
    pub(super) detail: String,
    /// The deprecated name of `detail` in the JSON output.
    #[serde(rename = "told")]
    deprecated_detail: String,
}

impl Check {
    fn of(what: &'static str, outcome: anyhow::Result<String>) -> Self {
        let (passed, detail) = match outcome {
            Ok(detail) => (true, detail),
            Err(error) => (false, format!("{error:#}")),
        };
        Self { what, passed, deprecated_detail: detail.clone(), detail }
    }
}

pub(super) async fn run(client: &Client, recipe: &Recipe, context: &CommandContext) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(api) = recipe.chat_api {
        checks.push(Check::of("a chat", within(CHAT_TIMEOUT, chat(client, api)).await));
    }
    if recipe.has_memory_tools {
        let outcome = within(MEMORY_TIMEOUT, memory(client, &recipe.name, context)).await;
        checks.push(Check::of("a memory saved, found and forgotten", outcome));
    }
    checks
}

async fn within(
    limit: Duration,
    test: impl Future<Output = anyhow::Result<String>>,
) -> anyhow::Result<String> {
    match tokio::time::timeout(limit, test).await {
        Ok(outcome) => outcome,
        Err(_) => bail!("no answer within {} s", limit.as_secs()),
    }
}

async fn chat(client: &Client, api: ChatApi) -> anyhow::Result<String> {
    let messages = json!([{ "role": "user", "content": "Say hello." }]);
    let body = match api {
        ChatApi::Responses => {
            json!({ "model": "default", "input": messages, "max_output_tokens": 8, "store": false })
        }
        ChatApi::OllamaChat => {
            json!({ "model": "default", "messages": messages, "options": { "num_predict": 8 }, "stream": false })
        }
        ChatApi::ChatCompletions | ChatApi::Messages => {
            json!({ "model": "default", "messages": messages, "max_tokens": 8 })
        }
    };
    let started_at = Instant::now();
    let answer: Value = client.post_compatible(api.path(), &body).await?;
    let model = answer["model"].as_str().unwrap_or("default");
    Ok(format!("{model} answered in {:.1} s", started_at.elapsed().as_secs_f64()))
}

/// Starts `lar mcp` as the client will, and calls its memory tools.
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
    let mut input = program.stdin.take().context("`lar mcp` has no standard input")?;
    let output = program.stdout.take().context("`lar mcp` has no standard output")?;
    let mut output = BufReader::new(output);
    let mut request = async |id: u32, method: &str, params: Value| -> anyhow::Result<Value> {
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        input.write_all(format!("{message}\n").as_bytes()).await?;
        let line = read_line(&mut output, LINE_BYTES_MAX).await?.context("`lar mcp` ended")?;
        let answer: Value = serde_json::from_slice(&line.complete(LINE_BYTES_MAX)?)?;
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
    request(1, "initialize", hello).await?;
    let content = format!("Lar tested the connection of {name} with the word {}.", unique_word());
    let call = |tool: &str, arguments: Value| json!({ "name": tool, "arguments": arguments });
    let saved = request(2, "tools/call", call("memory_save", json!({ "content": content }))).await?;
    let id = saved["structuredContent"]["memory"]["id"].as_str().context("the saved memory has no id")?;
    let search = call("memory_search", json!({ "query": content, "limit": 3 }));
    let found = request(3, "tools/call", search).await;
    let forgotten = request(4, "tools/call", call("memory_forget", json!({ "id": id }))).await;
    // The memory is erased whether or not the other steps failed.
    let erased: anyhow::Result<Value> = client.delete(&format!("memories/{id}?erase=true")).await;
    let found = found?;
    let results = found["structuredContent"]["results"].as_array().cloned().unwrap_or_default();
    if results.iter().all(|hit| hit["id"] != id) {
        bail!("a search did not find the saved memory");
    }
    forgotten?;
    erased?;
    Ok(format!("in {:.1} s", started_at.elapsed().as_secs_f64()))
}

/// Returns a word that is in no other memory.
fn unique_word() -> String {
    lar_base::secret::hex(&lar_base::secret::random_bytes::<6>())
}
