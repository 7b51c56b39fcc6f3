//! One answer: sends the request, prints the answer while it arrives, and stops it on Ctrl+C.
//!
//! The memory activity of the turn is printed before the answer, and the memories that the answer cites after
//! it.

use std::collections::HashSet;

use futures_util::StreamExt as _;
use lar_api::conversations::{Citations, Forgotten, MemoryActivity, Recalled, TurnStarted};
use lar_api::tasks::{TaskEvent, WaitReason};
use serde::Serialize;
use serde_json::Value;

use super::wrap::Wrap;
use crate::output::{StoppedByUser, plain};
use crate::terminal::{self, HiddenKeys, Interrupts};
use crate::url_path::encode_segment;
use crate::{Client, Output, sse};

/// The escape sequences before and after dimmed text, which is a model's reasoning.
const DIM: (&str, &str) = ("\x1b[2m", "\x1b[0m");

/// A finished answer.
pub(super) struct Answer {
    /// The id of its message; empty if the stream ended before the id arrived.
    pub(super) id: String,
    pub(super) text: String,
    pub(super) end: TaskEvent,
    pub(super) memory: MemoryActivity,
}

/// The command that prints an answer. It determines how memory activity is printed, and how to undo it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerMode {
    /// `lar chat`, which has `/undo`. Memory activity is printed on a terminal only.
    Chat,
    /// `lar ask`. Memory changes are always printed to standard error.
    Once,
}

/// Sends a message and prints the answer while it arrives. Ctrl+C stops the answer as soon as it has started;
/// the server keeps the text so far. `lar` is how to call this program in a shell.
///
/// # Errors
/// If the server rejects the request, the connection is lost, or Ctrl+C is pressed again before the answer
/// has stopped.
pub(super) async fn send(
    client: &Client,
    output: &Output,
    conversation: &str,
    message: &impl Serialize,
    mode: AnswerMode,
    lar: &str,
) -> anyhow::Result<Answer> {
    let to = format!("conversations/{}/messages", encode_segment(conversation));
    print(client, output, conversation, &to, message, mode, lar).await
}

/// Requests another answer instead of the one with the id `answer`, and prints it like [`send`].
///
/// # Errors
/// As [`send`].
pub(super) async fn regenerate(
    client: &Client,
    output: &Output,
    conversation: &str,
    answer: &str,
    retry: &impl Serialize,
    lar: &str,
) -> anyhow::Result<Answer> {
    let to = format!(
        "conversations/{}/messages/{}/regenerate",
        encode_segment(conversation),
        encode_segment(answer)
    );
    print(client, output, conversation, &to, retry, AnswerMode::Chat, lar).await
}

async fn print(
    client: &Client,
    output: &Output,
    conversation: &str,
    to: &str,
    body: &impl Serialize,
    mode: AnswerMode,
    lar: &str,
) -> anyhow::Result<Answer> {
    // From here on, Ctrl+C does not end the program. Created before the keys are hidden.
    let mut interrupts = Interrupts::new()?;
    let hidden = (!output.json).then(HiddenKeys::new);
    let mut stop = StopState::No;
    let response = {
        let mut response = std::pin::pin!(client.stream(to, body));
        loop {
            tokio::select! {
                response = &mut response => break response?,
                () = interrupts.next() => stop.press(client, output, conversation)?,
            }
        }
    };
    let mut events = std::pin::pin!(sse::events(response));
    let mut screen = Screen::new(*output);
    let (mut id, mut text, mut memory) = (String::new(), String::new(), MemoryActivity::default());
    let end = loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = interrupts.next() => {
                stop.press(client, output, conversation)?;
                continue;
            }
        };
        let Some(event) = event else {
            anyhow::bail!("the server closed the connection in the middle of the answer")
        };
        let (name, data) = event?;
        match (name.as_str(), TaskEvent::parse(&name, &data)) {
            ("message", _) => {
                if let Ok(turn) = serde_json::from_str::<TurnStarted>(&data) {
                    (id, memory) = (turn.answer.id, turn.answer.memory.unwrap_or_default());
                }
                stop.on_answer_start(client, output, conversation);
                print_memory_activity(output, &memory, mode, lar);
            }
            ("citations", _) => {
                let cited = serde_json::from_str::<Citations>(&data).map(|cited| cited.memories);
                let cited = cited.unwrap_or_default();
                memory.recalled.iter_mut().for_each(|one| one.cited = cited.contains(&one.id));
            }
            (_, Ok(TaskEvent::Queued { position, predicted_start_ms, why })) => {
                let seconds = predicted_start_ms as f64 / 1000.0;
                output.remark(&match why {
                    WaitReason::Loading => format!("Loading the model, about {seconds:.0} s…"),
                    WaitReason::Memory => "Waiting for other models to free memory…".into(),
                    WaitReason::Busy if position == 0 => {
                        format!("You are next in the queue, about {seconds:.0} s…")
                    }
                    WaitReason::Busy if position == 1 => {
                        format!("1 request ahead of you, about {seconds:.0} s…")
                    }
                    WaitReason::Busy => format!("{position} requests ahead of you, about {seconds:.0} s…"),
                    WaitReason::Unknown => format!("Waiting, about {seconds:.0} s…"),
                });
            }
            (_, Ok(TaskEvent::Reasoning { t, .. })) => screen.reasoning(&t)?,
            (_, Ok(TaskEvent::Token { t, .. })) => {
                screen.text(&t)?;
                text.push_str(&t);
            }
            (_, Ok(end @ (TaskEvent::End { .. } | TaskEvent::Error(_) | TaskEvent::Cancelled {}))) => {
                break end;
            }
            (_, Ok(_) | Err(_)) => {}
        }
    };
    screen.finish()?;
    drop(hidden);
    for one in memory.recalled.iter().filter(|one| one.cited) {
        output.remark(&format!("  cited ({}): {}\n", one.day, one_line(&one.content)));
    }
    Ok(Answer { id, text, end, memory })
}

