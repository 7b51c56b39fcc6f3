//! One turn of a conversation, from the user's message to the stored answer.
//!
//! A turn stores the user's message, fits the history into the model's context, runs the task and stores the
//! answer. It continues when the client disconnects. The partial answer is checkpointed every second, so a
//! crash loses at most a second of text. The end of the answer is stored once.

mod prompt;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lar_base::{Caller, Code, ConversationId, MessageId, Problem, TaskGroup, TaskId, error_chain};
use lar_gateway::{Admitted, Gateway, OnDisconnect, Task, TaskEventReader, TaskHandle, Work};
use lar_inference::{ChatMessage, Priority, Prompt, Sampling, TaskEvent};
use lar_memory::MemoryActivity;
use lar_store::{
    AnswerEnd, IdempotentRequest, Message, NewMessage, NewTurn, OwnedConversation, Status, Store,
};

use self::prompt::TurnPrompt;
use crate::citations::{AnswerCitations, CitationTracker, StoredAnswerSignal};
use crate::detached::run_detached;
use crate::recall::{ChatMemory, ModelContext, activity_ids_json, activity_json};
use crate::title::title_of;

/// The interval at which a partial answer is stored.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
/// The size limit of stored reasoning. Reasoning beyond it is only streamed.
const REASONING_BYTES_MAX: usize = 1 << 20;

/// The input of a turn.
#[derive(Debug, Clone)]
pub struct TurnRequest {
    /// The conversation, which the caller owns.
    pub conversation: OwnedConversation,
    /// The user's new message, or `None` to regenerate an answer.
    pub user_message: Option<NewMessage>,
    /// The user's existing message to answer when there is no new one.
    pub answer_to: Option<MessageId>,
    /// The model. The default is the conversation's model or else `default`.
    pub model: Option<String>,
    /// The sampling parameters.
    pub sampling: Sampling,
    /// The idempotency key that identifies a request when it is sent again.
    pub once: Option<IdempotentRequest>,
}

/// A started turn.
#[derive(Debug)]
pub struct Turn {
    /// The answer's message, still empty.
    pub answer: Message,
    /// The user's message that it answers.
    pub question: Message,
    /// The task that generates the answer.
    pub task: TaskHandle,
    /// The memories that the answer cites, once it is stored.
    pub citations: AnswerCitations,
}

/// The running turn of each conversation; `None` while the turn is being started.
type Running = Arc<Mutex<HashMap<ConversationId, Option<RunningTurn>>>>;

/// A running turn.
#[derive(Debug, Clone)]
struct RunningTurn {
    task: TaskHandle,
    /// Arrive when the end of the answer is stored.
    citations: AnswerCitations,
}

/// The turns of all conversations. Clones share them.
#[derive(Debug, Clone)]
pub struct Turns {
    store: Store,
    gateway: Gateway,
    /// `None` if memory is off in chats.
    memory: Option<ChatMemory>,
    tasks: TaskGroup,
    running: Running,
}

impl Turns {
    /// Creates the service. Its turns run in `tasks`.
    #[must_use]
    pub fn new(store: Store, gateway: Gateway, memory: Option<ChatMemory>, tasks: &TaskGroup) -> Self {
        Self { store, gateway, memory, tasks: tasks.clone(), running: Arc::default() }
    }

    /// Starts a turn. When this returns, the user's message and the empty answer are on disk.
    ///
    /// # Errors
    /// When the message is not in this conversation, an answer is already being written, or the model does
    /// not admit the task; no message is stored then. When the database fails.
    pub async fn begin(&self, caller: Caller, request: TurnRequest) -> Result<Turn, Problem> {
        let conversation = request.conversation.get();
        let id = conversation.id;
        self.wait_until_stored(id).await;
        let reservation = TurnReservation::take(&self.running, id)?;
        let model =
            request.model.clone().or_else(|| conversation.model.clone()).unwrap_or_else(|| "default".into());
        let all = self.store.message_list(&request.conversation).await?;
        let path = path(&all, request.user_message.as_ref().map_or(request.answer_to, |new| new.parent))?;
        let activity = match (&self.memory, conversation.temporary) {
            (Some(memory), false) => self.process_memory(memory, &caller, &request, &path, &model).await?,
            _ => MemoryActivity::default(),
        };
        let mut history: Vec<ChatMessage> = path
            .iter()
            .filter(|message| !message.content.is_empty())
            .map(|message| ChatMessage::new(message.role.as_str(), message.content.clone()))
            .collect();
        if let Some(new) = &request.user_message {
            history.push(ChatMessage::new("user", new.content.clone()));
        }
        let last_text = history.last().map(|last| last.content.clone()).unwrap_or_default();
        let memory = self.memory.as_ref();
        let changed = activity.clone();
        let admitted = self.admit(caller.clone(), model, TurnPrompt::new(history, activity), &request).await;
        let (admitted, activity) = match (admitted, memory) {
            (Ok(admitted), _) => admitted,
            (Err(problem), Some(memory)) => {
                // No message is stored, so the user cannot see what it changed, and will send it again.
                memory.undo_turn(&caller, &changed).await;
                return Err(problem);
            }
            (Err(problem), None) => return Err(problem),
        };
        let tracker = memory.and_then(|memory| CitationTracker::new(memory, &caller, &last_text, &activity));
        let turn = NewTurn {
            title: request.user_message.as_ref().map(|new| title_of(&new.content)),
            user_message: request.user_message,
            answer_to: request.answer_to,
            task: admitted.start(),
            memory: (!activity.is_empty()).then(|| activity_json(&activity)),
            once: request.once,
        };
        let start = self.clone().start(request.conversation, turn, admitted, reservation, tracker);
        run_detached(&self.tasks, "the start of a turn", start).await
    }

