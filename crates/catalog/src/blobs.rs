//! The models directory, and the read-only directory of models that came with Lar.
//!
//! - `blobs/`: files by digest
//! - `manifests/`: models by name
//! - `partial/`: unfinished pulls
//! - `split/`: links that give the files of split models the names that llama.cpp expects
//!
//! Everything here is synchronous; callers run it on blocking threads.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use lar_base::files::read_small;
use lar_base::{Bytes, secret};
use sha2::{Digest as _, Sha256};

use crate::model::{File, FileLocation, FileRole, Model};
use crate::pull::PullLock;
use crate::{Error, split};

/// The number of bytes to read at a time while hashing.
const CHUNK_BYTES: usize = 1 << 20;
/// The size limit of a manifest. Its largest part is the chat template: 1 MiB, which JSON escapes to 6 MiB at
/// most.
const MANIFEST_BYTES_MAX: Bytes = Bytes::mib(16);

#[derive(Debug, Clone)]
pub(crate) struct Directory {
    root: PathBuf,
    /// The read-only directory of models that came with Lar.
    included: Option<PathBuf>,
}

impl Directory {
    /// Opens the directories. Creates `root` if missing; `included` must exist.
    pub(crate) fn open(root: PathBuf, included: Option<PathBuf>) -> Result<Self, Error> {
        for folder in ["blobs", "manifests", "partial"] {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(Error::io(path))?;
        }
        crate::pull::sweep(&root.join("partial"));
        if let Some(included) = &included {
            fs::read_dir(included.join("manifests")).map_err(Error::io(included))?;
        }
        Ok(Self { root, included })
    }

    pub(crate) fn blob(&self, sha256: &str) -> PathBuf {
        blob(&self.root, sha256)
    }

    /// Returns the path prefix for an unfinished pull of this source, named by the digest of the source's
    /// text.
    pub(crate) fn partial(&self, source: &str) -> PathBuf {
        let key = secret::hex(&Sha256::digest(source.as_bytes())[..16]);
        self.root.join("partial").join(key)
    }

    /// Returns the path of a model's file.
    pub(crate) fn path(&self, file: &File) -> PathBuf {
        match &file.location {
            FileLocation::Blob => {
                let own = self.blob(&file.sha256);
                let included = self.included.as_ref().filter(|_| !own.is_file());
                included.map_or(own, |root| blob(root, &file.sha256))
            }
            FileLocation::InPlace(path) => path.clone(),
        }
    }

    /// Returns the path of a model's weights: the only file, or the first of several.
    ///
    /// Further files are in the same folder, under the names that llama.cpp expects.
    pub(crate) fn weights_path(&self, model: &Model) -> Result<Option<PathBuf>, Error> {
        let files: Vec<&File> = model.weights().collect();
        match files.as_slice() {
            [] => Ok(None),
            [file] => Ok(Some(self.path(file))),
            [first, ..] if first.location != FileLocation::Blob => Ok(Some(self.path(first))),
            [first, ..] => {
                let folder = self.split_folder(&first.sha256);
                let paths = files.iter().enumerate().map(|(at, file)| {
                    let link = folder.join(split::file_name(at + 1, files.len()));
                    (link, self.path(file))
                });
                let paths: Vec<(PathBuf, PathBuf)> = paths.collect();
                if paths.iter().any(|(link, file)| fs::read_link(link).ok().as_ref() != Some(file)) {
                    fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
                    for (link, file) in &paths {
                        let _ = fs::remove_file(link);
                        std::os::unix::fs::symlink(file, link).map_err(Error::io(link))?;
                    }
                }
                Ok(paths.into_iter().next().map(|(link, _)| link))
            }
        }
    }

    /// Returns the folder with the links to a split model's files, named by the digest of the first file.
    fn split_folder(&self, sha256: &str) -> PathBuf {
        self.root.join("split").join(sha256)
    }

    /// Fails unless the disk has room for `needed` more bytes and another 64 MiB.
    pub(crate) fn check_room(&self, needed: u64) -> Result<(), Error> {
        let Ok(disk) = rustix::fs::statvfs(&self.root) else { return Ok(()) };
        let available = disk.f_bavail.saturating_mul(disk.f_frsize);
        let needed = needed.saturating_add(Bytes::mib(64).get());
        if available < needed {
            return Err(Error::Full { needed: Bytes(needed), available: Bytes(available) });
        }
        Ok(())
    }

