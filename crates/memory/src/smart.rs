//! Smart ingest: a new text is compared with similar memories before it is saved.
//!
//! A repeated text reinforces its memory. A text that adds to a memory or corrects it changes that memory.
//! Any other text becomes a new memory. The rules need no language model.
//!
//! No decision loses text: the old text stays in the history, the new one is stored in a memory or in the
//! history, and `undo` reverts the decision. Contradictions are checked before equality. If no rule is
//! certain, the text becomes a new memory. The rules and their accuracy are in `compare` and
//! `benches/RESULTS.md`, "Smart ingest decisions".

mod ingest_result;
mod space_locks;

use lar_base::{ChangeId, Code, MemoryId, Problem, Timestamp};
use lar_store::{Change, IdempotentRequest, Memory, MemoryChange, MemoryPatch, NewMemory};
use lar_text::statements::{
    DecisionRule, ParsedText, Relation, SimilarityThresholds, compare, is_single_sentence,
};
use lar_text::terms::{QueryTerms, fingerprint_of};

pub use self::ingest_result::{Decision, Difference, SmartIngestResult};
use self::ingest_result::{difference, reject};
pub(crate) use self::space_locks::SpaceLocks;
use crate::index::{EmbedderId, Filter, Query};
use crate::ingest::{self, Item, PreparedItems};
use crate::strength::{self, Event};
use crate::vectors::{self, Quantized};
use crate::{Memories, WriteAccess};

