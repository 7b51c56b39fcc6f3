//! Downloads over https, taken up where they broke off.

use std::path::Path;

use futures_util::StreamExt as _;
use lar_egress::{Method, Request, Response, Trust};
use tokio::io::AsyncWriteExt as _;

use super::{FetchedFiles, FetchedWeights, Hub, Puller, sweep};
use crate::Error;

/// A git-lfs pointer is about 130 bytes long.
const POINTER_BYTES_MAX: usize = 1024;
/// Written between two reports of progress.
const REPORT_EVERY_BYTES: u64 = 1 << 20;

impl Puller {
    /// Fetches `url` into the partial file.
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
        let known_tag = std::fs::read_to_string(&tag).unwrap_or_default();
        if have > 0 && !known_tag.is_empty() {
            request = request.header("range", format!("bytes={have}-")).header("if-range", known_tag);
        }
        let response = self.egress.send(request).await?;
        let resumed = match response.status() {
            200 => false,
            206 => true,
            416 if have > 0 => {
                // Everything is there already; the digest will tell.
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
            // It would keep the disk full.
            sweep::remove(partial);
        }
        let done = received?;
        if let Some(total) = total.filter(|total| *total != done) {
            return Err(Error::Download(format!(
                "{url} broke off after {done} of {total} bytes; pull again to go on"
            )));
        }
        // The tag stays while further files of the model are fetched: if one of them breaks off, this one is not fetched again.
        Ok(FetchedWeights { path: part, promised }.into())
    }

    /// Writes a body behind the `done` bytes of `file`, which is at `part`, as long as the disk has room to spare: a body need
    /// not announce its length. Returns how many bytes the file has.
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

    /// Fetches a file of a hub repository, checked against the digest in its git-lfs pointer.
    pub(super) async fn download_from_hub(
        &self,
        repository: &str,
        file: &str,
        partial: &Path,
    ) -> Result<FetchedFiles, Error> {
        let Hub { url: hub, trust } = &self.hub;
        let response = self.egress.send(self.hub.pointer(repository, file)).await?;
        if response.status() != 200 {
            let status = response.status();
            return Err(Error::Download(format!(
                "{hub}/{repository}/raw/main/{file} answered with status {status}"
            )));
        }
        let text = response.bytes(POINTER_BYTES_MAX).await?;
        let promised = pointer_digest(&String::from_utf8_lossy(&text));
        let url = format!("{hub}/{repository}/resolve/main/{file}");
        self.download(&url, *trust, promised, partial).await
    }
}

/// The sha256 in a git-lfs pointer (`oid sha256:…`); files that are not in LFS have none.
fn pointer_digest(text: &str) -> Option<String> {
    let oid = text.lines().find_map(|line| line.strip_prefix("oid sha256:"))?;
    (oid.len() == 64).then(|| oid.to_owned())
}

#[cfg(test)]
mod tests {
    use super::pointer_digest;

    #[test]
    fn reads_a_pointer() {
        let digest = "a".repeat(64);
        let text = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize 12\n");
        assert_eq!(pointer_digest(&text), Some(digest));
        assert_eq!(pointer_digest("GGUF...."), None);
    }
}
