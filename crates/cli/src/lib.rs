//! The commands that talk to a Lar, through its public API only. Who they talk to is `lar`'s business: it
//! finds the running server or starts one.
//!
//! Each command is a file. Screens are made in [`output`], as tables for people or as JSON, and each has a
//! snapshot in its tests.

mod aliases;
mod chat;
mod client;
mod connect;
mod conversations;
pub mod hook;
mod importers;
mod keys;
mod mcp;
mod memory;
mod memory_files;
mod models;
mod open;
pub mod output;
mod people;
mod project;
mod ps;
mod sse;
mod terminal;
mod top;
mod transfer;

use std::path::PathBuf;

use clap::Subcommand;

pub use client::{ApiError, Client};
pub use connect::{ConnectedClient, find_client};
pub use output::Output;
pub use transfer::refuse_existing;

/// Has a Lar make a backup on its machine.
///
/// # Errors
/// What the server said.
pub async fn backup(client: &Client) -> anyhow::Result<lar_api::backups::Backup> {
    client.post_long("backups").await
}

/// What the commands that change files around Lar must know.
#[derive(Debug, Clone)]
pub struct CommandContext {
    /// The person's home directory.
    pub home: Option<PathBuf>,
    /// Codex' own folder, where it is not `~/.codex`.
    pub codex_home: Option<PathBuf>,
    /// Claude Code's own folder, where it is not `~/.claude`.
    pub claude_home: Option<PathBuf>,
    /// Where everything of Lar's is kept.
    pub data_dir: PathBuf,
    /// This program.
    pub program: PathBuf,
    /// How it is called in a shell, with the options that make it find the same Lar.
    pub invocation: String,
    /// Whether the Lar is the data directory's own.
    pub local: bool,
}

/// What can be asked of a Lar.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Open the page in a browser, signed in
    Open {
        /// Only print the link
        #[arg(long)]
        print: bool,
    },
    /// Get a model if need be, then chat with it
    Run(chat::RunArgs),
    /// Chat in the terminal; conversations are kept
    Chat(chat::ChatArgs),
    /// Ask one question and print the answer
    Ask(chat::AskArgs),
    /// Models on disk: pull, adopt, list, show, rm, verify, load, unload
    #[command(subcommand)]
    Models(models::Command),
    /// Names that stand for models
    #[command(subcommand)]
    Alias(aliases::Command),
    /// Conversations that were had
    #[command(subcommand)]
    Conversations(conversations::Command),
    /// Remember something
    Remember(memory::RememberArgs),
    /// Look for what was remembered
    Recall(memory::RecallArgs),
    /// What is remembered: list, search, show, promote, demote, pin, forget, undo, inbox, export, import, stats
    #[command(subcommand)]
    Memory(memory::Command),
    /// Speak the Model Context Protocol on standard input and output, for editors and agents
    Mcp(mcp::McpArgs),
    /// What each model's engine is doing
    #[command(visible_alias = "pools")]
    Ps,
    /// The same with memory and the last tasks, every second
    Top,
    /// Tell a client of this Lar, try it, take it back: Claude Code, Codex, Cursor, Open WebUI and others
    Connect(connect::ConnectArgs),
    /// What clients run at certain points of a session (set by `lar connect --hooks`)
    #[command(hide = true)]
    Hook(hook::HookArgs),
    /// Keys for apps
    #[command(subcommand)]
    Keys(keys::Command),
    /// People who share this Lar
    #[command(subcommand)]
    Users(people::UserCommand),
    /// Where memories lie: yours, your agents', your teams'
    #[command(subcommand)]
    Spaces(people::SpaceCommand),
}

impl Command {
    /// The client that was connected and in whose name this is done.
    #[must_use]
    pub fn client(&self) -> Option<&str> {
        match self {
            Command::Mcp(args) => args.client.as_deref(),
            Command::Hook(args) => Some(&args.client),
            _ => None,
        }
    }

    /// Whether the command needs a server that keeps running: links to one that ends would be dead, and nothing would
    /// stay loaded.
    #[must_use]
    pub fn needs_running_lar(&self) -> bool {
        match self {
            Command::Open { .. } | Command::Ps | Command::Top => true,
            Command::Models(command) => command.is_about_loading(),
            Command::Connect(args) => args.writes_the_address(),
            Command::Users(command) => matches!(command, people::UserCommand::Invite { .. }),
            Command::Run(_)
            | Command::Chat(_)
            | Command::Ask(_)
            | Command::Alias(_)
            | Command::Conversations(_)
            | Command::Remember(_)
            | Command::Recall(_)
            | Command::Memory(_)
            | Command::Mcp(_)
            | Command::Hook(_)
            | Command::Keys(_)
            | Command::Spaces(_) => false,
        }
    }

    /// Runs the command against the Lar behind `client`.
    ///
    /// # Errors
    /// What the server or the terminal said; the message is meant for a person.
    pub async fn run(self, client: &Client, output: &Output, context: &CommandContext) -> anyhow::Result<()> {
        match self {
            Command::Open { print } => open::run(client, output, &context.data_dir, print).await,
            Command::Run(args) => chat::run(client, output, args).await,
            Command::Chat(args) => chat::chat(client, output, args).await,
            Command::Ask(args) => chat::ask(client, output, args).await,
            Command::Models(command) => models::run(client, output, command).await,
            Command::Alias(command) => aliases::run(client, output, command).await,
            Command::Conversations(command) => conversations::run(client, output, command).await,
            Command::Remember(args) => memory::remember(client, output, args).await,
            Command::Recall(args) => memory::recall(client, output, args).await,
            Command::Memory(command) => memory::run(client, output, command).await,
            Command::Mcp(args) => mcp::run(client, args).await,
            Command::Ps => ps::run(client, output).await,
            Command::Top => top::run(client, output).await,
            Command::Connect(args) => connect::run(client, output, context, args).await,
            Command::Hook(args) => {
                hook::run(Some(client), output, &args, &context.data_dir).await;
                Ok(())
            }
            Command::Keys(command) => keys::run(client, output, command).await,
            Command::Users(command) => people::users(client, output, command).await,
            Command::Spaces(command) => people::spaces(client, output, command).await,
        }
    }
}
