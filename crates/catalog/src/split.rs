//! Split models, with the file names of llama.cpp's `gguf-split`: `NAME-00001-of-00003.gguf` and so on.
//!
//! Users name a split model by its first file. The manifest lists all files in order, each with its digest.

use std::path::{Path, PathBuf};

use crate::Error;
use crate::source::Source;

/// The maximum number of files of one model. Published models have a few dozen.
const FILES_MAX: u32 = 999;

/// The name of one file of a split model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SplitName {
    /// The part of the name before the numbers.
    pub(crate) stem: String,
    /// The number of this file, from 1.
    pub(crate) number: u32,
    /// The number of files of the model.
    pub(crate) count: u32,
}

impl SplitName {
    /// Parses a file name; `None` if it is not the name of a split model's file.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (start, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
        let (stem, number) = start.rsplit_once('-')?;
        let digits = |text: &str| {
            (text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit()))
                .then(|| text.parse::<u32>().ok())
                .flatten()
        };
        let (number, count) = (digits(number)?, digits(count)?);
        ((1..=count).contains(&number) && count <= FILES_MAX).then(|| Self {
            stem: stem.to_owned(),
            number,
            count,
        })
    }

    /// Returns the names of all files of the model, in order.
    pub(crate) fn all(&self) -> impl Iterator<Item = String> {
        let Self { stem, count, .. } = self;
        (1..=*count).map(move |number| format!("{stem}-{number:05}-of-{count:05}.gguf"))
    }
}

/// Returns Lar's own name for file `number` of `count`, used for the links in `split/`.
pub(crate) fn file_name(number: usize, count: usize) -> String {
    format!("model-{number:05}-of-{count:05}.gguf")
}

/// Returns all files of the model whose first or only file is at `first`.
///
/// # Errors
/// [`Error::Corrupt`] if `first` is a further file of a split model, or if a file of the model is missing.
pub(crate) fn files_of(first: &Path) -> Result<Vec<PathBuf>, Error> {
    let name = first.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let Some(split) = SplitName::parse(&name) else { return Ok(vec![first.to_owned()]) };
    refuse_further(&split, &name)?;
    let paths: Vec<PathBuf> = split.all().map(|name| first.with_file_name(name)).collect();
    match paths.iter().position(|path| !path.is_file()) {
        None => Ok(paths),
        Some(at) => {
            let missing = paths[at].file_name().unwrap_or_default().to_string_lossy().into_owned();
            let reason = format!("file {} of {} is missing: {missing}", at + 1, split.count);
            Err(Error::Corrupt { what: name, reason })
        }
    }
}

/// Returns the sources of all files of a model, in order. The digest in a URL applies to the first file.
///
/// # Errors
/// [`Error::Corrupt`] if `source` names a further file of a split model.
pub(crate) fn sources_of(source: &Source) -> Result<Vec<Source>, Error> {
    let file = source.file_name();
    let split = match source {
        Source::Pip { .. } | Source::PipParts { .. } => None,
        _ => SplitName::parse(&file),
    };
    let Some(split) = split else { return Ok(vec![source.clone()]) };
    refuse_further(&split, &file)?;
    Ok(split.all().map(|name| source.with_file_name(&file, &name)).collect())
}

fn refuse_further(split: &SplitName, name: &str) -> Result<(), Error> {
    match (split.number, split.all().next()) {
        (2.., Some(first)) => {
            let reason =
                format!("it is file {} of {}; use the first file: {first}", split.number, split.count);
            Err(Error::Corrupt { what: name.to_owned(), reason })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_of_llama_cpp_are_parsed() {
        let name = SplitName::parse("Big-Q4_K_M-00002-of-00003.gguf").unwrap();
        assert_eq!((name.stem.as_str(), name.number, name.count), ("Big-Q4_K_M", 2, 3));
        let all: Vec<String> = name.all().collect();
        assert_eq!(
            all,
            [
                "Big-Q4_K_M-00001-of-00003.gguf",
                "Big-Q4_K_M-00002-of-00003.gguf",
                "Big-Q4_K_M-00003-of-00003.gguf"
            ]
        );
        for other in
            ["a.gguf", "a-1-of-3.gguf", "a-00004-of-00003.gguf", "a-00000-of-00003.gguf", "a-00001-of-00003"]
        {
            assert_eq!(SplitName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("m-00001-of-00002.gguf"), b"").unwrap();
        assert_eq!(
            files_of(&at("m-00001-of-00002.gguf")).unwrap_err().to_string(),
            "m-00001-of-00002.gguf: file 2 of 2 is missing: m-00002-of-00002.gguf"
        );
        std::fs::write(at("m-00002-of-00002.gguf"), b"").unwrap();
        let both = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"].map(at).to_vec();
        assert_eq!(files_of(&both[0]).unwrap(), both);
        assert_eq!(
            files_of(&both[1]).unwrap_err().to_string(),
            "m-00002-of-00002.gguf: it is file 2 of 2; use the first file: m-00001-of-00002.gguf"
        );
    }

    #[test]
    fn every_file_of_a_split_source_is_fetched() {
        let texts = |source: &str| {
            let sources = sources_of(&source.parse().unwrap()).unwrap();
            sources.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            texts("hf:a/b/dir/m-00001-of-00002.gguf"),
            ["hf:a/b/dir/m-00001-of-00002.gguf", "hf:a/b/dir/m-00002-of-00002.gguf"]
        );
        let digest = "a".repeat(64);
        assert_eq!(
            texts(&format!("https://x.org/m-00001-of-00002.gguf?download=true#sha256={digest}")),
            [
                format!("https://x.org/m-00001-of-00002.gguf?download=true#sha256={digest}"),
                "https://x.org/m-00002-of-00002.gguf?download=true".to_owned()
            ]
        );
        assert_eq!(texts("file:/m/a.gguf"), ["file:/m/a.gguf"]);
    }
}
