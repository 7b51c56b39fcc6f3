//! Judgments of a model about links between memories, and the calibration of each model as a judge.
//!
//! A *judge* is a model with one version of the question. Its calibration says from which score on it may be
//! believed.

use lar_base::{KeyId, LinkId, Timestamp, UserId};
use rusqlite::{OptionalExtension as _, Row};

use crate::columns::{parse_column, time};
use crate::memory_links::rows::{OPEN, read_link};
use crate::{Error, MemoryLink, Store};

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

/// An open link that a judge has not read, with what it needs for that.
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

/// The judgment of a judge about a link.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkJudgment {
    /// The link.
    pub link: LinkId,
    /// The judge.
    pub judge: String,
    /// The relation that it sees, in the words of the question.
    pub relation: String,
    /// The score of *replaces*: the logarithm of its odds.
    pub score: f32,
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

    /// Returns open links of all spaces that this judge has not read, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn links_unjudged(&self, judge: String, limit: u32) -> Result<Vec<UnjudgedLink>, Error> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT memory_links.*, user_id, json_extract(newer.source, '$.key') AS newer_key,
                        older.content AS older_content, newer.content AS newer_content
                 FROM memory_links JOIN spaces ON spaces.id = memory_links.space_id
                 JOIN memories AS older ON older.id = older_id JOIN memories AS newer ON newer.id = newer_id
                 WHERE judge IS NOT ?1 AND {OPEN} ORDER BY memory_links.id DESC LIMIT ?2"
            );
            let mut query = connection.prepare_cached(&sql)?;
            let rows = query.query_map((judge, limit), |row| {
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

    /// Records the judgment about a link. A link that no longer exists is left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn link_judge(&self, judgment: LinkJudgment) -> Result<(), Error> {
        self.write(move |connection| {
            connection.execute(
                "UPDATE memory_links SET judge = ?2, judged_relation = ?3, judged_score = ?4 WHERE id = ?1",
                (judgment.link.to_string(), judgment.judge, judgment.relation, judgment.score),
            )?;
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
