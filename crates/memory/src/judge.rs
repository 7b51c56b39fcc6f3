//! A local model as judge of links: does the newer memory make the older one outdated?
//!
//! A judge works in the background with the lowest priority. It waits until no interactive task has been in
//! progress for a while, stops when one starts, and asks again later. It replaces memories only if its
//! calibration on the built-in pairs shows that it is precise enough ([`calibration`]); otherwise the links stay
//! as they are. Usage is recorded under the key that wrote the newer memory. A replacement is undone like any
//! other, and the judge does not repeat it.

mod calibration;
mod question;
pub(crate) mod status;

use std::time::Duration;

use lar_base::default_models::DEFAULT_CHAT;
use lar_base::{Caller, Code, Problem, TaskId, Timestamp};
use lar_gateway::{OnDisconnect, Task, Work};
use lar_inference::{Priority, TaskEvent, cancelled_problem, stopped_problem};
use lar_store::{
    Change, JudgeCalibration, LinkJudgment, LinkRelation, LinkResolution, MemoryDecision, UnjudgedLink,
};
use tokio_util::sync::CancellationToken;

use self::calibration::{CalibrationPair, Scored};
use self::question::FormAnswer;
pub use self::status::{JudgeModel, JudgeState};
use crate::Memories;
use crate::smart::Decision;
use crate::supersede::{confirm_change, supersede_change};

/// The interval between looks for links and a loaded model.
const EVERY: Duration = Duration::from_secs(60);
/// The time without interactive tasks before the judge asks.
const QUIET: Duration = Duration::from_secs(20);
/// The number of links that are loaded together.
const PAGE: u32 = 16;
/// The most characters of a change in the history of memories.
const CHANGE_CHARS_MAX: usize = 200;

/// A model that judges, with the version of the question.
struct JudgingModel {
    /// The model's name.
    name: String,
    /// The judge's id in the database.
    id: String,
}

