//! Each test name in `docs/reference/known-faults.md` is the name of exactly one test, and each claim in the tables
//! of `SECURITY.md` names the tests that check it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// The least number of faults on the page, so that a lost row is noticed.
const FAULTS_MIN: usize = 134;
/// The least number of claims in the tables of `SECURITY.md`.
const CLAIMS_MIN: usize = 55;

fn files(below: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && name != "node_modules" {
            files(&path, found);
        } else if ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
}

/// Scripts that are a test as a whole.
const SCRIPTS: [&str; 3] =
    ["tests/conformance/docs.py", "tests/conformance/first_run.sh", "tests/conformance/schemathesis/run.sh"];
/// The endings of names of files that contain tests or are one.
const ENDINGS: [&str; 4] = [".rs", ".py", ".spec.ts", "run.sh"];

/// Returns the titles of the tests in a Playwright file.
fn titles_in(source: &str) -> Vec<&str> {
    source.lines().filter_map(|line| line.trim().strip_prefix("test(\"")?.split('"').next()).collect()
}

/// Returns the names of the test functions in a source: in Rust the functions after a test attribute, in
/// Python the functions whose names start with `test`.
fn tests_in(source: &str, is_python: bool) -> Vec<&str> {
    let name = |line: &str, word: &str| {
        let at = line.find(word).filter(|at| *at == 0 || line[..*at].ends_with(' '))?;
        let rest = &line[at + word.len()..];
        rest.find('(').map(|end| (at + word.len(), at + word.len() + end))
    };
    let mut found = Vec::new();
    let mut is_after_attribute = false;
    for line in source.lines().map(str::trim) {
        if is_python {
            found.extend(
                name(line, "def ").map(|(from, to)| &line[from..to]).filter(|name| name.starts_with("test")),
            );
        } else if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_after_attribute = true;
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            let function = name(line, "fn ").map(|(from, to)| &line[from..to]);
            found.extend(function.filter(|_| is_after_attribute));
            is_after_attribute = false;
        }
    }
    found
}

/// Returns why a name is not the name of exactly one test. `tests` are the tests of each file, by path.
fn fault_of(name: &str, tests: &[(&str, Vec<&str>)]) -> Option<String> {
    let is_file = ENDINGS.iter().any(|ending| name.ends_with(ending));
    let below = format!("/{name}");
    let count = match is_file {
        true if !name.ends_with(".spec.ts") && !SCRIPTS.contains(&name) => 0,
        true => tests.iter().filter(|(path, _)| path.ends_with(&below)).count(),
        false => tests.iter().flat_map(|(_, tests)| tests).filter(|test| **test == name).count(),
    };
    match count {
        0 => Some(format!("no test is named `{name}`")),
        1 => None,
        count => Some(format!("{count} tests are named `{name}`: rename all but one")),
    }
}

#[test]
fn only_functions_after_a_test_attribute_are_tests() {
    let rust = "#[test]\n#[cfg(unix)]\n/// Why.\nfn one() {\n fn helper() {}\n}\n#[tokio::test(flavor = \"x\")]\nasync fn two() {}\n\
                fn three() {}\n#[test]\nconst X: u8 = 1;\nfn four() {}\n";
    assert_eq!(tests_in(rust, false), ["one", "two"]);
    assert_eq!(tests_in("def helper():\n  pass\nasync def test_x(a):\n", true), ["test_x"]);
    assert_eq!(titles_in("// A page.\ntest(\"a page opens\", async () => {\n"), ["a page opens"]);
}

