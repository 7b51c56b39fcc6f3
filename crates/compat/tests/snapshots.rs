//! Snapshots of every API's stream, whole body and error, for the scripted tasks in [`scripts`].
//!
//! - Each API's module has a table of requests and scripts. A row gives the whole stream as text, the body of
//!   the response without a stream (or of the error that replaces it), or both.
//! - [`play`] checks what holds for every stream: it ends exactly once, in the form of its API, with the text
//!   and the tool calls of the whole body.
//! - Ids and times are fixed: a request arrives at [`play::RECEIVED_AT`], and an event every 100 ms after it.
//! - Citations: the compatible APIs send none. `crates/server` encodes those of Lar's own chats.
//!
//! The order of JSON members is that of a build of the whole workspace, where serde_json preserves it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "snapshots/anthropic.rs"]
mod anthropic;
#[path = "snapshots/chat.rs"]
mod chat;
#[path = "snapshots/completions.rs"]
mod completions;
#[path = "snapshots/errors.rs"]
mod errors;
#[path = "snapshots/llama_cpp.rs"]
mod llama_cpp;
#[path = "snapshots/ollama.rs"]
mod ollama;
#[path = "snapshots/output.rs"]
mod output;
#[path = "snapshots/play.rs"]
mod play;
#[path = "snapshots/responses.rs"]
mod responses;
#[path = "snapshots/scripts.rs"]
mod scripts;

use std::collections::BTreeSet;

use lar_compat::Frame;

/// The minimum number of snapshots.
const SNAPSHOTS_MIN: usize = 60;

/// Compares texts with the snapshots of these names.
fn check(snapshots: Vec<(String, String)>) {
    for (name, text) in snapshots {
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn chat_completions_match_their_snapshots() {
    check(chat::snapshots());
}

#[test]
fn completions_match_their_snapshots() {
    check(completions::snapshots());
}

#[test]
fn responses_match_their_snapshots() {
    check(responses::snapshots());
}

#[test]
fn anthropics_messages_match_their_snapshots() {
    check(anthropic::snapshots());
}

#[test]
fn ollamas_answers_match_their_snapshots() {
    check(ollama::snapshots());
}

#[test]
fn llama_cpps_completions_match_their_snapshots() {
    check(llama_cpp::snapshots());
}

#[test]
fn errors_match_their_snapshots() {
    check(errors::snapshots());
}

#[test]
fn every_snapshot_has_a_name_of_its_own() {
    let all = [
        chat::snapshots(),
        completions::snapshots(),
        responses::snapshots(),
        anthropic::snapshots(),
        ollama::snapshots(),
        llama_cpp::snapshots(),
        errors::snapshots(),
    ]
    .concat();
    let names: BTreeSet<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), all.len());
    assert!(names.len() >= SNAPSHOTS_MIN, "{}", names.len());
}

#[test]
fn every_api_streams_every_script_like_its_whole_body() {
    for (name, script) in scripts::of_one_answer() {
        println!("{name}");
        play::play::<chat::Chat>(&chat::with_tools(), &script);
        play::play::<completions::Completions>(&completions::plain(), &script);
        play::play::<responses::Responses>(&responses::with_tools(), &script);
        play::play::<anthropic::Messages>(&anthropic::with_tools(), &script);
        play::play::<ollama::Ollama>(&ollama::chat_with_tools(), &script);
        play::play::<ollama::Ollama>(&ollama::generate(), &script);
        play::play::<llama_cpp::LlamaCpp>(&llama_cpp::plain(), &script);
    }
}

#[test]
fn every_encoder_ignores_events_after_its_end() {
    for (name, script) in scripts::of_one_answer() {
        let after = [
            play::frames_after_end::<chat::Chat>(&chat::with_tools(), &script),
            play::frames_after_end::<completions::Completions>(&completions::plain(), &script),
            play::frames_after_end::<responses::Responses>(&responses::with_tools(), &script),
            play::frames_after_end::<anthropic::Messages>(&anthropic::with_tools(), &script),
            play::frames_after_end::<ollama::Ollama>(&ollama::chat_with_tools(), &script),
            play::frames_after_end::<llama_cpp::LlamaCpp>(&llama_cpp::plain(), &script),
        ];
        assert_eq!(after.concat(), Vec::<Frame>::new(), "{name}");
    }
}
