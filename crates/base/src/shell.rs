//! Shell quoting for paths in messages that a person copies into a shell.

use std::path::Path;

/// Formats a path as one word of a POSIX shell, in single quotes only if it needs them.
#[must_use]
pub fn quote(path: &Path) -> String {
    let word = path.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word;
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_where_a_shell_would_split_or_expand_them() {
        let quoted = |path: &str| quote(Path::new(path));
        assert_eq!(quoted("/usr/bin/lar"), "/usr/bin/lar");
        assert_eq!(quoted("/home/me/my data"), "'/home/me/my data'");
        assert_eq!(quoted("/home/o'brien/it's $HOME"), r"'/home/o'\''brien/it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }
}