#[test]
fn names_without_exactly_one_test_are_reported() {
    let tests = [
        ("/a/crates/x/src/ps.rs", vec!["one", "screens"]),
        ("/a/crates/x/src/top.rs", vec!["screens"]),
        ("/a/web/tests/lost.spec.ts", vec!["a draft is kept"]),
        ("/a/tests/conformance/docs.py", vec![]),
    ];
    let fault = |name| fault_of(name, &tests);
    for name in ["one", "web/tests/lost.spec.ts", "tests/conformance/docs.py"] {
        assert_eq!(fault(name), None, "{name}");
    }
    assert_eq!(fault("two").unwrap(), "no test is named `two`");
    assert_eq!(fault("crates/x/src/ps.rs").unwrap(), "no test is named `crates/x/src/ps.rs`");
    assert_eq!(fault("screens").unwrap(), "2 tests are named `screens`: rename all but one");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Returns the path and the text of each file that may contain tests.
fn sources() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    ["crates", "tests", "xtask", "web/tests"]
        .iter()
        .for_each(|folder| files(&root().join(folder), &mut paths));
    paths
        .iter()
        .map(|path| (path.to_string_lossy().into_owned(), fs::read_to_string(path).unwrap()))
        .collect()
}

/// Returns the tests of each file, by path.
fn tests_of(sources: &[(String, String)]) -> Vec<(&str, Vec<&str>)> {
    sources
        .iter()
        .map(|(path, source)| {
            let is_page = path.ends_with(".spec.ts");
            (path.as_str(), if is_page { titles_in(source) } else { tests_in(source, path.ends_with(".py")) })
        })
        .collect()
}

/// Returns the last cells of the rows of all tables whose last column is "test".
fn test_cells(page: &str) -> Vec<&str> {
    let mut is_table = false;
    let mut cells = Vec::new();
    for line in page.lines() {
        let cell = line.trim_end_matches('|').rsplit('|').next().unwrap_or_default().trim();
        match line.starts_with('|') {
            false => is_table = false,
            true if cell == "test" => is_table = true,
            true if is_table && !line.starts_with("|-") => cells.push(cell),
            true => {}
        }
    }
    cells
}

/// Returns the texts between two backticks or two quotation marks.
fn quoted(cell: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = cell;
    while let Some(start) = rest.find(['`', '"']) {
        let mark = &rest[start..=start];
        let Some(length) = rest[start + 1..].find(mark) else { break };
        found.push(&rest[start + 1..start + 1 + length]);
        rest = &rest[start + 2 + length..];
    }
    found
}

#[test]
fn cells_and_names_are_read_from_a_table() {
    let page = "| a | test |\n|---|---|\n| x | `t/a.rs` `one` |\n\n| a | b |\n|---|---|\n| x | y |\n";
    assert_eq!(test_cells(page), ["`t/a.rs` `one`"]);
    assert_eq!(quoted("`t/a.ts` \"one, two\", `three`"), ["t/a.ts", "one, two", "three"]);
}

#[test]
fn every_claim_of_the_security_page_names_its_tests() {
    let sources = sources();
    let tests = tests_of(&sources);
    let page = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let cells = test_cells(&page);
    assert!(cells.len() >= CLAIMS_MIN, "the page has only {} claims", cells.len());
    let mut faults = Vec::new();
    for cell in cells {
        let (mut file, mut named) = (String::new(), 0);
        for name in quoted(cell) {
            if ENDINGS.iter().any(|ending| name.ends_with(ending)) {
                file = format!("/{name}");
                continue;
            }
            named += 1;
            let mut there = tests.iter().filter(|(path, _)| !file.is_empty() && path.ends_with(&file));
            if !there.any(|(_, tests)| tests.contains(&name)) {
                faults.push(format!("{file} has no test `{name}`"));
            }
        }
        if named == 0 {
            faults.push(format!("a claim names no test: {cell}"));
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn every_test_of_the_known_faults_exists() {
    let sources = sources();
    let tests = tests_of(&sources);
    let root = root();
    let page = fs::read_to_string(root.join("docs/reference/known-faults.md")).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.contains("| fault |"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(rows.len() >= FAULTS_MIN, "the page lists only {} faults", rows.len());
    let mut faults = Vec::new();
    for row in &rows {
        let listed = row[2];
        assert!(listed != "–" || !row[3].is_empty(), "{}: the row has neither a test nor a reason", row[0]);
        let names = listed.split(", ").map(|name| name.trim_matches('`')).filter(|name| *name != "–");
        let found = names.filter_map(|name| fault_of(name, &tests));
        faults.extend(found.map(|fault| format!("{}: {fault}", row[0])));
    }
    assert_eq!(faults, Vec::<String>::new());
}
