//! A client of the run: a key, the memories that it made and did not erase yet, and how it sends requests.

use std::collections::VecDeque;
use std::net::TcpStream;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use lar_tests::{Answer, Lar};
use serde_json::{Value, json};

use super::uses::{USES, Use};
use super::{CLIENTS, Shared};

/// Memories that a client has at once.
const MEMORIES_MAX: usize = 20;
/// Bytes of an answer that an error shows.
const SHOWN_BYTES: usize = 300;

pub(super) struct Client<'a> {
    pub(super) lar: &'a Lar,
    /// The header that carries its key.
    pub(super) key: String,
    shared: &'a Shared,
    index: usize,
    /// Uses that it began.
    step: usize,
    memories: VecDeque<String>,
}

impl<'a> Client<'a> {
    /// Invites somebody, whose client this is.
    pub(super) fn new(lar: &'a Lar, shared: &'a Shared, index: usize) -> Self {
        let key = lar.invite(&format!("person-{index}"));
        Self { lar, key, shared, index, step: 0, memories: VecDeque::new() }
    }

    /// Does one use after the other until the run is over. Clients begin at different ones.
    pub(super) fn work(&mut self) {
        while !self.shared.is_over() {
            let at = (self.step + self.index * USES.len() / CLIENTS) % USES.len();
            let (name, run) = USES[at];
            let done = {
                let _busy = self.shared.quiet.read().unwrap_or_else(PoisonError::into_inner);
                self.use_once(run)
            };
            self.shared.uses[at].fetch_add(1, Ordering::Relaxed);
            if let Err(error) = done {
                self.shared.note_failure(name, &error);
            }
        }
    }

    pub(super) fn use_once(&mut self, run: Use) -> anyhow::Result<()> {
        self.step += 1;
        run(self)
    }

    /// A number that no other use of any client has, to make texts differ.
    pub(super) fn number(&self) -> usize {
        self.step * CLIENTS + self.index
    }

    /// Which of `count` ways to do something, each in turn.
    pub(super) fn variant(&self, count: usize) -> usize {
        (self.step / USES.len() + self.index) % count
    }

    /// Sends a request and reads its whole answer.
    pub(super) fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.count_request();
        self.lar.send_with(&self.key, method, path, body)
    }

    /// [`Client::send`] where only this status is right.
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
            answer.status,
            shown(&answer.body)
        );
        Ok(answer)
    }

    /// [`Client::expect`] with POST and 200.
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
        self.count_request();
        let headers = format!(
            "{}accept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\n",
            self.key
        );
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = self.lar.send_with(&headers, "POST", "/mcp", &body);
        let result = answer.json()["result"].clone();
        anyhow::ensure!(
            result.is_object() && result["isError"] != true,
            "{method}: {} {}",
            answer.status,
            shown(&answer.body)
        );
        Ok(result)
    }

    /// Counts a request that is sent by other means.
    pub(super) fn count_request(&self) {
        self.shared.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes a memory that was made, and erases the oldest beyond [`MEMORIES_MAX`].
    pub(super) fn keep_memory(&mut self, id: &str) -> anyhow::Result<()> {
        // A memory that was merged with a known one has the known one's id.
        if !self.memories.iter().any(|known| known == id) {
            self.memories.push_back(id.to_owned());
        }
        while self.memories.len() > MEMORIES_MAX {
            let Some(oldest) = self.memories.pop_front() else { break };
            let path = format!("/lar/v1/memories/{oldest}");
            // A memory that is only forgotten stays for 30 days, so it is erased after that.
            if self.variant(2) == 0 {
                self.expect(204, "DELETE", &path, &Value::Null)?;
            }
            self.expect(204, "DELETE", &format!("{path}?erase=true"), &Value::Null)?;
        }
        Ok(())
    }
}

/// The beginning of a text.
pub(super) fn shown(text: &str) -> &str {
    &text[..text.floor_char_boundary(SHOWN_BYTES)]
}
