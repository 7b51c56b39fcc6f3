//! Bad requests, and connections that clients open and do not finish.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use anyhow::Context as _;
use lar_tests::Lar;
use serde_json::{Value, json};

use crate::soak::client::{Client, shown};

/// Requests over one connection.
const REQUESTS_PER_CONNECTION: usize = 5;
const SILENT_CONNECTIONS: usize = 4;
/// The length of a body that exceeds `limits.body`.
const BODY_BYTES_TOO_MANY: usize = 20_000_000;

/// Sends requests that the server rejects, each for another reason.
pub(super) fn bad_requests(client: &mut Client<'_>) -> anyhow::Result<()> {
    let number = client.number();
    let messages = json!([{ "role": "user", "content": "Hello" }]);
    let chat = "/v1/chat/completions";
    for (status, method, path, body) in [
        (400, "POST", chat, json!({ "model": "default" })),
        (400, "POST", chat, json!({ "model": "default", "messages": messages, "temperature": number + 3 })),
        (404, "POST", chat, json!({ "model": format!("none-{number}"), "messages": messages })),
        (405, "DELETE", chat, Value::Null),
        (404, "GET", &format!("/v1/none-{number}"), Value::Null),
        (400, "POST", "/lar/v1/memories", json!({ "content": "" })),
        (404, "GET", &format!("/lar/v1/memories/none-{number}"), Value::Null),
        (403, "GET", "/lar/v1/users", Value::Null),
    ] {
        client.expect(status, method, path, &body)?;
    }
    let key = format!("authorization: Bearer lar_wrong_{number}\r\n");
    let head = |key: &str, length: usize| {
        format!(
            "POST {chat} HTTP/1.1\r\nhost: {}\r\n{key}content-type: application/json\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n",
            client.lar.address
        )
    };
    for (status, head, body) in [
        (401, head(&key, 2), "{}"),
        (413, head(&client.key, BODY_BYTES_TOO_MANY), "{"),
        (400, head(&client.key, 9), "{\"model\":"),
        (400, "no HTTP at all\r\n\r\n".to_owned(), ""),
    ] {
        client.count_request();
        // Reads only the first line: the server waits for the rest of a rejected body before it closes the
        // connection.
        let (socket, mut line) = (client.lar.open(&head, body.as_bytes()), String::new());
        BufReader::new(socket).read_line(&mut line)?;
        anyhow::ensure!(line.starts_with(&format!("HTTP/1.1 {status} ")), "{status} expected: {line}");
    }
    Ok(())
}

/// Opens connections that send nothing, half of a head or half of a body and then disconnect, and one that
/// sends several requests.
pub(super) fn connections(client: &mut Client<'_>) -> anyhow::Result<()> {
    let Lar { address, .. } = client.lar;
    let silent: Vec<TcpStream> =
        (0..SILENT_CONNECTIONS).map(|_| TcpStream::connect(address)).collect::<Result<_, _>>()?;
    let start = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\n{}", client.key);
    let mut half_head = TcpStream::connect(address)?;
    half_head.write_all(start.as_bytes())?;
    let mut half_body = TcpStream::connect(address)?;
    half_body.write_all(
        format!("{start}content-type: application/json\r\ncontent-length: 500\r\n\r\n{{").as_bytes(),
    )?;

    let mut used = BufReader::new(TcpStream::connect(address)?);
    let request = format!("GET /lar/v1/me HTTP/1.1\r\nhost: {address}\r\n{}\r\n", client.key);
    for _ in 0..REQUESTS_PER_CONNECTION {
        client.count_request();
        used.get_mut().write_all(request.as_bytes())?;
        read_answer(&mut used)?;
    }
    drop((silent, half_head, half_body));
    Ok(())
}

/// Reads one answer from a connection that stays open.
fn read_answer(reader: &mut BufReader<TcpStream>) -> anyhow::Result<()> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        anyhow::ensure!(reader.read_line(&mut head)? > 0, "the connection was closed: {}", shown(&head));
    }
    anyhow::ensure!(head.starts_with("HTTP/1.1 200"), "{}", shown(&head));
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.context("the answer has no length")?];
    reader.read_exact(&mut body)?;
    Ok(())
}
