//! The driver of Lar's embedded engine: a worker process with one GGUF model, which generates, embeds or
//! ranks.
//!
//! Prompts are counted and constraints checked by a second worker, which has only the vocabulary. It works
//! before the model is loaded. The worker's code is in `crates/worker`, the protocol in
//! `lar_inference::protocol`.

mod limits;
mod options;
mod process;
mod rpc;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lar_base::KeyId;
use tokio::sync::Mutex;

pub use crate::confinement_policy::ConfinementPolicy;
use crate::driver::{Ability, Driver, Engine, Generation, PreparedPrompt};
use crate::embedding_steps;
use crate::embedding_steps::EmbeddingCache;
use lar_chat_format;
use lar_chat_format::{ModelFormat, OutputFormat};
use lar_inference::protocol::{ConstraintCheck, Load, TuningResult};
use lar_inference::{CONSTRAINT_FIELD, Error};
use lar_inference::{
    Chat, CheckedConstraint, Constraint, Embeddings, GenerationRequest, Prompt, Ranking, TokenizerAnswer,
    TokenizerQuery,
};
pub use limits::{LARGE_PROMPT_BYTES, LARGE_PROMPTS_MAX};
pub use options::{EmbeddedOptions, Tuning};
pub(crate) use process::Worker;
pub(crate) use rpc::EmbeddedTexts;
use rpc::TokenizeReply;

/// Returns the parts of the confinement that this machine's kernel does not support, in words; empty if it
/// supports all.
///
/// # Errors
/// No worker can be started.
pub async fn confinement(program: &Path) -> Result<Vec<String>, Error> {
    process::confinement(program).await
}

/// The embedded engine with one model.
#[derive(Debug)]
pub struct Embedded {
    options: EmbeddedOptions,
    /// All files that its workers may read.
    files: Vec<PathBuf>,
    model_format: ModelFormat,
    /// Read by every request, changed by load and unload only.
    model: std::sync::Mutex<Option<Arc<Worker>>>,
    /// Held while the model loads, so that it loads only once.
    loading: Mutex<()>,
    vocabulary: Mutex<Option<Arc<Worker>>>,
    /// The last measurement.
    tuned: Arc<std::sync::Mutex<Option<TuningResult>>>,
    /// The embeddings of recent queries, for a model that embeds.
    vectors: std::sync::Mutex<EmbeddingCache>,
}

impl Embedded {
    /// Makes a driver that has not started anything yet.
    #[must_use]
    pub fn new(options: EmbeddedOptions) -> Self {
        let template = options.template.as_ref().map(|template| template.source.as_str());
        let files = [Some(&options.path), options.draft.as_ref()].into_iter().flatten().cloned().collect();
        Self {
            files,
            model_format: template.map(ModelFormat::from_template).unwrap_or_default(),
            options,
            model: std::sync::Mutex::new(None),
            loading: Mutex::new(()),
            vocabulary: Mutex::new(None),
            tuned: Arc::default(),
            vectors: std::sync::Mutex::default(),
        }
    }

    /// Sets all files of the model and its draft, for models that are split into several. The workers may
    /// read no others.
    #[must_use]
    pub fn with_files(self, files: Vec<PathBuf>) -> Self {
        Self { files, ..self }
    }

    /// Returns the process id of the worker that has the model, for `lar ps` and for tests that kill it.
    #[must_use]
    pub fn worker_pid(&self) -> Option<u32> {
        self.current().map(|worker| worker.pid())
    }

    /// Returns the number of running sequences, by the worker's last report.
    #[must_use]
    pub fn worker_active(&self) -> Option<u32> {
        self.current().map(|worker| worker.active())
    }

    fn loaded_worker(&self) -> Result<Arc<Worker>, Error> {
        self.current().ok_or_else(|| Error::Failed("the worker is not running".into()))
    }

    fn current(&self) -> Option<Arc<Worker>> {
        lock(&self.model).clone().filter(|worker| worker.death().is_none())
    }

