//! `lar chat`, `lar ask` and `lar run`: chat with a model in the terminal.
//!
//! The server stores the conversations, and the page shows the same ones. [`repl`] reads lines and commands.
//! [`answer`] prints one answer.

mod answer;
mod input;
mod repl;
mod wrap;

use std::io::Read as _;

use clap::Args;
use lar_api::Page;
use lar_api::conversations::{Conversation, NewConversation, NewMessage};
use lar_api::models::{Model, ModelKind};
use lar_api::tasks::TaskEvent;
use serde_json::{Value, json};

use self::answer::AnswerMode;
use crate::output::StoppedByUser;
use crate::{ApiError, Client, Output, models, url_path};

/// The maximum size of a question from standard input. The rest is cut off.
const QUESTION_BYTES_MAX: u64 = 1 << 20;

/// The arguments of `lar chat`.
#[derive(Debug, Clone, Default, Args)]
pub struct ChatArgs {
    /// The model that answers, by name or alias
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
    /// Temporary conversation: uses no memory, appears in no list, and is deleted 24 hours after its last
    /// message
    #[arg(long, conflicts_with_all = ["resume", "last"])]
    temporary: bool,
}

/// The arguments of `lar ask`.
#[derive(Debug, Clone, Args)]
pub struct AskArgs {
    /// The question [default: read from standard input]
    question: Vec<String>,
    /// The model that answers, by name or alias
    #[arg(long, short)]
    model: Option<String>,
    /// Maximum number of tokens of the answer
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: Option<u32>,
    /// Seed of the sampling [default: random]
    #[arg(long)]
    seed: Option<u32>,
    /// Sampling temperature, 0 to 2
    #[arg(long)]
    temperature: Option<f32>,
}

/// The arguments of `lar run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// An installed model, or any source that `lar models pull` accepts
    model: String,
}

pub(crate) async fn run(client: &Client, output: &Output, args: RunArgs, lar: &str) -> anyhow::Result<()> {
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
    if let Some(model) = model.as_ref().filter(|model| model.kind != ModelKind::Chat) {
        anyhow::bail!("`{}` is a model of the kind {}, not a chat model", model.name, model.kind);
    }
    let model = model.map(|model| model.name);
    chat(client, output, ChatArgs { model, ..ChatArgs::default() }, lar).await
}

pub(crate) async fn ask(client: &Client, output: &Output, args: AskArgs, lar: &str) -> anyhow::Result<()> {
    let mut question = args.question.join(" ");
    if question.is_empty() {
        std::io::stdin().lock().take(QUESTION_BYTES_MAX).read_to_string(&mut question)?;
    }
    anyhow::ensure!(!question.trim().is_empty(), "the question is empty: lar ask QUESTION");
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
    let sent = answer::send(client, output, &conversation.id, &message, AnswerMode::Once, lar).await;
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

pub(crate) async fn chat(client: &Client, output: &Output, args: ChatArgs, lar: &str) -> anyhow::Result<()> {
    repl::run(client, output, args, lar).await
}

async fn begin(client: &Client, new: NewConversation) -> anyhow::Result<Conversation> {
    client.post("conversations", &new).await
}

/// Erases a conversation if the server rejected its first message with `error`, since it is empty. Returns
/// whether it was erased.
async fn erase_if_refused(client: &Client, conversation: &str, error: &anyhow::Error) -> bool {
    if error.downcast_ref::<ApiError>().is_none() {
        return false;
    }
    let path = format!("conversations/{}?erase=true", url_path::encode_segment(conversation));
    // The caller reports the error of the message, so an error of the deletion is ignored.
    client.delete::<Value>(&path).await.is_ok()
}
