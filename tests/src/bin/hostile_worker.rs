//! A worker that a hostile file has taken over: it sends a correct `Hello` and then frames that break the
//! protocol.
//!
//! The path of its model selects the attack.

#![allow(clippy::unwrap_used, reason = "the worker ends with its server")]

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use lar_inference::protocol::{FromWorker, ToWorker, VERSION, read, write};

fn main() {
    let mut socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    write(&mut socket, &FromWorker::Hello { version: VERSION, engine: "hostile".into() }).unwrap();
    let mut mode = String::new();
    while let Ok(Some(frame)) = read::<ToWorker>(&mut socket) {
        match frame {
            ToWorker::Load(load) => {
                mode = load.path().to_string_lossy().into_owned();
                write(&mut socket, &FromWorker::Confined { missing: Vec::new() }).unwrap();
                let loaded = FromWorker::Loaded { vocabulary: 10, tuned: None, draft_refused: None };
                write(&mut socket, &loaded).unwrap();
            }
            ToWorker::Generate { stream, .. } => {
                let delta = |text: &str, tokens: u32| FromWorker::Delta {
                    stream,
                    text: text.into(),
                    tokens,
                    logprobs: Vec::new(),
                };
                let mut send = |frame: &FromWorker| write(&mut socket, frame).is_ok();
                match mode.as_str() {
                    "flood" => while send(&delta("x", 1)) {},
                    // With 100 tokens per frame, the answer gets too long before the worker exceeds its
                    // credit.
                    "long" => while send(&delta("x", 100)) {},
                    "prefill" => {
                        _ = (0..).find(|tokens| !send(&FromWorker::Prefilling { stream, tokens: *tokens }));
                    }
                    "unasked" => _ = send(&FromWorker::Prefilling { stream, tokens: 0 }),
                    "large" => _ = send(&delta(&"x".repeat(8 << 20), 1)),
                    _ => {
                        let message = "x".repeat(1 << 20);
                        _ = send(&FromWorker::Failed { stream, message, constraint: false, active: 0 });
                    }
                }
            }
            _ => {}
        }
    }
}
