//! Safe file access: opens regular files, reads small ones, classifies failed writes and renames links.
//!
//! Reading a pipe can block, and reading a device or a huge file can exhaust memory. Both are refused before
//! anything is read. The file type is checked before opening, because opening a pipe blocks and opening a
//! device can have side effects. [`NoRoom`] classifies a failed write; [`rename`] keeps relative symbolic
//! links valid.
//!
//! Symbolic links are followed except by [`read_small_nofollow`]. Errors here do not name the file: the
//! caller adds its path.

use std::fmt;
use std::fs::{self, File, FileType};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, symlink};
use std::path::Path;

use crate::Bytes;

/// The size limit of settings, notes and certificates. The largest of them have a few kilobytes.
pub const TEXT_BYTES_MAX: Bytes = Bytes::mib(1);
/// The size limit of keys and other files of one line.
pub const KEY_BYTES_MAX: Bytes = Bytes(4 << 10);

/// The reason why there is no room to write a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// The disk is full (ENOSPC).
    DiskFull,
    /// The user's quota on the disk is used up (EDQUOT).
    QuotaFull,
    /// The file would exceed the process's file size limit (EFBIG).
    FileTooLarge,
}

impl NoRoom {
    /// Classifies a write error, or returns `None` if it has another cause.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        match error.kind() {
            ErrorKind::StorageFull => Some(Self::DiskFull),
            ErrorKind::QuotaExceeded => Some(Self::QuotaFull),
            ErrorKind::FileTooLarge => Some(Self::FileTooLarge),
            _ => None,
        }
    }
}

impl fmt::Display for NoRoom {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::DiskFull => "its disk is full; make room there",
            Self::QuotaFull => {
                "this user's quota on its disk is used up; make room there, or have the quota raised"
            }
            Self::FileTooLarge => {
                "it would exceed this process's file size limit; raise that limit (`ulimit -f`)"
            }
        })
    }
}

/// Returns whether a write failed for one of the reasons in [`NoRoom`].
#[must_use]
pub fn is_disk_full(error: &io::Error) -> bool {
    NoRoom::of(error).is_some()
}

/// Reads a file of at most `max` bytes.
///
/// # Errors
/// When the file does not exist, is not a regular file, is larger than `max` or cannot be read.
pub fn read_small(path: &Path, max: Bytes) -> io::Result<Vec<u8>> {
    read_at_most(open_regular(path)?, max)
}

/// Reads a small file like [`read_small`], but refuses a symbolic link as the last component of the path.
///
/// For directories in which another user may have placed a link.
///
/// # Errors
/// As [`read_small`]; also when the path is a link, or the file is replaced while it is being opened.
pub fn read_small_nofollow(path: &Path, max: Bytes) -> io::Result<Vec<u8>> {
    let found = fs::symlink_metadata(path)?;
    check_kind(found.file_type())?;
    let file = File::open(path)?;
    let opened = file.metadata()?;
    if (opened.dev(), opened.ino()) != (found.dev(), found.ino()) {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it was replaced while it was being opened"));
    }
    read_at_most(file, max)
}

/// Reads all of `reader`, which has at most `max` bytes.
///
/// For input that need not be a regular file, such as standard input.
///
/// # Errors
/// When there are more than `max` bytes, or the input cannot be read.
pub fn read_at_most(reader: impl Read, max: Bytes) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(max.get().saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max.get() {
        let reason = format!("it is larger than the limit of {max}");
        return Err(io::Error::new(ErrorKind::InvalidData, reason));
    }
    Ok(bytes)
}

/// Reads a text like [`read_at_most`].
///
/// # Errors
/// As [`read_at_most`]; also when the text is not UTF-8.
pub fn read_text_at_most(reader: impl Read, max: Bytes) -> io::Result<String> {
    text(read_at_most(reader, max)?)
}

