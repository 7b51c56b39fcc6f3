//! `lar remember`, `lar recall` and `lar memory`. [`show`] renders memories; `importers` reads exports of
//! other programs.

mod consolidation;
mod intentions;
mod judge;
mod links;
mod show;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lar_api::Page;
use lar_api::memories::{
    Accept, Candidate, Filters, IngestResult, Memory, MemoryChange, MemoryClient, MemoryPatch, MemoryStats,
    NewMemory, Review, SearchRequest, SearchResponse, SmartIngestResult, UndoResult, WrittenMemory,
};
use lar_api::spaces::Space;
use lar_base::Bytes;
use lar_base::files::read_text_at_most;
use serde_json::Value;

pub(crate) use self::consolidation::ConsolidationCommand;
use self::consolidation::consolidation;
pub(crate) use self::intentions::IntentionsCommand;
use self::intentions::intentions;
pub(crate) use self::judge::JudgeCommand;
use self::judge::judge;
pub(crate) use self::links::LinksCommand;
use self::links::links;
use self::show::{list, render_decision, render_ingested, render_memory, render_stats, results, strength};
use crate::client::Client;
use crate::importers::{self, ImportArgs};
use crate::output::{Output, plain, table};
use crate::{memory_files, transfer, url_path};

/// The maximum size of a text from standard input: twice what the server accepts, so that its message names its
/// limit.
const INPUT_BYTES_MAX: Bytes = Bytes::mib(2);

/// The arguments of `lar remember`.
#[derive(Debug, Clone, Args)]
pub struct RememberArgs {
    /// The text; `-` reads it from standard input
    text: Vec<String>,
    /// Kind: fact, event, preference, person, place, decision, procedure, pattern or note
    #[arg(long)]
    kind: Option<String>,
    /// A tag; repeat it for more tags
    #[arg(long = "tag")]
    tags: Vec<String>,
    /// The source of the information
    #[arg(long)]
    source: Option<String>,
    /// The project of the memory
    #[arg(long)]
    project: Option<String>,
    /// Use the project of this folder, according to its git remote
    #[arg(long, conflicts_with = "project")]
    here: bool,
    /// Save to this team space instead of your own space
    #[arg(long)]
    space: Option<String>,
    /// When it happened: 2026-11-26, or 2026-11-26T10:00:00Z
    #[arg(long)]
    occurred_at: Option<String>,
    /// Save the text as it is, without comparing it with other memories
    #[arg(long)]
    as_is: bool,
}

/// The arguments of `lar recall`.
#[derive(Debug, Clone, Args)]
pub struct RecallArgs {
    /// The words to search for
    query: Vec<String>,
    /// Maximum number of memories
    #[arg(long, short = 'n', default_value_t = 5)]
    limit: usize,
    /// Only memories with this tag; repeat it for more tags
    #[arg(long = "tag")]
    tags: Vec<String>,
    /// Only memories of this project
    #[arg(long)]
    project: Option<String>,
    /// Only memories of the project of this folder, according to its git remote
    #[arg(long, conflicts_with = "project")]
    here: bool,
    /// Search only this team space
    #[arg(long)]
    space: Option<String>,
    /// Find memories that were true at this time: 2026-11-26, or 2026-11-26T10:00:00Z
    #[arg(long)]
    as_of: Option<String>,
    /// Find memories that Lar knew at this time: 2026-11-26, or 2026-11-26T10:00:00Z
    #[arg(long)]
    known_at: Option<String>,
    /// Print the whole text of each memory, with the preceding and the following turn
    #[arg(long)]
    full: bool,
    /// Rerank the best results with the installed reranker
    #[arg(long)]
    rerank: bool,
    /// Print the parts of each score
    #[arg(long)]
    why: bool,
}

