//! Builds the module tree of each crate of the workspace, from its root files and their `mod` items.
//!
//! A target of Cargo (library, program, test binary, build script) is one crate here.

use std::collections::BTreeMap;

use anyhow::Context as _;
use syn::{Attribute, Item, Meta};

use crate::sources;

/// A module of a crate.
pub struct Module {
    /// The name, or nothing for the root.
    pub name: String,
    /// The index of the module that declares this one.
    pub parent: Option<usize>,
    /// The indexes of the modules that this one declares, by name.
    pub children: BTreeMap<String, usize>,
    /// The file that contains the module, relative to the repository.
    pub file: String,
    /// Whether the module is compiled only for tests.
    pub is_test: bool,
    /// Whether the module is a file of its own.
    pub is_file: bool,
    /// The attributes of the declaration.
    pub outer: Vec<Attribute>,
    /// The inner attributes, the header of the file among them.
    pub inner: Vec<Attribute>,
    /// The items, without the items of inline modules.
    pub items: Vec<Item>,
}

/// A crate with its modules.
pub struct Crate {
    /// The root file, relative to the repository.
    pub root: String,
    /// The modules. The first one is the root.
    pub modules: Vec<Module>,
}

impl Crate {
    /// Reads a crate from its root file.
    ///
    /// # Errors
    ///
    /// If a file is missing or is not Rust.
    pub fn read(root: &str) -> anyhow::Result<Self> {
        Self::read_with(root, &sources::read)
    }

    /// Reads a crate with a function that returns the text of a file.
    pub(crate) fn read_with(root: &str, text_of: &TextOf) -> anyhow::Result<Self> {
        let mut builder = Builder { text_of, modules: Vec::new() };
        let (folder, _) = root.rsplit_once('/').context("the root is in a folder")?;
        let declared = Declared { name: String::new(), parent: None, is_test: false, outer: Vec::new() };
        builder.add_file(declared, root.to_owned(), folder)?;
        Ok(Self { root: root.to_owned(), modules: builder.modules })
    }

    /// Returns the short name of the crate: the folder of its package, and the target unless it is the main
    /// one.
    pub fn name(&self) -> String {
        let short = self.root.strip_prefix("crates/").unwrap_or(&self.root);
        let main = ["/src/lib.rs", "/src/main.rs"].iter().find_map(|end| short.strip_suffix(end));
        main.unwrap_or_else(|| short.trim_end_matches(".rs")).to_owned()
    }
}

/// A function that returns the text of a file. The path is relative to the repository.
type TextOf = dyn Fn(&str) -> anyhow::Result<String>;

struct Builder<'a> {
    text_of: &'a TextOf,
    modules: Vec<Module>,
}

impl Builder<'_> {
    fn add_file(&mut self, declared: Declared, file: String, folder: &str) -> anyhow::Result<usize> {
        let text = (self.text_of)(&file)?;
        let parsed = syn::parse_file(&text)
            .map_err(|error| anyhow::anyhow!("{file}:{}: {error}", error.span().start().line))?;
        self.add(declared, Location { file, is_file: true, folder }, parsed.attrs, parsed.items)
    }

    fn add(
        &mut self,
        declared: Declared,
        location: Location<'_>,
        inner: Vec<Attribute>,
        items: Vec<Item>,
    ) -> anyhow::Result<usize> {
        let index = self.modules.len();
        let is_test = declared.is_test || inner.iter().any(is_test_cfg);
        self.modules.push(Module {
            name: declared.name,
            parent: declared.parent,
            children: BTreeMap::new(),
            file: location.file.clone(),
            is_test,
            is_file: location.is_file,
            outer: declared.outer,
            inner,
            items: Vec::new(),
        });
        let mut rest = Vec::new();
        for item in items {
            let Item::Mod(item) = item else {
                rest.push(item);
                continue;
            };
            let name = item.ident.to_string();
            let declared = Declared {
                name: name.clone(),
                parent: Some(index),
                is_test: is_test || item.attrs.iter().any(is_test_cfg),
                outer: item.attrs,
            };
            let folder = format!("{}/{name}", location.folder);
            let child = if let Some((_, items)) = item.content {
                let location = Location { file: location.file.clone(), is_file: false, folder: &folder };
                self.add(declared, location, Vec::new(), items)?
            } else if let Some(path) = path_attribute(&declared.outer) {
                let (here, _) = location.file.rsplit_once('/').context("the file is in a folder")?;
                self.add_file(declared, normal(&format!("{here}/{path}")), &folder)?
            } else {
                self.add_file(declared, format!("{folder}.rs"), &folder)?
            };
            self.modules[index].children.insert(name, child);
        }
        self.modules[index].items = rest;
        Ok(index)
    }
}

/// The properties of a module that its `mod` item states.
struct Declared {
    name: String,
    parent: Option<usize>,
    is_test: bool,
    outer: Vec<Attribute>,
}

/// The file of a module, and the folder of the modules that it declares.
struct Location<'a> {
    file: String,
    is_file: bool,
    folder: &'a str,
}

/// Reads every crate of the workspace.
///
/// # Errors
///
/// If a manifest or a source file cannot be read.
pub fn crates() -> anyhow::Result<Vec<Crate>> {
    let mut roots = Vec::new();
    for member in sources::members()? {
        roots.extend(targets(&member)?);
    }
    roots.iter().map(|root| Crate::read(root)).collect()
}

/// Returns the root files of a package: the listed targets, and those that Cargo finds by their paths.
fn targets(member: &str) -> anyhow::Result<Vec<String>> {
    let manifest: toml::Table = sources::read(&format!("{member}/Cargo.toml"))?.parse()?;
    let mut roots = Vec::new();
    for kind in ["bin", "test", "bench", "example"] {
        let listed = manifest.get(kind).and_then(|targets| targets.as_array()).into_iter().flatten();
        let paths = listed.filter_map(|target| target.get("path")?.as_str());
        roots.extend(paths.map(|path| format!("{member}/{path}")));
    }
    for file in ["build.rs", "src/lib.rs", "src/main.rs"] {
        roots.push(format!("{member}/{file}"));
    }
    for folder in ["src/bin", "tests", "benches", "examples"] {
        let Ok(entries) = std::fs::read_dir(sources::root().join(member).join(folder)) else { continue };
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            roots.extend(name.ends_with(".rs").then(|| format!("{member}/{folder}/{name}")));
        }
    }
    roots.retain(|path| sources::root().join(path).is_file());
    roots.sort();
    roots.dedup();
    Ok(roots)
}

/// Returns whether an attribute is `#[cfg(test)]`, alone or as one of several conditions.
pub fn is_test_cfg(attribute: &Attribute) -> bool {
    let Meta::List(list) = &attribute.meta else { return false };
    let tokens = list.tokens.to_string();
    list.path.is_ident("cfg")
        && tokens.split(|letter: char| !letter.is_alphanumeric()).any(|word| word == "test")
        && !tokens.contains("not")
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    let value = attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => Some(&pair.value),
        _ => None,
    })?;
    match value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) => Some(path.value()),
        _ => None,
    }
}

/// Removes `..` from a path.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
