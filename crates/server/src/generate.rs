//! Text generation, as all compatible APIs share it: admits a request's tasks, dispatches them and reads their events.
//!
//! Each API decodes its requests into [`GenerationRequest`] and encodes the events of [`AnswerStream`]. Tools
//! are in [`tools`], and limits that end an answer at a line in [`lines`].

mod lines;
mod tools;

use std::collections::VecDeque;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lar_agents::compat_memory::RequestActivity;
use lar_base::{Code, Instant, Problem, TaskId};
use lar_gateway::{Admitted, OnDisconnect, Task, TaskEventReader, TaskHandle, Work};
use lar_inference::{
    CallPart, Chat, ChatMessage, Constraint, Priority, Prompt, Sampling, TaskEvent, TaskSummary,
    TokenLogprobs, ToolCall, ToolChoice, cancelled_problem,
};
use lar_memory::MemoryActivityIds;
use serde_json::Value;

use crate::App;
use crate::compat_caller::{CompatCaller, plain_name};
use crate::errors::{Audience, redact};
pub(crate) use lines::LineLimits;
use lines::LineTracker;
pub(crate) use tools::{add_tool, choose_mode, choose_named};

/// The maximum length of a name in `X-Lar-Ignored`, in characters.
const IGNORED_NAME_MAX: usize = 128;
/// The maximum number of stop sequences.
pub(crate) const STOP_MAX: usize = 32;
/// The maximum size of a stop sequence in bytes.
pub(crate) const STOP_BYTES_MAX: usize = 1024;

/// A decoded and validated request for text.
#[derive(Debug, Clone)]
pub(crate) struct GenerationRequest {
    pub(crate) id: TaskId,
    pub(crate) model: String,
    pub(crate) prompt: Prompt,
    pub(crate) sampling: Sampling,
    /// The number of answers to the prompt.
    pub(crate) n: u32,
    /// The request field that sets the constraint, for errors.
    pub(crate) constraint_field: &'static str,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    /// The fields that have no effect.
    pub(crate) ignored: Vec<String>,
}

impl GenerationRequest {
    /// Returns the task of an answer, numbered from 0.
    ///
    /// The last answer takes the prompt out of the request, unless injected memories may have to be removed from it.
    fn task(&mut self, prepared: &PreparedRequest<'_>, answer: u32, on_disconnect: OnDisconnect) -> Task {
        let prompt = if answer + 1 < self.n || prepared.memory.has_injected_memory() {
            self.prompt.clone()
        } else {
            std::mem::replace(&mut self.prompt, Prompt::Tokens(Vec::new()))
        };
        let seed = self.sampling.seed.wrapping_add(answer);
        Task {
            id: if answer == 0 { self.id } else { TaskId::new() },
            caller: prepared.compat_caller.caller.clone(),
            api: prepared.api,
            model: self.model.clone(),
            priority: Priority::Interactive,
            deadline: None,
            conversation: None,
            memory: prepared.memory.activity_ids_json(),
            on_disconnect,
            work: Work::Generate { prompt, sampling: Sampling { seed, ..self.sampling.clone() } },
        }
    }
}

/// Checks that a schema is an object. The engine that compiles the schema checks its contents.
pub(crate) fn json_schema(field: &str, schema: &Value) -> Result<Constraint, Problem> {
    if schema.is_object() {
        Ok(Constraint::JsonSchema(schema.to_string()))
    } else {
        Err(Problem::invalid(field, "must be a JSON Schema object"))
    }
}

/// Checks the number and the sizes of stop sequences.
pub(crate) fn stop_texts(field: &str, stop: Vec<String>) -> Result<Vec<String>, Problem> {
    if stop.len() > STOP_MAX {
        let reason = format!("has {} stop sequences; the limit is {STOP_MAX}", stop.len());
        return Err(Problem::invalid(field, reason));
    }
    if stop.iter().any(|text| text.is_empty() || text.len() > STOP_BYTES_MAX) {
        let reason = format!("has a stop sequence that is empty or longer than {STOP_BYTES_MAX} bytes");
        return Err(Problem::invalid(field, reason));
    }
    Ok(stop)
}

