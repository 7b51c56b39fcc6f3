//! The tool `intention` of Vestige: sets, checks, updates and lists intentions.

use lar_api::memories::IntentionTrigger as WireTrigger;
use lar_base::json::to_value;
use lar_base::{Problem, Timestamp};
use lar_memory::{DueContext, DueIntention, NewIntention, Repetition};
use lar_store::{Intention, IntentionPatch, IntentionStatus, IntentionTrigger};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::mcp::ToolContext;
use crate::memories::intentions::DUE_MAX;
use crate::memories::intentions::parse::{
    after_minutes, check_context, parse_intention_id, parse_priority, parse_time, parse_trigger,
};
use crate::memories::view::{WriterView, show_intention, show_trigger};

/// The number of listed intentions without `limit`.
const LIST_DEFAULT: usize = 20;
/// The maximum number of listed intentions.
const LIST_MAX: usize = 1000;
/// The minutes of a snooze without `snooze_minutes`.
const SNOOZE_MINUTES: i64 = 30;

/// The arguments of the tool.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IntentionArguments {
    action: String,
    #[serde(alias = "content")]
    description: Option<String>,
    trigger: Option<TriggerArguments>,
    priority: Option<String>,
    deadline: Option<String>,
    #[serde(alias = "intention_id", alias = "intentionId")]
    id: Option<String>,
    status: Option<String>,
    #[serde(alias = "snoozeMinutes")]
    snooze_minutes: Option<i64>,
    context: Option<CheckContext>,
    #[serde(default, alias = "includeSnoozed")]
    include_snoozed: bool,
    #[serde(alias = "filterStatus")]
    filter_status: Option<String>,
    limit: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TriggerArguments {
    #[serde(rename = "type")]
    kind: Option<String>,
    at: Option<String>,
    #[serde(alias = "inMinutes")]
    in_minutes: Option<i64>,
    project: Option<String>,
    codebase: Option<String>,
    #[serde(alias = "filePattern")]
    file_pattern: Option<String>,
    topic: Option<String>,
    #[serde(default)]
    topics: Vec<String>,
    condition: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckContext {
    #[serde(alias = "currentTime")]
    current_time: Option<String>,
    message: Option<String>,
    project: Option<String>,
    codebase: Option<String>,
    file: Option<String>,
    #[serde(default)]
    topics: Vec<String>,
    event: Option<String>,
    #[serde(default, alias = "recentEvents", alias = "recent_events")]
    events: Vec<String>,
}

/// Calls the tool.
///
/// # Errors
/// [`lar_base::Code::InvalidParams`], naming the argument; errors of the intentions.
pub(super) async fn call(context: &ToolContext<'_>, arguments: IntentionArguments) -> Result<Value, Problem> {
    match arguments.action.as_str() {
        "set" => set(context, arguments).await,
        "check" => check(context, arguments).await,
        "update" => update(context, arguments).await,
        "list" => list(context, arguments).await,
        _ => Err(Problem::invalid("action", "must be set, check, update or list")),
    }
}

async fn set(context: &ToolContext<'_>, arguments: IntentionArguments) -> Result<Value, Problem> {
    let now = Timestamp::now();
    let content = arguments.description.ok_or_else(|| Problem::invalid("description", "is missing"))?;
    let trigger = match arguments.trigger {
        Some(trigger) => parse_trigger(trigger.into(), now)?,
        None => IntentionTrigger::Manual,
    };
    let priority = arguments.priority.as_deref().map(parse_priority).transpose()?;
    let deadline = arguments.deadline.map(|text| parse_time("deadline", &text)).transpose()?;
    let new = NewIntention {
        priority: priority.unwrap_or_default(),
        deadline,
        ..NewIntention::new(content, trigger)
    };
    let writer = context.authorize_write().await?;
    let made = context.memories.create_intention(&writer, new).await.map_err(|mut problem| {
        // The tool has another name for the text.
        for field in problem.fields.iter_mut().filter(|field| field.field == "content") {
            field.field = "description".into();
            problem.detail = format!("`description` {}", field.reason);
        }
        problem
    })?;
    let shown = WriterView::of(&writer).intention(&made.intention);
    let at = shown.trigger.as_ref().and_then(|trigger| trigger.at.clone());
    Ok(json!({
        "success": true, "action": "set", "intentionId": shown.id,
        "message": format!("Intention created: {}", shown.content),
        "priority": shown.priority, "triggerAt": at, "triggerType": shown.trigger.as_ref().map(|trigger| &trigger.kind),
        "trigger": shown.trigger, "deadline": shown.deadline,
    }))
}

async fn check(context: &ToolContext<'_>, arguments: IntentionArguments) -> Result<Value, Problem> {
    let current = arguments.context.unwrap_or_default();
    let now = match &current.current_time {
        Some(time) => parse_time("context.current_time", time)?,
        None => Timestamp::now(),
    };
    let texts = current.message.into_iter().chain(current.topics).chain(current.event).chain(current.events);
    let due_context = DueContext {
        texts: texts.collect(),
        project: current.project,
        codebase: current.codebase,
        file: current.file,
    };
    check_context(&due_context).map_err(|problem| problem.within("context"))?;
    let reader = context.authorize_read().await?;
    let memories = context.memories;
    let due = memories.due_intentions(&reader, due_context, now, Repetition::Hourly, DUE_MAX).await?;
    let active = memories.intentions(&reader, Some(IntentionStatus::Active), None, LIST_MAX as u32).await?;
    let is_pending = |intention: &&Intention| {
        let is_snoozed = intention.snoozed_until.is_some_and(|until| until > now);
        (arguments.include_snoozed || !is_snoozed) && due.iter().all(|due| due.intention.id != intention.id)
    };
    let show = |intention: &Intention| to_vestige(&show_intention(&reader, intention), intention, now);
    let triggered = |due: &DueIntention| {
        let mut shown = show(&due.intention);
        shown["reason"] = json!(due.reason);
        shown
    };
    Ok(json!({
        "success": true, "action": "check", "triggered": due.iter().map(triggered).collect::<Vec<_>>(),
        "pending": active.iter().filter(is_pending).map(show).collect::<Vec<_>>(), "checkedAt": now.to_string(),
    }))
}

async fn update(context: &ToolContext<'_>, arguments: IntentionArguments) -> Result<Value, Problem> {
    let id = arguments.id.ok_or_else(|| Problem::invalid("id", "is missing"))?;
    let status = arguments.status.ok_or_else(|| Problem::invalid("status", "is missing"))?;
    let to = |status| IntentionPatch { status: Some(status), ..IntentionPatch::default() };
    let (patch, message) = match status.as_str() {
        "complete" => (to(IntentionStatus::Done), "Intention marked as complete".to_owned()),
        "cancel" => (to(IntentionStatus::Cancelled), "Intention cancelled".to_owned()),
        "snooze" => {
            let minutes = arguments.snooze_minutes.unwrap_or(SNOOZE_MINUTES);
            let until = after_minutes("snooze_minutes", minutes, 1, Timestamp::now())?;
            let patch = IntentionPatch { snoozed_until: Some(Some(until)), ..IntentionPatch::default() };
            (patch, format!("Intention snoozed for {minutes} minutes"))
        }
        _ => return Err(Problem::invalid("status", "must be complete, snooze or cancel")),
    };
    let writer = context.authorize_write().await?;
    let changed = context.memories.update_intention(&writer, parse_intention_id(&id)?, patch).await?;
    Ok(json!({
        "success": true, "action": "update", "status": status, "message": message,
        "intentionId": changed.id.to_string(),
        "snoozedUntil": WriterView::of(&writer).intention(&changed).snoozed_until,
    }))
}

async fn list(context: &ToolContext<'_>, arguments: IntentionArguments) -> Result<Value, Problem> {
    let filter = arguments.filter_status.unwrap_or_else(|| "active".into());
    let limit = arguments.limit.unwrap_or(LIST_DEFAULT);
    if !(1..=LIST_MAX).contains(&limit) {
        return Err(Problem::invalid("limit", format!("must be between 1 and {LIST_MAX}")));
    }
    let status = match filter.as_str() {
        "active" | "snoozed" => Some(IntentionStatus::Active),
        "fulfilled" => Some(IntentionStatus::Done),
        "cancelled" => Some(IntentionStatus::Cancelled),
        "all" => None,
        _ => {
            let reason = "must be active, fulfilled, cancelled, snoozed or all";
            return Err(Problem::invalid("filter_status", reason));
        }
    };
    let reader = context.authorize_read().await?;
    let now = Timestamp::now();
    let mut found = context.memories.intentions(&reader, status, None, LIST_MAX as u32).await?;
    let is_snoozed = |intention: &Intention| intention.snoozed_until.is_some_and(|until| until > now);
    match filter.as_str() {
        "snoozed" => found.retain(is_snoozed),
        "active" => {
            found.retain(|intention| !is_snoozed(intention));
            found.sort_by_key(|intention| std::cmp::Reverse(intention.priority));
        }
        _ => {}
    }
    found.truncate(limit);
    let items: Vec<Value> = found
        .iter()
        .map(|intention| to_vestige(&show_intention(&reader, intention), intention, now))
        .collect();
    Ok(json!({
        "success": true, "action": "list", "intentions": items, "total": items.len(), "status": filter,
    }))
}

/// Returns an intention in Vestige's format.
fn to_vestige(shown: &lar_api::memories::Intention, intention: &Intention, now: Timestamp) -> Value {
    let is_snoozed = intention.snoozed_until.is_some_and(|until| until > now);
    let status = match intention.status {
        IntentionStatus::Active if is_snoozed => "snoozed",
        IntentionStatus::Active => "active",
        IntentionStatus::Done => "fulfilled",
        IntentionStatus::Cancelled => "cancelled",
    };
    let trigger = show_trigger(&intention.trigger);
    json!({
        "id": shown.id, "description": shown.content, "status": status, "priority": shown.priority,
        "createdAt": shown.created_at, "deadline": shown.deadline, "snoozedUntil": shown.snoozed_until,
        "isOverdue": intention.deadline.is_some_and(|deadline| deadline <= now),
        "triggerType": trigger.kind, "trigger": to_value(&trigger),
    })
}

impl From<TriggerArguments> for WireTrigger {
    fn from(trigger: TriggerArguments) -> Self {
        Self {
            kind: trigger.kind,
            at: trigger.at,
            in_minutes: trigger.in_minutes,
            project: trigger.project,
            codebase: trigger.codebase,
            file_pattern: trigger.file_pattern,
            topic: trigger.topic,
            topics: trigger.topics,
            condition: trigger.condition,
        }
    }
}
