//! The loop of `lar chat`: reads messages and commands. The first message creates the conversation, so a chat
//! without a message leaves none.

use std::collections::HashSet;

use lar_api::Page;
use lar_api::conversations::{Conversation, MemoryActivity, NewConversation, NewMessage, Retry};
use lar_api::memories::{Undo, UndoResult};
use lar_api::models::{Model, ModelKind};

use super::answer::{self, Answer, AnswerMode, footer};
use super::input::{Line, Lines};
use super::{ChatArgs, begin, erase_if_refused};
use crate::output::{nearest, plain};
use crate::url_path::encode_segment;
use crate::{Client, Output};

/// The commands and their descriptions.
const COMMANDS: &[(&str, &str)] = &[
    ("/help", "show these commands"),
    ("/model [NAME]", "list the chat models, or switch to one"),
    ("/new", "start a new conversation"),
    ("/clear", "clear the screen and start a new conversation"),
    ("/retry", "answer the last message again"),
    ("/system [TEXT]", "show the system prompt, or start a new conversation with this one"),
    ("/temporary", "start a temporary conversation: no memory, deleted after 24 hours"),
    ("/undo", "undo the memory changes of the last turn"),
    ("/quit", "quit; /bye, /exit, Ctrl+D and pressing Ctrl+C twice also quit"),
];

const CLEAR_SCREEN: &str = "\x1b[2J\x1b[3J\x1b[H";

/// A parsed line: a message or a command.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ChatCommand {
    Message(String),
    Help,
    Model(Option<String>),
    New,
    Clear,
    Retry,
    System(Option<String>),
    Temporary,
    Undo,
    Quit,
    Unknown(String),
}

impl ChatCommand {
    /// Parses a line. Returns `None` for an empty line. A line that starts with `//` is a message that starts
    /// with `/`.
    fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        if line.is_empty() {
            return None;
        }
        let Some(command) = line.strip_prefix('/') else { return Some(Self::Message(line.to_owned())) };
        if command.starts_with('/') {
            return Some(Self::Message(command.to_owned()));
        }
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let rest = Some(rest.trim().to_owned()).filter(|rest| !rest.is_empty());
        Some(match name {
            "help" | "?" => Self::Help,
            "model" | "models" => Self::Model(rest),
            "new" => Self::New,
            "clear" => Self::Clear,
            "retry" | "regenerate" => Self::Retry,
            "system" => Self::System(rest),
            "temporary" => Self::Temporary,
            "undo" => Self::Undo,
            "quit" | "bye" | "exit" | "q" => Self::Quit,
            _ => Self::Unknown(name.to_owned()),
        })
    }
}

/// Runs the chat until the person quits. `lar` is how to call this program in a shell.
///
/// # Errors
/// If there is no conversation to continue, or the server cannot be reached.
pub(super) async fn run(client: &Client, output: &Output, args: ChatArgs, lar: &str) -> anyhow::Result<()> {
    let mut chat = Chat::open(client, *output, args, lar).await?;
    let mut lines = Lines::open()?;
    let mut interrupted = false;
    loop {
        let line = match lines.next().await? {
            Line::Text(line) => line,
            Line::End => return Ok(()),
            Line::Interrupted if interrupted => return Ok(()),
            Line::Interrupted => {
                interrupted = true;
                output.remark("To quit, press Ctrl+C again or Ctrl+D, or enter /quit.");
                continue;
            }
        };
        interrupted = false;
        let Some(command) = ChatCommand::parse(&line) else { continue };
        if command == ChatCommand::Quit {
            return Ok(());
        }
        // At a terminal, the chat continues after an error. In a script, the exit code reports it.
        if let Err(error) = chat.run(command).await {
            if matches!(lines, Lines::Piped) || error.downcast_ref::<crate::output::OutputClosed>().is_some()
            {
                return Err(error);
            }
            output.remark(&format!("{error:#}\n"));
        }
    }
}

/// A chat: the current conversation, if any, and the options for the next one.
struct Chat<'a> {
    client: &'a Client,
    output: Output,
    conversation: Option<Conversation>,
    model: Option<String>,
    system: Option<String>,
    temporary: bool,
    /// The message id of the last answer.
    answer: Option<String>,
    /// The memory activity of the last turn.
    memory: MemoryActivity,
    /// How to call this program in a shell.
    lar: &'a str,
}

