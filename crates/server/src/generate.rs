//! What every API that asks for text shares: the task, waiting for its first word, following it to its end. Each API
//! decodes its requests into [`GenerationRequest`] and encodes the events of [`AnswerStream`]. The tools of a request are in [`tools`], limits
//! that end an answer at its lines in [`lines`].

mod lines;
mod tools;

use std::collections::VecDeque;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lar_agents::compat_memory::RequestActivity;
use lar_base::{Code, Instant, Problem, TaskId};
use lar_engines::chat_format::CallPart;
use lar_engines::driver::{
    Chat, ChatMessage, Constraint, Prompt, Sampling, TokenLogprobs, ToolCall, ToolChoice,
};
use lar_engines::scheduler::Priority;
use lar_gateway::{
    Admitted, End, OnDisconnect, Task, TaskEvent, TaskEventReader, TaskHandle, Work, cancelled_problem,
};
use lar_memory::MemoryActivityIds;
use serde_json::Value;

use crate::App;
use crate::compat_caller::{CompatCaller, plain_name};
use crate::errors::{Audience, redact};
pub(crate) use lines::LineLimits;
use lines::LineTracker;
pub(crate) use tools::{add_tool, choose_mode, choose_named};

/// A name in `X-Lar-Ignored` is no longer than this.
const IGNORED_NAME_MAX: usize = 128;
/// Stop texts at most.
pub(crate) const STOP_MAX: usize = 32;
/// Bytes of one stop text at most.
pub(crate) const STOP_BYTES_MAX: usize = 1024;

/// A request for text, read and checked.
#[derive(Debug, Clone)]
pub(crate) struct GenerationRequest {
    pub(crate) id: TaskId,
    pub(crate) model: String,
    pub(crate) prompt: Prompt,
    pub(crate) sampling: Sampling,
    /// Answers to the same prompt.
    pub(crate) n: u32,
    /// The field that says what an answer must look like.
    pub(crate) constraint_field: &'static str,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    /// The fields that have no effect.
    pub(crate) ignored: Vec<String>,
}

impl GenerationRequest {
    /// The task of one of the answers, numbered from 0. The last one takes the prompt along, unless it may be needed again.
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

/// Checks that a schema is an object; what it says is checked by whoever must keep to it.
pub(crate) fn json_schema(field: &str, schema: &Value) -> Result<Constraint, Problem> {
    if schema.is_object() {
        Ok(Constraint::JsonSchema(schema.to_string()))
    } else {
        Err(Problem::invalid(field, "must be a JSON Schema, which is an object"))
    }
}

/// Checks the texts that end an answer.
pub(crate) fn stop_texts(field: &str, stop: Vec<String>) -> Result<Vec<String>, Problem> {
    if stop.len() > STOP_MAX {
        return Err(Problem::invalid(field, format!("has {} texts; {STOP_MAX} at most", stop.len())));
    }
    if stop.iter().any(|text| text.is_empty() || text.len() > STOP_BYTES_MAX) {
        let reason = format!("holds a text that is empty or over {STOP_BYTES_MAX} bytes");
        return Err(Problem::invalid(field, reason));
    }
    Ok(stop)
}

/// The seed of a task that names none: its id's random end.
pub(crate) fn derived_seed(task: TaskId) -> u32 {
    task.as_u128() as u32
}

/// Checks that a number is finite and between `low` and `high`.
pub(crate) fn in_range(field: &str, value: Option<f32>, low: f32, high: f32) -> Result<Option<f32>, Problem> {
    match value {
        Some(value) if !(low..=high).contains(&value) => {
            Err(Problem::invalid(field, format!("must be from {low} to {high}, is {value}")))
        }
        value => Ok(value),
    }
}

/// Tasks that an engine has begun, or that wait and whose caller may be told so: one for each answer.
pub(crate) struct AnswerStream {
    pub(crate) model: String,
    /// Tokens of each answer's prompt; 0 where the engine counts them later.
    tokens_in: Vec<u64>,
    /// One of each answer, until a limit of its lines ends it.
    readers: Vec<Option<TaskEventReader>>,
    /// The lines of each answer; empty where nothing limits them.
    lines: Vec<LineTracker>,
    /// What memory did.
    pub(crate) memory_activity: Option<MemoryActivityIds>,
    /// Read already, to be handled before the readers'.
    first: VecDeque<(usize, TaskEvent)>,
    /// What of the request has no effect.
    pub(crate) ignored: Vec<String>,
    constraint_field: &'static str,
}

/// A request with what memory did for it.
struct PreparedRequest<'a> {
    compat_caller: &'a CompatCaller,
    api: &'static str,
    memory: RequestActivity,
}

