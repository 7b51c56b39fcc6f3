//! Parses answers of common model families, split at any position.

mod families;

use lar_inference::{CallPart, Chat, Constraint, OutputPart, Tool, ToolChoice};

use crate::{ModelFormat, OutputFormat, OutputParser, names};
use families::{HERMES_TEMPLATE, families, hermes};

fn chat(choice: ToolChoice) -> Chat {
    let parameters = r#"{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}"#;
    let tool = Tool { name: "weather".into(), parameters: parameters.into(), ..Tool::default() };
    Chat { tools: vec![tool], tool_choice: choice, ..Chat::default() }
}

/// Returns the text, the reasoning and the calls of an answer that arrives in chunks of `size` characters.
fn read(
    template: &str,
    rendered: &str,
    answer: &str,
    size: usize,
) -> (String, String, Vec<(String, String)>) {
    let output_format = ModelFormat::from_template(template).output_format(&chat(ToolChoice::Auto), rendered);
    let mut reader = OutputParser::new(&output_format).unwrap();
    let characters: Vec<char> = answer.chars().collect();
    let mut parts: Vec<OutputPart> =
        characters.chunks(size).flat_map(|piece| reader.push(&piece.iter().collect::<String>())).collect();
    parts.extend(reader.finish(false));
    let (mut text, mut reasoning, mut calls) = (String::new(), String::new(), Vec::new());
    for part in parts {
        match part {
            OutputPart::Text(more) => text.push_str(&more),
            OutputPart::Reasoning(more) => reasoning.push_str(&more),
            OutputPart::Call(CallPart { index, name, arguments }) => {
                if let Some(name) = name {
                    calls.push((name, String::new()));
                }
                let call: &mut (String, String) = &mut calls[index];
                call.1.push_str(&arguments);
            }
        }
    }
    assert_eq!(reader.calls(), calls.len());
    (text, reasoning, calls)
}

#[test]
fn tool_calls_of_all_families_parse_in_any_chunking() {
    for (template, answer, count) in families() {
        assert!(ModelFormat::from_template(template).supports_tools(), "{template}");
        let whole = read(template, "", &answer, 100_000);
        assert_eq!(whole.2.len(), count, "{answer}: {whole:?}");
        assert_eq!(whole.2[0].0, "weather", "{answer}");
        let arguments: serde_json::Value = serde_json::from_str(&whole.2[0].1).unwrap();
        assert_eq!(arguments, serde_json::json!({ "city": "Oslo" }), "{answer}");
        assert!(!whole.0.contains(['<', '[', '{', ']']), "{answer}: {}", whole.0);
        for size in 1..12 {
            assert_eq!(read(template, "", &answer, size), whole, "{answer} by {size}");
        }
    }
}

#[test]
fn a_truncated_call_keeps_its_partial_arguments() {
    let (text, _, calls) = read(HERMES_TEMPLATE, "", "So: <tool_call>\n{\"name\": \"weather\", \"arg", 3);
    assert_eq!((text.as_str(), calls), ("So:", vec![("weather".into(), String::new())]));
    let closed = hermes("Oslo").replace("}}", "}}}");
    let (text, _, calls) = read(HERMES_TEMPLATE, "", &closed, 3);
    assert_eq!(
        (text.as_str(), calls[0].1.as_str()),
        ("", "{\"city\": \"Oslo\"}"),
        "more brackets closed than opened"
    );
    let (text, _, calls) = read(HERMES_TEMPLATE, "", "<tool_call>\n{\"na", 3);
    assert_eq!((text.as_str(), calls.len()), ("<tool_call>\n{\"na", 0));
}

proptest::proptest! {
    #[test]
    fn chunking_does_not_change_the_parse(
        family in 0..families().len(), begin in 0usize..20, junk in "[<>a{}\\[\\]\",: \n]{0,12}", end: bool, size in 1usize..9,
    ) {
        let (template, answer, _) = &families()[family];
        let at = answer.char_indices().map(|(at, _)| at).nth(begin).unwrap_or(0);
        let answer = if end { format!("{answer}{junk}") } else { format!("{}{junk}{}", &answer[..at], &answer[at..]) };
        proptest::prop_assert_eq!(read(template, "", &answer, size), read(template, "", &answer, 100_000));
    }

    #[test]
    fn plain_text_passes_unchanged(text in "[a-z.,!?'0-9 é🦉]{0,60}", size in 1usize..9) {
        for (template, ..) in families() {
            proptest::prop_assert_eq!(read(template, "", &text, size).0, text.clone());
        }
    }
}

#[test]
fn text_that_is_no_call_stays_text() {
    for answer in ["I need no tool for 3 < 4.", "<tool", "a <tool_cal b", "[1, 2]", "{\"a\": 1}"] {
        for size in [1, 2, 1000] {
            assert_eq!(
                read(HERMES_TEMPLATE, "", answer, size),
                (answer.into(), String::new(), vec![]),
                "by {size}"
            );
        }
    }
}

