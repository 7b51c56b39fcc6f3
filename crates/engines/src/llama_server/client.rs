//! Requests to a llama-server with a single answer.

use std::time::Duration;

use lar_base::Secret;
use lar_egress::{Egress, Method, Request, Trust};
use serde::Serialize;
use serde_json::Value;

use lar_inference::Error;

/// The time limit of such a request.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(30);
/// The time limit of a health check.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The address of a server and the key for it.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) egress: Egress,
    /// Without a trailing slash.
    pub(super) url: String,
    pub(super) key: Option<Secret>,
}

impl Client {
    pub(super) fn request(&self, method: Method, path: &str) -> Request {
        // The requests change nothing, so they may be repeated. If a generation starts twice, the closed
        // connection stops one.
        let request = Request::new(method, format!("{}{path}", self.url), Trust::Operator).repeatable();
        match &self.key {
            Some(key) => request.header("authorization", format!("Bearer {}", key.expose())),
            None => request,
        }
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, Error> {
        self.ask(path, self.request(Method::Get, path)).await
    }

    pub(super) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Value, Error> {
        self.ask(path, self.request(Method::Post, path).json(body)).await
    }

    pub(super) async fn healthy(&self) -> bool {
        let request = self.request(Method::Get, "/health").timeout(HEALTH_TIMEOUT);
        self.egress.send(request).await.is_ok_and(|response| response.status() == 200)
    }

    async fn ask(&self, path: &str, request: Request) -> Result<Value, Error> {
        let failed = |reason: String| Error::Failed(format!("llama-server {path}: {reason}"));
        let sent = self.egress.send(request.timeout(QUESTION_TIMEOUT)).await;
        let response = sent.map_err(|error| failed(error.to_string()))?;
        let status = response.status();
        let bytes = response.bytes(ANSWER_BYTES_MAX).await.map_err(|error| failed(error.to_string()))?;
        match status {
            200 => serde_json::from_slice(&bytes)
                .map_err(|error| failed(format!("its answer is not JSON: {error}"))),
            _ => Err(refusal(path, status, &bytes)),
        }
    }
}

/// Turns an answer with another status than 200 into an error.
pub(super) fn refusal(path: &str, status: u16, body: &[u8]) -> Error {
    let answer: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let error = &answer["error"];
    let message = error["message"].as_str().unwrap_or("no reason given");
    if error["type"] == "exceed_context_size_error" {
        return Error::ContextTooLong(match (error["n_prompt_tokens"].as_u64(), error["n_ctx"].as_u64()) {
            (Some(tokens), Some(context)) => {
                format!("prompt is too long: {tokens} tokens > {} maximum", context.saturating_sub(1))
            }
            _ => format!("the prompt does not fit the model's context: {message}"),
        });
    }
    Error::Failed(format!("llama-server {path}: status {status}: {message}"))
}
