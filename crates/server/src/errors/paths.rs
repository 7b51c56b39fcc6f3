//! Removes the folders from file paths in error messages, for callers without the scope `admin`.
//!
//! Only errors of the server (status 500 or more) are changed. A path in the error of a rejected request
//! comes from the caller. The folders of [`hide_folders`] are recognized by their exact spelling, whatever
//! characters their names contain. Other paths are recognized by their slashes: a folder name may contain
//! spaces if the next slash follows within a few words. [`super`] decides who reads the changed message, and
//! logs the full one.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::OnceLock;

use lar_base::Problem;

/// The prefixes of API paths, which name no files.
const API_PATHS: [&str; 4] = ["/v1/", "/lar/v1/", "/api/", "/bridge/"];
/// The characters that may precede a path, besides whitespace and the start of the text.
const BEFORE: &[char] = &['`', '\'', '"', '“', '(', '[', '=', ':', ','];
/// The characters that end a path, besides whitespace.
const PATH_ENDS: &[char] = &['`', '\'', '"', '”', ')', ']', ',', ';', '(', '<', '>'];
/// The characters at the end of a path that are not part of it.
const PUNCTUATION: [char; 4] = ['.', ':', '?', '!'];
/// The maximum number of words without a slash between the first and the last word of a folder name.
const INNER_WORDS_MAX: usize = 2;

/// The folders from the first call of [`hide_folders`].
static HIDDEN: OnceLock<Folders> = OnceLock::new();

/// Folders with a known spelling.
#[derive(Debug, Default)]
struct Folders(Vec<String>);

impl Folders {
    fn of(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        let text = |folder: PathBuf| Some(folder.to_str()?.trim_end_matches('/').to_owned());
        let spellings = folders.into_iter().flat_map(|folder| [folder.canonicalize().ok(), Some(folder)]);
        let is_absolute = |text: &String| text.len() > 1 && text.starts_with('/');
        Self(spellings.flatten().filter_map(text).filter(is_absolute).collect())
    }

    /// Returns the length of the longest of these folders that `path` starts with.
    fn length_in(&self, path: &str) -> Option<usize> {
        let goes_on = |rest: &str| rest.starts_with(char::is_alphanumeric);
        let begins = |folder: &&String| path.strip_prefix(folder.as_str()).is_some_and(|rest| !goes_on(rest));
        self.0.iter().filter(begins).map(String::len).max()
    }
}

/// Sets the folders whose paths are recognized whatever characters their names contain.
///
/// Only the first call has an effect, because a process serves one data directory.
pub(crate) fn hide_folders(folders: impl IntoIterator<Item = PathBuf>) {
    let _ = HIDDEN.set(Folders::of(folders));
}

/// Returns the problem without the folders of file paths, if it is an error of the server.
pub(super) fn without_folders(mut problem: Problem) -> Problem {
    if problem.code.status() < 500 {
        return problem;
    }
    problem.detail = file_names(&problem.detail).into_owned();
    for field in &mut problem.fields {
        field.reason = file_names(&field.reason).into_owned();
    }
    problem
}

/// Replaces every absolute file path in a text by the name of the file.
pub(crate) fn file_names(text: &str) -> Cow<'_, str> {
    file_names_of(text, HIDDEN.get().unwrap_or(&Folders(Vec::new())))
}

fn file_names_of<'a>(text: &'a str, known: &Folders) -> Cow<'a, str> {
    let (mut shown, mut rest) = (String::new(), text);
    while let Some((at, length)) = next_path(text, text.len() - rest.len(), known) {
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

/// Returns the position and the length of the next file path at or after `start`.
fn next_path(text: &str, start: usize, known: &Folders) -> Option<(usize, usize)> {
    let mut slashes = text[start..].match_indices('/').map(|(at, _)| start + at);
    slashes.find_map(|at| Some((at, path_length(text, at, known)?)))
}

/// Returns the length of the file path that starts with the slash at `at`, or `None` if none starts there.
fn path_length(text: &str, at: usize, known: &Folders) -> Option<usize> {
    let (before, path) = (text[..at].chars().next_back(), &text[at..]);
    if let Some(folder) = known.length_in(path)
        && !before.is_some_and(|before| before.is_alphanumeric() || "-_.~".contains(before))
    {
        return Some(end_of_path(path, folder));
    }
    let begins = before.is_none_or(|before| before.is_whitespace() || BEFORE.contains(&before));
    if !begins || API_PATHS.iter().any(|api| path.starts_with(api)) {
        return None;
    }
    let length = end_of_path(path, 0);
    let has_folder = path[1..length].trim_end_matches('/').contains('/') && !path[1..].starts_with('/');
    has_folder.then_some(length)
}

/// Returns the end of a path whose first `known` bytes are part of it.
fn end_of_path(path: &str, known: usize) -> usize {
    let mut length = known + word(&path[known..]).len();
    while let Some(more) = rest_of_folder(&path[..length], &path[length..]) {
        length += more;
    }
    known + path[known..length].trim_end_matches(PUNCTUATION).len()
}

/// Returns how many bytes after a path belong to it because the name of its last folder contains spaces.
///
/// These bytes end with a word that contains a slash. It is the next word or, if the last name of the path
/// does not look like a file, one of the next [`INNER_WORDS_MAX`] + 1 words.
fn rest_of_folder(path: &str, text_after: &str) -> Option<usize> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let inner_words_max = if name.contains('.') || name.is_empty() { 0 } else { INNER_WORDS_MAX };
    let mut length = 0;
    for _ in 0..=inner_words_max {
        let next = word(text_after[length..].strip_prefix(' ')?);
        if next.is_empty() || next.starts_with('/') || next.contains("://") {
            return None;
        }
        length += 1 + next.len();
        if next.contains('/') {
            return Some(length);
        }
    }
    None
}

