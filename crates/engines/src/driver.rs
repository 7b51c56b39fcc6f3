//! What an engine must do to be scheduled: the trait that every driver implements.
//!
//! No type here names a slot, batch or sequence. Drivers: [`crate::embedded`] (llama.cpp in a worker),
//! [`crate::llama_server`] (over HTTP), [`crate::encoder`] (BERT in a worker). One conformance suite,
//! `tests/it/engines.rs`, runs against the generating ones.

mod embeddings;
mod sampling;
mod tokenizer;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use lar_base::{KeyId, UserId};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::chat_format::OutputFormat;
pub use embeddings::{Embeddings, Ranking};
pub use sampling::{
    Candidate, Constraint, ExtraSampling, SamplerName, Sampling, TextFormat, TokenLogprobs, ToolCallGrammar,
    TriggeredGrammar,
};
pub use tokenizer::{TokenizerAnswer, TokenizerQuery};

/// One message of a chat prompt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The text.
    pub content: String,
    /// What the assistant thought before it; empty in other roles.
    pub reasoning: String,
    /// What the assistant called.
    pub tool_calls: Vec<ToolCall>,
    /// Which call a tool answers.
    pub tool_call_id: Option<String>,
    /// Who says it: the tool that answers, or one of several people. For templates that show it.
    pub name: Option<String>,
}

impl ChatMessage {
    /// A message that is only text.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), ..Self::default() }
    }
}

/// A call that an assistant made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Its caller's name for it.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The arguments, as a JSON text.
    pub arguments: String,
}

/// A tool that the model may call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// The JSON Schema of its arguments, as a JSON text.
    pub parameters: String,
    /// Refuses a schema that a grammar cannot express, rather than loosening it.
    pub strict: bool,
}

/// A value that a request gives to the chat template by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateVariable {
    /// Its name in the template.
    pub name: String,
    /// Its value, as a JSON text.
    pub value: String,
    /// The field of the request that gave it, such as `chat_template_kwargs.enable_thinking`.
    pub field: String,
}

/// The format of an answer that is no tool call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerFormat {
    /// [`Constraint::JsonObject`] or [`Constraint::JsonSchema`].
    pub constraint: Constraint,
    /// Refuses a schema that a grammar cannot express, rather than loosening it.
    pub strict: bool,
}

/// Whether the model must call a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToolChoice {
    /// As it likes.
    #[default]
    Auto,
    /// At least one.
    Required,
    /// This one.
    Named(String),
}

/// A conversation, and what the model may do in its next turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chat {
    /// What was said, in order.
    pub messages: Vec<ChatMessage>,
    /// The tools it may call.
    pub tools: Vec<Tool>,
    /// Whether it must.
    pub tool_choice: ToolChoice,
    /// Whether it may call several at once.
    pub parallel_calls: bool,
    /// The beginning of its answer, which it goes on with; mostly empty.
    pub assistant_prefill: String,
    /// Whether the template ends the prompt with the head of an answer, which is the default. Without one, the prompt ends
    /// behind the last message.
    pub adds_generation_prompt: bool,
    /// Variables for the chat template.
    pub variables: Vec<TemplateVariable>,
    /// The format of an answer that is no tool call, where there are tools.
    pub format: Option<AnswerFormat>,
}

impl Default for Chat {
    fn default() -> Self {
        Self {
            messages: Vec::new(),
            tools: Vec::new(),
            tool_choice: ToolChoice::Auto,
            parallel_calls: true,
            assistant_prefill: String::new(),
            adds_generation_prompt: true,
            variables: Vec::new(),
            format: None,
        }
    }
}

impl Chat {
    /// Bytes of text in it, tools included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let said = self.messages.iter().map(|message| {
            let calls = message.tool_calls.iter().map(|call| call.name.len() + call.arguments.len());
            let named = [&message.name, &message.tool_call_id].into_iter().flatten().map(String::len);
            message.content.len() + message.reasoning.len() + calls.sum::<usize>() + named.sum::<usize>()
        });
        let tools = self.tools.iter().map(|tool| {
            tool.name.len() + tool.description.as_ref().map_or(0, String::len) + tool.parameters.len()
        });
        let variables = self.variables.iter().map(|variable| variable.name.len() + variable.value.len());
        said.sum::<usize>() + tools.sum::<usize>() + variables.sum::<usize>() + self.assistant_prefill.len()
    }
}

impl From<Vec<ChatMessage>> for Chat {
    fn from(messages: Vec<ChatMessage>) -> Self {
        Self { messages, ..Self::default() }
    }
}

/// What a model is asked to continue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Prompt {
    /// Rendered through the model's own chat template.
    Chat(Chat),
    /// As it is.
    Text(String),
    /// What is missing between two texts.
    Infill {
        /// What is before it.
        prefix: String,
        /// What is after it.
        suffix: String,
    },
    /// Already tokens of this model.
    Tokens(Vec<u32>),
}