impl<'a> Chat<'a> {
    async fn open(client: &'a Client, output: Output, args: ChatArgs, lar: &'a str) -> anyhow::Result<Self> {
        let conversation = match (args.resume, args.last) {
            (Some(id), _) => Some(show(client, &output, &id).await?),
            (None, true) => {
                let last: Page<Conversation> = client.get("conversations?limit=1").await?;
                let last = last.data.into_iter().next();
                let last = last.ok_or_else(|| anyhow::anyhow!("there is no conversation to continue"))?;
                Some(show(client, &output, &last.id).await?)
            }
            (None, false) => None,
        };
        let model = args.model.or_else(|| conversation.as_ref()?.model.clone());
        let who = model.as_deref().unwrap_or("the default model");
        output.remark(&format!("Talking to {who}. /help shows the commands; Ctrl+C stops an answer.\n"));
        Ok(Self {
            client,
            output,
            answer: conversation.as_ref().and_then(|conversation| conversation.head.clone()),
            model,
            system: args.system,
            temporary: args.temporary,
            memory: MemoryActivity::default(),
            conversation,
            lar,
        })
    }

    async fn run(&mut self, command: ChatCommand) -> anyhow::Result<()> {
        match command {
            ChatCommand::Message(text) => self.send(text).await,
            ChatCommand::Help => self.output.line(&help(self.lar)),
            ChatCommand::Model(None) => self.list_models().await,
            ChatCommand::Model(Some(name)) => self.switch_model(name).await,
            ChatCommand::New => self.start_over(false, "New conversation."),
            ChatCommand::Clear => {
                if self.output.terminal {
                    self.output.text(CLEAR_SCREEN)?;
                }
                self.start_over(false, "New conversation.")
            }
            ChatCommand::Temporary => {
                self.start_over(true, "New temporary conversation: no memory, deleted after 24 hours.")
            }
            ChatCommand::Retry => self.retry().await,
            ChatCommand::System(None) => {
                self.output.line(self.system.as_deref().unwrap_or("No system prompt is set."))
            }
            ChatCommand::System(Some(text)) => {
                self.system = Some(text);
                self.start_over(self.temporary, "New conversation with this system prompt.")
            }
            ChatCommand::Undo => {
                let done = undo(self.client, std::mem::take(&mut self.memory)).await?;
                self.output.line(&done)
            }
            ChatCommand::Unknown(name) => {
                let names = COMMANDS.iter().map(|(usage, _)| usage.split(' ').next().unwrap_or(usage));
                let near = nearest(&format!("/{name}"), names).map(|near| format!(" Did you mean {near}?"));
                self.output.line(&format!(
                    "/{} is not a command.{} /help lists the commands. To send it as a message, write //{}",
                    plain(&name),
                    near.unwrap_or_default(),
                    plain(&name)
                ))
            }
            ChatCommand::Quit => Ok(()),
        }
    }

    fn start_over(&mut self, temporary: bool, remark: &str) -> anyhow::Result<()> {
        (self.conversation, self.answer, self.memory) = (None, None, MemoryActivity::default());
        self.temporary = temporary;
        self.output.remark(&format!("{remark}\n"));
        Ok(())
    }

    async fn send(&mut self, content: String) -> anyhow::Result<()> {
        let is_first = self.conversation.is_none();
        let conversation = match &self.conversation {
            Some(conversation) => conversation.id.clone(),
            None => {
                let new = NewConversation {
                    title: None,
                    model: self.model.clone(),
                    temporary: self.temporary,
                    system: self.system.clone(),
                };
                let conversation = begin(self.client, new).await?;
                self.conversation.insert(conversation).id.clone()
            }
        };
        let message = NewMessage {
            content,
            parent: None,
            model: self.model.clone(),
            temperature: None,
            max_tokens: None,
            seed: None,
        };
        let sent =
            answer::send(self.client, &self.output, &conversation, &message, AnswerMode::Chat, self.lar)
                .await;
        if let Err(error) = &sent
            && is_first
            && erase_if_refused(self.client, &conversation, error).await
        {
            self.conversation = None;
        }
        self.store_answer(sent?);
        Ok(())
    }

    async fn retry(&mut self) -> anyhow::Result<()> {
        let (Some(conversation), Some(last)) = (&self.conversation, &self.answer) else {
            return self.output.line("There is no answer to retry yet.");
        };
        let retry = Retry { model: self.model.clone(), ..Retry::default() };
        let answer =
            answer::regenerate(self.client, &self.output, &conversation.id, last, &retry, self.lar).await?;
        self.store_answer(answer);
        Ok(())
    }

    fn store_answer(&mut self, answer: Answer) {
        self.output.remark(&footer(&answer.end));
        if !answer.id.is_empty() {
            self.answer = Some(answer.id);
        }
        self.memory = answer.memory;
    }

    async fn list_models(&self) -> anyhow::Result<()> {
        let models = chat_models(self.client).await?;
        let current = self.model.as_deref().unwrap_or("default");
        let line = |model: &Model| {
            let is_current = model.name == current || model.aliases.iter().any(|alias| alias == current);
            format!("{} {}", if is_current { "*" } else { " " }, model.name)
        };
        self.output.line(&models.iter().map(line).collect::<Vec<_>>().join("\n"))
    }

