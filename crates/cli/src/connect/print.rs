//! `lar connect CLIENT --print`: the steps for a person who connects a client by hand.
//!
//! A person who follows the steps exactly gets a working client: the key is in the file that the recipe reads, and only
//! the file's owner can read it. This module creates and changes nothing.

use std::path::Path;

use lar_base::shell;
use lar_clients::{Format, Recipe, Rendered, When};

use super::client_state::ClientState;
use super::location::locate;
use crate::CommandContext;
use crate::output::Output;

/// The text that the user replaces by the key.
pub(super) const KEY: &str = "lar_YOUR_KEY";

/// Prints the steps. `rendered` is the recipe with [`KEY`] as the key and with the chosen files only.
pub(super) fn run(
    output: &Output,
    recipe: &Recipe,
    rendered: &Rendered<'_>,
    context: &CommandContext,
) -> anyhow::Result<()> {
    let client_state = ClientState::of(&context.data_dir, &recipe.name)?;
    let mut files = Vec::new();
    for file in &rendered.files {
        if let Some(text) = &file.by_hand {
            files.push((file.document.format(), locate(file.edit, context)?.0, text));
        }
    }
    let example = rendered.next_step.example.as_ref();
    let contain =
        |what: &str| files.iter().map(|(_, _, text)| *text).chain(example).any(|text| text.contains(what));
    let reads_file = contain(&client_state.key.display().to_string());

    let mut steps = vec![key_step(recipe, &client_state.key, reads_file, &context.invocation)];
    if contain(KEY) {
        let key = if reads_file { "the key in that file" } else { "that key" };
        steps.push(format!("In the following steps, replace `{KEY}` with {key}."));
    }
    if rendered.files.iter().any(|file| file.by_hand.is_none()) {
        let folder = context.data_dir.join("clients").join(&recipe.name);
        steps.push(plugin_step(recipe, &folder, &context.invocation));
    }
    for (format, path, text) in &files {
        steps.push(format!("{}\n\n{}", file_step(*format, path, text), indented(text)));
    }
    if rendered.files.iter().any(|file| file.edit.when == When::Hooks) {
        steps.push(format!(
            "The hooks work only for a client that Lar connected itself: `{} connect {} --hooks` does all of this.",
            context.invocation, recipe.name
        ));
    }
    let text = &rendered.next_step.text;
    steps.push(match example {
        Some(example) => format!("{text}\n\n{}", indented(example)),
        None => text.clone(),
    });
    let steps = steps.iter().enumerate().map(|(index, step)| format!("{}. {step}", index + 1));
    output.line(&steps.collect::<Vec<_>>().join("\n\n"))
}

/// Formats the step that creates the key. Without `umask`, everyone can read a file that a shell creates.
fn key_step(recipe: &Recipe, key_file: &Path, reads_file: bool, invocation: &str) -> String {
    let scopes: Vec<&str> = recipe.scopes.iter().map(|scope| scope.as_str()).collect();
    let create = format!("{invocation} keys create {} --scopes {}", recipe.name, scopes.join(","));
    let folder = key_file.parent().unwrap_or(key_file);
    let has_key = key_file.metadata().is_ok_and(|about| about.len() > 0);
    match (reads_file, has_key) {
        (false, _) => format!("Create a key:\n\n  {create}"),
        (true, true) => format!("The key is already in {}.", key_file.display()),
        (true, false) => format!(
            "Create a key in a file that only you can read:\n\n  (umask 077 && mkdir -p {} && {create} > {})",
            shell::quote(folder),
            shell::quote(key_file)
        ),
    }
}

/// Formats the step that copies the files of a client's plugin.
fn plugin_step(recipe: &Recipe, folder: &Path, invocation: &str) -> String {
    let (name, folder) = (&recipe.name, shell::quote(folder));
    format!(
        "Copy the plugin from Lar's source (`{invocation} connect {name}` does this and all other steps):\n\n  mkdir -p {folder} && cp -r integrations/{name}/. {folder}"
    )
}

fn file_step(format: Format, path: &Path, text: &str) -> String {
    let folder = path.parent().filter(|folder| !folder.is_dir());
    let folder = folder.map(|folder| format!("Create the folder: `mkdir -p {}`. ", shell::quote(folder)));
    let (folder, path) = (folder.unwrap_or_default(), path.display());
    match (format, text.contains(KEY)) {
        (Format::Whole, true) => {
            format!("{folder}Write this to {path}, and make the file readable only by you (`chmod 600`):")
        }
        (Format::Whole, false) => format!("{folder}Write this to {path}:"),
        (Format::Json | Format::Toml, _) => {
            format!("{folder}Set this in {path} and leave everything else as it is:")
        }
    }
}

/// Indents a text to copy, to set it off from the instructions.
pub(super) fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_with_spaces_and_apostrophes_are_one_word_of_each_step() {
        let recipe = |name: &str| lar_clients::find(name).unwrap();
        let (folder, quoted) = (Path::new("/o'brien/my data"), r"'/o'\''brien/my data");
        assert_eq!(
            key_step(recipe("curl"), &folder.join("curl.key"), true, "lar").lines().last().unwrap(),
            format!(
                "  (umask 077 && mkdir -p {quoted}' && lar keys create curl --scopes \
                 inference,memory:read,memory:write > {quoted}/curl.key')"
            )
        );
        assert_eq!(
            plugin_step(recipe("openclaw"), folder, "lar").lines().last().unwrap(),
            format!("  mkdir -p {quoted}' && cp -r integrations/openclaw/. {quoted}'")
        );
        let step = file_step(Format::Toml, &folder.join("config.toml"), "");
        assert!(
            step.starts_with(&format!("Create the folder: `mkdir -p {quoted}'`. Set this in /o'brien/")),
            "{step}"
        );
    }
}
