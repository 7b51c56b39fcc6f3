//! Reminders: the intentions that are due, selected for a check, an answer or the start of a session.

use std::time::Duration;

use lar_base::{Problem, Timestamp, error_chain};
use lar_inference::Prompt;
use lar_store::{Intention, IntentionTrigger};

use super::due::{DueContext, DueIntention, PreparedContext, is_same_project, minute};
use crate::{Error, Memories, ReadAccess};

/// The time for which an intention is not repeated to a viewer.
const PAUSE: Duration = Duration::from_secs(3600);
/// The time before an intention is due in which a brief names it as upcoming.
const UPCOMING: Duration = Duration::from_secs(7 * 24 * 3600);
/// The most intentions in a brief.
const BRIEF_MAX: usize = 10;
/// The most characters of an intention in a brief.
const BRIEF_CHARS: usize = 300;

/// Whether an intention that is due is repeated to a viewer who has just seen it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repetition {
    /// Once an hour in this conversation of the caller's key, whose name is of the caller's choice.
    HourlyIn(String),
    /// Once an hour for the caller's key.
    Hourly,
    /// Always, and showing it is not recorded.
    Always,
}

/// The intentions for the start of a session.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BriefIntentions {
    /// The intentions that are due, most important first.
    pub due: Vec<DueIntention>,
    /// The intentions that will be due within a week, earliest first.
    pub upcoming: Vec<Intention>,
    /// The number of tokens of all of them, as lines of [`BriefIntentions::lines`].
    pub tokens: usize,
}

impl BriefIntentions {
    /// Renders each intention as a line for a model: its id, when it is due, and its text.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let due = self.due.iter().map(due_line);
        due.chain(self.upcoming.iter().map(upcoming_line)).collect()
    }
}

impl Memories {
    /// Returns at most `limit` intentions that are due in a context, most important first.
    ///
    /// # Errors
    /// When the database fails. If it only cannot record what is shown, the intentions are returned all the
    /// same.
    pub async fn due_intentions(
        &self,
        reader: &ReadAccess,
        context: DueContext,
        now: Timestamp,
        repetition: Repetition,
        limit: usize,
    ) -> Result<Vec<DueIntention>, Problem> {
        let mut due = self.find_due(reader, context, now).await?;
        let key = reader.caller.key();
        let viewer = match repetition {
            Repetition::HourlyIn(conversation) => format!("{key} {conversation}"),
            Repetition::Hourly => key.to_string(),
            Repetition::Always => {
                due.truncate(limit);
                return Ok(due);
            }
        };
        if due.is_empty() {
            return Ok(due);
        }
        let ids = due.iter().map(|due| due.intention.id).collect();
        match self.store.intentions_show(ids, viewer, Timestamp::now(), PAUSE, limit).await {
            Ok(shown) => due.retain(|due| shown.contains(&due.intention.id)),
            Err(error) => {
                tracing::warn!(error = %error_chain(&error), "could not record which reminders were shown");
                due.truncate(limit);
            }
        }
        Ok(due)
    }

    /// Returns the intentions for the start of a session in a project, due and upcoming ones, in at most
    /// `token_budget` tokens of `model`.
    ///
    /// # Errors
    /// [`lar_base::Code::ComponentUnavailable`] if no model can count tokens; when the database fails.
    pub async fn brief_intentions(
        &self,
        reader: &ReadAccess,
        project: Option<&str>,
        token_budget: usize,
        model: &str,
    ) -> Result<BriefIntentions, Problem> {
        let now = Timestamp::now();
        let context = DueContext { project: project.map(str::to_owned), ..DueContext::default() };
        let mut due = self.find_due(reader, context, now).await?;
        due.truncate(BRIEF_MAX);
        let mut upcoming = self.store.intentions_awake(reader.spaces.clone(), now).await?;
        upcoming.retain(|intention| {
            let is_soon = next_time(intention).is_some_and(|at| now < at && at <= now.after(UPCOMING));
            is_soon && concerns(intention, project) && due.iter().all(|due| due.intention.id != intention.id)
        });
        upcoming.sort_by_key(next_time);
        upcoming.truncate(BRIEF_MAX - due.len());
        let (mut brief, all) = (BriefIntentions::default(), BriefIntentions { due, upcoming, tokens: 0 });
        for due in all.due {
            if self.fits(&mut brief.tokens, due_line(&due), token_budget, model).await? {
                brief.due.push(due);
            }
        }
        for intention in all.upcoming {
            if self.fits(&mut brief.tokens, upcoming_line(&intention), token_budget, model).await? {
                brief.upcoming.push(intention);
            }
        }
        Ok(brief)
    }

    /// Adds the tokens of a line to `used` and returns true, if they fit in the budget.
    async fn fits(
        &self,
        used: &mut usize,
        line: String,
        token_budget: usize,
        model: &str,
    ) -> Result<bool, Problem> {
        let counted = self.gateway.count_tokens(model, &Prompt::Text(line)).await;
        let tokens = counted.map_err(|problem| match problem.code {
            lar_base::Code::NotFound => {
                Problem::about(lar_base::Code::ComponentUnavailable, "token_budget", problem.detail)
            }
            _ => problem,
        })?;
        let fits = *used + tokens.tokens <= token_budget;
        if fits {
            *used += tokens.tokens;
        }
        Ok(fits)
    }

    /// Returns all intentions that are due, most important first.
    async fn find_due(
        &self,
        reader: &ReadAccess,
        context: DueContext,
        now: Timestamp,
    ) -> Result<Vec<DueIntention>, Problem> {
        let active = self.store.intentions_awake(reader.spaces.clone(), now).await?;
        if active.is_empty() {
            return Ok(Vec::new());
        }
        // A thousand intentions with long topics take a noticeable time.
        let find = move || {
            let context = PreparedContext::new(&context);
            let mut due: Vec<DueIntention> = active
                .into_iter()
                .filter_map(|intention| {
                    let (cause, reason) = context.check(&intention, now)?;
                    Some(DueIntention { intention, cause, reason })
                })
                .collect();
            due.sort_by_key(|due| {
                let DueIntention { intention, .. } = due;
                (
                    std::cmp::Reverse(intention.priority),
                    intention.deadline.map_or(i64::MAX, Timestamp::as_millis),
                )
            });
            due
        };
        Ok(tokio::task::spawn_blocking(find).await.map_err(Error::abort_error("finding reminders"))?)
    }
}

/// Returns the next time at which an intention becomes due by time or deadline.
fn next_time(intention: &Intention) -> Option<Timestamp> {
    match (&intention.trigger, intention.deadline) {
        (IntentionTrigger::Time { at }, Some(deadline)) => Some((*at).min(deadline)),
        (IntentionTrigger::Time { at }, None) => Some(*at),
        (_, deadline) => deadline,
    }
}

/// Returns whether an intention is of no project, or of this one.
fn concerns(intention: &Intention, project: Option<&str>) -> bool {
    match (&intention.trigger, project) {
        (IntentionTrigger::Context { project: named, codebase, .. }, Some(current)) => {
            [named, codebase].into_iter().flatten().all(|name| is_same_project(name, current))
        }
        _ => true,
    }
}

fn due_line(due: &DueIntention) -> String {
    format!("[{}] reminder · due: {}\n{}", due.intention.id, due.reason, excerpt(&due.intention.content))
}

fn upcoming_line(intention: &Intention) -> String {
    let at = next_time(intention).map(minute).unwrap_or_default();
    format!("[{}] reminder · on {at}\n{}", intention.id, excerpt(&intention.content))
}

fn excerpt(text: &str) -> String {
    match text.char_indices().nth(BRIEF_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
