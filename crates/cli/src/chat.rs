//! `lar chat`, `lar ask`, `lar run`: talking to a model in the terminal. What is said is kept as a
//! conversation, the same that the page shows.

use std::io::{BufRead as _, IsTerminal as _, Read as _};

use clap::Args;
use futures_util::StreamExt as _;
use lar_api::Page;
use lar_api::conversations::{Citations, Conversation, InTurn, NewConversation, NewMessage, TurnBegun};
use lar_api::memories::{Undo, Undone};
use lar_api::models::Model;
use lar_api::tasks::TaskEvent;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use serde_json::{Value, json};

use crate::models::path;
use crate::output::plain;
use crate::{Client, Output, models, sse};

/// A question that is read from standard input is cut there.
const QUESTION_BYTES_MAX: u64 = 1 << 20;

const HELP: &str = "\
/bye ends, and so do Ctrl+D and Ctrl+C; Ctrl+C while an answer is written stops it.
Up and down bring earlier lines back; many lines that are pasted are one message.
/undo takes back what memory did in the last turn.
`lar chat --last` goes on with this conversation, and so does the page: `lar open`.";

/// How to chat.
#[derive(Debug, Clone, Default, Args)]
pub struct ChatArgs {
    /// The model to talk to
    #[arg(long, short)]
    model: Option<String>,
    /// Go on with this conversation
    #[arg(long, value_name = "ID", conflicts_with = "last")]
    resume: Option<String>,
    /// Go on with the last conversation
    #[arg(long)]
    last: bool,
    /// Neither recall nor remember; the conversation is in no list and goes by itself
    #[arg(long, conflicts_with_all = ["resume", "last"])]
    temporary: bool,
}

/// What to ask.
#[derive(Debug, Clone, Args)]
pub struct AskArgs {
    /// The question; read from standard input where absent
    question: Vec<String>,
    /// The model to ask
    #[arg(long, short)]
    model: Option<String>,
    /// Tokens of the answer at most
    #[arg(long)]
    max_tokens: Option<u32>,
    /// Starts the random choice
    #[arg(long)]
    seed: Option<u32>,
    /// 0 to 2
    #[arg(long)]
    temperature: Option<f32>,
}

/// What to run.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// An installed model's name, or anything that `lar models pull` takes
    model: String,
}

/// How an answer came out.
struct Answer {
    text: String,
    end: TaskEvent,
    memory: InTurn,
}

pub(crate) async fn run(client: &Client, output: &Output, args: RunArgs) -> anyhow::Result<()> {
    let installed: Page<Model> = client.get("catalog/models").await?;
    let names = |model: &Model| model.name == args.model || model.aliases.contains(&args.model);
    let mut model = installed.data.iter().find(|model| names(model)).map(|model| model.name.clone());
    if model.is_none() {
        models::pull(client, output, &args.model, None).await?;
        let now: Page<Model> = client.get("catalog/models").await?;
        let known = |name: &String| installed.data.iter().any(|model| model.name == *name);
        model = now.data.into_iter().map(|model| model.name).find(|name| !known(name));
    }
    chat(client, output, ChatArgs { model, ..ChatArgs::default() }).await
}

pub(crate) async fn ask(client: &Client, output: &Output, args: AskArgs) -> anyhow::Result<()> {
    let mut question = args.question.join(" ");
    if question.is_empty() {
        std::io::stdin().lock().take(QUESTION_BYTES_MAX).read_to_string(&mut question)?;
    }
    let conversation = begin(client, args.model, false).await?;
    let message = NewMessage {
        content: question,
        parent: None,
        model: None,
        temperature: args.temperature,
        max_tokens: args.max_tokens,
        seed: args.seed,
    };
    let answer = say(client, output, &conversation.id, &message).await?;
    if output.json {
        let end = answer.end.data();
        output.show(
            &json!({ "conversation_id": conversation.id, "content": answer.text, "end": end }),
            String::new,
        )?;
    }
    if let TaskEvent::Error(error) = answer.end {
        anyhow::bail!("{} ({})", error.message, error.code);
    }
    Ok(())
}

