//! `lar memory intentions`: texts of which the user wants to be reminded.

use clap::{Args, Subcommand, ValueEnum};
use lar_api::Page;
use lar_api::memories::{
    Intention, IntentionPatch, IntentionPriority, IntentionStatus, IntentionTrigger, NewIntention,
};

use super::project;
use crate::client::Client;
use crate::output::{Output, plain, table};
use crate::url_path::encode_segment;

/// The units of a duration such as `2h`, in minutes.
const UNITS: [(char, i64); 4] = [('m', 1), ('h', 60), ('d', 24 * 60), ('w', 7 * 24 * 60)];

/// The subcommands of `lar memory intentions`.
#[derive(Debug, Clone, Subcommand)]
pub enum IntentionsCommand {
    /// List reminders, newest first
    List {
        /// Which ones: active, done, cancelled or all
        #[arg(long, default_value = "active")]
        status: String,
        /// Maximum number of reminders, 1 to 200
        #[arg(long, short = 'n', default_value_t = 50)]
        limit: u32,
        /// List the reminders of this team space
        #[arg(long)]
        space: Option<String>,
    },
    /// Add a reminder: name a time, or words or work that it is about
    Add(AddArgs),
    /// Mark a reminder as done
    Done {
        /// The id of the reminder
        id: String,
    },
    /// Hide a reminder for some time
    Snooze {
        /// The id of the reminder
        id: String,
        /// How long: 30m, 2h, 1d or 1w
        #[arg(long = "for", value_name = "DURATION", default_value = "30m", conflicts_with = "until")]
        duration: String,
        /// Until when: 2026-12-01, or 2026-12-01T09:00 (UTC)
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
    },
    /// Cancel a reminder
    Cancel {
        /// The id of the reminder
        id: String,
    },
}

/// The arguments of `lar memory intentions add`.
#[derive(Debug, Clone, Args)]
pub struct AddArgs {
    /// The text of the reminder
    #[arg(required = true)]
    text: Vec<String>,
    /// When a message contains all of these words, in any form; repeat it for other words
    #[arg(long = "when", value_name = "WORDS")]
    topics: Vec<String>,
    /// At this time: 2026-12-01, or 2026-12-01T09:00 (UTC), or 2026-12-01T09:00:00+01:00
    #[arg(long, value_name = "TIME", conflicts_with_all = ["topics", "duration", "project", "here", "file"])]
    at: Option<String>,
    /// After this time: 30m, 2h, 1d or 1w
    #[arg(long = "in", value_name = "DURATION", conflicts_with_all = ["topics", "project", "here", "file"])]
    duration: Option<String>,
    /// When you work on this project
    #[arg(long)]
    project: Option<String>,
    /// When you work on the project of this folder, according to its git remote
    #[arg(long, conflicts_with = "project")]
    here: bool,
    /// When you work on a file that this pattern matches, such as '*.rs' or 'src/**'
    #[arg(long, value_name = "PATTERN")]
    file: Option<String>,
    /// From this time on, remind in any case: 2026-12-01, or 2026-12-01T09:00 (UTC)
    #[arg(long, value_name = "TIME")]
    deadline: Option<String>,
    /// The importance
    #[arg(long, value_enum, default_value_t = Importance::Normal)]
    priority: Importance,
    /// Add it to this team space instead of your own space
    #[arg(long)]
    space: Option<String>,
}

/// The importance of a reminder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Importance {
    /// It can wait
    Low,
    /// The default
    Normal,
    /// Show it before others
    High,
    /// Show it first
    Critical,
}

pub(super) async fn intentions(
    client: &Client,
    output: &Output,
    command: IntentionsCommand,
    lar: &str,
) -> anyhow::Result<()> {
    let (id, patch, done) = match command {
        IntentionsCommand::List { status, limit, space } => {
            let client = &client.in_space(space);
            let path = format!("memories/intentions?status={}&limit={limit}", encode_segment(&status));
            let found: Page<Intention> = client.get(&path).await?;
            return output.show(&found.data, || render(&found.data, lar));
        }
        IntentionsCommand::Add(args) => return add(client, output, args, lar).await,
        IntentionsCommand::Done { id } => (id, to("done"), "Done."),
        IntentionsCommand::Cancel { id } => (id, to("cancelled"), "Cancelled."),
        IntentionsCommand::Snooze { id, duration, until } => {
            let patch = match until {
                Some(until) => {
                    IntentionPatch { snoozed_until: Some(Some(until)), ..IntentionPatch::default() }
                }
                None => {
                    IntentionPatch { snooze_minutes: Some(minutes(&duration)?), ..IntentionPatch::default() }
                }
            };
            (id, patch, "Snoozed.")
        }
    };
    let path = format!("memories/intentions/{}", encode_segment(&id));
    let changed: Intention = client.patch(&path, &patch).await?;
    output.show(&changed, || match &changed.snoozed_until {
        Some(until) => format!("Snoozed until {}.", minute(until)),
        None => done.into(),
    })
}

