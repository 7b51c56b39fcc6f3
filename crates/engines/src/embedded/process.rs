//! The server's end of a worker: starts the process, speaks the protocol and notices its death.
//!
//! A worker is killed when its [`Worker`] is dropped, and kills itself when the socket closes, so no worker
//! outlives its server. When it dies, all of its streams and calls fail; nothing else is affected.

mod connection;
mod frame_loop;
mod start;
mod tokenizer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use lar_base::KeyId;
use lar_inference::protocol::{CREDIT, Load, ToWorker};
use lar_inference::{CallerIds, Error, Event, Sampling};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::limits;
use super::limits::{Allowance, PrefillReports};
use super::rpc::{EmbeddedTexts, PendingEmbedding, PendingReply, split_into_frames};
use crate::confinement_policy::ConfinementPolicy;
use crate::driver::Generation;
use crate::stderr::LastLines;
use connection::{Connection, OnTuned, Stream};
use frame_loop::{send_frames, supervise};
pub(super) use start::confinement;
use start::{greet, spawn, wait_until_loaded};

/// A running worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pid: u32,
    connection: Arc<Connection>,
}

impl Worker {
    /// Starts a process and returns once it has loaded its model or vocabulary. Dropping the future kills the
    /// process.
    pub(crate) async fn start(
        program: &Path,
        load: Load,
        policy: ConfinementPolicy,
        tuned: OnTuned,
    ) -> Result<Self, Error> {
        let (mut child, mut reader, mut writer) = spawn(program)?;
        let stderr =
            LastLines::of(&mut child, |line| tracing::debug!(line, "a worker wrote to standard error"));
        let loading = async {
            let missing = greet(&mut reader, &mut writer, load).await?;
            start::check_confinement(&missing, policy)?;
            wait_until_loaded(&mut reader).await
        };
        let loaded = loading.await;
        if let Ok(Some(found)) = &loaded {
            tuned(*found);
        }
        if let Err(error) = loaded {
            let Error::Failed(reason) = error else { return Err(error) };
            // A worker that exited by itself has a status, most likely a signal.
            let ended = tokio::time::timeout(Duration::from_secs(1), child.wait()).await;
            let status =
                ended.ok().and_then(Result::ok).map(|status| format!(" ({status})")).unwrap_or_default();
            let _ = child.start_kill();
            let lines = stderr.wait_closed().await;
            let lines = if lines.is_empty() { lines } else { format!(": {lines}") };
            return Err(Error::Load(format!("{reason}{status}{lines}")));
        }
        let (connection, frames) = Connection::new(tuned);
        let pid = child.id().unwrap_or_default();
        tokio::spawn(send_frames(writer, frames, connection.kill.clone()));
        tokio::spawn(supervise(child, reader, stderr, connection.clone()));
        Ok(Self { pid, connection })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn active(&self) -> u32 {
        self.connection.active()
    }

    /// Returns the reason why the worker died, if it did.
    pub(crate) fn death(&self) -> Option<String> {
        self.connection.death()
    }

    /// Waits until the worker dies and returns the reason.
    pub(crate) async fn wait_for_death(&self) -> String {
        self.connection.wait_for_death().await
    }

    /// Kills the process and waits until it has exited.
    pub(crate) async fn stop(&self) {
        self.connection.kill.cancel();
        self.wait_for_death().await;
    }

    /// Computes the vectors of texts, or scores them for `query`. Dropping the future stops the work.
    pub(crate) async fn embed(
        &self,
        query: Option<String>,
        texts: Vec<String>,
    ) -> Result<EmbeddedTexts, Error> {
        if texts.is_empty() {
            return Ok(EmbeddedTexts { values: Vec::new(), tokens: 0, truncated: Vec::new() });
        }
        let (answer, answered) = oneshot::channel();
        let values = vec![Vec::new(); texts.len()];
        let call = self.connection.register(PendingReply::Embed(PendingEmbedding { values, answer }));
        for (texts, more) in split_into_frames(texts) {
            let frame = ToWorker::Embed { id: call.id, query: query.clone(), texts, more };
            self.connection.send_text(frame).await?;
        }
        match answered.await {
            Ok(answer) => answer.map_err(Error::Failed),
            Err(_) => Err(Error::Failed(self.wait_for_death().await)),
        }
    }

    pub(super) fn generate(
        worker: &Arc<Self>,
        tokens: Vec<u32>,
        sampling: Sampling,
        caller: Option<CallerIds>,
        cache_of: Option<KeyId>,
    ) -> Generation {
        let connection = &worker.connection;
        let caller = connection.caller_numbers(caller);
        let stream = connection.next_id();
        let (events, mut received) = mpsc::channel(limits::EVENTS_MAX);
        let stop = CancellationToken::new();
        let over = CancellationToken::new();
        let scored = if sampling.prompt_logprobs { tokens.len() } else { 0 };
        let scored = u32::try_from(scored).unwrap_or(u32::MAX);
        let allowance = Allowance::new(sampling.tokens_max.saturating_add(scored));
        let prefill = PrefillReports::new(sampling.reports_prefill.then_some(tokens.len()));
        let (slot, has_slot) = watch::channel(false);
        let entry = Stream { events, allowance, prefill, has_slot: slot, _over: over.clone().drop_guard() };
        connection.register_stream(stream, entry);
        let frame = ToWorker::Generate { stream, caller, tokens, sampling, cache_of };
        if let Err(error) = connection.try_send(&frame) {
            connection.end(stream, worker.active(), Event::Failed(error));
        }
        if let Some(reason) = worker.death() {
            // The worker may have died before the stream was registered.
            connection.end(stream, 0, Event::Failed(Error::Failed(reason)));
        }
        let (canceller, stop_requested) = (connection.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop_requested.cancelled() => canceller.send(ToWorker::Cancel { stream }),
                () = over.cancelled() => {}
            }
        });
        let connection = connection.clone();
        let mut taken = 0;
        let events = stream::poll_fn(move |context| {
            let event = std::task::ready!(received.poll_recv(context));
            // The worker gets as much new credit as events were read.
            match &event {
                Some(Event::Delta { tokens, .. }) => taken += (*tokens).max(1),
                Some(Event::Prefilling { .. }) => taken += 1,
                _ => {}
            }
            if taken >= CREDIT / 2 {
                connection.send(ToWorker::Credit { stream, tokens: std::mem::take(&mut taken) });
            }
            std::task::Poll::Ready(event)
        });
        Generation { events: events.boxed(), stop, has_slot: Some(has_slot) }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.connection.kill.cancel();
    }
}
