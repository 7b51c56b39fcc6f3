//! The client commands. They use a Lar through its public API only. The crate `lar` finds the running server,
//! or starts one, and passes a [`Client`].
//!
//! Each command has its own file. [`output`] prints tables for people or JSON for programs. The tests of a
//! command compare its output with a snapshot.

mod aliases;
mod chat;
mod client;
mod command_context;
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
mod url_path;

use clap::Subcommand;

pub use client::{ApiError, Client};
pub use command_context::CommandContext;
pub use connect::{ConnectedClient, find_client};
pub use output::Output;
pub use transfer::refuse_existing;

/// Makes a Lar create a backup on its machine.
///
/// # Errors
/// If the server rejects the request or cannot be reached.
pub async fn backup(client: &Client) -> anyhow::Result<lar_api::backups::Backup> {
    client.post_long("backups").await
}

/// The client commands.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Open the page in a browser, signed in
    Open {
        /// Only print the sign-in link
        #[arg(long)]
        print: bool,
    },
    /// Download a model if it is not installed, then chat with it
    Run(chat::RunArgs),
    /// Chat in the terminal; Lar keeps the conversation
    Chat(chat::ChatArgs),
    /// Ask one question and print the answer
    Ask(chat::AskArgs),
    /// Manage models: pull, adopt, list, show, rm, verify, load, unload
    #[command(subcommand)]
    Models(models::ModelCommand),
    /// Manage aliases of models
    #[command(subcommand)]
    Alias(aliases::AliasCommand),
    /// Manage conversations: list, search, rename, rm, restore, export, import
    #[command(subcommand)]
    Conversations(conversations::ConversationCommand),
    /// Save a memory
    Remember(memory::RememberArgs),
    /// Search memories
    Recall(memory::RecallArgs),
    /// Manage memories: list, search, show, promote, demote, pin, forget, undo, export, import, inbox,
    /// clients, stats
    #[command(subcommand)]
    Memory(memory::MemoryCommand),
    /// Serve the Model Context Protocol on standard input and output, for editors and agents
    Mcp(mcp::McpArgs),
    /// Show the state of each model's engine
    #[command(alias = "pools")]
    Ps,
    /// Show engines, memory and recent tasks, updated every second
    Top,
    /// Connect a client, test the connection, or undo it: Claude Code, Codex, Cursor, Open WebUI and others
    Connect(connect::ConnectArgs),
    /// Run at certain points of a client's session (set up by `lar connect --hooks`)
    #[command(hide = true)]
    Hook(hook::HookArgs),
    /// Manage API keys
    #[command(subcommand)]
    Keys(keys::KeyCommand),
    /// Manage the users of this Lar
    #[command(subcommand)]
    Users(people::UserCommand),
    /// Manage memory spaces: your own, your agents' and your teams'
    #[command(subcommand)]
    Spaces(people::SpaceCommand),
}

impl Command {
    /// Returns the connected client whose key the command uses, if any.
    #[must_use]
    pub fn client(&self) -> Option<&str> {
        match self {
            Command::Mcp(args) => args.client.as_deref(),
            Command::Hook(args) => Some(&args.client),
            _ => None,
        }
    }

    /// Returns whether the command needs a server that keeps running. If the server ended with the command,
    /// its links would not work, and its models would not stay loaded.
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

    /// Runs the command with the Lar of `client`.
    ///
    /// # Errors
    /// If the server rejects the request or cannot be reached, or the terminal fails. The message is for a
    /// person.
    pub async fn run(self, client: &Client, output: &Output, context: &CommandContext) -> anyhow::Result<()> {
        let lar = context.invocation.as_str();
        match self {
            Command::Open { print } => open::run(client, output, &context.data_dir, print).await,
            Command::Run(args) => chat::run(client, output, args, lar).await,
            Command::Chat(args) => chat::chat(client, output, args, lar).await,
            Command::Ask(args) => chat::ask(client, output, args, lar).await,
            Command::Models(command) => models::run(client, output, command, lar).await,
            Command::Alias(command) => aliases::run(client, output, command).await,
            Command::Conversations(command) => conversations::run(client, output, command, lar).await,
            Command::Remember(args) => memory::remember(client, output, args, lar).await,
            Command::Recall(args) => memory::recall(client, output, args).await,
            Command::Memory(command) => memory::run(client, output, command, lar).await,
            Command::Mcp(args) => mcp::run(client, args).await,
            Command::Ps => ps::run(client, output, lar).await,
            Command::Top => top::run(client, output, lar).await,
            Command::Connect(args) => connect::run(client, output, context, args).await,
            Command::Hook(args) => {
                hook::run(Some(client), output, &args, &context.data_dir).await;
                Ok(())
            }
            Command::Keys(command) => keys::run(client, output, command, lar).await,
            Command::Users(command) => people::users(client, output, command).await,
            Command::Spaces(command) => people::spaces(client, output, command, lar).await,
        }
    }
}
