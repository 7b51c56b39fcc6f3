//! The texts of special tokens: which of them are markup, and where they occur in a text.

use aho_corasick::{AhoCorasick, Input, MatchKind};

use crate::llama_cpp::TokenKind;

/// User-defined tokens that are markup even if the template does not write them: Lar writes them for models
/// whose template does not support tools.
const MARKS: [&str; 6] =
    ["<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"];

/// A token that is found by its text.
pub(super) struct SpecialToken {
    pub(super) token: u32,
    pub(super) text: String,
    pub(super) kind: TokenKind,
    pub(super) strips_left: bool,
    pub(super) strips_right: bool,
}

/// Finds the texts of some special tokens, the longest if several start at one position.
pub(super) struct Finder {
    automaton: Option<AhoCorasick>,
    /// For each pattern, its index in `special`.
    special: Vec<usize>,
    pub(super) longest: usize,
}

/// An occurrence of a special token's text.
#[derive(Clone, Copy)]
pub(super) struct SpecialMatch {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) special: usize,
}

impl SpecialToken {
    /// Returns whether content must not contain it. That is a control token, or a user-defined token that the
    /// template or Lar writes as markup, or that looks like markup. Other user-defined tokens are runs of
    /// whitespace or HTML tags.
    pub(super) fn is_markup(&self, template: &str) -> bool {
        let text = self.text.as_str();
        let looks = |open: &str, close: &str| text.starts_with(open) && text.ends_with(close);
        let blank = text.chars().all(|character| character.is_whitespace() || character == '\u{2581}');
        // A single character cannot be broken.
        let breaks = text.chars().nth(1).is_some() && !blank;
        let named = || template.contains(text) || MARKS.contains(&text);
        breaks && (self.kind == TokenKind::Control || named() || looks("<|", "|>") || looks("<｜", "｜>"))
    }
}

impl Finder {
    pub(super) fn new<'a>(texts: impl Iterator<Item = (usize, &'a str)>) -> Self {
        let (special, texts): (Vec<usize>, Vec<&str>) = texts.filter(|(_, text)| !text.is_empty()).unzip();
        let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&texts).ok();
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        Self { automaton: automaton.filter(|_| !special.is_empty()), special, longest }
    }

    pub(super) fn find(&self, text: &str, range: std::ops::Range<usize>) -> Option<SpecialMatch> {
        let found = self.automaton.as_ref()?.find(Input::new(text).range(range))?;
        let special = self.special[found.pattern().as_usize()];
        Some(SpecialMatch { start: found.start(), end: found.end(), special })
    }
}
