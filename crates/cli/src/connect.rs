//! `lar connect`: connects a client to this Lar, tests the connection, and disconnects the client again.
//!
//! Each client gets an API key of its own. The key is in a file, `clients/NAME.key` in the data directory, since many
//! clients refuse secrets in their settings or keep their settings where others can read them. Each change is written
//! to the journal `clients/NAME.json` before it is made, so that `--undo` also works after a crash.
//!
//! The recipes, which say what to write where, are in `crates/clients`.

mod check;
mod client_state;
mod files;
mod location;
mod print;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use lar_api::Page;
use lar_api::keys::{Key, NewKey};
use lar_api::models::Model;
use lar_base::files::{KEY_BYTES_MAX, read_small_text};
use lar_base::{Scope, Secret};
use lar_clients::{Recipe, Rendered, RenderedFile, Step, Variables, When, recipes};
use serde::Serialize;
use serde_json::Value;

use self::client_state::{ClientState, Journal};
use self::files::{FileChange, RevertOutcome};
use self::location::locate;
use crate::output::{Output, table};
use crate::url_path::encode_segment;
use crate::{ApiError, Client, CommandContext};

/// The client to connect, and the options.
#[derive(Debug, Clone, clap::Args)]
pub struct ConnectArgs {
    /// Client to connect: claude-code, codex, openclaw, cursor, continue, open-webui, home-assistant, python or
    /// curl; without it, the clients are listed
    client: Option<String>,
    /// Show what would be written, and change nothing
    #[arg(long)]
    print: bool,
    /// Disconnect: restore the client's files and revoke its key
    #[arg(long, conflicts_with = "print")]
    undo: bool,
    /// Use Lar's models in the client, too (claude-code, openclaw)
    #[arg(long)]
    models: bool,
    /// Start sessions with memories, and save what prompts ask to remember (claude-code)
    #[arg(long)]
    hooks: bool,
    /// Memory mode of chats that do not set one: off, recall or remember
    #[arg(long)]
    memory: Option<String>,
    /// Keep the client's memories apart from yours, in a space of their own
    #[arg(long)]
    isolated: bool,
    /// Skip the test of the connection
    #[arg(long)]
    no_check: bool,
}

impl ConnectArgs {
    /// Whether the command writes or shows Lar's address, so that the address has to remain valid.
    pub(crate) fn writes_the_address(&self) -> bool {
        self.client.is_some() && !self.undo
    }

    /// Whether these options include an edit.
    fn include(&self, when: When) -> bool {
        match when {
            When::Always => true,
            When::Models => self.models,
            When::Hooks => self.hooks,
        }
    }
}

/// A connected client, for commands that make requests with its key.
#[derive(Debug, Clone)]
pub struct ConnectedClient {
    /// The address of Lar when the client was connected.
    pub url: String,
    /// Whether that was the data directory's own server.
    pub local: bool,
    /// The client's API key.
    pub key: Secret,
}

/// Finds a connected client.
///
/// # Errors
/// If no client of this name is connected, or its journal or key cannot be read.
pub fn find_client(data_dir: &Path, client: &str) -> anyhow::Result<ConnectedClient> {
    let client_state = ClientState::of(data_dir, client)?;
    let journal = client_state.journal()?.with_context(|| {
        format!("the client `{client}` is not connected; connect it: lar connect {client}")
    })?;
    let key = read_small_text(&client_state.key, KEY_BYTES_MAX)
        .with_context(|| format!("{} cannot be read", client_state.key.display()))?;
    Ok(ConnectedClient { url: journal.url, local: journal.local, key: Secret::new(key.trim()) })
}

/// The result of `lar connect`, for programs.
#[derive(Debug, Serialize)]
struct ConnectReport {
    client: &'static str,
    key_id: String,
    files: Vec<PathBuf>,
    checks: Vec<check::Check>,
}