/// The state of a stop by Ctrl+C.
enum StopState {
    /// Ctrl+C was not pressed, and the answer has not started.
    No,
    /// Ctrl+C was pressed before the answer started.
    Requested,
    /// The answer has started and can be stopped.
    Possible,
    /// The request to stop the answer was sent.
    Sent,
}

impl StopState {
    /// Handles a press of Ctrl+C.
    ///
    /// # Errors
    /// [`StoppedByUser`] if Ctrl+C was pressed before and the answer has not stopped since.
    fn press(&mut self, client: &Client, output: &Output, conversation: &str) -> anyhow::Result<()> {
        match self {
            Self::No => {
                output
                    .remark("The answer will stop as soon as it starts. Press Ctrl+C again to stop waiting.");
                *self = Self::Requested;
            }
            Self::Possible => self.send(client, output, conversation),
            Self::Requested | Self::Sent => {
                anyhow::bail!(StoppedByUser("stopped waiting for the answer; the server may still write it"))
            }
        }
        Ok(())
    }

    /// Handles the start of the answer.
    fn on_answer_start(&mut self, client: &Client, output: &Output, conversation: &str) {
        match self {
            Self::No => *self = Self::Possible,
            Self::Requested => self.send(client, output, conversation),
            Self::Possible | Self::Sent => {}
        }
    }

    /// Sends the request to stop the answer, in the background, so that its events are still read.
    fn send(&mut self, client: &Client, output: &Output, conversation: &str) {
        *self = Self::Sent;
        let (client, output, conversation) = (client.clone(), *output, encode_segment(conversation));
        tokio::spawn(async move {
            let stopped =
                client.post::<Value>(&format!("conversations/{conversation}/stop"), &Value::Null).await;
            if let Err(error) = stopped {
                output.remark(&format!("Could not stop the answer: {error:#}"));
            }
        });
    }
}

/// Prints the pieces of an answer: dimmed reasoning to standard error, wrapped text to standard output.
struct Screen {
    output: Output,
    wrap: Wrap,
    /// `Some` while reasoning is printed.
    reasoning: Option<Wrap>,
}

impl Screen {
    fn new(output: Output) -> Self {
        Self { output, wrap: Wrap::new(terminal::width()), reasoning: None }
    }

    fn reasoning(&mut self, piece: &str) -> anyhow::Result<()> {
        if self.output.json || !self.output.terminal {
            return Ok(());
        }
        if self.reasoning.is_none() {
            self.output.remark_piece(DIM.0);
        }
        let wrap = self.reasoning.get_or_insert_with(|| Wrap::new(terminal::width()));
        let shown = wrap.push(piece);
        self.output.remark_piece(&shown);
        Ok(())
    }

    fn end_reasoning(&mut self) {
        if let Some(wrap) = self.reasoning.take() {
            self.output.remark_piece(&format!("{}{}\n\n", wrap.finish(), DIM.1));
        }
    }

    fn text(&mut self, piece: &str) -> anyhow::Result<()> {
        self.end_reasoning();
        if self.output.json {
            return Ok(());
        }
        let shown = self.wrap.push(piece);
        self.output.text(&shown)
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.end_reasoning();
        if self.output.json {
            return Ok(());
        }
        self.output.line(&self.wrap.finish())
    }
}

/// Returns a text as one line for a terminal.
pub(super) fn one_line(text: &str) -> String {
    let text: Vec<&str> = text.split_whitespace().collect();
    plain(&text.join(" "))
}

/// Prints the memory activity of a turn, before its answer.
fn print_memory_activity(output: &Output, memory: &MemoryActivity, mode: AnswerMode, lar: &str) {
    let (recalled, changed) = (render_recalled(memory), render_changes(memory, mode, lar));
    match mode {
        AnswerMode::Chat => {
            let lines = [recalled, changed].concat();
            if !lines.is_empty() {
                output.remark(&format!("{}\n", lines.join("\n")));
            }
        }
        AnswerMode::Once => {
            if !recalled.is_empty() {
                output.remark(&recalled.join("\n"));
            }
            if !changed.is_empty() {
                output.note(&changed.join("\n"));
            }
        }
    }
}

