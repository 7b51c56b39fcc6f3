//! Changes that the user reports in passing: "since I sold the car, …", "Tom left us in May".
//!
//! A clause reports a change if it has a verb of change and no word of doubt, wish or denial, and is no question.
//! The change is the user's own if the clause says so. Otherwise, the words before the verb name who changed.

use std::ops::Range;

use super::clean::Cleaner;
use super::intent::ReportedChange;
use super::languages::{List, PhraseHit};
use super::statements::{QUESTION_MARKS, starts};
use crate::own_words::{MASK, Sentence};
use crate::time_expressions::is_time_word;

/// The most bytes of a sentence that is read.
const SENTENCE_BYTES_MAX: usize = 400;
/// The words of the home and of the job by which memories about them are found.
const HOME_WORD: &str = "address";
const JOB_WORD: &str = "job";
/// The lists of verbs that report a change by themselves.
const VERBS: [List; 5] = [List::Changed, List::ChangedOwn, List::NoLonger, List::MovedHome, List::NewJob];

/// Returns the change that a range of a sentence reports, with the text that states it.
pub(super) fn change(
    message: &str,
    sentence: &Sentence,
    folded: &str,
    at: Range<usize>,
) -> Option<(String, ReportedChange)> {
    let part = &folded[at.clone()];
    if part.len() > SENTENCE_BYTES_MAX || part.contains(MASK) {
        return None;
    }
    let reader = ClauseReader { message, sentence, folded };
    let clauses = reader.clauses(&at);
    let asks = part.trim_end().ends_with(QUESTION_MARKS);
    let found = clauses.iter().enumerate().find_map(|(index, clause)| {
        let is_last = index + 1 == clauses.len();
        let verb = reader.verb(clause).filter(|_| !reader.is_uncertain(&clauses, clause))?;
        let is_question = reader.asks(clause) || (asks && is_last && index == 0 && !verb.is_own);
        (!is_question).then_some((clause.clone(), verb))
    });
    let (clause, verb) = found?;
    let text = Cleaner::of_guess(message, sentence)?.statement(clause.clone())?;
    let subject = if verb.is_own { None } else { Some(reader.words(clause.start..verb.start)) };
    if subject.as_ref().is_some_and(|subject| subject.trim().is_empty()) {
        return None;
    }
    let mut about = vec![reader.words(clause.clone())];
    if let Some(word) = verb.aspect_word {
        about[0] = format!("{} {word}", about[0]);
    }
    if verb.is_own {
        about.extend(
            clauses.iter().filter(|other| **other != clause).map(|other| reader.words(other.clone())),
        );
    }
    Some((text, ReportedChange { subject, about }))
}

/// A verb of change in a clause.
struct ChangeVerb {
    start: usize,
    is_own: bool,
    /// The word of the aspect of life that it changes.
    aspect_word: Option<&'static str>,
}

/// Reads the clauses of a sentence. Ranges are bytes of the sentence.
struct ClauseReader<'a> {
    message: &'a str,
    sentence: &'a Sentence,
    folded: &'a str,
}

