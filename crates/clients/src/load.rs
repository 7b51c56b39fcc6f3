//! Loads the recipes: embeds their files in the program, and parses and checks them once.
//!
//! A recipe that passes these checks can be rendered without an error.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use crate::variables::{CONTEXT_TOKENS, is_placeholder, placeholders};
use crate::{Content, Document, FileEdit, Folder, Format, Recipe, When};

/// Embeds text files, as pairs of a name and a text.
macro_rules! embed {
    ($folder:literal, $extension:literal, [$($name:literal),+ $(,)?]) => {
        &[$(($name, include_str!(concat!($folder, $name, $extension)))),+]
    };
}

/// The recipes, in the order in which `lar connect` and the page list the clients.
const RECIPES: &[(&str, &str)] = embed!(
    "../recipes/",
    ".toml",
    [
        "claude-code",
        "codex",
        "cursor",
        "continue",
        "openclaw",
        "open-webui",
        "home-assistant",
        "python",
        "curl",
    ]
);

/// The files that recipes copy (`copy_of`), by their paths in Lar's repository.
const COPIED_FILES: &[(&str, &str)] = embed!(
    "../../../",
    "",
    [
        "integrations/openclaw/package.json",
        "integrations/openclaw/openclaw.plugin.json",
        "integrations/openclaw/src/index.ts",
        "integrations/openclaw/src/lar.ts",
        "integrations/openclaw/src/prompt.ts",
        "integrations/openclaw/src/tools.ts",
    ]
);

/// Returns every recipe, in the order in which `lar connect` and the page list the clients.
///
/// # Panics
/// If an embedded recipe is not valid. A test of this crate parses every recipe.
#[must_use]
pub fn recipes() -> &'static [Recipe] {
    static PARSED: LazyLock<Vec<Recipe>> = LazyLock::new(|| {
        let parsed: Result<Vec<Recipe>, String> =
            RECIPES.iter().map(|(name, text)| parse(name, text)).collect();
        parsed.expect("every embedded recipe is valid")
    });
    &PARSED
}

/// Finds the recipe for a client by the client's name on the command line.
#[must_use]
pub fn find(name: &str) -> Option<&'static Recipe> {
    recipes().iter().find(|recipe| recipe.name == name)
}

fn parse(name: &str, text: &str) -> Result<Recipe, String> {
    parse_recipe(name, text).map_err(|error| format!("recipes/{name}.toml: {error}"))
}

fn parse_recipe(name: &str, text: &str) -> Result<Recipe, String> {
    let recipe: Recipe = toml::from_str(text).map_err(|error| error.to_string())?;
    if recipe.name != name {
        return Err(format!("`name` is `{}`, unlike the name of the file", recipe.name));
    }
    check_placeholders(&recipe.next_step.text)?;
    recipe.next_step.example.as_deref().map_or(Ok(()), check_placeholders)?;
    Ok(recipe)
}

/// The fields of a [`FileEdit`] as a recipe has them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileFields {
    #[serde(default)]
    when: When,
    folder: Folder,
    path: String,
    format: Format,
    #[serde(default)]
    settings: Vec<String>,
    content: Option<String>,
    by_hand: Option<String>,
    copy_of: Option<String>,
}

impl TryFrom<FileFields> for FileEdit {
    type Error = String;

    fn try_from(fields: FileFields) -> Result<Self, String> {
        let path = fields.path.clone();
        parse_file(fields).map_err(|error| format!("{path}: {error}"))
    }
}

fn parse_file(fields: FileFields) -> Result<FileEdit, String> {
    let FileFields { when, folder, path, format, settings, content, by_hand, copy_of } = fields;
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err("`path` may leave its folder".into());
    }
    if settings.is_empty() != (format == Format::Whole) {
        return Err("`settings` must be empty if the format is `whole`, and only then".into());
    }
    let content = match (content, copy_of) {
        (Some(text), None) => {
            let document = parse_document(format, text)?;
            if let Some(setting) = settings.iter().find(|setting| !has_setting(&document, setting)) {
                return Err(format!("`content` has no setting `{setting}`"));
            }
            let by_hand = by_hand.map(|text| parse_document(format, text)).transpose()?;
            Content::Template { document, by_hand }
        }
        (None, Some(source)) if format == Format::Whole && by_hand.is_none() => {
            let copied = COPIED_FILES.iter().find(|(name, _)| *name == source);
            let (_, text) = copied.ok_or_else(|| format!("`copy_of`: {source} is not embedded"))?;
            Content::Copy(text)
        }
        _ => {
            return Err("set either `content`, or `copy_of` alone with the format `whole`".into());
        }
    };
    Ok(FileEdit { when, folder, path, settings, content })
}

fn parse_document(format: Format, text: String) -> Result<Document, String> {
    check_placeholders(&text)?;
    match format {
        Format::Json if placeholders(&text).any(|name| name == CONTEXT_TOKENS) => Err(format!(
            "JSON cannot contain `{{{CONTEXT_TOKENS}}}`, whose line is omitted if it has no value"
        )),
        Format::Json => serde_json::from_str(&text).map(Document::Json).map_err(|error| error.to_string()),
        Format::Toml => {
            toml::from_str::<toml::Table>(&text).map_err(|error| error.to_string())?;
            Ok(Document::Toml(text))
        }
        Format::Whole => Ok(Document::Whole(text)),
    }
}