impl Prompt {
    /// Bytes of text in it, or its tokens' number.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Prompt::Chat(chat) => chat.bytes(),
            Prompt::Text(text) => text.len(),
            Prompt::Infill { prefix, suffix } => prefix.len() + suffix.len(),
            Prompt::Tokens(tokens) => tokens.len(),
        }
    }
}

/// A prompt as its engine is given it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedPrompt {
    /// In tokens, with the model's own start token where it wants one; as it came where the engine itself
    /// renders and counts.
    pub prompt: Prompt,
    /// Its length in tokens; absent where the engine counts, which it tells with [`Event::Counted`].
    pub tokens: Option<usize>,
    /// How to read its answer.
    pub output_format: OutputFormat,
    /// What of the request has no effect: fields whose template variables this model does not read, and keywords of
    /// schemas that its grammar does not express.
    pub ignored: Vec<String>,
}

impl PreparedPrompt {
    /// A prompt that was rendered and counted.
    #[must_use]
    pub fn from_tokens(tokens: Vec<u32>) -> Self {
        Self {
            tokens: Some(tokens.len()),
            prompt: Prompt::Tokens(tokens),
            output_format: OutputFormat::default(),
            ignored: Vec::new(),
        }
    }
}

/// A constraint as far as an engine can keep to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedConstraint {
    /// What the answer is held to.
    pub constraint: Constraint,
    /// The keywords of its schema that were dropped, by where they stood.
    pub dropped: Vec<String>,
}

/// Whose a job is: a person, and the one of their keys that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub struct CallerIds {
    pub person: UserId,
    pub key: KeyId,
}

/// What to generate.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationRequest {
    /// What [`Driver::prepare`] made of the prompt.
    pub prompt: Prompt,
    /// How.
    pub sampling: Sampling,
    /// Whom it is for: persons, and keys of one person, share the engine's time. `None` is Lar itself.
    pub caller: Option<CallerIds>,
    /// Whose earlier prompts may save work, and who may use what this one leaves; `None` is everyone who has
    /// `None` too.
    pub cache_of: Option<KeyId>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FinishReason {
    /// The model ended it, or a stop text did and the engine does not tell which.
    Stop,
    /// One of [`Sampling::stop`]'s texts did: its index.
    StopText(usize),
    /// The limit of tokens or the end of the context.
    Length,
    /// The model ended it with tool calls. Engines do not say this; whoever reads the answer does.
    ToolCalls,
}

impl FinishReason {
    /// OpenAI's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            FinishReason::Stop | FinishReason::StopText(_) => "stop",
            FinishReason::Length => "length",
            FinishReason::ToolCalls => "tool_calls",
        }
    }
}

/// What happens while an engine generates. The last event is the only one for which [`Event::is_terminal`].
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A part of the prompt is in the KV cache; only where [`Sampling::reports_prefill`] is set. The number grows with each
    /// report. The first comes before anything is computed and counts the cached tokens, the last counts the whole prompt.
    Prefilling {
        /// Tokens of the prompt in the KV cache, cached ones included.
        tokens: u32,
    },
    /// The prompt was read.
    Prefilled {
        /// Tokens of it that were known from earlier prompts, where the engine tells.
        cached_tokens: u32,
    },
    /// The prompt's tokens, by the engine's own count.
    Counted {
        /// How many.
        tokens: u32,
    },
    /// Tokens were computed on the chance that they follow.
    Speculated {
        /// How many.
        tokens: u32,
        /// Of them, those that did follow.
        accepted: u32,
    },
    /// Text for so many tokens; the text may be empty while characters are held back.
    Delta {
        /// Whole characters.
        text: String,
        /// Tokens this stands for; none where it tells of the prompt's.
        tokens: u32,
        /// Of tokens whose text is told, where they were asked for; they come with the last of their text.
        logprobs: Vec<TokenLogprobs>,
    },
    /// The answer is whole.
    Finished(FinishReason),
    /// The engine has confirmed that it stopped as asked.
    Cancelled,
    /// The engine failed; it no longer works on this.
    Failed(Error),
}

impl Event {
    /// Whether nothing follows.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        matches!(self, Event::Finished(_) | Event::Cancelled | Event::Failed(_))
    }
}

/// A job that an engine works on.
///
/// The driver owes exactly one terminal event, told only once the engine no longer works on the job; a
/// stream that ends without one counts as failed. Cancelling [`Generation::stop`] asks; the terminal event confirms.
pub struct Generation {
    /// What happens, in order.
    pub events: BoxStream<'static, Event>,
    /// Asks the engine to stop when cancelled.
    pub stop: tokio_util::sync::CancellationToken,
    /// Whether the engine works on the job at present, or has given its slot to another. Engines that pause jobs tell it; of
    /// others a job has a slot from its start.
    pub has_slot: Option<tokio::sync::watch::Receiver<bool>>,
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generation").finish_non_exhaustive()
    }
}

impl Drop for Generation {
    /// Whoever lets go of a job no longer wants it.
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What an engine can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    /// Chat and completions.
    Generate,
    /// Embeddings.
    Embed,
    /// Scores of texts for a query.
    Rank,
}

