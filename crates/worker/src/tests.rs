//! The computing thread without a model: what counts as a step, how long messages are, and how a panic ends.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use super::*;

/// The signal with which a test's child process aborts.
const ABORT: i32 = 6;

/// A backend without a model that records when its steps started, or panics.
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
        assert!(!self.panics, "a simulated bug");
        let since = self.step_since_ms.load(Ordering::Relaxed);
        self.steps.push(since);
        // Ensures that frames that arrive together do not all start in one millisecond.
        while Instant::now().as_millis() <= since {}
        Ok(())
    }
}

fn outbox() -> (Outbox, mpsc::Receiver<Outgoing>) {
    let (frames, sent) = mpsc::sync_channel(OUTGOING_MAX);
    (Outbox { frames, active: Arc::default(), step_since_ms: Arc::default() }, sent)
}

/// Computes three frames that arrived together.
fn compute_three(panics: bool) -> Vec<u64> {
    let (out, _sent) = outbox();
    let (commands, inbox) = mpsc::sync_channel(3);
    for id in 0..3 {
        commands.send(ToWorker::Embed { id, query: None, texts: Vec::new(), more: false }).unwrap();
    }
    drop(commands);
    let mut probe = Probe { step_since_ms: out.step_since_ms.clone(), steps: Vec::new(), panics };
    compute(&mut probe, &inbox, &Interrupt::default(), &out);
    assert_eq!(out.step_since_ms.load(Ordering::Relaxed), 0, "no step is running");
    probe.steps
}

#[test]
fn each_frame_of_a_burst_counts_as_its_own_step() {
    let steps = compute_three(false);
    assert_eq!(steps.len(), 3);
    assert!(steps.is_sorted_by(|one, next| one < next), "{steps:?}");
}

#[test]
fn a_command_waits_for_room_and_ends_the_process_without_any() {
    let command = |stream| ToWorker::Credit { stream, tokens: 1 };
    let (commands, inbox) = mpsc::sync_channel(1);
    assert!(forward(&commands, command(1), Duration::ZERO));
    assert!(!forward(&commands, command(2), Duration::ZERO), "there is no room");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| forward(&commands, command(3), Duration::from_secs(60)));
        let taken = [inbox.recv().unwrap(), inbox.recv().unwrap()];
        assert_eq!(taken, [command(1), command(3)], "a command that waited is not lost");
        assert!(waiting.join().unwrap());
    });
    drop(inbox);
    assert!(!forward(&commands, command(4), Duration::from_secs(60)), "nothing computes");
}

#[test]
fn frames_for_a_server_that_does_not_read_wait_until_it_is_gone() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let out = Outbox::start(ours);
    let sending = std::thread::spawn({
        // Far more than the queue and the socket's buffer hold.
        let message = "x".repeat(MESSAGE_BYTES_MAX);
        move || {
            for id in 0..4 * OUTGOING_MAX as u64 {
                out.send(FromWorker::EmbedFailed { id, message: message.clone() });
            }
        }
    });
    let mut reader = std::io::BufReader::new(&theirs);
    let first = protocol::read::<FromWorker>(&mut reader).unwrap();
    assert!(matches!(first, Some(FromWorker::EmbedFailed { id: 0, .. })), "{first:?}");
    assert!(!sending.is_finished(), "the sender waits");
    drop(reader);
    drop(theirs);
    sending.join().unwrap();
}

#[test]
fn a_panic_ends_the_process() {
    const NAME: &str = "tests::a_panic_ends_the_process";
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
        let Outgoing::Frame(frame) = sent.recv().unwrap() else { panic!("it is not marked as the last") };
        let bytes = protocol::encode(&frame).unwrap().len();
        assert!((MESSAGE_BYTES_MAX..MESSAGE_BYTES_MAX + 64).contains(&bytes), "{frame:?}");
    }
    let short = FromWorker::TokenizeFailed { id: 1, message: "it has no `role`".into() };
    assert_eq!(with_short_message(short.clone()), short);
}
