//! How far an answer can be held to a constraint, found out where only the vocabulary is, before a task waits.
//!
//! A schema that a grammar cannot express, or only at too high a cost, is loosened step by step; a strict one is
//! refused. Clients send the same tools with every request, so what was found is kept: for good, unless the time that a
//! step took decided it. Limits count processor time, not the clock's.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use lar_base::Instant;
use serde_json::Value;

use super::constraint::{Grammars, SOURCE_BYTES_MAX};
use super::llama_cpp::{Chain, Link, Vocab};
use super::timed::thread_time;
use crate::driver::{Checked, Constraint};
use crate::gbnf;
use crate::protocol::FromWorker;
use crate::schema::{Level, close, is_too_wide, loosen};

/// What looking through the whole vocabulary for a token that fits may compute; others wait for it.
const GBNF_TOKEN_MAX: Duration = Duration::from_millis(300);
/// After this no further step is tried but the last, any value.
const STEPS_TIME_MAX: Duration = Duration::from_secs(1);
/// Outcomes that are kept, and their bytes.
const KEPT_MAX: usize = 512;
const KEPT_BYTES_MAX: usize = 8 << 20;
/// An outcome that a step's time decided is kept for so long: the same step takes longer where other programs share the
/// processor's caches.
const KEPT_FOR_TIME: Duration = Duration::from_secs(60);

/// The checks that wait for the vocabulary. A request asks for one after the other, so that the first that came is the
/// turn of another request.
#[derive(Default)]
pub(super) struct Checks {
    checker: Checker,
    waiting: VecDeque<Check>,
}

struct Check {
    id: u64,
    constraint: Constraint,
    strict: bool,
}

impl Checks {
    /// Answers a check whose outcome is known; takes another one on.
    pub(super) fn add(&mut self, id: u64, constraint: Constraint, strict: bool) -> Option<FromWorker> {
        if let Some(outcome) = self.checker.known(&constraint, strict, Instant::now()) {
            return Some(FromWorker::Checked { id, outcome: outcome.clone() });
        }
        self.waiting.push_back(Check { id, constraint, strict });
        None
    }

    /// Forgets a check; nobody waits for its answer.
    pub(super) fn cancel(&mut self, id: u64) {
        self.waiting.retain(|check| check.id != id);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Computes the check that came first. Returns its answer and those of all that wait for the same.
    pub(super) fn compute_next<'model>(&mut self, vocab: impl FnOnce() -> Vocab<'model>) -> Vec<FromWorker> {
        let Some(Check { id, constraint, strict }) = self.waiting.pop_front() else { return Vec::new() };
        let outcome = self.checker.check(vocab, &constraint, strict);
        let answer = |id| FromWorker::Checked { id, outcome: outcome.clone() };
        let mut answers = vec![answer(id)];
        self.waiting.retain(|other| {
            let is_same = other.strict == strict && other.constraint == constraint;
            answers.extend(is_same.then(|| answer(other.id)));
            !is_same
        });
        answers
    }
}

/// Checks constraints for one vocabulary.
#[derive(Default)]
struct Checker {
    grammars: Option<Grammars>,
    /// What was found of schemas, by their source: of those that may be loosened, and of strict ones.
    kept: [HashMap<String, Kept>; 2],
    kept_bytes: usize,
}

/// What was found of a schema.
struct Kept {
    outcome: Result<Checked, String>,
    /// Until when it is taken for true; for good if absent.
    until: Option<Instant>,
}

impl Checker {
    /// What was found of a schema before.
    fn known(&self, constraint: &Constraint, strict: bool, now: Instant) -> Option<&Result<Checked, String>> {
        let Constraint::JsonSchema(source) = constraint else { return None };
        let kept = self.kept[usize::from(strict)].get(source)?;
        kept.until.is_none_or(|until| now < until).then_some(&kept.outcome)
    }

