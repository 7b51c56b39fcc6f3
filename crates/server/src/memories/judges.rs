//! `/lar/v1/memories/judges`: the model that judges links, and its calibration.

use axum::extract::State;
use axum::http::StatusCode;
use lar_api::memories::{CalibrateJudge, JudgeActivity, JudgeCalibration, Judges, StartedCalibration};
use lar_memory::{JudgeState, Memories};

use crate::auth::{Admin, Authenticated};
use crate::errors::Failure;
use crate::extract::Json;

/// Show the judge of links
///
/// Returns what the judge does, and the calibrations of models, newest first.
#[utoipa::path(get, path = "/lar/v1/memories/judges", tag = "memories",
    responses((status = 200, body = Judges)))]
pub(crate) async fn show(
    State(memories): State<Memories>,
    Authenticated(_): Authenticated,
) -> Result<axum::Json<Judges>, Failure> {
    let (state, calibrations) = memories.judges().await?;
    let (activity, model, judged) = match state {
        JudgeState::Idle => (JudgeActivity::Idle, None, None),
        JudgeState::Calibrating { model, judged, pairs } => {
            (JudgeActivity::Calibrating, Some(model), Some((judged as u64, pairs as u64)))
        }
        JudgeState::Judging { model } => (JudgeActivity::Judging, Some(model), None),
    };
    let (judged, pairs) = judged.unzip();
    let calibrations = calibrations.into_iter().map(show_calibration).collect();
    Ok(axum::Json(Judges { activity, model, judged, pairs, calibrations }))
}

/// Calibrate a model as judge
///
/// Starts in the background and gives way to interactive requests. `GET` shows the progress.
#[utoipa::path(post, path = "/lar/v1/memories/judges", tag = "memories", request_body = CalibrateJudge,
    responses((status = 202, body = StartedCalibration), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn calibrate(
    State(memories): State<Memories>,
    _: Admin,
    Authenticated(caller): Authenticated,
    Json(new): Json<CalibrateJudge>,
) -> Result<(StatusCode, axum::Json<StartedCalibration>), Failure> {
    let model = memories.start_calibration(&caller, new.model.as_deref()).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(StartedCalibration { model })))
}

fn show_calibration(calibration: lar_store::JudgeCalibration) -> JudgeCalibration {
    JudgeCalibration {
        model: calibration.model,
        fit: calibration.threshold.is_some(),
        pairs: calibration.pairs.into(),
        replacements: calibration.replacements.into(),
        accepted: calibration.accepted.into(),
        correct: calibration.correct.into(),
        calibrated_at: calibration.calibrated_at.to_string(),
    }
}
