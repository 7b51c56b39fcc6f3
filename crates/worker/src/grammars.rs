//! Applies a constraint while an answer is generated: grammars over the model's own tokens, through
//! `llguidance`. [`schema_grammar`] converts JSON Schemas; Lark and GBNF are converted here.
//!
//! Schemas and grammars come from callers. llguidance's own limits on work and size bound their cost. A
//! worker with only the vocabulary refuses what they cannot express, before a task is queued.

use std::sync::Arc;
use std::time::Duration;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};

use super::llama_cpp::Vocab;
use super::schema_grammar;
use super::timed::{TimedMatcher, Watch, thread_time};
use lar_chat_format::gbnf;
use lar_inference::Constraint;

/// The longest schema or grammar, in bytes.
pub(super) const SOURCE_BYTES_MAX: usize = 256 << 10;
/// The most processor time to build a grammar, which happens between two tokens of other streams.
const BUILD_TIME_MAX: Duration = Duration::from_millis(500);
/// The most work to build a grammar's lexer; 50,000 are about a millisecond.
const BUILD_FUEL: u64 = 1_000_000;
/// The most symbols in a grammar's rules; large published schemas have 200,000.
const GRAMMAR_SYMBOLS_MAX: usize = 300_000;
/// The most lexer states, of 1 to 2 kB each.
const LEXER_STATES_MAX: usize = 50_000;

/// The reason why a constraint cannot be applied.
#[derive(Debug)]
pub(super) struct ConstraintError {
    pub(super) reason: String,
    /// Whether the reason is the time that the constraint takes, which depends on the machine.
    pub(super) is_for_time: bool,
}

impl From<String> for ConstraintError {
    fn from(reason: String) -> Self {
        Self { reason, is_for_time: false }
    }
}

/// Makes matchers for one vocabulary.
pub(super) struct Grammars {
    factory: ParserFactory,
    watch: Arc<Watch>,
}

impl Grammars {
    /// Reads the whole vocabulary, which takes about ten milliseconds.
    pub(super) fn of(vocab: Vocab<'_>) -> Result<Self, String> {
        Self::new(&tokens(vocab))
    }

    /// Makes grammars for checks only: every byte is a token.
    #[cfg(test)]
    pub(super) fn of_bytes() -> Result<Self, String> {
        Self::new(&ApproximateTokEnv::single_byte_env())
    }

    fn new(tokens: &TokEnv) -> Result<Self, String> {
        let slices = llguidance::earley::SlicedBiasComputer::json_slices();
        let mut factory = ParserFactory::new(tokens, InferenceCapabilities::default(), &slices)
            .map_err(|error| error.to_string())?;
        factory.quiet();
        let limits = factory.limits_mut();
        limits.initial_lexer_fuel = BUILD_FUEL;
        limits.max_grammar_size = GRAMMAR_SYMBOLS_MAX;
        limits.max_lexer_states = LEXER_STATES_MAX;
        limits.verbose_errors = false;
        Ok(Self { factory, watch: Arc::new(Watch::start()) })
    }

    /// Checks whether a constraint can be applied. A constraint that no text matches is refused, too.
    pub(super) fn check(&self, constraint: &Constraint) -> Result<(), ConstraintError> {
        let started = thread_time();
        let mut matcher = self.start_timed(constraint)?;
        if thread_time().saturating_sub(started) > BUILD_TIME_MAX {
            return Err(ConstraintError { reason: "it takes too long to compile".into(), is_for_time: true });
        }
        let reason = match matcher.mask() {
            Ok(mask) if !mask.is_zero() => return Ok(()),
            Ok(_) => "no text matches it".into(),
            // llguidance's error for a grammar that can neither continue nor end.
            Err(error) if error.contains("NoExtension") => "no text matches it".into(),
            Err(error) => first_line(&error),
        };
        Err(ConstraintError { reason, is_for_time: matcher.is_out_of_time() })
    }

