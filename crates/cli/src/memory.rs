//! `lar remember`, `lar recall` and `lar memory`.

mod show;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lar_api::Page;
use lar_api::memories::{
    Accept, Candidate, Filters, IngestResult, Memory, MemoryChange, MemoryClient, MemoryPatch, MemoryStats,
    NewMemory, Review, SearchRequest, SearchResponse, SmartIngestResult, UndoResult, WrittenMemory,
};
use lar_api::spaces::Space;
use serde_json::Value;

use self::show::{list, render_decision, render_ingested, render_memory, render_stats, results, strength};
use crate::client::Client;
use crate::importers::{self, ImportSource};
use crate::output::{Output, plain, table};
use crate::{memory_files, models, transfer};

/// What to remember.
#[derive(Debug, Clone, Args)]
pub struct RememberArgs {
    /// The text; read from standard input where it is `-`
    text: Vec<String>,
    /// fact, event, preference, person, place, decision, procedure, pattern, note
    #[arg(long)]
    kind: Option<String>,
    /// A tag; may be given several times
    #[arg(long = "tag")]
    tags: Vec<String>,
    /// Where it is from
    #[arg(long)]
    source: Option<String>,
    /// The project it belongs to
    #[arg(long)]
    project: Option<String>,
    /// It belongs to the project of this folder, as its git remote names it
    #[arg(long, conflicts_with = "project")]
    here: bool,
    /// The team's space it lies in, where it is not your own
    #[arg(long)]
    space: Option<String>,
    /// When it happened: 2026-11-26, or 2026-11-26T10:00:00Z
    #[arg(long)]
    occurred_at: Option<String>,
    /// Store it as it is, whatever is known
    #[arg(long)]
    as_is: bool,
}

/// What to look for.
#[derive(Debug, Clone, Args)]
pub struct RecallArgs {
    /// The words
    query: Vec<String>,
    /// Memories at most
    #[arg(long, short = 'n', default_value_t = 5)]
    limit: usize,
    /// With this tag; may be given several times
    #[arg(long = "tag")]
    tags: Vec<String>,
    /// Of this project
    #[arg(long)]
    project: Option<String>,
    /// Of the project of this folder, as its git remote names it
    #[arg(long, conflicts_with = "project")]
    here: bool,
    /// In this team's space alone
    #[arg(long)]
    space: Option<String>,
    /// As things were then: 2026-11-26, or 2026-11-26T10:00:00Z
    #[arg(long)]
    as_of: Option<String>,
    /// Tell all of each memory, with the turns before and behind
    #[arg(long)]
    full: bool,
    /// Have the installed reranker order the best of what is found
    #[arg(long)]
    rerank: bool,
    /// Tell what each score is made of
    #[arg(long)]
    why: bool,
}

