//! `lar alias`.

use clap::Subcommand;
use lar_api::Page;
use lar_api::models::Alias;
use serde_json::Value;

use crate::Client;
use crate::models::path;
use crate::output::{Output, table};

/// What can be done with aliases.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// List them
    List,
    /// Let a name stand for an installed model
    Set {
        /// The name, such as `default` or `gpt-4o`
        name: String,
        /// The model's name
        model: String,
    },
    /// Remove one
    Rm {
        /// The name
        name: String,
    },
}

pub(crate) async fn run(client: &Client, output: &Output, command: Command) -> anyhow::Result<()> {
    match command {
        Command::List => {
            let aliases: Page<Alias> = client.get("aliases").await?;
            output.show(&aliases.data, || list(&aliases.data))
        }
        Command::Set { name, model } => {
            let alias: Alias = client.post("aliases", &Alias { name, target: model }).await?;
            output.show(&alias, || format!("{} now stands for {}.", alias.name, alias.target))
        }
        Command::Rm { name } => {
            let _: Value = client.delete(&format!("aliases/{}", path(&name))).await?;
            output.show(&Value::Null, || format!("Removed {name}."))
        }
    }
}

fn list(aliases: &[Alias]) -> String {
    if aliases.is_empty() {
        return "There are no aliases. `default` comes with the first chat model.".into();
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
