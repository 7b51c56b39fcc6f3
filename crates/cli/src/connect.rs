//! `lar connect`: tells a client of this Lar, tries whether it works, and takes it back again.
//!
//! A key of the client's own is made and kept in a file, `clients/NAME.key` in the data directory, since many clients refuse
//! secrets in their settings or put them where others read them. What was changed is noted in `clients/NAME.json` before
//! it is changed, so that `--undo` knows, whatever happened meanwhile.

mod check;
mod files;
mod print;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use lar_api::Page;
use lar_api::clients::{FileRecipe, Part, RECIPES, Recipe, Root, fill_template};
use lar_api::keys::{Key, NewKey};
use lar_api::models::Model;
use lar_base::Secret;
use lar_base::files::{KEY_BYTES_MAX, TEXT_BYTES_MAX, read_small, read_small_text};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::files::{FileEdit, RevertOutcome};
use crate::models::path;
use crate::output::{Output, table};
use crate::{ApiError, Client, CommandContext};

/// Which client, and how.
#[derive(Debug, Clone, clap::Args)]
pub struct ConnectArgs {
    /// claude-code, codex, openclaw, cursor, continue, open-webui, home-assistant, python or curl; those there are where absent
    client: Option<String>,
    /// Only show what would be written
    #[arg(long)]
    print: bool,
    /// Take it back: its files as they were, and its key revoked
    #[arg(long, conflicts_with = "print")]
    undo: bool,
    /// Its models are to be Lar's, too, where that is a choice (claude-code, openclaw)
    #[arg(long)]
    models: bool,
    /// Its sessions are to begin with what is remembered, and what you ask there to be remembered is (claude-code)
    #[arg(long)]
    hooks: bool,
    /// What memory does for its chats that do not say it: off, recall or remember
    #[arg(long)]
    memory: Option<String>,
    /// Keeps its memories apart from yours, in a space of their own
    #[arg(long)]
    isolated: bool,
    /// Leaves out the try at the end
    #[arg(long)]
    no_check: bool,
}

impl ConnectArgs {
    /// Whether Lar's address is written somewhere or shown, so that it has to be one that stays.
    pub(crate) fn writes_the_address(&self) -> bool {
        self.client.is_some() && !self.undo
    }
}

/// What is kept of a client that was connected.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Journal {
    key_id: String,
    url: String,
    /// Whether the Lar is this data directory's own, which may have moved to another port.
    local: bool,
    files: Vec<FileEdit>,
}

/// A client that was connected, for those who speak in its name.
#[derive(Debug, Clone)]
pub struct ConnectedClient {
    /// Where Lar was.
    pub url: String,
    /// Whether that is the data directory's own Lar.
    pub local: bool,
    /// The client's key.
    pub key: Secret,
}

/// Finds a client that was connected.
///
/// # Errors
/// When there is none of this name, or what is kept of it cannot be read.
pub fn find_client(data_dir: &Path, client: &str) -> anyhow::Result<ConnectedClient> {
    let client_state = ClientState::of(data_dir, client)?;
    let journal = client_state.journal()?.with_context(|| {
        format!("the client `{client}` is not connected; connect it: lar connect {client}")
    })?;
    let key = read_small_text(&client_state.key, KEY_BYTES_MAX)
        .with_context(|| format!("{} cannot be read", client_state.key.display()))?;
    Ok(ConnectedClient { url: journal.url, local: journal.local, key: Secret::new(key.trim()) })
}

/// Where what is kept of a client lies.
struct ClientState {
    folder: PathBuf,
    key: PathBuf,
    journal: PathBuf,
}