/// The most memories that a text is compared with.
const CANDIDATES_MAX: usize = 32;
/// The most bytes in a text that is compared. A longer one is about more than one thing.
const COMPARED_BYTES_MAX: usize = 400;
/// The most attempts at a decision when a memory changes meanwhile. Smart ingests of one space run one after
/// another, so only other kinds of changes can interfere.
const TRIES_MAX: usize = 4;
/// The weight of the keyword score in the search for candidates. With one half, neither different words nor
/// another language hides a candidate.
const KEYWORD_WEIGHT: f32 = 0.5;
/// The embedder that [`SIMILARITY_THRESHOLDS`] was calibrated for: all-MiniLM-L6-v2, by the digest of its
/// weights.
const CALIBRATED_EMBEDDER: &str = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db";
/// Thresholds below which the calibration set has no correct decision and some wrong ones. With another
/// embedder, only the words decide.
const SIMILARITY_THRESHOLDS: SimilarityThresholds =
    SimilarityThresholds { same: 0.85, changed: 0.45, part: 0.5 };

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
        if item.content.len() <= COMPARED_BYTES_MAX {
            let parsed = ParsedText::of(&item.content);
            if !item.content.trim().is_empty() && parsed.has_no_content() {
                self.metrics.record_ingest(Decision::Reject.as_str());
                return Ok(reject(&parsed));
            }
        }
        let PreparedItems { new, mut redacted, unembedded } =
            self.prepare_or_quarantine(writer, vec![item.clone()]).await?;
        let Some(new) = new.into_iter().next() else { return Err(Problem::not_found("memory")) };
        let _lock = self.space_locks.lock(writer.space).await;
        for _ in 0..TRIES_MAX {
            let judgment = self.judge(writer, &new).await?;
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
                    decided.redacted = redacted.pop().unwrap_or_default();
                    decided.unembedded = unembedded.filter(|_| decided.decision != Decision::Reinforce);
                    return Ok(decided);
                }
            }
        }
        Err(Problem::new(Code::VersionMismatch, "other requests keep changing similar memories; try again"))
    }

    /// Saves a text only if it corrects a memory.
    ///
    /// # Errors
    /// As [`Memories::ingest_smart`].
    pub(crate) async fn correct(
        &self,
        writer: &WriteAccess,
        item: Item,
    ) -> Result<Option<SmartIngestResult>, Problem> {
        if !is_comparable(&item.content) || ParsedText::of(&item.content).has_no_content() {
            return Ok(None);
        }
        let PreparedItems { new, .. } = self.prepare_items(writer, vec![item.clone()]).await?;
        let Some(new) = new.into_iter().next() else { return Ok(None) };
        let _lock = self.space_locks.lock(writer.space).await;
        let judgment = self.judge(writer, &new).await?;
        if judgment.relation != Relation::Correction {
            return Ok(None);
        }
        let new = self.inherit_kind_and_tags(writer, &item, new, &judgment).await?;
        self.decide(writer, new, judgment, None).await.map(Some)
    }

    /// Returns whether no memory is related to this text.
    ///
    /// # Errors
    /// As [`Memories::ingest_smart`].
    pub(crate) async fn is_new(&self, writer: &WriteAccess, item: &Item) -> Result<bool, Problem> {
        let PreparedItems { new, .. } = self.prepare_items(writer, vec![item.clone()]).await?;
        let Some(new) = new.into_iter().next() else { return Ok(false) };
        Ok(self.judge(writer, &new).await?.relation == Relation::Other)
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
            confidence: 1.0,
            against: None,
            memory: Some(memory),
            diff: Vec::new(),
            redacted: Vec::new(),
            unembedded: None,
        })
    }

    /// Compares a text with similar memories and returns the most important relation.
    async fn judge(&self, writer: &WriteAccess, new: &NewMemory) -> Result<Judgment, Problem> {
        if let Some(same) = self.store.memory_by_hash(writer.space, new.hash).await? {
            let known = if same.superseded.is_some() { Relation::Correction } else { Relation::Same };
            return Ok(Judgment { relation: known, rule: DecisionRule::SameWords, against: Some(same) });
        }
        let incoming = is_comparable(&new.content).then(|| ParsedText::of(&new.content));
        let mut best = Judgment { relation: Relation::Other, rule: DecisionRule::None, against: None };
        for (known, similarity) in self.candidates(writer, new).await? {
            let (relation, rule) = if fingerprint_of(&known.content) == fingerprint_of(&new.content) {
                (Relation::Same, DecisionRule::SameWords)
            } else if let Some(incoming) = incoming.as_ref().filter(|_| is_comparable(&known.content)) {
                compare(&ParsedText::of(&known.content), incoming, similarity)
            } else {
                (Relation::Other, DecisionRule::None)
            };
            if precedence(relation) > precedence(best.relation) {
                best = Judgment { relation, rule, against: Some(known) };
            }
        }
        Ok(best)
    }

    /// Returns the current memories most similar to a text, each with its cosine and the embedder's
    /// thresholds.
    async fn candidates(
        &self,
        writer: &WriteAccess,
        new: &NewMemory,
    ) -> Result<Vec<(Memory, Option<(f32, SimilarityThresholds)>)>, Problem> {
        let vectors = new.chunks.first().and_then(|chunk| chunk.vectors.clone());
        let vector = vectors.and_then(|vectors| {
            let dimension = vectors.embedder.dimension as usize;
            let embedder_id = EmbedderId { digest: vectors.embedder.digest, dimension };
            let (scale, bytes) = vectors::decode(&vectors.bytes, dimension).next()?;
            let bytes = bytes.iter().map(|byte| byte.cast_signed()).collect();
            Some((embedder_id, Quantized { scale, bytes }))
        });
        let embedder_id = vector.as_ref().map(|(embedder_id, _)| embedder_id.clone());
        let words = QueryTerms::of(&new.content);
        let filter = Filter { project: new.project.clone(), ..Filter::default() };
        let look = move |index: &crate::index::Index| {
            let vector = vector.as_ref().filter(|(embedder_id, _)| index.embedder_id() == Some(embedder_id));
            let query = Query {
                words: &words,
                share_min: 0.0,
                vector: vector.map(|(_, vector)| vector),
                times: &[],
                filter: &filter,
                now: Timestamp::now(),
                limit: CANDIDATES_MAX,
                weight: KEYWORD_WEIGHT,
            };
            index.search(&query).hits
        };
        let hits = self.indexes.search(writer.space, embedder_id.as_ref(), look).await?;
        let thresholds = embedder_id
            .filter(|embedder_id| embedder_id.digest == CALIBRATED_EMBEDDER)
            .map(|_| SIMILARITY_THRESHOLDS);
        let seqs = hits.iter().map(|hit| hit.memory).collect();
        let memories = self.store.memories_by_seq(vec![writer.space], seqs).await?;
        let found = hits.into_iter().filter_map(|hit| {
            let memory = memories.iter().find(|memory| memory.seq == hit.memory)?;
            // A text without a project is compared only with memories without a project.
            let is_candidate = memory.superseded.is_none() && memory.project == new.project;
            is_candidate.then(|| (memory.clone(), hit.similarity.zip(thresholds)))
        });
        Ok(found.collect())
    }

    /// Gives a correction the kind and tags of the memory it supersedes, unless the caller set them.
    async fn inherit_kind_and_tags(
        &self,
        writer: &WriteAccess,
        item: &Item,
        new: NewMemory,
        judgment: &Judgment,
    ) -> Result<NewMemory, Problem> {
        let corrects = judgment.relation == Relation::Correction;
        let Some(known) = judgment.against.as_ref().filter(|known| corrects && known.hash != new.hash) else {
            return Ok(new);
        };
        let kind = item.kind.or(Some(known.kind));
        let tags = if item.tags.is_empty() { known.tags.clone() } else { item.tags.clone() };
        if kind == Some(new.kind) && tags == new.tags {
            return Ok(new);
        }
        let PreparedItems { new: made, .. } =
            self.prepare_items(writer, vec![Item { kind, tags, ..item.clone() }]).await?;
        Ok(made.into_iter().next().unwrap_or(new))
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
        match (decision, &against) {
            (Decision::Reinforce, Some(known)) => {
                if known.content != new.content {
                    reason = format!("{reason}: “{}”", new.content);
                }
                let strength = strength::review(&known.strength, Event::Confirmed.grade(), Timestamp::now());
                changes.push(memory_change(
                    known,
                    MemoryPatch { strength: Some(strength), ..MemoryPatch::default() },
                ));
            }
            (Decision::Update | Decision::Merge, Some(known)) => {
                let content = match decision {
                    Decision::Merge => format!("{}\n{}", known.content, new.content),
                    _ => new.content.clone(),
                };
                diff = difference(&known.content, &content);
                changes.push(self.rewrite_change(writer, known, &new, content).await?);
            }
            // The text equals a superseded memory, which becomes current again.
            (Decision::Supersede, Some(known)) if known.hash == new.hash => {
                changes.push(memory_change(
                    known,
                    MemoryPatch { superseded: Some(None), valid_to: Some(None), ..MemoryPatch::default() },
                ));
                if let Some((by, at)) = known.superseded
                    && let Ok(by) = self.store.memory_get(vec![writer.space], by).await
                    && by.superseded.is_none()
                    && by.deleted_at.is_none()
                {
                    tracing::debug!(%at, "a superseded memory is current again");
                    changes.push(supersede_change(&by, known.id, &new));
                }
                reason = explanation(DecisionRule::Changed).to_owned();
            }
            (Decision::Supersede, Some(known)) => {
                changes.push(supersede_change(known, new.id, &new));
                stored = Some(new);
            }
            _ => stored = Some(new),
        }
        let action =
            if decision == Decision::Reinforce { Event::Confirmed.as_str() } else { decision.as_str() };
        let change =
            Change::new(writer.caller.key(), action, Some(reason.clone()).filter(|_| against.is_some()));
        let memories = self.commit_decision(vec![writer.space], stored, changes, change, once).await?;
        self.metrics.record_ingest(decision.as_str());
        let memory = memories.into_iter().next();
        Ok(SmartIngestResult {
            decision,
            reason,
            confidence: confidence(rule),
            against,
            memory,
            diff,
            redacted: Vec::new(),
            unembedded: None,
        })
    }

    /// Returns the change that gives a memory another text and the tags of both.
    async fn rewrite_change(
        &self,
        writer: &WriteAccess,
        known: &Memory,
        new: &NewMemory,
        content: String,
    ) -> Result<MemoryChange, Problem> {
        let mut tags = known.tags.clone();
        tags.extend(new.tags.iter().filter(|tag| !known.tags.contains(tag)).cloned());
        let mut patch = MemoryPatch {
            tags: ingest::check_tags(tags).ok(),
            valid_from: new.valid_from.map(Some),
            valid_to: new.valid_to.map(Some),
            ..MemoryPatch::default()
        };
        self.rewrite(known, &mut patch, content);
        let chunks = self.chunks_of(writer, known, &patch).await?;
        Ok(MemoryChange { id: known.id, patch, chunks, expected: Some(known.version) })
    }
}

