//! Structured output: JSON, grammars and tool calls. Also several answers to one request, logprobs and
//! samplers.

use lar_tests::Lar;
use serde_json::{Value, json};

fn chat(more: Value) -> Value {
    let mut body = json!({
        "model": "default", "max_tokens": 160, "temperature": 0,
        "messages": [{ "role": "user", "content": "Ada lives in Paris and is 36. What is the weather there?" }],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn weather(more: Value) -> Value {
    let parameters = json!({
        "type": "object", "required": ["city"], "additionalProperties": false,
        "properties": { "city": { "type": "string", "maxLength": 20 }, "unit": { "enum": ["C", "F"] } },
    });
    let tool = |name: &str| {
        json!({
            "type": "function",
            "function": { "name": name, "description": "The weather in a city", "parameters": parameters },
        })
    };
    let mut body = chat(json!({ "tools": [tool("get_weather"), tool("get_forecast")] }));
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[test]
fn an_answer_matches_its_schema_streamed_or_not() {
    let lar = Lar::start();
    let schema = json!({
        "type": "object", "required": ["name", "age"], "additionalProperties": false,
        "properties": { "name": { "type": "string", "maxLength": 12 }, "age": { "type": "integer", "maximum": 200 } },
    });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "person", "schema": schema } });
    for temperature in [0.0, 1.8] {
        let body = chat(json!({ "response_format": format, "temperature": temperature, "seed": 3 }));
        let whole = lar.post("/v1/chat/completions", &body).json();
        assert_eq!(whole["choices"][0]["finish_reason"], "stop", "{whole}");
        let text = whole["choices"][0]["message"]["content"].as_str().unwrap();
        let person: Value = serde_json::from_str(text).unwrap();
        assert!(person["name"].is_string() && person["age"].is_i64(), "{person}");
        assert_eq!(person.as_object().unwrap().len(), 2);
        let mut streamed = body;
        streamed["stream"] = json!(true);
        let events = lar.post("/v1/chat/completions", &streamed).events();
        let pieces: String =
            events.iter().filter_map(|(_, data)| data["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(pieces, text);
    }
    let object = chat(json!({ "response_format": { "type": "json_object" }, "max_tokens": 40 }));
    let text = lar.post("/v1/chat/completions", &object).json();
    assert!(text["choices"][0]["message"]["content"].as_str().unwrap().starts_with('{'), "{text}");
    let plain = json!({ "model": "default", "prompt": "Numbers:", "json_schema": { "const": [1, 2] } });
    let text = lar.post("/v1/completions", &plain).json()["choices"][0]["text"].as_str().unwrap().to_owned();
    assert_eq!(text.replace(char::is_whitespace, ""), "[1,2]");
}

#[test]
fn unsupported_constraints_are_refused_with_their_field() {
    let lar = Lar::start();
    let schema = |schema: Value| json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "x", "strict": true, "schema": schema } } });
    for (more, param, reason) in [
        (schema(json!({ "type": "array", "uniqueItems": true })), "response_format", "uniqueItems"),
        (schema(json!([])), "response_format.json_schema.schema", "object"),
        (schema(json!({ "$ref": "https://example.com/" })), "response_format", "$ref"),
        (schema(json!({ "description": "x".repeat(300_000) })), "response_format", "bytes"),
        (json!({ "response_format": { "type": "xml" } }), "response_format.type", "json_schema"),
        (json!({ "n": 17 }), "n", "16"),
        (json!({ "grammar": "root := 1" }), "grammar", "`::=` is expected"),
        (json!({ "grammar": "other ::= \"a\"" }), "grammar", "no rule `root`"),
        (json!({ "grammar": "root ::= \"(\" root \")\" | \"x\"" }), "grammar", "engines.gbnf"),
        (json!({ "grammar": format!("root ::= \"{}\"", "x".repeat(40_000)) }), "grammar", "bytes"),
        (
            json!({ "grammar": format!("root ::= {}\"a\"{}", "(".repeat(9000), ")".repeat(9000)) }),
            "grammar",
            "parentheses",
        ),
        (json!({ "grammar": "root ::= \"a\"", "json_schema": {} }), "grammar", "together"),
        (json!({ "samplers": ["top_k", "magic"] }), "samplers", "magic"),
        (json!({ "samplers": ["top_k", "top_k"] }), "samplers", "twice"),
        (json!({ "n_keep": 5 }), "n_keep", "context_shift"),
        (json!({ "n_keep": -2, "context_shift": true }), "n_keep", "-1"),
        (json!({ "logprobs": true, "top_logprobs": 21 }), "top_logprobs", "20"),
        (json!({ "top_logprobs": 2 }), "top_logprobs", "logprobs"),
        (json!({ "mirostat": 3 }), "mirostat", "2"),
        (json!({ "tool_choice": "required" }), "tool_choice", "no tools"),
        (
            json!({ "messages": [{ "role": "tool", "content": "18 C" }] }),
            "messages[0].tool_call_id",
            "missing",
        ),
    ] {
        let answer = lar.post("/v1/chat/completions", &chat(more));
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["param"]), (400, &json!(param)), "{error}");
        assert!(error["message"].as_str().unwrap().contains(reason), "{error}");
    }
    let schema =
        json!({ "type": "object", "properties": { "a": { "type": "string", "format": "made-up" } } });
    let required = json!({ "tool_choice": "required", "tools": [
        { "type": "function", "function": { "name": "a", "parameters": schema } },
    ] });
    let answer = lar.post("/v1/chat/completions", &chat(required));
    assert!(answer.status == 200 || answer.json()["error"]["param"] == "tools", "{}", answer.body);
    let fill = json!({ "model": "default", "prompt": "a", "suffix": "b" });
    let answer = lar.post("/v1/completions", &fill);
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &json!("unsupported_parameter")));
}

