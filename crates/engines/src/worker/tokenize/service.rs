//! Shares the tokenizers of a vocabulary's worker out: each prompt has a turn, then goes to the end of the queue.
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
use crate::worker::Outbox;

/// Prompts that are worked on at once.
const THREADS: usize = 2;
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
    waiting: VecDeque<Turn>,
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
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::worker) fn add(&self, request: Request) {
        self.lock().waiting.push_back(Turn::First(Box::new(request)));
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
            if let Some(turn) = state.waiting.pop_front() {
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
            state.waiting.push_back(Turn::Next(id, work));
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
