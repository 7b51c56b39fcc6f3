//! Letters and mails within a message: from the salutation to the signature.

use std::ops::Range;

use super::lines::{Line, LineKind};
use super::view::View;
use crate::requests::languages::List;

/// The most characters of a salutation, a sign-off or a line of a signature.
const SHORT_LINE_CHARS: usize = 60;
/// The most words in a line of a signature.
const NAME_WORDS_MAX: usize = 5;
/// The most lines of a signature.
const SIGNATURE_LINES_MAX: usize = 5;

/// A letter in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    /// The lines of the letter.
    pub(super) lines: Range<usize>,
    /// Whether a sign-off ends it. If not, it lasts to the end of the message.
    pub(super) is_signed: bool,
}

/// Finds the first letter in a message.
///
/// A letter has a formal salutation, or a sign-off with a name. A mere "Hi" on the first line is how people
/// greet an assistant.
pub(super) fn letter(view: View<'_>) -> Option<Letter> {
    let View { folded, lines, .. } = view;
    let is = |line: &Line, list: List| {
        let part = view.part(line.at.clone());
        line.kind == LineKind::Prose
            && part.folded.trim().chars().count() <= SHORT_LINE_CHARS
            && part.starts_with(list)
    };
    let is_salutation = |at: usize, list: List| {
        is(&lines[at], list) && is_addressed(folded[lines[at].at.clone()].trim(), lines.get(at + 1))
    };
    let formal = (0..lines.len()).find(|at| is_salutation(*at, List::Salutation));
    let informal = (0..lines.len()).find(|at| is_salutation(*at, List::Greeting));
    let greeted = formal.or(informal);
    let signs = |at: usize| {
        is(&lines[at], List::SignOff)
            || (greeted.is_some_and(|start| start < at) && is(&lines[at], List::Thanks))
    };
    let sign_off = (0..lines.len()).rev().find(|at| signs(*at) && has_signature(folded, lines, *at));
    let later_greeting = informal.filter(|at| lines[..*at].iter().any(|line| line.kind == LineKind::Prose));
    match (formal, sign_off) {
        (_, Some(end)) => {
            let start = greeted.filter(|start| start < &end);
            let lines = start.unwrap_or_else(|| body_start(lines, end))..signature_end(lines, end);
            Some(Letter { lines, is_signed: true })
        }
        (Some(start), None) => Some(Letter { lines: start..lines.len(), is_signed: false }),
        (None, None) => later_greeting.map(|start| Letter { lines: start..lines.len(), is_signed: false }),
    }
}

/// Returns whether a salutation is a line of its own: it ends with a mark, or a blank line follows.
fn is_addressed(text: &str, next: Option<&Line>) -> bool {
    let goes_on = next.is_some_and(|next| next.kind != LineKind::Blank);
    next.is_some()
        && (text.ends_with([',', '!', ':', '，', '：', '、', '.']) || !goes_on || !text.contains(' '))
        && !text.ends_with(['?', '？'])
}

/// Returns whether a name follows a sign-off, on its line or below.
fn has_signature(folded: &str, lines: &[Line], at: usize) -> bool {
    let text = folded[lines[at].at.clone()].trim();
    let words = |text: &str| text.split_whitespace().count();
    let is_name = |line: &Line| {
        let name = folded[line.at.clone()].trim();
        line.kind == LineKind::Prose
            && words(name) <= NAME_WORDS_MAX
            && !name.ends_with(['.', '?', '!', ':', '。', '？'])
    };
    let below = lines[at + 1..].iter().find(|line| line.kind != LineKind::Blank);
    let has_name_beside =
        text.contains([',', '，']) && !text.ends_with([',', '，']) && words(text) <= NAME_WORDS_MAX;
    has_name_beside || below.is_some_and(is_name)
}

/// Returns the first line after the signature that follows a sign-off.
fn signature_end(lines: &[Line], sign_off: usize) -> usize {
    let mut at = sign_off + 1;
    // A blank line may stand between the sign-off and the name, if nothing stands beside the sign-off.
    if lines.get(at).is_some_and(|line| line.kind == LineKind::Blank)
        && lines.get(at + 2).is_none_or(|line| line.kind == LineKind::Blank)
        && lines.get(at + 1).is_some_and(|line| line.at.len() <= SHORT_LINE_CHARS / 2)
    {
        at += 1;
    }
    let end = (at + SIGNATURE_LINES_MAX).min(lines.len());
    (at..end).find(|at| lines[*at].kind == LineKind::Blank).unwrap_or(end)
}

/// Returns the first line of a letter without a salutation: the second paragraph, if there are two or more.
fn body_start(lines: &[Line], sign_off: usize) -> usize {
    let blanks: Vec<usize> = (0..sign_off).filter(|at| lines[*at].kind == LineKind::Blank).collect();
    match blanks.as_slice() {
        [first, _, ..] => first + 1,
        _ => 0,
    }
}
