//! The marks with which common model families write reasoning and tool calls, as in their own chat templates.

use super::pythonic_calls::CallSyntax;
use super::tool_call_format::{CallBody, ToolCallFormat};

/// The pairs of marks that open and close reasoning.
pub(super) const REASONING_MARKS: &[(&str, &str)] = &[
    ("<think>", "</think>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<mm:think>", "</mm:think>"),
    ("<seed:think>", "</seed:think>"),
    HARMONY_REASONING,
];
/// gpt-oss closes reasoning with the mark that closes everything, which many templates have; so its opening
/// mark identifies it.
pub(crate) const HARMONY_REASONING: (&str, &str) = ("<|channel|>analysis<|message|>", "<|end|>");

/// Hermes' format, which most open models know; Lar uses it for models without a format of their own. Qwen
/// 2.5 and 3 have it, too.
pub(super) const HERMES: ToolCallFormat =
    ToolCallFormat { begin: "<tool_call>", end: "</tool_call>", body: OBJECT, around: &[] };
const OBJECT: CallBody = CallBody::Json { opening: r#"\n?\{ ?"name": ?""# };
const OBJECTS: CallBody = CallBody::Json { opening: r#" ?\[ ?\{ ?"name": ?""# };

/// A bare call without marks.
pub(super) const BARE: ToolCallFormat =
    ToolCallFormat { begin: "<|python_tag|>", end: "", body: CallBody::BareJson, around: &[] };

/// The formats of tool calls, each after the marks that identify it in a template. The first match wins. The
/// formats are those of the models' own templates.
pub(super) const TOOL_CALL_FORMATS: &[(&[&str], ToolCallFormat)] = &[
    // Qwen 3 Coder, Qwen 3.5, Nemotron 3.
    (
        &["<tool_call>", "<function="],
        ToolCallFormat {
            body: CallBody::Tags {
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
        ToolCallFormat {
            body: CallBody::Tags {
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
        ToolCallFormat {
            begin: "[TOOL_CALLS]",
            end: "",
            body: CallBody::Named { mark: "[ARGS]", name_after: None, name_before: Some("[CALL_ID]") },
            around: &[],
        },
    ),
    (&["[TOOL_CALLS]"], ToolCallFormat { begin: "[TOOL_CALLS]", end: "", body: OBJECTS, around: &[] }),
    // Cohere's Command R and A.
    (
        &["<|START_ACTION|>"],
        ToolCallFormat {
            begin: "<|START_ACTION|>",
            end: "<|END_ACTION|>",
            body: CallBody::Json { opening: r#"\s?\[\s{0,6}\{"tool_call_id": "[0-9]{1,3}", "tool_name": ""# },
            around: &["<|START_RESPONSE|>", "<|END_RESPONSE|>"],
        },
    ),
    // Kimi K2.
    (
        &["<|tool_call_begin|>", "<|tool_call_argument_begin|>"],
        ToolCallFormat {
            begin: "<|tool_call_begin|>",
            end: "<|tool_call_end|>",
            body: CallBody::Named {
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
        ToolCallFormat {
            begin: "<｜tool▁call▁begin｜>",
            end: "```<｜tool▁call▁end｜>",
            body: CallBody::Named {
                mark: "\n```json\n",
                name_after: Some("<｜tool▁sep｜>"),
                name_before: None,
            },
            around: DEEPSEEK,
        },
    ),
    (
        &["<｜tool▁call▁begin｜>"],
        ToolCallFormat {
            begin: "<｜tool▁call▁begin｜>",
            end: "<｜tool▁call▁end｜>",
            body: CallBody::Named { mark: "<｜tool▁sep｜>", name_after: None, name_before: None },
            around: DEEPSEEK,
        },
    ),
    // DeepSeek V3.2 and V4.
    (
        &["｜DSML｜", "invoke name="],
        ToolCallFormat {
            begin: "<｜DSML｜invoke",
            end: "</｜DSML｜invoke>",
            body: CallBody::Tags {
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
        ToolCallFormat {
            begin: "<invoke",
            end: "</invoke>",
            body: CallBody::Tags {
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
        ToolCallFormat {
            begin: "<|tool_call>",
            end: "<tool_call|>",
            body: CallBody::Pythonic(CallSyntax { quotes: &["<|\"|>"], ..BRACES }),
            around: &[],
        },
    ),
    (
        &["<start_function_call>call:"],
        ToolCallFormat {
            begin: "<start_function_call>",
            end: "<end_function_call>",
            body: CallBody::Pythonic(CallSyntax { quotes: &["<escape>"], ..BRACES }),
            around: &[],
        },
    ),
    // Liquid's LFM2, whose template shows only how tools are described.
    (
        &["<|tool_list_start|>"],
        ToolCallFormat {
            begin: "<|tool_call_start|>",
            end: "<|tool_call_end|>",
            body: CallBody::Pythonic(PYTHON),
            around: &[],
        },
    ),
    // Phi 4 mini and Granite.
    (
        &["<|tool_call|>"],
        ToolCallFormat { begin: "<|tool_call|>", end: "<|/tool_call|>", body: OBJECTS, around: &[] },
    ),
    // Llama 3.
    (&["<|python_tag|>"], BARE),
];
/// The recipient's name comes before or after the channel.
pub(super) const HARMONY: ToolCallFormat = ToolCallFormat {
    begin: " to=functions.",
    end: "",
    body: CallBody::Named { mark: "<|message|>", name_after: None, name_before: None },
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
const BRACES: CallSyntax = CallSyntax {
    before: "call:",
    open: '{',
    close: '}',
    assign: ':',
    quotes: &[],
    escapes: false,
    list: false,
};
const PYTHON: CallSyntax = CallSyntax {
    before: "[",
    open: '(',
    close: ')',
    assign: '=',
    quotes: &["\"", "'"],
    escapes: true,
    list: true,
};
