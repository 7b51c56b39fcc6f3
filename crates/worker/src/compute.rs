//! The computing thread: it reads commands between the steps of a [`Backend`] and reports the results.

use std::sync::mpsc;
use std::time::Duration;

use super::backend::{Backend, Progress, StreamRequest};
use super::constraint_check::Checks;
use super::llama_cpp::Interrupt;
use super::outbox::{AbortOnPanic, Outbox};
use super::prefix_cache::PromptTokens;
use lar_inference::protocol::{FromWorker, ToWorker};

/// The interval at which an idle worker checks whether a waiting stream may have a sequence.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Computes until the inbox is closed.
pub(super) fn compute(
    backend: &mut dyn Backend,
    inbox: &mpsc::Receiver<ToWorker>,
    interrupt: &Interrupt,
    out: &Outbox,
) {
    let _ends = AbortOnPanic;
    let mut checks = Checks::default();
    loop {
        // Cleared before the inbox is read: a later request is in the inbox or interrupts the step.
        interrupt.clear();
        let has_work = backend.has_work() || !checks.is_empty();
        let first = match (has_work, backend.waits()) {
            (true, _) => inbox.try_recv().ok(),
            (false, false) => match inbox.recv() {
                Ok(frame) => Some(frame),
                Err(mpsc::RecvError) => return,
            },
            (false, true) => match inbox.recv_timeout(LOOK_AGAIN_AFTER) {
                Ok(frame) => Some(frame),
                Err(mpsc::RecvTimeoutError::Timeout) => None,
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            },
        };
        for frame in first.into_iter().chain(inbox.try_iter()) {
            // Each frame counts as one step, so that many frames do not look like one step that hangs.
            out.begin();
            handle(backend, &mut checks, frame, out);
            out.end();
        }
        // One check at a time, so that a cancellation can remove those that wait.
        if !checks.is_empty() {
            out.begin();
            for frame in checks.compute_next(|| backend.vocab()) {
                out.send(frame);
            }
            out.end();
        }
        out.count(backend);
        if backend.has_work() {
            out.begin();
            let mut progress = Vec::new();
            backend.step(&mut |stream, what| match what {
                // These are sent before the step computes.
                Progress::Started | Progress::Paused | Progress::Prefilling { .. } => {
                    out.send(what.frame(stream, 0));
                }
                what => progress.push((stream, what)),
            });
            out.end();
            let active = out.count(backend);
            for (id, what) in progress {
                out.send(what.frame(id, active));
            }
        }
    }
}

/// Executes one command.
fn handle(backend: &mut dyn Backend, checks: &mut Checks, frame: ToWorker, out: &Outbox) {
    match frame {
        ToWorker::Generate { stream, caller, tokens, sampling, cache_of } => {
            let prompt = PromptTokens { tokens, owner: cache_of };
            if let Err(failure) = backend.start(stream, StreamRequest { caller, prompt, sampling }) {
                out.send(failure.frame(stream, backend.active()));
            }
        }
        ToWorker::Credit { stream, tokens } => backend.credit(stream, tokens),
        ToWorker::Cancel { stream } => {
            checks.cancel(stream);
            // A stream that has ended already has had its terminal frame.
            if backend.cancel(stream) {
                out.send(FromWorker::Cancelled { stream, active: out.count(backend) });
            }
        }
        ToWorker::Embed { id, query, texts, more } => {
            let mut progress = Vec::new();
            let taken =
                backend.embed(id, query.as_deref(), &texts, more, &mut |id, what| progress.push((id, what)));
            if let Err(message) = taken {
                progress.push((id, Progress::EmbedFailed(message)));
            }
            for (id, what) in progress {
                out.send(what.frame(id, backend.active()));
            }
        }
        ToWorker::Tokenize { id, .. } => {
            let message = "this worker does not tokenize prompts".into();
            out.send(FromWorker::TokenizeFailed { id, message });
        }
        ToWorker::Text { id, .. } => {
            let answer = Err("this worker does not answer tokenizer queries".into());
            out.send(FromWorker::Text { id, answer });
        }
        ToWorker::Check { id, caller, constraints } => {
            for frame in checks.add(id, caller, constraints) {
                out.send(frame);
            }
        }
        ToWorker::Hello { .. } | ToWorker::Load(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Stdio;

    use lar_base::Instant;

    use super::*;
    use crate::llama_cpp::Vocab;

    /// The signal with which a test's child process aborts.
    const ABORT: i32 = 6;

    /// A backend without a model that records when its steps started, or panics.
    struct Probe {
        out: Outbox,
        steps: Vec<u64>,
        panics: bool,
    }

    impl Backend for Probe {
        fn vocab(&self) -> Vocab<'_> {
            unreachable!("nothing is checked")
        }

        fn embed(
            &mut self,
            _: u64,
            _: Option<&str>,
            _: &[String],
            _: bool,
            _: &mut dyn FnMut(u64, Progress),
        ) -> Result<(), String> {
            assert!(!self.panics, "a simulated bug");
            let since = self.out.step_since_ms();
            self.steps.push(since);
            // Ensures that frames that arrive together do not all start in one millisecond.
            while Instant::now().as_millis() <= since {}
            Ok(())
        }
    }

    /// Computes three frames that arrived together.
    fn compute_three(panics: bool) -> Vec<u64> {
        let (out, _sent) = Outbox::without_thread();
        let (commands, inbox) = mpsc::sync_channel(3);
        for id in 0..3 {
            commands.send(ToWorker::Embed { id, query: None, texts: Vec::new(), more: false }).unwrap();
        }
        drop(commands);
        let mut probe = Probe { out: out.clone(), steps: Vec::new(), panics };
        compute(&mut probe, &inbox, &Interrupt::default(), &out);
        assert_eq!(out.step_since_ms(), 0, "no step is running");
        probe.steps
    }

    #[test]
    fn each_frame_of_a_burst_counts_as_its_own_step() {
        let steps = compute_three(false);
        assert_eq!(steps.len(), 3);
        assert!(steps.is_sorted_by(|one, next| one < next), "{steps:?}");
    }

    #[test]
    fn a_panic_ends_the_process() {
        const NAME: &str = "compute::tests::a_panic_ends_the_process";
        /// A filter that skips no test; it marks the child process.
        const CHILD: &str = "no-test-has-this-name";
        if std::env::args().any(|argument| argument == CHILD) {
            compute_three(true);
            return;
        }
        let mut child = lar_sandbox::command(std::env::current_exe().unwrap(), lar_sandbox::Inherit::Engine);
        child.args([NAME, "--exact", "--skip", CHILD]).stdout(Stdio::null()).stderr(Stdio::null());
        assert_eq!(child.status().unwrap().signal(), Some(ABORT));
    }
}
