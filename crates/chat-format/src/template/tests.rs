//! Tests the fields, functions and syntax that templates expect, and hostile templates.

use super::*;
use lar_inference::{Tool, ToolCall};

fn template(source: &str) -> ChatTemplate {
    ChatTemplate { source: source.into(), start: "<s>".into(), end: "</s>".into() }
}

fn messages() -> Chat {
    vec![ChatMessage::new("user", " hi ")].into()
}

fn with_tools() -> Chat {
    let call = ToolCall { id: "1".into(), name: "add".into(), arguments: r#"{"a":1,"b":"<2>"}"#.into() };
    let tool = Tool {
        name: "add".into(),
        description: Some("Adds.".into()),
        parameters: r#"{"type":"object","properties":{"a":{"type":"number"}}}"#.into(),
        ..Tool::default()
    };
    let result = ChatMessage { tool_call_id: Some("1".into()), ..ChatMessage::new("tool", "3") };
    let asked = ChatMessage { tool_calls: vec![call], ..ChatMessage::new("assistant", "") };
    Chat {
        messages: vec![ChatMessage::new("user", "1+2?"), asked, result],
        tools: vec![tool],
        ..Chat::default()
    }
}

#[test]
fn tools_are_rendered_in_the_training_format() {
    let hermes = "{#- <tool_call> #}{%- for tool in tools %}{{ tool | tojson }}\n{% endfor %}\
        {%- for m in messages %}{{ m.role }}: {{ m.content }}\
        {%- for call in m.tool_calls %}{{ call.function.name }}({{ call.function.arguments | tojson }})\
        {%- endfor %}\n{% endfor %}";
    insta::assert_snapshot!(render(&template(hermes), &with_tools()).unwrap());
}

#[test]
fn a_template_without_tools_gets_them_as_text() {
    let plain = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}";
    insta::assert_snapshot!(render(&template(plain), &with_tools()).unwrap());
}

#[test]
fn a_chatml_template_renders_prompt_and_prefill() {
    let chatml = "{% for m in messages %}<|{{ m['role'] }}|>{{ m.content.strip() }}{{ eos_token }}\n{% endfor %}\
                  {% if add_generation_prompt %}<|assistant|>{% endif %}";
    assert_eq!(render(&template(chatml), &messages()).unwrap(), "<|user|>hi</s>\n<|assistant|>");
    let assistant_prefill = Chat { assistant_prefill: "Well, ".into(), ..messages() };
    assert_eq!(render(&template(chatml), &assistant_prefill).unwrap(), "<|user|>hi</s>\n<|assistant|>Well, ");
}

#[test]
fn hostile_templates_fail_with_an_error() {
    let looping = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
    let growing = "{% set ns = namespace(s='x') %}{% for a in range(22) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}";
    let cases = [
        (looping, "it takes too many steps"),
        ("{% include '/etc/passwd' %}", "non-existing template"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion limit exceeded"),
        ("{% if %}", ""),
    ];
    for (source, expected) in cases {
        match render(&template(source), &messages()) {
            Err(Error::Template(reason)) => assert!(reason.contains(expected), "{source}: {reason}"),
            other => panic!("{source}: {other:?}"),
        }
    }
    assert!(render(&template(growing), &messages()).is_err());
}

fn message(role: &str, content: &str) -> ChatMessage {
    ChatMessage::new(role, content)
}

fn render_source(source: &str, chat: &Chat) -> String {
    render(&template(source), chat).unwrap()
}

#[test]
fn the_body_of_a_generation_block_is_rendered() {
    for (source, expected) in [
        ("a {% generation %}{{ messages[0].content.strip() }}{% endgeneration %} b", "a hi b"),
        ("a {%- generation -%} x {%- endgeneration -%} b", "axb"),
        ("a {%-generation-%}\n x{%+ endgeneration %} b", "ax b"),
        ("{% set generation = 'g' %}{% if generation %}{{ generation }}{% endif %}", "g"),
    ] {
        assert_eq!(render_source(source, &messages()), expected, "{source}");
    }
}

#[test]
fn a_template_without_a_system_role_gets_it_in_the_user_message() {
    let gemma = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}\
        {% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}\
        {{ raise_exception('Conversation roles must alternate') }}{% endif %}\
        <{{ 'model' if m.role == 'assistant' else m.role }}>{{ m.content | trim }}\n{% endfor %}";
    let chat: Chat = vec![
        message("system", "Be brief."),
        message("user", "Hi"),
        message("assistant", "Hello"),
        message("user", "One"),
        message("user", "Two"),
    ]
    .into();
    assert_eq!(render_source(gemma, &chat), "<user>Be brief.\n\nHi\n<model>Hello\n<user>One\nTwo\n");
    let silent = "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}\n{% endfor %}";
    let chat: Chat = vec![message("system", "Be brief."), message("user", "Hi")].into();
    assert_eq!(render_source(silent, &chat), "<user>Be brief.\n\nHi\n", "a template may not omit it either");
    let with_tools = render_source(gemma, &with_tools());
    assert!(with_tools.starts_with("<user>You may call these functions"), "{with_tools}");
    assert!(with_tools.contains("<tool_response>\n3\n</tool_response>"), "{with_tools}");
}

