//! Tool calls in the syntax of programming languages: `name(key="value", …)`, or `name{key:"value", …}` with
//! the model's own quote marks. The arguments are converted to JSON.

use serde_json::{Map, Value};

use super::json::ScanStep;

/// The syntax of a model's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CallSyntax {
    /// The text before the name; may be empty.
    pub(super) before: &'static str,
    /// The brackets around the arguments.
    pub(super) open: char,
    pub(super) close: char,
    /// The character between an argument's name and its value.
    pub(super) assign: char,
    /// The marks that open and close a string.
    pub(super) quotes: &'static [&'static str],
    /// Whether a backslash in a string escapes the next character.
    pub(super) escapes: bool,
    /// Whether calls are in a list; otherwise each one has its own marks.
    pub(super) list: bool,
}

/// The longest call, in bytes.
const CALL_BYTES_MAX: usize = 1 << 20;
/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// The deepest nesting of values.
const DEPTH_MAX: usize = 64;

/// Scans one call to its end.
#[derive(Debug)]
pub(super) struct CallScanner {
    syntax: CallSyntax,
    /// The text between the brackets, once the name is complete.
    text: String,
    name: Option<String>,
    /// The number of open brackets.
    depth: usize,
    /// The open string: its closing mark, and its start.
    string: Option<(&'static str, usize)>,
    escaped: bool,
}

impl CallScanner {
    pub(super) fn new(syntax: CallSyntax) -> Self {
        Self { syntax, text: String::new(), name: None, depth: 0, string: None, escaped: false }
    }

    /// Returns the function's name, once it is complete.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(super) fn push(&mut self, character: char) -> ScanStep {
        if self.text.len() > CALL_BYTES_MAX {
            return ScanStep::Invalid;
        }
        if self.name.is_none() {
            return self.push_name(character);
        }
        self.text.push(character);
        if let Some((quote, from)) = self.string {
            if std::mem::take(&mut self.escaped) {
            } else if self.syntax.escapes && character == '\\' {
                self.escaped = true;
            } else if self.text[from..].ends_with(quote) {
                self.string = None;
            }
            return ScanStep::More;
        }
        if let Some(quote) = self.syntax.quotes.iter().find(|quote| self.text.ends_with(**quote)) {
            self.string = Some((quote, self.text.len()));
            return ScanStep::More;
        }
        match character {
            '(' | '[' | '{' => self.depth += 1,
            ')' | ']' | '}' if self.depth > 0 => self.depth -= 1,
            close if close == self.syntax.close => {
                self.text.pop();
                return ScanStep::End;
            }
            _ => {}
        }
        ScanStep::More
    }

    fn push_name(&mut self, character: char) -> ScanStep {
        if character != self.syntax.open {
            self.text.push(character);
            let name = self.text.trim_start();
            let bare_name = name.strip_prefix(self.syntax.before).unwrap_or(name);
            let fits = bare_name.chars().all(|one| one.is_alphanumeric() || "_-. ".contains(one));
            let begins = self.syntax.before.starts_with(name);
            let short = self.text.len() <= NAME_BYTES_MAX;
            return if short && (fits || begins) { ScanStep::More } else { ScanStep::Invalid };
        }
        let name = self.text.trim();
        let name = name.strip_prefix(self.syntax.before).unwrap_or(name).trim();
        if name.is_empty() {
            return ScanStep::Invalid;
        }
        self.name = Some(name.to_owned());
        self.text.clear();
        ScanStep::More
    }

    /// Parses the arguments as far as they are readable.
    pub(super) fn arguments(&self) -> Value {
        Parser { syntax: self.syntax, rest: &self.text }.pairs(self.syntax.assign, 0).into()
    }
}

struct Parser<'a> {
    syntax: CallSyntax,
    rest: &'a str,
}

