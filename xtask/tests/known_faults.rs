//! Each name in `docs/reference/known-faults.md` is that of one test.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// Faults that the page lists at least; a row that is lost is found by it.
const FAULTS_MIN: usize = 134;

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

/// Scripts whose whole run is the test.
const SCRIPTS: [&str; 3] =
    ["tests/conformance/docs.py", "tests/conformance/first_run.sh", "tests/conformance/schemathesis/run.sh"];
/// How the names of files end that hold tests or are one.
const ENDINGS: [&str; 4] = [".rs", ".py", ".spec.ts", "run.sh"];

/// The titles of the tests in a source of Playwright's.
fn titles_in(source: &str) -> Vec<&str> {
    source.lines().filter_map(|line| line.trim().strip_prefix("test(\"")?.split('"').next()).collect()
}

/// The names of the test functions in a source: those behind a test attribute, in Python those that pytest takes for one.
fn tests_in(source: &str, is_python: bool) -> Vec<&str> {
    let name = |line: &str, word: &str| {
        let at = line.find(word).filter(|at| *at == 0 || line[..*at].ends_with(' '))?;
        let rest = &line[at + word.len()..];
        rest.find('(').map(|end| (at + word.len(), at + word.len() + end))
    };
    let mut found = Vec::new();
    let mut behind_attribute = false;
    for line in source.lines().map(str::trim) {
        if is_python {
            found.extend(
                name(line, "def ").map(|(from, to)| &line[from..to]).filter(|name| name.starts_with("test")),
            );
        } else if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            behind_attribute = true;
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            let function = name(line, "fn ").map(|(from, to)| &line[from..to]);
            found.extend(function.filter(|_| behind_attribute));
            behind_attribute = false;
        }
    }
    found
}

/// Why a name is not that of one test; `tests` are those of each file, by its path.
fn fault_of(name: &str, tests: &[(&str, Vec<&str>)]) -> Option<String> {
    let is_file = ENDINGS.iter().any(|ending| name.ends_with(ending));
    let below = format!("/{name}");
    let count = match is_file {
        true if !name.ends_with(".spec.ts") && !SCRIPTS.contains(&name) => 0,
        true => tests.iter().filter(|(path, _)| path.ends_with(&below)).count(),
        false => tests.iter().flat_map(|(_, tests)| tests).filter(|test| **test == name).count(),
    };
    match count {
        0 => Some(format!("`{name}` is no test")),
        1 => None,
        count => Some(format!("{count} tests are named `{name}`: rename the one that is meant")),
    }
}

#[test]
fn only_functions_behind_an_attribute_are_tests() {
    let rust = "#[test]\n#[cfg(unix)]\n/// Why.\nfn one() {\n fn helper() {}\n}\n#[tokio::test(flavor = \"x\")]\nasync fn two() {}\n\
                fn three() {}\n#[test]\nconst X: u8 = 1;\nfn four() {}\n";
    assert_eq!(tests_in(rust, false), ["one", "two"]);
    assert_eq!(tests_in("def helper():\n  pass\nasync def test_x(a):\n", true), ["test_x"]);
    assert_eq!(titles_in("// A page.\ntest(\"a page opens\", async () => {\n"), ["a page opens"]);
}

#[test]
fn each_listed_name_belongs_to_one_test() {
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
    assert_eq!(fault("two").unwrap(), "`two` is no test");
    assert_eq!(fault("crates/x/src/ps.rs").unwrap(), "`crates/x/src/ps.rs` is no test");
    assert_eq!(fault("screens").unwrap(), "2 tests are named `screens`: rename the one that is meant");
}

#[test]
fn tests_of_known_faults_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let mut paths = Vec::new();
    ["crates", "tests", "xtask", "web/tests"].iter().for_each(|folder| files(&root.join(folder), &mut paths));
    let sources: Vec<(String, String)> = paths
        .iter()
        .map(|path| (path.to_string_lossy().into_owned(), fs::read_to_string(path).unwrap()))
        .collect();
    let tests: Vec<(&str, Vec<&str>)> = sources
        .iter()
        .map(|(path, source)| {
            let is_page = path.ends_with(".spec.ts");
            (path.as_str(), if is_page { titles_in(source) } else { tests_in(source, path.ends_with(".py")) })
        })
        .collect();
    let page = fs::read_to_string(root.join("docs/reference/known-faults.md")).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.contains("| fault |"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(rows.len() >= FAULTS_MIN, "{} faults are listed", rows.len());
    let mut faults = Vec::new();
    for row in &rows {
        let named = row[2];
        assert!(named != "–" || !row[3].is_empty(), "{}: no test, and no reason", row[0]);
        let names = named.split(", ").map(|name| name.trim_matches('`')).filter(|name| *name != "–");
        let found = names.filter_map(|name| fault_of(name, &tests));
        faults.extend(found.map(|fault| format!("{}: {fault}", row[0])));
    }
    assert_eq!(faults, Vec::<String>::new());
}
