//! The marks by which the common model families write thoughts and tool calls, as their own templates have them.

use super::format::{Body, Format};
use super::literal::Literals;

/// How a model marks its reasoning: what opens it and what ends it.
pub(super) const REASONING: &[(&str, &str)] = &[
    ("<think>", "</think>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<mm:think>", "</mm:think>"),
    ("<seed:think>", "</seed:think>"),
    HARMONY_THOUGHT,
];
/// gpt-oss ends a thought as it ends everything else, with a mark that many templates have: what opens it shows it.
pub(crate) const HARMONY_THOUGHT: (&str, &str) = ("<|channel|>analysis<|message|>", "<|end|>");

/// Hermes' format, which most open models have seen: what models are held to. Qwen 2.5 and 3 have it too.
pub(super) const HERMES: Format =
    Format { begin: "<tool_call>", end: "</tool_call>", body: OBJECT, around: &[] };
const OBJECT: Body = Body::Json { opening: r#"\n?\{ ?"name": ?""# };
const OBJECTS: Body = Body::Json { opening: r#" ?\[ ?\{ ?"name": ?""# };

/// A call and nothing else, without marks.
pub(super) const BARE: Format =
    Format { begin: "<|python_tag|>", end: "", body: Body::BareJson, around: &[] };

/// Formats of tool calls, each after the marks in a template that show it. The first that fits is taken.
/// They are as the models' own templates write them.
pub(super) const TOOLS: &[(&[&str], Format)] = &[
    // Qwen 3 Coder, Qwen 3.5, Nemotron 3.
    (
        &["<tool_call>", "<function="],
        Format {
            body: Body::Tags {
                name: ("<function=", ">"),
                key: ("<parameter=", ">"),
                value: ("", "</parameter>"),
            },
            ..HERMES
        },
    ),
    // GLM 4.5 and later.
    (
        &["<tool_call>", "<arg_key>"],
        Format {
            body: Body::Tags {
                name: ("", "<arg_key>"),
                key: ("<arg_key>", "</arg_key>"),
                value: ("<arg_value>", "</arg_value>"),
            },
            ..HERMES
        },
    ),
    (&["<tool_call>"], HERMES),
    // Mistral, newer and older.
    (
        &["[TOOL_CALLS]", "[ARGS]"],
        Format {
            begin: "[TOOL_CALLS]",
            end: "",
            body: Body::Named { mark: "[ARGS]", name_after: None, name_before: Some("[CALL_ID]") },
            around: &[],
        },
    ),
    (&["[TOOL_CALLS]"], Format { begin: "[TOOL_CALLS]", end: "", body: OBJECTS, around: &[] }),
    // Cohere's Command R and A.
    (
        &["<|START_ACTION|>"],
        Format {
            begin: "<|START_ACTION|>",
            end: "<|END_ACTION|>",
            body: Body::Json { opening: r#"\s?\[\s{0,6}\{"tool_call_id": "[0-9]{1,3}", "tool_name": ""# },
            around: &["<|START_RESPONSE|>", "<|END_RESPONSE|>"],
        },
    ),
    // Kimi K2.
    (
        &["<|tool_call_begin|>", "<|tool_call_argument_begin|>"],
        Format {
            begin: "<|tool_call_begin|>",
            end: "<|tool_call_end|>",
            body: Body::Named {
                mark: "<|tool_call_argument_begin|>",
                name_after: Some("functions."),
                name_before: Some(":"),
            },
            around: &["<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"],
        },
    ),
    // DeepSeek V3 and R1, then V3.1.
    (
        &["<｜tool▁call▁begin｜>", "```json"],
        Format {
            begin: "<｜tool▁call▁begin｜>",
            end: "```<｜tool▁call▁end｜>",
            body: Body::Named {
                mark: "\n```json\n", name_after: Some("<｜tool▁sep｜>"), name_before: None
            },
            around: DEEPSEEK,
        },
    ),
    (
        &["<｜tool▁call▁begin｜>"],
        Format {
            begin: "<｜tool▁call▁begin｜>",
            end: "<｜tool▁call▁end｜>",
            body: Body::Named { mark: "<｜tool▁sep｜>", name_after: None, name_before: None },
            around: DEEPSEEK,
        },
    ),
    // DeepSeek V3.2 and V4.
    (
        &["｜DSML｜", "invoke name="],
        Format {
            begin: "<｜DSML｜invoke",
            end: "</｜DSML｜invoke>",
            body: Body::Tags {
                name: ("name=\"", "\">"),
                key: ("<｜DSML｜parameter name=\"", "\""),
                value: (">", "</｜DSML｜parameter>"),
            },
            around: &[
                "<｜DSML｜function_calls>",
                "</｜DSML｜function_calls>",
                "<｜DSML｜tool_calls>",
                "</｜DSML｜tool_calls>",
            ],
        },
    ),
    // MiniMax M2.
    (
        &["minimax:tool_call", "<invoke name="],
        Format {
            begin: "<invoke",
            end: "</invoke>",
            body: Body::Tags {
                name: ("name=\"", "\">"),
                key: ("<parameter name=\"", "\">"),
                value: ("", "</parameter>"),
            },
            around: &["<minimax:tool_call>", "</minimax:tool_call>"],
        },
    ),
    // gpt-oss (Harmony).
    (&["<|channel|>analysis<|message|>", "functions."], HARMONY),
    // Gemma 4, and FunctionGemma.
    (
        &["<|tool_call>call:"],
        Format {
            begin: "<|tool_call>",
            end: "<tool_call|>",
            body: Body::Written(Literals { quotes: &["<|\"|>"], ..BRACES }),
            around: &[],
        },
    ),
    (
        &["<start_function_call>call:"],
        Format {
            begin: "<start_function_call>",
            end: "<end_function_call>",
            body: Body::Written(Literals { quotes: &["<escape>"], ..BRACES }),
            around: &[],
        },
    ),
    // Liquid's LFM2, whose template shows only how it is told of tools.
    (
        &["<|tool_list_start|>"],
        Format {
            begin: "<|tool_call_start|>",
            end: "<|tool_call_end|>",
            body: Body::Written(PYTHON),
            around: &[],
        },
    ),
    // Phi 4 mini and Granite.
    (
        &["<|tool_call|>"],
        Format { begin: "<|tool_call|>", end: "<|/tool_call|>", body: OBJECTS, around: &[] },
    ),
    // Llama 3.
    (&["<|python_tag|>"], BARE),
];
/// The recipient is named before the channel or behind it.
pub(super) const HARMONY: Format = Format {
    begin: " to=functions.",
    end: "",
    body: Body::Named { mark: "<|message|>", name_after: None, name_before: None },
    around: &[
        "<|start|>assistant",
        "<|channel|>analysis",
        "<|channel|>commentary",
        "<|channel|>final",
        "<|message|>",
        "<|end|>",
        "<|return|>",
        "<|call|>",
    ],
};
const DEEPSEEK: &[&str] = &["<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"];
const BRACES: Literals = Literals {
    before: "call:",
    open: '{',
    close: '}',
    assign: ':',
    quotes: &[],
    escapes: false,
    list: false,
};
const PYTHON: Literals = Literals {
    before: "[",
    open: '(',
    close: ')',
    assign: '=',
    quotes: &["\"", "'"],
    escapes: true,
    list: true,
};
