//! Parses the fields of requests about intentions, for the HTTP API and the tool `intention`. Errors name the
//! field. `memory` checks the lengths of texts.

use std::time::Duration;

use lar_api::memories::{
    IntentionPatch as WirePatch, IntentionTrigger as WireTrigger, NewIntention as WireNew,
};
use lar_base::{IntentionId, Problem, Timestamp};
use lar_memory::limits::{MINUTES_MAX, TEXT_CHARS_MAX};
use lar_memory::{DueContext, NewIntention};
use lar_store::{IntentionPatch, IntentionPriority, IntentionStatus, IntentionTrigger};

use crate::extract;

/// The most texts of a context.
const TEXTS_MAX: usize = 33;
/// The most characters in the path of the current file.
const FILE_CHARS_MAX: usize = 4096;

/// Parses the id that selects one intention.
///
/// # Errors
/// [`lar_base::Code::NotFound`], as if there were no intention with this id.
pub(crate) fn parse_intention_id(text: &str) -> Result<IntentionId, Problem> {
    extract::id(text, "intention")
}

/// Parses an intention to create. Minutes count from `now`.
pub(super) fn parse_new(new: WireNew, now: Timestamp) -> Result<NewIntention, Problem> {
    let deadline = new.deadline.map(|text| parse_time("deadline", &text)).transpose()?;
    let trigger = match new.trigger {
        Some(trigger) => parse_trigger(trigger, now)?,
        None if deadline.is_some() => IntentionTrigger::Manual,
        None => {
            return Err(Problem::invalid("trigger", "is missing; it may be missing only with a deadline"));
        }
    };
    let priority = new.priority.as_deref().map(parse_priority).transpose()?;
    Ok(NewIntention {
        priority: priority.unwrap_or_default(),
        deadline,
        source: new.source,
        ..NewIntention::new(new.content, trigger)
    })
}

/// Parses a change of an intention. Minutes count from `now`.
pub(super) fn parse_patch(patch: WirePatch, now: Timestamp) -> Result<IntentionPatch, Problem> {
    let at = |field: &str, time: Option<Option<String>>| {
        time.map(|time| time.map(|time| parse_time(field, &time)).transpose()).transpose()
    };
    if patch.snoozed_until.is_some() && patch.snooze_minutes.is_some() {
        return Err(Problem::invalid("snooze_minutes", "must be missing if `snoozed_until` is given"));
    }
    let snoozed_until = match patch.snooze_minutes {
        Some(minutes) => Some(Some(after_minutes("snooze_minutes", minutes, 1, now)?)),
        None => at("snoozed_until", patch.snoozed_until)?,
    };
    let status = patch.status.as_deref().map(parse_status).transpose()?;
    Ok(IntentionPatch {
        content: patch.content,
        trigger: patch.trigger.map(|trigger| parse_trigger(trigger, now)).transpose()?,
        priority: patch.priority.as_deref().map(parse_priority).transpose()?,
        deadline: at("deadline", patch.deadline)?,
        status,
        snoozed_until,
    })
}

