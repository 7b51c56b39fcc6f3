//! Checks how much of a constraint the engine can apply, in a worker with only a vocabulary, before a task is
//! queued.
//!
//! A schema that a grammar cannot express, or only at too high a cost, is loosened step by step; a strict one
//! is refused. Clients send the same tools with every request, so outcomes are cached: without a time limit,
//! unless the outcome depended on how long a step took. Callers take turns by the time that their checks
//! took, and the checks of one request have a total time. All limits count processor time, and none counts
//! the time for which a check waited.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use lar_base::Instant;
use serde_json::Value;

use super::fair_queue::FairQueue;
use super::grammars::{Grammars, SOURCE_BYTES_MAX};
use super::llama_cpp::{Chain, Link, Vocab};
use super::timed::thread_time;
use lar_chat_format::gbnf;
use lar_chat_format::schema_loosening::{Level, close, is_too_wide, loosen};
use lar_inference::protocol::{ConstraintCheck, FromWorker};
use lar_inference::{CheckedConstraint, Constraint};

/// The most processor time of one pass over the vocabulary for a matching token; other checks wait for it.
const GBNF_TOKEN_MAX: Duration = Duration::from_millis(300);
/// The time after which only the last step is tried, which allows any value.
const STEPS_TIME_MAX: Duration = Duration::from_secs(1);
/// The most processor time of all checks of one request; the checks that are left then are not computed. Most
/// schemas take a few milliseconds, so this is enough for 512 tools. A check that has started may use its own
/// limits.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);
/// The number of cached outcomes, and their bytes. One request may have 512 tools.
const CACHED_OUTCOMES_MAX: usize = 2048;
const CACHED_BYTES_MAX: usize = 8 << 20;
/// How long an outcome that depended on a step's time is cached: the step takes longer while other programs
/// share the processor's caches.
const TIMED_OUTCOME_TTL: Duration = Duration::from_secs(60);

/// The waiting checks. They are computed one at a time.
pub(super) struct Checks {
    checker: Checker,
    waiting: FairQueue<CheckRequest>,
    /// Returns the processor time of the computing thread.
    clock: fn() -> Duration,
}

/// The remaining checks of one request.
struct CheckRequest {
    id: u64,
    left: VecDeque<PendingCheck>,
    /// The processor time of its checks so far.
    spent: Duration,
}

struct PendingCheck {
    index: u32,
    to_check: ConstraintCheck,
}

impl Default for Checks {
    fn default() -> Self {
        Self { checker: Checker::default(), waiting: FairQueue::default(), clock: thread_time }
    }
}

impl Checks {
    /// Adds a request and answers the checks with a cached outcome. Strict checks go first, because they are
    /// refused when the request's time is over.
    pub(super) fn add(&mut self, id: u64, caller: u64, constraints: Vec<ConstraintCheck>) -> Vec<FromWorker> {
        let now = Instant::now();
        let (mut answers, mut left) = (Vec::new(), Vec::new());
        for (index, to_check) in (0..).zip(constraints) {
            match self.checker.cached(&to_check, now) {
                Some(outcome) => answers.push(FromWorker::Checked { id, index, outcome: outcome.clone() }),
                None => left.push(PendingCheck { index, to_check }),
            }
        }
        left.sort_by_key(|check| !check.to_check.strict);
        if !left.is_empty() {
            self.waiting.push(caller, CheckRequest { id, left: left.into(), spent: Duration::ZERO });
        }
        answers
    }

    /// Drops a request, because nobody waits for it.
    pub(super) fn cancel(&mut self, id: u64) {
        self.waiting.retain(|request| request.id != id);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Computes one check of the caller who has used the least time. Returns its answer and that of all
    /// identical waiting checks. If the request's time is over, also returns the answers to its other checks.
    pub(super) fn compute_next<'model>(&mut self, vocab: impl FnOnce() -> Vocab<'model>) -> Vec<FromWorker> {
        let Some((caller, request)) = self.waiting.next_mut() else { return Vec::new() };
        let Some(PendingCheck { index, to_check }) = request.left.pop_front() else { return Vec::new() };
        let before = (self.clock)();
        let outcome = self.checker.check(vocab, &to_check);
        let took = (self.clock)().saturating_sub(before);
        request.spent += took;
        let id = request.id;
        let mut answers = vec![FromWorker::Checked { id, index, outcome: outcome.clone() }];
        if request.spent >= REQUEST_TIME_MAX {
            let rest = std::mem::take(&mut request.left).into_iter();
            answers.extend(rest.map(|PendingCheck { index, to_check }| {
                let outcome = out_of_time(&to_check);
                FromWorker::Checked { id, index, outcome }
            }));
        }
        self.waiting.charge(caller, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        self.waiting.retain(|CheckRequest { id, left, .. }| {
            left.retain(|PendingCheck { index, to_check: other }| {
                let is_same = *other == to_check;
                if is_same {
                    let outcome = outcome.clone();
                    answers.push(FromWorker::Checked { id: *id, index: *index, outcome });
                }
                !is_same
            });
            !left.is_empty()
        });
        answers
    }
}

/// Returns the outcome of a check for which its request had no time left: that of a schema whose every step
/// takes too long. It depends on the request, so it is not cached.
fn out_of_time(
    ConstraintCheck { constraint, strict }: &ConstraintCheck,
) -> Result<CheckedConstraint, String> {
    match constraint {
        Constraint::JsonSchema(source) if !strict => {
            let loosened = loosen(&read(source)?, Level::Any);
            let constraint = Constraint::JsonSchema(loosened.schema.to_string());
            Ok(CheckedConstraint { constraint, dropped: loosened.dropped })
        }
        _ => Err(format!(
            "it was not checked: the schemas of this request take over {} s to check together; send fewer or \
             simpler schemas",
            REQUEST_TIME_MAX.as_secs()
        )),
    }
}

/// Checks constraints for one vocabulary.
#[derive(Default)]
struct Checker {
    grammars: Option<Grammars>,
    /// The outcomes of schemas, by their source: of those that may be loosened, and of strict ones.
    cached: [HashMap<String, CachedOutcome>; 2],
    cached_bytes: usize,
}

/// The outcome of a schema.
struct CachedOutcome {
    outcome: Result<CheckedConstraint, String>,
    /// When it expires; never if `None`.
    until: Option<Instant>,
}

impl Checker {
    /// Returns the cached outcome of a schema.
    fn cached(&self, to_check: &ConstraintCheck, now: Instant) -> Option<&Result<CheckedConstraint, String>> {
        let Constraint::JsonSchema(source) = &to_check.constraint else { return None };
        let cached = self.cached[usize::from(to_check.strict)].get(source)?;
        cached.until.is_none_or(|until| now < until).then_some(&cached.outcome)
    }

