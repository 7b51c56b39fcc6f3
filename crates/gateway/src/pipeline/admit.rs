//! Whether a task may run: who asks, which model serves it, whether that can do such work, and whether the prompt fits. Costs
//! a count of the prompt's tokens, and neither weights nor a place.

use std::sync::Arc;
use std::time::Duration;

use lar_base::{KeyId, Problem, Scope, Timestamp};
use lar_catalog::Kind;
use lar_engines::chat_format::OutputFormat;
use lar_engines::driver::{
    Ability, AnswerFormat, CallerIds, Constraint, Engine, GenerationRequest, Prompt, TokenizerAnswer,
    TokenizerQuery,
};
use lar_engines::scheduler::Priority;
use lar_engines::{CONSTRAINT_FIELD, gbnf};
use lar_store::TaskStart;

use super::Gateway;
use crate::metrics::ByReason;
use crate::routes::Route;
use crate::task::{OnDisconnect, Task, Work};

/// Proof that a task may run: it has a route and its prompt fits. Nothing is dispatched without one.
#[derive(Debug)]
pub struct Admitted {
    pub(super) start: TaskStart,
    /// The id of the request that it is done for.
    pub(super) request_id: Option<Arc<str>>,
    pub(super) priority: Priority,
    pub(super) deadline: Option<Duration>,
    pub(super) on_disconnect: OnDisconnect,
    pub(super) route: Route,
    pub(super) ready: PreparedWork,
    /// What of the request has no effect with this model; names below [`lar_engines::CONSTRAINT_FIELD`] are of the format.
    pub(super) ignored: Vec<String>,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one is made per task, and nearly all are the large one")]
pub(super) enum PreparedWork {
    Generate {
        job: GenerationRequest,
        /// Of the prompt; 0 until the engine has counted it.
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

/// How long a prompt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Its tokens.
    pub tokens: usize,
    /// The context that prompt and answer share, in tokens.
    pub context_tokens: usize,
}

impl Admitted {
    /// The name of the model that will serve it.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.route.pool
    }

    /// Tokens of its prompt; 0 where the engine has yet to count them, or there is no prompt.
    #[must_use]
    pub fn tokens_in(&self) -> u64 {
        match &self.ready {
            PreparedWork::Generate { tokens_in, .. } => *tokens_in,
            PreparedWork::Embed { .. } | PreparedWork::Rank { .. } => 0,
        }
    }

