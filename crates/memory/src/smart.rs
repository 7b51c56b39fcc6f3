//! Smart ingest: a new text is compared with similar memories before it is saved.
//!
//! A repeated text reinforces its memory, and a text that contains a memory and adds to it changes that
//! memory. A text that certainly replaces a memory supersedes it: the same key or the same sentence with
//! another value, a plain denial, or a correction that the user states as such. Any other text becomes a new
//! memory. If it seems to be about the same thing as an older one, the two are linked, and a person decides.
//! The rules need no language model.
//!
//! No decision loses text: the old text stays in the history, and `undo` reverts the decision. The rules are
//! in `lar_text::statements`, and their accuracy in `benches/RESULTS.md`, "Smart ingest decisions".

mod ingest_result;
mod space_locks;

use lar_base::{ChangeId, Code, MemoryId, Problem, Timestamp};
use lar_store::{Change, IdempotentRequest, LinkRelation, Memory, MemoryDecision, NewLink, NewMemory};
use lar_text::statements::{DecisionRule, Relation, Statement};
use lar_text::terms::fingerprint_of;

pub(crate) use self::ingest_result::difference;
use self::ingest_result::reject;
pub use self::ingest_result::{Decision, Difference, SmartIngestResult};
pub(crate) use self::space_locks::SpaceLocks;
use crate::ingest::{Item, PreparedItem};
use crate::neighbours::{Neighbour, NeighbourQuery};
use crate::strength::Event;
use crate::supersede::{Rewrite, TRIES_MAX, confirm_change, revive_change, supersede_change};
use crate::{Memories, WriteAccess};

/// The most memories that a text is compared with.
const CANDIDATES_MAX: usize = 32;
/// The most bytes in a text that is compared. A longer one is a document.
const COMPARED_BYTES_MAX: usize = 16 << 10;
/// The reason of a link to a memory that was replaced and is saved again.
const SAID_AGAIN: &str = "it was replaced by the other one, and was saved again";

impl Memories {
    /// Saves a text with smart ingest, which compares it with memories of the same space and project.
    ///
    /// # Errors
    /// As [`Memories::ingest`]; [`Code::VersionMismatch`] if other requests keep changing the compared
    /// memories.
    pub async fn ingest_smart(
        &self,
        writer: &WriteAccess,
        item: Item,
        once: Option<IdempotentRequest>,
    ) -> Result<SmartIngestResult, Problem> {
        if let Some(statement) = comparable(&item.content).filter(Statement::has_no_content) {
            self.metrics.record_ingest(Decision::Reject.as_str());
            return Ok(reject(&statement));
        }
        let prepared = self.prepare_or_quarantine(writer, item.clone()).await?;
        self.ingest_prepared(writer, item, prepared, once, Authority::Rules).await
    }

    /// Compares a prepared text with similar memories and saves what follows.
    pub(crate) async fn ingest_prepared(
        &self,
        writer: &WriteAccess,
        item: Item,
        prepared: PreparedItem,
        once: Option<IdempotentRequest>,
        authority: Authority,
    ) -> Result<SmartIngestResult, Problem> {
        let PreparedItem { new, redacted, unembedded } = prepared;
        let _lock = self.space_locks.lock(writer.space).await;
        for _ in 0..TRIES_MAX {
            let judgment = match authority {
                Authority::Rules => self.judge(writer, &new).await?,
                Authority::User(known) => {
                    let known = self.store.memory_get(vec![writer.space], known).await?;
                    Judgment::new(Relation::Replaces, DecisionRule::StatedByUser, known)
                }
            };
            let new = self.inherit_kind_and_tags(writer, &item, new.clone(), &judgment).await?;
            match self.decide(writer, new, judgment, once.clone()).await {
                Err(problem) if problem.code == Code::VersionMismatch => {}
                Err(problem) => return Err(problem),
                Ok(mut decided) => {
                    if unembedded.is_some() {
                        self.backfill.wake();
                    }
                    // The text may be in the inbox from an earlier message.
                    self.dismiss_text(writer, &item.content).await?;
                    decided.redacted = redacted;
                    decided.unembedded = unembedded.filter(|_| decided.decision != Decision::Reinforce);
                    return Ok(decided);
                }
            }
        }
        Err(Problem::new(Code::VersionMismatch, "other requests keep changing similar memories; try again"))
    }

