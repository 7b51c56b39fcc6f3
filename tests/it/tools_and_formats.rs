//! Tools whose schemas no grammar can express, tools together with a format, and formats with closed objects,
//! in each of the four APIs that accept them.

mod lenience;
mod vllm;

use lar_tests::{Answer, Lar};
use serde_json::{Value, json};

/// One API: how its requests write tools, formats and limits, and where its answers have their text and
/// calls.
struct Api {
    path: &'static str,
    tools: fn(&Value, bool) -> Value,
    format: fn(&Value) -> Value,
    limit: fn(u32) -> Value,
    text: fn(&Value) -> Option<String>,
    calls: fn(&Value) -> Vec<(String, Value)>,
    required: Option<Value>,
    /// The name of the format in errors and in `X-Lar-Ignored`.
    field: &'static str,
}

fn apis() -> [Api; 4] {
    let function = |schema: &Value, strict: bool| {
        let function = json!({ "name": "look", "parameters": schema, "strict": strict });
        json!({ "tools": [{ "type": "function", "function": function }] })
    };
    [
        Api {
            path: "/v1/chat/completions",
            tools: function,
            format: |schema| json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "x", "schema": schema } } }),
            limit: |tokens| json!({ "max_tokens": tokens }),
            text: |answer| answer["choices"][0]["message"]["content"].as_str().map(ToOwned::to_owned),
            calls: |answer| {
                let calls =
                    answer["choices"][0]["message"]["tool_calls"].as_array().cloned().unwrap_or_default();
                let call = |call: &Value| {
                    let function = &call["function"];
                    let arguments = serde_json::from_str(function["arguments"].as_str().unwrap());
                    (function["name"].as_str().unwrap().to_owned(), arguments.unwrap_or(Value::Null))
                };
                calls.iter().map(call).collect()
            },
            required: Some(json!({ "tool_choice": "required" })),
            field: "response_format",
        },
        Api {
            path: "/v1/responses",
            tools: |schema, strict| json!({ "tools": [{ "type": "function", "name": "look", "parameters": schema, "strict": strict }] }),
            format: |schema| json!({ "text": { "format": { "type": "json_schema", "name": "x", "schema": schema } } }),
            limit: |tokens| json!({ "max_output_tokens": tokens }),
            text: |answer| {
                let item = answer["output"].as_array()?.iter().find(|item| item["type"] == "message")?;
                item["content"][0]["text"].as_str().map(ToOwned::to_owned)
            },
            calls: |answer| {
                let items = answer["output"].as_array().cloned().unwrap_or_default();
                let calls = items.iter().filter(|item| item["type"] == "function_call").map(|call| {
                    let arguments = serde_json::from_str(call["arguments"].as_str().unwrap());
                    (call["name"].as_str().unwrap().to_owned(), arguments.unwrap_or(Value::Null))
                });
                calls.collect()
            },
            required: Some(json!({ "tool_choice": "required" })),
            field: "text.format",
        },
        Api {
            path: "/v1/messages",
            tools: |schema, strict| json!({ "tools": [{ "name": "look", "input_schema": schema, "strict": strict }] }),
            format: |schema| json!({ "output_config": { "format": { "type": "json_schema", "schema": schema } } }),
            limit: |tokens| json!({ "max_tokens": tokens }),
            text: |answer| {
                let block = answer["content"].as_array()?.iter().find(|block| block["type"] == "text")?;
                block["text"].as_str().map(ToOwned::to_owned)
            },
            calls: |answer| {
                let blocks = answer["content"].as_array().cloned().unwrap_or_default();
                let calls = blocks.iter().filter(|block| block["type"] == "tool_use");
                calls.map(|call| (call["name"].as_str().unwrap().to_owned(), call["input"].clone())).collect()
            },
            required: Some(json!({ "tool_choice": { "type": "any" } })),
            field: "output_config",
        },
        Api {
            path: "/api/chat",
            tools: function,
            format: |schema| json!({ "format": schema }),
            limit: |tokens| json!({ "options": { "num_predict": tokens, "temperature": 0 }, "stream": false }),
            text: |answer| answer["message"]["content"].as_str().map(ToOwned::to_owned),
            calls: |answer| {
                let calls = answer["message"]["tool_calls"].as_array().cloned().unwrap_or_default();
                let call = |call: &Value| {
                    let function = &call["function"];
                    (function["name"].as_str().unwrap().to_owned(), function["arguments"].clone())
                };
                calls.iter().map(call).collect()
            },
            required: None,
            field: "format",
        },
    ]
}

