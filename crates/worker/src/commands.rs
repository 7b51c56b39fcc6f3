//! The reading thread: it decodes frames and hands them to the computing thread or the tokenizing threads.
//!
//! It kills the process when the server is gone, or when the computing thread takes no commands for too long.

use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;

use lar_base::Instant;
use rustix::process::{Signal, getpid, kill_process};

use super::llama_cpp::Interrupt;
use super::tokenize::{Limit, PromptQueue, RequestKind, TokenizeRequest};
use lar_inference::protocol;
use lar_inference::protocol::ToWorker;

/// The most commands that wait for the computing thread: as many as the server lets wait on its side. A step
/// usually takes less than half a second; a server that sends more during one waits, and kills the worker if
/// it cannot send for long.
pub(super) const COMMANDS_MAX: usize = 8_192;
/// How long the reading thread waits while [`COMMANDS_MAX`] commands wait: as long as a step may take before
/// the server counts the worker as hung. Then the process ends, because meanwhile it could not see that the
/// server is gone.
const COMMAND_WAIT_MAX: Duration = Duration::from_secs(120);
/// The interval at which the reading thread checks for room.
const COMMAND_RETRY_AFTER: Duration = Duration::from_millis(10);

/// Reads commands until end of file, then kills the process in any state: there is nothing to save.
pub(super) fn read_commands(
    socket: UnixStream,
    commands: &mpsc::SyncSender<ToWorker>,
    interrupt: &Interrupt,
    prompts: Option<&PromptQueue>,
) {
    let mut socket = BufReader::new(socket);
    while let Ok(Some(frame)) = protocol::read(&mut socket) {
        let cancels = matches!(frame, ToWorker::Cancel { .. });
        let frame = match (frame, prompts) {
            (ToWorker::Tokenize { id, caller, prompt, template, tokens_max }, Some(prompts)) => {
                let limit = tokens_max.map_or(Limit::Count, Limit::Tokens);
                prompts.add(TokenizeRequest {
                    id,
                    caller,
                    kind: RequestKind::Prompt(prompt, limit),
                    template,
                });
                continue;
            }
            (ToWorker::Text { id, caller, query, template }, Some(prompts)) => {
                prompts.add(TokenizeRequest { id, caller, kind: RequestKind::Text(query), template });
                continue;
            }
            (frame, prompts) => {
                if let (ToWorker::Cancel { stream }, Some(prompts)) = (&frame, prompts) {
                    prompts.cancel(*stream);
                }
                frame
            }
        };
        if !forward(commands, frame, COMMAND_WAIT_MAX) {
            break;
        }
        if cancels {
            interrupt.request();
        }
    }
    let _ = kill_process(getpid(), Signal::KILL);
}

/// Hands a frame to the computing thread. While the queue is full, waits up to `wait_max` for room.
///
/// Returns false if there is no room or no computing thread; the process then ends. Waiting cannot deadlock:
/// the computing thread takes commands between steps and waits only for the writing thread, which is
/// independent of this one.
fn forward(commands: &mpsc::SyncSender<ToWorker>, mut frame: ToWorker, wait_max: Duration) -> bool {
    let started_at = Instant::now();
    loop {
        match commands.try_send(frame) {
            Ok(()) => return true,
            Err(mpsc::TrySendError::Disconnected(_)) => return false,
            Err(mpsc::TrySendError::Full(_)) if started_at.elapsed() >= wait_max => return false,
            Err(mpsc::TrySendError::Full(returned)) => frame = returned,
        }
        std::thread::sleep(COMMAND_RETRY_AFTER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
