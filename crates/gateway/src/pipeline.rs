//! Admit → route → dispatch → meter: the way of every task, from top to bottom.

mod admit;
mod large_prompts;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use lar_base::{Code, Instant, Problem, TaskGroup, TaskId, Timestamp, VisibleKeys};
use lar_catalog::Catalog;
use lar_egress::Egress;
use lar_engines::chat_format::{OutputParser, OutputPart};
use lar_engines::driver::{Embeddings, Event, FinishReason, Ranking, TokenLogprobs};
use lar_engines::embedded::ConfinementPolicy;
use lar_engines::scheduler::{Refusal, Request, ShareOwner, StopCause};
use lar_engines::{Engines, Lease};
use lar_store::{IdempotentRequest, Outcome, Store, TaskEnd};

use crate::active_tasks::{ActiveTask, ActiveTasks, TaskHandle, TaskProgress, millis};
use crate::metrics::{ByModel, ByModelAndPriority, ByReason, Metrics};
use crate::recorder::{Record, Recorder};
use crate::routes::{EngineOptions, Remote, Route, Routes};
use crate::task::OnDisconnect;
use crate::task_events::{EventLog, TaskEvent};
use admit::PreparedWork;
pub use admit::{Admitted, Count};
use large_prompts::LargePrompts;

/// How often it is looked whether an answer is still read.
const READERS_WATCHED_EVERY: Duration = Duration::from_secs(1);
/// An answer of which nobody takes anything for this long is stopped, unless it goes on by itself.
const UNREAD_MAX: Duration = Duration::from_secs(60);
/// The same while others wait for its model.
const UNREAD_MAX_WHILE_OTHERS_WAIT: Duration = Duration::from_secs(10);

/// The pipeline. Clones share it.
#[derive(Debug, Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    routes: Routes,
    engines: Engines,
    recorder: Recorder,
    store: Store,
    metrics: Metrics,
    tasks: TaskGroup,
    active_tasks: Mutex<ActiveTasks>,
    large_prompts: LargePrompts,
}

impl Gateway {
    /// Starts the pipeline's own tasks.
    pub fn start(
        store: Store,
        catalog: Catalog,
        engines: Engines,
        egress: Egress,
        options: EngineOptions,
        metrics: Metrics,
        tasks: &TaskGroup,
    ) -> Self {
        let recorder = Recorder::start(store.clone(), tasks);
        let routes = Routes::new(store.clone(), catalog, engines.clone(), egress, options);
        let tasks = tasks.clone();
        let (active_tasks, large_prompts) = (Mutex::default(), LargePrompts::default());
        let shared = Shared { routes, engines, recorder, store, metrics, tasks, active_tasks, large_prompts };
        Self { shared: Arc::new(shared) }
    }

    /// Dispatches a task. That it began is written down within 100 ms.
    #[must_use]
    pub fn dispatch(&self, admitted: Admitted) -> TaskHandle {
        self.shared.recorder.record(Record::Start(admitted.start()));
        self.dispatch_recorded(admitted)
    }

    /// Dispatches a task once it is on disk that it began, so that a 202 may be answered.
    ///
    /// # Errors
    /// When the same request was just taken or the database fails; then nothing was dispatched.
    pub async fn dispatch_durably(
        &self,
        admitted: Admitted,
        once: Option<IdempotentRequest>,
    ) -> Result<TaskHandle, Problem> {
        self.shared.store.task_create(admitted.start(), once).await?;
        Ok(self.dispatch_recorded(admitted))
    }

    /// Dispatches a task whose [`Admitted::start`] its caller has stored already.
    #[must_use]
    pub fn dispatch_recorded(&self, admitted: Admitted) -> TaskHandle {
        let Admitted { start, request_id, priority, deadline, on_disconnect, route, ready, .. } = admitted;
        let tokens_in = match &ready {
            PreparedWork::Generate { tokens_in, .. } => *tokens_in,
            PreparedWork::Embed { .. } | PreparedWork::Rank { .. } => 0,
        };
        let task = Arc::new(ActiveTask {
            id: start.id,
            user: start.user,
            key: start.key,
            model: route.pool.clone(),
            on_disconnect,
            request_id,
            admitted_at: Instant::now(),
            log: Arc::new(EventLog::new()),
            progress: Mutex::new(TaskProgress { tokens_in, ..TaskProgress::default() }),
        });
        let labels = ByModelAndPriority { model: route.pool.clone(), priority: start.priority };
        self.shared.metrics.enqueued.get_or_create(&labels).inc();
        self.active_tasks().by_id.insert(task.id, task.clone());
        let request = Request {
            task: task.id,
            pool: route.pool.clone(),
            caller: start.key,
            person: start.user,
            priority,
            deadline: deadline.map(|limit| task.admitted_at.after(limit)),
        };
        let ticket = self.shared.engines.acquire(request);
        let handle = TaskHandle { engines: self.shared.engines.clone(), task: task.clone() };
        let gateway = self.clone();
        self.shared.tasks.spawn(async move {
            let queued_task = task.clone();
            let decided = ticket.wait(|queued| {
                queued_task.log.push(TaskEvent::Queued {
                    position: queued.position,
                    predicted_start_ms: millis(queued.predicted_start),
                    why: queued.wait_reason,
                });
            });
            match decided.await {
                Ok(lease) => gateway.execute(task, route, ready, lease).await,
                Err(refusal) => gateway.refuse_task(&task, refusal),
            }
        });
        handle
    }