/// The subcommands of `lar memory`.
#[derive(Debug, Clone, Subcommand)]
pub enum MemoryCommand {
    /// List the newest memories
    List {
        /// Maximum number of memories, 1 to 200
        #[arg(long, short = 'n', default_value_t = 20)]
        limit: u32,
        /// Only memories with this tag
        #[arg(long)]
        tag: Option<String>,
        /// List deleted memories, which can be restored
        #[arg(long)]
        deleted: bool,
    },
    /// Search memories, like `lar recall`
    Search(RecallArgs),
    /// Show a memory and its history
    Show {
        /// The id of the memory
        id: String,
    },
    /// Strengthen a memory, so that it decays more slowly
    Promote {
        /// The id of the memory
        id: String,
        /// The reason, which the history of the memory will contain
        #[arg(long)]
        reason: Option<String>,
    },
    /// Weaken a memory, so that it decays faster
    Demote {
        /// The id of the memory
        id: String,
        /// The reason, which the history of the memory will contain
        #[arg(long)]
        reason: Option<String>,
    },
    /// Pin a memory, so that it does not decay
    Pin {
        /// The id of the memory
        id: String,
        /// Unpin the memory, so that it decays again
        #[arg(long)]
        off: bool,
    },
    /// Forget a memory; it can be restored for 30 days
    Forget {
        /// The id of the memory
        id: String,
        /// Erase it and its history permanently; it cannot be restored
        #[arg(long)]
        erase: bool,
    },
    /// Undo the last change of a memory
    Undo {
        /// The id of the memory
        id: String,
    },
    /// Export all memories and reminders as JSON lines, or memories as Markdown files to edit
    Export {
        /// The new file [default: standard output]
        file: Option<PathBuf>,
        /// Write Markdown files to this folder instead, one for each current memory
        #[arg(long, value_name = "FOLDER", conflicts_with = "file")]
        markdown: Option<PathBuf>,
        /// Export this team space instead of your own space
        #[arg(long)]
        space: Option<String>,
    },
    /// Import memories that Lar or another program exported; importing twice changes nothing
    Import(ImportArgs),
    /// Review the inbox: suggested memories that you have not accepted yet
    #[command(subcommand)]
    Inbox(InboxCommand),
    /// Review memories that a newer one may make outdated
    #[command(subcommand)]
    Links(LinksCommand),
    /// Review what Lar proposes after it compared memories in idle hours
    #[command(subcommand)]
    Consolidation(ConsolidationCommand),
    /// Manage reminders: what Lar reminds you of when you mention it, work on it, or at a time
    #[command(subcommand, visible_alias = "reminders")]
    Intentions(IntentionsCommand),
    /// Show or measure which models are fit to judge outdated memories
    #[command(subcommand)]
    Judge(JudgeCommand),
    /// List the API keys that used your memories, with the time of use
    Clients,
    /// Show the number of memories and the size of the index
    Stats,
}

/// The subcommands of `lar memory inbox`.
#[derive(Debug, Clone, Subcommand)]
pub enum InboxCommand {
    /// List the entries
    List,
    /// Save an entry as a memory
    Accept {
        /// The id of the entry
        id: String,
        /// Save this text instead
        #[arg(long)]
        content: Option<String>,
        /// Keep the memory that the entry would replace
        #[arg(long)]
        keep_both: bool,
    },
    /// Dismiss an entry
    Reject {
        /// The id of the entry
        id: String,
    },
}

/// Runs `lar remember`.
pub(crate) async fn remember(
    client: &Client,
    output: &Output,
    args: RememberArgs,
    lar: &str,
) -> anyhow::Result<()> {
    let content = match args.text.as_slice() {
        [only] if only == "-" => read_text_at_most(std::io::stdin().lock(), INPUT_BYTES_MAX)?,
        words => words.join(" "),
    };
    anyhow::ensure!(!content.trim().is_empty(), "the text is empty: lar remember TEXT");
    let new = NewMemory {
        content,
        kind: args.kind,
        tags: args.tags,
        source: args.source,
        project: project(args.project, args.here)?,
        occurred_at: args.occurred_at,
        ..NewMemory::default()
    };
    let client = &client.in_space(args.space);
    if args.as_is {
        let made: IngestResult = client.post("memories", &new).await?;
        return output.show(&made, || render_ingested(&made));
    }
    let decided: SmartIngestResult = client.post("memories/smart", &new).await?;
    output.show(&decided, || render_decision(&decided, lar))
}

