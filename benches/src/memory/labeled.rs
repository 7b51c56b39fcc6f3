//! The labeled sets of `benches/data/memory`, and sealed ones from a folder that the caller names.
//!
//! Each set is a folder with `pairs.jsonl`, `chats.jsonl` or `secrets.jsonl`, written independently in one voice. The
//! rules were made with the calibration sets, whose pairs are in `crates/memory/calibration`. The other sets were
//! sealed before and measured once (`benches/data/memory/README.md`).

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

/// The folder of the sets in the repository.
const SETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/memory");
/// The folder of the pairs of these sets, with which models are calibrated as judges too.
const PAIRS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/memory/calibration");
/// Names a folder with further sets.
const MORE_SETS: &str = "LAR_MEMORY_SETS";

/// Set to print every item whose outcome is unlike its label.
const SHOW_MISSES: &str = "LAR_MEMORY_MISSES";

/// A labeled set.
pub(crate) struct LabeledSet {
    pub(crate) name: String,
    folder: PathBuf,
}

impl LabeledSet {
    /// Returns every set, by name.
    pub(crate) fn all() -> anyhow::Result<Vec<Self>> {
        #[expect(clippy::disallowed_methods, reason = "the environment names further sets")]
        let more = std::env::var_os(MORE_SETS).map(PathBuf::from);
        let mut sets = Vec::new();
        for folder in [Some(PathBuf::from(SETS)), more].into_iter().flatten() {
            for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
                let folder = entry?.path();
                if ["pairs.jsonl", "chats.jsonl"].iter().any(|file| folder.join(file).is_file()) {
                    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    sets.push(Self { name, folder });
                }
            }
        }
        sets.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(sets)
    }

    /// Returns the items of a file of the set; none if the set has no such file.
    pub(crate) fn items(&self, file: &str) -> anyhow::Result<Vec<Value>> {
        let calibration = Path::new(PAIRS).join(format!("{}.jsonl", self.name));
        match self.folder.join(file) {
            path if path.is_file() => read(&path),
            _ if file == "pairs.jsonl" && calibration.is_file() => read(&calibration),
            _ => Ok(Vec::new()),
        }
    }

    /// Returns the texts with and without secrets.
    pub(crate) fn secrets(&self) -> anyhow::Result<Vec<Value>> {
        let rotated = self.folder.join("secrets.rot13.jsonl");
        if !rotated.is_file() {
            return self.items("secrets.jsonl");
        }
        let text = rot13(&std::fs::read_to_string(&rotated)?);
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}

/// Rotates letters by 13 places. Sets in the repository are stored so.
fn rot13(text: &str) -> String {
    let rotate = |c: char, first: u8| char::from((c as u8 - first + 13) % 26 + first);
    let rotated = text.chars().map(|c| match c {
        'a'..='z' => rotate(c, b'a'),
        'A'..='Z' => rotate(c, b'A'),
        _ => c,
    });
    rotated.collect()
}

fn read(path: &Path) -> anyhow::Result<Vec<Value>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Returns a text field of an item.
pub(crate) fn text<'a>(item: &'a Value, field: &str) -> anyhow::Result<&'a str> {
    item[field].as_str().with_context(|| format!("{} has no text {field}", item["id"]))
}

/// Returns the texts of a list field of an item; empty if it has none.
pub(crate) fn texts(item: &Value, field: &str) -> Vec<String> {
    let list = item[field].as_array().into_iter().flatten();
    list.filter_map(|text| text.as_str().map(ToOwned::to_owned)).collect()
}

/// Returns whether items whose outcome is unlike their label are printed.
#[expect(clippy::disallowed_methods, reason = "the environment asks for details")]
pub(crate) fn shows_misses() -> bool {
    std::env::var_os(SHOW_MISSES).is_some()
}
