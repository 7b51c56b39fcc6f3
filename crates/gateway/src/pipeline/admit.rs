//! Admission: checks the caller's permission, the route, the ability of the model, and whether the prompt
//! fits ([`context_fit`](super::context_fit)). It costs a count of the prompt's tokens, but needs no weights
//! and no lease.

use std::sync::Arc;
use std::time::Duration;

use lar_base::{KeyId, Problem, Scope, Timestamp};
use lar_catalog::Kind;
use lar_chat_format::OutputFormat;
use lar_chat_format::gbnf;
use lar_engines::driver::{Ability, Engine};
use lar_inference::{
    AnswerFormat, CONSTRAINT_FIELD, CallerIds, Constraint, GenerationRequest, Priority, Prompt,
    TokenizerAnswer, TokenizerQuery,
};
use lar_store::TaskStart;

use super::Gateway;
use super::context_fit::{room_for_answer, too_long};
use crate::metrics::ByReason;
use crate::routes::Route;
use crate::task::{OnDisconnect, Task, Work};

/// Proof that a task may run: it has a route, and its prompt fits. Nothing is dispatched without one.
#[derive(Debug)]
pub struct Admitted {
    pub(super) start: TaskStart,
    /// The id of the HTTP request that it belongs to.
    pub(super) request_id: Option<Arc<str>>,
    pub(super) priority: Priority,
    pub(super) deadline: Option<Duration>,
    pub(super) on_disconnect: OnDisconnect,
    pub(super) route: Route,
    pub(super) ready: PreparedWork,
    /// The parts of the request that have no effect with this model. Names below
    /// [`lar_inference::CONSTRAINT_FIELD`] belong to the format.
    pub(super) ignored: Vec<String>,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one is made per task, and nearly all are the large one")]
pub(super) enum PreparedWork {
    Generate {
        job: GenerationRequest,
        /// The number of prompt tokens; 0 until the engine has counted them.
        tokens_in: u64,
        output_format: OutputFormat,
    },
    Embed {
        texts: Vec<String>,
        cache_of: Option<KeyId>,
    },
    Rank {
        query: String,
        texts: Vec<String>,
    },
}

/// The length of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The number of tokens of the rendered prompt.
    pub tokens: usize,
    /// The context that prompt and answer share, in tokens.
    pub context_tokens: usize,
}

impl Admitted {
    /// Returns the name of the model that will serve the task.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.route.pool
    }

    /// Returns the number of prompt tokens; 0 if the engine has not counted them yet, or there is no prompt.
    #[must_use]
    pub fn tokens_in(&self) -> u64 {
        match &self.ready {
            PreparedWork::Generate { tokens_in, .. } => *tokens_in,
            PreparedWork::Embed { .. } | PreparedWork::Rank { .. } => 0,
        }
    }

    /// Returns the parts of the request that have no effect with this model: fields, and keywords of schemas.
    #[must_use]
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Returns the record of the task's start.
    #[must_use]
    pub fn start(&self) -> TaskStart {
        self.start.clone()
    }
}

/// The reason why a recursive GBNF grammar is refused.
const GBNF_OFF: &str = "recursive GBNF grammars are off, because their cost has no limit: use \
                        `json_schema`, or turn them on with `engines.gbnf` if you trust every caller";
/// The most tokens of an answer whose context is shifted.
const SHIFTED_TOKENS_MAX: u32 = 1 << 20;

impl Gateway {
    /// Checks the caller, the route, the ability of the engine and the context. It costs a count of the
    /// prompt's tokens, but needs no weights and no lease.
    ///
    /// # Errors
    /// The reason why the task may not run, as a problem for the caller.
    pub async fn admit(&self, task: Task) -> Result<Admitted, Problem> {
        let admitted = self.try_admit(task).await;
        if let Err(problem) = &admitted {
            self.shared.metrics.rejected.get_or_create(&ByReason { reason: problem.code.as_str() }).inc();
        }
        admitted
    }

