//! OpenAI's wire types, as its SDKs send and expect them, and the support of each request field.

mod answers;
pub mod responses;

pub use answers::{
    AnswerMessage, ChatChoice, ChatChunk, ChatChunkChoice, ChatCompletion, ChatDelta, ChatLogprobs,
    Completion, CompletionChoice, CompletionLogprobs, FunctionDelta, MessageFunction, MessageToolCall,
    PromptProgress, Timings, TokenLogprob, ToolCallDelta, TopLogprob,
};
use serde::{Deserialize, Serialize};

use crate::fields::{TokenLimit, fields};

fields! {
    /// `POST /v1/chat/completions`.
    CHAT_FIELDS:
    Supported {
        "model" = "`default` if missing, null or empty",
        "messages" = "text parts only; images are rejected; `name`, and `reasoning_content` or `reasoning` \
            of earlier answers, go to the chat template; a final assistant message is continued (prefill), \
            unless the request constrains the output",
        "stream", "stream_options", "max_tokens" = "-1: no limit", "max_completion_tokens" = "-1: no limit",
        "n_predict" = "llama.cpp field: alias of `max_tokens`", "temperature" = "0 to 2", "top_p",
        "presence_penalty", "frequency_penalty",
        "logit_bias" = "also accepts llama.cpp's list of pairs of token id and bias", "seed",
        "stop" = "up to 32 strings",
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

fields! {
    /// `POST /v1/completions`.
    COMPLETION_FIELDS:
    Supported {
        "model" = "`default` if missing, null or empty",
        "prompt" = "a string, a list of token ids with or without strings between them, or a list of up to \
            128 prompts",
        "echo", "best_of" = "at most `n`: Lar returns all answers", "stream", "stream_options",
        "max_tokens" = "16 if missing; -1: no limit", "temperature" = "0 to 2", "top_p", "presence_penalty",
        "frequency_penalty", "logit_bias" = "also accepts llama.cpp's list of pairs of token id and bias",
        "seed", "stop" = "up to 32 strings", "n" = "up to 16", "logprobs" = "up to 20",
        "suffix" = "needs a model trained to fill in the middle (FIM)", "json_schema" = "llama.cpp field",
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
        "return_progress" = "llama.cpp field: a stream reports `prompt_progress` during prefill",
    }
    Ignored { "user", "cache_prompt" }
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

fields! {
    /// `POST /v1/embeddings`.
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

/// A request for a chat completion: the supported fields without those of [`Sampling`].
///
/// [`Sampling`] is parsed separately, so that errors name its fields.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ChatCompletionRequest {
    pub model: Option<String>,
    pub messages: Vec<ChatCompletionMessage>,
    pub stream: Option<bool>,
    pub stream_options: Option<StreamOptions>,
    pub max_tokens: Option<TokenLimit>,
    pub max_completion_tokens: Option<TokenLimit>,
    pub n_predict: Option<TokenLimit>,
    pub n: Option<u32>,
    pub logprobs: Option<bool>,
    pub top_logprobs: Option<u32>,
    pub response_format: Option<ResponseFormat>,
    pub tools: Option<Vec<ChatTool>>,
    pub tool_choice: Option<ChatToolChoice>,
    pub parallel_tool_calls: Option<bool>,
    pub reasoning_effort: Option<String>,
    #[serde(default)]
    pub chat_template_kwargs: serde_json::Map<String, serde_json::Value>,
    pub functions: Option<Vec<FunctionDefinition>>,
    pub function_call: Option<ChatToolChoice>,
    pub continue_final_message: Option<bool>,
    pub add_generation_prompt: Option<bool>,
    pub timings_per_token: Option<bool>,
}

/// A tool that the model may call.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ChatTool {
    /// `function` if missing.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub function: Option<FunctionDefinition>,
    pub custom: Option<CustomTool>,
    /// The function's name next to `type`, as in the Responses API; some clients send it here.
    pub name: Option<String>,
    pub description: Option<String>,
    pub parameters: Option<serde_json::Value>,
    pub strict: Option<bool>,
}

/// A tool whose input is plain text.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct CustomTool {
    pub name: String,
    pub description: Option<String>,
    pub format: Option<CustomFormat>,
}

/// The format of a custom tool's input.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct CustomFormat {
    pub grammar: Option<CustomGrammar>,
}