/// Returns the start of a text, up to whitespace or a character that ends a path.
fn word(text: &str) -> &str {
    let ends = |one: char| one.is_whitespace() || PATH_ENDS.contains(&one);
    &text[..text.find(ends).unwrap_or(text.len())]
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
            ("/home/My Big Folder/x.db cannot be read or written", "x.db cannot be read or written"),
            ("the database `/data/x/lar.db` is damaged", "the database `lar.db` is damaged"),
            ("cannot open (/opt/lar/lib/libggml.so): /opt/x/y.", "cannot open (libggml.so): y."),
            ("file:/home/jo/models/x.gguf", "file:x.gguf"),
            (
                "no libggml-cpu-*.so for this processor is in /usr/lib/lar/",
                "no libggml-cpu-*.so for this processor is in lar",
            ),
            ("/data/x/lar.db took 12 tokens/s and 3/4 of it", "lar.db took 12 tokens/s and 3/4 of it"),
            ("moved /data/x/a.db to /data/y/b.db", "moved a.db to b.db"),
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
    fn known_folders_are_hidden_whatever_characters_their_names_have() {
        let folders = ["/srv/It's (my) very, very big disk", "/data", "/srv", "relative", "/"];
        let known = Folders::of(folders.map(PathBuf::from));
        for (text, shown) in [
            ("/srv/It's (my) very, very big disk/lar.db is full", "lar.db is full"),
            (
                "cannot open file:///srv/It's (my) very, very big disk/a b/lar.db: denied",
                "cannot open file://lar.db: denied",
            ),
            ("/srv/It's (my) very, very big disk: no room", "It's (my) very, very big disk: no room"),
            ("/data/lar.db, </data/a.db> and /database", "lar.db, <a.db> and /database"),
            ("/data.", "data."),
            ("https://example.org/data/lar.db", "https://example.org/data/lar.db"),
            ("relative/lar.db / x", "relative/lar.db / x"),
        ] {
            assert_eq!(file_names_of(text, &known), shown, "{text}");
        }
    }

    #[test]
    fn paths_in_errors_of_requests_stay_as_they_were_sent() {
        let named = Problem::new(Code::NotFound, "`/models/a/b.gguf` isn't installed");
        assert_eq!(without_folders(named.clone()), named);
        let fault = Problem::new(Code::StorageFull, "/data/a/lar.db cannot be written");
        assert_eq!(without_folders(fault).detail, "lar.db cannot be written");
    }

    proptest! {
        #[test]
        fn no_folder_of_a_path_is_left(
            folders in proptest::collection::vec("[a-z]{3,8}( [a-z]{2,5}){0,2}", 1..5),
            before in "[A-Z ]{0,9} ",
            rest in "( [A-Z]{0,9})?",
        ) {
            let text = format!("{before}/secret/{}/file.db{rest}", folders.join("/"));
            prop_assert_eq!(file_names(&text), format!("{before}file.db{rest}"));
        }

        #[test]
        fn no_part_of_a_known_folder_is_left(folder in "[^/\\x00]{1,30}", rest in "( [A-Z]{0,9})?") {
            let known = Folders::of([PathBuf::from(format!("/{folder}/kept"))]);
            let text = format!("cannot read /{folder}/kept/sub/file.db{rest}");
            prop_assert_eq!(file_names_of(&text, &known), format!("cannot read file.db{rest}"));
        }

        #[test]
        fn any_text_is_accepted(text in ".{0,200}") {
            let shown = file_names(&text);
            prop_assert!(shown.len() <= text.len());
        }
    }
}
