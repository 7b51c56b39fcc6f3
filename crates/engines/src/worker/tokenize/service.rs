//! Shares the tokenizers of a vocabulary's worker out: each prompt has a turn, then goes to the end of its queue. Short
//! prompts go before long ones.
//!
//! A template is rendered in one go, which nothing can interrupt. One that takes longer than [`RENDER_MAX`] ends the
//! process; the server starts another and asks it again for what others wanted.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::Duration;

use lar_base::Instant;

use super::text::{Begun, sendable};
use super::{Limit, Tokenization, Tokenized, Tokenizer};
use crate::driver::{Prompt, TextAnswer, TextQuestion};
use crate::protocol::FromWorker;
use crate::template::ChatTemplate;
use crate::worker::{EndsWithProcess, Outbox};

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
pub(in crate::worker) struct Request {
    pub(in crate::worker) id: u64,
    pub(in crate::worker) asked: Asked,
    pub(in crate::worker) template: Option<ChatTemplate>,
}

/// What is asked.
pub(in crate::worker) enum Asked {
    /// A prompt's tokens, or their number.
    Prompt(Prompt, Limit),
    /// About the vocabulary or the template.
    Text(TextQuestion),
}

/// The prompts that wait for a turn.
#[derive(Default)]
pub(in crate::worker) struct Queue {
    state: Mutex<State>,
    /// Something came, or was put back, or began, or the queue was closed.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Waiting<Turn>,
    /// Prompts that have their turn, and whether their caller left.
    running: HashMap<u64, bool>,
    /// Prompts whose template is being rendered, and by when it must be done.
    rendering: HashMap<u64, Instant>,
    closed: bool,
}

enum Turn {
    First(Box<Request>),
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
            Turn::First(request) => match &request.asked {
                Asked::Prompt(prompt, _) => prompt.bytes(),
                Asked::Text(TextQuestion::Tokenize { text, .. }) => text.len(),
                Asked::Text(TextQuestion::Detokenize { tokens }) => tokens.len(),
                Asked::Text(TextQuestion::Render(chat)) => chat.bytes(),
            },
            Turn::Next(_, work) => work.bytes_left(),
        }
    }
}

/// Two queues: of what is short, and of what is long.
struct Waiting<T> {
    short: VecDeque<T>,
    long: VecDeque<T>,
    /// How many short ones went since the last long one.
    short_in_a_row: u32,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self { short: VecDeque::new(), long: VecDeque::new(), short_in_a_row: 0 }
    }
}

impl<T> Waiting<T> {
    fn push(&mut self, turn: T, bytes: usize) {
        let queue = if bytes <= SHORT_BYTES { &mut self.short } else { &mut self.long };
        queue.push_back(turn);
    }

    fn pop(&mut self) -> Option<T> {
        if (self.short.is_empty() || self.short_in_a_row >= SHORT_IN_A_ROW_MAX)
            && let Some(turn) = self.long.pop_front()
        {
            self.short_in_a_row = 0;
            return Some(turn);
        }
        let turn = self.short.pop_front()?;
        self.short_in_a_row = self.short_in_a_row.saturating_add(1);
        Some(turn)
    }

    fn retain(&mut self, keeps: impl Fn(&T) -> bool) {
        self.short.retain(&keeps);
        self.long.retain(&keeps);
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::worker) fn add(&self, request: Request) {
        let turn = Turn::First(Box::new(request));
        let bytes = turn.bytes();
        self.lock().waiting.push(turn, bytes);
        self.changed.notify_all();
    }

    /// Forgets a prompt; nobody waits for its answer.
    pub(in crate::worker) fn cancel(&self, id: u64) {
        let mut state = self.lock();
        state.waiting.retain(|turn| turn.id() != id);
        if let Some(left) = state.running.get_mut(&id) {
            *left = true;
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
            if let Some(turn) = state.waiting.pop() {
                state.running.insert(turn.id(), false);
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
        let gone = state.running.remove(&id).unwrap_or(false);
        if let Some(work) = left.filter(|_| !gone) {
            let bytes = work.bytes_left();
            state.waiting.push(Turn::Next(id, work), bytes);
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
        queue: &Arc<Queue>,
        out: &Outbox,
    ) -> Result<(), String> {
        for _ in 0..THREADS {
            let (queue, out) = (queue.clone(), out.clone());
            let thread = std::thread::Builder::new().name("tokenizer".into()).stack_size(STACK_BYTES);
            let work = move || {
                let _ends = EndsWithProcess;
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

fn take_turn(tokenizer: &Tokenizer<'_>, queue: &Queue, out: &Outbox, turn: Turn) {
    let id = turn.id();
    let begun = match turn {
        Turn::First(request) => {
            let Request { asked, template, .. } = *request;
            let renders = |bytes| queue.renders(id, bytes);
            match asked {
                Asked::Prompt(prompt, limit) => {
                    tokenizer.begin(prompt, template.as_ref(), limit, renders).map(Box::new)
                }
                Asked::Text(question) => match tokenizer.begin_text(question, template.as_ref(), renders) {
                    Ok(Begun::Work(work)) => Ok(Box::new(work)),
                    Ok(Begun::Answer(answer)) => {
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
    let answer = match begun {
        Err(message) => FromWorker::TokenizeFailed { id, message },
        Ok(mut work) => match tokenizer.go_on(&mut work) {
            None => return queue.end(id, Some(work)),
            Some(Tokenized::Tokens(tokens, _)) if work.is_question => {
                FromWorker::Text { id, answer: sendable(TextAnswer { tokens, ..TextAnswer::default() }) }
            }
            Some(Tokenized::Tokens(tokens, tail)) => FromWorker::Tokens { id, tokens, tail },
            Some(Tokenized::Count(tokens)) => FromWorker::Counted { id, tokens },
            Some(Tokenized::TooLong(tokens_at_least)) => FromWorker::TooLong { id, tokens_at_least },
        },
    };
    out.send(answer);
    queue.end(id, None);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_prompts_go_first_and_keep_no_long_one_waiting_for_ever() {
        let mut waiting = Waiting::default();
        for long in ["A", "B"] {
            waiting.push(long, SHORT_BYTES + 1);
        }
        for short in ["a", "b", "c", "d", "e"] {
            waiting.push(short, SHORT_BYTES);
        }
        waiting.retain(|turn| *turn != "b");
        let order: String = std::iter::from_fn(|| waiting.pop()).collect();
        assert_eq!(order, "acdAeB");
        assert_eq!(waiting.pop(), None);
    }
}
