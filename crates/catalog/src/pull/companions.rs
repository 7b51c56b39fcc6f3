//! The files beside the weights of a safetensors model: in a package, in a folder, or on the hub.

use std::path::{Path, PathBuf};

use lar_base::Bytes;
use lar_egress::{Method, Request, Trust};

use super::{FetchedFiles, FetchedWeights, Puller};
use crate::Error;
use crate::source::WEIGHTS;

/// sentence-transformers' configuration, which may state prompts.
pub(super) const PROMPTS: &str = "config_sentence_transformers.json";

const TOKENIZER: &str = "tokenizer.json";
const CONFIG: &str = "config.json";
const POOLING: &str = "1_Pooling/config.json";
/// The size limit of a companion on the hub. A tokenizer with a vocabulary of 256,000 tokens has about 33 MiB.
const COMPANION_BYTES_MAX: Bytes = Bytes::mib(256);
const NOT_FOUND: u16 = 404;

/// Finds the other files of a model in the folder of its weights. Returns `None` if it has no tokenizer or no
/// configuration.
pub(super) fn find(weights: FetchedWeights) -> Option<FetchedFiles> {
    let beside = |name: &str| Some(weights.path.with_file_name(name)).filter(|path| path.is_file());
    let (tokenizer, config) = (beside(TOKENIZER)?, beside(CONFIG)?);
    Some(FetchedFiles {
        tokenizer: Some(tokenizer),
        config: Some(config),
        pooling: beside(POOLING),
        prompts: beside(PROMPTS),
        weights: vec![weights],
    })
}

impl Puller {
    /// Copies the files of a model's folder.
    pub(super) async fn copy_folder(&self, from: &Path, partial: &Path) -> Result<FetchedFiles, Error> {
        let (puller, from, to) = (self.clone(), from.to_owned(), partial.with_extension("pip"));
        let copy = move || {
            let size = |name: &str| std::fs::metadata(from.join(name)).map_or(0, |file| file.len());
            if size(WEIGHTS) == 0 {
                let what = from.display().to_string();
                let reason = format!("the folder has no {WEIGHTS}; pull a .gguf file by its path");
                return Err(Error::Corrupt { what, reason });
            }
            puller.directory.check_room(size(WEIGHTS) + size(TOKENIZER))?;
            puller.report_download(0, Some(size(WEIGHTS)));
            for name in [TOKENIZER, CONFIG, POOLING, PROMPTS, WEIGHTS] {
                if from.join(name).is_file() {
                    create_folder_of(&to.join(name))?;
                    std::fs::copy(from.join(name), to.join(name)).map_err(Error::io(to.join(name)))?;
                }
            }
            let weights = FetchedWeights { path: to.join(WEIGHTS), promised: None };
            find(weights).ok_or_else(|| Error::Corrupt {
                what: from.display().to_string(),
                reason: format!("the folder has no {TOKENIZER} or no {CONFIG}"),
            })
        };
        tokio::task::spawn_blocking(copy).await.map_err(Error::aborted("copying a model's folder"))?
    }

    /// Downloads the files beside the weights, which are in the folder `url`. Without a tokenizer or a
    /// configuration there, `fetched` stays as it is.
    pub(super) async fn download_companions(
        &self,
        url: &str,
        trust: Trust,
        partial: &Path,
        fetched: &mut FetchedFiles,
    ) -> Result<(), Error> {
        let to = partial.with_extension("pip");
        let fetch = async |name: &str| -> Result<Option<PathBuf>, Error> {
            let (url, path) = (format!("{url}/{name}"), to.join(name));
            let response = self.egress.send(Request::new(Method::Get, url.clone(), trust)).await?;
            match response.status() {
                200 => {}
                NOT_FOUND => return Ok(None),
                status => return Err(Error::Download(format!("{url} answered with status {status}"))),
            }
            let content = response.bytes(COMPANION_BYTES_MAX.get() as usize).await?;
            self.directory.check_room(content.len() as u64)?;
            create_folder_of(&path)?;
            std::fs::write(&path, &content).map_err(Error::io(&path))?;
            Ok(Some(path))
        };
        let (Some(config), Some(tokenizer)) = (fetch(CONFIG).await?, fetch(TOKENIZER).await?) else {
            return Ok(());
        };
        (fetched.config, fetched.tokenizer) = (Some(config), Some(tokenizer));
        fetched.pooling = fetch(POOLING).await?;
        fetched.prompts = fetch(PROMPTS).await?;
        Ok(())
    }
}

fn create_folder_of(path: &Path) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder).map_err(Error::io(folder))
}
