//! The markup of one chat template: the special tokens that only the template may write.

use lar_chat_format::template::guard::Markup;

use super::special::{Finder, SpecialToken};
use crate::llama_cpp::{TokenKind, Vocab};

/// The tokens that the markup of one template consists of.
pub(super) struct TemplateMarkup {
    /// The template's source.
    pub(super) template: String,
    /// The first characters and words of the special tokens that the template writes.
    pub(super) markup: Markup,
    /// Finds the template's markup.
    pub(super) written: Finder,
    /// Finds the user-defined tokens in plain text.
    pub(super) plain: Finder,
    /// For each special token, whether it is markup.
    pub(super) breaks: Vec<bool>,
    /// For each token, whether plain text must not contain it.
    pub(super) forbidden: Vec<bool>,
}

impl TemplateMarkup {
    /// Finds the markup of a template among the special tokens of a vocabulary.
    pub(super) fn of(template: &str, vocab: Vocab<'_>, special: &[SpecialToken]) -> Self {
        let breaks: Vec<bool> = special.iter().map(|special| special.is_markup(template)).collect();
        let texts = || special.iter().map(|special| special.text.as_str()).enumerate();
        let user_defined = |(at, _): &(usize, &str)| special[*at].kind == TokenKind::UserDefined;
        let mut forbidden = vec![false; vocab.len() as usize];
        for (special, breaks) in special.iter().zip(&breaks) {
            let control = special.kind == TokenKind::Control && vocab.is_control(special.token);
            forbidden[special.token as usize] =
                control || (special.kind == TokenKind::UserDefined && *breaks);
        }
        Self {
            template: template.to_owned(),
            markup: Markup::new(texts().filter(|(at, _)| breaks[*at]).map(|(_, text)| text)),
            written: Finder::new(texts().filter(|(at, _)| breaks[*at])),
            plain: Finder::new(texts().filter(user_defined)),
            breaks,
            forbidden,
        }
    }
}
