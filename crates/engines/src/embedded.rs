//! The driver of Lar's own engine: a worker process that holds one GGUF model, which generates, makes vectors
//! or ranks. Beside one that generates a second one holds only the vocabulary, and answers counts before
//! anything is loaded.

mod limits;
mod process;
mod rpc;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lar_base::{Bytes, KeyId};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::chat_format::{self, ModelFormat, OutputFormat};
use crate::driver::{
    Ability, Chat, CheckedConstraint, Constraint, Driver, Embeddings, Engine, Generation, GenerationRequest,
    PreparedPrompt, Prompt, Ranking, TokenizerAnswer, TokenizerQuery,
};
use crate::embedding_cache::{self, EmbeddingCache};
use crate::protocol::{Compute, ConstraintCheck, Load, ThreadTuning, TuningResult};
use crate::template::ChatTemplate;
use crate::{CONSTRAINT_FIELD, Error};
pub use limits::{LARGE_PROMPT_BYTES, LARGE_PROMPTS_MAX};
pub(crate) use process::Worker;
pub(crate) use rpc::EmbeddedTexts;
use rpc::TokenizeReply;

/// A model for the embedded engine, in plain values.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// The program that becomes a worker when called with `worker`.
    pub program: PathBuf,
    /// The GGUF file.
    pub path: PathBuf,
    /// From the file's metadata.
    pub template: Option<ChatTemplate>,
    /// What the model does.
    pub ability: Ability,
    /// Jobs at once.
    pub concurrency: u32,
    /// Context of each job, or what is read of each text, in tokens.
    pub context_tokens: u32,
    /// How it computes.
    pub compute: Compute,
    /// Measures what it computes fastest with, when it is first loaded and while it works, and tells it; computes as told
    /// where absent.
    pub tuning: Option<Tuning>,
    /// The GGUF file of a small model with the same vocabulary that guesses next tokens.
    pub draft: Option<PathBuf>,
    /// Host memory for what sequences knew when others took their place; none turns that off.
    pub cache: Bytes,
    /// Memory that the worker may take beside the mapped file; no limit where absent.
    pub memory_max: Option<Bytes>,
    /// What happens where the kernel cannot confine the worker in every way.
    pub confinement: ConfinementPolicy,
}

/// What happens where the kernel cannot confine a worker in every way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConfinementPolicy {
    /// The model is loaded; the log, `lar doctor` and the capabilities say what is missing.
    #[default]
    BestEffort,
    /// The model is not loaded.
    Require,
}

impl ConfinementPolicy {
    /// As settings spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ConfinementPolicy::BestEffort => "best-effort",
            ConfinementPolicy::Require => "require",
        }
    }

    /// Decides whether a process may run that the kernel does not confine in every way. Returns what is missing where it
    /// may, and none where nothing is.
    ///
    /// # Errors
    /// Where the setting requires the whole confinement; the reason names `process`, the setting and what is missing.
    pub(crate) fn allow(self, process: &str, missing: &[String]) -> Result<Option<String>, String> {
        if missing.is_empty() {
            return Ok(None);
        }
        let missing = missing.join("; ");
        match self {
            ConfinementPolicy::BestEffort => Ok(Some(missing)),
            ConfinementPolicy::Require => Err(format!(
                "{process} cannot be confined in every way, and `engines.confinement` requires that: {missing}"
            )),
        }
    }
}

/// What this machine's kernel would not hold a worker to, in words; nothing where it is confined in every way.
///
/// # Errors
/// When no worker can be started.
pub async fn confinement(program: &Path) -> Result<Vec<String>, Error> {
    process::confinement(program).await
}

/// The embedded engine with one model.
#[derive(Debug)]
pub struct Embedded {
    options: EmbeddedOptions,
    /// All that its workers may read.
    files: Vec<PathBuf>,
    model_format: ModelFormat,
    /// Read on every job, changed on load and unload only.
    model: std::sync::Mutex<Option<Arc<Worker>>>,
    /// Only one load at a time.
    loading: Mutex<()>,
    vocabulary: Mutex<Option<Arc<Worker>>>,
    /// What was measured last.
    tuned: Arc<std::sync::Mutex<Option<TuningResult>>>,
    /// Of queries that were asked before, where it makes vectors.
    vectors: std::sync::Mutex<EmbeddingCache>,
}

/// Measurements to be made.
#[derive(Clone)]
pub struct Tuning {
    /// What the worker chooses from.
    pub threads: ThreadTuning,
    /// Is called with what was found, when the model is loaded and whenever that changes.
    pub on_tuned: Arc<dyn Fn(TuningResult) + Send + Sync>,
}