    /// One of these tasks, if it is under way or was over not long ago. The handle is the proof that its holder may
    /// follow and stop it.
    #[must_use]
    pub fn find(&self, visible: VisibleKeys, id: TaskId) -> Option<TaskHandle> {
        let task = self
            .active_tasks()
            .by_id
            .get(&id)
            .filter(|task| visible.includes(task.user, task.key))
            .cloned()?;
        Some(TaskHandle { engines: self.shared.engines.clone(), task })
    }

    /// The pools and what they are doing.
    #[must_use]
    pub fn engines(&self) -> &Engines {
        &self.shared.engines
    }

    /// Finds the pool for a name, making its driver if it is the first to ask.
    ///
    /// # Errors
    /// When no model has that name.
    pub async fn route(&self, model: &str) -> Result<Route, Problem> {
        self.shared.routes.find(model, None).await
    }

    /// [`Gateway::route`] for a request that needs a model of this kind: the error names those that are installed.
    ///
    /// # Errors
    /// When no model has that name.
    pub async fn route_for(&self, model: &str, expected_kind: lar_catalog::Kind) -> Result<Route, Problem> {
        self.shared.routes.find(model, Some(expected_kind)).await
    }

    /// The engines that run elsewhere.
    pub fn remotes(&self) -> impl Iterator<Item = &Remote> {
        self.shared.routes.remotes()
    }

    /// What happens where the kernel cannot confine workers in every way, and what it lacks.
    ///
    /// # Errors
    /// When no worker can be started to find out.
    pub async fn confinement(&self) -> Result<(ConfinementPolicy, Vec<String>), Problem> {
        self.shared.routes.confinement().await
    }

    /// The context that a job of an installed model gets, whether it is loaded or not.
    #[must_use]
    pub fn context_of(&self, model: &lar_catalog::Model) -> u32 {
        self.shared.routes.context_tokens(model)
    }

    /// What loading an installed model takes with the present settings.
    #[must_use]
    pub fn footprint(&self, model: &lar_catalog::Model) -> crate::Footprint {
        self.shared.routes.footprint(model)
    }

    /// Tokens a second of each installed model whose decoding was measured on this machine, by its name.
    pub async fn measured_speeds(&self) -> std::collections::BTreeMap<String, f64> {
        self.shared.routes.measured_speeds().await
    }

    /// Why a model computes with so many threads, where those are fewer than the machine's cores.
    #[must_use]
    pub fn threads_note(&self, threads: u32) -> Option<String> {
        self.shared.routes.threads_note(threads)
    }

    async fn execute(&self, task: Arc<ActiveTask>, route: Route, ready: PreparedWork, lease: Lease) {
        task.progress().queued = Some(lease.waited);
        let apart = lease.waited.abs_diff(lease.predicted);
        self.shared.metrics.prediction_error.observe(apart.as_secs_f64());
        self.shared.metrics.started.get_or_create(&ByModel { model: route.pool.clone() }).inc();
        let engine = self.shared.engines.engine(&route.pool).map(|engine| engine.name).unwrap_or_default();
        task.log.push(TaskEvent::Started { pool: route.pool, engine, model_digest: route.digest });
        match ready {
            PreparedWork::Generate { job, output_format, .. } => {
                let (gateway, cause) = (self.clone(), lease.stop_cause());
                let mut parser = OutputParser::new(&output_format);
                tokio::select! {
                    () = lease.generate(job, |event| gateway.on_engine_event(&task, &cause, parser.as_mut(), event)) => {}
                    never = gateway.watch_readers(&task) => match never {},
                }
            }
            PreparedWork::Embed { texts, cache_of } => {
                let computed = lease.embed(texts, cache_of).await;
                let to_answer = |found: Embeddings| (found.tokens, TaskEvent::Vectors(Arc::new(found)));
                self.finish_with_answer(&task, computed.map(to_answer));
            }
            PreparedWork::Rank { query, texts } => {
                let computed = lease.rank(query, texts).await;
                let to_answer = |found: Ranking| (found.tokens, TaskEvent::Scores(Arc::new(found)));
                self.finish_with_answer(&task, computed.map(to_answer));
            }
        }
    }

