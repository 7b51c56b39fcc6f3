//! Latency and size of the text that clients get from Lar: the brief that a hook prints before a session, the
//! hook that processes a prompt, and the list of MCP tools.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use lar_base::Instant;
use lar_tests::Lar;
use serde_json::{Value, json};

use crate::progress::progress;
use crate::statistics::quantile;

const MEMORIES: usize = 1000;
const RUNS: usize = 200;
/// The most tokens that a brief may have.
const BRIEF_TOKENS: usize = 600;

pub(crate) fn measure() -> anyhow::Result<String> {
    let mut lar = Lar::start();
    progress("  saving memories");
    for start in (0..MEMORIES).step_by(100) {
        let items: Vec<Value> = (start..start + 100)
            .map(|number| {
                let kind = ["fact", "preference", "decision", "event"][number % 4];
                json!({ "content": format!("Item {number} of the list is kept in drawer {} of room {}.", number % 31, number % 7), "kind": kind })
            })
            .collect();
        let made = lar.post("/lar/v1/memories/batch", &json!({ "items": items }));
        anyhow::ensure!(made.status < 300, "{}", made.body);
    }
    let home = tempfile::tempdir()?;
    let data = lar.data().to_owned();
    let run = |arguments: &[&str]| command(home.path(), &data).args(arguments).output();
    let connected = run(&["connect", "claude-code", "--no-check"])?;
    anyhow::ensure!(connected.status.success(), "{}", String::from_utf8_lossy(&connected.stderr));
    progress("  hooks");
    let hook = ["hook", "brief", "--client", "claude-code"];
    let mut took = Vec::with_capacity(RUNS);
    let mut brief = String::new();
    for _ in 0..=RUNS {
        let started_at = Instant::now();
        let done = run(&hook)?;
        took.push(started_at.elapsed().as_secs_f64() * 1000.0);
        brief = String::from_utf8(done.stdout)?;
        anyhow::ensure!(brief.contains("<memory>"), "the brief has no memories");
    }
    // The first run loads the index and the vocabulary.
    let first = took.remove(0);
    let served = calls(&lar)?;
    let hook_times = hook_times(home.path(), &data)?;
    let counts = counts(&lar, &brief, first)?;
    lar.kill();
    let offline = self::hook_times(home.path(), &data)?;
    let mut report = String::from("| measure | p50 ms | p95 ms | p99 ms | aim |\n|---|---|---|---|---|\n");
    for (what, mut took, aim) in [
        ("`lar hook brief`, from start to exit", took, "p95 < 50"),
        ("the same call over HTTP, without the process", served, ""),
        ("`lar hook prompt`, with a request to remember", hook_times, "p95 < 50"),
        ("`lar hook prompt` while Lar is offline: queues the prompt", offline, "p95 < 50"),
    ] {
        took.sort_by(f64::total_cmp);
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|share| quantile(&took, share));
        writeln!(report, "| {what} | {p50:.1} | {p95:.1} | {p99:.1} | {aim} |")?;
    }
    writeln!(report, "\n{counts}")?;
    Ok(report)
}

fn command(home: &Path, data: &Path) -> Command {
    let mut command = Command::new(lar_tests::program());
    command.env_clear().env("HOME", home).env("LAR_DATA_DIR", data);
    command
}

/// Returns the times in ms of a hook that gets a new request to remember in each run.
fn hook_times(home: &Path, data: &Path) -> anyhow::Result<Vec<f64>> {
    let mut took = Vec::with_capacity(RUNS);
    for number in 0..RUNS {
        let said = json!({ "prompt": format!("Remember that parcel {number} weighs {} grams.", number * 7) });
        let mut command = command(home, data);
        command.args(["hook", "prompt", "--client", "claude-code"]).stdin(Stdio::piped());
        let started_at = Instant::now();
        let mut child = command.spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(said.to_string().as_bytes())?;
        }
        anyhow::ensure!(child.wait()?.success(), "a hook failed");
        took.push(started_at.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(took)
}

/// Returns the paragraph on the sizes of the brief, the tool list and the instructions.
fn counts(lar: &Lar, brief: &str, first: f64) -> anyhow::Result<String> {
    let counted = |text: &str| -> anyhow::Result<u64> {
        let counted = lar.post("/v1/responses/input_tokens", &json!({ "model": "default", "input": text }));
        counted.json()["input_tokens"].as_u64().ok_or_else(|| anyhow::anyhow!("{}", counted.body))
    };
    let template = counted("")?;
    let tokens = |text: &str| anyhow::Ok(counted(text)? - template);
    let list = mcp(lar, "tools/list", &json!({}));
    let hello = mcp(
        lar,
        "initialize",
        &json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "bench", "version": "1" } }),
    );
    let instructions = hello["result"]["instructions"].as_str().unwrap_or_default().to_owned();
    Ok(format!(
        "{RUNS} runs with {MEMORIES} stored memories; the first run took {first:.0} ms. The brief has {}\n\
         tokens (limit: {BRIEF_TOKENS}). `tools/list` has {} tokens of JSON (aim: 1,500), `instructions` has\n\
         {} characters (aim: 1,000). The starter model's tokenizer counted the tokens.",
        tokens(brief)?,
        tokens(&list["result"]["tools"].to_string())?,
        instructions.chars().count()
    ))
}

fn mcp(lar: &Lar, method: &str, params: &Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let head = lar.head("POST", "/mcp", body.len()).replacen(
        "content-type",
        "accept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\ncontent-type",
        1,
    );
    lar.raw(&head, body.as_bytes()).json()
}

/// Returns the times in ms of the MCP call that `lar hook brief` makes.
fn calls(lar: &Lar) -> anyhow::Result<Vec<f64>> {
    let mut took = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let started_at = Instant::now();
        let brief = json!({ "name": "memory_brief", "arguments": { "token_budget": BRIEF_TOKENS } });
        let answer = mcp(lar, "tools/call", &brief);
        took.push(started_at.elapsed().as_secs_f64() * 1000.0);
        anyhow::ensure!(answer["result"]["structuredContent"]["memories"].is_array(), "{answer}");
    }
    Ok(took)
}
