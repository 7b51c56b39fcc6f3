//! Rendering: a recipe's documents and texts with values in place of placeholders. Pure; the caller writes or shows
//! the result.

use serde_json::Value;

use crate::{Content, Document, FileEdit, Recipe, Step, Variables};

/// A recipe with values in place of placeholders. It contains the client's API key, so it has no `Debug`.
#[derive(Clone)]
pub struct Rendered<'a> {
    /// The files to edit, in the recipe's order.
    pub files: Vec<RenderedFile<'a>>,
    /// The step that is left to the user.
    pub next_step: Step,
}

/// A file to edit, with values in place of placeholders.
#[derive(Clone)]
pub struct RenderedFile<'a> {
    /// The edit of the recipe, which says where the file is.
    pub edit: &'a FileEdit,
    /// The document that `lar connect` writes.
    pub document: Document,
    /// The text that a user writes by hand. `None` for a file of a plugin.
    pub by_hand: Option<String>,
}

impl Recipe {
    /// Renders the recipe.
    ///
    /// In JSON, values replace placeholders inside strings, so a value cannot change the structure of the document. In
    /// other documents, the caller must reject values that break out of quotes ([`Variables::find_unquotable`]).
    #[must_use]
    pub fn render(&self, variables: &Variables) -> Rendered<'_> {
        let files = self.files.iter().map(|edit| render_file(edit, variables)).collect();
        let example = self.next_step.example.as_deref();
        let next_step = Step {
            text: variables.fill(&self.next_step.text),
            example: example.map(|example| variables.fill(example.trim_end())),
        };
        Rendered { files, next_step }
    }
}

fn render_file<'a>(edit: &'a FileEdit, variables: &Variables) -> RenderedFile<'a> {
    match &edit.content {
        Content::Template { document, by_hand } => {
            let by_hand = by_hand.as_ref().unwrap_or(document).render(variables).to_text();
            RenderedFile { edit, document: document.render(variables), by_hand: Some(by_hand) }
        }
        Content::Copy(text) => {
            RenderedFile { edit, document: Document::Whole((*text).to_owned()), by_hand: None }
        }
    }
}

impl Document {
    fn render(&self, variables: &Variables) -> Self {
        match self {
            Self::Json(value) => Self::Json(render_strings(value, variables)),
            Self::Toml(text) => Self::Toml(variables.fill(text)),
            Self::Whole(text) => Self::Whole(variables.fill(text)),
        }
    }

    /// Formats the document as text to copy.
    fn to_text(&self) -> String {
        match self {
            Self::Json(value) => format!("{value:#}"),
            Self::Toml(text) | Self::Whole(text) => text.trim().to_owned(),
        }
    }
}

fn render_strings(value: &Value, variables: &Variables) -> Value {
    match value {
        Value::String(text) => Value::String(variables.fill(text)),
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| render_strings(item, variables)).collect())
        }
        Value::Object(fields) => {
            let fields = fields.iter();
            Value::Object(
                fields.map(|(name, value)| (name.clone(), render_strings(value, variables))).collect(),
            )
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use lar_base::Scope;
    use serde_json::json;

    use super::*;
    use crate::variables::tests::variables;
    use crate::{find, recipes};

    #[test]
    fn values_do_not_change_the_structure_of_json() {
        let template = Document::Json(json!({ "a": ["{url}", 1, null, true], "b": { "{url}": "x{key}" } }));
        let values = Variables { url: "\", \"c\": \"".into(), ..variables() };
        let rendered = json!({ "a": ["\", \"c\": \"", 1, null, true], "b": { "{url}": "xlar_SECRET" } });
        assert_eq!(template.render(&values), Document::Json(rendered));
    }

    #[test]
    fn settings_with_an_unknown_context_length_are_omitted() {
        let codex = find("codex").unwrap();
        let rendered = codex.render(&Variables { context_tokens: None, ..variables() });
        let Document::Whole(profile) = &rendered.files[1].document else {
            panic!("the profile is a whole file")
        };
        let by_hand = rendered.files[1].by_hand.as_deref().unwrap();
        assert!(!profile.contains("model_context_window") && !by_hand.contains("model_context_window"));
        assert!(profile.contains("model = \"default\"\nmodel_provider = \"lar\"\n"), "{profile}");
    }

    #[test]
    fn a_file_of_a_plugin_is_copied_unchanged() {
        let rendered = find("openclaw").unwrap().render(&variables());
        let copied = &rendered.files[2];
        let source = include_str!("../../../integrations/openclaw/src/index.ts");
        assert_eq!((&copied.document, &copied.by_hand), (&Document::Whole(source.into()), &None));
    }

    #[test]
    fn rendered_recipes() {
        let mut shown = String::new();
        for recipe in recipes() {
            show(recipe, &mut shown).unwrap();
        }
        insta::assert_snapshot!("recipes", shown);
    }

    /// Writes all that a recipe gives to the command line and to the page.
    fn show(recipe: &Recipe, shown: &mut String) -> std::fmt::Result {
        writeln!(shown, "===== {}: {}\n{}", recipe.name, recipe.title, recipe.about)?;
        let scopes: Vec<&str> = recipe.scopes.iter().copied().map(Scope::as_str).collect();
        let chat = recipe.chat_api.map_or("none", |api| api.path());
        writeln!(
            shown,
            "scopes: {}; chat: {chat}; memory tools: {}",
            scopes.join(","),
            recipe.has_memory_tools
        )?;
        let rendered = recipe.render(&variables());
        for file in &rendered.files {
            let (edit, format) = (file.edit, file.document.format());
            writeln!(
                shown,
                "\n----- {} ({:?}, {:?}, {format:?})",
                edit.usual_path(),
                edit.when,
                edit.folder
            )?;
            writeln!(shown, "settings: {:?}", edit.settings)?;
            let Some(by_hand) = &file.by_hand else { continue };
            match &file.document {
                Document::Json(value) => writeln!(shown, "{value:#}")?,
                Document::Toml(text) | Document::Whole(text) => writeln!(shown, "{text}")?,
            }
            writeln!(shown, "----- by hand\n{by_hand}")?;
        }
        writeln!(shown, "\n----- next step\n{}", rendered.next_step.text)?;
        match rendered.next_step.example {
            Some(example) => writeln!(shown, "----- example\n{example}\n"),
            None => writeln!(shown),
        }
    }
}
