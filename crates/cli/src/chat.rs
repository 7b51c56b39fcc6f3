//! `lar chat`, `lar ask`, `lar run`: talk to a model in the terminal. Conversations are stored on the server,
//! and the page shows the same ones. [`repl`] reads lines and commands, [`answer`] prints one answer.

mod answer;
mod input;
mod repl;
mod wrap;

use std::io::Read as _;

use clap::Args;
use lar_api::Page;
use lar_api::conversations::{Conversation, NewConversation, NewMessage};
use lar_api::models::Model;
use lar_api::tasks::TaskEvent;
use serde_json::{Value, json};

use self::answer::AnswerMode;
use crate::output::StoppedByUser;
use crate::{ApiError, Client, Output, models};

/// A question that is read from standard input is cut there.
const QUESTION_BYTES_MAX: u64 = 1 << 20;

/// How to chat.
#[derive(Debug, Clone, Default, Args)]
pub struct ChatArgs {
    /// The model to talk to
    #[arg(long, short)]
    model: Option<String>,
    /// A system prompt for the conversation
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["resume", "last"])]
    system: Option<String>,
    /// Continue this conversation
    #[arg(long, value_name = "ID", conflicts_with = "last")]
    resume: Option<String>,
    /// Continue the last conversation
    #[arg(long)]
    last: bool,
    /// Use no memory, list it nowhere, delete it after a day without a message
    #[arg(long, conflicts_with_all = ["resume", "last"])]
    temporary: bool,
}

/// What to ask.
#[derive(Debug, Clone, Args)]
pub struct AskArgs {
    /// The question; without one, it is read from standard input
    question: Vec<String>,
    /// The model to ask
    #[arg(long, short)]
    model: Option<String>,
    /// Maximum tokens of the answer
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: Option<u32>,
    /// Seed of the sampling
    #[arg(long)]
    seed: Option<u32>,
    /// Sampling temperature, 0 to 2
    #[arg(long)]
    temperature: Option<f32>,
}

/// What to run.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// An installed model's name, or anything that `lar models pull` takes
    model: String,
}

pub(crate) async fn run(client: &Client, output: &Output, args: RunArgs) -> anyhow::Result<()> {
    let installed: Page<Model> = client.get("catalog/models").await?;
    let names = |model: &Model| model.name == args.model || model.aliases.contains(&args.model);
    let mut model = installed.data.iter().find(|model| names(model)).cloned();
    if model.is_none() {
        let pulled = models::pull(client, output, &args.model, None).await?;
        output.show(&pulled, || models::render_installed(&pulled))?;
        let now: Page<Model> = client.get("catalog/models").await?;
        let known = |name: &String| installed.data.iter().any(|model| model.name == *name);
        model = now.data.into_iter().find(|model| !known(&model.name));
    }
    if let Some(model) = model.as_ref().filter(|model| model.kind != "chat") {
        anyhow::bail!("`{}` is a model for {}, not for chat", model.name, model.kind);
    }
    let model = model.map(|model| model.name);
    chat(client, output, ChatArgs { model, ..ChatArgs::default() }).await
}

pub(crate) async fn ask(client: &Client, output: &Output, args: AskArgs) -> anyhow::Result<()> {
    let mut question = args.question.join(" ");
    if question.is_empty() {
        std::io::stdin().lock().take(QUESTION_BYTES_MAX).read_to_string(&mut question)?;
    }
    anyhow::ensure!(!question.trim().is_empty(), "there is nothing to ask: lar ask QUESTION");
    let conversation =
        begin(client, NewConversation { model: args.model, ..NewConversation::default() }).await?;
    let message = NewMessage {
        content: question,
        parent: None,
        model: None,
        temperature: args.temperature,
        max_tokens: args.max_tokens,
        seed: args.seed,
    };
    let sent = answer::send(client, output, &conversation.id, &message, AnswerMode::Once).await;
    if let Err(error) = &sent {
        erase_if_refused(client, &conversation.id, error).await;
    }
    let answer = sent?;
    if output.json {
        let end = answer.end.data();
        let report = json!({
            "conversation_id": conversation.id, "content": answer.text, "end": end, "memory": answer.memory,
        });
        output.show(&report, String::new)?;
    }
    match answer.end {
        TaskEvent::Error(error) => anyhow::bail!("{} ({})", error.message, error.code),
        TaskEvent::Cancelled {} => anyhow::bail!(StoppedByUser("(stopped)")),
        _ => Ok(()),
    }
}

pub(crate) async fn chat(client: &Client, output: &Output, args: ChatArgs) -> anyhow::Result<()> {
    repl::run(client, output, args).await
}

async fn begin(client: &Client, new: NewConversation) -> anyhow::Result<Conversation> {
    client.post("conversations", &new).await
}

/// Erases a conversation whose first message failed with `error`, where the server refused it: nothing is in it. Returns whether
/// it did.
async fn erase_if_refused(client: &Client, conversation: &str, error: &anyhow::Error) -> bool {
    if error.downcast_ref::<ApiError>().is_none() {
        return false;
    }
    let path = format!("conversations/{}?erase=true", models::path(conversation));
    // The message's error is the one to tell of.
    client.delete::<Value>(&path).await.is_ok()
}
