//! Parses GBNF, llama.cpp's notation for grammars, far enough to know what a grammar costs.
//!
//! A grammar without recursion is a regular expression, which llguidance applies at a bounded cost. A
//! recursive grammar is left to llama.cpp's own code, whose cost has no bound.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

/// The longest grammar, in bytes: the cost of each token grows with the number of ways to continue.
const SOURCE_BYTES_MAX: usize = 32 << 10;
/// The deepest nesting of parentheses; llama.cpp's parser recurses for each level.
const NESTED_MAX: usize = 100;
/// The largest repetition count; the same as in llama.cpp.
const REPEATED_MAX: u32 = 2000;
/// The longest regular expression, in bytes.
const REGEX_BYTES_MAX: usize = 128 << 10;
/// The most steps to build it: empty rules may be used very often.
const STEPS_MAX: usize = 100_000;
/// The deepest nesting of rules in it.
const RULES_DEEP_MAX: usize = 64;

/// The kind of a grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Equivalent to this regular expression.
    Regular(String),
    /// Recursive, or much larger as an expression, or with tokens instead of characters.
    Other,
}

/// Parses a grammar, starting at its rule `root`.
///
/// # Errors
/// The source is not GBNF, or it exceeds a limit.
pub fn parse(source: &str) -> Result<Kind, String> {
    if source.len() > SOURCE_BYTES_MAX {
        return Err(format!("it has {} bytes; the limit is {SOURCE_BYTES_MAX}", source.len()));
    }
    if source.contains('\0') {
        return Err("it has a null character".into());
    }
    let mut parser = GrammarParser { rest: source.chars().peekable(), about_tokens: false };
    let rules = parser.rules()?;
    let Some(root) = rules.get("root") else { return Err("it has no rule `root`".into()) };
    for node in rules.values() {
        node.check(&rules)?;
    }
    if parser.about_tokens {
        return Ok(Kind::Other);
    }
    let mut writer = RegexWriter { rules: &rules, regex: String::new(), steps: 0 };
    let made = writer.node(root, 0);
    Ok(if made { Kind::Regular(writer.regex) } else { Kind::Other })
}

/// A part of a rule.
#[derive(Debug)]
enum Node {
    /// A literal or a character class, as a regular expression.
    Text(String),
    Rule(String),
    Sequence(Vec<Node>),
    Either(Vec<Node>),
    Repeated(Box<Node>, u32, Option<u32>),
}

impl Node {
    fn check(&self, rules: &HashMap<String, Node>) -> Result<(), String> {
        match self {
            Self::Text(_) => Ok(()),
            Self::Rule(name) if rules.contains_key(name) => Ok(()),
            Self::Rule(name) => Err(format!("it has no rule `{name}`")),
            Self::Sequence(nodes) | Self::Either(nodes) => {
                nodes.iter().try_for_each(|node| node.check(rules))
            }
            Self::Repeated(node, ..) => node.check(rules),
        }
    }
}

/// Writes the regular expression of the rules.
struct RegexWriter<'a> {
    rules: &'a HashMap<String, Node>,
    regex: String,
    steps: usize,
}

impl RegexWriter<'_> {
    /// Writes a node. Returns false if it cannot be written; recursion ends when the rules are too deep or
    /// the expression is too long.
    fn node(&mut self, node: &Node, depth: usize) -> bool {
        self.steps += 1;
        if self.regex.len() > REGEX_BYTES_MAX || self.steps > STEPS_MAX || depth > RULES_DEEP_MAX {
            return false;
        }
        match node {
            Node::Text(text) => self.regex.push_str(text),
            Node::Rule(name) => {
                let rules = self.rules;
                return rules.get(name).is_some_and(|node| self.node(node, depth + 1));
            }
            Node::Sequence(nodes) => return nodes.iter().all(|node| self.node(node, depth)),
            Node::Either(nodes) => {
                self.regex.push_str("(?:");
                for (at, node) in nodes.iter().enumerate() {
                    if at > 0 {
                        self.regex.push('|');
                    }
                    if !self.node(node, depth) {
                        return false;
                    }
                }
                self.regex.push(')');
            }
            Node::Repeated(node, least, most) => {
                self.regex.push_str("(?:");
                if !self.node(node, depth) {
                    return false;
                }
                self.regex.push(')');
                let _ = match (least, most) {
                    (0, Some(1)) => write!(self.regex, "?"),
                    (0, None) => write!(self.regex, "*"),
                    (1, None) => write!(self.regex, "+"),
                    (least, None) => write!(self.regex, "{{{least},}}"),
                    (least, Some(most)) => write!(self.regex, "{{{least},{most}}}"),
                };
            }
        }
        true
    }
}

struct GrammarParser<'a> {
    rest: Peekable<Chars<'a>>,
    about_tokens: bool,
}