    async fn try_admit(&self, task: Task) -> Result<Admitted, Problem> {
        task.caller.require(Scope::Inference)?;
        let route = self.shared.routes.find(&task.model, Some(task.work.kind())).await?;
        let ability = self.engine(&route)?.ability;
        let start = TaskStart {
            id: task.id,
            key: task.caller.key(),
            user: task.caller.user(),
            conversation: task.conversation,
            api: task.api,
            workload: task.work.workload(),
            model: route.pool.clone(),
            priority: task.priority.as_str(),
            created_at: Timestamp::now(),
            memory: task.memory,
        };
        let request_id = task.caller.request_id().cloned();
        let mut ignored = Vec::new();
        let ready = match (task.work, ability) {
            (Work::Generate { mut prompt, mut sampling }, Ability::Generate) => {
                if let Prompt::Chat(chat) = &mut prompt
                    && !chat.tools.is_empty()
                {
                    // The answer is a tool call or matches the format: one constraint covers both.
                    let strict = sampling.strict;
                    let format = sampling.constraint.take();
                    chat.format = format.map(|constraint| AnswerFormat { constraint, strict });
                }
                let permit = self.shared.large_prompts.acquire(start.key, prompt.bytes()).await?;
                let prepared = self.shared.engines.prepare(&route.pool, Some(start.key), prompt).await;
                drop(permit);
                let prepared = prepared.map_err(|error| match error {
                    lar_inference::Error::PromptTooLong { tokens_at_least, context_tokens } => too_long(
                        usize::try_from(tokens_at_least).unwrap_or(usize::MAX),
                        "counting stopped there; ",
                        context_tokens,
                        &route.pool,
                    ),
                    other => other.into(),
                })?;
                ignored = prepared.ignored;
                let mut output_format = prepared.output_format;
                sampling.preserved.clone_from(&output_format.preserved);
                if let Some(constraint) = output_format.constraint.take() {
                    sampling.constraint = Some(constraint);
                }
                if let Some(constraint) = sampling.constraint.take() {
                    if let Constraint::Gbnf(source) = &constraint {
                        let kind = gbnf::parse(source).map_err(lar_inference::Error::Constraint)?;
                        if kind == gbnf::Kind::Other && !self.shared.routes.allows_gbnf() {
                            return Err(lar_inference::Error::Constraint(GBNF_OFF.into()).into());
                        }
                    }
                    let (engines, key, strict) = (&self.shared.engines, Some(start.key), sampling.strict);
                    let checked = engines.check(&route.pool, key, constraint, strict).await?;
                    let dropped = checked.dropped.iter().map(|path| format!("{CONSTRAINT_FIELD}.{path}"));
                    ignored.extend(dropped);
                    sampling.constraint = Some(checked.constraint);
                }
                // Read only now, because some engines report their context when they are first used.
                let context_tokens = self.engine(&route)?.context_tokens;
                let tokens_in = prepared.tokens.unwrap_or(0);
                let room = room_for_answer(tokens_in, context_tokens, &route.pool)?;
                sampling.tokens_max = match sampling.tokens_max {
                    0 => room,
                    requested if sampling.shift_keep.is_some() => requested.min(SHIFTED_TOKENS_MAX),
                    requested => requested.min(room),
                };
                PreparedWork::Generate {
                    job: GenerationRequest {
                        prompt: prepared.prompt,
                        sampling,
                        caller: Some(CallerIds { person: start.user, key: start.key }),
                        cache_of: self.shared.routes.cache_of(start.key),
                    },
                    tokens_in: tokens_in as u64,
                    output_format,
                }
            }
            // Texts may wait for long, so only the part that is read is kept.
            (Work::Embed { mut texts }, Ability::Embed) => {
                self.shared.engines.shorten(&route.pool, &mut texts);
                PreparedWork::Embed { texts, cache_of: self.shared.routes.cache_of(start.key) }
            }
            (Work::Rank { mut query, mut texts }, Ability::Rank) => {
                self.shared.engines.shorten(&route.pool, std::slice::from_mut(&mut query));
                self.shared.engines.shorten(&route.pool, &mut texts);
                PreparedWork::Rank { query, texts }
            }
            (work, ability) => {
                let does = match ability {
                    Ability::Generate => "generates text",
                    Ability::Embed => "computes embeddings",
                    Ability::Rank => "ranks texts",
                };
                let mismatch = match work {
                    Work::Generate { .. } => "cannot generate text",
                    Work::Embed { .. } => "cannot compute embeddings; try `default-embedding`",
                    Work::Rank { .. } => "cannot rank texts; try `default-rerank`",
                };
                return Err(Problem::invalid("model", format!("`{}` {does} and {mismatch}", route.pool)));
            }
        };
        let Task { priority, deadline, on_disconnect, .. } = task;
        if !ignored.is_empty() {
            let ignored = ignored.join(", ");
            tracing::info!(task = %start.id, ignored, "parts of a request have no effect");
        }
        Ok(Admitted { start, request_id, priority, deadline, on_disconnect, route, ready, ignored })
    }