    /// Stores the messages of a turn, dispatches its task and follows it.
    async fn start(
        self,
        conversation: OwnedConversation,
        turn: NewTurn,
        admitted: Admitted,
        mut reservation: TurnReservation,
        tracker: Option<CitationTracker>,
    ) -> Result<Turn, Problem> {
        let (answer, path) = self.store.turn_begin(&conversation, turn).await?;
        let task = self.gateway.dispatch_recorded(admitted);
        let (signal, citations) = StoredAnswerSignal::new();
        reservation.commit(RunningTurn { task: task.clone(), citations: citations.clone() });
        let (turns, reader, message) = (self.clone(), task.read(0), answer.id);
        self.tasks.spawn(async move {
            let (tracker, cited) = turns.follow(message, reader, tracker).await;
            // The next turn may start when the answer is stored.
            drop(reservation);
            signal.report(cited);
            if let Some(tracker) = tracker {
                tracker.review_cited().await;
            }
        });
        let question = path.into_iter().next_back().ok_or_else(|| Problem::not_found("question"))?;
        Ok(Turn { answer, question, task, citations })
    }

    /// Returns the id of the task that is writing an answer in this conversation, if any.
    #[must_use]
    pub fn running_task(&self, conversation: ConversationId) -> Option<TaskId> {
        self.current(conversation).map(|current| current.task.id())
    }

    /// Stops the answer that is being written, if any. Its partial text is kept.
    pub fn stop(&self, conversation: &OwnedConversation) {
        if let Some(current) = self.current(conversation.id()) {
            current.task.cancel();
        }
    }

    fn current(&self, conversation: ConversationId) -> Option<RunningTurn> {
        self.lock().get(&conversation).cloned().flatten()
    }

    /// Waits until a finished answer is stored, because a client may send the next message before that.
    async fn wait_until_stored(&self, conversation: ConversationId) {
        if let Some(current) = self.current(conversation).filter(|current| current.task.is_over()) {
            current.citations.stored().await;
        }
    }

    /// Recalls memories for this turn and applies the message's memory intents.
    async fn process_memory(
        &self,
        memory: &ChatMemory,
        caller: &Caller,
        request: &TurnRequest,
        path: &[&Message],
        model: &str,
    ) -> Result<MemoryActivity, Problem> {
        let (user_message, is_regeneration) = match (&request.user_message, path.last()) {
            (Some(new), _) => (new.content.as_str(), false),
            (None, Some(answered)) => (answered.content.as_str(), true),
            (None, None) => return Ok(MemoryActivity::default()),
        };
        let context_tokens = self.gateway.context_tokens(model).await?.unwrap_or(usize::MAX);
        Ok(memory
            .process_turn(
                caller,
                request.conversation.id(),
                user_message,
                is_regeneration,
                path,
                ModelContext { model, context_tokens },
            )
            .await)
    }

    /// Fits the turn's prompt into the context and admits its task.
    ///
    /// Returns the memory activity without recalled memories that had no room in the prompt.
    async fn admit(
        &self,
        caller: Caller,
        model: String,
        mut prompt: TurnPrompt,
        request: &TurnRequest,
    ) -> Result<(Admitted, MemoryActivity), Problem> {
        prompt.fit(&self.gateway, caller.key(), &model).await?;
        let (messages, activity) = prompt.into_parts();
        let task = Task {
            id: TaskId::new(),
            caller,
            api: "conversation",
            model,
            priority: Priority::Interactive,
            deadline: None,
            conversation: Some(request.conversation.id()),
            memory: activity_ids_json(&activity),
            on_disconnect: OnDisconnect::KeepRunning,
            work: Work::Generate {
                prompt: Prompt::Chat(messages.into()),
                sampling: request.sampling.clone(),
            },
        };
        Ok((self.gateway.admit(task).await?, activity))
    }

