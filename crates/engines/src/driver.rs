//! What an engine must do to be scheduled: the trait that every driver implements.
//!
//! No type here names a slot, batch or sequence. Drivers: [`crate::embedded`] (llama.cpp in a worker),
//! [`crate::llama_server`] (over HTTP), [`crate::encoder`] (BERT in this process). One conformance suite,
//! `tests/it/engines.rs`, runs against the generating ones.

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use lar_base::KeyId;
use serde::{Deserialize, Serialize};

use crate::Error;

/// One message of a chat prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// The text.
    pub content: String,
}

/// What a model is asked to continue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Prompt {
    /// Rendered through the model's own chat template.
    Chat(Vec<ChatMessage>),
    /// As it is.
    Text(String),
    /// Already tokens of this model.
    Tokens(Vec<u32>),
}

/// A prompt as its engine is given it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// In tokens, with the model's own start token where it wants one; as it came where the engine itself
    /// renders and counts.
    pub prompt: Prompt,
    /// Its length in tokens; absent where the engine counts, which it tells with [`Event::Counted`].
    pub tokens: Option<usize>,
}

impl Prepared {
    /// A prompt that was rendered and counted.
    #[must_use]
    pub fn counted(tokens: Vec<u32>) -> Self {
        Self { tokens: Some(tokens.len()), prompt: Prompt::Tokens(tokens) }
    }
}

/// How to choose tokens and when to stop. `None` leaves the choice to the engine's documented default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// 0 is greedy; default 0.8.
    pub temperature: Option<f32>,
    /// Nucleus, 0 to 1; default 0.95.
    pub top_p: Option<f32>,
    /// Default 40; 0 is off.
    pub top_k: Option<i32>,
    /// Default 0.05.
    pub min_p: Option<f32>,
    /// -2 to 2; default 0.
    pub presence_penalty: Option<f32>,
    /// -2 to 2; default 0.
    pub frequency_penalty: Option<f32>,
    /// Over the last 64 tokens; default 1, which is off.
    pub repeat_penalty: Option<f32>,
    /// Added to the logits of these tokens.
    pub logit_bias: Vec<(i32, f32)>,
    /// Starts the random choice.
    pub seed: u32,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// Tokens after which the answer ends.
    pub tokens_max: u32,
}

/// What to generate.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// What [`Driver::prepare`] made of the prompt.
    pub prompt: Prompt,
    /// How.
    pub sampling: Sampling,
    /// Whose earlier prompts may save work, and who may use what this one leaves; `None` is everyone who has
    /// `None` too.
    pub cache_of: Option<KeyId>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FinishReason {
    /// The model ended it, or a stop text did.
    Stop,
    /// The limit of tokens or the end of the context.
    Length,
}

impl FinishReason {
    /// OpenAI's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
        }
    }
}

/// What happens while an engine generates. The last event is the only one for which [`Event::is_terminal`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The prompt was read.
    Prefilled {
        /// Tokens of it that were known from earlier prompts, where the engine tells.
        known: u32,
    },
    /// The prompt's tokens, by the engine's own count.
    Counted {
        /// How many.
        tokens: u32,
    },
    /// Text for so many tokens; the text may be empty while characters are held back.
    Delta {
        /// Whole characters.
        text: String,
        /// Tokens this stands for.
        tokens: u32,
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

/// Vectors for texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// One unit-length vector per text, in order.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens read in all.
    pub tokens: u64,
    /// Texts that were longer than the model reads and were cut.
    pub truncated: Vec<usize>,
}

/// What an engine can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    /// Chat and completions.
    Generate,
    /// Embeddings.
    Embed,
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

    /// Makes the engine ready; returns at once when it is.
    fn load(&self) -> BoxFuture<'_, Result<(), Error>>;

    /// Waits until an engine that was loaded dies and tells why; pends while it is well.
    fn died(&self) -> BoxFuture<'_, String>;

    /// Lets go of the model and its memory.
    fn unload(&self) -> BoxFuture<'_, ()>;

    /// Counts the tokens of a prompt as the model would read it.
    fn count<'a>(&'a self, prompt: &'a Prompt) -> BoxFuture<'a, Result<usize, Error>>;

    /// Makes a prompt ready for [`Driver::generate`]: renders and counts it, unless the engine does that
    /// itself and the prompt is sure to fit.
    fn prepare(&self, prompt: Prompt) -> BoxFuture<'_, Result<Prepared, Error>>;

    /// Starts a job. The engine must be loaded.
    ///
    /// # Errors
    /// When the engine is not there or cannot do this.
    fn generate(&self, job: Job) -> Result<Generation, Error>;

    /// Computes vectors. The engine must be loaded.
    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Result<Embeddings, Error>>;
}