    /// Asks the vocabulary worker for a prompt's tokens; only for their number if `tokens_max` is `None`.
    async fn tokenize(
        &self,
        caller: Option<KeyId>,
        prompt: &Prompt,
        tokens_max: Option<u32>,
    ) -> Result<TokenizeReply, Error> {
        let template = match prompt {
            Prompt::Chat(_) => self.options.template.as_ref(),
            _ => None,
        };
        let infill = matches!(prompt, Prompt::Infill { .. });
        let worker = self.vocabulary().await?;
        let mut answer = worker.tokenize(caller, prompt, template, tokens_max).await;
        if matches!(answer, Err(Error::Failed(_))) && worker.death().is_some() {
            // Another prompt may have crashed the worker. If this prompt crashes it, the second attempt fails
            // too.
            answer = self.vocabulary().await?.tokenize(caller, prompt, template, tokens_max).await;
        }
        match answer {
            Err(Error::Template(_)) if infill => {
                Err(Error::Unable { engine: "this model".into(), operation: "fill in the middle" })
            }
            answer => answer,
        }
    }

    /// Returns how to parse a chat's answer, constrained by as much of the schemas as the grammar can
    /// express. The keywords that it cannot express go to `ignored`.
    async fn output_format(
        &self,
        caller: Option<KeyId>,
        chat: &mut Chat,
        tail: &str,
        ignored: &mut Vec<String>,
    ) -> Result<OutputFormat, Error> {
        if chat.tools.is_empty() {
            return Ok(self.model_format.output_format(chat, tail));
        }
        let worker = self.vocabulary().await?;
        if let Some(format) = &mut chat.format {
            let checked = check(&worker, caller, format.constraint.clone(), format.strict).await?;
            ignored.extend(checked.dropped.iter().map(|path| format!("{CONSTRAINT_FIELD}.{path}")));
            format.constraint = checked.constraint;
        }
        // One call for all schemas: they share one time limit and one turn among the callers.
        let schemas = chat.tools.iter().map(|tool| ConstraintCheck {
            constraint: Constraint::JsonSchema(lar_chat_format::arguments_schema(tool).to_string()),
            strict: tool.strict,
        });
        let outcomes = worker.check_all(caller, schemas.collect()).await;
        let outcomes = outcomes.map_err(|error| as_tools_error(error, "tools"))?;
        for (index, (tool, outcome)) in chat.tools.iter_mut().zip(outcomes).enumerate() {
            let field = format!("tools[{index}]");
            let checked = outcome.map_err(|reason| Error::Tools { field: field.clone(), reason })?;
            if let Constraint::JsonSchema(schema) = checked.constraint {
                tool.parameters = schema;
            }
            ignored.extend(checked.dropped.iter().map(|path| format!("{field}.{path}")));
        }
        let output_format = self.model_format.output_format(chat, tail);
        let Some(constraint @ Constraint::Lark(_)) = &output_format.constraint else {
            return Ok(output_format);
        };
        let Err(error) = check(&worker, caller, constraint.clone(), true).await else {
            return Ok(output_format);
        };
        // Each tool's schema can be expressed, but not all of them in one grammar.
        if chat.tools.iter().any(|tool| tool.strict) {
            return Err(as_tools_error(error, "tools"));
        }
        for tool in &mut chat.tools {
            tool.parameters = r#"{"type":"object"}"#.into();
        }
        ignored.push("tools.schema".into());
        let output_format = self.model_format.output_format(chat, tail);
        if let Some(constraint) = &output_format.constraint {
            let checked = check(&worker, caller, constraint.clone(), true).await;
            checked.map_err(|error| as_tools_error(error, "tools"))?;
        }
        Ok(output_format)
    }