fn ask(lar: &Lar, api: &Api, tokens: u32, more: &[Value]) -> Answer {
    let text = "Ada is 36 years old. Extract the person.";
    let mut body = json!({ "model": "default" });
    let fields = body.as_object_mut().unwrap();
    match api.path {
        "/v1/responses" => {
            fields.extend(json!({ "input": text, "temperature": 0 }).as_object().unwrap().clone())
        }
        _ => {
            fields.insert("messages".into(), json!([{ "role": "user", "content": text }]));
            if api.path != "/api/chat" {
                fields.insert("temperature".into(), json!(0));
            }
        }
    }
    let limit = (api.limit)(tokens);
    for more in more.iter().chain([&limit]) {
        fields.extend(more.as_object().unwrap().clone());
    }
    lar.post(api.path, &body)
}

fn ignored(answer: &Answer) -> String {
    let line = answer.head.lines().find_map(|line| line.strip_prefix("x-lar-ignored: "));
    line.unwrap_or_default().to_owned()
}

fn person(more: Value) -> Value {
    let mut schema = json!({
        "type": "object", "required": ["name", "age"],
        "properties": { "name": { "type": "string", "maxLength": 12 }, "age": { "type": "integer", "maximum": 200 } },
    });
    schema.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    schema
}

#[test]
fn every_api_accepts_tools_and_formats_that_no_grammar_can_express() {
    let lar = Lar::start();
    let hard = json!({
        "type": "object", "propertyNames": { "pattern": "^(?!x)" }, "if": {}, "not": { "required": ["z"] },
        "properties": {
            "tags": { "type": "array", "items": { "type": "string", "format": "idn-email" }, "uniqueItems": true },
            "of": { "oneOf": [{ "type": "string" }, { "type": "string", "minLength": 2 }], "enum": null },
        },
    });
    for api in apis() {
        let path = api.path;
        let loose = ask(&lar, &api, 8, &[(api.tools)(&hard, false)]);
        assert_eq!(loose.status, 200, "{path}: {}", loose.body);
        let named = ignored(&loose);
        for keyword in ["propertyNames", "not", "properties.tags.uniqueItems", "properties.tags.items.format"]
        {
            // The testkit reads heads in lower case.
            let keyword = format!("tools[0].{keyword}").to_lowercase();
            assert!(named.contains(&keyword), "{path}: {named}");
        }
        let format = ask(&lar, &api, 8, &[(api.format)(&person(json!({ "minProperties": 1, "not": {} })))]);
        assert_eq!(format.status, 200, "{path}: {}", format.body);
        assert_eq!(ignored(&format), format!("{}.not", api.field).to_lowercase(), "{path}");
        if path != "/api/chat" {
            let strict = ask(&lar, &api, 8, &[(api.tools)(&hard, true)]);
            assert_eq!(strict.status, 400, "{path}: {}", strict.body);
            assert!(
                strict.body.contains("tools[0]") && strict.body.contains("propertyNames"),
                "{}",
                strict.body
            );
        }
        if let Some(required) = &api.required {
            let simple = person(json!({ "unevaluatedProperties": false }));
            let answer = ask(&lar, &api, 80, &[(api.tools)(&simple, false), required.clone()]);
            let calls = (api.calls)(&answer.json());
            assert_eq!(calls[0].0, "look", "{path}: {}", answer.body);
            assert_eq!(calls[0].1.as_object().unwrap().len(), 2, "the other keywords apply: {}", answer.body);
        }
    }
    for (schema, reason) in [
        (json!({ "type": "integer", "minimum": 1e60 }), "`minimum` cannot be expressed"),
        (json!({ "type": "array", "items": { "not": {} } }), "`items.not` cannot be expressed"),
    ] {
        let strict = json!({ "name": "x", "strict": true, "schema": schema });
        let format = json!({ "response_format": { "type": "json_schema", "json_schema": strict } });
        let answer = ask(&lar, &apis()[0], 8, &[format]);
        assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &json!("response_format")));
        assert!(answer.body.contains(reason) && !answer.body.contains("panic"), "{}", answer.body);
    }
}