    /// Stores an answer as it grows and when it ends.
    ///
    /// Returns the tracker of its citations, and the ids of the memories that the stored answer cites.
    async fn follow(
        &self,
        answer: MessageId,
        mut reader: TaskEventReader,
        mut tracker: Option<CitationTracker>,
    ) -> (Option<CitationTracker>, Vec<String>) {
        let (mut content, mut reasoning) = (String::new(), String::new());
        let mut checkpointed = 0;
        let mut checkpoint = tokio::time::interval(CHECKPOINT_EVERY);
        let end = loop {
            tokio::select! {
                event = reader.next() => match event {
                    Some((_, TaskEvent::Token { text, .. })) => content.push_str(&text),
                    Some((_, TaskEvent::Reasoning { text, .. })) if reasoning.len() < REASONING_BYTES_MAX => {
                        reasoning.push_str(&text);
                    }
                    Some((_, event)) if event.is_terminal() => break Some(event),
                    Some(_) => {}
                    None => break None,
                },
                _ = checkpoint.tick(), if content.len() > checkpointed => {
                    checkpointed = content.len();
                    if let Err(error) = self.store.answer_checkpoint(answer, content.clone()).await {
                        tracing::warn!(error = %error_chain(&error), "could not checkpoint an answer");
                    }
                }
            }
        };
        let memory = tracker.as_mut().and_then(|tracker| tracker.mark(&content));
        let reasoning = Some(reasoning).filter(|reasoning| !reasoning.is_empty());
        let end = AnswerEnd { memory, reasoning, ..answer_end(content, end) };
        let mut cited = tracker.as_ref().map(CitationTracker::cited_ids).unwrap_or_default();
        if let Err(error) = self.store.answer_end(answer, end).await {
            tracing::error!(
                error = %error_chain(&error),
                message = %answer,
                "could not store the end of an answer"
            );
            cited.clear();
        }
        (tracker, cited)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConversationId, Option<RunningTurn>>> {
        lock(&self.running)
    }
}

/// Returns the messages from the root of the conversation to `leaf`.
fn path(all: &[Message], leaf: Option<MessageId>) -> Result<Vec<&Message>, Problem> {
    let by_id: HashMap<MessageId, &Message> = all.iter().map(|message| (message.id, message)).collect();
    let (mut next, mut path) = (leaf, Vec::new());
    while let Some(id) = next {
        let message =
            by_id.get(&id).ok_or_else(|| Problem::not_found(format!("message {id} in this conversation")))?;
        path.push(*message);
        next = message.parent;
    }
    path.reverse();
    Ok(path)
}

/// The exclusive right to run a turn in a conversation. Dropping it releases it.
struct TurnReservation {
    running: Running,
    conversation: ConversationId,
}

impl TurnReservation {
    fn take(running: &Running, conversation: ConversationId) -> Result<Self, Problem> {
        match lock(running).entry(conversation) {
            Entry::Occupied(_) => Err(Problem::new(
                Code::Conflict,
                "an answer is being written in this conversation; stop it first",
            )),
            Entry::Vacant(entry) => {
                entry.insert(None);
                Ok(Self { running: running.clone(), conversation })
            }
        }
    }

    /// Makes the running turn known to other requests.
    fn commit(&mut self, current: RunningTurn) {
        lock(&self.running).insert(self.conversation, Some(current));
    }
}

impl Drop for TurnReservation {
    fn drop(&mut self) {
        lock(&self.running).remove(&self.conversation);
    }
}

fn lock(running: &Running) -> MutexGuard<'_, HashMap<ConversationId, Option<RunningTurn>>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer_end(content: String, event: Option<TaskEvent>) -> AnswerEnd {
    let mut end = AnswerEnd {
        content,
        reasoning: None,
        status: Status::Failed,
        error: None,
        tokens_in: None,
        tokens_out: None,
        ttft_ms: None,
        decode_ms: None,
        finish_reason: None,
        memory: None,
    };
    match event {
        Some(TaskEvent::End(numbers)) => {
            end.status = Status::Complete;
            end.tokens_in = Some(numbers.tokens_in);
            end.tokens_out = Some(numbers.tokens_out);
            end.ttft_ms = Some(numbers.ttft_ms);
            end.decode_ms = Some(numbers.decode_ms);
            end.finish_reason = Some(numbers.reason.as_str().into());
        }
        Some(TaskEvent::Cancelled) => end.status = Status::Stopped,
        Some(TaskEvent::Error(problem)) => end.error = Some(problem.code),
        _ => end.error = Some(Code::Internal),
    }
    end
}