/// Runs `lar recall`.
pub(crate) async fn recall(client: &Client, output: &Output, args: RecallArgs) -> anyhow::Result<()> {
    let why = args.why;
    let query = args.query.join(" ");
    anyhow::ensure!(!query.trim().is_empty(), "the query is empty: lar recall WORDS");
    let project = project(args.project, args.here)?;
    let client = &client.in_space(args.space);
    let request = SearchRequest {
        query,
        limit: Some(args.limit),
        filters: Some(Filters { tags: args.tags, project, ..Filters::default() }),
        as_of: args.as_of,
        known_at: args.known_at,
        detail: args.full.then(|| "full".into()),
        rerank: args.rerank,
        ..SearchRequest::default()
    };
    let found: SearchResponse = client.post("memories/search", &request).await?;
    if let Some(reason) = &found.reason {
        output.remark(&format!("Searched by keywords only: {reason}"));
    }
    output.show(&found, || results(&found.results, why))
}

/// Runs `lar memory`.
pub(crate) async fn run(
    client: &Client,
    output: &Output,
    command: MemoryCommand,
    lar: &str,
) -> anyhow::Result<()> {
    match command {
        MemoryCommand::List { limit, tag, deleted } => {
            let mut path = format!("memories?limit={limit}");
            if let Some(tag) = tag {
                path.push_str(&format!("&tag={}", url_path::encode_segment(&tag)));
            }
            if deleted {
                path.push_str("&deleted=true");
            }
            let page: Page<Memory> = client.get(&path).await?;
            output.show(&page.data, || list(page.data.iter().cloned().map(WrittenMemory::from)))
        }
        MemoryCommand::Search(args) => recall(client, output, args).await,
        MemoryCommand::Show { id } => {
            let memory: Memory = client.get(&path(&id, "")).await?;
            let history: Page<MemoryChange> = client.get(&path(&id, "/history")).await?;
            let value = serde_json::json!({ "memory": memory, "history": history.data });
            output.show(&value, || render_memory(&memory, &history.data))
        }
        MemoryCommand::Promote { id, reason } => {
            let memory: WrittenMemory = client.post(&path(&id, "/promote"), &Review { reason }).await?;
            output.show(&memory, || strength("Promoted", &memory))
        }
        MemoryCommand::Demote { id, reason } => {
            let memory: WrittenMemory = client.post(&path(&id, "/demote"), &Review { reason }).await?;
            output.show(&memory, || strength("Demoted", &memory))
        }
        MemoryCommand::Pin { id, off } => {
            let patch = MemoryPatch { pinned: Some(!off), ..MemoryPatch::default() };
            let memory: WrittenMemory = client.patch(&path(&id, ""), &patch).await?;
            let message = if off { "Unpinned. It can decay again." } else { "Pinned. It does not decay." };
            output.show(&memory, || message.into())
        }
        MemoryCommand::Forget { id, erase } => {
            let _: Value = client.delete(&path(&id, if erase { "?erase=true" } else { "" })).await?;
            let message = if erase {
                format!(
                    "Erased. Messages that quote it stay. To find them: {lar} conversations search WORDS. To \
                     erase a conversation: {lar} conversations rm ID --erase"
                )
            } else {
                format!("Forgotten. To restore it within 30 days: {lar} memory undo {id}")
            };
            output.show(&Value::Null, || message)
        }
        MemoryCommand::Undo { id } => {
            let undone: UndoResult = client.post(&path(&id, "/undo"), &serde_json::json!({})).await?;
            output.show(&undone, || list(undone.memories.iter().cloned()))
        }
        MemoryCommand::Export { markdown: Some(folder), space, .. } => {
            memory_files::export(&client.in_space(space), output, &folder).await
        }
        MemoryCommand::Export { file, space, .. } => {
            transfer::export(&client.in_space(space), output, "memories", file).await
        }
        MemoryCommand::Import(args) => importers::run(client, output, args).await,
        MemoryCommand::Inbox(command) => inbox(client, output, command, lar).await,
        MemoryCommand::Links(command) => links(client, output, command, lar).await,
        MemoryCommand::Consolidation(command) => consolidation(client, output, command, lar).await,
        MemoryCommand::Intentions(command) => intentions(client, output, command, lar).await,
        MemoryCommand::Judge(command) => judge(client, output, command).await,
        MemoryCommand::Clients => {
            let clients: Page<MemoryClient> = client.get("memories/clients").await?;
            let spaces: Page<Space> = client.get("spaces").await?;
            let name_of_space = |id: &str| {
                let space = spaces.data.iter().find(|space| space.id == id);
                let name = space.map(|space| {
                    let name = space.name.as_ref().or(space.agent.as_ref());
                    name.cloned().unwrap_or_else(|| space.kind.to_string())
                });
                name.unwrap_or_else(|| id.to_owned())
            };
            output.show(&clients.data, || {
                let at = |time: &Option<String>| {
                    time.as_deref().map_or("never", |time| &time[..time.len().min(16)]).replace('T', " ")
                };
                let rows = clients.data.iter().map(|one| {
                    vec![one.name.clone(), at(&one.read_at), at(&one.written_at), name_of_space(&one.space)]
                });
                table(&["key", "last read", "last write", "space"], rows)
            })
        }
        MemoryCommand::Stats => {
            let stats: MemoryStats = client.get("memories/stats").await?;
            output.show(&stats, || render_stats(&stats))
        }
    }
}

