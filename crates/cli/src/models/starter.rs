//! `lar models pull --starter`: downloads a chat model that suits the machine, and an embedder.
//!
//! The server chooses the models. The chat model becomes `default` if there was none, or if `default` was the
//! smallest starter model. A default that a user chose stays.

use lar_api::Page;
use lar_api::models::{Alias, Model, ModelKind, StarterModel};

use super::follow::{Download, render_installed};
use crate::Client;
use crate::output::{Output, size};

/// The alias of the chat model for requests that name no model.
pub(super) const DEFAULT: &str = "default";

pub(super) async fn pull_starters(client: &Client, output: &Output, minimal: bool) -> anyhow::Result<()> {
    let chosen: Page<StarterModel> = client.get(&format!("catalog/starter?minimal={minimal}")).await?;
    for model in &chosen.data {
        let is_chat = model.kind == ModelKind::Chat;
        if model.installed {
            output.note(&format!("{} is already installed.", model.name));
            // An earlier pull may have ended before it set `default`.
            if is_chat && !minimal {
                make_default(client, output, &model.name).await?;
            }
            continue;
        }
        output.note(&announcement(model));
        let got = fetch(client, output, model).await;
        match got {
            Ok(()) if is_chat && !minimal => make_default(client, output, &model.name).await?,
            Ok(()) => {}
            Err(error) if is_chat && !minimal => {
                output.note(&format!("Could not fetch {}: {error:#}", model.name));
                let smallest: Page<StarterModel> = client.get("catalog/starter?minimal=true").await?;
                let Some(smallest) = smallest.data.iter().find(|model| model.kind == ModelKind::Chat) else {
                    return Err(error);
                };
                if smallest.source == model.source {
                    return Err(error);
                }
                if !smallest.installed {
                    output.note(
                        "Fetching the smallest chat model instead. Run this command again to get the better \
                         one.",
                    );
                    fetch(client, output, smallest).await?;
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn fetch(client: &Client, output: &Output, model: &StarterModel) -> anyhow::Result<()> {
    let download = Download {
        source: model.source.clone(),
        name: None,
        title: model.name.clone(),
        size_bytes: Some(model.size_bytes),
    };
    let pulled = download.run(client, output).await?;
    output.show(&pulled, || render_installed(&pulled))
}

fn announcement(model: &StarterModel) -> String {
    let speed =
        model.tokens_per_second.map(|speed| format!(", about {speed:.0} tokens/s")).unwrap_or_default();
    let StarterModel { name, reason, size_bytes, .. } = model;
    format!(
        "Fetching {name} ({}{speed}): {reason}. If you stop this command, run it again to resume.",
        size(*size_bytes)
    )
}

/// Sets the alias `default` to a model, unless a user chose another one.
async fn make_default(client: &Client, output: &Output, name: &str) -> anyhow::Result<()> {
    let models: Page<Model> = client.get("catalog/models").await?;
    let current = models.data.iter().find(|model| model.aliases.iter().any(|alias| alias == DEFAULT));
    if current.is_none_or(|current| current.starter && current.name != name) {
        let alias = Alias { name: DEFAULT.into(), target: name.into() };
        let _: serde_json::Value = client.post("aliases", &alias).await?;
        output.note(&format!("The alias `{DEFAULT}` now refers to {name}."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_starter_download_is_announced() {
        let model = StarterModel {
            name: "qwen2.5-coder-1.5b-instruct".into(),
            kind: ModelKind::Chat,
            source: "pip:x{1..22}==1".into(),
            size_bytes: 1_117_320_768,
            tokens_per_second: Some(17.4),
            installed: false,
            reason: "the best for this machine: 4.0 GiB of memory, 2 cores".into(),
        };
        assert_eq!(
            announcement(&model),
            "Fetching qwen2.5-coder-1.5b-instruct (1.0 GiB, about 17 tokens/s): the best for this machine: 4.0 GiB of memory, \
             2 cores. If you stop this command, run it again to resume."
        );
    }
}
