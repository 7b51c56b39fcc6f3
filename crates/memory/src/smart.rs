//! Remembering with regard to what is known: a thing said again strengthens its memory, one that adds to it or
//! corrects it changes it, and only what is new becomes another. No language model is asked.
//!
//! Nothing is lost by a decision: the old text stays in the history, the new one is stored or kept there, and both
//! can be had back by `undo`. Contradiction is looked for before sameness. Where nothing is sure, a new memory is
//! made. Which rules there are and how often they are right is in `compare` and `benches/RESULTS.md`, "Deciding
//! what is new".

mod compare;
mod english;
mod ingest_result;
mod parse;
mod space_locks;

use lar_base::{ChangeId, Code, MemoryId, Problem, Timestamp};
use lar_store::{Change, IdempotentRequest, Memory, MemoryChange, MemoryPatch, NewMemory};
use unicode_segmentation::UnicodeSegmentation as _;

pub use self::compare::SimilarityThresholds;
use self::compare::{DecisionRule, Relation, compare};
pub use self::ingest_result::{Decision, Difference, SmartIngestResult};
use self::ingest_result::{difference, reject};
use self::parse::ParsedText;
pub(crate) use self::parse::is_title;
pub(crate) use self::space_locks::SpaceLocks;
use crate::index::{EmbedderId, Filter, Query};
use crate::ingest::{self, Item, PreparedItems};
use crate::strength::{self, Event};
use crate::terms::{Terms, fingerprint_of};
use crate::vectors::{self, Quantized};
use crate::{Memories, WriteAccess};

/// Memories that a text is compared with at most.
const CANDIDATES_MAX: usize = 32;
/// A text of more bytes tells of more than one thing; it is not compared.
const COMPARED_BYTES_MAX: usize = 400;
/// How often a decision is made anew because a memory changed in between.
/// Decisions about one space are made one after another, so that only changes of another kind come in between.
const TRIES_MAX: usize = 4;
/// What words weigh in looking for candidates: half, so that neither other words nor another language hides one.
const KEYWORD_WEIGHT: f32 = 0.5;
/// The embedder that [`SIMILARITY_THRESHOLDS`] was calibrated for, by the digest of its weights: all-MiniLM-L6-v2.
const CALIBRATED_EMBEDDER: &str = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db";
/// Bounds under which no right decision of the calibration set lies and some wrong ones do. With another embedder the
/// words decide alone.
const SIMILARITY_THRESHOLDS: SimilarityThresholds =
    SimilarityThresholds { same: 0.85, changed: 0.45, part: 0.5 };

