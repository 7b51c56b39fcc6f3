//! Sparse files: their holes are ranges that the file system does not store and that read as zeros. A file of
//! many gigabytes may store a few kilobytes, so reading and copying skip the holes.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;

use rustix::fs::{SeekFrom as Seek, seek, tell};
use rustix::io::Errno;

/// Returns the next stored range of a file at or after `at`, up to `end`. The range is empty if only a hole
/// is left. If the file system does not report holes, returns everything. Keeps the file's position.
///
/// # Errors
/// When the position cannot be read or restored.
pub(crate) fn next_data_range(file: &File, at: u64, end: u64) -> io::Result<Range<u64>> {
    let position = tell(file)?;
    let found =
        seek(file, Seek::Data(at)).and_then(|from| seek(file, Seek::Hole(from)).map(|until| from..until));
    seek(file, Seek::Start(position))?;
    Ok(match found {
        Ok(stored) => stored.start.min(end)..stored.end.min(end),
        Err(Errno::NXIO) => end..end,
        Err(_) => at..end,
    })
}

/// Copies a file into a new, empty one. Holes stay holes.
///
/// # Errors
/// When either file cannot be read or written; then the copy may be partial.
pub(crate) fn copy(mut from: &File, mut to: &File) -> io::Result<()> {
    let end = from.metadata()?.len();
    let mut at = 0;
    while at < end {
        let stored = next_data_range(from, at, end)?;
        let length = stored.end - stored.start;
        from.seek(SeekFrom::Start(stored.start))?;
        to.seek(SeekFrom::Start(stored.start))?;
        if io::copy(&mut from.take(length), &mut to)? < length {
            // The file was truncated meanwhile.
            break;
        }
        at = stored.end;
    }
    to.set_len(end)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn copying_a_sparse_file_keeps_its_holes() {
        const END: u64 = 8 << 30;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sparse");
        let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.write_all(b"first").unwrap();
        file.seek(SeekFrom::Start(5 << 30)).unwrap();
        file.write_all(b"second").unwrap();
        file.set_len(END).unwrap();
        let position = file.stream_position().unwrap();
        let second = next_data_range(&file, 1 << 30, END).unwrap();
        assert!(second.contains(&(5 << 30)) && second.end - second.start < 1 << 20, "{second:?}");
        assert!(next_data_range(&file, 6 << 30, END).unwrap().is_empty());
        assert_eq!(file.stream_position().unwrap(), position);

        let to = File::options().read(true).write(true).create_new(true).open(folder.path().join("copy"));
        let mut to = to.unwrap();
        copy(&file, &to).unwrap();
        let about = to.metadata().unwrap();
        assert!(about.len() == END && about.blocks() * 512 < 1 << 20, "{} blocks", about.blocks());
        let mut read = |at: u64, length: usize| {
            let mut bytes = vec![0; length];
            to.seek(SeekFrom::Start(at)).and_then(|_| to.read_exact(&mut bytes)).unwrap();
            bytes
        };
        assert_eq!((read(0, 6), read(5 << 30, 6)), (b"first\0".to_vec(), b"second".to_vec()));
    }
}
