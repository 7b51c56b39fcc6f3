//! The catalog: installed models, their aliases and running pulls.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use lar_base::{Bytes, Timestamp};
use lar_egress::Egress;
use lar_store::Store;
use tokio::sync::watch;

use crate::adopt::{self, AdoptableModel, ModelFolders};
use crate::aliases::{self, ResolvedModel};
use crate::blobs::{self, Directory};
use crate::kind::Kind;
use crate::model::{File, FileLocation, FileRole, Model, inspect};
use crate::pull::{Hub, Progress, Pull, Puller};
use crate::source::Source;
use crate::{Error, name_derivation, split};

/// The time limit for the check whether the hub is reachable.
const HUB_TIMEOUT: Duration = Duration::from_secs(4);

/// The installed models of one models directory and the aliases of one data directory.
#[derive(Debug, Clone)]
pub struct Catalog {
    directory: Directory,
    hub: Hub,
    egress: Egress,
    store: Store,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    models: RwLock<BTreeMap<String, Arc<Model>>>,
    aliases: RwLock<BTreeMap<String, String>>,
    pulls: Mutex<HashMap<Source, Pull>>,
}

impl Catalog {
    /// Opens the catalog of `directory`, which is created if missing, and of the models in `included` that
    /// came with Lar.
    ///
    /// # Errors
    /// Fails if a directory or the database cannot be used.
    pub async fn open(
        directory: PathBuf,
        included: Option<PathBuf>,
        hub: &str,
        store: Store,
        egress: Egress,
    ) -> Result<Self, Error> {
        let (directory, hub) = (Directory::open(directory, included)?, Hub::at(hub));
        let catalog = Self { directory, hub, egress, store, state: Arc::default() };
        let aliases = catalog.store.alias_list().await?;
        *write(&catalog.state.aliases) =
            aliases.into_iter().map(|alias| (alias.name, alias.target)).collect();
        catalog.refresh().await?;
        Ok(catalog)
    }

