//! Computes the figures of the code base that `cargo xtask figures` prints.
//!
//! The figures inform. The limits that a change must keep are in `tests/`.

use std::fmt::Write as _;

use anyhow::ensure;

use crate::modules::Crate;
use crate::sources::{self, Source};
use crate::{docs, imports, modules, prose};

/// A file with more lines than this is listed by name.
const LARGE_FILE_LINES: usize = 500;

/// Returns the figures as plain text, one a line.
///
/// # Errors
///
/// If a source file cannot be read or parsed.
pub fn report() -> anyhow::Result<String> {
    let crates = modules::crates()?;
    let products: Vec<&Crate> = crates.iter().filter(|krate| is_product(&krate.root)).collect();
    let rust = sources::rust_files()?;
    let markdown = sources::markdown_files()?;
    let files: Vec<&Source> = rust.iter().filter(|file| is_product(&file.path)).collect();

    let mut lengths: Vec<usize> = files.iter().map(|file| file.text.lines().count()).collect();
    lengths.sort_unstable();
    let large: Vec<String> = files
        .iter()
        .map(|file| (file.text.lines().count(), &file.path))
        .filter(|(lines, _)| *lines > LARGE_FILE_LINES)
        .map(|(lines, path)| format!("{path} ({lines})"))
        .collect();
    let cycles: Vec<String> = products
        .iter()
        .filter_map(|krate| {
            let largest = imports::cycles(&imports::imports(krate)).first()?.len();
            Some(format!("{} {largest}", krate.name()))
        })
        .collect();
    let public = products.iter().flat_map(|krate| docs::documented(krate)).filter(|item| item.is_public);
    let undocumented = public.filter(|item| item.docs.is_empty()).count();
    let wide = rust.iter().map(|file| prose::wide_doc_lines(&file.text).len()).sum::<usize>()
        + markdown.iter().map(|file| prose::wide_markdown_lines(&file.text).len()).sum::<usize>();

    let mut text = String::new();
    writeln!(text, "crates: {}", products.len())?;
    writeln!(text, "files in crates/*/src: {}", files.len())?;
    writeln!(text, "lines per file, median: {}", percentile(&lengths, 50))?;
    writeln!(text, "lines per file, 95th percentile: {}", percentile(&lengths, 95))?;
    writeln!(text, "files over {LARGE_FILE_LINES} lines: {}", list(&large))?;
    writeln!(text, "files in the largest import cycle of each crate: {}", list(&cycles))?;
    writeln!(text, "public items without documentation: {undocumented}")?;
    writeln!(text, "lines of documentation over {} columns: {wide}", prose::COLUMNS_MAX)?;
    Ok(text)
}

/// Returns the import cycles of a crate as plain text: each file, and the files of its cycle that it imports.
///
/// # Errors
///
/// If there is no such crate, or a source file cannot be read or parsed.
pub fn cycles(name: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    let crates = modules::crates()?;
    let named: Vec<&Crate> = crates.iter().filter(|krate| krate.name() == name).collect();
    ensure!(!named.is_empty(), "there is no crate `{name}`");
    for krate in named {
        let imports = imports::imports(krate);
        for cycle in imports::cycles(&imports) {
            writeln!(text, "{} files in a cycle:", cycle.len())?;
            for file in &cycle {
                let targets: Vec<String> =
                    imports[file].iter().filter(|target| cycle.contains(target)).cloned().collect();
                writeln!(text, "  {file} imports {}", list(&targets))?;
            }
        }
    }
    if text.is_empty() {
        text.push_str("no import cycles\n");
    }
    Ok(text)
}

/// Returns whether a file is part of Lar itself, not of its tests and tools.
#[must_use]
pub fn is_product(path: &str) -> bool {
    path.starts_with("crates/") && path.contains("/src/")
}

/// Returns the value below which `percent` of the values are. `sorted` is in ascending order.
fn percentile(sorted: &[usize], percent: usize) -> usize {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

fn list(values: &[String]) -> String {
    if values.is_empty() { "none".to_owned() } else { values.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<usize> = (1..=20).collect();
        assert_eq!(
            [percentile(&values, 50), percentile(&values, 95), percentile(&values, 100)],
            [10, 19, 20]
        );
        assert_eq!(percentile(&[], 50), 0);
    }
}
