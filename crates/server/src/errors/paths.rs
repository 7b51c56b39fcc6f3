//! Errors name the server's files without their folders to callers who do not administrate it.
//!
//! Only faults of the server (status 500 or more) name its files: of a request that was refused, a path is the caller's own
//! word. Folders that the server knows ([`hide_folders`]) are found as they are spelled, whatever their names have in them.
//! Other paths are found by their slashes: a folder's name with blanks is followed as long as a slash comes soon. What a
//! caller is shown in the end, and the line of the log, are in [`super`].

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::OnceLock;

use lar_base::Problem;

/// Paths that are an API's and not a file's.
const API_PATHS: [&str; 4] = ["/v1/", "/lar/v1/", "/api/", "/bridge/"];
/// What a path stands behind, beside the start of a text and blanks.
const BEFORE: &[char] = &['`', '\'', '"', '“', '(', '[', '=', ':', ','];
/// What ends a path, beside blanks.
const BEHIND: &[char] = &['`', '\'', '"', '”', ')', ']', ',', ';', '(', '<', '>'];
/// What may stand behind a path and is no part of it.
const PUNCTUATION: [char; 4] = ['.', ':', '?', '!'];
/// Words without a slash that a folder's name has at most, between its first and its last.
const INNER_WORDS_MAX: usize = 2;

/// The folders of this process, as [`hide_folders`] had them.
static HIDDEN: OnceLock<Folders> = OnceLock::new();

/// Folders whose spelling is known.
#[derive(Debug, Default)]
struct Folders(Vec<String>);

impl Folders {
    fn of(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        let text = |folder: PathBuf| Some(folder.to_str()?.trim_end_matches('/').to_owned());
        let spellings = folders.into_iter().flat_map(|folder| [folder.canonicalize().ok(), Some(folder)]);
        let is_absolute = |text: &String| text.len() > 1 && text.starts_with('/');
        Self(spellings.flatten().filter_map(text).filter(is_absolute).collect())
    }

    /// How long the longest of them is that this path begins with.
    fn length_in(&self, path: &str) -> Option<usize> {
        let goes_on = |rest: &str| rest.starts_with(char::is_alphanumeric);
        let begins = |folder: &&String| path.strip_prefix(folder.as_str()).is_some_and(|rest| !goes_on(rest));
        self.0.iter().filter(begins).map(String::len).max()
    }
}

/// Has the paths below these folders recognized from now on, whatever their names have in them. Those of the first call
/// count: a process serves one data directory.
pub(crate) fn hide_folders(folders: impl IntoIterator<Item = PathBuf>) {
    let _ = HIDDEN.set(Folders::of(folders));
}

/// The same problem, in which the server's files have no folders.
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

/// A text in which the files of absolute paths are named without their folders.
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

/// Where the next path of a file begins, from `start` on, and how long it is.
fn next_path(text: &str, start: usize, known: &Folders) -> Option<(usize, usize)> {
    let mut slashes = text[start..].match_indices('/').map(|(at, _)| start + at);
    slashes.find_map(|at| Some((at, path_length(text, at, known)?)))
}

/// How long the path is that begins with the slash at `at`; none where that begins no path of a file.
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

/// Where a path ends whose first bytes are known to be of it.
fn end_of_path(path: &str, known: usize) -> usize {
    let mut length = known + word(&path[known..]).len();
    while let Some(more) = rest_of_folder(&path[..length], &path[length..]) {
        length += more;
    }
    known + path[known..length].trim_end_matches(PUNCTUATION).len()
}

/// How many bytes behind a path go on with it, since its last folder has blanks in its name: up to a word with a slash,
/// which is the next one, or the next but few where what is there already does not look like a file.
fn rest_of_folder(path: &str, behind: &str) -> Option<usize> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let inner_words_max = if name.contains('.') || name.is_empty() { 0 } else { INNER_WORDS_MAX };
    let mut length = 0;
    for _ in 0..=inner_words_max {
        let next = word(behind[length..].strip_prefix(' ')?);
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

/// The beginning of a text up to a blank or what ends a path.
fn word(text: &str) -> &str {
    let ends = |one: char| one.is_whitespace() || BEHIND.contains(&one);
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
            behind in "( [A-Z]{0,9})?",
        ) {
            let text = format!("{before}/secret/{}/file.db{behind}", folders.join("/"));
            prop_assert_eq!(file_names(&text), format!("{before}file.db{behind}"));
        }

        #[test]
        fn nothing_of_a_known_folder_is_left(folder in "[^/\\x00]{1,30}", behind in "( [A-Z]{0,9})?") {
            let known = Folders::of([PathBuf::from(format!("/{folder}/kept"))]);
            let text = format!("cannot read /{folder}/kept/sub/file.db{behind}");
            prop_assert_eq!(file_names_of(&text, &known), format!("cannot read file.db{behind}"));
        }

        #[test]
        fn any_text_is_taken(text in ".{0,200}") {
            let shown = file_names(&text);
            prop_assert!(shown.len() <= text.len());
        }
    }
}
