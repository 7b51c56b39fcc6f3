//! `lar connect CLIENT --print`: the steps of a person who connects a client by hand.
//!
//! Whoever follows them to the letter gets a working client: the key is in the file that a recipe reads, and only its
//! owner reads that file. Nothing is made or changed here.

use std::path::Path;

use lar_api::clients::{FileRecipe, Form, Part, Recipe, fill_template};
use lar_base::shell;
use serde_json::Value;

use super::{ClientState, place};
use crate::CommandContext;
use crate::output::Output;

/// What stands in the place of the key.
pub(super) const KEY: &str = "lar_YOUR_KEY";

/// Prints the steps. `values` are what is known in the place of names in braces, with [`KEY`] as the key.
pub(super) fn run(
    output: &Output,
    recipe: &Recipe,
    chosen: &[&FileRecipe],
    context: &CommandContext,
    values: &[(&str, &str)],
) -> anyhow::Result<()> {
    let client_state = ClientState::of(&context.data_dir, recipe.name)?;
    let mut files = Vec::new();
    for file in chosen.iter().filter(|file| file.by_hand != Some("")) {
        files.push((*file, place(file, context)?.0, text_of(file, values)?));
    }
    let example = recipe.example.map(|example| fill_template(example, values));
    let contain =
        |what: &str| files.iter().map(|(_, _, text)| text).chain(&example).any(|text| text.contains(what));
    let reads_file = contain(&client_state.key.display().to_string());

    let mut steps = vec![key_step(recipe, &client_state.key, reads_file, &context.invocation)];
    if contain(KEY) {
        let key = if reads_file { "the key in that file" } else { "that key" };
        steps.push(format!("Below, put {key} wherever `{KEY}` stands."));
    }
    if chosen.iter().any(|file| file.by_hand == Some("")) {
        steps.push(program_step(
            recipe,
            &context.data_dir.join("clients").join(recipe.name),
            &context.invocation,
        ));
    }
    for (file, path, text) in &files {
        steps.push(format!("{}\n\n{}", file_step(file, path, text), indented(text)));
    }
    if chosen.iter().any(|file| file.part == Part::Hooks) {
        steps.push(format!(
            "The hooks work only for a client that Lar connected itself: `{} connect {} --hooks` does all of this.",
            context.invocation, recipe.name
        ));
    }
    let then = fill_template(recipe.then, values);
    steps.push(match example {
        Some(example) => format!("{then}\n\n{}", indented(&example)),
        None => then,
    });
    let steps = steps.iter().enumerate().map(|(index, step)| format!("{}. {step}", index + 1));
    output.line(&steps.collect::<Vec<_>>().join("\n\n"))
}

/// How the key is made. A shell's redirection makes a file that everybody may read, unless its umask says otherwise.
fn key_step(recipe: &Recipe, key_file: &Path, reads_file: bool, invocation: &str) -> String {
    let create = format!("{invocation} keys create {} --scopes {}", recipe.name, recipe.scopes.join(","));
    let folder = key_file.parent().unwrap_or(key_file);
    let has_key = key_file.metadata().is_ok_and(|about| about.len() > 0);
    match (reads_file, has_key) {
        (false, _) => format!("Make a key:\n\n  {create}"),
        (true, true) => format!("Its key is in {} already.", key_file.display()),
        (true, false) => format!(
            "Make a key, in a file that only you can read:\n\n  (umask 077 && mkdir -p {} && {create} > {})",
            shell::quote(folder),
            shell::quote(key_file)
        ),
    }
}

/// Where the files of a client's plugin come from.
fn program_step(recipe: &Recipe, folder: &Path, invocation: &str) -> String {
    let (name, folder) = (recipe.name, shell::quote(folder));
    format!(
        "Its plugin is a program: `{invocation} connect {name}` writes it, and does everything else here. By hand, from the \
         source of Lar:\n\n  mkdir -p {folder} && cp -r integrations/{name}/. {folder}"
    )
}

fn file_step(file: &FileRecipe, path: &Path, text: &str) -> String {
    let folder = path.parent().filter(|folder| !folder.is_dir());
    let folder = folder.map(|folder| format!("Make the folder: `mkdir -p {}`. ", shell::quote(folder)));
    let (folder, path) = (folder.unwrap_or_default(), path.display());
    match (file.form, text.contains(KEY)) {
        (Form::Whole, true) => {
            format!("{folder}Write this to {path}, and let nobody else read it (`chmod 600`):")
        }
        (Form::Whole, false) => format!("{folder}Write this to {path}:"),
        (Form::Json | Form::Toml, _) => {
            format!("{folder}In {path}, set this and leave everything else as it is:")
        }
    }
}

fn text_of(file: &FileRecipe, values: &[(&str, &str)]) -> anyhow::Result<String> {
    let text = fill_template(file.by_hand.unwrap_or(file.text), values);
    Ok(match file.form {
        Form::Json => serde_json::to_string_pretty(&serde_json::from_str::<Value>(&text)?)?,
        Form::Toml | Form::Whole => text.trim().to_owned(),
    })
}

/// Text to copy, set off from what is said about it.
pub(super) fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use lar_api::clients::RECIPES;

    use super::*;

    #[test]
    fn folders_with_spaces_and_apostrophes_are_one_word_of_each_step() {
        let recipe = |name: &str| RECIPES.iter().find(|recipe| recipe.name == name).unwrap();
        let (folder, quoted) = (Path::new("/o'brien/my data"), r"'/o'\''brien/my data");
        let curl = recipe("curl");
        assert_eq!(
            key_step(curl, &folder.join("curl.key"), true, "lar").lines().last().unwrap(),
            format!(
                "  (umask 077 && mkdir -p {quoted}' && lar keys create curl --scopes {} > {quoted}/curl.key')",
                curl.scopes.join(",")
            )
        );
        assert_eq!(
            program_step(recipe("openclaw"), folder, "lar").lines().last().unwrap(),
            format!("  mkdir -p {quoted}' && cp -r integrations/openclaw/. {quoted}'")
        );
        let step = file_step(&recipe("codex").files[0], &folder.join("config.toml"), "");
        assert!(step.starts_with(&format!("Make the folder: `mkdir -p {quoted}'`. In /o'brien/")), "{step}");
    }
}