impl std::fmt::Debug for Tuning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tuning").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl EmbeddedOptions {
    fn load(&self, files: Vec<PathBuf>, known: Option<TuningResult>) -> Load {
        let Self { path, mut compute, memory_max, .. } = self.clone();
        if let Some(tuned) = known {
            let TuningResult { threads, threads_batch, batch_tokens, .. } = tuned;
            compute = Compute { threads, threads_batch, batch_tokens, ..compute };
        }
        let tuning = self
            .tuning
            .as_ref()
            .map(|tuning| ThreadTuning { known: known.or(tuning.threads.known), ..tuning.threads.clone() });
        let memory_bytes_max = memory_max.map(Bytes::get);
        match self.ability {
            Ability::Generate => Load::Model {
                path,
                files,
                sequences: self.concurrency,
                context_tokens: self.context_tokens,
                compute,
                tuning,
                draft: self.draft.clone(),
                cache_bytes: self.cache.get(),
                memory_bytes_max,
            },
            Ability::Embed | Ability::Rank => {
                Load::Embedder { path, files, tokens_max: self.context_tokens, compute, memory_bytes_max }
            }
        }
    }
}

impl Embedded {
    /// A driver that has started nothing yet.
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

    /// Names all files of a model, and of its draft, where they were split into several: its workers may read no others.
    #[must_use]
    pub fn with_files(self, files: Vec<PathBuf>) -> Self {
        Self { files, ..self }
    }

    /// The process id of the worker that holds the model, for tests that kill it and for `lar ps`.
    #[must_use]
    pub fn worker_pid(&self) -> Option<u32> {
        self.current().map(|worker| worker.pid())
    }

    /// Sequences that run, by the worker's own last count.
    #[must_use]
    pub fn worker_active(&self) -> Option<u32> {
        self.current().map(|worker| worker.active())
    }

    fn loaded_worker(&self) -> Result<Arc<Worker>, Error> {
        self.current().ok_or_else(|| Error::Failed("the worker is not there".into()))
    }

    fn current(&self) -> Option<Arc<Worker>> {
        lock(&self.model).clone().filter(|worker| worker.death().is_none())
    }

    /// Asks the vocabulary's worker for a prompt's tokens, or only for their number where `tokens_max` is absent.
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
            // Another prompt may have brought it down; one that does so itself fails the second time.
            answer = self.vocabulary().await?.tokenize(caller, prompt, template, tokens_max).await;
        }
        match answer {
            Err(Error::Template(_)) if infill => {
                Err(Error::Unable { engine: "this model".into(), operation: "fill in the middle" })
            }
            answer => answer,
        }
    }

    /// How to read a chat's answer, which is held to as much of its schemas as can be; `ignored` gets the rest.
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
        // All at once, so that they have their time together and wait for others' turns together.
        let schemas = chat.tools.iter().map(|tool| ConstraintCheck {
            constraint: Constraint::JsonSchema(chat_format::arguments_schema(tool).to_string()),
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
        // Each tool can be expressed, but not all of them together.
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
                // Half are for persons who have no slot.
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
                    Err(Error::Failed("its worker did not count".into()))
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
                TokenizeReply::Count(_) => return Err(Error::Failed("its worker only counted".into())),
            };
            let Prompt::Chat(mut chat) = prompt else { return Ok(PreparedPrompt::from_tokens(tokens)) };
            let template = self.options.template.as_ref();
            let mut ignored = template.map(|template| template.ignored_variables(&chat)).unwrap_or_default();
            let output_format = self.output_format(caller, &mut chat, &tail, &mut ignored).await?;
            Ok(PreparedPrompt { output_format, ignored, ..PreparedPrompt::from_tokens(tokens) })
        }
        .boxed()
    }

    fn query_tokenizer(&self, question: TokenizerQuery) -> BoxFuture<'_, Result<TokenizerAnswer, Error>> {
        self.query_tokenizer_for(None, question)
    }

    fn query_tokenizer_for(
        &self,
        caller: Option<KeyId>,
        question: TokenizerQuery,
    ) -> BoxFuture<'_, Result<TokenizerAnswer, Error>> {
        async move {
            let template = match question {
                TokenizerQuery::Render(_) => self.options.template.clone(),
                TokenizerQuery::Tokenize { .. }
                | TokenizerQuery::Detokenize { .. }
                | TokenizerQuery::EndTokens => None,
            };
            self.vocabulary().await?.query_tokenizer(caller, question, template).await
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
            // Its parts were checked when the prompt was prepared.
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
            embedding_cache::embed(&worker, &self.vectors, texts, cache_of, tokens_max).await
        }
        .boxed()
    }

    fn rank(&self, query: String, texts: Vec<String>) -> BoxFuture<'_, Result<Ranking, Error>> {
        async {
            let worker = self.loaded_worker()?;
            embedding_cache::rank(&worker, query, texts, self.options.context_tokens).await
        }
        .boxed()
    }
}

/// How far an answer can be held to one constraint.
async fn check(
    worker: &Worker,
    caller: Option<KeyId>,
    constraint: Constraint,
    strict: bool,
) -> Result<CheckedConstraint, Error> {
    let outcomes = worker.check_all(caller, vec![ConstraintCheck { constraint, strict }]).await?;
    let outcome = outcomes.into_iter().next();
    outcome.ok_or_else(|| Error::Failed("its worker did not check".into()))?.map_err(Error::Constraint)
}

/// What is wrong with the schema of a tool.
fn as_tools_error(error: Error, field: &str) -> Error {
    match error {
        Error::Constraint(reason) => Error::Tools { field: field.to_owned(), reason },
        other => other,
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
