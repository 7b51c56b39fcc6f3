//! The exceptions of a request to forget: "everything but the hotel", "keep the rest".

use std::ops::Range;

use super::intent::Spared;
use super::languages::List;
use super::parser::{Current, IntentParser};
use super::parts::PartsReader;

/// The most exceptions of a request.
const SPARED_MAX: usize = 4;

impl<'a> IntentParser<'a> {
    /// Returns what a request to forget leaves out, in its sentence from a position on and in the next sentence.
    pub(super) fn spared(&self, current: Current<'a>, from: usize) -> Vec<Spared> {
        let reader = PartsReader { message: self.message, current };
        let mut found = spared_in(&reader, &(from..current.folded.len()));
        let next = self
            .current(current.index + 1)
            .filter(|next| next.sentence.paragraph == current.sentence.paragraph && !next.is_question());
        if let Some(next) = next {
            let reader = PartsReader { message: self.message, current: next };
            found.extend(spared_in(&reader, &(0..next.folded.len())));
        }
        found.truncate(SPARED_MAX);
        found
    }

    /// Returns where a word such as "except" stands in a range, after some other words.
    pub(super) fn exception_start(&self, current: Current<'a>, at: &Range<usize>) -> Option<usize> {
        let reader = PartsReader { message: self.message, current };
        let except = reader.hits(at, &[List::Except]).map(|hit| reader.range(hit).start).min()?;
        current.folded[at.start..except].contains(char::is_alphanumeric).then_some(except)
    }
}

/// Returns what the clauses in a range leave out.
fn spared_in(reader: &PartsReader<'_>, range: &Range<usize>) -> Vec<Spared> {
    let excluded = reader.hits(range, &[List::Except]).map(|hit| reader.range(hit)).next();
    let mut found = Vec::new();
    if let Some(except) = excluded {
        let clauses = reader.clauses();
        let clause = clauses.iter().find(|clause| clause.contains(&except.start));
        let clause = clause.map_or(range.clone(), |clause| clause.start.max(range.start)..clause.end);
        // "… außer dem Hotel", "… das Hotel natürlich nicht"
        let after = subject(reader, except.end..clause.end);
        let next =
            || clauses.iter().find(|next| next.start >= clause.end).map(|next| subject(reader, next.clone()));
        let before = || subject(reader, clause.start..except.start);
        let subject = [after, before(), next().unwrap_or_default()].into_iter().find(|text| !text.is_empty());
        found.push(Spared { subject: subject.unwrap_or_default(), is_excluded: true });
    }
    for clause in reader.clauses() {
        let clause = clause.start.max(range.start)..clause.end.min(range.end);
        // "No need to hold on to …" spares nothing.
        let is_verb = |spare: &Range<usize>| {
            let drops = reader.hits(&clause, &[List::Drop]).map(|hit| reader.range(hit));
            drops.into_iter().any(|drop| drop.start <= spare.start && spare.end <= drop.end)
        };
        let mut spares = reader.hits(&clause, &[List::Spare]).map(|hit| reader.range(hit));
        let Some(spare) = spares.find(|spare| !is_verb(spare)) else { continue };
        let after = subject(reader, spare.end..clause.end);
        // "Das Hotel bleibt": but in "delete the flight and keep the rest", what stands before is deleted.
        let joined = reader.hits(&(clause.start..spare.start), &[List::And]).map(|hit| reader.range(hit).end);
        let before = joined.max().unwrap_or(clause.start)..spare.start;
        let is_request = reader.has(&before, &[List::Drop, List::DropLast]);
        let before = Some(before).filter(|_| after.is_empty() && !is_request);
        let subject = before.map_or(after, |before| subject(reader, before));
        if !subject.is_empty() {
            found.push(Spared { subject, is_excluded: false });
        }
    }
    found
}

fn subject(reader: &PartsReader<'_>, range: Range<usize>) -> String {
    let lists = [
        List::Drop,
        List::DropLast,
        List::Except,
        List::Spare,
        List::Entry,
        List::Entries,
        List::Everything,
        List::About,
        List::Stored,
        List::Filler,
        List::Polite,
        List::Negation,
    ];
    let text = reader.without(range, &lists);
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").trim_matches(|letter: char| !letter.is_alphanumeric()).to_owned()
}