/// Returns a seed for a request without one: the low 32 bits of the task's id, which are random.
pub(crate) fn derived_seed(task: TaskId) -> u32 {
    task.as_u128() as u32
}

/// Checks that a number is finite and between `low` and `high`.
pub(crate) fn in_range(field: &str, value: Option<f32>, low: f32, high: f32) -> Result<Option<f32>, Problem> {
    match value {
        Some(value) if !(low..=high).contains(&value) => {
            Err(Problem::invalid(field, format!("must be between {low} and {high}, got {value}")))
        }
        value => Ok(value),
    }
}

/// The events of a request's dispatched tasks, one task per answer.
pub(crate) struct AnswerStream {
    pub(crate) model: String,
    /// The prompt tokens of each answer; 0 if the engine counts them later.
    tokens_in: Vec<u64>,
    /// The reader of each answer; `None` once a line limit ended the answer.
    readers: Vec<Option<TaskEventReader>>,
    /// The line limits of each answer; empty without limits.
    lines: Vec<LineTracker>,
    /// The ids of the memories that the request recalled and changed.
    pub(crate) memory_activity: Option<MemoryActivityIds>,
    /// Events with the index of their answer, to be returned before those of the readers.
    first: VecDeque<(usize, TaskEvent)>,
    /// The fields and schema keywords that have no effect.
    pub(crate) ignored: Vec<String>,
    constraint_field: &'static str,
}

/// The context of a request whose memory is applied.
struct PreparedRequest<'a> {
    compat_caller: &'a CompatCaller,
    api: &'static str,
    memory: RequestActivity,
}

/// Admits a request's tasks, dispatches them and waits for their first events.
///
/// A failure before the first event is therefore an error of the request, not of a stream. After admission
/// the prompts are tokenized, and the permits of the request's body are released.
pub(crate) async fn begin(
    app: &App,
    compat_caller: &CompatCaller,
    api: &'static str,
    request: GenerationRequest,
) -> Result<AnswerStream, Problem> {
    check_answers(app, &request.model, "n", request.n as usize).await?;
    let admitted = admit_all(app, compat_caller, api, vec![request]).await?;
    compat_caller.body.release();
    admitted.begin(app).await
}

/// Rejects a request for more answers than its key can have at the same time, before any work is done for it.
///
/// `field` is the request field that sets the number of answers.
///
/// # Errors
/// [`Code::InvalidParams`] for too many answers; [`Code::NotFound`] if the model does not exist.
pub(crate) async fn check_answers(
    app: &App,
    model: &str,
    field: &str,
    answers: usize,
) -> Result<(), Problem> {
    if answers <= 1 {
        return Ok(());
    }
    let most = app.gateway.tasks_of_key_max(plain_name(model)).await.map_err(about_model)?;
    match most {
        Some(most) if answers > most => {
            let reason = format!(
                "asks for {answers} answers in total, but a key can have {most} at a time with this model: as \
                 many as the model has slots, plus half of `limits.queue_len_max`; send fewer prompts, or \
                 ask for fewer answers to each prompt"
            );
            Err(Problem::invalid(field, reason))
        }
        _ => Ok(()),
    }
}

/// The admitted tasks of a request, not yet dispatched.
pub(crate) struct AdmittedTasks {
    tasks: Vec<Admitted>,
    memory_activity: Option<MemoryActivityIds>,
    ignored: Vec<String>,
    constraint_field: &'static str,
}

/// Admits all tasks of a request, in the order of its prompts.
pub(crate) async fn admit_all(
    app: &App,
    compat_caller: &CompatCaller,
    api: &'static str,
    all: Vec<GenerationRequest>,
) -> Result<AdmittedTasks, Problem> {
    let (mut tasks, mut memory_activity) = (Vec::new(), None);
    let mut ignored = all.first().map(|request| request.ignored.clone()).unwrap_or_default();
    let constraint_field = all.first().map_or("", |request| request.constraint_field);
    for mut request in all {
        let mut prepared = prepare(app, compat_caller, api, &mut request).await?;
        request.sampling.grouped = !request.stream;
        request.sampling.reports_prefill &= request.stream;
        for answer in 0..request.n {
            let admitted = admit(app, &mut prepared, &mut request, answer, OnDisconnect::Cancel).await?;
            if tasks.is_empty() {
                ignored.extend(ignored_by_model(&admitted, constraint_field));
            }
            tasks.push(admitted);
        }
        memory_activity = prepared.memory.activity.ids();
    }
    Ok(AdmittedTasks { tasks, memory_activity, ignored, constraint_field })
}

