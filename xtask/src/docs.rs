//! Lists the items of a crate with their documentation.
//!
//! rustc's `missing_docs` demands the documentation of public items. This module reads all items that can have
//! any, for checks of its wording. Items made by macros are invisible.

use syn::{Attribute, Expr, Fields, Ident, ImplItem, Item, Lit, Meta, TraitItem, Visibility};

use crate::modules::{Crate, Module, is_test_cfg};

/// Starts of documentation that describe a thing by a clause instead of its name.
const FORBIDDEN_STARTS: [&str; 8] =
    ["What ", "Who ", "Where ", "How many", "Whose ", "That which", "Those ", "So many"];
/// Words that end in `s` but are not verbs that say what a function does.
const NOT_VERBS: [&str; 29] = [
    "Always", "As", "Blanks", "Bytes", "Events", "Fields", "Files", "Has", "Is", "Items", "Its", "Keywords",
    "Lines", "Memories", "Messages", "Models", "Objects", "Perhaps", "Rows", "Schemas", "Settings", "Tasks",
    "This", "Thus", "Tokens", "Values", "Was", "Ways", "Words",
];
/// Names that start with a lower-case letter, even at the start of a sentence.
const LOWER_CASE_NAMES: [&str; 8] =
    ["basic-memory", "gpt-oss", "llama.cpp", "mem0", "rusqlite", "seccomp", "sentence-transformers", "vLLM"];

/// The kind of a documented item, as far as the wording depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A function, method or trait method. The documentation starts with a verb.
    Function,
    /// A module, including its header.
    Module,
    /// A type, field, variant, constant or macro.
    Noun,
}

/// An item and its documentation.
#[derive(Debug)]
pub struct Documented {
    /// The file, relative to the repository.
    pub file: String,
    /// The line of the documentation or, without any, of the item.
    pub line: usize,
    /// The name.
    pub name: String,
    /// The kind.
    pub kind: Kind,
    /// Whether other crates can use the item.
    pub is_public: bool,
    /// The lines of the documentation. Empty if there is none.
    pub docs: Vec<String>,
}

/// Returns the items of a crate that can have documentation, without those that are only for tests.
pub fn documented(krate: &Crate) -> Vec<Documented> {
    let is_library = krate.root.ends_with("/src/lib.rs");
    let mut found = Vec::new();
    for module in krate.modules.iter().filter(|module| !module.is_test) {
        let mut reader = DocReader { module, is_library, found: &mut found };
        reader.add_header();
        module.items.iter().for_each(|item| reader.add_item(item));
    }
    found
}

/// Returns why the first line of an item's documentation is not worded as house style asks.
pub fn fault(item: &Documented) -> Option<String> {
    let first = item.docs.iter().find(|line| !line.is_empty())?;
    if let Some(start) = FORBIDDEN_STARTS.iter().find(|start| first.starts_with(**start)) {
        return Some(format!("starts with `{}`: name the thing", start.trim()));
    }
    match item.kind {
        Kind::Function if item.is_public && !starts_with_verb(first) => {
            Some("does not start with a verb such as `Returns`".to_owned())
        }
        Kind::Module | Kind::Noun if !starts_with_capital(first) => {
            Some("does not start with a capital letter".to_owned())
        }
        _ => None,
    }
}

fn starts_with_verb(line: &str) -> bool {
    let word = line.split(' ').next().unwrap_or_default();
    let is_word = word.starts_with(|letter: char| letter.is_ascii_uppercase())
        && word.chars().skip(1).all(|letter| letter.is_ascii_lowercase());
    is_word && word.ends_with('s') && !NOT_VERBS.contains(&word)
}

/// Code, links, and names that are written in lower case count as a capital letter.
fn starts_with_capital(line: &str) -> bool {
    line.starts_with(|letter: char| letter.is_uppercase() || letter == '`' || letter == '[')
        || LOWER_CASE_NAMES.iter().any(|name| line.starts_with(name))
}

struct DocReader<'a> {
    module: &'a Module,
    is_library: bool,
    found: &'a mut Vec<Documented>,
}

