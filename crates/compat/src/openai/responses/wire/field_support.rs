//! The support of each request field of OpenAI's Responses API.

use crate::fields::fields;

fields! {
    /// The support of each field of `POST /v1/responses`.
    RESPONSE_FIELDS:
    Supported {
        "model" = "`default` if missing, null or empty",
        "input" = "text, function calls, custom tool calls, and their results; an `item_reference` names an \
            item of a stored response of the same key; earlier reasoning goes to the chat template; images \
            and files are rejected",
        "instructions", "max_output_tokens" = "-1: no limit", "temperature" = "0 to 2", "top_p", "stream",
        "tools" = "functions, custom tools and namespaces of them, up to 512; tools that run on OpenAI's \
            servers are dropped and named in `X-Lar-Ignored`",
        "tool_choice", "parallel_tool_calls",
        "text" = "`format` is `text`, `json_object` or `json_schema`; `verbosity` is ignored",
        "previous_response_id" = "the id of a stored response of the same key",
        "store" = "true if missing; Lar keeps the response for 30 days, for the same key only",
        "background" = "requires `store`", "metadata" = "up to 16 pairs; returned with the response",
        "top_logprobs" = "up to 20; requires `message.output_text.logprobs` in `include`",
        "include" = "`message.output_text.logprobs`; other values are ignored",
        "reasoning" = "`effort` goes to the chat template; `none` disables reasoning; the response always \
            contains the reasoning",
        "truncation" = "`auto` drops the oldest items of an input that exceeds the context; \
            `X-Lar-Truncated` contains the number of dropped messages",
    }
    Ignored {
        "user", "safety_identifier", "service_tier", "stream_options", "prompt_cache_key",
        "prompt_cache_options", "prompt_cache_retention" = "prompts are always cached",
        "max_tool_calls" = "limits only tools that run on OpenAI's servers", "client_metadata",
        "access_programs", "background_options", "image", "moderation",
    }
    Rejected {
        "conversation" = "use `previous_response_id`", "prompt" = "prompt templates are stored at OpenAI",
        "context_management" = "an empty list is accepted",
    }
}

fields! {
    /// The support of each field of `POST /v1/responses/input_tokens`.
    INPUT_TOKENS_FIELDS:
    Supported {
        "model" = "`default` if missing, null or empty", "input", "instructions", "tools", "tool_choice",
        "previous_response_id", "text", "parallel_tool_calls", "reasoning",
        "truncation" = "with `auto`, an input that exceeds the context is shortened before it is counted",
    }
    Ignored {}
    Rejected { "conversation" = "use `previous_response_id`" }
}