#[test]
fn messages_are_merged_for_templates_that_need_alternating_roles() {
    let mistral = "{% set ns = namespace(last='') %}{% for m in messages %}{% if m.role == ns.last %}\
        {{ raise_exception('roles must alternate') }}{% endif %}{% set ns.last = m.role %}[{{ m.role }}]{{ m.content }}{% endfor %}";
    let chat: Chat = vec![message("user", "a"), message("user", "b"), message("assistant", "c")].into();
    assert_eq!(render_source(mistral, &chat), "[user]a\nb[assistant]c");
    let parts = "{% for m in messages %}{{ m.content[0].text + '!' }}{% endfor %}";
    assert_eq!(render_source(parts, &vec![message("user", "a")].into()), "a!", "content in parts");
    let never = "{{ raise_exception('no ' ~ messages[0].role) }}";
    let error = render(&template(never), &messages()).unwrap_err();
    assert_eq!(error, Error::Template("no user".into()), "the first reason is reported");
}

#[test]
fn a_template_that_counts_tools_gets_an_undefined_list() {
    let counts = "{% if tools is not defined %}{% set tools = [] %}{% endif %}{{ tools | length }}{{ messages[0].content }}";
    assert_eq!(render_source(counts, &messages()), "0 hi ");
}

#[test]
fn reasoning_is_passed_under_every_common_name() {
    let source = "{% for m in messages %}{% if m.reasoning_content is defined %}<think>{{ m.reasoning_content }}\
        </think>{% endif %}{{ m.thinking }}|{{ m.reasoning }}|{{ m.content }};{% endfor %}";
    let reasoned = ChatMessage { reasoning: "hm".into(), ..message("assistant", "Yes.") };
    assert_eq!(
        render_source(source, &vec![message("user", "?"), reasoned].into()),
        "||?;<think>hm</think>hm|hm|Yes.;"
    );
    let harmony = "{#- <|channel|>analysis<|message|> functions. tools #}{% for m in messages %}\
        {% if m.content and m.thinking and m.tool_calls %}{{ raise_exception('not both') }}{% endif %}\
        {{ m.thinking }}/{{ m.content }};{% endfor %}";
    let mut chat = with_tools();
    chat.messages[1].reasoning = "hm".into();
    chat.messages[1].content = "I add.".into();
    assert_eq!(render_source(harmony, &chat), "/1+2?;hm\n\nI add./;/3;");
}

#[test]
fn message_names_reach_the_template() {
    let named = "{# tools <tool_call> #}{% for m in messages %}{{ m.role }}{% if m.name %}({{ m.name }}){% endif %} {% endfor %}";
    let mut chat = with_tools();
    chat.messages[2].name = Some("add".into());
    assert_eq!(render_source(named, &chat), "user assistant tool(add) ");
    chat.messages[0].name = Some("Eve".into());
    assert_eq!(render_source(named, &chat), "user(Eve) assistant tool(add) ");
}

