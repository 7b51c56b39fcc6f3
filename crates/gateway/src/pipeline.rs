//! The steps of every task, from top to bottom: admit, route, dispatch, meter.

mod admit;
mod context_fit;
mod large_prompts;
mod models;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use lar_base::{Code, Instant, Problem, TaskGroup, TaskId, Timestamp, VisibleKeys};
use lar_catalog::Catalog;
use lar_chat_format::OutputParser;
use lar_egress::Egress;
use lar_engines::scheduler::{Refusal, Request, ShareOwner, StopCause};
use lar_engines::{Engines, Lease};
use lar_inference::{
    Embeddings, Event, FinishReason, OutputPart, Priority, Ranking, TaskEvent, TokenLogprobs,
};
use lar_store::{IdempotentRequest, Outcome, Store, TaskEnd};

use crate::active_tasks::{ActiveTask, ActiveTasks, TaskHandle, TaskProgress, millis};
use crate::drivers::EngineOptions;
use crate::interactive_tasks::InteractiveTasks;
use crate::metrics::{ByModel, ByModelAndPriority, ByReason, Metrics};
use crate::routes::{Route, Routes};
use crate::task::OnDisconnect;
use crate::task_events::EventLog;
use crate::task_recorder::{Record, Recorder};
use admit::PreparedWork;
pub use admit::{Admitted, Count};
use large_prompts::LargePrompts;

/// The interval of checks whether an answer is still read.
const READERS_WATCHED_EVERY: Duration = Duration::from_secs(1);
/// An answer that nobody has read for this long is stopped, unless it keeps running after a disconnect.
const UNREAD_MAX: Duration = Duration::from_secs(60);
/// The same while other tasks wait for its model.
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
    interactive: InteractiveTasks,
}