pub(crate) async fn run(
    client: &Client,
    output: &Output,
    context: &CommandContext,
    args: ConnectArgs,
) -> anyhow::Result<()> {
    let Some(name) = &args.client else { return list(client, output, context).await };
    let recipe = lar_clients::find(name).with_context(|| {
        let known: Vec<&str> = recipes().iter().map(|recipe| recipe.name.as_str()).collect();
        format!("`{name:.64}` is not a known client; the known clients are: {}", known.join(", "))
    })?;
    let client_state = ClientState::of(&context.data_dir, &recipe.name)?;
    if args.undo {
        return disconnect(client, output, recipe, &client_state).await;
    }
    for (is_set, flag, when) in
        [(args.models, "--models", When::Models), (args.hooks, "--hooks", When::Hooks)]
    {
        if is_set && recipe.files.iter().all(|edit| edit.when != when) {
            bail!("`{flag}` is not available for {}", recipe.title);
        }
    }
    let context_tokens = context_tokens(client).await;
    let render = |key: &str| -> anyhow::Result<Rendered<'static>> {
        let variables = Variables {
            url: client.url().to_owned(),
            key: Secret::new(key),
            lar_program: context.program.display().to_string(),
            data_dir: context.data_dir.display().to_string(),
            key_file: client_state.key.display().to_string(),
            env_file: client_state.folder.join(format!("{}.env", recipe.name)).display().to_string(),
            context_tokens,
        };
        if let Some((name, value)) = variables.find_unquotable() {
            bail!(
                "{name} is {value:?}; clients' settings cannot contain a value with quotes, backslashes or \
                 control characters"
            );
        }
        let mut rendered = recipe.render(&variables);
        rendered.files.retain(|file| args.include(file.edit.when));
        Ok(rendered)
    };
    if args.print {
        return print::run(output, recipe, &render(print::KEY)?, context);
    }
    // Errors in the client's files are found before a key is created or a file is changed.
    prepare(&render("lar_")?.files, context)?;
    if let Some(before) = client_state.journal()? {
        output.remark(&format!("{} is already connected; connecting it again.", recipe.title));
        undo_files(&before.files)?;
        revoke(client, &before.key_id).await?;
    }
    let new = NewKey {
        name: recipe.title.clone(),
        scopes: Some(recipe.scopes.iter().map(Scope::to_string).collect()),
        agent: args.isolated.then(|| recipe.name.clone()),
        requests_per_minute: None,
        memory: args.memory.clone(),
        client: Some(recipe.name.clone()),
        expires_in_s: None,
    };
    let key: Key = client.post("keys", &new).await?;
    let secret = key.secret.as_deref().context("the server did not return the new key's secret")?;
    let rendered = render(secret)?;
    let changes = prepare(&rendered.files, context)?;
    files::replace(&client_state.key, format!("{secret}\n").as_bytes(), 0o600)
        .with_context(|| format!("{} cannot be written", client_state.key.display()))?;
    let journal = Journal {
        key_id: key.id.clone(),
        url: client.url().to_owned(),
        local: context.local,
        files: changes,
    };
    files::replace(&client_state.journal, &serde_json::to_vec_pretty(&journal)?, 0o600)
        .with_context(|| format!("{} cannot be written", client_state.journal.display()))?;
    for change in &journal.files {
        files::write(change)?;
        output.remark(&format!("Wrote {}.", change.path.display()));
    }
    let checks = if args.no_check {
        Vec::new()
    } else {
        check::run(&client.with_key(Secret::new(secret)), recipe, context).await
    };
    let has_failed = checks.iter().any(|check| !check.passed);
    let paths = journal.files.iter().map(|change| change.path.clone()).collect();
    let report = ConnectReport { client: &recipe.name, key_id: key.id, files: paths, checks };
    output.show(&report, || render_report(recipe, &report, &journal, &rendered.next_step))?;
    if has_failed {
        bail!(
            "{} is connected, but not every test passed; to undo this: lar connect {} --undo",
            recipe.title,
            recipe.name
        );
    }
    Ok(())
}

/// Returns the context length of the default model; `None` if there is no such model.
async fn context_tokens(client: &Client) -> Option<usize> {
    let model = client.get::<Model>("catalog/models/default").await.ok()?;
    (model.context_tokens > 0).then_some(model.context_tokens as usize)
}

