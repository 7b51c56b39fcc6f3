//! `lar mcp`: the Model Context Protocol over standard input and output, handed on to a Lar.
//!
//! One message a line. Each is posted to `/mcp`, which keeps no sessions, so that the lines may be answered in any order
//! and a restarted Lar goes on. Only messages are written to standard output.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::task::JoinSet;

use crate::Client;
use crate::output::plain_json;

/// Bytes of a line at most.
const LINE_BYTES_MAX: usize = 4 << 20;
/// Requests that are answered at the same time.
const CONCURRENT_REQUESTS_MAX: usize = 16;
/// Of a revision before this one a client tells which it speaks once, at the beginning.
const VERSION_IN_META: &str = "io.modelcontextprotocol/protocolVersion";
/// "The message could not be handed on", of JSON-RPC's codes for servers.
const FORWARD_FAILED: i64 = -32000;
const PARSE_FAILED: i64 = -32700;

/// What to offer.
#[derive(Debug, Clone, clap::Args)]
pub struct McpArgs {
    /// The client that was connected (`lar connect`), whose key is used
    #[arg(long)]
    pub(crate) client: Option<String>,
    /// The tools that are listed: lar, vestige or all
    #[arg(long, default_value = "lar")]
    tools: String,
    /// The team's space whose memories are meant
    #[arg(long)]
    space: Option<String>,
}

/// Serves until standard input ends.
pub(crate) async fn run(client: &Client, args: McpArgs) -> anyhow::Result<()> {
    let client = client.in_space(args.space);
    let mut input = BufReader::new(tokio::io::stdin());
    let version = Arc::new(Mutex::new(None));
    let mut under_way = JoinSet::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let most = LINE_BYTES_MAX as u64 + 1;
        if (&mut input).take(most).read_until(b'\n', &mut line).await? == 0 {
            break;
        }
        if line.len() > LINE_BYTES_MAX {
            write(&failed(&Value::Null, PARSE_FAILED, "the message is too long")).await?;
            if line.last() != Some(&b'\n') && !skip_line(&mut input).await? {
                break;
            }
            continue;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let message = match serde_json::from_slice::<Value>(&line) {
            Ok(message) => message,
            Err(error) => {
                write(&failed(&Value::Null, PARSE_FAILED, &format!("the line is no JSON: {error}"))).await?;
                continue;
            }
        };
        // The first says what is spoken from then on; the others need not wait for each other.
        let first = message["method"] == "initialize";
        let (client, set, version) = (client.clone(), args.tools.clone(), version.clone());
        let forward = async move { answer(&client, &set, &version, message).await };
        if first {
            forward.await?;
        } else {
            under_way.spawn(forward);
        }
        while under_way.len() >= CONCURRENT_REQUESTS_MAX {
            under_way.join_next().await.transpose()?.transpose()?;
        }
    }
    while let Some(done) = under_way.join_next().await {
        done??;
    }
    Ok(())
}

/// Reads to the end of the line and keeps none of it; says whether the line ended before the input did.
async fn skip_line(input: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<bool> {
    loop {
        let read = input.fill_buf().await?;
        let (length, end) = (read.len(), read.iter().position(|byte| *byte == b'\n'));
        match end {
            Some(at) => {
                input.consume(at + 1);
                return Ok(true);
            }
            None if length == 0 => return Ok(false),
            None => input.consume(length),
        }
    }
}

async fn answer(
    client: &Client,
    set: &str,
    version: &Mutex<Option<String>>,
    message: Value,
) -> anyhow::Result<()> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let id = message.get("id").cloned();
    let said = text(&message["params"]["_meta"][VERSION_IN_META]);
    let known = version.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let headers = [
        ("mcp-protocol-version", said.or(known)),
        ("mcp-method", text(&message["method"])),
        ("mcp-name", text(&message["params"]["name"])),
    ];
    let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value?)));
    match (client.mcp(set, headers.collect(), &message).await, id) {
        (Ok(Some(answered)), _) => {
            if let Some(spoken) = text(&answered["result"]["protocolVersion"]) {
                *version.lock().unwrap_or_else(PoisonError::into_inner) = Some(spoken);
            }
            write(&answered).await
        }
        (Ok(None), _) => Ok(()),
        (Err(error), Some(id)) => write(&failed(&id, FORWARD_FAILED, &format!("{error:#}"))).await,
        // Nobody waits for the answer to a notification.
        (Err(_), None) => Ok(()),
    }
}

fn failed(id: &Value, code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}

/// Writes a message as one line, whole.
async fn write(message: &Value) -> anyhow::Result<()> {
    let line = format!("{}\n", plain_json(&message.to_string()));
    let mut output = tokio::io::stdout();
    output.write_all(line.as_bytes()).await?;
    Ok(output.flush().await?)
}
