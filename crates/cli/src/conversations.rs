//! `lar conversations`.

use std::path::PathBuf;

use clap::Subcommand;
use lar_api::Page;
use lar_api::conversations::Conversation;
use serde_json::{Value, json};

use crate::models::path;
use crate::output::{Output, table};
use crate::{Client, transfer};

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
            output.show(&found.data, || hits(&found.data))
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
        Command::Export { file } => transfer::export(client, output, "conversations", file).await,
        Command::Import { file } => transfer::import(client, output, "conversations", &file).await,
    }
}

fn hits(found: &[Conversation]) -> String {
    if found.is_empty() { "Nothing was found.".into() } else { list(found) }
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
        assert_eq!(hits(&[]), "Nothing was found.");
    }
}