impl Memories {
    /// Returns the state of the judge, and the calibrations of all models, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn judges(&self) -> Result<(JudgeState, Vec<JudgeCalibration>), Problem> {
        Ok((self.judge.state(), self.store.judges().await?))
    }

    /// Starts the calibration of a model in the background; without a name, of the default chat model. Returns
    /// the model's name.
    ///
    /// # Errors
    /// [`Code::NotFound`] if there is no such model.
    pub async fn start_calibration(&self, caller: &Caller, model: Option<&str>) -> Result<String, Problem> {
        let judge = self.judging_model(model.unwrap_or(DEFAULT_CHAT)).await?;
        let caller = Caller::internal(caller.user(), caller.key());
        *self.judge.requested() = Some((judge.name.clone(), caller));
        self.judge.set(JudgeState::Calibrating {
            model: judge.name.clone(),
            judged: 0,
            pairs: calibration::pairs().len(),
        });
        self.judge.wake();
        Ok(judge.name)
    }

    /// Judges until the server stops.
    pub(crate) async fn run_judge(self, stopping: CancellationToken) {
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                worked = self.judge_all() => if let Err(problem) = worked {
                    tracing::debug!(%problem, "could not judge links");
                },
            }
            self.judge.set(JudgeState::Idle);
            tokio::select! {
                () = stopping.cancelled() => return,
                () = self.judge.woken() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn judge_all(&self) -> Result<(), Problem> {
        let requested = self.judge.requested().take();
        if let Some((model, caller)) = requested {
            let judge = self.judging_model(&model).await?;
            if let Err(problem) = self.calibrate(&judge, &caller).await {
                tracing::warn!(model, %problem, "could not calibrate the judge of links");
            }
        }
        let Some(judge) = self.current_judge().await? else { return Ok(()) };
        let Some(first) = self.store.links_unjudged(judge.id.clone(), 1).await?.pop() else {
            return Ok(());
        };
        let known = self.store.judge_get(judge.id.clone()).await?;
        let calibration = match known {
            Some(known) => known,
            None => self.calibrate(&judge, &Caller::internal(first.user, first.key)).await?,
        };
        let Some(threshold) = calibration.threshold else { return Ok(()) };
        self.judge.set(JudgeState::Judging { model: judge.name.clone() });
        loop {
            let page = self.store.links_unjudged(judge.id.clone(), PAGE).await?;
            if page.is_empty() {
                return Ok(());
            }
            for link in page {
                self.judge_link(&judge, link, threshold).await?;
            }
        }
    }

    /// Returns the model that judges now.
    async fn current_judge(&self) -> Result<Option<JudgingModel>, Problem> {
        match &self.options.judge {
            JudgeModel::Off => Ok(None),
            JudgeModel::Named(model) => self.judging_model(model).await.map(Some),
            JudgeModel::WhileLoaded => {
                let Ok(judge) = self.judging_model(DEFAULT_CHAT).await else { return Ok(None) };
                Ok(Some(judge).filter(|judge| self.gateway.is_loaded_here(&judge.name)))
            }
        }
    }

    async fn judging_model(&self, model: &str) -> Result<JudgingModel, Problem> {
        let route = self.gateway.route(model).await?;
        let weights = if route.digest.is_empty() { &route.pool } else { &route.digest };
        let id = format!("{weights}#{}", question::VERSION);
        Ok(JudgingModel { name: route.pool, id })
    }

    /// Judges the built-in pairs and stores the result.
    async fn calibrate(&self, judge: &JudgingModel, caller: &Caller) -> Result<JudgeCalibration, Problem> {
        let pairs = calibration::pairs();
        tracing::info!(model = judge.name, pairs = pairs.len(), "calibrating the judge of links");
        let mut scored: Vec<Scored> = Vec::with_capacity(pairs.len());
        for CalibrationPair { older, newer, replaces } in pairs {
            self.judge.set(JudgeState::Calibrating {
                model: judge.name.clone(),
                judged: scored.len(),
                pairs: pairs.len(),
            });
            let answer = self.ask(judge, caller, older, newer).await?;
            scored.push((score_of(answer.as_ref()), *replaces));
            if calibration::is_hopeless(&scored, pairs.len()) {
                break;
            }
        }
        let fitness = calibration::measure(&scored);
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let calibration = JudgeCalibration {
            judge: judge.id.clone(),
            model: judge.name.clone(),
            pairs: count(scored.len()),
            replacements: count(scored.iter().filter(|(_, replaces)| *replaces).count()),
            accepted: count(fitness.accepted),
            correct: count(fitness.correct),
            threshold: fitness.threshold,
            calibrated_at: Timestamp::now(),
        };
        tracing::info!(
            model = judge.name,
            is_fit = calibration.threshold.is_some(),
            accepted = calibration.accepted,
            correct = calibration.correct,
            "the judge of links is calibrated"
        );
        self.store.judge_set(calibration.clone()).await?;
        Ok(calibration)
    }

    async fn judge_link(
        &self,
        judge: &JudgingModel,
        unjudged: UnjudgedLink,
        threshold: f32,
    ) -> Result<(), Problem> {
        let UnjudgedLink { link, user, key, older, newer } = unjudged;
        let answer = self.ask(judge, &Caller::internal(user, key), &older, &newer).await?;
        let relation = answer.as_ref().map_or("unclear", |answer| answer.relation.as_str());
        let score = score_of(answer.as_ref());
        let record =
            LinkJudgment { link: link.id, judge: judge.id.clone(), relation: relation.into(), score };
        self.store.link_judge(record).await?;
        if score < threshold || link.relation != LinkRelation::MayReplace {
            return Ok(());
        }
        let reason = reason(&judge.name, answer.as_ref());
        let _lock = self.space_locks.lock(link.space).await;
        let spaces = vec![link.space];
        let older = self.store.memory_get(spaces.clone(), link.older).await?;
        let newer = self.store.memory_get(spaces.clone(), link.newer).await?;
        let decision = MemoryDecision {
            // The decision also changes the newer memory, so that it can be undone from both.
            changes: vec![confirm_change(&newer), supersede_change(&older, newer.id, newer.valid_from)],
            resolved: Some((link.id, LinkResolution::Replace)),
            ..MemoryDecision::default()
        };
        let change = Change::new(key, Decision::Supersede.as_str(), Some(reason));
        match self.commit_decision(spaces, decision, change, None).await {
            // A person decided, or changed a memory, meanwhile.
            Err(problem) if matches!(problem.code, Code::Conflict | Code::VersionMismatch) => Ok(()),
            done => done.map(|_| ()),
        }
    }

    /// Asks the model when nobody waits for an answer. Returns `None` if its answer cannot be read.
    async fn ask(
        &self,
        judge: &JudgingModel,
        caller: &Caller,
        older: &str,
        newer: &str,
    ) -> Result<Option<FormAnswer>, Problem> {
        let interactive = self.gateway.interactive_tasks();
        loop {
            interactive.wait_until_quiet(QUIET).await;
            tokio::select! {
                biased;
                // Dropping the answer's reader cancels its task.
                () = interactive.wait_for_one() => {}
                answer = self.generate(judge, caller, older, newer) => return answer,
            }
        }
    }

    async fn generate(
        &self,
        judge: &JudgingModel,
        caller: &Caller,
        older: &str,
        newer: &str,
    ) -> Result<Option<FormAnswer>, Problem> {
        let task = Task {
            id: TaskId::new(),
            caller: caller.clone(),
            api: "memory",
            model: judge.name.clone(),
            priority: Priority::Batch,
            deadline: None,
            conversation: None,
            memory: None,
            on_disconnect: OnDisconnect::Cancel,
            work: Work::Generate { prompt: question::prompt(older, newer), sampling: question::sampling() },
        };
        let admitted = self.gateway.admit(task).await?;
        let mut reader = self.gateway.dispatch(admitted).read(0);
        let mut tokens = Vec::new();
        while let Some((_, event)) = reader.next().await {
            match event {
                TaskEvent::Token { logprobs, .. } => tokens.extend(logprobs.iter().cloned()),
                TaskEvent::End(_) => return Ok(question::read(&tokens)),
                TaskEvent::Error(problem) => return Err(problem),
                TaskEvent::Cancelled => return Err(cancelled_problem()),
                _ => {}
            }
        }
        Err(stopped_problem())
    }
}

/// Returns the score of an answer. One that cannot be read accepts nothing.
fn score_of(answer: Option<&FormAnswer>) -> f32 {
    answer.map_or(f32::MIN, |answer| answer.score)
}

/// Returns the reason in the history of memories.
fn reason(model: &str, answer: Option<&FormAnswer>) -> String {
    let change = answer.map(|answer| answer.change.as_str()).filter(|change| *change != question::NOTHING);
    match change {
        Some(change) => {
            let change: String = change.chars().take(CHANGE_CHARS_MAX).collect();
            format!("{model} finds that it is outdated: {change}")
        }
        None => format!("{model} finds that it is outdated"),
    }
}
