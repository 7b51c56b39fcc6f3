//! `lar conversations`.

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use futures_util::StreamExt as _;
use lar_api::Page;
use lar_api::conversations::{Conversation, Imported};
use serde_json::{Value, json};

use crate::Client;
use crate::models::path;
use crate::output::{Output, table};

/// Lines of an import that are sent at once: a request stays far below the server's limit of a body.
const IMPORT_GROUP_BYTES: usize = 4 << 20;

/// What can be done with conversations.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// List them, last changed first
    List,
    /// Find those in which words occur
    Search {
        /// The words
        words: Vec<String>,
    },
    /// Give one another title
    Rename {
        /// Its id
        id: String,
        /// The title
        title: String,
    },
    /// Delete one; it can be restored for 30 days
    Rm {
        /// Its id
        id: String,
        /// Erase it for good
        #[arg(long)]
        erase: bool,
    },
    /// Bring a deleted one back
    Restore {
        /// Its id
        id: String,
    },
    /// Write all of them as JSON lines
    Export {
        /// The file; standard output where absent
        file: Option<PathBuf>,
    },
    /// Take those that were exported; what is there already stays as it is
    Import {
        /// The file
        file: PathBuf,
    },
}

pub(crate) async fn run(client: &Client, output: &Output, command: Command) -> anyhow::Result<()> {
    match command {
        Command::List => {
            let found: Page<Conversation> = client.get("conversations?limit=100").await?;
            output.show(&found.data, || list(&found.data))
        }
        Command::Search { words } => {
            let found: Page<Conversation> =
                client.get(&format!("conversations?q={}", path(&words.join(" ")))).await?;
            output.show(&found.data, || list(&found.data))
        }
        Command::Rename { id, title } => {
            let changed: Conversation =
                client.patch(&format!("conversations/{}", path(&id)), &json!({ "title": title })).await?;
            output.show(&changed, || format!("It is now called “{}”.", changed.title))
        }
        Command::Rm { id, erase } => {
            let query = if erase { "?erase=true" } else { "" };
            let _: Value = client.delete(&format!("conversations/{}{query}", path(&id))).await?;
            output.show(&Value::Null, || {
                if erase {
                    "Erased.".into()
                } else {
                    format!("Deleted. Bring it back: `lar conversations restore {id}`")
                }
            })
        }
        Command::Restore { id } => {
            let changed: Conversation =
                client.patch(&format!("conversations/{}", path(&id)), &json!({ "deleted": false })).await?;
            output.show(&changed, || format!("“{}” is back.", changed.title))
        }
        Command::Export { file: None } => {
            let mut lines = std::pin::pin!(client.download("conversations/export").await?.stream());
            while let Some(part) = lines.next().await {
                std::io::stdout().lock().write_all(&part?)?;
            }
            Ok(())
        }
        Command::Export { file: Some(file) } => {
            let written = export(client, &file).await.with_context(|| file.display().to_string())?;
            output.show(&json!({ "conversations": written }), || {
                format!("Wrote {written} conversations to {}.", file.display())
            })
        }
        Command::Import { file } => {
            let done = import(client, output, &file).await.with_context(|| file.display().to_string())?;
            output.show(&done, || imported(&done))
        }
    }
}

/// Writes beside the file and renames at the end, so that a broken line leaves no half of an export.
async fn export(client: &Client, file: &Path) -> anyhow::Result<usize> {
    let mut lines = std::pin::pin!(client.download("conversations/export").await?.stream());
    let mut name = file.as_os_str().to_owned();
    name.push(".partial");
    let partial = PathBuf::from(name);
    let mut out = std::io::BufWriter::new(std::fs::File::create(&partial)?);
    let mut written = 0;
    while let Some(part) = lines.next().await {
        let part = part?;
        written += part.iter().filter(|byte| **byte == b'\n').count();
        out.write_all(&part)?;
    }
    out.into_inner()?.sync_all()?;
    std::fs::rename(partial, file)?;
    Ok(written)
}

async fn import(client: &Client, output: &Output, file: &Path) -> anyhow::Result<Imported> {
    let length = std::fs::metadata(file)?.len();
    let mut lines = std::io::BufReader::new(std::fs::File::open(file)?);
    let mut done = Imported { imported: 0, unchanged: 0 };
    let progress = output.progress(length);
    loop {
        let mut group = Vec::new();
        while group.len() < IMPORT_GROUP_BYTES && lines.read_until(b'\n', &mut group)? > 0 {}
        if group.is_empty() {
            break;
        }
        progress.inc(group.len() as u64);
        let answer: Imported = client.post_lines("conversations/import", group).await?;
        done = Imported {
            imported: done.imported + answer.imported,
            unchanged: done.unchanged + answer.unchanged,
        };
    }
    progress.finish_and_clear();
    Ok(done)
}

fn imported(done: &Imported) -> String {
    format!("{} imported; {} were there already.", done.imported, done.unchanged)
}

fn list(found: &[Conversation]) -> String {
    if found.is_empty() {
        return "There are none. Start one: `lar chat`".into();
    }
    table(
        &["id", "changed", "title"],
        found.iter().map(|conversation| {
            let changed =
                conversation.updated_at.get(..16).unwrap_or(&conversation.updated_at).replace('T', " ");
            let title = match &conversation.snippet {
                Some(snippet) => {
                    format!("{} — {}", conversation.title, snippet.replace(['\u{2}', '\u{3}'], ""))
                }
                None => conversation.title.clone(),
            };
            vec![conversation.id.clone(), changed, title]
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn screens() {
        let conversation = Conversation {
            id: "conv_01".into(),
            title: "Owls".into(),
            model: None,
            head: None,
            temporary: false,
            version: 1,
            created_at: "2026-11-21T10:00:00.000Z".into(),
            updated_at: "2026-11-21T10:05:00.000Z".into(),
            deleted_at: None,
            running_task: None,
            messages: None,
            snippet: Some("about \u{2}owls\u{3}".into()),
        };
        insta::assert_snapshot!("conversations", list(&[conversation]));
        insta::assert_snapshot!("conversations_none", list(&[]));
    }
}
