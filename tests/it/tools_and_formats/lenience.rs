//! Tool and reasoning fields that other servers accept: each API applies them, ignores them, or refuses them by name.

use lar_tests::Lar;
use serde_json::{Value, json};

use super::{apis, ask, ignored};

#[test]
fn reasoning_fields_are_listed_as_ignored_where_the_model_has_no_reasoning() {
    let lar = Lar::start();
    let kwargs = json!({ "chat_template_kwargs": { "enable_thinking": false, "date": "today" } });
    for (api, more, named) in [
        (0, json!({ "reasoning_effort": "low" }), "reasoning_effort"),
        (0, kwargs, "chat_template_kwargs.enable_thinking, chat_template_kwargs.date"),
        (1, json!({ "reasoning": { "effort": "none" } }), "reasoning.effort"),
        (2, json!({ "thinking": { "type": "disabled" } }), "thinking"),
        (3, json!({ "think": false }), "think"),
    ] {
        let answer = ask(&lar, &apis()[api], 4, &[more]);
        assert_eq!((answer.status, ignored(&answer).as_str()), (200, named), "{}", answer.body);
    }
    for (api, more, param) in [
        (0, json!({ "chat_template_kwargs": { "messages": [] } }), "chat_template_kwargs.messages"),
        (0, json!({ "reasoning_effort": "lots" }), "reasoning_effort"),
        (0, json!({ "chat_template": "{{ 1 }}" }), "chat_template"),
    ] {
        let answer = ask(&lar, &apis()[api], 4, &[more]);
        assert_eq!(
            (answer.status, &answer.json()["error"]["param"]),
            (400, &json!(param)),
            "{}",
            answer.body
        );
    }
    // Every API accepts the reasoning of earlier answers in its own field.
    for (path, body) in [
        (
            "/v1/chat/completions",
            json!({ "messages": [
            { "role": "user", "content": "?" },
            { "role": "assistant", "content": "Yes.", "reasoning_content": "hm" }, { "role": "user", "content": "Why?" },
        ] }),
        ),
        (
            "/v1/messages",
            json!({ "messages": [
            { "role": "user", "content": "?" },
            { "role": "assistant", "content": [{ "type": "thinking", "thinking": "hm", "signature": "" }, { "type": "text", "text": "Yes." }] },
            { "role": "user", "content": "Why?" },
        ] }),
        ),
        (
            "/v1/responses",
            json!({ "input": [
            { "role": "user", "content": "?" },
            { "type": "reasoning", "id": "rs_1", "summary": [], "content": [{ "type": "reasoning_text", "text": "hm" }] },
            { "role": "assistant", "content": "Yes." }, { "role": "user", "content": "Why?" },
        ] }),
        ),
        (
            "/api/chat",
            json!({ "stream": false, "messages": [
            { "role": "user", "content": "?" },
            { "role": "assistant", "content": "Yes.", "thinking": "hm" }, { "role": "user", "content": "Why?" },
        ] }),
        ),
    ] {
        let mut body = body;
        body["model"] = json!("default");
        let limit = apis().into_iter().find(|api| api.path == path).unwrap().limit;
        body.as_object_mut().unwrap().extend(limit(4).as_object().unwrap().clone());
        let answer = lar.post(path, &body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
}

#[test]
fn tools_are_accepted_as_leniently_as_by_ollama_and_llama_cpp() {
    let lar = Lar::start();
    let odd = "get \"weather\" (now)";
    let city =
        json!({ "type": "object", "properties": { "city": { "enum": ["Oslo"] } }, "required": ["city"] });
    for api in apis() {
        let path = api.path;
        let tool = |name: &str, schema: &Value| {
            let quoted = Value::from(name).to_string();
            let tool = (api.tools)(schema, false)["tools"][0].to_string().replace("\"look\"", &quoted);
            serde_json::from_str::<Value>(&tool).unwrap()
        };
        let taken = |tools: Vec<Value>, more: &Value| {
            let answer = ask(&lar, &api, 80, &[json!({ "tools": tools }), more.clone()]);
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
            answer.json()
        };
        let nothing = json!({});
        taken(
            (0..130).map(|number| tool(&format!("tool_{number}"), &json!({ "type": "object" }))).collect(),
            &nothing,
        );
        taken(vec![tool("a", &json!("string")), tool("b", &json!([1])), tool("c", &json!(true))], &nothing);
        let Some(required) = &api.required else { continue };
        // Of several tools with one name, the last counts.
        let answer = taken(vec![tool(odd, &json!({})), tool(odd, &city)], required);
        assert_eq!((api.calls)(&answer)[0], (odd.to_owned(), json!({ "city": "Oslo" })), "{path}: {answer}");
        let answer = taken(vec![tool("said", &json!({ "type": "string", "enum": ["yes"] }))], required);
        assert_eq!((api.calls)(&answer)[0].1, json!({ "input": "yes" }), "{path}: {answer}");
        let strict = (api.tools)(&json!({ "type": "string" }), true);
        assert_eq!(ask(&lar, &api, 8, &[strict]).status, 400, "{path}");
    }
    for (path, body, status) in [
        (
            "/api/generate",
            json!({ "prompt": "x", "stream": false, "options": { "num_predict": 2, "temperature": 5, "top_p": 1.5, "presence_penalty": 9, "repeat_penalty": 0 } }),
            200,
        ),
        (
            "/completion",
            json!({ "prompt": "x", "n_predict": 2, "temperature": 5, "min_p": -1, "frequency_penalty": -3, "n_probs": 50 }),
            200,
        ),
        (
            "/v1/chat/completions",
            json!({ "messages": [{ "role": "user", "content": "x" }], "temperature": 5 }),
            400,
        ),
        ("/v1/completions", json!({ "prompt": "x", "presence_penalty": 9 }), 400),
    ] {
        let mut body = body;
        body["model"] = json!("default");
        let answer = lar.post(path, &body);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
    }
}