#[test]
fn bounds_of_64_bits_apply_and_refuse_no_strict_schema_in_any_api() {
    let lar = Lar::start();
    let with_id = |bounds: Value| {
        let mut id = json!({ "type": "integer" });
        id.as_object_mut().unwrap().extend(bounds.as_object().unwrap().clone());
        json!({ "type": "object", "properties": { "id": id }, "required": ["id"] })
    };
    let id = |api: &Api, answer: &Answer| {
        let text = (api.text)(&answer.json()).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["id"].as_i64().unwrap()
    };
    for api in apis() {
        let path = api.path;
        for (bound, named) in [
            (json!({ "minimum": 0, "maximum": 10_000_000_000_000_000_i64 }), None),
            (json!({ "minimum": i64::MIN, "maximum": i64::MAX }), Some("minimum")),
            (json!({ "minimum": 0, "maximum": u64::MAX }), Some("maximum")),
        ] {
            let answer = ask(&lar, &api, 4, &[(api.tools)(&with_id(bound.clone()), true)]);
            assert_eq!(answer.status, 200, "{path} {bound}: {}", answer.body);
            let named = named.map(|keyword| format!("tools[0].properties.id.{keyword}"));
            let dropped = ignored(&answer);
            let bounds = dropped.split(", ").filter(|name| name.ends_with("imum")).map(ToOwned::to_owned);
            assert_eq!(bounds.collect::<Vec<_>>(), Vec::from_iter(named), "{path} {bound}");
        }
        let only = json!({ "minimum": 10_000_000_000_000_000_i64, "maximum": 10_000_000_000_000_000_i64 });
        let answer = ask(&lar, &api, 60, &[(api.format)(&with_id(only))]);
        assert_eq!(id(&api, &answer), 10_000_000_000_000_000, "{path}: {}", answer.body);
        assert_eq!(ignored(&answer), "", "{path}");
    }
    let api = &apis()[0];
    let strict = |bounds: Value| {
        let format = json!({ "name": "x", "strict": true, "schema": with_id(bounds) });
        ask(&lar, api, 60, &[json!({ "response_format": { "type": "json_schema", "json_schema": format } })])
    };
    let exact = strict(json!({ "exclusiveMinimum": (1_i64 << 53) - 2, "maximum": (1_i64 << 53) - 1 }));
    assert_eq!((id(api, &exact), ignored(&exact)), ((1 << 53) - 1, String::new()), "{}", exact.body);
    // No double equals 2^53 + 1: its neighbors are allowed, and both bounds are listed as ignored.
    let near = strict(json!({ "minimum": (1_i64 << 53) + 1, "maximum": (1_i64 << 53) + 1 }));
    assert!(((1 << 53)..=(1 << 53) + 2).contains(&id(api, &near)), "{}", near.body);
    let named = ["minimum", "maximum"].map(|keyword| format!("response_format.properties.id.{keyword}"));
    assert_eq!(ignored(&near), named.join(", "));
}

