//! Errors name the server's files without their folders to callers who do not administrate it.
//!
//! Only faults of the server (status 500 or more) name its files: of a request that was refused, a path is the caller's own
//! word. The log has each of them in full.

use std::borrow::Cow;

use lar_base::Problem;

/// Paths that are an API's and not a file's.
const API_PATHS: [&str; 4] = ["/v1/", "/lar/v1/", "/api/", "/bridge/"];
/// What a path stands behind, beside the start of a text and blanks.
const BEFORE: &[char] = &['`', '\'', '"', '“', '(', '[', '=', ':', ','];
/// What ends a path, beside blanks.
const BEHIND: &[char] = &['`', '\'', '"', '”', ')', ']', ',', ';', '(', '<', '>'];

/// The same problem, in which the server's files have no folders; what it said before is in the log.
pub(crate) fn without_folders(mut problem: Problem) -> Problem {
    if problem.code.status() < 500 {
        return problem;
    }
    if let Cow::Owned(detail) = file_names(&problem.detail) {
        tracing::warn!(code = %problem.code, detail = %problem.detail, "an answer names a file without its folder");
        problem.detail = detail;
    }
    for field in &mut problem.fields {
        field.reason = file_names(&field.reason).into_owned();
    }
    problem
}

/// A text in which the files of absolute paths are named without their folders.
pub(crate) fn file_names(text: &str) -> Cow<'_, str> {
    let (mut shown, mut rest) = (String::new(), text);
    while let Some((at, length)) = next_path(text, text.len() - rest.len()) {
        let from = at - (text.len() - rest.len());
        shown.push_str(&rest[..from]);
        let path = rest[from..from + length].trim_end_matches('/');
        shown.push_str(path.rsplit('/').next().unwrap_or_default());
        rest = &rest[from + length..];
    }
    if shown.is_empty() && rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(shown + rest)
}

/// Where the next path of a file begins, from `start` on, and how long it is.
fn next_path(text: &str, start: usize) -> Option<(usize, usize)> {
    let mut slashes = text[start..].match_indices('/').map(|(at, _)| start + at);
    slashes.find_map(|at| Some((at, path_length(text, at)?)))
}

/// How long the path is that begins with the slash at `at`; none where that begins no path of a file.
fn path_length(text: &str, at: usize) -> Option<usize> {
    let before = text[..at].chars().next_back();
    let begins = before.is_none_or(|before| before.is_whitespace() || BEFORE.contains(&before));
    let path = &text[at..];
    if !begins || API_PATHS.iter().any(|api| path.starts_with(api)) {
        return None;
    }
    let ends = |one: char| one.is_whitespace() || BEHIND.contains(&one);
    let mut length = path.find(ends).unwrap_or(path.len());
    // A folder's name may have blanks: a word with a slash in it goes on with the path.
    while let Some(more) = path[length..].strip_prefix(' ') {
        let word = &more[..more.find(ends).unwrap_or(more.len())];
        if word.starts_with('/') || word.contains("://") || !word.contains('/') {
            break;
        }
        length += 1 + word.len();
    }
    let length = path[..length].trim_end_matches(['.', ':', '?', '!']).len();
    let has_folder = path[1..length].trim_end_matches('/').contains('/') && !path[1..].starts_with('/');
    has_folder.then_some(length)
}

#[cfg(test)]
mod tests {
    use lar_base::Code;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn files_are_named_without_their_folders_and_the_rest_stays() {
        for (text, shown) in [
            (
                "/home/jo/.lar/lar.db cannot be written: its disk is full",
                "lar.db cannot be written: its disk is full",
            ),
            ("/home/Jo Doe/.lar/lar.db cannot be read or written", "lar.db cannot be read or written"),
            ("the database `/data/x/lar.db` is damaged", "the database `lar.db` is damaged"),
            ("cannot open (/opt/lar/lib/libggml.so): /opt/x/y.", "cannot open (libggml.so): y."),
            ("file:/home/jo/models/x.gguf", "file:x.gguf"),
            (
                "no libggml-cpu-*.so for this processor is in /usr/lib/lar/",
                "no libggml-cpu-*.so for this processor is in lar",
            ),
            (
                "llama-server /v1/chat/completions: status 500",
                "llama-server /v1/chat/completions: status 500",
            ),
            ("llama-server /completion: status 500", "llama-server /completion: status 500"),
            ("https://example.org/a/b answers 404", "https://example.org/a/b answers 404"),
            ("12 tokens/s and 3/4 of it", "12 tokens/s and 3/4 of it"),
            ("/", "/"),
            ("", ""),
        ] {
            assert_eq!(file_names(text), shown, "{text}");
        }
    }

    #[test]
    fn what_a_caller_named_is_told_as_it_was_named() {
        let named = Problem::new(Code::NotFound, "`/models/a/b.gguf` isn't installed");
        assert_eq!(without_folders(named.clone()), named);
        let fault = Problem::new(Code::StorageFull, "/data/a/lar.db cannot be written");
        assert_eq!(without_folders(fault).detail, "lar.db cannot be written");
    }

    proptest! {
        #[test]
        fn no_folder_of_a_path_is_left(
            folders in proptest::collection::vec("[a-z]{3,8}( [a-z]{2,5})?", 1..5), before in "[A-Z ]{0,9} ", behind in "( [A-Z]{0,9})?"
        ) {
            let text = format!("{before}/secret/{}/file.db{behind}", folders.join("/"));
            prop_assert_eq!(file_names(&text), format!("{before}file.db{behind}"));
        }

        #[test]
        fn any_text_is_taken(text in ".{0,200}") {
            let shown = file_names(&text);
            prop_assert!(shown.len() <= text.len());
        }
    }
}