    /// What of the request has no effect with this model: fields, and keywords of schemas.
    #[must_use]
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// What is written down when it is taken.
    #[must_use]
    pub fn start(&self) -> TaskStart {
        self.start.clone()
    }
}

/// Why a grammar of llama.cpp's is refused.
const GBNF_OFF: &str = "recursive GBNF grammars are turned off here, since their cost has no bound: `json_schema` does \
                        without, and `engines.gbnf` turns them on where every caller is trusted";
/// Tokens of an answer whose context shifts, at most.
const SHIFTED_TOKENS_MAX: u32 = 1 << 20;

impl Gateway {
    /// Checks that a task may run: the caller, the route, the engine's ability, the context. Costs a count
    /// of the prompt's tokens, and neither weights nor a place.
    ///
    /// # Errors
    /// What is wrong with it, in the words of the contract.
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
                    // The answer is a call or keeps to the format: both are one constraint.
                    let strict = sampling.strict;
                    let format = sampling.constraint.take();
                    chat.format = format.map(|constraint| AnswerFormat { constraint, strict });
                }
                let permit = self.shared.large_prompts.acquire(start.key, prompt.bytes()).await?;
                let prepared = self.shared.engines.prepare(&route.pool, Some(start.key), prompt).await;
                drop(permit);
                let prepared = prepared.map_err(|error| match error {
                    lar_engines::Error::PromptTooLong { tokens_at_least, context_tokens } => too_long(
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
                        let kind = gbnf::parse(source).map_err(lar_engines::Error::Constraint)?;
                        if kind == gbnf::Kind::Other && !self.shared.routes.allows_gbnf() {
                            return Err(lar_engines::Error::Constraint(GBNF_OFF.into()).into());
                        }
                    }
                    let (engines, key, strict) = (&self.shared.engines, Some(start.key), sampling.strict);
                    let checked = engines.check(&route.pool, key, constraint, strict).await?;
                    let dropped = checked.dropped.iter().map(|path| format!("{CONSTRAINT_FIELD}.{path}"));
                    ignored.extend(dropped);
                    sampling.constraint = Some(checked.constraint);
                }
                // Only now: some engines are asked for their context when they are first needed.
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
            // Texts may wait for long: no more of them is kept than is read.
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
                    Ability::Generate => "chats",
                    Ability::Embed => "makes embeddings",
                    Ability::Rank => "ranks texts",
                };
                let mismatch = match work {
                    Work::Generate { .. } => "cannot chat",
                    Work::Embed { .. } => "makes no embeddings; try `default-embedding`",
                    Work::Rank { .. } => "ranks nothing; try `default-rerank`",
                };
                return Err(Problem::invalid("model", format!("`{}` {does}; it {mismatch}", route.pool)));
            }
        };
        let Task { priority, deadline, on_disconnect, .. } = task;
        if !ignored.is_empty() {
            tracing::info!(task = %start.id, ignored = ignored.join(", "), "parts of a request have no effect");
        }
        Ok(Admitted { start, request_id, priority, deadline, on_disconnect, route, ready, ignored })
    }

    fn engine(&self, route: &Route) -> Result<Engine, Problem> {
        let engine = self.shared.engines.engine(&route.pool);
        engine.ok_or_else(|| Problem::not_found(format!("pool for the model {}", route.pool)))
    }

    /// Counts the tokens of a prompt as `model` would read it, for Lar itself.
    ///
    /// # Errors
    /// When the model is not there or cannot render the prompt.
    pub async fn count_tokens(&self, model: &str, prompt: &Prompt) -> Result<Count, Problem> {
        self.count(model, None, prompt).await
    }

    async fn count(&self, model: &str, caller: Option<KeyId>, prompt: &Prompt) -> Result<Count, Problem> {
        let route = self.shared.routes.find(model, Some(Kind::Chat)).await?;
        let tokens = self.shared.engines.count(&route.pool, caller, prompt).await?;
        Ok(Count { tokens, context_tokens: self.engine(&route)?.context_tokens as usize })
    }

    /// As [`Gateway::count_tokens`], for a caller from outside: keys take turns, and one key has only some large prompts
    /// counted at once.
    ///
    /// # Errors
    /// As [`Gateway::count_tokens`]; [`Code::RateLimited`](lar_base::Code::RateLimited) when the key's other large prompts
    /// take too long.
    pub async fn count_tokens_for(&self, key: KeyId, model: &str, prompt: &Prompt) -> Result<Count, Problem> {
        let _permit = self.shared.large_prompts.acquire(key, prompt.bytes()).await?;
        self.count(model, Some(key), prompt).await
    }

    /// Tasks of one key that `model` can have at once, in its slots and waiting; `None` while its engine has not told.
    ///
    /// # Errors
    /// When no model has that name.
    pub async fn tasks_of_key_max(&self, model: &str) -> Result<Option<usize>, Problem> {
        let route = self.shared.routes.find(model, Some(Kind::Chat)).await?;
        Ok(self.shared.engines.tasks_of_key_max(&route.pool))
    }

    /// Answers a question about the vocabulary or the chat template of `model`; keys take turns as in
    /// [`Gateway::count_tokens_for`].
    ///
    /// # Errors
    /// When the model is not there, cannot tell, or the question has no answer;
    /// [`Code::RateLimited`](lar_base::Code::RateLimited) as in [`Gateway::count_tokens_for`].
    pub async fn text_for(
        &self,
        key: KeyId,
        model: &str,
        question: TokenizerQuery,
    ) -> Result<TokenizerAnswer, Problem> {
        let _permit = self.shared.large_prompts.acquire(key, question.bytes()).await?;
        let route = self.shared.routes.find(model, None).await?;
        Ok(self.shared.engines.query_tokenizer(&route.pool, Some(key), question).await?)
    }

    /// The context that prompt and answer share when `model` serves them; `None` while its engine has not told.
    ///
    /// # Errors
    /// When no model has that name.
    pub async fn context_tokens(&self, model: &str) -> Result<Option<usize>, Problem> {
        let route = self.shared.routes.find(model, Some(Kind::Chat)).await?;
        let tokens = self.engine(&route)?.context_tokens as usize;
        Ok((tokens > 0).then_some(tokens))
    }
}

/// The tokens left for the answer.
fn room_for_answer(tokens_in: usize, context_tokens: u32, model: &str) -> Result<u32, Problem> {
    let length = u32::try_from(tokens_in).unwrap_or(u32::MAX);
    match context_tokens.saturating_sub(length) {
        0 => Err(too_long(tokens_in, "", context_tokens, model)),
        room => Ok(room),
    }
}

/// Says that a prompt has too many tokens; `counted` says more of how they were counted.
fn too_long(tokens: usize, counted: &str, context_tokens: u32, model: &str) -> Problem {
    let why = format!(
        "{counted}this model's maximum context length is {context_tokens} tokens, which the answer needs a part of (`{model}`)"
    );
    Problem::context_too_long(tokens, context_tokens.saturating_sub(1) as usize, &why)
}
