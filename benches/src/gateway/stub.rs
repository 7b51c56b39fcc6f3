//! The stub engine: a server that answers immediately, with the APIs of OpenAI and llama-server.
//!
//! With it, a benchmark measures only the gateway between the client and the engine. This is the only place
//! where an engine may be a stub.

use std::convert::Infallible;
use std::io::Write as _;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

/// The number of tokens of every answer.
pub(super) const TOKENS: usize = 16;
const WORD: &str = " word";

/// Serves on a free port, prints its address, and exits when standard input ends.
pub(crate) fn serve() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
        std::thread::spawn(|| {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            std::process::exit(0);
        });
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            tokio::spawn(async move {
                let connection = hyper::server::conn::http1::Builder::new();
                let service = hyper::service::service_fn(answer);
                let _ = connection.serve_connection(TokioIo::new(socket), service).await;
            });
        }
    })
}

async fn answer(request: Request<Incoming>) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = request.into_body().collect().await?.to_bytes();
    let found = match (method, path.as_str()) {
        (Method::POST, "/v1/chat/completions") => {
            if contains(&body, b"\"stream\":true") || contains(&body, b"\"stream\": true") {
                return Ok(events());
            }
            whole()
        }
        (Method::GET, "/health") => r#"{"status":"ok"}"#.into(),
        (Method::GET, "/props") => {
            r#"{"total_slots":1024,"default_generation_settings":{"n_ctx":8192}}"#.into()
        }
        (Method::GET, "/slots") => "[]".into(),
        (Method::GET, "/v1/models") => {
            r#"{"object":"list","data":[{"id":"stub","object":"model","created":1,"owned_by":"stub"}]}"#
                .into()
        }
        (Method::GET, "/get_server_info" | "/server_info" | "/get_model_info" | "/model_info") => {
            r#"{"model_path":"stub","served_model_name":"stub"}"#.into()
        }
        _ => {
            let mut missing = json(r#"{"error":{"message":"not here"}}"#.into());
            *missing.status_mut() = StatusCode::NOT_FOUND;
            return Ok(missing);
        }
    };
    Ok(json(found))
}

fn contains(body: &[u8], what: &[u8]) -> bool {
    body.windows(what.len()).any(|window| window == what)
}

fn json(body: String) -> Response<BoxBody<Bytes, Infallible>> {
    let mut response = Response::new(Full::new(Bytes::from(body)).boxed());
    response
        .headers_mut()
        .insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    response
}

fn whole() -> String {
    let text = WORD.repeat(TOKENS);
    format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"stub","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":12,"completion_tokens":{TOKENS},"total_tokens":{}}}}}"#,
        12 + TOKENS
    )
}

fn events() -> Response<BoxBody<Bytes, Infallible>> {
    let chunk = |choices: &str, more: &str| {
        let text = format!(
            "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"stub\",\"choices\":[{choices}]{more}}}\n\n"
        );
        Bytes::from(text)
    };
    let delta = format!(r#"{{"index":0,"delta":{{"content":"{WORD}"}},"finish_reason":null}}"#);
    let mut chunks = vec![chunk(&delta, ""); TOKENS];
    chunks.push(chunk(r#"{"index":0,"delta":{},"finish_reason":"stop"}"#, ""));
    let usage = format!(
        r#","usage":{{"prompt_tokens":12,"completion_tokens":{TOKENS},"total_tokens":{}}}"#,
        12 + TOKENS
    );
    chunks.push(chunk("", &usage));
    chunks.push(Bytes::from_static(b"data: [DONE]\n\n"));
    let frames = chunks.into_iter().map(|chunk| Ok(Frame::data(chunk)));
    let mut response = Response::new(StreamBody::new(stream::iter(frames)).boxed());
    let kind = hyper::header::HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert("content-type", kind);
    response
}