/// Prepares the changes, one for each file.
fn prepare(files: &[RenderedFile<'_>], context: &CommandContext) -> anyhow::Result<Vec<FileChange>> {
    let mut changes: BTreeMap<PathBuf, FileChange> = BTreeMap::new();
    for file in files {
        let (path, root) = locate(file.edit, context)?;
        match changes.get_mut(&path) {
            Some(change) => files::extend(change, file)?,
            None => _ = changes.insert(path.clone(), files::prepare(file, &path, &root)?),
        }
    }
    Ok(changes.into_values().collect())
}

/// Formats the report for a person.
fn render_report(recipe: &Recipe, report: &ConnectReport, journal: &Journal, next_step: &Step) -> String {
    let mut lines = vec![format!("{} is connected, with the key {}.", recipe.title, report.key_id)];
    for change in &journal.files {
        let backup_note = change.backup.as_ref().map(|backup| {
            let name = backup.file_name().unwrap_or_default().to_string_lossy();
            format!(" (before: {name})")
        });
        lines.push(format!("  wrote  {}{}", change.path.display(), backup_note.unwrap_or_default()));
    }
    for check in &report.checks {
        let mark = if check.passed { "tested" } else { "FAILED" };
        lines.push(format!("  {mark}  {}: {}", check.what, check.detail));
    }
    lines.push(String::new());
    lines.push(next_step.text.clone());
    lines.extend(next_step.example.as_ref().map(|example| format!("\n{}", print::indented(example))));
    lines.push(format!("\nTo undo this: lar connect {} --undo", recipe.name));
    lines.join("\n")
}

fn undo_files(changes: &[FileChange]) -> anyhow::Result<Vec<(PathBuf, RevertOutcome)>> {
    changes.iter().map(|change| Ok((change.path.clone(), files::undo(change)?))).collect()
}

async fn revoke(client: &Client, key: &str) -> anyhow::Result<()> {
    match client.delete::<Value>(&format!("keys/{}", encode_segment(key))).await {
        Ok(_) => Ok(()),
        Err(error) if error.downcast_ref::<ApiError>().is_some_and(|refused| refused.0.status == 404) => {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

async fn disconnect(
    client: &Client,
    output: &Output,
    recipe: &Recipe,
    client_state: &ClientState,
) -> anyhow::Result<()> {
    let journal = client_state.journal()?.with_context(|| format!("{} is not connected", recipe.title))?;
    let outcomes = undo_files(&journal.files)?;
    revoke(client, &journal.key_id).await?;
    for file in [&client_state.key, &client_state.journal] {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("{} cannot be removed", file.display()));
            }
            _ => {}
        }
    }
    output.show(&journal.key_id, || {
        let mut lines = vec![format!("Disconnected {} and revoked its key.", recipe.title)];
        for (path, outcome) in &outcomes {
            let outcome = match outcome {
                RevertOutcome::Restored => "restored".to_owned(),
                RevertOutcome::Removed => "changed since; removed Lar's entries".to_owned(),
                RevertOutcome::Deleted => "removed".to_owned(),
                RevertOutcome::Left(settings) => {
                    format!("changed since; kept {}", settings.join(", "))
                }
            };
            lines.push(format!("  {}  {outcome}", path.display()));
        }
        lines.join("\n")
    })
}

/// Lists the clients that can be connected, and says which are connected.
async fn list(client: &Client, output: &Output, context: &CommandContext) -> anyhow::Result<()> {
    let keys: Page<Key> = client.get("keys").await?;
    let mut rows = Vec::new();
    for recipe in recipes() {
        let journal = ClientState::of(&context.data_dir, &recipe.name)?.journal().ok().flatten();
        let key = journal.and_then(|journal| keys.data.iter().find(|key| key.id == journal.key_id));
        let state = match key {
            None => "",
            Some(key) if key.revoked_at.is_some() => "its key is revoked",
            Some(_) => "connected",
        };
        let seen = key.and_then(|key| key.last_seen_at.as_deref());
        let seen = seen.map(|at| at.replace('T', " ").chars().take(16).collect()).unwrap_or_default();
        rows.push(vec![recipe.name.clone(), state.into(), seen, recipe.about.clone()]);
    }
    output.show(&rows, || table(&["client", "state", "last seen", "gets"], rows.clone()))
}
