//! Limits that code must name: what it reads from a stream, and how tests wait.
//!
//! Clippy bans unbounded channels and unbounded lines (`clippy.toml`), because that takes types.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use syn::visit::Visit;
use syn::{Expr, ExprCall, ExprMethodCall};
use xtask::identifiers::identifiers;
use xtask::modules::crates;
use xtask::sources::{read, rust_files};

/// Methods that read from a stream until it ends, or until a delimiter.
const READERS: [&str; 4] = ["read_line", "read_to_end", "read_to_string", "read_until"];
/// Files that read a stream without `take`, with the reason why that is limited.
const LIMITED_OTHERWISE: [(&str, &str); 0] = [];
/// Functions that clippy must ban.
const BANNED: [&str; 4] = [
    "std::io::BufRead::lines",
    "std::sync::mpsc::channel",
    "tokio::io::AsyncBufReadExt::lines",
    "tokio::sync::mpsc::unbounded_channel",
];

#[derive(Default)]
struct StreamReads {
    unlimited: Vec<usize>,
}

impl<'ast> Visit<'ast> for StreamReads {
    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        let name = call.method.to_string();
        if READERS.contains(&name.as_str()) && !call.args.is_empty() && !has_limit(&call.receiver) {
            self.unlimited.push(call.method.span().start().line);
        }
        syn::visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        if let Expr::Path(function) = &*call.func {
            let names: Vec<String> =
                function.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            let is_read = names.ends_with(&["io".to_owned(), "read_to_string".to_owned()]);
            if is_read && !call.args.first().is_some_and(has_limit) {
                self.unlimited
                    .extend(function.path.segments.first().map(|first| first.ident.span().start().line));
            }
        }
        syn::visit::visit_expr_call(self, call);
    }
}

/// Returns whether an expression ends in `take(LIMIT)`.
fn has_limit(expression: &Expr) -> bool {
    match expression {
        Expr::MethodCall(call) => call.method == "take" || has_limit(&call.receiver),
        Expr::Paren(inner) => has_limit(&inner.expr),
        Expr::Reference(inner) => has_limit(&inner.expr),
        Expr::Try(inner) => has_limit(&inner.expr),
        _ => false,
    }
}

#[test]
fn streams_are_read_up_to_a_limit() {
    let mut faults = Vec::new();
    for krate in crates().unwrap().iter().filter(|krate| krate.root.starts_with("crates/")) {
        for module in krate.modules.iter().filter(|module| !module.is_test) {
            let mut reads = StreamReads::default();
            module.items.iter().for_each(|item| reads.visit_item(item));
            if !LIMITED_OTHERWISE.iter().any(|(file, _)| *file == module.file) {
                faults.extend(reads.unlimited.iter().map(|line| format!("{}:{line}", module.file)));
            }
        }
    }
    assert!(faults.is_empty(), "call `take` with a named limit first:\n{}", faults.join("\n"));
}

#[test]
fn reads_without_take_are_found() {
    let text = "fn f() { a.take(X).read_to_end(&mut b); c.lock().read_line(&mut d);\n\
                fs::read_to_string(p); std::io::read_to_string(s); io::read_to_string((&s).take(X)); }";
    let mut reads = StreamReads::default();
    reads.visit_file(&syn::parse_file(text).unwrap());
    assert_eq!(reads.unlimited, [1, 2]);
}

#[test]
fn clippy_bans_what_has_no_limit() {
    let settings: toml::Table = read("clippy.toml").unwrap().parse().unwrap();
    let banned = settings["disallowed-methods"].as_array().unwrap();
    for path in BANNED {
        let is_banned = banned.iter().any(|method| method["path"].as_str() == Some(path));
        assert!(is_banned, "clippy.toml does not ban {path}");
    }
}

#[test]
fn integration_tests_do_not_sleep() {
    let mut faults = Vec::new();
    for file in rust_files().unwrap().iter().filter(|file| file.path.starts_with("tests/it/")) {
        let sleeps =
            identifiers(&file.text).unwrap().into_iter().filter(|found| found.name.starts_with("sleep"));
        faults.extend(sleeps.map(|found| format!("{}:{}", file.path, found.line)));
    }
    assert!(faults.is_empty(), "wait for an event with `lar_tests::until`:\n{}", faults.join("\n"));
}
