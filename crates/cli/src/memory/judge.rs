//! `lar memory judge`: whether a model is fit to judge which memories are outdated.

use std::time::Duration;

use clap::Subcommand;
use lar_api::memories::{CalibrateJudge, JudgeActivity, JudgeCalibration, Judges, StartedCalibration};

use crate::client::Client;
use crate::output::{Output, plain};

/// The interval between looks at the progress.
const EVERY: Duration = Duration::from_secs(1);

/// The subcommands of `lar memory judge`.
#[derive(Debug, Clone, Subcommand)]
pub enum JudgeCommand {
    /// Show what the judge does and which models are fit
    Show,
    /// Measure on built-in texts whether a model is fit; takes minutes on a CPU
    Calibrate {
        /// The model's name or alias; without it, the default chat model
        model: Option<String>,
    },
}

pub(super) async fn judge(client: &Client, output: &Output, command: JudgeCommand) -> anyhow::Result<()> {
    match command {
        JudgeCommand::Show => {
            let judges: Judges = client.get("memories/judges").await?;
            output.show(&judges, || render(&judges))
        }
        JudgeCommand::Calibrate { model } => {
            let started: StartedCalibration =
                client.post("memories/judges", &CalibrateJudge { model }).await?;
            let judges = wait(client, output, &started.model).await?;
            let calibration = judges.calibrations.iter().find(|found| found.model == started.model);
            let Some(calibration) = calibration else {
                anyhow::bail!("the calibration of {} failed; the log has the reason", started.model);
            };
            output.show(calibration, || render_calibration(calibration))
        }
    }
}

/// Waits for the end of a calibration.
async fn wait(client: &Client, output: &Output, model: &str) -> anyhow::Result<Judges> {
    let progress = output.waiting(&format!("{model} judges pairs of texts"));
    loop {
        let judges: Judges = client.get("memories/judges").await?;
        if judges.activity != JudgeActivity::Calibrating {
            progress.finish_and_clear();
            return Ok(judges);
        }
        if let (Some(judged), Some(pairs)) = (judges.judged, judges.pairs) {
            progress.set_message(format!("{model} judges pairs of texts: {judged} of {pairs}"));
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn render(judges: &Judges) -> String {
    let now = match (judges.activity, &judges.model, judges.judged, judges.pairs) {
        (JudgeActivity::Calibrating, Some(model), Some(judged), Some(pairs)) => {
            format!("Calibrating {}: {judged} of {pairs} pairs.", plain(model))
        }
        (JudgeActivity::Judging, Some(model), ..) => format!("{} judges links.", plain(model)),
        _ => "Idle.".to_owned(),
    };
    let mut lines = vec![now];
    lines.extend(judges.calibrations.iter().map(render_calibration));
    lines.join("\n")
}

fn render_calibration(calibration: &JudgeCalibration) -> String {
    let JudgeCalibration { model, fit, replacements, accepted, correct, .. } = calibration;
    let verdict = match fit {
        true => "fit: it replaces outdated memories, and you can undo that",
        false => "not fit: links wait for you",
    };
    format!(
        "{}: {verdict}. It was sure of {accepted} of {replacements} replacements; {correct} of those were right.",
        plain(model)
    )
}
