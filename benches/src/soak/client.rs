//! A client of the soak test: its key, the memories that it has not erased yet, and the requests that it
//! sends.

use std::cell::Cell;
use std::collections::VecDeque;
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lar_base::{Instant, Timestamp};
use lar_tests::{Answer, Lar};
use serde_json::{Value, json};

use super::shared::Shared;

/// The most memories that a client has stored at the same time.
const MEMORIES_MAX: usize = 20;
/// The most bytes of an answer that an error shows.
const SHOWN_BYTES: usize = 300;
/// The wait until a task whose client disconnected is recorded as ended: the engine has finished a step by
/// then.
const SETTLED_AFTER: Duration = Duration::from_secs(3);
/// The metrics that are printed with a use that failed.
const NUMBERS: [&str; 4] = ["lar_queue_", "lar_active_leases{", "lar_pool_ready{", "lar_model_state{"];

pub(super) struct Client<'a> {
    pub(super) lar: &'a Lar,
    /// The header with its key.
    pub(super) key: String,
    pub(super) shared: &'a Shared,
    index: usize,
    /// The number of uses that it has started.
    step: usize,
    /// The index of the current use.
    at: usize,
    /// The time of its last request.
    took: Cell<Duration>,
    memories: VecDeque<String>,
}

impl<'a> Client<'a> {
    /// Invites a user and creates their client.
    pub(super) fn new(lar: &'a Lar, shared: &'a Shared, index: usize) -> Self {
        let key = lar.invite(&format!("person-{index}"));
        let (took, memories) = (Cell::default(), VecDeque::new());
        Self { lar, key, shared, index, step: 0, at: 0, took, memories }
    }

    /// Returns the index of the next use. Clients start at different uses.
    pub(super) fn next_use(&self) -> usize {
        let uses = self.shared.uses.len();
        (self.step + self.index * uses / self.shared.clients) % uses
    }

    /// Counts a use that starts now. The times of the requests that follow are recorded for it.
    pub(super) fn start_use(&mut self, at: usize) {
        self.step += 1;
        self.at = at;
    }

    /// Describes a failed use: its age, the time of its last complete request, the metrics of the server's
    /// queues, and this client's newest tasks once they have ended. A task without `queue_ms` never had a
    /// lease, one without `ttft_ms` never had a token.
    pub(super) fn describe_failure(&self, started_at: Instant) -> String {
        let (age, took) = (started_at.elapsed().as_secs_f64(), self.took.get().as_secs_f64());
        let now = Timestamp::now();
        let metrics = self.lar.get("/metrics").body;
        let numbers = metrics.lines().filter(|line| NUMBERS.iter().any(|name| line.starts_with(name)));
        let numbers: Vec<&str> = numbers.collect();
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        std::thread::sleep(SETTLED_AFTER);
        let tasks = self.lar.send_with(&self.key, "GET", "/lar/v1/tasks?limit=3", &Value::Null).json();
        format!(
            " [after {age:.1} s, the last request {took:.1} s, at {now}; load {}; {}; tasks {}]",
            load.trim(),
            numbers.join(", "),
            tasks["data"]
        )
    }

    /// Counts a request, sends it and records the time until its answer.
    fn timed(&self, send: impl FnOnce() -> Answer) -> Answer {
        self.count_request();
        let started_at = Instant::now();
        let answer = send();
        let took = started_at.elapsed();
        self.took.set(took);
        self.shared.uses[self.at].record_request(took);
        answer
    }

    /// Returns a number that no other use of any client has, so that texts differ.
    pub(super) fn number(&self) -> usize {
        self.step * self.shared.clients + self.index
    }

    /// Returns which of `count` variants of a use is next. The variants alternate.
    pub(super) fn variant(&self, count: usize) -> usize {
        (self.step / self.shared.uses.len() + self.index) % count
    }

    /// Sends a request and reads its whole answer.
    pub(super) fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.timed(|| self.lar.send_with(&self.key, method, path, body))
    }

    /// Sends a request and returns an error if the answer has another status.
    pub(super) fn expect(
        &self,
        status: u16,
        method: &str,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<Answer> {
        let answer = self.send(method, path, body);
        anyhow::ensure!(
            answer.status == status,
            "{method} {path}: {} {}",
            status_of(&answer),
            shown(&answer.body)
        );
        Ok(answer)
    }

    /// Sends a POST request and returns an error unless the status is 200.
    pub(super) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.expect(200, "POST", path, body)
    }

    /// Sends a request and returns its connection without reading.
    pub(super) fn open(&self, path: &str, body: &Value) -> TcpStream {
        self.count_request();
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\n{}content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.lar.address,
            self.key,
            body.len()
        );
        self.lar.open(&head, body.as_bytes())
    }

    /// Sends a request of the Model Context Protocol and returns its result.
    pub(super) fn mcp(&self, method: &str, params: &Value) -> anyhow::Result<Value> {
        let headers = format!(
            "{}accept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\n",
            self.key
        );
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = self.timed(|| self.lar.send_with(&headers, "POST", "/mcp", &body));
        let result = answer.json()["result"].clone();
        anyhow::ensure!(
            result.is_object() && result["isError"] != true,
            "{method}: {} {}",
            status_of(&answer),
            shown(&answer.body)
        );
        Ok(result)
    }

    /// Counts a request that the caller sends itself.
    pub(super) fn count_request(&self) {
        self.shared.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds a memory to those of this client, and erases the oldest ones beyond [`MEMORIES_MAX`].
    pub(super) fn keep_memory(&mut self, id: &str) -> anyhow::Result<()> {
        // A text that was merged into an existing memory has that memory's id.
        if !self.memories.iter().any(|known| known == id) {
            self.memories.push_back(id.to_owned());
        }
        while self.memories.len() > MEMORIES_MAX {
            let Some(oldest) = self.memories.pop_front() else { break };
            let path = format!("/lar/v1/memories/{oldest}");
            // A forgotten memory stays for 30 days, so it must also be erased.
            if self.variant(2) == 0 {
                self.expect(204, "DELETE", &path, &Value::Null)?;
            }
            self.expect(204, "DELETE", &format!("{path}?erase=true"), &Value::Null)?;
        }
        Ok(())
    }
}

/// Returns the status of an answer. An answer that came too late, or whose connection was closed, has none;
/// the time of the request shows which.
fn status_of(answer: &Answer) -> String {
    if answer.status == 0 { "no answer".to_owned() } else { answer.status.to_string() }
}

/// Returns the start of a text.
pub(super) fn shown(text: &str) -> &str {
    &text[..text.floor_char_boundary(SHOWN_BYTES)]
}