#[test]
fn reasoning_is_split_from_text() {
    let template = "<think></think>{{ tools }}<tool_call>";
    let answer = "<think>\nA call, <tool_call>?\n</think>\n\nYes.<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}\n</tool_call>";
    for size in [1, 4, 1000] {
        let (text, reasoning, calls) = read(template, "", answer, size);
        assert_eq!((text.trim(), reasoning.trim()), ("Yes.", "A call, <tool_call>?"), "by {size}");
        assert_eq!(calls.len(), 1);
    }
    let harmony = "{{ tools }}<|channel|>analysis<|message|> functions.";
    let answer = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.";
    for size in [1, 7, 1000] {
        let (text, reasoning, _) = read(harmony, "<|start|>assistant", answer, size);
        assert_eq!((text.as_str(), reasoning.as_str()), ("Yes.", "Hm."), "by {size}");
    }
    let alone = ModelFormat::from_template(harmony).output_format(&Chat::default(), "<|start|>assistant");
    assert!(
        ["<|channel|>", "<|message|>", "<|end|>"]
            .iter()
            .all(|mark| alone.preserved.iter().any(|kept| kept == mark))
    );
    let mut reader = OutputParser::new(&alone).unwrap();
    assert_eq!(
        [reader.push(answer), reader.finish(false)].concat(),
        [OutputPart::Reasoning("Hm.".into()), OutputPart::Text("Yes.".into())],
        "also without tools"
    );
    let (text, reasoning, _) = read(template, "…<think>\n", "hm</think>so", 2);
    assert_eq!((text.as_str(), reasoning.as_str()), ("so", "hm"));
}

#[test]
fn an_assistant_prefill_starts_after_the_reasoning() {
    let begin = |template: &str, rendered: &str| {
        let mut rendered = rendered.to_owned();
        let chat = Chat { assistant_prefill: "Once".into(), ..Chat::default() };
        ModelFormat::from_template(template).append_prefill(&mut rendered, &chat);
        rendered
    };
    assert_eq!(begin("", "<|assistant|>"), "<|assistant|>Once");
    assert_eq!(begin("<think></think>", "<|a|><think>\n"), "<|a|><think>\n</think>\n\nOnce");
    let harmony = "{{ tools }}<|channel|>analysis<|message|> functions.";
    assert_eq!(begin(harmony, "<|start|>assistant"), "<|start|>assistant<|channel|>final<|message|>Once");
}

#[test]
fn required_calls_constrain_the_whole_answer() {
    let native = ModelFormat::from_template("{{ tools }}<tool_call>");
    let constrained_part =
        |format: &ModelFormat, choice| match format.output_format(&chat(choice), "").constraint {
            Some(Constraint::ToolCalls(_)) => "calls",
            Some(_) => "answer",
            None => "nothing",
        };
    assert_eq!(constrained_part(&native, ToolChoice::Auto), "calls");
    assert_eq!(constrained_part(&native, ToolChoice::Required), "answer");
    let none = ModelFormat::from_template("{{ messages }}");
    assert_eq!(constrained_part(&none, ToolChoice::Auto), "answer");
    assert_eq!(none.output_format(&Chat::default(), ""), OutputFormat::default());
}

fn read_calls(template: &str, answer: &str, size: usize) -> (String, Vec<(String, String)>) {
    let (text, _, calls) = read(template, "", answer, size);
    (text, calls)
}

#[test]
fn an_unmarked_call_is_parsed_as_a_call() {
    let call = ("weather".to_owned(), "{\"city\": \"Oslo\"}".to_owned());
    let object = r#"{"name": "weather", "arguments": {"city": "Oslo"}}"#;
    for answer in [
        object.to_owned(),
        format!("\n {object}\n"),
        format!("```json\n{object}\n```"),
        format!("```\n{object}\n```\n"),
        r#"{"name": "weather", "parameters": {"city": "Oslo"}}"#.to_owned(),
        r#"{"arguments": {"city": "Oslo"}, "name": "weather"}"#.to_owned(),
        r#"{"type": "function", "name": "weather", "parameters": {"city": "Oslo"}}"#.to_owned(),
    ] {
        for template in [HERMES_TEMPLATE, "", "{{ tools }}[TOOL_CALLS]"] {
            for size in [1, 3, 1000] {
                assert_eq!(
                    read_calls(template, &answer, size),
                    (String::new(), vec![call.clone()]),
                    "{answer} by {size}"
                );
            }
        }
    }
    for answer in [format!("[{object}, {object}]"), format!("```json\n[\n{object},\n{object}\n]\n```")] {
        for size in [1, 3, 1000] {
            assert_eq!(
                read_calls(HERMES_TEMPLATE, &answer, size),
                (String::new(), vec![call.clone(), call.clone()]),
                "{answer} by {size}"
            );
        }
    }
    // A marked call is still parsed.
    let (text, calls) = read_calls("{{ tools }}[TOOL_CALLS]", &format!("[TOOL_CALLS] [{object}]"), 1);
    assert_eq!((text.as_str(), calls), ("", vec![call]));
}