    /// Returns the decision of an earlier identical request.
    ///
    /// `made` is the stored result of that request: the ids of the change and of the memory.
    ///
    /// # Errors
    /// [`Code::NotFound`] if the memory no longer exists.
    pub async fn find_past_decision(
        &self,
        writer: &WriteAccess,
        made: &str,
    ) -> Result<SmartIngestResult, Problem> {
        let unknown = || Problem::not_found("result of the earlier request");
        let (decision, id) = made.split_once(' ').ok_or_else(unknown)?;
        let (decision, id) = (decision.parse::<ChangeId>(), id.parse::<MemoryId>());
        let (decision, id) = decision.ok().zip(id.ok()).ok_or_else(unknown)?;
        let spaces = vec![writer.space];
        let memory = self.store.memory_get(spaces.clone(), id).await?;
        let history = self.store.memory_history(spaces, id).await?;
        let record = history.into_iter().find(|record| record.decision == decision).ok_or_else(unknown)?;
        Ok(SmartIngestResult {
            decision: Decision::of(&record.action).ok_or_else(unknown)?,
            reason: record.reason.unwrap_or_default(),
            against: None,
            memory: Some(memory),
            link: None,
            diff: Vec::new(),
            redacted: Vec::new(),
            unembedded: None,
        })
    }

    /// Compares a text with similar memories and returns the most important relation.
    async fn judge(&self, writer: &WriteAccess, new: &NewMemory) -> Result<Judgment, Problem> {
        let most_important = self.relations(writer, new).await?.into_iter().next();
        Ok(most_important.unwrap_or(Judgment {
            relation: Relation::Other,
            rule: DecisionRule::None,
            against: None,
        }))
    }

