//! The bodies of errors: every code in the form of every API.

use lar_base::{Code, Problem};
use lar_compat::{anthropic, llama_cpp, ollama, openai};
use serde::Serialize;

/// Returns the names and the texts of the snapshots.
pub(crate) fn snapshots() -> Vec<(String, String)> {
    let request_id = || Some("req_0193e4b6a1d27c3f8a5b9d0e1f2a3b4c".to_owned());
    [
        ("errors_openai", table(openai::error::body)),
        ("errors_responses", table(openai::responses::failure)),
        ("errors_anthropic", table(|problem| anthropic::error::body(problem, request_id()))),
        ("errors_ollama", table(ollama::error::body)),
        ("errors_llama_cpp", table(llama_cpp::error::body)),
    ]
    .map(|(name, text)| (name.to_owned(), text))
    .into()
}

/// Returns one problem of every code, and some whose form depends on more than the code.
fn problems() -> Vec<Problem> {
    let of_codes = Code::ALL.iter().map(|code| Problem::new(*code, code.title()));
    let about_fields = [
        Problem::invalid("messages[0].role", "must be user or assistant"),
        Problem::about(Code::UnsupportedParam, "thread", "is not supported"),
        Problem::about(Code::NotFound, "model", "is `m`, which is not installed"),
        Problem::context_too_long(9000, 4096, "shorten the prompt"),
    ];
    of_codes.chain(about_fields).collect()
}

/// Returns a line for each problem: its code and its body. The server adds the HTTP status.
fn table<B: Serialize>(body: impl Fn(&Problem) -> B) -> String {
    let line = |problem: &Problem| {
        let body = serde_json::to_string(&body(problem)).unwrap();
        format!("{}: {body}\n", problem.code)
    };
    problems().iter().map(line).collect()
}