    /// Moves a complete file to its path in `blobs/`. An existing blob with this digest stays.
    pub(crate) fn add_file(&self, from: &Path, role: FileRole, sha256: String) -> Result<File, Error> {
        let to = self.blob(&sha256);
        let file = fs::File::open(from).map_err(Error::io(from))?;
        let size = Bytes(file.metadata().map_err(Error::io(from))?.len());
        file.sync_all().map_err(Error::io(from))?;
        if to.is_file() {
            fs::remove_file(from).map_err(Error::io(from))?;
        } else {
            fs::rename(from, &to).map_err(Error::io(&to))?;
            self.share(&to);
        }
        Ok(File { role, sha256, size, location: FileLocation::Blob })
    }

    /// Makes a file readable for everyone who may read the models directory, because people may share models.
    ///
    /// This process creates files that only its own user can read.
    fn share(&self, path: &Path) {
        let Ok(about) = fs::metadata(&self.root) else { return };
        let mode = 0o600 | (about.permissions().mode() & 0o044);
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(mode));
    }

    /// Installs a model by writing its manifest, in one rename.
    pub(crate) fn register(&self, model: &Model) -> Result<(), Error> {
        let path = self.manifest(&model.name);
        let partial = self.partial(&format!("manifest:{}", model.name));
        // Without the lock, another Lar that opens the directory now would remove the file.
        let _lock = PullLock::wait(&partial)?;
        let partial = partial.with_extension("json");
        let text = serde_json::to_vec_pretty(model);
        let text = text.map_err(|error| Error::Io { path: path.clone(), reason: error.to_string() })?;
        let mut file = fs::File::create(&partial).map_err(Error::io(&partial))?;
        file.write_all(&text).map_err(Error::io(&partial))?;
        file.sync_all().map_err(Error::io(&partial))?;
        fs::rename(&partial, &path).map_err(Error::io(&path))?;
        self.share(&path);
        let folder = self.root.join("manifests");
        fs::File::open(&folder).and_then(|folder| folder.sync_all()).map_err(Error::io(folder))
    }

    /// Reads every model with a readable manifest and all its files.
    ///
    /// An installed model hides one of the same name that came with Lar.
    pub(crate) fn models(&self) -> BTreeMap<String, Model> {
        let mut models = BTreeMap::new();
        let folders = self.included.iter().chain([&self.root]);
        let entries = folders.flat_map(|root| fs::read_dir(root.join("manifests"))).flatten().flatten();
        for entry in entries {
            let Ok(text) = read_small(&entry.path(), MANIFEST_BYTES_MAX) else { continue };
            match serde_json::from_slice::<Model>(&text) {
                Ok(model) if model.files.iter().all(|file| self.path(file).is_file()) => {
                    models.insert(model.name.clone(), model);
                }
                Ok(model) => tracing::warn!(model = %model.name, "left out a model: files are missing"),
                Err(error) => {
                    tracing::warn!(path = %entry.path().display(), %error, "could not read a manifest")
                }
            }
        }
        models
    }

    /// Removes a model's manifest and the blobs that no other model uses. Returns the freed bytes.
    pub(crate) fn remove(&self, model: &Model) -> Result<Bytes, Error> {
        let path = self.manifest(&model.name);
        if self.included.is_some() && !path.exists() {
            return Err(Error::Included(model.name.clone()));
        }
        fs::remove_file(&path).map_err(Error::io(path))?;
        let others = self.models();
        if !others.values().any(|other| other.digest() == model.digest()) {
            let _ = fs::remove_dir_all(self.split_folder(model.digest()));
        }
        let mut freed = 0;
        for file in model.files.iter().filter(|file| file.location == FileLocation::Blob) {
            let used =
                others.values().flat_map(|model| &model.files).any(|other| other.sha256 == file.sha256);
            if !used && fs::remove_file(self.blob(&file.sha256)).is_ok() {
                freed += file.size.get();
            }
        }
        Ok(Bytes(freed))
    }

    fn manifest(&self, name: &str) -> PathBuf {
        self.root.join("manifests").join(format!("{name}.json"))
    }
}

/// Returns the path of a blob below the models directory `root`.
fn blob(root: &Path, sha256: &str) -> PathBuf {
    root.join("blobs").join(format!("sha256-{sha256}"))
}

/// Computes the sha256 of a file. Calls `on_bytes` with the number of bytes read so far.
pub(crate) fn sha256(path: &Path, on_bytes: &mut dyn FnMut(u64)) -> Result<String, Error> {
    let mut file = fs::File::open(path).map_err(Error::io(path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut done = 0;
    loop {
        let read = file.read(&mut buffer).map_err(Error::io(path))?;
        if read == 0 {
            return Ok(secret::hex(&hash.finalize()));
        }
        hash.update(&buffer[..read]);
        done += read as u64;
        on_bytes(done);
    }
}
