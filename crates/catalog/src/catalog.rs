//! What is installed and what it is called.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use lar_base::{Bytes, Timestamp};
use lar_egress::Egress;
use lar_store::Store;
use tokio::sync::watch;

use crate::adopt::{self, AdoptableModel, ModelFolders};
use crate::blobs::{self, Directory};
use crate::model::{File, FileLocation, FileRole, Kind, Model, inspect};
use crate::pull::{Hub, Progress, Pull, Puller};
use crate::source::Source;
use crate::{Error, names, split};

/// The alias of the chat model that is used when none is named.
pub const DEFAULT_CHAT: &str = "default";
/// The alias of the embedder that is used when none is named.
pub const DEFAULT_EMBEDDING: &str = "default-embedding";
/// The alias of the reranker that is used when none is named.
pub const DEFAULT_RERANK: &str = "default-rerank";
const SMALL: &str = "small";
const CODE: &str = "code";

/// How long the hub may take to say that it is there.
const HUB_TIMEOUT: Duration = Duration::from_secs(4);

/// The aliases that stand for one kind of model each; they exist while there is a model of it.
const RESERVED: [(&str, Kind); 3] =
    [(DEFAULT_CHAT, Kind::Chat), (DEFAULT_EMBEDDING, Kind::Embedding), (DEFAULT_RERANK, Kind::Rerank)];

