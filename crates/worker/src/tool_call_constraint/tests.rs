//! Tool calls of every model family are constrained to the offered tools, and text to its format.

#[path = "../../../chat-format/src/tests/families.rs"]
mod families;

use super::*;
use families::families;
use lar_chat_format::ModelFormat;
use lar_inference::{AnswerFormat, Chat, Tool};

/// A vocabulary in which every byte is a token, plus one token that ends an answer.
struct Bytes;

impl VocabView for Bytes {
    fn bytes(&self, token: u32) -> Vec<u8> {
        u8::try_from(token).into_iter().collect()
    }

    fn ends(&self, token: u32) -> bool {
        token > 255
    }

    fn all(&self) -> impl Iterator<Item = u32> {
        0..=256
    }
}

fn calls(template: &str, rendered: &str) -> ToolCallConstraint {
    let schema = r#"{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}},"required":["city"]}"#;
    let tool = |name: &str| Tool { name: name.into(), parameters: schema.into(), ..Tool::default() };
    let chat = Chat { tools: vec![tool("weather"), tool("weather_week"), tool("week")], ..Chat::default() };
    let output_format = ModelFormat::from_template(template).output_format(&chat, rendered);
    let Some(Constraint::ToolCalls(rules)) = output_format.constraint else {
        panic!("{template} has no tool call grammar")
    };
    ToolCallConstraint::new(&rules, Arc::new(Grammars::of_bytes().unwrap())).unwrap()
}

/// Returns how many bytes of an answer were constrained, or the index of the first byte that may not come.
fn follow(template: &str, rendered: &str, answer: &str) -> Result<usize, usize> {
    let mut calls = calls(template, rendered);
    let mut constrained = 0;
    for (at, byte) in answer.bytes().enumerate() {
        if let Some(allowed) = calls.allowed_tokens(&Bytes).unwrap() {
            constrained += 1;
            if !allowed.contains(&u32::from(byte)) {
                return Err(at);
            }
            assert!(!allowed.contains(&256), "an answer may not end inside a call");
        }
        calls.take(&Bytes, u32::from(byte));
    }
    Ok(constrained)
}

#[test]
fn calls_of_every_format_may_only_name_offered_tools() {
    let mut constrained_json = 0;
    for (template, answer, _) in families() {
        let constrained = follow(template, "", &answer);
        // In these formats the name comes last, or a string replaces the object.
        if answer.contains("\"name\": \"weather\"}<") || answer.contains("\\") {
            assert!(constrained.is_err(), "{answer}");
            continue;
        }
        assert!(constrained.is_ok_and(|count| count >= "weather".len()), "{answer}: {constrained:?}");
        let other = answer.replacen("weather", "weatherman", 1);
        let at = answer.find("weather").unwrap() + "weather".len();
        assert_eq!(follow(template, "", &other), Err(at), "{other}");
        if let Some(at) = answer.find("{\"city\": ") {
            let astray = answer.replacen("{\"city\": ", "{\"town\": ", 1);
            assert_eq!(
                follow(template, "", &astray),
                Err(at + 2),
                "JSON arguments are constrained, too: {astray}"
            );
            constrained_json += 1;
        }
        let longer = answer.replacen("weather", "weather_week", 1);
        assert!(follow(template, "", &longer).is_ok(), "{longer}");
    }
    assert!(constrained_json > 10, "{constrained_json}");
}

#[test]
fn arguments_must_match_the_schema_of_the_tool() {
    let call = |arguments: &str| {
        let object = format!("{{\"name\": \"weather\", \"arguments\": {arguments}}}");
        follow("{{ tools }}<tool_call>", "", &format!("So.<tool_call>\n{object}\n</tool_call>"))
    };
    assert!(call("{\"city\": \"Oslo\", \"days\": 2}").is_ok());
    for wrong in ["{\"town\": \"Oslo\"}", "{\"city\": 2}", "{}", "\"Oslo\""] {
        assert!(call(wrong).is_err(), "{wrong}");
    }
    let harmony = "{{ tools }}<|channel|>analysis<|message|> functions.";
    let call = " to=functions.week<|channel|>commentary json<|message|>{\"town\"";
    assert_eq!(follow(harmony, "", call), Err(call.len() - "town\"".len()));
}

#[test]
fn reasoning_and_text_are_unconstrained() {
    let template = "<think></think>{{ tools }}<tool_call>";
    let reasoning = "A <tool_call>{\"name\": \"x\"}</tool_call>, then.</think>\n";
    assert_eq!(follow(template, "<think>", reasoning), Ok(0));
    let call = "<tool_call>\n{\"name\": \"x";
    assert_eq!(
        follow(template, "<think>", &format!("{reasoning}{call}")),
        Err((reasoning.to_owned() + call).len() - 1)
    );
    assert_eq!(follow(template, "", "Say {\"name\": \"x\", \"arguments\": 2} or < tool_call>."), Ok(0));
    let llama = "{{ tools }}<|python_tag|>";
    assert_eq!(follow(llama, "", "An object: {\"name\": \"Ada\"}"), Ok(0));
    assert!(follow(llama, "", "\n{\"name\": \"Ada\"}").is_err());
}