/// Admits a request's tasks, dispatches them and waits for their first events, so that what is refused at once is an
/// error of the request and not of a stream. Its body's share of the budget is given back: prompts are tokens then.
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

/// Refuses a request for more answers than its key can ever have at once, before any work is done for it. `field` says how many
/// answers are wanted.
///
/// # Errors
/// [`Code::InvalidParams`]; when the model is not there.
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
                "asks for {answers} answers in all, and a key can have {most} at once with this model: its slots and half of \
                 `limits.queue_len_max`; send fewer prompts, or ask for fewer answers to each"
            );
            Err(Problem::invalid(field, reason))
        }
        _ => Ok(()),
    }
}

/// The tasks of a request, all of which may run and none of which was dispatched.
pub(crate) struct AdmittedTasks {
    tasks: Vec<Admitted>,
    memory_activity: Option<MemoryActivityIds>,
    ignored: Vec<String>,
    constraint_field: &'static str,
}

/// Checks that all tasks of a request may run: the answers to its first prompt come first.
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

/// Checks that a task that goes on when nobody reads it may run; it is dispatched by its caller, who is told what memory
/// did.
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

/// Has memory do its part, and another model where one is named for an app's own requests.
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

/// Checks that a request may run; where it is too long with what memory added to it, without.
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

/// A problem with an answer's format, by the name that its API has for that.
fn about_constraint(problem: Problem, field: &str) -> Problem {
    match problem.fields.as_slice() {
        [about] if about.field == lar_engines::CONSTRAINT_FIELD => {
            Problem::invalid(field, format!("cannot be kept to: {}", about.reason))
        }
        _ => problem,
    }
}

/// What of a request has no effect with its model, by the API's names and in characters that a header takes.
fn ignored_by_model(admitted: &Admitted, constraint_field: &str) -> Vec<String> {
    let name = |name: &String| {
        let rest = name.strip_prefix(lar_engines::CONSTRAINT_FIELD).filter(|rest| rest.starts_with('.'));
        let name = rest.map_or_else(|| name.clone(), |rest| format!("{constraint_field}{rest}"));
        let plain = |one: char| one.is_ascii_alphanumeric() || "_-.$[]".contains(one);
        name.chars().map(|one| if plain(one) { one } else { '_' }).take(IGNORED_NAME_MAX).collect()
    };
    admitted.ignored().iter().map(name).collect()
}

