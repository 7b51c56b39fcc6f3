//! How far an answer can be held to a constraint, found out where only the vocabulary is, before a task waits.
//!
//! A schema that a grammar cannot express, or only at too high a cost, is loosened step by step; a strict one is
//! refused. Clients send the same tools with every request, so what was found is kept.

use std::collections::HashMap;
use std::time::Duration;

use lar_base::Instant;
use serde_json::Value;

use super::constraint::{Grammars, SOURCE_BYTES_MAX};
use super::llama_cpp::{Chain, Link, Vocab};
use crate::driver::{Checked, Constraint};
use crate::gbnf;
use crate::schema::{Level, close, is_too_wide, loosen};

/// What looking through the whole vocabulary for a token that fits may take; others wait for it.
const GBNF_TOKEN_MAX: Duration = Duration::from_millis(300);
/// After this no further step is tried but the last, any value.
const STEPS_TIME_MAX: Duration = Duration::from_secs(1);
/// Outcomes that are kept, and their bytes.
const KEPT_MAX: usize = 512;
const KEPT_BYTES_MAX: usize = 8 << 20;

/// Checks constraints for one vocabulary.
#[derive(Default)]
pub(super) struct Checker {
    grammars: Option<Grammars>,
    kept: HashMap<(String, bool), Result<Checked, String>>,
    kept_bytes: usize,
}

impl Checker {
    /// What of a constraint an answer can be held to.
    ///
    /// # Errors
    /// Why it cannot be, in words for the caller.
    pub(super) fn check(
        &mut self,
        vocab: Vocab<'_>,
        constraint: &Constraint,
        strict: bool,
    ) -> Result<Checked, String> {
        if let Constraint::Gbnf(source) = constraint
            && gbnf::read(source)? == gbnf::Kind::Other
        {
            check_recursive(vocab, source)?;
            return Ok(whole(constraint));
        }
        let grammars = match &self.grammars {
            Some(grammars) => grammars,
            None => self.grammars.insert(Grammars::of(vocab)?),
        };
        let Constraint::JsonSchema(source) = constraint else {
            grammars.check(constraint)?;
            return Ok(whole(constraint));
        };
        let key = (source.clone(), strict);
        if let Some(known) = self.kept.get(&key) {
            return known.clone();
        }
        let outcome = schema(grammars, source, strict);
        self.kept_bytes += 2 * source.len();
        if self.kept.len() >= KEPT_MAX || self.kept_bytes > KEPT_BYTES_MAX {
            self.kept.clear();
            self.kept_bytes = 2 * source.len();
        }
        self.kept.insert(key, outcome.clone());
        outcome
    }
}

fn whole(constraint: &Constraint) -> Checked {
    Checked { constraint: constraint.clone(), dropped: Vec::new() }
}

/// Finds the strictest form of a schema that answers can be held to.
pub(super) fn schema(grammars: &Grammars, source: &str, strict: bool) -> Result<Checked, String> {
    if strict && source.len() > SOURCE_BYTES_MAX {
        return Err(format!("it has {} bytes; {SOURCE_BYTES_MAX} at most", source.len()));
    }
    let mut schema: Value =
        serde_json::from_str(source).map_err(|error| format!("it is no JSON: {error}"))?;
    if !schema.is_object() {
        return Err("it must be a JSON object".into());
    }
    close(&mut schema);
    let wide = is_too_wide(&schema);
    if wide && strict {
        return Err("an object of it has too many optional properties: 500 at most".into());
    }
    let begun = Instant::now();
    let (mut tried, mut first) = (None, None);
    for level in Level::ALL {
        let too_much = source.len() > SOURCE_BYTES_MAX || begun.elapsed() > STEPS_TIME_MAX;
        if (too_much && level != Level::Any) || (wide && level == Level::Whole) {
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
            Err(reason) if strict => {
                let unsupported = loosen(&schema, Level::Supported).dropped;
                let path = unsupported.first().map(|path| format!("`{path}` cannot be expressed: "));
                return Err(path.unwrap_or_default() + &reason);
            }
            Err(reason) => _ = first.get_or_insert(reason),
        }
        tried = Some(loosened.schema);
    }
    Err(first.unwrap_or_else(|| "it is too large".into()))
}

/// Checks a grammar that llama.cpp's own code computes.
fn check_recursive(vocab: Vocab<'_>, source: &str) -> Result<(), String> {
    let mut grammar = Chain::new(vocab, vec![Link::Grammar(source.to_owned())])?;
    let begun = Instant::now();
    let fits = grammar.keep(vocab.tokens().map(|token| (token, 0.0)));
    if fits.is_empty() {
        return Err("no text fits it".into());
    }
    if begun.elapsed() > GBNF_TOKEN_MAX {
        return Err("it has so many ways to go on that each token would take too long".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
