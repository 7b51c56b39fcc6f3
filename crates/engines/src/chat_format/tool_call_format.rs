//! How a model family writes its calls: the marks around them, and what stands between.

use super::pythonic_calls::CallSyntax;

/// A way to write calls down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ToolCallFormat {
    /// Opens a call, or a list of them.
    pub(super) begin: &'static str,
    /// Ends a call.
    pub(super) end: &'static str,
    /// What is between.
    pub(super) body: CallBody,
    /// Marks around calls that say nothing.
    pub(super) around: &'static [&'static str],
}

/// What stands between the marks of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallBody {
    /// `{"name": …, "arguments": {…}}` in one of several spellings, or a list of those. `opening` is a regular
    /// expression of what comes before the name.
    Json { opening: &'static str },
    /// The same without a mark, where an answer begins with it.
    BareJson,
    /// The name, this mark, the arguments' JSON. What is before `name_after` is not part of the name, nor
    /// what is after `name_before`.
    Named { mark: &'static str, name_after: Option<&'static str>, name_before: Option<&'static str> },
    /// The name between `name` and its end; then a tag for each argument's key, its end, a value, its end.
    Tags {
        name: (&'static str, &'static str),
        key: (&'static str, &'static str),
        value: (&'static str, &'static str),
    },
    /// A call as programs write it, with arguments by name; several where the model writes a list.
    Pythonic(CallSyntax),
}

impl ToolCallFormat {
    /// Every mark of it that may be a token of the model's.
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

/// What of a mark may be a token of the model's: all of it, but for the fence before DeepSeek's last one, and what
/// stands between `<|` and `|>` in it.
pub(super) fn tokens_of(mark: &str) -> Vec<String> {
    let whole = mark.trim_start_matches('`');
    let inner = whole.match_indices("<|").filter_map(|(at, _)| {
        let end = whole[at..].find("|>")? + at + "|>".len();
        (whole[at..end] != *whole).then(|| whole[at..end].to_owned())
    });
    std::iter::once(whole.to_owned()).chain(inner).filter(|mark| !mark.is_empty()).collect()
}
