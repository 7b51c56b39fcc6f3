//! Snapshots of every API's stream, whole body and error, for the scripted tasks in [`scripts`].
//!
//! - Each API's module has a table of requests and scripts. A row gives the whole stream as text, the body of
//!   the response without a stream (or of the error that replaces it), or both.
//! - [`play`] checks what holds for every stream: it ends exactly once, in the form of its API, with the text, the
//!   tool calls, the finish reason and the usage of the whole body.
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
use std::fs;

use lar_compat::Frame;

/// The directory of the snapshots.
const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots");

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

/// Returns the name of a snapshot from the name of its file.
fn snapshot_name(file: &str) -> Option<&str> {
    file.strip_prefix("snapshots__")?.strip_suffix(".snap")
}

#[test]
fn every_snapshot_has_a_name_and_a_file_of_its_own() {
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
    let files = fs::read_dir(DIRECTORY).unwrap().map(|entry| entry.unwrap().file_name());
    let files: Vec<String> = files.map(|name| name.into_string().unwrap()).collect();
    let files: BTreeSet<&str> = files.iter().filter_map(|file| snapshot_name(file)).collect();
    assert_eq!(names, files, "accept new snapshots first, and delete the files of removed ones");
}

#[test]
fn every_api_streams_every_script_like_its_whole_body() {
    for (name, script) in scripts::of_one_answer() {
        println!("{name}");
        play::play::<chat::ChatRequest>(&chat::with_tools_and_usage(), &script);
        play::play::<completions::CompletionsRequest>(&completions::with_usage(), &script);
        play::play::<responses::ResponsesRequest>(&responses::with_tools(), &script);
        play::play::<anthropic::MessagesRequest>(&anthropic::with_tools(), &script);
        play::play::<ollama::OllamaRequest>(&ollama::chat_with_tools(), &script);
        play::play::<ollama::OllamaRequest>(&ollama::generate(), &script);
        play::play::<llama_cpp::LlamaCppRequest>(&llama_cpp::plain(), &script);
    }
}

#[test]
fn every_encoder_ignores_events_after_its_end() {
    for (name, script) in scripts::of_one_answer() {
        let after = [
            play::frames_after_end::<chat::ChatRequest>(&chat::with_tools_and_usage(), &script),
            play::frames_after_end::<completions::CompletionsRequest>(&completions::with_usage(), &script),
            play::frames_after_end::<responses::ResponsesRequest>(&responses::with_tools(), &script),
            play::frames_after_end::<anthropic::MessagesRequest>(&anthropic::with_tools(), &script),
            play::frames_after_end::<ollama::OllamaRequest>(&ollama::chat_with_tools(), &script),
            play::frames_after_end::<llama_cpp::LlamaCppRequest>(&llama_cpp::plain(), &script),
        ];
        assert_eq!(after.concat(), Vec::<Frame>::new(), "{name}");
    }
}

#[test]
fn encoders_of_several_answers_ignore_events_of_unknown_ones() {
    for (name, script) in scripts::of_one_answer() {
        let unknown = [
            play::frames_of_unknown_answer::<chat::ChatRequest>(&chat::with_tools_and_usage(), &script),
            play::frames_of_unknown_answer::<completions::CompletionsRequest>(
                &completions::with_usage(),
                &script,
            ),
            play::frames_of_unknown_answer::<llama_cpp::LlamaCppRequest>(&llama_cpp::plain(), &script),
        ];
        assert_eq!(unknown.concat(), Vec::<Frame>::new(), "{name}");
    }
}