impl AdmittedTasks {
    /// Dispatches the tasks and waits for their first events.
    pub(crate) async fn begin(self, app: &App) -> Result<AnswerStream, Problem> {
        let Self { tasks, memory_activity, ignored, constraint_field } = self;
        let model = tasks.first().map_or_else(String::new, |task| task.model().to_owned());
        let tokens_in = tasks.iter().map(Admitted::tokens_in).collect();
        let readers = tasks.into_iter().map(|task| Some(app.gateway.dispatch(task).read(0))).collect();
        let (first, lines) = (VecDeque::new(), Vec::new());
        let mut answer_stream = AnswerStream {
            model,
            tokens_in,
            readers,
            lines,
            memory_activity,
            first,
            ignored,
            constraint_field,
        };
        for (answer, reader) in answer_stream.readers.iter_mut().enumerate() {
            let Some(reader) = reader else { continue };
            match reader.next().await {
                Some((_, TaskEvent::Error(problem))) => {
                    return Err(about_constraint(problem, constraint_field));
                }
                Some((_, first)) => answer_stream.first.push_back((answer, first)),
                None => return Err(task_stopped()),
            }
        }
        Ok(answer_stream)
    }
}

/// Admits a task that keeps running without readers. Returns the task, not yet dispatched, and its memory activity.
pub(crate) async fn admit_detached(
    app: &App,
    compat_caller: &CompatCaller,
    api: &'static str,
    request: &mut GenerationRequest,
) -> Result<(Admitted, Option<MemoryActivityIds>), Problem> {
    let mut prepared = prepare(app, compat_caller, api, request).await?;
    let admitted = admit(app, &mut prepared, request, 0, OnDisconnect::KeepRunning).await?;
    compat_caller.body.release();
    request.ignored.extend(ignored_by_model(&admitted, request.constraint_field));
    Ok((admitted, prepared.memory.activity.ids()))
}

/// Applies memory to a request, and chooses the background model for an app's background request.
async fn prepare<'a>(
    app: &App,
    compat_caller: &'a CompatCaller,
    api: &'static str,
    request: &mut GenerationRequest,
) -> Result<PreparedRequest<'a>, Problem> {
    let memory = compat_caller.apply_memory(app, api, request).await?;
    if let (Some(model), Prompt::Chat(chat)) = (&app.background_model, &request.prompt)
        && lar_agents::is_background(chat)
    {
        request.model.clone_from(model);
    }
    Ok(PreparedRequest { compat_caller, api, memory })
}

/// Admits an answer's task. A prompt that is too long with injected memories is tried again without them.
async fn admit(
    app: &App,
    prepared: &mut PreparedRequest<'_>,
    request: &mut GenerationRequest,
    answer: u32,
    on_disconnect: OnDisconnect,
) -> Result<Admitted, Problem> {
    let mut admitted = app.gateway.admit(request.task(prepared, answer, on_disconnect)).await;
    if admitted.as_ref().is_err_and(|problem| problem.code == Code::ContextTooLong)
        && let Prompt::Chat(chat) = &mut request.prompt
        && prepared.memory.remove_injected_memory(chat)
    {
        admitted = app.gateway.admit(request.task(prepared, answer, on_disconnect)).await;
    }
    admitted.map_err(|problem| about_model(about_constraint(problem, request.constraint_field)))
}

/// Renames the field of a constraint's error to the request field that set the constraint.
fn about_constraint(problem: Problem, field: &str) -> Problem {
    match problem.fields.as_slice() {
        [about] if about.field == lar_inference::CONSTRAINT_FIELD => {
            Problem::invalid(field, format!("cannot be enforced: {}", about.reason))
        }
        _ => problem,
    }
}

