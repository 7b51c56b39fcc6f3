//! OpenAI's wire types, as its SDKs send and expect them, and tables of what becomes of each field of a request.

mod answers;
pub mod responses;

pub use answers::{
    AnswerMessage, ChatChoice, ChatChunk, ChatChunkChoice, ChatCompletion, ChatLogprobs, Completion,
    CompletionChoice, CompletionLogprobs, Delta, FunctionDelta, MessageFunction, MessageToolCall,
    PromptProgress, Timings, TokenLogprob, ToolCallDelta, TopLogprob,
};
use serde::{Deserialize, Serialize};

use crate::fields::{TokenLimit, fields};

fields! {
    /// `POST /v1/chat/completions`.
    CHAT_FIELDS:
    Honoured {
        "model" = "`default` where it is absent, null or empty", "messages" = "text parts only; images are refused; `reasoning_content` or `reasoning` of earlier answers is passed to the template; an assistant's at the end is continued, unless the answer must have a form; `name` is passed to the template", "stream",
        "stream_options", "max_tokens" = "-1 is no limit", "max_completion_tokens" = "-1 is no limit", "n_predict" = "llama.cpp's: as `max_tokens`", "temperature" = "0 to 2",
        "top_p", "presence_penalty", "frequency_penalty", "logit_bias" = "llama.cpp's pairs of token numbers, too", "seed", "stop" = "up to 32 texts",
        "tools" = "functions and custom tools, up to 512; the last of one name counts; a schema of no object becomes that of one argument, `input`; keywords of their schemas that a grammar cannot express are left out and named in `X-Lar-Ignored`, unless `strict`", "tool_choice" = "`allowed_tools` too", "parallel_tool_calls",
        "functions" = "of older clients; answered with `function_call`", "function_call" = "with `functions`",
        "n" = "up to 16", "logprobs", "top_logprobs" = "up to 20",
        "response_format" = "`text`, `json_object` or `json_schema`; with `tools` the answer is a call or keeps to it",
        "reasoning_effort" = "for the chat template; `none` switches reasoning off; named in `X-Lar-Ignored` where the model has no such thing",
        "chat_template_kwargs" = "llama.cpp's and vLLM's: variables for the chat template, such as `enable_thinking`", "json_schema" = "llama.cpp's",
        "continue_final_message" = "vLLM's: true where an assistant's message at the end is to be continued, which is the default; false begins a new one", "add_generation_prompt" = "llama.cpp's and vLLM's: false ends the prompt behind the last message; not true together with `continue_final_message`",
        "structured_outputs" = "vLLM's: one of `json`, `regex`, `choice`, `grammar` in GBNF, `json_object`", "guided_json" = "of older vLLM", "guided_regex" = "of older vLLM; the whole answer fits it",
        "guided_choice" = "of older vLLM", "guided_grammar" = "of older vLLM; in GBNF", "repetition_penalty" = "vLLM's: `repeat_penalty` over the whole context",
        "top_k" = "llama.cpp's", "min_p" = "llama.cpp's", "typical_p" = "llama.cpp's",
        "top_n_sigma" = "llama.cpp's", "xtc_probability" = "llama.cpp's", "xtc_threshold" = "llama.cpp's",
        "dynatemp_range" = "llama.cpp's", "dynatemp_exponent" = "llama.cpp's", "repeat_penalty" = "llama.cpp's",
        "repeat_last_n" = "llama.cpp's", "dry_multiplier" = "llama.cpp's", "dry_base" = "llama.cpp's",
        "dry_allowed_length" = "llama.cpp's", "dry_penalty_last_n" = "llama.cpp's",
        "dry_sequence_breakers" = "llama.cpp's", "mirostat" = "llama.cpp's", "mirostat_tau" = "llama.cpp's",
        "mirostat_eta" = "llama.cpp's", "min_keep" = "llama.cpp's", "ignore_eos" = "llama.cpp's",
        "grammar" = "llama.cpp's GBNF; recursive ones where `engines.gbnf` is on", "samplers" = "llama.cpp's, as a list of names",
        "context_shift" = "Lar's: the oldest half makes room in a full context, up to `max_tokens`",
        "n_keep" = "llama.cpp's: tokens at the beginning that stay then", "timings_per_token" = "llama.cpp's: every chunk of a stream but the first tells `timings`", "return_progress" = "llama.cpp's: a stream reports `prompt_progress` while the prompt is read",
    }
    NoEffect {
        "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
        "prompt_cache_retention", "prediction", "verbosity", "cache_prompt",
    }
    Refused {
        "modalities" = "text alone is fine", "audio", "web_search_options",
        "chat_template" = "the model's own is used", "documents" = "vLLM's; put them into `messages`", "echo" = "vLLM's; false is fine",
        "stop_token_ids" = "vLLM's; use `stop`; an empty list is fine", "min_tokens" = "vLLM's; 0 is fine", "allowed_token_ids" = "vLLM's", "bad_words" = "vLLM's; an empty list is fine",
        "truncate_prompt_tokens" = "vLLM's: nothing of a prompt is cut unasked", "include_stop_str_in_output" = "vLLM's; false is fine", "use_beam_search" = "vLLM's; false is fine",
        "structural_tag" = "vLLM's", "logits_processors" = "vLLM's; an empty list is fine", "regex" = "SGLang's; use `structured_outputs`", "ebnf" = "SGLang's; use `grammar`", "lora" = "llama.cpp's; an empty list is fine",
    }
}