impl GrammarParser<'_> {
    fn rules(&mut self) -> Result<HashMap<String, Node>, String> {
        let mut rules = HashMap::new();
        self.blanks(true);
        while self.rest.peek().is_some() {
            let name = self.name();
            if name.is_empty() {
                return Err(format!("expected the name of a rule, not {}", self.describe_next()));
            }
            self.blanks(false);
            for expected in "::=".chars() {
                if self.rest.next() != Some(expected) {
                    return Err(format!("`::=` is expected after `{name}`"));
                }
            }
            self.blanks(true);
            let node = self.either(0).map_err(|error| format!("in rule `{name}`: {error}"))?;
            match self.rest.peek() {
                None | Some('\n' | '\r') => {}
                Some(_) => {
                    return Err(format!("in rule `{name}`: unexpected {}", self.describe_next()));
                }
            }
            self.blanks(true);
            rules.insert(name, node);
        }
        Ok(rules)
    }

    fn describe_next(&mut self) -> String {
        self.rest.peek().map_or_else(|| "the end".into(), |next| format!("`{}`", next.escape_debug()))
    }

    /// Skips whitespace and comments, and line breaks where they separate nothing.
    fn blanks(&mut self, lines: bool) {
        while let Some(next) = self.rest.peek() {
            match next {
                ' ' | '\t' => {}
                '\n' | '\r' if lines => {}
                '#' => {
                    while self.rest.next_if(|next| !matches!(next, '\n' | '\r')).is_some() {}
                    continue;
                }
                _ => return,
            }
            self.rest.next();
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(next) =
            self.rest.next_if(|next| next.is_ascii_alphanumeric() || matches!(next, '-' | '_'))
        {
            name.push(next);
        }
        name
    }

    fn either(&mut self, depth: usize) -> Result<Node, String> {
        let mut nodes = vec![self.sequence(depth)?];
        while self.rest.next_if_eq(&'|').is_some() {
            self.blanks(true);
            nodes.push(self.sequence(depth)?);
        }
        Ok(match nodes.len() {
            1 => nodes.remove(0),
            _ => Node::Either(nodes),
        })
    }

    fn sequence(&mut self, depth: usize) -> Result<Node, String> {
        let mut nodes = Vec::new();
        while let Some(next) = self.rest.peek().copied() {
            let node = match next {
                '"' => {
                    self.rest.next();
                    let mut text = String::new();
                    while self.rest.next_if_eq(&'"').is_none() {
                        quote(self.character()?, &mut text);
                    }
                    Node::Text(text)
                }
                '[' => {
                    self.rest.next();
                    Node::Text(self.class()?)
                }
                '.' => {
                    self.rest.next();
                    Node::Text("(?s:.)".into())
                }
                '(' => {
                    if depth == NESTED_MAX {
                        return Err(format!("parentheses are nested over {NESTED_MAX} deep"));
                    }
                    self.rest.next();
                    self.blanks(true);
                    let node = self.either(depth + 1)?;
                    if self.rest.next() != Some(')') {
                        return Err("a parenthesis is not closed".into());
                    }
                    node
                }
                '<' | '!' => {
                    self.about_tokens = true;
                    while self.rest.next_if(|next| !matches!(next, '>' | '\n')).is_some() {}
                    if self.rest.next() != Some('>') {
                        return Err("a token is not closed".into());
                    }
                    Node::Text(String::new())
                }
                next if next.is_ascii_alphanumeric() || next == '-' => Node::Rule(self.name()),
                _ => break,
            };
            self.blanks(depth > 0);
            nodes.push(self.repetition(node, depth)?);
        }
        Ok(match nodes.len() {
            1 => nodes.remove(0),
            _ => Node::Sequence(nodes),
        })
    }

    fn repetition(&mut self, node: Node, depth: usize) -> Result<Node, String> {
        let (least, most) = match self.rest.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => {
                self.rest.next();
                self.blanks(depth > 0);
                let least = self.count()?.ok_or("a `{` must be followed by a number")?;
                self.blanks(depth > 0);
                let most = if self.rest.next_if_eq(&',').is_some() {
                    self.blanks(depth > 0);
                    self.count()?
                } else {
                    Some(least)
                };
                self.blanks(depth > 0);
                if self.rest.peek() != Some(&'}') {
                    return Err("a `{` is not closed".into());
                }
                if most.is_some_and(|most| most < least) {
                    return Err("a repetition ends before it starts".into());
                }
                (least, most)
            }
            _ => return Ok(node),
        };
        self.rest.next();
        self.blanks(depth > 0);
        Ok(Node::Repeated(Box::new(node), least, most))
    }

    fn count(&mut self) -> Result<Option<u32>, String> {
        let mut digits = String::new();
        while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        if digits.is_empty() {
            return Ok(None);
        }
        match digits.parse() {
            Ok(count) if count <= REPEATED_MAX => Ok(Some(count)),
            _ => Err(format!("a repetition of {digits} is over the limit of {REPEATED_MAX}")),
        }
    }

    fn class(&mut self) -> Result<String, String> {
        let mut class = String::from("[");
        if self.rest.next_if_eq(&'^').is_some() {
            class.push('^');
        }
        let start_len = class.len();
        while self.rest.next_if_eq(&']').is_none() {
            let from = self.character()?;
            quote(from, &mut class);
            let mut ahead = self.rest.clone();
            if ahead.next() == Some('-') && ahead.next() != Some(']') {
                self.rest.next();
                let to = self.character()?;
                if to < from {
                    return Err("a range of characters ends before it starts".into());
                }
                class.push('-');
                quote(to, &mut class);
            }
        }
        if class.len() == start_len {
            return Err("a class has no characters".into());
        }
        class.push(']');
        Ok(class)
    }

    /// Parses one character of a literal or a class.
    fn character(&mut self) -> Result<char, String> {
        match self.rest.next().ok_or("a literal or class is not closed")? {
            '\\' => {}
            other => return Ok(other),
        }
        let digits = match self.rest.next().ok_or("a literal or class is not closed")? {
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            same @ ('\\' | '"' | '[' | ']') => return Ok(same),
            'x' => 2,
            'u' => 4,
            'U' => 8,
            other => return Err(format!("`\\{}` is not an escape", other.escape_debug())),
        };
        let mut number = 0_u32;
        for _ in 0..digits {
            let digit = self.rest.next().and_then(|digit| digit.to_digit(16));
            number = number.wrapping_mul(16)
                + digit.ok_or(format!("an escape must have {digits} hexadecimal digits"))?;
        }
        char::from_u32(number).ok_or_else(|| format!("{number:#x} is not a character"))
    }
}