    /// Has a task stopped whose readers take nothing any more, and waits for good: the end comes from the engine.
    async fn watch_readers(&self, task: &ActiveTask) -> std::convert::Infallible {
        if task.on_disconnect == OnDisconnect::KeepRunning {
            return std::future::pending().await;
        }
        let mut clock = tokio::time::interval(READERS_WATCHED_EVERY);
        loop {
            clock.tick().await;
            let Some(unread) = task.log.unread_for(Instant::now()) else { continue };
            let others_wait = || self.shared.engines.waiting(&task.model) > 0;
            if unread >= UNREAD_MAX || (unread >= UNREAD_MAX_WHILE_OTHERS_WAIT && others_wait()) {
                self.shared.engines.stop_unread(task.id);
                return std::future::pending().await;
            }
        }
    }

    /// The end of a task whose answer comes at once: the tokens that were read, and the answer.
    fn finish_with_answer(
        &self,
        task: &Arc<ActiveTask>,
        computed: Result<(u64, TaskEvent), lar_engines::Error>,
    ) {
        match computed {
            Ok((tokens, answer)) => {
                task.progress().tokens_in = tokens;
                task.log.push(answer);
                self.finish_task(task, FinishReason::Stop);
            }
            Err(error) => self.fail_task(task, error.into()),
        }
    }

    fn on_engine_event(
        &self,
        task: &Arc<ActiveTask>,
        cause: &OnceLock<StopCause>,
        parser: Option<&mut OutputParser>,
        event: Event,
    ) {
        match event {
            Event::Prefilling { tokens } => {
                let progress = task.progress().record_prefill(tokens);
                task.log.push(TaskEvent::Prefilling(progress));
            }
            Event::Prefilled { cached_tokens } => task.progress().tokens_cached = u64::from(cached_tokens),
            Event::Counted { tokens } => task.progress().tokens_in = u64::from(tokens),
            Event::Speculated { tokens, accepted } => self.shared.metrics.record_speculation(&task.model, tokens, accepted),
            Event::Delta { text, tokens, logprobs } => {
                let index = {
                    let mut progress = task.progress();
                    progress.tokens_out += u64::from(tokens);
                    // What is told of the prompt comes before the answer.
                    if tokens > 0 {
                        progress.first.get_or_insert_with(|| task.admitted_at.elapsed());
                    }
                    progress.tokens_out
                };
                let mut logprobs: Arc<[TokenLogprobs]> = logprobs.into();
                match parser {
                    None => _ = task.log.push(TaskEvent::Token { text: text.into(), index, logprobs }),
                    Some(parser) => {
                        let mut parts = parser.push(&text);
                        if parts.is_empty() && !logprobs.is_empty() {
                            parts.push(OutputPart::Text(String::new()));
                        }
                        for part in parts {
                            push_part(task, part, index, &mut logprobs);
                        }
                    }
                }
            }
            Event::Finished(reason) => {
                let Some(parser) = parser else { return self.finish_task(task, reason) };
                let index = task.progress().tokens_out;
                for part in parser.finish(reason == FinishReason::Length) {
                    push_part(task, part, index, &mut Arc::default());
                }
                let called = parser.calls() > 0 && reason != FinishReason::Length;
                self.finish_task(task, if called { FinishReason::ToolCalls } else { reason });
            }
            Event::Failed(error) => self.fail_task(task, error.into()),
            Event::Cancelled => match cause.get() {
                Some(StopCause::Deadline) => self.fail_task(
                    task,
                    Problem::new(
                        Code::DeadlineExceeded,
                        "the deadline passed while the answer was being written",
                    ),
                ),
                Some(StopCause::Unread) => self.fail_task(
                    task,
                    Problem::new(
                        Code::DeadlineExceeded,
                        "nobody read the answer any more, so its place was given to others",
                    ),
                ),
                Some(StopCause::SlotHoldLimit) => self.fail_task(
                    task,
                    Problem::new(
                        Code::DeadlineExceeded,
                        "it ran for as long as one person or key may have every slot of a model while others wait (`limits.slot_hold_max_s`)",
                    ),
                ),
                Some(StopCause::Cancelled) | None => self.cancel_task(task, "running"),
            },
        }
    }

    fn refuse_task(&self, task: &Arc<ActiveTask>, refusal: Refusal) {
        match problem_of(refusal, &task.model) {
            Some(problem) => {
                self.shared.metrics.rejected.get_or_create(&ByReason { reason: problem.code.as_str() }).inc();
                self.fail_task(task, problem);
            }
            None => self.cancel_task(task, "waiting"),
        }
    }

    fn finish_task(&self, task: &Arc<ActiveTask>, reason: FinishReason) {
        let outcome = Outcome::End { finish_reason: reason.as_str().to_owned() };
        self.end_task(task, outcome, TaskEvent::End(task.so_far(reason)));
    }