#[test]
fn required_tools_are_called_and_tool_results_are_accepted() {
    let lar = Lar::start();
    let named = json!({ "type": "function", "function": { "name": "get_forecast" } });
    for (choice, names) in
        [(json!("required"), vec!["get_weather", "get_forecast"]), (named, vec!["get_forecast"])]
    {
        let body = weather(json!({ "tool_choice": choice, "parallel_tool_calls": false }));
        let whole = lar.post("/v1/chat/completions", &body).json();
        let choice = &whole["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls", "{whole}");
        assert_eq!(choice["message"]["content"], Value::Null);
        let calls = choice["message"]["tool_calls"].as_array().unwrap();
        assert_eq!(calls.len(), 1, "{whole}");
        assert!(names.contains(&calls[0]["function"]["name"].as_str().unwrap()), "{whole}");
        let arguments = calls[0]["function"]["arguments"].as_str().unwrap();
        let parsed: Value = serde_json::from_str(arguments).unwrap();
        assert!(parsed["city"].is_string(), "{parsed}");

        let mut streamed = body;
        streamed["stream"] = json!(true);
        let events = lar.post("/v1/chat/completions", &streamed).events();
        let deltas: Vec<&Value> =
            events.iter().filter_map(|(_, data)| data["choices"][0]["delta"]["tool_calls"].get(0)).collect();
        assert!(deltas[0]["id"].as_str().unwrap().starts_with("call_"), "{deltas:?}");
        assert_eq!(deltas[0]["function"]["name"], calls[0]["function"]["name"]);
        assert!(deltas.len() > 3, "arguments come in pieces: {deltas:?}");
        let pieces: String =
            deltas.iter().filter_map(|delta| delta["function"]["arguments"].as_str()).collect();
        assert_eq!(pieces, arguments);
    }
    let none = lar.post("/v1/chat/completions", &weather(json!({ "tool_choice": "none", "max_tokens": 8 })));
    assert_eq!(none.json()["choices"][0]["message"].get("tool_calls"), None);

    let call = json!({
        "role": "assistant", "content": null,
        "tool_calls": [{ "id": "c1", "type": "function",
            "function": { "name": "get_weather", "arguments": "{\"city\": \"Paris\"}" } }],
    });
    let messages = json!([
        { "role": "user", "content": "What is the weather in Paris?" },
        call,
        { "role": "tool", "tool_call_id": "c1", "content": "18 C and sunny" },
    ]);
    let answer = lar.post("/v1/chat/completions", &weather(json!({ "messages": messages })));
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[test]
fn several_answers_share_a_prompt_and_report_their_tokens() {
    let lar = Lar::start();
    let more =
        json!({ "n": 3, "logprobs": true, "top_logprobs": 2, "max_tokens": 12, "temperature": 1, "seed": 5 });
    let body = chat(more);
    let whole = lar.post("/v1/chat/completions", &body).json();
    let choices = whole["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 3, "{whole}");
    let texts: Vec<&str> =
        choices.iter().map(|choice| choice["message"]["content"].as_str().unwrap()).collect();
    assert!(texts[0] != texts[1] || texts[1] != texts[2], "each has a seed of its own: {texts:?}");
    for (choice, text) in choices.iter().zip(&texts) {
        let tokens = choice["logprobs"]["content"].as_array().unwrap();
        let bytes: Vec<u8> = tokens
            .iter()
            .flat_map(|token| token["bytes"].as_array().unwrap())
            .map(|byte| u8::try_from(byte.as_u64().unwrap()).unwrap())
            .collect();
        assert_eq!(String::from_utf8_lossy(&bytes).trim_end(), text.trim_end());
        for token in tokens {
            let best = token["top_logprobs"][0]["logprob"].as_f64().unwrap();
            let own = token["logprob"].as_f64().unwrap();
            assert!(own <= best && best <= 0.0 && token["top_logprobs"].as_array().unwrap().len() == 2);
        }
    }
    let usage = &whole["usage"];
    assert!(
        usage["completion_tokens"].as_u64().unwrap() <= 36 && usage["prompt_tokens"].as_u64().unwrap() < 60
    );

    let mut streamed = body;
    streamed["stream"] = json!(true);
    let answer = lar.post("/v1/chat/completions", &streamed);
    let mut pieces = vec![String::new(); 3];
    for (_, data) in answer.events() {
        for choice in data["choices"].as_array().into_iter().flatten() {
            let index = usize::try_from(choice["index"].as_u64().unwrap()).unwrap();
            pieces[index].push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        }
    }
    assert_eq!(pieces.len(), texts.len());
    assert!(answer.body.trim_end().ends_with("data: [DONE]"));

    let plain = json!({ "model": "default", "prompt": "The capital of France is", "logprobs": 1, "max_tokens": 4, "temperature": 0 });
    let whole = lar.post("/v1/completions", &plain).json();
    let logprobs = &whole["choices"][0]["logprobs"];
    let tokens: String =
        logprobs["tokens"].as_array().unwrap().iter().map(|token| token.as_str().unwrap()).collect();
    assert_eq!(tokens, whole["choices"][0]["text"].as_str().unwrap());
    assert_eq!(logprobs["text_offset"][0], 0);
}

#[test]
fn an_answer_matches_a_gbnf_grammar() {
    let lar = Lar::start_with("[engines]\ngbnf = true\n");
    let text = |grammar: &str, temperature: f64| {
        let more = json!({ "grammar": grammar, "temperature": temperature, "seed": 5, "max_tokens": 60 });
        let answer = lar.post("/v1/chat/completions", &chat(more)).json();
        let choice = &answer["choices"][0];
        assert_eq!(choice["finish_reason"], "stop", "{answer}");
        choice["message"]["content"].as_str().unwrap_or_default().to_owned()
    };
    for temperature in [0.0, 1.9] {
        let answer = text("root ::= word (\" \" word){2}\nword ::= \"yes\" | \"no\"", temperature);
        let words: Vec<&str> = answer.split(' ').collect();
        assert!(words.len() == 3 && words.iter().all(|word| ["yes", "no"].contains(word)), "{answer}");
        // A recursive grammar, which llama.cpp's own code applies.
        let answer = text("root ::= \"(\" inner \")\"\ninner ::= \"x\" | root", temperature);
        let (open, close) = (answer.matches('(').count(), answer.matches(')').count());
        assert!(open > 0 && open == close && answer.contains('x'), "{answer}");
    }
    // A grammar that llama.cpp's own code would expand without end.
    let hostile = chat(json!({ "grammar": "root ::= x{500} \"!\"\nx ::= \"a\"?", "max_tokens": 6 }));
    let answer = lar.post("/v1/chat/completions", &hostile).json();
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap_or_default();
    assert!(text.trim_end_matches('!').chars().all(|one| one == 'a') && !text.is_empty(), "{answer}");
}

#[test]
fn samplers_run_in_the_requested_order() {
    let lar = Lar::start();
    let body = |samplers: Value| {
        let more =
            json!({ "samplers": samplers, "temperature": 1.5, "seed": 11, "top_k": 1, "max_tokens": 12 });
        let answer = lar.post("/v1/chat/completions", &chat(more)).json();
        answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
    };
    let greedy = chat(json!({ "max_tokens": 12 }));
    let greedy = lar.post("/v1/chat/completions", &greedy).json()["choices"][0]["message"]["content"].clone();
    // With `top_k` 1 only the most likely token is left. Without that sampler, tokens are drawn.
    assert_eq!(json!(body(json!(["top_k", "temperature"]))), greedy);
    assert_ne!(json!(body(json!(["temperature"]))), greedy);
}

#[test]
fn an_answer_may_outgrow_its_context_on_request() {
    let lar = Lar::start_with("[engines]\ncontext_tokens_max = 256");
    let body = |more: Value| {
        let mut body = json!({ "model": "default", "prompt": "Count: one, two,", "max_tokens": 400, "ignore_eos": true, "temperature": 0 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        lar.post("/v1/completions", &body).json()["usage"]["completion_tokens"].as_u64().unwrap()
    };
    assert!(body(json!({})) < 256);
    assert_eq!(body(json!({ "context_shift": true, "n_keep": 4 })), 400);
}
