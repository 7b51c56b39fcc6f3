//! A local model as judge of links: does the newer memory make the older one outdated?
//!
//! A judge works in the background with the lowest priority. It waits until no interactive task has been in
//! progress for a while, stops when one starts, and asks again later. It replaces memories only if its
//! calibration on the built-in pairs shows that it is precise enough ([`calibration`]); otherwise the links stay
//! as they are. It decides only about texts that the model read as they are now, and whole. A replacement is undone
//! like any other, and the judge does not repeat it.
//!
//! Usage is recorded under the key that wrote the newer memory, and that of a calibration under the key that asked
//! for it, or one of the owner.
//!
//! The reason in the history of memories says nothing about a text, because it stays when the memory with that text
//! is erased.

mod calibration;
mod pass;
mod question;
pub(crate) mod status;
#[cfg(test)]
mod tests;

use std::time::Duration;

use lar_base::default_models::DEFAULT_CHAT;
use lar_base::{Caller, Code, KeyId, Problem, TaskId, Timestamp};
use lar_gateway::{OnDisconnect, Task, Work};
use lar_inference::{Priority, Prompt, TaskEvent, cancelled_problem, stopped_problem};
use lar_store::{
    Change, Error as StoreError, JudgeCalibration, KeyRecord, LinkJudgment, LinkResolution, Memory,
    MemoryDecision, UnjudgedLink,
};
use tokio_util::sync::CancellationToken;

use self::calibration::{CalibrationPair, Scored};
use self::pass::{Pass, Resting};
use self::question::FormAnswer;
pub use self::status::{JudgeModel, JudgeState};
use crate::Memories;
use crate::smart::Decision;
use crate::supersede::{TRIES_MAX, confirm_change, supersede_change};