/// The grammar of a custom tool's input.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct CustomGrammar {
    pub syntax: Option<String>,
    pub definition: Option<String>,
}

/// A function that the model may call.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct FunctionDefinition {
    pub name: String,
    pub description: Option<String>,
    pub parameters: Option<serde_json::Value>,
    pub strict: Option<bool>,
}

/// Whether the model may or must call a tool, and which.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be none, auto, required, or an object that names a tool")]
pub enum ChatToolChoice {
    /// `none`, `auto` or `required`.
    Mode(String),
    /// One tool, several allowed tools, or a mode in an object.
    Object(Box<ChosenTool>),
}

/// A tool choice in the form of an object. Its fields depend on its type.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ChosenTool {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub function: Option<FunctionName>,
    pub custom: Option<FunctionName>,
    /// The name next to `type`, as in `function_call` and the Responses API.
    pub name: Option<String>,
    pub allowed_tools: Option<AllowedTools>,
}

impl ChosenTool {
    /// Returns the tool's name from the field that has it.
    #[must_use]
    pub fn into_name(self) -> Option<String> {
        self.function.or(self.custom).map(|named| named.name).or(self.name)
    }
}

/// The subset of the request's tools that the model may call.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct AllowedTools {
    pub mode: Option<String>,
    #[serde(default)]
    pub tools: Vec<ChosenTool>,
}

/// A function's name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct FunctionName {
    pub name: String,
}

/// The required format of the answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ResponseFormat {
    #[serde(rename = "type")]
    pub kind: String,
    pub json_schema: Option<JsonSchema>,
    /// The schema in llama.cpp's form of the field.
    pub schema: Option<serde_json::Value>,
}

/// A JSON schema for the answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct JsonSchema {
    pub schema: Option<serde_json::Value>,
    pub strict: Option<bool>,
}

/// A request for a completion: the supported fields without those of [`Sampling`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct CompletionRequest {
    pub model: Option<String>,
    /// Strings, token ids or both; parsed separately.
    #[serde(default)]
    pub prompt: serde_json::Value,
    pub stream: Option<bool>,
    pub stream_options: Option<StreamOptions>,
    pub max_tokens: Option<TokenLimit>,
    pub n: Option<u32>,
    pub logprobs: Option<u32>,
    pub suffix: Option<String>,
    pub echo: Option<bool>,
    pub best_of: Option<u32>,
}

/// The sampling fields of chat completions and completions.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct Sampling {
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    pub top_k: Option<i32>,
    pub min_p: Option<f32>,
    pub presence_penalty: Option<f32>,
    pub frequency_penalty: Option<f32>,
    pub repeat_penalty: Option<f32>,
    pub repetition_penalty: Option<f32>,
    pub repeat_last_n: Option<i32>,
    pub typical_p: Option<f32>,
    pub top_n_sigma: Option<f32>,
    pub xtc_probability: Option<f32>,
    pub xtc_threshold: Option<f32>,
    pub dynatemp_range: Option<f32>,
    pub dynatemp_exponent: Option<f32>,
    pub dry_multiplier: Option<f32>,
    pub dry_base: Option<f32>,
    pub dry_allowed_length: Option<i32>,
    pub dry_penalty_last_n: Option<i32>,
    pub dry_sequence_breakers: Option<Vec<String>>,
    pub mirostat: Option<u8>,
    pub mirostat_tau: Option<f32>,
    pub mirostat_eta: Option<f32>,
    pub min_keep: Option<u32>,
    pub samplers: Option<Vec<String>>,
    pub ignore_eos: Option<bool>,
    pub return_progress: Option<bool>,
    pub context_shift: Option<bool>,
    pub n_keep: Option<i32>,
    pub grammar: Option<String>,
    pub json_schema: Option<serde_json::Value>,
    pub structured_outputs: Option<StructuredOutputs>,
    pub guided_json: Option<serde_json::Value>,
    pub guided_regex: Option<String>,
    pub guided_choice: Option<Vec<String>>,
    pub guided_grammar: Option<String>,
    /// An object or a list of pairs; parsed separately.
    pub logit_bias: Option<serde_json::Value>,
    pub seed: Option<i64>,
    pub stop: Option<OneOrMany>,
}

