//! Fairness: the time to the first token of one user's question while another user's key loads the model.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lar_base::Instant;
use lar_tests::Lar;
use serde_json::{Value, json};

/// Questions during each load, one after another.
const QUESTIONS: usize = 9;
/// The wait until the load is running.
const LOAD_STARTED_AFTER: Duration = Duration::from_secs(3);
/// The longest wait for an answer. A question without one counts as this long.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);

/// The load of the other key.
struct Load {
    name: &'static str,
    /// The number of connections. Each sends one request after another.
    connections: usize,
    body: fn(usize) -> Value,
    /// Whether the client reads the answers.
    is_read: bool,
}

const LOADS: [Load; 5] = [
    Load { name: "none", connections: 0, body: |_| Value::Null, is_read: true },
    Load { name: "4 endless answers", connections: 4, body: |_| endless(), is_read: true },
    Load {
        name: "4 prompts of 1,100 tokens, repeated",
        connections: 4,
        body: |number| prompt(number, 1_100),
        is_read: true,
    },
    Load {
        name: "4 prompts of 3,500 tokens, repeated",
        connections: 4,
        body: |number| prompt(number, 3_500),
        is_read: true,
    },
    Load { name: "40 unread answers", connections: 40, body: |_| endless(), is_read: false },
];

pub(crate) fn measure() -> anyhow::Result<String> {
    let mut table = format!(
        "The time to the first token of a short question. Another user sends it {QUESTIONS} times, one\n\
         after another, while one key loads the model, which has four slots. A question without a token\n\
         after {0} s counts as {0} s.\n\n\
         | load of one key | median | longest |\n|---|---|---|\n",
        ANSWER_WAIT_MAX.as_secs()
    );
    for load in LOADS {
        let lar = Lar::start_with("[engines]\nconcurrency = 4\n");
        let bea = lar.invite("bea");
        first_token(&lar, &bea, 0)?;
        let stop = AtomicBool::new(false);
        let took = std::thread::scope(|scope| {
            for connection in 0..load.connections {
                let (lar, load, stop) = (&lar, &load, &stop);
                scope.spawn(move || burden(lar, load, connection, stop));
            }
            std::thread::sleep(LOAD_STARTED_AFTER);
            let took = first_tokens(&lar, &bea);
            stop.store(true, Ordering::Relaxed);
            took
        });
        let took = took?;
        let seconds = |at: usize| took[at].as_secs_f64();
        writeln!(
            table,
            "| {} | {:.2} s | {:.2} s |",
            load.name,
            seconds(QUESTIONS / 2),
            seconds(QUESTIONS - 1)
        )?;
    }
    Ok(table)
}

/// Returns a chat whose answer runs to the limit of 7,000 tokens.
fn endless() -> Value {
    json!({
        "model": "default", "stream": true, "max_tokens": 7000, "ignore_eos": true,
        "messages": [{ "role": "user", "content": "Tell a very long story." }],
    })
}

/// Returns a chat with a prompt of about `tokens` tokens. Its beginning is unique, so that nothing is cached.
fn prompt(number: usize, tokens: usize) -> Value {
    let text = format!("{number} ") + &"A train left the old station. ".repeat(tokens / 7);
    json!({
        "model": "default", "stream": true, "max_tokens": 4,
        "messages": [{ "role": "user", "content": text }],
    })
}

/// Sends one request after the other until `stop` is set.
fn burden(lar: &Lar, load: &Load, connection: usize, stop: &AtomicBool) {
    let mut number = connection;
    while !stop.load(Ordering::Relaxed) {
        let body = (load.body)(number).to_string();
        number += load.connections;
        let mut stream = lar.open(&lar.head("POST", "/v1/chat/completions", body.len()), body.as_bytes());
        let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
        let mut buffer = [0; 16 << 10];
        let mut has_started = false;
        while !stop.load(Ordering::Relaxed) {
            if !load.is_read {
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) if !has_started => {
                    assert!(
                        buffer.starts_with(b"HTTP/1.1 200"),
                        "{}",
                        String::from_utf8_lossy(&buffer[..read])
                    );
                    has_started = true;
                }
                Ok(read) if buffer[..read].windows(6).any(|part| part == b"[DONE]") => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
    }
}

/// Sends [`QUESTIONS`] short questions with a key (a line of the head), one after another. Returns the time
/// to the first token of each, sorted.
pub(crate) fn first_tokens(lar: &Lar, key: &str) -> anyhow::Result<Vec<Duration>> {
    let mut took =
        (1..=QUESTIONS).map(|number| first_token(lar, key, number)).collect::<anyhow::Result<Vec<_>>>()?;
    took.sort_unstable();
    Ok(took)
}

/// Sends a question and returns the time to its first token.
fn first_token(lar: &Lar, key: &str, number: usize) -> anyhow::Result<Duration> {
    let body = json!({
        "model": "default", "stream": true, "max_tokens": 8, "ignore_eos": true,
        "messages": [{ "role": "user", "content": format!("What is {number} plus two?") }],
    })
    .to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\n{key}content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        lar.address,
        body.len()
    );
    let started_at = Instant::now();
    let mut stream = TcpStream::connect(&lar.address)?;
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    stream.set_read_timeout(Some(ANSWER_WAIT_MAX))?;
    let (mut all, mut buffer) = (String::new(), [0; 4096]);
    let mut took = None;
    while !all.contains("[DONE]") {
        let read = match stream.read(&mut buffer) {
            Ok(read) => read,
            Err(_) => return Ok(ANSWER_WAIT_MAX),
        };
        anyhow::ensure!(read > 0, "{all}");
        all.push_str(&String::from_utf8_lossy(&buffer[..read]));
        let has_text = || all.split("\"content\":\"").skip(1).any(|rest| !rest.starts_with('"'));
        if took.is_none() && has_text() {
            took = Some(started_at.elapsed());
        }
    }
    Ok(took.unwrap_or_else(|| started_at.elapsed()).min(ANSWER_WAIT_MAX))
}
