//! Finds the imports between the files of a crate, and the circular groups that they form.
//!
//! A file imports another one if a path in it leads to an item that the other file defines: `crate::a::B`,
//! `super::B`, `child::B`, or `a::B` after `use crate::a`. Re-exports are followed to the file with the
//! definition, so a `lib.rs` that only re-exports is no hub. A `pub use` alone is no import, nor is a `mod`
//! item. Code that is compiled only for tests is left out. Calls of methods are invisible, because they need
//! types.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;
use syn::{Item, UseTree, Visibility};

use crate::modules::{Crate, is_test_cfg};

/// The most re-exports that one path is followed through.
const REEXPORTS_MAX: usize = 16;

/// Files that each file of a crate imports, by path.
pub type Imports = BTreeMap<String, BTreeSet<String>>;

/// Returns the imports between the files of a crate.
pub fn imports(krate: &Crate) -> Imports {
    let scopes: Vec<Scope> = krate.modules.iter().map(|module| Scope::read(&module.items)).collect();
    let resolver = Resolver { krate, scopes: &scopes };
    let mut imports = Imports::new();
    for (index, module) in krate.modules.iter().enumerate().filter(|(_, module)| !module.is_test) {
        let files = imports.entry(module.file.clone()).or_default();
        for path in scopes[index].imported_paths() {
            let target = resolver.resolve(index, path, 0).map(|target| match target {
                Target::Module(module) | Target::Item(module) => (target, &krate.modules[module]),
            });
            let Some((target, found)) = target else { continue };
            // A module alone is not used: the paths that go through it are found, too.
            let is_used = matches!(target, Target::Item(_)) || path.last().is_some_and(|last| last == "*");
            if is_used && !found.is_test && found.file != module.file {
                files.insert(found.file.clone());
            }
        }
    }
    imports
}

/// Returns the groups of files that import each other in a cycle, largest first.
pub fn cycles(imports: &Imports) -> Vec<Vec<String>> {
    let reachable: BTreeMap<&str, BTreeSet<&str>> =
        imports.keys().map(|file| (file.as_str(), reachable_from(file, imports))).collect();
    let mut grouped = BTreeSet::new();
    let mut cycles = Vec::new();
    for (file, targets) in &reachable {
        let is_mutual = |other: &&&str| reachable.get(**other).is_some_and(|back| back.contains(file));
        let group: Vec<String> = targets.iter().filter(is_mutual).map(|&other| other.to_owned()).collect();
        if group.len() > 1 && grouped.insert(group.clone()) {
            cycles.push(group);
        }
    }
    cycles.sort_by_key(|group| std::cmp::Reverse(group.len()));
    cycles
}

fn reachable_from<'a>(file: &str, imports: &'a Imports) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut left: Vec<&str> = imports[file].iter().map(String::as_str).collect();
    while let Some(next) = left.pop() {
        if found.insert(next) {
            left.extend(imports.get(next).into_iter().flatten().map(String::as_str));
        }
    }
    found
}

/// Names of a module, and the paths in its code.
#[derive(Default)]
struct Scope {
    definitions: BTreeSet<String>,
    uses: Vec<Import>,
    paths: BTreeSet<Vec<String>>,
    names_in_code: BTreeSet<String>,
}

/// One name that a `use` item brings into a module. The last segment of a glob is `*`.
struct Import {
    name: String,
    path: Vec<String>,
    is_public: bool,
    is_test: bool,
}

impl Scope {
    fn read(items: &[Item]) -> Self {
        let mut reader = PathReader::default();
        items.iter().for_each(|item| reader.visit_item(item));
        let mut scope = reader.scope;
        scope.definitions = items.iter().filter_map(defined_name).collect();
        scope
    }

    /// Returns the paths that the code uses, and those that it imports.
    fn imported_paths(&self) -> impl Iterator<Item = &Vec<String>> {
        let is_used = |import: &&Import| {
            !import.is_test && (!import.is_public || self.names_in_code.contains(&import.name))
        };
        self.uses.iter().filter(is_used).map(|import| &import.path).chain(&self.paths)
    }
}