/// What can be done with memories.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// The newest memories
    List {
        /// Memories at most, 1 to 200
        #[arg(long, short = 'n', default_value_t = 20)]
        limit: u32,
        /// With this tag
        #[arg(long)]
        tag: Option<String>,
        /// The deleted ones, which can be brought back
        #[arg(long)]
        deleted: bool,
    },
    /// Look for memories, as `lar recall` does
    Search(RecallArgs),
    /// One memory and everything that was done to it
    Show {
        /// Its id
        id: String,
    },
    /// Say that a memory matters
    Promote {
        /// Its id
        id: String,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Say that a memory matters less
    Demote {
        /// Its id
        id: String,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Keep a memory from fading
    Pin {
        /// Its id
        id: String,
        /// Let it fade again
        #[arg(long)]
        off: bool,
    },
    /// Delete a memory; it can be brought back for 30 days
    Forget {
        /// Its id
        id: String,
        /// Erase it for good, with its history: it cannot be brought back
        #[arg(long)]
        erase: bool,
    },
    /// Undo what was last done to a memory
    Undo {
        /// Its id
        id: String,
    },
    /// Write them all as JSON lines with their vectors and histories, or as a folder of Markdown files to edit
    Export {
        /// The file; standard output where absent
        file: Option<PathBuf>,
        /// A folder of Markdown files instead, one for each memory that is current
        #[arg(long, value_name = "FOLDER", conflicts_with = "file")]
        markdown: Option<PathBuf>,
        /// Those of this team's space
        #[arg(long)]
        space: Option<String>,
    },
    /// Take in what was exported, by Lar or by another program; twice changes nothing
    Import {
        /// The file, or the folder of Markdown files
        file: PathBuf,
        /// The program whose memories they are; Lar's own export where absent
        #[arg(long, value_name = "PROGRAM")]
        from: Option<ImportSource>,
        /// Only count what would be taken in
        #[arg(long, requires = "from")]
        dry_run: bool,
        /// Into this team's space
        #[arg(long)]
        space: Option<String>,
    },
    /// What may be worth remembering and waits for your word
    #[command(subcommand)]
    Inbox(InboxCommand),
    /// Which keys read and wrote your memories last
    Clients,
    /// How many there are
    Stats,
}

/// What can be done with what waits.
#[derive(Debug, Clone, Subcommand)]
pub enum InboxCommand {
    /// List it
    List,
    /// Remember it
    Accept {
        /// Its id
        id: String,
        /// In these words instead
        #[arg(long)]
        content: Option<String>,
    },
    /// Forget it
    Reject {
        /// Its id
        id: String,
    },
}

/// `lar remember`.
pub(crate) async fn remember(client: &Client, output: &Output, args: RememberArgs) -> anyhow::Result<()> {
    let content = match args.text.as_slice() {
        [only] if only == "-" => std::io::read_to_string(std::io::stdin())?,
        words => words.join(" "),
    };
    anyhow::ensure!(!content.trim().is_empty(), "there is nothing to remember: lar remember TEXT");
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
    output.show(&decided, || render_decision(&decided))
}

/// `lar recall`.
pub(crate) async fn recall(client: &Client, output: &Output, args: RecallArgs) -> anyhow::Result<()> {
    let why = args.why;
    let query = args.query.join(" ");
    anyhow::ensure!(!query.trim().is_empty(), "say what to look for: lar recall WORDS");
    let project = project(args.project, args.here)?;
    let client = &client.in_space(args.space);
    let request = SearchRequest {
        query,
        limit: Some(args.limit),
        filters: Some(Filters { tags: args.tags, project, ..Filters::default() }),
        as_of: args.as_of,
        detail: args.full.then(|| "full".into()),
        rerank: args.rerank,
        ..SearchRequest::default()
    };
    let found: SearchResponse = client.post("memories/search", &request).await?;
    if let Some(reason) = &found.reason {
        output.remark(&format!("Only words were compared: {reason}"));
    }
    output.show(&found, || results(&found.results, why))
}

pub(crate) async fn run(client: &Client, output: &Output, command: Command) -> anyhow::Result<()> {
    match command {
        Command::List { limit, tag, deleted } => {
            let mut path = format!("memories?limit={limit}");
            if let Some(tag) = tag {
                path.push_str(&format!("&tag={}", models::path(&tag)));
            }
            if deleted {
                path.push_str("&deleted=true");
            }
            let page: Page<Memory> = client.get(&path).await?;
            output.show(&page.data, || list(page.data.iter().cloned().map(WrittenMemory::from)))
        }
        Command::Search(args) => recall(client, output, args).await,
        Command::Show { id } => {
            let memory: Memory = client.get(&path(&id, "")).await?;
            let history: Page<MemoryChange> = client.get(&path(&id, "/history")).await?;
            let value = serde_json::json!({ "memory": memory, "history": history.data });
            output.show(&value, || render_memory(&memory, &history.data))
        }
        Command::Promote { id, reason } => {
            let memory: WrittenMemory = client.post(&path(&id, "/promote"), &Review { reason }).await?;
            output.show(&memory, || strength("Promoted", &memory))
        }
        Command::Demote { id, reason } => {
            let memory: WrittenMemory = client.post(&path(&id, "/demote"), &Review { reason }).await?;
            output.show(&memory, || strength("Demoted", &memory))
        }
        Command::Pin { id, off } => {
            let patch = MemoryPatch { pinned: Some(!off), ..MemoryPatch::default() };
            let memory: WrittenMemory = client.patch(&path(&id, ""), &patch).await?;
            let message = if off { "It fades again." } else { "It does not fade." };
            output.show(&memory, || message.into())
        }
        Command::Forget { id, erase } => {
            let _: Value = client.delete(&path(&id, if erase { "?erase=true" } else { "" })).await?;
            let message = if erase {
                "Erased. Messages that quote it stay: lar conversations search WORDS finds them, and \
                 lar conversations rm ID --erase erases a conversation."
                    .to_owned()
            } else {
                format!("Forgotten. For 30 days it can be brought back: lar memory undo {id}")
            };
            output.show(&Value::Null, || message)
        }
        Command::Undo { id } => {
            let undone: UndoResult = client.post(&path(&id, "/undo"), &serde_json::json!({})).await?;
            output.show(&undone, || list(undone.memories.iter().cloned()))
        }
        Command::Export { markdown: Some(folder), space, .. } => {
            memory_files::export(&client.in_space(space), output, &folder).await
        }
        Command::Export { file, space, .. } => {
            transfer::export(&client.in_space(space), output, "memories", file).await
        }
        Command::Import { file, from: Some(from), dry_run, space } => {
            importers::run(&client.in_space(space), output, from, &file, dry_run).await
        }
        Command::Import { file, space, .. } if file.is_dir() => {
            memory_files::import(&client.in_space(space), output, &file).await
        }
        Command::Import { file, space, .. } => {
            transfer::import(&client.in_space(space), output, "memories", &file).await
        }
        Command::Inbox(command) => inbox(client, output, command).await,
        Command::Clients => {
            let clients: Page<MemoryClient> = client.get("memories/clients").await?;
            let spaces: Page<Space> = client.get("spaces").await?;
            let place = |id: &str| {
                let space = spaces.data.iter().find(|space| space.id == id);
                let name =
                    space.map(|space| space.name.as_ref().or(space.agent.as_ref()).unwrap_or(&space.kind));
                name.map_or(id, String::as_str).to_owned()
            };
            output.show(&clients.data, || {
                let at = |time: &Option<String>| {
                    time.as_deref().map_or("never", |time| &time[..time.len().min(16)]).replace('T', " ")
                };
                let rows = clients.data.iter().map(|one| {
                    vec![one.name.clone(), at(&one.read_at), at(&one.written_at), place(&one.space)]
                });
                table(&["key", "last read", "last wrote", "space"], rows)
            })
        }
        Command::Stats => {
            let stats: MemoryStats = client.get("memories/stats").await?;
            output.show(&stats, || render_stats(&stats))
        }
    }
}

async fn inbox(client: &Client, output: &Output, command: InboxCommand) -> anyhow::Result<()> {
    match command {
        InboxCommand::List => {
            let waiting: Page<Candidate> = client.get("memories/inbox").await?;
            output.show(&waiting.data, || {
                if waiting.data.is_empty() {
                    return "Nothing waits.".into();
                }
                let rows = waiting.data.iter().map(|one| {
                    vec![
                        one.id.clone(),
                        one.created_at[..one.created_at.len().min(10)].to_owned(),
                        one.kind.clone(),
                        plain(&one.content),
                    ]
                });
                table(&["id", "noted", "kind", "text"], rows)
            })
        }
        InboxCommand::Accept { id, content } => {
            let path = format!("memories/inbox/{}/accept", models::path(&id));
            let decided: SmartIngestResult = client.post(&path, &Accept { content }).await?;
            output.show(&decided, || render_decision(&decided))
        }
        InboxCommand::Reject { id } => {
            let path = format!("memories/inbox/{}/reject", models::path(&id));
            let _: Value = client.post(&path, &serde_json::json!({})).await?;
            output.show(&Value::Null, || "Forgotten.".into())
        }
    }
}

/// The project that is named, or that of this folder.
fn project(named: Option<String>, here: bool) -> anyhow::Result<Option<String>> {
    if !here {
        return Ok(named);
    }
    let found = crate::project::of(&std::env::current_dir()?);
    anyhow::ensure!(found.is_some(), "this folder is in no git repository; name the project: --project NAME");
    Ok(found)
}

fn path(id: &str, rest: &str) -> String {
    format!("memories/{}{rest}", models::path(id))
}
