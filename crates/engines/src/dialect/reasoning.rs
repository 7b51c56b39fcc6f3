//! Splits an answer into what the model thinks and what it says.

use super::{Part, beginning_at_end};

/// Where in an answer it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing but blanks came.
    Beginning,
    Thinking,
    /// The thought ended; blanks that follow are not part of what is said.
    After,
    Speaking,
}

/// Splits as text comes; holds back what may become a mark.
#[derive(Debug)]
pub(super) struct Splitter {
    start: &'static str,
    end: &'static str,
    place: Place,
    held: String,
}

impl Splitter {
    pub(super) fn new(start: &'static str, end: &'static str, inside: bool) -> Self {
        let place = if inside { Place::Thinking } else { Place::Beginning };
        Self { start, end, place, held: String::new() }
    }

    pub(super) fn push(&mut self, text: &str) -> Vec<Part> {
        self.held.push_str(text);
        let mut parts = Vec::new();
        loop {
            match self.place {
                Place::Beginning => {
                    let said = self.held.trim_start();
                    if let Some(rest) = said.strip_prefix(self.start) {
                        self.held = rest.to_owned();
                        self.place = Place::Thinking;
                        continue;
                    }
                    if self.start.starts_with(said) {
                        return parts;
                    }
                    self.place = Place::Speaking;
                }
                Place::Thinking => {
                    if let Some(at) = self.held.find(self.end) {
                        let rest = self.held.split_off(at + self.end.len());
                        self.held.truncate(at);
                        let thought = std::mem::replace(&mut self.held, rest);
                        parts.extend(some(thought).map(Part::Reasoning));
                        self.place = Place::After;
                        continue;
                    }
                    let keep = beginning_at_end(&self.held, self.end);
                    let rest = self.held.split_off(self.held.len() - keep);
                    parts.extend(some(std::mem::replace(&mut self.held, rest)).map(Part::Reasoning));
                    return parts;
                }
                Place::After => {
                    self.held = self.held.trim_start().to_owned();
                    if self.held.is_empty() {
                        return parts;
                    }
                    self.place = Place::Speaking;
                }
                Place::Speaking => {
                    parts.extend(some(std::mem::take(&mut self.held)).map(Part::Text));
                    return parts;
                }
            }
        }
    }

    pub(super) fn finish(&mut self) -> Vec<Part> {
        let held = some(std::mem::take(&mut self.held));
        let part = if self.place == Place::Thinking { Part::Reasoning } else { Part::Text };
        held.map(part).into_iter().collect()
    }
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
