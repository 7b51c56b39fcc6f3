//! Globs for the paths of files: `*` and `?` stand for characters other than `/`, and `**` for any characters.
//! All other characters stand for themselves.
//!
//! A pattern matches a whole path, or the end of one from a `/` on: `*.rs` matches `src/lib.rs`, and
//! `src/**` matches `/home/me/project/src/lib.rs`. With a `/` at its start, it matches the whole path only.
//! Matching takes at most (length of the pattern) × (length of the path) steps, whatever the pattern is.

/// The most characters of a path that are compared: its end counts, and the rest is ignored.
const PATH_CHARS_MAX: usize = 1000;

/// A part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// This character.
    Literal(char),
    /// `?`: one character other than `/`.
    One,
    /// `*`: any number of characters other than `/`.
    Name,
    /// `**`: any number of characters.
    Anything,
    /// `**/`: any number of folders.
    Folders,
}

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob(Vec<Part>);

impl Glob {
    /// Parses a pattern. Every text is one.
    pub(super) fn new(pattern: &str) -> Self {
        let pattern = pattern.replace('\\', "/");
        let mut parts = if pattern.starts_with('/') { Vec::new() } else { vec![Part::Folders] };
        let mut rest = pattern.chars().peekable();
        while let Some(character) = rest.next() {
            let part = match character {
                '?' => Part::One,
                '*' => {
                    let mut stars = 1;
                    while rest.next_if_eq(&'*').is_some() {
                        stars += 1;
                    }
                    let is_start = matches!(parts.last(), None | Some(Part::Literal('/') | Part::Folders));
                    match stars {
                        1 => Part::Name,
                        _ if is_start && rest.next_if_eq(&'/').is_some() => Part::Folders,
                        _ => Part::Anything,
                    }
                }
                literal => Part::Literal(literal),
            };
            parts.push(part);
        }
        Self(parts)
    }

    /// Returns whether it consists of `*` and `**` only.
    pub(super) fn matches_everything(&self) -> bool {
        !self.0.iter().any(|part| matches!(part, Part::Literal(_) | Part::One))
    }

    /// Returns whether it matches a path.
    pub(super) fn matches(&self, path: &str) -> bool {
        let path = path.replace('\\', "/");
        let start = path.char_indices().rev().nth(PATH_CHARS_MAX - 1).map_or(0, |(start, _)| start);
        let path: Vec<char> = path[start..].chars().collect();
        // `reached[n]`: the parts so far match the first n characters.
        let mut reached = vec![false; path.len() + 1];
        reached[0] = true;
        for part in &self.0 {
            let mut next = vec![false; path.len() + 1];
            let mut any = false;
            for end in 0..=path.len() {
                let last = end.checked_sub(1).map(|at| path[at]);
                next[end] = match part {
                    Part::Literal(literal) => end > 0 && reached[end - 1] && last == Some(*literal),
                    Part::One => end > 0 && reached[end - 1] && last != Some('/'),
                    Part::Name => reached[end] || end > 0 && next[end - 1] && last != Some('/'),
                    Part::Anything => reached[end] || end > 0 && next[end - 1],
                    Part::Folders => reached[end] || any && last == Some('/'),
                };
                any |= reached[end];
            }
            reached = next;
        }
        reached[path.len()]
    }
}

#[cfg(test)]
mod tests {
    use lar_base::Instant;

    use super::*;

    #[test]
    fn patterns_match_whole_paths_and_their_ends() {
        for (pattern, path, is_match) in [
            ("*.rs", "lib.rs", true),
            ("*.rs", "/home/me/src/lib.rs", true),
            ("*.rs", "src/lib.rs.bak", false),
            ("lib.rs", "src/my-lib.rs", false),
            ("src/*.rs", "crates/a/src/lib.rs", true),
            ("src/*.rs", "src/a/lib.rs", false),
            ("src/**/*.rs", "src/lib.rs", true),
            ("src/**/*.rs", "src/a/b/lib.rs", true),
            ("src/**", "x/src/a/b.txt", true),
            ("**/tests/**", "a/tests/b/c.rs", true),
            ("**/tests/**", "a/mytests/b/c.rs", false),
            ("/src/*.rs", "/src/lib.rs", true),
            ("/src/*.rs", "/a/src/lib.rs", false),
            ("a?c.rs", "abc.rs", true),
            ("a?c.rs", "a/c.rs", false),
            ("a**c", "ab/bc", true),
            ("src\\*.cs", "C:\\code\\src\\Main.cs", true),
            ("größe.*", "x/größe.md", true),
            ("[a].rs", "[a].rs", true),
        ] {
            assert_eq!(Glob::new(pattern).matches(path), is_match, "{pattern} {path}");
        }
        for (pattern, everything) in [("*", true), ("**/*", true), ("*.*", false), ("src/**", false)] {
            assert_eq!(Glob::new(pattern).matches_everything(), everything, "{pattern}");
        }
    }

    #[test]
    fn many_stars_take_a_bounded_time() {
        let started = Instant::now();
        let pattern = "*a".repeat(100);
        assert!(!Glob::new(&pattern).matches(&format!("{}b", "a".repeat(100_000))));
        assert!(Glob::new(&"*".repeat(10_000)).matches("a/b"));
        assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    }
}