#[test]
fn tool_calls_are_adapted_to_the_template() {
    let call = |arguments: &str| {
        let call = ToolCall { id: "call_1".into(), name: "f".into(), arguments: arguments.into() };
        let result = ChatMessage { tool_call_id: Some("call_1".into()), ..message("tool", "3") };
        let call = ChatMessage { tool_calls: vec![call], ..message("assistant", "") };
        Chat::from(vec![message("user", "?"), call, result])
    };
    let as_json = "{# tools <tool_call> #}{% for c in messages[1].tool_calls %}{{ c.function.arguments | tojson }}{% endfor %}?";
    for (arguments, expected) in
        [("{\"a\":1}", "{\"a\": 1}?"), ("", "{}?"), ("{bad", "\"{bad\"?"), ("[1]", "[1]?")]
    {
        assert_eq!(render_source(as_json, &call(arguments)), expected);
    }
    let items = "{# tools <tool_call> #}?{% for k, v in messages[1].tool_calls[0].function.arguments | items %}{{ k }}={{ v }} {% endfor %}";
    assert_eq!(render_source(items, &call("{\"a\":1,\"b\":[2]}")), "?a=1 b=[2] ");
    assert_eq!(render_source(items, &call("{bad")), "?arguments={bad ");
    let as_text =
        "{# tools <tool_call> #}?{{ '```json\n' + messages[1].tool_calls[0].function.arguments + '\n```' }}";
    assert_eq!(render_source(as_text, &call("{\"a\":1}")), "?```json\n{\"a\": 1}\n```");
    let nine = "{# tools <tool_call> #}?{% for m in messages %}{% for c in m.tool_calls %}{% if c.id|length != 9 %}\
        {{ raise_exception('nine') }}{% endif %}{{ c.id }}{% endfor %}{% if m.role == 'tool' %}={{ m.tool_call_id }}{% endif %}{% endfor %}";
    let text = render_source(nine, &call("{}"));
    let (id, of) = text[1..].split_once('=').unwrap();
    assert_eq!((id.len(), id), (9, of));
}

#[test]
fn request_variables_reach_the_template_but_cannot_override_reserved_ones() {
    let variable = |name: &str, value: &str| TemplateVariable {
        name: name.into(),
        value: value.into(),
        field: format!("chat_template_kwargs.{name}"),
    };
    let source = "{% if enable_thinking is defined and enable_thinking is false %}off{% endif %}{{ levels[1] }}{{ bos_token }}\
        {{ messages | length }}";
    let chat = Chat {
        variables: vec![
            variable("enable_thinking", "false"),
            variable("levels", "[1,2]"),
            variable("bos_token", "\"x\""),
            variable("messages", "[]"),
            variable("unread", "1"),
        ],
        ..messages()
    };
    assert_eq!(render_source(source, &chat), "off2<s>1");
    assert_eq!(ignored_variables(&template(source), &chat), ["chat_template_kwargs.unread"]);
    let harmony = "<|channel|>analysis<|message|>{{ reasoning_effort }}";
    let chat = Chat { variables: vec![variable("reasoning_effort", "\"xhigh\"")], ..messages() };
    assert_eq!(render_source(harmony, &chat), "<|channel|>analysis<|message|>high");
}

#[test]
fn reasoning_is_switched_off_where_the_template_has_no_switch() {
    let switch = |field: &str| TemplateVariable {
        name: "enable_thinking".into(),
        value: "false".into(),
        field: field.into(),
    };
    let chat = Chat { variables: vec![switch("think")], ..messages() };
    let closed = "{{ messages[0].content.split('</think>')[-1].strip() }}<|a|>";
    assert_eq!(render_source(closed, &chat), "hi<|a|><think>\n\n</think>\n\n");
    let opened = "{{ messages[0].content.split('</think>')[-1].strip() }}<|a|><think>\n";
    assert_eq!(render_source(opened, &chat), "hi<|a|><think></think>\n\n");
    let own = "{{ messages[0].content.split('</think>')[-1].strip() }}<|a|>{% if not enable_thinking %}!{% endif %}";
    assert_eq!(render_source(own, &chat), "hi<|a|>!");
    for (source, ignored) in [(closed, vec![]), (own, vec![]), ("{{ messages[0].content }}", vec!["think"])] {
        assert_eq!(ignored_variables(&template(source), &chat), ignored, "{source}");
    }
}

#[test]
fn reasoning_is_on_by_default() {
    let switch = |name: &str, value: &str| TemplateVariable {
        name: name.into(),
        value: value.into(),
        field: "chat_template_kwargs".into(),
    };
    let asked = |variables: &[(&str, &str)]| Chat {
        variables: variables.iter().map(|(name, value)| switch(name, value)).collect(),
        ..messages()
    };
    // The end of QwQ's template.
    let source =
        "{{ messages[0].content.strip() }}<|a|><think>\n{% if not enable_thinking %}</think>{% endif %}";
    for (variables, expected) in [
        (vec![], "hi<|a|><think>\n"),
        (vec![("enable_thinking", "true")], "hi<|a|><think>\n"),
        (vec![("enable_thinking", "false")], "hi<|a|><think>\n</think>"),
        (vec![("thinking", "false")], "hi<|a|><think>\n</think>"),
        (vec![("thinking", "false"), ("enable_thinking", "true")], "hi<|a|><think>\n"),
    ] {
        assert_eq!(render_source(source, &asked(&variables)), expected, "{variables:?}");
    }
    let output_format =
        ModelFormat::from_template(source).output_format(&messages(), &render_source(source, &messages()));
    assert!(
        format!("{output_format:?}").contains("starts_in_reasoning: true"),
        "the answer starts inside reasoning"
    );
}