/// An engine as the pool sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// Its name and build, such as `llama.cpp (embedded)`.
    pub name: String,
    /// What it does.
    pub ability: Ability,
    /// Jobs it can work on at once.
    pub concurrency: u32,
    /// Jobs that it takes beside those, for which it pauses others.
    pub paused_max: u32,
    /// Tokens of prompt and answer together, per job.
    pub context_tokens: u32,
}

/// An engine driver.
///
/// Implementers owe: `load` may be called again after the engine died or was unloaded; `count` and
/// `prepare` work before `load`, and in Lar's own engines load no weights; every method may be called from many tasks at once; dropping a
/// returned future leaves the engine usable.
pub trait Driver: Send + Sync + std::fmt::Debug + 'static {
    /// What the engine is, as far as is known before loading.
    fn engine(&self) -> Engine;

    /// Threads that compute single tokens, while the engine is loaded and where it tells.
    fn threads(&self) -> Option<u32> {
        None
    }

    /// Makes the engine ready; returns at once when it is.
    fn load(&self) -> BoxFuture<'_, Result<(), Error>>;

    /// Waits until an engine that was loaded dies and tells why; pends while it is well.
    fn wait_for_death(&self) -> BoxFuture<'_, String>;

    /// Lets go of the model and its memory.
    fn unload(&self) -> BoxFuture<'_, ()>;

    /// Counts the tokens of a prompt as the model would read it.
    fn count<'a>(&'a self, prompt: &'a Prompt) -> BoxFuture<'a, Result<usize, Error>>;

    /// Makes a prompt ready for [`Driver::generate`]: renders and counts it, unless the engine does that
    /// itself and the prompt is sure to fit.
    fn prepare(&self, prompt: Prompt) -> BoxFuture<'_, Result<PreparedPrompt, Error>>;

    /// Says how far the engine can keep to a constraint. Of a schema that it cannot express in full it drops keywords,
    /// unless that is `strict`.
    ///
    /// # Errors
    /// [`Error::Constraint`] with what it cannot express, or [`Error::Unable`].
    fn check(&self, constraint: Constraint, strict: bool) -> BoxFuture<'_, Result<CheckedConstraint, Error>>;

    /// Answers a question about the model's vocabulary or template; works before `load`.
    ///
    /// # Errors
    /// [`Error::Template`] with why the question has no answer, or [`Error::Unable`].
    fn query_tokenizer(&self, _question: TokenizerQuery) -> BoxFuture<'_, Result<TokenizerAnswer, Error>> {
        let error = Error::Unable { engine: self.engine().name, operation: "tell its tokens" };
        std::future::ready(Err(error)).boxed()
    }

    /// As [`Driver::count`], for a key. Engines that count themselves let keys take turns; `None` is Lar itself.
    fn count_for<'a>(
        &'a self,
        _caller: Option<KeyId>,
        prompt: &'a Prompt,
    ) -> BoxFuture<'a, Result<usize, Error>> {
        self.count(prompt)
    }

    /// As [`Driver::prepare`], for a key, as in [`Driver::count_for`].
    fn prepare_for(
        &self,
        _caller: Option<KeyId>,
        prompt: Prompt,
    ) -> BoxFuture<'_, Result<PreparedPrompt, Error>> {
        self.prepare(prompt)
    }

    /// As [`Driver::check`], for a key, as in [`Driver::count_for`].
    ///
    /// # Errors
    /// As [`Driver::check`].
    fn check_for(
        &self,
        _caller: Option<KeyId>,
        constraint: Constraint,
        strict: bool,
    ) -> BoxFuture<'_, Result<CheckedConstraint, Error>> {
        self.check(constraint, strict)
    }

    /// As [`Driver::query_tokenizer`], for a key, as in [`Driver::count_for`].
    ///
    /// # Errors
    /// As [`Driver::query_tokenizer`].
    fn query_tokenizer_for(
        &self,
        _caller: Option<KeyId>,
        question: TokenizerQuery,
    ) -> BoxFuture<'_, Result<TokenizerAnswer, Error>> {
        self.query_tokenizer(question)
    }

    /// Starts a job. The engine must be loaded.
    ///
    /// # Errors
    /// When the engine is not there or cannot do this.
    fn generate(&self, request: GenerationRequest) -> Result<Generation, Error>;

    /// Computes vectors. The engine must be loaded. `cache_of` is as in [`GenerationRequest::cache_of`].
    fn embed(
        &self,
        _texts: Vec<String>,
        _cache_of: Option<KeyId>,
    ) -> BoxFuture<'_, Result<Embeddings, Error>> {
        let error = Error::Unable { engine: self.engine().name, operation: "make embeddings" };
        std::future::ready(Err(error)).boxed()
    }

    /// Scores texts for a query. The engine must be loaded.
    fn rank(&self, _query: String, _texts: Vec<String>) -> BoxFuture<'_, Result<Ranking, Error>> {
        let error = Error::Unable { engine: self.engine().name, operation: "rank texts" };
        std::future::ready(Err(error)).boxed()
    }
}
