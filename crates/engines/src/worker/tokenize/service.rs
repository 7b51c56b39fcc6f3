//! Shares the tokenizers of a vocabulary's worker out: callers take turns, and each prompt has a turn, then goes to the end
//! of its caller's queue. Short prompts go before long ones.
//!
//! A template is rendered in one go, which nothing can interrupt. One that takes longer than [`RENDER_MAX`] ends the
//! process; the server starts another and asks it again for what others wanted.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::Duration;

use lar_base::Instant;

use super::queries::{QueryStart, sendable};
use super::{Limit, Tokenization, TokenizeOutcome, Tokenizer};
use crate::driver::{Prompt, TokenizerAnswer, TokenizerQuery};
use crate::protocol::FromWorker;
use crate::template::ChatTemplate;
use crate::worker::fair_queue::FairQueue;
use crate::worker::{AbortOnPanic, Outbox};

/// Prompts that are worked on at once.
const THREADS: usize = 2;
/// Prompts with no more bytes left go before others: one turn is enough for them.
const SHORT_BYTES: usize = 32 << 10;
/// After so many of them a longer one has its turn, so that it is not kept waiting for ever.
const SHORT_IN_A_ROW_MAX: u32 = 3;
/// What rendering a chat may take, and what more for each MiB of its text. A usual template takes some 10 ms for one;
/// the processor may have much else to do.
const RENDER_MAX: Duration = Duration::from_secs(2);
const RENDER_MIB_MAX: Duration = Duration::from_millis(500);
/// Stack of a tokenizing thread: llama.cpp's expressions recurse once or more for each character of a word.
const STACK_BYTES: usize = 64 << 20;

/// A prompt that is to become tokens, or a question about texts.
pub(in crate::worker) struct TokenizeRequest {
    pub(in crate::worker) id: u64,
    /// The opaque number of the caller, who takes turns with others.
    pub(in crate::worker) caller: u64,
    pub(in crate::worker) kind: RequestKind,
    pub(in crate::worker) template: Option<ChatTemplate>,
}

/// What is asked.
pub(in crate::worker) enum RequestKind {
    /// A prompt's tokens, or their number.
    Prompt(Prompt, Limit),
    /// About the vocabulary or the template.
    Text(TokenizerQuery),
}

/// The prompts that wait for a turn.
#[derive(Default)]
pub(in crate::worker) struct PromptQueue {
    state: Mutex<QueueState>,
    /// Something came, or was put back, or began, or the queue was closed.
    changed: Condvar,
}

#[derive(Default)]
struct QueueState {
    waiting: TurnQueues<Turn>,
    /// Prompts that have their turn.
    running: HashMap<u64, RunningPrompt>,
    /// Prompts whose template is being rendered, and by when it must be done.
    rendering: HashMap<u64, Instant>,
    closed: bool,
}

/// A prompt that has its turn.
struct RunningPrompt {
    caller: u64,
    is_cancelled: bool,
}

enum Turn {
    First(Box<TokenizeRequest>),
    Next(u64, Box<Tokenization>),
}

impl Turn {
    fn id(&self) -> u64 {
        match self {
            Turn::First(request) => request.id,
            Turn::Next(id, _) => *id,
        }
    }

    /// Bytes of text that are left of it.
    fn bytes(&self) -> usize {
        match self {
            Turn::First(request) => match &request.kind {
                RequestKind::Prompt(prompt, _) => prompt.bytes(),
                RequestKind::Text(question) => question.bytes(),
            },
            Turn::Next(_, work) => work.bytes_left(),
        }
    }
}

/// Two queues, of what is short and of what is long; in each of them callers take turns.
struct TurnQueues<T> {
    short: FairQueue<T>,
    long: FairQueue<T>,
    /// How many short ones went since the last long one.
    short_in_a_row: u32,
}

impl<T> Default for TurnQueues<T> {
    fn default() -> Self {
        Self { short: FairQueue::default(), long: FairQueue::default(), short_in_a_row: 0 }
    }
}

impl<T> TurnQueues<T> {
    fn push(&mut self, caller: u64, turn: T, bytes: usize) {
        let queue = if bytes <= SHORT_BYTES { &mut self.short } else { &mut self.long };
        queue.push(caller, turn);
    }

