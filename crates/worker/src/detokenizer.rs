//! Turns an answer's tokens into text to send: whole characters only, and nothing after a stop text.

use lar_chat_format::partial_match_len;
use lar_inference::TokenLogprobs;

/// Assembles one answer. It buffers the bytes of incomplete characters, and text that might become a stop
/// text.
#[derive(Debug, Default)]
pub(super) struct Detokenizer {
    /// The bytes after the last whole character.
    bytes: Vec<u8>,
    /// Text that may be the start of a stop text.
    pending_text: String,
    /// The logprobs of tokens whose text is buffered, completely or in part.
    logprobs: Vec<TokenLogprobs>,
    stop: Vec<String>,
}

/// The result of a token's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DetokenizeStep {
    /// Text to send; may be empty.
    More(String),
    /// The text before a stop text, and the index of the stop text.
    Stopped(String, usize),
}

impl Detokenizer {
    pub(super) fn new(stop: Vec<String>) -> Self {
        Self { stop, ..Self::default() }
    }

    /// Buffers the logprobs of one token until its text is emitted. Tokens that overlap a stop text are
    /// dropped.
    pub(super) fn add_logprobs(&mut self, logprobs: Option<TokenLogprobs>) {
        self.logprobs.extend(logprobs);
    }

    /// Returns the logprobs of the tokens whose text was emitted.
    pub(super) fn take_logprobs(&mut self) -> Vec<TokenLogprobs> {
        if self.bytes.is_empty() && self.pending_text.is_empty() {
            std::mem::take(&mut self.logprobs)
        } else {
            Vec::new()
        }
    }

    /// Adds the bytes of one token.
    pub(super) fn push(&mut self, bytes: &[u8]) -> DetokenizeStep {
        self.bytes.extend_from_slice(bytes);
        let text = self.whole_characters();
        self.pending_text.push_str(&text);
        let stops = self.stop.iter().enumerate().filter(|(_, stop)| !stop.is_empty());
        let first =
            stops.filter_map(|(index, stop)| Some((self.pending_text.find(stop.as_str())?, index))).min();
        if let Some((at, index)) = first {
            self.pending_text.truncate(at);
            self.logprobs.clear();
            return DetokenizeStep::Stopped(std::mem::take(&mut self.pending_text), index);
        }
        let keep =
            self.stop.iter().map(|stop| partial_match_len(&self.pending_text, stop)).max().unwrap_or(0);
        let rest = self.pending_text.split_off(self.pending_text.len() - keep);
        DetokenizeStep::More(std::mem::replace(&mut self.pending_text, rest))
    }

    /// Returns the buffered text at an end without a stop text. Incomplete characters become the replacement
    /// character.
    pub(super) fn finish(mut self) -> (String, Vec<TokenLogprobs>) {
        self.pending_text.push_str(&String::from_utf8_lossy(&self.bytes));
        (self.pending_text, self.logprobs)
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
    fn a_stop_text_across_tokens_is_never_emitted() {
        let mut detokenizer = Detokenizer::new(vec!["END".into(), "\n\n".into()]);
        assert_eq!(detokenizer.push(b"one E"), DetokenizeStep::More("one ".into()));
        assert_eq!(detokenizer.push(b"N"), DetokenizeStep::More(String::new()));
        assert_eq!(detokenizer.push(b"T\n"), DetokenizeStep::More("ENT".into()));
        assert_eq!(detokenizer.push(b"\nrest"), DetokenizeStep::Stopped(String::new(), 1));
    }

    #[test]
    fn logprobs_wait_for_the_text_of_their_token() {
        let of = |text: &str| TokenLogprobs {
            chosen: lar_inference::Candidate { id: 0, bytes: text.into(), logprob: -1.0 },
            top: Vec::new(),
        };
        let mut detokenizer = Detokenizer::new(vec!["END".into()]);
        let reported = |detokenizer: &mut Detokenizer, text: &str| {
            detokenizer.add_logprobs(Some(of(text)));
            let _ = detokenizer.push(text.as_bytes());
            detokenizer.take_logprobs().len()
        };
        assert_eq!(reported(&mut detokenizer, "one "), 1);
        assert_eq!(reported(&mut detokenizer, "E"), 0);
        assert_eq!(reported(&mut detokenizer, "N"), 0);
        assert_eq!(reported(&mut detokenizer, "T"), 3);
        assert_eq!(reported(&mut detokenizer, "E"), 0);
        assert_eq!(reported(&mut detokenizer, "ND"), 0);
    }

    #[test]
    fn characters_are_never_split() {
        let mut detokenizer = Detokenizer::new(vec![]);
        let bytes = "é🦉".as_bytes();
        let texts: Vec<DetokenizeStep> = bytes.iter().map(|byte| detokenizer.push(&[*byte])).collect();
        let sent: Vec<&str> = texts
            .iter()
            .map(|text| if let DetokenizeStep::More(text) = text { text.as_str() } else { "?" })
            .collect();
        assert_eq!(sent, ["", "é", "", "", "", "🦉"]);
        assert_eq!(detokenizer.push(&[0xff, b'a']), DetokenizeStep::More("\u{fffd}a".into()));
        assert_eq!(detokenizer.push(&[0xf0, 0x9f]), DetokenizeStep::More(String::new()));
        assert_eq!(detokenizer.finish().0, "\u{fffd}");
    }

    proptest! {
        #[test]
        fn without_a_stop_text_all_text_is_emitted(text: String, cut in 1usize..5) {
            let mut detokenizer = Detokenizer::new(vec!["\u{1}never\u{1}".into()]);
            let mut sent = String::new();
            for bytes in text.as_bytes().chunks(cut) {
                match detokenizer.push(bytes) {
                    DetokenizeStep::More(more) => sent.push_str(&more),
                    DetokenizeStep::Stopped(..) => prop_assert!(false),
                }
            }
            sent.push_str(&detokenizer.finish().0);
            prop_assert_eq!(sent, text);
        }

        #[test]
        fn only_text_before_a_stop_text_is_emitted(
            text in "[abc]{0,40}", stop in "[abc]{1,4}", cut in 1usize..5,
        ) {
            let mut detokenizer = Detokenizer::new(vec![stop.clone()]);
            let mut sent = String::new();
            let mut stopped = false;
            for bytes in text.as_bytes().chunks(cut) {
                match detokenizer.push(bytes) {
                    DetokenizeStep::More(more) => sent.push_str(&more),
                    DetokenizeStep::Stopped(more, _) => { sent.push_str(&more); stopped = true; break; }
                }
            }
            if !stopped { sent.push_str(&detokenizer.finish().0); }
            prop_assert_eq!(sent.as_str(), text.split(&stop).next().unwrap_or_default());
            prop_assert_eq!(stopped, text.contains(&stop));
        }
    }
}
