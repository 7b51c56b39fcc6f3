//! Judgments of a model about links between memories, and the calibration of each model as a judge.
//!
//! A *judge* is a model with one version of the question. Its calibration says from which score on it may be
//! believed. A link keeps which judge has read it, so that the judge is not asked again, and nothing about the answer:
//! the columns `judged_relation` and `judged_score` are no longer used.

#[cfg(test)]
mod tests;

use lar_base::{KeyId, LinkId, Timestamp, UserId};
use rusqlite::{OptionalExtension as _, Row};

use crate::columns::{parse_column, time};
use crate::memory_links::rows::{OPEN, read_link};
use crate::{Error, LinkRelation, MemoryLink, Store};

/// The calibration of a judge on pairs with known relations.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgeCalibration {
    /// The judge: the digest of the model's weights with the version of the question.
    pub judge: String,
    /// The model's name, for people.
    pub model: String,
    /// The number of pairs that it judged.
    pub pairs: u32,
    /// The number of these pairs that are replacements.
    pub replacements: u32,
    /// The number of pairs that it takes for replacements with enough certainty, cross-validated.
    pub accepted: u32,
    /// The number of these that are replacements.
    pub correct: u32,
    /// The least score of a replacement that is accepted; `None` if the judge is not fit.
    pub threshold: Option<f32>,
    /// When it was calibrated.
    pub calibrated_at: Timestamp,
}

/// An open link that a judge has not read, with the texts to read.
#[derive(Debug, Clone, PartialEq)]
pub struct UnjudgedLink {
    /// The link.
    pub link: MemoryLink,
    /// The owner of its space.
    pub user: UserId,
    /// The key that wrote the newer memory, under which usage is recorded.
    pub key: KeyId,
    /// The text of the older memory.
    pub older: String,
    /// The text of the newer memory.
    pub newer: String,
}

/// The fact that a judge has read the texts of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkJudgment {
    /// The link.
    pub link: LinkId,
    /// The judge.
    pub judge: String,
    /// The text of the older memory, as the judge read it.
    pub older: String,
    /// The text of the newer memory, as the judge read it.
    pub newer: String,
}

impl Store {
    /// Returns the calibration of a judge.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn judge_get(&self, judge: String) -> Result<Option<JudgeCalibration>, Error> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached("SELECT * FROM judges WHERE judge = ?1")?;
            Ok(query.query_row([judge], read_calibration).optional()?)
        })
        .await
    }

    /// Returns the calibrations of all judges, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn judges(&self) -> Result<Vec<JudgeCalibration>, Error> {
        self.read(|connection| {
            let mut query = connection.prepare_cached("SELECT * FROM judges ORDER BY calibrated_at DESC")?;
            let rows = query.query_map([], read_calibration)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Stores the calibration of a judge, and replaces an earlier one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn judge_set(&self, calibration: JudgeCalibration) -> Result<(), Error> {
        self.write(move |connection| {
            connection.execute(
                "INSERT OR REPLACE INTO judges
                   (judge, model, pairs, replacements, accepted, correct, threshold, calibrated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                (
                    calibration.judge,
                    calibration.model,
                    calibration.pairs,
                    calibration.replacements,
                    calibration.accepted,
                    calibration.correct,
                    calibration.threshold,
                    calibration.calibrated_at.as_millis(),
                ),
            )?;
            Ok(())
        })
        .await
    }

    /// Returns at most `limit` open links of all spaces that may replace a memory and that this judge has not read,
    /// newest first; with `before`, only those with a lesser id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn links_unjudged(
        &self,
        judge: String,
        before: Option<LinkId>,
        limit: u32,
    ) -> Result<Vec<UnjudgedLink>, Error> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT memory_links.*, user_id, json_extract(newer.source, '$.key') AS newer_key,
                        older.content AS older_content, newer.content AS newer_content
                 FROM memory_links JOIN spaces ON spaces.id = memory_links.space_id
                 JOIN memories AS older ON older.id = older_id JOIN memories AS newer ON newer.id = newer_id
                 WHERE relation = ?1 AND judge IS NOT ?2 AND {OPEN} AND (?3 IS NULL OR memory_links.id < ?3)
                 ORDER BY memory_links.id DESC LIMIT ?4"
            );
            let mut query = connection.prepare_cached(&sql)?;
            let before = before.map(|id| id.to_string());
            let relation = LinkRelation::MayReplace.as_str();
            let rows = query.query_map((relation, judge, before, limit), |row| {
                Ok(UnjudgedLink {
                    link: read_link(row)?,
                    user: parse_column(row, "user_id")?,
                    key: parse_column(row, "newer_key")?,
                    older: row.get("older_content")?,
                    newer: row.get("newer_content")?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Records that a judge has read a link. Returns false and records nothing if the texts of its memories are
    /// others than the judge read, or the link no longer exists.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn link_judge(&self, judgment: LinkJudgment) -> Result<bool, Error> {
        self.write(move |connection| {
            let recorded = connection.execute(
                "UPDATE memory_links SET judge = ?2, judged_relation = NULL, judged_score = NULL
                 WHERE id = ?1
                   AND EXISTS (SELECT 1 FROM memories WHERE memories.id = older_id AND content = ?3)
                   AND EXISTS (SELECT 1 FROM memories WHERE memories.id = newer_id AND content = ?4)",
                (judgment.link.to_string(), judgment.judge, judgment.older, judgment.newer),
            )?;
            Ok(recorded > 0)
        })
        .await
    }

    /// Records that a judge has not read a link, so that it is asked again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn link_judge_again(&self, link: LinkId, judge: String) -> Result<(), Error> {
        self.write(move |connection| {
            let sql = "UPDATE memory_links SET judge = NULL WHERE id = ?1 AND judge = ?2";
            connection.execute(sql, (link.to_string(), judge))?;
            Ok(())
        })
        .await
    }
}

fn read_calibration(row: &Row<'_>) -> rusqlite::Result<JudgeCalibration> {
    Ok(JudgeCalibration {
        judge: row.get("judge")?,
        model: row.get("model")?,
        pairs: row.get("pairs")?,
        replacements: row.get("replacements")?,
        accepted: row.get("accepted")?,
        correct: row.get("correct")?,
        threshold: row.get("threshold")?,
        calibrated_at: time(row, "calibrated_at")?,
    })
}