/// Whether a document has the value of a setting: for a setting with `[]`, a list of one element.
fn has_setting(document: &Document, setting: &str) -> bool {
    match document {
        Document::Json(value) => match setting.strip_suffix("[]") {
            Some(list) => value_at(value, list).and_then(Value::as_array).is_some_and(|list| list.len() == 1),
            None => value_at(value, setting).is_some(),
        },
        Document::Toml(text) => {
            toml::from_str(text).is_ok_and(|value: Value| value_at(&value, setting).is_some())
        }
        Document::Whole(_) => false,
    }
}

fn value_at<'a>(document: &'a Value, setting: &str) -> Option<&'a Value> {
    setting.split('.').try_fold(document, |value, key| value.get(key))
}

fn check_placeholders(text: &str) -> Result<(), String> {
    match placeholders(text).find(|name| !is_placeholder(name)) {
        Some(name) => Err(format!("there is no placeholder `{{{name}}}`")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use lar_base::Scope;

    use super::*;

    #[test]
    fn every_recipe_file_is_embedded_once() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
        let files = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
        let files: BTreeSet<String> =
            files.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
        let embedded: BTreeSet<String> = RECIPES.iter().map(|(name, _)| format!("{name}.toml")).collect();
        assert_eq!(embedded, files);
        assert_eq!(embedded.len(), RECIPES.len(), "each name is listed once");
    }

    #[test]
    fn every_recipe_is_valid_and_complete() {
        for (name, text) in RECIPES {
            let recipe = parse(name, text).unwrap();
            assert_eq!(find(name), Some(&recipe));
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{name}");
            for line in [&recipe.title, &recipe.about, &recipe.next_step.text] {
                assert!(!line.is_empty() && !line.contains('\n') && line.trim() == line, "{name}: {line}");
            }
            let scopes: BTreeSet<&Scope> = recipe.scopes.iter().collect();
            assert_eq!(scopes.len(), recipe.scopes.len(), "{name}: each scope is listed once");
            assert!(recipe.chat_api.is_none() || scopes.contains(&Scope::Inference), "{name}");
            let memory = [Scope::MemoryRead, Scope::MemoryWrite];
            assert!(!recipe.has_memory_tools || memory.iter().all(|scope| scopes.contains(scope)), "{name}");
            assert!(recipe.chat_api.is_some() || recipe.has_memory_tools, "{name} gets nothing to test");
        }
    }

    #[test]
    fn every_copied_file_is_used() {
        let files = recipes().iter().flat_map(|recipe| &recipe.files);
        let copies: Vec<&str> = files
            .filter_map(|file| match file.content {
                Content::Copy(text) => Some(text),
                Content::Template { .. } => None,
            })
            .collect();
        assert_eq!(copies, COPIED_FILES.iter().map(|(_, text)| *text).collect::<Vec<_>>());
    }

    #[test]
    fn invalid_recipes_are_refused() {
        const VALID: &str = r#"
name = "test"
title = "Test"
about = "A test"
scopes = ["inference"]

[[files]]
folder = "home"
path = "test.json"
format = "json"
settings = ["a.b", "a.list[]"]
content = '{ "a": { "b": "{url}", "list": [1] } }'

[next_step]
text = "Start it: {lar_program}"
"#;
        assert_eq!(parse("test", VALID).map(|recipe| recipe.files.len()), Ok(1));
        let cases = [
            ("name = \"test\"", "name = \"other\"", "unlike the name of the file"),
            ("title =", "titel =", "unknown field `titel`"),
            ("inference", "everything", "unknown variant `everything`"),
            ("folder =", "root =", "unknown field `root`"),
            ("\"home\"", "\"root\"", "unknown variant `root`"),
            ("test.json", "/test.json", "may leave its folder"),
            ("test.json", "a/../../test.json", "may leave its folder"),
            ("\"a.b\", \"a.list[]\"", "", "`settings` must be empty"),
            ("format = \"json\"", "format = \"whole\"", "`settings` must be empty"),
            ("format = \"json\"", "format = \"toml\"", "test.json: TOML parse error"),
            ("\"a.b\"", "\"a.c\"", "has no setting `a.c`"),
            ("\"a.b\"", "\"a.b[]\"", "has no setting `a.b[]`"),
            ("[1]", "[1, 2]", "has no setting `a.list[]`"),
            ("{url}", "{address}", "no placeholder `{address}`"),
            ("{url}", "{context_tokens}", "JSON cannot contain"),
            ("{lar_program}", "{lar}", "no placeholder `{lar}`"),
            ("content = '{ ", "content = '", "trailing characters"),
            ("content =", "copy_of =", "set either `content`"),
            ("format =", "by_hand = '{'\nformat =", "EOF while parsing"),
            ("format =", "copy_of = 'x'\nformat =", "set either `content`"),
        ];
        for (valid, invalid, expected) in cases {
            let error = parse("test", &VALID.replacen(valid, invalid, 1)).unwrap_err();
            assert!(
                error.starts_with("recipes/test.toml: ") && error.contains(expected),
                "{invalid}: {error}"
            );
        }
        let copy = "format = \"whole\"\ncopy_of = \"integrations/other\"\n";
        let start = VALID.find("format").unwrap();
        let end = VALID.find("[next_step]").unwrap();
        let error = parse("test", &format!("{}{copy}{}", &VALID[..start], &VALID[end..])).unwrap_err();
        assert!(error.contains("integrations/other is not embedded"), "{error}");
    }
}