    fn fail_task(&self, task: &Arc<ActiveTask>, mut problem: Problem) {
        if !task.log.has_ended() {
            log_fault(task, &mut problem);
        }
        let outcome = Outcome::Error { code: problem.code, message: problem.detail.clone() };
        self.end_task(task, outcome, TaskEvent::Error(problem));
    }

    fn cancel_task(&self, task: &Arc<ActiveTask>, reason: &'static str) {
        self.shared.metrics.canceled.get_or_create(&ByReason { reason }).inc();
        self.end_task(task, Outcome::Cancelled, TaskEvent::Cancelled);
    }

    /// The one place where a task ends: once, for the readers, for the record and for the numbers.
    fn end_task(&self, task: &Arc<ActiveTask>, outcome: Outcome, event: TaskEvent) {
        if !task.log.push(event) {
            return;
        }
        let progress = *task.progress();
        let decode = progress.first.map(|first| task.admitted_at.elapsed().saturating_sub(first));
        let tokens = (progress.tokens_in, progress.tokens_out);
        let label = ByModel { model: task.model.clone() };
        self.shared.metrics.tokens_cached.get_or_create(&label).inc_by(progress.tokens_cached);
        self.shared.metrics.record_end(&task.model, tokens, progress.first, decode.unwrap_or_default());
        let end = TaskEnd {
            ended_at: Timestamp::now(),
            outcome,
            tokens_in: progress.tokens_in,
            tokens_out: progress.tokens_out,
            queue_ms: progress.queued.map(millis),
            ttft_ms: progress.first.map(millis),
            decode_ms: decode.map(millis),
        };
        self.shared.recorder.record(Record::End(task.id, end));
        self.active_tasks().retire(task);
    }

    fn active_tasks(&self) -> MutexGuard<'_, ActiveTasks> {
        self.shared.active_tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Logs the whole of what failed a task, and notes in the problem that it is logged: its readers, of whom there may be many or
/// none, may be shown less. What is no fault of the server, such as a full queue or a deadline, is in the task's record only.
fn log_fault(task: &ActiveTask, problem: &mut Problem) {
    let Problem { code, detail, .. } = &*problem;
    if code.status() < 500 || *code == Code::DeadlineExceeded {
        return;
    }
    let (request_id, task) = (task.request_id.as_deref(), task.id);
    if *code == Code::Internal {
        tracing::error!(request_id, %task, %code, %detail, "a task failed by a fault of Lar's own");
    } else {
        tracing::warn!(request_id, %task, %code, %detail, "a task failed");
    }
    problem.is_logged = true;
}

/// What a refusal means to the caller; `None` when it was their own wish.
fn problem_of(refusal: Refusal, model: &str) -> Option<Problem> {
    let problem = match refusal {
        Refusal::Cancelled => return None,
        Refusal::QueueFull { waiting, retry_after } => {
            Problem::new(Code::QueueFull, format!("{waiting} tasks wait for `{model}` already"))
                .retry_after(retry_after)
        }
        Refusal::ShareFull { owner, waiting, retry_after } => {
            let (whose, share) = match owner {
                ShareOwner::Key => ("this key", "half"),
                ShareOwner::Person => ("this person's keys", "three quarters"),
            };
            let detail = format!(
                "{waiting} tasks of {whose} wait for `{model}` already, their share of its queue ({share} of `limits.queue_len_max`)"
            );
            Problem::new(Code::QueueFull, detail).retry_after(retry_after)
        }
        Refusal::Dropped => Problem::new(
            Code::QueueFull,
            "it waited longest when the queue, or its key's share of it, was full",
        ),
        Refusal::DeadlineUnmet { predicted_start } => Problem::new(
            Code::DeadlineUnmet,
            format!("it would start in about {} ms, after its deadline", predicted_start.as_millis()),
        ),
        Refusal::DeadlineExceeded => {
            Problem::new(Code::DeadlineExceeded, "the deadline passed while it waited")
        }
        Refusal::PoolUnavailable { reason } => {
            Problem::new(Code::PoolUnavailable, format!("`{model}`: {reason}"))
        }
        Refusal::PoolUnknown => Problem::new(Code::NotFound, format!("the model `{model}` was removed")),
    };
    Some(problem)
}

/// Tells a part of an answer, with what is known of its tokens in the first.
fn push_part(task: &ActiveTask, part: OutputPart, index: u64, logprobs: &mut Arc<[TokenLogprobs]>) {
    let logprobs = std::mem::take(logprobs);
    task.log.push(match part {
        OutputPart::Text(text) => TaskEvent::Token { text: text.into(), index, logprobs },
        OutputPart::Reasoning(text) => TaskEvent::Reasoning { text: text.into(), index },
        OutputPart::Call(call) => TaskEvent::Call(call),
    });
}
