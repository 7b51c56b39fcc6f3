//! Schedules the tokenizing threads of a vocabulary worker. Callers take turns. After a turn, a prompt goes
//! to the end of its caller's queue. Short prompts go before long ones.
//!
//! Rendering a template cannot be interrupted. If it takes longer than [`RENDER_MAX`], the process ends. The
//! server starts another one and repeats the requests of other callers.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::Duration;

use lar_base::Instant;

use super::queries::{QueryStart, sendable};
use super::{Limit, Tokenization, TokenizeOutcome, Tokenizer};
use crate::fair_queue::FairQueue;
use crate::outbox::{AbortOnPanic, Outbox};
use lar_inference::ChatTemplate;
use lar_inference::protocol::FromWorker;
use lar_inference::{Prompt, TokenizerAnswer, TokenizerQuery};

/// The prompts that are processed at the same time.
const THREADS: usize = 2;
/// Prompts with at most this many bytes left go before others: one turn is enough for them.
const SHORT_BYTES: usize = 32 << 10;
/// The number of short prompts after which a long one gets a turn, so that it cannot starve.
const SHORT_IN_A_ROW_MAX: u32 = 3;
/// The most time to render a chat, plus the second constant for each MiB of its text. A usual template takes
/// about 10 ms for one MiB, but the processor may be busy.
const RENDER_MAX: Duration = Duration::from_secs(2);
const RENDER_MIB_MAX: Duration = Duration::from_millis(500);
/// The stack of a tokenizing thread: llama.cpp's regular expressions recurse once or more for each character
/// of a word.
const STACK_BYTES: usize = 64 << 20;

/// A prompt to tokenize, or a query.
pub(crate) struct TokenizeRequest {
    pub(crate) id: u64,
    /// The number of the caller; callers take turns.
    pub(crate) caller: u64,
    pub(crate) kind: RequestKind,
    pub(crate) template: Option<ChatTemplate>,
}

/// The kind of a request.
pub(crate) enum RequestKind {
    /// A prompt's tokens, or their number.
    Prompt(Prompt, Limit),
    /// A query about the vocabulary or the template.
    Text(TokenizerQuery),
}

/// The prompts that wait for a turn.
#[derive(Default)]
pub(crate) struct PromptQueue {
    state: Mutex<QueueState>,
    /// Signals a new or returned prompt, the start of a rendering, or the end of the queue.
    changed: Condvar,
}

#[derive(Default)]
struct QueueState {
    waiting: TurnQueues<Turn>,
    /// The prompts that have a turn.
    running: HashMap<u64, RunningPrompt>,
    /// The prompts whose template is being rendered, and when it must be complete.
    rendering: HashMap<u64, Instant>,
    closed: bool,
}

/// A prompt that has a turn.
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

    /// Returns the bytes of text that are left.
    fn bytes(&self) -> usize {
        match self {
            Turn::First(request) => match &request.kind {
                RequestKind::Prompt(prompt, _) => prompt.bytes(),
                RequestKind::Text(query) => query.bytes(),
            },
            Turn::Next(_, work) => work.bytes_left(),
        }
    }
}

/// Two queues, one for short and one for long prompts; in each of them callers take turns.
struct TurnQueues<T> {
    short: FairQueue<T>,
    long: FairQueue<T>,
    /// The short prompts since the last long one.
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

    /// Takes the next turn and its caller.
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

    pub(crate) fn add(&self, request: TokenizeRequest) {
        let caller = request.caller;
        let turn = Turn::First(Box::new(request));
        let bytes = turn.bytes();
        self.lock().waiting.push(caller, turn, bytes);
        self.changed.notify_all();
    }

    /// Drops a prompt, because nobody waits for it.
    pub(crate) fn cancel(&self, id: u64) {
        let mut state = self.lock();
        state.waiting.retain(|turn| turn.id() != id);
        if let Some(running) = state.running.get_mut(&id) {
            running.is_cancelled = true;
        }
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Waits for a turn; `None` if the queue is closed.
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

    /// Records the start of a rendering of this many bytes, or its end.
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

    /// Ends a turn. The rest of the prompt waits for another turn unless it was cancelled.
    fn end(&self, id: u64, left: Option<Box<Tokenization>>) {
        let mut state = self.lock();
        let Some(RunningPrompt { caller, is_cancelled }) = state.running.remove(&id) else { return };
        if let Some(work) = left.filter(|_| !is_cancelled) {
            let bytes = work.bytes_left();
            state.waiting.push(caller, Turn::Next(id, work), bytes);
            self.changed.notify_all();
        }
    }

    /// Waits until a rendering takes too long; `None` if the queue is closed.
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
pub(crate) struct Tokenizers;

impl Tokenizers {
    /// Starts the threads, which end when the queue is closed.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub(crate) fn start<'scope, 'env: 'scope>(
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
                RequestKind::Text(query) => match tokenizer.begin_query(query, template.as_ref(), renders) {
                    Ok(QueryStart::Work(work)) => Ok(Box::new(work)),
                    Ok(QueryStart::Answer(answer)) => {
                        out.send(FromWorker::Text { id, answer: Ok(answer) });
                        return queue.end(id, None);
                    }
                    Err(message) => {
                        out.send(FromWorker::Text { id, answer: Err(message) });
                        return queue.end(id, None);
                    }
                },
            }
        }
        Turn::Next(_, work) => Ok(work),
    };
    let answer = match outcome {
        Err(message) => FromWorker::TokenizeFailed { id, message },
        Ok(mut work) => match tokenizer.advance(&mut work) {
            None => return queue.end(id, Some(work)),
            Some(TokenizeOutcome::Tokens(tokens, _)) if work.is_query => FromWorker::Text {
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

    /// Returns the order of the turns of everything that waits.
    fn order(waiting: &mut TurnQueues<&'static str>) -> String {
        std::iter::from_fn(|| waiting.pop()).map(|(_, turn)| turn).collect()
    }

    fn request(id: u64, caller: u64) -> TokenizeRequest {
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
        (0..100).for_each(|id| queue.add(request(id, 1)));
        for id in [100, 101] {
            queue.add(request(id, 2));
        }
        queue.add(request(102, 3));
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
        assert!(queue.lock().running.is_empty(), "no prompt has a turn any more");
    }
}
