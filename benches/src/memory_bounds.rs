//! The memory that the server uses for request bodies that are never finished.
//!
//! `memory_bounds/embeddings.rs` measures large requests for embeddings.

pub(crate) mod embeddings;

use std::fmt::Write as _;

use lar_tests::{Lar, half_sent};

use crate::fairness::first_tokens;

const SENDERS: usize = 80;
const LENGTH: usize = 15_000_000;

pub(crate) fn bodies() -> anyhow::Result<String> {
    let body = [b"{\"secret\":\"".as_slice(), &vec![b'a'; LENGTH - 100]].concat();
    let mut text = format!(
        "{SENDERS} concurrent connections each send a body of {} MB except its end. *Before*, *peak*, *after*:\n\
         the server's memory before the load, at its peak, and when the senders have disconnected. *First\n\
         token*: the time to the first token of another user's short question while the senders wait. In a\n\
         release that did not bound bodies, memory rose from 388 to 1,517 MB under the first load, and\n\
         stayed there.\n\n\
         | load | before | peak | after | first token, median | longest |\n|---|---|---|---|---|---|\n",
        LENGTH / 1_000_000
    );
    let key = format!("authorization: Bearer {}\r\n", Lar::KEY);
    for (load, path, key) in [
        ("sign-in, no key", "/lar/v1/sign-in", ""),
        ("chat, no key", "/v1/chat/completions", ""),
        ("chat, one key", "/v1/chat/completions", &key),
        ("embeddings, one key", "/v1/embeddings", &key),
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
        // When the server answers a later request, it has noticed that the senders disconnected.
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