    /// Returns every installed model, sorted by name.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Model>> {
        read(&self.state.models).values().cloned().collect()
    }

    /// Returns every alias, also the implied ones, with the name of its model, sorted by alias.
    #[must_use]
    pub fn aliases(&self) -> Vec<(String, String)> {
        aliases::all(&read(&self.state.models), &read(&self.state.aliases)).into_iter().collect()
    }

    /// Finds the model for `name`, which is a model's name or an alias.
    ///
    /// A model's name has priority over an alias, an alias over a pattern, and a longer pattern over a
    /// shorter one.
    ///
    /// # Errors
    /// [`Error::Unknown`], which lists the installed models.
    pub fn resolve(&self, name: &str) -> Result<ResolvedModel, Error> {
        self.resolve_for(name, None)
    }

    /// Resolves a name like [`Catalog::resolve`], for a request that needs a model of `required_kind`.
    ///
    /// The kind affects only the error: it lists the models of this kind, and explains how to set an alias.
    /// The returned model can be of another kind.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn resolve_for(&self, name: &str, required_kind: Option<Kind>) -> Result<ResolvedModel, Error> {
        aliases::resolve(name, required_kind, &read(&self.state.models), &read(&self.state.aliases))
    }

    /// Makes `name`, which may be a pattern such as `gpt-*`, an alias of the installed model `target`.
    ///
    /// # Errors
    /// [`Error::Unknown`] for the target, [`Error::Taken`] if `name` is a model's own name,
    /// [`Error::WrongKind`] if `name` is a reserved alias for another kind of model.
    pub async fn alias_set(&self, name: String, target: String) -> Result<(), Error> {
        aliases::check_syntax(&name)?;
        let model = self.resolve(&target)?.model;
        let target = model.name.clone();
        aliases::check_kind(&name, &model)?;
        if read(&self.state.models).contains_key(&name) {
            return Err(Error::Taken(name));
        }
        self.store.alias_set(name.clone(), target.clone()).await?;
        write(&self.state.aliases).insert(name, target);
        Ok(())
    }

    /// Removes an alias. Returns whether it existed.
    ///
    /// A reserved alias such as `default` is set again immediately if a model of its kind is installed.
    ///
    /// # Errors
    /// Fails if the database fails.
    pub async fn alias_remove(&self, name: String) -> Result<bool, Error> {
        let there = self.store.alias_remove(name.clone()).await?;
        write(&self.state.aliases).remove(&name);
        self.ensure_defaults().await?;
        Ok(there)
    }

    /// Returns the path of a model's file. For a split model's weights, this is the first file; the others
    /// are in the same folder.
    #[must_use]
    pub fn path(&self, model: &Model, role: FileRole) -> Option<PathBuf> {
        match role {
            FileRole::Weights => self.directory.weights_path(model).unwrap_or_else(|error| {
                tracing::warn!(%error, model = model.name, "could not link the files of a split model");
                None
            }),
            _ => model.file(role).map(|file| self.directory.path(file)),
        }
    }

    /// Returns all files of a model's weights, in order; empty if [`path`](Self::path) finds none.
    #[must_use]
    pub fn weights_paths(&self, model: &Model) -> Vec<PathBuf> {
        let Some(first) = self.path(model, FileRole::Weights) else { return Vec::new() };
        split::files_of(&first).unwrap_or_else(|_| vec![first])
    }

    /// Starts a pull, or returns the running pull of the same source. Without `name`, derives the model's
    /// name from the source.
    #[must_use]
    pub fn pull(&self, source: Source, name: Option<String>) -> Pull {
        let mut pulls = lock(&self.state.pulls);
        if let Some(pull) = pulls.get(&source).filter(|pull| pull.outcome.borrow().is_none()) {
            return pull.clone();
        }
        let (progress, watched) = watch::channel(Progress::Downloading { done: Bytes(0), total: None });
        let (outcome, over) = watch::channel(None);
        let pull = Pull { source: source.clone(), progress: watched, outcome: over };
        pulls.insert(source.clone(), pull.clone());
        drop(pulls);
        let catalog = self.clone();
        tokio::spawn(async move {
            let puller = Puller {
                directory: catalog.directory.clone(),
                hub: catalog.hub.clone(),
                egress: catalog.egress.clone(),
                progress: progress.clone(),
                fetched_before: 0,
            };
            let mut result = puller.run(&source, name).await;
            if let Err(error) = catalog.refresh().await {
                result = result.and(Err(error));
            }
            progress.send_replace(match &result {
                Ok(model) => Progress::Done { name: model.name.clone() },
                Err(error) => Progress::Failed { reason: error.to_string() },
            });
            outcome.send_replace(Some(result));
        });
        pull
    }

    /// Returns whether the hub has the file of this source and answers within seconds; `false` for other
    /// sources.
    pub async fn hub_answers(&self, source: &Source) -> bool {
        let Source::Hub { repository, file } = source else { return false };
        let pointer = self.hub.pointer(repository, file).timeout(HUB_TIMEOUT);
        self.egress.send(pointer).await.is_ok_and(|answer| answer.status() == 200)
    }

    /// Returns every pull since Lar started, running or finished.
    #[must_use]
    pub fn pulls(&self) -> Vec<Pull> {
        lock(&self.state.pulls).values().cloned().collect()
    }

    /// Finds models of other programs that are not in the catalog yet.
    ///
    /// # Errors
    /// Fails if the search does not run to its end.
    pub async fn find_adoptable(&self, folders: ModelFolders) -> Result<Vec<AdoptableModel>, Error> {
        let found = blocking(move || Ok(adopt::search(&folders))).await?;
        // Older versions of Lar registered only the first file of a split model. Adopt such a model again.
        let whole = |model: &&Arc<Model>| {
            let first = model.file(FileRole::Weights).map(|file| self.directory.path(file));
            first.is_none_or(|first| {
                split::files_of(&first).is_ok_and(|files| files.len() == model.weights().count())
            })
        };
        let known: Vec<PathBuf> = self
            .list()
            .iter()
            .filter(whole)
            .flat_map(|model| model.files.iter().map(|file| self.directory.path(file)))
            .collect();
        Ok(found.into_iter().filter(|found| !known.contains(&found.path)).collect())
    }

    /// Registers a model file of another program. Lar reads it in place and never changes it.
    ///
    /// # Errors
    /// Fails if the file is not a usable model, or the name belongs to another model.
    pub async fn adopt(
        &self,
        found: AdoptableModel,
        on_bytes: impl Fn(u64) + Send + 'static,
    ) -> Result<Model, Error> {
        let directory = self.directory.clone();
        let model = blocking(move || {
            let paths = split::files_of(&found.path)?;
            let (kind, facts) = inspect(&paths, None)?;
            let mut known = found.sha256;
            let (mut files, mut before) = (Vec::new(), 0);
            for path in paths {
                let size = Bytes(std::fs::metadata(&path).map_err(Error::io(&path))?.len());
                let sha256 = match known.take() {
                    Some(sha256) => sha256,
                    None => blobs::sha256(&path, &mut |done| on_bytes(before + done))?,
                };
                before += size.get();
                let role = if files.is_empty() { FileRole::Weights } else { FileRole::WeightsPart };
                files.push(File { role, sha256, size, location: FileLocation::InPlace(path) });
            }
            let name = name_derivation::from_file(&found.name);
            let source = format!("adopted from {}", found.program);
            let added_at = Timestamp::now();
            let model =
                Model { name, kind, files, facts, source, attribution: None, prompts: None, added_at };
            match directory.models().get(&model.name) {
                Some(present) if present.weights().eq(model.weights()) => Ok(present.clone()),
                // An older version of Lar registered only the first file.
                Some(present)
                    if present.digest() == model.digest()
                        && present.weights().count() < model.weights().count() =>
                {
                    directory.register(&model).map(|()| model)
                }
                Some(present) => Err(Error::Taken(present.name.clone())),
                None => directory.register(&model).map(|()| model),
            }
        })
        .await?;
        self.refresh().await?;
        Ok(model)
    }

    /// Compares a model's files with their digests. Returns the paths of the files that differ.
    ///
    /// # Errors
    /// Fails if the model is not installed or a file cannot be read.
    pub async fn verify(&self, name: &str) -> Result<Vec<String>, Error> {
        let model = self.resolve(name)?.model;
        let directory = self.directory.clone();
        blocking(move || {
            let mut wrong = Vec::new();
            for file in &model.files {
                let path = directory.path(file);
                if blobs::sha256(&path, &mut |_| {})? != file.sha256 {
                    wrong.push(path.display().to_string());
                }
            }
            Ok(wrong)
        })
        .await
    }

    /// Uninstalls a model. Returns the freed bytes. Adopted files stay where they are.
    ///
    /// # Errors
    /// Fails if the model is not installed, `name` is an alias, or the model came with Lar.
    pub async fn remove(&self, name: &str) -> Result<Bytes, Error> {
        let ResolvedModel { model, alias } = self.resolve(name)?;
        if let Some(alias) = alias {
            return Err(Error::Alias { alias, model: model.name.clone() });
        }
        let directory = self.directory.clone();
        let freed = blocking(move || directory.remove(&model)).await?;
        self.refresh().await?;
        Ok(freed)
    }

    /// Reads the models directory again, because Lar with another data directory may have changed it.
    ///
    /// # Errors
    /// Fails if the database fails.
    pub async fn refresh(&self) -> Result<(), Error> {
        let directory = self.directory.clone();
        let models = blocking(move || Ok(directory.models())).await?;
        *write(&self.state.models) =
            models.into_iter().map(|(name, model)| (name, Arc::new(model))).collect();
        self.ensure_defaults().await
    }

    /// Points each reserved alias without a valid target to the oldest model of its kind.
    async fn ensure_defaults(&self) -> Result<(), Error> {
        for (alias, kind) in aliases::RESERVED {
            let current = read(&self.state.aliases).get(alias).cloned();
            let models = self.list();
            if current
                .is_some_and(|target| models.iter().any(|model| model.name == target && model.kind == kind))
            {
                continue;
            }
            let oldest = models.iter().filter(|model| model.kind == kind).min_by_key(|model| model.added_at);
            match oldest.map(|model| model.name.clone()) {
                Some(target) => {
                    self.store.alias_set(alias.to_owned(), target.clone()).await?;
                    write(&self.state.aliases).insert(alias.to_owned(), target);
                }
                None => {
                    write(&self.state.aliases).remove(alias);
                }
            }
        }
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(Error::aborted("work on the models directory"))?
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