#[test]
fn an_unmarked_call_of_an_unknown_tool_stays_text() {
    for answer in [
        r#"{"name": "Ada", "arguments": {"age": 36}}"#,
        r#"{"name": "weather"}"#,
        r#"{"name": "weather", "city": "Oslo"}"#,
        r#"{"city": "Oslo", "name": "weather", "arguments": {}}"#,
        "```json\n{\"name\": \"Ada\", \"arguments\": {}}\n```",
        "```python\nprint('{')\n```",
        "``` {",
        "[1, 2, {\"name\": \"weather\"}]",
        "I would answer {\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}",
        "``not code``",
        "{}",
    ] {
        for size in [1, 2, 1000] {
            assert_eq!(
                read_calls(HERMES_TEMPLATE, answer, size),
                (answer.to_owned(), vec![]),
                "{answer} by {size}"
            );
        }
    }
}

#[test]
fn text_is_buffered_only_while_it_may_be_a_call() {
    let output_format =
        ModelFormat::from_template(HERMES_TEMPLATE).output_format(&chat(ToolChoice::Auto), "");
    let mut reader = OutputParser::new(&output_format).unwrap();
    assert_eq!(reader.push("```"), []);
    assert_eq!(reader.push("json\n{\"na"), []);
    assert_eq!(reader.push("me\": \"Ada\""), [OutputPart::Text("```json\n{\"name\": \"Ada\"".into())]);
    assert_eq!(reader.push(", \"a\""), [OutputPart::Text(", \"a\"".into())]);
    let mut reader = OutputParser::new(&output_format).unwrap();
    assert_eq!(reader.push("{\"name\": \"weather\", \"argu"), []);
    let part = |name: Option<&str>, arguments: &str| {
        let (name, arguments) = (name.map(ToOwned::to_owned), arguments.to_owned());
        OutputPart::Call(CallPart { index: 0, name, arguments })
    };
    assert_eq!(reader.push("ments\": {\"ci"), [part(Some("weather"), "{\"ci")]);
    assert_eq!(reader.push("ty\": 1}"), [part(None, "ty\": 1}")]);
}

#[test]
fn the_start_of_a_truncated_call_is_not_text() {
    let cut = |template: &str, answer: &str| {
        let output_format = ModelFormat::from_template(template).output_format(&chat(ToolChoice::Auto), "");
        let mut reader = OutputParser::new(&output_format).unwrap();
        let parts = [reader.push(answer), reader.finish(true)].concat();
        let text = parts.iter().map(|part| match part {
            OutputPart::Text(text) | OutputPart::Reasoning(text) => text.as_str(),
            OutputPart::Call(_) => "",
        });
        text.collect::<String>()
    };
    for (template, answer, _) in families() {
        let begin = answer.find("weather").unwrap();
        let before = cut(template, &answer[..begin]);
        assert!(!before.contains(['<', '[', '{', '"']), "{answer}: {before}");
    }
    assert_eq!(cut(HERMES_TEMPLATE, "So: <tool_call>\n{\"name\": \""), "So:");
    assert_eq!(cut(HERMES_TEMPLATE, "So: <tool_"), "So:");
    assert_eq!(cut(HERMES_TEMPLATE, "2 <"), "2 <", "a single character is text");
    let llama = "{{ tools }}<|python_tag|>";
    assert_eq!(cut(llama, "{\"name\": \"wea"), "");
    assert_eq!(cut(llama, "{\"name\": \"Ad"), "{\"name\": \"Ad");
}

#[test]
fn a_call_reports_the_original_name_of_a_renamed_tool() {
    let odd = "get \"weather\" (now)";
    let written = names::plain(odd).into_owned();
    let tool = Tool { name: odd.into(), parameters: "{}".into(), ..Tool::default() };
    let chat = Chat { tools: vec![tool], ..Chat::default() };
    for (template, answer, count) in families() {
        let answer = answer.replace("weather", &written);
        let mut reader =
            OutputParser::new(&ModelFormat::from_template(template).output_format(&chat, "")).unwrap();
        let mut parts = reader.push(&answer);
        parts.extend(reader.finish(false));
        let called = parts.iter().filter_map(|part| match part {
            OutputPart::Call(call) => call.name.as_deref(),
            OutputPart::Text(_) | OutputPart::Reasoning(_) => None,
        });
        assert_eq!(called.collect::<Vec<_>>(), vec![odd; count], "{answer}");
    }
    let grammar = |choice: ToolChoice| {
        let chat = Chat { tool_choice: choice, ..chat.clone() };
        format!("{:?}", ModelFormat::from_template("").output_format(&chat, "").constraint)
    };
    for choice in [ToolChoice::Auto, ToolChoice::Required, ToolChoice::Named(odd.into())] {
        let grammar = grammar(choice);
        assert!(grammar.contains(&written) && !grammar.contains("(now)"), "{grammar}");
    }
}