    /// Makes a matcher with a time limit for the start of an answer.
    ///
    /// # Errors
    /// The same as [`Grammars::start`].
    pub(super) fn start_timed(&self, constraint: &Constraint) -> Result<TimedMatcher, String> {
        Ok(TimedMatcher::new(self.start(constraint)?, self.watch.clone()))
    }

    /// Makes a matcher for the start of an answer.
    ///
    /// # Errors
    /// The part that cannot be expressed, or the exceeded limit.
    pub(super) fn start(&self, constraint: &Constraint) -> Result<Matcher, String> {
        let grammar = grammar(constraint)?;
        // Building a grammar may panic on unexpected input; `Matcher` catches panics only later.
        let built =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.factory.create_parser(grammar)));
        let parser = built.map_err(|_| "it cannot be compiled".to_owned())?;
        let matcher = Matcher::new(parser);
        match matcher.get_error() {
            Some(error) => Err(first_line(&error)),
            None => Ok(matcher),
        }
    }
}

fn short_enough(source: &str, most: usize) -> Result<(), String> {
    match source.len() {
        bytes if bytes > most => Err(format!("it has {bytes} bytes; the limit is {most}")),
        _ => Ok(()),
    }
}

fn grammar(constraint: &Constraint) -> Result<TopLevelGrammar, String> {
    match constraint {
        Constraint::JsonObject => Ok(schema_grammar::any_object()),
        Constraint::JsonSchema(source) => {
            short_enough(source, SOURCE_BYTES_MAX)?;
            schema_grammar::from_json_schema(source)
        }
        Constraint::Lark(source) => {
            short_enough(source, SOURCE_BYTES_MAX)?;
            Ok(TopLevelGrammar::from_lark(source.clone()))
        }
        Constraint::ToolCalls(_) => Err("it applies to parts of an answer only".into()),
        Constraint::Gbnf(source) => match gbnf::parse(source)? {
            gbnf::Kind::Regular(regex) => Ok(TopLevelGrammar::from_regex(&regex)),
            gbnf::Kind::Other => Err("it is recursive, which only llama.cpp supports".into()),
        },
    }
}

/// Returns the first line of llguidance's error; the others say what it was doing. A caught panic is not
/// shown to callers.
fn first_line(error: &str) -> String {
    let line = error.lines().next().unwrap_or_default().trim();
    if line.contains("panic: ") { "it cannot be compiled".into() } else { line.to_owned() }
}