    /// Compares a text with similar memories and returns its relations to them, the most important first.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn relations(
        &self,
        writer: &WriteAccess,
        new: &NewMemory,
    ) -> Result<Vec<Judgment>, Problem> {
        if let Some(same) = self.store.memory_by_hash(writer.space, new.hash).await? {
            let Some(by) = self.current_successor(writer, &same).await? else {
                let relation = if same.superseded.is_some() { Relation::Replaces } else { Relation::Same };
                return Ok(vec![Judgment::new(relation, DecisionRule::SameWords, same)]);
            };
            // A memory with more words says it already.
            let is_contained =
                by.content.contains(&new.content) || matches!(relation_to(&by, &new.content), Relation::Same);
            return Ok(vec![match is_contained {
                true => Judgment::new(Relation::Same, DecisionRule::Contained, by),
                false => Judgment::new(Relation::Replaces, DecisionRule::SameWords, same),
            }]);
        }
        let incoming = comparable(&new.content);
        let query = NeighbourQuery {
            content: new.content.clone(),
            // A text without a project is compared only with memories without a project.
            project: new.project.clone(),
            vectors: new.chunks.first().and_then(|chunk| chunk.vectors.clone()),
            limit: CANDIDATES_MAX,
            words: Vec::new(),
        };
        let neighbours = self.neighbours(writer.space, query, Some(&writer.caller)).await?;
        let mut found = Vec::new();
        for Neighbour { memory: known, similarity, .. } in neighbours.found {
            let (relation, rule) = if fingerprint_of(&known.content) == fingerprint_of(&new.content) {
                (Relation::Same, DecisionRule::SameWords)
            } else if let (Some(known), Some(incoming)) = (comparable(&known.content), &incoming) {
                known.compare(incoming, similarity)
            } else {
                (Relation::Other, DecisionRule::None)
            };
            if relation != Relation::Other {
                found.push(Judgment::new(relation, rule, known));
            }
        }
        // The sort is stable: of equal relations, the nearest memory stays first.
        found.sort_by_key(|judgment| std::cmp::Reverse(precedence(judgment.relation)));
        Ok(found)
    }

    /// Returns the current memory that superseded another one.
    async fn current_successor(
        &self,
        writer: &WriteAccess,
        known: &Memory,
    ) -> Result<Option<Memory>, Problem> {
        let Some((by, _)) = known.superseded else { return Ok(None) };
        let found = self.store.memories_by_id(vec![writer.space], vec![by]).await?.into_iter().next();
        Ok(found.filter(|by| by.superseded.is_none() && by.deleted_at.is_none()))
    }

    /// Returns the changes by which a superseded memory is current again, because its text is saved again. The memory
    /// that replaced it is superseded only if that is certain. Otherwise both are current, and linked.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn revival(
        &self,
        writer: &WriteAccess,
        known: &Memory,
        valid_from: Option<Timestamp>,
    ) -> Result<MemoryDecision, Problem> {
        let mut revival = MemoryDecision { changes: vec![revive_change(known)], ..MemoryDecision::default() };
        if let Some(by) = self.current_successor(writer, known).await? {
            if relation_to(&by, &known.content) == Relation::Replaces {
                revival.changes.push(supersede_change(&by, known.id, valid_from));
            } else {
                revival.links.push(NewLink {
                    older: by.id,
                    newer: known.id,
                    relation: LinkRelation::MayReplace,
                    reason: SAID_AGAIN.into(),
                });
            }
        }
        Ok(revival)
    }

    /// Gives a correction the kind and tags of the memory it supersedes, unless the caller set them.
    async fn inherit_kind_and_tags(
        &self,
        writer: &WriteAccess,
        item: &Item,
        new: NewMemory,
        judgment: &Judgment,
    ) -> Result<NewMemory, Problem> {
        let corrects = judgment.relation == Relation::Replaces;
        let Some(known) = judgment.against.as_ref().filter(|known| corrects && known.hash != new.hash) else {
            return Ok(new);
        };
        let kind = item.kind.or(Some(known.kind));
        let tags = if item.tags.is_empty() { known.tags.clone() } else { item.tags.clone() };
        if kind == Some(new.kind) && tags == new.tags {
            return Ok(new);
        }
        let prepared = self.prepare_item(writer, Item { kind, tags, ..item.clone() }).await?;
        Ok(prepared.new)
    }

    async fn decide(
        &self,
        writer: &WriteAccess,
        new: NewMemory,
        judgment: Judgment,
        once: Option<IdempotentRequest>,
    ) -> Result<SmartIngestResult, Problem> {
        let Judgment { relation, rule, against } = judgment;
        let decision = if against.is_some() { decision_for(relation) } else { Decision::Create };
        let mut reason = explanation(rule).to_owned();
        let (mut stored, mut changes, mut diff) = (None, Vec::new(), Vec::new());
        let link = |known: &Memory, relation| NewLink {
            older: known.id,
            newer: new.id,
            relation,
            reason: explanation(rule).to_owned(),
        };
        let mut links: Vec<NewLink> = match (&against, relation) {
            (Some(known), Relation::MayReplace) => vec![link(known, LinkRelation::MayReplace)],
            (Some(known), Relation::Contradicts) => vec![link(known, LinkRelation::Contradicts)],
            _ => Vec::new(),
        };
        match (decision, &against) {
            (Decision::Reinforce, Some(known)) => {
                if known.content != new.content {
                    reason = format!("{reason}: “{}”", new.content);
                }
                changes.push(confirm_change(known));
            }
            (Decision::Update, Some(known)) => {
                diff = difference(&known.content, &new.content);
                let rewrite = Rewrite {
                    content: new.content.clone(),
                    tags: &new.tags,
                    valid_from: new.valid_from,
                    valid_to: new.valid_to,
                };
                changes.push(self.rewrite_change(writer, known, rewrite).await?);
            }
            // The text equals a superseded memory, which becomes current again.
            (Decision::Supersede, Some(known)) if known.hash == new.hash => {
                let revival = self.revival(writer, known, new.valid_from).await?;
                (changes, links) = (revival.changes, revival.links);
                reason = explanation(DecisionRule::Changed).to_owned();
            }
            (Decision::Supersede, Some(known)) => {
                changes.push(supersede_change(known, new.id, new.valid_from));
                stored = Some(new);
            }
            _ => stored = Some(new),
        }
        let action =
            if decision == Decision::Reinforce { Event::Confirmed.as_str() } else { decision.as_str() };
        let change =
            Change::new(writer.caller.key(), action, Some(reason.clone()).filter(|_| against.is_some()));
        let made = MemoryDecision { new: stored, changes, links, ..MemoryDecision::default() };
        let applied = self.commit_decision(vec![writer.space], made, change, once).await?;
        self.metrics.record_ingest(decision.as_str());
        if !applied.links.is_empty() {
            self.judge.wake();
        }
        let memory = applied.memories().next().cloned();
        Ok(SmartIngestResult {
            decision,
            reason,
            against,
            memory,
            link: applied.links.into_iter().next(),
            diff,
            redacted: Vec::new(),
            unembedded: None,
        })
    }
}

