//! The fields with which clients of vLLM ask for structured outputs.

use lar_tests::{Answer, Lar};
use serde_json::{Value, json};

use super::ignored;

#[test]
fn structured_outputs_of_vllm_clients_are_applied_or_refused() {
    let lar = Lar::start();
    let ask = |path: &str, more: &Value| {
        let mut body = json!({ "model": "default", "max_tokens": 24, "temperature": 0 });
        match path {
            "/v1/completions" => body["prompt"] = json!("Yes or no?"),
            _ => body["messages"] = json!([{ "role": "user", "content": "Yes or no?" }]),
        }
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        lar.post(path, &body)
    };
    let text = |answer: &Answer| {
        assert_eq!(answer.status, 200, "{}", answer.body);
        let choice = &answer.json()["choices"][0];
        let text = choice["text"].as_str().or_else(|| choice["message"]["content"].as_str());
        text.unwrap().to_owned()
    };
    let flag = json!({ "type": "object", "properties": { "ok": { "type": "boolean" } }, "required": ["ok"] });
    for path in ["/v1/chat/completions", "/v1/completions"] {
        for fields in [
            json!({ "guided_choice": ["perhaps", "never \"ever\""] }),
            json!({ "structured_outputs": { "choice": ["perhaps", "never \"ever\""] } }),
            json!({ "guided_grammar": "root ::= \"perhaps\" | \"never \\\"ever\\\"\"" }),
        ] {
            let text = text(&ask(path, &fields));
            assert!(["perhaps", "never \"ever\""].contains(&text.as_str()), "{path} {fields}: {text}");
        }
        for fields in [
            json!({ "guided_regex": "^[0-9]{3}/[0-9]{2}$" }),
            json!({ "structured_outputs": { "regex": "[0-9]{3}/[0-9]{2}" } }),
        ] {
            let text = text(&ask(path, &fields));
            let (three, two) = text.split_once('/').unwrap();
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            assert!(three.len() == 3 && two.len() == 2 && digits(three) && digits(two), "{path}: {text}");
        }
        for fields in [
            json!({ "guided_json": flag }),
            json!({ "structured_outputs": { "json": flag.to_string(), "disable_any_whitespace": true } }),
        ] {
            let answer = ask(path, &fields);
            let text = text(&answer);
            assert!(serde_json::from_str::<Value>(&text).unwrap()["ok"].is_boolean(), "{path}: {text}");
            let unused = if fields.get("guided_json").is_some() {
                ""
            } else {
                "structured_outputs.disable_any_whitespace"
            };
            assert_eq!(ignored(&answer), unused, "{path}");
        }
        for (fields, param) in [
            (json!({ "stop_token_ids": [2] }), "stop_token_ids"),
            (json!({ "min_tokens": 4 }), "min_tokens"),
            (json!({ "allowed_token_ids": [1] }), "allowed_token_ids"),
            (json!({ "truncate_prompt_tokens": 8 }), "truncate_prompt_tokens"),
            (json!({ "guided_regex": "(" }), "guided_regex"),
            (json!({ "guided_choice": [] }), "guided_choice"),
        ] {
            let answer = ask(path, &fields);
            let reported = answer.json()["error"]["param"].clone();
            assert_eq!((answer.status, reported), (400, json!(param)), "{path}: {}", answer.body);
        }
        let usual = json!({ "stop_token_ids": [], "min_tokens": 0, "bad_words": [], "use_beam_search": false, "truncate_prompt_tokens": -1,
            "repetition_penalty": 1.1, "logit_bias": [[5, -1.5], [6, false]] });
        assert_eq!(ignored(&ask(path, &usual)), "", "{path}");
    }
    let chat = |more: Value| ask("/v1/chat/completions", &more);
    let prefilled =
        json!([{ "role": "user", "content": "Count." }, { "role": "assistant", "content": "One, two," }]);
    let tokens = |answer: &Answer| {
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["usage"]["prompt_tokens"].as_u64().unwrap()
    };
    let usual = tokens(&chat(json!({ "messages": prefilled })));
    let on = json!({ "messages": prefilled, "continue_final_message": true, "add_generation_prompt": false });
    assert_eq!(tokens(&chat(on)), usual);
    let separate = json!({ "messages": prefilled, "continue_final_message": false });
    assert!(tokens(&chat(separate)) > usual, "the answer is a message of its own");
    for (more, param) in [
        (json!({ "continue_final_message": true, "add_generation_prompt": true }), "add_generation_prompt"),
        (json!({ "continue_final_message": true }), "continue_final_message"),
        (json!({ "n_predict": 0 }), "n_predict"),
    ] {
        let answer = chat(more);
        assert_eq!(
            (answer.status, &answer.json()["error"]["param"]),
            (400, &json!(param)),
            "{}",
            answer.body
        );
    }
    let limited = chat(json!({ "max_tokens": null, "n_predict": 3 })).json();
    assert_eq!(limited["usage"]["completion_tokens"], 3);
}