    /// What of a constraint an answer can be held to.
    ///
    /// # Errors
    /// Why it cannot be, in words for the caller.
    fn check<'model>(
        &mut self,
        vocab: impl FnOnce() -> Vocab<'model>,
        constraint: &Constraint,
        strict: bool,
    ) -> Result<Checked, String> {
        if let Constraint::Gbnf(source) = constraint
            && gbnf::read(source)? == gbnf::Kind::Other
        {
            check_recursive(vocab(), source)?;
            return Ok(whole(constraint));
        }
        let grammars = match &self.grammars {
            Some(grammars) => grammars,
            None => self.grammars.insert(Grammars::of(vocab())?),
        };
        let Constraint::JsonSchema(source) = constraint else {
            grammars.check(constraint).map_err(|refusal| refusal.reason)?;
            return Ok(whole(constraint));
        };
        let found = schema(grammars, source, strict);
        self.keep(source, strict, &found, Instant::now());
        found.outcome
    }

    fn keep(&mut self, source: &str, strict: bool, found: &Found, now: Instant) {
        // Longer ones are read and loosened to any value, which is quick.
        if source.len() > SOURCE_BYTES_MAX {
            return;
        }
        let bytes = 2 * source.len();
        if self.kept.iter().map(HashMap::len).sum::<usize>() >= KEPT_MAX
            || self.kept_bytes + bytes > KEPT_BYTES_MAX
        {
            self.kept.iter_mut().for_each(HashMap::clear);
            self.kept_bytes = 0;
        }
        let until = found.is_for_time.then(|| now.after(KEPT_FOR_TIME));
        let kept = Kept { outcome: found.outcome.clone(), until };
        if self.kept[usize::from(strict)].insert(source.to_owned(), kept).is_none() {
            self.kept_bytes += bytes;
        }
    }
}

fn whole(constraint: &Constraint) -> Checked {
    Checked { constraint: constraint.clone(), dropped: Vec::new() }
}

/// What was found of a schema.
struct Found {
    outcome: Result<Checked, String>,
    /// Whether the time that a step took decided it.
    is_for_time: bool,
}

/// Finds the strictest form of a schema that answers can be held to.
fn schema(grammars: &Grammars, source: &str, strict: bool) -> Found {
    let mut is_for_time = false;
    let outcome = strictest(grammars, source, strict, &mut is_for_time);
    Found { outcome, is_for_time }
}

fn strictest(
    grammars: &Grammars,
    source: &str,
    strict: bool,
    is_for_time: &mut bool,
) -> Result<Checked, String> {
    let begun = thread_time();
    let is_long = source.len() > SOURCE_BYTES_MAX;
    if strict && is_long {
        return Err(format!("it has {} bytes; {SOURCE_BYTES_MAX} at most", source.len()));
    }
    let mut schema: Value =
        serde_json::from_str(source).map_err(|error| format!("it is no JSON: {error}"))?;
    if !schema.is_object() {
        return Err("it must be a JSON object".into());
    }
    if !is_long {
        close(&mut schema);
    }
    let wide = !is_long && is_too_wide(&schema);
    if wide && strict {
        return Err("an object of it has too many optional properties: 500 at most".into());
    }
    let (mut tried, mut first) = (None, None);
    for level in Level::ALL {
        let is_late = thread_time().saturating_sub(begun) > STEPS_TIME_MAX;
        if (is_long || is_late) && level != Level::Any {
            *is_for_time = *is_for_time || is_late;
            continue;
        }
        if wide && level == Level::Whole {
            continue;
        }
        let loosened = loosen(&schema, level);
        if tried.as_ref() == Some(&loosened.schema) && level != Level::Any {
            continue;
        }
        let constraint = Constraint::JsonSchema(loosened.schema.to_string());
        match grammars.check(&constraint) {
            Ok(()) => {
                return match loosened.dropped.first() {
                    Some(path) if strict => Err(format!("`{path}` cannot be expressed")),
                    _ => Ok(Checked { constraint, dropped: loosened.dropped }),
                };
            }
            Err(refusal) if strict => {
                *is_for_time = *is_for_time || refusal.is_for_time;
                let unsupported = loosen(&schema, Level::Supported).dropped;
                let path = unsupported.first().map(|path| format!("`{path}` cannot be expressed: "));
                return Err(path.unwrap_or_default() + &refusal.reason);
            }
            Err(refusal) => {
                *is_for_time = *is_for_time || refusal.is_for_time;
                first.get_or_insert(refusal.reason);
            }
        }
        tried = Some(loosened.schema);
    }
    Err(first.unwrap_or_else(|| "it is too large".into()))
}

/// Checks a grammar that llama.cpp's own code computes.
fn check_recursive(vocab: Vocab<'_>, source: &str) -> Result<(), String> {
    let mut grammar = Chain::new(vocab, vec![Link::Grammar(source.to_owned())])?;
    let begun = thread_time();
    let fits = grammar.keep(vocab.tokens().map(|token| (token, 0.0)));
    if fits.is_empty() {
        return Err("no text fits it".into());
    }
    if thread_time().saturating_sub(begun) > GBNF_TOKEN_MAX {
        return Err("it has so many ways to go on that each token would take too long".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