/// The authority by which a text replaces a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Authority {
    /// The rules, which must be certain.
    Rules,
    /// The user, who states the text as a correction of this memory.
    User(MemoryId),
}

/// The relation of a text to a memory.
pub(crate) struct Judgment {
    pub(crate) relation: Relation,
    rule: DecisionRule,
    /// The memory; `None` if the text is related to none.
    pub(crate) against: Option<Memory>,
}

impl Judgment {
    fn new(relation: Relation, rule: DecisionRule, against: Memory) -> Self {
        Self { relation, rule, against: Some(against) }
    }

    /// Returns the memory that the text makes outdated, if its words show a change.
    pub(crate) fn outdated(&self) -> Option<&Memory> {
        let shows_change = match self.relation {
            Relation::Replaces => true,
            Relation::MayReplace => {
                matches!(self.rule, DecisionRule::Changed | DecisionRule::SameKey | DecisionRule::OtherValue)
            }
            _ => false,
        };
        self.against.as_ref().filter(|known| shows_change && known.superseded.is_none())
    }
}

/// Returns the relation of a text to a memory by the rules alone.
fn relation_to(known: &Memory, text: &str) -> Relation {
    match (comparable(&known.content), comparable(text)) {
        (Some(known), Some(text)) => known.compare(&text, None).0,
        _ => Relation::Other,
    }
}

/// Returns a text prepared for comparisons, or `None` for an empty or long one.
pub(crate) fn comparable(content: &str) -> Option<Statement> {
    let fits = content.len() <= COMPARED_BYTES_MAX && !content.trim().is_empty();
    fits.then(|| Statement::of(content))
}

const fn decision_for(relation: Relation) -> Decision {
    match relation {
        Relation::Same => Decision::Reinforce,
        Relation::More => Decision::Update,
        Relation::Replaces => Decision::Supersede,
        Relation::MayReplace | Relation::Contradicts | Relation::Other => Decision::Create,
    }
}

/// Returns the precedence of a relation: replacements first, then the closest relation.
const fn precedence(relation: Relation) -> u8 {
    match relation {
        Relation::Replaces => 5,
        Relation::Same => 4,
        Relation::More => 3,
        Relation::MayReplace => 2,
        Relation::Contradicts => 1,
        Relation::Other => 0,
    }
}

/// Returns the reason for a decision or a link, for people.
pub(crate) const fn explanation(rule: DecisionRule) -> &'static str {
    match rule {
        DecisionRule::SameWords => "already saved, in the same words",
        DecisionRule::Contained => "repeats a memory and adds to it",
        DecisionRule::Negated => "denies a memory",
        DecisionRule::OtherValue => "the same sentence with a new value",
        DecisionRule::SameKey => "the same key with a new value",
        DecisionRule::Corrected => "corrects a memory",
        DecisionRule::StatedByUser => "you corrected it",
        DecisionRule::Changed => "reports a change of the same thing",
        DecisionRule::SameSubject => "about the same thing",
        DecisionRule::None => "no similar memory",
    }
}

#[cfg(test)]
mod tests;
