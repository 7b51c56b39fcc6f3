//! Aliases of models: their syntax, and the model that a name resolves to.
//!
//! There are three kinds of aliases: those that a user sets, the reserved ones ([`RESERVED`]), and the
//! implied ones (`small`, `code`), which depend only on the installed models. The functions are pure: they get
//! the installed models and the stored aliases from [`catalog`](crate::catalog).

use std::collections::BTreeMap;
use std::sync::Arc;

use lar_base::default_models::{DEFAULT_CHAT, DEFAULT_EMBEDDING, DEFAULT_RERANK};

use crate::Error;
use crate::kind::Kind;
use crate::model::Model;
use crate::name_syntax::check;

/// The reserved aliases. Each exists while a model of its kind is installed.
pub(crate) const RESERVED: [(&str, Kind); 3] =
    [(DEFAULT_CHAT, Kind::Chat), (DEFAULT_EMBEDDING, Kind::Embedding), (DEFAULT_RERANK, Kind::Rerank)];
/// The implied alias of the chat model with the fewest parameters.
const SMALL: &str = "small";
/// The implied alias of the largest chat model for code.
const CODE: &str = "code";

/// The model that a name or an alias resolves to.
#[derive(Debug, Clone)]
pub struct ResolvedModel {
    /// The installed model that the name refers to.
    pub model: Arc<Model>,
    /// The alias that matched the name; `None` for a model's own name.
    pub alias: Option<String>,
}

/// Finds the model for `name`, which is a model's name or an alias. `set` maps each stored alias to the name
/// of its model.
///
/// A model's name has priority over an alias, an alias over a pattern, and a longer pattern over a shorter
/// one.
///
/// # Errors
/// [`Error::Unknown`], which lists the installed models of `required_kind`.
pub(crate) fn resolve(
    name: &str,
    required_kind: Option<Kind>,
    models: &BTreeMap<String, Arc<Model>>,
    set: &BTreeMap<String, String>,
) -> Result<ResolvedModel, Error> {
    if let Some(model) = models.get(name) {
        return Ok(ResolvedModel { model: model.clone(), alias: None });
    }
    // Fast path: nearly every request names an alias that is set, most often `default`.
    if let Some(model) = set.get(name).and_then(|target| models.get(target)) {
        return Ok(ResolvedModel { model: model.clone(), alias: Some(name.to_owned()) });
    }
    let aliases = all(models, set);
    let alias = find_match(name, aliases.keys());
    let found = alias.and_then(|alias| Some((alias, models.get(aliases.get(alias)?)?.clone())));
    match found {
        Some((alias, model)) => Ok(ResolvedModel { model, alias: Some(alias.clone()) }),
        None => {
            // Chat models first, because most requests are for one.
            let mut installed: Vec<&Model> = models.values().map(AsRef::as_ref).collect();
            installed.retain(|model| required_kind.is_none_or(|kind| model.kind == kind));
            installed.sort_by_key(|model| model.kind != Kind::Chat);
            let installed = installed.into_iter().map(|model| model.name.clone()).collect();
            Err(Error::Unknown { name: name.to_owned(), installed, required_kind })
        }
    }
}

/// Returns every alias, also the implied ones, with the name of its model.
pub(crate) fn all(
    models: &BTreeMap<String, Arc<Model>>,
    set: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut aliases = implied(models);
    aliases.extend(set.iter().map(|(name, target)| (name.clone(), target.clone())));
    aliases
}

/// Checks that an alias is valid: a name, or a pattern with one `*`, which matches any characters.
pub(crate) fn check_syntax(name: &str) -> Result<(), Error> {
    check(&name.replacen('*', "", 1)).map_err(Error::from)
}

/// Checks that a reserved alias gets a model of its kind.
///
/// # Errors
/// [`Error::WrongKind`].
pub(crate) fn check_kind(name: &str, target: &Model) -> Result<(), Error> {
    match RESERVED.iter().find(|(reserved, kind)| *reserved == name && *kind != target.kind) {
        None => Ok(()),
        Some((_, kind)) => Err(Error::WrongKind {
            name: name.to_owned(),
            needed: kind.with_article(),
            target: target.name.clone(),
            found: target.kind.with_article(),
        }),
    }
}

/// Returns the aliases that exist without being set.
///
/// `small` is the chat model with the fewest parameters; `code` is the largest chat model for code. There is
/// no alias for a vision model, because no engine accepts images.
fn implied(models: &BTreeMap<String, Arc<Model>>) -> BTreeMap<String, String> {
    let chats = || models.values().filter(|model| model.kind == Kind::Chat);
    let small = chats().min_by_key(|model| model.facts.parameters);
    let code = chats().filter(|model| is_for_code(&model.name)).max_by_key(|model| model.facts.parameters);
    let named = [(SMALL, small), (CODE, code)].into_iter();
    named.filter_map(|(alias, model)| Some((alias.to_owned(), model?.name.clone()))).collect()
}

/// Returns whether a model's name is one of a code model, such as `qwen2.5-coder-7b`, `codestral` or
/// `starcoder2`.
fn is_for_code(name: &str) -> bool {
    const FAMILIES: [&str; 3] = ["starcoder", "codestral", "devstral"];
    let lower = name.to_ascii_lowercase();
    let word = |word: &str| {
        word.starts_with("code")
            || (word.ends_with("coder") && !word.ends_with("encoder") && !word.ends_with("decoder"))
    };
    lower.split(['-', '_', '.']).any(word) || FAMILIES.iter().any(|family| lower.contains(family))
}

/// Finds the alias that matches a name: the alias equal to it, or else the longest matching pattern.
fn find_match<'a>(name: &str, aliases: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    let fits = |pattern: &str| match pattern.split_once('*') {
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
        None => pattern == name,
    };
    aliases.filter(|alias| fits(alias)).max_by_key(|alias| (!alias.contains('*'), alias.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_models_are_recognized_by_their_names() {
        for name in ["qwen2.5-coder-7b", "codestral-22b", "codellama-7b", "starcoder2-3b", "devstral-small"] {
            assert!(is_for_code(name), "{name}");
        }
        for name in ["qwen3-8b", "smollm2-135m-instruct", "encoder-small", "decode-1b"] {
            assert!(!is_for_code(name), "{name}");
        }
    }

    #[test]
    fn an_alias_may_be_a_pattern() {
        let aliases = ["gpt-4o", "gpt-*", "gpt-*-mini", "claude-*"].map(ToOwned::to_owned);
        let cases = [
            ("gpt-4o", Some("gpt-4o")),
            ("gpt-5", Some("gpt-*")),
            ("gpt-5-mini", Some("gpt-*-mini")),
            ("gpt-mini", Some("gpt-*")),
            ("claude-sonnet-4-5", Some("claude-*")),
            ("gpt", None),
            ("o3", None),
        ];
        for (name, alias) in cases {
            assert_eq!(find_match(name, aliases.iter()).map(String::as_str), alias, "{name}");
        }
        assert!(check_syntax("claude-*").is_ok() && check_syntax("gpt-*-mini").is_ok());
        for bad in ["*", "a**", "../*", "*/x", "a*b*c", ""] {
            assert!(check_syntax(bad).is_err(), "{bad}");
        }
    }
}