pub(crate) async fn chat(client: &Client, output: &Output, args: ChatArgs) -> anyhow::Result<()> {
    let conversation = match (args.resume, args.last) {
        (Some(id), _) => show(client, output, &id).await?,
        (None, true) => {
            let last: Page<Conversation> = client.get("conversations?limit=1").await?;
            let last = last.data.into_iter().next();
            show(client, output, &last.ok_or_else(|| anyhow::anyhow!("there is no conversation yet"))?.id)
                .await?
        }
        (None, false) => begin(client, args.model.clone(), args.temporary).await?,
    };
    let who = conversation.model.as_deref().or(args.model.as_deref()).unwrap_or("the default model");
    output.remark(&format!(
        "Talking to {who}. Ctrl+C stops an answer, Ctrl+D or /bye ends. Kept as {}.\n",
        conversation.id
    ));
    let mut lines = Lines::open()?;
    let mut memory = InTurn::default();
    while let Some(line) = lines.next().await? {
        match line.trim() {
            "" => continue,
            "/bye" | "/exit" | "/quit" => break,
            "/help" | "/?" => output.line(HELP)?,
            "/undo" => match undo(client, std::mem::take(&mut memory)).await {
                Ok(told) => output.line(&told)?,
                Err(error) => output.line(&error.to_string())?,
            },
            text => {
                let message = NewMessage {
                    content: text.to_owned(),
                    parent: None,
                    model: args.model.clone(),
                    temperature: None,
                    max_tokens: None,
                    seed: None,
                };
                let answer = say(client, output, &conversation.id, &message).await?;
                output.remark(&footer(&answer.end));
                memory = answer.memory;
            }
        }
    }
    Ok(())
}

async fn begin(client: &Client, model: Option<String>, temporary: bool) -> anyhow::Result<Conversation> {
    client.post("conversations", &NewConversation { title: None, model, temporary }).await
}

/// A text for a terminal, on one line.
fn one_line(text: &str) -> String {
    let text: Vec<&str> = text.split_whitespace().collect();
    plain(&text.join(" "))
}

/// What memory did in a turn, for a person; empty where it did nothing.
fn remembered(memory: &InTurn) -> String {
    let mut lines = Vec::new();
    let line = one_line;
    for one in &memory.recalled {
        lines.push(format!("  recalled ({}) {} — {}", one.day, line(&one.content), one.reason));
    }
    for one in &memory.saved {
        let what = match one.decision.as_str() {
            "reinforce" => "known already:",
            _ => "remembered:",
        };
        lines.push(format!("  {what} {}", line(&one.content)));
        if let Some(old) = &one.instead_of {
            lines.push(format!("    in place of: {}", line(old)));
        }
    }
    lines.extend(memory.forgotten.iter().map(|one| format!("  forgotten: {}", line(&one.content))));
    lines.extend(
        memory
            .waiting
            .iter()
            .map(|one| format!("  waits in `lar memory inbox list`: {}", line(&one.content))),
    );
    lines.extend(memory.refused.iter().map(|reason| format!("  not done: {}", line(reason))));
    if !memory.saved.is_empty() || !memory.forgotten.is_empty() {
        lines.push("  Not so? /undo".into());
    }
    lines.join("\n")
}

/// Takes back what memory did in a turn; says what there is to say.
async fn undo(client: &Client, memory: InTurn) -> anyhow::Result<String> {
    let saved = memory.saved.into_iter().map(|one| (one.id, one.change));
    let forgotten = memory.forgotten.into_iter().map(|one| (one.id, one.change));
    let done: Vec<(String, Option<String>)> =
        saved.chain(forgotten).filter(|(id, _)| !id.is_empty()).collect();
    for (id, decision) in &done {
        let undo = Undo { decision: decision.clone() };
        let _: Undone = client.post(&format!("memories/{}/undo", path(id)), &undo).await?;
    }
    Ok(if done.is_empty() { "There is nothing to take back.".into() } else { "Taken back.".into() })
}

/// Shows what was said in a conversation, along the branch that is shown.
async fn show(client: &Client, output: &Output, id: &str) -> anyhow::Result<Conversation> {
    let conversation: Conversation = client.get(&format!("conversations/{}", path(id))).await?;
    let messages = conversation.messages.clone().unwrap_or_default();
    let mut branch = Vec::new();
    let mut next = conversation.head.clone();
    while let Some(message) = next.and_then(|id| messages.iter().find(|message| message.id == id)) {
        branch.push(message);
        next = message.parent.clone();
    }
    for message in branch.into_iter().rev() {
        let mark = if message.role == "user" { "> " } else { "" };
        output.line(&format!("{mark}{}\n", message.content))?;
    }
    Ok(conversation)
}

