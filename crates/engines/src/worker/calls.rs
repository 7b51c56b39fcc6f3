//! Holds the calls in an answer that is otherwise free: where one begins the name is held to those there are, and
//! then the arguments to what that tool takes.
//!
//! What a call looks like shows in the text, so the marks are looked for there, token by token. Where a grammar cannot be
//! had, or the model leaves the way that it was taught, the answer goes on freely.

use std::sync::Arc;

use llguidance::Matcher;

use super::constraint::Grammars;
use super::llama_cpp::Vocab;
use crate::driver::{Constraint, Held, HeldCalls};

/// What is asked of a vocabulary.
pub(super) trait Words {
    /// The text of a token, control tokens included.
    fn bytes(&self, token: u32) -> Vec<u8>;
    /// Whether it ends an answer.
    fn ends(&self, token: u32) -> bool;
    /// All there are.
    fn all(&self) -> impl Iterator<Item = u32>;
}

impl Words for Vocab<'_> {
    fn bytes(&self, token: u32) -> Vec<u8> {
        Vocab::bytes(*self, token, true)
    }

    fn ends(&self, token: u32) -> bool {
        Vocab::ends(*self, token)
    }

    fn all(&self) -> impl Iterator<Item = u32> {
        self.tokens()
    }
}

/// What is known of an answer's calls so far.
pub(super) struct Calls {
    rules: HeldCalls,
    grammars: Arc<Grammars>,
    /// The end of what came: as much as the longest mark, and more.
    text: Vec<u8>,
    /// All of what came, in bytes.
    came: usize,
    /// The longest mark, in bytes.
    reach: usize,
    thinking: bool,
    /// A call began, and its arguments did not yet.
    called: bool,
    hold: Option<Hold>,
}

struct Hold {
    matcher: Matcher,
    /// What may come once what was held is whole.
    next: Vec<String>,
}

impl Calls {
    pub(super) fn new(rules: &HeldCalls, grammars: Arc<Grammars>) -> Self {
        let thought = rules.thought.iter().flat_map(|(start, end)| [start.len(), end.len()]);
        let marks = rules.names.iter().chain(&rules.arguments).flat_map(|held| &held.after).map(String::len);
        Self {
            reach: marks.chain(thought).max().unwrap_or(0),
            thinking: rules.thinking,
            rules: rules.clone(),
            grammars,
            text: Vec::new(),
            came: 0,
            called: false,
            hold: None,
        }
    }

    /// The tokens that may come next; `None` where any may.
    pub(super) fn allowed(&mut self, words: &impl Words) -> Option<Vec<u32>> {
        let tokens = self.hold.as_mut().and_then(|hold| hold.allowed(words));
        if tokens.is_none() {
            self.hold = None;
        }
        tokens
    }

    /// Takes the token that was chosen in.
    pub(super) fn take(&mut self, words: &impl Words, token: u32) {
        if self.hold.as_mut().is_some_and(|hold| !hold.take(&[token])) {
            self.hold = None;
        }
        let bytes = words.bytes(token);
        for (at, byte) in bytes.iter().enumerate() {
            self.text.push(*byte);
            self.came += 1;
            self.look(&bytes[at + 1..]);
        }
        if self.text.len() > 4 * self.reach {
            self.text.drain(..self.text.len() - self.reach);
        }
    }

    /// Looks whether a mark ends here; `rest` is what came behind it in the same token.
    fn look(&mut self, rest: &[u8]) {
        if let Some((start, end)) = &self.rules.thought {
            let mark = if self.thinking { end } else { start };
            if self.text.ends_with(mark.as_bytes()) {
                self.thinking = !self.thinking;
                self.hold = None;
                return;
            }
        }
        if self.thinking {
            return;
        }
        let Some((held, named)) = self.begun() else { return };
        let (constraint, next) = (Constraint::Lark(held.lark.clone()), held.next.clone());
        self.called = !named;
        self.hold = self.grammars.start(&constraint).ok().and_then(|matcher| {
            let rest = matcher.tok_env().ok()?.tokenize_bytes(rest);
            let mut hold = Hold { matcher, next };
            hold.take(&rest).then_some(hold)
        });
    }

