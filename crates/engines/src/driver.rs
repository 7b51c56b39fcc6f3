//! The trait that every engine driver implements, and the values that it exchanges with the pools.
//!
//! No type here names a slot, batch or sequence. The drivers are [`crate::embedded`] (llama.cpp in a worker),
//! [`crate::llama_server`] (over HTTP) and [`crate::encoder`] (BERT in a worker). The conformance suite
//! `tests/it/engines.rs` runs against every driver that generates.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use lar_base::KeyId;
use lar_chat_format::OutputFormat;
use lar_inference::{
    CheckedConstraint, Constraint, Embeddings, Error, Event, GenerationRequest, Prompt, Ranking,
    TokenizerAnswer, TokenizerQuery,
};

/// A prompt that is ready for [`Driver::generate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedPrompt {
    /// The prompt as tokens, with the model's start token if it uses one. If the engine renders and counts
    /// prompts itself, the prompt in its original form.
    pub prompt: Prompt,
    /// The number of tokens. `None` if the engine counts itself and reports the number as [`Event::Counted`].
    pub tokens: Option<usize>,
    /// How to parse the answer.
    pub output_format: OutputFormat,
    /// The parts of the request that have no effect: fields whose template variables this model does not
    /// read, and schema keywords that its grammar cannot express.
    pub ignored: Vec<String>,
}

impl PreparedPrompt {
    /// Makes a prompt that was rendered and counted.
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

/// A running generation.
///
/// The driver owes exactly one terminal event, and sends it only after the engine has stopped its work on the
/// generation. A stream that ends without a terminal event counts as failed. Cancelling [`Generation::stop`]
/// requests a stop; the terminal event confirms it.
pub struct Generation {
    /// The progress and the output, in order. The last event is terminal.
    pub events: BoxStream<'static, Event>,
    /// Requests a stop when cancelled.
    pub stop: tokio_util::sync::CancellationToken,
    /// Whether the generation has one of the engine's slots now or is paused for another one. Only engines
    /// that pause generations report it; with `None` the generation has a slot from its start.
    pub has_slot: Option<tokio::sync::watch::Receiver<bool>>,
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generation").finish_non_exhaustive()
    }
}

impl Drop for Generation {
    /// Stops the generation, because nobody reads its events any more.
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The kind of work that an engine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    /// Generates chat answers and completions.
    Generate,
    /// Computes one vector for each text.
    Embed,
    /// Scores texts for a query.
    Rank,
}

/// The properties of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// The name and build, such as `llama.cpp (embedded)`.
    pub name: String,
    /// The kind of work that the engine does for its model.
    pub ability: Ability,
    /// The number of generations that can run at the same time.
    pub concurrency: u32,
    /// The number of further generations that the engine accepts and for which it pauses others.
    pub paused_max: u32,
    /// The context of one generation: prompt and answer together, in tokens.
    pub context_tokens: u32,
}

/// A driver of one engine with one model.
///
/// An implementation must meet these rules:
/// - `load` may be called again after the engine died or was unloaded.
/// - `count` and `prepare` work before `load`. In Lar's own engines they load no weights.
/// - Every method may be called from many tasks at the same time.
/// - Dropping a returned future leaves the engine usable.
pub trait Driver: Send + Sync + std::fmt::Debug + 'static {
    /// Returns the engine's properties; before the first load, the ones that are known by then.
    fn engine(&self) -> Engine;

    /// Returns the number of threads that decode, if the engine is loaded and reports it.
    fn threads(&self) -> Option<u32> {
        None
    }

    /// Loads the model. Returns immediately if it is loaded.
    fn load(&self) -> BoxFuture<'_, Result<(), Error>>;

    /// Waits until a loaded engine dies and returns the reason. Stays pending while the engine works.
    fn wait_for_death(&self) -> BoxFuture<'_, String>;

    /// Unloads the model and frees its memory.
    fn unload(&self) -> BoxFuture<'_, ()>;

    /// Counts the tokens of a prompt as the model reads it.
    fn count<'a>(&'a self, prompt: &'a Prompt) -> BoxFuture<'a, Result<usize, Error>>;

    /// Prepares a prompt for [`Driver::generate`]: renders it and counts its tokens. An engine that renders
    /// and counts itself may skip both if the prompt certainly fits the context.
    fn prepare(&self, prompt: Prompt) -> BoxFuture<'_, Result<PreparedPrompt, Error>>;

    /// Checks how much of a constraint the engine can apply. It drops the schema keywords that it cannot
    /// express, unless `strict` is set.
    ///
    /// # Errors
    /// [`Error::Constraint`] with the part that the engine cannot express, or [`Error::Unable`].
    fn check(&self, constraint: Constraint, strict: bool) -> BoxFuture<'_, Result<CheckedConstraint, Error>>;

    /// Answers a query about the model's vocabulary or template; works before `load`.
    ///
    /// # Errors
    /// [`Error::Template`] with the reason why the query has no answer, or [`Error::Unable`].
    fn query_tokenizer(&self, _query: TokenizerQuery) -> BoxFuture<'_, Result<TokenizerAnswer, Error>> {
        let error = Error::Unable { engine: self.engine().name, operation: "list its tokens" };
        std::future::ready(Err(error)).boxed()
    }

    /// Counts like [`Driver::count`], on behalf of a key. Engines that count in a queue serve keys in turn.
    /// `None` is Lar itself.
    fn count_for<'a>(
        &'a self,
        _caller: Option<KeyId>,
        prompt: &'a Prompt,
    ) -> BoxFuture<'a, Result<usize, Error>> {
        self.count(prompt)
    }

    /// Prepares like [`Driver::prepare`], on behalf of a key as in [`Driver::count_for`].
    fn prepare_for(
        &self,
        _caller: Option<KeyId>,
        prompt: Prompt,
    ) -> BoxFuture<'_, Result<PreparedPrompt, Error>> {
        self.prepare(prompt)
    }

    /// Checks like [`Driver::check`], on behalf of a key as in [`Driver::count_for`].
    ///
    /// # Errors
    /// The same as [`Driver::check`].
    fn check_for(
        &self,
        _caller: Option<KeyId>,
        constraint: Constraint,
        strict: bool,
    ) -> BoxFuture<'_, Result<CheckedConstraint, Error>> {
        self.check(constraint, strict)
    }

    /// Answers like [`Driver::query_tokenizer`], on behalf of a key as in [`Driver::count_for`].
    ///
    /// # Errors
    /// The same as [`Driver::query_tokenizer`].
    fn query_tokenizer_for(
        &self,
        _caller: Option<KeyId>,
        query: TokenizerQuery,
    ) -> BoxFuture<'_, Result<TokenizerAnswer, Error>> {
        self.query_tokenizer(query)
    }

    /// Starts a generation. The engine must be loaded.
    ///
    /// # Errors
    /// The engine is not running, or it cannot serve this request.
    fn generate(&self, request: GenerationRequest) -> Result<Generation, Error>;

    /// Computes embeddings. The engine must be loaded. `cache_of` is the same as
    /// [`GenerationRequest::cache_of`].
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