/// Reads a small text file like [`read_small`].
///
/// # Errors
/// As [`read_small`]; also when the content is not UTF-8.
pub fn read_small_text(path: &Path, max: Bytes) -> io::Result<String> {
    text(read_small(path, max)?)
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// Opens a regular file for reading.
///
/// # Errors
/// When the file does not exist, is not a regular file or cannot be opened.
pub fn open_regular(path: &Path) -> io::Result<File> {
    check_kind(fs::metadata(path)?.file_type())?;
    let file = File::open(path)?;
    // The file may have been replaced after the first check.
    check_kind(file.metadata()?.file_type())?;
    Ok(file)
}

/// Checks that a path can be written as a regular file: it is one already or does not exist.
///
/// # Errors
/// When the path is something else, or its type cannot be determined.
pub fn refuse_special(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(about) => check_kind(about.file_type()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Renames a file or folder within its file system.
///
/// The relative target of a symbolic link is made absolute, so that the link still points to the same file.
///
/// # Errors
/// When the link cannot be read, or the rename fails.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let is_link = fs::symlink_metadata(from)?.is_symlink();
    let target = if is_link { fs::read_link(from)? } else { return fs::rename(from, to) };
    if target.is_absolute() {
        return fs::rename(from, to);
    }
    let folder = std::path::absolute(from)?.parent().map(Path::to_owned).unwrap_or_default();
    // `..` in the target is not resolved: a folder before it may be a link to elsewhere.
    symlink(folder.join(target), to)?;
    fs::remove_file(from)
}

/// Returns the name of a file type with its article, for messages.
#[must_use]
pub fn kind_of(file: FileType) -> &'static str {
    match file {
        file if file.is_file() => "a regular file",
        file if file.is_dir() => "a folder",
        file if file.is_symlink() => "a symbolic link",
        file if file.is_fifo() => "a pipe",
        file if file.is_socket() => "a socket",
        _ => "a device",
    }
}

fn check_kind(file: FileType) -> io::Result<()> {
    if file.is_file() {
        return Ok(());
    }
    let reason = format!("it is {}, not a regular file", kind_of(file));
    Err(io::Error::new(ErrorKind::InvalidInput, reason))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    use super::*;

    /// A folder that is removed when the test ends.
    struct Folder(PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn folder(name: &str) -> Folder {
        let folder = Folder(std::env::temp_dir().join(format!("lar-{name}-{}", std::process::id())));
        fs::create_dir_all(&folder.0).unwrap();
        folder
    }

    #[test]
    fn a_full_disk_a_quota_and_a_size_limit_are_distinguished() {
        // ENOSPC, EDQUOT, EFBIG, EACCES.
        let errors = [28, 122, 27, 13].map(io::Error::from_raw_os_error);
        assert_eq!(errors.each_ref().map(is_disk_full), [true, true, true, false]);
        let [disk, quota, limit, other] = errors.each_ref().map(NoRoom::of);
        assert_eq!(other, None);
        let texts = [disk, quota, limit].map(|why| why.unwrap().to_string());
        assert!(texts[0].starts_with("its disk is full") && texts[1].contains("quota"), "{texts:?}");
        assert!(texts[2].ends_with("raise that limit (`ulimit -f`)"), "{texts:?}");
    }

    #[test]
    fn a_renamed_link_keeps_its_target() {
        let folder = folder("links");
        let at = |name: &str| folder.0.join(name);
        for name in ["data", "disk", "data/aside"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("disk/lar.db"), "there").unwrap();
        let absolute = at("disk/lar.db");
        for (name, target) in [("relative", Path::new("../disk/lar.db")), ("absolute", absolute.as_path())] {
            symlink(target, at("data").join(name)).unwrap();
            rename(&at("data").join(name), &at("data/aside").join(name)).unwrap();
            assert_eq!(fs::read_to_string(at("data/aside").join(name)).unwrap(), "there");
            assert!(fs::symlink_metadata(at("data").join(name)).is_err(), "{name}");
        }
        fs::write(at("data/file"), "moved").unwrap();
        rename(&at("data/file"), &at("data/aside/file")).unwrap();
        assert_eq!(fs::read_to_string(at("data/aside/file")).unwrap(), "moved");
    }

    #[test]
    fn read_small_nofollow_refuses_links() {
        let folder = folder("unlinked");
        let at = |name: &str| folder.0.join(name);
        let read = |name: &str| read_small_nofollow(&at(name), Bytes(8)).map_err(|error| error.to_string());
        fs::write(at("key"), "12345678").unwrap();
        symlink("key", at("link")).unwrap();
        File::create(at("huge")).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read("key"), Ok(b"12345678".to_vec()));
        assert_eq!(read("link"), Err("it is a symbolic link, not a regular file".into()));
        assert_eq!(read("huge"), Err("it is larger than the limit of 8 B".into()));
        assert_eq!(read_small_nofollow(&at("none"), Bytes(8)).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn only_small_regular_files_are_read() {
        let folder = folder("files");
        let at = |name: &str| folder.0.join(name);
        let read = |name: &str| read_small_text(&at(name), Bytes(8)).map_err(|error| error.to_string());
        fs::write(at("key"), "12345678").unwrap();
        symlink("key", at("link")).unwrap();
        assert_eq!((read("key"), read("link")), (Ok("12345678".into()), Ok("12345678".into())));
        fs::write(at("long"), "123456789").unwrap();
        File::create(at("huge")).unwrap().set_len(40 << 30).unwrap();
        let too_long = "it is larger than the limit of 8 B";
        assert_eq!((read("long"), read("huge")), (Err(too_long.into()), Err(too_long.into())));
        fs::write(at("noise"), [0xff]).unwrap();
        assert_eq!(read("noise"), Err("it is not UTF-8 text".into()));
        let _socket = UnixListener::bind(at("socket")).unwrap();
        symlink("/dev/zero", at("device")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        for (name, kind) in [("socket", "a socket"), ("device", "a device"), ("folder", "a folder")] {
            assert_eq!(read(name), Err(format!("it is {kind}, not a regular file")));
            assert!(refuse_special(&at(name)).is_err(), "{name}");
        }
        assert_eq!(read_small(&at("none"), Bytes(8)).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(refuse_special(&at("none")).is_ok() && refuse_special(&at("link")).is_ok());
    }
}