#[test]
fn templates_get_the_date_in_llama_cpp_format() {
    let now = || lar_base::Timestamp::now().strftime("%d %b %Y").unwrap();
    // The use in Llama 3.3's template.
    let source = "{% if not date_string is defined %}{% set date_string = '26 Jul 2024' %}{% endif %}\
        {{ date_string }}|{{ messages[0].content.strip() }}";
    let (before, text, after) = (now(), render_source(source, &messages()), now());
    assert!([before, after].map(|day| format!("{day}|hi")).contains(&text), "{text}");
    let date = TemplateVariable {
        name: "date_string".into(),
        value: "\"1 May 2025\"".into(),
        field: "chat_template_kwargs.date_string".into(),
    };
    let chat = Chat { variables: vec![date], ..messages() };
    assert_eq!(render_source(source, &chat), "1 May 2025|hi");

    // The use in Firefunction's template, which fails on undefined variables. Its tools are described as
    // text.
    let source = "{% set text = 'Functions:' + functions + '\\nToday is ' + datetime + '.' %}\
        {% for m in messages %}{{ m.content.strip() }}\n{% endfor %}{{ text }}";
    let (before, text, after) = (now(), render_source(source, &messages()), now());
    let today = text.strip_prefix("hi\nFunctions:\nToday is ").and_then(|rest| rest.strip_suffix(" GMT."));
    let today: Vec<&str> = today.unwrap_or_else(|| panic!("{text}")).split(' ').collect();
    let [month, day, year, time] = today[..] else { panic!("{text}") };
    assert!([before, after].contains(&format!("{day} {month} {year}")), "{text}");
    assert_eq!(time.len(), "14:05:00".len(), "{text}");
    assert!(render_source(source, &with_tools()).contains("You may call these functions"));
    // If a template does not read `datetime`, there is no `functions`.
    let others = "{{ messages[0].content.strip() }}{{ functions is defined }}";
    assert_eq!(render_source(others, &messages()), "hiFalse");
}

#[test]
fn without_a_generation_prompt_the_prompt_ends_after_the_last_message() {
    let source = "{% for m in messages %}<|{{ m.role }}|>{{ m.content.strip() }}\n{% endfor %}\
        {% if add_generation_prompt %}<|assistant|><think>\n{% endif %}{# </think> #}";
    assert_eq!(render_source(source, &messages()), "<|user|>hi\n<|assistant|><think>\n");
    let chat = Chat { adds_generation_prompt: false, ..messages() };
    assert_eq!(render_source(source, &chat), "<|user|>hi\n");
    // Empty reasoning, which would start an answer, is not added either.
    let off = TemplateVariable { name: "thinking".into(), value: "false".into(), field: "think".into() };
    let chat = Chat { variables: vec![off], ..chat };
    assert_eq!(render_source(source, &chat), "<|user|>hi\n");
}