impl DocReader<'_> {
    fn add_header(&mut self) {
        let module = self.module;
        let attributes = if module.is_file { &module.inner } else { &module.outer };
        self.add(&module.name, Kind::Module, attributes, 1, false);
    }

    fn add_named(&mut self, name: &Ident, kind: Kind, attributes: &[Attribute], is_public: bool) {
        self.add(&name.to_string(), kind, attributes, name.span().start().line, is_public);
    }

    fn add(&mut self, name: &str, kind: Kind, attributes: &[Attribute], line: usize, is_public: bool) {
        if attributes.iter().any(is_hidden) {
            return;
        }
        let mut docs = Vec::new();
        let mut first_line = None;
        for attribute in attributes {
            let Some(text) = doc_text(attribute) else { continue };
            first_line.get_or_insert(attribute.pound_token.span.start().line);
            docs.extend(text.lines().map(|line| line.trim().to_owned()));
        }
        self.found.push(Documented {
            file: self.module.file.clone(),
            line: first_line.unwrap_or(line),
            name: name.to_owned(),
            kind,
            is_public,
            docs,
        });
    }

    fn add_item(&mut self, item: &Item) {
        let mut add = |name: &Ident, kind, attributes: &[Attribute], visibility: &Visibility| {
            let is_public = self.is_library && matches!(visibility, Visibility::Public(_));
            if !attributes.iter().any(is_test_cfg) {
                self.add_named(name, kind, attributes, is_public);
            }
            is_public
        };
        match item {
            Item::Const(item) => {
                add(&item.ident, Kind::Noun, &item.attrs, &item.vis);
            }
            Item::Static(item) => {
                add(&item.ident, Kind::Noun, &item.attrs, &item.vis);
            }
            Item::Type(item) => {
                add(&item.ident, Kind::Noun, &item.attrs, &item.vis);
            }
            Item::Fn(item) => {
                add(&item.sig.ident, Kind::Function, &item.attrs, &item.vis);
            }
            Item::Struct(item) => {
                let is_public = add(&item.ident, Kind::Noun, &item.attrs, &item.vis);
                self.add_fields(&item.fields, is_public, false);
            }
            Item::Union(item) => {
                add(&item.ident, Kind::Noun, &item.attrs, &item.vis);
            }
            Item::Enum(item) => {
                let is_public = add(&item.ident, Kind::Noun, &item.attrs, &item.vis);
                for variant in &item.variants {
                    self.add_named(&variant.ident, Kind::Noun, &variant.attrs, is_public);
                    self.add_fields(&variant.fields, is_public, true);
                }
            }
            Item::Trait(item) => {
                let is_public = add(&item.ident, Kind::Noun, &item.attrs, &item.vis);
                for item in &item.items {
                    let (ident, kind, attributes) = match item {
                        TraitItem::Fn(item) => (&item.sig.ident, Kind::Function, &item.attrs),
                        TraitItem::Const(item) => (&item.ident, Kind::Noun, &item.attrs),
                        TraitItem::Type(item) => (&item.ident, Kind::Noun, &item.attrs),
                        _ => continue,
                    };
                    self.add_named(ident, kind, attributes, is_public);
                }
            }
            Item::Impl(item) => self.add_methods(item),
            _ => {}
        }
    }

    fn add_fields(&mut self, fields: &Fields, is_public: bool, are_public: bool) {
        for field in fields {
            // A field without a name needs no documentation.
            let Some(name) = &field.ident else { continue };
            let is_public = is_public && (are_public || matches!(field.vis, Visibility::Public(_)));
            self.add_named(name, Kind::Noun, &field.attrs, is_public);
        }
    }

    fn add_methods(&mut self, item: &syn::ItemImpl) {
        if item.attrs.iter().any(is_test_cfg) {
            return;
        }
        for inner in &item.items {
            let (ident, kind, attributes, visibility): (_, _, _, &Visibility) = match inner {
                ImplItem::Fn(method) => (&method.sig.ident, Kind::Function, &method.attrs, &method.vis),
                ImplItem::Const(constant) => (&constant.ident, Kind::Noun, &constant.attrs, &constant.vis),
                _ => continue,
            };
            let is_public = self.is_library && matches!(visibility, Visibility::Public(_));
            if !attributes.iter().any(is_test_cfg) {
                self.add_named(ident, kind, attributes, is_public);
            }
        }
    }
}

fn is_hidden(attribute: &Attribute) -> bool {
    matches!(&attribute.meta, Meta::List(list) if list.path.is_ident("doc") && list.tokens.to_string() == "hidden")
}

/// Returns the text of a documentation comment.
fn doc_text(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    let Expr::Lit(literal) = &pair.value else { return None };
    match &literal.lit {
        Lit::Str(text) if pair.path.is_ident("doc") => Some(text.value()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault_of(kind: Kind, first: &str) -> Option<String> {
        let docs = vec![first.to_owned()];
        let (file, name) = (String::new(), String::new());
        fault(&Documented { file, line: 1, name, kind, is_public: true, docs })
    }

    #[test]
    fn functions_start_with_a_verb_and_nouns_with_a_capital() {
        for good in ["Returns the key.", "Loads it."] {
            assert_eq!(fault_of(Kind::Function, good), None, "{good}");
        }
        for bad in ["The key.", "Whether it is.", "Bytes of it.", "Return it.", "`x` is."] {
            assert!(fault_of(Kind::Function, bad).is_some(), "{bad}");
        }
        for good in ["The key.", "`GET /v1/models`.", "llama.cpp's grammar.", "Whether it is."] {
            assert_eq!(fault_of(Kind::Noun, good), None, "{good}");
        }
        for bad in ["the key.", "0 to 1.", "What is kept.", "How many there are."] {
            assert!(fault_of(Kind::Noun, bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn fields_and_methods_of_public_types_are_public() {
        let text = "/// A.\npub struct A { /// B.\n pub b: u8, c: u8 }\nimpl A { /// Ds.\n pub fn d() {} }\n\
                    pub enum E { F { g: u8 } }\n#[cfg(test)]\nfn h() {}\n";
        let krate = Crate::read_with("x/src/lib.rs", &|_| Ok(text.to_owned())).expect("it is Rust");
        let found = documented(&krate);
        let found: Vec<(&str, bool, usize)> =
            found.iter().skip(1).map(|item| (item.name.as_str(), item.is_public, item.docs.len())).collect();
        let expected = [
            ("A", true, 1),
            ("b", true, 1),
            ("c", false, 0),
            ("d", true, 1),
            ("E", true, 0),
            ("F", true, 0),
            ("g", true, 0),
        ];
        assert_eq!(found, expected);
    }
}