/// Builds llguidance's view of the vocabulary: the texts, marked control tokens, and all end tokens.
fn tokens(vocab: Vocab<'_>) -> TokEnv {
    let end = vocab.end_of_turn().or(vocab.end()).unwrap_or(0);
    let mut ends = vec![end];
    ends.extend(vocab.tokens().filter(|token| vocab.ends(*token) && *token != end));
    let words: Vec<Vec<u8>> = vocab
        .tokens()
        .map(|token| {
            let text = vocab.bytes(token, false);
            if !text.is_empty() {
                return text;
            }
            let mut marked = vocab.bytes(token, true);
            if !marked.is_empty() {
                marked.insert(0, TokTrie::SPECIAL_TOKEN_MARKER);
            }
            marked
        })
        .collect();
    let info = TokRxInfo::new(u32::try_from(words.len()).unwrap_or(u32::MAX), end);
    Arc::new(ApproximateTokEnv::new(TokTrie::from(&info, &words).with_eos_tokens(&ends)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn regular_gbnf_grammars_are_compiled_as_regexes() {
        let grammars = Grammars::of_bytes().unwrap();
        let fits = |source: &str, text: &str| {
            let mut matcher = grammars.start(&Constraint::Gbnf(source.into())).unwrap();
            let bytes: Vec<u32> = text.bytes().map(u32::from).collect();
            matcher.try_consume_tokens(&bytes).unwrap() == bytes.len() && matcher.is_accepting().unwrap()
        };
        let date = "root ::= year \"-\" two \"-\" two\nyear ::= two two\ntwo ::= [0-9]{2}";
        assert!(fits(date, "2026-11-25") && !fits(date, "2026-1-25") && !fits(date, "2026-11-2"));
        assert!(fits("root ::= [a-z]+ \"b/\" .", "aabbb/\n"));
        assert!(fits("root ::= \"é\"*", "éé"));
        // llama.cpp's own code takes forever for this grammar.
        let hostile = "root ::= x{500}\nx ::= \"a\"?";
        let checked = grammars.check(&Constraint::Gbnf(hostile.into()));
        assert!(checked.is_ok() || checked.is_err());
        assert!(fits(hostile, "aaa"));
    }

    #[test]
    fn tool_answers_must_be_calls_that_match_their_schemas() {
        use lar_chat_format::ModelFormat;
        use lar_inference::{Chat, Tool, ToolChoice};

        let tool = |name: &str, parameters: &str| Tool {
            name: name.into(),
            parameters: parameters.into(),
            ..Tool::default()
        };
        let chat = |tool_choice| Chat {
            tools: vec![
                tool("a", r#"{"type":"object","properties":{"x":{"type":"integer"}},"required":["x"]}"#),
                tool("b.c", "{}"),
            ],
            tool_choice,
            ..Chat::default()
        };
        let grammars = Grammars::of_bytes().unwrap();
        let fits = |template: &str, choice: ToolChoice, text: &str| {
            let output_format = ModelFormat::from_template(template).output_format(&chat(choice), "<think>");
            let mut matcher = grammars.start(&output_format.constraint.unwrap()).unwrap();
            let bytes: Vec<u32> = text.bytes().map(u32::from).collect();
            matcher.try_consume_tokens(&bytes).unwrap() == bytes.len() && matcher.is_accepting().unwrap()
        };
        let call_a = "<tool_call>\n{\"name\": \"a\", \"arguments\": {\"x\": 1}}\n</tool_call>";
        let call_b =
            "<tool_call>\n{\"name\": \"b.c\", \"arguments\": {\"y\": \"</tool_call>\"}}\n</tool_call>";
        let wrong = "<tool_call>\n{\"name\": \"a\", \"arguments\": {\"x\": \"1\"}}\n</tool_call>";
        let named = || ToolChoice::Named("b.c".into());
        let one = Chat { parallel_calls: false, ..chat(ToolChoice::Required) };
        grammars.start(&ModelFormat::from_template("").output_format(&one, "").constraint.unwrap()).unwrap();
        for (choice, text, expected) in [
            (ToolChoice::Auto, "Hello, 2 < 3.\n<table>", true),
            (ToolChoice::Auto, call_a, true),
            (ToolChoice::Auto, wrong, false),
            (ToolChoice::Required, call_a, true),
            (ToolChoice::Required, "Hello", false),
            (ToolChoice::Required, wrong, false),
            (named(), call_b, true),
            (named(), call_a, false),
        ] {
            assert_eq!(fits("", choice, text), expected, "{text}");
        }
        assert!(fits("", ToolChoice::Auto, &format!("I will.\n{call_a}\n{call_b}")));
        let thinking = "<think></think>{{ tools }}<tool_call>";
        assert!(fits(thinking, ToolChoice::Required, &format!("Hm, {wrong}</think>\n\n{call_a}")));
        assert!(!fits(thinking, ToolChoice::Required, &format!("Hm</think>{wrong}")));
    }

    proptest! {
        #[test]
        fn any_text_compiles_or_is_refused(source in "\\PC{0,80}") {
            let grammars = Grammars::of_bytes().unwrap();
            let _ = grammars.start(&Constraint::JsonSchema(source.clone()));
            let _ = grammars.start(&Constraint::Lark(source));
        }
    }
}
