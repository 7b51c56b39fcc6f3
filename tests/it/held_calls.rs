//! A model that has a way of its own to call tools, and may: what it calls is there, and takes what it is given.

use lar_engines::driver::{Event, FinishReason, Tool};
use lar_tests::calling::Caller;

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

fn tool(name: &str, parameters: &str) -> Tool {
    Tool { name: name.into(), parameters: parameters.into(), ..Tool::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_names_a_tool_that_is_there_and_gives_it_what_it_takes() {
    let model = Caller::load(TEMPLATE).await.unwrap();
    let answer =
        async |tools, held| model.ask("How is the weather in Paris?", tools, 80, held).await.unwrap();
    let schema = r#"{"type":"object","properties":{"city":{"type":"string","maxLength":30},"days":{"type":"integer","minimum":1,"maximum":9}},"required":["city","days"],"additionalProperties":false}"#;
    let tools = || vec![tool("get_weather", schema), tool("send_mail", r#"{"type":"object"}"#)];

    let free = answer(tools(), false).await;
    assert_eq!(free.calls[0].0, "forecast", "what it does when nothing holds it: {}", free.text);
    let held = answer(tools(), true).await;
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
    let held = answer(vec![tool("get_weather", vague)], true).await;
    assert_eq!(held.calls[0].0, "get_weather", "{} {:?}", held.text, held.end);
    model.unload().await;
}