fn defined_name(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

#[derive(Default)]
struct PathReader {
    scope: Scope,
}

impl PathReader {
    fn add_use(&mut self, tree: &UseTree, path: &mut Vec<String>, is_public: bool) {
        let mut add = |name: &str, path: Vec<String>| {
            self.scope.uses.push(Import { name: name.to_owned(), path, is_public, is_test: false });
        };
        match tree {
            UseTree::Path(tree) => {
                path.push(tree.ident.to_string());
                self.add_use(&tree.tree, path, is_public);
                path.pop();
            }
            UseTree::Name(tree) if tree.ident == "self" => {
                add(path.last().map_or("self", String::as_str), path.clone());
            }
            UseTree::Name(tree) => {
                let name = tree.ident.to_string();
                add(&name, joined(path, &name));
            }
            UseTree::Rename(tree) if tree.ident == "self" => add(&tree.rename.to_string(), path.clone()),
            UseTree::Rename(tree) => {
                add(&tree.rename.to_string(), joined(path, &tree.ident.to_string()));
            }
            UseTree::Glob(_) => add("*", joined(path, "*")),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.add_use(tree, path, is_public));
            }
        }
    }

    fn add_path(&mut self, path: Vec<String>) {
        self.scope.names_in_code.extend(path.first().cloned());
        if path.len() > 1 {
            self.scope.paths.insert(path);
        }
    }

    /// Adds the paths in the arguments of a macro or an attribute, which are only tokens.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) if colons == 2 && !path.is_empty() => {
                    path.push(ident.to_string());
                    colons = 0;
                }
                token => {
                    self.add_path(std::mem::take(&mut path));
                    colons = 0;
                    match token {
                        TokenTree::Ident(ident) => path.push(ident.to_string()),
                        TokenTree::Group(group) => self.add_tokens(group.stream()),
                        TokenTree::Punct(_) | TokenTree::Literal(_) => {}
                    }
                }
            }
        }
        self.add_path(path);
    }
}

