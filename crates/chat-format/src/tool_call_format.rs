//! How a model family writes tool calls: the marks around a call, and the syntax between them.

use super::pythonic_calls::CallSyntax;

/// A format of tool calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ToolCallFormat {
    /// The mark that opens a call, or a list of them.
    pub(super) begin: &'static str,
    /// The mark that closes a call, or a list of them; empty if none does.
    pub(super) end: &'static str,
    /// The syntax between these marks.
    pub(super) body: CallBody,
    /// Further marks around calls, without meaning.
    pub(super) around: &'static [&'static str],
}

/// The syntax between the marks of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallBody {
    /// `{"name": …, "arguments": {…}}` with some variations, or a list of such objects. `opening` is a
    /// regular expression for the text before the name.
    Json { opening: &'static str },
    /// The same without a mark, at the start of an answer.
    BareJson,
    /// The name, this mark, and the JSON of the arguments. The name starts after `name_after` and ends before
    /// `name_before`.
    Named { mark: &'static str, name_after: Option<&'static str>, name_before: Option<&'static str> },
    /// The name between the two marks of `name`; then, for each argument, its key and its value between their
    /// marks.
    Tags {
        name: (&'static str, &'static str),
        key: (&'static str, &'static str),
        value: (&'static str, &'static str),
    },
    /// A call in the syntax of a programming language, with named arguments; several if the model writes a
    /// list.
    Pythonic(CallSyntax),
}

impl ToolCallFormat {
    /// Returns every mark that may be a token of the model.
    pub(super) fn marks(&self) -> Vec<String> {
        let mut marks = vec![self.begin, self.end];
        marks.extend(self.around);
        match self.body {
            CallBody::Json { .. } | CallBody::BareJson => {}
            CallBody::Named { mark, name_after, name_before } => {
                marks.push(mark);
                marks.extend(name_after.into_iter().chain(name_before));
            }
            CallBody::Tags { name, key, value } => {
                marks.extend([name.0, name.1, key.0, key.1, value.0, value.1])
            }
            CallBody::Pythonic(syntax) => marks.extend(syntax.quotes.iter().filter(|quote| quote.len() > 1)),
        }
        marks.into_iter().flat_map(tokens_of).collect()
    }
}

/// Returns the parts of a mark that may be tokens: the whole mark, without the code fence before DeepSeek's
/// last one, and every `<|…|>` in it.
pub(super) fn tokens_of(mark: &str) -> Vec<String> {
    let whole = mark.trim_start_matches('`');
    let inner = whole.match_indices("<|").filter_map(|(at, _)| {
        let end = whole[at..].find("|>")? + at + "|>".len();
        (whole[at..end] != *whole).then(|| whole[at..end].to_owned())
    });
    std::iter::once(whole.to_owned()).chain(inner).filter(|mark| !mark.is_empty()).collect()
}