/// Returns the fields and schema keywords that have no effect with this model.
///
/// They have the API's names and only characters that a header allows.
fn ignored_by_model(admitted: &Admitted, constraint_field: &str) -> Vec<String> {
    let name = |name: &String| {
        let rest = name.strip_prefix(lar_inference::CONSTRAINT_FIELD).filter(|rest| rest.starts_with('.'));
        let name = rest.map_or_else(|| name.clone(), |rest| format!("{constraint_field}{rest}"));
        let plain = |one: char| one.is_ascii_alphanumeric() || "_-.$[]".contains(one);
        name.chars().map(|one| if plain(one) { one } else { '_' }).take(IGNORED_NAME_MAX).collect()
    };
    admitted.ignored().iter().map(name).collect()
}

impl AnswerStream {
    /// Returns the events of a dispatched task, from its first event.
    pub(crate) fn of(handle: &TaskHandle) -> Self {
        let (model, readers) = (handle.model().to_owned(), vec![Some(handle.read(0))]);
        let (first, lines, ignored) = (VecDeque::new(), Vec::new(), Vec::new());
        let constraint_field = lar_inference::CONSTRAINT_FIELD;
        Self {
            model,
            tokens_in: Vec::new(),
            readers,
            lines,
            memory_activity: None,
            first,
            ignored,
            constraint_field,
        }
    }

    pub(crate) fn answers(&self) -> usize {
        self.readers.len()
    }

    /// Returns the prompt tokens of an answer; 0 if the engine counts them later.
    pub(crate) fn tokens_in(&self, answer: usize) -> u64 {
        self.tokens_in.get(answer).copied().unwrap_or(0)
    }

    /// Returns the current token counts and times of an answer.
    pub(crate) fn so_far(&self, answer: usize) -> Option<TaskSummary> {
        if let Some(reader) = self.readers.get(answer)? {
            return reader.so_far();
        }
        // A line limit has just ended the answer, and its end is still in `first`.
        self.first.iter().find_map(|(of, event)| match event {
            TaskEvent::End(end) if *of == answer => Some(end.clone()),
            _ => None,
        })
    }

    /// Applies line limits to each answer. An answer that a limit ends has the finish reason `length`, and
    /// its task is cancelled.
    pub(crate) fn limit_lines(&mut self, limits: LineLimits) {
        self.lines = vec![LineTracker::new(limits); self.answers()];
    }

    /// Returns whether a line limit ended an answer.
    pub(crate) fn is_cut(&self, answer: usize) -> bool {
        self.lines.get(answer).is_some_and(LineTracker::is_over)
    }

    /// Returns the next event of any answer, like [`AnswerStream::next_unredacted`], with redacted errors.
    pub(crate) async fn next(&mut self) -> Option<(usize, TaskEvent)> {
        self.next_unredacted().await.map(|(answer, event)| match event {
            TaskEvent::Error(problem) => (answer, TaskEvent::Error(redact(Audience::Everybody, problem))),
            event => (answer, event),
        })
    }

    /// Returns the next event of any answer; `None` when all have ended.
    ///
    /// Dropping the future loses no event.
    pub(crate) async fn next_unredacted(&mut self) -> Option<(usize, TaskEvent)> {
        let field = self.constraint_field;
        self.next_event().await.map(|(answer, event)| match event {
            TaskEvent::Error(problem) => (answer, TaskEvent::Error(about_constraint(problem, field))),
            event => (answer, event),
        })
    }

    async fn next_event(&mut self) -> Option<(usize, TaskEvent)> {
        let (answer, event) = match self.first.pop_front() {
            Some(first) => first,
            None => self.next_read().await?,
        };
        Some((answer, self.apply_line_limits(answer, event)))
    }

    /// Shortens an event's text if a line limit ends the answer in it, and queues the answer's end.
    fn apply_line_limits(&mut self, answer: usize, event: TaskEvent) -> TaskEvent {
        let TaskEvent::Token { text, index, logprobs } = &event else { return event };
        let Some(lines) = self.lines.get_mut(answer) else { return event };
        let Some(kept) = lines.add(text, Instant::now()) else { return event };
        let Some(end) = self.so_far(answer) else { return event };
        let left = TaskEvent::Token { text: text[..kept].into(), index: *index, logprobs: logprobs.clone() };
        self.first.push_back((answer, TaskEvent::End(end)));
        // Dropping the reader cancels the task.
        self.readers[answer] = None;
        left
    }

