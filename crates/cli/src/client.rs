//! The HTTP client of the commands: JSON requests and responses, JSON lines, and event streams.

use std::time::Duration;

use lar_api::ProblemBody;
use lar_base::Secret;
use lar_egress::{Egress, Error, Method, Request, Response, Trust};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The maximum size of a response. The largest are conversations.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// The timeout of a request. Streams and [`Client::post_long`] have none.
const TIMEOUT: Duration = Duration::from_secs(120);

/// An error response of the server.
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
    /// Creates a client of the Lar at `url`, such as `http://127.0.0.1:5270`.
    #[must_use]
    pub fn new(egress: Egress, url: &str, key: Secret) -> Self {
        Self { egress, url: url.trim_end_matches('/').to_owned(), key, space: None }
    }

    /// Returns the URL of the Lar, without a slash at the end.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns this client with another key.
    #[must_use]
    pub fn with_key(&self, key: Secret) -> Self {
        Self { key, ..self.clone() }
    }

    /// Returns this client for the memories of a team space, if `space` is given.
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

    /// Sends a POST request that can take many minutes, such as reading every file of a model. Has no
    /// timeout.
    pub(crate) async fn post_long<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.ask(Method::Post, path, None, None).await
    }

    /// Sends a POST request to one of the compatible APIs.
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
        anyhow::bail!("{}", detail.unwrap_or("the server rejected the request"))
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

    /// Sends a POST request. Returns the response while its body is still arriving.
    pub(crate) async fn stream(&self, path: &str, body: &impl Serialize) -> anyhow::Result<Response> {
        let request = self.request(Method::Post, path).json(body);
        check_status(self.send(request).await?).await
    }

    /// Sends a GET request. Returns the response, of any length, while its body is still arriving.
    pub(crate) async fn download(&self, path: &str) -> anyhow::Result<Response> {
        check_status(self.send(self.request(Method::Get, path)).await?).await
    }

    /// Sends JSON lines in a POST request.
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

    /// Forwards a message of the Model Context Protocol. Returns `None` if it has no response. An error of
    /// the protocol is a response.
    pub(crate) async fn mcp(
        &self,
        tools: &str,
        headers: Vec<(&'static str, String)>,
        message: &Value,
    ) -> anyhow::Result<Option<Value>> {
        let url = format!("{}/mcp?tools={}", self.url, crate::url_path::encode_segment(tools));
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
                anyhow::bail!("{}", problem["detail"].as_str().unwrap_or("the server rejected the message"))
            }
            _ if status < 300 => Ok(None),
            _ => anyhow::bail!("the server answered with status {status}; check that it is a Lar"),
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
                "could not reach Lar at {}. Start it with `lar serve`, or set LAR_URL to its URL",
                self.url
            ),
            Error::TimedOut { .. } => anyhow::anyhow!(
                "Lar at {} did not finish the request within {} s. It may still be working on it: check `lar \
                 ps` and its log before you try again",
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
        Err(_) => anyhow::bail!("the server answered with status {status}; check that it is a Lar"),
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
                "Lar at {url} did not finish the request within 0.05 s. It may still be working on it: check \
                 `lar ps` and its log before you try again"
            )
        );
        drop(silent);
        let error = client_under_test.get::<Value>("me").await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("could not reach Lar at {url}.")), "{error}");
    }
}