    /// Takes the next turn, and its caller.
    fn pop(&mut self) -> Option<(u64, T)> {
        if (self.short.is_empty() || self.short_in_a_row >= SHORT_IN_A_ROW_MAX)
            && let Some(turn) = self.long.take_next()
        {
            self.short_in_a_row = 0;
            return Some(turn);
        }
        let turn = self.short.take_next()?;
        self.short_in_a_row = self.short_in_a_row.saturating_add(1);
        Some(turn)
    }

    fn retain(&mut self, keeps: impl Fn(&T) -> bool) {
        self.short.retain(|turn| keeps(turn));
        self.long.retain(|turn| keeps(turn));
    }
}

impl PromptQueue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::worker) fn add(&self, request: TokenizeRequest) {
        let caller = request.caller;
        let turn = Turn::First(Box::new(request));
        let bytes = turn.bytes();
        self.lock().waiting.push(caller, turn, bytes);
        self.changed.notify_all();
    }

    /// Forgets a prompt; nobody waits for its answer.
    pub(in crate::worker) fn cancel(&self, id: u64) {
        let mut state = self.lock();
        state.waiting.retain(|turn| turn.id() != id);
        if let Some(running) = state.running.get_mut(&id) {
            running.is_cancelled = true;
        }
    }

    pub(in crate::worker) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Waits for a turn; `None` when there will be none.
    fn next(&self) -> Option<Turn> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some((caller, turn)) = state.waiting.pop() {
                state.running.insert(turn.id(), RunningPrompt { caller, is_cancelled: false });
                return Some(turn);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Notes that a template begins to work on so many bytes, or is done.
    fn renders(&self, id: u64, bytes: Option<usize>) {
        let mut state = self.lock();
        match bytes {
            Some(bytes) => {
                let mib = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
                let most = RENDER_MAX.saturating_add(RENDER_MIB_MAX.saturating_mul(mib));
                state.rendering.insert(id, Instant::now().after(most));
                self.changed.notify_all();
            }
            None => _ = state.rendering.remove(&id),
        }
    }

    /// Ends a turn; what is left of the prompt waits for another, unless its caller left.
    fn end(&self, id: u64, left: Option<Box<Tokenization>>) {
        let mut state = self.lock();
        let Some(RunningPrompt { caller, is_cancelled }) = state.running.remove(&id) else { return };
        if let Some(work) = left.filter(|_| !is_cancelled) {
            let bytes = work.bytes_left();
            state.waiting.push(caller, Turn::Next(id, work), bytes);
            self.changed.notify_all();
        }
    }

    /// Waits until a rendering has taken too long; `None` when the queue was closed.
    fn overdue(&self) -> Option<u64> {
        let mut state = self.lock();
        while !state.closed {
            let first = state.rendering.iter().min_by_key(|(_, by)| **by).map(|(id, by)| (*id, *by));
            let Some((id, by)) = first else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = by.since(Instant::now());
            if left.is_zero() {
                return Some(id);
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        None
    }
}

/// The threads that tokenize.
pub(in crate::worker) struct Tokenizers;

impl Tokenizers {
    /// Starts them; they end when the queue is closed.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(in crate::worker) fn start<'scope, 'env: 'scope>(
        scope: &'scope Scope<'scope, 'env>,
        tokenizer: &'env Tokenizer<'env>,
        queue: &Arc<PromptQueue>,
        out: &Outbox,
    ) -> Result<(), String> {
        for _ in 0..THREADS {
            let (queue, out) = (queue.clone(), out.clone());
            let thread = std::thread::Builder::new().name("tokenizer".into()).stack_size(STACK_BYTES);
            let work = move || {
                let _ends = AbortOnPanic;
                while let Some(turn) = queue.next() {
                    take_turn(tokenizer, &queue, &out, turn);
                }
            };
            thread.spawn_scoped(scope, work).map_err(|error| error.to_string())?;
        }
        let (queue, out) = (queue.clone(), out.clone());
        scope.spawn(move || {
            if let Some(id) = queue.overdue() {
                let message = "it takes too long".into();
                out.send_last(FromWorker::TokenizeFailed { id, message });
            }
        });
        Ok(())
    }
}

fn take_turn(tokenizer: &Tokenizer<'_>, queue: &PromptQueue, out: &Outbox, turn: Turn) {
    let id = turn.id();
    let outcome = match turn {
        Turn::First(request) => {
            let TokenizeRequest { kind, template, .. } = *request;
            let renders = |bytes| queue.renders(id, bytes);
            match kind {
                RequestKind::Prompt(prompt, limit) => {
                    tokenizer.begin(prompt, template.as_ref(), limit, renders).map(Box::new)
                }
                RequestKind::Text(question) => {
                    match tokenizer.begin_query(question, template.as_ref(), renders) {
                        Ok(QueryStart::Work(work)) => Ok(Box::new(work)),
                        Ok(QueryStart::Answer(answer)) => {
                            out.send(FromWorker::Text { id, answer: Ok(answer) });
                            return queue.end(id, None);
                        }
                        Err(message) => {
                            out.send(FromWorker::Text { id, answer: Err(message) });
                            return queue.end(id, None);
                        }
                    }
                }
            }
        }
        Turn::Next(_, work) => Ok(work),
    };
    let answer = match outcome {
        Err(message) => FromWorker::TokenizeFailed { id, message },
        Ok(mut work) => match tokenizer.advance(&mut work) {
            None => return queue.end(id, Some(work)),
            Some(TokenizeOutcome::Tokens(tokens, _)) if work.is_question => FromWorker::Text {
                id,
                answer: sendable(TokenizerAnswer { tokens, ..TokenizerAnswer::default() }),
            },
            Some(TokenizeOutcome::Tokens(tokens, tail)) => FromWorker::Tokens { id, tokens, tail },
            Some(TokenizeOutcome::Count(tokens)) => FromWorker::Counted { id, tokens },
            Some(TokenizeOutcome::TooLong(tokens_at_least)) => FromWorker::TooLong { id, tokens_at_least },
        },
    };
    out.send(answer);
    queue.end(id, None);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order in which all that waits has its turns.
    fn order(waiting: &mut TurnQueues<&'static str>) -> String {
        std::iter::from_fn(|| waiting.pop()).map(|(_, turn)| turn).collect()
    }

    fn question(id: u64, caller: u64) -> TokenizeRequest {
        TokenizeRequest {
            id,
            caller,
            kind: RequestKind::Prompt(Prompt::Text("hello".into()), Limit::Count),
            template: None,
        }
    }

    #[test]
    fn short_prompts_go_first_without_starving_long_ones() {
        let mut waiting = TurnQueues::default();
        for long in ["A", "B"] {
            waiting.push(1, long, SHORT_BYTES + 1);
        }
        for short in ["a", "b", "c", "d", "e"] {
            waiting.push(1, short, SHORT_BYTES);
        }
        waiting.retain(|turn| *turn != "b");
        assert_eq!(order(&mut waiting), "acdAeB");
    }

    #[test]
    fn callers_take_turns_with_short_prompts_and_with_long_ones() {
        let mut waiting = TurnQueues::default();
        for bytes in [SHORT_BYTES, SHORT_BYTES + 1] {
            let (of_one, of_another) = if bytes > SHORT_BYTES { ("A", "B") } else { ("a", "b") };
            for _ in 0..5 {
                waiting.push(1, of_one, bytes);
            }
            waiting.push(2, of_another, bytes);
        }
        assert_eq!(order(&mut waiting), "abaAaaaBAAAA");
    }

    #[test]
    fn a_caller_with_one_prompt_waits_for_one_turn_of_a_caller_with_a_hundred() {
        let queue = PromptQueue::default();
        (0..100).for_each(|id| queue.add(question(id, 1)));
        for id in [100, 101] {
            queue.add(question(id, 2));
        }
        queue.add(question(102, 3));
        queue.cancel(100);
        let next = || {
            let id = queue.next().unwrap().id();
            queue.end(id, None);
            id
        };
        assert_eq!([next(), next(), next(), next()], [0, 101, 102, 1], "100 was cancelled");
        (1..99).for_each(|id| queue.cancel(id));
        assert_eq!(next(), 99);
        assert!(queue.lock().waiting.short.is_empty());
        assert!(queue.lock().running.is_empty(), "nothing has a turn any more");
    }
}
