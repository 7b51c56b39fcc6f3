//! What bodies that are never finished take of the server's memory. What large requests for embeddings take is measured in
//! `bounded/embeddings.rs`.

pub(crate) mod embeddings;

use std::fmt::Write as _;

use lar_tests::{Lar, half_sent};

use crate::fairness::first_tokens;

const SENDERS: usize = 80;
const LENGTH: usize = 15_000_000;

pub(crate) fn bodies() -> anyhow::Result<String> {
    let body = [b"{\"secret\":\"".as_slice(), &vec![b'a'; LENGTH - 100]].concat();
    let mut text = format!(
        "{SENDERS} connections at once, each with a body of {} MB of which the end never comes. The server's memory before, at \
         its peak, and when the senders have gone; and the first token of a question of a few words by another person while \
         they wait. A release that bounded nothing went from 388 to 1,517 MB with the first of these, and stayed there.\n\n\
         | load | before | peak | after | first token, median | longest |\n|---|---|---|---|---|---|\n",
        LENGTH / 1_000_000
    );
    let key = format!("authorization: Bearer {}\r\n", Lar::KEY);
    for (load, path, key) in [
        ("sign-ins, without a key", "/lar/v1/sign-in", ""),
        ("chats, without a key", "/v1/chat/completions", ""),
        ("chats of one key", "/v1/chat/completions", &key),
        ("embeddings of one key", "/v1/embeddings", &key),
    ] {
        let lar = Lar::start();
        let bea = lar.invite("bea");
        first_tokens(&lar, &bea)?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {0}\r\norigin: http://{0}\r\n{key}content-type: application/json\r\n\
             content-length: {LENGTH}\r\n\r\n",
            lar.address
        );
        lar.forget_peak();
        let (before, _) = lar.memory();
        let sockets = half_sent(&lar.address, SENDERS, &head, &body);
        let (_, peak) = lar.memory();
        let took = first_tokens(&lar, &bea)?;
        drop(sockets);
        // The server has noticed that they are gone when it answers a later one.
        let _ = lar.get("/lar/v1/me");
        let (after, _) = lar.memory();
        writeln!(
            text,
            "| {load} | {} MB | {} MB | {} MB | {:.2} s | {:.2} s |",
            before >> 20,
            peak >> 20,
            after >> 20,
            took[took.len() / 2].as_secs_f64(),
            took[took.len() - 1].as_secs_f64()
        )?;
    }
    Ok(text)
}
