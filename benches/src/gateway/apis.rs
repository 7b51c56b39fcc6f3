//! The latency of each compatible API compared with OpenAI's chat, in front of the same stub engine.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use lar_tests::Lar;

use super::load::{Measured, open_loop};
use super::{CONFIG, start_stub};
use crate::progress::progress;
use crate::statistics::{median, quantile_of};

const ROUNDS: usize = 5;
const RATE: u32 = 100;
const CONNECTIONS: u32 = 16;
const FOR: Duration = Duration::from_secs(3);

/// The name, path and body of a request for each API. The body lacks `model` and `stream`.
const APIS: [(&str, &str, &str); 6] = [
    ("OpenAI chat", "/v1/chat/completions", r#""messages":[MESSAGES],"max_tokens":64"#),
    ("OpenAI chat, again", "/v1/chat/completions", r#""messages":[MESSAGES],"max_tokens":64"#),
    (
        "OpenAI responses, not stored",
        "/v1/responses",
        r#""input":[MESSAGES],"max_output_tokens":64,"store":false"#,
    ),
    ("OpenAI responses, stored", "/v1/responses", r#""input":[MESSAGES],"max_output_tokens":64"#),
    ("Anthropic messages", "/v1/messages", r#""messages":[MESSAGES],"max_tokens":64"#),
    ("Ollama chat", "/api/chat", r#""messages":[MESSAGES],"options":{"num_predict":64}"#),
];
const MESSAGES: &str =
    r#"{"role":"user","content":"You are a helpful assistant. Say a word sixteen times, please."}"#;

pub(crate) fn measure() -> anyhow::Result<String> {
    let (_stub, address) = start_stub()?;
    let config = format!(
        "{CONFIG}[limits]\nrequests_per_minute = 0\n[[remote]]\nname = \"stub\"\nurl = \"http://{address}\"\n"
    );
    let lar = Lar::start_logging(&config, "info");
    let at: SocketAddr = lar.address.parse()?;
    let mut report = format!(
        "Latency of each API of one Lar with its default settings, compared with OpenAI's chat. The engine\n\
         is the stub of the section above. A request has one message and gets 16 tokens. Medians of {ROUNDS}\n\
         interleaved rounds. OpenAI's chat is measured twice; the difference is noise.\n"
    );
    for stream in [false, true] {
        progress(&format!("  {}", super::kind(stream)));
        let mut rounds: BTreeMap<&str, Vec<Measured>> = BTreeMap::new();
        for _ in 0..ROUNDS {
            for (name, path, body) in APIS {
                let body = format!(
                    "{{\"model\":\"stub\",\"stream\":{stream},{}}}",
                    body.replace("MESSAGES", MESSAGES)
                );
                let request = format!(
                    "POST {path} HTTP/1.1\r\nhost: {at}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    Lar::KEY,
                    body.len()
                );
                rounds.entry(name).or_default().push(open_loop(
                    at,
                    request.as_bytes(),
                    RATE,
                    CONNECTIONS,
                    FOR,
                ));
            }
        }
        let of = |name: &str, share: f64| {
            median(rounds[name].iter().map(|round| quantile_of(&round.latencies, share)).collect())
        };
        let chat = [of(APIS[0].0, 0.5), of(APIS[0].0, 0.99)];
        write!(
            report,
            "\n{RATE} requests/s, {}:\n\n| API | p50 ms | p99 ms | p50 − chat | p99 − chat | failed |\n|---|---|---|---|---|---|\n",
            super::kind(stream)
        )?;
        for (name, ..) in APIS {
            let (p50, p99) = (of(name, 0.5), of(name, 0.99));
            let failed: u64 = rounds[name].iter().map(|round| round.failed).sum();
            writeln!(
                report,
                "| {name} | {p50:.3} | {p99:.3} | {:+.3} | {:+.3} | {failed} |",
                p50 - chat[0],
                p99 - chat[1]
            )?;
        }
    }
    Ok(report)
}