impl Memories {
    /// Remembers this with regard to what is known of its project.
    ///
    /// # Errors
    /// As [`Memories::ingest`]; [`Code::VersionMismatch`] when others keep changing what it is about.
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
            let judgement = self.judge(writer, &new).await?;
            let new = self.inherit_kind_and_tags(writer, &item, new.clone(), &judgement).await?;
            match self.decide(writer, new, judgement, once.clone()).await {
                Err(problem) if problem.code == Code::VersionMismatch => {}
                Err(problem) => return Err(problem),
                Ok(mut decided) => {
                    if unembedded.is_some() {
                        self.backfill.wake();
                    }
                    // It may have been said before, unasked.
                    self.dismiss_text(writer, &item.content).await?;
                    decided.redacted = redacted.pop().unwrap_or_default();
                    decided.unembedded = unembedded.filter(|_| decided.decision != Decision::Reinforce);
                    return Ok(decided);
                }
            }
        }
        Err(Problem::new(Code::VersionMismatch, "others keep changing the memories that this is about"))
    }

    /// Remembers this if it corrects what is known, and only then.
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
        let judgement = self.judge(writer, &new).await?;
        if judgement.relation != Relation::Correction {
            return Ok(None);
        }
        let new = self.inherit_kind_and_tags(writer, &item, new, &judgement).await?;
        self.decide(writer, new, judgement, None).await.map(Some)
    }

    /// Whether nothing that is known says this already.
    ///
    /// # Errors
    /// As [`Memories::ingest_smart`].
    pub(crate) async fn is_new(&self, writer: &WriteAccess, item: &Item) -> Result<bool, Problem> {
        let PreparedItems { new, .. } = self.prepare_items(writer, vec![item.clone()]).await?;
        let Some(new) = new.into_iter().next() else { return Ok(false) };
        Ok(self.judge(writer, &new).await?.relation == Relation::Other)
    }

    /// What was decided about a request that was sent before, told by the note of it.
    ///
    /// # Errors
    /// [`Code::NotFound`] when the memory is gone meanwhile.
    pub async fn find_past_decision(
        &self,
        writer: &WriteAccess,
        made: &str,
    ) -> Result<SmartIngestResult, Problem> {
        let unknown = || Problem::not_found("what this request made");
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

    /// The memory that decides what becomes of a text, and how.
    async fn judge(&self, writer: &WriteAccess, new: &NewMemory) -> Result<Judgement, Problem> {
        if let Some(same) = self.store.memory_by_hash(writer.space, new.hash).await? {
            let known = if same.superseded.is_some() { Relation::Correction } else { Relation::Same };
            return Ok(Judgement { relation: known, rule: DecisionRule::SameWords, against: Some(same) });
        }
        let incoming = is_comparable(&new.content).then(|| ParsedText::of(&new.content));
        let mut best = Judgement { relation: Relation::Other, rule: DecisionRule::None, against: None };
        for (known, similarity) in self.candidates(writer, new).await? {
            let (relation, rule) = if fingerprint_of(&known.content) == fingerprint_of(&new.content) {
                (Relation::Same, DecisionRule::SameWords)
            } else if let Some(incoming) = incoming.as_ref().filter(|_| is_comparable(&known.content)) {
                compare(&ParsedText::of(&known.content), incoming, similarity)
            } else {
                (Relation::Other, DecisionRule::None)
            };
            if precedence(relation) > precedence(best.relation) {
                best = Judgement { relation, rule, against: Some(known) };
            }
        }
        Ok(best)
    }

    /// The current memories nearest to a text, with how near they mean the same.
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
        let words = Terms::of(&new.content);
        let filter = Filter { project: new.project.clone(), ..Filter::default() };
        let look = move |index: &crate::index::Index| {
            let vector = vector.as_ref().filter(|(embedder_id, _)| index.embedder_id() == Some(embedder_id));
            let query = Query {
                words: &words,
                share_min: 0.0,
                vector: vector.map(|(_, vector)| vector),
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
            // What is said without a project is about none of them.
            let meant = memory.superseded.is_none() && memory.project == new.project;
            meant.then(|| (memory.clone(), hit.similarity.zip(thresholds)))
        });
        Ok(found.collect())
    }

    /// What takes a memory's place is about the same: it has that one's kind and tags where it was given none.
    async fn inherit_kind_and_tags(
        &self,
        writer: &WriteAccess,
        item: &Item,
        new: NewMemory,
        judgement: &Judgement,
    ) -> Result<NewMemory, Problem> {
        let corrects = judgement.relation == Relation::Correction;
        let Some(known) = judgement.against.as_ref().filter(|known| corrects && known.hash != new.hash)
        else {
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
        judgement: Judgement,
        once: Option<IdempotentRequest>,
    ) -> Result<SmartIngestResult, Problem> {
        let Judgement { relation, rule, against } = judgement;
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
            // It was so before, and is again.
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
                    tracing::debug!(%at, "what was corrected is so again");
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

    /// A memory with another text, and the tags of both.
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

/// What would be decided about a text against one known thing; for measurements.
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

/// What a text is to the memory that decides.
struct Judgement {
    relation: Relation,
    rule: DecisionRule,
    against: Option<Memory>,
}

/// Whether a text is one sentence that can be compared with another.
fn is_comparable(content: &str) -> bool {
    let ended = |sentence: &&str| {
        let end =
            sentence.trim_end().trim_end_matches('.').rsplit(' ').next().unwrap_or_default().to_lowercase();
        !is_title(&end)
    };
    content.len() <= COMPARED_BYTES_MAX && content.unicode_sentences().filter(ended).count() <= 1
}

/// Of several, the contradiction decides first, then what is nearest to saying the same.
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

/// A memory whose place another takes: from now on, and in its own time from when the other is true.
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
        DecisionRule::SameWords => "it was known, in the same words",
        DecisionRule::SameMeaning => "it was known, in other words",
        DecisionRule::Contained => "it says all that was known, and more",
        DecisionRule::Negated => "one denies what the other says",
        DecisionRule::OtherValue => "it says the same of the same, with another value",
        DecisionRule::Changed => "it tells that what was known has changed",
        DecisionRule::OneThing => "it tells another part of the same thing",
        DecisionRule::None => "nothing like it was known",
    }
}

/// How often a rule is right, by Laplace's rule of succession on the calibration set and the second
/// (`benches/RESULTS.md`, "Deciding what is new").
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