fn to(status: &str) -> IntentionPatch {
    IntentionPatch { status: Some(status.into()), ..IntentionPatch::default() }
}

async fn add(client: &Client, output: &Output, args: AddArgs, lar: &str) -> anyhow::Result<()> {
    let trigger = IntentionTrigger {
        at: args.at,
        in_minutes: args.duration.as_deref().map(minutes).transpose()?,
        project: project(args.project, args.here)?,
        file_pattern: args.file,
        topics: args.topics,
        ..IntentionTrigger::default()
    };
    let is_empty = trigger == IntentionTrigger::default();
    anyhow::ensure!(
        !is_empty || args.deadline.is_some(),
        "say when: --when WORDS, --at TIME, --in DURATION, --project NAME, --file PATTERN or --deadline TIME"
    );
    let new = NewIntention {
        content: args.text.join(" "),
        trigger: (!is_empty).then_some(trigger),
        priority: args.priority.to_possible_value().map(|value| value.get_name().to_owned()),
        deadline: args.deadline,
        source: None,
    };
    let made: Intention = client.in_space(args.space).post("memories/intentions", &new).await?;
    output.show(&made, || {
        format!("Added: {}. To see your reminders: {lar} memory intentions list", when(&made))
    })
}

/// Returns the minutes of a duration such as `2h`.
///
/// # Errors
/// If it is not a whole number with a unit.
fn minutes(text: &str) -> anyhow::Result<i64> {
    let parsed = UNITS.iter().find_map(|(unit, minutes)| {
        let number: i64 = text.trim().strip_suffix(*unit)?.trim().parse().ok()?;
        number.checked_mul(*minutes)
    });
    parsed.ok_or_else(|| anyhow::anyhow!("{text:?} is not a duration: use 30m, 2h, 1d or 1w"))
}

fn render(intentions: &[Intention], lar: &str) -> String {
    if intentions.is_empty() {
        return "There are no reminders.".into();
    }
    let rows = intentions.iter().map(|one| {
        vec![
            one.id.clone(),
            status(one).into(),
            priority(one.priority).into(),
            when(one),
            plain(&one.content),
        ]
    });
    let rows = table(&["id", "status", "priority", "when", "text"], rows);
    format!("{rows}\n\nTo change one: {lar} memory intentions done|snooze|cancel ID")
}

fn status(intention: &Intention) -> &'static str {
    match intention.status {
        IntentionStatus::Active if intention.snoozed_until.is_some() => "snoozed",
        IntentionStatus::Active => "active",
        IntentionStatus::Done => "done",
        IntentionStatus::Cancelled => "cancelled",
        IntentionStatus::Unknown => "unknown",
    }
}

fn priority(priority: IntentionPriority) -> &'static str {
    match priority {
        IntentionPriority::Low => "low",
        IntentionPriority::Normal => "normal",
        IntentionPriority::High => "high",
        IntentionPriority::Critical => "critical",
        IntentionPriority::Unknown => "unknown",
    }
}

/// Describes when an intention is due.
fn when(intention: &Intention) -> String {
    let trigger = intention.trigger.clone().unwrap_or_default();
    let mut parts = Vec::new();
    parts.extend(trigger.at.map(|at| format!("at {}", minute(&at))));
    parts.extend(trigger.project.or(trigger.codebase).map(|name| format!("in project {}", plain(&name))));
    parts.extend(trigger.file_pattern.map(|pattern| format!("on file {}", plain(&pattern))));
    if !trigger.topics.is_empty() {
        let topics: Vec<String> = trigger.topics.iter().map(|topic| format!("“{}”", plain(topic))).collect();
        parts.push(format!("at the words {}", topics.join(" or ")));
    }
    parts.extend(trigger.condition.map(|condition| format!("at the words “{}”", plain(&condition))));
    parts.extend(intention.deadline.as_deref().map(|at| format!("by {}", minute(at))));
    parts.join(", ")
}

/// Formats a time of RFC 3339 to the minute.
fn minute(time: &str) -> String {
    format!("{} UTC", time.get(..16).unwrap_or(time).replace('T', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, expected) in [("30m", 30), ("2h", 120), ("1d", 1440), ("1w", 10_080), (" 3 h ", 180)] {
            assert_eq!(minutes(text).unwrap(), expected, "{text}");
        }
        for text in ["", "2", "h", "1.5h", "2y", "9223372036854775807w"] {
            assert!(minutes(text).is_err(), "{text}");
        }
    }
}