/// The interval between looks for links and a loaded model.
const EVERY: Duration = Duration::from_secs(60);
/// The time without interactive tasks before the judge asks.
const QUIET: Duration = Duration::from_secs(20);

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
        let (mut resting, mut has_failed) = (Resting::default(), false);
        loop {
            let worked = tokio::select! {
                () = stopping.cancelled() => return,
                worked = self.judge_all(&mut resting) => worked,
            };
            match &worked {
                Ok(()) => {}
                Err(problem) if has_failed => tracing::debug!(%problem, "could not judge links"),
                Err(problem) => tracing::warn!(%problem, "could not judge links; trying again every minute"),
            }
            has_failed = worked.is_err();
            self.judge.set(JudgeState::Idle);
            tokio::select! {
                () = stopping.cancelled() => return,
                () = self.judge.woken() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn judge_all(&self, resting: &mut Resting) -> Result<(), Problem> {
        let requested = self.judge.requested().take();
        if let Some((model, caller)) = requested {
            let judge = self.judging_model(&model).await?;
            if let Err(problem) = self.calibrate(&judge, &caller).await {
                tracing::warn!(model, %problem, "could not calibrate the judge of links");
            }
        }
        let Some(judge) = self.current_judge().await? else { return Ok(()) };
        let Some(first) = self.store.links_unjudged(judge.id.clone(), None, 1).await?.pop() else {
            return Ok(());
        };
        let known = self.store.judge_get(judge.id.clone()).await?;
        let calibration = match known {
            Some(known) => known,
            None => self.calibrate(&judge, &self.calibration_caller(&first).await?).await?,
        };
        let Some(threshold) = calibration.threshold else { return Ok(()) };
        self.judge.set(JudgeState::Judging { model: judge.name.clone() });
        let mut pass = Pass::new(&self.store, judge.id.clone(), resting);
        while let Some(next) = pass.next().await? {
            let (link, key) = (next.link.id, next.key);
            let judged = self.judge_link(&judge, next, threshold).await;
            pass.record(link, key, judged);
        }
        Ok(())
    }

    /// Returns the caller of a calibration that nobody asked for. It serves all users, so it has a key of the owner.
    /// An owner without a valid key has the key of the newest link instead.
    async fn calibration_caller(&self, first: &UnjudgedLink) -> Result<Caller, Problem> {
        let owner = self.store.owner().await?;
        let keys = self.store.key_list(owner).await?;
        let caller = match oldest_valid(&keys, Timestamp::now()) {
            Some(key) => Caller::internal(owner, key),
            None => Caller::internal(first.user, first.key),
        };
        Ok(caller)
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
            scored.push((answer.and_then(|answer| answer.replacement_score()), *replaces));
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
        judged: UnjudgedLink,
        threshold: f32,
    ) -> Result<(), Problem> {
        let caller = Caller::internal(judged.user, judged.key);
        let answer = self.ask(judge, &caller, &judged.older, &judged.newer).await?;
        let judgment = LinkJudgment {
            link: judged.link.id,
            judge: judge.id.clone(),
            older: judged.older.clone(),
            newer: judged.newer.clone(),
        };
        // If a text changed meanwhile, the next pass asks about the new one.
        let is_recorded = self.store.link_judge(judgment).await?;
        let score = answer.and_then(|answer| answer.replacement_score());
        if !is_recorded || !calibration::is_accepted(score, threshold) {
            return Ok(());
        }
        let decided = self.replace_judged(judge, &judged).await;
        if !matches!(decided, Ok(true)) {
            self.store.link_judge_again(judged.link.id, judge.id.clone()).await?;
        }
        decided.map(drop)
    }

    /// Replaces the older memory of a link. Returns whether the link is decided: false if a text is another one than
    /// the model read.
    async fn replace_judged(&self, judge: &JudgingModel, judged: &UnjudgedLink) -> Result<bool, Problem> {
        let link = &judged.link;
        let _lock = self.space_locks.lock(link.space).await;
        for _ in 0..TRIES_MAX {
            let spaces = vec![link.space];
            let memories = async {
                let older = self.store.memory_get(spaces.clone(), link.older).await?;
                Ok((older, self.store.memory_get(spaces.clone(), link.newer).await?))
            };
            let (older, newer) = match memories.await {
                Ok(memories) => memories,
                // One of them was erased, and the link with it.
                Err(StoreError::NotFound(_)) => return Ok(true),
                Err(error) => return Err(error.into()),
            };
            let Some(decision) = replacement(judged, &older, &newer) else { return Ok(false) };
            let change = Change::new(judged.key, Decision::Supersede.as_str(), Some(reason(&judge.name)));
            match self.commit_decision(spaces, decision, change, None).await {
                // Something else than a text may have changed.
                Err(problem) if problem.code == Code::VersionMismatch => {}
                // A person decided meanwhile, or erased a memory.
                Err(problem) if matches!(problem.code, Code::Conflict | Code::NotFound) => return Ok(true),
                done => return done.map(|_| true),
            }
        }
        Ok(false)
    }

    /// Asks the model when nobody waits for an answer. Returns `None` if its answer cannot be read, or a text is too
    /// long to ask.
    async fn ask(
        &self,
        judge: &JudgingModel,
        caller: &Caller,
        older: &str,
        newer: &str,
    ) -> Result<Option<FormAnswer>, Problem> {
        let Some(prompt) = question::prompt(older, newer) else { return Ok(None) };
        let interactive = self.gateway.interactive_tasks();
        loop {
            interactive.wait_until_quiet(QUIET).await;
            tokio::select! {
                biased;
                // Dropping the answer's reader cancels its task.
                () = interactive.wait_for_one() => {}
                answer = self.generate(judge, caller, prompt.clone()) => return answer,
            }
        }
    }

    async fn generate(
        &self,
        judge: &JudgingModel,
        caller: &Caller,
        prompt: Prompt,
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
            work: Work::Generate { prompt, sampling: question::sampling() },
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

/// Returns the oldest key that is valid and belongs to no agent.
fn oldest_valid(keys: &[KeyRecord], now: Timestamp) -> Option<KeyId> {
    let mut valid = keys.iter().filter(|key| {
        key.agent.is_none() && key.revoked_at.is_none() && key.expires_at.is_none_or(|expiry| expiry > now)
    });
    valid.next().map(|key| key.id)
}

/// Returns the decision that replaces the older memory; `None` if a text is another one than the model read.
fn replacement(judged: &UnjudgedLink, older: &Memory, newer: &Memory) -> Option<MemoryDecision> {
    if (&older.content, &newer.content) != (&judged.older, &judged.newer) {
        return None;
    }
    Some(MemoryDecision {
        // The decision also changes the newer memory, so that it can be undone from both.
        changes: vec![confirm_change(newer), supersede_change(older, newer.id, newer.valid_from)],
        resolved: Some((judged.link.id, LinkResolution::Replace)),
        ..MemoryDecision::default()
    })
}

/// Returns the reason in the history of memories.
fn reason(model: &str) -> String {
    format!("{model} finds that it is outdated")
}
