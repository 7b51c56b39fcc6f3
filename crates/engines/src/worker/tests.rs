//! The computing thread, without a model: what counts as a step, how long messages are, and how a panic ends.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use super::*;

/// Ends a test's own process with SIGABRT.
const ABORT: i32 = 6;

/// A backend without a model: notes when its steps began, or panics.
struct Probe {
    step_since_ms: Arc<AtomicU64>,
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
        assert!(!self.panics, "as a bug would");
        let since = self.step_since_ms.load(Ordering::Relaxed);
        self.steps.push(since);
        // Frames that come together do not all begin in one millisecond.
        while Instant::now().as_millis() <= since {}
        Ok(())
    }
}

fn outbox() -> (Outbox, mpsc::Receiver<Outgoing>) {
    let (frames, sent) = mpsc::channel();
    (Outbox { frames, active: Arc::default(), step_since_ms: Arc::default() }, sent)
}

/// Has three frames computed that came together.
fn compute_three(panics: bool) -> Vec<u64> {
    let (out, _sent) = outbox();
    let (commands, inbox) = mpsc::channel();
    for id in 0..3 {
        commands.send(ToWorker::Embed { id, query: None, texts: Vec::new(), more: false }).unwrap();
    }
    drop(commands);
    let mut probe = Probe { step_since_ms: out.step_since_ms.clone(), steps: Vec::new(), panics };
    compute(&mut probe, &inbox, &Interrupt::default(), &out);
    assert_eq!(out.step_since_ms.load(Ordering::Relaxed), 0, "nothing is computed any more");
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
    const NAME: &str = "worker::tests::a_panic_ends_the_process";
    /// Skips no test; tells the child that it is one.
    const CHILD: &str = "no-test-has-this-name";
    if std::env::args().any(|argument| argument == CHILD) {
        compute_three(true);
        return;
    }
    let mut child = lar_sandbox::command(std::env::current_exe().unwrap(), lar_sandbox::Inherit::Engine);
    child.args([NAME, "--exact", "--skip", CHILD]).stdout(Stdio::null()).stderr(Stdio::null());
    assert_eq!(child.status().unwrap().signal(), Some(ABORT));
}

#[test]
fn a_long_error_message_is_truncated() {
    let long = || "é".repeat(MESSAGE_BYTES_MAX);
    for frame in [
        FromWorker::TokenizeFailed { id: 1, message: long() },
        FromWorker::Failed { stream: 1, message: long(), constraint: true, active: 0 },
        FromWorker::EmbedFailed { id: 1, message: long() },
        FromWorker::Text { id: 1, answer: Err(long()) },
        FromWorker::Checked { id: 1, index: 0, outcome: Err(long()) },
    ] {
        let (out, sent) = outbox();
        out.send(frame);
        let Outgoing::Frame(frame) = sent.recv().unwrap() else { panic!("it is not the last") };
        let bytes = protocol::encode(&frame).unwrap().len();
        assert!((MESSAGE_BYTES_MAX..MESSAGE_BYTES_MAX + 64).contains(&bytes), "{frame:?}");
    }
    let short = FromWorker::TokenizeFailed { id: 1, message: "it has no `role`".into() };
    assert_eq!(with_short_message(short.clone()), short);
}
