//! Completions in llama.cpp's format: their fields, settings, timings, probabilities and streams.

use lar_tests::Lar;
use serde_json::{Value, json};

#[test]
fn completions_have_llama_cpps_format() {
    let lar = Lar::start();
    let body = |more: Value| {
        let mut body = json!({ "prompt": "one two three four", "n_predict": 8, "temperature": 0.0 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let whole = lar.post("/completion", &body(json!({ "return_tokens": true, "n_probs": 2 })));
    assert_eq!(whole.status, 200, "{}", whole.body);
    let whole = whole.json();
    let content = whole["content"].as_str().unwrap();
    assert_eq!((whole["stop"].clone(), whole["stop_type"].clone()), (json!(true), json!("limit")));
    assert_eq!(whole["tokens_predicted"], 8);
    assert_eq!(whole["timings"]["predicted_n"], 8);
    assert_eq!(whole["prompt"], "one two three four");
    assert_eq!(whole["generation_settings"]["n_predict"], 8);
    let probabilities = whole["completion_probabilities"].as_array().unwrap();
    assert_eq!((probabilities.len(), whole["tokens"].as_array().unwrap().len()), (8, 8));
    for (token, reported) in whole["tokens"].as_array().unwrap().iter().zip(probabilities) {
        assert_eq!((&reported["id"], &reported["top_logprobs"][0]["id"]), (token, token), "greedy");
    }
    assert_eq!(lar.post("/detokenize", &json!({ "tokens": whole["tokens"] })).json()["content"], content);

    let streamed = lar.post("/completion", &body(json!({ "stream": true })));
    let events = streamed.events();
    let pieces: String = events.iter().map(|(_, data)| data["content"].as_str().unwrap()).collect();
    assert_eq!(pieces, content);
    let (last, parts) = events.split_last().unwrap();
    assert_eq!((last.1["stop"].clone(), last.1["tokens_predicted"].clone()), (json!(true), json!(8)));
    assert!(
        parts.iter().all(|(_, data)| data["stop"] == false && !data["tokens"].as_array().unwrap().is_empty())
    );

    // Tokens, tokens with texts between them, and several prompts.
    let tokens = lar.post("/tokenize", &json!({ "content": "one two three four" })).json()["tokens"].clone();
    let several = json!([tokens, "one two three four", { "prompt_string": "one two three four" }]);
    let several = lar.post("/completion", &body(json!({ "prompt": several }))).json();
    let reported: Vec<(&Value, &Value)> =
        several.as_array().unwrap().iter().map(|answer| (&answer["index"], &answer["content"])).collect();
    let content = &json!(content);
    assert_eq!(reported, [(&json!(0), content), (&json!(1), content), (&json!(2), content)]);
    let mixed = lar.post("/completion", &body(json!({ "prompt": ["one two", tokens[2], tokens[3]] })));
    assert_eq!(mixed.json()["content"], *content);

    let stop = content.as_str().unwrap().chars().nth(3).unwrap().to_string();
    let stopped = lar.post("/completion", &body(json!({ "stop": ["", stop] }))).json();
    assert_eq!(
        (stopped["stop_type"].clone(), stopped["stopping_word"].clone()),
        (json!("word"), json!(stop))
    );
    let chosen =
        lar.post("/completion", &body(json!({ "response_fields": ["content", "timings/predicted_n"] })));
    assert_eq!(chosen.json(), json!({ "content": content, "timings/predicted_n": 8 }));
    // The first token is forbidden, by its number or by its text.
    let first = &whole["tokens"][0];
    let piece = lar.post("/detokenize", &json!({ "tokens": [first] })).json()["content"].clone();
    for token in [first.clone(), piece] {
        let barred = body(json!({ "logit_bias": [[token, false]], "return_tokens": true }));
        let barred = lar.post("/completion", &barred).json();
        assert_ne!(barred["tokens"][0], *first, "{barred}");
    }
    let nothing = lar.post("/completion", &body(json!({ "n_predict": 0 }))).json();
    let reported = (&nothing["content"], &nothing["tokens_predicted"], &nothing["stop_type"]);
    assert_eq!(reported, (&json!(""), &json!(0), &json!("limit")));
    for (wrong, param) in [
        (json!({ "prompt": [] }), "prompt"),
        (json!({ "n_predict": "3" }), "n_predict"),
        (json!({ "n_cmpl": 17 }), "n_cmpl"),
        (json!({ "prompt": { "prompt_string": "a", "multimodal_data": ["b"] } }), "prompt"),
    ] {
        let refused = lar.post("/completion", &body(wrong));
        assert_eq!((refused.status, refused.json()["error"]["param"].clone()), (400, json!(param)));
    }
    let infill = json!({ "input_prefix": "a", "input_suffix": "b", "n_predict": 2 });
    let refused = lar.post("/infill", &infill);
    assert_eq!(refused.status, 400, "this model cannot fill in the middle: {}", refused.body);
    let refused = lar.post("/infill", &json!({ "input_prefix": "a" }));
    assert_eq!(refused.json()["error"]["param"], "input_suffix");
}

#[test]
fn settings_and_timings_are_reported_as_by_llama_cpps_server() {
    let lar = Lar::start();
    let ask = |more: Value| {
        let mut body = json!({ "prompt": "one two three four", "n_predict": 8, "temperature": 0.0 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        lar.post("/completion", &body)
    };
    let usual = ask(json!({})).json();
    let settings = &usual["generation_settings"];
    assert_eq!((&settings["adaptive_target"], &settings["logit_bias"]), (&json!(-1.0), &json!([])));
    // `ignore_eos` is reported as a bias of each token that ends an answer.
    let endless = ask(json!({ "ignore_eos": true, "logit_bias": [[5, -1.5]] })).json();
    let biases = endless["generation_settings"]["logit_bias"].as_array().unwrap();
    let end = lar.post("/tokenize", &json!({ "content": "<|im_end|>" })).json()["tokens"][0].clone();
    assert_eq!(biases[0], json!({ "token": 5, "bias": -1.5 }));
    assert!(biases[1..].contains(&json!({ "token": end, "bias": null })), "{biases:?}");

    // The first token is computed with the prompt.
    let timings = &usual["timings"];
    let number = |name: &str| timings[name].as_f64().unwrap();
    assert!((number("predicted_per_token_ms") - number("predicted_ms") / 7.0).abs() < 1e-6, "{timings}");
    let first = ask(json!({ "n_predict": 1 })).json();
    let first = &first["timings"];
    let reported = (&first["predicted_n"], &first["predicted_per_token_ms"], &first["predicted_per_second"]);
    assert_eq!(reported, (&json!(1), &json!(0.0), &json!(0.0)));

    let counts = |streamed: lar_tests::Answer| -> Vec<Option<u64>> {
        assert_eq!(streamed.status, 200, "{}", streamed.body);
        let events = streamed.events().into_iter().filter(|(_, data)| data.is_object());
        events.map(|(_, data)| data["timings"]["predicted_n"].as_u64()).collect()
    };
    let quiet = counts(ask(json!({ "stream": true })));
    assert!(quiet.len() > 1 && quiet[..quiet.len() - 1].iter().all(Option::is_none), "{quiet:?}");
    let each = counts(ask(json!({ "stream": true, "timings_per_token": true })));
    assert!(each[0] >= Some(1) && each.is_sorted() && each.last() == Some(&Some(8)), "{each:?}");
    let chat = json!({ "messages": [{ "role": "user", "content": "Hi" }], "max_tokens": 4, "stream": true,
        "timings_per_token": true });
    let each = counts(lar.post("/v1/chat/completions", &chat));
    assert!(each.len() > 1 && each[0].is_none() && each[1].is_some() && each.is_sorted(), "{each:?}");
}

#[test]
fn a_stream_reports_its_prefill() {
    let lar = Lar::start();
    // More tokens than one step reads. The prompt of each path starts differently, so that none of it is
    // cached.
    let text = "The owl flew over the quiet river and saw a small boat. ".repeat(45);
    let chat = |text: &str| json!([{ "role": "user", "content": text }]);
    let counts = json!({ "include_usage": true });
    for (path, body) in [
        ("/v1/chat/completions", json!({ "messages": chat(&text), "stream_options": counts })),
        ("/completion", json!({ "prompt": text })),
        ("/v1/completions", json!({ "prompt": format!("Read: {text}"), "stream_options": counts })),
    ] {
        let ask = |more: Value| {
            let mut body = body.clone();
            let usual = json!({ "max_tokens": 8, "temperature": 0.0, "ignore_eos": true });
            for fields in [usual, more] {
                body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            }
            let answer = lar.post(path, &body);
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
            assert!(!answer.head.contains("x-lar-ignored"), "{path}: {}", answer.head);
            answer
        };
        for is_cached in [false, true] {
            let streamed = ask(json!({ "stream": true, "return_progress": true }));
            let chunks: Vec<Value> = streamed.events().into_iter().map(|(_, data)| data).collect();
            let reports: Vec<&Value> =
                chunks.iter().filter(|chunk| chunk["prompt_progress"].is_object()).collect();
            let numbers = |name: &str| -> Vec<u64> {
                reports.iter().map(|chunk| chunk["prompt_progress"][name].as_u64().unwrap()).collect()
            };
            let (processed, times) = (numbers("processed"), numbers("time_ms"));
            assert!(processed.is_sorted_by(|one, next| one < next), "{path}: {processed:?}");
            assert!(times[0] == 0 && times.is_sorted(), "{path}: {times:?}");
            let total = |chunk: &Value| {
                chunk["usage"]["prompt_tokens"].as_u64().or_else(|| chunk["tokens_evaluated"].as_u64())
            };
            let total = chunks.iter().rev().find_map(total).unwrap();
            assert_eq!(processed.last(), Some(&total), "{path}");
            assert!(numbers("total").iter().all(|number| *number == total), "{path}");
            // The first report gives the number of cached tokens.
            let cache = processed[0];
            assert!(numbers("cache").iter().all(|number| *number == cache), "{path}");
            if is_cached {
                assert!(cache > total / 2 && reports.len() > 1, "{path}: {processed:?}");
            } else {
                assert!(cache == 0 && reports.len() > 2, "{path}: {processed:?}");
            }
            let is_text = |chunk: &Value| {
                let texts = ["/choices/0/delta/content", "/choices/0/text", "/content"];
                let texts = texts.iter().filter_map(|at| chunk.pointer(at)?.as_str());
                texts.map(str::len).sum::<usize>() > 0
            };
            let last_report = chunks.iter().rposition(|chunk| chunk["prompt_progress"].is_object());
            assert!(last_report < chunks.iter().position(is_text), "{path}: {}", streamed.body);
            for chunk in &reports {
                assert!(chunk["timings"].is_null(), "{chunk}");
                let nothing = json!([{ "index": 0, "delta": {}, "logprobs": null, "finish_reason": null }]);
                match path {
                    "/v1/chat/completions" => assert_eq!(chunk["choices"], nothing),
                    "/completion" => {
                        let reported = (&chunk["content"], &chunk["tokens"], &chunk["stop"]);
                        assert_eq!(reported, (&json!(""), &json!([]), &json!(false)));
                    }
                    _ => assert_eq!(chunk["choices"][0]["text"], ""),
                }
            }
        }
        for quiet in [json!({ "stream": true }), json!({ "return_progress": true })] {
            let answer = ask(quiet);
            assert!(!answer.body.contains("prompt_progress"), "{path}: {}", answer.body);
        }
    }

    // Each of several answers has its own reports. With `timings_per_token` they include timings.
    let several = json!({ "messages": chat(&format!("Read: {text}")), "n": 2, "max_tokens": 2, "stream": true,
        "return_progress": true, "timings_per_token": true });
    let (mut reported, mut total) = ([None; 2], None);
    for (_, chunk) in lar.post("/v1/chat/completions", &several).events() {
        let progress = &chunk["prompt_progress"];
        let Some(processed) = progress["processed"].as_u64() else { continue };
        let index = chunk["choices"][0]["index"].as_u64().unwrap() as usize;
        assert!(Some(processed) > reported[index], "{chunk}");
        (reported[index], total) = (Some(processed), progress["total"].as_u64());
        let read = processed - progress["cache"].as_u64().unwrap();
        let timings = &chunk["timings"];
        assert_eq!((&timings["prompt_n"], &timings["predicted_n"]), (&json!(read), &json!(0)), "{chunk}");
    }
    assert!(total.is_some());
    assert_eq!(reported, [total; 2]);
}

#[test]
fn each_streamed_part_reports_its_own_prompt() {
    let lar = Lar::start();
    let prompts = ["one two three four five six seven", "one"];
    let lengths = prompts.map(|prompt| {
        let answer = lar.post("/completion", &json!({ "prompt": prompt, "n_predict": 2 })).json();
        answer["tokens_evaluated"].as_u64().unwrap()
    });
    assert!(lengths[0] > lengths[1] + 4, "{lengths:?}");
    let streamed = lar.post(
        "/completion",
        &json!({ "prompt": prompts, "n_cmpl": 2, "n_predict": 2, "stream": true, "temperature": 0.0 }),
    );
    let mut seen = [0; 4];
    for (_, part) in streamed.events() {
        let index = part["index"].as_u64().unwrap() as usize;
        assert_eq!(part["tokens_evaluated"], json!(lengths[index / 2]), "{part}");
        if part["stop"] == true {
            assert_eq!(part["prompt"], prompts[index / 2], "{part}");
        }
        seen[index] += 1;
    }
    assert!(seen.iter().all(|parts| *parts > 1), "{seen:?}");
}

#[test]
fn n_indent_and_t_max_predict_ms_end_a_completion() {
    let lar = Lar::start();
    let body = |text: &str, more: Value| {
        let grammar = format!("root ::= {}", json!(text));
        let mut body = json!({ "prompt": "a = 1", "n_predict": 600, "temperature": 0.0, "grammar": grammar });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let ending_of = |answer: &Value| {
        let fields = ["content", "stop_type", "truncated"];
        fields.map(|field| answer[field].clone())
    };
    let text = "one\n  two\n   three\n four\n  five";
    let whole = lar.post("/completion", &body(text, json!({ "n_indent": 0 }))).json();
    assert_eq!(ending_of(&whole), [json!(text), json!("eos"), json!(false)], "{whole}");
    let cut = lar.post("/completion", &body(text, json!({ "n_indent": 2, "n_cmpl": 2 }))).json();
    for answer in cut.as_array().unwrap() {
        assert_eq!(
            ending_of(answer),
            [json!("one\n  two\n   three\n "), json!("limit"), json!(false)],
            "{answer}"
        );
    }
    let streamed = lar.post("/completion", &body(text, json!({ "n_indent": 2, "stream": true }))).events();
    let pieces: String = streamed.iter().map(|(_, data)| data["content"].as_str().unwrap()).collect();
    assert_eq!(pieces, "one\n  two\n   three\n ");
    let last = &streamed.last().unwrap().1;
    assert_eq!((&last["stop"], &last["stop_type"]), (&json!(true), &json!("limit")), "{last}");

    let lines = "line\n".repeat(200);
    let late = lar.post("/completion", &body(&lines, json!({ "t_max_predict_ms": 1 })));
    assert!(!late.head.contains("x-lar-ignored"), "{}", late.head);
    let late = late.json();
    let content = late["content"].as_str().unwrap();
    assert!(content.ends_with("line\n") && content.len() < lines.len(), "{late}");
    assert_eq!((&late["stop_type"], &late["truncated"]), (&json!("limit"), &json!(false)));
}

#[test]
fn numbers_out_of_range_become_the_nearest_valid_number() {
    let lar = Lar::start();
    let grammar = json!(format!("root ::= {}", json!("one\n  two")));
    let content = |field: &str, number: &str| {
        let body =
            format!(r#"{{"prompt": "a", "n_predict": 40, "grammar": {grammar}, "{field}": {number}}}"#);
        let answer = lar.raw(&lar.head("POST", "/completion", body.len()), body.as_bytes());
        assert_eq!(answer.status, 200, "{field}: {number}: {}", answer.body);
        answer.json()["content"].as_str().unwrap().to_owned()
    };
    // No line is indented that far.
    for number in ["9223372036854775807", "9223372036854775808", "1e30"] {
        assert_eq!(content("n_indent", number), "one\n  ", "{number}");
    }
    assert_eq!(content("n_indent", "-1e30"), "one\n  two");
    for number in ["1e30", "-5", "-1e30"] {
        assert_eq!(content("n_predict", number), "one\n  two", "{number}: no limit");
    }
    for field in ["t_max_predict_ms", "n_probs", "top_k", "min_keep", "repeat_last_n", "mirostat", "seed"] {
        for number in ["9223372036854775808", "1e30", "-1e30"] {
            assert_eq!(content(field, number), "one\n  two", "{field}: {number}");
        }
    }
    let settings = |field: &str, number: &str| {
        let body = format!(r#"{{"prompt": "a", "n_predict": 1, "{field}": {number}}}"#);
        let answer = lar.raw(&lar.head("POST", "/completion", body.len()), body.as_bytes());
        answer.json()["generation_settings"][field].clone()
    };
    assert_eq!(settings("mirostat", "3"), 2);
    assert_eq!(settings("top_k", "2.5"), 2, "the fraction is cut off");
    assert_eq!(settings("repeat_last_n", "1e30"), i32::MAX);
    // Token ids are not clamped.
    for tokens in ["[-1]", "[4294967296]", "[1e30]"] {
        let body = format!(r#"{{"tokens": {tokens}}}"#);
        let refused = lar.raw(&lar.head("POST", "/detokenize", body.len()), body.as_bytes());
        assert_eq!((refused.status, &refused.json()["error"]["param"]), (400, &json!("tokens[0]")));
    }
}

#[test]
fn probabilities_are_reported_after_the_samplers() {
    let lar = Lar::start();
    let ask = |more: Value| {
        let mut body = json!({ "prompt": "one two three four", "n_predict": 6, "seed": 7, "n_probs": 5,
            "post_sampling_probs": true });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = lar.post("/completion", &body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(!answer.head.contains("x-lar-ignored"), "{}", answer.head);
        answer
    };
    let tokens = |answer: &Value| answer["completion_probabilities"].as_array().unwrap().clone();
    let check = |token: &Value| {
        let top = token["top_probs"].as_array().unwrap();
        let probabilities: Vec<f64> = top.iter().map(|one| one["prob"].as_f64().unwrap()).collect();
        assert_eq!(top.len(), 3, "{token}");
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-4, "{token}");
        assert!(probabilities.is_sorted_by(|one, next| one >= next), "{token}");
        assert!(
            top.iter().any(|one| (&one["id"], &one["prob"]) == (&token["id"], &token["prob"])),
            "{token}"
        );
        assert!(token.get("logprob").is_none() && token.get("top_logprobs").is_none(), "{token}");
    };
    let of_three = json!({ "temperature": 1.0, "top_k": 3, "top_p": 1.0, "min_p": 0.0 });
    let whole = ask(of_three.clone()).json();
    assert_eq!(whole["generation_settings"]["post_sampling_probs"], true);
    assert!(!tokens(&whole).is_empty());
    tokens(&whole).iter().for_each(check);
    let mut streamed = of_three;
    streamed["stream"] = json!(true);
    let parts = ask(streamed).events();
    let parts = parts.iter().filter(|(_, part)| part["completion_probabilities"].is_array());
    let reported: Vec<Value> = parts.flat_map(|(_, part)| tokens(part)).collect();
    assert!(!reported.is_empty());
    reported.iter().for_each(check);

    // If all tokens of the vocabulary are left, the most likely ones are reported.
    let of_all = json!({ "temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0 });
    for token in tokens(&ask(of_all).json()) {
        let top = token["top_probs"].as_array().unwrap();
        let probabilities: Vec<f64> = top.iter().map(|one| one["prob"].as_f64().unwrap()).collect();
        assert_eq!(top.len(), 5, "{token}");
        assert!(probabilities.is_sorted_by(|one, next| one >= next), "{token}");
        let chosen = token["prob"].as_f64().unwrap();
        assert!(chosen > 0.0 && chosen <= probabilities[0], "{token}");
        assert!(probabilities.iter().sum::<f64>() < 1.0 + 1e-4, "{token}");
    }

    // At temperature 0 only the most likely token is left, also under a grammar.
    for more in [json!({}), json!({ "grammar": "root ::= \"one two three\"" })] {
        let mut body = json!({ "temperature": 0.0 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        for token in tokens(&ask(body).json()) {
            assert_eq!(token["prob"], 1.0, "{token}");
            let top: Vec<&Value> =
                token["top_probs"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
            assert_eq!(top, [&token["id"]], "{token}");
        }
    }
    for token in tokens(&ask(json!({ "post_sampling_probs": false })).json()) {
        assert!(token["logprob"].is_number() && token.get("prob").is_none(), "{token}");
        assert_eq!(token["top_logprobs"].as_array().unwrap().len(), 5, "{token}");
    }
}
