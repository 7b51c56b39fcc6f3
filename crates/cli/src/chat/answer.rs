//! One answer: sent for, printed while it arrives, stopped by Ctrl+C. What memory did in the turn is printed
//! before it, and the memories that it cites behind it.

use futures_util::StreamExt as _;
use lar_api::conversations::{Citations, MemoryActivity, Recalled, TurnStarted};
use lar_api::tasks::TaskEvent;
use serde::Serialize;
use serde_json::Value;

use super::wrap::Wrap;
use crate::models::path;
use crate::output::{StoppedByUser, plain};
use crate::terminal::{self, HiddenKeys, Interrupts};
use crate::{Client, Output, sse};

/// Begins and ends text that is printed dimmed: a model's reasoning.
const DIM: (&str, &str) = ("\x1b[2m", "\x1b[0m");

/// How an answer came out.
pub(super) struct Answer {
    /// Its message's id; empty when the stream ended before it was known.
    pub(super) id: String,
    pub(super) text: String,
    pub(super) end: TaskEvent,
    pub(super) memory: MemoryActivity,
}

/// Where an answer is printed, which says how what memory did is told and undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerMode {
    /// In a chat, which has `/undo`; told where a person is looking.
    Chat,
    /// By `lar ask`; what was changed is told wherever standard error leads.
    Once,
}

/// Sends a message and prints the answer as it arrives. Ctrl+C stops the answer, as soon as it has begun; what is there is kept.
///
/// # Errors
/// What the server said; when the connection is lost; when Ctrl+C was pressed again before the answer had stopped.
pub(super) async fn send(
    client: &Client,
    output: &Output,
    conversation: &str,
    message: &impl Serialize,
    mode: AnswerMode,
) -> anyhow::Result<Answer> {
    let to = format!("conversations/{}/messages", path(conversation));
    print(client, output, conversation, &to, message, mode).await
}

/// Asks for another answer in the place of the one with this id, and prints it as [`send`] does.
///
/// # Errors
/// As [`send`].
pub(super) async fn regenerate(
    client: &Client,
    output: &Output,
    conversation: &str,
    answer: &str,
    retry: &impl Serialize,
) -> anyhow::Result<Answer> {
    let to = format!("conversations/{}/messages/{}/regenerate", path(conversation), path(answer));
    print(client, output, conversation, &to, retry, AnswerMode::Chat).await
}

