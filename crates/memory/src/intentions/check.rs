//! The checks of an intention's fields. Errors name the field.

use lar_base::{Problem, Timestamp};
use lar_store::IntentionTrigger;
use lar_text::terms::QueryTerms;

use super::glob::Glob;
use crate::SecretPolicy;

/// The most bytes in the text of an intention.
pub const CONTENT_BYTES_MAX: usize = 8 << 10;
/// The most characters in a topic, a condition, a project, a code base or a source.
pub const TEXT_CHARS_MAX: usize = 500;
/// The most characters in a glob.
pub const PATTERN_CHARS_MAX: usize = 200;
/// The most topics of a trigger.
pub const TOPICS_MAX: usize = 20;
/// The most minutes from now to a time or to the end of a snooze: ten years.
pub const MINUTES_MAX: i64 = 10 * 365 * 24 * 60;
/// The last time that is accepted: the end of the year 9999, in milliseconds. RFC 3339 has no later one.
const TIME_MAX: i64 = 253_402_300_799_999;

/// Trims and checks the text of an intention. Returns the rules that found secrets, which were redacted.
pub(super) fn check_content(policy: SecretPolicy, content: &mut String) -> Result<Vec<String>, Problem> {
    let trimmed = content.trim();
    if trimmed.is_empty() {
        return Err(Problem::invalid("content", "must not be empty"));
    }
    if trimmed.len() > CONTENT_BYTES_MAX {
        let reason = format!("has {} bytes; the limit is {CONTENT_BYTES_MAX}", trimmed.len());
        return Err(Problem::invalid("content", reason));
    }
    if trimmed.contains('\0') {
        return Err(Problem::invalid("content", "must not contain U+0000"));
    }
    *content = trimmed.to_owned();
    policy.screen("content", content)
}

/// Trims and checks a trigger. Returns the rules that found secrets, which were redacted.
pub(super) fn check_trigger(
    policy: SecretPolicy,
    trigger: &mut IntentionTrigger,
) -> Result<Vec<String>, Problem> {
    let mut redacted = Vec::new();
    match trigger {
        IntentionTrigger::Time { at } => check_time("trigger.at", Some(*at))?,
        IntentionTrigger::Context { project, codebase, file_pattern, topics } => {
            if project.is_none() && codebase.is_none() && file_pattern.is_none() && topics.is_empty() {
                let reason =
                    "of the type context must have `project`, `codebase`, `file_pattern` or `topics`";
                return Err(Problem::invalid("trigger", reason));
            }
            for (field, text) in [("trigger.project", project), ("trigger.codebase", codebase)] {
                if let Some(text) = text {
                    redacted.extend(check_text(policy, field, text)?);
                }
            }
            if let Some(pattern) = file_pattern {
                check_pattern(pattern)?;
                redacted.extend(policy.screen("trigger.file_pattern", pattern)?);
            }
            if topics.len() > TOPICS_MAX {
                let reason = format!("has {} topics; the limit is {TOPICS_MAX}", topics.len());
                return Err(Problem::invalid("trigger.topics", reason));
            }
            for topic in topics {
                redacted.extend(check_words(policy, "trigger.topics", topic)?);
            }
        }
        IntentionTrigger::Event { condition } => {
            redacted.extend(check_words(policy, "trigger.condition", condition)?);
        }
        IntentionTrigger::Manual => {}
    }
    Ok(redacted)
}

/// Trims and checks a short text. Returns the rules that found secrets, which were redacted.
pub(super) fn check_text(
    policy: SecretPolicy,
    field: &str,
    text: &mut String,
) -> Result<Vec<String>, Problem> {
    let trimmed = text.trim();
    if !(1..=TEXT_CHARS_MAX).contains(&trimmed.chars().count()) || trimmed.chars().any(char::is_control) {
        return Err(Problem::invalid(field, format!("must be one line of 1 to {TEXT_CHARS_MAX} characters")));
    }
    *text = trimmed.to_owned();
    policy.screen(field, text)
}

/// Checks a text whose words are looked for: there must be one.
fn check_words(policy: SecretPolicy, field: &str, text: &mut String) -> Result<Vec<String>, Problem> {
    let redacted = check_text(policy, field, text)?;
    if QueryTerms::of(text).words.is_empty() {
        return Err(Problem::invalid(field, "must contain a word"));
    }
    Ok(redacted)
}

fn check_pattern(pattern: &mut String) -> Result<(), Problem> {
    let trimmed = pattern.trim();
    let length = trimmed.chars().count();
    if !(1..=PATTERN_CHARS_MAX).contains(&length) || trimmed.chars().any(char::is_control) {
        let reason = format!("must be one line of 1 to {PATTERN_CHARS_MAX} characters; it has {length}");
        return Err(Problem::invalid("trigger.file_pattern", reason));
    }
    if Glob::new(trimmed).matches_everything() {
        let reason = "matches every file; name a folder, a file name or an ending as in *.rs";
        return Err(Problem::invalid("trigger.file_pattern", reason));
    }
    *pattern = trimmed.to_owned();
    Ok(())
}

/// Checks that a time is from 1970 to 9999.
pub(super) fn check_time(field: &str, time: Option<Timestamp>) -> Result<(), Problem> {
    match time {
        Some(time) if !(0..=TIME_MAX).contains(&time.as_millis()) => {
            Err(Problem::invalid(field, "must be in the years 1970 to 9999"))
        }
        _ => Ok(()),
    }
}

/// Checks the end of a snooze.
pub(super) fn check_snooze(until: Option<Timestamp>, now: Timestamp) -> Result<(), Problem> {
    check_time("snoozed_until", until)?;
    match until {
        Some(until) if until <= now => Err(Problem::invalid("snoozed_until", "must be in the future")),
        _ => Ok(()),
    }
}