fields! {
    /// `POST /v1/completions`.
    COMPLETION_FIELDS:
    Honoured {
        "model" = "`default` where it is absent, null or empty", "prompt" = "texts, lists of tokens, or several of them, up to 128", "echo", "best_of" = "1, or as many as `n`", "stream", "stream_options", "max_tokens" = "16 where it is absent; -1 is no limit",
        "temperature" = "0 to 2", "top_p", "presence_penalty", "frequency_penalty", "logit_bias" = "llama.cpp's pairs of token numbers, too", "seed",
        "stop" = "up to 32 texts", "n" = "up to 16", "logprobs" = "up to 20",
        "suffix" = "by models that were taught to fill in the middle", "json_schema" = "llama.cpp's",
        "structured_outputs" = "vLLM's: one of `json`, `regex`, `choice`, `grammar` in GBNF, `json_object`", "guided_json" = "of older vLLM", "guided_regex" = "of older vLLM; the whole answer fits it",
        "guided_choice" = "of older vLLM", "guided_grammar" = "of older vLLM; in GBNF", "repetition_penalty" = "vLLM's: `repeat_penalty` over the whole context",
        "top_k" = "llama.cpp's", "min_p" = "llama.cpp's", "typical_p" = "llama.cpp's",
        "top_n_sigma" = "llama.cpp's", "xtc_probability" = "llama.cpp's", "xtc_threshold" = "llama.cpp's",
        "dynatemp_range" = "llama.cpp's", "dynatemp_exponent" = "llama.cpp's", "repeat_penalty" = "llama.cpp's",
        "repeat_last_n" = "llama.cpp's", "dry_multiplier" = "llama.cpp's", "dry_base" = "llama.cpp's",
        "dry_allowed_length" = "llama.cpp's", "dry_penalty_last_n" = "llama.cpp's",
        "dry_sequence_breakers" = "llama.cpp's", "mirostat" = "llama.cpp's", "mirostat_tau" = "llama.cpp's",
        "mirostat_eta" = "llama.cpp's", "min_keep" = "llama.cpp's", "ignore_eos" = "llama.cpp's",
        "grammar" = "llama.cpp's GBNF; recursive ones where `engines.gbnf` is on", "samplers" = "llama.cpp's, as a list of names",
        "context_shift" = "Lar's: the oldest half makes room in a full context, up to `max_tokens`",
        "n_keep" = "llama.cpp's: tokens at the beginning that stay then", "return_progress" = "llama.cpp's: a stream reports `prompt_progress` while the prompt is read",
    }
    NoEffect { "user", "cache_prompt" }
    Refused {
        "stop_token_ids" = "vLLM's; use `stop`; an empty list is fine", "min_tokens" = "vLLM's; 0 is fine", "allowed_token_ids" = "vLLM's", "bad_words" = "vLLM's; an empty list is fine",
        "truncate_prompt_tokens" = "vLLM's: nothing of a prompt is cut unasked", "include_stop_str_in_output" = "vLLM's; false is fine", "use_beam_search" = "vLLM's; false is fine",
        "structural_tag" = "vLLM's", "logits_processors" = "vLLM's; an empty list is fine", "regex" = "SGLang's; use `structured_outputs`", "ebnf" = "SGLang's; use `grammar`", "lora" = "llama.cpp's; an empty list is fine",
    }
}