impl Parser<'_> {
    /// Parses pairs up to a closing bracket or the end.
    fn pairs(&mut self, assign: char, depth: usize) -> Map<String, Value> {
        let mut pairs = Map::new();
        loop {
            self.skip(&[',']);
            if self.rest.is_empty() || self.rest.starts_with(['}', ')', ']']) {
                return pairs;
            }
            let key = match self.string() {
                Some(key) => key,
                None => self.word(assign),
            };
            self.skip(&[]);
            // A value without a name is skipped, because its argument is unknown.
            let Some(rest) = self.rest.strip_prefix(assign) else { continue };
            self.rest = rest;
            let value = self.value(depth);
            pairs.insert(key, value);
        }
    }

    fn value(&mut self, depth: usize) -> Value {
        self.skip(&[]);
        if let Some(text) = self.string() {
            return Value::from(text);
        }
        let Some(open) = self.rest.chars().next().filter(|_| depth < DEPTH_MAX) else { return self.bare() };
        match open {
            '{' => {
                self.rest = &self.rest[1..];
                let pairs = self.pairs(':', depth + 1);
                self.close();
                Value::from(pairs)
            }
            '[' | '(' => {
                self.rest = &self.rest[1..];
                let mut values = Vec::new();
                loop {
                    self.skip(&[',']);
                    if self.rest.is_empty() || self.rest.starts_with([']', ')', '}']) {
                        break;
                    }
                    values.push(self.value(depth + 1));
                }
                self.close();
                Value::from(values)
            }
            _ => self.bare(),
        }
    }

    /// Parses a number or a constant of Python or JSON; any other word is a string.
    fn bare(&mut self) -> Value {
        let word = self.word(',');
        match word.as_str() {
            "True" | "true" => Value::from(true),
            "False" | "false" => Value::from(false),
            "None" | "null" => Value::Null,
            _ => match serde_json::from_str(&word) {
                Ok(number @ Value::Number(_)) => number,
                _ => Value::from(word),
            },
        }
    }

    /// Reads up to `end`, a comma or a closing bracket; at least one character, so that there is progress.
    fn word(&mut self, end: char) -> String {
        let ends = |one: char| one == end || matches!(one, ',' | ')' | ']' | '}');
        let first = self.rest.chars().next().map_or(0, char::len_utf8);
        let length = self.rest[first..].find(ends).map_or(self.rest.len(), |at| at + first);
        let (word, rest) = self.rest.split_at(length);
        self.rest = rest;
        word.trim().to_owned()
    }

    fn string(&mut self) -> Option<String> {
        let quote = self.syntax.quotes.iter().find(|quote| self.rest.starts_with(**quote))?;
        let text = &self.rest[quote.len()..];
        let (mut value, mut escaped) = (String::new(), false);
        for (at, character) in text.char_indices() {
            if escaped {
                escaped = false;
                value.push(match character {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    other => other,
                });
            } else if self.syntax.escapes && character == '\\' {
                escaped = true;
            } else if text[at..].starts_with(*quote) {
                self.rest = &text[at + quote.len()..];
                return Some(value);
            } else {
                value.push(character);
            }
        }
        self.rest = "";
        Some(value)
    }

    fn skip(&mut self, also: &[char]) {
        self.rest = self.rest.trim_start_matches(|one: char| one.is_whitespace() || also.contains(&one));
    }

    fn close(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::formats::TOOL_CALL_FORMATS;
    use crate::tool_call_format::CallBody;

    fn read(mark: &str, call: &str) -> Option<(String, Value)> {
        let format = TOOL_CALL_FORMATS.iter().find(|(marks, _)| marks[0] == mark).unwrap().1;
        let CallBody::Pythonic(syntax) = format.body else { panic!("{mark} is pythonic") };
        let mut scanner = CallScanner::new(syntax);
        for character in call.chars() {
            match scanner.push(character) {
                ScanStep::More => {}
                ScanStep::Invalid => return None,
                ScanStep::End => return Some((scanner.name()?.to_owned(), scanner.arguments())),
            }
        }
        None
    }

    #[test]
    fn values_of_every_kind_become_json() {
        let python = r#"[plan(a="it's \"so\"\n", b='x)', n=-1.5, t=True, z=None, l=[1, "two", (3,)], d={"k": {'m': False}}, w=word)]"#;
        let expected = json!({
            "a": "it's \"so\"\n", "b": "x)", "n": -1.5, "t": true, "z": null, "l": [1, "two", [3]],
            "d": { "k": { "m": false } }, "w": "word",
        });
        assert_eq!(read("<|tool_list_start|>", python), Some(("plan".into(), expected)));
        let gemma =
            r#"call:plan{a:<|"|>say "hi}" \n<|"|>,n:3,t:true,l:[<|"|>x<|"|>,<|"|>y<|"|>],d:{k:{m:false}}}"#;
        let expected = json!({
            "a": "say \"hi}\" \\n", "n": 3, "t": true, "l": ["x", "y"], "d": { "k": { "m": false } },
        });
        assert_eq!(read("<|tool_call>call:", gemma), Some(("plan".into(), expected)));
        assert_eq!(read("<|tool_list_start|>", "[now()]"), Some(("now".into(), json!({}))));
        assert_eq!(read("<|tool_list_start|>", "[now(5)]"), Some(("now".into(), json!({}))));
    }

    #[test]
    fn text_that_is_no_call_is_rejected() {
        assert_eq!(read("<|tool_list_start|>", "[\"a\", 1]"), None);
        assert_eq!(read("<|tool_list_start|>", "[(1)]"), None);
        assert_eq!(read("<|tool_list_start|>", "[f(a=1"), None);
        assert_eq!(read("<|tool_list_start|>", &format!("[{}(a=1)]", "f".repeat(300))), None);
        let deep = format!("[f(a={}1{})]", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read("<|tool_list_start|>", &deep).is_some());
    }

    proptest::proptest! {
        #[test]
        fn scanning_any_text_terminates(text in "[a(){}\\[\\]=:,\"'\\\\ é<|>]{0,60}") {
            for mark in ["<|tool_list_start|>", "<|tool_call>call:"] {
                let _ = read(mark, &format!("call:f({text})"));
                let _ = read(mark, &format!("call:f{{{text}}}"));
            }
        }
    }
}
