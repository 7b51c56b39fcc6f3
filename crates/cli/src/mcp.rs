//! `lar mcp`: forwards the Model Context Protocol from standard input and output to a Lar.
//!
//! Each line is one message, and is posted to `/mcp`. That endpoint has no sessions, so messages can be
//! answered in any order, and a restart of Lar does no harm. Only messages are written to standard output.

use std::sync::{Arc, Mutex, PoisonError};

use lar_base::lines::read_line;
use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::task::JoinSet;

use crate::Client;
use crate::output::plain_json;

/// The maximum number of bytes of a message: a memory of 1 MiB, whose characters JSON may escape, and its fields.
pub(crate) const LINE_BYTES_MAX: usize = 4 << 20;
/// The maximum number of requests at the same time.
const CONCURRENT_REQUESTS_MAX: usize = 16;
/// The field with the protocol version in each message. In revisions without this field, a client sends its
/// version only in `initialize`.
const VERSION_IN_META: &str = "io.modelcontextprotocol/protocolVersion";
/// The error code for a message that could not be forwarded, from JSON-RPC's range for servers.
const FORWARD_FAILED: i64 = -32000;
/// JSON-RPC's error code for a message that is not valid JSON.
const PARSE_FAILED: i64 = -32700;

/// The arguments of `lar mcp`.
#[derive(Debug, Clone, clap::Args)]
pub struct McpArgs {
    /// The connected client whose key is used (see `lar connect`)
    #[arg(long)]
    pub(crate) client: Option<String>,
    /// The tools to offer: lar, vestige or all
    #[arg(long, default_value = "lar")]
    tools: String,
    /// Use the memories of this team space
    #[arg(long)]
    space: Option<String>,
}

/// Forwards messages until standard input ends.
pub(crate) async fn run(client: &Client, args: McpArgs) -> anyhow::Result<()> {
    let client = client.in_space(args.space);
    let mut input = BufReader::new(tokio::io::stdin());
    let version = Arc::new(Mutex::new(None));
    let mut running = JoinSet::new();
    while let Some(line) = read_line(&mut input, LINE_BYTES_MAX).await? {
        if line.is_truncated {
            write(&failed(&Value::Null, PARSE_FAILED, "the message is longer than 4 MiB")).await?;
            continue;
        }
        if line.bytes.trim_ascii().is_empty() {
            continue;
        }
        let message = match serde_json::from_slice::<Value>(&line.bytes) {
            Ok(message) => message,
            Err(error) => {
                write(&failed(&Value::Null, PARSE_FAILED, &format!("the line is not valid JSON: {error}")))
                    .await?;
                continue;
            }
        };
        // `initialize` sets the protocol version for the other messages, so they wait for it. The others run
        // in parallel.
        let first = message["method"] == "initialize";
        let (client, set, version) = (client.clone(), args.tools.clone(), version.clone());
        let forward = async move { answer(&client, &set, &version, message).await };
        if first {
            forward.await?;
        } else {
            running.spawn(forward);
        }
        while running.len() >= CONCURRENT_REQUESTS_MAX {
            running.join_next().await.transpose()?.transpose()?;
        }
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}

async fn answer(
    client: &Client,
    set: &str,
    version: &Mutex<Option<String>>,
    message: Value,
) -> anyhow::Result<()> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let id = message.get("id").cloned();
    let in_message = text(&message["params"]["_meta"][VERSION_IN_META]);
    let initialized = version.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let headers = [
        ("mcp-protocol-version", in_message.or(initialized)),
        ("mcp-method", text(&message["method"])),
        ("mcp-name", text(&message["params"]["name"])),
    ];
    let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value?)));
    match (client.mcp(set, headers.collect(), &message).await, id) {
        (Ok(Some(answered)), _) => {
            if let Some(agreed) = text(&answered["result"]["protocolVersion"]) {
                *version.lock().unwrap_or_else(PoisonError::into_inner) = Some(agreed);
            }
            write(&answered).await
        }
        (Ok(None), _) => Ok(()),
        (Err(error), Some(id)) => write(&failed(&id, FORWARD_FAILED, &format!("{error:#}"))).await,
        // A notification has no response.
        (Err(_), None) => Ok(()),
    }
}

fn failed(id: &Value, code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}

/// Writes a message as one line.
async fn write(message: &Value) -> anyhow::Result<()> {
    let line = format!("{}\n", plain_json(&message.to_string()));
    let mut output = tokio::io::stdout();
    output.write_all(line.as_bytes()).await?;
    Ok(output.flush().await?)
}
