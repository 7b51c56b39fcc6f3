//! `lar alias`: lists, sets and removes aliases of models.

use clap::Subcommand;
use lar_api::Page;
use lar_api::models::Alias;
use serde_json::Value;

use crate::Client;
use crate::output::{Output, table};
use crate::url_path::encode_segment;

/// The subcommands of `lar alias`.
#[derive(Debug, Clone, Subcommand)]
pub enum AliasCommand {
    /// List aliases
    List,
    /// Set an alias of an installed model
    Set {
        /// The alias, such as `default` or `gpt-4o`
        name: String,
        /// The name of the installed model
        model: String,
    },
    /// Remove an alias
    Rm {
        /// The alias to remove
        name: String,
    },
}

pub(crate) async fn run(client: &Client, output: &Output, command: AliasCommand) -> anyhow::Result<()> {
    match command {
        AliasCommand::List => {
            let aliases: Page<Alias> = client.get("aliases").await?;
            output.show(&aliases.data, || list(&aliases.data))
        }
        AliasCommand::Set { name, model } => {
            let alias: Alias = client.post("aliases", &Alias { name, target: model }).await?;
            output.show(&alias, || format!("The alias {} now refers to {}.", alias.name, alias.target))
        }
        AliasCommand::Rm { name } => {
            let _: Value = client.delete(&format!("aliases/{}", encode_segment(&name))).await?;
            output.show(&Value::Null, || format!("Removed the alias {name}."))
        }
    }
}

fn list(aliases: &[Alias]) -> String {
    if aliases.is_empty() {
        return "No aliases yet. Lar sets `default` when you install the first chat model.".into();
    }
    table(&["alias", "model"], aliases.iter().map(|alias| vec![alias.name.clone(), alias.target.clone()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn screens() {
        let alias = Alias { name: "default".into(), target: "qwen3-4b".into() };
        insta::assert_snapshot!("alias_list", list(&[alias]));
    }
}