async fn print(
    client: &Client,
    output: &Output,
    conversation: &str,
    to: &str,
    body: &impl Serialize,
    mode: AnswerMode,
) -> anyhow::Result<Answer> {
    // Before the keys are hidden: from here on Ctrl+C does not end the program.
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
                print_memory_activity(output, &memory, mode);
            }
            ("citations", _) => {
                let cited = serde_json::from_str::<Citations>(&data).map(|cited| cited.memories);
                let cited = cited.unwrap_or_default();
                memory.recalled.iter_mut().for_each(|one| one.cited = cited.contains(&one.id));
            }
            (_, Ok(TaskEvent::Queued { position, predicted_start_ms, why })) => {
                let seconds = predicted_start_ms as f64 / 1000.0;
                output.remark(&match why.as_str() {
                    "loading" => format!("Loading the model (about {seconds:.0} s)…"),
                    "memory" => "Waiting for other models to free memory…".into(),
                    _ => format!("{position} requests ahead, about {seconds:.0} s…"),
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
        output.remark(&format!("  from memory ({}): {}\n", one.day, one_line(&one.content)));
    }
    Ok(Answer { id, text, end, memory })
}

/// Whether Ctrl+C was pressed, and what has become of it.
enum StopState {
    /// It was not pressed, and the answer has not begun.
    No,
    /// It was pressed before there was an answer to stop.
    Requested,
    /// The answer has begun, and can be stopped.
    Possible,
    /// The server was asked to stop the answer.
    Sent,
}

impl StopState {
    /// Ctrl+C was pressed.
    ///
    /// # Errors
    /// When it was pressed before, and the answer has not stopped since.
    fn press(&mut self, client: &Client, output: &Output, conversation: &str) -> anyhow::Result<()> {
        match self {
            Self::No => {
                output.remark("The answer is stopped when it begins. Ctrl+C again does not wait for that.");
                *self = Self::Requested;
            }
            Self::Possible => self.send(client, output, conversation),
            Self::Requested | Self::Sent => {
                anyhow::bail!(StoppedByUser("the answer was left; the server may still write it"))
            }
        }
        Ok(())
    }

    /// The answer has begun.
    fn on_answer_start(&mut self, client: &Client, output: &Output, conversation: &str) {
        match self {
            Self::No => *self = Self::Possible,
            Self::Requested => self.send(client, output, conversation),
            Self::Possible | Self::Sent => {}
        }
    }

    /// Asks the server to stop the answer, while its events are still read.
    fn send(&mut self, client: &Client, output: &Output, conversation: &str) {
        *self = Self::Sent;
        let (client, output, conversation) = (client.clone(), *output, path(conversation));
        tokio::spawn(async move {
            let stopped =
                client.post::<Value>(&format!("conversations/{conversation}/stop"), &Value::Null).await;
            if let Err(error) = stopped {
                output.remark(&format!("The answer could not be stopped: {error:#}"));
            }
        });
    }
}

/// Prints the pieces of an answer: reasoning dimmed to standard error, text wrapped to standard output.
struct Screen {
    output: Output,
    wrap: Wrap,
    /// Present while reasoning is being printed.
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

/// A text for a terminal, on one line.
pub(super) fn one_line(text: &str) -> String {
    let text: Vec<&str> = text.split_whitespace().collect();
    plain(&text.join(" "))
}

/// Tells what memory did in a turn, before its answer.
fn print_memory_activity(output: &Output, memory: &MemoryActivity, mode: AnswerMode) {
    let (recalled, changed) = (render_recalled(memory), render_changes(memory, mode));
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

/// What an answer was given of memory, for a person.
fn render_recalled(memory: &MemoryActivity) -> Vec<String> {
    let line =
        |one: &Recalled| format!("  recalled ({}) {} — {}", one.day, one_line(&one.content), one.reason);
    memory.recalled.iter().map(line).collect()
}

/// What was changed of memory in a turn, for a person, and how to undo it.
fn render_changes(memory: &MemoryActivity, mode: AnswerMode) -> Vec<String> {
    let mut lines = Vec::new();
    // A key without `memory:read` gets no text.
    let line = |text: &str| {
        if text.is_empty() { "(its text is not shown to this key)".into() } else { one_line(text) }
    };
    for one in &memory.saved {
        let what = match one.decision.as_str() {
            "reinforce" => "already saved:",
            _ => "saved:",
        };
        lines.push(format!("  {what} {}", line(&one.content)));
        if let Some(old) = &one.instead_of {
            lines.push(format!("    replaces: {}", line(old)));
        }
    }
    lines.extend(memory.forgotten.iter().map(|one| format!("  forgotten: {}", line(&one.content))));
    lines.extend(
        memory
            .waiting
            .iter()
            .map(|one| format!("  suggested, see `lar memory inbox list`: {}", line(&one.content))),
    );
    lines.extend(memory.refused.iter().map(|reason| format!("  not done: {}", line(reason))));
    let saved = memory.saved.iter().map(|one| &one.id);
    let ids = saved.chain(memory.forgotten.iter().map(|one| &one.id)).filter(|id| !id.is_empty());
    match mode {
        AnswerMode::Chat if !memory.saved.is_empty() || !memory.forgotten.is_empty() => {
            lines.push("  /undo reverts this".into());
        }
        AnswerMode::Chat => {}
        AnswerMode::Once => {
            lines.extend(ids.map(|id| format!("  `lar memory undo {}` reverts this", plain(id))))
        }
    }
    lines
}

/// The numbers behind an answer, or why it has none.
pub(super) fn footer(end: &TaskEvent) -> String {
    match end {
        TaskEvent::End { tokens_out, ttft_ms, decode_ms, finish_reason, .. } => {
            let rate = *tokens_out as f64 * 1000.0 / (*decode_ms).max(1) as f64;
            let cut = if finish_reason == "length" { ", cut at the token limit" } else { "" };
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
            instead_of: None,
            instead_of_id: None,
            change: None,
        };
        let memory = MemoryActivity { saved: vec![saved], ..MemoryActivity::default() };
        let line = "  saved: The gate opens with 5512.";
        assert_eq!(render_changes(&memory, AnswerMode::Chat), [line, "  /undo reverts this"]);
        assert_eq!(
            render_changes(&memory, AnswerMode::Once),
            [line, "  `lar memory undo mem_1` reverts this"]
        );
        assert_eq!(render_changes(&MemoryActivity::default(), AnswerMode::Once), [""; 0]);
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