fields! {
    /// `POST /v1/embeddings`.
    EMBEDDING_FIELDS:
    Honoured { "model" = "`default-embedding` where it is absent, null or empty", "input" = "texts; tokens are refused", "encoding_format" = "`float` or `base64`", "truncate" = "Lar's: true cuts a text that is longer than the model reads, which is an error else" }
    NoEffect { "user" }
    Refused { "dimensions" = "the model's own number is fine" }
}

/// A request for a chat completion: the honoured fields but for [`Sampling`], which is read by itself so that
/// errors name its fields.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ChatRequest {
    pub model: Option<String>,
    pub messages: Vec<ChatMessage>,
    pub stream: Option<bool>,
    pub stream_options: Option<StreamOptions>,
    pub max_tokens: Option<TokenLimit>,
    pub max_completion_tokens: Option<TokenLimit>,
    pub n_predict: Option<TokenLimit>,
    pub n: Option<u32>,
    pub logprobs: Option<bool>,
    pub top_logprobs: Option<u32>,
    pub response_format: Option<ResponseFormat>,
    pub tools: Option<Vec<Tool>>,
    pub tool_choice: Option<ToolChoice>,
    pub parallel_tool_calls: Option<bool>,
    pub reasoning_effort: Option<String>,
    #[serde(default)]
    pub chat_template_kwargs: serde_json::Map<String, serde_json::Value>,
    pub functions: Option<Vec<FunctionDefinition>>,
    pub function_call: Option<ToolChoice>,
    pub continue_final_message: Option<bool>,
    pub add_generation_prompt: Option<bool>,
    pub timings_per_token: Option<bool>,
}

/// A tool that the model may call.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct Tool {
    /// `function` where it is absent.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub function: Option<FunctionDefinition>,
    pub custom: Option<CustomTool>,
    /// A function's name where it stands beside the type, as in the Responses API; some clients send it so.
    pub name: Option<String>,
    pub description: Option<String>,
    pub parameters: Option<serde_json::Value>,
    pub strict: Option<bool>,
}

/// A tool whose input is a text.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct CustomTool {
    pub name: String,
    pub description: Option<String>,
    pub format: Option<CustomFormat>,
}

/// What the input of a custom tool looks like.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct CustomFormat {
    pub grammar: Option<CustomGrammar>,
}

/// A grammar of a custom tool's input.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct CustomGrammar {
    pub syntax: Option<String>,
    pub definition: Option<String>,
}

/// A function as a tool.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct FunctionDefinition {
    pub name: String,
    pub description: Option<String>,
    pub parameters: Option<serde_json::Value>,
    pub strict: Option<bool>,
}

/// Whether the model calls a tool.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be none, auto, required, or an object that names a tool")]
pub enum ToolChoice {
    /// `none`, `auto` or `required`.
    Mode(String),
    /// A tool, some of them, or a mode in an object.
    Object(Box<ChosenTool>),
}

/// A tool choice that is an object; which fields there are depends on its type.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ChosenTool {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub function: Option<FunctionName>,
    pub custom: Option<FunctionName>,
    /// The name where it stands beside the type, as in `function_call` and the Responses API.
    pub name: Option<String>,
    pub allowed_tools: Option<AllowedTools>,
}

impl ChosenTool {
    /// The name of the tool, wherever it stands.
    #[must_use]
    pub fn into_name(self) -> Option<String> {
        self.function.or(self.custom).map(|named| named.name).or(self.name)
    }
}

