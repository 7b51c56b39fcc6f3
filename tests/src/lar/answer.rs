//! An HTTP answer, and how it is parsed.

use serde_json::Value;

/// An HTTP answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status; 0 if the server sent no answer.
    pub status: u16,
    /// The status line and the headers, in lower case.
    pub head: String,
    /// The body, without chunk lengths.
    pub body: String,
}

impl Answer {
    /// Parses the bytes that a server sent until it closed the connection.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let head = head.to_ascii_lowercase();
        let body =
            if head.contains("transfer-encoding: chunked") { unchunked(body) } else { body.to_owned() };
        Self { status, head, body }
    }

    /// Returns the body as JSON; null if it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// Returns the names and data of the events of a stream.
    #[must_use]
    pub fn events(&self) -> Vec<(String, Value)> {
        let block = |block: &str| {
            let field =
                |name: &str| block.lines().find_map(|line| line.strip_prefix(name).map(ToOwned::to_owned));
            let data = field("data: ")?;
            let data = serde_json::from_str(&data).unwrap_or(Value::String(data));
            Some((field("event: ").unwrap_or_default(), data))
        };
        self.body.split("\n\n").filter_map(block).collect()
    }
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let Ok(length) = usize::from_str_radix(length, 16) else { break };
        if length == 0 || rest.len() < length {
            break;
        }
        whole.push_str(&rest[..length]);
        body = rest[length..].trim_start_matches("\r\n");
    }
    whole
}
