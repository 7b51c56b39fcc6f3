//! Requests for text of the compatible APIs: applies memory, admits their tasks and dispatches them.
//!
//! A request that is too long with recalled memories is admitted without them
//! ([`recall_retry`](crate::recall_retry)). A failure before the first event is an error of the request, not
//! of its stream.

use lar_base::{Code, Instant, KeyId, MemoryMode, Problem, Scope, TaskId};
use lar_compat::{PromptInput, Request, ignored_name, plain_name};
use lar_gateway::{Admitted, Gateway, OnDisconnect, TaskHandle};
use lar_inference::{CONSTRAINT_FIELD, Prompt};
use lar_memory::MemoryActivityIds;

use crate::answer_stream::AnswerStream;
use crate::client_prompts::is_background;
use crate::compat_memory::{CompatMemory, RequestActivity};
use crate::prepared_request::PreparedRequest;
use crate::prompt_text::resolve;
use crate::recall::ModelContext;
use crate::recall_retry::admit_without_recall;
use crate::request_errors::{about_constraint, about_model, about_prompt};
use crate::requester::Requester;

/// The service that runs the compatible APIs' requests for text. Clones share its state.
#[derive(Debug, Clone)]
pub struct Generations {
    gateway: Gateway,
    memory: CompatMemory,
    /// The model that serves background requests of chat apps instead of the requested one.
    background_model: Option<String>,
}

/// The admitted tasks of a request, not yet dispatched.
pub struct AdmittedTasks {
    gateway: Gateway,
    tasks: Vec<Admitted>,
    constraint_field: &'static str,
    received_at: Instant,
    /// The ids of the memories that the request recalled and changed.
    pub memory_activity: Option<MemoryActivityIds>,
    /// The fields and schema keywords that have no effect.
    pub ignored: Vec<String>,
}

impl Generations {
    /// Creates the service.
    #[must_use]
    pub fn new(gateway: Gateway, memory: CompatMemory, background_model: Option<String>) -> Self {
        Self { gateway, memory, background_model }
    }

    /// Rejects a request for more answers than its key can have at the same time, before any work is done for it.
    ///
    /// `field` is the request field that sets the number of answers.
    ///
    /// # Errors
    /// [`Code::InvalidParams`] for too many answers; [`Code::NotFound`] if the model does not exist.
    pub async fn check_answers(&self, model: &str, field: &str, answers: usize) -> Result<(), Problem> {
        if answers <= 1 {
            return Ok(());
        }
        let most = self.gateway.tasks_of_key_max(plain_name(model)).await.map_err(about_model)?;
        match most {
            Some(most) if answers > most => {
                let reason = format!(
                    "asks for {answers} answers in total, but a key can have {most} at a time with this model: \
                     as many as the model has slots, plus half of `limits.queue_len_max`; send fewer prompts, \
                     or ask for fewer answers to each prompt"
                );
                Err(Problem::invalid(field, reason))
            }
            _ => Ok(()),
        }
    }

    /// Splits a request into one request per prompt. `n_field` is the field that sets the number of answers per
    /// prompt.
    ///
    /// # Errors
    /// If the request has too many answers, or a prompt has more tokens than the model's context. Both are
    /// checked before any prompt is tokenized.
    pub async fn for_prompts(
        &self,
        key: KeyId,
        request: Request,
        prompts: Vec<PromptInput>,
        n_field: &str,
    ) -> Result<Vec<Request>, Problem> {
        self.check_answers(&request.model, n_field, prompts.len() * request.n as usize).await?;
        if matches!(request.prompt, Prompt::Infill { .. }) {
            return Ok(vec![request]);
        }
        let name = plain_name(&request.model).to_owned();
        let longest = prompts.iter().map(PromptInput::tokens_min).max().unwrap_or(0);
        if longest > 0
            && let Some(context) = self.gateway.context_tokens(&name).await.map_err(about_model)?
            && longest >= context
        {
            let why = format!(
                "this model's maximum context length is {context} tokens, shared by prompt and answer (`{name}`)"
            );
            return Err(Problem::context_too_long(longest, context.saturating_sub(1), &why));
        }
        let mut all = Vec::with_capacity(prompts.len());
        for (index, prompt) in prompts.into_iter().enumerate() {
            let prompt = resolve(&self.gateway, key, &name, prompt).await.map_err(about_prompt)?;
            let id = if index == 0 { request.id } else { TaskId::new() };
            all.push(Request { id, prompt, ..request.clone() });
        }
        Ok(all)
    }

    /// Admits the tasks of all requests, in the order of their prompts. They share a model and all other fields.
    ///
    /// # Errors
    /// If memory is not allowed, or the gateway rejects one of the tasks.
    pub async fn admit(
        &self,
        requester: &Requester,
        requests: Vec<Request>,
    ) -> Result<AdmittedTasks, Problem> {
        let mut admitted = AdmittedTasks {
            gateway: self.gateway.clone(),
            tasks: Vec::new(),
            constraint_field: requests.first().map_or("", |request| request.constraint_field),
            received_at: requester.arrival.instant,
            memory_activity: None,
            ignored: requests.first().map(|request| request.ignored.clone()).unwrap_or_default(),
        };
        for mut request in requests {
            let mut prepared = self.prepare(requester, &mut request).await?;
            request.sampling.grouped = !request.stream;
            request.sampling.reports_prefill &= request.stream;
            for answer in 0..request.n {
                let task =
                    self.admit_answer(&mut prepared, &mut request, answer, OnDisconnect::Cancel).await?;
                if admitted.tasks.is_empty() {
                    admitted.ignored.extend(ignored_by_model(&task, request.constraint_field));
                }
                admitted.tasks.push(task);
            }
            admitted.memory_activity = prepared.memory.activity.ids();
        }
        Ok(admitted)
    }