/// Returns the decision about a text compared with one memory, for benchmarks.
#[must_use]
pub fn decision_on(known: &str, incoming: &str, similarity: Option<(f32, SimilarityThresholds)>) -> Decision {
    let parsed = ParsedText::of(incoming);
    if parsed.has_no_content() {
        return Decision::Reject;
    }
    if !(is_comparable(known) && is_comparable(incoming)) {
        return Decision::Create;
    }
    decision_for(compare(&ParsedText::of(known), &parsed, similarity).0)
}

const fn decision_for(relation: Relation) -> Decision {
    match relation {
        Relation::Same => Decision::Reinforce,
        Relation::More => Decision::Update,
        Relation::Correction => Decision::Supersede,
        Relation::Part => Decision::Merge,
        Relation::Other => Decision::Create,
    }
}

/// The relation of a text to the memory that decides about it.
struct Judgment {
    relation: Relation,
    rule: DecisionRule,
    against: Option<Memory>,
}

/// Returns whether a text is a single sentence of limited length, which can be compared with another.
fn is_comparable(content: &str) -> bool {
    content.len() <= COMPARED_BYTES_MAX && is_single_sentence(content)
}

/// Returns the precedence of a relation: corrections first, then the closest relation.
const fn precedence(relation: Relation) -> u8 {
    match relation {
        Relation::Correction => 4,
        Relation::Same => 3,
        Relation::More => 2,
        Relation::Part => 1,
        Relation::Other => 0,
    }
}