/// The tools that may be called of those that are offered.
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

/// What an answer is to look like.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ResponseFormat {
    #[serde(rename = "type")]
    pub kind: String,
    pub json_schema: Option<JsonSchema>,
    /// llama.cpp's place for it.
    pub schema: Option<serde_json::Value>,
}

/// A schema and its name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct JsonSchema {
    pub schema: Option<serde_json::Value>,
    pub strict: Option<bool>,
}

/// A request for a completion: the honoured fields but for [`Sampling`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct CompletionRequest {
    pub model: Option<String>,
    /// Texts, tokens or both; read by itself.
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

/// The sampling fields that both have.
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
    /// An object or pairs; read by itself.
    pub logit_bias: Option<serde_json::Value>,
    pub seed: Option<i64>,
    pub stop: Option<OneOrMany>,
}

/// What an answer must look like, as vLLM has it: one of these.
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
pub struct ChatMessage {
    pub role: String,
    /// Who of several says it, or which function answers.
    pub name: Option<String>,
    pub content: Option<Content>,
    pub refusal: Option<String>,
    pub tool_calls: Option<Vec<ToolCall>>,
    pub tool_call_id: Option<String>,
    /// What the assistant thought, as llama.cpp and vLLM call it.
    pub reasoning_content: Option<String>,
    /// The same, as OpenRouter and Ollama call it.
    pub reasoning: Option<String>,
    /// The call of older clients, which have one function at a time.
    pub function_call: Option<CalledFunction>,
}

/// A call that the model made, as clients send it back.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ToolCall {
    #[serde(default)]
    pub id: String,
    pub function: Option<CalledFunction>,
    pub custom: Option<CalledCustom>,
}

/// The function that a call names.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct CalledFunction {
    pub name: String,
    /// A text; some clients send the object that it stands for.
    #[serde(default)]
    pub arguments: serde_json::Value,
}

/// The custom tool that a call names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct CalledCustom {
    pub name: String,
    #[serde(default)]
    pub input: String,
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be a text or a list of parts, each with a `type`")]
pub enum Content {
    /// As one text.
    Text(String),
    /// In parts.
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

/// One text or several.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be a text or a list of texts")]
#[expect(missing_docs, reason = "the names say it")]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    /// The texts.
    #[must_use]
    pub fn into_vec(self) -> Vec<String> {
        match self {
            OneOrMany::One(text) => vec![text],
            OneOrMany::Many(texts) => texts,
        }
    }
}

/// What a stream holds beside the text.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct StreamOptions {
    #[serde(default)]
    pub include_usage: bool,
}

/// A request for embeddings: the honoured fields.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct EmbeddingRequest {
    pub model: Option<String>,
    /// A text or several; read by itself so that errors say what is wrong with tokens.
    #[serde(default)]
    pub input: serde_json::Value,
    pub encoding_format: Option<String>,
    pub truncate: Option<bool>,
    pub dimensions: Option<u32>,
}

/// Tokens that were used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct Usage {
    pub prompt_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_tokens: Option<u64>,
    pub total_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens_details: Option<PromptTokensDetails>,
}

/// What is known of a prompt's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PromptTokensDetails {
    /// Those that were known from earlier prompts of the same key.
    pub cached_tokens: u64,
}

/// Embeddings.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct EmbeddingList {
    pub object: &'static str,
    pub data: Vec<Embedding>,
    pub model: String,
    pub usage: Usage,
}

/// One embedding.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct Embedding {
    pub object: &'static str,
    pub index: usize,
    pub embedding: EmbeddingValue,
}

/// A vector as it was asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum EmbeddingValue {
    /// Numbers.
    Float(Vec<f32>),
    /// Little-endian f32 in base64.
    Base64(String),
}

/// The models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ModelList {
    pub object: &'static str,
    pub data: Vec<Model>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct Model {
    pub id: String,
    pub object: &'static str,
    pub created: i64,
    pub owned_by: &'static str,
}

/// An error in OpenAI's shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub struct ErrorDetail {
    pub message: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub param: Option<String>,
    pub code: Option<String>,
}