#[test]
fn a_token_may_span_the_end_of_a_mark() {
    struct Pieces(Vec<&'static str>);
    impl VocabView for Pieces {
        fn bytes(&self, token: u32) -> Vec<u8> {
            self.0[token as usize].as_bytes().to_vec()
        }
        fn ends(&self, _: u32) -> bool {
            false
        }
        fn all(&self) -> impl Iterator<Item = u32> {
            0..u32::try_from(self.0.len()).unwrap()
        }
    }
    let pieces = Pieces(vec!["So <tool_", "call>\n{\"na", "call>\n{\"no"]);
    for (then, holds) in [(1, true), (2, false)] {
        let mut calls = calls("{{ tools }}<tool_call>", "");
        calls.take(&pieces, 0);
        calls.take(&pieces, then);
        assert_eq!(calls.active.is_some(), holds, "a token that does not match is left unconstrained");
    }
}

const FORMAT: &str = r#"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"],"additionalProperties":false}"#;

/// Follows an answer to a request with tools and a format. Returns whether it may end there, or the index of
/// the first byte that may not come.
fn follow_with_format(template: &str, rendered: &str, answer: &str) -> Result<bool, usize> {
    let schema = r#"{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}"#;
    let tool = Tool { name: "weather".into(), parameters: schema.into(), ..Tool::default() };
    let format = AnswerFormat { constraint: Constraint::JsonSchema(FORMAT.into()), strict: false };
    let chat = Chat { tools: vec![tool], format: Some(format), ..Chat::default() };
    let grammars = Arc::new(Grammars::of_bytes().unwrap());
    match ModelFormat::from_template(template).output_format(&chat, rendered).constraint.unwrap() {
        Constraint::ToolCalls(rules) => {
            let mut calls = ToolCallConstraint::new(&rules, grammars).unwrap();
            for (at, byte) in answer.bytes().enumerate() {
                let allowed = calls.allowed_tokens(&Bytes).map_err(|_| at)?;
                if allowed.is_some_and(|allowed| !allowed.contains(&u32::from(byte))) {
                    return Err(at);
                }
                calls.take(&Bytes, u32::from(byte));
            }
            let allowed = calls.allowed_tokens(&Bytes).map_err(|_| answer.len())?;
            Ok(calls.is_whole() || allowed.is_none_or(|allowed| allowed.contains(&256)))
        }
        constraint => {
            let mut matcher = grammars.start_timed(&constraint).unwrap();
            let bytes: Vec<u32> = answer.bytes().map(u32::from).collect();
            match matcher.take_fitting(&bytes) {
                Ok(taken) if taken == bytes.len() => Ok(matcher.may_end()),
                Ok(taken) => Err(taken),
                Err(_) => Err(0),
            }
        }
    }
}

#[test]
fn with_a_format_an_answer_is_a_call_or_matches_the_format() {
    let none = [(
        "{{ messages }}",
        "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}\n</tool_call>".to_owned(),
    )];
    let native = families().into_iter().map(|(template, answer, _)| (template, answer));
    let mut calls = 0;
    for (template, answer) in none.into_iter().chain(native) {
        let harmony = template.contains("<|channel|>");
        let text = if harmony { "<|channel|>final<|message|>{\"n\": 1}" } else { "{\"n\": 1}" };
        assert_eq!(follow_with_format(template, "", text), Ok(true), "{template}");
        let broken = text.replace('1', "\"");
        assert_eq!(
            follow_with_format(template, "", &broken),
            Err(broken.find(": ").unwrap() + 2),
            "{template}"
        );
        if !harmony {
            assert_eq!(follow_with_format(template, "", "Well."), Err(0), "{template}");
            assert_eq!(follow_with_format(template, "", "{\"n\": 1} So"), Err(8), "{template}: {answer}");
        }
        // The format allows no text before a call; the grammar does not cover other key orders.
        if answer.starts_with("Well")
            || answer.starts_with("Let me")
            || answer.contains("\"arguments\": {\"city\":\"")
        {
            continue;
        }
        let bare = template.contains("python_tag");
        if bare && answer.starts_with('<') || answer.contains("\\\"") {
            continue;
        }
        let called = follow_with_format(template, "", &answer);
        assert!(called.is_ok(), "{answer}: {called:?}");
        calls += 1;
    }
    assert!(calls > 12, "{calls}");
    let thinking = "<think></think>{{ tools }}<tool_call>";
    assert_eq!(follow_with_format(thinking, "", "<think>So {</think>\n\n{\"n\": 1}"), Ok(true));
    assert_eq!(follow_with_format(thinking, "<think>", "So {</think>\n\n{\"m\""), Err(16));
    assert!(
        follow_with_format(thinking, "<think>", "So {</think>\n\n<tool_call>\n{\"name\": \"weather").is_ok()
    );
}