    /// What begins here, and whether it is the arguments of a call whose name is known.
    fn begun(&self) -> Option<(&Held, bool)> {
        let arguments = self.called.then(|| self.longest(&self.rules.arguments)).flatten();
        let names = || self.longest(&self.rules.names);
        arguments.map(|held| (held, true)).or_else(|| names().map(|held| (held, false)))
    }

    /// The one whose mark ends here; the longest, since one tool's name may end as another's.
    fn longest<'a>(&self, rules: &'a [Held]) -> Option<&'a Held> {
        let whole =
            |mark: &str| self.came == self.text.len() && self.text.trim_ascii_start() == mark.as_bytes();
        let mark = |held: &Held| {
            let here = held.after.iter().filter(|mark| self.text.ends_with(mark.as_bytes()));
            here.filter(|mark| !held.at_start || whole(mark)).map(String::len).max()
        };
        let found = rules.iter().filter_map(|held| Some((mark(held)?, held)));
        found.max_by_key(|(length, _)| *length).map(|(_, held)| held)
    }
}

impl Hold {
    /// The tokens that may come; `None` where it can hold nothing any more.
    fn allowed(&mut self, words: &impl Words) -> Option<Vec<u32>> {
        let mask = self.matcher.compute_mask_or_eos().ok()?;
        let mut tokens = Vec::new();
        mask.iter_set_entries(|id| tokens.extend(u32::try_from(id)));
        tokens.retain(|token| !words.ends(*token));
        if self.matcher.is_accepting().ok()? {
            tokens.extend(words.all().filter(|token| self.leads_on(&words.bytes(*token))));
        }
        (!tokens.is_empty()).then_some(tokens)
    }

    /// Whether a token is what may come next, or the beginning of it.
    fn leads_on(&self, token: &[u8]) -> bool {
        let begins = |next: &String| token.starts_with(next.as_bytes()) || next.as_bytes().starts_with(token);
        !token.is_empty() && self.next.iter().any(begins)
    }

