//! The tool grammar: a model with its own format of tool calls calls only offered tools, with arguments that
//! fit their schemas.

use lar_inference::{Event, FinishReason, Tool};
use lar_tests::tool_caller::ToolCaller;

/// A template with tool calls in Qwen's format, and an example call of a tool that is not offered.
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
async fn a_constrained_call_names_an_offered_tool_and_fits_its_schema() {
    let model = ToolCaller::load(TEMPLATE).await.unwrap();
    let answer = async |tools, constrained| {
        model.ask("How is the weather in Paris?", tools, 80, constrained).await.unwrap()
    };
    let schema = r#"{"type":"object","properties":{"city":{"type":"string","maxLength":30},"days":{"type":"integer","minimum":1,"maximum":9}},"required":["city","days"],"additionalProperties":false}"#;
    let tools = || vec![tool("get_weather", schema), tool("send_mail", r#"{"type":"object"}"#)];

    let free = answer(tools(), false).await;
    assert_eq!(free.calls[0].0, "forecast", "without the grammar it copies the example: {}", free.text);
    let constrained = answer(tools(), true).await;
    assert_eq!(
        constrained.end,
        Event::Finished(FinishReason::Stop),
        "{} {:?}",
        constrained.text,
        constrained.calls
    );
    assert_eq!((constrained.calls.len(), constrained.text.as_str()), (1, ""), "{:?}", constrained.calls);
    let (name, arguments) = &constrained.calls[0];
    assert_eq!(name, "get_weather");
    let arguments: serde_json::Value = serde_json::from_str(arguments).unwrap();
    assert!(
        arguments["city"].is_string() && (1..=9).contains(&arguments["days"].as_u64().unwrap()),
        "{arguments}"
    );

    // A schema that no grammar can express leaves the arguments free; the name is constrained all the same.
    let vague = r#"{"type":"object","properties":{"a":{"type":"array","uniqueItems":true}}}"#;
    let constrained = answer(vec![tool("get_weather", vague)], true).await;
    assert_eq!(constrained.calls[0].0, "get_weather", "{} {:?}", constrained.text, constrained.end);
    model.unload().await;
}