    /// Checks how much of a constraint can be applied.
    ///
    /// # Errors
    /// The reason why it cannot be applied, for the caller.
    fn check<'model>(
        &mut self,
        vocab: impl FnOnce() -> Vocab<'model>,
        ConstraintCheck { constraint, strict }: &ConstraintCheck,
    ) -> Result<CheckedConstraint, String> {
        if let Constraint::Gbnf(source) = constraint
            && gbnf::parse(source)? == gbnf::Kind::Other
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
        let found = schema(grammars, source, *strict);
        self.keep(source, *strict, &found, Instant::now());
        found.outcome
    }

    fn keep(&mut self, source: &str, strict: bool, found: &SchemaOutcome, now: Instant) {
        // Longer schemas are always loosened to any value, which is fast.
        if source.len() > SOURCE_BYTES_MAX {
            return;
        }
        let bytes = 2 * source.len();
        if self.cached.iter().map(HashMap::len).sum::<usize>() >= CACHED_OUTCOMES_MAX
            || self.cached_bytes + bytes > CACHED_BYTES_MAX
        {
            self.cached.iter_mut().for_each(HashMap::clear);
            self.cached_bytes = 0;
        }
        let until = found.is_for_time.then(|| now.after(TIMED_OUTCOME_TTL));
        let cached = CachedOutcome { outcome: found.outcome.clone(), until };
        if self.cached[usize::from(strict)].insert(source.to_owned(), cached).is_none() {
            self.cached_bytes += bytes;
        }
    }
}

fn whole(constraint: &Constraint) -> CheckedConstraint {
    CheckedConstraint { constraint: constraint.clone(), dropped: Vec::new() }
}

/// The outcome of a schema.
struct SchemaOutcome {
    outcome: Result<CheckedConstraint, String>,
    /// Whether it depended on how long a step took.
    is_for_time: bool,
}

/// Finds the strictest form of a schema that a grammar can express.
fn schema(grammars: &Grammars, source: &str, strict: bool) -> SchemaOutcome {
    let mut is_for_time = false;
    let outcome = strictest(grammars, source, strict, &mut is_for_time);
    SchemaOutcome { outcome, is_for_time }
}

fn strictest(
    grammars: &Grammars,
    source: &str,
    strict: bool,
    is_for_time: &mut bool,
) -> Result<CheckedConstraint, String> {
    let started = thread_time();
    let is_long = source.len() > SOURCE_BYTES_MAX;
    if strict && is_long {
        return Err(format!("it has {} bytes; the limit is {SOURCE_BYTES_MAX}", source.len()));
    }
    let mut schema = read(source)?;
    if !is_long {
        close(&mut schema);
    }
    let wide = !is_long && is_too_wide(&schema);
    if wide && strict {
        return Err("one of its objects has too many optional properties; the limit is 500".into());
    }
    let (mut tried, mut first) = (None, None);
    for level in Level::ALL {
        let is_late = thread_time().saturating_sub(started) > STEPS_TIME_MAX;
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
                return match loosened.missing {
                    Some(path) if strict => Err(format!("`{path}` cannot be expressed")),
                    _ => Ok(CheckedConstraint { constraint, dropped: loosened.dropped }),
                };
            }
            Err(refusal) if strict => {
                *is_for_time = *is_for_time || refusal.is_for_time;
                let unsupported = loosen(&schema, Level::Supported).missing;
                let path = unsupported.map(|path| format!("`{path}` cannot be expressed: "));
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

fn read(source: &str) -> Result<Value, String> {
    let schema: Value = serde_json::from_str(source).map_err(|error| format!("it is not JSON: {error}"))?;
    if schema.is_object() { Ok(schema) } else { Err("it must be a JSON object".into()) }
}

/// Checks a grammar that llama.cpp's own code applies.
fn check_recursive(vocab: Vocab<'_>, source: &str) -> Result<(), String> {
    let mut grammar = Chain::new(vocab, vec![Link::Grammar(source.to_owned())])?;
    let started = thread_time();
    let fits = grammar.keep(vocab.tokens().map(|token| (token, 0.0)));
    if fits.is_empty() {
        return Err("no text matches it".into());
    }
    if thread_time().saturating_sub(started) > GBNF_TOKEN_MAX {
        return Err("it has so many alternatives that each token would take too long".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
