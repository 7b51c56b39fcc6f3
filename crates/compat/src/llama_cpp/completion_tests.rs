//! Tests of the codec of `/completion` and `/infill`.

use std::time::Duration;

use lar_base::{Code, Problem, TaskId, Timestamp};
use lar_inference::{Candidate, FinishReason, Prompt, Sampling, TaskEvent, TaskSummary, TokenLogprobs};
use serde_json::{Value, json};

use super::completion::read_infill;
use super::encode::select_fields;
use super::wire::LlamaCppCompletionRequest;
use super::{BiasTarget, LlamaCppCompletion, LlamaCppInfill, LlamaCppInput, LlamaCppStyle};
use crate::lenient::{self, OutOfRange};
use crate::{Answer, AnswerEvent, Codec as _, Encoder as _, Frame, Head, LineLimits};

fn id() -> TaskId {
    "task_0193e4b6a1d27c3f8a5b9d0e1f2a3b4c".parse().unwrap()
}

fn decode(body: &[u8]) -> Result<LlamaCppInput, Problem> {
    LlamaCppCompletion::decode(body, id())
}

fn whole(head: &Head, answers: Vec<Answer>, style: &LlamaCppStyle) -> Value {
    LlamaCppCompletion::whole(head, answers, style)
}

fn sampling(body: &str) -> Sampling {
    decode(body.as_bytes()).unwrap().request.sampling
}

#[test]
fn only_requested_response_fields_are_returned() {
    let whole = json!({ "content": "a", "timings": { "prompt_n": 1 }, "stop": true });
    let fields = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(select_fields(&[], whole.clone()), whole);
    let requested = fields(&["content", "timings/prompt_n", "unknown", "timings/unknown"]);
    assert_eq!(select_fields(&requested, whole), json!({ "content": "a", "timings/prompt_n": 1 }));
}

