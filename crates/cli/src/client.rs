//! Speaks to a Lar: JSON there and back, and event streams.

use std::time::Duration;

use lar_api::ProblemBody;
use lar_base::Secret;
use lar_egress::{Egress, Error, Method, Request, Response, Trust};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// An answer is not longer than this; the longest are conversations.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// How long a request may take; streams and [`Client::post_long`] have no limit.
const TIMEOUT: Duration = Duration::from_secs(120);

/// An error that the server answered with.
#[derive(Debug, Clone)]
pub struct ApiError(pub ProblemBody);

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.0.detail, self.0.code)
    }
}

impl std::error::Error for ApiError {}

/// A connection to one Lar.
#[derive(Debug, Clone)]
pub struct Client {
    egress: Egress,
    url: String,
    key: Secret,
    space: Option<String>,
}

impl Client {
    /// A client of the Lar at `url`, such as `http://127.0.0.1:5270`.
    #[must_use]
    pub fn new(egress: Egress, url: &str, key: Secret) -> Self {
        Self { egress, url: url.trim_end_matches('/').to_owned(), key, space: None }
    }

    /// Where the Lar is, without a slash at the end.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// This client with another key.
    #[must_use]
    pub fn with_key(&self, key: Secret) -> Self {
        Self { key, ..self.clone() }
    }

    /// This client for the memories of a team's space, where one is named.
    pub(crate) fn in_space(&self, space: Option<String>) -> Self {
        Self { space, ..self.clone() }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.ask(Method::Get, path, None, Some(TIMEOUT)).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        self.ask(Method::Post, path, Some(serde_json::to_value(body)?), Some(TIMEOUT)).await
    }

    /// Posts what may take the server many minutes, such as reading every file of a model; there is no time limit.
    pub(crate) async fn post_long<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.ask(Method::Post, path, None, None).await
    }

    /// Posts to one of the compatible APIs.
    pub(crate) async fn post_compatible(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request =
            self.with_credentials(Request::new(Method::Post, format!("{}{path}", self.url), Trust::Operator));
        let response = self.send(request.timeout(TIMEOUT).json(body)).await?;
        let status = response.status();
        let answer: Value = serde_json::from_slice(&response.bytes(ANSWER_BYTES_MAX).await?)?;
        if status < 400 {
            return Ok(answer);
        }
        let detail = answer["error"]["message"].as_str().or(answer["error"].as_str());
        anyhow::bail!("{}", detail.unwrap_or("the server refused it"))
    }

    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        self.ask(Method::Patch, path, Some(serde_json::to_value(body)?), Some(TIMEOUT)).await
    }

    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.ask(Method::Delete, path, None, Some(TIMEOUT)).await
    }

    /// Posts and returns the answer while its body is still coming.
    pub(crate) async fn stream(&self, path: &str, body: &impl Serialize) -> anyhow::Result<Response> {
        let request = self.request(Method::Post, path).json(body);
        check_status(self.send(request).await?).await
    }

    /// Gets an answer of any length while it is still coming.
    pub(crate) async fn download(&self, path: &str) -> anyhow::Result<Response> {
        check_status(self.send(self.request(Method::Get, path)).await?).await
    }

    /// Posts JSON lines.
    pub(crate) async fn post_lines<T: DeserializeOwned>(
        &self,
        path: &str,
        lines: Vec<u8>,
    ) -> anyhow::Result<T> {
        let request =
            self.request(Method::Post, path).content("application/x-ndjson", lines).read_timeout(None);
        let response = check_status(self.send(request).await?).await?;
        Ok(serde_json::from_slice(&response.bytes(ANSWER_BYTES_MAX).await?)?)
    }

    /// Hands a message of the Model Context Protocol on; `None` where it has no answer. What the protocol calls an
    /// error is an answer.
    pub(crate) async fn mcp(
        &self,
        tools: &str,
        headers: Vec<(&'static str, String)>,
        message: &Value,
    ) -> anyhow::Result<Option<Value>> {
        let url = format!("{}/mcp?tools={}", self.url, crate::models::path(tools));
        let mut request =
            self.with_credentials(Request::new(Method::Post, url, Trust::Operator)).timeout(TIMEOUT);
        request = request.header("accept", "application/json, text/event-stream");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = self.send(request.json(message)).await?;
        let status = response.status();
        let bytes = response.bytes(ANSWER_BYTES_MAX).await?;
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(answer) if answer.get("jsonrpc").is_some() => Ok(Some(answer)),
            Ok(problem) if status >= 400 => {
                anyhow::bail!("{}", problem["detail"].as_str().unwrap_or("the server refused the message"))
            }
            _ if status < 300 => Ok(None),
            _ => anyhow::bail!("the server answered with status {status}; is it a Lar?"),
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        limit: Option<Duration>,
    ) -> anyhow::Result<T> {
        let mut request = self.request(method, path).read_timeout(limit);
        request.timeout = limit;
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = check_status(self.send(request).await?).await?;
        let bytes = response.bytes(ANSWER_BYTES_MAX).await?;
        // 202 and 204 have no body.
        let bytes = if bytes.is_empty() { b"null".to_vec() } else { bytes };
        Ok(serde_json::from_slice(&bytes)?)
    }

    async fn send(&self, request: Request) -> anyhow::Result<Response> {
        let limit = [request.timeout, request.read_timeout].into_iter().flatten().min().unwrap_or(TIMEOUT);
        self.egress.send(request).await.map_err(|error| match error {
            Error::Unreachable { .. } => anyhow::anyhow!(
                "no Lar answers at {}. Start it with `lar serve`, or set LAR_URL to where it runs",
                self.url
            ),
            Error::TimedOut { .. } => anyhow::anyhow!(
                "the Lar at {} did not finish within {} s. It may still be working on this: look at `lar ps` and at its log \
                 before you try again",
                self.url,
                limit.as_secs_f64()
            ),
            other => other.into(),
        })
    }

    fn request(&self, method: Method, path: &str) -> Request {
        self.with_credentials(Request::new(method, format!("{}/lar/v1/{path}", self.url), Trust::Operator))
    }

    fn with_credentials(&self, request: Request) -> Request {
        let request = request.header("authorization", format!("Bearer {}", self.key.expose()));
        match &self.space {
            Some(space) => request.header("x-space", space.clone()),
            None => request,
        }
    }
}

async fn check_status(response: Response) -> anyhow::Result<Response> {
    let status = response.status();
    if status < 400 {
        return Ok(response);
    }
    let bytes = response.bytes(ANSWER_BYTES_MAX).await?;
    match serde_json::from_slice::<ProblemBody>(&bytes) {
        Ok(problem) => Err(ApiError(problem).into()),
        Err(_) => anyhow::bail!("the server answered with status {status}; is it a Lar?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(url: &str) -> Client {
        Client::new(Egress::new().unwrap(), url, Secret::new("lar_key"))
    }

    #[tokio::test]
    async fn a_slow_server_and_a_missing_server_give_different_errors() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let client_under_test = client(&url);
        let request = client_under_test.request(Method::Post, "backups").timeout(Duration::from_millis(50));
        let error = client_under_test.send(request).await.unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "the Lar at {url} did not finish within 0.05 s. It may still be working on this: look at `lar ps` and at its log \
                 before you try again"
            )
        );
        drop(silent);
        let error = client_under_test.get::<Value>("me").await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("no Lar answers at {url}.")), "{error}");
    }
}