/// Parses a trigger. Without a type, its fields decide. Minutes count from `now`.
///
/// # Errors
/// [`lar_base::Code::InvalidParams`] for an unknown type, a missing field, or a field of another type.
pub(crate) fn parse_trigger(trigger: WireTrigger, now: Timestamp) -> Result<IntentionTrigger, Problem> {
    let WireTrigger { kind, at, in_minutes, project, codebase, file_pattern, topic, mut topics, condition } =
        trigger;
    topics.extend(topic);
    let has_time = at.is_some() || in_minutes.is_some();
    let has_context = project.is_some() || codebase.is_some() || file_pattern.is_some() || !topics.is_empty();
    let inferred = match (has_time, has_context, condition.is_some()) {
        (true, false, false) => "time",
        (false, true, false) => "context",
        (false, false, true) => "event",
        _ => "",
    };
    let kind = kind.as_deref().unwrap_or(inferred);
    let other = match kind {
        "time" if !has_time => return Err(missing("time", "`at` or `in_minutes`")),
        "context" if !has_context => {
            return Err(missing("context", "`project`, `codebase`, `file_pattern`, `topic` or `topics`"));
        }
        "event" if condition.is_none() => return Err(missing("event", "`condition`")),
        "time" => has_context || condition.is_some(),
        "context" => has_time || condition.is_some(),
        "event" => has_time || has_context,
        "manual" => has_time || has_context || condition.is_some(),
        "" if has_time || has_context || condition.is_some() => {
            let reason = "has fields of several types; name one type and send only its fields";
            return Err(Problem::invalid("trigger", reason));
        }
        "" => {
            let reason = "must have a time (`at` or `in_minutes`), a context (`project`, `codebase`, \
                          `file_pattern` or `topics`) or an event (`condition`)";
            return Err(Problem::invalid("trigger", reason));
        }
        _ => return Err(Problem::invalid("trigger.type", "must be time, context, event or manual")),
    };
    if other {
        return Err(Problem::invalid("trigger", format!("has fields of another type than {kind}")));
    }
    Ok(match kind {
        "time" => IntentionTrigger::Time {
            at: match (at, in_minutes) {
                (Some(_), Some(_)) => {
                    let reason = "must be missing if `trigger.at` is given";
                    return Err(Problem::invalid("trigger.in_minutes", reason));
                }
                (Some(at), None) => parse_time("trigger.at", &at)?,
                (None, minutes) => after_minutes("trigger.in_minutes", minutes.unwrap_or_default(), 0, now)?,
            },
        },
        "context" => IntentionTrigger::Context { project, codebase, file_pattern, topics },
        "event" => IntentionTrigger::Event { condition: condition.unwrap_or_default() },
        _ => IntentionTrigger::Manual,
    })
}

fn missing(kind: &str, fields: &str) -> Problem {
    Problem::invalid("trigger", format!("of the type {kind} must have {fields}"))
}

/// Parses a time of RFC 3339, the same without a zone (which is UTC), or a day (its midnight in UTC).
pub(crate) fn parse_time(field: &str, text: &str) -> Result<Timestamp, Problem> {
    Timestamp::parse_lenient(text).ok_or_else(|| {
        Problem::invalid(field, "must be a time as in 2026-11-26T10:00:00Z, or a day as in 2026-11-26")
    })
}

/// Returns the time after a number of minutes from `now`.
pub(crate) fn after_minutes(
    field: &str,
    minutes: i64,
    least: i64,
    now: Timestamp,
) -> Result<Timestamp, Problem> {
    let reason = || Problem::invalid(field, format!("must be between {least} and {MINUTES_MAX}"));
    if !(least..=MINUTES_MAX).contains(&minutes) {
        return Err(reason());
    }
    let seconds = u64::try_from(minutes).map_err(|_| reason())?.saturating_mul(60);
    Ok(now.after(Duration::from_secs(seconds)))
}

/// Parses the importance of an intention.
pub(crate) fn parse_priority(text: &str) -> Result<IntentionPriority, Problem> {
    text.parse().map_err(|reason: String| Problem::invalid("priority", reason))
}

/// Parses the state of an intention.
pub(crate) fn parse_status(text: &str) -> Result<IntentionStatus, Problem> {
    text.parse().map_err(|reason: String| Problem::invalid("status", reason))
}

/// Parses the states to list; `None` for all.
pub(super) fn parse_status_filter(text: &str) -> Result<Option<IntentionStatus>, Problem> {
    if text == "all" {
        return Ok(None);
    }
    let parsed: Result<IntentionStatus, String> = text.parse();
    parsed.map(Some).map_err(|reason| Problem::invalid("status", format!("{reason}, or all")))
}