fn memory_change(known: &Memory, patch: MemoryPatch) -> MemoryChange {
    MemoryChange { id: known.id, patch, chunks: Vec::new(), expected: Some(known.version) }
}

/// Returns the change that supersedes a memory now. Its validity ends when that of the new memory starts.
fn supersede_change(known: &Memory, by: MemoryId, new: &NewMemory) -> MemoryChange {
    let from = new.valid_from.filter(|from| known.valid_from.is_none_or(|start| *from > start));
    let patch = MemoryPatch {
        superseded: Some(Some((by, Timestamp::now()))),
        valid_to: from.map(Some).filter(|_| known.valid_to.is_none()),
        ..MemoryPatch::default()
    };
    memory_change(known, patch)
}

const fn explanation(rule: DecisionRule) -> &'static str {
    match rule {
        DecisionRule::SameWords => "already saved, in the same words",
        DecisionRule::SameMeaning => "already saved, in other words",
        DecisionRule::Contained => "repeats a memory and adds to it",
        DecisionRule::Negated => "contradicts a memory",
        DecisionRule::OtherValue => "same subject, new value",
        DecisionRule::Changed => "reports a change to a memory",
        DecisionRule::OneThing => "another detail of the same thing",
        DecisionRule::None => "no similar memory",
    }
}

/// Returns the accuracy of a rule, by Laplace's rule of succession on the calibration set and the second set
/// (`benches/RESULTS.md`, "Smart ingest decisions").
const fn confidence(rule: DecisionRule) -> f32 {
    match rule {
        DecisionRule::SameWords => 0.96,
        DecisionRule::SameMeaning => 0.8,
        DecisionRule::Contained => 0.97,
        DecisionRule::Negated => 0.9,
        DecisionRule::OtherValue => 0.97,
        DecisionRule::Changed => 0.96,
        DecisionRule::OneThing => 0.92,
        DecisionRule::None => 0.87,
    }
}
