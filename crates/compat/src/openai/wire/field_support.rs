//! The support of each request field of chat completions, completions and embeddings.

use crate::fields::fields;

/// Defines a table with the rows that chat completions and completions share.
///
/// `SharedSampling`, `SharedExtensions` and `SharedRejected` mark the position of these rows.
macro_rules! text_fields {
    (
        $(#[$doc:meta])*
        $table:ident:
        Supported { $($first:tt)* }
        SharedSampling
        Supported { $($middle:tt)* }
        SharedExtensions
        Supported { $($last:tt)* }
        Ignored { $($ignored:tt)* }
        Rejected { $($rejected:tt)* }
        SharedRejected
    ) => {
        fields! {
            $(#[$doc])*
            $table:
            Supported { $($first)* }
            Supported {
                "temperature" = "0 to 2", "top_p", "presence_penalty", "frequency_penalty",
                "logit_bias" = "also accepts llama.cpp's list of pairs of token id and bias", "seed",
                "stop" = "up to 32 strings",
            }
            Supported { $($middle)* }
            Supported {
                "structured_outputs" = "vLLM field: one of `json`, `regex`, `choice`, `grammar` (GBNF) and \
                    `json_object`",
                "guided_json" = "older vLLM field",
                "guided_regex" = "older vLLM field; the expression must match the whole answer",
                "guided_choice" = "older vLLM field", "guided_grammar" = "older vLLM field; a GBNF grammar",
                "repetition_penalty" = "vLLM field: `repeat_penalty` over the whole context",
                "top_k" = "llama.cpp field", "min_p" = "llama.cpp field", "typical_p" = "llama.cpp field",
                "top_n_sigma" = "llama.cpp field", "xtc_probability" = "llama.cpp field",
                "xtc_threshold" = "llama.cpp field", "dynatemp_range" = "llama.cpp field",
                "dynatemp_exponent" = "llama.cpp field", "repeat_penalty" = "llama.cpp field",
                "repeat_last_n" = "llama.cpp field", "dry_multiplier" = "llama.cpp field",
                "dry_base" = "llama.cpp field", "dry_allowed_length" = "llama.cpp field",
                "dry_penalty_last_n" = "llama.cpp field", "dry_sequence_breakers" = "llama.cpp field",
                "mirostat" = "llama.cpp field", "mirostat_tau" = "llama.cpp field",
                "mirostat_eta" = "llama.cpp field", "min_keep" = "llama.cpp field",
                "ignore_eos" = "llama.cpp field",
                "grammar" = "llama.cpp field: a GBNF grammar; recursive grammars need `engines.gbnf`",
                "samplers" = "llama.cpp field: a list of sampler names",
                "context_shift" = "Lar field: when the context is full, Lar drops the oldest half of it and \
                    continues, up to `max_tokens`",
                "n_keep" = "llama.cpp field: the number of tokens at the start that `context_shift` keeps",
            }
            Supported { $($last)* }
            Ignored { $($ignored)* }
            Rejected { $($rejected)* }
            Rejected {
                "stop_token_ids" = "vLLM field; use `stop`; an empty list is accepted",
                "min_tokens" = "vLLM field; 0 is accepted", "allowed_token_ids" = "vLLM field",
                "bad_words" = "vLLM field; an empty list is accepted",
                "truncate_prompt_tokens" = "vLLM field; Lar does not truncate prompts here; -1 is accepted",
                "include_stop_str_in_output" = "vLLM field; false is accepted",
                "use_beam_search" = "vLLM field; false is accepted", "structural_tag" = "vLLM field",
                "logits_processors" = "vLLM field; an empty list is accepted",
                "regex" = "SGLang field; use `structured_outputs`", "ebnf" = "SGLang field; use `grammar`",
                "lora" = "llama.cpp field; an empty list is accepted",
            }
        }
    };
}

text_fields! {
    /// The support of each field of `POST /v1/chat/completions`.
    CHAT_FIELDS:
    Supported {
        "model" = "`default` if missing, null or empty",
        "messages" = "text parts only; images are rejected; `name`, and `reasoning_content` or `reasoning` \
            of earlier answers, go to the chat template; a final assistant message is continued (prefill), \
            unless the request constrains the output",
        "stream", "stream_options", "max_tokens" = "-1: no limit", "max_completion_tokens" = "-1: no limit",
        "n_predict" = "llama.cpp field: alias of `max_tokens`",
    }
    SharedSampling
    Supported {
        "tools" = "functions and custom tools, up to 512; of tools with the same name the last one counts; \
            a parameter schema that is not an object becomes the schema of a single argument named `input`; \
            schema keywords that a grammar cannot express are dropped and named in `X-Lar-Ignored`; with \
            `strict`, such schemas are errors instead",
        "tool_choice" = "also accepts `allowed_tools`", "parallel_tool_calls",
        "functions" = "sent by older clients; the answer has `function_call`",
        "function_call" = "together with `functions`", "n" = "up to 16", "logprobs",
        "top_logprobs" = "up to 20",
        "response_format" = "`text`, `json_object` or `json_schema`; with `tools` the answer is a tool call \
            or text in this format",
        "reasoning_effort" = "goes to the chat template; `none` disables reasoning; named in \
            `X-Lar-Ignored` if the model does not support it",
        "chat_template_kwargs" = "llama.cpp and vLLM field: variables for the chat template, such as \
            `enable_thinking`",
        "json_schema" = "llama.cpp field",
        "continue_final_message" = "vLLM field: true (the default) continues a final assistant message; \
            false starts a new message",
        "add_generation_prompt" = "llama.cpp and vLLM field: false ends the prompt after the last message; \
            must not be true if `continue_final_message` is true",
    }
    SharedExtensions
    Supported {
        "timings_per_token" = "llama.cpp field: every chunk of a stream except the first has `timings`",
        "return_progress" = "llama.cpp field: a stream reports `prompt_progress` during prefill",
    }
    Ignored {
        "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
        "prompt_cache_retention", "prediction", "verbosity", "cache_prompt",
    }
    Rejected {
        "modalities" = "only `text` is accepted", "audio", "web_search_options",
        "chat_template" = "Lar uses the model's own template",
        "documents" = "vLLM field; put the documents into `messages`",
        "echo" = "vLLM field; false is accepted",
    }
    SharedRejected
}

text_fields! {
    /// The support of each field of `POST /v1/completions`.
    COMPLETION_FIELDS:
    Supported {
        "model" = "`default` if missing, null or empty",
        "prompt" = "a string, a list of token ids with or without strings between them, or a list of up to \
            128 prompts",
        "echo", "best_of" = "at most `n`: Lar returns all answers", "stream", "stream_options",
        "max_tokens" = "16 if missing; -1: no limit",
    }
    SharedSampling
    Supported {
        "n" = "up to 16", "logprobs" = "up to 20",
        "suffix" = "needs a model trained to fill in the middle (FIM)", "json_schema" = "llama.cpp field",
    }
    SharedExtensions
    Supported {
        "return_progress" = "llama.cpp field: a stream reports `prompt_progress` during prefill",
    }
    Ignored { "user", "cache_prompt" }
    Rejected {}
    SharedRejected
}

fields! {
    /// The support of each field of `POST /v1/embeddings`.
    EMBEDDING_FIELDS:
    Supported {
        "model" = "`default-embedding` if missing, null or empty",
        "input" = "strings; token ids are rejected", "encoding_format" = "`float` or `base64`",
        "truncate" = "Lar field: true truncates a text that is longer than the model's context; otherwise \
            such a text is an error",
    }
    Ignored { "user" }
    Rejected { "dimensions" = "only the model's own number of dimensions is accepted" }
}