    async fn vocabulary(&self) -> Result<Arc<Worker>, Error> {
        let mut guard = self.vocabulary.lock().await;
        if let Some(worker) = guard.as_ref().filter(|worker| worker.death().is_none()) {
            return Ok(worker.clone());
        }
        let load = Load::Vocabulary { path: self.options.path.clone(), files: self.files.clone() };
        let (program, confinement) = (&self.options.program, self.options.confinement);
        let worker = Arc::new(Worker::start(program, load, confinement, Box::new(|_| {})).await?);
        *guard = Some(worker.clone());
        Ok(worker)
    }
}

impl Driver for Embedded {
    fn engine(&self) -> Engine {
        Engine {
            name: "llama.cpp (embedded)".into(),
            ability: self.options.ability,
            concurrency: self.options.concurrency,
            paused_max: match self.options.ability {
                // Half of them are for users who have no slot.
                Ability::Generate => 2 * self.options.concurrency,
                Ability::Embed | Ability::Rank => 0,
            },
            context_tokens: self.options.context_tokens,
        }
    }

    fn threads(&self) -> Option<u32> {
        let tuned = lock(&self.tuned).map(|tuned| tuned.threads);
        self.current().map(|_| tuned.unwrap_or(self.options.compute.threads))
    }

    fn load(&self) -> BoxFuture<'_, Result<(), Error>> {
        async {
            let _one = self.loading.lock().await;
            if self.current().is_some() {
                return Ok(());
            }
            let known = *lock(&self.tuned);
            let (last, tuning) = (self.tuned.clone(), self.options.tuning.clone());
            let on_tuned = move |tuned| {
                *lock(&last) = Some(tuned);
                if let Some(tuning) = &tuning {
                    (tuning.on_tuned)(tuned);
                }
            };
            let (program, confinement) = (&self.options.program, self.options.confinement);
            let load = self.options.load(self.files.clone(), known);
            let worker = Worker::start(program, load, confinement, Box::new(on_tuned)).await?;
            *lock(&self.model) = Some(Arc::new(worker));
            Ok(())
        }
        .boxed()
    }

    fn wait_for_death(&self) -> BoxFuture<'_, String> {
        async {
            let worker = lock(&self.model).clone();
            match worker {
                Some(worker) => worker.wait_for_death().await,
                None => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn unload(&self) -> BoxFuture<'_, ()> {
        async {
            let model = lock(&self.model).take();
            let vocabulary = self.vocabulary.lock().await.take();
            for worker in [model, vocabulary].into_iter().flatten() {
                worker.stop().await;
            }
        }
        .boxed()
    }

    fn count<'a>(&'a self, prompt: &'a Prompt) -> BoxFuture<'a, Result<usize, Error>> {
        self.count_for(None, prompt)
    }

    fn count_for<'a>(
        &'a self,
        caller: Option<KeyId>,
        prompt: &'a Prompt,
    ) -> BoxFuture<'a, Result<usize, Error>> {
        async move {
            match self.tokenize(caller, prompt, None).await? {
                TokenizeReply::Count(tokens) => Ok(usize::try_from(tokens).unwrap_or(usize::MAX)),
                TokenizeReply::Tokens(..) | TokenizeReply::TooLong(_) => {
                    Err(Error::Failed("its worker sent tokens instead of a count".into()))
                }
            }
        }
        .boxed()
    }

    fn prepare(&self, prompt: Prompt) -> BoxFuture<'_, Result<PreparedPrompt, Error>> {
        self.prepare_for(None, prompt)
    }

    fn prepare_for(
        &self,
        caller: Option<KeyId>,
        prompt: Prompt,
    ) -> BoxFuture<'_, Result<PreparedPrompt, Error>> {
        async move {
            let context_tokens = self.options.context_tokens;
            let (tokens, tail) = match self.tokenize(caller, &prompt, Some(context_tokens)).await? {
                TokenizeReply::Tokens(tokens, tail) => (tokens, tail),
                TokenizeReply::TooLong(tokens_at_least) => {
                    return Err(Error::PromptTooLong { tokens_at_least, context_tokens });
                }
                TokenizeReply::Count(_) => {
                    return Err(Error::Failed("its worker sent a count instead of tokens".into()));
                }
            };
            let Prompt::Chat(mut chat) = prompt else { return Ok(PreparedPrompt::from_tokens(tokens)) };
            let template = self.options.template.as_ref();
            let mut ignored = template
                .map(|template| lar_chat_format::template::ignored_variables(template, &chat))
                .unwrap_or_default();
            let output_format = self.output_format(caller, &mut chat, &tail, &mut ignored).await?;
            Ok(PreparedPrompt { output_format, ignored, ..PreparedPrompt::from_tokens(tokens) })
        }
        .boxed()
    }

    fn query_tokenizer(&self, query: TokenizerQuery) -> BoxFuture<'_, Result<TokenizerAnswer, Error>> {
        self.query_tokenizer_for(None, query)
    }

    fn query_tokenizer_for(
        &self,
        caller: Option<KeyId>,
        query: TokenizerQuery,
    ) -> BoxFuture<'_, Result<TokenizerAnswer, Error>> {
        async move {
            let template = match query {
                TokenizerQuery::Render(_) => self.options.template.clone(),
                TokenizerQuery::Tokenize { .. }
                | TokenizerQuery::Detokenize { .. }
                | TokenizerQuery::EndTokens => None,
            };
            self.vocabulary().await?.query_tokenizer(caller, query, template).await
        }
        .boxed()
    }

    fn check(&self, constraint: Constraint, strict: bool) -> BoxFuture<'_, Result<CheckedConstraint, Error>> {
        self.check_for(None, constraint, strict)
    }

    fn check_for(
        &self,
        caller: Option<KeyId>,
        constraint: Constraint,
        strict: bool,
    ) -> BoxFuture<'_, Result<CheckedConstraint, Error>> {
        async move {
            // The grammars of tool calls were checked when the prompt was prepared.
            if let Constraint::ToolCalls(_) = constraint {
                return Ok(CheckedConstraint { constraint, dropped: Vec::new() });
            }
            let worker = self.vocabulary().await?;
            check(&worker, caller, constraint, strict).await
        }
        .boxed()
    }

    fn generate(&self, request: GenerationRequest) -> Result<Generation, Error> {
        let worker = self.loaded_worker()?;
        let GenerationRequest { prompt, sampling, caller, cache_of } = request;
        let Prompt::Tokens(tokens) = prompt else {
            return Err(Error::Failed("the prompt was not prepared".into()));
        };
        Ok(Worker::generate(&worker, tokens, sampling, caller, cache_of))
    }

    fn embed(&self, texts: Vec<String>, cache_of: Option<KeyId>) -> BoxFuture<'_, Result<Embeddings, Error>> {
        async move {
            let (worker, tokens_max) = (self.loaded_worker()?, self.options.context_tokens);
            embedding_steps::embed(&worker, &self.vectors, texts, cache_of, tokens_max).await
        }
        .boxed()
    }

    fn rank(&self, query: String, texts: Vec<String>) -> BoxFuture<'_, Result<Ranking, Error>> {
        async {
            let worker = self.loaded_worker()?;
            embedding_steps::rank(&worker, query, texts, self.options.context_tokens).await
        }
        .boxed()
    }
}

/// Checks how much of one constraint the engine can apply.
async fn check(
    worker: &Worker,
    caller: Option<KeyId>,
    constraint: Constraint,
    strict: bool,
) -> Result<CheckedConstraint, Error> {
    let outcomes = worker.check_all(caller, vec![ConstraintCheck { constraint, strict }]).await?;
    let outcome = outcomes.into_iter().next();
    outcome
        .ok_or_else(|| Error::Failed("its worker did not check the constraint".into()))?
        .map_err(Error::Constraint)
}

/// Turns an error of a constraint into one of a tool's schema.
fn as_tools_error(error: Error, field: &str) -> Error {
    match error {
        Error::Constraint(reason) => Error::Tools { field: field.to_owned(), reason },
        other => other,
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