#[test]
fn line_limits_may_be_numbers_of_any_size() {
    let limits = |numbers: &str| {
        let body = format!(r#"{{"prompt": "a", {numbers}}}"#);
        decode(body.as_bytes()).unwrap().limits
    };
    let most = i64::MAX as u64;
    let largest = LineLimits { indent_min: most as usize, time_max: Some(Duration::from_millis(most)) };
    for numbers in [
        r#""n_indent": 9223372036854775808, "t_max_predict_ms": 9223372036854775808"#,
        r#""n_indent": 1e30, "t_max_predict_ms": 1e30"#,
    ] {
        assert_eq!(limits(numbers), largest);
    }
    assert_eq!(limits(r#""n_indent": -1e30, "t_max_predict_ms": -1e30"#), LineLimits::default());
    let few = LineLimits { indent_min: 2, time_max: Some(Duration::from_millis(7)) };
    assert_eq!(limits(r#""n_indent": 2.5, "t_max_predict_ms": 7.0"#), few);
}

#[test]
fn a_negative_token_limit_is_no_limit() {
    let tokens_max = |number: &str| sampling(&format!(r#"{{"prompt": "a", {number}}}"#)).tokens_max;
    for field in ["n_predict", "max_tokens"] {
        for number in ["-1", "-2", "-5", "-1e30"] {
            assert_eq!(tokens_max(&format!(r#""{field}": {number}"#)), 0, "{field}: {number}");
        }
        assert_eq!(tokens_max(&format!(r#""{field}": 5"#)), 5);
    }
}

#[test]
fn an_error_about_the_number_of_answers_names_the_field_that_was_sent() {
    for (sent, field) in
        [(r#""n_cmpl": 17"#, "n_cmpl"), (r#""n": 17"#, "n"), (r#""n_cmpl": 17, "n": 2"#, "n_cmpl")]
    {
        let refused = decode(format!(r#"{{"prompt": "a", {sent}}}"#).as_bytes()).unwrap_err();
        assert_eq!(refused.detail, format!("`{field}` must be between 1 and 16, got 17"));
    }
}

#[test]
fn an_error_about_the_number_of_answers_names_the_number_that_was_sent() {
    for field in ["n_cmpl", "n"] {
        for number in ["0", "-1", "0.5", "4294967296", "9223372036854775807", "18446744073709551615", "99.5"]
        {
            let body = format!(r#"{{"prompt": "a", "{field}": {number}}}"#);
            let refused = decode(body.as_bytes()).unwrap_err();
            assert_eq!(refused.detail, format!("`{field}` must be between 1 and 16, got {number}"));
        }
        assert!(decode(format!(r#"{{"prompt": "a", "{field}": 16}}"#).as_bytes()).is_ok());
    }
}

#[test]
fn the_infill_prefix_is_built_in_order() {
    let body = json!({
        "input_prefix": "int main() {\n", "prompt": "  re", "input_suffix": "}\n",
        "input_extra": [{ "filename": "a.h", "text": "int a;" }, { "text": "int b;\n" }],
    });
    let wire: LlamaCppCompletionRequest = lenient::from_value(&body, OutOfRange::Refused).unwrap();
    let (prompt, _) = read_infill(&wire).unwrap();
    let prefix = "a.h\nint a;\nint b;\nint main() {\n  re".into();
    assert_eq!(prompt, Prompt::Infill { prefix, suffix: "}\n".into() });
    let decoded = LlamaCppInfill::decode(body.to_string().as_bytes(), id()).unwrap();
    assert_eq!(decoded.request.prompt, prompt);
}

#[test]
fn openais_bodies_name_a_model_and_have_no_field_of_llama_cpp() {
    let openais = |body: Value| super::has_openais_form(body.to_string().as_bytes()).unwrap();
    assert!(openais(json!({ "model": "m", "prompt": "a" })));
    assert!(!openais(json!({ "prompt": "a" })));
    assert!(!openais(json!({ "model": "m", "prompt": "a", "n_predict": 1 })));
}

#[test]
fn biases_of_texts_are_set_after_they_are_tokenized() {
    let mut input = decode(br#"{"prompt": "a", "logit_bias": [[1, -1], ["b", 2]]}"#).unwrap();
    let targets: Vec<&BiasTarget> = input.biases.iter().map(|entry| &entry.target).collect();
    assert_eq!(targets, [&BiasTarget::Token("1".into()), &BiasTarget::Text("b".into())]);
    let token = |id: &str, bias| (id.to_owned(), bias);
    input.set_logit_bias([token("1", -1.0), token("7", 2.0), token("1", 3.0)]).unwrap();
    let whole = whole(&head(), vec![Answer::default()], &input.style);
    let mut shown: Vec<&Value> =
        whole["generation_settings"]["logit_bias"].as_array().unwrap().iter().collect();
    shown.sort_by_key(|bias| bias["token"].as_i64());
    assert_eq!(shown, [&json!({ "token": 1, "bias": 3.0 }), &json!({ "token": 7, "bias": 2.0 })]);
    let mut biases = input.request.sampling.logit_bias.clone();
    biases.sort_by_key(|(token, _)| *token);
    assert_eq!(biases, [(1, 3.0), (7, 2.0)]);
    let refused = input.set_logit_bias([token("b", 1.0)]).unwrap_err();
    assert_eq!((refused.code, refused.fields[0].field.as_str()), (Code::InvalidParams, "logit_bias"));
}

fn head() -> Head {
    Head {
        task: id(),
        model: "m".into(),
        received_at: Timestamp::from_millis(0),
        tokens_in: vec![3],
        fingerprint: String::new(),
    }
}

fn end(reason: FinishReason) -> TaskSummary {
    TaskSummary {
        reason,
        tokens_in: 3,
        tokens_cached: 0,
        tokens_out: 1,
        queue_ms: 0,
        ttft_ms: 2,
        decode_ms: 0,
    }
}

fn token(text: &str) -> TaskEvent {
    let chosen = Candidate { id: 5, bytes: text.into(), logprob: -0.5 };
    let logprobs = [TokenLogprobs { chosen, top: Vec::new() }];
    TaskEvent::Token { text: text.into(), index: 1, logprobs: logprobs.into() }
}

/// Returns the JSON of events.
fn events(frames: Vec<Frame>) -> Vec<Value> {
    let event = |frame: Frame| match frame {
        Frame::Event { data, .. } => serde_json::from_str(&data).unwrap(),
        frame => json!(format!("{frame:?}")),
    };
    frames.into_iter().map(event).collect()
}

#[test]
fn a_stream_ends_with_its_last_part_or_an_error() {
    let encoder = || {
        let fields = ["content", "has_new_line", "truncated"];
        let body = json!({ "prompt": "a", "stream": true, "response_fields": fields });
        LlamaCppCompletion::encoder(head(), decode(body.to_string().as_bytes()).unwrap().style)
    };
    let mut stream = encoder();
    let part = events(stream.push(&AnswerEvent::of(&token("b\n")))).remove(0);
    assert_eq!((&part["content"], &part["tokens"]), (&json!("b\n"), &json!([5])));
    assert_eq!((&part["tokens_predicted"], &part["tokens_evaluated"]), (&json!(1), &json!(3)));
    assert!(!stream.is_over());
    let last = events(stream.push(&AnswerEvent::of(&TaskEvent::End(end(FinishReason::Length)))));
    assert_eq!(last, [json!({ "content": "", "has_new_line": true, "truncated": true })]);
    assert!(stream.is_over());
    let mut stream = encoder();
    let failed = events(stream.push(&AnswerEvent::of(&TaskEvent::Cancelled)));
    let error = json!({
        "error": { "code": 499, "message": "the task was cancelled", "type": "cancelled", "param": null },
    });
    assert_eq!(failed, [error]);
    assert!(stream.is_over());
}

#[test]
fn a_prefill_alone_has_no_content_and_its_prompt() {
    let fields = ["content", "prompt", "tokens_predicted"];
    let body = json!({ "prompt": "a", "n_predict": 0, "response_fields": fields });
    let mut style = decode(body.to_string().as_bytes()).unwrap().style;
    assert!(style.has_prompts() && !style.has_end_tokens());
    style.set_prompts(vec!["a".into()]);
    let answer = Answer { content: "b".into(), end: Some(end(FinishReason::Length)), ..Answer::default() };
    let expected = json!({ "content": "", "prompt": "a", "tokens_predicted": 0 });
    assert_eq!(whole(&head(), vec![answer.clone()], &style), expected);
    let both = whole(&head(), vec![answer.clone(), answer], &style);
    assert_eq!(both, json!([expected, { "content": "", "prompt": "", "tokens_predicted": 0 }]));
}