    /// Takes tokens in; false where it holds what follows no longer.
    fn take(&mut self, tokens: &[u32]) -> bool {
        let fit = self.matcher.try_consume_tokens(tokens).is_ok_and(|taken| taken == tokens.len());
        fit && (!self.next.is_empty() || self.matcher.is_accepting().is_ok_and(|whole| !whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Dialect, tests::families};
    use crate::driver::{Chat, Tool};

    /// Every byte is a token; one more ends an answer.
    struct Bytes;

    impl Words for Bytes {
        fn bytes(&self, token: u32) -> Vec<u8> {
            u8::try_from(token).into_iter().collect()
        }

        fn ends(&self, token: u32) -> bool {
            token > 255
        }

        fn all(&self) -> impl Iterator<Item = u32> {
            0..=256
        }
    }

    fn calls(template: &str, rendered: &str) -> Calls {
        let schema = r#"{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}},"required":["city"]}"#;
        let tool = |name: &str| Tool { name: name.into(), description: None, parameters: schema.into() };
        let chat =
            Chat { tools: vec![tool("weather"), tool("weather_week"), tool("week")], ..Chat::default() };
        let reading = Dialect::of(template).reading(&chat, rendered);
        let Some(Constraint::Calls(rules)) = reading.constraint else { panic!("{template} holds nothing") };
        Calls::new(&rules, Arc::new(Grammars::of_bytes().unwrap()))
    }

    /// How many bytes of an answer were held; the first that may not come is the error.
    fn follow(template: &str, rendered: &str, answer: &str) -> Result<usize, usize> {
        let mut calls = calls(template, rendered);
        let mut held = 0;
        for (at, byte) in answer.bytes().enumerate() {
            if let Some(allowed) = calls.allowed(&Bytes) {
                held += 1;
                if !allowed.contains(&u32::from(byte)) {
                    return Err(at);
                }
                assert!(!allowed.contains(&256), "an answer ends in no call");
            }
            calls.take(&Bytes, u32::from(byte));
        }
        Ok(held)
    }

    #[test]
    fn every_way_of_calling_is_held_to_the_tools_there_are() {
        let mut held_in_json = 0;
        for (template, answer, _) in families() {
            let held = follow(template, "", &answer);
            // The name comes last there, and a string in the place of an object.
            if answer.contains("\"name\": \"weather\"}<") || answer.contains("\\") {
                assert!(held.is_err(), "{answer}");
                continue;
            }
            assert!(held.is_ok_and(|held| held >= "weather".len()), "{answer}: {held:?}");
            let other = answer.replacen("weather", "weatherman", 1);
            let at = answer.find("weather").unwrap() + "weather".len();
            assert_eq!(follow(template, "", &other), Err(at), "{other}");
            if let Some(at) = answer.find("{\"city\": ") {
                let astray = answer.replacen("{\"city\": ", "{\"town\": ", 1);
                assert_eq!(
                    follow(template, "", &astray),
                    Err(at + 2),
                    "arguments in JSON are held, too: {astray}"
                );
                held_in_json += 1;
            }
            let longer = answer.replacen("weather", "weather_week", 1);
            assert!(follow(template, "", &longer).is_ok(), "{longer}");
        }
        assert!(held_in_json > 10, "{held_in_json}");
    }

    #[test]
    fn arguments_are_held_to_the_tool_s_own() {
        let call = |arguments: &str| {
            let object = format!("{{\"name\": \"weather\", \"arguments\": {arguments}}}");
            follow("{{ tools }}<tool_call>", "", &format!("So.<tool_call>\n{object}\n</tool_call>"))
        };
        assert!(call("{\"city\": \"Oslo\", \"days\": 2}").is_ok());
        for wrong in ["{\"town\": \"Oslo\"}", "{\"city\": 2}", "{}", "\"Oslo\""] {
            assert!(call(wrong).is_err(), "{wrong}");
        }
        let harmony = "{{ tools }}<|channel|>analysis<|message|> functions.";
        let call = " to=functions.week<|channel|>commentary json<|message|>{\"town\"";
        assert_eq!(follow(harmony, "", call), Err(call.len() - "town\"".len()));
    }

    #[test]
    fn what_is_thought_or_said_is_free() {
        let template = "<think></think>{{ tools }}<tool_call>";
        let thought = "A <tool_call>{\"name\": \"x\"}</tool_call>, then.</think>\n";
        assert_eq!(follow(template, "<think>", thought), Ok(0));
        let call = "<tool_call>\n{\"name\": \"x";
        assert_eq!(
            follow(template, "<think>", &format!("{thought}{call}")),
            Err((thought.to_owned() + call).len() - 1)
        );
        assert_eq!(follow(template, "", "Say {\"name\": \"x\", \"arguments\": 2} or < tool_call>."), Ok(0));
        let llama = "{{ tools }}<|python_tag|>";
        assert_eq!(follow(llama, "", "An object: {\"name\": \"Ada\"}"), Ok(0));
        assert!(follow(llama, "", "\n{\"name\": \"Ada\"}").is_err());
    }

    #[test]
    fn a_token_may_hold_the_end_of_a_mark_and_more() {
        struct Pieces(Vec<&'static str>);
        impl Words for Pieces {
            fn bytes(&self, token: u32) -> Vec<u8> {
                self.0[token as usize].as_bytes().to_vec()
            }
            fn ends(&self, _: u32) -> bool {
                false
            }
            fn all(&self) -> impl Iterator<Item = u32> {
                0..u32::try_from(self.0.len()).unwrap()
            }
        }
        let pieces = Pieces(vec!["So <tool_", "call>\n{\"na", "call>\n{\"no"]);
        for (then, holds) in [(1, true), (2, false)] {
            let mut calls = calls("{{ tools }}<tool_call>", "");
            calls.take(&pieces, 0);
            calls.take(&pieces, then);
            assert_eq!(calls.hold.is_some(), holds, "what does not fit is left free");
        }
    }
}