impl Gateway {
    /// Starts the pipeline's background tasks.
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
        let shared = Shared {
            routes,
            engines,
            recorder,
            store,
            metrics,
            tasks,
            active_tasks: Mutex::default(),
            large_prompts: LargePrompts::default(),
            interactive: InteractiveTasks::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Dispatches a task. Its start is recorded within 100 ms.
    #[must_use]
    pub fn dispatch(&self, admitted: Admitted) -> TaskHandle {
        self.shared.recorder.record(Record::Start(admitted.start()));
        self.dispatch_recorded(admitted)
    }

    /// Dispatches a task after its start is on disk, so that the API may answer with 202.
    ///
    /// Both happen on a detached Tokio task: if the client disconnects in between, the task runs all the same.
    ///
    /// # Errors
    /// The same request was accepted just before, or the database failed. Nothing was dispatched.
    pub async fn dispatch_durably(
        &self,
        admitted: Admitted,
        once: Option<IdempotentRequest>,
    ) -> Result<TaskHandle, Problem> {
        let gateway = self.clone();
        let dispatched = tokio::spawn(async move {
            gateway.shared.store.task_create(admitted.start(), once).await?;
            Ok(gateway.dispatch_recorded(admitted))
        });
        dispatched.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the dispatch of a task panicked");
            Err(Problem::new(Code::Internal, "the dispatch failed; the log has the details"))
        })
    }

    /// Dispatches a task whose [`Admitted::start`] the caller has already stored.
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
        let interactive = (priority == Priority::Interactive).then(|| self.shared.interactive.start());
        self.shared.tasks.spawn(async move {
            let _until_the_end = interactive;
            let queued_task = task.clone();
            let decided = ticket.wait(|queued| {
                queued_task.log.push(TaskEvent::Queued {
                    position: queued.position,
                    predicted_start_ms: millis(queued.predicted_start),
                    wait_reason: queued.wait_reason,
                });
            });
            match decided.await {
                Ok(lease) => gateway.execute(task, route, ready, lease).await,
                Err(refusal) => gateway.refuse_task(&task, refusal),
            }
        });
        handle
    }

    /// Returns a task in progress or recently finished, if it belongs to one of the visible keys. The handle
    /// proves that its owner may follow and stop the task.
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

    /// Returns the interactive tasks in progress, to which background work gives way.
    #[must_use]
    pub fn interactive_tasks(&self) -> &InteractiveTasks {
        &self.shared.interactive
    }

    /// Returns the pools of engines.
    #[must_use]
    pub fn engines(&self) -> &Engines {
        &self.shared.engines
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

    /// Stops a task that nobody reads any more, then stays pending: the end of the task comes from the
    /// engine.
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

    /// Ends a task whose answer arrives in one event, with the number of tokens read.
    fn finish_with_answer(
        &self,
        task: &Arc<ActiveTask>,
        computed: Result<(u64, TaskEvent), lar_inference::Error>,
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
            Event::Speculated { tokens, accepted } => {
                self.shared.metrics.record_speculation(&task.model, tokens, accepted)
            }
            Event::Delta { text, tokens, logprobs } => {
                let index = {
                    let mut progress = task.progress();
                    progress.tokens_out += u64::from(tokens);
                    // Logprobs of the prompt come before the answer.
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
                        "the deadline passed while the answer was generated",
                    ),
                ),
                Some(StopCause::Unread) => self.fail_task(
                    task,
                    Problem::new(
                        Code::DeadlineExceeded,
                        "the answer was not read for too long, so its slot was given to another task",
                    ),
                ),
                Some(StopCause::SlotHoldLimit) => self.fail_task(
                    task,
                    Problem::new(
                        Code::DeadlineExceeded,
                        "it ran for the longest time that one user or key may have every slot of a model \
                         while others wait (`limits.slot_hold_max_s`)",
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

    /// Ends a task once, for its readers, its record and the metrics. Every end of a task comes through here.
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

/// Logs the full error of a failed task, and marks the problem as logged. A task may have many readers or
/// none, and they may be shown less of the error. An error that is not a fault of the server, such as a full
/// queue or a missed deadline, is only in the task's record.
fn log_fault(task: &ActiveTask, problem: &mut Problem) {
    let Problem { code, detail, .. } = &*problem;
    if code.status() < 500 || *code == Code::DeadlineExceeded {
        return;
    }
    let (request_id, task) = (task.request_id.as_deref(), task.id);
    if *code == Code::Internal {
        tracing::error!(request_id, %task, %code, %detail, "a task failed because of an internal error");
    } else {
        tracing::warn!(request_id, %task, %code, %detail, "a task failed");
    }
    problem.is_logged = true;
}

/// Converts a refusal to the caller's error; `None` if the caller cancelled the task.
fn problem_of(refusal: Refusal, model: &str) -> Option<Problem> {
    let problem = match refusal {
        Refusal::Cancelled => return None,
        Refusal::QueueFull { waiting, retry_after } => {
            Problem::new(Code::QueueFull, format!("{waiting} tasks already wait for `{model}`"))
                .retry_after(retry_after)
        }
        Refusal::ShareFull { owner, waiting, retry_after } => {
            let (whose, share) = match owner {
                ShareOwner::Key => ("this key", "half"),
                ShareOwner::Person => ("this user's keys", "three quarters"),
            };
            let detail = format!(
                "{waiting} tasks of {whose} already wait for `{model}`, their share of its queue ({share} of \
                 `limits.queue_len_max`)"
            );
            Problem::new(Code::QueueFull, detail).retry_after(retry_after)
        }
        Refusal::Dropped => Problem::new(
            Code::QueueFull,
            "the task was dropped: it had waited longest when the queue, or its key's share of it, was full",
        ),
        Refusal::DeadlineUnmet { predicted_start } => Problem::new(
            Code::DeadlineUnmet,
            format!("the task would start in about {} ms, after its deadline", predicted_start.as_millis()),
        ),
        Refusal::DeadlineExceeded => {
            Problem::new(Code::DeadlineExceeded, "the deadline passed while the task waited")
        }
        Refusal::PoolUnavailable { reason } => {
            Problem::new(Code::PoolUnavailable, format!("`{model}`: {reason}"))
        }
        Refusal::PoolUnknown => Problem::new(Code::NotFound, format!("the model `{model}` was removed")),
    };
    Some(problem)
}

/// Adds a part of an answer to the log; the first part carries the logprobs.
fn push_part(task: &ActiveTask, part: OutputPart, index: u64, logprobs: &mut Arc<[TokenLogprobs]>) {
    let logprobs = std::mem::take(logprobs);
    task.log.push(match part {
        OutputPart::Text(text) => TaskEvent::Token { text: text.into(), index, logprobs },
        OutputPart::Reasoning(text) => TaskEvent::Reasoning { text: text.into(), index },
        OutputPart::Call(call) => TaskEvent::Call(call),
    });
}