impl AnswerStream {
    /// A task that was dispatched, from its beginning.
    pub(crate) fn of(handle: &TaskHandle) -> Self {
        let (model, readers) = (handle.model().to_owned(), vec![Some(handle.read(0))]);
        let (first, lines, ignored) = (VecDeque::new(), Vec::new(), Vec::new());
        let constraint_field = lar_engines::CONSTRAINT_FIELD;
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

    /// Tokens of the prompt of one of the answers; 0 where the engine counts them later.
    pub(crate) fn tokens_in(&self, answer: usize) -> u64 {
        self.tokens_in.get(answer).copied().unwrap_or(0)
    }

    /// What is known of one of the answers at this moment.
    pub(crate) fn so_far(&self, answer: usize) -> Option<End> {
        if let Some(reader) = self.readers.get(answer)? {
            return reader.so_far();
        }
        // A limit of its lines has just ended it: its end is about to be read.
        self.first.iter().find_map(|(of, event)| match event {
            TaskEvent::End(end) if *of == answer => Some(end.clone()),
            _ => None,
        })
    }

    /// Has limits end each answer at its lines. They are told as ends by length, and their tasks are cancelled.
    pub(crate) fn limit_lines(&mut self, limits: LineLimits) {
        self.lines = vec![LineTracker::new(limits); self.answers()];
    }

    /// Whether a limit of its lines ended one of the answers.
    pub(crate) fn is_cut(&self, answer: usize) -> bool {
        self.lines.get(answer).is_some_and(LineTracker::is_over)
    }

    /// The next event of any answer, for a stream: as [`AnswerStream::next_unredacted`], a failure as everybody may read it.
    pub(crate) async fn next(&mut self) -> Option<(usize, TaskEvent)> {
        self.next_unredacted().await.map(|(answer, event)| match event {
            TaskEvent::Error(problem) => (answer, TaskEvent::Error(redact(Audience::Everybody, problem))),
            event => (answer, event),
        })
    }

    /// The next event of any answer; `None` when all have ended. Dropping the future loses nothing.
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

    /// What is left of an event where a limit of its lines ends the answer with it; the end follows as the next event.
    fn apply_line_limits(&mut self, answer: usize, event: TaskEvent) -> TaskEvent {
        let TaskEvent::Token { text, index, logprobs } = &event else { return event };
        let Some(lines) = self.lines.get_mut(answer) else { return event };
        let Some(kept) = lines.add(text, Instant::now()) else { return event };
        let Some(end) = self.so_far(answer) else { return event };
        let left = TaskEvent::Token { text: text[..kept].into(), index: *index, logprobs: logprobs.clone() };
        self.first.push_back((answer, TaskEvent::End(end)));
        // A task that nobody reads any more is cancelled.
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

    /// Reads the tasks to their ends.
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

/// A whole answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) content: String,
    pub(crate) reasoning: String,
    pub(crate) calls: Vec<ToolCall>,
    pub(crate) logprobs: Vec<TokenLogprobs>,
    pub(crate) end: Option<End>,
    /// Whether a limit of its lines ended it.
    pub(crate) is_cut: bool,
}

impl Answer {
    pub(crate) fn call(&mut self, part: CallPart) {
        if part.index >= self.calls.len() {
            self.calls.push(ToolCall { id: call_id(), name: String::new(), arguments: String::new() });
        }
        if let Some(call) = self.calls.get_mut(part.index) {
            call.name.push_str(part.name.as_deref().unwrap_or_default());
            call.arguments.push_str(&part.arguments);
        }
    }

    /// The name and the arguments of each call.
    pub(crate) fn named_calls(&self) -> impl Iterator<Item = (&str, &str)> {
        self.calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str()))
    }

    pub(crate) fn finish_reason(&self) -> &'static str {
        self.end.as_ref().map_or("stop", |end| end.reason.as_str())
    }
}

/// A name for a tool call that nobody else has.
pub(crate) fn call_id() -> String {
    format!("call_{:032x}", TaskId::new().as_u128())
}

fn task_stopped() -> Problem {
    Problem::new(Code::EngineFailed, "the task was stopped")
}

/// A model that is not there, told as clients of other APIs expect it.
pub(crate) fn about_model(mut problem: Problem) -> Problem {
    if problem.code == Code::NotFound {
        let reason = problem.detail.clone();
        problem.fields.push(lar_base::FieldError { field: "model".into(), reason });
    }
    problem
}

/// Takes the beginning of an answer from a chat that ends with one: an assistant's last words, unless it must call a tool.
pub(crate) fn take_prefill(chat: &mut Chat) {
    if chat.tool_choice != ToolChoice::Auto || chat.messages.len() < 2 {
        return;
    }
    let is_prefill = |last: &mut ChatMessage| last.role == "assistant" && last.tool_calls.is_empty();
    if let Some(last) = chat.messages.pop_if(is_prefill) {
        chat.assistant_prefill = last.content;
    }
}