    async fn next_read(&mut self) -> Option<(usize, TaskEvent)> {
        if let [reader] = self.readers.as_mut_slice() {
            return reader.as_mut()?.next().await.map(|(_, event)| (0, event));
        }
        let readers = self.readers.iter_mut().enumerate();
        let readers = readers.filter_map(|(answer, reader)| Some((answer, reader.as_mut()?)));
        let mut waiting: FuturesUnordered<_> =
            readers.map(async |(answer, reader)| (answer, reader.next().await)).collect();
        while let Some((answer, event)) = waiting.next().await {
            if let Some((_, event)) = event {
                return Some((answer, event));
            }
        }
        None
    }

    /// Reads all events and returns the complete answers.
    pub(crate) async fn collect(mut self) -> Result<Vec<Answer>, Problem> {
        let mut answers: Vec<Answer> = (0..self.answers()).map(|_| Answer::default()).collect();
        while let Some((index, event)) = self.next_unredacted().await {
            let is_cut = self.is_cut(index);
            let answer = &mut answers[index];
            match event {
                TaskEvent::Token { text, logprobs, .. } => {
                    answer.content.push_str(&text);
                    answer.logprobs.extend(logprobs.iter().cloned());
                }
                TaskEvent::Reasoning { text, .. } => answer.reasoning.push_str(&text),
                TaskEvent::Call(part) => answer.call(part),
                TaskEvent::End(end) => (answer.end, answer.is_cut) = (Some(end), is_cut),
                TaskEvent::Error(problem) => return Err(problem),
                TaskEvent::Cancelled => return Err(cancelled_problem()),
                TaskEvent::Queued { .. }
                | TaskEvent::Started { .. }
                | TaskEvent::Prefilling(_)
                | TaskEvent::Vectors(_)
                | TaskEvent::Scores(_) => {}
            }
        }
        if answers.iter().any(|answer| answer.end.is_none()) {
            return Err(task_stopped());
        }
        Ok(answers)
    }
}

/// A complete answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) content: String,
    pub(crate) reasoning: String,
    pub(crate) calls: Vec<ToolCall>,
    pub(crate) logprobs: Vec<TokenLogprobs>,
    pub(crate) end: Option<TaskSummary>,
    /// Whether a line limit ended the answer.
    pub(crate) is_cut: bool,
}

impl Answer {
    /// Adds a part of a tool call.
    pub(crate) fn call(&mut self, part: CallPart) {
        if part.index >= self.calls.len() {
            self.calls.push(ToolCall { id: call_id(), name: String::new(), arguments: String::new() });
        }
        if let Some(call) = self.calls.get_mut(part.index) {
            call.name.push_str(part.name.as_deref().unwrap_or_default());
            call.arguments.push_str(&part.arguments);
        }
    }

    /// Returns the name and the arguments of each call.
    pub(crate) fn named_calls(&self) -> impl Iterator<Item = (&str, &str)> {
        self.calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str()))
    }

    pub(crate) fn finish_reason(&self) -> &'static str {
        self.end.as_ref().map_or("stop", |end| end.reason.as_str())
    }
}

/// Creates a unique id for a tool call.
pub(crate) fn call_id() -> String {
    format!("call_{:032x}", TaskId::new().as_u128())
}

fn task_stopped() -> Problem {
    Problem::new(Code::EngineFailed, "the task was stopped")
}

/// Adds the field `model` to a not-found error, as clients of the compatible APIs expect it.
pub(crate) fn about_model(mut problem: Problem) -> Problem {
    if problem.code == Code::NotFound {
        let reason = problem.detail.clone();
        problem.fields.push(lar_base::FieldError { field: "model".into(), reason });
    }
    problem
}

/// Moves a final assistant message into the chat's prefill, so that the answer continues it.
///
/// The chat is unchanged if a tool call is required, or if it has no other message.
pub(crate) fn take_prefill(chat: &mut Chat) {
    if chat.tool_choice != ToolChoice::Auto || chat.messages.len() < 2 {
        return;
    }
    let is_prefill = |last: &mut ChatMessage| last.role == "assistant" && last.tool_calls.is_empty();
    if let Some(last) = chat.messages.pop_if(is_prefill) {
        chat.assistant_prefill = last.content;
    }
}