impl ClauseReader<'_> {
    /// Returns the clauses in a range: the parts between marks, and those that a word such as "since" starts.
    fn clauses(&self, at: &Range<usize>) -> Vec<Range<usize>> {
        let mut starts = vec![at.start];
        for (index, letter) in self.folded[at.clone()].char_indices() {
            let after = at.start + index + letter.len_utf8();
            let is_pause = match letter {
                '-' => self.folded[after..].starts_with(' '),
                '.' | ':' => self.folded[after..].starts_with(char::is_whitespace),
                _ => ",;–—()…?!，、；：。！？".contains(letter),
            };
            starts.extend(is_pause.then_some(after));
        }
        starts.extend(self.hits(at, &[List::Since]).map(|hit| self.start_of(hit)));
        starts.push(at.end);
        starts.sort_unstable();
        starts.dedup();
        let ranges = starts.windows(2).map(|pair| pair[0]..pair[1]);
        ranges.filter(|range| self.folded[range.clone()].contains(char::is_alphanumeric)).collect()
    }

    /// Returns the first verb of change in a clause.
    fn verb(&self, clause: &Range<usize>) -> Option<ChangeVerb> {
        let has = |list: List| self.hits(clause, &[list]).next().is_some();
        let denies = has(List::Negation);
        let is_new = has(List::New) && has(List::Acquired);
        let mut verbs: Vec<&PhraseHit> = self.hits(clause, &VERBS).collect();
        verbs.extend(self.hits(clause, &[List::NoMore]).filter(|_| denies));
        verbs.extend(self.hits(clause, &[List::Acquired]).filter(|_| is_new));
        // "Now that we are on the ground floor": the clause says what is new.
        let is_since = |hit: &&PhraseHit| self.is_filled(clause.start..self.start_of(hit));
        verbs.extend(
            self.hits(clause, &[List::NowThat]).filter(|hit| has(List::FirstPerson) && is_since(hit)),
        );
        let first = verbs.iter().min_by_key(|hit| hit.start)?;
        let aspect_word = match () {
            () if has(List::NewJob) => Some(JOB_WORD),
            () if has(List::MovedHome) => Some(HOME_WORD),
            () => None,
        };
        let is_only_new = verbs.iter().all(|hit| matches!(hit.list, List::MovedHome | List::NewJob));
        let is_real = !is_only_new || is_new || verbs.len() > 1 || has(List::FirstPerson);
        let is_own = has(List::ChangedOwn) || has(List::FirstPerson);
        is_real.then_some(ChangeVerb { start: self.start_of(first), is_own, aspect_word })
    }

    /// Returns whether a range has no letters.
    fn is_filled(&self, range: Range<usize>) -> bool {
        !self.folded[range].contains(char::is_alphanumeric)
    }

    /// Returns whether a word of doubt, wish or another's speech is in a clause or before it, or the clause denies
    /// the change.
    fn is_uncertain(&self, clauses: &[Range<usize>], clause: &Range<usize>) -> bool {
        let doubts =
            |range: &Range<usize>| self.hits(range, &[List::Unsure, List::Reported]).next().is_some();
        let before = clauses.iter().take_while(|before| before.start < clause.start);
        // "What should I cook since I quit meat?": the question says nothing about the change.
        let is_doubted = before.filter(|before| !self.asks(before)).any(doubts) || doubts(clause);
        let has = |list: List| self.hits(clause, &[list]).next().is_some();
        let is_denied = has(List::Negation) && !has(List::NoLonger) && !has(List::NoMore);
        is_doubted || is_denied
    }

    /// Returns whether a clause starts a question or a task.
    fn asks(&self, clause: &Range<usize>) -> bool {
        let text = self.folded[clause.clone()].trim_start();
        // "… la moto, que la vendí": a relative clause.
        let relative = ["que ", "che "].iter().find_map(|word| text.strip_prefix(word));
        starts(self.sentence, relative.filter(|_| clause.start > 0).unwrap_or(text), List::Question)
    }

    /// Returns the words of a range without verbs of change, words for the user and words for times.
    fn words(&self, range: Range<usize>) -> String {
        let offset = self.sentence.at.start;
        let mut text = self.message[offset + range.start..offset + range.end].to_owned();
        let lists = [
            List::Changed,
            List::ChangedOwn,
            List::NoLonger,
            List::NoMore,
            List::FirstPerson,
            List::Since,
            List::New,
        ];
        for hit in self.hits(&range, &lists) {
            let at = self.start_of(hit) - range.start..hit.end - offset - range.start;
            // "Went vegan": only the verb is left out.
            let verb_end = text[at.clone()].find(' ').map_or(at.end, |end| at.start + end);
            let at = at.start..verb_end;
            text.replace_range(at.clone(), &" ".repeat(at.len()));
        }
        let words =
            text.split(|letter: char| letter.is_whitespace() || ",;:.!?()\"，、；：。！？".contains(letter));
        let is_subject = |word: &&str| !word.is_empty() && !is_time_word(word);
        words.filter(is_subject).collect::<Vec<_>>().join(" ")
    }

    /// Returns the words of some lists in a range, in the languages of the sentence.
    fn hits<'s>(
        &'s self,
        range: &Range<usize>,
        lists: &'s [List],
    ) -> impl Iterator<Item = &'s PhraseHit> + use<'s> {
        let offset = self.sentence.at.start;
        let (start, end) = (offset + range.start, offset + range.end);
        let language = self.sentence.languages;
        self.sentence.hits.iter().filter(move |hit| {
            start <= hit.start
                && hit.end <= end
                && language.contains(hit.language)
                && lists.contains(&hit.list)
        })
    }

    fn start_of(&self, hit: &PhraseHit) -> usize {
        hit.start - self.sentence.at.start
    }
}