/// Says something and prints the answer as it comes. Ctrl+C stops the answer, which is kept.
async fn say(
    client: &Client,
    output: &Output,
    conversation: &str,
    message: &NewMessage,
) -> anyhow::Result<Answer> {
    let response = client.stream(&format!("conversations/{}/messages", path(conversation)), message).await?;
    let mut events = std::pin::pin!(sse::events(response));
    let mut text = String::new();
    let mut memory = InTurn::default();
    let mut stopping = false;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            _ = tokio::signal::ctrl_c(), if !stopping => {
                stopping = true;
                let _: Value = client.post(&format!("conversations/{}/stop", path(conversation)), &Value::Null).await?;
                continue;
            }
        };
        let Some(event) = event else { anyhow::bail!("the server went away in the middle of the answer") };
        let (name, data) = event?;
        match (name.as_str(), TaskEvent::parse(&name, &data)) {
            ("message", _) => {
                let begun = serde_json::from_str::<TurnBegun>(&data).ok();
                memory = begun.and_then(|begun| begun.answer.memory).unwrap_or_default();
                let told = remembered(&memory);
                if !told.is_empty() {
                    output.remark(&format!("{told}\n"));
                }
            }
            ("citations", _) => {
                let cited = serde_json::from_str::<Citations>(&data).map(|cited| cited.memories);
                let cited = cited.unwrap_or_default();
                memory.recalled.iter_mut().for_each(|one| one.cited = cited.contains(&one.id));
            }
            (_, Ok(TaskEvent::Queued { position, predicted_start_ms, why })) => {
                let seconds = predicted_start_ms as f64 / 1000.0;
                output.remark(&match why.as_str() {
                    "loading" => format!("The model is being loaded (about {seconds:.0} s)…"),
                    "memory" => "Waiting for memory that other models hold…".into(),
                    _ => format!("{position} before you, about {seconds:.0} s…"),
                });
            }
            (_, Ok(TaskEvent::Token { t, .. })) => {
                text.push_str(&t);
                if !output.json {
                    output.text(&t)?;
                }
            }
            (_, Ok(end @ (TaskEvent::End { .. } | TaskEvent::Error(_) | TaskEvent::Cancelled {}))) => {
                if !output.json {
                    output.line("")?;
                }
                for one in memory.recalled.iter().filter(|one| one.cited) {
                    output.remark(&format!(
                        "  it says what was remembered ({}): {}\n",
                        one.day,
                        one_line(&one.content)
                    ));
                }
                return Ok(Answer { text, end, memory });
            }
            (_, Ok(_) | Err(_)) => {}
        }
    }
}

fn footer(end: &TaskEvent) -> String {
    match end {
        TaskEvent::End { tokens_out, ttft_ms, decode_ms, finish_reason, .. } => {
            let rate = *tokens_out as f64 * 1000.0 / (*decode_ms).max(1) as f64;
            let cut = if finish_reason == "length" { ", cut at the limit" } else { "" };
            format!("({tokens_out} tokens, first after {ttft_ms} ms, {rate:.0}/s{cut})\n")
        }
        TaskEvent::Error(error) => format!("It broke off: {} ({})\n", error.message, error.code),
        TaskEvent::Cancelled {} => "(stopped)\n".into(),
        _ => String::new(),
    }
}

/// What is typed: edited with the arrow keys, earlier lines with up and down, a paste of many lines as one
/// message. What is piped comes line by line.
enum Lines {
    Typed(Box<DefaultEditor>),
    Piped,
}

impl Lines {
    fn open() -> anyhow::Result<Self> {
        if !std::io::stdin().is_terminal() {
            return Ok(Self::Piped);
        }
        let config = rustyline::Config::builder().auto_add_history(true).build();
        Ok(Self::Typed(Box::new(DefaultEditor::with_config(config)?)))
    }

    /// The next message, read without holding up the runtime; `None` at the end, or at Ctrl+C.
    async fn next(&mut self) -> anyhow::Result<Option<String>> {
        let mut reader = std::mem::replace(self, Self::Piped);
        let (reader, line) = tokio::task::spawn_blocking(move || {
            let line = reader.read();
            (reader, line)
        })
        .await?;
        *self = reader;
        line
    }

    fn read(&mut self) -> anyhow::Result<Option<String>> {
        match self {
            Self::Typed(editor) => match editor.readline("> ") {
                Ok(line) => Ok(Some(line)),
                Err(ReadlineError::Eof | ReadlineError::Interrupted) => Ok(None),
                Err(error) => Err(error.into()),
            },
            Self::Piped => {
                let mut line = String::new();
                let read = std::io::stdin().lock().read_line(&mut line)?;
                Ok((read > 0).then_some(line))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lar_api::tasks::TaskError;

    use super::*;

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