async fn inbox(client: &Client, output: &Output, command: InboxCommand, lar: &str) -> anyhow::Result<()> {
    match command {
        InboxCommand::List => {
            let waiting: Page<Candidate> = client.get("memories/inbox").await?;
            output.show(&waiting.data, || {
                if waiting.data.is_empty() {
                    return "The inbox is empty.".into();
                }
                let replaces = |one: &Candidate| one.may_replace.as_ref().map(|old| plain(&old.content));
                let rows = waiting.data.iter().map(|one| {
                    vec![
                        one.id.clone(),
                        one.created_at[..one.created_at.len().min(10)].to_owned(),
                        one.kind.to_string(),
                        plain(&one.content),
                        replaces(one).unwrap_or_default(),
                    ]
                });
                table(&["id", "added", "kind", "text", "may replace"], rows)
            })
        }
        InboxCommand::Accept { id, content, keep_both } => {
            let path = format!("memories/inbox/{}/accept", url_path::encode_segment(&id));
            let decided: SmartIngestResult = client.post(&path, &Accept { content, keep_both }).await?;
            output.show(&decided, || render_decision(&decided, lar))
        }
        InboxCommand::Reject { id } => {
            let path = format!("memories/inbox/{}/reject", url_path::encode_segment(&id));
            let _: Value = client.post(&path, &serde_json::json!({})).await?;
            output.show(&Value::Null, || "Dismissed.".into())
        }
    }
}

/// Returns the project that is given, or that of the current folder if `here` is set.
fn project(named: Option<String>, here: bool) -> anyhow::Result<Option<String>> {
    if !here {
        return Ok(named);
    }
    let found = crate::project::of(&std::env::current_dir()?);
    anyhow::ensure!(
        found.is_some(),
        "this folder is not in a git repository: name the project with --project NAME"
    );
    Ok(found)
}

fn path(id: &str, rest: &str) -> String {
    format!("memories/{}{rest}", url_path::encode_segment(id))
}
