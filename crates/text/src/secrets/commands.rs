//! Passwords on command lines (`curl -u user:password`, `mysql -pPASSWORD`, `sshpass -p …`), and in `.netrc`
//! and `.pgpass` files.
//!
//! Options with a full name (`--password …`) are assignments.

mod programs;

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use self::programs::{Argument, PROGRAMS};
use super::SecretMatch;
use super::values::{self, Shape};

/// A longer command is read no further.
const COMMAND_BYTES_MAX: usize = 2048;

/// Commands of a short text that are read.
const COMMANDS_MIN: usize = 1000;

static PROGRAM_NAMES: LazyLock<Option<AhoCorasick>> =
    LazyLock::new(|| AhoCorasick::new(PROGRAMS.iter().map(|(program, ..)| program)).ok());

/// Adds the secrets on the command lines of a text.
pub(super) fn find(text: &str, found: &mut Vec<SecretMatch>) {
    if let Some(programs) = PROGRAM_NAMES.as_ref() {
        // A text of nothing but programs' names would be read again from each of them.
        let mut reads_left = COMMANDS_MIN + text.len() / COMMAND_BYTES_MAX * 8;
        let mut read: Option<(usize, Vec<Range<usize>>)> = None;
        for hit in programs.find_overlapping_iter(text) {
            if !is_word(text, hit.start(), hit.end()) {
                continue;
            }
            if read.as_ref().is_none_or(|(start, _)| *start != hit.end()) {
                let Some(left) = reads_left.checked_sub(1) else { break };
                reads_left = left;
                read = Some((hit.end(), shell_arguments(text, hit.end())));
            }
            let (_, option, argument) = PROGRAMS[hit.pattern().as_usize()];
            let arguments = read.as_ref().map(|(_, arguments)| arguments.as_slice()).unwrap_or_default();
            if let Some(at) = secret_argument(text, arguments, option, argument) {
                found.push(SecretMatch { rule: "password on a command line".into(), at });
            }
        }
    }
    files(text, found);
    piped(text, found);
}

/// Returns whether a range is not part of a longer word.
pub(super) fn is_word(text: &str, start: usize, end: usize) -> bool {
    let bytes = text.as_bytes();
    let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    (start == 0 || !is_part(bytes[start - 1]) && bytes[start - 1] != b'.')
        && (bytes[end - 1] == b' ' || bytes.get(end).is_none_or(|b| b.is_ascii_whitespace()))
}

/// Divides the rest of a command into arguments, without their quotes, up to the end of the command.
fn shell_arguments(text: &str, start: usize) -> Vec<Range<usize>> {
    let limit = text.floor_char_boundary(start + COMMAND_BYTES_MAX);
    let bytes = &text.as_bytes()[..limit];
    let (mut arguments, mut at) = (Vec::new(), start);
    loop {
        while at < limit
            && (matches!(bytes[at], b' ' | b'\t')
                || bytes[at] == b'\\' && matches!(bytes.get(at + 1), Some(b'\n' | b'\r')))
        {
            at += if bytes[at] == b'\\' { 2 } else { 1 };
        }
        let Some(first) = bytes.get(at) else { break };
        if matches!(first, b'\n' | b'\r' | b'|' | b';' | b'&' | b'`' | b')') {
            break;
        }
        let mut end = at;
        if matches!(first, b'"' | b'\'') {
            let Some(len) = bytes[at + 1..].iter().position(|b| b == first || *b == b'\n') else { break };
            arguments.push(at + 1..at + 1 + len);
            at += len + 2;
            continue;
        }
        while end < limit && !bytes[end].is_ascii_whitespace() && bytes[end] != b'`' {
            // `-p'pass word'` and `--user="a:b"` hold a quoted part.
            if matches!(bytes[end], b'"' | b'\'')
                && let Some(len) = bytes[end + 1..].iter().position(|b| *b == bytes[end])
            {
                end += len + 1;
            }
            end += 1;
        }
        let end = end.min(limit);
        arguments.push(at..end);
        at = end;
    }
    arguments
}