#[test]
fn every_api_accepts_tools_together_with_a_format() {
    let lar = Lar::start();
    let tool = json!({ "type": "object", "properties": { "city": { "type": "string", "maxLength": 9 } }, "required": ["city"] });
    for api in apis() {
        let path = api.path;
        let both = [(api.tools)(&tool, false), (api.format)(&person(json!({})))];
        let answer = ask(&lar, &api, 80, &both);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let (calls, text) = ((api.calls)(&answer.json()), (api.text)(&answer.json()).unwrap_or_default());
        if calls.is_empty() {
            let person: Value = serde_json::from_str(&text).unwrap();
            assert!(person["name"].is_string() && person["age"].is_i64(), "{path}: {text}");
        } else {
            assert!(text.is_empty() && calls[0].1["city"].is_string(), "{path}: {}", answer.body);
        }
        let Some(required) = &api.required else { continue };
        let answer = ask(&lar, &api, 80, &[both.as_slice(), std::slice::from_ref(required)].concat());
        let calls = (api.calls)(&answer.json());
        assert!(
            calls[0].1["city"].is_string(),
            "{path}: the format does not apply to calls: {}",
            answer.body
        );

        // A call that is cut at its start leaves nothing in the text; the finish reason reports the cut.
        let cut = ask(&lar, &api, 3, &[(api.tools)(&tool, false), required.clone()]).json();
        assert_eq!((api.text)(&cut).unwrap_or_default(), "", "{path}: {cut}");
        let reasons =
            [&cut["choices"][0]["finish_reason"], &cut["stop_reason"], &cut["incomplete_details"]["reason"]];
        let reason = reasons.iter().find_map(|reason| reason.as_str()).unwrap();
        assert!(["length", "max_tokens", "max_output_tokens"].contains(&reason), "{path}: {cut}");
    }
}

#[test]
fn objects_that_list_their_properties_get_no_others() {
    let lar = Lar::start();
    for api in apis() {
        let answer = ask(&lar, &api, 80, &[(api.format)(&person(json!({})))]);
        let text = (api.text)(&answer.json()).unwrap();
        let person: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(person.as_object().unwrap().len(), 2, "{}: {text}", api.path);
    }
    let open = person(json!({ "additionalProperties": true }));
    let answer = ask(&lar, &apis()[0], 40, &[(apis()[0].format)(&open)]);
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[test]
fn a_schema_with_thousands_of_properties_is_loosened_and_an_empty_prompt_is_answered() {
    let lar = Lar::start();
    let wide: serde_json::Map<String, Value> =
        (0..5000).map(|number| (format!("property_{number}"), json!({ "type": "string" }))).collect();
    let wide = json!({ "type": "object", "properties": wide });
    let api = &apis()[0];
    let loose = ask(&lar, api, 8, &[(api.format)(&wide)]);
    assert_eq!(
        (loose.status, ignored(&loose).as_str()),
        (200, "response_format.properties"),
        "{}",
        loose.body
    );
    let strict =
        json!({ "type": "json_schema", "json_schema": { "name": "x", "strict": true, "schema": wide } });
    let strict = ask(&lar, api, 8, &[json!({ "response_format": strict })]);
    assert_eq!((strict.status, &strict.json()["error"]["param"]), (400, &json!("response_format")));

    for body in [json!({ "prompt": "" }), json!({ "prompt": [""] })] {
        let mut body = body;
        body["model"] = json!("default");
        body["max_tokens"] = json!(4);
        let answer = lar.post("/v1/completions", &body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.json()["usage"]["prompt_tokens"], 1);
    }
}

#[test]
fn a_complete_call_that_violates_its_schema_is_named() {
    let lar = Lar::start();
    let schema = |more: Value| {
        let mut schema =
            json!({ "type": "object", "properties": { "city": { "enum": ["Oslo"] } }, "required": ["city"] });
        schema.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        schema
    };
    for api in apis() {
        let Some(required) = &api.required else { continue };
        let called = |schema: &Value| {
            let answer = ask(&lar, &api, 80, &[(api.tools)(schema, false), required.clone()]);
            assert_eq!(answer.status, 200, "{}: {}", api.path, answer.body);
            assert_eq!((api.calls)(&answer.json())[0].1, json!({ "city": "Oslo" }), "{}", answer.body);
            ignored(&answer)
        };
        assert_eq!(called(&schema(json!({}))), "", "{}", api.path);
        let named = called(&schema(json!({ "not": { "required": ["city"] } })));
        assert!(named.starts_with("tools[0].not, tool_calls[0].arguments.not"), "{}: {named}", api.path);
    }
}
