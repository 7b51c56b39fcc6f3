//! Turns an answer's tokens into text that may be sent: whole characters only, nothing past a stop text.

use crate::dialect::beginning_at_end;
use crate::driver::TokenLogprobs;

/// Assembles one answer. Bytes of unfinished characters, and text that might become a stop text, are held
/// back until they are decided.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Bytes after the last whole character.
    bytes: Vec<u8>,
    /// Text that may be the beginning of a stop text.
    held: String,
    /// Of tokens whose text is held back, all or in part.
    logprobs: Vec<TokenLogprobs>,
    stop: Vec<String>,
}

/// What became of a token's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// This may be sent; it may be empty.
    More(String),
    /// A stop text came: what was before it, and which it was.
    Stopped(String, usize),
}

impl Answer {
    pub(super) fn new(stop: Vec<String>) -> Self {
        Self { stop, ..Self::default() }
    }

    /// Adds what is told of one token; it is told when its text is. Tokens that a stop text takes part of
    /// are left out.
    pub(super) fn note(&mut self, logprobs: Option<TokenLogprobs>) {
        self.logprobs.extend(logprobs);
    }

    /// What may be told of tokens by now.
    pub(super) fn take_logprobs(&mut self) -> Vec<TokenLogprobs> {
        if self.bytes.is_empty() && self.held.is_empty() {
            std::mem::take(&mut self.logprobs)
        } else {
            Vec::new()
        }
    }

    /// Adds one token's bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Text {
        self.bytes.extend_from_slice(bytes);
        let text = self.whole_characters();
        self.held.push_str(&text);
        let stops = self.stop.iter().enumerate().filter(|(_, stop)| !stop.is_empty());
        let first = stops.filter_map(|(index, stop)| Some((self.held.find(stop.as_str())?, index))).min();
        if let Some((at, index)) = first {
            self.held.truncate(at);
            self.logprobs.clear();
            return Text::Stopped(std::mem::take(&mut self.held), index);
        }
        let keep = self.stop.iter().map(|stop| beginning_at_end(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        Text::More(std::mem::replace(&mut self.held, rest))
    }

    /// What was held back, at an end that no stop text made. Bytes that never became a character show as
    /// the replacement character.
    pub(super) fn finish(mut self) -> (String, Vec<TokenLogprobs>) {
        self.held.push_str(&String::from_utf8_lossy(&self.bytes));
        (self.held, self.logprobs)
    }

    fn whole_characters(&mut self) -> String {
        let mut text = String::new();
        loop {
            match std::str::from_utf8(&self.bytes) {
                Ok(whole) => {
                    text.push_str(whole);
                    self.bytes.clear();
                    return text;
                }
                Err(error) => {
                    let (good, rest) = self.bytes.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(good));
                    let Some(bad) = error.error_len() else {
                        self.bytes = rest.to_vec();
                        return text;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    self.bytes = rest[bad..].to_vec();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stop_text_across_tokens_never_shows() {
        let mut answer = Answer::new(vec!["END".into(), "\n\n".into()]);
        assert_eq!(answer.push(b"one E"), Text::More("one ".into()));
        assert_eq!(answer.push(b"N"), Text::More(String::new()));
        assert_eq!(answer.push(b"T\n"), Text::More("ENT".into()));
        assert_eq!(answer.push(b"\nrest"), Text::Stopped(String::new(), 1));
    }

    #[test]
    fn what_is_told_of_a_token_waits_for_its_text() {
        let of = |text: &str| TokenLogprobs {
            chosen: crate::driver::Candidate { id: 0, bytes: text.into(), logprob: -1.0 },
            top: Vec::new(),
        };
        let mut answer = Answer::new(vec!["END".into()]);
        let told = |answer: &mut Answer, text: &str| {
            answer.note(Some(of(text)));
            let _ = answer.push(text.as_bytes());
            answer.take_logprobs().len()
        };
        assert_eq!(told(&mut answer, "one "), 1);
        assert_eq!(told(&mut answer, "E"), 0);
        assert_eq!(told(&mut answer, "N"), 0);
        assert_eq!(told(&mut answer, "T"), 3);
        assert_eq!(told(&mut answer, "E"), 0);
        assert_eq!(told(&mut answer, "ND"), 0);
    }

    #[test]
    fn characters_are_never_split() {
        let mut answer = Answer::new(vec![]);
        let bytes = "é🦉".as_bytes();
        let texts: Vec<Text> = bytes.iter().map(|byte| answer.push(&[*byte])).collect();
        let sent: Vec<&str> =
            texts.iter().map(|text| if let Text::More(text) = text { text.as_str() } else { "?" }).collect();
        assert_eq!(sent, ["", "é", "", "", "", "🦉"]);
        assert_eq!(answer.push(&[0xff, b'a']), Text::More("\u{fffd}a".into()));
        assert_eq!(answer.push(&[0xf0, 0x9f]), Text::More(String::new()));
        assert_eq!(answer.finish().0, "\u{fffd}");
    }

    proptest! {
        #[test]
        fn without_a_stop_text_everything_comes_through(text: String, cut in 1usize..5) {
            let mut answer = Answer::new(vec!["\u{1}never\u{1}".into()]);
            let mut sent = String::new();
            for bytes in text.as_bytes().chunks(cut) {
                match answer.push(bytes) {
                    Text::More(more) => sent.push_str(&more),
                    Text::Stopped(..) => prop_assert!(false),
                }
            }
            sent.push_str(&answer.finish().0);
            prop_assert_eq!(sent, text);
        }

        #[test]
        fn with_a_stop_text_just_what_is_before_it_comes_through(
            text in "[abc]{0,40}", stop in "[abc]{1,4}", cut in 1usize..5,
        ) {
            let mut answer = Answer::new(vec![stop.clone()]);
            let mut sent = String::new();
            let mut stopped = false;
            for bytes in text.as_bytes().chunks(cut) {
                match answer.push(bytes) {
                    Text::More(more) => sent.push_str(&more),
                    Text::Stopped(more, _) => { sent.push_str(&more); stopped = true; break; }
                }
            }
            if !stopped { sent.push_str(&answer.finish().0); }
            prop_assert_eq!(sent.as_str(), text.split(&stop).next().unwrap_or_default());
            prop_assert_eq!(stopped, text.contains(&stop));
        }
    }
}