    async fn switch_model(&mut self, name: String) -> anyhow::Result<()> {
        let models = chat_models(self.client).await?;
        let names = || models.iter().flat_map(|model| std::iter::once(&model.name).chain(&model.aliases));
        // `NAME+memory` is the model `NAME` with memory.
        let base = name.strip_suffix("+memory").unwrap_or(&name);
        if !names().any(|known| known == base) {
            let near = nearest(base, names().map(String::as_str));
            let near = near.map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
            let installed: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
            let installed = installed.join(", ");
            return self
                .output
                .line(&format!("There is no chat model `{}`.{near} Installed: {installed}", plain(&name)));
        }
        self.output.remark(&format!("Talking to {name} now.\n"));
        self.model = Some(name);
        Ok(())
    }
}

fn help(lar: &str) -> String {
    let width = COMMANDS.iter().map(|(usage, _)| usage.len()).max().unwrap_or(0);
    let rows = COMMANDS.iter().map(|(usage, about)| format!("{usage:width$}  {about}"));
    let rows = rows.collect::<Vec<_>>().join("\n");
    format!(
        "{rows}\nCtrl+C clears the line, or stops an answer. Up and Down show earlier lines. A paste of \
         several lines\n\
         is one message. To continue this conversation later: `{lar} chat --last`, or the page (`{lar} \
         open`)."
    )
}

async fn chat_models(client: &Client) -> anyhow::Result<Vec<Model>> {
    let models: Page<Model> = client.get("catalog/models").await?;
    Ok(models.data.into_iter().filter(|model| model.kind == ModelKind::Chat).collect())
}

/// Undoes the memory changes of a turn. Returns a message about the result.
async fn undo(client: &Client, memory: MemoryActivity) -> anyhow::Result<String> {
    let saved = memory.saved.into_iter().map(|one| (one.id, one.change));
    let forgotten = memory.forgotten.into_iter().map(|one| (one.id, one.change));
    let done: Vec<(String, Option<String>)> =
        saved.chain(forgotten).filter(|(id, _)| !id.is_empty()).collect();
    let mut undone = HashSet::new();
    // One undo reverts everything that one decision changed.
    let mut is_first =
        |decision: &Option<String>| decision.as_ref().is_none_or(|id| undone.insert(id.clone()));
    for (id, decision) in done.iter().filter(|(_, decision)| is_first(decision)) {
        let undo = Undo { decision: decision.clone() };
        let _: UndoResult = client.post(&format!("memories/{}/undo", encode_segment(id)), &undo).await?;
    }
    Ok(if done.is_empty() { "There is nothing to undo.".into() } else { "Undone.".into() })
}

/// Prints the messages of a conversation's current branch.
async fn show(client: &Client, output: &Output, id: &str) -> anyhow::Result<Conversation> {
    let conversation: Conversation = client.get(&format!("conversations/{}", encode_segment(id))).await?;
    let messages = conversation.messages.clone().unwrap_or_default();
    let mut branch = Vec::new();
    let mut next = conversation.head.clone();
    while let Some(message) = next.and_then(|id| messages.iter().find(|message| message.id == id)) {
        branch.push(message);
        next = message.parent.clone();
    }
    for message in branch.into_iter().rev() {
        let mark = match message.role.as_str() {
            "user" => "> ",
            "system" => "system: ",
            _ => "",
        };
        let mut wrap = super::wrap::Wrap::new(crate::terminal::width());
        let text = wrap.push(&format!("{mark}{}", message.content)) + &wrap.finish();
        output.line(&format!("{text}\n"))?;
    }
    Ok(conversation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages_or_commands() {
        let message = |text: &str| Some(ChatCommand::Message(text.into()));
        assert_eq!(ChatCommand::parse("  hello\nthere "), message("hello\nthere"));
        assert_eq!(ChatCommand::parse("//etc/passwd"), message("/etc/passwd"));
        assert_eq!(ChatCommand::parse("   "), None);
        assert_eq!(ChatCommand::parse("/bye"), Some(ChatCommand::Quit));
        assert_eq!(ChatCommand::parse("/model  qwen3 "), Some(ChatCommand::Model(Some("qwen3".into()))));
        assert_eq!(ChatCommand::parse("/model"), Some(ChatCommand::Model(None)));
        assert_eq!(ChatCommand::parse("/sytem x"), Some(ChatCommand::Unknown("sytem".into())));
    }

    #[test]
    fn help_lists_each_command() {
        insta::assert_snapshot!("chat_help", help("lar"));
    }
}