/// Returns the secret among the arguments of a command.
fn secret_argument(
    text: &str,
    arguments: &[Range<usize>],
    option: &str,
    argument: Argument,
) -> Option<Range<usize>> {
    if let Argument::Position(position) = argument {
        if !option.is_empty() && !arguments.iter().any(|at| &text[at.clone()] == option) {
            return None;
        }
        let plain = arguments.iter().filter(|at| !text[at.start..].starts_with(['-', '/'])).nth(position)?;
        return Some(plain.clone()).filter(|at| is_password(&text[at.clone()], option.is_empty()));
    }
    // `-su` is `-s` and `-u`.
    let is_joined = |argument: &str| {
        argument.len() > 2
            && option.len() == 2
            && argument.starts_with('-')
            && argument[1..].bytes().all(|b| b.is_ascii_alphabetic())
            && argument.ends_with(&option[1..])
    };
    let joined =
        arguments.iter().position(|at| argument == Argument::AfterColon && is_joined(&text[at.clone()]));
    let at = joined.or_else(|| arguments.iter().position(|at| text[at.clone()].starts_with(option)))?;
    let rest = if joined.is_some() { arguments[at].end } else { arguments[at].start + option.len() }
        ..arguments[at].end;
    let rest =
        rest.start + usize::from(text[rest.clone()].starts_with('=') && option.starts_with("--"))..rest.end;
    let value = match argument {
        Argument::Attached if rest.is_empty() => return None,
        _ if rest.is_empty() => arguments.get(at + 1)?.clone(),
        // `-print` is another option than `-p`.
        Argument::Whole
            if option.len() == 2 && text[rest.clone()].bytes().all(|b| b.is_ascii_lowercase()) =>
        {
            return None;
        }
        _ => rest,
    };
    let value = bare(text, value);
    let value = match argument {
        Argument::AfterColon => value.start + text[value.clone()].find(':')? + 1..value.end,
        Argument::AfterPercent => value.start + text[value.clone()].find('%')? + 1..value.end,
        _ => value,
    };
    Some(value).filter(|value| is_password(&text[value.clone()], false))
}

/// Returns a range without the quotes at both ends.
fn bare(text: &str, at: Range<usize>) -> Range<usize> {
    let value = &text[at.clone()];
    let start = at.start + (value.len() - value.trim_start_matches(['"', '\'']).len());
    start..at.start.max(at.start + value.trim_end_matches(['"', '\'', ',', '.']).len()).max(start)
}

/// Returns whether an argument is a password and no placeholder, option or port mapping.
fn is_password(value: &str, is_uncertain: bool) -> bool {
    let shape = Shape::of(value);
    let is_ports = value.bytes().all(|b| b.is_ascii_digit() || b == b':') && value.contains(':');
    !value.starts_with('-')
        && shape.chars >= 3
        && !is_ports
        && !values::is_placeholder(value)
        && (!is_uncertain || shape.is_mixed() && shape.chars >= 6)
}

/// Adds the passwords in lines of `.netrc` ("machine … login … password …") and `.pgpass`
/// (`host:port:db:user:password`).
fn files(text: &str, found: &mut Vec<SecretMatch>) {
    for (start, phrase) in text.match_indices(" password ") {
        let floor = text.ceil_char_boundary(start.saturating_sub(160));
        let before = &text[floor..start];
        let at = start + phrase.len();
        let value = text[at..].split(char::is_whitespace).next().unwrap_or_default();
        let is_netrc =
            before.contains("login ") && (before.contains("machine ") || before.contains("default "));
        if is_netrc && value.len() >= 3 && value.len() < 512 && !values::is_placeholder(value) {
            found.push(SecretMatch { rule: "password".into(), at: at..at + value.len() });
        }
    }
    if text.contains(":543") || text.contains(":*:") || text.contains(":330") {
        for line in text.lines().filter(|line| line.len() < 512) {
            let parts: Vec<&str> = line.trim().splitn(5, ':').collect();
            if let [host, port, database, user, password] = parts.as_slice()
                && [host, database, user]
                    .iter()
                    .all(|part| !part.is_empty() && !part.contains([' ', '/', '"']))
                && (*port == "*" || port.len() == 4 && port.bytes().all(|b| b.is_ascii_digit()))
                && !password.contains([' ', '/'])
                && password.len() >= 4
                && !values::is_placeholder(password)
            {
                let at = password.as_ptr() as usize - text.as_ptr() as usize;
                found.push(SecretMatch { rule: "database password".into(), at: at..at + password.len() });
            }
        }
    }
}

/// Programs that read a password from a pipe.
const PIPED: &[&str] =
    &["sudo -S", "--password-stdin", "passwd --stdin", "chpasswd", "--passphrase-fd 0", "--stdin-password"];

/// Adds the passwords in `echo … | sudo -S …`.
fn piped(text: &str, found: &mut Vec<SecretMatch>) {
    for (pipe, _) in text.match_indices('|') {
        let limit = text.floor_char_boundary(pipe + 80);
        let command = text[pipe..limit].split('\n').next().unwrap_or_default();
        if !PIPED.iter().any(|program| command.contains(program)) {
            continue;
        }
        let floor = text.ceil_char_boundary(pipe.saturating_sub(256));
        let Some(echo) = ["echo ", "printf "]
            .iter()
            .filter_map(|echo| Some(text[floor..pipe].rfind(echo)? + echo.len()))
            .max()
        else {
            continue;
        };
        let arguments = shell_arguments(text, floor + echo);
        let Some(at) = arguments.into_iter().find(|at| !text[at.clone()].starts_with('-') && at.end <= pipe)
        else {
            continue;
        };
        // `chpasswd` reads "user:password".
        let at = if command.contains("chpasswd") {
            at.start + text[at.clone()].find(':').map_or(0, |colon| colon + 1)..at.end
        } else {
            at
        };
        if is_password(&text[at.clone()], false) {
            found.push(SecretMatch { rule: "password on a command line".into(), at });
        }
    }
}