/// Appends a character, escaped for a regular expression.
fn quote(character: char, regex: &mut String) {
    if character.is_ascii_alphanumeric() || character == ' ' {
        regex.push(character);
    } else {
        let _ = write!(regex, "\\x{{{:x}}}", u32::from(character));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regular(source: &str) -> String {
        match parse(source) {
            Ok(Kind::Regular(regex)) => regex,
            other => panic!("{source}: {other:?}"),
        }
    }

    #[test]
    fn a_grammar_without_recursion_becomes_a_regex() {
        assert_eq!(regular("root ::= \"yes\" | \"no\""), "(?:yes|no)");
        assert_eq!(
            regular("root ::= word (\" \" word){2} # twice\nword ::= [a-z]+"),
            "(?:[a-z])+(?: (?:[a-z])+){2,2}"
        );
        assert_eq!(
            regular("root ::= (\n  \"a\" |\n  [^\"\\\\\\x7F\\n-] # any\n)? .*"),
            "(?:(?:a|[^\\x{22}\\x{5c}\\x{7f}\\x{a}\\x{2d}]))?(?:(?s:.))*"
        );
        assert_eq!(regular("a ::= \"\"\n\nroot ::= a \"\\u00e9\"{3,} a{0,2}"), "(?:\\x{e9}){3,}(?:){0,2}");
    }

    #[test]
    fn recursive_or_exploding_grammars_are_left_to_llama_cpp() {
        let mut doubling = String::from("root ::= r40\nr0 ::= \"a\"\n");
        for number in 1..=40 {
            let _ = writeln!(doubling, "r{number} ::= r{} r{}", number - 1, number - 1);
        }
        for source in [
            "root ::= \"(\" root \")\" | \"x\"",
            "root ::= a\na ::= b\nb ::= \"x\" a?",
            "root ::= root root | \"x\"",
            "root ::= <[1]>",
            &doubling,
            &doubling.replace("\"a\"", "\"\""),
        ] {
            assert_eq!(parse(source), Ok(Kind::Other), "{source}");
        }
    }

    #[test]
    fn a_syntax_error_names_its_position() {
        for (source, reason) in [
            ("", "no rule `root`"),
            ("root := 1", "`::=` is expected after `root`"),
            ("other ::= \"a\"", "no rule `root`"),
            ("root ::= other", "no rule `other`"),
            ("root ::= \"a", "in rule `root`: a literal or class is not closed"),
            ("root ::= [a", "not closed"),
            ("root ::= []", "no characters"),
            ("root ::= [z-a]", "ends before"),
            ("root ::= (\"a\"", "not closed"),
            ("root ::= \"a\"{2", "not closed"),
            ("root ::= \"a\"{3,2}", "ends before"),
            ("root ::= \"a\"{99999999999}", "limit of 2000"),
            ("root ::= \"\\q\"", "not an escape"),
            ("root ::= \"\\uD800\"", "not a character"),
            ("root ::= \"a\" =", "unexpected `=`"),
            ("root ::= *", "unexpected `*`"),
            ("root ::= \"a\"**", "unexpected `*`"),
        ] {
            let error = parse(source).unwrap_err();
            assert!(error.contains(reason), "{source}: {error}");
        }
        let deep = format!("root ::= {}\"a\"{}", "(".repeat(9000), ")".repeat(9000));
        assert!(parse(&deep).unwrap_err().contains("parentheses"));
        assert!(parse(&format!("root ::= \"{}\"", "x".repeat(40_000))).unwrap_err().contains("bytes"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_parses_or_is_refused(source in "(root ::= )?[a-c\"|()\\[\\]{}*+?,0-9:=\\-\\\\\n ]{0,60}") {
            let _ = parse(&source);
        }
    }
}
