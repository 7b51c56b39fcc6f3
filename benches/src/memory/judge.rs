//! The default chat model as judge of links: its calibration, and the time per pair.

use std::time::Duration;

use lar_base::Instant;
use lar_memory::JudgeState;

use super::MemoryFixture;
use crate::progress::progress;

/// The interval between looks at the progress.
const EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn measure() -> anyhow::Result<String> {
    let fixture = MemoryFixture::open().await?;
    let memories = &fixture.memories;
    let model = memories.start_calibration(&fixture.caller, None).await?;
    let started_at = Instant::now();
    let mut shown = 0;
    let calibration = loop {
        tokio::time::sleep(EVERY).await;
        let (state, calibrations) = memories.judges().await?;
        match state {
            JudgeState::Calibrating { judged, pairs, .. } if judged >= shown + 50 => {
                shown = judged;
                progress(&format!("  {judged} of {pairs} pairs"));
            }
            JudgeState::Calibrating { .. } | JudgeState::Judging { .. } => {}
            JudgeState::Idle => break calibrations.into_iter().next(),
        }
    };
    let Some(calibration) = calibration else { anyhow::bail!("the calibration of {model} failed") };
    Ok(format!(
        "The calibration of {model}. A pair is accepted if its score is at least the threshold of the other half\n\
         of the pairs.\n\n\
         | pairs | replacements | accepted | of them replacements | fit | seconds per pair |\n\
         |---|---|---|---|---|---|\n\
         | {} | {} | {} | {} | {} | {:.1} |\n",
        calibration.pairs,
        calibration.replacements,
        calibration.accepted,
        calibration.correct,
        if calibration.threshold.is_some() { "yes" } else { "no" },
        started_at.elapsed().as_secs_f64() / f64::from(calibration.pairs.max(1)),
    ))
}
