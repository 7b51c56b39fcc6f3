//! `lar conversations`: lists, searches, renames, deletes, restores, exports and imports conversations.

use std::path::PathBuf;

use clap::Subcommand;
use lar_api::Page;
use lar_api::conversations::Conversation;
use serde_json::{Value, json};

use crate::output::{Output, table};
use crate::url_path::encode_segment;
use crate::{Client, transfer};

/// The subcommands of `lar conversations`.
#[derive(Debug, Clone, Subcommand)]
pub enum ConversationCommand {
    /// List conversations, most recent turn first
    List,
    /// Find conversations that contain words
    Search {
        /// The words to find in titles and messages
        words: Vec<String>,
    },
    /// Change the title of a conversation
    Rename {
        /// The id of the conversation
        id: String,
        /// The new title: one line of up to 200 characters
        title: String,
    },
    /// Delete a conversation; it can be restored for 30 days
    Rm {
        /// The id of the conversation
        id: String,
        /// Erase it permanently; it cannot be restored
        #[arg(long)]
        erase: bool,
    },
    /// Restore a deleted conversation
    Restore {
        /// The id of the conversation
        id: String,
    },
    /// Export all conversations as JSON lines
    Export {
        /// The new file [default: standard output]
        file: Option<PathBuf>,
    },
    /// Import exported conversations; existing ones do not change
    Import {
        /// The exported file
        file: PathBuf,
    },
}

pub(crate) async fn run(
    client: &Client,
    output: &Output,
    command: ConversationCommand,
    lar: &str,
) -> anyhow::Result<()> {
    match command {
        ConversationCommand::List => {
            let found: Page<Conversation> = client.get("conversations?limit=100").await?;
            output.show(&found.data, || list(&found.data, lar))
        }
        ConversationCommand::Search { words } => {
            let found: Page<Conversation> =
                client.get(&format!("conversations?q={}", encode_segment(&words.join(" ")))).await?;
            output.show(&found.data, || hits(&found.data, lar))
        }
        ConversationCommand::Rename { id, title } => {
            let changed: Conversation = client
                .patch(&format!("conversations/{}", encode_segment(&id)), &json!({ "title": title }))
                .await?;
            output.show(&changed, || format!("Renamed to “{}”.", changed.title))
        }
        ConversationCommand::Rm { id, erase } => {
            let query = if erase { "?erase=true" } else { "" };
            let _: Value = client.delete(&format!("conversations/{}{query}", encode_segment(&id))).await?;
            output.show(&Value::Null, || {
                if erase {
                    "Erased.".into()
                } else {
                    format!("Deleted. To restore it: `{lar} conversations restore {id}`")
                }
            })
        }
        ConversationCommand::Restore { id } => {
            let changed: Conversation = client
                .patch(&format!("conversations/{}", encode_segment(&id)), &json!({ "deleted": false }))
                .await?;
            output.show(&changed, || format!("Restored “{}”.", changed.title))
        }
        ConversationCommand::Export { file } => transfer::export(client, output, "conversations", file).await,
        ConversationCommand::Import { file } => transfer::import_conversations(client, output, &file).await,
    }
}

fn hits(found: &[Conversation], lar: &str) -> String {
    if found.is_empty() { "No conversations found.".into() } else { list(found, lar) }
}

fn list(found: &[Conversation], lar: &str) -> String {
    if found.is_empty() {
        return format!("No conversations yet. To start one: `{lar} chat`");
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
        insta::assert_snapshot!("conversations", list(&[conversation], "lar"));
        insta::assert_snapshot!("conversations_none", list(&[], "lar"));
        assert_eq!(hits(&[], "lar"), "No conversations found.");
    }
}
