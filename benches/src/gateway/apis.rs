//! What each API's encoding adds to OpenAI's chat, by the same engine that answers at once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use lar_tests::Lar;

use super::load::{Measured, open_loop};
use super::{CONFIG, median, quantile_of, start_stub};
use crate::progress;

const ROUNDS: usize = 5;
const RATE: u32 = 100;
const CONNECTIONS: u32 = 16;
const FOR: Duration = Duration::from_secs(3);

/// An API: its name, path, and body but for whether it streams.
const APIS: [(&str, &str, &str); 6] = [
    ("OpenAI chat", "/v1/chat/completions", r#""messages":[MESSAGES],"max_tokens":64"#),
    ("OpenAI chat, again", "/v1/chat/completions", r#""messages":[MESSAGES],"max_tokens":64"#),
    (
        "OpenAI responses, not kept",
        "/v1/responses",
        r#""input":[MESSAGES],"max_output_tokens":64,"store":false"#,
    ),
    ("OpenAI responses, kept", "/v1/responses", r#""input":[MESSAGES],"max_output_tokens":64"#),
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
        "One Lar with its defaults, {RATE} requests a second, one message and 16 tokens of an engine that answers at once.\n\
         Medians of {ROUNDS} interleaved rounds; OpenAI's chat is there twice, and what it differs from itself is noise.\n"
    );
    for stream in [false, true] {
        progress(if stream { "  streaming" } else { "  whole answers" });
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
        let beside = [of(APIS[0].0, 0.5), of(APIS[0].0, 0.99)];
        write!(
            report,
            "\n{}:\n\n| API | p50 ms | p99 ms | beside chat, p50 | p99 | failed |\n|---|---|---|---|---|---|\n",
            super::kind(stream)
        )?;
        for (name, ..) in APIS {
            let (p50, p99) = (of(name, 0.5), of(name, 0.99));
            let failed: u64 = rounds[name].iter().map(|round| round.failed).sum();
            writeln!(
                report,
                "| {name} | {p50:.3} | {p99:.3} | {:+.3} | {:+.3} | {failed} |",
                p50 - beside[0],
                p99 - beside[1]
            )?;
        }
    }
    Ok(report)
}
