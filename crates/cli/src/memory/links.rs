//! `lar memory links`: memories that may be outdated, and the decisions about them.

use clap::Subcommand;
use lar_api::Page;
use lar_api::memories::{MemoryLink, ResolveLink, ResolvedLink};

use crate::client::Client;
use crate::output::{Output, plain};
use crate::url_path::encode_segment;

/// The subcommands of `lar memory links`.
#[derive(Debug, Clone, Subcommand)]
pub enum LinksCommand {
    /// List memories that a newer one may make outdated
    List,
    /// Replace the older memory by the newer one
    Replace {
        /// The id of the link
        id: String,
    },
    /// Keep both memories, and do not ask again
    KeepBoth {
        /// The id of the link
        id: String,
    },
    /// Join both texts in one memory
    Merge {
        /// The id of the link
        id: String,
    },
}

pub(super) async fn links(
    client: &Client,
    output: &Output,
    command: LinksCommand,
    lar: &str,
) -> anyhow::Result<()> {
    let (id, resolution, done) = match command {
        LinksCommand::List => {
            let links: Page<MemoryLink> = client.get("memories/links").await?;
            return output.show(&links.data, || render(&links.data, lar));
        }
        LinksCommand::Replace { id } => (id, "replace", "Replaced."),
        LinksCommand::KeepBoth { id } => (id, "keep_both", "Kept both."),
        LinksCommand::Merge { id } => (id, "merge", "Merged."),
    };
    let request = ResolveLink { resolution: resolution.into() };
    let path = format!("memories/links/{}", encode_segment(&id));
    let resolved: ResolvedLink = client.post(&path, &request).await?;
    output.show(&resolved, || match resolution {
        "keep_both" => done.into(),
        _ => format!("{done} To undo: {lar} memory undo {}", resolved.memory.id),
    })
}

fn render(links: &[MemoryLink], lar: &str) -> String {
    if links.is_empty() {
        return "No memory seems outdated.".into();
    }
    let day = |time: &str| time[..time.len().min(10)].to_owned();
    let mut lines: Vec<String> = links
        .iter()
        .map(|link| {
            format!(
                "{}\n  {}  {}\n  {}  {}  (possibly outdated)",
                link.id,
                day(&link.newer.created_at),
                plain(&link.newer.content),
                day(&link.older.created_at),
                plain(&link.older.content),
            )
        })
        .collect();
    lines.push(format!("\nTo decide: {lar} memory links replace|keep-both|merge ID"));
    lines.join("\n")
}
