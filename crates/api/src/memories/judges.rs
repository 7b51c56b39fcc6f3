//! The wire types of `/lar/v1/memories/judges`: models that judge whether a newer memory makes an older one
//! outdated.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The present work of the judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JudgeActivity {
    /// There is nothing to judge, no model is loaded, or the model is not fit.
    Idle,
    /// A model judges the built-in pairs.
    Calibrating,
    /// A model judges links between memories.
    Judging,
    /// A value that this version does not know, from a newer Lar. No server sends it.
    #[serde(other)]
    Unknown,
}

/// The judge and the calibrations of models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Judges {
    /// The present work of the judge: `idle`, `calibrating` or `judging`.
    pub activity: JudgeActivity,
    /// The model that judges; absent while it is idle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// While it is calibrating, the number of pairs that the model has judged; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<u64>,
    /// While it is calibrating, the number of all pairs; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs: Option<u64>,
    /// The calibrations, newest first.
    pub calibrations: Vec<JudgeCalibration>,
}

/// The calibration of a model on pairs of texts with known relations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JudgeCalibration {
    /// The model's name.
    pub model: String,
    /// Whether the model is precise enough to replace memories.
    pub fit: bool,
    /// The number of pairs that it judged. A model that cannot become fit is given up early.
    pub pairs: u64,
    /// The number of these pairs that are replacements.
    pub replacements: u64,
    /// The number of pairs that it takes for replacements with enough certainty. Each half of the pairs is
    /// measured with the threshold of the other half.
    pub accepted: u64,
    /// The number of these that are replacements.
    pub correct: u64,
    /// When it was calibrated (RFC 3339).
    pub calibrated_at: String,
}

/// A request to calibrate a model as judge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CalibrateJudge {
    /// The model's name or alias; without it, the default chat model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// The model whose calibration has started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StartedCalibration {
    /// The model's name.
    pub model: String,
}