    /// Admits a task that keeps running without readers. Returns it, not yet dispatched, with its memory activity.
    ///
    /// # Errors
    /// As [`Generations::admit`].
    pub(crate) async fn admit_detached(
        &self,
        requester: &Requester,
        request: &mut Request,
    ) -> Result<(Admitted, Option<MemoryActivityIds>), Problem> {
        let mut prepared = self.prepare(requester, request).await?;
        let admitted = self.admit_answer(&mut prepared, request, 0, OnDisconnect::KeepRunning).await?;
        request.ignored.extend(ignored_by_model(&admitted, request.constraint_field));
        Ok((admitted, prepared.memory.activity.ids()))
    }

    /// Applies memory to a request, and chooses the background model for an app's background request.
    async fn prepare<'a>(
        &self,
        requester: &'a Requester,
        request: &mut Request,
    ) -> Result<PreparedRequest<'a>, Problem> {
        let memory = self.apply_memory(requester, request).await?;
        if let (Some(model), Prompt::Chat(chat)) = (&self.background_model, &request.prompt)
            && is_background(chat)
        {
            request.model.clone_from(model);
        }
        Ok(PreparedRequest { requester, memory })
    }

    /// Applies memory to a request as its mode says, and removes the memory suffix from the model's name.
    ///
    /// The mode comes from the request, else from the model's name, else from the key.
    ///
    /// # Errors
    /// If the model does not exist, or the key lacks the scope or the space for the mode.
    async fn apply_memory(
        &self,
        requester: &Requester,
        request: &mut Request,
    ) -> Result<RequestActivity, Problem> {
        let Requester { caller, memory_mode, .. } = requester;
        let name = plain_name(&request.model).to_owned();
        let has_suffix = name != request.model;
        request.model = name;
        let mode = match (*memory_mode, has_suffix) {
            (Some(memory_mode), _) => memory_mode,
            (None, true) if caller.has(Scope::MemoryWrite) => MemoryMode::Remember,
            (None, true) => MemoryMode::Recall,
            (None, false) => caller.memory(),
        };
        let Prompt::Chat(chat) = &mut request.prompt else { return Ok(RequestActivity::default()) };
        if mode == MemoryMode::Off {
            return Ok(RequestActivity::default());
        }
        let context_tokens = self.gateway.context_tokens(&request.model).await;
        let context_tokens = context_tokens.map_err(about_model)?.unwrap_or(usize::MAX);
        // A structured answer is for a program, not for a user, so nothing is saved.
        let mode = if request.sampling.constraint.is_some() { mode.min(MemoryMode::Recall) } else { mode };
        let model = ModelContext { model: &request.model, context_tokens };
        self.memory.process_request(requester, mode, chat, model).await
    }

    /// Admits an answer's task. A prompt that is too long with recalled memories is tried again without them.
    async fn admit_answer(
        &self,
        prepared: &mut PreparedRequest<'_>,
        request: &mut Request,
        answer: u32,
        on_disconnect: OnDisconnect,
    ) -> Result<Admitted, Problem> {
        let admitted = match self.gateway.admit(prepared.task(request, answer, on_disconnect)).await {
            Err(too_long) if too_long.code == Code::ContextTooLong => {
                admit_without_recall(&self.gateway, too_long, prepared, request, answer, on_disconnect).await
            }
            admitted => admitted,
        };
        admitted.map_err(|problem| about_model(about_constraint(problem, request.constraint_field)))
    }
}

impl AdmittedTasks {
    /// Dispatches the tasks and waits for their first events.
    ///
    /// # Errors
    /// The error of a task that fails before its first event.
    pub async fn begin(self) -> Result<AnswerStream, Problem> {
        let tokens_in = self.tasks.iter().map(Admitted::tokens_in).collect();
        let handles: Vec<TaskHandle> =
            self.tasks.into_iter().map(|task| self.gateway.dispatch(task)).collect();
        let mut answers = AnswerStream::new(&handles, tokens_in, self.received_at, self.constraint_field);
        drop(handles);
        answers.wait_for_first().await?;
        Ok(answers)
    }
}

/// Returns the fields and schema keywords that have no effect with this model, by the API's names.
fn ignored_by_model(admitted: &Admitted, constraint_field: &str) -> Vec<String> {
    let name = |name: &String| {
        let rest = name.strip_prefix(CONSTRAINT_FIELD).filter(|rest| rest.starts_with('.'));
        let name = rest.map_or_else(|| name.clone(), |rest| format!("{constraint_field}{rest}"));
        ignored_name(&name)
    };
    admitted.ignored().iter().map(name).collect()
}