/// Checks the lengths of a context. Only the start of each text counts.
pub(crate) fn check_context(context: &DueContext) -> Result<(), Problem> {
    if context.texts.len() > TEXTS_MAX {
        let reason = format!("has {} texts with the message; the limit is {TEXTS_MAX}", context.texts.len());
        return Err(Problem::invalid("topics", reason));
    }
    for (field, name) in [("project", &context.project), ("codebase", &context.codebase)] {
        if let Some(name) = name {
            check_line(field, name)?;
        }
    }
    match &context.file {
        Some(file) if file.chars().count() > FILE_CHARS_MAX => {
            Err(Problem::invalid("file", format!("must have at most {FILE_CHARS_MAX} characters")))
        }
        _ => Ok(()),
    }
}

/// Checks that a text is one line.
pub(super) fn check_line(field: &str, text: &str) -> Result<(), Problem> {
    if (1..=TEXT_CHARS_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Problem::invalid(field, format!("must be one line of 1 to {TEXT_CHARS_MAX} characters")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn text(text: &str) -> Option<String> {
        Some(text.into())
    }

    #[test]
    fn the_type_of_a_trigger_follows_from_its_fields() {
        let parse = |trigger: WireTrigger| parse_trigger(trigger, NOW).unwrap();
        let at = |millis: i64| IntentionTrigger::Time { at: Timestamp::from_millis(millis) };
        assert_eq!(parse(WireTrigger { in_minutes: Some(2), ..WireTrigger::default() }), at(1_120_000));
        let same = ["1970-01-01T01:00:00Z", "1970-01-01T01:00", "1970-01-01T02:00:00+01:00"];
        for time in same {
            let trigger = WireTrigger { at: text(time), kind: text("time"), ..WireTrigger::default() };
            assert_eq!(parse(trigger), at(3_600_000), "{time}");
        }
        let topics = WireTrigger { topic: text("a"), topics: vec!["b".into()], ..WireTrigger::default() };
        let expected = IntentionTrigger::Context {
            project: None,
            codebase: None,
            file_pattern: None,
            topics: vec!["b".into(), "a".into()],
        };
        assert_eq!(parse(topics), expected);
        let event = WireTrigger { condition: text("it rains"), ..WireTrigger::default() };
        assert_eq!(parse(event), IntentionTrigger::Event { condition: "it rains".into() });
        let manual = WireTrigger { kind: text("manual"), ..WireTrigger::default() };
        assert_eq!(parse(manual), IntentionTrigger::Manual);
    }

    #[test]
    fn invalid_triggers_are_refused_with_their_field() {
        let none = WireTrigger::default;
        for (trigger, error) in [
            (none(), "`trigger` must have a time"),
            (WireTrigger { kind: text("time"), ..none() }, "`trigger` of the type time must have `at`"),
            (WireTrigger { kind: text("event"), ..none() }, "must have `condition`"),
            (WireTrigger { kind: text("context"), ..none() }, "must have `project`"),
            (WireTrigger { kind: text("recurring"), ..none() }, "`trigger.type` must be time, context"),
            (WireTrigger { at: text("next Friday"), ..none() }, "`trigger.at` must be a time"),
            (WireTrigger { at: text("10000-01-01T00:00:00Z"), ..none() }, "`trigger.at` must be a time"),
            (WireTrigger { in_minutes: Some(-1), ..none() }, "`trigger.in_minutes` must be between 0 and"),
            (WireTrigger { in_minutes: Some(i64::MAX), ..none() }, "`trigger.in_minutes` must be between"),
            (
                WireTrigger { at: text("2026-12-01"), in_minutes: Some(1), ..none() },
                "`trigger.in_minutes` must be missing",
            ),
            (WireTrigger { at: text("2026-12-01"), topic: text("x"), ..none() }, "several types"),
            (
                WireTrigger { kind: text("event"), condition: text("x"), topic: text("x"), ..none() },
                "has fields of another type than event",
            ),
        ] {
            let refused = parse_trigger(trigger, NOW).unwrap_err().detail;
            assert!(refused.contains(error), "{refused}: {error}");
        }
    }
}