/// vLLM's constraints on the answer. Exactly one of the fields is set.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are vLLM's")]
pub struct StructuredOutputs {
    pub json: Option<serde_json::Value>,
    pub regex: Option<String>,
    pub choice: Option<Vec<String>>,
    pub grammar: Option<String>,
    pub json_object: Option<bool>,
    pub structural_tag: Option<serde_json::Value>,
}

/// A message of a request.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ChatCompletionMessage {
    pub role: String,
    /// The name of the author among several, or of the function whose result this is.
    pub name: Option<String>,
    pub content: Option<ChatContent>,
    pub refusal: Option<String>,
    pub tool_calls: Option<Vec<ToolCall>>,
    pub tool_call_id: Option<String>,
    /// The assistant's reasoning, by the name that llama.cpp and vLLM use.
    pub reasoning_content: Option<String>,
    /// The assistant's reasoning, by the name that OpenRouter and Ollama use.
    pub reasoning: Option<String>,
    /// The function call that older clients send instead of `tool_calls`.
    pub function_call: Option<CalledFunction>,
}

/// An earlier tool call of the model, as clients send it back.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ToolCall {
    #[serde(default)]
    pub id: String,
    pub function: Option<CalledFunction>,
    pub custom: Option<CalledCustom>,
}

/// The function of a tool call.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct CalledFunction {
    pub name: String,
    /// A JSON string; some clients send the object itself.
    #[serde(default)]
    pub arguments: serde_json::Value,
}

/// The custom tool of a tool call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct CalledCustom {
    pub name: String,
    #[serde(default)]
    pub input: String,
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be a string or an array of parts, each with a `type`")]
pub enum ChatContent {
    /// A single string.
    Text(String),
    /// A list of parts.
    Parts(Vec<ContentPart>),
}

/// A part of a message's content.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ContentPart {
    #[serde(rename = "type")]
    pub kind: String,
    pub text: Option<String>,
    pub refusal: Option<String>,
}

/// One string or several.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be a string or an array of strings")]
#[expect(missing_docs, reason = "the names say it")]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    /// Returns the strings as a list.
    #[must_use]
    pub fn into_vec(self) -> Vec<String> {
        match self {
            OneOrMany::One(text) => vec![text],
            OneOrMany::Many(texts) => texts,
        }
    }
}

/// Additional content of a stream.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct StreamOptions {
    #[serde(default)]
    pub include_usage: bool,
}

/// A request for embeddings: the supported fields.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct EmbeddingRequest {
    pub model: Option<String>,
    /// A string or several; parsed separately, so that errors explain why token ids are rejected.
    #[serde(default)]
    pub input: serde_json::Value,
    pub encoding_format: Option<String>,
    pub truncate: Option<bool>,
    pub dimensions: Option<u32>,
}

/// The token usage of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct CompletionUsage {
    pub prompt_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_tokens: Option<u64>,
    pub total_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens_details: Option<PromptTokensDetails>,
}

/// Details of the prompt tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PromptTokensDetails {
    /// The number of prompt tokens found in the prefix cache.
    pub cached_tokens: u64,
}

/// A response with embeddings.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct EmbeddingList {
    pub object: &'static str,
    pub data: Vec<Embedding>,
    pub model: String,
    pub usage: CompletionUsage,
}

/// One embedding.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct Embedding {
    pub object: &'static str,
    pub index: usize,
    pub embedding: EmbeddingValue,
}

/// A vector in the requested `encoding_format`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum EmbeddingValue {
    /// A list of numbers.
    Float(Vec<f32>),
    /// Little-endian `f32` values in base64.
    Base64(String),
}

/// A list of models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct OpenAiModelList {
    pub object: &'static str,
    pub data: Vec<OpenAiModel>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct OpenAiModel {
    pub id: String,
    pub object: &'static str,
    pub created: i64,
    pub owned_by: &'static str,
}

/// An error in OpenAI's format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct OpenAiErrorBody {
    pub error: OpenAiErrorDetail,
}

/// The details of an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct OpenAiErrorDetail {
    pub message: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub param: Option<String>,
    pub code: Option<String>,
}