impl ClientState {
    fn of(data_dir: &Path, client: &str) -> anyhow::Result<Self> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if client.is_empty() || client.len() > 64 || !client.bytes().all(plain) {
            bail!("`{client:.64}` is no client's name");
        }
        let folder = data_dir.join("clients");
        let [key, journal] = ["key", "json"].map(|kind| folder.join(format!("{client}.{kind}")));
        Ok(Self { folder, key, journal })
    }

    fn journal(&self) -> anyhow::Result<Option<Journal>> {
        match read_small(&self.journal, TEXT_BYTES_MAX) {
            Ok(text) => {
                let read = serde_json::from_slice(&text);
                read.map(Some).with_context(|| format!("{} cannot be read", self.journal.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", self.journal.display())),
        }
    }
}

/// What was done, for programs.
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
    let recipe = RECIPES.iter().find(|recipe| recipe.name == name);
    let recipe = recipe.with_context(|| {
        let known: Vec<&str> = RECIPES.iter().map(|recipe| recipe.name).collect();
        format!("there is no recipe for `{name:.64}`; there are: {}", known.join(", "))
    })?;
    let client_state = ClientState::of(&context.data_dir, recipe.name)?;
    if args.undo {
        return disconnect(client, output, recipe, &client_state).await;
    }
    let is_chosen = |file: &&FileRecipe| match file.part {
        Part::Always => true,
        Part::Models => args.models,
        Part::Hooks => args.hooks,
    };
    let chosen: Vec<&FileRecipe> = recipe.files.iter().filter(is_chosen).collect();
    for (asked, flag, part) in [(args.models, "--models", Part::Models), (args.hooks, "--hooks", Part::Hooks)]
    {
        if asked && recipe.files.iter().all(|file| file.part != part) {
            bail!("`{flag}` is not for {}", recipe.title);
        }
    }
    let env_file = client_state.folder.join(format!("{}.env", recipe.name));
    let context_tokens = context_tokens(client).await;
    let known = |key: &str| -> anyhow::Result<Vec<(&'static str, String)>> {
        let [lar, data_dir, key_file, env_file] =
            [&context.program, &context.data_dir, &client_state.key, &env_file]
                .map(|path| path.display().to_string());
        let values = vec![
            ("url", client.url().to_owned()),
            ("key", key.to_owned()),
            ("lar", lar),
            ("data_dir", data_dir),
            ("key_file", key_file),
            ("env_file", env_file),
            ("context_tokens", context_tokens.clone()),
        ];
        for (name, value) in &values {
            if value.contains(['"', '\'', '\\']) || value.chars().any(char::is_control) {
                bail!("{name} is {value:?}; clients' settings cannot take quotes and backslashes in it");
            }
        }
        Ok(values)
    };
    if args.print {
        let values = known(print::KEY)?;
        return print::run(output, recipe, &chosen, context, &borrowed(&values));
    }
    // All that can be wrong with the files is found before anything is made.
    prepare(&chosen, context, &known("lar_")?)?;
    let before = client_state.journal()?;
    if let Some(before) = &before {
        output.remark(&format!("{} is connected already; it is done anew.", recipe.title));
        undo_files(&before.files)?;
        revoke(client, &before.key_id).await?;
    }
    let new = NewKey {
        name: recipe.title.into(),
        scopes: Some(recipe.scopes.iter().map(ToString::to_string).collect()),
        agent: args.isolated.then(|| recipe.name.into()),
        requests_per_minute: None,
        memory: args.memory.clone(),
        client: Some(recipe.name.into()),
        expires_in_s: None,
    };
    let key: Key = client.post("keys", &new).await?;
    let secret = key.secret.as_deref().context("the server made a key without telling it")?;
    let edit = prepare(&chosen, context, &known(secret)?)?;
    files::replace(&client_state.key, format!("{secret}\n").as_bytes(), 0o600)
        .with_context(|| format!("{} cannot be written", client_state.key.display()))?;
    let journal =
        Journal { key_id: key.id.clone(), url: client.url().to_owned(), local: context.local, files: edit };
    files::replace(&client_state.journal, &serde_json::to_vec_pretty(&journal)?, 0o600)
        .with_context(|| format!("{} cannot be written", client_state.journal.display()))?;
    for edit in &journal.files {
        files::write(edit)?;
        output.remark(&format!("Wrote {}.", edit.path.display()));
    }
    let checks = if args.no_check {
        Vec::new()
    } else {
        check::run(&client.with_key(Secret::new(secret)), recipe, context).await
    };
    let failed = checks.iter().any(|check| !check.passed);
    let paths = journal.files.iter().map(|edit| edit.path.clone()).collect();
    let done = ConnectReport { client: recipe.name, key_id: key.id, files: paths, checks };
    let values = known(secret)?;
    output.show(&done, || render_report(recipe, &done, &journal, &borrowed(&values)))?;
    if failed {
        bail!(
            "{} is connected, but what was tried did not all work; to take it back: lar connect {} --undo",
            recipe.title,
            recipe.name
        );
    }
    Ok(())
}

/// What the default model reads and writes at once, in tokens; empty where there is no such model.
async fn context_tokens(client: &Client) -> String {
    let model = client.get::<Model>("catalog/models/default").await;
    let tokens = model.map_or(0, |model| model.context_tokens);
    if tokens == 0 { String::new() } else { tokens.to_string() }
}

fn borrowed<'a>(values: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    values.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// What will be written, a file once.
fn prepare(
    chosen: &[&FileRecipe],
    context: &CommandContext,
    values: &[(&'static str, String)],
) -> anyhow::Result<Vec<FileEdit>> {
    let values = borrowed(values);
    let mut all: BTreeMap<PathBuf, FileEdit> = BTreeMap::new();
    for recipe in chosen {
        let (path, below) = place(recipe, context)?;
        match all.get_mut(&path) {
            Some(edit) => files::extend(edit, recipe, &values)?,
            None => _ = all.insert(path.clone(), files::prepare(recipe, &path, &below, &values)?),
        }
    }
    Ok(all.into_values().collect())
}

/// Where a file lies, and the folder that it may not leave.
fn place(recipe: &FileRecipe, context: &CommandContext) -> anyhow::Result<(PathBuf, PathBuf)> {
    let home = || context.home.clone().context("HOME is not set, so there are no settings of clients");
    let folder = match recipe.root {
        Root::Home => home()?,
        Root::Codex => {
            context.codex_home.clone().map_or_else(|| home().map(|home| home.join(".codex")), Ok)?
        }
        Root::Claude => {
            context.claude_home.clone().map_or_else(|| home().map(|home| home.join(".claude")), Ok)?
        }
        Root::ClaudeState => context.claude_home.clone().map_or_else(home, Ok)?,
        Root::Clients => context.data_dir.join("clients"),
    };
    let below = match (recipe.root, &context.home) {
        (Root::Clients, _) => context.data_dir.clone(),
        (_, Some(home)) if folder.starts_with(home) => home.clone(),
        _ => folder.clone(),
    };
    Ok((folder.join(recipe.path), below))
}

/// What was done, for a person.
fn render_report(
    recipe: &Recipe,
    done: &ConnectReport,
    journal: &Journal,
    values: &[(&str, &str)],
) -> String {
    let mut lines = vec![format!("{} is connected, with the key {}.", recipe.title, done.key_id)];
    for edit in &journal.files {
        let backup_note = edit.backup.as_ref().map(|backup| {
            let name = backup.file_name().unwrap_or_default().to_string_lossy();
            format!(" (before: {name})")
        });
        lines.push(format!("  wrote  {}{}", edit.path.display(), backup_note.unwrap_or_default()));
    }
    for check in &done.checks {
        let mark = if check.passed { "tried" } else { "FAILED" };
        lines.push(format!("  {mark}  {}: {}", check.what, check.detail));
    }
    lines.push(String::new());
    lines.push(fill_template(recipe.then, values));
    lines.extend(
        recipe.example.map(|example| format!("\n{}", print::indented(&fill_template(example, values)))),
    );
    lines.push(format!("\nTo take it back: lar connect {} --undo", recipe.name));
    lines.join("\n")
}

fn undo_files(files: &[FileEdit]) -> anyhow::Result<Vec<(PathBuf, RevertOutcome)>> {
    files.iter().map(|edit| Ok((edit.path.clone(), files::undo(edit)?))).collect()
}

async fn revoke(client: &Client, key: &str) -> anyhow::Result<()> {
    match client.delete::<Value>(&format!("keys/{}", path(key))).await {
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
    let undone = undo_files(&journal.files)?;
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
        let mut lines = vec![format!("{} is not connected any more; its key is revoked.", recipe.title)];
        for (path, undone) in &undone {
            let became = match undone {
                RevertOutcome::Restored => "is as it was".to_owned(),
                RevertOutcome::Removed => "changed since; what was set is out of it".to_owned(),
                RevertOutcome::Deleted => "is gone again".to_owned(),
                RevertOutcome::Left(places) => format!("was changed since, and keeps {}", places.join(", ")),
            };
            lines.push(format!("  {}  {became}", path.display()));
        }
        lines.join("\n")
    })
}

/// Every client there is a recipe for, and which are connected.
async fn list(client: &Client, output: &Output, context: &CommandContext) -> anyhow::Result<()> {
    let keys: Page<Key> = client.get("keys").await?;
    let mut rows = Vec::new();
    for recipe in RECIPES {
        let journal = ClientState::of(&context.data_dir, recipe.name)?.journal().ok().flatten();
        let key = journal.and_then(|journal| keys.data.iter().find(|key| key.id == journal.key_id));
        let state = match key {
            None => "",
            Some(key) if key.revoked_at.is_some() => "its key is revoked",
            Some(_) => "connected",
        };
        let seen = key.and_then(|key| key.last_seen_at.as_deref());
        let seen = seen.map(|at| at.replace('T', " ").chars().take(16).collect()).unwrap_or_default();
        rows.push(vec![recipe.name.into(), state.into(), seen, recipe.about.to_owned()]);
    }
    output.show(&rows, || table(&["client", "state", "last seen", "gets"], rows.clone()))
}