/// The features of Jinja and Python in the templates of SmolLM3, Phi 4, Llama 3, Qwen, DeepSeek, gpt-oss,
/// Command R, Granite, GLM, Kimi, MiniMax, LFM2 and Nemotron, one per line.
#[test]
fn common_template_features_are_supported() {
    let chat = Chat::from(vec![
        message("system", "/no_think Be brief."),
        message("user", "Hi"),
        message("assistant", "<think>\nhm\n</think>\n\nHello"),
        message("user", "Why?"),
    ]);
    for (source, expected) in [
        (
            "{% set ns = namespace(n=0, found=false) %}{% for m in messages[::-1] %}{% if m.role == 'user' and not ns.found %}{% set ns.found = true %}{% set ns.n = messages | length - 1 - loop.index0 %}{% endif %}{% endfor %}{{ ns.n }}",
            "3",
        ),
        (
            "{% for m in messages %}{% if loop.index0 == 1 %}{% continue %}{% endif %}{% if loop.last %}{% break %}{% endif %}{{ m.role[0] }}{% endfor %}",
            "sa",
        ),
        (
            "{{ messages[2].content.split('</think>')[-1].lstrip('\\n') }}|{{ messages[2].content.split('<think>')[-1].split('</think>')[0].strip('\\n') }}",
            "Hello|hm",
        ),
        ("{{ {'a': [1, {'b': none}], 'c': 'é<'} | tojson }}", "{\"a\": [1, {\"b\": null}], \"c\": \"é<\"}"),
        ("{{ {'a': 1} | tojson(indent=4) }}", "{\n    \"a\": 1\n}"),
        ("{{ {'a': [1, 2]} | tojson(separators=(',', ': '), ensure_ascii=False) }}", "{\"a\": [1, 2]}"),
        (
            "{% macro turn(role, text='-', end=true) %}<{{ role }}>{{ text }}{% if end %}.{% endif %}{% endmacro %}{{ turn('u') }}{{ turn('a', text='b', end=false) }}",
            "<u>-.<a>b",
        ),
        ("{% macro box() %}[{{ caller() }}]{% endmacro %}{% call box() %}x{% endcall %}", "[x]"),
        (
            "{% for k, v in {'b': 1, 'a': 2} | dictsort %}{{ k }}{{ v }}{% endfor %}{% for k, v in {'z': 1}.items() %}{{ k }}{% endfor %}",
            "a2b1z",
        ),
        (
            "{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join(',') }}",
            "Hi,Why?",
        ),
        ("{{ (messages | map(attribute='role') | list)[1:3] | join('-') }}", "user-assistant"),
        (
            "{{ 'yes' if '/no_think' in messages[0].content else 'no' }}{{ messages[0].content.replace('/no_think', '').strip() }}",
            "yesBe brief.",
        ),
        (
            "{% if tools is none or not tools %}none{% endif %}{{ builtin_tools is defined }}{{ (x | default('d')) }}",
            "noneFalsed",
        ),
        (
            "{{ messages[0] is mapping }}{{ messages is iterable }}{{ messages is sequence }}{{ 'a' is string }}{{ 1 is number }}{{ true is boolean }}",
            "TrueTrueTrueTrueTrueTrue",
        ),
        (
            "{{ 'a-b'.split('-') | last | upper }}{{ 'Ab' | lower }}{{ 'ab'.capitalize() }}{{ 'ab'.startswith('a') }}{{ 'ab'.endswith(('b', 'c')) }}",
            "BabAbTrueTrue",
        ),
        (
            "{%- set text -%} {{ messages[1].content }} {%- endset -%}{{ text | trim }}{{ text | length }}",
            "Hi2",
        ),
        ("{% filter trim %}  x  {% endfilter %}", "x"),
        (
            "{{ loop_messages | default([]) | length }}{{ (messages[1:] + [{'role': 'x', 'content': ''}]) | length }}",
            "04",
        ),
        ("{{ [1, 2] + [3] }}{{ 'a' ~ 1 ~ none }}", "[1, 2, 3]a1None"),
        (
            "{{ messages[0].get('role') }}{{ messages[0].get('x', 'y') }}{{ messages[0]['nothing'] is not defined }}",
            "systemyTrue",
        ),
        ("{{ range(3) | list }}{{ 7 // 2 }}{{ 7 % 2 }}{{ -1 | abs }}", "[0, 1, 2]311"),
        (
            "{% for m in messages %}{{ loop.previtem.role[0] if loop.previtem is defined else '^' }}{{ loop.nextitem.role[0] if loop.nextitem is defined else '$' }} {% endfor %}",
            "^u sa uu a$ ",
        ),
        (
            "{% for x in [] %}x{% else %}empty{% endfor %}{{ '%s-%d' | format('a', 3) }}{{ '{}={}'.format('k', 1) }}",
            "emptya-3k=1",
        ),
        (
            "{% set q = namespace(ids=[]) %}{% set _ = q.ids.append('a') %}{% set _ = q.ids.append('b') %}{{ q.ids.pop(0) }}{{ q.ids | length }}{{ q.ids[0] }}",
            "a1b",
        ),
        (
            "{{ strftime_now('%Y') | length }}{{ strftime_now('%d %b %Y') | length }}{{ strftime_now is defined }}",
            "411True",
        ),
        ("{{ 'x' | safe }}{{ '<' | string }}{{ 3 | string + '!' }}", "x<3!"),
    ] {
        // The text that a template adds to the messages is tested alone.
        assert_eq!(alone(source, &chat), expected, "{source}");
    }
}

/// Returns the output of a template without the messages.
fn alone(source: &str, chat: &Chat) -> String {
    let everything = "{% for m in messages %}{{ m.content }}{% endfor %}\u{1}";
    let text = render_source(&format!("{everything}{source}"), chat);
    text.split_once('\u{1}').unwrap().1.to_owned()
}
