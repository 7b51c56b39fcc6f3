//! Scans the JSON of a tool call while it streams, without parsing it: the arguments are passed on as the
//! model wrote them.

/// The keys of the function's name and of its arguments, as models write them.
const NAMES: &[&str] = &["name", "tool_name", "function"];
const ARGUMENTS: &[&str] = &["arguments", "parameters"];
/// Other keys of such an object.
const OTHER_KEYS: &[&str] = &["type", "id"];

/// Whether a scanner needs more text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScanStep {
    More,
    End,
    Invalid,
}

/// Scans one JSON object or list to its end.
#[derive(Debug, Default)]
pub(super) struct Span {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Span {
    /// Returns `Invalid` before the value.
    pub(super) fn push(&mut self, character: char) -> ScanStep {
        match character {
            _ if self.escaped => self.escaped = false,
            '\\' if self.in_string => self.escaped = true,
            '"' if self.depth > 0 => self.in_string = !self.in_string,
            _ if self.in_string => {}
            '{' | '[' => self.depth += 1,
            '}' | ']' if self.depth > 0 => {
                self.depth -= 1;
                if self.depth == 0 {
                    return ScanStep::End;
                }
            }
            _ => {}
        }
        if self.depth == 0 { ScanStep::Invalid } else { ScanStep::More }
    }
}

/// Scans a JSON object that describes a call.
#[derive(Debug, Default)]
pub(super) struct CallObject {
    state: ObjectState,
    text: String,
    escaped: bool,
    key: String,
    span: Span,
    /// The function's name, once it is complete.
    pub(super) name: Option<String>,
    /// The arguments' text that was not taken yet.
    pub(super) arguments: String,
    pub(super) has_arguments: bool,
    /// Whether the object is in a list.
    listed: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ObjectState {
    #[default]
    Before,
    BeforeKey,
    Key,
    BeforeValue,
    /// A string value.
    String,
    /// An object or list value.
    Span,
    /// A number, true, false or null.
    Word,
}

impl CallObject {
    /// Returns whether the text so far may become a call: it has no key that calls do not have.
    pub(super) fn may_be_call(&self) -> bool {
        let known = [NAMES, ARGUMENTS, OTHER_KEYS];
        self.key.is_empty() || known.iter().any(|names| names.contains(&self.key.as_str()))
    }

    /// Returns the start of the function's name while it is incomplete.
    pub(super) fn partial_name(&self) -> Option<&str> {
        (self.state == ObjectState::String && NAMES.contains(&self.key.as_str()))
            .then_some(self.text.as_str())
    }

    pub(super) fn push(&mut self, character: char) -> ScanStep {
        let blank = character.is_ascii_whitespace();
        match self.state {
            ObjectState::Before => match character {
                '{' => self.state = ObjectState::BeforeKey,
                '[' if !self.listed => self.listed = true,
                _ if blank => {}
                _ => return ScanStep::Invalid,
            },
            ObjectState::BeforeKey => match character {
                '"' => {
                    self.text.clear();
                    self.state = ObjectState::Key;
                }
                '}' => return ScanStep::End,
                ',' => {}
                _ if blank => {}
                _ => return ScanStep::Invalid,
            },
            ObjectState::Key => match self.in_string(character) {
                None => {}
                Some(key) => {
                    self.key = key;
                    self.state = ObjectState::BeforeValue;
                }
            },
            ObjectState::BeforeValue => match character {
                ':' => {}
                _ if blank => {}
                '"' => {
                    self.text.clear();
                    self.state = ObjectState::String;
                }
                '{' | '[' => {
                    self.span = Span::default();
                    self.state = ObjectState::Span;
                    return self.in_span(character);
                }
                _ => self.state = ObjectState::Word,
            },
            ObjectState::String => {
                if let Some(text) = self.in_string(character) {
                    self.state = ObjectState::BeforeKey;
                    if NAMES.contains(&self.key.as_str()) {
                        self.name = Some(text);
                    } else if ARGUMENTS.contains(&self.key.as_str()) {
                        // Some models write the JSON of the arguments as a string.
                        self.arguments.push_str(&text);
                        self.has_arguments = true;
                    }
                }
            }
            ObjectState::Span => return self.in_span(character),
            ObjectState::Word => match character {
                ',' => self.state = ObjectState::BeforeKey,
                '}' => return ScanStep::End,
                _ => {}
            },
        }
        ScanStep::More
    }

    /// Returns the string's value at its end.
    fn in_string(&mut self, character: char) -> Option<String> {
        match character {
            '"' if !self.escaped => {
                let quoted = format!("\"{}\"", std::mem::take(&mut self.text));
                return Some(serde_json::from_str(&quoted).unwrap_or_default());
            }
            '\\' if !self.escaped => self.escaped = true,
            _ => self.escaped = false,
        }
        self.text.push(character);
        None
    }

    fn in_span(&mut self, character: char) -> ScanStep {
        let follow = self.span.push(character);
        if ARGUMENTS.contains(&self.key.as_str()) {
            self.arguments.push(character);
            self.has_arguments = true;
        }
        if follow == ScanStep::End {
            self.state = ObjectState::BeforeKey;
        }
        ScanStep::More
    }
}
