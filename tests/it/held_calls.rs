//! A model that has a way of its own to call tools, and may: what it calls is there, and takes what it is given.

use futures_util::StreamExt as _;
use lar_engines::dialect::{Part, Reader};
use lar_engines::driver::{
    Ability, Chat, ChatMessage, Driver as _, Event, FinishReason, Job, Prompt, Sampling, Tool, ToolChoice,
};
use lar_engines::embedded::{Embedded, EmbeddedOptions};
use lar_engines::protocol::Compute;
use lar_engines::template::ChatTemplate;
use lar_tests::{chat_model, program};

/// Calls as Qwen's template has them, with an example of a tool that is not there.
const TEMPLATE: &str = r#"{%- if tools %}{% endif -%}
{%- macro say(role, text) %}<|im_start|>{{ role }}
{{ text }}<|im_end|>
{% endmacro -%}
{%- for town in ['Rome', 'Oslo'] -%}
{{ say('user', 'How is the weather in ' ~ town ~ '?') }}{{ say('assistant', '<tool_call>\n{"name": "forecast", "arguments": {"town": "' ~ town ~ '", "days": "two"}}\n</tool_call>') -}}
{%- endfor -%}
{%- for message in messages %}{{ say(message.role, message.content) }}{% endfor -%}
<|im_start|>assistant
"#;

struct Answered {
    text: String,
    calls: Vec<(String, String)>,
    end: Event,
}

/// The answer, with what holds its calls or without.
async fn answer(driver: &Embedded, tools: Vec<Tool>, held: bool) -> Answered {
    let message = ChatMessage::new("user", "How is the weather in Paris?");
    let chat = Chat { messages: vec![message], tools, tool_choice: ToolChoice::Auto, ..Chat::default() };
    let prepared = driver.prepare(Prompt::Chat(chat)).await.unwrap();
    let sampling = Sampling {
        temperature: Some(0.0),
        tokens_max: 80,
        preserved: prepared.reading.preserved.clone(),
        constraint: prepared.reading.constraint.clone().filter(|_| held),
        ..Sampling::default()
    };
    let job = Job { prompt: prepared.prompt, sampling, cache_of: None };
    let mut generation = driver.generate(job).unwrap();
    let mut reader = Reader::of(&prepared.reading).unwrap();
    let mut answered = Answered { text: String::new(), calls: Vec::new(), end: Event::Cancelled };
    while let Some(event) = generation.events.next().await {
        let parts = match event {
            Event::Delta { text, .. } => reader.push(&text),
            Event::Finished(_) | Event::Failed(_) => {
                answered.end = event;
                reader.finish()
            }
            _ => Vec::new(),
        };
        for part in parts {
            match part {
                Part::Text(text) | Part::Reasoning(text) => answered.text.push_str(&text),
                Part::Call(call) => {
                    if let Some(name) = call.name {
                        answered.calls.push((name, String::new()));
                    }
                    answered.calls.last_mut().unwrap().1.push_str(&call.arguments);
                }
            }
        }
    }
    answered
}

fn tool(name: &str, parameters: &str) -> Tool {
    Tool { name: name.into(), description: None, parameters: parameters.into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_names_a_tool_that_is_there_and_gives_it_what_it_takes() {
    let driver = Embedded::new(EmbeddedOptions {
        program: program(),
        path: chat_model(),
        template: Some(ChatTemplate {
            source: TEMPLATE.into(),
            start: "<|im_start|>".into(),
            end: "<|im_end|>".into(),
        }),
        ability: Ability::Generate,
        concurrency: 1,
        context_tokens: 1024,
        compute: Compute::with_threads(2),
        tuning: None,
        draft: None,
        cache: lar_base::Bytes::mib(16),
        memory_max: None,
    });
    driver.load().await.unwrap();
    let schema = r#"{"type":"object","properties":{"city":{"type":"string","maxLength":30},"days":{"type":"integer","minimum":1,"maximum":9}},"required":["city","days"],"additionalProperties":false}"#;
    let tools = || vec![tool("get_weather", schema), tool("send_mail", r#"{"type":"object"}"#)];

    let free = answer(&driver, tools(), false).await;
    assert_eq!(free.calls[0].0, "forecast", "what it does when nothing holds it: {}", free.text);
    let held = answer(&driver, tools(), true).await;
    assert_eq!(held.end, Event::Finished(FinishReason::Stop), "{} {:?}", held.text, held.calls);
    assert_eq!((held.calls.len(), held.text.as_str()), (1, ""), "{:?}", held.calls);
    let (name, arguments) = &held.calls[0];
    assert_eq!(name, "get_weather");
    let arguments: serde_json::Value = serde_json::from_str(arguments).unwrap();
    assert!(
        arguments["city"].is_string() && (1..=9).contains(&arguments["days"].as_u64().unwrap()),
        "{arguments}"
    );

    // What no grammar can say leaves the arguments free, and the name as it should be.
    let vague = r#"{"type":"object","properties":{"a":{"type":"array","uniqueItems":true}}}"#;
    let held = answer(&driver, vec![tool("get_weather", vague)], true).await;
    assert_eq!(held.calls[0].0, "get_weather", "{} {:?}", held.text, held.end);
    driver.unload().await;
}