/// Renders the memories that the model received.
fn render_recalled(memory: &MemoryActivity) -> Vec<String> {
    let line =
        |one: &Recalled| format!("  recalled ({}) {} — {}", one.day, one_line(&one.content), one.reason);
    memory.recalled.iter().map(line).collect()
}

/// Renders the memory changes of a turn, and how to undo them.
fn render_changes(memory: &MemoryActivity, mode: AnswerMode, lar: &str) -> Vec<String> {
    let mut lines = Vec::new();
    // A key without the scope `memory:read` gets no text.
    let line = |text: &str| {
        if text.is_empty() { "(this key cannot read the text)".into() } else { one_line(text) }
    };
    for one in &memory.saved {
        let what = match one.decision.as_str() {
            "reinforce" => "already saved; strengthened:",
            _ => "saved:",
        };
        lines.push(format!("  {what} {}", line(&one.content)));
        if let Some(old) = &one.superseded_content {
            lines.push(format!("    supersedes: {}", line(old)));
        }
    }
    lines.extend(memory.forgotten.iter().map(|one| format!("  forgotten: {}", line(&one.content))));
    for one in &memory.suggested {
        lines.push(match &one.outdated_content {
            Some(outdated) => format!("  your memory says: {}", line(outdated)),
            None => format!("  added to the inbox (`{lar} memory inbox list`): {}", line(&one.content)),
        });
        if let (Some(_), Some(candidate)) = (&one.outdated_id, &one.candidate) {
            lines.push(format!("    to update it: `{lar} memory inbox accept {}`", plain(candidate)));
        }
    }
    let listed = memory.listed.iter();
    lines.extend(listed.map(|one| format!("  known ({}): {}", one.day, line(&one.content))));
    let reminders = memory.reminders.iter();
    lines.extend(reminders.map(|one| format!("  reminder: {}", line(&one.content))));
    for one in &memory.scheduled {
        lines.push(format!("  will remind you: {} ({})", line(&one.content), line(&one.reason)));
    }
    lines.extend(memory.refused.iter().map(|reason| format!("  not done: {}", line(reason))));
    let saved = memory.saved.iter().map(|one| &one.id);
    // One undo reverts everything that one decision forgot.
    let mut decisions = HashSet::new();
    let first = |one: &&Forgotten| one.change.as_ref().is_none_or(|change| decisions.insert(change.clone()));
    let forgotten = memory.forgotten.iter().filter(first).map(|one| &one.id);
    let ids = saved.chain(forgotten).filter(|id| !id.is_empty());
    match mode {
        AnswerMode::Chat if !memory.saved.is_empty() || !memory.forgotten.is_empty() => {
            lines.push("  to undo: /undo".into());
        }
        AnswerMode::Chat => {}
        AnswerMode::Once => {
            lines.extend(ids.map(|id| format!("  to undo: `{lar} memory undo {}`", plain(id))))
        }
    }
    lines
}

/// Renders the token counts and speed of an answer, or why it failed.
pub(super) fn footer(end: &TaskEvent) -> String {
    match end {
        TaskEvent::End { tokens_out, ttft_ms, decode_ms, finish_reason, .. } => {
            let rate = *tokens_out as f64 * 1000.0 / (*decode_ms).max(1) as f64;
            let cut = if finish_reason == "length" { ", stopped at the token limit" } else { "" };
            format!("({tokens_out} tokens, first after {ttft_ms} ms, {rate:.0}/s{cut})\n")
        }
        TaskEvent::Error(error) => format!("The answer failed: {} ({})\n", error.message, error.code),
        TaskEvent::Cancelled {} => "(stopped)\n".into(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use lar_api::conversations::Saved;
    use lar_api::tasks::TaskError;

    use super::*;

    #[test]
    fn saved_memories_are_printed_with_the_undo_command() {
        let saved = Saved {
            id: "mem_1".into(),
            decision: "create".into(),
            content: "The gate opens\nwith 5512.".into(),
            superseded_content: None,
            superseded_id: None,
            instead_of: None,
            instead_of_id: None,
            change: None,
        };
        let memory = MemoryActivity { saved: vec![saved], ..MemoryActivity::default() };
        let line = "  saved: The gate opens with 5512.";
        assert_eq!(render_changes(&memory, AnswerMode::Chat, "lar"), [line, "  to undo: /undo"]);
        assert_eq!(
            render_changes(&memory, AnswerMode::Once, "lar"),
            [line, "  to undo: `lar memory undo mem_1`"]
        );
        assert_eq!(render_changes(&MemoryActivity::default(), AnswerMode::Once, "lar"), [""; 0]);
    }

    #[test]
    fn screens() {
        let end = TaskEvent::End {
            tokens_in: 30,
            tokens_cached: Some(0),
            tokens_out: 120,
            ttft_ms: 80,
            decode_ms: 1500,
            finish_reason: "length".into(),
        };
        let error = TaskError {
            code: "ENGINE_FAILED".into(),
            message: "it died".into(),
            retriable: true,
            retry_after_ms: None,
        };
        let all = [end, TaskEvent::Cancelled {}, TaskEvent::Error(error)];
        insta::assert_snapshot!("chat_footers", all.iter().map(footer).collect::<String>());
    }
}