impl<'ast> Visit<'ast> for PathReader {
    fn visit_item(&mut self, item: &'ast Item) {
        let uses = self.scope.uses.len();
        let is_test = attributes(item).iter().any(is_test_cfg);
        if !is_test || matches!(item, Item::Use(_)) {
            syn::visit::visit_item(self, item);
        }
        self.scope.uses[uses..].iter_mut().for_each(|import| import.is_test |= is_test);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_public = !matches!(item.vis, Visibility::Inherited);
        if item.leading_colon.is_none() {
            self.add_use(&item.tree, &mut Vec::new(), is_public);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.add_path(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.visit_path(&item.path);
        self.add_tokens(item.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.add_tokens(list.tokens.clone());
        }
    }

    /// Leaves out `pub(super)` and `pub(in path)`, which import nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

fn joined(path: &[String], last: &str) -> Vec<String> {
    path.iter().cloned().chain([last.to_owned()]).collect()
}

fn attributes(item: &Item) -> &[syn::Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The module that a path leads to, or the module that defines the item that it leads to.
#[derive(Clone, Copy)]
enum Target {
    Module(usize),
    Item(usize),
}

struct Resolver<'a> {
    krate: &'a Crate,
    scopes: &'a [Scope],
}

impl Resolver<'_> {
    /// Resolves a path of a module. Returns nothing if it leads out of the crate.
    fn resolve(&self, module: usize, path: &[String], depth: usize) -> Option<Target> {
        let (first, mut rest) = path.split_first()?;
        let mut target = match first.as_str() {
            "crate" => Target::Module(0),
            "self" => Target::Module(module),
            "super" => Target::Module(self.krate.modules[module].parent?),
            first => self.look_up(module, first, !rest.is_empty(), depth)?,
        };
        while let (Target::Module(module), Some((segment, after))) = (target, rest.split_first()) {
            target = match segment.as_str() {
                "super" => Target::Module(self.krate.modules[module].parent?),
                "self" | "*" => target,
                // An item that is not found is defined by a macro of the module.
                segment => {
                    self.look_up(module, segment, !after.is_empty(), depth).unwrap_or(Target::Item(module))
                }
            };
            rest = after;
        }
        Some(target)
    }

    /// Looks up one name in a module. If a module and an item have the same name, `is_prefix` decides.
    fn look_up(&self, module: usize, name: &str, is_prefix: bool, depth: usize) -> Option<Target> {
        if depth > REEXPORTS_MAX {
            return None;
        }
        let scope = &self.scopes[module];
        let child = self.krate.modules[module].children.get(name).map(|&child| Target::Module(child));
        if is_prefix && child.is_some() {
            return child;
        }
        if scope.definitions.contains(name) {
            return Some(Target::Item(module));
        }
        let named = scope.uses.iter().filter(|import| import.name == name && !import.is_test);
        // `use a` inside of module `a` would look itself up.
        let mut found =
            named.filter(|import| import.path.len() > 1 || import.path[0] != name).map(|import| {
                // An item of another crate is imported from the module that names it.
                self.resolve(module, &import.path, depth + 1).unwrap_or(Target::Item(module))
            });
        let globs = || {
            let globs = scope.uses.iter().filter(|import| import.name == "*" && !import.is_test);
            globs.filter_map(|import| match self.resolve(module, &import.path, depth + 1)? {
                Target::Module(source) if source != module => {
                    self.look_up(source, name, is_prefix, depth + 1)
                }
                _ => None,
            })
        };
        found.next().or(child).or_else(|| globs().next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the imports of a crate that consists of these files.
    fn imports_of(files: &'static [(&str, &str)]) -> Vec<(String, String)> {
        let text_of = |path: &str| {
            let name = path.strip_prefix("x/src/").unwrap_or_default();
            let found = files.iter().find(|(file, _)| *file == name);
            found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| anyhow::anyhow!("{path} is missing"))
        };
        let krate = Crate::read_with("x/src/lib.rs", &text_of).expect("it is Rust");
        let short = |path: &str| path.trim_start_matches("x/src/").trim_end_matches(".rs").to_owned();
        let imports = imports(&krate);
        let pairs = imports.iter().flat_map(|(from, to)| to.iter().map(move |to| (short(from), short(to))));
        pairs.collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect()
    }

    #[test]
    fn paths_are_followed_to_the_file_with_the_definition() {
        let found = imports_of(&[
            ("lib.rs", "mod a; mod b; pub use a::inner::Deep; pub fn top() {}"),
            ("a.rs", "pub mod inner; use crate::b; fn f() { b::g(); inner::h(); std::mem::drop(1); }"),
            ("a/inner.rs", "pub struct Deep; pub fn h() { super::super::top(); }"),
            ("b.rs", "use crate::Deep; pub fn g() -> Deep { format!(\"{}\", crate::a::inner::h()); Deep }"),
        ]);
        let expected = [("a", "a/inner"), ("a", "b"), ("a/inner", "lib"), ("b", "a/inner")];
        assert_eq!(found, pairs(&expected));
    }

    #[test]
    fn reexports_and_tests_are_no_imports() {
        let found = imports_of(&[
            (
                "lib.rs",
                "mod a; mod b; pub use a::{A, B}; pub use b::C; fn f(_: B) {} pub use serde::Serialize;",
            ),
            ("a.rs", "pub struct A; pub struct B; #[cfg(test)] mod tests { use crate::b::C; }"),
            (
                "b.rs",
                "use crate::*; use super::Serialize; pub(in crate::a) struct C; fn f() { let a = 1; a::<u8>; }",
            ),
        ]);
        assert_eq!(found, pairs(&[("b", "lib"), ("lib", "a")]));
    }

    #[test]
    fn files_that_reach_each_other_are_a_cycle() {
        let edges = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("e", "f"), ("f", "e")];
        let mut imports = Imports::new();
        for (from, to) in edges {
            imports.entry(from.to_owned()).or_default().insert(to.to_owned());
            imports.entry(to.to_owned()).or_default();
        }
        assert_eq!(cycles(&imports), [vec!["a", "b", "c"], vec!["e", "f"]]);
    }
}