/// A model behind the name that a caller used.
#[derive(Debug, Clone)]
pub struct ResolvedModel {
    /// The model.
    pub model: Arc<Model>,
    /// The alias that led to it, if one did.
    pub alias: Option<String>,
}

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
    /// Reads what is installed below `directory`, which is made where it is missing, and what Lar came with below `included`.
    ///
    /// # Errors
    /// When the directory or the database cannot be used.
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

    /// Every installed model, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Model>> {
        read(&self.state.models).values().cloned().collect()
    }

    /// Every alias and the model's name it stands for, by name; those that follow from what is installed too.
    #[must_use]
    pub fn aliases(&self) -> Vec<(String, String)> {
        let mut aliases = implied_aliases(&read(&self.state.models));
        aliases.extend(read(&self.state.aliases).iter().map(|(name, target)| (name.clone(), target.clone())));
        aliases.into_iter().collect()
    }

    /// Finds the model that `name`, a model's name or an alias, stands for. Names win over aliases, and those over
    /// patterns; of patterns the longest.
    ///
    /// # Errors
    /// [`Error::Unknown`], naming what is installed.
    pub fn resolve(&self, name: &str) -> Result<ResolvedModel, Error> {
        self.resolve_for(name, None)
    }

    /// [`Catalog::resolve`] for a request that needs a model of the kind `wanted`: the error names those, and says how to serve a
    /// model under another name. The model that is found may be of another kind.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn resolve_for(&self, name: &str, required_kind: Option<Kind>) -> Result<ResolvedModel, Error> {
        let models = read(&self.state.models);
        if let Some(model) = models.get(name) {
            return Ok(ResolvedModel { model: model.clone(), alias: None });
        }
        let set = read(&self.state.aliases);
        // Nearly every request names one that is set, `default` most of all.
        if let Some(model) = set.get(name).and_then(|target| models.get(target)) {
            return Ok(ResolvedModel { model: model.clone(), alias: Some(name.to_owned()) });
        }
        let mut aliases = implied_aliases(&models);
        aliases.extend(set.clone());
        let alias = names::find_match(name, aliases.keys());
        let found = alias.and_then(|alias| Some((alias, models.get(aliases.get(alias)?)?.clone())));
        match found {
            Some((alias, model)) => Ok(ResolvedModel { model, alias: Some(alias.clone()) }),
            None => {
                // Those that chat first: they are what most callers meant.
                let mut installed: Vec<&Model> = models.values().map(AsRef::as_ref).collect();
                installed.retain(|model| required_kind.is_none_or(|kind| model.kind == kind));
                installed.sort_by_key(|model| model.kind != Kind::Chat);
                let installed = installed.into_iter().map(|model| model.name.clone()).collect();
                Err(Error::Unknown { name: name.to_owned(), installed, required_kind })
            }
        }
    }

    /// Lets `name`, which may be a pattern such as `gpt-*`, stand for the installed model `target`.
    ///
    /// # Errors
    /// [`Error::Unknown`] for the target, [`Error::Taken`] when `name` is a model's own, [`Error::WrongKind`] when it is a
    /// reserved name of another kind of model.
    pub async fn alias_set(&self, name: String, target: String) -> Result<(), Error> {
        names::check_alias(&name)?;
        let model = self.resolve(&target)?.model;
        let target = model.name.clone();
        if let Some((_, kind)) =
            RESERVED.iter().find(|(reserved, kind)| *reserved == name && *kind != model.kind)
        {
            let (needed, found) = (kind.with_article(), model.kind.with_article());
            return Err(Error::WrongKind { name, needed, target, found });
        }
        if read(&self.state.models).contains_key(&name) {
            return Err(Error::Taken(name));
        }
        self.store.alias_set(name.clone(), target.clone()).await?;
        write(&self.state.aliases).insert(name, target);
        Ok(())
    }

    /// Removes an alias and says whether it was there. `default` comes back while a chat model is installed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn alias_remove(&self, name: String) -> Result<bool, Error> {
        let there = self.store.alias_remove(name.clone()).await?;
        write(&self.state.aliases).remove(&name);
        self.ensure_defaults().await?;
        Ok(there)
    }

    /// Where a file of a model is. For weights that are split that is the first file, with the others beside it.
    #[must_use]
    pub fn path(&self, model: &Model, role: FileRole) -> Option<PathBuf> {
        match role {
            FileRole::Weights => self.directory.weights_path(model).unwrap_or_else(|error| {
                tracing::warn!(%error, model = model.name, "the files of a split model cannot be linked");
                None
            }),
            _ => model.file(role).map(|file| self.directory.path(file)),
        }
    }

    /// All files of a model's weights, the first one first; none where [`path`](Self::path) finds none.
    #[must_use]
    pub fn weights_paths(&self, model: &Model) -> Vec<PathBuf> {
        let Some(first) = self.path(model, FileRole::Weights) else { return Vec::new() };
        split::files_of(&first).unwrap_or_else(|_| vec![first])
    }

    /// Starts to get a model, or joins the pull of this source that is under way. `name` is made from the
    /// source where none is given.
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

    /// Whether the hub has the file of this source and answers within seconds; no other source is asked.
    pub async fn hub_answers(&self, source: &Source) -> bool {
        let Source::Hub { repository, file } = source else { return false };
        let pointer = self.hub.pointer(repository, file).timeout(HUB_TIMEOUT);
        self.egress.send(pointer).await.is_ok_and(|answer| answer.status() == 200)
    }

    /// Every pull since the start, under way or over.
    #[must_use]
    pub fn pulls(&self) -> Vec<Pull> {
        lock(&self.state.pulls).values().cloned().collect()
    }

    /// What other programs hold that is not installed here yet.
    ///
    /// # Errors
    /// When the search cannot be run.
    pub async fn find_adoptable(&self, places: ModelFolders) -> Result<Vec<AdoptableModel>, Error> {
        let found = blocking(move || Ok(adopt::search(&places))).await?;
        // A split model that an older Lar registered by its first file alone is adopted anew.
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

    /// Registers a file that another program holds. It is read there and never changed.
    ///
    /// # Errors
    /// When it is no usable model, or its name is taken.
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
            let name = names::from_file(&found.name);
            let source = format!("adopted from {}", found.program);
            let added_at = Timestamp::now();
            let model = Model { name, kind, files, facts, source, attribution: None, added_at };
            match directory.models().get(&model.name) {
                Some(present) if present.weights().eq(model.weights()) => Ok(present.clone()),
                // Registered by its first file alone, by an older Lar.
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

    /// Compares a model's files with their digests; returns those that differ.
    ///
    /// # Errors
    /// When it is not installed or a file cannot be read.
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

    /// Uninstalls a model and returns the space that this freed. Adopted files stay where they are.
    ///
    /// # Errors
    /// When it is not installed, `name` is an alias, or it cannot be removed.
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

    /// Reads the models directory again: another data directory may have changed it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn refresh(&self) -> Result<(), Error> {
        let directory = self.directory.clone();
        let models = blocking(move || Ok(directory.models())).await?;
        *write(&self.state.models) =
            models.into_iter().map(|(name, model)| (name, Arc::new(model))).collect();
        self.ensure_defaults().await
    }

    /// The reserved aliases exist, and stand for a model of their kind, while there is one.
    async fn ensure_defaults(&self) -> Result<(), Error> {
        for (alias, kind) in RESERVED {
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

/// The aliases that follow from what is installed, unless somebody set them: `small`, the chat model with the fewest
/// parameters, and `code`, the largest that was made for it. Whether a model sees pictures is not asked: no engine here
/// takes them.
fn implied_aliases(models: &BTreeMap<String, Arc<Model>>) -> BTreeMap<String, String> {
    let chats = || models.values().filter(|model| model.kind == Kind::Chat);
    let small = chats().min_by_key(|model| model.facts.parameters);
    let code =
        chats().filter(|model| names::is_for_code(&model.name)).max_by_key(|model| model.facts.parameters);
    let named = [(SMALL, small), (CODE, code)].into_iter();
    named.filter_map(|(alias, model)| Some((alias.to_owned(), model?.name.clone()))).collect()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Download(error.to_string()))?
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
