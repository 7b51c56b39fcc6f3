//! The chat templates of common model families, each with an answer that calls tools. `worker` also tests its
//! grammars with them.

pub(crate) const HERMES_TEMPLATE: &str = "{% if tools %}<tool_call>{% endif %}";

pub(crate) fn hermes(city: &str) -> String {
    format!("<tool_call>\n{{\"name\": \"weather\", \"arguments\": {{\"city\": \"{city}\"}}}}\n</tool_call>")
}

/// Returns templates, each with an answer in its format and the number of calls in it.
pub(crate) fn families() -> Vec<(&'static str, String, usize)> {
    let object = r#"{"name": "weather", "arguments": {"city": "Oslo"}}"#;
    vec![
        (HERMES_TEMPLATE, format!("Let me see.{}", hermes("Oslo")), 1),
        (HERMES_TEMPLATE, format!("{}\n{}\n", hermes("Oslo"), hermes("Rome")), 2),
        (HERMES_TEMPLATE, r#"<tool_call>{"arguments": {"city":"Oslo"}, "name": "weather"}</tool_call>"#.into(), 1),
        (
            HERMES_TEMPLATE,
            r#"<tool_call>{"name": "weather", "arguments": "{\"city\": \"Oslo\"}"}</tool_call>"#.into(),
            1,
        ),
        (
            "{{ tools }}<tool_call><function=",
            "Well.\n<tool_call>\n<function=weather>\n<parameter=city>\nOslo\n</parameter>\n</function>\n</tool_call>"
                .into(),
            1,
        ),
        (
            "{{ tools }}<tool_call><arg_key>",
            "<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n</tool_call>".into(),
            1,
        ),
        ("{{ tools }}[TOOL_CALLS]", format!("[TOOL_CALLS] [{object}, {object}]"), 2),
        (
            "{{ tools }}[TOOL_CALLS][ARGS]",
            r#"[TOOL_CALLS]weather[ARGS]{"city": "Oslo"}[TOOL_CALLS]weather[ARGS]{"city": "Rome"}"#.into(),
            2,
        ),
        (
            "{{ tools }}<|START_ACTION|>",
            "<|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \"tool_name\": \"weather\", \"parameters\": {\"city\": \"Oslo\"}}\n]<|END_ACTION|>"
                .into(),
            1,
        ),
        (
            "{{ tools }}<|tool_call_begin|><|tool_call_argument_begin|>",
            "<|tool_calls_section_begin|><|tool_call_begin|>functions.weather:0<|tool_call_argument_begin|>{\"city\": \"Oslo\"}<|tool_call_end|><|tool_calls_section_end|>"
                .into(),
            1,
        ),
        (
            "{{ tools }}<｜tool▁call▁begin｜>```json",
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n{\"city\": \"Oslo\"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
                .into(),
            1,
        ),
        (
            "{{ tools }}<｜tool▁call▁begin｜>",
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{\"city\": \"Oslo\"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
                .into(),
            1,
        ),
        (
            "{{ tools }}<｜DSML｜ <｜DSML｜invoke name=",
            "Well.\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"weather\">\n<｜DSML｜parameter name=\"city\" string=\"true\">Oslo</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>"
                .into(),
            1,
        ),
        (
            "{{ tools }}minimax:tool_call <invoke name=",
            "<minimax:tool_call>\n<invoke name=\"weather\">\n<parameter name=\"city\">Oslo</parameter>\n</invoke>\n<invoke name=\"weather\">\n<parameter name=\"city\">Rome</parameter>\n</invoke>\n</minimax:tool_call>"
                .into(),
            2,
        ),
        (
            "{{ tools }}<|channel|>analysis<|message|> functions.",
            "<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{\"city\": \"Oslo\"}".into(),
            1,
        ),
        (
            "{{ tools }}<|channel|>analysis<|message|> functions.",
            "<|channel|>commentary<|message|>Well.<|end|><|start|>assistant to=functions.weather<|channel|>commentary json<|message|>{\"city\": \"Oslo\"}"
                .into(),
            1,
        ),
        (
            "{{ tools }}<|tool_call>call: <tool_call|>",
            "Well.<|tool_call>call:weather{city:<|\"|>Oslo<|\"|>}<tool_call|><|tool_call>call:weather{city:<|\"|>Rome<|\"|>}<tool_call|>"
                .into(),
            2,
        ),
        (
            "{{ tools }}<start_function_call>call:",
            "<start_function_call>call:weather{city:<escape>Oslo<escape>}<end_function_call>".into(),
            1,
        ),
        (
            "{{ tools }}<|tool_list_start|>",
            "<|tool_call_start|>[weather(city='Oslo'), weather(city=\"Rome\")]<|tool_call_end|>".into(),
            2,
        ),
        ("{{ tools }}<|tool_call|>", format!("<|tool_call|>[{object}]<|/tool_call|>"), 1),
        (
            "{{ tools }}<|python_tag|>",
            r#"<|python_tag|>{"name": "weather", "parameters": {"city": "Oslo"}}"#.into(),
            1,
        ),
        ("{{ tools }}<|python_tag|>", r#"{"name": "weather", "parameters": {"city": "Oslo"}}"#.into(), 1),
    ]
}