    fn engine(&self, route: &Route) -> Result<Engine, Problem> {
        let engine = self.shared.engines.engine(&route.pool);
        engine.ok_or_else(|| Problem::not_found(format!("pool for the model {}", route.pool)))
    }

    /// Counts the tokens of a prompt as `model` reads it, for Lar itself.
    ///
    /// # Errors
    /// The model is not installed or cannot render the prompt.
    pub async fn count_tokens(&self, model: &str, prompt: &Prompt) -> Result<Count, Problem> {
        self.count(model, None, prompt).await
    }

    async fn count(&self, model: &str, caller: Option<KeyId>, prompt: &Prompt) -> Result<Count, Problem> {
        let route = self.shared.routes.find(model, Some(Kind::Chat)).await?;
        let tokens = self.shared.engines.count(&route.pool, caller, prompt).await?;
        Ok(Count { tokens, context_tokens: self.engine(&route)?.context_tokens as usize })
    }

    /// Counts like [`Gateway::count_tokens`], for an external caller. Keys take turns, and only some large
    /// prompts of one key are counted at the same time.
    ///
    /// # Errors
    /// The same as [`Gateway::count_tokens`]; [`Code::RateLimited`](lar_base::Code::RateLimited) if the key's
    /// other large prompts take too long.
    pub async fn count_tokens_for(&self, key: KeyId, model: &str, prompt: &Prompt) -> Result<Count, Problem> {
        let _permit = self.shared.large_prompts.acquire(key, prompt.bytes()).await?;
        self.count(model, Some(key), prompt).await
    }

    /// Returns the number of tasks of one key that `model` can have at the same time, running and waiting;
    /// `None` until its engine has reported its slots.
    ///
    /// # Errors
    /// No model has that name.
    pub async fn tasks_of_key_max(&self, model: &str) -> Result<Option<usize>, Problem> {
        let route = self.shared.routes.find(model, Some(Kind::Chat)).await?;
        Ok(self.shared.engines.tasks_of_key_max(&route.pool))
    }

    /// Answers a query about the vocabulary or the chat template of `model`. Keys take turns as in
    /// [`Gateway::count_tokens_for`].
    ///
    /// # Errors
    /// The model is not installed or does not support it, or the query has no answer;
    /// [`Code::RateLimited`](lar_base::Code::RateLimited) as in [`Gateway::count_tokens_for`].
    pub async fn text_for(
        &self,
        key: KeyId,
        model: &str,
        query: TokenizerQuery,
    ) -> Result<TokenizerAnswer, Problem> {
        let _permit = self.shared.large_prompts.acquire(key, query.bytes()).await?;
        let route = self.shared.routes.find(model, None).await?;
        Ok(self.shared.engines.query_tokenizer(&route.pool, Some(key), query).await?)
    }

    /// Returns the context that prompt and answer share with `model`, in tokens; `None` until its engine has
    /// reported it.
    ///
    /// # Errors
    /// No model has that name.
    pub async fn context_tokens(&self, model: &str) -> Result<Option<usize>, Problem> {
        let route = self.shared.routes.find(model, Some(Kind::Chat)).await?;
        let tokens = self.engine(&route)?.context_tokens as usize;
        Ok((tokens > 0).then_some(tokens))
    }
}
